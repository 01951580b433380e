/* The hosts' engines in the simulation: their outputs, their start and end; and the streams between them and
 * the core. See sim.h. */
#include "sim_hosts.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "mem.h"
#include "registry.h"
#include "sim_coord.h"

/* ---- streams ---- */

struct conn *conn_find(uint64_t id)
{
    struct conn *k;
    HASH_FIND(hh, w.conns, &id, sizeof(id), k);
    return k;
}

int64_t travel(int64_t *last, const struct conn *k)
{
    int64_t at =
        w.now + 1 + (int64_t)rnd(w.healing ? 3 : 12) + (!w.healing && chance(3) ? (int64_t)rnd(400) : 0);
    if (at < k->blocked_until)
        at = k->blocked_until;
    if (at < *last)
        at = *last; /* one stream keeps its order */
    *last = at;
    return at - w.now;
}

void close_host_side(struct conn *k, int64_t ms)
{
    struct event *e = after(ms, EV_HOST_SEES_CLOSE);
    e->id = k->id;
}

void close_core_side(struct conn *k, int64_t ms)
{
    struct event *e = after(ms, EV_CORE_SEES_CLOSE);
    e->id = k->id;
    e->gen = w.core_gen;
}

void conn_drop(struct conn *k)
{
    if (k->core_open || k->host_open)
        return;
    if (w.hosts[k->host].conn == k)
        w.hosts[k->host].conn = NULL;
    HASH_DEL(w.conns, k);
    free(k);
}

/* ---- outputs of an engine ---- */

static void eng_send(void *arg, struct fm_bytes message)
{
    struct sim_host *h = arg;
    struct conn *k = h->conn;
    if (k == NULL || !k->host_open)
        return;
    struct event *e = after(travel(&k->to_core_at, k), EV_TO_CORE);
    e->id = k->id;
    fm_buf_append(&e->bytes, message.p, message.n);
}

static void eng_close(void *arg, const char *why)
{
    struct sim_host *h = arg;
    trace("%s closes its stream: %s", h->id, why);
    if (h->conn != NULL)
        close_host_side(h->conn, 1);
}

static void eng_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    struct sim_host *h = arg;
    struct event *e = after((int64_t)ms, EV_TIMER);
    e->host = (size_t)(h - w.hosts);
    e->gen = h->gen;
    e->id = id;
}

static void eng_cancel_timer(void *arg, uint64_t id)
{
    struct sim_host *h = arg;
    struct event *e, *tmp;
    DL_FOREACH_SAFE (w.events, e, tmp) {
        if (e->kind != EV_TIMER || e->id != id || e->host != (size_t)(h - w.hosts) || e->gen != h->gen)
            continue;
        DL_DELETE(w.events, e);
        event_free(e);
    }
}

/* Conditions of breakpoints are "true" and "false"; a true one may fail instead, which comes to the same. */
static void eng_start_call(void *arg, uint64_t id, enum engine_call_kind kind, const void *request)
{
    struct sim_host *h = arg;
    const struct eval_request *r = request;
    if (kind != CALL_EVAL)
        fm_abort("the simulation makes no such calls");
    struct event *e = after((int64_t)rnd(w.healing ? 20 : 400), EV_VERDICT);
    e->host = (size_t)(h - w.hosts);
    e->gen = h->gen;
    e->id = id;
    snprintf(e->text, sizeof(e->text), "false");
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->programs[i], "true") == 0)
            snprintf(e->text, sizeof(e->text), "%s", chance(80) ? "true" : "");
}

/* It is told of it nevertheless; by then the engine knows it no more. */
static void eng_cancel_call(void *arg, uint64_t id, enum engine_call_kind kind)
{
    (void)arg;
    (void)id;
    (void)kind;
}

void host_verdict(struct sim_host *h, const struct event *e)
{
    const char *const outputs[] = {e->text};
    bool failed = e->text[0] == '\0';
    const struct eval_result r = {.outputs = outputs,
                                  .n = failed ? 0 : 1,
                                  .code = failed ? FM_DEADLINE_EXCEEDED : FM_OK,
                                  .error = failed ? "it took too long" : ""};
    engine_call_done(h->engine, e->id, &r, w.now);
}

/* It leaves; its stream is ended a moment later, by the coordinator or by its own end. */
static void eng_drained(void *arg)
{
    struct sim_host *h = arg;
    h->leaves = true;
    struct event *e = after(1 + (int64_t)rnd(100), EV_STOP_HOST);
    e->host = (size_t)(h - w.hosts);
    e->gen = h->gen;
}

static size_t eng_task_begins(void *arg, const char *job, uint32_t epoch, const char *task_id,
                              const char *routine)
{
    struct sim_host *h = arg;
    size_t i = 0;
    while (h->in_hand[i].used)
        if (++i == MAX_IN_HAND)
            fm_abort("too much in hand");
    struct in_hand *t = &h->in_hand[i];
    *t = (struct in_hand){.used = true, .epoch = epoch};
    snprintf(t->job, sizeof(t->job), "%s", job);
    snprintf(t->task_id, sizeof(t->task_id), "%s", task_id);
    snprintf(t->routine, sizeof(t->routine), "%s", routine);
    return i;
}

static void eng_task_ends(void *arg, size_t number)
{
    struct sim_host *h = arg;
    h->in_hand[number].used = false;
}

static void eng_nothing(void *arg)
{
    (void)arg;
}

