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

}  // namespace quantvec::pg
