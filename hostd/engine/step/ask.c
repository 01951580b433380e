/* What a handler asks of the world beyond its step: a question to a person, another job. Part of
 * the routine API (fermata/routine.h). */
#include "ctx.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "asked.h"
#include "fermata/v1/types.pb.h"
#include "hjob.h"
#include "json_schema.h"
#include "mem.h"
#include "own_types.h"
#include "question.h"
#include "registry.h"
#include "rfc3339.h"
#include "times.h"
#include "value.h"

/* A copy of what was encoded, in the memory of the step; absent after a fault (rc < 0). */
static struct pb_var kept(struct fm_ctx *ctx, const char *what, int rc, const struct fm_buf *b,
                          const struct fm_err *err)
{
    if (rc < 0) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "%s: %s", what, err->msg);
        return (struct pb_var){0};
    }
    void *copy = fm_ctx_alloc(ctx, b->n + 1);
    if (b->n > 0)
        memcpy(copy, b->p, b->n);
    return pb_var_bytes(copy, b->n);
}

/* A map, and any value, encoded; absent for NULL. `what` names it in a fault. */
static struct pb_var encoded_map(struct fm_ctx *ctx, const char *what, const struct fm_value *map)
{
    fm_auto(fm_buf) b = {0};
    fm_auto(fm_err) err = {0};
    if (map == NULL || ctx->out.failed)
        return (struct pb_var){0};
    return kept(ctx, what, value_encode_struct(map, &b, &err), &b, &err);
}

static struct pb_var encoded_value(struct fm_ctx *ctx, const char *what, const struct fm_value *v)
{
    fm_auto(fm_buf) b = {0};
    fm_auto(fm_err) err = {0};
    if (v == NULL || ctx->out.failed)
        return (struct pb_var){0};
    return kept(ctx, what, value_encode(v, 1, &b, &err), &b, &err);
}

static struct pb_var choice_views(struct fm_ctx *ctx, const struct fm_value *choices)
{
    size_t n = fm_value_kind(choices) == FM_LIST ? fm_value_size(choices) : 0;
    struct fm_bytes *items = fm_ctx_alloc(ctx, (n + 1) * sizeof(*items));
    for (size_t i = 0; i < n; i++) {
        const char *s = fm_value_string(fm_value_at(choices, i), "");
        items[i] = fm_bytes_of(s);
    }
    return pb_var_list(items, n);
}

static bool has_slot(struct fm_ctx *ctx, const char *slot, const char *what)
{
    if (ctx->out.failed)
        return false;
    if (slot != NULL && registry_handler(ctx->routine->type, slot) != NULL)
        return true;
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "routine type %s has no slot \"%.64s\" for the %s",
                      ctx->routine->type->name, slot == NULL ? "" : slot, what);
    return false;
}

/* A faulty schema would leave a question that nobody can answer. One that is too large to be looked at
 * here is too large for a question. */
static bool schema_ok(struct fm_ctx *ctx, const struct fm_value *schema)
{
    fm_auto(fm_err) err = {0};
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK};
    if (schema == NULL || json_schema_check_within(schema, NULL, &work, NULL, NULL, &err) >= 0)
        return true;
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the schema of an answer: %s", err.msg);
    return false;
}

/* The call that a question is about: its data say so, else it is the one that the task belongs to.
 * A question about the budget is about none: its task has only brought the last result. */
static const char *call_of(struct fm_ctx *ctx, const struct fm_question *q)
{
    const char *task_s = q->budget ? "" : ctx->task->call_id;
    return fm_value_string(fm_value_get(q->data, "call_id"), task_s);
}

/* ---- checks ---- */

static void on_fault(void *arg, const struct json_schema_fault *f)
{
    struct fm_ctx *ctx = arg;
    if (ctx->out.failed)
        return;
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the question's %s %.300s", f->path, f->message);
    fm_ctx_fail_permanent(ctx);
}

static bool keeps_rules(struct fm_ctx *ctx, const struct fm_value *settings)
{
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK};
    if (!ctx->out.failed)
        question_rules("", settings, QUESTION_KINDS_UNKNOWN, &work, on_fault, ctx);
    return !ctx->out.failed;
}

