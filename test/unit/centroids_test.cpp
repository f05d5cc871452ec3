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
        bytes.resize(ivf::CentroidTableBytes(lists, n));
        table = ivf::CentroidTableAt(bytes.data(), lists, n);
        const std::vector<float> zeros(n);
        std::vector<float> workspace(n);
        std::vector<std::uint8_t> code(n / 2);
        for (std::size_t i = 0; i < lists; ++i) {
            bias.push_back(biased ? static_cast<float>(random.Uniform(0, 50)) : 0);
            ivf::PutCentroid(table, i, centroids[i], bias[i], zeros, workspace, code);
        }
    }
    std::vector<std::uint8_t> bytes;
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

struct Asked {
    Asked(const std::vector<float>& x, float epsilon) : memory(ivf::CentroidQueryBytes(x.size())) {
        query = ivf::PrepareCentroidQuery(x, epsilon, memory);
    }
    std::vector<std::uint8_t> memory;
    ivf::CentroidQuery query;
};

// All lists in their order; `measured` counts distances.
struct Ordered {
    std::vector<std::uint32_t> lists;
    std::vector<float> l2sqr;
    std::size_t measured_for_first = 0, measured = 0;
};
Ordered Order(const Table& t, const std::vector<float>& x, float epsilon, bool biased,
              std::size_t expected = 1) {
    const Asked asked(x, epsilon);
    std::vector<float> memory(ivf::ListOrder::Bytes(t.table.lists) / sizeof(float) + 1, kNan);
    ivf::ListOrder order;
    order.Begin(t.table, asked.query, biased, expected,
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
                const std::vector<float> q = ToFloat(random.Gaussians(n), 1.3);
                const Asked asked(q, 1000);
                for (std::size_t block = 0; block * 32 < lists; ++block) {
                    float coarse[32], fine[32];
                    ivf::BoundCoarse(t.table, asked.query, block, coarse);
                    std::vector<std::uint32_t> here;
                    for (std::size_t c = block * 32; c < std::min(lists, block * 32 + 32); ++c)
                        here.push_back(static_cast<std::uint32_t>(c));
                    ivf::BoundFine(t.table, asked.query, here.data(), here.size(), fine);
                    // A part of a block has the bounds that the whole has.
                    if (here.size() > 3) {
                        float some[32];
                        here.erase(here.begin() + 2);
                        ivf::BoundFine(t.table, asked.query, here.data(), here.size(), some);
                        CHECK_EQ(some[1], fine[1]);
                        CHECK_EQ(some[here.size() - 1], fine[here.size()]);
                    }
                    for (std::size_t c = block * 32; c < std::min(lists, block * 32 + 32); ++c) {
                        Where("dim=%zu lists=%zu list=%zu", n, lists, c);
                        const double distance = Base(q, t.centroids[c]);
                        CHECK(double{coarse[c % 32]} <= distance);
                        CHECK(double{fine[c % 32]} <= distance);
                        // A bound is at most two errors away, which are .755 and .098 of the
                        // centroid's length, more for a few dimensions.
                        const double room = 2 * Norm(q) * Norm(t.centroids[c]);
                        CHECK(double{coarse[c % 32]} >= distance - 1.8 * room);
                        CHECK(double{fine[c % 32]} >= distance - 0.3 * room);
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
    const std::vector<float> q = random.Gaussians(64);
    const Asked asked(q, 3);
    float coarse[32], fine[32];
    ivf::BoundCoarse(t.table, asked.query, 0, coarse);
    const std::uint32_t all[] = {0, 1, 2};
    ivf::BoundFine(t.table, asked.query, all, 3, fine);
    CHECK_EQ(coarse[1], -kInfinity);
    CHECK_EQ(fine[1], -kInfinity);
    CHECK(coarse[0] > -kInfinity && fine[0] > -kInfinity && fine[2] > -kInfinity);
    // It comes last, since its distance is infinite, and all come once.
    const std::vector<std::uint32_t> lists = Order(t, q, 3, false).lists;
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
                    const Ordered ordered = Order(t, x, 6, biased, lists % 7);
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
