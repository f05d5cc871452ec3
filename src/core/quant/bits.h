// bits: the code of vectors whose elements are 0 and 1. It is the vector itself, one bit an
// element, so that the estimate is the key: the number of elements that differ from the query's.
//
//   formula                                   here
//   x = R^-1 (c + r) + mean                   bit j: x_j above a half
//   key = popcount(code XOR query)            add = 0, scale = 1, offset and error: none
//
// Lists and their centroids live in the rotated space of all codes (quantizer.h). The code goes
// back from there, and so does the query. An element is 0 or 1, and the way there and back moves it
// by some millionths: all machines see the same bits.
//
//   block codes  row-major (row_major.h), padded_dim / 8 bytes a row; element j is bit j % 8 of
//                byte j / 8
#pragma once

#include "core/quant/row_major.h"

namespace quantvec::quant {

class Bits final : public Quantizer {
  public:
    static std::size_t RowBytes(const Spec& spec) { return spec.padded_dim / 8; }
    bool HasOffset() const override { return false; }
    std::size_t ScanRowBytes(const Spec& spec) const override { return RowBytes(spec); }
    std::size_t BlockCodeBytes(const Spec& spec) const override {
        return kBlockRows * RowBytes(spec);
    }
    // The query's bits, and room for the vector that they are made of.
    std::size_t QueryBytes(const Spec& spec) const override {
        return spec.padded_dim * sizeof(float) + RowBytes(spec);
    }
    std::size_t CodeBytesFor(const Spec& spec, std::size_t slots) const override {
        return slots * RowBytes(spec);
    }
    void Encode(const Spec&, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const override;
    void Scatter(const Spec& spec, ConstByteSpan code, std::size_t slot, std::size_t begin,
                 ByteSpan piece) const override {
        ScatterRow(code, slot * RowBytes(spec), begin, piece);
    }
    void Gather(const Spec& spec, ConstByteSpan codes, std::size_t slot,
                ByteSpan code) const override {
        GatherRow(codes, slot * RowBytes(spec), code);
    }
    void PrepareQuery(const Spec&, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery& prepared) const override;
    void ScanPiece(const Spec&, const PreparedQuery&, std::size_t begin, ConstByteSpan piece,
                   std::uint32_t live, std::ptrdiff_t ahead, float sums[32]) const override;
};

}  // namespace quantvec::quant
