// The codes of pq against plain loops over their codebooks, and the steps of the training.
//
// This file is long because it judges two things by one set of plain loops: codes, and the training
// that makes their codebooks.
#include "codes.h"
#include "unit.h"

#include "core/quant/pq.h"

#include <algorithm>
#include <cstring>

using namespace quantvec;
using namespace quantvec::unit;

namespace {

// Dimensions, sub-quantizers and bits: even and uneven widths, one sub-space, and as many as
// dimensions.
struct Shape3 {
    std::size_t bits, n, m;
};
constexpr Shape3 kPqShapes[] = {
    {8, 64, 8},  {8, 64, 1}, {8, 64, 64}, {8, 128, 7}, {8, 384, 48}, {8, 832, 98}, {8, 1024, 129},
    {4, 64, 16}, {4, 64, 1}, {4, 64, 64}, {4, 128, 7}, {4, 384, 96}, {4, 832, 99}, {4, 1024, 512},
};

std::size_t Width(const Spec& spec, std::size_t j) {
    return quant::PqBegin(spec, j + 1) - quant::PqBegin(spec, j);
}

// A spec with codebooks of its own. Codeword k of sub-space j at dimension i of it:
// books[(PqBegin(j) + i) * words + k].
struct Pq {
    Pq(std::size_t bits, std::size_t n, std::size_t m)
        : spec{Kind::kPq, static_cast<std::uint8_t>(bits), static_cast<std::uint32_t>(n)},
          words(std::size_t{1} << bits) {
        spec.m = static_cast<std::uint32_t>(m);
        books.resize(n * words);
        norms.resize(m * words);
        spec.books = books.data();
        spec.norms = norms.data();
    }
    explicit Pq(const Shape3& shape) : Pq(shape.bits, shape.n, shape.m) {}
    // Codewords of random coordinates, shorter than residuals are, as means would be.
    Pq(const Shape3& shape, Random& random) : Pq(shape) {
        for (float& x : books) x = static_cast<float>(0.8 * random.Gaussian());
        SetNorms();
    }
    Pq(const Pq&) = delete;
    Pq& operator=(const Pq&) = delete;

    void SetNorms() { quant::PqNorms(spec, books.data(), norms.data()); }
    float& At(std::size_t j, std::size_t k, std::size_t i) {
        return books[(quant::PqBegin(spec, j) + i) * words + k];
    }
    float At(std::size_t j, std::size_t k, std::size_t i) const {
        return books[(quant::PqBegin(spec, j) + i) * words + k];
    }
    // ||codeword k of sub-space j - x||^2.
    double DistanceSqr(std::size_t j, std::size_t k, const float* x) const {
        double sum = 0;
        for (std::size_t i = 0; i < Width(spec, j); ++i)
            sum += std::pow(double{At(j, k, i)} - double{x[i]}, 2);
        return sum;
    }

    Spec spec;
    std::size_t words;
    std::vector<float> books, norms;
};

// ---- codes taken apart ----

std::vector<std::size_t> Words(const Spec& spec, const Row& row) {
    std::vector<std::size_t> out(spec.m);
    for (std::size_t j = 0; j < spec.m; ++j)
        out[j] = spec.bits == 8 ? row.code[j] : row.code[j / 2] >> (j % 2 * 4) & 15u;
    return out;
}
// g: the codewords side by side.
std::vector<double> GridOf(const Pq& pq, const Row& row) {
    std::vector<double> g;
    const std::vector<std::size_t> words = Words(pq.spec, row);
    for (std::size_t j = 0; j < pq.spec.m; ++j)
        for (std::size_t i = 0; i < Width(pq.spec, j); ++i)
            g.push_back(double{pq.At(j, words[j], i)});
    return g;
}
double AlphaOf(const Row& row) {
    return -0.5 * double{quant::FromBfloat16(row.factors.scale)};
}
// r^ = alpha g.
std::vector<double> DecodedOf(const Pq& pq, const Row& row) {
    std::vector<double> r = GridOf(pq, row);
    for (double& x : r) x *= AlphaOf(row);
    return r;
}

// <q_j, codeword k> for a plain loop, and the sum of the terms' magnitudes.
struct Entry {
    double value = 0, magnitude = 0;
};
Entry EntryOf(const Pq& pq, const std::vector<float>& q, std::size_t j, std::size_t k) {
    Entry entry;
    for (std::size_t i = 0; i < Width(pq.spec, j); ++i) {
        const double term = double{q[quant::PqBegin(pq.spec, j) + i]} * double{pq.At(j, k, i)};
        entry.value += term;
        entry.magnitude += std::fabs(term);
    }
    return entry;
}

}  // namespace

// ---- sizes and places ----

TEST(PqSizes) {
    const quant::Quantizer& pq = quant::Get(Kind::kPq);
    CHECK(!pq.HasOffset());
    for (const Shape3& shape : kPqShapes) {
        const auto [bits, n, m] = shape;
        Where("bits=%zu dim=%zu m=%zu", bits, n, m);
        Spec spec = {Kind::kPq, static_cast<std::uint8_t>(bits), static_cast<std::uint32_t>(n)};
        spec.m = static_cast<std::uint32_t>(m);
        CHECK_EQ(quant::PqWords(spec), bits == 8 ? 256 : 16);
        CHECK_EQ(pq.ScanRowBytes(spec), bits == 8 ? m : (m + 1) / 2);
        const std::size_t block = bits == 8 ? (m + 1) / 2 * 64 : (m + 3) / 4 * 64;
        CHECK_EQ(pq.BlockCodeBytes(spec), block);
        // Entries of the tables, two bytes or one for each byte or nibble of a row's code, and floats.
        CHECK_EQ(pq.QueryBytes(spec), bits == 8 ? block * 16 + m * 1024 : block + m * 64);
        CHECK_EQ(pq.RefineRowBytes(spec), 0);
        // Transposed codes are there as a whole or not at all.
        for (std::size_t slots = 0; slots <= 32; ++slots)
            CHECK_EQ(pq.CodeBytesFor(spec, slots), slots == 0 ? 0 : block);
    }
}

