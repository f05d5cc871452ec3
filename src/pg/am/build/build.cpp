// ambuild and ambuildempty: sample -> train -> encode and sort -> write.
//
//   1 the leader plans: how many lists, how large a sample, how many workers          (train.cpp)
//   2 a sample of rows is centred, rotated, and clustered                 (sample.cpp, train.cpp)
//   3 every row finds its list and is encoded; rows are sorted by list               (encode.cpp)
//   4 the leader writes pages in their order, and logs all of it once                 (write.cpp)
//
// How a row finds its list is in assign.cpp. Steps 2 and 3 are done by a team (team.h): leader and
// workers run the same code on their parts of the table. A serial build is a team of one.
//
// Memory: what the team shares, all samples together, and after them all sorts together, stay
// within maintenance_work_mem.
#include "pg/am/build/build.h"

#include "core/quant/pq.h"
#include "core/quant/rotation.h"
#include "pg/am/am.h"
#include "pg/error.h"
#include "pg/memory.h"

extern "C" QV_EXPORT void quantvec_build_worker(dsm_segment* segment, shm_toc* toc);

namespace quantvec::pg {

namespace {

constexpr std::uint64_t kRotationSeed = 0x5eedc0de;

MemoryContext BuildContext() {
    return AllocSetContextCreate(CurrentMemoryContext, "quantvec build", ALLOCSET_DEFAULT_SIZES);
}

// Dimensions of a new index.
int DimToBuild(Relation index) {
    CheckBuildable(index);
    CheckOptionsFor(OptionsOf(index), OpclassOf(index).element);
    const int dim = DeclaredDim(index);
    if (dim < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("column does not have dimensions"),
                        errhint("Declare the column with a number of dimensions, for example "
                                "%s(768), or index an expression that has one.",
                                OpclassOf(index).type)));
    return dim;
}

std::size_t BuildBudget() {
    return static_cast<std::size_t>(maintenance_work_mem) * 1024;
}

}  // namespace

void InitBuild(Build& b, Relation heap, Relation index, IndexInfo* info, int dim, ForkNumber fork,
               std::size_t budget) {
    b = {};
    b.heap = heap;
    b.index = index;
    b.info = info;
    b.fork = fork;
    b.opclass = &OpclassOf(index);
    b.options = OptionsOf(index);
    b.budget = budget;
    b.generation = 1;
    b.first_list_id = 1;
    b.dim = dim;
    if (b.dim > b.opclass->max_dim)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("column cannot have more than %d dimensions for quantvec index",
                               b.opclass->max_dim)));
    b.padded = quant::PaddedDim(static_cast<std::size_t>(b.dim));
    if (b.options.quantizer == static_cast<int>(quant::Kind::kPq) && b.options.pq_m > b.dim)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("pq_m is %d, but the column has %d dimensions", b.options.pq_m, b.dim),
                 errhint("A sub-quantizer needs at least one dimension.")));
    b.layout = ivf::MakeLayout(
        SpecOf(b.options, b.opclass->element, b.opclass->metric, static_cast<std::size_t>(b.dim)));
    b.lists = 1;
    const ByteSpan signs = NewSpan<std::uint8_t>(quant::RotationBytes(b.padded));
    quant::FillRotation(kRotationSeed, b.padded, signs);
    b.model.meta.rotation_seed = kRotationSeed;
    b.model.meta.dim = static_cast<std::uint32_t>(b.dim);
    b.model.meta.metric = b.opclass->metric;
    b.model.signs = b.layout.spec.signs = signs.data();
}

void AllocateOwn(Build& b, MemoryContext context) {
    b.row_context = AllocSetContextCreate(context, "quantvec build row", ALLOCSET_DEFAULT_SIZES);
    b.workspace = NewArray<float>(b.padded);
    b.tile = NewArray<float>(ivf::TileFloats(b.padded));
}

void ShareMemory(Build& b, std::size_t lists) {
    MapMemory(b, static_cast<std::size_t>(b.team.slots), lists, b.team.memory);
    b.model.mean = b.layout.spec.mean = b.mean;
}

