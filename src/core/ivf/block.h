// The unit of storage: a block of 32 slots of one list. Built and inserted rows look the same.
//
//   0           32            224         256        384        448        512        (640)
//   +-----------+-------------+-----------+----------+----------+----------+----------+------
//   | BlockHead | row pointers| flags     | add      | scale    | error    | offset   | codes
//   |           | [32] x 6    | [32] x 1  | [32] x 4 | [32] x 2 | [32] x 2 | (some)   |
//   +-----------+-------------+-----------+----------+----------+----------+----------+------
//   `------- prefix: one piece -----------'`---------- factors: one piece -----------' may straddle
//
// A block begins at a multiple of 64. The prefix lies on one page, the factors lie on one page; a
// part that does not fit into the rest of a page begins the next one, so at most 192 bytes of a
// page are lost (320 with offsets, which sq8, sq4 and sets have), whatever the dimension:
//
//   page n     | ... | prefix of 7 | factors of 7 | codes of 7 . . . |
//   page n+1   | . . codes of 7 | prefix of 8 |   (too small for factors)
//   page n+2   | factors of 8 | codes of 8 . . . |
//
// block_walk.h says which part of a block is on which page.
//
// Life of a slot: unused -> (its codes are written) -> live, published by one change of the
// prefix's page -> dead, cleared by VACUUM. It never goes back: a live slot never changes, a
// cleared one is never filled again. Slots are used in order, and a new block begins only after the
// last is full.
#pragma once

#include "core/ivf/page.h"
#include "core/quant/quantizer.h"

namespace quantvec::ivf {

using quant::kBlockRows;

struct BlockHead {
    std::uint64_t generation;  // of the list, as on the page
    std::uint32_t list_id;
    std::uint32_t live;           // bit s: slot s holds a row
    std::uint32_t ordinal;        // of the block in its list, from 0
    std::uint32_t refine_page;    // where the refine row of slot 0 begins, or kNoPage
    std::uint16_t refine_offset;  // offset on that page
    std::uint8_t used;            // slots taken so far, 0..32
    std::uint8_t reserved;
    std::uint32_t magic;  // kBlockMagic
};
static_assert(sizeof(BlockHead) == 32);

inline constexpr std::uint32_t kBlockMagic = 0x4b4c4251;  // "QBLK"

// A heap TID as the server stores it: block number high, low, offset number.
struct RowPointer {
    std::uint16_t block_hi, block_lo, offset;
};
static_assert(sizeof(RowPointer) == 6);

// Where the parts of a block lie; fixed for an index.
struct BlockLayout {
    quant::Spec spec;
    const quant::Quantizer* quantizer;
    std::uint32_t factor_bytes;
    std::uint32_t head_bytes;        // prefix and factors
    std::uint32_t code_bytes;        // of 32 rows
    std::uint32_t scan_row_bytes;    // of one row, row-major
    std::uint32_t refine_row_bytes;  // 0: no refine layer
    bool has_offset;
};

inline constexpr std::size_t kPrefixBytes = 256;
inline constexpr std::size_t kPointersAt = 32;
inline constexpr std::size_t kFlagsAt = 224;
inline constexpr std::size_t kAddAt = 256;
inline constexpr std::size_t kScaleAt = 384;
inline constexpr std::size_t kErrorAt = 448;
inline constexpr std::size_t kOffsetAt = 512;
inline constexpr std::size_t kMaxHeadBytes = 640;

BlockLayout MakeLayout(const quant::Spec& spec);

inline BlockHead* HeadAt(std::uint8_t* block) {
    return reinterpret_cast<BlockHead*>(block);
}
inline const BlockHead* HeadAt(const std::uint8_t* block) {
    return reinterpret_cast<const BlockHead*>(block);
}
inline RowPointer* PointersOf(std::uint8_t* block) {
    return reinterpret_cast<RowPointer*>(block + kPointersAt);
}
inline const RowPointer* PointersOf(const std::uint8_t* block) {
    return reinterpret_cast<const RowPointer*>(block + kPointersAt);
}

// `factors` is where a block's factors begin.
kernels::BlockFactors FactorsAt(const BlockLayout& layout, const std::uint8_t* factors);
// REQUIRES: the factors follow the prefix in memory.
inline kernels::BlockFactors FactorsOf(const BlockLayout& layout, const std::uint8_t* block) {
    return FactorsAt(layout, block + kPrefixBytes);
}

// Makes the prefix of an empty block.
void InitBlock(std::uint32_t list_id, std::uint64_t generation, std::uint32_t ordinal,
               std::uint32_t refine_page, std::uint16_t refine_offset, std::uint8_t* prefix);

// Writes the factors of a slot. `factors` is where the block's factors begin.
void StoreFactors(const BlockLayout& layout, const quant::RowFactors& row, std::size_t slot,
                  std::uint8_t* factors);

// Puts the pointer of the next slot into the prefix and makes it live. Its codes and factors must
// be in their place already. REQUIRES: used < 32.
void PublishSlot(RowPointer pointer, std::uint8_t* prefix);

// Does a head look like one of this list?
inline bool HeadIsSound(const BlockHead& head, std::uint32_t list_id, std::uint64_t generation) {
    const std::uint32_t taken = head.used >= 32 ? 0xffffffffu : (1u << head.used) - 1u;
    return head.magic == kBlockMagic && head.list_id == list_id && head.generation == generation &&
           head.used <= kBlockRows && (head.live & ~taken) == 0;
}

// Position of a slot's refine row in the list's refine stream.
inline std::uint64_t RefinePosition(const BlockLayout& layout, std::uint32_t block_ordinal,
                                    std::size_t slot) {
    return (std::uint64_t{block_ordinal} * kBlockRows + slot) * layout.refine_row_bytes;
}

}  // namespace quantvec::ivf
