/* One place for all kinds of calls. See outside.h. */
#include "outside.h"

#include <stdlib.h>

#include <utlist.h>

#include "clock.h"
#include "evals.h"
#include "http.h"
#include "mem.h"
#include "outside_events.h"
#include "process.h"
#include "serve.h"

struct outside {
    struct engine *engine;
    struct outside_events events;
    struct http *http;
    struct processes *processes;
    struct servers *servers;
    struct evals *evals;
    struct run *runs;
    void (*after)(void *arg);
    void *arg;
};

/* A process for one call. */
struct run {
    struct run *prev, *next;
    struct outside *owner;
    struct process *process;
    uint64_t id;
};

/* ---- what comes of a call ---- */

static int on_data(void *arg, uint64_t id, struct fm_bytes data)
{
    struct outside *c = arg;
    return engine_call_data(c->engine, id, data, fm_now_mono_ms());
}

static void on_done(void *arg, uint64_t id, const void *result)
{
    struct outside *c = arg;
    engine_call_done(c->engine, id, result, fm_now_mono_ms());
    c->after(c->arg);
}

/* ---- processes for one call ---- */

static bool on_line(void *arg, const char *line, size_t n)
{
    struct run *r = arg;
    return on_data(r->owner, r->id, (struct fm_bytes){(const uint8_t *)line, n}) == 0;
}

static void on_end(void *arg, const struct fm_process_result *result)
{
    struct run *r = arg;
    struct outside *c = r->owner;
    uint64_t id = r->id;
    DL_DELETE(c->runs, r);
    free(r);
    on_done(c, id, result);
}

static void run_start(struct outside *c, uint64_t id, const struct process_request *request)
{
    static const struct process_events events = {on_line, NULL, on_end, false};
    const struct fm_process *p = request->process;
    struct run *r = fm_xcalloc(1, sizeof(*r));
    r->owner = c;
    r->id = id;
    DL_APPEND(c->runs, r);
    r->process = process_open(c->processes, p, &events, r);
    process_kill_after(r->process, request->kill_after_ms);
    process_task(r->process, request->job, p->timeout_ms);
    process_write(r->process, p->input, p->input_bytes);
    process_close_input(r->process);
}

static void run_cancel(struct outside *c, uint64_t id)
{
    struct run *r;
    DL_SEARCH_SCALAR(c->runs, r, id, id);
    if (r == NULL)
        return;
    process_drop(r->process);
    DL_DELETE(c->runs, r);
    free(r);
}

/* ---- all kinds ---- */

struct outside *outside_new(uv_loop_t *loop, const struct outside_config *cfg, void (*after)(void *arg),
                            void *arg)
{
    struct outside *c = fm_xcalloc(1, sizeof(*c));
    c->after = after;
    c->arg = arg;
    c->events = (struct outside_events){c, on_data, on_done};
    c->http = http_new(loop, &c->events, cfg->secrets, cfg->ca_file);
    c->processes = processes_new(loop);
    c->servers = servers_new(c->processes, &c->events);
    c->evals = evals_new(loop, &c->events);
    return c;
}

void outside_set_engine(struct outside *c, struct engine *e)
{
    c->engine = e;
}

void outside_start(struct outside *c, uint64_t id, enum engine_call_kind kind, const void *request)
{
    if (kind == CALL_HTTP)
        http_start(c->http, id, request);
    else if (kind == CALL_SERVED)
        serve_start(c->servers, id, request);
    else if (kind == CALL_EVAL)
        evals_start(c->evals, id, request);
    else
        run_start(c, id, request);
}

void outside_cancel(struct outside *c, uint64_t id, enum engine_call_kind kind)
{
    if (kind == CALL_HTTP)
        http_cancel(c->http, id);
    else if (kind == CALL_SERVED)
        serve_cancel(c->servers, id);
    else if (kind == CALL_EVAL)
        evals_cancel(c->evals, id);
    else
        run_cancel(c, id);
}

void outside_stop(struct outside *c)
{
    http_stop(c->http);
    processes_stop(c->processes);
    evals_stop(c->evals);
}

void outside_free(struct outside *c)
{
    struct run *r, *next;
    DL_FOREACH_SAFE (c->runs, r, next)
        free(r);
    http_free(c->http);
    servers_free(c->servers);
    processes_free(c->processes);
    evals_free(c->evals);
    free(c);
}
