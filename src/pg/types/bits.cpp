// Distances of the server's own type `bit`, for SQL.
#include "pg/types/bits.h"

#include "core/kernels/kernels.h"
#include "pg/error.h"
#include "pg/types/known_distance.h"

namespace quantvec::pg {

const VarBit* GetBits(Datum datum) {
    const VarBit* bits = DatumGetVarBitP(datum);
    const Size bytes = VARSIZE(bits);
    const int length = bytes < VARBITTOTALLEN(0) ? -1 : VARBITLEN(bits);
    if (length < 0 || bytes != static_cast<Size>(VARBITTOTALLEN(static_cast<int64>(length))))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("damaged value of type bit: %d bits in %zu bytes", length, bytes)));
    return bits;
}

namespace {

// Bits beyond the length are zeros: the server sees to it.
template <class Compute>
Datum DistanceOf(FunctionCallInfo fcinfo, Compute compute) {
    const VarBit* a = GetBits(PG_GETARG_DATUM(0));
    const VarBit* b = GetBits(PG_GETARG_DATUM(1));
    CheckSizes(VARBITLEN(a), VARBITLEN(b), "bit lengths");
    PG_RETURN_FLOAT8(compute(VARBITS(a), VARBITS(b), static_cast<Size>(VARBITBYTES(a))));
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;
using quantvec::kernels::Active;

QV_SQL_FUNCTION(quantvec_hamming_distance) {
    if (IsKnownDistance(Measure::kHamming, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)))
        PG_RETURN_FLOAT8(known_distance.distance);
    return DistanceOf(fcinfo, [](const bits8* a, const bits8* b, Size bytes) {
        return static_cast<double>(Active().hamming(a, b, bytes));
    });
}

QV_SQL_FUNCTION(quantvec_jaccard_distance) {
    if (IsKnownDistance(Measure::kJaccard, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)))
        PG_RETURN_FLOAT8(known_distance.distance);
    return DistanceOf(fcinfo, [](const bits8* a, const bits8* b, Size bytes) {
        const quantvec::kernels::BitOverlap overlap = Active().bit_overlap(a, b, bytes);
        return JaccardDistance(static_cast<double>(overlap.both),
                               static_cast<double>(overlap.either));
    });
}
