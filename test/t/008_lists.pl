# Choosing lists and scanning again and again: a nested loop does not grow, an index of so many lists that a
# backend keeps no centroids answers exactly, and a scan finds damage in the model.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

# What is damaged below is for us to find, not for the checksums of the server.
my $node = new_server('primary', '', no_data_checksums => 1);

# ---- a nested loop ----

# The statement measures itself at the 1,000th rescan and at the 100,000th: bytes in use in all memory contexts,
# and private memory of the process, which also knows what malloc gave. Both are the same but for what caches
# and the allocator do: 100 kB is a byte a rescan, and the smallest leak, a chunk of 8 bytes with its header,
# would be 16; 2 MB is what the C library may keep in free lists, and a leak of 24 bytes more.
my $rescans = 100000;
# Functions of their own, because a subquery that depends on nothing is not run again.
$node->safe_psql('postgres', q{
    CREATE FUNCTION test_contexts() RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN RETURN (SELECT sum(used_bytes) FROM pg_backend_memory_contexts); END $$;
    CREATE FUNCTION test_process() RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN RETURN substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)'); END $$;
});
my ($spare_contexts, $spare_process) = (100 * 1024, 2 * 1024);
for my $case ([ 'inline', 8, 'bq' ], [ 'inline', 8, 'sq8' ], [ 'toasted', 600, 'bq' ])
{
    my ($name, $dim, $quantizer) = @$case;
    $node->safe_psql('postgres', qq{
        CREATE TABLE t (id bigint, v vector($dim));
        INSERT INTO t SELECT i, test_vector(i, $dim) FROM generate_series(1, 100) i;
        CREATE TABLE q AS SELECT i % 8 AS id, test_vector(1000 + i, $dim) AS v FROM generate_series(1, 8) i;
        CREATE INDEX ON t USING quantvec (v) WITH (lists = 4, quantizer = '$quantizer');
        VACUUM ANALYZE t, q;
    });
    my $sql = qq{
        SELECT n, test_contexts(), test_process()
        FROM (SELECT n, near.id FROM generate_series(1, $rescans) n, LATERAL (
                  SELECT t.id FROM t ORDER BY t.v <-> (SELECT q.v FROM q WHERE q.id = n % 8) LIMIT 3) near
              OFFSET 0) rows
        WHERE n IN (500, 1000, $rescans)};    # no ORDER BY: it would be measured after the sort
    my $settings = 'SET enable_seqscan = off; SET enable_sort = off; SET enable_memoize = off;';
    my $plan = $node->safe_psql('postgres', "$settings EXPLAIN (COSTS OFF) $sql");
    like($plan, qr/Nested Loop.*Index Scan using t_v_idx/s, "$name, $quantizer: a nested loop of index scans");
    my %seen;
    for my $row (split /\n/, $node->safe_psql('postgres', "$settings $sql"))
    {
        my ($n, $contexts, $process) = split /\|/, $row;
        $seen{$n} = [ $contexts, $process ];
    }
    my ($early, $late) = @seen{ 1000, $rescans };
    diag "$name, $quantizer: contexts $early->[0] -> $late->[0] bytes, process $early->[1] -> $late->[1] kB";
    cmp_ok($late->[0] - $early->[0], '<', $spare_contexts, 'memory contexts do not grow');
    cmp_ok($late->[1] - $early->[1], '<', $spare_process, 'the process does not grow');
    $node->safe_psql('postgres', 'DROP TABLE t, q');
}

# ---- many lists ----

# 2,100 centroids of 1,024 floats are 8.6 MB, and more than 8 MB are not kept.
my $dim = 1000;
$node->safe_psql('postgres', qq{
    CREATE TABLE many (id bigint, v vector($dim));
    INSERT INTO many SELECT i, test_vector(i, $dim) FROM generate_series(1, 2500) i;
    CREATE INDEX ON many USING quantvec (v) WITH (lists = 2100, quantizer = 'sq8');
    INSERT INTO many SELECT i, test_vector(i, $dim) FROM generate_series(2501, 2700) i;
});
is($node->safe_psql('postgres', "SELECT lists FROM quantvec_index_info('many_v_idx')"), 2100, 'an index of 2,100 lists');
answers_are_exact($node, 'many', $dim, 'centroids read from their pages');
# A row is in one of the lists where a query for it looks first: a tight list goes before a slightly nearer one.
is($node->safe_psql('postgres', q{
    SET enable_seqscan = off; SET quantvec.probes = 8;
    SELECT count(*) FROM many m WHERE id > 2500 AND id <> (SELECT n.id FROM many n ORDER BY n.v <-> m.v LIMIT 1)}),
    0, 'inserted rows are in lists near them');
