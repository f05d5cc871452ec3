// This file owns how a number is read from text: as the nearest float, and then as the nearest
// element.
#pragma once

#include <string_view>

#include "core/formats/refusal.h"

namespace quantvec::formats {

// The same six in every locale and server version.
inline const char* SkipSpace(const char* at) {
    while (*at == ' ' || (*at >= '\t' && *at <= '\r')) ++at;
    return at;
}

template <class Element>
struct NumberRead {
    Element value;
    const char* behind;
    Refusal refusal;
    bool vanished;  // not 0 in the text, but too small for a float
};

// The number at `at`, in a text that has a zero at `end`.
template <class Element>
NumberRead<Element> ReadNumber(const char* at, const char* end);

// Not a finite number: why.
Why CheckFinite(float value);

}  // namespace quantvec::formats
