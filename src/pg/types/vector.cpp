// Type `vector` for SQL: input, output, and functions of one vector. One shell of a few lines each;
// operators.cpp has those of two vectors, cast.cpp the casts.
#include "pg/types/vector.h"

#include <cmath>

#include "pg/memory.h"
#include "pg/types/text.h"

namespace quantvec::pg {

Vector* NewVector(int dim) {
    Vector* v = NewValue<Vector>(VectorBytes(dim));
    v->dim = static_cast<int16>(dim);
    return v;
}

const Vector* GetVector(Datum datum) {
    const Vector* v = reinterpret_cast<const Vector*>(PG_DETOAST_DATUM(datum));
    Size bytes = VARSIZE(v);
    int dim = bytes < VectorBytes(1) ? 0 : v->dim;
    if (dim < 1 || bytes != VectorBytes(dim))
        ereport(ERROR,
                (errcode(ERRCODE_DATA_CORRUPTED),
                 errmsg("damaged value of type vector: %d dimensions in %zu bytes", dim, bytes)));
    return v;
}

namespace {

// In double: the square of a large float is beyond the float range.
double Norm(ConstFloatSpan x) {
    double sum = 0;
    for (float value : x) sum += static_cast<double>(value) * value;
    return std::sqrt(sum);
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;

// ---- text, binary, type modifier ----

QV_SQL_FUNCTION(quantvec_vector_in) {
    const char* text = PG_GETARG_CSTRING(0);
    int32 typmod = PG_GETARG_INT32(2);
    Vector* result = NewVector(CountElements(text));
    int dim = ParseElements(text, "vector", Values(result));
    CheckExpectedDim(typmod, dim);
    Assert(dim == result->dim);
    PG_RETURN_POINTER(result);
}

QV_SQL_FUNCTION(quantvec_vector_out) {
    PG_RETURN_CSTRING(FormatElements(Values(GetVector(PG_GETARG_DATUM(0)))));
}

// int16 dim, int16 zero, dim times float4; all in network byte order.
QV_SQL_FUNCTION(quantvec_vector_recv) {
    StringInfo message = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    int32 typmod = PG_GETARG_INT32(2);
    int dim = static_cast<int>(pq_getmsgint(message, sizeof(int16)));
    int unused = static_cast<int>(pq_getmsgint(message, sizeof(int16)));
    CheckDim(dim);
    CheckExpectedDim(typmod, dim);
    if (unused != 0)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                        errmsg("expected unused to be 0, not %d", unused)));
    Vector* result = NewVector(dim);
    for (float& value : Values(result)) {
        value = pq_getmsgfloat4(message);
        CheckElement(value);
    }
    PG_RETURN_POINTER(result);
}

QV_SQL_FUNCTION(quantvec_vector_send) {
    const Vector* v = GetVector(PG_GETARG_DATUM(0));
    StringInfoData message;
    pq_begintypsend(&message);
    pq_sendint16(&message, static_cast<uint16>(v->dim));
    pq_sendint16(&message, static_cast<uint16>(v->unused));
    for (float value : Values(v)) pq_sendfloat4(&message, value);
    PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

QV_SQL_FUNCTION(quantvec_vector_typmod_in) {
    int n;
    const int32* modifiers = ArrayGetIntegerTypmods(PG_GETARG_ARRAYTYPE_P(0), &n);
    if (n != 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid type modifier")));
    int32 dim = modifiers[0];
    if (dim < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("dimensions for type vector must be at least 1")));
    if (dim > kMaxDim)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("dimensions for type vector cannot exceed %d", kMaxDim)));
    PG_RETURN_INT32(dim);
}

// ---- of one vector ----

QV_SQL_FUNCTION(quantvec_vector_dims) {
    PG_RETURN_INT32(GetVector(PG_GETARG_DATUM(0))->dim);
}

QV_SQL_FUNCTION(quantvec_vector_norm) {
    PG_RETURN_FLOAT8(Norm(Values(GetVector(PG_GETARG_DATUM(0)))));
}

QV_SQL_FUNCTION(quantvec_l2_normalize) {
    const Vector* v = GetVector(PG_GETARG_DATUM(0));
    Vector* result = NewVector(v->dim);
    double norm = Norm(Values(v));
    // A zero vector has no direction and stays as it is.
    if (norm > 0) {
        for (int i = 0; i < v->dim; ++i) {
            result->x[i] = static_cast<float>(v->x[i] / norm);
            if (std::isinf(result->x[i])) float_overflow_error();
        }
    }
    PG_RETURN_POINTER(result);
}
