// ambeginscan, amrescan, amgettuple, amendscan: the cascade from lists to rows, in streaming form.
//
//   probe    open the nearest lists; score their blocks in place; rows whose lower bound is below
//            the threshold become candidates, and for every block a note says what was left behind
//   refine   candidates of a list, in page order; each better bound lowers the threshold
//   rerank   candidates in order of lower bound get their exact distance
//   leave    a row leaves as soon as nothing that is left in the opened lists can be nearer, and
//            not too much is expected to be nearer in the others (core/ivf/leave.h): else lists are
//            opened first
//
// A row of a list that was opened too late for it is kept back and leaves last, in order among its
// like. A row that comes late although its list was open, since its bound failed, leaves at once.
//
// Pages may go to something else between two looks, when VACUUM rewrites a list or trains the index
// anew (care/README.md): the scan then starts over, with the rows that it has returned known by
// their TIDs.
//
// The access method never knows LIMIT. The threshold is the hint-th smallest upper bound seen,
// where the hint is only a guess of how many rows will be wanted. If more are, blocks whose
// left-behind rows could come next are visited again with a wider threshold: a wrong hint costs
// time, not rows.
//
// This file is long because probing, ranking and leaving call each other in a loop: in two files a
// reader would go back and forth for every row.
#include <algorithm>
#include <cmath>

#include "core/kernels/kernels.h"
#include "pg/am/am.h"
#include "pg/am/cost.h"
#include "pg/am/options.h"
#include "pg/am/scan/state.h"
#include "pg/am/storage/model_cache.h"
#include "pg/am/storage/model_read.h"
#include "pg/compat.h"
#include "pg/debug_point.h"
#include "pg/error.h"
#include "pg/memory.h"
#include "pg/types/known_distance.h"

