// The integer kernels and bound_block with AVX-512 (BW, VL and VNNI): 64 bytes a step.
#if defined(__x86_64__)

// GCC 12's AVX-512 header leaves registers undefined by initialising them with themselves, and then
// warns about it where its functions are inlined.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "core/kernels/tables.h"

#include <immintrin.h>

namespace quantvec::kernels::avx512 {
namespace {

// The sum of all lanes fits 32 bits: 64,000 products of at most 255 * 64.
std::int64_t SumLanes(__m512i x) {
    return _mm512_reduce_add_epi32(x);
}

// <value, hi> and <value, lo> in 16 lanes each; dpbusd adds four byte products to 32 bits exactly.
struct SplitDot {
    __m512i high = _mm512_setzero_si512();
    __m512i low = _mm512_setzero_si512();

    void Add(__m512i value, __m512i hi, __m512i lo) {
        high = _mm512_dpbusd_epi32(high, value, hi);
        low = _mm512_dpbusd_epi32(low, value, lo);
    }
    std::int64_t Total() const { return 128 * SumLanes(high) + SumLanes(low); }
};

// The sums of the lanes of four registers.
__m128i SumLanes(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i two =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}

// The part of a row, or of a plane of the query, that one step takes: 128 dimensions, or the last
// 64.
struct Pair {
    __m512i first, second;
};

// 64 bytes, or 32 and zeros.
template <bool kWhole>
__m512i LoadStep(const void* p) {
    if constexpr (kWhole) return _mm512_loadu_si512(p);
    return _mm512_zextsi256_si512(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}

struct Bytes {
    template <bool kWhole>
    static Pair Query(const std::int8_t* plane) {
        return {_mm512_loadu_si512(plane),
                kWhole ? _mm512_loadu_si512(plane + 64) : _mm512_setzero_si512()};
    }
    template <bool kWhole>
    Pair Values(const std::uint8_t* row, std::size_t i) const {
        const std::uint8_t* p = row + i;
        return {_mm512_loadu_si512(p),
                kWhole ? _mm512_loadu_si512(p + 64) : _mm512_setzero_si512()};
    }
};

// Low nibbles of 64 bytes are dimensions 0 to 31 and 64 to 95, high ones the others. Against steps
// of 64 dimensions, whose two halves come from the same 32 bytes, 27.8 to 22.0 ns a row of 1,536
// (Zen 4).
struct Nibbles {
    __m512i levels;

    template <bool kWhole>
    static Pair Query(const std::int8_t* plane) {
        const auto half = [](const std::int8_t* p) {
            if constexpr (!kWhole) return LoadStep<false>(p);
            return _mm512_inserti64x4(LoadStep<false>(p),
                                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 64)),
                                      1);
        };
        return {half(plane), half(plane + 32)};
    }
    template <bool kWhole>
    Pair Values(const std::uint8_t* row, std::size_t i) const {
        const __m512i nibble = _mm512_set1_epi8(15);
        const __m512i packed = LoadStep<kWhole>(row + i / 2);
        const __m512i high = _mm512_srli_epi16(packed, 4);
        return {_mm512_shuffle_epi8(levels, _mm512_and_si512(packed, nibble)),
                _mm512_shuffle_epi8(levels, _mm512_and_si512(high, nibble))};
    }
};

// The step at dimension i, of kRows rows.
template <bool kWhole, std::size_t kRows, class Code>
[[gnu::always_inline]] inline void AddStep(const std::uint8_t* codes, std::size_t stride,
                                           const std::int8_t* hi, const std::int8_t* lo,
                                           std::size_t i, Code code, SplitDot (&dot)[kRows]) {
    const Pair high = Code::template Query<kWhole>(hi + i);
    const Pair low = Code::template Query<kWhole>(lo + i);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
        const Pair value = code.template Values<kWhole>(codes + r * stride, i);
        dot[r].Add(value.first, high.first, low.first);
        dot[r].Add(value.second, high.second, low.second);
    }
}

