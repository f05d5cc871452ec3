// How blocks and refine rows lie over the pages of their chains: the one place that knows it.
//
// A block is cut where a page ends. What of it lies on one page is a piece; all pieces of a block
// follow from its layout and from the page offset of its head:
//
//   page n     | .. head: prefix | factors | codes 0 .. a |    a piece: where are the factors,
//   page n+1   | codes a .. b                             |    where the codes, how many are here,
//   page n+2   | codes b .. end | next head ..                 how many on earlier pages
//
//   page n     | ..              head: prefix | too small |    a piece of nothing
//   page n+1   | factors | codes 0 .. end | next head ..
//
// A head begins where the codes of the block before end, if a prefix has room there, else on the
// next page. So the heads of one page lie a whole block apart: all blocks of a page but its last
// one end on the page. Of a list's last block, the codes behind the used slots may lack, and the
// pages that they would be on.
//
// Refine rows lie in a stream without a gap, in the order of the slots: a row may be cut anywhere.
//
// Nothing here reads a page. A reader that does not trust a page asks HeadCanBegin before it
// follows a head; no piece leaves the payload then.
#pragma once

#include "core/ivf/block.h"

namespace quantvec::ivf {

// ---- heads ----

// Does a page have room for a head at this offset?
inline bool HeadFits(std::size_t at) {
    return at + kPrefixBytes <= kPayloadEnd;
}
// Can there be a head at an offset that a page gives?
inline bool HeadCanBegin(std::size_t at) {
    return at >= kPayloadAt && at % 64 == 0 && HeadFits(at);
}
// The page offset of head number i of a page. Only i < tail.blocks is one.
inline std::size_t HeadOffset(const BlockLayout& layout, const PageTail& tail, std::size_t i) {
    return tail.first_block + i * (layout.head_bytes + layout.code_bytes);
}

// ---- pieces of a block ----

// What of a block lies on one page, its prefix apart.
struct Piece {
    std::uint32_t factors_at;    // page offset of the factors; 0: they are on another page
    std::uint32_t codes_at;      // page offset of the codes, or of the end if there are none
    std::uint32_t code_bytes;    // codes here
    std::uint32_t codes_before;  // codes of the block on earlier pages

    // Where the piece ends on the page.
    std::uint32_t end() const { return codes_at + code_bytes; }
    // How many of the block's first `count` code bytes are here.
    std::uint32_t Among(std::size_t count) const {
        if (count <= codes_before) return 0;
        const auto wanted = static_cast<std::uint32_t>(count) - codes_before;
        return wanted < code_bytes ? wanted : code_bytes;
    }
};

// Goes over the pieces of a block, one page after the other. A cursor of zeros is done.
class PieceCursor {
  public:
    // The piece on the page where the cursor stands, at first the head's. Goes to the next page.
    // Behind the last piece: an empty one, where the payload begins.
    Piece Take() {
        Piece piece = {0, at_, 0, codes_};
        if (factor_bytes_ > 0) {
            const bool fit = at_ + factor_bytes_ <= kPayloadEnd;
            if (fit) {
                piece.factors_at = at_;
                piece.codes_at += factor_bytes_;
                factor_bytes_ = 0;
            }
            at_ = kPayloadAt;
            if (!fit) return piece;
        }
        const auto room = static_cast<std::uint32_t>(kPayloadEnd) - piece.codes_at;
        const std::uint32_t left = code_bytes_ - codes_;
        piece.code_bytes = left < room ? left : room;
        codes_ += piece.code_bytes;
        return piece;
    }
    // Were the factors and the first `count` code bytes taken?
    bool Has(std::size_t count) const { return factor_bytes_ == 0 && codes_ >= count; }
    // Was the whole block taken?
    bool done() const { return Has(code_bytes_); }

  private:
    friend PieceCursor PiecesOf(const BlockLayout& layout, std::size_t head_at);

    std::uint32_t at_;            // page offset where the next piece begins
    std::uint32_t factor_bytes_;  // 0: they were taken
    std::uint32_t code_bytes_;    // of the block
    std::uint32_t codes_;         // taken
};

// The pieces of the block whose head is at this page offset. REQUIRES: HeadCanBegin(head_at).
inline PieceCursor PiecesOf(const BlockLayout& layout, std::size_t head_at) {
    PieceCursor pieces;
    pieces.at_ = static_cast<std::uint32_t>(head_at + kPrefixBytes);
    pieces.factor_bytes_ = layout.factor_bytes;
    pieces.code_bytes_ = layout.code_bytes;
    pieces.codes_ = 0;
    return pieces;
}

// Copies a piece out of its page, into room for head and codes of a whole block.
void CopyPiece(const BlockLayout& layout, const Piece& piece, const std::uint8_t* page,
               std::uint8_t* head, std::uint8_t* codes);

// Pages of the scan chain of a list with so many rows; one at least.
std::uint32_t ScanPagesFor(const BlockLayout& layout, std::uint64_t rows);

// ---- pieces of a refine row ----

// What of a refine row lies on one page.
struct RefinePiece {
    std::uint32_t ordinal;  // of the page in the refine chain
    std::uint32_t at;       // page offset
    std::uint32_t bytes;    // here
    std::uint32_t before;   // bytes of the row on earlier pages
};

// Goes over the pieces of a refine row.
class RefineCursor {
  public:
    RefinePiece Take() {
        const std::uint64_t position = position_ + taken_;
        const std::size_t offset = position % kPayloadBytes;
        const auto room = static_cast<std::uint32_t>(kPayloadBytes - offset);
        const std::uint32_t left = row_bytes_ - taken_;
        const RefinePiece piece = {static_cast<std::uint32_t>(position / kPayloadBytes),
                                   static_cast<std::uint32_t>(kPayloadAt + offset),
                                   left < room ? left : room, taken_};
        taken_ += piece.bytes;
        return piece;
    }
    bool done() const { return taken_ == row_bytes_; }

  private:
    friend RefineCursor RefinePiecesOf(const BlockLayout& layout, std::uint32_t block_ordinal,
                                       std::size_t slot);

    std::uint64_t position_;   // of the row in the stream
    std::uint32_t row_bytes_;  // of the row
    std::uint32_t taken_;
};

inline RefineCursor RefinePiecesOf(const BlockLayout& layout, std::uint32_t block_ordinal,
                                   std::size_t slot) {
    RefineCursor pieces;
    pieces.position_ = RefinePosition(layout, block_ordinal, slot);
    pieces.row_bytes_ = layout.refine_row_bytes;
    pieces.taken_ = 0;
    return pieces;
}
// Where the refine rows of a block begin; what its head says of them.
inline RefinePiece RefineStart(const BlockLayout& layout, std::uint32_t block_ordinal) {
    return RefinePiecesOf(layout, block_ordinal, 0).Take();
}

// Pages of the refine chain of a list with so many rows: one at least, none without a refine layer.
std::uint32_t RefinePagesFor(const BlockLayout& layout, std::uint64_t rows);

}  // namespace quantvec::ivf
