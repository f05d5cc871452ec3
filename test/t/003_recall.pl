# Recall on real vectors against exact search.
#
# A row that is returned counts if its exact distance is not above that of the true tenth: rows at the same
# distance are equally right. Data, queries and seeds are fixed, so a machine gets the same figures each time. On
# another processor k-means may round otherwise and make slightly other lists: with other lists altogether (150 to
# 600 instead of 308) bq 4 without rerank has .953 to .956 on wordnet, bq 1 .725 to .740, so that the thresholds
# of .95 and .70 are passed by a change of the code, not by chance. Measured figures are shown.
#
#   fashion-mnist   60,000 images of 784 pixels, L2; queries are the first of its test images; exact answers
#                   by sequential scan. Debian's package dataset-fashion-mnist.
#   wordnet-384     116,691 texts, cosine; queries are sentences; exact answers come with the data.
#                   In the folder QUANTVEC_DATA.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Uncompress::Gunzip ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;
use Time::HiRes qw(time);

my $k = 10;

my $node = new_server('primary', q{
    shared_buffers = 512MB
    maintenance_work_mem = 512MB
    max_wal_size = 8GB
});

# For each query the distances of its rows, in the order in which they come.
sub nearest
{
    my ($set, $settings) = @_;
    my $out = $node->safe_psql('postgres', "$settings; SELECT array_to_string(array("
          . "SELECT t.v $set->{operator} q.v FROM $set->{name} AS t ORDER BY t.v $set->{operator} q.v LIMIT $k), ' ')"
          . " FROM $set->{name}_queries AS q ORDER BY q.id");
    return [ map { [ split / / ] } split /\n/, $out ];
}

my $index_only = 'SET enable_seqscan = off; SET enable_sort = off';

