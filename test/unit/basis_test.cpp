// The learned basis of pq: eigenvectors of what they are of, orthonormal, shared out evenly.
#include "unit.h"

#include "core/quant/basis.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

using namespace quantvec;
using unit::Random;
using unit::Where;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Matrix = std::vector<double>;  // [n, n]

struct Decomposed {
    std::vector<float> vectors;
    std::vector<double> values;
    std::size_t steps = 0;
    bool done = false;
};

// The upper half is left as garbage, which nothing may read.
Decomposed Decompose(std::size_t n, std::vector<float> matrix) {
    Decomposed out;
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = i + 1; j < n; ++j) matrix[i * n + j] = kNan;
    out.vectors = std::move(matrix);
    out.values.resize(n);
    std::vector<double> off(n);
    std::vector<float> work(n);
    quant::Eigen eigen = {.n = n,
                          .vectors = out.vectors.data(),
                          .values = out.values.data(),
                          .off = off.data(),
                          .work = work.data(),
                          .phase = {},
                          .at = 0,
                          .iterations = 0,
                          .unit = 0};
    quant::EigenBegin(eigen);
    while (quant::EigenStep(eigen)) ++out.steps;
    CHECK(!quant::EigenStep(eigen));
    out.done = eigen.phase == quant::Eigen::Phase::kDone;
    CHECK_EQ(out.done, eigen.phase != quant::Eigen::Phase::kFailed);
    return out;
}

double Dot(const float* a, const float* b, std::size_t n) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += double{a[i]} * double{b[i]};
    return sum;
}

// Random orthonormal rows, by Gram and Schmidt in double, twice.
Matrix RandomBasis(std::size_t n, Random& random) {
    Matrix q(n * n);
    for (double& x : q) x = random.Gaussian();
    for (std::size_t i = 0; i < n; ++i)
        for (int pass = 0; pass < 2; ++pass) {
            double* row = &q[i * n];
            for (std::size_t j = 0; j < i; ++j) {
                const double d = std::inner_product(row, row + n, &q[j * n], 0.0);
                for (std::size_t k = 0; k < n; ++k) row[k] -= d * q[j * n + k];
            }
            const double length = std::sqrt(std::inner_product(row, row + n, row, 0.0));
            for (std::size_t k = 0; k < n; ++k) row[k] /= length;
        }
    return q;
}

// sum values[k] q_k q_k^T
std::vector<float> Compose(const Matrix& q, const std::vector<double>& values) {
    const std::size_t n = values.size();
    Matrix sum(n * n);
    for (std::size_t k = 0; k < n; ++k) {
        if (values[k] == 0) continue;
        const double* row = &q[k * n];
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j) sum[i * n + j] += values[k] * row[i] * row[j];
    }
    return std::vector<float>(sum.begin(), sum.end());
}

void CheckOrthonormal(const std::vector<float>& basis, std::size_t n) {
    double worst = 0;
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j <= i; ++j)
            worst = std::max(worst, std::fabs(Dot(&basis[i * n], &basis[j * n], n) - (i == j)));
    CHECK(worst < 1e-6);
}

// All that a decomposition of `matrix` promises, if its values are known.
void CheckDecomposed(const std::vector<float>& matrix, std::vector<double> expected,
                     double tolerance = 2e-6) {
    const std::size_t n = expected.size();
    const Decomposed got = Decompose(n, matrix);
    CHECK(got.done);
    CHECK(got.steps >= n && got.steps < 8 * n + 16);
    CheckOrthonormal(got.vectors, n);
    std::sort(expected.begin(), expected.end(), std::greater<>());
    double size = 0;
    for (double value : expected) size = std::max(size, std::fabs(value));
    for (std::size_t k = 0; k < n; ++k) {
        CHECK_NEAR(got.values[k], expected[k], tolerance * size);
        if (k > 0) CHECK(got.values[k] <= got.values[k - 1]);
    }
    // Reconstruction: A v = value v for all of an orthonormal set.
    for (std::size_t k = 0; k < n; ++k) {
        const float* v = &got.vectors[k * n];
        double error = 0;
        for (std::size_t i = 0; i < n; ++i)
            error += std::pow(Dot(&matrix[i * n], v, n) - got.values[k] * double{v[i]}, 2);
        CHECK(std::sqrt(error) <= 2 * tolerance * size);
    }
}

