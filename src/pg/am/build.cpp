// ambuild and ambuildempty: sample -> train -> encode and sort -> write.
//
//   1 a few pages of the table tell how many rows there are, hence how many lists to make
//   2 a sample of rows is centred, rotated, and clustered            (ivf/kmeans.h)
//   3 every row finds its list and is encoded; rows are sorted by list, then heap position
//   4 meta, model, centroids and directory, then each list's chains, are written in page order
//   5 all of it goes to WAL once
//
// Memory: the sample and the clustering together, and after them the centroids and the sort, stay
// within maintenance_work_mem.
#include <cmath>

#include "core/ivf/kmeans.h"
#include "core/kernels/kernels.h"
#include "core/quant/pq.h"
#include "core/quant/rotation.h"
#include "pg/am/am.h"
#include "pg/am/meta.h"
#include "pg/am/options.h"
#include "pg/error.h"

namespace quantvec::pg {

namespace {

// Below this many rows one flat list is scanned whole: at 768 dimensions 5,000 one-bit codes are 70
// pages and about 40 us, less than choosing lists and losing recall would save.
constexpr double kFlatRows = 5000;

// Default lists are at least so many scan pages long, so that the half-empty last page of each
// chain and the pins for short chains cost little ...
constexpr double kPagesPerList = 3;
// ... and there are at most 2 sqrt(rows) of them, because every query meets every centroid.
constexpr double kListsPerRootRow = 2;

// k-means: rows a list in the sample, at best and at least, and passes over it. Faiss warns below
// 39 and takes no more than 256; recall gains nothing measurable beyond about 100 here.
constexpr double kSamplesPerList = 100;
constexpr double kLeastSamplesPerList = 8;
constexpr int kPasses = 8;
// Rows for the stored mean, which is all that a flat list needs.
constexpr double kSamplesForMean = 10000;

constexpr std::uint64_t kKMeansSeed = 0x71766563;
constexpr std::uint64_t kRotationSeed = 0x5eedc0de;

// pq: rows a codeword in the sample, at best and at least. With fewer the index keeps sq8 codes.
constexpr std::size_t kSamplesPerWord = 100;
constexpr std::size_t kLeastSamplesPerWord = 8;

// pq: codes measured for the spread of the bound.
constexpr std::size_t kSpreadPairs = 4000;

// Pages looked at to learn how many rows a page of the table has.
constexpr BlockNumber kDensityPages = 200;

// Rows between two looks at the interrupt flag in a pass of k-means.
constexpr std::size_t kAssignStep = 32;

struct Build {
    Relation heap;
    Relation index;
    IndexInfo* info;
    ForkNumber fork;
    const OpclassInfo* opclass;
    IndexOptions options;
    std::size_t budget;  // maintenance_work_mem in bytes
    int dim;
    std::size_t padded;
    ivf::BlockLayout layout;

    double rows_estimated;
    std::size_t lists;
    bool trained;
    float* mean;  // [dim]
    std::uint8_t* signs;
    float* centroids;  // [lists, padded]
    float* books;      // pq: codebooks [padded * words] and norms [m * words]
    float* norms;
    std::uint64_t* counts;  // [lists]
    float* radius;          // [lists], squared while rows are encoded

    Tuplesortstate* sort;
    TupleDesc sort_desc;
    TupleTableSlot* sort_slot;
    double index_tuples;
    std::int64_t progress;

