// What keeps a second type `vector` out of a database that has extension quantvec: event triggers
// of CREATE EXTENSION. What is there before quantvec, its install script sees for itself
// (sql/install/guard_*.sql).
#include <cstring>

#include "pg/pg.h"

namespace {

void Refuse(const char* extension, const char* because_of) {
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
                    errmsg("extension \"%s\" cannot be created beside quantvec", extension),
                    because_of ? errdetail("Extension \"%s\" requires it.", because_of) : 0,
                    errhint("Extension quantvec has the types, operators and functions of "
                            "pgvector, and indexes for them: leave this statement out (frameworks "
                            "have an option for it). For pgvector's own types, drop quantvec, "
                            "then: CREATE EXTENSION quantvec_pgvector CASCADE.")));
}

}  // namespace

QV_SQL_FUNCTION(quantvec_keep_alone) {
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("quantvec_keep_alone is called by an event trigger only")));
    const auto* data = reinterpret_cast<const EventTriggerData*>(fcinfo->context);
    if (!IsA(data->parsetree, CreateExtensionStmt)) PG_RETURN_NULL();
    const char* named = reinterpret_cast<const CreateExtensionStmt*>(data->parsetree)->extname;
    if (std::strcmp(data->event, "ddl_command_start") == 0) {
        if (std::strcmp(named, "vector") == 0 || std::strcmp(named, "quantvec_pgvector") == 0)
            Refuse(named, nullptr);
    } else if (OidIsValid(get_extension_oid("vector", true))) {
        Refuse("vector", named);  // CASCADE has created it
    }
    PG_RETURN_NULL();
}
