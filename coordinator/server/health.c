/* grpc.health.v1: SERVING once recovery is complete, NOT_SERVING while stopping. See
 * https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
#include "health.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "buf.h"
#include "err.h"
#include "grpc/health/v1/health.pb-c.h"
#include "mem.h"
#include "rpc.h"
#include "server_calls.h"

struct health_watch {
    struct health_watch *prev, *next;
    struct server *server;
    struct server_call *registered;
    struct rpc_call *call;
    bool known;
};

static bool is_known(const char *service)
{
    static const char *const services[] = {"", "fermata.v1.Flows", "fermata.v1.Jobs", "fermata.v1.Hosts",
                                           "fermata.v1.HostAgent"};
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (strcmp(services[i], service) == 0)
            return true;
    return false;
}

static Grpc__Health__V1__HealthCheckResponse__ServingStatus status(const struct server *s)
{
    return s->recovered && !s->stopping
               ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
               : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

static void check(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    const ProtobufCMessage *m = server_decode(call, method->detail, message);
    if (m == NULL)
        return;
    const char *service = ((const Grpc__Health__V1__HealthCheckRequest *)(const void *)m)->service;
    if (!is_known(service)) {
        struct fm_err err = {0};
        fm_err_set(&err, FM_NOT_FOUND, "service", "there is no service \"%.100s\"", service);
        server_fail(call, &err);
        return;
    }
    Grpc__Health__V1__HealthCheckResponse r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    r.status = status(rpc_call_service(call));
    server_reply(call, &r.base);
}

static void send_status(struct health_watch *w)
{
    Grpc__Health__V1__HealthCheckResponse r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t b[16];
    r.status = w->known ? status(w->server)
                        : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    size_t n = protobuf_c_message_pack(&r.base, b);
    (void)rpc_call_send(w->call, (struct fm_bytes){b, n});
}

static void on_close(struct rpc_call *call, void *user)
{
    (void)call;
    struct health_watch *w = user;
    DL_DELETE(w->server->health_watches, w);
    server_call_forget(w->registered);
    free(w);
}

static void watch(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {.on_close = on_close};
    if (!server_admit(call, 0))
        return;
    const ProtobufCMessage *m = server_decode(call, method->detail, message);
    if (m == NULL)
        return;
    struct health_watch *w = fm_xcalloc(1, sizeof(*w));
    w->server = rpc_call_service(call);
    w->registered = server_call_new(w->server, call, SERVER_CALL_HEALTH);
    w->call = call;
    w->known = is_known(((const Grpc__Health__V1__HealthCheckRequest *)(const void *)m)->service);
    DL_APPEND(w->server->health_watches, w);
    rpc_call_events(call, &events, w, 0);
    send_status(w);
}

void health_changed(struct server *s)
{
    struct health_watch *w;
    DL_FOREACH (s->health_watches, w) {
        if (w->known)
            send_status(w);
        if (s->stopping)
            rpc_call_finish(w->call, NULL, (struct fm_bytes){0});
    }
}

#define REQUEST &grpc__health__v1__health_check_request__descriptor

const struct rpc_method health_methods[] = {
    {"/grpc.health.v1.Health/Check", RPC_UNARY,         check, REQUEST, 0},
    {"/grpc.health.v1.Health/Watch", RPC_SERVER_STREAM, watch, REQUEST, 0},
};
const size_t n_health_methods = sizeof(health_methods) / sizeof(health_methods[0]);
