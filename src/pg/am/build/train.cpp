// The model of an index that is being built: how many lists, mean, centroids, codebooks.
//
//   1 a few pages of the table tell how many rows there are, hence how many lists to make
//   2 a sample of rows (sample.cpp) is centred, rotated, and clustered
//   3 pq: what the lists leave of the sample gets codewords (codebooks.cpp)
//
// Each participant keeps its part of the sample in its own memory. What is shared is small: a pass
// of k-means leaves sums and counts of each participant, which the leader adds up.
#include <cmath>

#include "core/kernels/kernels.h"
#include "core/quant/pq.h"
#include "pg/am/build/build.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// An index is trained again when its rows have become this many times as many: lists are then three
// times as long as they should be.
constexpr double kGrowth = 10;
// Rows for a first training without lists: a flat list learns the mean alone.
constexpr double kRowsForMean = 1000;

// Scan pages of a list, at least, where the number of lists is the default: the half-empty last
// page of each chain and the pins for short chains then cost little.
constexpr double kPagesPerList = 3;
// And there are at most 2 sqrt(rows) lists, because every query meets every centroid.
constexpr double kListsPerRootRow = 2;

// k-means: rows a list in the sample, at best. Faiss warns below 39 and takes no more than 256;
// recall gains nothing measurable beyond about 100 here.
constexpr double kSamplesPerList = 100;
// Lists in groups: passes in which samples may go to other groups' lists (twice as many gain half a
// point of recall and cost twice the training), and the samples that do so together.
constexpr int kBorderPasses = 4;
constexpr std::size_t kGroupedBatchRows = 8192;
// Samples that an index in use is trained with, at least.
constexpr double kLeastSamples = 100;
// Rows for the stored mean, which is all that a flat list needs.
constexpr double kSamplesForMean = 10000;

// A team: pages of the table and bytes of maintenance_work_mem for each participant, and how much
// of the sample may be given up for the sums of more participants.
constexpr BlockNumber kPagesPerParticipant = 32;
constexpr std::size_t kBudgetPerParticipant = 8 * 1024 * 1024;
constexpr double kSampleKept = 0.75;

// ---- how many lists ----

std::size_t DefaultLists(const Build& b, double rows) {
    if (rows < kFlatRows) return 1;
    const double bytes =
        static_cast<double>(b.layout.head_bytes + b.layout.code_bytes) / ivf::kBlockRows;
    const double by_size = rows * bytes / (kPagesPerList * ivf::kPayloadBytes);
    const double by_count = kListsPerRootRow * std::sqrt(rows);
    return static_cast<std::size_t>(
        std::fmax(1, std::fmin(kMaxLists, std::fmin(by_size, by_count))));
}

// Memory of training in bytes: what the team shares, the samples, what each needs to find the
// nearest lists of a batch, and the workers themselves.
double TrainingBytes(Build& b, int team, double samples, double lists) {
    const auto n = static_cast<std::size_t>(team);
    const auto fixed = static_cast<double>(MapMemory(b, n, 0, nullptr));
    const auto thousand = static_cast<double>(MapMemory(b, n, 1000, nullptr));
    // Vector, key and the list it is in; or its place in the heap of keys.
    const auto row = static_cast<double>(b.padded * sizeof(float) + sizeof(std::uint64_t) +
                                         sizeof(std::uint32_t));
    const auto tile = static_cast<double>(ivf::TileFloats(b.padded) * sizeof(float));
    // The leader finds the basis in a matrix of its own.
    const auto matrix =
        static_cast<double>(LearnsBasis(b) ? b.padded * b.padded * sizeof(float) : 0);
    return samples * row + lists * (thousand - fixed) / 1000 + fixed + matrix + team * tile +
           static_cast<double>((n - 1) * kWorkerBytes);
}

// What the backend needs besides: row buffers and slack of the allocator.
double TrainingBudget(const Build& b) {
    return static_cast<double>(b.budget) * 0.9;
}

