/* The fake context. See fake_ctx.h. */
#include "fake_ctx.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "clock.h"
#include "evals.h"
#include "mem.h"
#include "own_types.h"
#include "question.h"
#include "value.h"

/* The built-in type with what the catalog says of it. */
static const struct fm_routine_type *fake_whole(const struct fm_routine_type *handlers)
{
    static struct registry *types;
    struct fm_err err = {0};
    if (types == NULL) {
        types = registry_new();
        if (registry_add_builtin(types, &err) < 0)
            fm_abort(err.msg);
    }
    return registry_find(types, handlers->name);
}

void fake_init(struct fm_ctx *ctx, const struct fm_routine_type *type)
{
    memset(ctx, 0, sizeof(*ctx));
    fm_arena_init(&ctx->arena, 16u << 20);
    fm_arena_init(&ctx->scratch, 16u << 20);
    ctx->type = fake_whole(type);
    ctx->state = value_map(&ctx->arena);
    ctx->shared = value_map(&ctx->arena);
    ctx->config = value_map(&ctx->arena);
}

void fake_done(struct fm_ctx *ctx)
{
    fm_arena_done(&ctx->arena);
    fm_arena_done(&ctx->scratch);
}

int fake_step(struct fm_ctx *ctx, const char *slot, const char *pause_id, const struct fm_value *data)
{
    fm_handler handler = registry_handler(ctx->type, slot);
    if (handler == NULL)
        return -1;
    ctx->emitted.n = ctx->deferred.n = ctx->enqueued.n = ctx->logged.n = ctx->shown.n = ctx->n_pauses = 0;
    ctx->n_children = 0;
    ctx->on_response = NULL;
    ctx->fail_code = 0;
    ctx->permanent = false;
    ctx->retry_after_ms = 0;
    ctx->step++;
    ctx->data = data;
    snprintf(ctx->slot, sizeof(ctx->slot), "%s", slot);
    snprintf(ctx->pause_id, sizeof(ctx->pause_id), "%.15s", pause_id);
    int rc = handler(ctx, data);
    while (rc == 0 && ctx->later != NULL) {
        fm_callback later = ctx->later;
        ctx->later = NULL;
        rc = later(ctx, ctx->later_arg);
    }
    return rc == 0 && ctx->fail_code != 0 ? -1 : rc;
}

int fake_piece(struct fm_ctx *ctx, const char *text)
{
    if (ctx->on_chunk == NULL)
        fm_abort("the step does not read its response in pieces");
    int rc = ctx->on_chunk(ctx, ctx->on_response_arg, text, strlen(text));
    return rc < 0 ? rc : 0;
}

int fake_respond(struct fm_ctx *ctx, const struct fm_http_response *r)
{
    fm_http_callback done = ctx->on_response;
    if (done == NULL)
        fm_abort("the step has sent no request");
    ctx->on_response = NULL;
    return done(ctx, ctx->on_response_arg, r);
}

const struct fm_value *fake_due(struct fm_ctx *ctx, size_t i)
{
    if (i >= ctx->n_timers)
        fm_abort("there is no such timer");
    const struct fm_value *data = ctx->timers[i].data;
    memmove(&ctx->timers[i], &ctx->timers[i + 1], (ctx->n_timers - i - 1) * sizeof(ctx->timers[0]));
    ctx->n_timers--;
    return data;
}

struct fm_value *fake_data(struct fm_ctx *ctx, const char *key, const char *text)
{
    struct fm_value *map = fm_map(ctx);
    fm_map_set(ctx, map, key, fm_string(ctx, text));
    return map;
}

const char *fake_text(const struct fm_value *v, const char *path)
{
    return fm_value_string(fm_value_get(v, path), "(none)");
}

static void fake_add(struct fake_list *list, const char *name, const struct fm_value *data)
{
    if (list->n == 16)
        fm_abort("the test's list is full");
    snprintf(list->items[list->n].name, sizeof(list->items[0].name), "%s", name);
    list->items[list->n++].data = data;
}

/* ---- the routine API ---- */

static struct fm_value *fake_made(struct fm_value *v)
{
    if (v == NULL)
        fm_abort("the test's arena is full");
    return v;
}

struct fm_value *fm_null(struct fm_ctx *ctx)
{
    return fake_made(value_null(&ctx->arena));
}

