// Reads the rows of a list while others write to it: for a list that is written anew. Only VACUUM
// may, since it alone moves chains.
//
// What is published never changes but for live bits, which VACUUM alone clears, and what a slot
// refers to was written before it was published. So a block's head is read first, and what it says
// is there when the later pages are read.
#pragma once

#include "core/ivf/directory.h"
#include "pg/am/storage/pages.h"

namespace quantvec::pg {

class ListReader {
  public:
    // Room, in the current context. strategy: VACUUM's, which leaves shared buffers to others.
    void Begin(Relation index, const ivf::BlockLayout& layout, BufferAccessStrategy strategy);
    // How far a list was read: all blocks before, and `used` slots of block `ordinal`, which is on
    // `page` if there was any.
    struct Position {
        BlockNumber page;
        std::uint32_t ordinal, used;
    };
    static Position Start(const ivf::ListEntry& entry) { return {entry.scan_first, 0, 0}; }
    // Goes to a position. hurry: others wait, so VACUUM's delays are left out. held: a page of the
    // chain that the caller has locked; or nullptr.
    void Open(const ivf::ListEntry& entry, const Position& from, bool hurry = false,
              const LockedPage* held = nullptr);
    // The next block that has rows not yet read; false: no more.
    bool Next();
    const Position& position() const { return position_; }

    // Of the block just read: slots of rows that are alive and were not read before.
    std::uint32_t rows() const { return rows_; }
    ivf::RowPointer pointer(std::uint32_t slot) const;
    // row.code and row.refine have room.
    void Row(std::uint32_t slot, quant::EncodedRow& row);

  private:
    struct Page {
        BlockNumber number;
        PGAlignedBlock block;
        const std::uint8_t* bytes() const {
            return reinterpret_cast<const std::uint8_t*>(block.data);
        }
        const ivf::PageTail& tail() const { return *ivf::TailOf(bytes()); }
    };
    void Load(Page& page, BlockNumber number, const PageOwner& owner);
    void TakeBlock(std::size_t at);

    Relation index_;
    const ivf::BlockLayout* layout_;
    BufferAccessStrategy strategy_;
    ivf::ListEntry entry_;
    bool hurry_;
    const LockedPage* held_;
    Page page_, refine_;
    std::uint32_t blocks_taken_;  // heads of the page that were looked at
    bool reread_;                 // the page of the last block, since it had grown
    Position position_;
    std::uint32_t rows_;
    alignas(8) std::uint8_t head_[ivf::kMaxHeadBytes];
    std::uint8_t* codes_;  // [code_bytes]
};

}  // namespace quantvec::pg
