/* What programs say. See exec_lines.h. A line that is not understood as a whole, down to its last key,
 * fails the step for good: nothing is done by halves, or passed over. */
#define _GNU_SOURCE
#include "exec_lines.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "how.h"
#include "mem.h"
#include "nearest.h"
#include "own_types.h"
#include "times.h"

#define MAX_KEYS 12 /* of a line, beside the action and the id */
#define MAX_SHOWN 64
#define MAX_COUNT 9007199254740992.0 /* up to which a number is exact */

/* What a value may be. */
enum { TEXT = 1, COUNT = 2, YES_OR_NO = 4, MAP = 8, LIST = 16, NEEDED = 32, ANY = 64 };

struct key {
    const char *name;
    unsigned may_be;
};

struct action {
    const char *name;
    unsigned may_be; /* its value */
    struct key keys[MAX_KEYS];
    int (*act)(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m);
};

/* ---- faults ---- */

static int bad_line(struct fm_ctx *ctx, struct exec_run *r, const char *fmt, ...) FM_PRINTF(3, 4);

static int bad_line(struct fm_ctx *ctx, struct exec_run *r, const char *fmt, ...)
{
    char why[500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    why[fm_utf8_cut(why, sizeof(why) - 1)] = '\0';
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "line %zu of the program's output: %s", r->lines, why);
    fm_ctx_fail_permanent(ctx);
    r->failed = true;
    return -1;
}

static int shown(const char *text)
{
    return (int)fm_utf8_cut(text, MAX_SHOWN);
}

/* ---- values ---- */

static const char *text_at(const struct fm_value *m, const char *key)
{
    return fm_value_string(fm_value_get(m, key), NULL);
}

static double number_at(const struct fm_value *m, const char *key)
{
    return fm_value_number(fm_value_get(m, key), 0);
}

static bool is_count(const struct fm_value *v)
{
    double n = fm_value_number(v, -1);
    return fm_value_kind(v) == FM_NUMBER && n >= 0 && n <= MAX_COUNT && n == floor(n);
}

static bool fits(const struct fm_value *v, unsigned may_be)
{
    switch (fm_value_kind(v)) {
    case FM_STRING:
        return (may_be & (TEXT | ANY)) != 0;
    case FM_NUMBER:
        return (may_be & ANY) != 0 || ((may_be & COUNT) != 0 && is_count(v));
    case FM_BOOL:
        return (may_be & (YES_OR_NO | ANY)) != 0;
    case FM_MAP:
        return (may_be & (MAP | ANY)) != 0;
    case FM_LIST:
        return (may_be & (LIST | ANY)) != 0;
    case FM_NULL:
        return (may_be & ANY) != 0;
    }
    return false;
}

static const char *expected(unsigned may_be)
{
    return (may_be & TEXT) != 0        ? "a string"
           : (may_be & COUNT) != 0     ? "a whole number from 0"
           : (may_be & YES_OR_NO) != 0 ? "true or false"
           : (may_be & MAP) != 0       ? "an object"
                                       : "a list";
}

/* ---- actions ---- */

static int emit(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    fm_ctx_emit(ctx, text_at(m, "emit"), fm_value_get(m, "data"));
    return 0;
}

static int defer(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    fm_ctx_defer(ctx, text_at(m, "defer"), fm_value_get(m, "data"));
    return 0;
}

static int enqueue(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    fm_ctx_enqueue(ctx, text_at(m, "enqueue"), fm_value_get(m, "data"));
    return 0;
}

static int schedule(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    fm_ctx_schedule(ctx, text_at(m, "schedule"), fm_value_get(m, "data"), fm_count_from(number_at(m, "ms")),
                    text_at(m, "key"));
    return 0;
}

static int unschedule(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    fm_ctx_unschedule(ctx, text_at(m, "unschedule"));
    return 0;
}

static int pause_job(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    struct fm_question q = {.question = text_at(m, "pause"),
                            .slot = fm_value_string(fm_value_get(m, "slot"), "answer"),
                            .data = fm_value_get(m, "data")};
    if (ctx_read_question(ctx, m, &q))
        (void)fm_ctx_ask(ctx, &q);
    return 0;
}

static int withdraw(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    const char *name = text_at(m, "withdraw");
    if (fm_value_bool(fm_value_get(m, "if_open"), false) && !fm_ctx_is_open(ctx, name))
        return 0;
    (void)fm_ctx_withdraw(ctx, name, fm_value_string(fm_value_get(m, "reason"), ""));
    return 0;
}

static bool is_shared(const struct fm_value *m)
{
    return fm_value_bool(fm_value_get(m, "shared"), false);
}

static int set(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    (is_shared(m) ? fm_ctx_shared_set : fm_ctx_state_set)(ctx, text_at(m, "set"), fm_value_get(m, "value"));
    return 0;
}

static int append(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    (is_shared(m) ? fm_ctx_shared_append : fm_ctx_state_append)(ctx, text_at(m, "append"),
                                                                fm_value_get(m, "value"));
    return 0;
}

