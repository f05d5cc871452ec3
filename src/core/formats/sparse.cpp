// Sparse vectors, read from text and from messages.
#include "core/formats/sparse.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "core/formats/message.h"
#include "core/formats/number.h"

namespace quantvec::formats {
namespace {

// As strtol reads it; beyond the range, its end. false: there is none.
bool ReadInteger(const char** at, std::int32_t* value) {
    using Limits = std::numeric_limits<std::int32_t>;
    char* behind;
    const long read = std::strtol(*at, &behind, 10);
    if (behind == *at) return false;
    // One above the least: an index counts from 1, and 1 is taken off it.
    *value = static_cast<std::int32_t>(
        std::clamp<long>(read, Limits::min() + 1L, static_cast<long>(Limits::max())));
    *at = behind;
    return true;
}

}  // namespace

std::size_t CountEntries(std::string_view text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), ',')) + 1;
}

SparseRead ReadText(std::string_view text, std::span<Entry> out) {
    const char* end = text.data() + text.size();
    SparseRead read;
    const auto refuse = [&](Why why, std::string_view number = {}) {
        read.refusal = {why, number};
        return read;
    };
    const char* at = SkipSpace(text.data());
    if (*at != '{') return refuse(Why::kNoStart);
    at = SkipSpace(at + 1);
    if (*at != '}') {
        for (;;) {
            std::int32_t index;
            at = SkipSpace(at);
            if (!ReadInteger(&at, &index)) return refuse(Why::kSyntax);
            at = SkipSpace(at);
            if (*at != ':') return refuse(Why::kSyntax);
            at = SkipSpace(at + 1);
            const NumberRead<float> number = ReadNumber<float>(at, end);
            if (number.refusal) return refuse(number.refusal.why, number.refusal.number);
            if (number.vanished) return refuse(Why::kOutOfRange, {at, number.behind});
            if (number.value != 0) {
                QV_ASSERT(read.entries < out.size());
                out[read.entries++] = {index - 1, number.value};
            }
            at = SkipSpace(number.behind);
            if (*at == '}') break;
            if (*at != ',') return refuse(Why::kSyntax);
            ++at;
        }
    }
    at = SkipSpace(at + 1);
    if (*at != '/') return refuse(Why::kNoDim);
    at = SkipSpace(at + 1);
    if (!ReadInteger(&at, &read.dim)) return refuse(Why::kSyntax);
    if (*SkipSpace(at) != '\0') return refuse(Why::kAfterDim);
    std::sort(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(read.entries),
              [](const Entry& a, const Entry& b) { return a.index < b.index; });
    return read;
}

Refusal CheckIndices(std::span<const std::int32_t> indices, std::int32_t dim) {
    for (std::size_t i = 0; i < indices.size(); ++i) {
        if (indices[i] < 0 || indices[i] >= dim) return {Why::kIndexOutOfBounds};
        if (i == 0) continue;
        if (indices[i] < indices[i - 1]) return {Why::kIndexDescends};
        if (indices[i] == indices[i - 1]) return {Why::kIndexTwice};
    }
    return {};
}

SparseMessage ReadSparseHead(ConstByteSpan message) {
    if (message.size() < 12) return {.refusal = {Why::kShort}};
    const auto word = [&](std::size_t i) {
        return static_cast<std::int32_t>(ReadWord<std::uint32_t>(message.data() + 4 * i));
    };
    return {.dim = word(0), .nnz = word(1), .unused = word(2), .entries = message.subspan(12)};
}

Refusal ReadEntries(ConstByteSpan entries, std::int32_t dim, std::span<std::int32_t> indices,
                    FloatSpan values) {
    if (entries.size() < 8 * indices.size()) return {Why::kShort};
    const std::uint8_t* at = entries.data();
    for (std::int32_t& index : indices) {
        index = static_cast<std::int32_t>(ReadWord<std::uint32_t>(at));
        at += 4;
    }
    if (const Refusal refusal = CheckIndices(indices, dim)) return refusal;
    for (float& value : values) {
        value = __builtin_bit_cast(float, ReadWord<std::uint32_t>(at));
        if (const Why why = CheckFinite(value); why != Why::kNothing) return {why};
        if (value == 0) return {Why::kZeroEntry};
        at += 4;
    }
    return {};
}

}  // namespace quantvec::formats
