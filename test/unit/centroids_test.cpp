// The table of centroid codes: its bounds against distances in double.
#include "codes.h"
#include "unit.h"

#include "core/ivf/centroids.h"

using namespace quantvec;
using namespace quantvec::unit;

namespace {

struct Table {
    Table(std::size_t lists, std::size_t n, Random& random)
        : blocks(ivf::CentroidTableBytes(lists, n)) {
        table = {{Kind::kSq8, 8, static_cast<std::uint32_t>(n)}, lists, blocks.data()};
        const std::vector<float> zeros(n);
        std::vector<float> workspace(n);
        std::vector<std::uint8_t> code(n);
        for (std::size_t i = 0; i < lists; ++i) {
            centroids.push_back(ToFloat(random.Gaussians(n), random.Uniform(0.1, 2)));
            ivf::PutCentroid(table, i, centroids.back(), zeros, workspace, code);
        }
    }
    std::vector<std::uint8_t> blocks;
    std::vector<std::vector<float>> centroids;
    ivf::CentroidTable table;
};

}  // namespace

// With the hard bound no promise is above the distance, and all are near it.
TEST(CentroidBoundsHold) {
    const UseTable use("auto");
    for (std::size_t n : {64, 384, 832})
        for (std::size_t lists : {1, 31, 32, 33, 100}) {
            Random random(n + lists);
            const Table t(lists, n, random);
            for (int i = 0; i < 10; ++i) {
                const Query query(t.table.spec, ToFloat(random.Gaussians(n), 1.3), 1000);
                const auto norm_sqr = static_cast<float>(Dot(query.q, query.q));
                for (std::size_t block = 0; block * 32 < lists; ++block) {
                    float lower[32];
                    ivf::BoundCentroids(t.table, query.prepared, norm_sqr, block, lower);
                    for (std::size_t c = block * 32; c < std::min(lists, block * 32 + 32); ++c) {
                        Where("dim=%zu lists=%zu list=%zu", n, lists, c);
                        const double distance = Base(query.q, t.centroids[c]);
                        CHECK(double{lower[c - block * 32]} <= distance);
                        CHECK(double{lower[c - block * 32]} >= 0.9 * distance);
                    }
                }
            }
        }
}

// What has no code gets no promise.
TEST(CentroidNotFinite) {
    const UseTable use("auto");
    Random random(1);
    Table t(3, 64, random);
    std::vector<float> workspace(64);
    std::vector<std::uint8_t> code(64);
    std::vector<float> bad(64, kInfinity);
    ivf::PutCentroid(t.table, 1, bad, std::vector<float>(64), workspace, code);
    const Query query(t.table.spec, random.Gaussians(64), 3);
    float lower[32];
    ivf::BoundCentroids(t.table, query.prepared, static_cast<float>(Dot(query.q, query.q)), 0,
                        lower);
    CHECK_EQ(lower[1], -kInfinity);
    CHECK(lower[0] > 0 && lower[2] > 0);
}
