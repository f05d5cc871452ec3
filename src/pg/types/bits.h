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

}  // namespace quantvec::pg
