/* Calls: feeds a call's messages to its handler and carries out what the handler says. All on
 * the loop's thread. Per call at most one read and one write are out; the notice that the client
 * is gone (RECV_CLOSE_ON_SERVER) stands in a batch of its own, for it makes its batch-mates look
 * successful. A call is freed when nothing of it is in the queue any more. See rpc.h. */
#include "rpc_call.h"

#include <string.h>

#include <utlist.h>

#include "mem.h"

#define CORKED_WRITES 3 /* in one turn: fewer go out as they are */

/* ---- the end of a call ---- */

static void leave_turn(struct rpc_call *c)
{
    if (!c->in_turn)
        return;
    c->in_turn = false;
    DL_DELETE2(c->calls->turn, c, turn_prev, turn_next);
    c->calls->n_turn--;
}

static void maybe_free(struct rpc_call *c)
{
    if (c->pending > 0 || !c->closed)
        return;
    struct rpc_calls *all = c->calls;
    if (c->events.on_close != NULL)
        c->events.on_close(c, c->user);
    leave_turn(c);
    rpc_limits_release(&all->limits, &c->bound);
    rpc_limits_awaited(&all->limits, &c->bound);
    rpc_limits_written(&all->limits, &c->bound, 0);
    rpc_limits_dropped(&all->limits, &c->bound);
    if (c->bound.conn != NULL)
        rpc_conn_end_call(all->conns, c->bound.conn, c->cancelled != 0 && !c->status_sent);
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
    all->n--;
    all->on_gone(all);
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

/* Starts the next write if none is out: a message, with the status behind it when it is the
 * last. */
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
        /* Not with the metadata: their sending ends only with a write, which the hint would put
         * off until something else on the connection causes one. Nothing might, and the message
         * behind this one waits for its end. */
        ops[n].flags = c->queue != NULL && !first ? GRPC_WRITE_BUFFER_HINT : 0;
        ops[n++].data.send_message.send_message = m->buffer;
    }
    if (c->finishing && c->queue == NULL)
        n += put_status(c, &ops[n], &trailer);
    c->busy = true;
    c->pending++;
    rpc_limits_writing(&c->calls->limits, &c->bound);
    rpc_must(grpc_call_start_batch(c->call, ops, n, &c->send_tag, NULL), "send");
}

/* What a turn says goes out when it is over: what it says to one connection together. */
static void pump_later(struct rpc_call *c)
{
    if (c->in_turn || c->busy) /* when the write that is out is done, the next one follows */
        return;
    c->in_turn = true;
    c->calls->n_turn++;
    DL_APPEND2(c->calls->turn, c, turn_prev, turn_next);
}

void rpc_call_hurry(struct rpc_call *c)
{
    if (!c->in_turn || c->calls->turn == c)
        return;
    DL_DELETE2(c->calls->turn, c, turn_prev, turn_next);
    DL_PREPEND2(c->calls->turn, c, turn_prev, turn_next);
}

/* A packet for each write is what costs most in writing. Connections with several writes in this
 * turn hold them back until the last one. Returns those with any. */
static struct rpc_conn *cork_turn(struct rpc_calls *all)
{
    struct rpc_conn *written = NULL;
    struct rpc_call *c;
    DL_FOREACH2 (all->turn, c, turn_next) {
        struct rpc_conn_calls *calls = c->bound.conn == NULL ? NULL : rpc_conn_calls(c->bound.conn);
        if (calls == NULL)
            continue;
        if (calls->writes++ == 0) {
            calls->next_in_turn = written;
            written = c->bound.conn;
        }
        if (calls->writes == CORKED_WRITES)
            calls->corked = rpc_conn_cork(all->conns, c->bound.conn, true);
    }
    return written;
}

/* No call, and so no connection, is freed between the two. */
static void uncork(struct rpc_calls *all, struct rpc_conn *written)
{
    while (written != NULL) {
        struct rpc_conn_calls *calls = rpc_conn_calls(written);
        if (calls->corked)
            (void)rpc_conn_cork(all->conns, written, false);
        calls->writes = 0;
        calls->corked = false;
        written = calls->next_in_turn;
    }
}

static void pump_turn(void *arg)
{
    struct rpc_calls *all = arg;
    struct rpc_conn *written = all->n_turn >= CORKED_WRITES ? cork_turn(all) : NULL;
    while (all->turn != NULL) {
        struct rpc_call *c = all->turn;
        leave_turn(c);
        pump(c);
    }
    uncork(all, written);
}

static void start_read(struct rpc_call *c);