// Sub-spaces follow each other, and no two widths differ by more than one.
TEST(PqWidthsAreNearlyEqual) {
    for (std::size_t n : {64, 832, 1024})
        for (std::size_t m = 1; m <= n; ++m) {
            Where("dim=%zu m=%zu", n, m);
            Spec spec = {Kind::kPq, 8, static_cast<std::uint32_t>(n)};
            spec.m = static_cast<std::uint32_t>(m);
            CHECK_EQ(quant::PqBegin(spec, 0), 0);
            CHECK_EQ(quant::PqBegin(spec, m), n);
            for (std::size_t j = 0; j < m; ++j)
                CHECK(Width(spec, j) >= n / m && Width(spec, j) <= (n + m - 1) / m);
        }
}

TEST(PqNormsAreThose) {
    for (const Shape3& shape : kPqShapes) {
        Random random(shape.m);
        const Pq pq(shape, random);
        for (std::size_t j = 0; j < pq.spec.m; ++j)
            for (std::size_t k = 0; k < pq.words; ++k) {
                Where("bits=%zu dim=%zu m=%zu j=%zu k=%zu", shape.bits, shape.n, shape.m, j, k);
                const std::vector<float> zero(Width(pq.spec, j));
                const double norm = pq.DistanceSqr(j, k, zero.data());
                CHECK_NEAR(pq.norms[j * pq.words + k], norm,
                           static_cast<double>(zero.size() + 1) * 0x1p-24 * norm);
            }
    }
}

// A slot's codes may be written while others are read; what no sub-quantizer uses becomes 0, which
// the query's tables are there.
TEST(PqScatterTouchesOnlyItsSlot) {
    for (const Shape3& shape : kPqShapes) {
        if (shape.n > 384) continue;
        const Pq pq(shape);
        Random random(shape.m);
        TestBlock block(pq.spec, &random);
        for (std::size_t slot = 0; slot < 32; ++slot) {
            Row row;
            row.code = random.Bytes(quant::Get(Kind::kPq).ScanRowBytes(pq.spec));
            std::vector<std::size_t> words = Words(pq.spec, row);
            words.resize(block.codes.size() / (shape.bits == 8 ? 32 : 16));
            std::vector<std::uint8_t> expected = block.codes;
            for (std::size_t j = 0; j < words.size(); ++j)
                if (shape.bits == 8) {
                    expected[32 * j + slot] = static_cast<std::uint8_t>(words[j]);
                } else {
                    std::uint8_t& byte = expected[16 * j + slot % 16];
                    byte = static_cast<std::uint8_t>(slot < 16 ? (byte & 0xF0u) | words[j]
                                                               : (byte & 0x0Fu) | words[j] << 4);
                }
            block.Put(slot, row, &random);
            Where("bits=%zu dim=%zu m=%zu slot=%zu", shape.bits, shape.n, shape.m, slot);
            CHECK(block.codes == expected);
            // Of an odd number of nibbles the last byte has one.
            if (shape.bits == 4 && shape.m % 2 == 1) row.code.back() &= 0x0Fu;
            CHECK(block.Code(slot) == row.code);
        }
    }
}

// ---- encoding ----

// No codeword is nearer than the chosen one, but for float rounding of its score.
TEST(PqEncodePicksTheNearest) {
    for (const Shape3& shape : kPqShapes)
        for (const char* residual : kShapes) {
            Random random(shape.n + shape.m);
            const Pq pq(shape, random);
            const std::vector<float> r = Shape(residual, shape.n, random);
            const Row row = Encode(pq.spec, r, random.Gaussians(shape.n));
            const std::vector<std::size_t> words = Words(pq.spec, row);
            for (std::size_t j = 0; j < shape.m; ++j) {
                Where("bits=%zu dim=%zu m=%zu %s j=%zu", shape.bits, shape.n, shape.m, residual, j);
                const float* x = r.data() + quant::PqBegin(pq.spec, j);
                const std::size_t width = Width(pq.spec, j);
                const double chosen = pq.DistanceSqr(j, words[j], x);
                for (std::size_t k = 0; k < pq.words; ++k) {
                    double terms = 0;
                    for (std::size_t word : {k, words[j]})
                        for (std::size_t i = 0; i < width; ++i) {
                            const double y = double{pq.At(j, word, i)};
                            terms += y * y + 2 * std::fabs(y * double{x[i]});
                        }
                    const double rounding = static_cast<double>(width + 2) * 0x1p-24 * terms;
                    CHECK(chosen <= pq.DistanceSqr(j, k, x) + rounding);
                }
            }
        }
}

// Each codeword is found where it is itself to be coded, the lower of two equal ones.
TEST(PqEncodeFindsEveryCodeword) {
    for (const Shape3& shape : kPqShapes) {
        Random random(shape.n + shape.m);
        Pq pq(shape, random);
        for (std::size_t j = 0; j < shape.m; ++j)
            for (std::size_t i = 0; i < Width(pq.spec, j); ++i)
                pq.At(j, pq.words - 1, i) = pq.At(j, 5, i);
        pq.SetNorms();
        for (std::size_t k = 0; k < pq.words; ++k) {
            std::vector<float> r(shape.n);
            std::vector<std::size_t> expected(shape.m);
            for (std::size_t j = 0; j < shape.m; ++j) {
                const std::size_t word = (k + 3 * j) % pq.words;
                expected[j] = word == pq.words - 1 ? 5 : word;
                for (std::size_t i = 0; i < Width(pq.spec, j); ++i)
                    r[quant::PqBegin(pq.spec, j) + i] = pq.At(j, word, i);
            }
            // In sub-spaces of one dimension, two random codewords may be nearer than float sees.
            if (shape.n / shape.m == 1) continue;
            Where("bits=%zu dim=%zu m=%zu k=%zu", shape.bits, shape.n, shape.m, k);
            const Row row = Encode(pq.spec, r, std::vector<float>(shape.n));
            CHECK(Words(pq.spec, row) == expected);
            // Then nothing is lost: alpha is 1, the error what rounding is charged, 1e-3 ||r||.
            CHECK_EQ(AlphaOf(row), 1);
            CHECK(double{quant::FromBfloat16(row.factors.error)} < 1.2e-3 * Norm(r));
        }
    }
}

