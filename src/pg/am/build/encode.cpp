// Rows are read from the table, find their lists, are encoded, and sorted by list and heap
// position.
//
// Each participant scans its part of the table and sorts it with its share of maintenance_work_mem;
// the leader then merges. Rows look for their lists in batches, so that a centroid that is in the
// cache serves many of them.
#include <cmath>

#include "core/kernels/kernels.h"
#include "pg/am/build/build.h"
#include "pg/am/list/encode.h"
#include "pg/am/storage/model.h"
#include "pg/am/table/row_pointer.h"
#include "pg/compat.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// A batch takes at most so much memory, and this part of the participant's share.
constexpr std::size_t kBatchBytes = 2 * 1024 * 1024;
constexpr std::size_t kBatchShare = 16;

// What tuplesort takes at least.
constexpr std::size_t kLeastSortKilobytes = 64;

// Rows that wait to be encoded.
struct Waiting {
    Build* build;
    std::size_t capacity;
    std::size_t size;
    float* vectors;  // [capacity, padded]
    ivf::NearestBatch batch;
    float* norm_sqr;         // [capacity]
    std::int64_t* pointers;  // [capacity]
    bytea* row;              // one in the sort's format
    TupleTableSlot* slot;
    std::uint64_t counted;  // rows seen that the team does not know of
};

std::size_t BatchRows(const Build& b) {
    const std::size_t share = b.budget / static_cast<std::size_t>(b.team.size) / kBatchShare;
    const std::size_t rows = Min(kBatchBytes, share) / (b.padded * sizeof(float));
    return Max(Min(rows, kBatchRows), std::size_t{8});
}

void ShowProgress(const Build& b, std::uint64_t rows) {
    if (Leads(b))
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
                                     static_cast<std::int64_t>(rows));
}

void EncodeRow(Build& b, Waiting& w, std::size_t i) {
    const std::size_t list = w.batch.list[i];
    const float* centroid = b.centroids + list * b.padded;
    float* vector = w.vectors + i * b.padded;
    const float distance = kernels::Active().l2sqr(vector, centroid, b.padded);
    auto* bytes = reinterpret_cast<std::uint8_t*>(VARDATA(w.row));
    quant::EncodedRow row = RowAt(b.layout, bytes);
    EncodeIntoList(b.layout, w.norm_sqr[i], {centroid, b.padded}, {vector, b.padded},
                   {b.workspace, b.padded}, row);
    memcpy(bytes, &row.factors, sizeof row.factors);
    const std::size_t mine = static_cast<std::size_t>(b.team.me) * b.lists + list;
    b.list_rows[mine]++;
    b.distances[mine] += static_cast<double>(distance);

    ExecClearTuple(w.slot);
    w.slot->tts_values[0] = Int32GetDatum(static_cast<std::int32_t>(list));
    w.slot->tts_values[1] = Int64GetDatum(w.pointers[i]);
    w.slot->tts_values[2] = PointerGetDatum(w.row);
    for (int c = 0; c < 3; c++) w.slot->tts_isnull[c] = false;
    ExecStoreVirtualTuple(w.slot);
    tuplesort_puttupleslot(b.sort, w.slot);
    b.index_tuples[b.team.me]++;
}

void EncodeWaiting(Build& b, Waiting& w) {
    SetRows(w.batch, w.vectors, w.size);
    FindLists(b, w.batch);
    for (std::size_t i = 0; i < w.size; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        EncodeRow(b, w, i);
    }
    w.size = 0;
    ShowProgress(b, CountRows(b.team, w.counted));
    w.counted = 0;
}

// `raw` is used up when it returns.
void TakeVector(Waiting& w, ConstFloatSpan raw, std::uint64_t pointer) {
    Build& b = *w.build;
    CheckExpectedDim(b.dim, static_cast<int>(raw.size()));
    if (!Transform(b.model, raw, {w.vectors + w.size * b.padded, b.padded})) return;
    w.norm_sqr[w.size] = NormTerm(*b.opclass, raw);
    w.pointers[w.size] = static_cast<std::int64_t>(pointer);
    w.size++;
}

void CollectRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    Waiting& w = *static_cast<Waiting*>(arg);
    Build& b = *w.build;
    w.counted++;
    if (isnull[0]) return;
    const MemoryScope scope(b.row_context);
    TakeVector(w, b.opclass->values(values[0]), PointerNumber(*tid));
    scope.Leave();
    MemoryContextReset(b.row_context);
    if (w.size == w.capacity) EncodeWaiting(b, w);
}

// The rows of an index in use.
void TakeSource(Build& b, Waiting& w) {
    RewindRows(*b.rows);
    std::uint64_t pointer;
    while (NextRow(*b.rows, &pointer)) {
        VacuumDelay();
        w.counted++;
        ConstFloatSpan raw;
        if (!ReadRow(b.rows->reader, pointer, &raw)) continue;
        const MemoryScope scope(b.row_context);
        TakeVector(w, raw, pointer);
        scope.Leave();
        MemoryContextReset(b.row_context);
        if (w.size == w.capacity) EncodeWaiting(b, w);
    }
}

