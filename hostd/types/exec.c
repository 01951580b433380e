/* Routine type "exec" (common/catalog/types/exec.json): any program in any language handles the
 * task.
 *
 * The program gets one JSON object on stdin:
 *   {"task": {"id", "slot", "data"}, "config", "state", "shared_data", "job_id", "routine", "attempt",
 * "step", "idempotency_key", "epoch", "pause_id", "call_id"} and says what to do in JSON objects on
 * stdout, one a line:
 *   {"emit": EVENT, "data": {…}}                     {"defer": EVENT, "data": {…}}
 *   {"enqueue": SLOT, "data": {…}}                   {"schedule": SLOT, "ms": N, "data": {…}, "key": KEY}
 *   {"unschedule": KEY}                              {"pause": QUESTION, "slot": SLOT, "data", "choices",
 * "answer_schema", "timeout_ms", "default_answer"}
 *   {"set": KEY, "value": …, "shared": true}         {"append": KEY, "value": …, "shared": true}
 *   {"remove": KEY, "shared": true}                  {"log": MESSAGE, "data": {…}}
 *   {"progress": TEXT} (shown to those who watch, while it runs)
 *   {"fail": MESSAGE, "code": CODE, "retryable": B}  {"done": true} (optional; nothing may follow)
 * Exit code 0: the step stands. 75 (EX_TEMPFAIL), or one of retryable_exit_codes: it fails with
 * UNAVAILABLE and is tried again as the retry policy says. Any other code, or a signal: it fails
 * for good. A line that is none of these fails the step for good. Lines of stderr go to hostd's
 * log.
 *
 * Mode serve (serve.h): the program goes on, and gets one such object a line, with "id": TEXT in it
 * besides. Each of its lines must carry that id, and a line with done or fail ends the task: so
 * nothing that a program says too late can become part of another task, which may be another job's.
 * When the process ends before that, the task in its hand fails with UNAVAILABLE, and only that
 * one. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "builtin.h"
#include "env_name.h"
#include "err.h"
#include "mem.h"
#include "own_types.h"
#include "secrets.h"
#include "times.h"

#define EX_TEMPORARY 75
#define SERVE_TIMEOUT_MS (600u * 1000)
#define SERVE_IDLE_MS (300u * 1000)

struct run {
    const char *id; /* in mode serve; else NULL */
    size_t lines;
    bool done, failed;
};

/* ---- what it says ---- */

static int bad_line(struct fm_ctx *ctx, struct run *r, const char *why)
{
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "line %zu of the program's output: %s", r->lines, why);
    fm_ctx_fail_permanent(ctx);
    r->failed = true;
    return -1;
}

static const char *text_at(const struct fm_value *m, const char *key)
{
    return fm_value_string(fm_value_get(m, key), NULL);
}

static int say_failure(struct fm_ctx *ctx, struct run *r, const struct fm_value *m)
{
    const struct fm_value *given = fm_value_get(m, "code");
    const char *name = given == NULL ? "UNKNOWN" : fm_value_string(given, "");
    int code = FM_FAIL_CANCELLED;
    while (code <= FM_FAIL_UNAUTHENTICATED && strcmp(fm_code_name(code), name) != 0)
        code++;
    if (code > FM_FAIL_UNAUTHENTICATED) {
        char why[400];
        (void)snprintf(
            why, sizeof(why),
            "\"code\" must be a string, the name of a gRPC status code such as UNAVAILABLE, and is "
            "\"%.64s\"; it says \"fail\": %.200s",
            name, text_at(m, "fail"));
        return bad_line(ctx, r, why);
    }
    (void)fm_ctx_fail(ctx, (enum fm_failure)code, "%s", text_at(m, "fail"));
    if (!fm_value_bool(fm_value_get(m, "retryable"), true))
        fm_ctx_fail_permanent(ctx);
    double after = fm_value_number(fm_value_get(m, "retry_after_ms"), 0);
    if (after > 0)
        fm_ctx_retry_after(ctx, fm_count_from(after));
    r->done = r->failed = true;
    return r->id != NULL ? 0 : -1;
}

static void say_question(struct fm_ctx *ctx, const struct fm_value *m)
{
    double timeout = fm_value_number(fm_value_get(m, "timeout_ms"), 0);
    const struct fm_question q = {.question = text_at(m, "pause"),
                                  .slot = fm_value_string(fm_value_get(m, "slot"), "answer"),
                                  .data = fm_value_get(m, "data"),
                                  .choices = fm_value_get(m, "choices"),
                                  .answer_schema = fm_value_get(m, "answer_schema"),
                                  .timeout_ms = fm_count_from(timeout),
                                  .default_answer = fm_value_get(m, "default_answer")};
    (void)fm_ctx_ask(ctx, &q);
}