    MemoryContext row_context;
    float* vector;     // [padded]
    float* workspace;  // [padded]
    bytea* row;
};

void Phase(int phase) {
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

// ---- the sample ----

struct Sample {
    Build* build;
    float* rows;           // [capacity, padded], raw
    std::size_t capacity;  // 0: only count
    std::size_t size;
    double seen;
    pg_prng_state random;
};

// The value as the index sees it: for cosine of unit length. false: not indexed.
bool RawRow(const Build& b, Datum datum, float* out) {
    const ConstFloatSpan values = b.opclass->values(datum);
    if (static_cast<int>(values.size()) != b.dim)
        CheckExpectedDim(b.dim, static_cast<int>(values.size()));
    float scale = 1;
    if (b.opclass->metric == Metric::kCosine) {
        const float norm =
            std::sqrt(kernels::Active().ordered_dot(values.data(), values.data(), values.size()));
        if (!(norm > 0) || !std::isfinite(norm)) return false;
        scale = 1 / norm;
    }
    for (std::size_t i = 0; i < values.size(); i++) out[i] = values[i] * scale;
    return true;
}

void SampleRow(Relation, ItemPointer, Datum* values, bool* isnull, bool, void* arg) {
    auto* s = static_cast<Sample*>(arg);
    if (isnull[0]) return;
    s->seen++;
    if (s->capacity == 0) return;
    // Reservoir sampling, Vitter 1985, algorithm R.
    std::size_t at = s->size;
    if (at == s->capacity) {
        const auto n = static_cast<std::uint64_t>(s->seen);
        at = pg_prng_uint64_range(&s->random, 0, n - 1);
        if (at >= s->capacity) return;
    }
    MemoryContext old = MemoryContextSwitchTo(s->build->row_context);
    const bool taken = RawRow(*s->build, values[0], s->rows + at * s->build->padded);
    MemoryContextSwitchTo(old);
    MemoryContextReset(s->build->row_context);
    if (taken && at == s->size) s->size++;
}

// Scans `pages` random pages of the table, in their order.
void ScanRandomPages(Build& b, BlockNumber pages, Sample& sample) {
    const BlockNumber total = RelationGetNumberOfBlocks(b.heap);
    BlockSamplerData sampler;
    BlockSampler_Init(&sampler, total, static_cast<int>(Min(pages, total)), 0x71766563);
    while (BlockSampler_HasMore(&sampler)) {
        CHECK_FOR_INTERRUPTS();
        table_index_build_range_scan(b.heap, b.index, b.info, false, true, false,
                                     BlockSampler_Next(&sampler), 1, SampleRow, &sample, nullptr);
    }
}

void EstimateRows(Build& b) {
    const BlockNumber total = RelationGetNumberOfBlocks(b.heap);
    if (total == 0) return;
    Sample count = {};
    count.build = &b;
    ScanRandomPages(b, kDensityPages, count);
    b.rows_estimated = count.seen / Min(kDensityPages, total) * total;
}

// ---- how many lists ----

std::size_t DefaultLists(const Build& b) {
    const double rows = b.rows_estimated;
    if (rows < kFlatRows) return 1;
    const double bytes =
        static_cast<double>(b.layout.head_bytes + b.layout.code_bytes) / ivf::kBlockRows;
    const double by_size = rows * bytes / (kPagesPerList * ivf::kPayloadBytes);
    const double by_count = kListsPerRootRow * std::sqrt(rows);
    return static_cast<std::size_t>(
        std::fmax(1, std::fmin(kMaxLists, std::fmin(by_size, by_count))));
}

// Memory of k-means over `samples` rows, in bytes.
double TrainingBytes(const Build& b, double samples, double lists) {
    return samples * (static_cast<double>(b.padded) * sizeof(float) + sizeof(std::uint32_t)) +
           lists * (static_cast<double>(b.padded) * 2 * sizeof(float) + 3 * sizeof(std::uint64_t));
}

// Memory of the codebooks and their training.
double CodebookBytes(const Build& b) {
    if (b.layout.spec.kind != quant::Kind::kPq) return 0;
    return static_cast<double>(quant::PqWords(b.layout.spec)) *
           static_cast<double>(2 * b.padded + b.layout.spec.m) * sizeof(float);
}

// Chooses b.lists and how many rows to sample.
std::size_t PlanTraining(Build& b) {
    const double rows = std::ceil(b.rows_estimated);
    // What the backend needs besides: row buffers and slack of the allocator.
    const double budget = static_cast<double>(b.budget) * 0.9 - CodebookBytes(b);
    const double per_sample = TrainingBytes(b, 1, 0);
    if (b.options.lists > 0) {
        b.lists =
            static_cast<std::size_t>(Max(1.0, Min(static_cast<double>(b.options.lists), rows)));
        const double need =
            TrainingBytes(b, static_cast<double>(b.lists), static_cast<double>(b.lists));
        if (b.lists > 1 && need > budget)
            ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                            errmsg("memory required is %.0f MB, maintenance_work_mem is %d MB",
                                   std::ceil(need / 0.9 / 1048576), maintenance_work_mem / 1024),
                            errhint("Raise maintenance_work_mem, or make fewer than %d lists.",
                                    b.options.lists)));
    } else {
        b.lists = DefaultLists(b);
        // Fewer lists rather than lists trained on a handful of rows each.
        const double most = budget / TrainingBytes(b, kLeastSamplesPerList, 1);
        if (static_cast<double>(b.lists) > most) b.lists = static_cast<std::size_t>(Max(1.0, most));
    }
    double wanted = Max(kSamplesForMean, kSamplesPerList * static_cast<double>(b.lists));
    if (b.layout.spec.kind == quant::Kind::kPq)
        wanted = Max(wanted, static_cast<double>(kSamplesPerWord * quant::PqWords(b.layout.spec)));
    wanted = Min(wanted, rows);
    const double room = (budget - TrainingBytes(b, 0, static_cast<double>(b.lists))) / per_sample;
    return static_cast<std::size_t>(Max(1.0, Min(wanted, room)));
}

// ---- training ----

void MeanOf(Build& b, const Sample& sample) {
    auto* sum = static_cast<double*>(palloc0(sizeof(double) * static_cast<std::size_t>(b.dim)));
    for (std::size_t i = 0; i < sample.size; i++)
        for (int j = 0; j < b.dim; j++)
            sum[j] += static_cast<double>(sample.rows[i * b.padded + static_cast<std::size_t>(j)]);
    for (int j = 0; j < b.dim; j++) {
        const double mean = sample.size ? sum[j] / static_cast<double>(sample.size) : 0;
        // Rows beyond the float range would make every code useless; they are centred on nothing.
        b.mean[j] = std::isfinite(static_cast<float>(mean)) ? static_cast<float>(mean) : 0;
    }
    pfree(sum);
}

void RotateSample(Build& b, Sample& sample) {
    const std::size_t sign_bytes = quant::RotationBytes(b.padded);
    for (std::size_t i = 0; i < sample.size; i++) {
        if (i % kAssignStep == 0) CHECK_FOR_INTERRUPTS();
        float* row = sample.rows + i * b.padded;
        for (int j = 0; j < b.dim; j++) row[j] -= b.mean[j];
        for (std::size_t j = static_cast<std::size_t>(b.dim); j < b.padded; j++) row[j] = 0;
        quant::Rotate({b.signs, sign_bytes}, {row, b.padded});
    }
}

void TrainLists(Build& b, const Sample& sample) {
    ivf::KMeans km = {};
    km.samples = {sample.rows, sample.size, b.padded};
    km.lists = b.lists;
    km.centroids = b.centroids;
    km.sums = static_cast<float*>(
        MemoryContextAllocHuge(CurrentMemoryContext, b.lists * b.padded * sizeof(float)));
    km.counts = static_cast<std::uint32_t*>(
        MemoryContextAllocHuge(CurrentMemoryContext, b.lists * sizeof(std::uint32_t)));
    km.assignment = static_cast<std::uint32_t*>(
        MemoryContextAllocHuge(CurrentMemoryContext, sample.size * sizeof(std::uint32_t)));
    km.seed = kKMeansSeed;
    ivf::Seed(km);
    for (int pass = 0; pass < kPasses; pass++) {
        ivf::ClearSums(km);
        std::size_t changed = 0;
        for (std::size_t i = 0; i < sample.size; i += kAssignStep) {
            CHECK_FOR_INTERRUPTS();
            changed += ivf::Assign(km, i, Min(i + kAssignStep, sample.size));
        }
        ivf::Update(km);
        if (changed * 200 < sample.size) break;
    }
    pfree(km.sums);
    pfree(km.counts);
    pfree(km.assignment);
}

int CompareFloats(const void* a, const void* b) {
    const float x = *static_cast<const float*>(a), y = *static_cast<const float*>(b);
    return x < y ? -1 : x > y;
}

// How far the errors of codes reach into directions that queries have, for one standard error of
// the bound: the root mean square, or more if the far end is farther out than a normal variable's.
float MeasureSpread(const Build& b, const quant::Spec& spec, const Sample& sample) {
    const std::size_t n = Min(sample.size, kSpreadPairs);
    auto* deviation = static_cast<float*>(palloc(n * sizeof(float)));
    double squares = 0;
    for (std::size_t i = 0; i < n; i++) {
        if (i % kAssignStep == 0) CHECK_FOR_INTERRUPTS();
        const std::size_t other = (i * 7919 + sample.size / 2) % sample.size;
        deviation[i] =
            quant::PqDeviation(spec, {sample.rows + i * b.padded, b.padded},
                               {sample.rows + other * b.padded, b.padded}, {b.workspace, b.padded});
        squares += static_cast<double>(deviation[i]) * static_cast<double>(deviation[i]);
    }
    qsort(deviation, n, sizeof(float), CompareFloats);
    // 3.29 standard deviations of a normal variable are exceeded once in a thousand.
    const float far = deviation[n - 1 - n / 1000] / 3.29f;
    const float rms = static_cast<float>(std::sqrt(squares / static_cast<double>(n)));
    pfree(deviation);
    return Max(Max(far, rms), 1.0f / std::sqrt(static_cast<float>(b.padded - 1)));
}

// pq: the sample becomes residuals, and each sub-space gets its codewords. With too few rows the
// index falls back to codes that need no training.
void TrainCodebooks(Build& b, Sample& sample) {
    quant::Spec spec = b.layout.spec;
    const std::size_t words = quant::PqWords(spec);
    if (!b.trained || sample.size < kLeastSamplesPerWord * words) {
        b.layout = ivf::MakeLayout({quant::Kind::kSq8, 8, spec.padded_dim});
        return;
    }
    sample.size = Min(sample.size, kSamplesPerWord * words);
    for (std::size_t i = 0; i < sample.size && b.lists > 1; i++) {
        if (i % kAssignStep == 0) CHECK_FOR_INTERRUPTS();
        float* row = sample.rows + i * b.padded;
        float distance;
        const std::size_t list = ivf::Nearest(row, b.centroids, b.lists, b.padded, &distance);
        for (std::size_t j = 0; j < b.padded; j++) row[j] -= b.centroids[list * b.padded + j];
    }
    b.books = static_cast<float*>(
        MemoryContextAllocHuge(CurrentMemoryContext, b.padded * words * sizeof(float)));
    b.norms = static_cast<float*>(
        MemoryContextAllocHuge(CurrentMemoryContext, spec.m * words * sizeof(float)));
    quant::PqTraining t = {};
    t.spec = spec;
    t.residuals = {sample.rows, sample.size, b.padded};
    t.sums = static_cast<float*>(
        MemoryContextAllocHuge(CurrentMemoryContext, b.padded * words * sizeof(float)));
    t.counts = static_cast<std::uint32_t*>(palloc(words * sizeof(std::uint32_t)));
    for (t.j = 0; t.j < spec.m; t.j++) {
        t.book = b.books + quant::PqBegin(spec, t.j) * words;
        t.norms = b.norms + t.j * words;
        quant::PqSeed(t);
        for (int pass = 0; pass < kPasses; pass++) {
            quant::PqClear(t);
            for (std::size_t i = 0; i < sample.size; i += 1024) {
                CHECK_FOR_INTERRUPTS();
                quant::PqAssign(t, i, Min(i + 1024, sample.size));
            }
            quant::PqUpdate(t);
        }
    }
    pfree(t.sums);
    pfree(t.counts);
    spec.books = b.books;
    spec.norms = b.norms;
    spec.spread = MeasureSpread(b, spec, sample);
    b.layout = ivf::MakeLayout(spec);
}

void Train(Build& b) {
    Phase(kPhaseSample);
    EstimateRows(b);
    Sample sample = {};
    sample.build = &b;
    sample.capacity = PlanTraining(b);
    pg_prng_seed(&sample.random, 0x71766563);
    if (b.rows_estimated > 0) {
        sample.rows = static_cast<float*>(MemoryContextAllocHuge(
            CurrentMemoryContext, sample.capacity * b.padded * sizeof(float)));
        const BlockNumber total = RelationGetNumberOfBlocks(b.heap);
        const double density = Max(b.rows_estimated / total, 1e-6);
        const double pages = 1 + 1.2 * static_cast<double>(sample.capacity) / density;
        ScanRandomPages(b, static_cast<BlockNumber>(Min(pages, static_cast<double>(total))),
                        sample);
    }
    MeanOf(b, sample);
    b.lists = Max(Min(b.lists, sample.size), std::size_t{1});

    const bool too_few = b.rows_estimated < kFlatRows && b.options.lists == 0;
    b.trained = sample.size > 0 && !too_few;
    // Only when somebody creates an index: TRUNCATE and the like build it again as well.
    const bool created =
        b.index->rd_createSubid != InvalidSubTransactionId || b.info->ii_Concurrent;
    if (!b.trained && created)
        ereport(NOTICE, (errmsg("quantvec index \"%s\" created with little data",
                                RelationGetRelationName(b.index)),
                         errdetail("It keeps its rows in one list, and a scan reads all of it."),
                         errhint("Rebuild it with REINDEX INDEX once the table is filled.")));

    b.centroids = static_cast<float*>(
        MemoryContextAllocHuge(CurrentMemoryContext, b.lists * b.padded * sizeof(float)));
    memset(b.centroids, 0, b.lists * b.padded * sizeof(float));
    if (b.lists > 1 || b.layout.spec.kind == quant::Kind::kPq) {
        Phase(kPhaseTrain);
        RotateSample(b, sample);
        if (b.lists > 1) TrainLists(b, sample);
        if (b.layout.spec.kind == quant::Kind::kPq) TrainCodebooks(b, sample);
    }
    if (sample.rows) pfree(sample.rows);
}

// ---- encoding ----

// Layout of a row in the sort: factors, scan code, refine row.
quant::EncodedRow RowAt(const ivf::BlockLayout& layout, std::uint8_t* bytes) {
    quant::EncodedRow row;
    row.code = {bytes + sizeof(quant::RowFactors), layout.scan_row_bytes};
    row.refine = {bytes + sizeof(quant::RowFactors) + layout.scan_row_bytes,
                  layout.refine_row_bytes};
    return row;
}

void EncodeRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    Build& b = *static_cast<Build*>(arg);
    if (isnull[0]) return;
    MemoryContext old = MemoryContextSwitchTo(b.row_context);

