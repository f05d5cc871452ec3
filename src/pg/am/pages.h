// Pages of an index: pin, lock, extend, log. The only caller of the buffer manager and of WAL.
//
// Readers hold one page at a time, share-locked, and no pin between two calls of the AM. Who holds
// more than one page, and in which order, is in README.md here.
#pragma once

#include "core/ivf/block.h"
#include "pg/pg.h"

namespace quantvec::pg {

enum class Access { kShare, kExclusive };

// A pinned and locked page.
struct LockedPage {
    Buffer buffer = InvalidBuffer;
    BlockNumber number = InvalidBlockNumber;
    std::uint8_t* bytes = nullptr;

    const ivf::PageTail& tail() const { return *ivf::TailOf(bytes); }
    std::size_t end() const;  // end of what was written on the page
};

// Who must own a page; what a reader compares after each lock.
struct PageOwner {
    ivf::PageKind kind;
    std::uint32_t owner;  // list id, or 0
    std::uint64_t generation;
};

// Where a backend last met the pages of an index in shared buffers. To pin a page there spares the
// look-up in the buffer table, which was half of what a pin costs; a place that is no longer right
// costs a comparison.
class RecentBuffers {
  public:
    Buffer Pin(Relation index, BlockNumber number, MemoryContext context);
    // Where the page probably lies, to be prefetched and not to be read; nullptr: unknown.
    const std::uint8_t* Guess(BlockNumber number) const;

  private:
    Buffer* buffers_;  // [count_]
    BlockNumber count_;
    std::uint32_t turn_;
};

// Pins, locks and checks a page; damage is an ERROR that names index and block.
LockedPage LockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner);

// The same for a scan, in share mode. The snapshot is there for old_snapshot_threshold.
struct ScanPages {
    Relation index;
    Snapshot snapshot;
    RecentBuffers* recent;
    MemoryContext recent_context;

    LockedPage Lock(BlockNumber number, const PageOwner& owner) const;
    // Asks the processor for bytes of a page, and for its header and tail, if it knows the place.
    void Prefetch(BlockNumber number, std::size_t offset, std::size_t size) const;
};
void UnlockPage(LockedPage& page);

// The page if it is one of ours, whatever its kind, for walks by number: false (and unlocked) for
// an all-zero page, which a crash between extension and WAL leaves.
bool LockAnyPage(Relation index, BlockNumber number, LockedPage& page);

// Extends the relation; the new page is locked exclusively and still all zeros.
LockedPage ExtendIndex(Relation index, ForkNumber fork = MAIN_FORKNUM);

// Makes an empty page: header, tail, pd_lower at the payload.
void InitPage(std::uint8_t* bytes, const PageOwner& owner, std::uint32_t ordinal);
// Raises pd_lower to `end` if it is below.
void CoverTo(std::uint8_t* bytes, std::size_t end);
std::uint32_t PayloadCrc(const std::uint8_t* bytes);

// One WAL record that changes up to four exclusively locked pages, all or nothing. Changes go to
// the copies that Add returns. Nothing may fail between Add and Commit but by ERROR.
class Change {
  public:
    explicit Change(Relation index);
    std::uint8_t* Add(const LockedPage& page, bool is_new = false);
    void Commit();

  private:
    GenericXLogState* state_;
};

// ---- building: pages that nobody else can see yet, logged once at the end ----

// `count` new empty pages of one chain, one after the other on disk. Returns the first.
BlockNumber ExtendChain(Relation index, ForkNumber fork, const PageOwner& owner,
                        std::uint32_t count);
// Appends bytes to a chain whose pages exist already. Holds no lock between two calls, so that a
// build can be cancelled.
class ChainWriter {
  public:
    ChainWriter(Relation index, ForkNumber fork, BlockNumber first)
        : index_(index), fork_(fork), page_(first) {}
    // Bytes that go on in the following pages where they must.
    void Write(const void* bytes, std::size_t size);
    // A block: prefix, factors, codes; each of the first two kept whole on one page.
    void WriteBlock(const std::uint8_t* prefix, ConstByteSpan factors, ConstByteSpan codes);

  private:
    void Turn();
    void Fit(std::size_t size);

    Relation index_;
    ForkNumber fork_;
    BlockNumber page_;
    BlockNumber head_page_ = InvalidBlockNumber;  // of the block being written
    std::size_t at_ = ivf::kPayloadAt;
};
// WAL for everything built, when the relation needs it (always for an init fork).
void LogBuild(Relation index, ForkNumber fork);

}  // namespace quantvec::pg
