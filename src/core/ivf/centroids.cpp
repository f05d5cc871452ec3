#include "core/ivf/centroids.h"

#include <algorithm>
#include <cstring>

#include "core/ivf/topk.h"

namespace quantvec::ivf {

namespace {

constexpr std::size_t kRows = quant::kBlockRows;
constexpr std::size_t kAddAt = 0, kOffsetAt = 4 * kRows, kScaleAt = 8 * kRows,
                      kErrorAt = 10 * kRows, kCodesAt = 12 * kRows;

// Lists within the first limit, for each that is expected to be taken and besides: 384 of 16,384
// lists (wordnet-384) come out of 2,400 whose bounds are low enough, 192 of 4,096 out of 900, and the
// nearest one, with six standard errors, out of 20 to 130.
constexpr std::size_t kWithinForEach = 5, kWithinBesides = 32, kListsForOneBesides = 64;

std::size_t Blocks(std::size_t lists) {
    return (lists + kRows - 1) / kRows;
}

std::size_t BlockBytes(const quant::Spec& spec) {
    return kCodesAt + quant::Get(spec.kind).BlockCodeBytes(spec);
}

std::uint8_t* CoarseAt(const CentroidTable& table, std::size_t block) {
    return table.coarse + block * table.coarse_block_bytes;
}

std::uint8_t* FineAt(const CentroidTable& table, std::size_t block) {
    return table.fine + block * table.fine_block_bytes;
}

// The code of one centroid into the block at `at`.
void Put(const quant::Spec& spec, std::uint8_t* at, std::size_t slot, ConstFloatSpan centroid,
         ConstFloatSpan zeros, FloatSpan workspace, ByteSpan code) {
    const quant::Quantizer& quantizer = quant::Get(spec.kind);
    quant::EncodedRow row = {{}, code.first(quantizer.ScanRowBytes(spec)), {}};
    quantizer.Encode(spec, centroid, zeros, 0, workspace, row);
    std::memcpy(at + kAddAt + 4 * slot, &row.factors.add, 4);
    std::memcpy(at + kOffsetAt + 4 * slot, &row.factors.offset, 4);
    std::memcpy(at + kScaleAt + 2 * slot, &row.factors.scale, 2);
    std::memcpy(at + kErrorAt + 2 * slot, &row.factors.error, 2);
    quantizer.Scatter(spec, row.code, slot, 0, {at + kCodesAt, quantizer.BlockCodeBytes(spec)});
}

kernels::BlockFactors FactorsAt(const std::uint8_t* at) {
    return {
        .add = reinterpret_cast<const float*>(at + kAddAt),
        .scale = reinterpret_cast<const std::uint16_t*>(at + kScaleAt),
        .error = reinterpret_cast<const std::uint16_t*>(at + kErrorAt),
        .offset = reinterpret_cast<const float*>(at + kOffsetAt),
    };
}

}  // namespace

std::size_t CentroidTableBytes(std::size_t lists, std::size_t padded_dim) {
    return Blocks(lists) * (kRows * sizeof(float) + BlockBytes(CoarseSpec(padded_dim)) +
                            BlockBytes(FineSpec(padded_dim)));
}

CentroidTable CentroidTableAt(std::uint8_t* bytes, std::size_t lists, std::size_t padded_dim) {
    const std::size_t blocks = Blocks(lists);
    CentroidTable table = {};
    table.padded_dim = padded_dim;
    table.lists = lists;
    table.bias = bytes;
    table.coarse = bytes + blocks * kRows * sizeof(float);
    table.coarse_block_bytes = BlockBytes(CoarseSpec(padded_dim));
    table.fine = table.coarse + blocks * table.coarse_block_bytes;
    table.fine_block_bytes = BlockBytes(FineSpec(padded_dim));
    return table;
}

void PutCentroid(CentroidTable& table, std::size_t i, ConstFloatSpan centroid, float bias,
                 ConstFloatSpan zeros, FloatSpan workspace, ByteSpan code) {
    const std::size_t block = i / kRows, slot = i % kRows;
    std::memcpy(table.bias + i * sizeof bias, &bias, sizeof bias);
    Put(CoarseSpec(table.padded_dim), CoarseAt(table, block), slot, centroid, zeros, workspace,
        code);
    Put(FineSpec(table.padded_dim), FineAt(table, block), slot, centroid, zeros, workspace, code);
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
void BoundBlock(const quant::Spec& spec, const std::uint8_t* at,
                const quant::PreparedQuery& prepared, float norm_sqr, float lower[32]) {
    const quant::Quantizer& quantizer = quant::Get(spec.kind);
    float sums[kRows] = {}, estimates[kRows];
    quantizer.ScanPiece(spec, prepared, 0, {at + kCodesAt, quantizer.BlockCodeBytes(spec)}, ~0u,
                        static_cast<std::ptrdiff_t>(BlockBytes(spec)), sums);
    kernels::Active().bound_block(FactorsAt(at), quant::ListScalars(prepared, norm_sqr), sums, 0,
                                  lower, estimates);
}

}  // namespace

void BoundCoarse(const CentroidTable& table, const CentroidQuery& query, std::size_t block,
                 float lower[32]) {
    BoundBlock(CoarseSpec(table.padded_dim), CoarseAt(table, block), query.coarse, query.norm_sqr,
               lower);
}

void BoundFine(const CentroidTable& table, const CentroidQuery& query, const std::uint32_t* lists,
               std::size_t n, float lower[32]) {
    const quant::Spec spec = FineSpec(table.padded_dim);
    if (n == kRows && lists[0] % kRows == 0 && lists[n - 1] == lists[0] + n - 1) {
        BoundBlock(spec, FineAt(table, lists[0] / kRows), query.fine, query.norm_sqr, lower);
        return;
    }
    const quant::Quantizer& quantizer = quant::Get(spec.kind);
    const std::size_t row_bytes = quantizer.ScanRowBytes(spec);
    // A block of the lists that are wanted.
    float add[kRows] = {}, offset[kRows] = {}, sums[kRows] = {}, estimates[kRows];
    std::uint16_t scale[kRows] = {}, error[kRows] = {};
    for (std::size_t i = 0; i < n; i++) {
        const std::size_t slot = lists[i] % kRows;
        const std::uint8_t* at = FineAt(table, lists[i] / kRows);
        const kernels::BlockFactors factors = FactorsAt(at);
        add[i] = factors.add[slot];
        offset[i] = factors.offset[slot];
        scale[i] = factors.scale[slot];
        error[i] = factors.error[slot];
        quantizer.ScanPiece(spec, query.fine, 0, {at + kCodesAt + slot * row_bytes, row_bytes}, 1,
                            0, sums + i);
    }
    kernels::Active().bound_block({add, scale, error, offset},
                                  quant::ListScalars(query.fine, query.norm_sqr), sums, 0, lower,
                                  estimates);
}

// ---- the order ----

// A float's bits sort as the float does, once negative ones are turned round.
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
    // Where half of the lists would be let through, all are: one bit then spares less than it costs.
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

// Puts lists into the heap, which is none until RaiseLimit is through.
void ListOrder::Enter(const std::uint32_t* lists, std::size_t n) {
    float fine[kRows];
    BoundFine(*table_, *query_, lists, n, fine);
    for (std::size_t i = 0; i < n; i++) {
        const float order = Order(lists[i], fine[i]);
        // Both bounds hold: the better one counts.
        const float coarse = lower_[lists[i]];
        heap_[size_++] = {Key(order > coarse ? order : coarse, lists[i], false), 0};
    }
}

// Brings more lists into the heap: about as many as are wanted, all in the end.
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
            const std::size_t row_bytes = table_->padded_dim / 2;
            const std::uint8_t* code = FineAt(*table_, b) + kCodesAt + list % kRows * row_bytes;
            for (std::size_t at = 0; at < row_bytes; at += 64) __builtin_prefetch(code + at);
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
