// The table "avx2": AVX2, FMA and F16C.
#if defined(__x86_64__)

#include "core/kernels/bits_impl.h"
#include "core/kernels/float_impl.h"
#include "core/kernels/rotate_impl.h"
#include "core/kernels/tables.h"

namespace quantvec::kernels {

using Avx2Batch = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;

constinit const Kernels kAvx2Table = QV_KERNELS_TABLE("avx2", avx2, Avx2Batch);

}  // namespace quantvec::kernels

#endif
