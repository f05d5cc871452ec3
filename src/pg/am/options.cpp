// Options of CREATE INDEX and settings: their limits, their texts, their defaults.
#include "pg/am/options.h"

#include "core/quant/rotation.h"
#include "pg/compat.h"
#include "pg/error.h"

namespace quantvec::pg {

int setting_probes = 0;
double setting_epsilon = 0;
bool setting_rerank = true;
int setting_rerank_candidates = 0;
int setting_iterative_scan = kIterativeStrict;
int setting_max_scan_tuples = -1;
int setting_model_cache_size = 0;

namespace {

// Default of quantvec.epsilon: the least that lost nothing to speak of (table in
// core/quant/README.md).
constexpr double kDefaultEpsilon = 3.5;

// Default of quantvec.model_cache_size, in kB: eight models of 1,000 lists at 768 dimensions.
constexpr int kDefaultModelCacheSize = 32 * 1024;

relopt_kind option_kind;

relopt_enum_elt_def quantizer_values[] = {{"bq", static_cast<int>(quant::Kind::kBq)},
                                          {"sq8", static_cast<int>(quant::Kind::kSq8)},
                                          {"sq4", static_cast<int>(quant::Kind::kSq4)},
                                          {"pq", static_cast<int>(quant::Kind::kPq)},
                                          {nullptr, 0}};

relopt_enum_elt_def level_values[] = {{"uniform", static_cast<int>(quant::Levels::kUniform)},
                                      {"lloydmax", static_cast<int>(quant::Levels::kLloydMax)},
                                      {"nf4", static_cast<int>(quant::Levels::kNf4)},
                                      {nullptr, 0}};

const config_enum_entry kIterativeValues[] = {{"off", kIterativeOff, false},
                                              {"strict_order", kIterativeStrict, false},
                                              {"relaxed_order", kIterativeRelaxed, false},
                                              {nullptr, 0, false}};

constexpr int kDefaultBits = 4;
constexpr int kDefaultPqBits = 8;

// Options that one quantizer alone takes notice of.
struct OptionOfOne {
    const char* name;
    quant::Kind quantizer;
};
constexpr OptionOfOne kOptionsOfOne[] = {{"bits", quant::Kind::kBq},
                                         {"levels", quant::Kind::kSq4},
                                         {"pq_m", quant::Kind::kPq},
                                         {"pq_bits", quant::Kind::kPq}};

// Options that do nothing: mostly of somebody who forgot to name the quantizer, and would take the
// default's figures for those of another.
void RefuseIdleOptions(Datum reloptions, quant::Kind quantizer) {
    ListCell* cell;
    foreach (cell, untransformRelOptions(reloptions)) {
        const char* name = static_cast<const DefElem*>(lfirst(cell))->defname;
        for (const OptionOfOne& option : kOptionsOfOne)
            if (strcmp(name, option.name) == 0 && option.quantizer != quantizer)
                ereport(
                    ERROR,
                    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                     errmsg("option \"%s\" does nothing with quantizer \"%s\"", name,
                            QuantizerName(quantizer)),
                     errhint("It is for quantizer \"%s\". One command changes both of an index: "
                             "ALTER INDEX ... RESET (%s), SET (quantizer = ...).",
                             QuantizerName(option.quantizer), name)));
    }
}

}  // namespace

IndexOptions DefaultOptions() {
    IndexOptions defaults = {};
    defaults.quantizer = static_cast<int>(quant::Kind::kBq);
    defaults.bits = kDefaultBits;
    defaults.pq_bits = kDefaultPqBits;
    return defaults;
}

IndexOptions OptionsOf(Relation index) {
    return index->rd_options ? *reinterpret_cast<IndexOptions*>(index->rd_options)
                             : DefaultOptions();
}

bytea* AmOptions(Datum reloptions, bool validate) {
    static constexpr relopt_parse_elt kTable[] = {
        OptionAt("quantizer", RELOPT_TYPE_ENUM, offsetof(IndexOptions, quantizer)),
        OptionAt("bits", RELOPT_TYPE_INT, offsetof(IndexOptions, bits)),
        OptionAt("levels", RELOPT_TYPE_ENUM, offsetof(IndexOptions, levels)),
        OptionAt("pq_m", RELOPT_TYPE_INT, offsetof(IndexOptions, pq_m)),
        OptionAt("pq_bits", RELOPT_TYPE_INT, offsetof(IndexOptions, pq_bits)),
        OptionAt("lists", RELOPT_TYPE_INT, offsetof(IndexOptions, lists)),
        OptionAt("probes", RELOPT_TYPE_INT, offsetof(IndexOptions, probes)),
    };
    auto* options = static_cast<IndexOptions*>(build_reloptions(
        reloptions, validate, option_kind, sizeof(IndexOptions), kTable, lengthof(kTable)));
    // Not of an index that is there: it must open whatever its options.
    if (options && validate) {
        RefuseIdleOptions(reloptions, static_cast<quant::Kind>(options->quantizer));
        if (options->pq_bits != 4 && options->pq_bits != 8)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("pq_bits must be 4 or 8, not %d", options->pq_bits)));
    }
    return reinterpret_cast<bytea*>(options);
}

void CheckOptionsFor(const IndexOptions& options, Element element) {
    const IndexOptions none = DefaultOptions();
    if (element == Element::kBit &&
        (options.quantizer != none.quantizer || options.bits != none.bits))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("an index on type bit has no choice of a quantizer"),
                        errhint("Its codes are the bits themselves. Of an index that is there: "
                                "ALTER INDEX ... RESET (quantizer, bits).")));
}

