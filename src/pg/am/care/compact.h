// Gives a list a new chain without its dead slots, while others scan it and add to it.
//
//   old chain   [ b0 | b1 | b2 | b3 . ]      inserts go on here
//   new chain   [ live rows of b0..b3 ]      nobody knows it
//
//   1 copy    live rows, block by block, into a new chain of the next generation; again what came
//             meanwhile, until that is little
//   2 flip    lock the page through which the old chain grows, copy what is left, and in one WAL
//             record write the directory entry and stamp that page and the first one as deleted
//   3 retire  stamp the other old pages; they are used again when nobody can be reading them
//
//   the directory   names the old chain ------------------- 2 --> names the new one
//   the old chain   takes rows; first and growth page ----- 2 --> stamped -------------> free
//                   its other pages ----------------------- 3 ----------> stamped -----> free
//   the new chain   written (1) --> the last rows (2) -----------> takes rows
//
// Codes move as they are: the centroid stays. An inserter that waits for the page of step 2 finds
// it deleted, a scan the first page; both read the directory again. A scan that had passed the
// first page has a snapshot older than every row that went to the new chain, and may go on in the
// old one as long as it meets no page that is stamped already; then it starts over.
//
// A crash leaves a new chain that nothing names, or an old one: their generation is not the
// entry's, and the next VACUUM frees them before it makes another of that generation.
#pragma once

#include "pg/am/list/append.h"
#include "pg/am/list/read.h"
#include "pg/am/list/write.h"
#include "pg/am/storage/model.h"
#include "pg/am/storage/retired.h"

namespace quantvec::pg {

// What a list has.
struct ListUse {
    std::uint64_t used, live;  // slots
    std::uint32_t pages;
};

// Is it worth it?
bool WantsCompaction(const ivf::BlockLayout& layout, const ListUse& use);

struct Compaction {
    Relation index;
    Model* model;
    Retired* retired;
    BlockRoom room;
    quant::EncodedRow row;
    ListReader* reader;
    MemoryContext context;  // emptied after each list

    std::int64_t lists, rows;  // rewritten
};
void BeginCompaction(Compaction& c, Relation index, Model* model, Retired* retired,
                     BufferAccessStrategy strategy);
// live: rows that the list has at least.
void CompactList(Compaction& c, std::uint32_t list, std::uint64_t live);

// Stamps the pages of a list that nothing names any more.
void RetireList(Relation index, const ivf::ListEntry& entry, Retired& retired);

}  // namespace quantvec::pg
