// Every kernel of every table that this machine runs, against the plain loops of reference.h.
//
// This file is long because each kernel has its tests, one after the other, and they share their
// lengths, addresses and tolerances.
#include "reference.h"
#include "unit.h"

#include "core/kernels/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

using namespace quantvec;
using kernels::Kernels;
using unit::Random;
using unit::Where;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// What Active() was before main: nothing has selected a table yet.
const std::string name_at_load = kernels::Active().name;

std::vector<const Kernels*> Tables() {
    const Kernels* tables[kernels::kMostTables];
    const std::size_t count = kernels::Runnable(tables);
    return {tables, tables + count};
}

// All small lengths, so that each tail of each table's steps is there, and the usual ones.
std::vector<std::size_t> Lengths() {
    std::vector<std::size_t> lengths;
    for (std::size_t n = 0; n <= 130; ++n) lengths.push_back(n);
    for (std::size_t n : {384, 768, 784, 1536, 16000}) lengths.push_back(n);
    return lengths;
}

// n values at an address that is off by `offset` elements from any alignment, and that end with
// their allocation, so that a sanitizer sees a read beyond them.
template <class T>
class Placed {
  public:
    Placed(const std::vector<T>& values, std::size_t offset) : offset_(offset) {
        storage_.reserve(offset + values.size());
        for (std::size_t i = 0; i < offset; ++i) storage_.push_back(T());
        storage_.insert(storage_.end(), values.begin(), values.end());
    }
    T* data() { return storage_.data() + offset_; }
    std::size_t size() const { return storage_.size() - offset_; }
    std::vector<T> values() const {
        return {storage_.begin() + static_cast<long>(offset_), storage_.end()};
    }

  private:
    std::size_t offset_;
    std::vector<T> storage_;
};

std::vector<float> SmallIntegers(Random& random, std::size_t n) {
    std::vector<float> out(n);
    for (float& x : out) x = static_cast<float>(random.Below(15)) - 7;
    return out;
}

std::vector<std::int8_t> SplitPlane(Random& random, std::size_t n) {
    std::vector<std::int8_t> out(n);
    for (std::int8_t& x : out)
        x = static_cast<std::int8_t>(static_cast<int>(random.Below(128)) - 64);
    return out;
}

bool SameBits(const float* a, const float* b, std::size_t n) {
    return n == 0 || std::memcmp(a, b, n * sizeof(float)) == 0;
}

// The bound of src/core/kernels/README.md: roundings on the way of one element, times 2^-24.
double Tolerance(const reference::Sum& sum, std::size_t n) {
    return (static_cast<double>(n) / 16 + 10) * 0x1p-24 * sum.magnitude;
}

}  // namespace

TEST(KernelsScalarBeforeSelection) {
    CHECK_EQ(name_at_load, "scalar");
}

TEST(KernelsSelect) {
    const std::string before = kernels::Active().name;
    const std::vector<const Kernels*> tables = Tables();
    for (const Kernels* table : tables) {
        CHECK(kernels::Select(table->name));
        CHECK_EQ(&kernels::Active(), table);
        for (const char* unknown : {"", "AVX2", "avx", "avx5122", "sse2", "auto "}) {
            CHECK(!kernels::Select(unknown));
            CHECK_EQ(&kernels::Active(), table);
        }
    }
    for (const char* name : {"scalar", "avx2", "avx512", "avx512vbmi", "neon"}) {
        bool runnable = false;
        for (const Kernels* table : tables) runnable |= std::strcmp(table->name, name) == 0;
        CHECK_EQ(kernels::Select(name), runnable);
    }
    CHECK(kernels::Select("auto"));
    CHECK_EQ(&kernels::Active(), tables.back());
    CHECK(kernels::Select(before.c_str()));
}

TEST(KernelsTablesAreDistinct) {
    const std::vector<const Kernels*> tables = Tables();
    CHECK(!tables.empty());
    CHECK_EQ(std::string(tables.front()->name), "scalar");
    for (std::size_t i = 0; i < tables.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            const Kernels &a = *tables[i], &b = *tables[j];
            Where("%s and %s", a.name, b.name);
            CHECK(std::strcmp(a.name, b.name) != 0);
            CHECK(a.fast_scan != b.fast_scan);
            CHECK(a.pq_sums != b.pq_sums);
            // All that it does not do by its own is that of "avx512".
            if (std::strcmp(a.name, "avx512vbmi") == 0 && std::strcmp(b.name, "avx512") == 0)
                continue;
            CHECK(a.l2sqr != b.l2sqr);
            CHECK(a.inner_product != b.inner_product);
            CHECK(a.l1 != b.l1);
            CHECK(a.cosine_sums != b.cosine_sums);
            CHECK(a.half_l2sqr != b.half_l2sqr);
            CHECK(a.half_inner_product != b.half_inner_product);
            CHECK(a.half_l1 != b.half_l1);
            CHECK(a.half_cosine_sums != b.half_cosine_sums);
            CHECK(a.half_to_float != b.half_to_float);
            CHECK(a.bytes_to_float != b.bytes_to_float);
            CHECK(a.hamming != b.hamming);
            CHECK(a.bit_overlap != b.bit_overlap);
            CHECK(a.tile_scores != b.tile_scores);
            CHECK(a.pq_products != b.pq_products);
            CHECK(a.abs_max != b.abs_max);
            CHECK(a.subset_tables != b.subset_tables);
            CHECK(a.split_query != b.split_query);
            CHECK(a.hadamard != b.hadamard);
            CHECK(a.butterfly != b.butterfly);
            CHECK(a.flip_scale != b.flip_scale);
            CHECK(a.ordered_dot != b.ordered_dot);
            CHECK(a.pq_nearest != b.pq_nearest);
            CHECK(a.dot_u8 != b.dot_u8);
            CHECK(a.dot_u4 != b.dot_u4);
            CHECK(a.dot_planes != b.dot_planes);
            CHECK(a.bound_block != b.bound_block);
            CHECK(a.masked_min != b.masked_min);
        }
}

