// k-means: each step by its definition in double, and what the steps together come to.
#include "reference.h"
#include "unit.h"

#include "core/ivf/kmeans.h"

#include <algorithm>
#include <limits>
#include <set>

using namespace quantvec;
using unit::Random;
using unit::Where;

namespace {

// The `keep` nearest of all centroids for each of these rows, as the shell finds them.
std::vector<std::uint32_t> NearestOf(const std::vector<const float*>& rows, const float* centroids,
                                     std::size_t lists, std::size_t dim,
                                     std::vector<float>* scores = nullptr, std::size_t keep = 1) {
    std::vector<std::uint32_t> list(rows.size() * keep);
    std::vector<float> score(rows.size() * keep), tile(ivf::TileFloats(dim));
    ivf::NearestBatch batch = {rows.data(), rows.size(), dim, keep, list.data(), score.data()};
    ivf::BeginNearest(batch);
    for (std::size_t first = 0; first < lists; first += ivf::kTileLists) {
        ivf::MakeTile(centroids, lists, dim, first, tile.data());
        ivf::MeetTile(batch, tile.data(), first);
    }
    if (scores) *scores = score;
    return list;
}

// A run with its own memory.
struct Run {
    Run(std::vector<float> data, std::size_t dim, std::size_t lists, std::uint64_t seed)
        : samples(std::move(data)),
          centroids(lists * dim, std::numeric_limits<float>::quiet_NaN()),
          sums(lists * dim),
          counts(lists),
          assignment(samples.size() / dim, ivf::kUnassigned) {
        km = {{samples.data(), samples.size() / dim, dim},
              lists,
              centroids.data(),
              sums.data(),
              counts.data(),
              assignment.data()};
        std::vector<std::uint64_t> keys(rows());
        for (std::size_t i = 0; i < rows(); ++i) keys[i] = ivf::SampleKey(seed << 32 | i);
        std::vector<std::uint64_t> sorted = keys;
        std::sort(sorted.begin(), sorted.end());
        taken = ivf::Seed(km, keys.data(), sorted[lists - 1] + 1);
    }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    std::size_t rows() const { return km.samples.rows; }
    std::size_t dim() const { return km.samples.cols; }

    // Returns how many samples changed their list.
    std::size_t Assign(std::size_t begin, std::size_t end) {
        std::vector<const float*> pointers;
        for (std::size_t i = begin; i < end; ++i) pointers.push_back(km.samples.row(i));
        const std::vector<std::uint32_t> lists = NearestOf(pointers, km.centroids, km.lists, dim());
        std::size_t changed = 0;
        for (std::size_t i = begin; i < end; ++i) changed += ivf::Take(km, i, lists[i - begin]);
        return changed;
    }
    std::size_t AssignAll() {
        ivf::ClearSums(km);
        return Assign(0, rows());
    }
    double Distance(std::size_t row, std::size_t list) const {
        return reference::L2Sqr(km.samples.row(row), km.centroids + list * dim(), dim()).value;
    }
    // Of the assignment as it stands, to the centroids as they stand.
    double Objective() const {
        double sum = 0;
        for (std::size_t i = 0; i < rows(); ++i) sum += Distance(i, assignment[i]);
        return sum;
    }

    std::vector<float> samples, centroids, sums;
    std::vector<std::uint32_t> counts, assignment;
    ivf::KMeans km;
    std::size_t taken;  // first centroids
};

// `clusters` groups around points that are far from each other; row i is of group i % clusters.
std::vector<float> Clusters(std::size_t clusters, std::size_t rows, std::size_t dim,
                            std::uint64_t seed) {
    Random random(seed);
    std::vector<float> centres(clusters * dim), out(rows * dim);
    for (float& x : centres) x = static_cast<float>(100 * random.Gaussian());
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < dim; ++j)
            out[i * dim + j] =
                centres[i % clusters * dim + j] + static_cast<float>(random.Gaussian());
    return out;
}

}  // namespace

TEST(KMeansNearestIsBruteForce) {
    for (std::size_t dim : {1, 3, 64, 768})
        for (std::size_t lists : {1, 2, 17, 300}) {
            Random random(dim * lists);
            const std::vector<float> centroids = random.Gaussians(lists * dim);
            for (int i = 0; i < 50; ++i) {
                Where("dim=%zu lists=%zu", dim, lists);
                const std::vector<float> x = random.Gaussians(dim);
                double least = std::numeric_limits<double>::infinity();
                for (std::size_t c = 0; c < lists; ++c)
                    least =
                        std::min(least, reference::L2Sqr(x.data(), &centroids[c * dim], dim).value);
                float distance = -1;
                const std::size_t best =
                    ivf::Nearest(x.data(), centroids.data(), lists, dim, &distance);
                CHECK(best < lists);
                CHECK_NEAR(distance, least, 1e-5 * least);
                CHECK_NEAR(reference::L2Sqr(x.data(), &centroids[best * dim], dim).value, least,
                           1e-5 * least);
            }
        }
}

