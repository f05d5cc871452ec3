// Heavyweight locks on parts of an index that nothing else locks.
#include "pg/am/storage/locks.h"

namespace quantvec::pg {

namespace {

// Locks on parts of the index that are none for anybody else: the deadlock detector sees them, as
// it does not see page locks.
constexpr std::uint16_t kSwitchPart = 1;
constexpr std::uint16_t kMovesPart = 2;

LOCKMODE ModeOf(Access access) {
    return access == Access::kShare ? ShareLock : ExclusiveLock;
}

}  // namespace

bool LockMoves(Relation index, Access access, bool wait) {
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, RelationGetRelid(index), kMovesPart);
    return LockAcquire(&tag, ModeOf(access), false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void UnlockMoves(Relation index, Access access) {
    UnlockDatabaseObject(RelationRelationId, RelationGetRelid(index), kMovesPart, ModeOf(access));
}

void LockSwitch(Relation index, Access access) {
    LockDatabaseObject(RelationRelationId, RelationGetRelid(index), kSwitchPart, ModeOf(access));
}

void UnlockSwitch(Relation index, Access access) {
    UnlockDatabaseObject(RelationRelationId, RelationGetRelid(index), kSwitchPart, ModeOf(access));
}

}  // namespace quantvec::pg
