// The codes of sq4 against the closed forms of their 16 levels on Gaussian coordinates, and against
// plain loops.
//
// This file is long because its first two hundred lines are the plain codes of three kinds of
// levels, by which all its tests judge.
#include "codes.h"
#include "unit.h"

#include <cstring>

using namespace quantvec;
using namespace quantvec::unit;
using quant::Levels;

namespace {

constexpr Levels kLevels[] = {Levels::kUniform, Levels::kLloydMax, Levels::kNf4};
constexpr std::size_t kDims[] = {64, 128, 384, 832, 1024};

const char* Name(Levels levels) {
    return levels == Levels::kUniform    ? "uniform"
           : levels == Levels::kLloydMax ? "lloydmax"
                                         : "nf4";
}

Spec Sq4Spec(Levels levels, std::size_t padded_dim) {
    return {Kind::kSq4, 4, static_cast<std::uint32_t>(padded_dim), levels};
}

// ---- codes taken apart ----

// 32 bytes for 64 dimensions: byte k has dimension k in its low nibble, k + 32 in its high one.
std::vector<std::size_t> Nibbles(const Row& row) {
    std::vector<std::size_t> u(2 * row.code.size());
    for (std::size_t i = 0; i < u.size(); ++i)
        u[i] = row.code[i / 64 * 32 + i % 32] >> (i % 64 < 32 ? 0 : 4) & 15u;
    return u;
}

// What the scan takes each of the 16 codes for, in steps of a level byte: the sum of a row with one
// dimension, for a query that has that one.
std::vector<double> LevelBytes(Levels levels) {
    const Spec spec = Sq4Spec(levels, 64);
    std::vector<float> q(64);
    q[40] = 1;
    const Query query(spec, q, 3);
    std::vector<double> bytes(16);
    for (std::size_t u = 0; u < 16; ++u) {
        TestBlock block(spec);
        block.codes[32 * 5 + 8] = static_cast<std::uint8_t>(u << 4);
        const Scanned scanned = block.Scan(query, 0);
        bytes[u] = double{scanned.sums[5]} * double{query.prepared.unit};
    }
    return bytes;
}

double StepOf(const Row& row) {
    return -0.5 * double{quant::FromBfloat16(row.factors.scale)};
}
// The level byte that stands for 0.
double ZeroOf(const Row& row) {
    return 0.5 * double{row.factors.offset} / StepOf(row);
}

// g = level - zero.
std::vector<double> GridOf(const Row& row, const std::vector<double>& levels) {
    std::vector<double> g;
    for (std::size_t u : Nibbles(row)) g.push_back(levels[u] - ZeroOf(row));
    return g;
}
// r^, as the stored factors have it.
std::vector<double> DecodedOf(const Row& row, const std::vector<double>& levels) {
    std::vector<double> r;
    for (std::size_t u : Nibbles(row))
        r.push_back(StepOf(row) * levels[u] - 0.5 * double{row.factors.offset});
    return r;
}

// ---- theory ----

// Density and tail of a standard normal variable.
double Density(double x) {
    return std::isinf(x) ? 0 : std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
}
double Tail(double x) {
    return std::erfc(x / std::sqrt(2.0)) / 2;
}

// Means over normal variables x and the level y that is nearest to each.
struct Moments {
    double xx = 0, xy = 0, yy = 0;

