// What all quantizers promise (core/quant/quantizer.h): the way through a block gives what plain
// decoding gives, bounds hold as often as they should, estimates are right on average.
//
// This file is long because each promise is one test, and all are asked of every code by the same
// shapes of data.
#include "codes.h"
#include "unit.h"

#include "core/quant/rotation.h"

#include <cstring>

using namespace quantvec;
using namespace quantvec::unit;

namespace {

constexpr std::size_t kDims[] = {64, 128, 384, 832, 1536, 16000};

// sq8, and bq with some numbers of bits.
std::vector<Spec> Specs(std::size_t dim, std::initializer_list<std::size_t> bits) {
    std::vector<Spec> specs = {Sq8Spec(dim)};
    for (std::size_t b : bits) specs.push_back(BqSpec(b, dim));
    return specs;
}

const char* Name(const Spec& spec) {
    return spec.kind == Kind::kSq8 ? "sq8" : "bq";
}

quant::Estimate RefineOf(const Spec& spec, const Query& query, double base, float sum,
                         const Row& row) {
    return quant::Get(spec.kind).Refine(spec, query.prepared, static_cast<float>(base), sum,
                                        row.refine.data());
}

bool SameRow(const Row& a, const Row& b) {
    return std::memcmp(&a.factors, &b.factors, sizeof(a.factors)) == 0 && a.code == b.code &&
           a.refine == b.refine;
}

}  // namespace

// ---- bfloat16 ----

TEST(Bfloat16NearestAndUp) {
    Random random(1);
    for (int i = 0; i < 200000; ++i) {
        const float f = __builtin_bit_cast(float, static_cast<std::uint32_t>(random.Next()));
        if (!std::isfinite(f)) continue;
        Where("f=%a", double{f});
        const std::uint16_t nearest = quant::ToBfloat16(f);
        const double back = double{quant::FromBfloat16(nearest)};
        // Rounding to 8 significant bits, by another road.
        int exponent;
        std::frexp(double{f}, &exponent);
        const double unit = std::ldexp(1.0, std::max(exponent, -125) - 8);
        const double expected = std::nearbyint(double{f} / unit) * unit;
        if (std::fabs(expected) < 0x1p128) {
            CHECK_EQ(back, expected);
        } else {
            CHECK_EQ(back, f > 0 ? double{kInfinity} : -double{kInfinity});
        }
        const float magnitude = std::fabs(f);
        const double up = double{quant::FromBfloat16(quant::ToBfloat16Up(magnitude))};
        const double ceiling = std::ceil(double{magnitude} / unit) * unit;
        if (ceiling < 0x1p128) {
            CHECK_EQ(up, ceiling);
        } else {
            CHECK_EQ(up, double{kInfinity});
        }
    }
    for (std::uint32_t b = 0; b < 0x10000; ++b) {
        Where("bfloat16=%x", b);
        const float f = quant::FromBfloat16(static_cast<std::uint16_t>(b));
        if (std::isnan(f)) continue;
        CHECK_EQ(quant::ToBfloat16(f), b);
        if (b < 0x8000) CHECK_EQ(quant::ToBfloat16Up(f), b);
    }
}

TEST(Bfloat16Specials) {
    CHECK_EQ(quant::FromBfloat16(quant::ToBfloat16(kInfinity)), kInfinity);
    CHECK_EQ(quant::FromBfloat16(quant::ToBfloat16(-kInfinity)), -kInfinity);
    CHECK_EQ(quant::FromBfloat16(quant::ToBfloat16Up(kInfinity)), kInfinity);
    CHECK(std::isnan(quant::FromBfloat16(quant::ToBfloat16(kNan))));
    CHECK_EQ(quant::ToBfloat16(0.0f), 0);
    CHECK_EQ(quant::ToBfloat16(-0.0f), 0x8000);
    CHECK_EQ(quant::ToBfloat16Up(0.0f), 0);
    CHECK_EQ(quant::ToBfloat16Up(0x1p-149f), 1);  // the least float is not zero
    CHECK_EQ(quant::ToBfloat16(0x1p-149f), 0);
    CHECK_EQ(quant::ToBfloat16(1 + 0x1p-8f), 0x3F80);      // a tie goes to the even neighbour,
    CHECK_EQ(quant::ToBfloat16(1 + 3 * 0x1p-8f), 0x3F82);  // which may be the upper one
}

// ---- the integer query ----

