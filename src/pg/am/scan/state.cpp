// What a scan knows, emptied and asked: nothing here reads a code or a row.
#include "pg/am/scan/state.h"

#include <cmath>

#include "pg/memory.h"
#include "pg/types/known_distance.h"

namespace quantvec::pg {

void Clear(Scan& scan) {
    ForgetDistance(&scan);
    MemoryContextReset(scan.query_context);
    scan.started = scan.stale = false;
    scan.open.Reset();
    scan.candidates.Reset();
    scan.ranked.Reset();
    scan.second.Reset();
    scan.batch.Reset();
    scan.unrefined.Reset();
    scan.late.Reset();
    scan.batches = 0;
    scan.settled = 0;
    scan.heaps = nullptr;
    scan.heap_size = 0;
    scan.blocks.Reset();
    scan.returned.Reset();
    scan.skipped = 0;
    scan.heaped = 0;
    scan.unused = get_float4_infinity();
    scan.key_shift = 0;
    scan.key_scale = 1;
}

void SetHint(Scan& scan, std::size_t hint) {
    scan.hint = Max(Min(hint, kLargeHint), std::size_t{1});
    float* memory = scan.heaps;
    if (scan.hint > scan.heap_size) {
        if (memory) pfree(memory);
        memory = scan.heaps = NewArrayIn<float>(scan.query_context, 4 * scan.hint);
        scan.heap_size = scan.hint;
    }
    scan.scan_bounds.Reset(memory, scan.hint);
    scan.fine_bounds.Reset(memory + scan.hint, scan.hint);
    scan.exact_keys.Reset(memory + 2 * scan.hint, scan.hint);
    scan.likeliest.Reset(memory + 3 * scan.hint, scan.hint);
    scan.limit = get_float4_infinity();
}

// The key is taken to go on rising with each doubling as it did with the last.
float LimitOfTimes(const Scan& scan, double times) {
    const auto n = static_cast<std::uint64_t>(scan.counts.returned);
    if (n < kSmallHint) return get_float4_infinity();
    // Row number 2^i left a doubling or two ago.
    const int i = 62 - __builtin_clzll(n);
    const double doublings = std::log2(static_cast<double>(n)) - i;
    const auto limit = static_cast<float>(
        scan.last_key + (scan.last_key - scan.key_at[i]) * std::log2(times) / doublings +
        scan.key_shift);
    return isnan(limit) ? get_float4_infinity() : limit;
}

bool LockListPage(Scan& scan, BlockNumber number, const PageOwner& owner, LockedPage& page) {
    if (scan.pages.TryLock(number, owner, page)) return true;
    scan.stale = true;
    scan.stale_page = number;
    scan.stale_owner = owner;
    page = {};
    return false;
}

}  // namespace quantvec::pg
