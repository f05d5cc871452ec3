// An index in use is trained anew (retrain.h has the steps), and what calls for that.
#include "pg/am/care/retrain.h"

#include "core/quant/pq.h"
#include "pg/am/build/build.h"
#include "pg/am/care/drift.h"
#include "pg/am/list/insert.h"
#include "pg/am/list/read.h"
#include "pg/am/storage/locks.h"
#include "pg/am/storage/model_read.h"
#include "pg/am/table/row_pointer.h"
#include "pg/debug_point.h"
#include "pg/memory.h"
#include "pg/subtransaction.h"

namespace quantvec::pg {

namespace {

// Rows that are moved while inserters wait: few; or some, when kRounds rounds left more than few.
// Some take a tenth of a second with 5,000 lists of 64 dimensions. (Autovacuum is cancelled when
// somebody waits for a second.)
constexpr std::uint64_t kFewRows = 200, kSomeRows = 1000;
constexpr int kRounds = 8;
// Writers may be faster than the one process that moves their rows. They are followed until the
// index has this many times the rows that it was trained with: then its lists are too few anyway.
constexpr std::uint64_t kMostGrowth = 4;
// This part of the memory is for the row pointers.
constexpr std::size_t kPointerShare = 8;

// An index whose rows have become fewer by this factor is trained anew: a scan of it opens lists
// that are nearly empty.
constexpr double kShrinkage = 10;
// Whether lists still fit the data is measured once this part of the rows has changed.
constexpr double kChanged = 0.2;

struct Retraining {
    Relation heap;
    Relation index;
    Model* old;
    ListReader* reader;
    ListReader::Position* read;  // [lists] how far each old list was read
};

// The rows of an old list that were not yet read. take(pointer)
template <class Take>
void ReadOn(Retraining& t, std::uint32_t list, bool hurry, Take take) {
    ListReader& reader = *t.reader;
    reader.Open(t.old->entries[list], t.read[list], hurry);
    while (reader.Next())
        for (std::uint32_t left = reader.rows(); left != 0; left &= left - 1)
            take(PointerNumber(reader.pointer(static_cast<std::uint32_t>(__builtin_ctz(left)))));
    t.read[list] = reader.position();
}

// Puts rows that came since into the new lists; returns how many. hurry: without VACUUM's delays,
// since more rows would come during each of them.
std::uint64_t CatchUp(Retraining& t, RowSource& rows, RowInserter& inserter, bool hurry,
                      bool seal) {
    std::uint64_t moved = 0;
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec row", ALLOCSET_DEFAULT_SIZES);
    for (std::uint32_t list = 0; list < t.old->meta.lists; list++) {
        CHECK_FOR_INTERRUPTS();
        if (seal) SetSealed(GrowingListOf(t.index, *t.old, list), true);
        ReadOn(t, list, hurry, [&](std::uint64_t pointer) {
            moved++;
            ConstFloatSpan vector;
            if (!ReadRow(rows.reader, pointer, &vector)) return;
            const MemoryScope scope(context);
            if (InsertRow(inserter, vector, PointerOf(pointer)) != Appended::kDone)
                elog(ERROR, "quantvec: a list that nobody knows was moved");
            scope.Leave();
            MemoryContextReset(context);
            DEBUG_POINT("train_row");
        });
        if (seal) DEBUG_POINT("train_sealed");
    }
    MemoryContextDelete(context);
    return moved;
}

void WriteMeta(Relation index, const MetaPage& meta) {
    LockedPage page = LockPage(index, kMetaPage, Access::kExclusive, {ivf::PageKind::kMeta, 0, 0});
    Change change(index);
    std::uint8_t* bytes = change.Add(page);
    memcpy(bytes + ivf::kPayloadAt, &meta, sizeof meta);
    ivf::TailOf(bytes)->crc = PayloadCrc(bytes);
    change.Commit();
    UnlockPage(page);
}

// VACUUM's place in the progress views, which it gets back when the training is over.
struct Progress {
    ProgressCommandType command;
    Oid target;
    std::int64_t params[PGSTAT_NUM_PROGRESS_PARAM];
};

Progress ProgressNow() {
    Progress now = {MyBEEntry->st_progress_command, MyBEEntry->st_progress_command_target, {}};
    for (int i = 0; i < PGSTAT_NUM_PROGRESS_PARAM; i++)
        now.params[i] = MyBEEntry->st_progress_param[i];
    return now;
}

// Shows the training as the build that it is, in pg_stat_progress_create_index: VACUUM's own view
// has no phase for what an access method does.
void ShowAsBuild(Relation heap, Relation index) {
    pgstat_progress_start_command(PROGRESS_COMMAND_CREATE_INDEX, RelationGetRelid(heap));
    pgstat_progress_update_param(PROGRESS_CREATEIDX_INDEX_OID, RelationGetRelid(index));
    pgstat_progress_update_param(PROGRESS_CREATEIDX_ACCESS_METHOD_OID, index->rd_rel->relam);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_PHASE, PROGRESS_CREATEIDX_PHASE_BUILD);
}

void ShowAsBefore(const Progress& before) {
    pgstat_progress_start_command(before.command, before.target);
    for (int i = 0; i < PGSTAT_NUM_PROGRESS_PARAM; i++)
        pgstat_progress_update_param(i, before.params[i]);
}

// What came of a training: `trained`, or why it was refused.
struct Outcome {
    Retrained trained;
    int sqlstate;
    const char* why;  // nullptr: it was not
    const char* hint;
};

// `context`: for what it needs. What is to be expected now and then is an outcome, no error.
Outcome Retrain(Relation heap, Relation index, Model& model, std::size_t budget,
                BufferAccessStrategy strategy, MemoryContext context) {
    const MemoryScope scope(context);
    const std::size_t pointer_bytes = budget / kPointerShare;
    const Progress progress = ProgressNow();
    ShowAsBuild(heap, index);

    Retraining t = {heap, index, &model, nullptr, nullptr};
    t.reader = New<ListReader>();
    t.reader->Begin(index, model.layout, strategy);
    t.read = NewArrayIn<ListReader::Position>(context, model.meta.lists);
    RefreshEntries(index, model);
    RowSource rows;
    BeginRows(rows, heap, index, static_cast<int>(Max(pointer_bytes / 1024, std::size_t{64})));
    for (std::uint32_t list = 0; list < model.meta.lists; list++) {
        t.read[list] = ListReader::Start(model.entries[list]);
        ReadOn(t, list, false, [&](std::uint64_t pointer) { AddRow(rows, pointer); });
    }
    SortRows(rows);
    DEBUG_POINT("train_collected");

    Build b;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kPhaseSample);
    InitBuild(b, heap, index, BuildIndexInfo(index), static_cast<int>(model.meta.dim), MAIN_FORKNUM,
              budget - pointer_bytes);
    b.in_place = true;
    b.rows = &rows;
    b.generation = model.meta.directory.generation + 1;
    b.first_list_id = model.meta.next_list_id;
    AllocateOwn(b, context);
    const Decisions plan = PlanTraining(b);
    const auto end = [&] {
        ShowAsBefore(progress);
        EndRows(rows);
        scope.Leave();
    };
    if (!IsWorthIt(plan)) {
        end();
        const double megabytes = MegabytesFor(b, plan) * kPointerShare / (kPointerShare - 1);
        return {{},
                ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                psprintf("memory required is about %.0f MB", megabytes),
                "Raise maintenance_work_mem, or autovacuum_work_mem for autovacuum."};
    }
    StartTeam(b.team, heap, index, false, 0, MapMemory(b, 1, plan.lists, nullptr));
    ShareMemory(b, plan.lists);
    *b.decided = plan;
    Train(b);
    EncodeRows(b);
    const MetaPage meta = WriteParts(b);
    const auto encoded = static_cast<std::uint64_t>(b.index_tuples[0]);
    tuplesort_end(b.sort);
    EndTeam(b.team);
    DEBUG_POINT("train_written");

