// Exact distances, as the operators and the index's rerank both compute them: a row that comes from
// the index has bit for bit the distance that its operator gives.
//
//     operator   measure                 formula
//     <->        kL2                     sqrt(sum (a-b)^2)
//     <#>        kNegativeInnerProduct   -sum a*b
//     <=>        kCosine                 1 - sum a*b / sqrt(sum a^2 * sum b^2)
//     <+>        kL1                     sum |a-b|
//
// The sums are floats of the kernel table in use, for halves too (which are floats once they are
// read, so that both element types give the same bits for the same numbers); what follows them is
// double, as in pgvector. Sums beyond the float range give Infinity.
#pragma once

#include <cmath>
#include <span>

#include "core/half.h"

namespace quantvec::pg {

enum class Measure {
    kL2,
    kL2Sqr,
    kInnerProduct,
    kNegativeInnerProduct,
    kCosine,
    kL1,
    kSpherical,
    // of bits (bits.cpp), not of vectors
    kHamming,
    kJaccard,
};

// kCosine: in [0, 2]; NaN if a or b is all zeros.
// kSpherical: the angle of two unit vectors in units of pi.
// REQUIRES: a.size() == b.size(). Element: float or Half.
template <Measure kMeasure, class Element>
double Distance(std::span<const Element> a, std::span<const Element> b);

// From the sums a*b, a^2 and b^2. In [0, 2]; NaN if a or b is all zeros.
double CosineDistance(float product, float sqr_a, float sqr_b);

// The L2 norm. In double: the square of a large float is beyond the float range.
template <class Element>
double Norm(std::span<const Element> x) {
    double sum = 0;
    for (const Element value : x) sum += static_cast<double>(ToFloat(value)) * ToFloat(value);
    return std::sqrt(sum);
}

}  // namespace quantvec::pg