// A batch finds what a plain loop finds, whatever the number of rows and of centroids in the last
// tile.
TEST(KMeansNearestOfABatch) {
    for (std::size_t dim : {1, 3, 64, 200})
        for (std::size_t lists : {1, 2, 31, 32, 33, 300})
            for (std::size_t n : {0, 1, 63, 64, 65, 200}) {
                Random random(dim * lists + n);
                const std::vector<float> centroids = random.Gaussians(lists * dim);
                const std::vector<float> data = random.Gaussians(n * dim);
                std::vector<const float*> rows;
                for (std::size_t i = 0; i < n; ++i) rows.push_back(&data[i * dim]);
                std::vector<float> scores;
                const std::vector<std::uint32_t> found =
                    NearestOf(rows, centroids.data(), lists, dim, &scores);
                for (std::size_t i = 0; i < n; ++i) {
                    Where("dim=%zu lists=%zu n=%zu row=%zu", dim, lists, n, i);
                    double least = std::numeric_limits<double>::infinity();
                    for (std::size_t c = 0; c < lists; ++c)
                        least = std::min(least,
                                         reference::L2Sqr(rows[i], &centroids[c * dim], dim).value);
                    CHECK(found[i] < lists);
                    const double norm = reference::InnerProduct(rows[i], rows[i], dim).value;
                    // norm - 2 product is as exact as its largest term.
                    const double rounding = 1e-5 * (least + norm);
                    CHECK_NEAR(reference::L2Sqr(rows[i], &centroids[found[i] * dim], dim).value,
                               least, rounding);
                    CHECK_NEAR(double{scores[i]} + norm, least, rounding);
                }
            }
}

// Several for each row: in order, each once, and nothing left out is nearer.
TEST(KMeansSeveralNearest) {
    constexpr std::size_t kDim = 5, kRows = 70;
    for (std::size_t lists : {1, 3, 40, 200})
        for (std::size_t keep : {1, 2, 8}) {
            Random random(lists + keep);
            const std::vector<float> centroids = random.Gaussians(lists * kDim);
            const std::vector<float> data = random.Gaussians(kRows * kDim);
            std::vector<const float*> rows;
            for (std::size_t i = 0; i < kRows; ++i) rows.push_back(&data[i * kDim]);
            std::vector<float> scores;
            const std::vector<std::uint32_t> found =
                NearestOf(rows, centroids.data(), lists, kDim, &scores, keep);
            for (std::size_t i = 0; i < kRows; ++i) {
                Where("lists=%zu keep=%zu row=%zu", lists, keep, i);
                std::vector<double> distances;
                for (std::size_t c = 0; c < lists; ++c)
                    distances.push_back(
                        reference::L2Sqr(rows[i], &centroids[c * kDim], kDim).value);
                std::vector<double> sorted = distances;
                std::sort(sorted.begin(), sorted.end());
                const std::size_t some = std::min(keep, lists);
                std::set<std::uint32_t> distinct;
                for (std::size_t k = 0; k < some; ++k) {
                    const std::uint32_t list = found[i * keep + k];
                    CHECK(list < lists);
                    CHECK_NEAR(distances[list], sorted[k], 1e-4);
                    distinct.insert(list);
                    if (k > 0) CHECK(scores[i * keep + k] >= scores[i * keep + k - 1]);
                }
                CHECK_EQ(distinct.size(), some);
                for (std::size_t k = some; k < keep; ++k)
                    CHECK_EQ(scores[i * keep + k], std::numeric_limits<float>::infinity());
            }
        }
}

// The lowest index of equals; what is not a number or infinitely far is never the nearest.
TEST(KMeansNearestOfABatchTiesAndNan) {
    constexpr std::size_t kLists = 70, kDim = 3;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> centroids(kLists * kDim, 1);
    const std::vector<float> data = {1, 1, 1, 5, 5, 5, nan, 0, 0, 3e38f, 3e38f, 3e38f};
    const std::vector<const float*> rows = {&data[0], &data[3], &data[6], &data[9]};
    CHECK(NearestOf(rows, centroids.data(), kLists, kDim) ==
          (std::vector<std::uint32_t>{0, 0, 0, 0}));
    for (std::size_t c : {0, 1, 2, 3, 4, 33, 64}) centroids[c * kDim] = nan;
    for (std::size_t c : {40, 69})
        for (std::size_t j = 0; j < kDim; ++j) centroids[c * kDim + j] = 5;
    CHECK(NearestOf({&data[0], &data[3], &data[6]}, centroids.data(), kLists, kDim) ==
          (std::vector<std::uint32_t>{5, 40, 0}));
}

