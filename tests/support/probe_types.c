/* Routine types of the tests' own host daemon, through the public API: "probe"; declared as having effects,
 * "probe_fx"; declared as blocking, "probe_block". Their configuration is a small script, by slot ("*": any):
 *   {"do": {"in": [{"count": "n"}, {"emit": "out"}], "*": […]}}
 * An action is a map whose keys say what to do, see run(). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fermata/routine.h>

#include "builtin.h"
#include "registry.h"

int registry_add_builtin_and_probes(struct registry *r, struct fm_err *err);

#define LOOK_MS 40

struct script {
    const struct fm_value *actions;
    size_t next;
    uint64_t look_ms; /* at a gate: after how long it looks again */
};

static int go_on(struct fm_ctx *ctx, void *arg);

static void add_one(struct fm_ctx *ctx, const char *key, bool shared)
{
    const struct fm_value *old = shared ? fm_ctx_shared_get(ctx, key) : fm_ctx_state_get(ctx, key);
    const struct fm_value *sum = fm_number(ctx, fm_value_number(old, 0) + 1);
    if (shared)
        fm_ctx_shared_set(ctx, key, sum);
    else
        fm_ctx_state_set(ctx, key, sum);
}

static void emit(struct fm_ctx *ctx, const struct fm_value *a, const char *event)
{
    const struct fm_value *data = fm_value_get(a, "data");
    double times = fm_value_number(fm_value_get(a, "times"), 1);
    for (double i = 0; i < times; i++) {
        struct fm_value *m = fm_map_copy(ctx, data != NULL ? data : fm_ctx_data(ctx));
        if (times > 1)
            fm_map_set(ctx, m, "i", fm_number(ctx, i));
        fm_ctx_emit(ctx, event, m);
    }
}

static int fail(struct fm_ctx *ctx, const struct fm_value *a, const char *name)
{
    enum fm_failure code = strcmp(name, "UNAVAILABLE") == 0        ? FM_FAIL_UNAVAILABLE
                           : strcmp(name, "INVALID_ARGUMENT") == 0 ? FM_FAIL_INVALID_ARGUMENT
                                                                   : FM_FAIL_INTERNAL;
    double attempts = fm_value_number(fm_value_get(a, "attempts"), 1e9);
    if (fm_ctx_attempt(ctx) > attempts)
        return 0;
    (void)fm_ctx_fail(ctx, code, "attempt %u fails", fm_ctx_attempt(ctx));
    if (fm_value_bool(fm_value_get(a, "permanent"), false))
        fm_ctx_fail_permanent(ctx);
    return -1;
}

static void ask(struct fm_ctx *ctx, const struct fm_value *a, const char *question)
{
    struct fm_question q = {.question = question,
                            .slot = fm_value_string(fm_value_get(a, "slot"), "answer"),
                            .data = fm_value_get(a, "data"),
                            .choices = fm_value_get(a, "choices"),
                            .answer_schema = fm_value_get(a, "schema"),
                            .timeout_ms = (uint64_t)fm_value_number(fm_value_get(a, "timeout_ms"), 0),
                            .default_answer = fm_value_get(a, "default")};
    (void)fm_ctx_ask(ctx, &q);
}

static void start_job(struct fm_ctx *ctx, const struct fm_value *a)
{
    struct fm_child child = {.flow = fm_value_string(fm_value_get(a, "job"), ""),
                             .routine = fm_value_string(fm_value_get(a, "routine"), ""),
                             .slot = fm_value_string(fm_value_get(a, "slot"), "in"),
                             .data = fm_value_get(a, "data"),
                             .shared_data = fm_value_get(a, "shared_data"),
                             .result_slot = fm_value_string(fm_value_get(a, "result_slot"), "result")};
    fm_ctx_start_job(ctx, &child);
}

/* What happens outside: a line in a file. */
static int touch(struct fm_ctx *ctx, const char *path)
{
    FILE *f = fopen(path, "a");
    if (f == NULL)
        return fm_ctx_fail(ctx, FM_FAIL_INTERNAL, "%s cannot be written", path);
    fprintf(f, "%s %u %u\n", fm_ctx_idempotency_key(ctx), fm_ctx_epoch(ctx), fm_ctx_attempt(ctx));
    if (fclose(f) != 0)
        return fm_ctx_fail(ctx, FM_FAIL_INTERNAL, "%s cannot be written", path);
    return 0;
}

