/* The parts of a host's job. See hjob.h. */
#include "hjob.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "engine_io.h"
#include "engine_state.h"
#include "hsession.h"
#include "jq_context.h"
#include "mem.h"

#define MAX_ABORTED 1000 /* are named to the coordinator */

/* ---- pieces ---- */

static char *put_text(char **at, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = memcpy(*at, s, n);
    *at += n;
    return copy;
}

struct task *task_new(const struct task *from)
{
    size_t text = strlen(from->id) + strlen(from->routine) + strlen(from->slot) + strlen(from->pause_id) +
                  strlen(from->key) + strlen(from->call_id) + 6;
    struct task *t = fm_xmalloc(sizeof(*t) + from->data.n + text);
    *t = *from;
    t->prev = t->next = NULL;
    uint8_t *body = (uint8_t *)(t + 1);
    if (from->data.n > 0)
        memcpy(body, from->data.p, from->data.n);
    char *at = (char *)body + from->data.n;
    t->data = (struct fm_bytes){body, from->data.n};
    t->id = put_text(&at, from->id);
    t->slot = put_text(&at, from->slot);
    t->pause_id = put_text(&at, from->pause_id);
    t->routine = put_text(&at, from->routine); /* these two stand together: see schedule.c */
    t->key = put_text(&at, from->key);
    t->call_id = put_text(&at, from->call_id);
    return t;
}

struct deferred *deferred_new(const char *routine, const char *event, struct fm_bytes data)
{
    struct deferred *d = fm_xmalloc(sizeof(*d) + data.n + strlen(routine) + strlen(event) + 2);
    memset(d, 0, sizeof(*d));
    uint8_t *body = (uint8_t *)(d + 1);
    if (data.n > 0)
        memcpy(body, data.p, data.n);
    char *at = (char *)body + data.n;
    d->data = (struct fm_bytes){body, data.n};
    d->routine = put_text(&at, routine);
    d->event = put_text(&at, event);
    return d;
}

struct routine_state *hjob_routine_state(struct hjob *job, const char *routine)
{
    struct routine_state *r;
    HASH_FIND_STR(job->routines, routine, r);
    if (r != NULL)
        return r;
    r = fm_xcalloc(1, sizeof(*r));
    r->routine = fm_xstrdup(routine);
    HASH_ADD_KEYPTR(hh, job->routines, r->routine, strlen(r->routine), r);
    return r;
}

void hjob_put_context(struct hjob *job, const char *routine, struct eval_request *request,
                      struct fm_buf *shared, struct fm_buf *state)
{
    bool wants = false;
    for (size_t i = 0; i < request->n; i++)
        wants = wants || jq_wants_context(request->programs[i]);
    if (!wants)
        return;
    kv_put_struct(&job->shared, shared);
    kv_put_struct(&hjob_routine_state(job, routine)->kv, state);
    request->shared = fm_buf_bytes(shared);
    request->state = fm_buf_bytes(state);
}

struct hjob *hjob_find(struct engine *e, struct pb_var id, uint32_t epoch)
{
    struct hjob *job;
    if (id.n == 0)
        return NULL;
    HASH_FIND(hh, e->jobs, id.p, id.n, job);
    return job != NULL && job->epoch == epoch ? job : NULL;
}

/* ---- freeing ---- */

void hjob_clear_prelude(struct hjob *job)
{
    for (size_t i = 0; i < job->n_prelude_tasks; i++)
        fm_buf_done(&job->prelude_tasks[i]);
    for (size_t i = 0; i < job->n_prelude_outputs; i++)
        fm_buf_done(&job->prelude_outputs[i]);
    job->n_prelude_tasks = job->n_prelude_outputs = 0;
    job->prelude_deferred = 0;
}

static void free_prelude(struct hjob *job)
{
    hjob_clear_prelude(job);
    free(job->prelude_tasks);
    free(job->prelude_outputs);
    job->prelude_tasks = job->prelude_outputs = NULL;
}

static void free_tasks(struct task *list)
{
    struct task *t, *tmp;
    DL_FOREACH_SAFE (list, t, tmp)
        free(t);
}

void hjob_free_breakpoints(struct hjob *job)
{
    while (job->breakpoints != NULL) {
        struct breakpoint *b = job->breakpoints;
        job->breakpoints = b->next;
        free(b->routine);
        free(b->slot);
        free(b->condition);
        free(b);
    }
}

void hjob_free_states(struct hjob *job)
{
    struct routine_state *r, *rtmp;
    HASH_ITER (hh, job->routines, r, rtmp) {
        HASH_DEL(job->routines, r);
        kv_done(&r->kv);
        free(r->routine);
        free(r);
    }
}

static void free_marks(struct hjob *job)
{
    struct task_mark *m, *tmp;
    HASH_ITER (hh, job->marks, m, tmp) {
        HASH_DEL(job->marks, m);
        free(m->id);
        free(m->lost_reason);
        free(m);
    }
}

static void free_aborted(struct hjob *job)
{
    for (size_t i = 0; i < job->aborted.n; i++)
        free((void *)(uintptr_t)job->aborted.items[i].p);
    free(job->aborted.items);
}

