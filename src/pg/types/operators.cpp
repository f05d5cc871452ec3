// The operators of two dense vectors for SQL: distances and comparison.
#include "pg/types/compare.h"
#include "pg/types/dense.h"
#include "pg/types/distance.h"
#include "pg/types/known_distance.h"

namespace quantvec::pg {
namespace {

template <Measure kMeasure, class Element>
Datum DistanceOf(FunctionCallInfo fcinfo) {
    if (IsKnownDistance(kMeasure, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)))
        PG_RETURN_FLOAT8(known_distance.distance);
    const auto* a = GetDense<Element>(PG_GETARG_DATUM(0));
    const auto* b = GetDense<Element>(PG_GETARG_DATUM(1));
    CheckDims(a->dim, b->dim, kTypeName<Element>);
    PG_RETURN_FLOAT8(Distance<kMeasure>(Values(a), Values(b)));
}

template <class Element>
int Compare(FunctionCallInfo fcinfo) {
    const auto* a = GetDense<Element>(PG_GETARG_DATUM(0));
    const auto* b = GetDense<Element>(PG_GETARG_DATUM(1));
    const int order = CompareElements(Values(a), Values(b));
    FreeIfCopy(a, PG_GETARG_DATUM(0));
    FreeIfCopy(b, PG_GETARG_DATUM(1));
    return order;
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;
using quantvec::Half;

QV_COMPARISONS(vector, Compare<float>)
QV_COMPARISONS(halfvec, Compare<Half>)

// The distance by a measure, of both types.
#define QV_DISTANCE(name, measure)                          \
    QV_SQL_FUNCTION(quantvec_vector_##name) {               \
        return DistanceOf<Measure::measure, float>(fcinfo); \
    }                                                       \
    QV_SQL_FUNCTION(quantvec_halfvec_##name) {              \
        return DistanceOf<Measure::measure, Half>(fcinfo);  \
    }
QV_DISTANCE(l2_distance, kL2)
QV_DISTANCE(l2_squared_distance, kL2Sqr)
QV_DISTANCE(inner_product, kInnerProduct)
QV_DISTANCE(negative_inner_product, kNegativeInnerProduct)
QV_DISTANCE(cosine_distance, kCosine)
QV_DISTANCE(l1_distance, kL1)
QV_DISTANCE(spherical_distance, kSpherical)
