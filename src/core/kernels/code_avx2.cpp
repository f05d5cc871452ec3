// The integer kernels and bound_block with AVX2: 32 bytes a step.
#if defined(__x86_64__)

#include "core/kernels/tables.h"

#include <immintrin.h>

namespace quantvec::kernels::avx2 {
namespace {

__m256i Load(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

// The sum of all lanes fits 32 bits: 64,000 products of at most 255 * 64.
std::int64_t SumLanes(__m256i x) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
    return _mm_cvtsi128_si32(four);
}

// <value, hi> and <value, lo> in 8 lanes each. |hi| and |lo| are at most 64, so two products of a
// byte fit the 16-bit lanes of maddubs: 2 * 255 * 64 = 32,640.
struct SplitDot {
    __m256i high = _mm256_setzero_si256();
    __m256i low = _mm256_setzero_si256();

    void Add(__m256i value, __m256i hi, __m256i lo) {
        const __m256i ones = _mm256_set1_epi16(1);
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_maddubs_epi16(value, hi), ones));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_maddubs_epi16(value, lo), ones));
    }
    std::int64_t Total() const { return 128 * SumLanes(high) + SumLanes(low); }
};

// The sums of the lanes of four registers.
__m128i SumLanes(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

// The values of 64 dimensions of a row.
struct Pair {
    __m256i first, second;
};

// kRows rows whose values of a step are values(row, i): a load of the query serves all of them.
template <std::size_t kRows, class Values>
void DotSomeRows(const std::uint8_t* codes, std::size_t stride, const std::int8_t* hi,
                 const std::int8_t* lo, std::size_t n, float* sums, Values values) {
    SplitDot dot[kRows];
    for (std::size_t i = 0; i < n; i += 64)
        for (std::size_t r = 0; r < kRows; ++r) {
            const Pair value = values(codes + r * stride, i);
            dot[r].Add(value.first, Load(hi + i), Load(lo + i));
            dot[r].Add(value.second, Load(hi + i + 32), Load(lo + i + 32));
        }
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

template <class Values>
void DotRows(const std::uint8_t* codes, std::size_t stride, std::size_t rows, const std::int8_t* hi,
             const std::int8_t* lo, std::size_t n, float* sums, Values values) {
    std::size_t r = 0;
    for (; r + 4 <= rows; r += 4)
        DotSomeRows<4>(codes + r * stride, stride, hi, lo, n, sums + r, values);
    for (; r < rows; ++r) DotSomeRows<1>(codes + r * stride, stride, hi, lo, n, sums + r, values);
}

// 16 sums of 32 bits plus 16 of 16 bits, in order of rows.
void AddRows(__m256i rows, std::uint32_t* sums) {
    const __m256i first = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(rows));
    const __m256i second = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(rows, 1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), _mm256_add_epi32(Load(sums), first));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8),
                        _mm256_add_epi32(Load(sums + 8), second));
}

// Sums of bytes in 16 bits, modulo 2^16: `both` adds pairs of bytes as they are, `odd` their upper
// bytes; the lower ones follow as both - 256 * odd. One addition less than unpacking each pair.
struct ByteSums {
    __m256i both = _mm256_setzero_si256();
    __m256i odd = _mm256_setzero_si256();

    void Add(__m256i bytes) {
        both = _mm256_add_epi16(both, bytes);
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16(bytes, 8));
    }
    // Both 128-bit lanes hold the same 16 rows, of different groups.
    void AddTo(std::uint32_t* sums) const {
        const __m256i even = _mm256_sub_epi16(both, _mm256_slli_epi16(odd, 8));
        const __m128i even_rows =
            _mm_add_epi16(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
        const __m128i odd_rows =
            _mm_add_epi16(_mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1));
        AddRows(_mm256_set_m128i(_mm_unpackhi_epi16(even_rows, odd_rows),
                                 _mm_unpacklo_epi16(even_rows, odd_rows)),
                sums);
    }
};

// Byte i is table[index[i]] of 256 entries. The low half of the index looks up in 16 registers.
// Each of its other bits then chooses between two halves of the results. 9.8 ns a row of 96
// look-ups (Zen 4), where plain loads take 26.
__m256i Lookup(const std::uint8_t* table, __m256i index) {
    const __m256i low = _mm256_and_si256(index, _mm256_set1_epi8(15));
    // blendv looks at the upmost bit of a byte.
    const __m256i bit4 = _mm256_slli_epi16(index, 3), bit5 = _mm256_slli_epi16(index, 2);
    const __m256i bit6 = _mm256_slli_epi16(index, 1);
    const auto sixteen = [&](std::size_t k) {
        const auto* entries = reinterpret_cast<const __m128i*>(table) + k;
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(entries)), low);
    };
    const auto sixty_four = [&](std::size_t k) {
        return _mm256_blendv_epi8(_mm256_blendv_epi8(sixteen(k), sixteen(k + 1), bit4),
                                  _mm256_blendv_epi8(sixteen(k + 2), sixteen(k + 3), bit4), bit5);
    };
    return _mm256_blendv_epi8(_mm256_blendv_epi8(sixty_four(0), sixty_four(4), bit6),
                              _mm256_blendv_epi8(sixty_four(8), sixty_four(12), bit6), index);
}

