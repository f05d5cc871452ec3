// The sentences that quantvec says more than once. A check returns, or raises the error it is named
// for.
//
// Texts and SQLSTATEs of the checks on vectors are pgvector's: clients match on them.
#pragma once

#include "pg/pg.h"

namespace quantvec::pg {

// The most dimensions of a vector, as in pgvector: 16000 floats are 64 kB, and the count fits
// int16.
constexpr int kMaxDim = 16000;
// The most bits that an index takes, as in pgvector.
constexpr int kMaxIndexedBits = 64000;
// Those of sparsevec, and the most elements of one that are not zero.
constexpr int kMaxSparseDim = 1000000000;
constexpr int kMaxEntries = 16000;

// `type` is the SQL name of the type, as the message says it.

// Two operands have the same number of dimensions.
void CheckDims(int a, int b, const char* type = "vector");
// Two operands have the same size. `sizes`: what the message calls it, "vector dimensions".
void CheckSizes(int a, int b, const char* sizes);
// A number of dimensions that a value can have: 1..most.
void CheckDim(int dim, const char* type = "vector", int most = kMaxDim);
// A value fits its column or cast: typmod is the expected number of dimensions, -1 for any.
void CheckExpectedDim(int32 typmod, int dim);
// An element is a finite number.
void CheckElement(float value, const char* type = "vector");

// The index does not hold what we wrote. `what` goes on after a colon: lower case, no full stop.
// InvalidBlockNumber if the damage has no single place.
[[noreturn]] void ReportCorruption(Relation index, BlockNumber block, const char* what);

}  // namespace quantvec::pg