    const ConstFloatSpan raw = b.opclass->values(values[0]);
    CheckExpectedDim(b.dim, static_cast<int>(raw.size()));
    Model model = {};
    model.meta.dim = static_cast<std::uint32_t>(b.dim);
    model.meta.metric = b.opclass->metric;
    model.mean = b.mean;
    model.signs = b.signs;
    if (Transform(model, raw, {b.vector, b.padded})) {
        float distance = 0;
        std::size_t list = 0;
        if (b.lists > 1)
            list = ivf::Nearest(b.vector, b.centroids, b.lists, b.padded, &distance);
        else
            distance = kernels::Active().inner_product(b.vector, b.vector, b.padded);
        auto* bytes = reinterpret_cast<std::uint8_t*>(VARDATA(b.row));
        quant::EncodedRow row = RowAt(b.layout, bytes);
        EncodeIntoList(b.layout, *b.opclass, raw, {b.centroids + list * b.padded, b.padded},
                       {b.vector, b.padded}, {b.workspace, b.padded}, row);
        memcpy(bytes, &row.factors, sizeof row.factors);
        b.counts[list]++;
        if (distance > b.radius[list]) b.radius[list] = distance;

        const std::int64_t pointer = static_cast<std::int64_t>(
            (static_cast<std::uint64_t>(ItemPointerGetBlockNumber(tid)) << 16) |
            ItemPointerGetOffsetNumber(tid));
        ExecClearTuple(b.sort_slot);
        b.sort_slot->tts_values[0] = Int32GetDatum(static_cast<std::int32_t>(list));
        b.sort_slot->tts_values[1] = Int64GetDatum(pointer);
        b.sort_slot->tts_values[2] = PointerGetDatum(b.row);
        for (int i = 0; i < 3; i++) b.sort_slot->tts_isnull[i] = false;
        ExecStoreVirtualTuple(b.sort_slot);
        tuplesort_puttupleslot(b.sort, b.sort_slot);
        b.index_tuples++;
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(b.row_context);
    if (++b.progress % 256 == 0)
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, b.progress);
}

