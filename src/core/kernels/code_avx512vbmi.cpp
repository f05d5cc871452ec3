// The kernels that AVX-512 VBMI, the permutation of 64 bytes, does faster than code_avx512.cpp.
#if defined(__x86_64__)

// GCC 12's AVX-512 header leaves registers undefined by initialising them with themselves, and then
// warns about it where its functions are inlined.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "core/kernels/tables.h"

#include <immintrin.h>

namespace quantvec::kernels::avx512vbmi {

// A step is four groups, whose tables are one register of 64 entries. Codes are put in order of
// rows first, byte 4 * row + group, so that dpbusd adds the four entries of a row: 8 operations for
// 64 bytes where code_avx512.cpp has 11, and 2.17 ns a row of 768 dimensions where that takes 2.77
// (Zen 4).
void FastScan(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t groups,
              std::uint32_t sums[32]) {
    const __m512i nibble = _mm512_set1_epi8(15), one = _mm512_set1_epi8(1);
    // Byte 4 * row + group of the order is 16 * group + row; group_of is 16 * group.
    const __m512i group_of = _mm512_set1_epi32(0x30201000);
    const __m512i row_of =
        _mm512_mullo_epi32(_mm512_set1_epi32(0x01010101),
                           _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i order = _mm512_or_si512(group_of, row_of);
    constexpr int kAndOr = 0xEA;  // (a & b) | c
    // Sums that were just set to zero in smaller pieces are slow to load: they are added last.
    __m512i lower = _mm512_setzero_si512(), upper = _mm512_setzero_si512();
    for (std::size_t g = 0; g < groups; g += 4, codes += 64, tables += 64) {
        const __m512i table = _mm512_loadu_si512(tables);
        const __m512i code = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(codes));
        const __m512i first = _mm512_ternarylogic_epi32(code, nibble, group_of, kAndOr);
        const __m512i second =
            _mm512_ternarylogic_epi32(_mm512_srli_epi16(code, 4), nibble, group_of, kAndOr);
        lower = _mm512_dpbusd_epi32(lower, _mm512_permutexvar_epi8(first, table), one);
        upper = _mm512_dpbusd_epi32(upper, _mm512_permutexvar_epi8(second, table), one);
    }
    _mm512_storeu_si512(sums, _mm512_add_epi32(_mm512_loadu_si512(sums), lower));
    _mm512_storeu_si512(sums + 16, _mm512_add_epi32(_mm512_loadu_si512(sums + 16), upper));
}

// Two permutations have the 256 entries of a sub-quantizer, the upmost bit of a code chooses
// between them: 4.1 ns a row of 96 look-ups, where 16 shuffles take 9 (Zen 4).
void PqSums(const std::uint8_t* codes, const std::uint8_t* tables, std::size_t m,
            std::uint32_t sums[32]) {
    // 256 entries of 255 are the most that 16 bits hold.
    while (m > 0) {
        const std::size_t chunk = m < 256 ? m : 256;
        __m512i rows = _mm512_setzero_si512();
        for (std::size_t j = 0; j < chunk; ++j, codes += 32, tables += 256) {
            const auto entries = [&](std::size_t k) { return _mm512_loadu_si512(tables + k); };
            const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
            const __m512i index = _mm512_castsi256_si512(code);
            const __m512i lower = _mm512_permutex2var_epi8(entries(0), index, entries(64));
            const __m512i upper = _mm512_permutex2var_epi8(entries(128), index, entries(192));
            const __m256i found =
                _mm256_mask_blend_epi8(_mm256_movepi8_mask(code), _mm512_castsi512_si256(lower),
                                       _mm512_castsi512_si256(upper));
            rows = _mm512_add_epi16(rows, _mm512_cvtepu8_epi16(found));
        }
        const __m512i first = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(rows));
        const __m512i second = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(rows, 1));
        _mm512_storeu_si512(sums, _mm512_add_epi32(_mm512_loadu_si512(sums), first));
        _mm512_storeu_si512(sums + 16, _mm512_add_epi32(_mm512_loadu_si512(sums + 16), second));
        m -= chunk;
    }
}

}  // namespace quantvec::kernels::avx512vbmi

#endif