// Small integers: every partial sum is a float, so the result is exact in any order.
TEST(KernelsFloatExactOnIntegers) {
    for (const Kernels* table : Tables())
        for (std::size_t n : Lengths())
            for (std::size_t offset : {0, 1}) {
                Where("%s n=%zu offset=%zu", table->name, n, offset);
                Random random(n);
                Placed<float> a(SmallIntegers(random, n), offset), b(SmallIntegers(random, n), 1);
                CHECK_EQ(table->l2sqr(a.data(), b.data(), n),
                         reference::L2Sqr(a.data(), b.data(), n).value);
                CHECK_EQ(table->inner_product(a.data(), b.data(), n),
                         reference::InnerProduct(a.data(), b.data(), n).value);
                CHECK_EQ(table->l1(a.data(), b.data(), n),
                         reference::L1(a.data(), b.data(), n).value);
                float sums[3] = {kNan, kNan, kNan};
                table->cosine_sums(a.data(), b.data(), n, sums);
                CHECK_EQ(sums[0], reference::InnerProduct(a.data(), b.data(), n).value);
                CHECK_EQ(sums[1], reference::InnerProduct(a.data(), a.data(), n).value);
                CHECK_EQ(sums[2], reference::InnerProduct(b.data(), b.data(), n).value);
            }
}

TEST(KernelsFloatWithinTolerance) {
    for (const Kernels* table : Tables())
        for (std::size_t n : Lengths()) {
            Where("%s n=%zu", table->name, n);
            Random random(n + 1000);
            Placed<float> a(random.Gaussians(n), 1), b(random.Gaussians(n), 0);
            const reference::Sum l2sqr = reference::L2Sqr(a.data(), b.data(), n);
            const reference::Sum l1 = reference::L1(a.data(), b.data(), n);
            const reference::Sum ab = reference::InnerProduct(a.data(), b.data(), n);
            const reference::Sum aa = reference::InnerProduct(a.data(), a.data(), n);
            const reference::Sum bb = reference::InnerProduct(b.data(), b.data(), n);
            CHECK_NEAR(table->l2sqr(a.data(), b.data(), n), l2sqr.value, Tolerance(l2sqr, n));
            CHECK_NEAR(table->l1(a.data(), b.data(), n), l1.value, Tolerance(l1, n));
            CHECK_NEAR(table->inner_product(a.data(), b.data(), n), ab.value, Tolerance(ab, n));
            float sums[3];
            table->cosine_sums(a.data(), b.data(), n, sums);
            CHECK_NEAR(sums[0], ab.value, 2 * Tolerance(ab, n));
            CHECK_NEAR(sums[1], aa.value, 2 * Tolerance(aa, n));
            CHECK_NEAR(sums[2], bb.value, 2 * Tolerance(bb, n));
        }
}

TEST(KernelsFloatCarryInfinityAndNan) {
    for (const Kernels* table : Tables())
        for (std::size_t n : {1, 7, 16, 33, 100})
            for (std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
                Where("%s n=%zu at=%zu", table->name, n, at);
                std::vector<float> a(n, 1.0f), b(n, 2.0f);
                a[at] = kInfinity;
                CHECK_EQ(table->l2sqr(a.data(), b.data(), n), kInfinity);
                CHECK_EQ(table->inner_product(a.data(), b.data(), n), kInfinity);
                CHECK_EQ(table->l1(a.data(), b.data(), n), kInfinity);
                a[at] = kNan;
                CHECK(std::isnan(table->l2sqr(a.data(), b.data(), n)));
                CHECK(std::isnan(table->inner_product(a.data(), b.data(), n)));
                CHECK(std::isnan(table->l1(a.data(), b.data(), n)));
            }
}

TEST(KernelsHalvesAreTheirFloats) {
    Random random(19);
    for (std::size_t n : Lengths()) {
        std::vector<Half> a(n), b(n);
        for (std::vector<Half>* halves : {&a, &b})
            for (Half& x : *halves) do
                    x = {static_cast<std::uint16_t>(random.Below(1 << 16))};
                while (!std::isfinite(ToFloat(x)));
        std::vector<float> fa(n), fb(n);
        for (std::size_t i = 0; i < n; ++i) fa[i] = ToFloat(a[i]), fb[i] = ToFloat(b[i]);
        const Placed<Half> pa(a, n % 3), pb(b, (n + 1) % 3);
        for (const Kernels* k : Tables()) {
            Where("%s, n = %zu", k->name, n);
            Placed<Half> x = pa, y = pb;
            std::vector<float> out(n);
            k->half_to_float(x.data(), n, out.data());
            CHECK(SameBits(out.data(), fa.data(), n));
            const float sums[] = {k->half_l2sqr(x.data(), y.data(), n),
                                  k->half_inner_product(x.data(), y.data(), n),
                                  k->half_l1(x.data(), y.data(), n)};
            const float expected[] = {k->l2sqr(fa.data(), fb.data(), n),
                                      k->inner_product(fa.data(), fb.data(), n),
                                      k->l1(fa.data(), fb.data(), n)};
            CHECK(SameBits(sums, expected, 3));
            float cosine[3], expected_cosine[3];
            k->half_cosine_sums(x.data(), y.data(), n, cosine);
            k->cosine_sums(fa.data(), fb.data(), n, expected_cosine);
            CHECK(SameBits(cosine, expected_cosine, 3));
        }
    }
}

TEST(KernelsBytesToFloat) {
    Random random(29);
    for (std::size_t n : Lengths()) {
        Placed<std::uint8_t> x(random.Bytes(n), n % 3);
        const float scale = std::ldexp(static_cast<float>(1 + random.Below(65535)), -20);
        const float least = static_cast<float>(random.Gaussians(1)[0]);
        std::vector<float> expected(n), out(n);
        for (std::size_t i = 0; i < n; ++i)
            expected[i] = static_cast<float>(double{least} + double{scale} * x.data()[i]);
        for (const Kernels* k : Tables()) {
            Where("%s, n = %zu", k->name, n);
            k->bytes_to_float(x.data(), n, scale, least, out.data());
            CHECK(SameBits(out.data(), expected.data(), n));
        }
    }
}

