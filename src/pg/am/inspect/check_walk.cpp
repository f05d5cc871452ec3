// The walk of quantvec_check: every page of every list, every block, and then all pages by number.
//
// A page is copied under a share lock and looked at afterwards, while others write. What is
// published never changes, and what a slot refers to was written before. So a page that is read
// later may show more than an earlier one, and never less: refine pages are read after the block
// that names them. A block begins where the one before it ends, which must be full. If it is not,
// it has been filled since we looked, and the list is walked again; or there is damage
// (GrownSince).
#include <cmath>

#include "core/ivf/block_walk.h"
#include "pg/am/inspect/check.h"
#include "pg/am/storage/model_read.h"
#include "pg/am/table/row_pointer.h"
#include "pg/compat.h"
#include "pg/debug_point.h"
#include "pg/error.h"
#include "pg/memory.h"
#include "pg/subtransaction.h"

namespace quantvec::pg {

namespace {

bool HasPage(Check& c, BlockNumber number) {
    if (number >= c.pages) c.pages = RelationGetNumberOfBlocks(c.index);
    return number < c.pages;
}

// The parts of the frame that no reader looks at.
void CheckFrame(const Check& c, const PageCopy& page) {
    const auto* header = reinterpret_cast<const PageHeaderData*>(page.block.data);
    if (PageSizeOf(page.block.data) != BLCKSZ ||
        PageLayoutOf(page.block.data) != PG_PAGE_LAYOUT_VERSION ||
        header->pd_upper != ivf::kPayloadEnd || header->pd_flags != 0 ||
        header->pd_prune_xid != InvalidTransactionId)
        ReportCorruption(c.index, page.number, "the page header holds impossible values");
    const ivf::PageTail& tail = page.tail();
    if (tail.kind != ivf::PageKind::kScan &&
        (tail.blocks != 0 || tail.first_block != 0 || tail.head_page != ivf::kNoPage))
        ReportCorruption(c.index, page.number, "the page claims to have blocks");
    if ((tail.flags & ~ivf::kSealed) != 0 || (tail.flags != 0 && tail.kind != ivf::PageKind::kScan))
        ReportCorruption(c.index, page.number, "the page has flags that are not known");
}

// ---- lists ----

// A list on the walk.
struct ListWalk {
    std::uint32_t list;
    ivf::ListEntry entry;
    PageCopy page;    // of the scan chain
    PageCopy refine;  // of the refine chain; number InvalidBlockNumber: none yet
    bool scan_last_met, refine_last_met;

    std::uint32_t ordinal;     // of the next block
    std::uint64_t used;        // slots of all blocks so far
    Array<BlockNumber> chain;  // pages since the one with the last head, it included

    // The last block.
    BlockNumber head_page;  // InvalidBlockNumber: there is none yet
    std::size_t head_at;
    alignas(8) std::uint8_t head[ivf::kMaxHeadBytes];
    std::uint8_t* codes;      // [code_bytes]
    ivf::PieceCursor pieces;  // not done: it goes on in the next page

