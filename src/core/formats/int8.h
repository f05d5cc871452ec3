// This file owns the code of int8vec, the 8-bit vector of a table: a byte an element, with the
// row's own scale and least element.
//
//     element k of the range:  x(k) = least + scale * k, rounded once to a float;  k = 0..255
//
//     least = min x                          kept as it is, so that code 0 occurs
//     scale = (max x - least) / 255          to 15 binary digits, and no less than
//             2^-14 of the power of two that |least| lies above, or than the least normal
//             float; 0 if all x(k) are the same
//     code  = round((x - least) / scale)
//
// An element is off by half a scale at most, and by the rounding of a float.
//
// Why 15 digits, and why no less: so that a vector which was decoded has the same bytes when it is
// encoded again, and a dump in text comes back as it was. scale * k has 23 digits, which a float
// holds. What rounding the greatest element has, at most 2^-24 of it, is then less than half a last
// digit of the scale when that is taken from the range again.
#pragma once

#include "core/view.h"

namespace quantvec::formats {

struct Int8Range {
    float least;
    float scale;
};

// codes: [x.size()]. The same bytes on every machine. false: the range of x is no float.
// REQUIRES: x is not empty, and its elements are finite.
bool EncodeInt8(ConstFloatSpan x, ByteSpan codes, Int8Range* range);

// out[i] = x(codes[i]); [codes.size()]
void DecodeInt8(ConstByteSpan codes, const Int8Range& range, FloatSpan out);

}  // namespace quantvec::formats
