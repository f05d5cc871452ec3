// Refusals of values, and damage of an index: each with its SQLSTATE.
#include "pg/error.h"

#include <cmath>

namespace quantvec::pg {

void CheckSizes(int a, int b, const char* sizes) {
    if (a != b)
        ereport(ERROR,
                (errcode(ERRCODE_DATA_EXCEPTION), errmsg("different %s %d and %d", sizes, a, b)));
}

void CheckDims(int a, int b, const char* type) {
    if (a != b) CheckSizes(a, b, psprintf("%s dimensions", type));
}

void CheckDim(int dim, const char* type, int most) {
    if (dim < 1)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                        errmsg("%s must have at least 1 dimension", type)));
    if (dim > most)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("%s cannot have more than %d dimensions", type, most)));
}

void CheckExpectedDim(int32 typmod, int dim) {
    if (typmod != -1 && typmod != dim)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                        errmsg("expected %d dimensions, not %d", typmod, dim)));
}

void CheckElement(float value, const char* type) {
    if (std::isnan(value))
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("NaN not allowed in %s", type)));
    if (std::isinf(value))
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                        errmsg("infinite value not allowed in %s", type)));
}

void ReportCorruption(Relation index, BlockNumber block, const char* what) {
    const char* name = RelationGetRelationName(index);
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    BlockNumberIsValid(block)
                        ? errmsg("index \"%s\" is damaged at block %u: %s", name, block, what)
                        : errmsg("index \"%s\" is damaged: %s", name, what),
                    errhint("Rebuild it with REINDEX INDEX.")));
}

}  // namespace quantvec::pg
