/* A task of a job: data that waits at a slot. */
#ifndef FM_ENGINE_TASK_H
#define FM_ENGINE_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fermata/routine.h>
#include <uthash.h>

#include "buf.h"

struct routine;

/* Data that waits; one block of memory. */
struct task {
    struct task *prev, *next; /* in its routine's queue */
    UT_hash_handle hh;        /* these three: in the schedule */
    size_t heap_at;
    uint64_t order;
    uint64_t seq; /* order in which tasks became due */
    struct routine *to;
    const char *id, *routine, *slot, *pause_id, *key, *call_id;
    struct fm_bytes data; /* encoded Struct */
    uint32_t input_number, failed_attempts, connection;
    uint64_t spent_ms;
    int64_t due_ms; /* 0: at once */
    bool merged, scheduled;
    bool timed;                   /* it had a time of its own, */
    bool beside;                  /* or follows from such a one: an open question does not halt it */
    enum fm_on_timeout timed_out; /* it says that nobody has answered the question pause_id */
    const char *lost_reason; /* it fails with this (the job's), and its handler is not called; NULL: no */
    bool suspect;            /* a host may have died of it: nothing of its job runs beside it */
    bool announced;          /* its intent was sent, and its handler has not begun */
    enum { UNASKED, PASSES, HOLDS } verdict; /* of the conditions of the job's breakpoints (hold.c) */
};

#endif