static int on_piece(struct fm_ctx *ctx, void *arg, const char *bytes, size_t n)
{
    char *text = fm_ctx_alloc(ctx, n + 1);
    (void)arg;
    memcpy(text, bytes, n);
    fm_ctx_shared_append(ctx, "pieces", fm_string(ctx, text));
    return 0;
}

static int on_fetched(struct fm_ctx *ctx, void *arg, const struct fm_http_response *r)
{
    fm_ctx_shared_set(ctx, "whole", fm_string(ctx, r->body));
    return go_on(ctx, arg);
}

/* Posts a text with a header, and keeps what comes back, piece by piece and whole. */
static void fetch(struct fm_ctx *ctx, const struct fm_value *a, const char *url, struct script *s)
{
    const char *body = fm_value_string(fm_value_get(a, "body"), ""),
               *header = fm_value_string(fm_value_get(a, "header"), "");
    const struct fm_http_request r = {
        .url = url, .headers = &header, .n_headers = 1, .body = body, .body_bytes = strlen(body)};
    fm_ctx_http(ctx, &r, on_piece, on_fetched, s);
}

/* The whole daemon, in the middle of the handler. */
static void die(const char *how)
{
    if (strcmp(how, "abort") == 0)
        abort();
    (void)raise(SIGKILL);
}

static int run(struct fm_ctx *ctx, struct script *s)
{
    for (; s->next < fm_value_size(s->actions); s->next++) {
        const struct fm_value *a = fm_value_at(s->actions, s->next);
        const char *text;
        if ((text = fm_value_string(fm_value_get(a, "emit"), NULL)) != NULL) {
            emit(ctx, a, text);
        } else if ((text = fm_value_string(fm_value_get(a, "defer"), NULL)) != NULL) {
            fm_ctx_defer(ctx, text, fm_ctx_data(ctx));
        } else if ((text = fm_value_string(fm_value_get(a, "count"), NULL)) != NULL) {
            add_one(ctx, text, false);
        } else if ((text = fm_value_string(fm_value_get(a, "count_shared"), NULL)) != NULL) {
            add_one(ctx, text, true);
        } else if ((text = fm_value_string(fm_value_get(a, "append"), NULL)) != NULL) {
            fm_ctx_shared_append(ctx, text, fm_ctx_data(ctx));
        } else if ((text = fm_value_string(fm_value_get(a, "log"), NULL)) != NULL) {
            fm_ctx_log(ctx, text, NULL);
        } else if ((text = fm_value_string(fm_value_get(a, "fail"), NULL)) != NULL) {
            if (fail(ctx, a, text) < 0)
                return -1;
        } else if ((text = fm_value_string(fm_value_get(a, "touch"), NULL)) != NULL) {
            if (touch(ctx, text) < 0)
                return -1;
        } else if ((text = fm_value_string(fm_value_get(a, "ask"), NULL)) != NULL) {
            ask(ctx, a, text);
        } else if ((text = fm_value_string(fm_value_get(a, "job"), NULL)) != NULL) {
            start_job(ctx, a);
        } else if ((text = fm_value_string(fm_value_get(a, "schedule"), NULL)) != NULL) {
            fm_ctx_schedule(ctx, text, fm_ctx_data(ctx), (uint64_t)fm_value_number(fm_value_get(a, "ms"), 0),
                            fm_value_string(fm_value_get(a, "key"), NULL));
        } else if ((text = fm_value_string(fm_value_get(a, "unschedule"), NULL)) != NULL) {
            fm_ctx_unschedule(ctx, text);
        } else if ((text = fm_value_string(fm_value_get(a, "block"), NULL)) != NULL) {
            while (access(text, F_OK) != 0) /* until the test opens this gate */
                (void)usleep(2000);
        } else if ((text = fm_value_string(fm_value_get(a, "die"), NULL)) != NULL) {
            die(text);
        } else if ((text = fm_value_string(fm_value_get(a, "fetch"), NULL)) != NULL) {
            s->next++;
            fetch(ctx, a, text, s);
            return 0;
        } else if (fm_value_get(a, "wait") != NULL) {
            s->next++;
            fm_ctx_call_after(ctx, (uint64_t)fm_value_number(fm_value_get(a, "wait"), 0), go_on, s);
            return 0;
        } else if ((text = fm_value_string(fm_value_get(a, "gate"), NULL)) != NULL) {
            if (access(text, F_OK) == 0)
                continue;                               /* the test has opened it */
            s->look_ms += s->look_ms < LOOK_MS ? 5 : 0; /* many may wait long */
            fm_ctx_call_after(ctx, s->look_ms, go_on, s);
            return 0;
        } else {
            return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "action %zu is unknown", s->next);
        }
    }
    return 0;
}