TEST(KernelsCountBits) {
    Random random(23);
    for (std::size_t n : Lengths()) {
        std::vector<std::uint8_t> a(n), b(n);
        for (std::vector<std::uint8_t>* bytes : {&a, &b})
            for (std::uint8_t& x : *bytes) x = static_cast<std::uint8_t>(random.Below(256));
        std::uint64_t differ = 0, both = 0, either = 0;
        for (std::size_t i = 0; i < 8 * n; ++i) {
            const int x = a[i / 8] >> (i % 8) & 1, y = b[i / 8] >> (i % 8) & 1;
            differ += x != y;
            both += x && y;
            either += x || y;
        }
        Placed<std::uint8_t> pa(a, n % 5), pb(b, (n + 3) % 5);
        for (const Kernels* k : Tables()) {
            Where("%s, n = %zu", k->name, n);
            CHECK_EQ(k->hamming(pa.data(), pb.data(), n), differ);
            const kernels::BitOverlap overlap = k->bit_overlap(pa.data(), pb.data(), n);
            CHECK_EQ(overlap.both, both);
            CHECK_EQ(overlap.either, either);
        }
    }
}

// Small integers are exact; with Gaussian tables, m additions round.
// Every number of rows up to two strips and more, each row at its own odd address.
TEST(KernelsTileScores) {
    constexpr std::size_t kColumns = kernels::kTileColumns;
    for (const Kernels* table : Tables())
        for (std::size_t dim : {0, 1, 2, 7, 64, 130, 768})
            for (std::size_t n = 0; n <= 19; ++n) {
                Random random(dim * 20 + n);
                Placed<float> tile(random.Gaussians(dim * kColumns), 1);
                Placed<float> norms(random.Gaussians(kColumns), 1);
                std::vector<Placed<float>> storage;
                for (std::size_t i = 0; i < n; ++i)
                    storage.emplace_back(random.Gaussians(dim), i % 3);
                std::vector<const float*> rows;
                for (Placed<float>& row : storage) rows.push_back(row.data());
                Placed<float> scores(std::vector<float>(n * kColumns, kNan), 1);
                table->tile_scores(rows.data(), n, tile.data(), norms.data(), dim, scores.data());
                for (std::size_t i = 0; i < n; ++i)
                    for (std::size_t k = 0; k < kColumns; ++k) {
                        Where("%s dim=%zu n=%zu row=%zu column=%zu", table->name, dim, n, i, k);
                        const reference::Sum expected = reference::TileScore(
                            rows[i], tile.data(), norms.data()[k], dim, kColumns, k);
                        // One rounding a term and three at the end.
                        CHECK_NEAR(scores.data()[i * kColumns + k], expected.value,
                                   (static_cast<double>(dim) + 3) * 0x1p-24 * expected.magnitude);
                    }
            }
}

// A column that is not a number spoils its own scores only, and so does a row.
TEST(KernelsTileScoresKeepNanApart) {
    constexpr std::size_t kColumns = kernels::kTileColumns, kDim = 5, kRows = 9;
    for (const Kernels* table : Tables()) {
        std::vector<float> tile(kDim * kColumns, 1), norms(kColumns, 1), data(kRows * kDim, 1);
        tile[2 * kColumns + 7] = kNan;
        norms[20] = kInfinity;
        data[4 * kDim + 1] = kNan;
        std::vector<const float*> rows;
        for (std::size_t i = 0; i < kRows; ++i) rows.push_back(&data[i * kDim]);
        std::vector<float> scores(kRows * kColumns);
        table->tile_scores(rows.data(), kRows, tile.data(), norms.data(), kDim, scores.data());
        for (std::size_t i = 0; i < kRows; ++i)
            for (std::size_t k = 0; k < kColumns; ++k) {
                Where("%s row=%zu column=%zu", table->name, i, k);
                const float score = scores[i * kColumns + k];
                CHECK_EQ(std::isnan(score), i == 4 || k == 7);
                if (i != 4 && k != 7) CHECK_EQ(score, k == 20 ? kInfinity : -9.0f);
            }
    }
}

TEST(KernelsPqProducts) {
    for (const Kernels* table : Tables())
        for (std::size_t ksub : {16, 48, 256})
            for (std::size_t width : {1, 2, 7, 8, 9, 64})
                for (std::size_t offset : {0, 1, 3}) {
                    Random random(ksub + width + offset);
                    Placed<float> x(random.Gaussians(width), offset);
                    Placed<float> book(random.Gaussians(width * ksub), offset);
                    Placed<float> out(std::vector<float>(ksub, kNan), offset);
                    table->pq_products(x.data(), book.data(), width, ksub, out.data());
                    for (std::size_t k = 0; k < ksub; ++k) {
                        Where("%s ksub=%zu width=%zu offset=%zu word=%zu", table->name, ksub, width,
                              offset, k);
                        reference::Sum sum;
                        for (std::size_t j = 0; j < width; ++j)
                            sum.Add(double{x.data()[j]} * double{book.data()[j * ksub + k]});
                        CHECK_NEAR(out.data()[k], sum.value,
                                   static_cast<double>(width + 1) * 0x1p-24 * sum.magnitude);
                    }
                }
}

TEST(KernelsPqSums) {
    for (const Kernels* table : Tables())
        for (std::size_t m : {0, 1, 2, 3, 7, 16, 48, 98, 129, 256, 257, 600})
            for (std::size_t offset : {0, 1, 3}) {
                Where("%s m=%zu offset=%zu", table->name, m, offset);
                Random random(m + offset);
                Placed<std::uint8_t> codes(random.Bytes(32 * m), offset);
                Placed<std::uint8_t> tables(random.Bytes(256 * m), offset);
                std::uint32_t sums[32];
                for (std::size_t row = 0; row < 32; ++row)
                    sums[row] = static_cast<std::uint32_t>(1000000 * row);
                table->pq_sums(codes.data(), tables.data(), m, sums);
                for (std::size_t row = 0; row < 32; ++row)
                    CHECK_EQ(sums[row],
                             1000000 * row + reference::PqSum(codes.data(), tables.data(), m, row));
            }
}

// Entries of 255 all over pass 16 bits after 257 sub-quantizers.
TEST(KernelsPqSumsDoNotOverflow) {
    for (const Kernels* table : Tables())
        for (std::size_t m : {255, 256, 257, 258, 511, 512, 513, 2000, 16000}) {
            Where("%s m=%zu", table->name, m);
            const std::vector<std::uint8_t> codes(32 * m, 0xA5), tables(256 * m, 255);
            std::uint32_t sums[32] = {};
            table->pq_sums(codes.data(), tables.data(), m, sums);
            for (std::size_t row = 0; row < 32; ++row) CHECK_EQ(sums[row], 255 * m);
        }
}