// kRows rows of Bytes or Nibbles: a load of the query serves all of them.
template <std::size_t kRows, class Code>
void DotSomeRows(const std::uint8_t* codes, std::size_t stride, const std::int8_t* hi,
                 const std::int8_t* lo, std::size_t n, float* sums, Code code) {
    SplitDot dot[kRows];
    std::size_t i = 0;
    for (; i + 128 <= n; i += 128) AddStep<true>(codes, stride, hi, lo, i, code, dot);
    if (i < n) AddStep<false>(codes, stride, hi, lo, i, code, dot);
    if constexpr (kRows != 4) {
        for (std::size_t r = 0; r < kRows; ++r) sums[r] += static_cast<float>(dot[r].Total());
    } else {
        // A double holds the total, so that it is rounded only once.
        const __m128i high = SumLanes(dot[0].high, dot[1].high, dot[2].high, dot[3].high);
        const __m128i low = SumLanes(dot[0].low, dot[1].low, dot[2].low, dot[3].low);
        const __m256d total =
            _mm256_fmadd_pd(_mm256_set1_pd(128), _mm256_cvtepi32_pd(high), _mm256_cvtepi32_pd(low));
        _mm_storeu_ps(sums, _mm_add_ps(_mm_loadu_ps(sums), _mm256_cvtpd_ps(total)));
    }
}

template <class Code>
void DotRows(const std::uint8_t* codes, std::size_t stride, std::size_t rows, const std::int8_t* hi,
             const std::int8_t* lo, std::size_t n, float* sums, Code code) {
    std::size_t r = 0;
    for (; r + 4 <= rows; r += 4)
        DotSomeRows<4>(codes + r * stride, stride, hi, lo, n, sums + r, code);
    for (; r < rows; ++r) DotSomeRows<1>(codes + r * stride, stride, hi, lo, n, sums + r, code);
}

// Sums of bytes in 16 bits, modulo 2^16: `both` adds pairs of bytes as they are, `odd` their upper
// bytes; the lower ones follow as both - 256 * odd. One addition less than unpacking each pair.
struct ByteSums {
    __m512i both = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();

    void Add(__m512i bytes) {
        both = _mm512_add_epi16(both, bytes);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(bytes, 8));
    }
    // All four 128-bit lanes hold the same 16 rows, of different groups.
    void AddTo(std::uint32_t* sums) const {
        const __m128i even_rows = FoldLanes(_mm512_sub_epi16(both, _mm512_slli_epi16(odd, 8)));
        const __m128i odd_rows = FoldLanes(odd);
        const __m256i rows = _mm256_set_m128i(_mm_unpackhi_epi16(even_rows, odd_rows),
                                              _mm_unpacklo_epi16(even_rows, odd_rows));
        _mm512_storeu_si512(
            sums, _mm512_add_epi32(_mm512_loadu_si512(sums), _mm512_cvtepu16_epi32(rows)));
    }

  private:
    static __m128i FoldLanes(__m512i x) {
        const __m256i two =
            _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
        return _mm_add_epi16(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
    }
};

// 32 sums of 32 bits plus 32 of 16 bits.
void AddRows(__m512i rows, std::uint32_t* sums) {
    const __m512i lower = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(rows));
    const __m512i upper = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(rows, 1));
    _mm512_storeu_si512(sums, _mm512_add_epi32(_mm512_loadu_si512(sums), lower));
    _mm512_storeu_si512(sums + 16, _mm512_add_epi32(_mm512_loadu_si512(sums + 16), upper));
}

// Byte i is table[index[i]] of 256 entries. The low half of the index looks up in 16 registers.
// Each of its other bits then chooses between two halves of the results.
__m256i Lookup(const std::uint8_t* table, __m256i index) {
    const __m256i low = _mm256_and_si256(index, _mm256_set1_epi8(15));
    const __mmask32 bit4 = _mm256_test_epi8_mask(index, _mm256_set1_epi8(16));
    const __mmask32 bit5 = _mm256_test_epi8_mask(index, _mm256_set1_epi8(32));
    const __mmask32 bit6 = _mm256_test_epi8_mask(index, _mm256_set1_epi8(64));
    const auto sixteen = [&](std::size_t k) {
        const auto* entries = reinterpret_cast<const __m128i*>(table) + k;
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(entries)), low);
    };
    const auto sixty_four = [&](std::size_t k) {
        return _mm256_mask_blend_epi8(bit5,
                                      _mm256_mask_blend_epi8(bit4, sixteen(k), sixteen(k + 1)),
                                      _mm256_mask_blend_epi8(bit4, sixteen(k + 2), sixteen(k + 3)));
    };
    return _mm256_mask_blend_epi8(_mm256_movepi8_mask(index),
                                  _mm256_mask_blend_epi8(bit6, sixty_four(0), sixty_four(4)),
                                  _mm256_mask_blend_epi8(bit6, sixty_four(8), sixty_four(12)));
}

