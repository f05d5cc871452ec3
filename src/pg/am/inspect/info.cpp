// What can be seen from outside: quantvec_index_info() and quantvec_last_scan().
#include "pg/am/build/build.h"
#include "pg/am/care/compact.h"
#include "pg/am/care/drift.h"
#include "pg/am/care/retrain.h"
#include "pg/am/inspect/open.h"
#include "pg/am/options.h"
#include "pg/am/scan/state.h"
#include "pg/am/storage/model_cache.h"
#include "pg/am/storage/model_read.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

struct PageCounts {
    std::int64_t meta, model, directory, scan, refine, free;
};

// Free pages that are worth a word: this part of the file, and a megabyte. Churn leaves an eighth
// free. Those that a training in place leaves (about half, more if the new codes are smaller) do
// not count: new rows will fill them.
constexpr double kMuchFree = 1.0 / 3;
constexpr double kSomeFree = 128;

struct RowCounts {
    std::int64_t live, dead;
    ListUse* lists;  // [lists]
    RowSample sample;
};

// Counts the blocks whose heads are on a scan page.
void CountBlocks(Relation index, const ivf::BlockLayout& layout, const LockedPage& page,
                 std::uint32_t list, RowCounts& rows) {
    const ivf::PageTail& tail = page.tail();
    for (std::size_t i = 0; i < tail.blocks; i++) {
        const std::uint8_t* block = BlockOnPage(index, layout, page.bytes, page.number, i);
        const ivf::BlockHead& head = *ivf::HeadAt(block);
        SampleBlock(rows.sample, block, list);
        const int live = __builtin_popcount(head.live);
        rows.live += live;
        rows.dead += head.used - live;
        rows.lists[list].live += static_cast<std::uint64_t>(live);
        rows.lists[list].used += head.used;
    }
}

// Walks the whole index by page number.
void Count(Relation index, const Model& model, PageCounts& pages, RowCounts& rows) {
    const BlockNumber total = PagesOf(index);
    for (BlockNumber number = 0; number < total; number++) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page;
        if (!LockAnyPage(index, number, page)) {
            pages.free++;
            continue;
        }
        std::uint32_t list = 0;
        if (page.tail().deleted_at != 0 || !IsCurrentPage(model, page.tail(), &list)) {
            pages.free++;
            UnlockPage(page);
            continue;
        }
        if (page.tail().owner != 0) rows.lists[list].pages++;
        switch (page.tail().kind) {
            case ivf::PageKind::kMeta:
                pages.meta++;
                break;
            case ivf::PageKind::kModel:
            case ivf::PageKind::kCentroid:
                pages.model++;
                break;
            case ivf::PageKind::kDirectory:
                pages.directory++;
                break;
            case ivf::PageKind::kScan:
                pages.scan++;
                CountBlocks(index, model.layout, page, list, rows);
                break;
            case ivf::PageKind::kRefine:
                pages.refine++;
                break;
        }
        UnlockPage(page);
    }
}

// The options of the index that it was not built with, "quantizer, lists"; nullptr: none.
const char* ChangedOptions(Relation index, const MetaPage& meta, double live) {
    const IndexOptions options = OptionsOf(index);
    const quant::Spec wish = SpecOf(options, meta.element, meta.metric, meta.dim);
    // pq has the codes of sq8 until there are rows for its codewords.
    if (wish.kind == quant::Kind::kPq && meta.quantizer == quant::Kind::kSq8 &&
        (!meta.trained || live < static_cast<double>(kLeastSamplesPerWord << wish.bits)))
        return nullptr;
    StringInfoData names;
    initStringInfo(&names);
    const auto note = [&](bool changed, const char* name) {
        if (changed) appendStringInfo(&names, names.len == 0 ? "%s" : ", %s", name);
    };
    if (wish.kind != meta.quantizer) {
        note(true, "quantizer");
    } else {
        note(wish.bits != meta.bits, wish.kind == quant::Kind::kPq ? "pq_bits" : "bits");
        note(wish.levels != meta.levels, "levels");
        note(wish.m != meta.pq_m, "pq_m");
    }
    // There are no more lists than rows that they were made for.
    const auto lists = static_cast<std::uint32_t>(options.lists);
    note(lists > 0 && meta.trained && meta.lists != lists &&
             (meta.lists > lists || meta.lists < meta.rows_trained),
         "lists");
    return names.len > 0 ? names.data : nullptr;
}

