// What follows from a model alone: where things lie, and how a vector becomes one of its space.
#include "pg/am/storage/model.h"

#include "core/ivf/block_walk.h"
#include "core/kernels/kernels.h"
#include "core/quant/basis.h"
#include "core/quant/rotation.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

EntryPlace PlaceOfEntry(const Model& model, std::uint32_t list) {
    // The directory is laid out in one run of pages.
    const ivf::EntrySpot spot = ivf::SpotOfEntry(list, model.meta.entry_bytes);
    return {model.meta.directory.first + spot.ordinal, spot.offset};
}

bool IsCurrentPage(const Model& model, const ivf::PageTail& tail, std::uint32_t* list) {
    switch (tail.kind) {
        case ivf::PageKind::kMeta:
            return true;
        case ivf::PageKind::kModel:
        case ivf::PageKind::kCentroid:
        case ivf::PageKind::kDirectory:
            // All parts are of one training.
            return tail.generation == model.meta.directory.generation;
        case ivf::PageKind::kScan:
        case ivf::PageKind::kRefine:
            // Ids are given out in the order of the lists.
            *list = tail.owner - model.entries[0].list_id;
            return *list < model.meta.lists && tail.generation == model.entries[*list].generation;
    }
    return false;
}

const std::uint8_t* BlockOnPage(Relation index, const ivf::BlockLayout& layout,
                                const std::uint8_t* page, BlockNumber number, std::size_t i) {
    const ivf::PageTail& tail = *ivf::TailOf(page);
    const std::size_t at = ivf::HeadOffset(layout, tail, i);
    if (!ivf::HeadCanBegin(at) ||
        !ivf::HeadIsSound(*ivf::HeadAt(page + at), tail.owner, tail.generation))
        ReportCorruption(index, number, "a block head is damaged");
    return page + at;
}

void ToCodeSpace(const Model& model, FloatSpan x) {
    quant::Rotate({model.signs, quant::RotationBytes(x.size())}, x);
    if (!model.basis) return;
    auto* copy = NewArray<float>(x.size());
    memcpy(copy, x.data(), x.size() * sizeof(float));
    quant::ApplyBasis(model.basis, copy, x.size(), x.data());
    pfree(copy);
}

float IndexedLength(Metric metric, ConstFloatSpan values) {
    if (!IsOfDirections(metric)) return 1;
    const float length =
        __builtin_sqrtf(kernels::Active().ordered_dot(values.data(), values.data(), values.size()));
    if (length > 0 && __builtin_isfinite(length)) return length;
    return metric == Metric::kJaccard ? 1 : 0;
}

bool Transform(const Model& model, ConstFloatSpan values, FloatSpan out) {
    const std::size_t dim = model.meta.dim;
    const float length = IndexedLength(model.meta.metric, values);
    if (length == 0) return false;
    for (std::size_t i = 0; i < dim; i++) out[i] = values[i] / length - model.mean[i];
    for (std::size_t i = dim; i < out.size(); i++) out[i] = 0;
    ToCodeSpace(model, out);
    return true;
}

}  // namespace quantvec::pg
