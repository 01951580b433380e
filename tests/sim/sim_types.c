/* Routine types of the simulation: their handlers leave marks by which the oracle sees how often each datum
 * was handled. The data are {"t": token, …}. What a handler does follows from its data and attempt alone. */
#include "sim_types.h"

#include <string.h>

#include "registry.h"

void (*sim_on_effect)(const char *job_id, const char *routine, const char *task_id, uint32_t epoch);
void (*sim_on_kill)(const char *job_id, const char *task_id, uint32_t epoch);
void (*sim_on_once)(const char *job_id, const char *task_id, uint32_t epoch);

static unsigned hash(const char *s)
{
    unsigned h = 5381;
    for (; *s != '\0'; s++)
        h = h * 33 + (unsigned char)*s;
    return h;
}

static const char *token(const struct fm_value *data)
{
    return fm_value_string(fm_value_get(data, "t"), "?");
}

static void add_one(struct fm_ctx *ctx, const char *key)
{
    fm_ctx_state_set(ctx, key, fm_number(ctx, fm_value_number(fm_ctx_state_get(ctx, key), 0) + 1));
}

/* A handler with effects begins. */
static void begin(struct fm_ctx *ctx)
{
    sim_on_effect(fm_ctx_job_id(ctx), fm_ctx_routine_id(ctx), fm_ctx_task_id(ctx), fm_ctx_epoch(ctx));
}

static int on_in(struct fm_ctx *ctx, const struct fm_value *data)
{
    add_one(ctx, "n");
    fm_ctx_emit(ctx, "x", data);
    if (fm_value_bool(fm_value_get(data, "ask"), false))
        fm_ctx_emit(ctx, "q", data);
    return 0;
}

static int finish(struct fm_ctx *ctx, void *arg)
{
    (void)arg;
    add_one(ctx, "n");
    fm_ctx_shared_append(ctx, "done", fm_string(ctx, token(fm_ctx_data(ctx))));
    fm_ctx_log(ctx, token(fm_ctx_data(ctx)), NULL);
    return 0;
}

/* Some attempts fail and are tried again, by a short delay or by one for which the job leaves its host. */
static int on_work(struct fm_ctx *ctx, const struct fm_value *data)
{
    unsigned h = hash(token(data));
    begin(ctx);
    if (h % 4 == 0 && fm_ctx_attempt(ctx) <= 1 + h % 2)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "not yet");
    if (h % 3 == 0)
        return finish(ctx, NULL);
    fm_ctx_call_after(ctx, 1 + h % 30, finish, NULL);
    return 0;
}

/* A question that closes by itself after "ms" says then that nobody has answered. */
static int on_question(struct fm_ctx *ctx, const struct fm_value *data)
{
    uint64_t ms = (uint64_t)fm_value_number(fm_value_get(data, "ms"), 0);
    const struct fm_question q = {.question = "Go on?",
                                  .slot = "answer",
                                  .timeout_ms = ms,
                                  .default_answer = ms > 0 ? fm_string(ctx, "nobody") : NULL};
    fm_ctx_defer(ctx, "asked", data);
    (void)fm_ctx_ask(ctx, &q);
    return 0;
}

static int on_answer(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *answer = fm_value_get(data, "answer");
    bool yes = fm_value_bool(answer, false) && !fm_value_bool(fm_value_get(data, "expired"), false);
    fm_ctx_shared_append(ctx, "answers", fm_string(ctx, fm_ctx_pause_id(ctx)));
    fm_ctx_shared_append(ctx, "said", fm_string(ctx, yes ? "yes" : fm_value_string(answer, "?")));
    return 0;
}

static int on_asked(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    add_one(ctx, "asked");
    return 0;
}

static int on_later(struct fm_ctx *ctx, const struct fm_value *data)
{
    unsigned h = hash(token(data));
    fm_ctx_schedule(ctx, "late", data, h % 2 == 0 ? 20 : 1500, NULL);
    return 0;
}

static int on_late(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_shared_append(ctx, "late", fm_string(ctx, token(data)));
    return 0;
}