TEST(QuantizeQueryRoundsToTheNearestStep) {
    for (std::size_t n : {1, 64, 832, 16000})
        for (double size : {1.0, 1e-30, 1e30, 3e38}) {
            Where("n=%zu size=%g", n, size);
            Random random(n);
            std::vector<float> q(n);
            for (float& x : q) x = static_cast<float>(random.Uniform(-size, size));
            std::vector<std::int8_t> hi(n), lo(n);
            const double unit = double{quant::QuantizeQuery(q, hi, lo)};
            double largest = 0;
            for (float x : q) largest = std::max(largest, std::fabs(double{x}));
            CHECK_NEAR(unit, largest / 8127, 1e-7 * unit);
            for (std::size_t i = 0; i < n; ++i) {
                const double back = unit * (128.0 * hi[i] + lo[i]);
                // Half a step, and the rounding of the quotient itself.
                CHECK_NEAR(back, double{q[i]}, unit * (0.5 + 8127 * 0x1p-22));
                CHECK(hi[i] >= -64 && hi[i] <= 63);
                CHECK(lo[i] >= -64 && lo[i] <= 63);
            }
        }
}

TEST(QuantizeQueryWholeRange) {
    // Each of the 16,255 integers is itself.
    std::vector<float> q;
    for (int i = -8127; i <= 8127; ++i) q.push_back(static_cast<float>(i));
    std::vector<std::int8_t> hi(q.size()), lo(q.size());
    CHECK_EQ(quant::QuantizeQuery(q, hi, lo), 1.0f);
    for (std::size_t i = 0; i < q.size(); ++i) {
        Where("q=%g", double{q[i]});
        CHECK_EQ(128 * hi[i] + lo[i], q[i]);
        CHECK(hi[i] >= -64 && hi[i] <= 63);
        CHECK(lo[i] >= -64 && lo[i] <= 63);
    }
}

TEST(QuantizeQuerySpecials) {
    for (std::vector<float> q : {std::vector<float>{0, 0, 0},
                                 {0x1p-149f, 0, -0x1p-149f},
                                 {kInfinity, 1, -kInfinity},
                                 {kNan, 1, 2}}) {
        std::vector<std::int8_t> hi(3), lo(3);
        quant::QuantizeQuery(q, hi, lo);
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(hi[i] >= -64 && hi[i] <= 63);
            CHECK(lo[i] >= -64 && lo[i] <= 63);
            if (q[0] == 0) CHECK_EQ(128 * hi[i] + lo[i], 0);
        }
    }
}

// ---- sizes and places ----

TEST(QuantSizes) {
    for (std::size_t n : kDims) {
        Where("dim=%zu", n);
        const quant::Quantizer &bq = quant::Get(Kind::kBq), &sq8 = quant::Get(Kind::kSq8);
        CHECK(!bq.HasOffset());
        CHECK(sq8.HasOffset());
        CHECK_EQ(sq8.ScanRowBytes(Sq8Spec(n)), n);
        CHECK_EQ(sq8.BlockCodeBytes(Sq8Spec(n)), 32 * n);
        CHECK_EQ(sq8.RefineRowBytes(Sq8Spec(n)), 0);
        for (std::size_t bits = 1; bits <= 8; ++bits) {
            const Spec spec = BqSpec(bits, n);
            CHECK_EQ(bq.ScanRowBytes(spec), n / 8);
            CHECK_EQ(bq.BlockCodeBytes(spec), 32 * n / 8);
            CHECK_EQ(bq.RefineRowBytes(spec), bits == 1 ? 0 : (bits - 1) * n / 8 + 12);
        }
        for (std::size_t slots = 0; slots <= 32; ++slots) {
            // Transposed codes are there as a whole or not at all.
            CHECK_EQ(bq.CodeBytesFor(BqSpec(4, n), slots), slots == 0 ? 0 : 4 * n);
            CHECK_EQ(sq8.CodeBytesFor(Sq8Spec(n), slots), slots * n);
        }
    }
}

// A slot's codes may be written while others are read.
TEST(QuantScatterTouchesOnlyItsSlot) {
    for (std::size_t n : {64, 128, 832})
        for (const Spec& spec : Specs(n, {4})) {
            Random random(n);
            TestBlock block(spec, &random);
            for (std::size_t slot = 0; slot < 32; ++slot) {
                Where("%s dim=%zu slot=%zu", Name(spec), n, slot);
                Row row;
                row.code = random.Bytes(quant::Get(spec.kind).ScanRowBytes(spec));
                const std::vector<std::uint8_t> before = block.codes;
                block.Put(slot, row, &random);
                for (std::size_t i = 0; i < block.codes.size(); ++i) {
                    unsigned expected = before[i];
                    if (spec.kind == Kind::kSq8) {
                        if (i / n == slot) expected = row.code[i % n];
                    } else if (i % 16 == slot % 16) {
                        // Dimensions 4 g .. 4 g + 3 of the row, in its half of the byte.
                        unsigned nibble = 0;
                        for (std::size_t k = 0; k < 4; ++k) {
                            const std::size_t d = i / 16 * 4 + k;
                            nibble |= (row.code[d / 8] >> (d % 8) & 1u) << k;
                        }
                        expected = slot < 16 ? (expected & 0xF0u) | nibble
                                             : (expected & 0x0Fu) | nibble << 4;
                    }
                    CHECK_EQ(block.codes[i], expected);
                }
                CHECK(block.Code(slot) == row.code);
            }
        }
}

