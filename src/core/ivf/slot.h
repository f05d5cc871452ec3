// The next free slot of a list: where it is, and what of a row goes where.
//
// The shell locks one page after the other, and the finder looks at each and says where to go:
//
//   any page of the chain
//     │  no head here: back to the page that has it, or stay if the list has no block yet
//     ▼
//   the last head here: its block has room ──► the slot is here
//     │  its block is full: on, over the pages with its codes
//     ▼
//   behind its last code: a head fits ──► a new block begins here     else: on, by one page
//
// Each step back goes to a lower ordinal of the chain, each step on to the next one. Anything else
// is damage, so the search comes to an end.
#pragma once

#include "core/ivf/block_walk.h"

namespace quantvec::ivf {

struct Slot {
    std::size_t at;             // page offset of its block's head
    std::uint32_t ordinal;      // of the block
    std::uint32_t used;         // slots of the block before it
    std::uint32_t refine_page;  // of the block; of a new one: an earlier page, to look from
    bool new_block;             // the head has to be made
};

class SlotFinder {
  public:
    // refine_first: first page of the refine chain.
    SlotFinder(const BlockLayout& layout, std::uint32_t refine_first)
        : layout_(layout), slot_{0, 0, 0, refine_first, false} {}

    enum class Step {
        kHere,     // slot() is on this page
        kBack,     // to the page that this one names as head_page
        kOn,       // to the next page of the chain, which has to be made if there is none
        kDamaged,  // damage() says why
    };
    // Looks at the page to which the last step led. It is known to be the list's.
    Step Look(const std::uint8_t* page, std::uint32_t number);

    const Slot& slot() const { return slot_; }
    const char* damage() const { return damage_; }
    // The page with the last head. A page that is made in order to go on names it.
    std::uint32_t head_page() const { return head_page_; }

  private:
    Step Damaged(const char* why) {
        damage_ = why;
        return Step::kDamaged;
    }

    const BlockLayout& layout_;
    Slot slot_;
    PieceCursor pieces_ = {};              // of the last block, once it was found to be full
    std::uint32_t head_page_ = kNoPage;    // set when the last head was met
    std::uint32_t met_ordinal_ = kNoPage;  // of the page before
    const char* damage_ = nullptr;
};

// Has a piece of the slot's block anything of the slot?
bool PieceHasSlot(const BlockLayout& layout, const Piece& piece, std::size_t slot);
// Writes what of the slot's factors and codes is in the piece. Returns the page offset where that
// ends.
std::size_t StorePiece(const BlockLayout& layout, const Piece& piece, std::size_t slot,
                       const quant::EncodedRow& row, std::uint8_t* page);

}  // namespace quantvec::ivf
