// All centroids of an index as sq8 codes: which lists are near is told by a quarter of the memory
// that the floats would take, and by integer dots. Their own distances, which the rows' estimates
// start from, are computed of the few lists that are opened.
//
//   block of 32   | add float x 32 | offset float x 32 | scale bfloat16 x 32 | error bfloat16 x 32 |
//                 | codes: 32 x padded_dim bytes, row-major                                        |
//
// Lives in the memory of a backend only; the index keeps the floats.
#pragma once

#include "core/quant/quantizer.h"

namespace quantvec::ivf {

struct CentroidTable {
    quant::Spec spec;  // sq8
    std::size_t lists;
    std::uint8_t* blocks;  // [CentroidTableBytes]
};

std::size_t CentroidTableBytes(std::size_t lists, std::size_t padded_dim);

// Writes the code of centroid number i. zeros, workspace [padded_dim]; code [padded_dim]
void PutCentroid(CentroidTable& table, std::size_t i, ConstFloatSpan centroid, ConstFloatSpan zeros,
                 FloatSpan workspace, ByteSpan code);

// Lower bounds of ||q - c||^2 for the 32 centroids from 32 * block on. `prepared` is the query for
// table.spec, query_norm_sqr = ||q||^2. What is not a number comes as -infinity.
void BoundCentroids(const CentroidTable& table, const quant::PreparedQuery& prepared,
                    float query_norm_sqr, std::size_t block, float lower[32]);

}  // namespace quantvec::ivf
