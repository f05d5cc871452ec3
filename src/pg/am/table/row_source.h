// The rows of an index in use, read from the table by the row pointers of its entries: what
// training in place samples and encodes.
//
// Entries are carried over whoever sees their rows: an old snapshot may need one that is dead for
// all others. If nothing is left of a row, no snapshot sees it any more.
#pragma once

#include "core/view.h"
#include "pg/am/opclass.h"
#include "pg/am/table/indexed_column.h"
#include "pg/am/table/toast.h"
#include "pg/memory.h"

namespace quantvec::pg {

struct RowReader {
    const OpclassInfo* opclass;
    IndexFetchTableData* fetch;
    TupleTableSlot* slot;
    IndexedColumn column;
    ToastReader toast;
    MemoryContext row_context;
    MemoryContext context;
    Array<float> last;  // the vector of the last version that was read
};
// Takes memory from the current context.
void BeginReading(RowReader& reader, Relation heap, Relation index);
// The vector of a row, valid until the next call. false: no snapshot sees the row any more.
// pointer: block number << 16 | offset number.
bool ReadRow(RowReader& reader, std::uint64_t pointer, ConstFloatSpan* vector);
void EndReading(RowReader& reader);

struct RowSource {
    RowReader reader;
    Tuplesortstate* pointers;  // in the table's order
    std::uint64_t count;
};

// Takes memory from the current context; kilobytes: for the pointers.
void BeginRows(RowSource& rows, Relation heap, Relation index, int kilobytes);
void AddRow(RowSource& rows, std::uint64_t pointer);
// No row is added after it.
void SortRows(RowSource& rows);
// Goes back to the first pointer.
void RewindRows(RowSource& rows);
// The next pointer; false: no more.
bool NextRow(RowSource& rows, std::uint64_t* pointer);
void EndRows(RowSource& rows);

}  // namespace quantvec::pg
