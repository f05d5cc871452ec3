// The rotation is orthogonal, spreads what lies on one coordinate, and is the same everywhere.
#include "unit.h"

#include "core/quant/rotation.h"

#include <cstring>

using namespace quantvec;
using unit::Random;
using unit::Where;

namespace {

constexpr std::size_t kDims[] = {1, 2, 3, 63, 64, 65, 384, 768, 784, 1000, 1536, 2049, 4096, 16000};

std::vector<std::uint8_t> Signs(std::uint64_t seed, std::size_t dim) {
    const std::size_t padded = quant::PaddedDim(dim);
    std::vector<std::uint8_t> signs(quant::RotationBytes(padded));
    quant::FillRotation(seed, padded, signs);
    return signs;
}

// x padded with zeros and rotated.
std::vector<float> Rotated(const std::vector<std::uint8_t>& signs, std::vector<float> x,
                           const kernels::Kernels& table = kernels::Active()) {
    x.resize(quant::PaddedDim(x.size()));
    quant::Rotate(signs, x, table);
    return x;
}

double Dot(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
    return sum;
}

std::vector<float> OneHot(std::size_t dim, std::size_t at) {
    std::vector<float> x(dim);
    x[at] = 1;
    return x;
}

}  // namespace

TEST(RotationSizes) {
    CHECK_EQ(quant::PaddedDim(1), 64);
    CHECK_EQ(quant::PaddedDim(64), 64);
    CHECK_EQ(quant::PaddedDim(65), 128);
    CHECK_EQ(quant::PaddedDim(784), 832);
    CHECK_EQ(quant::PaddedDim(16000), 16000);
    CHECK_EQ(quant::RotationBytes(64), 6 * 64 / 8);
    CHECK_EQ(quant::RotationBytes(832), 6 * 832 / 8);
}

// The first words that splitmix64's authors publish for seed 1234567, least significant byte first.
TEST(RotationSignsAreSplitmix64) {
    const std::vector<std::uint8_t> signs = Signs(1234567, 64);
    const std::uint64_t published[] = {6457827717110365317u, 3203168211198807973u,
                                       9817491932198370423u, 4593380528125082431u,
                                       16408922859458223821u};
    for (std::size_t i = 0; i < sizeof(published); ++i)
        CHECK_EQ(signs[i], (published[i / 8] >> (8 * (i % 8))) & 255);
}

TEST(RotationKeepsNormsAndInnerProducts) {
    for (std::size_t dim : kDims)
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
            Where("dim=%zu seed=%d", dim, static_cast<int>(seed));
            Random random(dim + seed);
            const std::vector<std::uint8_t> signs = Signs(seed, dim);
            const std::vector<float> a = random.Gaussians(dim), b = random.Gaussians(dim);
            const std::vector<float> c = Rotated(signs, a), d = Rotated(signs, b);
            const double norms = std::sqrt(Dot(a, a) * Dot(b, b));
            CHECK_NEAR(Dot(c, c), Dot(a, a), 1e-5 * Dot(a, a));
            CHECK_NEAR(Dot(d, d), Dot(b, b), 1e-5 * Dot(b, b));
            CHECK_NEAR(Dot(c, d), Dot(a, b), 1e-5 * norms);
        }
}

// The images of the coordinate axes are orthonormal: the whole matrix, where it is small.
TEST(RotationMatrixIsOrthonormal) {
    for (std::size_t dim : {64, 128, 192, 320}) {
        const std::vector<std::uint8_t> signs = Signs(7, dim);
        std::vector<std::vector<float>> columns;
        for (std::size_t i = 0; i < dim; ++i) columns.push_back(Rotated(signs, OneHot(dim, i)));
        for (std::size_t i = 0; i < dim; ++i)
            for (std::size_t j = 0; j <= i; ++j) {
                Where("dim=%zu i=%zu j=%zu", dim, i, j);
                CHECK_NEAR(Dot(columns[i], columns[j]), i == j ? 1 : 0, 2e-6);
            }
    }
}

