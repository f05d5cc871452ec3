// The eigenvectors of the residuals' covariance, and how sub-spaces share them (basis.h).
#include "core/quant/basis.h"

#include <cstring>

namespace quantvec::quant {

namespace {

using Phase = Eigen::Phase;

// What the matrix, divided by its largest element, may neglect: far below a float's rounding, and
// far enough above a double's that clusters of zero eigenvalues do not keep QL busy.
constexpr double kNegligible = 1e-10;

// Three are usual for the first eigenvalues, one for the last.
constexpr unsigned kMaxIterations = 60;

float Dot(const float* a, const float* b, std::size_t n) {
    return kernels::Active().ordered_dot(a, b, n);
}

// y += f * x
void AddScaled(float* __restrict y, float f, const float* __restrict x, std::size_t n) {
    for (std::size_t k = 0; k < n; k++) y[k] += f * x[k];
}

void Scale(float* x, double f, std::size_t n) {
    for (std::size_t k = 0; k < n; k++) x[k] = static_cast<float>(x[k] * f);
}

double SquaredNorm(const float* x, std::size_t n) {
    double sum = 0;
    for (std::size_t k = 0; k < n; k++) sum += double{x[k]} * double{x[k]};
    return sum;
}

// (x, y) <- (c x - s y, s x + c y)
void Rotate(float* __restrict x, float* __restrict y, float c, float s, std::size_t n) {
    for (std::size_t k = 0; k < n; k++) {
        const float a = x[k], b = y[k];
        x[k] = c * a - s * b;
        y[k] = s * a + c * b;
    }
}

// With x = row i left of the diagonal: the reflection P = I - u u^T / h that turns x into its last
// coordinate. A becomes P A P above row i, u stays in the place of x, and off[i - 1] becomes that
// coordinate. values[i] = h, 0 for P = I.
void Reduce(Eigen& e, std::size_t i) {
    const std::size_t n = e.n;
    float* u = e.vectors + i * n;
    float* p = e.work;
    const double rest = SquaredNorm(u, i - 1), last = u[i - 1];
    if (!(rest > kNegligible * kNegligible)) {
        e.off[i - 1] = last;
        e.values[i] = 0;
        return;
    }
    const double length = __builtin_sqrt(rest + last * last);
    e.off[i - 1] = last > 0 ? -length : length;
    const double tip = last - e.off[i - 1];
    // The length of u is free: with this one h is 1, but for the rounding of u.
    const double factor = __builtin_sqrt(2 / (rest + tip * tip));
    Scale(u, factor, i - 1);
    u[i - 1] = static_cast<float>(tip * factor);
    const double h = SquaredNorm(u, i) / 2;
    e.values[i] = h;

    // p = A u. Only the lower half of A is stored.
    for (std::size_t j = 0; j < i; j++) {
        const float* row = e.vectors + j * n;
        p[j] = Dot(row, u, j + 1);
        AddScaled(p, u[j], row, j);
    }
    // q = p / h - (<u, p> / 2 h^2) u, in the place of p; A -= u q^T + q u^T
    const double half = double{Dot(u, p, i)} / (2 * h * h);
    for (std::size_t j = 0; j < i; j++) p[j] = static_cast<float>(p[j] / h - half * u[j]);
    for (std::size_t j = 0; j < i; j++) {
        float* __restrict row = e.vectors + j * n;
        const float uj = u[j], qj = p[j];
        for (std::size_t k = 0; k <= j; k++) row[k] -= uj * p[k] + qj * u[k];
    }
}

// The product of the reflections 1 to i, in the rows above i, from that up to i - 1.
void Accumulate(Eigen& e, std::size_t i) {
    const std::size_t n = e.n;
    float* fresh = e.vectors + (i - 1) * n;
    std::memset(fresh, 0, (i - 1) * sizeof(float));
    for (std::size_t j = 0; j + 1 < i; j++) e.vectors[j * n + i - 1] = 0;
    fresh[i - 1] = 1;
    if (i == n) return;
    const float* u = e.vectors + i * n;
    const double h = e.values[i];
    e.values[i] = u[i];  // the diagonal of the tridiagonal matrix
    if (!(h > 0)) return;
    for (std::size_t j = 0; j < i; j++) {
        float* row = e.vectors + j * n;
        AddScaled(row, static_cast<float>(-double{Dot(row, u, i)} / h), u, i);
    }
}

// One sweep of implicit QL for eigenvalue l. false: it is found.
bool Sweep(Eigen& e, std::size_t l) {
    double* d = e.values;
    double* off = e.off;
    std::size_t m = l;
    for (; m + 1 < e.n; m++) {
        const double size = __builtin_fabs(d[m]) + __builtin_fabs(d[m + 1]);
        if (__builtin_fabs(off[m]) <= kNegligible + 0x1p-52 * size) break;
    }
    if (m == l) return false;
    double g = (d[l + 1] - d[l]) / (2 * off[l]);
    const double root = __builtin_sqrt(g * g + 1);
    g = d[m] - d[l] + off[l] / (g < 0 ? g - root : g + root);
    double s = 1, c = 1, p = 0;
    for (std::size_t i = m; i-- > l;) {
        const double f = s * off[i], b = c * off[i];
        double r = __builtin_sqrt(f * f + g * g);
        off[i + 1] = r;
        if (r == 0) {  // the matrix falls apart here
            d[i + 1] -= p;
            off[m] = 0;
            return true;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        Rotate(e.vectors + i * e.n, e.vectors + (i + 1) * e.n, static_cast<float>(c),
               static_cast<float>(s), e.n);
    }
    d[l] -= p;
    off[l] = g;
    off[m] = 0;
    return true;
}

// Row k becomes the vector of the k-th largest eigenvalue, orthogonal to those before (Gram and
// Schmidt, modified). false: nothing is left of it.
bool Order(Eigen& e, std::size_t k) {
    std::size_t largest = k;
    for (std::size_t j = k + 1; j < e.n; j++)
        if (e.values[j] > e.values[largest]) largest = j;
    float* row = e.vectors + k * e.n;
    if (largest != k) {
        float* other = e.vectors + largest * e.n;
        std::memcpy(e.work, row, e.n * sizeof(float));
        std::memcpy(row, other, e.n * sizeof(float));
        std::memcpy(other, e.work, e.n * sizeof(float));
        const double value = e.values[k];
        e.values[k] = e.values[largest];
        e.values[largest] = value;
    }
    e.values[k] *= e.unit;
    for (std::size_t j = 0; j < k; j++) {
        const float* before = e.vectors + j * e.n;
        AddScaled(row, -Dot(row, before, e.n), before, e.n);
    }
    const double length = SquaredNorm(row, e.n);
    if (!(length > 0.25)) return false;
    Scale(row, 1 / __builtin_sqrt(length), e.n);
    return true;
}

void Enter(Eigen& e, Phase phase, std::size_t at) {
    e.phase = phase;
    e.at = at;
    e.iterations = 0;
}

}  // namespace

void AddCovariance(const float* x, std::size_t rows, std::size_t n, float* covariance) {
    for (; rows >= 4; rows -= 4, x += 4 * n) {
        const float *x1 = x + n, *x2 = x + 2 * n, *x3 = x + 3 * n;
        for (std::size_t i = 0; i < n; i++) {
            float* __restrict row = covariance + i * n;
            const float f0 = x[i], f1 = x1[i], f2 = x2[i], f3 = x3[i];
            for (std::size_t j = 0; j <= i; j++)
                row[j] += (f0 * x[j] + f1 * x1[j]) + (f2 * x2[j] + f3 * x3[j]);
        }
    }
    for (; rows > 0; rows--, x += n)
        for (std::size_t i = 0; i < n; i++) AddScaled(covariance + i * n, x[i], x, i + 1);
}

void EigenBegin(Eigen& e) {
    QV_ASSERT(e.n >= 1);
    float largest = 0;
    bool finite = true;
    for (std::size_t i = 0; i < e.n; i++) {
        const float* row = e.vectors + i * e.n;
        for (std::size_t j = 0; j <= i; j++) {
            const float a = __builtin_fabsf(row[j]);
            finite &= a < __builtin_inff();
            largest = a > largest ? a : largest;
        }
    }
    e.unit = largest > 0 ? double{largest} : 1;
    for (std::size_t i = 0; i < e.n; i++) Scale(e.vectors + i * e.n, 1 / e.unit, i + 1);
    Enter(e, finite ? Phase::kReduce : Phase::kFailed, e.n - 1);
}

bool EigenStep(Eigen& e) {
    switch (e.phase) {
        case Phase::kReduce:
            if (e.at > 0) {
                Reduce(e, e.at--);
            } else {
                e.values[0] = e.vectors[0];
                e.off[e.n - 1] = 0;
                Enter(e, Phase::kAccumulate, 1);
            }
            return true;
        case Phase::kAccumulate:
            Accumulate(e, e.at);
            if (e.at++ == e.n) Enter(e, Phase::kRotate, 0);
            return true;
        case Phase::kRotate:
            if (Sweep(e, e.at)) {
                if (++e.iterations > kMaxIterations) Enter(e, Phase::kFailed, 0);
            } else if (++e.at < e.n) {
                e.iterations = 0;
            } else {
                Enter(e, Phase::kOrder, 0);
            }
            return e.phase != Phase::kFailed;
        case Phase::kOrder:
            if (!Order(e, e.at))
                Enter(e, Phase::kFailed, 0);
            else if (++e.at == e.n)
                Enter(e, Phase::kDone, 0);
            return e.phase == Phase::kOrder;
        case Phase::kDone:
        case Phase::kFailed:
            break;
    }
    return false;
}

void AllocateBalanced(const Spec& spec, const double* eigenvalues, double* load,
                      std::uint32_t* order) {
    constexpr std::uint32_t kFree = 0xffffffffu;
    constexpr double kNoise = 1e-6;  // of the largest eigenvalue
    const std::size_t n = spec.padded_dim;
    QV_ASSERT(spec.m >= 1 && spec.m <= n);

    // The water level: `active` values lie above it, their logs above its log sum up to `bits`.
    const double bits = 2 * 0.6931471805599453 * static_cast<double>(spec.m) * spec.bits;
    double level = 0, sum = 0;
    std::size_t active = 0;
    while (active < n && eigenvalues[active] > kNoise * eigenvalues[0]) {
        const double log = __builtin_log(eigenvalues[active]);
        if (active > 0 && log <= level) break;
        sum += log;
        active++;
        level = (sum - bits) / static_cast<double>(active);
    }

    for (std::size_t j = 0; j < spec.m; j++) load[j] = 0;
    for (std::size_t k = 0; k < n; k++) order[k] = kFree;
    for (std::size_t i = 0; i < n; i++) {
        // A sub-space is filled from its begin: there is room while its end is free.
        std::size_t best = spec.m;
        for (std::size_t j = 0; j < spec.m; j++)
            if (order[PqBegin(spec, j + 1) - 1] == kFree &&
                (best == spec.m || load[j] < load[best]))
                best = j;
        std::size_t k = PqBegin(spec, best);
        while (order[k] != kFree) k++;
        order[k] = static_cast<std::uint32_t>(i);
        if (i < active) load[best] += __builtin_log(eigenvalues[i]) - level;
    }
}

void ApplyBasis(const float* basis, const float* x, std::size_t n, float* out) {
    for (std::size_t k = 0; k < n; k++) out[k] = Dot(basis + k * n, x, n);
}

}  // namespace quantvec::quant
