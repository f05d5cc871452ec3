// This file owns the one interface of all codes: ask the size, hand over the memory.
//
// A row x is stored in a list with centroid c. All arithmetic happens in one space: the stored mean
// is subtracted and the result rotated (rotation.h). So c, r = x - c and q below are rotated
// vectors of padded_dim floats, and coordinates of r look alike whatever the data.
//
// A code stands for a vector r^ near r, stored as integers u and a few factors. The operators need
// one number, the key (core/metric.h). The code gives an estimate and bounds of it:
//
//   ||q - x||^2 = ||q - c||^2 + ||r||^2 - 2 <q - c, r>
//   <q - c, r>  = <q - c, r^> + <q - c, e>,  e = r - r^
//
//   key estimate = ||q - c||^2 + add + scale * <u, q> + offset * sum(q)
//   error        = 2 ||q - c|| ||e|| * min(1, epsilon * spread)    + rounding of q
//
// The first factor of the error is hard (Cauchy-Schwarz); epsilon tightens it because a rotated e
// points nowhere in particular: spread is 1 / sqrt(padded_dim - 1) (RaBitQ, Gao & Long, SIGMOD
// 2024, section 3.2; README.md derives the factors). One query table serves every list, since <c,
// r^> is inside `add`.
//
//   factor   meaning                                                            stored as
//   add      ||r||^2 + 2 <c, r^>, for inner product less ||x||^2                float
//   scale    -2 * step of the code, rounded to bfloat16                         bfloat16
//   error    ||e||, e = r - r^, rounded up                                      bfloat16
//   offset   -2 * value of code 0 (sq8 and sq4); elements that are 1 (sets)     float
//
// A block holds 32 rows (ivf/block.h draws it). The quantizer decides how codes lie in it, and
// Scatter and ScanPiece agree on that: row after row (row_major.h), or transposed, so that many
// rows are scanned at a time (transposed.h).
#pragma once

#include "core/kernels/kernels.h"
#include "core/view.h"

namespace quantvec::quant {

inline constexpr std::size_t kBlockRows = 32;

// Stored in the metapage: never renumber.
enum class Kind : std::uint8_t { kSq8 = 1, kBq = 2, kSq4 = 3, kPq = 4, kBits = 5, kSets = 6 };

// Codes that are the elements themselves.
inline bool IsOfBits(Kind kind) {
    return kind == Kind::kBits || kind == Kind::kSets;
}

// Where the 16 levels of sq4 lie. Stored in the metapage: never renumber.
enum class Levels : std::uint8_t { kUniform = 0, kLloydMax = 1, kNf4 = 2 };

// What a code is made of; fixed when the index is built.
struct Spec {
    Kind kind;
    std::uint8_t bits;         // bq: bits a dimension in all; pq: bits of a sub-quantizer
    std::uint32_t padded_dim;  // multiple of 64
    Levels levels = Levels::kUniform;
    std::uint32_t m = 0;           // pq: sub-quantizers
    const float* books = nullptr;  // pq: codebooks and their norms (pq.h)
    const float* norms = nullptr;
    float spread = 0;  // pq: measured Spread; 0: 1 / sqrt(padded_dim - 1)
    // bits and sets: the way back to the elements
    std::uint32_t dim = 0;
    const std::uint8_t* signs = nullptr;  // of the rotation
    const float* mean = nullptr;          // [dim]
};

// The factors of one row before they are scattered into a block.
struct RowFactors {
    float add;
    float offset;
    std::uint16_t scale;
    std::uint16_t error;
};

// An encoded row: factors, then the scan code row-major, then the refine row (if any).
struct EncodedRow {
    RowFactors factors;
    ByteSpan code;    // [ScanRowBytes]
    ByteSpan refine;  // [RefineRowBytes]
};

// A query ready for every list of one index. The spans lie in memory that the shell gave.
struct PreparedQuery {
    std::span<std::uint8_t> tables;  // bq: 16 entries for each 4 dimensions; bits: the query's bits
    std::span<std::int8_t> hi;       // [padded_dim] integer query, 128 * hi + lo
    std::span<std::int8_t> lo;       // [padded_dim]
    float unit;                      // scan: the size of one step of a block's integer sum
    float shift;                     // scan: constant part of <code, query>
    float total;                     // scan: multiplies the factor `offset`
    float round_error;               // scan: the query's rounding, in units of <code, query>
    float tighten;                   // min(1, epsilon * spread)
    float refine_unit;               // refine: the size of one step of the integer dot
    float refine_shift;
    float refine_round_error;
    bool exact = false;  // the finished sum of a row is its key, but for round_error
};

struct Estimate {
    float key;
    float error;
};

class Quantizer {
  public:
    // ---- sizes, in bytes ----
    virtual bool HasOffset() const = 0;
    virtual std::size_t ScanRowBytes(const Spec& spec) const = 0;        // of one row, row-major
    virtual std::size_t BlockCodeBytes(const Spec& spec) const = 0;      // of a block's 32 rows
    virtual std::size_t RefineRowBytes(const Spec&) const { return 0; }  // 0: no refine layer
    virtual std::size_t QueryBytes(const Spec& spec) const = 0;
    // Code bytes of a block that must be there for slots 0..slots-1 to be read.
    virtual std::size_t CodeBytesFor(const Spec& spec, std::size_t slots) const = 0;

