/* The shell around the core. See server.h. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "access.h"
#include "arena.h"
#include "buf.h"
#include "checker.h"
#include "clock.h"
#include "core.h"
#include "err.h"
#include "exact.h"
#include "guard.h"
#include "health.h"
#include "host_agent.h"
#include "io.h"
#include "log.h"
#include "mem.h"
#include "method.h"
#include "methods_table.h"
#include "program_check.h"
#include "reflection.h"
#include "roles.h"
#include "rpc.h"
#include "send.h"
#include "server_calls.h"
#include "size_limits.h"
#include "store.h"

#define POLLED_AT_ONCE 256
#define POLLED_BYTES (1u << 20)

/* ---- calls ---- */

static void on_close(struct rpc_call *call, void *user)
{
    (void)call;
    struct server_call *c = user;
    struct server *s = c->server;
    uint64_t id = c->id;
    server_call_forget(c);
    server_time(s);
    core_ticket_closed(s->core, id);
}

static void on_drained(struct rpc_call *call, void *user)
{
    (void)call;
    struct server_call *c = user;
    server_time(c->server);
    core_watch_drained(c->server->core, c->id);
}

static void begin_core_call(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {.on_close = on_close, .on_drained = on_drained};
    struct server *s = rpc_call_service(call);
    const struct method *m = method->detail;
    struct caller caller;
    if (!access_permits(call, s->roles, m->name, m->role, &caller) || !server_admit(call, 0))
        return;
    ProtobufCMessage *request = server_decode(call, m->request, message);
    if (request == NULL)
        return;
    if (!access_set_speaker(&caller, request, &s->arena)) {
        struct fm_err err = {0};
        fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "the request is too large");
        server_fail(call, &err);
        return;
    }
    struct server_call *c = server_call_new(s, call, SERVER_CALL_CORE);
    c->response = m->response;
    rpc_call_events(call, &events, c, LIMIT_WATCH_QUEUE_BYTES);
    FM_LOG(TRACE, RPC, "request", FM_STR("method", method->path), FM_STR("peer", rpc_call_peer(call)));
    server_time(s);
    rpc_loop_doing(s->loop, method->path);
    core_request(s->core, c->id, m, &caller, request, message);
}

/* A row for gRPC of each of the core's methods. */
static void add_core_methods(struct server *s)
{
    size_t n = 0;
    while (method_at(n) != NULL)
        n++;
    s->rows = fm_xcalloc(n, sizeof(*s->rows));
    for (size_t i = 0; i < n; i++) {
        const struct method *m = method_at(i);
        char path[128];
        (void)snprintf(path, sizeof(path), "/" METHODS_PACKAGE ".%s", m->name);
        s->rows[i] = (struct rpc_method){.path = fm_xstrdup(path),
                                         .kind = m->kind == METHOD_UNARY ? RPC_UNARY : RPC_SERVER_STREAM,
                                         .handler = begin_core_call,
                                         .detail = m};
    }
    s->n_rows = n;
    rpc_server_add(s->server, s->rows, n, s);
}

/* ---- what the core says ---- */

/* What the core says, as clients see it: integers that their doubles cannot show are text. */
static struct fm_bytes shown(const struct server_call *c, struct fm_bytes response, struct fm_buf *room)
{
    return exact_show(wire_msg_of(c->response), response, room) ? fm_buf_bytes(room) : response;
}

static void io_reply(void *arg, uint64_t ticket, struct fm_bytes response)
{
    struct server_call *c = server_call_find(arg, ticket);
    fm_auto(fm_buf) room = {0};
    if (c != NULL)
        rpc_call_reply(c->call, shown(c, response, &room));
}

static void io_fail(void *arg, uint64_t ticket, const struct fm_err *err)
{
    struct server_call *c = server_call_find(arg, ticket);
    if (c != NULL)
        server_fail(c->call, err);
}

static bool io_watch_send(void *arg, uint64_t ticket, struct fm_bytes response)
{
    struct server_call *c = server_call_find(arg, ticket);
    fm_auto(fm_buf) room = {0};
    return c == NULL || rpc_call_send(c->call, shown(c, response, &room));
}

static void io_watch_end(void *arg, uint64_t ticket)
{
    struct server_call *c = server_call_find(arg, ticket);
    if (c != NULL)
        rpc_call_finish(c->call, NULL, (struct fm_bytes){0});
}

static void io_host_send(void *arg, uint64_t conn, struct fm_bytes message, bool urgent)
{
    struct server_call *c = server_call_find(arg, conn);
    if (c == NULL)
        return;
    (void)rpc_call_send(c->call, message);
    if (urgent)
        rpc_call_hurry(c->call);
    if (rpc_call_queued(c->call) <= LIMIT_HOST_QUEUE_BYTES)
        return;
    struct fm_err err = {0};
    fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "the host does not read its stream: %zu bytes wait",
               rpc_call_queued(c->call));
    FM_LOG(WARN, RPC, "a host's stream is broken off", FM_STR("peer", rpc_call_peer(c->call)), FM_ERR(&err));
    rpc_call_abort(c->call, &err); /* a status in its turn would wait behind what the host does not read */
}

static void io_host_close(void *arg, uint64_t conn, const struct fm_err *err)
{
    struct server_call *c = server_call_find(arg, conn);
    if (c == NULL)
        return;
    if (err != NULL)
        server_fail(c->call, err);
    else
        rpc_call_finish(c->call, NULL, (struct fm_bytes){0});
}

static void io_host_hold(void *arg, uint64_t conn, bool hold)
{
    struct server_call *c = server_call_find(arg, conn);
    if (c != NULL)
        rpc_call_hold(c->call, hold);
}

