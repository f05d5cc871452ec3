// Blocks are filled with rows, and written when they are full or the list ends.
#include "pg/am/list/write.h"

#include "pg/memory.h"

namespace quantvec::pg {

BlockRoom AllocateBlockRoom(const ivf::BlockLayout& layout) {
    return {NewArray<std::uint8_t>(std::size_t{layout.head_bytes} + layout.code_bytes),
            NewArray<std::uint8_t>(ivf::kBlockRows * layout.refine_row_bytes)};
}

ListWriter::ListWriter(const ivf::BlockLayout& layout, const ivf::ListEntry& entry,
                       const BlockRoom& room, ChainWriter* scan, ChainWriter* refine)
    : layout_(layout),
      list_id_(entry.list_id),
      generation_(entry.generation),
      room_(room),
      scan_(scan),
      refine_(refine) {}

void ListWriter::BeginBlock() {
    ChainWriter::Place refine = {ivf::kNoPage, 0};
    if (refine_) refine = refine_->Here();
    ivf::InitBlock(list_id_, generation_, ordinal_, refine.page,
                   static_cast<std::uint16_t>(refine.offset), room_.block);
    memset(room_.block + ivf::kPrefixBytes, 0, layout_.factor_bytes + layout_.code_bytes);
}

void ListWriter::Add(ivf::RowPointer pointer, const quant::EncodedRow& row) {
    if (filled_ == 0) BeginBlock();
    layout_.quantizer->Scatter(layout_.spec, row.code, filled_, 0,
                               {room_.block + layout_.head_bytes, layout_.code_bytes});
    ivf::StoreFactors(layout_, row.factors, filled_, room_.block + ivf::kPrefixBytes);
    ivf::PublishSlot(pointer, room_.block);
    memcpy(room_.refine + filled_ * layout_.refine_row_bytes, row.refine.data(), row.refine.size());
    if (++filled_ == ivf::kBlockRows) EndBlock();
}

void ListWriter::EndBlock() {
    scan_->WriteBlock(layout_, room_.block, layout_.quantizer->CodeBytesFor(layout_.spec, filled_));
    if (refine_) refine_->Write(room_.refine, filled_ * layout_.refine_row_bytes);
    ordinal_++;
    filled_ = 0;
}

void ListWriter::Close(ivf::ListEntry& entry) {
    if (filled_ > 0) EndBlock();
    scan_->Close();
    entry.scan_first = scan_->first();
    entry.scan_last = scan_->last();
    entry.scan_contiguous = scan_->contiguous();
    entry.refine_first = entry.refine_last = ivf::kNoPage;
    entry.refine_contiguous = 0;
    if (!refine_) return;
    refine_->Close();
    entry.refine_first = refine_->first();
    entry.refine_last = refine_->last();
    entry.refine_contiguous = refine_->contiguous();
}

}  // namespace quantvec::pg