namespace quantvec::pg {

ScanCounts last_scan = {};

namespace {

// Candidates read from the table at once when the wanted number of exact rows is known already.
constexpr std::size_t kRerankStep = 4;
constexpr int kRerankBatch = 128;

// A scan that is deep in the table reranks many rows at once: this part of the rows that it knows.
// Each page of index and table is then looked at for several rows. As many may be read in vain.
constexpr std::size_t kDeepPart = 4;
// A scan that is likely to be asked for this part of the rows that it has scanned reads all the
// others from the table at once, page by page and without a look at further bits. Rows that are
// likely: the plan's LIMIT, and beyond that twice as many as have been found. wordnet-384, ms for
// the first 8,000 rows and for all 116,691, when all are read once the rows found are a twelfth of
// those scanned: 77 and 278; a sixth: 44 and 287; a third: 36 and 312.
constexpr std::size_t kMostPart = 3;

// Lists whose candidates are collected before the first are refined: by then the threshold is
// nearly where it ends. wordnet-384, 40 probes, rows refined: 422 with 1, 351 with 4, 328 with 8.
constexpr std::size_t kWarmLists = 4;

// Bytes of a scan page that are asked for while the page before it is scored.
constexpr std::size_t kPrefetchedBytes = 2048;

// ---- scan ----

// Takes the rows of a block that are below the threshold; `seen` gets what is left behind.
void TakeRows(Scan& scan, const ivf::ScoredBlock& block, std::uint32_t open, SeenBlock& seen) {
    const ivf::BlockHead& head = *ivf::HeadAt(block.head);
    const ivf::RowPointer* pointers = ivf::PointersOf(block.head);
    const ivf::BlockLayout& layout = scan.model->layout;
    const kernels::BlockFactors factors = ivf::FactorsOf(layout, block.head);
    for (std::uint32_t mask = block.below; mask != 0; mask &= mask - 1) {
        const int slot = __builtin_ctz(mask);
        Candidate& c = scan.candidates.Push(scan.query_context);
        c.lower = block.lower[slot];
        c.estimate = block.estimate[slot];
        c.sum = block.sums[slot];
        c.open = open;
        c.block = head.ordinal;
        c.refine_page = head.refine_page;
        c.slot = static_cast<std::uint8_t>(slot);
        c.refined = layout.refine_row_bytes == 0;
        c.tid.ip_blkid.bi_hi = pointers[slot].block_hi;
        c.tid.ip_blkid.bi_lo = pointers[slot].block_lo;
        c.tid.ip_posid = pointers[slot].offset;
        const float upper = 2 * c.estimate - c.lower;
        if (!isnan(upper)) scan.scan_bounds.Push(upper);
        if (scan.opclass->metric != Metric::kInnerProduct)
            c.estimate = layout.quantizer->Shrunk(scan.open.items[open].l2sqr, c.estimate,
                                                  quant::FromBfloat16(factors.scale[slot]),
                                                  quant::FromBfloat16(factors.error[slot]));
    }
    seen.taken |= block.below;
    seen.unused = kernels::Active().masked_min(block.lower, block.live & ~seen.taken);
    scan.unused = Min(scan.unused, seen.unused);
}

void BeginList(Scan& scan, std::uint32_t open) {
    const OpenList& o = scan.open.items[open];
    scan.scanner.BeginList(scan.model->layout, scan.prepared, o.entry.list_id, o.entry.generation,
                           o.l2sqr);
}

void ScanList(Scan& scan, const NearList& near) {
    const auto open = static_cast<std::uint32_t>(scan.open.size);
    const ivf::ListEntry& entry = scan.model->entries[near.list];
    scan.open.Push(scan.query_context) = {near.l2sqr, near.list, 0, 0, entry};
    scan.rule.NoteOpened();
    BeginList(scan, open);
    const std::uint64_t before = scan.scanner.rows_scored();
    const auto take = [&](const ivf::ScoredBlock& block) {
        SeenBlock& seen = scan.blocks.Push(scan.query_context);
        seen = {block.page, static_cast<std::uint16_t>(block.offset), open, 0, 0};
        TakeRows(scan, block, open, seen);
    };
    using Result = ivf::ListScanner::Result;
    ivf::ScoredBlock block;
    BlockNumber at = entry.scan_first;
    std::uint32_t ordinal = 0;
    while (at != ivf::kNoPage) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page;
        if (!LockListPage(scan, at, ScanOwner(entry), page)) return;
        if (page.tail().ordinal != ordinal++)
            ReportCorruption(scan.pages.index, at, "a chain is out of order");
        if (page.tail().next != ivf::kNoPage)
            scan.pages.Prefetch(page.tail().next, 0, kPrefetchedBytes);
        scan.scanner.BeginPage(page.bytes, at, 0, scan.pages.recent->Guess(page.tail().next));
        Result result;
        while ((result = scan.scanner.NextBlock(scan.Threshold(), ~0u, block)) == Result::kBlock)
            take(block);
        if (result == Result::kDamaged)
            ReportCorruption(scan.pages.index, at, "a block is damaged");
        at = page.tail().next;
        UnlockPage(page);
        DEBUG_POINT("scan_page");
    }
    const Result result = scan.scanner.Finish(scan.Threshold(), ~0u, block);
    if (result == Result::kBlock) take(block);
    if (result == Result::kDamaged)
        ReportCorruption(scan.pages.index, InvalidBlockNumber, "a block ends too early");
    const std::uint64_t rows = scan.scanner.rows_scored() - before;
    scan.open.items[open].rows = rows;
    scan.counts.lists++;
    scan.counts.scanned += static_cast<std::int64_t>(rows);
}

// Are there lists to be opened, and do the settings allow it?
bool MayOpenMore(const Scan& scan) {
    return scan.near.order.left() > 0 && scan.settings.iterative != kIterativeOff &&
           scan.MayScanMore();
}

// Opens the next lists, nearest first.
void ProbeLists(Scan& scan, std::size_t lists) {
    std::size_t first = scan.candidates.size;
    for (; lists > 0 && scan.near.order.left() > 0; lists--) {
        if (!scan.MayScanMore()) break;
        NearList next;
        if (!TakeNearest(scan.near, next)) {
            scan.stale = true;
            scan.stale_page = InvalidBlockNumber;
        }
        if (scan.stale) return;
        const std::uint32_t likely = scan.near.order.Likely();
        if (lists > 1 && likely != ivf::ListOrder::kUnknown)
            scan.pages.Prefetch(scan.model->entries[likely].scan_first, 0, kPrefetchedBytes);
        ScanList(scan, next);
        if (scan.open.size < kWarmLists) continue;
        RefineFrom(scan, first);
        first = scan.candidates.size;
    }
    RefineFrom(scan, first);
}

// Scores a block again, with a threshold that lets more rows through.
void Revisit(Scan& scan, SeenBlock& seen, float threshold) {
    const PageOwner owner = ScanOwner(scan.open.items[seen.open].entry);
    BeginList(scan, seen.open);
    scan.counts.revisited++;
    using Result = ivf::ListScanner::Result;
    ivf::ScoredBlock block;
    std::uint32_t only_at = seen.offset;
    for (BlockNumber at = seen.page; at != ivf::kNoPage;) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page;
        if (!LockListPage(scan, at, owner, page)) return;
        scan.scanner.BeginPage(page.bytes, at, only_at);
        const Result result = scan.scanner.NextBlock(threshold, ~seen.taken, block);
        if (result == Result::kDamaged)
            ReportCorruption(scan.pages.index, at, "a block is damaged");
        const BlockNumber next = page.tail().next;
        if (result == Result::kBlock) TakeRows(scan, block, seen.open, seen);
        UnlockPage(page);
        if (result == Result::kBlock) return;
        at = next;
    }
    if (scan.scanner.Finish(threshold, ~seen.taken, block) != Result::kBlock)
        ReportCorruption(scan.pages.index, seen.page, "a block ends too early");
    TakeRows(scan, block, seen.open, seen);
}

