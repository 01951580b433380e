/* Changes of the routine's state and of the shared data. */
#ifndef FM_ENGINE_CHANGES_H
#define FM_ENGINE_CHANGES_H

struct fm_ctx;

/* Makes the handler's changes of state in the job. */
void ctx_apply_changes(struct fm_ctx *ctx);

#endif
