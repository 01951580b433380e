/* See call.h. */
#include "call.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "slow.h"

#define WAIT_MS DEADLINE_MS

struct call {
    call_done done;
    void *user;
    struct fm_buf reply;
};

static void on_message(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    struct call *c = user;
    (void)s;
    fm_buf_append(&c->reply, m.p, m.n);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    struct call *c = user;
    (void)s;
    (void)details;
    c->done(c->user, status, (struct fm_bytes){c->reply.p, c->reply.n});
    fm_buf_done(&c->reply);
    free(c);
}

void call_start(struct rpc_channel *channel, const char *method, const ProtobufCMessage *request,
                int64_t deadline_ms, call_done done, void *user)
{
    static const struct rpc_stream_events events = {on_message, on_status};
    char path[128];
    struct fm_buf b = {0};
    struct call *c = fm_xcalloc(1, sizeof(*c));
    c->done = done;
    c->user = user;
    snprintf(path, sizeof(path), "/fermata.v1.%s", method);
    fm_buf_reserve(&b, protobuf_c_message_get_packed_size(request) + 1);
    b.n = protobuf_c_message_pack(request, b.p);
    struct fm_bytes message = {b.p, b.n};
    struct rpc_stream *s = rpc_stream_request(channel, path, deadline_ms, message, &events, c);
    rpc_stream_unref(s); /* it lives until on_status all the same */
    fm_buf_done(&b);
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool done;
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *reply;
    struct fm_err err;
};

static void on_done(void *user, const struct fm_err *status, struct fm_bytes reply)
{
    struct waiter *w = user;
    pthread_mutex_lock(&w->lock);
    if (status->code != FM_OK)
        fm_err_copy(&w->err, status);
    else if ((w->reply = protobuf_c_message_unpack(w->type, NULL, reply.n, reply.p)) == NULL)
        fm_err_set(&w->err, FM_DATA_LOSS, NULL, "the reply is malformed");
    w->done = true;
    pthread_cond_signal(&w->ready);
    pthread_mutex_unlock(&w->lock);
}

int call_wait(struct rpc_channel *c, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *reply_type, ProtobufCMessage **ret_reply, struct fm_err *err)
{
    struct waiter w = {.type = reply_type};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.ready, NULL);
    call_start(c, method, request, WAIT_MS, on_done, &w);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.ready, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.ready);
    int rc = -(int)w.err.code;
    if (rc < 0)
        fm_err_copy(err, &w.err);
    else
        *ret_reply = w.reply;
    fm_err_done(&w.err);
    return rc;
}
