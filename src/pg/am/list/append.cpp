// The next free slot of a list is found, filled and published (append.h has the steps).
#include "pg/am/list/append.h"

#include "core/ivf/block_walk.h"
#include "pg/debug_point.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

struct Appender {
    const GrowingList& list;
    Relation index = list.index;
    const ivf::ListEntry& entry = list.entry;
    const ivf::BlockLayout& layout = *list.layout;
    // kMoved: the page that is not the list's.
    BlockNumber stale_page = InvalidBlockNumber;

    // Links a new page behind `last` (locked, the last of its chain) and notes it in the directory.
    void Extend(LockedPage& last, const PageOwner& owner, std::uint32_t head_page) {
        LockedPage fresh = AllocatePage(index);
        const bool listed = list.place.page != InvalidBlockNumber;
        LockedPage directory;
        if (listed)
            directory = LockPage(index, list.place.page, Access::kExclusive,
                                 {ivf::PageKind::kDirectory, 0, list.directory_generation});
        Change change(index);
        ivf::TailOf(change.Add(last))->next = fresh.number;
        std::uint8_t* bytes = change.Add(fresh, true);
        InitPage(bytes, owner, last.tail().ordinal + 1);
        ivf::TailOf(bytes)->head_page = head_page;
        if (listed) {
            auto* stored =
                reinterpret_cast<ivf::ListEntry*>(change.Add(directory) + list.place.offset);
            if (owner.kind == ivf::PageKind::kScan)
                stored->scan_last = fresh.number;
            else
                stored->refine_last = fresh.number;
        }
        change.Commit();
        CRASH_POINT("append_extended");
        if (listed) UnlockPage(directory);
        UnlockPage(fresh);
    }

    // The page after `page`, made if there is none; checks that the chain goes up by one.
    BlockNumber Next(LockedPage& page, const PageOwner& owner, std::uint32_t head_page) {
        if (page.tail().next == ivf::kNoPage) Extend(page, owner, head_page);
        return page.tail().next;
    }

    LockedPage LockNext(LockedPage& page, const PageOwner& owner, std::uint32_t head_page) {
        const BlockNumber number = Next(page, owner, head_page);
        LockedPage next = LockPage(index, number, Access::kExclusive, owner);
        if (next.tail().ordinal != page.tail().ordinal + 1)
            ReportCorruption(index, number, "a chain is out of order");
        return next;
    }

    // The refine page with this ordinal, found from an earlier one. Leaves it locked.
    LockedPage RefinePage(BlockNumber from, std::uint32_t ordinal) {
        const PageOwner owner = RefineOwner(entry);
        LockedPage page = LockPage(index, from, Access::kExclusive, owner);
        while (page.tail().ordinal < ordinal) {
            LockedPage next = LockNext(page, owner, ivf::kNoPage);
            UnlockPage(page);
            page = next;
        }
        if (page.tail().ordinal != ordinal)
            ReportCorruption(index, page.number, "a refine page is out of order");
        return page;
    }

    void WriteRefine(BlockNumber from, std::uint32_t block_ordinal, std::size_t slot,
                     ConstByteSpan row) {
        ivf::RefineCursor pieces = ivf::RefinePiecesOf(layout, block_ordinal, slot);
        while (!pieces.done()) {
            const ivf::RefinePiece piece = pieces.Take();
            LockedPage page = RefinePage(from, piece.ordinal);
            Change change(index);
            std::uint8_t* bytes = change.Add(page);
            memcpy(bytes + piece.at, row.data() + piece.before, piece.bytes);
            CoverTo(bytes, std::size_t{piece.at} + piece.bytes);
            change.Commit();
            CRASH_POINT("append_refined");
            from = page.number;
            UnlockPage(page);
        }
    }

    // Where the next row goes.
    struct Slot {
        LockedPage page;          // with the block's head, locked
        std::size_t at;           // offset of the head
        bool new_block;           // the head has to be made: it begins here
        std::uint32_t ordinal;    // of the block
        BlockNumber refine_page;  // of the block before (or of this one): where to look from
        std::uint32_t used;
    };

