// The rows that an index is trained with.
//
// Pages and rows have keys (kmeans.h, SampleKey), and those with the smallest keys are the sample.
// The keys depend on where rows lie in the table, and not on who takes the sample, how many share
// the work, or whether the rows come from the whole table or from the entries of an index in use;
// how many rows there is room for does, a little. So an index that VACUUM has trained is much the
// same as one that is built.
//
//   pages  key below a limit            about a fifth more than the sample needs
//   rows   the smallest keys of those   each participant's from pages of its own, as many as it has
//                                       room for; then the least limit of all holds for all
#include <algorithm>
#include <cmath>

#include "core/kernels/kernels.h"
#include "core/quant/rotation.h"
#include "pg/am/build/build.h"
#include "pg/am/table/row_pointer.h"
#include "pg/compat.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Pages looked at to learn how many rows a page of the table has.
constexpr double kDensityPages = 200;
constexpr double kSparePages = 1.2;

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

// ---- pages ----

// No row has the offset number 0.
bool IsSampled(BlockNumber page, std::uint64_t limit) {
    return ivf::SampleKey(std::uint64_t{page} << 16) <= limit;
}

// About this part of all pages.
std::uint64_t PageLimit(double share) {
    return share >= 1 ? kNoLimit : static_cast<std::uint64_t>(std::ldexp(share, 64));
}

// Calls back for the rows of this participant's pages among those in the sample; returns how many
// pages all of them have.
BlockNumber ScanSampledPages(Build& b, std::uint64_t limit, int me, int team,
                             IndexBuildCallback callback, void* state) {
    const BlockNumber pages = RelationGetNumberOfBlocks(b.heap);
    BlockNumber sampled = 0;
    // A concurrent build reads by a snapshot, and cannot ask for more than that shows.
    const bool any_visible = !b.info->ii_Concurrent;
    for (BlockNumber page = 0; page < pages; page++) {
        CHECK_FOR_INTERRUPTS();
        if (!IsSampled(page, limit)) continue;
        if (static_cast<int>(sampled++ % static_cast<BlockNumber>(team)) == me)
            table_index_build_range_scan(b.heap, b.index, b.info, false, any_visible, false, page,
                                         1, callback, state, nullptr);
    }
    return sampled;
}

void CountRow(Relation, ItemPointer, Datum*, bool* isnull, bool, void* arg) {
    if (!isnull[0]) ++*static_cast<double*>(arg);
}

// ---- rows ----

// The value as the index sees it: for cosine and jaccard of unit length. false: not indexed.
bool RawRow(const Build& b, ConstFloatSpan values, float* out) {
    if (static_cast<int>(values.size()) != b.dim)
        CheckExpectedDim(b.dim, static_cast<int>(values.size()));
    const float length = IndexedLength(b.opclass->metric, values);
    if (length == 0) return false;
    const float scale = 1 / length;
    for (std::size_t i = 0; i < values.size(); i++) out[i] = values[i] * scale;
    return true;
}

// A sample that is being taken. The one with the largest key goes first, when there is no more
// room.
struct Taking {
    Build* build;
    Sample* sample;
    std::uint32_t* largest;  // [size] heap of rows, once the sample is full
    std::uint64_t limit;     // all rows with keys below it are in

    auto ByKey() const {
        return
            [keys = sample->keys](std::uint32_t x, std::uint32_t y) { return keys[x] < keys[y]; };
    }
};

void SampleRow(Taking& t, std::uint64_t key, ConstFloatSpan values) {
    Sample& s = *t.sample;
    const bool full = s.size == s.capacity;
    const std::size_t at = full ? t.largest[0] : s.size;
    if (!RawRow(*t.build, values, s.rows + at * t.build->padded)) return;
    if (full) std::pop_heap(t.largest, t.largest + s.size, t.ByKey());
    s.keys[at] = key;
    if (full) {
        std::push_heap(t.largest, t.largest + s.size, t.ByKey());
    } else if (++s.size == s.capacity) {
        for (std::uint32_t i = 0; i < s.size; i++) t.largest[i] = i;
        std::make_heap(t.largest, t.largest + s.size, t.ByKey());
    }
}

