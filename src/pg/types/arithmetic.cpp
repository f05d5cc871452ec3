// Functions of `vector` and `halfvec` that are no distances: norms, parts, sums and products.
// halfvec is computed in float, and each element then rounded to the nearest half.
#include <algorithm>
#include <cmath>

#include "pg/memory.h"
#include "pg/types/bits.h"
#include "pg/types/dense.h"

namespace quantvec::pg {
namespace {

template <class Element>
const Dense<Element>* Argument(FunctionCallInfo fcinfo, int i = 0) {
    return GetDense<Element>(PG_GETARG_DATUM(i));
}

// ---- of one vector ----

template <class Element>
Datum Dims(FunctionCallInfo fcinfo) {
    PG_RETURN_INT32(Argument<Element>(fcinfo)->dim);
}

// In double: the square of a large float is beyond the float range.
template <class Element>
double NormOf(std::span<const Element> x) {
    double sum = 0;
    for (const Element value : x) sum += static_cast<double>(ToFloat(value)) * ToFloat(value);
    return std::sqrt(sum);
}

template <class Element>
Datum Norm(FunctionCallInfo fcinfo) {
    PG_RETURN_FLOAT8(NormOf(Values(Argument<Element>(fcinfo))));
}

template <class Element>
Datum Normalize(FunctionCallInfo fcinfo) {
    const auto* v = Argument<Element>(fcinfo);
    auto* result = NewDense<Element>(v->dim);
    const double norm = NormOf(Values(v));
    // A zero vector has no direction and stays as it is.
    if (norm > 0) {
        for (int i = 0; i < v->dim; ++i) {
            result->x[i] = Nearest<Element>(static_cast<float>(ToFloat(v->x[i]) / norm));
            if (std::isinf(ToFloat(result->x[i]))) float_overflow_error();
        }
    }
    PG_RETURN_POINTER(result);
}

template <class Element>
Datum BinaryQuantize(FunctionCallInfo fcinfo) {
    const auto* v = Argument<Element>(fcinfo);
    VarBit* result = NewBits(v->dim);
    bits8* bits = VARBITS(result);
    // Whole bytes apart: the compiler makes vector code of them.
    int i = 0;
    for (; i + 8 <= v->dim; i += 8) {
        int byte = 0;
        for (int j = 0; j < 8; ++j) byte |= (ToFloat(v->x[i + j]) > 0) << (7 - j);
        bits[i / 8] = static_cast<bits8>(byte);
    }
    for (; i < v->dim; ++i)
        bits[i / 8] |= static_cast<bits8>((ToFloat(v->x[i]) > 0) << (7 - i % 8));
    PG_RETURN_VARBIT_P(result);
}

// Elements `start` to `start + count - 1`, counted from 1; those that are not there are left out,
// as substring does.
template <class Element>
Datum Subvector(FunctionCallInfo fcinfo) {
    const auto* v = Argument<Element>(fcinfo);
    const int64 start = PG_GETARG_INT32(1), count = PG_GETARG_INT32(2);
    const int64 first = Max(start, int64{1});
    const int64 behind = Min(start + count, int64{v->dim} + 1);
    const int64 dim = count < 1 ? 0 : behind - first;
    CheckDim(static_cast<int>(Max(dim, int64{0})), kTypeName<Element>);
    auto* result = NewDense<Element>(static_cast<int>(dim));
    std::copy_n(v->x + first - 1, dim, result->x);
    PG_RETURN_POINTER(result);
}

// ---- of two vectors ----

// Element by element.
template <class Element, class Compute>
Datum Pairwise(FunctionCallInfo fcinfo, Compute compute) {
    const auto* a = Argument<Element>(fcinfo, 0);
    const auto* b = Argument<Element>(fcinfo, 1);
    CheckDims(a->dim, b->dim, kTypeName<Element>);
    auto* result = NewDense<Element>(a->dim);
    bool overflow = false;
    for (int i = 0; i < a->dim; ++i) {
        result->x[i] = Nearest<Element>(compute(ToFloat(a->x[i]), ToFloat(b->x[i])));
        overflow |= std::isinf(ToFloat(result->x[i]));
    }
    if (overflow) float_overflow_error();
    PG_RETURN_POINTER(result);
}

template <class Element>
Datum Add(FunctionCallInfo fcinfo) {
    return Pairwise<Element>(fcinfo, [](float a, float b) { return a + b; });
}

template <class Element>
Datum Subtract(FunctionCallInfo fcinfo) {
    return Pairwise<Element>(fcinfo, [](float a, float b) { return a - b; });
}

template <class Element>
Datum Multiply(FunctionCallInfo fcinfo) {
    const Datum product = Pairwise<Element>(fcinfo, [](float a, float b) { return a * b; });
    const auto* result = reinterpret_cast<const Dense<Element>*>(DatumGetPointer(product));
    const auto* a = Argument<Element>(fcinfo, 0);
    const auto* b = Argument<Element>(fcinfo, 1);
    for (int i = 0; i < result->dim; ++i)
        if (ToFloat(result->x[i]) == 0 && ToFloat(a->x[i]) != 0 && ToFloat(b->x[i]) != 0)
            float_underflow_error();
    return product;
}

template <class Element>
Datum Concatenate(FunctionCallInfo fcinfo) {
    const auto* a = Argument<Element>(fcinfo, 0);
    const auto* b = Argument<Element>(fcinfo, 1);
    CheckDim(a->dim + b->dim, kTypeName<Element>);
    auto* result = NewDense<Element>(a->dim + b->dim);
    std::copy_n(a->x, a->dim, result->x);
    std::copy_n(b->x, b->dim, result->x + a->dim);
    PG_RETURN_POINTER(result);
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;

QV_DENSE_FUNCTION(dims, Dims)
QV_DENSE_FUNCTION(norm, Norm)
QV_DENSE_FUNCTION(normalize, Normalize)
QV_DENSE_FUNCTION(binary_quantize, BinaryQuantize)
QV_DENSE_FUNCTION(subvector, Subvector)
QV_DENSE_FUNCTION(add, Add)
QV_DENSE_FUNCTION(sub, Subtract)
QV_DENSE_FUNCTION(mul, Multiply)
QV_DENSE_FUNCTION(concat, Concatenate)
