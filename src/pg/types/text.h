// The text form of a dense vector: "[1,2.5,-3e-05]".
//
//     text    = space "[" element { "," element } "]" space
//     element = space number space          number: whatever strtof reads
//
// Written without spaces, each number with the fewest digits that read back to the same float.
#pragma once

#include "core/view.h"
#include "pg/pg.h"

namespace quantvec::pg {

// As many elements as the text can have, at most kMaxDim: the room that ParseElements needs.
int CountElements(const char* text);

// Reads the elements into `out` and returns how many they are: CountElements(text) of them.
// Raises pgvector's errors, which name `type`. REQUIRES: out.size() >= CountElements(text).
int ParseElements(const char* text, const char* type, FloatSpan out);

// The text in the current memory context, zero-terminated.
char* FormatElements(ConstFloatSpan elements);

}  // namespace quantvec::pg
