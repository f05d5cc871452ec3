# Random queries: what an index gives beside exact search. Filters of every selectivity, joins, LIMIT and OFFSET, cursors,
# prepared statements, partitions, settings; over clustered vectors that were deleted, updated and vacuumed.
#
#   QUANTVEC_SEED=s      the first round's seed; the next round has the next one
#   QUANTVEC_QUERIES=n   at least so many queries, in whole rounds of 480 with new tables (make fuzz-queries: many)
#
# What is asked of each answer:
#
#   rows      as many as match and are indexed (up to LIMIT), none twice, each of them matching, its distance right
#   order     ascending, but for rows that came too late: one descent where quantvec_last_scan() counts late rows.
#             Rows whose bound failed come out of order too: rare, and none with quantvec.epsilon = 6
#   recall    of its first rows: those that are not farther than the last of as many exact ones. In the mean over queries
#             of one kind no more than .03 below that of the unfiltered ten nearest of the same table, vector and settings,
#             and .9 where that has .93
#
# The mean over few queries is off by chance: of less than a hundred, three standard errors are allowed on top, so that a
# kind which just keeps the bound fails once in 700 runs (normal distribution). Means over more are .02 above the bound or
# better, at a standard error of .01. One seed gives the same tables and queries each time.
#
# This file is long because it is one random world: what makes its tables and queries, and what judges the answers.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max min sum0 uniq);
use POSIX qw(ceil);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my $per_table = 80;
# So many queries of one kind need no allowance for chance.
my $many = 100;
my $seed = $ENV{QUANTVEC_SEED} || 1;
my $rounds = ceil(($ENV{QUANTVEC_QUERIES} || 1) / (6 * $per_table));

my $node = new_server('primary', q{
    maintenance_work_mem = 256MB
    max_wal_size = 4GB
});

sub pick { return $_[ int rand @_ ]; }
sub between { my ($low, $high) = @_; return $low + int rand($high - $low + 1); }
sub gauss { return sqrt(-2 * log(1 - rand)) * cos(6.283185307179586 * rand); }
sub chance { return rand() < $_[0]; }
sub vector_text { return '[' . join(',', map { sprintf '%.5g', $_ } @{ $_[0] }) . ']'; }
sub mean { return @_ ? sum0(@_) / @_ : 0; }

# The mean's standard error.
sub error_of
{
    my $mean = mean(@_);
    return @_ > 1 ? sqrt(sum0(map { ($_ - $mean)**2 } @_) / (@_ - 1) / @_) : 1;
}

# ---- tables ----

my %metrics = (
    l2 => { operator => '<->', class => 'vector_l2_ops' },
    cosine => { operator => '<=>', class => 'vector_cosine_ops' },
    ip => { operator => '<#>', class => 'vector_ip_ops' });

# Clusters of different sizes and spreads, which overlap. Their rows lie near planes of eight dimensions, as embeddings lie
# near something of few.
sub make_clusters
{
    my ($dim) = @_;
    my $offset = pick(0, 0.5, 2);
    return map {
        { weight => rand()**3 + 0.01, spread => 0.1 + 0.4 * rand, centre => [ map { $offset + gauss() } 1 .. $dim ],
            axes => [ map { [ map { gauss() } 1 .. $dim ] } 1 .. 8 ] }
    } 1 .. between(6, 30);
}

sub row_of
{
    my ($cluster) = @_;
    my $spread = $cluster->{spread};
    my @row = map { $_ + $spread * (rand() - 0.5) } @{ $cluster->{centre} };
    for my $axis (@{ $cluster->{axes} })
    {
        my $part = $spread * gauss();
        $row[$_] += $part * $axis->[$_] for 0 .. $#row;
    }
    return \@row;
}

