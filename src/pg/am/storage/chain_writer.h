// Whole chains of pages, written from their beginning: for a build, and for lists and models that
// are written anew.
#pragma once

#include "pg/am/storage/pages.h"

namespace quantvec::pg {

// How a chain's pages get into the index. Not logged: by LogBuild in the end, into an index that
// nobody else can see yet. Logged: each by a WAL record of its own, once it is full; until
// something names the chain, nobody reads it, and a crash leaves pages that the next VACUUM frees.
struct NewPages {
    Relation index;
    ForkNumber fork;
    bool logged;
};

// `count` new pages, one after the other on disk, still all zeros. Returns the first.
BlockNumber ExtendRun(const NewPages& to, std::uint32_t count);

// Writes a chain from its beginning, page by page. Holds no lock between two calls, so that it can
// be cancelled.
class ChainWriter {
  public:
    // Into a run of pages ..
    ChainWriter(const NewPages& to, const PageOwner& owner, BlockNumber first, std::uint32_t pages);
    // .. or, logged, into whatever AllocatePage gives: `expected` pages are taken at once, from the
    // current context's memory, so that they have a chance to follow each other on disk.
    ChainWriter(const NewPages& to, const PageOwner& owner, std::uint32_t expected);

    // Bytes that go on in the following pages where they must.
    void Write(const void* bytes, std::size_t size);
    // A block, whose prefix, factors and first `code_bytes` bytes of codes lie one behind the
    // other.
    void WriteBlock(const ivf::BlockLayout& layout, const std::uint8_t* block,
                    std::size_t code_bytes);
    // Where the next byte goes.
    struct Place {
        BlockNumber page;
        std::size_t offset;
    };
    Place Here();
    // Nothing is written for good before. Pages that were laid out or taken and not reached stay
    // empty.
    void Close();

    BlockNumber first() const { return first_; }
    BlockNumber last() const { return number_; }  // once closed
    // Pages from the first on that follow each other on disk.
    std::uint32_t contiguous() const { return contiguous_; }

  private:
    BlockNumber Claim();
    BlockNumber PageAt(std::uint32_t ordinal);
    void Begin(BlockNumber number, std::uint32_t ordinal);
    void Flush();
    void NextPage();
    std::uint8_t* bytes() { return reinterpret_cast<std::uint8_t*>(page_.data); }
    ivf::PageTail& tail() { return *ivf::TailOf(bytes()); }

    NewPages to_;
    PageOwner owner_;
    BlockNumber first_;
    std::uint32_t run_;             // pages laid out; 0: they are taken
    BlockNumber* taken_ = nullptr;  // [taken_count_]
    std::uint32_t taken_count_ = 0;
    std::uint32_t contiguous_ = 1;
    BlockNumber number_;                          // of the page being written
    BlockNumber head_page_ = InvalidBlockNumber;  // of the block being written
    std::size_t at_;
    PGAlignedBlock page_;
};

}  // namespace quantvec::pg
