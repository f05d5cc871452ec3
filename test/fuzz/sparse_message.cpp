// Messages of sparsevec: nothing is read beyond their end; indices ascend below dim, and values are
// finite and not zero.
#include "fuzz.h"

#include "core/formats/sparse.h"

using namespace quantvec;
using namespace quantvec::fuzz;
using formats::Why;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::uint8_t> message = AsMessage(data, size);
    const formats::SparseMessage head = formats::ReadSparseHead(message);
    Must((head.refusal.why == Why::kShort) == (size < 12));
    if (head.refusal) return 0;
    const auto nnz = static_cast<std::size_t>(static_cast<std::uint32_t>(head.nnz) % 1000);
    std::vector<std::int32_t> indices(nnz);
    std::vector<float> values(nnz);
    const formats::Refusal refusal = formats::ReadEntries(head.entries, head.dim, indices, values);
    Must((refusal.why == Why::kShort) == (head.entries.size() < 8 * nnz));
    for (std::size_t i = 0; !refusal && i < nnz; ++i) {
        Must(indices[i] >= 0 && indices[i] < head.dim);
        Must(i == 0 || indices[i - 1] < indices[i]);
        Must(std::isfinite(values[i]) && values[i] != 0);
    }
    return 0;
}
