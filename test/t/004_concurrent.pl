# Readers and writers at the same time: at every moment the index answers as an exact search with the same
# snapshot would.
#
# Each SELECT of the clients asks the index and the table within one statement, hence one snapshot, and fails
# if they differ. What meets what is left to chance, and must not matter.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my $seconds = 20;
my $rounds = 8;

my $node = new_server('primary', "max_wal_size = 4GB\n");
$node->safe_psql('postgres', q{
    CREATE SEQUENCE ids;
    -- The distances of the 10 nearest rows in the order in which they come, and the sum of all ids. STABLE:
    -- the caller's snapshot holds.
    CREATE FUNCTION answers(t regclass, q vector) RETURNS text STABLE LANGUAGE plpgsql AS $$
    DECLARE
        nearest text;
        everything text;
    BEGIN
        EXECUTE format('SELECT array(SELECT v <-> $1 FROM %s ORDER BY v <-> $1 LIMIT 10)::text', t)
            INTO nearest USING q;
        EXECUTE format('SELECT (count(*), count(DISTINCT id), sum(id))::text FROM (SELECT id FROM %s ORDER BY v <-> $1) AS s', t)
            INTO everything USING q;
        RETURN nearest || everything;
    END $$;
    CREATE FUNCTION index_answers(t regclass, q vector) RETURNS text STABLE LANGUAGE plpgsql AS
        $$ BEGIN RETURN answers(t, q); END $$
        SET enable_seqscan = off SET enable_sort = off SET quantvec.probes = 1000000 SET quantvec.epsilon = 6;
    CREATE FUNCTION exact_answers(t regclass, q vector) RETURNS text STABLE LANGUAGE plpgsql AS
        $$ BEGIN RETURN answers(t, q); END $$
        SET enable_seqscan = on SET enable_sort = on SET enable_indexscan = off;
    CREATE FUNCTION search(t regclass, q vector) RETURNS boolean STABLE LANGUAGE plpgsql AS $$
    DECLARE
        by_index text := index_answers(t, q);
        exact text := exact_answers(t, q);
    BEGIN
        IF by_index IS DISTINCT FROM exact THEN
            RAISE EXCEPTION 'index of % says %, exact is %', t, by_index, exact;
        END IF;
        RETURN true;
    END $$;
});

my %tables = (
    bq4 => [ 96, "quantizer = 'bq', bits = 4, lists = 5" ],
    sq8 => [ 600, "quantizer = 'sq8', lists = 2" ]);

sub insert_sql
{
    my ($table, $rows) = @_;
    return "INSERT INTO $table SELECT i, test_vector(i, $tables{$table}[0])"
      . " FROM (SELECT nextval('ids') AS i FROM generate_series(1, $rows)) AS s;\n";
}

sub scripts
{
    my ($table) = @_;
    my $dim = $tables{$table}[0];
    # A row is one of the last 3,000; those before go from time to time.
    my $row = "\\set back random(0, 3000)\n";
    my $id = '(SELECT last_value - :back FROM ids)';
    return (
        4 => "\\set many random(1, 5)\n" . insert_sql($table, ':many'),
        1 => "BEGIN;\n" . insert_sql($table, 5) . "ROLLBACK;\n",
        2 => "${row}UPDATE $table SET v = test_vector(id + :back, $dim) WHERE id = $id;\n",
        2 => "${row}UPDATE $table SET note = 'in place' WHERE id = $id;\n",
        4 => "${row}DELETE FROM $table WHERE id = $id;\n",
        # More than one row at once: the lock keeps two of these from waiting for each other.
        1 => "BEGIN;\nSELECT pg_advisory_xact_lock(1);\nDELETE FROM $table WHERE id < (SELECT last_value - 3000 FROM ids);\nCOMMIT;\n",
        # One at a time, and without the lock that cuts the table off, for which it would wait five seconds.
        1 => "VACUUM (INDEX_CLEANUP on, TRUNCATE off, SKIP_LOCKED) $table;\n");
}

sub create_table
{
    my ($table) = @_;
    $node->safe_psql('postgres', qq{
        CREATE TABLE $table (id bigint PRIMARY KEY, v vector($tables{$table}[0]), note text) WITH (fillfactor = 80);
        SELECT setval('ids', 1);
    } . insert_sql($table, 1000));
    return;
}