// Every codeword at every row.
TEST(KernelsPqSumsReadEveryEntry) {
    std::uint8_t entries[256];
    for (std::size_t k = 0; k < 256; ++k) entries[k] = static_cast<std::uint8_t>(k * 181 + 7);
    for (const Kernels* table : Tables())
        for (std::size_t k = 0; k < 256; ++k) {
            Where("%s codeword=%zu", table->name, k);
            std::uint8_t codes[32];
            std::uint32_t sums[32] = {};
            for (std::size_t row = 0; row < 32; ++row)
                codes[row] = static_cast<std::uint8_t>(k + 37 * row);
            table->pq_sums(codes, entries, 1, sums);
            for (std::size_t row = 0; row < 32; ++row)
                CHECK_EQ(sums[row], entries[(k + 37 * row) % 256]);
        }
}

// H[i][j] is -1 to the number of bits that i and j share.
TEST(KernelsHadamardIsTheWalshMatrix) {
    for (const Kernels* table : Tables())
        for (std::size_t n = 1; n <= 512; n *= 2) {
            Where("%s n=%zu", table->name, n);
            Random random(n);
            const std::vector<float> input = SmallIntegers(random, n);
            std::vector<float> x = input;
            table->hadamard(x.data(), n);
            for (std::size_t i = 0; i < n; ++i) {
                double expected = 0;
                for (std::size_t j = 0; j < n; ++j)
                    expected += __builtin_popcountll(i & j) % 2 == 0 ? input[j] : -input[j];
                CHECK_EQ(x[i], expected);
            }
        }
}

TEST(KernelsAbsMax) {
    for (const Kernels* table : Tables())
        for (std::size_t n : Lengths()) {
            Where("%s n=%zu", table->name, n);
            Random random(n);
            std::vector<float> values = random.Gaussians(n);
            float expected = 0;
            for (float& value : values) {
                // What is not a number counts for nothing.
                if (random.Below(7) == 0) value = kNan;
                if (value == value) expected = std::max(expected, std::fabs(value));
            }
            Placed<float> x(values, n % 3);
            CHECK_EQ(table->abs_max(x.data(), n), expected);
        }
}

// Entries against sums in double: at most half a step away, and one more where rounding floats
// decides a tie.
TEST(KernelsSubsetTables) {
    for (const Kernels* table : Tables())
        for (std::size_t groups : {1, 2, 3, 16, 208, 4096})
            for (float most : {255.0f, 65535.0f}) {
                Where("%s groups=%zu most=%g", table->name, groups, double{most});
                Random random(groups);
                Placed<float> q(random.Gaussians(4 * groups), groups % 3);
                double widest = 0;
                for (std::size_t g = 0; g < groups; ++g) {
                    double range = 0;
                    for (std::size_t j = 0; j < 4; ++j)
                        range += std::fabs(double{q.data()[4 * g + j]});
                    widest = std::max(widest, range);
                }
                const float inverse = static_cast<float>(double{most} / widest);
                std::vector<std::uint8_t> low(16 * groups + 1, 0xA5), high(16 * groups + 1, 0x5A);
                table->subset_tables(q.data(), groups, inverse, most, low.data() + 1,
                                     most > 255 ? high.data() + 1 : nullptr);
                CHECK_EQ(int{low[0]}, 0xA5);
                CHECK_EQ(int{high[0]}, 0x5A);
                double worst = 0;
                int largest = 0;
                for (std::size_t g = 0; g < groups; ++g)
                    for (std::size_t k = 0; k < 16; ++k) {
                        double sum = 0;
                        for (std::size_t j = 0; j < 4; ++j) {
                            const double x = q.data()[4 * g + j];
                            sum += (k >> j & 1 ? x : 0) - std::min(x, 0.0);
                        }
                        int entry = low[1 + 16 * g + k];
                        if (most > 255) entry += high[1 + 16 * g + k] << 8;
                        worst = std::max(worst, std::fabs(entry - sum * double{inverse}));
                        largest = std::max(largest, entry);
                    }
                CHECK(worst <= 0.5 + 1e-6 * double{most});
                CHECK_EQ(largest, static_cast<int>(most));
            }
    for (const Kernels* table : Tables()) {
        Where("%s", table->name);
        const float q[4] = {kNan, 1, -2, kInfinity};
        std::uint8_t low[16];
        table->subset_tables(q, 1, 1.0f, 255, low, nullptr);
        // Sums of a NaN or of infinity are the most; nothing else is touched.
        CHECK_EQ(int{low[15]}, 255);
    }
}

TEST(KernelsMaskedMin) {
    for (const Kernels* table : Tables())
        for (int seed = 0; seed < 300; ++seed) {
            Random random(static_cast<std::size_t>(seed));
            Placed<float> values(random.Gaussians(32), static_cast<std::size_t>(seed) % 3);
            if (seed % 5 == 0) values.data()[seed % 32] = -kInfinity;
            auto mask = static_cast<std::uint32_t>(random.Below(std::size_t{1} << 32));
            if (seed % 7 == 0) mask &= static_cast<std::uint32_t>(random.Below(1 << 20)) << 5;
            if (seed == 0) mask = 0;
            if (seed == 1) mask = ~0u;
            if (seed >= 2 && seed < 34) mask = 1u << (seed - 2);
            float expected = kInfinity;
            for (std::size_t i = 0; i < 32; ++i)
                if (mask >> i & 1) expected = std::min(expected, values.data()[i]);
            Where("%s mask=%08x", table->name, mask);
            CHECK_EQ(table->masked_min(values.data(), mask), expected);
        }
}

