// One index scan: what its steps share. scan.cpp tells the story; refine.cpp reads further bits of
// codes; rerank.cpp reads the table; leave.cpp asks whether a row may leave before another list is
// opened; start_over.cpp begins again when VACUUM has moved what the scan knew.
#pragma once

#include "core/ivf/leave.h"
#include "core/ivf/stream.h"
#include "core/ivf/topk.h"
#include "pg/am/list/choose.h"
#include "pg/am/storage/model.h"
#include "pg/am/table/indexed_column.h"
#include "pg/am/table/toast.h"
#include "pg/memory.h"
#include "pg/types/known_distance.h"

namespace quantvec::pg {

// The order of the table's rows on disk.
inline bool LiesBefore(const ItemPointerData& a, const ItemPointerData& b) {
    return ItemPointerCompare(const_cast<ItemPointer>(&a), const_cast<ItemPointer>(&b)) < 0;
}

// A row that may still be wanted; bounds and estimate are keys plus Scan::key_shift.
struct Candidate {
    float lower;
    float estimate;
    float sum;                  // scan sum, until refined
    std::uint32_t open;         // index into the open lists
    std::uint32_t block;        // ordinal of its block
    std::uint32_t refine_page;  // of the block's first slot
    std::uint8_t slot;
    bool refined;  // or there is no refine layer
    ItemPointerData tid;
    bool Before(const Candidate& o) const { return lower < o.lower; }
};

// A row of an opened list.
struct FoundRow {
    ItemPointerData tid;
    std::uint32_t open;  // index into the open lists
};

// A row with its final key.
struct Ranked {
    double key;
    double distance;     // exact, as the operator gives it; only with a toast_value
    Oid toast_value;     // the row's vector, if it is stored out of line
    std::uint32_t open;  // index into the open lists
    Buffer buffer;       // where the row's page was when it was read; or InvalidBuffer
    ItemPointerData tid;
    bool Before(const Ranked& o) const {
        if (key != o.key) return key < o.key;
        return LiesBefore(tid, o.tid);
    }
};

// A list that was opened. Its entry is the one of that time: pages, and what was noted of them,
// belong to that generation of the list.
struct OpenList {
    float l2sqr;         // from the query to the centroid
    std::uint32_t list;  // its number
    std::uint64_t rows;  // that it held
    std::uint64_t
        taken;  // rows of it that left, or are known to be nearer than the one that left last
    ivf::ListEntry entry;
};

// A block that was scanned: rows of it that were not taken have bounds of at least `unused`.
struct SeenBlock {
    std::uint32_t page;
    std::uint16_t offset;
    std::uint32_t open;
    std::uint32_t taken;
    float unused;
};

// Rows that are wanted when nothing is known, and the largest hint that is believed: bounds are
// kept in a heap of the hint's size.
inline constexpr std::size_t kSmallHint = 10;
inline constexpr std::size_t kLargeHint = 100000;

// What quantvec_last_scan() tells.
struct ScanCounts {
    Oid index;
    std::int64_t lists;
    std::int64_t scanned;  // codes
    std::int64_t refined;
    std::int64_t reranked;
    std::int64_t returned;
    std::int64_t late;       // came too late for strict order, and left last
    std::int64_t dropped;    // came too late, and the scan ended before they left
    std::int64_t revisited;  // blocks
    std::int64_t restarts;   // times that the scan started over
    const char* stopped;
};
extern ScanCounts last_scan;

// Reads exact distances from the table.
struct Reranker {
    Relation heap;
    IndexFetchTableData* fetch;
    TupleTableSlot* slot;
    IndexedColumn column;
    ToastReader toast;
    MemoryContext context;
};

// The settings as they were when the first row was asked for; a cursor keeps them.
struct ScanSettings {
    int probes;
    double epsilon;
    bool rerank;
    std::size_t rerank_candidates;
    int iterative;
    std::int64_t max_scan_tuples;
};

struct Scan {
    MemoryContext context;        // lives as long as the scan
    MemoryContext query_context;  // emptied by every rescan
    Model* model;
    const OpclassInfo* opclass;
    ScanPages pages;
    Reranker reranker;
    ScanSettings settings;
    bool started;

    // the query
    ConstFloatSpan query;       // as given, in query_context
    ConstByteSpan query_bytes;  // the same, as its type writes it
    StoredValue stored_query;
    double key_shift;  // of estimates and bounds (core/metric.h)
    double key_scale;  // inner product: by which the query was lengthened; else 1
    bool ordered;      // false: NULL or without direction, any order is right
    ConstFloatSpan rotated;
    quant::PreparedQuery prepared;
    NearLists near;        // the lists not yet probed
    Array<OpenList> open;  // those that were
    // A page of these has gone to something else: VACUUM has given the list a new chain, or the
    // index a new model. The scan starts over (start_over.cpp).
    bool stale;
    BlockNumber stale_page;
    PageOwner stale_owner;
    Array<ItemPointerData> returned;  // rows, in their order; sorted up to `skipped`
    std::size_t skipped;              // that were returned before the scan started over

