// Rows encoded, put into a block and scanned as an index does it, and read back without it: the
// codes taken apart bit by bit, by the definitions in core/quant/*.h, and all sums in double.
#pragma once

#include "unit.h"

#include "core/quant/quantizer.h"

#include <algorithm>
#include <limits>

namespace quantvec::unit {

using quant::Kind;
using quant::Spec;

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The kernels of one table, until the end of the scope.
class UseTable {
  public:
    explicit UseTable(const char* name) : before_(kernels::Active().name) {
        CHECK(kernels::Select(name));
    }
    ~UseTable() { kernels::Select(before_.c_str()); }
    UseTable(const UseTable&) = delete;
    UseTable& operator=(const UseTable&) = delete;

  private:
    std::string before_;
};

inline std::vector<const char*> TableNames() {
    const kernels::Kernels* tables[kernels::kMostTables];
    const std::size_t count = kernels::Runnable(tables);
    std::vector<const char*> names;
    for (std::size_t i = 0; i < count; ++i) names.push_back(tables[i]->name);
    return names;
}

inline Spec BqSpec(std::size_t bits, std::size_t padded_dim) {
    return {Kind::kBq, static_cast<std::uint8_t>(bits), static_cast<std::uint32_t>(padded_dim)};
}
inline Spec Sq8Spec(std::size_t padded_dim) {
    return {Kind::kSq8, 8, static_cast<std::uint32_t>(padded_dim)};
}

// ---- vectors ----

template <class A, class B>
double Dot(const std::vector<A>& a, const std::vector<B>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
    return sum;
}
template <class A>
double Norm(const std::vector<A>& a) {
    return std::sqrt(Dot(a, a));
}
// a + factor * b.
template <class A, class B>
std::vector<double> Sum(const std::vector<A>& a, double factor, const std::vector<B>& b) {
    std::vector<double> out(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) out[i] = double{a[i]} + factor * double{b[i]};
    return out;
}
template <class A>
std::vector<float> ToFloat(const std::vector<A>& a, double factor = 1) {
    std::vector<float> out(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) out[i] = static_cast<float>(double{a[i]} * factor);
    return out;
}

// What codes estimate (core/quant/quantizer.h): ||q - c - r||^2 - norm_sqr.
inline double TrueKey(const std::vector<float>& q, const std::vector<float>& c,
                      const std::vector<float>& r, double norm_sqr = 0) {
    const std::vector<double> difference = Sum(Sum(q, -1, c), -1, r);
    return Dot(difference, difference) - norm_sqr;
}
inline double Base(const std::vector<float>& q, const std::vector<float>& c) {
    const std::vector<double> difference = Sum(q, -1, c);
    return Dot(difference, difference);
}

// Residuals of many shapes; all but the first are what the rotation is there to prevent.
inline constexpr const char* kShapes[] = {
    "gaussian",  "one-hot", "constant",    "signs",       "nearly signs",
    "power law", "zero",    "one outlier", "exponential", "two values",
};
inline std::vector<float> Shape(const std::string& shape, std::size_t n, Random& random) {
    std::vector<float> r(n);
    if (shape == "one-hot") {
        r[random.Below(n)] = -3;
        return r;
    }
    for (std::size_t i = 0; i < n; ++i) {
        const double sign = random.Below(2) == 0 ? 1 : -1, gaussian = random.Gaussian();
        double value = gaussian;
        if (shape == "constant") value = 0.7;
        if (shape == "signs") value = 0.3 * sign;
        if (shape == "nearly signs") value = sign * (0.1 + 1e-4 * gaussian);
        if (shape == "power law") value = sign / static_cast<double>(i + 1);
        if (shape == "zero") value = 0;
        if (shape == "one outlier") value = i == n / 3 ? 1000 : gaussian;
        if (shape == "exponential") value = -std::log(1 - random.Uniform());
        if (shape == "two values") value = random.Below(2) == 0 ? 5 : 0;
        r[i] = static_cast<float>(value);
    }
    return r;
}

// ---- one row ----

struct Row {
    quant::RowFactors factors;
    std::vector<std::uint8_t> code, refine;
};

inline Row Encode(const Spec& spec, const std::vector<float>& residual,
                  const std::vector<float>& centroid, float norm_sqr = 0) {
    const quant::Quantizer& quantizer = quant::Get(spec.kind);
    Row row;
    // What was in the memory before must not matter.
    row.code.assign(quantizer.ScanRowBytes(spec), 0xA5);
    row.refine.assign(quantizer.RefineRowBytes(spec), 0x5A);
    std::vector<float> workspace(spec.padded_dim, kNan);
    quant::EncodedRow encoded = {{}, row.code, row.refine};
    quantizer.Encode(spec, residual, centroid, norm_sqr, workspace, encoded);
    row.factors = encoded.factors;
    return row;
}

// What a stored error is charged for a decoded r^ that is not quite ||r||^2 long along r, because its
// scale is rounded (core/quant/quantizer.h): the difference as standard errors see it, and never less
// than all of it.
inline double AlongCharge(const std::vector<float>& r, const std::vector<double>& decoded) {
    const double length = Dot(decoded, r) / Dot(r, r);
    return std::fabs(length - 1) *
           std::max(Norm(r) * std::sqrt(static_cast<double>(r.size() - 1)) / 3,
                    Norm(decoded) / length);
}

// The integers of the scan code: bits of bq, bytes of sq8.
inline std::vector<double> ScanIntegers(const Spec& spec, const Row& row) {
    std::vector<double> u(spec.padded_dim);
    for (std::size_t i = 0; i < u.size(); ++i)
        u[i] = spec.kind == Kind::kBq ? row.code[i / 8] >> (i % 8) & 1 : row.code[i];
    return u;
}
// The integers of the whole bq code: the sign is the most significant bit, the others are planes.
inline std::vector<double> FineIntegers(const Spec& spec, const Row& row) {
    const std::size_t planes = spec.bits - 1u;
    std::vector<double> u = ScanIntegers(spec, row);
    for (std::size_t i = 0; i < u.size(); ++i) {
        unsigned value = static_cast<unsigned>(u[i]);
        for (std::size_t p = planes; p-- > 0;) {
            const std::size_t word = (i / 64 * planes + p) * 8;
            value = 2 * value + (row.refine[word + i % 64 / 8] >> (i % 8) & 1u);
        }
        u[i] = value;
    }
    return u;
}
// u - (2^bits - 1) / 2.
inline std::vector<double> Grid(std::vector<double> u, std::size_t bits) {
    for (double& x : u) x -= ((1 << bits) - 1) / 2.0;
    return u;
}

struct FineFactors {
    float add, scale, error;
};
inline FineFactors FineFactorsOf(const Row& row) {
    FineFactors factors;
    __builtin_memcpy(&factors, row.refine.data() + row.refine.size() - 12, 12);
    return factors;
}

// r^, as the stored factors have it.
inline std::vector<double> Decoded(const Spec& spec, const Row& row) {
    const double step = -0.5 * double{quant::FromBfloat16(row.factors.scale)};
    std::vector<double> r = ScanIntegers(spec, row);
    if (spec.kind == Kind::kBq) r = Grid(r, 1);
    for (double& x : r) x = x * step - 0.5 * double{row.factors.offset};
    return r;
}
inline std::vector<double> FineDecoded(const Spec& spec, const Row& row) {
    std::vector<double> r = Grid(FineIntegers(spec, row), spec.bits);
    for (double& x : r) x *= -0.5 * double{FineFactorsOf(row).scale};
    return r;
}

// ---- a query and a block ----

struct Query {
    Query(const Spec& spec, std::vector<float> vector, float epsilon)
        : q(std::move(vector)), memory(quant::Get(spec.kind).QueryBytes(spec)) {
        quant::Get(spec.kind).PrepareQuery(spec, q, epsilon, memory, prepared);
    }
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;

