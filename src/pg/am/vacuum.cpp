// ambulkdelete and amvacuumcleanup: live bits of dead rows are cleared, nothing moves.
//
// Each list's chain is walked from its first page, one exclusive lock at a time. Rows only ever go
// into slots behind those in use, and no row changes its slot, so a row that was there when the
// walk began is met. CREATE INDEX CONCURRENTLY validates through here as well.
#include "pg/am/am.h"
#include "pg/error.h"

namespace quantvec::pg {

namespace {

struct BulkDelete {
    IndexVacuumInfo* info;
    IndexBulkDeleteResult* stats;
    IndexBulkDeleteCallback callback;
    void* state;
    const Model* model;
};

// Slots of a block whose rows are dead.
std::uint32_t DeadSlots(const BulkDelete& v, const std::uint8_t* block) {
    std::uint32_t dead = 0;
    for (std::uint32_t live = ivf::HeadAt(block)->live; live != 0; live &= live - 1) {
        const int slot = __builtin_ctz(live);
        const ivf::RowPointer& p = ivf::PointersOf(block)[slot];
        ItemPointerData tid;
        tid.ip_blkid = {p.block_hi, p.block_lo};
        tid.ip_posid = p.offset;
        if (v.callback(&tid, v.state)) dead |= 1u << slot;
    }
    return dead;
}

void VacuumPage(BulkDelete& v, const ivf::ListEntry& entry, LockedPage& page) {
    const ivf::BlockLayout& layout = v.model->layout;
    const std::size_t block_bytes = layout.head_bytes + layout.code_bytes;
    const ivf::PageTail& tail = page.tail();
    std::uint32_t dead[ivf::kPayloadBytes / ivf::kPrefixBytes];
    bool any = false;
    for (std::size_t i = 0; i < tail.blocks; i++) {
        const std::size_t at = tail.first_block + i * block_bytes;
        if (at < ivf::kPayloadAt || at + ivf::kPrefixBytes > ivf::kPayloadEnd ||
            !ivf::HeadIsSound(*ivf::HeadAt(page.bytes + at), entry.list_id, entry.generation))
            ReportCorruption(v.info->index, page.number, "a block head is damaged");
        dead[i] = DeadSlots(v, page.bytes + at);
        any = any || dead[i] != 0;
        const std::uint32_t live = ivf::HeadAt(page.bytes + at)->live;
        v.stats->tuples_removed += __builtin_popcount(dead[i]);
        v.stats->num_index_tuples += __builtin_popcount(live & ~dead[i]);
    }
    if (!any) return;
    Change change(v.info->index);
    std::uint8_t* bytes = change.Add(page);
    for (std::size_t i = 0; i < tail.blocks; i++)
        ivf::HeadAt(bytes + tail.first_block + i * block_bytes)->live &= ~dead[i];
    change.Commit();
}

}  // namespace

IndexBulkDeleteResult* AmBulkDelete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                    IndexBulkDeleteCallback callback, void* state) {
    if (!stats) stats = static_cast<IndexBulkDeleteResult*>(palloc0(sizeof(IndexBulkDeleteResult)));
    // Called again for each batch of dead rows: the rows left are those of the last pass.
    stats->num_index_tuples = 0;
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "quantvec vacuum", ALLOCSET_SMALL_SIZES);
    BulkDelete v = {info, stats, callback, state, AcquireModel(info->index, context, true)};
    for (std::uint32_t i = 0; i < v.model->meta.lists; i++) {
        const ivf::ListEntry entry = ReadEntry(info->index, *v.model, i);
        std::uint32_t ordinal = 0;
        for (BlockNumber at = entry.scan_first; at != ivf::kNoPage; ordinal++) {
            vacuum_delay_point();
            LockedPage page = LockPage(info->index, at, Access::kExclusive, ScanOwner(entry));
            if (page.tail().ordinal != ordinal)
                ReportCorruption(info->index, at, "a chain is out of order");
            VacuumPage(v, entry, page);
            at = page.tail().next;
            UnlockPage(page);
        }
    }
    MemoryContextDelete(context);
    return stats;
}

IndexBulkDeleteResult* AmVacuumCleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
    if (info->analyze_only || !stats) return stats;
    stats->num_pages = RelationGetNumberOfBlocks(info->index);
    return stats;
}

}  // namespace quantvec::pg
