/* The built-in routine types. See builtin.h. */
#include "builtin.h"

#include "agent.h"

int registry_add_builtin(struct registry *r, struct fm_err *err)
{
    static const struct fm_routine_type *const builtin[] = {
        &llm_agent_type, &human_type, &log_type,      &split_type, &sleep_type, &aggregate_type, &batch_type,
        &debounce_type,  &job_type,   &validate_type, &exec_type,  &jq_type,    &http_type,
    };
    for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]); i++) {
        int rc = registry_add(r, builtin[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
