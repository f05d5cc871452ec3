#include "pg/am/pages.h"

#include "pg/compat.h"
#include "pg/error.h"

namespace quantvec::pg {

static_assert(BLCKSZ == ivf::kPageBytes, "quantvec's page format needs the server's 8 kB pages");
static_assert(SizeOfPageHeaderData <= ivf::kPayloadAt);
static_assert(ivf::kNoPage == InvalidBlockNumber);

namespace {

Page PageOf(std::uint8_t* bytes) {
    return reinterpret_cast<Page>(bytes);
}

LockedPage Pin(Relation index, ForkNumber fork, BlockNumber number, int mode) {
    LockedPage page;
    page.buffer = ReadBufferExtended(index, fork, number, RBM_NORMAL, nullptr);
    LockBuffer(page.buffer, mode);
    page.number = number;
    page.bytes = reinterpret_cast<std::uint8_t*>(BufferGetPage(page.buffer));
    return page;
}

bool IsOurs(const LockedPage& page) {
    const PageHeader header = reinterpret_cast<PageHeader>(page.bytes);
    return header->pd_special == ivf::kPayloadEnd && header->pd_lower >= ivf::kPayloadAt &&
           header->pd_lower <= ivf::kPayloadEnd && page.tail().identity == ivf::kIdentity;
}

void CheckOwner(Relation index, const LockedPage& page, const PageOwner& owner) {
    const BlockNumber number = page.number;
    if (!IsOurs(page)) ReportCorruption(index, number, "the page is not one of this access method");
    const ivf::PageTail& tail = page.tail();
    if (tail.kind != owner.kind) ReportCorruption(index, number, "the page is of another kind");
    if (tail.owner != owner.owner)
        ReportCorruption(index, number, "the page belongs to another list");
    if (tail.generation != owner.generation || tail.deleted_at != 0)
        ReportCorruption(index, number, "the page belongs to another generation");
}

}  // namespace

std::size_t LockedPage::end() const {
    return reinterpret_cast<PageHeader>(bytes)->pd_lower;
}

Buffer RecentBuffers::Pin(Relation index, BlockNumber number, MemoryContext context) {
    // A pin by the short way does not tell the clock sweep that the page is in use, so one in a few
    // goes the long way.
    constexpr std::uint32_t kLongWayEvery = 16;
    if (number < count_ && buffers_[number] != InvalidBuffer && ++turn_ % kLongWayEvery != 0 &&
        ReadRecentBuffer(FileIdOf(index), MAIN_FORKNUM, number, buffers_[number])) {
        pgstat_count_buffer_read(index);
        pgstat_count_buffer_hit(index);
        return buffers_[number];
    }
    const Buffer buffer = ReadBuffer(index, number);
    if (BufferIsLocal(buffer)) return buffer;
    if (number >= count_) {
        const BlockNumber count = Max(number + 1, RelationGetNumberOfBlocks(index));
        buffers_ = static_cast<Buffer*>(
            buffers_ ? repalloc_huge(buffers_, count * sizeof(Buffer))
                     : MemoryContextAllocHuge(context, count * sizeof(Buffer)));
        for (BlockNumber i = count_; i < count; i++) buffers_[i] = InvalidBuffer;
        count_ = count;
    }
    return buffers_[number] = buffer;
}

const std::uint8_t* RecentBuffers::Guess(BlockNumber number) const {
    if (number >= count_ || buffers_[number] == InvalidBuffer) return nullptr;
    return reinterpret_cast<const std::uint8_t*>(BufferGetBlock(buffers_[number]));
}

LockedPage LockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner) {
    LockedPage page = Pin(index, MAIN_FORKNUM, number,
                          access == Access::kShare ? BUFFER_LOCK_SHARE : BUFFER_LOCK_EXCLUSIVE);
    CheckOwner(index, page, owner);
    return page;
}

LockedPage ScanPages::Lock(BlockNumber number, const PageOwner& owner) const {
    LockedPage page;
    page.buffer = recent->Pin(index, number, recent_context);
    LockBuffer(page.buffer, BUFFER_LOCK_SHARE);
    page.number = number;
    page.bytes = reinterpret_cast<std::uint8_t*>(BufferGetPage(page.buffer));
    CheckOldSnapshot(snapshot, index, PageOf(page.bytes));
    CheckOwner(index, page, owner);
    return page;
}

