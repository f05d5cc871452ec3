// The integer kernels and bound_block with NEON (64-bit ARM, no optional extensions): 16 bytes a
// step.
#if defined(__aarch64__)

#include "core/kernels/tables.h"

#include <arm_neon.h>

namespace quantvec::kernels::neon {
namespace {

// <value, hi> and <value, lo> in 4 lanes each; value is unsigned and may be 255, so the products
// are taken in 16-bit lanes and added in 32.
struct SplitDot {
    int32x4_t high = vdupq_n_s32(0);
    int32x4_t low = vdupq_n_s32(0);

    void Add(uint8x16_t value, int8x16_t hi, int8x16_t lo) {
        const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(value)));
        const int16x8_t second = vreinterpretq_s16_u16(vmovl_high_u8(value));
        high = AddProducts(high, first, vmovl_s8(vget_low_s8(hi)));
        high = AddProducts(high, second, vmovl_high_s8(hi));
        low = AddProducts(low, first, vmovl_s8(vget_low_s8(lo)));
        low = AddProducts(low, second, vmovl_high_s8(lo));
    }
    std::int64_t Total() const {
        return std::int64_t{128} * vaddvq_s32(high) + std::int64_t{vaddvq_s32(low)};
    }

  private:
    static int32x4_t AddProducts(int32x4_t sum, int16x8_t a, int16x8_t b) {
        return vmlal_high_s16(vmlal_s16(sum, vget_low_s16(a), vget_low_s16(b)), a, b);
    }
};

// kRows rows whose values of a step are values(row, i): a load of the query serves all of them.
// Values less 128 are signed bytes: their products with the query need no widening before. The
// difference of the sums, 128 times the sum of the query, is the same for all rows.
template <std::size_t kRows, class Values>
void DotSomeRows(const std::uint8_t* codes, std::size_t stride, const std::int8_t* hi,
                 const std::int8_t* lo, std::size_t n, float* sums, Values values) {
    int32x4_t high[kRows], low[kRows], high_query = vdupq_n_s32(0), low_query = vdupq_n_s32(0);
    for (std::size_t r = 0; r < kRows; ++r) high[r] = low[r] = vdupq_n_s32(0);
    // Two products of at most 128 * 64 fit 16 bits.
    const auto add = [](int32x4_t sum, int8x16_t a, int8x16_t b) {
        const int16x8_t products = vmull_s8(vget_low_s8(a), vget_low_s8(b));
        return vpadalq_s16(sum, vmlal_high_s8(products, a, b));
    };
    for (std::size_t i = 0; i < n; i += 64)
        for (std::size_t k = i; k < i + 64; k += 16) {
            const int8x16_t hi16 = vld1q_s8(hi + k), lo16 = vld1q_s8(lo + k);
            high_query = vpadalq_s16(high_query, vpaddlq_s8(hi16));
            low_query = vpadalq_s16(low_query, vpaddlq_s8(lo16));
            for (std::size_t r = 0; r < kRows; ++r) {
                const int8x16_t value =
                    vreinterpretq_s8_u8(veorq_u8(values(codes + r * stride, k), vdupq_n_u8(128)));
                high[r] = add(high[r], value, hi16);
                low[r] = add(low[r], value, lo16);
            }
        }
    const std::int64_t taken =
        128 * (std::int64_t{128} * vaddvq_s32(high_query) + vaddvq_s32(low_query));
    for (std::size_t r = 0; r < kRows; ++r)
        sums[r] += static_cast<float>(std::int64_t{128} * vaddvq_s32(high[r]) + vaddvq_s32(low[r]) +
                                      taken);
}

template <class Values>
void DotRows(const std::uint8_t* codes, std::size_t stride, std::size_t rows, const std::int8_t* hi,
             const std::int8_t* lo, std::size_t n, float* sums, Values values) {
    std::size_t r = 0;
    for (; r + 4 <= rows; r += 4)
        DotSomeRows<4>(codes + r * stride, stride, hi, lo, n, sums + r, values);
    for (; r < rows; ++r) DotSomeRows<1>(codes + r * stride, stride, hi, lo, n, sums + r, values);
}

// Sums of 16 rows in 16 bits.
struct RowSums {
    uint16x8_t first = vdupq_n_u16(0);
    uint16x8_t second = vdupq_n_u16(0);

    void Add(uint8x16_t bytes) {
        first = vaddw_u8(first, vget_low_u8(bytes));
        second = vaddw_high_u8(second, bytes);
    }
    void AddTo(std::uint32_t* sums) const {
        vst1q_u32(sums, vaddw_u16(vld1q_u32(sums), vget_low_u16(first)));
        vst1q_u32(sums + 4, vaddw_high_u16(vld1q_u32(sums + 4), first));
        vst1q_u32(sums + 8, vaddw_u16(vld1q_u32(sums + 8), vget_low_u16(second)));
        vst1q_u32(sums + 12, vaddw_high_u16(vld1q_u32(sums + 12), second));
    }
};

float32x4_t FromBfloat16(const std::uint16_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

}  // namespace

