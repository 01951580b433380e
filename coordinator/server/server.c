/* The shell around the core. See server.h. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "arena.h"
#include "buf.h"
#include "checker.h"
#include "clock.h"
#include "core.h"
#include "err.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "guard.h"
#include "io.h"
#include "log.h"
#include "mem.h"
#include "method.h"
#include "methods_table.h"
#include "program_check.h"
#include "rpc.h"
#include "send.h"
#include "size_limits.h"
#include "store.h"
#include "wire.h"

void server_time(struct server *s)
{
    core_set_time(s->core, fm_now_mono_ms(), fm_now_wall_ms());
}

/* ---- errors ---- */

/* What a program finds in the trailer. Clients on the C core refuse trailers above 8 KiB and would show that
 * instead of the error: base64 makes four bytes of three, and the message stands in a header of its own,
 * percent-encoded. */
#define MAX_DETAILS_BYTES 4000u
#define RETRY_CALL_MS 500
#define POLLED_AT_ONCE 256
#define POLLED_BYTES (1u << 20)

static void add_any(Google__Rpc__Status *status, Google__Protobuf__Any *any, const char *type,
                    struct fm_buf *buf, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    fm_buf_reserve(buf, n);
    buf->n = protobuf_c_message_pack(m, buf->p);
    google__protobuf__any__init(any);
    any->type_url = (char *)(uintptr_t)type;
    any->value = (ProtobufCBinaryData){buf->n, buf->p};
    status->details[status->n_details++] = any;
}

/* The first n violations; an error with a field of its own and no list has one. */
static void pack_bad_request(const struct fm_err *err, size_t n, Google__Rpc__Status *status,
                             Google__Protobuf__Any *any, struct fm_buf *buf)
{
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation v[FM_MAX_VIOLATIONS], *pointers[FM_MAX_VIOLATIONS];
    for (size_t i = 0; i < n; i++) {
        google__rpc__bad_request__field_violation__init(&v[i]);
        v[i].field = (char *)(uintptr_t)(err->n_more > 0 ? err->more[i].field : err->field);
        v[i].description = (char *)(uintptr_t)(err->n_more > 0 ? err->more[i].msg : err->msg);
        pointers[i] = &v[i];
    }
    bad.field_violations = pointers;
    bad.n_field_violations = n;
    add_any(status, any, "type.googleapis.com/google.rpc.BadRequest", buf, &bad.base);
}

static void pack_error_info(const struct fm_err *err, size_t left_out, Google__Rpc__Status *status,
                            Google__Protobuf__Any *any, struct fm_buf *buf)
{
    static char domain[] = "fermata.dev", key[] = "violations_left_out";
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry entry = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT,
                                          *entries[] = {&entry};
    char count[24];
    info.reason = (char *)(uintptr_t)fm_code_name((int)err->code);
    info.domain = domain;
    if (left_out > 0) {
        snprintf(count, sizeof(count), "%zu", left_out);
        entry.key = key;
        entry.value = count;
        info.metadata = entries;
        info.n_metadata = 1;
    }
    add_any(status, any, "type.googleapis.com/google.rpc.ErrorInfo", buf, &info.base);
}

static void pack_retry_info(const struct fm_err *err, Google__Rpc__Status *status, Google__Protobuf__Any *any,
                            struct fm_buf *buf)
{
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = err->retry_ms / 1000;
    delay.nanos = (int32_t)(err->retry_ms % 1000) * 1000000;
    info.retry_delay = &delay;
    add_any(status, any, "type.googleapis.com/google.rpc.RetryInfo", buf, &info.base);
}

