// One row into the next free slot of a list: what INSERT does once the row is encoded, and what
// brings rows into chains that are being written anew.
//
//   1 lock the page through which the list grows (exclusively; this is what makes the slot ours
//     until step 3): the one with the head of its last block, or where the next block begins
//   2 write what lies on later pages (codes, perhaps factors), and the refine row; extend the
//     chains where they end
//   3 publish: one WAL record changes the page of step 1: pointer, live bit, and what else lies
//     there
//
// Until step 3 nothing is visible; what a crash leaves behind is overwritten by the next row.
// Locks are taken in the order: page of step 1, later scan pages, refine pages, directory.
#pragma once

#include "pg/am/storage/model.h"

namespace quantvec::pg {

// Room for a row's codes, in the current context.
quant::EncodedRow AllocateRow(const ivf::BlockLayout& layout);

// A list that grows.
struct GrowingList {
    Relation index;
    const ivf::BlockLayout* layout;
    ivf::ListEntry entry;
    // Where its entry is, which is told about new last pages; page InvalidBlockNumber: not yet
    // there.
    EntryPlace place;
    std::uint64_t directory_generation;
    // A scan page of the chain, not behind the one where it grows: where to look from. Kept up to
    // date.
    std::uint32_t* tail;
};
GrowingList GrowingListOf(Relation index, Model& model, std::uint32_t list);

enum class Appended {
    kDone,
    kMoved,   // the chain has been given up: the directory, or the metapage, knows another
    kSealed,  // a new model is about to take over (LockSwitch)
};
// stale_page: kMoved's page that is not the list's; nobody is told with nullptr.
Appended AppendRow(const GrowingList& list, ivf::RowPointer pointer, const quant::EncodedRow& row,
                   BlockNumber* stale_page = nullptr);

// Locks the page through which every further row would have to come.
LockedPage LockGrowth(const GrowingList& list);
// A sealed list takes no further rows. Only under LockSwitch; a list that has moved stays as it is.
void SetSealed(const GrowingList& list, bool sealed);

}  // namespace quantvec::pg
