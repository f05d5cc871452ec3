// How blocks and refine rows lie over pages. The reference puts a list into pages byte by byte, by
// the drawing of ivf/block.h alone. Every byte of every block must be where a cursor says, and
// nothing else may be there.
#include "codes.h"
#include "unit.h"

#include "core/ivf/block_walk.h"

#include <cstring>

using namespace quantvec;
using namespace quantvec::unit;

namespace {

constexpr std::size_t kPayload = 64, kEnd = 8128;  // of a page of 8192 bytes

enum Part : std::uint64_t { kNothing, kPrefix, kFactors, kCodes };

// What a byte of a page is: byte i of a part of a block.
std::uint64_t Name(std::uint64_t block, Part part, std::uint64_t i) {
    return block << 40 | std::uint64_t{part} << 32 | i;
}

// Every byte of a list's pages by its name.
struct Pages {
    std::vector<std::vector<std::uint64_t>> names;
    std::vector<ivf::PageTail> tails;
    struct Head {
        std::size_t page, at;
    };
    std::vector<Head> heads;
    std::size_t at = kEnd;

    void Turn() {
        names.emplace_back(8192, kNothing);
        tails.push_back({});
        at = kPayload;
    }
    // A part in one piece: not where the rest of the page is too small.
    void Whole(std::uint64_t block, Part part, std::size_t bytes) {
        if (kEnd - at < bytes) Turn();
        for (std::size_t i = 0; i < bytes; i++) names.back()[at++] = Name(block, part, i);
    }
    void Straddling(std::uint64_t block, Part part, std::size_t bytes) {
        for (std::size_t i = 0; i < bytes; i++) {
            if (at == kEnd) Turn();
            names.back()[at++] = Name(block, part, i);
        }
    }
};

Pages Reference(const ivf::BlockLayout& layout, std::size_t rows) {
    Pages pages;
    pages.Turn();
    for (std::size_t first = 0; first < rows; first += 32) {
        const std::size_t used = std::min<std::size_t>(32, rows - first);
        pages.Whole(first / 32, kPrefix, 256);
        pages.heads.push_back({pages.names.size() - 1, pages.at - 256});
        ivf::PageTail& tail = pages.tails.back();
        if (tail.blocks++ == 0) tail.first_block = static_cast<std::uint16_t>(pages.at - 256);
        pages.Whole(first / 32, kFactors, quant::Get(layout.spec.kind).HasOffset() ? 384 : 256);
        pages.Straddling(first / 32, kCodes, layout.quantizer->CodeBytesFor(layout.spec, used));
    }
    return pages;
}

// What the test has met: it must have been all.
struct Met {
    bool codes_beside_head, no_codes_beside_head, factors_moved, prefix_ends_page, head_moved;
    bool block_ends_page, blocks_share_page;
    std::size_t most_pages;
};

// Walks all blocks of a list; the bytes that were not met stay in `pages`.
void CheckBlocks(const ivf::BlockLayout& layout, std::size_t rows, Pages& pages, Met& met) {
    std::vector<std::size_t> heads_met(pages.names.size());
    for (std::size_t block = 0; block < pages.heads.size(); block++) {
        const std::size_t used = std::min<std::size_t>(32, rows - 32 * block);
        const std::size_t needed = layout.quantizer->CodeBytesFor(layout.spec, used);
        std::size_t p = pages.heads[block].page;
        const std::size_t head = pages.heads[block].at;
        const auto meet = [&](std::size_t at, Part part, std::size_t i) {
            CHECK_EQ(pages.names[p][at], Name(block, part, i));
            pages.names[p][at] = kNothing;
        };
        CHECK(ivf::HeadCanBegin(head));
        CHECK_EQ(ivf::HeadOffset(layout, pages.tails[p], heads_met[p]), head);
        heads_met[p]++;
        for (std::size_t i = 0; i < 256; i++) meet(head + i, kPrefix, i);

        ivf::PieceCursor pieces = ivf::PiecesOf(layout, head);
        std::size_t before = 0, page_count = 0;
        bool factors = false;
        while (!pieces.Has(needed)) {
            CHECK(!pieces.done());
            CHECK(p < pages.names.size());
            if (p >= pages.names.size()) return;
            const ivf::Piece piece = pieces.Take();
            if (piece.factors_at != 0) {
                CHECK(!factors);
                factors = true;
                for (std::size_t i = 0; i < layout.factor_bytes; i++)
                    meet(piece.factors_at + i, kFactors, i);
                met.factors_moved |= page_count > 0;
            }
            CHECK(piece.code_bytes == 0 || factors);
            CHECK_EQ(piece.codes_before, before);
            CHECK_EQ(piece.end(), piece.codes_at + piece.code_bytes);
            CHECK(piece.end() <= kEnd);
            const std::size_t here = std::min<std::size_t>(piece.code_bytes, needed - before);
            CHECK_EQ(piece.Among(needed), here);
            CHECK_EQ(piece.Among(before), 0);
            CHECK_EQ(piece.Among(layout.code_bytes), piece.code_bytes);
            for (std::size_t i = 0; i < here; i++) meet(piece.codes_at + i, kCodes, before + i);
            before += piece.code_bytes;
            CHECK_EQ(pieces.Has(before), factors);
            if (before < layout.code_bytes) CHECK(!pieces.Has(before + 1));

            if (page_count == 0) {
                met.codes_beside_head |= piece.code_bytes > 0;
                met.no_codes_beside_head |= factors && piece.code_bytes == 0;
                met.prefix_ends_page |= head + 256 == kEnd;
                met.head_moved |= p > 0 && head == kPayload;
            }
            met.block_ends_page |= pieces.done() && piece.end() == kEnd;
            met.blocks_share_page |= heads_met[p] > 1;
            page_count++;
            p++;
        }
        met.most_pages = std::max(met.most_pages, page_count);
        if (used == 32) CHECK(pieces.done());
    }
    for (std::size_t p = 0; p < pages.names.size(); p++)
        CHECK_EQ(heads_met[p], pages.tails[p].blocks);
}

// pq's codes are shorter than those of the others, as with half a byte for four dimensions here.
std::vector<Spec> EverySpec(std::uint32_t dim) {
    Spec pq = {Kind::kPq, 4, dim};
    pq.m = dim / 4;
    return {{Kind::kBq, 4, dim}, {Kind::kSq8, 8, dim}, {Kind::kSq4, 4, dim}, pq};
}

}  // namespace

