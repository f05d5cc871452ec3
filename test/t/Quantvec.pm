# What the tests in this folder share: generated vectors, answers of an index beside exact answers, sessions
# in the background, the look at the server's log.
package Quantvec;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(new_server new_followed_server pgvector_is_there create_helpers copy_vectors be_float
  points_settings as_vector_settings hold_point wait_at_point let_go
  rows_by_index index_answers exact_answers answers_are_exact indexes_are_sound all_indexes_are_sound
  start_sql start_watched finish_sql start_pgbench finish_run stop_run sqlstate log_is_clean
  crc32c write_file);

# All lists, and bounds that keep six standard errors. A row is lost only if the bound of its code is off by
# more than that: about 1e-9 a row and query (normal distribution; the errors' tails are thinner), so chance
# could cost a row in at most one of some hundred runs. Where the rows are given, so is the result: vectors and
# queries are functions of row numbers, and the build has fixed seeds.
my $all_lists = q{
    SET quantvec.probes = 1000000;
    SET quantvec.epsilon = 6;
};
my $by_index = $all_lists . q{
    SET enable_seqscan = off;
    SET enable_sort = off;
};
my $by_sort = q{
    SET enable_indexscan = off;
};

# A server that is started, with the extension and create_helpers' functions. `extensions => [...]` names others.
sub new_server
{
    my ($name, $settings, %init) = @_;
    my $extensions = delete $init{extensions};
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(%init);
    $node->append_conf('postgresql.conf', "autovacuum = off\njit = off\n" . ($settings // ''));
    $node->start;
    create_helpers($node, $extensions ? @$extensions : ());
    return $node;
}

# Whether extension vector is pgvector, and can be created on the server that the tests run with.
sub pgvector_is_there
{
    my $node = PostgreSQL::Test::Cluster->new('pgvector_is_there');
    $node->init;
    $node->start;
    my $there = $node->safe_psql('postgres', q{
        SELECT count(*) FROM pg_available_extensions WHERE name = 'vector' AND default_version !~ 'quantvec'});
    $node->stop;
    return $there;
}

# A server, and a standby that goes with it: every change of a page is compared there (wal_consistency_checking).
sub new_followed_server
{
    my ($settings, $standby_settings) = @_;
    my $primary = new_server('followed', ($settings // '') . q{
        wal_consistency_checking = 'all'
        max_wal_size = 4GB
    }, allows_streaming => 1);
    $primary->backup('backup');
    my $standby = PostgreSQL::Test::Cluster->new('standby');
    $standby->init_from_backup($primary, 'backup', has_streaming => 1);
    $standby->append_conf('postgresql.conf', $standby_settings // '');
    $standby->start;
    return ($primary, $standby);
}

sub create_helpers
{
    my ($node, @extensions) = @_;
    $node->safe_psql('postgres', "CREATE EXTENSION $_") for @extensions ? @extensions : 'quantvec';
    $node->safe_psql('postgres', q{
        -- One of eight centres plus half as much noise: a function of the row's number alone.
        -- Also in an index, which is built with pg_catalog as the search_path from version 17 on.
        CREATE FUNCTION test_vector(id bigint, dim integer) RETURNS vector
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT array_agg((hashint8extended(j, id % 8) + 0.5::float8 * hashint8extended(j, 1000 + id))
                             / 9.3e18::float8)::real[]::public.vector
            FROM generate_series(1, dim) AS j $$;
        -- Waits for a command's phase in a progress view and cancels the command so many milliseconds later
        -- (NULL: does not). Returns the milliseconds from the cancel to the end of the command; NULL if the
        -- phase was over before it was seen, or before the cancel took effect. Called by start_watched.
        CREATE FUNCTION test_at_phase(progress regclass, wanted text, cancel_after float8) RETURNS numeric
        LANGUAGE plpgsql AS $$
        DECLARE
            seen boolean := false;
            victim integer;
            current record;
            since timestamptz := clock_timestamp();
        BEGIN
            LOOP
                -- A command may come and go between two looks.
                IF clock_timestamp() > since + interval '30 s' AND NOT seen THEN RETURN NULL; END IF;
                PERFORM pg_stat_clear_snapshot();
                EXECUTE format('SELECT pid, phase FROM %s WHERE datname = current_database()', progress) INTO current;
                EXIT WHEN current.phase = wanted;
                IF current.pid IS NULL AND seen THEN RETURN NULL; END IF;
                seen := seen OR current.pid IS NOT NULL;
            END LOOP;
            victim := current.pid;
            since := clock_timestamp();
            IF cancel_after IS NOT NULL THEN
                PERFORM pg_sleep(cancel_after / 1000);
                since := clock_timestamp();
                PERFORM pg_cancel_backend(victim);
                LOOP
                    PERFORM pg_stat_clear_snapshot();
                    EXECUTE format('SELECT pid, phase FROM %s WHERE datname = current_database()', progress) INTO current;
                    IF current.phase <> wanted THEN RETURN NULL; END IF;
                    EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = victim AND state = 'active');
                END LOOP;
            END IF;
            RETURN round(extract(epoch FROM clock_timestamp() - since) * 1000, 1);
        END $$;
    });
    return;
}

# ---- points of a library with debug points (src/pg/debug_point.h) ----

# The settings that make a server load it; nothing if there is none.
sub points_settings
{
    my $file = $ENV{QUANTVEC_POINTS} // '';
    return -e $file ? slurp_file($file) : '';
}

# The settings that make a server find extension vector of `make install-as-vector`; nothing if there is none.
sub as_vector_settings
{
    my $file = $ENV{QUANTVEC_AS_VECTOR} // '';
    return -e $file ? slurp_file($file) : '';
}

# Holds whoever pauses at a point, until let_go. Returns a session.
sub hold_point
{
    my ($node) = @_;
    my $holder = start_sql($node, 'SELECT pg_advisory_lock(7301)', 'SELECT pg_sleep(600)');
    $node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7301 AND mode = 'ExclusiveLock' AND granted")
      or die 'the lock of the points is not to be had';
    return $holder;
}

sub wait_at_point
{
    my ($node, $sessions) = @_;
    $sessions //= 1;
    $node->poll_query_until('postgres',
        "SELECT count(*) = $sessions FROM pg_locks WHERE locktype = 'advisory' AND objid = 7301 AND NOT granted")
      or die 'nobody comes to the point';
    return;
}

sub let_go
{
    my ($node, $holder) = @_;
    # The server may die at the next point before this session ends.
    $node->psql('postgres',
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7301 AND mode = 'ExclusiveLock' AND granted");
    finish_sql($holder);
    return;
}

# All rows that a scan of the table's index gives: how many, and how many of them are different.
sub rows_by_index
{
    my ($node, $table, $dim, $operator) = @_;
    $operator //= '<->';
    return $node->safe_psql('postgres', $by_index . qq{
        SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM $table ORDER BY v $operator test_vector(3000000, $dim)) AS s});
}

# The SELECT whose rows are compared: for each of 5 queries the distances of the 10 nearest rows, then all
# ids that a scan without LIMIT gives, and all distances in the order in which they come.
sub answer_sql
{
    my ($table, $dim, $operator) = @_;
    return qq{
        WITH queries AS MATERIALIZED (
            SELECT q, test_vector(1000000 + q, $dim) AS v FROM generate_series(1, 5) AS q)
        SELECT 'nearest', q, array(SELECT t.v $operator queries.v FROM $table AS t
                                   ORDER BY t.v $operator queries.v LIMIT 10)::text
        FROM queries;
        SELECT 'all', count(*), count(DISTINCT id), md5(string_agg(id::text, ',' ORDER BY id)),
               md5(string_agg(d::text, ','))
        FROM (SELECT id, v $operator (SELECT test_vector(2000000, $dim)) AS d FROM $table
              ORDER BY v $operator (SELECT test_vector(2000000, $dim))) AS everything;
    };
}

# Answers of the table's index; dies if the planner takes another way, because then nothing is tested.
sub index_answers
{
    my ($node, $table, $dim, $operator) = @_;
    my $sql = answer_sql($table, $dim, $operator // '<->');
    my $plans = $node->safe_psql('postgres', $by_index . $sql =~ s/\b(WITH|SELECT 'all')/EXPLAIN (COSTS OFF) $1/gr);
    my $scans = () = $plans =~ /Index Scan using/g;
    die "no index scan over $table:\n$plans" unless $scans == 2 && $plans !~ /Seq Scan/;
    return $node->safe_psql('postgres', $by_index . $sql);
}

sub exact_answers
{
    my ($node, $table, $dim, $operator) = @_;
    return $node->safe_psql('postgres', $by_sort . answer_sql($table, $dim, $operator // '<->'));
}

# Two checks: the table's indexes are sound, and the answers are what an exact search gives. Returns the answers.
sub answers_are_exact
{
    my ($node, $table, $dim, $name, $operator) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    indexes_are_sound($node, $table, $name);
    my $answers = index_answers($node, $table, $dim, $operator);
    is($answers, exact_answers($node, $table, $dim, $operator), "$name: index answers are exact");
    return $answers;
}

# The access methods that are quantvec by whatever name.
my $methods = q{SELECT oid FROM pg_am WHERE amname = 'quantvec' OR amname IN ('hnsw', 'ivfflat')
    AND EXISTS (SELECT FROM pg_extension WHERE extname = 'vector' AND extversion ~ 'quantvec')};

# One check: quantvec_check passes for every valid quantvec index of the table, each row compared.
sub indexes_are_sound
{
    my ($node, $table, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $out, $err) = $node->psql('postgres', qq{
        SELECT count(*) > 0, bool_and(table_rows_checked IS NOT NULL)
        FROM (SELECT indexrelid FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid
              WHERE indrelid = '$table'::regclass AND indisvalid AND relam IN ($methods) OFFSET 0) AS i, quantvec_check(indexrelid, true)});
    is("$out$err", 't|t', "$name: indexes are sound");
    return;
}

# The last but one check of each test: so is every index that the test leaves behind.
sub all_indexes_are_sound
{
    my (@nodes) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $node (@nodes)
    {
        my ($status, $out, $err) = $node->psql('postgres', qq{
            SELECT count(*), count(table_rows_checked)
            FROM (SELECT indexrelid FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid
                  WHERE indisvalid AND relkind = 'i' AND relpersistence <> 't' AND relam IN ($methods) OFFSET 0) AS i,
                 quantvec_check(indexrelid, true)});
        like("$out$err", qr/^(\d+)\|\1$/, 'all indexes of ' . $node->name . ' are sound');
        note "indexes|checked: $out";
    }
    return;
}

# ---- in the background ----

# Starts psql; finish_sql gives its exit code, output and errors. An error ends it and shows its SQLSTATE.
sub start_sql
{
    my ($node, @sql) = @_;
    my %run = (out => '', err => '');
    $run{handle} = IPC::Run::start(
        [ $node->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose',
            '-d', $node->connstr('postgres'), map { ('-c', $_) } @sql ],
        '<', \undef, '>', \$run{out}, '2>', \$run{err},
        IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default * 3));
    return \%run;
}

# Starts a command by `$start`, but first the statement that waits for it, so that no phase of it can be over before
# somebody looks. Further statements follow that one. Returns the command's run and what the first statement gave.
sub start_watched
{
    my ($node, $start, $watch, @more) = @_;
    my $watcher = start_sql($node, "/* watcher */ $watch", @more);
    $node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '/* watcher */%'")
      or die 'nobody watches';
    my $run = $start->();
    my ($good, $out, $err) = finish_sql($watcher);
    die "watching failed: $err" unless $good;
    return ($run, (split /\n/, $out)[0] // '');
}

# Starts pgbench with the scripts [weight => text, ...].
sub start_pgbench
{
    my ($node, $options, @scripts) = @_;
    my %run = (out => '', err => '');
    my @files;
    while (my ($weight, $text) = splice @scripts, 0, 2)
    {
        my $file = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
        append_to_file($file, $text);
        push @files, '-f', "$file\@$weight";
    }
    $run{handle} = IPC::Run::start(
        [ $node->installed_command('pgbench'), '--no-vacuum', @$options, @files, $node->connstr('postgres') ],
        '<', \undef, '>', \$run{out}, '2>', \$run{err},
        IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default * 3));
    return \%run;
}

# Waits for the end; returns whether it was a good one.
sub finish_run
{
    my ($run) = @_;
    return $run->{handle}->finish;
}

# Ends a client whose work is no longer wanted.
sub stop_run
{
    my ($run) = @_;
    $run->{handle}->signal('TERM');
    $run->{handle}->finish;
    return;
}

sub finish_sql
{
    my ($run) = @_;
    my $good = $run->{handle}->finish;
    return ($good, $run->{out}, $run->{err});
}

# The SQLSTATE of an error that start_sql's psql met, or what it said instead.
sub sqlstate
{
    my ($run) = @_;
    return $run->{err} =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/ ? $1 : "no error; $run->{err}";
}

# ---- vectors from Perl ----

# The float's four bytes as COPY BINARY has them.
sub be_float { return pack 'f>', $_[0]; }

# Writes a file that COPY ... (id, v) FROM ... (FORMAT binary) reads. `$next` returns the big-endian floats of
# the next row as one string, or undef at the end.
sub copy_vectors
{
    my ($node, $table, $dim, $next) = @_;
    my $file = PostgreSQL::Test::Utils::tempdir() . '/vectors.bin';
    open my $out, '>:raw', $file or die "$file: $!";
    print $out "PGCOPY\n\xff\r\n\0", pack('N N', 0, 0);
    my $id = 0;
    my $head = pack 'N n n', 4 + 4 * $dim, $dim, 0;
    while (defined(my $floats = $next->()))
    {
        print $out pack('n N q>', 2, 8, $id++), $head, $floats;
    }
    print $out pack 'n', 0xffff;
    close $out or die "$file: $!";
    $node->safe_psql('postgres', "COPY $table (id, v) FROM '$file' (FORMAT binary)");
    unlink $file;
    return $id;
}

# ---- files of an index ----

# CRC-32C, the checksum of some pages.
my @crc_table = map { my $crc = $_; $crc = $crc >> 1 ^ ($crc & 1 ? 0x82f63b78 : 0) for 1 .. 8; $crc } 0 .. 255;
sub crc32c
{
    my $crc = 0xffffffff;
    $crc = $crc_table[ ($crc ^ $_) & 0xff ] ^ $crc >> 8 for unpack 'C*', $_[0];
    return $crc ^ 0xffffffff;
}

# The other half of slurp_file.
sub write_file
{
    my ($path, $data) = @_;
    open my $out, '>:raw', $path or die "$path: $!";
    print $out $data;
    close $out or die "$path: $!";
    return;
}

# ---- the log ----

# The last check of each test: nothing in the server's log says that memory, pins or pages were mistreated.
sub log_is_clean
{
    my (@nodes) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $node (@nodes)
    {
        my @bad = grep {
            /PANIC|TRAP:|signal (?:6|7|8|11)\b|refcount leak|snapshot reference leak|temporary file leak
             |inconsistent page found|was not closed|resource was not/x
        } split /\n/, slurp_file($node->logfile);
        is(join("\n", @bad), '', 'log of ' . $node->name . ' is clean');
    }
    return;
}

1;
