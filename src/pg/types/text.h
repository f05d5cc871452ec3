// How a dense vector is written as text.
#pragma once

#include <span>

#include "core/half.h"
#include "pg/pg.h"

namespace quantvec::pg {

// "[1,2.5,-3e-05]" in the current memory context: each number with the fewest digits that read back
// to the same float. Element: float or Half.
template <class Element>
char* FormatElements(std::span<const Element> values);

}  // namespace quantvec::pg