# Rows with ids from the first free one on.
sub fill
{
    my ($table, $rows) = @_;
    my $file = PostgreSQL::Test::Utils::tempdir() . '/rows.txt';
    open my $out, '>', $file or die "$file: $!";
    my $total = sum0(map { $_->{weight} } @{ $table->{clusters} });
    for (1 .. $rows)
    {
        my ($number, $at) = (0, rand $total);
        $number++ while ($at -= $table->{clusters}[$number]{weight}) > 0 && $number < $#{ $table->{clusters} };
        my $kind = rand;
        my $row = $kind < 0.02 ? $table->{copy} : row_of($table->{clusters}[$number]);
        my $text =
            $kind > 0.99 ? '\N'
          : $kind > 0.985 && $table->{metric} eq 'cosine' ? vector_text([ (0) x $table->{dim} ])
          : vector_text($row);
        print $out join("\t", $table->{next}++, $number, int rand 1000, $text), "\n";
        push @{ $table->{sample} }, { vector => $row, cluster => $number } if chance(0.1);
    }
    close $out or die "$file: $!";
    $node->safe_psql('postgres', "COPY $table->{name} FROM '$file'");
    unlink $file;
    return;
}

sub make_table
{
    my ($name, %given) = @_;
    my %table = (%given, name => $name, next => 1, %{ $metrics{ $given{metric} } });
    my $dim = $table{dim} = between(8, 64);
    $table{clusters} = [ make_clusters($dim) ];
    $table{copy} = row_of($table{clusters}[0]);
    $table{rows} = between(5000, 12000);
    my $lists = pick('', 'lists = 100', 'lists = 100, probes = 8', 'lists = 150, probes = 12', 'lists = 200, probes = 8', 'lists = 200, probes = 16');
    $table{options} = join ', ', grep { $_ } $lists, $given{code};
    my $with = $table{options} ? "WITH ($table{options})" : '';
    my $index = "SET client_min_messages = warning; CREATE INDEX ${name}_v ON $name USING quantvec (v $table{class}) $with";
    $node->safe_psql('postgres', "CREATE TABLE $name (id int NOT NULL, c int, g int, v vector($dim))"
          . ($given{parts} ? ' PARTITION BY RANGE (c)' : ''));
    if ($given{parts})
    {
        my $last = $#{ $table{clusters} };
        my @bounds = ('MINVALUE', int($last / 3), int(2 * $last / 3), 'MAXVALUE');
        $node->safe_psql('postgres', "CREATE TABLE ${name}_$_ PARTITION OF $name FOR VALUES FROM ($bounds[$_ - 1]) TO ($bounds[$_])")
          for 1 .. 3;
    }
    $node->safe_psql('postgres', $index) if $given{empty};
    fill(\%table, $table{rows});
    $node->safe_psql('postgres', "VACUUM $name") if $given{empty};
    $node->safe_psql('postgres', $index) unless $given{empty};
    # Rows come and go, before a VACUUM and after it.
    my $some = sub { my ($k) = @_; return "id % $k = " . int rand $k; };
    my @churn = (
        sub { "DELETE FROM $name WHERE " . $some->(11) },
        sub { "UPDATE $name AS t SET v = o.v FROM $name AS o WHERE o.id = t.id + 1 AND t." . $some->(13) },
        sub { "UPDATE $name SET g = g + 1 WHERE " . $some->(7) },
        sub { fill(\%table, int $table{rows} / 10); 'SELECT 1' });
    for (1 .. 2)
    {
        $node->safe_psql('postgres', $_->()) for grep { chance(0.6) } @churn;
        $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $name") if chance(0.6);
    }
    $node->safe_psql('postgres', qq{
        CREATE INDEX ${name}_id ON $name (id);
        CREATE TABLE ${name}_other AS SELECT id, hashint4(id) & 1023 AS n FROM $name WHERE id % 3 > 0;
        CREATE INDEX ON ${name}_other (id);
        ANALYZE $name; ANALYZE ${name}_other});
    $table{indexed} = 'v IS NOT NULL' . ($table{metric} eq 'cosine' ? " AND vector_norm(v) > 0" : '');
    return \%table;
}

# ---- queries ----

