# The server dies between any two WAL records of what VACUUM does to an index, and of an insert: nothing is lost,
# the index goes on, and the next VACUUM takes back what was left.
#
# The points are in the library that `make points` builds (src/pg/debug_point.h). Then a standby goes with a
# primary through compaction, training and the reuse of pages.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my $settings = points_settings();
plan skip_all => 'there is no library with debug points (make points)' unless $settings;

my $node = new_server('primary', $settings . q{
    restart_after_crash = on
    max_wal_size = 4GB
});

# name => [dimensions, rows, options]: many rows to a page with refine codes apart, several pages to a block, a
# model with codebooks
my %tables = (
    bq4 => [ 96, 1500, "quantizer = 'bq', bits = 4, lists = 3" ],
    sq8 => [ 600, 300, "quantizer = 'sq8', lists = 2" ],
    pq => [ 32, 2400, "quantizer = 'pq', pq_bits = 4, lists = 3" ]);
for my $table (sort keys %tables)
{
    my ($dim, $rows) = @{ $tables{$table} };
    $node->safe_psql('postgres', qq{
        CREATE TABLE source_$table AS SELECT i AS id, test_vector(i, $dim) AS v FROM generate_series(1, $rows * 2) AS i;
        CREATE TABLE $table (id bigint PRIMARY KEY, v vector($dim)) WITH (autovacuum_enabled = off)});
}

# Rows from..to of the source go into the table.
sub insert_sql
{
    my ($table, $from, $to) = @_;
    return "INSERT INTO $table SELECT * FROM source_$table WHERE id BETWEEN $from AND $to;\n";
}

# A table whose index has chains that grew, with 30 % of the rows dead.
sub fill_for_compaction
{
    my ($table) = @_;
    my ($dim, $rows, $with) = @{ $tables{$table} };
    my $half = $rows / 2;
    $node->safe_psql('postgres', "TRUNCATE $table; DROP INDEX IF EXISTS ${table}_v_idx;\n" . insert_sql($table, 1, $half)
          . "CREATE INDEX ${table}_v_idx ON $table USING quantvec (v) WITH ($with);\n"
          . insert_sql($table, $half + 1, $rows) . "DELETE FROM $table WHERE id % 10 < 3");
    return;
}

# An index that was created empty.
sub fill_for_first_training
{
    my ($table) = @_;
    my ($dim, $rows, $with) = @{ $tables{$table} };
    $node->safe_psql('postgres', "TRUNCATE $table; DROP INDEX IF EXISTS ${table}_v_idx; SET client_min_messages = warning;\n"
          . "CREATE INDEX ${table}_v_idx ON $table USING quantvec (v) WITH ($with);\n"
          . insert_sql($table, 1, $rows) . "DELETE FROM $table WHERE id % 10 < 3");
    return;
}

# One with lists that has grown by more than ten.
sub fill_for_training
{
    my ($table) = @_;
    my ($dim, $rows, $with) = @{ $tables{$table} };
    my $few = int($rows / 16);
    $node->safe_psql('postgres', "TRUNCATE $table; DROP INDEX IF EXISTS ${table}_v_idx; SET client_min_messages = warning;\n"
          . insert_sql($table, 1, $few) . "CREATE INDEX ${table}_v_idx ON $table USING quantvec (v) WITH ($with);\n"
          . insert_sql($table, $few + 1, $rows) . "DELETE FROM $table WHERE id % 10 < 3");
    return;
}

