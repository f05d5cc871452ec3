// What an operator class tells the access method: element type, metric, exact distance.
#pragma once

#include "core/metric.h"
#include "core/view.h"
#include "pg/pg.h"
#include "pg/types/distance.h"

namespace quantvec::pg {

inline constexpr int kStrategyDistance = 1;  // the ORDER BY operator
inline constexpr int kProcInfo = 1;  // function(internal) returning internal: an OpclassInfo*

// Element types, stored in the metapage: never renumber.
enum class Element : std::uint8_t { kFloat = 1, kHalf = 2, kBit = 3, kInt8 = 4 };

// What the index has to know of a type.
struct ElementInfo {
    Element element;
    // The name as a user writes it. Not the catalog's: from 17 on CREATE INDEX has a search_path
    // that would put the schema before it.
    const char* type;
    const char* sizes;  // what two values may differ in: "vector dimensions"
    int max_dim;
    // The value as floats in the current memory context (or where the datum lies).
    ConstFloatSpan (*values)(Datum datum);
};

struct OpclassInfo : ElementInfo {
    const char* refused;  // nullptr, or why not and what instead: no codes fit the class
    Metric metric;
    // As the operator gives it, bit for bit.
    Measure measure;
    double (*distance)(ConstFloatSpan a, ConstFloatSpan b);
};

const OpclassInfo& OpclassOf(Relation index);

// Raises an error if no index can be built with its class.
void CheckBuildable(Relation index);

// amvalidate.
bool AmValidate(Oid opclass);

}  // namespace quantvec::pg
