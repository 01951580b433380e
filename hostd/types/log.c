/* Routine type "log" (common/catalog/types/log.json): appends what it gets to the job's shared log
 * and passes it on. message_expr and data_expr are jq programs that make what is written of it. */
#include <string.h>

#include "builtin.h"
#include "expr.h"
#include "log.h"
#include "mem.h"

enum { MESSAGE, DATA };
static const char *const names[] = {"message_expr", "data_expr"};

static void write_line(struct fm_ctx *ctx, const char *level, const char *message)
{
    const char *job = fm_ctx_job_id(ctx), *routine = fm_ctx_routine_id(ctx);
    if (strcmp(level, "debug") == 0)
        FM_LOG(DEBUG, ROUTINE, "routine logs", FM_STR("job", job), FM_STR("routine", routine),
               FM_STR("text", message));
    else if (strcmp(level, "warn") == 0)
        FM_LOG(WARN, ROUTINE, "routine logs", FM_STR("job", job), FM_STR("routine", routine),
               FM_STR("text", message));
    else if (strcmp(level, "error") == 0)
        FM_LOG(ERROR, ROUTINE, "routine logs", FM_STR("job", job), FM_STR("routine", routine),
               FM_STR("text", message));
    else
        FM_LOG(INFO, ROUTINE, "routine logs", FM_STR("job", job), FM_STR("routine", routine),
               FM_STR("text", message));
}

static int write(struct fm_ctx *ctx, const char *message, const struct fm_value *data)
{
    write_line(ctx, fm_value_string(fm_value_get(fm_ctx_config(ctx), "level"), "info"), message);
    fm_ctx_log(ctx, message, data);
    fm_ctx_emit(ctx, "output", fm_ctx_data(ctx));
    return 0;
}

/* A text as it is, anything else as JSON. */
static const char *message_of(struct fm_ctx *ctx, const struct fm_value *v)
{
    if (fm_value_kind(v) == FM_STRING)
        return fm_value_string(v, "");
    fm_auto(fm_buf) json = {0};
    json_value_write(v, &json);
    char *text = fm_ctx_alloc(ctx, json.n + 1);
    memcpy(text, json.p, json.n);
    return text;
}

static int on_programs(struct fm_ctx *ctx, void *arg, const struct eval_result *e)
{
    const struct fm_value *made[2];
    (void)arg;
    if (expr_take(ctx, names, 2, e, made) < 0)
        return -1;
    const struct fm_value *config = fm_ctx_config(ctx), *data = fm_ctx_data(ctx);
    const char *message = fm_value_string(fm_value_get(config, "message"), "log");
    if (made[MESSAGE] != NULL)
        message = message_of(ctx, made[MESSAGE]);
    if (made[DATA] != NULL && fm_value_kind(made[DATA]) != FM_MAP) {
        struct fm_value *map = fm_map(ctx);
        fm_map_set(ctx, map, "value", made[DATA]);
        made[DATA] = map;
    }
    return write(ctx, message, made[DATA] != NULL ? made[DATA] : data);
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    if (expr_run(ctx, names, 2, on_programs, NULL))
        return 0;
    return write(ctx, fm_value_string(fm_value_get(fm_ctx_config(ctx), "message"), "log"), data);
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type log_type = {.abi = FM_ROUTINE_ABI, .name = "log", .slots = slots, .n_slots = 1};
