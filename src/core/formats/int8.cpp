// The code of int8vec (int8.h).
#include "core/formats/int8.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels/kernels.h"

namespace quantvec::formats {
namespace {

// The number with 15 binary digits that is nearest, ties away from zero. x >= 0.
float To15Digits(double x) {
    if (x == 0) return 0;
    int exponent;
    const double digits = std::round(std::ldexp(std::frexp(x, &exponent), 15));
    return static_cast<float>(std::ldexp(digits, exponent - 15));
}

}  // namespace

bool EncodeInt8(ConstFloatSpan x, ByteSpan codes, Int8Range* range) {
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    // Zero has one sign, so that equal vectors have equal bytes.
    const float least = *low == 0 ? 0.0f : *low;
    const double width = double{*high} - double{least};
    if (width > double{std::numeric_limits<float>::max()}) return false;
    float scale = std::max(To15Digits(width / 255), std::numeric_limits<float>::min());
    if (least != 0) scale = std::max(scale, std::ldexp(1.0f, std::ilogb(least) - 14));
    // 255 scales, or the last code, may be beyond the floats by a rounding.
    if (!std::isfinite(scale * 255) || !std::isfinite(least + scale * 255)) return false;
    bool all_zero = true;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double steps = (double{x[i]} - double{least}) / double{scale};
        const auto code = static_cast<std::uint8_t>(std::min(std::round(steps), 255.0));
        codes[i] = code;
        all_zero = all_zero && code == 0;
    }
    *range = {least, all_zero ? 0.0f : scale};
    return true;
}

void DecodeInt8(ConstByteSpan codes, const Int8Range& range, FloatSpan out) {
    kernels::Active().bytes_to_float(codes.data(), codes.size(), range.scale, range.least,
                                     out.data());
}

}  // namespace quantvec::formats
