// A chain is written page by page, into a run of pages or into whatever is free.
#include "pg/am/storage/chain_writer.h"

#include <algorithm>

#include "core/ivf/block_walk.h"
#include "pg/debug_point.h"
#include "pg/memory.h"

namespace quantvec::pg {

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

ChainWriter::ChainWriter(const NewPages& to, const PageOwner& owner, std::uint32_t expected)
    : to_(to), owner_(owner), run_(0) {
    taken_ = NewArray<BlockNumber>(expected);
    while (taken_count_ < expected) taken_[taken_count_++] = Claim();
    std::sort(taken_, taken_ + taken_count_);
    first_ = taken_[0];
    while (contiguous_ < taken_count_ && taken_[contiguous_] == first_ + contiguous_) contiguous_++;
    Begin(first_, 0);
}

// Takes a page and makes it an empty one of the chain, so that nobody else does.
BlockNumber ChainWriter::Claim() {
    CHECK_FOR_INTERRUPTS();
    LockedPage page = AllocatePage(to_.index);
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
    InitPage(bytes(), owner_, ordinal);
    tail().head_page = head_page_;
}

void ChainWriter::Flush() {
    CHECK_FOR_INTERRUPTS();
    CoverTo(bytes(), at_);
    if (owner_.kind == ivf::PageKind::kMeta || owner_.kind == ivf::PageKind::kModel ||
        owner_.kind == ivf::PageKind::kCentroid)
        tail().crc = PayloadCrc(bytes());
    LockedPage page = LockUnchecked(to_.index, to_.fork, number_, Access::kExclusive);
    if (to_.logged) {
        // A free space map that is wrong may have given it away since the file grew.
        if (!PageIsNew(PageOf(page.bytes)) && !IsOwnedBy(to_.index, page, owner_))
            elog(ERROR, "quantvec: page %u of index \"%s\" was taken by somebody else", number_,
                 RelationGetRelationName(to_.index));
        Change change(to_.index);
        memcpy(change.Add(page, true), page_.data, BLCKSZ);
        change.Commit();
    } else {
        memcpy(page.bytes, page_.data, BLCKSZ);
        MarkBufferDirty(page.buffer);
    }
    UnlockPage(page);
    if (to_.logged) DEBUG_POINT("chain_written");
}

void ChainWriter::NextPage() {
    const std::uint32_t ordinal = tail().ordinal + 1;
    if (run_ > 0 && ordinal == run_) elog(ERROR, "quantvec: a chain was laid out too short");
    const BlockNumber next = PageAt(ordinal);
    tail().next = next;
    if (contiguous_ == ordinal && next == first_ + ordinal) contiguous_++;
    Flush();
    Begin(next, ordinal);
}

void ChainWriter::Write(const void* bytes, std::size_t size) {
    const auto* from = static_cast<const std::uint8_t*>(bytes);
    while (size > 0) {
        if (at_ == ivf::kPayloadEnd) NextPage();
        const std::size_t n = Min(size, ivf::kPayloadEnd - at_);
        memcpy(page_.data + at_, from, n);
        at_ += n;
        from += n;
        size -= n;
    }
}

void ChainWriter::WriteBlock(const ivf::BlockLayout& layout, const std::uint8_t* block,
                             std::size_t code_bytes) {
    if (!ivf::HeadFits(at_)) NextPage();
    if (tail().blocks++ == 0) tail().first_block = static_cast<std::uint16_t>(at_);
    head_page_ = tail().head_page = number_;
    memcpy(bytes() + at_, block, ivf::kPrefixBytes);
    ivf::PieceCursor pieces = ivf::PiecesOf(layout, at_);
    for (;;) {
        const ivf::Piece piece = pieces.Take();
        if (piece.factors_at != 0)
            memcpy(bytes() + piece.factors_at, block + ivf::kPrefixBytes, layout.factor_bytes);
        const std::size_t here = piece.Among(code_bytes);
        memcpy(bytes() + piece.codes_at, block + layout.head_bytes + piece.codes_before, here);
        at_ = piece.codes_at + here;
        if (pieces.Has(code_bytes)) return;
        NextPage();
    }
}

ChainWriter::Place ChainWriter::Here() {
    if (at_ == ivf::kPayloadEnd) NextPage();
    return {number_, at_};
}

void ChainWriter::Close() {
    const std::uint32_t pages = Max(run_, taken_count_);
    while (tail().ordinal + 1 < pages) NextPage();
    Flush();
}

}  // namespace quantvec::pg