quant::Spec PqSpec(std::size_t n, std::size_t m, std::size_t bits) {
    return {.kind = quant::Kind::kPq,
            .bits = static_cast<std::uint8_t>(bits),
            .padded_dim = static_cast<std::uint32_t>(n),
            .m = static_cast<std::uint32_t>(m)};
}

std::vector<std::uint32_t> Allocate(const quant::Spec& spec, const std::vector<double>& values) {
    std::vector<double> load(spec.m);
    std::vector<std::uint32_t> order(spec.padded_dim);
    quant::AllocateBalanced(spec, values.data(), load.data(), order.data());
    std::vector<std::uint32_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t k = 0; k < sorted.size(); ++k) CHECK_EQ(sorted[k], k);
    return order;
}

// The least squared error that `bits` allow for independent normal values of these variances: all
// above a level cut down to it (Cover & Thomas, section 10.3.3).
double Distortion(std::vector<double> variances, double bits) {
    const double most = *std::max_element(variances.begin(), variances.end());
    double low = most * 1e-30, high = most;
    for (int i = 0; i < 200; ++i) {
        const double level = std::sqrt(low * high);
        double rate = 0;
        for (double v : variances)
            if (v > level) rate += std::log2(v / level) / 2;
        (rate > bits ? low : high) = level;
    }
    double sum = 0;
    for (double v : variances) sum += std::min(v, high);
    return sum;
}

// Of a code whose dimensions have the variances values[order[k]].
double Distortion(const quant::Spec& spec, const std::vector<double>& values,
                  const std::vector<std::uint32_t>& order) {
    double sum = 0;
    for (std::size_t j = 0; j < spec.m; ++j) {
        std::vector<double> variances;
        for (std::size_t k = quant::PqBegin(spec, j); k < quant::PqBegin(spec, j + 1); ++k)
            variances.push_back(values[order[k]]);
        sum += Distortion(variances, spec.bits);
    }
    return sum;
}

std::vector<std::uint32_t> Identity(std::size_t n) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    return order;
}

// The least distortion of all allocations: of all orders that ascend within a sub-space.
double BestDistortion(const quant::Spec& spec, const std::vector<double>& values) {
    std::vector<std::uint32_t> owner;  // of eigenvalue i
    for (std::uint32_t j = 0; j < spec.m; ++j)
        owner.insert(owner.end(), quant::PqBegin(spec, j + 1) - quant::PqBegin(spec, j), j);
    double best = double{kInfinity};
    do {
        std::vector<std::uint32_t> order;
        for (std::uint32_t j = 0; j < spec.m; ++j)
            for (std::uint32_t i = 0; i < owner.size(); ++i)
                if (owner[i] == j) order.push_back(i);
        best = std::min(best, Distortion(spec, values, order));
    } while (std::next_permutation(owner.begin(), owner.end()));
    return best;
}

std::vector<double> PowerLaw(std::size_t n, double exponent) {
    std::vector<double> values(n);
    for (std::size_t k = 0; k < n; ++k) values[k] = std::pow(static_cast<double>(k + 1), -exponent);
    return values;
}

}  // namespace

// ---- covariance ----

TEST(BasisCovarianceIsTheSumOfProducts) {
    for (std::size_t n : {1, 2, 7, 64, 130})
        for (std::size_t rows : {0, 1, 3, 4, 5, 23}) {
            Where("n=%zu rows=%zu", n, rows);
            Random random(n * 100 + rows);
            const std::vector<float> x = random.Gaussians(rows * n);
            std::vector<float> sum(n * n, 0.0f);
            const std::size_t first = rows / 3;
            quant::AddCovariance(x.data(), first, n, sum.data());
            quant::AddCovariance(x.data() + first * n, rows - first, n, sum.data());
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < n; ++j) {
                    double expected = 0, size = 0;
                    for (std::size_t r = 0; j <= i && r < rows; ++r) {
                        const double term = double{x[r * n + i]} * double{x[r * n + j]};
                        expected += term;
                        size += std::fabs(term);
                    }
                    CHECK_NEAR(double{sum[i * n + j]}, expected, 1e-6 * size);
                }
        }
}

// ---- eigenvectors ----

