// Heavyweight locks of this access method: who may move rows, and the switch to a new model.
#pragma once

#include "pg/am/storage/pages.h"

namespace quantvec::pg {

// ---- who may move rows ----

// Keeps the moves of VACUUM and quantvec_check apart. A VACUUM that moves rows to other pages holds
// it exclusively; quantvec_check, which wants no row to move, holds it in share mode. Not on a
// standby.
//
// The table's own locks do not serve: CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY hold one
// that VACUUM waits for, and wait for everybody who has a snapshot. A statement that waited for
// such a lock would be in a deadlock.
//
// false: somebody holds it, and `wait` is false.
bool LockMoves(Relation index, Access access, bool wait = true);
void UnlockMoves(Relation index, Access access);

// ---- the switch to a new model ----

// A training holds it exclusively from the first list that it seals until the metapage names the
// new model. Who meets a sealed list waits for it in share mode. Afterwards there is a new model,
// or whoever sealed the list has died, and the list may be opened again.
//
// A heavyweight lock, since waiting must be cancellable, and since the lock must go when its holder
// dies.
void LockSwitch(Relation index, Access access);
void UnlockSwitch(Relation index, Access access);

}  // namespace quantvec::pg
