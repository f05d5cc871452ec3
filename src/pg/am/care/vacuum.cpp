// ambulkdelete and amvacuumcleanup.
//
// Bulk delete clears the live bits of dead rows, and nothing moves meanwhile: all that moves rows
// is in cleanup, and the lock that VACUUM has on the table keeps a second one out.
//
//   0 nothing, if nothing has happened since the last VACUUM                     (notes.h)
//   1 walk all pages by number: what does each list have, and which pages does nothing name
//   2 train the index, if it never was, or if it has grown by ten, shrunk to a tenth, or its lists
//     do not fit the rows any more (retrain.h, drift.h); else give lists with many dead slots new
//     chains (compact.h)
//   3 tell the directory how many rows its lists have, where that has changed by an eighth
//   4 pages that nobody can be reading any more go to the free space map
//
// Each list's chain is walked from its first page, one lock at a time. Rows only ever go
// into slots behind those in use, and no row changes its slot, so a row that was there when the
// walk began is met. CREATE INDEX CONCURRENTLY validates through here as well.
#include "core/ivf/block_walk.h"
#include "pg/am/am.h"
#include "pg/am/care/drift.h"
#include "pg/am/care/retrain.h"
#include "pg/am/storage/locks.h"
#include "pg/am/storage/model_cache.h"
#include "pg/am/storage/model_read.h"
#include "pg/am/storage/retired.h"
#include "pg/compat.h"
#include "pg/debug_point.h"
#include "pg/error.h"
#include "pg/memory.h"
#include "pg/subtransaction.h"

