// The processes that build an index together: the leader, and the workers that the server grants.
// A team of one is the serial build: the same steps, with nobody to wait for.
//
//   leader   StartTeam - fill memory - Go - steps, Meet, steps, Meet .. Finish - Collect - EndTeam
//   worker                    JoinTeam (waits for Go) - the same steps .. Finish - LeaveTeam
//
// All see `memory`. Who may write what of it between two meetings is up to the steps. An ERROR of
// anybody ends the build for all: the server hands a worker's to the leader at its next look for
// interrupts, and the end of the leader's transaction ends the workers.
#pragma once

#include <cstdint>

#include "pg/pg.h"

namespace quantvec::pg {

struct TeamHead;

struct Team {
    int size;   // participants
    int slots;  // participants that `memory` has room for
    int me;     // 0: the leader
    std::uint8_t* memory;
    TeamHead* head;      // nullptr: a team of one
    std::uint64_t rows;  // dealt with by a team of one

    // For the scan of the table and the sort of its rows; nullptr for a team of one.
    ParallelTableScanDesc scan;
    Sharedsort* sort;

    // The leader's.
    ParallelContext* context;
    Snapshot snapshot;
    WalUsage* wal_usage;
    BufferUsage* buffer_usage;
};

// ---- the leader ----

// Starts up to `workers` workers, and shares `bytes` of zeroed memory with them. The team may be
// smaller than wished, down to one. Workers wait for Go.
void StartTeam(Team& team, Relation heap, Relation index, bool concurrent, int workers,
               std::size_t bytes);
void Go(Team& team);
// Waits for the others to Finish, calling `meanwhile` some times a second, and for the end of the
// workers, whose private memory is free then. What they have left in `memory` and in the sort is
// there until EndTeam.
void Collect(Team& team, void (*meanwhile)(void* arg), void* arg);
void EndTeam(Team& team);

// ---- a worker ----

// What a worker has open.
struct Membership {
    Relation heap;
    Relation index;
    bool concurrent;
    LOCKMODE heap_lock;
    LOCKMODE index_lock;
};
Membership JoinTeam(Team& team, dsm_segment* segment, shm_toc* toc);
void LeaveTeam(Team& team, const Membership& membership, shm_toc* toc);

// ---- all ----

// Returns when all have called it: what they wrote before can be read now.
void Meet(Team& team);
// The last thing that a participant does.
void Finish(Team& team);
// Rows that the team has dealt with, for the progress view; returns the new sum.
std::uint64_t CountRows(Team& team, std::uint64_t rows);

}  // namespace quantvec::pg
