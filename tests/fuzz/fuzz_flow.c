/* The validator of flows: whatever decodes is accepted, and then can be drawn, or refused with a reason. */
#include <stdlib.h>

#include "flow.h"
#include "fuzz.h"
#include "graph.h"
#include "guard.h"
#include "program_check.h"

#define LIMIT (1024u * 1024)

static const struct type_spec *find_none(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return NULL;
}

static void draw(const Fermata__V1__Flow *flow, void (*how)(const Fermata__V1__Flow *, struct fm_buf *))
{
    struct fm_buf text = {0};
    how(flow, &text);
    if (text.n == 0 || text.p[text.n - 1] != '\0')
        abort();
    fm_buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct flow_types known = {find_none, NULL};
    struct fm_arena arena;
    struct fm_err err = {0};
    ProtobufCMessage *m;
    fm_arena_init(&arena, 64u * LIMIT);
    if (pbc_decode(&fermata__v1__flow__descriptor, (struct fm_bytes){data, size}, LIMIT, &arena, &m, &err) ==
        0) {
        const Fermata__V1__Flow *flow = (const Fermata__V1__Flow *)(const void *)m;
        struct program_check *programs = program_check_new();
        if (flow_validate(flow, "flow", FLOW_STORED, &known, programs, &err) == 0) {
            draw(flow, flow_graph_dot);
            draw(flow, flow_graph_mermaid);
        } else if (err.msg[0] == '\0') {
            abort();
        }
        program_check_free(programs);
    }
    fm_err_done(&err);
    fm_arena_done(&arena);
    return 0;
}