    void Add(double x, double y, double weight) {
        xx += weight * x * x;
        xy += weight * x * y;
        yy += weight * y * y;
    }
    double MeanSquareError() const { return xx - 2 * xy + yy; }
    // Of the level scaled for least error, in parts of x^2: 1 - cos^2 in many dimensions.
    double Noise() const { return 1 - xy * xy / xx / yy; }
};
// Levels y ascending; only the x between low and high. The integrals from a to b are Q(a) - Q(b) of
// f, f(a) - f(b) of x f, and a f(a) - b f(b) + Q(a) - Q(b) of x^2 f, with f and Q as above.
Moments MomentsOf(const std::vector<double>& y, double low = -double{kInfinity},
                  double high = kInfinity) {
    const auto edge = [](double x) { return std::isinf(x) ? 0 : x * Density(x); };
    const double mass = Tail(low) - Tail(high);
    Moments m;
    for (std::size_t k = 0; k < y.size(); ++k) {
        const double a = std::max(low, k == 0 ? low : (y[k - 1] + y[k]) / 2);
        const double b = std::min(high, k + 1 == y.size() ? high : (y[k] + y[k + 1]) / 2);
        if (a >= b) continue;
        const double share = (Tail(a) - Tail(b)) / mass;
        m.xx += (edge(a) - edge(b)) / mass + share;
        m.xy += y[k] * (Density(a) - Density(b)) / mass;
        m.yy += y[k] * y[k] * share;
    }
    return m;
}

// Each level the mean of what is nearest to it, by Lloyd's iteration.
std::vector<double> LloydMax() {
    std::vector<double> y(16);
    for (std::size_t k = 0; k < 16; ++k) y[k] = 0.3 * (static_cast<double>(k) - 7.5);
    for (int i = 0; i < 3000; ++i) {
        std::vector<double> mean(16);
        for (std::size_t k = 0; k < 16; ++k) {
            const double a = k == 0 ? -double{kInfinity} : (y[k - 1] + y[k]) / 2;
            const double b = k == 15 ? double{kInfinity} : (y[k] + y[k + 1]) / 2;
            mean[k] = (Density(a) - Density(b)) / (Tail(a) - Tail(b));
        }
        y = mean;
    }
    return y;
}

const std::vector<double> kLloydMax = LloydMax();
// Dettmers et al., "QLoRA", NeurIPS 2023, appendix E.
const std::vector<double> kNf4 = {
    -1.0,       -0.69619280, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0,
    0.07958030, 0.16093020,  0.24611230,  0.33791524,  0.44070983,  0.56261700,  0.72295684,  1.0};

std::vector<double> Times(std::vector<double> y, double factor) {
    for (double& x : y) x *= factor;
    return y;
}

struct Range {
    double low = 0, high = 0;
};
Range RangeOf(const std::vector<float>& r) {
    Range range;
    for (float x : r) {
        range.low = std::min(range.low, double{x});
        range.high = std::max(range.high, double{x});
    }
    return range;
}

// The noise that normal coordinates of such a range, its ends among them, should have with levels
// in these places.
double TheoryOf(std::size_t n, const Range& range, const std::vector<double>& y) {
    Moments m = MomentsOf(y, range.low, range.high);
    for (double end : {range.low, range.high}) {
        double nearest = y[0];
        for (double level : y)
            if (std::fabs(level - end) < std::fabs(nearest - end)) nearest = level;
        m.Add(end, nearest, 1.0 / static_cast<double>(n - 2));
    }
    return m.Noise();
}
// The same for a row of standard normal coordinates, with the levels where they should lie.
double TheoryOf(Levels levels, const std::vector<float>& r) {
    const Range range = RangeOf(r);
    const double largest = std::max(range.high, -range.low);
    if (levels == Levels::kNf4) return TheoryOf(r.size(), range, Times(kNf4, largest));
    double least = 1;
    for (double share = 0.5; share <= 1.2; share += 0.02) {
        std::vector<double> y;
        if (levels == Levels::kUniform) {
            for (int u = 0; u < 16; ++u)
                y.push_back(share * (range.low + (range.high - range.low) * u / 15));
        } else {
            y = Times(kLloydMax, share);
        }
        least = std::min(least, TheoryOf(r.size(), range, y));
    }
    return least;
}

double NoiseOf(const std::vector<double>& g, const std::vector<float>& r) {
    return 1 - std::pow(Dot(g, r), 2) / Dot(g, g) / Dot(r, r);
}

// A residual that is levels, all of them and in proportions of a normal variable, times a power of
// two: nothing is lost. Lloyd and Max's standard deviation then is what their levels want.
std::vector<float> OnLevels(Levels levels, std::size_t n, Random& random) {
    const std::vector<double> bytes = LevelBytes(levels);
    std::vector<double> edge(16, double{kInfinity});
    for (std::size_t u = 0; u < 15; ++u)
        edge[u] = (bytes[u] + bytes[u + 1] - 255) / 2 * 2.7326 / 127.5;
    std::vector<float> r(n);
    for (std::size_t i = 0; i < n; ++i) {
        // Quantiles of a normal variable, evenly spaced; the ends of the range at any rate.
        const double tail = 1 - (static_cast<double>(i) + 0.5) / static_cast<double>(n);
        std::size_t u = i == 0 ? 0 : 15;
        if (i != 0 && i + 1 != n)
            for (u = 0; Tail(edge[u]) > tail;) ++u;
        r[i] = static_cast<float>((bytes[u] - 127.5) / 64);
    }
    for (std::size_t i = n; i > 1; --i) std::swap(r[i - 1], r[random.Below(i)]);
    return r;
}

}  // namespace