TEST(QuantSameBytesOnEveryTable) {
    const std::vector<const char*> tables = TableNames();
    for (std::size_t n : kDims)
        for (const Spec& spec : Specs(n, {1, 2, 3, 4, 5, 6, 7, 8})) {
            if (n == 16000 && spec.kind == Kind::kBq && spec.bits != 4) continue;
            for (const char* shape : kShapes) {
                Random random(n);
                const std::vector<float> c = random.Gaussians(n), r = Shape(shape, n, random);
                std::vector<Row> rows;
                for (const char* table : tables) {
                    const UseTable use(table);
                    rows.push_back(Encode(spec, r, c, 2.5f));
                }
                for (std::size_t t = 1; t < tables.size(); ++t) {
                    Where("%s bits=%d dim=%zu %s %s", Name(spec), spec.bits, n, shape, tables[t]);
                    CHECK(SameRow(rows[0], rows[t]));
                }
            }
        }
}

// Encoding knows no scale: with everything times 2^k, the codes are the same and the factors
// follow.
TEST(QuantEncodeFollowsScale) {
    for (const Spec& spec : Specs(128, {1, 4, 8})) {
        Random random(5);
        const std::vector<float> c = random.Gaussians(128), r = random.Gaussians(128);
        const Row row = Encode(spec, r, c);
        for (int k : {-30, -1, 1, 30}) {
            Where("%s bits=%d k=%d", Name(spec), spec.bits, k);
            const double factor = std::ldexp(1.0, k);
            const Row other = Encode(spec, ToFloat(r, factor), ToFloat(c, factor));
            CHECK(other.code == row.code);
            CHECK_EQ(other.factors.add, double{row.factors.add} * factor * factor);
            CHECK_EQ(other.factors.offset, double{row.factors.offset} * factor);
            CHECK_EQ(quant::FromBfloat16(other.factors.scale),
                     double{quant::FromBfloat16(row.factors.scale)} * factor);
            CHECK_EQ(quant::FromBfloat16(other.factors.error),
                     double{quant::FromBfloat16(row.factors.error)} * factor);
            if (row.refine.empty()) continue;
            CHECK(FineIntegers(spec, other) == FineIntegers(spec, row));
            CHECK_EQ(FineFactorsOf(other).scale, double{FineFactorsOf(row).scale} * factor);
            CHECK_EQ(FineFactorsOf(other).error, double{FineFactorsOf(row).error} * factor);
        }
    }
}

// ---- estimates ----

// With a query that needs no rounding, the estimate is base + add - 2 <r^, q> up to float
// arithmetic, in whatever pieces the codes were written and read, on every table.
TEST(QuantEstimateIsThePlainDecode) {
    for (const char* table : TableNames())
        for (std::size_t n : kDims)
            for (const Spec& spec : Specs(n, {1, 2, 3, 4, 5, 6, 7, 8})) {
                if (n == 16000 && spec.kind == Kind::kBq && spec.bits != 4) continue;
                const UseTable use(table);
                Random random(n + spec.bits);
                const std::vector<float> c = ToFloat(random.Gaussians(n), 5);
                const Query query(spec, ExactQuery(n, random), 1.9f);
                const double base = Base(query.q, c);
                TestBlock block(spec, &random);
                std::vector<Row> rows;
                for (std::size_t slot = 0; slot < (n == 16000 ? 4 : 32); ++slot) {
                    const char* shape = kShapes[slot % std::size(kShapes)];
                    rows.push_back(Encode(spec, Shape(shape, n, random), c, slot % 2 ? 3000.f : 0));
                    block.Put(slot, rows.back(), &random);
                }
                for (Random* pieces : {static_cast<Random*>(nullptr), &random}) {
                    const Scanned scanned = block.Scan(query, base, pieces);
                    for (std::size_t slot = 0; slot < rows.size(); ++slot) {
                        Where("%s %s bits=%d dim=%zu slot=%zu", table, Name(spec), spec.bits, n,
                              slot);
                        const Row& row = rows[slot];
                        const auto check = [&](double got, double add, std::vector<double> r) {
                            // Terms that cancel round before they do.
                            double terms = base + std::fabs(add);
                            for (std::size_t i = 0; i < n; ++i)
                                terms += std::fabs(r[i] * double{query.q[i]});
                            terms += std::fabs(double{row.factors.offset} *
                                               double{query.prepared.total});
                            CHECK_NEAR(got, base + add - 2 * Dot(r, query.q), 1e-6 * terms);
                        };
                        check(double{scanned.estimate[slot]}, double{row.factors.add},
                              Decoded(spec, row));
                        if (row.refine.empty()) continue;
                        check(double{RefineOf(spec, query, base, scanned.sums[slot], row).key},
                              double{FineFactorsOf(row).add}, FineDecoded(spec, row));
                    }
                }
            }
}

