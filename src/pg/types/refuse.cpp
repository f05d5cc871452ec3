// Refusals of text and messages, in words.
#include "pg/types/refuse.h"

#include <string_view>

#include "pg/compat.h"
#include "pg/error.h"
#include "pg/memory.h"

namespace quantvec::pg {

using formats::Refusal;
using formats::Why;

namespace {

const char* Copy(std::string_view text) {
    char* copy = NewArray<char>(text.size() + 1);
    memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
}

void RefuseSyntax(const Source& source, const char* detail) {
    QV_ERROR_OR_NOTE(source.context,
                     (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
                      errmsg("invalid input syntax for type %s: \"%s\"", source.type, source.text),
                      detail ? errdetail("%s", detail) : 0));
}

}  // namespace

void Refuse(const Refusal& refusal, const Source& source) {
    Node* context = source.context;
    const char* type = source.type;
    switch (refusal.why) {
        case Why::kNothing:
            return;
        case Why::kSyntax:
            return RefuseSyntax(source, nullptr);
        case Why::kNoStart:
            return RefuseSyntax(
                source, psprintf("Vector contents must start with \"%c\".", source.opening));
        case Why::kTrailing:
            return RefuseSyntax(source, "Junk after closing right brace.");
        case Why::kNoDim:
            return RefuseSyntax(source, "Unexpected end of input.");
        case Why::kAfterDim:
            return RefuseSyntax(source, "Junk after closing.");
        case Why::kOutOfRange:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                                       errmsg("\"%s\" is out of range for type %s",
                                              Copy(refusal.number), type)));
            return;
        case Why::kShort:
            // The words of the server's own reader of messages.
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_PROTOCOL_VIOLATION),
                                       errmsg("insufficient data left in message")));
            return;
        case Why::kNotUnused:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_DATA_EXCEPTION),
                                       errmsg("expected unused to be 0, not %d", refusal.given)));
            return;
        case Why::kTooFew:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_DATA_EXCEPTION),
                                       errmsg("%s must have at least 1 dimension", type)));
            return;
        case Why::kTooMany:
            QV_ERROR_OR_NOTE(context,
                             (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                              errmsg("%s cannot have more than %d dimensions", type, source.most)));
            return;
        case Why::kNan:
            QV_ERROR_OR_NOTE(
                context, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("NaN not allowed in %s", type)));
            return;
        case Why::kInfinite:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_DATA_EXCEPTION),
                                       errmsg("infinite value not allowed in %s", type)));
            return;
        case Why::kTooManyEntries:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                                       errmsg("%s cannot have more than %d non-zero elements", type,
                                              kMaxEntries)));
            return;
        case Why::kNegativeEntries:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_DATA_EXCEPTION),
                                       errmsg("%s cannot have negative number of elements", type)));
            return;
        case Why::kMoreEntriesThanDims:
            QV_ERROR_OR_NOTE(context,
                             (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                              errmsg("%s cannot have more elements than dimensions", type)));
            return;
        case Why::kIndexOutOfBounds:
            QV_ERROR_OR_NOTE(
                context, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s index out of bounds", type)));
            return;
        case Why::kIndexDescends:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_DATA_EXCEPTION),
                                       errmsg("%s indices must be in ascending order", type)));
            return;
        case Why::kIndexTwice:
            QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_DATA_EXCEPTION),
                                       errmsg("%s indices must not contain duplicates", type)));
            return;
        case Why::kZeroEntry:
            QV_ERROR_OR_NOTE(
                context, (errcode(ERRCODE_DATA_EXCEPTION),
                          errmsg("binary representation of %s cannot contain zero values", type)));
            return;
    }
}

bool FitsTypmod(int32 typmod, int dim, Node* context) {
    if (typmod == -1 || typmod == dim) return true;
    QV_ERROR_OR_NOTE(context, (errcode(ERRCODE_DATA_EXCEPTION),
                               errmsg("expected %d dimensions, not %d", typmod, dim)));
    return false;
}

int32 DimOfTypmod(ArrayType* modifiers, const char* type, int most) {
    int n;
    const int32* given = ArrayGetIntegerTypmods(modifiers, &n);
    if (n != 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid type modifier")));
    if (given[0] < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("dimensions for type %s must be at least 1", type)));
    if (given[0] > most)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("dimensions for type %s cannot exceed %d", type, most)));
    return given[0];
}

}  // namespace quantvec::pg