// What would make the index better; nullptr: nothing.
const char* Advice(Relation index, const Model& model, const PageCounts& pages,
                   const RowCounts& rows, double drift) {
    const MetaPage& meta = model.meta;
    const auto live = static_cast<double>(rows.live);
    VacuumNotes notes = ReadNotes(index, meta);
    CountChanges(notes, static_cast<std::uint64_t>(rows.live), 0);
    switch (CauseOfTraining(index, meta, notes)) {
        case Cause::kFirst:
            return "VACUUM: it trains the index, which keeps its rows in one list";
        case Cause::kGrown:
            return "VACUUM: it trains the index anew, which has grown by ten";
        case Cause::kShrunk:
            return "VACUUM: it trains the index anew, which has a tenth of the rows it was made "
                   "for";
        case Cause::kDrift:
            if (HasDrifted(notes, drift))
                return "VACUUM: it trains the index anew, since rows are farther from the centers "
                       "of their lists than those they were made for";
            break;
        case Cause::kNone:
            break;
    }
    if (const char* changed = ChangedOptions(index, meta, live))
        return psprintf("REINDEX: the index was built with other options than it has now (%s)",
                        changed);
    for (std::uint32_t i = 0; i < meta.lists; i++)
        if (WantsCompaction(model.layout, rows.lists[i]))
            return "VACUUM: it writes lists anew that have many dead rows";
    if (DeclaredDim(index) < 0)
        return psprintf(
            "ALTER TABLE .. TYPE %s(%u): the column has no dimensions any more, and "
            "REINDEX, or a restore of a dump, would fail",
            OpclassOf(index).type, meta.dim);
    if (HasDrifted(notes, drift) && live < kLeastRowsToRetrain)
        return "REINDEX: rows are farther from the centers of their lists than those they were "
               "made for";
    if (!meta.trained && live > 0)
        return psprintf("wait: VACUUM trains the index from %.0f rows on",
                        TrainingDueAt(index, meta));
    const auto all = static_cast<double>(RelationGetNumberOfBlocks(index)),
               free = static_cast<double>(pages.free) - static_cast<double>(notes.freed);
    if (free >= kSomeFree && free >= kMuchFree * all)
        return psprintf(
            "REINDEX, if space counts: %.0f %% of the file are free pages, which new "
            "rows will fill",
            100 * static_cast<double>(pages.free) / all);
    return nullptr;
}

// What is told is of all rows, so it is for who may read all of them: as pg_stats, it is not for
// who is subject to row security policies.
void PermitReader(Oid, Oid table) {
    const AclResult allowed = pg_class_aclcheck(table, GetUserId(), ACL_SELECT);
    if (allowed != ACLCHECK_OK)
        aclcheck_error(allowed, get_relkind_objtype(get_rel_relkind(table)), get_rel_name(table));
    if (check_enable_rls(table, InvalidOid, true) == RLS_ENABLED)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for table %s", get_rel_name(table)),
                        errdetail("Row security policies hide rows of it from you, and what is "
                                  "told of an index is of all rows.")));
}

const char* MetricName(Metric metric) {
    switch (metric) {
        case Metric::kL2:
            return "l2";
        case Metric::kInnerProduct:
            return "inner product";
        case Metric::kCosine:
            return "cosine";
        case Metric::kHamming:
            return "hamming";
        case Metric::kJaccard:
            return "jaccard";
    }
    return nullptr;
}

}  // namespace

}  // namespace quantvec::pg

