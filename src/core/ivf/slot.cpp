// The next free slot is looked for page by page, and filled piece by piece.
#include "core/ivf/slot.h"

namespace quantvec::ivf {

SlotFinder::Step SlotFinder::Look(const std::uint8_t* page, std::uint32_t number) {
    const PageTail& tail = *TailOf(page);
    const bool going_on = head_page_ != kNoPage;
    if (met_ordinal_ != kNoPage &&
        (going_on ? tail.ordinal != met_ordinal_ + 1 : tail.ordinal >= met_ordinal_))
        return Damaged("a chain is out of order");
    met_ordinal_ = tail.ordinal;

    std::size_t end = kPayloadAt;  // of what the page has of blocks
    if (tail.blocks > 0) {
        const std::size_t at = HeadOffset(layout_, tail, std::size_t{tail.blocks} - 1);
        if (!HeadCanBegin(at) || !HeadIsSound(*HeadAt(page + at), tail.owner, tail.generation))
            return Damaged("a block head is damaged");
        const BlockHead& head = *HeadAt(page + at);
        if (layout_.refine_row_bytes > 0) slot_.refine_page = head.refine_page;
        slot_.at = at;
        slot_.ordinal = head.ordinal;
        slot_.used = head.used;
        if (head.used < kBlockRows) return Step::kHere;
        slot_.ordinal++;
        slot_.used = 0;
        head_page_ = number;
        pieces_ = PiecesOf(layout_, at);
        end = pieces_.Take().end();
    } else if (going_on) {
        end = pieces_.Take().end();
    } else if (tail.head_page != kNoPage) {
        return Step::kBack;
    } else if (tail.ordinal != 0) {
        return Damaged("a page does not know the block before it");
    }
    if (!pieces_.done() || !HeadFits(end)) return Step::kOn;
    slot_.at = end;
    slot_.new_block = true;
    return Step::kHere;
}

bool PieceHasSlot(const BlockLayout& layout, const Piece& piece, std::size_t slot) {
    // Transposed codes: a slot is everywhere. Row-major: behind the slots before it.
    const std::size_t before = layout.quantizer->CodeBytesFor(layout.spec, slot);
    const std::size_t needed = layout.quantizer->CodeBytesFor(layout.spec, slot + 1);
    const std::size_t from = before == needed ? 0 : before;
    return piece.factors_at != 0 || std::size_t{piece.codes_before} + piece.code_bytes > from;
}

std::size_t StorePiece(const BlockLayout& layout, const Piece& piece, std::size_t slot,
                       const quant::EncodedRow& row, std::uint8_t* page) {
    if (piece.factors_at != 0) StoreFactors(layout, row.factors, slot, page + piece.factors_at);
    layout.quantizer->Scatter(layout.spec, row.code, slot, piece.codes_before,
                              {page + piece.codes_at, piece.code_bytes});
    return piece.codes_at + piece.Among(layout.quantizer->CodeBytesFor(layout.spec, slot + 1));
}

}  // namespace quantvec::ivf