// Byte k becomes 0xFF where bit k of bits is set, else 0.
__m256i ExpandBits(std::uint32_t bits) {
    const __m256i byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                             2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit_of = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), byte_of);
    return _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of), bit_of);
}

template <std::size_t kBits>
std::int64_t DotPlanesOf(const std::uint8_t* planes, const std::int8_t* hi, const std::int8_t* lo,
                         std::size_t n) {
    SplitDot dot;
    for (std::size_t i = 0; i < n; i += 64, planes += 8 * kBits)
        for (std::size_t half = 0; half < 2; ++half) {
            // From the most significant plane: value = 2 * value + bit.
            __m256i value = _mm256_setzero_si256();
            for (std::size_t b = kBits; b-- > 0;) {
                std::uint32_t bits;
                __builtin_memcpy(&bits, planes + 8 * b + 4 * half, sizeof(bits));
                value = _mm256_sub_epi8(_mm256_add_epi8(value, value), ExpandBits(bits));
            }
            dot.Add(value, Load(hi + i + 32 * half), Load(lo + i + 32 * half));
        }
    return dot.Total();
}

__m256 FromBfloat16(const std::uint16_t* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

__m256 Abs(__m256 x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

}  // namespace

void DotU8(const std::uint8_t* codes, std::size_t stride, std::size_t rows, const std::int8_t* hi,
           const std::int8_t* lo, std::size_t n, float* sums) {
    DotRows(codes, stride, rows, hi, lo, n, sums, [](const std::uint8_t* row, std::size_t i) {
        return Pair{Load(row + i), Load(row + i + 32)};
    });
}

void DotU4(const std::uint8_t* codes, std::size_t stride, std::size_t rows,
           const std::uint8_t levels[16], const std::int8_t* hi, const std::int8_t* lo,
           std::size_t n, float* sums) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)));
    DotRows(codes, stride, rows, hi, lo, n, sums, [=](const std::uint8_t* row, std::size_t i) {
        const __m256i packed = Load(row + i / 2);
        const __m256i second = _mm256_srli_epi16(packed, 4);
        return Pair{_mm256_shuffle_epi8(table, _mm256_and_si256(packed, nibble)),
                    _mm256_shuffle_epi8(table, _mm256_and_si256(second, nibble))};
    });
}

void FastScan(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,
              std::uint32_t sums[32]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    // 256 groups of 255 are the most that 16 bits hold.
    while (groups > 0) {
        const std::size_t chunk = groups < 256 ? groups : 256;
        ByteSums lower, upper;
        for (std::size_t g = 0; g < chunk; g += 2, codes += 32, tables += 32) {
            const __m256i code = Load(codes);
            const __m256i table = Load(tables);
            lower.Add(_mm256_shuffle_epi8(table, _mm256_and_si256(code, nibble)));
            upper.Add(
                _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(code, 4), nibble)));
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
        __m256i lower = _mm256_setzero_si256(), upper = _mm256_setzero_si256();
        for (std::size_t j = 0; j < chunk; ++j, codes += 32, tables += 256) {
            const __m256i entries = Lookup(tables, Load(codes));
            lower = _mm256_add_epi16(lower, _mm256_cvtepu8_epi16(_mm256_castsi256_si128(entries)));
            upper =
                _mm256_add_epi16(upper, _mm256_cvtepu8_epi16(_mm256_extracti128_si256(entries, 1)));
        }
        AddRows(lower, sums);
        AddRows(upper, sums + 16);
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
    const __m128 scale = _mm_set1_ps(inverse), half = _mm_set1_ps(0.5f);
    const __m128 limit = _mm_set1_ps(most), zero = _mm_setzero_ps();
    // min and max give their second operand if an operand is NaN.
    const auto entries = [&](__m128 sums) {
        const __m128 v = _mm_min_ps(_mm_fmadd_ps(sums, scale, half), limit);
        return _mm_cvttps_epi32(_mm_max_ps(v, zero));
    };
    const __m128 has0 = _mm_castsi128_ps(_mm_setr_epi32(0, -1, 0, -1));
    const __m128 has1 = _mm_castsi128_ps(_mm_setr_epi32(0, 0, -1, -1));
    for (std::size_t g = 0; g < groups; ++g, q += 4, low += 16) {
        const __m128 x0 = _mm_set1_ps(q[0]), x1 = _mm_set1_ps(q[1]);
        const __m128 x2 = _mm_set1_ps(q[2]), x3 = _mm_set1_ps(q[3]);
        __m128 sum = _mm_sub_ps(zero, _mm_min_ps(x0, zero));
        sum = _mm_sub_ps(sum, _mm_min_ps(x1, zero));
        sum = _mm_sub_ps(sum, _mm_min_ps(x2, zero));
        sum = _mm_sub_ps(sum, _mm_min_ps(x3, zero));
        // Four subsets of the first two coordinates; then with the third, the fourth, and both.
        sum = _mm_add_ps(_mm_add_ps(sum, _mm_and_ps(has0, x0)), _mm_and_ps(has1, x1));
        const __m128 with2 = _mm_add_ps(sum, x2);
        const __m128i first = _mm_packus_epi32(entries(sum), entries(with2));
        const __m128i second =
            _mm_packus_epi32(entries(_mm_add_ps(sum, x3)), entries(_mm_add_ps(with2, x3)));
        const __m128i byte = _mm_set1_epi16(255);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(low),
                         _mm_packus_epi16(_mm_and_si128(first, byte), _mm_and_si128(second, byte)));
        if (high == nullptr) continue;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(high),
                         _mm_packus_epi16(_mm_srli_epi16(first, 8), _mm_srli_epi16(second, 8)));
        high += 16;
    }
}

