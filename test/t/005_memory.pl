# CREATE INDEX stays within maintenance_work_mem, and 32 MB for everything else that a backend keeps.
#
# The backend's own memory (RssAnon) is read every 20 ms. QUANTVEC_MEMORY_ROWS chooses the number of rows; from
# 100,000 on the sample and the sort are larger than the smaller settings and their spare megabytes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;
use Time::HiRes qw(time);

my $rows = $ENV{QUANTVEC_MEMORY_ROWS} || 100000;
my $dim = 768;
my $spare = 32;    # MB

# Private memory of a process in MB, or undef.
sub own_memory
{
    my ($pid) = @_;
    open my $status, '<', "/proc/$pid/status" or return;
    while (<$status>) { return $1 / 1024 if /^RssAnon:\s+(\d+) kB/; }
    return;
}

plan skip_all => 'needs RssAnon in /proc/PID/status' unless defined own_memory($$);

my $node = new_server('primary', q{
    max_wal_size = 8GB
    checkpoint_timeout = 1h
    shared_buffers = 128MB
});

# Some thousand random vectors, each turned by one dimension more every time it is used.
my @pool = do {
    srand 1;
    map { pack 'f>*', map { rand() - 0.5 } 1 .. $dim } 1 .. 2000;
};
my $row = 0;
$node->safe_psql('postgres', "CREATE TABLE t (id bigint, v vector($dim))");
copy_vectors($node, 't', $dim, sub {
    return if $row == $rows;
    my $turned = 4 * (int($row / @pool) % $dim);
    my $floats = $pool[ $row++ % @pool ];
    return substr($floats, $turned) . substr($floats, 0, $turned);
});
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), $rows, "$rows rows of $dim dimensions");

for ([ 16, "quantizer = 'bq'" ], [ 64, "quantizer = 'bq'" ], [ 1024, "quantizer = 'bq'" ],
    [ 16, "quantizer = 'sq8'" ], [ 16, "quantizer = 'pq'" ], [ 64, "quantizer = 'sq8', lists = 200" ])
{
    my ($limit, $with) = @$_;
    my $begin = time;
    my $build = start_sql($node, 'SELECT pg_backend_pid()', "SET maintenance_work_mem = '${limit}MB'",
        'SET client_min_messages = warning', "CREATE INDEX i ON t USING quantvec (v) WITH ($with)");
    my ($peak, $pid) = (0);
    while ($build->{handle}->pumpable)
    {
        $build->{handle}->pump_nb;
        $pid //= $1 if $build->{out} =~ /^(\d+)\n/;
        my $now = $pid ? own_memory($pid) // 0 : 0;
        $peak = $now if $now > $peak;
        Time::HiRes::sleep(0.02);
    }
    my ($good) = finish_sql($build);
    ok($good, "$with, maintenance_work_mem = $limit MB") or diag $build->{err};
    cmp_ok($peak, '>', 0, 'the memory was seen');
    cmp_ok($peak, '<=', $limit + $spare, 'it stayed within the limit');
    diag sprintf '%s, %d rows, maintenance_work_mem = %d MB: peak %.1f MB, %s lists, %.1f s', $with, $rows, $limit, $peak,
      $node->safe_psql('postgres', "SELECT lists FROM quantvec_index_info('i')"), time - $begin;
    is($node->safe_psql('postgres', "SELECT rows FROM quantvec_index_info('i')"), $rows, 'all rows are in the index');
    is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), 0, 'no temporary file is left');
    $node->safe_psql('postgres', 'DROP INDEX i');
}

log_is_clean($node);
done_testing();
