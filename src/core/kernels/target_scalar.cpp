// The table "scalar": what every processor of the family runs. SSE2 on x86, plain C++ elsewhere.
#include "core/kernels/bits_impl.h"
#include "core/kernels/float_impl.h"
#include "core/kernels/rotate_impl.h"
#include "core/kernels/tables.h"

namespace quantvec::kernels {

#ifdef __SSE2__
using ScalarBatch = xsimd::batch<float, xsimd::sse2>;
#else
using ScalarBatch = PlainBatch;
#endif

constinit const Kernels kScalarTable = QV_KERNELS_TABLE("scalar", scalar, ScalarBatch);

}  // namespace quantvec::kernels
