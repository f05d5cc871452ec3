// amcostestimate: what a scan will touch, so that the planner chooses between it and exact search.
//
// A scan reads the codes of the centroids and the probed lists before its first row (start-up
// cost). For each further row it refines some and reranks one or two. A filter makes the executor
// ask for more rows than LIMIT says; the planner accounts for that by taking a larger share of the
// total cost. Such a scan opens all lists before long (core/ivf/leave.h): where rows are thrown
// away, or nobody knows how many are wanted, their cost is paid at the start.
#include "pg/am/cost.h"

#include <cmath>

#include "pg/am/am.h"
#include "pg/am/options.h"
#include "pg/am/storage/meta.h"
#include "pg/compat.h"

namespace quantvec::pg {

namespace {

// LIMIT plus OFFSET of the plan that was made last, until its scan takes it. It is not taken where
// the plan does not use the index, or is only explained; then it must not pass for that of another
// statement, since a scan that believes too many rows to be wanted allows itself to miss too many.
// So it holds for its transaction only, and of two that were not taken the smaller counts.
struct {
    Oid index = InvalidOid;
    LocalTransactionId transaction = InvalidLocalTransactionId;
    double limit = -1;
} planned;

// A code in units of cpu_operator_cost: some ten nanoseconds, against a comparison's 25 or so.
constexpr double kCodeCost = 0.25;
// Choosing a list among others: 20 to 40 ns by the codes of centroids.
constexpr double kCentroidCost = 1;
// Metapage, model and the first pages of lists and table: what a scan of a tiny table costs as
// well.
constexpr double kFixedPages = 4;
// What a row that is returned costs before the executor fetches it, which cost_index adds: others
// have been refined in vain, the row has been read and measured by the rerank, and some of its
// neighbours too. In units of seq_page_cost, of pages in cache. Measured with all in memory: a
// sequential scan of wordnet-384 and of fashion-mnist that throws rows away takes 1 and 4 us a
// unit; scans of the index take 9 us for each row when they hand out 1,000, 5 us for each of 8,000,
// and 2 us for each of all.
constexpr double kRerankCost = 5.5;
// Rows that meet a condition may lie far from the query. More rows are then handed out than if they
// lay evenly: this many times as many (wordnet-384, one of 64 topics, the farthest, LIMIT 10: 20
// times; the nearest: a sixth). In a large table the index is taken all the same; in a small one
// exact search takes little longer at best, and much less at worst.
constexpr double kUneven = 6;

// More than any table has.
constexpr double kMostWanted = 1e12;

void NotePlannedLimit(Oid index, double limit) {
    const bool waits = planned.index == index && planned.transaction == ThisTransaction();
    planned = {index, ThisTransaction(), waits ? Min(limit, planned.limit) : limit};
}

}  // namespace

std::size_t TakePlannedLimit(Oid index) {
    if (planned.index != index || planned.transaction != ThisTransaction()) return 0;
    const double limit = planned.limit;
    planned = {};
    return limit > 0 ? static_cast<std::size_t>(Min(limit, kMostWanted)) : 0;
}

void AmCostEstimate(PlannerInfo* root, IndexPath* path, double, Cost* startup_cost,
                    Cost* total_cost, Selectivity* selectivity, double* correlation,
                    double* pages) {
    if (path->indexorderbys == NIL) {
        // Only useful for an order.
        *startup_cost = *total_cost = get_float8_infinity();
        *selectivity = *correlation = *pages = 0;
        DisablePath(path);
        return;
    }
    const IndexOptInfo* info = path->indexinfo;
    int lists = 1, probes = WishedProbes({});
    std::uint32_t refine_row_bytes = 0, scan_bytes = 1;
    if (!info->hypothetical) {
        Relation index = index_open(info->indexoid, NoLock);
        const MetaPage meta = ReadMeta(index);
        lists = static_cast<int>(meta.lists);
        refine_row_bytes = meta.refine_row_bytes;
        scan_bytes = (meta.block_head_bytes + meta.block_code_bytes) / ivf::kBlockRows;
        probes = WishedProbes(OptionsOf(index));
        index_close(index, NoLock);
    }
    NotePlannedLimit(info->indexoid, root->limit_tuples);

    const double share = static_cast<double>(ProbesFor(probes, lists)) / lists;
    const double scan_share =
        static_cast<double>(scan_bytes) / static_cast<double>(scan_bytes + refine_row_bytes);
    double random_cost, seq_cost;
    get_tablespace_page_costs(info->reltablespace, &random_cost, &seq_cost);
    // Probed lists are runs of pages; the pages of a warm index cost less than either.
    // Pages that VACUUM keeps free are not scanned.
    const double filled = info->tuples * scan_bytes / ivf::kPayloadBytes + lists;
    const double scan_pages = std::ceil(share * Min(scan_share * info->pages, filled));
    const double codes = share * info->tuples;
    const double fixed = kFixedPages * random_cost + lists * kCentroidCost * cpu_operator_cost;
    const double probed = scan_pages * seq_cost + codes * kCodeCost * cpu_operator_cost;
    const double all = probed / share;
    const bool conditions = info->indrestrictinfo != NIL;
    const bool deep = root->limit_tuples < 0 || conditions;
    const double per_row = (cpu_tuple_cost + kRerankCost) * (conditions ? kUneven : 1);
    *startup_cost = fixed + (deep ? all : probed);
    *total_cost = fixed + all + Max(info->tuples, 1.0) * per_row;
    *selectivity = 1;
    *correlation = 0;
    *pages = scan_pages;
}

}  // namespace quantvec::pg
