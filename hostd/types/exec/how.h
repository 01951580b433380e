/* How a job starts its journal over, as JSON says it: what programs say, and the type "continue". */
#ifndef FM_TYPES_EXEC_HOW_H
#define FM_TYPES_EXEC_HOW_H

#include <stdbool.h>

#include <fermata/routine.h>

/* Reads {"tasks": [{"routine", "slot", "data"}], "kept": {…}, "keep_generations": n}. False: *ret_why says
 * what is wrong. */
bool how_from(struct fm_ctx *ctx, const struct fm_value *how, struct fm_continue *ret, const char **ret_why);
/* The same of "kept" and "keep_generations" alone, among other keys. */
bool how_keeps(const struct fm_value *m, struct fm_continue *ret, const char **ret_why);

#endif