TEST(BasisEigenOfDiagonals) {
    for (std::size_t n : {1, 2, 3, 64}) {
        Where("n=%zu", n);
        std::vector<float> matrix(n * n, 0.0f);
        std::vector<double> values(n);
        for (std::size_t i = 0; i < n; ++i) {
            values[i] = static_cast<double>(i * 37 % n) - 3;
            matrix[i * n + i] = static_cast<float>(values[i]);
        }
        CheckDecomposed(matrix, values, 1e-7);
        const Decomposed got = Decompose(n, matrix);
        for (float x : got.vectors) CHECK(x == 0 || x == 1);
    }
}

TEST(BasisEigenOfTwoByTwo) {
    Random random(1);
    for (int i = 0; i < 2000; ++i) {
        const double a = random.Uniform(-1, 1), c = random.Uniform(-1, 1);
        const double b = i % 10 == 0 ? 1e-6 * random.Uniform() : random.Uniform(-1, 1);
        Where("a=%g b=%g c=%g", a, b, c);
        const auto fa = static_cast<float>(a), fb = static_cast<float>(b),
                   fc = static_cast<float>(c);
        const double middle = (a + c) / 2, radius = std::hypot((a - c) / 2, b);
        CheckDecomposed({fa, fb, fb, fc}, {middle + radius, middle - radius}, 1e-6);
    }
}

TEST(BasisEigenOfKnownSpectra) {
    for (std::size_t n : {2, 3, 5, 16, 63, 64, 200}) {
        Random random(n);
        const Matrix q = RandomBasis(n, random);
        struct {
            const char* name;
            double (*value)(std::size_t k, std::size_t n);
        } const spectra[] = {
            {"power law",
             [](std::size_t k, std::size_t) { return 1 / static_cast<double>(k + 1); }},
            {"geometric",
             [](std::size_t k, std::size_t) { return std::exp2(-static_cast<double>(k)); }},
            {"flat", [](std::size_t, std::size_t) { return 1.0; }},
            {"repeated",
             [](std::size_t k, std::size_t) { return 1.0 + static_cast<double>(k % 3); }},
            {"half zero", [](std::size_t k, std::size_t n) { return k < n / 2 ? 2.0 : 0.0; }},
            {"rank one", [](std::size_t k, std::size_t) { return k == 0 ? 5.0 : 0.0; }},
            {"both signs",
             [](std::size_t k, std::size_t n) {
                 return static_cast<double>(k) - static_cast<double>(n) / 2;
             }},
        };
        for (const auto& spectrum : spectra)
            for (double scale : {1.0, 1e-30, 1e-42, 1e30}) {
                if (scale != 1.0 && n > 64) continue;
                Where("n=%zu %s scale=%g", n, spectrum.name, scale);
                std::vector<double> values(n);
                for (std::size_t k = 0; k < n; ++k) values[k] = scale * spectrum.value(k, n);
                // Below 1e-38 floats have few digits: only valid at all.
                if (scale < 1e-38) {
                    const Decomposed got = Decompose(n, Compose(q, values));
                    CHECK(got.done);
                    CheckOrthonormal(got.vectors, n);
                } else {
                    CheckDecomposed(Compose(q, values), values);
                }
            }
    }
}

TEST(BasisEigenOfACovariance) {
    constexpr std::size_t n = 384, rows = 256;  // fewer than dimensions: a third of it is zeros
    Random random(5);
    std::vector<float> x = random.Gaussians(rows * n);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] /= 1 + static_cast<float>(i % n) / 16;
    std::vector<float> covariance(n * n, 0.0f);
    quant::AddCovariance(x.data(), rows, n, covariance.data());
    const Decomposed got = Decompose(n, covariance);
    CHECK(got.done);
    CheckOrthonormal(got.vectors, n);
    for (std::size_t k = 0; k < n; ++k) {
        double spread = 0;
        for (std::size_t r = 0; r < rows; ++r)
            spread += std::pow(Dot(&got.vectors[k * n], &x[r * n], n), 2);
        CHECK_NEAR(got.values[k], spread, 2e-6 * got.values[0]);
    }
}

