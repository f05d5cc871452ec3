// The parts of RowMajor that are the same for every code.
#include "core/quant/row_major.h"

#include <cstring>

namespace quantvec::quant {

Extent ExtentOf(ConstFloatSpan residual) {
    Extent extent;
    for (float r : residual) {
        if (r < extent.low) extent.low = r;
        if (r > extent.high) extent.high = r;
    }
    return extent;
}

void ScatterRow(ConstByteSpan code, std::size_t row_begin, std::size_t begin, ByteSpan piece) {
    const std::size_t row_end = row_begin + code.size();
    const std::size_t from = row_begin > begin ? row_begin : begin;
    const std::size_t to = row_end < begin + piece.size() ? row_end : begin + piece.size();
    if (from < to) std::memcpy(&piece[from - begin], &code[from - row_begin], to - from);
}

void GatherRow(ConstByteSpan codes, std::size_t row_begin, ByteSpan code) {
    std::memcpy(code.data(), &codes[row_begin], code.size());
}

void PrepareIntegerQuery(const Spec& spec, ConstFloatSpan query, float epsilon, ByteSpan memory,
                         PreparedQuery& prepared) {
    const std::size_t n = spec.padded_dim;
    std::int8_t* planes = reinterpret_cast<std::int8_t*>(memory.data());
    prepared.hi = {planes, n};
    prepared.lo = {planes + n, n};
    const float unit = QuantizeQuery(query, prepared.hi, prepared.lo);
    // The sum of the rounded query, so that a code's offset meets the same vector as its steps.
    std::int64_t total = 0;
    for (std::size_t i = 0; i < n; i++) total += prepared.hi[i] * 128 + prepared.lo[i];

    prepared.unit = unit;
    prepared.shift = 0;
    prepared.total = unit * static_cast<float>(total);
    prepared.round_error = 255 * TermsRounding(static_cast<float>(n), unit, epsilon);
    prepared.tighten = Tighten(spec, epsilon);
}

}  // namespace quantvec::quant
