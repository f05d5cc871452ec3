// The codebooks of pq, and the basis before them.
#include <algorithm>
#include <cmath>

#include "core/kernels/kernels.h"
#include "core/quant/basis.h"
#include "core/quant/pq.h"
#include "pg/am/build/build.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Codes measured for the spread of the bound.
constexpr std::size_t kSpreadPairs = 4000;

// How far the errors of codes reach into directions that queries have, for one standard error of
// the bound: the root mean square, or more if the far end is farther out than a normal variable's.
float MeasureSpread(const Build& b, const quant::Spec& spec, const Sample& sample) {
    const float least = 1.0f / std::sqrt(static_cast<float>(b.padded - 1));
    const std::size_t n = Min(sample.size, kSpreadPairs);
    if (n < 2) return least;
    auto* deviation = NewArray<float>(n);
    double squares = 0;
    for (std::size_t i = 0; i < n; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        const std::size_t other = (i * 7919 + sample.size / 2) % sample.size;
        deviation[i] =
            quant::PqDeviation(spec, {sample.rows + i * b.padded, b.padded},
                               {sample.rows + other * b.padded, b.padded}, {b.workspace, b.padded});
        squares += static_cast<double>(deviation[i]) * static_cast<double>(deviation[i]);
    }
    // NaN, of vectors whose squares overflow, is the largest: std::sort needs a place for it.
    std::sort(deviation, deviation + n,
              [](float x, float y) { return x < y || (std::isnan(y) && !std::isnan(x)); });
    // 3.29 standard deviations of a normal variable are exceeded once in a thousand.
    const float far = deviation[n - 1 - n / 1000] / 3.29f;
    const float rms = static_cast<float>(std::sqrt(squares / static_cast<double>(n)));
    pfree(deviation);
    return Max(Max(far, rms), least);
}

// The sample becomes what its lists leave of it.
void TakeResiduals(Build& b, Sample& sample) {
    if (b.lists < 2) return;
    ivf::NearestBatch batch = AllocateBatch(b, kBatchRows);
    for (std::size_t begin = 0; begin < sample.size; begin += kBatchRows) {
        float* rows = sample.rows + begin * b.padded;
        SetRows(batch, rows, Min(sample.size - begin, kBatchRows));
        FindLists(b, batch);
        for (std::size_t i = 0; i < batch.size; i++) {
            const float* centroid = b.centroids + batch.list[i] * b.padded;
            for (std::size_t j = 0; j < b.padded; j++) rows[i * b.padded + j] -= centroid[j];
        }
    }
    FreeBatch(batch);
}

// The leader finds the basis that spreads the variance of its residuals evenly over the sub-spaces;
// false: there is none.
bool LearnBasis(Build& b, const Sample& sample) {
    const std::size_t n = b.padded;
    quant::Eigen eigen = {};
    eigen.n = n;
    eigen.vectors = NewZeroedArray<float>(n * n);
    eigen.values = NewArray<double>(n);
    eigen.off = NewArray<double>(n);
    eigen.work = b.workspace;
    for (std::size_t i = 0; i < sample.size; i += kInterruptRows) {
        CHECK_FOR_INTERRUPTS();
        quant::AddCovariance(sample.rows + i * n, Min(sample.size - i, kInterruptRows), n,
                             eigen.vectors);
    }
    quant::EigenBegin(eigen);
    while (quant::EigenStep(eigen)) CHECK_FOR_INTERRUPTS();
    const bool found = eigen.phase == quant::Eigen::Phase::kDone;
    if (found) {
        auto* order = NewArray<std::uint32_t>(n);
        quant::AllocateBalanced(b.layout.spec, eigen.values, eigen.off, order);
        for (std::size_t k = 0; k < n; k++)
            memcpy(b.basis + k * n, eigen.vectors + order[k] * n, n * sizeof(float));
        pfree(order);
    }
    pfree(eigen.vectors);
    pfree(eigen.values);
    pfree(eigen.off);
    return found;
}

// What was made so far moves into the learned basis: everybody's residuals, and the centroids.
void MoveToBasis(Build& b, Sample& sample) {
    const auto move = [&](float* x) {
        quant::ApplyBasis(b.basis, x, b.padded, b.workspace);
        memcpy(x, b.workspace, b.padded * sizeof(float));
    };
    for (std::size_t i = 0; i < sample.size; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        move(sample.rows + i * b.padded);
    }
    const auto team = static_cast<std::size_t>(b.team.size),
               me = static_cast<std::size_t>(b.team.me);
    const std::size_t groups = b.decided->groups;
    for (std::size_t i = me; i < b.lists + groups; i += team) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        move(i < b.lists ? b.centroids + i * b.padded
                         : b.group_centroids + (i - b.lists) * b.padded);
    }
    // The packed centroids are still the old ones.
    if (b.packed) PackLists(b);
    b.model.basis = b.basis;
}

}  // namespace

