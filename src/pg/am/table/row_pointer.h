// Where a row is in the table: as the server, as a block of the index, and as one number.
#pragma once

#include "core/ivf/block.h"
#include "pg/pg.h"

namespace quantvec::pg {

// A row pointer as one number, in the table's order.
inline std::uint64_t PointerNumber(const ItemPointerData& tid) {
    return std::uint64_t{ItemPointerGetBlockNumberNoCheck(&tid)} << 16 |
           ItemPointerGetOffsetNumberNoCheck(&tid);
}
inline std::uint64_t PointerNumber(const ivf::RowPointer& p) {
    return std::uint64_t{p.block_hi} << 32 | std::uint64_t{p.block_lo} << 16 | p.offset;
}
inline ivf::RowPointer PointerOf(std::uint64_t number) {
    return {static_cast<std::uint16_t>(number >> 32), static_cast<std::uint16_t>(number >> 16),
            static_cast<std::uint16_t>(number)};
}

}  // namespace quantvec::pg