// Rows that were left behind could come next: fetch what twice as many rows will need (deep in the
// table eight times as many, so that blocks are not visited for each doubling), or, where that is
// not known, rows of the most promising blocks, twice as many as were expected so far.
void WidenThreshold(Scan& scan) {
    float limit = LimitOfTimes(scan, scan.counts.returned < kRerankBatch ? 2 : 8);
    if (limit > scan.unused && limit < get_float4_infinity()) {
        SetHint(scan, Max(scan.hint, 2 * static_cast<std::size_t>(scan.counts.returned)));
    } else {
        SetHint(scan, scan.hint * 2);
        ivf::SmallestK& nearest = scan.likeliest;
        for (std::size_t i = 0; i < scan.blocks.size; i++)
            nearest.Push(scan.blocks.items[i].unused);
        limit = std::nextafter(nearest.Threshold(), get_float4_infinity());
        SetHint(scan, scan.hint);
    }
    const std::size_t first = scan.candidates.size;
    // Lists that are opened from now on leave behind what these do.
    scan.limit = limit;
    scan.unused = get_float4_infinity();
    for (std::size_t i = 0; i < scan.blocks.size && !scan.stale; i++) {
        SeenBlock& seen = scan.blocks.items[i];
        if (seen.unused < limit)
            Revisit(scan, seen, limit);
        else
            scan.unused = Min(scan.unused, seen.unused);
    }
    // They come in page order here.
    if (scan.hint > kRerankBatch) RefineFrom(scan, first);
}

// ---- rank ----

// The key that a bound or an estimate stands for.
double KeyOf(const Scan& scan, float bound) {
    const double key = static_cast<double>(bound) - scan.key_shift;
    return isnan(key) ? -get_float8_infinity() : key;
}

void HeapCandidates(Scan& scan) {
    Array<Candidate>& c = scan.candidates;
    if (scan.heaped == 0) {
        ivf::MakeHeap(c.items, c.size);
    } else {
        for (std::size_t i = scan.heaped; i < c.size; i++) ivf::HeapSiftUp(c.items, i);
    }
    scan.heaped = c.size;
}

Candidate PopCandidate(Scan& scan) {
    const Candidate c = scan.candidates.items[0];
    scan.candidates.size = scan.heaped = ivf::PopHeap(scan.candidates.items, scan.candidates.size);
    return c;
}

// Better bounds for a batch that was taken out of the heap; in page order, and back into the heap.
void RefineBatch(Scan& scan, Candidate* batch, std::size_t size) {
    std::sort(batch, batch + size, [](const Candidate& a, const Candidate& b) {
        if (a.open != b.open) return a.open < b.open;
        return a.block != b.block ? a.block < b.block : a.slot < b.slot;
    });
    Refine(scan, batch, size, 0, true);
    if (scan.stale) return;
    for (std::size_t i = 0; i < size; i++) scan.candidates.Push(scan.query_context) = batch[i];
    HeapCandidates(scan);
}

