// RowMajor: the base of codes whose block holds one row's code after the other (sq8, sq4).
//
//   block codes  slot s at byte s * RowBytes(spec)
//   query        two planes of an integer query: hi [padded_dim], lo [padded_dim]
//
// A codec names its row's size as the static function RowBytes(spec), and adds Encode and
// ScanPiece.
#pragma once

#include "core/quant/quantizer.h"

namespace quantvec::quant {

// The range of a residual's coordinates, to which zero belongs.
struct Extent {
    float low = 0, high = 0;
};
Extent ExtentOf(ConstFloatSpan residual);

// Copies the part of a row's code, which lies at `row_begin` of the block's codes, that falls into
// the piece at `begin`.
void ScatterRow(ConstByteSpan code, std::size_t row_begin, std::size_t begin, ByteSpan piece);

// Reads the code that lies at `row_begin` of the block's codes.
void GatherRow(ConstByteSpan codes, std::size_t row_begin, ByteSpan code);

// PrepareQuery for codes that are bytes, or become bytes by a table, at most 255 steps from zero.
// memory [2 * padded_dim]
void PrepareIntegerQuery(const Spec& spec, ConstFloatSpan query, float epsilon, ByteSpan memory,
                         PreparedQuery& prepared);

// Adds a piece at `begin` of a block's codes to the sums of its rows, row_bytes each. Whole rows go
// together: dot(codes, rows, from, bytes, sums) gets the bytes [from, from + bytes) of `rows` rows
// that are row_bytes apart. Nothing behind the last live row is read.
template <class Dot>
void ScanRows(std::size_t row_bytes, std::size_t begin, ConstByteSpan piece, std::uint32_t live,
              std::ptrdiff_t ahead, float sums[32], Dot dot) {
    // Four rows at once are four places at once. The processor's own prefetching does not follow
    // them: from memory they take 67 ns a row of 768 bytes, where one row after the other takes 24.
    // So rows go together only where this loop asks for the next bytes itself.
    const std::size_t together = ahead == 0 ? 1 : 4;
    const std::size_t used = live == 0 ? 0 : 32 - static_cast<std::size_t>(__builtin_clz(live));
    const std::size_t piece_end = begin + piece.size(), used_end = used * row_bytes;
    const std::size_t end = piece_end < used_end ? piece_end : used_end;
    std::size_t row = begin / row_bytes, from = begin - row * row_bytes;
    for (std::size_t at = begin; at < end;) {
        std::size_t rows = 1, bytes = row_bytes - from;
        if (bytes > end - at) bytes = end - at;
        while (rows < together && from == 0 && at + (rows + 1) * row_bytes <= end) rows++;
        const std::uint8_t* codes = &piece[at - begin];
        if (ahead != 0)
            for (std::size_t i = 0; i < rows * bytes; i += 64)
                __builtin_prefetch(codes + ahead + i);
        dot(codes, rows, from, bytes, sums + row);
        at += rows * bytes;
        row += rows;
        from = 0;
    }
}

template <class Codec>
class RowMajor : public Quantizer {
  public:
    bool HasOffset() const final { return true; }
    std::size_t ScanRowBytes(const Spec& spec) const final { return Codec::RowBytes(spec); }
    std::size_t BlockCodeBytes(const Spec& spec) const final {
        return kBlockRows * Codec::RowBytes(spec);
    }
    std::size_t QueryBytes(const Spec& spec) const final {
        return std::size_t{spec.padded_dim} * 2;
    }
    std::size_t CodeBytesFor(const Spec& spec, std::size_t slots) const final {
        return slots * Codec::RowBytes(spec);
    }
    void Scatter(const Spec& spec, ConstByteSpan code, std::size_t slot, std::size_t begin,
                 ByteSpan piece) const final {
        ScatterRow(code, slot * Codec::RowBytes(spec), begin, piece);
    }
    void Gather(const Spec& spec, ConstByteSpan codes, std::size_t slot,
                ByteSpan code) const final {
        GatherRow(codes, slot * Codec::RowBytes(spec), code);
    }
    void PrepareQuery(const Spec& spec, ConstFloatSpan query, float epsilon, ByteSpan memory,
                      PreparedQuery& prepared) const final {
        PrepareIntegerQuery(spec, query, epsilon, memory, prepared);
    }
};

}  // namespace quantvec::quant