bool LearnsBasis(const Build& b) {
    // Finding it grows with the cube (1.4 s at 832, 10 s at 1,536), every row and query with the
    // square.
    constexpr std::size_t kMostDim = 1024;
    return b.layout.spec.kind == quant::Kind::kPq && b.layout.spec.m < b.padded &&
           b.padded <= kMostDim && 2 * b.padded * b.padded * sizeof(float) <= b.budget / 4;
}

void TrainCodebooks(Build& b, Sample& sample) {
    quant::Spec spec = b.layout.spec;
    const std::size_t words = quant::PqWords(spec);
    if (!b.trained || b.decided->sampled < kLeastSamplesPerWord * words) {
        b.books = nullptr;
        b.layout = ivf::MakeLayout({quant::Kind::kSq8, 8, spec.padded_dim});
        return;
    }
    if (kSamplesPerWord * words < b.decided->sampled) {
        const SamplePart enough = {0, sample.size, 0, kSamplesPerWord * words};
        std::uint64_t limit;
        FindKeyLimits(b, sample, &enough, 1, &limit);
        KeepBelow(b, sample, limit);
    }
    TakeResiduals(b, sample);
    Meet(b.team);
    if (Leads(b)) b.decided->has_basis = LearnsBasis(b) && LearnBasis(b, sample);
    Meet(b.team);
    if (b.decided->has_basis) MoveToBasis(b, sample);

    const auto team = static_cast<std::size_t>(b.team.size),
               me = static_cast<std::size_t>(b.team.me);
    const std::size_t floats = b.padded * words, counts = spec.m * words;
    quant::PqTraining t = {};
    t.spec = spec;
    t.residuals = {sample.rows, sample.size, b.padded};
    // Sub-space j, with the sums of one participant.
    const auto turn_to = [&](std::size_t j, std::size_t participant) {
        t.j = j;
        t.book = b.books + quant::PqBegin(spec, j) * words;
        t.norms = b.norms + j * words;
        t.sums = b.book_sums + participant * floats + quant::PqBegin(spec, j) * words;
        t.counts = b.book_counts + participant * counts + j * words;
    };
    // Who has most of the sample has a row for every codeword (AffordableWorkers).
    std::size_t most = 0;
    for (std::size_t i = 1; i < team; i++)
        if (b.sampled[i] > b.sampled[most]) most = i;
    for (std::size_t j = 0; j < spec.m && me == most; j++) {
        CHECK_FOR_INTERRUPTS();
        turn_to(j, me);
        quant::PqSeed(t);
    }
    for (int pass = 0; pass < kPasses; pass++) {
        Meet(b.team);
        for (std::size_t j = 0; j < spec.m; j++) {
            turn_to(j, me);
            quant::PqClear(t);
            for (std::size_t i = 0; i < sample.size; i += 1024) {
                CHECK_FOR_INTERRUPTS();
                quant::PqAssign(t, i, Min(i + 1024, sample.size));
            }
        }
        Meet(b.team);
        for (std::size_t j = me; j < spec.m; j += team) {
            turn_to(j, me);
            float* sums = t.sums;
            std::uint32_t* sum_counts = t.counts;
            const std::size_t width = quant::PqBegin(spec, j + 1) - quant::PqBegin(spec, j);
            for (std::size_t other = 0; other < team; other++) {
                if (other == me) continue;
                turn_to(j, other);
                for (std::size_t i = 0; i < width * words; i++) sums[i] += t.sums[i];
                for (std::size_t k = 0; k < words; k++) sum_counts[k] += t.counts[k];
            }
            turn_to(j, me);
            quant::PqUpdate(t);
        }
    }
    Meet(b.team);
    spec.books = b.books;
    spec.norms = b.norms;
    b.spreads[me] = MeasureSpread(b, spec, sample);
    Meet(b.team);
    for (std::size_t i = 0; i < team; i++) spec.spread = Max(spec.spread, b.spreads[i]);
    b.layout = ivf::MakeLayout(spec);
}

}  // namespace quantvec::pg
