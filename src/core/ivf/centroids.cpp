#include "core/ivf/centroids.h"

#include <cstring>

#include "core/ivf/topk.h"

namespace quantvec::ivf {

namespace {

constexpr std::size_t kRows = quant::kBlockRows;
constexpr std::size_t kAddAt = 0, kBiasAt = 4 * kRows, kScaleAt = 8 * kRows, kErrorAt = 10 * kRows;
constexpr std::size_t kFactorBytes = 12 * kRows;

std::uint8_t* Block(const CentroidTable& table, std::size_t block) {
    return table.blocks + block * CentroidBlockBytes(table.spec);
}

std::uint8_t* RefineRow(const CentroidTable& table, std::size_t i) {
    return table.refine + i * quant::Get(table.spec.kind).RefineRowBytes(table.spec);
}

}  // namespace

std::size_t CentroidBlockBytes(const quant::Spec& spec) {
    return kFactorBytes + quant::Get(spec.kind).BlockCodeBytes(spec);
}

std::size_t CentroidRefineBytes(const quant::Spec& spec) {
    return kRows * quant::Get(spec.kind).RefineRowBytes(spec);
}

void PutCentroid(CentroidTable& table, std::size_t i, ConstFloatSpan centroid, float bias,
                 ConstFloatSpan zeros, FloatSpan workspace, ByteSpan code) {
    const quant::Quantizer& quantizer = quant::Get(table.spec.kind);
    quant::EncodedRow row = {{}, code, {RefineRow(table, i), quantizer.RefineRowBytes(table.spec)}};
    quantizer.Encode(table.spec, centroid, zeros, 0, workspace, row);
    std::uint8_t* block = Block(table, i / kRows);
    const std::size_t slot = i % kRows;
    std::memcpy(block + kAddAt + 4 * slot, &row.factors.add, 4);
    std::memcpy(block + kBiasAt + 4 * slot, &bias, 4);
    std::memcpy(block + kScaleAt + 2 * slot, &row.factors.scale, 2);
    std::memcpy(block + kErrorAt + 2 * slot, &row.factors.error, 2);
    quantizer.Scatter(table.spec, code, slot, 0,
                      {block + kFactorBytes, quantizer.BlockCodeBytes(table.spec)});
}

float BiasOf(const CentroidTable& table, std::size_t i) {
    float bias;
    std::memcpy(&bias, Block(table, i / kRows) + kBiasAt + 4 * (i % kRows), 4);
    return bias;
}

void BoundCentroids(const CentroidTable& table, const quant::PreparedQuery& prepared,
                    float query_norm_sqr, std::size_t block, float sums[32], float lower[32]) {
    const quant::Quantizer& quantizer = quant::Get(table.spec.kind);
    const std::uint8_t* p = Block(table, block);
    float estimates[kRows];
    for (std::size_t i = 0; i < kRows; i++) sums[i] = 0;
    quantizer.ScanPiece(table.spec, prepared, 0,
                        {p + kFactorBytes, quantizer.BlockCodeBytes(table.spec)}, ~0u, sums);
    const kernels::BlockFactors factors = {
        .add = reinterpret_cast<const float*>(p + kAddAt),
        .scale = reinterpret_cast<const std::uint16_t*>(p + kScaleAt),
        .error = reinterpret_cast<const std::uint16_t*>(p + kErrorAt),
        .offset = nullptr,
    };
    kernels::Active().bound_block(factors, quant::ListScalars(prepared, query_norm_sqr), sums, 0,
                                  lower, estimates);
}

float RefineCentroid(const CentroidTable& table, const quant::PreparedQuery& prepared,
                     float query_norm_sqr, std::size_t i, float sum) {
    const quant::Estimate e =
        quant::Get(table.spec.kind)
            .Refine(table.spec, prepared, query_norm_sqr, sum, RefineRow(table, i));
    const float lower = e.key - e.error;
    return __builtin_isnan(lower) ? -__builtin_inff() : lower;
}

// ---- the order ----

std::size_t ListOrder::Bytes(std::size_t lists) {
    const std::size_t blocks = CentroidBlocks(lists);
    return blocks * (2 * kRows * sizeof(float) + sizeof(std::uint32_t)) +
           (lists + blocks) * sizeof(Item);
}

// What is left of a block: its number, and the least of its bounds.
ListOrder::Item ListOrder::BlockItem(std::size_t block) const {
    return {kernels::Active().masked_min(lower_ + block * kRows, waiting_[block]), 0,
            static_cast<std::uint32_t>(block * kRows), Stage::kBlock};
}

// The list of a block that has the least bound.
std::uint32_t ListOrder::FirstOf(std::size_t block) const {
    const float* lower = lower_ + block * kRows;
    std::uint32_t mask = waiting_[block];
    auto best = static_cast<std::uint32_t>(__builtin_ctz(mask));
    for (mask &= mask - 1; mask != 0; mask &= mask - 1) {
        const auto i = static_cast<std::uint32_t>(__builtin_ctz(mask));
        if (lower[i] < lower[best]) best = i;
    }
    return static_cast<std::uint32_t>(block * kRows) + best;
}

void ListOrder::Begin(const CentroidTable& table, const quant::PreparedQuery& prepared,
                      float query_norm_sqr, bool biased, ByteSpan memory) {
    const std::size_t blocks = CentroidBlocks(table.lists);
    table_ = &table;
    prepared_ = &prepared;
    query_norm_sqr_ = query_norm_sqr;
    biased_ = biased;
    left_ = table.lists;
    lower_ = reinterpret_cast<float*>(memory.data());
    sums_ = lower_ + blocks * kRows;
    waiting_ = reinterpret_cast<std::uint32_t*>(sums_ + blocks * kRows);
    heap_ = reinterpret_cast<Item*>(waiting_ + blocks);
    size_ = blocks;
    for (std::size_t b = 0; b < blocks; b++) {
        float* lower = lower_ + b * kRows;
        BoundCentroids(table, prepared, query_norm_sqr, b, sums_ + b * kRows, lower);
        if (biased)
            for (std::size_t i = 0; i < kRows; i++) lower[i] -= BiasOf(table, b * kRows + i);
        const std::size_t here = table.lists - b * kRows;
        waiting_[b] = here >= kRows ? ~0u : (1u << here) - 1;
        heap_[b] = BlockItem(b);
    }
    MakeHeap(heap_, size_);
}

// The first list of the block on top goes its own way.
void ListOrder::LeaveBlock() {
    const std::size_t block = heap_[0].list / kRows;
    const std::uint32_t list = FirstOf(block);
    float order = RefineCentroid(*table_, *prepared_, query_norm_sqr_, list, sums_[list]);
    if (biased_) order -= BiasOf(*table_, list);
    // Both bounds hold: the better one counts.
    const Item coded = {order > lower_[list] ? order : lower_[list], 0, list, Stage::kCoded};
    waiting_[block] &= ~(1u << list % kRows);
    if (waiting_[block] == 0) {
        heap_[0] = coded;
        HeapSiftDown(heap_, size_, 0);
        return;
    }
    heap_[0] = BlockItem(block);
    HeapSiftDown(heap_, size_, 0);
    heap_[size_] = coded;
    HeapSiftUp(heap_, size_++);
}

std::uint32_t ListOrder::Likely() const {
    return heap_[0].stage == Stage::kBlock ? FirstOf(heap_[0].list / kRows) : heap_[0].list;
}

bool ListOrder::NearestIsExact() {
    while (heap_[0].stage == Stage::kBlock) LeaveBlock();
    return heap_[0].stage == Stage::kExact;
}

void ListOrder::Measured(float l2sqr) {
    Item& top = heap_[0];
    const float order = biased_ ? l2sqr - BiasOf(*table_, top.list) : l2sqr;
    top = {__builtin_isnan(order) ? __builtin_inff() : order, l2sqr, top.list, Stage::kExact};
    HeapSiftDown(heap_, size_, 0);
}

void ListOrder::Next() {
    size_ = PopHeap(heap_, size_);
    left_--;
}

}  // namespace quantvec::ivf