// Processes that have a part of the samples each come to what one comes to.
TEST(KMeansPartsTogether) {
    constexpr std::size_t kRows = 600, kDim = 16, kLists = 20;
    const std::vector<float> data = Clusters(15, kRows, kDim, 2);
    Run whole(data, kDim, kLists, 1);
    Run a(std::vector<float>(data.begin(), data.begin() + 250 * kDim), kDim, kLists, 1);
    Run b(std::vector<float>(data.begin() + 250 * kDim, data.end()), kDim, kLists, 2);
    a.centroids = whole.centroids;
    b.km.centroids = a.centroids.data();
    for (int pass = 0; pass < 6; ++pass) {
        Where("pass=%d", pass);
        const std::size_t changed = whole.AssignAll();
        CHECK_EQ(a.AssignAll() + b.AssignAll(), changed);
        for (std::size_t i = 0; i < kLists * kDim; ++i) a.sums[i] += b.sums[i];
        for (std::size_t c = 0; c < kLists; ++c) a.counts[c] += b.counts[c];
        CHECK(a.counts == whole.counts);
        ivf::Update(whole.km);
        ivf::Update(a.km);
        for (std::size_t i = 0; i < kLists * kDim; ++i)
            CHECK_NEAR(a.centroids[i], whole.centroids[i], 1e-3);
    }
}

// The first centroids are distinct rows, every row with the same chance.
TEST(KMeansSeedIsARandomSubset) {
    constexpr std::size_t kRows = 12, kLists = 4, kSeeds = 6000;
    std::vector<float> data(kRows);
    for (std::size_t i = 0; i < kRows; ++i) data[i] = static_cast<float>(i);
    std::vector<double> taken(kRows);
    std::set<std::vector<float>> subsets;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const Run run(data, 1, kLists, seed);
        CHECK_EQ(run.taken, kLists);
        const std::set<float> distinct(run.centroids.begin(), run.centroids.end());
        CHECK_EQ(distinct.size(), kLists);
        for (float x : run.centroids) {
            CHECK(x >= 0 && x < kRows);
            taken[static_cast<std::size_t>(x)] += 1;
        }
        subsets.insert(run.centroids);
    }
    const double p = double{kLists} / kRows;
    for (std::size_t i = 0; i < kRows; ++i) {
        Where("row %zu", i);
        CHECK_NEAR(taken[i] / kSeeds, p, 4.5 * std::sqrt(p * (1 - p) / kSeeds));
    }
    CHECK_EQ(subsets.size(), 495);  // all of 12 over 4
}

// Seed takes those below the limit, and no more than there is room for.
TEST(KMeansSeedByKeys) {
    const std::vector<float> data = {10, 20, 30, 40, 50};
    const std::vector<std::uint64_t> keys = {7, 1, 9, 3, 7};
    std::vector<float> centroids(4, -1);
    ivf::KMeans km = {};
    km.samples = {data.data(), data.size(), 1};
    km.centroids = centroids.data();
    km.lists = 4;
    CHECK_EQ(ivf::Seed(km, keys.data(), 7), 2);
    CHECK(centroids == (std::vector<float>{20, 40, -1, -1}));
    km.lists = 3;
    CHECK_EQ(ivf::Seed(km, keys.data(), 8), 3);
    CHECK(centroids == (std::vector<float>{10, 20, 40, -1}));
}

TEST(KMeansSameSeedSameResult) {
    const std::vector<float> data = Clusters(20, 500, 16, 1);
    std::vector<std::vector<float>> results;
    for (std::uint64_t seed : {5, 5, 6}) {
        Run run(data, 16, 20, seed);
        for (int pass = 0; pass < 5; ++pass) {
            run.AssignAll();
            ivf::Update(run.km);
        }
        results.push_back(run.centroids);
    }
    CHECK(results[0] == results[1]);
    CHECK(results[0] != results[2]);
}

