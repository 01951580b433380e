/* What http.c and serve.c have to say of a call, to whoever started it (outside.c). */
#ifndef FM_OUTSIDE_EVENTS_H
#define FM_OUTSIDE_EVENTS_H

#include <stdint.h>

#include "buf.h"

struct outside_events {
    void *arg;
    /* A piece of what the call brings; returns as engine_call_data. */
    int (*data)(void *arg, uint64_t id, struct fm_bytes data);
    /* It has ended: `result` as for engine_call_done. */
    void (*done)(void *arg, uint64_t id, const void *result);
};

#endif
