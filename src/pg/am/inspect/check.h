// What the files of quantvec_check share: check.cpp opens the index and goes round, check_model.cpp
// looks at metapage, model and directory, check_walk.cpp walks lists and blocks, check_table.cpp
// compares the table's rows with what was met there.
#pragma once

#include "pg/am/storage/model.h"

namespace quantvec::pg {

// A live slot, as the walk met it.
struct SeenRow {
    std::uint64_t pointer;  // of the table's row: block number << 16 | offset number
    std::uint32_t list;     // number of the list
    std::uint32_t crc;      // CodeCrc of what the slot holds
};
static_assert(sizeof(SeenRow) == 16);

inline constexpr std::uint64_t kNoPointer = ~std::uint64_t{0};

// What is found; the columns of the result.
struct CheckCounts {
    std::int64_t lists, pages, free_pages, leaked_pages, blocks, live_rows, dead_slots, table_rows;
};

struct Check {
    Relation index;
    Relation table;
    bool with_table;  // heapallindexed
    bool moving;      // VACUUM may move lists meanwhile
    bool shows;       // progress: no command around it does
    bool walking;     // in the phase that reads the index
    MetaPage meta;
    Model* model;
    BlockNumber pages;        // of the index, as far as known
    BlockNumber table_pages;  // the same of the table
    CheckCounts counts;

    BlockNumber first_pages;  // of the index when the check began; later ones are not judged
    std::uint8_t* reached;    // [first_pages] bits: some chain has the page
    BlockNumber pages_read;   // in this round
    BlockNumber model_pages;  // of these metapage, model and directory, which are read once

    // Rows [from, to) of this round, at most as many as fit the memory: when there are more, `to`
    // falls, and another round takes the others.
    std::uint64_t from, to;
    SeenRow* rows;
    std::size_t row_count, row_capacity;
};

inline bool Reached(const Check& c, BlockNumber number) {
    return c.reached[number / 8] >> (number % 8) & 1;
}

// For the progress view: one more page of the index was read.
inline void ShowPage(Check& c) {
    c.pages_read++;
    if (c.walking)
        pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, Min(c.pages_read, c.first_pages));
}

// A page, copied under a share lock.
struct PageCopy {
    BlockNumber number;
    PGAlignedBlock block;

    const std::uint8_t* bytes() const { return reinterpret_cast<const std::uint8_t*>(block.data); }
    const ivf::PageTail& tail() const { return *ivf::TailOf(bytes()); }
    std::size_t end() const {
        return reinterpret_cast<const PageHeaderData*>(block.data)->pd_lower;
    }
};

// check_model.cpp

// Checks the metapage and the chains that it names, then loads the model.
void CheckModel(Check& c);

// check_walk.cpp

// Copies the page with this ordinal of a chain, and checks its frame. `from`: the page that names
// it.
void CopyPage(Check& c, BlockNumber number, const PageOwner& owner, std::uint32_t ordinal,
              BlockNumber from, PageCopy& page);
// What is used must lie before pd_lower: the next WAL record drops the rest.
void CheckCovered(const Check& c, const PageCopy& page, std::size_t end);
// Walks the lists and then all pages by number, and leaves the live slots of this round in c.rows.
void WalkPages(Check& c);
// Where list number `list` has a live slot for a row; the first `skip` of such slots are passed
// over.
struct SlotPlace {
    BlockNumber page;  // InvalidBlockNumber: nowhere
    std::size_t at;    // offset of the block's head
    std::uint32_t slot;
};
SlotPlace FindLiveSlot(Check& c, std::uint32_t list, std::uint64_t pointer, std::size_t skip = 0);
// Is the slot still live?
bool StillLive(Check& c, std::uint32_t list, const SlotPlace& place);

// check_table.cpp

// What a slot holds of a row, as one number: factors, code, refine row. Any change of up to 32
// adjacent bits changes it.
std::uint32_t CodeCrc(const quant::RowFactors& factors, ConstByteSpan code, ConstByteSpan refine);
// Sorts c.rows; no row may be there twice.
void SortSeenRows(Check& c);
// Compares the rows of this round that the snapshot sees.
void CheckTable(Check& c, Snapshot snapshot);

// Damage at a slot.
[[noreturn]] void ReportSlot(const Check& c, std::uint32_t list, BlockNumber page, std::size_t at,
                             std::uint32_t slot, const char* what);

}  // namespace quantvec::pg
