// What the files of the build share: build.cpp tells the story, sample.cpp takes the rows to learn
// from, train.cpp makes the model, assign.cpp finds a row's list, encode.cpp sorts encoded
// rows by list, write.cpp writes pages.
//
// Sampling, training and encoding are done by a team (team.h): every participant has a Build of its
// own and runs the same steps on its own rows. What they share lies in the team's memory.
#pragma once

#include "core/ivf/block.h"
#include "core/ivf/kmeans.h"
#include "pg/am/build/team.h"
#include "pg/am/options.h"
#include "pg/am/storage/model.h"
#include "pg/am/table/row_source.h"

namespace quantvec::pg {

// Rows that look for their nearest centroid together. With fewer, the making of the tiles of
// centroids shows: one in 512 * 768 / 16 multiplications of a tile is 4 %.
inline constexpr std::size_t kBatchRows = 512;
// Rows between two looks at the interrupt flag.
inline constexpr std::size_t kInterruptRows = 32;

// Private memory of a worker before it does anything: caches of the catalogs, data of libraries.
// Measured: 4 to 5 MB.
inline constexpr std::size_t kWorkerBytes = 5 * 1024 * 1024;

// Values of pg_stat_progress_create_index's phase; 1 is the server's "initializing".
enum BuildPhase : std::int64_t {
    kPhaseSample = 2,
    kPhaseTrain,
    kPhaseEncode,
    kPhaseSort,
    kPhaseWrite,
};

// What the leader decides, written by it alone before a meeting.
struct Decisions {
    // Before the team starts.
    double rows_estimated;
    std::size_t lists;         // at most
    std::size_t lists_wished;  // as many as options or rows ask for
    std::size_t sample_rows;   // in all
    BlockNumber blocks;        // of the table; 0: rows come from elsewhere
    // From the sample.
    std::size_t sampled;
    std::size_t lists_trained;  // as many as the index gets
    bool trained;
    std::size_t groups;  // of lists; 0: every row meets every centroid
    bool last_pass;      // of k-means
    bool has_basis;      // pq: one was learned
};

struct Build {
    Relation heap;
    Relation index;
    IndexInfo* info;
    ForkNumber fork;
    const OpclassInfo* opclass;
    IndexOptions options;
    std::size_t budget;  // maintenance_work_mem in bytes, for the whole team
    int dim;
    std::size_t padded;
    ivf::BlockLayout layout;
    Model model;  // what Transform needs of it

    // An index in use is trained anew (care/retrain.h): rows come from where its entries point.
    bool in_place;
    RowSource* rows;              // nullptr: the whole table
    std::uint64_t generation;     // of everything that is written
    std::uint32_t first_list_id;  // the others follow

    Team team;
    std::size_t lists;
    bool trained;

    // In the team's memory. [team]: one for each participant.
    Decisions* decided;
    float* mean;                   // [dim]
    float* centroids;              // [lists, padded]
    float* group_centroids;        // [groups, padded]
    std::uint32_t* group_lists;    // [groups + 1] the first list of each
    float* books;                  // pq: codebooks [padded * words]; nullptr: another code
    float* norms;                  // pq: [m * words]
    float* basis;                  // pq: [padded, padded], if there is room (LearnsBasis)
    std::uint64_t* sample_limits;  // [team] keys below which everybody has all rows
    std::uint64_t* sampled;        // [team] rows
    double* mean_sums;             // [team, dim]
    std::uint64_t* changed;        // [team] samples that changed their list in this pass
    std::uint64_t* part_rows;      // [team, max(groups, 1)] samples in each group
    float* sums;                   // [team, lists, padded] of k-means; afterwards:
    float* tiles;                  // all lists' tiles (PackLists)
    std::uint32_t* sum_counts;     // [team, lists]
    float* book_sums;              // [team, padded * words]
    std::uint32_t* book_counts;    // [team, m * words]
    float* spreads;                // [team] of the codebooks' errors
    double* heap_tuples;           // [team]
    double* index_tuples;          // [team]
    std::uint64_t* list_rows;      // [team, lists]; in the end the first has all
    double* distances;             // [team, lists] sums of squares; in the end the first has all
    bool* broken_hot_chain;        // [team]

    Tuplesortstate* sort;
    TupleDesc sort_desc;

