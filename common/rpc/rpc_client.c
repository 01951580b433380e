/* The client: channels and streams. A stream may be used from any thread: a lock guards its
 * queue; batches of one direction are never started twice. See rpc.h. */
#include "rpc_loop.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <grpc/grpc_posix.h>
#include <utlist.h>

#include "lock.h"
#include "mem.h"
#include "rpc_dial.h"
#include "rpc_listen.h"

#define KEEPALIVE_MS 10000
#define KEEPALIVE_TIMEOUT_MS 10000

struct rpc_channel {
    struct rpc_loop *loop;
    grpc_channel *channel;
    struct rpc_dial *dial; /* by TLS; else NULL */
};

struct rpc_stream {
    grpc_call *call;
    struct rpc_dial *dial;
    struct rpc_stream_events events;
    void *user;
    struct rpc_tag open_tag, recv_tag, send_tag, close_tag, status_tag;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *incoming;
    grpc_status_code status;
    grpc_slice status_text;
    pthread_mutex_t lock;
    /* under lock */
    struct rpc_message *queue, *writing;
    bool busy, close_wanted, close_started, over, held, read_wanted;
    int pending, refs;
    bool reported;
};

struct rpc_channel *rpc_channel_new(struct rpc_loop *l, const char *target, size_t max_message_bytes,
                                    struct rpc_dialer *dialer)
{
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = (int)max_message_bytes                                                           },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_TIME_MS,
         .value.integer = KEEPALIVE_MS                                                                     },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
         .value.integer = KEEPALIVE_TIMEOUT_MS                                                             },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA,
         .value.integer = 0                                                                                },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
         .value.integer = 1                                                                                },
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_RETRIES,    .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_METADATA_SIZE,
         .value.integer = RPC_MAX_METADATA                                                                 },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
         .value.integer = RPC_COMPRESSION                                                                  },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION,
         .value.integer = 0                                                                                },
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
    };
    grpc_channel_args channel_args = {sizeof(args) / sizeof(args[0]), args};
    struct rpc_channel *c = fm_xcalloc(1, sizeof(*c));
    c->loop = l;
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    if (dialer != NULL && strncmp(target, RPC_UNIX, strlen(RPC_UNIX)) != 0) {
        int fd = -1;
        c->dial = rpc_dial(dialer, target, &fd);
        c->channel = grpc_channel_create_from_fd(target, fd, creds, &channel_args);
    } else {
        c->channel = grpc_channel_create(target, creds, &channel_args);
    }
    grpc_channel_credentials_release(creds);
    return c;
}

void rpc_channel_free(struct rpc_channel *c)
{
    grpc_channel_destroy(c->channel);
    rpc_dial_unref(c->dial);
    free(c);
}

/* ---- life of a stream ---- */

