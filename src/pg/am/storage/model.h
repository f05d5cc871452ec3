// The model: what a backend keeps of an index it uses, and what follows from that without a look at
// the index.
#pragma once

#include "core/ivf/block.h"
#include "core/ivf/centroids.h"
#include "core/ivf/directory.h"
#include "pg/am/storage/meta.h"
#include "pg/am/storage/recent_pages.h"

namespace quantvec::pg {

// Everything about an index that does not change between two builds, in backend memory.
struct Model {
    MetaPage meta;
    ivf::BlockLayout layout;
    const float* mean;          // [dim]
    const std::uint8_t* signs;  // rotation state
    const float* basis;         // [padded_dim, padded_dim] what follows the rotation, or nullptr
    ivf::CentroidTable coarse;  // the centroids as codes
    float* centroids;           // [lists, padded_dim] those that were wanted (CentroidOf); nullptr:
                                // none is kept, since all would take too much memory
    bool* centroid_known;       // [lists]
    double query_norm;          // inner product: length that a query is brought to; 0: as it is
    ivf::ListEntry* entries;    // [lists], in the order of the centroids
    std::uint32_t* tails;       // [lists] last scan page known to this backend
    RecentPages recent;         // of the scan and refine pages
    int warm_batches;           // batches of rows, from now on, that are not asked for ahead
    double rows_taken;          // by the last finished scan of this backend; < 0: none

    // The cache's own.
    Oid relation;
    FileId file;
    int references;
    bool outdated;  // to be freed when nobody uses it
    std::uint64_t last_use;
    MemoryContext context;
    Model* next;
};

// The directory page of an entry, and its place there.
struct EntryPlace {
    BlockNumber page;
    std::size_t offset;
};
EntryPlace PlaceOfEntry(const Model& model, std::uint32_t list);

// Does the model lead to a page with this tail? Of a scan or refine page, `list` gets the number of
// its list. Entries are as of RefreshEntries.
bool IsCurrentPage(const Model& model, const ivf::PageTail& tail, std::uint32_t* list);

// Block number i of those that begin on a scan page, which was found to be its list's; a head that
// is not sound is an ERROR.
const std::uint8_t* BlockOnPage(Relation index, const ivf::BlockLayout& layout,
                                const std::uint8_t* page, BlockNumber number, std::size_t i);

inline PageOwner ScanOwner(const ivf::ListEntry& e) {
    return {ivf::PageKind::kScan, e.list_id, e.generation};
}
inline PageOwner RefineOwner(const ivf::ListEntry& e) {
    return {ivf::PageKind::kRefine, e.list_id, e.generation};
}

// Brings a centred vector [padded_dim] into the space of the codes: the rotation, and a basis that
// was learned.
void ToCodeSpace(const Model& model, FloatSpan x);

// What an index divides a value by: for metrics of directions its length, else 1. 0: the value is
// not indexed, since cosine is not defined for it (its length is zero or beyond the float range).
// Jaccard is defined for a value of zeros, which stays as it is.
float IndexedLength(Metric metric, ConstFloatSpan values);

// The rotated, centred form of a vector [padded_dim], divided by its IndexedLength: false if that
// is 0.
bool Transform(const Model& model, ConstFloatSpan values, FloatSpan out);

}  // namespace quantvec::pg