    // Encodes one row. The same bytes on every instruction set.
    //   residual, centroid, workspace  [padded_dim]
    //   norm_sqr  ||x||^2 for inner product, otherwise 0
    // A row whose arithmetic is not finite gets error = infinity: its bound is -infinity.
    virtual void Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid,
                        float norm_sqr, FloatSpan workspace, EncodedRow& row) const = 0;

    // Writes the bytes of `code` that fall into [begin, begin + piece.size()) of the block's codes.
    // begin and the size are multiples of 64. Other slots' bits stay as they are.
    virtual void Scatter(const Spec& spec, ConstByteSpan code, std::size_t slot, std::size_t begin,
                         ByteSpan piece) const = 0;

    // Reads back the code of a slot that was scattered. codes [BlockCodeBytes], or as much as
    // CodeBytesFor asks for the slot; code [ScanRowBytes]
    virtual void Gather(const Spec& spec, ConstByteSpan codes, std::size_t slot,
                        ByteSpan code) const = 0;

    // query [padded_dim] rotated; memory [QueryBytes]; epsilon: standard errors that a bound keeps.
    virtual void PrepareQuery(const Spec& spec, ConstFloatSpan query, float epsilon,
                              ByteSpan memory, PreparedQuery& prepared) const = 0;

    // Adds a piece of a block's codes to the sums of its rows; `live` says which rows matter. The
    // bytes that lie `ahead` bytes from those of the piece will be wanted soon: they are
    // prefetched, not read. 0: the next bytes are not known.
    virtual void ScanPiece(const Spec& spec, const PreparedQuery& prepared, std::size_t begin,
                           ConstByteSpan piece, std::uint32_t live, std::ptrdiff_t ahead,
                           float sums[32]) const = 0;

    // Of a code whose query is exact: makes keys of the sums of a whole block. factors: the block's
    virtual void FinishSums(const PreparedQuery& prepared, const kernels::BlockFactors& factors,
                            float sums[32]) const {
        (void)prepared, (void)factors, (void)sums;
    }

    // The estimate that orders rows which get no exact distance: it is nearest on average. The
    // estimate from which bounds are made errs alike for near rows and far ones. base = ||q -
    // c||^2; scale and error: the row's factors. Not for inner product.
    virtual float Shrunk(float base, float estimate, float scale, float error) const {
        (void)base, (void)scale, (void)error;
        return estimate;
    }

    // A better estimate from the refine row. `sum` is the row's scan sum; base = ||q - c||^2.
    // REQUIRES: RefineRowBytes > 0.
    virtual Estimate Refine(const Spec& spec, const PreparedQuery& prepared, float base, float sum,
                            const std::uint8_t* refine) const {
        (void)spec, (void)prepared, (void)base, (void)sum, (void)refine;
        __builtin_unreachable();
    }
};

