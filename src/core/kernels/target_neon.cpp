// The table "neon": what every 64-bit ARM processor has.
#if defined(__aarch64__)

#include "core/kernels/bits_impl.h"
#include "core/kernels/float_impl.h"
#include "core/kernels/rotate_impl.h"
#include "core/kernels/tables.h"

namespace quantvec::kernels {

using NeonBatch = xsimd::batch<float, xsimd::neon64>;

constinit const Kernels kNeonTable = QV_KERNELS_TABLE("neon", neon, NeonBatch);

}  // namespace quantvec::kernels

#endif