// How many of `wanted` samples there is memory for.
double SamplesWithin(Build& b, int team, double lists, double wanted) {
    const double fixed = TrainingBytes(b, team, 0, lists);
    const double row = TrainingBytes(b, team, 1, lists) - fixed;
    return Max(1.0, Min(wanted, (TrainingBudget(b) - fixed) / row));
}

double SamplesWanted(const Build& b, double rows, double lists) {
    double wanted = Max(kSamplesForMean, kSamplesPerList * lists);
    if (b.layout.spec.kind == quant::Kind::kPq)
        wanted = Max(wanted, static_cast<double>(kSamplesPerWord * quant::PqWords(b.layout.spec)));
    return Min(wanted, rows);
}

// ---- lists ----

// k-means of one part, of `centroids` and this participant's sums.
ivf::KMeans MeansOf(const Build& b, const Sample& sample, const SamplePart& part, float* centroids,
                    std::uint32_t* assignment) {
    const auto me = static_cast<std::size_t>(b.team.me);
    const std::size_t mine = me * b.lists + part.first_list;
    ivf::KMeans km = {};
    km.samples = {sample.rows + part.begin * b.padded, part.end - part.begin, b.padded};
    km.lists = part.lists;
    km.centroids = centroids + part.first_list * b.padded;
    km.sums = b.sums + mine * b.padded;
    km.counts = b.sum_counts + mine;
    km.assignment = assignment + part.begin;
    return km;
}

