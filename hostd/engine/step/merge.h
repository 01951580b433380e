/* Merging of inputs. */
#ifndef FM_ENGINE_MERGE_H
#define FM_ENGINE_MERGE_H

struct fm_ctx;
struct merge;
struct routine;

/* The merge of a slot that puts several data together; NULL: each is a task of its own. */
const struct merge *merge_find(const struct routine *r, const char *slot);
/* Handles a datum that came to such a slot; returns as a handler does. */
int merge_take(struct fm_ctx *ctx, const struct merge *m);

#endif
