// Text of vector and halfvec: what is read is finite, and its own text reads back to the same bits.
#include "fuzz.h"

#include "core/formats/dense.h"

using namespace quantvec;
using namespace quantvec::fuzz;
using formats::Why;

namespace {

constexpr std::size_t kMost = 100;

template <class Element>
void Read(std::string_view text) {
    std::vector<Element> values(formats::CountElements(text, kMost));
    const formats::DenseRead read = formats::ReadText<Element>(text, values);
    Must(read.dim <= values.size() && values.size() <= kMost);
    for (std::size_t i = 0; i < read.dim; ++i) Must(std::isfinite(ToFloat(values[i])));
    if (read.refusal) {
        const std::string_view number = read.refusal.number;
        Must((read.refusal.why == Why::kOutOfRange) == !number.empty());
        Must(number.empty() || (number.data() >= text.data() &&
                                number.data() + number.size() <= text.data() + text.size()));
        return;
    }
    Must(read.dim > 0 && read.dim == values.size());
    std::string own = "[";
    for (const Element value : values) {
        AppendNumber(ToFloat(value), &own);
        own += ',';
    }
    own.back() = ']';
    std::vector<Element> again(values.size());
    Must(formats::ReadText<Element>(own, again).dim == values.size());
    Must(std::memcmp(again.data(), values.data(), values.size() * sizeof(Element)) == 0);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view text;
    const auto owner = AsText(data, size, &text);
    Read<float>(text);
    Read<Half>(text);
    return 0;
}