// The leader: everybody's sums become centroids.
void MoveCentroids(const Build& b, ivf::KMeans& km) {
    for (std::size_t i = 1; i < static_cast<std::size_t>(b.team.size); i++)
        for (std::size_t c = 0; c < km.lists; c++) {
            if (c % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
            km.counts[c] += km.counts[i * b.lists + c];
            const float* other = km.sums + (i * b.lists + c) * b.padded;
            for (std::size_t j = 0; j < b.padded; j++) km.sums[c * b.padded + j] += other[j];
        }
    ivf::Update(km);
}

// Every part's first centroids: the samples with the smallest keys.
void SeedParts(Build& b, const Sample& sample, const SamplePart* parts, std::size_t count,
               float* centroids, std::uint32_t* assignment) {
    auto* limits = NewArray<std::uint64_t>(count);
    FindKeyLimits(b, sample, parts, count, limits);
    // A row that the table shows twice, as two versions, leaves a list without a sample: at the
    // mean.
    for (std::size_t p = 0; p < count && Leads(b); p++)
        memset(centroids + parts[p].first_list * b.padded, 0,
               parts[p].lists * b.padded * sizeof(float));
    std::uint64_t* mine = b.part_rows + static_cast<std::size_t>(b.team.me) * count;
    for (std::size_t p = 0; p < count; p++) {
        CHECK_FOR_INTERRUPTS();
        mine[p] = 0;
        for (std::size_t i = parts[p].begin; i < parts[p].end; i++)
            mine[p] += sample.keys[i] < limits[p];
    }
    Meet(b.team);
    for (std::size_t p = 0; p < count; p++) {
        CHECK_FOR_INTERRUPTS();
        ivf::KMeans km = MeansOf(b, sample, parts[p], centroids, assignment);
        std::size_t before = 0;
        for (std::size_t i = 0; i < static_cast<std::size_t>(b.team.me); i++)
            before += b.part_rows[i * count + p];
        km.centroids += before * b.padded;
        km.lists -= before;
        ivf::Seed(km, sample.keys + parts[p].begin, limits[p]);
    }
    pfree(limits);
}

// The samples of one k-means to their nearest centroids; returns how many went elsewhere. `whole`:
// the centroids are those of the index.
std::uint64_t TakeSamples(const Build& b, ivf::KMeans& km, bool whole, std::size_t rows_at_once,
                          ivf::NearestBatch& batch) {
    std::uint64_t changed = 0;
    for (std::size_t begin = 0; begin < km.samples.rows; begin += rows_at_once) {
        SetRows(batch, km.samples.row(begin), Min(km.samples.rows - begin, rows_at_once));
        if (whole)
            FindLists(b, batch);
        else
            FindNearest(b, km.centroids, km.lists, batch);
        for (std::size_t i = 0; i < batch.size; i++) {
            if (i % kBatchRows == 0) CHECK_FOR_INTERRUPTS();
            changed += ivf::Take(km, begin + i, batch.list[i]);
        }
    }
    return changed;
}

// Passes over all parts: a sample meets the centroids of its part only. With `all`, passes over
// that one part, which has the whole sample and all lists; its centroids still move part by part.
// Leaves in `assignment` the list of each sample as of the last pass, counted within its part.
void RunPasses(Build& b, const Sample& sample, const SamplePart* parts, std::size_t count,
               const SamplePart* all, int passes, float* centroids, std::uint32_t* assignment) {
    const int me = b.team.me;
    const std::size_t rows_at_once = all ? kGroupedBatchRows : kBatchRows;
    ivf::NearestBatch batch = AllocateBatch(b, rows_at_once);
    const auto means_of = [&](const SamplePart& part) {
        return MeansOf(b, sample, part, centroids, assignment);
    };
    for (std::size_t i = 0; i < sample.size; i++) assignment[i] = ivf::kUnassigned;
    Meet(b.team);  // all know that the passes before are over
    if (Leads(b)) b.decided->last_pass = false;
    for (int pass = 0;; pass++) {
        Meet(b.team);
        if (b.decided->last_pass) break;
        b.changed[me] = 0;
        for (std::size_t p = 0; p < (all ? 1 : count); p++) {
            ivf::KMeans km = means_of(all ? *all : parts[p]);
            ivf::ClearSums(km);
            b.changed[me] += TakeSamples(b, km, all, rows_at_once, batch);
        }
        Meet(b.team);
        if (!Leads(b)) continue;
        std::uint64_t changed = 0;
        for (int i = 0; i < b.team.size; i++) changed += b.changed[i];
        for (std::size_t p = 0; p < count; p++) {
            CHECK_FOR_INTERRUPTS();
            ivf::KMeans km = means_of(parts[p]);
            MoveCentroids(b, km);
        }
        b.decided->last_pass = changed * 200 < b.decided->sampled || pass + 1 == passes;
    }
    FreeBatch(batch);
}

// Brings the rows of the sample into the order of their groups, and begin[g] to where those of
// group g begin. `group` [size] is used up.
void SortByGroup(Build& b, Sample& sample, std::uint32_t* group, std::size_t groups,
                 std::size_t* begin) {
    for (std::size_t g = 0; g <= groups; g++) begin[g] = 0;
    for (std::size_t i = 0; i < sample.size; i++) begin[group[i] + 1]++;
    for (std::size_t g = 0; g < groups; g++) begin[g + 1] += begin[g];
    auto* next = NewArray<std::size_t>(groups);
    memcpy(next, begin, groups * sizeof(std::size_t));
    for (std::size_t i = 0; i < sample.size; i++)
        group[i] = static_cast<std::uint32_t>(next[group[i]]++);
    pfree(next);
    // Now it says where each row goes. Every swap brings one there.
    for (std::size_t i = 0; i < sample.size; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        while (group[i] != i) {
            const std::size_t to = group[i];
            float *x = sample.rows + i * b.padded, *y = sample.rows + to * b.padded;
            memcpy(b.workspace, x, b.padded * sizeof(float));
            memcpy(x, y, b.padded * sizeof(float));
            memcpy(y, b.workspace, b.padded * sizeof(float));
            const std::uint64_t key = sample.keys[i];
            sample.keys[i] = sample.keys[to];
            sample.keys[to] = key;
            group[i] = group[to];
            group[to] = static_cast<std::uint32_t>(to);
        }
    }
}

// The leader: lists are given to the groups in proportion to their samples; at least one to each
// that has any, and never more than it has.
void ShareLists(Build& b, std::size_t groups) {
    auto* rows = NewZeroedArray<std::uint64_t>(groups);
    auto* lists = NewArray<std::uint64_t>(groups);
    std::uint64_t given = 0;
    for (std::size_t g = 0; g < groups; g++) {
        for (int i = 0; i < b.team.size; i++)
            rows[g] += b.part_rows[static_cast<std::size_t>(i) * groups + g];
        lists[g] = b.lists * rows[g] / b.decided->sampled;
        if (rows[g] > 0 && lists[g] == 0) lists[g] = 1;
        given += lists[g];
    }
    // The few that rounding leaves over go where lists are longest, and come from where there are
    // most.
    while (given != b.lists) {
        const bool give = given < b.lists;
        std::size_t best = groups;
        for (std::size_t g = 0; g < groups; g++) {
            if (give ? lists[g] >= rows[g] : lists[g] < 2) continue;
            if (best == groups ||
                (give ? rows[g] * lists[best] > rows[best] * lists[g] : lists[g] > lists[best]))
                best = g;
        }
        lists[best] += give ? 1 : -1;
        given += give ? 1 : -1;
    }
    for (std::size_t g = 0; g < groups; g++)
        b.group_lists[g + 1] = b.group_lists[g] + static_cast<std::uint32_t>(lists[g]);
    pfree(rows);
    pfree(lists);
}

// Many lists: the sample is divided into groups first, then each group into lists. At the end
// samples may go to lists of other groups as well, which mends the groups' borders.
void TrainGroups(Build& b, Sample& sample, std::size_t groups, std::uint32_t* assignment) {
    const SamplePart top = {0, sample.size, 0, groups};
    SeedParts(b, sample, &top, 1, b.group_centroids, assignment);
    RunPasses(b, sample, &top, 1, nullptr, kPasses, b.group_centroids, assignment);

    auto* begin = NewArray<std::size_t>(groups + 1);
    SortByGroup(b, sample, assignment, groups, begin);
    std::uint64_t* mine = b.part_rows + static_cast<std::size_t>(b.team.me) * groups;
    for (std::size_t g = 0; g < groups; g++) mine[g] = begin[g + 1] - begin[g];
    Meet(b.team);
    if (Leads(b)) {
        ShareLists(b, groups);
        b.decided->groups = groups;
    }
    Meet(b.team);
    auto* parts = NewArray<SamplePart>(groups);
    for (std::size_t g = 0; g < groups; g++)
        parts[g] = {begin[g], begin[g + 1], b.group_lists[g],
                    b.group_lists[g + 1] - b.group_lists[g]};
    SeedParts(b, sample, parts, groups, b.centroids, assignment);
    RunPasses(b, sample, parts, groups, nullptr, kPasses, b.centroids, assignment);
    const SamplePart whole = {0, sample.size, 0, b.lists};
    RunPasses(b, sample, parts, groups, &whole, kBorderPasses, b.centroids, assignment);
    pfree(parts);
    pfree(begin);
}

void TrainLists(Build& b, Sample& sample) {
    auto* assignment = NewArray<std::uint32_t>(sample.size + 1);
    const std::size_t groups = GroupsFor(b.lists);
    if (groups > 0) {
        TrainGroups(b, sample, groups, assignment);
    } else {
        const SamplePart whole = {0, sample.size, 0, b.lists};
        SeedParts(b, sample, &whole, 1, b.centroids, assignment);
        RunPasses(b, sample, &whole, 1, nullptr, kPasses, b.centroids, assignment);
    }
    pfree(assignment);
    PackLists(b);
}

}  // namespace