// Nothing behind the last live row is read; what rows that are not live hold does not matter to others.
TEST(QuantScanOfLiveRows) {
    for (const Spec& spec : Specs(832, {4})) {
        Random random(3);
        const Query query(spec, random.Gaussians(832), 1.9f);
        const std::vector<float> c(832);
        TestBlock block(spec);
        for (std::size_t slot = 0; slot < 32; ++slot)
            block.Put(slot, Encode(spec, random.Gaussians(832), c));
        const Scanned all = block.Scan(query, 800);
        for (std::uint32_t live : {0u, 1u, 0x80000000u, 0x12345678u}) {
            const Scanned some = block.Scan(query, 800, &random, kInfinity, live);
            for (std::size_t slot = 0; slot < 32; ++slot) {
                Where("%s live=%x slot=%zu", Name(spec), live, slot);
                if ((live >> slot & 1) != 0)
                    CHECK_NEAR(some.estimate[slot], all.estimate[slot], 1e-3);
                else if (spec.kind == Kind::kSq8 && live >> slot == 0)
                    CHECK_EQ(some.sums[slot], 0);
            }
        }
    }
}

// Tables and integer planes round every number of the query to a step of known size, so the noise
// of an estimate has a known standard deviation: step / sqrt(12) a number.
TEST(QuantQueryRoundingIsAsSmallAsItsSteps) {
    const UseTable use("auto");
    for (std::size_t n : {128, 832, 1536})
        for (const Spec& spec : Specs(n, {1, 4, 8})) {
            Random random(n + spec.bits);
            const std::vector<float> c(n);
            TestBlock block(spec);
            std::vector<Row> rows;
            for (std::size_t slot = 0; slot < 32; ++slot) {
                rows.push_back(Encode(spec, random.Gaussians(n), c));
                block.Put(slot, rows.back());
            }
            double squares = 0, fine_squares = 0, count = 0;
            for (int i = 0; i < 60; ++i) {
                const Query query(spec, random.Gaussians(n), 3);
                const Scanned scanned = block.Scan(query, 0);
                double largest = 0, widest = 0;
                for (std::size_t j = 0; j < n; ++j)
                    largest = std::max(largest, std::fabs(double{query.q[j]}));
                for (std::size_t j = 0; j < n; j += 4) {
                    double width = 0;
                    for (std::size_t k = 0; k < 4; ++k) width += std::fabs(double{query.q[j + k]});
                    widest = std::max(widest, width);
                }
                for (std::size_t slot = 0; slot < 32; ++slot) {
                    const Row& row = rows[slot];
                    const std::vector<double> r = Decoded(spec, row);
                    const double plain = double{row.factors.add} - 2 * Dot(r, query.q);
                    const double scale = double{quant::FromBfloat16(row.factors.scale)};
                    // One entry of each table; or every coordinate of the decoded vector.
                    const double steps = spec.kind == Kind::kBq && spec.bits >= 6 ? 65535 : 255;
                    const double table = widest / steps * std::sqrt(static_cast<double>(n) / 48);
                    const double sd = spec.kind == Kind::kBq
                                          ? std::fabs(scale) * table
                                          : 2 * Norm(r) * largest / 8127 / std::sqrt(12.0);
                    squares += std::pow((double{scanned.estimate[slot]} - plain) / sd, 2);
                    count += 1;
                    if (row.refine.empty()) continue;
                    const double fine_plain =
                        double{FineFactorsOf(row).add} - 2 * Dot(FineDecoded(spec, row), query.q);
                    const quant::Estimate estimate =
                        RefineOf(spec, query, 0, scanned.sums[slot], row);
                    fine_squares += std::pow(
                        (double{estimate.key} - fine_plain) / FineQueryNoise(spec, query, row), 2);
                }
            }
            Where("%s bits=%d dim=%zu", Name(spec), spec.bits, n);
            // The least entry of a table is exact: 15 of 16 entries of bq are rounded. Beside tables of
            // 16 bits the rounding of floats can be seen.
            const double floats = spec.bits == 8 && spec.kind == Kind::kBq ? 0.1 : 0.05;
            CHECK_NEAR(std::sqrt(squares / count), spec.kind == Kind::kBq ? 0.968 : 1, floats);
            if (spec.kind == Kind::kBq && spec.bits > 1)
                CHECK_NEAR(std::sqrt(fine_squares / count), 1, floats);
        }
}

