// Functions of `vector` and `halfvec` that are no distances: norms, parts, sums and products.
// halfvec is computed in float, and each element then rounded to the nearest half.
#include <algorithm>
#include <cmath>

#include "pg/memory.h"
#include "pg/types/bits.h"
#include "pg/types/dense.h"
#include "pg/types/distance.h"

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

template <class Element>
Datum NormOf(FunctionCallInfo fcinfo) {
    PG_RETURN_FLOAT8(Norm(Values(Argument<Element>(fcinfo))));
}

template <class Element>
Datum Normalize(FunctionCallInfo fcinfo) {
    const auto* v = Argument<Element>(fcinfo);
    auto* result = NewDense<Element>(v->dim);
    const double norm = Norm(Values(v));
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

// Element by element. kMayVanish: a result of 0 from operands that are not is an error.
template <class Element, bool kMayVanish = false, class Compute>
Datum Pairwise(FunctionCallInfo fcinfo, Compute compute) {
    const auto* a = Argument<Element>(fcinfo, 0);
    const auto* b = Argument<Element>(fcinfo, 1);
    CheckDims(a->dim, b->dim, kTypeName<Element>);
    auto* result = NewDense<Element>(a->dim);
    bool overflow = false, underflow = false;
    for (int i = 0; i < a->dim; ++i) {
        const float x = ToFloat(a->x[i]), y = ToFloat(b->x[i]);
        result->x[i] = Nearest<Element>(compute(x, y));
        overflow |= std::isinf(ToFloat(result->x[i]));
        if (kMayVanish) underflow |= ToFloat(result->x[i]) == 0 && x != 0 && y != 0;
    }
    if (overflow) float_overflow_error();
    if (underflow) float_underflow_error();
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
    return Pairwise<Element, true>(fcinfo, [](float a, float b) { return a * b; });
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
QV_DENSE_FUNCTION(norm, NormOf)
QV_DENSE_FUNCTION(normalize, Normalize)
QV_DENSE_FUNCTION(binary_quantize, BinaryQuantize)
QV_DENSE_FUNCTION(subvector, Subvector)
QV_DENSE_FUNCTION(add, Add)
QV_DENSE_FUNCTION(sub, Subtract)
QV_DENSE_FUNCTION(mul, Multiply)
QV_DENSE_FUNCTION(concat, Concatenate)
