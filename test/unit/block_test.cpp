// Blocks and the scanner of lists. The pages are written here by the drawings of ivf/block.h and
// ivf/page.h alone, and each row is expected to come out as from one block that lies in one piece.
//
// This file is long because blocks and the scanner are judged by one second writer of pages, which
// is its first half.
#include "codes.h"
#include "unit.h"

#include "core/ivf/stream.h"
#include "core/quant/rotation.h"

#include <cstring>
#include <map>

using namespace quantvec;
using namespace quantvec::unit;
using ivf::BlockHead;
using ivf::ListScanner;
using Result = ListScanner::Result;

namespace {

constexpr std::uint32_t kList = 77, kFirstPage = 1000;
constexpr std::uint64_t kGeneration = 0x123456789ABCDEFu;

// One page in an allocation of its own, so that a sanitizer sees a read beyond it.
class Page {
  public:
    explicit Page(Random& random) : words_(8192 / 8) {
        for (std::uint64_t& word : words_) word = random.Next();
        std::memset(bytes() + 8128, 0, 64);
    }
    std::uint8_t* bytes() { return reinterpret_cast<std::uint8_t*>(words_.data()); }
    const std::uint8_t* bytes() const {
        return reinterpret_cast<const std::uint8_t*>(words_.data());
    }

  private:
    std::vector<std::uint64_t> words_;
};

void Put16(std::uint8_t* at, std::size_t value) {
    const auto v = static_cast<std::uint16_t>(value);
    std::memcpy(at, &v, 2);
}

// A list of rows with random codes and factors.
struct List {
    Spec spec;
    std::vector<Row> rows;
    std::vector<bool> live;
    std::vector<Page> pages;
    // Of each block: page (index) and offset of its head, and of its last byte of codes.
    struct Place {
        std::size_t page, offset, last_page;
    };
    std::vector<Place> places;
};

// What a heap TID of row i is here: no two are alike.
ivf::RowPointer PointerOf(std::size_t i) {
    return {static_cast<std::uint16_t>(i / 1000), static_cast<std::uint16_t>(i * 7),
            static_cast<std::uint16_t>(i + 1)};
}

Row RandomRow(const Spec& spec, Random& random) {
    Row row;
    row.code = random.Bytes(quant::Get(spec.kind).ScanRowBytes(spec));
    const auto positive = [&](double most) {
        return quant::ToBfloat16(static_cast<float>(random.Uniform(0, most)));
    };
    row.factors.add = static_cast<float>(random.Uniform(0, 100));
    row.factors.scale = static_cast<std::uint16_t>(positive(0.01) | 0x8000u);
    row.factors.error = positive(3);
    row.factors.offset = spec.kind == Kind::kSq8 ? static_cast<float>(random.Uniform(-1, 1)) : 0;
    return row;
}

// Bytes go to the pages one part after the other; a part of one piece does not straddle.
class Writer {
  public:
    Writer(List& list, Random& random) : list_(list), random_(random) { Turn(); }

    std::uint8_t* page() { return list_.pages.back().bytes(); }
    std::size_t at() const { return at_; }
    std::size_t room() const { return 8128 - at_; }

    void Turn() {
        list_.pages.emplace_back(random_);
        at_ = 64;
    }
    // Room for one piece; returns its place.
    std::uint8_t* Piece(std::size_t size) {
        if (room() < size) Turn();
        at_ += size;
        return page() + at_ - size;
    }
    void Straddling(const std::uint8_t* bytes, std::size_t size) {
        while (size > 0) {
            if (room() == 0) Turn();
            const std::size_t n = std::min(size, room());
            std::memcpy(page() + at_, bytes, n);
            at_ += n;
            bytes += n;
            size -= n;
        }
    }

