# A standby has what the primary has: every change of an index is in the WAL, whole and in order.
#
# Each code is tried with vectors of which many, a few and less than one fit on a page. A table "built" gets
# its index when it has rows, a table "empty" before. After each round of changes the pages of the indexes are
# the same on both servers, and so are the answers, which are those of an exact search. The standby compares
# each page that it replays with the image in the WAL. At the end it is promoted and goes on alone.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my %codes = (
    bq1 => "quantizer = 'bq', bits = 1",
    bq4 => "quantizer = 'bq', bits = 4",
    pq => "quantizer = 'pq'",
    sq4 => "quantizer = 'sq4'",
    sq8 => "quantizer = 'sq8'");
# dimensions => rows of one round; 2049 is out of line in the table and wider than a page in the index
my %rows = (3 => 1000, 384 => 300, 2049 => 100);

my ($primary, $standby) = new_followed_server();

my $has_pageinspect = $primary->safe_psql('postgres',
    "SELECT count(*) FROM pg_available_extensions WHERE name = 'pageinspect'");
$primary->safe_psql('postgres', 'CREATE EXTENSION pageinspect') if $has_pageinspect;

my @tables;
for my $code (sort keys %codes)
{
    for my $dim (sort { $a <=> $b } keys %rows)
    {
        push @tables, { name => "${code}_${dim}_$_", with => $codes{$code}, dim => $dim, rows => $rows{$dim} }
          for qw(built empty);
    }
}

# Runs SQL for each table, {table}, {dim}, {rows}, {with} filled in.
sub for_each_table
{
    my ($node, $sql) = @_;
    $node->safe_psql('postgres', join '', map {
        my $t = $_;
        $sql =~ s/\{table\}/$t->{name}/gr =~ s/\{(\w+)\}/$t->{$1}/gr
    } @tables);
    return;
}

sub insert
{
    my ($node, $from) = @_;
    for_each_table($node, qq{
        INSERT INTO {table} (id, v) SELECT $from * {rows} + i, test_vector($from * {rows} + i, {dim})
        FROM generate_series(1, {rows}) AS i;
    });
    return;
}

# All of a page but its LSN and checksum; flags and everything else must agree.
sub pages
{
    my ($node, $index) = @_;
    return $node->safe_psql('postgres', qq{
        SELECT count(*), md5(string_agg(md5(substr(get_raw_page('$index', n::integer), 11)), '' ORDER BY n))
        FROM generate_series(0, pg_relation_size('$index') / current_setting('block_size')::integer - 1) AS n
    });
}

sub compare
{
    my ($round, @of) = @_;
    $primary->wait_for_catchup($standby);
    for my $t (@of ? @of : @tables)
    {
        my $name = "$t->{name} after $round";
        my $answers = answers_are_exact($standby, $t->{name}, $t->{dim}, $name);
        is($answers, index_answers($primary, $t->{name}, $t->{dim}), "$name: standby answers as the primary");
      SKIP:
        {
            skip 'pageinspect is not installed', 1 unless $has_pageinspect;
            is(pages($standby, "$t->{name}_v_idx"), pages($primary, "$t->{name}_v_idx"), "$name: same pages");
        }
    }
    return;
}

for_each_table($primary, 'CREATE TABLE {table} (id bigint PRIMARY KEY, v vector({dim}), note text);');
my @empty = grep { $_->{name} =~ /empty/ } @tables;
my @built = grep { $_->{name} =~ /built/ } @tables;
for my $t (@empty)
{
    $primary->safe_psql('postgres',
        "SET client_min_messages = warning; CREATE INDEX ON $t->{name} USING quantvec (v) WITH ($t->{with})");
}
compare('the index was created empty', @empty);

insert($primary, 0);
for my $t (@built)
{
    $primary->safe_psql('postgres',
        "CREATE INDEX ON $t->{name} USING quantvec (v) WITH ($t->{with}, lists = 3)");
}
compare('the build');

insert($primary, 1);
compare('inserts');

for_each_table($primary, q{
    DELETE FROM {table} WHERE id % 3 = 0;
    UPDATE {table} SET note = 'in place' WHERE id % 7 = 1;
    UPDATE {table} SET v = test_vector(id + 500000, {dim}) WHERE id % 7 = 2;
});
compare('deletes and updates');
for_each_table($primary, 'VACUUM (INDEX_CLEANUP on) {table};');
compare('vacuum');

insert($primary, 2);
compare('inserts into vacuumed tables');

$primary->safe_psql('postgres', "BEGIN; INSERT INTO $_->{name} VALUES (-1, test_vector(0, $_->{dim})); ROLLBACK")
  for @tables;
$primary->restart;
insert($primary, 3);
compare('a rolled back insert and a restart');

for_each_table($primary, 'SET client_min_messages = warning; REINDEX TABLE {table};');
insert($primary, 4);
compare('REINDEX and inserts');

# An unlogged index has no pages there.
$primary->safe_psql('postgres', 'CREATE UNLOGGED TABLE u (v vector(3)); CREATE INDEX u_v ON u USING quantvec (v)');
$primary->wait_for_catchup($standby);
for my $function (qw(quantvec_check quantvec_index_info))
{
    my ($status, $out, $err) = $standby->psql('postgres', "SELECT $function('u_v')");
    like($err, qr/cannot access temporary or unlogged relations during recovery/, "$function: an unlogged index on a standby");
}

$standby->promote;
insert($standby, 5);
for_each_table($standby, q{
    DELETE FROM {table} WHERE id % 3 = 1;
    VACUUM (INDEX_CLEANUP on) {table};
});
insert($standby, 6);
answers_are_exact($standby, $_->{name}, $_->{dim}, "$_->{name} after promotion") for @tables;

all_indexes_are_sound($primary, $standby);
log_is_clean($primary, $standby);
done_testing();
