// The operators of two vectors for SQL: distances and comparison.
#include <algorithm>

#include "pg/types/distance.h"
#include "pg/types/known_distance.h"
#include "pg/types/vector.h"

namespace quantvec::pg {

namespace {

struct Operands {
    const Vector* a;
    const Vector* b;
};

// The two arguments of an operator that needs equal dimensions.
Operands GetOperands(FunctionCallInfo fcinfo) {
    const Vector* a = GetVector(PG_GETARG_DATUM(0));
    const Vector* b = GetVector(PG_GETARG_DATUM(1));
    CheckDims(a->dim, b->dim);
    return {a, b};
}

template <double (*kDistance)(ConstFloatSpan, ConstFloatSpan)>
Datum DistanceResult(FunctionCallInfo fcinfo) {
    if (IsKnownDistance(kDistance, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)))
        PG_RETURN_FLOAT8(known_distance.distance);
    auto [a, b] = GetOperands(fcinfo);
    PG_RETURN_FLOAT8(kDistance(Values(a), Values(b)));
}

// Element by element, then the shorter first: as the server orders arrays.
int Compare(ConstFloatSpan a, ConstFloatSpan b) {
    for (Size i = 0; i < std::min(a.size(), b.size()); ++i) {
        if (a[i] < b[i]) return -1;
        if (a[i] > b[i]) return 1;
    }
    if (a.size() == b.size()) return 0;
    return a.size() < b.size() ? -1 : 1;
}

void FreeIfCopy(const Vector* v, Datum datum) {
    if (v != reinterpret_cast<const Vector*>(DatumGetPointer(datum))) pfree(const_cast<Vector*>(v));
}

// Compares the two arguments. Leaves no memory behind: a btree calls this for each step of a sort
// or a descent, in a context that lives as long.
int CompareOperands(FunctionCallInfo fcinfo) {
    const Vector* a = GetVector(PG_GETARG_DATUM(0));
    const Vector* b = GetVector(PG_GETARG_DATUM(1));
    int order = Compare(Values(a), Values(b));
    FreeIfCopy(a, PG_GETARG_DATUM(0));
    FreeIfCopy(b, PG_GETARG_DATUM(1));
    return order;
}

}  // namespace

}  // namespace quantvec::pg

using namespace quantvec::pg;

// ---- comparison ----

QV_SQL_FUNCTION(quantvec_vector_lt) {
    PG_RETURN_BOOL(CompareOperands(fcinfo) < 0);
}
QV_SQL_FUNCTION(quantvec_vector_le) {
    PG_RETURN_BOOL(CompareOperands(fcinfo) <= 0);
}
QV_SQL_FUNCTION(quantvec_vector_eq) {
    PG_RETURN_BOOL(CompareOperands(fcinfo) == 0);
}
QV_SQL_FUNCTION(quantvec_vector_ne) {
    PG_RETURN_BOOL(CompareOperands(fcinfo) != 0);
}
QV_SQL_FUNCTION(quantvec_vector_ge) {
    PG_RETURN_BOOL(CompareOperands(fcinfo) >= 0);
}
QV_SQL_FUNCTION(quantvec_vector_gt) {
    PG_RETURN_BOOL(CompareOperands(fcinfo) > 0);
}
QV_SQL_FUNCTION(quantvec_vector_cmp) {
    PG_RETURN_INT32(CompareOperands(fcinfo));
}

// ---- distances ----

QV_SQL_FUNCTION(quantvec_l2_distance) {
    return DistanceResult<L2Distance>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_inner_product) {
    return DistanceResult<InnerProduct>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_cosine_distance) {
    return DistanceResult<CosineDistance>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_l1_distance) {
    return DistanceResult<L1Distance>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_vector_negative_inner_product) {
    return DistanceResult<NegativeInnerProduct>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_vector_l2_squared_distance) {
    return DistanceResult<L2SqrDistance>(fcinfo);
}
