#include "pg/am/row_source.h"

namespace quantvec::pg {

void BeginRows(RowSource& rows, Relation heap, Relation index, int kilobytes) {
    rows = {};
    rows.heap = heap;
    rows.opclass = &OpclassOf(index);
    rows.pointers = tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid, false, kilobytes,
                                          nullptr, TUPLESORT_RANDOMACCESS);
    rows.fetch = table_index_fetch_begin(heap);
    rows.slot = table_slot_create(heap, nullptr);
    BeginColumn(rows.column, index);
    BeginToast(rows.toast, heap, CurrentMemoryContext);
    rows.row_context = AllocSetContextCreate(CurrentMemoryContext, "quantvec row of the table",
                                             ALLOCSET_DEFAULT_SIZES);
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

// All versions of a HOT chain have the same indexed value, and the same or an equal stored one; those of
// dead versions may be gone from the TOAST table already, so that any one that can be read will do.
bool ReadRow(RowSource& rows, std::uint64_t pointer, ConstFloatSpan* vector) {
    MemoryContextReset(rows.row_context);
    ResetColumn(rows.column);
    ItemPointerData tid;
    ItemPointerSet(&tid, static_cast<BlockNumber>(pointer >> 16),
                   static_cast<OffsetNumber>(pointer & 0xffff));
    bool again = false, found = false;
    MemoryContext old = MemoryContextSwitchTo(rows.row_context);
    do {
        bool all_dead = false, isnull = false;
        if (!table_index_fetch_tuple(rows.fetch, &tid, SnapshotAny, rows.slot, &again, &all_dead))
            break;
        Datum value = IndexedValue(rows.column, rows.slot, &isnull);
        if (isnull) continue;
        Oid value_id = InvalidOid;
        if (const struct varlena* read = ReadToast(rows.toast, value, &value_id))
            value = PointerGetDatum(read);
        else if (!ToastIsThere(rows.toast, value))
            continue;
        *vector = rows.opclass->values(value);
        found = true;
    } while (!found && again);
    MemoryContextSwitchTo(old);
    return found;
}

void EndRows(RowSource& rows) {
    EndToast(rows.toast);
    EndColumn(rows.column);
    ExecDropSingleTupleTableSlot(rows.slot);
    table_index_fetch_end(rows.fetch);
    tuplesort_end(rows.pointers);
}

}  // namespace quantvec::pg
