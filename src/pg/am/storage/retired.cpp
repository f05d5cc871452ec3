// Pages are stamped, wait for the snapshots of others, and become free.
#include "pg/am/storage/retired.h"

#include "pg/memory.h"

namespace quantvec::pg {

std::uint64_t DeletionStamp() {
    return U64FromFullTransactionId(ReadNextFullTransactionId());
}

void Retired::Begin(Relation index, MemoryContext context) {
    *this = {};
    index_ = index;
    context_ = context;
}

void Retired::Stamp(BlockNumber number, const PageOwner& owner) {
    LockedPage page;
    if (!TryLockPage(index_, number, Access::kExclusive, owner, page)) return;
    Change change(index_);
    ivf::TailOf(change.Add(page))->deleted_at = DeletionStamp();
    change.Commit();
    UnlockPage(page);
    Add(number);
}

void Retired::Add(BlockNumber number) {
    pages_.Push(context_) = number;
}

void Retired::Release() {
    if (watched_ > 0) {
        int left = 0;
        for (int i = 0; i < snapshot_count_; i++)
            if (!VirtualXactLock(snapshots_[i], false)) snapshots_[left++] = snapshots_[i];
        snapshot_count_ = left;
    }
    if (watched_ == 0 && pages_.size > 0) {
        const MemoryScope scope(context_);
        if (snapshots_) pfree(snapshots_);
        // A vacuum reads no index by a snapshot of its own.
        snapshots_ = GetCurrentVirtualXIDs(InvalidTransactionId, true, false,
                                           PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &snapshot_count_);
        scope.Leave();
        watched_ = pages_.size;
    }
    if (watched_ == 0 || snapshot_count_ > 0) return;
    BlockNumber least = InvalidBlockNumber, most = 0;
    for (std::size_t i = 0; i < watched_; i++) {
        RecordFreeIndexPage(index_, pages_.items[i]);
        least = Min(least, pages_.items[i]);
        most = Max(most, pages_.items[i]);
    }
    released_ += static_cast<std::uint32_t>(watched_);
    pages_.size -= watched_;
    memmove(pages_.items, pages_.items + watched_, pages_.size * sizeof(BlockNumber));
    watched_ = 0;
    FreeSpaceMapVacuumRange(index_, least, most + 1);
}

}  // namespace quantvec::pg