static int remove_key(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    (is_shared(m) ? fm_ctx_shared_remove : fm_ctx_state_remove)(ctx, text_at(m, "remove"));
    return 0;
}

static int log_entry(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    fm_ctx_log(ctx, text_at(m, "log"), fm_value_get(m, "data"));
    return 0;
}

static int progress(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    fm_ctx_progress(ctx, text_at(m, "progress"));
    return 0;
}

/* What the program has used of models counts for the job, whether the step stands or not. */
static int usage(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    static const char *const names[] = {"input_tokens", "output_tokens", "cached_tokens", "cost"};
    const struct fm_value *used = fm_value_get(m, "usage");
    uint64_t counts[3] = {0};
    double cost = 0;
    for (size_t i = 0; i < fm_value_size(used); i++) {
        const char *name = fm_value_key(used, i);
        const struct fm_value *v = fm_value_at(used, i);
        size_t k = 0;
        while (k < 4 && strcmp(names[k], name) != 0)
            k++;
        if (k == 4)
            return bad_line(ctx, r,
                            "\"usage\" has the unknown key \"%.*s\"; it has input_tokens, output_tokens, "
                            "cached_tokens and cost",
                            shown(name), name);
        if (k < 3 ? !is_count(v) : fm_value_kind(v) != FM_NUMBER || !(fm_value_number(v, -1) >= 0))
            return bad_line(ctx, r, "\"usage.%s\" must be a %snumber from 0", names[k],
                            k < 3 ? "whole " : "");
        if (k < 3)
            counts[k] = fm_count_from(fm_value_number(v, 0));
        else
            cost = fm_value_number(v, 0);
    }
    fm_ctx_usage(ctx, counts[0], counts[1], counts[2], cost);
    return 0;
}

static int start(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    (void)r;
    const struct fm_child child = {.flow = text_at(m, "start"),
                                   .flow_version = fm_count32_from(number_at(m, "flow_version")),
                                   .routine = text_at(m, "routine"),
                                   .slot = text_at(m, "slot"),
                                   .data = fm_value_get(m, "data"),
                                   .shared_data = fm_value_get(m, "shared_data"),
                                   .result_slot = fm_value_string(fm_value_get(m, "result_slot"), "result")};
    fm_ctx_start_job(ctx, &child);
    return 0;
}

static int start_over(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    struct fm_continue how;
    const char *why = NULL;
    if (!how_from(ctx, fm_value_get(m, "continue"), &how, &why))
        return bad_line(ctx, r, "%s", why);
    fm_ctx_continue(ctx, &how);
    return 0;
}

static int fail(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    const struct fm_value *given = fm_value_get(m, "code");
    const char *name = given == NULL ? "UNKNOWN" : fm_value_string(given, "");
    int code = FM_FAIL_CANCELLED;
    while (code <= FM_FAIL_UNAUTHENTICATED && strcmp(fm_code_name(code), name) != 0)
        code++;
    if (code > FM_FAIL_UNAUTHENTICATED)
        return bad_line(
            ctx, r,
            "\"code\" must be a string, the name of a gRPC status code such as UNAVAILABLE, and is "
            "\"%.*s\"; it says \"fail\": %.200s",
            shown(name), name, text_at(m, "fail"));
    (void)fm_ctx_fail(ctx, (enum fm_failure)code, "%s", text_at(m, "fail"));
    if (!fm_value_bool(fm_value_get(m, "retryable"), true))
        fm_ctx_fail_permanent(ctx);
    double after = number_at(m, "retry_after_ms");
    if (after > 0)
        fm_ctx_retry_after(ctx, fm_count_from(after));
    r->done = r->failed = true;
    return r->id != NULL ? 0 : -1;
}

static int done(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    if (!fm_value_bool(fm_value_get(m, "done"), false))
        return bad_line(ctx, r, "\"done\" must be true");
    r->done = true;
    return 0;
}

/* clang-format off */
static const struct action actions[] = {
    {"emit", TEXT, {{"data", MAP}}, emit},
    {"defer", TEXT, {{"data", MAP}}, defer},
    {"enqueue", TEXT, {{"data", MAP}}, enqueue},
    {"schedule", TEXT, {{"ms", COUNT | NEEDED}, {"data", MAP}, {"key", TEXT}}, schedule},
    {"unschedule", TEXT, {{NULL, 0}}, unschedule},
    {"pause", TEXT, {{"slot", TEXT}, {"data", MAP}, {"choices", LIST}, {"answer_schema", MAP},
                     {"timeout_ms", COUNT}, {"deadline_at", ANY}, {"on_timeout", TEXT},
                     {"default_answer", ANY}, {"assignee", TEXT}, {"escalate", MAP | LIST},
                     {"key", TEXT}}, pause_job},
    {"withdraw", TEXT, {{"reason", TEXT}, {"if_open", YES_OR_NO}}, withdraw},
    {"set", TEXT, {{"value", ANY | NEEDED}, {"shared", YES_OR_NO}}, set},
    {"append", TEXT, {{"value", ANY | NEEDED}, {"shared", YES_OR_NO}}, append},
    {"remove", TEXT, {{"shared", YES_OR_NO}}, remove_key},
    {"log", TEXT, {{"data", MAP}}, log_entry},
    {"progress", TEXT, {{NULL, 0}}, progress},
    {"usage", MAP, {{NULL, 0}}, usage},
    {"start", TEXT, {{"routine", TEXT | NEEDED}, {"slot", TEXT | NEEDED}, {"flow_version", COUNT},
                     {"data", MAP}, {"shared_data", MAP}, {"result_slot", TEXT}}, start},
    {"continue", MAP, {{NULL, 0}}, start_over},
    {"fail", TEXT, {{"code", TEXT}, {"retryable", YES_OR_NO}, {"retry_after_ms", COUNT}}, fail},
    {"done", YES_OR_NO, {{NULL, 0}}, done},
};
/* clang-format on */
#define N_ACTIONS (sizeof(actions) / sizeof(actions[0]))

