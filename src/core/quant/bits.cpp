// Encoding and scan of bits and sets (bits.h).
#include "core/quant/bits.h"

#include <cmath>
#include <cstring>

#include "core/quant/rotation.h"

namespace quantvec::quant {
namespace {

// The elements of a vector of the rotated space, which is used up, that are above `least`. Returns
// their number.
std::size_t ToBits(const Spec& spec, FloatSpan rotated, float least, ByteSpan bits) {
    Unrotate({spec.signs, RotationBytes(spec.padded_dim)}, rotated);
    std::memset(bits.data(), 0, bits.size());
    std::size_t ones = 0;
    for (std::size_t i = 0; i < spec.dim; ++i) {
        const bool one = rotated[i] + spec.mean[i] > least;
        bits[i / 8] |= static_cast<std::uint8_t>(one << (i % 8));
        ones += one;
    }
    return ones;
}

std::size_t EncodeBits(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid,
                       FloatSpan workspace, float least, EncodedRow& row) {
    for (std::size_t i = 0; i < spec.padded_dim; ++i) workspace[i] = residual[i] + centroid[i];
    row.factors = {.add = 0, .offset = 0, .scale = ToBfloat16(1), .error = 0};
    return ToBits(spec, workspace, least, row.code);
}

std::size_t PrepareBits(const Spec& spec, ConstFloatSpan query, ByteSpan memory, float least,
                        PreparedQuery& prepared) {
    const FloatSpan copy = {reinterpret_cast<float*>(memory.data()), spec.padded_dim};
    std::memcpy(copy.data(), query.data(), query.size_bytes());
    prepared.tables = memory.subspan(copy.size_bytes());
    prepared.round_error = 0;
    prepared.exact = true;
    return ToBits(spec, copy, least, prepared.tables);
}

constexpr float kHalf = 0.5f;
float HalfOfUnit(const Spec& spec) {
    return 0.5f / std::sqrt(static_cast<float>(spec.dim));
}

}  // namespace

void Bits::Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float,
                  FloatSpan workspace, EncodedRow& row) const {
    EncodeBits(spec, residual, centroid, workspace, kHalf, row);
}

void Bits::PrepareQuery(const Spec& spec, ConstFloatSpan query, float, ByteSpan memory,
                        PreparedQuery& prepared) const {
    PrepareBits(spec, query, memory, kHalf, prepared);
}

void Sets::Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float,
                  FloatSpan workspace, EncodedRow& row) const {
    row.factors.offset =
        static_cast<float>(EncodeBits(spec, residual, centroid, workspace, HalfOfUnit(spec), row));
}

void Sets::PrepareQuery(const Spec& spec, ConstFloatSpan query, float, ByteSpan memory,
                        PreparedQuery& prepared) const {
    prepared.total =
        static_cast<float>(PrepareBits(spec, query, memory, HalfOfUnit(spec), prepared));
    prepared.round_error = kSlack;
}

void Sets::FinishSums(const PreparedQuery& prepared, const kernels::BlockFactors& factors,
                      float sums[32]) const {
    for (std::size_t r = 0; r < kBlockRows; ++r) {
        float ones;
        std::memcpy(&ones, factors.offset + r, sizeof(ones));
        const float both_sizes = ones + prepared.total;
        sums[r] = both_sizes > 0 ? 2 * sums[r] / both_sizes : 2;
    }
}

void Bits::ScanPiece(const Spec& spec, const PreparedQuery& prepared, std::size_t begin,
                     ConstByteSpan piece, std::uint32_t live, std::ptrdiff_t ahead,
                     float sums[32]) const {
    const std::size_t row_bytes = RowBytes(spec);
    ScanRows(row_bytes, begin, piece, live, ahead, sums,
             [&](const std::uint8_t* codes, std::size_t rows, std::size_t from, std::size_t bytes,
                 float* row_sums) {
                 for (std::size_t r = 0; r < rows; ++r)
                     row_sums[r] += static_cast<float>(kernels::Active().hamming(
                         codes + r * row_bytes, &prepared.tables[from], bytes));
             });
}

}  // namespace quantvec::quant
