// What can be seen from outside: quantvec_index_info() and quantvec_last_scan().
#include "pg/am/am.h"
#include "pg/am/options.h"
#include "pg/am/scan.h"
#include "pg/error.h"

namespace quantvec::pg {

namespace {

struct PageCounts {
    std::int64_t meta, model, directory, scan, refine, free;
};

struct RowCounts {
    std::int64_t live, dead;
    std::int64_t* by_list;  // live rows [lists]
};

// Counts the blocks whose heads are on a scan page.
void CountBlocks(Relation index, const ivf::BlockLayout& layout, const LockedPage& page,
                 std::uint32_t list, RowCounts& rows) {
    const ivf::PageTail& tail = page.tail();
    for (std::size_t i = 0; i < tail.blocks; i++) {
        const std::size_t at = tail.first_block + i * (layout.head_bytes + layout.code_bytes);
        if (at < ivf::kPayloadAt || at + ivf::kPrefixBytes > ivf::kPayloadEnd ||
            !ivf::HeadIsSound(*ivf::HeadAt(page.bytes + at), tail.owner, tail.generation))
            ReportCorruption(index, page.number, "a block head is damaged");
        const ivf::BlockHead& head = *ivf::HeadAt(page.bytes + at);
        const int live = __builtin_popcount(head.live);
        rows.live += live;
        rows.dead += head.used - live;
        rows.by_list[list] += live;
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
    Model& model = *AcquireModel(index, CurrentMemoryContext);
    RefreshEntries(index, model);
    const MetaPage& meta = model.meta;
    PageCounts pages = {};
    RowCounts rows = {};
    rows.by_list = static_cast<std::int64_t*>(
        MemoryContextAllocHuge(CurrentMemoryContext, sizeof(std::int64_t) * meta.lists));
    memset(rows.by_list, 0, sizeof(std::int64_t) * meta.lists);
    Count(index, model, pages, rows);
    relation_close(index, AccessShareLock);

    double squares = 0;
    std::int64_t longest = 0;
    for (std::uint32_t i = 0; i < meta.lists; i++) {
        const auto n = static_cast<double>(rows.by_list[i]);
        squares += n * n;
        longest = Max(longest, rows.by_list[i]);
    }
    const auto live = static_cast<double>(rows.live);
    const double stored = live + static_cast<double>(rows.dead);

    Datum values[21];
    bool nulls[21] = {};
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
        Int64GetDatum(last_scan.dropped),       Int64GetDatum(last_scan.revisited),
        CStringGetTextDatum(last_scan.stopped), Int64GetDatum(last_scan.restarts),
    };
    bool nulls[lengthof(values)] = {};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
