// The metapage, and the chains that it names: mean, codebooks, basis, centroids and their codes,
// directory.
#include "pg/am/inspect/check.h"
#include "pg/am/storage/centroid_codes.h"
#include "pg/am/storage/model_read.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

void CheckMeta(const Check& c) {
    const MetaPage& meta = c.meta;
    const OpclassInfo& opclass = OpclassOf(c.index);
    const bool pq = meta.quantizer == quant::Kind::kPq;
    // ALTER TABLE may take the column's dimensions away.
    const int declared = DeclaredDim(c.index);
    const bool sound =
        meta.metric == opclass.metric && meta.element == opclass.element &&
        quant::IsOfBits(meta.quantizer) == (meta.element == Element::kBit) &&
        (meta.quantizer == quant::Kind::kSets) == (meta.metric == Metric::kJaccard) &&
        (declared < 0 || static_cast<int>(meta.dim) == declared) &&
        meta.next_list_id > meta.lists && meta.trained <= 1 && (meta.trained || meta.lists == 1) &&
        (meta.trained || meta.rows_trained == 0) && meta.segment_count == 1 &&
        meta.segments[0].from == 0 && meta.segments[0].to == meta.padded_dim &&
        meta.segments[0].bits == meta.bits &&
        (meta.quantizer != quant::Kind::kSq8 || meta.bits == 8) &&
        (meta.quantizer != quant::Kind::kSq4 || meta.bits == 4) &&
        (meta.quantizer == quant::Kind::kSq4 || meta.levels == quant::Levels::kUniform) &&
        (pq || (meta.pq_m == 0 && meta.rotation == RotationKind::kHadamard4)) &&
        meta.calibration.first == ivf::kNoPage && (meta.codebooks.first != ivf::kNoPage) == pq &&
        (meta.basis.first != ivf::kNoPage) == (meta.rotation == RotationKind::kHadamard4Basis);
    if (!sound) ReportCorruption(c.index, kMetaPage, "the metapage holds impossible values");
}

// A chain of `bytes` bytes that the metapage points to.
void CheckPart(Check& c, const PartPointer& part, ivf::PageKind kind, std::uint64_t bytes) {
    const std::uint32_t pages = Max(ivf::PagesFor(bytes), 1u);
    if (part.pages != pages)
        ReportCorruption(c.index, kMetaPage, "the metapage gives a part another size");
    PageCopy page;
    BlockNumber from = kMetaPage, at = part.first;
    for (std::uint32_t ordinal = 0; ordinal < pages; ordinal++) {
        if (at == ivf::kNoPage)
            ReportCorruption(c.index, from, "a chain of the model ends too early");
        if (at < c.first_pages && Reached(c, at))
            ReportCorruption(c.index, at, "the page belongs to two chains");
        CopyPage(c, at, {kind, 0, part.generation}, ordinal, from, page);
        // Entries and centroids are found by their place.
        if (kind != ivf::PageKind::kModel && at != part.first + ordinal)
            ReportCorruption(c.index, at, "a chain of the model is not in one run of pages");
        if (kind != ivf::PageKind::kDirectory && page.tail().crc != PayloadCrc(page.bytes()))
            ReportCorruption(c.index, at, "the checksum of the model does not match");
        const std::uint64_t here = Min(bytes, std::uint64_t{ivf::kPayloadBytes});
        CheckCovered(c, page, ivf::kPayloadAt + here);
        bytes -= here;
        from = at;
        at = page.tail().next;
    }
    if (at != ivf::kNoPage) ReportCorruption(c.index, from, "a chain of the model is too long");
}

// Each entry of the directory is of the list that the centroid at its place names.
void CheckNodes(Check& c) {
    const std::size_t node_bytes = sizeof(ivf::CentroidNode) + c.meta.padded_dim * sizeof(float);
    static_assert(ivf::kPayloadBytes % sizeof(ivf::CentroidNode) == 0, "none straddles pages");
    PageCopy page;
    page.number = InvalidBlockNumber;
    for (std::uint32_t list = 0; list < c.meta.lists; list++) {
        const std::size_t at = list * node_bytes;
        const auto ordinal = static_cast<std::uint32_t>(at / ivf::kPayloadBytes);
        const BlockNumber number = c.meta.centroids.first + ordinal;
        if (page.number != number)
            CopyPage(c, number, {ivf::PageKind::kCentroid, 0, c.meta.centroids.generation}, ordinal,
                     kMetaPage, page);
        ivf::CentroidNode node;
        memcpy(&node, page.bytes() + ivf::kPayloadAt + at % ivf::kPayloadBytes, sizeof node);
        // The centroids have a checksum.
        if (node.child != c.model->entries[list].list_id)
            ReportCorruption(c.index, PlaceOfEntry(*c.model, list).page,
                             "centroids and directory do not match");
        if (node.level != 0 || node.code != ivf::CentroidCode::kFloat)
            ReportCorruption(c.index, number, "a centroid is of an unknown kind");
    }
}