TEST(BasisEigenOfNothing) {
    for (std::size_t n : {1, 2, 64, 200}) {
        Where("n=%zu", n);
        const Decomposed got = Decompose(n, std::vector<float>(n * n, 0.0f));
        CHECK(got.done);
        for (std::size_t i = 0; i < n; ++i) {
            CHECK_EQ(got.values[i], 0.0);
            for (std::size_t j = 0; j < n; ++j) CHECK_EQ(got.vectors[i * n + j], i == j ? 1.0f : 0);
        }
    }
}

TEST(BasisEigenReportsWhatIsNotFinite) {
    for (std::size_t n : {1, 2, 64})
        for (float bad : {kNan, kInfinity, -kInfinity})
            for (int where = 0; where < 3; ++where) {
                Where("n=%zu bad=%g where=%d", n, double{bad}, where);
                Random random(n);
                std::vector<float> matrix = random.Gaussians(n * n);
                if (where == 0) matrix[0] = bad;
                if (where == 1) matrix[n * n - 1] = bad;
                if (where == 2) matrix[(n - 1) * n] = bad;
                CHECK(!Decompose(n, matrix).done);
            }
    // The largest finite numbers are not too large.
    constexpr std::size_t n = 64;
    const Decomposed got = Decompose(n, std::vector<float>(n * n, 3.4e38f));
    CHECK(got.done);
    CheckOrthonormal(got.vectors, n);
    CHECK_NEAR(got.values[0], 64 * 3.4e38, 1e-6 * 64 * 3.4e38);
}

// ---- coordinates ----

TEST(BasisKeepsDistancesOnEveryTable) {
    const kernels::Kernels* tables[4];
    const std::size_t count = kernels::Runnable(tables);
    const std::string before = kernels::Active().name;
    for (std::size_t n : {1, 64, 100, 200}) {
        Random random(n);
        std::vector<float> covariance(n * n, 0.0f), x = random.Gaussians(4 * n);
        for (float& value : x) value = 100 + value;
        quant::AddCovariance(x.data(), 4, n, covariance.data());
        std::vector<float> first_basis, first;
        for (std::size_t t = 0; t < count; ++t) {
            Where("n=%zu %s", n, tables[t]->name);
            CHECK(kernels::Select(tables[t]->name));
            const Decomposed got = Decompose(n, covariance);
            CHECK(got.done);
            std::vector<float> y(4 * n);
            for (std::size_t r = 0; r < 4; ++r)
                quant::ApplyBasis(got.vectors.data(), &x[r * n], n, &y[r * n]);
            if (t == 0) {
                first_basis = got.vectors;
                first = y;
            }
            CHECK(std::memcmp(first_basis.data(), got.vectors.data(), n * n * 4) == 0);
            CHECK(std::memcmp(first.data(), y.data(), y.size() * 4) == 0);
            for (std::size_t r = 0; r < 4; ++r) {
                CHECK_NEAR(Dot(&y[r * n], &y[r * n], n) / Dot(&x[r * n], &x[r * n], n), 1, 1e-5);
                // A distance a hundredth of the lengths, as of residuals of one list.
                double expected = 0, distance = 0;
                for (std::size_t i = 0; r > 0 && i < n; ++i) {
                    expected += std::pow(double{x[r * n + i]} - double{x[i]}, 2);
                    distance += std::pow(double{y[r * n + i]} - double{y[i]}, 2);
                }
                const double length = Dot(&x[r * n], &x[r * n], n);
                CHECK_NEAR(distance, expected,
                           1e-5 * expected + 2e-6 * std::sqrt(expected * length));
            }
        }
    }
    CHECK(kernels::Select(before.c_str()));
}

// ---- allocation ----

TEST(BasisAllocationIsAPermutation) {
    for (std::size_t n : {1, 2, 7, 64, 100, 832})
        for (std::size_t m : {1, 2, 3, 48, 99, 832})
            for (double exponent : {0.0, 1.0, 4.0})
                for (std::size_t bits : {4, 8}) {
                    if (m > n) continue;
                    Where("n=%zu m=%zu exponent=%g bits=%zu", n, m, exponent, bits);
                    const quant::Spec spec = PqSpec(n, m, bits);
                    const std::vector<std::uint32_t> order = Allocate(spec, PowerLaw(n, exponent));
                    if (m == 1) CHECK(order == Identity(n));
                    // The largest of a sub-space comes first.
                    for (std::size_t j = 0; j < m; ++j)
                        CHECK(std::is_sorted(order.begin() + quant::PqBegin(spec, j),
                                             order.begin() + quant::PqBegin(spec, j + 1)));
                }
    Where("one dimension each");
    CHECK(Allocate(PqSpec(64, 64, 8), PowerLaw(64, 1)) == Identity(64));
}

