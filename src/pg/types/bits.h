// Values of the server's own type `bit`.
#pragma once

#include "pg/compat.h"
#include "pg/memory.h"

namespace quantvec::pg {

// `n` zero bits, in the current memory context.
inline VarBit* NewBits(int n) {
    auto* bits = NewValue<VarBit>(VARBITTOTALLEN(n));
    VARBITLEN(bits) = n;
    return bits;
}

// The datum as bits, detoasted. Raises ERRCODE_DATA_CORRUPTED unless its size is that of its
// length.
const VarBit* GetBits(Datum datum);

// Bit i, from 0.
inline bool BitAt(const VarBit* bits, int i) {
    return VARBITS(bits)[i / 8] >> (7 - i % 8) & 1;
}

// From the numbers of bits that are set in both values, and in either. 1 if no bit is set in both,
// also if none is set at all.
inline double JaccardDistance(double both, double either) {
    return both == 0 ? 1 : 1 - both / either;
}

}  // namespace quantvec::pg
