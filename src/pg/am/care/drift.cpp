// The sample of live rows, and their distance to the centers of their lists.
#include "pg/am/care/drift.h"

#include <algorithm>

#include "core/kernels/kernels.h"
#include "pg/am/storage/model_read.h"
#include "pg/am/table/row_pointer.h"
#include "pg/am/table/row_source.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Their distances vary by a third or so, their mean by 1 %.
constexpr std::uint64_t kSampleRows = 1000;

}  // namespace

void BeginSample(RowSample& sample, std::uint64_t seed) {
    sample.rows = NewArray<RowSample::Row>(kSampleRows);
    sample.seen = 0;
    pg_prng_seed(&sample.random, seed);
}

void SampleBlock(RowSample& sample, const std::uint8_t* block, std::uint32_t list) {
    for (std::uint32_t left = ivf::HeadAt(block)->live; left != 0; left &= left - 1) {
        // Reservoir sampling, Vitter 1985, algorithm R.
        const std::uint64_t seen = sample.seen++;
        const std::uint64_t at =
            seen < kSampleRows ? seen : pg_prng_uint64_range(&sample.random, 0, seen);
        if (at < kSampleRows)
            sample.rows[at] = {PointerNumber(ivf::PointersOf(block)[__builtin_ctz(left)]), list};
    }
}

double Drift(Relation heap, Relation index, Model& model, const ListUse* use, RowSample& sample) {
    const std::size_t padded = model.meta.padded_dim;
    if (!model.meta.trained || sample.seen == 0 || index->rd_index->indkey.values[0] == 0)
        return -1;
    double then = 0, live = 0;
    for (std::uint32_t i = 0; i < model.meta.lists; i++) {
        const auto rows = static_cast<double>(use[i].live),
                   spread = static_cast<double>(model.entries[i].spread);
        then += rows * spread * spread;
        live += rows;
    }
    then /= live;
    const auto size = static_cast<std::size_t>(Min(sample.seen, kSampleRows));
    std::sort(
        sample.rows, sample.rows + size,
        [](const RowSample::Row& a, const RowSample::Row& b) { return a.pointer < b.pointer; });
    const FloatSpan vector = NewSpan<float>(padded), scratch = NewSpan<float>(padded);
    RowReader reader;
    BeginReading(reader, heap, index);
    double sum = 0, n = 0;
    for (std::size_t i = 0; i < size; i++) {
        CHECK_FOR_INTERRUPTS();
        ConstFloatSpan raw;
        if (!ReadRow(reader, sample.rows[i].pointer, &raw) || raw.size() != model.meta.dim ||
            !Transform(model, raw, vector))
            continue;
        const ConstFloatSpan centroid = CentroidOf(index, model, sample.rows[i].list, scratch);
        if (centroid.empty()) break;
        sum += static_cast<double>(kernels::Active().l2sqr(vector.data(), centroid.data(), padded));
        n++;
    }
    EndReading(reader);
    return n > 0 && then > 0 ? sum / n / then : -1;
}

}  // namespace quantvec::pg
