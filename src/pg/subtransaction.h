// A step whose failure must not end the whole: it runs in a subtransaction, as an exception block of PL/pgSQL.
#pragma once

#include "pg/pg.h"

namespace quantvec::pg {

// Runs the step. nullptr: it came to its end. Else its error, in the caller's memory context; locks, pins and
// memory of the step are given back. Cancels and shutdowns go on as errors; in parallel mode, which knows no
// subtransactions, all do.
template <class Step>
ErrorData* TryStep(const Step& step) {
    if (IsInParallelMode()) {
        step();
        return nullptr;
    }
    MemoryContext caller = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    ErrorData* volatile error = nullptr;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(caller);
    PG_TRY();
    {
        step();
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(caller);
        error = CopyErrorData();
        if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION) PG_RE_THROW();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
    }
    PG_END_TRY();
    MemoryContextSwitchTo(caller);
    CurrentResourceOwner = owner;
    return error;
}

}  // namespace quantvec::pg
