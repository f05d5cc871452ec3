# A cancel or a timeout ends any command of an index: the error is 57014, nothing is left behind, and the next
# try works. CREATE INDEX is cancelled at the beginning and in the middle of each phase. The times from cancel to
# error are shown, not judged.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my ($dim, $rows) = (128, 20000);

my $node = new_server('primary', "max_wal_size = 4GB\n");
$node->safe_psql('postgres', qq{
    CREATE TABLE t (id bigint PRIMARY KEY, v vector($dim));
    INSERT INTO t SELECT i, test_vector(i, $dim) FROM generate_series(1, $rows) AS i;
    -- When each phase of the next CREATE INDEX is seen first and last, in milliseconds from its start.
    CREATE FUNCTION phase_times() RETURNS TABLE (phase text, first float8, last float8) LANGUAGE plpgsql AS \$\$
    DECLARE
        seen boolean := false;
        current record;
    BEGIN
        CREATE TEMP TABLE times (phase text PRIMARY KEY, first float8, last float8);
        LOOP
            PERFORM pg_stat_clear_snapshot();
            SELECT p.phase, extract(epoch FROM clock_timestamp() - a.query_start) * 1000 AS at INTO current
            FROM pg_stat_progress_create_index AS p JOIN pg_stat_activity AS a USING (pid);
            EXIT WHEN seen AND current.phase IS NULL;
            CONTINUE WHEN current.phase IS NULL;
            seen := true;
            INSERT INTO times VALUES (current.phase, current.at, current.at)
            ON CONFLICT ON CONSTRAINT times_pkey DO UPDATE SET last = current.at;
        END LOOP;
        RETURN QUERY SELECT * FROM times;
        DROP TABLE times;
    END \$\$;
    -- Cancels the session that runs a statement with this comment in it, after it has run for a while.
    -- Returns the milliseconds until it has stopped.
    CREATE FUNCTION cancel_after(comment text, milliseconds float8) RETURNS numeric LANGUAGE plpgsql AS \$\$
    DECLARE
        victim integer;
        since timestamptz;
    BEGIN
        FOR try IN 1 .. 10000 LOOP
            PERFORM pg_stat_clear_snapshot();
            SELECT pid INTO victim FROM pg_stat_activity
            WHERE state = 'active' AND query LIKE '%/* ' || comment || ' */%' AND pid <> pg_backend_pid();
            EXIT WHEN victim IS NOT NULL;
            PERFORM pg_sleep(0.001);
        END LOOP;
        PERFORM pg_sleep(milliseconds / 1000);
        since := clock_timestamp();
        PERFORM pg_cancel_backend(victim);
        LOOP
            PERFORM pg_stat_clear_snapshot();
            EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = victim AND state = 'active');
        END LOOP;
        RETURN round(extract(epoch FROM clock_timestamp() - since) * 1000, 1);
    END \$\$;
});

# Files of the database, temporary files, locks and shared memory that somebody holds.
sub left_behind
{
    return $node->safe_psql('postgres', q{
        CHECKPOINT;
        SELECT (SELECT count(*) FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database WHERE datname = 'postgres')) AS f
                WHERE f ~ '^[0-9]'),
               (SELECT count(*) FROM pg_ls_tmpdir()),
               (SELECT count(*) FROM pg_class WHERE relname = 'i'),
               (SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass)
    });
}

# Runs until the cancel came in time. A phase may be over too soon now and then, but not each time.
sub cancelled
{
    my ($name, $run, $cancel, $undo) = @_;
    for my $try (1 .. 20)
    {
        # {late} goes from 1 to 0: some phases are over in a few milliseconds.
        my $late = 1 - ($try - 1) / 19;
        my ($victim, $latency) = start_watched($node, $run, $cancel =~ s/\{late\}/$late/r);
        my ($good) = finish_sql($victim);
        if (!$good && $latency ne '')
        {
            is(sqlstate($victim), '57014', "$name: cancelled");
            diag "$name: $latency ms from cancel to error";
            return;
        }
        $undo->() if $good && $undo;
    }
    fail("$name: is never cancelled");
    return;
}

# ---- CREATE INDEX ----

# The smaller memory makes the sort go through temporary files in several passes, the larger makes the sample and
# the training long enough to be met.
my @settings = (
    [ '64MB', 'lists = 200', 'sampling rows', 'training lists', 'encoding rows', 'writing lists' ],
    [ '1MB', 'lists = 100', 'encoding rows', 'sorting rows by list', 'writing lists' ]);
