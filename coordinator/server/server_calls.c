/* What the services have in common: the calls under way, how they are refused, decoded, answered. */
#include "server_calls.h"

#include <stdlib.h>

#include <uthash.h>

#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "core.h"
#include "err.h"
#include "guard.h"
#include "log.h"
#include "mem.h"
#include "rpc.h"
#include "size_limits.h"
#include "wire.h"

void server_time(struct server *s)
{
    core_set_time(s->core, fm_now_mono_ms(), fm_now_wall_ms());
}

#define RETRY_CALL_MS 500

void server_fail(struct rpc_call *call, const struct fm_err *err)
{
    struct fm_buf details = {0};
    server_status_details(err, &details);
    FM_LOG(DEBUG, RPC, "call refused", FM_STR("code", fm_code_name((int)err->code)),
           FM_STR("field", err->field), FM_ERR(err));
    rpc_call_finish(call, err, (struct fm_bytes){details.p, details.n});
    fm_buf_done(&details);
}

void server_reply(struct rpc_call *call, const ProtobufCMessage *message)
{
    struct fm_buf b = {0};
    size_t n = protobuf_c_message_get_packed_size(message);
    fm_buf_reserve(&b, n);
    b.n = protobuf_c_message_pack(message, b.p);
    rpc_call_reply(call, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

bool server_admit(struct rpc_call *call, size_t reserve)
{
    struct server *s = rpc_call_service(call);
    size_t limit = (s->max_calls > 0 ? s->max_calls : LIMIT_OPEN_CALLS) + reserve,
           open = HASH_COUNT(s->calls);
    if (open < limit)
        return true;
    struct fm_err err = {0};
    fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "%zu calls are open; the limit is %zu: try again later",
               open, limit);
    (void)fm_err_retry(&err, RETRY_CALL_MS);
    server_fail(call, &err);
    return false;
}

struct server_call *server_call_new(struct server *s, struct rpc_call *call, enum server_call_kind kind)
{
    struct server_call *c = fm_xcalloc(1, sizeof(*c));
    c->id = ++s->next_id;
    c->server = s;
    c->call = call;
    c->kind = kind;
    HASH_ADD(hh, s->calls, id, sizeof(c->id), c);
    return c;
}

void server_call_forget(struct server_call *c)
{
    HASH_DEL(c->server->calls, c);
    free(c);
}

struct server_call *server_call_find(struct server *s, uint64_t id)
{
    struct server_call *c;
    HASH_FIND(hh, s->calls, &id, sizeof(id), c);
    return c;
}

ProtobufCMessage *server_decode(struct rpc_call *call, const ProtobufCMessageDescriptor *d,
                                struct fm_bytes message)
{
    struct server *s = rpc_call_service(call);
    struct fm_err err = {0};
    ProtobufCMessage *request;
    const struct wire_limits limits = {LIMIT_REQUEST_BYTES, LIMIT_REQUEST_DEPTH, LIMIT_REQUEST_ELEMENTS};
    fm_arena_reset(&s->arena);
    if (pbc_decode_within(d, message, &limits, &s->arena, &request, &err) == 0)
        return request;
    server_fail(call, &err);
    fm_err_done(&err);
    return NULL;
}