quant::Spec SpecOf(const IndexOptions& options, Element element, Metric metric, std::size_t dim) {
    quant::Spec spec = {};
    spec.kind = static_cast<quant::Kind>(options.quantizer);
    spec.padded_dim = static_cast<std::uint32_t>(quant::PaddedDim(dim));
    if (element == Element::kBit) {
        spec.kind = metric == Metric::kJaccard ? quant::Kind::kSets : quant::Kind::kBits;
        spec.bits = 1;
        spec.dim = static_cast<std::uint32_t>(dim);
        return spec;
    }
    spec.bits = 8;
    if (spec.kind == quant::Kind::kBq) spec.bits = static_cast<std::uint8_t>(options.bits);
    if (spec.kind == quant::Kind::kSq4) {
        spec.bits = 4;
        spec.levels = static_cast<quant::Levels>(options.levels);
    }
    if (spec.kind == quant::Kind::kPq) {
        spec.bits = static_cast<std::uint8_t>(options.pq_bits);
        spec.m = options.pq_m > 0 ? static_cast<std::uint32_t>(options.pq_m)
                                  : Max(static_cast<std::uint32_t>(dim / 8), 1u);
    }
    return spec;
}

int WishedProbes(const IndexOptions& options) {
    return setting_probes > 0 ? setting_probes : options.probes;
}

int ProbesFor(int wished, int lists) {
    if (wished <= 0) wished = static_cast<int>(ceil(3 * sqrt(static_cast<double>(lists))));
    return Min(wished, lists);
}

const char* QuantizerName(quant::Kind kind) {
    // Not options: the codes of type bit.
    if (kind == quant::Kind::kBits) return "bits";
    if (kind == quant::Kind::kSets) return "sets";
    for (const relopt_enum_elt_def* value = quantizer_values; value->string_val; value++)
        if (value->symbol_val == static_cast<int>(kind)) return value->string_val;
    return nullptr;
}

void InitOptions() {
    option_kind = add_reloption_kind();
    add_enum_reloption(option_kind, "quantizer", "Code that the index keeps of each vector",
                       quantizer_values, static_cast<int>(quant::Kind::kBq),
                       "Valid values are \"bq\", \"sq8\", \"sq4\" and \"pq\".",
                       AccessExclusiveLock);
    add_int_reloption(option_kind, "bits", "Bits a dimension, for quantizer bq", kDefaultBits, 1, 8,
                      AccessExclusiveLock);
    add_enum_reloption(option_kind, "levels", "Where the 16 levels lie, for quantizer sq4",
                       level_values, static_cast<int>(quant::Levels::kUniform),
                       "Valid values are \"uniform\", \"lloydmax\" and \"nf4\".",
                       AccessExclusiveLock);
    add_int_reloption(option_kind, "pq_m",
                      "Sub-quantizers, for quantizer pq; 0 is an eighth of the dimensions", 0, 0,
                      kMaxDim, AccessExclusiveLock);
    add_int_reloption(option_kind, "pq_bits", "Bits of a sub-quantizer, 4 or 8, for quantizer pq",
                      kDefaultPqBits, 4, 8, AccessExclusiveLock);
    add_int_reloption(option_kind, "lists",
                      "Number of inverted lists; 0 takes it from the row count", 0, 0, kMaxLists,
                      AccessExclusiveLock);
    add_int_reloption(
        option_kind, "probes",
        "Lists that a scan probes unless quantvec.probes says otherwise; 0 is automatic", 0, 0,
        kMaxLists, ShareUpdateExclusiveLock);

    // GUC_EXPLAIN: what decides the answer and its speed is shown by EXPLAIN (SETTINGS).
    DefineCustomIntVariable("quantvec.probes", "Sets the number of lists that a scan probes.",
                            "0 takes the index option, or else ceil(3 * sqrt(lists)).",
                            &setting_probes, 0, 0, kMaxLists, PGC_USERSET, GUC_EXPLAIN, nullptr,
                            nullptr, nullptr);
    DefineCustomRealVariable(
        "quantvec.epsilon", "Sets how many standard errors the bounds of codes keep.",
        "Less is faster; too little loses rows that the codes rank badly.", &setting_epsilon,
        kDefaultEpsilon, 0, 100, PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable(
        "quantvec.rerank", "Orders by the exact distance of the table's vectors.",
        "Off orders by the estimate from the codes and never reads the table.", &setting_rerank,
        true, PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("quantvec.rerank_candidates",
                            "Sets how many rows, the best by estimate, are reranked at a time.",
                            "0 reranks as many as the bounds of the codes require.",
                            &setting_rerank_candidates, 0, 0, kMaxRerankCandidates, PGC_USERSET,
                            GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable(
        "quantvec.iterative_scan",
        "Sets what happens when more rows are wanted than the probed lists gave.",
        "off stops; strict_order goes on and drops rows that come too late for "
        "the order; relaxed_order goes on and returns them.",
        &setting_iterative_scan, kIterativeStrict, kIterativeValues, PGC_USERSET, GUC_EXPLAIN,
        nullptr, nullptr, nullptr);
    DefineCustomIntVariable("quantvec.max_scan_tuples",
                            "Sets the number of codes after which a scan opens no further list.",
                            "-1 and 0 mean no limit.", &setting_max_scan_tuples, -1, -1, INT_MAX,
                            PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "quantvec.model_cache_size",
        "Sets the memory in which a session keeps what it knows of indexes that no query uses.",
        "The index that was used last is kept whatever its size.", &setting_model_cache_size,
        kDefaultModelCacheSize, 0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr,
        nullptr);
}

}  // namespace quantvec::pg
