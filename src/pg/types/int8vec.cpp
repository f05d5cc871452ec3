// Type `int8vec` for SQL. Whatever is computed with it is computed with its elements as floats.
#include "pg/types/int8vec.h"

#include <cmath>

#include "core/formats/dense.h"
#include "core/formats/int8.h"
#include "pg/memory.h"
#include "pg/types/arrays.h"
#include "pg/types/compare.h"
#include "pg/types/dense.h"
#include "pg/types/distance.h"
#include "pg/types/known_distance.h"
#include "pg/types/refuse.h"
#include "pg/types/text.h"

namespace quantvec::pg {

const Int8Vec* GetInt8Vec(Datum datum) {
    const auto* v = reinterpret_cast<const Int8Vec*>(PG_DETOAST_DATUM(datum));
    const Size bytes = VARSIZE(v), head = offsetof(Int8Vec, code);
    const int dim = bytes <= head ? 0 : v->dim;
    if (dim < 1 || bytes != head + static_cast<Size>(dim))
        ereport(ERROR,
                (errcode(ERRCODE_DATA_CORRUPTED),
                 errmsg("damaged value of type int8vec: %d dimensions in %zu bytes", dim, bytes)));
    if (!(v->scale >= 0) || !std::isfinite(v->least + v->scale * 255))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("damaged value of type int8vec: its range is not finite")));
    return v;
}

FloatSpan Decode(const Int8Vec* v) {
    const auto dim = static_cast<Size>(v->dim);
    const FloatSpan out = NewSpan<float>(dim);
    formats::DecodeInt8({v->code, dim}, {v->least, v->scale}, out);
    return out;
}

namespace {

constexpr const char* kType = "int8vec";

const Int8Vec* Argument(FunctionCallInfo fcinfo, int i = 0) {
    return GetInt8Vec(PG_GETARG_DATUM(i));
}

Int8Vec* NewInt8Vec(int dim) {
    auto* v = NewValue<Int8Vec>(offsetof(Int8Vec, code) + static_cast<Size>(dim));
    v->dim = static_cast<int16>(dim);
    return v;
}

// nullptr: the range is no float. REQUIRES: elements are finite, 1..kMaxDim of them.
Int8Vec* Encode(ConstFloatSpan x) {
    Int8Vec* v = NewInt8Vec(static_cast<int>(x.size()));
    formats::Int8Range range;
    if (!formats::EncodeInt8(x, {v->code, x.size()}, &range)) return nullptr;
    v->least = range.least;
    v->scale = range.scale;
    return v;
}

// The same with an error, or a note in `context`, for a cast or a text.
Int8Vec* EncodeOrRefuse(ConstFloatSpan x, Node* context = nullptr) {
    Int8Vec* v = Encode(x);
    if (!v)
        QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                                   errmsg("elements are too far apart for type %s", kType)));
    return v;
}

template <Measure kMeasure>
Datum DistanceOf(FunctionCallInfo fcinfo) {
    if (IsKnownDistance(kMeasure, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)))
        PG_RETURN_FLOAT8(known_distance.distance);
    const Int8Vec* a = Argument(fcinfo, 0);
    const Int8Vec* b = Argument(fcinfo, 1);
    CheckDims(a->dim, b->dim, kType);
    PG_RETURN_FLOAT8(Distance<kMeasure>(ConstFloatSpan(Decode(a)), ConstFloatSpan(Decode(b))));
}

int Compare(FunctionCallInfo fcinfo) {
    const Int8Vec* a = Argument(fcinfo, 0);
    const Int8Vec* b = Argument(fcinfo, 1);
    const FloatSpan x = Decode(a), y = Decode(b);
    const int order = CompareElements<float>(x, y);
    pfree(x.data());
    pfree(y.data());
    FreeIfCopy(a, PG_GETARG_DATUM(0));
    FreeIfCopy(b, PG_GETARG_DATUM(1));
    return order;
}

template <class Element>
Datum FromDense(FunctionCallInfo fcinfo) {
    const auto* v = GetDense<Element>(PG_GETARG_DATUM(0));
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    const FloatSpan floats = NewSpan<float>(static_cast<Size>(v->dim));
    for (Size i = 0; i < floats.size(); ++i) floats[i] = ToFloat(v->x[i]);
    PG_RETURN_POINTER(EncodeOrRefuse(floats));
}

