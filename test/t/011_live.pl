# VACUUM trains indexes in place and gives lists new chains while clients insert, delete, update and search:
# nobody notices but by the time.
#
# Four indexes, one of each code, are created empty, filled until VACUUM trains them, and filled until it trains
# them again, with one VACUUM after the other all along. Then: a cursor across all of it; VACUUM cancelled at
# each of its steps; autovacuum; little memory; the size after much churn.
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
    max_wal_size = 4GB
    shared_buffers = 64MB
    autovacuum_naptime = 1
    max_prepared_transactions = 2
});

# name => [dimensions, options, operator class, operator]
my %tables = (
    bq => [ 48, "quantizer = 'bq', bits = 4, lists = 6", 'vector_cosine_ops', '<=>' ],
    pq => [ 32, "quantizer = 'pq', pq_bits = 4, lists = 5", 'vector_l2_ops', '<->' ],
    sq4 => [ 40, "quantizer = 'sq4', lists = 6", 'vector_ip_ops', '<#>' ],
    sq8 => [ 300, "quantizer = 'sq8', lists = 4", 'vector_l2_ops', '<->' ]);
my @names = sort keys %tables;

$node->safe_psql('postgres', q{
    CREATE SEQUENCE ids;
    CREATE FUNCTION is_sorted(d float8[]) RETURNS boolean IMMUTABLE LANGUAGE sql AS
        'SELECT d = array(SELECT unnest(d) ORDER BY 1)';
    -- Ten rows, in order. (With the default epsilon one search in some hundred thousand meets a row whose bound failed.)
    CREATE FUNCTION search(t regclass, op text, q vector) RETURNS boolean STABLE LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_sort = off SET quantvec.epsilon = 6 AS $$
    DECLARE d float8[];
    BEGIN
        EXECUTE format('SELECT array(SELECT v %s $1 FROM %s ORDER BY v %1$s $1 LIMIT 10)', op, t) INTO d USING q;
        IF cardinality(d) <> 10 OR NOT is_sorted(d) THEN
            RAISE EXCEPTION '% gives %', t, d;
        END IF;
        RETURN true;
    END $$;
    -- A cursor that fetches slowly gives each row that its snapshot sees, in order. Returns how often it started over.
    CREATE FUNCTION browse(t regclass, op text, q vector) RETURNS bigint LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_sort = off SET quantvec.probes = 1000000 SET quantvec.epsilon = 6 AS $$
    DECLARE
        c refcursor;
        row record;
        ids bigint[] := '{}';
        d float8[] := '{}';
        all_ids bigint[];
        again bigint;
    BEGIN
        OPEN c FOR EXECUTE format('SELECT id, v %s $1 AS d FROM %s ORDER BY v %1$s $1', op, t) USING q;
        LOOP
            FETCH c INTO row;
            EXIT WHEN NOT FOUND;
            ids := ids || row.id;
            d := d || row.d;
            IF cardinality(ids) IN (1, 30, 100, 300, 1000) THEN PERFORM pg_sleep(0.1); END IF;
        END LOOP;
        CLOSE c;
        SELECT restarts INTO again FROM quantvec_last_scan();
        EXECUTE format('SELECT array(SELECT id FROM %s ORDER BY id)', t) INTO all_ids;
        IF NOT is_sorted(d) OR array(SELECT unnest(ids) ORDER BY 1) <> all_ids THEN
            RAISE EXCEPTION 'a cursor on % gives % rows of %', t, cardinality(ids), cardinality(all_ids);
        END IF;
        RETURN again;
    END $$;
    CREATE TABLE browsed (restarts bigint);
});

sub create_table
{
    my ($table, $with) = @_;
    my ($dim, $options, $class) = @{ $tables{$table} };
    $node->safe_psql('postgres', qq{
        SET client_min_messages = warning;
        DROP TABLE IF EXISTS $table;
        CREATE TABLE $table (id bigint PRIMARY KEY, v vector($dim), note text) WITH (autovacuum_enabled = off);
        CREATE INDEX ${table}_v_idx ON $table USING quantvec (v $class) WITH ($options);
    });
    return;
}

sub insert_sql
{
    my ($table, $many) = @_;
    return "INSERT INTO $table SELECT i, test_vector(i, $tables{$table}[0])"
      . " FROM (SELECT nextval('ids') AS i FROM generate_series(1, $many)) AS s;\n";
}

