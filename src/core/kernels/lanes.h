// The lane operations that the float bodies need and that xsimd lacks, or names differently from
// version to version. Included by the target files only.
//
// Everything here and in the *_impl.h files has internal linkage: a shared symbol compiled with
// -mavx2 could be the copy that the linker keeps for a processor without it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/half.h"

#if defined(__SSE2__) || defined(__aarch64__)
#include <xsimd/xsimd.hpp>
#endif

namespace quantvec::kernels {
namespace {

// Four floats and a compiler: the batch of processors for which there is no table of their own.
struct PlainBatch {
    static constexpr std::size_t size = 4;
    using register_type = PlainBatch;
    float lane[size];

    PlainBatch() = default;
    explicit PlainBatch(float value) : lane{value, value, value, value} {}
    static PlainBatch load_unaligned(const float* p) {
        PlainBatch out;
        __builtin_memcpy(out.lane, p, sizeof(out.lane));
        return out;
    }
    void store_unaligned(float* p) const { __builtin_memcpy(p, lane, sizeof(lane)); }

    friend PlainBatch operator+(PlainBatch a, const PlainBatch& b) {
        for (std::size_t i = 0; i < size; ++i) a.lane[i] += b.lane[i];
        return a;
    }
    friend PlainBatch operator-(PlainBatch a, const PlainBatch& b) {
        for (std::size_t i = 0; i < size; ++i) a.lane[i] -= b.lane[i];
        return a;
    }
    friend PlainBatch operator*(PlainBatch a, const PlainBatch& b) {
        for (std::size_t i = 0; i < size; ++i) a.lane[i] *= b.lane[i];
        return a;
    }
};

// a * b + c, rounded once where the instruction set can.
inline PlainBatch MulAdd(const PlainBatch& a, const PlainBatch& b, const PlainBatch& c) {
    return a * b + c;
}
inline PlainBatch Abs(PlainBatch x) {
    for (std::size_t i = 0; i < PlainBatch::size; ++i)
        if (x.lane[i] < 0) x.lane[i] = -x.lane[i];
    return x;
}
#if defined(__SSE2__) || defined(__aarch64__)
template <class Arch>
xsimd::batch<float, Arch> MulAdd(const xsimd::batch<float, Arch>& a,
                                 const xsimd::batch<float, Arch>& b,
                                 const xsimd::batch<float, Arch>& c) {
#ifdef __AVX512F__
    // xsimd 8.1 has no fma for AVX-512: it would multiply, round, and add.
    if constexpr (xsimd::batch<float, Arch>::size == 16) return _mm512_fmadd_ps(a, b, c);
#endif
    return xsimd::fma(a, b, c);
}
template <class Arch>
xsimd::batch<float, Arch> Abs(const xsimd::batch<float, Arch>& x) {
    return xsimd::abs(x);
}
#endif

// The first count floats at p, zeros after them; 0 < count < Batch::size. Masked loads touch no
// byte of the others, and take l2sqr of 100 floats from 33 to 11 ns (AVX-512; from 28 with AVX2)
// against copying to a padded array.
template <class Batch>
Batch LoadTail(const float* p, std::size_t count) {
#ifdef __AVX512F__
    if constexpr (Batch::size == 16)
        return Batch(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p));
#endif
#ifdef __AVX2__
    if constexpr (Batch::size == 8) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i limit = _mm256_set1_epi32(static_cast<int>(count));
        return Batch(_mm256_maskload_ps(p, _mm256_cmpgt_epi32(limit, lane)));
    }
#endif
    float padded[Batch::size] = {};
    for (std::size_t i = 0; i < count; ++i) padded[i] = p[i];
    return Batch::load_unaligned(padded);
}

// Batch::size elements at p as floats.
template <class Batch>
Batch Load(const float* p) {
    return Batch::load_unaligned(p);
}
template <class Batch>
Batch Load(const Half* p) {
#ifdef __AVX512F__
    if constexpr (Batch::size == 16)
        return Batch(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#endif
#ifdef __F16C__
    if constexpr (Batch::size == 8)
        return Batch(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#endif
#ifdef __aarch64__
    if constexpr (!__is_same(Batch, PlainBatch))
        return Batch(vcvt_f32_f16(
            vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p)))));
#endif
    float lanes[Batch::size];
    for (std::size_t i = 0; i < Batch::size; ++i) lanes[i] = ToFloat(p[i]);
    return Batch::load_unaligned(lanes);
}
template <class Batch>
Batch LoadTail(const Half* p, std::size_t count) {
    Half padded[Batch::size] = {};
    __builtin_memcpy(padded, p, count * sizeof(Half));
    return Load<Batch>(padded);
}

