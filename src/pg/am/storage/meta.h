// The metapage, and the model that a backend keeps of each index it uses.
//
// Everything that was decided when the index was built is in the metapage; the options in the
// catalog are only what was wished for. Feature bits say who may touch an index: a reader that
// meets an incompatible bit it does not know refuses, a writer also at a read-compatible one.
#pragma once

#include "core/ivf/block.h"
#include "core/ivf/centroids.h"
#include "core/ivf/directory.h"
#include "core/metric.h"
#include "pg/am/opclass.h"
#include "pg/am/storage/pages.h"
#include "pg/compat.h"

namespace quantvec::pg {

inline constexpr BlockNumber kMetaPage = 0;
inline constexpr std::uint32_t kMetaMagic = 0x4d564351;  // "QCVM"

// Features this code knows, by class. None yet: version 1 is the absence of all.
inline constexpr std::uint64_t kKnownIncompatible = 0;
inline constexpr std::uint64_t kKnownReadCompatible = 0;

// A replaceable part of the index: a chain of pages stamped with a generation.
struct PartPointer {
    std::uint64_t generation;
    std::uint32_t first;  // kNoPage: there is none
    std::uint32_t pages;
};

// Dimensions [from, to) of the rotated space are kept with so many bits.
struct Segment {
    std::uint32_t from;
    std::uint32_t to;
    std::uint32_t bits;
    std::uint32_t reserved;
};
inline constexpr int kMaxSegments = 16;

// Stored: never renumber.
enum class RotationKind : std::uint8_t {
    kHadamard4 = 1,
    kHadamard4Basis = 2,  // then a learned basis (quant/basis.h)
};

// The payload of page 0, with what VACUUM notes behind it (care/notes.h). It changes when the index is trained anew, as a
// whole; its page has a checksum.
struct MetaPage {
    std::uint32_t magic;
    std::uint32_t meta_bytes;    // size of this struct when it was written; what it lacks is zero
    std::uint64_t incompatible;  // feature bits
    std::uint64_t read_compatible;
    std::uint64_t compatible;
    std::uint64_t build_id;  // random; tells one build from the next
    std::uint64_t rotation_seed;
    std::uint64_t rows_trained;  // rows that the lists were made for
    std::uint32_t dim;
    std::uint32_t padded_dim;
    std::uint32_t lists;
    std::uint32_t next_list_id;
    std::uint32_t entry_bytes;  // of a directory entry
    std::uint32_t block_head_bytes;
    std::uint32_t block_code_bytes;
    std::uint32_t refine_row_bytes;
    Metric metric;
    Element element;
    quant::Kind quantizer;
    std::uint8_t bits;
    RotationKind rotation;
    std::uint8_t trained;  // 0: one flat list, since there were too few rows
    quant::Levels levels;
    std::uint8_t reserved;
    std::uint32_t segment_count;
    std::uint32_t pq_m;  // sub-quantizers; 0: not pq
    Segment segments[kMaxSegments];
    PartPointer model;      // the stored mean: dim floats
    PartPointer centroids;  // generation: the centroid epoch
    PartPointer directory;
    PartPointer calibration;  // none yet
    PartPointer codebooks;    // pq: padded_dim * 2^bits floats
    PartPointer basis;        // padded_dim^2 floats, with rotation kHadamard4Basis
    PartPointer coarse;       // codes of the centroids
    float error_spread;       // pq: spread of its bound (quant::Spec)
    std::uint32_t reserved32;
};
static_assert(sizeof(MetaPage) == 480);
// What every version has of it.
inline constexpr std::size_t kLeastMetaBytes = offsetof(MetaPage, error_spread);

// Dimensions of the indexed column or expression as they are declared; -1: they are not.
int DeclaredDim(Relation index);

// Reads and checks the metapage. `writing`: the caller is going to change the index. `checksum`: that
// is compared too, which takes longer than the rest.
MetaPage ReadMeta(Relation index, bool writing = false, bool checksum = false);

// Everything about an index that does not change between two builds, in backend memory.
struct Model {
    MetaPage meta;
    ivf::BlockLayout layout;
    const float* mean;          // [dim]
    const std::uint8_t* signs;  // rotation state
    const float* basis;         // [padded_dim, padded_dim] what follows the rotation, or nullptr
    ivf::CentroidTable coarse;  // the centroids as codes
    float* centroids;           // [lists, padded_dim] those that were wanted (CentroidOf); nullptr:
                                // of so many lists none is kept
    bool* centroid_known;       // [lists]
    double query_norm;          // inner product: length that a query is brought to; 0: as it is
    ivf::ListEntry* entries;    // [lists], in the order of the centroids
    std::uint32_t* tails;       // [lists] last scan page known to this backend
    RecentPages recent;         // of the scan and refine pages
    int warm_batches;           // so many more batches of rows are not asked for ahead
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

// Called once, by _PG_init.
void InitModelCache();
// The model of an index, from the cache or read anew. Stays valid until `owner` is reset or deleted
// (an ERROR does so too).
Model* AcquireModel(Relation index, MemoryContext owner, bool writing = false);
// The model read anew, in the current context. nullptr: the metapage names another by now.
Model* ReadModel(Relation index, const MetaPage& meta);
// Is that still the model of the index?
bool IsCurrent(Relation index, const MetaPage& meta);
// Reads all directory entries again; false: the index has another model by now.
bool RefreshEntries(Relation index, Model& model);

// A table without codes, in the current context.
ivf::CentroidTable AllocateTable(std::size_t lists, std::size_t padded_dim);

// Makes the codes of centroids: for the build, which stores them, and for quantvec_check, which
// compares them.
struct CentroidCoder {
    const float* mean;  // inner product: the stored mean, turned [padded_dim]; else nullptr
    FloatSpan sum, zeros, workspace;
    ByteSpan code;
};
// The model needs metric, dim, mean and what Turn needs.
CentroidCoder BeginCoding(const Model& model, std::size_t padded_dim);
// spread: of the list's rows (ivf::ListEntry).
void CodeCentroid(CentroidCoder& coder, ivf::CentroidTable& table, std::size_t i,
                  ConstFloatSpan centroid, float spread);

// The centroid of list number `list` [padded_dim], rotated and centred on the mean; valid until the
// next call with this scratch [padded_dim], which is needed where model.centroids is nullptr. Empty: the
// index has another model by now.
ConstFloatSpan CentroidOf(Relation index, Model& model, std::uint32_t list, FloatSpan scratch);

// Reads the directory entry of list number `list` again.
ivf::ListEntry ReadEntry(Relation index, const Model& model, std::uint32_t list);
// The directory page of an entry, and its place there.
struct EntryPlace {
    BlockNumber page;
    std::size_t offset;
};
EntryPlace PlaceOfEntry(const Model& model, std::uint32_t list);

// Does the model lead to a page with this tail? Of a scan or refine page, `list` gets the number of its
// list. Entries are as of RefreshEntries.
bool IsCurrentPage(const Model& model, const ivf::PageTail& tail, std::uint32_t* list);

// Block number i of those that begin on a scan page, which was found to be its list's; a head that is not
// sound is an ERROR.
const std::uint8_t* BlockOnPage(Relation index, const ivf::BlockLayout& layout,
                                const std::uint8_t* page, BlockNumber number, std::size_t i);

inline PageOwner ScanOwner(const ivf::ListEntry& e) {
    return {ivf::PageKind::kScan, e.list_id, e.generation};
}
inline PageOwner RefineOwner(const ivf::ListEntry& e) {
    return {ivf::PageKind::kRefine, e.list_id, e.generation};
}

// A row pointer as one number, in the table's order.
inline std::uint64_t PointerNumber(const ItemPointerData& tid) {
    return std::uint64_t{ItemPointerGetBlockNumberNoCheck(&tid)} << 16 |
           ItemPointerGetOffsetNumberNoCheck(&tid);
}
inline std::uint64_t PointerNumber(const ivf::RowPointer& p) {
    return std::uint64_t{p.block_hi} << 32 | std::uint64_t{p.block_lo} << 16 | p.offset;
}
inline ivf::RowPointer PointerOf(std::uint64_t number) {
    return {static_cast<std::uint16_t>(number >> 32), static_cast<std::uint16_t>(number >> 16),
            static_cast<std::uint16_t>(number)};
}

// Turns a centred vector [padded_dim] into the space of the codes.
void Turn(const Model& model, FloatSpan x);

// The rotated, centred form of a vector [padded_dim]. For cosine it is brought to unit length
// first: false if it has none (zero, or beyond the float range).
bool Transform(const Model& model, ConstFloatSpan values, FloatSpan out);

}  // namespace quantvec::pg
