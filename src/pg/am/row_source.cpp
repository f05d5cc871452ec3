#include "pg/am/row_source.h"

namespace quantvec::pg {

void BeginReading(RowReader& r, Relation heap, Relation index) {
    r = {};
    r.opclass = &OpclassOf(index);
    r.fetch = table_index_fetch_begin(heap);
    r.slot = table_slot_create(heap, nullptr);
    BeginColumn(r.column, index);
    BeginToast(r.toast, heap, CurrentMemoryContext);
    r.row_context = AllocSetContextCreate(CurrentMemoryContext, "quantvec row of the table",
                                          ALLOCSET_DEFAULT_SIZES);
}

// All versions of a HOT chain have the same indexed value, and the same or an equal stored one; those of
// dead versions may be gone from the TOAST table already, so that any one that can be read will do.
bool ReadRow(RowReader& r, std::uint64_t pointer, ConstFloatSpan* vector) {
    MemoryContextReset(r.row_context);
    ResetColumn(r.column);
    ItemPointerData tid;
    ItemPointerSet(&tid, static_cast<BlockNumber>(pointer >> 16),
                   static_cast<OffsetNumber>(pointer & 0xffff));
    bool again = false, found = false;
    MemoryContext old = MemoryContextSwitchTo(r.row_context);
    do {
        bool all_dead = false, isnull = false;
        if (!table_index_fetch_tuple(r.fetch, &tid, SnapshotAny, r.slot, &again, &all_dead)) break;
        Datum value = IndexedValue(r.column, r.slot, &isnull);
        if (isnull) continue;
        Oid value_id = InvalidOid;
        if (const struct varlena* read = ReadToast(r.toast, value, &value_id))
            value = PointerGetDatum(read);
        else if (!ToastIsThere(r.toast, value))
            continue;
        *vector = r.opclass->values(value);
        found = true;
    } while (!found && again);
    MemoryContextSwitchTo(old);
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
    if (!tuplesort_getdatum(rows.pointers, true, &datum, &isnull, nullptr)) return false;
    *pointer = static_cast<std::uint64_t>(DatumGetInt64(datum));
    return true;
}

void EndRows(RowSource& rows) {
    EndReading(rows.reader);
    tuplesort_end(rows.pointers);
}

}  // namespace quantvec::pg
