// The table of the centroids' codes, and the order in which a scan opens lists (centroids.h).
#include "core/ivf/centroids.h"

#include <algorithm>
#include <cstring>

#include "core/ivf/topk.h"

namespace quantvec::ivf {

namespace {

constexpr std::size_t kRows = quant::kBlockRows;
// Lists within the first limit: kWithinForEach for each list that is expected to be taken, and
// kWithinBesides more. wordnet-384, lists taken and lists whose bounds are low enough: 384 of
// 16,384 come out of 2,400; 192 of 4,096 come out of 900; the nearest one, with six standard
// errors, comes out of 20 to 130.
constexpr std::size_t kWithinForEach = 5, kWithinBesides = 32, kListsForOneBesides = 64;

std::size_t Blocks(std::size_t lists) {
    return (lists + kRows - 1) / kRows;
}

std::uint8_t* BlockAt(const CentroidTable::Layer& layer, std::size_t block) {
    return layer.blocks + block * LayerBlockBytes(layer.layout);
}

// The code of centroid number i.
void Put(const CentroidTable::Layer& layer, std::size_t i, ConstFloatSpan centroid,
         ConstFloatSpan zeros, FloatSpan workspace, ByteSpan code) {
    const BlockLayout& layout = layer.layout;
    std::uint8_t* block = BlockAt(layer, i / kRows);
    quant::EncodedRow row = {{}, code.first(layout.scan_row_bytes), {}};
    layout.quantizer->Encode(layout.spec, centroid, zeros, 0, workspace, row);
    StoreFactors(layout, row.factors, i % kRows, block);
    layout.quantizer->Scatter(layout.spec, row.code, i % kRows, 0,
                              {block + layout.factor_bytes, layout.code_bytes});
}

}  // namespace

std::size_t CentroidTableBytes(std::size_t lists, std::size_t padded_dim) {
    return Blocks(lists) *
           (kRows * sizeof(float) + LayerBlockBytes(MakeLayout(CoarseSpec(padded_dim))) +
            LayerBlockBytes(MakeLayout(FineSpec(padded_dim))));
}

CentroidTable CentroidTableAt(std::uint8_t* bytes, std::size_t lists, std::size_t padded_dim) {
    const std::size_t blocks = Blocks(lists);
    CentroidTable table = {};
    table.lists = lists;
    table.bias = bytes;
    table.coarse = {MakeLayout(CoarseSpec(padded_dim)), bytes + blocks * kRows * sizeof(float)};
    table.fine = {MakeLayout(FineSpec(padded_dim)), BlockAt(table.coarse, blocks)};
    return table;
}

void PutCentroid(CentroidTable& table, std::size_t i, ConstFloatSpan centroid, float bias,
                 ConstFloatSpan zeros, FloatSpan workspace, ByteSpan code) {
    std::memcpy(table.bias + i * sizeof bias, &bias, sizeof bias);
    Put(table.coarse, i, centroid, zeros, workspace, code);
    Put(table.fine, i, centroid, zeros, workspace, code);
}

float BiasOf(const CentroidTable& table, std::size_t i) {
    float bias;
    std::memcpy(&bias, table.bias + i * sizeof bias, sizeof bias);
    return bias;
}

std::size_t CentroidQueryBytes(std::size_t padded_dim) {
    const quant::Spec coarse = CoarseSpec(padded_dim), fine = FineSpec(padded_dim);
    return quant::Get(coarse.kind).QueryBytes(coarse) + quant::Get(fine.kind).QueryBytes(fine);
}

CentroidQuery PrepareCentroidQuery(ConstFloatSpan q, float epsilon, ByteSpan memory) {
    const quant::Spec coarse = CoarseSpec(q.size()), fine = FineSpec(q.size());
    const std::size_t coarse_bytes = quant::Get(coarse.kind).QueryBytes(coarse);
    CentroidQuery query = {};
    quant::Get(coarse.kind)
        .PrepareQuery(coarse, q, epsilon, memory.first(coarse_bytes), query.coarse);
    quant::Get(fine.kind).PrepareQuery(fine, q, epsilon, memory.subspan(coarse_bytes), query.fine);
    query.norm_sqr = kernels::Active().inner_product(q.data(), q.data(), q.size());
    return query;
}

namespace {

// All rows of a block in place.
void BoundBlock(const CentroidTable::Layer& layer, std::size_t block,
                const quant::PreparedQuery& prepared, float norm_sqr, float lower[32],
                float estimates[32]) {
    const BlockLayout& layout = layer.layout;
    const std::uint8_t* at = BlockAt(layer, block);
    float sums[kRows] = {};
    layout.quantizer->ScanPiece(layout.spec, prepared, 0,
                                {at + layout.factor_bytes, layout.code_bytes}, ~0u,
                                static_cast<std::ptrdiff_t>(LayerBlockBytes(layout)), sums);
    kernels::Active().bound_block(FactorsAt(layout, at), quant::ListScalars(prepared, norm_sqr),
                                  sums, 0, lower, estimates);
}

// Where the code of a list begins in a layer of row-major codes.
const std::uint8_t* RowAt(const CentroidTable::Layer& layer, std::size_t list) {
    return BlockAt(layer, list / kRows) + layer.layout.factor_bytes +
           list % kRows * layer.layout.scan_row_bytes;
}

}  // namespace

void BoundCoarse(const CentroidTable& table, const CentroidQuery& query, std::size_t block,
                 float lower[32]) {
    float estimates[kRows];
    BoundBlock(table.coarse, block, query.coarse, query.norm_sqr, lower, estimates);
}

void EstimateFine(const CentroidTable& table, const CentroidQuery& query, std::size_t block,
                  float estimates[32]) {
    float lower[kRows];
    BoundBlock(table.fine, block, query.fine, query.norm_sqr, lower, estimates);
}

void BoundFine(const CentroidTable& table, const CentroidQuery& query, const std::uint32_t* lists,
               std::size_t n, float lower[32]) {
    const BlockLayout& layout = table.fine.layout;
    if (n == kRows && lists[0] % kRows == 0 && lists[n - 1] == lists[0] + n - 1) {
        float estimates[kRows];
        BoundBlock(table.fine, lists[0] / kRows, query.fine, query.norm_sqr, lower, estimates);
        return;
    }
    // A block of the lists that are wanted.
    float add[kRows] = {}, offset[kRows] = {}, sums[kRows] = {}, estimates[kRows];
    std::uint16_t scale[kRows] = {}, error[kRows] = {};
    for (std::size_t i = 0; i < n; i++) {
        const std::size_t slot = lists[i] % kRows;
        const kernels::BlockFactors factors =
            FactorsAt(layout, BlockAt(table.fine, lists[i] / kRows));
        add[i] = factors.add[slot];
        offset[i] = factors.offset[slot];
        scale[i] = factors.scale[slot];
        error[i] = factors.error[slot];
        layout.quantizer->ScanPiece(layout.spec, query.fine, 0,
                                    {RowAt(table.fine, lists[i]), layout.scan_row_bytes}, 1, 0,
                                    sums + i);
    }
    kernels::Active().bound_block({add, scale, error, offset},
                                  quant::ListScalars(query.fine, query.norm_sqr), sums, 0, lower,
                                  estimates);
}

// ---- the order ----

// The bits of floats sort as the floats do, once those of negative floats are turned round.
std::uint64_t ListOrder::Key(float order, std::uint32_t list, bool exact) {
    const auto bits = __builtin_bit_cast(std::uint32_t, order);
    const std::uint32_t sortable = bits >> 31 ? ~bits : bits | 0x80000000u;
    return std::uint64_t{sortable} << 32 | (exact ? kExact : 0) | list;
}

std::size_t ListOrder::Bytes(std::size_t lists) {
    return Blocks(lists) * (kRows * sizeof(float) + sizeof(std::uint32_t)) +
           kSample * sizeof(float) + lists * sizeof(Item);
}

void ListOrder::Begin(const CentroidTable& table, const CentroidQuery& query, bool biased,
                      std::size_t expected, ByteSpan memory) {
    const std::size_t blocks = Blocks(table.lists);
    table_ = &table;
    query_ = &query;
    biased_ = biased;
    left_ = table.lists;
    within_ = expected * kWithinForEach + kWithinBesides + table.lists / kListsForOneBesides;
    heap_ = reinterpret_cast<Item*>(memory.data());
    lower_ = reinterpret_cast<float*>(heap_ + table.lists);
    waiting_ = reinterpret_cast<std::uint32_t*>(lower_ + blocks * kRows);
    sample_ = reinterpret_cast<float*>(waiting_ + blocks);
    size_ = 0;
    limit_ = -__builtin_inff();
    // Where half of the lists would pass, all pass: one bit then spares less than it costs.
    if (2 * within_ > table.lists) within_ = table.lists;
    const bool all = within_ == table.lists;
    for (std::size_t b = 0; b < blocks; b++) {
        float* lower = lower_ + b * kRows;
        const std::size_t here = table.lists - b * kRows;
        waiting_[b] = here >= kRows ? ~0u : (1u << here) - 1;
        if (all) {
            for (std::size_t i = 0; i < kRows; i++) lower[i] = -__builtin_inff();
            continue;
        }
        BoundCoarse(table, query, b, lower);
        for (std::size_t i = 0; biased && i < kRows; i++) {
            lower[i] = Order(b * kRows + i, lower[i]);
            if (__builtin_isnan(lower[i])) lower[i] = -__builtin_inff();
        }
    }
    const std::size_t step = (table.lists + kSample - 1) / kSample;
    sampled_ = 0;
    for (std::size_t i = 0; i < table.lists; i += step) sample_[sampled_++] = lower_[i];
}

// Puts lists into the heap's array. The array is a heap again at the end of RaiseLimit.
void ListOrder::Enter(const std::uint32_t* lists, std::size_t n) {
    float fine[kRows];
    BoundFine(*table_, *query_, lists, n, fine);
    for (std::size_t i = 0; i < n; i++) {
        const float order = Order(lists[i], fine[i]);
        // Both bounds hold. The better one counts.
        const float coarse = lower_[lists[i]];
        heap_[size_++] = {Key(order > coarse ? order : coarse, lists[i], false), 0};
    }
}

// Brings more lists into the heap: about as many as are wanted, and all lists in the end.
void ListOrder::RaiseLimit() {
    const std::size_t rank = within_ * sampled_ / table_->lists + 1;
    limit_ = __builtin_inff();
    if (rank < sampled_) {
        std::nth_element(sample_, sample_ + rank, sample_ + sampled_);
        limit_ = sample_[rank];
    }
    // Half as many again, and at least one of the sample.
    within_ += within_ / 2 + table_->lists / sampled_ + 1;
    const std::size_t old_size = size_;
    std::uint32_t entering[kRows];
    std::size_t n = 0;
    for (std::size_t b = 0; b < Blocks(table_->lists); b++) {
        const float* lower = lower_ + b * kRows;
        if (kernels::Active().masked_min(lower, waiting_[b]) > limit_) continue;
        std::uint32_t within = 0;
        for (std::size_t i = 0; i < kRows; i++) within |= std::uint32_t{lower[i] <= limit_} << i;
        within &= waiting_[b];
        waiting_[b] &= ~within;
        for (; within != 0; within &= within - 1) {
            const auto list = static_cast<std::uint32_t>(b * kRows) +
                              static_cast<std::uint32_t>(__builtin_ctz(within));
            const std::uint8_t* code = RowAt(table_->fine, list);
            for (std::size_t at = 0; at < table_->fine.layout.scan_row_bytes; at += 64)
                __builtin_prefetch(code + at);
            entering[n++] = list;
            if (n < kRows) continue;
            Enter(entering, n);
            n = 0;
        }
    }
    Enter(entering, n);
    if (old_size == 0) {
        MakeHeap(heap_, size_);
    } else {
        for (std::size_t i = old_size; i < size_; i++) HeapSiftUp(heap_, i);
    }
}

bool ListOrder::NearestIsExact() {
    while (size_ == 0 || heap_[0].key > Key(limit_, ~kExact, true)) RaiseLimit();
    return heap_[0].exact();
}

void ListOrder::Measured(float l2sqr) {
    const std::uint32_t list = Nearest();
    const float order = Order(list, l2sqr);
    heap_[0] = {Key(__builtin_isnan(order) ? __builtin_inff() : order, list, true), l2sqr};
    HeapSiftDown(heap_, size_, 0);
}

void ListOrder::Next() {
    size_ = PopHeap(heap_, size_);
    left_--;
}

}  // namespace quantvec::ivf
