# Each spec of test/isolation: sessions that meet VACUUM at a given step of what it does to an index. Those that
# are held at a point wait for an advisory lock (src/pg/debug_point.h), so that the order is given.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use File::Basename qw(basename dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my $settings = points_settings();
plan skip_all => 'there is no library with debug points (make points)' unless $settings;

my $folder = dirname($FindBin::RealBin) . '/isolation';
my $out = PostgreSQL::Test::Utils::tempdir();
my $run = dirname($ENV{PG_REGRESS}) . '/../isolation/pg_isolation_regress';

my $node = new_server('primary', $settings);
my ($host, $port) = ($node->host, $node->port);
for my $spec (map { basename($_, '.spec') } sort glob "$folder/specs/*.spec")
{
    my $log = `"$run" --use-existing --dbname=postgres --host=$host --port=$port --inputdir=$folder --outputdir=$out --bindir= $spec 2>&1`;
    ok($? == 0, $spec) or diag $log, -e "$out/regression.diffs" ? slurp_file("$out/regression.diffs") : '';
    unlink "$out/regression.diffs";
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