static void say_change(struct fm_ctx *ctx, const struct fm_value *m, const char *key, char kind)
{
    bool shared = fm_value_bool(fm_value_get(m, "shared"), false);
    const struct fm_value *v = fm_value_get(m, "value");
    if (kind == 's')
        (shared ? fm_ctx_shared_set : fm_ctx_state_set)(ctx, key, v);
    else if (kind == 'a')
        (shared ? fm_ctx_shared_append : fm_ctx_state_append)(ctx, key, v);
    else
        (shared ? fm_ctx_shared_remove : fm_ctx_state_remove)(ctx, key);
}

static int act(struct fm_ctx *ctx, struct run *r, const struct fm_value *m)
{
    const struct fm_value *data = fm_value_get(m, "data");
    const char *s;
    double ms = fm_value_number(fm_value_get(m, "ms"), 0);
    if (data != NULL && fm_value_kind(data) != FM_MAP)
        return bad_line(ctx, r, "\"data\" must be an object");
    if ((s = text_at(m, "emit")) != NULL)
        fm_ctx_emit(ctx, s, data);
    else if ((s = text_at(m, "defer")) != NULL)
        fm_ctx_defer(ctx, s, data);
    else if ((s = text_at(m, "enqueue")) != NULL)
        fm_ctx_enqueue(ctx, s, data);
    else if ((s = text_at(m, "schedule")) != NULL)
        fm_ctx_schedule(ctx, s, data, fm_count_from(ms), text_at(m, "key"));
    else if ((s = text_at(m, "unschedule")) != NULL)
        fm_ctx_unschedule(ctx, s);
    else if (text_at(m, "pause") != NULL)
        say_question(ctx, m);
    else if ((s = text_at(m, "set")) != NULL)
        say_change(ctx, m, s, 's');
    else if ((s = text_at(m, "append")) != NULL)
        say_change(ctx, m, s, 'a');
    else if ((s = text_at(m, "remove")) != NULL)
        say_change(ctx, m, s, 'r');
    else if ((s = text_at(m, "log")) != NULL)
        fm_ctx_log(ctx, s, data);
    else if ((s = text_at(m, "progress")) != NULL)
        fm_ctx_progress(ctx, s);
    else if (text_at(m, "fail") != NULL)
        return say_failure(ctx, r, m);
    else if (fm_value_get(m, "done") != NULL)
        r->done = true;
    else
        return bad_line(
            ctx, r,
            "it has none of the keys emit, defer, enqueue, schedule, unschedule, pause, set, append, "
            "remove, log, progress, fail, done (with text as its value)");
    return 0;
}

/* Whether a line belongs to the task in hand. */
static int check_id(struct fm_ctx *ctx, struct run *r, const struct fm_value *m)
{
    const char *id = text_at(m, "id");
    if (id == NULL)
        return bad_line(ctx, r, "in mode serve it must have the task's \"id\"");
    if (strcmp(id, r->id) == 0)
        return 0;
    r->failed = true; /* this task has no part in it */
    return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                       "the program was ended: line %zu of its output has the id of another task (%.120s)",
                       r->lines, id);
}

static int on_line(struct fm_ctx *ctx, void *arg, const char *line, size_t n)
{
    struct run *r = arg;
    fm_auto(fm_err) err = {0};
    r->lines++;
    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    if (n == 0)
        return 0;
    if (r->done)
        return bad_line(ctx, r, "there is something after {\"done\": true}");
    const struct fm_value *m = ctx_json(ctx, line, n, &err);
    if (m == NULL || fm_value_kind(m) != FM_MAP) {
        int rc = bad_line(ctx, r, m == NULL ? err.msg : "it must be a JSON object");
        return rc;
    }
    if (r->id == NULL)
        return act(ctx, r, m);
    if (check_id(ctx, r, m) < 0 || act(ctx, r, m) < 0)
        return -1;
    return r->done ? 1 : 0;
}

/* ---- its end ---- */

static bool is_retryable(struct fm_ctx *ctx, int code)
{
    const struct fm_value *codes = fm_value_get(fm_ctx_config(ctx), "retryable_exit_codes");
    if (codes == NULL)
        return code == EX_TEMPORARY;
    for (size_t i = 0; i < fm_value_size(codes); i++)
        if (fm_value_number(fm_value_at(codes, i), -1) == code)
            return true;
    return false;
}

