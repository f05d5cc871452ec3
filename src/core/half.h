// This file owns the 16-bit float (IEEE 754 binary16, FP16): the element of halfvec.
//
//     15   14 .. 10   9 .. 0
//     sign exponent   mantissa     exponent 31: infinity or NaN; exponent 0: zero or subnormal
//
// Every half is a float, so ToFloat is exact. ToHalf rounds to the nearest half, ties to even.
// Always inline: kernels are compiled for several instruction sets, and no two share a function.
#pragma once

#include <cstdint>

namespace quantvec {

struct Half {
    std::uint16_t bits;
};

inline constexpr float kMostHalf = 65504.0f;

[[gnu::always_inline]] inline float ToFloat(Half half) {
    // As a float, the 15 bits have an exponent that is 112 too small; a product mends it, for
    // subnormals too.
    const std::uint32_t magnitude = static_cast<std::uint32_t>(half.bits & 0x7FFF) << 13;
    const float scaled = __builtin_bit_cast(float, magnitude) * 0x1p112f;
    const std::uint32_t sign = static_cast<std::uint32_t>(half.bits & 0x8000) << 16;
    const std::uint32_t special = (half.bits & 0x7C00) == 0x7C00 ? 0x7F800000u : 0u;
    return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scaled) | special | sign);
}
[[gnu::always_inline]] inline float ToFloat(float x) {
    return x;
}

// Beyond kMostHalf by half a step or more: infinity.
[[gnu::always_inline]] inline Half ToHalf(float x) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t sign = (bits >> 16) & 0x8000;
    const std::uint32_t magnitude = bits & 0x7FFFFFFF;
    std::uint32_t half;
    if (magnitude > 0x7F800000) {
        half = 0x7E00;
    } else if (magnitude >= 0x477FF000) {
        half = 0x7C00;
    } else if (magnitude < 0x38800000) {
        // Below the least normal half. Beside 0.5 a float's last place is that of a subnormal half,
        // so that the addition rounds.
        const float rounded = __builtin_bit_cast(float, magnitude) + 0.5f;
        half = __builtin_bit_cast(std::uint32_t, rounded) - __builtin_bit_cast(std::uint32_t, 0.5f);
    } else {
        const std::uint32_t odd = (magnitude >> 13) & 1;
        half = (magnitude - (112u << 23) + 0xFFF + odd) >> 13;
    }
    return {static_cast<std::uint16_t>(sign | half)};
}

// The element that is nearest to x.
template <class Element>
Element Nearest(float x);
template <>
[[gnu::always_inline]] inline float Nearest<float>(float x) {
    return x;
}
template <>
[[gnu::always_inline]] inline Half Nearest<Half>(float x) {
    return ToHalf(x);
}

}  // namespace quantvec
