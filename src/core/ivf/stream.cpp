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
    factors_missing_ = false;
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
    const std::size_t code_bytes = layout_->code_bytes;
    if (pending_) {
        if (consumed_ == code_bytes) return Result::kDamaged;
        std::size_t at = kPayloadAt;
        if (factors_missing_) {
            std::memcpy(head_ + kPrefixBytes, page_ + at, layout_->factor_bytes);
            factors_missing_ = false;
            at += layout_->factor_bytes;
        }
        const std::size_t left = code_bytes - consumed_;
        const std::size_t n = left < kPayloadEnd - at ? left : kPayloadEnd - at;
        q.ScanPiece(layout_->spec, *prepared_, consumed_, {page_ + at, n}, HeadAt(head_)->live,
                    ahead_, sums_);
        consumed_ += n;
        if (consumed_ < code_bytes) return Result::kPageDone;
        pending_ = false;
        Score(head_, pending_page_, pending_offset_, threshold, mask, block);
        return Result::kBlock;
    }
    if (blocks_left_ == 0) return Result::kPageDone;
    blocks_left_--;

    const std::uint32_t offset = at_;
    if (offset < kPayloadAt || offset % 64 != 0 || offset + kPrefixBytes > kPayloadEnd)
        return Result::kDamaged;
    const std::uint8_t* head = page_ + offset;
    if (!HeadIsSound(*HeadAt(head), list_id_, generation_)) return Result::kDamaged;

    std::memset(sums_, 0, sizeof sums_);
    const bool whole_head = FactorsFollow(*layout_, offset);
    std::size_t n = 0;
    if (whole_head) {
        const std::size_t codes_at = offset + layout_->head_bytes;
        const std::size_t room = kPayloadEnd - codes_at;
        n = room < code_bytes ? room : code_bytes;
        if (n > 0)
            q.ScanPiece(layout_->spec, *prepared_, 0, {page_ + codes_at, n}, HeadAt(head)->live,
                        ahead_, sums_);
        at_ = static_cast<std::uint32_t>(codes_at + n);
        if (n == code_bytes) {
            Score(head, page_number_, offset, threshold, mask, block);
            return Result::kBlock;
        }
    }
    // Only the last block of a page can go on.
    if (blocks_left_ != 0) return Result::kDamaged;
    std::memcpy(head_, head, whole_head ? layout_->head_bytes : kPrefixBytes);
    pending_ = true;
    factors_missing_ = !whole_head;
    pending_page_ = page_number_;
    pending_offset_ = offset;
    consumed_ = n;
    return Result::kPageDone;
}

ListScanner::Result ListScanner::Finish(float threshold, std::uint32_t mask, ScoredBlock& block) {
    if (!pending_) return Result::kPageDone;
    pending_ = false;
    if (factors_missing_ ||
        layout_->quantizer->CodeBytesFor(layout_->spec, HeadAt(head_)->used) > consumed_)
        return Result::kDamaged;
    Score(head_, pending_page_, pending_offset_, threshold, mask, block);
    return Result::kBlock;
}

void ListScanner::Score(const std::uint8_t* head, std::uint32_t page, std::uint32_t offset,
                        float threshold, std::uint32_t mask, ScoredBlock& block) {
    const std::uint32_t live = HeadAt(head)->live;
    rows_scored_ += static_cast<std::uint64_t>(__builtin_popcount(live));
    const std::uint32_t below = kernels::Active().bound_block(FactorsOf(*layout_, head), scalars_,
                                                              sums_, threshold, lower_, estimate_);
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
