// The codes of bq against the closed forms of a uniform quantizer on Gaussian coordinates.
#include "codes.h"
#include "unit.h"

using namespace quantvec;
using namespace quantvec::unit;

namespace {

// Mean square error of the uniform quantizer with 2^bits levels (k + 1/2) step on a standard normal
// variable. With density f and tail Q, the integral of (x - y)^2 f from a to b is
// (a - 2 y) f(a) - (b - 2 y) f(b) + (1 + y^2) (Q(a) - Q(b)).
double GaussianMse(std::size_t bits, double step) {
    const auto density = [](double x) {
        return std::isinf(x) ? 0 : std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
    };
    const auto tail = [](double x) { return std::erfc(x / std::sqrt(2.0)) / 2; };
    const auto edge = [&](double x, double y) {
        return std::isinf(x) ? 0 : (x - 2 * y) * density(x);
    };
    const int half = 1 << (bits - 1);
    double sum = 0;
    for (int k = 0; k < half; ++k) {
        const double a = k * step, y = (k + 0.5) * step;
        const double b = k + 1 == half ? double{kInfinity} : (k + 1) * step;
        sum += 2 * (edge(a, y) - edge(b, y) + (1 + y * y) * (tail(a) - tail(b)));
    }
    return sum;
}

// The step with the least error, by golden section.
double BestStep(std::size_t bits) {
    const double ratio = (std::sqrt(5.0) - 1) / 2;
    double low = 0, high = 3;
    while (high - low > 1e-9) {
        const double a = high - ratio * (high - low), b = low + ratio * (high - low);
        (GaussianMse(bits, a) < GaussianMse(bits, b) ? high : low) =
            GaussianMse(bits, a) < GaussianMse(bits, b) ? b : a;
    }
    return low;
}

// Standard deviation of the estimated cosine times sqrt(dim - 1), which is ||e|| / ||r||.
double Spread(std::size_t bits) {
    const double mse = GaussianMse(bits, BestStep(bits));
    return std::sqrt(mse / (1 - mse));
}

// The cosine of a vector and its grid of one step: magnitudes floor(|r| / step) + 1/2, below half.
double GridCosine(const std::vector<float>& r, double step, std::size_t bits) {
    const double most = (1 << (bits - 1)) - 1;
    double rg = 0, gg = 0;
    for (float x : r) {
        const double m = std::min(std::floor(std::fabs(double{x}) / step), most) + 0.5;
        rg += std::fabs(double{x}) * m;
        gg += m * m;
    }
    return rg / std::sqrt(gg) / Norm(r);
}

// The least error of any step, relative to the residual, squared: 1 / cos^2 - 1.
double SweptError(const std::vector<float>& r, std::size_t bits) {
    const double normal = BestStep(bits) * Norm(r) / std::sqrt(static_cast<double>(r.size()));
    double best = 0;
    for (double share = 0.6; share < 1.4; share += 0.02)
        best = std::max(best, GridCosine(r, share * normal, bits));
    return 1 / (best * best) - 1;
}

double Cosine(const std::vector<double>& grid, const std::vector<float>& r) {
    return Dot(grid, r) / Norm(grid) / Norm(r);
}

}  // namespace

// The closed form itself against published values (Max 1960, table II).
TEST(BqTheoryIsMax1960) {
    const double step[] = {1.596, 0.9957, 0.5860, 0.3352, 0.1881};
    const double mse[] = {0.3634, 0.1188, 0.03744, 0.01154, 0.003495};
    for (std::size_t bits = 1; bits <= 5; ++bits) {
        Where("bits=%zu", bits);
        CHECK_NEAR(BestStep(bits), step[bits - 1], 6e-5 * (bits == 1 ? 10 : 1));
        CHECK_NEAR(GaussianMse(bits, BestStep(bits)), mse[bits - 1], 6e-4 * mse[bits - 1]);
    }
}