  private:
    List& list_;
    Random& random_;
    std::size_t at_ = 64;
};

List MakeList(const Spec& spec, std::size_t count, std::uint64_t seed, double dead = 0.1) {
    Random random(seed);
    const quant::Quantizer& quantizer = quant::Get(spec.kind);
    const std::size_t factor_bytes = spec.kind == Kind::kSq8 ? 384 : 256;
    List list = {spec, {}, {}, {}, {}};
    for (std::size_t i = 0; i < count; ++i) {
        list.rows.push_back(RandomRow(spec, random));
        list.live.push_back(random.Uniform() >= dead);
    }
    Writer writer(list, random);
    for (std::size_t first = 0; first < count; first += 32) {
        const std::size_t used = std::min<std::size_t>(32, count - first);
        // Slots that are not used hold anything.
        TestBlock block(spec, &random);
        std::uint32_t live = 0;
        for (std::size_t s = 0; s < used; ++s) {
            block.Put(s, list.rows[first + s]);
            live |= std::uint32_t{list.live[first + s]} << s;
        }
        std::uint8_t* prefix = writer.Piece(256);
        List::Place place = {list.pages.size() - 1, writer.at() - 256, 0};
        std::uint8_t* tail = writer.page() + 8128;
        std::uint16_t heads;
        std::memcpy(&heads, tail + 36, 2);
        if (heads == 0) Put16(tail + 34, place.offset);
        Put16(tail + 36, heads + 1u);

        std::memset(prefix, 0, 256);
        const BlockHead head = {.generation = kGeneration,
                                .list_id = kList,
                                .live = live,
                                .ordinal = static_cast<std::uint32_t>(first / 32),
                                .refine_page = 5,
                                .refine_offset = 64,
                                .used = static_cast<std::uint8_t>(used),
                                .reserved = 0,
                                .magic = ivf::kBlockMagic};
        std::memcpy(prefix, &head, 32);
        for (std::size_t s = 0; s < used; ++s) {
            const ivf::RowPointer pointer = PointerOf(first + s);
            std::memcpy(prefix + 32 + 6 * s, &pointer, 6);
        }
        std::uint8_t* factors = writer.Piece(factor_bytes);
        std::memcpy(factors, block.add, 128);
        std::memcpy(factors + 128, block.scale, 64);
        std::memcpy(factors + 192, block.error, 64);
        if (spec.kind == Kind::kSq8) std::memcpy(factors + 256, block.offset, 128);
        // The last block's codes go as far as its slots are used.
        writer.Straddling(block.codes.data(), quantizer.CodeBytesFor(spec, used));
        place.last_page = list.pages.size() - 1;
        list.places.push_back(place);
    }
    return list;
}

struct Found {
    double estimate, lower;
    std::uint32_t page, offset;
};

// The rows as one block in one piece has them, by row number.
std::map<std::size_t, Found> Expected(const List& list, const Query& query, double base) {
    std::map<std::size_t, Found> out;
    for (std::size_t first = 0; first < list.rows.size(); first += 32) {
        TestBlock block(list.spec);
        const std::size_t used = std::min<std::size_t>(32, list.rows.size() - first);
        for (std::size_t s = 0; s < used; ++s) block.Put(s, list.rows[first + s]);
        const Scanned scanned = block.Scan(query, base);
        const List::Place& place = list.places[first / 32];
        for (std::size_t s = 0; s < used; ++s)
            if (list.live[first + s])
                out[first + s] = {double{scanned.estimate[s]}, double{scanned.lower[s]},
                                  kFirstPage + static_cast<std::uint32_t>(place.page),
                                  static_cast<std::uint32_t>(place.offset)};
    }
    return out;
}

// Adds the rows of a block that are below its threshold; false if one came twice or a pointer is
// none of the list's.
bool Take(const List& list, const ivf::ScoredBlock& block, std::map<std::size_t, Found>& found) {
    bool good = true;
    const BlockHead* head = ivf::HeadAt(block.head);
    for (std::size_t s = 0; s < 32; ++s) {
        if ((block.below >> s & 1) == 0) continue;
        const std::size_t i = head->ordinal * std::size_t{32} + s;
        const ivf::RowPointer expected = PointerOf(i);
        good = good && i < list.rows.size() &&
               std::memcmp(&ivf::PointersOf(block.head)[s], &expected, 6) == 0 &&
               found
                   .try_emplace(i, Found{double{block.estimate[s]}, double{block.lower[s]},
                                         block.page, block.offset})
                   .second;
    }
    return good;
}

// Reads all pages; the last result is kPageDone if nothing was wrong.
Result ScanAll(const ivf::BlockLayout& layout, const List& list, const Query& query, double base,
               std::map<std::size_t, Found>& found, float threshold = kInfinity,
               std::uint32_t mask = ~0u) {
    ListScanner scanner;
    ivf::ScoredBlock block;
    scanner.BeginList(layout, query.prepared, kList, kGeneration, static_cast<float>(base));
    std::size_t rows = 0;
    for (std::size_t p = 0; p < list.pages.size(); ++p) {
        scanner.BeginPage(list.pages[p].bytes(), kFirstPage + static_cast<std::uint32_t>(p));
        Result result;
        while ((result = scanner.NextBlock(threshold, mask, block)) == Result::kBlock) {
            CHECK(Take(list, block, found));
            rows += static_cast<std::size_t>(__builtin_popcount(block.live));
        }
        if (result == Result::kDamaged) return result;
    }
    const Result result = scanner.Finish(threshold, mask, block);
    if (result == Result::kBlock) {
        CHECK(Take(list, block, found));
        rows += static_cast<std::size_t>(__builtin_popcount(block.live));
    }
    CHECK(!scanner.Pending());
    CHECK_EQ(scanner.rows_scored(), rows);
    return result == Result::kDamaged ? result : Result::kPageDone;
}

// Sums over pieces are rounded where the pieces end.
double Tolerance(const Spec& spec, const Query& query, double base) {
    double terms = base + 100;
    for (float q : query.q) terms += 0.01 * 255 * std::fabs(double{q});
    return spec.kind == Kind::kBq ? 1e-7 * terms : 1e-6 * (terms + double{query.prepared.total});
}

void CheckFound(const std::map<std::size_t, Found>& found,
                const std::map<std::size_t, Found>& expected, double tolerance) {
    CHECK_EQ(found.size(), expected.size());
    for (const auto& [i, row] : expected) {
        const auto it = found.find(i);
        CHECK(it != found.end());
        if (it == found.end()) continue;
        CHECK_NEAR(it->second.estimate, row.estimate, tolerance);
        CHECK_NEAR(it->second.lower, row.lower, tolerance);
        CHECK_EQ(it->second.page, row.page);
        CHECK_EQ(it->second.offset, row.offset);
    }
}

constexpr std::size_t kDims[] = {1, 384, 768, 2049, 16000};
constexpr std::size_t kCounts[] = {0, 1, 31, 32, 33, 100, 1000};

std::vector<Spec> Specs(std::size_t dim) {
    return {BqSpec(4, quant::PaddedDim(dim)), Sq8Spec(quant::PaddedDim(dim))};
}

// Lists of 1,000 wide rows are large: one of them is enough.
bool TooLarge(const Spec& spec, std::size_t count) {
    return count == 1000 && spec.padded_dim == 16000 && spec.kind == Kind::kSq8;
}

}  // namespace

