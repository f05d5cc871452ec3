// The type `vector`: single-precision floats behind a varlena header (README.md here).
//
//     0          4       6       8                 8 + 4 * dim
//     | vl_len_  | dim   | unused| x[0] .. x[dim-1]|
//
// In the machine's byte order, and the same bytes as pgvector's.
#pragma once

#include "core/view.h"
#include "pg/error.h"
#include "pg/compat.h"

namespace quantvec::pg {

struct Vector {
    int32 vl_len_;  // varlena header: VARSIZE and SET_VARSIZE only
    int16 dim;      // 1..kMaxDim
    int16 unused;   // 0
    float x[FLEXIBLE_ARRAY_MEMBER];
};
static_assert(offsetof(Vector, dim) == 4 && offsetof(Vector, x) == 8);

constexpr Size VectorBytes(int dim) {
    return offsetof(Vector, x) + sizeof(float) * static_cast<Size>(dim);
}

// `dim` zeros, in the current memory context. REQUIRES: 1 <= dim <= kMaxDim.
Vector* NewVector(int dim);

inline FloatSpan Values(Vector* v) {
    return {v->x, static_cast<Size>(v->dim)};
}
inline ConstFloatSpan Values(const Vector* v) {
    return {v->x, static_cast<Size>(v->dim)};
}

// The datum as a vector, detoasted: a copy in the current memory context if it was stored out of
// line, compressed or with a short header. Raises ERRCODE_DATA_CORRUPTED unless its size is that of
// its dimensions: nobody reads past the end of a value that another program wrote.
const Vector* GetVector(Datum datum);

}  // namespace quantvec::pg
