// The processes that build an index together: started, met at barriers, ended.
#include "pg/am/build/team.h"

#include <sys/statvfs.h>

#include "pg/memory.h"

namespace quantvec::pg {

struct TeamHead {
    Oid heap;
    Oid index;
    bool concurrent;
    int slots;
    slock_t mutex;              // of the two below
    int size;                   // 0: wait for Go
    int finished;               // participants
    ConditionVariable changed;  // one of these two
    Barrier barrier;
    pg_atomic_uint64 rows;
};

namespace {

// Keys of the shared segment.
enum : std::uint64_t {
    kKeyHead = 0x7176'0000'0000'0001,
    kKeyMemory,
    kKeyScan,
    kKeySort,
    kKeyQuery,
    kKeyWalUsage,
    kKeyBufferUsage,
};

// A container's /dev/shm is often 64 MB, and a segment that has no room there is an ERROR. A build
// that can do without should not fail for it.
bool SegmentHasRoom(std::size_t bytes) {
    if (dynamic_shared_memory_type != DSM_IMPL_POSIX) return true;
    struct statvfs shm;
    if (statvfs("/dev/shm", &shm) != 0) return true;
    return bytes < std::uint64_t{shm.f_bavail} * shm.f_frsize;
}

void TeamOfOne(Team& team, std::size_t bytes) {
    team = {};
    team.size = team.slots = 1;
    team.memory = NewZeroedArray<std::uint8_t>(bytes);
}

void ReleaseContext(Team& team) {
    if (IsMVCCSnapshot(team.snapshot)) UnregisterSnapshot(team.snapshot);
    DestroyParallelContext(team.context);
    ExitParallelMode();
}

void* Reserve(shm_toc* toc, std::uint64_t key, std::size_t bytes) {
    void* chunk = shm_toc_allocate(toc, bytes);
    memset(chunk, 0, bytes);
    shm_toc_insert(toc, key, chunk);
    return chunk;
}

}  // namespace

void StartTeam(Team& team, Relation heap, Relation index, bool concurrent, int workers,
               std::size_t bytes) {
    constexpr std::size_t kBesides =
        1024 * 1024;  // queues, the server's own state, our small parts
    if (workers <= 0 || !SegmentHasRoom(bytes + kBesides)) return TeamOfOne(team, bytes);

    team = {};
    team.slots = workers + 1;
    EnterParallelMode();
    // The server finds the entry point by name (build.cpp).
    team.context = CreateParallelContext("quantvec", "quantvec_build_worker", workers);
    // As a serial build does: everything, or what one snapshot sees if writers go on meanwhile.
    team.snapshot = concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;

    const std::size_t scan_bytes = table_parallelscan_estimate(heap, team.snapshot);
    const std::size_t sort_bytes = tuplesort_estimate_shared(team.slots);
    const char* query = debug_query_string ? debug_query_string : "";
    const std::size_t query_bytes = strlen(query) + 1;
    const auto count = static_cast<std::size_t>(workers);
    const std::size_t chunks[] = {sizeof(TeamHead),
                                  bytes,
                                  scan_bytes,
                                  sort_bytes,
                                  query_bytes,
                                  mul_size(sizeof(WalUsage), count),
                                  mul_size(sizeof(BufferUsage), count)};
    for (std::size_t chunk : chunks) shm_toc_estimate_chunk(&team.context->estimator, chunk);
    shm_toc_estimate_keys(&team.context->estimator, lengthof(chunks));
    InitializeParallelDSM(team.context);
    if (!team.context->seg) {
        ReleaseContext(team);
        return TeamOfOne(team, bytes);
    }

    shm_toc* toc = team.context->toc;
    team.head = static_cast<TeamHead*>(Reserve(toc, kKeyHead, sizeof(TeamHead)));
    team.head->heap = RelationGetRelid(heap);
    team.head->index = RelationGetRelid(index);
    team.head->concurrent = concurrent;
    team.head->slots = team.slots;
    SpinLockInit(&team.head->mutex);
    ConditionVariableInit(&team.head->changed);
    pg_atomic_init_u64(&team.head->rows, 0);
    team.memory = static_cast<std::uint8_t*>(Reserve(toc, kKeyMemory, bytes));
    team.scan = static_cast<ParallelTableScanDesc>(Reserve(toc, kKeyScan, scan_bytes));
    table_parallelscan_initialize(heap, team.scan, team.snapshot);
    team.sort = static_cast<Sharedsort*>(Reserve(toc, kKeySort, sort_bytes));
    tuplesort_initialize_shared(team.sort, team.slots, team.context->seg);
    memcpy(Reserve(toc, kKeyQuery, query_bytes), query, query_bytes);
    team.wal_usage =
        static_cast<WalUsage*>(Reserve(toc, kKeyWalUsage, mul_size(sizeof(WalUsage), count)));
    team.buffer_usage = static_cast<BufferUsage*>(
        Reserve(toc, kKeyBufferUsage, mul_size(sizeof(BufferUsage), count)));

    LaunchParallelWorkers(team.context);
    if (team.context->nworkers_launched == 0) {
        WaitForParallelWorkersToFinish(team.context);
        ReleaseContext(team);
        return TeamOfOne(team, bytes);
    }
    // All wait for all later: whoever could not start has to be known now.
    WaitForParallelWorkersToAttach(team.context);
    team.size = team.context->nworkers_launched + 1;
}

void Go(Team& team) {
    ereport(DEBUG1, (errmsg_internal("quantvec: using %d parallel workers", team.size - 1)));
    if (!team.head) return;
    BarrierInit(&team.head->barrier, team.size);
    SpinLockAcquire(&team.head->mutex);
    team.head->size = team.size;
    SpinLockRelease(&team.head->mutex);
    ConditionVariableBroadcast(&team.head->changed);
}

void Collect(Team& team, void (*meanwhile)(void* arg), void* arg) {
    if (!team.head) return;
    for (;;) {
        SpinLockAcquire(&team.head->mutex);
        const bool all = team.head->finished == team.size;
        SpinLockRelease(&team.head->mutex);
        if (all) break;
        ConditionVariableTimedSleep(&team.head->changed, 100,
                                    WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
        meanwhile(arg);
    }
    ConditionVariableCancelSleep();
    WaitForParallelWorkersToFinish(team.context);
    for (int i = 0; i < team.context->nworkers_launched; i++)
        InstrAccumParallelQuery(&team.buffer_usage[i], &team.wal_usage[i]);
}

void EndTeam(Team& team) {
    if (team.head)
        ReleaseContext(team);
    else
        pfree(team.memory);
    team = {};
}

Membership JoinTeam(Team& team, dsm_segment* segment, shm_toc* toc) {
    const auto find = [toc](std::uint64_t key) { return shm_toc_lookup(toc, key, false); };
    debug_query_string = static_cast<const char*>(find(kKeyQuery));
    pgstat_report_activity(STATE_RUNNING, debug_query_string);

    team = {};
    team.head = static_cast<TeamHead*>(find(kKeyHead));
    team.slots = team.head->slots;
    team.me = ParallelWorkerNumber + 1;
    team.memory = static_cast<std::uint8_t*>(find(kKeyMemory));
    team.scan = static_cast<ParallelTableScanDesc>(find(kKeyScan));
    team.sort = static_cast<Sharedsort*>(find(kKeySort));
    tuplesort_attach_shared(team.sort, segment);

    // The locks that the leader's command holds.
    Membership m = {};
    m.concurrent = team.head->concurrent;
    m.heap_lock = m.concurrent ? ShareUpdateExclusiveLock : ShareLock;
    m.index_lock = m.concurrent ? RowExclusiveLock : AccessExclusiveLock;
    m.heap = table_open(team.head->heap, m.heap_lock);
    m.index = index_open(team.head->index, m.index_lock);

    for (;;) {
        SpinLockAcquire(&team.head->mutex);
        team.size = team.head->size;
        SpinLockRelease(&team.head->mutex);
        if (team.size > 0) break;
        ConditionVariableSleep(&team.head->changed, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
    }
    ConditionVariableCancelSleep();
    InstrStartParallelQuery();
    return m;
}

void LeaveTeam(Team& team, const Membership& membership, shm_toc* toc) {
    auto* wal = static_cast<WalUsage*>(shm_toc_lookup(toc, kKeyWalUsage, false));
    auto* buffers = static_cast<BufferUsage*>(shm_toc_lookup(toc, kKeyBufferUsage, false));
    InstrEndParallelQuery(&buffers[team.me - 1], &wal[team.me - 1]);
    index_close(membership.index, membership.index_lock);
    table_close(membership.heap, membership.heap_lock);
}

void Meet(Team& team) {
    if (team.head) BarrierArriveAndWait(&team.head->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
}

void Finish(Team& team) {
    if (!team.head) return;
    SpinLockAcquire(&team.head->mutex);
    team.head->finished++;
    SpinLockRelease(&team.head->mutex);
    ConditionVariableBroadcast(&team.head->changed);
}

std::uint64_t CountRows(Team& team, std::uint64_t rows) {
    if (team.head)
        return pg_atomic_add_fetch_u64(&team.head->rows, static_cast<std::int64_t>(rows));
    return team.rows += rows;
}

}  // namespace quantvec::pg
