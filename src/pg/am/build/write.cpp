// Writing the index: model, centroids and directory, then each list's chains, in page order. What a
// build writes goes to WAL once, at the end; what is written beside an index in use, page by page.
#include <cmath>

#include "core/ivf/block_walk.h"
#include "core/quant/pq.h"
#include "pg/am/build/build.h"
#include "pg/am/list/write.h"
#include "pg/am/storage/centroid_codes.h"
#include "pg/am/storage/chain_writer.h"
#include "pg/am/table/row_pointer.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Pages of a list that are laid out in one go while others may want to extend the index too.
constexpr std::uint32_t kLongestRun = 64;

NewPages Target(const Build& b) {
    return {b.index, b.fork, b.in_place};
}

// A part of the index in a run of pages.
struct Part {
    PartPointer pointer;
    ivf::PageKind kind;
};
Part LayOut(const Build& b, ivf::PageKind kind, std::uint64_t bytes) {
    const std::uint32_t pages = Max(ivf::PagesFor(bytes), 1u);
    return {{b.generation, ExtendRun(Target(b), pages), pages}, kind};
}
ChainWriter WriterOf(const Build& b, const Part& part) {
    return ChainWriter(Target(b), {part.kind, 0, part.pointer.generation}, part.pointer.first,
                       part.pointer.pages);
}
PartPointer WritePart(const Build& b, ivf::PageKind kind, const void* bytes, std::size_t size) {
    const Part part = LayOut(b, kind, size);
    ChainWriter writer = WriterOf(b, part);
    writer.Write(bytes, size);
    writer.Close();
    return part.pointer;
}

// Writes the rows of one list, which come next from the sort.
void WriteList(Build& b, ivf::ListEntry& entry, TupleTableSlot* slot, const BlockRoom& room,
               std::int64_t* done) {
    const auto chain = [&b](const PageOwner& owner, std::uint32_t pages) {
        // Beside an index in use others wait for the run; one page after the other does for them.
        const NewPages to = Target(b);
        return b.in_place && pages > kLongestRun
                   ? ChainWriter(to, owner, pages)
                   : ChainWriter(to, owner, ExtendRun(to, pages), pages);
    };
    ChainWriter scan = chain(ScanOwner(entry), ivf::ScanPagesFor(b.layout, entry.rows));
    ChainWriter* refine = nullptr;
    if (b.layout.refine_row_bytes > 0)
        refine =
            New<ChainWriter>(chain(RefineOwner(entry), ivf::RefinePagesFor(b.layout, entry.rows)));
    ListWriter list(b.layout, entry, room, &scan, refine);
    for (std::uint64_t left = entry.rows; left > 0; left--) {
        if (left % ivf::kBlockRows == 0) CHECK_FOR_INTERRUPTS();
        if (!tuplesort_gettupleslot(b.sort, true, false, slot, nullptr))
            elog(ERROR, "quantvec: the sort lost rows");
        slot_getallattrs(slot);
        const auto pointer = static_cast<std::uint64_t>(DatumGetInt64(slot->tts_values[1]));
        auto* bytes =
            reinterpret_cast<std::uint8_t*>(VARDATA_ANY(DatumGetPointer(slot->tts_values[2])));
        quant::EncodedRow row = RowAt(b.layout, bytes);
        memcpy(&row.factors, bytes, sizeof row.factors);
        list.Add(PointerOf(pointer), row);
        if (++*done % static_cast<std::int64_t>(ivf::kBlockRows) == 0)
            pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, *done);
    }
    list.Close(entry);
    if (refine) pfree(refine);
}

// Root mean square distance of a list's rows from its centroid.
float Spread(const Build& b, std::size_t list) {
    const auto rows = static_cast<double>(b.list_rows[list]);
    return rows > 0 ? static_cast<float>(std::sqrt(b.distances[list] / rows)) : 0;
}

// The codes of the centroids: a sixth of the memory of the centroids themselves at most.
PartPointer WriteCodes(Build& b) {
    CentroidCoder coder = BeginCoding(b.model, b.padded);
    ivf::CentroidTable table = AllocateTable(b.lists, b.padded);
    for (std::size_t i = 0; i < b.lists; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        CodeCentroid(coder, table, i, {b.centroids + i * b.padded, b.padded}, Spread(b, i));
    }
    const PartPointer part = WritePart(b, ivf::PageKind::kCentroid, table.bias,
                                       ivf::CentroidTableBytes(b.lists, b.padded));
    pfree(table.bias);
    return part;
}

}  // namespace

