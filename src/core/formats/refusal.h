// This file owns why a value from outside is refused, as a value: readers of text and of messages
// return it, and the shell has the words and the SQLSTATE for each.
#pragma once

#include <string_view>

namespace quantvec::formats {

enum class Why {
    kNothing,  // it was read
    // text
    kSyntax,
    kNoStart,     // does not begin with its bracket
    kTrailing,    // something follows the closing bracket
    kOutOfRange,  // a number beyond the range of the element: Refusal::number
    kNoDim,       // sparse: ends before the slash
    kAfterDim,    // sparse: something follows the number of dimensions
    // messages
    kShort,      // ends before its last element
    kNotUnused,  // a field that is reserved is not 0: Refusal::given
    // either
    kTooFew,   // no element
    kTooMany,  // more elements than the type takes
    kNan,
    kInfinite,
    // sparse
    kTooManyEntries,
    kNegativeEntries,
    kMoreEntriesThanDims,
    kIndexOutOfBounds,
    kIndexDescends,
    kIndexTwice,
    kZeroEntry,  // in a message
};

struct Refusal {
    Why why = Why::kNothing;
    std::string_view number = {};  // a part of the text
    int given = 0;

    explicit operator bool() const { return why != Why::kNothing; }
};

}  // namespace quantvec::formats
