# A parallel CREATE INDEX makes the index that a serial one makes: workers take part, every row is in it once, and
# the answers are exact. What must not be built in parallel is not. A cancel, an error of a worker and its death end
# the build, and nothing is left behind.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my ($dim, $rows) = (128, 20000);

my $node = new_server('primary', q{
    max_wal_size = 4GB
    max_worker_processes = 16
    max_parallel_workers = 16
    max_parallel_maintenance_workers = 2
    maintenance_work_mem = 128MB
});
$node->safe_psql('postgres', qq{
    CREATE TABLE t (id bigint PRIMARY KEY, v vector($dim)) WITH (parallel_workers = 2);
    INSERT INTO t SELECT i, test_vector(i, $dim) FROM generate_series(1, $rows) AS i;
    CREATE FUNCTION is_worker() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
        \$\$ SELECT backend_type = 'parallel worker' FROM pg_stat_activity WHERE pid = pg_backend_pid() \$\$;
    -- From version 17 on, an index is built with pg_catalog as the search_path.
    CREATE FUNCTION half(v vector) RETURNS vector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        \$\$ SELECT array(SELECT x / 2 FROM unnest(v::real[]) WITH ORDINALITY AS u (x, i) ORDER BY i)::public.vector \$\$;
    CREATE FUNCTION half_unsafe(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE AS
        \$\$ BEGIN RETURN public.half(v); END \$\$;
    CREATE FUNCTION fails_in_worker(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
        \$\$ BEGIN
            IF public.is_worker() THEN RAISE EXCEPTION 'no worker wants this row' USING ERRCODE = 'QVTST'; END IF;
            RETURN v;
        END \$\$;
});

# Runs CREATE INDEX and returns how many workers it says it has, and the rows of each participant.
sub build
{
    my ($sql, @settings) = @_;
    my $run = start_sql($node, (map { "SET $_" } @settings), 'SET client_min_messages = debug1', $sql);
    my ($good) = finish_sql($run);
    ok($good, $sql) or diag $run->{err};
    my ($workers) = $run->{err} =~ /quantvec: using (\d+) parallel workers/;
    my @encoded;
    push @encoded, $1 while $run->{err} =~ /quantvec: participant \d+ of \d+ encoded (\d+) rows/g;
    return ($workers, @encoded);
}

sub sum
{
    my $sum = 0;
    $sum += $_ for @_;
    return $sum;
}

sub info
{
    my ($columns) = @_;
    return $node->safe_psql('postgres', "SELECT $columns FROM quantvec_index_info('i')");
}

# ---- the same index ----

for my $code ("quantizer = 'bq', bits = 1", "quantizer = 'bq', bits = 4", "quantizer = 'sq8'", "quantizer = 'sq4'",
    "quantizer = 'pq'", "quantizer = 'pq', pq_bits = 4", "quantizer = 'bq', lists = 300",
    # So many lists are found by groups.
    "quantizer = 'bq', lists = 5000", "quantizer = 'pq', lists = 4500")
{
    my %metric = ('<->' => 'vector_l2_ops', '<=>' => 'vector_cosine_ops', '<#>' => 'vector_ip_ops');
    for my $operator ($code =~ /bits = 1$|pq'$/ ? sort keys %metric : '<->')
    {
        my $create = "CREATE INDEX i ON t USING quantvec (v $metric{$operator}) WITH ($code)";
        my ($workers) = build($create, 'max_parallel_maintenance_workers = 0');
        is($workers, 0, "$code, $operator: serial");
        my $what = 'quantizer, dim, trained, lists, rows';
        my $serial = info($what);
        my $answers = index_answers($node, 't', $dim, $operator);
        $node->safe_psql('postgres', 'DROP INDEX i; ANALYZE t');

        ($workers, my @encoded) = build($create);
        is($workers, 2, "$code, $operator: two workers");
        is(scalar @encoded, 3, "$code, $operator: three participants");
        is(sum(@encoded), $rows, "$code, $operator: they encoded every row once");
        cmp_ok((sort { $a <=> $b } @encoded)[-1], '<', $rows, "$code, $operator: not one of them all");
        is(info($what), $serial, "$code, $operator: as a serial build");
        is(answers_are_exact($node, 't', $dim, "$code, parallel", $operator),
            $answers, "$code, $operator: answers as of a serial build");
        is($node->safe_psql('postgres', "SELECT reltuples FROM pg_class WHERE relname IN ('i', 't') ORDER BY relname"),
            "$rows\n$rows", "$code, $operator: reltuples");
        $node->safe_psql('postgres', 'DROP INDEX i');
    }
}

# Rows that cannot be indexed are counted by nobody.
$node->safe_psql('postgres', qq{
    CREATE TABLE holes (id bigint, v vector($dim)) WITH (parallel_workers = 2);
    INSERT INTO holes SELECT i, CASE i % 10 WHEN 0 THEN NULL WHEN 1 THEN array_fill(0, ARRAY[$dim])::vector
                                            ELSE test_vector(i, $dim) END
    FROM generate_series(1, $rows) AS i;
});
my ($workers, @encoded) = build('CREATE INDEX i ON holes USING quantvec (v vector_cosine_ops)');
is($workers, 2, 'a table with NULLs: two workers');
is(sum(@encoded), $rows * 8 / 10, 'a table with NULLs: those are left out');
is(info('rows'), $rows * 8 / 10, 'a table with NULLs: rows');
$node->safe_psql('postgres', 'DROP TABLE holes');

# Dead rows, HOT chains, rows of this transaction.
$node->safe_psql('postgres', qq{
    CREATE TABLE moved (id bigint, v vector($dim), n integer) WITH (parallel_workers = 2, fillfactor = 50);
    INSERT INTO moved SELECT i, test_vector(i, $dim), 0 FROM generate_series(1, $rows) AS i;
    UPDATE moved SET n = 1 WHERE id % 3 = 0;
    DELETE FROM moved WHERE id % 3 = 1;
    BEGIN;
    UPDATE moved SET n = 2 WHERE id % 2 = 0;
    CREATE INDEX i ON moved USING quantvec (v);
    COMMIT;
});
answers_are_exact($node, 'moved', $dim, 'after updates and deletes');
$node->safe_psql('postgres', 'REINDEX INDEX i');
answers_are_exact($node, 'moved', $dim, 'REINDEX');
$node->safe_psql('postgres', 'DROP TABLE moved');

# ---- the kinds of indexes ----

($workers) = build('CREATE INDEX i ON t USING quantvec ((half(v)::vector(128))) WHERE id % 4 = 1');
is($workers, 2, 'expression and predicate: two workers');
my $order = "SELECT string_agg(id::text, ',') FROM (SELECT id FROM t WHERE id % 4 = 1
    ORDER BY half(v)::vector(128) <-> test_vector(77, $dim) LIMIT 100) AS s";
my $all = 'SET quantvec.probes = 1000000; SET quantvec.epsilon = 6;';
like($node->safe_psql('postgres', "SET enable_seqscan = off; SET enable_sort = off; EXPLAIN $order"),
    qr/Index Scan using i /, 'expression and predicate: the index is used');
is($node->safe_psql('postgres', "$all SET enable_seqscan = off; SET enable_sort = off; $order"),
    $node->safe_psql('postgres', "SET enable_indexscan = off; $order"), 'expression and predicate: exact answers');
is(info('rows'), $rows / 4, 'expression and predicate: rows');
$node->safe_psql('postgres', 'DROP INDEX i');

my $run = start_sql($node, 'SET client_min_messages = debug1', 'CREATE INDEX CONCURRENTLY i ON t USING quantvec (v)');
$node->safe_psql('postgres', "INSERT INTO t SELECT i, test_vector(i, $dim) FROM generate_series($rows + 1, $rows + 50) AS i");
my ($good) = finish_sql($run);
ok($good, 'CONCURRENTLY') or diag $run->{err};
like($run->{err}, qr/using 2 parallel workers/, 'CONCURRENTLY: two workers');
answers_are_exact($node, 't', $dim, 'CONCURRENTLY');
$node->safe_psql('postgres', "DELETE FROM t WHERE id > $rows");
($workers) = build('REINDEX INDEX CONCURRENTLY i');
is($workers, 2, 'REINDEX CONCURRENTLY: two workers');
answers_are_exact($node, 't', $dim, 'REINDEX CONCURRENTLY');
$node->safe_psql('postgres', 'DROP INDEX i; VACUUM t');

$node->safe_psql('postgres', qq{
    CREATE UNLOGGED TABLE u WITH (parallel_workers = 2) AS SELECT * FROM t;
    CREATE TABLE small (id bigint, v vector($dim)) WITH (parallel_workers = 2);
    INSERT INTO small SELECT * FROM t LIMIT 100;
});
($workers) = build("CREATE INDEX i ON u USING quantvec ((v::vector($dim)))");
is($workers, 2, 'unlogged: two workers');
is(info('rows'), $rows, 'unlogged: rows');
$node->safe_psql('postgres', 'DROP TABLE u');
($workers) = build('CREATE INDEX i ON small USING quantvec (v)');
is($workers, 0, 'small table: serial');
$node->safe_psql('postgres', 'TRUNCATE small; DROP TABLE small');
($workers) = build('CREATE INDEX i ON t USING quantvec ((half_unsafe(v)::vector(128)))');
is($workers, 0, 'expression that is not parallel safe: serial');
$node->safe_psql('postgres', 'DROP INDEX i');
($workers) = build('CREATE INDEX i ON t USING quantvec (v)', "maintenance_work_mem = '2MB'");
is($workers, 0, 'maintenance_work_mem = 2MB: too little for two');
is(info('rows'), $rows, 'maintenance_work_mem = 2MB: rows');
$node->safe_psql('postgres', 'DROP INDEX i');
($workers) = build('CREATE INDEX i ON t USING quantvec (v)', 'max_parallel_workers = 0');
is($workers, 0, 'no worker to be had: serial');
$node->safe_psql('postgres', 'DROP INDEX i');
($workers) = build('CREATE INDEX i ON t USING quantvec (v)', 'max_parallel_workers = 1');
is($workers, 1, 'one worker to be had');
answers_are_exact($node, 't', $dim, 'one worker to be had');
$node->safe_psql('postgres', 'DROP INDEX i');
my $temporary = '';
$node->psql('postgres', "SET client_min_messages = debug1; CREATE TEMP TABLE x WITH (parallel_workers = 2) AS SELECT * FROM t;
    CREATE INDEX ON x USING quantvec ((v::vector($dim)))", stderr => \$temporary);
like($temporary, qr/using 0 parallel workers/, 'temporary table: serial');

# ---- ends before the end ----

# Files of the database, temporary files, shared memory and workers that are still there.
sub left_behind
{
    return $node->safe_psql('postgres', q{
        CHECKPOINT;
        SELECT (SELECT count(*) FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database WHERE datname = 'postgres')) AS f
                WHERE f ~ '^[0-9]'),
               (SELECT count(*) FROM pg_ls_tmpdir()),
               (SELECT count(*) FROM pg_class WHERE relname = 'i'),
               (SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass),
               (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker')
    });
}
my $before = left_behind();

$run = start_sql($node, "CREATE INDEX i ON t USING quantvec ((fails_in_worker(v)::vector($dim)))");
($good) = finish_sql($run);
ok(!$good, 'an error in a worker ends the build');
is(sqlstate($run), 'QVTST', 'an error in a worker: it comes through');
like($run->{err}, qr/CONTEXT:.*parallel worker/s, 'an error in a worker: it says so');
is(left_behind(), $before, 'an error in a worker: nothing is left');

# The phase is met at most times; a build that was faster is tried again.
my %latency;
for my $code ("quantizer = 'bq', lists = 300", "quantizer = 'pq', lists = 300", "quantizer = 'bq', lists = 5000")
{
    my $create = "CREATE INDEX i ON t USING quantvec (v) WITH ($code)";
    for my $phase ('sampling rows', 'training lists', 'encoding rows', 'writing lists')
    {
        for my $after (0, 20)
        {
            my ($ms, $state) = ('', '');
            for my $try (1 .. 10)
            {
                (my $victim, $ms) = start_watched($node, sub { start_sql($node, $create) },
                    "SELECT test_at_phase('pg_stat_progress_create_index', 'building index: $phase', $after / $try.0)");
                my ($done) = finish_sql($victim);
                $state = sqlstate($victim);
                last if !$done && $ms ne '';
                $node->safe_psql('postgres', 'DROP INDEX IF EXISTS i');
            }
            is($state, '57014', "$code, $phase: cancelled after $after ms");
            is(left_behind(), $before, "$code, $phase: nothing is left");
            push @{ $latency{$phase} }, $ms;
        }
    }
}
diag "$_: @{$latency{$_}} ms from cancel to error" for sort keys %latency;

# A worker that is told to go takes the build with it.
for my $phase ('training lists', 'encoding rows')
{
    my $state = 'not met';
    for my $try (1 .. 20)
    {
        my ($victim) = start_watched($node,
            sub { start_sql($node, "CREATE INDEX i ON t USING quantvec (v) WITH (quantizer = 'pq', lists = 300)") },
            "SELECT test_at_phase('pg_stat_progress_create_index', 'building index: $phase', NULL)",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1");
        my ($done) = finish_sql($victim);
        $state = sqlstate($victim);
        last if !$done;
        $node->safe_psql('postgres', 'DROP INDEX IF EXISTS i');
    }
    is($state, '57P01', "$phase: a terminated worker ends the build");
    is(left_behind(), $before, "$phase: a terminated worker leaves nothing");
}

build('CREATE INDEX i ON t USING quantvec (v)');
answers_are_exact($node, 't', $dim, 'the next build');

# ---- a VACUUM with parallel workers ----

# They do other indexes of the table; ours is the leader's. What cannot be trained is a warning, and VACUUM does the
# rest of its work.
$node->safe_psql('postgres', q{
    SET client_min_messages = warning;
    CREATE TABLE cared (id bigint, v vector(16)) WITH (autovacuum_enabled = off);
    CREATE INDEX ON cared (id);
    CREATE INDEX ON cared ((id % 7));
    CREATE INDEX cared_v ON cared USING quantvec (v) WITH (quantizer = 'pq', lists = 1000);
    INSERT INTO cared SELECT i, test_vector(i, 16) FROM generate_series(1, 30000) AS i;
    VACUUM (INDEX_CLEANUP off) cared;
});
sub vacuum_in_parallel
{
    my ($name, @settings) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = $node->safe_psql('postgres', "SELECT relfrozenxid FROM pg_class WHERE relname = 'cared'");
    $node->safe_psql('postgres', 'SELECT pg_current_xact_id()') for 1 .. 3;
    my ($status, $out, $messages) = $node->psql('postgres', join ';', (map { "SET $_" } @settings),
        'SET min_parallel_index_scan_size = 0', 'VACUUM (FREEZE, VERBOSE, INDEX_CLEANUP on) cared');
    is($status, 0, "$name: VACUUM comes to its end");
    like($messages, qr/launched 1 parallel vacuum worker for index/, "$name: with a worker");
    cmp_ok($node->safe_psql('postgres', "SELECT relfrozenxid FROM pg_class WHERE relname = 'cared'"), '>', $before,
        "$name: the table is frozen");
    return $messages;
}
like(vacuum_in_parallel('little memory', "maintenance_work_mem = '1MB'"),
    qr/WARNING:  could not train index "cared_v": memory required is about \d+ MB/, 'little memory: a warning');
$node->safe_psql('postgres', 'ALTER INDEX cared_v SET (pq_m = 32)');
like(vacuum_in_parallel('impossible options'), qr/WARNING:  could not train index "cared_v": pq_m is 32, but/,
    'impossible options: a warning');
$node->safe_psql('postgres', 'ALTER INDEX cared_v RESET (pq_m, lists)');
# In the middle, with files open and pages pinned.
like(vacuum_in_parallel('no temporary files', "maintenance_work_mem = '2MB'", "temp_file_limit = '64kB'"),
    qr/WARNING:  could not train index "cared_v": temporary file size exceeds/, 'no temporary files: a warning');
is($node->safe_psql('postgres', "SELECT trained FROM quantvec_index_info('cared_v')"), 'f', 'after all that: not trained');
my $messages = vacuum_in_parallel('trained');
like($messages, qr/INFO:  index "cared_v" was trained with \d+ lists for \d+ rows/, 'trained: VACUUM VERBOSE says it');
is($node->safe_psql('postgres', "SELECT trained FROM quantvec_index_info('cared_v')"), 't', 'trained: it is');
answers_are_exact($node, 'cared', 16, 'trained');
$node->safe_psql('postgres', 'DELETE FROM cared WHERE id % 3 = 0');
like(vacuum_in_parallel('dead rows'), qr/INFO:  index "cared_v": \d+ of \d+ lists written anew/, 'dead rows: lists are written anew');
answers_are_exact($node, 'cared', 16, 'dead rows');
# An index on an expression, which may run anything: before version 17 nothing could hold it.
$node->safe_psql('postgres', q{
    SET client_min_messages = warning;
    TRUNCATE cared;
    DROP INDEX cared_v;
    CREATE INDEX cared_half ON cared USING quantvec ((half(v)::vector(16))) WITH (lists = 10);
    INSERT INTO cared SELECT i, test_vector(i, 16) FROM generate_series(1, 3000) AS i;
});
$messages = vacuum_in_parallel('an expression');
if ($node->pg_version < 17)
{
    like($messages, qr/WARNING:  index "cared_half" on an expression is not trained by a parallel VACUUM/, 'an expression: a warning');
    $node->safe_psql('postgres', 'VACUUM (PARALLEL 0) cared');
}
is($node->safe_psql('postgres', "SELECT trained FROM quantvec_index_info('cared_half')"), 't', 'an expression: trained');

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
