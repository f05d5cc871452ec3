// What the planner said of the scan that comes next.
#pragma once

#include "pg/pg.h"

namespace quantvec::pg {

// LIMIT plus OFFSET of the last planned query on this index, as far as the planner knew; 0:
// unknown, or none was planned since the last call.
std::size_t TakePlannedLimit(Oid index);

}  // namespace quantvec::pg