// ---- the levels ----

TEST(Sq4TheoryIsMax1960) {
    const double published[] = {0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0690, 2.7326};
    for (std::size_t k = 0; k < 8; ++k) {
        CHECK_NEAR(kLloydMax[8 + k], published[k], 6e-5);
        CHECK_NEAR(kLloydMax[7 - k], -published[k], 6e-5);
    }
    CHECK_NEAR(MomentsOf(kLloydMax).MeanSquareError(), 0.009501, 5e-7);
    // What a mean stands for is orthogonal to its error.
    CHECK_NEAR(MomentsOf(kLloydMax).Noise(), 0.009501, 5e-7);
    std::vector<double> uniform;
    for (int k = 0; k < 16; ++k) uniform.push_back(0.3352 * (k - 7.5));
    CHECK_NEAR(MomentsOf(uniform).MeanSquareError(), 0.011543, 5e-6);
}

// Levels are bytes: what the scan takes them for against what they should be.
TEST(Sq4LevelsAreThePublishedOnes) {
    for (Levels levels : kLevels) {
        const std::vector<double> bytes = LevelBytes(levels);
        for (std::size_t u = 0; u < 16; ++u) {
            Where("%s level %zu", Name(levels), u);
            double level = static_cast<double>(u) / 7.5 - 1;
            if (levels == Levels::kLloydMax) level = kLloydMax[u] / kLloydMax[15];
            if (levels == Levels::kNf4) level = kNf4[u];
            CHECK_NEAR(bytes[u], 127.5 * (1 + level), 0.501);
            CHECK_NEAR(bytes[u], std::nearbyint(bytes[u]), 1e-4);
        }
    }
}

// There is a scale, within the stated limits, with which each code is that of the nearest level: no
// coordinate between levels is off by more than half a gap, and half a byte each for the rounding
// of the coordinate and of a tie.
TEST(Sq4CodesAreTheNearestLevels) {
    for (Levels levels : kLevels) {
        const std::vector<double> bytes = LevelBytes(levels);
        for (std::size_t n : kDims)
            for (const char* shape : kShapes)
                for (std::uint64_t seed = 0; seed < 5; ++seed) {
                    Random random(n + seed);
                    const std::vector<float> r = Shape(shape, n, random);
                    const Row row = Encode(Sq4Spec(levels, n), r, random.Gaussians(n));
                    Where("%s dim=%zu %s seed=%d", Name(levels), n, shape, static_cast<int>(seed));
                    if (Norm(r) == 0) continue;
                    const Range range = RangeOf(r);
                    const double sigma = Norm(r) / std::sqrt(static_cast<double>(n));
                    const double largest = std::max(range.high, -range.low);
                    // Steps of a level byte in one of r, at least and at most.
                    double least = 127.5 / largest, most = least, zero = 127.5;
                    if (levels == Levels::kUniform) {
                        least = 255 / (range.high - range.low);
                        most = least / 0.6;
                        zero = -range.low * least;
                    }
                    if (levels == Levels::kLloydMax) {
                        least = 127.5 / 2.7326 / sigma / 1.1;
                        most = least * 1.1 / 0.9;
                    }
                    least *= 1 - 1e-5;
                    most *= 1 + 1e-5;
                    CHECK_NEAR(ZeroOf(row), zero, 1e-4);
                    const std::vector<std::size_t> u = Nibbles(row);
                    for (std::size_t i = 0; i < n; ++i) {
                        const double x = double{r[i]};
                        const auto bound = [&](std::size_t other, double byte) {
                            const double edge = (bytes[u[i]] + bytes[other]) / 2 + byte - zero;
                            // edge <= x * scale, or edge >= x * scale for the upper one.
                            const bool upper = byte > 0;
                            if (x == 0) {
                                CHECK(upper ? edge >= 0 : edge <= 0);
                            } else if (upper == (x > 0)) {
                                most = std::min(most, edge / x);
                            } else {
                                least = std::max(least, edge / x);
                            }
                        };
                        if (u[i] > 0) bound(u[i] - 1, -1.01);
                        if (u[i] < 15) bound(u[i] + 1, 1.01);
                    }
                    CHECK(least <= most);
                }
    }
}

// ---- the error ----