static void set(struct fm_ctx *ctx, struct fm_value *m, const char *key, const struct fm_value *v)
{
    if (v != NULL)
        fm_map_set(ctx, m, key, v);
}

static const struct fm_value *text_or_null(struct fm_ctx *ctx, const char *s)
{
    return s == NULL || s[0] == '\0' ? NULL : fm_string(ctx, s);
}

/* The question's settings as they would be written down. */
static const struct fm_value *settings_of(struct fm_ctx *ctx, const struct fm_question *q)
{
    static const char *const names[] = {NULL, "default", "event", "fail"};
    struct fm_value *m = fm_map(ctx), *escalate = fm_list(ctx);
    for (size_t i = 0; i < q->n_escalate && i <= FM_MAX_ESCALATIONS; i++) {
        struct fm_value *e = fm_map(ctx);
        fm_map_set(ctx, e, "after_ms", fm_number(ctx, (double)q->escalate[i].after_ms));
        set(ctx, e, "to", text_or_null(ctx, q->escalate[i].to));
        fm_list_add(ctx, escalate, e);
    }
    set(ctx, m, "timeout_ms", q->timeout_ms > 0 ? fm_number(ctx, (double)q->timeout_ms) : NULL);
    set(ctx, m, "deadline_at",
        q->deadline_at_ms != 0 ? fm_number(ctx, (double)q->deadline_at_ms / 1000) : NULL);
    set(ctx, m, "on_timeout",
        q->on_timeout == FM_TIMEOUT_NONE
            ? NULL
            : fm_string(ctx, q->on_timeout <= FM_TIMEOUT_FAIL ? names[q->on_timeout] : "?"));
    set(ctx, m, "default_answer", q->default_answer);
    set(ctx, m, "choices", q->choices);
    set(ctx, m, "answer_schema", q->answer_schema);
    set(ctx, m, "assignee", text_or_null(ctx, q->assignee));
    set(ctx, m, "escalate", q->n_escalate > 0 ? escalate : NULL);
    set(ctx, m, "key", text_or_null(ctx, q->key));
    set(ctx, m, "choices_or_schema", q->choices_or_schema ? fm_bool(ctx, true) : NULL);
    return m;
}

/* How long the question stays open; false: its end has passed. */
static bool stays_open(struct fm_ctx *ctx, const struct fm_question *q, uint64_t *ret_ms)
{
    int64_t now_ms = fm_ctx_now_ms(ctx), left = q->deadline_at_ms - now_ms;
    char at[FM_TIME_TEXT_BYTES], now[FM_TIME_TEXT_BYTES];
    *ret_ms = q->timeout_ms;
    if (q->deadline_at_ms == 0)
        return true;
    *ret_ms = left > 0 ? (uint64_t)left : 0;
    if (left > 0 && *ret_ms <= FM_MAX_AHEAD_MS)
        return true;
    (void)fm_ctx_fail(
        ctx, FM_FAIL_INVALID_ARGUMENT,
        "the question's deadline_at is %s; it must be after now, which is %s, and within %llu ms",
        fm_time_text(q->deadline_at_ms, at), fm_time_text(now_ms, now), FM_MAX_AHEAD_MS);
    fm_ctx_fail_permanent(ctx);
    return false;
}

static bool has_timeout_event(struct fm_ctx *ctx, const struct fm_question *q)
{
    if (q->on_timeout != FM_TIMEOUT_EVENT || registry_has_event(ctx->routine->type, "timeout"))
        return true;
    (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                      "the question's on_timeout is \"event\", but routine type %s has no event \"timeout\"",
                      ctx->routine->type->name);
    fm_ctx_fail_permanent(ctx);
    return false;
}

/* ---- the question ---- */