// All rows of the opened lists that are left get their exact distance.
void RankAll(IndexScanDesc desc, Scan& scan) {
    const float infinity = get_float4_infinity();
    scan.unused = infinity;
    for (std::size_t i = 0; i < scan.blocks.size && !scan.stale; i++)
        if (scan.blocks.items[i].unused < infinity) Revisit(scan, scan.blocks.items[i], infinity);
    if (scan.stale) return;
    scan.batch.size = 0;
    for (std::size_t i = 0; i < scan.candidates.size; i++) {
        const Candidate& c = scan.candidates.items[i];
        scan.batch.Push(scan.query_context) = {c.tid, c.open};
    }
    scan.candidates.size = scan.heaped = 0;
    RerankBatch(desc, scan, scan.batch.items, scan.batch.size, scan.ranked);
}

// Takes candidates in order of lower bound and gives them their final distance.
void RankSome(IndexScanDesc desc, Scan& scan) {
    // Without a distance to the query there is nothing to read the table for.
    const bool rerank = scan.settings.rerank && scan.ordered && scan.two_stage == 0;
    const auto known = static_cast<std::size_t>(scan.counts.returned) + scan.ranked.size;
    const bool deep = known / kDeepPart > kRerankBatch;
    const std::size_t likely =
        static_cast<std::size_t>(scan.counts.returned) < scan.wanted ? scan.wanted : 2 * known;
    if (deep && rerank && likely * kMostPart > static_cast<std::size_t>(scan.ScannedSinceStart())) {
        RankAll(desc, scan);
        return;
    }
    const std::size_t want = deep                ? known / kDeepPart
                             : known < scan.hint ? Min(scan.hint - known, std::size_t{kRerankBatch})
                                                 : kRerankStep;
    // Beyond the first, only rows that can still be among the hinted number.
    const float limit =
        deep ? get_float4_infinity() : Min(scan.exact_keys.Threshold(), scan.unused);
    scan.batch.size = scan.unrefined.size = 0;
    std::size_t size = 0;
    while (size < want && scan.candidates.size > 0) {
        if (size > 0 && !(scan.candidates.items[0].lower <= limit)) break;
        const Candidate c = PopCandidate(scan);
        if (!c.refined) {
            scan.unrefined.Push(scan.query_context) = c;
            // A few rows are refined one by one, as each may spare the next.
            if (deep && scan.unrefined.size < want) continue;
            RefineBatch(scan, scan.unrefined.items, scan.unrefined.size);
            if (scan.stale) return;
            scan.unrefined.size = 0;
            continue;
        }
        size++;
        if (rerank) {
            scan.batch.Push(scan.query_context) = {c.tid, c.open};
            continue;
        }
        // Not below the bound, by which rows come here, or some would come too late.
        const float rank = Max(c.lower, c.estimate);
        PushRanked(scan, scan.ranked,
                   {KeyOf(scan, rank), 0, InvalidOid, c.open, InvalidBuffer, c.tid});
        scan.exact_keys.Push(rank);
    }
    if (scan.unrefined.size > 0) RefineBatch(scan, scan.unrefined.items, scan.unrefined.size);
    if (rerank && !scan.stale && size > 0)
        RerankBatch(desc, scan, scan.batch.items, size, scan.ranked);
}

// ---- the query ----

// The hint of a scan's first query, when `planned` rows are wanted by the plan (0: nobody knows).
std::size_t FirstHint(const Scan& scan, std::size_t planned) {
    if (planned > 0) return Min(planned, kLargeHint);
    if (scan.model->rows_taken > 0)
        return static_cast<std::size_t>(
            Min(scan.model->rows_taken, static_cast<double>(kLargeHint)));
    return kSmallHint;
}

// Memory for a prepared query, from the beginning of a cache line: registers as wide as one are
// loaded from it for every row.
ByteSpan QueryMemory(std::size_t bytes) {
    return {reinterpret_cast<std::uint8_t*>(
                CACHELINEALIGN(NewArray<std::uint8_t>(bytes + PG_CACHE_LINE_SIZE))),
            bytes};
}

ScanSettings SettingsNow(Relation index) {
    return {
        .probes = WishedProbes(OptionsOf(index)),
        .epsilon = setting_epsilon,
        .rerank = setting_rerank,
        .rerank_candidates = static_cast<std::size_t>(setting_rerank_candidates),
        .iterative = setting_iterative_scan,
        .max_scan_tuples = setting_max_scan_tuples > 0 ? setting_max_scan_tuples : PG_INT64_MAX,
    };
}

