/* Where an event leads: the one place that takes an event's data over the connections of its routine, for
 * events of a step and for deferred ones, and that knows how much one step may make of them. */
#ifndef FM_ENGINE_ROUTING_H
#define FM_ENGINE_ROUTING_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "hflow.h"

/* What the events of one step make, so far. */
struct routing {
    size_t bytes, connections; /* of data made; that were looked at */
    enum {
        WITHIN_LIMITS,
        TOO_MANY_TASKS,
        TOO_MANY_BYTES,
        TOO_MANY_CONNECTIONS
    } excess; /* the rest is left out */
};

/* A connection takes the event: its slot gets these data (valid during the call). */
typedef void (*routing_take)(void *arg, const struct connection *c, struct fm_bytes data);

/* Calls `take` (NULL: only counts) for each connection that takes the event, until r->excess says that it is
 * too much for a step of max_bytes. Returns how many did. */
uint32_t routing_event(struct routing *r, size_t max_bytes, const struct routine *from, const char *event,
                       struct fm_bytes data, routing_take take, void *arg);

#endif