    Model* fresh = ReadModel(index, meta);
    if (!fresh) elog(ERROR, "quantvec: the new model cannot be read");
    RowInserter inserter;
    BeginInserts(inserter, index, fresh);
    // Nothing else is to be locked and waited for while inserters wait.
    OpenToast(rows.reader.toast);
    std::uint64_t moved = 0;
    for (int round = 1;; round++) {
        const std::uint64_t last = CatchUp(t, rows, inserter, round > 1, false);
        moved += last;
        if (last < kFewRows || (last < kSomeRows && round >= kRounds)) break;
        if (moved > kMostGrowth * Max(encoded, std::uint64_t{10000})) {
            end();
            return {{},
                    ERRCODE_OBJECT_IN_USE,
                    "rows are inserted faster than they can be moved to new lists",
                    "VACUUM tries it again."};
        }
    }
    DEBUG_POINT("train_caught_up");
    LockSwitch(index, Access::kExclusive);
    moved += CatchUp(t, rows, inserter, true, true);
    DEBUG_POINT("train_flip");
    WriteMeta(index, meta);
    DEBUG_POINT("train_flipped");
    UnlockSwitch(index, Access::kExclusive);

    end();
    return {{meta.lists, encoded + moved}, 0, nullptr, nullptr};
}

// An expression of the index may be anything.
StepRuns RunsOf(Relation index) {
    return index->rd_index->indkey.values[0] == 0 ? StepRuns::kAnything : StepRuns::kOwnCode;
}

}  // namespace

