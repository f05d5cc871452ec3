// The codes bits and sets: the elements themselves, and estimates that are the keys.
#include <cmath>

#include "codes.h"
#include "unit.h"

#include "core/metric.h"
#include "core/quant/rotation.h"

using namespace quantvec;
using namespace quantvec::unit;

namespace {

// A model of zeros and ones: a rotation, a mean, a centroid, and rows of them in code space.
struct World {
    std::size_t dim, padded;
    std::vector<std::uint8_t> signs;
    std::vector<float> mean, centroid;
    Spec spec;

    World(std::size_t n, Random& random) : dim(n), padded(quant::PaddedDim(n)) {
        signs.resize(quant::RotationBytes(padded));
        quant::FillRotation(n, padded, signs);
        mean.resize(n);
        for (float& x : mean) x = static_cast<float>(random.Below(1000)) / 1000;
        centroid = InSpace(random.Gaussians(n));
        spec = {Kind::kBits, 1, static_cast<std::uint32_t>(padded)};
        spec.dim = static_cast<std::uint32_t>(n);
        spec.signs = signs.data();
        spec.mean = mean.data();
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    std::vector<float> InSpace(std::vector<float> x) const {
        for (std::size_t i = 0; i < dim; ++i) x[i] -= mean[i];
        x.resize(padded);
        quant::Rotate(signs, x);
        return x;
    }
};

std::vector<float> ZerosAndOnes(std::size_t n, Random& random) {
    std::vector<float> x(n);
    const std::size_t share = 1 + random.Below(9);
    for (float& value : x) value = random.Below(10) < share;
    return x;
}

}  // namespace

TEST(RotationHasAWayBack) {
    Random random(5);
    for (std::size_t n : {64, 128, 192, 384, 832, 1536, 16000}) {
        std::vector<std::uint8_t> signs(quant::RotationBytes(n));
        quant::FillRotation(n, n, signs);
        const std::vector<float> x = random.Gaussians(n);
        std::vector<float> there = x;
        quant::Rotate(signs, there);
        quant::Unrotate(signs, there);
        Where("n = %zu", n);
        for (std::size_t i = 0; i < n; ++i) CHECK_NEAR(there[i], x[i], 1e-5);
    }
}

namespace {

double OnesOf(const std::vector<float>& x) {
    double ones = 0;
    for (float value : x) ones += value;
    return ones;
}

// As an index for Jaccard distance sees it: of unit length, unless there is no element.
std::vector<float> UnitOf(std::vector<float> x) {
    const double ones = OnesOf(x);
    if (ones > 0)
        for (float& value : x) value /= static_cast<float>(std::sqrt(ones));
    return x;
}

void CheckElements(Kind kind) {
    const bool sets = kind == Kind::kSets;
    for (std::size_t n : {1, 2, 7, 8, 63, 64, 65, 130, 768, 1000, 64000}) {
        Random random(n);
        World world(n, random);
        world.spec.kind = kind;
        const quant::Quantizer& q = quant::Get(kind);
        const auto space = [&](const std::vector<float>& x) {
            return world.InSpace(sets ? UnitOf(x) : x);
        };
        constexpr std::size_t kRows = 32;
        std::vector<std::vector<float>> rows;
        std::vector<float> offset(kRows);
        std::vector<std::uint8_t> codes(q.BlockCodeBytes(world.spec));
        const std::size_t row_bytes = q.ScanRowBytes(world.spec);
        for (std::size_t r = 0; r < kRows; ++r) {
            rows.push_back(r == 0   ? std::vector<float>(n, 0)
                           : r == 1 ? std::vector<float>(n, 1)
                                    : ZerosAndOnes(n, random));
            const std::vector<float> x = space(rows.back());
            std::vector<float> residual(world.padded), workspace(world.padded);
            for (std::size_t i = 0; i < x.size(); ++i) residual[i] = x[i] - world.centroid[i];
            std::vector<std::uint8_t> code(row_bytes), back(row_bytes);
            quant::EncodedRow row = {{}, code, {}};
            q.Encode(world.spec, residual, world.centroid, 0, workspace, row);
            Where("n = %zu, row %zu", n, r);
            for (std::size_t i = 0; i < world.padded; ++i)
                CHECK_EQ(code[i / 8] >> (i % 8) & 1, i < n ? static_cast<int>(rows[r][i]) : 0);
            q.Scatter(world.spec, code, r, 0, codes);
            q.Gather(world.spec, codes, r, back);
            CHECK(back == code);
            CHECK_EQ(quant::FromBfloat16(row.factors.error), 0.0f);
            offset[r] = row.factors.offset;
            CHECK_EQ(static_cast<double>(offset[r]), sets ? OnesOf(rows[r]) : 0.0);
        }
        // The estimate of each row is the key, whatever the list; also in pieces.
        const std::vector<float> query = ZerosAndOnes(n, random);
        const double query_ones = OnesOf(query);
        std::vector<std::uint8_t> memory(q.QueryBytes(world.spec));
        quant::PreparedQuery prepared;
        q.PrepareQuery(world.spec, space(query), 3, memory, prepared);
        const kernels::BlockScalars scalars = quant::ListScalars(prepared, 1234.5f);
        for (std::size_t step : {codes.size(), std::size_t{64}, std::size_t{192}}) {
            float sums[kRows] = {};
            for (std::size_t at = 0; at < codes.size(); at += step)
                q.ScanPiece(world.spec, prepared, at,
                            ConstByteSpan(codes).subspan(at, std::min(step, codes.size() - at)),
                            ~0u, 0, sums);
            std::vector<float> add(kRows);
            const std::vector<std::uint16_t> scale(kRows, quant::ToBfloat16(1)), error(kRows);
            float lower[kRows], estimate[kRows];
            const kernels::BlockFactors factors = {add.data(), scale.data(), error.data(),
                                                   sets ? offset.data() : nullptr};
            q.FinishSums(prepared, factors, sums);
            kernels::Active().bound_block(factors, scalars, sums, kInfinity, lower, estimate);
            for (std::size_t r = 0; r < kRows; ++r) {
                double differ = 0;
                for (std::size_t i = 0; i < n; ++i) differ += query[i] != rows[r][i];
                Where("n = %zu, row %zu, in steps of %zu", n, r, step);
                if (!sets) {
                    CHECK_EQ(static_cast<double>(estimate[r]), differ);
                    CHECK_EQ(lower[r], estimate[r]);
                    continue;
                }
                const double sizes = OnesOf(rows[r]) + query_ones;
                const double key = sizes > 0 ? 2 * differ / sizes : 2;
                CHECK_NEAR(estimate[r], key, 3e-7);
                CHECK(static_cast<double>(lower[r]) <= key);
                CHECK(lower[r] >= estimate[r] - 1e-5f);
            }
        }
    }
}

}  // namespace

TEST(BitsAreTheElements) {
    CheckElements(Kind::kBits);
}

TEST(SetsAreTheElements) {
    CheckElements(Kind::kSets);
}

// The key of jaccard grows with the distance, and is that of the counts.
TEST(JaccardHasAKey) {
    for (int either = 1; either <= 40; ++either)
        for (int both = 0; both <= either; ++both) {
            const double distance = both == 0 ? 1 : 1 - static_cast<double>(both) / either;
            const double key = KeyFromDistance(Metric::kJaccard, distance);
            Where("%d of %d", both, either);
            CHECK_NEAR(key, 2.0 * (either - both) / (either + both), 1e-12);
        }
}
