/* The loop as server and client see it: tags, messages, and what is done at the end of a turn. */
#ifndef FM_RPC_LOOP_H
#define FM_RPC_LOOP_H

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "rpc.h"

/* What a completion-queue tag points to. Never in flight twice. */
struct rpc_tag {
    void (*fn)(struct rpc_tag *tag, bool ok);
    void *owner;
};

grpc_completion_queue *rpc_loop_queue(struct rpc_loop *l);

/* Called behind each on_turn, until it is taken out. */
struct rpc_end_of_turn {
    struct rpc_end_of_turn *prev, *next;
    void (*fn)(void *arg);
    void *arg;
};
void rpc_loop_add_end(struct rpc_loop *l, struct rpc_end_of_turn *e);
void rpc_loop_remove_end(struct rpc_loop *l, struct rpc_end_of_turn *e);

/* Has fn(arg) called when the next event of the turn is at hand, or when the turn is over: what
 * can wait until the others have got to work. On the loop's thread; each at most once at a time. */
struct rpc_later {
    struct rpc_later *next;
    void (*fn)(void *arg);
    void *arg;
};
void rpc_loop_later(struct rpc_loop *l, struct rpc_later *later);

/* A queued message. */
struct rpc_message {
    struct rpc_message *prev, *next;
    grpc_byte_buffer *buffer;
    size_t bytes;
};

/* A copy of the bytes as gRPC wants them. */
struct rpc_message *rpc_message_new(struct fm_bytes bytes);
void rpc_message_free(struct rpc_message *m);
void rpc_messages_free(struct rpc_message *list);

/* The received bytes as one slice (unref it), or -1 when they cannot be read (bad compression). */
int rpc_read_all(grpc_byte_buffer *buffer, grpc_slice *ret) FM_MUST_CHECK;
struct fm_bytes rpc_slice_bytes(const grpc_slice *slice);
/* A failed start of a batch is a bug of ours. */
void rpc_must(grpc_call_error e, const char *what);

#define RPC_DETAILS_KEY "grpc-status-details-bin"
#define RPC_MAX_METADATA 16384
/* The algorithms that are allowed: none. gRPC inflates a message whole before it looks at its
 * size; so a call that announces compression is ended with UNIMPLEMENTED before that. */
#define RPC_COMPRESSION (1 << GRPC_COMPRESS_NONE)

#endif
