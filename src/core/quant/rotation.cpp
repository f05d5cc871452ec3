// The random signs, and the transforms of the rotation (rotation.h).
#include "core/quant/rotation.h"

#include "core/random.h"

namespace quantvec::quant {

void FillRotation(std::uint64_t seed, std::size_t padded_dim, ByteSpan signs) {
    QV_ASSERT(signs.size() == RotationBytes(padded_dim));
    std::uint64_t state = seed;
    for (std::size_t i = 0; i < RotationBytes(padded_dim); i += 8) {
        // Least significant byte first, on every machine.
        std::uint64_t word = NextRandom(state);
        for (std::size_t k = 0; k < 8; ++k, word >>= 8)
            signs[i + k] = static_cast<std::uint8_t>(word);
    }
}

namespace {

// What the rounds of a rotation of n coordinates have in common.
struct Rounds {
    std::size_t n, power;
    float hadamard_scale;

    explicit Rounds(std::size_t size) : n(size), power(64) {
        QV_ASSERT(n % 64 == 0 && n > 0);
        while (2 * power <= n) power *= 2;
        hadamard_scale = static_cast<float>(1 / __builtin_sqrt(static_cast<double>(power)));
    }
    // Where the transform of round i begins, and where the coordinates begin that it leaves out.
    std::size_t First(std::size_t i) const { return i % 2 == 0 ? 0 : n - power; }
    std::size_t Rest(std::size_t i) const { return i % 2 == 0 ? power : 0; }
    bool HasButterfly(std::size_t i) const { return power < n && i % 2 == 1; }
};

constexpr float kButterflyScale = 0x1.6a09e6p-1f;  // sqrt(1/2)

}  // namespace

void Rotate(ConstByteSpan signs, FloatSpan x, const kernels::Kernels& kernels) {
    const std::size_t n = x.size();
    QV_ASSERT(signs.size() == RotationBytes(n));
    const Rounds rounds(n);
    const auto row = [&](std::size_t i) { return signs.data() + i * n / 8; };
    for (std::size_t i = 0; i < kTransforms; ++i) {
        // Signs and the transform's scale in one pass; `first` and `rest` are multiples of 64.
        const std::size_t first = rounds.First(i), rest = rounds.Rest(i);
        kernels.flip_scale(x.data() + first, row(i) + first / 8, rounds.hadamard_scale,
                           rounds.power);
        kernels.flip_scale(x.data() + rest, row(i) + rest / 8, 1.0f, n - rounds.power);
        kernels.hadamard(x.data() + first, rounds.power);
        if (rounds.HasButterfly(i)) {
            kernels.flip_scale(x.data(), row(kTransforms + i / 2), 1.0f, n);
            kernels.butterfly(x.data(), n / 2, kButterflyScale);
        }
    }
}

// Each factor is its own inverse: the same ones, from the last to the first.
void Unrotate(ConstByteSpan signs, FloatSpan x) {
    const kernels::Kernels& kernels = kernels::Active();
    const std::size_t n = x.size();
    QV_ASSERT(signs.size() == RotationBytes(n));
    const Rounds rounds(n);
    const auto row = [&](std::size_t i) { return signs.data() + i * n / 8; };
    for (std::size_t i = kTransforms; i-- > 0;) {
        if (rounds.HasButterfly(i)) {
            kernels.butterfly(x.data(), n / 2, kButterflyScale);
            kernels.flip_scale(x.data(), row(kTransforms + i / 2), 1.0f, n);
        }
        const std::size_t first = rounds.First(i), rest = rounds.Rest(i);
        kernels.hadamard(x.data() + first, rounds.power);
        kernels.flip_scale(x.data() + first, row(i) + first / 8, rounds.hadamard_scale,
                           rounds.power);
        kernels.flip_scale(x.data() + rest, row(i) + rest / 8, 1.0f, n - rounds.power);
    }
}

}  // namespace quantvec::quant
