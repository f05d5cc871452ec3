// The models that a backend keeps; model.h says what is in one.
#pragma once

#include "pg/am/storage/model.h"

namespace quantvec::pg {

// Called once, by _PG_init.
void InitModelCache();
// The model of an index, from the cache or read anew. Stays valid until `owner` is reset or deleted
// (an ERROR does so too).
Model* AcquireModel(Relation index, MemoryContext owner, bool writing = false);

}  // namespace quantvec::pg
