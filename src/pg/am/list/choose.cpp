// The order of lists from the codes of their centroids, refined where two are close.
#include "pg/am/list/choose.h"

#include "core/kernels/kernels.h"
#include "pg/am/storage/model_read.h"
#include "pg/memory.h"

namespace quantvec::pg {

void BeginNear(NearLists& near, Relation index, Model& model, ConstFloatSpan x, float epsilon,
               ListsBy by, std::size_t expected) {
    near.index = index;
    near.model = &model;
    near.x = x;
    near.scratch = {};
    if (!model.centroids) near.scratch = NewSpan<float>(x.size());
    // A learned basis is no random rotation: errors point where data do, and only the hard bound
    // holds.
    if (model.basis) epsilon = static_cast<float>(x.size());
    near.query = ivf::PrepareCentroidQuery(
        x, epsilon, NewSpan<std::uint8_t>(ivf::CentroidQueryBytes(x.size())));
    near.order.Begin(model.coarse, near.query, by == ListsBy::kPromising, expected,
                     NewSpan<std::uint8_t>(ivf::ListOrder::Bytes(model.coarse.lists)));
}

bool TakeNearest(NearLists& near, NearList& nearest) {
    while (!near.order.NearestIsExact()) {
        const ConstFloatSpan centroid =
            CentroidOf(near.index, *near.model, near.order.Nearest(), near.scratch);
        if (centroid.empty()) return false;
        near.order.Measured(kernels::Active().l2sqr(near.x.data(), centroid.data(), near.x.size()));
    }
    nearest = {near.order.Nearest(), near.order.NearestL2Sqr()};
    near.order.Next();
    return true;
}

}  // namespace quantvec::pg