sub recall
{
    my ($exact, $found) = @_;
    my $right = 0;
    for my $q (0 .. $#$exact)
    {
        my $last = $exact->[$q][-1];
        $right += grep { $_ <= $last } @{ $found->[$q] };
    }
    return $right / ($k * @$exact);
}

sub test_set
{
    my ($set) = @_;
    my $queries = @{ $set->{exact} };
    is($node->safe_psql('postgres', "SELECT count(*) FROM $set->{name}_queries"), $queries, "$set->{name}: $queries queries");
    is(scalar(grep { @$_ == $k } @{ $set->{exact} }), $queries, "$set->{name}: each has $k exact answers");
    for my $code (sort keys %{ $set->{alone} })
    {
        my $begin = time;
        $node->safe_psql('postgres',
            "DROP INDEX IF EXISTS i; CREATE INDEX i ON $set->{name} USING quantvec (v $set->{opclass}) WITH ($set->{codes}{$code})");
        my $built = time - $begin;
        my $lists = $node->safe_psql('postgres', "SELECT lists FROM quantvec_index_info('i')");
        like($node->safe_psql('postgres', "$index_only; EXPLAIN SELECT v $set->{operator} (SELECT v FROM $set->{name}_queries LIMIT 1)"
                  . " FROM $set->{name} ORDER BY v $set->{operator} (SELECT v FROM $set->{name}_queries LIMIT 1) LIMIT $k"),
            qr/Index Scan using i/, "$set->{name}, $code: the index is used");

        my $all = "$index_only; SET quantvec.probes = $lists";
        my $found = nearest($set, $all);
        my $recall = recall($set->{exact}, $found);
        cmp_ok($recall, '>=', 0.9995, "$set->{name}, $code, all $lists lists: recall $recall");
        is_deeply(nearest($set, "$all; SET quantvec.epsilon = 6"), $set->{exact},
            "$set->{name}, $code, all $lists lists, epsilon 6: exact for every query");

        my $alone = recall($set->{exact}, nearest($set, "$all; SET quantvec.rerank = off"));
        cmp_ok($alone, '>=', $set->{alone}{$code}, "$set->{name}, $code, all $lists lists, without rerank: recall $alone");

        my ($best, @curve) = (0);
        for (my $probes = 4; $probes < $lists && $best < 0.99; $probes *= 2)
        {
            $best = recall($set->{exact}, nearest($set, "$index_only; SET quantvec.probes = $probes"));
            push @curve, "$probes: $best";
        }
        cmp_ok($best, '>=', 0.99, "$set->{name}, $code: fewer than all lists are enough");

        my $automatic = recall($set->{exact}, nearest($set, $index_only));
        cmp_ok($automatic, '>=', 0.95, "$set->{name}, $code, default settings: recall $automatic");
        diag sprintf '%s, %s: %d queries, %d lists, recall %.4f with all, %.4f without rerank, %.4f with defaults; by probes %s (build %.0f s)',
          $set->{name}, $code, $queries, $lists, $recall, $alone, $automatic, join(', ', @curve), $built;
        indexes_are_sound($node, $set->{name}, "$set->{name}, $code");
    }
    return;
}

my %codes = (
    'bq 1' => "quantizer = 'bq', bits = 1",
    'bq 4' => "quantizer = 'bq', bits = 4",
    'bq 8' => "quantizer = 'bq', bits = 8",
    sq8 => "quantizer = 'sq8'",
    sq4 => "quantizer = 'sq4'",
    pq => "quantizer = 'pq'",
    'pq 32' => "quantizer = 'pq', pq_m = 32");

# Rows of fixed size from a file, after its head; `table` gives the bytes of the float for each element.
sub rows_of
{
    my ($handle, $row_bytes, $template, $table, $limit) = @_;
    return sub {
        return if defined $limit && $limit-- <= 0;
        my $got = read $handle, my $row, $row_bytes;
        return unless $got;
        die 'the file ends in the middle of a row' unless $got == $row_bytes;
        return join '', @{$table}[ unpack $template, $row ];
    };
}

my $fashion = '/usr/share/datasets/fashion-mnist';
SKIP:
{
    skip "there is no $fashion (Debian's package dataset-fashion-mnist)", 1 unless -d $fashion;
    my @bytes = map { be_float($_) } 0 .. 255;
    my $queries = 200;
    # In line: exact answers, which need each distance, come ten times as fast as from TOAST.
    $node->safe_psql('postgres', q{
        CREATE TABLE fashion (id bigint, v vector(784));
        ALTER TABLE fashion ALTER v SET STORAGE plain;
        CREATE TABLE fashion_queries (LIKE fashion INCLUDING STORAGE);
    });
    for ([ 'fashion', 'train', undef ], [ 'fashion_queries', 't10k', $queries ])
    {
        my ($table, $name, $limit) = @$_;
        my $images;
        IO::Uncompress::Gunzip::gunzip("$fashion/$name-images-idx3-ubyte.gz", \$images)
          or die $IO::Uncompress::Gunzip::GunzipError;
        open my $in, '<:raw', \$images or die $!;
        read $in, my $head, 16;
        copy_vectors($node, $table, 784, rows_of($in, 784, 'C*', \@bytes, $limit));
    }
    my %set = (name => 'fashion', operator => '<->', opclass => 'vector_l2_ops', codes => \%codes,
        alone => { 'bq 1' => 0.84, 'bq 4' => 0.96, 'bq 8' => 0.99, sq8 => 0.99, sq4 => 0.96, pq => 0.9, 'pq 32' => 0.76 });
    is($node->safe_psql('postgres', 'SELECT count(*) FROM fashion'), 60000, 'fashion: all images are loaded');
    my $begin = time;
    # The tenth nearest of some rows is no nearer than the tenth nearest of all: what is not beyond it is enough
    # to look at, and one pass over the table does for all queries.
    $set{exact} = [ map { [ split / / ] } split /\n/, $node->safe_psql('postgres', qq{
        WITH bounds AS MATERIALIZED (
            SELECT q.id, q.v, (SELECT t.v <-> q.v FROM (SELECT v FROM fashion LIMIT 3000) AS t
                               ORDER BY 1 LIMIT 1 OFFSET $k - 1) AS d
            FROM fashion_queries AS q)
        SELECT array_to_string((array_agg(t.v <-> b.v ORDER BY t.v <-> b.v))[1:$k], ' ')
        FROM fashion AS t JOIN bounds AS b ON t.v <-> b.v <= b.d GROUP BY b.id ORDER BY b.id}) ];
    note 'exact answers: ', time - $begin, ' s';
    test_set(\%set);
    $node->safe_psql('postgres', 'DROP TABLE fashion');
}

SKIP:
{
    my $folder = $ENV{QUANTVEC_DATA};
    skip 'QUANTVEC_DATA is not set (folder of wordnet-384)', 1 unless $folder;
    skip "there is no wordnet-384.base.f16bin in $folder", 1 unless -e "$folder/wordnet-384.base.f16bin";
    # The float of each half: sign, 5 bits of exponent, 10 of fraction.
    my @halves = map {
        my ($sign, $exponent, $fraction) = ($_ >> 15 ? -1 : 1, $_ >> 10 & 31, $_ & 1023);
        be_float($sign * ($exponent ? (1024 + $fraction) * 2**($exponent - 25) : $fraction * 2**-24));
    } 0 .. 65535;
    # With 500, codes of 4 bits alone gave .948 to .954: builds of the same rows in seven orders differ by a
    # standard deviation of .002.
    my $queries = 1000;
    my %files;
    for my $part (qw(base.f16bin query.f16bin gt.ibin))
    {
        open $files{$part}, '<:raw', "$folder/wordnet-384.$part" or die "$folder/wordnet-384.$part: $!";
        read $files{$part}, my $head, 8;
        $files{"$part size"} = [ unpack 'V V', $head ];
    }
    my $rows = $files{'base.f16bin size'}[0];
    my $dim = $files{'base.f16bin size'}[1];
    $node->safe_psql('postgres', "CREATE TABLE wordnet (id bigint, v vector($dim)); CREATE TABLE wordnet_queries (LIKE wordnet)");
    copy_vectors($node, 'wordnet', $dim, rows_of($files{'base.f16bin'}, 2 * $dim, 'v*', \@halves));
    copy_vectors($node, 'wordnet_queries', $dim, rows_of($files{'query.f16bin'}, 2 * $dim, 'v*', \@halves, $queries));
    is($node->safe_psql('postgres', 'SELECT count(*) FROM wordnet'), $rows, 'wordnet: all rows are loaded');

    my %set = (name => 'wordnet', operator => '<=>', opclass => 'vector_cosine_ops', codes => \%codes,
        alone => { 'bq 1' => 0.70, 'bq 4' => 0.95, 'bq 8' => 0.99, sq8 => 0.99, sq4 => 0.94, pq => 0.77, 'pq 32' => 0.69 });
    # Distances of the given ids, as the operator computes them.
    my $width = $files{'gt.ibin size'}[1];
    my @pairs = map {
        my $q = $_;
        read $files{'gt.ibin'}, my $ids, 4 * $width;
        map { "($q, $_)" } (unpack 'l<*', $ids)[ 0 .. $k - 1 ];
    } 0 .. $queries - 1;
    $node->safe_psql('postgres', 'CREATE TABLE truth (q bigint, id bigint); INSERT INTO truth VALUES ' . join ', ', @pairs);
    $set{exact} = [ map { [ split / / ] } split /\n/, $node->safe_psql('postgres', q{
        SELECT string_agg((t.v <=> q.v)::text, ' ' ORDER BY t.v <=> q.v)
        FROM truth JOIN wordnet AS t USING (id) JOIN wordnet_queries AS q ON q.id = truth.q
        GROUP BY q.id ORDER BY q.id}) ];
    test_set(\%set);
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