// One pass by its definition, in pieces and as a whole.
TEST(KMeansStepsAreTheDefinition) {
    constexpr std::size_t kRows = 700, kDim = 24, kLists = 13;
    Random random(3);
    const std::vector<float> data = random.Gaussians(kRows * kDim);
    Run run(data, kDim, kLists, 9), pieces(data, kDim, kLists, 9);
    CHECK_EQ(run.AssignAll(), kRows);  // all from nowhere to somewhere
    ivf::ClearSums(pieces.km);
    std::size_t changed = 0;
    for (std::size_t begin = 0; begin < kRows;) {
        const std::size_t end = std::min(kRows, begin + random.Below(97));
        changed += pieces.Assign(begin, end);
        begin = end;
    }
    CHECK_EQ(changed, kRows);
    CHECK(pieces.assignment == run.assignment);
    CHECK(pieces.counts == run.counts);
    CHECK(pieces.sums == run.sums);

    std::vector<double> sums(kLists * kDim), counts(kLists);
    for (std::size_t i = 0; i < kRows; ++i) {
        double least = std::numeric_limits<double>::infinity();
        for (std::size_t c = 0; c < kLists; ++c) least = std::min(least, run.Distance(i, c));
        CHECK_NEAR(run.Distance(i, run.assignment[i]), least, 1e-5 * least);
        counts[run.assignment[i]] += 1;
        for (std::size_t j = 0; j < kDim; ++j)
            sums[run.assignment[i] * kDim + j] += double{data[i * kDim + j]};
    }
    ivf::Update(run.km);
    for (std::size_t c = 0; c < kLists; ++c) {
        CHECK_EQ(run.counts[c], counts[c]);
        CHECK(counts[c] > 0);
        for (std::size_t j = 0; j < kDim; ++j)
            CHECK_NEAR(run.centroids[c * kDim + j], sums[c * kDim + j] / counts[c], 1e-5);
    }
    // Nothing has changed for those that stay; the count is of the others.
    const std::vector<std::uint32_t> before = run.assignment;
    changed = run.AssignAll();
    std::size_t differ = 0;
    for (std::size_t i = 0; i < kRows; ++i) differ += before[i] != run.assignment[i];
    CHECK_EQ(changed, differ);
    CHECK(changed > 0 && changed < kRows);
}

// Neither step can raise the sum of squared distances, and it ends where nothing changes.
TEST(KMeansObjectiveFalls) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        Random random(seed + 50);
        Run run(random.Gaussians(800 * 8), 8, 25, seed);
        double last = std::numeric_limits<double>::infinity(), first = 0;
        bool ended = false;
        for (int pass = 0; pass < 200 && !ended; ++pass) {
            Where("seed=%d pass=%d", static_cast<int>(seed), pass);
            ended = run.AssignAll() == 0;
            const double assigned = run.Objective();
            CHECK(*std::min_element(run.counts.begin(), run.counts.end()) > 0);
            CHECK(assigned <= last * (1 + 1e-6));
            if (pass == 0) first = assigned;
            ivf::Update(run.km);
            last = run.Objective();
            CHECK(last <= assigned * (1 + 1e-6));
        }
        Where("seed=%d", static_cast<int>(seed));
        CHECK(ended);
        CHECK(last < 0.9 * first);
    }
}

TEST(KMeansFindsSeparatedClusters) {
    constexpr std::size_t kClusters = 8, kRows = 800, kDim = 12;
    const std::vector<float> data = Clusters(kClusters, kRows, kDim, 4);
    std::size_t complete = 0;
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        Run run(data, kDim, kClusters, seed);
        run.AssignAll();
        // Lloyd's steps keep what the start has: here only starts with a row of every cluster.
        std::set<std::uint32_t> lists(run.assignment.begin(), run.assignment.begin() + kClusters);
        if (lists.size() < kClusters) continue;
        ++complete;
        for (int pass = 0; pass < 3; ++pass) {
            ivf::Update(run.km);
            run.AssignAll();
        }
        for (std::size_t cluster = 0; cluster < kClusters; ++cluster) {
            Where("seed=%d cluster=%zu", static_cast<int>(seed), cluster);
            const std::uint32_t list = run.assignment[cluster];
            CHECK_EQ(run.counts[list], kRows / kClusters);
            for (std::size_t j = 0; j < kDim; ++j) {
                double mean = 0;
                for (std::size_t i = cluster; i < kRows; i += kClusters)
                    mean += double{data[i * kDim + j]} * kClusters / kRows;
                CHECK_NEAR(run.centroids[list * kDim + j], mean, 1e-3);
            }
        }
    }
    // 8! / 8^8 of all starts.
    CHECK(complete >= 1);
    // With some lists to spare, no list is of two clusters.
    Run run(data, kDim, 64, 1);
    for (int pass = 0; pass < 10; ++pass) {
        run.AssignAll();
        ivf::Update(run.km);
    }
    run.AssignAll();
    std::vector<std::set<std::size_t>> of(64);
    for (std::size_t i = 0; i < kRows; ++i) of[run.assignment[i]].insert(i % kClusters);
    for (const std::set<std::size_t>& clusters : of) CHECK(clusters.size() <= 1);
}