TEST(KernelsSplitQuery) {
    for (const Kernels* table : Tables())
        for (std::size_t n : {64, 128, 384, 832, 16384}) {
            Where("%s n=%zu", table->name, n);
            Random random(n);
            std::vector<float> values = random.Gaussians(n);
            values[3] = kInfinity;
            values[n - 1] = -1e30f;
            values[5] = 0;
            values[7] = 8127.0f / 1000;
            Placed<float> q(values, n % 5);
            std::vector<std::int8_t> hi(n + 1, 77), lo(n + 1, 77);
            table->split_query(q.data(), n, 1000.0f, hi.data() + 1, lo.data() + 1);
            CHECK_EQ(int{hi[0]}, 77);
            CHECK_EQ(int{lo[0]}, 77);
            for (std::size_t i = 0; i < n; ++i) {
                const int h = hi[i + 1], l = lo[i + 1];
                CHECK(h >= -64 && h <= 63 && l >= -64 && l <= 63);
                const double exact = std::clamp(double{q.data()[i]} * 1000, -8127.0, 8127.0);
                CHECK(std::fabs(128 * h + l - exact) <= 0.5 + 1e-3);
            }
            const std::vector<float> none(64, kNan);
            table->split_query(none.data(), 64, 1.0f, hi.data(), lo.data());
            for (std::size_t i = 0; i < 64; ++i) CHECK(hi[i] >= -64 && hi[i] <= 63);
        }
}

TEST(KernelsHadamardSameBits) {
    for (const Kernels* table : Tables())
        for (std::size_t n = 1; n <= 16384; n *= 2)
            for (std::size_t offset : {0, 1, 3}) {
                Where("%s n=%zu offset=%zu", table->name, n, offset);
                Random random(n + offset);
                std::vector<float> expected = random.Gaussians(n);
                Placed<float> x(expected, offset);
                table->hadamard(x.data(), n);
                reference::Hadamard(expected.data(), n);
                CHECK(SameBits(x.data(), expected.data(), n));
            }
}

TEST(KernelsButterflySameBits) {
    for (const Kernels* table : Tables())
        for (std::size_t half : Lengths())
            for (float scale : {1.0f, 0.70710678f, -3.3f}) {
                Where("%s half=%zu scale=%g", table->name, half, double{scale});
                Random random(half);
                std::vector<float> expected = random.Gaussians(2 * half);
                Placed<float> x(expected, 1);
                table->butterfly(x.data(), half, scale);
                reference::Butterfly(expected.data(), half, scale);
                CHECK(SameBits(x.data(), expected.data(), 2 * half));
            }
}

TEST(KernelsFlipScaleSameBits) {
    for (const Kernels* table : Tables())
        for (std::size_t n : Lengths())
            for (float scale : {1.0f, 0.0441941738f}) {
                Where("%s n=%zu scale=%g", table->name, n, double{scale});
                Random random(n);
                std::vector<float> expected = random.Gaussians(n);
                Placed<float> x(expected, 1);
                Placed<std::uint8_t> signs(random.Bytes((n + 7) / 8), 1);
                table->flip_scale(x.data(), signs.data(), scale, n);
                reference::FlipScale(expected.data(), signs.data(), scale, n);
                CHECK(SameBits(x.data(), expected.data(), n));
            }
}

TEST(KernelsOrderedDotSameBits) {
    for (const Kernels* table : Tables())
        for (std::size_t n : Lengths())
            for (int seed = 0; seed < 5; ++seed) {
                Where("%s n=%zu seed=%d", table->name, n, seed);
                Random random(n * 10 + static_cast<std::size_t>(seed));
                Placed<float> a(random.Gaussians(n), 1), b(random.Gaussians(n), 0);
                const float got = table->ordered_dot(a.data(), b.data(), n);
                const float expected = reference::OrderedDot(a.data(), b.data(), n);
                CHECK(SameBits(&got, &expected, 1));
            }
}

TEST(KernelsPqNearest) {
    for (const Kernels* table : Tables())
        for (std::size_t ksub : {0, 16, 32, 48, 64, 80, 112, 128, 144, 240, 256, 272, 512})
            for (std::size_t width : {1, 2, 3, 4, 8, 13, 16, 32}) {
                Random random(ksub + width);
                const std::size_t offset = width % 3;
                Placed<float> book(random.Gaussians(width * ksub), offset);
                std::vector<float> norms(ksub);
                for (std::size_t k = 0; k < ksub; ++k)
                    for (std::size_t j = 0; j < width; ++j)
                        norms[k] += book.data()[j * ksub + k] * book.data()[j * ksub + k];
                Placed<float> placed_norms(norms, 1);
                for (int query = 0; query < 20; ++query) {
                    Where("%s ksub=%zu width=%zu query=%d", table->name, ksub, width, query);
                    Placed<float> x(random.Gaussians(width), offset);
                    CHECK_EQ(
                        table->pq_nearest(x.data(), book.data(), placed_norms.data(), width, ksub),
                        reference::PqNearest(x.data(), book.data(), placed_norms.data(), width,
                                             ksub));
                }
            }
}

// All codewords have the same elements in another order, and all of x is one number: the scores
// differ by rounding alone, so that another order, or a product that is not rounded, gives another
// index.
TEST(KernelsPqNearestRoundsInOrder) {
    for (const Kernels* table : Tables())
        for (std::size_t ksub : {16, 256, 304})
            for (std::size_t width : {4, 8, 32})
                for (int seed = 0; seed < 20; ++seed) {
                    Where("%s ksub=%zu width=%zu seed=%d", table->name, ksub, width, seed);
                    Random random(ksub + width + 1000 * static_cast<std::uint64_t>(seed));
                    std::vector<float> codeword = random.Gaussians(width), book(width * ksub);
                    for (std::size_t k = 0; k < ksub; ++k) {
                        std::swap(codeword[random.Below(width)], codeword[random.Below(width)]);
                        for (std::size_t j = 0; j < width; ++j) book[j * ksub + k] = codeword[j];
                    }
                    const std::vector<float> x(width, 1.1f), norms(ksub, 3.0f);
                    CHECK_EQ(
                        table->pq_nearest(x.data(), book.data(), norms.data(), width, ksub),
                        reference::PqNearest(x.data(), book.data(), norms.data(), width, ksub));
                }
}

TEST(KernelsPqNearestLowestOnTies) {
    const std::size_t ksub = 304;
    const float x = 0;
    const std::vector<float> book(ksub);
    for (const Kernels* table : Tables()) {
        // The same smallest score twice; -0 is 0.
        for (std::size_t first = 0; first < ksub; ++first)
            for (std::size_t second : {first + 1, first + 4, first + 16, first + 63, ksub - 1}) {
                if (second >= ksub) continue;
                Where("%s first=%zu second=%zu", table->name, first, second);
                std::vector<float> norms(ksub, 1.0f);
                norms[first] = 0.0f;
                norms[second] = -0.0f;
                CHECK_EQ(table->pq_nearest(&x, book.data(), norms.data(), 1, ksub), first);
            }
        // Indices that 16 bits do not hold.
        const std::size_t many = 1 << 18;
        std::vector<float> norms(many, 1.0f);
        norms[many - 3] = norms[many - 1] = 0;
        const std::vector<float> wide_book(many);
        CHECK_EQ(table->pq_nearest(&x, wide_book.data(), norms.data(), 1, many), many - 3);
    }
}

