// The levels of sq4, its encoding and scan (sq4.h).
#include "core/quant/sq4.h"

#include <cstring>

namespace quantvec::quant {

namespace {

// The levels as bytes, and for every byte the nearest of them. 127.5 stands for zero where the
// levels are symmetric.
struct LevelTable {
    std::uint8_t level[16];
    std::uint8_t nearest[256];
};

constexpr LevelTable MakeTable(const std::uint8_t (&level)[16]) {
    LevelTable t = {};
    for (int i = 0; i < 16; i++) t.level[i] = level[i];
    for (int v = 0; v < 256; v++) {
        int best = 0;
        for (int i = 1; i < 16; i++) {
            const int d = v > level[i] ? v - level[i] : level[i] - v;
            const int b = v > level[best] ? v - level[best] : level[best] - v;
            if (d < b) best = i;
        }
        t.nearest[v] = static_cast<std::uint8_t>(best);
    }
    return t;
}

constexpr std::uint8_t kUniformLevels[16] = {0,   17,  34,  51,  68,  85,  102, 119,
                                             136, 153, 170, 187, 204, 221, 238, 255};
// +-.1284 .3881 .6568 .9424 1.2562 1.6181 2.0690 2.7326 standard deviations (Max 1960, table I).
constexpr std::uint8_t kLloydMaxLevels[16] = {0,   31,  52,  69,  84,  97,  109, 122,
                                              133, 146, 158, 171, 186, 203, 224, 255};
constexpr float kLloydMaxEnd = 2.7326f;
// -1 -.6962 -.5251 -.3949 -.2844 -.1848 -.0911 0 .0796 .1609 .2461 .3379 .4407 .5626 .7230 1
constexpr std::uint8_t kNf4Levels[16] = {0,   39,  61,  77,  91,  104, 116, 128,
                                         138, 148, 159, 171, 184, 199, 220, 255};

constexpr LevelTable kTables[3] = {MakeTable(kUniformLevels), MakeTable(kLloydMaxLevels),
                                   MakeTable(kNf4Levels)};

const LevelTable& TableOf(const Spec& spec) {
    return kTables[static_cast<int>(spec.levels)];
}

// The shares of the range, or of the standard deviation, that are tried.
constexpr float kUniformShares[] = {1.0f, 0.92f, 0.84f, 0.76f, 0.68f, 0.60f};
constexpr float kLloydMaxShares[] = {0.9f, 0.95f, 1.0f, 1.05f, 1.1f};
constexpr float kWhole[] = {1.0f};

// One step of a level byte, and the byte of zero.
struct Grid {
    float unit;
    float zero;
};

// Codes of r on a grid, and the grid's values.
void Quantize(const LevelTable& table, Grid grid, ConstFloatSpan r, std::uint8_t* codes,
              float* values) {
    const float inverse = grid.unit > 0 ? 1.0f / grid.unit : 0.0f;
    for (std::size_t i = 0; i < r.size(); i++) {
        float v = r[i] * inverse + grid.zero + 0.5f;
        if (!(v < 255.0f)) v = 255.0f;
        if (!(v > 0.0f)) v = 0.0f;
        const std::uint8_t u = table.nearest[static_cast<int>(v)];
        codes[i] = u;
        values[i] = static_cast<float>(table.level[u]) - grid.zero;
    }
}

}  // namespace

void Sq4::Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                 FloatSpan workspace, EncodedRow& row) const {
    const kernels::Kernels& k = kernels::Active();
    const std::size_t n = spec.padded_dim;
    const LevelTable& table = TableOf(spec);
    const auto [low, high] = ExtentOf(residual);
    const float rr = k.ordered_dot(residual.data(), residual.data(), n);
    const float sigma = __builtin_sqrtf(rr / static_cast<float>(n));
    std::span<const float> shares = kWhole;
    if (spec.levels == Levels::kUniform) shares = kUniformShares;
    if (spec.levels == Levels::kLloydMax) shares = kLloydMaxShares;

    // One row's codes, a byte each, during the search for the best grid.
    alignas(16) std::uint8_t codes[kernels::kMostDim];
    QV_ASSERT(n <= sizeof codes);
    Grid best = {};
    float best_cos = -1;
    for (float share : shares) {
        Grid grid = {};
        switch (spec.levels) {
            case Levels::kUniform:
                grid.unit = share * (high - low) / 255.0f;
                grid.zero = high > low ? -low / (high - low) * 255.0f : 127.5f;
                break;
            case Levels::kLloydMax:
                grid = {share * sigma * kLloydMaxEnd / 127.5f, 127.5f};
                break;
            case Levels::kNf4:
                grid = {(high > -low ? high : -low) / 127.5f, 127.5f};
                break;
        }
        Quantize(table, grid, residual, codes, workspace.data());
        const float rg = k.ordered_dot(residual.data(), workspace.data(), n);
        const float gg = k.ordered_dot(workspace.data(), workspace.data(), n);
        const float cos = gg > 0 && rg > 0 ? rg / __builtin_sqrtf(gg) : 0.0f;
        if (cos > best_cos) {
            best_cos = cos;
            best = grid;
        }
    }
    Quantize(table, best, residual, codes, workspace.data());
    for (std::size_t i = 0; i < n; i += 64)
        for (std::size_t j = 0; j < 32; j++)
            row.code[i / 2 + j] = static_cast<std::uint8_t>(codes[i + j] | codes[i + j + 32] << 4);
    const UnbiasedCode code = UnbiasedFactors(residual, centroid, workspace.data(), norm_sqr, true);
    const float offset = 2 * code.alpha * best.zero;
    row.factors = __builtin_isfinite(offset) ? StoredFactors(code, offset) : NoFactors();
}

void Sq4::ScanPiece(const Spec& spec, const PreparedQuery& prepared, std::size_t begin,
                    ConstByteSpan piece, std::uint32_t live, std::ptrdiff_t ahead,
                    float sums[32]) const {
    const std::size_t row_bytes = RowBytes(spec);
    ScanRows(row_bytes, begin, piece, live, ahead, sums,
             [&](const std::uint8_t* codes, std::size_t rows, std::size_t from, std::size_t bytes,
                 float* row_sums) {
                 kernels::Active().dot_u4(codes, row_bytes, rows, TableOf(spec).level,
                                          &prepared.hi[2 * from], &prepared.lo[2 * from], 2 * bytes,
                                          row_sums);
             });
}

}  // namespace quantvec::quant
