// How the functions of this folder come to an index, and to their result.
#pragma once

#include "pg/pg.h"

namespace quantvec::pg {

// An index and its table, share-locked: the table first, as all commands lock. Everything that is
// not a quantvec index within reach, built to its end, is refused. `permit` is an ERROR for who may
// not look; it is asked before anything is locked, and waited for.
struct OpenedIndex {
    Relation index;
    Relation table;
};
OpenedIndex OpenIndex(Oid oid, void (*permit)(Oid index, Oid table));
void CloseIndex(const OpenedIndex& open);
// Of an SQL function with OUT columns.
TupleDesc ResultDesc(FunctionCallInfo fcinfo);

}  // namespace quantvec::pg