// By the definition in rotation.h, in double and with the matrix of the transform written out.
TEST(RotationIsWhatTheHeaderSays) {
    for (std::size_t dim : {64, 128, 192, 384, 832}) {
        Where("dim=%zu", dim);
        std::size_t power = 64;
        while (2 * power <= dim) power *= 2;
        Random random(dim);
        const std::vector<std::uint8_t> signs = Signs(dim, dim);
        const std::vector<float> input = random.Gaussians(dim);
        std::vector<double> x(input.begin(), input.end());
        const auto flip = [&](std::size_t row) {
            for (std::size_t i = 0; i < dim; ++i) {
                const std::size_t bit = row * dim + i;
                if ((signs[bit / 8] >> (bit % 8)) & 1) x[i] = -x[i];
            }
        };
        const auto transform = [&](std::size_t first) {
            const std::vector<double> part(x.begin() + static_cast<long>(first), x.end());
            for (std::size_t i = 0; i < power; ++i) {
                double sum = 0;
                for (std::size_t j = 0; j < power; ++j)
                    sum += __builtin_popcountll(i & j) % 2 == 0 ? part[j] : -part[j];
                x[first + i] = sum / std::sqrt(static_cast<double>(power));
            }
        };
        for (std::size_t half = 0; half < 2; ++half) {
            flip(2 * half);
            transform(0);
            flip(2 * half + 1);
            transform(dim - power);
            if (power == dim) continue;
            flip(4 + half);
            for (std::size_t i = 0; i < dim / 2; ++i) {
                const double a = x[i], b = x[i + dim / 2];
                x[i] = (a + b) / std::sqrt(2.0);
                x[i + dim / 2] = (a - b) / std::sqrt(2.0);
            }
        }
        const std::vector<float> rotated = Rotated(signs, input);
        for (std::size_t i = 0; i < dim; ++i) CHECK_NEAR(rotated[i], x[i], 1e-5);
    }
}

TEST(RotationSameBytesOnEveryTable) {
    const kernels::Kernels* tables[kernels::kMostTables];
    const std::size_t count = kernels::Runnable(tables);
    for (std::size_t dim : kDims)
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
            Random random(dim + seed);
            const std::vector<std::uint8_t> signs = Signs(seed, dim);
            const std::vector<float> x = random.Gaussians(dim);
            const std::vector<float> first = Rotated(signs, x, *tables[0]);
            for (std::size_t t = 1; t < count; ++t) {
                Where("%s dim=%zu", tables[t]->name, dim);
                const std::vector<float> other = Rotated(signs, x, *tables[t]);
                CHECK(std::memcmp(first.data(), other.data(), first.size() * sizeof(float)) == 0);
            }
        }
}

// What lay on one coordinate looks like a random direction afterwards. Coordinates of a random unit
// vector are nearly Gaussian with variance 1/n: of m of them the largest is below
// sqrt(2 ln(m / p) / n) with probability 1 - p, and the mean of (x sqrt(n))^4 is 3 n / (n + 2).
TEST(RotationSpreadsOneCoordinate) {
    constexpr std::size_t kSeeds = 40;
    for (std::size_t dim : kDims) {
        const std::size_t n = quant::PaddedDim(dim);
        double kurtosis = 0, largest = 0;
        for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
            Random random(seed);
            const std::vector<float> x = Rotated(Signs(seed, dim), OneHot(dim, random.Below(dim)));
            for (float value : x) {
                const double squared = double{value} * double{value};
                kurtosis += squared * squared * static_cast<double>(n) / kSeeds;
                largest = std::max(largest, std::fabs(double{value}));
            }
        }
        Where("dim=%zu kurtosis=%.3f largest=%.3f/sqrt(n)", dim, kurtosis,
              largest * std::sqrt(static_cast<double>(n)));
        const double m = static_cast<double>(kSeeds * n);
        CHECK(largest < std::sqrt(2 * std::log(m / 1e-4) / static_cast<double>(n)));
        // The mean of m fourth powers of Gaussians (variance 96) is off by no more than 5 sigma.
        CHECK_NEAR(kurtosis, 3.0 * static_cast<double>(n) / static_cast<double>(n + 2),
                   5 * std::sqrt(96 / m));
    }
}

TEST(RotationSeedsDiffer) {
    for (std::size_t dim : {1, 64, 784}) {
        Random random(dim);
        const std::vector<float> x = random.Gaussians(dim);
        CHECK(Signs(1, dim) != Signs(2, dim));
        const std::vector<float> a = Rotated(Signs(1, dim), x), b = Rotated(Signs(2, dim), x);
        // Two random directions have a cosine of about 1/sqrt(n).
        Where("dim=%zu", dim);
        CHECK(std::fabs(Dot(a, b)) <
              5 * Dot(a, a) / std::sqrt(static_cast<double>(quant::PaddedDim(dim))));
        CHECK(Signs(1, dim) == Signs(1, dim));
        CHECK(a == Rotated(Signs(1, dim), x));
    }
}