// Pages, a chain's last one apart, are at least 95 % full of blocks at every dimension.
TEST(BlockPagesAreFull) {
    for (const quant::Kind kind : {quant::Kind::kBq, quant::Kind::kSq8, quant::Kind::kSq4}) {
        for (std::uint32_t dim = 64; dim <= 16000; dim += 64) {
            const ivf::BlockLayout layout = ivf::MakeLayout({kind, 4, dim});
            // 200 pages and more, so that the last one does not count.
            const std::size_t block_bytes = layout.head_bytes + layout.code_bytes;
            const std::size_t blocks = 200 * ivf::kPayloadBytes / block_bytes;
            const double pages = ivf::ScanPagesFor(layout, blocks * 32);
            const double full =
                static_cast<double>(blocks * block_bytes) / (pages * ivf::kPageBytes);
            Where("kind=%d dim=%u", static_cast<int>(kind), dim);
            CHECK(full >= 0.95);
        }
    }
}

TEST(BlockOffsetsAreTheDrawing) {
    for (std::size_t dim : kDims) {
        const std::size_t n = quant::PaddedDim(dim);
        const ivf::BlockLayout bq = ivf::MakeLayout(BqSpec(4, n));
        const ivf::BlockLayout sq8 = ivf::MakeLayout(Sq8Spec(n));
        Where("dim=%zu", dim);
        CHECK_EQ(bq.head_bytes, 512);
        CHECK_EQ(bq.factor_bytes, 256);
        CHECK_EQ(bq.code_bytes, 4 * n);
        CHECK_EQ(bq.scan_row_bytes, n / 8);
        CHECK_EQ(bq.refine_row_bytes, 3 * n / 8 + 12);
        CHECK(!bq.has_offset);
        CHECK_EQ(sq8.head_bytes, 640);
        CHECK_EQ(sq8.factor_bytes, 384);
        CHECK_EQ(sq8.code_bytes, 32 * n);
        CHECK_EQ(sq8.refine_row_bytes, 0);
        CHECK(sq8.has_offset);
    }
    CHECK_EQ(ivf::kPrefixBytes, 256);
    CHECK_EQ(offsetof(BlockHead, generation), 0);
    CHECK_EQ(offsetof(BlockHead, list_id), 8);
    CHECK_EQ(offsetof(BlockHead, live), 12);
    CHECK_EQ(offsetof(BlockHead, ordinal), 16);
    CHECK_EQ(offsetof(BlockHead, refine_page), 20);
    CHECK_EQ(offsetof(BlockHead, refine_offset), 24);
    CHECK_EQ(offsetof(BlockHead, used), 26);
    CHECK_EQ(offsetof(BlockHead, magic), 28);
    CHECK_EQ(offsetof(ivf::PageTail, first_block), 34);
    CHECK_EQ(offsetof(ivf::PageTail, blocks), 36);
    CHECK_EQ(offsetof(ivf::PageTail, identity), 60);
    CHECK_EQ(ivf::kPayloadBytes % 64, 0);
    CHECK_EQ(ivf::kPayloadEnd + sizeof(ivf::PageTail), ivf::kPageBytes);
}