std::size_t MapMemory(Build& b, std::size_t team, std::size_t lists, std::uint8_t* base) {
    const auto dim = static_cast<std::size_t>(b.dim);
    std::size_t at = 0;
    const auto place = [&]<class T>(T*& member, std::size_t count) {
        if (base) member = reinterpret_cast<T*>(base + at);
        at += MAXALIGN(count * sizeof(T));
    };
    place(b.decided, 1);  // first: a worker reads there how many lists are planned
    place(b.mean, dim);
    place(b.centroids, lists * b.padded);
    place(b.sample_limits, team);
    place(b.sampled, team);
    place(b.mean_sums, team * dim);
    place(b.changed, team);
    const std::size_t groups = GroupsFor(lists), parts = Max(groups, std::size_t{1});
    place(b.group_centroids, groups * b.padded);
    place(b.group_lists, groups + 1);
    place(b.part_rows, team * parts);
    // The tiles take the place of the first sums, and of a bit more.
    if (base) b.tiles = reinterpret_cast<float*>(base + at);
    const std::size_t tiles = (lists + ivf::kTileLists - 1) / ivf::kTileLists;
    place(b.sums, Max(team * lists * b.padded, tiles * ivf::TileFloats(b.padded)));
    place(b.sum_counts, team * lists);
    if (b.layout.spec.kind == quant::Kind::kPq) {
        const std::size_t words = quant::PqWords(b.layout.spec), m = b.layout.spec.m;
        place(b.books, b.padded * words);
        place(b.norms, m * words);
        place(b.basis, LearnsBasis(b) ? b.padded * b.padded : 0);
        place(b.book_sums, team * b.padded * words);
        place(b.book_counts, team * m * words);
        place(b.spreads, team);
    }
    place(b.heap_tuples, team);
    place(b.index_tuples, team);
    place(b.list_rows, team * lists);
    place(b.distances, team * lists);
    place(b.broken_hot_chain, team);
    return at;
}

IndexBuildResult* AmBuild(Relation heap, Relation index, IndexInfo* info) {
    if (RelationGetNumberOfBlocks(index) != 0)
        elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
    MemoryContext context = BuildContext();
    const MemoryScope scope(context);
    Build b;
    InitBuild(b, heap, index, info, DimToBuild(index), MAIN_FORKNUM, BuildBudget());
    AllocateOwn(b, context);

    Phase(b, kPhaseSample);
    Decisions plan = PlanTraining(b);
    const int workers = AffordableWorkers(b, plan);
    StartTeam(b.team, heap, index, info->ii_Concurrent, workers,
              MapMemory(b, static_cast<std::size_t>(workers) + 1, plan.lists, nullptr));
    ShareMemory(b, plan.lists);
    *b.decided = plan;
    Go(b.team);
    Train(b);
    EncodeRows(b);
    WriteIndex(b);
    tuplesort_end(b.sort);

    scope.Leave();
    auto* result = New<IndexBuildResult>();
    result->heap_tuples = b.heap_tuples[0];
    result->index_tuples = b.index_tuples[0];
    EndTeam(b.team);
    MemoryContextDelete(context);
    return result;
}

void AmBuildEmpty(Relation index) {
    MemoryContext context = BuildContext();
    const MemoryScope scope(context);
    Build b;
    InitBuild(b, nullptr, index, nullptr, DimToBuild(index), INIT_FORKNUM, BuildBudget());
    if (b.layout.spec.kind == quant::Kind::kPq)
        b.layout = ivf::MakeLayout({quant::Kind::kSq8, 8, b.layout.spec.padded_dim});
    StartTeam(b.team, nullptr, index, false, 0, MapMemory(b, 1, 1, nullptr));
    ShareMemory(b, 1);
    WriteIndex(b);
    EndTeam(b.team);
    scope.Leave();
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

extern "C" void quantvec_build_worker(dsm_segment* segment, shm_toc* toc) {
    using namespace quantvec::pg;
    MemoryContext context = BuildContext();
    const MemoryScope scope(context);
    Team team;
    const Membership member = JoinTeam(team, segment, toc);
    Build b;
    IndexInfo* info = BuildIndexInfo(member.index);
    info->ii_Concurrent = member.concurrent;
    InitBuild(b, member.heap, member.index, info, DimToBuild(member.index), MAIN_FORKNUM,
              BuildBudget());
    AllocateOwn(b, context);
    b.team = team;
    ShareMemory(b, reinterpret_cast<const Decisions*>(team.memory)->lists);
    Train(b);
    EncodeRows(b);
    LeaveTeam(b.team, member, toc);
    scope.Leave();
    MemoryContextDelete(context);
}
