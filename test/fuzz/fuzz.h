// What the fuzz targets share. A target gets any bytes, hands them to a reader as the shell does, and
// stops the run (Must) where the reader breaks a promise; the sanitizers see the rest.
#pragma once

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/half.h"
#include "core/view.h"

namespace quantvec::fuzz {

inline void Must(bool condition) {
    if (!condition) __builtin_trap();
}

// The bytes before the first zero, as a text with a zero behind it and nothing after that.
inline std::unique_ptr<char[]> AsText(const std::uint8_t* data, std::size_t size,
                                      std::string_view* text) {
    const std::size_t length = strnlen(reinterpret_cast<const char*>(data), size);
    auto copy = std::make_unique<char[]>(length + 1);
    std::memcpy(copy.get(), data, length);
    copy[length] = '\0';
    *text = {copy.get(), length};
    return copy;
}

// A copy that ends with its allocation.
inline std::vector<std::uint8_t> AsMessage(const std::uint8_t* data, std::size_t size) {
    return {data, data + size};
}

inline void AppendNumber(float x, std::string* text) {
    char digits[64];
    text->append(digits, std::to_chars(digits, digits + sizeof digits, x).ptr);
}

}  // namespace quantvec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