template <std::size_t kBits>
std::int64_t DotPlanesOf(const std::uint8_t* planes, const std::int8_t* hi, const std::int8_t* lo,
                         std::size_t n) {
    SplitDot dot;
    for (std::size_t i = 0; i < n; i += 64, planes += 8 * kBits) {
        // A plane's word is the mask of the bytes that get its weight.
        const auto plane = [&](std::size_t b) {
            std::uint64_t
                word;  // by itself: from an array of them the masks would come over the stack
            __builtin_memcpy(&word, planes + 8 * b, sizeof(word));
            return word;
        };
        __m512i value = _mm512_maskz_mov_epi8(plane(0), _mm512_set1_epi8(1));
        for (std::size_t b = 1; b < kBits; ++b)
            value = _mm512_mask_add_epi8(value, plane(b), value,
                                         _mm512_set1_epi8(static_cast<char>(1 << b)));
        dot.Add(value, _mm512_loadu_si512(hi + i), _mm512_loadu_si512(lo + i));
    }
    return dot.Total();
}

__m512 FromBfloat16(const std::uint16_t* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

}  // namespace

void DotU8(const std::uint8_t* codes, std::size_t stride, std::size_t rows, const std::int8_t* hi,
           const std::int8_t* lo, std::size_t n, float* sums) {
    DotRows(codes, stride, rows, hi, lo, n, sums, Bytes{});
}

void DotU4(const std::uint8_t* codes, std::size_t stride, std::size_t rows,
           const std::uint8_t levels[16], const std::int8_t* hi, const std::int8_t* lo,
           std::size_t n, float* sums) {
    const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
    DotRows(codes, stride, rows, hi, lo, n, sums, Nibbles{_mm512_broadcast_i32x4(table)});
}

void FastScan(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,
              std::uint32_t sums[32]) {
    const __m512i nibble = _mm512_set1_epi8(15);
    // 256 groups of 255 are the most that 16 bits hold.
    while (groups > 0) {
        const std::size_t chunk = groups < 256 ? groups : 256;
        ByteSums lower, upper;
        for (std::size_t g = 0; g < chunk; g += 4, codes += 64, tables += 64) {
            const __m512i code = _mm512_loadu_si512(codes);
            const __m512i table = _mm512_loadu_si512(tables);
            lower.Add(_mm512_shuffle_epi8(table, _mm512_and_si512(code, nibble)));
            upper.Add(
                _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(code, 4), nibble)));
        }
        lower.AddTo(sums);
        upper.AddTo(sums + 16);
        groups -= chunk;
    }
}

void PqSums(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,
            std::uint32_t sums[32]) {
    // 256 entries of 255 are the most that 16 bits hold.
    while (m > 0) {
        const std::size_t chunk = m < 256 ? m : 256;
        __m512i rows = _mm512_setzero_si512();
        for (std::size_t j = 0; j < chunk; ++j, codes += 32, tables += 256) {
            const auto* index = reinterpret_cast<const __m256i*>(codes);
            rows = _mm512_add_epi16(
                rows, _mm512_cvtepu8_epi16(Lookup(tables, _mm256_loadu_si256(index))));
        }
        AddRows(rows, sums);
        m -= chunk;
    }
}

std::int64_t DotPlanes(const std::uint8_t* planes, std::size_t bits, const std::int8_t* hi,
                       const std::int8_t* lo, std::size_t n) {
    return WithBits(bits, [&]<std::size_t kBits>(Constant<kBits>) {
        return DotPlanesOf<kBits>(planes, hi, lo, n);
    });
}

