// This file owns the words that the two halves of quantvec speak: spans of bytes and floats, and a
// matrix of floats (src/README.md). It also has the two helpers that every file of the core may
// need: RoundUp and QV_ASSERT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantvec {

using FloatSpan = std::span<float>;
using ConstFloatSpan = std::span<const float>;
using ByteSpan = std::span<std::uint8_t>;
using ConstByteSpan = std::span<const std::uint8_t>;

// `rows` vectors of `cols` floats each, row-major. Owns nothing.
struct MatrixView {
    const float* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;

    const float* row(std::size_t i) const { return data + i * cols; }
};

constexpr std::size_t RoundUp(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

}  // namespace quantvec

// Catches our own mistakes. No user input can reach one. Active in the unit tests; the shell has
// Assert.
#ifdef QV_ASSERTIONS
#define QV_ASSERT(condition) ((condition) ? static_cast<void>(0) : __builtin_trap())
#else
#define QV_ASSERT(condition) static_cast<void>(0)
#endif
