// quantvec_check(): proves that an index is sound, or names the first damage.
//
//   1 lock table and index: inserts and scans go on, VACUUM waits before it moves lists
//     (LockMoves). On a standby its replay does not: a list that has got another chain since is
//     walked again, and the whole index if it was trained
//   2 a snapshot, if the table is to be compared: it comes before the walk, so that every row it
//     sees had its entry when the walk began
//   3 the metapage, the model and the directory's pages, once                     (check_model.cpp)
//     all lists: their chains, every block; then all pages by number              (check_walk.cpp)
//   4 no row has two entries                                                      (check_table.cpp)
//   5 every row that the snapshot sees has one, and its code is what encoding it anew with the
//     stored model gives, byte for byte                                           (check_table.cpp)
//
// Memory: 16 bytes a row, within maintenance_work_mem; if that is too little, 3 to 5 are repeated
// for one part of the table after the other.
//
// What may look odd beside other sessions, and is not damage:
//
//   pages that no chain has      free ones; what a crash left of a chain that was to be, or of one
//                                that was given up; an extension under way: counted
//   a chain that ends in pages   made for a row that is not published yet, or never was
//   without blocks
//   anything in slots not used   garbage until the slot is published
//   a chain, a block that grew   what was published after the snapshot is not looked for; a block
//   between two looks            that contradicts the page before makes us look there again
//                                (check_walk.cpp)
//   two live slots for one row   VACUUM cleared the first after the walk had passed, and the table
//                                used the line pointer again: both are looked at again
#include "pg/am/inspect/check.h"

#include "pg/am/inspect/open.h"
#include "pg/am/storage/locks.h"
#include "pg/compat.h"
#include "pg/error.h"
#include "pg/memory.h"
#include "pg/subtransaction.h"

namespace quantvec::pg {

namespace {

void PermitOwner(Oid index, Oid) {
    if (!OwnsRelation(index, GetUserId()))
        aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, get_rel_name(index));
}

void Open(Check& c, Oid oid) {
    const OpenedIndex open = OpenIndex(oid, PermitOwner);
    c.index = open.index;
    c.table = open.table;
    c.moving = RecoveryInProgress();
    if (!c.moving) LockMoves(c.index, Access::kShare);
}

// An MVCC snapshot that may use the index: every row it sees has its entry.
Snapshot TakeSnapshot(const Check& c) {
    Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());
    // A new one may always. One of the whole transaction may be older than the index, which lacks
    // versions of rows that were updated before it was built.
    if (IsolationUsesXactSnapshot() && c.index->rd_index->indcheckxmin &&
        !TransactionIdPrecedes(HeapTupleHeaderGetXmin(c.index->rd_indextuple->t_data),
                               snapshot->xmin))
        ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                        errmsg("index \"%s\" is newer than the snapshot of this transaction",
                               RelationGetRelationName(c.index)),
                        errhint("Check it in a new transaction.")));
    return snapshot;
}

// Shows the check in pg_stat_progress_create_index, whose phases of index validation are those of a
// check: an extension has no view of its own. `command` is NULL there. An ERROR ends it. Within a
// command that shows its own progress, COPY perhaps, nothing is shown.
void BeginProgress(Check& c) {
    c.shows = MyBEEntry->st_progress_command == PROGRESS_COMMAND_INVALID;
    if (!c.shows) return;
    pgstat_progress_start_command(PROGRESS_COMMAND_CREATE_INDEX, RelationGetRelid(c.table));
    pgstat_progress_update_param(PROGRESS_CREATEIDX_INDEX_OID, RelationGetRelid(c.index));
    pgstat_progress_update_param(PROGRESS_CREATEIDX_ACCESS_METHOD_OID, c.index->rd_rel->relam);
}

// `blocks`: to be read in this phase.
void BeginPhase(Check& c, int phase, BlockNumber blocks, BlockNumber done) {
    c.walking = c.shows && phase == PROGRESS_CREATEIDX_PHASE_VALIDATE_IDXSCAN;
    if (!c.shows) return;
    const int params[] = {PROGRESS_CREATEIDX_PHASE, PROGRESS_SCAN_BLOCKS_TOTAL,
                          PROGRESS_SCAN_BLOCKS_DONE};
    const std::int64_t values[] = {phase, blocks, done};
    pgstat_progress_update_multi_param(lengthof(params), params, values);
}

void Measure(Check& c) {
    c.pages = c.first_pages = RelationGetNumberOfBlocks(c.index);
    c.table_pages = RelationGetNumberOfBlocks(c.table);
    c.reached = NewZeroedArray<std::uint8_t>(std::size_t{c.pages} / 8 + 1);
}

