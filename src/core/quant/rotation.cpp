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

void Rotate(ConstByteSpan signs, FloatSpan x, const kernels::Kernels& kernels) {
    const std::size_t n = x.size();
    QV_ASSERT(n % 64 == 0 && n > 0);
    QV_ASSERT(signs.size() == RotationBytes(n));
    std::size_t power = 64;
    while (2 * power <= n) power *= 2;
    const float hadamard_scale = static_cast<float>(1 / __builtin_sqrt(static_cast<double>(power)));
    const float butterfly_scale = static_cast<float>(__builtin_sqrt(0.5));

    const auto row = [&](std::size_t i) { return signs.data() + i * n / 8; };
    for (std::size_t i = 0; i < kTransforms; ++i) {
        // Signs and the transform's scale in one pass; `first` and `rest` are multiples of 64.
        const bool leading = i % 2 == 0;
        const std::size_t first = leading ? 0 : n - power;
        const std::size_t rest = leading ? power : 0;
        kernels.flip_scale(x.data() + first, row(i) + first / 8, hadamard_scale, power);
        kernels.flip_scale(x.data() + rest, row(i) + rest / 8, 1.0f, n - power);
        kernels.hadamard(x.data() + first, power);
        if (power < n && !leading) {
            kernels.flip_scale(x.data(), row(kTransforms + i / 2), 1.0f, n);
            kernels.butterfly(x.data(), n / 2, butterfly_scale);
        }
    }
}

}  // namespace quantvec::quant