void DotU8(const std::uint8_t* codes, std::size_t stride, std::size_t rows, const std::int8_t* hi,
           const std::int8_t* lo, std::size_t n, float* sums) {
    DotRows(codes, stride, rows, hi, lo, n, sums,
            [](const std::uint8_t* row, std::size_t i) { return vld1q_u8(row + i); });
}

void DotU4(const std::uint8_t* codes, std::size_t stride, std::size_t rows,
           const std::uint8_t levels[16], const std::int8_t* hi, const std::int8_t* lo,
           std::size_t n, float* sums) {
    const uint8x16_t table = vld1q_u8(levels);
    DotRows(codes, stride, rows, hi, lo, n, sums, [=](const std::uint8_t* row, std::size_t i) {
        const uint8x16_t packed = vld1q_u8(row + i / 64 * 32 + i % 32);
        const uint8x16_t low = vandq_u8(packed, vdupq_n_u8(15));
        return vqtbl1q_u8(table, i % 64 < 32 ? low : vshrq_n_u8(packed, 4));
    });
}

void FastScan(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,
              std::uint32_t sums[32]) {
    const uint8x16_t nibble = vdupq_n_u8(15);
    // 256 groups of 255 are the most that 16 bits hold.
    while (groups > 0) {
        const std::size_t chunk = groups < 256 ? groups : 256;
        RowSums lower, upper;
        for (std::size_t g = 0; g < chunk; ++g, codes += 16, tables += 16) {
            const uint8x16_t code = vld1q_u8(codes);
            const uint8x16_t table = vld1q_u8(tables);
            lower.Add(vqtbl1q_u8(table, vandq_u8(code, nibble)));
            upper.Add(vqtbl1q_u8(table, vshrq_n_u8(code, 4)));
        }
        lower.AddTo(sums);
        upper.AddTo(sums + 16);
        groups -= chunk;
    }
}

void PqSums(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,
            std::uint32_t sums[32]) {
    // What lies outside of 64 entries leaves vqtbx's first operand as it is.
    const auto lookup = [](const std::uint8_t* table, uint8x16_t index) {
        uint8x16_t found = vqtbl4q_u8(vld1q_u8_x4(table), index);
        for (std::uint8_t k = 64; k != 0; k = static_cast<std::uint8_t>(k + 64))
            found = vqtbx4q_u8(found, vld1q_u8_x4(table + k), vsubq_u8(index, vdupq_n_u8(k)));
        return found;
    };
    // 256 entries of 255 are the most that 16 bits hold.
    while (m > 0) {
        const std::size_t chunk = m < 256 ? m : 256;
        RowSums lower, upper;
        for (std::size_t j = 0; j < chunk; ++j, codes += 32, tables += 256) {
            lower.Add(lookup(tables, vld1q_u8(codes)));
            upper.Add(lookup(tables, vld1q_u8(codes + 16)));
        }
        lower.AddTo(sums);
        upper.AddTo(sums + 16);
        m -= chunk;
    }
}

std::int64_t DotPlanes(const std::uint8_t* planes, std::size_t bits, const std::int8_t* hi,
                       const std::int8_t* lo, std::size_t n) {
    const uint8x16_t bit_of = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
    SplitDot dot;
    for (std::size_t i = 0; i < n; i += 16) {
        const std::uint8_t* bytes = planes + i / 64 * bits * 8 + i % 64 / 8;
        // From the most significant plane: value = 2 * value + bit.
        uint8x16_t value = vdupq_n_u8(0);
        for (std::size_t b = bits; b-- > 0;) {
            const uint8x16_t spread =
                vcombine_u8(vdup_n_u8(bytes[8 * b]), vdup_n_u8(bytes[8 * b + 1]));
            value = vsubq_u8(vaddq_u8(value, value), vtstq_u8(spread, bit_of));
        }
        dot.Add(value, vld1q_s8(hi + i), vld1q_s8(lo + i));
    }
    return dot.Total();
}

