/* A host's engine with the built-in types, whose outputs go nowhere. One a target. */
#ifndef FM_ENGINE_UNDER_FUZZ_H
#define FM_ENGINE_UNDER_FUZZ_H

#include "buf.h"
#include "engine.h"
#include "registry.h"

extern struct under {
    struct engine *e;
    struct registry *registry;
    uint64_t call, timer; /* the last that was started; 0: none */
    uint64_t seq;
    int64_t now;
    bool closed;
} under;

/* Makes an engine that is connected; ends it. */
void under_begin(void);
void under_end(void);
/* A CoordinatorMessage with this field. */
void under_message(uint32_t field, struct fm_bytes body);
void under_welcome(void);

#endif