void SplitQuery(const float* q, std::size_t n, float inverse, std::int8_t* hi, std::int8_t* lo) {
    const __m256 scale = _mm256_set1_ps(inverse);
    const __m256 largest = _mm256_set1_ps(8127.0f), least = _mm256_set1_ps(-8127.0f);
    // Packing works on 128-bit lanes: groups of 4 bytes come out as 0 2 4 6 1 3 5 7.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (std::size_t i = 0; i < n; i += 32) {
        __m256i upper[4], rest[4];
        for (std::size_t k = 0; k < 4; ++k) {
            const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(q + i + 8 * k), scale);
            const __m256i whole =
                _mm256_cvtps_epi32(_mm256_max_ps(_mm256_min_ps(v, largest), least));
            upper[k] = _mm256_srai_epi32(_mm256_add_epi32(whole, _mm256_set1_epi32(64)), 7);
            rest[k] = _mm256_sub_epi32(whole, _mm256_slli_epi32(upper[k], 7));
        }
        const auto pack = [&](const __m256i(&x)[4]) {
            const __m256i bytes =
                _mm256_packs_epi16(_mm256_packs_epi32(x[0], x[1]), _mm256_packs_epi32(x[2], x[3]));
            return _mm256_permutevar8x32_epi32(bytes, order);
        };
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(hi + i), pack(upper));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(lo + i), pack(rest));
    }
}

std::uint32_t BoundBlock(const BlockFactors& factors, const BlockScalars& scalars,
                         const float sums[32], float threshold, float lower[32],
                         float estimate[32]) {
    const __m256 base = _mm256_set1_ps(scalars.base);
    const __m256 limit = _mm256_set1_ps(threshold);
    const __m256 minus_infinity = _mm256_set1_ps(-__builtin_inff());
    std::uint32_t selected = 0;
    for (std::size_t i = 0; i < 32; i += 8) {
        const __m256 add = _mm256_loadu_ps(factors.add + i);
        const __m256 scale = FromBfloat16(factors.scale + i);
        const __m256 error = FromBfloat16(factors.error + i);
        const __m256 product = _mm256_fmadd_ps(
            _mm256_loadu_ps(sums + i), _mm256_set1_ps(scalars.unit), _mm256_set1_ps(scalars.shift));
        __m256 e = _mm256_fmadd_ps(scale, product, _mm256_add_ps(base, add));
        if (factors.offset != nullptr)
            e = _mm256_fmadd_ps(_mm256_loadu_ps(factors.offset + i), _mm256_set1_ps(scalars.total),
                                e);
        __m256 w = _mm256_mul_ps(_mm256_set1_ps(scalars.error_factor), error);
        w = _mm256_fmadd_ps(_mm256_set1_ps(scalars.round_error), Abs(scale), w);
        w = _mm256_fmadd_ps(_mm256_set1_ps(scalars.slack), _mm256_add_ps(base, Abs(add)), w);
        const __m256 bound = _mm256_sub_ps(e, w);
        // "Not greater or equal": a bound that is NaN is selected.
        const __m256 below = _mm256_cmp_ps(bound, limit, _CMP_NGE_UQ);
        selected |= static_cast<std::uint32_t>(_mm256_movemask_ps(below)) << i;
        const __m256 no_number = _mm256_cmp_ps(bound, bound, _CMP_UNORD_Q);
        _mm256_storeu_ps(lower + i, _mm256_blendv_ps(bound, minus_infinity, no_number));
        _mm256_storeu_ps(estimate + i, e);
    }
    return selected;
}

float MaskedMin(const float values[32], std::uint32_t mask) {
    const __m256 infinity = _mm256_set1_ps(__builtin_inff());
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256 least = infinity;
    for (std::size_t i = 0; i < 32; i += 8) {
        const __m256i bits = _mm256_set1_epi32(static_cast<int>(mask >> i));
        const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(bits, bit), bit);
        least = _mm256_min_ps(least, _mm256_blendv_ps(infinity, _mm256_loadu_ps(values + i),
                                                      _mm256_castsi256_ps(set)));
    }
    __m128 four = _mm_min_ps(_mm256_castps256_ps128(least), _mm256_extractf128_ps(least, 1));
    four = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(four, _mm_shuffle_ps(four, four, 1)));
}

}  // namespace quantvec::kernels::avx2

#endif