static struct pb_var escalation_views(struct fm_ctx *ctx, const struct fm_question *q)
{
    struct fm_bytes *items = fm_ctx_alloc(ctx, (q->n_escalate + 1) * sizeof(*items));
    for (size_t i = 0; i < q->n_escalate; i++) {
        fm_auto(fm_buf) b = {0};
        fermata_v1_Escalation m;
        memset(&m, 0, sizeof(m));
        m.after_ms = q->escalate[i].after_ms;
        m.to = pb_var_str(fm_value_string(fm_string(ctx, q->escalate[i].to), ""));
        pb_var_pack(fermata_v1_Escalation_fields, &m, &b);
        void *copy = fm_ctx_alloc(ctx, b.n + 1);
        memcpy(copy, b.p, b.n);
        items[i] = (struct fm_bytes){copy, b.n};
    }
    return pb_var_list(items, q->n_escalate);
}

static void add_pause(struct fm_ctx *ctx, const struct fm_question *q, enum ask_for what, uint64_t open_ms)
{
    fermata_v1_Pause m;
    memset(&m, 0, sizeof(m));
    m.pause_id = pb_var_str(ctx->pause_id);
    m.reason =
        q->budget ? fermata_v1_PauseReason_PAUSE_REASON_BUDGET : fermata_v1_PauseReason_PAUSE_REASON_QUESTION;
    m.asks_for = what == ASK_TOOL    ? fermata_v1_PauseReason_PAUSE_REASON_TOOL
                 : what == ASK_INPUT ? fermata_v1_PauseReason_PAUSE_REASON_INPUT
                                     : fermata_v1_PauseReason_PAUSE_REASON_UNSPECIFIED;
    m.question = pb_var_str(fm_value_string(fm_string(ctx, q->question), ""));
    m.slot = pb_var_str(q->slot);
    m.choices = choice_views(ctx, q->choices);
    m.data = encoded_map(ctx, "the data of a question", q->data);
    m.answer_schema = encoded_map(ctx, "the schema of an answer", q->answer_schema);
    m.default_answer = encoded_value(ctx, "the default answer", q->default_answer);
    m.timeout_ms = open_ms;
    m.call_id = pb_var_str(call_of(ctx, q));
    m.on_timeout = (fermata_v1_OnTimeout)q->on_timeout;
    m.assignee = pb_var_str(fm_value_string(text_or_null(ctx, q->assignee), ""));
    m.key = pb_var_str(fm_value_string(text_or_null(ctx, q->key), ""));
    m.choices_or_schema = q->choices_or_schema;
    m.escalate = escalation_views(ctx, q);
    m.has_deadline_at = q->deadline_at_ms != 0;
    m.deadline_at.seconds = fm_ms_seconds(q->deadline_at_ms);
    m.deadline_at.nanos = fm_ms_nanos(q->deadline_at_ms);
    if (ctx->out.failed)
        return;
    ctx->out.pauses = fm_xgrow(ctx->out.pauses, ctx->out.n_pauses, sizeof(*ctx->out.pauses));
    ctx->out.pauses[ctx->out.n_pauses] = (struct fm_buf){0};
    pb_var_pack(fermata_v1_Pause_fields, &m, &ctx->out.pauses[ctx->out.n_pauses++]);
    struct asked *a = fm_ctx_alloc(ctx, sizeof(*a));
    a->pause_id = ctx_keep_text(ctx, ctx->pause_id);
    a->routine = "";
    a->key = q->key == NULL ? "" : ctx_keep_text(ctx, q->key);
    a->call_id = ctx_keep_text(ctx, call_of(ctx, q));
    DL_APPEND(ctx->out.asked, a);
}

static const char *ask(struct fm_ctx *ctx, const struct fm_question *q, enum ask_for what)
{
    uint64_t open_ms = 0;
    if (ctx->job->flow->parallelism > 1) /* which number the step will have is not known before it ends */
        snprintf(ctx->pause_id, sizeof(ctx->pause_id), "p-%.40s.%zu", ctx->task->id, ctx->out.n_pauses);
    else
        snprintf(ctx->pause_id, sizeof(ctx->pause_id), "p%u.%zu", fm_ctx_step(ctx), ctx->out.n_pauses);
    char *id = fm_ctx_alloc(ctx, sizeof(ctx->pause_id));
    memcpy(id, ctx->pause_id, sizeof(ctx->pause_id));
    if (ctx_has_room(ctx, "questions", ctx->out.n_pauses, FM_MAX_STEP_PAUSES) &&
        has_slot(ctx, q->slot, "answer") && schema_ok(ctx, q->answer_schema) &&
        keeps_rules(ctx, settings_of(ctx, q)) && has_timeout_event(ctx, q) && stays_open(ctx, q, &open_ms))
        add_pause(ctx, q, what, open_ms);
    return id;
}

