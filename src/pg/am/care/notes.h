// What one VACUUM notes for the next, and for quantvec_index_info: on the metapage, behind the
// MetaPage.
//
//   page 0   | MetaPage ..        (nothing)   | VacuumNotes |   (nothing)   |
//            64                               2112
//
// Notes are hints. They are not part of the model, so that no backend reads that again when they
// change, but they lie under the same checksum. Notes about another model are none: a build or a
// training forgets them.
#pragma once

#include "pg/am/storage/meta.h"

namespace quantvec::pg {

struct VacuumNotes {
    std::uint32_t notes_bytes;  // size of this struct when it was written; 0: nothing is noted
    float drift;                // that the last training in place left; 0: unknown
    std::uint64_t build_id;     // of the model that the notes are about
    std::uint64_t rows;         // live ones
    std::uint64_t changed;      // rows that came or went since the training, or a look at drift
    std::uint32_t freed;        // pages that the training left free, which new rows will fill
    // When nothing was left to be done: pages of the file, else 0; slots of all lists that were
    // taken so far, and their generations summed up. Inserts take slots; what else changes either
    // of them is VACUUM, and before it clears a slot it says that something is to be done.
    std::uint32_t pages;
    std::uint64_t slots;
    std::uint64_t generations;
};
static_assert(sizeof(VacuumNotes) == 56);

// Of this model; what is not known is 0, and rows are those it was trained for.
VacuumNotes ReadNotes(Relation index, const MetaPage& meta);
// Only VACUUM does.
void WriteNotes(Relation index, const VacuumNotes& notes);

}  // namespace quantvec::pg