Decisions PlanTraining(Build& b) {
    Decisions d = {};
    if (b.rows) {
        d.rows_estimated = static_cast<double>(b.rows->count);
    } else {
        d.blocks = RelationGetNumberOfBlocks(b.heap);
        d.rows_estimated = EstimateRows(b);
    }
    const double rows = std::ceil(d.rows_estimated);
    d.lists =
        b.options.lists > 0
            ? static_cast<std::size_t>(Max(1.0, Min(static_cast<double>(b.options.lists), rows)))
            : DefaultLists(b, d.rows_estimated);
    d.lists_wished = d.lists;
    if (b.options.lists > 0 && !b.rows) {
        const auto lists = static_cast<double>(d.lists);
        const double need = TrainingBytes(b, 1, lists, lists);
        if (d.lists > 1 && need > TrainingBudget(b))
            ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                            errmsg("memory required is %.0f MB, maintenance_work_mem is %d MB",
                                   std::ceil(need / 0.9 / 1048576), maintenance_work_mem / 1024),
                            errhint("Raise maintenance_work_mem, or make fewer than %d lists.",
                                    b.options.lists)));
    } else {
        // Fewer lists rather than lists trained on a handful of rows each, and rather than a VACUUM
        // that fails.
        const double fixed = TrainingBytes(b, 1, 0, 0);
        const double list = TrainingBytes(b, 1, kLeastSamplesPerList, 1) - fixed;
        const double most = (TrainingBudget(b) - fixed) / list;
        if (static_cast<double>(d.lists) > most) d.lists = static_cast<std::size_t>(Max(1.0, most));
    }
    const auto lists = static_cast<double>(d.lists);
    const double samples = SamplesWithin(b, 1, lists, SamplesWanted(b, rows, lists));
    d.sample_rows = static_cast<std::size_t>(samples);
    return d;
}