QV_SQL_FUNCTION(quantvec_index_info) {
    using namespace quantvec::pg;
    namespace ivf = quantvec::ivf;
    TupleDesc desc = ResultDesc(fcinfo);
    const OpenedIndex open = OpenIndex(PG_GETARG_OID(0), PermitReader);
    Relation index = open.index;
    Model* current = AcquireModel(index, CurrentMemoryContext);
    while (!RefreshEntries(index, *current)) current = AcquireModel(index, CurrentMemoryContext);
    Model& model = *current;
    const MetaPage& meta = model.meta;
    PageCounts pages = {};
    RowCounts rows = {};
    rows.lists = NewZeroedArray<ListUse>(meta.lists);
    BeginSample(rows.sample, meta.build_id);
    Count(index, model, pages, rows);
    const double drift = Drift(open.table, index, model, rows.lists, rows.sample);
    const char* advice = Advice(index, model, pages, rows, drift);
    CloseIndex(open);

    double squares = 0;
    std::int64_t longest = 0;
    for (std::uint32_t i = 0; i < meta.lists; i++) {
        const auto n = static_cast<double>(rows.lists[i].live);
        squares += n * n;
        longest = Max(longest, static_cast<std::int64_t>(rows.lists[i].live));
    }
    const auto live = static_cast<double>(rows.live);
    const double stored = live + static_cast<double>(rows.dead);

    Datum values[24];
    bool nulls[24] = {};
    int n = 0;
    values[n++] = CStringGetTextDatum(QuantizerName(meta.quantizer));
    values[n++] = Int32GetDatum(meta.bits);
    values[n++] = CStringGetTextDatum(MetricName(meta.metric));
    values[n++] = Int32GetDatum(static_cast<int>(meta.dim));
    values[n++] = Int32GetDatum(static_cast<int>(meta.padded_dim));
    values[n++] = BoolGetDatum(meta.trained != 0);
    values[n++] = Int32GetDatum(static_cast<int>(meta.lists));
    values[n++] = Int64GetDatum(rows.live);
    values[n++] = Float8GetDatum(stored > 0 ? static_cast<double>(rows.dead) / stored : 0);
    values[n++] = Int64GetDatum(longest);
    values[n++] = Float8GetDatum(live > 0 ? meta.lists * squares / (live * live) : 1);
    values[n++] = Int64GetDatum(pages.meta);
    values[n++] = Int64GetDatum(pages.model);
    values[n++] = Int64GetDatum(pages.directory);
    values[n++] = Int64GetDatum(pages.scan);
    values[n++] = Int64GetDatum(pages.refine);
    values[n++] = Int64GetDatum(pages.free);
    nulls[n] = rows.live == 0;
    values[n++] = Float8GetDatum(live > 0 ? static_cast<double>(pages.scan) * BLCKSZ / live : 0);
    nulls[n] = rows.live == 0;
    values[n++] = Float8GetDatum(live > 0 ? static_cast<double>(pages.refine) * BLCKSZ / live : 0);
    values[n++] = Int64GetDatum(static_cast<std::int64_t>(meta.incompatible));
    values[n++] = Int64GetDatum(static_cast<std::int64_t>(meta.compatible));
    values[n++] = Int64GetDatum(static_cast<std::int64_t>(meta.rows_trained));
    nulls[n] = drift < 0;
    values[n++] = Float8GetDatum(drift);
    nulls[n] = !advice;
    values[n++] = advice ? CStringGetTextDatum(advice) : Datum{0};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

QV_SQL_FUNCTION(quantvec_last_scan) {
    using namespace quantvec::pg;
    TupleDesc desc = ResultDesc(fcinfo);
    if (!OidIsValid(last_scan.index)) PG_RETURN_NULL();
    Datum values[] = {
        ObjectIdGetDatum(last_scan.index),  Int64GetDatum(last_scan.lists),
        Int64GetDatum(last_scan.scanned),   Int64GetDatum(last_scan.refined),
        Int64GetDatum(last_scan.reranked),  Int64GetDatum(last_scan.returned),
        Int64GetDatum(last_scan.late),      Int64GetDatum(last_scan.dropped),
        Int64GetDatum(last_scan.revisited), CStringGetTextDatum(last_scan.stopped),
        Int64GetDatum(last_scan.restarts),
    };
    bool nulls[lengthof(values)] = {};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
