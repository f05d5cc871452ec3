// Points where tests stop the server or hold it: between WAL records, and before locks. Nothing at
// all but in a build with QUANTVEC_DEBUG_POINTS (make points).
//
//   quantvec.debug_crash_at = 'name' or 'name:n'   the n-th time that a session passes the point,
//                                                  WAL is flushed and the process is killed
//   quantvec.debug_pause_at = 'name'               waits while somebody holds advisory lock 7301
//
// Never in a critical section. A CRASH_POINT may lie under the lock of a page; a DEBUG_POINT, where
// one may also pause, must not.
#pragma once

#ifdef QUANTVEC_DEBUG_POINTS

namespace quantvec::pg {
void InitDebugPoints();
void PassPoint(const char* name, bool may_pause);
}  // namespace quantvec::pg

#define DEBUG_POINT(name) ::quantvec::pg::PassPoint(name, true)
#define CRASH_POINT(name) ::quantvec::pg::PassPoint(name, false)

#else

namespace quantvec::pg {
inline void InitDebugPoints() {}
}  // namespace quantvec::pg

#define DEBUG_POINT(name) static_cast<void>(0)
#define CRASH_POINT(name) static_cast<void>(0)

#endif
