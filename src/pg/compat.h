// Every difference between server versions, one function or macro each.
#pragma once

#include "pg/pg.h"

#if PG_VERSION_NUM < 150000
#error "quantvec needs PostgreSQL 15 or newer"
#endif
#if PG_VERSION_NUM >= 160000
extern "C" {
#include "varatt.h"
}
#endif

// Raises an error; or notes it in `context` and goes on, if that asks for errors as values (version
// 16: pg_input_is_valid, COPY's ON_ERROR).
#if PG_VERSION_NUM >= 160000
#define QV_ERROR_OR_NOTE(context, ...) errsave(context, __VA_ARGS__)
#else
#define QV_ERROR_OR_NOTE(context, ...) \
    do {                               \
        static_cast<void>(context);    \
        ereport(ERROR, __VA_ARGS__);   \
    } while (false)
#endif

namespace quantvec::pg {

// Names a relation's file: what the model cache is keyed by.
#if PG_VERSION_NUM >= 160000
using FileId = RelFileLocator;
inline FileId FileIdOf(Relation rel) {
    return rel->rd_locator;
}
#else
using FileId = RelFileNode;
inline FileId FileIdOf(Relation rel) {
    return rel->rd_node;
}
#endif
inline bool SameFile(const FileId& a, const FileId& b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

// Whether a role has the rights of a relation's owner.
#if PG_VERSION_NUM >= 160000
inline bool OwnsRelation(Oid relation, Oid role) {
    return object_ownercheck(RelationRelationId, relation, role);
}
#else
inline bool OwnsRelation(Oid relation, Oid role) {
    return pg_class_ownercheck(relation, role);
}
#endif

// The number of the session's transaction among all that it had.
#if PG_VERSION_NUM >= 170000
inline LocalTransactionId ThisTransaction() {
    return MyProc->vxid.lxid;
}
#else
inline LocalTransactionId ThisTransaction() {
    return MyProc->lxid;
}
#endif

// The snapshot to read TOAST values with.
#if PG_VERSION_NUM >= 180000
inline void ToastSnapshot(SnapshotData& snapshot) {
    snapshot = *get_toast_snapshot();
}
#else
inline void ToastSnapshot(SnapshotData& snapshot) {
    init_toast_snapshot(&snapshot);
}
#endif

// old_snapshot_threshold is gone from version 17.
#if PG_VERSION_NUM >= 170000
inline void CheckOldSnapshot(Snapshot, Relation, Page) {}
#else
inline void CheckOldSnapshot(Snapshot snapshot, Relation rel, Page page) {
    TestForOldSnapshot(snapshot, rel, page);
}
#endif

// Whether an internal subtransaction may be begun now. From 17 on it may in parallel mode, too.
#if PG_VERSION_NUM >= 170000
inline bool MayBeginSubtransaction() {
    return true;
}
#else
inline bool MayBeginSubtransaction() {
    return !IsInParallelMode();
}
#endif

// Ends a read or write of a page that failed. From 16 on the resource owner does.
#if PG_VERSION_NUM >= 160000
inline void ForgetBufferIO() {}
#else
inline void ForgetBufferIO() {
    AbortBufferIO();
}
#endif

// Workers that the planner grants a build: as the settings and the table's size say, none for
// temporary tables and for expressions that are not parallel safe. From version 17 on the server
// asks it itself, if the access method says that it can use the answer.
#if PG_VERSION_NUM >= 170000
inline void DeclareParallelBuild(IndexAmRoutine* am) {
    am->amcanbuildparallel = true;
}
inline int PlannedBuildWorkers(Relation, Relation, const IndexInfo* info) {
    return info->ii_ParallelWorkers;
}
#else
inline void DeclareParallelBuild(IndexAmRoutine*) {}
inline int PlannedBuildWorkers(Relation heap, Relation index, const IndexInfo*) {
    return plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(index));
}
#endif

// Whether this process is an autovacuum worker.
#if PG_VERSION_NUM >= 170000
inline bool IsAutovacuum() {
    return AmAutoVacuumWorkerProcess();
}
#else
inline bool IsAutovacuum() {
    return IsAutoVacuumWorkerProcess();
}
#endif

// Sleeps as vacuum_cost_delay asks for, and looks for interrupts. ANALYZE never calls it here.
#if PG_VERSION_NUM >= 180000
inline void VacuumDelay() {
    vacuum_delay_point(false);
}
#else
inline void VacuumDelay() {
    vacuum_delay_point();
}
#endif

// From version 17 on, maintenance looks up names in pg_catalog only. Undone by AtEOXact_GUC.
#if PG_VERSION_NUM >= 170000
inline void RestrictNames() {
    RestrictSearchPath();
}
#else
inline void RestrictNames() {}
#endif

// A search of the index, for EXPLAIN's "Index Searches" (version 18).
#if PG_VERSION_NUM >= 180000
inline void CountSearch(IndexScanDesc scan) {
    if (scan->instrument) scan->instrument->nsearches++;
}
#else
inline void CountSearch(IndexScanDesc) {}
#endif

// How a buffer is locked: a type of its own from version 19 on.
#if PG_VERSION_NUM >= 190000
using BufferMode = BufferLockMode;
#else
using BufferMode = int;
#endif

// Rows of the table by their pointers, and the table in parallel. Version 19 asks for flags.
#if PG_VERSION_NUM >= 190000
inline IndexFetchTableData* BeginFetch(Relation heap) {
    return table_index_fetch_begin(heap, SO_NONE);
}
inline TableScanDesc BeginParallelScan(Relation heap, ParallelTableScanDesc shared) {
    return table_beginscan_parallel(heap, shared, SO_NONE);
}
#else
inline IndexFetchTableData* BeginFetch(Relation heap) {
    return table_index_fetch_begin(heap);
}
inline TableScanDesc BeginParallelScan(Relation heap, ParallelTableScanDesc shared) {
    return table_beginscan_parallel(heap, shared);
}
#endif

// An index scan of our own, that no plan counts.
#if PG_VERSION_NUM >= 190000
inline IndexScanDesc BeginIndexScan(Relation heap, Relation index, Snapshot snapshot, int keys) {
    return index_beginscan(heap, index, snapshot, nullptr, keys, 0, SO_NONE);
}
#elif PG_VERSION_NUM >= 180000
inline IndexScanDesc BeginIndexScan(Relation heap, Relation index, Snapshot snapshot, int keys) {
    return index_beginscan(heap, index, snapshot, nullptr, keys, 0);
}
#else
inline IndexScanDesc BeginIndexScan(Relation heap, Relation index, Snapshot snapshot, int keys) {
    return index_beginscan(heap, index, snapshot, keys, 0);
}
#endif

// Makes the planner take any other path, one that a setting disables too. Version 18 counts
// disabled nodes before it looks at costs: a disabled scan of the table is one. Before, infinite
// costs say it.
#if PG_VERSION_NUM >= 180000
inline void DisablePath(IndexPath* path) {
    path->path.disabled_nodes = 2;
}
#else
inline void DisablePath(IndexPath*) {}
#endif

// The next of a sort of values that are passed by value. false: there is none.
#if PG_VERSION_NUM >= 160000
inline bool NextDatum(Tuplesortstate* sort, Datum* datum, bool* isnull) {
    return tuplesort_getdatum(sort, true, false, datum, isnull, nullptr);
}
#else
inline bool NextDatum(Tuplesortstate* sort, Datum* datum, bool* isnull) {
    return tuplesort_getdatum(sort, true, datum, isnull, nullptr);
}
#endif

// Where an index option is kept. Version 18 has a field more, for options that tell "not set"
// apart.
constexpr relopt_parse_elt OptionAt(const char* name, relopt_type type, std::size_t offset) {
    relopt_parse_elt option = {};
    option.optname = name;
    option.opttype = type;
    option.offset = static_cast<int>(offset);
    return option;
}

// What a page's header says of its size and layout. Versions 16 and 17 ask for a page that may be
// changed, and do not change it.
inline Size PageSizeOf(const char* page) {
    return PageGetPageSize(const_cast<char*>(page));
}
inline int PageLayoutOf(const char* page) {
    return PageGetPageLayoutVersion(const_cast<char*>(page));
}

}  // namespace quantvec::pg
