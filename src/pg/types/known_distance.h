// The distance that an index scan has computed for the row it is about to return.
//
// The executor computes the ORDER BY expression of every returned row once more, which reads a
// large vector a second time from its TOAST table. So the scan says here what it knows, and the
// operator recognises it by the identity of the stored value, the query's bytes and the measure. A
// stored out-of-line value never changes, and its identity cannot be given to another one while the
// scan's snapshot may still see it; the scan takes its word back before it goes on or ends.
#pragma once

#include "core/view.h"
#include "pg/pg.h"
#include "pg/types/distance.h"

namespace quantvec::pg {

// A value that is stored out of line, by its identity.
struct StoredValue {
    Oid table;  // the TOAST table
    Oid value;
    bool operator==(const StoredValue&) const = default;
};

struct KnownDistance {
    const void* owner;  // who said so; nullptr: nothing is known
    Measure measure;
    StoredValue row;
    ConstByteSpan query;       // the value without its header, the owner's copy
    StoredValue stored_query;  // zeros: the query was not out of line
    double distance;
};
extern KnownDistance known_distance;

bool IsStoredOutOfLine(Datum datum, varatt_external* pointer);
// Zeros if it is not.
StoredValue StoredValueOf(Datum datum);

// A value without its header. REQUIRES: it is not out of line or compressed.
ConstByteSpan BytesOf(Datum datum);

// Takes back what `owner` said.
void ForgetDistance(const void* owner);

// true if the distance of a and b, by this measure, is the known one.
bool IsKnownDistance(Measure measure, Datum a, Datum b);

}  // namespace quantvec::pg
