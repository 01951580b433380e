/* Routine type "log" (common/catalog/types/log.json): appends what it gets to the job's shared log
 * and passes it on. */
#include <string.h>

#include "builtin.h"
#include "log.h"

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

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *message = fm_value_string(fm_value_get(config, "message"), "log");
    write_line(ctx, fm_value_string(fm_value_get(config, "level"), "info"), message);
    fm_ctx_log(ctx, message, data);
    fm_ctx_emit(ctx, "output", data);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type log_type = {.abi = FM_ROUTINE_ABI, .name = "log", .slots = slots, .n_slots = 1};