// Is there room for it?
bool IsWanted(Taking& t, std::uint64_t key) {
    if (t.sample->size < t.sample->capacity) return true;
    const std::uint64_t most = t.sample->keys[t.largest[0]];
    t.limit = Min(t.limit, Max(key, most));
    return key < most;
}

void TakeTableRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    Taking& t = *static_cast<Taking*>(arg);
    const std::uint64_t key = ivf::SampleKey(PointerNumber(*tid));
    if (isnull[0] || !IsWanted(t, key)) return;
    const MemoryScope scope(t.build->row_context);
    SampleRow(t, key, t.build->opclass->values(values[0]));
    scope.Leave();
    MemoryContextReset(t.build->row_context);
}

// The same of an index in use.
void TakeSourceRows(Taking& t, RowSource& rows, std::uint64_t limit) {
    RewindRows(rows);
    std::uint64_t pointer;
    while (NextRow(rows, &pointer)) {
        const std::uint64_t key = ivf::SampleKey(pointer);
        if (!IsSampled(static_cast<BlockNumber>(pointer >> 16), limit) || !IsWanted(t, key))
            continue;
        VacuumDelay();
        ConstFloatSpan values;
        if (ReadRow(rows.reader, pointer, &values)) SampleRow(t, key, values);
    }
}

// Takes this participant's part; returns the limit below which it has all.
std::uint64_t TakeOwn(Build& b, Sample& sample) {
    const Decisions& d = *b.decided;
    if (d.rows_estimated <= 0) return kNoLimit;
    const auto team = static_cast<std::size_t>(b.team.size);
    sample.capacity = (d.sample_rows + team - 1) / team;
    sample.rows = NewArray<float>(sample.capacity * b.padded);
    sample.keys = NewArray<std::uint64_t>(sample.capacity);
    auto* largest = NewArray<std::uint32_t>(sample.capacity);
    Taking t = {&b, &sample, largest, kNoLimit};
    const double share = kSparePages * static_cast<double>(d.sample_rows) / d.rows_estimated;
    if (b.rows)
        TakeSourceRows(t, *b.rows, PageLimit(share));
    else
        ScanSampledPages(b, PageLimit(share), b.team.me, b.team.size, TakeTableRow, &t);
    pfree(largest);
    return t.limit;
}

// Says that the index is not trained. Of an empty table nothing is: an index is created before its
// rows come, as all migrations do, and nobody needs to do anything. Nor when an index is built
// again (TRUNCATE and the like). And once a transaction: a partitioned table has many such indexes,
// and ALTER TABLE may create one again.
void TellOfOneList(const Build& b) {
    static TimestampTz told = 0;
    const bool created =
        b.index->rd_createSubid != InvalidSubTransactionId || b.info->ii_Concurrent;
    if (!created || told == GetCurrentTransactionStartTimestamp()) return;
    told = GetCurrentTransactionStartTimestamp();
    ereport(NOTICE,
            (errmsg("quantvec index \"%s\" keeps its rows in one list, and a scan reads all of it",
                    RelationGetRelationName(b.index)),
             errhint("VACUUM, autovacuum included, trains it once the table has %.0f rows.",
                     TrainingDueAt(b.index, {}))));
}

// The leader has the sums of all: it decides.
void DecideFromSample(Build& b) {
    Decisions& d = *b.decided;
    const auto dim = static_cast<std::size_t>(b.dim);
    for (int i = 0; i < b.team.size; i++) d.sampled += b.sampled[i];
    for (std::size_t j = 0; j < dim; j++) {
        double sum = 0;
        for (int i = 0; i < b.team.size; i++)
            sum += b.mean_sums[static_cast<std::size_t>(i) * dim + j];
        const auto mean = static_cast<float>(d.sampled ? sum / static_cast<double>(d.sampled) : 0);
        // Rows beyond the float range would make every code useless; they are centred on nothing.
        b.mean[j] = std::isfinite(mean) ? mean : 0;
    }
    d.lists_trained = Max(Min(d.lists, d.sampled), std::size_t{1});
    const bool too_few = d.rows_estimated < kFlatRows && b.options.lists == 0;
    d.trained = d.sampled > 0 && !too_few;
    if (!d.trained && d.sampled > 0) TellOfOneList(b);
}

}  // namespace