const Quantizer& Get(Kind kind);

// The scalars of one list for kernels::bound_block. base = ||q - c||^2.
kernels::BlockScalars ListScalars(const PreparedQuery& prepared, float base);

// Factors of r^ = alpha * grid, with alpha such that <r^, r> = ||r||^2: the estimate is unbiased.
struct UnbiasedCode {
    float alpha;
    float add;
    float error;
};
// residual, centroid, grid [padded_dim]; norm_sqr as for Encode. `rounded`: alpha will be stored as
// a bfloat16, and is rounded to one. The same bits on every instruction set.
UnbiasedCode UnbiasedFactors(ConstFloatSpan residual, ConstFloatSpan centroid, const float* grid,
                             float norm_sqr, bool rounded);

// Is ||r||^2 of a residual that is not zero so small that the squares of its coordinates lose
// digits, or become zero? The limit is 5e-41 for each coordinate; the steps of a float are 1.4e-45
// there. The bounds of codes of 8 bits would miss the lost digits.
bool IsTooSmall(ConstFloatSpan residual, float rr);

// A rounded alpha leaves a part of the error along r. All near neighbours see this part: it does
// not average out as the rest does. So it is stored at the size that a bound of kParallelEpsilon
// standard errors covers whole. It is never stored below its full size, |alpha / exact - 1| ||exact
// g||, so that the hard bound holds; the full size is more where the code says little of r (a
// cosine below kParallelEpsilon / sqrt(n - 1)).
inline constexpr float kParallelEpsilon = 3;

// The rounding of a sum of `terms` terms, each rounded by at most half a unit: `epsilon` standard
// errors of it, or all of it if that is less.
float TermsRounding(float terms, float unit, float epsilon);

// min(1, epsilon * spread)
float Tighten(const Spec& spec, float epsilon);

// Relative error of float arithmetic over a few numbers. Every bound pays for it.
inline constexpr float kSlack = 4e-6f;

// Inner product: ||x||^2 cancels much of ||r||^2 in `add`. A short query's bound would not see the
// rounding of that difference. So `add`, and with it the lower bound, is made lower by kSlack of
// ||x||^2.
inline float WithSlack(float norm_sqr) {
    return norm_sqr * (1 + kSlack);
}

// bfloat16: the upper half of a float, nearest or not below.
inline float FromBfloat16(std::uint16_t b) {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(b) << 16);
}
inline std::uint16_t ToBfloat16(float f) {
    std::uint32_t u = __builtin_bit_cast(std::uint32_t, f);
    if ((u & 0x7f800000u) == 0x7f800000u) return static_cast<std::uint16_t>(u >> 16);
    u += 0x7fffu + ((u >> 16) & 1u);
    return static_cast<std::uint16_t>(u >> 16);
}
// REQUIRES: f >= 0 (infinity allowed).
inline std::uint16_t ToBfloat16Up(float f) {
    const std::uint32_t u = __builtin_bit_cast(std::uint32_t, f);
    return static_cast<std::uint16_t>((u >> 16) + ((u & 0xffffu) != 0));
}

// The stored factors of an unbiased code.
inline RowFactors StoredFactors(const UnbiasedCode& code, float offset) {
    return {
        .add = code.add,
        .offset = offset,
        .scale = ToBfloat16(-2 * code.alpha),
        .error = ToBfloat16Up(code.error),
    };
}
// The factors of a row whose arithmetic is not finite: its bound is -infinity.
inline RowFactors NoFactors() {
    return {.add = 0, .offset = 0, .scale = 0, .error = ToBfloat16(__builtin_inff())};
}

// Integer planes of a query, shared by the codes: q[i] is about unit * (128 * hi[i] + lo[i]).
// Returns unit. hi and lo stay within [-64, 63], so that 8-bit products cannot saturate.
float QuantizeQuery(ConstFloatSpan query, std::span<std::int8_t> hi, std::span<std::int8_t> lo);

}  // namespace quantvec::quant