/* ---- a line ---- */

static const struct action *action_named(const char *name)
{
    for (size_t i = 0; i < N_ACTIONS; i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* The only action of the line; NULL after fm_ctx_fail. */
static const struct action *action_of(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    const struct action *found = NULL;
    for (size_t i = 0; i < fm_value_size(m); i++) {
        const struct action *a = action_named(fm_value_key(m, i));
        if (a != NULL && found != NULL) {
            (void)bad_line(ctx, r, "it has two actions, %s and %s: write a line for each", found->name,
                           a->name);
            return NULL;
        }
        found = a != NULL ? a : found;
    }
    if (found == NULL)
        (void)bad_line(
            ctx, r,
            "it has none of the keys emit, defer, enqueue, schedule, unschedule, pause, withdraw, set, "
            "append, remove, log, progress, usage, start, continue, fail, done");
    return found;
}

static const struct key *key_named(const struct action *a, const char *name)
{
    for (size_t i = 0; i < MAX_KEYS && a->keys[i].name != NULL; i++)
        if (strcmp(a->keys[i].name, name) == 0)
            return &a->keys[i];
    return NULL;
}

static int unknown_key(struct fm_ctx *ctx, struct exec_run *r, const struct action *a, const char *name)
{
    struct nearest near = nearest_to(name);
    char known[200] = "";
    for (size_t i = 0; i < MAX_KEYS && a->keys[i].name != NULL; i++) {
        size_t n = strlen(known);
        (void)snprintf(known + n, sizeof(known) - n, ", %s", a->keys[i].name);
        (void)nearest_try(&near, a->keys[i].name);
    }
    return bad_line(ctx, r, "it has the unknown key \"%.*s\"%s%s%s; a line with %s may have id%s",
                    shown(name), name, near.found != NULL ? " (did you mean " : "",
                    near.found != NULL ? near.found : "", near.found != NULL ? "?)" : "", a->name, known);
}

/* -1 after fm_ctx_fail: the line is not one with this action. */
static int check_keys(struct fm_ctx *ctx, struct exec_run *r, const struct action *a,
                      const struct fm_value *m)
{
    for (size_t i = 0; i < fm_value_size(m); i++) {
        const char *name = fm_value_key(m, i);
        const struct key *k = key_named(a, name);
        bool is_action = strcmp(name, a->name) == 0;
        if (k == NULL && !is_action && strcmp(name, "id") != 0)
            return unknown_key(ctx, r, a, name);
        unsigned may_be = is_action ? a->may_be : k != NULL ? k->may_be : TEXT;
        if (k != NULL && strcmp(name, "code") == 0)
            may_be = ANY; /* says more about it than that */
        if (!fits(fm_value_at(m, i), may_be))
            return bad_line(ctx, r, "\"%s\" must be %s", name, expected(may_be));
    }
    for (size_t i = 0; i < MAX_KEYS && a->keys[i].name != NULL; i++)
        if ((a->keys[i].may_be & NEEDED) != 0 && fm_value_get(m, a->keys[i].name) == NULL)
            return bad_line(ctx, r, "\"%s\" needs the key \"%s\"", a->name, a->keys[i].name);
    return 0;
}

static int act(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
{
    const struct action *a = action_of(ctx, r, m);
    return a == NULL || check_keys(ctx, r, a, m) < 0 ? -1 : a->act(ctx, r, m);
}

/* Whether a line belongs to the task in hand. */
static int check_id(struct fm_ctx *ctx, struct exec_run *r, const struct fm_value *m)
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

int exec_line(struct fm_ctx *ctx, void *arg, const char *line, size_t n)
{
    struct exec_run *r = arg;
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
        int rc = bad_line(ctx, r, "%s", m == NULL ? err.msg : "it must be a JSON object");
        return rc;
    }
    if (r->id == NULL)
        return act(ctx, r, m);
    if (check_id(ctx, r, m) < 0 || act(ctx, r, m) < 0)
        return -1;
    return r->done ? 1 : 0;
}