// `size` bytes of the table of codes, which the chain of codes holds, are as they should be.
void CompareCodes(const Check& c, const std::uint8_t* stored, const std::uint8_t* fresh,
                  std::size_t size, std::size_t first_list) {
    if (memcmp(stored, fresh, size) == 0) return;
    while (*stored == *fresh) stored++, fresh++;
    const auto at = static_cast<std::size_t>(stored - c.model->coarse.bias);
    ReportCorruption(
        c.index, c.meta.coarse.first + static_cast<std::uint32_t>(at / ivf::kPayloadBytes),
        psprintf("a code of lists %u to %u is not that of the centroid",
                 c.model->entries[first_list].list_id,
                 c.model->entries[Min(first_list + ivf::kBlockRows, c.meta.lists) - 1].list_id));
}

// The codes of the centroids, their factors and biases are those that the build makes of what the
// index holds: the same bytes on every machine.
void CheckCodes(Check& c) {
    const ivf::CentroidTable& stored = c.model->coarse;
    const std::size_t lists = c.meta.lists, padded = c.meta.padded_dim;
    const std::size_t bytes = ivf::CentroidTableBytes(ivf::kBlockRows, padded);
    ivf::CentroidTable fresh = AllocateTable(ivf::kBlockRows, padded);
    CentroidCoder coder = BeginCoding(*c.model, padded);
    const FloatSpan scratch = NewSpan<float>(padded);
    for (std::size_t first = 0; first < lists; first += ivf::kBlockRows) {
        CHECK_FOR_INTERRUPTS();
        // Slots behind the last list are zeros.
        memset(fresh.bias, 0, bytes);
        const std::size_t n = Min(lists - first, ivf::kBlockRows);
        for (std::size_t i = 0; i < n; i++) {
            const auto list = static_cast<std::uint32_t>(first + i);
            CodeCentroid(coder, fresh, i, CentroidOf(c.index, *c.model, list, scratch),
                         c.model->entries[list].spread);
        }
        CompareCodes(c, stored.bias + first * sizeof(float), fresh.bias,
                     ivf::kBlockRows * sizeof(float), first);
        for (const auto layer : {&ivf::CentroidTable::coarse, &ivf::CentroidTable::fine}) {
            const std::size_t block_bytes = ivf::LayerBlockBytes((fresh.*layer).layout);
            CompareCodes(c, (stored.*layer).blocks + first / ivf::kBlockRows * block_bytes,
                         (fresh.*layer).blocks, block_bytes, first);
        }
    }
    pfree(fresh.bias);
}

}  // namespace

void CheckModel(Check& c) {
    PageCopy page;
    CopyPage(c, kMetaPage, {ivf::PageKind::kMeta, 0, 0}, 0, kMetaPage, page);
    if (page.tail().next != ivf::kNoPage)
        ReportCorruption(c.index, kMetaPage, "the metapage names a next one");
    // As a writer: what has features we do not know cannot be proved sound, even if it can be read.
    c.meta = ReadMeta(c.index, true, true);
    CheckCovered(c, page, ivf::kPayloadAt + c.meta.meta_bytes);
    CheckMeta(c);
    const MetaPage& meta = c.meta;
    const std::uint64_t padded = meta.padded_dim, lists = meta.lists;
    CheckPart(c, meta.model, ivf::PageKind::kModel, meta.dim * sizeof(float));
    if (meta.codebooks.first != ivf::kNoPage)
        CheckPart(c, meta.codebooks, ivf::PageKind::kModel, (padded << meta.bits) * sizeof(float));
    if (meta.basis.first != ivf::kNoPage)
        CheckPart(c, meta.basis, ivf::PageKind::kModel, padded * padded * sizeof(float));
    CheckPart(c, meta.centroids, ivf::PageKind::kCentroid,
              lists * (sizeof(ivf::CentroidNode) + padded * sizeof(float)));
    CheckPart(c, meta.coarse, ivf::PageKind::kCentroid, ivf::CentroidTableBytes(lists, padded));
    CheckPart(c, meta.directory, ivf::PageKind::kDirectory, lists * meta.entry_bytes);
    // Not one that this backend has read before: what is on the pages now is to be proved.
    c.model = ReadModel(c.index, meta);
    CheckNodes(c);
    CheckCodes(c);
}

}  // namespace quantvec::pg
