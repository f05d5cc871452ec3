// k-means in steps over the caller's memory: the shell loops, and looks for interrupts in between.
//
//   Seed, then some times { find the nearest centroid of all samples and Take them; Update }
//
// Lloyd's algorithm (IEEE Trans. Inform. Theory 28, 1982) on a sample, from distinct random rows;
// a centroid that attracts nothing takes half of the largest list. Search class: centroids may
// differ in the last bits between instruction sets, which is no harm, since they are stored.
//
// Several processes share the work by having samples, sums, counts and assignment each for itself,
// and centroids together: one of them adds the others' sums and counts to its own before Update.
#pragma once

#include "core/kernels/kernels.h"
#include "core/view.h"

namespace quantvec::ivf {

// ---- the nearest centroids of many rows at once ----

// Centroids are met in tiles of 32, in which they lie side by side, so that a tile stays in the
// cache while many rows pass (kernels.h, tile_scores).
inline constexpr std::size_t kTileLists = kernels::kTileColumns;
constexpr std::size_t TileFloats(std::size_t dim) {
    return (dim + 1) * kTileLists;
}
// Makes the tile of the centroids [first, first + kTileLists), or what there is of them, out of
// centroids [lists, dim]. Worth its while for some hundred rows.
void MakeTile(const float* centroids, std::size_t lists, std::size_t dim, std::size_t first,
              float* tile);

// A batch of rows on its way through the tiles.
struct NearestBatch {
    const float* const* rows;  // [size], of dim floats each
    std::size_t size;
    std::size_t dim;
    std::size_t keep;     // how many centroids to find for each row
    std::uint32_t* list;  // [size, keep] the nearest so far, nearest first; 0 where there is none
    float* score;         // [size, keep] squared distances less the row's squared norm
};
// No centroid met yet.
void BeginNearest(NearestBatch& batch);
// One step: the batch meets a tile, whose first centroid has number `first`.
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

// A row's key: the same number always, another for each row, and all in a random order. Rows with the
// smallest keys are a random sample of any rows, whoever takes it and in whatever order he meets them.
std::uint64_t SampleKey(std::uint64_t row);

// Samples with keys [n] below `limit` become the first centroids, as many as there is room for. Returns
// how many.
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
