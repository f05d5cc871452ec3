// The operator classes: amvalidate, and what the class says of metric and values.
#include "pg/am/opclass.h"

#include "core/kernels/kernels.h"
#include "pg/error.h"
#include "pg/memory.h"
#include "pg/types/bits.h"
#include "pg/types/dense.h"
#include "pg/types/int8vec.h"

namespace quantvec::pg {

namespace {

ConstFloatSpan VectorValues(Datum datum) {
    return Values(GetDense<float>(datum));
}

ConstFloatSpan HalfvecValues(Datum datum) {
    const auto half = Values(GetDense<Half>(datum));
    const FloatSpan values = NewSpan<float>(half.size());
    kernels::Active().half_to_float(half.data(), half.size(), values.data());
    return values;
}

ConstFloatSpan Int8Values(Datum datum) {
    return Decode(GetInt8Vec(datum));
}

// 0 and 1.
ConstFloatSpan BitValues(Datum datum) {
    const VarBit* bits = GetBits(datum);
    const FloatSpan values = NewSpan<float>(static_cast<Size>(VARBITLEN(bits)));
    for (int i = 0; i < VARBITLEN(bits); ++i) values[static_cast<Size>(i)] = BitAt(bits, i);
    return values;
}

constexpr Measure MeasureOf(Metric metric) {
    switch (metric) {
        case Metric::kL2:
            return Measure::kL2;
        case Metric::kInnerProduct:
            return Measure::kNegativeInnerProduct;
        case Metric::kCosine:
            return Measure::kCosine;
        case Metric::kHamming:
            return Measure::kHamming;
        case Metric::kJaccard:
            return Measure::kJaccard;
    }
}

constexpr ElementInfo kVector = {Element::kFloat, "vector", "vector dimensions", kMaxDim,
                                 VectorValues};
constexpr ElementInfo kHalfvec = {Element::kHalf, "halfvec", "halfvec dimensions", kMaxDim,
                                  HalfvecValues};
constexpr ElementInfo kInt8vec = {Element::kInt8, "int8vec", "int8vec dimensions", kMaxDim,
                                  Int8Values};
constexpr ElementInfo kBit = {Element::kBit, "bit", "bit lengths", kMaxIndexedBits, BitValues};

// Distances are those of floats for every element: the same bits (pg/types/distance.h).
template <const ElementInfo& kType, Metric kMetric>
constexpr OpclassInfo kInfo = {kType, nullptr, kMetric, MeasureOf(kMetric),
                               Distance<MeasureOf(kMetric), float>};

// The squared L2 distance of zeros and ones counts the bits that differ, and a float holds it.
constexpr OpclassInfo kHamming = {kBit, nullptr, Metric::kHamming, Measure::kHamming,
                                  Distance<Measure::kL2Sqr, float>};

// Sums of zeros and ones: floats hold them, too.
double JaccardOfFloats(ConstFloatSpan a, ConstFloatSpan b) {
    const kernels::Kernels& k = kernels::Active();
    const double both = k.inner_product(a.data(), b.data(), a.size());
    return JaccardDistance(both, both + k.l2sqr(a.data(), b.data(), a.size()));
}

constexpr OpclassInfo kJaccard = {kBit, nullptr, Metric::kJaccard, Measure::kJaccard,
                                  JaccardOfFloats};

constexpr OpclassInfo Refused(const char* instead) {
    OpclassInfo info = {};
    info.refused = instead;
    return info;
}
constexpr OpclassInfo kNoL1 =
    Refused("Build an index for <->, and rank its nearest rows again by <+>.");
constexpr OpclassInfo kNoSparse =
    Refused("Up to 16000 dimensions, index a cast: ((column::vector(n)) vector_l2_ops).");

}  // namespace

const OpclassInfo& OpclassOf(Relation index) {
    FmgrInfo* info = index_getprocinfo(index, 1, kProcInfo);
    return *reinterpret_cast<const OpclassInfo*>(DatumGetPointer(FunctionCall1(info, Datum{0})));
}

void CheckBuildable(Relation index) {
    const OpclassInfo& info = OpclassOf(index);
    if (!info.refused) return;
    bool isnull = false;
    const Datum classes =
        SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indclass, &isnull);
    const Oid opclass = reinterpret_cast<oidvector*>(DatumGetPointer(classes))->values[0];
    HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for operator class %u", opclass);
    char* name = pstrdup(NameStr(reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple))->opcname));
    ReleaseSysCache(tuple);
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("quantvec has no index for operator class \"%s\"", name),
                    errhint("%s", info.refused)));
}