// Noise of the codes of Gaussian residuals beside the closed form for each row's range, which for
// uniform and lloydmax has the best of all scales: what trying a few costs is within 2.5 %, as is
// what rounding the levels to bytes does. In 64, 128, 384, 832 and 1024 dimensions .0074 .0089
// .0108 .0113 .0115 (uniform), .0075 .0082 .0090 .0092 .0093 (lloydmax), .0083 .0091 .0101 .0108
// .0110 (nf4): with more coordinates ranges get wider.
TEST(Sq4NoiseIsThatOfTheLevels) {
    for (Levels levels : kLevels) {
        const std::vector<double> bytes = LevelBytes(levels);
        for (std::size_t n : kDims) {
            const std::size_t rows = 100000 / n;
            Random random(n);
            double noise = 0, theory = 0, squares = 0;
            for (std::size_t i = 0; i < rows; ++i) {
                const std::vector<float> r = random.Gaussians(n);
                const Row row = Encode(Sq4Spec(levels, n), r, std::vector<float>(n));
                noise += NoiseOf(GridOf(row, bytes), r);
                theory += TheoryOf(levels, r);
                const std::vector<double> error = Sum(r, -1, DecodedOf(row, bytes));
                squares += Dot(error, error) / Dot(r, r);
            }
            const double count = static_cast<double>(rows);
            Where("%s dim=%zu noise=%.5f theory=%.5f ||e||^2=%.5f", Name(levels), n, noise / count,
                  theory / count, squares / count);
            CHECK_NEAR(noise / theory, 1, 0.025);
            // Scaled for <r^, r> = ||r||^2, the error is ||r|| tan instead of ||r|| sin.
            CHECK_NEAR(squares / noise, 1 / (1 - noise / count), 0.003);
            // Lloyd and Max's .0095 is for all normal variables; no row's largest is far out.
            if (levels == Levels::kLloydMax) CHECK(noise / count < MomentsOf(kLloydMax).Noise());
            // No code of so many bits can do better (Shannon).
            CHECK(noise / count > std::pow(0.25, 4.0));
        }
    }
}

// What lies on the levels is stored exactly, and estimated exactly.
TEST(Sq4LevelsThemselvesAreExact) {
    for (Levels levels : kLevels)
        for (std::size_t n : {128, 384, 1024}) {
            Where("%s dim=%zu", Name(levels), n);
            const Spec spec = Sq4Spec(levels, n);
            Random random(n);
            const std::vector<float> r = OnLevels(levels, n, random);
            const Row row = Encode(spec, r, std::vector<float>(n));
            CHECK(ToFloat(DecodedOf(row, LevelBytes(levels))) == r);
            // What stays is the charge for rounding, 1e-6 of the square.
            CHECK(double{quant::FromBfloat16(row.factors.error)} < 1.2e-3 * Norm(r));
            TestBlock block(spec);
            block.Put(9, row);
            const Query query(spec, ExactQuery(n, random), 3);
            const double base = Dot(query.q, query.q);
            CHECK_NEAR(block.Scan(query, base).estimate[9],
                       TrueKey(query.q, std::vector<float>(n), r), 1e-6 * (base + Dot(r, r)));
        }
}

// <r^, r> = ||r||^2, but for the 8 bits that the scale is rounded to, as often up as down.
TEST(Sq4ScaleIsUnbiased) {
    for (Levels levels : kLevels) {
        const std::vector<double> bytes = LevelBytes(levels);
        for (std::size_t n : kDims) {
            for (const char* shape : kShapes) {
                Where("%s dim=%zu %s", Name(levels), n, shape);
                Random random(n);
                const std::vector<float> r = Shape(shape, n, random);
                const Row row = Encode(Sq4Spec(levels, n), r, random.Gaussians(n));
                if (Dot(r, r) == 0) continue;
                CHECK_NEAR(Dot(DecodedOf(row, bytes), r) / Dot(r, r), 1, 0x1p-8 + 1e-5);
            }
            Random random(n + 1);
            const std::size_t rows = 100000 / n;
            double sum = 0;
            for (std::size_t i = 0; i < rows; ++i) {
                const std::vector<float> r = random.Gaussians(n);
                const Row row = Encode(Sq4Spec(levels, n), r, std::vector<float>(n));
                sum += Dot(DecodedOf(row, bytes), r) / Dot(r, r) - 1;
            }
            const double count = static_cast<double>(rows);
            Where("%s dim=%zu mean %.2e", Name(levels), n, sum / count);
            CHECK_NEAR(sum / count, 0, 4 * 0x1p-8 / std::sqrt(12 * count));
        }
    }
}

