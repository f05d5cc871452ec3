// sq8: 8 bits a dimension, uniform over each vector's own range.
//
// Because the range is the vector's own, the code needs no training, and no later row can lie
// outside the range. The rotation before it makes the range tight whatever the data. (The range of
// each vector is from LVQ, Aguerrebere et al., VLDB 2023, section 3; here it is that of the
// residual.)
//
//   formula                                             here
//   step = (max - min) / 255, rounded up to bfloat16    scale = -2 step (exact in bfloat16)
//   u_j  = round((r_j - min) / step)                    code byte
//   r^_j = min + step u_j                               offset = -2 min
//   ||r||^2 + 2 <c, r^>                                 add
//   ||r - r^||                                          error
//
//   block codes  row-major (row_major.h), padded_dim bytes a row
#pragma once

#include "core/quant/row_major.h"

namespace quantvec::quant {

class Sq8 final : public RowMajor<Sq8> {
  public:
    static std::size_t RowBytes(const Spec& spec) { return spec.padded_dim; }
    void Encode(const Spec&, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const override;
    void ScanPiece(const Spec&, const PreparedQuery&, std::size_t begin, ConstByteSpan piece,
                   std::uint32_t live, std::ptrdiff_t ahead, float sums[32]) const override;
};

}  // namespace quantvec::quant
