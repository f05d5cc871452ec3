// The type `int8vec`: a byte an element, with the row's own range (README.md here).
//
//     0          4       6       8       12      16                    16 + dim
//     | vl_len_  | dim   | unused| least | scale | code[0] .. code[dim-1]|
//     | int32    | int16 | 0     | float | float | uint8                 |
//
// Element i is least + scale * code[i] (core/formats/int8.h). In the machine's byte order.
#pragma once

#include "core/view.h"
#include "pg/compat.h"
#include "pg/error.h"

namespace quantvec::pg {

struct Int8Vec {
    int32 vl_len_;  // varlena header: VARSIZE and SET_VARSIZE only
    int16 dim;      // 1..kMaxDim
    int16 unused;   // 0
    float least;
    float scale;
    uint8 code[FLEXIBLE_ARRAY_MEMBER];
};
static_assert(offsetof(Int8Vec, dim) == 4 && offsetof(Int8Vec, code) == 16);

// The datum, detoasted, as GetDense does it: its size is that of its dimensions, its range finite.
const Int8Vec* GetInt8Vec(Datum datum);

// Its elements, in the current memory context.
FloatSpan Decode(const Int8Vec* v);

}  // namespace quantvec::pg