static int did_once(struct fm_ctx *ctx, void *arg)
{
    (void)arg;
    fm_ctx_emit(ctx, "did", fm_ctx_data(ctx));
    return 0;
}

/* Some attempts fail, some take longer than a pause waits, or than an attempt may. */
static int on_once(struct fm_ctx *ctx, const struct fm_value *data)
{
    unsigned h = hash(token(data)) / 3;
    bool first = fm_ctx_attempt(ctx) == 1;
    begin(ctx);
    if (h % 7 == 0 && first)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "not yet");
    fm_ctx_call_after(ctx, h % 4 == 0 && first ? 700 : 1 + h % 60, did_once, NULL);
    return 0;
}

static int on_noticed_once(struct fm_ctx *ctx, const struct fm_value *data)
{
    sim_on_once(fm_ctx_job_id(ctx), fm_ctx_task_id(ctx), fm_ctx_epoch(ctx));
    return on_once(ctx, data);
}

static int on_did(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_shared_append(ctx, "once", fm_string(ctx, token(data)));
    return 0;
}

/* The event "error" of a task that was lost. */
static int on_lost(struct fm_ctx *ctx, const struct fm_value *data)
{
    bool aborted = strcmp(fm_value_string(fm_value_get(data, "code"), ""), "ABORTED") == 0;
    fm_ctx_shared_append(ctx, aborted ? "lost" : "failed", fm_string(ctx, token(fm_value_get(data, "data"))));
    return 0;
}

/* ---- what costs ---- */

static int pay(struct fm_ctx *ctx, void *arg)
{
    (void)arg;
    add_one(ctx, "n");
    fm_ctx_usage(ctx, 10, 3, 1, 0.01);
    fm_ctx_shared_append(ctx, "spent", fm_string(ctx, token(fm_ctx_data(ctx))));
    return 0;
}

/* When the limit is reached a person is asked, and what came waits. Some attempts have used something, and
 * fail. */
static int on_spend(struct fm_ctx *ctx, const struct fm_value *data)
{
    unsigned h = hash(token(data));
    double limit = fm_value_number(fm_ctx_state_get(ctx, "limit"), 0);
    begin(ctx);
    if (fm_value_number(fm_ctx_state_get(ctx, "n"), 0) >= limit) {
        const struct fm_question q = {.question = "It costs more.", .slot = "more", .budget = true};
        fm_ctx_state_append(ctx, "waiting", data);
        if (fm_value_size(fm_ctx_state_get(ctx, "waiting")) == 1)
            (void)fm_ctx_ask(ctx, &q);
        return 0;
    }
    if (h % 4 == 0 && fm_ctx_attempt(ctx) == 1) {
        fm_ctx_usage(ctx, 10, 0, 0, 0.01);
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "not yet");
    }
    fm_ctx_call_after(ctx, 1 + h % 20, pay, NULL);
    return 0;
}

static int on_more(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *waiting = fm_ctx_state_get(ctx, "waiting");
    double more = fm_value_number(fm_value_get(data, "answer"), 1);
    fm_ctx_state_set(ctx, "limit", fm_number(ctx, fm_value_number(fm_ctx_state_get(ctx, "limit"), 0) + more));
    for (size_t i = 0; i < fm_value_size(waiting); i++)
        fm_ctx_enqueue(ctx, "in", fm_value_at(waiting, i));
    fm_ctx_state_remove(ctx, "waiting");
    return 0;
}

/* ---- what ends its host ---- */

static int finish_kill(struct fm_ctx *ctx, void *arg)
{
    (void)arg;
    return fm_ctx_fail(ctx, FM_FAIL_INTERNAL, "its host lives");
}

/* The host is ended before this is over. */
static int on_kill(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    sim_on_kill(fm_ctx_job_id(ctx), fm_ctx_task_id(ctx), fm_ctx_epoch(ctx));
    fm_ctx_call_after(ctx, 1000, finish_kill, NULL);
    return 0;
}

/* ---- jobs that start jobs ---- */