static void release(struct rpc_stream *s)
{
    fm_lock(&s->lock);
    int refs = --s->refs;
    fm_unlock(&s->lock);
    if (refs > 0)
        return;
    grpc_call_unref(s->call);
    rpc_dial_unref(s->dial);
    grpc_metadata_array_destroy(&s->initial);
    grpc_metadata_array_destroy(&s->trailing);
    grpc_slice_unref(s->status_text);
    rpc_messages_free(s->queue);
    if (s->writing != NULL)
        rpc_message_free(s->writing);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

void rpc_stream_unref(struct rpc_stream *s)
{
    release(s);
}

static struct fm_bytes find_details(const struct rpc_stream *s)
{
    for (size_t i = 0; i < s->trailing.count; i++)
        if (grpc_slice_str_cmp(s->trailing.metadata[i].key, RPC_DETAILS_KEY) == 0)
            return rpc_slice_bytes(&s->trailing.metadata[i].value);
    return FM_NO_BYTES;
}

static void report(struct rpc_stream *s)
{
    fm_auto(fm_err) err = {0};
    char why[RPC_WHY_BYTES];
    if (s->status != GRPC_STATUS_OK)
        (void)fm_err_set(&err, (enum fm_code)s->status, NULL, "%.*s", (int)GRPC_SLICE_LENGTH(s->status_text),
                         (const char *)GRPC_SLICE_START_PTR(s->status_text));
    if (s->status == GRPC_STATUS_UNAVAILABLE && rpc_dial_why(s->dial, why)) /* gRPC has seen an end only */
        fm_err_wrap(&err, "%s", why);
    s->events.on_status(s, s->user, &err, find_details(s));
}

/* A batch has come back: when it was the last one, the stream is over and its status is
 * reported. */
static void batch_done(struct rpc_stream *s)
{
    fm_lock(&s->lock);
    bool last = --s->pending == 0 && s->over && !s->reported;
    s->reported = s->reported || last;
    fm_unlock(&s->lock);
    if (last) {
        report(s);
        release(s);
    }
}

/* ---- sending ---- */

/* Under lock: starts the next write, or the end of sending. */
static void pump(struct rpc_stream *s)
{
    if (s->busy || s->over)
        return;
    grpc_op op;
    memset(&op, 0, sizeof(op));
    if (s->queue != NULL) {
        struct rpc_message *m = s->queue;
        DL_DELETE(s->queue, m);
        s->writing = m;
        op.op = GRPC_OP_SEND_MESSAGE;
        op.flags = s->queue != NULL ? GRPC_WRITE_BUFFER_HINT : 0;
        op.data.send_message.send_message = m->buffer;
        s->busy = true;
        s->pending++;
        rpc_must(grpc_call_start_batch(s->call, &op, 1, &s->send_tag, NULL), "send");
    } else if (s->close_wanted && !s->close_started) {
        s->close_started = true;
        op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        s->pending++;
        rpc_must(grpc_call_start_batch(s->call, &op, 1, &s->close_tag, NULL), "half-close");
    }
}

static void on_sent(struct rpc_tag *tag, bool ok)
{
    struct rpc_stream *s = tag->owner;
    fm_lock(&s->lock);
    rpc_message_free(s->writing);
    s->writing = NULL;
    s->busy = false;
    if (ok)
        pump(s);
    fm_unlock(&s->lock);
    batch_done(s);
}

static void on_done(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    batch_done(tag->owner);
}

void rpc_stream_send(struct rpc_stream *s, struct fm_bytes message)
{
    struct rpc_message *m = rpc_message_new(message);
    fm_lock(&s->lock);
    if (s->over || s->close_wanted) {
        fm_unlock(&s->lock);
        rpc_message_free(m);
        return;
    }
    DL_APPEND(s->queue, m);
    pump(s);
    fm_unlock(&s->lock);
}

void rpc_stream_close_send(struct rpc_stream *s)
{
    fm_lock(&s->lock);
    s->close_wanted = true;
    pump(s);
    fm_unlock(&s->lock);
}

void rpc_stream_cancel(struct rpc_stream *s)
{
    (void)grpc_call_cancel(s->call, NULL);
}

/* ---- receiving ---- */

/* Under lock. */
static void read_more(struct rpc_stream *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &s->incoming;
    s->incoming = NULL;
    s->pending++;
    rpc_must(grpc_call_start_batch(s->call, &op, 1, &s->recv_tag, NULL), "receive");
}

static void start_read(struct rpc_stream *s)
{
    fm_lock(&s->lock);
    s->read_wanted = s->held;
    if (!s->held)
        read_more(s);
    fm_unlock(&s->lock);
}

void rpc_stream_hold(struct rpc_stream *s, bool hold)
{
    fm_lock(&s->lock);
    s->held = hold;
    if (!hold && s->read_wanted && !s->over) {
        s->read_wanted = false;
        read_more(s);
    }
    fm_unlock(&s->lock);
}

static void on_received(struct rpc_tag *tag, bool ok)
{
    struct rpc_stream *s = tag->owner;
    fm_lock(&s->lock); /* the first read was started by another thread */
    grpc_byte_buffer *incoming = s->incoming;
    s->incoming = NULL;
    fm_unlock(&s->lock);
    if (ok && incoming != NULL) {
        grpc_slice slice;
        bool readable = rpc_read_all(incoming, &slice) == 0;
        grpc_byte_buffer_destroy(incoming);
        if (readable) {
            if (s->events.on_message != NULL)
                s->events.on_message(s, s->user, rpc_slice_bytes(&slice));
            grpc_slice_unref(slice);
            start_read(s);
        } else {
            rpc_stream_cancel(s);
        }
    }
    batch_done(s);
}

static void on_status(struct rpc_tag *tag, bool ok)
{
    struct rpc_stream *s = tag->owner;
    (void)ok;
    fm_lock(&s->lock);
    s->over = true;
    fm_unlock(&s->lock);
    batch_done(s);
}

static struct rpc_stream *new_stream(struct rpc_channel *c, const char *path, int64_t deadline_ms,
                                     const struct rpc_stream_events *events, void *user)
{
    struct rpc_stream *s = fm_xcalloc(1, sizeof(*s));
    s->events = *events;
    s->dial = rpc_dial_ref(c->dial);
    s->user = user;
    s->refs = 2;    /* the caller's, and the queue's until on_status */
    s->pending = 2; /* both batches below: neither may report before the other was started */
    s->status_text = grpc_empty_slice();
    (void)pthread_mutex_init(&s->lock, NULL);
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    s->open_tag = (struct rpc_tag){on_done, s};
    s->close_tag = (struct rpc_tag){on_done, s};
    s->recv_tag = (struct rpc_tag){on_received, s};
    s->send_tag = (struct rpc_tag){on_sent, s};
    s->status_tag = (struct rpc_tag){on_status, s};
    gpr_timespec deadline = deadline_ms > 0 ? gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                                           gpr_time_from_millis(deadline_ms, GPR_TIMESPAN))
                                            : gpr_inf_future(GPR_CLOCK_MONOTONIC);
    grpc_slice method = grpc_slice_from_copied_string(path);
    s->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, rpc_loop_queue(c->loop),
                                       method, NULL, deadline, NULL);
    grpc_slice_unref(method);
    return s;
}