// ||r||^2 + 2 <c, r^> - norm, and an error that is never below the true one and little above it: a
// bfloat16 rounded up, 1e-6 of the square, and what the rounded scale leaves along r.
TEST(Sq4FactorsAreTheirFormulas) {
    for (Levels levels : kLevels) {
        const std::vector<double> bytes = LevelBytes(levels);
        for (std::size_t n : {64, 832, 16000})
            for (const char* shape : kShapes)
                for (float norm_sqr : {0.0f, 123.0f}) {
                    Where("%s dim=%zu %s norm=%g", Name(levels), n, shape, double{norm_sqr});
                    Random random(n);
                    const std::vector<float> c = random.Gaussians(n), r = Shape(shape, n, random);
                    const Row row = Encode(Sq4Spec(levels, n), r, c, norm_sqr);
                    const std::vector<double> decoded = DecodedOf(row, bytes);
                    const double rr = Dot(r, r), norm = double{quant::WithSlack(norm_sqr)};
                    double terms = rr + norm;
                    for (std::size_t i = 0; i < n; ++i)
                        terms += 2 * std::fabs(double{c[i]} * decoded[i]);
                    CHECK_NEAR(row.factors.add, rr + 2 * Dot(c, decoded) - norm,
                               Rounding(n) * terms);
                    const double stored = double{quant::FromBfloat16(row.factors.error)};
                    const double truth = Norm(Sum(r, -1, decoded));
                    if (rr == 0) {
                        CHECK_EQ(stored, 0);
                        continue;
                    }
                    CHECK(stored >= truth * (1 - Rounding(n)));
                    const double exact = rr / Dot(decoded, r);
                    const double across = Norm(Sum(r, -exact, decoded));
                    CHECK(stored <= (std::sqrt(across * across + (1.01e-6 + 4 * Rounding(n)) * rr) +
                                     AlongCharge(r, decoded) + Rounding(n) * Norm(r)) *
                                        (1 + 0x1p-7 + Rounding(n)));
                }
    }
}

// ---- the scan ----

TEST(Sq4Sizes) {
    const quant::Quantizer& sq4 = quant::Get(Kind::kSq4);
    CHECK(sq4.HasOffset());
    for (std::size_t n : {64, 384, 16000}) {
        const Spec spec = Sq4Spec(Levels::kUniform, n);
        CHECK_EQ(sq4.ScanRowBytes(spec), n / 2);
        CHECK_EQ(sq4.BlockCodeBytes(spec), 16 * n);
        CHECK_EQ(sq4.RefineRowBytes(spec), 0);
        CHECK_EQ(sq4.QueryBytes(spec), 2 * n);
        for (std::size_t slots = 0; slots <= 32; ++slots)
            CHECK_EQ(sq4.CodeBytesFor(spec, slots), slots * n / 2);
    }
}

// A slot's codes may be written while others are read.
TEST(Sq4ScatterTouchesOnlyItsSlot) {
    for (std::size_t n : {64, 128, 832}) {
        const Spec spec = Sq4Spec(Levels::kUniform, n);
        Random random(n);
        TestBlock block(spec, &random);
        for (std::size_t slot = 0; slot < 32; ++slot) {
            Where("dim=%zu slot=%zu", n, slot);
            Row row;
            row.code = random.Bytes(n / 2);
            std::vector<std::uint8_t> expected = block.codes;
            std::copy(row.code.begin(), row.code.end(),
                      expected.begin() + static_cast<long>(slot * n / 2));
            block.Put(slot, row, &random);
            CHECK(block.codes == expected);
            CHECK(block.Code(slot) == row.code);
        }
    }
}

