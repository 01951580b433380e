/* The calls of a server, for rpc_server.c; what handlers may do with them is in rpc.h. On the
 * loop's thread. */
#ifndef FM_RPC_CALL_H
#define FM_RPC_CALL_H

#include "rpc_limits.h"

/* What the calls of a server have in common. */
struct rpc_calls {
    struct rpc_loop *loop;
    struct rpc_conns *conns;
    size_t n;                               /* that are not freed */
    void (*on_gone)(struct rpc_calls *all); /* one has been freed */
    struct rpc_call *turn;                  /* those that write at the end of the turn */
    size_t n_turn;
    struct rpc_end_of_turn end_of_turn;
    struct rpc_limits limits;
};

struct rpc_call {
    struct rpc_calls *calls;
    const struct rpc_method *method;
    void *service;
    grpc_call *call;
    char *peer; /* as gRPC says */
    struct rpc_bound bound;
    struct rpc_call_events events;
    void *user;
    size_t high_water;
    struct rpc_tag recv_tag, send_tag, close_tag;
    struct rpc_later read;
    int pending; /* batches in the queue, and a read that is put off */
    grpc_byte_buffer *incoming;
    bool got_message, reading, closed;
    bool held;    /* the next read waits */
    bool on_hold; /* the user wants no more messages for now */
    int cancelled;
    /* sending */
    struct rpc_message *queue;
    size_t queued_bytes;
    struct rpc_message *writing;
    bool metadata_sent, busy, finishing, status_sent, was_full, in_turn;
    struct rpc_call *turn_prev, *turn_next; /* among those to be pumped at the end of the turn */
    grpc_status_code status;
    grpc_slice status_text, details;
};

void rpc_calls_init(struct rpc_calls *all, struct rpc_loop *l, struct rpc_conns *conns,
                    const struct rpc_server_config *cfg, void (*on_gone)(struct rpc_calls *all));
/* No timer is armed from then on. */
void rpc_calls_stop(struct rpc_calls *all);
/* When no call is left. */
void rpc_calls_done(struct rpc_calls *all);

/* A call that gRPC has accepted; freed by itself when it is over. */
struct rpc_call *rpc_call_new(struct rpc_calls *all, grpc_call *call);
/* Its method is known: reads its request, now or in its turn. */
void rpc_call_begin(struct rpc_call *c, const struct rpc_method *method, void *service);
/* Ends a call with this error. */
void rpc_call_fail(struct rpc_call *c, enum fm_code code, const char *text);

#endif