static void io_commit(void *arg, struct store_unit *unit)
{
    struct server *s = arg;
    if (s->unit != NULL)
        store_submit_more(s->store, s->unit);
    s->unit = unit;
}

static void io_read(void *arg, const struct store_query *query)
{
    store_ask(((struct server *)arg)->store, query);
}

static void poll_checks(void *arg)
{
    struct server *s = arg;
    struct program_check *check;
    server_time(s);
    rpc_loop_doing(s->loop, "what was checked");
    while ((check = checker_poll(s->checker)) != NULL)
        core_checked(s->core, check);
    while ((check = checker_poll(s->answer_checker)) != NULL)
        core_checked(s->core, check);
}

/* On a checker's thread. */
static void on_checked(void *arg)
{
    struct server *s = arg;
    (void)rpc_loop_post(s->loop, poll_checks, s);
}

static void io_check(void *arg, struct program_check *check)
{
    struct server *s = arg;
    checker_add(program_check_is_answer(check) ? s->answer_checker : s->checker, check);
}

static void io_recovered(void *arg)
{
    struct server *s = arg;
    s->recovered = true;
    if (s->stopping)
        return;
    s->on_recovered(s->arg);
    health_changed(s);
}

/* ---- turns ---- */

static void on_timer(void *arg)
{
    struct server *s = arg;
    server_time(s);
    rpc_loop_doing(s->loop, "a deadline of the core");
    core_tick(s->core);
}

/* Once while stopping: all that was under way in the store is answered. Who waits for more than that will not
 * get it here. */
static void quiet(struct server *s)
{
    struct fm_err err = {0};
    struct server_call *c, *tmp;
    s->quiet = true;
    fm_err_set(&err, FM_UNAVAILABLE, NULL, "the coordinator is stopping");
    HASH_ITER (hh, s->calls, c, tmp)
        server_fail(c->call, &err);
    rpc_timer_stop(s->loop, &s->stop_timer);
    s->on_quiet(s->arg);
}

static void on_stop_grace_over(void *arg)
{
    struct server *s = arg;
    FM_LOG(WARN, STORAGE, "the store has not finished what is under way, stopping nevertheless");
    quiet(s);
}

static void on_turn(void *arg)
{
    struct server *s = arg;
    core_flush(s->core);
    if (s->unit != NULL)
        store_submit(s->store, s->unit);
    s->unit = NULL;
    if (s->stopping && !s->quiet && core_idle(s->core))
        quiet(s);
    int64_t at = core_next_deadline(s->core);
    if (at < 0)
        rpc_timer_stop(s->loop, &s->timer);
    else
        rpc_timer_start(s->loop, &s->timer, at, on_timer, s);
}

/* Not all at once: between them the loop must get to what has been sent, else replies pile up that are long
 * read or given up. */
static void poll_store(void *arg)
{
    struct server *s = arg;
    struct store_done *d = NULL;
    server_time(s);
    rpc_loop_doing(s->loop, "what the store has done");
    size_t bytes = 0;
    for (int i = 0; i < POLLED_AT_ONCE && bytes < POLLED_BYTES && (d = store_poll(s->store)) != NULL; i++) {
        bytes += d->arena->used;
        core_store_done(s->core, d);
    }
    if (d != NULL)
        (void)rpc_loop_post(s->loop, poll_store, s);
}

void server_store_notify(void *server)
{
    struct server *s = server;
    (void)rpc_loop_post(s->loop, poll_store, s);
}

/* ---- life ---- */

void server_init(struct server *s, struct rpc_loop *loop, struct rpc_server *server, struct store *store,
                 const struct core_config *cfg, void (*on_recovered)(void *arg), void *arg)
{
    const struct core_io io = {
        .arg = s,
        .reply = io_reply,
        .fail = io_fail,
        .watch_send = io_watch_send,
        .watch_end = io_watch_end,
        .host_send = io_host_send,
        .host_close = io_host_close,
        .host_hold = io_host_hold,
        .commit = io_commit,
        .read = io_read,
        .check = io_check,
        .recovered = io_recovered,
    };
    memset(s, 0, sizeof(*s));
    s->loop = loop;
    s->server = server;
    s->store = store;
    s->on_recovered = on_recovered;
    s->arg = arg;
    fm_arena_init(&s->arena, LIMIT_ARENA_BYTES);
    s->checker = checker_new(on_checked, s);
    s->answer_checker = checker_new(on_checked, s);
    s->core = core_new(cfg, &io);
    add_core_methods(s);
    rpc_server_add(server, agent_methods, n_agent_methods, s);
    rpc_server_add(server, health_methods, n_health_methods, s);
    rpc_server_add(server, reflection_methods, n_reflection_methods, s);
    rpc_loop_on_turn(loop, on_turn, s);
}

void server_start(struct server *s)
{
    core_start(s->core, fm_now_mono_ms(), fm_now_wall_ms());
}

void server_stop(struct server *s, int64_t grace_ms, void (*on_quiet)(void *arg))
{
    s->stopping = true;
    s->on_quiet = on_quiet;
    server_time(s);
    health_changed(s);
    core_stop(s->core);
    rpc_timer_start(s->loop, &s->stop_timer, fm_now_mono_ms() + grace_ms, on_stop_grace_over, s);
}

void server_set_roles(struct server *s, struct roles *roles)
{
    roles_free(s->roles);
    s->roles = roles;
}

void server_done(struct server *s)
{
    roles_free(s->roles);
    checker_free(s->checker);
    checker_free(s->answer_checker);
    core_free(s->core);
    if (s->unit != NULL)
        store_unit_free(s->unit);
    for (size_t i = 0; i < s->n_rows; i++)
        free((char *)(uintptr_t)s->rows[i].path);
    free(s->rows);
    fm_arena_done(&s->arena);
}
