// pq: product quantization of residuals, with a factor for each vector that makes it unbiased.
//
// Jegou, Douze & Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011, sections
// II and III (IVFADC). The space is cut into m sub-spaces of nearly equal width; each has a
// codebook of 2^bits codewords, trained by k-means. A code is scored by one table look-up a
// sub-space.
//
// Difference to the paper: the decoded residual g is scaled so that <alpha g, r> = ||r||^2, as
// RaBitQ does with its grid (UnbiasedFactors). A codeword is a mean, and shorter than the vectors
// that it stands for, by a share that is large when bytes are few. Unscaled, all near rows look too
// far, each by another amount, and the error has no bound that epsilon could tighten.
//
// That estimate scatters with the angle between r and its code. Where no exact distance follows,
// the order of rows gains from a second estimate. It lies between the first one and the one that
// the row's norm alone gives:
//
//   shrunk = f estimate + (1 - f) (||q - c||^2 + ||r||^2),  f = 1 / sqrt(alpha)
//
// alpha is about 1 / cos^2 of that angle, because a codeword is the mean of its rows (<r, g> = <g,
// g> on average). So f is the cosine of the angle. It is a middle way: f = cos^2 would give the
// least mean square error over all rows, and f = 1 is right on average for the nearest rows. For
// the same reason ||r||^2 is about error^2 / (alpha - 1). With that,
//
//   shrunk = f estimate + (1 - f) ||q - c||^2 + error^2 / (alpha + sqrt(alpha))
//
// README.md says what that gains.
//
//   bits 8   row      m bytes
//            block    32 bytes a sub-quantizer (m rounded up to 2): byte r is row r's codeword
//            query    256 low bytes a sub-quantizer (m rounded up alike), then 256 high ones each
//   bits 4   row      (m + 1) / 2 bytes, sub-quantizer j in nibble j % 2 of byte j / 2
//            block    16 bytes a sub-quantizer (m rounded up to 4), as nibbles (transposed.h)
//            query    16 bytes a sub-quantizer
//
// An entry of the query's tables is a number of steps. A step is a 65,535th (4 bits: a 255th) of
// the widest range that the products of a sub-quantizer have. For 8 bits a 255th is too coarse: on
// fashion-mnist, where a few wide directions make the step coarse for all others, recall of 98
// bytes alone fell from .910 to .834. Tables of floats took 26 ns a row of 96 bytes; bytes that
// registers look up take 5 ns for each half.
//
//   books    for each sub-quantizer j: [width(j), 2^bits] floats, so that a vector register runs
//            over codewords; in all padded_dim * 2^bits floats
#pragma once

#include "core/quant/transposed.h"

namespace quantvec::quant {

// Sub-space j holds dimensions [PqBegin(j), PqBegin(j + 1)).
inline std::size_t PqBegin(const Spec& spec, std::size_t j) {
    return j * spec.padded_dim / spec.m;
}
inline std::size_t PqWords(const Spec& spec) {
    return std::size_t{1} << spec.bits;
}

class Pq final : public Transposed<Pq> {
  public:
    static std::size_t RowBytes(const Spec& spec) {
        return spec.bits == 8 ? spec.m : (spec.m + 1) / 2;
    }
    static std::size_t Parts(const Spec& spec) { return spec.m; }
    std::size_t QueryBytes(const Spec& spec) const override {
        return TableBytes(spec) + spec.m * PqWords(spec) * sizeof(float);
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
    float Shrunk(float base, float estimate, float scale, float error) const override;

  private:
    // The size of one byte of all entries. Tables of 8 bits have two such halves. The tables lie
    // before the floats from which they are made.
    static std::size_t HalfBytes(const Spec& spec) {
        return RoundUp(spec.m, spec.bits == 8 ? 2 : 4) * PqWords(spec);
    }
    static std::size_t TableBytes(const Spec& spec) {
        return (spec.bits == 8 ? 2 : 1) * HalfBytes(spec);
    }
};

// ||codeword||^2 of every codeword: norms [m, 2^bits]. The same bits on every machine.
void PqNorms(const Spec& spec, const float* books, float* norms);

// |<u, e>| / (||u|| ||e||) for the error e of a residual's code and a direction u that a query may
// have (another residual). The errors of a rotated grid are alike in all directions. A code made of
// means errs in the directions in which the data spread. So the spread of its bound is measured:
// 1 / sqrt(dim) would claim too much for data that fill few dimensions. workspace [padded_dim]
float PqDeviation(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan direction,
                  FloatSpan workspace);

// ---- training: k-means of one sub-space, in steps ----

struct PqTraining {
    Spec spec;              // without books
    MatrixView residuals;   // [n, padded_dim], n >= 2^bits
    std::size_t j;          // the sub-space
    float* book;            // [width, 2^bits]
    float* norms;           // [2^bits]
    float* sums;            // [width, 2^bits]
    std::uint32_t* counts;  // [2^bits]
};
// Evenly spaced samples become the first codewords (the sample's order is as good as random).
void PqSeed(PqTraining& training);
// Adds samples [begin, end) to their nearest codewords. REQUIRES: PqClear before a pass.
void PqAssign(PqTraining& training, std::size_t begin, std::size_t end);
void PqClear(PqTraining& training);
// Codewords become means. A codeword that attracted nothing takes half of the fullest one.
void PqUpdate(PqTraining& training);

}  // namespace quantvec::quant
