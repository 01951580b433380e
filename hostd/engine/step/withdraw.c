/* What a step takes back: questions that nobody need answer any more, and the timers of others. Part of the
 * routine API (fermata/routine.h); for races see own_types.h. */
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "asked.h"
#include "ctx.h"
#include "hjob.h"
#include "mem.h"
#include "own_types.h"
#include "value.h"

#define NAMED_IN_ERROR 5

/* ---- questions ---- */

static bool is_withdrawn(const struct fm_ctx *ctx, const char *pause_id)
{
    const struct withdrawn *w;
    DL_FOREACH (ctx->out.withdrawn, w)
        if (strcmp(w->pause_id, pause_id) == 0)
            return true;
    return false;
}

static void withdraw(struct fm_ctx *ctx, const struct asked *a, const char *reason)
{
    struct kv_value kept;
    if (is_withdrawn(ctx, a->pause_id) ||
        !ctx_has_room(ctx, "withdrawn questions", ctx->out.n_withdrawn, FM_MAX_STEP_PAUSES))
        return;
    const char *why = fm_value_string(fm_string(ctx, reason == NULL ? "" : reason), "");
    struct withdrawn *w = fm_ctx_alloc(ctx, sizeof(*w));
    char *cut = ctx_keep_text(ctx, why);
    cut[fm_utf8_cut(cut, FM_MAX_REASON_BYTES)] = '\0';
    w->pause_id = ctx_keep_text(ctx, a->pause_id);
    w->routine = ctx_keep_text(ctx, a->routine);
    w->reason = cut;
    w->has_state =
        kv_get(&hjob_routine_state(ctx->job, a->routine)->kv, a->pause_id, strlen(a->pause_id), &kept);
    DL_APPEND(ctx->out.withdrawn, w);
    ctx->out.n_withdrawn++;
}

bool fm_ctx_is_open(const struct fm_ctx *ctx, const char *name)
{
    const struct asked *a;
    DL_FOREACH (ctx->job->asked, a)
        if (asked_is(a, name) && !is_withdrawn(ctx, a->pause_id))
            return true;
    return false;
}

static int none_is_open(struct fm_ctx *ctx, const char *name)
{
    char open[400] = "none is open";
    const struct asked *a;
    size_t n = 0, at = 0;
    DL_FOREACH (ctx->job->asked, a) {
        if (++n > NAMED_IN_ERROR)
            break;
        const char *shown = a->key[0] != '\0' ? a->key : a->pause_id;
        at += (size_t)snprintf(open + at, sizeof(open) - at, "%s\"%.*s\" of routine %.20s",
                               n == 1 ? "open is " : ", ", (int)fm_utf8_cut(shown, 32), shown, a->routine);
    }
    (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION,
                      "no open question has the key, the tool call or the pause id \"%.*s\" that is to be "
                      "withdrawn; %s%s",
                      (int)fm_utf8_cut(name, 64), name, open, n > NAMED_IN_ERROR ? ", and more" : "");
    fm_ctx_fail_permanent(ctx);
    return -1;
}

int fm_ctx_withdraw(struct fm_ctx *ctx, const char *name, const char *reason)
{
    const struct asked *a;
    if (ctx->out.failed)
        return -1;
    if (name == NULL || !fm_ctx_is_open(ctx, name))
        return none_is_open(ctx, name == NULL ? "" : name);
    DL_FOREACH (ctx->job->asked, a)
        if (asked_is(a, name))
            withdraw(ctx, a, reason);
    return ctx->out.failed ? -1 : 0;
}

/* ---- races ---- */

