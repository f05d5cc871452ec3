// The access method as the server sees it: the table of contents of this folder.
#include "pg/am/am.h"
#include "pg/am/opclass.h"
#include "pg/am/options.h"
#include "pg/compat.h"

namespace quantvec::pg {

namespace {

bool AmProperty(Oid, int column, IndexAMProperty property, const char*, bool* result,
                bool* isnull) {
    if (property != AMPROP_DISTANCE_ORDERABLE || column == 0) return false;
    *isnull = false;
    *result = true;
    return true;
}

}  // namespace

IndexAmRoutine* NewRoutine() {
    IndexAmRoutine* am = makeNode(IndexAmRoutine);
    am->amstrategies = kStrategyDistance;
    am->amsupport = kProcInfo;
    am->amcanorderbyop = true;
    // A query without conditions is the common one.
    am->amoptionalkey = true;
    // Training in cleanup may fail and VACUUM go on, which workers cannot (subtransaction.h).
    am->amparallelvacuumoptions = VACUUM_OPTION_NO_PARALLEL;
    DeclareParallelBuild(am);

    am->ambuild = AmBuild;
    am->ambuildempty = AmBuildEmpty;
    am->aminsert = AmInsert;
    am->ambulkdelete = AmBulkDelete;
    am->amvacuumcleanup = AmVacuumCleanup;
    am->amcostestimate = AmCostEstimate;
    am->amoptions = AmOptions;
    am->amproperty = AmProperty;
    am->ambuildphasename = [](int64 phase) { return const_cast<char*>(AmBuildPhaseName(phase)); };
    am->amvalidate = AmValidate;
    am->ambeginscan = AmBeginScan;
    am->amrescan = AmRescan;
    am->amgettuple = AmGetTuple;
    am->amendscan = AmEndScan;
    // Left out: index-only scans (codes are lossy), bitmaps and mark/restore (they have no order),
    // backward and parallel scans.
    return am;
}

}  // namespace quantvec::pg

QV_SQL_FUNCTION(quantvec_handler) {
    PG_RETURN_POINTER(quantvec::pg::NewRoutine());
}
