# quantvec_check() finds single faults: each of some hundred indexes gets one, in its file, while the server is
# stopped, and the check names the index and says XX002 (or the server says XX001 before it, of a page header that
# it does not accept). Faults that no row depends on are accepted: unpublished slots, slots of rows that are gone,
# padding.
#
# The files are read here by the drawings in src/core/ivf/*.h and src/pg/am/storage/meta.h alone. Before any fault all
# indexes pass.
#
# This file is long because each kind of page has its own faults, and all are planted by one reader of the format.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Quantvec;
use Test::More;

my ($page_bytes, $payload_at, $payload_end, $no_page) = (8192, 64, 8128, 0xffffffff);

# ---- fields: offset and template ----

my %header = (flags => [ 10, 'S' ], lower => [ 12, 'S' ], upper => [ 14, 'S' ], special => [ 16, 'S' ],
    version => [ 18, 'S' ], prune_xid => [ 20, 'L' ]);
my %tail = (generation => [ 0, 'Q' ], deleted_at => [ 8, 'Q' ], owner => [ 16, 'L' ], next => [ 20, 'L' ],
    ordinal => [ 24, 'L' ], crc => [ 28, 'L' ], kind => [ 32, 'S' ], first_block => [ 34, 'S' ],
    blocks => [ 36, 'S' ], head_page => [ 40, 'L' ], identity => [ 60, 'L' ]);
my %block = (generation => [ 0, 'Q' ], list_id => [ 8, 'L' ], live => [ 12, 'L' ], ordinal => [ 16, 'L' ],
    refine_page => [ 20, 'L' ], refine_offset => [ 24, 'S' ], used => [ 26, 'C' ], magic => [ 28, 'L' ]);
my %entry = (generation => [ 0, 'Q' ], centroid_epoch => [ 8, 'Q' ], rows => [ 16, 'Q' ], list_id => [ 24, 'L' ],
    scan_first => [ 28, 'L' ], scan_last => [ 32, 'L' ], scan_contiguous => [ 36, 'L' ], refine_first => [ 40, 'L' ],
    refine_last => [ 44, 'L' ], refine_contiguous => [ 48, 'L' ], successor => [ 52, 'L' ], spread => [ 60, 'L' ],
    state => [ 64, 'C' ]);
my %meta = (magic => [ 0, 'L' ], meta_bytes => [ 4, 'L' ], incompatible => [ 8, 'Q' ], read_compatible => [ 16, 'Q' ],
    build_id => [ 32, 'Q' ], rotation_seed => [ 40, 'Q' ], dim => [ 56, 'L' ], padded_dim => [ 60, 'L' ],
    lists => [ 64, 'L' ], next_list_id => [ 68, 'L' ], entry_bytes => [ 72, 'L' ], head_bytes => [ 76, 'L' ],
    code_bytes => [ 80, 'L' ], refine_row_bytes => [ 84, 'L' ], metric => [ 88, 'C' ], element => [ 89, 'C' ],
    quantizer => [ 90, 'C' ], bits => [ 91, 'C' ], rotation => [ 92, 'C' ], trained => [ 93, 'C' ],
    levels => [ 94, 'C' ], segment_count => [ 96, 'L' ], pq_m => [ 100, 'L' ], segment_from => [ 104, 'L' ],
    segment_to => [ 108, 'L' ], segment_bits => [ 112, 'L' ], error_spread => [ 472, 'L' ]);
my %part = (model => 360, centroids => 376, directory => 392, calibration => 408, codebooks => 424, basis => 440,
    coarse => 456);

# ---- an index file ----

package IndexFile;

