// This file owns k-means, in steps over the caller's memory. The shell loops, and looks for
// interrupts between the steps.
//
//   Seed, then some times { find the nearest centroid of all samples and Take them; Update }
//
// The algorithm is Lloyd's (IEEE Trans. Inform. Theory 28, 1982), on a sample, from distinct random
// rows. A centroid that attracts nothing takes half of the largest list. Centroids may differ in
// the last bits between instruction sets (search class). That does no harm, since they are stored.
//
// Several processes can share the work. Each has samples, sums, counts and assignment of its own;
// the centroids are shared. Before Update, one process adds the others' sums and counts to its own.
#pragma once

#include "core/kernels/kernels.h"
#include "core/view.h"

namespace quantvec::ivf {

// ---- the nearest centroids of many rows at once ----

// Rows meet centroids in tiles of 32 centroids that lie side by side. A tile stays in the cache
// while many rows pass (kernels.h, tile_scores).
inline constexpr std::size_t kTileLists = kernels::kTileColumns;
constexpr std::size_t TileFloats(std::size_t dim) {
    return (dim + 1) * kTileLists;
}
// Makes the tile of the centroids [first, first + kTileLists), or of those that exist, from
// centroids [lists, dim]. A tile pays from some hundred rows on.
void MakeTile(const float* centroids, std::size_t lists, std::size_t dim, std::size_t first,
              float* tile);

// A batch of rows on its way through the tiles.
struct NearestBatch {
    const float* const* rows;  // [size], of dim floats each
    std::size_t size;
    std::size_t dim;
    std::size_t keep;     // number of centroids to find for each row
    std::uint32_t* list;  // [size, keep] the nearest so far, nearest first; 0 where there is none
    float* score;         // [size, keep] squared distances less the row's squared norm
};
// No centroid met yet.
void BeginNearest(NearestBatch& batch);
// One step: the batch meets a tile. The tile's first centroid has number `first`.
void MeetTile(NearestBatch& batch, const float* tile, std::size_t first);

// Index of the nearest of `lists` centroids [lists, dim] of one row; its squared distance in
// *l2sqr.
std::size_t Nearest(const float* x, const float* centroids, std::size_t lists, std::size_t dim,
                    float* l2sqr);

// ---- k-means ----

struct KMeans {
    MatrixView samples;         // [n, dim]
    std::size_t lists;          // k <= n
    float* centroids;           // [k, dim]
    float* sums;                // [k, dim]
    std::uint32_t* counts;      // [k]
    std::uint32_t* assignment;  // [n]
};

// A row's key is the same number at all times. No two rows have the same key, and keys put rows
// into a random order. So the rows with the smallest keys are a random sample, whoever takes it,
// and in whatever order the rows come.
std::uint64_t SampleKey(std::uint64_t row);

// Samples with keys [n] below `limit` become the first centroids, as many as there is room for.
// Returns their number.
std::size_t Seed(KMeans& km, const std::uint64_t* keys, std::uint64_t limit);

// In `assignment`: nothing yet.
inline constexpr std::uint32_t kUnassigned = 0xffffffffu;

// Adds sample i to the sums of its list. Returns whether it was in another list before.
// REQUIRES: ClearSums before the first sample of a pass.
bool Take(KMeans& km, std::size_t i, std::uint32_t list);
void ClearSums(KMeans& km);

// Moves every centroid to the mean of its samples; empty ones split the largest lists.
void Update(KMeans& km);

}  // namespace quantvec::ivf