// With a query that needs no rounding the estimate is base + add - 2 <r^, q>, summed by a plain
// loop over the decoded row, up to float arithmetic; in whatever pieces the codes are written and
// read, on every table.
TEST(Sq4EstimateIsThePlainDecode) {
    for (const char* table : TableNames())
        for (Levels levels : kLevels) {
            const UseTable use(table);
            const std::vector<double> bytes = LevelBytes(levels);
            for (std::size_t n : {64, 128, 384, 832, 1024, 1536, 16000}) {
                const Spec spec = Sq4Spec(levels, n);
                Random random(n);
                const std::vector<float> c = ToFloat(random.Gaussians(n), 5);
                const Query query(spec, ExactQuery(n, random), 1.9f);
                const double base = Base(query.q, c);
                TestBlock block(spec, &random);
                std::vector<Row> rows;
                for (std::size_t slot = 0; slot < (n == 16000 ? 4 : 32); ++slot) {
                    const char* shape = kShapes[slot % std::size(kShapes)];
                    rows.push_back(Encode(spec, Shape(shape, n, random), c, slot % 2 ? 3000.f : 0));
                    block.Put(slot, rows.back(), &random);
                }
                for (Random* pieces : {static_cast<Random*>(nullptr), &random}) {
                    const Scanned scanned = block.Scan(query, base, pieces);
                    for (std::size_t slot = 0; slot < rows.size(); ++slot) {
                        Where("%s %s dim=%zu slot=%zu", table, Name(levels), n, slot);
                        const quant::RowFactors& factors = rows[slot].factors;
                        const std::vector<double> r = DecodedOf(rows[slot], bytes);
                        // Terms that cancel round before they do.
                        double terms =
                            base + std::fabs(double{factors.add}) +
                            std::fabs(double{factors.offset} * double{query.prepared.total});
                        for (std::size_t i = 0; i < n; ++i)
                            terms += std::fabs(r[i] * double{query.q[i]});
                        CHECK_NEAR(scanned.estimate[slot],
                                   base + double{factors.add} - 2 * Dot(r, query.q), 1e-6 * terms);
                    }
                }
            }
        }
}

// Nothing behind the last live row is read; what rows that are not live hold does not matter to others.
TEST(Sq4ScanOfLiveRows) {
    const Spec spec = Sq4Spec(Levels::kLloydMax, 832);
    Random random(3);
    const Query query(spec, random.Gaussians(832), 1.9f);
    TestBlock block(spec);
    for (std::size_t slot = 0; slot < 32; ++slot)
        block.Put(slot, Encode(spec, random.Gaussians(832), std::vector<float>(832)));
    const Scanned all = block.Scan(query, 800);
    for (std::uint32_t live : {0u, 1u, 0x80000000u, 0x12345678u}) {
        const Scanned some = block.Scan(query, 800, &random, kInfinity, live);
        for (std::size_t slot = 0; slot < 32; ++slot) {
            Where("live=%x slot=%zu", live, slot);
            if (live >> slot == 0) CHECK_EQ(some.sums[slot], 0);
            if ((live >> slot & 1) != 0)
                CHECK_NEAR(some.sums[slot], double{all.sums[slot]},
                           1e-6 * std::fabs(double{all.sums[slot]}));
        }
    }
}

// Every coordinate of the query is rounded to a step of known size, so the estimate's noise beside
// the plain decode has the standard deviation 2 ||r^|| step / sqrt(12), and the bound's charge
// covers it.
TEST(Sq4QueryRoundingIsAsSmallAsItsSteps) {
    for (Levels levels : kLevels)
        for (std::size_t n : {128, 832}) {
            const Spec spec = Sq4Spec(levels, n);
            Random random(n);
            const std::vector<double> bytes = LevelBytes(levels);
            TestBlock block(spec);
            std::vector<Row> rows;
            for (std::size_t slot = 0; slot < 32; ++slot) {
                rows.push_back(Encode(spec, random.Gaussians(n), std::vector<float>(n)));
                block.Put(slot, rows.back());
            }
            double squares = 0, count = 0;
            for (int i = 0; i < 60; ++i) {
                const Query query(spec, random.Gaussians(n), 3);
                const Scanned scanned = block.Scan(query, 0);
                for (std::size_t slot = 0; slot < 32; ++slot) {
                    const std::vector<double> r = DecodedOf(rows[slot], bytes);
                    const double plain = double{rows[slot].factors.add} - 2 * Dot(r, query.q);
                    const double off = double{scanned.estimate[slot]} - plain;
                    const double largest = std::max(RangeOf(query.q).high, -RangeOf(query.q).low);
                    squares += std::pow(off / (2 * Norm(r) * largest / 8127 / std::sqrt(12.0)), 2);
                    count += 1;
                    CHECK(std::fabs(off) <=
                          2 * StepOf(rows[slot]) * double{query.prepared.round_error} +
                              1e-6 * double{rows[slot].factors.add});
                }
            }
            Where("%s dim=%zu", Name(levels), n);
            CHECK_NEAR(std::sqrt(squares / count), 1, 0.05);
        }
}