// Lane i of `then` where lane i of x is below lane i of y (which no NaN is), else of `otherwise`.
inline PlainBatch WhereLess(const PlainBatch& x, const PlainBatch& y, const PlainBatch& then,
                            PlainBatch otherwise) {
    for (std::size_t i = 0; i < PlainBatch::size; ++i)
        if (x.lane[i] < y.lane[i]) otherwise.lane[i] = then.lane[i];
    return otherwise;
}
// Lane i of x where it is below lane i of y, else of y: what minps does, NaN included. Against
// WhereLess, it takes pq_nearest (256 codewords of 8 floats) from 88 to 74 ns (AVX-512), from 94 to
// 79 ns (AVX2) and from 235 to 178 ns (SSE2).
inline PlainBatch Min(const PlainBatch& x, const PlainBatch& y) {
    return WhereLess(x, y, x, y);
}
#if defined(__SSE2__) || defined(__aarch64__)
template <class Arch>
xsimd::batch<float, Arch> WhereLess(const xsimd::batch<float, Arch>& x,
                                    const xsimd::batch<float, Arch>& y,
                                    const xsimd::batch<float, Arch>& then,
                                    const xsimd::batch<float, Arch>& otherwise) {
    return xsimd::select(x < y, then, otherwise);
}
// From version 14 on, xsimd::min takes its operands in another order: if one is NaN, it returns the
// other one.
#ifdef __SSE2__
inline __m128 MinRegister(__m128 x, __m128 y) {
    return _mm_min_ps(x, y);
}
#endif
#ifdef __AVX2__
inline __m256 MinRegister(__m256 x, __m256 y) {
    return _mm256_min_ps(x, y);
}
#endif
#ifdef __AVX512F__
inline __m512 MinRegister(__m512 x, __m512 y) {
    return _mm512_min_ps(x, y);
}
#endif
template <class Arch>
xsimd::batch<float, Arch> Min(const xsimd::batch<float, Arch>& x,
                              const xsimd::batch<float, Arch>& y) {
#ifdef __SSE2__
    using Register = typename xsimd::batch<float, Arch>::register_type;
    return xsimd::batch<float, Arch>(
        MinRegister(static_cast<Register>(x), static_cast<Register>(y)));
#else
    return WhereLess(x, y, x, y);
#endif
}
#endif

// The sum of lanes i, i + kStride, i + 2 * kStride, .. of kLanes, folded in halves: with kStride 1
// the upper half is added to the lower, then the upper quarter, and so on.
template <std::size_t kLanes, std::size_t kStride = 1>
float Fold(const float* lanes) {
    if constexpr (kStride == kLanes)
        return lanes[0];
    else
        return Fold<kLanes, 2 * kStride>(lanes) + Fold<kLanes, 2 * kStride>(lanes + kStride);
}
template <class Batch>
float Sum(const Batch& x) {
    float lanes[Batch::size];
    x.store_unaligned(lanes);
    return Fold<Batch::size>(lanes);
}

// SwapLanes<h>(x): lane i of the result is lane i ^ h of x.
// FlipSigns(x, bits): lane i with its sign flipped where bit i is set; higher bits do not matter.
template <std::size_t kHalf>
PlainBatch SwapLanes(PlainBatch x) {
    PlainBatch out;
    for (std::size_t i = 0; i < PlainBatch::size; ++i) out.lane[i] = x.lane[i ^ kHalf];
    return out;
}
inline PlainBatch FlipSigns(PlainBatch x, std::uint32_t bits) {
    for (std::size_t i = 0; i < PlainBatch::size; ++i)
        if ((bits >> i) & 1) x.lane[i] = -x.lane[i];
    return x;
}

#ifdef __SSE2__
template <std::size_t kHalf>
__m128 SwapLanes(__m128 x) {
    static_assert(kHalf == 1 || kHalf == 2);
    return _mm_shuffle_ps(x, x, kHalf == 1 ? 0xB1 : 0x4E);
}
inline __m128 FlipSigns(__m128 x, std::uint32_t bits) {
    const __m128i lane_bit = _mm_setr_epi32(1, 2, 4, 8);
    const __m128i chosen = _mm_and_si128(_mm_set1_epi32(static_cast<int>(bits)), lane_bit);
    const __m128i sign = _mm_slli_epi32(_mm_cmpeq_epi32(chosen, lane_bit), 31);
    return _mm_xor_ps(x, _mm_castsi128_ps(sign));
}
#endif

#ifdef __AVX2__
template <std::size_t kHalf>
__m256 SwapLanes(__m256 x) {
    static_assert(kHalf == 1 || kHalf == 2 || kHalf == 4);
    if constexpr (kHalf == 4) return _mm256_permute2f128_ps(x, x, 0x01);
    return _mm256_permute_ps(x, kHalf == 1 ? 0xB1 : 0x4E);
}
inline __m256 FlipSigns(__m256 x, std::uint32_t bits) {
    const __m256i to_top = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256i moved = _mm256_sllv_epi32(_mm256_set1_epi32(static_cast<int>(bits)), to_top);
    const __m256 sign = _mm256_and_ps(_mm256_castsi256_ps(moved), _mm256_set1_ps(-0.0f));
    return _mm256_xor_ps(x, sign);
}
#endif

#ifdef __AVX512F__
template <std::size_t kHalf>
__m512 SwapLanes(__m512 x) {
    static_assert(kHalf == 1 || kHalf == 2 || kHalf == 4 || kHalf == 8);
    if constexpr (kHalf <= 2) return _mm512_permute_ps(x, kHalf == 1 ? 0xB1 : 0x4E);
    return _mm512_shuffle_f32x4(x, x, kHalf == 4 ? 0xB1 : 0x4E);
}
inline __m512 FlipSigns(__m512 x, std::uint32_t bits) {
    const __m512i raw = _mm512_castps_si512(x);
    const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    return _mm512_castsi512_ps(_mm512_mask_xor_epi32(raw, static_cast<__mmask16>(bits), raw, sign));
}
#endif

#ifdef __aarch64__
template <std::size_t kHalf>
float32x4_t SwapLanes(float32x4_t x) {
    static_assert(kHalf == 1 || kHalf == 2);
    if constexpr (kHalf == 1) return vrev64q_f32(x);
    return vextq_f32(x, x, 2);
}
inline float32x4_t FlipSigns(float32x4_t x, std::uint32_t bits) {
    const int32x4_t to_top = {31, 30, 29, 28};
    const uint32x4_t moved = vshlq_u32(vdupq_n_u32(bits), to_top);
    const uint32x4_t sign = vandq_u32(moved, vdupq_n_u32(0x80000000u));
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), sign));
}
#endif

}  // namespace
}  // namespace quantvec::kernels
