// The steps of k-means, and the search for the nearest centroids of many rows (kmeans.h).
#include "core/ivf/kmeans.h"

#include <cstring>

#include "core/empty_clusters.h"
#include "core/kernels/kernels.h"
#include "core/random.h"

namespace quantvec::ivf {

std::uint64_t SampleKey(std::uint64_t row) {
    return NextRandom(row);
}

std::size_t Seed(KMeans& km, const std::uint64_t* keys, std::uint64_t limit) {
    const std::size_t n = km.samples.rows, dim = km.samples.cols;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < n && taken < km.lists; i++)
        if (keys[i] < limit)
            std::memcpy(km.centroids + taken++ * dim, km.samples.row(i), dim * sizeof(float));
    return taken;
}

void ClearSums(KMeans& km) {
    std::memset(km.sums, 0, km.lists * km.samples.cols * sizeof(float));
    std::memset(km.counts, 0, km.lists * sizeof(std::uint32_t));
}

bool Take(KMeans& km, std::size_t i, std::uint32_t list) {
    const std::size_t dim = km.samples.cols;
    const bool changed = km.assignment[i] != list;
    km.assignment[i] = list;
    km.counts[list]++;
    const float* x = km.samples.row(i);
    float* sum = km.sums + list * dim;
    for (std::size_t j = 0; j < dim; j++) sum[j] += x[j];
    return changed;
}

void Update(KMeans& km) {
    const std::size_t dim = km.samples.cols;
    for (std::size_t c = 0; c < km.lists; c++) {
        if (km.counts[c] == 0) continue;
        const float inverse = 1.0f / static_cast<float>(km.counts[c]);
        for (std::size_t j = 0; j < dim; j++)
            km.centroids[c * dim + j] = km.sums[c * dim + j] * inverse;
    }
    SplitLargestForEmpty(
        km.counts, km.lists, dim, 1.0f / 1024,
        [&](std::size_t c, std::size_t j) -> float& { return km.centroids[c * dim + j]; });
}

void MakeTile(const float* centroids, std::size_t lists, std::size_t dim, std::size_t first,
              float* tile) {
    const kernels::Kernels& k = kernels::Active();
    const std::size_t columns = lists - first < kTileLists ? lists - first : kTileLists;
    const float* from = centroids + first * dim;
    for (std::size_t j = 0; j < dim; j++)
        for (std::size_t c = 0; c < kTileLists; c++)
            tile[j * kTileLists + c] = c < columns ? from[c * dim + j] : 0.0f;
    // A column without a centroid is infinitely far.
    for (std::size_t c = 0; c < kTileLists; c++)
        tile[dim * kTileLists + c] =
            c < columns ? k.inner_product(from + c * dim, from + c * dim, dim) : __builtin_inff();
}

void BeginNearest(NearestBatch& batch) {
    for (std::size_t i = 0; i < batch.size * batch.keep; i++) {
        batch.list[i] = 0;
        batch.score[i] = __builtin_inff();
    }
}

void MeetTile(NearestBatch& batch, const float* tile, std::size_t first) {
    const kernels::Kernels& k = kernels::Active();
    const std::size_t keep = batch.keep;
    constexpr std::size_t kStep = 64;
    float scores[kStep * kTileLists];
    for (std::size_t begin = 0; begin < batch.size; begin += kStep) {
        const std::size_t n = batch.size - begin < kStep ? batch.size - begin : kStep;
        k.tile_scores(batch.rows + begin, n, tile, tile + batch.dim * kTileLists, batch.dim,
                      scores);
        for (std::size_t i = 0; i < n; i++) {
            const float* score = scores + i * kTileLists;
            float* best = batch.score + (begin + i) * keep;
            std::uint32_t* list = batch.list + (begin + i) * keep;
            // Most rows meet nothing nearer in most tiles, so places are looked for afterwards.
            float least[4] = {score[0], score[1], score[2], score[3]};
            for (std::size_t c = 4; c < kTileLists; c += 4)
                for (std::size_t l = 0; l < 4; l++)
                    least[l] = score[c + l] < least[l] ? score[c + l] : least[l];
            // A score that is not a number may hide others in its lane: then all are looked at.
            bool nearer = false;
            for (float x : least) nearer |= !(x >= best[keep - 1]);
            if (!nearer) continue;
            for (std::size_t c = 0; c < kTileLists; c++) {
                if (!(score[c] < best[keep - 1])) continue;
                std::size_t at = keep - 1;
                for (; at > 0 && score[c] < best[at - 1]; at--) {
                    best[at] = best[at - 1];
                    list[at] = list[at - 1];
                }
                best[at] = score[c];
                list[at] = static_cast<std::uint32_t>(first + c);
            }
        }
    }
}

std::size_t Nearest(const float* x, const float* centroids, std::size_t lists, std::size_t dim,
                    float* l2sqr) {
    const kernels::Kernels& k = kernels::Active();
    std::size_t best = 0;
    float least = __builtin_inff();
    for (std::size_t c = 0; c < lists; c++) {
        const float d = k.l2sqr(x, centroids + c * dim, dim);
        if (d < least) {
            least = d;
            best = c;
        }
    }
    *l2sqr = least;
    return best;
}

}  // namespace quantvec::ivf
