// A page is pinned, locked, compared with its owner, taken, initialised, changed.
#include "pg/am/storage/pages.h"

#include "pg/compat.h"
#include "pg/error.h"

namespace quantvec::pg {

static_assert(BLCKSZ == ivf::kPageBytes, "quantvec's page format needs the server's 8 kB pages");
static_assert(SizeOfPageHeaderData <= ivf::kPayloadAt);
static_assert(ivf::kNoPage == InvalidBlockNumber);

namespace {

bool IsOurs(const LockedPage& page) {
    const PageHeader header = reinterpret_cast<PageHeader>(page.bytes);
    return header->pd_special == ivf::kPayloadEnd && header->pd_lower >= ivf::kPayloadAt &&
           header->pd_lower <= ivf::kPayloadEnd && page.tail().identity == ivf::kIdentity;
}

}  // namespace

LockedPage LockPinned(Buffer buffer, BlockNumber number, Access access) {
    LockBuffer(buffer, access == Access::kShare ? BUFFER_LOCK_SHARE : BUFFER_LOCK_EXCLUSIVE);
    return {buffer, number, reinterpret_cast<std::uint8_t*>(BufferGetPage(buffer))};
}

LockedPage LockUnchecked(Relation index, ForkNumber fork, BlockNumber number, Access access,
                         BufferAccessStrategy strategy) {
    return LockPinned(ReadBufferExtended(index, fork, number, RBM_NORMAL, strategy), number,
                      access);
}

bool IsOwnedBy(Relation index, const LockedPage& page, const PageOwner& owner) {
    if (!IsOurs(page))
        ReportCorruption(index, page.number, "the page is not one of this access method");
    const ivf::PageTail& tail = page.tail();
    return tail.kind == owner.kind && tail.owner == owner.owner &&
           tail.generation == owner.generation && tail.deleted_at == 0;
}

std::size_t LockedPage::end() const {
    return reinterpret_cast<PageHeader>(bytes)->pd_lower;
}

bool TryLockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                 LockedPage& page, BufferAccessStrategy strategy) {
    page = LockUnchecked(index, MAIN_FORKNUM, number, access, strategy);
    if (IsOwnedBy(index, page, owner)) return true;
    UnlockPage(page);
    return false;
}

LockedPage LockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                    BufferAccessStrategy strategy) {
    LockedPage page = LockUnchecked(index, MAIN_FORKNUM, number, access, strategy);
    if (IsOwnedBy(index, page, owner)) return page;
    const ivf::PageTail& tail = page.tail();
    if (tail.kind != owner.kind) ReportCorruption(index, number, "the page is of another kind");
    if (tail.owner != owner.owner)
        ReportCorruption(index, number, "the page belongs to another list");
    ReportCorruption(index, number, "the page belongs to another generation");
}

void UnlockPage(LockedPage& page) {
    UnlockReleaseBuffer(page.buffer);
    page = {};
}

bool LockAnyPage(Relation index, BlockNumber number, LockedPage& page,
                 BufferAccessStrategy strategy) {
    page = LockUnchecked(index, MAIN_FORKNUM, number, Access::kShare, strategy);
    if (PageIsNew(PageOf(page.bytes))) {
        UnlockPage(page);
        return false;
    }
    if (!IsOurs(page)) ReportCorruption(index, number, "the page is not one of this access method");
    return true;
}

LockedPage AllocatePage(Relation index) {
    LockedPage page;
    for (;;) {
        page.number = GetFreeIndexPage(index);
        if (page.number == InvalidBlockNumber) break;
        if (page.number >= RelationGetNumberOfBlocks(index)) continue;
        page.buffer = ReadBuffer(index, page.number);
        // Who has it locked has taken it; the map may be wrong in any way.
        if (!ConditionalLockBuffer(page.buffer)) {
            ReleaseBuffer(page.buffer);
            continue;
        }
        page.bytes = reinterpret_cast<std::uint8_t*>(BufferGetPage(page.buffer));
        if (PageIsNew(PageOf(page.bytes)) || (IsOurs(page) && page.tail().deleted_at != 0))
            return page;
        UnlockPage(page);
    }
    const bool shared = !RELATION_IS_LOCAL(index);
    if (shared) LockRelationForExtension(index, ExclusiveLock);
    const Buffer fresh = ReadBufferExtended(index, MAIN_FORKNUM, P_NEW, RBM_NORMAL, nullptr);
    // Before the other lock is let go: no walk by number meets it in between (PagesOf).
    page = LockPinned(fresh, BufferGetBlockNumber(fresh), Access::kExclusive);
    if (shared) UnlockRelationForExtension(index, ExclusiveLock);
    return page;
}

void InitPage(std::uint8_t* bytes, const PageOwner& owner, std::uint32_t ordinal) {
    PageInit(PageOf(bytes), BLCKSZ, sizeof(ivf::PageTail));
    *ivf::TailOf(bytes) = {
        .generation = owner.generation,
        .deleted_at = 0,
        .owner = owner.owner,
        .next = ivf::kNoPage,
        .ordinal = ordinal,
        .crc = 0,
        .kind = owner.kind,
        .first_block = 0,
        .blocks = 0,
        .flags = 0,
        .head_page = ivf::kNoPage,
        .reserved = {},
        .identity = ivf::kIdentity,
    };
    CoverTo(bytes, ivf::kPayloadAt);
}

void CoverTo(std::uint8_t* bytes, std::size_t end) {
    PageHeader header = reinterpret_cast<PageHeader>(bytes);
    if (header->pd_lower < end) header->pd_lower = static_cast<LocationIndex>(end);
}

std::uint32_t PayloadCrc(const std::uint8_t* bytes) {
    pg_crc32c crc;
    INIT_CRC32C(crc);
    COMP_CRC32C(crc, bytes + ivf::kPayloadAt, ivf::kPayloadBytes);
    FIN_CRC32C(crc);
    return crc;
}

Change::Change(Relation index) : state_(GenericXLogStart(index)) {}

std::uint8_t* Change::Add(const LockedPage& page, bool is_new) {
    return reinterpret_cast<std::uint8_t*>(
        GenericXLogRegisterBuffer(state_, page.buffer, is_new ? GENERIC_XLOG_FULL_IMAGE : 0));
}

void Change::Commit() {
    GenericXLogFinish(state_);
}

void LogBuild(Relation index, ForkNumber fork) {
    if (fork == INIT_FORKNUM || RelationNeedsWAL(index))
        log_newpage_range(index, fork, 0, RelationGetNumberOfBlocksInFork(index, fork), true);
}

BlockNumber PagesOf(Relation index) {
    const bool shared = !RELATION_IS_LOCAL(index);
    if (shared) LockRelationForExtension(index, ExclusiveLock);
    const BlockNumber pages = RelationGetNumberOfBlocks(index);
    if (shared) UnlockRelationForExtension(index, ExclusiveLock);
    return pages;
}

}  // namespace quantvec::pg
