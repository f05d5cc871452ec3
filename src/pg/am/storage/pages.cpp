#include "pg/am/storage/pages.h"

#include "pg/compat.h"
#include "pg/debug_point.h"
#include "pg/error.h"

namespace quantvec::pg {

static_assert(BLCKSZ == ivf::kPageBytes, "quantvec's page format needs the server's 8 kB pages");
static_assert(SizeOfPageHeaderData <= ivf::kPayloadAt);
static_assert(ivf::kNoPage == InvalidBlockNumber);

namespace {

Page PageOf(std::uint8_t* bytes) {
    return reinterpret_cast<Page>(bytes);
}

LockedPage Pin(Relation index, ForkNumber fork, BlockNumber number, BufferMode mode,
               BufferAccessStrategy strategy = nullptr) {
    LockedPage page;
    page.buffer = ReadBufferExtended(index, fork, number, RBM_NORMAL, strategy);
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

// Whose a page is. What is not one of ours at all is damage.
bool IsOwnedBy(Relation index, const LockedPage& page, const PageOwner& owner) {
    if (!IsOurs(page))
        ReportCorruption(index, page.number, "the page is not one of this access method");
    const ivf::PageTail& tail = page.tail();
    return tail.kind == owner.kind && tail.owner == owner.owner &&
           tail.generation == owner.generation && tail.deleted_at == 0;
}

}  // namespace

std::size_t LockedPage::end() const {
    return reinterpret_cast<PageHeader>(bytes)->pd_lower;
}

Buffer RecentPages::Pin(Relation index, BlockNumber number, MemoryContext context) {
    // A pin by the short way does not tell the clock sweep that the page is in use, so one in a few
    // goes the long way.
    constexpr std::uint32_t kLongWayEvery = 16;
    if (number < count_ && pages_[number].buffer != InvalidBuffer && ++turn_ % kLongWayEvery != 0 &&
        ReadRecentBuffer(FileIdOf(index), MAIN_FORKNUM, number, pages_[number].buffer)) {
        pgstat_count_buffer_read(index);
        pgstat_count_buffer_hit(index);
        return pages_[number].buffer;
    }
    const Buffer buffer = ReadBuffer(index, number);
    if (BufferIsLocal(buffer)) return buffer;
    if (number >= count_) {
        const BlockNumber count = Max(number + 1, RelationGetNumberOfBlocks(index));
        pages_ =
            static_cast<Recent*>(pages_ ? repalloc_huge(pages_, count * sizeof(Recent))
                                        : MemoryContextAllocHuge(context, count * sizeof(Recent)));
        for (BlockNumber i = count_; i < count; i++) pages_[i] = {InvalidBuffer, ivf::kNoPage};
        count_ = count;
    }
    pages_[number].buffer = buffer;
    return buffer;
}

const std::uint8_t* RecentPages::Guess(BlockNumber number) const {
    if (number >= count_ || pages_[number].buffer == InvalidBuffer) return nullptr;
    return reinterpret_cast<const std::uint8_t*>(BufferGetBlock(pages_[number].buffer));
}

bool TryLockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                 LockedPage& page, BufferAccessStrategy strategy) {
    page = Pin(index, MAIN_FORKNUM, number,
               access == Access::kShare ? BUFFER_LOCK_SHARE : BUFFER_LOCK_EXCLUSIVE, strategy);
    if (IsOwnedBy(index, page, owner)) return true;
    UnlockPage(page);
    return false;
}

LockedPage LockPage(Relation index, BlockNumber number, Access access, const PageOwner& owner,
                    BufferAccessStrategy strategy) {
    LockedPage page =
        Pin(index, MAIN_FORKNUM, number,
            access == Access::kShare ? BUFFER_LOCK_SHARE : BUFFER_LOCK_EXCLUSIVE, strategy);
    if (IsOwnedBy(index, page, owner)) return page;
    const ivf::PageTail& tail = page.tail();
    if (tail.kind != owner.kind) ReportCorruption(index, number, "the page is of another kind");
    if (tail.owner != owner.owner)
        ReportCorruption(index, number, "the page belongs to another list");
    ReportCorruption(index, number, "the page belongs to another generation");
}

bool ScanPages::TryLock(BlockNumber number, const PageOwner& owner, LockedPage& page) const {
    page.buffer = recent->Pin(index, number, recent_context);
    LockBuffer(page.buffer, BUFFER_LOCK_SHARE);
    page.number = number;
    page.bytes = reinterpret_cast<std::uint8_t*>(BufferGetPage(page.buffer));
    if (!IsOwnedBy(index, page, owner)) {
        UnlockPage(page);
        return false;
    }
    CheckOldSnapshot(snapshot, index, PageOf(page.bytes));
    return true;
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

bool LockAnyPage(Relation index, BlockNumber number, LockedPage& page,
                 BufferAccessStrategy strategy) {
    page = Pin(index, MAIN_FORKNUM, number, BUFFER_LOCK_SHARE, strategy);
    if (PageIsNew(PageOf(page.bytes))) {
        UnlockPage(page);
        return false;
    }
    if (!IsOurs(page)) ReportCorruption(index, number, "the page is not one of this access method");
    return true;
}

LockedPage TakePage(Relation index) {
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
    page.buffer = ReadBufferExtended(index, MAIN_FORKNUM, P_NEW, RBM_NORMAL, nullptr);
    // Before the other lock is let go: no walk by number meets it in between (PagesOf).
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

BlockNumber ExtendRun(const NewPages& to, std::uint32_t count) {
    const bool shared = !RELATION_IS_LOCAL(to.index) && to.logged;
    if (shared) LockRelationForExtension(to.index, ExclusiveLock);
    BlockNumber first = InvalidBlockNumber;
    for (std::uint32_t i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        const Buffer buffer = ReadBufferExtended(to.index, to.fork, P_NEW, RBM_NORMAL, nullptr);
        if (i == 0) first = BufferGetBlockNumber(buffer);
        ReleaseBuffer(buffer);
    }
    if (shared) UnlockRelationForExtension(to.index, ExclusiveLock);
    if (to.logged) DEBUG_POINT("run_extended");
    return first;
}

ChainWriter::ChainWriter(const NewPages& to, const PageOwner& owner, BlockNumber first,
                         std::uint32_t pages)
    : to_(to), owner_(owner), first_(first), run_(pages) {
    contiguous_ = pages;
    Begin(first, 0);
}

namespace {

int CompareBlocks(const void* a, const void* b) {
    const BlockNumber x = *static_cast<const BlockNumber*>(a),
                      y = *static_cast<const BlockNumber*>(b);
    return x < y ? -1 : x > y;
}

}  // namespace

ChainWriter::ChainWriter(const NewPages& to, const PageOwner& owner, std::uint32_t expected)
    : to_(to), owner_(owner), run_(0) {
    taken_ = static_cast<BlockNumber*>(
        MemoryContextAllocHuge(CurrentMemoryContext, expected * sizeof(BlockNumber)));
    while (taken_count_ < expected) taken_[taken_count_++] = Claim();
    qsort(taken_, taken_count_, sizeof(BlockNumber), CompareBlocks);
    first_ = taken_[0];
    while (contiguous_ < taken_count_ && taken_[contiguous_] == first_ + contiguous_) contiguous_++;
    Begin(first_, 0);
}

// Takes a page and makes it an empty one of the chain, so that nobody else does.
BlockNumber ChainWriter::Claim() {
    CHECK_FOR_INTERRUPTS();
    LockedPage page = TakePage(to_.index);
    Change change(to_.index);
    InitPage(change.Add(page, true), owner_, 0);
    change.Commit();
    const BlockNumber number = page.number;
    UnlockPage(page);
    DEBUG_POINT("chain_claimed");
    return number;
}

BlockNumber ChainWriter::PageAt(std::uint32_t ordinal) {
    if (run_ > 0) return first_ + ordinal;
    return ordinal < taken_count_ ? taken_[ordinal] : Claim();
}

void ChainWriter::Begin(BlockNumber number, std::uint32_t ordinal) {
    number_ = number;
    at_ = ivf::kPayloadAt;
    memset(page_.data, 0, BLCKSZ);
    auto* bytes = reinterpret_cast<std::uint8_t*>(page_.data);
    InitPage(bytes, owner_, ordinal);
    ivf::TailOf(bytes)->head_page = head_page_;
}

void ChainWriter::Flush() {
    CHECK_FOR_INTERRUPTS();
    auto* bytes = reinterpret_cast<std::uint8_t*>(page_.data);
    ivf::PageTail* tail = ivf::TailOf(bytes);
    CoverTo(bytes, at_);
    if (owner_.kind == ivf::PageKind::kMeta || owner_.kind == ivf::PageKind::kModel ||
        owner_.kind == ivf::PageKind::kCentroid)
        tail->crc = PayloadCrc(bytes);
    LockedPage page = Pin(to_.index, to_.fork, number_, BUFFER_LOCK_EXCLUSIVE);
    if (to_.logged) {
        // A free space map that is wrong may have given it away since the file grew.
        if (!PageIsNew(PageOf(page.bytes)) && !IsOwnedBy(to_.index, page, owner_))
            elog(ERROR, "quantvec: page %u of index \"%s\" was taken by somebody else", number_,
                 RelationGetRelationName(to_.index));
        Change change(to_.index);
        memcpy(change.Add(page, true), bytes, BLCKSZ);
        change.Commit();
    } else {
        memcpy(page.bytes, bytes, BLCKSZ);
        MarkBufferDirty(page.buffer);
    }
    UnlockPage(page);
    if (to_.logged) DEBUG_POINT("chain_written");
}

void ChainWriter::Turn() {
    ivf::PageTail* tail = ivf::TailOf(reinterpret_cast<std::uint8_t*>(page_.data));
    const std::uint32_t ordinal = tail->ordinal + 1;
    if (run_ > 0 && ordinal == run_) elog(ERROR, "quantvec: a chain was laid out too short");
    const BlockNumber next = PageAt(ordinal);
    tail->next = next;
    if (contiguous_ == ordinal && next == first_ + ordinal) contiguous_++;
    Flush();
    Begin(next, ordinal);
}

void ChainWriter::Write(const void* bytes, std::size_t size) {
    const auto* from = static_cast<const std::uint8_t*>(bytes);
    while (size > 0) {
        if (at_ == ivf::kPayloadEnd) Turn();
        const std::size_t n = Min(size, ivf::kPayloadEnd - at_);
        memcpy(page_.data + at_, from, n);
        at_ += n;
        from += n;
        size -= n;
        ivf::TailOf(reinterpret_cast<std::uint8_t*>(page_.data))->head_page = head_page_;
    }
}

// Goes to the next page if `size` bytes have no room on this one.
void ChainWriter::Fit(std::size_t size) {
    if (ivf::kPayloadEnd - at_ < size) Turn();
}

void ChainWriter::WriteBlock(const std::uint8_t* prefix, ConstByteSpan factors,
                             ConstByteSpan codes) {
    Fit(ivf::kPrefixBytes);
    ivf::PageTail* tail = ivf::TailOf(reinterpret_cast<std::uint8_t*>(page_.data));
    if (tail->blocks++ == 0) tail->first_block = static_cast<std::uint16_t>(at_);
    head_page_ = number_;
    Write(prefix, ivf::kPrefixBytes);
    Fit(factors.size());
    Write(factors.data(), factors.size());
    Write(codes.data(), codes.size());
}

ChainWriter::Place ChainWriter::Here() {
    if (at_ == ivf::kPayloadEnd) Turn();
    return {number_, at_};
}

void ChainWriter::Close() {
    const std::uint32_t pages = Max(run_, taken_count_);
    while (ivf::TailOf(reinterpret_cast<std::uint8_t*>(page_.data))->ordinal + 1 < pages) Turn();
    Flush();
}

void LogBuild(Relation index, ForkNumber fork) {
    if (fork == INIT_FORKNUM || RelationNeedsWAL(index))
        log_newpage_range(index, fork, 0, RelationGetNumberOfBlocksInFork(index, fork), true);
}

std::uint64_t DeletionStamp() {
    return U64FromFullTransactionId(ReadNextFullTransactionId());
}

void Retired::Begin(Relation index, MemoryContext context) {
    *this = {};
    index_ = index;
    context_ = context;
}

void Retired::Stamp(BlockNumber number, const PageOwner& owner) {
    LockedPage page;
    if (!TryLockPage(index_, number, Access::kExclusive, owner, page)) return;
    Change change(index_);
    ivf::TailOf(change.Add(page))->deleted_at = DeletionStamp();
    change.Commit();
    UnlockPage(page);
    Add(number);
}

void Retired::Add(BlockNumber number) {
    if (count_ == capacity_) {
        capacity_ = Max(std::size_t{64}, capacity_ * 2);
        pages_ = static_cast<BlockNumber*>(
            pages_ ? repalloc_huge(pages_, capacity_ * sizeof(BlockNumber))
                   : MemoryContextAlloc(context_, capacity_ * sizeof(BlockNumber)));
    }
    pages_[count_++] = number;
}

void Retired::Release() {
    if (watched_ > 0) {
        int left = 0;
        for (int i = 0; i < snapshot_count_; i++)
            if (!VirtualXactLock(snapshots_[i], false)) snapshots_[left++] = snapshots_[i];
        snapshot_count_ = left;
    }
    if (watched_ == 0 && count_ > 0) {
        MemoryContext old = MemoryContextSwitchTo(context_);
        if (snapshots_) pfree(snapshots_);
        // A vacuum reads no index by a snapshot of its own.
        snapshots_ = GetCurrentVirtualXIDs(InvalidTransactionId, true, false,
                                           PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &snapshot_count_);
        MemoryContextSwitchTo(old);
        watched_ = count_;
    }
    if (watched_ == 0 || snapshot_count_ > 0) return;
    BlockNumber least = InvalidBlockNumber, most = 0;
    for (std::size_t i = 0; i < watched_; i++) {
        RecordFreeIndexPage(index_, pages_[i]);
        least = Min(least, pages_[i]);
        most = Max(most, pages_[i]);
    }
    released_ += static_cast<std::uint32_t>(watched_);
    count_ -= watched_;
    memmove(pages_, pages_ + watched_, count_ * sizeof(BlockNumber));
    watched_ = 0;
    FreeSpaceMapVacuumRange(index_, least, most + 1);
}

namespace {

// Locks on parts of the index that are none for anybody else: the deadlock detector sees them, as it does not
// see page locks.
constexpr std::uint16_t kSwitchPart = 1;
constexpr std::uint16_t kMovesPart = 2;

LOCKMODE ModeOf(Access access) {
    return access == Access::kShare ? ShareLock : ExclusiveLock;
}

}  // namespace

bool LockMoves(Relation index, Access access, bool wait) {
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, RelationGetRelid(index), kMovesPart);
    return LockAcquire(&tag, ModeOf(access), false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void UnlockMoves(Relation index, Access access) {
    UnlockDatabaseObject(RelationRelationId, RelationGetRelid(index), kMovesPart, ModeOf(access));
}

void LockSwitch(Relation index, Access access) {
    LockDatabaseObject(RelationRelationId, RelationGetRelid(index), kSwitchPart, ModeOf(access));
}

void UnlockSwitch(Relation index, Access access) {
    UnlockDatabaseObject(RelationRelationId, RelationGetRelid(index), kSwitchPart, ModeOf(access));
}

BlockNumber PagesOf(Relation index) {
    const bool shared = !RELATION_IS_LOCAL(index);
    if (shared) LockRelationForExtension(index, ExclusiveLock);
    const BlockNumber pages = RelationGetNumberOfBlocks(index);
    if (shared) UnlockRelationForExtension(index, ExclusiveLock);
    return pages;
}

}  // namespace quantvec::pg