// Every byte of a block is where the cursor says, and the pages hold nothing else.
TEST(BlockWalkMeetsEveryByteOnce) {
    Met met = {};
    std::vector<std::uint32_t> dims;
    for (std::uint32_t dim = 64; dim <= 64 * 70; dim += 64) dims.push_back(dim);
    dims.push_back(16000);
    for (const std::uint32_t dim : dims)
        for (const Spec& spec : EverySpec(dim)) {
            const ivf::BlockLayout layout = ivf::MakeLayout(spec);
            for (const std::size_t rows : {0, 1, 17, 32, 33, 330}) {
                if (rows * dim > 330 * 4480) continue;
                Where("kind=%d dim=%u rows=%zu", static_cast<int>(spec.kind), dim, rows);
                Pages pages = Reference(layout, rows);
                CHECK_EQ(ivf::ScanPagesFor(layout, rows), pages.names.size());
                CheckBlocks(layout, rows, pages, met);
                std::size_t left = 0;
                for (const std::vector<std::uint64_t>& page : pages.names)
                    for (const std::uint64_t name : page) left += name != kNothing;
                CHECK_EQ(left, 0);
            }
        }
    // The test has met what it is for.
    CHECK(met.codes_beside_head && met.no_codes_beside_head && met.factors_moved);
    CHECK(met.prefix_ends_page && met.head_moved && met.block_ends_page && met.blocks_share_page);
    CHECK(met.most_pages > 60);
}

