// Pages that nothing needs any more.
#pragma once

#include "pg/am/storage/pages.h"
#include "pg/memory.h"

namespace quantvec::pg {

// Pages on their way from a chain that was given up to the free space map. They may be used again
// once every snapshot of this database that was there when they were given up is gone: until then a
// scan may still be on its way through the chain. (One on a standby finds out: TryLockPage.)
class Retired {
  public:
    void Begin(Relation index, MemoryContext context);
    // Stamps a page that is not stamped yet, if nobody has taken it for something else: `owner` is
    // whose it was.
    void Stamp(BlockNumber number, const PageOwner& owner);
    // The page is stamped.
    void Add(BlockNumber number);
    // Gives what can be used again to the free space map.
    void Release();
    std::uint32_t released() const { return released_; }
    std::uint32_t waiting() const { return static_cast<std::uint32_t>(pages_.size); }

  private:
    Relation index_;
    MemoryContext context_;
    Array<BlockNumber> pages_;  // the first watched_ wait for the snapshots
    std::size_t watched_;
    VirtualTransactionId* snapshots_;
    int snapshot_count_;
    std::uint32_t released_;
};
// What a page that is given up is stamped with.
std::uint64_t DeletionStamp();

}  // namespace quantvec::pg