TEST(BlockWhereCodesBegin) {
    for (const Spec& spec : Specs(384)) {
        const ivf::BlockLayout layout = ivf::MakeLayout(spec);
        const std::size_t factors = layout.factor_bytes;
        for (std::size_t at = 64; at + 256 <= 8128; at += 64) {
            Where("offset %zu", at);
            ivf::PieceCursor pieces = ivf::PiecesOf(layout, at);
            const ivf::Piece here = pieces.Take();
            if (at + 256 + factors <= 8128) {
                CHECK_EQ(here.factors_at, at + 256);
                CHECK_EQ(here.codes_at, at + 256 + factors);
                continue;
            }
            // The rest of the page is lost, and the factors begin the next payload.
            CHECK_EQ(here.factors_at, 0);
            CHECK_EQ(here.code_bytes, 0);
            const ivf::Piece behind = pieces.Take();
            CHECK_EQ(behind.factors_at, 64);
            CHECK_EQ(behind.codes_at, 64 + factors);
        }
    }
}

TEST(BlockPublishSlot) {
    for (const Spec& spec : Specs(64)) {
        const ivf::BlockLayout layout = ivf::MakeLayout(spec);
        Random random(4);
        std::vector<std::uint64_t> words(layout.head_bytes / 8, ~std::uint64_t{0});
        auto* block = reinterpret_cast<std::uint8_t*>(words.data());
        std::memset(block + 256, 0, layout.factor_bytes);
        ivf::InitBlock(kList, kGeneration, 9, 1234, 640, block);
        for (std::size_t i = 32; i < 256; ++i) CHECK_EQ(block[i], 0);
        BlockHead* head = ivf::HeadAt(block);
        CHECK_EQ(head->generation, kGeneration);
        CHECK_EQ(head->list_id, kList);
        CHECK_EQ(head->ordinal, 9);
        CHECK_EQ(head->refine_page, 1234);
        CHECK_EQ(head->refine_offset, 640);
        CHECK_EQ(head->live, 0);
        CHECK_EQ(head->used, 0);
        std::vector<Row> rows;
        std::uint32_t live = 0;
        for (std::size_t slot = 0; slot < 32; ++slot) {
            Where("%s slot=%zu", spec.kind == Kind::kBq ? "bq" : "sq8", slot);
            rows.push_back(RandomRow(spec, random));
            ivf::StoreFactors(layout, rows.back().factors, slot, block + 256);
            CHECK_EQ(head->live, live);  // not before it is published
            ivf::PublishSlot(PointerOf(slot), block);
            live |= std::uint32_t{1} << slot;
            // A vacuum in between clears a bit for good.
            if (slot == 5) head->live = live &= ~std::uint32_t{1 << 3};
            CHECK_EQ(head->live, live);
            CHECK_EQ(head->used, slot + 1);
            CHECK(ivf::HeadIsSound(*head, kList, kGeneration));
        }
        // The bytes where the drawing has them.
        for (std::size_t slot = 0; slot < 32; ++slot) {
            const quant::RowFactors& factors = rows[slot].factors;
            const ivf::RowPointer pointer = PointerOf(slot);
            CHECK(std::memcmp(block + 32 + 6 * slot, &pointer, 6) == 0);
            CHECK(std::memcmp(block + 256 + 4 * slot, &factors.add, 4) == 0);
            CHECK(std::memcmp(block + 384 + 2 * slot, &factors.scale, 2) == 0);
            CHECK(std::memcmp(block + 448 + 2 * slot, &factors.error, 2) == 0);
            if (layout.has_offset)
                CHECK(std::memcmp(block + 512 + 4 * slot, &factors.offset, 4) == 0);
            CHECK_EQ(block[224 + slot], 0);
        }
        const kernels::BlockFactors factors = ivf::FactorsOf(layout, block);
        CHECK_EQ(static_cast<const void*>(factors.add), block + 256);
        CHECK_EQ(static_cast<const void*>(factors.scale), block + 384);
        CHECK_EQ(static_cast<const void*>(factors.error), block + 448);
        CHECK_EQ(static_cast<const void*>(factors.offset),
                 layout.has_offset ? block + 512 : nullptr);
    }
}

