// Messages of vector and halfvec: nothing is read beyond their end, and what is read is finite.
#include "fuzz.h"

#include "core/formats/dense.h"

using namespace quantvec;
using namespace quantvec::fuzz;
using formats::Why;

namespace {

template <class Element>
void Read(const formats::DenseMessage& head) {
    std::vector<Element> values(static_cast<std::size_t>(head.dim % 1000));
    const formats::Refusal refusal = formats::ReadElements<Element>(head.elements, values);
    const bool whole = head.elements.size() >= values.size() * sizeof(Element);
    Must(refusal.why == Why::kNothing || refusal.why == Why::kShort || refusal.why == Why::kNan ||
         refusal.why == Why::kInfinite);
    Must(whole ? refusal.why != Why::kShort : static_cast<bool>(refusal));
    if (!refusal)
        for (const Element value : values) Must(std::isfinite(ToFloat(value)));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::uint8_t> message = AsMessage(data, size);
    const formats::DenseMessage head = formats::ReadHead(message);
    Must((head.refusal.why == Why::kShort) == (size < 4));
    if (head.refusal) return 0;
    Must(head.dim >= 0 && head.dim <= 65535 && head.elements.size() == size - 4);
    Read<float>(head);
    Read<Half>(head);
    return 0;
}
