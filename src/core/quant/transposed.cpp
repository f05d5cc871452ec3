// Nibbles into a block and out of it.
#include "core/quant/transposed.h"

namespace quantvec::quant {

void ScatterNibbles(ConstByteSpan code, std::size_t parts, std::size_t slot, std::size_t begin,
                    ByteSpan piece) {
    const unsigned shift = slot < 16 ? 0 : 4;
    const std::size_t lane = slot % 16;
    const std::size_t first = begin / 16;
    for (std::size_t g = 0; g < piece.size() / 16; g++) {
        const std::size_t group = first + g;
        const unsigned nibble = group < parts ? code[group / 2] >> (group % 2 * 4) & 15u : 0;
        std::uint8_t& byte = piece[g * 16 + lane];
        byte = static_cast<std::uint8_t>((byte & ~(15u << shift)) | nibble << shift);
    }
}

void GatherNibbles(ConstByteSpan codes, std::size_t parts, std::size_t slot, ByteSpan code) {
    const unsigned shift = slot < 16 ? 0 : 4;
    const std::uint8_t* lane = codes.data() + slot % 16;
    for (std::size_t i = 0; i < code.size(); i++) {
        const unsigned low = lane[i * 32] >> shift & 15u, high = lane[i * 32 + 16] >> shift & 15u;
        code[i] = static_cast<std::uint8_t>(low | high << 4);
    }
    if (parts % 2 != 0) code.back() &= 15u;
}

}  // namespace quantvec::quant
