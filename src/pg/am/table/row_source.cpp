// Rows are read in the table's order by the pointers of the index's entries.
#include "pg/am/table/row_source.h"

#include "pg/compat.h"
#include "pg/memory.h"

namespace quantvec::pg {

void BeginReading(RowReader& r, Relation heap, Relation index) {
    r = {};
    r.opclass = &OpclassOf(index);
    r.fetch = BeginFetch(heap);
    r.slot = table_slot_create(heap, nullptr);
    BeginColumn(r.column, index);
    BeginToast(r.toast, heap, CurrentMemoryContext);
    r.context = CurrentMemoryContext;
    r.row_context = AllocSetContextCreate(CurrentMemoryContext, "quantvec row of the table",
                                          ALLOCSET_DEFAULT_SIZES);
}

namespace {

// Of a version in the slot: has the transaction that wrote it come to nothing?
bool WasAborted(TupleTableSlot* slot) {
    bool isnull = false;
    const TransactionId xmin =
        DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));
    return TransactionIdIsNormal(xmin) && !TransactionIdIsCurrentTransactionId(xmin) &&
           !TransactionIdIsInProgress(xmin) && !TransactionIdDidCommit(xmin);
}

// The vector of the version in the slot; false: it has none, or not all of it any more.
bool ReadVersion(RowReader& r, ConstFloatSpan* vector) {
    bool isnull = false;
    Datum value = IndexedValue(r.column, r.slot, &isnull);
    if (isnull) return false;
    Oid value_id = InvalidOid;
    if (const struct varlena* read = ReadToast(r.toast, value, &value_id))
        value = PointerGetDatum(read);
    else if (!ToastIsThere(r.toast, value))
        return false;
    const ConstFloatSpan values = r.opclass->values(value);
    // The slot goes on to the next version.
    r.last.Reserve(values.size(), r.context);
    memcpy(r.last.items, values.data(), values.size_bytes());
    *vector = {r.last.items, values.size()};
    return true;
}

}  // namespace

// The last version counts that did not come to nothing: versions of a HOT chain that is older than
// the index may have other values, which the index does not hold, and an aborted update left
// nothing that counts. If that version is there no more in full, no snapshot sees it, nor any
// before it.
bool ReadRow(RowReader& r, std::uint64_t pointer, ConstFloatSpan* vector) {
    MemoryContextReset(r.row_context);
    ResetColumn(r.column);
    ItemPointerData tid;
    ItemPointerSet(&tid, static_cast<BlockNumber>(pointer >> 16),
                   static_cast<OffsetNumber>(pointer & 0xffff));
    bool again = false, found = false;
    const MemoryScope scope(r.row_context);
    for (bool first = true;; first = false) {
        bool all_dead = false;
        if (!table_index_fetch_tuple(r.fetch, &tid, SnapshotAny, r.slot, &again, &all_dead)) break;
        if (first || !WasAborted(r.slot)) found = ReadVersion(r, vector);
        if (!again) break;
    }
    scope.Leave();
    // Whoever reads row after row waits in between, and a pin keeps others from cleaning the page.
    ExecClearTuple(r.slot);
    table_index_fetch_reset(r.fetch);
    return found;
}

void EndReading(RowReader& r) {
    EndToast(r.toast);
    EndColumn(r.column);
    ExecDropSingleTupleTableSlot(r.slot);
    table_index_fetch_end(r.fetch);
}

void BeginRows(RowSource& rows, Relation heap, Relation index, int kilobytes) {
    BeginReading(rows.reader, heap, index);
    rows.pointers = tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid, false, kilobytes,
                                          nullptr, TUPLESORT_RANDOMACCESS);
    rows.count = 0;
}

void AddRow(RowSource& rows, std::uint64_t pointer) {
    tuplesort_putdatum(rows.pointers, Int64GetDatum(static_cast<std::int64_t>(pointer)), false);
    rows.count++;
}

void SortRows(RowSource& rows) {
    tuplesort_performsort(rows.pointers);
}

void RewindRows(RowSource& rows) {
    tuplesort_rescan(rows.pointers);
}

bool NextRow(RowSource& rows, std::uint64_t* pointer) {
    Datum datum;
    bool isnull;
    if (!NextDatum(rows.pointers, &datum, &isnull)) return false;
    *pointer = static_cast<std::uint64_t>(DatumGetInt64(datum));
    return true;
}

void EndRows(RowSource& rows) {
    EndReading(rows.reader);
    tuplesort_end(rows.pointers);
}

}  // namespace quantvec::pg
