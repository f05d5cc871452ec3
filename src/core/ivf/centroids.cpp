#include "core/ivf/centroids.h"

#include <cstring>

namespace quantvec::ivf {

namespace {

constexpr std::size_t kRows = quant::kBlockRows;
constexpr std::size_t kAddAt = 0, kOffsetAt = 4 * kRows, kScaleAt = 8 * kRows,
                      kErrorAt = 10 * kRows;
constexpr std::size_t kFactorBytes = 12 * kRows;

std::size_t BlockBytes(std::size_t padded_dim) {
    return kFactorBytes + kRows * padded_dim;
}

std::uint8_t* Block(const CentroidTable& table, std::size_t block) {
    return table.blocks + block * BlockBytes(table.spec.padded_dim);
}

}  // namespace

std::size_t CentroidTableBytes(std::size_t lists, std::size_t padded_dim) {
    return (lists + kRows - 1) / kRows * BlockBytes(padded_dim);
}

void PutCentroid(CentroidTable& table, std::size_t i, ConstFloatSpan centroid, ConstFloatSpan zeros,
                 FloatSpan workspace, ByteSpan code) {
    quant::EncodedRow row = {{}, code, {}};
    quant::Get(table.spec.kind).Encode(table.spec, centroid, zeros, 0, workspace, row);
    std::uint8_t* block = Block(table, i / kRows);
    const std::size_t slot = i % kRows;
    std::memcpy(block + kAddAt + 4 * slot, &row.factors.add, 4);
    std::memcpy(block + kOffsetAt + 4 * slot, &row.factors.offset, 4);
    std::memcpy(block + kScaleAt + 2 * slot, &row.factors.scale, 2);
    std::memcpy(block + kErrorAt + 2 * slot, &row.factors.error, 2);
    std::memcpy(block + kFactorBytes + slot * code.size(), code.data(), code.size());
}

void BoundCentroids(const CentroidTable& table, const quant::PreparedQuery& prepared,
                    float query_norm_sqr, std::size_t block, float lower[32]) {
    const std::uint8_t* p = Block(table, block);
    const std::size_t left = table.lists - block * kRows;
    const std::uint32_t live = left >= kRows ? ~0u : (1u << left) - 1;
    float sums[kRows] = {}, estimates[kRows];
    quant::Get(table.spec.kind)
        .ScanPiece(table.spec, prepared, 0, {p + kFactorBytes, kRows * table.spec.padded_dim}, live,
                   static_cast<std::ptrdiff_t>(BlockBytes(table.spec.padded_dim)), sums);
    const kernels::BlockFactors factors = {
        .add = reinterpret_cast<const float*>(p + kAddAt),
        .scale = reinterpret_cast<const std::uint16_t*>(p + kScaleAt),
        .error = reinterpret_cast<const std::uint16_t*>(p + kErrorAt),
        .offset = reinterpret_cast<const float*>(p + kOffsetAt),
    };
    kernels::Active().bound_block(factors, quant::ListScalars(prepared, query_norm_sqr), sums, 0,
                                  lower, estimates);
}

}  // namespace quantvec::ivf
