/* jq programs for the engine. See evals.h. */
#include "evals.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "arena.h"
#include "jq_context.h"
#include "jq_eval.h"
#include "json.h"
#include "mem.h"
#include "value.h"
#include "workers.h"

#define THREADS 4
#define MEMORY_BYTES (256u * 1024 * 1024) /* of the data, decoded */

struct eval {
    struct eval *prev, *next;
    uint64_t id;
    atomic_bool cancelled;
    struct eval_request request; /* what it points to is its own */
    char **outputs;              /* of n programs */
    size_t n;
    struct fm_err err;
};

struct evals {
    const struct outside_events *events;
    struct workers *workers;
    struct eval *list; /* all that are under way and not cancelled; on the loop's thread */
};

/* ---- one request ---- */

static struct fm_bytes copy_of(struct fm_bytes b)
{
    return b.n > 0 ? (struct fm_bytes){fm_xmemdup(b.p, b.n), b.n} : FM_NO_BYTES;
}

struct eval *eval_new(uint64_t id, const struct eval_request *request)
{
    struct eval *v = fm_xcalloc(1, sizeof(*v));
    const char **programs = fm_xcalloc(request->n + 1, sizeof(*programs));
    v->id = id;
    atomic_init(&v->cancelled, false);
    v->request = *request;
    for (size_t i = 0; i < request->n; i++)
        programs[i] = fm_xstrdup(request->programs[i]);
    v->request.programs = programs;
    v->request.data = copy_of(request->data);
    v->request.shared = copy_of(request->shared);
    v->request.state = copy_of(request->state);
    v->outputs = fm_xcalloc(request->n + 1, sizeof(*v->outputs));
    return v;
}

void eval_free(struct eval *v)
{
    for (size_t i = 0; i < v->request.n; i++)
        free((char *)(uintptr_t)v->request.programs[i]);
    for (size_t i = 0; i < v->n; i++)
        free(v->outputs[i]);
    free((void *)(uintptr_t)v->request.programs);
    free((void *)(uintptr_t)v->request.data.p);
    free((void *)(uintptr_t)v->request.shared.p);
    free((void *)(uintptr_t)v->request.state.p);
    free(v->outputs);
    fm_err_done(&v->err);
    free(v);
}

static int put_struct(struct eval *v, struct fm_bytes encoded, struct fm_buf *json)
{
    struct fm_arena arena;
    fm_arena_init(&arena, MEMORY_BYTES);
    const struct fm_value *data = value_decode_struct(encoded, &arena, &v->err);
    if (data != NULL)
        json_value_write(data, json);
    fm_arena_done(&arena);
    return data != NULL ? 0 : -1;
}

/* What the next program gets: the data, or the list of them and what stands beside them. Each is written
 * when the first program wants it. */
static int read_input(struct eval *v, struct fm_buf *data, struct fm_buf *whole, struct fm_bytes *ret)
{
    bool beside = jq_wants_context(v->request.programs[v->n]);
    struct fm_buf *json = beside ? whole : data;
    if (json->n == 0 && !beside && put_struct(v, v->request.data, json) < 0)
        return -1;
    if (json->n == 0 && beside) {
        const struct fm_bytes all[] = {v->request.data, v->request.shared, v->request.state};
        for (size_t i = 0; i < 3; i++) {
            fm_buf_append(json, i == 0 ? "[" : ",", 1);
            if (put_struct(v, all[i], json) < 0)
                return -1;
        }
        fm_buf_append(json, "]", 1);
    }
    *ret = fm_buf_bytes(json);
    return 0;
}

/* Runs the next program. Returns 0 when it has ended; what it took is taken off what is left. */
static int run_next(struct eval *v, struct fm_bytes json, uint32_t *left_us)
{
    const struct eval_request *r = &v->request;
    uint32_t left_ms = *left_us / 1000;
    if (left_ms == 0)
        return fm_err_set(&v->err, FM_DEADLINE_EXCEEDED, NULL,
                          "the %zu before it have taken all of their %u ms of processor time", v->n,
                          r->all_cpu_ms);
    const struct jq_limits limits = {.max_outputs = r->max_outputs,
                                     .max_bytes = r->max_bytes,
                                     .cpu_ms = left_ms < r->cpu_ms ? left_ms : r->cpu_ms};
    fm_auto(jq_outputs) out = {0};
    int rc = jq_eval(r->programs[v->n], json, &limits, &out, &v->err);
    *left_us = out.cpu_us < *left_us ? *left_us - out.cpu_us : 0;
    if (rc < 0)
        return rc;
    v->outputs[v->n++] = out.n > 0 ? fm_xstrdup((const char *)out.text.p) : NULL;
    return 0;
}

static bool is_last(const struct eval *v)
{
    const char *output = v->n > 0 ? v->outputs[v->n - 1] : NULL;
    return v->n == v->request.n || (v->request.until_true && output != NULL && strcmp(output, "null") != 0 &&
                                    strcmp(output, "false") != 0);
}

void eval_run(struct eval *v)
{
    fm_auto(fm_buf) data = {0}, whole = {0};
    struct fm_bytes json;
    uint32_t left_us = v->request.all_cpu_ms * 1000;
    while (!is_last(v) && !atomic_load(&v->cancelled))
        if (read_input(v, &data, &whole, &json) < 0 || run_next(v, json, &left_us) < 0)
            return;
}

struct eval_result eval_result(const struct eval *v)
{
    return (struct eval_result){
        .outputs = (const char *const *)v->outputs, .n = v->n, .code = v->err.code, .error = v->err.msg};
}

/* ---- all of them ---- */

static void run_work(void *work)
{
    eval_run(work);
}

static void free_work(void *work)
{
    eval_free(work);
}

static void on_done(void *arg, uint64_t id, void *work)
{
    struct evals *e = arg;
    struct eval *v = work;
    if (!atomic_load(&v->cancelled)) {
        const struct eval_result result = eval_result(v);
        DL_DELETE(e->list, v);
        e->events->done(e->events->arg, id, &result);
    }
    eval_free(v);
}

struct evals *evals_new(uv_loop_t *loop, const struct outside_events *events)
{
    static const struct work_kind kind = {run_work, on_done, free_work};
    struct evals *e = fm_xcalloc(1, sizeof(*e));
    e->events = events;
    e->workers = workers_new(loop, THREADS, &kind, e);
    return e;
}

void evals_start(struct evals *e, uint64_t id, const struct eval_request *request)
{
    struct eval *v = eval_new(id, request);
    DL_APPEND(e->list, v);
    workers_run(e->workers, id, v);
}

void evals_cancel(struct evals *e, uint64_t id)
{
    struct eval *v;
    DL_SEARCH_SCALAR(e->list, v, id, id);
    if (v == NULL)
        return;
    DL_DELETE(e->list, v);
    atomic_store(&v->cancelled, true);
}

void evals_stop(struct evals *e)
{
    workers_stop(e->workers);
}

void evals_free(struct evals *e)
{
    workers_free(e->workers);
    free(e);
}