// <r^, r> = ||r||^2, but for the 8 bits that the scale is rounded to; ||r||^2 + 2 <c, r^> - norm;
// and an error that is never below the true one and little above it: a bfloat16 rounded up, 1e-6 of
// the square, and what the rounded scale leaves along r.
TEST(PqFactorsAreTheirFormulas) {
    for (const Shape3& shape : kPqShapes)
        for (const char* residual : kShapes)
            for (float norm_sqr : {0.0f, 123.0f}) {
                Where("bits=%zu dim=%zu m=%zu %s norm=%g", shape.bits, shape.n, shape.m, residual,
                      double{norm_sqr});
                const std::size_t n = shape.n;
                Random random(n + shape.m);
                const Pq pq(shape, random);
                const std::vector<float> c = random.Gaussians(n), r = Shape(residual, n, random);
                const Row row = Encode(pq.spec, r, c, norm_sqr);
                CHECK_EQ(row.factors.offset, 0);
                const double norm = double{quant::WithSlack(norm_sqr)};
                const double stored = double{quant::FromBfloat16(row.factors.error)};
                const double rr = Dot(r, r);
                if (rr == 0) {
                    CHECK_EQ(stored, 0);
                    CHECK_EQ(row.factors.add, -norm);
                    continue;
                }
                // Codewords that point away from r, which one long sub-space may give, say nothing.
                if (Dot(GridOf(pq, row), r) < 1e-3 * std::sqrt(rr) * Norm(GridOf(pq, row))) {
                    continue;
                }
                const std::vector<double> decoded = DecodedOf(pq, row);
                CHECK_NEAR(Dot(decoded, r) / rr, 1, 0x1p-8 + 1e-4);
                double terms = rr + norm;
                for (std::size_t i = 0; i < n; ++i)
                    terms += 2 * std::fabs(double{c[i]} * decoded[i]);
                CHECK_NEAR(row.factors.add, rr + 2 * Dot(c, decoded) - norm, Rounding(n) * terms);
                const double truth = Norm(Sum(r, -1, decoded));
                const double exact = rr / Dot(decoded, r);
                const double across = Norm(Sum(r, -exact, decoded));
                CHECK(stored >= truth * (1 - Rounding(n)));
                CHECK(stored <= (std::sqrt(across * across + (1.01e-6 + 4 * Rounding(n)) * rr) +
                                 AlongCharge(r, decoded) + Rounding(n) * Norm(r)) *
                                    (1 + 0x1p-7 + Rounding(n)));
            }
}

TEST(PqSameBytesOnEveryTable) {
    const std::vector<const char*> tables = TableNames();
    for (const Shape3& shape : kPqShapes)
        for (const char* residual : kShapes) {
            Random random(shape.n + shape.m);
            const Pq pq(shape, random);
            const std::vector<float> c = random.Gaussians(shape.n);
            const std::vector<float> r = Shape(residual, shape.n, random);
            std::vector<Row> rows;
            for (const char* table : tables) {
                const UseTable use(table);
                rows.push_back(Encode(pq.spec, r, c, 2.5f));
                Where("bits=%zu dim=%zu m=%zu %s %s", shape.bits, shape.n, shape.m, residual,
                      table);
                CHECK(rows[0].code == rows.back().code);
                CHECK(std::memcmp(&rows[0].factors, &rows.back().factors,
                                  sizeof(quant::RowFactors)) == 0);
            }
        }
}

// ---- the scan ----

// The sums of a block are plain sums of the query's tables, in whatever pieces the codes are
// written and read, on every table; and those are right within half a step for each sub-quantizer.
TEST(PqScanIsThePlainSum) {
    for (const char* table : TableNames())
        for (const Shape3& shape : kPqShapes) {
            const UseTable use(table);
            const std::size_t n = shape.n, m = shape.m;
            Random random(n + m);
            const Pq pq(shape, random);
            const std::vector<float> c = ToFloat(random.Gaussians(n), 5);
            const Query query(pq.spec, ToFloat(Sum(c, 1, random.Gaussians(n))), 1e6f);
            const double base = Base(query.q, c);
            TestBlock block(pq.spec, &random);
            std::vector<Row> rows;
            for (std::size_t slot = 0; slot < 32; ++slot) {
                const char* residual = kShapes[slot % std::size(kShapes)];
                rows.push_back(Encode(pq.spec, Shape(residual, n, random), c));
                block.Put(slot, rows.back(), &random);
            }
            // What the tables should say, and what a step is: the widest table / 65535 or 255.
            const double most = shape.bits == 8 ? 65535 : 255;
            double widest = 0, lows = 0;
            for (std::size_t j = 0; j < m; ++j) {
                double low = double{kInfinity}, high = -low;
                for (std::size_t k = 0; k < pq.words; ++k) {
                    low = std::min(low, EntryOf(pq, query.q, j, k).value);
                    high = std::max(high, EntryOf(pq, query.q, j, k).value);
                }
                widest = std::max(widest, high - low);
                lows += low;
            }
            const double half_steps = static_cast<double>(m) * widest / most / 2;
            const double charged = half_steps + static_cast<double>(m) * widest * 6e-8;
            Where("%s bits=%zu dim=%zu m=%zu", table, shape.bits, n, m);
            CHECK_NEAR(query.prepared.unit, widest / most, 1e-5 * widest / most);
            CHECK_NEAR(query.prepared.shift, lows, 1e-5 * std::fabs(lows) + 1e-4 * widest);
            CHECK_NEAR(query.prepared.round_error, charged, 1e-5 * charged);
            for (Random* pieces : {static_cast<Random*>(nullptr), &random}) {
                const Scanned scanned = block.Scan(query, base, pieces);
                for (std::size_t slot = 0; slot < 32; ++slot) {
                    Where("%s bits=%zu dim=%zu m=%zu slot=%zu", table, shape.bits, n, m, slot);
                    const std::vector<std::size_t> words = Words(pq.spec, rows[slot]);
                    double plain = 0, magnitude = 0, integers = 0;
                    for (std::size_t j = 0; j < m; ++j) {
                        const Entry entry = EntryOf(pq, query.q, j, words[j]);
                        plain += entry.value;
                        magnitude += entry.magnitude;
                        const std::size_t at = pq.words * j + words[j];
                        integers += query.memory[at];
                        if (shape.bits == 8) integers += 256 * query.memory[(m + 1) / 2 * 512 + at];
                    }
                    const double sum = double{scanned.sums[slot]};
                    const double rounding =
                        static_cast<double>(n / m + m + 4) * 0x1p-24 * magnitude;
                    CHECK_EQ(sum, integers);
                    const double got =
                        sum * double{query.prepared.unit} + double{query.prepared.shift};
                    CHECK_NEAR(got, plain, half_steps * (1 + 1e-4) + rounding);
                    // base + add - 2 <r^, q>, the charge for the tables' rounding included.
                    const quant::RowFactors& factors = rows[slot].factors;
                    if (std::isinf(quant::FromBfloat16(factors.error))) continue;
                    const double exact =
                        base + double{factors.add} - 2 * Dot(DecodedOf(pq, rows[slot]), query.q);
                    const double charge =
                        2 * AlphaOf(rows[slot]) * (double{query.prepared.round_error} + rounding);
                    CHECK_NEAR(scanned.estimate[slot], exact,
                               charge * (1 + 1e-4) + 1e-6 * (base + std::fabs(factors.add)));
                }
            }
        }
}

