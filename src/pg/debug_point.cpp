// The settings that stop or hold a backend at a point, for tests alone.
#include "pg/debug_point.h"

#ifdef QUANTVEC_DEBUG_POINTS

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "pg/pg.h"

namespace quantvec::pg {

namespace {

constexpr int kPauseLock = 7301;

char* crash_at = nullptr;
char* pause_at = nullptr;
int passed = 0;  // crash_at, since it was set

void AssignCrashAt(const char*, void*) {
    passed = 0;
}

bool IsCrashPoint(const char* name) {
    const std::size_t size = std::strlen(name);
    if (!crash_at || std::strncmp(crash_at, name, size) != 0) return false;
    if (crash_at[size] != '\0' && crash_at[size] != ':') return false;
    return ++passed == (crash_at[size] == ':' ? std::atoi(crash_at + size + 1) : 1);
}

void Pause() {
    // As pg_advisory_lock(bigint) has it. Shared: any number may pass once it is free.
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, kPauseLock, 1);
    LockAcquire(&tag, ShareLock, false, false);
    LockRelease(&tag, ShareLock, false);
}

}  // namespace

void PassPoint(const char* name, bool may_pause) {
    if (CritSectionCount > 0) elog(PANIC, "point %s is in a critical section", name);
    // Who holds a page's lock cannot be interrupted.
    if (may_pause && InterruptHoldoffCount > 0) elog(PANIC, "point %s is under a lock", name);
    if (IsCrashPoint(name)) {
        elog(LOG, "killed at point %s", name);
        XLogFlush(XactLastRecEnd);
        kill(getpid(), SIGKILL);
    }
    if (may_pause && pause_at && std::strcmp(pause_at, name) == 0) Pause();
}

void InitDebugPoints() {
    DefineCustomStringVariable("quantvec.debug_crash_at", "Kills this process at a point.", nullptr,
                               &crash_at, "", PGC_SUSET, 0, nullptr, AssignCrashAt, nullptr);
    DefineCustomStringVariable("quantvec.debug_pause_at", "Holds this process at a point.", nullptr,
                               &pause_at, "", PGC_SUSET, 0, nullptr, nullptr, nullptr);
}

}  // namespace quantvec::pg

#endif