struct fm_value *fm_bool(struct fm_ctx *ctx, bool b)
{
    return fake_made(value_bool(&ctx->arena, b));
}

struct fm_value *fm_number(struct fm_ctx *ctx, double n)
{
    return fake_made(value_number(&ctx->arena, n));
}

struct fm_value *fm_int64(struct fm_ctx *ctx, int64_t n)
{
    return fake_made(value_number_of(&ctx->arena, number_of_int64(n)));
}

struct fm_value *fm_uint64(struct fm_ctx *ctx, uint64_t n)
{
    return fake_made(value_number_of(&ctx->arena, number_of_uint64(n)));
}

struct fm_value *fm_string(struct fm_ctx *ctx, const char *text)
{
    return fake_made(value_string(&ctx->arena, text, strlen(text)));
}

struct fm_value *fm_list(struct fm_ctx *ctx)
{
    return fake_made(value_list(&ctx->arena));
}

struct fm_value *fm_map(struct fm_ctx *ctx)
{
    return fake_made(value_map(&ctx->arena));
}

struct fm_value *fm_map_copy(struct fm_ctx *ctx, const struct fm_value *map)
{
    return fake_made(value_map_copy(&ctx->arena, map));
}

void fm_list_add(struct fm_ctx *ctx, struct fm_value *list, const struct fm_value *v)
{
    if (value_list_add(&ctx->arena, list, v) < 0)
        fm_abort("no list, or the test's arena is full");
}

void fm_map_set(struct fm_ctx *ctx, struct fm_value *map, const char *key, const struct fm_value *v)
{
    if (value_map_set(&ctx->arena, map, key, v) < 0)
        fm_abort("no map, or the test's arena is full");
}

int64_t fm_ctx_now_ms(const struct fm_ctx *ctx)
{
    (void)ctx;
    return fm_now_wall_ms();
}

const char *fm_ctx_job_id(const struct fm_ctx *ctx)
{
    (void)ctx;
    return "job";
}

const char *fm_ctx_routine_id(const struct fm_ctx *ctx)
{
    (void)ctx;
    return "me";
}

const char *fm_ctx_task_id(const struct fm_ctx *ctx)
{
    (void)ctx;
    return "i1";
}

const char *fm_ctx_slot(const struct fm_ctx *ctx)
{
    return ctx->slot;
}

const char *fm_ctx_idempotency_key(struct fm_ctx *ctx)
{
    (void)ctx;
    return "job/i1";
}

uint32_t fm_ctx_epoch(const struct fm_ctx *ctx)
{
    (void)ctx;
    return 1;
}

uint32_t fm_ctx_attempt(const struct fm_ctx *ctx)
{
    (void)ctx;
    return 1;
}

uint32_t fm_ctx_step(const struct fm_ctx *ctx)
{
    return ctx->step;
}

const char *fm_ctx_pause_id(const struct fm_ctx *ctx)
{
    return ctx->pause_id;
}

const struct fm_value *fm_ctx_config(struct fm_ctx *ctx)
{
    return ctx->config;
}

const struct fm_value *fm_ctx_data(struct fm_ctx *ctx)
{
    return ctx->data;
}

/* A key may have any characters: it is no path. */
static const struct fm_value *fake_get(const struct fm_value *map, const char *key)
{
    for (size_t i = 0; i < fm_value_size(map); i++)
        if (strcmp(fm_value_key(map, i), key) == 0)
            return fm_value_at(map, i);
    return NULL;
}

static void fake_append(struct fm_ctx *ctx, struct fm_value *map, const char *key, const struct fm_value *v)
{
    const struct fm_value *old = fake_get(map, key);
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(old); i++)
        fm_list_add(ctx, list, fm_value_at(old, i));
    fm_list_add(ctx, list, v);
    fm_map_set(ctx, map, key, list);
}

static struct fm_value *fake_without(struct fm_ctx *ctx, const struct fm_value *map, const char *key)
{
    struct fm_value *rest = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(map); i++)
        if (strcmp(fm_value_key(map, i), key) != 0)
            fm_map_set(ctx, rest, fm_value_key(map, i), fm_value_at(map, i));
    return rest;
}

const struct fm_value *fm_ctx_state_all(struct fm_ctx *ctx)
{
    return ctx->state;
}