// Tables of integers, the widest 255 steps: nothing is rounded.
TEST(PqFourBitsAreExactOnIntegers) {
    for (const char* table : TableNames())
        for (const Shape3& shape : kPqShapes) {
            if (shape.bits != 4) continue;
            const UseTable use(table);
            Random random(shape.m);
            Pq pq(shape);
            // The query is 1 where a sub-space begins, and 0 elsewhere.
            std::vector<float> q(shape.n);
            for (std::size_t j = 0; j < shape.m; ++j) {
                q[quant::PqBegin(pq.spec, j)] = 1;
                for (std::size_t k = 0; k < 16; ++k)
                    pq.At(j, k, 0) = static_cast<float>(random.Below(256)) - 100;
            }
            const std::size_t j = random.Below(shape.m);
            pq.At(j, 3, 0) = -100;
            pq.At(j, 9, 0) = 155;
            pq.SetNorms();
            const Query query(pq.spec, q, 3);
            CHECK_EQ(query.prepared.unit, 1);
            TestBlock block(pq.spec, &random);
            std::vector<Row> rows(32);
            for (std::size_t slot = 0; slot < 32; ++slot) {
                rows[slot].code = random.Bytes((shape.m + 1) / 2);
                block.Put(slot, rows[slot], &random);
            }
            const Scanned scanned = block.Scan(query, 0, &random);
            for (std::size_t slot = 0; slot < 32; ++slot) {
                Where("%s dim=%zu m=%zu slot=%zu", table, shape.n, shape.m, slot);
                const double plain = Dot(GridOf(pq, rows[slot]), q);
                CHECK_EQ(double{scanned.sums[slot]} + double{query.prepared.shift}, plain);
            }
        }
}

// Entries of 4 bits are rounded to steps of known size, so a sum's noise has the standard deviation
// step * sqrt(m / 12), which is what the bound charges for one standard error.
TEST(PqFourBitsRoundAsTheirStepsSay) {
    for (std::size_t m : {16, 99, 208}) {
        Random random(m);
        const Pq pq({4, 832, m}, random);
        TestBlock block(pq.spec);
        std::vector<Row> rows;
        for (std::size_t slot = 0; slot < 32; ++slot) {
            rows.push_back(Encode(pq.spec, random.Gaussians(832), std::vector<float>(832)));
            block.Put(slot, rows.back());
        }
        double squares = 0, sum = 0, count = 0;
        for (int i = 0; i < 100; ++i) {
            const Query query(pq.spec, random.Gaussians(832), 1);
            const Scanned scanned = block.Scan(query, 0);
            for (std::size_t slot = 0; slot < 32; ++slot) {
                const double got = double{scanned.sums[slot]} * double{query.prepared.unit} +
                                   double{query.prepared.shift};
                const double z = (got - Dot(GridOf(pq, rows[slot]), query.q)) /
                                 double{query.prepared.round_error};
                squares += z * z;
                sum += z;
                count += 1;
            }
        }
        Where("m=%zu sd=%.4f mean=%.4f", m, std::sqrt(squares / count), sum / count);
        // The least entry of a table is exact: 15 of 16 are rounded.
        CHECK_NEAR(std::sqrt(squares / count), std::sqrt(15.0 / 16), 0.05);
        CHECK_NEAR(sum / count, 0, 5 / std::sqrt(count));
    }
}

// ---- bounds ----

// With epsilon at its largest the bound is that of Cauchy and Schwarz, and holds for every
// residual, codebook and query, those along the error included.
TEST(PqHardBoundHolds) {
    for (const Shape3& shape : kPqShapes)
        for (const char* residual : kShapes)
            for (double centre : {0.0, 1.0, 100.0})
                for (bool product : {false, true}) {
                    const std::size_t n = shape.n;
                    Random random(n + shape.m);
                    Pq pq(shape, random);
                    pq.spec.spread = centre == 1 ? 0.2f : 0;
                    const std::vector<float> r = Shape(residual, n, random);
                    const std::vector<float> c = ToFloat(random.Gaussians(n), centre);
                    const std::vector<double> x = Sum(c, 1, r);
                    const float norm_sqr = product ? static_cast<float>(Dot(x, x)) : 0;
                    const double norm = double{quant::WithSlack(norm_sqr)};
                    const Row row = Encode(pq.spec, r, c, norm_sqr);
                    TestBlock block(pq.spec);
                    block.Put(7, row);
                    const std::vector<double> decoded = DecodedOf(pq, row);
                    const std::vector<double> error = Sum(r, -1, decoded);
                    const bool coded = Norm(decoded) > 0;
                    const std::vector<std::vector<double>> queries = {
                        Sum(c, 1, random.Gaussians(n)),
                        Sum(c, 3, error),
                        Sum(c, -0.1, error),
                        Sum(c, 1, r),
                        Sum(c, 0, r),
                    };
                    for (std::size_t i = 0; i < queries.size(); ++i) {
                        Where("bits=%zu dim=%zu m=%zu %s centre=%g ip=%d query %zu", shape.bits, n,
                              shape.m, residual, centre, product, i);
                        const Query query(pq.spec, ToFloat(queries[i]), 1e6f);
                        CHECK_EQ(query.prepared.tighten, 1.0f);
                        const double base = Base(query.q, c);
                        const double key = TrueKey(query.q, c, r, norm);
                        const Scanned scanned = block.Scan(query, base);
                        const double rounding =
                            Rounding(n) * (base + Dot(r, r) + 2 * Norm(c) * Norm(r) + norm);
                        CHECK(double{scanned.lower[7]} <= key + rounding);
                        if (!coded && Norm(r) > 0) CHECK_EQ(scanned.lower[7], -kInfinity);
                        if (std::isinf(scanned.lower[7])) continue;
                        CHECK(scanned.upper(7) >= key - rounding);
                    }
                }
}