# After the last VACUUM each row of the table has one entry.
sub one_entry_a_row
{
    my ($table, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $table");
    is($node->safe_psql('postgres', "SELECT rows FROM quantvec_index_info('${table}_v_idx')"),
        $node->safe_psql('postgres', "SELECT count(*) FROM $table"), "$name: one entry for each row");
    return;
}

for my $table (sort keys %tables)
{
    my ($dim, $with) = @{ $tables{$table} };
    create_table($table);
    $node->safe_psql('postgres', "CREATE INDEX ${table}_v_idx ON $table USING quantvec (v) WITH ($with)");

    like($node->safe_psql('postgres', qq{
            SET enable_seqscan = off; SET enable_sort = off; PREPARE p (vector) AS SELECT id FROM $table ORDER BY v <-> \$1;
            SET plan_cache_mode = force_generic_plan; EXPLAIN EXECUTE p(test_vector(1, $dim))}),
        qr/Index Scan using ${table}_v_idx/, "$table: the search takes the index");
    my $clients = start_pgbench($node, [ '-c', 6, '-T', $seconds ], scripts($table),
        4 => "\\set q random(1, 1000000)\nSELECT search('$table', test_vector(:q, $dim));\n",
        1 => "SELECT * FROM quantvec_check('${table}_v_idx', true);\n",
        1 => "SELECT * FROM quantvec_check('${table}_v_idx');\n");
    ok(finish_run($clients), "$table: readers and writers together") or diag $clients->{out}, $clients->{err};
    note $clients->{out};
    answers_are_exact($node, $table, $dim, "$table after readers and writers");
    one_entry_a_row($table, "$table after readers and writers");

    # CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY while rows come and go
    my @writers = scripts($table);
    splice @writers, -2;    # VACUUM would wait for them
    $node->safe_psql('postgres', "DROP INDEX ${table}_v_idx");
    $clients = start_pgbench($node, [ '-c', 4, '-T', 600 ], @writers);
    for my $round (1 .. $rounds)
    {
        my $before = $node->safe_psql('postgres', 'SELECT last_value FROM ids');
        $node->safe_psql('postgres', "CREATE INDEX CONCURRENTLY ${table}_v_idx ON $table USING quantvec (v) WITH ($with)");
        $node->safe_psql('postgres', "SELECT search('$table', test_vector($round, $dim))");
        indexes_are_sound($node, $table, "$table, round $round, CREATE INDEX CONCURRENTLY");
        $node->safe_psql('postgres', "REINDEX INDEX CONCURRENTLY ${table}_v_idx");
        $node->safe_psql('postgres', "SELECT search('$table', test_vector($round, $dim))");
        indexes_are_sound($node, $table, "$table, round $round, REINDEX CONCURRENTLY");
        cmp_ok($node->safe_psql('postgres', 'SELECT last_value FROM ids'), '>', $before, "$table, round $round: rows came in");
        $node->safe_psql('postgres', "DROP INDEX CONCURRENTLY ${table}_v_idx") if $round < $rounds;
    }
    stop_run($clients);
    is($clients->{err}, '', "$table: no writer met an error");
    $node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'") or die 'writers do not end';
    answers_are_exact($node, $table, $dim, "$table after CONCURRENTLY");
    one_entry_a_row($table, "$table after CONCURRENTLY");
}

# ---- quantvec_check beside quick writers ----

# One list, to which all add: a check meets chains that grow under it, and line pointers that VACUUM frees and the
# table takes again between two looks. Neither is damage.
$node->safe_psql('postgres', q{
    CREATE TABLE quick (id bigserial PRIMARY KEY, v vector(3));
    CREATE INDEX quick_1 ON quick USING quantvec (v) WITH (bits = 1, lists = 1);
    CREATE INDEX quick_4 ON quick USING quantvec (v) WITH (bits = 4, lists = 1);
});
my @writers = map { start_pgbench($node, [ '-c', $_->[0], '-T', $seconds ], 1 => $_->[1]) }
  [ 2, 'INSERT INTO quick (v) SELECT ARRAY[random(), random(), random()]::vector FROM generate_series(1, 40);' ],
  [ 1, "DELETE FROM quick WHERE id < (SELECT max(id) - 3000 FROM quick);\nVACUUM (INDEX_CLEANUP on, TRUNCATE off) quick;" ];
my $checks = start_pgbench($node, [ '-c', 2, '-T', $seconds ],
    map { (1 => "SELECT * FROM quantvec_check('quick_$_', true);\nSELECT * FROM quantvec_check('quick_$_');") } 1, 4);
ok(finish_run($_), 'quantvec_check beside quick writers') or diag $_->{out}, $_->{err} for @writers, $checks;
note $checks->{out};
indexes_are_sound($node, 'quick', 'after quick writers');

# ---- a reader with an old snapshot ----

for my $table (sort keys %tables)
{
    my $dim = $tables{$table}[0];
    $node->safe_psql('postgres', "TRUNCATE $table");
    create_rows($table);
    my $query = "SELECT index_answers('$table', test_vector(5, $dim))";
    my $before = $node->safe_psql('postgres', $query);

    my $reader = $node->background_psql('postgres');
    $reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
    is($reader->query_safe($query), $before, "$table: a REPEATABLE READ reader begins");
    $reader->query_safe(qq{
        SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL quantvec.probes = 1000000; SET LOCAL quantvec.epsilon = 6;
        DECLARE c CURSOR FOR SELECT id FROM $table ORDER BY v <-> test_vector(5, $dim)});
    my $ids = $reader->query_safe('FETCH 20 FROM c');

    $node->safe_psql('postgres', "UPDATE $table SET v = test_vector(id + 7, $dim), note = 'new' WHERE id % 2 = 0");
    $node->safe_psql('postgres', "DELETE FROM $table WHERE id % 2 = 1");
    $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $table");
    create_rows($table);
    $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $table");

    is($reader->query_safe($query), $before, "$table: it sees its rows after UPDATE, DELETE and VACUUM");
    is($reader->query_safe("SELECT exact_answers('$table', test_vector(5, $dim))"), $before, "$table: as without the index");
    $ids .= "\n" . $reader->query_safe('FETCH ALL FROM c');
    my @ids = sort { $a <=> $b } split /\n/, $ids;
    my @all = split /\n/, $reader->query_safe("SELECT id FROM $table ORDER BY id");
    is_deeply(\@ids, \@all, "$table: a cursor opened before gives each of them once");
    $reader->query_safe('COMMIT');
    $reader->quit;

    isnt(answers_are_exact($node, $table, $dim, "$table for a new reader"), $before, "$table: a new reader sees the new rows");
    one_entry_a_row($table, "$table after the old reader");
}

sub create_rows
{
    my ($table) = @_;
    $node->safe_psql('postgres', insert_sql($table, 1000));
    return;
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
