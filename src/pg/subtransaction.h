// A step whose failure must not end the whole: it runs in a subtransaction, as an exception block
// of PL/pgSQL.
//
// A VACUUM with parallel workers is in parallel mode, and before version 17 that mode allows no
// subtransaction. There a step gets a resource owner of its own, if it runs nothing but code of
// ours: such code has locks, pins, files and catalog references to give back, and memory, which the
// caller drops.
#pragma once

#include "pg/compat.h"

namespace quantvec::pg {

// What a step runs: functions of users too, or code of this extension and of the server alone.
enum class StepRuns { kAnything, kOwnCode };

// Does TryStep keep an error of such a step from going on?
inline bool CanTry(StepRuns runs) {
    return MayBeginSubtransaction() || runs == StepRuns::kOwnCode;
}

// Gives back what belongs to the owner, and deletes it. After an error also what belongs to nobody:
// locks of pages, waits, a record of WAL that was begun.
void EndOwner(ResourceOwner owner, bool failed);
// An error to go on with: a cancel, a shutdown, or what a worker of the server's own parallel
// command says, which the server takes as an answer to be had once.
bool IsForOthers(const ErrorData& error);

// Runs the step. nullptr: it came to its end. Else its error, in the caller's memory context;
// locks, pins and memory of the step are given back. Where it cannot be tried (CanTry), and for
// what is for others, the error goes on.
template <class Step>
ErrorData* TryStep(const Step& step, StepRuns runs = StepRuns::kAnything) {
    if (!CanTry(runs)) {
        step();
        return nullptr;
    }
    MemoryContext caller = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    ErrorData* volatile error = nullptr;
    volatile bool for_others = false;
    const bool nested = MayBeginSubtransaction();
    ResourceOwner own = nullptr;
    if (nested)
        BeginInternalSubTransaction(nullptr);
    else
        CurrentResourceOwner = own = ResourceOwnerCreate(owner, "quantvec step");
    MemoryContextSwitchTo(caller);
    PG_TRY();
    {
        step();
        if (nested)
            ReleaseCurrentSubTransaction();
        else
            EndOwner(own, false);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(caller);
        error = CopyErrorData();
        for_others = IsForOthers(*error);
        FlushErrorState();
        if (nested)
            RollbackAndReleaseCurrentSubTransaction();
        else
            EndOwner(own, true);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(caller);
    CurrentResourceOwner = owner;
    // Not from within the subtransaction: the server would abort that alone, and the session would
    // be left in the transaction of its statement, with its locks.
    if (for_others) ReThrowError(error);
    return error;
}

}  // namespace quantvec::pg
