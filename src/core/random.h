// SplitMix64: random numbers that are the same on every machine (Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014).
#pragma once

#include <cstdint>

namespace quantvec {

// The next number. Another state gives another number: state to number is a bijection.
inline std::uint64_t NextRandom(std::uint64_t& state) {
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

}  // namespace quantvec
