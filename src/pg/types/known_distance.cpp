// The distance that an index scan has just measured, for the executor that asks for it again.
#include "pg/types/known_distance.h"

#include "pg/compat.h"

namespace quantvec::pg {

KnownDistance known_distance = {};

bool IsStoredOutOfLine(Datum datum, varatt_external* pointer) {
    const auto* value = reinterpret_cast<const struct varlena*>(DatumGetPointer(datum));
    if (!VARATT_IS_EXTERNAL_ONDISK(value)) return false;
    VARATT_EXTERNAL_GET_POINTER(*pointer, value);
    return true;
}

StoredValue StoredValueOf(Datum datum) {
    varatt_external pointer;
    if (!IsStoredOutOfLine(datum, &pointer)) return {};
    return {pointer.va_toastrelid, pointer.va_valueid};
}

ConstByteSpan BytesOf(Datum datum) {
    const auto* value = reinterpret_cast<const struct varlena*>(DatumGetPointer(datum));
    return {reinterpret_cast<const std::uint8_t*>(VARDATA_ANY(value)),
            static_cast<Size>(VARSIZE_ANY_EXHDR(value))};
}

namespace {

bool IsQuery(Datum datum) {
    const KnownDistance& k = known_distance;
    // A query that is stored out of line itself is not worth reading: the same value or none.
    if (VARATT_IS_EXTERNAL(DatumGetPointer(datum)))
        return OidIsValid(k.stored_query.value) && StoredValueOf(datum) == k.stored_query;
    const ConstByteSpan bytes = BytesOf(PointerGetDatum(PG_DETOAST_DATUM_PACKED(datum)));
    return bytes.size() == k.query.size() &&
           memcmp(bytes.data(), k.query.data(), bytes.size()) == 0;
}

}  // namespace

void ForgetDistance(const void* owner) {
    if (known_distance.owner == owner) known_distance = {};
}

bool IsKnownDistance(Measure measure, Datum a, Datum b) {
    const KnownDistance& k = known_distance;
    if (!k.owner || k.measure != measure) return false;
    return (StoredValueOf(a) == k.row && IsQuery(b)) || (StoredValueOf(b) == k.row && IsQuery(a));
}

}  // namespace quantvec::pg
