// Encoding, query tables, scan and refinement of bq (bq.h).
#include "core/quant/bq.h"

#include <cstring>

namespace quantvec::quant {

namespace {

// Step of the uniform quantizer with the least mean square error on a standard normal variable, by
// number of bits (J. Max, "Quantizing for minimum distortion", IRE Trans. Inform. Theory 1960;
// recomputed by minimising the closed form).
constexpr float kGaussianStep[9] = {0,        1.59577f, 0.99569f, 0.58602f, 0.33520f,
                                    0.18814f, 0.10406f, 0.05687f, 0.03076f};

// The steps that are tried for each vector, as shares of kGaussianStep's. At 384 normal coordinates
// and 8 bits, the best of them has an error within 5 % of the best possible step's (share 1 alone:
// 24 %); at 4 bits within .4 % (2 %). Below 4 bits the search gives less than 1 %.
constexpr float kStepShares[] = {0.62f, 0.69f, 0.76f, 0.83f, 0.90f, 0.97f, 1.04f, 1.12f};
constexpr unsigned kSearchFromBits = 4;

// The values of the grid nearest to the residual: magnitudes m + 1/2 below `half`. The sign alone
// decides the side of zero, so truncation of the magnitude is the floor on either side.
void Quantize(ConstFloatSpan residual, float step, int half, float* grid) {
    const float inverse = step > 0 && __builtin_isfinite(step) ? 1.0f / step : 0.0f;
    const float most = static_cast<float>(half - 1);
    for (std::size_t i = 0; i < residual.size(); i++) {
        float m = __builtin_fabsf(residual[i]) * inverse;
        m = m < most ? m : most;
        const float value = static_cast<float>(static_cast<int>(m)) + 0.5f;
        grid[i] = residual[i] >= 0 ? value : -value;
    }
}

// Leaves the grid with the least angle to the residual.
void BestGrid(ConstFloatSpan residual, unsigned bits, float* grid) {
    const kernels::Kernels& k = kernels::Active();
    const std::size_t n = residual.size();
    const int half = 1 << (bits - 1);
    const float rr = k.ordered_dot(residual.data(), residual.data(), n);
    const float normal =
        kGaussianStep[bits] * __builtin_sqrtf(rr) / __builtin_sqrtf(static_cast<float>(n));
    float best = normal, best_cos = -1;
    if (bits >= kSearchFromBits) {
        for (float share : kStepShares) {
            const float step = share * normal;
            Quantize(residual, step, half, grid);
            const float rg = k.ordered_dot(residual.data(), grid, n);
            const float cos = rg / __builtin_sqrtf(k.ordered_dot(grid, grid, n));
            if (cos > best_cos) {
                best_cos = cos;
                best = step;
            }
        }
    }
    Quantize(residual, best, half, grid);
}

float LoadFloat(const std::uint8_t* p) {
    float f;
    std::memcpy(&f, p, sizeof f);
    return f;
}

void StoreFloat(std::uint8_t* p, float f) {
    std::memcpy(p, &f, sizeof f);
}

}  // namespace

void Bq::Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const {
    const std::size_t n = spec.padded_dim;
    float* grid = workspace.data();

    for (std::size_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (std::size_t j = 0; j < 8; j++) {
            const unsigned bit = residual[i + j] >= 0;
            byte |= bit << j;
            grid[i + j] = bit ? 0.5f : -0.5f;
        }
        row.code[i / 8] = static_cast<std::uint8_t>(byte);
    }
    row.factors = StoredFactors(UnbiasedFactors(residual, centroid, grid, norm_sqr, true), 0);
    if (spec.bits == 1) return;

    BestGrid(residual, spec.bits, grid);
    const int half = 1 << (spec.bits - 1);
    const std::size_t planes = spec.bits - 1u;
    std::memset(row.refine.data(), 0, PlaneBytes(spec));
    for (std::size_t i = 0; i < n; i++) {
        const auto low = static_cast<unsigned>(
            static_cast<int>(grid[i] + static_cast<float>(half)) & (half - 1));
        for (std::size_t p = 0; p < planes; p++)
            row.refine[i / 64 * planes * 8 + p * 8 + i % 64 / 8] |=
                static_cast<std::uint8_t>((low >> p & 1u) << (i % 8));
    }
    const UnbiasedCode fine = UnbiasedFactors(residual, centroid, grid, norm_sqr, false);
    std::uint8_t* tail = row.refine.data() + PlaneBytes(spec);
    StoreFloat(tail, fine.add);
    StoreFloat(tail + 4, -2 * fine.alpha);
    StoreFloat(tail + 8, fine.error);
}

void Bq::PrepareQuery(const Spec& spec, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery& prepared) const {
    const std::size_t n = spec.padded_dim;
    const std::size_t groups = n / 4;
    const float dim = static_cast<float>(n);
    prepared.tables = memory.subspan(0, TableBytes(spec));

    // Table g has the sum of every subset of four coordinates, in steps of one unit above the
    // least. (No branch depends on a coordinate: their signs cannot be predicted.)
    float widest = 0, total = 0, least = 0;
    for (std::size_t g = 0; g < groups; g++) {
        const float* q = query.data() + g * 4;
        float range = 0, sum = 0;
        for (std::size_t j = 0; j < 4; j++) {
            range += __builtin_fabsf(q[j]);
            sum += q[j];
        }
        widest = range > widest ? range : widest;
        total += sum;
        least += (sum - range) / 2;
    }
    const float most = FineTables(spec) ? 65535.0f : 255.0f;
    const float unit = widest > 0 ? widest / most : 1.0f;
    std::uint8_t* tables = prepared.tables.data();
    kernels::Active().subset_tables(query.data(), groups, 1.0f / unit, most, tables,
                                    FineTables(spec) ? tables + groups * 16 : nullptr);
    const auto terms = static_cast<float>(groups);
    prepared.unit = unit;
    prepared.shift = least - total / 2;
    prepared.total = 0;
    // Sums above 2^24 are rounded by the float that holds them.
    prepared.round_error = TermsRounding(terms, unit, epsilon) + widest * terms * 6e-8f;
    prepared.tighten = Tighten(spec, epsilon);
    if (spec.bits == 1) return;

    std::int8_t* planes = reinterpret_cast<std::int8_t*>(memory.data() + TableBytes(spec));
    prepared.hi = {planes, n};
    prepared.lo = {planes + n, n};
    prepared.refine_unit = QuantizeQuery(query, prepared.hi, prepared.lo);
    const float half = static_cast<float>(1 << (spec.bits - 1));
    prepared.refine_shift = half * least - (half - 0.5f) * total;
    // The sum of the signs has the rounding of the tables, the other bits have that of the integer
    // query.
    const float fine = prepared.refine_unit * __builtin_sqrtf(dim / 12);
    prepared.refine_round_error = half * (prepared.round_error + epsilon * fine);
}

void Bq::ScanPiece(const Spec& spec, const PreparedQuery& prepared, std::size_t begin,
                   ConstByteSpan piece, std::uint32_t, std::ptrdiff_t, float sums[32]) const {
    const kernels::Kernels& k = kernels::Active();
    const std::uint8_t* tables = prepared.tables.data() + begin;
    std::uint32_t add[32] = {};
    k.fast_scan(piece.data(), tables, piece.size() / 16, add);
    if (FineTables(spec)) {
        std::uint32_t high[32] = {};
        k.fast_scan(piece.data(), tables + BlockCodeBytes(spec), piece.size() / 16, high);
        for (int i = 0; i < 32; i++) add[i] += high[i] << 8;
    }
    for (int i = 0; i < 32; i++) sums[i] += static_cast<float>(add[i]);
}

Estimate Bq::Refine(const Spec& spec, const PreparedQuery& prepared, float base, float sum,
                    const std::uint8_t* refine) const {
    const std::uint8_t* tail = refine + PlaneBytes(spec);
    const float add = LoadFloat(tail), scale = LoadFloat(tail + 4), error = LoadFloat(tail + 8);
    const float low = static_cast<float>(kernels::Active().dot_planes(
        refine, spec.bits - 1u, prepared.hi.data(), prepared.lo.data(), spec.padded_dim));
    const float half = static_cast<float>(1 << (spec.bits - 1));
    const float dot =
        half * sum * prepared.unit + low * prepared.refine_unit + prepared.refine_shift;
    // The two roundings are independent, so their squares add up.
    const float code = 2 * prepared.tighten * __builtin_sqrtf(base) * error;
    const float query = prepared.refine_round_error * __builtin_fabsf(scale);
    return {
        .key = base + add + scale * dot,
        // (hypot, because the squares of small errors would be zero.)
        .error = __builtin_hypotf(code, query) +
                 kSlack * (base + __builtin_fabsf(add) + __builtin_fabsf(scale * dot)),
    };
}

}  // namespace quantvec::quant
