// This file owns the interface of the kernels: the arithmetic that is worth an instruction set of
// its own, as one table of functions for each instruction set.
//
// Two classes (README.md here has the table of kernels by instruction set and error):
//   search       distances and estimates: within a stated tolerance of the plain loop, every table
//   code-making  results that end up in stored bytes: the same bytes on every table
//
// Pointers need no alignment. n may be 0 unless a line says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/half.h"

namespace quantvec::kernels {

// One block of 32 rows to be bounded (see quant/README.md for the formula).
//   key estimate  e = base + add[i] + scale[i] * (sum[i] * unit + shift) + offset[i] * total
//   error         w = error_factor * error[i] + round_error * |scale[i]|
//                     + slack * (base + |add[i]|)
//   lower bound   e - w;   upper bound e + w
// scale and error are bfloat16 (the upper half of a float), add and offset are float.
struct BlockFactors {
    const float* add;            // [32]
    const std::uint16_t* scale;  // [32] bfloat16
    const std::uint16_t* error;  // [32] bfloat16, rounded up
    const float* offset;         // [32] or nullptr: taken as 0
};
struct BlockScalars {
    float base;          // ||q - c||^2
    float unit;          // the size of one step of the integer sum
    float shift;         // constant part of <code, query>
    float total;         // multiplies offset
    float error_factor;  // epsilon-tightened 2 ||q - c||
    float round_error;   // the query's own rounding, in units of <code, query>
    float slack;         // relative error of this very arithmetic
};

// Bits that are set in both of two rows, and in at least one.
struct BitOverlap {
    std::uint64_t both, either;
};

// The most coordinates of a vector: those of the longest string of bits that an index takes.
inline constexpr std::size_t kMostDim = 64000;

inline constexpr std::size_t kTileColumns = 32;

struct Kernels {
    const char* name;  // "scalar", "avx2", "avx512", "avx512vbmi", "neon"

    // ---- search class, float ----
    float (*l2sqr)(const float* a, const float* b, std::size_t n);          // sum (a-b)^2
    float (*inner_product)(const float* a, const float* b, std::size_t n);  // sum a*b
    float (*l1)(const float* a, const float* b, std::size_t n);             // sum |a-b|
    // out[0] = <a,b>, out[1] = <a,a>, out[2] = <b,b>, in one pass.
    void (*cosine_sums)(const float* a, const float* b, std::size_t n, float out[3]);
    // The same of halves: bit for bit what the four above give for the same numbers as floats.
    float (*half_l2sqr)(const Half* a, const Half* b, std::size_t n);
    float (*half_inner_product)(const Half* a, const Half* b, std::size_t n);
    float (*half_l1)(const Half* a, const Half* b, std::size_t n);
    void (*half_cosine_sums)(const Half* a, const Half* b, std::size_t n, float out[3]);
    // out[i] = x[i], which is exact.
    void (*half_to_float)(const Half* x, std::size_t n, float* out);
    // out[i] = least + scale * x[i], where scale has at most 16 binary digits: rounded once.
    void (*bytes_to_float)(const std::uint8_t* x, std::size_t n, float scale, float least,
                           float* out);
    // n rows of dim floats against a tile of kTileColumns centroids that lie side by side, `tile`
    // [dim, kTileColumns], with norms[k] = ||centroid k||^2:
    // scores[kTileColumns * i + k] = norms[k] - 2 <rows[i], centroid k>, which orders the centroids
    // as their distance from the row does.
    void (*tile_scores)(const float* const* rows, std::size_t n, const float* tile,
                        const float* norms, std::size_t dim, float* scores);

    // out[k] = <x, codeword k>. book [width, ksub]: the codewords lie side by side, as for
    // pq_nearest; ksub a multiple of 16.
    void (*pq_products)(const float* x, const float* book, std::size_t width, std::size_t ksub,
                        float* out);

    // max |x[i]| without NaN; 0 for n = 0.
    float (*abs_max)(const float* x, std::size_t n);

    // ---- code-making class ----
    // In-place unnormalised Walsh-Hadamard transform; n a power of two, at least 1.
    void (*hadamard)(float* x, std::size_t n);
    // (x[i], x[i+half]) <- (x[i] + x[i+half], x[i] - x[i+half]) * scale, for i < half.
    void (*butterfly)(float* x, std::size_t half, float scale);
    // x[i] *= scale, sign flipped where bit i of signs (bit i%8 of byte i/8) is set.
    void (*flip_scale)(float* x, const std::uint8_t* signs, float scale, std::size_t n);
    // Sums over 16 virtual lanes (element i in lane i%16), each lane in order of i and without
    // contraction, lanes then folded 8+8, 4+4, 2+2, 1+1: the same bits on every table.
    float (*ordered_dot)(const float* a, const float* b, std::size_t n);
    // The codeword nearest to x, if norms[k] = ||codeword k||^2: the lowest index k that has the
    // smallest score norms[k] - 2 * sum over j of x[j] * book[j * ksub + k]. The sum starts from 0
    // and runs in order of j, each operation rounded by itself: the same index on every table. A
    // score that is not a number is never the smallest; 0 if no score is below infinity.
    // book [width, ksub]: the codewords lie side by side. norms [ksub]. width >= 1; ksub a multiple
    // of 16, at most 2^24.
    std::uint32_t (*pq_nearest)(const float* x, const float* book, const float* norms,
                                std::size_t width, std::size_t ksub);

