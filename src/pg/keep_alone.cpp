// What keeps a second type `vector` out of a database that has extension quantvec: an event trigger
// before CREATE EXTENSION. What is there before quantvec, its install script sees for itself
// (sql/install/guard_*.sql).
#include <cstring>

#include "pg/pg.h"

namespace {

constexpr const char* kRefused[] = {"quantvec_pgvector", "vector"};

// What CASCADE would create is said by control files, which the server reads for this view.
constexpr const char* kRequiredSql =
    "WITH RECURSIVE needed(extension) AS ("
    "  SELECT $1"
    "  UNION"
    "  SELECT pg_catalog.unnest(v.requires)"
    "  FROM needed"
    "  JOIN pg_catalog.pg_available_extension_versions AS v ON v.name OPERATOR(pg_catalog.=) "
    "extension) "
    "SELECT FROM needed WHERE extension OPERATOR(pg_catalog.=) $2";

bool HasCascade(const CreateExtensionStmt* statement) {
    ListCell* cell;
    foreach (cell, statement->options) {
        auto* option = static_cast<DefElem*>(lfirst(cell));
        if (std::strcmp(option->defname, "cascade") == 0 && defGetBoolean(option)) return true;
    }
    return false;
}

bool Requires(const char* extension, const char* refused) {
    Oid types[] = {NAMEOID, NAMEOID};
    Datum values[] = {DirectFunctionCall1(namein, CStringGetDatum(extension)),
                      DirectFunctionCall1(namein, CStringGetDatum(refused))};
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    if (SPI_execute_with_args(kRequiredSql, 2, types, values, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "SPI_execute_with_args failed");
    const bool found = SPI_processed > 0;
    SPI_finish();
    return found;
}

}  // namespace

QV_SQL_FUNCTION(quantvec_keep_alone) {
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("quantvec_keep_alone is called by an event trigger only")));
    const auto* data = reinterpret_cast<const EventTriggerData*>(fcinfo->context);
    if (!IsA(data->parsetree, CreateExtensionStmt)) PG_RETURN_NULL();
    const auto* statement = reinterpret_cast<const CreateExtensionStmt*>(data->parsetree);
    const bool cascade = HasCascade(statement);
    for (const char* refused : kRefused) {
        const bool named = std::strcmp(statement->extname, refused) == 0;
        if (!named && !(cascade && Requires(statement->extname, refused))) continue;
        ereport(ERROR,
                (errcode(ERRCODE_DUPLICATE_OBJECT),
                 errmsg("extension \"%s\" cannot be created beside quantvec", refused),
                 named ? 0 : errdetail("Extension \"%s\" requires it.", statement->extname),
                 errhint("Extension quantvec has the types, operators and functions of pgvector, "
                         "and indexes for them: leave this statement out (frameworks have an "
                         "option for it). For pgvector's own types, drop quantvec, then: CREATE "
                         "EXTENSION quantvec_pgvector CASCADE.")));
    }
    PG_RETURN_NULL();
}