TEST(Sq4SameBytesOnEveryTable) {
    const std::vector<const char*> tables = TableNames();
    for (Levels levels : kLevels)
        for (std::size_t n : {64, 128, 384, 832, 1024, 16000})
            for (const char* shape : kShapes) {
                Random random(n);
                const std::vector<float> c = random.Gaussians(n), r = Shape(shape, n, random);
                std::vector<Row> rows;
                for (const char* table : tables) {
                    const UseTable use(table);
                    rows.push_back(Encode(Sq4Spec(levels, n), r, c, 2.5f));
                    Where("%s dim=%zu %s %s", Name(levels), n, shape, table);
                    CHECK(rows[0].code == rows.back().code);
                    CHECK(std::memcmp(&rows[0].factors, &rows.back().factors,
                                      sizeof(quant::RowFactors)) == 0);
                }
            }
}

// ---- bounds ----

// With epsilon at its largest the bound is that of Cauchy and Schwarz, and holds for every
// residual and query, those along the error included.
TEST(Sq4HardBoundHolds) {
    for (Levels levels : kLevels) {
        const std::vector<double> bytes = LevelBytes(levels);
        for (std::size_t n : {64, 384, 1024})
            for (const char* shape : kShapes)
                for (double centre : {0.0, 1.0, 100.0})
                    for (bool product : {false, true}) {
                        const Spec spec = Sq4Spec(levels, n);
                        Random random(n);
                        const std::vector<float> r = Shape(shape, n, random);
                        const std::vector<float> c = ToFloat(random.Gaussians(n), centre);
                        const std::vector<double> x = Sum(c, 1, r);
                        const float norm_sqr = product ? static_cast<float>(Dot(x, x)) : 0;
                        const double norm = double{quant::WithSlack(norm_sqr)};
                        const Row row = Encode(spec, r, c, norm_sqr);
                        TestBlock block(spec);
                        block.Put(7, row);
                        const std::vector<double> error = Sum(r, -1, DecodedOf(row, bytes));
                        const std::vector<std::vector<double>> queries = {
                            Sum(c, 1, random.Gaussians(n)),
                            Sum(c, 3, error),
                            Sum(c, -0.1, error),
                            Sum(c, 1, r),
                            Sum(c, 0, r),
                        };
                        for (std::size_t i = 0; i < queries.size(); ++i) {
                            Where("%s dim=%zu %s centre=%g ip=%d query %zu", Name(levels), n, shape,
                                  centre, product, i);
                            const Query query(spec, ToFloat(queries[i]), 1e6f);
                            CHECK_EQ(query.prepared.tighten, 1.0f);
                            const double base = Base(query.q, c);
                            const double key = TrueKey(query.q, c, r, norm);
                            const Scanned scanned = block.Scan(query, base);
                            const double rounding =
                                Rounding(n) * (base + Dot(r, r) + 2 * Norm(c) * Norm(r) + norm);
                            CHECK(double{scanned.lower[7]} <= key + rounding);
                            CHECK(scanned.upper(7) >= key - rounding);
                        }
                    }
    }
}

// How often a bound of epsilon standard errors fails when the error has no direction in particular:
// as often as a normal variable is beyond the bound's width. That is epsilon standard deviations,
// and the charges for rounding: of the scale up to 2^-8 ||r|| sqrt(n - 1) / 3 (quantizer.h), of
// all else a twentieth.
TEST(Sq4ViolationRate) {
    const UseTable use("auto");
    for (Levels levels : kLevels) {
        const std::vector<double> bytes = LevelBytes(levels);
        for (std::size_t n : {128, 832})
            for (double epsilon : {1.0, 1.9, 3.0}) {
                Random random(n);
                CheckViolationRate(
                    Name(levels), Sq4Spec(levels, n), random, epsilon,
                    [&](const Row& row) { return DecodedOf(row, bytes); },
                    [&](const std::vector<float>& residual, double error) {
                        const double along =
                            0x1p-8 * Norm(residual) * std::sqrt(static_cast<double>(n - 1)) / 3;
                        return 1.05 * epsilon * (1 + along / error);
                    });
            }
    }
}

// ---- the edges of arithmetic ----