double EncodeAll(Build& b) {
    Phase(kPhaseEncode);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL,
                                 static_cast<std::int64_t>(b.rows_estimated));
    b.sort_desc = CreateTemplateTupleDesc(3);
    TupleDescInitEntry(b.sort_desc, 1, "list", INT4OID, -1, 0);
    TupleDescInitEntry(b.sort_desc, 2, "pointer", INT8OID, -1, 0);
    TupleDescInitEntry(b.sort_desc, 3, "row", BYTEAOID, -1, 0);
    b.sort_slot = MakeSingleTupleTableSlot(b.sort_desc, &TTSOpsVirtual);
    AttrNumber keys[] = {1, 2};
    Oid operators[] = {Int4LessOperator, Int8LessOperator};
    Oid collations[] = {InvalidOid, InvalidOid};
    bool nulls_first[] = {false, false};
    const std::size_t used = b.lists * b.padded * sizeof(float);
    const std::size_t left = b.budget > used ? (b.budget - used) / 1024 : 0;
    b.sort =
        tuplesort_begin_heap(b.sort_desc, 2, keys, operators, collations, nulls_first,
                             static_cast<int>(Max(left, std::size_t{64})), nullptr, TUPLESORT_NONE);
    const double heap_tuples =
        table_index_build_scan(b.heap, b.index, b.info, true, true, EncodeRow, &b, nullptr);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, b.progress);
    Phase(kPhaseSort);
    tuplesort_performsort(b.sort);
    return heap_tuples;
}