static void on_sent(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *c = tag->owner;
    c->pending--;
    c->busy = false;
    rpc_limits_written(&c->calls->limits, &c->bound, c->writing != NULL ? c->writing->bytes : 0);
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
        if (c->held && !c->on_hold) {
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
    rpc_limits_queued(&c->calls->limits, &c->bound, m->bytes);
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
    rpc_limits_queued(&c->calls->limits, &c->bound, m->bytes);
    rpc_call_finish(c, NULL, FM_NO_BYTES);
}

void rpc_call_abort(struct rpc_call *c, const struct fm_err *err)
{
    if (c->closed)
        return;
    rpc_messages_free(c->queue);
    c->queue = NULL;
    c->queued_bytes = c->writing != NULL ? c->writing->bytes : 0;
    rpc_limits_dropped(&c->calls->limits, &c->bound);
    c->finishing = c->status_sent = true; /* cancelling sends the status; on_closed follows */
    (void)grpc_call_cancel_with_status(c->call, (grpc_status_code)err->code, err->msg, NULL);
}

void rpc_call_fail(struct rpc_call *c, enum fm_code code, const char *text)
{
    fm_auto(fm_err) err = {0};
    (void)fm_err_set(&err, code, NULL, "%s", text);
    rpc_call_finish(c, &err, FM_NO_BYTES);
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

/* Reading on makes gRPC write at once how much more the client may send. What the message was
 * for comes first. */
static void read_later(struct rpc_call *c)
{
    c->pending++;
    c->read.fn = read_now;
    c->read.arg = c;
    rpc_loop_later(c->calls->loop, &c->read);
}

void rpc_call_hold(struct rpc_call *c, bool hold)
{
    c->on_hold = hold;
    if (hold || !c->held || c->was_full || c->closed || c->finishing)
        return;
    c->held = false;
    read_later(c);
}

static void begin(struct rpc_call *c)
{
    rpc_limits_await(&c->calls->limits, &c->bound);
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
    rpc_limits_awaited(&c->calls->limits, &c->bound);
    if (ok && c->incoming != NULL) {
        if (c->bound.conn != NULL)
            rpc_conn_received(c->calls->conns, c->bound.conn, grpc_byte_buffer_length(c->incoming));
        if (!c->closed && (c->method->kind == RPC_BIDI || !c->finishing))
            on_message(c);
    } else {
        on_end_of_messages(c);
    }
    if (c->incoming != NULL)
        grpc_byte_buffer_destroy(c->incoming);
    c->incoming = NULL;
    /* who does not read the answers is not asked for more questions */
    c->held = c->reading && (c->was_full || c->on_hold);
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

void *rpc_call_service(const struct rpc_call *c)
{
    return c->service;
}

const char *rpc_call_peer(const struct rpc_call *c)
{
    return c->bound.conn != NULL ? rpc_conn_peer(c->bound.conn) : c->peer;
}

const struct fm_principal *rpc_call_principal(const struct rpc_call *c)
{
    static const struct fm_principal nobody = {.kind =
                                                   FM_NOBODY}; /* the connection is gone, and nobody waits */
    return c->bound.conn != NULL ? rpc_conn_principal(c->bound.conn) : &nobody;
}

/* ---- the beginning ---- */

struct rpc_call *rpc_call_new(struct rpc_calls *all, grpc_call *call)
{
    struct rpc_call *c = fm_xcalloc(1, sizeof(*c));
    c->calls = all;
    c->call = call;
    c->peer = grpc_call_get_peer(call);
    c->bound = (struct rpc_bound){.call = c, .conn = rpc_conn_begin_call(all->conns, c->peer)};
    c->status_text = grpc_empty_slice();
    c->details = grpc_empty_slice();
    c->recv_tag = (struct rpc_tag){on_received, c};
    c->send_tag = (struct rpc_tag){on_sent, c};
    c->close_tag = (struct rpc_tag){on_closed, c};
    all->n++;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &c->cancelled;
    c->pending++;
    rpc_must(grpc_call_start_batch(c->call, &op, 1, &c->close_tag, NULL), "close notice");
    return c;
}

void rpc_call_begin(struct rpc_call *c, const struct rpc_method *method, void *service)
{
    c->method = method;
    c->service = service;
    if (method->kind == RPC_BIDI && method->handler != NULL)
        method->handler(c, method, FM_NO_BYTES);
    if (method->kind != RPC_UNARY || rpc_limits_admit(&c->bound))
        begin(c);
}

/* ---- the calls of a server ---- */

void rpc_calls_init(struct rpc_calls *all, struct rpc_loop *l, struct rpc_conns *conns,
                    const struct rpc_server_config *cfg, void (*on_gone)(struct rpc_calls *all))
{
    static const struct rpc_limits_actions actions = {begin, rpc_call_fail, rpc_call_abort};
    all->loop = l;
    all->conns = conns;
    all->on_gone = on_gone;
    all->end_of_turn.fn = pump_turn;
    all->end_of_turn.arg = all;
    rpc_loop_add_end(l, &all->end_of_turn);
    rpc_limits_init(&all->limits, l, conns, cfg, &actions);
}

void rpc_calls_stop(struct rpc_calls *all)
{
    rpc_limits_stop(&all->limits);
}

void rpc_calls_done(struct rpc_calls *all)
{
    rpc_loop_remove_end(all->loop, &all->end_of_turn);
}