void start_host(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    struct fm_id id = {{0}};
    for (size_t k = 0; k < 16; k++)
        id.b[k] = (uint8_t)rnd(256);
    id.b[0] &= 0x7f;
    fm_id_text(&id, h->incarnation);
    const struct engine_config cfg = {.host_id = h->id,
                                      .incarnation = h->incarnation,
                                      .version = "sim",
                                      .capacity = 1 + (uint32_t)rnd(4),
                                      .registry = w.registry,
                                      .seed = fm_rng_next(&w.rng)};
    const struct engine_io io = {.arg = h,
                                 .send = eng_send,
                                 .close = eng_close,
                                 .start_timer = eng_start_timer,
                                 .cancel_timer = eng_cancel_timer,
                                 .start_call = eng_start_call,
                                 .cancel_call = eng_cancel_call,
                                 .task_begins = eng_task_begins,
                                 .task_ends = eng_task_ends,
                                 .attached = eng_nothing,
                                 .drained = eng_drained};
    trace("%s starts", h->id);
    h->gen++;
    h->leaves = false;
    memset(h->in_hand, 0, sizeof(h->in_hand));
    h->engine = engine_new(&cfg, &io);
    struct event *e = after(1 + (int64_t)rnd(50), EV_CONNECT);
    e->host = i;
    e->gen = h->gen;
}

/* Returns its stream, of which it knows no more. */
static struct conn *end_host(struct sim_host *h)
{
    struct conn *k = h->conn;
    struct engine *engine = h->engine;
    h->conn = NULL;
    h->engine = NULL;
    engine_free(engine);
    h->gen++;
    if (k != NULL)
        k->host_open = false;
    return k;
}

static void crash(size_t i, bool by_a_task)
{
    struct sim_host *h = &w.hosts[i];
    trace("%s crashes", h->id);
    struct conn *k = end_host(h);
    if (k != NULL && k->core_open)
        close_core_side(k, chance(50) ? 2 : LEASE_MS * 2); /* at once, or half-open */
    else if (k != NULL)
        conn_drop(k);
    if (by_a_task || chance(60)) { /* its supervisor lives */
        struct event *e = after(1 + (int64_t)rnd(20), EV_CERTIFY);
        e->host = i;
        snprintf(e->text, sizeof(e->text), "%s", h->incarnation);
    }
    after(20 + (int64_t)rnd(3000), EV_START_HOST)->host = i;
}

/* Notes the task that ends the host, and what else it has in hand. */
static void note_kill(struct sim_host *h, const struct in_hand *by)
{
    char key[96];
    struct kills *k;
    snprintf(key, sizeof(key), "%s/%s", by->job, by->task_id);
    HASH_FIND_STR(w.kills, key, k);
    if (k == NULL) {
        k = fm_xcalloc(1, sizeof(*k));
        snprintf(k->key, sizeof(k->key), "%s", key);
        HASH_ADD_STR(w.kills, key, k);
    }
    k->n++;
    k->n_healed += w.healing;
    trace("task %s ends %s", key, h->id);
    memcpy(h->crashed, h->incarnation, sizeof(h->crashed));
    memcpy(h->crashed_with, h->in_hand, sizeof(h->crashed_with));
}

void kill_host(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    bool any = false;
    for (size_t k = 0; k < MAX_IN_HAND; k++) {
        if (!h->in_hand[k].used || strcmp(h->in_hand[k].routine, "z") != 0)
            continue;
        note_kill(h, &h->in_hand[k]); /* of two of them either may have been it */
        any = true;
    }
    if (any)
        crash(i, true);
}

void crash_host(size_t i)
{
    crash(i, false);
}

void stop_host(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    trace("%s has left", h->id);
    if (engine_job_count(h->engine) > 0)
        wrong("host %s leaves with jobs", h->id);
    struct conn *k = end_host(h);
    if (k != NULL && k->core_open)
        close_core_side(k, travel(&k->to_core_at, k));
    else if (k != NULL)
        conn_drop(k);
    after(20 + (int64_t)rnd(2000), EV_START_HOST)->host = i;
}

void connect_host(size_t i)
{
    struct sim_host *h = &w.hosts[i];
    if (h->conn != NULL || h->leaves)
        return;
    if (w.core == NULL || !w.core_ready) {
        struct event *e = after(50 + (int64_t)rnd(100), EV_CONNECT);
        e->host = i;
        e->gen = h->gen;
        return;
    }
    struct conn *k = fm_xcalloc(1, sizeof(*k));
    k->id = ++w.next_conn;
    k->host = i;
    k->core_open = k->host_open = true;
    HASH_ADD(hh, w.conns, id, sizeof(k->id), k);
    h->conn = k;
    set_time();
    core_host_opened(w.core, k->id, "sim", NULL);
    engine_connected(h->engine, w.now);
}

void host_sees_close(struct event *e)
{
    struct conn *k = conn_find(e->id);
    if (k == NULL || !k->host_open)
        return;
    struct sim_host *h = &w.hosts[k->host];
    k->host_open = false;
    bool present = h->conn == k;
    if (k->core_open)
        close_core_side(k, travel(&k->to_core_at, k));
    if (present)
        h->conn = NULL;
    if (!k->core_open)
        conn_drop(k);
    if (!present || h->engine == NULL)
        return;
    engine_disconnected(h->engine, w.now);
    struct event *again = after(10 + (int64_t)rnd(300), EV_CONNECT);
    again->host = (size_t)(h - w.hosts);
    again->gen = h->gen;
}
