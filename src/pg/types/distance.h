// Exact distances, as the operators and the index's rerank both compute them: a row that comes from
// the index has bit for bit the distance that its operator gives.
//
//     operator   function               formula
//     <->        L2Distance             sqrt(sum (a-b)^2)
//     <#>        NegativeInnerProduct   -sum a*b
//     <=>        CosineDistance         1 - sum a*b / sqrt(sum a^2 * sum b^2)
//     <+>        L1Distance             sum |a-b|
//
// The sums are floats of the kernel table in use; what follows them is double, as in pgvector. Sums
// beyond the float range give Infinity. REQUIRES everywhere: a.size() == b.size().
#pragma once

#include "core/view.h"

namespace quantvec::pg {

double L2Distance(ConstFloatSpan a, ConstFloatSpan b);
double L2SqrDistance(ConstFloatSpan a, ConstFloatSpan b);
double InnerProduct(ConstFloatSpan a, ConstFloatSpan b);
double NegativeInnerProduct(ConstFloatSpan a, ConstFloatSpan b);
// In [0, 2]; NaN if a or b is all zeros.
double CosineDistance(ConstFloatSpan a, ConstFloatSpan b);
double L1Distance(ConstFloatSpan a, ConstFloatSpan b);

}  // namespace quantvec::pg
