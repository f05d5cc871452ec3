// The integer kernels and bound_block as plain loops: the table "scalar", and the clearest
// statement of what each of them computes.
#include "core/kernels/tables.h"

namespace quantvec::kernels::scalar {
namespace {

// One T from any address.
template <class T>
T Load(const T* p) {
    T value;
    __builtin_memcpy(&value, p, sizeof(T));
    return value;
}

float FromBfloat16(std::uint16_t half) {
    const std::uint32_t bits = std::uint32_t{half} << 16;
    float value;
    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
}

}  // namespace

void DotU8(const std::uint8_t* codes, std::size_t stride, std::size_t rows, const std::int8_t* hi,
           const std::int8_t* lo, std::size_t n, float* sums) {
    for (std::size_t r = 0; r < rows; ++r, codes += stride) {
        std::int32_t high = 0, low = 0;
        for (std::size_t i = 0; i < n; ++i) {
            high += codes[i] * hi[i];
            low += codes[i] * lo[i];
        }
        sums[r] += static_cast<float>(std::int64_t{128} * high + low);
    }
}

void DotU4(const std::uint8_t* codes, std::size_t stride, std::size_t rows,
           const std::uint8_t levels[16], const std::int8_t* hi, const std::int8_t* lo,
           std::size_t n, float* sums) {
    for (std::size_t r = 0; r < rows; ++r, codes += stride) {
        std::int32_t high = 0, low = 0;
        for (std::size_t i = 0; i < n; i += 64)
            for (std::size_t k = i; k < i + 32; ++k) {
                const std::uint8_t byte = codes[i / 2 + k - i];
                const std::int32_t first = levels[byte & 15], second = levels[byte >> 4];
                high += first * hi[k] + second * hi[k + 32];
                low += first * lo[k] + second * lo[k + 32];
            }
        sums[r] += static_cast<float>(std::int64_t{128} * high + low);
    }
}

void FastScan(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,
              std::uint32_t sums[32]) {
    for (std::size_t g = 0; g < groups; ++g, codes += 16, tables += 16)
        for (std::size_t j = 0; j < 16; ++j) {
            sums[j] += tables[codes[j] & 15];
            sums[j + 16] += tables[codes[j] >> 4];
        }
}

void PqSums(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,
            std::uint32_t sums[32]) {
    for (std::size_t j = 0; j < m; ++j, codes += 32, tables += 256)
        for (std::size_t r = 0; r < 32; ++r) sums[r] += tables[codes[r]];
}

std::int64_t DotPlanes(const std::uint8_t* planes, std::size_t bits, const std::int8_t* hi,
                       const std::int8_t* lo, std::size_t n) {
    std::int32_t high = 0, low = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint8_t* byte = planes + i / 64 * bits * 8 + i % 64 / 8;
        std::int32_t value = 0;
        for (std::size_t b = 0; b < bits; ++b) value |= ((byte[8 * b] >> (i % 8)) & 1) << b;
        high += value * hi[i];
        low += value * lo[i];
    }
    return std::int64_t{128} * high + low;
}

void SubsetTables(const float* q, std::size_t groups, float inverse, float most, std::uint8_t* low,
                  std::uint8_t* high) {
    for (std::size_t g = 0; g < groups; ++g, q += 4, low += 16) {
        float least = 0;
        for (std::size_t j = 0; j < 4; ++j)
            if (q[j] < 0) least += q[j];
        for (std::size_t k = 0; k < 16; ++k) {
            float sum = -least;
            for (std::size_t j = 0; j < 4; ++j)
                if (k >> j & 1) sum += q[j];
            float v = sum * inverse + 0.5f;
            if (!(v < most)) v = most;
            const auto entry = static_cast<std::uint32_t>(v > 0 ? v : 0.0f);
            low[k] = static_cast<std::uint8_t>(entry);
            if (high != nullptr) high[k] = static_cast<std::uint8_t>(entry >> 8);
        }
        if (high != nullptr) high += 16;
    }
}

void SplitQuery(const float* q, std::size_t n, float inverse, std::int8_t* hi, std::int8_t* lo) {
    constexpr float kLargest = 8127;  // 63 * 128 + 63
    for (std::size_t i = 0; i < n; ++i) {
        float v = q[i] * inverse;
        if (!(v < kLargest)) v = kLargest;
        if (!(v > -kLargest)) v = -kLargest;
        const auto whole = static_cast<std::int32_t>(__builtin_nearbyintf(v));
        const std::int32_t upper = (whole + 64) >> 7;
        hi[i] = static_cast<std::int8_t>(upper);
        lo[i] = static_cast<std::int8_t>(whole - upper * 128);
    }
}

std::uint32_t BoundBlock(const BlockFactors& factors, const BlockScalars& scalars,
                         const float sums[32], float threshold, float lower[32],
                         float estimate[32]) {
    std::uint32_t selected = 0;
    for (std::size_t i = 0; i < 32; ++i) {
        const float add = Load(factors.add + i);
        const float scale = FromBfloat16(Load(factors.scale + i));
        const float error = FromBfloat16(Load(factors.error + i));
        float e = scalars.base + add + scale * (sums[i] * scalars.unit + scalars.shift);
        if (factors.offset != nullptr) e += Load(factors.offset + i) * scalars.total;
        const float w = scalars.error_factor * error +
                        scalars.round_error * __builtin_fabsf(scale) +
                        scalars.slack * (scalars.base + __builtin_fabsf(add));
        const float bound = e - w;
        // Not `bound < threshold`: a bound that is NaN is selected.
        if (!(bound >= threshold)) selected |= std::uint32_t{1} << i;
        lower[i] = bound == bound ? bound : -__builtin_inff();
        estimate[i] = e;
    }
    return selected;
}

float MaskedMin(const float values[32], std::uint32_t mask) {
    float least = __builtin_inff();
    for (std::size_t i = 0; i < 32; ++i)
        if ((mask >> i & 1) != 0 && values[i] < least) least = values[i];
    return least;
}

}  // namespace quantvec::kernels::scalar
