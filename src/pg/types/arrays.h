// What every cast from an array asks of it.
#pragma once

#include "core/view.h"
#include "pg/compat.h"

namespace quantvec::pg {

// The number of elements of an array of one dimension (or none) without nulls; else an error.
int CheckedLength(ArrayType* array);

// The elements of integer[], real[], double precision[] or numeric[], to the nearest float. In the
// current memory context, or where the array lies. REQUIRES: CheckedLength(array) was asked.
ConstFloatSpan FloatsOf(ArrayType* array);

// real[] of n zeros; *elements points at them.
ArrayType* NewFloatArray(int n, float** elements);

}  // namespace quantvec::pg
