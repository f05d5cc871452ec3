// The type `sparsevec`: the elements that are not zero, behind a varlena header (README.md here).
//
//     0          4       8       12       16                16 + 4 * nnz      16 + 8 * nnz
//     | vl_len_  | dim   | nnz   | unused | index[0] ..      | x[0] ..         |
//     | int32    | int32 | int32 | 0      | int32, from 0    | float           |
//
// In the machine's byte order, and the same bytes as pgvector's.
#pragma once

#include <span>

#include "core/view.h"
#include "pg/compat.h"
#include "pg/error.h"

namespace quantvec::pg {

struct Sparse {
    int32 vl_len_;                       // varlena header: VARSIZE and SET_VARSIZE only
    int32 dim;                           // 1..kMaxSparseDim
    int32 nnz;                           // 0..kMaxEntries, at most dim
    int32 unused;                        // 0
    int32 index[FLEXIBLE_ARRAY_MEMBER];  // ascending, then as many floats
};
static_assert(offsetof(Sparse, dim) == 4 && offsetof(Sparse, index) == 16);

constexpr Size SparseBytes(int nnz) {
    return offsetof(Sparse, index) + (sizeof(int32) + sizeof(float)) * static_cast<Size>(nnz);
}

// `nnz` entries of zeros, in the current memory context. REQUIRES: 0 <= nnz <= kMaxEntries.
Sparse* NewSparse(int dim, int nnz);

inline std::span<int32> Indices(Sparse* v) {
    return {v->index, static_cast<Size>(v->nnz)};
}
inline std::span<const int32> Indices(const Sparse* v) {
    return {v->index, static_cast<Size>(v->nnz)};
}
inline FloatSpan Values(Sparse* v) {
    return {reinterpret_cast<float*>(v->index + v->nnz), static_cast<Size>(v->nnz)};
}
inline ConstFloatSpan Values(const Sparse* v) {
    return {reinterpret_cast<const float*>(v->index + v->nnz), static_cast<Size>(v->nnz)};
}

// The datum as a sparse vector, detoasted, as GetDense does it: its size is that of its entries.
// The indices are believed; who goes to a place by one looks first whether it is below dim.
const Sparse* GetSparse(Datum datum);

}  // namespace quantvec::pg
