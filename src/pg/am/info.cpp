// What can be seen from outside: quantvec_index_info() and quantvec_last_scan().
#include "core/kernels/kernels.h"
#include "pg/am/am.h"
#include "pg/am/compact.h"
#include "pg/am/options.h"
#include "pg/am/retrain.h"
#include "pg/am/row_source.h"
#include "pg/am/scan.h"
#include "pg/error.h"

namespace quantvec::pg {

namespace {

struct PageCounts {
    std::int64_t meta, model, directory, scan, refine, free;
};

// Rows that drift is measured by: their distances vary by a third or so, their mean by 1 %.
constexpr std::size_t kDriftRows = 1000;
// Drift that is worth new lists. SPFresh (Xu and others, SOSP 2023) moves centroids at about as much.
constexpr double kMuchDrift = 1.15;
// Free pages that are worth a word: this part of the file, and a megabyte. Churn leaves an eighth free,
// training in place about half.
constexpr double kMuchFree = 1.0 / 3;
constexpr double kSomeFree = 128;

struct SampledRow {
    std::uint64_t pointer;
    std::uint32_t list;
};

struct RowCounts {
    std::int64_t live, dead;
    ListUse* lists;      // [lists]
    SampledRow* sample;  // [kDriftRows] any of them with the same probability
    pg_prng_state random;
};

// Counts the blocks whose heads are on a scan page.
void CountBlocks(Relation index, const ivf::BlockLayout& layout, const LockedPage& page,
                 std::uint32_t list, RowCounts& rows) {
    const ivf::PageTail& tail = page.tail();
    for (std::size_t i = 0; i < tail.blocks; i++) {
        const std::uint8_t* block = BlockOnPage(index, layout, page.bytes, page.number, i);
        const ivf::BlockHead& head = *ivf::HeadAt(block);
        for (std::uint32_t left = head.live; left != 0; left &= left - 1) {
            // Reservoir sampling, Vitter 1985, algorithm R.
            const std::uint64_t seen =
                static_cast<std::uint64_t>(rows.live) + __builtin_popcount(head.live & ~left);
            const std::uint64_t at =
                seen < kDriftRows ? seen : pg_prng_uint64_range(&rows.random, 0, seen);
            if (at < kDriftRows)
                rows.sample[at] = {PointerNumber(ivf::PointersOf(block)[__builtin_ctz(left)]),
                                   list};
        }
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

int ComparePointers(const void* a, const void* b) {
    const std::uint64_t x = static_cast<const SampledRow*>(a)->pointer,
                        y = static_cast<const SampledRow*>(b)->pointer;
    return x < y ? -1 : x > y;
}

// Mean square distance of rows from the centroids of their lists, against that of the rows they were made
// for; < 0: unknown.
double Drift(Relation index, Model& model, const RowCounts& rows) {
    const std::size_t padded = model.meta.padded_dim;
    if (!model.meta.trained || rows.live == 0 || index->rd_index->indkey.values[0] == 0) return -1;
    double then = 0;
    for (std::uint32_t i = 0; i < model.meta.lists; i++)
        then += static_cast<double>(rows.lists[i].live) * model.entries[i].spread *
                model.entries[i].spread;
    then /= static_cast<double>(rows.live);
    const auto size =
        static_cast<std::size_t>(Min(rows.live, static_cast<std::int64_t>(kDriftRows)));
    qsort(rows.sample, size, sizeof(SampledRow), ComparePointers);
    const auto floats = [padded] {
        return FloatSpan(static_cast<float*>(palloc(padded * sizeof(float))), padded);
    };
    const FloatSpan vector = floats(), scratch = floats();
    Relation heap = table_open(index->rd_index->indrelid, AccessShareLock);
    RowReader reader;
    BeginReading(reader, heap, index);
    double sum = 0, n = 0;
    for (std::size_t i = 0; i < size; i++) {
        CHECK_FOR_INTERRUPTS();
        ConstFloatSpan raw;
        if (!ReadRow(reader, rows.sample[i].pointer, &raw) || raw.size() != model.meta.dim ||
            !Transform(model, raw, vector))
            continue;
        const ConstFloatSpan centroid = CentroidOf(index, model, rows.sample[i].list, scratch);
        if (centroid.empty()) break;
        sum += static_cast<double>(kernels::Active().l2sqr(vector.data(), centroid.data(), padded));
        n++;
    }
    EndReading(reader);
    table_close(heap, AccessShareLock);
    return n > 0 && then > 0 ? sum / n / then : -1;
}

// What would make the index better; nullptr: nothing.
const char* Advice(Relation index, const Model& model, const PageCounts& pages,
                   const RowCounts& rows, double drift) {
    const MetaPage& meta = model.meta;
    const auto live = static_cast<double>(rows.live);
    const double due = TrainingDueAt(index, meta);
    if (live >= due)
        return meta.trained ? "VACUUM: it trains the index anew, which has grown by ten"
                            : "VACUUM: it trains the index, which keeps its rows in one list";
    for (std::uint32_t i = 0; i < meta.lists; i++)
        if (WantsCompaction(model.layout, rows.lists[i]))
            return "VACUUM: it writes lists anew that have many dead rows";
    if (DeclaredDim(index) < 0)
        return psprintf(
            "ALTER TABLE .. TYPE vector(%u): the column has no dimensions any more, and "
            "REINDEX, or a restore of a dump, would fail",
            meta.dim);
    if (drift >= kMuchDrift)
        return "REINDEX: rows are farther from the centers of their lists than those they were "
               "made for";
    if (!meta.trained && live > 0)
        return psprintf("wait: VACUUM trains the index from %.0f rows on", due);
    const auto all = static_cast<double>(RelationGetNumberOfBlocks(index)),
               free = static_cast<double>(pages.free);
    if (free >= kSomeFree && free >= kMuchFree * all)
        return psprintf(
            "REINDEX, if space counts: %.0f %% of the file are free pages, which new "
            "rows will fill",
            100 * free / all);
    return nullptr;
}

const char* QuantizerName(quant::Kind kind) {
    switch (kind) {
        case quant::Kind::kBq:
            return "bq";
        case quant::Kind::kSq8:
            return "sq8";
        case quant::Kind::kSq4:
            return "sq4";
        case quant::Kind::kPq:
            return "pq";
    }
    return nullptr;
}

const char* MetricName(Metric metric) {
    switch (metric) {
        case Metric::kL2:
            return "l2";
        case Metric::kInnerProduct:
            return "inner product";
        case Metric::kCosine:
            return "cosine";
    }
    return nullptr;
}

}  // namespace

Relation OpenIndex(Oid oid) {
    Relation index = try_relation_open(oid, AccessShareLock);
    if (!index)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("relation with OID %u does not exist", oid)));
    const char kind = index->rd_rel->relkind;
    if (kind != RELKIND_INDEX || index->rd_rel->relam != get_index_am_oid("quantvec", true))
        ereport(ERROR,
                (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                 errmsg("\"%s\" is not a quantvec index", RelationGetRelationName(index)),
                 kind == RELKIND_PARTITIONED_INDEX
                     ? errhint("A partitioned index has no pages of its own: ask for those of "
                               "its partitions.")
                     : 0));
    if (RELATION_IS_OTHER_TEMP(index))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot access temporary indexes of other sessions")));
    return index;
}

TupleDesc ResultDesc(FunctionCallInfo fcinfo) {
    TupleDesc desc;
    if (get_call_result_type(fcinfo, nullptr, &desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    return BlessTupleDesc(desc);
}

}  // namespace quantvec::pg

QV_SQL_FUNCTION(quantvec_index_info) {
    using namespace quantvec::pg;
    namespace ivf = quantvec::ivf;
    TupleDesc desc = ResultDesc(fcinfo);
    Relation index = OpenIndex(PG_GETARG_OID(0));
    // What it tells is of the rows, so it is for those who may read them.
    const AclResult allowed = pg_class_aclcheck(index->rd_index->indrelid, GetUserId(), ACL_SELECT);
    if (allowed != ACLCHECK_OK)
        aclcheck_error(allowed, OBJECT_INDEX, RelationGetRelationName(index));
    Model* current = AcquireModel(index, CurrentMemoryContext);
    while (!RefreshEntries(index, *current)) current = AcquireModel(index, CurrentMemoryContext);
    Model& model = *current;
    const MetaPage& meta = model.meta;
    PageCounts pages = {};
    RowCounts rows = {};
    rows.lists = static_cast<ListUse*>(MemoryContextAllocExtended(
        CurrentMemoryContext, sizeof(ListUse) * meta.lists, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    rows.sample = static_cast<SampledRow*>(palloc(kDriftRows * sizeof(SampledRow)));
    pg_prng_seed(&rows.random, meta.build_id);
    Count(index, model, pages, rows);
    const double drift = Drift(index, model, rows);
    const char* advice = Advice(index, model, pages, rows, drift);
    relation_close(index, AccessShareLock);

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
        ObjectIdGetDatum(last_scan.index),      Int64GetDatum(last_scan.lists),
        Int64GetDatum(last_scan.scanned),       Int64GetDatum(last_scan.refined),
        Int64GetDatum(last_scan.reranked),      Int64GetDatum(last_scan.returned),
        Int64GetDatum(last_scan.late),          Int64GetDatum(last_scan.dropped),
        Int64GetDatum(last_scan.revisited),
        CStringGetTextDatum(last_scan.stopped), Int64GetDatum(last_scan.restarts),
    };
    bool nulls[lengthof(values)] = {};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