    // Where the next one begins.
    BlockNumber next_page;      // InvalidBlockNumber: beyond the last page read
    std::uint32_t next_blocks;  // that the page had
};

const ivf::BlockHead& Head(const ListWalk& w) {
    return *ivf::HeadAt(w.head);
}

// Code bytes of the last block that must be there.
std::size_t CodesNeeded(const Check& c, const ListWalk& w) {
    return c.model->layout.quantizer->CodeBytesFor(c.model->layout.spec, Head(w).used);
}

void CheckEntry(const Check& c, std::uint32_t list, const ivf::ListEntry& e) {
    const bool refined = c.model->layout.refine_row_bytes > 0;
    const bool sound = e.generation != 0 && e.centroid_epoch == c.meta.centroids.generation &&
                       e.state == ivf::ListState::kActive && e.list_id < c.meta.next_list_id &&
                       e.successors[0] == 0 && e.successors[1] == 0 && e.scan_contiguous >= 1 &&
                       !(e.spread < 0) && (e.refine_first != ivf::kNoPage) == refined &&
                       (e.refine_last != ivf::kNoPage) == refined &&
                       (e.refine_contiguous >= 1) == refined;
    if (!sound)
        ReportCorruption(c.index, PlaceOfEntry(*c.model, list).page,
                         psprintf("the entry of list %u holds impossible values", e.list_id));
}

// ---- the refine chain of a list ----

void CopyRefine(Check& c, ListWalk& w, BlockNumber number, std::uint32_t ordinal,
                BlockNumber from) {
    CopyPage(c, number, RefineOwner(w.entry), ordinal, from, w.refine);
    if (ordinal < w.entry.refine_contiguous && number != w.entry.refine_first + ordinal)
        ReportCorruption(c.index, number, "the chain is not as contiguous as the directory says");
    if (number == w.entry.refine_last) w.refine_last_met = true;
}

// Goes on to the refine page with this ordinal. `again`: the copy may be too old. Returns false at
// the chain's end.
bool GoToRefine(Check& c, ListWalk& w, std::uint32_t ordinal, bool again) {
    if (w.refine.number == InvalidBlockNumber)
        CopyRefine(c, w, w.entry.refine_first, 0, PlaceOfEntry(*c.model, w.list).page);
    else if (again)
        CopyRefine(c, w, w.refine.number, w.refine.tail().ordinal, w.refine.number);
    while (w.refine.tail().ordinal < ordinal) {
        const BlockNumber next = w.refine.tail().next;
        if (next == ivf::kNoPage) return false;
        CopyRefine(c, w, next, w.refine.tail().ordinal + 1, w.refine.number);
    }
    return true;
}

// Copies the refine row of a slot. REQUIRES: none behind it was asked for.
void ReadRefine(Check& c, ListWalk& w, std::uint32_t slot, ByteSpan to) {
    ivf::RefineCursor pieces = ivf::RefinePiecesOf(c.model->layout, Head(w).ordinal, slot);
    while (!pieces.done()) {
        const ivf::RefinePiece piece = pieces.Take();
        if (!GoToRefine(c, w, piece.ordinal, false))
            ReportCorruption(c.index, w.refine.number, "the refine chain ends too early");
        CheckCovered(c, w.refine, piece.at + piece.bytes);
        memcpy(to.data() + piece.before, w.refine.bytes() + piece.at, piece.bytes);
    }
}

// The block says where its refine rows begin, which follows from its ordinal.
void CheckRefineAddress(Check& c, ListWalk& w) {
    const ivf::BlockHead& head = Head(w);
    BlockNumber page = ivf::kNoPage;
    std::size_t offset = 0;
    if (c.model->layout.refine_row_bytes > 0) {
        const ivf::RefinePiece start = ivf::RefineStart(c.model->layout, head.ordinal);
        if (!GoToRefine(c, w, start.ordinal, true))
            ReportCorruption(c.index, w.refine.number, "the refine chain ends too early");
        page = w.refine.number;
        offset = start.at;
    }
    if (head.refine_page != page || head.refine_offset != offset)
        ReportCorruption(c.index, w.head_page,
                         psprintf("block %u has a wrong refine address", head.ordinal));
}

// ---- rows ----

void CheckPointer(Check& c, const ListWalk& w, std::uint32_t slot, std::uint64_t pointer) {
    const auto block = static_cast<BlockNumber>(pointer >> 16);
    const auto offset = static_cast<OffsetNumber>(pointer & 0xffff);
    // The table may have grown; it cannot have shrunk under our lock.
    if (block >= c.table_pages) c.table_pages = RelationGetNumberOfBlocks(c.table);
    if (block >= c.table_pages || offset < FirstOffsetNumber || offset > MaxOffsetNumber)
        ReportSlot(c, w.list, w.head_page, w.head_at, slot,
                   psprintf("row pointer (%u,%u) leads nowhere", block, offset));
}

// What every encoder promises: finite factors, no scale above zero, and an error that may be
// infinite. Bits have the same factors in every row, sets their number of elements.
void CheckFactors(const Check& c, const ListWalk& w, std::uint32_t slot,
                  const quant::RowFactors& f) {
    const float scale = quant::FromBfloat16(f.scale), error = quant::FromBfloat16(f.error);
    const float ones = c.meta.quantizer == quant::Kind::kSets ? static_cast<float>(c.meta.dim) : 0;
    const bool sound = quant::IsOfBits(c.meta.quantizer)
                           ? f.add == 0 && f.offset >= 0 && f.offset <= ones &&
                                 f.offset == std::floor(f.offset) && scale == 1 && error == 0
                           : std::isfinite(f.add) && std::isfinite(f.offset) &&
                                 std::isfinite(scale) && scale <= 0 && error >= 0;
    if (!sound) ReportSlot(c, w.list, w.head_page, w.head_at, slot, "its factors are impossible");
}

quant::RowFactors FactorsOfSlot(const Check& c, const ListWalk& w, std::uint32_t slot) {
    const kernels::BlockFactors f = ivf::FactorsOf(c.model->layout, w.head);
    return {f.add[slot], f.offset ? f.offset[slot] : 0.0f, f.scale[slot], f.error[slot]};
}

// Keeps a row for this round. When the room is full, the upper half of the table is left to the
// next round; a round has whole blocks of the table.
void Keep(Check& c, const SeenRow& row) {
    if (row.pointer < c.from || row.pointer >= c.to) return;
    if (c.row_count == c.row_capacity) {
        SortSeenRows(c);
        const std::uint64_t middle = c.rows[c.row_count / 2].pointer & ~std::uint64_t{0xffff};
        // A block of the table has less rows than that, unless they are not unique.
        if (middle <= c.from)
            ReportCorruption(c.index, InvalidBlockNumber, "row pointers are not unique");
        c.to = middle;
        while (c.row_count > 0 && c.rows[c.row_count - 1].pointer >= c.to) c.row_count--;
        if (row.pointer >= c.to) return;
    }
    c.rows[c.row_count++] = row;
}

// Room for one row.
struct RowBuffers {
    std::uint8_t* code;    // [scan_row_bytes]
    std::uint8_t* refine;  // [refine_row_bytes]
};

// The block is complete: looks at its live slots.
void TakeBlock(Check& c, ListWalk& w, const RowBuffers& row) {
    const ivf::BlockLayout& layout = c.model->layout;
    const ivf::BlockHead& head = Head(w);
    CheckRefineAddress(c, w);
    c.counts.blocks++;
    c.counts.live_rows += __builtin_popcount(head.live);
    c.counts.dead_slots += head.used - __builtin_popcount(head.live);
    for (std::uint32_t live = head.live; live != 0; live &= live - 1) {
        const auto slot = static_cast<std::uint32_t>(__builtin_ctz(live));
        const std::uint64_t pointer = PointerNumber(ivf::PointersOf(w.head)[slot]);
        CheckPointer(c, w, slot, pointer);
        const quant::RowFactors factors = FactorsOfSlot(c, w, slot);
        CheckFactors(c, w, slot, factors);
        const ByteSpan code = {row.code, layout.scan_row_bytes};
        const ByteSpan refine = {row.refine, layout.refine_row_bytes};
        ReadRefine(c, w, slot, refine);
        std::uint32_t crc = 0;
        if (c.with_table) {
            layout.quantizer->Gather(layout.spec, {w.codes, layout.code_bytes}, slot, code);
            crc = CodeCrc(factors, code, refine);
        }
        Keep(c, {pointer, w.list, crc});
    }
}

// ---- blocks ----

// Has what we read of the chain's end grown since?
bool GrownSince(Check& c, const ListWalk& w) {
    const PageOwner owner = ScanOwner(w.entry);
    bool grown = false;
    if (w.head_page != InvalidBlockNumber) {
        LockedPage page = LockPage(c.index, w.head_page, Access::kShare, owner);
        grown = ivf::HeadAt(page.bytes + w.head_at)->used != Head(w).used;
        UnlockPage(page);
    }
    if (w.next_page != InvalidBlockNumber) {
        LockedPage page = LockPage(c.index, w.next_page, Access::kShare, owner);
        grown = grown || page.tail().blocks != w.next_blocks;
        UnlockPage(page);
    }
    return grown;
}

void NotePage(ListWalk& w) {
    w.chain.Push(CurrentMemoryContext) = w.page.number;
}

// Takes what the page has of the last block. Returns where that ends on the page.
std::size_t TakePiece(Check& c, ListWalk& w) {
    const ivf::Piece piece = w.pieces.Take();
    ivf::CopyPiece(c.model->layout, piece, w.page.bytes(), w.head, w.codes);
    CheckCovered(c, w.page, piece.codes_at + piece.Among(CodesNeeded(c, w)));
    return piece.end();
}

// Reads the head at `at` and what of its block is on the page. Returns where that ends.
std::size_t TakeHead(Check& c, ListWalk& w, std::size_t at) {
    const BlockNumber number = w.page.number;
    const ivf::BlockHead& head = *ivf::HeadAt(w.page.bytes() + at);
    // A head comes with its first row.
    if (!ivf::HeadIsSound(head, w.entry.list_id, w.entry.generation) || head.used == 0)
        ReportCorruption(c.index, number, "a block head is damaged");
    if (head.ordinal != w.ordinal) ReportCorruption(c.index, number, "a block is out of order");
    memcpy(w.head, w.page.bytes() + at, ivf::kPrefixBytes);
    w.head_page = number;
    w.head_at = at;
    w.chain.size = 0;
    NotePage(w);
    w.ordinal++;
    w.used += head.used;
    w.pieces = ivf::PiecesOf(c.model->layout, at);
    return TakePiece(c, w);
}

// A page on which no block begins names one at or behind the last head, from which an inserter
// finds the block that it belongs to; the first page of a list names none.
void CheckHeadPage(const Check& c, const ListWalk& w) {
    const BlockNumber named = w.page.tail().head_page;
    bool sound = w.page.tail().blocks > 0 && named == w.page.number;
    if (w.page.tail().blocks == 0) {
        for (std::size_t i = 0; i < w.chain.size; i++) sound = sound || named == w.chain.items[i];
        if (w.chain.size == 0) sound = named == ivf::kNoPage;
    }
    if (!sound) ReportCorruption(c.index, w.page.number, "the page names a wrong block before it");
}

// A page of the list. Returns false if it contradicts an earlier one that has grown since.
bool TakePage(Check& c, ListWalk& w, const RowBuffers& row) {
    const ivf::PageTail& tail = w.page.tail();
    std::size_t at = ivf::kPayloadAt;
    if (!w.pieces.done()) {
        at = TakePiece(c, w);
        if (w.pieces.done()) TakeBlock(c, w, row);
    }
    if (tail.blocks > 0) {
        const bool in_place =
            w.pieces.done() && w.next_page == InvalidBlockNumber &&
            (w.head_page == InvalidBlockNumber || Head(w).used == ivf::kBlockRows);
        if (!in_place && GrownSince(c, w)) return false;
        if (!in_place || tail.first_block != at)
            ReportCorruption(c.index, w.page.number, "a block begins where none can be");
    } else if (tail.first_block != 0) {
        ReportCorruption(c.index, w.page.number, "the page claims to have blocks");
    }
    for (std::uint32_t i = 0; i < tail.blocks; i++) {
        if (!w.pieces.done() || !ivf::HeadFits(at))
            ReportCorruption(c.index, w.page.number, "the page has too many blocks");
        if (i > 0 && Head(w).used < ivf::kBlockRows)
            ReportCorruption(c.index, w.page.number, "a block follows one that is not full");
        at = TakeHead(c, w, at);
        if (w.pieces.done()) TakeBlock(c, w, row);
    }
    CheckHeadPage(c, w);
    if (tail.blocks == 0) NotePage(w);
    if (w.pieces.done() && w.next_page == InvalidBlockNumber && ivf::HeadFits(at)) {
        w.next_page = w.page.number;
        w.next_blocks = tail.blocks;
    }
    return true;
}

// The chains of a list. Returns false if it has to be walked again.
bool WalkList(Check& c, ListWalk& w, std::uint32_t list, const RowBuffers& row) {
    const BlockNumber directory = PlaceOfEntry(*c.model, list).page;
    w.list = list;
    w.entry = ReadEntry(c.index, *c.model, list);
    CheckEntry(c, list, w.entry);
    w.scan_last_met = w.refine_last_met = false;
    w.ordinal = 0;
    w.used = 0;
    w.chain.size = 0;
    w.pieces = {};
    w.refine.number = w.head_page = w.next_page = InvalidBlockNumber;

    BlockNumber from = directory, at = w.entry.scan_first;
    std::uint32_t pages = 0;
    for (; at != ivf::kNoPage; pages++) {
        CopyPage(c, at, ScanOwner(w.entry), pages, from, w.page);
        DEBUG_POINT("check_page");
        if (pages < w.entry.scan_contiguous && at != w.entry.scan_first + pages)
            ReportCorruption(c.index, at, "the chain is not as contiguous as the directory says");
        if (at == w.entry.scan_last) w.scan_last_met = true;
        if (!TakePage(c, w, row)) return false;
        from = at;
        at = w.page.tail().next;
    }
    // The codes of a row are there before it is published.
    if (!w.pieces.done()) {
        if (!w.pieces.Has(CodesNeeded(c, w)))
            ReportCorruption(c.index, from, "a chain ends in the middle of a block");
        TakeBlock(c, w, row);
    }
    if (c.model->layout.refine_row_bytes > 0) GoToRefine(c, w, ivf::kNoPage, true);
    const bool whole =
        pages >= w.entry.scan_contiguous && w.scan_last_met &&
        (c.model->layout.refine_row_bytes == 0 ||
         (w.refine_last_met && w.refine.tail().ordinal + 1 >= w.entry.refine_contiguous));
    if (!whole)
        ReportCorruption(c.index, directory,
                         psprintf("list %u has less than its entry says", w.entry.list_id));
    return true;
}

// The same on a standby, where nothing keeps the replay of a VACUUM from giving the list another
// chain under our eyes.
bool WalkMovingList(Check& c, ListWalk& w, std::uint32_t list, const RowBuffers& row) {
    bool whole = false;
    ErrorData* error = TryStep([&] { whole = WalkList(c, w, list, row); });
    if (!error) return whole;
    const ivf::ListEntry now = ReadEntry(c.index, *c.model, list);
    if (error->sqlerrcode != ERRCODE_INDEX_CORRUPTED || now.generation == w.entry.generation)
        ReThrowError(error);
    FreeErrorData(error);
    return false;
}

// Forgets the rows of a list that was walked half.
void Forget(Check& c, std::uint32_t list) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < c.row_count; i++)
        if (c.rows[i].list != list) c.rows[kept++] = c.rows[i];
    c.row_count = kept;
}