// Opens lists until they are likely to be enough for all rows that are wanted, so that lists are
// scanned in one sweep and the table is read after it.
void OpenForWanted(Scan& scan) {
    while (MayOpenMore(scan) && !scan.stale) {
        std::size_t lists = 0;
        if (scan.ScannedSinceStart() < static_cast<std::int64_t>(scan.wanted))
            lists = Max(scan.open.size, std::size_t{1});
        else if (!ListsAreEnough(scan))
            lists = scan.rule.ListsToOpen(scan.near.order.left());
        if (lists == 0) return;
        ProbeLists(scan, lists);
    }
}

}  // namespace

void Start(IndexScanDesc desc, Scan& scan, bool again) {
    if (!IsMVCCSnapshot(desc->xs_snapshot))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("non-MVCC snapshots are not supported with quantvec")));
    if (desc->numberOfOrderBys != 1)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("cannot scan quantvec index without order")));
    scan.pages = {desc->indexRelation, desc->xs_snapshot, &scan.model->recent, scan.model->context};
    const Model& model = *scan.model;
    const std::size_t dim = model.meta.dim, padded = model.meta.padded_dim;
    const MemoryScope scope(scan.query_context);

    const FloatSpan rotated = NewZeroedSpan<float>(padded);
    const ScanKey key = desc->orderByData;
    scan.ordered = !(key->sk_flags & SK_ISNULL);
    if (scan.ordered) {
        // A copy, since known_distance may outlive the executor's datum.
        const Datum own = PointerGetDatum(PG_DETOAST_DATUM_COPY(key->sk_argument));
        scan.query = scan.opclass->values(own);
        CheckSizes(static_cast<int>(dim), static_cast<int>(scan.query.size()), scan.opclass->sizes);
        scan.query_bytes = BytesOf(own);
        scan.stored_query = StoredValueOf(key->sk_argument);
        const kernels::Kernels& k = kernels::Active();
        const auto norm_sqr =
            static_cast<double>(k.inner_product(scan.query.data(), scan.query.data(), dim));
        ConstFloatSpan query = scan.query;
        if (model.query_norm > 0 && norm_sqr > 0 && std::isfinite(norm_sqr)) {
            scan.key_scale = model.query_norm / std::sqrt(norm_sqr);
            const FloatSpan scaled = NewSpan<float>(dim);
            for (std::size_t i = 0; i < dim; i++)
                scaled[i] = static_cast<float>(static_cast<double>(query[i]) * scan.key_scale);
            query = scaled;
        }
        scan.key_shift = KeyShift(scan.opclass->metric, norm_sqr * scan.key_scale * scan.key_scale);
        scan.ordered = Transform(model, query, rotated);
    }
    if (!scan.ordered) std::fill(rotated.begin(), rotated.end(), 0.0f);
    if (!again) scan.settings = SettingsNow(desc->indexRelation);
    scan.two_stage = scan.settings.rerank && scan.ordered ? scan.settings.rerank_candidates : 0;
    if (scan.two_stage > scan.hint) SetHint(scan, scan.two_stage);

    const std::size_t bytes = model.layout.quantizer->QueryBytes(model.layout.spec);
    model.layout.quantizer->PrepareQuery(model.layout.spec, rotated,
                                         static_cast<float>(scan.settings.epsilon),
                                         QueryMemory(bytes), scan.prepared);
    scan.rotated = rotated;
    const auto probes = static_cast<std::size_t>(
        ProbesFor(scan.settings.probes, static_cast<int>(model.meta.lists)));
    BeginNear(scan.near, desc->indexRelation, *scan.model, scan.rotated, kScanListEpsilon,
              ListsBy::kPromising, probes);
    scope.Leave();

    scan.started = true;
    BeginLeaving(scan, again);
    ProbeLists(scan, probes);
    if (scan.settings.iterative == kIterativeStrict) OpenForWanted(scan);
    HeapCandidates(scan);
}

