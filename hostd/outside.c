/* One place for all kinds of calls. See outside.h. */
#include "outside.h"

#include <stdlib.h>

#include "clock.h"
#include "http.h"
#include "mem.h"
#include "process.h"

struct outside {
    struct engine *engine;
    struct http *http;
    struct processes *processes;
    void (*after)(void *arg);
    void *arg;
};

struct outside *outside_new(uv_loop_t *loop, const struct outside_config *cfg, void (*after)(void *arg),
                            void *arg)
{
    struct outside *c = fm_xcalloc(1, sizeof(*c));
    c->after = after;
    c->arg = arg;
    c->http = http_new(loop, c, cfg->secrets, cfg->ca_file);
    c->processes = processes_new(loop, c);
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
    else
        process_start(c->processes, id, request);
}

void outside_cancel(struct outside *c, uint64_t id, enum engine_call_kind kind)
{
    if (kind == CALL_HTTP)
        http_cancel(c->http, id);
    else
        process_cancel(c->processes, id);
}

int outside_data(struct outside *c, uint64_t id, struct fm_bytes data)
{
    return engine_call_data(c->engine, id, data, fm_now_mono_ms());
}

void outside_done(struct outside *c, uint64_t id, const void *result)
{
    engine_call_done(c->engine, id, result, fm_now_mono_ms());
    c->after(c->arg);
}

void outside_stop(struct outside *c)
{
    http_stop(c->http);
    processes_stop(c->processes);
}

void outside_free(struct outside *c)
{
    http_free(c->http);
    processes_free(c->processes);
    free(c);
}
