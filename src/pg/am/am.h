// The access method's callbacks, by the file that defines them, and what these files share.
#pragma once

#include "pg/am/storage/meta.h"
#include "pg/pg.h"

namespace quantvec::pg {

// build/build.cpp
IndexBuildResult* AmBuild(Relation heap, Relation index, IndexInfo* info);
void AmBuildEmpty(Relation index);
const char* AmBuildPhaseName(std::int64_t phase);
// Values of pg_stat_progress_create_index's phase; 1 is the server's "initializing".
enum BuildPhase : std::int64_t {
    kPhaseSample = 2,
    kPhaseTrain,
    kPhaseEncode,
    kPhaseSort,
    kPhaseWrite,
};

// list/insert.cpp
bool AmInsert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation heap,
              IndexUniqueCheck check, bool unchanged, IndexInfo* info);
// ||value||^2 for inner product, as EncodeIntoList wants it; 0 for other metrics. `raw` is the value
// as it was given.
float NormTerm(const OpclassInfo& opclass, ConstFloatSpan raw);
// Encodes a row for the list with this centroid. `vector` [padded_dim] is the transformed row and
// is left as the residual.
void EncodeIntoList(const ivf::BlockLayout& layout, float norm_sqr, ConstFloatSpan centroid,
                    FloatSpan vector, FloatSpan workspace, quant::EncodedRow& row);

// scan/scan.cpp
IndexScanDesc AmBeginScan(Relation index, int keys, int orderbys);
void AmRescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
bool AmGetTuple(IndexScanDesc scan, ScanDirection direction);
void AmEndScan(IndexScanDesc scan);

// care/vacuum.cpp
IndexBulkDeleteResult* AmBulkDelete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                    IndexBulkDeleteCallback callback, void* state);
IndexBulkDeleteResult* AmVacuumCleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats);

// inspect/info.cpp
// An index and its table, share-locked: the table first, as all commands lock. Everything that is not a
// quantvec index within reach, built to its end, is refused. `permit` is an ERROR for who may not look; it
// is asked before anything is locked, and waited for.
struct OpenedIndex {
    Relation index;
    Relation table;
};
OpenedIndex OpenIndex(Oid oid, void (*permit)(Oid index, Oid table));
void CloseIndex(const OpenedIndex& open);
// Of an SQL function with OUT columns.
TupleDesc ResultDesc(FunctionCallInfo fcinfo);

// cost.cpp
void AmCostEstimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost,
                    Cost* total_cost, Selectivity* selectivity, double* correlation, double* pages);
// LIMIT plus OFFSET of the last planned query on this index, as far as the planner knew; 0: unknown, or none was
// planned since the last call.
std::size_t TakePlannedLimit(Oid index);

}  // namespace quantvec::pg
