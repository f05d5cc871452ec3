// How two values of a type are compared, for btrees and the operators < <= = <> >= >.
#pragma once

#include <algorithm>
#include <span>

#include "core/half.h"
#include "pg/pg.h"

namespace quantvec::pg {

// -1, 0 or 1. Element by element, then the shorter first: as the server orders arrays.
template <class Element>
int CompareElements(std::span<const Element> a, std::span<const Element> b) {
    for (Size i = 0; i < std::min(a.size(), b.size()); ++i) {
        const float x = ToFloat(a[i]), y = ToFloat(b[i]);
        if (x < y) return -1;
        if (x > y) return 1;
    }
    if (a.size() == b.size()) return 0;
    return a.size() < b.size() ? -1 : 1;
}

// Frees a value that was detoasted from `datum`. A btree calls a comparison for each step of a sort
// or a descent, in a context that lives as long: comparisons leave no memory behind.
inline void FreeIfCopy(const void* v, Datum datum) {
    if (v != DatumGetPointer(datum)) pfree(const_cast<void*>(v));
}

}  // namespace quantvec::pg

// The SQL functions quantvec_TYPE_lt, _le, _eq, _ne, _ge, _gt and _cmp. REQUIRES: Compare is an
// int (*)(FunctionCallInfo): how the first argument compares to the second.
#define QV_COMPARISONS(type, Compare)         \
    QV_SQL_FUNCTION(quantvec_##type##_lt) {   \
        PG_RETURN_BOOL(Compare(fcinfo) < 0);  \
    }                                         \
    QV_SQL_FUNCTION(quantvec_##type##_le) {   \
        PG_RETURN_BOOL(Compare(fcinfo) <= 0); \
    }                                         \
    QV_SQL_FUNCTION(quantvec_##type##_eq) {   \
        PG_RETURN_BOOL(Compare(fcinfo) == 0); \
    }                                         \
    QV_SQL_FUNCTION(quantvec_##type##_ne) {   \
        PG_RETURN_BOOL(Compare(fcinfo) != 0); \
    }                                         \
    QV_SQL_FUNCTION(quantvec_##type##_ge) {   \
        PG_RETURN_BOOL(Compare(fcinfo) >= 0); \
    }                                         \
    QV_SQL_FUNCTION(quantvec_##type##_gt) {   \
        PG_RETURN_BOOL(Compare(fcinfo) > 0);  \
    }                                         \
    QV_SQL_FUNCTION(quantvec_##type##_cmp) {  \
        PG_RETURN_INT32(Compare(fcinfo));     \
    }
