// Which lists are near? The centroids of an index as codes: one bit a dimension tells of most lists
// that they are too far, three bits more of most others, and only of the few that are left, the
// nearest and those that are opened, the distance itself is computed from the floats.
//
//   block of 32   | add float x 32 | bias float x 32 | scale bfloat16 x 32 | error bfloat16 x 32 |
//                 | bq codes of 1 bit, transposed: padded_dim * 4 bytes                          |
//   refine rows   of 32 lists, one after the other (quant/bq.h): the other 3 bits
//
// The codes are of ||q - c||^2 (bq with 4 bits, the list's centroid being 0). The bias is what the
// order of the lists takes off it: for inner product ||c + mean||^2, otherwise 0.
//
// Groups of lists, of which far ones are not looked into, would not give this order: the triangle
// inequality excludes no group (wordnet-384, 128 groups of 16,384 lists), and the groups that are
// nearest hold 95 % of the nearest lists if a third of all is looked into.
#pragma once

#include "core/quant/quantizer.h"

namespace quantvec::ivf {

inline constexpr quant::Spec CentroidSpec(std::size_t padded_dim) {
    return {quant::Kind::kBq, 4, static_cast<std::uint32_t>(padded_dim)};
}

// The codes of some lists, in the caller's memory.
struct CentroidTable {
    quant::Spec spec;
    std::size_t lists;
    std::uint8_t* blocks;  // [CentroidBlocks(lists), CentroidBlockBytes]
    std::uint8_t* refine;  // [CentroidBlocks(lists), CentroidRefineBytes]
};
constexpr std::size_t CentroidBlocks(std::size_t lists) {
    return (lists + quant::kBlockRows - 1) / quant::kBlockRows;
}
std::size_t CentroidBlockBytes(const quant::Spec& spec);
std::size_t CentroidRefineBytes(const quant::Spec& spec);  // of a block's 32 lists

// Writes the code of centroid number i. zeros, workspace [padded_dim]; code [padded_dim / 8]
void PutCentroid(CentroidTable& table, std::size_t i, ConstFloatSpan centroid, float bias,
                 ConstFloatSpan zeros, FloatSpan workspace, ByteSpan code);
float BiasOf(const CentroidTable& table, std::size_t i);

// Lower bounds of ||q - c||^2 for the 32 lists from 32 * block on, and the sums that RefineCentroid
// wants. `prepared` is the query for table.spec, query_norm_sqr = ||q||^2. What is not a number comes
// as -infinity.
void BoundCentroids(const CentroidTable& table, const quant::PreparedQuery& prepared,
                    float query_norm_sqr, std::size_t block, float sums[32], float lower[32]);
// A better one for list number i.
float RefineCentroid(const CentroidTable& table, const quant::PreparedQuery& prepared,
                     float query_norm_sqr, std::size_t i, float sum);

// Lists in order of ||q - c||^2, less their bias if that is wanted; found as they are asked for.
//
//   while (!lists.NearestIsExact()) lists.Measured( ||q - centroid of lists.Nearest()||^2 );
//   .. lists.Nearest() with lists.NearestL2Sqr() ..
//   lists.Next();
//
// A heap of blocks by the least bound of their lists; of lists that have left their block, by the
// bound of all bits; and of lists that were measured. Equal ones come in order of their numbers.
class ListOrder {
  public:
    static std::size_t Bytes(std::size_t lists);
    // memory [Bytes(table.lists)], aligned for floats. Table, prepared and memory stay in use.
    void Begin(const CentroidTable& table, const quant::PreparedQuery& prepared,
               float query_norm_sqr, bool biased, ByteSpan memory);
    std::size_t left() const { return left_; }

    // REQUIRES: left() > 0. The list that comes next, unless its distance, if that is not known yet,
    // shows that another one is nearer.
    bool NearestIsExact();
    std::uint32_t Nearest() const { return heap_[0].list; }
    void Measured(float l2sqr);
    float NearestL2Sqr() const { return heap_[0].l2sqr; }
    void Next();
    // The list that probably comes next. REQUIRES: left() > 0.
    std::uint32_t Likely() const;

  private:
    enum class Stage : std::uint32_t { kBlock, kCoded, kExact };
    struct Item {
        float order;
        float l2sqr;         // kExact
        std::uint32_t list;  // kBlock: the block's first
        Stage stage;
        bool Before(const Item& o) const {
            if (order != o.order) return order < o.order;
            // Who may still turn out to be as near goes first.
            if ((stage == Stage::kExact) != (o.stage == Stage::kExact))
                return o.stage == Stage::kExact;
            return list < o.list;
        }
    };
    Item BlockItem(std::size_t block) const;
    std::uint32_t FirstOf(std::size_t block) const;
    void LeaveBlock();

    const CentroidTable* table_;
    const quant::PreparedQuery* prepared_;
    float query_norm_sqr_;
    bool biased_;
    std::size_t left_;
    Item* heap_;  // [lists + blocks]
    std::size_t size_;
    float* lower_;            // [blocks, 32] less the bias
    float* sums_;             // [blocks, 32]
    std::uint32_t* waiting_;  // [blocks] the lists that have not left their block
};

}  // namespace quantvec::ivf
