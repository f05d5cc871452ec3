// aminsert: one row goes into the next free slot of its list.
//
//   1 transform, choose the list, encode: before any lock
//   2 lock the page that has the head of the list's last block (exclusively; this is what makes the
//     slot ours until step 4)
//   3 write what lies on later pages (codes, perhaps factors), and the refine row; extend the
//   chains
//     where they end
//   4 publish: one WAL record changes the head's page: pointer, live bit, and what else lies there
//
// Until step 4 nothing is visible; what a crash leaves behind is overwritten by the next insert.
// Locks are taken in the order: head's page, later scan pages, refine pages, directory.
#include "core/kernels/kernels.h"
#include "pg/am/am.h"
#include "pg/am/lists.h"
#include "pg/error.h"

namespace quantvec::pg {

namespace {

// Kept over the rows of one statement.
struct InsertState {
    Model* model;
    const OpclassInfo* opclass;
    MemoryContext row_context;
    float* vector;
    float* workspace;
    float* centroid;
    quant::EncodedRow row;
};

InsertState* StateOf(Relation index, IndexInfo* info) {
    if (info->ii_AmCache) return static_cast<InsertState*>(info->ii_AmCache);
    MemoryContext old = MemoryContextSwitchTo(info->ii_Context);
    auto* state = static_cast<InsertState*>(palloc0(sizeof(InsertState)));
    state->model = AcquireModel(index, info->ii_Context, true);
    state->opclass = &OpclassOf(index);
    state->row_context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec insert row", ALLOCSET_DEFAULT_SIZES);
    const ivf::BlockLayout& layout = state->model->layout;
    const std::size_t padded = state->model->meta.padded_dim;
    state->vector = static_cast<float*>(palloc(padded * sizeof(float)));
    state->workspace = static_cast<float*>(palloc(padded * sizeof(float)));
    state->centroid = static_cast<float*>(palloc(padded * sizeof(float)));
    state->row.code = {static_cast<std::uint8_t*>(palloc(layout.scan_row_bytes)),
                       layout.scan_row_bytes};
    state->row.refine = {static_cast<std::uint8_t*>(palloc(Max(layout.refine_row_bytes, 1u))),
                         layout.refine_row_bytes};
    MemoryContextSwitchTo(old);
    info->ii_AmCache = state;
    return state;
}

// The nearest list, the first of several: what measuring all would find.
std::uint32_t NearestList(Relation index, Model& model, ConstFloatSpan vector) {
    if (model.meta.lists == 1) return 0;
    NearLists near;
    BeginNear(near, index, model, vector, kInsertListEpsilon, ListsBy::kNearest, 1);
    return TakeNearest(near).list;
}

// One list while a row goes into it.
struct Appender {
    Relation index;
    Model& model;
    std::uint32_t list;
    const ivf::ListEntry& entry;
    const ivf::BlockLayout& layout;

    // Links a new page behind `last` (locked, the last of its chain) and notes it in the directory.
    void Extend(LockedPage& last, const PageOwner& owner, std::uint32_t head_page) {
        LockedPage fresh = ExtendIndex(index);
        const EntryPlace place = PlaceOfEntry(model, list);
        LockedPage directory =
            LockPage(index, place.page, Access::kExclusive,
                     {ivf::PageKind::kDirectory, 0, model.meta.directory.generation});
        Change change(index);
        ivf::TailOf(change.Add(last))->next = fresh.number;
        std::uint8_t* bytes = change.Add(fresh, true);
        InitPage(bytes, owner, last.tail().ordinal + 1);
        ivf::TailOf(bytes)->head_page = head_page;
        auto* stored = reinterpret_cast<ivf::ListEntry*>(change.Add(directory) + place.offset);
        if (owner.kind == ivf::PageKind::kScan)
            stored->scan_last = fresh.number;
        else
            stored->refine_last = fresh.number;
        change.Commit();
        UnlockPage(directory);
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

    Slot FindSlot() {
        const PageOwner owner = ScanOwner(entry);
        const std::size_t block_bytes = layout.head_bytes + layout.code_bytes;  // but the last
        BlockNumber at = model.tails[list];
        Slot slot = {};
        slot.refine_page = entry.refine_first;
        // Set while walking on from a full block: how many of its code bytes lie ahead.
        bool behind_full = false;
        std::size_t ahead = 0;
        std::uint32_t head_page = ivf::kNoPage;
        for (;;) {
            CHECK_FOR_INTERRUPTS();
            LockedPage page = LockPage(index, at, Access::kExclusive, owner);
            const ivf::PageTail& tail = page.tail();
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
                    return slot;
                }
                behind_full = true;
                head_page = page.number;
                slot.ordinal++;
                end = head_at + ivf::CodesBehind(layout, head_at) + layout.code_bytes;
                ahead = end > ivf::kPayloadEnd ? end - ivf::kPayloadEnd : 0;
            } else if (!behind_full) {
                // Codes only, or nothing yet: the block that they belong to is before.
                if (tail.head_page != ivf::kNoPage) {
                    if (tail.head_page == at)
                        ReportCorruption(index, at, "a page names itself as the one before");
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
                return slot;
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

    void Append(ivf::RowPointer pointer, const quant::EncodedRow& row) {
        Slot slot = FindSlot();
        const bool factors_here = ivf::FactorsFollow(layout, slot.at);
        const std::size_t codes_at = slot.at + layout.head_bytes;
        const std::size_t here =
            factors_here ? Min(ivf::kPayloadEnd - codes_at, std::size_t{layout.code_bytes}) : 0;
        WriteBehind(slot, here, row);
        std::uint16_t refine_offset = 0;
        WriteRefineRow(slot, row, &refine_offset);

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
        model.tails[list] = slot.page.number;
        UnlockPage(slot.page);
    }
};

}  // namespace

float NormTerm(const OpclassInfo& opclass, ConstFloatSpan raw) {
    return opclass.metric == Metric::kInnerProduct
               ? kernels::Active().ordered_dot(raw.data(), raw.data(), raw.size())
               : 0.0f;
}

void EncodeIntoList(const ivf::BlockLayout& layout, float norm_sqr, ConstFloatSpan centroid,
                    FloatSpan vector, FloatSpan workspace, quant::EncodedRow& row) {
    for (std::size_t i = 0; i < vector.size(); i++) vector[i] -= centroid[i];
    layout.quantizer->Encode(layout.spec, vector, centroid, norm_sqr, workspace, row);
}

bool AmInsert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation,
              IndexUniqueCheck, bool, IndexInfo* info) {
    if (isnull[0]) return false;
    InsertState* state = StateOf(index, info);
    Model& model = *state->model;
    const std::size_t padded = model.meta.padded_dim;

    MemoryContext old = MemoryContextSwitchTo(state->row_context);
    const ConstFloatSpan raw = state->opclass->values(values[0]);
    CheckExpectedDim(static_cast<int>(model.meta.dim), static_cast<int>(raw.size()));
    if (Transform(model, raw, {state->vector, padded})) {
        const std::uint32_t list = NearestList(index, model, {state->vector, padded});
        EncodeIntoList(model.layout, NormTerm(*state->opclass, raw),
                       CentroidOf(index, model, list, {state->centroid, padded}),
                       {state->vector, padded}, {state->workspace, padded}, state->row);
        Appender appender = {index, model, list, model.entries[list], model.layout};
        appender.Append({tid->ip_blkid.bi_hi, tid->ip_blkid.bi_lo, tid->ip_posid}, state->row);
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(state->row_context);
    return false;
}

}  // namespace quantvec::pg
