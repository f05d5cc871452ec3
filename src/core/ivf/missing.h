// This file owns the answer to: how many rows nearer than a key are expected in lists that were not
// opened? A scan asks before a row leaves (leave.h).
//
// Seen from a query, the keys of a list's rows lie around a mean m, in steps of a scale s (r: a
// row's residual, c: the list's centroid, s_r: root mean square of the residuals):
//
//   metric           m                     s
//   L2, cosine       ||q-c||^2 + s_r^2     2 s_r sqrt(||q-c||^2 + s_r^2 / 2)
//   inner product    -2 <q, c>             2 ||q|| s_r
//
// s is the standard deviation if residuals had one effective dimension. Their real number of
// dimensions, and the weight of the tail, depend on the data, on the query and on the depth of the
// scan. So the share of a list's rows that is nearer than d is learned from the opened lists, where
// the rows nearer than d are known:
//
//   share(u) = 1 / (1 + exp(slope u - level)),   u = (m - d) / s
//
// This is a logistic regression of each opened list's hits on u: maximum likelihood, with a weak
// prior on the slope that counts where all hits are in one list. One query, two parameters, a few
// dozen numbers: the model knows no data set. Missing rows, expected / real (numpy; default lists
// and probes, 100 queries, exact keys):
//
//   rows nearer than the             10th           100th          1,000th        10,000th
//   wordnet-384, sentences           1.8 / .4       24 / 8         494 / 203      12,967 / 10,183
//   packages-384, foreign queries    5.3 / 2.5      49 / 31        870 / 618      24,865 / 24,715
//   fashion-mnist                    .02 / 0        .2 / 0         11 / 1         4,353 / 3,528
//
// Within a set, the third of the queries that is expected to miss more does miss more, at every
// depth. For few hits the model expects too much, as a mean over steep curves does. So figures are
// used relative to each other. A normal distribution with the dimension of the residuals, in place
// of the learned tail, was wrong by powers of ten.
#pragma once

#include "core/view.h"

namespace quantvec::ivf {

class MissingRows {
  public:
    static std::size_t Bytes(std::size_t lists);
    // memory [Bytes(lists)], aligned for floats; stays in use. All lists are unopened, their
    // figures unknown.
    void Begin(std::size_t lists, ByteSpan memory);

    // Sets the figures of an unopened list: mean and scale of its keys, and its rows. Figures that
    // are not finite are allowed: all rows of such a list are expected to be missing.
    void Set(std::size_t list, float mean, float scale, float rows);
    // The list was opened and held `rows` rows. Opened lists are numbered in the order of these
    // calls. REQUIRES: the list was set, and was not opened before.
    void Opened(std::size_t list, float rows);
    std::size_t lists() const { return lists_; }
    std::size_t opened() const { return opened_; }
    // Rows of the i-th opened list that are not farther than the key of the next Fit.
    void SetHits(std::size_t i, float hits) { hits_[i] = hits; }
    void AddHit(std::size_t i) { hits_[i]++; }

    // Learns the curve. REQUIRES: one list is opened, SetHits was called for each.
    void Fit(float key);
    // Rows nearer than the key in the unopened lists, by the last fit.
    double Missing(float key) const;
    // A key from `from` on at which no more than `allowance` rows are missing. At least nine tenths
    // of that are missing there, if a few dozen steps find such a key. -infinity: more are missing
    // at `from`. Infinity: no key is too large.
    float LargestKey(float from, double allowance) const;

    // Rows in unopened lists: the rows that were set for them, corrected by how many rows opened
    // lists held for each row that was set.
    double RowsLeft() const;
    double RowsHeld() const { return rows_held_; }

  private:
    // Rows that opened lists held for each row that was set.
    double Growth() const;

    std::size_t lists_ = 0;
    std::size_t opened_ = 0;
    // [lists] each. The opened lists come first, in their order; then the others.
    float* mean_ = nullptr;
    float* per_scale_ = nullptr;  // 1 / scale
    float* rows_ = nullptr;
    float* hits_ = nullptr;           // of opened lists
    float* u_ = nullptr;              // of opened lists, at the key of the last fit, less center_
    std::uint32_t* place_ = nullptr;  // of a list in these arrays
    std::uint32_t* list_ = nullptr;   // at a place
    double rows_left_ = 0;            // set for unopened lists
    double rows_set_ = 0;             // set for opened lists
    double rows_held_ = 0;            // held by opened lists
    float level_ = 0, slope_ = 0;     // of the curve, at center_ where the hits are
    float center_ = 0;
};

}  // namespace quantvec::ivf