TEST(KernelsPqNearestSkipsNan) {
    const std::size_t ksub = 304;
    const float one = 1;
    const std::vector<float> book(ksub, 0.5f);
    for (const Kernels* table : Tables()) {
        const auto nearest = [&](const std::vector<float>& norms, float x) {
            return table->pq_nearest(&x, book.data(), norms.data(), 1, ksub);
        };
        for (std::size_t k = 0; k < ksub; ++k) {
            Where("%s k=%zu", table->name, k);
            std::vector<float> norms(ksub, kNan);
            norms[k] = 7;
            CHECK_EQ(nearest(norms, one), k);
            norms[k] = -kInfinity;
            CHECK_EQ(nearest(norms, one), k);
            norms[k] = std::numeric_limits<float>::max();
            CHECK_EQ(nearest(norms, one), k);
            norms[k] = kInfinity;
            CHECK_EQ(nearest(norms, one), 0);
            norms.assign(ksub, 7.0f);
            norms[k] = kNan;
            CHECK_EQ(nearest(norms, one), k == 0 ? 1 : 0);
        }
        Where("%s", table->name);
        CHECK_EQ(nearest(std::vector<float>(ksub, kNan), one), 0);
        CHECK_EQ(nearest(std::vector<float>(ksub, kInfinity), one), 0);
        CHECK_EQ(nearest(std::vector<float>(ksub, 7.0f), kNan), 0);
        // All kinds among each other.
        const float kinds[] = {kNan, kInfinity, -kInfinity, 1, 2, 3, 4};
        for (std::uint64_t seed = 0; seed < 200; ++seed) {
            Where("%s seed=%d", table->name, static_cast<int>(seed));
            Random random(seed);
            std::vector<float> norms(ksub);
            for (float& norm : norms) norm = kinds[random.Below(seed % 2 == 0 ? 7 : 2)];
            norms[random.Below(ksub)] = 1;
            CHECK_EQ(nearest(norms, one),
                     reference::PqNearest(&one, book.data(), norms.data(), 1, ksub));
        }
    }
}

namespace {

// Every number of rows up to more than two of a kernel's steps, and lengths of 64.
constexpr std::size_t kMostRows = 19;
constexpr std::size_t kSteps[] = {0, 64, 128, 192, 256, 384, 768, 832, 1536, 16384};

// What a row of sums[] is to become: exact, rounded once, added.
float Added(float sum, std::int64_t total) {
    return sum + static_cast<float>(total);
}

}  // namespace

TEST(KernelsDotU8) {
    for (const Kernels* table : Tables()) {
        for (std::size_t n : kSteps)
            for (std::size_t rows = 0; rows <= kMostRows; ++rows)
                for (std::size_t gap : {0, 5}) {
                    if (n == 16384 && rows % 6 != 5) continue;
                    Where("%s n=%zu rows=%zu gap=%zu", table->name, n, rows, gap);
                    Random random(n + rows);
                    const std::size_t stride = n + gap;
                    Placed<std::uint8_t> codes(random.Bytes(rows == 0 ? 0 : rows * stride - gap),
                                               gap);
                    Placed<std::int8_t> hi(SplitPlane(random, n), gap),
                        lo(SplitPlane(random, n), 1);
                    const std::vector<float> start = random.Gaussians(rows + 1);
                    Placed<float> sums(start, 1);
                    table->dot_u8(codes.data(), stride, rows, hi.data(), lo.data(), n, sums.data());
                    for (std::size_t r = 0; r < rows; ++r)
                        CHECK_EQ(sums.data()[r],
                                 Added(start[r], reference::DotU8(codes.data() + r * stride,
                                                                  hi.data(), lo.data(), n)));
                    CHECK_EQ(sums.data()[rows], start[rows]);
                }
        // The largest magnitudes there are: nothing saturates, nothing overflows.
        for (std::size_t n : {64, 1024, 16384, 64000})
            for (int h : {-64, 63})
                for (int l : {-64, 63}) {
                    Where("%s n=%zu hi=%d lo=%d", table->name, n, h, l);
                    const std::vector<std::uint8_t> codes(kMostRows * n, 255);
                    const std::vector<std::int8_t> hi(n, static_cast<std::int8_t>(h));
                    const std::vector<std::int8_t> lo(n, static_cast<std::int8_t>(l));
                    float sums[kMostRows] = {};
                    table->dot_u8(codes.data(), n, kMostRows, hi.data(), lo.data(), n, sums);
                    const auto total = static_cast<std::int64_t>(n) * 255 * (128 * h + l);
                    for (float sum : sums) CHECK_EQ(sum, Added(0, total));
                }
    }
}

