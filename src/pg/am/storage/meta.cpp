// The metapage is read, and refused if it is damaged or of a newer version.
#include "pg/am/storage/meta.h"

#include "core/quant/rotation.h"
#include "pg/am/options.h"
#include "pg/error.h"

namespace quantvec::pg {

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
    const bool bits = quant::IsOfBits(meta.quantizer);
    const bool sound =
        meta.dim >= 1 && static_cast<int>(meta.dim) <= (bits ? kMaxIndexedBits : kMaxDim) &&
        meta.padded_dim == quant::PaddedDim(meta.dim) && meta.lists >= 1 &&
        meta.lists <= static_cast<std::uint32_t>(kMaxLists) && meta.meta_bytes >= kLeastMetaBytes &&
        meta.meta_bytes <= ivf::kPayloadBytes && meta.meta_bytes % 8 == 0 &&
        ivf::IsEntrySize(meta.entry_bytes) && meta.bits >= 1 && meta.bits <= 8 &&
        (meta.quantizer == quant::Kind::kBq || meta.quantizer == quant::Kind::kSq8 ||
         meta.quantizer == quant::Kind::kSq4 || (bits && meta.bits == 1) ||
         (pq && meta.pq_m >= 1 && meta.pq_m <= meta.dim && (meta.bits == 4 || meta.bits == 8))) &&
        (pq ? meta.error_spread > 0 && meta.error_spread <= 1 : meta.error_spread == 0) &&
        meta.levels <= quant::Levels::kNf4 &&
        (meta.metric == Metric::kL2 || meta.metric == Metric::kInnerProduct ||
         meta.metric == Metric::kCosine || meta.metric == Metric::kHamming ||
         meta.metric == Metric::kJaccard) &&
        (meta.rotation == RotationKind::kHadamard4 ||
         meta.rotation == RotationKind::kHadamard4Basis);
    if (!sound) ReportCorruption(index, kMetaPage, "the metapage holds impossible values");
    return meta;
}

bool IsCurrent(Relation index, const MetaPage& meta) {
    return ReadMeta(index).build_id == meta.build_id;
}

}  // namespace quantvec::pg
