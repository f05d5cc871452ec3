// What keeps a second type `vector` out of a database that has extension quantvec: an event trigger
// before CREATE EXTENSION. The other order, quantvec after pgvector, is refused by the install
// scripts (sql/install/guard_*.sql).
#include "pg/pg.h"

namespace {

void Refuse(const char* extension, const char* detail, const char* hint) {
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
                    errmsg("extension \"%s\" cannot be created beside quantvec", extension),
                    errdetail("%s", detail), errhint("%s", hint)));
}

}  // namespace

QV_SQL_FUNCTION(quantvec_keep_alone) {
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("quantvec_keep_alone can be called by an event trigger only")));
    const auto* data = reinterpret_cast<const EventTriggerData*>(fcinfo->context);
    if (!IsA(data->parsetree, CreateExtensionStmt)) PG_RETURN_NULL();
    const char* extension = reinterpret_cast<const CreateExtensionStmt*>(data->parsetree)->extname;
    if (strcmp(extension, "vector") == 0)
        Refuse(extension,
               "Extension quantvec has type vector, and a second one would make every \"vector\" "
               "depend on the search path.",
               "Extension quantvec has the types, functions and operators of pgvector: do without "
               "CREATE EXTENSION vector (frameworks have a setting for it). For pgvector itself, "
               "drop quantvec, and create vector and quantvec_pgvector.");
    if (strcmp(extension, "quantvec_pgvector") == 0)
        Refuse(extension, "Extension quantvec has the access method quantvec.",
               "Extension quantvec is whole by itself. To index the types of pgvector, drop "
               "quantvec, and create vector and quantvec_pgvector.");
    PG_RETURN_NULL();
}