TEST(KernelsDotU4) {
    for (const Kernels* table : Tables()) {
        for (std::size_t n : kSteps)
            for (std::size_t rows = 0; rows <= kMostRows; ++rows)
                for (std::size_t gap : {0, 5}) {
                    if (n == 16384 && rows % 6 != 5) continue;
                    Where("%s n=%zu rows=%zu gap=%zu", table->name, n, rows, gap);
                    Random random(n + rows);
                    Placed<std::uint8_t> levels(random.Bytes(16), gap);
                    const std::size_t stride = n / 2 + gap;
                    std::vector<std::uint8_t> decoded, packed;
                    for (std::size_t r = 0; r < rows; ++r) {
                        std::vector<std::uint8_t> values = random.Bytes(n);
                        for (std::uint8_t& value : values) {
                            value &= 15;
                            decoded.push_back(levels.data()[value]);
                        }
                        if (r > 0) packed.resize(packed.size() + gap, 0xEE);
                        const std::vector<std::uint8_t> row = reference::PackU4(values);
                        packed.insert(packed.end(), row.begin(), row.end());
                    }
                    Placed<std::uint8_t> codes(packed, gap);
                    Placed<std::int8_t> hi(SplitPlane(random, n), gap),
                        lo(SplitPlane(random, n), 1);
                    const std::vector<float> start = random.Gaussians(rows + 1);
                    Placed<float> sums(start, 1);
                    table->dot_u4(codes.data(), stride, rows, levels.data(), hi.data(), lo.data(),
                                  n, sums.data());
                    for (std::size_t r = 0; r < rows; ++r)
                        CHECK_EQ(sums.data()[r],
                                 Added(start[r], reference::DotU8(decoded.data() + r * n, hi.data(),
                                                                  lo.data(), n)));
                    CHECK_EQ(sums.data()[rows], start[rows]);
                }
        // The largest magnitudes there are: nothing saturates, nothing overflows.
        const std::vector<std::uint8_t> levels(16, 255);
        for (std::size_t n : {64, 1024, 16384, 64000})
            for (int h : {-64, 63})
                for (int l : {-64, 63}) {
                    Where("%s n=%zu hi=%d lo=%d", table->name, n, h, l);
                    const std::vector<std::uint8_t> codes(kMostRows * n / 2, 0xA5);
                    const std::vector<std::int8_t> hi(n, static_cast<std::int8_t>(h));
                    const std::vector<std::int8_t> lo(n, static_cast<std::int8_t>(l));
                    float sums[kMostRows] = {};
                    table->dot_u4(codes.data(), n / 2, kMostRows, levels.data(), hi.data(),
                                  lo.data(), n, sums);
                    const auto total = static_cast<std::int64_t>(n) * 255 * (128 * h + l);
                    for (float sum : sums) CHECK_EQ(sum, Added(0, total));
                }
    }
}

// Each dimension alone, so that every nibble is seen to meet its own query component.
TEST(KernelsDotU4OneDimension) {
    std::uint8_t levels[16];
    for (std::size_t v = 0; v < 16; ++v) levels[v] = static_cast<std::uint8_t>(17 * v);
    for (const Kernels* table : Tables())
        for (std::size_t i = 0; i < 192; ++i) {
            Where("%s dimension=%zu", table->name, i);
            std::vector<std::uint8_t> values(192);
            std::vector<std::int8_t> hi(192), lo(192);
            values[i] = static_cast<std::uint8_t>(i % 15 + 1);
            for (std::size_t d = 0; d < 192; ++d) {
                hi[d] = static_cast<std::int8_t>(d % 128) - 64;
                lo[d] = static_cast<std::int8_t>(63 - d % 96);
            }
            float sum = 0;
            table->dot_u4(reference::PackU4(values).data(), 96, 1, levels, hi.data(), lo.data(),
                          192, &sum);
            CHECK_EQ(sum, levels[values[i]] * (128 * hi[i] + lo[i]));
        }
}

TEST(KernelsFastScan) {
    for (const Kernels* table : Tables())
        for (std::size_t groups : {0, 4, 8, 12, 96, 208, 252, 256, 260, 512, 516, 1024, 4096})
            for (std::size_t offset : {0, 1, 7}) {
                Where("%s groups=%zu offset=%zu", table->name, groups, offset);
                Random random(groups + offset);
                std::vector<std::uint8_t> bits(32 * 4 * groups);
                for (std::uint8_t& bit : bits) bit = random.Next() & 1;
                Placed<std::uint8_t> codes(reference::PackNibbles(bits, groups), offset);
                Placed<std::uint8_t> tables(random.Bytes(16 * groups), offset);
                std::uint32_t sums[32], expected[32];
                for (std::size_t row = 0; row < 32; ++row) {
                    sums[row] = expected[row] = static_cast<std::uint32_t>(1000000 * row);
                    for (std::size_t g = 0; g < groups; ++g) {
                        const std::uint8_t* bit = &bits[row * 4 * groups + 4 * g];
                        const int nibble = bit[0] + 2 * bit[1] + 4 * bit[2] + 8 * bit[3];
                        expected[row] += tables.data()[16 * g + static_cast<std::size_t>(nibble)];
                    }
                }
                table->fast_scan(codes.data(), tables.data(), groups, sums);
                for (std::size_t row = 0; row < 32; ++row) CHECK_EQ(sums[row], expected[row]);
            }
}

// Entries of 255 all over pass 16 bits after 257 groups.
TEST(KernelsFastScanDoesNotOverflow) {
    for (const Kernels* table : Tables())
        for (std::size_t groups = 4; groups <= 16000; groups += groups < 1100 ? 4 : 1860) {
            Where("%s groups=%zu", table->name, groups);
            const std::vector<std::uint8_t> codes(16 * groups, 0xA5), tables(16 * groups, 255);
            std::uint32_t sums[32] = {};
            table->fast_scan(codes.data(), tables.data(), groups, sums);
            for (std::size_t row = 0; row < 32; ++row) CHECK_EQ(sums[row], 255 * groups);
        }
}

// A list's codes may straddle pages: two calls over the pieces give the sum of one over the whole.
TEST(KernelsFastScanCarriesSums) {
    Random random(9);
    const std::vector<std::uint8_t> codes = random.Bytes(16 * 208), tables = random.Bytes(16 * 208);
    for (const Kernels* table : Tables()) {
        std::uint32_t whole[32] = {}, pieces[32] = {};
        table->fast_scan(codes.data(), tables.data(), 208, whole);
        table->fast_scan(codes.data(), tables.data(), 60, pieces);
        table->fast_scan(codes.data() + 16 * 60, tables.data() + 16 * 60, 148, pieces);
        for (std::size_t row = 0; row < 32; ++row) CHECK_EQ(pieces[row], whole[row]);
    }
}

TEST(KernelsDotPlanes) {
    for (const Kernels* table : Tables())
        for (std::size_t bits = 1; bits <= 7; ++bits)
            for (std::size_t n : {0, 64, 128, 192, 384, 832, 1536, 16384})
                for (std::size_t offset : {0, 1, 5}) {
                    Where("%s bits=%zu n=%zu offset=%zu", table->name, bits, n, offset);
                    Random random(n + bits + offset);
                    std::vector<std::uint8_t> values = random.Bytes(n);
                    for (std::uint8_t& value : values)
                        value &= static_cast<std::uint8_t>((1 << bits) - 1);
                    Placed<std::uint8_t> planes(reference::PackPlanes(values, bits), offset);
                    Placed<std::int8_t> hi(SplitPlane(random, n), 1),
                        lo(SplitPlane(random, n), offset);
                    CHECK_EQ(table->dot_planes(planes.data(), bits, hi.data(), lo.data(), n),
                             reference::DotU8(values.data(), hi.data(), lo.data(), n));
                }
}

