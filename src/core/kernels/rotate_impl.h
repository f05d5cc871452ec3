// Bodies of the code-making kernels, once for all instruction sets (Batch as in float_impl.h).
//
// Their results end up in stored bytes, so each output is one fixed expression of the inputs,
// whatever the number of lanes: the same operations in the same order, each rounded by itself
// (-ffp-contract=off). MulAdd appears only with a factor of 1 or -1, whose product is exact.
#pragma once

#include "core/kernels/lanes.h"

namespace quantvec::kernels {
namespace {

// kLaneSigns[k]: -1 where bit k of the lane's number is set.
constexpr float kLaneSigns[4][16] = {
    {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
    {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
    {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
    {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1},
};

// One level of the transform between lanes 2^kLevel apart: the lower lane becomes x + partner, the
// upper partner - x.
template <std::size_t kLevel, class Batch>
Batch LaneLevel(const Batch& x) {
    using Register = typename Batch::register_type;
    const Batch partner(SwapLanes<(std::size_t{1} << kLevel)>(static_cast<Register>(x)));
    return MulAdd(x, Batch::load_unaligned(kLaneSigns[kLevel]), partner);
}

// All levels inside a batch.
template <class Batch>
Batch LaneLevels(Batch x) {
    x = LaneLevel<0>(x);
    x = LaneLevel<1>(x);
    if constexpr (Batch::size >= 8) x = LaneLevel<2>(x);
    if constexpr (Batch::size >= 16) x = LaneLevel<3>(x);
    return x;
}

// One pass over memory with log2(kCount) levels, between kCount batches that lie `half` floats
// apart: half, 2 * half, .. up to kCount / 2 * half. kInner: the levels inside a batch first. Few
// passes matter more than few operations: storing is what takes the time.
template <class Batch, std::size_t kCount, bool kInner>
void Pass(float* x, std::size_t n, std::size_t half) {
    for (std::size_t block = 0; block < n; block += kCount * half)
        for (float* p = x + block; p < x + block + half; p += Batch::size) {
            Batch batch[kCount];
            for (std::size_t i = 0; i < kCount; ++i) {
                batch[i] = Batch::load_unaligned(p + i * half);
                if constexpr (kInner) batch[i] = LaneLevels(batch[i]);
            }
            for (std::size_t step = 1; step < kCount; step *= 2)
                for (std::size_t i = 0; i < kCount; ++i)
                    if ((i & step) == 0) {
                        const Batch a = batch[i], b = batch[i + step];
                        batch[i] = a + b;
                        batch[i + step] = a - b;
                    }
            for (std::size_t i = 0; i < kCount; ++i) batch[i].store_unaligned(p + i * half);
        }
}

// Levels in ascending order: 1, 2, 4, .. n/2.
template <class Batch>
void Hadamard(float* x, std::size_t n) {
    constexpr std::size_t kLanes = Batch::size;
    if (n < kLanes) {
        for (std::size_t half = 1; half < n; half *= 2)
            for (std::size_t i = 0; i < n; ++i)
                if ((i & half) == 0) {
                    const float a = x[i], b = x[i + half];
                    x[i] = a + b;
                    x[i + half] = a - b;
                }
        return;
    }
    std::size_t half = kLanes;
    if (n < 8 * kLanes) {
        Pass<Batch, 1, true>(x, n, kLanes);
    } else {
        Pass<Batch, 8, true>(x, n, kLanes);
        half = 8 * kLanes;
    }
    for (; 8 * half <= n; half *= 8) Pass<Batch, 8, false>(x, n, half);
    if (4 * half <= n) {
        Pass<Batch, 4, false>(x, n, half);
    } else if (2 * half <= n) {
        Pass<Batch, 2, false>(x, n, half);
    }
}

template <class Batch>
void Butterfly(float* x, std::size_t half, float scale) {
    const Batch factor(scale);
    std::size_t i = 0;
    for (; i + Batch::size <= half; i += Batch::size) {
        const Batch a = Batch::load_unaligned(x + i);
        const Batch b = Batch::load_unaligned(x + i + half);
        ((a + b) * factor).store_unaligned(x + i);
        ((a - b) * factor).store_unaligned(x + i + half);
    }
    for (; i < half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = (a + b) * scale;
        x[i + half] = (a - b) * scale;
    }
}

template <class Batch>
void FlipScale(float* x, const std::uint8_t* signs, float scale, std::size_t n) {
    using Register = typename Batch::register_type;
    const Batch factor(scale);
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const std::uint32_t bits = signs[i / 8] | std::uint32_t{signs[i / 8 + 1]} << 8;
        for (std::size_t k = 0; k < 16; k += Batch::size) {
            const Batch scaled = Batch::load_unaligned(x + i + k) * factor;
            Batch(FlipSigns(static_cast<Register>(scaled), bits >> k)).store_unaligned(x + i + k);
        }
    }
    for (; i < n; ++i) {
        const float scaled = x[i] * scale;
        x[i] = (signs[i / 8] >> (i % 8)) & 1 ? -scaled : scaled;
    }
}

template <class Batch>
float OrderedDot(const float* a, const float* b, std::size_t n) {
    constexpr std::size_t kLanes = Batch::size;
    constexpr std::size_t kBatches = 16 / kLanes;
    Batch sums[kBatches];
    for (std::size_t k = 0; k < kBatches; ++k) sums[k] = Batch(0.0f);
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (std::size_t k = 0; k < kBatches; ++k)
            sums[k] = sums[k] + Batch::load_unaligned(a + i + k * kLanes) *
                                    Batch::load_unaligned(b + i + k * kLanes);
    float lanes[16];
    for (std::size_t k = 0; k < kBatches; ++k) sums[k].store_unaligned(lanes + k * kLanes);
    for (std::size_t lane = 0; i + lane < n; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
    return Fold<16>(lanes);
}

// The smallest score of each lane so far, and its codeword's index as a float: exact to 2^24.
template <class Batch>
struct Nearest {
    Batch score = Batch(__builtin_inff());
    Batch index = Batch(0.0f);

    // A later codeword replaces an earlier one only if it is nearer.
    void Take(const Batch& other_score, const Batch& other_index) {
        index = WhereLess(other_score, score, other_index, index);
        score = Min(other_score, score);
    }
};

// The smallest lane, in every lane. None is NaN.
template <std::size_t kStride, class Batch>
Batch SmallestLane(const Batch& x) {
    using Register = typename Batch::register_type;
    if constexpr (kStride == Batch::size) {
        return x;
    } else {
        const Batch other(SwapLanes<kStride>(static_cast<Register>(x)));
        return SmallestLane<2 * kStride>(Min(other, x));
    }
}

// Scores kCount batches of codewords, whose sums stay in registers over j. `index` holds the first
// batch's indices and moves to the batch after the last.
template <std::size_t kCount, class Batch>
void NearestOfStrip(const float* x, const float* book, const float* norms, std::size_t width,
                    std::size_t ksub, Batch& index, Nearest<Batch>& nearest) {
    Batch sum[kCount];
    for (std::size_t i = 0; i < kCount; ++i) sum[i] = Batch(0.0f);
    for (std::size_t j = 0; j < width; ++j, book += ksub) {
        const Batch factor(x[j]);
        for (std::size_t i = 0; i < kCount; ++i)
            sum[i] = sum[i] + factor * Batch::load_unaligned(book + i * Batch::size);
    }
    for (std::size_t i = 0; i < kCount; ++i) {
        const Batch norm = Batch::load_unaligned(norms + i * Batch::size);
        nearest.Take(norm - (sum[i] + sum[i]), index);
        index = index + Batch(static_cast<float>(Batch::size));
    }
}

template <class Batch>
std::uint32_t PqNearest(const float* x, const float* book, const float* norms, std::size_t width,
                        std::size_t ksub) {
    constexpr float kFirst[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    // Against 4: from 74 to 71 ns (AVX-512), from 282 to 178 ns (SSE2), for 256 codewords of 8.
    constexpr std::size_t kCount = 8;
    constexpr std::size_t kStrip = kCount * Batch::size;
    Batch index = Batch::load_unaligned(kFirst);
    Nearest<Batch> nearest;
    std::size_t k = 0;
    for (; k + kStrip <= ksub; k += kStrip)
        NearestOfStrip<kCount>(x, book + k, norms + k, width, ksub, index, nearest);
    for (; k < ksub; k += 16)
        NearestOfStrip<16 / Batch::size>(x, book + k, norms + k, width, ksub, index, nearest);

    // The lowest index of the lanes that have the smallest score.
    const Batch smallest = SmallestLane<1>(nearest.score);
    const Batch candidates =
        WhereLess(smallest, nearest.score, Batch(__builtin_inff()), nearest.index);
    float lanes[Batch::size];
    SmallestLane<1>(candidates).store_unaligned(lanes);
    return static_cast<std::uint32_t>(lanes[0]);
}

}  // namespace
}  // namespace quantvec::kernels
