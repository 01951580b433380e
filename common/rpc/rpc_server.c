/* The server: accepts calls, finds their method, feeds their messages to its handler and carries out what the
 * handler says. All on the loop's thread. Per call at most one read and one write are out; the notice that
 * the client is gone (RECV_CLOSE_ON_SERVER) stands in a batch of its own, for it makes its batch-mates look
 * successful. A call is freed when nothing of it is in the queue any more. See rpc.h. */
#include "rpc_server_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

#define KEEPALIVE_MS 20000
#define KEEPALIVE_TIMEOUT_MS 10000
#define UNKNOWN_WAIT_MS 1000
#define CONNECTIONS 16384
#define STREAMS_OF_A_CONNECTION 4096
#define CORKED_WRITES 3 /* in one turn: fewer go out as they are */

/* ---- methods ---- */

static int compare_methods(const void *a, const void *b)
{
    return strcmp((*(const struct rpc_method *const *)a)->path, (*(const struct rpc_method *const *)b)->path);
}

void rpc_server_add(struct rpc_server *s, const struct rpc_method *methods, size_t n)
{
    s->methods = fm_xrealloc(s->methods, (s->n_methods + n) * sizeof(*s->methods));
    for (size_t i = 0; i < n; i++)
        s->methods[s->n_methods++] = &methods[i];
    qsort(s->methods, s->n_methods, sizeof(*s->methods), compare_methods);
}