TEST(KernelsDotPlanesDoesNotOverflow) {
    for (const Kernels* table : Tables())
        for (std::size_t bits = 1; bits <= 7; ++bits)
            for (int plane : {-64, 63}) {
                Where("%s bits=%zu plane=%d", table->name, bits, plane);
                const std::size_t n = 64000;
                const std::vector<std::uint8_t> planes(n / 8 * bits, 255);
                const std::vector<std::int8_t> both(n, static_cast<std::int8_t>(plane));
                const std::int64_t value = (std::int64_t{1} << bits) - 1;
                CHECK_EQ(table->dot_planes(planes.data(), bits, both.data(), both.data(), n),
                         value * 129 * plane * static_cast<std::int64_t>(n));
            }
}

namespace {

// One block with factors of the sizes that real ones have.
struct Block {
    explicit Block(std::uint64_t seed) {
        Random random(seed);
        for (std::size_t i = 0; i < 32; ++i) {
            add[i] = static_cast<float>(random.Uniform(-5, 30));
            offset[i] = static_cast<float>(random.Gaussian());
            sums[i] = static_cast<float>(random.Below(50000));
            scale[i] = reference::ToBfloat16(static_cast<float>(random.Gaussian()));
            error[i] = reference::ToBfloat16(static_cast<float>(random.Uniform(0, 2)));
        }
    }
    kernels::BlockFactors Factors(bool with_offset) const {
        return {add, scale, error, with_offset ? offset : nullptr};
    }

    float add[32], offset[32], sums[32];
    std::uint16_t scale[32], error[32];
    kernels::BlockScalars scalars = {10.0f, 0.001f, -25.0f, 0.5f, 1.7f, 0.01f, 1e-6f};
};

}  // namespace

TEST(KernelsBoundBlock) {
    for (const Kernels* table : Tables())
        for (std::uint64_t seed = 0; seed < 50; ++seed)
            for (bool with_offset : {false, true}) {
                Where("%s seed=%d offset=%d", table->name, static_cast<int>(seed), with_offset);
                const Block block(seed);
                const kernels::BlockScalars& s = block.scalars;
                float lower[32], estimate[32];
                const float threshold = static_cast<float>(seed) - 5;
                const std::uint32_t mask = table->bound_block(
                    block.Factors(with_offset), s, block.sums, threshold, lower, estimate);
                for (std::size_t i = 0; i < 32; ++i) {
                    const double scale = reference::FromBfloat16(block.scale[i]);
                    const double error = reference::FromBfloat16(block.error[i]);
                    const double add = block.add[i];
                    reference::Sum e, w;
                    e.Add(s.base);
                    e.Add(add);
                    e.Add(scale * block.sums[i] * s.unit);
                    e.Add(scale * s.shift);
                    if (with_offset) e.Add(double{block.offset[i]} * s.total);
                    w.Add(s.error_factor * error);
                    w.Add(s.round_error * std::fabs(scale));
                    w.Add(s.slack * (s.base + std::fabs(add)));
                    // At most six roundings on the way of a term.
                    CHECK_NEAR(estimate[i], e.value, 6 * 0x1p-24 * e.magnitude);
                    CHECK_NEAR(lower[i], e.value - w.value,
                               7 * 0x1p-24 * (e.magnitude + w.magnitude));
                    CHECK_EQ((mask >> i) & 1, lower[i] < threshold ? 1u : 0u);
                }
            }
}

// Selected are the rows below the threshold, not those at it.
TEST(KernelsBoundBlockThresholdIsExclusive) {
    for (const Kernels* table : Tables()) {
        float add[32], lower[32], estimate[32];
        const std::uint16_t zero[32] = {};
        const float sums[32] = {};
        for (int i = 0; i < 32; ++i) add[i] = static_cast<float>(i);
        const kernels::BlockScalars scalars = {1, 1, 0, 0, 1, 1, 0};
        for (int t = -1; t <= 33; ++t) {
            Where("%s threshold=%d", table->name, t);
            const std::uint32_t mask = table->bound_block({add, zero, zero, nullptr}, scalars, sums,
                                                          static_cast<float>(t), lower, estimate);
            for (int i = 0; i < 32; ++i) {
                CHECK_EQ((mask >> i) & 1, i + 1 < t ? 1u : 0u);
                CHECK_EQ(lower[i], i + 1);
                CHECK_EQ(estimate[i], i + 1);
            }
        }
        CHECK_EQ(table->bound_block({add, zero, zero, nullptr}, scalars, sums, kInfinity, lower,
                                    estimate),
                 0xFFFFFFFFu);
    }
}

// A row whose factors are broken is looked at, never lost.
TEST(KernelsBoundBlockNotANumber) {
    const std::uint16_t bfloat_nan = 0x7FC0, bfloat_infinity = 0x7F80;
    for (const Kernels* table : Tables()) {
        Block block(3);
        for (std::size_t i = 0; i < 32; ++i) block.add[i] = 1000;
        block.add[0] = kNan;
        block.add[5] = kInfinity;
        block.scale[9] = bfloat_nan;
        block.scale[15] = bfloat_infinity;
        block.error[16] = bfloat_nan;
        block.error[24] = bfloat_infinity;
        block.offset[31] = kNan;
        std::uint32_t expected = 0;
        for (int row : {0, 5, 9, 15, 16, 24, 31}) expected |= std::uint32_t{1} << row;
        float lower[32], estimate[32];
        const std::uint32_t mask =
            table->bound_block(block.Factors(true), block.scalars, block.sums, 50, lower, estimate);
        Where("%s", table->name);
        CHECK_EQ(mask, expected);
        for (std::size_t i = 0; i < 32; ++i) {
            const bool broken = ((expected >> i) & 1) != 0;
            CHECK_EQ(lower[i] == -kInfinity, broken);
            CHECK(broken || std::isfinite(estimate[i]));
        }
    }
}