void SubsetTables(const float* q, std::size_t groups, float inverse, float most, std::uint8_t* low,
                  std::uint8_t* high) {
    const float32x4_t zero = vdupq_n_f32(0), limit = vdupq_n_f32(most);
    // NaN becomes `most`: no comparison with it holds.
    const auto entries = [&](float32x4_t sums) {
        float32x4_t v = vaddq_f32(vmulq_n_f32(sums, inverse), vdupq_n_f32(0.5f));
        v = vbslq_f32(vcltq_f32(v, limit), v, limit);
        return vmovn_u32(vcvtq_u32_f32(vmaxq_f32(v, zero)));
    };
    const uint32x4_t has0 = {0, ~0u, 0, ~0u}, has1 = {0, 0, ~0u, ~0u};
    const auto only = [](uint32x4_t mask, float32x4_t x) {
        return vreinterpretq_f32_u32(vandq_u32(mask, vreinterpretq_u32_f32(x)));
    };
    for (std::size_t g = 0; g < groups; ++g, q += 4, low += 16) {
        const float32x4_t x0 = vdupq_n_f32(q[0]), x1 = vdupq_n_f32(q[1]);
        const float32x4_t x2 = vdupq_n_f32(q[2]), x3 = vdupq_n_f32(q[3]);
        float32x4_t sum = vsubq_f32(zero, vminq_f32(x0, zero));
        sum = vsubq_f32(sum, vminq_f32(x1, zero));
        sum = vsubq_f32(sum, vminq_f32(x2, zero));
        sum = vsubq_f32(sum, vminq_f32(x3, zero));
        // Four subsets of the first two coordinates; then with the third, the fourth, and both.
        sum = vaddq_f32(vaddq_f32(sum, only(has0, x0)), only(has1, x1));
        const float32x4_t with2 = vaddq_f32(sum, x2);
        const uint16x8_t first = vcombine_u16(entries(sum), entries(with2));
        const uint16x8_t second =
            vcombine_u16(entries(vaddq_f32(sum, x3)), entries(vaddq_f32(with2, x3)));
        vst1q_u8(low, vcombine_u8(vmovn_u16(first), vmovn_u16(second)));
        if (high == nullptr) continue;
        vst1q_u8(high, vcombine_u8(vshrn_n_u16(first, 8), vshrn_n_u16(second, 8)));
        high += 16;
    }
}

void SplitQuery(const float* q, std::size_t n, float inverse, std::int8_t* hi, std::int8_t* lo) {
    const float32x4_t largest = vdupq_n_f32(8127.0f), least = vdupq_n_f32(-8127.0f);
    for (std::size_t i = 0; i < n; i += 8) {
        int16x4_t upper[2], rest[2];
        for (std::size_t k = 0; k < 2; ++k) {
            const float32x4_t v = vmulq_n_f32(vld1q_f32(q + i + 4 * k), inverse);
            const int32x4_t whole = vcvtnq_s32_f32(vmaxq_f32(vminq_f32(v, largest), least));
            const int32x4_t high = vshrq_n_s32(vaddq_s32(whole, vdupq_n_s32(64)), 7);
            upper[k] = vmovn_s32(high);
            rest[k] = vmovn_s32(vsubq_s32(whole, vshlq_n_s32(high, 7)));
        }
        vst1_s8(hi + i, vmovn_s16(vcombine_s16(upper[0], upper[1])));
        vst1_s8(lo + i, vmovn_s16(vcombine_s16(rest[0], rest[1])));
    }
}

std::uint32_t BoundBlock(const BlockFactors& factors, const BlockScalars& scalars,
                         const float sums[32], float threshold, float lower[32],
                         float estimate[32]) {
    const float32x4_t base = vdupq_n_f32(scalars.base);
    const float32x4_t limit = vdupq_n_f32(threshold);
    const float32x4_t minus_infinity = vdupq_n_f32(-__builtin_inff());
    const uint32x4_t lane_bit = {1, 2, 4, 8};
    std::uint32_t selected = 0;
    for (std::size_t i = 0; i < 32; i += 4) {
        const float32x4_t add = vld1q_f32(factors.add + i);
        const float32x4_t scale = FromBfloat16(factors.scale + i);
        const float32x4_t error = FromBfloat16(factors.error + i);
        const float32x4_t product =
            vfmaq_f32(vdupq_n_f32(scalars.shift), vld1q_f32(sums + i), vdupq_n_f32(scalars.unit));
        float32x4_t e = vfmaq_f32(vaddq_f32(base, add), scale, product);
        if (factors.offset != nullptr)
            e = vfmaq_f32(e, vld1q_f32(factors.offset + i), vdupq_n_f32(scalars.total));
        float32x4_t w = vmulq_f32(vdupq_n_f32(scalars.error_factor), error);
        w = vfmaq_f32(w, vdupq_n_f32(scalars.round_error), vabsq_f32(scale));
        w = vfmaq_f32(w, vdupq_n_f32(scalars.slack), vaddq_f32(base, vabsq_f32(add)));
        const float32x4_t bound = vsubq_f32(e, w);
        // Not `bound < threshold`: a bound that is NaN is selected.
        const uint32x4_t above = vcgeq_f32(bound, limit);
        selected |= vaddvq_u32(vbicq_u32(lane_bit, above)) << i;
        vst1q_f32(lower + i, vbslq_f32(vceqq_f32(bound, bound), bound, minus_infinity));
        vst1q_f32(estimate + i, e);
    }
    return selected;
}

float MaskedMin(const float values[32], std::uint32_t mask) {
    const uint32x4_t bit = {1, 2, 4, 8};
    float32x4_t least = vdupq_n_f32(__builtin_inff());
    for (std::size_t i = 0; i < 32; i += 4) {
        const uint32x4_t set = vtstq_u32(vdupq_n_u32(mask >> i), bit);
        least = vbslq_f32(set, vminq_f32(least, vld1q_f32(values + i)), least);
    }
    return vminvq_f32(least);
}

}  // namespace quantvec::kernels::neon

#endif