double MegabytesFor(Build& b, const Decisions& d) {
    const auto lists = static_cast<double>(d.lists_wished);
    const double samples = Min(d.rows_estimated, Max(kLeastSamples, lists * kLeastSamplesPerList));
    return std::ceil(TrainingBytes(b, 1, samples, lists) / 0.9 / 1048576);
}

bool IsWorthIt(const Decisions& d) {
    const double samples = Min(
        d.rows_estimated, Max(kLeastSamples, static_cast<double>(d.lists) * kLeastSamplesPerList));
    return 2 * d.lists >= d.lists_wished && static_cast<double>(d.sample_rows) + 1 >= samples;
}

int AffordableWorkers(Build& b, Decisions& d) {
    // A participant without a page has no sample. Nor does a small table need help.
    const BlockNumber most = d.blocks / kPagesPerParticipant;
    if (most < 2) return 0;
    int workers = PlannedBuildWorkers(b.heap, b.index, b.info);
    workers = Min(workers, static_cast<int>(Min(most, BlockNumber{1024})) - 1);
    // pq: one of them seeds the codewords.
    if (b.layout.spec.kind == quant::Kind::kPq)
        workers = Min(workers, static_cast<int>(kLeastSamplesPerWord) - 1);
    const auto lists = static_cast<double>(d.lists);
    const auto alone = static_cast<double>(d.sample_rows);
    for (; workers > 0; workers--) {
        const int team = workers + 1;
        if (b.budget / static_cast<std::size_t>(team) < kBudgetPerParticipant) continue;
        // Sums for each may cost some of the sample, but not its use.
        const double samples = SamplesWithin(b, team, lists, alone);
        if (samples < kSampleKept * alone) continue;
        d.sample_rows = static_cast<std::size_t>(samples);
        break;
    }
    return workers;
}

void Train(Build& b) {
    Sample sample = {};
    TakeSample(b, sample);
    const bool pq = b.layout.spec.kind == quant::Kind::kPq;
    if (b.lists > 1 || pq) {
        Phase(b, kPhaseTrain);
        RotateSample(b, sample);
        if (b.lists > 1) TrainLists(b, sample);
        if (pq) TrainCodebooks(b, sample);
    }
    if (sample.rows) {
        pfree(sample.rows);
        pfree(sample.keys);
    }
}

double TrainingDueAt(Relation index, const MetaPage& meta) {
    const IndexOptions options = OptionsOf(index);
    if (!meta.trained)
        return options.lists > 0 ? Max(kRowsForMean, kLeastSamplesPerList * options.lists)
                                 : kFlatRows;
    const auto rows = Max(static_cast<double>(meta.rows_trained), 1.0);
    // Lists were trained, but there were too few rows for codewords.
    const double for_words = static_cast<double>(kLeastSamplesPerWord << options.pq_bits);
    if (static_cast<quant::Kind>(options.quantizer) == quant::Kind::kPq &&
        meta.quantizer != quant::Kind::kPq && rows < for_words)
        return for_words;
    return kGrowth * rows;
}

}  // namespace quantvec::pg