static const struct rpc_method *find_method(const struct rpc_server *s, grpc_slice path)
{
    size_t lo = 0, hi = s->n_methods, n = GRPC_SLICE_LENGTH(path);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const char *have = s->methods[mid]->path;
        int c = strncmp(have, (const char *)GRPC_SLICE_START_PTR(path), n);
        if (c == 0 && have[n] != '\0')
            c = 1;
        if (c == 0)
            return s->methods[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* ---- the end of a call ---- */

static void maybe_down(struct rpc_server *s)
{
    if (s->down && s->calls == 0 && s->done != NULL) {
        void (*done)(void *) = s->done;
        s->done = NULL;
        done(s->done_arg);
    }
}

static void leave_turn(struct rpc_call *c)
{
    if (!c->in_turn)
        return;
    c->in_turn = false;
    DL_DELETE2(c->server->turn, c, turn_prev, turn_next);
    c->server->n_turn--;
}

static void maybe_free(struct rpc_call *c)
{
    if (c->pending > 0 || !c->closed)
        return;
    struct rpc_server *s = c->server;
    if (c->events.on_close != NULL)
        c->events.on_close(c, c->user);
    leave_turn(c);
    rpc_limits_release(c);
    rpc_limits_awaited(c);
    rpc_limits_written(c, 0);
    rpc_limits_dropped(c);
    if (c->conn != NULL)
        rpc_conn_end_call(s->conns, c->conn, c->cancelled != 0 && !c->status_sent);
    rpc_messages_free(c->queue);
    if (c->writing != NULL)
        rpc_message_free(c->writing);
    if (c->incoming != NULL)
        grpc_byte_buffer_destroy(c->incoming);
    grpc_slice_unref(c->status_text);
    grpc_slice_unref(c->details);
    grpc_call_unref(c->call);
    gpr_free(c->peer);
    free(c);
    s->calls--;
    maybe_down(s);
}

/* ---- sending ---- */

static size_t put_status(struct rpc_call *c, grpc_op *op, grpc_metadata *trailer)
{
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    op->data.send_status_from_server.status = c->status;
    op->data.send_status_from_server.status_details = &c->status_text;
    if (GRPC_SLICE_LENGTH(c->details) > 0) {
        trailer->key = grpc_slice_from_static_string(RPC_DETAILS_KEY);
        trailer->value = c->details;
        op->data.send_status_from_server.trailing_metadata = trailer;
        op->data.send_status_from_server.trailing_metadata_count = 1;
    }
    c->status_sent = true;
    return 1;
}

/* Starts the next write if none is out: a message, with the status behind it when it is the last. */
static void pump(struct rpc_call *c)
{
    grpc_op ops[3];
    grpc_metadata trailer;
    size_t n = 0;
    bool first = !c->metadata_sent;
    if (c->busy || c->closed || c->status_sent || (c->queue == NULL && !c->finishing))
        return;
    memset(ops, 0, sizeof(ops));
    memset(&trailer, 0, sizeof(trailer));
    if (!c->metadata_sent) {
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
        c->metadata_sent = true;
    }
    if (c->queue != NULL) {
        struct rpc_message *m = c->queue;
        DL_DELETE(c->queue, m);
        c->writing = m;
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        /* Not with the metadata: their sending ends only with a write, which the hint would put off until
         * something else on the connection causes one. Nothing might, and the message behind this one waits
         * for its end. */
        ops[n].flags = c->queue != NULL && !first ? GRPC_WRITE_BUFFER_HINT : 0;
        ops[n++].data.send_message.send_message = m->buffer;
    }
    if (c->finishing && c->queue == NULL)
        n += put_status(c, &ops[n], &trailer);
    c->busy = true;
    c->pending++;
    rpc_limits_writing(c);
    rpc_must(grpc_call_start_batch(c->call, ops, n, &c->send_tag, NULL), "send");
}

/* What a turn says goes out when it is over: what it says to one connection together. */
static void pump_later(struct rpc_call *c)
{
    if (c->in_turn || c->busy) /* when the write that is out is done, the next one follows */
        return;
    c->in_turn = true;
    c->server->n_turn++;
    DL_APPEND2(c->server->turn, c, turn_prev, turn_next);
}

void rpc_call_hurry(struct rpc_call *c)
{
    if (!c->in_turn || c->server->turn == c)
        return;
    DL_DELETE2(c->server->turn, c, turn_prev, turn_next);
    DL_PREPEND2(c->server->turn, c, turn_prev, turn_next);
}

/* A packet for each write is what costs most in writing. Connections with several writes in this turn hold
 * them back until the last one. Returns those with any. */
static struct rpc_conn *cork_turn(struct rpc_server *s)
{
    struct rpc_conn *all = NULL;
    struct rpc_call *c;
    DL_FOREACH2 (s->turn, c, turn_next) {
        struct rpc_conn_calls *calls = c->conn == NULL ? NULL : rpc_conn_calls(c->conn);
        if (calls == NULL)
            continue;
        if (calls->writes++ == 0) {
            calls->next_in_turn = all;
            all = c->conn;
        }
        if (calls->writes == CORKED_WRITES)
            calls->corked = rpc_conn_cork(s->conns, c->conn, true);
    }
    return all;
}

/* No call, and so no connection, is freed between the two. */
static void uncork(struct rpc_server *s, struct rpc_conn *all)
{
    while (all != NULL) {
        struct rpc_conn_calls *calls = rpc_conn_calls(all);
        if (calls->corked)
            (void)rpc_conn_cork(s->conns, all, false);
        calls->writes = 0;
        calls->corked = false;
        all = calls->next_in_turn;
    }
}

static void pump_turn(void *arg)
{
    struct rpc_server *s = arg;
    struct rpc_conn *corked = s->n_turn >= CORKED_WRITES ? cork_turn(s) : NULL;
    while (s->turn != NULL) {
        struct rpc_call *c = s->turn;
        leave_turn(c);
        pump(c);
    }
    uncork(s, corked);
}

static void start_read(struct rpc_call *c);

static void on_sent(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *c = tag->owner;
    c->pending--;
    c->busy = false;
    rpc_limits_written(c, c->writing != NULL ? c->writing->bytes : 0);
    if (c->writing != NULL) {
        c->queued_bytes -= c->writing->bytes;
        rpc_message_free(c->writing);
        c->writing = NULL;
    }
    if (ok && c->queue != NULL && c->queue->next != NULL)
        pump(c); /* more follow: it is kept until the last of them */
    else if (ok && (c->queue != NULL || c->finishing))
        pump_later(c);
    if (ok && c->was_full && c->queued_bytes * 2 <= c->high_water && !c->closed) {
        c->was_full = false;
        if (c->held) {
            c->held = false;
            start_read(c);
        }
        if (c->events.on_drained != NULL)
            c->events.on_drained(c, c->user);
    }
    maybe_free(c);
}

bool rpc_call_send(struct rpc_call *c, struct fm_bytes message)
{
    if (c->closed || c->finishing)
        return true;
    struct rpc_message *m = rpc_message_new(message);
    DL_APPEND(c->queue, m);
    c->queued_bytes += m->bytes;
    rpc_limits_queued(c, m->bytes);
    pump_later(c);
    bool full = c->high_water > 0 && c->queued_bytes >= c->high_water;
    c->was_full = c->was_full || full;
    return !full;
}

size_t rpc_call_queued(const struct rpc_call *c)
{
    return c->queued_bytes;
}

void rpc_call_finish(struct rpc_call *c, const struct fm_err *err, struct fm_bytes details)
{
    if (c->closed || c->finishing)
        return;
    c->finishing = true;
    c->status = err == NULL ? GRPC_STATUS_OK : (grpc_status_code)err->code;
    if (err != NULL) {
        grpc_slice_unref(c->status_text);
        c->status_text = grpc_slice_from_copied_string(err->msg);
    }
    if (details.n > 0) {
        grpc_slice_unref(c->details);
        c->details = grpc_slice_from_copied_buffer((const char *)details.p, details.n);
    }
    pump_later(c);
}

void rpc_call_reply(struct rpc_call *c, struct fm_bytes message)
{
    if (c->closed || c->finishing)
        return;
    struct rpc_message *m = rpc_message_new(message);
    DL_APPEND(c->queue, m);
    c->queued_bytes += m->bytes;
    rpc_limits_queued(c, m->bytes);
    rpc_call_finish(c, NULL, (struct fm_bytes){0});
}

void rpc_call_abort(struct rpc_call *c, const struct fm_err *err)
{
    if (c->closed)
        return;
    rpc_messages_free(c->queue);
    c->queue = NULL;
    c->queued_bytes = c->writing != NULL ? c->writing->bytes : 0;
    rpc_limits_dropped(c);
    c->finishing = c->status_sent = true; /* cancelling sends the status; on_closed follows */
    (void)grpc_call_cancel_with_status(c->call, (grpc_status_code)err->code, err->msg, NULL);
}

void rpc_call_fail(struct rpc_call *c, enum fm_code code, const char *text)
{
    struct fm_err err = {0};
    fm_err_set(&err, code, NULL, "%s", text);
    rpc_call_finish(c, &err, (struct fm_bytes){0});
}

/* ---- receiving ---- */

static void start_read(struct rpc_call *c)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &c->incoming;
    c->incoming = NULL;
    c->pending++;
    rpc_must(grpc_call_start_batch(c->call, &op, 1, &c->recv_tag, NULL), "receive");
}

static void read_now(void *arg)
{
    struct rpc_call *c = arg;
    c->pending--;
    if (!c->closed)
        start_read(c);
    maybe_free(c);
}

/* Reading on makes gRPC write at once how much more the client may send. What the message was for comes
 * first.
 */
static void read_later(struct rpc_call *c)
{
    c->pending++;
    c->read.fn = read_now;
    c->read.arg = c;
    rpc_loop_later(c->server->loop, &c->read);
}

void rpc_call_start(struct rpc_call *c)
{
    rpc_limits_await(c);
    start_read(c);
}

static void on_end_of_messages(struct rpc_call *c)
{
    if (c->closed)
        return;
    if (c->method->kind != RPC_BIDI && !c->got_message)
        rpc_call_fail(c, FM_INVALID_ARGUMENT, "the call carried no message");
    else if (c->method->kind == RPC_BIDI && c->events.on_half_close != NULL)
        c->events.on_half_close(c, c->user);
}

static void on_message(struct rpc_call *c)
{
    grpc_slice slice;
    if (rpc_read_all(c->incoming, &slice) < 0) {
        rpc_call_fail(c, FM_INVALID_ARGUMENT, "the message cannot be decompressed");
        return;
    }
    c->got_message = true;
    if (c->method->kind == RPC_BIDI) {
        if (c->events.on_message != NULL && !c->finishing)
            c->events.on_message(c, c->user, rpc_slice_bytes(&slice));
        if (!c->closed && !c->finishing)
            c->reading = true;
    } else {
        c->method->handler(c, c->method, rpc_slice_bytes(&slice));
    }
    grpc_slice_unref(slice);
}

static void on_received(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *c = tag->owner;
    c->pending--;
    c->reading = false;
    rpc_limits_awaited(c);
    if (ok && c->incoming != NULL) {
        if (c->conn != NULL)
            rpc_conn_received(c->server->conns, c->conn, grpc_byte_buffer_length(c->incoming));
        if (!c->closed && (c->method->kind == RPC_BIDI || !c->finishing))
            on_message(c);
    } else {
        on_end_of_messages(c);
    }
    if (c->incoming != NULL)
        grpc_byte_buffer_destroy(c->incoming);
    c->incoming = NULL;
    c->held = c->reading && c->was_full; /* who does not read the answers is not asked for more questions */
    if (c->reading && !c->held)
        read_later(c);
    maybe_free(c);
}

static void on_closed(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *c = tag->owner;
    (void)ok;
    c->pending--;
    c->closed = true;
    maybe_free(c);
}

void rpc_call_events(struct rpc_call *c, const struct rpc_call_events *events, void *user, size_t high_water)
{
    c->events = *events;
    c->user = user;
    c->high_water = high_water;
}

void *rpc_call_user(const struct rpc_call *c)
{
    return c->user;
}

const char *rpc_call_peer(const struct rpc_call *c)
{
    return c->conn != NULL ? rpc_conn_peer(c->conn) : c->peer;
}

/* ---- accepting ---- */

/* A method that does not exist is refused when the client's message (or its half-close) is there: behind the
 * status of a call whose client still sends comes a reset, for which some clients drop the status. A client
 * that sends nothing, since it waits for the server's first message, is refused after a second. */

static void refuse_unknown(struct rpc_call *c, void *user)
{
    rpc_call_fail(c, FM_UNIMPLEMENTED, ((struct unknown *)user)->text);
}

static void on_unknown_message(struct rpc_call *c, void *user, struct fm_bytes message)
{
    (void)message;
    refuse_unknown(c, user);
}

static void on_unknown_closed(struct rpc_call *c, void *user)
{
    struct unknown *u = user;
    DL_DELETE(c->server->unknowns, u);
    free(u);
}

static void on_unknown_timer(void *arg)
{
    struct rpc_server *s = arg;
    struct unknown *u;
    int64_t now_ms = fm_now_mono_ms();
    DL_FOREACH (s->unknowns, u) {
        if (u->answer_at_ms > now_ms) {
            rpc_timer_start(s->loop, &s->unknown_timer, u->answer_at_ms, on_unknown_timer, s);
            return;
        }
        refuse_unknown(u->call, u);
    }
}

static const struct rpc_method unknown_method = {"", RPC_BIDI, NULL, NULL, 0};

static void start_unknown(struct rpc_call *c, grpc_slice path)
{
    static const struct rpc_call_events events = {
        .on_message = on_unknown_message, .on_half_close = refuse_unknown, .on_close = on_unknown_closed};
    struct rpc_server *s = c->server;
    struct unknown *u = fm_xcalloc(1, sizeof(*u));
    u->call = c;
    u->answer_at_ms = fm_now_mono_ms() + UNKNOWN_WAIT_MS;
    snprintf(u->text, sizeof(u->text), "there is no method %.*s", (int)GRPC_SLICE_LENGTH(path),
             (const char *)GRPC_SLICE_START_PTR(path));
    c->method = &unknown_method;
    rpc_call_events(c, &events, u, 0);
    DL_APPEND(s->unknowns, u);
    if (!s->unknown_timer.armed)
        rpc_timer_start(s->loop, &s->unknown_timer, u->answer_at_ms, on_unknown_timer, s);
}

static void start_call(struct rpc_server *s, struct accept *a)
{
    struct rpc_call *c = fm_xcalloc(1, sizeof(*c));
    c->server = s;
    c->call = a->call;
    c->peer = grpc_call_get_peer(c->call);
    c->conn = rpc_conn_begin_call(s->conns, c->peer);
    c->status_text = grpc_empty_slice();
    c->details = grpc_empty_slice();
    c->recv_tag = (struct rpc_tag){on_received, c};
    c->send_tag = (struct rpc_tag){on_sent, c};
    c->close_tag = (struct rpc_tag){on_closed, c};
    s->calls++;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &c->cancelled;
    c->pending++;
    rpc_must(grpc_call_start_batch(c->call, &op, 1, &c->close_tag, NULL), "close notice");
    c->method = find_method(s, a->details.method);
    if (c->method == NULL)
        start_unknown(c, a->details.method);
    else if (c->method->kind == RPC_BIDI)
        c->method->handler(c, c->method, (struct fm_bytes){0});
    if (rpc_limits_admit(c))
        rpc_call_start(c);
}

static void arm(struct accept *a)
{
    grpc_call_details_init(&a->details);
    grpc_metadata_array_init(&a->metadata);
    a->call = NULL;
    grpc_completion_queue *q = rpc_loop_queue(a->server->loop);
    rpc_must(grpc_server_request_call(a->server->server, &a->call, &a->details, &a->metadata, q, q, &a->tag),
             "accept");
}

static void on_accepted(struct rpc_tag *tag, bool ok)
{
    struct accept *a = tag->owner;
    struct rpc_server *s = a->server;
    if (ok)
        start_call(s, a);
    grpc_call_details_destroy(&a->details);
    grpc_metadata_array_destroy(&a->metadata);
    if (ok && !s->stopping)
        arm(a);
}

/* ---- life ---- */

struct rpc_server *rpc_server_new(struct rpc_loop *l, const struct rpc_server_config *cfg)
{
    int keepalive = cfg->keepalive_ms > 0 ? cfg->keepalive_ms : KEEPALIVE_MS;
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = (int)cfg->max_message_bytes                                                       },
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_ALLOW_REUSEPORT,    .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_TIME_MS,
         .value.integer = keepalive                                                                         },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
         .value.integer = KEEPALIVE_TIMEOUT_MS                                                              },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS,
         .value.integer = 1                                                                                 },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA,
         .value.integer = 0                                                                                 },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
         .value.integer = 5000                                                                              },
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_CHANNELZ,    .value.integer = 1},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_METADATA_SIZE,
         .value.integer = RPC_MAX_METADATA                                                                  },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_CONCURRENT_STREAMS,
         .value.integer = STREAMS_OF_A_CONNECTION                                                           },
    };
    grpc_channel_args channel_args = {sizeof(args) / sizeof(args[0]), args};
    struct rpc_server *s = fm_xcalloc(1, sizeof(*s));
    s->loop = l;
    s->end_of_turn.fn = pump_turn;
    s->end_of_turn.arg = s;
    rpc_loop_add_end(l, &s->end_of_turn);
    s->server = grpc_server_create(&channel_args, NULL);
    grpc_server_register_completion_queue(s->server, rpc_loop_queue(l), NULL);
    s->conns = rpc_conns_new(s->server, cfg->max_connections > 0 ? cfg->max_connections : CONNECTIONS,
                             KEEPALIVE_TIMEOUT_MS);
    rpc_limits_init(s, cfg);
    return s;
}

