// What a step that failed leaves behind is given back.
#include "pg/subtransaction.h"

namespace quantvec::pg {

void EndOwner(ResourceOwner owner, bool failed) {
    if (failed) {
        HOLD_INTERRUPTS();
        LWLockReleaseAll();
        pgstat_report_wait_end();
        ForgetBufferIO();
        UnlockBuffers();
        XLogResetInsertion();
        ConditionVariableCancelSleep();
        LockErrorCleanup();
    }
    ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, !failed, false);
    ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, !failed, false);
    ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, !failed, false);
    CurrentResourceOwner = ResourceOwnerGetParent(owner);
    ResourceOwnerDelete(owner);
    if (failed) RESUME_INTERRUPTS();
}

bool IsForOthers(const ErrorData& error) {
    if (ERRCODE_TO_CATEGORY(error.sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION) return true;
    // The server adds this line of context to a worker's error; that it lost a worker it says in
    // the file named.
    return IsInParallelMode() && ((error.context && strstr(error.context, _("parallel worker"))) ||
                                  (error.filename && strstr(error.filename, "parallel.c")));
}

}  // namespace quantvec::pg