// Pages that no chain has are free, or leaks of a crash, or on their way into a chain.
void CountPages(Check& c) {
    c.counts.pages = c.first_pages;
    for (BlockNumber number = 0; number < c.first_pages; number++) {
        if (Reached(c, number)) continue;
        CHECK_FOR_INTERRUPTS();
        ShowPage(c);
        LockedPage page;
        if (!LockAnyPage(c.index, number, page)) {
            c.counts.free_pages++;
            continue;
        }
        const ivf::PageKind kind = page.tail().kind;
        if (page.tail().deleted_at != 0)
            c.counts.free_pages++;
        else
            c.counts.leaked_pages++;
        UnlockPage(page);
        if (kind < ivf::PageKind::kModel || kind > ivf::PageKind::kRefine)
            ReportCorruption(c.index, number, "the page is of an unknown kind");
    }
}

}  // namespace

void CopyPage(Check& c, BlockNumber number, const PageOwner& owner, std::uint32_t ordinal,
              BlockNumber from, PageCopy& page) {
    CHECK_FOR_INTERRUPTS();
    if (!HasPage(c, number))
        ReportCorruption(c.index, from,
                         psprintf("it names block %u, which the index does not have", number));
    LockedPage locked = LockPage(c.index, number, Access::kShare, owner);
    memcpy(page.block.data, locked.bytes, BLCKSZ);
    UnlockPage(locked);
    page.number = number;
    ShowPage(c);
    CheckFrame(c, page);
    if (page.tail().ordinal != ordinal)
        ReportCorruption(c.index, number, "a chain is out of order");
    if (number < c.first_pages)
        c.reached[number / 8] |= static_cast<std::uint8_t>(1u << (number % 8));
}

