// Where a backend last met the pages of an index, and the pages as a scan locks them.
#pragma once

#include "pg/am/storage/pages.h"
#include "pg/memory.h"

namespace quantvec::pg {

// Where a backend last met the pages of an index in shared buffers, and what came behind them in
// their chains. To pin a page there spares the look-up in the buffer table, which was half of what
// a pin costs; to know the next page spares a lock of the one before it. What is no longer right
// costs a comparison.
class RecentPages {
  public:
    Buffer Pin(Relation index, BlockNumber number, MemoryContext context);
    // Where the page probably lies, to be prefetched and not to be read; nullptr: unknown.
    const std::uint8_t* Guess(BlockNumber number) const;
    // The page that probably follows; kNoPage: unknown.
    BlockNumber Next(BlockNumber number) const {
        return number < pages_.size ? pages_.items[number].next : ivf::kNoPage;
    }
    void NoteNext(BlockNumber number, BlockNumber next) {
        if (number < pages_.size) pages_.items[number].next = next;
    }

  private:
    struct Recent {
        Buffer buffer;
        BlockNumber next;
    };
    Array<Recent> pages_;
    std::uint32_t turn_;
};

// Pages for a scan: TryLockPage in share mode. The snapshot is there for old_snapshot_threshold.
struct ScanPages {
    Relation index;
    Snapshot snapshot;
    RecentPages* recent;
    MemoryContext recent_context;

    bool TryLock(BlockNumber number, const PageOwner& owner, LockedPage& page) const;
    // Asks the processor for bytes of a page, and for its header and tail, if it knows the place.
    void Prefetch(BlockNumber number, std::size_t offset, std::size_t size) const;
};

}  // namespace quantvec::pg
