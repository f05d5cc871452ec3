// The exact second pass: vectors of the table, read inside the access method.
//
// A candidate's row is fetched with the scan's snapshot through the table's index fetch, which
// follows HOT chains and overwrites the TID it is given: it gets a copy. The batch is read in heap
// order, so each table page is pinned once; no pin is left behind.
#include <algorithm>
#include <limits>

#include "pg/am/scan/state.h"
#include "pg/am/storage/model.h"
#include "pg/compat.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

void Begin(IndexScanDesc desc, Scan& scan) {
    Reranker& r = scan.reranker;
    const MemoryScope scope(scan.context);
    r.heap = desc->heapRelation;
    r.fetch = BeginFetch(r.heap);
    r.slot = table_slot_create(r.heap, nullptr);
    BeginColumn(r.column, desc->indexRelation);
    BeginToast(r.toast, r.heap, scan.context);
    r.context = AllocSetContextCreate(scan.context, "quantvec rerank row", ALLOCSET_DEFAULT_SIZES);
    scope.Leave();
}

// Asks for the table's pages ahead, if they are likely to be on disk: after a batch that found all
// in shared buffers, the look-ups (a twentieth of a warm query) are left out for a few batches.
void PrefetchTable(Model& model, Relation heap, const FoundRow* batch, std::size_t size) {
    constexpr int kWarmBatches = 15;
    if (model.warm_batches > 0) {
        model.warm_batches--;
        return;
    }
    if (size < 2 || get_tablespace_io_concurrency(heap->rd_rel->reltablespace) == 0) return;
    BlockNumber last = InvalidBlockNumber;
    bool warm = true;
    for (std::size_t i = 0; i < size; i++) {
        const BlockNumber block = ItemPointerGetBlockNumber(&batch[i].tid);
        if (block == last) continue;
        warm &= BufferIsValid(PrefetchBuffer(heap, MAIN_FORKNUM, block).recent_buffer);
        last = block;
    }
    if (warm) model.warm_batches = kWarmBatches;
}

}  // namespace

double KeyOfDistance(const Scan& scan, double distance) {
    const double key = scan.key_scale * KeyFromDistance(scan.opclass->metric, distance);
    // NaN comes after infinity, as when it is sorted.
    return isnan(key) ? get_float8_infinity() : Min(key, std::numeric_limits<double>::max());
}

void RerankBatch(IndexScanDesc desc, Scan& scan, FoundRow* batch, std::size_t size,
                 Array<Ranked>& ranked) {
    Reranker& r = scan.reranker;
    if (!r.fetch) Begin(desc, scan);
    std::sort(batch, batch + size,
              [](const FoundRow& a, const FoundRow& b) { return LiesBefore(a.tid, b.tid); });
    PrefetchTable(*scan.model, r.heap, batch, size);
    const MemoryScope scope(r.context);
    for (std::size_t i = 0; i < size; i++) {
        ItemPointerData tid = batch[i].tid;
        bool call_again = false, all_dead = false;
        CHECK_FOR_INTERRUPTS();
        scan.counts.reranked++;
        if (!table_index_fetch_tuple(r.fetch, &tid, desc->xs_snapshot, r.slot, &call_again,
                                     &all_dead))
            continue;
        bool isnull = false;
        Datum value = IndexedValue(r.column, r.slot, &isnull);
        if (!isnull) {
            Oid toast_value = InvalidOid;
            if (const struct varlena* read = ReadToast(r.toast, value, &toast_value))
                value = PointerGetDatum(read);
            const ConstFloatSpan row = scan.opclass->values(value);
            if (row.size() == scan.query.size()) {
                const double distance = scan.opclass->distance(row, scan.query);
                const double key = KeyOfDistance(scan, distance);
                const Buffer buffer =
                    TTS_IS_BUFFERTUPLE(r.slot)
                        ? reinterpret_cast<BufferHeapTupleTableSlot*>(r.slot)->buffer
                        : InvalidBuffer;
                PushRanked(scan, ranked,
                           {key, distance, toast_value, batch[i].open, buffer, batch[i].tid});
                scan.exact_keys.Push(static_cast<float>(key + scan.key_shift));
            }
        }
        MemoryContextReset(r.context);
        ResetColumn(r.column);
    }
    scope.Leave();
    ExecClearTuple(r.slot);
    table_index_fetch_reset(r.fetch);
    ReleaseToast(r.toast);
}

// Rows leave in order of distance and lie anywhere in the table, so the executor waits for memory
// at each of them: 2.2 us a row without this, 1.85 with it (all rows of wordnet-384). The pages are
// not pinned. What is read of them here is used as an address to ask for, and nothing else.
void PrefetchRows(const Array<Ranked>& rows) {
    for (std::size_t i = 0; i < Min(rows.size, std::size_t{3}); i++) {
        const Ranked& row = rows.items[i];
        if (row.buffer <= 0) continue;
        Page page = BufferGetPage(row.buffer);
        const ItemId line = PageGetItemId(page, ItemPointerGetOffsetNumber(&row.tid));
        if (i == 0) {
            // Its line pointer was asked for when the row before it left.
            __builtin_prefetch(page + ItemIdGetOffset(line) % BLCKSZ);
        } else {
            __builtin_prefetch(page);
            __builtin_prefetch(line);
        }
    }
}

void EndRerank(Reranker& r) {
    if (!r.fetch) return;
    EndToast(r.toast);
    ExecDropSingleTupleTableSlot(r.slot);
    table_index_fetch_end(r.fetch);
    EndColumn(r.column);
    r = {};
}

}  // namespace quantvec::pg