/* Which routines of the flow lead to a slot of this one, by their places. */
static void find_leading(struct fm_ctx *ctx, const char *slot, bool *leads)
{
    struct flow *f = ctx->job->flow;
    const char *own = ctx->task->routine;
    for (bool more = true, first = true; more; first = false) {
        more = false;
        for (size_t i = 0; i < f->n_connections; i++) {
            const struct connection *c = &f->connections[i];
            bool is_own = strcmp(c->to_routine, own) == 0;
            size_t to = (size_t)(flow_routine(f, c->to_routine) - f->routines),
                   from = (size_t)(flow_routine(f, c->from_routine) - f->routines);
            bool counts = is_own ? first && strcmp(c->slot, slot) == 0 : to < f->n_routines && leads[to];
            if (!counts || from >= f->n_routines || leads[from] || strcmp(c->from_routine, own) == 0)
                continue;
            leads[from] = more = true;
        }
    }
}

/* Whether a timer is one of this race. */
static bool has_key(struct fm_ctx *ctx, const struct own_race *r, const struct task *t)
{
    fm_auto(fm_err) err = {0};
    if (r->key_path == NULL)
        return true;
    const struct fm_value *data = value_decode_struct(t->data, ctx_scratch(ctx), &err);
    return strcmp(ctx_key_text(ctx, fm_value_get(data, r->key_path)), r->key) == 0;
}

static void drop_timer(struct fm_ctx *ctx, const struct task *t)
{
    struct unscheduled *u;
    HASH_FIND_STR(ctx->out.dropped, t->id, u);
    if (u != NULL || !ctx_has_room(ctx, "dropped tasks", HASH_COUNT(ctx->out.dropped), FM_MAX_STEP_ITEMS))
        return;
    u = fm_ctx_alloc(ctx, sizeof(*u));
    u->key = u->id = ctx_keep_text(ctx, t->id);
    HASH_ADD_KEYPTR(hh, ctx->out.dropped, u->key, strlen(u->key), u);
}

/* Takes back what the routines at these places have open, or wait for. */
static void take_back(struct fm_ctx *ctx, const struct own_race *r, const bool *loses)
{
    struct hjob *job = ctx->job;
    struct flow *f = job->flow;
    const struct asked *a;
    DL_FOREACH (job->asked, a) {
        size_t at = (size_t)(flow_routine(f, a->routine) - f->routines);
        if (at < f->n_routines && loses[at] && (r->key_path == NULL || strcmp(a->key, r->key) == 0))
            withdraw(ctx, a, r->reason);
    }
    for (size_t i = 0; i < job->scheduled.n; i++) {
        const struct task *t = job->scheduled.heap[i];
        size_t at = (size_t)(t->to - f->routines);
        if (at < f->n_routines && loses[at] && has_key(ctx, r, t))
            drop_timer(ctx, t);
    }
    for (size_t i = 0; i < f->n_routines; i++) {
        const struct task *t = f->routines[i].held_until_ms != 0 ? f->routines[i].queue : NULL;
        if (t != NULL && loses[i] && has_key(ctx, r, t))
            drop_timer(ctx, t);
    }
}

void ctx_end_race(struct fm_ctx *ctx, const struct own_race *r)
{
    struct flow *f = ctx->job->flow;
    bool *wins = fm_ctx_alloc(ctx, f->n_routines + 1), *loses = fm_ctx_alloc(ctx, f->n_routines + 1);
    size_t n_named = fm_value_size(r->routines);
    for (size_t i = 0; i < n_named; i++) {
        const char *id = fm_value_string(fm_value_at(r->routines, i), "");
        size_t at = (size_t)(flow_routine(f, id) - f->routines);
        if (at >= f->n_routines) {
            (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                              "config.withdraw[%zu]: the flow has no routine \"%.64s\"", i, id);
            fm_ctx_fail_permanent(ctx);
            return;
        }
        loses[at] = true;
    }
    for (size_t i = 0; r->routines == NULL && i < fm_value_size(r->slots); i++) {
        const char *slot = fm_value_string(fm_value_at(r->slots, i), "");
        find_leading(ctx, slot, strcmp(slot, r->winner) == 0 ? wins : loses);
    }
    for (size_t i = 0; r->routines == NULL && i < f->n_routines; i++)
        loses[i] = loses[i] && !wins[i];
    take_back(ctx, r, loses);
}
