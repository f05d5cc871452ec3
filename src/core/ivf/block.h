// The unit of storage: a block of 32 slots of one list. Built and inserted rows look the same.
//
//   0           32            224          256        384        448        512        (640)
//   +-----------+-------------+------------+----------+----------+----------+----------+--------- -
//   - | BlockHead | row pointers| flags      | add      | scale    | error    | offset   | codes |
//   | [32] x 6    | [32] x 1   | [32] x 4 | [32] x 2 | [32] x 2 | sq8 only |
//   +-----------+-------------+------------+----------+----------+----------+----------+--------- -
//   -
//   `------------------------ never straddles pages ------------------------------------' may
//   straddle
//
// A block begins at a multiple of 64 and its codes are a multiple of 64 long, so a page boundary
// always falls between 64-byte lines of codes. A head that does not fit into the rest of a page
// begins the next one.
//
// Life of a slot: unused -> (its codes are written) -> live, published by one change of the head's
// page -> dead, cleared by VACUUM. It never goes back: a live slot never changes, a cleared one is
// never filled again. Slots are used in order, and a new block begins only after the last is full.
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
    std::uint32_t head_bytes;        // everything that never straddles
    std::uint32_t code_bytes;        // of 32 rows
    std::uint32_t scan_row_bytes;    // of one row, row-major
    std::uint32_t refine_row_bytes;  // 0: no refine layer
    bool has_offset;
};

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

kernels::BlockFactors FactorsOf(const BlockLayout& layout, const std::uint8_t* block);

// Makes the head of an empty block; pointers, flags and factors are zero.
void InitBlock(const BlockLayout& layout, std::uint32_t list_id, std::uint64_t generation,
               std::uint32_t ordinal, std::uint32_t refine_page, std::uint16_t refine_offset,
               std::uint8_t* block);

// Puts pointer and factors of the next slot into the head and makes it live. The codes must be in
// their place already. REQUIRES: used < 32.
void PublishSlot(const BlockLayout& layout, RowPointer pointer, const quant::RowFactors& factors,
                 std::uint8_t* block);

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
