// Blocks of a list are copied page by page, while others write to the list.
#include "pg/am/list/read.h"

#include "core/ivf/block_walk.h"
#include "pg/am/storage/model.h"
#include "pg/compat.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

void ListReader::Begin(Relation index, const ivf::BlockLayout& layout,
                       BufferAccessStrategy strategy) {
    index_ = index;
    layout_ = &layout;
    strategy_ = strategy;
    codes_ = NewZeroedArray<std::uint8_t>(layout.code_bytes);
}

void ListReader::Open(const ivf::ListEntry& entry, const Position& from, bool hurry,
                      const LockedPage* held) {
    entry_ = entry;
    position_ = from;
    hurry_ = hurry;
    held_ = held;
    reread_ = false;
    blocks_taken_ = 0;
    Load(page_, from.page, ScanOwner(entry_));
}

void ListReader::Load(Page& page, BlockNumber number, const PageOwner& owner) {
    page.number = number;
    if (held_ && held_->number == number) {
        memcpy(page.block.data, held_->bytes, BLCKSZ);
        return;
    }
    if (!hurry_) VacuumDelay();
    LockedPage locked = LockPage(index_, number, Access::kShare, owner, strategy_);
    memcpy(page.block.data, locked.bytes, BLCKSZ);
    UnlockPage(locked);
}

bool ListReader::Next() {
    for (;;) {
        const ivf::PageTail& tail = page_.tail();
        while (blocks_taken_ < tail.blocks) {
            const std::uint8_t* block =
                BlockOnPage(index_, *layout_, page_.bytes(), page_.number, blocks_taken_++);
            const ivf::BlockHead& head = *ivf::HeadAt(block);
            const Position& p = position_;
            const std::uint32_t before = head.ordinal < p.ordinal    ? head.used
                                         : head.ordinal == p.ordinal ? p.used
                                                                     : 0;
            if (before >= head.used) continue;
            if (head.ordinal > p.ordinal && p.used < ivf::kBlockRows) {
                // A block begins when the one before it is full: that has grown since it was read.
                if (reread_)
                    ReportCorruption(index_, page_.number, "a block follows one that is not full");
                reread_ = true;
                Load(page_, p.page, ScanOwner(entry_));
                blocks_taken_ = 0;
                break;
            }
            rows_ = head.live & ~((std::uint32_t{1} << before) - 1);
            position_ = {page_.number, head.ordinal, head.used};
            reread_ = false;
            // Its rows may have come after the refine page was copied.
            refine_.number = InvalidBlockNumber;
            TakeBlock(static_cast<std::size_t>(block - page_.bytes()));
            return true;
        }
        if (blocks_taken_ < tail.blocks) continue;
        if (tail.next == ivf::kNoPage) return false;
        const std::uint32_t ordinal = tail.ordinal;
        Load(page_, tail.next, ScanOwner(entry_));
        if (page_.tail().ordinal != ordinal + 1)
            ReportCorruption(index_, page_.number, "a chain is out of order");
        blocks_taken_ = 0;
    }
}

// Copies the block at page offset `at`, from the pages behind as well.
void ListReader::TakeBlock(std::size_t at) {
    memcpy(head_, page_.bytes() + at, ivf::kPrefixBytes);
    const std::size_t needed = layout_->quantizer->CodeBytesFor(layout_->spec, position_.used);
    ivf::PieceCursor pieces = ivf::PiecesOf(*layout_, at);
    for (;;) {
        ivf::CopyPiece(*layout_, pieces.Take(), page_.bytes(), head_, codes_);
        if (pieces.Has(needed)) return;
        if (page_.tail().next == ivf::kNoPage)
            ReportCorruption(index_, page_.number, "a chain ends in the middle of a block");
        Load(page_, page_.tail().next, ScanOwner(entry_));
        blocks_taken_ = 0;
    }
}

ivf::RowPointer ListReader::pointer(std::uint32_t slot) const {
    return ivf::PointersOf(const_cast<std::uint8_t*>(head_))[slot];
}

void ListReader::Row(std::uint32_t slot, quant::EncodedRow& row) {
    const kernels::BlockFactors f = ivf::FactorsOf(*layout_, head_);
    row.factors = {f.add[slot], f.offset ? f.offset[slot] : 0.0f, f.scale[slot], f.error[slot]};
    layout_->quantizer->Gather(layout_->spec, {codes_, layout_->code_bytes}, slot, row.code);

    ivf::RefineCursor pieces = ivf::RefinePiecesOf(*layout_, position_.ordinal, slot);
    while (!pieces.done()) {
        const ivf::RefinePiece piece = pieces.Take();
        if (refine_.number == InvalidBlockNumber || refine_.tail().ordinal > piece.ordinal)
            Load(refine_, ivf::HeadAt(head_)->refine_page, RefineOwner(entry_));
        while (refine_.tail().ordinal < piece.ordinal) {
            if (refine_.tail().next == ivf::kNoPage)
                ReportCorruption(index_, refine_.number, "the refine chain ends too early");
            Load(refine_, refine_.tail().next, RefineOwner(entry_));
        }
        if (refine_.tail().ordinal != piece.ordinal)
            ReportCorruption(index_, refine_.number, "a refine page is out of order");
        memcpy(row.refine.data() + piece.before, refine_.bytes() + piece.at, piece.bytes);
    }
}

}  // namespace quantvec::pg