// ---- writing ----

constexpr std::uint32_t PagesFor(std::uint64_t bytes) {
    return static_cast<std::uint32_t>((bytes + ivf::kPayloadBytes - 1) / ivf::kPayloadBytes);
}

// Scan pages of a list of `rows` rows, laid out as WriteBlock does.
std::uint32_t ScanPages(const ivf::BlockLayout& layout, std::uint64_t rows) {
    std::uint64_t at = 0;
    for (std::uint64_t done = 0; done < rows; done += ivf::kBlockRows) {
        const std::uint64_t room = ivf::kPayloadBytes - at % ivf::kPayloadBytes;
        if (room < ivf::kPrefixBytes) at += room;
        at += ivf::CodesBehind(layout, ivf::kPayloadAt + at % ivf::kPayloadBytes) +
              layout.quantizer->CodeBytesFor(layout.spec, Min(rows - done, ivf::kBlockRows));
    }
    return Max(PagesFor(at), 1u);
}

// Writes the rows of one list, which come next from the sort.
void WriteList(Build& b, const ivf::ListEntry& entry, TupleTableSlot* slot, std::uint8_t* block,
               std::uint8_t* refine) {
    ChainWriter scan(b.index, b.fork, entry.scan_first);
    ChainWriter fine(b.index, b.fork, entry.refine_first);
    const ivf::BlockLayout& layout = b.layout;
    std::uint8_t* factors = block + ivf::kPrefixBytes;
    std::uint8_t* codes = block + layout.head_bytes;
    std::uint32_t ordinal = 0;
    for (std::uint64_t left = entry.rows; left > 0; ordinal++) {
        CHECK_FOR_INTERRUPTS();
        std::uint32_t refine_page = ivf::kNoPage;
        std::uint16_t refine_offset = 0;
        if (layout.refine_row_bytes > 0) {
            const std::uint64_t at = ivf::RefinePosition(layout, ordinal, 0);
            refine_page = entry.refine_first + static_cast<std::uint32_t>(at / ivf::kPayloadBytes);
            refine_offset = static_cast<std::uint16_t>(ivf::kPayloadAt + at % ivf::kPayloadBytes);
        }
        ivf::InitBlock(entry.list_id, entry.generation, ordinal, refine_page, refine_offset, block);
        memset(factors, 0, layout.factor_bytes);
        memset(codes, 0, layout.code_bytes);
        const std::size_t rows = Min(left, ivf::kBlockRows);
        for (std::size_t s = 0; s < rows; s++) {
            if (!tuplesort_gettupleslot(b.sort, true, false, slot, nullptr))
                elog(ERROR, "quantvec: the sort lost rows");
            slot_getallattrs(slot);
            const auto pointer = static_cast<std::uint64_t>(DatumGetInt64(slot->tts_values[1]));
            auto* bytes =
                reinterpret_cast<std::uint8_t*>(VARDATA_ANY(DatumGetPointer(slot->tts_values[2])));
            quant::EncodedRow row = RowAt(layout, bytes);
            memcpy(&row.factors, bytes, sizeof row.factors);
            layout.quantizer->Scatter(layout.spec, row.code, s, 0, {codes, layout.code_bytes});
            ivf::StoreFactors(layout, row.factors, s, factors);
            ivf::PublishSlot(
                {static_cast<std::uint16_t>(pointer >> 32),
                 static_cast<std::uint16_t>(pointer >> 16), static_cast<std::uint16_t>(pointer)},
                block);
            memcpy(refine + s * layout.refine_row_bytes, row.refine.data(), row.refine.size());
        }
        scan.WriteBlock(block, {factors, layout.factor_bytes},
                        {codes, layout.quantizer->CodeBytesFor(layout.spec, rows)});
        fine.Write(refine, rows * layout.refine_row_bytes);
        left -= rows;
        b.progress += static_cast<std::int64_t>(rows);
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, b.progress);
    }
}

