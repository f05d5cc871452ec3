#include "pg/am/storage/meta.h"

#include <cmath>

#include "core/kernels/kernels.h"
#include "core/quant/basis.h"
#include "core/quant/pq.h"
#include "core/quant/rotation.h"
#include "pg/am/options.h"
#include "pg/error.h"

namespace quantvec::pg {

namespace {

// Centroids are kept by the backend if all of them have no more than this, and else read from their
// pages whenever they are wanted.
constexpr std::size_t kKeptCentroidBytes = 8 * 1024 * 1024;

// Inner product: the order does not depend on the length of the query, but the bounds do. A query
// shorter than the rows makes them loose (their share of <q, r> falls), one that is longer by 1e5 or
// more drowns them in the rounding of ||q - c||^2; in between they are tightest.
constexpr double kQueryNorm = 30;

Model* cache = nullptr;
std::uint64_t clock = 0;

void Evict(Model** link) {
    Model* model = *link;
    *link = model->next;
    MemoryContextDelete(model->context);
}

std::size_t BytesOf(const Model& model) {
    return MemoryContextMemAllocated(model.context, true);
}

// Frees models that nobody uses: those that are outdated, and the least recently used beyond the setting.
// The one that was used last stays whatever its size, so that a session with one index reads it once.
void Prune() {
    const std::size_t limit = static_cast<std::size_t>(setting_model_cache_size) * 1024;
    std::size_t bytes = 0, count = 0;
    for (Model** link = &cache; *link;) {
        const Model& model = **link;
        if (model.references == 0 && model.outdated) {
            Evict(link);
            continue;
        }
        if (model.references == 0) {
            bytes += BytesOf(model);
            count++;
        }
        link = &(*link)->next;
    }
    for (; bytes > limit && count > 1; count--) {
        Model** oldest = nullptr;
        for (Model** link = &cache; *link; link = &(*link)->next)
            if ((*link)->references == 0 && (!oldest || (*link)->last_use < (*oldest)->last_use))
                oldest = link;
        bytes -= BytesOf(**oldest);
        Evict(oldest);
    }
}

// The server says that what it knows of a relation (InvalidOid: of all) has changed. Whether an index was
// dropped, has another file or was only analyzed is not known here, where catalogs cannot be read: its model
// goes, at once or when it is released. An index that is still there costs a reading of its model.
void ForgetModel(Datum, Oid relation) {
    for (Model* model = cache; model; model = model->next)
        if (!OidIsValid(relation) || model->relation == relation) model->outdated = true;
    Prune();
}

// Reads `size` bytes from the payloads of a part's chain. When VACUUM gives the index a new model, pages
// of the old one may go to something else at any time: then the reader is stale, and gives zeros.
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

    // Goes to a position in a part that was laid out in one run of pages. Only before the first Read.
    void Seek(std::size_t position) {
        ordinal = static_cast<std::uint32_t>(position / ivf::kPayloadBytes);
        next += ordinal;
        Turn();
        at = ivf::kPayloadAt + position % ivf::kPayloadBytes;
    }

