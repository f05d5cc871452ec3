# Extension vector in pgvector's place (make install-as-vector): an application that creates extension vector and
# indexes hnsw and ivfflat runs on quantvec, dumps of pgvector restore as they are, and the way back is open.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my $settings = as_vector_settings();
plan skip_all => 'no server finds extension vector of quantvec' unless $settings;
my $pgvector = pgvector_is_there();

# Without checksums: a page is damaged below, and the server would see it first.
my $node = new_server('primary', $settings, extensions => ['IF NOT EXISTS vector'], no_data_checksums => 1);

sub answer
{
    my ($database, $sql) = @_;
    my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql");
    return $out . $err;
}

is($node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'vector'}), '0.8.quantvec', 'the version says who it is');
like(answer('postgres', 'ALTER EXTENSION vector UPDATE TO \'0.8.0\''), qr/22023: extension "vector" has no update path/, 'no update path of pgvector begins here');

# ---- what an application says ----

$node->safe_psql('postgres', q{
    CREATE TABLE items (id bigint PRIMARY KEY, v vector(32));
    INSERT INTO items SELECT i, test_vector(i, 32) FROM generate_series(1, 8000) AS i;
    CREATE INDEX items_l2 ON items USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 64);
    CREATE INDEX items_cosine ON items USING ivfflat (v vector_cosine_ops) WITH (lists = 100);
    CREATE INDEX items_ip ON items USING hnsw (v vector_ip_ops);
    CREATE TABLE halves AS SELECT id, v::halfvec(32) AS h FROM items;
    CREATE INDEX halves_l2 ON halves USING ivfflat (h halfvec_l2_ops);
    CREATE INDEX halves_cosine ON halves USING hnsw (h halfvec_cosine_ops);
    CREATE INDEX halves_bits ON halves USING hnsw ((binary_quantize(h)::bit(32)) bit_hamming_ops);
    CREATE INDEX halves_bit_lists ON halves USING ivfflat ((binary_quantize(h)::bit(32)) bit_hamming_ops);
    VACUUM ANALYZE items});
answers_are_exact($node, 'items', 32, 'hnsw, L2');
answers_are_exact($node, 'items', 32, 'ivfflat, cosine', '<=>');
answers_are_exact($node, 'items', 32, 'hnsw, inner product', '<#>');
$node->safe_psql('postgres', q{
    DELETE FROM items WHERE id % 3 = 0;
    INSERT INTO items SELECT i, test_vector(i, 32) FROM generate_series(10001, 11000) AS i;
    VACUUM items;
    REINDEX INDEX items_cosine});
answers_are_exact($node, 'items', 32, 'after changes');
is($node->safe_psql('postgres', q{SELECT count(*) FROM quantvec_index_info('items_l2') WHERE trained AND quantizer = 'bq' AND bits = 4}),
    '1', 'hnsw is what quantvec makes by default');

# pgvector's options are checked and kept.
is($node->safe_psql('postgres', q{SELECT reloptions FROM pg_class WHERE relname = 'items_l2'}), '{m=16,ef_construction=64}', 'options are kept');
my %refused = (
    'hnsw (v vector_l2_ops) WITH (m = 1)' => qr/22023: value 1 out of bounds for option "m"/,
    'hnsw (v vector_l2_ops) WITH (m = 101)' => qr/22023: value 101 out of bounds for option "m"/,
    'hnsw (v vector_l2_ops) WITH (ef_construction = 3)' => qr/22023: value 3 out of bounds/,
    'hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 31)' => qr/22023: ef_construction must be greater than or equal to 2 \* m/,
    'hnsw (v vector_l2_ops) WITH (lists = 10)' => qr/22023: unrecognized parameter "lists"/,
    'hnsw (v vector_l2_ops) WITH (bits = 1)' => qr/22023: unrecognized parameter "bits"/,
    'ivfflat (v) WITH (lists = 0)' => qr/22023: value 0 out of bounds for option "lists"/,
    'ivfflat (v) WITH (lists = 32769)' => qr/22023: value 32769 out of bounds/,
    'ivfflat (v) WITH (m = 16)' => qr/22023: unrecognized parameter "m"/,
    # hnsw has no default class
    'hnsw (v)' => qr/42704: data type vector has no default operator class for access method "hnsw"/,
    # classes without codes say what to do instead
    'hnsw (v vector_l1_ops)' => qr/0A000: quantvec has no index for operator class "vector_l1_ops".*HINT:.*rank its nearest rows again/s,
    'hnsw ((v::halfvec(32)) halfvec_l1_ops)' => qr/0A000: quantvec has no index for operator class "halfvec_l1_ops".*HINT:/s,
    'hnsw ((v::sparsevec(32)) sparsevec_l2_ops)' => qr/0A000: .*"sparsevec_l2_ops".*HINT:.*index a cast/s,
    'hnsw ((v::sparsevec(32)) sparsevec_l1_ops)' => qr/0A000: .*"sparsevec_l1_ops".*HINT:/s,
    'quantvec ((v::sparsevec(32)))' => qr/0A000: .*"sparsevec_l2_ops".*HINT:.*index a cast/s,
);
like(answer('postgres', "CREATE INDEX ON items USING $_"), $refused{$_}, "$_ is refused") for sort keys %refused;
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_index WHERE NOT indisvalid}), '0', 'nothing is left of them');

