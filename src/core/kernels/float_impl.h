// Bodies of the float distance kernels, once for all instruction sets: Batch is
// xsimd::batch<float, Arch>, or PlainBatch where there is none.
//
// Each distance keeps 4 accumulators of Batch::size lanes (cosine_sums 2 for each of its 3 sums),
// because one would wait for the latency of every addition. An element therefore passes through at
// most n / (4 * lanes) + 8 roundings, which gives the error bounds of README.md.
//
// Element is float or Half. A half becomes a float without error where it is read, so that a
// distance of halves is bit for bit that of the same numbers as floats.
#pragma once

#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"

namespace quantvec::kernels {
namespace {

// Sum over i of what step adds for (a[i], b[i]); step must add 0 for (0, 0).
template <class Batch, class Element, class Step>
float SumPairs(const Element* a, const Element* b, std::size_t n, Step step) {
    constexpr std::size_t kLanes = Batch::size;
    Batch sum0(0.0f), sum1(0.0f), sum2(0.0f), sum3(0.0f);
    const auto load = [](const Element* p) { return Load<Batch>(p); };
    std::size_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
        sum0 = step(sum0, load(a + i), load(b + i));
        sum1 = step(sum1, load(a + i + kLanes), load(b + i + kLanes));
        sum2 = step(sum2, load(a + i + 2 * kLanes), load(b + i + 2 * kLanes));
        sum3 = step(sum3, load(a + i + 3 * kLanes), load(b + i + 3 * kLanes));
    }
    for (; i + kLanes <= n; i += kLanes) sum0 = step(sum0, load(a + i), load(b + i));
    if (i < n) sum1 = step(sum1, LoadTail<Batch>(a + i, n - i), LoadTail<Batch>(b + i, n - i));
    return Sum((sum0 + sum1) + (sum2 + sum3));
}

template <class Batch, class Element>
float L2Sqr(const Element* a, const Element* b, std::size_t n) {
    return SumPairs<Batch>(a, b, n, [](const Batch& sum, const Batch& x, const Batch& y) {
        const Batch difference = x - y;
        return MulAdd(difference, difference, sum);
    });
}

template <class Batch, class Element>
float InnerProduct(const Element* a, const Element* b, std::size_t n) {
    return SumPairs<Batch>(a, b, n, [](const Batch& sum, const Batch& x, const Batch& y) {
        return MulAdd(x, y, sum);
    });
}

template <class Batch, class Element>
float L1(const Element* a, const Element* b, std::size_t n) {
    return SumPairs<Batch>(
        a, b, n, [](const Batch& sum, const Batch& x, const Batch& y) { return sum + Abs(x - y); });
}

template <class Batch, class Element>
void CosineSums(const Element* a, const Element* b, std::size_t n, float out[3]) {
    constexpr std::size_t kLanes = Batch::size;
    struct Sums {
        Batch ab = Batch(0.0f), aa = Batch(0.0f), bb = Batch(0.0f);
        void Add(const Batch& x, const Batch& y) {
            ab = MulAdd(x, y, ab);
            aa = MulAdd(x, x, aa);
            bb = MulAdd(y, y, bb);
        }
    };
    Sums even, odd;
    std::size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        even.Add(Load<Batch>(a + i), Load<Batch>(b + i));
        odd.Add(Load<Batch>(a + i + kLanes), Load<Batch>(b + i + kLanes));
    }
    for (; i + kLanes <= n; i += kLanes) even.Add(Load<Batch>(a + i), Load<Batch>(b + i));
    if (i < n) odd.Add(LoadTail<Batch>(a + i, n - i), LoadTail<Batch>(b + i, n - i));
    out[0] = Sum(even.ab + odd.ab);
    out[1] = Sum(even.aa + odd.aa);
    out[2] = Sum(even.bb + odd.bb);
}