double EstimateRows(Build& b) {
    const double pages = RelationGetNumberOfBlocks(b.heap);
    double rows = 0;
    const BlockNumber sampled =
        ScanSampledPages(b, PageLimit(kDensityPages / Max(pages, 1.0)), 0, 1, CountRow, &rows);
    return rows * pages / Max(static_cast<double>(sampled), 1.0);
}

void TakeSample(Build& b, Sample& sample) {
    const int me = b.team.me;
    b.sample_limits[me] = TakeOwn(b, sample);
    Meet(b.team);
    std::uint64_t limit = kNoLimit;
    for (int i = 0; i < b.team.size; i++) limit = Min(limit, b.sample_limits[i]);
    KeepBelow(b, sample, limit);
    const auto dim = static_cast<std::size_t>(b.dim);
    double* sums = b.mean_sums + static_cast<std::size_t>(me) * dim;
    for (std::size_t i = 0; i < sample.size; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        const float* row = sample.rows + i * b.padded;
        for (std::size_t j = 0; j < dim; j++) sums[j] += static_cast<double>(row[j]);
    }
    b.sampled[me] = sample.size;
    Meet(b.team);
    if (Leads(b)) DecideFromSample(b);
    Meet(b.team);
    b.lists = b.decided->lists_trained;
    b.trained = b.decided->trained;
}

void RotateSample(Build& b, Sample& sample) {
    for (std::size_t i = 0; i < sample.size; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        float* row = sample.rows + i * b.padded;
        for (int j = 0; j < b.dim; j++) row[j] -= b.mean[j];
        for (std::size_t j = static_cast<std::size_t>(b.dim); j < b.padded; j++) row[j] = 0;
        quant::Rotate({b.model.signs, quant::RotationBytes(b.padded)}, {row, b.padded});
    }
}

void KeepBelow(const Build& b, Sample& sample, std::uint64_t limit) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < sample.size; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        if (sample.keys[i] >= limit) continue;
        if (kept < i) {
            memcpy(sample.rows + kept * b.padded, sample.rows + i * b.padded,
                   b.padded * sizeof(float));
            sample.keys[kept] = sample.keys[i];
        }
        kept++;
    }
    sample.size = kept;
}

void FindKeyLimits(Build& b, const Sample& sample, const SamplePart* parts, std::size_t count,
                   std::uint64_t* limits) {
    std::uint64_t* below = b.part_rows + static_cast<std::size_t>(b.team.me) * count;
    auto* found = NewZeroedArray<bool>(count);
    for (std::size_t p = 0; p < count; p++) limits[p] = 0;
    // Bit by bit, the largest limit with no more rows below it than are wanted. Keys are all
    // different.
    bool all_found = false;
    for (int bit = 63; bit >= 0 && !all_found; bit--) {
        const std::uint64_t one = std::uint64_t{1} << bit;
        for (std::size_t p = 0; p < count; p++) {
            CHECK_FOR_INTERRUPTS();
            below[p] = 0;
            for (std::size_t i = parts[p].begin; i < parts[p].end && !found[p]; i++)
                below[p] += sample.keys[i] < (limits[p] | one);
        }
        Meet(b.team);
        all_found = true;
        for (std::size_t p = 0; p < count; p++) {
            if (found[p]) continue;
            std::uint64_t rows = 0;
            for (int i = 0; i < b.team.size; i++)
                rows += b.part_rows[static_cast<std::size_t>(i) * count + p];
            if (rows <= parts[p].lists) limits[p] |= one;
            found[p] = rows == parts[p].lists;
            all_found = all_found && found[p];
        }
        Meet(b.team);
    }
    pfree(found);
}

}  // namespace quantvec::pg
