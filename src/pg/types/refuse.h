// The words and the SQLSTATE for each reason why a value from outside is refused. They are
// pgvector's, where pgvector has them: clients match on them.
#pragma once

#include "core/formats/refusal.h"
#include "pg/pg.h"

namespace quantvec::pg {

// What was being read.
struct Source {
    const char* type;         // its name in SQL
    const char* text;         // nullptr: a message
    int most;                 // dimensions that the type takes
    char opening = '[';       // what its text begins with
    Node* context = nullptr;  // of the input function: may ask for the error as a value
};

// Raises the error. If the context asks for it as a value (from version 16 on), it is noted there
// instead, and the input function returns at once.
void Refuse(const formats::Refusal& refusal, const Source& source);

// Whether the value fits its column or cast; if not, as Refuse. typmod: the expected number of
// dimensions, -1 for any.
bool FitsTypmod(int32 typmod, int dim, Node* context);

// The n of TYPE(n), 1..most.
int32 DimOfTypmod(ArrayType* modifiers, const char* type, int most);

}  // namespace quantvec::pg