// kRows rows against 2 * Batch::size columns of the tile: one value of a row serves two batches of
// columns, one load of the columns all rows, and the sums stay in registers over the dimensions.
template <class Batch, std::size_t kRows>
void ScoreStrip(const float* const* rows, const float* tile, const float* norms, std::size_t dim,
                float* scores) {
    Batch sum[kRows][2];
    for (std::size_t r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = Batch(0.0f);
    for (std::size_t j = 0; j < dim; ++j, tile += kTileColumns) {
        const Batch low = Batch::load_unaligned(tile);
        const Batch high = Batch::load_unaligned(tile + Batch::size);
        for (std::size_t r = 0; r < kRows; ++r) {
            const Batch value(rows[r][j]);
            sum[r][0] = MulAdd(value, low, sum[r][0]);
            sum[r][1] = MulAdd(value, high, sum[r][1]);
        }
    }
    for (std::size_t r = 0; r < kRows; ++r)
        for (std::size_t h = 0; h < 2; ++h) {
            const Batch norm = Batch::load_unaligned(norms + h * Batch::size);
            (norm - (sum[r][h] + sum[r][h]))
                .store_unaligned(scores + r * kTileColumns + h * Batch::size);
        }
}

template <class Batch>
void TileScores(const float* const* rows, std::size_t n, const float* tile, const float* norms,
                std::size_t dim, float* scores) {
    // As many sums as the registers hold: 16 of the 32 of AVX-512, 8 of 16.
    constexpr std::size_t kRows = Batch::size == 16 ? 8 : 4;
    constexpr std::size_t kStrip = 2 * Batch::size;
    std::size_t i = 0;
    for (; i + kRows <= n; i += kRows)
        for (std::size_t c = 0; c < kTileColumns; c += kStrip)
            ScoreStrip<Batch, kRows>(rows + i, tile + c, norms + c, dim,
                                     scores + i * kTileColumns + c);
    for (; i < n; ++i)
        for (std::size_t c = 0; c < kTileColumns; c += kStrip)
            ScoreStrip<Batch, 1>(rows + i, tile + c, norms + c, dim, scores + i * kTileColumns + c);
}

// 16 codewords at once; each in a lane of its own, in order of the dimensions.
template <class Batch>
void PqProducts(const float* x, const float* book, std::size_t width, std::size_t ksub,
                float* out) {
    constexpr std::size_t kBatches = 16 / Batch::size;
    for (std::size_t k = 0; k < ksub; k += 16) {
        Batch sum[kBatches];
        for (std::size_t b = 0; b < kBatches; ++b) sum[b] = Batch(0.0f);
        for (std::size_t j = 0; j < width; ++j) {
            const Batch value(x[j]);
            for (std::size_t b = 0; b < kBatches; ++b) {
                const float* words = book + j * ksub + k + b * Batch::size;
                sum[b] = MulAdd(value, Batch::load_unaligned(words), sum[b]);
            }
        }
        for (std::size_t b = 0; b < kBatches; ++b)
            sum[b].store_unaligned(out + k + b * Batch::size);
    }
}

template <class Batch>
void HalfToFloat(const Half* x, std::size_t n, float* out) {
    std::size_t i = 0;
    for (; i + Batch::size <= n; i += Batch::size) Load<Batch>(x + i).store_unaligned(out + i);
    for (; i < n; ++i) out[i] = ToFloat(x[i]);
}

// A plain loop: the compiler makes it of the target's instructions.
void BytesToFloat(const std::uint8_t* x, std::size_t n, float scale, float least, float* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = least + scale * static_cast<float>(x[i]);
}

template <class Batch>
float AbsMax(const float* x, std::size_t n) {
    constexpr std::size_t kLanes = Batch::size;
    Batch most(0.0f);
    const auto add = [&](const Batch& values) {
        const Batch magnitudes = Abs(values);
        most = WhereLess(most, magnitudes, magnitudes, most);
    };
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) add(Batch::load_unaligned(x + i));
    if (i < n) add(LoadTail<Batch>(x + i, n - i));
    float lanes[kLanes];
    most.store_unaligned(lanes);
    float largest = 0;
    for (float lane : lanes) largest = lane > largest ? lane : largest;
    return largest;
}

}  // namespace
}  // namespace quantvec::kernels