const struct fm_value *fm_ctx_shared_all(struct fm_ctx *ctx)
{
    return ctx->shared;
}

const struct fm_value *fm_ctx_state_get(struct fm_ctx *ctx, const char *key)
{
    return fake_get(ctx->state, key);
}

void fm_ctx_state_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    fm_map_set(ctx, ctx->state, key, v);
}

void ctx_keep_state(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    fm_map_set(ctx, ctx->state, key, v);
}

bool ctx_may_be_dropped(const struct fm_ctx *ctx)
{
    return ctx->may_be_dropped;
}

void fm_ctx_state_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    fake_append(ctx, ctx->state, key, v);
}

void fm_ctx_state_remove(struct fm_ctx *ctx, const char *key)
{
    ctx->state = fake_without(ctx, ctx->state, key);
}

const struct fm_value *fm_ctx_shared_get(struct fm_ctx *ctx, const char *key)
{
    return fake_get(ctx->shared, key);
}

void fm_ctx_shared_set(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    fm_map_set(ctx, ctx->shared, key, v);
}

void fm_ctx_shared_append(struct fm_ctx *ctx, const char *key, const struct fm_value *v)
{
    fake_append(ctx, ctx->shared, key, v);
}

void fm_ctx_shared_remove(struct fm_ctx *ctx, const char *key)
{
    ctx->shared = fake_without(ctx, ctx->shared, key);
}

void fm_ctx_log(struct fm_ctx *ctx, const char *message, const struct fm_value *data)
{
    fake_add(&ctx->logged, message, data);
}

void fm_ctx_progress(struct fm_ctx *ctx, const char *text)
{
    fake_add(&ctx->shown, text, NULL);
}

void fm_ctx_emit(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    if (!registry_has_event(ctx->type, event))
        fm_abort("an event that the type does not have");
    fake_add(&ctx->emitted, event, data);
}

void fm_ctx_defer(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    if (!registry_has_event(ctx->type, event))
        fm_abort("an event that the type does not have");
    fake_add(&ctx->deferred, event, data);
}

void fm_ctx_enqueue(struct fm_ctx *ctx, const char *slot, const struct fm_value *data)
{
    if (registry_handler(ctx->type, slot) == NULL)
        fm_abort("a slot that the type does not have");
    fake_add(&ctx->enqueued, slot, data);
}

const char *fm_ctx_pause(struct fm_ctx *ctx, const char *question, const char *slot,
                         const struct fm_value *data, const struct fm_value *choices)
{
    if (ctx->n_pauses == 4 || registry_handler(ctx->type, slot) == NULL)
        fm_abort("too many pauses, or a slot that the type does not have");
    struct fake_pause *p = &ctx->pauses[ctx->n_pauses++];
    snprintf(p->id, sizeof(p->id), "p%u-%zu", ctx->step, ctx->n_pauses);
    snprintf(p->question, sizeof(p->question), "%s", question);
    snprintf(p->slot, sizeof(p->slot), "%s", slot);
    p->data = data;
    p->choices = choices;
    p->schema = NULL;
    return p->id;
}

const char *fm_ctx_ask(struct fm_ctx *ctx, const struct fm_question *q)
{
    const char *id = fm_ctx_pause(ctx, q->question, q->slot, q->data, q->choices);
    ctx->pauses[ctx->n_pauses - 1].schema = q->answer_schema;
    ctx->pauses[ctx->n_pauses - 1].default_answer = q->default_answer;
    ctx->pauses[ctx->n_pauses - 1].timeout_ms = q->timeout_ms;
    ctx->pauses[ctx->n_pauses - 1].asked = *q;
    return id;
}

void ctx_fail_reason(struct fm_ctx *ctx, const char *reason)
{
    ctx->reason = reason;
}

const char *ctx_ask(struct fm_ctx *ctx, const struct fm_question *q, enum ask_for what)
{
    size_t n = ctx->n_pauses;
    const char *id = fm_ctx_ask(ctx, q);
    if (ctx->n_pauses > n)
        ctx->pauses[n].what = (int)what;
    return id;
}

bool ctx_is_taken(struct fm_ctx *ctx, const char *event, const struct fm_value *data)
{
    (void)event;
    const char *name = fm_value_string(fm_value_get(data, "name"), "");
    return ctx->untaken == NULL || strcmp(ctx->untaken, name) != 0;
}