// The additive factor against its formula: ||r||^2 + 2 <c, r^> - norm.
TEST(QuantAdditiveFactor) {
    for (std::size_t n : {64, 832, 16000})
        for (const Spec& spec : Specs(n, {1, 4}))
            for (const char* shape : kShapes)
                for (float norm_sqr : {0.0f, 123.0f}) {
                    Where("%s bits=%d dim=%zu %s norm=%g", Name(spec), spec.bits, n, shape,
                          double{quant::WithSlack(norm_sqr)});
                    Random random(n);
                    const std::vector<float> c = random.Gaussians(n), r = Shape(shape, n, random);
                    const Row row = Encode(spec, r, c, norm_sqr);
                    const double rr = Dot(r, r);
                    const auto check = [&](float add, const std::vector<double>& decoded) {
                        double terms = rr + double{quant::WithSlack(norm_sqr)};
                        for (std::size_t i = 0; i < n; ++i)
                            terms += 2 * std::fabs(double{c[i]} * decoded[i]);
                        CHECK_NEAR(add,
                                   rr + 2 * Dot(c, decoded) - double{quant::WithSlack(norm_sqr)},
                                   Rounding(n) * terms);
                    };
                    check(row.factors.add, Decoded(spec, row));
                    if (!row.refine.empty()) check(FineFactorsOf(row).add, FineDecoded(spec, row));
                }
}

// ---- bounds ----

// With epsilon at its largest the bound is that of Cauchy and Schwarz, and holds for every
// residual, the query that the code is worst for included.
TEST(QuantHardBoundHolds) {
    const UseTable use("auto");
    for (std::size_t n : kDims)
        for (const Spec& spec : Specs(n, {1, 2, 4, 8}))
            for (const char* shape : kShapes)
                for (double centre : {0.0, 1.0, 100.0})
                    for (bool product : {false, true}) {
                        if (n == 16000 && (product || (spec.kind == Kind::kBq && spec.bits != 4)))
                            continue;
                        Random random(n + spec.bits);
                        const std::vector<float> r = Shape(shape, n, random);
                        const std::vector<float> c = ToFloat(random.Gaussians(n), centre);
                        const std::vector<double> x = Sum(c, 1, r);
                        const float norm_sqr = product ? static_cast<float>(Dot(x, x)) : 0;
                        const Row row = Encode(spec, r, c, norm_sqr);
                        TestBlock block(spec);
                        block.Put(7, row);
                        const std::vector<double> error = Sum(r, -1, Decoded(spec, row));
                        const std::vector<std::vector<double>> queries = {
                            Sum(c, 1, random.Gaussians(n)),
                            Sum(c, 3, error),
                            Sum(c, -0.1, error),
                            Sum(c, 1, r),
                            Sum(c, 0, r),
                            Sum(c, 1000, random.Gaussians(n)),
                        };
                        for (std::size_t i = 0; i < queries.size(); ++i) {
                            Where("%s bits=%d dim=%zu %s centre=%g ip=%d query %zu", Name(spec),
                                  spec.bits, n, shape, centre, product, i);
                            const Query query(spec, ToFloat(queries[i]), 1e6f);
                            CHECK_EQ(query.prepared.tighten, 1.0f);
                            const double base = Base(query.q, c);
                            const double key =
                                TrueKey(query.q, c, r, double{quant::WithSlack(norm_sqr)});
                            const Scanned scanned = block.Scan(query, base);
                            // The slack of a bound is for what Encode sums in the usual case.
                            const double rounding =
                                Rounding(n) * (base + Dot(r, r) + 2 * Norm(c) * Norm(r) +
                                               double{quant::WithSlack(norm_sqr)});
                            CHECK(double{scanned.lower[7]} <= key + rounding);
                            CHECK(scanned.upper(7) >= key - rounding);
                            if (row.refine.empty()) continue;
                            const quant::Estimate fine =
                                RefineOf(spec, query, base, scanned.sums[7], row);
                            CHECK(double{fine.key} - double{fine.error} <= key);
                            CHECK(double{fine.key} + double{fine.error} >= key);
                        }
                    }
}

