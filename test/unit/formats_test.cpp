// Text and messages of vectors: what is read, what is refused and why.
#include "unit.h"

#include "core/formats/dense.h"
#include "core/formats/sparse.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

using namespace quantvec;
using formats::Why;
using unit::Random;
using unit::Where;

namespace {

constexpr std::size_t kMost = 16000;

template <class Element>
formats::DenseRead Read(std::string_view text, std::vector<Element>* out) {
    out->assign(formats::CountElements(text, kMost), {});
    return formats::ReadText<Element>(text, *out);
}

std::string Repeat(const std::string& piece, std::size_t n) {
    std::string all;
    for (std::size_t i = 0; i < n; ++i) all += piece;
    return all;
}

float AnyFinite(Random& random) {
    for (;;) {
        const auto bits = static_cast<std::uint32_t>(random.Below(1ull << 32));
        float x;
        std::memcpy(&x, &bits, sizeof(x));
        if (std::isfinite(x)) return x;
    }
}

std::uint32_t Bits(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return bits;
}

std::string Shortest(float x) {
    char text[64];
    return {text, std::to_chars(text, text + sizeof(text), x).ptr};
}

}  // namespace

TEST(FormatsTextReadsWhatWasWritten) {
    Random random(71);
    std::vector<float> read;
    std::vector<Half> halves;
    for (int round = 0; round < 2000; ++round) {
        std::vector<float> values(1 + random.Below(100));
        std::string text = "[";
        for (float& x : values) {
            x = AnyFinite(random);
            text += Shortest(x) + (&x == &values.back() ? "]" : ",");
        }
        CHECK_EQ(Read(text, &read).refusal.why, Why::kNothing);
        CHECK_EQ(read.size(), values.size());
        for (std::size_t i = 0; i < values.size(); ++i) CHECK_EQ(Bits(read[i]), Bits(values[i]));

        text = "[";
        for (float& x : values) {
            Half half;
            do half = {static_cast<std::uint16_t>(random.Below(1 << 16))};
            while (!std::isfinite(ToFloat(half)));
            x = ToFloat(half);
            text += Shortest(x) + (&x == &values.back() ? "]" : ",");
        }
        CHECK_EQ(Read(text, &halves).refusal.why, Why::kNothing);
        for (std::size_t i = 0; i < values.size(); ++i)
            CHECK_EQ(Bits(ToFloat(halves[i])), Bits(values[i]));
    }
}

TEST(FormatsTextIsReadOrRefused) {
    struct Case {
        const char* text;
        std::vector<float> values;
        Why why = Why::kNothing;
        const char* number = "";
    };
    const Case cases[] = {
        {"[1,2,3]", {1, 2, 3}},
        {" [ 1 , 2\t,\n3 ] \v\f\r", {1, 2, 3}},
        {"[1.,+.5,1e2,-0x10p0,1E-2]", {1, .5, 100, -16, .01f}},
        {"[-0]", {-0.0f}},
        {"[1e-50,-1e-50]", {0, -0.0f}},
        {"[1e-45]", {1e-45f}},
        {"[0.1]", {.1f}},
        {"", {}, Why::kNoStart},
        {"1,2", {}, Why::kNoStart},
        {"{1}", {}, Why::kNoStart},
        {"[]", {}, Why::kTooFew},
        {"[ ]", {}, Why::kTooFew},
        {"[", {}, Why::kSyntax},
        {"[1", {1}, Why::kSyntax},
        {"[1,", {1}, Why::kSyntax},
        {"[1,]", {1}, Why::kSyntax},
        {"[,1]", {}, Why::kSyntax},
        {"[1 2]", {1}, Why::kSyntax},
        {"[1}", {1}, Why::kSyntax},
        {"[a]", {}, Why::kSyntax},
        {"[1a]", {1}, Why::kSyntax},
        {"[--1]", {}, Why::kSyntax},
        {"[1]]", {1}, Why::kTrailing},
        {"[1] 2", {1}, Why::kTrailing},
        {"[nan]", {}, Why::kNan},
        {"[1,NaN]", {1}, Why::kNan},
        {"[inf]", {}, Why::kInfinite},
        {"[-Infinity]", {}, Why::kInfinite},
        {"[4e38]", {}, Why::kOutOfRange, "4e38"},
        {"[1, -1e400 ,2]", {1}, Why::kOutOfRange, "-1e400"},
    };
    for (const Case& c : cases) {
        Where("%s", c.text);
        std::vector<float> values;
        const formats::DenseRead read = Read(c.text, &values);
        CHECK_EQ(read.refusal.why, c.why);
        CHECK_EQ(read.refusal.number, std::string_view(c.number));
        CHECK_EQ(read.dim, c.values.size());
        for (std::size_t i = 0; i < c.values.size(); ++i)
            CHECK_EQ(Bits(values[i]), Bits(c.values[i]));
    }
}