static void on_question_fault(void *arg, const struct json_schema_fault *f)
{
    (void)fm_ctx_fail(arg, FM_FAIL_INVALID_ARGUMENT, "the question's %s %.300s", f->path, f->message);
}

bool ctx_read_question(struct fm_ctx *ctx, const struct fm_value *settings, struct fm_question *q)
{
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK};
    question_rules("", settings, QUESTION_KINDS_UNKNOWN, &work, on_question_fault, ctx);
    if (ctx->fail_code != 0)
        return false;
    q->timeout_ms = (uint64_t)fm_value_number(fm_value_get(settings, "timeout_ms"), 0);
    q->default_answer = fm_value_get(settings, "default_answer");
    q->choices = fm_value_get(settings, "choices");
    q->answer_schema = fm_value_get(settings, "answer_schema");
    q->on_timeout =
        (uint32_t)question_on_timeout(fm_value_string(fm_value_get(settings, "on_timeout"), NULL));
    q->assignee = fm_value_string(fm_value_get(settings, "assignee"), NULL);
    q->key = fm_value_string(fm_value_get(settings, "key"), NULL);
    return true;
}

void ctx_end_race(struct fm_ctx *ctx, const struct own_race *r)
{
    (void)snprintf(ctx->race, sizeof(ctx->race), "%s|%s|%s", r->winner, r->key, r->reason);
}

const char *ctx_key_text(struct fm_ctx *ctx, const struct fm_value *v)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%.0f", fm_value_number(v, 0));
    return fm_value_kind(v) == FM_NUMBER ? fm_value_string(fm_string(ctx, text), "") : fm_value_string(v, "");
}

bool fm_ctx_is_open(const struct fm_ctx *ctx, const char *name)
{
    return strcmp(ctx->open, name) == 0;
}

int fm_ctx_withdraw(struct fm_ctx *ctx, const char *name, const char *reason)
{
    (void)reason;
    return fm_ctx_is_open(ctx, name) ? 0
                                     : fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "%s is not open", name);
}

enum fm_on_timeout fm_ctx_timed_out(const struct fm_ctx *ctx)
{
    return ctx->timed_out;
}

const char *fm_ctx_call_id(struct fm_ctx *ctx)
{
    return ctx->call_id != NULL ? ctx->call_id : "";
}

void ctx_spawn(struct fm_ctx *ctx, const struct process_request *p, fm_line_callback on_line,
               fm_process_callback done, void *arg)
{
    (void)ctx;
    (void)p;
    (void)on_line;
    (void)done;
    (void)arg;
    fm_abort("child processes are tested with real daemons");
}

void fm_ctx_spawn(struct fm_ctx *ctx, const struct fm_process *p, fm_line_callback on_line,
                  fm_process_callback done, void *arg)
{
    const struct process_request request = {.process = p};
    ctx_spawn(ctx, &request, on_line, done, arg);
}

/* At once, where the engine has it done elsewhere. */
void ctx_eval(struct fm_ctx *ctx, const struct eval_request *request,
              int (*done)(struct fm_ctx *ctx, void *arg, const struct eval_result *r), void *arg)
{
    struct eval_request whole = *request;
    fm_auto(fm_buf) data = {0};
    struct fm_err err = {0};
    if (value_encode_struct(ctx->data, &data, &err) < 0)
        fm_abort(err.msg);
    fm_auto(fm_buf) shared = {0}, state = {0};
    if (value_encode_struct(ctx->shared, &shared, &err) < 0 ||
        value_encode_struct(ctx->state, &state, &err) < 0)
        fm_abort(err.msg);
    whole.data = fm_buf_bytes(&data);
    whole.shared = fm_buf_bytes(&shared);
    whole.state = fm_buf_bytes(&state);
    struct eval *v = eval_new(1, &whole);
    eval_run(v);
    const struct eval_result r = eval_result(v);
    if (done(ctx, arg, &r) < 0 && ctx->fail_code == 0)
        fm_abort("a callback has failed without a reason");
    eval_free(v);
}

int ctx_on_worker(struct fm_ctx *ctx, fm_handler handler)
{
    ctx->moved++;
    return handler(ctx, ctx->data);
}

