// bits and sets: the codes of vectors whose elements are 0 and 1. A code is the vector itself, one
// bit an element, so that the estimate is the key (core/metric.h). `bits` is for Hamming distance.
// `sets` is for Jaccard distance: its lists hold unit vectors, and its rows keep how many elements
// they have (|x|, a factor), since the key is a share of those.
//
//   formula                                         here
//   bits   x = R^-1 (c + r) + mean                  bit j: x_j above a half
//          key = popcount(code ^ query)             add = 0, scale = 1, offset and error: none
//   sets   x = R^-1 (c + r) + mean                  bit j: x_j above 1 / (2 sqrt(dim)); an element
//                                                   of a unit vector is 0 or 1 / sqrt(|x|)
//          key = 2 popcount(code ^ query)           add = 0, scale = 1, offset = |x|, error = 0;
//                / (|x| + |q|), 2 for 0 / 0         the division is rounded: round_error
//
// Lists and their centroids live in the rotated space of all codes (quantizer.h). The code goes
// back from there, and so does the query. An element is 0 or a known distance above it, and the way
// there and back moves it by some millionths: all machines see the same bits.
//
//   block codes  row-major (row_major.h), padded_dim / 8 bytes a row; element j is bit j % 8 of
//                byte j / 8
#pragma once

#include "core/quant/row_major.h"

namespace quantvec::quant {

class Bits : public Quantizer {
  public:
    static std::size_t RowBytes(const Spec& spec) { return spec.padded_dim / 8; }
    bool HasOffset() const override { return false; }
    std::size_t ScanRowBytes(const Spec& spec) const final { return RowBytes(spec); }
    std::size_t BlockCodeBytes(const Spec& spec) const final { return kBlockRows * RowBytes(spec); }
    // The query's bits, and room for the vector that they are made of.
    std::size_t QueryBytes(const Spec& spec) const final {
        return spec.padded_dim * sizeof(float) + RowBytes(spec);
    }
    std::size_t CodeBytesFor(const Spec& spec, std::size_t slots) const final {
        return slots * RowBytes(spec);
    }
    void Encode(const Spec&, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const override;
    void Scatter(const Spec& spec, ConstByteSpan code, std::size_t slot, std::size_t begin,
                 ByteSpan piece) const final {
        ScatterRow(code, slot * RowBytes(spec), begin, piece);
    }
    void Gather(const Spec& spec, ConstByteSpan codes, std::size_t slot,
                ByteSpan code) const final {
        GatherRow(codes, slot * RowBytes(spec), code);
    }
    void PrepareQuery(const Spec&, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery& prepared) const override;
    void ScanPiece(const Spec&, const PreparedQuery&, std::size_t begin, ConstByteSpan piece,
                   std::uint32_t live, std::ptrdiff_t ahead, float sums[32]) const final;
};

class Sets final : public Bits {
  public:
    bool HasOffset() const override { return true; }
    void Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const override;
    void PrepareQuery(const Spec& spec, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery& prepared) const override;
    void FinishSums(const PreparedQuery& prepared, const kernels::BlockFactors& factors,
                    float sums[32]) const override;
};

}  // namespace quantvec::quant