my $before = left_behind();
for (@settings)
{
    my ($memory, $lists, @phases) = @$_;
    for my $code ("quantizer = 'bq'", "quantizer = 'sq8'")
    {
        my $name = "$code, maintenance_work_mem = $memory";
        my $create = "CREATE INDEX i ON t USING quantvec (v) WITH ($code, $lists)";

        my $build = start_sql($node, "SET maintenance_work_mem = '$memory'", $create);
        my (%first, %last);
        for (split /\n/, $node->safe_psql('postgres', 'SELECT * FROM phase_times()'))
        {
            my ($phase, $first, $last) = split /\|/;
            $phase =~ s/^building index: //;
            ($first{$phase}, $last{$phase}) = ($first, $last);
            note sprintf '%s, %s: %.0f to %.0f ms', $name, $phase, $first, $last;
        }
        finish_sql($build);
        $node->safe_psql('postgres', 'DROP INDEX i');

        for my $phase (@phases)
        {
            my $length = defined $first{$phase} ? $last{$phase} - $first{$phase} : 1;
            for ([ beginning => 0 ], [ middle => $length / 2 ])
            {
                my ($part, $after) = @$_;
                cancelled("$name, $part of $phase",
                    sub { start_sql($node, "SET maintenance_work_mem = '$memory'", $create) },
                    "SELECT test_at_phase('pg_stat_progress_create_index', 'building index: $phase', $after * {late})",
                    sub { $node->safe_psql('postgres', 'DROP INDEX i') });
                is(left_behind(), $before, "$name, $part of $phase: nothing is left");
            }

            # In the middle of the phase, as far as one can foretell it.
            my $timeout = defined $first{$phase} ? $first{$phase} + $length / 2 : 10;
            my $victim;
            for (1 .. 100)
            {
                $victim = start_sql($node, "SET maintenance_work_mem = '$memory'",
                    'SET statement_timeout = ' . int($timeout + 1), $create);
                my ($good) = finish_sql($victim);
                last if !$good;
                $node->safe_psql('postgres', 'DROP INDEX i');
                $timeout *= 0.9;
            }
            is(sqlstate($victim), '57014', "$name: timeout in $phase");
            is(left_behind(), $before, "$name, $phase: nothing is left by the timeout");
        }

        $node->safe_psql('postgres', "SET maintenance_work_mem = '$memory'; $create");
        answers_are_exact($node, 't', $dim, "$name: the next build");
        $node->safe_psql('postgres', 'DROP INDEX i');
    }
}

# ---- scans, inserts, VACUUM ----

for my $code ("quantizer = 'bq', bits = 1", "quantizer = 'bq', bits = 4", "quantizer = 'sq8'")
{
    $node->safe_psql('postgres', "DROP INDEX IF EXISTS i; CREATE INDEX i ON t USING quantvec (v) WITH ($code, lists = 100)");
    my $before_scans = left_behind();
    my %scans = (
        'one scan of everything' => 'SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> test_vector(5, 128)) AS s',
        'many scans of everything' => q{SELECT count(*) FROM generate_series(1, 5) AS q, LATERAL
            (SELECT id FROM t ORDER BY v <-> test_vector(q, 128)) AS s},
        'many short scans' => q{SELECT count(*) FROM generate_series(1, 5000) AS q, LATERAL
            (SELECT id FROM t ORDER BY v <-> test_vector(q, 128) LIMIT 10) AS s});
    for my $scan (sort keys %scans)
    {
        for my $rerank (qw(on off))
        {
            my $after = $scan =~ /^many/ ? 100 : 1;
            my @sql = ('SET enable_seqscan = off; SET enable_sort = off; SET quantvec.probes = 1000000',
                "SET quantvec.rerank = $rerank", "/* victim */ $scans{$scan}");
            cancelled("$code, $scan, rerank = $rerank", sub { start_sql($node, @sql) }, "SELECT cancel_after('victim', $after)");
        }
    }
    for my $phase ('scanning index', 'scanning table')
    {
        cancelled("$code, quantvec_check, $phase", sub { start_sql($node, "SELECT quantvec_check('i', true)") },
            "SELECT test_at_phase('pg_stat_progress_create_index', 'index validation: $phase', 5 * {late})");
    }
    answers_are_exact($node, 't', $dim, "$code: scans after cancelled scans");

    cancelled("$code, inserts",
        sub { start_sql($node, "/* victim */ INSERT INTO t SELECT i, test_vector(i, 128) FROM generate_series(100001, 110000) AS i") },
        "SELECT cancel_after('victim', 200)",
        sub { $node->safe_psql('postgres', 'DELETE FROM t WHERE id > 100000') });
    answers_are_exact($node, 't', $dim, "$code: after a cancelled INSERT");
    is(left_behind(), $before_scans, "$code: nothing is left by scans and inserts");

    $node->safe_psql('postgres', 'DELETE FROM t WHERE id % 10 = 3');
    cancelled("$code, VACUUM",
        sub { start_sql($node, 'SET vacuum_cost_delay = 1', 'SET vacuum_cost_limit = 100', 'VACUUM (INDEX_CLEANUP on) t') },
        "SELECT test_at_phase('pg_stat_progress_vacuum', 'vacuuming indexes', 0)",
        sub { $node->safe_psql('postgres', 'DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 2000)') });
    answers_are_exact($node, 't', $dim, "$code: after a cancelled VACUUM");
    $node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t');
    is($node->safe_psql('postgres', "SELECT rows FROM quantvec_index_info('i')"),
        $node->safe_psql('postgres', 'SELECT count(*) FROM t'), "$code: the next VACUUM clears all dead rows");
    $node->safe_psql('postgres', qq{
        INSERT INTO t SELECT i, test_vector(i, $dim) FROM generate_series(1, $rows) AS i ON CONFLICT DO NOTHING});
    answers_are_exact($node, 't', $dim, "$code: after the next VACUUM");
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
