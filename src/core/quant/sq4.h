// sq4: 4 bits a dimension, 16 levels, scaled for each vector.
//
//   levels      where they lie, as bytes 0..255 (sq4.cpp)           scale of a vector
//   uniform     evenly                                              its range, clipped for least error
//   lloydmax    least mean square error for a normal variable       its standard deviation
//               (Lloyd 1982; Max 1960), which rotated residuals are
//   nf4         equal shares of a normal variable, its tails at     its largest coordinate
//               +-1 (Dettmers et al., QLoRA, NeurIPS 2023)
//
//   formula                                        here
//   g_j = level[u_j] - zero                        grid, in steps of one level byte
//   alpha: <alpha g, r> = ||r||^2                  scale = -2 alpha
//   r^_j = alpha (level[u_j] - zero)               offset = 2 alpha zero
//
//   row, block   row-major; 32 bytes for every 64 dimensions: byte k has dimension k in its low
//                nibble and dimension k + 32 in its high nibble
#pragma once

#include "core/quant/quantizer.h"

namespace quantvec::quant {

class Sq4 final : public Quantizer {
  public:
    bool HasOffset() const override { return true; }
    std::size_t ScanRowBytes(const Spec& spec) const override { return spec.padded_dim / 2; }
    std::size_t BlockCodeBytes(const Spec& spec) const override {
        return kBlockRows * spec.padded_dim / 2;
    }
    std::size_t RefineRowBytes(const Spec&) const override { return 0; }
    std::size_t QueryBytes(const Spec& spec) const override {
        return std::size_t{spec.padded_dim} * 2;
    }
    std::size_t CodeBytesFor(const Spec& spec, std::size_t slots) const override {
        return slots * spec.padded_dim / 2;
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
