// The codes of centroids: their bounds and the order of lists against distances in double and in
// the floats of the search itself.
#include "codes.h"
#include "unit.h"

#include "core/ivf/centroids.h"
#include "core/ivf/kmeans.h"

using namespace quantvec;
using namespace quantvec::unit;

namespace {

struct Table {
    // `biased`: every list has a bias of its own.
    Table(std::vector<std::vector<float>> rows, Random& random, bool biased = false)
        : centroids(std::move(rows)) {
        const std::size_t n = centroids[0].size(), lists = centroids.size();
        const Spec spec = ivf::CentroidSpec(n);
        blocks.resize(ivf::CentroidBlocks(lists) * ivf::CentroidBlockBytes(spec));
        refine.resize(ivf::CentroidBlocks(lists) * ivf::CentroidRefineBytes(spec));
        table = {spec, lists, blocks.data(), refine.data()};
        const std::vector<float> zeros(n);
        std::vector<float> workspace(n);
        std::vector<std::uint8_t> code(n / 8);
        for (std::size_t i = 0; i < lists; ++i) {
            bias.push_back(biased ? static_cast<float>(random.Uniform(0, 50)) : 0);
            ivf::PutCentroid(table, i, centroids[i], bias[i], zeros, workspace, code);
        }
    }
    std::vector<std::uint8_t> blocks, refine;
    std::vector<std::vector<float>> centroids;
    std::vector<float> bias;
    ivf::CentroidTable table;
};

std::vector<std::vector<float>> Gaussians(std::size_t lists, std::size_t n, Random& random) {
    std::vector<std::vector<float>> rows;
    for (std::size_t i = 0; i < lists; ++i)
        rows.push_back(ToFloat(random.Gaussians(n), random.Uniform(0.1, 2)));
    return rows;
}

// All lists in their order; `measured` counts distances.
struct Ordered {
    std::vector<std::uint32_t> lists;
    std::vector<float> l2sqr;
    std::size_t measured_for_first = 0, measured = 0;
};
Ordered Order(const Table& t, const std::vector<float>& x, float epsilon, bool biased) {
    const Query query(t.table.spec, x, epsilon);
    std::vector<float> memory(ivf::ListOrder::Bytes(t.table.lists) / sizeof(float) + 1, kNan);
    ivf::ListOrder order;
    order.Begin(t.table, query.prepared, static_cast<float>(Dot(x, x)), biased,
                {reinterpret_cast<std::uint8_t*>(memory.data()), memory.size() * sizeof(float)});
    Ordered result;
    while (order.left() > 0) {
        while (!order.NearestIsExact()) {
            const std::vector<float>& c = t.centroids[order.Nearest()];
            order.Measured(kernels::Active().l2sqr(x.data(), c.data(), x.size()));
            ++result.measured;
        }
        if (result.lists.empty()) result.measured_for_first = result.measured;
        result.lists.push_back(order.Nearest());
        result.l2sqr.push_back(order.NearestL2Sqr());
        order.Next();
    }
    return result;
}

std::size_t ExactNearest(const Table& t, const std::vector<float>& x) {
    std::vector<float> flat;
    for (const std::vector<float>& c : t.centroids) flat.insert(flat.end(), c.begin(), c.end());
    float l2sqr;
    return ivf::Nearest(x.data(), flat.data(), t.centroids.size(), x.size(), &l2sqr);
}

}  // namespace

// With the hard bound no promise is above the distance; the better one is nearer to it.
TEST(CentroidBoundsHold) {
    const UseTable use("auto");
    for (std::size_t n : {64, 384, 832})
        for (std::size_t lists : {1, 31, 32, 33, 100}) {
            Random random(n + lists);
            const Table t(Gaussians(lists, n, random), random);
            for (int i = 0; i < 10; ++i) {
                const Query query(t.table.spec, ToFloat(random.Gaussians(n), 1.3), 1000);
                const auto norm_sqr = static_cast<float>(Dot(query.q, query.q));
                for (std::size_t block = 0; block * 32 < lists; ++block) {
                    float lower[32], sums[32];
                    ivf::BoundCentroids(t.table, query.prepared, norm_sqr, block, sums, lower);
                    for (std::size_t c = block * 32; c < std::min(lists, block * 32 + 32); ++c) {
                        Where("dim=%zu lists=%zu list=%zu", n, lists, c);
                        const double distance = Base(query.q, t.centroids[c]);
                        const double fine = double{ivf::RefineCentroid(t.table, query.prepared,
                                                                       norm_sqr, c, sums[c % 32])};
                        CHECK(double{lower[c % 32]} <= distance);
                        CHECK(fine <= distance);
                        // A bound is at most two errors away, which are .107 and .755 of the length.
                        const double room = 2 * Norm(query.q) * Norm(t.centroids[c]);
                        CHECK(fine >= distance - 0.26 * room);
                        CHECK(double{lower[c % 32]} >= distance - 1.7 * room);
                    }
                }
            }
        }
}