    // when rows leave
    std::size_t wanted;  // by the plan's LIMIT and OFFSET
    ivf::LeaveRule rule;
    std::size_t
        settled;  // lists that were open when the last row left: no row of theirs comes too late
    Array<Ranked> late;  // heap by key: rows that are kept back until all others have left

    // the cascade
    std::size_t hint;  // rows that are likely to be wanted
    float* heaps;      // [4 heap_size] memory of the four that follow
    std::size_t heap_size;
    float limit;                 // rows from this bound on are left behind in any case
    ivf::SmallestK scan_bounds;  // upper bounds from the scan layer
    ivf::SmallestK fine_bounds;  // from the refine layer, or exact keys
    ivf::SmallestK exact_keys;
    ivf::SmallestK likeliest;     // estimates from the scan layer
    Array<Candidate> candidates;  // heap by lower bound, once heaped
    std::size_t heaped;           // candidates that are a heap, from the first on
    Array<Ranked> ranked;         // heap by key, exact unless rows are ranked by estimate
    std::size_t two_stage;        // quantvec.rerank_candidates, 0 where nothing is to be reranked
    Array<FoundRow> batch;        // that is reranked next
    Array<Candidate> unrefined;   // that are refined next
    Array<Ranked> second;         // of the two-stage search: heap by exact key
    std::size_t batches;          // of it, so far
    Array<SeenBlock> blocks;
    float unused;                    // least unused bound of all blocks
    double last_key, last_distance;  // of the row returned last
    double key_at[64];               // last_key when 2^i rows were returned
    std::int64_t scanned_before;     // codes, until the scan started over
    ivf::ListScanner scanner;

    ScanCounts counts;

    std::int64_t ScannedSinceStart() const { return counts.scanned - scanned_before; }
    bool MayScanMore() const { return ScannedSinceStart() < settings.max_scan_tuples; }
    float Threshold() const {
        return Min(limit, Min(scan_bounds.Threshold(), fine_bounds.Threshold()));
    }
};

// Puts a row into a heap by key.
inline void PushRanked(Scan& scan, Array<Ranked>& heap, const Ranked& row) {
    heap.Push(scan.query_context) = row;
    ivf::HeapSiftUp(heap.items, heap.size - 1);
}

// ---- state.cpp ----

// Forgets everything that a query has made, but counts.
void Clear(Scan& scan);
// The heaps of the threshold begin anew, for another number of rows.
void SetHint(Scan& scan, std::size_t hint);
// The key that `times` as many rows will probably not exceed as have left, in the scan's floats.
// Infinity while too few have left.
float LimitOfTimes(const Scan& scan, double times);
// Locks a page of a list that was opened. false: it is none any more, and the scan is stale.
bool LockListPage(Scan& scan, BlockNumber number, const PageOwner& owner, LockedPage& page);

// ---- scan.cpp ----

// Prepares the query and opens its first lists. again: the scan has started over.
void Start(IndexScanDesc desc, Scan& scan, bool again = false);

// ---- refine.cpp ----

// Better estimates and bounds for candidates, which come in the order of the refine chain. A
// candidate stays as it is if its estimate is above `limit`, or if its bound is not below both the
// threshold and what twice as many rows will need; unless `all` are wanted. Ends early if the scan
// is stale.
void Refine(Scan& scan, Candidate* batch, std::size_t size, float limit, bool all = false);
// Refines candidates from number `first` on.
void RefineFrom(Scan& scan, std::size_t first);

// ---- start_over.cpp ----

// The scan is stale: it begins again with the lists and the model of now.
void StartOver(IndexScanDesc desc, Scan& scan);

// ---- leave.cpp ----

// Before the lists of a query are opened. `again`: the scan has started over.
void BeginLeaving(Scan& scan, bool again);
// May the row of this key leave? Else lists are opened first: scan.rule says how many.
bool MayLeave(Scan& scan, double key);
// Before the first row leaves: are the lists that are open likely to be enough for all rows that
// are expected to be asked for? Else, as above.
bool ListsAreEnough(Scan& scan);

// ---- rerank.cpp ----

// The key that an exact distance stands for.
double KeyOfDistance(const Scan& scan, double distance);
// Exact keys of rows, pushed to the heap `ranked`; rows that the snapshot does not see vanish.
// Sorts the batch by heap position.
void RerankBatch(IndexScanDesc desc, Scan& scan, FoundRow* batch, std::size_t size,
                 Array<Ranked>& ranked);
// Asks the processor for what the executor will look at of the rows that leave next: `rows` is a
// heap by key.
void PrefetchRows(const Array<Ranked>& rows);
void EndRerank(Reranker& reranker);

}  // namespace quantvec::pg
