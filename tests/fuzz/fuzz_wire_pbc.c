/* The guard and protobuf-c: what the guard lets pass must decode, and what was decoded must pass again and
 * encode to the same bytes. The first byte picks the message: of the list here, then the request of every
 * method of Flows, Jobs and Hosts in the order of their tables. */
#include <stdlib.h>
#include <string.h>

#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fuzz.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "guard.h"
#include "methods_table.h"

#define LIMIT (1024u * 1024)

static struct fm_buf pack(const ProtobufCMessage *m)
{
    struct fm_buf b = {0};
    fm_buf_reserve(&b, protobuf_c_message_get_packed_size(m) + 1);
    b.n = protobuf_c_message_pack(m, b.p);
    return b;
}

static const ProtobufCMessageDescriptor *const messages[] = {
    &fermata__v1__host_message__descriptor,
    &fermata__v1__submit_job_request__descriptor,
    &fermata__v1__put_flow_request__descriptor,
    &fermata__v1__resume_job_request__descriptor,
    &fermata__v1__list_jobs_request__descriptor,
    &fermata__v1__job_state__descriptor,
    &grpc__reflection__v1__server_reflection_request__descriptor};
#define N_MESSAGES (sizeof(messages) / sizeof(messages[0]))

static const ProtobufCMessageDescriptor *pick(size_t i)
{
    size_t n_methods = 0;
    while (method_at(n_methods) != NULL)
        n_methods++;
    i %= N_MESSAGES + n_methods;
    return i < N_MESSAGES ? messages[i] : method_at(i - N_MESSAGES)->request;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_arena arena, again;
    struct fm_err err = {0};
    ProtobufCMessage *m, *m2;
    if (size == 0)
        return 0;
    const ProtobufCMessageDescriptor *d = pick(data[0]);
    fm_arena_init(&arena, 256u * LIMIT);
    fm_arena_init(&again, 256u * LIMIT);
    if (pbc_decode(d, (struct fm_bytes){data + 1, size - 1}, LIMIT, &arena, &m, &err) == 0) {
        struct fm_buf once = pack(m);
        if (pbc_decode(d, (struct fm_bytes){once.p, once.n}, LIMIT, &again, &m2, &err) < 0)
            abort();
        struct fm_buf twice = pack(m2);
        if (once.n != twice.n || memcmp(once.p, twice.p, once.n) != 0)
            abort();
        fm_buf_done(&once);
        fm_buf_done(&twice);
    } else if (err.code != FM_INVALID_ARGUMENT || err.msg[0] == '\0') {
        abort();
    }
    fm_err_done(&err);
    fm_arena_done(&arena);
    fm_arena_done(&again);
    return 0;
}
