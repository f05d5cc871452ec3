// aminsert: transform, choose the list, encode, all before any lock; then append.h.
//
// VACUUM may have given the list another chain since this backend looked, or the index a new model:
// then the row starts over from the directory, or from the metapage.
#include "pg/am/list/insert.h"

#include "pg/am/am.h"
#include "pg/am/list/choose.h"
#include "pg/am/list/encode.h"
#include "pg/am/storage/locks.h"
#include "pg/am/storage/model_cache.h"
#include "pg/am/storage/model_read.h"
#include "pg/am/table/row_pointer.h"
#include "pg/debug_point.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Kept over the rows of one statement.
struct InsertState {
    RowInserter inserter;
    MemoryContext row_context;
};

InsertState* StateOf(Relation index, IndexInfo* info) {
    if (info->ii_AmCache) return static_cast<InsertState*>(info->ii_AmCache);
    const MemoryScope scope(info->ii_Context);
    auto* state = New<InsertState>();
    BeginInserts(state->inserter, index, AcquireModel(index, info->ii_Context, true));
    state->row_context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec insert row", ALLOCSET_DEFAULT_SIZES);
    scope.Leave();
    info->ii_AmCache = state;
    return state;
}

// The nearest list, the first of several: what measuring all would find. false: the index has
// another model by now.
bool NearestList(Relation index, Model& model, ConstFloatSpan vector, std::uint32_t* list) {
    *list = 0;
    if (model.meta.lists == 1) return true;
    NearLists near;
    BeginNear(near, index, model, vector, kInsertListEpsilon, ListsBy::kNearest, 1);
    NearList nearest;
    if (!TakeNearest(near, nearest)) return false;
    *list = nearest.list;
    return true;
}

// The row found no place where this backend looked: makes it look where the place is now. `context`
// holds the model.
void LookAgain(RowInserter& inserter, Appended why, MemoryContext context) {
    Relation index = inserter.index;
    const bool sealed = why == Appended::kSealed;
    if (sealed) LockSwitch(index, Access::kShare);
    Model& model = *inserter.model;
    if (!IsCurrent(index, model.meta)) {
        const MemoryScope scope(context);
        BeginInserts(inserter, index, AcquireModel(index, context, true));
        scope.Leave();
    } else if (sealed) {
        SetSealed(GrowingListOf(index, model, inserter.list), false);
    } else {
        const ivf::ListEntry before = model.entries[inserter.list];
        if (RefreshEntries(index, model)) {
            const ivf::ListEntry& now = model.entries[inserter.list];
            // The chain is the same all the time, and the page would be no better once more: this
            // says why.
            if (now.generation == before.generation && inserter.stale_page != InvalidBlockNumber) {
                LockedPage page =
                    LockPage(index, inserter.stale_page, Access::kShare, ScanOwner(now));
                UnlockPage(page);
            }
        }
    }
    if (sealed) UnlockSwitch(index, Access::kShare);
}

}  // namespace

void BeginInserts(RowInserter& inserter, Relation index, Model* model) {
    inserter = {};
    inserter.index = index;
    inserter.model = model;
    inserter.opclass = &OpclassOf(index);
    const ivf::BlockLayout& layout = model->layout;
    const std::size_t padded = model->meta.padded_dim;
    inserter.vector = NewArray<float>(padded);
    inserter.workspace = NewArray<float>(padded);
    inserter.centroid = NewArray<float>(padded);
    inserter.row = AllocateRow(layout);
}

Appended InsertRow(RowInserter& inserter, ConstFloatSpan raw, ivf::RowPointer pointer) {
    Model& model = *inserter.model;
    const std::size_t padded = model.meta.padded_dim;
    const FloatSpan vector(inserter.vector, padded);
    inserter.stale_page = InvalidBlockNumber;
    if (!Transform(model, raw, vector)) return Appended::kDone;
    if (!NearestList(inserter.index, model, vector, &inserter.list)) return Appended::kMoved;
    const ConstFloatSpan centroid =
        CentroidOf(inserter.index, model, inserter.list, {inserter.centroid, padded});
    if (centroid.empty()) return Appended::kMoved;
    EncodeIntoList(model.layout, NormTerm(*inserter.opclass, raw), centroid, vector,
                   {inserter.workspace, padded}, inserter.row);
    DEBUG_POINT("insert_chosen");
    return AppendRow(GrowingListOf(inserter.index, model, inserter.list), pointer, inserter.row,
                     &inserter.stale_page);
}

bool AmInsert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation,
              IndexUniqueCheck, bool, IndexInfo* info) {
    if (isnull[0]) return false;
    InsertState* state = StateOf(index, info);
    RowInserter& inserter = state->inserter;
    const MemoryScope scope(state->row_context);
    const ConstFloatSpan raw = inserter.opclass->values(values[0]);
    CheckExpectedDim(static_cast<int>(inserter.model->meta.dim), static_cast<int>(raw.size()));
    for (;;) {
        const Appended done = InsertRow(inserter, raw, PointerOf(PointerNumber(*tid)));
        if (done == Appended::kDone) break;
        CHECK_FOR_INTERRUPTS();
        LookAgain(inserter, done, info->ii_Context);
    }
    scope.Leave();
    MemoryContextReset(state->row_context);
    return false;
}

}  // namespace quantvec::pg