// u = floor(r / step) + 2^(bits-1) within the range, its highest bit in the scan code. The step is
// the best for a normal variable, from 4 bits on times the one of eight shares that suits the vector.
TEST(BqIntegersAreTheDefinition) {
    for (std::size_t n : {64, 128, 384, 832, 1536, 16000})
        for (std::size_t bits = 1; bits <= 8; ++bits)
            for (const char* shape : kShapes) {
                const Spec spec = BqSpec(bits, n);
                Random random(n + bits);
                const std::vector<float> r = Shape(shape, n, random);
                const Row row = Encode(spec, r, random.Gaussians(n));
                const std::vector<double> signs = ScanIntegers(spec, row);
                const std::vector<double> u = FineIntegers(spec, row);
                const double half = 1 << (bits - 1);
                for (std::size_t i = 0; i < n; ++i) {
                    Where("bits=%zu dim=%zu %s i=%zu r=%g", bits, n, shape, i, double{r[i]});
                    CHECK_EQ(signs[i], r[i] >= 0 ? 1 : 0);
                    CHECK_EQ(signs[i], u[i] >= half ? 1 : 0);
                }
                const double normal = BestStep(bits) * Norm(r) / std::sqrt(static_cast<double>(n));
                if (normal == 0) continue;
                std::vector<double> shares = {1};
                if (bits >= 4) shares = {0.62, 0.69, 0.76, 0.83, 0.90, 0.97, 1.04, 1.12};
                double best = 0;
                for (double share : shares)
                    best = std::max(best, GridCosine(r, share * normal, bits));
                bool is_a_best = false;
                for (double share : shares) {
                    // Shares that the digits of a float cannot tell apart will do.
                    if (GridCosine(r, share * normal, bits) < best - 1e-6) continue;
                    bool all = true;
                    for (std::size_t i = 0; i < n; ++i) {
                        const double ratio = double{r[i]} / (share * normal);
                        // So will both sides of a cell's edge, when the step's own digits count.
                        const double blur = 1e-4 * std::fabs(ratio);
                        const auto cell = [&](double x) {
                            return std::clamp(std::floor(x) + half, 0.0, 2 * half - 1);
                        };
                        all &= u[i] >= cell(ratio - blur) && u[i] <= cell(ratio + blur);
                    }
                    is_a_best |= all;
                }
                Where("bits=%zu dim=%zu %s", bits, n, shape);
                CHECK(is_a_best);
            }
}

// ||e|| / ||r|| is the standard deviation of the estimated cosine times sqrt(dim - 1). In 768
// dimensions: 0.7555 0.3673 0.1972 0.1081 0.0592 0.0323 0.0175 0.0094 for 1 to 8 bits with the best
// step for a normal variable; from 4 bits on nearly what the best step for each vector gives.
TEST(BqSpreadOfTheCosine) {
    for (std::size_t n : {64, 128, 384, 768, 832, 1536, 16000}) {
        double last = 0;
        for (std::size_t bits = 1; bits <= 8; ++bits) {
            const Spec spec = BqSpec(bits, n);
            // Rare large coordinates decide the error of many bits: more rows.
            const std::size_t rows = (bits < 6 ? 200000 : 600000) / n;
            Random random(n);
            double squares = 0, stored = 0, mse = 0, swept = 0;
            for (std::size_t i = 0; i < rows; ++i) {
                const std::vector<float> r = random.Gaussians(n);
                const Row row = Encode(spec, r, std::vector<float>(n));
                const double cosine = Cosine(Grid(FineIntegers(spec, row), bits), r);
                squares += 1 / (cosine * cosine) - 1;
                mse += 1 - cosine * cosine;
                if (bits >= 4) swept += SweptError(r, bits);
                if (bits == 1) continue;
                const double error = double{FineFactorsOf(row).error};
                stored += error * error / Dot(r, r);
            }
            const double count = static_cast<double>(rows);
            const double spread = std::sqrt(squares / count);
            Where("bits=%zu dim=%zu spread=%.5f theory=%.5f", bits, n, spread, Spread(bits));
            // A vector that is divided by its own length has shorter tails than a normal variable.
            const double tails = 3.5 / static_cast<double>(n);
            const double sampling = bits < 7 ? 0.02 : 0.04;
            if (bits < 4) {
                CHECK_NEAR(spread, (1 - tails / 2) * Spread(bits),
                           (sampling + tails / 2) * Spread(bits));
            } else {
                CHECK(spread <= (1 + sampling) * Spread(bits));
                CHECK(spread >= (1 - 1e-3) * std::sqrt(swept / count));
                CHECK(spread <= (n == 64 ? 1.12 : 1.07) * std::sqrt(swept / count));
            }
            // The stored error has 1e-6 of the square on top, for the rounding of floats.
            if (bits > 1)
                CHECK_NEAR(std::sqrt(stored / count), std::hypot(spread, 1e-3), 0.01 * spread);
            // No code of so many bits can do better (Shannon), none so simple does worse than 3.3
            // times that.
            CHECK(mse / count > std::pow(0.25, static_cast<double>(bits)));
            if (bits <= 4) CHECK(mse / count < 3.3 * std::pow(0.25, static_cast<double>(bits)));
            if (bits > 1) CHECK(spread < 0.6 * last);
            last = spread;
        }
    }
}

