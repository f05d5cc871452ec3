// The parts of a model are read from their chains, and checked.
#include "pg/am/storage/model_read.h"

#include <cmath>

#include "core/quant/pq.h"
#include "core/quant/rotation.h"
#include "pg/am/storage/centroid_codes.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

// Centroids are kept by the backend if all of them have no more than this, and else read from their
// pages whenever they are wanted.
constexpr std::size_t kKeptCentroidBytes = 8 * 1024 * 1024;

// Inner product: the order does not depend on the length of the query, but the bounds do. A query
// shorter than the rows makes them loose: their share of <q, r> falls. A query that is longer by
// 1e5 or more drowns them in the rounding of ||q - c||^2. In between they are tightest.
constexpr double kQueryNorm = 30;

// Reads `size` bytes from the payloads of a part's chain. When VACUUM gives the index a new model,
// pages of the old one may go to something else at any time: then the reader is stale, and gives
// zeros.
struct PartReader {
    Relation index;
    const MetaPage* meta;
    bool stale = false;
    PageOwner owner;
    bool checksum;
    BlockNumber next;
    std::uint32_t ordinal = 0;
    std::size_t at = ivf::kPayloadEnd;
    PGAlignedBlock copy;

    // Goes to a position in a part that was laid out in one run of pages. Only before the first
    // Read.
    void Seek(std::size_t position) {
        ordinal = static_cast<std::uint32_t>(position / ivf::kPayloadBytes);
        next += ordinal;
        NextPage();
        at = ivf::kPayloadAt + position % ivf::kPayloadBytes;
    }

    void Read(void* to, std::size_t size) {
        auto* out = static_cast<std::uint8_t*>(to);
        while (size > 0) {
            if (at == ivf::kPayloadEnd) NextPage();
            const std::size_t n = Min(size, ivf::kPayloadEnd - at);
            memcpy(out, copy.data + at, n);
            at += n;
            out += n;
            size -= n;
        }
    }

    // Passes over bytes that are on the same page as those read last.
    void Skip(std::size_t size) { at += size; }

  private:
    void NextPage() {
        CHECK_FOR_INTERRUPTS();
        if (next == InvalidBlockNumber)
            ReportCorruption(index, InvalidBlockNumber, "a chain of the model ends too early");
        LockedPage page;
        if (stale || !TryLockPage(index, next, Access::kShare, owner, page)) {
            if (!stale && IsCurrent(index, *meta))
                page = LockPage(index, next, Access::kShare, owner);  // says what is wrong
            if (page.bytes) UnlockPage(page);
            stale = true;
            memset(copy.data, 0, BLCKSZ);
            at = ivf::kPayloadAt;
            return;
        }
        memcpy(copy.data, page.bytes, BLCKSZ);
        const BlockNumber number = page.number;
        UnlockPage(page);
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(copy.data);
        const ivf::PageTail& tail = *ivf::TailOf(bytes);
        if (tail.ordinal != ordinal) ReportCorruption(index, number, "a chain is out of order");
        if (checksum && tail.crc != PayloadCrc(bytes))
            ReportCorruption(index, number, "the checksum of the model does not match");
        ordinal++;
        next = tail.next;
        at = ivf::kPayloadAt;
    }
};

PartReader OpenPart(Relation index, const MetaPage& meta, const PartPointer& part,
                    ivf::PageKind kind) {
    PartReader reader;
    reader.index = index;
    reader.meta = &meta;
    reader.owner = {kind, 0, part.generation};
    reader.checksum = kind != ivf::PageKind::kDirectory;
    reader.next = part.first;
    return reader;
}

// A node of the centroids; the reader is at it.
void ReadNode(PartReader& nodes, std::uint32_t list_id, FloatSpan centroid) {
    ivf::CentroidNode node;
    nodes.Read(&node, sizeof node);
    nodes.Read(centroid.data(), centroid.size_bytes());
    if (nodes.stale) return;
    if (node.child != list_id || node.level != 0 || node.code != ivf::CentroidCode::kFloat)
        ReportCorruption(nodes.index, InvalidBlockNumber, "centroids and directory do not match");
}

// Reads the directory. false: the reader was stale.
bool ReadEntries(Relation index, const MetaPage& meta, ivf::ListEntry* entries,
                 std::uint32_t* tails) {
    PartReader directory = OpenPart(index, meta, meta.directory, ivf::PageKind::kDirectory);
    const std::size_t known = ivf::KnownEntryBytes(meta.entry_bytes);
    for (std::size_t i = 0; i < meta.lists; i++) {
        entries[i] = {};
        directory.Read(&entries[i], known);
        directory.Skip(meta.entry_bytes - known);
        if (directory.stale) return false;
        if (entries[i].state != ivf::ListState::kActive ||
            entries[i].centroid_epoch != meta.centroids.generation)
            ReportCorruption(index, InvalidBlockNumber, "a directory entry has an unknown state");
        tails[i] = entries[i].scan_last;
    }
    return true;
}

