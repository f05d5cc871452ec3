// The types `vector` and `halfvec`: elements side by side behind a varlena header (README.md here).
//
//     0          4       6       8                 8 + sizeof(Element) * dim
//     | vl_len_  | dim   | unused| x[0] .. x[dim-1]|
//
// Element is float (vector) or Half (halfvec). In the machine's byte order, and the same bytes as
// pgvector's.
#pragma once

#include <span>

#include "core/half.h"
#include "pg/compat.h"
#include "pg/error.h"

namespace quantvec::pg {

template <class Element>
struct Dense {
    int32 vl_len_;  // varlena header: VARSIZE and SET_VARSIZE only
    int16 dim;      // 1..kMaxDim
    int16 unused;   // 0
    Element x[FLEXIBLE_ARRAY_MEMBER];
};
static_assert(offsetof(Dense<float>, dim) == 4 && offsetof(Dense<float>, x) == 8);
static_assert(offsetof(Dense<Half>, dim) == 4 && offsetof(Dense<Half>, x) == 8);

// The name in SQL, as messages say it.
template <class Element>
inline constexpr const char* kTypeName = nullptr;
template <>
inline constexpr const char* kTypeName<float> = "vector";
template <>
inline constexpr const char* kTypeName<Half> = "halfvec";

template <class Element>
constexpr Size DenseBytes(int dim) {
    return offsetof(Dense<Element>, x) + sizeof(Element) * static_cast<Size>(dim);
}

// `dim` zeros, in the current memory context. REQUIRES: 1 <= dim <= kMaxDim.
template <class Element>
Dense<Element>* NewDense(int dim);

template <class Element>
std::span<Element> Values(Dense<Element>* v) {
    return {v->x, static_cast<Size>(v->dim)};
}
template <class Element>
std::span<const Element> Values(const Dense<Element>* v) {
    return {v->x, static_cast<Size>(v->dim)};
}

// The datum as a vector, detoasted: a copy in the current memory context if it was stored out of
// line, compressed or with a short header. Raises ERRCODE_DATA_CORRUPTED unless its size is that of
// its dimensions: nobody reads past the end of a value that another program wrote.
template <class Element>
const Dense<Element>* GetDense(Datum datum);

// The element nearest to x. Raises an error if x is finite and beyond the range of elements.
template <class Element>
Element Narrow(float x);

}  // namespace quantvec::pg

// One SQL function for each dense type: quantvec_vector_NAME and quantvec_halfvec_NAME, as the
// template says it. REQUIRES: template <class Element> Datum Template(FunctionCallInfo).
#define QV_DENSE_FUNCTION(name, Template)        \
    QV_SQL_FUNCTION(quantvec_vector_##name) {    \
        return Template<float>(fcinfo);          \
    }                                            \
    QV_SQL_FUNCTION(quantvec_halfvec_##name) {   \
        return Template<quantvec::Half>(fcinfo); \
    }
