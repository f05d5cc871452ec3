// The declarations that the files of this folder share: the integer kernels by instruction set
// (code_*.cpp), and the finished tables (target_*.cpp), one of which dispatch.cpp chooses.
#pragma once

#include "core/kernels/kernels.h"

// The integer kernels and bound_block, in one namespace an instruction set, so that no two files
// define the same symbol.
#define QV_DECLARE_CODE_KERNELS(isa)                                                            \
    namespace quantvec::kernels::isa {                                                          \
    void DotU8(const std::uint8_t* codes, std::size_t stride, std::size_t rows,                 \
               const std::int8_t* hi, const std::int8_t* lo, std::size_t n, float* sums);       \
    void DotU4(const std::uint8_t* codes, std::size_t stride, std::size_t rows,                 \
               const std::uint8_t levels[16], const std::int8_t* hi, const std::int8_t* lo,     \
               std::size_t n, float* sums);                                                     \
    void FastScan(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,    \
                  std::uint32_t sums[32]);                                                      \
    void PqSums(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,           \
                std::uint32_t sums[32]);                                                        \
    std::int64_t DotPlanes(const std::uint8_t* planes, std::size_t bits, const std::int8_t* hi, \
                           const std::int8_t* lo, std::size_t n);                               \
    void SubsetTables(const float* q, std::size_t groups, float inverse, float most,            \
                      std::uint8_t* low, std::uint8_t* high);                                   \
    void SplitQuery(const float* q, std::size_t n, float inverse, std::int8_t* hi,              \
                    std::int8_t* lo);                                                           \
    std::uint32_t BoundBlock(const BlockFactors& factors, const BlockScalars& scalars,          \
                             const float sums[32], float threshold, float lower[32],            \
                             float estimate[32]);                                               \
    float MaskedMin(const float values[32], std::uint32_t mask);                                \
    }

QV_DECLARE_CODE_KERNELS(scalar)
QV_DECLARE_CODE_KERNELS(avx2)
QV_DECLARE_CODE_KERNELS(avx512)
QV_DECLARE_CODE_KERNELS(neon)

// The table "avx512vbmi" has these, and all else from "avx512".
namespace quantvec::kernels::avx512vbmi {
void FastScan(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,
              std::uint32_t sums[32]);
void PqSums(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,
            std::uint32_t sums[32]);
}  // namespace quantvec::kernels::avx512vbmi

namespace quantvec::kernels {
namespace {

// A number that a template can take, as a value to call it with.
template <std::size_t kValue>
struct Constant {};

// dot(Constant<bits>()), for the 1 to 7 planes that a code may have: the loop over the planes is
// unrolled for each.
template <class Dot>
std::int64_t WithBits(std::size_t bits, Dot dot) {
    switch (bits) {
        case 1:
            return dot(Constant<1>());
        case 2:
            return dot(Constant<2>());
        case 3:
            return dot(Constant<3>());
        case 4:
            return dot(Constant<4>());
        case 5:
            return dot(Constant<5>());
        case 6:
            return dot(Constant<6>());
        case 7:
            return dot(Constant<7>());
    }
    __builtin_unreachable();
}

}  // namespace

// Defined where the processor family can have them.
extern const Kernels kScalarTable;
extern const Kernels kAvx2Table;
extern const Kernels kAvx512Table;
extern const Kernels kAvx512VbmiTable;
extern const Kernels kNeonTable;

}  // namespace quantvec::kernels

// One table: the float bodies over Batch, the integer kernels of namespace isa. A macro, because a
// function that builds it would be one more symbol compiled with the instruction set's flags.
#define QV_KERNELS_TABLE(table_name, isa, Batch)                                                 \
    {                                                                                            \
        .name = table_name, .l2sqr = L2Sqr<Batch, float>,                                        \
        .inner_product = InnerProduct<Batch, float>, .l1 = L1<Batch, float>,                     \
        .cosine_sums = CosineSums<Batch, float>, .half_l2sqr = L2Sqr<Batch, Half>,               \
        .half_inner_product = InnerProduct<Batch, Half>, .half_l1 = L1<Batch, Half>,             \
        .half_cosine_sums = CosineSums<Batch, Half>, .half_to_float = HalfToFloat<Batch>,        \
        .bytes_to_float = BytesToFloat, .tile_scores = TileScores<Batch>,                        \
        .pq_products = PqProducts<Batch>, .abs_max = AbsMax<Batch>, .hadamard = Hadamard<Batch>, \
        .butterfly = Butterfly<Batch>, .flip_scale = FlipScale<Batch>,                           \
        .ordered_dot = OrderedDot<Batch>, .pq_nearest = PqNearest<Batch>, .hamming = Hamming,    \
        .bit_overlap = Overlap, .dot_u8 = isa::DotU8, .dot_u4 = isa::DotU4,                      \
        .fast_scan = isa::FastScan, .pq_sums = isa::PqSums, .dot_planes = isa::DotPlanes,        \
        .subset_tables = isa::SubsetTables, .split_query = isa::SplitQuery,                      \
        .bound_block = isa::BoundBlock, .masked_min = isa::MaskedMin,                            \
    }