// How often a bound of epsilon standard errors fails when the error has no direction in particular:
// as often as a normal variable is beyond the bound's width.
TEST(PqViolationRate) {
    const UseTable use("auto");
    for (std::size_t bits : {4, 8})
        for (std::size_t n : {128, 832})
            for (double epsilon : {1.0, 1.9, 3.0}) {
                Random random(n);
                const Pq pq({bits, n, n / (bits == 4 ? 4 : 8)}, random);
                CheckViolationRate(
                    bits == 4 ? "4 bits" : "8 bits", pq.spec, random, epsilon,
                    [&](const Row& row) { return DecodedOf(pq, row); },
                    [&](const std::vector<float>&, double) { return 1.1 * epsilon; });
            }
}

// A measured spread stands in for 1 / sqrt(dim - 1).
TEST(PqTightensByItsSpread) {
    Random random(1);
    Pq pq({8, 128, 16}, random);
    for (float spread : {0.0f, 0.05f, 0.4f})
        for (float epsilon : {0.5f, 2.0f, 3.5f}) {
            Where("spread=%g epsilon=%g", double{spread}, double{epsilon});
            pq.spec.spread = spread;
            const Query query(pq.spec, random.Gaussians(128), epsilon);
            const double unit = spread == 0 ? 1 / std::sqrt(127.0) : double{spread};
            CHECK_NEAR(query.prepared.tighten, std::min(1.0, double{epsilon} * unit), 1e-6);
        }
}

// |<u, e>| / (||u|| ||e||) in a triangle of 3, 4 and 5.
TEST(PqDeviationIsTheCosineOfTheError) {
    for (std::size_t bits : {4, 8})
        for (std::size_t m : {1, 3, 64}) {
            Pq pq(bits, 64, m);
            // r = 3 x + 4 y, coded as 2 x: with the scale that makes <r^, r> = 25, r^ = 25/3 x and
            // e = -16/3 x + 4 y, of length 20/3. All other codewords are far off.
            const std::size_t x = 0, y = m == 1 ? 1 : 63;
            for (float& entry : pq.books) entry = 100;
            for (std::size_t j = 0; j < m; ++j)
                for (std::size_t i = 0; i < Width(pq.spec, j); ++i) pq.At(j, 11, i) = 0;
            pq.At(0, 11, x) = 2;
            pq.SetNorms();
            std::vector<float> r(64), workspace(64, kNan);
            r[x] = 3;
            r[y] = 4;
            const auto deviation = [&](double along_x, double along_y, double along_z = 0) {
                std::vector<float> u(64);
                u[x] = static_cast<float>(along_x);
                u[y] = static_cast<float>(along_y);
                u[30] = static_cast<float>(along_z);
                return quant::PqDeviation(pq.spec, r, u, workspace);
            };
            Where("bits=%zu m=%zu", bits, m);
            CHECK_NEAR(deviation(1, 0), 0.8, 1e-6);
            CHECK_NEAR(deviation(-7, 0), 0.8, 1e-6);
            CHECK_NEAR(deviation(0, 1e-3), 0.6, 1e-6);
            CHECK_NEAR(deviation(-4, 3), 1, 1e-6);
            CHECK_NEAR(deviation(0, 3, 4), 0.36, 1e-6);
            // e is orthogonal to r, and to what no coordinate of r lies in.
            CHECK_NEAR(deviation(3, 4), 0, 1e-6);
            CHECK_EQ(deviation(0, 0, 1), 0);
            // The product of the squared lengths is beyond the float range; then one of them is.
            CHECK_NEAR(deviation(3e18, 0), 0.8, 1e-6);
            CHECK_EQ(deviation(1e25, 0), 1);
            // No direction, no error, no residual: 0, not a division by it.
            CHECK_EQ(deviation(0, 0), 0);
            r[x] = 2;
            r[y] = 0;
            CHECK_EQ(deviation(1, 1), 0);
            r[x] = 0;
            CHECK_EQ(deviation(1, 1), 0);
            // A code that is orthogonal to r or points away from it has no scale.
            r[y] = 4;
            CHECK_EQ(deviation(1, 1), 0);
            r[x] = -3;
            CHECK_EQ(deviation(1, 1), 0);
        }
}

// r = 3 x + 4 y with code 3 x, a mean of rows as <r, g> = <g, g> says: alpha = 25/9, ||e|| = 20/3, cosine
// 3/5. So shrunk = 3/5 estimate + 2/5 (base + ||r||^2), whatever the estimate.
TEST(PqShrunkIsBetweenEstimateAndNorm) {
    const Pq pq(8, 64, 8);
    const auto shrunk = [&](double base, double estimate, double alpha, double error) {
        return quant::Get(Kind::kPq).Shrunk(static_cast<float>(base), static_cast<float>(estimate),
                                            static_cast<float>(-2 * alpha),
                                            static_cast<float>(error));
    };
    for (double base : {0.0, 1.0, 40.0})
        for (double estimate : {-3.0, 0.0, 25.0, 90.0})
            CHECK_NEAR(shrunk(base, estimate, 25.0 / 9, 20.0 / 3),
                       0.6 * estimate + 0.4 * (base + 25), 1e-4);
    // Codes that are no shorter than their rows, or have no error, are taken at their word.
    CHECK_EQ(shrunk(5, 7, 1, 0), 7);
    CHECK_EQ(shrunk(5, 7, 0.5, 2), 7);
    CHECK_EQ(shrunk(5, 7, 0, 0), 7);
    // A row without finite factors keeps its estimate.
    CHECK_EQ(shrunk(5, 7, 2, HUGE_VAL), 7);
    // Other codes have angles near 0 or all the same.
    for (Kind kind : {Kind::kBq, Kind::kSq8, Kind::kSq4})
        CHECK_EQ(quant::Get(kind).Shrunk(1, 2, -50.0f / 9, 20.0f / 3), 2);
}