namespace {

// Goes on after everything that the opened lists gave. false: there is no more.
bool OpenMore(Scan& scan) {
    if (!MayOpenMore(scan)) {
        scan.counts.stopped = scan.near.order.left() == 0 ? "all lists scanned"
                              : scan.settings.iterative == kIterativeOff
                                  ? "probed lists exhausted"
                                  : "max_scan_tuples reached";
        return false;
    }
    SetHint(scan, scan.hint);
    ProbeLists(scan, Max(scan.open.size, std::size_t{1}));
    HeapCandidates(scan);
    return true;
}

Ranked PopRanked(Array<Ranked>& ranked) {
    const Ranked row = ranked.items[0];
    ranked.size = ivf::PopHeap(ranked.items, ranked.size);
    return row;
}

// Brings the row to the head of `ranked` that nothing left in the opened lists can be nearer than.
// false: they have no more, or the scan is stale.
bool FindRanked(IndexScanDesc desc, Scan& scan) {
    const double infinity = get_float8_infinity();
    while (!scan.stale) {
        CHECK_FOR_INTERRUPTS();
        const double key = scan.ranked.size > 0 ? scan.ranked.items[0].key : infinity;
        const double bound =
            scan.candidates.size > 0 ? KeyOf(scan, scan.candidates.items[0].lower) : infinity;
        const double unused =
            scan.unused < get_float4_infinity() ? KeyOf(scan, scan.unused) : infinity;
        if (scan.ranked.size > 0 && key <= bound && key <= unused) return true;
        if (scan.candidates.size > 0 && bound <= unused) {
            RankSome(desc, scan);
        } else if (unused < infinity) {
            WidenThreshold(scan);
            HeapCandidates(scan);
        } else {
            return false;
        }
    }
    return false;
}

// The next rows in order of estimate get their exact keys: quantvec.rerank_candidates of them.
void RerankNext(IndexScanDesc desc, Scan& scan) {
    auto* batch = NewArrayIn<FoundRow>(scan.query_context, scan.two_stage);
    std::size_t size = 0;
    while (size < scan.two_stage && FindRanked(desc, scan)) {
        const Ranked row = PopRanked(scan.ranked);
        batch[size++] = {row.tid, row.open};
    }
    RerankBatch(desc, scan, batch, size, scan.second);
    scan.batches++;
    pfree(batch);
}

// The same for the two-stage search, at the head of `second`. If the first batch holds as many rows
// as are wanted, its best leave. From there on a row waits until no estimate that is left is below
// its key.
bool FindSecond(IndexScanDesc desc, Scan& scan) {
    while (!scan.stale) {
        const auto returned = static_cast<std::size_t>(scan.counts.returned);
        const bool best_of_first =
            scan.batches == 1 && scan.wanted <= scan.two_stage && returned < scan.wanted;
        if (scan.second.size > 0 && best_of_first) return true;
        const bool more = FindRanked(desc, scan);
        if (scan.stale) break;
        if (scan.second.size > 0 && (!more || scan.second.items[0].key <= scan.ranked.items[0].key))
            return true;
        if (!more) return false;
        RerankNext(desc, scan);
    }
    return false;
}

bool WasReturned(const Scan& scan, const ItemPointerData& tid) {
    const ItemPointerData* known = scan.returned.items;
    return std::binary_search(known, known + scan.skipped, tid, LiesBefore);
}

void Return(Scan& scan, const Ranked& row, ItemPointer tid) {
    const auto n = static_cast<std::uint64_t>(++scan.counts.returned);
    if ((n & (n - 1)) == 0) scan.key_at[__builtin_ctzll(n)] = scan.last_key;
    scan.returned.Push(scan.query_context) = *tid = row.tid;
    if (OidIsValid(row.toast_value))
        known_distance = {&scan,
                          scan.opclass->measure,
                          {scan.reranker.toast.table_id, row.toast_value},
                          scan.query_bytes,
                          scan.stored_query,
                          row.distance};
}

// A row that came too late leaves after all others. false: there is none.
bool NextLate(Scan& scan, ItemPointer tid) {
    if (scan.late.size == 0) return false;
    scan.counts.late++;
    Return(scan, PopRanked(scan.late), tid);
    return true;
}

// The next row in order, or false at the end, or if the scan is stale.
bool NextRow(IndexScanDesc desc, Scan& scan, ItemPointer tid) {
    // Without an order no row is too late for it.
    const bool strict = scan.settings.iterative == kIterativeStrict && scan.ordered;
    Array<Ranked>& rows = scan.two_stage == 0 ? scan.ranked : scan.second;
    for (;;) {
        if (!(scan.two_stage == 0 ? FindRanked(desc, scan) : FindSecond(desc, scan))) {
            if (scan.stale) return false;
            if (OpenMore(scan)) continue;
            if (scan.stale) return false;
            return NextLate(scan, tid);
        }
        const Ranked& next = rows.items[0];
        const bool known = WasReturned(scan, next.tid);
        const bool late = strict && next.key < scan.last_key && next.open >= scan.settled;
        if (!known && !late && !MayLeave(scan, next.key)) {
            ProbeLists(scan, scan.rule.ListsToOpen(scan.near.order.left()));
            HeapCandidates(scan);
            continue;
        }
        const Ranked row = PopRanked(rows);
        scan.open.items[row.open].taken++;
        if (known) continue;
        if (late) {
            PushRanked(scan, scan.late, row);
            scan.rule.NoteLate();
            continue;
        }
        if (row.key > scan.last_key) {
            scan.last_key = row.key;
            scan.last_distance = row.distance;
        }
        scan.settled = scan.open.size;
        PrefetchRows(rows);
        Return(scan, row, tid);
        return true;
    }
}

// Remembers what the finished scan was for.
void Finish(Scan& scan) {
    ForgetDistance(&scan);
    if (!scan.started) return;
    scan.model->rows_taken = static_cast<double>(scan.counts.returned);
    scan.counts.dropped = static_cast<std::int64_t>(scan.late.size);
    last_scan = scan.counts;
}

}  // namespace