    void Read(void* to, std::size_t size) {
        auto* out = static_cast<std::uint8_t*>(to);
        while (size > 0) {
            if (at == ivf::kPayloadEnd) Turn();
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
    void Turn() {
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
        auto* books = static_cast<float*>(
            MemoryContextAllocHuge(CurrentMemoryContext, padded * words * sizeof(float)));
        read(meta.codebooks, ivf::PageKind::kModel, books, padded * words * sizeof(float));
        auto* norms = static_cast<float*>(
            MemoryContextAllocHuge(CurrentMemoryContext, spec.m * words * sizeof(float)));
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

    auto* mean = static_cast<float*>(palloc(dim * sizeof(float)));
    read(meta.model, ivf::PageKind::kModel, mean, dim * sizeof(float));
    model->mean = mean;

    const std::size_t sign_bytes = quant::RotationBytes(padded);
    auto* signs = static_cast<std::uint8_t*>(palloc(sign_bytes));
    quant::FillRotation(meta.rotation_seed, padded, {signs, sign_bytes});
    model->signs = signs;
    if (meta.rotation == RotationKind::kHadamard4Basis) {
        auto* basis = static_cast<float*>(
            MemoryContextAllocHuge(CurrentMemoryContext, padded * padded * sizeof(float)));
        read(meta.basis, ivf::PageKind::kModel, basis, padded * padded * sizeof(float));
        model->basis = basis;
    }

    auto* entries = static_cast<ivf::ListEntry*>(
        MemoryContextAllocHuge(CurrentMemoryContext, lists * sizeof(ivf::ListEntry)));
    auto* tails = static_cast<std::uint32_t*>(
        MemoryContextAllocHuge(CurrentMemoryContext, lists * sizeof(std::uint32_t)));
    whole = whole && ReadEntries(index, meta, entries, tails);
    model->entries = entries;
    model->tails = tails;

    model->coarse = AllocateTable(lists, padded);
    read(meta.coarse, ivf::PageKind::kCentroid, model->coarse.bias,
         ivf::CentroidTableBytes(lists, padded));
    if (!whole) return false;
    if (lists * padded * sizeof(float) <= kKeptCentroidBytes) {
        model->centroids = static_cast<float*>(palloc(lists * padded * sizeof(float)));
        model->centroid_known = static_cast<bool*>(palloc0(lists * sizeof(bool)));
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

// Models are freed here and not when one is loaded: a query over many partitions then finds those that were
// kept, instead of freeing each just before it is needed.
void ReleaseModel(void* arg) {
    static_cast<Model*>(arg)->references--;
    Prune();
}

}  // namespace

void InitModelCache() {
    CacheRegisterRelcacheCallback(ForgetModel, Datum{0});
}

int DeclaredDim(Relation index) {
    const FormData_pg_attribute* column = TupleDescAttr(RelationGetDescr(index), 0);
    int dim = column->atttypmod;
    // A domain has its dimensions in its definition.
    getBaseTypeAndTypmod(column->atttypid, &dim);
    return dim;
}

MetaPage ReadMeta(Relation index, bool writing, bool checksum) {
    LockedPage page = LockPage(index, kMetaPage, Access::kShare, {ivf::PageKind::kMeta, 0, 0});
    MetaPage meta = {};
    memcpy(&meta, page.bytes + ivf::kPayloadAt, kLeastMetaBytes);
    if (meta.meta_bytes > kLeastMetaBytes)
        memcpy(&meta, page.bytes + ivf::kPayloadAt, Min(std::size_t{meta.meta_bytes}, sizeof meta));
    const bool whole = !checksum || page.tail().crc == PayloadCrc(page.bytes);
    UnlockPage(page);
    if (meta.magic != kMetaMagic)
        ReportCorruption(index, kMetaPage, "the metapage has no magic number");
    if ((meta.incompatible & ~kKnownIncompatible) != 0 ||
        (writing && (meta.read_compatible & ~kKnownReadCompatible) != 0))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("index \"%s\" was written by a newer version of quantvec",
                               RelationGetRelationName(index)),
                        errhint("Install that version's library, or rebuild the index with "
                                "REINDEX INDEX.")));
    if (!whole) ReportCorruption(index, kMetaPage, "the checksum of the metapage does not match");
    const bool pq = meta.quantizer == quant::Kind::kPq;
    const bool sound =
        meta.dim >= 1 && meta.dim <= kMaxDim && meta.padded_dim == quant::PaddedDim(meta.dim) &&
        meta.lists >= 1 && meta.lists <= static_cast<std::uint32_t>(kMaxLists) &&
        meta.meta_bytes >= kLeastMetaBytes && meta.meta_bytes <= ivf::kPayloadBytes &&
        meta.meta_bytes % 8 == 0 && ivf::IsEntrySize(meta.entry_bytes) && meta.bits >= 1 &&
        meta.bits <= 8 &&
        (meta.quantizer == quant::Kind::kBq || meta.quantizer == quant::Kind::kSq8 ||
         meta.quantizer == quant::Kind::kSq4 ||
         (pq && meta.pq_m >= 1 && meta.pq_m <= meta.dim && (meta.bits == 4 || meta.bits == 8))) &&
        (pq ? meta.error_spread > 0 && meta.error_spread <= 1 : meta.error_spread == 0) &&
        meta.levels <= quant::Levels::kNf4 &&
        (meta.metric == Metric::kL2 || meta.metric == Metric::kInnerProduct ||
         meta.metric == Metric::kCosine) &&
        (meta.rotation == RotationKind::kHadamard4 ||
         meta.rotation == RotationKind::kHadamard4Basis);
    if (!sound) ReportCorruption(index, kMetaPage, "the metapage holds impossible values");
    return meta;
}

Model* ReadModel(Relation index, const MetaPage& meta) {
    auto* model = static_cast<Model*>(palloc0(sizeof(Model)));
    model->meta = meta;
    model->rows_taken = -1;
    return LoadModel(index, model) ? model : nullptr;
}

bool IsCurrent(Relation index, const MetaPage& meta) {
    return ReadMeta(index).build_id == meta.build_id;
}

bool RefreshEntries(Relation index, Model& model) {
    const std::size_t lists = model.meta.lists;
    auto* entries = static_cast<ivf::ListEntry*>(
        MemoryContextAllocHuge(CurrentMemoryContext, lists * sizeof(ivf::ListEntry)));
    auto* tails = static_cast<std::uint32_t*>(
        MemoryContextAllocHuge(CurrentMemoryContext, lists * sizeof(std::uint32_t)));
    const bool current = ReadEntries(index, model.meta, entries, tails);
    if (current) {
        memcpy(model.entries, entries, lists * sizeof(ivf::ListEntry));
        memcpy(model.tails, tails, lists * sizeof(std::uint32_t));
    }
    pfree(entries);
    pfree(tails);
    return current;
}

Model* AcquireModel(Relation index, MemoryContext owner, bool writing) {
    MetaPage meta = ReadMeta(index, writing);
    const FileId file = FileIdOf(index);
    Model* model = cache;
    while (model && !(SameFile(model->file, file) && memcmp(&model->meta, &meta, sizeof meta) == 0))
        model = model->next;
    while (!model) {
        // Once in the life of the model.
        meta = ReadMeta(index, writing, true);
        // Other builds of this file are of no more use.
        for (Model* other = cache; other; other = other->next)
            if (SameFile(other->file, file) && other->meta.build_id != meta.build_id)
                other->outdated = true;
        // Until it is whole, the model belongs to the caller's memory, which an ERROR frees.
        MemoryContext context =
            AllocSetContextCreate(CurrentMemoryContext, "quantvec model", ALLOCSET_DEFAULT_SIZES);
        MemoryContext old = MemoryContextSwitchTo(context);
        model = ReadModel(index, meta);
        MemoryContextSwitchTo(old);
        if (!model) {
            MemoryContextDelete(context);
            continue;
        }
        model->relation = RelationGetRelid(index);
        model->file = file;
        model->context = context;
        MemoryContextSetParent(context, CacheMemoryContext);
        model->next = cache;
        cache = model;
    }
    model->last_use = ++clock;
    model->outdated = false;
    auto* callback = static_cast<MemoryContextCallback*>(
        MemoryContextAlloc(owner, sizeof(MemoryContextCallback)));
    callback->func = ReleaseModel;
    callback->arg = model;
    model->references++;
    MemoryContextRegisterResetCallback(owner, callback);
    return model;
}

ivf::CentroidTable AllocateTable(std::size_t lists, std::size_t padded_dim) {
    auto* bytes = static_cast<std::uint8_t*>(
        MemoryContextAllocExtended(CurrentMemoryContext, ivf::CentroidTableBytes(lists, padded_dim),
                                   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    return ivf::CentroidTableAt(bytes, lists, padded_dim);
}

CentroidCoder BeginCoding(const Model& model, std::size_t padded_dim) {
    const auto floats = [padded_dim] {
        return FloatSpan(static_cast<float*>(palloc0(padded_dim * sizeof(float))), padded_dim);
    };
    CentroidCoder coder = {};
    coder.sum = floats();
    coder.zeros = floats();
    coder.workspace = floats();
    coder.code = {static_cast<std::uint8_t*>(palloc(padded_dim / 2)), padded_dim / 2};
    if (model.meta.metric == Metric::kInnerProduct) {
        const FloatSpan mean = floats();
        memcpy(mean.data(), model.mean, model.meta.dim * sizeof(float));
        Turn(model, mean);
        coder.mean = mean.data();
    }
    return coder;
}

void CodeCentroid(CentroidCoder& coder, ivf::CentroidTable& table, std::size_t i,
                  ConstFloatSpan centroid, float spread) {
    float bias = -ivf::kSpreadWeight * spread * spread;
    if (coder.mean) {
        for (std::size_t j = 0; j < centroid.size(); j++)
            coder.sum[j] = centroid[j] + coder.mean[j];
        bias = kernels::Active().ordered_dot(coder.sum.data(), coder.sum.data(), centroid.size());
    }
    ivf::PutCentroid(table, i, centroid, bias, coder.zeros, coder.workspace, coder.code);
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

EntryPlace PlaceOfEntry(const Model& model, std::uint32_t list) {
    // The directory is laid out in one run of pages.
    const ivf::EntrySpot spot = ivf::SpotOfEntry(list, model.meta.entry_bytes);
    return {model.meta.directory.first + spot.ordinal, spot.offset};
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

bool IsCurrentPage(const Model& model, const ivf::PageTail& tail, std::uint32_t* list) {
    switch (tail.kind) {
        case ivf::PageKind::kMeta:
            return true;
        case ivf::PageKind::kModel:
        case ivf::PageKind::kCentroid:
        case ivf::PageKind::kDirectory:
            // All parts are of one training.
            return tail.generation == model.meta.directory.generation;
        case ivf::PageKind::kScan:
        case ivf::PageKind::kRefine:
            // Ids are given out in the order of the lists.
            *list = tail.owner - model.entries[0].list_id;
            return *list < model.meta.lists && tail.generation == model.entries[*list].generation;
    }
    return false;
}

const std::uint8_t* BlockOnPage(Relation index, const ivf::BlockLayout& layout,
                                const std::uint8_t* page, BlockNumber number, std::size_t i) {
    const ivf::PageTail& tail = *ivf::TailOf(page);
    const std::size_t at = tail.first_block + i * (layout.head_bytes + layout.code_bytes);
    if (at < ivf::kPayloadAt || at + ivf::kPrefixBytes > ivf::kPayloadEnd ||
        !ivf::HeadIsSound(*ivf::HeadAt(page + at), tail.owner, tail.generation))
        ReportCorruption(index, number, "a block head is damaged");
    return page + at;
}

void Turn(const Model& model, FloatSpan x) {
    quant::Rotate({model.signs, quant::RotationBytes(x.size())}, x);
    if (!model.basis) return;
    auto* copy = static_cast<float*>(palloc(x.size() * sizeof(float)));
    memcpy(copy, x.data(), x.size() * sizeof(float));
    quant::ApplyBasis(model.basis, copy, x.size(), x.data());
    pfree(copy);
}

bool Transform(const Model& model, ConstFloatSpan values, FloatSpan out) {
    const std::size_t dim = model.meta.dim;
    if (model.meta.metric == Metric::kCosine) {
        const float norm =
            __builtin_sqrtf(kernels::Active().ordered_dot(values.data(), values.data(), dim));
        if (!(norm > 0) || !__builtin_isfinite(norm)) return false;
        for (std::size_t i = 0; i < dim; i++) out[i] = values[i] / norm - model.mean[i];
    } else {
        for (std::size_t i = 0; i < dim; i++) out[i] = values[i] - model.mean[i];
    }
    for (std::size_t i = dim; i < out.size(); i++) out[i] = 0;
    Turn(model, out);
    return true;
}

}  // namespace quantvec::pg
