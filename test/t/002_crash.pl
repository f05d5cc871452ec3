# After a crash an index has every row that was committed, and goes on.
#
# Twenty times the server is stopped at once while four clients insert, update, delete and checkpoint. When
# the crash comes is left to chance: it must not matter. Then one backend is killed, and the server is stopped
# in the phases of CREATE INDEX, in VACUUM, right after a build, and with an unlogged table.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;
use Time::HiRes qw(sleep);

my $cycles = 20;

my $node = new_server('primary', q{
    restart_after_crash = on
    max_wal_size = 4GB
    wal_skip_threshold = 64kB
});

sub crash
{
    $node->stop('immediate');
    $node->start;
    return;
}

# ---- crashes while rows come and go ----

# name => [dimensions, options]: blocks of many rows to a page, about one to a page, several pages to a block
my %tables = (
    bq1 => [ 100, "quantizer = 'bq', bits = 1, lists = 3" ],
    bq4 => [ 384, "quantizer = 'bq', bits = 4, lists = 3" ],
    sq8 => [ 600, "quantizer = 'sq8', lists = 3" ]);

$node->safe_psql('postgres', 'CREATE SEQUENCE ids');
for my $table (sort keys %tables)
{
    my ($dim, $with) = @{ $tables{$table} };
    $node->safe_psql('postgres', qq{
        CREATE TABLE $table (id bigint PRIMARY KEY DEFAULT nextval('ids'), v vector($dim));
        INSERT INTO $table SELECT i, test_vector(i, $dim) FROM (SELECT nextval('ids') AS i FROM generate_series(1, 100)) AS s;
        CREATE INDEX ON $table USING quantvec (v) WITH ($with);
    });
}

sub all_answers_are_exact
{
    my ($when) = @_;
    answers_are_exact($node, $_, $tables{$_}[0], "$_ $when") for sort keys %tables;
    return;
}

sub start_clients
{
    my $insert = join '', map {
        "INSERT INTO $_ SELECT i, test_vector(i, $tables{$_}[0])"
          . " FROM (SELECT nextval('ids') AS i FROM generate_series(1, :many)) AS s;\n"
    } sort keys %tables;
    my $change = join '', map {
        "UPDATE $_ SET v = test_vector(id + 1, $tables{$_}[0]) WHERE id = :row;\n"
          . "DELETE FROM $_ WHERE id = :row + 1;\n"
    } sort keys %tables;
    return start_pgbench($node, [ '-n', '-c', 4, '-T', 120 ],
        10 => "\\set many random(1, 5)\n$insert",
        2 => "\\set many random(1, 5)\nBEGIN;\n${insert}ROLLBACK;\n",
        2 => "\\set row random(1, 10000)\n$change",
        1 => "CHECKPOINT;\n");
}

# Waits until the clients have done something.
sub wait_for_inserts
{
    my $next = $node->safe_psql('postgres', 'SELECT last_value + 300 FROM ids');
    $node->poll_query_until('postgres', "SELECT last_value > $next FROM ids") or die 'no rows came in';
    return;
}

for my $cycle (1 .. $cycles)
{
    my $clients = start_clients();
    wait_for_inserts();
    sleep rand 0.3;
    $node->stop('immediate');
    finish_run($clients);
    $node->start;
    all_answers_are_exact("after crash $cycle");
    # Every other cycle goes on from a vacuumed index.
    $node->safe_psql('postgres', join ';', map { "VACUUM (INDEX_CLEANUP on) $_" } sort keys %tables) if $cycle % 2;
}

