// Type `sparsevec` for SQL. core/formats/sparse.h draws its text and its message.
#include "pg/types/sparse.h"

#include <algorithm>
#include <cmath>

#include "core/formats/sparse.h"
#include "pg/memory.h"
#include "pg/types/arrays.h"
#include "pg/types/compare.h"
#include "pg/types/dense.h"
#include "pg/types/distance.h"
#include "pg/types/refuse.h"

namespace quantvec::pg {

using formats::Why;

Sparse* NewSparse(int dim, int nnz) {
    auto* v = NewValue<Sparse>(SparseBytes(nnz));
    v->dim = dim;
    v->nnz = nnz;
    return v;
}

const Sparse* GetSparse(Datum datum) {
    const auto* v = reinterpret_cast<const Sparse*>(PG_DETOAST_DATUM(datum));
    const Size bytes = VARSIZE(v);
    const bool has_head = bytes >= SparseBytes(0);
    const int dim = has_head ? v->dim : 0, nnz = has_head ? v->nnz : 0;
    if (dim < 1 || dim > kMaxSparseDim || nnz < 0 || nnz > kMaxEntries || bytes != SparseBytes(nnz))
        ereport(ERROR,
                (errcode(ERRCODE_DATA_CORRUPTED),
                 errmsg("damaged value of type sparsevec: %d dimensions, %d elements in %zu bytes",
                        dim, nnz, bytes)));
    return v;
}

namespace {

constexpr const char* kType = "sparsevec";

const Sparse* Argument(FunctionCallInfo fcinfo, int i = 0) {
    return GetSparse(PG_GETARG_DATUM(i));
}

void CheckSparseDim(int dim) {
    CheckDim(dim, kType, kMaxSparseDim);
}

// A number of elements that are not zero, for so many dimensions.
formats::Refusal CheckEntries(int nnz, int dim) {
    if (nnz < 0) return {Why::kNegativeEntries};
    if (nnz > kMaxEntries) return {Why::kTooManyEntries};
    if (nnz > dim) return {Why::kMoreEntriesThanDims};
    return {};
}

// The elements of a dense one that are not zero.
template <class Element>
Sparse* FromDense(std::span<const Element> values) {
    const auto nnz =
        std::count_if(values.begin(), values.end(), [](Element x) { return ToFloat(x) != 0; });
    const int dim = static_cast<int>(values.size());
    Refuse(CheckEntries(static_cast<int>(nnz), dim), {kType, nullptr, kMaxSparseDim});
    Sparse* result = NewSparse(dim, static_cast<int>(nnz));
    int at = 0;
    for (int i = 0; i < dim; ++i) {
        const float x = ToFloat(values[static_cast<Size>(i)]);
        if (x == 0) continue;
        Indices(result)[static_cast<Size>(at)] = i;
        Values(result)[static_cast<Size>(at++)] = x;
    }
    return result;
}

template <class Element>
Datum ToDense(FunctionCallInfo fcinfo) {
    const Sparse* v = Argument(fcinfo);
    CheckDim(v->dim, kTypeName<Element>);
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    Refuse(formats::CheckIndices(Indices(v), v->dim), {kType, nullptr, kMaxSparseDim});
    auto* result = NewDense<Element>(v->dim);
    for (Size i = 0; i < Indices(v).size(); ++i)
        result->x[Indices(v)[i]] = Narrow<Element>(Values(v)[i]);
    PG_RETURN_POINTER(result);
}

// ---- distances: sums of floats in order of the indices ----

// add(a's element, b's element) for each index that one of them has.
template <class Add>
void Merge(const Sparse* a, const Sparse* b, Add add) {
    const auto ai = Indices(a), bi = Indices(b);
    const auto ax = Values(a), bx = Values(b);
    Size i = 0, j = 0;
    while (i < ai.size() && j < bi.size()) {
        if (ai[i] == bi[j])
            add(ax[i++], bx[j++]);
        else if (ai[i] < bi[j])
            add(ax[i++], 0.0f);
        else
            add(0.0f, bx[j++]);
    }
    while (i < ai.size()) add(ax[i++], 0.0f);
    while (j < bi.size()) add(0.0f, bx[j++]);
}

float L2Sqr(const Sparse* a, const Sparse* b) {
    float sum = 0;
    Merge(a, b, [&](float x, float y) { sum += (x - y) * (x - y); });
    return sum;
}

float L1(const Sparse* a, const Sparse* b) {
    float sum = 0;
    Merge(a, b, [&](float x, float y) { sum += std::fabs(x - y); });
    return sum;
}

// Only indices that both have.
float InnerProduct(const Sparse* a, const Sparse* b) {
    const auto ai = Indices(a), bi = Indices(b);
    float sum = 0;
    for (Size i = 0, j = 0; i < ai.size() && j < bi.size();) {
        if (ai[i] == bi[j]) sum += Values(a)[i] * Values(b)[j];
        const bool past = ai[i] >= bi[j];
        i += ai[i] <= bi[j];
        j += past;
    }
    return sum;
}

double Cosine(const Sparse* a, const Sparse* b) {
    float norm_a = 0, norm_b = 0;
    for (const float x : Values(a)) norm_a += x * x;
    for (const float x : Values(b)) norm_b += x * x;
    return CosineDistance(InnerProduct(a, b), norm_a, norm_b);
}

template <class Compute>
Datum DistanceOf(FunctionCallInfo fcinfo, Compute compute) {
    const Sparse* a = Argument(fcinfo, 0);
    const Sparse* b = Argument(fcinfo, 1);
    CheckDims(a->dim, b->dim, kType);
    PG_RETURN_FLOAT8(compute(a, b));
}

// As the dense vectors compare: at the first index where they differ, within both; then the shorter
// first.
int Compare(const Sparse* a, const Sparse* b) {
    const auto ai = Indices(a), bi = Indices(b);
    const auto ax = Values(a), bx = Values(b);
    const int shorter = Min(a->dim, b->dim);
    for (Size i = 0;; ++i) {
        // Up to here both have had the same entries. What is not there is a zero.
        const int at_a = i < ai.size() ? ai[i] : shorter, at_b = i < bi.size() ? bi[i] : shorter;
        const int at = Min(at_a, at_b);
        if (at >= shorter) break;
        const float x = at_a == at ? ax[i] : 0.0f, y = at_b == at ? bx[i] : 0.0f;
        if (x != y) return x < y ? -1 : 1;
    }
    return a->dim == b->dim ? 0 : a->dim < b->dim ? -1 : 1;
}

int Compare(FunctionCallInfo fcinfo) {
    const Sparse* a = Argument(fcinfo, 0);
    const Sparse* b = Argument(fcinfo, 1);
    const int order = Compare(a, b);
    FreeIfCopy(a, PG_GETARG_DATUM(0));
    FreeIfCopy(b, PG_GETARG_DATUM(1));
    return order;
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;
using namespace quantvec;

// ---- text, binary, type modifier ----

QV_SQL_FUNCTION(quantvec_sparsevec_in) {
    const char* text = PG_GETARG_CSTRING(0);
    const Source source = {kType, text, kMaxSparseDim, '{', fcinfo->context};
    const Size room = formats::CountEntries(text);
    if (room > kMaxEntries) {
        Refuse({Why::kTooManyEntries}, source);
        PG_RETURN_NULL();
    }
    const std::span<formats::Entry> entries = NewSpan<formats::Entry>(room);
    const formats::SparseRead read = formats::ReadText(text, entries);
    formats::Refusal refusal = read.refusal;
    if (!refusal && read.dim < 1) refusal = {Why::kTooFew};
    if (!refusal && read.dim > kMaxSparseDim) refusal = {Why::kTooMany};
    if (refusal) {
        Refuse(refusal, source);
        PG_RETURN_NULL();
    }
    if (!FitsTypmod(PG_GETARG_INT32(2), read.dim, fcinfo->context)) PG_RETURN_NULL();
    Sparse* result = NewSparse(read.dim, static_cast<int>(read.entries));
    for (Size i = 0; i < read.entries; ++i) {
        Indices(result)[i] = entries[i].index;
        Values(result)[i] = entries[i].value;
    }
    refusal = formats::CheckIndices(Indices(result), read.dim);
    if (refusal) {
        Refuse(refusal, source);
        PG_RETURN_NULL();
    }
    PG_RETURN_POINTER(result);
}

QV_SQL_FUNCTION(quantvec_sparsevec_out) {
    const Sparse* v = Argument(fcinfo);
    // An integer has at most 11 characters. FLOAT_SHORTEST_DECIMAL_LEN counts a terminating zero,
    // which leaves room for the colon; a comma, and then "{}/" and the zero.
    char* text = NewArray<char>(Values(v).size() * (12 + FLOAT_SHORTEST_DECIMAL_LEN) + 15);
    char* at = text;
    *at++ = '{';
    for (Size i = 0; i < Values(v).size(); ++i) {
        if (i > 0) *at++ = ',';
        at += pg_ltoa(Indices(v)[i] + 1, at);
        *at++ = ':';
        at += float_to_shortest_decimal_bufn(Values(v)[i], at);
    }
    *at++ = '}';
    *at++ = '/';
    at += pg_ltoa(v->dim, at);
    *at = '\0';
    PG_RETURN_CSTRING(text);
}

QV_SQL_FUNCTION(quantvec_sparsevec_typmod_in) {
    PG_RETURN_INT32(DimOfTypmod(PG_GETARG_ARRAYTYPE_P(0), kType, kMaxSparseDim));
}

QV_SQL_FUNCTION(quantvec_sparsevec_recv) {
    StringInfo message = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    const Source source = {kType, nullptr, kMaxSparseDim};
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(message->data);
    const formats::SparseMessage head =
        formats::ReadSparseHead({bytes + message->cursor, bytes + message->len});
    Refuse(head.refusal, source);
    CheckSparseDim(head.dim);
    Refuse(CheckEntries(head.nnz, head.dim), source);
    CheckExpectedDim(PG_GETARG_INT32(2), head.dim);
    if (head.unused != 0) Refuse({.why = Why::kNotUnused, .given = head.unused}, source);
    Sparse* result = NewSparse(head.dim, head.nnz);
    Refuse(formats::ReadEntries(head.entries, head.dim, Indices(result), Values(result)), source);
    message->cursor = static_cast<int>(head.entries.data() - bytes) + 8 * head.nnz;
    PG_RETURN_POINTER(result);
}

QV_SQL_FUNCTION(quantvec_sparsevec_send) {
    const Sparse* v = Argument(fcinfo);
    StringInfoData message;
    pq_begintypsend(&message);
    for (const int32 word : {v->dim, v->nnz, v->unused})
        pq_sendint32(&message, static_cast<uint32>(word));
    for (const int32 index : Indices(v)) pq_sendint32(&message, static_cast<uint32>(index));
    for (const float value : Values(v)) pq_sendfloat4(&message, value);
    PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

// ---- casts ----

QV_SQL_FUNCTION(quantvec_sparsevec_typmod) {
    const Sparse* v = Argument(fcinfo);
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    PG_RETURN_POINTER(v);
}

QV_SQL_FUNCTION(quantvec_vector_to_sparsevec) {
    const auto* v = GetDense<float>(PG_GETARG_DATUM(0));
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    PG_RETURN_POINTER(FromDense(Values(v)));
}

QV_SQL_FUNCTION(quantvec_halfvec_to_sparsevec) {
    const auto* v = GetDense<Half>(PG_GETARG_DATUM(0));
    CheckExpectedDim(PG_GETARG_INT32(1), v->dim);
    PG_RETURN_POINTER(FromDense(Values(v)));
}

QV_SQL_FUNCTION(quantvec_sparsevec_to_vector) {
    return ToDense<float>(fcinfo);
}

QV_SQL_FUNCTION(quantvec_sparsevec_to_halfvec) {
    return ToDense<Half>(fcinfo);
}

QV_SQL_FUNCTION(quantvec_sparsevec_from_array) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    const int dim = CheckedLength(array);
    CheckSparseDim(dim);
    CheckExpectedDim(PG_GETARG_INT32(1), dim);
    const Sparse* result = FromDense(FloatsOf(array));
    for (const float value : Values(result)) CheckElement(value, kType);
    PG_RETURN_POINTER(result);
}

// ---- of one vector ----

QV_SQL_FUNCTION(quantvec_sparsevec_norm) {
    PG_RETURN_FLOAT8(Norm(Values(Argument(fcinfo))));
}

QV_SQL_FUNCTION(quantvec_sparsevec_normalize) {
    const Sparse* v = Argument(fcinfo);
    const double norm = Norm(Values(v));
    if (norm == 0) PG_RETURN_POINTER(NewSparse(v->dim, 0));
    const auto scaled = [&](Size i) { return static_cast<float>(Values(v)[i] / norm); };
    // What becomes zero is left out.
    int nnz = 0;
    for (Size i = 0; i < Values(v).size(); ++i) {
        if (std::isinf(scaled(i))) float_overflow_error();
        nnz += scaled(i) != 0;
    }
    Sparse* result = NewSparse(v->dim, nnz);
    for (Size i = 0, to = 0; i < Values(v).size(); ++i) {
        if (scaled(i) == 0) continue;
        Indices(result)[to] = Indices(v)[i];
        Values(result)[to++] = scaled(i);
    }
    PG_RETURN_POINTER(result);
}

// ---- distances and comparison ----

QV_SQL_FUNCTION(quantvec_sparsevec_l2_distance) {
    return DistanceOf(fcinfo, [](const Sparse* a, const Sparse* b) {
        return std::sqrt(static_cast<double>(L2Sqr(a, b)));
    });
}
QV_SQL_FUNCTION(quantvec_sparsevec_l2_squared_distance) {
    return DistanceOf(fcinfo, L2Sqr);
}
QV_SQL_FUNCTION(quantvec_sparsevec_inner_product) {
    return DistanceOf(fcinfo, InnerProduct);
}
QV_SQL_FUNCTION(quantvec_sparsevec_negative_inner_product) {
    return DistanceOf(fcinfo, [](const Sparse* a, const Sparse* b) { return -InnerProduct(a, b); });
}
QV_SQL_FUNCTION(quantvec_sparsevec_cosine_distance) {
    return DistanceOf(fcinfo, Cosine);
}
QV_SQL_FUNCTION(quantvec_sparsevec_l1_distance) {
    return DistanceOf(fcinfo, L1);
}

QV_COMPARISONS(sparsevec, Compare)
