// Blocks are filled, published and checked as block.h draws them.
#include "core/ivf/block.h"

#include <cstring>

namespace quantvec::ivf {

BlockLayout MakeLayout(const quant::Spec& spec) {
    const quant::Quantizer& q = quant::Get(spec.kind);
    return {
        .spec = spec,
        .quantizer = &q,
        .factor_bytes =
            static_cast<std::uint32_t>((q.HasOffset() ? kMaxHeadBytes : kOffsetAt) - kPrefixBytes),
        .head_bytes = static_cast<std::uint32_t>(q.HasOffset() ? kMaxHeadBytes : kOffsetAt),
        .code_bytes = static_cast<std::uint32_t>(q.BlockCodeBytes(spec)),
        .scan_row_bytes = static_cast<std::uint32_t>(q.ScanRowBytes(spec)),
        .refine_row_bytes = static_cast<std::uint32_t>(q.RefineRowBytes(spec)),
        .has_offset = q.HasOffset(),
    };
}

kernels::BlockFactors FactorsAt(const BlockLayout& layout, const std::uint8_t* factors) {
    const auto floats = [factors](std::size_t at) {
        return reinterpret_cast<const float*>(factors + (at - kPrefixBytes));
    };
    const auto halves = [factors](std::size_t at) {
        return reinterpret_cast<const std::uint16_t*>(factors + (at - kPrefixBytes));
    };
    return {
        .add = floats(kAddAt),
        .scale = halves(kScaleAt),
        .error = halves(kErrorAt),
        .offset = layout.has_offset ? floats(kOffsetAt) : nullptr,
    };
}

void InitBlock(std::uint32_t list_id, std::uint64_t generation, std::uint32_t ordinal,
               std::uint32_t refine_page, std::uint16_t refine_offset, std::uint8_t* prefix) {
    std::memset(prefix, 0, kPrefixBytes);
    *HeadAt(prefix) = {
        .generation = generation,
        .list_id = list_id,
        .live = 0,
        .ordinal = ordinal,
        .refine_page = refine_page,
        .refine_offset = refine_offset,
        .used = 0,
        .reserved = 0,
        .magic = kBlockMagic,
    };
}

void StoreFactors(const BlockLayout& layout, const quant::RowFactors& row, std::size_t slot,
                  std::uint8_t* factors) {
    std::memcpy(factors + (kAddAt - kPrefixBytes) + slot * 4, &row.add, 4);
    std::memcpy(factors + (kScaleAt - kPrefixBytes) + slot * 2, &row.scale, 2);
    std::memcpy(factors + (kErrorAt - kPrefixBytes) + slot * 2, &row.error, 2);
    if (layout.has_offset)
        std::memcpy(factors + (kOffsetAt - kPrefixBytes) + slot * 4, &row.offset, 4);
}

void PublishSlot(RowPointer pointer, std::uint8_t* prefix) {
    BlockHead* head = HeadAt(prefix);
    QV_ASSERT(head->used < kBlockRows);
    const std::size_t slot = head->used;
    PointersOf(prefix)[slot] = pointer;
    head->used = static_cast<std::uint8_t>(slot + 1);
    head->live |= 1u << slot;
}

}  // namespace quantvec::ivf
