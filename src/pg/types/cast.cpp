// Casts between `vector` and arrays. A cast function is called with the value, the type modifier of
// the target (-1 for none) and whether the cast is explicit, which changes nothing here.
#include <cstring>

#include "pg/memory.h"
#include "pg/types/vector.h"

namespace quantvec::pg {
namespace {

// `to.size()` elements of an array without nulls: they lie one after the other.
template <typename Element>
void CopyElements(const ArrayType* from, FloatSpan to) {
    const Element* elements = reinterpret_cast<const Element*>(ARR_DATA_PTR(from));
    for (Size i = 0; i < to.size(); ++i) to[i] = static_cast<float>(elements[i]);
}

void CopyNumerics(ArrayType* from, FloatSpan to) {
    Datum* elements;
    int n;
    deconstruct_array(from, NUMERICOID, -1, false, TYPALIGN_INT, &elements, nullptr, &n);
    for (Size i = 0; i < to.size(); ++i)
        to[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
    pfree(elements);
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;

// vector -> vector(n)
QV_SQL_FUNCTION(quantvec_vector) {
    const Vector* v = GetVector(PG_GETARG_DATUM(0));
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    PG_RETURN_POINTER(v);
}

// integer[], real[], double precision[], numeric[] -> vector
QV_SQL_FUNCTION(quantvec_array_to_vector) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("array must be 1-D")));
    if (ARR_HASNULL(array) && array_contains_nulls(array))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("array must not contain nulls")));
    int dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    CheckDim(dim);
    CheckExpectedDim(PG_GETARG_INT32(1), dim);

    Vector* result = NewVector(dim);
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
    for (float value : Values(result)) CheckElement(value);
    PG_RETURN_POINTER(result);
}

// vector -> real[]
QV_SQL_FUNCTION(quantvec_vector_to_float4) {
    const Vector* v = GetVector(PG_GETARG_DATUM(0));
    Size value_bytes = Values(v).size_bytes();
    Size bytes = ARR_OVERHEAD_NONULLS(1) + value_bytes;
    ArrayType* result = NewValue<ArrayType>(bytes);
    result->ndim = 1;
    result->elemtype = FLOAT4OID;
    ARR_DIMS(result)[0] = v->dim;
    ARR_LBOUND(result)[0] = 1;
    std::memcpy(ARR_DATA_PTR(result), v->x, value_bytes);
    PG_RETURN_POINTER(result);
}
