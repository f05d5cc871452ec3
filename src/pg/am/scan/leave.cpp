// When a row leaves a scan: the shell of core/ivf/leave.h. What the rule has to know of each list
// comes from the directory, the codes of the centroids, and the lists that are open.
#include <algorithm>
#include <cmath>

#include "pg/am/options.h"
#include "pg/am/scan/state.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

float ShiftedKey(const Scan& scan, double key) {
    return static_cast<float>(key + scan.key_shift);
}

// How keys of a list's rows lie (core/ivf/missing.h), in the scan's floats.
void SetFigures(Scan& scan, std::size_t list, float l2sqr) {
    const ivf::ListEntry& entry = scan.model->entries[list];
    const float spread = entry.spread, rows = static_cast<float>(entry.rows);
    if (scan.opclass->metric == Metric::kInnerProduct) {
        scan.rule.missing().Set(list, l2sqr - ivf::BiasOf(scan.model->coarse, list),
                                2 * static_cast<float>(std::sqrt(scan.key_shift)) * spread, rows);
    } else {
        const float sqr = spread * spread, distance = Max(l2sqr, 0.0f);
        scan.rule.missing().Set(list, distance + sqr, 2 * spread * std::sqrt(distance + sqr / 2),
                                rows);
    }
}

// Tells the rule of lists that were opened since; at first, of all.
void NoteLists(Scan& scan) {
    ivf::MissingRows& missing = scan.rule.missing();
    const std::size_t lists = scan.model->meta.lists;
    if (missing.lists() == 0) {
        missing.Begin(lists,
                      NewSpanIn<std::uint8_t>(scan.query_context, ivf::MissingRows::Bytes(lists)));
        for (std::size_t first = 0; first < lists; first += ivf::kBlockRows) {
            float estimates[ivf::kBlockRows];
            ivf::EstimateFine(scan.model->coarse, scan.near.query, first / ivf::kBlockRows,
                              estimates);
            for (std::size_t i = first; i < Min(first + ivf::kBlockRows, lists); i++)
                SetFigures(scan, i, estimates[i - first]);
        }
    }
    while (missing.opened() < scan.open.size) {
        const OpenList& open = scan.open.items[missing.opened()];
        SetFigures(scan, open.list, open.l2sqr);
        missing.Opened(open.list, static_cast<float>(open.rows));
    }
}

}  // namespace

void BeginLeaving(Scan& scan, bool again) {
    if (again) {
        scan.rule.Restart();
        return;
    }
    // Without an order no row is nearer than another.
    if (scan.settings.iterative != kIterativeStrict || !scan.ordered)
        scan.rule.BeginWithout();
    else
        scan.rule.Begin(scan.wanted, scan.opclass->metric == Metric::kInnerProduct
                                         ? -get_float4_infinity()
                                         : 0.0f);
}

bool MayLeave(Scan& scan, double key) {
    const std::uint64_t n = static_cast<std::uint64_t>(scan.counts.returned) + 1;
    const float shifted = ShiftedKey(scan, key);
    if (scan.rule.Leaves(shifted, n) || n <= scan.rule.base()) return true;
    if (scan.near.order.left() == 0 || !scan.MayScanMore()) {
        scan.rule.LetAllLeave();
        return true;
    }
    NoteLists(scan);
    ivf::MissingRows& missing = scan.rule.missing();
    for (std::size_t i = 0; i < scan.open.size; i++)
        missing.SetHits(i, static_cast<float>(scan.open.items[i].taken));
    const float last = ShiftedKey(scan, scan.last_key);
    missing.Fit(last);
    if (!scan.rule.IsCalibrated()) scan.rule.Calibrate(last, n - 1);
    return scan.rule.Ask(shifted, n);
}

bool ListsAreEnough(Scan& scan) {
    const std::size_t base = scan.rule.base(), depth = Max(scan.wanted, scan.hint);
    const std::size_t size = scan.candidates.size;
    if (depth <= base || scan.rule.AllLeave()) return true;
    // The hint may be for more rows than the opened lists have: then nothing tells how far they
    // reach.
    if (size < depth) return true;
    NoteLists(scan);
    ivf::MissingRows& missing = scan.rule.missing();
    auto* estimates = NewArrayIn<float>(scan.query_context, size);
    for (std::size_t i = 0; i < size; i++) {
        const float estimate = scan.candidates.items[i].estimate;
        estimates[i] = std::isnan(estimate) ? get_float4_infinity() : estimate;
    }
    // The key of row number n, and what is expected to be missing there.
    const auto fit = [&](std::size_t n) {
        std::nth_element(estimates, estimates + (n - 1), estimates + size);
        const float key = estimates[n - 1];
        for (std::size_t i = 0; i < scan.open.size; i++) missing.SetHits(i, 0);
        for (std::size_t i = 0; i < size; i++) {
            const Candidate& c = scan.candidates.items[i];
            if (c.estimate <= key) missing.AddHit(c.open);
        }
        missing.Fit(key);
        return key;
    };
    if (!scan.rule.IsCalibrated()) scan.rule.Calibrate(fit(base), base);
    const bool enough = scan.rule.IsLikely(fit(depth), depth);
    pfree(estimates);
    return enough;
}

}  // namespace quantvec::pg
