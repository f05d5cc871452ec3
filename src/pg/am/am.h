// The access method's callbacks, by the file that defines them.
#pragma once

#include "core/view.h"
#include "pg/pg.h"

namespace quantvec::pg {

// handler.cpp: all of them, as the server wants them.
IndexAmRoutine* NewRoutine();

// build/build.cpp
IndexBuildResult* AmBuild(Relation heap, Relation index, IndexInfo* info);
void AmBuildEmpty(Relation index);
const char* AmBuildPhaseName(std::int64_t phase);

// list/insert.cpp
bool AmInsert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation heap,
              IndexUniqueCheck check, bool unchanged, IndexInfo* info);

// scan/scan.cpp
IndexScanDesc AmBeginScan(Relation index, int keys, int orderbys);
void AmRescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
bool AmGetTuple(IndexScanDesc scan, ScanDirection direction);
void AmEndScan(IndexScanDesc scan);

// care/vacuum.cpp
IndexBulkDeleteResult* AmBulkDelete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                    IndexBulkDeleteCallback callback, void* state);
IndexBulkDeleteResult* AmVacuumCleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats);

// cost.cpp
void AmCostEstimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost,
                    Cost* total_cost, Selectivity* selectivity, double* correlation, double* pages);

}  // namespace quantvec::pg
