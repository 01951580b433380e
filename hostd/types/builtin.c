/* The built-in routine types: their handlers, and what the catalog says of them. See builtin.h. */
#include "builtin.h"

#include <string.h>

#include "agent.h"
#include "ask.h"
#include "catalog.h"
#include "exec.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_EVENTS 8

/* What the tables of the registry point to. */
struct events {
    const char *names[MAX_EVENTS];
    uint32_t flags[MAX_EVENTS];
};

static const struct fm_routine_type *const handlers[] = {
    &llm_agent_type, &human_type, &log_type,      &split_type,    &sleep_type,
    &aggregate_type, &batch_type, &debounce_type, &job_type,      &validate_type,
    &exec_type,      &jq_type,    &http_type,     &continue_type, &race_type,
};

static const struct fm_routine_type *handlers_of(const char *type)
{
    for (size_t i = 0; i < COUNT(handlers); i++)
        if (strcmp(handlers[i]->name, type) == 0)
            return handlers[i];
    return NULL;
}

static bool has_slot(const struct type_spec *s, const char *slot)
{
    for (size_t i = 0; i < s->n_slots; i++)
        if (strcmp(s->slots[i].name, slot) == 0)
            return true;
    return false;
}

/* Whether each slot of the catalog has a handler, and each handler a slot. */
static bool slots_agree(const struct type_spec *s, const struct fm_routine_type *t)
{
    bool ok = t != NULL && t->n_slots == s->n_slots;
    for (size_t i = 0; ok && i < t->n_slots; i++)
        ok = has_slot(s, t->slots[i].name);
    return ok;
}

static void read_events(const struct type_spec *s, struct events *e)
{
    for (size_t i = 0; i < s->n_events; i++) {
        e->names[i] = s->events[i].name;
        e->flags[i] = (s->events[i].notice ? FM_EVENT_NOTICE : 0) | (s->events[i].call ? FM_EVENT_CALL : 0);
    }
}

int registry_add_builtin(struct registry *r, struct fm_err *err)
{
    static struct events events[COUNT(handlers)];
    size_t n;
    const struct type_spec *specs = type_catalog(&n);
    for (size_t i = 0; i < n; i++) {
        const struct type_spec *s = &specs[i];
        const struct fm_routine_type *t = handlers_of(s->name);
        if (!slots_agree(s, t) || n != COUNT(handlers) || s->n_events > MAX_EVENTS)
            return fm_err_set(err, FM_INTERNAL, "name",
                              "the catalog and the handlers of routine type %s do not agree", s->name);
        read_events(s, &events[i]);
        struct fm_routine_type whole = *t;
        whole.version = s->version;
        bool asks = (t->flags & FM_SEES_TIMEOUTS) != 0;
        whole.flags |= s->effects ? FM_EFFECTS : asks ? 0 : FM_BESIDE;
        whole.events = events[i].names;
        whole.event_flags = events[i].flags;
        whole.n_events = s->n_events;
        whole.config_schema = s->config_text;
        int rc = registry_add(r, &whole, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