static int on_end(struct fm_ctx *ctx, void *arg, const struct fm_process_result *p)
{
    const struct run *r = arg;
    const char *colon = p->said[0] != '\0' ? ": " : "";
    if (r->failed)
        return -1; /* it was ended because of what it has said */
    if (p->timed_out)
        return fm_ctx_fail(ctx, FM_FAIL_DEADLINE_EXCEEDED, "the program was ended: %s", p->error);
    if (p->exit_code == 0 && !p->too_much_output)
        return 0;
    if (p->exit_code > 0 && !p->too_much_output && is_retryable(ctx, p->exit_code))
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the program exited with code %d%s%s", p->exit_code,
                           colon, p->said);
    if (p->exit_code > 0 && !p->too_much_output)
        (void)fm_ctx_fail(ctx, FM_FAIL_UNKNOWN, "the program exited with code %d%s%s%s", p->exit_code,
                          p->exit_code == 127 ? " (it was not found)" : "", colon, p->said);
    else
        (void)fm_ctx_fail(ctx, p->too_much_output ? FM_FAIL_RESOURCE_EXHAUSTED : FM_FAIL_UNKNOWN,
                          "the program failed: %s%s%s", p->error, colon, p->said);
    fm_ctx_fail_permanent(ctx);
    return -1;
}

/* The same in mode serve: the task is done, or the process has ended with it in hand. */
static int on_served_end(struct fm_ctx *ctx, void *arg, const struct fm_process_result *p)
{
    const struct run *r = arg;
    if (r->failed || r->done)
        return r->failed ? -1 : 0;
    if (p->timed_out)
        return fm_ctx_fail(ctx, FM_FAIL_DEADLINE_EXCEEDED,
                           "the program was ended: %s, before it said that it was done", p->error);
    if (p->too_much_output || p->exit_code == 126 || p->exit_code == 127 ||
        (p->exit_code < 0 && p->signal == 0)) {
        (void)fm_ctx_fail(ctx, p->too_much_output ? FM_FAIL_RESOURCE_EXHAUSTED : FM_FAIL_UNKNOWN,
                          "the program failed: %s",
                          p->exit_code == 127   ? "it was not found"
                          : p->exit_code == 126 ? "it could not be started"
                                                : p->error);
        fm_ctx_fail_permanent(ctx);
        return -1;
    }
    if (p->exit_code >= 0)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE,
                           "the program exited with code %d before it was done with the task", p->exit_code);
    return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the program ended before it was done with the task: %s",
                       p->error);
}

/* ---- its start ---- */

static void put(struct fm_buf *b, const char *key, const struct fm_value *v)
{
    fm_buf_append(b, b->p[b->n - 1] == '{' ? "\"" : ",\"", b->p[b->n - 1] == '{' ? 1 : 2);
    fm_buf_append(b, key, strlen(key));
    fm_buf_append(b, "\":", 2);
    json_value_write(v, b);
}

static void put_input(struct fm_ctx *ctx, const struct fm_value *data, const char *id, struct fm_buf *b)
{
    struct fm_value *task = fm_map(ctx);
    fm_map_set(ctx, task, "id", fm_string(ctx, fm_ctx_task_id(ctx)));
    fm_map_set(ctx, task, "slot", fm_string(ctx, fm_ctx_slot(ctx)));
    fm_map_set(ctx, task, "data", data);
    fm_buf_append(b, "{", 1);
    if (id != NULL)
        put(b, "id", fm_string(ctx, id));
    put(b, "task", task);
    put(b, "config", fm_ctx_config(ctx));
    put(b, "state", fm_ctx_state_all(ctx));
    put(b, "shared_data", fm_ctx_shared_all(ctx));
    put(b, "job_id", fm_string(ctx, fm_ctx_job_id(ctx)));
    put(b, "routine", fm_string(ctx, fm_ctx_routine_id(ctx)));
    put(b, "attempt", fm_number(ctx, fm_ctx_attempt(ctx)));
    put(b, "step", fm_number(ctx, fm_ctx_step(ctx)));
    put(b, "idempotency_key", fm_string(ctx, fm_ctx_idempotency_key(ctx)));
    put(b, "epoch", fm_number(ctx, fm_ctx_epoch(ctx)));
    put(b, "pause_id", fm_string(ctx, fm_ctx_pause_id(ctx)));
    put(b, "call_id", fm_string(ctx, fm_ctx_call_id(ctx)));
    fm_buf_append(b, "}\n", 2);
}

static const char *const *texts_of(struct fm_ctx *ctx, const struct fm_value *list)
{
    size_t n = fm_value_size(list);
    const char **texts = fm_ctx_alloc(ctx, (n + 1) * sizeof(*texts));
    for (size_t i = 0; i < n; i++)
        texts[i] = fm_value_string(fm_value_at(list, i), "");
    return texts;
}