# The classes and the defaults of pgvector, by method.
is($node->safe_psql('postgres', q{
    SELECT amname, string_agg(opcname || CASE WHEN opcdefault THEN '*' ELSE '' END, ' ' ORDER BY opcname COLLATE "C")
    FROM pg_opclass JOIN pg_am AS a ON a.oid = opcmethod WHERE amname IN ('hnsw', 'ivfflat') GROUP BY 1 ORDER BY 1}), join("\n",
    'hnsw|bit_hamming_ops bit_jaccard_ops halfvec_cosine_ops halfvec_ip_ops halfvec_l1_ops halfvec_l2_ops sparsevec_cosine_ops sparsevec_ip_ops sparsevec_l1_ops sparsevec_l2_ops vector_cosine_ops vector_ip_ops vector_l1_ops vector_l2_ops',
    'ivfflat|bit_hamming_ops halfvec_cosine_ops halfvec_ip_ops halfvec_l2_ops vector_cosine_ops vector_ip_ops vector_l2_ops*'), 'classes');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_opclass WHERE NOT amvalidate(oid) AND opcmethod IN (SELECT oid FROM pg_am WHERE amname IN ('hnsw', 'ivfflat', 'quantvec'))}),
    '0', 'all classes are valid');

# pgvector's settings are checked and do nothing; also when they are set before the library comes.
my $ask = q{SET enable_seqscan = off; SELECT id FROM items ORDER BY v <-> test_vector(1000001, 32) LIMIT 200};
my $rows = $node->safe_psql('postgres', $ask);
is($node->safe_psql('postgres', "SET hnsw.ef_search = 1; SET hnsw.iterative_scan = off; SET ivfflat.probes = 1; $ask"), $rows, 'pgvector\'s settings have no effect');
my $load = 'SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> test_vector(1, 32) LIMIT 1) AS s;';
for my $setting ('hnsw.ef_search = 1000', 'hnsw.iterative_scan = strict_order', 'hnsw.max_scan_tuples = 1', 'hnsw.scan_mem_multiplier = 2.5',
    'ivfflat.probes = 32768', 'ivfflat.iterative_scan = relaxed_order', 'ivfflat.max_probes = 1')
{
    my ($name, $value) = split / = /, $setting;
    is((split /\n/, $node->safe_psql('postgres', "$load SET $setting; SHOW $name"))[1], $value, "SET $setting");
}
for my $setting ('hnsw.ef_search = 0', 'hnsw.ef_search = 1001', 'hnsw.iterative_scan = on', 'hnsw.max_scan_tuples = 0', 'ivfflat.probes = 0',
    'ivfflat.iterative_scan = strict_order', 'hnsw.no_such = 1')
{
    like(answer('postgres', "$load SET $setting"), qr/ERROR:  (22023|42602)/, "SET $setting is refused");
}

# ---- it stays alone ----

for my $extension ('quantvec', 'quantvec_pgvector')
{
    like(answer('postgres', "CREATE EXTENSION $extension"), qr/42710: .*HINT: *This extension is quantvec under the name vector/s, "$extension is refused");
}
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION quantvec');
like(answer('other', 'CREATE EXTENSION IF NOT EXISTS vector'), qr/42710: extension "vector" cannot be created beside quantvec/, 'beside quantvec');

# ---- files of pgvector itself (a copied data folder) are told apart ----

$node->safe_psql('postgres', q{
    CREATE TABLE foreign_files (v vector(3));
    INSERT INTO foreign_files SELECT ARRAY[i, i, i]::real[] FROM generate_series(1, 100) AS i;
    CREATE INDEX foreign_v ON foreign_files USING hnsw (v vector_l2_ops)});