static int on_parent(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_child child = {
        .flow = "kid", .routine = "k", .slot = "in", .data = data, .result_slot = "result"};
    fm_ctx_start_job(ctx, &child);
    return 0;
}

/* What a child has put out comes back. */
static int on_result(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *output = fm_value_at(fm_value_get(data, "outputs"), 0);
    bool good = strcmp(fm_value_string(fm_value_get(data, "status"), ""), "COMPLETED") == 0;
    fm_ctx_shared_append(ctx, good ? "kids" : "bad_kids",
                         fm_string(ctx, token(fm_value_get(output, "data"))));
    return 0;
}

static int kid_done(struct fm_ctx *ctx, void *arg)
{
    (void)arg;
    fm_ctx_emit(ctx, "r", fm_ctx_data(ctx));
    return 0;
}

/* Some children ask before they are done. */
static int on_kid(struct fm_ctx *ctx, const struct fm_value *data)
{
    unsigned h = hash(token(data));
    if (h % 3 == 0)
        (void)fm_ctx_pause(ctx, "Shall the child go on?", "answer", NULL, NULL);
    else
        fm_ctx_call_after(ctx, 1 + h % 200, kid_done, NULL);
    if (h % 3 == 0)
        fm_ctx_emit(ctx, "r", data);
    return 0;
}

static int on_kid_answer(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)ctx;
    (void)data;
    return 0;
}

static const struct fm_slot in_slots[] = {
    {"in", on_in}
};
static const struct fm_slot work_slots[] = {
    {"in", on_work}
};
static const struct fm_slot ask_slots[] = {
    {"q",      on_question},
    {"answer", on_answer  },
    {"asked",  on_asked   }
};
static const struct fm_slot later_slots[] = {
    {"in",   on_later},
    {"late", on_late }
};
static const struct fm_slot again_slots[] = {
    {"in", on_once}
};
static const struct fm_slot once_slots[] = {
    {"in", on_noticed_once}
};
static const struct fm_slot sink_slots[] = {
    {"did",  on_did },
    {"lost", on_lost}
};
static const struct fm_slot spend_slots[] = {
    {"in",   on_spend},
    {"more", on_more }
};
static const struct fm_slot kill_slots[] = {
    {"in", on_kill}
};
static const struct fm_slot parent_slots[] = {
    {"in",     on_parent},
    {"result", on_result}
};
static const struct fm_slot kid_slots[] = {
    {"in",     on_kid       },
    {"answer", on_kid_answer}
};
static const char *const once_events[] = {"did", "error"};
static const char *const kid_events[] = {"r"};
static const char *const in_events[] = {"x", "q"};
static const char *const ask_events[] = {"asked"};

#define TYPE(text, flag, list, count, names, n)                                                              \
    {                                                                                                        \
        .abi = FM_ROUTINE_ABI, .name = text, .version = 1, .flags = flag, .slots = list, .n_slots = count,   \
        .events = names, .n_events = n                                                                       \
    }

static const struct fm_routine_type types[] = {
    TYPE("sim_in", 0, in_slots, 1, in_events, 2),
    TYPE("sim_work", FM_EFFECTS, work_slots, 1, NULL, 0),
    TYPE("sim_ask", 0, ask_slots, 3, ask_events, 1),
    TYPE("sim_later", 0, later_slots, 2, NULL, 0),
    TYPE("sim_again", FM_EFFECTS, again_slots, 1, once_events, 2),
    TYPE("sim_once", FM_EFFECTS, once_slots, 1, once_events, 2),
    TYPE("sim_sink", 0, sink_slots, 2, NULL, 0),
    TYPE("sim_spend", FM_EFFECTS, spend_slots, 2, NULL, 0),
    TYPE("sim_killer", FM_EFFECTS, kill_slots, 1, NULL, 0),
    TYPE("sim_parent", 0, parent_slots, 2, NULL, 0),
    TYPE("sim_kid", FM_EFFECTS, kid_slots, 2, kid_events, 1),
};

int sim_add_types(struct registry *r, struct fm_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(types) / sizeof(types[0]); i++)
        rc = registry_add(r, &types[i], err);
    return rc;
}
