// Transposed: the base of codes that are scanned 32 rows at a time (bq, pq).
//
// Part g of all rows' codes lies together in a block, so that one look-up in registers serves many
// rows. A part is a nibble, or a byte (pq of 8 bits, which has its own Scatter and Gather):
//
//   nibbles      16 bytes for part g, at byte 16 g of the block's codes: byte j holds the nibble of
//                row j (low half) and of row j + 16 (high half)
//   row, g       nibble g % 2 of byte g / 2
//
// A block's codes are rounded up to 64 bytes. Parts that no row has are zeros there.
//
// A codec names its row's size and the number of its parts as static functions, RowBytes(spec) and
// Parts(spec).
#pragma once

#include "core/quant/quantizer.h"

namespace quantvec::quant {

// Scatter and Gather of rows of `parts` nibbles; the contracts are those of quantizer.h.
void ScatterNibbles(ConstByteSpan code, std::size_t parts, std::size_t slot, std::size_t begin,
                    ByteSpan piece);
void GatherNibbles(ConstByteSpan codes, std::size_t parts, std::size_t slot, ByteSpan code);

template <class Codec>
class Transposed : public Quantizer {
  public:
    bool HasOffset() const final { return false; }
    std::size_t ScanRowBytes(const Spec& spec) const final { return Codec::RowBytes(spec); }
    std::size_t BlockCodeBytes(const Spec& spec) const final {
        return kBlockRows * RoundUp(Codec::RowBytes(spec), 2);
    }
    // Every row has bytes in all of the block.
    std::size_t CodeBytesFor(const Spec& spec, std::size_t slots) const final {
        return slots == 0 ? 0 : BlockCodeBytes(spec);
    }
    void Scatter(const Spec& spec, ConstByteSpan code, std::size_t slot, std::size_t begin,
                 ByteSpan piece) const override {
        QV_ASSERT(begin % 64 == 0 && begin + piece.size() <= BlockCodeBytes(spec));
        ScatterNibbles(code, Codec::Parts(spec), slot, begin, piece);
    }
    void Gather(const Spec& spec, ConstByteSpan codes, std::size_t slot,
                ByteSpan code) const override {
        GatherNibbles(codes, Codec::Parts(spec), slot, code);
    }
};

}  // namespace quantvec::quant
