/* Where an event leads. See routing.h. */
#include "routing.h"

#include <string.h>

#include "agreed.h"
#include "data_fields.h"
#include "mem.h"

/* Whether the step may look at one more connection. What it may make is known before it is made: one event
 * with much data and many connections would take gigabytes. */
static bool may_look(struct routing *r, size_t max_bytes)
{
    if (++r->connections > FM_MAX_STEP_ROUTES)
        r->excess = TOO_MANY_CONNECTIONS;
    if (r->bytes > max_bytes)
        r->excess = TOO_MANY_BYTES;
    return r->excess == WITHIN_LIMITS;
}

/* What a task takes besides its data, about. */
static size_t task_bytes(const struct connection *c, const char *event)
{
    return 64 + strlen(c->to_routine) + strlen(c->slot) + strlen(event);
}

uint32_t routing_event(struct routing *r, size_t max_bytes, const struct routine *from, const char *event,
                       struct fm_bytes data, routing_take take, void *arg)
{
    struct data_fields fields;
    uint32_t taken = 0;
    data_fields_read(&fields, data);
    struct out out = routine_out(from, event);
    for (size_t i = 0; i < out.n && may_look(r, max_bytes); i++) {
        fm_auto(fm_buf) mapped = {0};
        if (!connection_takes(out.first[i], &fields) || mapping_apply(out.first[i], &fields, &mapped) != 0)
            continue;
        r->bytes += mapped.n + task_bytes(out.first[i], event);
        taken++;
        if (take != NULL)
            take(arg, out.first[i], fm_buf_bytes(&mapped));
    }
    data_fields_done(&fields);
    if (r->bytes > max_bytes)
        r->excess = TOO_MANY_BYTES;
    return taken;
}