void WriteIndex(Build& b) {
    Phase(kPhaseWrite);
    b.progress = 0;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL,
                                 static_cast<std::int64_t>(b.index_tuples));
    // Everything that was built at once is generation 1.
    constexpr std::uint64_t kGeneration = 1;
    const auto lists = static_cast<std::uint32_t>(b.lists);
    const auto dim = static_cast<std::size_t>(b.dim);

    MetaPage meta = {};
    meta.magic = kMetaMagic;
    meta.meta_bytes = sizeof meta;
    if (!pg_strong_random(&meta.build_id, sizeof meta.build_id))
        ereport(ERROR,
                (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random number")));
    meta.rotation_seed = kRotationSeed;
    meta.rows_trained = b.trained ? static_cast<std::uint64_t>(b.index_tuples) : 0;
    meta.dim = static_cast<std::uint32_t>(b.dim);
    meta.padded_dim = static_cast<std::uint32_t>(b.padded);
    meta.lists = lists;
    meta.next_list_id = lists + 1;
    meta.entry_bytes = sizeof(ivf::ListEntry);
    meta.block_head_bytes = b.layout.head_bytes;
    meta.block_code_bytes = b.layout.code_bytes;
    meta.refine_row_bytes = b.layout.refine_row_bytes;
    meta.metric = b.opclass->metric;
    meta.element = b.opclass->element;
    meta.quantizer = b.layout.spec.kind;
    meta.bits = b.layout.spec.bits;
    meta.levels = b.layout.spec.levels;
    meta.pq_m = b.layout.spec.m;
    meta.error_spread = b.layout.spec.spread;
    meta.rotation = RotationKind::kHadamard4;
    meta.trained = b.trained;
    meta.segment_count = 1;
    meta.segments[0] = {0, meta.padded_dim, meta.bits, 0};
    meta.calibration = {0, ivf::kNoPage, 0};
    meta.codebooks = {0, ivf::kNoPage, 0};

    const BlockNumber meta_page = ExtendChain(b.index, b.fork, {ivf::PageKind::kMeta, 0, 0}, 1);
    Assert(meta_page == kMetaPage);
    const auto part = [&b](ivf::PageKind kind, std::uint64_t bytes) {
        PartPointer p = {kGeneration, 0, Max(PagesFor(bytes), 1u)};
        p.first = ExtendChain(b.index, b.fork, {kind, 0, kGeneration}, p.pages);
        return p;
    };
    meta.model = part(ivf::PageKind::kModel, dim * sizeof(float));
    const std::size_t book_bytes =
        b.books ? b.padded * quant::PqWords(b.layout.spec) * sizeof(float) : 0;
    if (b.books) meta.codebooks = part(ivf::PageKind::kModel, book_bytes);
    meta.centroids =
        part(ivf::PageKind::kCentroid,
             std::uint64_t{lists} * (sizeof(ivf::CentroidNode) + b.padded * sizeof(float)));
    meta.directory = part(ivf::PageKind::kDirectory, std::uint64_t{lists} * sizeof(ivf::ListEntry));

    ChainWriter(b.index, b.fork, meta_page).Write(&meta, sizeof meta);
    ChainWriter(b.index, b.fork, meta.model.first).Write(b.mean, dim * sizeof(float));
    if (b.books) ChainWriter(b.index, b.fork, meta.codebooks.first).Write(b.books, book_bytes);
    ChainWriter centroids(b.index, b.fork, meta.centroids.first);
    ChainWriter directory(b.index, b.fork, meta.directory.first);

    TupleTableSlot* slot =
        b.sort ? MakeSingleTupleTableSlot(b.sort_desc, &TTSOpsMinimalTuple) : nullptr;
    auto* block = static_cast<std::uint8_t*>(palloc0(ivf::kMaxHeadBytes + b.layout.code_bytes));
    auto* refine = static_cast<std::uint8_t*>(
        palloc(Max(ivf::kBlockRows * b.layout.refine_row_bytes, std::size_t{1})));
    for (std::uint32_t i = 0; i < lists; i++) {
        const ivf::CentroidNode node = {i + 1, 0, ivf::CentroidCode::kFloat, 0};
        centroids.Write(&node, sizeof node);
        centroids.Write(b.centroids + i * b.padded, b.padded * sizeof(float));

        ivf::ListEntry entry = {};
        entry.generation = kGeneration;
        entry.centroid_epoch = meta.centroids.generation;
        entry.rows = b.counts[i];
        entry.list_id = i + 1;
        entry.scan_contiguous = ScanPages(b.layout, entry.rows);
        entry.scan_first = ExtendChain(b.index, b.fork, ScanOwner(entry), entry.scan_contiguous);
        entry.scan_last = entry.scan_first + entry.scan_contiguous - 1;
        entry.refine_first = entry.refine_last = ivf::kNoPage;
        if (b.layout.refine_row_bytes > 0) {
            entry.refine_contiguous = Max(PagesFor(entry.rows * b.layout.refine_row_bytes), 1u);
            entry.refine_first =
                ExtendChain(b.index, b.fork, RefineOwner(entry), entry.refine_contiguous);
            entry.refine_last = entry.refine_first + entry.refine_contiguous - 1;
        }
        entry.radius = std::sqrt(b.radius[i]);
        entry.state = ivf::ListState::kActive;
        directory.Write(&entry, sizeof entry);
        WriteList(b, entry, slot, block, refine);
    }
    if (slot) ExecDropSingleTupleTableSlot(slot);
    LogBuild(b.index, b.fork);
}

// ---- both kinds of build ----

// The code that the options ask for, checked.
quant::Spec WishedSpec(const Build& b) {
    quant::Spec spec = {};
    spec.kind = static_cast<quant::Kind>(b.options.quantizer);
    spec.padded_dim = static_cast<std::uint32_t>(b.padded);
    spec.bits = 8;
    if (spec.kind == quant::Kind::kBq) spec.bits = static_cast<std::uint8_t>(b.options.bits);
    if (spec.kind == quant::Kind::kSq4) {
        spec.bits = 4;
        spec.levels = static_cast<quant::Levels>(b.options.levels);
    }
    if (spec.kind == quant::Kind::kPq) {
        if (b.options.pq_bits != 4 && b.options.pq_bits != 8)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("pq_bits must be 4 or 8, not %d", b.options.pq_bits)));
        if (b.options.pq_m > b.dim)
            ereport(ERROR,
                    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                     errmsg("pq_m is %d, but the column has %d dimensions", b.options.pq_m, b.dim),
                     errhint("A sub-quantizer needs at least one dimension.")));
        spec.bits = static_cast<std::uint8_t>(b.options.pq_bits);
        spec.m =
            static_cast<std::uint32_t>(b.options.pq_m > 0 ? b.options.pq_m : Max(1, b.dim / 8));
    }
    return spec;
}

