// The notes are read from the metapage and written behind it.
#include "pg/am/care/notes.h"

namespace quantvec::pg {

namespace {

constexpr std::size_t kNotesAt = ivf::kPayloadAt + 2048;
static_assert(ivf::kPayloadAt + sizeof(MetaPage) <= kNotesAt);

constexpr PageOwner kOwner = {ivf::PageKind::kMeta, 0, 0};

}  // namespace

VacuumNotes ReadNotes(Relation index, const MetaPage& meta) {
    LockedPage page = LockPage(index, kMetaPage, Access::kShare, kOwner);
    VacuumNotes notes;
    memcpy(&notes, page.bytes + kNotesAt, sizeof notes);
    UnlockPage(page);
    if (notes.notes_bytes == sizeof notes && notes.build_id == meta.build_id) return notes;
    notes = {};
    notes.notes_bytes = sizeof notes;
    notes.build_id = meta.build_id;
    notes.rows = meta.rows_trained;
    return notes;
}

void WriteNotes(Relation index, const VacuumNotes& notes) {
    LockedPage page = LockPage(index, kMetaPage, Access::kExclusive, kOwner);
    Change change(index);
    std::uint8_t* bytes = change.Add(page);
    memcpy(bytes + kNotesAt, &notes, sizeof notes);
    CoverTo(bytes, kNotesAt + sizeof notes);
    ivf::TailOf(bytes)->crc = PayloadCrc(bytes);
    change.Commit();
    UnlockPage(page);
}

}  // namespace quantvec::pg