// With everything times 2^k the codes are the same and the factors follow.
TEST(Sq4EncodeFollowsScale) {
    for (Levels levels : kLevels) {
        const Spec spec = Sq4Spec(levels, 128);
        Random random(5);
        const std::vector<float> c = random.Gaussians(128), r = random.Gaussians(128);
        const Row row = Encode(spec, r, c);
        for (int k : {-30, -1, 1, 30}) {
            Where("%s k=%d", Name(levels), k);
            const double factor = std::ldexp(1.0, k);
            const Row other = Encode(spec, ToFloat(r, factor), ToFloat(c, factor));
            CHECK(other.code == row.code);
            CHECK_EQ(other.factors.add, double{row.factors.add} * factor * factor);
            CHECK_EQ(other.factors.offset, double{row.factors.offset} * factor);
            CHECK_EQ(StepOf(other), StepOf(row) * factor);
            CHECK_EQ(quant::FromBfloat16(other.factors.error),
                     double{quant::FromBfloat16(row.factors.error)} * factor);
        }
    }
}

// Numbers so small that their squares are not normal floats any more, and large ones.
TEST(Sq4SmallAndLargeNumbersKeepTheirBounds) {
    for (Levels levels : kLevels)
        for (std::size_t n : {64, 832})
            for (double size : {1e-17, 1e-15, 1e-12, 1e-8, 1e8, 1e15, 1e17})
                for (double epsilon : {6.0, 1e6}) {
                    const Spec spec = Sq4Spec(levels, n);
                    Random random(n);
                    const std::vector<float> c = ToFloat(random.Gaussians(n), size);
                    for (int i = 0; i < 20; ++i) {
                        Where("%s dim=%zu size=%g epsilon=%g i=%d", Name(levels), n, size, epsilon,
                              i);
                        const std::vector<float> r = ToFloat(random.Gaussians(n), size);
                        const Query query(spec, ToFloat(random.Gaussians(n), size),
                                          static_cast<float>(epsilon));
                        TestBlock block(spec);
                        block.Put(0, Encode(spec, r, c));
                        const double base = Base(query.q, c), key = TrueKey(query.q, c, r);
                        const Scanned scanned = block.Scan(query, base);
                        CHECK(double{scanned.lower[0]} <= key);
                        CHECK(scanned.upper(0) >= key);
                        // Within a third of base: not just a bound that says nothing.
                        if (size > 1e-15 && epsilon == 6)
                            CHECK(double{scanned.estimate[0]} - double{scanned.lower[0]} <
                                  base / 3);
                    }
                }
}

// What cannot be encoded is looked at, never lost.
TEST(Sq4NotFiniteMeansBoundMinusInfinity) {
    for (Levels levels : kLevels)
        for (std::size_t n : {64, 832})
            for (float bad : {kNan, kInfinity, -kInfinity, 1e30f, -3e38f})
                for (bool in_centroid : {false, true}) {
                    if (in_centroid && std::isfinite(bad)) continue;
                    Where("%s dim=%zu bad=%g in_centroid=%d", Name(levels), n, double{bad},
                          in_centroid);
                    const Spec spec = Sq4Spec(levels, n);
                    Random random(n);
                    std::vector<float> c = random.Gaussians(n), r = random.Gaussians(n);
                    (in_centroid ? c : r)[n / 2] = bad;
                    const Row row = Encode(spec, r, c);
                    CHECK_EQ(quant::FromBfloat16(row.factors.error), kInfinity);
                    CHECK(std::isfinite(row.factors.add));
                    CHECK(std::isfinite(row.factors.offset));
                    TestBlock block(spec);
                    block.Put(31, row);
                    const Query query(spec, random.Gaussians(n), 1.9f);
                    for (double base : {0.0, 1.0}) {
                        const Scanned scanned = block.Scan(query, base, nullptr, -1e30f);
                        CHECK_EQ(scanned.lower[31], -kInfinity);
                        CHECK((scanned.selected >> 31 & 1) == 1);
                    }
                }
}

// A row that is its list's centroid, and a query that is.
TEST(Sq4ZeroResidual) {
    for (Levels levels : kLevels) {
        Where("%s", Name(levels));
        const Spec spec = Sq4Spec(levels, 128);
        Random random(1);
        const std::vector<float> zero(128), c = random.Gaussians(128);
        const Row row = Encode(spec, zero, c, 5.0f);
        CHECK_EQ(quant::FromBfloat16(row.factors.error), 0);
        TestBlock block(spec);
        block.Put(0, row);
        for (const std::vector<float>& q : {c, zero, random.Gaussians(128)}) {
            const Query query(spec, q, 1.9f);
            const double base = Base(q, c);
            const Scanned scanned = block.Scan(query, base);
            CHECK_NEAR(scanned.estimate[0], base - double{quant::WithSlack(5)}, 1e-6 * (base + 5));
            CHECK(double{scanned.lower[0]} <= base - 5);
        }
    }
}
