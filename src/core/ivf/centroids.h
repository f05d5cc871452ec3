// This file owns the answer to: which lists are near? The centroids of an index are stored as
// codes, twice. Codes of one bit a dimension show that most lists are too far. Codes of four bits
// show it of most others. The distance itself is computed from the floats, for the lists that are
// left.
//
//   table         | bias float x lists | layer of bq, 1 bit | layer of sq4, lloydmax |
//   layer         blocks of 32 lists: | factors | codes |, as those of rows (block.h)
//
// The codes estimate ||q - c||^2 (to them, a centroid is a row of a list whose centroid is 0). A
// scan opens lists in the order of ||q - c||^2 less the bias:
//
//   inner product   ||c + mean||^2, so that the order is that of <q, c>
//   otherwise       -kSpreadWeight s^2, where s^2 is the mean squared distance of the list's rows
//                   from c: a tight list holds near rows more often than a broad one whose centroid
//                   is as near
//
// The number of lists is rounded up to a multiple of 32; unused slots are zeros.
//
// Why not groups of lists, so that far groups need no look? They would not give this order. 16,384
// lists (wordnet-384) were put into 128 groups: the triangle inequality excludes no group, and the
// nearest third of the groups holds 95 of 100 lists that are to be opened.
#pragma once

#include "core/ivf/block.h"

namespace quantvec::ivf {

inline constexpr quant::Spec CoarseSpec(std::size_t padded_dim) {
    return {quant::Kind::kBq, 1, static_cast<std::uint32_t>(padded_dim)};
}
inline constexpr quant::Spec FineSpec(std::size_t padded_dim) {
    return {quant::Kind::kSq4, 4, static_cast<std::uint32_t>(padded_dim), quant::Levels::kLloydMax};
}

// Rows scanned until the list of a near row is open, in 95 of 100 cases (numpy, about as many lists
// as by default):
//
//   weight                                0        0.2      0.3
//   wordnet-384                           19,200   17,600   17,100
//   fashion-mnist                         1,155    1,160    1,172
//   100,000 rows of bench/scale.py        5,142    5,186    5,366
//
// Another order was tried: an estimate, from the spread of residuals, of how near a list's nearest
// row may be. It gave 16,500 for wordnet-384 and 8,200 for the rows of scale.py.
inline constexpr float kSpreadWeight = 0.2f;

// A table and where its parts lie.
struct CentroidTable {
    struct Layer {
        BlockLayout layout;
        std::uint8_t* blocks;
    };
    std::size_t lists;
    std::uint8_t* bias;  // floats; the table begins here
    Layer coarse;
    Layer fine;
};
// The bytes of 32 lists in a layer.
inline std::size_t LayerBlockBytes(const BlockLayout& layout) {
    return layout.factor_bytes + layout.code_bytes;
}
std::size_t CentroidTableBytes(std::size_t lists, std::size_t padded_dim);
// bytes [CentroidTableBytes], aligned for floats
CentroidTable CentroidTableAt(std::uint8_t* bytes, std::size_t lists, std::size_t padded_dim);

// Writes the codes of centroid number i. zeros, workspace [padded_dim]; code [padded_dim / 2]
void PutCentroid(CentroidTable& table, std::size_t i, ConstFloatSpan centroid, float bias,
                 ConstFloatSpan zeros, FloatSpan workspace, ByteSpan code);
float BiasOf(const CentroidTable& table, std::size_t i);

// A vector whose nearest lists are wanted.
struct CentroidQuery {
    quant::PreparedQuery coarse;
    quant::PreparedQuery fine;
    float norm_sqr;
};
std::size_t CentroidQueryBytes(std::size_t padded_dim);
// q [padded_dim]; epsilon: standard errors that bounds keep; memory [CentroidQueryBytes]
CentroidQuery PrepareCentroidQuery(ConstFloatSpan q, float epsilon, ByteSpan memory);

// Lower bounds of ||q - c||^2. BoundCoarse: from one bit, for the 32 lists from 32 * block on.
// BoundFine: from four bits, for n <= 32 different lists in order of their numbers. NaN comes as
// -infinity.
void BoundCoarse(const CentroidTable& table, const CentroidQuery& query, std::size_t block,
                 float lower[32]);
void BoundFine(const CentroidTable& table, const CentroidQuery& query, const std::uint32_t* lists,
               std::size_t n, float lower[32]);
// Estimates of ||q - c||^2 from four bits, for the 32 lists from 32 * block on.
void EstimateFine(const CentroidTable& table, const CentroidQuery& query, std::size_t block,
                  float estimates[32]);

// Lists in order of ||q - c||^2, less their bias if that is wanted; found as they are asked for.
//
//   while (!lists.NearestIsExact()) lists.Measured( ||q - centroid of lists.Nearest()||^2 );
//   .. lists.Nearest() with lists.NearestL2Sqr() ..
//   lists.Next();
//
// A heap has the lists whose bound of one bit is within a limit. It orders them by their bound of
// four bits or, once measured, by their distance. When the heap has no list within the limit, the
// limit is raised. Lists that are equally near come in order of their numbers.
class ListOrder {
  public:
    static std::size_t Bytes(std::size_t lists);
    // `expected`: number of lists that will probably be taken. memory [Bytes(table.lists)], aligned
    // for Item. Table, query and memory stay in use.
    void Begin(const CentroidTable& table, const CentroidQuery& query, bool biased,
               std::size_t expected, ByteSpan memory);
    std::size_t left() const { return left_; }

    // Is Nearest() the list that comes next? If not, its distance has to be measured.
    // REQUIRES: left() > 0.
    bool NearestIsExact();
    std::uint32_t Nearest() const { return heap_[0].list(); }
    void Measured(float l2sqr);
    float NearestL2Sqr() const { return heap_[0].l2sqr; }
    void Next();

    // A list that will probably come soon.
    static constexpr std::uint32_t kUnknown = 0xffffffffu;
    std::uint32_t Likely() const { return size_ > 0 ? heap_[0].list() : kUnknown; }

  private:
    static constexpr std::size_t kSample = 256;
    // The key sorts by order, then by exactness, then by number. Lists that are not exact come
    // first, since they may turn out to be as near. One comparison of keys does what three would do
    // in a heap of floats.
    struct Item {
        std::uint64_t key;
        float l2sqr;  // once exact
        bool Before(const Item& o) const { return key < o.key; }
        std::uint32_t list() const { return static_cast<std::uint32_t>(key) & ~kExact; }
        bool exact() const { return (key & kExact) != 0; }
    };
    static constexpr std::uint32_t kExact = 0x80000000u;
    static std::uint64_t Key(float order, std::uint32_t list, bool exact);
    float Order(std::size_t list, float l2sqr) const {
        return biased_ ? l2sqr - BiasOf(*table_, list) : l2sqr;
    }
    void RaiseLimit();
    void Enter(const std::uint32_t* lists, std::size_t n);

    const CentroidTable* table_;
    const CentroidQuery* query_;
    bool biased_;
    std::size_t left_;
    std::size_t within_;  // lists that are within the next limit, about
    float limit_;
    Item* heap_;  // [lists]
    std::size_t size_;
    float* lower_;            // [blocks, 32] bounds of one bit, less the bias
    std::uint32_t* waiting_;  // [blocks] lists that are not in the heap yet
    float* sample_;           // [kSample] of the bounds
    std::size_t sampled_;
};

}  // namespace quantvec::ivf
