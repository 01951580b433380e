/* Bounds for what clients can make a server keep; it ends the calls that go beyond them. On the
 * loop's thread. */
#ifndef FM_RPC_LIMITS_H
#define FM_RPC_LIMITS_H

#include "rpc_conn.h"
#include "rpc_loop.h"

/* What is counted of a call; zero at first, but for its call and its connection. */
struct rpc_bound {
    struct rpc_call *call;
    struct rpc_conn *conn; /* NULL: it is gone already */
    struct rpc_bound *silent_prev, *silent_next, *writer_prev, *writer_next;
    struct rpc_bound *waiting_prev, *waiting_next;
    bool is_silent, is_writer, in_hand, is_waiting;
    int64_t began_ms;
    size_t counted_bytes; /* its part of the server's unread_bytes */
};

/* What is done with a call. */
struct rpc_limits_actions {
    void (*start)(struct rpc_call *c); /* its turn has come: its request may be read */
    void (*fail)(struct rpc_call *c, enum fm_code code, const char *text);
    void (*abort)(struct rpc_call *c, const struct fm_err *err);
};

/* Of a server. */
struct rpc_limits {
    struct rpc_loop *loop;
    struct rpc_conns *conns;
    const struct rpc_limits_actions *actions;
    /* The calls that have sent no message, and those that have a write out: in the order in
     * which that began */
    struct rpc_bound *silent, *writers;
    size_t n_silent, unread_bytes;
    int request_ms;
    size_t max_silent, max_unread;
    struct rpc_timer silent_timer;
};

void rpc_limits_init(struct rpc_limits *l, struct rpc_loop *loop, struct rpc_conns *conns,
                     const struct rpc_server_config *cfg, const struct rpc_limits_actions *actions);
void rpc_limits_stop(struct rpc_limits *l);

/* A unary call has begun: true when its request may be read now. Else it is started in its turn. */
bool rpc_limits_admit(struct rpc_bound *c);
/* A call is over: others of its connection have their turn. */
void rpc_limits_release(struct rpc_limits *l, struct rpc_bound *c);
/* A request is read: its first message, or the end of its messages, is awaited from now. */
void rpc_limits_await(struct rpc_limits *l, struct rpc_bound *c);
/* It has come, or the call is over. */
void rpc_limits_awaited(struct rpc_limits *l, struct rpc_bound *c);
/* So many bytes more wait for the client to read them. */
void rpc_limits_queued(struct rpc_limits *l, struct rpc_bound *c, size_t bytes);
/* A write begins. */
void rpc_limits_writing(struct rpc_limits *l, struct rpc_bound *c);
/* It has ended; so many bytes have been taken. */
void rpc_limits_written(struct rpc_limits *l, struct rpc_bound *c, size_t bytes);
/* Nothing of the call waits any more: it is aborted or over. */
void rpc_limits_dropped(struct rpc_limits *l, struct rpc_bound *c);

#endif
