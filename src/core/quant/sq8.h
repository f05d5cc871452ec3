// sq8: 8 bits a dimension, uniform over each vector's own range.
//
// Because the range is the vector's own, the code needs no training and no later row can clip; the
// rotation before it makes the range tight whatever the data (LVQ, Aguerrebere et al., VLDB 2023,
// section 3, has the per-vector range; here it is taken of the residual).
//
//   formula                                             here
//   step = (max - min) / 255, rounded up to bfloat16    scale = -2 step (exact in bfloat16)
//   u_j  = round((r_j - min) / step)                    code byte
//   r^_j = min + step u_j                               offset = -2 min
//   ||r||^2 + 2 <c, r^>                                 add
//   ||r - r^||                                          error
//
//   block codes  row-major: slot s at byte s * padded_dim
#pragma once

#include "core/quant/quantizer.h"

namespace quantvec::quant {

class Sq8 final : public Quantizer {
  public:
    bool HasOffset() const override { return true; }
    std::size_t ScanRowBytes(const Spec& spec) const override { return spec.padded_dim; }
    std::size_t BlockCodeBytes(const Spec& spec) const override {
        return kBlockRows * spec.padded_dim;
    }
    std::size_t RefineRowBytes(const Spec&) const override { return 0; }
    std::size_t QueryBytes(const Spec& spec) const override {
        return std::size_t{spec.padded_dim} * 2;
    }
    std::size_t CodeBytesFor(const Spec& spec, std::size_t slots) const override {
        return slots * spec.padded_dim;
    }
    void Encode(const Spec&, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const override;
    void Scatter(const Spec&, ConstByteSpan code, std::size_t slot, std::size_t begin,
                 ByteSpan piece) const override;
    void Gather(const Spec&, ConstByteSpan codes, std::size_t slot, ByteSpan code) const override;
    void PrepareQuery(const Spec&, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery&) const override;
    void ScanPiece(const Spec&, const PreparedQuery&, std::size_t begin, ConstByteSpan piece,
                   std::uint32_t live, std::ptrdiff_t ahead, float sums[32]) const override;
    Estimate Refine(const Spec&, const PreparedQuery&, float base, float sum,
                    const std::uint8_t* refine) const override;
};

}  // namespace quantvec::quant