my $path = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('foreign_v')");
$node->stop;
# A page as pgvector's hnsw begins: a header, the magic number at 24, 8 bytes of special space.
write_file($path, pack('L2 S2 S4 L', 0, 0, 0, 0, 64, 8184, 8184, 8196, 0) . pack('L2', 0xA953A953, 1) . "\0" x 8152 . pack('L2', 0xFFFFFFFF, 0xFF90));
$node->start;
like(answer('postgres', q{SET enable_seqscan = off; SELECT * FROM foreign_files ORDER BY v <-> '[1,2,3]' LIMIT 1}),
    qr/XX002: .*HINT:.*REINDEX/s, 'a metapage of pgvector is refused');
$node->safe_psql('postgres', 'REINDEX INDEX foreign_v');
is($node->safe_psql('postgres', q{SET enable_seqscan = off; SELECT v FROM foreign_files ORDER BY v <-> '[7,7,7]' LIMIT 1}), '[7,7,7]', 'REINDEX helps');

# ---- dumps: in as they are, and back ----

my $folder = PostgreSQL::Test::Utils::tempdir();
my $dump = "$folder/pgvector.sql";
my $contents = q{
    CREATE TABLE documents (id integer NOT NULL, embedding vector(3), small halfvec(3), thin sparsevec(9), flags bit(4));
    INSERT INTO documents SELECT i, ARRAY[i, i, 1]::real[], ARRAY[i, i, 1]::real[]::halfvec, ('{1:' || i || ',9:1}/9')::sparsevec, i::bit(4)
        FROM generate_series(1, 200) AS i;
    CREATE INDEX documents_embedding ON documents USING hnsw (embedding vector_cosine_ops) WITH (m = '8', ef_construction = '32');
    CREATE INDEX documents_lists ON documents USING ivfflat (embedding) WITH (lists = '10');
    CREATE INDEX documents_small ON documents USING hnsw (small halfvec_l2_ops);
    CREATE INDEX documents_flags ON documents USING hnsw (flags bit_hamming_ops);
    CREATE INDEX documents_order ON documents USING btree (embedding)};
my $questions = q{
    SET enable_seqscan = off;
    SELECT count(*), sum(embedding), avg(small), max(thin::text), count(DISTINCT flags) FROM documents;
    SELECT id FROM documents ORDER BY embedding <-> '[40.2,40.1,1]' LIMIT 1;
    SELECT id FROM documents ORDER BY small <-> '[70,70,1]' LIMIT 1;
    SELECT id FROM documents ORDER BY thin <-> '{1:5,9:1}/9' LIMIT 1};
SKIP:
{
    skip 'pgvector is not installed', 6 unless $pgvector;
    my $old = PostgreSQL::Test::Cluster->new('pgvector');
    $old->init;
    $old->start;
    $old->safe_psql('postgres', "CREATE EXTENSION vector; $contents");
    my $answers = $old->safe_psql('postgres', $questions);
    $old->command_ok([ 'pg_dump', '-f', $dump, '-d', $old->connstr('postgres') ], 'pg_dump of pgvector');
    $node->safe_psql('postgres', 'CREATE DATABASE moved TEMPLATE template0');
    $node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('moved') ], 'restored as it is');
    is($node->safe_psql('moved', $questions), $answers, 'the same answers');
    # And back: a dump of what quantvec now holds, into pgvector.
    $node->command_ok([ 'pg_dump', '-f', "$folder/back.sql", '-d', $node->connstr('moved') ], 'pg_dump of vector');
    $old->safe_psql('postgres', 'CREATE DATABASE back TEMPLATE template0');
    $old->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$folder/back.sql", '-d', $old->connstr('back') ], 'the way back');
    is($old->safe_psql('back', $questions), $answers, 'the same answers there');
    $old->stop;
}
# The statements of such a dump, wherever pgvector is not.
$node->safe_psql('postgres', 'CREATE DATABASE written TEMPLATE template0');
$node->safe_psql('written', "CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public; COMMENT ON EXTENSION vector IS 'vector data type and ivfflat and hnsw access methods'; $contents");
is((split /\n/, $node->safe_psql('written', $questions))[1], '40', 'the statements of a dump');

# ---- pgvector's files are not overwritten ----

my $guard = "$FindBin::RealBin/../../scripts/pgvector-is-not-in";
my $extensions = PostgreSQL::Test::Utils::tempdir() . '/of a server';
mkdir $extensions;
command_ok([ $guard, $extensions ], 'a folder without an extension vector is free');
append_to_file("$extensions/vector.control", "comment = 'quantvec by another name'\n");
command_ok([ $guard, $extensions ], 'so is one with our own files');
append_to_file("$extensions/vector--0.8.0.sql", "CREATE TYPE vector;\n");
symlink $extensions, "$extensions, linked" or die "symlink: $!";
command_fails_like([ $guard, $_ ], qr/vector--0\.8\.0\.sql is pgvector's/, "pgvector's files are seen: $_") for $extensions, "$extensions, linked";

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
