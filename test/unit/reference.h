// The plain loops that judge every kernel: no tricks, sums in double or 64-bit integers. Where a
// kernel promises bits (code-making), the loop here is in float and in the promised order.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace quantvec::reference {

// A sum, and the sum of its terms' magnitudes, to which rounding errors are proportional.
struct Sum {
    double value = 0;
    double magnitude = 0;

    void Add(double term) {
        value += term;
        magnitude += std::fabs(term);
    }
};

inline Sum L2Sqr(const float* a, const float* b, std::size_t n) {
    Sum sum;
    for (std::size_t i = 0; i < n; ++i) {
        const double difference = double{a[i]} - double{b[i]};
        sum.Add(difference * difference);
    }
    return sum;
}

inline Sum InnerProduct(const float* a, const float* b, std::size_t n) {
    Sum sum;
    for (std::size_t i = 0; i < n; ++i) sum.Add(double{a[i]} * double{b[i]});
    return sum;
}

inline Sum L1(const float* a, const float* b, std::size_t n) {
    Sum sum;
    for (std::size_t i = 0; i < n; ++i) sum.Add(std::fabs(double{a[i]} - double{b[i]}));
    return sum;
}

// norms[k] - 2 <row, column k of the tile>
inline Sum TileScore(const float* row, const float* tile, float norm, std::size_t dim,
                     std::size_t columns, std::size_t k) {
    Sum sum;
    sum.Add(double{norm});
    for (std::size_t j = 0; j < dim; ++j)
        sum.Add(-2 * double{row[j]} * double{tile[j * columns + k]});
    return sum;
}

// ---- code-making: the same bits ----

inline void Hadamard(float* x, std::size_t n) {
    for (std::size_t half = 1; half < n; half *= 2)
        for (std::size_t i = 0; i < n; ++i)
            if ((i & half) == 0) {
                const float a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
}

inline void Butterfly(float* x, std::size_t half, float scale) {
    for (std::size_t i = 0; i < half; ++i) {
        const float sum = x[i] + x[i + half], difference = x[i] - x[i + half];
        x[i] = sum * scale;
        x[i + half] = difference * scale;
    }
}

inline void FlipScale(float* x, const std::uint8_t* signs, float scale, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const bool flip = ((signs[i / 8] >> (i % 8)) & 1) != 0;
        x[i] *= flip ? -scale : scale;
    }
}

inline float OrderedDot(const float* a, const float* b, std::size_t n) {
    float lane[16] = {};
    for (std::size_t i = 0; i < n; ++i) {
        const float product = a[i] * b[i];
        lane[i % 16] = lane[i % 16] + product;
    }
    for (int i = 0; i < 8; ++i) lane[i] += lane[i + 8];
    for (int i = 0; i < 4; ++i) lane[i] += lane[i + 4];
    for (int i = 0; i < 2; ++i) lane[i] += lane[i + 2];
    return lane[0] + lane[1];
}

inline std::uint32_t PqNearest(const float* x, const float* book, const float* norms,
                               std::size_t width, std::size_t ksub) {
    float smallest = std::numeric_limits<float>::infinity();
    std::uint32_t nearest = 0;
    for (std::size_t k = 0; k < ksub; ++k) {
        float sum = 0;
        for (std::size_t j = 0; j < width; ++j) {
            const float product = x[j] * book[j * ksub + k];
            sum = sum + product;
        }
        const float score = norms[k] - 2 * sum;
        if (score < smallest) {
            smallest = score;
            nearest = static_cast<std::uint32_t>(k);
        }
    }
    return nearest;
}

// ---- integer: exact ----

inline std::int64_t DotU8(const std::uint8_t* code, const std::int8_t* hi, const std::int8_t* lo,
                          std::size_t n) {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < n; ++i)
        sum += std::int64_t{code[i]} * (std::int64_t{128} * hi[i] + lo[i]);
    return sum;
}

// What row `row` of the block gains.
inline std::uint32_t PqSum(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,
                           std::size_t row) {
    std::uint32_t sum = 0;
    for (std::size_t j = 0; j < m; ++j) sum += tables[256 * j + codes[32 * j + row]];
    return sum;
}

// values[i] < 16 goes to byte i%32 of group i/64, low nibble first. n % 64 == 0.
inline std::vector<std::uint8_t> PackU4(const std::vector<std::uint8_t>& values) {
    std::vector<std::uint8_t> code(values.size() / 2);
    for (std::size_t i = 0; i < values.size(); ++i)
        code[i / 64 * 32 + i % 32] |= static_cast<std::uint8_t>(values[i] << (i % 64 < 32 ? 0 : 4));
    return code;
}

// values[row * 4 * groups + dimension] is 0 or 1; a group's nibble has its dimension 4g+k in bit k.
inline std::vector<std::uint8_t> PackNibbles(const std::vector<std::uint8_t>& values,
                                             std::size_t groups) {
    std::vector<std::uint8_t> codes(16 * groups);
    for (std::size_t row = 0; row < 32; ++row)
        for (std::size_t d = 0; d < 4 * groups; ++d) {
            const unsigned bit = values[row * 4 * groups + d];
            const unsigned place = d % 4 + (row < 16 ? 0 : 4);
            codes[16 * (d / 4) + row % 16] |= static_cast<std::uint8_t>(bit << place);
        }
    return codes;
}

// Bit b of values[i] goes to bit i%64 of plane b of group i/64. n % 64 == 0.
inline std::vector<std::uint8_t> PackPlanes(const std::vector<std::uint8_t>& values,
                                            std::size_t bits) {
    std::vector<std::uint8_t> planes(values.size() / 8 * bits);
    for (std::size_t i = 0; i < values.size(); ++i)
        for (std::size_t b = 0; b < bits; ++b) {
            const std::size_t byte = (i / 64 * bits + b) * 8 + i % 64 / 8;
            planes[byte] |= static_cast<std::uint8_t>(((values[i] >> b) & 1u) << (i % 8));
        }
    return planes;
}

// ---- bounds ----

inline float FromBfloat16(std::uint16_t half) {
    const std::uint32_t bits = std::uint32_t{half} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}
// Towards zero.
inline std::uint16_t ToBfloat16(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<std::uint16_t>(bits >> 16);
}

}  // namespace quantvec::reference
