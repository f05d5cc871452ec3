// Bodies of the bit kernels, once for all instruction sets: words of 64 bits, counted by one
// instruction where the target has it. Included by the target files only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/kernels/kernels.h"

namespace quantvec::kernels {
namespace {

// step(p, q) for each 64 bits of a and b, zeros after the last byte.
template <class Step>
void EachWord(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes, Step step) {
    std::size_t i = 0;
    for (; i < bytes; i += 8) {
        std::uint64_t p = 0, q = 0;
        if (i + 8 <= bytes) {
            __builtin_memcpy(&p, a + i, 8);
            __builtin_memcpy(&q, b + i, 8);
        } else {
            for (std::size_t k = i; k < bytes; ++k) {
                p = p << 8 | a[k];
                q = q << 8 | b[k];
            }
        }
        step(p, q);
    }
}

std::uint64_t CountBits(std::uint64_t word) {
    return static_cast<std::uint64_t>(__builtin_popcountll(word));
}

std::uint64_t Hamming(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes) {
    std::uint64_t count = 0;
    EachWord(a, b, bytes, [&](std::uint64_t p, std::uint64_t q) { count += CountBits(p ^ q); });
    return count;
}

BitOverlap Overlap(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes) {
    BitOverlap overlap = {};
    EachWord(a, b, bytes, [&](std::uint64_t p, std::uint64_t q) {
        overlap.both += CountBits(p & q);
        overlap.either += CountBits(p | q);
    });
    return overlap;
}

}  // namespace
}  // namespace quantvec::kernels
