/* Messages that wait for the next turn. See backlog.h. */
#include "backlog.h"

#include <stdlib.h>

#include <utlist.h>

#include "buf.h"
#include "host.h"
#include "mem.h"
#include "pbc.h"
#include "state.h"

static void hold(struct core *c, const struct conn *k, bool on)
{
    if (c->io.host_hold != NULL)
        c->io.host_hold(c->io.arg, k->id, on);
}

static void begin(struct core *c, struct conn *k)
{
    if (k->waiting != NULL)
        return;
    DL_APPEND2(c->behind, k, behind_prev, behind_next);
    hold(c, k, true);
}

/* A copy in an arena of its own: whoever takes the message may put anything into it. */
static struct said *copy(const Fermata__V1__HostMessage *m)
{
    fm_auto(fm_buf) b = {0};
    struct said *s = fm_xcalloc(1, sizeof(*s));
    ProtobufCAllocator allocator = {fm_arena_pbc_alloc, fm_arena_pbc_free, &s->arena};
    fm_arena_init(&s->arena, SIZE_MAX);
    pb_pack(m, &b);
    s->message = fermata__v1__host_message__unpack(&allocator, b.n, b.p);
    if (s->message == NULL)
        fm_abort_oom(b.n); /* it was a message before */
    return s;
}

void backlog_add(struct core *c, struct conn *k, const Fermata__V1__HostMessage *m)
{
    struct said *s = copy(m);
    begin(c, k);
    DL_APPEND(k->waiting, s);
}

void backlog_return(struct core *c, struct conn *k, struct said *s)
{
    begin(c, k);
    DL_PREPEND(k->waiting, s);
}

void backlog_add_rest(struct core *c, struct conn *k, const Fermata__V1__StepBatch *b, size_t step)
{
    Fermata__V1__StepBatch rest = *b;
    rest.steps += step;
    rest.n_steps -= step;
    Fermata__V1__HostMessage m = FERMATA__V1__HOST_MESSAGE__INIT;
    m.body_case = FERMATA__V1__HOST_MESSAGE__BODY_STEPS;
    m.steps = &rest;
    struct said *s = copy(&m);
    s->begun = true;
    backlog_return(c, k, s);
}

static void end(struct core *c, struct conn *k)
{
    DL_DELETE2(c->behind, k, behind_prev, behind_next);
    k->behind_prev = k->behind_next = NULL;
}

struct said *backlog_next(struct core *c, struct conn **ret_k)
{
    struct conn *k = c->behind;
    if (k == NULL)
        return NULL;
    struct said *s = k->waiting;
    DL_DELETE(k->waiting, s);
    end(c, k);
    if (k->waiting != NULL)
        DL_APPEND2(c->behind, k, behind_prev, behind_next);
    else
        hold(c, k, false);
    *ret_k = k;
    return s;
}

void said_free(struct said *s)
{
    fm_arena_done(&s->arena);
    free(s);
}

void backlog_drop(struct core *c, struct conn *k)
{
    if (k->waiting != NULL)
        end(c, k);
    while (k->waiting != NULL) {
        struct said *s = k->waiting;
        DL_DELETE(k->waiting, s);
        said_free(s);
    }
}

int64_t backlog_deadline(const struct core *c)
{
    return c->behind != NULL ? c->now_ms : -1;
}
