/* Routine type "job" (common/catalog/types/job.json): runs another flow as a job of its own and
 * waits for its end. When the child has not COMPLETED, the task of slot _result fails with the
 * child's error, or event failed is emitted. The child is started with the commit of the step, so
 * exactly once; it is cancelled with this job, and its questions are shown with this job's. */
#include <string.h>

#include "builtin.h"
#include "err.h"
#include "times.h"

static int on_start(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx), *names = fm_value_get(config, "shared");
    struct fm_value *shared = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(names); i++) {
        const char *name = fm_value_string(fm_value_at(names, i), "");
        const struct fm_value *v = name[0] == '\0' ? NULL : fm_ctx_shared_get(ctx, name);
        if (v != NULL)
            fm_map_set(ctx, shared, name, v);
    }
    struct fm_child child = {.flow = fm_value_string(fm_value_get(config, "flow"), ""),
                             .flow_version =
                                 fm_count32_from(fm_value_number(fm_value_get(config, "version"), 0)),
                             .routine = fm_value_string(fm_value_get(config, "routine"), ""),
                             .slot = fm_value_string(fm_value_get(config, "slot"), ""),
                             .data = data,
                             .shared_data = shared,
                             .result_slot = "_result"};
    fm_ctx_start_job(ctx, &child);
    return 0;
}

/* A child's code as the code of this task's failure: one that a routine may have, else UNKNOWN. */
static enum fm_failure failure_of(const char *code)
{
    static const enum fm_failure codes[] = {
        FM_FAIL_INVALID_ARGUMENT,    FM_FAIL_DEADLINE_EXCEEDED, FM_FAIL_RESOURCE_EXHAUSTED,
        FM_FAIL_FAILED_PRECONDITION, FM_FAIL_ABORTED,           FM_FAIL_INTERNAL,
        FM_FAIL_UNAVAILABLE};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(fm_code_name((int)codes[i]), code) == 0)
            return codes[i];
    return FM_FAIL_UNKNOWN;
}

static int on_result(struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *status = fm_value_string(fm_value_get(data, "status"), "");
    const char *how = fm_value_string(fm_value_get(fm_ctx_config(ctx), "on_failure"), "fail");
    if (strcmp(status, "COMPLETED") == 0) {
        fm_ctx_emit(ctx, "completed", data);
        return 0;
    }
    if (strcmp(how, "event") == 0) {
        fm_ctx_emit(ctx, "failed", data);
        return 0;
    }
    const struct fm_value *error = fm_value_get(data, "error");
    (void)fm_ctx_fail(ctx, failure_of(fm_value_string(fm_value_get(error, "code"), "")),
                      "job %.26s is %s: %.300s", fm_value_string(fm_value_get(data, "job_id"), "?"), status,
                      fm_value_string(fm_value_get(error, "message"), "no error was given"));
    fm_ctx_fail_permanent(ctx); /* the child's end is what it is: a retry cannot change it */
    return -1;
}

static const struct fm_slot slots[] = {
    {"start",   on_start },
    {"_result", on_result}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type job_type = {.abi = FM_ROUTINE_ABI, .name = "job", .slots = slots, .n_slots = 2};