void Init(Build& b, Relation heap, Relation index, IndexInfo* info, ForkNumber fork) {
    b = {};
    b.heap = heap;
    b.index = index;
    b.info = info;
    b.fork = fork;
    b.opclass = &OpclassOf(index);
    b.options = OptionsOf(index);
    b.budget = static_cast<std::size_t>(maintenance_work_mem) * 1024;
    const FormData_pg_attribute* column = TupleDescAttr(RelationGetDescr(index), 0);
    b.dim = column->atttypmod;
    // A domain has its dimensions in its definition.
    getBaseTypeAndTypmod(column->atttypid, &b.dim);
    if (b.dim < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("column does not have dimensions"),
                        errhint("Declare the column with a number of dimensions, for example "
                                "vector(768), or index an expression that has one.")));
    if (b.dim > b.opclass->max_dim)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("column cannot have more than %d dimensions for quantvec index",
                               b.opclass->max_dim)));
    b.padded = quant::PaddedDim(static_cast<std::size_t>(b.dim));
    b.layout = ivf::MakeLayout(WishedSpec(b));
    b.lists = 1;
    b.mean = static_cast<float*>(palloc0(sizeof(float) * static_cast<std::size_t>(b.dim)));
    const std::size_t sign_bytes = quant::RotationBytes(b.padded);
    b.signs = static_cast<std::uint8_t*>(palloc(sign_bytes));
    quant::FillRotation(kRotationSeed, b.padded, {b.signs, sign_bytes});
}