    // ---- search class, integer: exact on every table ----
    // Bits that differ between two rows of bytes.
    std::uint64_t (*hamming)(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes);
    BitOverlap (*bit_overlap)(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes);
    // Rows of bytes against one query. Row r begins at codes + r * stride; hi and lo in [-64, 63];
    // n % 64 == 0 and at most kMostDim. For each row,
    // sums[r] += sum over i of code[i] * (128 * hi[i] + lo[i]). The sum over i is exact, and is
    // rounded to a float once.
    void (*dot_u8)(const std::uint8_t* codes, std::size_t stride, std::size_t rows,
                   const std::int8_t* hi, const std::int8_t* lo, std::size_t n, float* sums);
    // The same for 4-bit codes that stand for 16 levels. A row holds n/64 groups of 64 dimensions
    // in 32 bytes: byte k has dimension k in its low nibble and dimension k+32 in its high nibble;
    // code[i] is levels[nibble i].
    void (*dot_u4)(const std::uint8_t* codes, std::size_t stride, std::size_t rows,
                   const std::uint8_t levels[16], const std::int8_t* hi, const std::int8_t* lo,
                   std::size_t n, float* sums);
    // 1-bit fast scan over a block of 32 rows. `codes` holds `groups` groups of 4 dimensions, 16
    // bytes each: byte j has row j in its low nibble and row j+16 in its high nibble. `tables`
    // holds 16 bytes a group. sums[r] += sum over groups of tables[16*g + nibble(g, r)]. groups % 4
    // == 0.
    void (*fast_scan)(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,
                      std::uint32_t sums[32]);
    // Product-quantizer sums over a block of 32 rows. codes [m, 32]: byte r of group j is row r's
    // codeword of sub-quantizer j. tables [m, 256]. For each row,
    // sums[r] += sum over j of tables[256 * j + codes[32 * j + r]].
    void (*pq_sums)(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,
                    std::uint32_t sums[32]);
    // Multi-bit refine dot. `planes` holds n/64 groups, each of `bits` planes of 8 bytes, least
    // significant plane first; bit k of a plane's little-endian 64-bit word is dimension 64*g+k.
    // Returns sum value[i] * (128 * hi[i] + lo[i]). n % 64 == 0, 1 <= bits <= 7.
    std::int64_t (*dot_planes)(const std::uint8_t* planes, std::size_t bits, const std::int8_t* hi,
                               const std::int8_t* lo, std::size_t n);

    // ---- search class: a query as integers ----
    // Tables for fast_scan. Group g has the 4 coordinates at q + 4 * g. Its entry k starts from the
    // sum of the coordinates whose bit is set in k, less the least such sum of the group. That
    // times `inverse`, rounded, is the entry; it is at most `most` <= 65535, and `most` where it is
    // NaN. low[16 * g + k] gets its low byte, high (unless nullptr) its high byte.
    void (*subset_tables)(const float* q, std::size_t groups, float inverse, float most,
                          std::uint8_t* low, std::uint8_t* high);
    // 128 * hi[i] + lo[i] is the integer nearest to q[i] * inverse, within +-8127, so that hi and
    // lo are in [-64, 63]; n % 64 == 0. NaN becomes some such integer.
    void (*split_query)(const float* q, std::size_t n, float inverse, std::int8_t* hi,
                        std::int8_t* lo);

    // ---- search class: bounds of a block ----
    // Fills lower[32] and estimate[32] and returns the mask of rows whose lower bound is below
    // `threshold` (bit i for row i; a bound that is NaN counts as -infinity).
    std::uint32_t (*bound_block)(const BlockFactors& factors, const BlockScalars& scalars,
                                 const float sums[32], float threshold, float lower[32],
                                 float estimate[32]);
    // The least of the values whose bit of `mask` is set, none of them NaN; infinity if none is
    // set.
    float (*masked_min)(const float values[32], std::uint32_t mask);
};

// The table in use; set once at load, "scalar" before that.
const Kernels& Active();

// Chooses the table by name ("auto": the best that this processor runs). false, and no change, if
// the name is unknown or the processor lacks the instructions.
bool Select(const char* name);

// All tables compiled in that this processor can run: out[0..returned). For the tests.
inline constexpr std::size_t kMostTables = 4;
std::size_t Runnable(const Kernels* out[kMostTables]);

}  // namespace quantvec::kernels