void ctx_serve(struct fm_ctx *ctx, const struct served_task *t, fm_line_callback on_line,
               fm_process_callback done, void *arg)
{
    (void)ctx;
    (void)t;
    (void)on_line;
    (void)done;
    (void)arg;
    fm_abort("child processes are tested with real daemons");
}

void fm_ctx_unschedule(struct fm_ctx *ctx, const char *key)
{
    for (size_t i = ctx->n_timers; i-- > 0;)
        if (strcmp(ctx->timers[i].key, key) == 0)
            (void)fake_due(ctx, i);
}

void fm_ctx_schedule(struct fm_ctx *ctx, const char *slot, const struct fm_value *data, uint64_t ms,
                     const char *key)
{
    if (key != NULL)
        fm_ctx_unschedule(ctx, key);
    if (ctx->n_timers == 8 || registry_handler(ctx->type, slot) == NULL)
        fm_abort("too many timers, or a slot that the type does not have");
    struct fake_timer *t = &ctx->timers[ctx->n_timers++];
    snprintf(t->slot, sizeof(t->slot), "%s", slot);
    snprintf(t->key, sizeof(t->key), "%s", key == NULL ? "" : key);
    t->data = data;
    t->ms = ms;
}

void fm_ctx_continue(struct fm_ctx *ctx, const struct fm_continue *how)
{
    ctx->how = *how;
    ctx->n_continues++;
}

void fm_ctx_start_job(struct fm_ctx *ctx, const struct fm_child *child)
{
    if (registry_handler(ctx->type, child->result_slot) == NULL)
        fm_abort("a slot that the type does not have");
    ctx->child = *child;
    ctx->n_children++;
}

void fm_ctx_fail_permanent(struct fm_ctx *ctx)
{
    ctx->permanent = true;
}

void fm_ctx_retry_after(struct fm_ctx *ctx, uint64_t ms)
{
    ctx->retry_after_ms = ms;
}

int fm_ctx_fail(struct fm_ctx *ctx, enum fm_failure code, const char *fmt, ...)
{
    va_list ap;
    ctx->fail_code = (int)code;
    va_start(ap, fmt);
    (void)vsnprintf(ctx->failure, sizeof(ctx->failure), fmt, ap);
    va_end(ap);
    return -1;
}

void fm_ctx_usage(struct fm_ctx *ctx, uint64_t input_tokens, uint64_t output_tokens, uint64_t cached_tokens,
                  double cost)
{
    (void)cost;
    ctx->cached_tokens += cached_tokens;
    ctx->input_tokens += input_tokens;
    ctx->output_tokens += output_tokens;
    ctx->calls++;
}

void fm_ctx_call_after(struct fm_ctx *ctx, uint64_t ms, fm_callback cb, void *arg)
{
    ctx->delay_ms = ms;
    ctx->later = cb;
    ctx->later_arg = arg;
}

struct fm_arena *ctx_arena(struct fm_ctx *ctx)
{
    return &ctx->arena;
}

struct fm_arena *ctx_scratch(struct fm_ctx *ctx)
{
    fm_arena_reset(&ctx->scratch);
    return &ctx->scratch;
}

void fm_ctx_http(struct fm_ctx *ctx, const struct fm_http_request *request, fm_chunk_callback on_chunk,
                 fm_http_callback done, void *arg)
{
    const struct http_request whole = {.request = request};
    ctx_http(ctx, &whole, on_chunk, done, arg);
}

void ctx_http(struct fm_ctx *ctx, const struct http_request *whole, fm_chunk_callback on_chunk,
              fm_http_callback done, void *arg)
{
    const struct fm_http_request *request = whole->request;
    ctx->idle_timeout_ms = whole->idle_timeout_ms;
    ctx->request = *request;
    if (request->body != NULL)
        ctx->request.body = fm_arena_strndup(&ctx->arena, request->body, request->body_bytes);
    ctx->on_chunk = on_chunk;
    ctx->on_response = done;
    ctx->on_response_arg = arg;
}

void *fm_ctx_alloc(struct fm_ctx *ctx, size_t n)
{
    void *p = fm_arena_zalloc(&ctx->arena, 1, n);
    if (p == NULL)
        fm_abort("the test's arena is full");
    return p;
}