    MemoryContext row_context;
    float* workspace;  // [padded]
    float* tile;       // [TileFloats(padded)]
    bool packed;       // b.tiles are there
};

inline bool Leads(const Build& b) {
    return b.team.me == 0;
}
// For the progress view.
inline void Phase(const Build& b, int phase) {
    if (Leads(b)) pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

// ---- build.cpp ----

// `dim`: an index in use has its own, which ALTER TABLE may have taken from the column. `budget`:
// bytes for everything.
void InitBuild(Build& b, Relation heap, Relation index, IndexInfo* info, int dim, ForkNumber fork,
               std::size_t budget);
// Memory of each participant's own, for its steps.
void AllocateOwn(Build& b, MemoryContext context);
// After the team has started.
void ShareMemory(Build& b, std::size_t lists);

// Bytes of the team's memory for `team` participants and `lists` lists. With `base`, also sets
// where all of it lies.
std::size_t MapMemory(Build& b, std::size_t team, std::size_t lists, std::uint8_t* base);

// ---- assign.cpp ----

// Groups for this many lists; 0: the lists are in no groups.
std::size_t GroupsFor(std::size_t lists);
// All participants together: b.tiles from the finished centroids.
void PackLists(Build& b);
// For up to `rows` rows at a time.
ivf::NearestBatch AllocateBatch(const Build& b, std::size_t rows);
void FreeBatch(ivf::NearestBatch& batch);
// The batch is n rows [n, padded].
void SetRows(ivf::NearestBatch& batch, const float* rows, std::size_t n);
// The nearest of these centroids [lists, padded] for each row of the batch ..
void FindNearest(const Build& b, const float* centroids, std::size_t lists,
                 ivf::NearestBatch& batch);
// .. or of the index's. With groups: the nearest in the groups around it.
void FindLists(const Build& b, ivf::NearestBatch& batch);

// ---- sample.cpp ----

// A participant's sample.
struct Sample {
    float* rows;          // [capacity, padded], raw at first
    std::uint64_t* keys;  // [capacity]
    std::size_t capacity;
    std::size_t size;
};
// Rows of it that meet some of the centroids only.
struct SamplePart {
    std::size_t begin;
    std::size_t end;
    std::size_t first_list;
    std::size_t lists;
};
// Rows of the table that have a vector, from a few of its pages.
double EstimateRows(Build& b);
// Takes everybody's part; the leader decides what it is good for.
void TakeSample(Build& b, Sample& sample);
// Centres and rotates it.
void RotateSample(Build& b, Sample& sample);
// Gives up rows with other keys.
void KeepBelow(const Build& b, Sample& sample, std::uint64_t limit);
// Keys below which parts have as many rows as they want lists, the samples of the team taken
// together.
void FindKeyLimits(Build& b, const Sample& sample, const SamplePart* parts, std::size_t count,
                   std::uint64_t* limits);

// ---- train.cpp ----

// Below this many rows one flat list is scanned whole: at 768 dimensions 5,000 one-bit codes are 70
// pages and about 40 us, less than choosing lists and losing recall would save.
inline constexpr double kFlatRows = 5000;
// k-means: rows a list in the sample, at least.
inline constexpr double kLeastSamplesPerList = 8;
// Passes of k-means over the sample.
inline constexpr int kPasses = 8;
// The leader's plan, before there is a team: how many lists and samples, within the budget.
Decisions PlanTraining(Build& b);
// Of a plan for an index in use: does the memory suffice for something like what is wished for? If
// not, how much would?
bool IsWorthIt(const Decisions& plan);
double MegabytesFor(Build& b, const Decisions& plan);
// Workers that the planner grants and the budget allows, perhaps with a smaller sample.
int AffordableWorkers(Build& b, Decisions& plan);
void Train(Build& b);
// The number of live rows from which on it is time for the first training, or for the next.
double TrainingDueAt(Relation index, const MetaPage& meta);

// ---- codebooks.cpp ----

// Rows a codeword in the sample, at best and at least. With fewer the index keeps sq8 codes.
inline constexpr std::size_t kSamplesPerWord = 100;
inline constexpr std::size_t kLeastSamplesPerWord = 8;
// Whether pq's basis is learned: twice its size takes no more than a quarter of the memory.
bool LearnsBasis(const Build& b);
// pq: each sub-space of the residuals gets its codewords. With too few rows the index falls back to
// codes that need no training.
void TrainCodebooks(Build& b, Sample& sample);

// ---- encode.cpp ----

// Scans this participant's part of the table. Afterwards the leader's b.sort gives all rows.
void EncodeRows(Build& b);
// Layout of a row in the sort: factors, scan code, refine row.
quant::EncodedRow RowAt(const ivf::BlockLayout& layout, std::uint8_t* bytes);

// ---- write.cpp ----

// Writes everything but the metapage, which is returned.
MetaPage WriteParts(Build& b);
void WriteIndex(Build& b);

}  // namespace quantvec::pg
