// An index is opened for a look: rights first, then locks, then what may be looked at.
#include "pg/am/inspect/open.h"

#include "pg/am/am.h"

namespace quantvec::pg {

OpenedIndex OpenIndex(Oid oid, void (*permit)(Oid index, Oid table)) {
    OpenedIndex open = {};
    const Oid table = IndexGetRelation(oid, true);
    if (OidIsValid(table)) {
        permit(oid, table);
        open.table = try_relation_open(table, AccessShareLock);
    }
    open.index = try_relation_open(oid, AccessShareLock);
    if (!open.index)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("relation with OID %u does not exist", oid)));
    const char* name = RelationGetRelationName(open.index);
    const char kind = open.index->rd_rel->relkind;
    // By its functions: extension vector gives the access method other names too (aliases.cpp).
    if (kind != RELKIND_INDEX || open.index->rd_indam->amgettuple != AmGetTuple)
        ereport(ERROR,
                (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a quantvec index", name),
                 kind == RELKIND_PARTITIONED_INDEX
                     ? errhint("A partitioned index has no pages of its own: ask for those of "
                               "its partitions.")
                     : 0));
    // The OID may have gone to another index before it was locked.
    if (!open.table || IndexGetRelation(oid, false) != table)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("could not open the table of index \"%s\"", name)));
    // Rights may have gone while it waited.
    permit(oid, table);
    if (RELATION_IS_OTHER_TEMP(open.index))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot access temporary indexes of other sessions")));
    if (!open.index->rd_index->indisvalid)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("index \"%s\" is not valid", name),
                        errhint("Its build did not come to an end. Rebuild it with REINDEX INDEX, "
                                "or drop it.")));
    if (RecoveryInProgress() && !RelationIsPermanent(open.index))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot access temporary or unlogged relations during recovery")));
    return open;
}

void CloseIndex(const OpenedIndex& open) {
    relation_close(open.index, AccessShareLock);
    relation_close(open.table, AccessShareLock);
}

TupleDesc ResultDesc(FunctionCallInfo fcinfo) {
    TupleDesc desc;
    if (get_call_result_type(fcinfo, nullptr, &desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    return BlessTupleDesc(desc);
}

}  // namespace quantvec::pg
