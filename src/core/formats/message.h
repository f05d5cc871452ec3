// This file owns how a number is read from a message: network byte order.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantvec::formats {

// The Word (an unsigned integer) that begins at `at`.
template <class Word>
Word ReadWord(const std::uint8_t* at) {
    Word word = 0;
    for (std::size_t i = 0; i < sizeof(Word); ++i) word = static_cast<Word>(word << 8 | at[i]);
    return word;
}

}  // namespace quantvec::formats
