// The operators of two dense vectors for SQL: distances and comparison.
#include <algorithm>

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
Datum L2(FunctionCallInfo fcinfo) {
    return DistanceOf<Measure::kL2, Element>(fcinfo);
}
template <class Element>
Datum L2Sqr(FunctionCallInfo fcinfo) {
    return DistanceOf<Measure::kL2Sqr, Element>(fcinfo);
}
template <class Element>
Datum InnerProduct(FunctionCallInfo fcinfo) {
    return DistanceOf<Measure::kInnerProduct, Element>(fcinfo);
}
template <class Element>
Datum NegativeInnerProduct(FunctionCallInfo fcinfo) {
    return DistanceOf<Measure::kNegativeInnerProduct, Element>(fcinfo);
}
template <class Element>
Datum Cosine(FunctionCallInfo fcinfo) {
    return DistanceOf<Measure::kCosine, Element>(fcinfo);
}
template <class Element>
Datum L1(FunctionCallInfo fcinfo) {
    return DistanceOf<Measure::kL1, Element>(fcinfo);
}
template <class Element>
Datum Spherical(FunctionCallInfo fcinfo) {
    return DistanceOf<Measure::kSpherical, Element>(fcinfo);
}

// Element by element, then the shorter first: as the server orders arrays.
template <class Element>
int Compare(std::span<const Element> a, std::span<const Element> b) {
    for (Size i = 0; i < std::min(a.size(), b.size()); ++i) {
        const float x = ToFloat(a[i]), y = ToFloat(b[i]);
        if (x < y) return -1;
        if (x > y) return 1;
    }
    if (a.size() == b.size()) return 0;
    return a.size() < b.size() ? -1 : 1;
}

void FreeIfCopy(const void* v, Datum datum) {
    if (v != DatumGetPointer(datum)) pfree(const_cast<void*>(v));
}

// Compares the two arguments. Leaves no memory behind: a btree calls this for each step of a sort
// or a descent, in a context that lives as long.
template <class Element>
int Compare(FunctionCallInfo fcinfo) {
    const auto* a = GetDense<Element>(PG_GETARG_DATUM(0));
    const auto* b = GetDense<Element>(PG_GETARG_DATUM(1));
    const int order = Compare(Values(a), Values(b));
    FreeIfCopy(a, PG_GETARG_DATUM(0));
    FreeIfCopy(b, PG_GETARG_DATUM(1));
    return order;
}

template <class Element>
Datum Less(FunctionCallInfo fcinfo) {
    PG_RETURN_BOOL(Compare<Element>(fcinfo) < 0);
}
template <class Element>
Datum LessOrEqual(FunctionCallInfo fcinfo) {
    PG_RETURN_BOOL(Compare<Element>(fcinfo) <= 0);
}
template <class Element>
Datum Equal(FunctionCallInfo fcinfo) {
    PG_RETURN_BOOL(Compare<Element>(fcinfo) == 0);
}
template <class Element>
Datum NotEqual(FunctionCallInfo fcinfo) {
    PG_RETURN_BOOL(Compare<Element>(fcinfo) != 0);
}
template <class Element>
Datum GreaterOrEqual(FunctionCallInfo fcinfo) {
    PG_RETURN_BOOL(Compare<Element>(fcinfo) >= 0);
}
template <class Element>
Datum Greater(FunctionCallInfo fcinfo) {
    PG_RETURN_BOOL(Compare<Element>(fcinfo) > 0);
}
template <class Element>
Datum Order(FunctionCallInfo fcinfo) {
    PG_RETURN_INT32(Compare<Element>(fcinfo));
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;

// ---- comparison ----

QV_DENSE_FUNCTION(lt, Less)
QV_DENSE_FUNCTION(le, LessOrEqual)
QV_DENSE_FUNCTION(eq, Equal)
QV_DENSE_FUNCTION(ne, NotEqual)
QV_DENSE_FUNCTION(ge, GreaterOrEqual)
QV_DENSE_FUNCTION(gt, Greater)
QV_DENSE_FUNCTION(cmp, Order)

// ---- distances ----

QV_DENSE_FUNCTION(l2_distance, L2)
QV_DENSE_FUNCTION(l2_squared_distance, L2Sqr)
QV_DENSE_FUNCTION(inner_product, InnerProduct)
QV_DENSE_FUNCTION(negative_inner_product, NegativeInnerProduct)
QV_DENSE_FUNCTION(cosine_distance, Cosine)
QV_DENSE_FUNCTION(l1_distance, L1)
QV_DENSE_FUNCTION(spherical_distance, Spherical)
