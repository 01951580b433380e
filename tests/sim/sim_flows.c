/* The flows and the data of the simulated jobs. "a" takes the inputs and hands each to "b" (which has effects
 * and fails now and then), "d" (which lets time pass) and "e" (which must not be repeated unnoticed); the
 * first one also to "c", which asks a question and defers an event. With a budget, "s" uses something for
 * each input, and asks when it is too much; with children, "g" starts a job for each input; "z" ends its
 * hosts with the first input, until it fails for that. See sim.h and sim_types.c. */
#include "sim_flows.h"

#include "mem.h"

Google__Protobuf__Struct *make_data(struct data *d, char *token, bool ask, uint32_t ms)
{
    static char t[] = "t", a[] = "ask", m[] = "ms";
    google__protobuf__struct__init(&d->s);
    for (int i = 0; i < 3; i++) {
        google__protobuf__struct__fields_entry__init(&d->entries[i]);
        google__protobuf__value__init(&d->values[i]);
        d->entries[i].value = &d->values[i];
        d->pointers[i] = &d->entries[i];
    }
    d->entries[0].key = t;
    d->values[0].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    d->values[0].string_value = token;
    d->entries[1].key = a;
    d->values[1].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    d->values[1].bool_value = ask;
    d->entries[2].key = m;
    d->values[2].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    d->values[2].number_value = ms;
    d->s.n_fields = ask && ms > 0 ? 3 : 2;
    d->s.fields = d->pointers;
    return &d->s;
}

static void add_connection(Fermata__V1__Flow *f, const char *from, const char *event, const char *to,
                           const char *slot)
{
    Fermata__V1__Connection *c = fm_xcalloc(1, sizeof(*c));
    Fermata__V1__EventRef *e = fm_xcalloc(1, sizeof(*e));
    Fermata__V1__SlotRef *s = fm_xcalloc(1, sizeof(*s));
    fermata__v1__connection__init(c);
    fermata__v1__event_ref__init(e);
    fermata__v1__slot_ref__init(s);
    e->routine = fm_xstrdup(from);
    e->event = fm_xstrdup(event);
    s->routine = fm_xstrdup(to);
    s->slot = fm_xstrdup(slot);
    c->from = e;
    c->to = s;
    f->connections = fm_xrealloc(f->connections, (f->n_connections + 1) * sizeof(*f->connections));
    f->connections[f->n_connections++] = c;
}

static Fermata__V1__Routine *add_routine(Fermata__V1__Flow *f, const char *id, const char *type)
{
    Fermata__V1__Routine *r = fm_xcalloc(1, sizeof(*r));
    fermata__v1__routine__init(r);
    r->id = fm_xstrdup(id);
    r->type = fm_xstrdup(type);
    f->routines = fm_xrealloc(f->routines, (f->n_routines + 1) * sizeof(*f->routines));
    f->routines[f->n_routines++] = r;
    return r;
}

static Fermata__V1__Policy *new_policy(void)
{
    Fermata__V1__Policy *p = fm_xcalloc(1, sizeof(*p));
    fermata__v1__policy__init(p);
    return p;
}

static void set_defaults(Fermata__V1__Flow *f, const struct sim_plan *plan)
{
    f->defaults = new_policy();
    f->defaults->retry = fm_xcalloc(1, sizeof(*f->defaults->retry));
    fermata__v1__retry_policy__init(f->defaults->retry);
    f->defaults->retry->max_attempts = 5;
    f->defaults->retry->initial_delay_ms = plan->parallel ? 10 : 1300;
    f->defaults->retry->factor = 1;
}

Fermata__V1__Flow *make_flow(const struct sim_plan *plan)
{
    Fermata__V1__Flow *f = fm_xcalloc(1, sizeof(*f));
    fermata__v1__flow__init(f);
    f->name = fm_xstrdup("sim");
    f->parallelism = plan->parallel ? 3 : 0;
    f->deadline_ms = plan->deadline_ms;
    add_routine(f, "a", "sim_in");
    add_routine(f, "b", "sim_work");
    add_routine(f, "c", "sim_ask");
    add_routine(f, "d", "sim_later");
    bool again = plan->on_lost == FERMATA__V1__LOST_POLICY__LOST_POLICY_RETRY;
    Fermata__V1__Routine *e = add_routine(f, "e", again ? "sim_again" : "sim_once");
    add_routine(f, "f", "sim_sink");
    add_connection(f, "a", "x", "b", "in");
    add_connection(f, "a", "x", "d", "in");
    add_connection(f, "a", "x", "e", "in");
    add_connection(f, "a", "q", "c", "q");
    add_connection(f, "c", "asked", "e",
                   "in"); /* so that an announced task is the first of a deferred event */
    add_connection(f, "c", "asked", "c", "asked");
    add_connection(f, "e", "did", "f", "did");
    add_connection(f, "e", "error", "f", "lost");
    e->policy = new_policy();
    e->policy->on_lost = (Fermata__V1__LostPolicy)plan->on_lost;
    e->policy->on_error = (Fermata__V1__ErrorPolicy)plan->on_error;
    e->policy->attempt_timeout_ms = plan->attempt_timeout ? 400 : 0;
    if (plan->budget) {
        add_routine(f, "s", "sim_spend");
        add_connection(f, "a", "x", "s", "in");
    }
    if (plan->kids) {
        add_routine(f, "g", "sim_parent");
        add_connection(f, "a", "x", "g", "in");
    }
    if (plan->kills > 0) {
        Fermata__V1__Routine *z = add_routine(f, "z", "sim_killer");
        add_connection(f, "a", "q", "z", "in");
        z->policy = new_policy();
        z->policy->on_error = FERMATA__V1__ERROR_POLICY__ERROR_POLICY_CONTINUE;
        z->policy->maybe_max_losses_case = FERMATA__V1__POLICY__MAYBE_MAX_LOSSES_MAX_LOSSES;
        z->policy->max_losses = plan->kills;
    }
    set_defaults(f, plan);
    return f;
}

Fermata__V1__Flow *make_kid_flow(void)
{
    Fermata__V1__Flow *f = fm_xcalloc(1, sizeof(*f));
    fermata__v1__flow__init(f);
    f->name = fm_xstrdup("kid");
    add_routine(f, "k", "sim_kid");
    return f;
}
