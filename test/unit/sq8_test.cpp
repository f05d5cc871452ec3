// The codes of sq8 against the closed forms of a uniform quantizer that does not clip.
#include "codes.h"
#include "unit.h"

using namespace quantvec;
using namespace quantvec::unit;

namespace {

double Step(const Row& row) {
    return -0.5 * double{quant::FromBfloat16(row.factors.scale)};
}

}  // namespace

// Every coordinate within half a step, the step hardly wider than the range asks for.
TEST(Sq8ErrorIsHalfAStepAtMost) {
    for (std::size_t n : {64, 128, 384, 832, 1536, 16000})
        for (const char* shape : kShapes) {
            const Spec spec = Sq8Spec(n);
            Random random(n);
            const std::vector<float> r = Shape(shape, n, random);
            const Row row = Encode(spec, r, random.Gaussians(n));
            double low = 0, high = 0;
            for (float x : r) {
                low = std::min(low, double{x});
                high = std::max(high, double{x});
            }
            const double step = Step(row);
            Where("dim=%zu %s step=%g", n, shape, step);
            CHECK(step >= (high - low) / 255 * (1 - 0x1p-23));
            CHECK(step <= (high - low) / 255 * (1 + 0x1p-7 + 0x1p-22));
            CHECK_EQ(row.factors.offset, -2 * low);
            const std::vector<double> decoded = Decoded(spec, row);
            for (std::size_t i = 0; i < n; ++i) {
                CHECK_NEAR(decoded[i], double{r[i]}, step * (0.5 + 255 * 0x1p-22));
                // No more than 255 steps from zero: the query's rounding is charged by that.
                CHECK(std::fabs(decoded[i]) <= 255 * step * (1 + 1e-6));
            }
        }
}

// Errors are uniform over a step: mean square step^2 / 12, mean 0.
TEST(Sq8MeanSquareError) {
    for (std::size_t n : {64, 128, 384, 832, 1536, 16000}) {
        const Spec spec = Sq8Spec(n);
        Random random(n);
        const std::size_t rows = 320000 / n;
        double squares = 0, sum = 0, signal = 0, mse = 0;
        for (std::size_t i = 0; i < rows; ++i) {
            const std::vector<float> r = random.Gaussians(n);
            const Row row = Encode(spec, r, std::vector<float>(n));
            const std::vector<double> error = Sum(r, -1, Decoded(spec, row));
            const double step = Step(row);
            squares += Dot(error, error) / (step * step);
            for (double e : error) sum += e / step;
            mse += Dot(error, error);
            signal += Dot(r, r);
            CHECK_NEAR(quant::FromBfloat16(row.factors.error), Norm(error), 0.0082 * Norm(error));
        }
        const double count = static_cast<double>(rows * n);
        Where("dim=%zu mse=%.5f step^2", n, squares / count);
        CHECK_NEAR(squares / count, 1.0 / 12, 0.02 / 12);
        CHECK_NEAR(sum / count, 0, 4 / std::sqrt(12 * count));
        // No code of 8 bits can do better (Shannon).
        CHECK(mse / signal > std::pow(0.25, 8.0));
        CHECK(mse / signal < 6 * std::pow(0.25, 8.0));
    }
}

// |<q, r> - <q, r^>| <= step / 2 * sum |q_j|, and for a query of random signs about
// step * sqrt(n / 12).
TEST(Sq8InnerProductError) {
    for (std::size_t n : {64, 832}) {
        const Spec spec = Sq8Spec(n);
        Random random(n);
        double squares = 0, count = 0;
        for (int i = 0; i < 300; ++i) {
            const std::vector<float> r = random.Gaussians(n);
            const Row row = Encode(spec, r, std::vector<float>(n));
            const std::vector<double> error = Sum(r, -1, Decoded(spec, row));
            const double step = Step(row);
            std::vector<double> worst(n);
            for (std::size_t j = 0; j < n; ++j) worst[j] = error[j] < 0 ? -1 : 1;
            CHECK(Dot(worst, error) <= step / 2 * static_cast<double>(n));
            for (int k = 0; k < 20; ++k) {
                const std::vector<float> q = Shape("signs", n, random);
                squares += std::pow(Dot(q, error) / Norm(q) / step, 2);
                count += 1;
            }
        }
        Where("dim=%zu", n);
        CHECK_NEAR(std::sqrt(12 * squares / count), 1, 0.04);
    }
}

// The scan's estimates err as the codes do, and by the rounding of the query, which is less.
TEST(Sq8EstimateSpread) {
    const UseTable use("auto");
    for (std::size_t n : {128, 832, 1536}) {
        const Spec spec = Sq8Spec(n);
        Random random(n);
        const std::vector<float> c = random.Gaussians(n);
        TestBlock block(spec);
        std::vector<std::vector<float>> residuals;
        std::vector<Row> rows;
        for (std::size_t slot = 0; slot < 32; ++slot) {
            residuals.push_back(random.Gaussians(n));
            rows.push_back(Encode(spec, residuals.back(), c));
            block.Put(slot, rows.back(), &random);
        }
        double squares = 0, count = 0, sum = 0;
        for (int i = 0; i < 150; ++i) {
            const Query query(spec, ToFloat(Sum(c, 1, random.Gaussians(n))), 4);
            const double base = Base(query.q, c);
            const Scanned scanned = block.Scan(query, base, &random);
            for (std::size_t slot = 0; slot < 32; ++slot) {
                const double key = TrueKey(query.q, c, residuals[slot]);
                const double sd = 2 * std::sqrt(base) * Step(rows[slot]) / std::sqrt(12.0);
                const double z = (double{scanned.estimate[slot]} - key) / sd;
                squares += z * z;
                sum += z;
                count += 1;
            }
        }
        Where("dim=%zu sd=%.4f mean=%.4f", n, std::sqrt(squares / count), sum / count);
        CHECK_NEAR(std::sqrt(squares / count), 1, 0.06);
        CHECK_NEAR(sum / count, 0, 5 / std::sqrt(count));
    }
}
