// This file owns the metrics: the distance of each operator, and the one key by which the index
// compares rows.
//
//   metric    operator, distance d(x, q)       key(x, q)                      key from d
//   L2        <->   ||x - q||                  ||x - q||^2                    d * d
//   cosine    <=>   1 - <x,q>/(||x|| ||q||)    ||x' - q'||^2, unit vectors    2 * d
//   ip        <#>   -<x, q>                    -2 <x, q>                      2 * d
//   hamming   <~>   bits of x that differ      ||x - q||^2, elements 0 or 1   d
//   jaccard   <%>   1 - |x & q| / |x | q|      2 |x ^ q| / (|x| + |q|)        2 d / (2 - d)
//
// For one query the key grows with the distance, so an order by key is the order by distance.
//
// Jaccard, with |x| for the number of bits that are set: the key is ||x' - q'||^2 of unit vectors
// where |x| = |q|, and above it elsewhere, since an arithmetic mean is not below a geometric one.
// So lists are made and chosen as for cosine. Two values without a common bit have distance 1 and
// key 2, also if no bit is set at all.
//
// Codes estimate one number only, a squared L2 distance (less ||x||^2 for inner product). For inner
// product that number is the key plus ||q||^2, which is the same for every row. The scan's floats
// carry this shift. KeyShift takes it off in double, so that a long query does not swallow the
// differences.
#pragma once

#include <cstdint>

namespace quantvec {

// The values are stored in the metapage.
enum class Metric : std::uint8_t {
    kL2 = 1,
    kInnerProduct = 2,
    kCosine = 3,
    kHamming = 4,
    kJaccard = 5,
};

// Do lists hold unit vectors?
inline bool IsOfDirections(Metric metric) {
    return metric == Metric::kCosine || metric == Metric::kJaccard;
}

inline double KeyFromDistance(Metric metric, double distance) {
    switch (metric) {
        case Metric::kL2:
            return distance * distance;
        case Metric::kHamming:
            return distance;
        case Metric::kJaccard:
            return 2.0 * distance / (2.0 - distance);
        case Metric::kInnerProduct:
        case Metric::kCosine:
            break;
    }
    return 2.0 * distance;
}

// By this much an estimate from codes is above the key. query_norm_sqr: ||q||^2 of the given query.
inline double KeyShift(Metric metric, double query_norm_sqr) {
    return metric == Metric::kInnerProduct ? query_norm_sqr : 0.0;
}

}  // namespace quantvec
