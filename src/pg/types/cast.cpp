// Casts of `vector` and `halfvec`: between them, and from and to arrays. A cast function is called
// with the value, the type modifier of the target (-1 for none) and whether the cast is explicit,
// which changes nothing here.
#include <cstring>

#include "core/kernels/kernels.h"
#include "pg/memory.h"
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

// `to.size()` elements of an array without nulls: they lie one after the other.
template <class From, class Element>
void CopyElements(const ArrayType* from, std::span<Element> to) {
    const auto* elements = reinterpret_cast<const From*>(ARR_DATA_PTR(from));
    for (Size i = 0; i < to.size(); ++i) to[i] = Narrow<Element>(static_cast<float>(elements[i]));
}

template <class Element>
void CopyNumerics(ArrayType* from, std::span<Element> to) {
    Datum* elements;
    int n;
    deconstruct_array(from, NUMERICOID, -1, false, TYPALIGN_INT, &elements, nullptr, &n);
    for (Size i = 0; i < to.size(); ++i)
        to[i] = Narrow<Element>(DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i])));
    pfree(elements);
}

// from integer[], real[], double precision[], numeric[]
template <class Element>
Datum FromArray(FunctionCallInfo fcinfo) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    const int dim = CheckedLength(array);
    CheckDim(dim, kTypeName<Element>);
    CheckExpectedDim(PG_GETARG_INT32(1), dim);

    auto* result = NewDense<Element>(dim);
    switch (ARR_ELEMTYPE(array)) {
        case INT4OID:
            CopyElements<int32>(array, Values(result));
            break;
        case FLOAT4OID:
            CopyElements<float4>(array, Values(result));
            break;
        case FLOAT8OID:
            CopyElements<float8>(array, Values(result));
            break;
        case NUMERICOID:
            CopyNumerics(array, Values(result));
            break;
        default:
            ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("unsupported array type")));
    }
    for (const Element value : Values(result)) CheckElement(ToFloat(value), kTypeName<Element>);
    PG_RETURN_POINTER(result);
}

// to real[]
template <class Element>
Datum ToArray(FunctionCallInfo fcinfo) {
    const auto* v = GetDense<Element>(PG_GETARG_DATUM(0));
    const Size bytes = ARR_OVERHEAD_NONULLS(1) + sizeof(float4) * static_cast<Size>(v->dim);
    auto* result = NewValue<ArrayType>(bytes);
    result->ndim = 1;
    result->elemtype = FLOAT4OID;
    ARR_DIMS(result)[0] = v->dim;
    ARR_LBOUND(result)[0] = 1;
    auto* elements = reinterpret_cast<float4*>(ARR_DATA_PTR(result));
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
