// What every cast from an array asks of it.
#pragma once

#include "pg/compat.h"

namespace quantvec::pg {

// The number of elements of an array of one dimension (or none) without nulls; else an error.
inline int CheckedLength(ArrayType* array) {
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("array must be 1-D")));
    if (ARR_HASNULL(array) && array_contains_nulls(array))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("array must not contain nulls")));
    return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

}  // namespace quantvec::pg