// Residuals and queries that fill 8 of 128 dimensions, as do the codewords: errors lie in them too.
// The spread that PqDeviation measures makes the bound as good as its epsilon; 1 / sqrt(dim) would
// not.
TEST(PqMeasuredSpreadHoldsWhereDataFillFewDimensions) {
    const std::size_t n = 128;
    Random random(6);
    std::vector<std::vector<float>> axes;
    for (int i = 0; i < 8; ++i) axes.push_back(random.Gaussians(n));
    const auto vector = [&] {
        std::vector<double> sum(n);
        for (const std::vector<float>& axis : axes) sum = Sum(sum, random.Gaussian(), axis);
        return ToFloat(sum, 0.3);
    };
    Pq pq(8, n, 4);
    for (std::size_t k = 0; k < 256; ++k) {
        const std::vector<float> sample = vector();
        for (std::size_t i = 0; i < n; ++i) pq.books[i * 256 + k] = sample[i];
    }
    pq.SetNorms();
    double squares = 0;
    std::vector<float> workspace(n);
    for (int i = 0; i < 2000; ++i) {
        const float deviation = quant::PqDeviation(pq.spec, vector(), vector(), workspace);
        squares += std::pow(double{deviation}, 2) / 2000;
    }
    const float measured = static_cast<float>(std::sqrt(squares));
    double violated[2] = {};
    for (int i = 0; i < 4000; ++i) {
        const std::vector<float> r = vector(), q = vector();
        for (float spread : {0.0f, measured}) {
            pq.spec.spread = spread;
            TestBlock block(pq.spec);
            block.Put(0, Encode(pq.spec, r, std::vector<float>(n)));
            const Query query(pq.spec, q, 2);
            const Scanned scanned = block.Scan(query, Dot(q, q));
            const double key = TrueKey(q, std::vector<float>(n), r);
            violated[spread > 0] +=
                (double{scanned.lower[0]} > key || scanned.upper(0) < key) / 4000.0;
        }
    }
    Where("spread %.3f: violated %.4f of rows, without %.4f", double{measured}, violated[1],
          violated[0]);
    CHECK(double{measured} > 2 / std::sqrt(127.0));
    CHECK(violated[0] > 0.2);
    CHECK(violated[1] < 0.06);
}

// ---- the edges of arithmetic ----

// With everything times 2^k, codebooks included, the codes are the same and the factors follow.
TEST(PqEncodeFollowsScale) {
    for (std::size_t bits : {4, 8}) {
        Random random(5);
        Pq pq({bits, 128, 20}, random);
        const std::vector<float> c = random.Gaussians(128), r = random.Gaussians(128);
        const Row row = Encode(pq.spec, r, c);
        const std::vector<float> books = pq.books;
        for (int k : {-30, -1, 1, 30}) {
            Where("bits=%zu k=%d", bits, k);
            const double factor = std::ldexp(1.0, k);
            std::copy_n(ToFloat(books, factor).begin(), books.size(), pq.books.begin());
            pq.SetNorms();
            const Row other = Encode(pq.spec, ToFloat(r, factor), ToFloat(c, factor));
            CHECK(other.code == row.code);
            CHECK_EQ(other.factors.add, double{row.factors.add} * factor * factor);
            CHECK_EQ(AlphaOf(other), AlphaOf(row));
            CHECK_EQ(quant::FromBfloat16(other.factors.error),
                     double{quant::FromBfloat16(row.factors.error)} * factor);
        }
    }
}

// Numbers so small that their squares are not normal floats any more, and large ones.
TEST(PqSmallAndLargeNumbersKeepTheirBounds) {
    for (std::size_t bits : {4, 8})
        for (double size : {1e-17, 1e-15, 1e-12, 1e-8, 1e8, 1e15, 1e17})
            for (double epsilon : {6.0, 1e6}) {
                const std::size_t n = 192;
                Random random(n);
                Pq pq({bits, n, 31}, random);
                for (float& x : pq.books) x = static_cast<float>(double{x} * size);
                pq.SetNorms();
                const std::vector<float> c = ToFloat(random.Gaussians(n), size);
                for (int i = 0; i < 20; ++i) {
                    Where("bits=%zu size=%g epsilon=%g i=%d", bits, size, epsilon, i);
                    const std::vector<float> r = ToFloat(random.Gaussians(n), size);
                    const Query query(pq.spec, ToFloat(random.Gaussians(n), size),
                                      static_cast<float>(epsilon));
                    const Row row = Encode(pq.spec, r, c);
                    TestBlock block(pq.spec);
                    block.Put(0, row);
                    const double base = Base(query.q, c), key = TrueKey(query.q, c, r);
                    const Scanned scanned = block.Scan(query, base);
                    CHECK(double{scanned.lower[0]} <= key);
                    if (std::isfinite(quant::FromBfloat16(row.factors.error)))
                        CHECK(scanned.upper(0) >= key);
                }
            }
}

// What cannot be encoded is looked at, never lost; also if no codeword says anything of it.
TEST(PqNotFiniteMeansBoundMinusInfinity) {
    for (const Shape3& shape : kPqShapes)
        for (float bad : {kNan, kInfinity, -kInfinity, 1e30f, -3e38f, 0.0f})
            for (bool in_centroid : {false, true}) {
                if (in_centroid && std::isfinite(bad)) continue;
                Where("bits=%zu dim=%zu m=%zu bad=%g in_centroid=%d", shape.bits, shape.n, shape.m,
                      double{bad}, in_centroid);
                Random random(shape.n);
                Pq pq(shape, random);
                std::vector<float> c = random.Gaussians(shape.n), r = random.Gaussians(shape.n);
                if (bad == 0) {
                    // All codewords are the opposite of r.
                    for (std::size_t i = 0; i < shape.n; ++i)
                        for (std::size_t k = 0; k < pq.words; ++k)
                            pq.books[i * pq.words + k] = -r[i];
                    pq.SetNorms();
                } else {
                    (in_centroid ? c : r)[shape.n / 2] = bad;
                }
                const Row row = Encode(pq.spec, r, c);
                CHECK_EQ(quant::FromBfloat16(row.factors.error), kInfinity);
                CHECK(std::isfinite(row.factors.add));
                TestBlock block(pq.spec);
                block.Put(31, row);
                const Query query(pq.spec, random.Gaussians(shape.n), 1.9f);
                for (double base : {0.0, 1.0}) {
                    const Scanned scanned = block.Scan(query, base, nullptr, -1e30f);
                    CHECK_EQ(scanned.lower[31], -kInfinity);
                    CHECK((scanned.selected >> 31 & 1) == 1);
                }
            }
}

