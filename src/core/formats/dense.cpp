// Dense vectors, read from text and from messages.
#include "core/formats/dense.h"

#include <algorithm>
#include <type_traits>

#include "core/formats/message.h"
#include "core/formats/number.h"

namespace quantvec::formats {

std::size_t CountElements(std::string_view text, std::size_t most) {
    const auto commas = static_cast<std::size_t>(std::count(text.begin(), text.end(), ','));
    return std::min(commas + 1, most);
}

template <class Element>
DenseRead ReadText(std::string_view text, std::span<Element> out) {
    const char* end = text.data() + text.size();
    const char* at = SkipSpace(text.data());
    if (*at != '[') return {0, {Why::kNoStart}};
    at = SkipSpace(at + 1);
    if (*at == ']') return {0, {Why::kTooFew}};

    std::size_t dim = 0;
    for (;;) {
        if (dim == out.size()) return {dim, {Why::kTooMany}};
        at = SkipSpace(at);
        const NumberRead<Element> read = ReadNumber<Element>(at, end);
        if (read.refusal) return {dim, read.refusal};
        out[dim++] = read.value;
        at = SkipSpace(read.behind);
        if (*at == ']') break;
        if (*at != ',') return {dim, {Why::kSyntax}};
        ++at;
    }

    at = SkipSpace(at + 1);
    if (*at != '\0') return {dim, {Why::kTrailing}};
    return {dim, {}};
}

template DenseRead ReadText(std::string_view, std::span<float>);
template DenseRead ReadText(std::string_view, std::span<Half>);

DenseMessage ReadHead(ConstByteSpan message) {
    if (message.size() < 4) return {.refusal = {Why::kShort}};
    return {.dim = ReadWord<std::uint16_t>(message.data()),
            .unused = ReadWord<std::uint16_t>(message.data() + 2),
            .elements = message.subspan(4)};
}

template <class Element>
Refusal ReadElements(ConstByteSpan elements, std::span<Element> out) {
    using Word = std::conditional_t<sizeof(Element) == sizeof(float), std::uint32_t, std::uint16_t>;
    const std::uint8_t* at = elements.data();
    std::size_t left = elements.size();
    for (Element& x : out) {
        if (left < sizeof(Word)) return {Why::kShort};
        x = __builtin_bit_cast(Element, ReadWord<Word>(at));
        if (const Why why = CheckFinite(ToFloat(x)); why != Why::kNothing) return {why};
        at += sizeof(Word);
        left -= sizeof(Word);
    }
    return {};
}

template Refusal ReadElements(ConstByteSpan, std::span<float>);
template Refusal ReadElements(ConstByteSpan, std::span<Half>);

}  // namespace quantvec::formats