TEST(BlockHeadIsSound) {
    BlockHead good = {};
    good.generation = kGeneration;
    good.list_id = kList;
    good.magic = ivf::kBlockMagic;
    for (unsigned used = 0; used <= 32; ++used) {
        Where("used=%u", used);
        good.used = static_cast<std::uint8_t>(used);
        good.live = 0;
        CHECK(ivf::HeadIsSound(good, kList, kGeneration));
        good.live = used == 32 ? ~0u : (1u << used) - 1;
        CHECK(ivf::HeadIsSound(good, kList, kGeneration));
        CHECK(!ivf::HeadIsSound(good, kList + 1, kGeneration));
        CHECK(!ivf::HeadIsSound(good, kList, kGeneration + 1));
        // A live slot beyond the used ones.
        for (unsigned slot = used; slot < 32; ++slot) {
            BlockHead bad = good;
            bad.live |= 1u << slot;
            CHECK(!ivf::HeadIsSound(bad, kList, kGeneration));
        }
        for (unsigned bit = 0; bit < 32; ++bit) {
            BlockHead bad = good;
            bad.magic ^= 1u << bit;
            CHECK(!ivf::HeadIsSound(bad, kList, kGeneration));
        }
    }
    for (unsigned used = 33; used < 256; ++used) {
        good.used = static_cast<std::uint8_t>(used);
        CHECK(!ivf::HeadIsSound(good, kList, kGeneration));
    }
}

TEST(BlockRefinePosition) {
    for (std::size_t bits : {2, 4, 8}) {
        const ivf::BlockLayout layout = ivf::MakeLayout(BqSpec(bits, 16000));
        const std::uint64_t row = (bits - 1) * 16000 / 8 + 12;
        std::uint64_t position = 0;
        for (std::uint32_t block = 0; block < 3; ++block)
            for (std::size_t slot = 0; slot < 32; ++slot, position += row)
                CHECK_EQ(ivf::RefinePosition(layout, block, slot), position);
        // Streams may be longer than 4 GB.
        CHECK_EQ(ivf::RefinePosition(layout, 0xFFFFFFFFu, 31),
                 (std::uint64_t{0xFFFFFFFFu} * 32 + 31) * row);
    }
}

// Every live row once, with its pointer, its block's place and the estimate of a block in one
// piece, on every table.
TEST(ListScanFindsEveryLiveRowOnce) {
    for (const char* table : TableNames())
        for (std::size_t dim : kDims)
            for (const Spec& spec : Specs(dim))
                for (std::size_t count : kCounts) {
                    if (TooLarge(spec, count)) continue;
                    if (std::strcmp(table, "scalar") == 0 && count * spec.padded_dim > 3000000)
                        continue;
                    const UseTable use(table);
                    Where("%s %s dim=%zu rows=%zu", table, spec.kind == Kind::kBq ? "bq" : "sq8",
                          dim, count);
                    const ivf::BlockLayout layout = ivf::MakeLayout(spec);
                    const List list = MakeList(spec, count, dim + count);
                    Random random(dim);
                    const Query query(spec, random.Gaussians(spec.padded_dim), 1.9f);
                    std::map<std::size_t, Found> found;
                    CHECK(ScanAll(layout, list, query, 50, found) == Result::kPageDone);
                    CheckFound(found, Expected(list, query, 50), Tolerance(spec, query, 50));
                }
}

// The same codes begin at every line of a page in turn: the prefix, the factors or the codes are
// what comes to lie on the next one.
TEST(ListScanStraddlesAnywhere) {
    const UseTable use("auto");
    bool factors_alone = false, prefix_at_end = false, codes_alone = false;
    for (std::size_t dim = 64; dim <= 64 * 70; dim += 64)
        for (const Spec& spec : Specs(dim)) {
            const std::size_t count = spec.kind == Kind::kBq ? 420 : 40;
            Where("%s dim=%zu", spec.kind == Kind::kBq ? "bq" : "sq8", dim);
            const ivf::BlockLayout layout = ivf::MakeLayout(spec);
            const List list = MakeList(spec, count, dim);
            for (const List::Place& place : list.places) {
                prefix_at_end |= place.offset + 256 == 8128;
                factors_alone |=
                    place.offset + 256 <= 8128 - 64 && place.offset + layout.head_bytes > 8128;
                codes_alone |= place.offset + layout.head_bytes == 8128;
            }
            Random random(dim);
            const Query query(spec, random.Gaussians(dim), 1.9f);
            std::map<std::size_t, Found> found;
            CHECK(ScanAll(layout, list, query, 50, found) == Result::kPageDone);
            CheckFound(found, Expected(list, query, 50), Tolerance(spec, query, 50));
        }
    // The test has met what it is for.
    CHECK(factors_alone && prefix_at_end && codes_alone);
}