// The stored ||e|| is never below the true one, and little above it: a bfloat16 rounded up, the
// rounding of a difference of like numbers, and what a rounded scale of bq leaves along r.
TEST(QuantErrorIsTheTrueNormRoundedUp) {
    for (std::size_t n : kDims)
        for (const Spec& spec : Specs(n, {1, 2, 3, 4, 5, 6, 7, 8}))
            for (const char* shape : kShapes)
                for (int seed = 0; seed < (n == 16000 ? 1 : 10); ++seed) {
                    Where("%s bits=%d dim=%zu %s seed=%d", Name(spec), spec.bits, n, shape, seed);
                    Random random(n * 100 + static_cast<std::size_t>(seed));
                    const std::vector<float> r = Shape(shape, n, random);
                    const Row row = Encode(spec, r, std::vector<float>(n));
                    const double rr = Dot(r, r);
                    const double stored = double{quant::FromBfloat16(row.factors.error)};
                    if (rr == 0) {
                        CHECK_EQ(stored, 0);
                        continue;
                    }
                    const std::vector<double> decoded = Decoded(spec, row);
                    const double truth = Norm(Sum(r, -1, decoded));
                    CHECK(stored >= truth * (1 - Rounding(n)));
                    if (spec.kind == Kind::kSq8) {
                        CHECK(stored <= truth * (1 + 0x1p-7 + Rounding(n)) + 2e-7 * Norm(r));
                        continue;
                    }
                    const auto across = [&](const std::vector<double>& r_hat) {
                        const double exact = rr / Dot(r_hat, r);
                        const double norm = Norm(Sum(r, -exact, r_hat));
                        return std::sqrt(norm * norm + (1.01e-6 + 4 * Rounding(n)) * rr);
                    };
                    const double along = AlongCharge(r, decoded);
                    CHECK(along <=
                          0x1p-8 * std::max(Norm(r) * std::sqrt(static_cast<double>(n)) / 3,
                                            Norm(decoded) * (1 + 0x1p-7)));
                    CHECK(stored <= (across(decoded) + along + Rounding(n) * Norm(r)) *
                                        (1 + 0x1p-7 + Rounding(n)));
                    if (row.refine.empty()) continue;
                    const std::vector<double> fine = FineDecoded(spec, row);
                    const double fine_stored = double{FineFactorsOf(row).error};
                    CHECK(fine_stored >= Norm(Sum(r, -1, fine)) * (1 - Rounding(n)));
                    CHECK(fine_stored <= across(fine) * (1 + Rounding(n)));
                }
}

// How often a bound of epsilon standard errors fails, for queries of random direction: as often as
// a normal variable is beyond epsilon, less what the charges for rounding keep.
TEST(QuantViolationRate) {
    const UseTable use("auto");
    for (std::size_t n : {128, 832})
        for (const Spec& spec : Specs(n, {1, 2, 4, 8}))
            for (double epsilon : {1.0, 1.9, 3.0}) {
                Random random(n + spec.bits);
                const std::vector<float> c(n);
                TestBlock block(spec);
                std::vector<Row> rows;
                std::vector<std::vector<float>> residuals;
                for (std::size_t slot = 0; slot < 32; ++slot) {
                    residuals.push_back(random.Gaussians(n));
                    rows.push_back(Encode(spec, residuals.back(), c));
                    block.Put(slot, rows.back());
                }
                double count = 0, scan = 0, fine = 0;
                for (int i = 0; i < 500; ++i) {
                    const Query query(spec, random.Gaussians(n), static_cast<float>(epsilon));
                    const double base = Base(query.q, c);
                    const Scanned scanned = block.Scan(query, base);
                    for (std::size_t slot = 0; slot < 32; ++slot) {
                        const double key = base + Dot(residuals[slot], residuals[slot]) -
                                           2 * Dot(residuals[slot], query.q);
                        count += 1;
                        scan += double{scanned.lower[slot]} > key || scanned.upper(slot) < key;
                        if (spec.kind == Kind::kSq8 || spec.bits == 1) continue;
                        const quant::Estimate e =
                            RefineOf(spec, query, base, scanned.sums[slot], rows[slot]);
                        fine += std::fabs(double{e.key} - key) > double{e.error};
                    }
                }
                const double theory = TwoTails(epsilon);
                const double sampling = 5 * std::sqrt(theory / count);
                Where("%s bits=%d dim=%zu epsilon=%g: %.4f of rows, theory %.4f", Name(spec),
                      spec.bits, n, epsilon, scan / count, theory);
                CHECK(scan / count <= theory + sampling);
                // sq8 charges its query's rounding as if every code were 255.
                if (spec.kind == Kind::kBq) CHECK(scan / count >= theory / 3 - sampling);
                if (spec.kind == Kind::kSq8 || spec.bits == 1) continue;
                Where("%s bits=%d dim=%zu epsilon=%g refined: %.4f of rows, theory %.4f",
                      Name(spec), spec.bits, n, epsilon, fine / count, theory);
                CHECK(fine / count <= theory + sampling);
                CHECK(fine / count >= theory / 2 - sampling);
            }
}

