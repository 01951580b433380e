/* What a handler asks of the world beyond its step: a question to a person, another job. Part of
 * the routine API (fermata/routine.h). */
#include "ctx.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "agreed.h"
#include "fermata/v1/types.pb.h"
#include "hjob.h"
#include "json_schema.h"
#include "mem.h"
#include "own_types.h"
#include "registry.h"
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

static const char *ask(struct fm_ctx *ctx, const struct fm_question *q, enum ask_for what)
{
    if (ctx->job->flow->parallelism > 1) /* which number the step will have is not known before it ends */
        snprintf(ctx->pause_id, sizeof(ctx->pause_id), "p-%.40s.%zu", ctx->task->id, ctx->out.n_pauses);
    else
        snprintf(ctx->pause_id, sizeof(ctx->pause_id), "p%u.%zu", fm_ctx_step(ctx), ctx->out.n_pauses);
    if (!ctx_has_room(ctx, "questions", ctx->out.n_pauses, FM_MAX_STEP_PAUSES) ||
        !has_slot(ctx, q->slot, "answer") || !schema_ok(ctx, q->answer_schema))
        return ctx->pause_id;
    if (q->timeout_ms > FM_MAX_AHEAD_MS) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                          "a question stays open for %llu ms; the limit is %llu",
                          (unsigned long long)q->timeout_ms, (unsigned long long)FM_MAX_AHEAD_MS);
        return ctx->pause_id;
    }
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
    m.timeout_ms = q->timeout_ms;
    m.call_id = pb_var_str(call_of(ctx, q));
    if (ctx->out.failed)
        return ctx->pause_id;
    ctx->out.pauses = fm_xgrow(ctx->out.pauses, ctx->out.n_pauses, sizeof(*ctx->out.pauses));
    ctx->out.pauses[ctx->out.n_pauses] = (struct fm_buf){0};
    pb_var_pack(fermata_v1_Pause_fields, &m, &ctx->out.pauses[ctx->out.n_pauses++]);
    char *id = fm_ctx_alloc(ctx, sizeof(ctx->pause_id));
    memcpy(id, ctx->pause_id, sizeof(ctx->pause_id));
    return id;
}

const char *fm_ctx_ask(struct fm_ctx *ctx, const struct fm_question *q)
{
    return ask(ctx, q, ASK_QUESTION);
}

const char *ctx_ask(struct fm_ctx *ctx, const struct fm_question *q, enum ask_for what)
{
    return ask(ctx, q, what);
}

const char *fm_ctx_pause(struct fm_ctx *ctx, const char *question, const char *slot,
                         const struct fm_value *data, const struct fm_value *choices)
{
    const struct fm_question q = {.question = question, .slot = slot, .data = data, .choices = choices};
    return fm_ctx_ask(ctx, &q);
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