void hjob_free(struct hjob *job)
{
    for (size_t i = 0; job->flow != NULL && i < job->flow->n_routines; i++)
        free_tasks(job->flow->routines[i].queue);
    if (job->flow != NULL)
        free_tasks(job->flow->unknown.queue);
    schedule_done(&job->scheduled);
    free_tasks(job->halted);
    asked_free(&job->asked);
    hjob_free_breakpoints(job);
    free(job->released_task);
    free(job->break_task);
    free(job->break_why);
    free_marks(job);
    free_aborted(job);
    struct deferred *d, *dtmp;
    DL_FOREACH_SAFE (job->deferred, d, dtmp)
        free(d);
    struct sent_step *s, *stmp;
    DL_FOREACH_SAFE (job->sent, s, stmp)
        free(s);
    hjob_free_states(job);
    kv_done(&job->shared);
    free_prelude(job);
    flow_free(job->flow);
    free(job);
}

/* ---- tasks ---- */

void hjob_enqueue(struct hjob *job, struct task *t)
{
    t->scheduled = false;
    t->seq = ++job->next_seq;
    DL_APPEND(t->to->queue, t);
}

static int by_seq(const struct task *a, const struct task *b)
{
    return (a->seq > b->seq) - (a->seq < b->seq);
}

static bool is_halted(const struct hjob *job, const struct task *t)
{
    bool beside = t->to->type != NULL && (t->to->type->flags & FM_BESIDE) != 0;
    return job->halted_at != 0 && !t->timed && !t->beside && !beside;
}

void hjob_begin_halt(struct hjob *job)
{
    job->halted_at = job->last_step;
    for (size_t i = 0; i <= job->flow->n_routines; i++) {
        struct routine *r = i < job->flow->n_routines ? &job->flow->routines[i] : &job->flow->unknown;
        struct task *t, *tmp;
        DL_FOREACH_SAFE (r->queue, t, tmp) {
            if (!is_halted(job, t) || t->failed_attempts > 0)
                continue;
            DL_DELETE(r->queue, t);
            DL_INSERT_INORDER(job->halted, t, by_seq);
        }
    }
}

void hjob_end_halt(struct hjob *job)
{
    struct task *t, *tmp;
    job->halted_at = 0;
    DL_FOREACH_SAFE (job->halted, t, tmp) {
        DL_DELETE(job->halted, t);
        DL_INSERT_INORDER(t->to->queue, t, by_seq);
    }
}

static char *text_of(struct fm_bytes bytes)
{
    char *s = fm_xcalloc(bytes.n + 1, 1);
    if (bytes.n > 0)
        memcpy(s, bytes.p, bytes.n);
    return s;
}

void hjob_mark(struct hjob *job, struct fm_bytes id, const struct fm_bytes *lost_reason)
{
    struct task_mark *m;
    HASH_FIND(hh, job->marks, id.p, id.n, m);
    if (m != NULL)
        return;
    m = fm_xcalloc(1, sizeof(*m));
    m->id = text_of(id);
    m->lost_reason = lost_reason == NULL ? NULL : text_of(*lost_reason);
    HASH_ADD_KEYPTR(hh, job->marks, m->id, id.n, m);
}

static void take_mark(struct hjob *job, struct task *t)
{
    const struct task_mark *m;
    HASH_FIND(hh, job->marks, t->id, strlen(t->id), m);
    if (m == NULL)
        return;
    t->lost_reason = m->lost_reason;
    t->suspect = t->lost_reason == NULL;
    job->n_suspects += t->suspect;
}

void hjob_unmark(struct hjob *job, struct task *t)
{
    job->n_suspects -= t->suspect;
    t->suspect = false;
}

void hjob_add_task(struct hjob *job, struct task *t)
{
    job->n_tasks++;
    take_mark(job, t);
    t->to = flow_routine(job->flow, t->routine);
    if (is_halted(job, t)) {
        t->seq = ++job->next_seq;
        DL_APPEND(job->halted, t);
        return;
    }
    if (t->due_ms != 0 && t->failed_attempts == 0) {
        t->scheduled = true;
        schedule_add(&job->scheduled, t);
        return;
    }
    if (t->due_ms != 0 && t->to->queue == NULL)
        t->to->held_until_ms = t->due_ms; /* a next attempt: it holds its routine */
    hjob_enqueue(job, t);
}

void hjob_return_task(struct task *t)
{
    DL_PREPEND(t->to->queue, t);
}

/* ---- steps ---- */

void hjob_send_step(struct hjob *job, const struct fm_buf *step)
{
    struct sent_step *s = fm_xmalloc(sizeof(*s) + step->n);
    memset(s, 0, sizeof(*s));
    memcpy(s + 1, step->p, step->n);
    s->number = ++job->last_step;
    s->body = (struct fm_bytes){(uint8_t *)(s + 1), step->n};
    DL_APPEND(job->sent, s);
    job->sent_bytes += step->n;
    job->n_sent++;
    session_add_step(job->session, job->id, s->body);
}

void hjob_stored(struct hjob *job, uint32_t number)
{
    while (job->sent != NULL && job->sent->number <= number) {
        struct sent_step *s = job->sent;
        DL_DELETE(job->sent, s);
        job->sent_bytes -= s->body.n;
        job->n_sent--;
        free(s);
    }
}

void hjob_note_aborted(struct hjob *job, const struct task *t)
{
    struct pb_var *list = &job->aborted;
    if (list->n >= MAX_ABORTED)
        return;
    struct fm_bytes *items = fm_xgrow(list->items, list->n, sizeof(*items));
    items[list->n] = (struct fm_bytes){(uint8_t *)fm_xstrdup(t->id), strlen(t->id)};
    *list = pb_var_list(items, list->n + 1);
}

void hjob_set_grace(struct hjob *job, int64_t at_ms)
{
    struct engine *e = job->engine;
    job->interrupt_at_ms = at_ms;
    if (e->grace_at_ms == 0 || at_ms < e->grace_at_ms)
        e->grace_at_ms = at_ms;
}