// A vector and a query that stay, and many rotations: the whole way of a row and of a query, as the
// index goes it. The estimate is right on average and spreads as theory says.
TEST(QuantUnbiasedOverRotations) {
    const UseTable use("auto");
    for (std::size_t dim : {128, 784})
        for (const Spec& spec : Specs(quant::PaddedDim(dim), {1, 2, 4, 8}))
            for (bool spiky : {false, true}) {
                const std::size_t n = spec.padded_dim, seeds = dim == 128 ? 1500 : 500;
                Random random(dim + spec.bits);
                std::vector<float> r(n), c(n), q(n);
                for (std::size_t i = 0; i < dim; ++i) {
                    r[i] = static_cast<float>(random.Gaussian());
                    c[i] = static_cast<float>(random.Uniform(0, 3));
                    // The cosine of r and q - c is near 0.6.
                    q[i] = c[i] + 0.6f * r[i] + static_cast<float>(0.8 * random.Gaussian());
                }
                if (spiky) {
                    std::fill(r.begin(), r.end(), 0.0f);
                    r[3] = 10;
                    r[40] = 3.3f;
                    q = c;
                    q[3] += 6;
                    q[5] += 8;
                }
                const double rr = Dot(r, r), base = Base(q, c), key = TrueKey(q, c, r);
                const double cosine = (base + rr - key) / 2 / std::sqrt(base * rr);
                double sum = 0, squares = 0, fine_sum = 0, fine_squares = 0;
                for (std::size_t seed = 0; seed < seeds; ++seed) {
                    std::vector<std::uint8_t> signs(quant::RotationBytes(n));
                    quant::FillRotation(seed, n, signs);
                    std::vector<float> rotated[3] = {r, c, q};
                    for (std::vector<float>& x : rotated) quant::Rotate(signs, x);
                    const Row row = Encode(spec, rotated[0], rotated[1]);
                    TestBlock block(spec);
                    block.Put(seed % 32, row);
                    const Query query(spec, rotated[2], 1);
                    const Scanned scanned = block.Scan(query, base);
                    // At epsilon 1, the bound's own charge for the query is its standard deviation.
                    // An error of bq is orthogonal to r, that of sq8 points anywhere.
                    const double part = spec.kind == Kind::kBq ? 1 - cosine * cosine : 1;
                    const double free = static_cast<double>(n - 1);
                    const auto deviation = [&](double error, double query_error) {
                        return std::hypot(2 * std::sqrt(base * part / free) * error, query_error);
                    };
                    const auto [lower, estimate, sums, selected] = scanned;
                    const double scale = double{quant::FromBfloat16(row.factors.scale)};
                    const double unit = double{query.prepared.unit};
                    const double sd =
                        deviation(Norm(Sum(rotated[0], -1, Decoded(spec, row))),
                                  spec.kind == Kind::kBq
                                      ? scale * double{query.prepared.round_error}
                                      : 2 * Norm(Decoded(spec, row)) * unit / std::sqrt(12.0));
                    const double z = (double{estimate[seed % 32]} - key) / sd;
                    sum += z;
                    squares += z * z;
                    if (row.refine.empty()) continue;
                    const FineFactors factors = FineFactorsOf(row);
                    const quant::Estimate fine = RefineOf(spec, query, base, sums[seed % 32], row);
                    const double fine_z =
                        (double{fine.key} - key) /
                        deviation(double{factors.error}, FineQueryNoise(spec, query, row));
                    fine_sum += fine_z;
                    fine_squares += fine_z * fine_z;
                }
                const double count = static_cast<double>(seeds);
                Where("%s bits=%d dim=%zu spiky=%d mean %.3f sd %.3f, refined %.3f %.3f",
                      Name(spec), spec.bits, dim, spiky, sum / count, std::sqrt(squares / count),
                      fine_sum / count, std::sqrt(fine_squares / count));
                CHECK_NEAR(sum / count, 0, 4 / std::sqrt(count));
                CHECK_NEAR(std::sqrt(squares / count), 1, 0.1);
                if (spec.kind == Kind::kSq8 || spec.bits == 1) continue;
                CHECK_NEAR(fine_sum / count, 0, 4 / std::sqrt(count));
                CHECK_NEAR(std::sqrt(fine_squares / count), 1, 0.1);
            }
}

// ---- the edges of arithmetic ----

