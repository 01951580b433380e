/* The HostAgent service: one stream a host. Each message is guarded and decoded here, and goes to the core
 * (core/sessions/session.c). */
#include "host_agent.h"

#include "access.h"
#include "agreed.h"
#include "arena.h"
#include "buf.h"
#include "core.h"
#include "err.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "guard.h"
#include "rpc.h"
#include "server_calls.h"
#include "size_limits.h"

static void on_message(struct rpc_call *call, void *user, struct fm_bytes message)
{
    struct server_call *c = user;
    struct server *s = c->server;
    struct fm_err err = {0};
    ProtobufCMessage *m;
    server_time(s);
    rpc_loop_doing(s->loop, "a message of a host");
    fm_arena_reset(&s->arena);
    if (pbc_decode(&fermata__v1__host_message__descriptor, message, FM_MAX_FROM_HOST_BYTES, &s->arena, &m,
                   &err) == 0) {
        core_host_message(s->core, c->id, m);
        return;
    }
    core_host_closed(s->core, c->id);
    server_fail(call, &err);
    fm_err_done(&err);
}

/* The host closed its side, or is gone. */
static void gone(struct server_call *c)
{
    server_time(c->server);
    core_host_closed(c->server->core, c->id);
}

static void on_half_close(struct rpc_call *call, void *user)
{
    gone(user);
    rpc_call_finish(call, NULL, (struct fm_bytes){0});
}

static void on_close(struct rpc_call *call, void *user)
{
    (void)call;
    gone(user);
    server_call_forget(user);
}

static void attach(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {
        .on_message = on_message, .on_half_close = on_half_close, .on_close = on_close};
    (void)method;
    (void)message;
    struct server *s = rpc_call_service(call);
    struct caller caller;
    if (!access_permits(call, s->roles, "HostAgent/Attach", ROLE_HOST, &caller) ||
        !server_admit(call, LIMIT_HOST_STREAMS))
        return;
    struct server_call *c = server_call_new(s, call, SERVER_CALL_HOST);
    rpc_call_events(call, &events, c, 0);
    server_time(s);
    core_host_opened(s->core, c->id, rpc_call_peer(call), &caller.who);
}

const struct rpc_method agent_methods[] = {
    {"/fermata.v1.HostAgent/Attach", RPC_BIDI, attach, NULL, 0},
};
const size_t n_agent_methods = sizeof(agent_methods) / sizeof(agent_methods[0]);
