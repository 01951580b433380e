/* Merging of inputs. */
#ifndef FM_ENGINE_MERGE_H
#define FM_ENGINE_MERGE_H

struct fm_ctx;
struct merge;
struct routine;

/* The merge of a slot that puts several data together; NULL: each is a task of its own. */
const struct merge *merge_find(const struct routine *r, const char *slot);
/* A datum came to such a slot. Returns 1: it waits, or has made a task of what belongs together; 0: the
 * handler is to be called, with what ctx->data is now; -1: it failed. */
int merge_take(struct fm_ctx *ctx, const struct merge *m);
/* The step that handles a datum of a slot that appends is being built: from then on the datum counts. */
void merge_handled(struct fm_ctx *ctx);

#endif
