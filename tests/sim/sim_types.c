/* Routine types of the simulation: their handlers leave marks by which the oracle sees how often each datum
 * was handled. The data are {"t": token, …}. What a handler does follows from its data and attempt alone. */
#include "sim_types.h"

#include <string.h>

#include "registry.h"

void (*sim_on_effect)(const char *job_id, const char *task_id);

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
    sim_on_effect(fm_ctx_job_id(ctx), fm_ctx_task_id(ctx));
    if (h % 4 == 0 && fm_ctx_attempt(ctx) <= 1 + h % 2)
        return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "not yet");
    if (h % 3 == 0)
        return finish(ctx, NULL);
    fm_ctx_call_after(ctx, 1 + h % 30, finish, NULL);
    return 0;
}

static int on_question(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    fm_ctx_defer(ctx, "asked", data);
    (void)fm_ctx_pause(ctx, "Go on?", "answer", NULL, NULL);
    return 0;
}

static int on_answer(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    fm_ctx_shared_append(ctx, "answers", fm_string(ctx, fm_ctx_pause_id(ctx)));
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
};

int sim_add_types(struct registry *r, struct fm_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(types) / sizeof(types[0]); i++)
        rc = registry_add(r, &types[i], err);
    return rc;
}