void ScanPages::Prefetch(BlockNumber number, std::size_t offset, std::size_t size) const {
    const std::uint8_t* page = recent->Guess(number);
    if (!page) return;
    __builtin_prefetch(page);
    __builtin_prefetch(ivf::TailOf(page));
    const std::size_t end = Min(offset + size, std::size_t{BLCKSZ});
    for (std::size_t at = offset & ~std::size_t{63}; at < end; at += 64)
        __builtin_prefetch(page + at);
}

void UnlockPage(LockedPage& page) {
    UnlockReleaseBuffer(page.buffer);
    page = {};
}

bool LockAnyPage(Relation index, BlockNumber number, LockedPage& page) {
    page = Pin(index, MAIN_FORKNUM, number, BUFFER_LOCK_SHARE);
    if (PageIsNew(PageOf(page.bytes))) {
        UnlockPage(page);
        return false;
    }
    if (!IsOurs(page)) ReportCorruption(index, number, "the page is not one of this access method");
    return true;
}

LockedPage ExtendIndex(Relation index, ForkNumber fork) {
    const bool shared = !RELATION_IS_LOCAL(index);
    if (shared) LockRelationForExtension(index, ExclusiveLock);
    LockedPage page;
    page.buffer = ReadBufferExtended(index, fork, P_NEW, RBM_NORMAL, nullptr);
    LockBuffer(page.buffer, BUFFER_LOCK_EXCLUSIVE);
    if (shared) UnlockRelationForExtension(index, ExclusiveLock);
    page.number = BufferGetBlockNumber(page.buffer);
    page.bytes = reinterpret_cast<std::uint8_t*>(BufferGetPage(page.buffer));
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
        .reserved16 = 0,
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

BlockNumber ExtendChain(Relation index, ForkNumber fork, const PageOwner& owner,
                        std::uint32_t count) {
    BlockNumber first = InvalidBlockNumber;
    for (std::uint32_t i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page = ExtendIndex(index, fork);
        if (i == 0) first = page.number;
        InitPage(page.bytes, owner, i);
        // Nobody else extends an index that is being built.
        if (i + 1 < count) ivf::TailOf(page.bytes)->next = page.number + 1;
        MarkBufferDirty(page.buffer);
        UnlockPage(page);
    }
    return first;
}

void ChainWriter::Turn() {
    LockedPage page = Pin(index_, fork_, page_, BUFFER_LOCK_SHARE);
    page_ = page.tail().next;
    UnlockPage(page);
    at_ = ivf::kPayloadAt;
    if (page_ == InvalidBlockNumber) elog(ERROR, "quantvec: a chain was laid out too short");
}

void ChainWriter::Write(const void* bytes, std::size_t size) {
    const auto* from = static_cast<const std::uint8_t*>(bytes);
    while (size > 0) {
        if (at_ == ivf::kPayloadEnd) Turn();
        const std::size_t n = Min(size, ivf::kPayloadEnd - at_);
        LockedPage page = Pin(index_, fork_, page_, BUFFER_LOCK_EXCLUSIVE);
        ivf::PageTail* tail = ivf::TailOf(page.bytes);
        memcpy(page.bytes + at_, from, n);
        at_ += n;
        from += n;
        size -= n;
        CoverTo(page.bytes, at_);
        tail->head_page = head_page_;
        if (tail->kind == ivf::PageKind::kMeta || tail->kind == ivf::PageKind::kModel ||
            tail->kind == ivf::PageKind::kCentroid)
            tail->crc = PayloadCrc(page.bytes);
        MarkBufferDirty(page.buffer);
        UnlockPage(page);
    }
}

// Goes to the next page if `size` bytes have no room on this one.
void ChainWriter::Fit(std::size_t size) {
    if (ivf::kPayloadEnd - at_ < size) Turn();
}

void ChainWriter::WriteBlock(const std::uint8_t* prefix, ConstByteSpan factors,
                             ConstByteSpan codes) {
    Fit(ivf::kPrefixBytes);
    LockedPage page = Pin(index_, fork_, page_, BUFFER_LOCK_EXCLUSIVE);
    ivf::PageTail* tail = ivf::TailOf(page.bytes);
    if (tail->blocks++ == 0) tail->first_block = static_cast<std::uint16_t>(at_);
    MarkBufferDirty(page.buffer);
    UnlockPage(page);
    head_page_ = page_;
    Write(prefix, ivf::kPrefixBytes);
    Fit(factors.size());
    Write(factors.data(), factors.size());
    Write(codes.data(), codes.size());
}

void LogBuild(Relation index, ForkNumber fork) {
    if (fork == INIT_FORKNUM || RelationNeedsWAL(index))
        log_newpage_range(index, fork, 0, RelationGetNumberOfBlocksInFork(index, fork), true);
}

}  // namespace quantvec::pg