    // Leaves the slot's page locked, or nothing if the list cannot grow. With `extend` false it is
    // the last page if the next slot would need another one, and the slot is not to be used.
    Appended FindSlot(Slot& slot, bool extend) {
        const PageOwner owner = ScanOwner(entry);
        BlockNumber at = *list.tail;
        slot = {};
        slot.refine_page = entry.refine_first;
        // Set while walking on from a full block: its pieces on the pages ahead.
        bool behind_full = false;
        ivf::PieceCursor pieces = {};
        std::uint32_t head_page = ivf::kNoPage;
        // Back to the block's head, then on page by page: a damaged chain has an end, too.
        std::uint32_t before = ivf::kNoPage;
        for (;;) {
            CHECK_FOR_INTERRUPTS();
            LockedPage page;
            if (!TryLockPage(index, at, Access::kExclusive, owner, page)) {
                stale_page = at;
                return Appended::kMoved;
            }
            const ivf::PageTail& tail = page.tail();
            if (before != ivf::kNoPage &&
                (behind_full ? tail.ordinal != before + 1 : tail.ordinal >= before))
                ReportCorruption(index, at, "a chain is out of order");
            before = tail.ordinal;
            if (extend && (tail.flags & ivf::kSealed) != 0) {
                UnlockPage(page);
                return Appended::kSealed;
            }
            std::size_t end = ivf::kPayloadAt;  // of what the page has of blocks
            if (tail.blocks > 0) {
                const std::uint8_t* block = BlockOnPage(index, layout, page.bytes, page.number,
                                                        std::size_t{tail.blocks} - 1);
                const auto head_at = static_cast<std::size_t>(block - page.bytes);
                const ivf::BlockHead& head = *ivf::HeadAt(block);
                if (layout.refine_row_bytes > 0) slot.refine_page = head.refine_page;
                slot.ordinal = head.ordinal;
                if (head.used < ivf::kBlockRows) {
                    slot.page = page;
                    slot.at = head_at;
                    slot.used = head.used;
                    return Appended::kDone;
                }
                behind_full = true;
                head_page = page.number;
                slot.ordinal++;
                pieces = ivf::PiecesOf(layout, head_at);
                end = pieces.Take().end();
            } else if (behind_full) {
                if (!pieces.done()) end = pieces.Take().end();
            } else {
                // Codes only, or nothing yet: the block that they belong to is before.
                if (tail.head_page != ivf::kNoPage) {
                    at = tail.head_page;
                    UnlockPage(page);
                    continue;
                }
                if (tail.ordinal != 0)
                    ReportCorruption(index, at, "a page does not know the block before it");
            }
            if (pieces.done() && ivf::HeadFits(end)) {
                slot.page = page;
                slot.at = end;
                slot.new_block = true;
                return Appended::kDone;
            }
            if (!extend && tail.next == ivf::kNoPage) {
                slot.page = page;
                return Appended::kDone;
            }
            at = Next(page, owner, head_page);
            UnlockPage(page);
        }
    }

    // Writes what of the slot's factors and codes lies on the pages behind the prefix's. `pieces`:
    // those of the block there.
    void WriteBehind(const Slot& slot, ivf::PieceCursor pieces, const quant::EncodedRow& row) {
        const PageOwner owner = ScanOwner(entry);
        const quant::Quantizer& q = *layout.quantizer;
        const std::size_t need = q.CodeBytesFor(layout.spec, slot.used + 1);
        // Transposed codes: a slot is everywhere. Row-major: behind the slots before it.
        const std::size_t before = q.CodeBytesFor(layout.spec, slot.used);
        const std::size_t from = before == need ? 0 : before;
        LockedPage page = slot.page;  // the prefix's page stays locked
        while (!pieces.Has(need)) {
            LockedPage next = LockNext(page, owner, slot.page.number);
            if (page.number != slot.page.number) UnlockPage(page);
            page = next;
            const ivf::Piece piece = pieces.Take();
            if (piece.factors_at == 0 && piece.codes_before + piece.code_bytes <= from) continue;
            Change change(index);
            std::uint8_t* bytes = change.Add(page);
            WritePiece(slot, piece, row, bytes);
            ivf::TailOf(bytes)->head_page = slot.page.number;
            change.Commit();
            CRASH_POINT("append_behind");
        }
        if (page.number != slot.page.number) UnlockPage(page);
    }

