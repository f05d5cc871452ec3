#include "core/quant/quantizer.h"

#include "core/quant/bq.h"
#include "core/quant/sq8.h"

namespace quantvec::quant {

const Quantizer& Get(Kind kind) {
    static constinit const Bq bq;
    static constinit const Sq8 sq8;
    if (kind == Kind::kBq) return bq;
    return sq8;
}

kernels::BlockScalars ListScalars(const PreparedQuery& prepared, float base) {
    const float distance = __builtin_sqrtf(base);
    return {
        .base = base,
        .unit = prepared.unit,
        .shift = prepared.shift,
        .total = prepared.total,
        .error_factor = 2.0f * prepared.tighten * distance,
        .round_error = prepared.round_error + prepared.scale_error * distance,
        .slack = kSlack,
    };
}

float QuantizeQuery(ConstFloatSpan query, std::span<std::int8_t> hi, std::span<std::int8_t> lo) {
    // 63 * 128 + 63: the largest number whose planes both stay within [-64, 63].
    constexpr float kLargest = 8127.0f;
    float largest = 0;
    for (float q : query) {
        const float a = __builtin_fabsf(q);
        if (a > largest) largest = a;
    }
    const float unit = largest > 0 ? largest / kLargest : 1.0f;
    const float inverse = 1.0f / unit;
    for (std::size_t i = 0; i < query.size(); i++) {
        float v = query[i] * inverse;
        if (!(v <= kLargest)) v = kLargest;
        if (!(v >= -kLargest)) v = -kLargest;
        const int n = static_cast<int>(v < 0 ? v - 0.5f : v + 0.5f);
        const int high = (n + 64) >> 7;
        hi[i] = static_cast<std::int8_t>(high);
        lo[i] = static_cast<std::int8_t>(n - high * 128);
    }
    return unit;
}

}  // namespace quantvec::quant