Tuplesortstate* BeginSort(Build& b, std::size_t kilobytes, SortCoordinate coordinate) {
    AttrNumber keys[] = {1, 2};
    Oid operators[] = {Int4LessOperator, Int8LessOperator};
    Oid collations[] = {InvalidOid, InvalidOid};
    bool nulls_first[] = {false, false};
    return tuplesort_begin_heap(
        b.sort_desc, 2, keys, operators, collations, nulls_first,
        static_cast<int>(Min(Max(kilobytes, kLeastSortKilobytes), std::size_t{MAX_KILOBYTES})),
        coordinate, TUPLESORT_NONE);
}

SortCoordinate Coordinate(const Team& team, bool merging) {
    if (!team.sort) return nullptr;
    auto* coordinate = New<SortCoordinateData>();
    coordinate->isWorker = !merging;
    coordinate->nParticipants = merging ? team.size : -1;
    coordinate->sharedsort = team.sort;
    return coordinate;
}

// The leader, once all have finished: their counts become one.
void AddUp(Build& b) {
    for (std::size_t i = 1; i < static_cast<std::size_t>(b.team.size); i++) {
        b.heap_tuples[0] += b.heap_tuples[i];
        b.index_tuples[0] += b.index_tuples[i];
        if (b.broken_hot_chain[i]) b.info->ii_BrokenHotChain = true;
        for (std::size_t c = 0; c < b.lists; c++) {
            b.list_rows[c] += b.list_rows[i * b.lists + c];
            b.distances[c] += b.distances[i * b.lists + c];
        }
    }
}

}  // namespace

quant::EncodedRow RowAt(const ivf::BlockLayout& layout, std::uint8_t* bytes) {
    quant::EncodedRow row;
    row.code = {bytes + sizeof(quant::RowFactors), layout.scan_row_bytes};
    row.refine = {bytes + sizeof(quant::RowFactors) + layout.scan_row_bytes,
                  layout.refine_row_bytes};
    return row;
}

void EncodeRows(Build& b) {
    Phase(b, kPhaseEncode);
    if (Leads(b))
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL,
                                     static_cast<std::int64_t>(b.decided->rows_estimated));
    const auto team = static_cast<std::size_t>(b.team.size);
    const int me = b.team.me;
    b.sort_desc = CreateTemplateTupleDesc(3);
    TupleDescInitEntry(b.sort_desc, 1, "list", INT4OID, -1, 0);
    TupleDescInitEntry(b.sort_desc, 2, "pointer", INT8OID, -1, 0);
    TupleDescInitEntry(b.sort_desc, 3, "row", BYTEAOID, -1, 0);

    Waiting w = {};
    w.build = &b;
    w.capacity = BatchRows(b);
    w.vectors = NewArray<float>(w.capacity * b.padded);
    w.batch = AllocateBatch(b, w.capacity);
    w.norm_sqr = NewArray<float>(w.capacity);
    w.pointers = NewArray<std::int64_t>(w.capacity);
    const std::size_t row_bytes =
        sizeof(quant::RowFactors) + b.layout.scan_row_bytes + b.layout.refine_row_bytes;
    w.row = NewValue<bytea>(VARHDRSZ + row_bytes);
    w.slot = MakeSingleTupleTableSlot(b.sort_desc, &TTSOpsVirtual);

    const std::size_t shared =
        MapMemory(b, static_cast<std::size_t>(b.team.slots), b.decided->lists, nullptr);
    const std::size_t own = (w.capacity * b.padded + ivf::TileFloats(b.padded)) * sizeof(float);
    const std::size_t used = shared + team * own + (team - 1) * kWorkerBytes;
    const std::size_t left = b.budget > used ? (b.budget - used) / 1024 : 0;
    b.sort = BeginSort(b, left / team, Coordinate(b.team, false));
    if (b.rows) {
        TakeSource(b, w);
    } else {
        TableScanDesc scan = b.team.scan ? BeginParallelScan(b.heap, b.team.scan) : nullptr;
        b.heap_tuples[me] =
            table_index_build_scan(b.heap, b.index, b.info, true, Leads(b), CollectRow, &w, scan);
    }
    EncodeWaiting(b, w);
    b.broken_hot_chain[me] = b.info->ii_BrokenHotChain;
    ExecDropSingleTupleTableSlot(w.slot);
    pfree(w.vectors);

    Phase(b, kPhaseSort);
    tuplesort_performsort(b.sort);
    ereport(DEBUG1, (errmsg_internal("quantvec: participant %d of %d encoded %.0f rows", me,
                                     b.team.size, b.index_tuples[me])));
    if (!b.team.head) return;
    tuplesort_end(b.sort);
    b.sort = nullptr;
    Finish(b.team);
    if (!Leads(b)) return;
    Collect(
        b.team,
        [](void* arg) {
            Build& build = *static_cast<Build*>(arg);
            ShowProgress(build, CountRows(build.team, 0));
        },
        &b);
    AddUp(b);
    // Merging one run of each participant needs buffers only. No more than a share of the memory,
    // since the allocator may not have given back to the system what the sorting took.
    b.sort = BeginSort(b, left / team, Coordinate(b.team, true));
    tuplesort_performsort(b.sort);
}

}  // namespace quantvec::pg