TEST(FormatsTextOfHalves) {
    std::vector<Half> values;
    CHECK_EQ(Read("[65519,-65504,1e-8,0.1,3e-8]", &values).refusal.why, Why::kNothing);
    for (std::size_t i = 0; i < values.size(); ++i) {
        constexpr std::uint16_t kExpected[] = {0x7BFF, 0xFBFF, 0, 0x2E66, 1};
        CHECK_EQ(values[i].bits, kExpected[i]);
    }
    const formats::DenseRead read = Read("[1,65520]", &values);
    CHECK_EQ(read.refusal.why, Why::kOutOfRange);
    CHECK_EQ(read.refusal.number, std::string_view("65520"));
    CHECK_EQ(Read("[inf]", &values).refusal.why, Why::kInfinite);
    CHECK_EQ(Read("[nan]", &values).refusal.why, Why::kNan);
}

TEST(FormatsTextHasAtMostSoManyElements) {
    std::vector<float> values;
    CHECK_EQ(Read("[" + Repeat("1,", kMost - 1) + "2]", &values).refusal.why, Why::kNothing);
    CHECK_EQ(values.size(), kMost);
    CHECK_EQ(values.back(), 2.0f);
    CHECK_EQ(Read("[" + Repeat("1,", kMost) + "2]", &values).refusal.why, Why::kTooMany);
    // No room for what is not read: 16,000 commas after the closing bracket.
    CHECK_EQ(Read("[1]" + Repeat(",", kMost + 5), &values).refusal.why, Why::kTrailing);
}

TEST(FormatsMessage) {
    const std::vector<std::uint8_t> message = {0, 2, 0, 0, 0x3F, 0xC0, 0, 0, 0xC0, 0x00, 0, 0, 9};
    const formats::DenseMessage head = formats::ReadHead(message);
    CHECK_EQ(head.refusal.why, Why::kNothing);
    CHECK_EQ(head.dim, 2);
    CHECK_EQ(head.unused, 0);
    CHECK_EQ(head.elements.size(), 9u);
    std::vector<float> floats(2);
    CHECK_EQ(formats::ReadElements<float>(head.elements, floats).why, Why::kNothing);
    CHECK_EQ(floats[0], 1.5f);
    CHECK_EQ(floats[1], -2.0f);
    std::vector<Half> halves(2);
    CHECK_EQ(formats::ReadElements<Half>(head.elements.first(4), halves).why, Why::kNothing);
    CHECK_EQ(halves[0].bits, 0x3FC0);
    CHECK_EQ(halves[1].bits, 0);

    for (std::size_t size = 0; size < 4; ++size)
        CHECK_EQ(formats::ReadHead(ConstByteSpan(message).first(size)).refusal.why, Why::kShort);
    for (std::size_t size = 0; size < 8; ++size)
        CHECK_EQ(formats::ReadElements<float>(head.elements.first(size), floats).why, Why::kShort);
    const std::vector<std::uint8_t> most = {0xFF, 0xFF, 0x80, 0x01};
    CHECK_EQ(formats::ReadHead(most).dim, 65535);
    CHECK_EQ(formats::ReadHead(most).unused, 32769);
    const std::vector<std::uint8_t> infinite = {0xFF, 0x80, 0, 0}, nan = {0x7F, 0xC0, 0, 0};
    CHECK_EQ(formats::ReadElements<float>(infinite, std::span(floats).first(1)).why,
             Why::kInfinite);
    CHECK_EQ(formats::ReadElements<float>(nan, std::span(floats).first(1)).why, Why::kNan);
    const std::vector<std::uint8_t> half_infinite = {0x7C, 0};
    CHECK_EQ(formats::ReadElements<Half>(half_infinite, std::span(halves).first(1)).why,
             Why::kInfinite);
}

