// Encoding and scan of bits (bits.h).
#include "core/quant/bits.h"

#include <cstring>

#include "core/quant/rotation.h"

namespace quantvec::quant {
namespace {

// The bits of a vector of the rotated space, which is used up.
void ToBits(const Spec& spec, FloatSpan rotated, ByteSpan bits) {
    Unrotate({spec.signs, RotationBytes(spec.padded_dim)}, rotated);
    std::memset(bits.data(), 0, bits.size());
    for (std::size_t i = 0; i < spec.dim; ++i)
        bits[i / 8] |= static_cast<std::uint8_t>((rotated[i] + spec.mean[i] > 0.5f) << (i % 8));
}

}  // namespace

void Bits::Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float,
                  FloatSpan workspace, EncodedRow& row) const {
    for (std::size_t i = 0; i < spec.padded_dim; ++i) workspace[i] = residual[i] + centroid[i];
    ToBits(spec, workspace, row.code);
    row.factors = {.add = 0, .offset = 0, .scale = ToBfloat16(1), .error = 0};
}

void Bits::PrepareQuery(const Spec& spec, ConstFloatSpan query, float, ByteSpan memory,
                        PreparedQuery& prepared) const {
    const FloatSpan copy = {reinterpret_cast<float*>(memory.data()), spec.padded_dim};
    std::memcpy(copy.data(), query.data(), query.size_bytes());
    prepared.tables = memory.subspan(copy.size_bytes());
    ToBits(spec, copy, prepared.tables);
    prepared.exact = true;
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
