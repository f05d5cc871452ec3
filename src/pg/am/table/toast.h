// Out-of-line values of one table, read one after the other.
//
// The server's own way opens the TOAST table and its index, begins a scan and allocates for every
// single value; that is most of what reranking a row costs from about 500 dimensions on. Here they
// stay open for as long as the scan of our index lasts, and one buffer is filled again and again.
// No pin is held between two calls of ReleaseToast.
#pragma once

#include "pg/pg.h"

namespace quantvec::pg {

struct ToastReader {
    Oid table_id;  // of the TOAST table; InvalidOid: nothing can be read this way
    Relation table;
    Relation index;
    IndexScanDesc scan;
    TupleTableSlot* slot;
    SnapshotData snapshot;
    struct varlena* value;
    Size capacity;
    MemoryContext context;
};

// For values of `heap`. Memory of the reader is in `context`.
void BeginToast(ToastReader& reader, Relation heap, MemoryContext context);

// Opens the TOAST table now, rather than with the first value: takes its locks.
void OpenToast(ToastReader& reader);

// The value that a datum stands for, in the reader's memory until the next call: only of a datum
// that is out of line in that table and not compressed. nullptr: the server's way is to be taken
// (which also finds the words for a value that is damaged). value_id: what IsKnownDistance knows a
// value by.
const struct varlena* ReadToast(ToastReader& reader, Datum datum, Oid* value_id);

// false: the datum is out of line in that table, and some of it is gone: only of a row that no
// snapshot sees any more.
bool ToastIsThere(ToastReader& reader, Datum datum);

// Lets go of pins, and of everything.
void ReleaseToast(ToastReader& reader);
void EndToast(ToastReader& reader);

}  // namespace quantvec::pg