TEST(FormatsSparseTextIsReadOrRefused) {
    struct Case {
        const char* text;
        int dim;
        std::vector<formats::Entry> entries;
        Why why = Why::kNothing;
        const char* number = "";
    };
    const Case cases[] = {
        {"{1:1.5,3:3.5}/5", 5, {{0, 1.5f}, {2, 3.5f}}},
        {" { 3 : 3.5 , 1 : -1 } / 5 ", 5, {{0, -1}, {2, 3.5f}}},
        {"{}/3", 3, {}},
        {"{ } / 3", 3, {}},
        {"{1:0,2:-0,3:1}/3", 3, {{2, 1}}},
        {"{+2:1}/+3", 3, {{1, 1}}},
        // where the indices lie is looked at by CheckIndices
        {"{0:1,9:1}/3", 3, {{-1, 1}, {8, 1}}},
        {"{99999999999:1}/99999999999", 2147483647, {{2147483646, 1}}},
        {"{-99999999999:1}/-99999999999", -2147483647, {{-2147483648, 1}}},
        {"", 0, {}, Why::kNoStart},
        {"[1]", 0, {}, Why::kNoStart},
        {"{", 0, {}, Why::kSyntax},
        {"{1", 0, {}, Why::kSyntax},
        {"{1:", 0, {}, Why::kSyntax},
        {"{1:1", 0, {{0, 1}}, Why::kSyntax},
        {"{1:1,", 0, {{0, 1}}, Why::kSyntax},
        {"{1:1,}/2", 0, {{0, 1}}, Why::kSyntax},
        {"{1 2:1}/2", 0, {}, Why::kSyntax},
        {"{x:1}/2", 0, {}, Why::kSyntax},
        {"{1.5:1}/2", 0, {}, Why::kSyntax},
        {"{1:1]/2", 0, {{0, 1}}, Why::kSyntax},
        {"{1:1}", 0, {{0, 1}}, Why::kNoDim},
        {"{}", 0, {}, Why::kNoDim},
        {"{}/", 0, {}, Why::kSyntax},
        {"{}/x", 0, {}, Why::kSyntax},
        {"{}/3x", 3, {}, Why::kAfterDim},
        {"{}/3/3", 3, {}, Why::kAfterDim},
        {"{1:nan}/2", 0, {}, Why::kNan},
        {"{1:-inf}/2", 0, {}, Why::kInfinite},
        {"{1:4e38}/2", 0, {}, Why::kOutOfRange, "4e38"},
        {"{1: 1e-50 }/2", 0, {}, Why::kOutOfRange, "1e-50"},
    };
    for (const Case& c : cases) {
        Where("%s", c.text);
        std::vector<formats::Entry> entries(formats::CountEntries(c.text));
        const formats::SparseRead read = formats::ReadText(c.text, entries);
        CHECK_EQ(read.refusal.why, c.why);
        CHECK_EQ(read.refusal.number, std::string_view(c.number));
        CHECK_EQ(read.dim, c.dim);
        CHECK_EQ(read.entries, c.entries.size());
        for (std::size_t i = 0; i < c.entries.size(); ++i) {
            CHECK_EQ(entries[i].index, c.entries[i].index);
            CHECK_EQ(Bits(entries[i].value), Bits(c.entries[i].value));
        }
    }
}

TEST(FormatsSparseIndices) {
    struct Case {
        std::vector<std::int32_t> indices;
        int dim;
        Why why = Why::kNothing;
    };
    const Case cases[] = {{{}, 1},
                          {{0}, 1},
                          {{0, 1, 4}, 5},
                          {{0, 5}, 5, Why::kIndexOutOfBounds},
                          {{-1}, 5, Why::kIndexOutOfBounds},
                          {{2, 1}, 5, Why::kIndexDescends},
                          {{1, 1}, 5, Why::kIndexTwice}};
    for (const Case& c : cases) CHECK_EQ(formats::CheckIndices(c.indices, c.dim).why, c.why);
}

TEST(FormatsSparseMessage) {
    const std::vector<std::uint8_t> message = {0,    0,    0, 5, 0,    0, 0, 2, 0xFF, 0xFF,
                                               0xFF, 0xFE, 0, 0, 0,    1, 0, 0, 0,    4,
                                               0x3F, 0xC0, 0, 0, 0xC0, 0, 0, 0};
    const formats::SparseMessage head = formats::ReadSparseHead(message);
    CHECK_EQ(head.dim, 5);
    CHECK_EQ(head.nnz, 2);
    CHECK_EQ(head.unused, -2);
    std::vector<std::int32_t> indices(2);
    std::vector<float> values(2);
    CHECK_EQ(formats::ReadEntries(head.entries, 5, indices, values).why, Why::kNothing);
    CHECK_EQ(indices[0], 1);
    CHECK_EQ(indices[1], 4);
    CHECK_EQ(values[0], 1.5f);
    CHECK_EQ(values[1], -2.0f);
    CHECK_EQ(formats::ReadEntries(head.entries, 4, indices, values).why, Why::kIndexOutOfBounds);
    for (std::size_t size = 0; size < 12; ++size)
        CHECK_EQ(formats::ReadSparseHead(ConstByteSpan(message).first(size)).refusal.why,
                 Why::kShort);
    for (std::size_t size = 0; size < 16; ++size)
        CHECK_EQ(formats::ReadEntries(head.entries.first(size), 5, indices, values).why,
                 Why::kShort);
    std::vector<std::uint8_t> other = message;
    other[20] = other[21] = 0;
    CHECK_EQ(formats::ReadEntries(ConstByteSpan(other).subspan(12), 5, indices, values).why,
             Why::kZeroEntry);
    other[20] = 0x7F, other[21] = 0x80;
    CHECK_EQ(formats::ReadEntries(ConstByteSpan(other).subspan(12), 5, indices, values).why,
             Why::kInfinite);
}