void SubsetTables(const float* q, std::size_t groups, float inverse, float most, std::uint8_t* low,
                  std::uint8_t* high) {
    // Lane k is the subset with the bits of k. min and max give their second operand if an operand
    // is NaN.
    constexpr __mmask16 kHas[4] = {0xAAAA, 0xCCCC, 0xF0F0, 0xFF00};
    const __m512 scale = _mm512_set1_ps(inverse), half = _mm512_set1_ps(0.5f);
    const __m512 limit = _mm512_set1_ps(most);
    for (std::size_t g = 0; g < groups; ++g, q += 4, low += 16) {
        __m512 sum = _mm512_setzero_ps();
        for (std::size_t j = 0; j < 4; ++j) {
            const __m512 x = _mm512_set1_ps(q[j]);
            sum = _mm512_sub_ps(sum, _mm512_min_ps(x, _mm512_setzero_ps()));
            sum = _mm512_mask_add_ps(sum, kHas[j], sum, x);
        }
        const __m512 v = _mm512_min_ps(_mm512_fmadd_ps(sum, scale, half), limit);
        const __m512i entry = _mm512_cvttps_epi32(_mm512_max_ps(v, _mm512_setzero_ps()));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm512_cvtepi32_epi8(entry));
        if (high == nullptr) continue;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(high),
                         _mm512_cvtepi32_epi8(_mm512_srli_epi32(entry, 8)));
        high += 16;
    }
}

void SplitQuery(const float* q, std::size_t n, float inverse, std::int8_t* hi, std::int8_t* lo) {
    const __m512 scale = _mm512_set1_ps(inverse);
    const __m512 largest = _mm512_set1_ps(8127.0f), least = _mm512_set1_ps(-8127.0f);
    for (std::size_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(q + i), scale);
        const __m512i whole = _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(v, largest), least));
        const __m512i upper = _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(64)), 7);
        const __m512i rest = _mm512_sub_epi32(whole, _mm512_slli_epi32(upper, 7));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(hi + i), _mm512_cvtepi32_epi8(upper));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(lo + i), _mm512_cvtepi32_epi8(rest));
    }
}

std::uint32_t BoundBlock(const BlockFactors& factors, const BlockScalars& scalars,
                         const float sums[32], float threshold, float lower[32],
                         float estimate[32]) {
    const __m512 base = _mm512_set1_ps(scalars.base);
    const __m512 limit = _mm512_set1_ps(threshold);
    const __m512 minus_infinity = _mm512_set1_ps(-__builtin_inff());
    std::uint32_t selected = 0;
    for (std::size_t i = 0; i < 32; i += 16) {
        const __m512 add = _mm512_loadu_ps(factors.add + i);
        const __m512 scale = FromBfloat16(factors.scale + i);
        const __m512 error = FromBfloat16(factors.error + i);
        const __m512 product = _mm512_fmadd_ps(
            _mm512_loadu_ps(sums + i), _mm512_set1_ps(scalars.unit), _mm512_set1_ps(scalars.shift));
        __m512 e = _mm512_fmadd_ps(scale, product, _mm512_add_ps(base, add));
        if (factors.offset != nullptr)
            e = _mm512_fmadd_ps(_mm512_loadu_ps(factors.offset + i), _mm512_set1_ps(scalars.total),
                                e);
        __m512 w = _mm512_mul_ps(_mm512_set1_ps(scalars.error_factor), error);
        w = _mm512_fmadd_ps(_mm512_set1_ps(scalars.round_error), _mm512_abs_ps(scale), w);
        w = _mm512_fmadd_ps(_mm512_set1_ps(scalars.slack), _mm512_add_ps(base, _mm512_abs_ps(add)),
                            w);
        const __m512 bound = _mm512_sub_ps(e, w);
        // "Not greater or equal": a bound that is NaN is selected.
        const __mmask16 below = _mm512_cmp_ps_mask(bound, limit, _CMP_NGE_UQ);
        selected |= static_cast<std::uint32_t>(below) << i;
        const __mmask16 no_number = _mm512_cmp_ps_mask(bound, bound, _CMP_UNORD_Q);
        _mm512_storeu_ps(lower + i, _mm512_mask_mov_ps(bound, no_number, minus_infinity));
        _mm512_storeu_ps(estimate + i, e);
    }
    return selected;
}

float MaskedMin(const float values[32], std::uint32_t mask) {
    const __m512 infinity = _mm512_set1_ps(__builtin_inff());
    const auto low = static_cast<__mmask16>(mask), high = static_cast<__mmask16>(mask >> 16);
    return _mm512_reduce_min_ps(_mm512_min_ps(_mm512_mask_loadu_ps(infinity, low, values),
                                              _mm512_mask_loadu_ps(infinity, high, values + 16)));
}

}  // namespace quantvec::kernels::avx512

#endif
