// This file owns the stored form of the directory and of the centroids.
//
// The directory has one entry a list: a stream of fixed-size entries over the directory's chain.
// Entries do not straddle pages. The metapage says how large they are: a later version may append
// fields, and an earlier version had fewer. A reader takes fields that are not stored for zeros. A
// writer leaves fields alone that it does not know. (A field that must not be left alone comes with
// a feature bit of the metapage.)
//
// The centroids are nodes of a tree: a stream of nodes that do straddle pages.
//
//   | CentroidNode | padded_dim floats (code kind 1) |     child = list id at level 0
//
// The codes of the centroids are a third stream, in the order of the directory: one table of
// centroids.h.
#pragma once

#include "core/ivf/page.h"

namespace quantvec::ivf {

// Stored: never renumber.
enum class ListState : std::uint8_t { kActive = 1 };

struct ListEntry {
    std::uint64_t generation;      // stamped on every page and block of the list
    std::uint64_t centroid_epoch;  // the codes of the list are of this centroid
    std::uint64_t rows;            // live ones, when VACUUM last saw an eighth more or less; a hint
    std::uint32_t list_id;         // stable, never reused, not an array index
    std::uint32_t scan_first;      // chains are never empty
    std::uint32_t scan_last;       // last page when the entry was written; follow `next` from it
    std::uint32_t scan_contiguous;  // pages from scan_first on that follow each other on disk
    std::uint32_t refine_first;     // kNoPage without a refine layer
    std::uint32_t refine_last;
    std::uint32_t refine_contiguous;
    std::uint32_t successors[2];  // lists that took over, or 0
    float spread;  // root mean square distance of the build's rows from the centroid; a hint
    ListState state;
    std::uint8_t reserved8[3];
    std::uint32_t reserved[7];
};
static_assert(sizeof(ListEntry) == 96);

// The part of an entry that every version has.
inline constexpr std::size_t kLeastEntryBytes = 72;

constexpr bool IsEntrySize(std::size_t entry_bytes) {
    return entry_bytes >= kLeastEntryBytes && entry_bytes % 8 == 0 &&
           kPayloadBytes % entry_bytes == 0;
}
static_assert(IsEntrySize(sizeof(ListEntry)));

// Where entry number i is stored.
struct EntrySpot {
    std::uint32_t ordinal;  // of the directory's page
    std::size_t offset;     // in the page
};
constexpr EntrySpot SpotOfEntry(std::size_t i, std::size_t entry_bytes) {
    const std::size_t a_page = kPayloadBytes / entry_bytes;
    return {static_cast<std::uint32_t>(i / a_page), kPayloadAt + i % a_page * entry_bytes};
}

// The bytes of a stored entry that this version knows.
constexpr std::size_t KnownEntryBytes(std::size_t entry_bytes) {
    return entry_bytes < sizeof(ListEntry) ? entry_bytes : sizeof(ListEntry);
}
inline ListEntry LoadEntry(const std::uint8_t* stored, std::size_t entry_bytes) {
    ListEntry entry = {};
    __builtin_memcpy(&entry, stored, KnownEntryBytes(entry_bytes));
    return entry;
}
inline void StoreEntry(const ListEntry& entry, std::size_t entry_bytes, std::uint8_t* stored) {
    __builtin_memcpy(stored, &entry, KnownEntryBytes(entry_bytes));
}

// Stored: never renumber.
enum class CentroidCode : std::uint8_t { kFloat = 1 };

struct CentroidNode {
    std::uint32_t child;  // level 0: list id
    std::uint8_t level;
    CentroidCode code;
    std::uint16_t reserved;
};
static_assert(sizeof(CentroidNode) == 8);

}  // namespace quantvec::ivf