bool AmValidate(Oid opclass) {
    HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for operator class %u", opclass);
    const auto* form = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple));
    const Oid family = form->opcfamily;
    const Oid type = form->opcintype;
    char* name = pstrdup(NameStr(form->opcname));
    ReleaseSysCache(tuple);

    bool sound = true;
    int infos = 0, orderings = 0;
    CatCList* procs = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(family));
    for (int i = 0; i < procs->n_members; i++) {
        const auto* proc = reinterpret_cast<Form_pg_amproc>(GETSTRUCT(&procs->members[i]->tuple));
        if (proc->amproclefttype != type) continue;
        if (proc->amprocnum != kProcInfo ||
            !check_amproc_signature(proc->amproc, INTERNALOID, true, 1, 1, INTERNALOID)) {
            ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                           errmsg("operator class \"%s\" of access method quantvec has function %s "
                                  "with support number %d, which does not fit",
                                  name, format_procedure(proc->amproc), proc->amprocnum)));
            sound = false;
        } else {
            infos++;
        }
    }
    ReleaseCatCacheList(procs);

    CatCList* operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family));
    for (int i = 0; i < operators->n_members; i++) {
        const auto* op = reinterpret_cast<Form_pg_amop>(GETSTRUCT(&operators->members[i]->tuple));
        if (op->amoplefttype != type) continue;
        if (op->amopstrategy != kStrategyDistance || op->amoppurpose != AMOP_ORDER ||
            !check_amop_signature(op->amopopr, FLOAT8OID, type, type) ||
            !opfamily_can_sort_type(op->amopsortfamily, FLOAT8OID)) {
            ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                           errmsg("operator class \"%s\" of access method quantvec has operator %s "
                                  "with strategy number %d, which does not fit",
                                  name, format_operator(op->amopopr), op->amopstrategy)));
            sound = false;
        } else {
            orderings++;
        }
    }
    ReleaseCatCacheList(operators);

    if (infos != 1 || orderings != 1) {
        ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                       errmsg("operator class \"%s\" of access method quantvec needs one ordering "
                              "operator and one support function, not %d and %d",
                              name, orderings, infos)));
        sound = false;
    }
    return sound;
}

}  // namespace quantvec::pg

using namespace quantvec;
using namespace quantvec::pg;

QV_SQL_FUNCTION(quantvec_vector_l2_info) {
    PG_RETURN_POINTER((&kInfo<kVector, Metric::kL2>));
}
QV_SQL_FUNCTION(quantvec_vector_ip_info) {
    PG_RETURN_POINTER((&kInfo<kVector, Metric::kInnerProduct>));
}
QV_SQL_FUNCTION(quantvec_vector_cosine_info) {
    PG_RETURN_POINTER((&kInfo<kVector, Metric::kCosine>));
}
QV_SQL_FUNCTION(quantvec_halfvec_l2_info) {
    PG_RETURN_POINTER((&kInfo<kHalfvec, Metric::kL2>));
}
QV_SQL_FUNCTION(quantvec_halfvec_ip_info) {
    PG_RETURN_POINTER((&kInfo<kHalfvec, Metric::kInnerProduct>));
}
QV_SQL_FUNCTION(quantvec_halfvec_cosine_info) {
    PG_RETURN_POINTER((&kInfo<kHalfvec, Metric::kCosine>));
}

QV_SQL_FUNCTION(quantvec_int8vec_l2_info) {
    PG_RETURN_POINTER((&kInfo<kInt8vec, Metric::kL2>));
}
QV_SQL_FUNCTION(quantvec_int8vec_ip_info) {
    PG_RETURN_POINTER((&kInfo<kInt8vec, Metric::kInnerProduct>));
}
QV_SQL_FUNCTION(quantvec_int8vec_cosine_info) {
    PG_RETURN_POINTER((&kInfo<kInt8vec, Metric::kCosine>));
}
QV_SQL_FUNCTION(quantvec_bit_hamming_info) {
    PG_RETURN_POINTER(&kHamming);
}
QV_SQL_FUNCTION(quantvec_bit_jaccard_info) {
    PG_RETURN_POINTER(&kJaccard);
}

// Classes that pgvector has, and for which there are no codes yet.
QV_SQL_FUNCTION(quantvec_no_l1_info) {
    PG_RETURN_POINTER(&kNoL1);
}
QV_SQL_FUNCTION(quantvec_no_sparsevec_info) {
    PG_RETURN_POINTER(&kNoSparse);
}
