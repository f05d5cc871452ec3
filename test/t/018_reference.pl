# docs/reference.md says what the catalog says, and every object that a user may meet has a comment.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION quantvec');

my ($made, $errors) = run_command([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', "$root/scripts/reference.sql", '-d', $node->connstr('postgres') ]);
is($errors, '', 'the tables are made');
my ($told) = slurp_file("$root/docs/reference.md") =~ /(\n## Types\n.*)/s;
my @made = split /\n/, $made;
my @told = split /\n/, $told;
cmp_ok(scalar @made, '>', 100, 'there are tables');
my %made = map { $_ => 1 } @made;
my %told = map { $_ => 1 } @told;
is(join("\n", grep { !$told{$_} } @made), '', 'nothing is missing in docs/reference.md');
is(join("\n", grep { !$made{$_} } @told), '', 'docs/reference.md has nothing that is not there');
is("@told", "@made", 'in the same order (psql -XAtq -f scripts/reference.sql)');

# Types of arrays, casts and families have no comments: they are made along with others.
my $without = q{
    SELECT pg_describe_object(classid, objid, 0) FROM pg_depend
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = '%s')
    AND classid NOT IN ('pg_cast'::regclass, 'pg_opfamily'::regclass)
    AND NOT (classid = 'pg_type'::regclass AND (SELECT typcategory = 'A' FROM pg_type WHERE oid = objid))
    AND obj_description(objid, classid::regclass::name) IS NULL};
is($node->safe_psql('postgres', sprintf $without, 'quantvec'), '', 'quantvec: everything has a comment');
SKIP:
{
    skip 'pgvector is not installed', 1
      unless $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'vector' AND default_version !~ 'quantvec'});
    $node->safe_psql('postgres', 'CREATE DATABASE other');
    $node->safe_psql('other', 'CREATE EXTENSION quantvec_pgvector CASCADE');
    is($node->safe_psql('other', sprintf $without, 'quantvec_pgvector'), '', 'quantvec_pgvector: everything has a comment');
}

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
