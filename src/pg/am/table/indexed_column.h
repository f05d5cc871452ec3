// The indexed value of a table's row: a column, or an expression.
#pragma once

#include "pg/pg.h"

namespace quantvec::pg {

struct IndexedColumn {
    AttrNumber column;  // 0: an expression
    IndexInfo* info;    // of an expression
    EState* estate;
};

// Takes memory from the current context.
void BeginColumn(IndexedColumn& c, Relation index);
// Valid until ResetColumn.
Datum IndexedValue(IndexedColumn& c, TupleTableSlot* slot, bool* isnull);
void ResetColumn(IndexedColumn& c);
void EndColumn(IndexedColumn& c);

}  // namespace quantvec::pg