void CheckCovered(const Check& c, const PageCopy& page, std::size_t end) {
    if (page.end() < end)
        ReportCorruption(c.index, page.number,
                         "the page header says that its contents end earlier");
}

void WalkPages(Check& c) {
    const ivf::BlockLayout& layout = c.model->layout;
    auto* w = New<ListWalk>();
    w->chain.Reserve(16, CurrentMemoryContext);
    w->codes = NewArray<std::uint8_t>(layout.code_bytes);
    const RowBuffers row = {NewArray<std::uint8_t>(layout.scan_row_bytes),
                            NewArray<std::uint8_t>(layout.refine_row_bytes)};
    const auto walk = c.moving ? WalkMovingList : WalkList;
    for (std::uint32_t list = 0; list < c.meta.lists; list++) {
        const CheckCounts before = c.counts;
        while (!walk(c, *w, list, row)) {
            c.counts = before;
            Forget(c, list);
        }
    }
    c.counts.lists = c.meta.lists;
    CountPages(c);
    pfree(row.refine);
    pfree(row.code);
    pfree(w->codes);
    pfree(w->chain.items);
    pfree(w);
}

SlotPlace FindLiveSlot(Check& c, std::uint32_t list, std::uint64_t pointer, std::size_t skip) {
    const ivf::BlockLayout& layout = c.model->layout;
    const ivf::ListEntry entry = ReadEntry(c.index, *c.model, list);
    BlockNumber from = PlaceOfEntry(*c.model, list).page, at = entry.scan_first;
    PageCopy page;
    for (std::uint32_t ordinal = 0; at != ivf::kNoPage; ordinal++) {
        CopyPage(c, at, ScanOwner(entry), ordinal, from, page);
        for (std::size_t i = 0; i < page.tail().blocks; i++) {
            const std::size_t head_at = ivf::HeadOffset(layout, page.tail(), i);
            if (!ivf::HeadCanBegin(head_at)) break;
            const std::uint8_t* block = page.bytes() + head_at;
            for (std::uint32_t live = ivf::HeadAt(block)->live; live != 0; live &= live - 1) {
                const auto slot = static_cast<std::uint32_t>(__builtin_ctz(live));
                if (PointerNumber(ivf::PointersOf(block)[slot]) != pointer) continue;
                if (skip == 0) return {at, head_at, slot};
                skip--;
            }
        }
        from = at;
        at = page.tail().next;
    }
    return {InvalidBlockNumber, 0, 0};
}

bool StillLive(Check& c, std::uint32_t list, const SlotPlace& place) {
    LockedPage page = LockPage(c.index, place.page, Access::kShare,
                               ScanOwner(ReadEntry(c.index, *c.model, list)));
    const bool live = ivf::HeadAt(page.bytes + place.at)->live >> place.slot & 1;
    UnlockPage(page);
    return live;
}

void ReportSlot(const Check& c, std::uint32_t list, BlockNumber page, std::size_t at,
                std::uint32_t slot, const char* what) {
    ReportCorruption(c.index, page,
                     psprintf("slot %u of the block at offset %zu, list %u: %s", slot, at,
                              c.model->entries[list].list_id, what));
}

}  // namespace quantvec::pg
