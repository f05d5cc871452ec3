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

// Where a backend last met the pages of an index in shared buffers, and what came behind them in their
// chains. To pin a page there spares the look-up in the buffer table, which was half of what a pin costs; to
// know the next page spares a lock of the one before it. What is no longer right costs a comparison.
class RecentPages {
  public:
    Buffer Pin(Relation index, BlockNumber number, MemoryContext context);
    // Where the page probably lies, to be prefetched and not to be read; nullptr: unknown.
    const std::uint8_t* Guess(BlockNumber number) const;
    // The page that probably follows; kNoPage: unknown.
    BlockNumber Next(BlockNumber number) const {
        return number < count_ ? pages_[number].next : ivf::kNoPage;
    }
    void NoteNext(BlockNumber number, BlockNumber next) {
        if (number < count_) pages_[number].next = next;
    }

  private:
    struct Recent {
        Buffer buffer;
        BlockNumber next;
    };
    Recent* pages_;  // [count_]
    BlockNumber count_;
    std::uint32_t turn_;
};

// Pins, locks and checks a page. false, and nothing is locked: it belongs to something else by now, so
// whoever named it is out of date (or damaged, if it still does after another look).
bool TryLockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                 LockedPage& page, BufferAccessStrategy strategy = nullptr);
// The same where nothing else may be: damage is an ERROR that names index and block.
LockedPage LockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                    BufferAccessStrategy strategy = nullptr);

// The same for a scan, in share mode. The snapshot is there for old_snapshot_threshold.
struct ScanPages {
    Relation index;
    Snapshot snapshot;
    RecentPages* recent;
    MemoryContext recent_context;

    bool TryLock(BlockNumber number, const PageOwner& owner, LockedPage& page) const;
    // Asks the processor for bytes of a page, and for its header and tail, if it knows the place.
    void Prefetch(BlockNumber number, std::size_t offset, std::size_t size) const;
};
void UnlockPage(LockedPage& page);

// The page if it is one of ours, whatever its kind, for walks by number: false (and unlocked) for
// an all-zero page, which a crash between extension and WAL leaves.
bool LockAnyPage(Relation index, BlockNumber number, LockedPage& page,
                 BufferAccessStrategy strategy = nullptr);

// A page for anything: one that the free space map knows, or a new one. (If the map is wrong, somebody may
// still be on the way to a page that was given up: he finds out by TryLockPage.) It is
// locked exclusively, and what it holds has to be overwritten whole before it is unlocked.
LockedPage TakePage(Relation index);

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

// ---- whole chains ----

// How a chain's pages get into the index. Not logged: by LogBuild in the end, into an index that
// nobody else can see yet. Logged: each by a WAL record of its own, once it is full; until something
// names the chain, nobody reads it, and a crash leaves pages that the next VACUUM frees.
struct NewPages {
    Relation index;
    ForkNumber fork;
    bool logged;
};

// `count` new pages, one after the other on disk, still all zeros. Returns the first.
BlockNumber ExtendRun(const NewPages& to, std::uint32_t count);

// Writes a chain from its beginning, page by page. Holds no lock between two calls, so that it can be
// cancelled.
class ChainWriter {
  public:
    // Into a run of pages ..
    ChainWriter(const NewPages& to, const PageOwner& owner, BlockNumber first, std::uint32_t pages);
    // .. or, logged, into whatever TakePage gives: `expected` pages are taken at once, from the current
    // context's memory, so that they have a chance to follow each other on disk.
    ChainWriter(const NewPages& to, const PageOwner& owner, std::uint32_t expected);

    // Bytes that go on in the following pages where they must.
    void Write(const void* bytes, std::size_t size);
    // A block: prefix, factors, codes; each of the first two kept whole on one page.
    void WriteBlock(const std::uint8_t* prefix, ConstByteSpan factors, ConstByteSpan codes);
    // Where the next byte goes.
    struct Place {
        BlockNumber page;
        std::size_t offset;
    };
    Place Here();
    // Nothing is written for good before. Pages that were laid out or taken and not reached stay empty.
    void Close();

    BlockNumber first() const { return first_; }
    BlockNumber last() const { return number_; }  // once closed
    // So many pages from the first follow each other on disk.
    std::uint32_t contiguous() const { return contiguous_; }

  private:
    BlockNumber Claim();
    BlockNumber PageAt(std::uint32_t ordinal);
    void Begin(BlockNumber number, std::uint32_t ordinal);
    void Flush();
    void Turn();
    void Fit(std::size_t size);

    NewPages to_;
    PageOwner owner_;
    BlockNumber first_;
    std::uint32_t run_;             // pages laid out; 0: they are taken
    BlockNumber* taken_ = nullptr;  // [taken_count_]
    std::uint32_t taken_count_ = 0;
    std::uint32_t contiguous_ = 1;
    BlockNumber number_;                          // of the page being written
    BlockNumber head_page_ = InvalidBlockNumber;  // of the block being written
    std::size_t at_;
    PGAlignedBlock page_;
};

// WAL for everything built, when the relation needs it (always for an init fork).
void LogBuild(Relation index, ForkNumber fork);

// ---- pages that nothing needs any more ----

// Pages on their way from a chain that was given up to the free space map. They may be used again once
// every snapshot of this database that was there when they were given up is gone: until then a scan
// may still be on its way through the chain. (One on a standby finds out: TryLockPage.)
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
    std::uint32_t waiting() const { return static_cast<std::uint32_t>(count_); }

  private:
    Relation index_;
    MemoryContext context_;
    BlockNumber* pages_;  // [count_]; the first watched_ wait for the snapshots
    std::size_t count_, capacity_, watched_;
    VirtualTransactionId* snapshots_;
    int snapshot_count_;
    std::uint32_t released_;
};
// What a page that is given up is stamped with.
std::uint64_t DeletionStamp();

// ---- who may move rows ----

// Held exclusively by a VACUUM that moves rows to other pages, in share mode by who wants none to move
// (quantvec_check). None of the table's own locks, as CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY have
// one that VACUUM waits for, and wait for whoever has a snapshot: a statement that waited for them would be a
// deadlock. Not on a standby. false: it is taken, and there was to be no waiting.
bool LockMoves(Relation index, Access access, bool wait = true);
void UnlockMoves(Relation index, Access access);

// ---- the switch to a new model ----

// Held exclusively from the first list that is sealed until the metapage names the new model. Who meets
// a sealed list waits for it in share mode: afterwards either there is a new model, or who sealed the
// list has died, and it may be opened again. A heavyweight lock, since waiting must be cancellable, and
// since it goes with the transaction of who dies.
void LockSwitch(Relation index, Access access);
void UnlockSwitch(Relation index, Access access);

// Pages of the index; all below were locked by whoever extended it, or are in use.
BlockNumber PagesOf(Relation index);

}  // namespace quantvec::pg
