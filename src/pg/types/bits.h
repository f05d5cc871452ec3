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

}  // namespace quantvec::pg