sub distance
{
    my ($metric, $x, $y) = @_;
    my ($dot, $xx, $yy, $l2) = (0, 0, 0, 0);
    for (0 .. $#$x)
    {
        $dot += $x->[$_] * $y->[$_];
        $xx += $x->[$_]**2;
        $yy += $y->[$_]**2;
        $l2 += ($x->[$_] - $y->[$_])**2;
    }
    return $metric eq 'ip' ? -$dot : $metric eq 'l2' ? sqrt $l2 : 1 - $dot / sqrt($xx * $yy);
}

sub query_vector
{
    my ($table) = @_;
    my $row = pick(@{ $table->{sample} });
    my $kind = rand;
    return { %$row, vector => $row->{vector} } if $kind < 0.15;
    return { %$row, vector => $table->{copy}, cluster => 0 } if $kind < 0.2;
    # Moved by a part of another row's way from its cluster's centre.
    my $other = pick(@{ $table->{sample} });
    my $centre = $table->{clusters}[ $other->{cluster} ]{centre};
    my $part = $kind < 0.9 ? 0.2 + 0.8 * rand : 3;
    return { %$row, vector => [ map { $row->{vector}[$_] + $part * ($other->{vector}[$_] - $centre->[$_]) } 0 .. $#$centre ] };
}

# A condition on t, and its kind.
my %filters = (
    none => sub { 'true' },
    'id % k' => sub { my $k = pick(2, 5, 20, 100, 500, 2000); "t.id % $k = " . int rand $k },
    'near cluster' => sub { "t.c = $_[1]{cluster}" },
    'any cluster' => sub { 't.c = ' . int rand @{ $_[0]{clusters} } },
    'far cluster' => sub {
        my ($table, $query) = @_;
        my @far = map { distance($table->{metric}, $query->{vector}, $_->{centre}) } @{ $table->{clusters} };
        return 't.c = ' . (sort { $far[$b] <=> $far[$a] } 0 .. $#far)[0];
    },
    'few ids' => sub { 't.id IN (' . join(', ', map { between(1, $_[0]{next}) } 1 .. between(1, 20)) . ')' },
    radius => sub {
        my ($table, $query) = @_;
        my @near = grep { $_->{cluster} == $query->{cluster} } @{ $table->{sample} };
        my $row = chance(0.7) && @near ? pick(@near) : pick(@{ $table->{sample} });
        return "t.v $table->{operator} $query->{sql} < " . sprintf '%.5g', distance($table->{metric}, $query->{vector}, $row->{vector});
    },
    exists => sub { "EXISTS (SELECT FROM $_[0]{name}_other o WHERE o.id = t.id AND o.n < " . pick(20, 200, 1000) . ')' },
    'not exists' => sub { "NOT EXISTS (SELECT FROM $_[0]{name}_other o WHERE o.id = t.id AND o.n >= " . pick(0, 20, 700) . ')' },
    two => sub { 't.g % 3 = 1 AND t.c % 2 = ' . int rand 2 });

my @shapes = (('plain') x 8, ('cursor') x 3, ('prepared') x 3, ('explained') x 2, ('lateral') x 2, qw(join join distinct rank ties nothing));

# Settings, and what may be asked of the answer: recall as well, the order, or the rows alone.
sub random_settings
{
    my $kind = rand;
    return ('', 'recall') if $kind < 0.6;
    return ('SET quantvec.epsilon = 6;', 'recall') if $kind < 0.7;
    return ('SET quantvec.probes = ' . pick(1, 2, 3, 4, 6, 8, 12, 20, 1000) . '; SET quantvec.epsilon = ' . pick(3.5, 6) . ';', 'order')
      if $kind < 0.8;
    my $probes = 'SET quantvec.probes = ' . between(0, 20) . ';';
    return ('SET quantvec.rerank_candidates = ' . pick(5, 50, 1000) . "; $probes", 'rows') if $kind < 0.87;
    return ("SET quantvec.iterative_scan = relaxed_order; $probes", 'rows') if $kind < 0.94;
    return ("SET quantvec.rerank = off; $probes", 'rows');
}

# A query: `setup` and `run` are what the index is asked, `plan` shows how, `exact` gives all right rows, nearest first.
sub random_query
{
    my ($table, $number) = @_;
    my ($name, $operator) = @{$table}{qw(name operator)};
    my $q = query_vector($table);
    $q->{sql} = "'" . vector_text($q->{vector}) . "'::vector";
    my $kind = pick('none', 'id % k', sort keys %filters);
    my $shape = pick(@shapes);
    my $filter = $filters{$kind}->($table, $q);
    my $limit = pick(1, 5, 10, 10, 10, 10, 30, 100, 1000, undef);
    my $offset = !defined $limit || chance(0.8) ? 0 : pick(1, 10, 50, 500);
    my ($settings, $claims) = random_settings();
    my %query = (number => $number, table => $table, kind => $kind, shape => $shape, limit => $limit, offset => $offset,
        vector => $q, claims => $claims, settings => $settings . 'SET enable_seqscan = off; SET enable_sort = off;'
          . ' SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_hashagg = off;');
    my $rows = "FROM $name AS t WHERE $filter";
    my $d = "t.v $operator $q->{sql}";
    my $window = (defined $limit ? " LIMIT $limit" : '') . ($offset ? " OFFSET $offset" : '');
    $query{exact} = "SELECT t.id, $d $rows AND $table->{indexed} ORDER BY 2";
    my $select = "SELECT t.id, $d $rows ORDER BY $d";
    my $explain = 'EXPLAIN (COSTS OFF)';
    if ($shape eq 'plain')
    {
        $query{run} = "$select$window;";
        $query{plan} = "$explain $select$window;";
    }
    elsif ($shape eq 'cursor')
    {
        @query{qw(limit offset)} = (undef, 0) if chance(0.7);
        my $declare = 'DECLARE cur CURSOR FOR ' . $select . (defined $query{limit} ? $window : '');
        $query{plan} = "$explain $declare;";
        my $between = sub {
            "\\echo #other $number\nSELECT id FROM $name ORDER BY v $operator '" . vector_text(pick(@{ $table->{sample} })->{vector})
              . "' LIMIT " . pick(1, 20) . ';' . (chance(0.3) ? 'SET quantvec.probes = ' . between(1, 9) . '; SET quantvec.rerank = off;' : '')
              . "\n\\echo #run $number\n";
        };
        $query{run} = "BEGIN; $declare;\n" . join('', map { 'FETCH ' . pick(1, 10, 100, 700) . " FROM cur;\n" . $between->() } 1 .. between(0, 4))
          . "FETCH ALL FROM cur; CLOSE cur;";
        $query{after} = 'COMMIT;';
    }
    elsif ($shape eq 'prepared')
    {
        my $generic = $select =~ s/\Q$q->{sql}\E/\$1/gr;
        my $execute = "EXECUTE p ($q->{sql}, " . ($limit // 'NULL') . ", $offset)";
        $query{setup} = "SET plan_cache_mode = force_generic_plan; PREPARE p (vector, bigint, bigint) AS $generic LIMIT \$2 OFFSET \$3;";
        $query{plan} = "$explain $execute;";
        $query{run} = "$execute;";
        $query{after} = 'DEALLOCATE p;';
    }
    elsif ($shape eq 'explained')
    {
        $query{plan} = "BEGIN; $explain $select$window; $explain $select LIMIT 1000000;";
        $query{run} = "$select$window;";
        $query{after} = 'COMMIT;';
    }
    elsif ($shape eq 'lateral')
    {
        my @vectors = ($q->{sql}, map { "'" . vector_text(query_vector($table)->{vector}) . "'::vector" } 2, 3);
        my $values = join ', ', map { "($_, $vectors[$_ - 1])" } 1 .. 3;
        my $inner = "SELECT t.id, t.v $operator q.v AS d $rows ORDER BY t.v $operator q.v$window";
        $query{run} = "SELECT n, s.* FROM (VALUES $values) AS q (n, v), LATERAL ($inner) AS s;";
        $query{plan} = "$explain $query{run}";
        my $exact = "SELECT t.id, t.v $operator q.v AS d $rows AND " . $table->{indexed} =~ s/\bv\b/t.v/gr;
        $query{exact} = "SELECT n, s.* FROM (VALUES $values) AS q (n, v), LATERAL ($exact) AS s ORDER BY n, d";
    }
    elsif ($shape eq 'distinct')
    {
        $query{run} = "SELECT d, d FROM (SELECT DISTINCT $d AS d $rows AND $table->{indexed} ORDER BY d$window) AS s;";
        $query{plan} = "$explain $query{run}";
        $query{exact} = "SELECT d, d FROM (SELECT DISTINCT $d AS d $rows AND $table->{indexed}) AS s ORDER BY 1";
    }
    elsif ($shape eq 'join')
    {
        my $join = "FROM $name AS t JOIN ${name}_other AS j ON j.id = t.id AND j.n % 8 <> 1 WHERE $filter";
        $query{run} = "SELECT t.id, $d $join ORDER BY $d$window;";
        $query{plan} = "$explain $query{run}";
        $query{exact} = "SELECT t.id, $d $join AND $table->{indexed} ORDER BY 2";
    }
    elsif ($shape eq 'rank')
    {
        $query{run} = "SELECT t.id, $d, rank() OVER (ORDER BY $d) $rows ORDER BY $d$window;";
        $query{plan} = "$explain $query{run}";
    }
    elsif ($shape eq 'ties')
    {
        # An incremental sort.
        $query{run} = "SELECT * FROM (SELECT t.id, $d AS d $rows ORDER BY $d) AS s ORDER BY d, id$window;";
        $query{plan} = "$explain $query{run}";
    }
    else
    {
        # A query without a distance: every row is as good as another.
        my $nothing = $table->{metric} eq 'cosine' && chance(0.5) ? "'" . vector_text([ (0) x $table->{dim} ]) . "'" : 'NULL';
        $query{setup} = "SET plan_cache_mode = force_generic_plan; PREPARE p (vector) AS SELECT t.id, 0 FROM $name AS t WHERE t.g % 7 < 5"
          . " ORDER BY t.v $operator \$1$window;";
        $query{plan} = "$explain EXECUTE p ($nothing);";
        $query{run} = "EXECUTE p ($nothing);";
        $query{after} = 'DEALLOCATE p;';
        $query{exact} = "SELECT id, 0 FROM $name WHERE g % 7 < 5 AND $table->{indexed}";
        @query{qw(claims kind)} = qw(rows none);
    }
    if ($query{claims} ne 'rows')
    {
        $query{top} = "SELECT id, v $operator $q->{sql} FROM $name ORDER BY v $operator $q->{sql} LIMIT 10;";
        $query{exact_top} = "SELECT id, v $operator $q->{sql} FROM $name WHERE $table->{indexed} ORDER BY 2 LIMIT 10;";
    }
    return \%query;
}

sub script_of
{
    my ($query) = @_;
    my $n = $query->{number};
    my @parts = ("RESET ALL; $query->{settings}", $query->{setup} // '', "\\echo #plan $n", $query->{plan}, "\\echo #run $n",
        $query->{run}, "\\echo #scan $n", 'SELECT late, returned FROM quantvec_last_scan();', "\\echo #other $n", $query->{after} // '');
    # A cursor may have left other settings.
    push @parts, "RESET ALL; $query->{settings}", "\\echo #top $n", $query->{top} if $query->{top};
    push @parts, 'RESET ALL; SET enable_indexscan = off;', "\\echo #exact $n", "$query->{exact};";
    push @parts, "\\echo #exact_top $n", $query->{exact_top} if $query->{top};
    return join("\n", grep { $_ ne '' } @parts) . "\n";
}

# ---- judging ----

my (@wrong, %skipped, %recalls, %counts);

sub wrong
{
    my ($query, $what) = @_;
    push @wrong, $what;
    diag "$what\n", script_of($query) if @wrong <= 3;
    return;
}

# Rows of one scan beside all exact ones: [id, distance, ...], nearest first.
sub judge_rows
{
    my ($query, $found, $exact, $late) = @_;
    my ($number, $shape, $claims) = @{$query}{qw(number shape claims)};
    my $who = "query $number ($query->{table}{name}, $query->{kind}, $shape)";
    my $matching = @$exact;
    my $expected = max(0, min($query->{limit} // $matching, $matching - $query->{offset}));
    my %right = map { $_->[0] => $_->[1] } @$exact;
    my $ids = uniq(map { $_->[0] } @$found);
    my @descents = grep { $found->[ $_ - 1 ][1] > $found->[$_][1] } 1 .. $#$found;
    # DISTINCT compares neighbours: a distance that comes out of order may be one that was there.
    my $again = $shape eq 'distinct' && @descents > 0;
    wrong($query, "$who: " . @$found . " rows of $expected") if $again ? @$found < $expected : @$found != $expected;
    wrong($query, "$who: only $ids of " . @$found . ' rows are different')
      if $again ? !defined $query->{limit} && $ids != $expected : $ids != @$found;
    my @foreign = grep { !exists $right{ $_->[0] } } @$found;
    wrong($query, "$who: row $foreign[0][0] does not match") if @foreign;
    my @false = grep { exists $right{ $_->[0] } && $right{ $_->[0] } ne $_->[1] } @$found;
    wrong($query, "$who: row $false[0][0] at $false[0][1], not $right{$false[0][0]}") if @false;
    $counts{rows} += @$found;
    return if $claims eq 'rows';

    # Each partition has late rows of its own, and only the last scan's are known; so it is with several queries.
    my $parts = $query->{table}{parts} ? 3 : 1;
    my $allowed = $parts > 1 || !defined $late ? $parts : $late > 0 ? 1 : 0;
    if (@descents > $allowed)
    {
        my $failed = @descents - $allowed;
        $counts{failed} += $failed;
        wrong($query, "$who: $failed rows out of order, $late late") if $query->{settings} =~ /epsilon = 6/;
    }
    if ($shape eq 'rank' && $query->{offset} == 0)
    {
        my @bad = grep { $found->[$_][2] != ($_ > 0 && $found->[$_][1] == $found->[ $_ - 1 ][1] ? $found->[ $_ - 1 ][2] : $_ + 1) } 0 .. $#$found;
        wrong($query, "$who: rank $found->[$bad[0]][2] of row $bad[0]") if @bad;
    }
    if ($shape eq 'ties')
    {
        my @bad = grep { $found->[ $_ - 1 ][1] == $found->[$_][1] && $found->[ $_ - 1 ][0] > $found->[$_][0] } 1 .. $#$found;
        wrong($query, "$who: ids of equal rows out of order") if @bad;
    }
    return;
}

# Of the first n rows that were found, the part that is not farther than exact row n.
sub recall_of
{
    my ($found, $exact, $n, $offset) = @_;
    $n = min($n, @$exact - $offset);
    return 1 if $n <= 0;
    my $last = $exact->[ $offset + $n - 1 ][1];
    return grep({ defined && $_->[1] <= $last } @{$found}[ 0 .. $n - 1 ]) / $n;
}

sub judge
{
    my ($query, $answer) = @_;
    my $plan = $answer->{plan} // '';
    my $name = $query->{table}{name};
    if ($plan !~ /Order By: / || $plan =~ /Seq Scan on ${name}(_\d)? /)
    {
        $skipped{"$query->{kind}, $query->{shape}"}++;
        return;
    }
    my ($found, $exact) = map { [ map { [ split /\|/ ] } split /\n/, $answer->{$_} // '' ] } qw(run exact);
    my ($late, $returned) = $answer->{scan} =~ /(\d+)\|(\d+)/;
    $counts{late} += $late;
    $counts{returned} += $returned;
    wrong($query, "query $query->{number}: $late rows too late for no order") if $query->{shape} eq 'nothing' && $late > 0;
    if ($query->{shape} eq 'lateral')
    {
        for my $n (1 .. 3)
        {
            my ($f, $e) = map { [ map { [ @$_[ 1, 2 ] ] } grep { $_->[0] == $n } @$_ ] } $found, $exact;
            judge_rows($query, $f, $e, undef);
            ($query->{found}, $query->{right}) = ($f, $e) if $n == 1;
        }
        ($found, $exact) = @{$query}{qw(found right)};
    }
    else
    {
        judge_rows($query, $found, $exact, $late);
    }
    return unless $query->{top};
    my ($top, $exact_top) = map { [ map { [ split /\|/ ] } split /\n/, $answer->{$_} ] } qw(top exact_top);
    wrong($query, "query $query->{number}: " . @$top . ' unfiltered rows of ' . @$exact_top) if @$top != @$exact_top;
    my $base = recall_of($top, $exact_top, 10, 0);
    my $first = $query->{limit} // pick(10, 100, 1000);
    my @kinds = ("filter: $query->{kind}", "shape: $query->{shape}", $first > 100 ? 'more than 100 rows' : 'up to 100 rows', 'all');
    @kinds = ('probes = n') if $query->{claims} ne 'recall';
    push @{ $recalls{$_} }, [ recall_of($found, $exact, $first, $query->{offset}), $base ] for @kinds;
    return;
}

# Runs a script of queries in one session and judges their answers.
sub ask
{
    my (@queries) = @_;
    my ($status, $out, $err) = $node->psql('postgres', join('', map { script_of($_) } @queries) . "\\echo #end\n");
    my %answers;
    for (split /^#/m, $out)
    {
        $answers{$2}{$1} .= $3 if /^(\w+) (\d+)\n(.*)/s;
    }
    wrong($queries[ max(0, keys(%answers) - 1) ], "a query failed: $err") if $status != 0;
    judge($_, $answers{ $_->{number} }) for grep { $answers{ $_->{number} }{exact} || $status == 0 } @queries;
    return;
}

# ---- cursors across VACUUM ----

# Cursors are read some way, most of them until rows are kept back; VACUUM trains the index anew, then writes lists
# anew; the cursors are read to the end, and have given each row once.
sub cross_vacuum
{
    my ($metric, $code) = @_;
    my $dim = between(8, 32);
    my %table = (name => 'crossed', metric => $metric, dim => $dim, next => 1, %{ $metrics{$metric} });
    $table{clusters} = [ make_clusters($dim) ];
    $table{copy} = row_of($table{clusters}[0]);
    $node->safe_psql('postgres', "CREATE TABLE crossed (id int, c int, g int, v vector($dim)) WITH (autovacuum_enabled = off)");
    fill(\%table, 1200);
    my $options = join ', ', grep { $_ } 'lists = 50', $code;
    $node->safe_psql('postgres', "CREATE INDEX crossed_v ON crossed USING quantvec (v $table{class}) WITH ($options)");
    my $indexed = 'v IS NOT NULL' . ($metric eq 'cosine' ? ' AND vector_norm(v) > 0' : '');
    my $all = join ',', split /\n/, $node->safe_psql('postgres', "SELECT id FROM crossed WHERE $indexed ORDER BY id");
    my $rows = () = $all =~ /\d+/g;
    my $reader = $node->background_psql('postgres');
    $reader->query_safe('SET enable_seqscan = off; SET enable_sort = off; SET quantvec.epsilon = 6; SET quantvec.probes = 1;'
          . ' BEGIN ISOLATION LEVEL REPEATABLE READ');
    my @cursors;
    for my $number (1 .. 12)
    {
        my $by = "v $table{operator} '" . vector_text(query_vector(\%table)->{vector}) . "'";
        my ($first, $kept);
        # Few rows are expected, since the last scan gave few: so there are pages to be looked at again.
        my $begin = sub {
            return "SELECT id FROM crossed ORDER BY $by LIMIT 3; DECLARE c$number CURSOR FOR SELECT id FROM crossed ORDER BY $by;";
        };
        for (1 .. 6)
        {
            $first = between(1, int 0.6 * $rows);
            $reader->query_safe($begin->() . "MOVE $first FROM c$number; CLOSE c$number");
            $kept = $reader->query_safe('SELECT dropped FROM quantvec_last_scan()');
            last if $kept > 0;
        }
        $reader->query_safe($begin->());
        push @cursors, { number => $number, kept => $kept, first => $first, rows => $reader->query_safe("FETCH $first FROM c$number") . "\n" };
    }
    my $step = sub {
        $node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) crossed');
        for my $cursor (grep { $_->{number} % 3 } @cursors)
        {
            $cursor->{rows} .= $reader->query_safe('FETCH ' . pick(1, 5, 50) . " FROM c$cursor->{number}") . "\n";
        }
    };
    my $trained = times_trained();
    fill(\%table, 12000);
    $step->();
    is(times_trained(), $trained + 1, "cursors across VACUUM, $metric: trained anew");
    $node->safe_psql('postgres', 'DELETE FROM crossed WHERE id > 1200 AND id % 2 = 0');
    $step->();
    my ($bad, $restarts) = ('', 0);
    for my $cursor (@cursors)
    {
        $cursor->{rows} .= $reader->query_safe("FETCH ALL FROM c$cursor->{number}") . "\n";
        $reader->query_safe("CLOSE c$cursor->{number}");
        my $again = $reader->query_safe('SELECT restarts FROM quantvec_last_scan()');
        $restarts += $again > 0;
        $counts{'kept back when a scan started over'} += $cursor->{kept} if $again > 0;
        my @found = grep { $_ ne '' } split /\n/, $cursor->{rows};
        $bad .= "cursor $cursor->{number}, $cursor->{kept} kept back at row $cursor->{first}: " . @found . " rows of $rows\n"
          if join(',', sort { $a <=> $b } @found) ne $all;
    }
    $reader->query_safe('COMMIT');
    $reader->quit;
    is($bad, '', "cursors across VACUUM, $metric: each row once");
    cmp_ok($restarts, '>', 0, "cursors across VACUUM, $metric: $restarts of 12 started over");
    return;
}

sub times_trained
{
    my $times = () = slurp_file($node->logfile) =~ /index "crossed_v" was trained with/g;
    return $times;
}

# ---- rounds ----

my @codes = ('', 'bits = 1', "quantizer = 'sq8'", "quantizer = 'pq'", "quantizer = 'sq4'", 'bits = 8');
my $number = 0;
for my $round ($seed .. $seed + $rounds - 1)
{
    srand $round;
    diag "seed $round";
    if ($number > 0)
    {
        all_indexes_are_sound($node);
        $node->safe_psql('postgres', 'DROP TABLE crossed, ' . join ', ', map { ("t$_", "t${_}_other") } 0 .. 5);
    }
    my $metric = sub { return (qw(l2 cosine ip))[ ($round + $_[0]) % 3 ]; };
    for my $at (0 .. 5)
    {
        my $table = make_table("t$at", metric => $metric->($at + ($at > 2)), code => $codes[ ($round + $at) % 6 ],
            parts => $at == 4, empty => $at == 5);
        my $before = @wrong;
        ask(map { random_query($table, ++$number) } 1 .. $per_table);
        diag "seed $round, t$at: $table->{metric}, $table->{dim} dimensions, $table->{options}" if @wrong > $before;
    }
    cross_vacuum($metric->(0), $codes[ $round % 6 ]);
}

is(join("\n", @wrong), '', 'rows, distances and order');
for my $kind (sort keys %recalls)
{
    my @recalls = map { $_->[0] } @{ $recalls{$kind} };
    my @bases = map { $_->[1] } @{ $recalls{$kind} };
    my @less = map { $_->[1] - $_->[0] } @{ $recalls{$kind} };
    my $name = sprintf '%s: recall %.3f, unfiltered %.3f, %d queries', $kind, mean(@recalls), mean(@bases), scalar @recalls;
    my $errors = @recalls < $many ? 3 : 0;
    my $least = mean(@bases) - 0.03 - $errors * error_of(@less);
    $least = max($least, 0.9 - $errors * error_of(@recalls)) if mean(@bases) >= 0.93;
    cmp_ok(mean(@recalls), '>=', $least, $name);
    diag $name;
}
my $skipped = sum0(values %skipped);
diag "$counts{rows} rows of $counts{returned} that scans returned, ",
  join(', ', map { "$_: " . ($counts{$_} // 0) } qw(late failed), 'kept back when a scan started over'),
  "; the planner took another way in $skipped queries: ", join('; ', map { "$_ $skipped{$_}" } sort keys %skipped);
cmp_ok($skipped, '<', $number / 5, 'most queries used the index');
cmp_ok($counts{late}, '>', 0, 'some rows came too late');
cmp_ok($counts{late}, '<=', $counts{returned} / 50, 'not many did');
cmp_ok($counts{'kept back when a scan started over'}, '>', 0, 'some were kept back when a scan started over');
cmp_ok($counts{failed} // 0, '<=', $counts{rows} / 1000, 'bounds hardly ever fail');

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
