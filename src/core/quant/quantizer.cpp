// The choice of a code by its kind, and the arithmetic that codes share (quantizer.h).
#include "core/quant/quantizer.h"

#include <cstring>

#include "core/quant/bits.h"
#include "core/quant/bq.h"
#include "core/quant/pq.h"
#include "core/quant/sq4.h"
#include "core/quant/sq8.h"

namespace quantvec::quant {

const Quantizer& Get(Kind kind) {
    static constinit const Bq bq;
    static constinit const Sq8 sq8;
    static constinit const Sq4 sq4;
    static constinit const Pq pq;
    static constinit const Bits bits;
    static constinit const Sets sets;
    switch (kind) {
        case Kind::kBq:
            return bq;
        case Kind::kSq8:
            return sq8;
        case Kind::kSq4:
            return sq4;
        case Kind::kPq:
            return pq;
        case Kind::kBits:
            return bits;
        case Kind::kSets:
            return sets;
    }
    __builtin_unreachable();
}

kernels::BlockScalars ListScalars(const PreparedQuery& prepared, float base) {
    kernels::BlockScalars exact = {};
    exact.unit = 1;
    exact.round_error = prepared.round_error;
    if (prepared.exact) return exact;
    const float distance = __builtin_sqrtf(base);
    return {
        .base = base,
        .unit = prepared.unit,
        .shift = prepared.shift,
        .total = prepared.total,
        .error_factor = 2.0f * prepared.tighten * distance,
        .round_error = prepared.round_error,
        .slack = kSlack,
    };
}

bool IsTooSmall(ConstFloatSpan residual, float rr) {
    if (!(rr < 5e-41f * static_cast<float>(residual.size()))) return false;
    for (float x : residual)
        if (x != 0) return true;
    return false;
}

UnbiasedCode UnbiasedFactors(ConstFloatSpan residual, ConstFloatSpan centroid, const float* grid,
                             float norm_sqr, bool rounded) {
    const kernels::Kernels& k = kernels::Active();
    const std::size_t n = residual.size();
    const float rr = k.ordered_dot(residual.data(), residual.data(), n);
    const float rg = k.ordered_dot(residual.data(), grid, n);
    const UnbiasedCode none = {0, 0, __builtin_inff()};
    // r = 0 is its own code. A residual that is not finite, or too small, has no code.
    if (IsTooSmall(residual, rr)) return none;
    if (rr == 0) return {0, -WithSlack(norm_sqr), 0};
    if (!(rr > 0) || !(rg > 0)) return none;
    const float gg = k.ordered_dot(grid, grid, n);
    const float cg = k.ordered_dot(centroid.data(), grid, n);
    const float exact = rr / rg;
    const float alpha = rounded ? FromBfloat16(ToBfloat16(2 * exact)) / 2 : exact;
    // ||exact g||^2 - ||r||^2, since <exact g, r> = ||r||^2. This is a difference of two numbers
    // that are nearly equal, so it carries their rounding. (The square of a tiny step has no digits
    // left.)
    const bool tiny = exact * exact < 1e-36f;
    const float ee = (tiny ? exact * (exact * gg) : exact * exact * gg) - rr;
    const float across = __builtin_sqrtf((ee > 0 ? ee : 0) + 1e-6f * rr);
    const float part = __builtin_fabsf(alpha / exact - 1);
    const float usual =
        part * __builtin_sqrtf(rr) * __builtin_sqrtf(static_cast<float>(n - 1)) / kParallelEpsilon;
    const float whole = part * exact * __builtin_sqrtf(gg);
    const float along = usual > whole ? usual : whole;
    const float add = rr + 2 * alpha * cg - WithSlack(norm_sqr);
    const float error = across + along;
    if (!__builtin_isfinite(alpha) || !__builtin_isfinite(add) || !__builtin_isfinite(error))
        return none;
    return {alpha, add, error};
}

float TermsRounding(float terms, float unit, float epsilon) {
    const float spread = epsilon * unit * __builtin_sqrtf(terms / 12);
    const float hard = terms * unit / 2;
    return spread < hard ? spread : hard;
}

float Tighten(const Spec& spec, float epsilon) {
    const float spread = spec.spread > 0
                             ? spec.spread
                             : 1.0f / __builtin_sqrtf(static_cast<float>(spec.padded_dim - 1));
    const float tighten = epsilon * spread;
    return tighten < 1 ? tighten : 1.0f;
}

float QuantizeQuery(ConstFloatSpan query, std::span<std::int8_t> hi, std::span<std::int8_t> lo) {
    // 63 * 128 + 63: the largest number whose planes both stay within [-64, 63].
    constexpr float kLargest = 8127.0f;
    const kernels::Kernels& k = kernels::Active();
    const float largest = k.abs_max(query.data(), query.size());
    const float unit = largest > 0 ? largest / kLargest : 1.0f;
    k.split_query(query.data(), query.size(), 1.0f / unit, hi.data(), lo.data());
    return unit;
}

}  // namespace quantvec::quant
