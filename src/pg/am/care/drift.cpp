// The sample of live rows, and their distance to the centers of their lists.
#include "pg/am/care/drift.h"

#include "core/kernels/kernels.h"
#include "pg/am/storage/model_read.h"
#include "pg/am/table/row_pointer.h"
#include "pg/am/table/row_source.h"

namespace quantvec::pg {

namespace {

// Their distances vary by a third or so, their mean by 1 %.
constexpr std::uint64_t kSampleRows = 1000;

int ComparePointers(const void* a, const void* b) {
    const std::uint64_t x = static_cast<const RowSample::Row*>(a)->pointer,
                        y = static_cast<const RowSample::Row*>(b)->pointer;
    return x < y ? -1 : x > y;
}

}  // namespace

void BeginSample(RowSample& sample, std::uint64_t seed) {
    sample.rows = static_cast<RowSample::Row*>(palloc(kSampleRows * sizeof(RowSample::Row)));
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
    qsort(sample.rows, size, sizeof(RowSample::Row), ComparePointers);
    const auto floats = [padded] {
        return FloatSpan(static_cast<float*>(palloc(padded * sizeof(float))), padded);
    };
    const FloatSpan vector = floats(), scratch = floats();
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
