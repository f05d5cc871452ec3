// Time of every kernel of core/kernels/kernels.h on every instruction set that
// this processor has, beside what the machine can do at most. Prints Markdown.
//
//   build/bench/kernels [commit [part of a kernel's name]]
//
// A kernel runs over items that lie one after the other in a set of memory:
//
//   L2     a quarter of the cache, so that the query and its tables stay beside
//   it DRAM   eight times the L3 cache, read in pieces of which each round
//   takes the next one, so that
//          none is in a cache when its turn comes again
//
// The best of many rounds counts. They are short, so that on a busy machine,
// too, some are not interrupted. In each the instruction sets take turns, and
// the plain read and the clock are measured with them: whatever else the
// machine does meets all alike.
//
// This file is long because each kernel has its case here: what it reads, how much, and its limit.
#include "machine.h"

#include "core/kernels/kernels.h"
#include "core/random.h"
#include "core/view.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace quantvec;
using namespace quantvec::bench;
using kernels::Kernels;

namespace {

constexpr std::size_t kDims[] = {128, 384, 768, 1536};
constexpr std::size_t kLargest = 1536;
constexpr int kRounds = 300;
constexpr double kRoundSeconds = 200e-6;
constexpr std::size_t kPiece = 4 << 20;  // read from DRAM in about that time

// ---- what is in memory ----

std::uint64_t Random() {
    static std::uint64_t state = 0;
    return NextRandom(state);
}

// Random words with only the bits of `mask`, and all of `bits`.
Buffer& Fill(Buffer& buffer, std::uint64_t mask, std::uint64_t bits) {
    for (std::size_t i = 0; i < buffer.size(); i += 8) {
        const std::uint64_t word = (Random() & mask) | bits;
        std::memcpy(buffer.data() + i, &word, 8);
    }
    return buffer;
}
Buffer& FillBytes(Buffer& buffer) {
    return Fill(buffer, ~std::uint64_t{0}, 0);
}
// Floats of either sign from 0.5 to 2, whose two halves are such bfloat16 as
// well.
Buffer& FillFloats(Buffer& buffer) {
    return Fill(buffer, 0x80ff80ff80ff80ffu, 0x3f003f003f003f00u);
}
// 0 to 63, which both planes of an integer query hold.
Buffer& FillPlane(Buffer& buffer) {
    return Fill(buffer, 0x3f3f3f3f3f3f3f3fu, 0);
}

// All that a query has.
struct Query {
    Query() {
        FillFloats(floats), FillFloats(tile);
        FillPlane(hi), FillPlane(lo);
        FillBytes(tables), FillBytes(pq_tables), FillBytes(signs), FillBytes(levels);
    }
    static const std::int8_t* Plane(Buffer& plane) {
        return reinterpret_cast<const std::int8_t*>(plane.data());
    }