TEST(BasisAllocationOfTheWorthless) {
    const double kNan64 = std::numeric_limits<double>::quiet_NaN();
    for (double value : {0.0, -1e-9, -double{kInfinity}, kNan64, double{kInfinity}})
        for (std::size_t m : {1, 5, 64}) {
            Where("value=%g m=%zu", value, m);
            Allocate(PqSpec(64, m, 8), std::vector<double>(64, value));
            std::vector<double> values = PowerLaw(64, 1);
            std::fill(values.begin() + 40, values.end(), value);
            Allocate(PqSpec(64, m, 8), values);
        }
}

// Sub-spaces of equal width get products of nearly equal size, whatever the unit of the values.
TEST(BasisAllocationBalancesProducts) {
    for (double exponent : {0.5, 1.0, 2.0})
        for (double unit : {1e-12, 1.0, 1e12}) {
            Where("exponent=%g unit=%g", exponent, unit);
            const quant::Spec spec = PqSpec(64, 8, 8 * 8);  // bits for all dimensions
            std::vector<double> values = PowerLaw(64, exponent);
            const std::vector<std::uint32_t> same = Allocate(spec, values);
            for (double& v : values) v *= unit;
            const std::vector<std::uint32_t> order = Allocate(spec, values);
            CHECK(order == same);
            double least = double{kInfinity}, most = -double{kInfinity};
            for (std::size_t j = 0; j < 8; ++j) {
                double logs = 0;
                for (std::size_t k = 0; k < 8; ++k) logs += std::log(values[order[j * 8 + k]]);
                least = std::min(least, logs);
                most = std::max(most, logs);
            }
            // In order of size the first and the last sub-space differ by 15 * exponent and more.
            CHECK(most - least < exponent);
        }
}

TEST(BasisAllocationIsNearlyTheBest) {
    Random random(9);
    double mean = 0;
    int cases = 0;
    for (std::size_t n = 2; n <= 9; ++n)
        for (std::size_t m = 1; m <= std::min<std::size_t>(n, 4); ++m)
            for (std::size_t bits : {1, 4, 8})
                for (double exponent : {0.5, 1.0, 2.0, 4.0}) {
                    Where("n=%zu m=%zu bits=%zu exponent=%g", n, m, bits, exponent);
                    std::vector<double> values = PowerLaw(n, exponent);
                    for (double& v : values) v *= random.Uniform(0.5, 2);
                    std::sort(values.begin(), values.end(), std::greater<>());
                    const quant::Spec spec = PqSpec(n, m, bits);
                    const double best = BestDistortion(spec, values);
                    const double got = Distortion(spec, values, Allocate(spec, values));
                    CHECK(got >= best * (1 - 1e-9));
                    CHECK(got <= best * 2);
                    mean += got / best;
                    ++cases;
                }
    CHECK(mean / cases < 1.02);
}

// Unequal widths, few bits, zeros: never worse than order of size, near to what all bits could do
// together.
TEST(BasisAllocationOfRealSizes) {
    for (std::size_t n : {64, 384, 832})
        for (std::size_t m : {24, 48, 52, 60})
            for (double exponent : {0.3, 0.7, 1.0, 1.5})
                for (std::size_t zeros : {0, 10}) {
                    Where("n=%zu m=%zu exponent=%g zeros=%zu", n, m, exponent, zeros);
                    std::vector<double> values = PowerLaw(n, exponent);
                    std::fill(values.end() - zeros, values.end(), 0.0);
                    const quant::Spec spec = PqSpec(n, m, 8);
                    const double got = Distortion(spec, values, Allocate(spec, values));
                    const double least = Distortion(values, 8.0 * static_cast<double>(m));
                    const double plain = Distortion(spec, values, Identity(n));
                    CHECK(got <= plain);
                    // Sub-spaces of one to three dimensions cannot all carry the same.
                    if (n >= 384) CHECK(got <= least * 1.01);
                }
}
