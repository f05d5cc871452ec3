// Which lists of an index are nearest to a vector: the codes of their centroids tell, and the
// centroids of those that may come next (core/ivf/centroids.h).
#pragma once

#include "pg/am/storage/model.h"

namespace quantvec::pg {

// Standard errors that the codes of centroids keep. A scan opens a list a little late if one fails;
// an insert wants the nearest of all, which six miss in one row of 1e9.
inline constexpr float kScanListEpsilon = 2.5f;
inline constexpr float kInsertListEpsilon = 6;

struct NearLists {
    Relation index;
    Model* model;
    ConstFloatSpan x;
    FloatSpan scratch;  // for centroids that are not kept
    ivf::CentroidQuery query;
    ivf::ListOrder order;
};

// How lists are ordered. kNearest: by ||x - centroid||^2, as for a row that wants a list.
// kPromising: by that less the list's bias.
enum class ListsBy { kNearest, kPromising };

// x [padded_dim] is transformed and stays the caller's. Memory comes from the current context, and
// the caller empties that. `expected`: the number of lists that will probably be taken.
void BeginNear(NearLists& near, Relation index, Model& model, ConstFloatSpan x, float epsilon,
               ListsBy by, std::size_t expected);

// A list and ||x - centroid||^2.
struct NearList {
    std::uint32_t list;
    float l2sqr;
};
// The nearest of those that are left; false: the index has another model by now.
// REQUIRES: near.order.left() > 0.
bool TakeNearest(NearLists& near, NearList& nearest);

}  // namespace quantvec::pg