// What cannot be encoded is looked at, never lost.
TEST(QuantNotFiniteMeansBoundMinusInfinity) {
    for (std::size_t n : {64, 832})
        for (const Spec& spec : Specs(n, {1, 4, 8}))
            for (float bad : {kNan, kInfinity, -kInfinity, 1e30f, -3e38f})
                for (bool in_centroid : {false, true}) {
                    Where("%s bits=%d dim=%zu bad=%g in_centroid=%d", Name(spec), spec.bits, n,
                          double{bad}, in_centroid);
                    if (in_centroid && std::isfinite(bad) && std::fabs(bad) < 2e38f) continue;
                    Random random(n);
                    std::vector<float> c = random.Gaussians(n), r = random.Gaussians(n);
                    (in_centroid ? c : r)[n / 2] = bad;
                    if (in_centroid && std::isfinite(bad)) r[n / 2] = 1e10f;
                    const Row row = Encode(spec, r, c);
                    CHECK_EQ(quant::FromBfloat16(row.factors.error), kInfinity);
                    CHECK(std::isfinite(row.factors.add));
                    TestBlock block(spec);
                    block.Put(31, row);
                    const Query query(spec, random.Gaussians(n), 1.9f);
                    for (double base : {0.0, 1.0}) {
                        const Scanned scanned = block.Scan(query, base, nullptr, -1e30f);
                        CHECK_EQ(scanned.lower[31], -kInfinity);
                        CHECK((scanned.selected >> 31 & 1) == 1);
                        if (row.refine.empty()) continue;
                        const quant::Estimate fine =
                            RefineOf(spec, query, base, scanned.sums[31], row);
                        // Not a number counts as minus infinity.
                        CHECK(!(double{fine.key} - double{fine.error} > -double{kInfinity}));
                    }
                }
}

// Numbers so small that their squares are not normal floats any more, or nothing.
TEST(QuantSmallNumbersKeepTheirBounds) {
    for (std::size_t n : {64, 832})
        for (const Spec& spec : Specs(n, {1, 2, 4, 8}))
            for (double size : {1e-8, 1e-10, 1e-12, 1e-15, 1e-17, 1e-18, 1e-19, 2e-20, 1e-20, 5e-21,
                                2e-21, 1e-21, 1e-22, 1e-24, 1e-30})
                for (double epsilon : {6.0, 1e6}) {
                    Random random(n);
                    const std::vector<float> c = ToFloat(random.Gaussians(n), size);
                    for (int i = 0; i < 20; ++i) {
                        Where("%s bits=%d dim=%zu size=%g epsilon=%g i=%d", Name(spec), spec.bits,
                              n, size, epsilon, i);
                        const std::vector<float> r = ToFloat(random.Gaussians(n), size);
                        const Query query(spec, ToFloat(random.Gaussians(n), size),
                                          static_cast<float>(epsilon));
                        const Row row = Encode(spec, r, c);
                        TestBlock block(spec);
                        block.Put(0, row);
                        const double base = Base(query.q, c), key = TrueKey(query.q, c, r);
                        const Scanned scanned = block.Scan(query, base);
                        CHECK(double{scanned.lower[0]} <= key);
                        CHECK(scanned.upper(0) >= key);
                        if (row.refine.empty()) continue;
                        const quant::Estimate fine =
                            RefineOf(spec, query, base, scanned.sums[0], row);
                        const double least = double{fine.key} - double{fine.error},
                                     most = double{fine.key} + double{fine.error};
                        // Not a number counts as minus infinity, or infinity, but only where
                        // squares vanish.
                        CHECK(least <= key || (size < 1e-17 && std::isnan(least)));
                        CHECK(most >= key || (size < 1e-17 && std::isnan(most)));
                    }
                }
}

// A row that is its list's centroid, and a query that is.
TEST(QuantZeroResidual) {
    for (const Spec& spec : Specs(128, {1, 4})) {
        Random random(1);
        const std::vector<float> zero(128), c = random.Gaussians(128);
        const Row row = Encode(spec, zero, c, 5.0f);
        CHECK_EQ(quant::FromBfloat16(row.factors.error), 0);
        TestBlock block(spec);
        block.Put(0, row);
        for (const std::vector<float>& q : {c, zero, random.Gaussians(128)}) {
            const Query query(spec, q, 1.9f);
            const double base = Base(q, c);
            const Scanned scanned = block.Scan(query, base);
            Where("%s bits=%d", Name(spec), spec.bits);
            CHECK_NEAR(scanned.estimate[0], base - double{quant::WithSlack(5)}, 1e-6 * (base + 5));
            CHECK(double{scanned.lower[0]} <= base - 5);
            if (spec.kind == Kind::kBq && spec.bits > 1)
                CHECK_NEAR(RefineOf(spec, query, base, scanned.sums[0], row).key,
                           base - double{quant::WithSlack(5)}, 1e-6 * (base + 5));
        }
    }
}
