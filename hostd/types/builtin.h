/* The built-in routine types. Each file of this folder, of exec and of llm, ends in a table of the type's
 * name and handlers; what else is said of the type is in the catalog (common/catalog/types), and
 * registry_add_builtin puts it in. */
#ifndef FM_BUILTIN_H
#define FM_BUILTIN_H

#include "registry.h"

extern const struct fm_routine_type log_type;
extern const struct fm_routine_type split_type, sleep_type, aggregate_type, batch_type, debounce_type,
    job_type;
extern const struct fm_routine_type validate_type, jq_type, http_type, continue_type;

/* Adds them to a registry, as the catalog has them. */
int registry_add_builtin(struct registry *r, struct fm_err *err) FM_MUST_CHECK;

#endif