// The cosine of a random direction and its signs: sqrt(D/pi) Gamma(D/2) / Gamma((D+1)/2).
TEST(BqCosineOfSigns) {
    for (std::size_t n : {64, 128, 384, 768, 1536, 16000}) {
        const Spec spec = BqSpec(1, n);
        const double dim = static_cast<double>(n);
        const double theory = std::sqrt(dim / std::acos(-1.0)) *
                              std::exp(std::lgamma(dim / 2) - std::lgamma((dim + 1) / 2));
        const std::size_t rows = 800000 / n;
        Random random(n);
        double sum = 0, squares = 0;
        for (std::size_t i = 0; i < rows; ++i) {
            const std::vector<float> r = random.Gaussians(n);
            const Row row = Encode(spec, r, std::vector<float>(n));
            const double cosine = Cosine(Grid(ScanIntegers(spec, row), 1), r);
            sum += cosine;
            squares += cosine * cosine;
            // The stored scale is -2 ||r||^2 / <r, grid>, to 8 bits.
            const double scale = double{quant::FromBfloat16(row.factors.scale)};
            CHECK_NEAR(-0.5 * scale * std::sqrt(dim) / 2, Norm(r) / cosine,
                       (0x1p-8 + 1e-6) * Norm(r) / cosine);
        }
        const double count = static_cast<double>(rows), mean = sum / count;
        const double deviation = std::sqrt(squares / count - mean * mean);
        Where("dim=%zu mean=%.5f theory=%.5f", n, mean, theory);
        CHECK_NEAR(mean, theory, 4 * deviation / std::sqrt(count));
    }
    // 0.79944 in 128 dimensions, and sqrt(2 / pi) in many.
    CHECK_NEAR(std::sqrt(128 / std::acos(-1.0)) * std::exp(std::lgamma(64.0) - std::lgamma(64.5)),
               0.79944, 5e-6);
}

// Signs alone say all of a vector of equal magnitudes.
TEST(BqEqualMagnitudesAreExact) {
    const Spec spec = BqSpec(1, 384);
    Random random(8);
    std::vector<float> r(384);
    for (float& x : r) x = random.Below(2) == 0 ? 0.25f : -0.25f;
    const std::vector<float> c = random.Gaussians(384);
    const Row row = Encode(spec, r, c);
    // What stays is the charge for rounding, 1e-6 of the square.
    CHECK(double{quant::FromBfloat16(row.factors.error)} < 1.5e-3 * Norm(r));
    TestBlock block(spec);
    block.Put(0, row);
    const Query query(spec, ExactQuery(384, random), 1.9f);
    const double base = Base(query.q, c);
    CHECK_NEAR(block.Scan(query, base).estimate[0], TrueKey(query.q, c, r), 1e-5 * base);
}

