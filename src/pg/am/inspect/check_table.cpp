// The table's side of quantvec_check: row pointers are unique, and every row that the snapshot sees
// has the entry it should have.
//
// The walk leaves for each live slot the row's pointer, its list, and a checksum of what the slot
// holds. The table is read in its order and each row encoded anew, with the stored model and the
// centroid of the list where it is, so that neither side needs the other's pages at random. Which
// list that is is not judged: any list is a valid home for a row (a build looks at some groups of
// lists only, and distances may round otherwise on another processor); its code there is exact.
//
// A row that the snapshot sees keeps its line pointer, so no VACUUM clears its entry while we look.
#include "pg/am/inspect/check.h"

#include <algorithm>

#include "pg/am/list/append.h"
#include "pg/am/list/encode.h"
#include "pg/am/storage/model_read.h"
#include "pg/am/table/row_pointer.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Two live slots were met for one row. A live slot that is cleared never comes back: if the first
// is live after the second was, they were live together. Otherwise VACUUM has been there in
// between.
void CheckTwice(Check& c, const SeenRow& a, const SeenRow& b) {
    const SlotPlace first = FindLiveSlot(c, a.list, a.pointer);
    if (first.page == InvalidBlockNumber) return;
    const SlotPlace second = FindLiveSlot(c, b.list, b.pointer, a.list == b.list ? 1 : 0);
    if (second.page == InvalidBlockNumber || !StillLive(c, a.list, first)) return;
    ReportSlot(c, b.list, second.page, second.at, second.slot,
               psprintf("row (%u,%u) is in the index twice", static_cast<unsigned>(b.pointer >> 16),
                        static_cast<unsigned>(b.pointer & 0xffff)));
}

struct TableWalk {
    Check* check;
    const OpclassInfo* opclass;
    MemoryContext row_context;
    float* vector;     // [padded]
    float* workspace;  // [padded]
    float* centroid;   // [padded]
    quant::EncodedRow row;
};

const SeenRow* Find(const Check& c, std::uint64_t pointer) {
    std::size_t low = 0, high = c.row_count;
    while (low < high) {
        const std::size_t middle = low + (high - low) / 2;
        if (c.rows[middle].pointer < pointer)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c.row_count && c.rows[low].pointer == pointer ? &c.rows[low] : nullptr;
}

void TakeTableRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    TableWalk& w = *static_cast<TableWalk*>(arg);
    Check& c = *w.check;
    const std::uint64_t pointer = PointerNumber(*tid);
    if (pointer < c.from || pointer >= c.to) return;
    const SeenRow* seen = Find(c, pointer);
    const MemoryScope scope(w.row_context);
    const std::size_t padded = c.meta.padded_dim;
    bool indexable = false;
    float norm_sqr = 0;
    if (!isnull[0]) {
        const ConstFloatSpan raw = w.opclass->values(values[0]);
        CheckExpectedDim(static_cast<int>(c.meta.dim), static_cast<int>(raw.size()));
        indexable = Transform(*c.model, raw, {w.vector, padded});
        norm_sqr = NormTerm(*w.opclass, raw);
    }
    const unsigned block = ItemPointerGetBlockNumber(tid), offset = ItemPointerGetOffsetNumber(tid);
    if (indexable && !seen)
        ReportCorruption(c.index, InvalidBlockNumber,
                         psprintf("row (%u,%u) of the table is not in it", block, offset));
    if (indexable) {
        EncodeIntoList(c.model->layout, norm_sqr,
                       CentroidOf(c.index, *c.model, seen->list, {w.centroid, padded}),
                       {w.vector, padded}, {w.workspace, padded}, w.row);
        c.counts.table_rows++;
    }
    if (seen && (!indexable || CodeCrc(w.row.factors, w.row.code, w.row.refine) != seen->crc)) {
        const SlotPlace place = FindLiveSlot(c, seen->list, pointer);
        ReportSlot(c, seen->list, place.page, place.at, place.slot,
                   psprintf(indexable ? "its code is not that of row (%u,%u)"
                                      : "row (%u,%u) has no vector that is indexed",
                            block, offset));
    }
    scope.Leave();
    MemoryContextReset(w.row_context);
}

}  // namespace

std::uint32_t CodeCrc(const quant::RowFactors& factors, ConstByteSpan code, ConstByteSpan refine) {
    pg_crc32c crc;
    INIT_CRC32C(crc);
    COMP_CRC32C(crc, &factors, sizeof factors);
    COMP_CRC32C(crc, code.data(), code.size());
    COMP_CRC32C(crc, refine.data(), refine.size());
    FIN_CRC32C(crc);
    return crc;
}

void SortSeenRows(Check& c) {
    // A cancel may jump out of the sort, which holds nothing.
    std::sort(c.rows, c.rows + c.row_count, [](const SeenRow& a, const SeenRow& b) {
        CHECK_FOR_INTERRUPTS();
        return a.pointer < b.pointer;
    });
    for (std::size_t i = 1; i < c.row_count; i++)
        if (c.rows[i].pointer == c.rows[i - 1].pointer) CheckTwice(c, c.rows[i - 1], c.rows[i]);
}

void CheckTable(Check& c, Snapshot snapshot) {
    const std::size_t padded = c.meta.padded_dim;
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec check table", ALLOCSET_DEFAULT_SIZES);
    const MemoryScope scope(context);
    TableWalk w = {};
    w.check = &c;
    w.opclass = &OpclassOf(c.index);
    w.row_context = AllocSetContextCreate(context, "quantvec check row", ALLOCSET_DEFAULT_SIZES);
    w.vector = NewArray<float>(padded);
    w.workspace = NewArray<float>(padded);
    w.centroid = NewArray<float>(padded);
    w.row = AllocateRow(c.model->layout);
    // As CREATE INDEX CONCURRENTLY reads: rows of one snapshot, each under the line pointer that
    // its HOT chain begins with, predicates and expressions applied.
    IndexInfo* info = BuildIndexInfo(c.index);
    info->ii_Concurrent = true;
    TableScanDesc scan = table_beginscan_strat(c.table, snapshot, 0, nullptr, true, false);
    // The blocks of this round.
    if (c.table->rd_rel->relam == HEAP_TABLE_AM_OID && (c.from != 0 || c.to != kNoPointer)) {
        const auto first = static_cast<BlockNumber>(c.from >> 16);
        const BlockNumber end = RelationGetNumberOfBlocks(c.table);
        const std::uint64_t last = Min(c.to >> 16, std::uint64_t{end});
        heap_setscanlimits(scan, first, last > first ? static_cast<BlockNumber>(last) - first : 0);
    }
    table_index_build_scan(c.table, c.index, info, true, c.shows, TakeTableRow, &w, scan);
    scope.Leave();
    MemoryContextDelete(context);
}

}  // namespace quantvec::pg