/* Starts the call; with a message (which is the stream's from then on) it is the only one. */
static void begin(struct rpc_stream *s, struct rpc_message *only)
{
    grpc_op ops[4];
    size_t n = 2;
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
    if (only != NULL) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = only->buffer;
        ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        s->writing = only;
        s->close_wanted = s->close_started = true;
    }
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &s->trailing;
    status.data.recv_status_on_client.status = &s->status;
    status.data.recv_status_on_client.status_details = &s->status_text;
    fm_lock(&s->lock); /* what was set above comes before what the queue's thread does with it */
    rpc_must(grpc_call_start_batch(s->call, ops, n, &s->open_tag, NULL), "open");
    fm_unlock(&s->lock);
    start_read(s);
    rpc_must(grpc_call_start_batch(s->call, &status, 1, &s->status_tag, NULL), "status");
}

struct rpc_stream *rpc_stream_open(struct rpc_channel *c, const char *path, int64_t deadline_ms,
                                   const struct rpc_stream_events *events, void *user)
{
    struct rpc_stream *s = new_stream(c, path, deadline_ms, events, user);
    begin(s, NULL);
    return s;
}

struct rpc_stream *rpc_stream_request(struct rpc_channel *c, const char *path, int64_t deadline_ms,
                                      struct fm_bytes message, const struct rpc_stream_events *events,
                                      void *user)
{
    struct rpc_stream *s = new_stream(c, path, deadline_ms, events, user);
    begin(s, rpc_message_new(message));
    return s;
}
