/* Time, chance, the queue of events, and what each event does. See sim.h. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <utlist.h>

#include "mem.h"
#include "sim_clients.h"
#include "sim_coord.h"
#include "sim_copies.h"
#include "sim_disk.h"
#include "sim_faults.h"
#include "sim_hosts.h"
#include "sim_inbox.h"
#include "sim_oracle.h"
#include "sim_records.h"

struct world w;

void trace(const char *fmt, ...)
{
    if (!w.trace)
        return;
    va_list ap;
    va_start(ap, fmt);
    printf("%8lld ", (long long)w.now);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

void wrong(const char *fmt, ...)
{
    if (w.verdict != NULL)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w.text, sizeof(w.text), fmt, ap);
    va_end(ap);
    w.verdict = w.text;
    trace("WRONG: %s", w.text);
}

uint64_t rnd(uint64_t n)
{
    return fm_rng_below(&w.rng, n);
}

bool chance(unsigned percent)
{
    return rnd(100) < percent;
}

/* ---- events ---- */

static int by_time(const struct event *a, const struct event *b)
{
    return a->at != b->at ? (a->at > b->at) - (a->at < b->at) : (a->seq > b->seq) - (a->seq < b->seq);
}

struct event *after(int64_t ms, enum kind kind)
{
    struct event *e = fm_xcalloc(1, sizeof(*e));
    e->at = w.now + ms;
    e->seq = ++w.seq;
    e->kind = kind;
    DL_INSERT_INORDER(w.events, e, by_time);
    return e;
}

void event_free(struct event *e)
{
    fm_buf_done(&e->bytes);
    fm_arena_done(&e->query_texts);
    if (e->done != NULL)
        store_done_free(e->done);
    free(e);
}

/* ---- what happens ---- */

static void to_host(size_t host, struct fm_bytes message)
{
    engine_message(w.hosts[host].engine, message, w.now);
    if (w.hosts[host].engine != NULL)
        check_copies(host, message);
}

static void carry_out(struct event *e)
{
    struct sim_host *h = &w.hosts[e->host];
    switch (e->kind) {
    case EV_COMMIT:
        if (e->gen == w.core_gen)
            disk_flush();
        return;
    case EV_QUERY:
        if (e->gen == w.core_gen)
            disk_query(e);
        return;
    case EV_STORE_DONE:
        if (e->gen == w.core_gen && w.core != NULL) {
            struct store_done *d = e->done;
            e->done = NULL;
            core_store_done(w.core, d);
        }
        return;
    case EV_TO_CORE:
        to_core(e);
        return;
    case EV_TO_HOST: {
        struct conn *k = conn_find(e->id);
        if (k != NULL && k->host_open && w.hosts[k->host].engine != NULL)
            to_host(k->host, (struct fm_bytes){e->bytes.p, e->bytes.n});
        return;
    }
    case EV_CORE_SEES_CLOSE:
        core_sees_close(e);
        return;
    case EV_HOST_SEES_CLOSE:
        host_sees_close(e);
        return;
    case EV_CONNECT:
        if (h->engine != NULL && e->gen == h->gen)
            connect_host(e->host);
        return;
    case EV_TIMER:
        if (h->engine != NULL && e->gen == h->gen)
            engine_timer(h->engine, e->id, w.now);
        return;
    case EV_VERDICT:
        if (h->engine != NULL && e->gen == h->gen)
            host_verdict(h, e);
        return;
    case EV_CLIENT:
        if (w.core != NULL && w.core_ready && !w.jobs[e->id].final)
            client_acts(e->id);
        if (!w.jobs[e->id].final)
            after(5 + (int64_t)rnd(w.healing ? 100 : 400), EV_CLIENT)->id = e->id;
        return;
    case EV_OPERATOR:
        operator_acts();
        after(100 + (int64_t)rnd(w.healing ? 200 : 1500), EV_OPERATOR);
        return;
    case EV_CERTIFY:
        certify(e->host, e->text);
        return;
    case EV_KILL:
        if (h->engine != NULL && e->gen == h->gen)
            kill_host(e->host);
        return;
    case EV_FAULT:
        if (w.healing)
            return;
        fault();
        after(50 + (int64_t)rnd(1200), EV_FAULT);
        return;
    case EV_START_CORE:
        if (w.core == NULL)
            start_core();
        return;
    case EV_START_HOST:
        if (h->engine == NULL)
            start_host(e->host);
        return;
    case EV_STOP_HOST:
        if (h->engine != NULL && e->gen == h->gen)
            stop_host(e->host);
        return;
    case EV_WATCH:
        watch();
        if (!w.watch_ended)
            after(50 + (int64_t)rnd(500), EV_WATCH);
        return;
    case EV_INBOX:
        inbox_list();
        if (e->id == 0)
            after(200 + (int64_t)rnd(2000), EV_INBOX);
        return;
    case EV_LOOK:
        check_rest_of_world();
        check_ops();
        after(1000, EV_LOOK);
        return;
    }
}

/* When something is to be done next. */
static int64_t next_time(void)
{
    int64_t at = w.events != NULL ? w.events->at : INT64_MAX;
    int64_t core = w.core != NULL ? core_next_deadline(w.core) : -1;
    if (core >= 0 && core < at)
        at = core;
    for (size_t i = 0; i < w.n_hosts; i++) {
        int64_t host = w.hosts[i].engine != NULL ? engine_deadline(w.hosts[i].engine) : -1;
        if (host >= 0 && host < at)
            at = host;
    }
    return at < w.now ? w.now : at;
}

void turn(void)
{
    w.now = next_time();
    if (w.core != NULL)
        set_time();
    if (w.events != NULL && w.events->at <= w.now) {
        struct event *e = w.events;
        DL_DELETE(w.events, e);
        carry_out(e);
        event_free(e);
    }
    for (size_t i = 0; i < w.n_hosts; i++) {
        struct engine *e = w.hosts[i].engine;
        int64_t at = e != NULL ? engine_deadline(e) : -1;
        if (at >= 0 && at <= w.now)
            engine_tick(e, w.now);
    }
    if (w.core == NULL)
        return;
    set_time();
    int64_t at = core_next_deadline(w.core);
    if (at >= 0 && at <= w.now)
        core_tick(w.core);
    core_flush(w.core);
}
