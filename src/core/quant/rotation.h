// This file owns the random rotation: any dimension, in O(dim log dim), its state a few sign bits.
//
// Codes round each coordinate by itself. So they want vectors whose mass is spread evenly over the
// coordinates. A random orthogonal matrix gives that, at dim^2 multiplications a vector. Random
// signs D followed by a Walsh-Hadamard transform H do nearly the same (Ailon and Chazelle, "The
// fast Johnson-Lindenstrauss transform", 2009; the RaBitQ library's rotator uses four of them, and
// two overlapping transforms where the dimension is no power of two). With n the padded dimension
// and P the largest power of two up to it, this is done twice, with other signs in each D:
//
//        |<----------------- n ------------------>|
//   D    | + - - + - + + - + + - - + - + - - + -  |   random signs on all
//   H    |<--------- P --------->|                |   the leading P, by 1/sqrt(P)
//   D    | - + - - + + - + - - + + + - + - + + -  |
//   H    |                |<--------- P --------->|   the trailing P, by 1/sqrt(P)
//   D    | + + - - - + - + + - - + - - + + - - +  |   only if P < n, as is
//   B    |<------ n/2 ------>|<------ n/2 ------->|   (a, b) <- (a + b, a - b) / sqrt(2)
//
// Each factor is orthogonal, so lengths and inner products stay as they are. B evens out the energy
// of the two ends, which meet only in the overlap of the transforms.
//
// Difference to the RaBitQ library, which has H B four times with no D before B. There a coordinate
// at i >= P meets no transform in round 0. Half of it goes to i - n/2, and that half meets no
// transform in round 1, and so on: a fourth of it is still one spike at the end. Measured: largest
// coordinate times sqrt(n), and
// kurtosis (random directions: 3), of 320 one-hot vectors, each with a seed of its own:
//
//   n                                     384           832          16,000
//   H B four times                      7.3  3.6     10.2  4.9     33.9  63.2
//   B after each second H               4.8  3.06     4.5  3.02     5.2   3.00
//   D B after each second H (this)      4.7  3.00     4.7  3.00     5.0   3.00
//
// The result is code-making: the same bytes on every machine.
#pragma once

#include "core/kernels/kernels.h"
#include "core/view.h"

namespace quantvec::quant {

// Rows of n signs: one for each H, then one for each B.
constexpr std::size_t kTransforms = 4;
constexpr std::size_t kSignRows = 6;

// The number of coordinates after rotation: the next multiple of 64, the step of the scans.
constexpr std::size_t PaddedDim(std::size_t dim) {
    return RoundUp(dim, 64);
}

// Size of the state.
constexpr std::size_t RotationBytes(std::size_t padded_dim) {
    return kSignRows * padded_dim / 8;
}

// Derives the state from a seed, by integers only. signs: [RotationBytes(padded_dim)].
void FillRotation(std::uint64_t seed, std::size_t padded_dim, ByteSpan signs);

// The way back: undoes Rotate, but for the rounding of floats.
void Unrotate(ConstByteSpan signs, FloatSpan x);

// Rotates x in place. x: [padded_dim], zeros after the vector's own dimensions; signs: as filled
// for that padded_dim.
void Rotate(ConstByteSpan signs, FloatSpan x, const kernels::Kernels& kernels = kernels::Active());

}  // namespace quantvec::quant
