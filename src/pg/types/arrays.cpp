// Arrays of numbers, as floats.
#include "pg/types/arrays.h"

#include "pg/memory.h"

namespace quantvec::pg {
namespace {

// Elements of an array without nulls: they lie one after the other.
template <typename Element>
ConstFloatSpan Convert(ArrayType* array, Size n) {
    const auto* elements = reinterpret_cast<const Element*>(ARR_DATA_PTR(array));
    const FloatSpan floats = NewSpan<float>(n);
    for (Size i = 0; i < n; ++i) floats[i] = static_cast<float>(elements[i]);
    return floats;
}

ConstFloatSpan ConvertNumerics(ArrayType* array, Size n) {
    Datum* elements;
    int count;
    deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &elements, nullptr, &count);
    const FloatSpan floats = NewSpan<float>(n);
    for (Size i = 0; i < n; ++i)
        floats[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
    pfree(elements);
    return floats;
}

}  // namespace

int CheckedLength(ArrayType* array) {
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("array must be 1-D")));
    if (ARR_HASNULL(array) && array_contains_nulls(array))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("array must not contain nulls")));
    return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

ConstFloatSpan FloatsOf(ArrayType* array) {
    const auto n = static_cast<Size>(ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
    switch (ARR_ELEMTYPE(array)) {
        case INT4OID:
            return Convert<int32>(array, n);
        case FLOAT4OID:
            return {reinterpret_cast<const float*>(ARR_DATA_PTR(array)), n};
        case FLOAT8OID:
            return Convert<float8>(array, n);
        case NUMERICOID:
            return ConvertNumerics(array, n);
        default:
            ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("unsupported array type")));
    }
}

ArrayType* NewFloatArray(int n, float** elements) {
    auto* array =
        NewValue<ArrayType>(ARR_OVERHEAD_NONULLS(1) + sizeof(float) * static_cast<Size>(n));
    array->ndim = 1;
    array->elemtype = FLOAT4OID;
    ARR_DIMS(array)[0] = n;
    ARR_LBOUND(array)[0] = 1;
    *elements = reinterpret_cast<float*>(ARR_DATA_PTR(array));
    return array;
}

}  // namespace quantvec::pg