    // Writes what of the slot's factors and codes is in a piece of its block.
    void WritePiece(const Slot& slot, const ivf::Piece& piece, const quant::EncodedRow& row,
                    std::uint8_t* bytes) {
        const quant::Quantizer& q = *layout.quantizer;
        if (piece.factors_at != 0)
            ivf::StoreFactors(layout, row.factors, slot.used, bytes + piece.factors_at);
        q.Scatter(layout.spec, row.code, slot.used, piece.codes_before,
                  {bytes + piece.codes_at, piece.code_bytes});
        const std::size_t need = q.CodeBytesFor(layout.spec, slot.used + 1);
        CoverTo(bytes, piece.codes_at + piece.Among(need));
    }

    // The refine address of the slot's block; the row's refine codes are written there.
    void WriteRefineRow(Slot& slot, const quant::EncodedRow& row, std::uint16_t* offset) {
        if (layout.refine_row_bytes == 0) {
            slot.refine_page = ivf::kNoPage;
            return;
        }
        const ivf::RefinePiece start = ivf::RefineStart(layout, slot.ordinal);
        if (slot.new_block) {
            LockedPage page = RefinePage(slot.refine_page, start.ordinal);
            slot.refine_page = page.number;
            UnlockPage(page);
        }
        *offset = static_cast<std::uint16_t>(start.at);
        WriteRefine(slot.refine_page, slot.ordinal, slot.used, row.refine);
    }

    Appended Append(ivf::RowPointer pointer, const quant::EncodedRow& row) {
        Slot slot;
        const Appended found = FindSlot(slot, true);
        if (found != Appended::kDone) return found;
        ivf::PieceCursor pieces = ivf::PiecesOf(layout, slot.at);
        const ivf::Piece here = pieces.Take();
        WriteBehind(slot, pieces, row);
        std::uint16_t refine_offset = 0;
        WriteRefineRow(slot, row, &refine_offset);
        CRASH_POINT("append_publish");

        Change change(index);
        std::uint8_t* bytes = change.Add(slot.page);
        ivf::PageTail* tail = ivf::TailOf(bytes);
        std::uint8_t* block = bytes + slot.at;
        if (slot.new_block) {
            ivf::InitBlock(entry.list_id, entry.generation, slot.ordinal, slot.refine_page,
                           refine_offset, block);
            if (tail->blocks++ == 0) tail->first_block = static_cast<std::uint16_t>(slot.at);
            tail->head_page = slot.page.number;
            CoverTo(bytes, slot.at + ivf::kPrefixBytes);
        }
        if (here.factors_at != 0) WritePiece(slot, here, row, bytes);
        ivf::PublishSlot(pointer, block);
        change.Commit();
        *list.tail = slot.page.number;
        UnlockPage(slot.page);
        return Appended::kDone;
    }
};

}  // namespace

quant::EncodedRow AllocateRow(const ivf::BlockLayout& layout) {
    quant::EncodedRow row = {};
    row.code = NewSpan<std::uint8_t>(layout.scan_row_bytes);
    row.refine = NewSpan<std::uint8_t>(layout.refine_row_bytes);
    return row;
}

GrowingList GrowingListOf(Relation index, Model& model, std::uint32_t list) {
    return {index,
            &model.layout,
            model.entries[list],
            PlaceOfEntry(model, list),
            model.meta.directory.generation,
            &model.tails[list]};
}

Appended AppendRow(const GrowingList& list, ivf::RowPointer pointer, const quant::EncodedRow& row,
                   BlockNumber* stale_page) {
    Appender appender{list};
    const Appended done = appender.Append(pointer, row);
    if (stale_page) *stale_page = appender.stale_page;
    return done;
}

LockedPage LockGrowth(const GrowingList& list) {
    Appender::Slot slot;
    // Only VACUUM moves chains, and only VACUUM asks.
    if (Appender{list}.FindSlot(slot, false) != Appended::kDone)
        ReportCorruption(list.index, *list.tail, "the page does not belong to the list");
    return slot.page;
}

void SetSealed(const GrowingList& list, bool sealed) {
    Appender::Slot slot;
    if (Appender{list}.FindSlot(slot, false) != Appended::kDone) return;
    if (((slot.page.tail().flags & ivf::kSealed) != 0) != sealed) {
        Change change(list.index);
        ivf::TailOf(change.Add(slot.page))->flags = sealed ? ivf::kSealed : 0;
        change.Commit();
    }
    UnlockPage(slot.page);
}

}  // namespace quantvec::pg