    std::vector<float> q;
    std::vector<std::uint8_t> memory;
    quant::PreparedQuery prepared = {};
};

// Standard deviation of a refined estimate that comes from the query's rounding: of the tables' entries
// (15 of 16 are rounded), and of the integers that the lower bits are multiplied with.
inline double FineQueryNoise(const Spec& spec, const Query& query, const Row& row) {
    const double half = 1 << (spec.bits - 1), n = static_cast<double>(spec.padded_dim);
    double low_squares = 0;
    for (double u : FineIntegers(spec, row)) low_squares += std::pow(u >= half ? u - half : u, 2);
    const double tables = half * double{query.prepared.unit} * std::sqrt(n / 4 * 15 / 16 / 12);
    const double lows = double{query.prepared.refine_unit} * std::sqrt(low_squares / 12);
    return std::fabs(double{FineFactorsOf(row).scale}) * std::hypot(tables, lows);
}

// Cuts [0, size) into random pieces of whole 64-byte lines, or leaves it whole; calls f(begin, n).
template <class F>
void InPieces(std::size_t size, Random* random, F f) {
    for (std::size_t begin = 0; begin < size;) {
        const std::size_t lines = (size - begin) / 64;
        // Small steps as often as large ones.
        const std::size_t most = random == nullptr ? lines : lines >> random->Below(8);
        const std::size_t n = random == nullptr || most == 0 ? lines : 1 + random->Below(most);
        f(begin, n * 64);
        begin += n * 64;
    }
}

struct Scanned {
    float lower[32], estimate[32], sums[32];
    std::uint32_t selected;

