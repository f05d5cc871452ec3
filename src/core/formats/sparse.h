// This file owns the text and the message of a sparse vector.
//
//     text  = space "{" [ entry { "," entry } ] "}" space "/" space dim space
//     entry = space index space ":" space number space
//
//     index: from 1, in any order; number: whatever strtof reads, zeros are left out
//
//     message, in network byte order:
//     0       4       8        12                       12 + 4 * nnz      12 + 8 * nnz
//     | dim   | nnz   | unused | index[0] .. index[nnz-1]| x[0] .. x[nnz-1]|
//     | int32 | int32 | 0      | int32, from 0, ascending| IEEE 754        |
//
// No x is NaN, infinite or zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/formats/refusal.h"
#include "core/view.h"

namespace quantvec::formats {

struct Entry {
    std::int32_t index;  // from 0
    float value;
};

// As many entries as the text can have: the room that ReadText needs.
std::size_t CountEntries(std::string_view text);

struct SparseRead {
    std::int32_t dim = 0;     // as the text says
    std::size_t entries = 0;  // that are not zero
    Refusal refusal = {};
};

// Reads `text`, which has a zero behind its end. The entries lie in order of their indices then,
// which are not checked yet. REQUIRES: out.size() >= CountEntries(text).
SparseRead ReadText(std::string_view text, std::span<Entry> out);

// Indices are 0..dim-1, ascending, none twice.
Refusal CheckIndices(std::span<const std::int32_t> indices, std::int32_t dim);

// What a message says of itself, and where its indices begin.
struct SparseMessage {
    std::int32_t dim = 0, nnz = 0, unused = 0;  // as it says: may be anything
    ConstByteSpan entries = {};
    Refusal refusal = {};
};
SparseMessage ReadSparseHead(ConstByteSpan message);
// Reads the entries, and checks them. REQUIRES: values.size() == indices.size().
Refusal ReadEntries(ConstByteSpan entries, std::int32_t dim, std::span<std::int32_t> indices,
                    FloatSpan values);

}  // namespace quantvec::formats