    Buffer floats{4 * kLargest};
    Buffer hi{kLargest}, lo{kLargest};
    Buffer tables{4 * kLargest};  // fast_scan
    Buffer pq_tables{kLargest / 8 * 256};
    Buffer tile{4 * kLargest * kernels::kTileColumns};
    Buffer signs{kLargest / 8}, levels{16};
    Buffer out{4 * kLargest};  // what is made of a query
};

// ---- what is measured ----

// Operations of a kernel's loop in one call, for registers of one size. What
// the call does before and after the loop is left out.
struct Work {
    double steps = 0;
    Operations step;
};
// Steps that take as many bytes of an item each.
Work StepsOf(std::size_t step_bytes, std::size_t bytes, const Operations& step) {
    return {static_cast<double>(bytes) / static_cast<double>(step_bytes), step};
}

enum class Content { kBytes, kFloats, kFloatsInPlace };

// What one call works on.
struct Item {
    std::size_t bytes;  // read besides the query
    std::size_t vectors;
    Content content;
    bool in_dram;  // worth measuring there: an index reads many of them in a row
};

struct Case {
    std::string kernel;
    std::size_t dim;  // 0: none
    Item item;
    Work avx2, avx512;
    // Calls the kernel for `count` items from `set` on; a number that all results
    // are in.
    std::function<double(const Kernels& k, std::uint8_t* set, std::size_t count)> run;
};

// call(kernels, item) is one call, and a number.
template <class Call>
void Add(std::vector<Case>& cases, std::string kernel, std::size_t dim, const Item& item,
         const Work& avx2, const Work& avx512, Call call) {
    const auto run = [=](const Kernels& k, std::uint8_t* set, std::size_t count) {
        double sum = 0;
        for (std::size_t i = 0; i < count; i++)
            sum += static_cast<double>(call(k, set + i * item.bytes));
        return sum;
    };
    cases.push_back({std::move(kernel), dim, item, avx2, avx512, run});
}

float* Floats(std::uint8_t* item) {
    return reinterpret_cast<float*>(item);
}

// The kernels that read codes.
void AddCodes(std::vector<Case>& cases, Query& q) {
    const std::int8_t *hi = Query::Plane(q.hi), *lo = Query::Plane(q.lo);
    for (std::size_t n : kDims) {
        const Operations step = {.load = 2, .any = 6, .shuffle = 2, .shift = 3};
        Add(cases, "`fast_scan`, a row of 32", n, {4 * n, 32, Content::kBytes, true},
            StepsOf(32, 4 * n, step), StepsOf(64, 4 * n, step),
            [n, tables = q.tables.data()](const Kernels& k, std::uint8_t* item) {
                std::uint32_t sums[32] = {};
                k.fast_scan(item, tables, n / 4, sums);
                return sums[0] + sums[31];
            });
    }
    for (std::size_t n : kDims) {
        const Operations avx2 = {.load = 10, .any = 26, .multiply = 8, .shuffle = 6};
        const Operations avx512 = {.load = 2, .any = 3, .multiply = 2, .mask_load = 3};
        Add(cases, "`dot_planes`, 3 bits", n, {3 * n / 8, 1, Content::kBytes, true},
            StepsOf(24, 3 * n / 8, avx2), StepsOf(24, 3 * n / 8, avx512),
            [=](const Kernels& k, std::uint8_t* item) { return k.dot_planes(item, 3, hi, lo, n); });
    }
    for (std::size_t n : kDims) {
        // A load of the query serves 4 rows.
        const Operations avx2 = {.load = 2, .any = 6, .multiply = 8, .shuffle = 2, .shift = 1};
        const Operations avx512 = {
            .load = 1.5, .any = 1, .multiply = 2, .shuffle = 1, .shift = 0.5};
        Add(cases, "`dot_u4`, a row of 16", n, {16 * n / 2, 16, Content::kBytes, true},
            StepsOf(32, 16 * n / 2, avx2), StepsOf(32, 16 * n / 2, avx512),
            [=, levels = q.levels.data()](const Kernels& k, std::uint8_t* item) {
                float sums[16] = {};
                k.dot_u4(item, n / 2, 16, levels, hi, lo, n, sums);
                return sums[0] + sums[15];
            });
    }
    for (std::size_t n : kDims)
        Add(cases, "`dot_u8`, a row of 16", n, {16 * n, 16, Content::kBytes, true},
            StepsOf(32, 16 * n, {.load = 1.5, .any = 2, .multiply = 4}),
            StepsOf(64, 16 * n, {.load = 1.5, .multiply = 2}),
            [=](const Kernels& k, std::uint8_t* item) {
                float sums[16] = {};
                k.dot_u8(item, n, 16, hi, lo, n, sums);
                return sums[0] + sums[15];
            });
    for (std::size_t n : kDims)
        // Registers of 256 bits with avx512, too.
        Add(cases, "`pq_sums`, m = dim / 8, a row of 32", n, {4 * n, 32, Content::kBytes, true},
            StepsOf(32, 4 * n, {.load = 17, .any = 18, .shuffle = 18, .shift = 3}),
            StepsOf(32, 4 * n, {.load = 8.5, .any = 10, .shuffle = 8.5}),
            [n, tables = q.pq_tables.data()](const Kernels& k, std::uint8_t* item) {
                std::uint32_t sums[32] = {};
                k.pq_sums(item, tables, n / 8, sums);
                return sums[0] + sums[31];
            });
    const Operations bound = {
        .load = 4, .store = 2, .any = 5, .multiply = 6, .add = 3, .shuffle = 2, .shift = 2};
    Add(cases, "`bound_block`, a row of 32", 0, {512, 32, Content::kFloats, false}, {32 / 8, bound},
        {32 / 16, bound}, [](const Kernels& k, std::uint8_t* item) {
            const float *add = Floats(item), *offset = add + 32, *sums = add + 64;
            const auto* scale = reinterpret_cast<const std::uint16_t*>(add + 96);
            float lower[32], estimate[32];
            const std::uint32_t selected = k.bound_block(
                {add, scale, scale + 32, offset}, {10, 0.001f, -25, 0.5f, 1.7f, 0.01f, 1e-6f}, sums,
                5, lower, estimate);
            return static_cast<float>(selected) + lower[31] + estimate[31];
        });
    Add(cases, "`masked_min`, a row of 32", 0, {128, 32, Content::kFloats, false},
        {32 / 8, {.load = 1, .any = 6}}, {1, {.load = 2, .any = 1}},
        [](const Kernels& k, std::uint8_t* item) {
            return k.masked_min(Floats(item), 0x5fffaff7);
        });
}

// The kernels that make integers of a query.
void AddQueries(std::vector<Case>& cases, Query& q) {
    for (std::size_t n : kDims)
        Add(cases, "`abs_max`", n, {4 * n, 1, Content::kFloats, false},
            StepsOf(32, 4 * n, {.load = 1, .any = 3}), StepsOf(64, 4 * n, {.load = 1, .any = 3}),
            [n](const Kernels& k, std::uint8_t* item) { return k.abs_max(Floats(item), n); });
    for (std::size_t n : kDims) {
        const Operations avx2 = {
            .load = 4, .store = 1, .any = 20, .multiply = 4, .add = 9, .shuffle = 3};
        const Operations avx512 = {
            .load = 4, .store = 0.5, .any = 7, .multiply = 1, .add = 8, .shuffle = 1};
        Add(cases, "`subset_tables`, 8 bits", n, {4 * n, 1, Content::kFloats, false},
            StepsOf(16, 4 * n, avx2), StepsOf(16, 4 * n, avx512),
            [n, out = q.out.data()](const Kernels& k, std::uint8_t* item) {
                k.subset_tables(Floats(item), n / 4, 31, 255, out, nullptr);
                return out[n];
            });
    }
    // An item is a codebook, and the query short.
    Add(cases, "`pq_products`, 256 words of 8", 0, {8 * 1024, 1, Content::kFloats, false},
        StepsOf(32, 8 * 1024, {.load = 1, .store = 0.125, .multiply = 1}),
        StepsOf(64, 8 * 1024, {.load = 1, .store = 0.125, .multiply = 1}),
        [x = q.floats.floats(), out = q.out.floats()](const Kernels& k, std::uint8_t* item) {
            k.pq_products(x, Floats(item), 8, 256, out);
            return out[0] + out[255];
        });
    for (std::size_t n : kDims) {
        const Operations avx2 = {
            .load = 1, .store = 0.5, .any = 5, .multiply = 1, .shuffle = 2, .shift = 2};
        const Operations avx512 = {
            .load = 1, .store = 1, .any = 5, .multiply = 1, .shuffle = 2, .shift = 2};
        Add(cases, "`split_query`", n, {4 * n, 1, Content::kFloats, false},
            StepsOf(32, 4 * n, avx2), StepsOf(64, 4 * n, avx512),
            [n, out = reinterpret_cast<std::int8_t*>(q.out.data())](const Kernels& k,
                                                                    std::uint8_t* item) {
                k.split_query(Floats(item), n, 4000, out, out + n);
                return out[n];
            });
    }
}

// The kernels of two float vectors.
void AddPairs(std::vector<Case>& cases, Query& q) {
    const auto add = [&](const char* name, bool in_dram, const Operations& step, auto kernel) {
        for (std::size_t n : kDims)
            Add(cases, name, n, {4 * n, 1, Content::kFloats, in_dram}, StepsOf(32, 4 * n, step),
                StepsOf(64, 4 * n, step),
                [n, kernel, a = q.floats.floats()](const Kernels& k, std::uint8_t* item) {
                    return kernel(k, a, Floats(item), n);
                });
    };
    add("`l2sqr`", true, {.load = 2, .multiply = 1, .add = 1},
        [](const Kernels& k, auto... pair) { return k.l2sqr(pair...); });
    add("`inner_product`", true, {.load = 2, .multiply = 1},
        [](const Kernels& k, auto... pair) { return k.inner_product(pair...); });
    add("`l1`", false, {.load = 2, .any = 1, .add = 2},
        [](const Kernels& k, auto... pair) { return k.l1(pair...); });
    add("`cosine_sums`", false, {.load = 2, .multiply = 3}, [](const Kernels& k, auto... pair) {
        float sums[3];
        k.cosine_sums(pair..., sums);
        return sums[0] + sums[1] + sums[2];
    });
}

// The kernel of k-means: a few rows at once against a tile of centroids.
void AddTiles(std::vector<Case>& cases, Query& q) {
    constexpr std::size_t kRows = 16;
    // A register of the tile serves 8 rows with AVX-512, 4 with AVX2, which takes it in two strips.
    const Operations avx2 = {.load = 1.5, .multiply = 2}, avx512 = {.load = 1.25, .multiply = 2};
    for (std::size_t n : kDims)
        Add(cases, "`tile_scores`, a row of 16", n, {4 * n * kRows, kRows, Content::kFloats, false},
            {static_cast<double>(2 * kRows * n), avx2}, {static_cast<double>(kRows * n), avx512},
            [n, tile = q.tile.floats(), out = q.out.floats()](const Kernels& k,
                                                              std::uint8_t* item) {
                const float* rows[kRows];
                for (std::size_t i = 0; i < kRows; i++) rows[i] = Floats(item) + i * n;
                k.tile_scores(rows, kRows, tile, tile, n, out);
                return out[0] + out[kRows * kernels::kTileColumns - 1];
            });
}

// hadamard passes over memory as rotate_impl.h has it; levels inside a register
// are a swap of lanes and a multiplication with addition, the others additions.
Work Hadamard(std::size_t n, std::size_t lanes) {
    double passes = 1, inner = 0, outer = 0;
    std::size_t half = n < 8 * lanes ? lanes : 8 * lanes;
    for (; 8 * half <= n; half *= 8) passes++;
    if (2 * half <= n) passes++;
    for (std::size_t i = 1; i < n; i *= 2) (i < lanes ? inner : outer)++;
    return {static_cast<double>(n / lanes),
            {.load = passes, .store = passes, .any = inner, .multiply = inner, .add = outer}};
}

// The kernels that make codes.
void AddMakers(std::vector<Case>& cases, Query& q) {
    for (std::size_t n : kDims) {
        const std::size_t power = std::bit_floor(n);
        Add(cases, "`hadamard` of " + std::to_string(power), n,
            {4 * power, 1, Content::kFloatsInPlace, false}, Hadamard(power, 8), Hadamard(power, 16),
            [power](const Kernels& k, std::uint8_t* item) {
                k.hadamard(Floats(item), power);
                return 0;
            });
    }
    for (std::size_t n : kDims) {
        const Operations step = {.load = 2, .store = 2, .multiply = 2, .add = 2};
        Add(cases, "`butterfly`", n, {4 * n, 1, Content::kFloatsInPlace, false},
            StepsOf(64, 4 * n, step), StepsOf(128, 4 * n, step),
            [n](const Kernels& k, std::uint8_t* item) {
                k.butterfly(Floats(item), n / 2, 0.70710678f);
                return 0;
            });
    }
    for (std::size_t n : kDims)
        Add(cases, "`flip_scale`", n, {4 * n, 1, Content::kFloatsInPlace, false},
            StepsOf(32, 4 * n, {.load = 1, .store = 1, .any = 2, .multiply = 1, .shift = 1}),
            StepsOf(64, 4 * n, {.load = 1, .store = 1, .any = 1, .multiply = 1, .mask_load = 1}),
            [n, signs = q.signs.data()](const Kernels& k, std::uint8_t* item) {
                k.flip_scale(Floats(item), signs, 1, n);
                return 0;
            });
    for (std::size_t n : kDims) {
        const Operations step = {.load = 2, .multiply = 1, .add = 1};
        Add(cases, "`ordered_dot`", n, {4 * n, 1, Content::kFloats, false},
            StepsOf(32, 4 * n, step), StepsOf(64, 4 * n, step),
            [n, a = q.floats.floats()](const Kernels& k, std::uint8_t* item) {
                return k.ordered_dot(a, Floats(item), n);
            });
    }
    // An item is a codebook, its norms behind it.
    const Operations nearest = {.load = 10, .any = 3, .multiply = 8, .add = 11};
    Add(cases, "`pq_nearest`, 256 words of 8", 0, {9 * 1024, 1, Content::kFloats, false},
        {256 / 8, nearest}, {256 / 16, nearest},
        [x = q.floats.floats()](const Kernels& k, std::uint8_t* item) {
            const float* book = Floats(item);
            return k.pq_nearest(x, book, book + 8 * 256, 8, 256);
        });
}

// ---- measuring ----

volatile double sink;

struct Place {
    std::size_t size;   // of the set
    std::size_t piece;  // that one round reads, or less if the kernel is slow
    int passes;         // over it in one round, at most
};

struct Times {
    std::vector<double> ns;  // a vector, on each of the tables
    double plain_read = 0;   // bytes a second, in the same rounds
};

// Also raises `clock`, in cycles a second, to the best there is.
Times Measure(const Case& c, const std::vector<const Kernels*>& tables, Buffer& items,
              Buffer& scratch, const Place& place, double& clock) {
    Times times = {std::vector<double>(tables.size(), std::numeric_limits<double>::infinity())};
    std::vector<double>& best = times.ns;
    std::size_t offset = 0;
    const auto next_piece = [&] {
        offset = (offset + place.piece) % place.size;
        return items.data() + offset;
    };
    for (int round = 0; round < kRounds; round++) {
        for (std::size_t t = 0; t < tables.size(); t++) {
            std::uint8_t* set = next_piece();
            if (c.item.content == Content::kFloatsInPlace) {
                // Anew in each round, since hadamard makes vectors longer.
                std::memcpy(scratch.data(), set, place.piece);
                set = scratch.data();
            }
            const double item_seconds = best[t] * 1e-9 * static_cast<double>(c.item.vectors);
            const double most = round == 0 ? 64 : kRoundSeconds / item_seconds;
            const auto whole = static_cast<double>(place.piece / c.item.bytes);
            const auto count = static_cast<std::size_t>(std::clamp(most, 1.0, whole));
            const int passes = most < 2 * whole ? 1 : place.passes;
            const double seconds = Seconds([&] {
                for (int pass = 0; pass < passes; pass++) sink = c.run(*tables[t], set, count);
            });
            const double vectors = passes * static_cast<double>(count * c.item.vectors);
            best[t] = std::min(best[t], seconds / vectors * 1e9);
        }
        for (int turn = 0; turn < 3; turn++) {
            const double seconds = MeasurePlainRead(next_piece(), place.piece, place.passes, turn);
            const double read = static_cast<double>(place.piece) * place.passes / seconds;
            times.plain_read = std::max(times.plain_read, read);
        }
        clock = std::max(clock, MeasureClock());
    }
    return times;
}

// ---- printing ----

int Digits(double ns) {
    return ns < 10 ? 2 : ns < 100 ? 1 : 0;
}

// times[i] of cases[i]; those without times are left out.
void PrintTable(const std::vector<Case>& cases, const std::vector<Times>& times,
                const std::vector<const Kernels*>& tables, const Machine& machine, double clock) {
    const auto pipes_of = [&](std::size_t t) -> const Pipes* {
        if (std::strcmp(tables[t]->name, "avx2") == 0) return machine.avx2;
        if (std::strcmp(tables[t]->name, "avx512") == 0) return machine.avx512;
        return nullptr;
    };
    std::string head = "| kernel | dim | bytes |", line = "|---|---|---|";
    for (const Kernels* table : tables)
        head += std::string(" ") + table->name + " |", line += "---|";
    head += " GB/s, of the plain read |", line += "---|";
    for (std::size_t t = 0; t < tables.size(); t++)
        if (pipes_of(t) != nullptr)
            head += std::string(" least on ") + tables[t]->name + ", reached |", line += "---|";
    std::printf("%s\n%s\n", head.c_str(), line.c_str());

    for (std::size_t i = 0; i < cases.size(); i++) {
        if (times[i].ns.empty()) continue;
        const Case& c = cases[i];
        const auto vectors = static_cast<double>(c.item.vectors);
        const double bytes = static_cast<double>(c.item.bytes) / vectors;
        const double read = bytes / times[i].ns.back();
        std::printf("| %s | %s | %g |", c.kernel.c_str(),
                    c.dim == 0 ? "" : std::to_string(c.dim).c_str(), bytes);
        for (double ns : times[i].ns) std::printf(" %.*f |", Digits(ns), ns);
        std::printf(" %.1f, %.0f %% |", read, read * 1e9 / times[i].plain_read * 100);
        for (std::size_t t = 0; t < tables.size(); t++) {
            const Pipes* pipes = pipes_of(t);
            if (pipes == nullptr) continue;
            const Work& work = pipes == machine.avx2 ? c.avx2 : c.avx512;
            const double least = work.steps * Cycles(work.step, *pipes) / clock * 1e9 / vectors;
            std::printf(" %.*f, %.0f %% |", Digits(least), least, least / times[i].ns[t] * 100);
        }
        std::printf("\n");
    }
}

double PlainRead(const std::vector<Times>& times) {
    double best = 0;
    for (const Times& t : times) best = std::max(best, t.plain_read);
    return best / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
    const Machine machine = ThisMachine();
    const Kernels* runnable[kernels::kMostTables];
    const std::vector<const Kernels*> tables(runnable, runnable + kernels::Runnable(runnable));
    const std::size_t quarter = machine.l2_bytes / 4 / 4096 * 4096;
    const Place l2 = {quarter, quarter, 8};
    const Place dram = {RoundUp(8 * machine.l3_bytes, kPiece), kPiece, 1};
    Buffer bytes(dram.size), floats(dram.size), scratch(l2.size);
    FillBytes(bytes), FillFloats(floats);

    Query query;
    std::vector<Case> cases;
    AddCodes(cases, query);
    AddQueries(cases, query);
    AddPairs(cases, query);
    AddTiles(cases, query);
    AddMakers(cases, query);
    // A new kernel needs a case.
    static_assert(sizeof(Kernels) == 22 * sizeof(void*));
    if (argc > 2)
        std::erase_if(cases,
                      [&](const Case& c) { return c.kernel.find(argv[2]) == std::string::npos; });

    double clock = 0;
    std::vector<Times> in_l2(cases.size()), from_dram(cases.size());
    for (std::size_t i = 0; i < cases.size(); i++) {
        const Case& c = cases[i];
        Buffer& items = c.item.content == Content::kBytes ? bytes : floats;
        in_l2[i] = Measure(c, tables, items, scratch, l2, clock);
        if (c.item.in_dram) from_dram[i] = Measure(c, tables, items, scratch, dram, clock);
    }

    std::printf("%s, %.2f GHz (measured), L2 %zu kB, L3 %zu MB; g++ %s -O3",
                machine.processor.c_str(), clock / 1e9, machine.l2_bytes >> 10,
                machine.l3_bytes >> 20, __VERSION__);
    if (argc > 1 && argv[1][0] != '\0') std::printf("; kernels of commit %s", argv[1]);
    std::printf("\n\n## In L2: ns a vector\n\nSet of %zu kB; plain read %.1f GB/s.\n\n",
                l2.size >> 10, PlainRead(in_l2));
    PrintTable(cases, in_l2, tables, machine, clock);
    if (PlainRead(from_dram) == 0) return 0;
    std::printf("\n## From DRAM: ns a vector\n\nSet of %zu MB; plain read %.1f GB/s.\n\n",
                dram.size >> 20, PlainRead(from_dram));
    PrintTable(cases, from_dram, tables, machine, clock);
    return 0;
}