IndexScanDesc AmBeginScan(Relation index, int keys, int orderbys) {
    IndexScanDesc desc = RelationGetIndexScan(index, keys, orderbys);
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec scan", ALLOCSET_DEFAULT_SIZES);
    auto* scan = NewIn<Scan>(context);
    scan->context = context;
    scan->query_context =
        AllocSetContextCreate(context, "quantvec scan query", ALLOCSET_DEFAULT_SIZES);
    scan->model = AcquireModel(index, context);
    // After an ERROR no AmEndScan comes, but the scan's memory goes.
    AtReset(
        context, [](void* owner) { ForgetDistance(owner); }, scan);
    scan->opclass = &OpclassOf(index);
    desc->opaque = scan;
    return desc;
}

void AmRescan(IndexScanDesc desc, ScanKey, int, ScanKey orderbys, int) {
    Scan& scan = *static_cast<Scan*>(desc->opaque);
    const auto taken = static_cast<std::size_t>(scan.counts.returned);
    const bool again = scan.started;
    Finish(scan);
    Clear(scan);
    std::size_t planned = 0;
    if (scan.wanted == 0) {
        planned = TakePlannedLimit(RelationGetRelid(desc->indexRelation));
        scan.wanted = planned > 0 ? planned : kSmallHint;
    }
    scan.last_key = -get_float8_infinity();
    scan.scanned_before = 0;
    scan.counts = {};
    scan.counts.index = RelationGetRelid(desc->indexRelation);
    scan.counts.stopped = "no more rows wanted";
    SetHint(scan, again && taken > 0 ? taken : FirstHint(scan, planned));
    if (orderbys && desc->numberOfOrderBys > 0)
        memmove(desc->orderByData, orderbys,
                static_cast<std::size_t>(desc->numberOfOrderBys) * sizeof(ScanKeyData));
}

bool AmGetTuple(IndexScanDesc desc, ScanDirection direction) {
    Scan& scan = *static_cast<Scan*>(desc->opaque);
    if (!ScanDirectionIsForward(direction)) elog(ERROR, "quantvec only supports forward scans");
    ForgetDistance(&scan);
    if (!scan.started) {
        pgstat_count_index_scan(desc->indexRelation);
        CountSearch(desc);
        Start(desc, scan);
    }
    desc->xs_recheck = false;
    desc->xs_recheckorderby = false;
    while (!NextRow(desc, scan, &desc->xs_heaptid)) {
        if (!scan.stale) return false;
        StartOver(desc, scan);
    }
    return true;
}

void AmEndScan(IndexScanDesc desc) {
    Scan& scan = *static_cast<Scan*>(desc->opaque);
    Finish(scan);
    EndRerank(scan.reranker);
    MemoryContextDelete(scan.context);
    desc->opaque = nullptr;
}

}  // namespace quantvec::pg
