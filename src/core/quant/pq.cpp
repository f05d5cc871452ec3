// Encoding, query tables, scan and training of pq (pq.h).
#include "core/quant/pq.h"

#include <cstring>

#include "core/empty_clusters.h"

namespace quantvec::quant {

namespace {

std::size_t Width(const Spec& spec, std::size_t j) {
    return PqBegin(spec, j + 1) - PqBegin(spec, j);
}

const float* Book(const Spec& spec, std::size_t j) {
    return spec.books + PqBegin(spec, j) * PqWords(spec);
}

void NormsOf(std::size_t width, std::size_t words, const float* book, float* norms) {
    for (std::size_t k = 0; k < words; k++) norms[k] = 0;
    for (std::size_t i = 0; i < width; i++)
        for (std::size_t k = 0; k < words; k++)
            norms[k] += book[i * words + k] * book[i * words + k];
}

}  // namespace

void PqNorms(const Spec& spec, const float* books, float* norms) {
    const std::size_t words = PqWords(spec);
    for (std::size_t j = 0; j < spec.m; j++)
        NormsOf(Width(spec, j), words, books + PqBegin(spec, j) * words, norms + j * words);
}

void Pq::Encode(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan centroid, float norm_sqr,
                FloatSpan workspace, EncodedRow& row) const {
    const std::size_t words = PqWords(spec);
    std::memset(row.code.data(), 0, row.code.size());
    for (std::size_t j = 0; j < spec.m; j++) {
        const std::size_t begin = PqBegin(spec, j), width = Width(spec, j);
        const std::uint32_t word = kernels::Active().pq_nearest(
            &residual[begin], Book(spec, j), spec.norms + j * words, width, words);
        if (spec.bits == 8)
            row.code[j] = static_cast<std::uint8_t>(word);
        else
            row.code[j / 2] |= static_cast<std::uint8_t>(word << (j % 2 * 4));
        for (std::size_t i = 0; i < width; i++)
            workspace[begin + i] = Book(spec, j)[i * words + word];
    }
    row.factors =
        StoredFactors(UnbiasedFactors(residual, centroid, workspace.data(), norm_sqr, true), 0);
}

void Pq::Scatter(const Spec& spec, ConstByteSpan code, std::size_t slot, std::size_t begin,
                 ByteSpan piece) const {
    if (spec.bits == 4) return Transposed::Scatter(spec, code, slot, begin, piece);
    for (std::size_t g = 0; g < piece.size() / 32; g++) {
        const std::size_t j = begin / 32 + g;
        piece[g * 32 + slot] = j < spec.m ? code[j] : 0;
    }
}

void Pq::Gather(const Spec& spec, ConstByteSpan codes, std::size_t slot, ByteSpan code) const {
    if (spec.bits == 4) return Transposed::Gather(spec, codes, slot, code);
    for (std::size_t j = 0; j < spec.m; j++) code[j] = codes[j * 32 + slot];
}

void Pq::PrepareQuery(const Spec& spec, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery& prepared) const {
    const std::size_t words = PqWords(spec);
    const auto m = static_cast<float>(spec.m);
    std::memset(memory.data(), 0, TableBytes(spec));
    prepared.tables = memory.subspan(0, TableBytes(spec));
    // Products, of each sub-quantizer above the least of its own; then in steps of one unit.
    float* products = reinterpret_cast<float*>(memory.data() + TableBytes(spec));
    float widest = 0, shift = 0;
    for (std::size_t j = 0; j < spec.m; j++) {
        float* table = products + j * words;
        kernels::Active().pq_products(&query[PqBegin(spec, j)], Book(spec, j), Width(spec, j),
                                      words, table);
        float low[16], high[16];
        for (std::size_t i = 0; i < 16; i++) low[i] = high[i] = table[i];
        for (std::size_t k = 16; k < words; k += 16)
            for (std::size_t i = 0; i < 16; i++) {
                low[i] = table[k + i] < low[i] ? table[k + i] : low[i];
                high[i] = table[k + i] > high[i] ? table[k + i] : high[i];
            }
        for (std::size_t i = 1; i < 16; i++) {
            low[0] = low[i] < low[0] ? low[i] : low[0];
            high[0] = high[i] > high[0] ? high[i] : high[0];
        }
        for (std::size_t k = 0; k < words; k++) table[k] -= low[0];
        widest = high[0] - low[0] > widest ? high[0] - low[0] : widest;
        shift += low[0];
    }
    const bool fine = spec.bits == 8;
    const float most = fine ? 65535.0f : 255.0f;
    const float inverse = widest > 0 ? most / widest : 0.0f;
    std::uint8_t* tables = memory.data();
    const std::size_t entries = spec.m * words;
    for (std::size_t i = 0; i < entries; i++) {
        // (NaN becomes the most.)
        const float v = products[i] * inverse + 0.5f;
        const int step = static_cast<int>(v < most ? v : most);
        tables[i] = static_cast<std::uint8_t>(step);
        if (fine) tables[HalfBytes(spec) + i] = static_cast<std::uint8_t>(step >> 8);
    }
    prepared.unit = widest / most;
    prepared.shift = shift;
    prepared.total = 0;
    // Sums above 2^24 are rounded by the float that holds them.
    prepared.round_error = TermsRounding(m, prepared.unit, epsilon) + widest * m * 6e-8f;
    prepared.tighten = Tighten(spec, epsilon);
}

void Pq::ScanPiece(const Spec& spec, const PreparedQuery& prepared, std::size_t begin,
                   ConstByteSpan piece, std::uint32_t, std::ptrdiff_t, float sums[32]) const {
    const kernels::Kernels& k = kernels::Active();
    const std::uint8_t* tables = prepared.tables.data();
    std::uint32_t add[32] = {};
    if (spec.bits == 8) {
        std::uint32_t high[32] = {};
        k.pq_sums(piece.data(), tables + begin * 8, piece.size() / 32, add);
        k.pq_sums(piece.data(), tables + HalfBytes(spec) + begin * 8, piece.size() / 32, high);
        for (int i = 0; i < 32; i++) add[i] += high[i] << 8;
    } else {
        k.fast_scan(piece.data(), tables + begin, piece.size() / 16, add);
    }
    for (int i = 0; i < 32; i++) sums[i] += static_cast<float>(add[i]);
}

float Pq::Shrunk(float base, float estimate, float scale, float error) const {
    const float alpha = -scale / 2;
    if (!(alpha > 1)) return estimate;
    const float root = __builtin_sqrtf(alpha);
    const float shrunk = base + (estimate - base) / root + error * error / (alpha + root);
    return __builtin_isfinite(shrunk) ? shrunk : estimate;
}

float PqDeviation(const Spec& spec, ConstFloatSpan residual, ConstFloatSpan direction,
                  FloatSpan workspace) {
    const kernels::Kernels& k = kernels::Active();
    const std::size_t words = PqWords(spec), n = residual.size();
    for (std::size_t j = 0; j < spec.m; j++) {
        const std::size_t begin = PqBegin(spec, j), width = Width(spec, j);
        const std::uint32_t word =
            k.pq_nearest(&residual[begin], Book(spec, j), spec.norms + j * words, width, words);
        for (std::size_t i = 0; i < width; i++)
            workspace[begin + i] = Book(spec, j)[i * words + word];
    }
    const float rr = k.ordered_dot(residual.data(), residual.data(), n);
    const float rg = k.ordered_dot(residual.data(), workspace.data(), n);
    if (!(rr > 0) || !(rg > 0)) return 0;
    const float alpha = rr / rg;
    for (std::size_t i = 0; i < n; i++) workspace[i] = residual[i] - alpha * workspace[i];
    const float ee = k.ordered_dot(workspace.data(), workspace.data(), n);
    const float dd = k.ordered_dot(direction.data(), direction.data(), n);
    const float de = k.ordered_dot(direction.data(), workspace.data(), n);
    if (!(ee > 0) || !(dd > 0)) return 0;
    const float cosine = __builtin_fabsf(de) / __builtin_sqrtf(ee) / __builtin_sqrtf(dd);
    // Beyond the float range nothing is known: the bound is to be the hard one.
    return cosine <= 1 && __builtin_isfinite(ee) && __builtin_isfinite(dd) ? cosine : 1.0f;
}

// ---- training ----

void PqSeed(PqTraining& t) {
    const std::size_t words = PqWords(t.spec), begin = PqBegin(t.spec, t.j);
    const std::size_t width = Width(t.spec, t.j);
    for (std::size_t k = 0; k < words; k++) {
        const float* x = t.residuals.row(k * t.residuals.rows / words) + begin;
        for (std::size_t i = 0; i < width; i++) t.book[i * words + k] = x[i];
    }
    NormsOf(width, words, t.book, t.norms);
}

void PqClear(PqTraining& t) {
    const std::size_t words = PqWords(t.spec);
    std::memset(t.sums, 0, Width(t.spec, t.j) * words * sizeof(float));
    std::memset(t.counts, 0, words * sizeof(std::uint32_t));
}

void PqAssign(PqTraining& t, std::size_t begin, std::size_t end) {
    const std::size_t words = PqWords(t.spec), from = PqBegin(t.spec, t.j);
    const std::size_t width = Width(t.spec, t.j);
    for (std::size_t n = begin; n < end; n++) {
        const float* x = t.residuals.row(n) + from;
        const std::uint32_t k = kernels::Active().pq_nearest(x, t.book, t.norms, width, words);
        t.counts[k]++;
        for (std::size_t i = 0; i < width; i++) t.sums[i * words + k] += x[i];
    }
}

void PqUpdate(PqTraining& t) {
    const std::size_t words = PqWords(t.spec), width = Width(t.spec, t.j);
    for (std::size_t k = 0; k < words; k++) {
        if (t.counts[k] == 0) continue;
        const float inverse = 1.0f / static_cast<float>(t.counts[k]);
        for (std::size_t i = 0; i < width; i++)
            t.book[i * words + k] = t.sums[i * words + k] * inverse;
    }
    SplitLargestForEmpty(
        t.counts, words, width, 1.0f / 64,
        [&](std::size_t k, std::size_t i) -> float& { return t.book[i * words + k]; });
    NormsOf(width, words, t.book, t.norms);
}

}  // namespace quantvec::quant
