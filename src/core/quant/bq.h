// bq: RaBitQ. One sign bit a dimension for the scan, bits - 1 magnitude bits to refine it.
//
// Gao & Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for
// Approximate Nearest Neighbor Search", SIGMOD 2024, section 3; several bits: Gao et al.,
// "Practical and Asymptotically Optimal Quantization...", SIGMOD 2025, section 3.
//
//   paper               formula                                     here
//   x_u                 u_j = floor(r_j / step) + 2^(bits-1)        code integers, 0 .. 2^bits - 1
//   x~ = x_u + c_B      u - (2^bits - 1) / 2                        grid
//   ||r||^2 / <r, x~>   alpha: makes <alpha x~, r> = ||r||^2        scale = -2 alpha
//   F_add (L2)          ||r||^2 + 2 alpha <x~, c>                   add
//   F_error             || r - alpha x~ ||                          error (UnbiasedFactors)
//
// The sign bit is the most significant bit of the code, so the refined <x~, q> is the scan's sum
// times 2^(bits-1) plus the dot of the other bits, which alone are stored in the refine row:
//
//   refine row   | (bits-1) planes, 8 bytes each, for every 64 dimensions | add | scale | error |
//                  (bits - 1) * padded_dim / 8 bytes                        float x 3
//
//   block codes  nibbles (transposed.h); bit k of nibble g is dimension 4 g + k
#pragma once

#include "core/quant/transposed.h"

namespace quantvec::quant {

class Bq final : public Transposed<Bq> {
  public:
    static std::size_t RowBytes(const Spec& spec) { return spec.padded_dim / 8; }
    static std::size_t Parts(const Spec& spec) { return spec.padded_dim / 4; }
    std::size_t RefineRowBytes(const Spec& spec) const override {
        return spec.bits == 1 ? 0 : PlaneBytes(spec) + 3 * sizeof(float);
    }
    std::size_t QueryBytes(const Spec& spec) const override {
        return TableBytes(spec) + (spec.bits == 1 ? 0 : std::size_t{spec.padded_dim} * 2);
    }
    void Encode(const Spec&, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const override;
    void PrepareQuery(const Spec&, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery&) const override;
    void ScanPiece(const Spec&, const PreparedQuery&, std::size_t begin, ConstByteSpan piece,
                   std::uint32_t live, std::ptrdiff_t ahead, float sums[32]) const override;
    Estimate Refine(const Spec&, const PreparedQuery&, float base, float sum,
                    const std::uint8_t* refine) const override;

  private:
    // The rounding of byte tables is as large as the whole error of a code of 6 bits. So from 6
    // bits on a table entry has 16 bits: all low bytes come first, then all high bytes.
    static bool FineTables(const Spec& spec) { return spec.bits >= 6; }
    static std::size_t TableBytes(const Spec& spec) {
        return std::size_t{spec.padded_dim} * (FineTables(spec) ? 8 : 4);
    }
    static std::size_t PlaneBytes(const Spec& spec) {
        return (spec.bits - 1u) * std::size_t{spec.padded_dim} / 8;
    }
};

}  // namespace quantvec::quant
