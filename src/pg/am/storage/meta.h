// The metapage.
//
// Everything that was decided when the index was built is in the metapage; the options in the
// catalog are only what was wished for. Feature bits say who may touch an index: a reader that
// meets an incompatible bit it does not know refuses, a writer also at a read-compatible one.
#pragma once

#include "core/ivf/block.h"
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

// Dimensions [from, to) of the rotated space are kept with `bits` bits each.
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

// The payload of page 0, with what VACUUM notes behind it (care/notes.h). It changes when the index
// is trained anew, as a whole; its page has a checksum.
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

// Reads and checks the metapage. `writing`: the caller is going to change the index. `checksum`:
// that is compared too, which takes longer than the rest.
MetaPage ReadMeta(Relation index, bool writing = false, bool checksum = false);

// Does the index still have the model of this metapage?
bool IsCurrent(Relation index, const MetaPage& meta);

}  // namespace quantvec::pg