    double upper(std::size_t slot) const {
        return 2 * double{estimate[slot]} - double{lower[slot]};
    }
};

// A block's codes and factors, apart from any page.
class TestBlock {
  public:
    explicit TestBlock(const Spec& spec, Random* garbage = nullptr)
        : spec_(spec), quantizer_(quant::Get(spec.kind)) {
        codes.resize(quantizer_.BlockCodeBytes(spec));
        if (garbage != nullptr) codes = garbage->Bytes(codes.size());
    }
    void Put(std::size_t slot, const Row& row, Random* pieces = nullptr) {
        InPieces(codes.size(), pieces, [&](std::size_t begin, std::size_t n) {
            quantizer_.Scatter(spec_, row.code, slot, begin, {codes.data() + begin, n});
        });
        add[slot] = row.factors.add;
        offset[slot] = row.factors.offset;
        scale[slot] = row.factors.scale;
        error[slot] = row.factors.error;
    }
    // The code of a slot, read back.
    std::vector<std::uint8_t> Code(std::size_t slot) const {
        std::vector<std::uint8_t> code(quantizer_.ScanRowBytes(spec_), 0xA5);
        // No more than what must be there.
        const std::vector<std::uint8_t> some(
            codes.begin(),
            codes.begin() + static_cast<long>(quantizer_.CodeBytesFor(spec_, slot + 1)));
        quantizer_.Gather(spec_, some, slot, code);
        return code;
    }
    Scanned Scan(const Query& query, double base, Random* pieces = nullptr,
                 float threshold = kInfinity, std::uint32_t live = 0xFFFFFFFFu) const {
        Scanned out = {};
        InPieces(codes.size(), pieces, [&](std::size_t begin, std::size_t n) {
            // A copy of its own, so that a sanitizer sees a read beyond the piece.
            const std::vector<std::uint8_t> piece(codes.data() + begin, codes.data() + begin + n);
            // What is asked for ahead changes only how many rows go together.
            const std::ptrdiff_t ahead = begin % 128 == 0 ? 64 : 0;
            quantizer_.ScanPiece(spec_, query.prepared, begin, piece, live, ahead, out.sums);
        });
        out.selected = kernels::Active().bound_block(
            {add, scale, error, quantizer_.HasOffset() ? offset : nullptr},
            quant::ListScalars(query.prepared, static_cast<float>(base)), out.sums, threshold,
            out.lower, out.estimate);
        return out;
    }

    std::vector<std::uint8_t> codes;
    float add[32] = {}, offset[32] = {};
    std::uint16_t scale[32] = {}, error[32] = {};

  private:
    Spec spec_;
    const quant::Quantizer& quantizer_;
};

// A query whose rounding is none: the widest four coordinates sum up to the 255 steps of bq's
// tables, and the largest divides 8127, the range of the integer planes.
inline std::vector<float> ExactQuery(std::size_t n, Random& random) {
    std::vector<float> q(n);
    for (float& x : q) x = static_cast<float>(random.Below(81)) - 40;
    const std::size_t group = 4 * random.Below(n / 4);
    q[group] = 129;
    q[group + 1] = -126;
    q[group + 2] = q[group + 3] = 0;
    return q;
}

// Relative error of a sum of n floats in ordered_dot: roundings on the way of one term.
inline double Rounding(std::size_t n) {
    return (static_cast<double>(n) / 16 + 10) * 0x1p-24;
}

// P(|normal| > z).
inline double TwoTails(double z) {
    return std::erfc(z / std::sqrt(2.0));
}

// Codes of 32 residuals meet 1,000 queries whose direction has nothing to do with the errors: bounds of
// epsilon standard errors fail as often as a normal variable is beyond their width, and no bound is
// wider than widest(residual, length of its error) standard errors. decode(row) is r^.
template <class Decode, class Widest>
void CheckViolationRate(const char* name, const Spec& spec, Random& random, double epsilon,
                        const Decode& decode, const Widest& widest) {
    const std::size_t n = spec.padded_dim;
    const std::vector<float> c(n);
    TestBlock block(spec);
    std::vector<std::vector<float>> residuals;
    std::vector<double> errors;
    for (std::size_t slot = 0; slot < 32; ++slot) {
        residuals.push_back(random.Gaussians(n));
        const Row row = Encode(spec, residuals.back(), c);
        errors.push_back(Norm(Sum(residuals.back(), -1, decode(row))));
        block.Put(slot, row);
    }
    double count = 0, violated = 0, expected = 0;
    for (int i = 0; i < 1000; ++i) {
        const Query query(spec, random.Gaussians(n), static_cast<float>(epsilon));
        const double base = Base(query.q, c);
        const Scanned scanned = block.Scan(query, base);
        for (std::size_t slot = 0; slot < 32; ++slot) {
            const double key = TrueKey(query.q, c, residuals[slot]);
            const double sd = 2 * std::sqrt(base / static_cast<double>(n)) * errors[slot];
            const double width =
                (double{scanned.estimate[slot]} - double{scanned.lower[slot]}) / sd;
            count += 1;
            violated += double{scanned.lower[slot]} > key || scanned.upper(slot) < key;
            expected += TwoTails(width);
            CHECK(width <= widest(residuals[slot], errors[slot]));
        }
    }
    const double theory = TwoTails(epsilon);
    const double sampling = 5 * std::sqrt(theory / count);
    Where("%s dim=%zu epsilon=%g: %.4f of rows, expected %.4f, theory %.4f", name, n, epsilon,
          violated / count, expected / count, theory);
    CHECK_NEAR(violated / count, expected / count, sampling);
    CHECK(violated / count <= theory + sampling);
}

}  // namespace quantvec::unit
