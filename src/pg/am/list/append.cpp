// The next free slot of a list is found, filled and published (append.h has the steps).
#include "pg/am/list/append.h"

#include "pg/debug_point.h"
#include "pg/error.h"

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
        std::uint64_t at = ivf::RefinePosition(layout, block_ordinal, slot);
        while (!row.empty()) {
            LockedPage page = RefinePage(from, static_cast<std::uint32_t>(at / ivf::kPayloadBytes));
            const std::size_t offset = at % ivf::kPayloadBytes;
            const std::size_t n = Min(row.size(), ivf::kPayloadBytes - offset);
            Change change(index);
            std::uint8_t* bytes = change.Add(page);
            memcpy(bytes + ivf::kPayloadAt + offset, row.data(), n);
            CoverTo(bytes, ivf::kPayloadAt + offset + n);
            change.Commit();
            CRASH_POINT("append_refined");
            from = page.number;
            UnlockPage(page);
            row = row.subspan(n);
            at += n;
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

    // Leaves the slot's page locked, or nothing if the list cannot grow. With `extend` false it is the
    // last page if the next slot would need another one, and the slot is not to be used.
    Appended FindSlot(Slot& slot, bool extend) {
        const PageOwner owner = ScanOwner(entry);
        const std::size_t block_bytes = layout.head_bytes + layout.code_bytes;  // but the last
        BlockNumber at = *list.tail;
        slot = {};
        slot.refine_page = entry.refine_first;
        // Set while walking on from a full block: how many of its code bytes lie ahead.
        bool behind_full = false;
        std::size_t ahead = 0;
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
            std::size_t end;
            if (tail.blocks > 0) {
                std::size_t head_at = tail.first_block + (tail.blocks - 1) * block_bytes;
                if (head_at < ivf::kPayloadAt || head_at + ivf::kPrefixBytes > ivf::kPayloadEnd)
                    ReportCorruption(index, at, "the page has too many blocks");
                const ivf::BlockHead& head = *ivf::HeadAt(page.bytes + head_at);
                if (!ivf::HeadIsSound(head, entry.list_id, entry.generation))
                    ReportCorruption(index, at, "a block head is damaged");
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
                end = head_at + ivf::CodesBehind(layout, head_at) + layout.code_bytes;
                ahead = end > ivf::kPayloadEnd ? end - ivf::kPayloadEnd : 0;
            } else if (!behind_full) {
                // Codes only, or nothing yet: the block that they belong to is before.
                if (tail.head_page != ivf::kNoPage) {
                    at = tail.head_page;
                    UnlockPage(page);
                    continue;
                }
                if (tail.ordinal != 0)
                    ReportCorruption(index, at, "a page does not know the block before it");
                end = ivf::kPayloadAt;
            } else {
                end = ivf::kPayloadAt + Min(ahead, ivf::kPayloadBytes);
                ahead -= Min(ahead, ivf::kPayloadBytes);
            }
            if (ahead == 0 && end + ivf::kPrefixBytes <= ivf::kPayloadEnd) {
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

    // Writes what of the slot's factors and codes lies on the pages behind the prefix's. `begin`:
    // how many of the block's code bytes lie before them.
    void WriteBehind(const Slot& slot, std::size_t begin, const quant::EncodedRow& row) {
        const PageOwner owner = ScanOwner(entry);
        const quant::Quantizer& q = *layout.quantizer;
        const std::size_t need = q.CodeBytesFor(layout.spec, slot.used + 1);
        // Transposed codes: a slot is everywhere. Row-major: behind the slots before it.
        const std::size_t before = q.CodeBytesFor(layout.spec, slot.used);
        const std::size_t from = before == need ? 0 : before;
        bool factors = !ivf::FactorsFollow(layout, slot.at);
        LockedPage page = slot.page;  // the prefix's page stays locked
        while (factors || begin < need) {
            LockedPage next = LockNext(page, owner, slot.page.number);
            if (page.number != slot.page.number) UnlockPage(page);
            page = next;
            const std::size_t at = ivf::kPayloadAt + (factors ? layout.factor_bytes : 0);
            const std::size_t n = Min(layout.code_bytes - begin, ivf::kPayloadEnd - at);
            if (factors || begin + n > from) {
                Change change(index);
                std::uint8_t* bytes = change.Add(page);
                if (factors)
                    ivf::StoreFactors(layout, row.factors, slot.used, bytes + ivf::kPayloadAt);
                q.Scatter(layout.spec, row.code, slot.used, begin, {bytes + at, n});
                CoverTo(bytes, at + Min(n, need > begin ? need - begin : 0));
                ivf::TailOf(bytes)->head_page = slot.page.number;
                change.Commit();
                CRASH_POINT("append_behind");
            }
            factors = false;
            begin += n;
        }
        if (page.number != slot.page.number) UnlockPage(page);
    }

    // The refine address of the slot's block; the row's refine codes are written there.
    void WriteRefineRow(Slot& slot, const quant::EncodedRow& row, std::uint16_t* offset) {
        if (layout.refine_row_bytes == 0) {
            slot.refine_page = ivf::kNoPage;
            return;
        }
        const std::uint64_t at = ivf::RefinePosition(layout, slot.ordinal, 0);
        if (slot.new_block) {
            LockedPage page =
                RefinePage(slot.refine_page, static_cast<std::uint32_t>(at / ivf::kPayloadBytes));
            slot.refine_page = page.number;
            UnlockPage(page);
        }
        *offset = static_cast<std::uint16_t>(ivf::kPayloadAt + at % ivf::kPayloadBytes);
        WriteRefine(slot.refine_page, slot.ordinal, slot.used, row.refine);
    }

    Appended Append(ivf::RowPointer pointer, const quant::EncodedRow& row) {
        Slot slot;
        const Appended found = FindSlot(slot, true);
        if (found != Appended::kDone) return found;
        const bool factors_here = ivf::FactorsFollow(layout, slot.at);
        const std::size_t codes_at = slot.at + layout.head_bytes;
        const std::size_t here =
            factors_here ? Min(ivf::kPayloadEnd - codes_at, std::size_t{layout.code_bytes}) : 0;
        WriteBehind(slot, here, row);
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
        if (factors_here) {
            ivf::StoreFactors(layout, row.factors, slot.used, block + ivf::kPrefixBytes);
            layout.quantizer->Scatter(layout.spec, row.code, slot.used, 0,
                                      {block + layout.head_bytes, here});
            CoverTo(bytes, codes_at + Min(here, layout.quantizer->CodeBytesFor(layout.spec,
                                                                               slot.used + 1)));
        }
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
    row.code = {static_cast<std::uint8_t*>(palloc(layout.scan_row_bytes)), layout.scan_row_bytes};
    row.refine = {static_cast<std::uint8_t*>(palloc(Max(layout.refine_row_bytes, 1u))),
                  layout.refine_row_bytes};
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