int rpc_server_listen(struct rpc_server *s, const char *address, int *ret_port, struct fm_err *err)
{
    return rpc_conns_listen(s->conns, address, ret_port, err);
}

void rpc_server_start(struct rpc_server *s)
{
    grpc_server_start(s->server);
    for (size_t i = 0; i < ACCEPTS; i++) {
        s->accepts[i].tag = (struct rpc_tag){on_accepted, &s->accepts[i]};
        s->accepts[i].server = s;
        arm(&s->accepts[i]);
    }
    rpc_conns_start(s->conns);
}

static void on_down(struct rpc_tag *tag, bool ok)
{
    struct rpc_server *s = tag->owner;
    (void)ok;
    rpc_timer_stop(s->loop, &s->grace);
    rpc_timer_stop(s->loop, &s->unknown_timer);
    rpc_timer_stop(s->loop, &s->silent_timer);
    s->down = true;
    maybe_down(s);
}

static void on_grace_over(void *arg)
{
    struct rpc_server *s = arg;
    FM_LOG(INFO, RPC, "calls are cancelled at shutdown", FM_U64("calls", s->calls));
    grpc_server_cancel_all_calls(s->server);
}

void rpc_server_shutdown(struct rpc_server *s, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    s->stopping = true;
    rpc_conns_stop(s->conns);
    s->done = done;
    s->done_arg = arg;
    s->down_tag = (struct rpc_tag){on_down, s};
    grpc_server_shutdown_and_notify(s->server, rpc_loop_queue(s->loop), &s->down_tag);
    rpc_timer_start(s->loop, &s->grace, fm_now_mono_ms() + grace_ms, on_grace_over, s);
}

void rpc_server_free(struct rpc_server *s)
{
    rpc_loop_remove_end(s->loop, &s->end_of_turn);
    rpc_conns_stop(s->conns);
    rpc_conns_free(s->conns);
    grpc_server_destroy(s->server);
    free(s->methods);
    free(s);
}