# How often the log says so.
sub times_logged
{
    my ($what) = @_;
    my $times = () = slurp_file($node->logfile) =~ /$what/g;
    return $times;
}

sub times_trained { return times_logged("index \"$_[0]_v_idx\" was trained with"); }

# One entry a row after VACUUM, all rows found, none twice, no page lost.
sub is_whole
{
    my ($table, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $table");
    my $count = $node->safe_psql('postgres', "SELECT count(*) FROM $table");
    is($node->safe_psql('postgres', "SELECT leaked_pages, live_rows, table_rows_checked FROM quantvec_check('${table}_v_idx', true)"),
        "0|$count|$count", "$name: the index is sound and has one entry a row");
    is(rows_by_index($node, $table, @{ $tables{$table} }[ 0, 3 ]), "$count|$count", "$name: a scan gives all rows");
    return;
}

# ---- clients beside training and compaction ----

create_table($_) for @names;
# The searches want ten rows.
$node->safe_psql('postgres', insert_sql($_, 50)) for @names;
my @scripts = map {
    my ($table, $dim, $operator) = ($_, $tables{$_}[0], $tables{$_}[3]);
    my $row = "\\set back random(0, 6000)\n";
    my $id = "SELECT id FROM $table WHERE id >= (SELECT last_value - :back FROM ids) AND id > 200 ORDER BY id";
    (   6 => "\\set many random(1, 10)\n" . insert_sql($table, ':many'),
        1 => "BEGIN;\n" . insert_sql($table, 5) . "ROLLBACK;\n",
        2 => "${row}DELETE FROM $table WHERE id IN ($id LIMIT 15 FOR UPDATE SKIP LOCKED);\n",
        2 => "${row}UPDATE $table SET v = test_vector(id + :back, $dim) WHERE id IN ($id LIMIT 1 FOR UPDATE SKIP LOCKED);\n",
        1 => "${row}UPDATE $table SET note = 'in place' WHERE id IN ($id LIMIT 1 FOR UPDATE SKIP LOCKED);\n",
        6 => "\\set q random(1, 1000000)\nSELECT search('$table', '$operator', test_vector(:q, $dim));\n",
        1 => "\\set q random(1, 1000000)\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n"
          . "INSERT INTO browsed SELECT browse('$table', '$operator', test_vector(:q, $dim));\nCOMMIT;\n")
} @names;
my $clients = start_pgbench($node, [ '-c', 4, '-T', 600 ], @scripts);
my $vacuums = start_pgbench($node, [ '-c', 1, '-T', 600 ],
    1 => join '', map { "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $_;\n" } @names);
sub grow_until_trained
{
    my ($times, $rows) = @_;
    my %most = map { $_ => $rows } @names;
    my %inserted;
    while (my @left = grep { times_trained($_) < $times } @names)
    {
        for my $table (@left)
        {
            die "$table was not trained" if ($inserted{$table} += 500) > $rows;
            $node->safe_psql('postgres', insert_sql($table, 500));
        }
    }
    return;
}
grow_until_trained(1, 6000);
grow_until_trained(2, 60000);
# Until each has lists that were written anew, several times.
sub times_rewritten { return times_logged("index \"$_[0]_v_idx\": \\d+ of \\d+ lists written anew"); }
for my $round (1 .. 60)
{
    my @left = grep { times_rewritten($_) < 3 } @names;
    last unless @left;
    $node->safe_psql('postgres', $_)
      for map { ("DELETE FROM $_ WHERE id > 200 AND id % 7 = $round % 7", insert_sql($_, 200)) } @left;
}
my $browsed = $node->safe_psql('postgres', 'SELECT count(*) > 0 FROM browsed');
stop_run($_) for $clients, $vacuums;
is($clients->{err}, '', 'no client met an error');
is($vacuums->{err}, '', 'nor did VACUUM');
is($browsed, 't', 'cursors came to their end');
$node->poll_query_until('postgres',
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'") or die 'clients do not end';
note 'cursors and their restarts: ', $node->safe_psql('postgres', 'SELECT count(*), sum(restarts) FROM browsed');
cmp_ok(times_rewritten($_), '>=', 3, "$_: lists were written anew") for @names;
is_whole($_, "$_ after the clients") for @names;

# ---- a cursor across everything ----

$node->safe_psql('postgres', 'DROP TABLE ' . join ', ', @names);
for my $table (@names)
{
    my ($dim, $options, $class, $operator) = @{ $tables{$table} };
    create_table($table);
    $node->safe_psql('postgres', insert_sql($table, 2000) . "DELETE FROM $table WHERE id % 10 < 4");
    my $reader = $node->background_psql('postgres');
    $reader->query_safe('SET enable_seqscan = off; SET enable_sort = off; SET quantvec.probes = 1000000; SET quantvec.epsilon = 6;'
          . ' BEGIN ISOLATION LEVEL REPEATABLE READ');
    # The first cursor is open all along; one more begins before each step.
    my @cursors;
    my $vacuum = "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $table;";
    my $number = 0;
    my $fetch = sub { $_->{rows} .= $reader->query_safe("FETCH $_[0] FROM c$_->{number}") . "\n" for @cursors; };
    my $before = times_trained($table);
    for my $step (
        $vacuum,    # trains
        "DELETE FROM $table WHERE id % 10 = 5;\n" . insert_sql($table, 500) . "DELETE FROM $table WHERE id % 10 = 6; $vacuum",
        "$vacuum\n" . insert_sql($table, 300),
        insert_sql($table, 14000) . $vacuum)    # trains again
    {
        $reader->query_safe("DECLARE c$number CURSOR FOR SELECT id, v $operator test_vector($number, $dim) FROM $table"
              . " ORDER BY v $operator test_vector($number, $dim)");
        push @cursors, { number => $number++, rows => '' };
        $fetch->(30);
        $node->safe_psql('postgres', $_) for split /\n/, $step;
        $fetch->(30);
    }
    is(times_trained($table) - $before, 2, "$table: trained twice under the cursors");
    my $restarts = 0;
    $fetch->('ALL');
    my $all = join ',', split /\n/, $reader->query_safe("SET LOCAL enable_seqscan = on; SELECT id FROM $table ORDER BY id");
    for my $cursor (@cursors)
    {
        my (@ids, @distances);
        for (split /\n+/, $cursor->{rows})
        {
            my ($id, $distance) = split /\|/;
            push @ids, $id;
            push @distances, $distance;
        }
        ok(join(',', sort { $a <=> $b } @ids) eq $all, "$table, cursor $cursor->{number}: each row once");
        is(scalar(grep { $distances[ $_ - 1 ] > $distances[$_] } 1 .. $#distances), 0, "$table, cursor $cursor->{number}: in order");
        $reader->query_safe("CLOSE c$cursor->{number}");
        my $again = $reader->query_safe('SELECT restarts FROM quantvec_last_scan()');
        cmp_ok($again, '>', 0, "$table, cursor $cursor->{number}: it started over");
    }
    $reader->query_safe('COMMIT');
    $reader->quit;
    is_whole($table, "$table after the cursors");
}

# ---- max_scan_tuples ----

# What was scanned before a scan started over does not count: there it begins anew.
$node->safe_psql('postgres', 'CREATE TABLE capped (id bigserial, v vector(8)) WITH (autovacuum_enabled = off);'
      . 'CREATE INDEX capped_v_idx ON capped USING quantvec (v);'
      . 'INSERT INTO capped (v) SELECT test_vector(i, 8) FROM generate_series(1, 6000) i');
my $capped = $node->background_psql('postgres');
$capped->query_safe('SET enable_seqscan = off; SET enable_sort = off; SET quantvec.probes = 1000000;'
      . ' SET quantvec.epsilon = 6; SET quantvec.max_scan_tuples = 6000; BEGIN;'
      . " DECLARE c CURSOR FOR SELECT id FROM capped ORDER BY v <-> test_vector(1, 8); MOVE 5 FROM c");
$node->safe_psql('postgres', 'VACUUM capped');
my $ids = $capped->query_safe('FETCH ALL FROM c');
is(scalar(split /\n/, $ids), 5995, 'max_scan_tuples, beginning anew: all rows');
$capped->query_safe('CLOSE c');
cmp_ok($capped->query_safe('SELECT restarts FROM quantvec_last_scan()'), '>', 0, 'max_scan_tuples: it started over');
$capped->query_safe('COMMIT');
$capped->quit;

# ---- values of a HOT chain that are older than the index ----

# The index has the last version's value under the row pointer of the first, which an old snapshot keeps. An update
# that was aborted left nothing that counts.
$node->safe_psql('postgres', 'CREATE TABLE hot (id bigint, v vector(8)) WITH (autovacuum_enabled = off, fillfactor = 40);'
      . 'INSERT INTO hot SELECT i, test_vector(i, 8) FROM generate_series(1, 1000) i');
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM hot');
$node->safe_psql('postgres', $_)
  for 'UPDATE hot SET v = test_vector(id + 100000, 8) WHERE id % 10 = 0',
  'BEGIN; UPDATE hot SET v = test_vector(id + 200000, 8) WHERE id % 20 = 0; ROLLBACK',
  'CREATE INDEX hot_v_idx ON hot USING quantvec (v)',
  'INSERT INTO hot SELECT i, test_vector(i, 8) FROM generate_series(2001, 7500) i';
indexes_are_sound($node, 'hot', 'HOT chains older than the index, before training');
$node->safe_psql('postgres', 'VACUUM hot');
is($node->safe_psql('postgres', "SELECT trained, rows FROM quantvec_index_info('hot_v_idx')"), 't|6500',
    'HOT chains older than the index: trained');
indexes_are_sound($node, 'hot', 'HOT chains older than the index, after training');
$old->query_safe('COMMIT');
$old->quit;

# ---- prepared transactions ----

# Their rows count as those of any other that goes on, whatever comes of them, a restart in between included.
for my $end (qw(COMMIT ROLLBACK))
{
    for my $table (qw(pq sq8))
    {
        create_table($table);
        $node->safe_psql('postgres', insert_sql($table, 900));
        $node->safe_psql('postgres', "BEGIN;\n" . insert_sql($table, 700)
              . "DELETE FROM $table WHERE id % 7 = 0; UPDATE $table SET v = test_vector(id + 1000000, $tables{$table}[0])"
              . " WHERE id % 7 = 1; UPDATE $table SET note = 'x' WHERE id % 7 = 2; PREPARE TRANSACTION 'one'");
        my $before = times_trained($table);
        $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $table");
        is(times_trained($table), $before + 1, "$table, $end PREPARED: trained before it");
        indexes_are_sound($node, $table, "$table, before $end PREPARED");
        $node->restart;
        # New chains for all lists, while it is still open.
        $node->safe_psql('postgres', $_)
          for insert_sql($table, 600), "DELETE FROM $table WHERE note IS NULL AND id % 7 > 3",
          "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $table", "$end PREPARED 'one'";
        indexes_are_sound($node, $table, "$table, after $end PREPARED");
        is_whole($table, "$table, after $end PREPARED");
    }
}

# ---- VACUUM cancelled ----

# The table with an index that VACUUM will train, or whose lists it will write anew.
sub prepare
{
    my ($table, $training) = @_;
    create_table($table);
    $node->safe_psql('postgres', insert_sql($table, 1500));
    $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $table") unless $training;
    $node->safe_psql('postgres', "DELETE FROM $table WHERE id % 3 = 0");
    return;
}
for my $table (qw(bq sq8))
{
    for my $at (qw(train_collected run_extended chain_written train_written train_caught_up train_sealed train_flip train_flipped survey_stamp),
        qw(compact_begin chain_claimed compact_copied compact_caught_up compact_flipped compact_retire))
    {
        prepare($table, $at !~ /^(compact|chain_claimed)/);
        my $holder = hold_point($node);
        my $vacuum = start_sql($node, '\set ON_ERROR_STOP 0', "LOAD 'quantvec'", "SET quantvec.debug_pause_at = '$at'",
            "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $table", "SELECT 'goes on' FROM pg_class LIMIT 1");
        wait_at_point($node);
        # The insert that meets a sealed list waits for the VACUUM.
        my $insert = start_sql($node, insert_sql($table, 200));
        if ($at =~ /train_(sealed|flip)$/)
        {
            $node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'object' AND NOT granted")
              or die 'no insert waits';
        }
        else
        {
            my ($good) = finish_sql($insert);
            ok($good, "$table: an insert passes VACUUM at $at") or diag $insert->{err};
        }
        $node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7301 AND NOT granted");
        finish_sql($vacuum);
        is(sqlstate($vacuum), '57014', "$table: VACUUM cancelled at $at");
        is($vacuum->{out}, "goes on\n", "$table: its session goes on after VACUUM was cancelled at $at");
        if ($at =~ /train_(sealed|flip)$/)
        {
            my ($good) = finish_sql($insert);
            ok($good, "$table: an insert goes on when VACUUM at $at is cancelled") or diag $insert->{err};
        }
        let_go($node, $holder);
        $node->safe_psql('postgres', insert_sql($table, 50));
        indexes_are_sound($node, $table, "$table, cancelled at $at");
        is_whole($table, "$table, cancelled at $at");
    }
}

# ---- little memory ----

create_table($_) for @names;
for my $table (@names)
{
    $node->safe_psql('postgres', insert_sql($table, 1200));
    my $before = times_trained($table);
    $node->safe_psql('postgres', "SET maintenance_work_mem = '1MB'; VACUUM (INDEX_CLEANUP on, TRUNCATE off) $table");
    is(times_trained($table), $before + 1, "$table: trained with 1 MB");
    is_whole($table, "$table, trained with 1 MB");
}

# ---- size ----

# A list is written anew when 10 % of its slots are dead, which makes 1.11, or a round later 1.23 at most; the new
# chain of the longest list comes on top, and pages that are not full. Which rows go is given, and so is the size.
my $rows = 12000;
$node->safe_psql('postgres', "CREATE TABLE source AS SELECT i AS n, test_vector(i, 96) AS v FROM generate_series(1, $rows) AS i");
for my $quantizer (qw(bq sq8))
{
    $node->safe_psql('postgres', qq{
        CREATE TABLE churn_$quantizer (id bigint, v vector(96)) WITH (autovacuum_enabled = off);
        INSERT INTO churn_$quantizer SELECT n, v FROM source;
        CREATE INDEX churn_${quantizer}_i ON churn_$quantizer USING quantvec (v) WITH (quantizer = '$quantizer', lists = 30);
    });
    my $most = 0;
    for my $round (1 .. 50)
    {
        $node->safe_psql('postgres', $_)
          for "DELETE FROM churn_$quantizer WHERE hashint8(id + $round * 1000003) % 10 = 0",
          "INSERT INTO churn_$quantizer SELECT $round * 100000 + n, v FROM source WHERE n % 10 = $round % 10",
          "VACUUM (INDEX_CLEANUP on, TRUNCATE off) churn_$quantizer";
        my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('churn_${quantizer}_i')");
        $most = $size if $size > $most;
    }
    indexes_are_sound($node, "churn_$quantizer", "$quantizer, 50 rounds of new rows");
    $node->safe_psql('postgres', "REINDEX INDEX churn_${quantizer}_i");
    my $fresh = $node->safe_psql('postgres', "SELECT pg_relation_size('churn_${quantizer}_i')");
    cmp_ok($most, '<=', 1.3 * $fresh, "$quantizer, 50 rounds of new rows: size (new: $fresh)");
}

# ---- all rows are replaced by others ----

# It is trained anew for that once, and not again while rows change that are like these.
$node->safe_psql('postgres', q{
    CREATE TABLE drifting (id bigint, v vector(96)) WITH (autovacuum_enabled = off);
    INSERT INTO drifting SELECT n, v FROM source;
    CREATE INDEX drifting_v_idx ON drifting USING quantvec (v)});
sub replace_some
{
    my ($round, $part) = @_;
    $node->safe_psql('postgres', $_)
      for "UPDATE drifting SET v = array(SELECT -x FROM unnest(test_vector(id + 100000 * $round, 96)::real[])"
      . " WITH ORDINALITY AS u (x, i) ORDER BY i)::vector WHERE $part",
      'VACUUM (INDEX_CLEANUP on) drifting';
    return;
}
replace_some(0, 'true');
replace_some($_, "id % 10 = $_") for 1 .. 9;
is(times_trained('drifting'), 1, 'other rows, then changes: ten VACUUMs train once');
is($node->safe_psql('postgres', "SELECT drift < 1.1, advice FROM quantvec_index_info('drifting_v_idx')"), 't|',
    'other rows, then changes: lists fit them');
indexes_are_sound($node, 'drifting', 'other rows, then changes');

# ---- shared buffers ----

# VACUUM reads through its ring of 32 buffers, and what it holds on to between two rows is no page of the table.
SKIP:
{
    skip 'pg_buffercache is not installed', 9
      unless $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_buffercache'");
    my $limit = $node->pg_version >= 16 ? ", BUFFER_USAGE_LIMIT '256kB'" : '';
    $node->safe_psql('postgres', q{
        CREATE EXTENSION pg_buffercache;
        CREATE FUNCTION buffers(t regclass, OUT buffers bigint, OUT pinned bigint) LANGUAGE sql AS $$
            SELECT count(*), count(*) FILTER (WHERE pinning_backends > 0) FROM pg_buffercache
            WHERE relfilenode = pg_relation_filenode(t) AND relforknumber = 0 $$;
        CREATE TABLE ring (id bigint, v vector(96)) WITH (autovacuum_enabled = off);
        INSERT INTO ring SELECT n, v FROM source;
        CREATE INDEX ring_v ON ring USING quantvec (v) WITH (quantizer = 'sq8', lists = 4);
        DELETE FROM ring WHERE id % 50 = 0});
    $node->restart;
    $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on $limit) ring");
    is($node->safe_psql('postgres', "SELECT rows, dead_share > 0 FROM quantvec_index_info('ring_v')"), '11760|t',
        'shared buffers: VACUUM has removed rows');
    $node->restart;
    $node->safe_psql('postgres', "DELETE FROM ring WHERE id % 50 = 1; VACUUM (INDEX_CLEANUP on $limit) ring");
    cmp_ok($node->safe_psql('postgres', "SELECT buffers FROM buffers('ring_v')"), '<', 60,
        'shared buffers: VACUUM leaves them to others, of ' . $node->safe_psql('postgres', "SELECT pg_relation_size('ring_v') / 8192") . ' pages');
    # When nothing has happened, VACUUM reads little more than the ends of lists.
    my $vacuum_reads = sub {
        my $seen = "SELECT idx_blks_read + idx_blks_hit FROM pg_statio_user_indexes WHERE indexrelname = 'ring_v'";
        my $before = $node->safe_psql('postgres', $seen);
        $node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) ring; SELECT pg_stat_force_next_flush()');
        return $node->safe_psql('postgres', $seen) - $before;
    };
    my $pages = $node->safe_psql('postgres', "SELECT pg_relation_size('ring_v') / 8192");
    $vacuum_reads->();
    cmp_ok($vacuum_reads->(), '<', $pages / 4, 'nothing has happened: VACUUM does not read the index');
    $node->safe_psql('postgres', 'INSERT INTO ring SELECT * FROM ring LIMIT 1');
    cmp_ok($vacuum_reads->(), '>=', $pages, 'a row has come: it does');
    cmp_ok($vacuum_reads->(), '<', $pages / 4, 'nothing has happened since: it does not');
    # This one has the WAL written out; VACUUM alone waits for nothing.
    $node->safe_psql('postgres', 'CREATE TABLE committed ()');
    $node->stop('immediate');
    $node->start;
    cmp_ok($vacuum_reads->(), '<', $pages / 4, 'nor after a crash');
    $node->safe_psql('postgres', 'INSERT INTO ring SELECT * FROM ring LIMIT 1');
    $node->stop('immediate');
    $node->start;
    cmp_ok($vacuum_reads->(), '>=', $pages, 'a row has come before a crash: it does');
    # In the middle of a training.
    $node->safe_psql('postgres', q{
        DROP INDEX ring_v;
        SET client_min_messages = warning;
        ALTER TABLE ring RENAME TO full_ring;
        CREATE TABLE ring (id bigint, v vector(96)) WITH (autovacuum_enabled = off);
        CREATE INDEX ring_v ON ring USING quantvec (v);
        INSERT INTO ring SELECT * FROM full_ring});
    my $holder = hold_point($node);
    my $vacuum = start_sql($node, "LOAD 'quantvec'", "SET quantvec.debug_pause_at = 'train_written'", 'VACUUM ring');
    wait_at_point($node);
    is($node->safe_psql('postgres', "SELECT buffers > 0, pinned FROM buffers('ring')"), 't|0',
        'shared buffers: a training that waits pins no page of the table');
    let_go($node, $holder);
    ok(finish_run($vacuum), 'shared buffers: it goes on');
}

# ---- autovacuum ----

create_table('pq');
$node->append_conf('postgresql.conf', "autovacuum = on\n");
$node->reload;
$node->safe_psql('postgres', 'ALTER TABLE pq SET (autovacuum_enabled = on, autovacuum_vacuum_insert_threshold = 100,'
      . " autovacuum_vacuum_insert_scale_factor = 0);\n" . insert_sql('pq', 1500));
ok($node->poll_query_until('postgres', "SELECT trained FROM quantvec_index_info('pq_v_idx')"), 'autovacuum trains an index');
$node->append_conf('postgresql.conf', "autovacuum = off\n");
$node->reload;
is_whole('pq', 'trained by autovacuum');

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
