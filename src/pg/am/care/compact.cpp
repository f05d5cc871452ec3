// One list gets a new chain without its dead slots (compact.h has the steps).
#include "pg/am/care/compact.h"

#include "core/ivf/block_walk.h"
#include "pg/am/storage/model_read.h"
#include "pg/compat.h"
#include "pg/debug_point.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// A list is written anew if this share of its slots is dead, and if that gives pages back. After 20
// rounds of replacing a tenth of the rows, wordnet-384 and fashion-mnist (bench/churn.py):
//
//     dead share  slots dead on average  file, of a fresh one's  WAL of a VACUUM, MB, with images
//        .15             .056                  1.18                   25 / 25
//        .10             .040                  1.15                   26 / 29
//        .07             .014                  1.12                   37 / 39
//
constexpr double kDeadShare = 0.10;
// A list is also written anew if it has this many times the pages that its rows need.
constexpr double kPagesTooMany = 1.5;

// At most this many rows are copied while inserters wait, unless this many rounds leave more.
constexpr std::size_t kFewRows = 64;
constexpr int kRounds = 8;

// The new chain as a list that grows, before the directory knows it.
GrowingList Unlisted(const Compaction& c, const ivf::ListEntry& entry, std::uint32_t* tail) {
    return {c.index, &c.model->layout, entry, {InvalidBlockNumber, 0}, 0, tail};
}

// The rows that the reader has next go behind those that were copied. Returns how many.
std::size_t CopyNew(Compaction& c, const ivf::ListEntry& old, const GrowingList& fresh,
                    const LockedPage* held) {
    std::size_t copied = 0;
    c.reader->Open(old, c.reader->position(), held != nullptr, held);
    while (c.reader->Next()) {
        for (std::uint32_t left = c.reader->rows(); left != 0; left &= left - 1) {
            const auto slot = static_cast<std::uint32_t>(__builtin_ctz(left));
            c.reader->Row(slot, c.row);
            if (AppendRow(fresh, c.reader->pointer(slot), c.row) != Appended::kDone)
                elog(ERROR, "quantvec: a chain that nobody knows was moved");
            copied++;
        }
    }
    return copied;
}

// Writes all live rows of the old chain into a new one.
ivf::ListEntry CopyList(Compaction& c, const ivf::ListEntry& old, std::uint64_t live) {
    ivf::ListEntry fresh = old;
    fresh.generation++;
    const ivf::BlockLayout& layout = c.model->layout;
    const NewPages to = {c.index, MAIN_FORKNUM, true};
    ChainWriter scan(to, ScanOwner(fresh), ivf::ScanPagesFor(layout, live));
    ChainWriter* refine = nullptr;
    if (layout.refine_row_bytes > 0)
        refine = New<ChainWriter>(to, RefineOwner(fresh), ivf::RefinePagesFor(layout, live));
    ListWriter writer(layout, fresh, c.room, &scan, refine);
    fresh.rows = 0;
    c.reader->Open(old, ListReader::Start(old));
    while (c.reader->Next()) {
        VacuumDelay();
        for (std::uint32_t left = c.reader->rows(); left != 0; left &= left - 1) {
            const auto slot = static_cast<std::uint32_t>(__builtin_ctz(left));
            c.reader->Row(slot, c.row);
            writer.Add(c.reader->pointer(slot), c.row);
            fresh.rows++;
        }
    }
    writer.Close(fresh);
    return fresh;
}

// One record: the directory names the new chain, and nobody enters the old one, neither at its
// first page nor at the one where it grows (`growth`, locked).
void Flip(Compaction& c, std::uint32_t list, const ivf::ListEntry& old, const ivf::ListEntry& fresh,
          const LockedPage& growth) {
    const bool one_page = growth.number == old.scan_first;
    LockedPage first;
    // Others hold one page of a chain at a time, or wait for `growth` before they hold any.
    if (!one_page) first = LockPage(c.index, old.scan_first, Access::kExclusive, ScanOwner(old));
    const EntryPlace place = PlaceOfEntry(*c.model, list);
    LockedPage directory =
        LockPage(c.index, place.page, Access::kExclusive,
                 {ivf::PageKind::kDirectory, 0, c.model->meta.directory.generation});
    const std::uint64_t stamp = DeletionStamp();
    Change change(c.index);
    ivf::TailOf(change.Add(growth))->deleted_at = stamp;
    if (!one_page) ivf::TailOf(change.Add(first))->deleted_at = stamp;
    ivf::StoreEntry(fresh, c.model->meta.entry_bytes, change.Add(directory) + place.offset);
    change.Commit();
    UnlockPage(directory);
    if (!one_page) UnlockPage(first);
}

