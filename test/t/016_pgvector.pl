# Extension quantvec_pgvector: the index on the types of pgvector itself, beside its own indexes. And both extensions
# go through pg_dump and pg_upgrade. Skipped where pgvector is not installed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

plan skip_all => 'pgvector is not installed' unless pgvector_is_there();

my $node = new_server('primary', '', extensions => [ 'vector', 'quantvec_pgvector' ]);

# A database, and what comes of SQL in it: output and errors as one text.
sub new_database
{
    my ($name, @sql) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql($name, $_) for @sql;
    return;
}

sub answer
{
    my ($database, $sql) = @_;
    my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql");
    return $out . $err;
}

# The index orders rows by its own sums of floats, pgvector's operator adds in another order: the last bits differ, and
# rows that are as near as those may change places. So: the same distances within 1e-6, all rows, and none before one
# that is nearer by more. One check more: the indexes are sound.
sub answers_are_right
{
    my ($server, $table, $dim, $name, $operator) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $operator //= '<->';
    my $ask = qq{
        SELECT array(SELECT t.v $operator test_vector(1000000 + q, $dim) FROM $table AS t
                     ORDER BY t.v $operator test_vector(1000000 + q, $dim) LIMIT 10) FROM generate_series(1, 5) AS q};
    my $all = qq{
        SELECT count(*), count(DISTINCT id), max(before - d) < 1e-6 FROM
            (SELECT id, d, lag(d) OVER (ORDER BY n) AS before FROM
                (SELECT *, row_number() OVER () AS n FROM
                    (SELECT id, v $operator test_vector(2000000, $dim) AS d FROM $table
                     ORDER BY v $operator test_vector(2000000, $dim)) AS s) AS s) AS s};
    my @by_index = $server->safe_psql('postgres', "SET quantvec.probes = 1000; SET quantvec.epsilon = 6;
        SET enable_seqscan = off; SET enable_sort = off; $ask") =~ /[-\d.e]+/g;
    my @exact = $server->safe_psql('postgres', "SET enable_indexscan = off; $ask") =~ /[-\d.e]+/g;
    my @different = grep { abs($by_index[$_] - $exact[$_]) > 1e-6 } 0 .. $#exact;
    ok(@exact == 50 && @by_index == 50 && !@different, "$name: the distances of exact search");
    my $rows = $server->safe_psql('postgres', "SELECT count(*) FROM $table");
    is($server->safe_psql('postgres', "SET quantvec.probes = 1000; SET quantvec.epsilon = 6; SET enable_seqscan = off;
        SET enable_sort = on; $all"), "$rows|$rows|t", "$name: all rows, in order");
    indexes_are_sound($server, $table, $name);
    return;
}

# ---- an index of each kind on one column ----

$node->safe_psql('postgres', q{
    CREATE TABLE items (id bigint PRIMARY KEY, v vector(32), h halfvec(32));
    INSERT INTO items SELECT i, test_vector(i, 32), test_vector(i, 32) FROM generate_series(1, 8000) AS i;
    CREATE INDEX items_hnsw ON items USING hnsw (v vector_l2_ops)});
$node->safe_psql('postgres', 'CREATE INDEX CONCURRENTLY items_v ON items USING quantvec (v) WITH (lists = 20)');
$node->safe_psql('postgres', q{
    CREATE INDEX items_cosine ON items USING quantvec (v vector_cosine_ops) WITH (lists = 20);
    CREATE INDEX items_ip ON items USING quantvec (v vector_ip_ops) WITH (lists = 20, quantizer = sq8);
    VACUUM ANALYZE items});

# Both indexes can answer. The planner takes the one whose estimate is lower, and says so with the other away too.
my $nearest = 'SELECT id FROM items ORDER BY v <-> test_vector(1000001, 32) LIMIT 10';
sub plan_without
{
    my ($index) = @_;
    my $drop = $index ? "DROP INDEX $index;" : '';
    my $plan = $node->safe_psql('postgres', "BEGIN; $drop SET LOCAL enable_seqscan = off; EXPLAIN $nearest; ROLLBACK");
    my ($cost) = $plan =~ /Limit  \(cost=[\d.]+\.\.([\d.]+)/ or die $plan;
    my ($taken) = $plan =~ /Index Scan using (\w+) on items/ or die $plan;
    return ($taken, $cost);
}
my ($hnsw, $hnsw_cost) = plan_without('items_v');
my ($quantvec, $quantvec_cost) = plan_without('items_hnsw');
my ($taken, $cost) = plan_without('');
note "$hnsw: $hnsw_cost, $quantvec: $quantvec_cost, taken: $taken";
is("$hnsw, $quantvec", 'items_hnsw, items_v', 'each index is used when the other is away');
is($taken, $quantvec_cost < $hnsw_cost ? $quantvec : $hnsw, 'of both, the one with the lower estimate');

# Rows that come and go while both are there.
$node->safe_psql('postgres', q{
    INSERT INTO items SELECT i, test_vector(i, 32), test_vector(i, 32) FROM generate_series(8001, 9000) AS i;
    DELETE FROM items WHERE id % 5 = 0;
    VACUUM items;
    UPDATE items SET v = test_vector(id + 100000, 32) WHERE id % 7 = 0;
    REINDEX INDEX CONCURRENTLY items_ip});

# The index's answers beside exact ones, with the index of pgvector away.
$node->safe_psql('postgres', 'DROP INDEX items_hnsw');
answers_are_right($node, 'items', 32, "pgvector's vector, L2");
answers_are_right($node, 'items', 32, "pgvector's vector, cosine", '<=>');
answers_are_right($node, 'items', 32, "pgvector's vector, inner product", '<#>');

$node->safe_psql('postgres', q{
    CREATE TABLE halves AS SELECT id, h AS v FROM items;
    CREATE INDEX halves_v ON halves USING quantvec (v) WITH (lists = 20);
    CREATE INDEX halves_cosine ON halves USING quantvec (v halfvec_cosine_ops) WITH (lists = 20, bits = 1)});
for my $operator ('<->', '<=>')
{
    my $ask = qq{SELECT array(SELECT v $operator test_vector(1000000 + q, 32)::halfvec FROM halves
                              ORDER BY v $operator test_vector(1000000 + q, 32)::halfvec LIMIT 10) FROM generate_series(1, 5) AS q};
    my $by_index = $node->safe_psql('postgres', "SET quantvec.probes = 1000; SET quantvec.epsilon = 6; SET enable_seqscan = off; SET enable_sort = off; $ask");
    is($by_index, $node->safe_psql('postgres', "SET enable_indexscan = off; $ask"), "pgvector's halfvec, $operator: index answers are exact");
}

# Expressions with casts and functions of pgvector.
$node->safe_psql('postgres', q{
    CREATE INDEX items_half ON items USING quantvec ((v::halfvec(32)) halfvec_cosine_ops) WITH (lists = 20);
    CREATE INDEX items_start ON items USING quantvec ((subvector(v, 1, 8)::vector(8)) vector_l2_ops) WITH (lists = 20);
    CREATE INDEX items_bit ON items USING quantvec ((binary_quantize(v)::bit(32)) bit_hamming_ops) WITH (lists = 20)});
for my $distance ('v::halfvec(32) <=> test_vector(1000001, 32)::halfvec(32)', 'subvector(v, 1, 8)::vector(8) <-> test_vector(1000001, 8)',
    'binary_quantize(v)::bit(32) <~> binary_quantize(test_vector(1000001, 32))::bit(32)')
{
    my $ask = "SELECT $distance FROM items ORDER BY $distance LIMIT 10";
    my $settings = 'SET quantvec.probes = 1000; SET quantvec.epsilon = 6; SET enable_seqscan = off; SET enable_sort = off;';
    my ($index) = $node->safe_psql('postgres', "$settings EXPLAIN $ask") =~ /Index Scan using (items_(?:half|start|bit)) /;
    is($node->safe_psql('postgres', "$settings $ask"), $node->safe_psql('postgres', "SET enable_indexscan = off; $ask"),
        ($index // 'no index') . ': the distances of exact search');
    ok($index, 'and an index is used');
}

# Vectors out of line, prepared statements.
$node->safe_psql('postgres', q{
    CREATE TABLE wide (id bigint, v vector(700));
    ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
    INSERT INTO wide SELECT i, test_vector(i, 700) FROM generate_series(1, 500) AS i;
    CREATE INDEX wide_v ON wide USING quantvec (v) WITH (lists = 4)});
answers_are_right($node, 'wide', 700, 'out of line');
# pgvector's functions have the cost of an addition. With that of quantvec's, vectors out of line are not scanned for a few rows.
for my $cost (1, 100)
{
    my $plan = $node->safe_psql('postgres', qq{
        BEGIN; ALTER FUNCTION l2_distance(vector, vector) COST $cost;
        EXPLAIN SELECT id FROM wide ORDER BY v <-> test_vector(7, 700) LIMIT 5; ROLLBACK});
    is(scalar($plan =~ /Index Scan using wide_v/), $cost == 100 ? 1 : '', "a distance that costs $cost");
}
is($node->safe_psql('postgres', q{
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    PREPARE near (vector) AS SELECT id FROM wide ORDER BY v <-> $1 LIMIT 1;
    EXECUTE near (test_vector(7, 700));
    EXECUTE near (test_vector(301, 700))}), "7\n301", 'prepared');

# ---- one backend, two libraries: whoever is loaded first, both work, and no setting of one is the other's ----

my $both = q{
    SET enable_seqscan = off;
    SELECT '[1,2]'::vector <-> '[1,4]'::vector, '[1,2]'::halfvec + '[1,1]'::halfvec, l2_normalize('[3,4]'::vector);
    SHOW hnsw.ef_search;
    SHOW quantvec.probes;
    SELECT id FROM wide ORDER BY v <-> test_vector(7, 700) LIMIT 1};
my $expected = "2|[2,3]|[0.6,0.8]\n40\n0\n7";
for my $first ("LOAD '\$libdir/vector'", "LOAD '\$libdir/quantvec'", 'SELECT lists IS NULL FROM quantvec_last_scan()',
    q{SELECT l2_norm('[3,4]'::halfvec) = 5})
{
    my $load = $first =~ /quantvec/ ? "LOAD '\$libdir/vector'" : "LOAD '\$libdir/quantvec'";
    my $got = $node->safe_psql('postgres', "$first; $load; $both");
    is($got =~ s/^t\n//r, $expected, "two libraries, first: $first");
}
is($node->safe_psql('postgres', q{
    SELECT l2_norm('[3,4]'::halfvec), (SELECT lists FROM quantvec_last_scan());
    SELECT DISTINCT split_part(name, '.', 1) FROM pg_settings WHERE name ~ '^(quantvec|hnsw|ivfflat)[.]' ORDER BY 1}),
    "5|\nhnsw\nivfflat\nquantvec", 'and their settings');

# ---- one type vector, one access method ----

my %refused = (
    'quantvec beside pgvector' => [ [ 'CREATE EXTENSION vector' ], 'CREATE EXTENSION quantvec',
        qr/42710.*It is type public.vector of extension vector.*HINT:.*CREATE EXTENSION quantvec_pgvector/s ],
    'quantvec beside pgvector in another schema' => [ [ 'CREATE SCHEMA x', 'CREATE EXTENSION vector SCHEMA x' ], 'CREATE EXTENSION quantvec',
        qr/42710.*It is type x.vector of extension vector.*HINT:.*CREATE EXTENSION quantvec_pgvector/s ],
    'quantvec beside quantvec_pgvector' => [ [ 'CREATE EXTENSION quantvec_pgvector CASCADE' ], 'CREATE EXTENSION quantvec',
        qr/42710.*access method named "quantvec".*It is of extension quantvec_pgvector.*HINT:.*USING quantvec indexes the types of pgvector/s ],
    'pgvector beside quantvec' => [ [ 'CREATE EXTENSION quantvec' ], 'CREATE EXTENSION IF NOT EXISTS vector',
        qr/42710: extension "vector" cannot be created beside quantvec.*HINT:.*leave this statement out/s ],
    'pgvector beside quantvec in another schema' => [ [ 'CREATE EXTENSION quantvec', 'CREATE SCHEMA x' ], 'CREATE EXTENSION vector SCHEMA x',
        qr/42710: extension "vector" cannot be created beside quantvec/ ],
    'quantvec_pgvector beside quantvec' => [ [ 'CREATE EXTENSION quantvec' ], 'CREATE EXTENSION quantvec_pgvector CASCADE',
        qr/42710: extension "quantvec_pgvector" cannot be created beside quantvec.*HINT:.*drop quantvec, then/s ],
    'quantvec_pgvector twice' => [ [ 'CREATE EXTENSION quantvec_pgvector CASCADE', 'CREATE SCHEMA x' ], 'CREATE EXTENSION quantvec_pgvector SCHEMA x',
        qr/42710: extension "quantvec_pgvector" already exists/ ],
    # What the target schema has would be found before pgvector's.
    'quantvec_pgvector beside a table vector' => [ [ 'CREATE SCHEMA x', 'CREATE EXTENSION vector SCHEMA x', 'CREATE TABLE vector (id int)' ],
        'CREATE EXTENSION quantvec_pgvector', qr/42710: schema public has what.*It is type public.vector.*HINT:.*EXTENSION quantvec_pgvector SCHEMA x\./s ],
    'quantvec_pgvector beside an operator of these names' => [ [ 'CREATE SCHEMA x', 'CREATE EXTENSION vector SCHEMA x',
            'CREATE OPERATOR <=> (LEFTARG = x.halfvec, RIGHTARG = x.halfvec, FUNCTION = x.l2_distance)' ],
        'CREATE EXTENSION quantvec_pgvector', qr/42710: schema public has what.*It is operator public.<=>\(x.halfvec,x.halfvec\)/s ],
    # There is no old pgvector at hand: the catalog is told that this is one.
    'quantvec_pgvector with an old pgvector' => [ [ 'CREATE EXTENSION vector', q{UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'} ],
        'CREATE EXTENSION quantvec_pgvector', qr/0A000: quantvec_pgvector needs pgvector 0.7 or newer, and this database has 0.6.2.*HINT:.*ALTER EXTENSION vector UPDATE/s ],
);
my $number = 0;
for my $name (sort keys %refused)
{
    my ($before, $sql, $message) = @{ $refused{$name} };
    my $database = 'refused' . ++$number;
    new_database($database, @$before);
    my $answer = answer($database, $sql);
    like($answer, $message, "$name is refused");
    my @errors = $answer =~ /ERROR:/g;
    is(scalar @errors, 1, "$name: one error");
}
for my $version ('0.7.0', '0.10.1', '1.0')
{
    new_database('good' . ++$number, 'CREATE EXTENSION vector', "UPDATE pg_extension SET extversion = '$version'",
        'CREATE EXTENSION quantvec_pgvector');
    pass("quantvec_pgvector takes pgvector $version");
}
# What another extension would bring along. The private install is copied, since there it can be given one.
SKIP:
{
    my ($setting, $installed) = split /\|/, $node->safe_psql('postgres', q{
        SELECT name, setting FROM pg_settings WHERE name IN ('extension_destdir', 'extension_control_path') AND setting ~ '/'}) || '|';
    skip 'this server finds extensions in its own folder only', 3 unless $setting;
    my $copy = PostgreSQL::Test::Utils::tempdir() . '/install';
    my ($folder) = $installed =~ m{^([^:]+)};
    system('cp', '-r', $folder, $copy) == 0 or die 'cp failed';
    my ($extensions) = grep { -e "$_/quantvec.control" } ("$copy/extension", $copy . $node->config_data('--sharedir') . '/extension');
    write_file("$extensions/needs_vector.control", "default_version = '1'\nrequires = 'vector'\n");
    write_file("$extensions/needs_more.control", "default_version = '1'\nrequires = 'plpgsql, needs_vector'\n");
    write_file("$extensions/$_--1.sql", "SELECT 1;\n") for 'needs_vector', 'needs_more';
    my $found = "SET $setting = '" . $installed =~ s/^[^:]+/$copy/r . "';";
    new_database('needing', 'SELECT 1');
    new_database('needing_not', 'CREATE EXTENSION quantvec', 'CREATE SCHEMA x');
    is(answer('needing', "$found SET client_min_messages = error; CREATE EXTENSION needs_more CASCADE; SELECT count(*) FROM pg_extension WHERE extname = 'vector'"),
        '1', 'an extension that needs pgvector brings it along');
    like(answer('needing_not', "$found CREATE EXTENSION needs_more SCHEMA x CASCADE"),
        qr/42710: extension "vector" cannot be created beside quantvec\nDETAIL:  Extension "needs_more" requires it.\nHINT/, 'not beside quantvec');
    like(answer('needing_not', "$found CREATE EXTENSION needs_more"), qr/required extension "needs_vector" is not installed/, 'and without CASCADE it does not');
}
# Once quantvec is gone, pgvector may come.
new_database('swapped', 'CREATE EXTENSION quantvec', 'DROP EXTENSION quantvec', 'CREATE EXTENSION quantvec_pgvector CASCADE');
is(answer('swapped', q{SELECT '[1,2]'::vector}), '[1,2]', 'pgvector after quantvec');

# ---- pgvector in a schema of its own ----

new_database('elsewhere', 'CREATE SCHEMA ext', 'CREATE EXTENSION vector SCHEMA ext', 'CREATE EXTENSION quantvec_pgvector SCHEMA ext',
    'CREATE TABLE t (v ext.vector(3))', q{INSERT INTO t SELECT ARRAY[i, i, i]::real[] FROM generate_series(1, 100) AS i},
    'CREATE INDEX t_v ON t USING quantvec (v)', 'CREATE INDEX t_cosine ON t USING quantvec (v ext.vector_cosine_ops)');
is(answer('elsewhere', q{SET enable_seqscan = off; SELECT v FROM t ORDER BY v OPERATOR(ext.<->) '[7,7,7]' LIMIT 1}), '[7,7,7]', 'another schema');

# ---- dump and restore, and pg_upgrade: both extensions, indexes, answers ----

new_database('own', 'CREATE EXTENSION quantvec', 'CREATE TABLE t (id int, v vector(3), h halfvec(3), s sparsevec(9))',
    q{INSERT INTO t SELECT i, ARRAY[i, i, 1]::real[], ARRAY[i, i, 1]::real[], ('{1:' || i || '}/9')::sparsevec FROM generate_series(1, 100) AS i},
    'CREATE INDEX t_v ON t USING quantvec (v vector_cosine_ops) WITH (quantizer = sq8)', 'CREATE INDEX t_h ON t USING quantvec (h)');
my %asked = (
    postgres => "SET enable_seqscan = off; $nearest; SELECT count(*) FROM items",
    own => q{SET enable_seqscan = off; SELECT id, s FROM t ORDER BY h <-> '[40,41,1]' LIMIT 3; SELECT id FROM t ORDER BY v <=> '[1,1,1]' LIMIT 1},
    elsewhere => q{SET enable_seqscan = off; SELECT v FROM t ORDER BY v OPERATOR(ext.<->) '[7,7,7]' LIMIT 3; SELECT count(*) FROM ext.quantvec_check('t_cosine', true)});
# What extensions have is theirs again: as many members, each by its extension alone.
$asked{$_} .= q{; SELECT extname, count(*) FROM pg_depend JOIN pg_extension AS e ON refclassid = 'pg_extension'::regclass AND refobjid = e.oid
    WHERE deptype = 'e' GROUP BY 1 ORDER BY 1} for keys %asked;
my %before = map { $_ => $node->safe_psql($_, $asked{$_}) } keys %asked;
my $folder = PostgreSQL::Test::Utils::tempdir();
for my $database (sort keys %asked)
{
    $node->command_ok([ 'pg_dump', '-Fc', '-f', "$folder/$database.dump", '-d', $node->connstr($database) ], "pg_dump of $database");
    $node->safe_psql('postgres', "CREATE DATABASE restored_$database TEMPLATE template0");
    $node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr("restored_$database"), "$folder/$database.dump" ], "pg_restore of $database");
    is($node->safe_psql("restored_$database", $asked{$database}), $before{$database}, "$database restored: the same answers");
}
is($node->safe_psql('restored_own', q{SELECT count(*) FROM pg_event_trigger WHERE evtname = 'quantvec_keep_alone'}), '1', 'restored once');

unlike(slurp_file("$folder/own.dump"), qr/EVENT TRIGGER/, 'and by CREATE EXTENSION alone');

# ---- what holds it, and how it goes ----

like(answer('restored_elsewhere', 'DROP EXTENSION vector'), qr/extension quantvec_pgvector depends on extension vector/, 'pgvector is held');
like(answer('restored_elsewhere', 'DROP EXTENSION quantvec_pgvector'), qr/index t_v depends on operator class ext.vector_l2_ops for access method quantvec/,
    'an index holds it');
$node->safe_psql('restored_elsewhere', 'DROP EXTENSION quantvec_pgvector CASCADE');
is(answer('restored_elsewhere', 'SELECT count(*) FROM t'), '100', 'the table stays');

# A dump of pgvector into a database with quantvec, by the recipe of docs/migrating.md: all but the indexes hnsw.
new_database('moved_from', 'CREATE EXTENSION vector', 'CREATE TABLE d (id int PRIMARY KEY, e vector(3), h halfvec(3), s sparsevec(9), b bit(4))',
    q{INSERT INTO d SELECT i, ARRAY[i, i, 1]::real[], ARRAY[i, i, 1]::real[]::halfvec, ('{1:' || i || '}/9')::sparsevec, i::bit(4) FROM generate_series(1, 100) AS i},
    'CREATE INDEX d_hnsw ON d USING hnsw (e vector_l2_ops)', 'CREATE INDEX d_order ON d USING btree (e)');
new_database('moved_to', 'CREATE EXTENSION quantvec');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$folder/moved.dump", '-d', $node->connstr('moved_from') ], 'pg_dump of pgvector');
my ($list) = run_command([ 'pg_restore', '-l', "$folder/moved.dump" ]);
write_file("$folder/list", join "\n", grep { !/EXTENSION - vector|COMMENT - EXTENSION vector/ } split /\n/, $list);
my ($restored, $complaints) = run_command([ 'pg_restore', '-L', "$folder/list", '-d', $node->connstr('moved_to'), "$folder/moved.dump" ]);
is(join('|', $complaints =~ /ERROR:  (.*)/g), 'access method "hnsw" does not exist', 'only the index hnsw is missing');
my $contents = 'SELECT count(*), md5(string_agg(d::text, \'\' ORDER BY id)), avg(e), avg(h) FROM d';
is($node->safe_psql('moved_to', $contents), $node->safe_psql('moved_from', $contents), 'all rows are there');
$node->safe_psql('moved_to', 'CREATE INDEX d_quantvec ON d USING quantvec (e)');

my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
$upgraded->init;
$upgraded->append_conf('postgresql.conf', "autovacuum = off\njit = off\n");
$node->stop;
my $bin = $node->config_data('--bindir');
command_ok([ 'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $upgraded->data_dir, '-b', $bin, '-B', $bin,
        '-s', $node->host, '-p', $node->port, '-P', $upgraded->port ], 'pg_upgrade');
$upgraded->start;
for my $database (sort keys %asked)
{
    is($upgraded->safe_psql($database, $asked{$database}), $before{$database}, "$database upgraded: the same answers");
}
answers_are_right($upgraded, 'items', 32, 'upgraded');
like(($upgraded->psql('own', 'CREATE SCHEMA y; CREATE EXTENSION vector SCHEMA y'))[2], qr/cannot be created beside quantvec/, 'upgraded: one type vector');

all_indexes_are_sound($upgraded);
log_is_clean($node, $upgraded);
done_testing();