static void pack_status(const struct fm_err *err, size_t n_violations, size_t left_out, struct fm_buf *out)
{
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Protobuf__Any any[3], *details[3];
    struct fm_buf bad = {0}, info = {0}, retry = {0};
    status.code = (int32_t)err->code;
    status.message = (char *)(uintptr_t)err->msg;
    status.details = details;
    if (n_violations > 0)
        pack_bad_request(err, n_violations, &status, &any[0], &bad);
    pack_error_info(err, left_out, &status, &any[1], &info);
    if (err->retry_ms > 0)
        pack_retry_info(err, &status, &any[2], &retry);
    fm_buf_reserve(out, protobuf_c_message_get_packed_size(&status.base));
    out->n = protobuf_c_message_pack(&status.base, out->p);
    fm_buf_done(&bad);
    fm_buf_done(&info);
    fm_buf_done(&retry);
}

void server_status_details(const struct fm_err *err, struct fm_buf *out)
{
    size_t all = err->n_more > 0 ? err->n_more : err->field[0] != '\0' ? 1 : 0;
    for (size_t n = all;; n = n * 3 / 4) {
        pack_status(err, n, all - n + err->n_cut, out);
        if (out->n <= MAX_DETAILS_BYTES || n <= 1)
            return;
    }
}

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

/* ---- calls ---- */

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

static struct server_call *find_call(struct server *s, uint64_t id)
{
    struct server_call *c;
    HASH_FIND(hh, s->calls, &id, sizeof(id), c);
    return c;
}

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

const ProtobufCMessage *server_decode(struct rpc_call *call, const ProtobufCMessageDescriptor *d,
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

static void begin_core_call(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {.on_close = on_close, .on_drained = on_drained};
    struct server *s = rpc_call_service(call);
    const struct method *m = method->detail;
    if (!server_admit(call, 0))
        return;
    const ProtobufCMessage *request = server_decode(call, m->request, message);
    if (request == NULL)
        return;
    struct server_call *c = server_call_new(s, call, SERVER_CALL_CORE);
    rpc_call_events(call, &events, c, LIMIT_WATCH_QUEUE_BYTES);
    FM_LOG(TRACE, RPC, "request", FM_STR("method", method->path), FM_STR("peer", rpc_call_peer(call)));
    server_time(s);
    core_request(s->core, c->id, m, request, message);
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

static void io_reply(void *arg, uint64_t ticket, struct fm_bytes response)
{
    struct server_call *c = find_call(arg, ticket);
    if (c != NULL)
        rpc_call_reply(c->call, response);
}

static void io_fail(void *arg, uint64_t ticket, const struct fm_err *err)
{
    struct server_call *c = find_call(arg, ticket);
    if (c != NULL)
        server_fail(c->call, err);
}

static bool io_watch_send(void *arg, uint64_t ticket, struct fm_bytes response)
{
    struct server_call *c = find_call(arg, ticket);
    return c == NULL || rpc_call_send(c->call, response);
}

static void io_watch_end(void *arg, uint64_t ticket)
{
    struct server_call *c = find_call(arg, ticket);
    if (c != NULL)
        rpc_call_finish(c->call, NULL, (struct fm_bytes){0});
}

static void io_host_send(void *arg, uint64_t conn, struct fm_bytes message, bool urgent)
{
    struct server_call *c = find_call(arg, conn);
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
    struct server_call *c = find_call(arg, conn);
    if (c == NULL)
        return;
    if (err != NULL)
        server_fail(c->call, err);
    else
        rpc_call_finish(c->call, NULL, (struct fm_bytes){0});
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
    while ((check = checker_poll(s->checker)) != NULL)
        core_checked(s->core, check);
}

/* On the checker's thread. */
static void on_checked(void *arg)
{
    struct server *s = arg;
    (void)rpc_loop_post(s->loop, poll_checks, s);
}

static void io_check(void *arg, struct program_check *check)
{
    checker_add(((struct server *)arg)->checker, check);
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

void server_done(struct server *s)
{
    checker_free(s->checker);
    core_free(s->core);
    if (s->unit != NULL)
        store_unit_free(s->unit);
    for (size_t i = 0; i < s->n_rows; i++)
        free((char *)(uintptr_t)s->rows[i].path);
    free(s->rows);
    fm_arena_done(&s->arena);
}
