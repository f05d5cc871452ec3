// Casts of `vector` and `halfvec`: between them, and from and to arrays. A cast function is called
// with the value, the type modifier of the target (-1 for none) and whether the cast is explicit,
// which changes nothing here.
#include "core/kernels/kernels.h"
#include "pg/types/arrays.h"
#include "pg/types/dense.h"

namespace quantvec::pg {
namespace {

// to TYPE(n)
template <class Element>
Datum ToTypmod(FunctionCallInfo fcinfo) {
    const auto* v = GetDense<Element>(PG_GETARG_DATUM(0));
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    PG_RETURN_POINTER(v);
}

// from integer[], real[], double precision[], numeric[]
template <class Element>
Datum FromArray(FunctionCallInfo fcinfo) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    const int dim = CheckedLength(array);
    CheckDim(dim, kTypeName<Element>);
    CheckExpectedDim(PG_GETARG_INT32(1), dim);
    const ConstFloatSpan floats = FloatsOf(array);
    auto* result = NewDense<Element>(dim);
    for (Size i = 0; i < floats.size(); ++i) result->x[i] = Narrow<Element>(floats[i]);
    for (const float value : floats) CheckElement(value, kTypeName<Element>);
    PG_RETURN_POINTER(result);
}

// to real[]
template <class Element>
Datum ToArray(FunctionCallInfo fcinfo) {
    const auto* v = GetDense<Element>(PG_GETARG_DATUM(0));
    float* elements;
    ArrayType* result = NewFloatArray(v->dim, &elements);
    for (int i = 0; i < v->dim; ++i) elements[i] = ToFloat(v->x[i]);
    PG_RETURN_POINTER(result);
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;
using quantvec::Half;

QV_DENSE_FUNCTION(typmod, ToTypmod)
QV_DENSE_FUNCTION(from_array, FromArray)
QV_DENSE_FUNCTION(to_float4, ToArray)

QV_SQL_FUNCTION(quantvec_halfvec_to_vector) {
    const auto* half = GetDense<Half>(PG_GETARG_DATUM(0));
    CheckExpectedDim(PG_GETARG_INT32(1), half->dim);
    auto* result = NewDense<float>(half->dim);
    quantvec::kernels::Active().half_to_float(half->x, static_cast<Size>(half->dim), result->x);
    PG_RETURN_POINTER(result);
}

QV_SQL_FUNCTION(quantvec_vector_to_halfvec) {
    const auto* v = GetDense<float>(PG_GETARG_DATUM(0));
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    auto* result = NewDense<Half>(v->dim);
    for (int i = 0; i < v->dim; ++i) result->x[i] = Narrow<Half>(v->x[i]);
    PG_RETURN_POINTER(result);
}
