// Makes the codes of centroids: for the build, which stores them, and for quantvec_check, which
// compares them.
#pragma once

#include "pg/am/storage/model.h"

namespace quantvec::pg {

// A table without codes, in the current context.
ivf::CentroidTable AllocateTable(std::size_t lists, std::size_t padded_dim);

struct CentroidCoder {
    const float* mean;  // inner product: the stored mean, turned [padded_dim]; else nullptr
    FloatSpan sum, zeros, workspace;
    ByteSpan code;
};
// The model needs metric, dim, mean and what ToCodeSpace needs.
CentroidCoder BeginCoding(const Model& model, std::size_t padded_dim);
// spread: of the list's rows (ivf::ListEntry).
void CodeCentroid(CentroidCoder& coder, ivf::CentroidTable& table, std::size_t i,
                  ConstFloatSpan centroid, float spread);

}  // namespace quantvec::pg