// Stamps the pages of a chain behind the first. `next`: what the first names.
void RetireChain(Relation index, BlockNumber next, const PageOwner& owner, Retired& retired) {
    while (next != ivf::kNoPage) {
        VacuumDelay();
        const BlockNumber at = next;
        LockedPage page;
        // What a crash has left half done, the walk by number finds.
        if (!LockAnyPage(index, at, page)) return;
        next = page.tail().next;
        const bool ours = page.tail().owner == owner.owner &&
                          page.tail().generation == owner.generation &&
                          page.tail().kind == owner.kind;
        const bool stamped = page.tail().deleted_at != 0;
        UnlockPage(page);
        if (!ours) return;
        DEBUG_POINT("compact_retire");
        if (stamped)
            retired.Add(at);
        else
            retired.Stamp(at, owner);
    }
}

}  // namespace

bool WantsCompaction(const ivf::BlockLayout& layout, const ListUse& use) {
    const double needed =
        ivf::ScanPagesFor(layout, use.live) + ivf::RefinePagesFor(layout, use.live);
    const auto dead = static_cast<double>(use.used - use.live);
    return use.pages > needed && (dead >= kDeadShare * static_cast<double>(use.used) ||
                                  use.pages > kPagesTooMany * needed + 1);
}

void BeginCompaction(Compaction& c, Relation index, Model* model, Retired* retired,
                     BufferAccessStrategy strategy) {
    c = {};
    c.index = index;
    c.model = model;
    c.retired = retired;
    c.room = AllocateBlockRoom(model->layout);
    c.row = AllocateRow(model->layout);
    c.reader = New<ListReader>();
    c.reader->Begin(index, model->layout, strategy);
    c.context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec compaction", ALLOCSET_DEFAULT_SIZES);
}

void CompactList(Compaction& c, std::uint32_t list, std::uint64_t live) {
    const MemoryScope scope(c.context);
    const ivf::ListEntry old = ReadEntry(c.index, *c.model, list);
    DEBUG_POINT("compact_begin");
    ivf::ListEntry fresh = CopyList(c, old, live);
    DEBUG_POINT("compact_copied");
    std::uint32_t tail = fresh.scan_last;
    const GrowingList growing = Unlisted(c, fresh, &tail);
    std::size_t copied = kFewRows;
    for (int round = 0; copied >= kFewRows && round < kRounds; round++) {
        copied = CopyNew(c, old, growing, nullptr);
        fresh.rows += copied;
    }
    DEBUG_POINT("compact_caught_up");
    c.model->entries[list] = old;
    c.model->tails[list] = old.scan_last;
    LockedPage growth = LockGrowth(GrowingListOf(c.index, *c.model, list));
    fresh.rows += CopyNew(c, old, growing, &growth);
    CRASH_POINT("compact_flip");
    Flip(c, list, old, fresh, growth);
    UnlockPage(growth);
    DEBUG_POINT("compact_flipped");
    c.model->entries[list] = fresh;
    c.model->tails[list] = fresh.scan_last;

    RetireList(c.index, old, *c.retired);
    c.lists++;
    c.rows += static_cast<std::int64_t>(fresh.rows);
    scope.Leave();
    MemoryContextReset(c.context);
}

void RetireList(Relation index, const ivf::ListEntry& entry, Retired& retired) {
    RetireChain(index, entry.scan_first, ScanOwner(entry), retired);
    RetireChain(index, entry.refine_first, RefineOwner(entry), retired);
}

}  // namespace quantvec::pg
