// k-means in steps over the caller's memory: the shell loops, and looks for interrupts in between.
//
//   Seed, then some times { Assign over all samples, piece by piece; Update }
//
// Lloyd's algorithm (IEEE Trans. Inform. Theory 28, 1982) on a sample, from distinct random rows;
// a centroid that attracts nothing takes half of the largest list. Search class: centroids may
// differ in the last bits between instruction sets, which is no harm, since they are stored.
#pragma once

#include "core/view.h"

namespace quantvec::ivf {

struct KMeans {
    MatrixView samples;         // [n, dim]
    std::size_t lists;          // k <= n
    float* centroids;           // [k, dim]
    float* sums;                // [k, dim]
    std::uint32_t* counts;      // [k]
    std::uint32_t* assignment;  // [n]
    std::uint64_t seed;
};

// Bytes of centroids, sums, counts and assignment together.
std::size_t KMeansBytes(std::size_t samples, std::size_t lists, std::size_t dim);

// Distinct random samples become the first centroids; nothing is assigned yet.
void Seed(KMeans& km);

// Assigns samples [begin, end) to their nearest centroids and adds them to the sums.
// Returns how many changed their list. REQUIRES: ClearSums before the first piece of a pass.
std::size_t Assign(KMeans& km, std::size_t begin, std::size_t end);
void ClearSums(KMeans& km);

// Moves every centroid to the mean of its samples; empty ones split the largest lists.
void Update(KMeans& km);

// Index of the nearest of `lists` centroids [lists, dim]; its squared distance in *l2sqr.
std::size_t Nearest(const float* x, const float* centroids, std::size_t lists, std::size_t dim,
                    float* l2sqr);

}  // namespace quantvec::ivf