// false: the metapage names another by now.
bool LoadModel(Relation index, Model* model) {
    const MetaPage& meta = model->meta;
    bool whole = true;
    const auto read = [&](const PartPointer& part, ivf::PageKind kind, void* to, std::size_t size) {
        PartReader reader = OpenPart(index, meta, part, kind);
        reader.Read(to, size);
        whole = whole && !reader.stale;
    };
    const std::size_t dim = meta.dim, padded = meta.padded_dim, lists = meta.lists;
    quant::Spec spec = {meta.quantizer, meta.bits, meta.padded_dim, meta.levels, meta.pq_m};
    if (spec.kind == quant::Kind::kPq) {
        const std::size_t words = quant::PqWords(spec);
        auto* books = NewArray<float>(padded * words);
        read(meta.codebooks, ivf::PageKind::kModel, books, padded * words * sizeof(float));
        auto* norms = NewArray<float>(spec.m * words);
        quant::PqNorms(spec, books, norms);
        spec.books = books;
        spec.norms = norms;
        spec.spread = meta.error_spread;
    }
    model->layout = ivf::MakeLayout(spec);
    if (model->layout.head_bytes != meta.block_head_bytes ||
        model->layout.code_bytes != meta.block_code_bytes ||
        model->layout.refine_row_bytes != meta.refine_row_bytes)
        ReportCorruption(index, kMetaPage, "block sizes do not fit the quantizer");

    auto* mean = NewArray<float>(dim);
    read(meta.model, ivf::PageKind::kModel, mean, dim * sizeof(float));
    model->mean = mean;

    const ByteSpan signs = NewSpan<std::uint8_t>(quant::RotationBytes(padded));
    quant::FillRotation(meta.rotation_seed, padded, signs);
    model->signs = signs.data();
    model->layout.spec.dim = meta.dim;
    model->layout.spec.signs = model->signs;
    model->layout.spec.mean = mean;
    if (meta.rotation == RotationKind::kHadamard4Basis) {
        auto* basis = NewArray<float>(padded * padded);
        read(meta.basis, ivf::PageKind::kModel, basis, padded * padded * sizeof(float));
        model->basis = basis;
    }

    auto* entries = NewArray<ivf::ListEntry>(lists);
    auto* tails = NewArray<std::uint32_t>(lists);
    whole = whole && ReadEntries(index, meta, entries, tails);
    model->entries = entries;
    model->tails = tails;

    model->coarse = AllocateTable(lists, padded);
    read(meta.coarse, ivf::PageKind::kCentroid, model->coarse.bias,
         ivf::CentroidTableBytes(lists, padded));
    if (!whole) return false;
    if (lists * padded * sizeof(float) <= kKeptCentroidBytes) {
        model->centroids = NewArray<float>(lists * padded);
        model->centroid_known = NewZeroedArray<bool>(lists);
    }
    if (meta.metric == Metric::kInnerProduct) {
        double squares = 0;
        for (std::size_t i = 0; i < lists; i++) {
            const auto spread = static_cast<double>(entries[i].spread);
            squares += static_cast<double>(ivf::BiasOf(model->coarse, i)) + spread * spread;
        }
        const double norm = std::sqrt(squares / static_cast<double>(lists));
        model->query_norm = std::isfinite(norm) ? kQueryNorm * norm : 0;
    }
    return true;
}

}  // namespace

Model* ReadModel(Relation index, const MetaPage& meta) {
    auto* model = New<Model>();
    model->meta = meta;
    model->rows_taken = -1;
    return LoadModel(index, model) ? model : nullptr;
}

bool RefreshEntries(Relation index, Model& model) {
    const std::size_t lists = model.meta.lists;
    auto* entries = NewArray<ivf::ListEntry>(lists);
    auto* tails = NewArray<std::uint32_t>(lists);
    const bool current = ReadEntries(index, model.meta, entries, tails);
    if (current) {
        memcpy(model.entries, entries, lists * sizeof(ivf::ListEntry));
        memcpy(model.tails, tails, lists * sizeof(std::uint32_t));
    }
    pfree(entries);
    pfree(tails);
    return current;
}

ivf::ListEntry ReadEntry(Relation index, const Model& model, std::uint32_t list) {
    const EntryPlace place = PlaceOfEntry(model, list);
    LockedPage page = LockPage(index, place.page, Access::kShare,
                               {ivf::PageKind::kDirectory, 0, model.meta.directory.generation});
    const ivf::ListEntry entry = ivf::LoadEntry(page.bytes + place.offset, model.meta.entry_bytes);
    UnlockPage(page);
    if (entry.list_id != model.entries[list].list_id)
        ReportCorruption(index, place.page, "a directory entry is of another list");
    return entry;
}

ConstFloatSpan CentroidOf(Relation index, Model& model, std::uint32_t list, FloatSpan scratch) {
    const std::size_t padded = model.meta.padded_dim;
    const bool kept = model.centroids;
    const FloatSpan out =
        kept ? FloatSpan(model.centroids + list * padded, padded) : scratch.first(padded);
    if (kept && model.centroid_known[list]) return out;
    PartReader nodes = OpenPart(index, model.meta, model.meta.centroids, ivf::PageKind::kCentroid);
    // Once in the life of the model; a checksum takes longer than the rest.
    nodes.checksum = kept;
    nodes.Seek(list * (sizeof(ivf::CentroidNode) + padded * sizeof(float)));
    ReadNode(nodes, model.entries[list].list_id, out);
    if (nodes.stale) return {};
    if (kept) model.centroid_known[list] = true;
    return out;
}

}  // namespace quantvec::pg
