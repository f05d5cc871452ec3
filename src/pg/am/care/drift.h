// How far rows are from the centers of their lists, against the rows those were made for: whether
// lists still fit the data. A sample of the live rows, taken while the index is walked, is read
// from the table.
#pragma once

#include "pg/am/care/compact.h"
#include "pg/am/storage/model.h"

namespace quantvec::pg {

// Drift that is worth new lists. SPFresh (Xu and others, SOSP 2023) moves centroids at about as
// much.
inline constexpr double kMuchDrift = 1.15;

// Any live row is in it with the same probability.
struct RowSample {
    struct Row {
        std::uint64_t pointer;
        std::uint32_t list;
    };
    Row* rows;
    std::uint64_t seen;
    pg_prng_state random;
};
// Takes memory from the current context. seed: anything.
void BeginSample(RowSample& sample, std::uint64_t seed);
// The live rows of a block of list number `list` are seen.
void SampleBlock(RowSample& sample, const std::uint8_t* block, std::uint32_t list);

// Mean square distance of rows from the centroids of their lists, by that of the rows they were
// made for; < 0: unknown. use [lists]: live rows. The sample is used up.
double Drift(Relation heap, Relation index, Model& model, const ListUse* use, RowSample& sample);

}  // namespace quantvec::pg