// A row that is its list's centroid, and a query that is.
TEST(PqZeroResidual) {
    for (std::size_t bits : {4, 8}) {
        Where("bits=%zu", bits);
        Random random(1);
        const Pq pq({bits, 128, 20}, random);
        const std::vector<float> zero(128), c = random.Gaussians(128);
        const Row row = Encode(pq.spec, zero, c, 5.0f);
        CHECK_EQ(quant::FromBfloat16(row.factors.error), 0);
        TestBlock block(pq.spec);
        block.Put(0, row);
        for (const std::vector<float>& q : {c, zero, random.Gaussians(128)}) {
            const Query query(pq.spec, q, 1.9f);
            const double base = Base(q, c);
            const Scanned scanned = block.Scan(query, base);
            CHECK_NEAR(scanned.estimate[0], base - double{quant::WithSlack(5)}, 1e-6 * (base + 5));
            CHECK(double{scanned.lower[0]} <= base - 5);
        }
    }
}

// ---- training ----

namespace {

// One sub-space in training.
struct Training {
    Training(const Shape3& shape, std::size_t j, const std::vector<float>& rows)
        : pq(shape), sums(pq.books.size()), counts(pq.words), samples(rows) {
        t.spec = pq.spec;
        t.spec.books = t.spec.norms = nullptr;
        t.residuals = {samples.data(), samples.size() / shape.n, shape.n};
        t.j = j;
        t.book = &pq.At(j, 0, 0);
        t.norms = &pq.norms[j * pq.words];
        t.sums = sums.data();
        t.counts = counts.data();
    }
    Training(const Training&) = delete;
    Training& operator=(const Training&) = delete;

    const float* Sample(std::size_t row) const {
        return t.residuals.row(row) + quant::PqBegin(pq.spec, t.j);
    }
    // The nearest codeword of a sample, by a plain loop.
    std::size_t Nearest(std::size_t row) const {
        std::size_t best = 0;
        for (std::size_t k = 1; k < pq.words; ++k)
            if (pq.DistanceSqr(t.j, k, Sample(row)) < pq.DistanceSqr(t.j, best, Sample(row)))
                best = k;
        return best;
    }
    // What k-means makes small.
    double Objective() const {
        double sum = 0;
        for (std::size_t row = 0; row < t.residuals.rows; ++row)
            sum += pq.DistanceSqr(t.j, Nearest(row), Sample(row));
        return sum;
    }
    void Pass() {
        quant::PqClear(t);
        quant::PqAssign(t, 0, t.residuals.rows);
        quant::PqUpdate(t);
    }

    Pq pq;
    std::vector<float> sums;
    std::vector<std::uint32_t> counts;
    std::vector<float> samples;
    quant::PqTraining t = {};
};

constexpr Shape3 kTrained[] = {{8, 64, 8}, {8, 64, 7}, {4, 64, 16}, {4, 64, 9}, {4, 64, 1}};

}  // namespace

TEST(PqSeedTakesSamples) {
    for (const Shape3& shape : kTrained)
        for (std::size_t j : {std::size_t{0}, shape.m - 1}) {
            Random random(shape.m);
            Training training(shape, j, random.Gaussians(1000 * shape.n));
            quant::PqSeed(training.t);
            for (std::size_t k = 0; k < training.pq.words; ++k) {
                Where("bits=%zu m=%zu j=%zu k=%zu", shape.bits, shape.m, j, k);
                const float* sample = training.Sample(k * 1000 / training.pq.words);
                CHECK_EQ(training.pq.DistanceSqr(j, k, sample), 0);
                double norm = 0;
                for (std::size_t i = 0; i < Width(training.pq.spec, j); ++i)
                    norm += double{sample[i]} * double{sample[i]};
                CHECK_NEAR(training.t.norms[k], norm, 1e-5 * norm);
            }
        }
}

// Counts and sums of the samples nearest to each codeword, whether in one step or in several, and
// means after the update; nothing outside of the sub-space is touched.
TEST(PqPassMakesMeans) {
    for (const Shape3& shape : kTrained)
        for (std::size_t j : {std::size_t{0}, shape.m - 1}) {
            Where("bits=%zu m=%zu j=%zu", shape.bits, shape.m, j);
            const std::size_t rows = 2000;
            Random random(shape.m);
            Training training(shape, j, random.Gaussians(rows * shape.n));
            const Pq& pq = training.pq;
            const std::size_t width = Width(pq.spec, j);
            quant::PqSeed(training.t);
            std::vector<double> count(pq.words), sum(pq.words * width);
            for (std::size_t row = 0; row < rows; ++row) {
                const std::size_t k = training.Nearest(row);
                count[k] += 1;
                for (std::size_t i = 0; i < width; ++i)
                    sum[i * pq.words + k] += double{training.Sample(row)[i]};
            }
            quant::PqClear(training.t);
            for (std::size_t begin = 0; begin < rows; begin += 700)
                quant::PqAssign(training.t, begin, std::min(begin + 700, rows));
            const std::vector<float> stepped = training.sums;
            for (std::size_t k = 0; k < pq.words; ++k) {
                CHECK_EQ(training.counts[k], count[k]);
                for (std::size_t i = 0; i < width; ++i)
                    CHECK_NEAR(stepped[i * pq.words + k], sum[i * pq.words + k], 1e-3);
            }
            const std::vector<std::uint32_t> counts = training.counts;
            training.Pass();
            CHECK(training.sums == stepped);
            std::vector<float> expected(pq.books.size());
            for (std::size_t k = 0; k < pq.words; ++k) {
                if (counts[k] == 0) continue;
                double norm = 0;
                for (std::size_t i = 0; i < width; ++i) {
                    const double mean = sum[i * pq.words + k] / count[k];
                    CHECK_NEAR(pq.At(j, k, i), mean, 1e-5);
                    norm += double{pq.At(j, k, i)} * double{pq.At(j, k, i)};
                }
                CHECK_NEAR(training.t.norms[k], norm, 1e-5 * norm);
            }
            for (std::size_t other = 0; other < shape.m; ++other)
                for (std::size_t k = 0; k < pq.words && other != j; ++k) {
                    CHECK_EQ(pq.norms[other * pq.words + k], 0);
                    for (std::size_t i = 0; i < Width(pq.spec, other); ++i)
                        CHECK_EQ(pq.At(other, k, i), 0);
                }
        }
}

