#include "core/ivf/kmeans.h"

#include <cstring>

#include "core/kernels/kernels.h"

namespace quantvec::ivf {

namespace {

// Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
std::uint64_t SplitMix64(std::uint64_t& state) {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

constexpr std::uint32_t kUnassigned = 0xffffffffu;

}  // namespace

std::size_t KMeansBytes(std::size_t samples, std::size_t lists, std::size_t dim) {
    return lists * dim * 2 * sizeof(float) + (lists + samples) * sizeof(std::uint32_t);
}

void Seed(KMeans& km) {
    const std::size_t n = km.samples.rows, dim = km.samples.cols;
    // Vitter's selection sampling: every set of k rows is equally likely, in one pass.
    std::uint64_t state = km.seed;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < n && taken < km.lists; i++) {
        if (SplitMix64(state) % (n - i) < km.lists - taken) {
            std::memcpy(km.centroids + taken * dim, km.samples.row(i), dim * sizeof(float));
            taken++;
        }
    }
    for (std::size_t i = 0; i < n; i++) km.assignment[i] = kUnassigned;
}

void ClearSums(KMeans& km) {
    std::memset(km.sums, 0, km.lists * km.samples.cols * sizeof(float));
    std::memset(km.counts, 0, km.lists * sizeof(std::uint32_t));
}

std::size_t Assign(KMeans& km, std::size_t begin, std::size_t end) {
    const std::size_t dim = km.samples.cols;
    std::size_t changed = 0;
    for (std::size_t i = begin; i < end; i++) {
        const float* x = km.samples.row(i);
        float distance;
        const auto list =
            static_cast<std::uint32_t>(Nearest(x, km.centroids, km.lists, dim, &distance));
        changed += km.assignment[i] != list;
        km.assignment[i] = list;
        km.counts[list]++;
        float* sum = km.sums + list * dim;
        for (std::size_t j = 0; j < dim; j++) sum[j] += x[j];
    }
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
    for (std::size_t c = 0; c < km.lists; c++) {
        if (km.counts[c] != 0) continue;
        std::size_t largest = 0;
        for (std::size_t o = 1; o < km.lists; o++)
            if (km.counts[o] > km.counts[largest]) largest = o;
        if (km.counts[largest] < 2) return;
        // Two centroids a hair to either side of the old one.
        constexpr float kHair = 1.0f / 1024;
        float* a = km.centroids + c * dim;
        float* b = km.centroids + largest * dim;
        for (std::size_t j = 0; j < dim; j++) {
            const float sign = j % 2 == 0 ? kHair : -kHair;
            a[j] = b[j] * (1 + sign);
            b[j] = b[j] * (1 - sign);
        }
        km.counts[c] = km.counts[largest] / 2;
        km.counts[largest] -= km.counts[c];
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