// What has no code gets no promise.
TEST(CentroidNotFinite) {
    const UseTable use("auto");
    Random random(1);
    std::vector<std::vector<float>> rows = Gaussians(3, 64, random);
    rows[1].assign(64, kInfinity);
    const Table t(std::move(rows), random);
    const Query query(t.table.spec, random.Gaussians(64), 3);
    float lower[32], sums[32];
    const auto norm_sqr = static_cast<float>(Dot(query.q, query.q));
    ivf::BoundCentroids(t.table, query.prepared, norm_sqr, 0, sums, lower);
    CHECK_EQ(lower[1], -kInfinity);
    CHECK(lower[0] > -kInfinity && lower[2] > -kInfinity);
    CHECK_EQ(ivf::RefineCentroid(t.table, query.prepared, norm_sqr, 1, sums[1]), -kInfinity);
    // It comes last, since its distance is infinite, and all come once.
    const std::vector<std::uint32_t> lists = Order(t, query.q, 3, false).lists;
    CHECK_EQ(lists.size(), 3u);
    CHECK_EQ(lists[2], 1u);
    // A query that is not a number finds some order.
    CHECK_EQ(Order(t, std::vector<float>(64, kNan), 3, false).lists.size(), 3u);
    CHECK_EQ(Order(t, std::vector<float>(64, kInfinity), 3, false).lists.size(), 3u);
}

// Every list comes once, in the order of its distance (less its bias), whatever the codes said; and
// few distances are computed before the first one comes.
TEST(ListsComeInOrder) {
    for (const char* name : TableNames()) {
        const UseTable use(name);
        for (std::size_t n : {64, 384})
            for (std::size_t lists : {1, 2, 31, 32, 33, 64, 65, 1000})
                for (bool biased : {false, true}) {
                    Where("table=%s dim=%zu lists=%zu biased=%d", name, n, lists, biased);
                    Random random(n + lists);
                    const Table t(Gaussians(lists, n, random), random, biased);
                    const std::vector<float> x = random.Gaussians(n);
                    const Ordered ordered = Order(t, x, 6, biased);
                    CHECK_EQ(ordered.lists.size(), lists);
                    CHECK_EQ(ordered.measured, lists);
                    std::vector<bool> seen(lists);
                    float last = -kInfinity;
                    for (std::size_t i = 0; i < ordered.lists.size(); ++i) {
                        const std::uint32_t list = ordered.lists[i];
                        CHECK(list < lists && !seen[list]);
                        seen[list] = true;
                        CHECK_EQ(ordered.l2sqr[i],
                                 kernels::Active().l2sqr(x.data(), t.centroids[list].data(), n));
                        const float order = ordered.l2sqr[i] - (biased ? t.bias[list] : 0);
                        CHECK(order >= last);
                        last = order;
                    }
                }
    }
}

// The first list is the nearest of all, for rows near a centroid and for rows near none.
TEST(FirstListIsNearest) {
    const UseTable use("auto");
    for (std::size_t n : {64, 128, 384, 768}) {
        Random random(n);
        const Table t(Gaussians(300, n, random), random, true);
        std::size_t measured = 0;
        for (int i = 0; i < 200; ++i) {
            Where("dim=%zu row=%d", n, i);
            std::vector<float> x = ToFloat(random.Gaussians(n), random.Uniform(0, 2));
            if (i % 2 == 0)
                x = ToFloat(Sum(x, random.Uniform(0.5, 3), t.centroids[random.Below(300)]));
            const Ordered ordered = Order(t, x, 6, false);
            CHECK_EQ(ordered.lists[0], ExactNearest(t, x));
            measured += ordered.measured_for_first;
        }
        CHECK(measured < 200 * 30);
    }
}

// Of lists equally near the first comes first, whether they are equal or on either side.
TEST(EqualListsComeInOrderOfNumber) {
    const UseTable use("auto");
    Random random(7);
    for (std::size_t n : {64, 384}) {
        std::vector<std::vector<float>> rows = Gaussians(200, n, random);
        for (std::size_t i = 0; i < 200; i += 2) rows[(i + 77) % 200 / 2 * 2 + 1] = rows[i];
        // q + d and q - d, where all sums are exact.
        std::vector<float> x(n), d(n);
        for (std::size_t j = 0; j < n; ++j) {
            x[j] = static_cast<float>(random.Below(64)) - 32;
            d[j] = (static_cast<float>(random.Below(64)) - 32) / 16;
        }
        rows[150] = rows[90] = ToFloat(Sum(x, 1, d));
        rows[40] = rows[151] = ToFloat(Sum(x, -1, d));
        const Table t(std::move(rows), random);
        const Ordered ordered = Order(t, x, 6, false);
        const std::vector<std::uint32_t> first(ordered.lists.begin(), ordered.lists.begin() + 4);
        CHECK_EQ(first[0], 40u);
        CHECK_EQ(first[1], 90u);
        CHECK_EQ(first[2], 150u);
        CHECK_EQ(first[3], 151u);
        for (std::size_t i = 1; i < ordered.lists.size(); ++i)
            if (ordered.l2sqr[i] == ordered.l2sqr[i - 1])
                CHECK(ordered.lists[i] > ordered.lists[i - 1]);
        for (const std::vector<float>& c : t.centroids)
            CHECK_EQ(Order(t, c, 6, false).lists[0], ExactNearest(t, c));
    }
}
