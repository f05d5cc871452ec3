// Pages of an index: pin, lock, take, change with WAL. This folder alone calls the buffer manager
// and WAL; most of it goes through this file.
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

// Pins, locks and checks a page. false, and nothing is locked: it belongs to something else by now,
// so whoever named it is out of date (or damaged, if it still does after another look).
bool TryLockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                 LockedPage& page, BufferAccessStrategy strategy = nullptr);
// The same where nothing else may be: damage is an ERROR that names index and block.
LockedPage LockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                    BufferAccessStrategy strategy = nullptr);

void UnlockPage(LockedPage& page);

// The page if it is one of ours, whatever its kind, for walks by number: false (and unlocked) for
// an all-zero page, which a crash between extension and WAL leaves.
bool LockAnyPage(Relation index, BlockNumber number, LockedPage& page,
                 BufferAccessStrategy strategy = nullptr);

// A page for anything: one that the free space map knows, or a new one. (If the map is wrong,
// somebody may still be on the way to a page that was given up: he finds out by TryLockPage.) It is
// locked exclusively, and what it holds has to be overwritten whole before it is unlocked.
LockedPage AllocatePage(Relation index);

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

// WAL for everything built, when the relation needs it (always for an init fork).
void LogBuild(Relation index, ForkNumber fork);

// Pages of the index; all below were locked by whoever extended it, or are in use.
BlockNumber PagesOf(Relation index);

// ---- for the files beside this one ----

// The page as the server has it.
inline Page PageOf(std::uint8_t* bytes) {
    return reinterpret_cast<Page>(bytes);
}
// Locks a page that is pinned already.
LockedPage LockPinned(Buffer buffer, BlockNumber number, Access access);
// Pins and locks a page of any fork, whatever is on it.
LockedPage LockUnchecked(Relation index, ForkNumber fork, BlockNumber number, Access access,
                         BufferAccessStrategy strategy = nullptr);
// Is it the owner's? What is not a page of this access method at all is damage.
bool IsOwnedBy(Relation index, const LockedPage& page, const PageOwner& owner);

}  // namespace quantvec::pg
