// Encoding and scan of sq8 (sq8.h).
#include "core/quant/sq8.h"

namespace quantvec::quant {

void Sq8::Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                 FloatSpan workspace, EncodedRow& row) const {
    const kernels::Kernels& k = kernels::Active();
    const std::size_t n = spec.padded_dim;
    // Zero belongs to the range: every |r^_j| is then at most 255 steps (PrepareQuery relies on
    // it).
    const auto [low, high] = ExtentOf(residual);
    const std::uint16_t scale = ToBfloat16Up(2 * ((high - low) / 255.0f));
    const float step = FromBfloat16(scale) / 2;
    const float inverse = step > 0 ? 1.0f / step : 0.0f;

    float* decoded = workspace.data();
    for (std::size_t i = 0; i < n; i++) {
        float v = (residual[i] - low) * inverse + 0.5f;
        if (!(v < 255.0f)) v = 255.0f;
        const auto u = static_cast<std::uint8_t>(v);
        row.code[i] = u;
        decoded[i] = low + step * static_cast<float>(u);
    }
    const float rr = k.ordered_dot(residual.data(), residual.data(), n);
    const float cross = k.ordered_dot(centroid.data(), decoded, n);
    // Errors are a two-hundredth of the coordinates: their squares become zero long before those of
    // the coordinates do.
    const bool tiny = step < 1e-15f && inverse > 0;
    const float unit = tiny ? step : 1.0f, in_units = tiny ? inverse : 1.0f;
    for (std::size_t i = 0; i < n; i++) decoded[i] = (decoded[i] - residual[i]) * in_units;
    const float error = unit * __builtin_sqrtf(k.ordered_dot(decoded, decoded, n)) * (1 + 1e-5f);
    const float add = rr + 2 * cross - WithSlack(norm_sqr);
    const bool finite = !IsTooSmall(residual, rr) && __builtin_isfinite(add) &&
                        __builtin_isfinite(error) && __builtin_isfinite(inverse) &&
                        __builtin_isfinite(step);
    if (!finite) {
        row.factors = NoFactors();
        return;
    }
    row.factors = {
        .add = add,
        .offset = -2 * low,
        .scale = static_cast<std::uint16_t>(scale | 0x8000u),
        .error = ToBfloat16Up(error),
    };
}

void Sq8::ScanPiece(const Spec& spec, const PreparedQuery& prepared, std::size_t begin,
                    ConstByteSpan piece, std::uint32_t live, std::ptrdiff_t ahead,
                    float sums[32]) const {
    ScanRows(spec.padded_dim, begin, piece, live, ahead, sums,
             [&](const std::uint8_t* codes, std::size_t rows, std::size_t from, std::size_t bytes,
                 float* row_sums) {
                 kernels::Active().dot_u8(codes, spec.padded_dim, rows, &prepared.hi[from],
                                          &prepared.lo[from], bytes, row_sums);
             });
}

}  // namespace quantvec::quant