sub new
{
    my ($class, $path, $visible) = @_;
    my $self = bless { path => $path, visible => $visible, data => PostgreSQL::Test::Utils::slurp_file($path) }, $class;
    $self->{$_} = $self->get($payload_at + $meta{$_}[0], $meta{$_}[1])
      for qw(padded_dim lists head_bytes code_bytes refine_row_bytes quantizer bits pq_m);
    for my $name (keys %part)
    {
        my $first = $self->get($payload_at + $part{$name} + 8, 'L');
        $self->{parts}{$name} = $first == $no_page ? [] : [ $self->chain($first) ];
    }
    for my $i (0 .. $self->{lists} - 1)
    {
        my $entry = $self->{parts}{directory}[0] * $page_bytes + $payload_at + 96 * $i;
        my $refine = $self->get($entry + 40, 'L');
        my %list = (entry => $entry, scan => [ $self->chain($self->get($entry + 28, 'L')) ],
            refine => [ $refine == $no_page ? () : $self->chain($refine) ], blocks => []);
        for my $index (0 .. $#{ $list{scan} })
        {
            my $page = $list{scan}[$index] * $page_bytes;
            my $first = $self->get($page + $payload_end + 34, 'S');
            push @{ $list{blocks} }, { page => $index, at => $page + $first + $_ * ($self->{head_bytes} + $self->{code_bytes}) }
              for 0 .. $self->get($page + $payload_end + 36, 'S') - 1;
        }
        push @{ $self->{list} }, \%list;
    }
    return $self;
}

sub get { my ($self, $at, $template) = @_; return unpack $template, substr $self->{data}, $at, 8; }

sub set
{
    my ($self, $at, $template, $value) = @_;
    my $bytes = pack $template, $value;
    die 'a fault that changes nothing' if substr($self->{data}, $at, length $bytes) eq $bytes;
    substr($self->{data}, $at, length $bytes) = $bytes;
    return;
}

sub flip { my ($self, $at, $bits) = @_; $self->set($at, 'C', $self->get($at, 'C') ^ $bits); return; }

# The checksum that the page at this place should have; stored there, so that another fault is not found by it.
sub checksum { my ($self, $page) = @_; return main::crc32c(substr $self->{data}, $page + $payload_at, $payload_end - $payload_at); }
sub stamp
{
    my ($self, $page) = @_;
    substr($self->{data}, $page + $payload_end + 28, 4) = pack 'L', $self->checksum($page);
    return;
}

sub chain
{
    my ($self, $page) = @_;
    my @pages;
    for (; $page != $no_page; $page = $self->get($page * $page_bytes + $payload_end + 20, 'L')) { push @pages, $page; }
    return @pages;
}

# Where byte number n behind the prefix of a block is: factors, then codes.
sub place
{
    my ($self, $list, $block, $n) = @_;
    my ($index, $offset) = ($block->{page}, $block->{at} % $page_bytes);
    my $factors = $self->{head_bytes} - 256;
    if ($offset + 256 + $factors <= $payload_end) { $offset += 256; }
    else { ($index, $offset) = ($index + 1, $payload_at); }
    for (; $offset + $n >= $payload_end; $index++) { ($n, $offset) = ($n - ($payload_end - $offset), $payload_at); }
    return $list->{scan}[$index] * $page_bytes + $offset + $n;
}

sub factor
{
    my ($self, $row, $name) = @_;
    my ($base, $width) = @{ { add => [ 0, 4 ], scale => [ 128, 2 ], error => [ 192, 2 ], offset => [ 256, 4 ] }->{$name} };
    return $self->place($row->{list}, $row->{block}, $base + $width * $row->{slot});
}

# Byte number n of a row's code, and the bits of it that are the row's.
sub code
{
    my ($self, $row, $n) = @_;
    my ($quantizer, $slot) = ($self->{quantizer}, $row->{slot});
    my $half = $slot < 16 ? 0x0f : 0xf0;
    my ($at, $bits) =
        $quantizer == 1 ? ($slot * $self->{padded_dim} + $n % $self->{padded_dim}, 0xff)
      : $quantizer == 3 ? ($slot * $self->{padded_dim} / 2 + $n % ($self->{padded_dim} / 2), 0xff)
      : $quantizer == 2 ? ($n % ($self->{padded_dim} / 4) * 16 + $slot % 16, $half)
      : $self->{bits} == 8 ? ($n % $self->{pq_m} * 32 + $slot, 0xff)
      :                      ($n % $self->{pq_m} * 16 + $slot % 16, $half);
    return ($self->place($row->{list}, $row->{block}, $self->{head_bytes} - 256 + $at), $bits);
}

sub refine
{
    my ($self, $row, $n) = @_;
    my $ordinal = $self->get($row->{block}{at} + 16, 'L');
    my $at = (32 * $ordinal + $row->{slot}) * $self->{refine_row_bytes} + ($n < 0 ? $self->{refine_row_bytes} + $n : $n);
    my $payload = $payload_end - $payload_at;
    return $row->{list}{refine}[ int($at / $payload) ] * $page_bytes + $payload_at + $at % $payload;
}

# All slots, with the row that they point to: those of kind 'live' (a row that is visible), 'gone', 'unused'.
sub slots
{
    my ($self, $wanted) = @_;
    my @found;
    for my $list (@{ $self->{list} })
    {
        for my $block (@{ $list->{blocks} })
        {
            my ($live, $used) = ($self->get($block->{at} + 12, 'L'), $self->get($block->{at} + 26, 'C'));
            for my $slot (0 .. 31)
            {
                my $pointer = $block->{at} + 32 + 6 * $slot;
                my ($high, $low, $offset) = unpack 'S3', substr $self->{data}, $pointer, 6;
                my $kind = $slot >= $used ? 'unused' : $live >> $slot & 1 ? 'live' : 'gone';
                $kind = 'dead' if $kind eq 'live' && !$self->{visible}{ "(" . ($high << 16 | $low) . ",$offset)" };
                push @found, { list => $list, block => $block, slot => $slot, pointer => $pointer } if $kind eq $wanted;
            }
        }
    }
    return @found;
}

sub save
{
    my ($self) = @_;
    main::write_file($self->{path}, $self->{data});
    return;
}

package main;

# ---- faults: name, what is expected, what it does to a file ----

my %faults;    # by code
my $code;      # the one that faults are made for

sub fault { my ($name, $expected, $do) = @_; push @{ $faults{$code} }, [ $name, $expected, $do ]; return; }

# A field of something becomes what `$change` makes of it ($_ is the old value).
sub change
{
    my ($name, $expected, $where, $field, $change) = @_;
    fault($name, $expected, sub {
        my ($file) = @_;
        my $at = $where->($file) + $field->[0];
        local $_ = $file->get($at, $field->[1]);
        my $new = ref $change ? $change->($file) : $change;
        $file->set($at, $field->[1], $new);
        # What the metapage says is looked at beside its checksum.
        $file->stamp(0) if $at >= $payload_at && $at < $payload_end;
    });
    return;
}

# Slots spread over the file.
sub one_of
{
    my ($file, $wanted, $i) = @_;
    my @slots = $file->slots($wanted);
    die "no $wanted slot in $file->{path}" unless @slots;
    return $slots[ ($i * 7919 + 13) % @slots ];
}

# {name} => page number, by file
sub page_of
{
    my ($which) = @_;
    return sub {
        my ($file) = @_;
        my $list = $file->{list}[-1];
        my $page = $which eq 'meta' ? 0
          : $which =~ /^(scan|refine)( last)?$/ ? $list->{$1}[ $2 ? -1 : 0 ]
          :                                       $file->{parts}{$which}[0];
        return $page * $page_bytes;
    };
}

sub damage { my ($name, @rest) = @_; return change($name, 'XX002', @rest); }

sub faults_of_pages
{
    my (@pages) = @_;
    for my $which (@pages)
    {
        my $page = page_of($which);
        my $tail = sub { return $page->(@_) + $payload_end };
        damage("$which page, flags", $page, $header{flags}, 1);
        change("$which page, unknown flags", 'XX001', $page, $header{flags}, 0x100);
        damage("$which page, pd_lower at the payload", $page, $header{lower}, $payload_at);
        damage("$which page, pd_lower before it", $page, $header{lower}, 24);
        change("$which page, pd_lower beyond", 'XX001', $page, $header{lower}, 8190);
        damage("$which page, pd_upper", $page, $header{upper}, sub { $_ - 8 }) if $which =~ /meta|model/;    # not full
        change("$which page, pd_special", 'XX001', $page, $header{special}, sub { $_ - 8 });
        damage("$which page, pd_special later", $page, $header{special}, sub { $_ + 8 });
        damage("$which page, version", $page, $header{version}, sub { $_ + 1 });
        damage("$which page, pd_prune_xid", $page, $header{prune_xid}, 700);
        damage("$which page, $_", $tail, $tail{$_}, sub { $_ ^ 1 << 5 }) for qw(generation owner kind identity ordinal);
        damage("$which page, generation, high half", $tail, $tail{generation}, sub { $_ ^ 1 << 40 });
        damage("$which page, deleted", $tail, $tail{deleted_at}, 3);
        damage("$which page, next beyond the end", $tail, $tail{next}, 1000000);
        damage("$which page, next is itself", $tail, $tail{next}, sub { $page->($_[0]) / $page_bytes });
        damage("$which page, next is the metapage", $tail, $tail{next}, 0) if $which ne 'meta';
        damage("$which page, first_block", $tail, $tail{first_block}, sub { $_ ^ 128 });
        damage("$which page, blocks", $tail, $tail{blocks}, sub { $_ + 1 });
        damage("$which page, head_page", $tail, $tail{head_page}, 1);
        damage("$which page, checksum", $tail, $tail{crc}, sub { $_ ^ 1 << 31 }) if $which =~ /^(meta|model|centroids|coarse|codebooks|basis)$/;
        fault("$which page, zeros", 'XX002', sub { substr($_[0]{data}, $page->($_[0]), $page_bytes) = "\0" x $page_bytes });
        fault("$which page, copy of another", 'XX002', sub {
            my ($file) = @_;
            my $at = $page->($file);
            substr($file->{data}, $at, $page_bytes) = substr $file->{data}, $at ? 0 : $page_bytes, $page_bytes;
        });
        if ($which !~ /scan|refine/)
        {
            damage("$which page, payload", $page, [ $payload_at + 2, 'C' ], sub { $_ ^ 1 }) if $which ne 'directory';
        }
        fault("$which page, bytes between header and payload", 'ok', sub { $_[0]->flip($page->($_[0]) + 40, 1) });
        fault("$which page, reserved", 'ok', sub { $_[0]->flip($page->($_[0]) + $payload_end + 50, 1) });
    }
    return;
}

sub faults_of_meta
{
    my $at = sub { return $payload_at };
    damage("metapage, $_", $at, $meta{$_}, sub { $_ ^ 1 })
      for qw(magic meta_bytes rotation_seed dim padded_dim entry_bytes head_bytes code_bytes refine_row_bytes metric element
      bits rotation trained segment_count pq_m segment_from segment_to segment_bits levels lists);
    damage("metapage, quantizer", $at, $meta{quantizer}, sub { $_ ^ 8 });
    damage("metapage, another quantizer", $at, $meta{quantizer}, sub { $_ == 1 ? 3 : 1 });
    damage("metapage, next_list_id", $at, $meta{next_list_id}, 1);
    damage("metapage, error_spread $_", $at, $meta{error_spread}, unpack 'L', pack 'f', $_)
      for -0.5, 1.5, 'inf', 'nan', $code =~ /pq/ ? 0 : 0.1;
    change('metapage, incompatible feature', '0A000', $at, $meta{incompatible}, 1 << 17);
    change('metapage, read-compatible feature', '0A000', $at, $meta{read_compatible}, 1 << 17);
    for my $name (sort keys %part)
    {
        my $part = sub { return $payload_at + $part{$name} };
        next if $name =~ /codebooks|basis/ && $code !~ /pq/;
        damage("metapage, first page of $name", $part, [ 8, 'L' ], sub { $_ ^ 2 });
        next if $name eq 'calibration';
        damage("metapage, $name lost", $part, [ 8, 'L' ], $no_page);
        damage("metapage, $name beyond the end", $part, [ 8, 'L' ], 0x7fffffff);
        damage("metapage, generation of $name", $part, [ 0, 'Q' ], sub { $_ + 1 });
        damage("metapage, pages of $name", $part, [ 12, 'L' ], sub { $_ + 1 });
    }
    # What only its checksum can tell.
    for my $field (qw(build_id rotation_seed lists next_list_id segment_bits error_spread))
    {
        fault("metapage, $field without checksum", 'XX002', sub { $_[0]->flip($payload_at + $meta{$field}[0], 1) });
    }
    fault('metapage, rows_trained', 'XX002', sub { $_[0]->flip($payload_at + 48, 1) });
    fault('metapage, behind its fields', 'XX002', sub { $_[0]->flip($payload_at + 500, 1) });
    return;
}

sub faults_of_directory
{
    my $at = sub { return $_[0]{list}[-1]{entry} };
    damage("directory, $_", $at, $entry{$_}, sub { $_ ^ 1 << 6 })
      for qw(generation centroid_epoch list_id scan_first scan_last scan_contiguous successor state);
    # Rows are a hint, whatever they are.
    fault('directory, rows', 'ok', sub { $_[0]->flip($_[0]{list}[-1]{entry} + $entry{rows}[0], 255) });
    fault('directory, rows, high half', 'ok', sub { $_[0]->flip($_[0]{list}[-1]{entry} + $entry{rows}[0] + 4, 8) });
    damage('directory, scan_last lost', $at, $entry{scan_last}, $no_page);
    damage('directory, scan_first of another list', $at, $entry{scan_first}, sub { $_[0]{list}[0]{scan}[0] });
    damage('directory, scan_contiguous 0', $at, $entry{scan_contiguous}, 0);
    damage('directory, spread below zero', $at, $entry{spread}, 0xbf800000);
    damage('directory, another spread', $at, $entry{spread}, sub { $_ ^ 1 << 20 });
    damage("directory, $_", $at, $entry{$_}, sub { $_ ^ 1 << 6 }) for qw(refine_first refine_last refine_contiguous);
    fault('directory, behind its entries', 'ok', sub { $_[0]->flip($_[0]{list}[-1]{entry} + 96, 1) });
    return;
}

# The model, with right checksums: the codes of the centroids are not those of the centroids.
sub faults_of_centroids
{
    # Of 32 lists: biases; factors of 256 bytes and one bit a dimension; factors of 384 bytes and four bits.
    my %at = (bias => sub { 4 }, 'bit factors' => sub { 128 + 4 }, 'bit codes' => sub { 128 + 256 + 17 },
        'nibble factors' => sub { 128 + 256 + 4 * $_[0]{padded_dim} + 4 },
        'nibble codes' => sub { 128 + 256 + 4 * $_[0]{padded_dim} + 384 + 1 });
    for my $name (sort keys %at)
    {
        fault("codes of centroids, $name", 'XX002', sub {
            my ($file) = @_;
            my $n = $at{$name}->($file);
            my $page = $file->{parts}{coarse}[ $n / ($payload_end - $payload_at) ] * $page_bytes;
            $file->flip($page + $payload_at + $n % ($payload_end - $payload_at), 0x10);
            $file->stamp($page);
        });
    }
    for my $i (0, 9)
    {
        fault("centroid, sign of float $i", 'XX002', sub {
            my ($file) = @_;
            my $page = $file->{parts}{centroids}[0] * $page_bytes;
            $file->flip($page + $payload_at + 8 + 4 * $i + 3, 0x80);
            $file->stamp($page);
        });
    }
    return;
}

# Chains of more pages than the build laid out.
sub faults_of_jumps
{
    for my $i (0, 1)
    {
        fault("directory, scan_contiguous of list $i beyond a jump", 'XX002', sub {
            my ($file) = @_;
            my ($entry, @pages) = ($file->{list}[$i]{entry}, @{ $file->{list}[$i]{scan} });
            my ($jump) = grep { $pages[$_] != $pages[ $_ - 1 ] + 1 } 1 .. $#pages;
            $file->set($entry + $entry{scan_contiguous}[0], 'L', $jump + 1);
        });
    }
    return;
}

sub faults_of_blocks
{
    for my $which (0, 1, -1)
    {
        my $at = sub {
            my $blocks = $_[0]{list}[0]{blocks};
            return $blocks->[ $which ]{at};
        };
        my $name = "block $which";
        damage("$name, $_", $at, $block{$_}, sub { $_ ^ 1 << 4 }) for qw(generation list_id ordinal magic refine_page refine_offset);
        damage("$name, used too large", $at, $block{used}, 33);
        damage("$name, used 0", $at, $block{used}, 0);
        damage("$name, one slot less", $at, $block{used}, sub { $_ - 1 });
        damage("$name, no slot live", $at, $block{live}, 0);
        fault("$name, reserved byte and flags", 'ok', sub { $_[0]->flip($at->($_[0]) + 27, 1); $_[0]->flip($at->($_[0]) + 230, 1) });
    }
    for my $i (1 .. 6)
    {
        # A row that is lost, one that comes back, one that never was.
        fault("live bit of a row, $i", 'XX002', sub {
            my $row = one_of($_[0], 'live', $i);
            $_[0]->set($row->{block}{at} + 12, 'L', $_[0]->get($row->{block}{at} + 12, 'L') ^ 1 << $row->{slot});
        });
        fault("live bit of an unused slot, $i", 'XX002', sub {
            my $row = one_of($_[0], 'unused', $i);
            $_[0]->set($row->{block}{at} + 12, 'L', $_[0]->get($row->{block}{at} + 12, 'L') | 1 << $row->{slot});
        });
        fault("row pointer, offset, $i", 'XX002', sub { $_[0]->flip(one_of($_[0], 'live', $i)->{pointer} + 4, 1 << $i % 6) });
        fault("row pointer, block, $i", 'XX002', sub { $_[0]->flip(one_of($_[0], 'live', $i)->{pointer} + 2, 1 << $i % 3) });
        fault("row pointer, high part of the block, $i", 'XX002', sub { $_[0]->flip(one_of($_[0], 'live', $i)->{pointer}, 1) });
        fault("row pointer, offset 0, $i", 'XX002', sub { $_[0]->set(one_of($_[0], 'live', $i)->{pointer} + 4, 'S', 0) });
        fault("row pointer of another row, $i", 'XX002', sub {
            my ($file) = @_;
            my ($to, $from) = (one_of($file, 'live', $i), one_of($file, 'live', $i + 1));
            substr($file->{data}, $to->{pointer}, 6) = substr $file->{data}, $from->{pointer}, 6;
        });
        fault("two row pointers swapped, $i", 'XX002', sub {
            my ($file) = @_;
            my ($a, $b) = map { $_->{pointer} } one_of($file, 'live', $i), one_of($file, 'live', $i + 1);
            (substr($file->{data}, $a, 6), substr($file->{data}, $b, 6)) =
              (substr($file->{data}, $b, 6), substr($file->{data}, $a, 6));
        });
    }
    for my $i (1 .. 3)
    {
        # In the next slot of a block, whose garbage passes for codes.
        fault("a row that is there twice, $i", 'XX002', sub {
            my ($file) = @_;
            my $from = one_of($file, 'live', $i);
            my @next = grep { $_->{slot} == $file->get($_->{block}{at} + $block{used}[0], 'C') } $file->slots('unused');
            my $to = $next[ $i % @next ];
            my $head = $to->{block}{at};
            substr($file->{data}, $to->{pointer}, 6) = substr $file->{data}, $from->{pointer}, 6;
            $file->set($head + $block{used}[0], 'C', $to->{slot} + 1);
            $file->set($head + $block{live}[0], 'L', $file->get($head + $block{live}[0], 'L') | 1 << $to->{slot});
        });
    }
    return;
}

sub faults_of_codes
{
    my ($refined, @factors) = @_;
    for my $i (1 .. 4)
    {
        for my $factor (@factors)
        {
            my $bytes = $factor =~ /add|offset/ ? 4 : 2;
            # The first time the last bit, then the sign, then others.
            fault("factor $factor, $i", 'XX002', sub {
                my $byte = $i == 1 ? 0 : $i == 2 ? $bytes - 1 : $i % $bytes;
                $_[0]->flip($_[0]->factor(one_of($_[0], 'live', $i + 3), $factor) + $byte, $i == 2 ? 0x80 : 1 << $i % 8);
            });
        }
    }
    for my $i (1 .. 12)
    {
        fault("code, $i", 'XX002', sub {
            my ($at, $bits) = $_[0]->code(one_of($_[0], 'live', $i), $i * 37);
            $_[0]->flip($at, $bits & (0x11 << $i % 4));
        });
    }
    if ($refined)
    {
        for my $i (1 .. 8)
        {
            # From its beginning and, every other one, from its end: its factors.
            my $byte = $i % 2 ? $i * 3 : -$i;
            fault("refine row, byte $byte", 'XX002', sub { $_[0]->flip($_[0]->refine(one_of($_[0], 'live', $i), $byte), 1 << $i % 8) });
        }
    }
    # What no row depends on.
    for my $i (1 .. 3)
    {
        for my $kind (qw(gone unused))
        {
            fault("row pointer of a slot that is $kind, $i", 'ok', sub { $_[0]->flip(one_of($_[0], $kind, $i)->{pointer} + $i, 1) });
        }
        fault("factors and code of a slot that is gone, $i", 'ok', sub {
            my ($file) = @_;
            my $row = one_of($file, 'gone', $i);
            $file->flip($file->factor($row, $_), 1) for @factors;
            my ($at, $bits) = $file->code($row, $i * 11);
            $file->flip($at, $bits);
            $file->flip($file->refine($row, $i), 1) if $refined;
        });
    }
    return;
}

sub faults_of_file
{
    fault('last page cut off', 'XX002', sub { $_[0]{data} = substr $_[0]{data}, 0, -$page_bytes });
    fault('an empty page behind the last', 'ok', sub { $_[0]{data} .= "\0" x $page_bytes });
    fault('garbage behind the last page', 'XX001', sub { $_[0]{data} .= 'x' x $page_bytes });
    fault('another page of no kind', 'XX002', sub {
        my $page = substr $_[0]{data}, 0, $page_bytes;
        substr($page, $payload_end + 32, 2) = pack 'S', 77;
        $_[0]{data} .= $page;
    });
    return;
}

# code => [dimensions, options, operator class, has a refine layer, factors, pages of the model]
my @all = qw(add scale error);
my %codes = (
    bq4 => [ 100, "quantizer = 'bq', lists = 2", 'vector_l2_ops', 1, \@all ],
    # a block is wider than what is left of a page
    bq1 => [ 1100, "quantizer = 'bq', bits = 1, lists = 2", 'vector_ip_ops', 0, \@all ],
    sq8 => [ 600, "quantizer = 'sq8', lists = 2", 'vector_cosine_ops', 0, [ @all, 'offset' ] ],
    sq4 => [ 200, "quantizer = 'sq4', lists = 2", 'vector_l2_ops', 0, [ @all, 'offset' ] ],
    pq => [ 24, "quantizer = 'pq', pq_bits = 4, pq_m = 5, lists = 2", 'vector_l2_ops', 0, \@all, qw(codebooks basis) ],
    pq8 => [ 16, "quantizer = 'pq', lists = 2, pq_m = 2", 'vector_cosine_ops', 0, \@all, qw(codebooks basis) ]);
for (sort keys %codes)
{
    $code = $_;
    my ($dim, $with, $opclass, $refined, $factors, @model) = @{ $codes{$code} };
    if ($code eq 'bq4' || $code eq 'pq')
    {
        faults_of_meta();
        faults_of_pages('meta', 'model', @model, 'centroids', 'coarse', 'directory', 'scan', $refined ? 'refine' : ());
        faults_of_directory();
        faults_of_file();
        faults_of_centroids();
    }
    faults_of_jumps() if $code eq 'sq8';
    faults_of_blocks();
    faults_of_codes($refined, @$factors);
}

# ---- many indexes ----

my %visible;    # code => { row pointer => 1 }

# Faults are for us to find, not for the checksums of the server.
my $node = new_server('primary', "max_wal_size = 4GB\nshared_buffers = 256MB\n", no_data_checksums => 1);
$node->safe_psql('postgres', q{
    -- SQLSTATE, message and hint of the check's error, or ok
    CREATE FUNCTION verdict(i regclass, deep boolean) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE
        message text;
        hint text;
    BEGIN
        PERFORM quantvec_check(i, deep);
        RETURN 'ok';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
        RETURN concat_ws(' ', SQLSTATE, message, hint);
    END $$;
});
for my $code (sort keys %codes)
{
    my ($dim, $with, $opclass) = @{ $codes{$code} };
    my $rows = $code =~ /pq/ ? 1500 : $dim > 500 ? 150 : 600;
    my $create = join '', map { "CREATE INDEX ${code}_$_ ON $code USING quantvec (v $opclass) WITH ($with);" } 0 .. $#{ $faults{$code} };
    $node->safe_psql('postgres', qq{
        CREATE TABLE $code (id bigint, v vector($dim));
        INSERT INTO $code SELECT i, test_vector(i, $dim) FROM generate_series(1, $rows) AS i;
        $create
        INSERT INTO $code SELECT i, test_vector(i, $dim) FROM generate_series($rows + 1, $rows + 50) AS i;
        DELETE FROM $code WHERE id % 17 = 3;
    });
    # Too few rows for lists to be written anew. The last slots are of new rows, in new blocks.
    $node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $code");
    $node->safe_psql('postgres', "INSERT INTO $code SELECT i, test_vector(i, $dim) FROM generate_series(100001, 100020) AS i");
    $visible{$code} = { map { $_ => 1 } split /\n/, $node->safe_psql('postgres', "SELECT ctid FROM $code") };
}

# index name => verdict
sub verdicts
{
    my ($deep) = @_;
    return map { /^([^|]*)\|(.*)/s ? ($1, $2) : die $_ } split /\n/, $node->safe_psql('postgres', qq{
        SELECT relname, replace(verdict(oid, $deep), E'\\n', ' ') FROM pg_class
        WHERE relkind = 'i' AND relam = (SELECT oid FROM pg_am WHERE amname = 'quantvec')});
}

my %before = verdicts('true');
is(scalar(grep { $_ ne 'ok' } values %before), 0, scalar(keys %before) . ' sound indexes pass')
  or diag join "\n", map { "$_: $before{$_}" } grep { $before{$_} ne 'ok' } sort keys %before;

my %path = map { split /\|/ } split /\n/, $node->safe_psql('postgres', q{
    SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relkind = 'i'});
$node->stop;
for my $code (sort keys %codes)
{
    for my $i (0 .. $#{ $faults{$code} })
    {
        my $file = IndexFile->new($node->data_dir . '/' . $path{"${code}_$i"}, $visible{$code});
        my $before = $file->{data};
        die "$file->{path}: another checksum" if $file->checksum(0) != $file->get($payload_end + 28, 'L');
        $faults{$code}[$i][2]->($file);
        die "$code: $faults{$code}[$i][0] changes nothing" if $file->{data} eq $before;
        $file->save;
    }
}
$node->start;

# ---- what the check says ----

# What only the table can tell.
my $needs_table = qr/^(code|factor|refine\ row|live\ bit\ of\ a\ row|row\ pointer,|two\ row\ pointers|metapage,\ rotation_seed$)
    |no\ slot\ live/x;
my %light = verdicts('false');
my %deep = verdicts('true');
my %count = (light => 0, deep => 0, harmless => 0);
for my $code (sort keys %codes)
{
    for my $i (0 .. $#{ $faults{$code} })
    {
        my ($name, $expected) = @{ $faults{$code}[$i] };
        my $index = "${code}_$i";
        my $like = $expected eq 'ok' ? qr/^ok$/
          : $expected eq 'XX002' ? qr/^XX002 index "$index" is damaged.*REINDEX INDEX/
          :                        qr/^$expected /;
        like($deep{$index}, $like, "$code, $name: $expected");
        like($light{$index}, $name =~ $needs_table ? qr/^ok$|$like/ : $like, "$code, $name: without the table");
        $count{harmless}++, next if $expected eq 'ok';
        $count{deep}++ if $deep{$index} ne 'ok';
        $count{light}++ if $light{$index} ne 'ok';
    }
}

# ---- another session's index ----

my $other = $node->background_psql('postgres');
$other->query_safe('SET client_min_messages = warning; CREATE TEMP TABLE theirs (v vector(3)); CREATE INDEX theirs_v ON theirs USING quantvec (v)');
like($node->safe_psql('postgres', "SELECT verdict(oid, true) FROM pg_class WHERE relname = 'theirs_v'"),
    qr/^0A000 cannot access temporary indexes of other sessions/, 'a temporary index of another session is refused');
$other->quit;

diag "$count{deep} faults are found, $count{light} of them without the table; $count{harmless} do no harm";

# ---- what the hints say ----

$node->safe_psql('postgres', "SET client_min_messages = warning; REINDEX TABLE $_") for sort keys %codes;

all_indexes_are_sound($node);
log_is_clean($node);
done_testing();
