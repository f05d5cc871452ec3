// Text of sparsevec: entries are in order and not zero, and their own text reads back to the same.
#include "fuzz.h"

#include "core/formats/sparse.h"

using namespace quantvec;
using namespace quantvec::fuzz;
using formats::Why;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view text;
    const auto owner = AsText(data, size, &text);
    std::vector<formats::Entry> entries(formats::CountEntries(text));
    const formats::SparseRead read = formats::ReadText(text, entries);
    Must(read.entries <= entries.size());
    for (std::size_t i = 0; i < read.entries; ++i)
        Must(std::isfinite(entries[i].value) && entries[i].value != 0);
    if (read.refusal) {
        Must((read.refusal.why == Why::kOutOfRange) == !read.refusal.number.empty());
        return 0;
    }
    std::vector<std::int32_t> indices;
    std::string own = "{";
    for (std::size_t i = 0; i < read.entries; ++i) {
        Must(i == 0 || entries[i - 1].index <= entries[i].index);
        indices.push_back(entries[i].index);
        if (i > 0) own += ',';
        own += std::to_string(std::int64_t{entries[i].index} + 1) + ":";
        AppendNumber(entries[i].value, &own);
    }
    own += "}/" + std::to_string(read.dim);
    const formats::Refusal refusal = formats::CheckIndices(indices, read.dim);
    for (std::size_t i = 0; !refusal && i < indices.size(); ++i)
        Must(indices[i] >= 0 && indices[i] < read.dim && (i == 0 || indices[i - 1] < indices[i]));
    // Entries of one index may come in any order: only what the type takes is compared.
    if (refusal) return 0;
    std::vector<formats::Entry> again(formats::CountEntries(own));
    const formats::SparseRead back = formats::ReadText(own, again);
    Must(!back.refusal && back.dim == read.dim && back.entries == read.entries);
    for (std::size_t i = 0; i < read.entries; ++i)
        Must(again[i].index == entries[i].index && again[i].value == entries[i].value);
    return 0;
}
