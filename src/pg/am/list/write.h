// Writes the chains of one list from its rows, one after the other: for a build, and for a list
// that is written anew.
#pragma once

#include "core/ivf/directory.h"
#include "pg/am/storage/chain_writer.h"

namespace quantvec::pg {

// Room for the block being filled, for one list after the other.
struct BlockRoom {
    std::uint8_t* block;   // [head_bytes + code_bytes]
    std::uint8_t* refine;  // [32 * refine_row_bytes]
};
BlockRoom AllocateBlockRoom(const ivf::BlockLayout& layout);

class ListWriter {
  public:
    // The entry's list id and generation are set. refine: nullptr without a refine layer.
    ListWriter(const ivf::BlockLayout& layout, const ivf::ListEntry& entry, const BlockRoom& room,
               ChainWriter* scan, ChainWriter* refine);
    void Add(ivf::RowPointer pointer, const quant::EncodedRow& row);
    // Closes the chains, and says in the entry where they are.
    void Close(ivf::ListEntry& entry);

  private:
    void BeginBlock();
    void EndBlock();

    const ivf::BlockLayout& layout_;
    std::uint32_t list_id_;
    std::uint64_t generation_;
    BlockRoom room_;
    ChainWriter *scan_, *refine_;
    std::uint32_t ordinal_ = 0;  // of the block being filled
    std::size_t filled_ = 0;     // slots of it
};

}  // namespace quantvec::pg