static int go_on(struct fm_ctx *ctx, void *arg)
{
    return run(ctx, arg);
}

static int on_task(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    const struct fm_value *all = fm_value_get(fm_ctx_config(ctx), "do");
    const struct fm_value *mine = NULL;
    for (size_t i = 0; i < fm_value_size(all); i++)
        if (strcmp(fm_value_key(all, i), fm_ctx_slot(ctx)) == 0 ||
            (mine == NULL && strcmp(fm_value_key(all, i), "*") == 0))
            mine = fm_value_at(all, i);
    struct script *s = fm_ctx_alloc(ctx, sizeof(*s));
    s->actions = mine;
    return run(ctx, s);
}

static const struct fm_slot slots[] = {
    {"*", on_task}
};
static const char *const events[] = {"*"};

static const struct fm_routine_type probe_type = {.abi = FM_ROUTINE_ABI,
                                                  .name = "probe",
                                                  .version = 1,
                                                  .slots = slots,
                                                  .n_slots = 1,
                                                  .events = events,
                                                  .n_events = 1};
static const struct fm_routine_type probe_fx_type = {.abi = FM_ROUTINE_ABI,
                                                     .name = "probe_fx",
                                                     .version = 1,
                                                     .flags = FM_EFFECTS,
                                                     .slots = slots,
                                                     .n_slots = 1,
                                                     .events = events,
                                                     .n_events = 1};

static const struct fm_routine_type probe_block_type = {.abi = FM_ROUTINE_ABI,
                                                        .name = "probe_block",
                                                        .version = 1,
                                                        .flags = FM_BLOCKING,
                                                        .slots = slots,
                                                        .n_slots = 1,
                                                        .events = events,
                                                        .n_events = 1};

/* Its data go on, copied by what the API has for each kind. */
static const struct fm_value *copy(struct fm_ctx *ctx, const struct fm_value *v)
{
    int64_t i;
    uint64_t u;
    struct fm_value *to;
    switch (fm_value_kind(v)) {
    case FM_NUMBER:
        return fm_value_int64(v, &i)    ? fm_int64(ctx, i)
               : fm_value_uint64(v, &u) ? fm_uint64(ctx, u)
                                        : fm_number(ctx, fm_value_number(v, 0));
    case FM_LIST:
        to = fm_list(ctx);
        for (size_t k = 0; k < fm_value_size(v); k++)
            fm_list_add(ctx, to, copy(ctx, fm_value_at(v, k)));
        return to;
    case FM_MAP:
        to = fm_map(ctx);
        for (size_t k = 0; k < fm_value_size(v); k++)
            fm_map_set(ctx, to, fm_value_key(v, k), copy(ctx, fm_value_at(v, k)));
        return to;
    case FM_STRING:
    case FM_BOOL:
    case FM_NULL:
        return v;
    }
    return v;
}

static int on_copy(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_emit(ctx, "output", copy(ctx, data));
    return 0;
}

static const struct fm_slot copy_slots[] = {
    {"*", on_copy}
};
static const struct fm_routine_type probe_copy_type = {.abi = FM_ROUTINE_ABI,
                                                       .name = "probe_copy",
                                                       .version = 1,
                                                       .slots = copy_slots,
                                                       .n_slots = 1,
                                                       .events = events,
                                                       .n_events = 1};

int registry_add_builtin_and_probes(struct registry *r, struct fm_err *err)
{
    int rc = registry_add_builtin(r, err);
    if (rc == 0)
        rc = registry_add(r, &probe_type, err);
    if (rc == 0)
        rc = registry_add(r, &probe_fx_type, err);
    if (rc == 0)
        rc = registry_add(r, &probe_block_type, err);
    if (rc == 0)
        rc = registry_add(r, &probe_copy_type, err);
    return rc;
}
