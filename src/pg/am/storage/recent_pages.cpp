// A page is pinned where it was met last, without a look-up.
#include "pg/am/storage/recent_pages.h"

#include "pg/compat.h"

namespace quantvec::pg {

Buffer RecentPages::Pin(Relation index, BlockNumber number, MemoryContext context) {
    // A pin by the short way does not tell the clock sweep that the page is in use, so one in a few
    // goes the long way.
    constexpr std::uint32_t kLongWayEvery = 16;
    if (number < pages_.size && pages_.items[number].buffer != InvalidBuffer &&
        ++turn_ % kLongWayEvery != 0 &&
        ReadRecentBuffer(FileIdOf(index), MAIN_FORKNUM, number, pages_.items[number].buffer)) {
        pgstat_count_buffer_read(index);
        pgstat_count_buffer_hit(index);
        return pages_.items[number].buffer;
    }
    const Buffer buffer = ReadBuffer(index, number);
    if (BufferIsLocal(buffer)) return buffer;
    if (number >= pages_.size) {
        const BlockNumber count = Max(number + 1, RelationGetNumberOfBlocks(index));
        pages_.Reserve(count, context);
        while (pages_.size < count) pages_.Push(context) = {InvalidBuffer, ivf::kNoPage};
    }
    pages_.items[number].buffer = buffer;
    return buffer;
}

const std::uint8_t* RecentPages::Guess(BlockNumber number) const {
    if (number >= pages_.size || pages_.items[number].buffer == InvalidBuffer) return nullptr;
    return reinterpret_cast<const std::uint8_t*>(BufferGetBlock(pages_.items[number].buffer));
}

bool ScanPages::TryLock(BlockNumber number, const PageOwner& owner, LockedPage& page) const {
    page = LockPinned(recent->Pin(index, number, recent_context), number, Access::kShare);
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

}  // namespace quantvec::pg
