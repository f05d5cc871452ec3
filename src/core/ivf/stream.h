// Reads a list: blocks over the pages of its chain, piece by piece, scored in place.
//
// The shell hands over one locked page after the other (BeginPage) and takes scored blocks
// (NextBlock) until the page has no more. The codes of the last block of a page may go on in the
// next: then its head has been copied here and the sums so far are carried over, and the block
// comes out on a later page (or from Finish, when the chain ends).
//
//   page n   | block 3 ... | block 4: head, codes . . .|
//   page n+1 | . . . codes of 4 | block 5 ...          |
#pragma once

#include "core/ivf/block_walk.h"

namespace quantvec::ivf {

// A scored block. The pointers are valid until the next call on the scanner.
struct ScoredBlock {
    const std::uint8_t* head;  // head, row pointers, factors: on the page or copied
    std::uint32_t page;        // where the block begins
    std::uint32_t offset;
    std::uint32_t live;     // rows that count
    std::uint32_t below;    // rows, live and wanted, whose lower bound is below the threshold
    const float* lower;     // [32] lower bounds of the key
    const float* estimate;  // [32]
    const float* sums;      // [32] scan sums, for Quantizer::Refine
};

class ListScanner {
  public:
    enum class Result { kBlock, kPageDone, kDamaged };

    // REQUIRES: layout and prepared outlive the scan.
    void BeginList(const BlockLayout& layout, const quant::PreparedQuery& prepared,
                   std::uint32_t list_id, std::uint64_t generation, float base);

    // The next page of the chain, share-locked until it is done. `only_at`: read just the block
    // whose head is at this page offset (0: all). `next`: where the page after it may be, to be
    // asked for meanwhile.
    void BeginPage(const std::uint8_t* page, std::uint32_t page_number, std::uint32_t only_at = 0,
                   const std::uint8_t* next = nullptr);

    // kBlock: `block` holds the next one. Rows outside `mask` are not selected.
    Result NextBlock(float threshold, std::uint32_t mask, ScoredBlock& block);

    // Is a block waiting for codes on the next page?
    bool Pending() const { return pending_; }

    // The chain has ended: the block that was waiting, if its live rows are complete.
    Result Finish(float threshold, std::uint32_t mask, ScoredBlock& block);

    std::uint64_t rows_scored() const { return rows_scored_; }

  private:
    void Score(const std::uint8_t* head, std::uint32_t page, std::uint32_t offset, float threshold,
               std::uint32_t mask, ScoredBlock& block);

    const BlockLayout* layout_;
    const quant::PreparedQuery* prepared_;
    kernels::BlockScalars scalars_;
    std::uint32_t list_id_;
    std::uint64_t generation_;
    std::uint64_t rows_scored_ = 0;

    const std::uint8_t* page_ = nullptr;
    std::ptrdiff_t ahead_ = 0;  // from this page to the next
    std::uint32_t page_number_ = 0;
    std::uint32_t at_ = 0;           // offset of the next head on the page
    std::uint32_t blocks_left_ = 0;  // heads not yet read on the page

    bool pending_ = false;
    PieceCursor pieces_;  // of the pending block: those on later pages
    std::uint32_t pending_page_ = 0;
    std::uint32_t pending_offset_ = 0;
    float sums_[32];
    float lower_[32];
    float estimate_[32];
    // palloc gives no more than 8 bytes of alignment, which is all that a head needs.
    alignas(8) std::uint8_t head_[kMaxHeadBytes];
};

}  // namespace quantvec::ivf
