# Indexes as other versions write them: with fields behind those that this one knows, in the metapage and in the
# entries of the directory, and without the last ones. They are searched, changed and checked like one of its own, and
# what it does not know stays as it is.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my ($page_bytes, $payload_at, $payload_end) = (8192, 64, 8128);
my ($own_meta, $own_entry) = (480, 96);

# The entries of a directory of one page, as they are stored.
sub entries
{
    my ($data) = @_;
    my ($lists, undef, $bytes) = unpack 'L3', substr $data, $payload_at + 64, 12;
    my $page = $page_bytes * unpack 'L', substr $data, $payload_at + 392 + 8, 4;
    return map { substr $data, $page + $payload_at + $bytes * $_, $bytes } 0 .. $lists - 1;
}

# Gives metapage and entries other sizes. What is new has bytes that are not zero.
sub resize
{
    my ($path, $meta_bytes, $entry_bytes) = @_;
    my $data = slurp_file($path);
    my $page = $page_bytes * unpack 'L', substr $data, $payload_at + 392 + 8, 4;
    my $all = join '', map { substr $_ . "\xee" x $entry_bytes, 0, $entry_bytes } entries($data);
    die 'more than one page' if length $all > $payload_end - $payload_at;
    substr($data, $page + $payload_at, length $all) = $all;
    substr($data, $page + 12, 2) = pack 'S', $payload_at + length $all;
    my $meta = substr $data, $payload_at, $own_meta;
    $meta = substr $meta . "\xee" x $meta_bytes, 0, $meta_bytes;
    substr($meta, 4, 4) = pack 'L', $meta_bytes;
    substr($meta, 72, 4) = pack 'L', $entry_bytes;
    substr($data, $payload_at, $payload_end - $payload_at) = $meta . "\0" x ($payload_end - $payload_at - $meta_bytes);
    substr($data, 12, 2) = pack 'S', $payload_at + $meta_bytes;
    substr($data, $payload_end + 28, 4) = pack 'L', crc32c(substr $data, $payload_at, $payload_end - $payload_at);
    write_file($path, $data);
    return;
}

my $node = new_server('primary', '', no_data_checksums => 1);
for my $sizes ([ 512, 128 ], [ $own_meta, 112 ], [ 600, $own_entry ], [ 472, 72 ])
{
    my ($meta_bytes, $entry_bytes) = @$sizes;
    my $name = "metapage of $meta_bytes bytes, entries of $entry_bytes";
    $node->safe_psql('postgres', q{
        DROP TABLE IF EXISTS t;
        CREATE TABLE t (id bigint, v vector(8));
        INSERT INTO t SELECT i, test_vector(i, 8) FROM generate_series(1, 3000) AS i;
        CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 20)});
    my $path = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('t_v')");
    $node->stop;
    resize($path, $meta_bytes, $entry_bytes);
    $node->start;
    answers_are_exact($node, 't', 8, $name);
    # Chains grow, and then get new pages.
    my $said = -s $node->logfile;
    $node->safe_psql('postgres', 'INSERT INTO t SELECT i, test_vector(i, 8) FROM generate_series(3001, 9000) AS i');
    answers_are_exact($node, 't', 8, "$name, after inserts");
    $node->safe_psql('postgres', 'DELETE FROM t WHERE id % 4 = 1');
    $node->safe_psql('postgres', 'VACUUM t');
    like(slurp_file($node->logfile, $said), qr/index "t_v": \d+ of 20 lists written anew/, 'lists were written anew');
    answers_are_exact($node, 't', 8, "$name, after VACUUM");
    $node->stop;
    my @entries = entries(slurp_file($path));
    my $rest = $entry_bytes > $own_entry ? $entry_bytes - $own_entry : 0;
    is(scalar(grep { length $_ == $entry_bytes && substr($_, $entry_bytes - $rest) eq "\xee" x $rest } @entries),
        20, 'what is behind the known fields is as it was');
    $node->start;
    $node->safe_psql('postgres', 'REINDEX INDEX t_v');
    answers_are_exact($node, 't', 8, "$name, built anew");
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
