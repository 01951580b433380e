/* What rpc_server.c and rpc_limits.c share: a server and its calls. */
#ifndef FM_RPC_SERVER_INT_H
#define FM_RPC_SERVER_INT_H

#include <pthread.h>

#include "rpc_conn.h"
#include "rpc_int.h"

#define ACCEPTS 64

struct accept {
    struct rpc_tag tag;
    struct rpc_server *server;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

/* A call of a method that does not exist, until its client has sent a message. */
struct unknown {
    struct unknown *prev, *next;
    struct rpc_call *call;
    int64_t answer_at_ms;
    char text[256];
};

struct rpc_server {
    struct rpc_loop *loop;
    grpc_server *server;
    struct rpc_conns *conns;
    const struct rpc_method **methods; /* by path */
    size_t n_methods;
    struct accept accepts[ACCEPTS];
    size_t calls;
    bool stopping, down;
    struct rpc_tag down_tag;
    struct rpc_timer grace;
    struct unknown *unknowns; /* those that came first are first */
    struct rpc_timer unknown_timer;
    struct rpc_call *turn; /* calls that write at the end of the turn */
    size_t n_turn;
    /* The calls that have sent no message, and those that have a write out: in the order in which that began
     */
    struct rpc_call *silent, *writers;
    size_t n_silent, unread_bytes;
    int request_ms;
    size_t max_silent, max_unread;
    struct rpc_timer silent_timer;
    struct rpc_end_of_turn end_of_turn;
    void (*done)(void *arg);
    void *done_arg;
};

struct rpc_call {
    struct rpc_server *server;
    const struct rpc_method *method;
    grpc_call *call;
    char *peer; /* as gRPC says */
    struct rpc_conn *conn;
    struct rpc_call_events events;
    void *user;
    size_t high_water;
    struct rpc_tag recv_tag, send_tag, close_tag;
    struct rpc_later read;
    int pending; /* batches in the queue, and a read that is put off */
    grpc_byte_buffer *incoming;
    bool got_message, reading, held, closed;
    int cancelled;
    /* sending */
    struct rpc_message *queue;
    size_t queued_bytes;
    struct rpc_message *writing;
    bool metadata_sent, busy, finishing, status_sent, was_full, in_turn;
    struct rpc_call *turn_prev, *turn_next; /* among those to be pumped at the end of the turn */
    /* rpc_limits.c: */
    struct rpc_call *silent_prev, *silent_next, *writer_prev, *writer_next;
    struct rpc_call *waiting_prev, *waiting_next;
    bool is_silent, is_writer, in_hand, is_waiting;
    int64_t began_ms;
    size_t counted_bytes; /* its part of the server's unread_bytes */
    grpc_status_code status;
    grpc_slice status_text, details;
};

/* Ends a call with this error. */
void rpc_call_fail(struct rpc_call *c, enum fm_code code, const char *text);

/* Begins to read its request. */
void rpc_call_start(struct rpc_call *c);

/* ---- rpc_limits.c ---- */

void rpc_limits_init(struct rpc_server *s, const struct rpc_server_config *cfg);
/* A call has begun: true when its request may be read now. Else rpc_call_start does it in its turn. */
bool rpc_limits_admit(struct rpc_call *c);
/* A call is over: others of its connection have their turn. */
void rpc_limits_release(struct rpc_call *c);
/* A request is read: its first message, or the end of its messages, is awaited from now. */
void rpc_limits_await(struct rpc_call *c);
/* It has come, or the call is over. */
void rpc_limits_awaited(struct rpc_call *c);
/* So many bytes more wait for the client to read them. */
void rpc_limits_queued(struct rpc_call *c, size_t bytes);
/* A write begins. */
void rpc_limits_writing(struct rpc_call *c);
/* It has ended; so many bytes have been taken. */
void rpc_limits_written(struct rpc_call *c, size_t bytes);
/* Nothing of the call waits any more: it is aborted or over. */
void rpc_limits_dropped(struct rpc_call *c);

#endif
