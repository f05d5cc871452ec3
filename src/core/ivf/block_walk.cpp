// The pieces of a block, cut where pages end.
#include "core/ivf/block_walk.h"

#include <cstring>

namespace quantvec::ivf {

void CopyPiece(const BlockLayout& layout, const Piece& piece, const std::uint8_t* page,
               std::uint8_t* head, std::uint8_t* codes) {
    if (piece.factors_at != 0)
        std::memcpy(head + kPrefixBytes, page + piece.factors_at, layout.factor_bytes);
    std::memcpy(codes + piece.codes_before, page + piece.codes_at, piece.code_bytes);
}

std::uint32_t ScanPagesFor(const BlockLayout& layout, std::uint64_t rows) {
    std::uint32_t pages = 1;
    std::size_t at = kPayloadAt;
    for (std::uint64_t done = 0; done < rows; done += kBlockRows) {
        const std::uint64_t left = rows - done;
        const std::size_t used = left < kBlockRows ? static_cast<std::size_t>(left) : kBlockRows;
        const std::size_t needed = layout.quantizer->CodeBytesFor(layout.spec, used);
        if (!HeadFits(at)) {
            pages++;
            at = kPayloadAt;
        }
        PieceCursor pieces = PiecesOf(layout, at);
        for (;;) {
            at = pieces.Take().end();
            if (pieces.Has(needed)) break;
            pages++;
        }
    }
    return pages;
}

std::uint32_t RefinePagesFor(const BlockLayout& layout, std::uint64_t rows) {
    if (layout.refine_row_bytes == 0) return 0;
    const std::uint32_t pages = PagesFor(rows * layout.refine_row_bytes);
    return pages > 0 ? pages : 1;
}

}  // namespace quantvec::ivf
