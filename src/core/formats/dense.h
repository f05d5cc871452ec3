// This file owns the text and the message of a dense vector, vector or halfvec.
//
//     text    = space "[" element { "," element } "]" space
//     element = space number space          number: whatever strtof reads
//
//     message, in network byte order:
//     0        2        4                        4 + sizeof(Element) * dim
//     | dim    | unused | x[0] .. x[dim-1]       |
//     | uint16 | 0      | IEEE 754, 4 or 2 bytes |
//
// No element is NaN or infinite. Element is float or Half.
#pragma once

#include <cstddef>
#include <span>

#include "core/formats/refusal.h"
#include "core/half.h"
#include "core/view.h"

namespace quantvec::formats {

// As many elements as the text can have: the room that ReadText needs. At most `most`.
std::size_t CountElements(std::string_view text, std::size_t most);

struct DenseRead {
    std::size_t dim = 0;  // elements that were read
    Refusal refusal = {};
};

// Reads `text`, which has a zero behind its end. Each number is the nearest float, and then the
// nearest Element. Refuses more elements than `out` has room for as too many.
template <class Element>
DenseRead ReadText(std::string_view text, std::span<Element> out);

// What a message says of itself, and where its elements begin.
struct DenseMessage {
    int dim = 0;  // as it says: 0..65535
    int unused = 0;
    ConstByteSpan elements = {};
    Refusal refusal = {};
};
DenseMessage ReadHead(ConstByteSpan message);
// Reads out.size() elements from the beginning of `elements`.
template <class Element>
Refusal ReadElements(ConstByteSpan elements, std::span<Element> out);

}  // namespace quantvec::formats
