// This file owns the other names of the access method: hnsw and ivfflat, which extension `vector`
// (make install-as-vector) has for applications that say them and cannot be changed.
//
// They are quantvec in everything but their options. pgvector's are taken within its limits, kept,
// and have no effect: the index is what quantvec makes by default, and the settings quantvec.*
// steer its scans. pgvector's settings are in src/as_vector.
#include "pg/am/am.h"
#include "pg/am/options.h"
#include "pg/compat.h"
#include "pg/pg.h"

namespace quantvec::pg {
namespace {

struct HnswOptions {
    IndexOptions own;
    int m;
    int ef_construction;
};
struct IvfflatOptions {
    IndexOptions own;
    int lists;
};

relopt_kind hnsw_kind;
relopt_kind ivfflat_kind;

// Declares the options when the first of the names is used: a database with pgvector itself never
// gets here.
void Declare() {
    static bool declared = false;
    if (declared) return;
    hnsw_kind = add_reloption_kind();
    add_int_reloption(hnsw_kind, "m", "Without effect: pgvector's number of connections", 16, 2,
                      100, AccessExclusiveLock);
    add_int_reloption(hnsw_kind, "ef_construction",
                      "Without effect: pgvector's size of the candidate list of a build", 64, 4,
                      1000, AccessExclusiveLock);
    ivfflat_kind = add_reloption_kind();
    add_int_reloption(ivfflat_kind, "lists", "Without effect: pgvector's number of lists", 100, 1,
                      32768, AccessExclusiveLock);
    declared = true;
}

template <class Options>
Options* Parse(Datum reloptions, bool validate, relopt_kind kind, const relopt_parse_elt* table,
               int size) {
    auto* options = static_cast<Options*>(
        build_reloptions(reloptions, validate, kind, sizeof(Options), table, size));
    if (!options) return nullptr;
    const int32 header = options->own.vl_len_;
    options->own = DefaultOptions();
    options->own.vl_len_ = header;
    return options;
}

bytea* ParseHnsw(Datum reloptions, bool validate) {
    static constexpr relopt_parse_elt kTable[] = {
        OptionAt("m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)),
        OptionAt("ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)),
    };
    auto* options = Parse<HnswOptions>(reloptions, validate, hnsw_kind, kTable, lengthof(kTable));
    if (options && validate && options->ef_construction < 2 * options->m)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("ef_construction must be greater than or equal to 2 * m")));
    return reinterpret_cast<bytea*>(options);
}

bytea* ParseIvfflat(Datum reloptions, bool validate) {
    static constexpr relopt_parse_elt kTable[] = {
        OptionAt("lists", RELOPT_TYPE_INT, offsetof(IvfflatOptions, lists)),
    };
    return reinterpret_cast<bytea*>(
        Parse<IvfflatOptions>(reloptions, validate, ivfflat_kind, kTable, lengthof(kTable)));
}

Datum Handler(bytea* (*parse)(Datum reloptions, bool validate)) {
    Declare();
    IndexAmRoutine* am = NewRoutine();
    am->amoptions = parse;
    PG_RETURN_POINTER(am);
}

}  // namespace
}  // namespace quantvec::pg

QV_SQL_FUNCTION(quantvec_hnsw_handler) {
    return quantvec::pg::Handler(quantvec::pg::ParseHnsw);
}
QV_SQL_FUNCTION(quantvec_ivfflat_handler) {
    return quantvec::pg::Handler(quantvec::pg::ParseIvfflat);
}
