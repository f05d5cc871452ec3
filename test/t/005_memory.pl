# CREATE INDEX stays within maintenance_work_mem, and 32 MB for everything else that a backend keeps; leader and
# workers together do so too.
#
# The processes' own memory (RssAnon) and what they share for the build are read every 20 ms. QUANTVEC_MEMORY_ROWS chooses the number of rows; from
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
    while (my $line = <$status>) { return $1 / 1024 if $line =~ /^RssAnon:\s+(\d+) kB/; }
    return;
}

# MB of shared memory segments that a process has mapped, in use or not. The server's main one is not in /dev/shm.
sub segments
{
    my ($pid) = @_;
    no warnings 'portable';    # hexadecimal numbers of 64 bits
    my $bytes = 0;
    open my $maps, '<', "/proc/$pid/maps" or return 0;
    while (my $line = <$maps>)
    {
        $bytes += hex($2) - hex($1) if $line =~ m{^([0-9a-f]+)-([0-9a-f]+) .*/dev/shm/PostgreSQL\.};
    }
    return $bytes / 1024 / 1024;
}

# The parallel workers of a process.
sub workers_of
{
    my ($leader) = @_;
    my @workers;
    for my $file (glob '/proc/[0-9]*/cmdline')
    {
        open my $in, '<', $file or next;
        my $title = <$in> // '';
        push @workers, $file =~ /(\d+)/ if $title =~ /parallel worker for PID $leader\b/;
    }
    return @workers;
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
$node->safe_psql('postgres', "CREATE TABLE t (id bigint, v vector($dim)) WITH (parallel_workers = 2)");
copy_vectors($node, 't', $dim, sub {
    return if $row == $rows;
    my $turned = 4 * (int($row / @pool) % $dim);
    my $floats = $pool[ $row++ % @pool ];
    return substr($floats, $turned) . substr($floats, 0, $turned);
});
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), $rows, "$rows rows of $dim dimensions");

my %checked;
# Megabytes, workers that are wished, workers that there is memory for, options.
for ([ 16, 0, 0, "quantizer = 'bq'" ], [ 64, 0, 0, "quantizer = 'bq'" ], [ 1024, 0, 0, "quantizer = 'bq'" ],
    [ 16, 0, 0, "quantizer = 'sq8'" ], [ 16, 0, 0, "quantizer = 'pq'" ], [ 64, 0, 0, "quantizer = 'sq8', lists = 200" ],
    [ 16, 2, 0, "quantizer = 'bq'" ], [ 40, 2, 1, "quantizer = 'sq8'" ], [ 128, 2, 2, "quantizer = 'sq8'" ],
    [ 128, 2, 2, "quantizer = 'pq'" ], [ 1024, 2, 2, "quantizer = 'bq'" ], [ 64, 2, 1, "quantizer = 'bq', lists = 2000" ])
{
    my ($limit, $wished, $workers, $with) = @$_;
    $node->safe_psql('postgres', 'DROP INDEX IF EXISTS i');
    my $begin = time;
    my $build = start_sql($node, 'SELECT pg_backend_pid()', "SET maintenance_work_mem = '${limit}MB'",
        "SET max_parallel_maintenance_workers = $wished",
        'SET client_min_messages = warning', "CREATE INDEX i ON t USING quantvec (v) WITH ($with)");
    my ($peak, $pid, $most) = (0, undef, 0);
    while ($build->{handle}->pumpable)
    {
        $build->{handle}->pump_nb;
        $pid //= $1 if $build->{out} =~ /^(\d+)\n/;
        if ($pid)
        {
            my @workers = $workers ? workers_of($pid) : ();
            my $now = segments($pid);
            for my $process ($pid, @workers) { $now += own_memory($process) // 0; }
            $peak = $now if $now > $peak;
            $most = @workers if @workers > $most;
        }
        Time::HiRes::sleep(0.02);
    }
    my ($good) = finish_sql($build);
    my $name = "$with, maintenance_work_mem = $limit MB, $workers workers";
    ok($good, $name) or diag $build->{err};
    is($most, $workers, 'the workers were seen');
    cmp_ok($peak, '>', 0, 'the memory was seen');
    cmp_ok($peak, '<=', $limit + $spare, 'it stayed within the limit');
    diag sprintf '%s, %d rows: peak %.1f MB, %s lists, %.1f s', $name, $rows, $peak,
      $node->safe_psql('postgres', "SELECT lists FROM quantvec_index_info('i')"), time - $begin;
    is($node->safe_psql('postgres', "SELECT rows FROM quantvec_index_info('i')"), $rows, 'all rows are in the index');
    is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), 0, 'no temporary file is left');
    # As long as a build by one process: once for each code.
    indexes_are_sound($node, 't', $name) unless $checked{$with}++;
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
