// The library quantvec_as_vector: pgvector's settings hnsw.* and ivfflat.*, and the handlers of its
// access methods, for extension `vector` (make install-as-vector).
//
// The settings are taken within pgvector's limits, and have no effect: quantvec.* steers scans.
// They live in a library of their own, since pgvector itself brings them into a backend: the
// library quantvec may be in such a backend, this one never.
#include "pg/pg.h"

extern "C" {
PG_MODULE_MAGIC;
QV_EXPORT void _PG_init(void);
}

namespace {

int ef_search, hnsw_iterative_scan, hnsw_max_scan_tuples;
double hnsw_scan_mem_multiplier;
int probes, ivfflat_iterative_scan, ivfflat_max_probes;

// As pgvector numbers them.
const config_enum_entry kHnswModes[] = {{"off", 0, false},
                                        {"relaxed_order", 1, false},
                                        {"strict_order", 2, false},
                                        {nullptr, 0, false}};
const config_enum_entry kIvfflatModes[] = {
    {"off", 0, false}, {"relaxed_order", 1, false}, {nullptr, 0, false}};

constexpr const char* kNoEffect = "Without effect: the settings quantvec.* steer scans.";

void DeclareInt(const char* name, const char* what, int* value, int by_default, int least,
                int most) {
    DefineCustomIntVariable(name, what, kNoEffect, value, by_default, least, most, PGC_USERSET, 0,
                            nullptr, nullptr, nullptr);
}

// The handler of that name in the library quantvec, which has the access method itself.
Datum Call(FunctionCallInfo fcinfo, const char* handler) {
    auto function =
        reinterpret_cast<PGFunction>(load_external_function("quantvec", handler, true, nullptr));
    return function(fcinfo);
}

}  // namespace

void _PG_init(void) {
    DeclareInt("hnsw.ef_search", "pgvector's size of the candidate list of a search.", &ef_search,
               40, 1, 1000);
    DefineCustomEnumVariable("hnsw.iterative_scan", "pgvector's mode of iterative scans.",
                             kNoEffect, &hnsw_iterative_scan, 0, kHnswModes, PGC_USERSET, 0,
                             nullptr, nullptr, nullptr);
    DeclareInt("hnsw.max_scan_tuples", "pgvector's limit of rows of an iterative scan.",
               &hnsw_max_scan_tuples, 20000, 1, INT_MAX);
    DefineCustomRealVariable("hnsw.scan_mem_multiplier",
                             "pgvector's memory of an iterative scan, as a multiple of work_mem.",
                             kNoEffect, &hnsw_scan_mem_multiplier, 1, 1, 1000, PGC_USERSET, 0,
                             nullptr, nullptr, nullptr);
    MarkGUCPrefixReserved("hnsw");
    DeclareInt("ivfflat.probes", "pgvector's number of lists of a search.", &probes, 1, 1, 32768);
    DefineCustomEnumVariable("ivfflat.iterative_scan", "pgvector's mode of iterative scans.",
                             kNoEffect, &ivfflat_iterative_scan, 0, kIvfflatModes, PGC_USERSET, 0,
                             nullptr, nullptr, nullptr);
    DeclareInt("ivfflat.max_probes", "pgvector's limit of lists of an iterative scan.",
               &ivfflat_max_probes, 32768, 1, 32768);
    MarkGUCPrefixReserved("ivfflat");
}

QV_SQL_FUNCTION(quantvec_as_hnsw) {
    return Call(fcinfo, "quantvec_hnsw_handler");
}
QV_SQL_FUNCTION(quantvec_as_ivfflat) {
    return Call(fcinfo, "quantvec_ivfflat_handler");
}
