// The next free slot of a list is found, filled and published (append.h has the steps).
#include "pg/am/list/append.h"

#include "core/ivf/slot.h"
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

    struct Slot : ivf::Slot {
        LockedPage page;  // with the block's head
    };

    // Leaves the slot's page locked, or nothing if the list cannot grow. With `extend` false it is
    // the last page if the next slot would need another one, and the slot is not to be used.
    Appended FindSlot(Slot& slot, bool extend) {
        using Step = ivf::SlotFinder::Step;
        const PageOwner owner = ScanOwner(entry);
        ivf::SlotFinder finder(layout, entry.refine_first);
        BlockNumber at = *list.tail;
        for (;;) {
            CHECK_FOR_INTERRUPTS();
            LockedPage page;
            if (!TryLockPage(index, at, Access::kExclusive, owner, page)) {
                stale_page = at;
                return Appended::kMoved;
            }
            const Step step = finder.Look(page.bytes, page.number);
            if (step == Step::kDamaged) ReportCorruption(index, at, finder.damage());
            if (extend && (page.tail().flags & ivf::kSealed) != 0) {
                UnlockPage(page);
                return Appended::kSealed;
            }
            const bool last = step == Step::kOn && page.tail().next == ivf::kNoPage;
            if (step == Step::kHere || (last && !extend)) {
                slot = {finder.slot(), page};
                return Appended::kDone;
            }
            at =
                step == Step::kBack ? page.tail().head_page : Next(page, owner, finder.head_page());
            UnlockPage(page);
        }
    }

    // Writes what of the slot's factors and codes lies on the pages behind the prefix's. `pieces`:
    // those of the block there.
    void WriteBehind(const Slot& slot, ivf::PieceCursor pieces, const quant::EncodedRow& row) {
        const PageOwner owner = ScanOwner(entry);
        const std::size_t needed = layout.quantizer->CodeBytesFor(layout.spec, slot.used + 1);
        LockedPage page = slot.page;  // the prefix's page stays locked
        while (!pieces.Has(needed)) {
            LockedPage next = LockNext(page, owner, slot.page.number);
            if (page.number != slot.page.number) UnlockPage(page);
            page = next;
            const ivf::Piece piece = pieces.Take();
            if (!ivf::PieceHasSlot(layout, piece, slot.used)) continue;
            Change change(index);
            std::uint8_t* bytes = change.Add(page);
            CoverTo(bytes, ivf::StorePiece(layout, piece, slot.used, row, bytes));
            ivf::TailOf(bytes)->head_page = slot.page.number;
            change.Commit();
            CRASH_POINT("append_behind");
        }
        if (page.number != slot.page.number) UnlockPage(page);
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
        if (here.factors_at != 0)
            CoverTo(bytes, ivf::StorePiece(layout, here, slot.used, row, bytes));
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