# The server kills itself at the point while it runs `sql`. between: at this point the session is held, and rows
# come in.
sub crash_at
{
    my ($table, $point, $sql, $between) = @_;
    my $rows = $tables{$table}[1];
    my $log = -s $node->logfile;
    my $holder = $between ? hold_point($node) : undef;
    my $victim = start_sql($node, "LOAD 'quantvec'", "SET quantvec.debug_pause_at = '" . ($between // '') . "'",
        "SET quantvec.debug_crash_at = '$point'", $sql);
    if ($between)
    {
        wait_at_point($node);
        $node->safe_psql('postgres', insert_sql($table, $rows + 1, $rows + $rows / 5));
        let_go($node, $holder);
    }
    finish_sql($victim);
    return 0 unless $victim->{err} =~ /server closed the connection|terminated abnormally/;
    $node->wait_for_log(qr/database system is ready to accept connections/, $log);
    $node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
    return 1;
}

# What must hold after the crash: four checks.
sub survives
{
    my ($table, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($dim, $rows) = @{ $tables{$table} };
    my $count = $node->safe_psql('postgres', "SELECT count(*), count(*) FROM $table");
    indexes_are_sound($node, $table, "$name: after the crash");
    is(rows_by_index($node, $table, $dim), $count, "$name: all rows are found");
    # Into all lists.
    $node->safe_psql('postgres', insert_sql($table, int($rows * 1.5), int($rows * 1.8)) . "VACUUM (INDEX_CLEANUP on) $table");
    is($node->safe_psql('postgres', "SELECT leaked_pages, live_rows = table_rows_checked FROM quantvec_check('${table}_v_idx', true)"),
        '0|t', "$name: after inserts and VACUUM no page is lost, and no entry is left");
    is(index_answers($node, $table, $dim), exact_answers($node, $table, $dim), "$name: answers are exact");
    return;
}

# [fill, held while rows come in, [point, ...]]
my $vacuum = 'VACUUM (INDEX_CLEANUP on, TRUNCATE off)';
my @append = qw(append_publish append_publish:8);
my %more_append = (bq4 => [qw(append_refined append_refined:33)], sq8 => [qw(append_extended append_behind append_behind:6)], pq => []);
my @cases = (
    [ 'compaction', \&fill_for_compaction, undef, [
        qw(survey_done compact_begin chain_claimed chain_claimed:3 chain_written chain_written:3 compact_copied compact_caught_up),
        qw(compact_flip compact_flip:2 compact_flipped compact_flipped:2 compact_retire compact_retire:2 compact_retire:5)], [qw(bq4 sq8)] ],
    [ 'compaction beside inserts', \&fill_for_compaction, 'compact_copied',
        [ @append, qw(compact_flip compact_flipped:2) ], [qw(bq4 sq8)] ],
    [ 'first training', \&fill_for_first_training, undef, [
        qw(train_collected run_extended run_extended:4 chain_written chain_written:6 train_written train_caught_up train_sealed train_flip),
        qw(train_flipped survey_stamp survey_stamp:4)], [qw(bq4 pq)] ],
    [ 'training', \&fill_for_training, undef, [
        qw(train_collected run_extended:6 chain_written:8 train_written train_sealed train_sealed:2 train_flip train_flipped),
        qw(survey_stamp survey_stamp:7)], [qw(sq8)] ],
    [ 'training beside inserts', \&fill_for_training, 'train_written',
        [ @append, qw(train_row train_row:50 train_sealed:2 train_flip train_flipped) ], [qw(bq4)] ],
    [ 'training beside inserts', \&fill_for_first_training, 'train_caught_up', [qw(train_row train_row:50 train_flip)], [qw(pq)] ]);
for (@cases)
{
    my ($what, $fill, $between, $points, $of) = @$_;
    for my $table (@$of)
    {
        my @points = (@$points, $between && $what =~ /^compaction/ ? @{ $more_append{$table} } : ());
        for my $point (@points)
        {
            my $name = "$table, $what, $point";
            $fill->($table);
            ok(crash_at($table, $point, "$vacuum $table", $between), "$name: the server died there");
            survives($table, $name);
        }
    }
}

for my $table (qw(bq4 sq8))
{
    my $rows = $tables{$table}[1];
    for my $point (qw(insert_chosen append_extended append_extended:2 append_publish append_publish:30), @{ $more_append{$table} })
    {
        fill_for_compaction($table);
        ok(crash_at($table, $point, insert_sql($table, $rows + 1, $rows + $rows / 2)), "$table, insert, $point: the server died there");
        survives($table, "$table, insert, $point");
    }
}

# A VACUUM has cleared rows and dies before the lists are written anew. The next one finds no dead row in the table, and
# does not take the index for one to which nothing has happened.
for my $table (qw(bq4 sq8))
{
    my ($dim, $rows, $with) = @{ $tables{$table} };
    $node->safe_psql('postgres', $_)
      for "TRUNCATE $table; DROP INDEX ${table}_v_idx", insert_sql($table, 1, $rows),
      "CREATE INDEX ${table}_v_idx ON $table USING quantvec (v) WITH ($with)", $vacuum . " $table", $vacuum . " $table",
      "DELETE FROM $table WHERE id % 10 < 3";
    ok(crash_at($table, 'compact_begin', "$vacuum $table"), "$table: dies when rows are cleared");
    $node->safe_psql('postgres', "$vacuum $table");
    is($node->safe_psql('postgres', "SELECT dead_share FROM quantvec_index_info('${table}_v_idx')"), 0,
        "$table: the next VACUUM writes the lists anew");
    is($node->safe_psql('postgres', "SELECT leaked_pages FROM quantvec_check('${table}_v_idx')"), 0, "$table: no page is lost");
}

# ---- a standby goes with it ----

my ($primary, $standby) = new_followed_server($settings, "max_standby_streaming_delay = 60s\n");

my %followed = (%tables,
    # All pages that are used again go to the same list.
    one => [ 48, 1500, "quantizer = 'sq8', lists = 1" ],
    sq4 => [ 48, 1500, "quantizer = 'sq4', lists = 4" ]);
for my $table (sort keys %followed)
{
    my ($dim, $rows, $with) = @{ $followed{$table} };
    # Above the 1,000 rows from which an index is trained.
    $rows = $followed{$table}[1] = 1200 if $rows < 1200;
    $primary->safe_psql('postgres', qq{
        CREATE TABLE source_$table AS SELECT i AS id, test_vector(i, $dim) AS v FROM generate_series(1, $rows * 2) AS i;
        CREATE TABLE $table (id bigint PRIMARY KEY, v vector($dim));
        SET client_min_messages = warning;
        CREATE INDEX ${table}_v_idx ON $table USING quantvec (v) WITH ($with);
    } . insert_sql($table, 1, $rows));
}

sub follows
{
    my ($when) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $primary->wait_for_catchup($standby);
    for my $table (sort keys %followed)
    {
        my $answers = answers_are_exact($standby, $table, $followed{$table}[0], "$table on the standby $when");
        is($answers, index_answers($primary, $table, $followed{$table}[0]), "$table $when: the standby answers as the primary");
    }
    return;
}

# Searches on the standby while the primary goes on: ten rows, in order. And proofs that its indexes are sound. With the
# default epsilon one search in some hundred thousand meets a row whose bound failed, which leaves a little late.
$primary->safe_psql('postgres', q{
    CREATE FUNCTION search(t regclass, q vector) RETURNS boolean STABLE LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_sort = off SET quantvec.epsilon = 6 AS $$
    DECLARE d float8[];
    BEGIN
        EXECUTE format('SELECT array(SELECT v <-> $1 FROM %s ORDER BY v <-> $1 LIMIT 10)', t) INTO d USING q;
        IF cardinality(d) <> 10 OR d <> array(SELECT unnest(d) ORDER BY 1) THEN
            RAISE EXCEPTION '% gives %', t, d;
        END IF;
        RETURN true;
    END $$;
});
$primary->wait_for_catchup($standby);
my $readers = start_pgbench($standby, [ '-c', 2, '-T', 600 ],
    map { (5 => "\\set q random(1, 1000000)\nSELECT search('$_', test_vector(:q, $followed{$_}[0]));\n",
           1 => "SELECT quantvec_check('${_}_v_idx', true);\n") } sort keys %followed);

# Rows are deleted from the first 75 % of the table, so that nothing happens to the pages of the last 10 %.
sub deletion
{
    my ($table, $which) = @_;
    return "DELETE FROM $table WHERE $which AND id <= 0.75 * $followed{$table}[1];\n";
}

sub untouched
{
    my ($table, $id) = @_;
    my $rows = $followed{$table}[1];
    return $id > 0.9 * $rows && $id <= $rows;
}

# A cursor of the standby that was opened before sees every row once, whatever VACUUM of the primary did since.
sub with_open_cursors
{
    my ($what, $sql) = @_;
    $primary->wait_for_catchup($standby);
    my $reader = $standby->background_psql('postgres');
    my %ids;
    $reader->query_safe('SET enable_seqscan = off; SET enable_sort = off; SET quantvec.probes = 1000000; SET quantvec.epsilon = 6;'
          . ' BEGIN ISOLATION LEVEL REPEATABLE READ');
    for my $table (sort keys %followed)
    {
        $reader->query_safe("DECLARE c_$table CURSOR FOR SELECT id FROM $table ORDER BY v <-> test_vector(7, $followed{$table}[0])");
        $ids{$table} = $reader->query_safe("FETCH 20 FROM c_$table");
        # Replay of VACUUM cannot pass a page of the table that a cursor stands on. (Nor can it mark rows as visible to
        # all that the cursor does not see: no VACUUM after an insert.)
        my $row;
        do { $ids{$table} .= "\n" . ($row = $reader->query_safe("FETCH 1 FROM c_$table")) } until untouched($table, $row);
    }
    $primary->safe_psql('postgres', $sql =~ s/\{table\}/$_/gr) for sort keys %followed;
    $primary->wait_for_catchup($standby);
    my $restarts = 0;
    for my $table (sort keys %followed)
    {
        $ids{$table} .= "\n" . $reader->query_safe("FETCH ALL FROM c_$table");
        $reader->query_safe("CLOSE c_$table");
        $restarts += $reader->query_safe('SELECT restarts FROM quantvec_last_scan()');
        my @ids = sort { $a <=> $b } split /\n/, $ids{$table};
        is(join(',', @ids), join(',', split /\n/, $reader->query_safe("SET LOCAL enable_seqscan = on; SELECT id FROM $table ORDER BY id")),
            "$table: a cursor on the standby across $what gives each row once");
    }
    $reader->query_safe('COMMIT');
    $reader->quit;
    cmp_ok($restarts, '>', 0, "scans on the standby started over across $what");
    return;
}

# Checks of the standby that stand in the middle of a list when the primary's VACUUM moves it, or all lists.
sub with_running_checks
{
    my ($what, $sql) = @_;
    $primary->wait_for_catchup($standby);
    my $holder = hold_point($standby);
    my %check = map { $_ => start_sql($standby, "LOAD 'quantvec'", "SET quantvec.debug_pause_at = 'check_page'",
        "SELECT quantvec_check('${_}_v_idx', true)") } sort keys %followed;
    wait_at_point($standby, scalar keys %check);
    $primary->safe_psql('postgres', $sql =~ s/\{table\}/$_/gr) for sort keys %followed;
    $primary->wait_for_catchup($standby);
    let_go($standby, $holder);
    for my $table (sort keys %check)
    {
        my ($good) = finish_sql($check{$table});
        ok($good, "$table: a check on the standby across $what") or diag $check{$table}{err};
    }
    return;
}

follows('before training');
with_open_cursors('training', 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) {table}');
follows('after training');
$primary->safe_psql('postgres', join '', map { deletion($_, 'id % 10 < 4') } sort keys %followed);
with_open_cursors('compaction', 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) {table}');
follows('after compaction');
my $free = $primary->safe_psql('postgres', "SELECT free_pages FROM quantvec_check('bq4_v_idx')");
$primary->safe_psql('postgres', insert_sql($_, $followed{$_}[1] + 1, $followed{$_}[1] * 2)) for sort keys %followed;
cmp_ok($primary->safe_psql('postgres', "SELECT free_pages FROM quantvec_check('bq4_v_idx')"), '<', $free, 'free pages are used again');
follows('after the reuse of pages');
$primary->safe_psql('postgres', join '', map { deletion($_, 'id % 10 < 7') } sort keys %followed);
with_running_checks('compaction', 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) {table}');
follows('after compaction beside checks');
$primary->safe_psql('postgres', join '', map { deletion($_, 'id % 10 >= 7') } sort keys %followed);
with_open_cursors('compaction and reuse',
    'VACUUM (INDEX_CLEANUP on, TRUNCATE off) {table}; INSERT INTO {table} SELECT id + 100000, v FROM source_{table}');
follows('after more of it');
stop_run($readers);
is($readers->{err}, '', 'no search and no check on the standby met an error');

$primary->safe_psql('postgres', "TRUNCATE $_; " . insert_sql($_, 1, $followed{$_}[1])) for sort keys %followed;
with_running_checks('training', 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) {table}');
follows('after training beside checks');

$standby->promote;
for my $table (sort keys %followed)
{
    $standby->safe_psql('postgres', "DELETE FROM $table WHERE id % 3 = 0; VACUUM (INDEX_CLEANUP on) $table;\n"
          . insert_sql($table, 1, $followed{$table}[1]) =~ s/WHERE/WHERE id % 3 = 0 AND/r
          . "; VACUUM (INDEX_CLEANUP on) $table");
    answers_are_exact($standby, $table, $followed{$table}[0], "$table after promotion");
    is($standby->safe_psql('postgres', "SELECT leaked_pages FROM quantvec_check('${table}_v_idx')"), 0, "$table: no page is lost");
}

all_indexes_are_sound($node, $primary, $standby);
log_is_clean($node, $primary, $standby);
done_testing();
