#include "pg/am/lists.h"

#include "core/kernels/kernels.h"

namespace quantvec::pg {

void BeginNear(NearLists& near, Relation index, Model& model, ConstFloatSpan x, float epsilon,
               ListsBy by, std::size_t expected) {
    const auto take = [](std::size_t bytes) {
        return ByteSpan(
            static_cast<std::uint8_t*>(MemoryContextAllocHuge(CurrentMemoryContext, bytes)), bytes);
    };
    near.index = index;
    near.model = &model;
    near.x = x;
    near.scratch = {};
    if (!model.centroids) near.scratch = {static_cast<float*>(palloc(x.size_bytes())), x.size()};
    // A learned basis is no random rotation: errors point where data do, and only the hard bound holds.
    if (model.basis) epsilon = static_cast<float>(x.size());
    near.query = ivf::PrepareCentroidQuery(x, epsilon, take(ivf::CentroidQueryBytes(x.size())));
    near.order.Begin(model.coarse, near.query, by == ListsBy::kPromising, expected,
                     take(ivf::ListOrder::Bytes(model.coarse.lists)));
}

NearList TakeNearest(NearLists& near) {
    while (!near.order.NearestIsExact()) {
        const ConstFloatSpan centroid =
            CentroidOf(near.index, *near.model, near.order.Nearest(), near.scratch);
        near.order.Measured(kernels::Active().l2sqr(near.x.data(), centroid.data(), near.x.size()));
    }
    const NearList nearest = {near.order.Nearest(), near.order.NearestL2Sqr()};
    near.order.Next();
    return nearest;
}

CentroidCoder BeginCoding(const Model& model, std::size_t padded) {
    const auto floats = [padded] {
        return FloatSpan(static_cast<float*>(palloc0(padded * sizeof(float))), padded);
    };
    CentroidCoder coder = {nullptr,
                           floats(),
                           floats(),
                           floats(),
                           {static_cast<std::uint8_t*>(palloc(padded / 2)), padded / 2}};
    if (model.meta.metric == Metric::kInnerProduct) {
        FloatSpan mean = floats();
        memcpy(mean.data(), model.mean, model.meta.dim * sizeof(float));
        Turn(model, mean);
        coder.mean = mean.data();
    }
    return coder;
}

void CodeCentroid(CentroidCoder& coder, ivf::CentroidTable& table, std::size_t i,
                  ConstFloatSpan centroid, float spread) {
    float bias = -ivf::kSpreadWeight * spread * spread;
    if (coder.mean) {
        const std::size_t padded = centroid.size();
        for (std::size_t j = 0; j < padded; j++) coder.sum[j] = centroid[j] + coder.mean[j];
        bias = kernels::Active().ordered_dot(coder.sum.data(), coder.sum.data(), padded);
    }
    ivf::PutCentroid(table, i, centroid, bias, coder.zeros, coder.workspace, coder.code);
}

ivf::CentroidTable AllocateTable(std::size_t lists, std::size_t padded_dim) {
    auto* bytes = static_cast<std::uint8_t*>(
        MemoryContextAllocExtended(CurrentMemoryContext, ivf::CentroidTableBytes(lists, padded_dim),
                                   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    return ivf::CentroidTableAt(bytes, lists, padded_dim);
}

}  // namespace quantvec::pg
