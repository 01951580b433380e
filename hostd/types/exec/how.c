/* How a job starts its journal over, as JSON says it. See how.h. */
#include "how.h"

#include <string.h>

#include "err.h"
#include "own_types.h"
#include "times.h"
#include "value.h"

static bool bad(const char **ret_why, const char *why)
{
    *ret_why = why;
    return false;
}

static bool known(const struct fm_value *m, const char *const *keys)
{
    for (size_t i = 0; i < fm_value_size(m); i++) {
        bool found = false;
        for (size_t k = 0; keys[k] != NULL && !found; k++)
            found = strcmp(fm_value_key(m, i), keys[k]) == 0;
        if (!found)
            return false;
    }
    return true;
}

/* A number of things to keep, if it is given. */
static bool count_at(const struct fm_value *m, const char *key, bool *ret_given, uint32_t *ret)
{
    const struct fm_value *v = fm_value_get(m, key);
    *ret_given = v != NULL;
    if (v == NULL)
        return true;
    double n = fm_value_number(v, -1);
    *ret = n >= 0 ? fm_count32_from(n) : 0;
    return n >= 0;
}

static bool kept_from(const struct fm_value *kept, struct fm_continue *ret, const char **ret_why)
{
    static const char *const keys[] = {"log", "outputs", "no_shared_data", "no_routine_states", NULL};
    if (kept == NULL)
        return true;
    if (fm_value_kind(kept) != FM_MAP || !known(kept, keys))
        return bad(ret_why, "\"kept\" is an object with log, outputs, no_shared_data, no_routine_states");
    if (!count_at(kept, "log", &ret->trim_log, &ret->log) ||
        !count_at(kept, "outputs", &ret->trim_outputs, &ret->outputs))
        return bad(ret_why, "\"kept\": log and outputs are numbers from 0 on");
    ret->no_shared_data = fm_value_bool(fm_value_get(kept, "no_shared_data"), false);
    ret->no_routine_states = fm_value_bool(fm_value_get(kept, "no_routine_states"), false);
    return true;
}

static bool tasks_from(struct fm_ctx *ctx, const struct fm_value *tasks, struct fm_continue *ret,
                       const char **ret_why)
{
    static const char *const keys[] = {"routine", "slot", "data", NULL};
    size_t n = fm_value_size(tasks);
    if (tasks == NULL)
        return true;
    if (fm_value_kind(tasks) != FM_LIST)
        return bad(ret_why, "\"tasks\" is a list");
    struct fm_new_task *list = fm_ctx_alloc(ctx, (n + 1) * sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        const struct fm_value *t = fm_value_at(tasks, i), *data = fm_value_get(t, "data");
        list[i] = (struct fm_new_task){fm_value_string(fm_value_get(t, "routine"), NULL),
                                       fm_value_string(fm_value_get(t, "slot"), NULL), data};
        if (fm_value_kind(t) != FM_MAP || !known(t, keys) || list[i].routine == NULL ||
            list[i].slot == NULL || (data != NULL && fm_value_kind(data) != FM_MAP))
            return bad(ret_why, "each of \"tasks\" is an object with routine, slot and (an object) data");
    }
    ret->tasks = list;
    ret->n_tasks = n;
    return true;
}

bool how_keeps(const struct fm_value *m, struct fm_continue *ret, const char **ret_why)
{
    if (!count_at(m, "keep_generations", &ret->trim_history, &ret->keep_generations))
        return bad(ret_why, "\"keep_generations\" is a number from 0 on");
    return kept_from(fm_value_get(m, "kept"), ret, ret_why);
}

bool how_from(struct fm_ctx *ctx, const struct fm_value *how, struct fm_continue *ret, const char **ret_why)
{
    static const char *const keys[] = {"tasks", "kept", "keep_generations", NULL};
    *ret = (struct fm_continue){0};
    if (fm_value_kind(how) != FM_MAP || !known(how, keys))
        return bad(ret_why, "\"continue\" is an object with tasks, kept, keep_generations");
    return tasks_from(ctx, fm_value_get(how, "tasks"), ret, ret_why) && how_keeps(how, ret, ret_why);
}
