// Halves and floats, against the table of all halves.
#include "unit.h"

#include "core/half.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace quantvec;
using unit::Random;
using unit::Where;

namespace {

// What the format says of the bits, in double.
double ByDefinition(std::uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const double mantissa = bits & 1023;
    const double magnitude =
        exponent == 31  ? (mantissa == 0 ? std::numeric_limits<double>::infinity() : std::nan(""))
        : exponent == 0 ? std::ldexp(mantissa, -24)
                        : std::ldexp(1024 + mantissa, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

// The nearest half of a positive number, the even one of two: by search among all.
std::uint16_t NearestBySearch(double x) {
    static const std::vector<double> all = [] {
        std::vector<double> values;
        for (std::uint16_t bits = 0; bits < 0x7C00; ++bits) values.push_back(ByDefinition(bits));
        // Where the next one would lie: what is nearer to it is infinite.
        values.push_back(65536);
        return values;
    }();
    const auto above = std::lower_bound(all.begin(), all.end(), x);
    if (above == all.end()) return 0x7C00;
    const auto at = static_cast<std::uint16_t>(above - all.begin());
    if (at == 0) return 0;
    const double up = all[at] - x, down = x - all[at - 1];
    if (up != down) return static_cast<std::uint16_t>(up < down ? at : at - 1);
    return static_cast<std::uint16_t>(at % 2 == 0 ? at : at - 1);
}

float FromBits(std::uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
}

}  // namespace

TEST(HalfToFloatIsExact) {
    for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
        const Half half = {static_cast<std::uint16_t>(bits)};
        const double expected = ByDefinition(half.bits);
        Where("bits %x", bits);
        if (std::isnan(expected)) {
            CHECK(std::isnan(ToFloat(half)));
            continue;
        }
        CHECK_EQ(static_cast<double>(ToFloat(half)), expected);
        CHECK_EQ(std::signbit(ToFloat(half)), (bits & 0x8000) != 0);
        CHECK_EQ(ToHalf(ToFloat(half)).bits, half.bits);
    }
}

TEST(HalfOfFloatIsTheNearest) {
    const auto check = [](float x) {
        Where("x = %a", static_cast<double>(x));
        CHECK_EQ(ToHalf(x).bits, NearestBySearch(x));
        CHECK_EQ(ToHalf(-x).bits, NearestBySearch(x) | 0x8000);
    };
    // Between any two halves: the middle, and its neighbours.
    for (std::uint16_t bits = 0; bits < 0x7BFF; ++bits) {
        const double middle = (ByDefinition(bits) + ByDefinition(bits + 1)) / 2;
        const float x = static_cast<float>(middle);
        check(x);
        check(std::nextafter(x, 0.0f));
        check(std::nextafter(x, 1e30f));
    }
    for (float x : {0.0f, 65504.0f, 65519.99f, 65520.0f, 65536.0f, 1e30f, 1e-45f, 2.9e-8f, 3e-8f})
        check(x);
    Random random(61);
    for (int i = 0; i < 200000; ++i)
        check(FromBits(static_cast<std::uint32_t>(random.Below(0x7F800000))));
    CHECK_EQ(ToHalf(std::numeric_limits<float>::infinity()).bits, 0x7C00);
    CHECK(std::isnan(ToFloat(ToHalf(std::numeric_limits<float>::quiet_NaN()))));
}
