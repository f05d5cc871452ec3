// Writing the index: meta, model, centroids and directory, then each list's chains, in page order;
// all of it goes to WAL once, at the end.
#include <cmath>

#include "core/quant/pq.h"
#include "pg/am/build.h"

namespace quantvec::pg {

namespace {

// Scan pages of a list of `rows` rows, laid out as WriteBlock does.
std::uint32_t ScanPagesFor(const ivf::BlockLayout& layout, std::uint64_t rows) {
    std::uint64_t at = 0;
    for (std::uint64_t done = 0; done < rows; done += ivf::kBlockRows) {
        const std::uint64_t room = ivf::kPayloadBytes - at % ivf::kPayloadBytes;
        if (room < ivf::kPrefixBytes) at += room;
        at += ivf::CodesBehind(layout, ivf::kPayloadAt + at % ivf::kPayloadBytes) +
              layout.quantizer->CodeBytesFor(layout.spec, Min(rows - done, ivf::kBlockRows));
    }
    return Max(ivf::PagesFor(at), 1u);
}

// Writes the rows of one list, which come next from the sort.
void WriteList(Build& b, const ivf::ListEntry& entry, TupleTableSlot* slot, std::uint8_t* block,
               std::uint8_t* refine, std::int64_t* done) {
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
        *done += static_cast<std::int64_t>(rows);
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, *done);
    }
}

// Root mean square distance of a list's rows from its centroid.
float Spread(const Build& b, std::size_t list) {
    const auto rows = static_cast<double>(b.list_rows[list]);
    return rows > 0 ? static_cast<float>(std::sqrt(b.distances[list] / rows)) : 0;
}

// The codes of the centroids: a sixth of the memory of the centroids themselves at most.
void WriteCodes(Build& b, BlockNumber first) {
    CentroidCoder coder = BeginCoding(b.model, b.padded);
    ivf::CentroidTable table = AllocateTable(b.lists, b.padded);
    for (std::size_t i = 0; i < b.lists; i++) {
        if (i % kInterruptRows == 0) CHECK_FOR_INTERRUPTS();
        CodeCentroid(coder, table, i, {b.centroids + i * b.padded, b.padded}, Spread(b, i));
    }
    ChainWriter codes(b.index, b.fork, first);
    const std::size_t bytes = ivf::CentroidTableBytes(b.lists, b.padded);
    for (std::size_t at = 0; at < bytes; at += ivf::kPayloadBytes) {
        CHECK_FOR_INTERRUPTS();
        codes.Write(table.bias + at, Min(ivf::kPayloadBytes, bytes - at));
    }
    pfree(table.bias);
}

}  // namespace

void WriteIndex(Build& b) {
    Phase(b, kPhaseWrite);
    std::int64_t done = 0;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL,
                                 static_cast<std::int64_t>(b.index_tuples[0]));
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
    meta.rotation_seed = b.model.meta.rotation_seed;
    meta.rows_trained = b.trained ? static_cast<std::uint64_t>(b.index_tuples[0]) : 0;
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
    meta.rotation = b.model.basis ? RotationKind::kHadamard4Basis : RotationKind::kHadamard4;
    meta.trained = b.trained;
    meta.segment_count = 1;
    meta.segments[0] = {0, meta.padded_dim, meta.bits, 0};
    meta.calibration = {0, ivf::kNoPage, 0};
    meta.codebooks = {0, ivf::kNoPage, 0};
    meta.basis = {0, ivf::kNoPage, 0};

    const BlockNumber meta_page = ExtendChain(b.index, b.fork, {ivf::PageKind::kMeta, 0, 0}, 1);
    Assert(meta_page == kMetaPage);
    const auto part = [&b](ivf::PageKind kind, std::uint64_t bytes) {
        PartPointer p = {kGeneration, 0, Max(ivf::PagesFor(bytes), 1u)};
        p.first = ExtendChain(b.index, b.fork, {kind, 0, kGeneration}, p.pages);
        return p;
    };
    meta.model = part(ivf::PageKind::kModel, dim * sizeof(float));
    const std::size_t book_bytes =
        b.books ? b.padded * quant::PqWords(b.layout.spec) * sizeof(float) : 0;
    if (b.books) meta.codebooks = part(ivf::PageKind::kModel, book_bytes);
    const std::size_t basis_bytes = b.padded * b.padded * sizeof(float);
    if (b.model.basis) meta.basis = part(ivf::PageKind::kModel, basis_bytes);
    meta.centroids =
        part(ivf::PageKind::kCentroid,
             std::uint64_t{lists} * (sizeof(ivf::CentroidNode) + b.padded * sizeof(float)));
    meta.coarse = part(ivf::PageKind::kCentroid, ivf::CentroidTableBytes(b.lists, b.padded));
    meta.directory = part(ivf::PageKind::kDirectory, std::uint64_t{lists} * sizeof(ivf::ListEntry));

    ChainWriter(b.index, b.fork, meta_page).Write(&meta, sizeof meta);
    ChainWriter(b.index, b.fork, meta.model.first).Write(b.mean, dim * sizeof(float));
    if (b.books) ChainWriter(b.index, b.fork, meta.codebooks.first).Write(b.books, book_bytes);
    if (b.model.basis)
        ChainWriter(b.index, b.fork, meta.basis.first).Write(b.model.basis, basis_bytes);
    WriteCodes(b, meta.coarse.first);
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
        entry.rows = b.list_rows[i];
        entry.list_id = i + 1;
        entry.scan_contiguous = ScanPagesFor(b.layout, entry.rows);
        entry.scan_first = ExtendChain(b.index, b.fork, ScanOwner(entry), entry.scan_contiguous);
        entry.scan_last = entry.scan_first + entry.scan_contiguous - 1;
        entry.refine_first = entry.refine_last = ivf::kNoPage;
        if (b.layout.refine_row_bytes > 0) {
            entry.refine_contiguous =
                Max(ivf::PagesFor(entry.rows * b.layout.refine_row_bytes), 1u);
            entry.refine_first =
                ExtendChain(b.index, b.fork, RefineOwner(entry), entry.refine_contiguous);
            entry.refine_last = entry.refine_first + entry.refine_contiguous - 1;
        }
        entry.spread = Spread(b, i);
        entry.state = ivf::ListState::kActive;
        directory.Write(&entry, sizeof entry);
        WriteList(b, entry, slot, block, refine, &done);
    }
    if (slot) ExecDropSingleTupleTableSlot(slot);
    LogBuild(b.index, b.fork);
}

}  // namespace quantvec::pg
