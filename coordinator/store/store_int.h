/* What is in a unit, for those who make a store and apply units. */
#ifndef FM_STORE_INT_H
#define FM_STORE_INT_H

#include "arena.h"
#include "store_types.h"

enum record_kind {
    RECORD_REQUEST,
    RECORD_JOB,
    RECORD_STEP,
    RECORD_INPUT,
    RECORD_ENTRY,
    RECORD_SNAPSHOT,
    RECORD_GENERATION,
    RECORD_DELETE_HISTORY,
    RECORD_FLOW_DEF,
    RECORD_FLOW,
    RECORD_DELETE_FLOW,
    RECORD_DELETE_JOB,
    RECORD_HOST,
    RECORD_DELETE_HOST,
    RECORD_USAGE
};

/* A record of a unit; all pointers into the unit's arena. What its kind does not name is zero. */
struct record {
    struct record *next;
    enum record_kind kind;
    struct fm_id job; /* of all but flows and hosts */
    uint32_t number;  /* step, input, entry, generation; snapshot: the last step that it covers; flow: the
                         version */
    uint32_t inputs;  /* snapshot, generation: the last input that it covers */
    uint32_t step;    /* entry: after which it stands; generation: with which it begins */
    struct fm_bytes body;
    const char *name; /* request: its scope; job, flow: the flow's name; host: its id */
    const char *key;  /* request: its id */
    const char *host; /* job */
    int status;       /* job */
    int64_t wake_ms;  /* job */
    bool is_new;      /* job */
    struct store_usage usage;
    const struct store_label *labels; /* new job */
    size_t n_labels;
    uint8_t digest[STORE_DIGEST_BYTES]; /* request, flow, definition */
};

struct store_unit {
    struct store_unit *prev, *next;
    uint64_t tag;
    struct fm_arena arena;
    struct record *first, *last; /* a request comes first */
};

#endif
