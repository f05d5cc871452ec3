# A full disk: what needs space fails and changes nothing, VACUUM does the rest of its work, and with space again all
# goes on.
#
# The disk is full for files that may not grow (RLIMIT_FSIZE, which the server takes as an error of the write). The
# table has numbers only, the index vectors made of them, so that it is the largest file.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

plan skip_all => 'there is no prlimit' if system('prlimit --version >/dev/null 2>&1') != 0;

my $node = new_server('primary', '', extra => ['--wal-segsize=1']);
my ($dim, $rows) = (600, 2500);
$node->safe_psql('postgres', qq{
    CREATE TABLE t (id bigint) WITH (autovacuum_enabled = off);
    SET client_min_messages = warning;
    CREATE INDEX t_v ON t USING quantvec ((test_vector(id, $dim)::vector($dim))) WITH (quantizer = 'sq8', lists = 4);
    INSERT INTO t SELECT generate_series(1, $rows);
    CHECKPOINT;
});

my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

# No file may grow beyond so many bytes.
sub limit_files
{
    my ($bytes) = @_;
    system_or_bail('prlimit', "--pid=$postmaster", "--fsize=$bytes:");
    return;
}

# VACUUM's messages, and whether it has frozen the table.
sub vacuum
{
    my (@settings) = @_;
    my $before = $node->safe_psql('postgres', "SELECT relfrozenxid FROM pg_class WHERE relname = 't'");
    $node->safe_psql('postgres', 'SELECT pg_current_xact_id()') for 1 .. 3;
    my ($status, $out, $messages) = $node->psql('postgres', join ';', @settings, 'VACUUM (FREEZE, INDEX_CLEANUP on) t');
    my $after = $node->safe_psql('postgres', "SELECT relfrozenxid FROM pg_class WHERE relname = 't'");
    return ($status == 0 && $after > $before, $messages);
}

sub has_all_rows
{
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM t');
    is($node->safe_psql('postgres', "SELECT table_rows_checked FROM quantvec_check('t_v', true)"), $count,
        "$name: the index is sound and has all rows");
    return;
}

sub size { return $node->safe_psql('postgres', "SELECT pg_relation_size('t_v')"); }

limit_files(size());
my ($frozen, $messages) = vacuum();
like($messages, qr/WARNING:  could not train index "t_v": could not extend file/, 'no space for training: a warning');
ok($frozen, 'no space for training: VACUUM freezes the table');
has_all_rows('no space for training');

my ($status, $out, $err) = $node->psql('postgres', "INSERT INTO t SELECT generate_series($rows + 1, 2 * $rows)");
like($err, qr/ERROR:  could not extend file/, 'no space for rows: an error');
has_all_rows('no space for rows');

limit_files('unlimited');
($frozen, $messages) = vacuum();
is($messages, '', 'space again: no warning');
is($node->safe_psql('postgres', "SELECT trained FROM quantvec_index_info('t_v')"), 't', 'space again: trained');
has_all_rows('trained');

# A new file has no free pages.
$node->safe_psql('postgres', 'REINDEX INDEX t_v; CHECKPOINT; DELETE FROM t WHERE id % 10 < 3');
limit_files(size());
($frozen, $messages) = vacuum();
like($messages, qr/WARNING:  could not write lists of index "t_v" anew: could not extend file/, 'no space for compaction: a warning');
ok($frozen, 'no space for compaction: VACUUM freezes the table');
has_all_rows('no space for compaction');
# So it is where VACUUM has workers for other indexes.
limit_files('unlimited');
$node->safe_psql('postgres', 'CREATE INDEX ON t (id); CREATE INDEX ON t ((id % 7)); CHECKPOINT');
limit_files(size());
($frozen, $messages) = vacuum('SET min_parallel_index_scan_size = 0');
like($messages, qr/WARNING:  could not write lists of index "t_v" anew: could not extend file/, 'the same with workers: a warning');
ok($frozen, 'the same with workers: VACUUM freezes the table');
has_all_rows('the same with workers');

limit_files('unlimited');
($frozen, $messages) = vacuum();
is($messages, '', 'space again: no warning');
is($node->safe_psql('postgres', "SELECT dead_share FROM quantvec_index_info('t_v')"), '0', 'space again: lists without dead rows');
has_all_rows('lists without dead rows');

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
