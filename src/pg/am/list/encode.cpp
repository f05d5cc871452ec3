// The residual of a row to its centroid becomes codes and factors.
#include "pg/am/list/encode.h"

#include "core/kernels/kernels.h"

namespace quantvec::pg {

float NormTerm(const OpclassInfo& opclass, ConstFloatSpan raw) {
    return opclass.metric == Metric::kInnerProduct
               ? kernels::Active().ordered_dot(raw.data(), raw.data(), raw.size())
               : 0.0f;
}

void EncodeIntoList(const ivf::BlockLayout& layout, float norm_sqr, ConstFloatSpan centroid,
                    FloatSpan vector, FloatSpan workspace, quant::EncodedRow& row) {
    for (std::size_t i = 0; i < vector.size(); i++) vector[i] -= centroid[i];
    layout.quantizer->Encode(layout.spec, vector, centroid, norm_sqr, workspace, row);
}

}  // namespace quantvec::pg
