// What k-means does with a cluster that attracted nothing: it takes half of the largest one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantvec {

// Each empty cluster's center goes a hair to one side of the center of the largest cluster, which
// goes as far to the other side. Their counts are shared. Ends early when no cluster has two rows.
//   counts      [clusters] rows of each
//   hair        as a share of each coordinate
//   coordinate  coordinate(cluster, j) is a reference to coordinate j of a center, j < dim
template <class Coordinate>
void SplitLargestForEmpty(std::uint32_t* counts, std::size_t clusters, std::size_t dim, float hair,
                          Coordinate coordinate) {
    for (std::size_t empty = 0; empty < clusters; empty++) {
        if (counts[empty] != 0) continue;
        std::size_t largest = 0;
        for (std::size_t other = 1; other < clusters; other++)
            if (counts[other] > counts[largest]) largest = other;
        if (counts[largest] < 2) return;
        for (std::size_t j = 0; j < dim; j++) {
            const float old = coordinate(largest, j);
            const float shift = j % 2 == 0 ? hair : -hair;
            coordinate(empty, j) = old * (1 + shift);
            coordinate(largest, j) = old * (1 - shift);
        }
        counts[empty] = counts[largest] / 2;
        counts[largest] -= counts[empty];
    }
}

}  // namespace quantvec
