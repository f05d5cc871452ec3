// The second pass: candidates get the further bits of their codes, and with them better bounds.
//
// A row's refine bits lie in the refine chain of its list, at a place that follows from block and
// slot. Candidates come in the order of that chain, so each page is locked once.
#include "core/ivf/block_walk.h"
#include "pg/am/scan/state.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Refine rows that are asked for ahead of the one that is read.
constexpr std::size_t kRefineAhead = 6;

// A page of a refine chain, and its place in the chain: 0, 1, ..
struct RefinePlace {
    BlockNumber page;
    std::uint32_t ordinal;
};

// Guesses which page has this ordinal, without a look at the pages between. REQUIRES: `from` does
// not lie behind it. Pages that were laid out in one run follow each other; of others, earlier
// looks may have noted the next one. kNoPage: unknown.
BlockNumber GuessRefinePage(const Scan& scan, const ivf::ListEntry& entry, RefinePlace from,
                            std::uint32_t ordinal) {
    if (ordinal < entry.refine_contiguous) return entry.refine_first + ordinal;
    while (from.ordinal < ordinal && from.page != ivf::kNoPage)
        from = {scan.model->recent.Next(from.page), from.ordinal + 1};
    return from.page;
}

// The refine page with this ordinal, share-locked: where it is guessed to be, else by following the
// chain from `from`. false: the scan is stale.
bool LockRefinePage(Scan& scan, const ivf::ListEntry& entry, RefinePlace from,
                    std::uint32_t ordinal, LockedPage& page) {
    const PageOwner owner = RefineOwner(entry);
    const BlockNumber guess = GuessRefinePage(scan, entry, from, ordinal);
    if (guess != ivf::kNoPage && guess != from.page && scan.pages.TryLock(guess, owner, page)) {
        if (page.tail().ordinal == ordinal) return true;
        UnlockPage(page);
    }
    if (!LockListPage(scan, from.page, owner, page)) return false;
    while (page.tail().ordinal < ordinal && page.tail().next != ivf::kNoPage) {
        const BlockNumber next = page.tail().next;
        scan.model->recent.NoteNext(page.number, next);
        UnlockPage(page);
        CHECK_FOR_INTERRUPTS();
        if (!LockListPage(scan, next, owner, page)) return false;
    }
    if (page.tail().ordinal != ordinal)
        ReportCorruption(scan.pages.index, page.number, "a refine page is out of order");
    return true;
}

// Where the refine rows of a candidate's block begin.
RefinePlace PlaceOfBlock(const ivf::BlockLayout& layout, const Candidate& c) {
    return {c.refine_page, ivf::RefineStart(layout, c.block).ordinal};
}

// Asks the processor for a candidate's refine row, if its place is known.
void PrefetchRefineRow(const Scan& scan, const Candidate& c) {
    const ivf::BlockLayout& layout = scan.model->layout;
    const ivf::ListEntry& entry = scan.open.items[c.open].entry;
    const ivf::RefinePiece piece = ivf::RefinePiecesOf(layout, c.block, c.slot).Take();
    const BlockNumber page = GuessRefinePage(scan, entry, PlaceOfBlock(layout, c), piece.ordinal);
    scan.pages.Prefetch(page, piece.at, piece.bytes);
}

}  // namespace

void Refine(Scan& scan, Candidate* batch, std::size_t size, float limit, bool all) {
    const ivf::BlockLayout& layout = scan.model->layout;
    std::uint8_t* copy = nullptr;
    LockedPage page;
    const float twice = all ? get_float4_infinity() : LimitOfTimes(scan, 2);
    for (std::size_t i = 0; i < size; i++) {
        Candidate& c = batch[i];
        if (i + kRefineAhead < size && batch[i + kRefineAhead].estimate <= limit)
            PrefetchRefineRow(scan, batch[i + kRefineAhead]);
        if (c.refined ||
            (!all && (c.estimate > limit || !(c.lower < Min(twice, scan.Threshold())))))
            continue;
        const OpenList& open = scan.open.items[c.open];
        const ivf::ListEntry& entry = open.entry;
        ivf::RefineCursor pieces = ivf::RefinePiecesOf(layout, c.block, c.slot);
        ivf::RefinePiece piece = pieces.Take();

        if (!(page.bytes && page.tail().owner == entry.list_id &&
              page.tail().ordinal == piece.ordinal)) {
            if (page.bytes) UnlockPage(page);
            if (!LockRefinePage(scan, entry, PlaceOfBlock(layout, c), piece.ordinal, page)) break;
        }
        const std::uint8_t* row = page.bytes + piece.at;
        if (!pieces.done()) {
            // The row straddles pages.
            if (!copy) copy = NewArrayIn<std::uint8_t>(scan.query_context, layout.refine_row_bytes);
            for (;;) {
                memcpy(copy + piece.before, page.bytes + piece.at, piece.bytes);
                if (pieces.done()) break;
                piece = pieces.Take();
                const RefinePlace next = {page.tail().next, piece.ordinal};
                UnlockPage(page);
                if (next.page == ivf::kNoPage)
                    ReportCorruption(scan.pages.index, InvalidBlockNumber,
                                     "a refine chain ends too early");
                if (!LockRefinePage(scan, entry, next, piece.ordinal, page)) break;
            }
            if (scan.stale) break;
            row = copy;
        }
        const quant::Estimate e =
            layout.quantizer->Refine(layout.spec, scan.prepared, open.l2sqr, c.sum, row);
        float lower = e.key - e.error;
        if (isnan(lower)) lower = -get_float4_infinity();
        // Both bounds hold: the better one counts.
        if (lower > c.lower) c.lower = lower;
        c.estimate = e.key;
        c.refined = true;
        scan.counts.refined++;
        const float upper = e.key + e.error;
        if (!isnan(upper)) scan.fine_bounds.Push(upper);
    }
    if (page.bytes) UnlockPage(page);
    if (copy) pfree(copy);
}

void RefineFrom(Scan& scan, std::size_t first) {
    if (scan.model->layout.refine_row_bytes == 0 || scan.stale) return;
    Candidate* batch = scan.candidates.items + first;
    const std::size_t size = scan.candidates.size - first;
    const float infinity = get_float4_infinity();
    // While too few bounds are known, the likeliest rows go first: their bounds spare others.
    if (!(scan.fine_bounds.Threshold() < infinity)) {
        for (std::size_t i = 0; i < size; i++) scan.likeliest.Push(batch[i].estimate);
        Refine(scan, batch, size, scan.likeliest.Threshold());
    }
    if (!scan.stale) Refine(scan, batch, size, infinity);
}

}  // namespace quantvec::pg
