// The value of a column, or of an expression.
#include "pg/am/table/indexed_column.h"

namespace quantvec::pg {

void BeginColumn(IndexedColumn& c, Relation index) {
    c = {};
    c.column = index->rd_index->indkey.values[0];
    if (c.column != 0) return;
    c.info = BuildIndexInfo(index);
    c.estate = CreateExecutorState();
}

Datum IndexedValue(IndexedColumn& c, TupleTableSlot* slot, bool* isnull) {
    if (c.column != 0) return slot_getattr(slot, c.column, isnull);
    GetPerTupleExprContext(c.estate)->ecxt_scantuple = slot;
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(c.info, slot, c.estate, values, nulls);
    *isnull = nulls[0];
    return values[0];
}

void ResetColumn(IndexedColumn& c) {
    if (c.estate) ResetPerTupleExprContext(c.estate);
}

void EndColumn(IndexedColumn& c) {
    if (c.estate) FreeExecutorState(c.estate);
}

}  // namespace quantvec::pg