const char *fm_ctx_ask(struct fm_ctx *ctx, const struct fm_question *q)
{
    struct fm_question whole = {0};
    bool old = ctx->routine->type->abi < 3; /* a plugin's question ends before what is new */
    memcpy(&whole, q, old ? offsetof(struct fm_question, deadline_at_ms) : sizeof(whole));
    return ask(ctx, &whole, ASK_QUESTION);
}

const char *ctx_ask(struct fm_ctx *ctx, const struct fm_question *q, enum ask_for what)
{
    return ask(ctx, q, what);
}

const char *fm_ctx_pause(struct fm_ctx *ctx, const char *question, const char *slot,
                         const struct fm_value *data, const struct fm_value *choices)
{
    const struct fm_question q = {.question = question, .slot = slot, .data = data, .choices = choices};
    return ask(ctx, &q, ASK_QUESTION);
}

const char *ctx_key_text(struct fm_ctx *ctx, const struct fm_value *v)
{
    fm_auto(fm_buf) b = {0};
    if (fm_value_kind(v) != FM_NUMBER)
        return fm_value_string(v, "");
    json_value_write(v, &b);
    fm_buf_append(&b, "", 1);
    return ctx_keep_text(ctx, (const char *)b.p);
}

bool ctx_read_question(struct fm_ctx *ctx, const struct fm_value *settings, struct fm_question *q)
{
    double deadline_ms = 0;
    const struct fm_value *escalate = fm_value_get(settings, "escalate"),
                          *deadline = fm_value_get(settings, "deadline_at");
    if (!keeps_rules(ctx, settings))
        return false;
    if (deadline != NULL && question_deadline(deadline, &deadline_ms))
        q->deadline_at_ms = deadline_ms > 1 ? (int64_t)fm_count_from(deadline_ms) : 1;
    q->timeout_ms = fm_count_from(fm_value_number(fm_value_get(settings, "timeout_ms"), 0));
    q->default_answer = fm_value_get(settings, "default_answer");
    q->choices = fm_value_get(settings, "choices");
    q->answer_schema = fm_value_get(settings, "answer_schema");
    q->on_timeout =
        (uint32_t)question_on_timeout(fm_value_string(fm_value_get(settings, "on_timeout"), NULL));
    q->assignee = fm_value_string(fm_value_get(settings, "assignee"), NULL);
    q->key = fm_value_string(fm_value_get(settings, "key"), NULL);
    q->n_escalate = question_escalations(escalate);
    struct fm_escalation *list = fm_ctx_alloc(ctx, (q->n_escalate + 1) * sizeof(*list));
    for (size_t i = 0; i < q->n_escalate; i++) {
        const struct fm_value *e = question_escalation(escalate, i);
        list[i].after_ms = fm_count_from(fm_value_number(fm_value_get(e, "after_ms"), 0));
        list[i].to = fm_value_string(fm_value_get(e, "to"), "");
    }
    q->escalate = list;
    return true;
}

void fm_ctx_start_job(struct fm_ctx *ctx, const struct fm_child *child)
{
    if (!has_slot(ctx, child->result_slot, "result"))
        return;
    fermata_v1_ChildStart m;
    memset(&m, 0, sizeof(m));
    m.flow = pb_var_str(child->flow);
    m.flow_version = child->flow_version;
    m.has_entry = true;
    m.entry.routine = pb_var_str(child->routine);
    m.entry.slot = pb_var_str(child->slot);
    m.data = encoded_map(ctx, "the data of a job", child->data);
    m.shared_data = encoded_map(ctx, "the shared data of a job", child->shared_data);
    m.result_slot = pb_var_str(child->result_slot);
    if (ctx->out.failed)
        return;
    struct child *c = fm_ctx_alloc(ctx, sizeof(*c));
    pb_var_pack(fermata_v1_ChildStart_fields, &m, &c->body);
    DL_APPEND(ctx->out.children, c);
}