// A head at any line of a page: the pieces of its block lie in the payload, and what is copied
// piece by piece is the block.
TEST(BlockWalkFromAnyHead) {
    for (const std::uint32_t dim : {64, 768, 2112})
        for (const Spec& spec : EverySpec(dim)) {
            const ivf::BlockLayout layout = ivf::MakeLayout(spec);
            Random random(dim);
            for (std::size_t head = kPayload; head + 256 <= kEnd; head += 64) {
                Where("kind=%d dim=%u head=%zu", static_cast<int>(spec.kind), dim, head);
                const auto factors = random.Bytes(layout.factor_bytes);
                const auto codes = random.Bytes(layout.code_bytes);
                // The stream of bytes behind the prefix, laid out by hand.
                std::vector<std::vector<std::uint8_t>> pages(1, std::vector<std::uint8_t>(8192));
                std::size_t at = head + 256;
                const auto turn = [&] {
                    pages.emplace_back(8192);
                    at = kPayload;
                };
                if (kEnd - at < factors.size()) turn();
                std::copy(factors.begin(), factors.end(),
                          pages.back().begin() + static_cast<long>(at));
                at += factors.size();
                for (const std::uint8_t code : codes) {
                    if (at == kEnd) turn();
                    pages.back()[at++] = code;
                }
                std::vector<std::uint8_t> copied_head(layout.head_bytes, 1),
                    copied_codes(layout.code_bytes);
                ivf::PieceCursor pieces = ivf::PiecesOf(layout, head);
                std::size_t p = 0, end = 0;
                for (; !pieces.done() && p < pages.size(); p++) {
                    const ivf::Piece piece = pieces.Take();
                    end = piece.end();
                    CHECK(piece.codes_at >= kPayload && end <= kEnd);
                    ivf::CopyPiece(layout, piece, pages[p].data(), copied_head.data(),
                                   copied_codes.data());
                }
                CHECK(pieces.done());
                CHECK_EQ(p, pages.size());
                CHECK_EQ(end, at);
                CHECK_EQ(pieces.Take().end(), kPayload);
                CHECK(copied_codes == codes);
                CHECK(std::memcmp(copied_head.data() + 256, factors.data(), factors.size()) == 0);
                for (std::size_t i = 0; i < 256; i++) CHECK_EQ(copied_head[i], 1);
            }
        }
}

TEST(BlockWalkHeadCanBegin) {
    for (std::size_t at = 0; at <= 65535; at++)
        CHECK_EQ(ivf::HeadCanBegin(at), at >= 64 && at % 64 == 0 && at + 256 <= 8128);
    const ivf::PieceCursor none = {};
    CHECK(none.done());
}

// Every byte of every refine row, in the order of blocks and slots, at the next byte of the stream.
TEST(BlockWalkRefineRows) {
    bool cut = false, begins_page = false, longer_than_page = false;
    for (const std::uint32_t dim : {64, 768, 2112, 16000})
        for (const std::uint8_t bits : {2, 4, 8}) {
            const ivf::BlockLayout layout = ivf::MakeLayout({Kind::kBq, bits, dim});
            std::size_t page = 0, at = kPayload;
            for (std::uint32_t block = 0; block < 70; block++) {
                Where("dim=%u bits=%u block=%u", dim, bits, block);
                const ivf::RefinePiece start = ivf::RefineStart(layout, block);
                if (at == kEnd) page++, at = kPayload;
                CHECK_EQ(start.ordinal, page);
                CHECK_EQ(start.at, at);
                for (std::size_t slot = 0; slot < 32; slot++) {
                    ivf::RefineCursor pieces = ivf::RefinePiecesOf(layout, block, slot);
                    std::size_t done = 0;
                    while (!pieces.done()) {
                        const ivf::RefinePiece piece = pieces.Take();
                        if (at == kEnd) page++, at = kPayload;
                        begins_page |= done == 0 && at == kPayload && page > 0;
                        CHECK_EQ(piece.ordinal, page);
                        CHECK_EQ(piece.at, at);
                        CHECK_EQ(piece.before, done);
                        CHECK(piece.bytes > 0);
                        at += piece.bytes;
                        done += piece.bytes;
                        cut |= done < layout.refine_row_bytes;
                        longer_than_page |= piece.bytes == ivf::kPayloadBytes;
                        CHECK(at == kEnd || done == layout.refine_row_bytes);
                        CHECK(at <= kEnd);
                    }
                    CHECK_EQ(done, layout.refine_row_bytes);
                }
                CHECK_EQ(ivf::RefinePagesFor(layout, 32 * (block + 1)), page + 1);
            }
        }
    CHECK(cut && begins_page && longer_than_page);
    // Streams may be longer than 4 GB.
    const ivf::BlockLayout layout = ivf::MakeLayout({Kind::kBq, 8, 16000});
    const std::uint64_t position = std::uint64_t{5000000} * 32 * layout.refine_row_bytes;
    CHECK_EQ(ivf::RefineStart(layout, 5000000).ordinal, position / 8064);
    CHECK_EQ(ivf::RefineStart(layout, 5000000).at, 64 + position % 8064);
    CHECK_EQ(ivf::RefinePagesFor(layout, 0), 1);
    CHECK_EQ(ivf::RefinePagesFor(ivf::MakeLayout({Kind::kSq8, 8, 64}), 100), 0);
}
