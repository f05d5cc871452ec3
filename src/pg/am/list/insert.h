// One encoded row after the other into an index in use: for INSERT, and for rows that came while
// the index was trained anew.
#pragma once

#include "pg/am/list/append.h"
#include "pg/am/storage/model.h"

namespace quantvec::pg {

struct RowInserter {
    Relation index;
    Model* model;
    const OpclassInfo* opclass;
    float *vector, *workspace, *centroid;  // [padded_dim]
    quant::EncodedRow row;
    std::uint32_t list;      // number of the list that the last row was for
    BlockNumber stale_page;  // the page that had no place for it, if it is not the list's
};
// Room for one row, in the current context; with every model anew.
void BeginInserts(RowInserter& inserter, Relation index, Model* model);
// Chooses the nearest list, encodes the row and appends it. What cannot be indexed is done at once.
// May take memory from the current context. REQUIRES: raw has the index's dimensions.
Appended InsertRow(RowInserter& inserter, ConstFloatSpan raw, ivf::RowPointer pointer);

}  // namespace quantvec::pg