// The sum of squared distances never rises. It ends above Shannon's limit for normal variables, less
// what 4,000 samples that the codewords have seen flatter, and well below where it began.
TEST(PqTrainingNeverRises) {
    for (const Shape3& shape : kTrained)
        for (std::size_t j : {std::size_t{0}, shape.m - 1}) {
            const std::size_t rows = 4000;
            Random random(shape.m);
            Training training(shape, j, random.Gaussians(rows * shape.n));
            quant::PqSeed(training.t);
            const double first = training.Objective();
            double last = first;
            for (int pass = 0; pass < 12; ++pass) {
                training.Pass();
                const double objective = training.Objective();
                Where("bits=%zu m=%zu j=%zu pass=%d %.1f after %.1f", shape.bits, shape.m, j, pass,
                      objective, last);
                CHECK(objective <= last * (1 + 1e-6));
                last = objective;
            }
            for (std::uint32_t count : training.counts) CHECK(count > 0);
            const double width = static_cast<double>(Width(training.pq.spec, j));
            const double shannon = std::pow(0.25, static_cast<double>(shape.bits) / width);
            CHECK(last / (static_cast<double>(rows) * width) > 0.95 * shannon);
            CHECK(last < 0.82 * first);
        }
}

// Sub-spaces of one dimension: 16 codewords become the levels of Lloyd and Max, whose mean square
// error is .009501.
TEST(PqTrainingFindsLloydMax) {
    const std::size_t rows = 20000;
    Random random(2);
    Training training({4, 64, 64}, 5, random.Gaussians(rows * 64));
    quant::PqSeed(training.t);
    for (int pass = 0; pass < 60; ++pass) training.Pass();
    CHECK_NEAR(training.Objective() / static_cast<double>(rows), 0.009501, 1e-4);
}

// A codeword without samples takes half of the fullest, a hair away from its mean.
TEST(PqUpdateRefillsTheEmpty) {
    const auto hair = [](std::size_t i) { return i % 2 == 0 ? 1.0 / 64 : -1.0 / 64; };
    for (std::size_t n : {64, 128}) {
        Training training({4, n, 16}, 2, std::vector<float>(n));
        const std::size_t width = n / 16;
        const auto fill = [&](const std::vector<std::uint32_t>& counts) {
            for (std::size_t k = 0; k < 16; ++k) {
                training.counts[k] = counts[k];
                for (std::size_t i = 0; i < width; ++i) {
                    training.pq.At(2, k, i) = 1000;
                    training.sums[i * 16 + k] =
                        static_cast<float>(counts[k] * (10.0 * static_cast<double>(k) + 1));
                }
            }
        };
        const auto check = [&](std::size_t k, std::uint32_t count, auto value) {
            Where("dim=%zu codeword %zu", n, k);
            CHECK_EQ(training.counts[k], count);
            double norm = 0;
            for (std::size_t i = 0; i < width; ++i) {
                CHECK_NEAR(training.pq.At(2, k, i), value(i), 1e-4);
                norm += double{training.pq.At(2, k, i)} * double{training.pq.At(2, k, i)};
            }
            CHECK_NEAR(training.t.norms[k], norm, 1e-5 * norm);
        };
        const auto mean = [](std::size_t k) {
            return [k](std::size_t) { return 10.0 * static_cast<double>(k) + 1; };
        };
        // Codeword 6 is the fullest; 0 takes 7 of its 15. Then 3 is, of whose 10 codeword 9 takes 5.
        fill({0, 1, 2, 10, 3, 4, 15, 5, 2, 0, 1, 1, 2, 2, 3, 4});
        quant::PqUpdate(training.t);
        check(0, 7, [&](std::size_t i) { return 61 * (1 + hair(i)); });
        check(6, 8, [&](std::size_t i) { return 61 * (1 - hair(i)); });
        check(9, 5, [&](std::size_t i) { return 31 * (1 + hair(i)); });
        check(3, 5, [&](std::size_t i) { return 31 * (1 - hair(i)); });
        check(1, 1, mean(1));
        check(15, 4, mean(15));
        // Where none has two samples, the empty stay as they were.
        fill({1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
        quant::PqUpdate(training.t);
        check(2, 0, [](std::size_t) { return 1000.0; });
        check(0, 1, mean(0));
        check(14, 1, mean(14));
    }
}

// All first codewords alike: one gets all samples, and the others have to come from it. It ends as
// well as from different ones.
TEST(PqTrainingRecoversFromEqualSeeds) {
    for (const Shape3& shape : kTrained)
        for (double centre : {0.0, 3.0}) {
            Random random(1);
            std::vector<float> rows = random.Gaussians(4000 * shape.n);
            for (float& x : rows) x += static_cast<float>(centre);
            Training good(shape, 0, rows);
            const std::size_t words = good.pq.words;
            for (std::size_t k = 0; k < words; ++k)
                std::copy_n(rows.begin(), shape.n,
                            rows.begin() + static_cast<long>(k * 4000 / words * shape.n));
            Training equal(shape, 0, rows);
            quant::PqSeed(good.t);
            quant::PqSeed(equal.t);
            for (int pass = 0; pass < 30; ++pass) {
                good.Pass();
                equal.Pass();
            }
            Where("bits=%zu m=%zu centre=%g: %.1f, from different seeds %.1f", shape.bits, shape.m,
                  centre, equal.Objective(), good.Objective());
            CHECK(equal.Objective() < 1.02 * good.Objective());
        }
}

TEST(PqTrainingSameBitsOnEveryTable) {
    const std::vector<const char*> tables = TableNames();
    for (const Shape3& shape : kTrained) {
        Random random(shape.m);
        const std::vector<float> rows = random.Gaussians(2000 * shape.n);
        std::vector<float> books;
        for (const char* table : tables) {
            const UseTable use(table);
            Training training(shape, shape.m - 1, rows);
            quant::PqSeed(training.t);
            for (int pass = 0; pass < 5; ++pass) training.Pass();
            if (books.empty()) books = training.pq.books;
            Where("bits=%zu m=%zu %s", shape.bits, shape.m, table);
            CHECK(std::memcmp(books.data(), training.pq.books.data(),
                              books.size() * sizeof(float)) == 0);
        }
    }
}