namespace quantvec::pg {

namespace {

// ---- bulk delete ----

struct BulkDelete {
    IndexVacuumInfo* info;
    IndexBulkDeleteResult* stats;
    IndexBulkDeleteCallback callback;
    void* state;
    const Model* model;
    bool has_told;  // that there is something to do for the cleanup
};

// Slots of a block whose rows are dead.
std::uint32_t DeadSlots(const BulkDelete& v, const std::uint8_t* block) {
    std::uint32_t dead = 0;
    for (std::uint32_t live = ivf::HeadAt(block)->live; live != 0; live &= live - 1) {
        const int slot = __builtin_ctz(live);
        const ivf::RowPointer& p = ivf::PointersOf(block)[slot];
        ItemPointerData tid;
        tid.ip_blkid = {p.block_hi, p.block_lo};
        tid.ip_posid = p.offset;
        if (v.callback(&tid, v.state)) dead |= 1u << slot;
    }
    return dead;
}

// The cleanup may not come, if the server dies, and the next VACUUM finds no dead rows any more.
void TellCleanup(BulkDelete& v) {
    if (v.has_told) return;
    v.has_told = true;
    VacuumNotes notes = ReadNotes(v.info->index, v.model->meta);
    if (notes.pages == 0) return;
    notes.pages = 0;
    WriteNotes(v.info->index, notes);
}

// Clears the live bits of dead rows of a page, which is locked in share mode, and exclusively only
// if there is something to clear. In between rows may come, behind those that were looked at; none
// may go, nor the page. Leaves it locked.
void VacuumPage(BulkDelete& v, LockedPage& page, const PageOwner& owner) {
    const ivf::BlockLayout& layout = v.model->layout;
    const std::size_t blocks = page.tail().blocks;
    std::uint32_t dead[ivf::kPayloadBytes / ivf::kPrefixBytes];
    bool any = false;
    for (std::size_t i = 0; i < blocks; i++) {
        const std::uint8_t* block = BlockOnPage(v.info->index, layout, page.bytes, page.number, i);
        dead[i] = DeadSlots(v, block);
        any = any || dead[i] != 0;
        const std::uint32_t live = ivf::HeadAt(block)->live;
        v.stats->tuples_removed += __builtin_popcount(dead[i]);
        v.stats->num_index_tuples += __builtin_popcount(live & ~dead[i]);
    }
    if (!any) return;
    const BlockNumber number = page.number;
    UnlockPage(page);
    TellCleanup(v);
    page = LockPage(v.info->index, number, Access::kExclusive, owner, v.info->strategy);
    Change change(v.info->index);
    std::uint8_t* bytes = change.Add(page);
    for (std::size_t i = 0; i < blocks; i++)
        ivf::HeadAt(bytes + ivf::HeadOffset(layout, page.tail(), i))->live &= ~dead[i];
    change.Commit();
}

// ---- cleanup ----

// Is this VACUUM (VERBOSE)? The server tells an access method no more than the statement that is
// running does.
bool IsVerbose() {
    if (!ActivePortal || !ActivePortal->stmts) return false;
    const Node* statement = linitial_node(PlannedStmt, ActivePortal->stmts)->utilityStmt;
    if (!statement || !IsA(statement, VacuumStmt)) return false;
    ListCell* cell;
    foreach (cell, reinterpret_cast<const VacuumStmt*>(statement)->options) {
        auto* option = lfirst_node(DefElem, cell);
        if (strcmp(option->defname, "verbose") == 0) return defGetBoolean(option);
    }
    return false;
}

// The level of a line that says what was done.
int LevelOfNews() {
    return IsVerbose() ? INFO : LOG;
}

double SecondsSince(TimestampTz begin) {
    return static_cast<double>(GetCurrentTimestamp() - begin) / 1e6;
}

struct CleanUpState {
    IndexVacuumInfo* info;
    Model* model;
    Retired retired;
    BlockNumber pages;  // walked
    ListUse* lists;     // [lists]
    RowSample sample;
};

void CountPage(CleanUpState& c, const LockedPage& page, std::uint32_t list) {
    ListUse& use = c.lists[list];
    const ivf::PageTail& tail = page.tail();
    use.pages++;
    if (tail.kind != ivf::PageKind::kScan) return;
    for (std::size_t i = 0; i < tail.blocks; i++) {
        const std::uint8_t* block =
            BlockOnPage(c.info->index, c.model->layout, page.bytes, page.number, i);
        const ivf::BlockHead& head = *ivf::HeadAt(block);
        SampleBlock(c.sample, block, list);
        use.used += head.used;
        use.live += __builtin_popcount(head.live);
    }
}

// Walks all pages by number: counts what the lists have, and retires what nothing names: pages of
// chains and models that were given up, or never came into use. Returns the live rows.
double Survey(CleanUpState& c) {
    Relation index = c.info->index;
    c.model = AcquireModel(index, CurrentMemoryContext, true);
    RefreshEntries(index, *c.model);
    c.retired.Begin(index, CurrentMemoryContext);
    c.lists = NewZeroedArray<ListUse>(c.model->meta.lists);
    BeginSample(c.sample, c.model->meta.build_id);
    c.pages = PagesOf(index);
    for (BlockNumber number = 0; number < c.pages; number++) {
        VacuumDelay();
        LockedPage page;
        if (!LockAnyPage(index, number, page, c.info->strategy)) {
            c.retired.Add(number);
            continue;
        }
        const ivf::PageTail tail = page.tail();
        std::uint32_t list = 0;
        const bool current = tail.deleted_at == 0 && IsCurrentPage(*c.model, tail, &list);
        if (current && (tail.kind == ivf::PageKind::kScan || tail.kind == ivf::PageKind::kRefine))
            CountPage(c, page, list);
        UnlockPage(page);
        if (tail.deleted_at != 0) {
            c.retired.Add(number);
        } else if (!current) {
            DEBUG_POINT("survey_stamp");
            c.retired.Stamp(number, {tail.kind, tail.owner, tail.generation});
        }
    }
    c.retired.Release();
    double rows = 0;
    for (std::uint32_t i = 0; i < c.model->meta.lists; i++)
        rows += static_cast<double>(c.lists[i].live);
    return rows;
}

// Is a count of rows an eighth off?
bool IsFarOff(std::uint64_t noted, std::uint64_t live) {
    const std::uint64_t difference = noted > live ? noted - live : live - noted;
    return 8 * difference > noted;
}

// Tells the directory how many rows lists have, where it is far off: one record a page of the
// directory.
void NoteRows(CleanUpState& c) {
    const std::uint32_t lists = c.model->meta.lists;
    const std::uint32_t entry_bytes = c.model->meta.entry_bytes;
    const std::uint32_t a_page = static_cast<std::uint32_t>(ivf::kPayloadBytes) / entry_bytes;
    ivf::ListEntry* entries = c.model->entries;
    const auto each = [&](std::uint32_t first, auto take) {
        const std::uint32_t end = Min(lists, first + a_page);
        for (std::uint32_t i = first; i < end; i++)
            if (IsFarOff(entries[i].rows, c.lists[i].live)) take(i);
    };
    for (std::uint32_t first = 0; first < lists; first += a_page) {
        VacuumDelay();
        bool any = false;
        each(first, [&](std::uint32_t) { any = true; });
        if (!any) continue;
        LockedPage page =
            LockPage(c.info->index, PlaceOfEntry(*c.model, first).page, Access::kExclusive,
                     {ivf::PageKind::kDirectory, 0, c.model->meta.directory.generation});
        Change change(c.info->index);
        std::uint8_t* bytes = change.Add(page);
        // Inserters change other fields of an entry; rows are VACUUM's.
        each(first, [&](std::uint32_t i) {
            std::uint8_t* stored = bytes + PlaceOfEntry(*c.model, i).offset;
            ivf::ListEntry entry = ivf::LoadEntry(stored, entry_bytes);
            entry.rows = entries[i].rows = c.lists[i].live;
            ivf::StoreEntry(entry, entry_bytes, stored);
        });
        change.Commit();
        UnlockPage(page);
    }
}

// Gives lists new chains; false: none wants one. As with training, what fails, for want of space
// perhaps, is a WARNING.
bool CompactLists(CleanUpState& c) {
    const TimestampTz begin = GetCurrentTimestamp();
    Compaction compaction;
    BeginCompaction(compaction, c.info->index, c.model, &c.retired, c.info->strategy);
    bool wanted = false;
    const auto compact = [&] {
        for (std::uint32_t list = 0; list < c.model->meta.lists; list++) {
            if (!WantsCompaction(c.model->layout, c.lists[list])) continue;
            wanted = true;
            CompactList(compaction, list, c.lists[list].live);
            c.lists[list].live = c.model->entries[list].rows;
            c.retired.Release();
        }
    };
    if (const ErrorData* error = TryStep(compact, StepRuns::kOwnCode)) {
        wanted = true;  // whatever the jump has made of it
        ereport(WARNING, (errcode(error->sqlerrcode),
                          errmsg("could not write lists of index \"%s\" anew: %s",
                                 RelationGetRelationName(c.info->index), error->message),
                          error->hint ? errhint("%s", error->hint) : 0));
    }
    if (compaction.lists == 0) return wanted;
    ereport(LevelOfNews(),
            (errhidestmt(true), errhidecontext(true),
             errmsg("index \"%s\": %lld of %u lists written anew with %lld rows in %.1f s",
                    RelationGetRelationName(c.info->index),
                    static_cast<long long>(compaction.lists), c.model->meta.lists,
                    static_cast<long long>(compaction.rows), SecondsSince(begin))));
    return true;
}

// Trains the index. false: it could not be done, and everything is as before; a WARNING says why. A
// training that fails must not keep the rest of VACUUM from its work, freezing above all.
bool Train(CleanUpState& c) {
    const TimestampTz begin = GetCurrentTimestamp();
    Relation index = c.info->index;
    // VACUUM has it locked.
    Relation heap = table_open(index->rd_index->indrelid, NoLock);
    const int kilobytes =
        IsAutovacuum() && autovacuum_work_mem != -1 ? autovacuum_work_mem : maintenance_work_mem;
    const Retrained trained = TryRetrain(
        heap, index, *c.model, static_cast<std::size_t>(kilobytes) * 1024, c.info->strategy);
    table_close(heap, NoLock);
    if (trained.lists == 0) return false;
    ereport(LevelOfNews(),
            (errhidestmt(true), errhidecontext(true),
             errmsg("index \"%s\" was trained with %u lists for %llu rows in %.1f s",
                    RelationGetRelationName(index), trained.lists,
                    static_cast<unsigned long long>(trained.rows), SecondsSince(begin))));
    return true;
}

std::uint64_t SlotsOf(const CleanUpState& c) {
    std::uint64_t slots = 0;
    for (std::uint32_t i = 0; i < c.model->meta.lists; i++) slots += c.lists[i].used;
    return slots;
}

std::uint64_t GenerationsOf(const Model& model) {
    std::uint64_t generations = 0;
    for (std::uint32_t i = 0; i < model.meta.lists; i++) generations += model.entries[i].generation;
    return generations;
}

// Slots of a list that were taken so far, by the end of its chain alone. false: it is not as it
// should be, which is for others to say.
bool CountSlots(const IndexVacuumInfo* info, const Model& model, const ivf::ListEntry& entry,
                std::uint64_t* slots) {
    BlockNumber at = entry.scan_last;
    bool behind_head = false;  // the last page has codes only, and the head of its block is before
    std::uint32_t ordinal = 0;
    for (bool first = true;; first = false) {
        VacuumDelay();
        LockedPage page;
        if (!TryLockPage(info->index, at, Access::kShare, ScanOwner(entry), page, info->strategy))
            return false;
        const ivf::PageTail tail = page.tail();
        const bool counts = tail.blocks > 0 && (behind_head || tail.next == ivf::kNoPage);
        if (counts) {
            const ivf::BlockHead& head = *ivf::HeadAt(BlockOnPage(
                info->index, model.layout, page.bytes, at, std::size_t{tail.blocks} - 1));
            *slots += std::uint64_t{head.ordinal} * ivf::kBlockRows + head.used;
        }
        UnlockPage(page);
        if (counts) return true;
        if (behind_head || (!first && tail.ordinal != ordinal + 1)) return false;
        ordinal = tail.ordinal;
        if (tail.next != ivf::kNoPage) {
            at = tail.next;
        } else if (tail.head_page != ivf::kNoPage) {
            at = tail.head_page;
            behind_head = true;
        } else {
            return true;  // no row has come yet
        }
    }
}

// Has nothing happened to the index since a VACUUM that left nothing to be done? Two pages a list
// tell it.
bool NothingIsNew(IndexVacuumInfo* info) {
    Relation index = info->index;
    Model* model = AcquireModel(index, CurrentMemoryContext, true);
    const VacuumNotes notes = ReadNotes(index, model->meta);
    if (notes.pages == 0 || notes.pages != PagesOf(index)) return false;
    // Options may have changed.
    if (CauseOfTraining(index, model->meta, notes) != Cause::kNone) return false;
    RefreshEntries(index, *model);
    if (GenerationsOf(*model) != notes.generations) return false;
    std::uint64_t slots = 0;
    for (std::uint32_t i = 0; i < model->meta.lists; i++)
        if (!CountSlots(info, *model, model->entries[i], &slots)) return false;
    return slots == notes.slots;
}

double MeasureDrift(CleanUpState& c) {
    // VACUUM has it locked.
    Relation heap = table_open(c.info->index->rd_index->indrelid, NoLock);
    const double drift = Drift(heap, c.info->index, *c.model, c.lists, c.sample);
    table_close(heap, NoLock);
    return drift;
}

// Trains the index if there is a cause. The notes are of the model that it has then.
bool TrainIfDue(CleanUpState& c, VacuumNotes& notes) {
    const Cause cause = CauseOfTraining(c.info->index, c.model->meta, notes);
    if (cause == Cause::kNone) return false;
    if (cause == Cause::kDrift && !HasDrifted(notes, MeasureDrift(c))) {
        notes.changed = 0;
        return false;
    }
    if (!Train(c)) return false;
    const double rows = Survey(c);
    notes = ReadNotes(c.info->index, c.model->meta);
    notes.rows = static_cast<std::uint64_t>(rows);
    notes.drift = static_cast<float>(Max(MeasureDrift(c), 0.0));
    // What a table leaves that has shrunk will hardly be filled again.
    if (cause != Cause::kShrunk) notes.freed = c.retired.waiting() + c.retired.released();
    return true;
}

void CleanUp(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
    CleanUpState c = {};
    c.info = info;
    // Autovacuum comes again.
    const bool may_move = LockMoves(info->index, Access::kExclusive, !IsAutovacuum());
    const double rows = Survey(c);
    DEBUG_POINT("survey_done");
    const VacuumNotes before = ReadNotes(info->index, c.model->meta);
    VacuumNotes notes = before;
    CountChanges(notes, static_cast<std::uint64_t>(rows),
                 static_cast<std::uint64_t>(stats->tuples_removed));
    bool moved = true;
    if (may_move) {
        moved = TrainIfDue(c, notes) || CompactLists(c);
        UnlockMoves(info->index, Access::kExclusive);
    }
    NoteRows(c);
    c.retired.Release();
    notes.pages = moved || c.retired.waiting() > 0 ? 0 : c.pages;
    notes.slots = notes.pages == 0 ? 0 : SlotsOf(c);
    notes.generations = notes.pages == 0 ? 0 : GenerationsOf(*c.model);
    if (memcmp(&notes, &before, sizeof notes) != 0) WriteNotes(info->index, notes);
    stats->num_index_tuples = static_cast<double>(notes.rows);
    stats->num_pages = RelationGetNumberOfBlocks(info->index);
    stats->pages_newly_deleted = stats->pages_deleted = c.retired.waiting();
    stats->pages_free = c.retired.released();
}

}  // namespace

IndexBulkDeleteResult* AmBulkDelete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                    IndexBulkDeleteCallback callback, void* state) {
    if (!stats) stats = New<IndexBulkDeleteResult>();
    // Called again for each batch of dead rows: the rows left are those of the last pass.
    stats->num_index_tuples = 0;
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec vacuum", ALLOCSET_SMALL_SIZES);
    BulkDelete v = {info, stats, callback, state, AcquireModel(info->index, context, true), false};
    for (std::uint32_t i = 0; i < v.model->meta.lists; i++) {
        const ivf::ListEntry entry = ReadEntry(info->index, *v.model, i);
        std::uint32_t ordinal = 0;
        for (BlockNumber at = entry.scan_first; at != ivf::kNoPage; ordinal++) {
            VacuumDelay();
            LockedPage page =
                LockPage(info->index, at, Access::kShare, ScanOwner(entry), info->strategy);
            if (page.tail().ordinal != ordinal)
                ReportCorruption(info->index, at, "a chain is out of order");
            VacuumPage(v, page, ScanOwner(entry));
            at = page.tail().next;
            UnlockPage(page);
        }
    }
    MemoryContextDelete(context);
    return stats;
}

IndexBulkDeleteResult* AmVacuumCleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
    if (info->analyze_only) return stats;
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec vacuum", ALLOCSET_DEFAULT_SIZES);
    const MemoryScope scope(context);
    // Without stats no row was dead.
    if (stats || !NothingIsNew(info)) {
        if (!stats) stats = NewIn<IndexBulkDeleteResult>(scope.outer());
        CleanUp(info, stats);
    }
    scope.Leave();
    MemoryContextDelete(context);
    return stats;
}

}  // namespace quantvec::pg
