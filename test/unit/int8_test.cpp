// The code of int8vec: errors, and that what was decoded has the same bytes again.
#include "unit.h"

#include "core/formats/int8.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace quantvec;
using unit::Random;
using unit::Where;

namespace {

constexpr float kMax = std::numeric_limits<float>::max();

std::uint32_t BitsOf(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

// Encodes, decodes, and asks of both what the head of int8.h promises.
void Judge(const std::vector<float>& x) {
    std::vector<std::uint8_t> codes(x.size()), again(x.size());
    std::vector<float> decoded(x.size());
    formats::Int8Range range, same;
    CHECK(formats::EncodeInt8(x, codes, &range));
    formats::DecodeInt8(codes, range, decoded);
    const double low = *std::min_element(x.begin(), x.end());
    const double high = *std::max_element(x.begin(), x.end());
    CHECK_EQ(static_cast<double>(range.least), low);
    // Half a step, and what a float cannot say of it. A range that is narrow for its place has
    // larger steps; one below the least step has none.
    const double step = std::max({(high - low) / 255, std::ldexp(std::fabs(low), -14), 0x1p-126});
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double limit = step * (0.5 + 1.0 / 64) + std::fabs(double{x[i]}) * 0x1p-23 + 0x1p-149;
        CHECK(std::fabs(double{decoded[i]} - double{x[i]}) <= limit);
        CHECK(std::isfinite(decoded[i]));
    }
    CHECK(formats::EncodeInt8(decoded, again, &same));
    CHECK_EQ(BitsOf(same.least), BitsOf(range.least));
    CHECK_EQ(BitsOf(same.scale), BitsOf(range.scale));
    CHECK(again == codes);
}

}  // namespace

TEST(Int8ComesBackAsItWas) {
    Random random(83);
    for (int round = 0; round < 200000; ++round) {
        // A place and a width of any magnitude, together or far apart.
        const float place = std::ldexp(static_cast<float>(random.Below(2001)) / 1000 - 1,
                                       static_cast<int>(random.Below(250)) - 140);
        const float width =
            round % 3 == 0
                ? std::ldexp(1 + static_cast<float>(random.Below(1000)) / 1000,
                             static_cast<int>(random.Below(250)) - 140)
                : std::fabs(place) * std::ldexp(1.0f, static_cast<int>(random.Below(40)) - 25);
        std::vector<float> x(1 + random.Below(20));
        for (float& value : x)
            value = place + width * static_cast<float>(random.Below(10001)) / 10000;
        if (!std::all_of(x.begin(), x.end(), [](float v) { return std::fabs(v) < kMax / 4; }))
            continue;
        Where("round %d: %zu elements from %g, width %g", round, x.size(),
              static_cast<double>(place), static_cast<double>(width));
        Judge(x);
    }
}

TEST(Int8Specials) {
    Judge({0});
    Judge({-0.0f});
    Judge({1.5f, 1.5f, 1.5f});
    Judge({1, std::nextafter(1.0f, 2.0f)});
    Judge({-1, std::nextafter(-1.0f, 0.0f)});
    Judge({1e-45f, 0});
    Judge({1e-45f, 3e-45f, -1e-45f});
    Judge({1000, 1001, 1000.5f});
    Judge({0, 255, 1, 254, 127});
    Judge({-kMax / 4, kMax / 4, 0});
    std::vector<std::uint8_t> codes(2);
    formats::Int8Range range;
    CHECK(!formats::EncodeInt8(std::vector<float>{-kMax, kMax}, codes, &range));
    // Whole numbers from 0 to 255 are their own codes.
    const std::vector<float> x = {0, 3, 255};
    codes.resize(3);
    CHECK(formats::EncodeInt8(x, codes, &range));
    CHECK_EQ(range.scale, 1.0f);
    CHECK_EQ(int{codes[1]}, 3);
    // Zero has one sign.
    CHECK(formats::EncodeInt8(std::vector<float>{-0.0f, 1}, std::span(codes).first(2), &range));
    CHECK(!std::signbit(range.least));
}
