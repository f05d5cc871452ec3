// Two tables: "avx512" needs AVX-512 F, CD, BW, DQ, VL and VNNI; "avx512vbmi" needs VBMI besides.
#if defined(__x86_64__)

// GCC 12's AVX-512 header leaves registers undefined by initialising them with themselves, and then
// warns about it where its functions are inlined.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "core/kernels/bits_impl.h"
#include "core/kernels/float_impl.h"
#include "core/kernels/rotate_impl.h"
#include "core/kernels/tables.h"

namespace quantvec::kernels {

using Avx512Batch = xsimd::batch<float, xsimd::avx512bw>;

constexpr Kernels kAvx512Table = QV_KERNELS_TABLE("avx512", avx512, Avx512Batch);
constinit const Kernels kAvx512VbmiTable = [] {
    Kernels table = kAvx512Table;
    table.name = "avx512vbmi";
    table.fast_scan = avx512vbmi::FastScan;
    table.pq_sums = avx512vbmi::PqSums;
    return table;
}();

}  // namespace quantvec::kernels

#endif
