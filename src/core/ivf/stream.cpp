// Blocks of a list are scored where they lie, one page after the other.
#include "core/ivf/stream.h"

#include <cstring>

namespace quantvec::ivf {

void ListScanner::BeginList(const BlockLayout& layout, const quant::PreparedQuery& prepared,
                            std::uint32_t list_id, std::uint64_t generation, float base) {
    layout_ = &layout;
    prepared_ = &prepared;
    scalars_ = quant::ListScalars(prepared, base);
    list_id_ = list_id;
    generation_ = generation;
    pending_ = false;
}

void ListScanner::BeginPage(const std::uint8_t* page, std::uint32_t page_number,
                            std::uint32_t only_at, const std::uint8_t* next) {
    const PageTail* tail = TailOf(page);
    page_ = page;
    ahead_ = next ? next - page : 0;
    page_number_ = page_number;
    if (only_at != 0) {
        at_ = only_at;
        blocks_left_ = pending_ ? 0 : 1;
    } else {
        at_ = tail->first_block;
        blocks_left_ = tail->blocks;
    }
}

ListScanner::Result ListScanner::NextBlock(float threshold, std::uint32_t mask,
                                           ScoredBlock& block) {
    const quant::Quantizer& q = *layout_->quantizer;
    const auto scan = [&](const Piece& piece, std::uint32_t live) {
        q.ScanPiece(layout_->spec, *prepared_, piece.codes_before,
                    {page_ + piece.codes_at, piece.code_bytes}, live, ahead_, sums_);
    };
    if (pending_) {
        const Piece piece = pieces_.Take();
        if (piece.factors_at != 0)
            std::memcpy(head_ + kPrefixBytes, page_ + piece.factors_at, layout_->factor_bytes);
        scan(piece, HeadAt(head_)->live);
        if (!pieces_.done()) return Result::kPageDone;
        pending_ = false;
        Score(head_, pending_page_, pending_offset_, threshold, mask, block);
        return Result::kBlock;
    }
    if (blocks_left_ == 0) return Result::kPageDone;
    blocks_left_--;

    const std::uint32_t offset = at_;
    if (!HeadCanBegin(offset)) return Result::kDamaged;
    const std::uint8_t* head = page_ + offset;
    if (!HeadIsSound(*HeadAt(head), list_id_, generation_)) return Result::kDamaged;

    std::memset(sums_, 0, sizeof sums_);
    PieceCursor pieces = PiecesOf(*layout_, offset);
    const Piece piece = pieces.Take();
    if (piece.code_bytes > 0) scan(piece, HeadAt(head)->live);
    at_ = piece.end();
    if (pieces.done()) {
        Score(head, page_number_, offset, threshold, mask, block);
        return Result::kBlock;
    }
    // Only the last block of a page can go on.
    if (blocks_left_ != 0) return Result::kDamaged;
    std::memcpy(head_, head, piece.factors_at != 0 ? layout_->head_bytes : kPrefixBytes);
    pending_ = true;
    pieces_ = pieces;
    pending_page_ = page_number_;
    pending_offset_ = offset;
    return Result::kPageDone;
}

ListScanner::Result ListScanner::Finish(float threshold, std::uint32_t mask, ScoredBlock& block) {
    if (!pending_) return Result::kPageDone;
    pending_ = false;
    if (!pieces_.Has(layout_->quantizer->CodeBytesFor(layout_->spec, HeadAt(head_)->used)))
        return Result::kDamaged;
    Score(head_, pending_page_, pending_offset_, threshold, mask, block);
    return Result::kBlock;
}

void ListScanner::Score(const std::uint8_t* head, std::uint32_t page, std::uint32_t offset,
                        float threshold, std::uint32_t mask, ScoredBlock& block) {
    const std::uint32_t live = HeadAt(head)->live;
    rows_scored_ += static_cast<std::uint64_t>(__builtin_popcount(live));
    const kernels::BlockFactors factors = FactorsOf(*layout_, head);
    if (prepared_->exact) layout_->quantizer->FinishSums(*prepared_, factors, sums_);
    const std::uint32_t below =
        kernels::Active().bound_block(factors, scalars_, sums_, threshold, lower_, estimate_);
    block = {
        .head = head,
        .page = page,
        .offset = offset,
        .live = live,
        .below = below & live & mask,
        .lower = lower_,
        .estimate = estimate_,
        .sums = sums_,
    };
}

}  // namespace quantvec::ivf