template <class Element>
Datum ToDense(FunctionCallInfo fcinfo) {
    const Int8Vec* v = Argument(fcinfo);
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    auto* result = NewDense<Element>(v->dim);
    const FloatSpan floats = Decode(v);
    for (Size i = 0; i < floats.size(); ++i) result->x[i] = Narrow<Element>(floats[i]);
    PG_RETURN_POINTER(result);
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;
using namespace quantvec;

// ---- text, binary, type modifier ----

QV_SQL_FUNCTION(quantvec_int8vec_in) {
    const char* text = PG_GETARG_CSTRING(0);
    const FloatSpan floats = NewSpan<float>(formats::CountElements(text, kMaxDim));
    const formats::DenseRead read = formats::ReadText(text, floats);
    if (read.refusal) {
        Refuse(read.refusal, {kType, text, kMaxDim, '[', fcinfo->context});
        PG_RETURN_NULL();
    }
    const int dim = static_cast<int>(read.dim);
    if (!FitsTypmod(PG_GETARG_INT32(2), dim, fcinfo->context)) PG_RETURN_NULL();
    const Int8Vec* result = EncodeOrRefuse(floats.first(read.dim), fcinfo->context);
    if (!result) PG_RETURN_NULL();
    PG_RETURN_POINTER(result);
}

QV_SQL_FUNCTION(quantvec_int8vec_out) {
    PG_RETURN_CSTRING(FormatElements(ConstFloatSpan(Decode(Argument(fcinfo)))));
}

// int16 dim, int16 zero, float4 least, float4 scale, dim bytes; in network byte order.
QV_SQL_FUNCTION(quantvec_int8vec_recv) {
    StringInfo message = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    const int dim = static_cast<int>(pq_getmsgint(message, sizeof(int16)));
    const int unused = static_cast<int>(pq_getmsgint(message, sizeof(int16)));
    CheckDim(dim, kType);
    CheckExpectedDim(PG_GETARG_INT32(2), dim);
    if (unused != 0)
        Refuse({.why = formats::Why::kNotUnused, .given = unused}, {kType, nullptr, kMaxDim});
    Int8Vec* v = NewInt8Vec(dim);
    v->least = pq_getmsgfloat4(message);
    v->scale = pq_getmsgfloat4(message);
    pq_copymsgbytes(message, reinterpret_cast<char*>(v->code), dim);
    CheckElement(v->least, kType);
    CheckElement(v->scale, kType);
    // What encoding its own elements does not give would change when it is dumped as text.
    const bool finite = v->scale >= 0 && std::isfinite(v->least + v->scale * 255);
    const Int8Vec* own = finite ? Encode(Decode(v)) : nullptr;
    if (!own || memcmp(own, v, VARSIZE(v)) != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
                        errmsg("binary representation of int8vec has a range that is not that of "
                               "its elements")));
    PG_RETURN_POINTER(v);
}

QV_SQL_FUNCTION(quantvec_int8vec_send) {
    const Int8Vec* v = Argument(fcinfo);
    StringInfoData message;
    pq_begintypsend(&message);
    pq_sendint16(&message, static_cast<uint16>(v->dim));
    pq_sendint16(&message, static_cast<uint16>(v->unused));
    pq_sendfloat4(&message, v->least);
    pq_sendfloat4(&message, v->scale);
    pq_sendbytes(&message, reinterpret_cast<const char*>(v->code), v->dim);
    PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

QV_SQL_FUNCTION(quantvec_int8vec_typmod_in) {
    PG_RETURN_INT32(DimOfTypmod(PG_GETARG_ARRAYTYPE_P(0), kType, kMaxDim));
}

// ---- casts ----

QV_SQL_FUNCTION(quantvec_int8vec_typmod) {
    const Int8Vec* v = Argument(fcinfo);
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    PG_RETURN_POINTER(v);
}

QV_SQL_FUNCTION(quantvec_vector_to_int8vec) {
    return FromDense<float>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_halfvec_to_int8vec) {
    return FromDense<Half>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_int8vec_to_vector) {
    return ToDense<float>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_int8vec_to_halfvec) {
    return ToDense<Half>(fcinfo);
}

QV_SQL_FUNCTION(quantvec_int8vec_from_array) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    const int dim = CheckedLength(array);
    CheckDim(dim, kType);
    CheckExpectedDim(PG_GETARG_INT32(1), dim);
    const ConstFloatSpan floats = FloatsOf(array);
    for (const float value : floats) CheckElement(value, kType);
    PG_RETURN_POINTER(EncodeOrRefuse(floats));
}

QV_SQL_FUNCTION(quantvec_int8vec_to_float4) {
    const Int8Vec* v = Argument(fcinfo);
    float* elements;
    ArrayType* result = NewFloatArray(v->dim, &elements);
    formats::DecodeInt8({v->code, static_cast<Size>(v->dim)}, {v->least, v->scale},
                        {elements, static_cast<Size>(v->dim)});
    PG_RETURN_POINTER(result);
}

// ---- of one vector ----

QV_SQL_FUNCTION(quantvec_int8vec_dims) {
    PG_RETURN_INT32(Argument(fcinfo)->dim);
}

QV_SQL_FUNCTION(quantvec_int8vec_norm) {
    PG_RETURN_FLOAT8(Norm(ConstFloatSpan(Decode(Argument(fcinfo)))));
}

// ---- distances and comparison ----

QV_SQL_FUNCTION(quantvec_int8vec_l2_distance) {
    return DistanceOf<Measure::kL2>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_int8vec_l2_squared_distance) {
    return DistanceOf<Measure::kL2Sqr>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_int8vec_inner_product) {
    return DistanceOf<Measure::kInnerProduct>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_int8vec_negative_inner_product) {
    return DistanceOf<Measure::kNegativeInnerProduct>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_int8vec_cosine_distance) {
    return DistanceOf<Measure::kCosine>(fcinfo);
}
QV_SQL_FUNCTION(quantvec_int8vec_l1_distance) {
    return DistanceOf<Measure::kL1>(fcinfo);
}

QV_COMPARISONS(int8vec, Compare)