void AllocateLists(Build& b) {
    b.counts = static_cast<std::uint64_t*>(
        MemoryContextAllocHuge(CurrentMemoryContext, b.lists * sizeof(std::uint64_t)));
    memset(b.counts, 0, b.lists * sizeof(std::uint64_t));
    b.radius =
        static_cast<float*>(MemoryContextAllocHuge(CurrentMemoryContext, b.lists * sizeof(float)));
    memset(b.radius, 0, b.lists * sizeof(float));
}

}  // namespace

IndexBuildResult* AmBuild(Relation heap, Relation index, IndexInfo* info) {
    if (RelationGetNumberOfBlocks(index) != 0)
        elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec build", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    Build b;
    Init(b, heap, index, info, MAIN_FORKNUM);
    b.row_context = AllocSetContextCreate(context, "quantvec build row", ALLOCSET_DEFAULT_SIZES);
    b.vector = static_cast<float*>(palloc(b.padded * sizeof(float)));
    b.workspace = static_cast<float*>(palloc(b.padded * sizeof(float)));

    Train(b);
    const std::size_t row_bytes =
        sizeof(quant::RowFactors) + b.layout.scan_row_bytes + b.layout.refine_row_bytes;
    b.row = static_cast<bytea*>(palloc0(VARHDRSZ + row_bytes));
    SET_VARSIZE(b.row, VARHDRSZ + row_bytes);
    AllocateLists(b);
    const double heap_tuples = EncodeAll(b);
    WriteIndex(b);
    tuplesort_end(b.sort);

    MemoryContextSwitchTo(old);
    auto* result = static_cast<IndexBuildResult*>(palloc(sizeof(IndexBuildResult)));
    result->heap_tuples = heap_tuples;
    result->index_tuples = b.index_tuples;
    MemoryContextDelete(context);
    return result;
}

void AmBuildEmpty(Relation index) {
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec build", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    Build b;
    Init(b, nullptr, index, nullptr, INIT_FORKNUM);
    if (b.layout.spec.kind == quant::Kind::kPq)
        b.layout = ivf::MakeLayout({quant::Kind::kSq8, 8, b.layout.spec.padded_dim});
    b.centroids = static_cast<float*>(palloc0(b.padded * sizeof(float)));
    AllocateLists(b);
    WriteIndex(b);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(context);
}

const char* AmBuildPhaseName(std::int64_t phase) {
    switch (phase) {
        case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
            return "initializing";
        case kPhaseSample:
            return "sampling rows";
        case kPhaseTrain:
            return "training lists";
        case kPhaseEncode:
            return "encoding rows";
        case kPhaseSort:
            return "sorting rows by list";
        case kPhaseWrite:
            return "writing lists";
        default:
            return nullptr;
    }
}

}  // namespace quantvec::pg