MetaPage WriteParts(Build& b) {
    Phase(b, kPhaseWrite);
    std::int64_t done = 0;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL,
                                 static_cast<std::int64_t>(b.index_tuples[0]));
    const auto lists = static_cast<std::uint32_t>(b.lists);
    const auto dim = static_cast<std::size_t>(b.dim);

    MetaPage meta = {};
    meta.magic = kMetaMagic;
    meta.meta_bytes = sizeof meta;
    if (!pg_strong_random(&meta.build_id, sizeof meta.build_id))
        ereport(ERROR,
                (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random number")));
    meta.rotation_seed = b.model.meta.rotation_seed;
    meta.rows_trained = b.trained ? static_cast<std::uint64_t>(b.index_tuples[0]) : 0;
    meta.dim = static_cast<std::uint32_t>(b.dim);
    meta.padded_dim = static_cast<std::uint32_t>(b.padded);
    meta.lists = lists;
    meta.next_list_id = b.first_list_id + lists;
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
    meta.rotation = b.model.basis ? RotationKind::kHadamard4Basis : RotationKind::kHadamard4;
    meta.trained = b.trained;
    meta.segment_count = 1;
    meta.segments[0] = {0, meta.padded_dim, meta.bits, 0};
    meta.calibration = {0, ivf::kNoPage, 0};
    meta.codebooks = {0, ivf::kNoPage, 0};
    meta.basis = {0, ivf::kNoPage, 0};

    meta.model = WritePart(b, ivf::PageKind::kModel, b.mean, dim * sizeof(float));
    if (b.books)
        meta.codebooks = WritePart(b, ivf::PageKind::kModel, b.books,
                                   b.padded * quant::PqWords(b.layout.spec) * sizeof(float));
    if (b.model.basis)
        meta.basis =
            WritePart(b, ivf::PageKind::kModel, b.model.basis, b.padded * b.padded * sizeof(float));
    meta.coarse = WriteCodes(b);
    const Part nodes =
        LayOut(b, ivf::PageKind::kCentroid,
               std::uint64_t{lists} * (sizeof(ivf::CentroidNode) + b.padded * sizeof(float)));
    meta.centroids = nodes.pointer;
    const Part entries =
        LayOut(b, ivf::PageKind::kDirectory, std::uint64_t{lists} * sizeof(ivf::ListEntry));
    meta.directory = entries.pointer;

    ChainWriter centroids = WriterOf(b, nodes);
    ChainWriter directory = WriterOf(b, entries);
    TupleTableSlot* slot =
        b.sort ? MakeSingleTupleTableSlot(b.sort_desc, &TTSOpsMinimalTuple) : nullptr;
    const BlockRoom room = AllocateBlockRoom(b.layout);
    for (std::uint32_t i = 0; i < lists; i++) {
        const ivf::CentroidNode node = {b.first_list_id + i, 0, ivf::CentroidCode::kFloat, 0};
        centroids.Write(&node, sizeof node);
        centroids.Write(b.centroids + i * b.padded, b.padded * sizeof(float));

        ivf::ListEntry entry = {};
        entry.generation = b.generation;
        entry.centroid_epoch = meta.centroids.generation;
        entry.rows = b.list_rows[i];
        entry.list_id = b.first_list_id + i;
        entry.spread = Spread(b, i);
        entry.state = ivf::ListState::kActive;
        WriteList(b, entry, slot, room, &done);
        directory.Write(&entry, sizeof entry);
    }
    centroids.Close();
    directory.Close();
    if (slot) ExecDropSingleTupleTableSlot(slot);
    return meta;
}

void WriteIndex(Build& b) {
    const NewPages to = Target(b);
    const BlockNumber page = ExtendRun(to, 1);
    Assert(page == kMetaPage);
    const MetaPage meta = WriteParts(b);
    ChainWriter writer(to, {ivf::PageKind::kMeta, 0, 0}, page, 1);
    writer.Write(&meta, sizeof meta);
    writer.Close();
    LogBuild(b.index, b.fork);
}

}  // namespace quantvec::pg
