// Each centroid becomes a row of the coarse table: one bit and four bits a dimension.
#include "pg/am/storage/centroid_codes.h"

#include "core/kernels/kernels.h"
#include "pg/memory.h"

namespace quantvec::pg {

ivf::CentroidTable AllocateTable(std::size_t lists, std::size_t padded_dim) {
    auto* bytes = NewZeroedArray<std::uint8_t>(ivf::CentroidTableBytes(lists, padded_dim));
    return ivf::CentroidTableAt(bytes, lists, padded_dim);
}

CentroidCoder BeginCoding(const Model& model, std::size_t padded_dim) {
    CentroidCoder coder = {};
    coder.sum = NewZeroedSpan<float>(padded_dim);
    coder.zeros = NewZeroedSpan<float>(padded_dim);
    coder.workspace = NewZeroedSpan<float>(padded_dim);
    coder.code = NewSpan<std::uint8_t>(padded_dim / 2);
    if (model.meta.metric == Metric::kInnerProduct) {
        const FloatSpan mean = NewZeroedSpan<float>(padded_dim);
        memcpy(mean.data(), model.mean, model.meta.dim * sizeof(float));
        ToCodeSpace(model, mean);
        coder.mean = mean.data();
    }
    return coder;
}

void CodeCentroid(CentroidCoder& coder, ivf::CentroidTable& table, std::size_t i,
                  ConstFloatSpan centroid, float spread) {
    float bias = -ivf::kSpreadWeight * spread * spread;
    if (coder.mean) {
        for (std::size_t j = 0; j < centroid.size(); j++)
            coder.sum[j] = centroid[j] + coder.mean[j];
        bias = kernels::Active().ordered_dot(coder.sum.data(), coder.sum.data(), centroid.size());
    }
    ivf::PutCentroid(table, i, centroid, bias, coder.zeros, coder.workspace, coder.code);
}

}  // namespace quantvec::pg
