#include "pg/am/lists.h"

#include "core/kernels/kernels.h"
#include "core/quant/rotation.h"

namespace quantvec::pg {

void BeginNear(NearLists& near, Model& model, ConstFloatSpan x, float epsilon, bool biased) {
    const quant::Spec& spec = model.coarse.spec;
    const quant::Quantizer& quantizer = quant::Get(spec.kind);
    near.model = &model;
    near.x = x;
    const std::size_t query_bytes = quantizer.QueryBytes(spec);
    quantizer.PrepareQuery(spec, x, epsilon,
                           {static_cast<std::uint8_t*>(palloc(query_bytes)), query_bytes},
                           near.prepared);
    const std::size_t bytes = ivf::ListOrder::Bytes(model.coarse.lists);
    near.order.Begin(
        model.coarse, near.prepared, kernels::Active().inner_product(x.data(), x.data(), x.size()),
        biased,
        {static_cast<std::uint8_t*>(MemoryContextAllocHuge(CurrentMemoryContext, bytes)), bytes});
}

NearList TakeNearest(NearLists& near) {
    while (!near.order.NearestIsExact()) {
        const float* centroid =
            near.model->centroids + std::size_t{near.order.Nearest()} * near.x.size();
        near.order.Measured(kernels::Active().l2sqr(near.x.data(), centroid, near.x.size()));
    }
    const NearList nearest = {near.order.Nearest(), near.order.NearestL2Sqr()};
    near.order.Next();
    return nearest;
}

CentroidCoder BeginCoding(const Model& model) {
    const std::size_t padded = model.meta.padded_dim;
    const auto floats = [padded] {
        return FloatSpan(static_cast<float*>(palloc0(padded * sizeof(float))), padded);
    };
    CentroidCoder coder = {nullptr,
                           floats(),
                           floats(),
                           floats(),
                           {static_cast<std::uint8_t*>(palloc(padded / 8)), padded / 8}};
    if (model.meta.metric == Metric::kInnerProduct) {
        FloatSpan mean = floats();
        memcpy(mean.data(), model.mean, model.meta.dim * sizeof(float));
        quant::Rotate({model.signs, quant::RotationBytes(padded)}, mean);
        coder.mean = mean.data();
    }
    return coder;
}

void CodeCentroid(CentroidCoder& coder, ivf::CentroidTable& table, std::size_t i,
                  ConstFloatSpan centroid) {
    float bias = 0;
    if (coder.mean) {
        const std::size_t padded = centroid.size();
        for (std::size_t j = 0; j < padded; j++) coder.sum[j] = centroid[j] + coder.mean[j];
        bias = kernels::Active().ordered_dot(coder.sum.data(), coder.sum.data(), padded);
    }
    ivf::PutCentroid(table, i, centroid, bias, coder.zeros, coder.workspace, coder.code);
}

ivf::CentroidTable AllocateTable(std::size_t lists, std::size_t padded_dim) {
    const quant::Spec spec = ivf::CentroidSpec(padded_dim);
    const std::size_t blocks = ivf::CentroidBlocks(lists);
    const auto zeros = [blocks](std::size_t bytes) {
        return static_cast<std::uint8_t*>(MemoryContextAllocExtended(
            CurrentMemoryContext, blocks * bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    };
    return {spec, lists, zeros(ivf::CentroidBlockBytes(spec)),
            zeros(ivf::CentroidRefineBytes(spec))};
}

}  // namespace quantvec::pg