// Room for the rows of one round. No more rows than slots fit into the index.
void AllocateRows(Check& c) {
    const ivf::BlockLayout& layout = c.model->layout;
    const std::size_t block_bytes =
        layout.head_bytes + layout.quantizer->CodeBytesFor(layout.spec, 1);
    const std::size_t slots =
        std::size_t{c.pages} * (ivf::kPayloadBytes / block_bytes + 1) * ivf::kBlockRows;
    const std::size_t budget = static_cast<std::size_t>(maintenance_work_mem) * 1024;
    c.row_capacity = Max(Min(budget / sizeof(SeenRow), slots), std::size_t{1024});
    c.rows = NewArray<SeenRow>(c.row_capacity);
}

// Goes round until all rows had their turn. Returns what the first round has counted, and the
// table's rows of all.
CheckCounts GoRound(Check& c, Snapshot snapshot) {
    CheckCounts found = {};
    std::int64_t table_rows = 0;
    bool first = true;
    for (c.from = 0; first || c.from != kNoPointer; c.from = c.to) {
        c.to = kNoPointer;
        c.row_count = 0;
        c.counts = {};
        c.pages_read = c.model_pages;
        BeginPhase(c, PROGRESS_CREATEIDX_PHASE_VALIDATE_IDXSCAN, c.first_pages, c.pages_read);
        WalkPages(c);
        BeginPhase(c, PROGRESS_CREATEIDX_PHASE_VALIDATE_SORT, 0, 0);
        SortSeenRows(c);
        if (first) found = c.counts;
        first = false;
        if (c.with_table) {
            BeginPhase(c, PROGRESS_CREATEIDX_PHASE_VALIDATE_TABLESCAN, 0, 0);
            CheckTable(c, snapshot);
        }
        table_rows += c.counts.table_rows;
    }
    found.table_rows = table_rows;
    return found;
}

CheckCounts CheckOnce(Check& c, Snapshot snapshot) {
    c.meta = {};
    Measure(c);
    BeginProgress(c);
    c.pages_read = 0;
    BeginPhase(c, PROGRESS_CREATEIDX_PHASE_VALIDATE_IDXSCAN, c.first_pages, 0);
    CheckModel(c);
    c.model_pages = c.pages_read;
    AllocateRows(c);
    const CheckCounts found = GoRound(c, snapshot);
    if (c.shows) pgstat_progress_end_command();
    return found;
}

// On a standby: has the index been trained since its metapage was read?
bool WasTrained(const Check& c) {
    return c.meta.directory.generation != 0 &&
           ReadMeta(c.index).directory.generation != c.meta.directory.generation;
}

CheckCounts CheckMoving(Check& c, Snapshot snapshot, MemoryContext context) {
    for (;;) {
        CheckCounts found = {};
        ErrorData* error = TryStep([&] { found = CheckOnce(c, snapshot); });
        if (!error) return found;
        if (error->sqlerrcode != ERRCODE_INDEX_CORRUPTED || !WasTrained(c)) ReThrowError(error);
        MemoryContextReset(context);
    }
}

}  // namespace

}  // namespace quantvec::pg

QV_SQL_FUNCTION(quantvec_check) {
    using namespace quantvec::pg;
    TupleDesc desc = ResultDesc(fcinfo);
    Check c = {};
    c.with_table = PG_GETARG_BOOL(1);
    Open(c, PG_GETARG_OID(0));

    // Expressions and predicates of the index are the owner's, not the caller's.
    Oid user;
    int security, nest = NewGUCNestLevel();
    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(c.table->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION);
    RestrictNames();

    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec check", ALLOCSET_DEFAULT_SIZES);
    const MemoryScope scope(context);
    Snapshot snapshot = c.with_table ? TakeSnapshot(c) : nullptr;
    const CheckCounts found = c.moving ? CheckMoving(c, snapshot, context) : CheckOnce(c, snapshot);
    if (snapshot) UnregisterSnapshot(snapshot);
    scope.Leave();
    MemoryContextDelete(context);

    AtEOXact_GUC(false, nest);
    SetUserIdAndSecContext(user, security);
    if (!c.moving) UnlockMoves(c.index, Access::kShare);
    CloseIndex({c.index, c.table});

    Datum values[] = {
        Int32GetDatum(static_cast<int>(found.lists)),
        Int64GetDatum(found.pages),
        Int64GetDatum(found.free_pages),
        Int64GetDatum(found.leaked_pages),
        Int64GetDatum(found.blocks),
        Int64GetDatum(found.live_rows),
        Int64GetDatum(found.dead_slots),
        Int64GetDatum(found.table_rows),
    };
    bool nulls[lengthof(values)] = {};
    nulls[7] = !c.with_table;
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