TEST(ListScanThresholdAndMask) {
    const UseTable use("auto");
    for (const Spec& spec : Specs(768)) {
        const ivf::BlockLayout layout = ivf::MakeLayout(spec);
        const List list = MakeList(spec, 300, 5);
        Random random(6);
        const Query query(spec, random.Gaussians(768), 1.9f);
        const std::map<std::size_t, Found> expected = Expected(list, query, 50);
        for (float threshold : {-1e30f, 60.0f, 90.0f, 1e30f})
            for (std::uint32_t mask : {~0u, 0u, 0x0F0F1234u}) {
                Where("%s threshold=%g mask=%x", spec.kind == Kind::kBq ? "bq" : "sq8",
                      double{threshold}, mask);
                std::map<std::size_t, Found> found, wanted;
                CHECK(ScanAll(layout, list, query, 50, found, threshold, mask) ==
                      Result::kPageDone);
                for (const auto& [i, row] : expected) {
                    // The choice between two sums that differ by a rounding is free.
                    const bool near = std::fabs(row.lower - double{threshold}) < 1e-3;
                    if ((mask >> (i % 32) & 1) != 0 &&
                        (near ? found.contains(i) : row.lower < double{threshold}))
                        wanted.insert({i, row});
                }
                CheckFound(found, wanted, Tolerance(spec, query, 50));
            }
    }
}

// A block is found again by the place that it came with, and nothing else.
TEST(ListScanRevisitsOneBlock) {
    const UseTable use("auto");
    for (std::size_t dim : {1, 768, 2049, 16000})
        for (const Spec& spec : Specs(dim)) {
            const std::size_t n = spec.padded_dim;
            const ivf::BlockLayout layout = ivf::MakeLayout(spec);
            const List list = MakeList(spec, n == 16000 ? 70 : 300, dim);
            Random random(dim);
            const Query query(spec, random.Gaussians(n), 1.9f);
            const std::map<std::size_t, Found> expected = Expected(list, query, 50);
            for (std::size_t b = list.places.size(); b-- > 0;) {
                Where("%s dim=%zu block=%zu", spec.kind == Kind::kBq ? "bq" : "sq8", dim, b);
                const List::Place& place = list.places[b];
                ListScanner scanner;
                ivf::ScoredBlock block;
                std::map<std::size_t, Found> found, wanted;
                scanner.BeginList(layout, query.prepared, kList, kGeneration, 50);
                Result result = Result::kPageDone;
                std::size_t p = place.page, blocks = 0;
                do {
                    scanner.BeginPage(list.pages[p].bytes(),
                                      kFirstPage + static_cast<std::uint32_t>(p),
                                      static_cast<std::uint32_t>(place.offset));
                    while ((result = scanner.NextBlock(kInfinity, ~0u, block)) == Result::kBlock) {
                        CHECK(Take(list, block, found));
                        ++blocks;
                    }
                    CHECK(result == Result::kPageDone);
                } while (scanner.Pending() && ++p < list.pages.size());
                if (scanner.Finish(kInfinity, ~0u, block) == Result::kBlock) {
                    CHECK(Take(list, block, found));
                    ++blocks;
                }
                CHECK_EQ(blocks, 1);
                CHECK(p <= place.last_page + 1);
                for (const auto& [i, row] : expected)
                    if (i / 32 == b) wanted.insert({i, row});
                CheckFound(found, wanted, Tolerance(spec, query, 50));
            }
        }
}

// A scanner that was left in the middle of a block begins a list anew.
TEST(ListScanBeginsAnew) {
    for (const Spec& spec : Specs(128)) {
        const ivf::BlockLayout layout = ivf::MakeLayout(spec);
        const List list = MakeList(spec, 300, 3, 0);
        Random random(1);
        const Query query(spec, random.Gaussians(spec.padded_dim), 1.9f);
        ListScanner scanner;
        ivf::ScoredBlock block;
        std::vector<std::uint32_t> offsets[2];
        for (std::vector<std::uint32_t>& round : offsets) {
            scanner.BeginList(layout, query.prepared, kList, kGeneration, 50);
            scanner.BeginPage(list.pages[0].bytes(), kFirstPage);
            round.push_back(0);
            while (scanner.NextBlock(kInfinity, ~0u, block) == Result::kBlock) {
                CHECK_EQ(block.page, kFirstPage);
                round.push_back(block.offset);
            }
            CHECK(scanner.Pending());
        }
        CHECK(offsets[0] == offsets[1]);
    }
}