// A centroid that attracts nothing goes where the most samples are, and takes some of them.
TEST(KMeansSplitsForEmptyCentroids) {
    constexpr std::size_t kDim = 6;
    Random random(8);
    // 300 samples around 20, 30 around -20, one centroid far from all.
    std::vector<float> data;
    for (int i = 0; i < 330; ++i)
        for (std::size_t j = 0; j < kDim; ++j)
            data.push_back(static_cast<float>((i < 300 ? 20 : -20) + random.Gaussian()));
    Run run(data, kDim, 3, 1);
    for (std::size_t j = 0; j < kDim; ++j) {
        run.centroids[j] = -20;
        run.centroids[kDim + j] = 1e6f;
        run.centroids[2 * kDim + j] = 20;
    }
    run.AssignAll();
    CHECK_EQ(run.counts[0], 30);
    CHECK_EQ(run.counts[1], 0);
    CHECK_EQ(run.counts[2], 300);
    const double before = run.Objective();
    ivf::Update(run.km);
    double apart = 0;
    for (std::size_t j = 0; j < kDim; ++j) {
        CHECK_NEAR(run.centroids[j], -20, 1);
        CHECK_NEAR(run.centroids[kDim + j], 20, 1);
        CHECK_NEAR(run.centroids[2 * kDim + j], 20, 1);
        const double a = double{run.centroids[kDim + j]}, b = double{run.centroids[2 * kDim + j]};
        apart += std::fabs(a - b);
        // One to either side of the mean of those that are split.
        double mean = 0;
        for (std::size_t i = 0; i < 300; ++i) mean += double{data[i * kDim + j]} / 300;
        CHECK_NEAR((a + b) / 2, mean, 1e-4);
    }
    CHECK(apart > 0);
    run.AssignAll();
    CHECK_EQ(run.counts[0], 30);
    CHECK(run.counts[1] > 50 && run.counts[2] > 50);
    ivf::Update(run.km);
    run.AssignAll();
    CHECK(run.Objective() < before);
    // Many at once: each takes its part.
    Run many(data, kDim, 40, 1);
    for (std::size_t c = 1; c < 40; ++c)
        for (std::size_t j = 0; j < kDim; ++j) many.centroids[c * kDim + j] = 1e6f;
    for (int pass = 0; pass < 30; ++pass) {
        many.AssignAll();
        ivf::Update(many.km);
    }
    many.AssignAll();
    std::size_t used = 0;
    for (std::uint32_t count : many.counts) used += count > 0;
    Where("%zu of 40 lists have samples", used);
    CHECK(used >= 36);
}

TEST(KMeansOneListIsTheMean) {
    Random random(2);
    const std::vector<float> data = random.Gaussians(1000 * 5);
    Run run(data, 5, 1, 0);
    run.AssignAll();
    ivf::Update(run.km);
    CHECK_EQ(run.counts[0], 1000);
    for (std::size_t j = 0; j < 5; ++j) {
        double mean = 0;
        for (std::size_t i = 0; i < 1000; ++i) mean += double{data[i * 5 + j]} / 1000;
        CHECK_NEAR(run.centroids[j], mean, 1e-5);
    }
    CHECK_EQ(run.AssignAll(), 0);
}

// As many lists as samples: each sample is its own centroid.
TEST(KMeansAListForEverySample) {
    for (std::size_t n : {1, 2, 50}) {
        Where("n=%zu", n);
        Random random(n);
        Run run(random.Gaussians(n * 7), 7, n, 3);
        for (int pass = 0; pass < 3; ++pass) {
            run.AssignAll();
            CHECK_EQ(run.Objective(), 0);
            CHECK_EQ(*std::max_element(run.counts.begin(), run.counts.end()), 1);
            ivf::Update(run.km);
        }
    }
}

TEST(KMeansIdenticalSamples) {
    for (float value : {0.0f, 3.0f, -1e-20f}) {
        Run run(std::vector<float>(200 * 4, value), 4, 10, 1);
        for (int pass = 0; pass < 10; ++pass) {
            Where("value=%g pass=%d", double{value}, pass);
            run.AssignAll();
            std::size_t total = 0;
            for (std::uint32_t count : run.counts) total += count;
            CHECK_EQ(total, 200);
            ivf::Update(run.km);
            total = 0;
            for (std::uint32_t count : run.counts) total += count;
            CHECK_EQ(total, 200);
            for (float x : run.centroids) CHECK_NEAR(x, value, 0.01 * std::fabs(double{value}));
        }
    }
}
