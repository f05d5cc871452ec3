// Distances between vectors, by the kernels that this processor has.
#include "pg/types/distance.h"

#include <cmath>

#include "core/kernels/kernels.h"

namespace quantvec::pg {

double L2SqrDistance(ConstFloatSpan a, ConstFloatSpan b) {
    return kernels::Active().l2sqr(a.data(), b.data(), a.size());
}

double L2Distance(ConstFloatSpan a, ConstFloatSpan b) {
    return std::sqrt(L2SqrDistance(a, b));
}

double InnerProduct(ConstFloatSpan a, ConstFloatSpan b) {
    return kernels::Active().inner_product(a.data(), b.data(), a.size());
}

double NegativeInnerProduct(ConstFloatSpan a, ConstFloatSpan b) {
    return -InnerProduct(a, b);
}

double CosineDistance(ConstFloatSpan a, ConstFloatSpan b) {
    float sums[3];
    kernels::Active().cosine_sums(a.data(), b.data(), a.size(), sums);
    // One root of the product, not a product of roots: exact for equal vectors, and the product of
    // two floats cannot leave the double range.
    double similarity = sums[0] / std::sqrt(static_cast<double>(sums[1]) * sums[2]);
    // Rounding may carry it over the ends. Not std::clamp: these comparisons let NaN through.
    if (similarity > 1)
        similarity = 1;
    else if (similarity < -1)
        similarity = -1;
    return 1 - similarity;
}

double L1Distance(ConstFloatSpan a, ConstFloatSpan b) {
    return kernels::Active().l1(a.data(), b.data(), a.size());
}

}  // namespace quantvec::pg