// ---- damage ----

TEST(ListScanReportsDamage) {
    for (const Spec& spec : Specs(768)) {
        const ivf::BlockLayout layout = ivf::MakeLayout(spec);
        Random random(2);
        const Query query(spec, random.Gaussians(768), 1.9f);
        const auto scan = [&](const List& list) {
            std::map<std::size_t, Found> found;
            return ScanAll(layout, list, query, 50, found);
        };
        const List good = MakeList(spec, 200, 7, 0);
        CHECK(scan(good) == Result::kPageDone);
        for (std::size_t b = 0; b < good.places.size(); ++b) {
            const List::Place& place = good.places[b];
            // Any byte of generation, list id or magic; too many slots used; a live one unused.
            for (std::size_t byte : {0, 7, 8, 11, 28, 31, 26, 12}) {
                Where("block %zu byte %zu", b, byte);
                List bad = good;
                std::uint8_t* at = bad.pages[place.page].bytes() + place.offset + byte;
                if (byte == 12) {
                    // Slot 0 is live and none is used.
                    at[26 - 12] = 0;
                } else {
                    *at ^= 0x80;
                }
                CHECK(scan(bad) == Result::kDamaged);
            }
        }
        for (std::size_t p = 0; p < good.pages.size(); ++p) {
            const ivf::PageTail& tail = *ivf::TailOf(good.pages[p].bytes());
            const auto with = [&](std::size_t first, std::size_t blocks) {
                List bad = good;
                Put16(bad.pages[p].bytes() + 8128 + 34, first);
                Put16(bad.pages[p].bytes() + 8128 + 36, blocks);
                return scan(bad);
            };
            Where("page %zu", p);
            CHECK(with(tail.first_block, tail.blocks) == Result::kPageDone);
            if (tail.blocks == 0) continue;
            CHECK(with(tail.first_block, tail.blocks + 1u) == Result::kDamaged);
            CHECK(with(tail.first_block, 0xFFFF) == Result::kDamaged);
            for (std::size_t first : {0, 1, 63, 8064, 8128, 8192, 0xFFC0, 0xFFFF}) {
                Where("page %zu first_block=%zu", p, first);
                CHECK(with(first, tail.blocks) == Result::kDamaged);
            }
            CHECK(with(tail.first_block + 32u, tail.blocks) == Result::kDamaged);
        }
        // A chain that ends before its last block does.
        const List::Place& last = good.places.back();
        for (std::size_t keep = last.page + 1; keep <= last.last_page; ++keep) {
            Where("%zu of %zu pages", keep, good.pages.size());
            List bad = good;
            bad.pages.erase(bad.pages.begin() + static_cast<long>(keep), bad.pages.end());
            CHECK(scan(bad) == Result::kDamaged);
        }
    }
}

// A head that is sound but lies where none can be.
TEST(ListScanReportsHeadsOutOfPlace) {
    for (const Spec& spec : Specs(64)) {
        const ivf::BlockLayout layout = ivf::MakeLayout(spec);
        Random random(2);
        const Query query(spec, random.Gaussians(64), 1.9f);
        const List good = MakeList(spec, 32, 7, 0);
        for (std::size_t at : {0, 8, 32, 72, 96, 8128 - 224, 8128 - 192, 8128 - 64, 8128}) {
            Where("%s offset %zu", spec.kind == Kind::kBq ? "bq" : "sq8", at);
            List bad = good;
            std::uint8_t* page = bad.pages[0].bytes();
            std::memmove(page + at, page + 64, 32);
            if (at < 8128) {
                Put16(page + 8128 + 34, at);
                Put16(page + 8128 + 36, 1);
            }
            std::map<std::size_t, Found> found;
            ListScanner scanner;
            ivf::ScoredBlock block;
            scanner.BeginList(layout, query.prepared, kList, kGeneration, 50);
            scanner.BeginPage(page, kFirstPage, at < 8128 ? 0 : 8128);
            CHECK(scanner.NextBlock(kInfinity, ~0u, block) == Result::kDamaged);
        }
    }
}

