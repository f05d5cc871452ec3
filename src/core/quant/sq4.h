// sq4: 4 bits a dimension, 16 levels, scaled for each vector.
//
//   levels      where they lie, as bytes 0..255 (sq4.cpp)         scale of a vector
//   uniform     evenly                                            range, clipped for least error
//   lloydmax    least mean square error for a normal variable     standard deviation
//               (Lloyd 1982; Max 1960), which rotated residuals are
//   nf4         equal shares of a normal variable, its tails at   largest coordinate
//               +-1 (Dettmers et al., QLoRA, NeurIPS 2023)
//
//   formula                                        here
//   g_j = level[u_j] - zero                        grid, in steps of one level byte
//   alpha: <alpha g, r> = ||r||^2                  scale = -2 alpha
//   r^_j = alpha (level[u_j] - zero)               offset = 2 alpha zero
//
//   block codes  row-major (row_major.h)
//   row          32 bytes for every 64 dimensions: byte k has dimension k in its low nibble and
//                dimension k + 32 in its high nibble
#pragma once

#include "core/quant/row_major.h"

namespace quantvec::quant {

class Sq4 final : public RowMajor<Sq4> {
  public:
    static std::size_t RowBytes(const Spec& spec) { return spec.padded_dim / 2; }
    void Encode(const Spec&, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const override;
    void ScanPiece(const Spec&, const PreparedQuery&, std::size_t begin, ConstByteSpan piece,
                   std::uint32_t live, std::ptrdiff_t ahead, float sums[32]) const override;
};

}  // namespace quantvec::quant
