// A row becomes codes for a list: for INSERT, the build, and quantvec_check, which compares.
#pragma once

#include "core/ivf/block.h"
#include "pg/am/opclass.h"

namespace quantvec::pg {

// ||raw||^2 for inner product, as EncodeIntoList wants it; 0 for other metrics. `raw` is the value
// as it was given.
float NormTerm(const OpclassInfo& opclass, ConstFloatSpan raw);
// Encodes a row for the list with this centroid. `vector` [padded_dim] is the transformed row and
// is left as the residual.
void EncodeIntoList(const ivf::BlockLayout& layout, float norm_sqr, ConstFloatSpan centroid,
                    FloatSpan vector, FloatSpan workspace, quant::EncodedRow& row);

}  // namespace quantvec::pg
