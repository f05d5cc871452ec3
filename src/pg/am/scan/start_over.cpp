// A scan starts over: a page that it knew has gone to something else, since VACUUM has given its
// list another chain, or the index another model.
//
// All of it is noted again, from where it is now. Rows that were returned, or are kept back for the
// end, are known by their TIDs and are not found again.
#include <algorithm>

#include "pg/am/scan/state.h"
#include "pg/am/storage/model_cache.h"
#include "pg/am/storage/model_read.h"
#include "pg/memory.h"

namespace quantvec::pg {

void StartOver(IndexScanDesc desc, Scan& scan) {
    Relation index = desc->indexRelation;
    Model* model = AcquireModel(index, scan.context);
    if (model == scan.model && RefreshEntries(index, *model)) {
        // If the list is still said to be there, this says what is wrong.
        for (std::uint32_t i = 0; i < model->meta.lists; i++)
            if (model->entries[i].list_id == scan.stale_owner.owner &&
                model->entries[i].generation == scan.stale_owner.generation) {
                LockedPage page =
                    LockPage(index, scan.stale_page, Access::kShare, scan.stale_owner);
                UnlockPage(page);
            }
    }
    const bool same_model = model == scan.model;
    scan.model = model;
    // What was returned, and what is kept back for the end, is not to be found again.
    const std::size_t returned = scan.returned.size, late = scan.late.size, hint = scan.hint;
    const std::size_t known = returned + late;
    auto* tids = NewArray<ItemPointerData>(known + 1);
    auto* kept = NewArray<Ranked>(late + 1);
    memcpy(tids, scan.returned.items, returned * sizeof(ItemPointerData));
    memcpy(kept, scan.late.items, late * sizeof(Ranked));
    for (std::size_t i = 0; i < late; i++) tids[returned + i] = kept[i].tid;
    Clear(scan);
    std::sort(tids, tids + known, LiesBefore);
    for (std::size_t i = 0; i < known; i++) scan.returned.Push(scan.query_context) = tids[i];
    for (std::size_t i = 0; i < late; i++) scan.late.Push(scan.query_context) = kept[i];
    scan.skipped = known;
    scan.scanned_before = scan.counts.scanned;
    pfree(tids);
    pfree(kept);
    SetHint(scan, Max(hint, known * 2));
    scan.counts.restarts++;
    Start(desc, scan, true);
    if (same_model || scan.counts.returned == 0) return;
    // The new model may measure with another scale. Estimates of two models have no common order.
    for (double& key : scan.key_at) key = get_float8_nan();
    const bool measured = scan.settings.rerank && scan.ordered;
    scan.last_key = measured ? KeyOfDistance(scan, scan.last_distance) : -get_float8_infinity();
    for (std::size_t i = 0; measured && i < scan.late.size; i++)
        scan.late.items[i].key = KeyOfDistance(scan, scan.late.items[i].distance);
}

}  // namespace quantvec::pg