// A scale of 8 bits makes r^ longer or shorter than it should be. Queries along r see the whole of
// it, and the bound of 3 standard errors covers them.
TEST(BqScaleRoundingIsInTheBound) {
    for (std::size_t n : {64, 832, 16000}) {
        const Spec spec = BqSpec(1, n);
        double worst = 0;
        for (int i = 0; i < 300; ++i) {
            Random random(n);
            const float magnitude = 1 + static_cast<float>(i) / 512;
            std::vector<float> r(n), c(n);
            for (float& x : r) x = random.Below(2) == 0 ? magnitude : -magnitude;
            const double rr = Dot(r, r);
            const Row row = Encode(spec, r, c);
            TestBlock block(spec);
            block.Put(0, row);
            // All tables have the same range, and r meets its end: no rounding of the query.
            const Query query(spec, r, 3);
            const Scanned scanned = block.Scan(query, rr);
            Where("dim=%zu magnitude=%g", n, double{magnitude});
            const double error = std::fabs(double{scanned.estimate[0]});
            worst = std::max(worst, error / rr);
            // The bound without its charge for the query and for float arithmetic.
            const double charge = scanned.upper(0) - double{scanned.estimate[0]} -
                                  double{query.prepared.round_error} *
                                      std::fabs(double{quant::FromBfloat16(row.factors.scale)}) -
                                  double{quant::kSlack} * 2 * rr;
            CHECK(charge >= error - 4 * Rounding(n) * rr);
        }
        Where("dim=%zu", n);
        CHECK_NEAR(worst, 2 * 0x1p-8, 3e-4);
    }
}

// From a scan sum and a refine row to the estimate of all bits: better than the scan's by the ratio
// of the closed forms, and with a bound of its own.
TEST(BqRefineIsBetterAsTheoryHasIt) {
    const UseTable use("auto");
    for (std::size_t n : {128, 832, 1536})
        for (std::size_t bits = 2; bits <= 8; ++bits) {
            const Spec spec = BqSpec(bits, n);
            Random random(n + bits);
            const std::vector<float> c = ToFloat(random.Gaussians(n), 0.2);
            TestBlock block(spec);
            std::vector<Row> rows;
            std::vector<std::vector<float>> residuals;
            for (std::size_t slot = 0; slot < 32; ++slot) {
                residuals.push_back(ToFloat(random.Gaussians(n), 0.5));
                rows.push_back(Encode(spec, residuals.back(), c, 77.0f));
                block.Put(slot, rows.back());
            }
            double scan = 0, fine = 0, rounding = 0, error = 0, count = 0;
            for (int i = 0; i < 100; ++i) {
                const Query query(spec, ToFloat(Sum(c, 1, random.Gaussians(n))), 6);
                const double base = Base(query.q, c);
                const Scanned scanned = block.Scan(query, base);
                for (std::size_t slot = 0; slot < 32; ++slot) {
                    const double key = TrueKey(query.q, c, residuals[slot], 77.0);
                    const double one =
                        2 * std::sqrt(base / static_cast<double>(n - 1)) * Norm(residuals[slot]);
                    const quant::Estimate e =
                        quant::Get(Kind::kBq).Refine(spec, query.prepared, static_cast<float>(base),
                                                     scanned.sums[slot], rows[slot].refine.data());
                    CHECK(std::fabs(double{e.key} - key) <= double{e.error});
                    scan += std::pow((double{scanned.estimate[slot]} - key) / one, 2);
                    fine += std::pow((double{e.key} - key) / one, 2);
                    // The query's rounding in the tables, which refined sums keep.
                    const double noise = double{FineFactorsOf(rows[slot]).scale} *
                                         double{query.prepared.refine_round_error} / 6 / one;
                    rounding += noise * noise;
                    error += std::pow(
                        double{FineFactorsOf(rows[slot]).error} / Norm(residuals[slot]), 2);
                    count += 1;
                }
            }
            const double scan_sd = std::sqrt(scan / count), fine_sd = std::sqrt(fine / count);
            const double expected = std::sqrt((error + rounding) / count);
            Where("bits=%zu dim=%zu scan %.4f, refined %.4f, theory %.4f %.4f", bits, n, scan_sd,
                  fine_sd, Spread(1), expected);
            CHECK_NEAR(scan_sd, Spread(1), 0.05 * Spread(1));
            CHECK_NEAR(fine_sd, expected, (bits < 7 ? 0.05 : 0.08) * expected);
            CHECK(fine_sd < 0.52 * scan_sd);
        }
}