# A copy of a row goes where the build put the row, into the nearest list: one list has both or neither.
is($node->safe_psql('postgres', q{
    INSERT INTO many SELECT id + 10000, v FROM many WHERE id <= 2500 AND id % 10 = 0;
    SET enable_seqscan = off; SET quantvec.probes = 1;
    SELECT count(*) FILTER (WHERE found = 2) > 200, count(*) FILTER (WHERE found = 1)
    FROM (SELECT (SELECT count(*) FROM (SELECT n.v FROM many n ORDER BY n.v <-> m.v LIMIT 2) s WHERE s.v = m.v) AS found
          FROM many m WHERE id > 10000) t}),
    't|0', 'copies are in the lists of their rows');

# ---- how many rows the directory says that lists have ----

# ListEntry::rows of each list, as on disk.
sub rows_of_lists
{
    my ($index) = @_;
    $node->safe_psql('postgres', 'CHECKPOINT');
    my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$index')");
    open my $handle, '<:raw', $file or die "$file: $!";
    my $read = sub { seek $handle, $_[0], 0; read $handle, my $bytes, $_[1]; return $bytes; };
    my $lists = unpack 'L<', $read->(64 + 64, 4);
    # MetaPage::directory, at byte 392 of the payload; 84 entries of 96 bytes a page.
    my $first = unpack 'L<', $read->(64 + 392 + 8, 4);
    return map { unpack 'Q<', $read->(($first + int($_ / 84)) * 8192 + 64 + $_ % 84 * 96 + 16, 8) } 0 .. $lists - 1;
}
sub sum { my $sum = 0; $sum += $_ for @_; return $sum; }

# Lists on two pages of the directory. Vectors of one centre come: a lot for a few lists, nothing for the others.
$node->safe_psql('postgres', q{
    CREATE TABLE counted (id bigint, v vector(8)) WITH (autovacuum_enabled = off);
    INSERT INTO counted SELECT i, test_vector(i, 8) FROM generate_series(1, 4000) i;
    CREATE INDEX counted_v ON counted USING quantvec (v) WITH (lists = 100);
});
my @built = rows_of_lists('counted_v');
is(sum(@built), 4000, 'rows of lists: all, as built');
$node->safe_psql('postgres', 'INSERT INTO counted SELECT i * 8, test_vector(i * 8, 8) FROM generate_series(1001, 2000) i');
is(sum(rows_of_lists('counted_v')), 4000, 'rows of lists: an insert does not tell');
$node->safe_psql('postgres', 'VACUUM counted');
my @grown = rows_of_lists('counted_v');
cmp_ok(abs(sum(@grown) - 5000), '<=', 5000 / 8, 'rows of lists: VACUUM tells');
cmp_ok(scalar(grep { $grown[$_] == $built[$_] } 0 .. 99), '>', 50, 'rows of lists: those without news stay');
is(scalar(grep { $grown[$_] != $built[$_] && 8 * ($grown[$_] - $built[$_]) <= $built[$_] } 0 .. 99), 0,
    'rows of lists: an eighth is news');
$node->safe_psql('postgres', 'DELETE FROM counted WHERE id % 8 = 0; VACUUM counted');
cmp_ok(abs(sum(rows_of_lists('counted_v')) - 3500), '<=', 3500 / 8, 'rows of lists: VACUUM tells that rows have gone');
# So it does of one list.
$node->safe_psql('postgres', q{
    SET client_min_messages = warning;
    CREATE TABLE flat (id bigint, v vector(8)) WITH (autovacuum_enabled = off);
    CREATE INDEX flat_v ON flat USING quantvec (v);
    INSERT INTO flat SELECT i, test_vector(i, 8) FROM generate_series(1, 1000) i;
    VACUUM flat;
});
is(join(',', rows_of_lists('flat_v')), 1000, 'rows of lists: of one list');

