/* The engine's own state. Private to the engine's folders (and the tests that look into a copy). */
#ifndef FM_ENGINE_STATE_H
#define FM_ENGINE_STATE_H

#include "arena.h"
#include "engine_io.h"
#include "id.h"
#include "registry.h"

struct call;
struct hjob;
struct session;

#define RUN_MEMORY_BYTES (256u * 1024 * 1024) /* of a step, and of a message that is handled */

struct engine {
    struct engine_io io;
    char *host_id, *incarnation, *version;
    struct engine_label *labels;
    size_t n_labels;
    uint32_t capacity;
    size_t inbox_bytes, held_bytes; /* the limit, and what its jobs came with */
    const struct registry *registry;
    int64_t now_ms;
    struct hjob *jobs; /* of all sessions */
    struct hjob *ready;
    int64_t grace_at_ms; /* the first of the jobs' interrupt_at_ms, or earlier; 0: none */
    struct call *calls;
    uint64_t next_call;
    struct fm_arena arena; /* of the message that is being handled */
    bool draining;
    struct fm_rng rng;       /* jitter */
    struct session *session; /* with its coordinator */
};

#endif