static const char *variable(struct fm_ctx *ctx, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *text = fm_ctx_alloc(ctx, size);
    (void)snprintf(text, size, "%s=%s", name, value);
    return text;
}

/* The variables that config.env sets, and before them those of the host that config.inherit_env names
 * and that are no secrets. NULL after fm_ctx_fail. */
static const char *const *env_of(struct fm_ctx *ctx, const struct fm_value *config)
{
    const struct fm_value *map = fm_value_get(config, "env"), *names = fm_value_get(config, "inherit_env");
    size_t n = fm_value_kind(map) == FM_MAP ? fm_value_size(map) : 0,
           n_names = fm_value_kind(names) == FM_LIST ? fm_value_size(names) : 0, all = 0;
    const char **env = fm_ctx_alloc(ctx, (n + n_names + 1) * sizeof(*env));
    for (size_t i = 0; i < n_names; i++) {
        const char *name = fm_value_string(fm_value_at(names, i), ""), *value = getenv(name);
        if (fm_env_fault(name) != NULL || (value != NULL && secrets_known(value))) {
            (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION, "config.inherit_env: %.128s %s", name,
                              fm_env_fault(name) != NULL
                                  ? fm_env_fault(name)
                                  : "has a secret of this host in it: it is not passed on");
            fm_ctx_fail_permanent(ctx);
            return NULL;
        }
        bool is_set = false;
        for (size_t k = 0; k < n && !is_set; k++)
            is_set = strcmp(fm_value_key(map, k), name) == 0;
        if (value != NULL && !is_set)
            env[all++] = variable(ctx, name, value);
    }
    for (size_t i = 0; i < n; i++)
        env[all++] = variable(ctx, fm_value_key(map, i), fm_value_string(fm_value_at(map, i), ""));
    return env;
}

/* Tells this attempt from all others. */
static const char *id_of(struct fm_ctx *ctx)
{
    char *id = fm_ctx_alloc(ctx, 160);
    (void)snprintf(id, 160, "%s/%u.%u", fm_ctx_idempotency_key(ctx), fm_ctx_epoch(ctx), fm_ctx_attempt(ctx));
    return id;
}

static int on_task(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx), *command = fm_value_get(config, "command");
    if (fm_value_size(command) == 0 || fm_value_kind(command) != FM_LIST)
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                           "config.command must be a list of one string or more");
    struct run *r = fm_ctx_alloc(ctx, sizeof(*r));
    if (strcmp(fm_value_string(fm_value_get(config, "mode"), "once"), "serve") == 0)
        r->id = id_of(ctx);
    const char *const *env = env_of(ctx, config);
    if (env == NULL)
        return -1;
    fm_auto(fm_buf) input = {0};
    put_input(ctx, data, r->id, &input);
    const struct fm_process p = {
        .argv = texts_of(ctx, command),
        .env = env,
        .cwd = fm_value_string(fm_value_get(config, "cwd"), NULL),
        .input = input.p,
        .input_bytes = input.n,
        .timeout_ms = fm_count_from(
            fm_value_number(fm_value_get(config, "timeout_ms"), r->id != NULL ? SERVE_TIMEOUT_MS : 0)),
        .max_output_bytes =
            (size_t)fm_count_from(fm_value_number(fm_value_get(config, "max_output_bytes"), 0)),
        .max_memory_bytes =
            (size_t)fm_count_from(fm_value_number(fm_value_get(config, "max_memory_bytes"), 0))};
    const uint64_t kill_after =
        fm_count_from(fm_value_number(fm_value_get(config, "kill_after_ms"), PROCESS_KILL_AFTER_MS));
    const struct served_task t = {
        .process = &p,
        .job = fm_ctx_job_id(ctx),
        .processes = fm_count32_from(fm_value_number(fm_value_get(config, "processes"), 1)),
        .idle_ms = fm_count_from(fm_value_number(fm_value_get(config, "idle_ms"), SERVE_IDLE_MS)),
        .kill_after_ms = kill_after};
    const struct process_request once = {.process = &p, .kill_after_ms = kill_after};
    if (r->id != NULL)
        ctx_serve(ctx, &t, on_line, on_served_end, r);
    else
        ctx_spawn(ctx, &once, on_line, on_end, r);
    return 0;
}

static const struct fm_slot slots[] = {
    {"*", on_task}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type exec_type = {
    .abi = FM_ROUTINE_ABI, .name = "exec", .slots = slots, .n_slots = 1};
