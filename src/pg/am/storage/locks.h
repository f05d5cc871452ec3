// Heavyweight locks of this access method: who may move rows, and the switch to a new model.
#pragma once

#include "pg/am/storage/pages.h"

namespace quantvec::pg {

// ---- who may move rows ----

// Held exclusively by a VACUUM that moves rows to other pages, in share mode by who wants none to
// move (quantvec_check). None of the table's own locks, as CREATE INDEX CONCURRENTLY and REINDEX
// CONCURRENTLY have one that VACUUM waits for, and wait for whoever has a snapshot: a statement
// that waited for them would be a deadlock. Not on a standby. false: it is taken, and there was to
// be no waiting.
bool LockMoves(Relation index, Access access, bool wait = true);
void UnlockMoves(Relation index, Access access);

// ---- the switch to a new model ----

// Held exclusively from the first list that is sealed until the metapage names the new model. Who
// meets a sealed list waits for it in share mode: afterwards either there is a new model, or who
// sealed the list has died, and it may be opened again. A heavyweight lock, since waiting must be
// cancellable, and since it goes with the transaction of who dies.
void LockSwitch(Relation index, Access access);
void UnlockSwitch(Relation index, Access access);

}  // namespace quantvec::pg
