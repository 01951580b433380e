/* Routine type "exec" (common/catalog/types/exec.json): any program in any language handles the
 * task.
 *
 * The program gets one JSON object on stdin:
 *   {"protocol": 1, "task": {"id", "slot", "data"}, "config", "state", "shared_data", "job_id", "routine",
 * "attempt", "step", "idempotency_key", "epoch", "pause_id", "call_id"}
 * and says what to do in JSON objects on stdout, one a line (exec_lines.c; all of it: docs/exec.md).
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

#include "env_name.h"
#include "exec.h"
#include "exec_lines.h"
#include "mem.h"
#include "own_types.h"
#include "secrets.h"
#include "times.h"

#define EX_TEMPORARY 75
#define SERVE_TIMEOUT_MS (600u * 1000)
#define SERVE_IDLE_MS (300u * 1000)

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
    const struct exec_run *r = arg;
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
    const struct exec_run *r = arg;
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
    put(b, "protocol", fm_number(ctx, EXEC_PROTOCOL));
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
    struct exec_run *r = fm_ctx_alloc(ctx, sizeof(*r));
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
        ctx_serve(ctx, &t, exec_line, on_served_end, r);
    else
        ctx_spawn(ctx, &once, exec_line, on_end, r);
    return 0;
}

static const struct fm_slot slots[] = {
    {"*", on_task}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type exec_type = {
    .abi = FM_ROUTINE_ABI, .name = "exec", .slots = slots, .n_slots = 1};