# ---- damage that a scan meets ----

$node->safe_psql('postgres', q{
    CREATE TABLE few (id bigint, v vector(20));
    INSERT INTO few SELECT i, test_vector(i, 20) FROM generate_series(1, 2000) i;
    CREATE INDEX few_l2 ON few USING quantvec (v vector_l2_ops) WITH (lists = 50);
    CHECKPOINT;
});
# Bytes are written to where `$place` says, while the server is stopped. REINDEX repairs it.
sub damage_is_met
{
    my ($name, $place) = @_;
    my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('few_l2')");
    $node->stop;
    open my $handle, '+<:raw', $file or die "$file: $!";
    my $at = $place->($handle);
    seek $handle, $at, 0;
    print $handle 'no codes';
    close $handle or die "$file: $!";
    $node->start;
    my @query = ('SET enable_seqscan = off', 'SELECT id FROM few ORDER BY v <-> (SELECT v FROM few LIMIT 1) LIMIT 1');
    my $run = start_sql($node, @query);
    finish_sql($run);
    is(sqlstate($run), 'XX002', "$name: an error");
    $node->safe_psql('postgres', 'REINDEX INDEX few_l2');
    ok(finish_run(start_sql($node, @query)), "$name: none after REINDEX");
    return;
}

damage_is_met('damaged codes of centroids', sub {
    my ($handle) = @_;
    # MetaPage::coarse: generation, first page, pages; at byte 456 of the payload, which is at 64.
    seek $handle, 64 + 456, 0;
    read $handle, my $bytes, 16;
    my ($generation, $first, $pages) = unpack 'Q< L< L<', $bytes;
    ok($generation == 1 && $first > 0 && $pages > 0, 'the index has codes of its centroids');
    return $first * 8192 + 64;
});
# MetaPage::build_id, which nothing else tells.
damage_is_met('damaged metapage', sub { return 64 + 32 });

# ---- damage that an insert meets ----

# 64 dimensions are blocks of 768 bytes: the 11th begins at the end of a page, and its codes go on in the next, which
# has no head of its own. An insert goes back from there to the block's head, and on from it if the block is full.
for my $case (
    [ 340, 'the head of the last block is elsewhere', 1, 40, 0 ],
    [ 340, 'the last page is its own head', 1, 40, 2 ],
    [ 352, 'the chain goes on elsewhere', 0, 20, 0 ],
    [ 352, 'the chain goes back', 0, 20, 1 ])
{
    my ($rows, $name, $page, $field, $value) = @$case;
    $node->safe_psql('postgres', qq{
        SET client_min_messages = warning;
        CREATE TABLE chained (id bigint, v vector(64));
        CREATE INDEX chained_v ON chained USING quantvec (v) WITH (bits = 1);
        INSERT INTO chained SELECT i, test_vector(i, 64) FROM generate_series(1, $rows) i;
        CHECKPOINT});
    my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('chained_v')");
    $node->stop;
    open my $handle, '+<:raw', $file or die "$file: $!";
    my $read = sub { seek $handle, $_[0], 0; read $handle, my $bytes, 4; return unpack 'L<', $bytes; };
    # The first scan page of the only list, and the one that it names (PageTail::next).
    my @pages = $read->($read->(64 + 392 + 8) * 8192 + 64 + 28);
    push @pages, $read->($pages[0] * 8192 + 8128 + 20);
    is($read->($pages[1] * 8192 + 8128 + 40), $pages[0], "$name: the last page has no head, and says where it is");
    seek $handle, $pages[$page] * 8192 + 8128 + $field, 0;
    print $handle pack 'L<', $value == 0 ? 0 : $pages[ $value - 1 ];
    close $handle or die "$file: $!";
    $node->start;
    my $run = start_sql($node, 'SET statement_timeout = 20000', 'INSERT INTO chained SELECT i, test_vector(i, 64) FROM generate_series(1001, 1020) i');
    finish_sql($run);
    is(sqlstate($run), 'XX002', "$name: an error");
    $node->safe_psql('postgres', 'DROP TABLE chained');
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
