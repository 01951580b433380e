/* Carries out what handlers ask of the outside world: HTTP requests (http.c), child processes
 * (process.c), those that stay for many tasks (serve.c), and jq programs (evals.c). Part of hostd's shell;
 * everything on the libuv loop's thread. */
#ifndef FM_OUTSIDE_H
#define FM_OUTSIDE_H

#include <uv.h>

#include "engine.h"

struct outside;
struct secrets;

struct outside_config {
    const struct secrets *secrets;
    const char *ca_file; /* further certificates to trust; NULL: the system's only */
};

/* `after` is called after every input to the engine. What cfg points to must outlive it. */
struct outside *outside_new(uv_loop_t *loop, const struct outside_config *cfg, void (*after)(void *arg),
                            void *arg);
/* The engine whose calls these are; before the first call. */
void outside_set_engine(struct outside *c, struct engine *e);
/* For struct engine_io: `c` is the calls. */
void outside_start(struct outside *c, uint64_t id, enum engine_call_kind kind, const void *request);
void outside_cancel(struct outside *c, uint64_t id, enum engine_call_kind kind);
/* Ends everything, children too; run the loop until its handles are closed, then free it. */
void outside_stop(struct outside *c);
void outside_free(struct outside *c);

#endif
