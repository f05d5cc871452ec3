// What the operators measure, and the one key by which the index compares rows.
//
//   metric    operator, distance d(x, q)       key(x, q)                      key from d
//   L2        <->   ||x - q||                  ||x - q||^2                    d * d
//   cosine    <=>   1 - <x,q>/(||x|| ||q||)    ||x' - q'||^2, unit vectors    2 * d
//   ip        <#>   -<x, q>                    ||x - q||^2 - ||x||^2          2 * d + ||q||^2
//
// For one query the key grows with the distance, so an order by key is the order by distance, and
// every code needs to estimate one thing only: a squared L2 distance.
#pragma once

#include <cstdint>

namespace quantvec {

// The values are stored in the metapage.
enum class Metric : std::uint8_t { kL2 = 1, kInnerProduct = 2, kCosine = 3 };

// query_norm_sqr: ||q||^2 of the query as it was given (used by inner product only).
inline double KeyFromDistance(Metric metric, double distance, double query_norm_sqr) {
    switch (metric) {
        case Metric::kL2:
            return distance * distance;
        case Metric::kCosine:
            return 2.0 * distance;
        case Metric::kInnerProduct:
            return 2.0 * distance + query_norm_sqr;
    }
    __builtin_unreachable();
}

// The inverse. An estimated key below zero (L2, cosine) is taken as zero.
inline double DistanceFromKey(Metric metric, double key, double query_norm_sqr) {
    switch (metric) {
        case Metric::kL2:
            return key > 0 ? __builtin_sqrt(key) : 0.0;
        case Metric::kCosine:
            return key > 0 ? key / 2 : 0.0;
        case Metric::kInnerProduct:
            return (key - query_norm_sqr) / 2;
    }
    __builtin_unreachable();
}

}  // namespace quantvec
