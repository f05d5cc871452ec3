// Distances between vectors, by the kernels that this processor has.
#include "pg/types/distance.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/kernels/kernels.h"
#include "pg/pg.h"

namespace quantvec::pg {
namespace {

using kernels::Active;
using kernels::Kernels;

template <class Element>
struct Sums;
template <>
struct Sums<float> {
    static constexpr auto l2sqr = &Kernels::l2sqr;
    static constexpr auto inner_product = &Kernels::inner_product;
    static constexpr auto l1 = &Kernels::l1;
    static constexpr auto cosine = &Kernels::cosine_sums;
};
template <>
struct Sums<Half> {
    static constexpr auto l2sqr = &Kernels::half_l2sqr;
    static constexpr auto inner_product = &Kernels::half_inner_product;
    static constexpr auto l1 = &Kernels::half_l1;
    static constexpr auto cosine = &Kernels::half_cosine_sums;
};

// Rounding may carry a cosine over the ends. Not std::clamp: these comparisons let NaN through.
double InRange(double cosine) {
    return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

}  // namespace

// One root of the product, not a product of roots: exact for equal vectors, and the product of two
// floats cannot leave the double range.
double CosineDistance(float product, float sqr_a, float sqr_b) {
    return 1 - InRange(product / std::sqrt(static_cast<double>(sqr_a) * sqr_b));
}

template <Measure kMeasure, class Element>
double Distance(std::span<const Element> a, std::span<const Element> b) {
    const auto sum = [&](auto kernel) -> double {
        return (Active().*kernel)(a.data(), b.data(), a.size());
    };
    switch (kMeasure) {
        case Measure::kL2:
            return std::sqrt(sum(Sums<Element>::l2sqr));
        case Measure::kL2Sqr:
            return sum(Sums<Element>::l2sqr);
        case Measure::kInnerProduct:
            return sum(Sums<Element>::inner_product);
        case Measure::kNegativeInnerProduct:
            return -sum(Sums<Element>::inner_product);
        case Measure::kL1:
            return sum(Sums<Element>::l1);
        case Measure::kSpherical:
            return std::acos(InRange(sum(Sums<Element>::inner_product))) / std::numbers::pi;
        case Measure::kHamming:
        case Measure::kJaccard:
            break;
        case Measure::kCosine: {
            float sums[3];
            (Active().*Sums<Element>::cosine)(a.data(), b.data(), a.size(), sums);
            return CosineDistance(sums[0], sums[1], sums[2]);
        }
    }
    pg_unreachable();
}

#define QV_DISTANCE(measure)                                                                    \
    template double Distance<Measure::measure>(std::span<const float>, std::span<const float>); \
    template double Distance<Measure::measure>(std::span<const Half>, std::span<const Half>);
QV_DISTANCE(kL2)
QV_DISTANCE(kL2Sqr)
QV_DISTANCE(kInnerProduct)
QV_DISTANCE(kNegativeInnerProduct)
QV_DISTANCE(kCosine)
QV_DISTANCE(kL1)
QV_DISTANCE(kSpherical)

}  // namespace quantvec::pg