{
    my $clients = start_clients();
    wait_for_inserts();
    my $pid = $node->safe_psql('postgres',
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1");
    is(kill('KILL', $pid), 1, 'a backend is killed');
    finish_run($clients);
    $node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
    like(slurp_file($node->logfile), qr/all server processes terminated; reinitializing/, 'the server restarts itself');
    all_answers_are_exact('after a killed backend');
}

$node->safe_psql('postgres', "DELETE FROM $_; VACUUM (INDEX_CLEANUP on) $_") for sort keys %tables;
{
    my $clients = start_clients();
    wait_for_inserts();
    stop_run($clients);
    all_answers_are_exact('emptied and filled again');
}

# ---- crashes in CREATE INDEX ----

my ($dim, $rows) = (64, 20000);
$node->safe_psql('postgres', qq{
    CREATE TABLE big (id bigint, v vector($dim));
    INSERT INTO big SELECT i, test_vector(i, $dim) FROM generate_series(1, $rows) AS i;
});
for my $phase ('sampling rows', 'training lists', 'encoding rows', 'writing lists')
{
    my $caught;
    # A phase may be over before it is seen.
    for (1 .. 20)
    {
        my ($build, $seen) = start_watched($node,
            sub { start_sql($node, 'CREATE INDEX big_v_idx ON big USING quantvec (v) WITH (lists = 500)') },
            "SELECT test_at_phase('pg_stat_progress_create_index', 'building index: $phase', NULL)");
        $caught = $seen ne '';
        crash() if $caught;
        my ($built) = finish_sql($build);
        last if $caught && !$built;
        $caught = 0;
        $node->safe_psql('postgres', 'DROP INDEX big_v_idx');
    }
    ok($caught, "crash in CREATE INDEX, $phase");
    is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = 'big_v_idx'"), 0, 'there is no index');
}
$node->safe_psql('postgres', "CREATE INDEX big_v_idx ON big USING quantvec (v) WITH (quantizer = 'sq8', lists = 50)");
answers_are_exact($node, 'big', $dim, 'build after crashes in builds');

# ---- crash in VACUUM ----

$node->safe_psql('postgres', "DELETE FROM big WHERE id <= $rows / 2");
{
    # Slow enough to be met on its way through some 200 pages.
    my $vacuum = start_sql($node, 'SET vacuum_cost_delay = 8', 'SET vacuum_cost_limit = 20', 'VACUUM (INDEX_CLEANUP on) big');
    $node->poll_query_until('postgres', "SELECT dead_share > 0.05 FROM quantvec_index_info('big_v_idx')")
      or die 'VACUUM does not come to the index';
    # What VACUUM has done so far is not lost with the WAL buffers.
    $node->safe_psql('postgres', 'SELECT pg_switch_wal()');
    crash();
    my ($good) = finish_sql($vacuum);
    ok(!$good, 'crash in VACUUM');
    answers_are_exact($node, 'big', $dim, 'after a crash in VACUUM');
    my $dead = $node->safe_psql('postgres', "SELECT dead_share FROM quantvec_index_info('big_v_idx')");
    ok($dead > 0 && $dead < 0.5, "a part of the dead rows was cleared ($dead of all rows)");
    $node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) big');
    is($node->safe_psql('postgres', "SELECT rows FROM quantvec_index_info('big_v_idx')"), $rows / 2, 'the next VACUUM clears the rest');
    # New rows get the places of the old in the table.
    $node->safe_psql('postgres', "INSERT INTO big SELECT i, test_vector(i, $dim) FROM generate_series(1000001, 1010000) AS i");
    answers_are_exact($node, 'big', $dim, 'after VACUUM and inserts');
}

# ---- built in the transaction that made the table ----

for my $level (qw(minimal replica))
{
    $node->append_conf('postgresql.conf', "wal_level = $level\nmax_wal_senders = 0\n");
    $node->restart;
    for my $size (10, 5000)
    {
        $node->safe_psql('postgres', qq{
            BEGIN;
            CREATE TABLE fresh (id bigint, v vector($dim));
            INSERT INTO fresh SELECT i, test_vector(i, $dim) FROM generate_series(1, $size) AS i;
            CREATE INDEX ON fresh USING quantvec (v) WITH (lists = 5);
            INSERT INTO fresh SELECT i, test_vector(i, $dim) FROM generate_series($size + 1, 2 * $size) AS i;
            COMMIT;
        });
        crash();
        answers_are_exact($node, 'fresh', $dim, "wal_level = $level, table of $size rows made with its index, crash");
        $node->safe_psql('postgres', 'DROP TABLE fresh');
    }
}

# ---- unlogged ----

$node->safe_psql('postgres', qq{
    CREATE UNLOGGED TABLE unlogged (id bigint, v vector($dim));
    INSERT INTO unlogged SELECT i, test_vector(i, $dim) FROM generate_series(1, 1000) AS i;
    CREATE INDEX ON unlogged USING quantvec (v) WITH (lists = 5);
});
$node->restart;
is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged'), 1000, 'unlogged table after a restart: all rows');
answers_are_exact($node, 'unlogged', $dim, 'unlogged table after a restart');
for my $crash (1 .. 3)
{
    # The last time without a checkpoint since the index was made.
    $node->safe_psql('postgres', 'REINDEX TABLE unlogged') if $crash == 3;
    crash();
    is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged'), 0, "unlogged table after crash $crash: no rows");
    is($node->safe_psql('postgres', "SELECT rows FROM quantvec_index_info('unlogged_v_idx')"), 0, 'nor in its index');
    answers_are_exact($node, 'unlogged', $dim, 'empty unlogged table');
    $node->safe_psql('postgres', "INSERT INTO unlogged SELECT i, test_vector(i, $dim) FROM generate_series(1, 1000) AS i");
    answers_are_exact($node, 'unlogged', $dim, 'unlogged table filled after a crash');
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