// Chains that are cut anywhere, in lists that end in a block of any number of rows: the last block
// is there if and only if all of its used slots are.
TEST(ListScanOfACutChain) {
    for (const Spec& spec : Specs(2049))
        for (std::size_t count : {1, 2, 4, 5, 31, 32}) {
            const ivf::BlockLayout layout = ivf::MakeLayout(spec);
            const List good = MakeList(spec, count, count, 0);
            Random random(2);
            const Query query(spec, random.Gaussians(spec.padded_dim), 1.9f);
            for (std::size_t keep = 1; keep <= good.pages.size(); ++keep) {
                Where("%s rows=%zu: %zu of %zu pages", spec.kind == Kind::kBq ? "bq" : "sq8", count,
                      keep, good.pages.size());
                List cut = good;
                cut.pages.erase(cut.pages.begin() + static_cast<long>(keep), cut.pages.end());
                std::map<std::size_t, Found> found;
                const bool whole = keep == good.pages.size();
                CHECK(ScanAll(layout, cut, query, 50, found) ==
                      (whole ? Result::kPageDone : Result::kDamaged));
                CHECK_EQ(found.size(), whole ? count : 0);
            }
        }
}

// Whatever the bytes are, the scanner ends and reads nothing outside the page.
TEST(ListScanOfGarbage) {
    const UseTable use("auto");
    for (std::size_t dim : {1, 768, 16000})
        for (const Spec& spec : Specs(dim)) {
            const ivf::BlockLayout layout = ivf::MakeLayout(spec);
            Random random(dim + (spec.kind == Kind::kBq));
            const Query query(spec, random.Gaussians(spec.padded_dim), 1.9f);
            const List good = MakeList(spec, dim == 16000 ? 40 : 100, dim);
            std::size_t damaged = 0, blocks = 0;
            // A block of the widest sq8 goes over 64 pages.
            const int pages = dim == 16000 ? 70 : 4, lists = dim == 16000 ? 200 : 1500;
            for (int i = 0; i < lists; ++i) {
                Where("%s dim=%zu i=%d", spec.kind == Kind::kBq ? "bq" : "sq8", dim, i);
                ListScanner scanner;
                ivf::ScoredBlock block;
                scanner.BeginList(layout, query.prepared, kList, kGeneration, 50);
                for (int p = 0; p < pages; ++p) {
                    // Random bytes, or a good page with some of them.
                    // Every other list begins well.
                    const bool begins = p == 0 && i % 2 == 0;
                    const bool good_page = begins || random.Below(4) != 0;
                    const std::size_t which = begins ? 0 : random.Below(good.pages.size());
                    Page page = good_page ? good.pages[which] : Page(random);
                    std::uint8_t* bytes = page.bytes();
                    for (std::size_t k = random.Below(good_page ? 6 : 2); k-- > 0;)
                        bytes[random.Below(8192)] = static_cast<std::uint8_t>(random.Next());
                    switch (begins ? 3 : random.Below(4)) {
                        case 0:  // the numbers that steer the scanner
                            Put16(bytes + 8128 + 34, 64 * random.Below(1024));
                            Put16(bytes + 8128 + 36, random.Below(200));
                            break;
                        case 1:
                            Put16(bytes + 8128 + 34, random.Next());
                            Put16(bytes + 8128 + 36, random.Next());
                            break;
                        case 2:  // a head that is sound, anywhere
                        {
                            const std::size_t at = 64 * (1 + random.Below(126));
                            const BlockHead head = {
                                .generation = kGeneration,
                                .list_id = kList,
                                .live = static_cast<std::uint32_t>(random.Next()),
                                .ordinal = 0,
                                .refine_page = 0,
                                .refine_offset = 0,
                                .used = 32,
                                .reserved = 0,
                                .magic = ivf::kBlockMagic};
                            std::memcpy(bytes + at, &head, 32);
                            Put16(bytes + 8128 + 34, at);
                            Put16(bytes + 8128 + 36, random.Below(3));
                            break;
                        }
                        default:
                            break;
                    }
                    const std::uint32_t only_at =
                        !begins && random.Below(4) == 0
                            ? static_cast<std::uint32_t>(random.Next() >> 48)
                            : 0;
                    scanner.BeginPage(bytes, 1, only_at);
                    Result result;
                    std::size_t steps = 0;
                    while ((result = scanner.NextBlock(60, ~0u, block)) == Result::kBlock) {
                        ++blocks;
                        CHECK((block.below & ~block.live) == 0);
                        CHECK(++steps <= 8064 / 512);
                        if (steps > 20) return;
                    }
                    if (result == Result::kDamaged) {
                        ++damaged;
                        break;
                    }
                }
                blocks += scanner.Finish(60, ~0u, block) == Result::kBlock;
                CHECK(!scanner.Pending());
            }
            // Both kinds of end were met.
            Where("%s dim=%zu", spec.kind == Kind::kBq ? "bq" : "sq8", dim);
            CHECK(damaged > 20 && blocks > 20);
        }
}