Cause CauseOfTraining(Relation index, const MetaPage& meta, const VacuumNotes& notes) {
    const auto rows = static_cast<double>(notes.rows),
               trained = static_cast<double>(meta.rows_trained);
    if (rows >= TrainingDueAt(index, meta)) return meta.trained ? Cause::kGrown : Cause::kFirst;
    if (!meta.trained) return Cause::kNone;
    if (trained >= kLeastRowsToRetrain && kShrinkage * rows <= trained) return Cause::kShrunk;
    const bool changed = static_cast<double>(notes.changed) >= kChanged * rows;
    return rows >= kLeastRowsToRetrain && changed ? Cause::kDrift : Cause::kNone;
}

bool HasDrifted(const VacuumNotes& notes, double drift) {
    return drift >= kMuchDrift * Max(1.0, static_cast<double>(notes.drift));
}

void CountChanges(VacuumNotes& notes, std::uint64_t rows, std::uint64_t removed) {
    const std::uint64_t before = notes.rows > removed ? notes.rows - removed : 0;
    notes.changed += removed + (rows > before ? rows - before : before - rows);
    notes.rows = rows;
}

Retrained TryRetrain(Relation heap, Relation index, Model& model, std::size_t budget,
                     BufferAccessStrategy strategy) {
    if (!CanTry(RunsOf(index))) {
        ereport(WARNING,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("index \"%s\" on an expression is not trained by a parallel VACUUM",
                        RelationGetRelationName(index)),
                 errhint("VACUUM (PARALLEL 0) trains it, and so does autovacuum.")));
        return {};
    }
    const Progress progress = ProgressNow();
    Outcome outcome = {};
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec training", ALLOCSET_DEFAULT_SIZES);
    const ErrorData* error = TryStep(
        [&] { outcome = Retrain(heap, index, model, budget, strategy, context); }, RunsOf(index));
    MemoryContextDelete(context);
    if (error) {
        ShowAsBefore(progress);
        outcome = {{}, error->sqlerrcode, error->message, error->hint};
    }
    if (outcome.why)
        ereport(WARNING, (errcode(outcome.sqlstate),
                          errmsg("could not train index \"%s\": %s", RelationGetRelationName(index),
                                 outcome.why),
                          outcome.hint ? errhint("%s", outcome.hint) : 0));
    return outcome.trained;
}

}  // namespace quantvec::pg
