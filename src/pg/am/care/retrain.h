// Trains an index in use anew: new lists, new codes, one flip. For an index that was created before
// its table was filled, or whose lists do not fit its rows any more.
//
//   1 collect  the row pointers of all live entries, whoever sees their rows
//   2 build    sample, train, encode and write as CREATE INDEX does (build/build.h), rows read from
//              the table by their pointers; everything is written beside the old index, each page
//              by a WAL record
//   3 catch up what was inserted meanwhile into the old lists goes into the new ones, as INSERT
//              does it; again until that is little
//   4 switch   under the heavyweight lock of LockSwitch: seal each old list and take its last rows,
//              then one WAL record writes the metapage
//   5 retire   the next walk by number stamps all pages that the metapage does not lead to
//
//   the metapage    names the old model --------------------- 4 ------> names the new one
//   an old list     takes rows ------------------- 4 -> sealed --------> nobody enters it
//   its pages       live --------------------------------------------- 5 -> stamped --> free
//   the new lists   written (2) --> caught up (3) --> the last rows (4) -> take rows
//
// Inserters that meet a sealed list wait for the lock and find the new metapage. Scans that began
// before go on in the old lists: rows that went to the new ones only are newer than their
// snapshots. Should a page of theirs be stamped, or used for something else, they start over.
//
// A crash before the flip leaves pages that nothing names, and perhaps sealed lists, which the next
// inserter opens again when it gets the lock and finds the old metapage.
#pragma once

#include "pg/am/care/notes.h"
#include "pg/am/storage/model.h"

namespace quantvec::pg {

struct Retrained {
    std::uint32_t lists;  // 0: it was not
    std::uint64_t rows;
};
// model: of the index now. budget: bytes. A refusal, and an error but a cancel, become a WARNING.
Retrained TryRetrain(Relation heap, Relation index, Model& model, std::size_t budget,
                     BufferAccessStrategy strategy);

// What calls for a training. kDrift: perhaps; it is to be measured, and HasDrifted asked.
enum class Cause { kNone, kFirst, kGrown, kShrunk, kDrift };
Cause CauseOfTraining(Relation index, const MetaPage& meta, const VacuumNotes& notes);
bool HasDrifted(const VacuumNotes& notes, double drift);
// Notes that `rows` are live now, and that `removed` others have gone since.
void CountChanges(VacuumNotes& notes, std::uint64_t rows, std::uint64_t removed);
// An index that was trained on fewer rows, or has fewer, is not trained anew because it has shrunk
// or drifted: a build of it takes a second.
inline constexpr double kLeastRowsToRetrain = 10000;

}  // namespace quantvec::pg
