/* The state of the server, and what the services have in common: the calls under way, how they are
 * refused, decoded and answered. Loop's thread. */
#ifndef FM_SERVER_CALLS_H
#define FM_SERVER_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>
#include <uthash.h>

#include "arena.h"
#include "core.h"
#include "rpc.h"
#include "store.h"

struct checker;
struct health_watch;
struct roles;
struct server;

/* Who has a call's events. */
enum server_call_kind { SERVER_CALL_CORE, SERVER_CALL_HOST, SERVER_CALL_REFLECTION, SERVER_CALL_HEALTH };

/* A call under way: its number is the core's ticket or connection. */
struct server_call {
    UT_hash_handle hh;
    uint64_t id;
    struct server *server;
    struct rpc_call *call;
    enum server_call_kind kind;
    const ProtobufCMessageDescriptor *response; /* of a call of the core's */
};

struct server {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct core *core;
    struct store *store;
    struct checker *checker, *answer_checker; /* of programs and schemas, which may take long; of answers */
    struct store_unit *unit;                  /* the turn's last one so far: the store is woken once a turn */
    struct server_call *calls;
    uint64_t next_id;
    struct fm_arena arena; /* of the message that is being handled */
    struct rpc_timer timer, stop_timer;
    bool recovered, stopping, quiet;
    void (*on_recovered)(void *arg);
    void (*on_quiet)(void *arg);
    void *arg;
    struct roles *roles; /* NULL: every person is an administrator */
    size_t max_calls;    /* set after server_init; 0: LIMIT_OPEN_CALLS */
    struct health_watch *health_watches;
    struct rpc_method *rows; /* of the core's methods */
    size_t n_rows;
};

/* The call with this number, or NULL: it is gone. */
struct server_call *server_call_find(struct server *s, uint64_t id);
/* True when one more call may be open, `reserve` beyond the limit counted in; else it is refused. */
bool server_admit(struct rpc_call *call, size_t reserve);

/* Decodes a request into the service's arena; on a fault ends the call and returns NULL. */
ProtobufCMessage *server_decode(struct rpc_call *call, const ProtobufCMessageDescriptor *d,
                                struct fm_bytes message);
/* Ends a call with an error and its details (google.rpc.Status with BadRequest and ErrorInfo). */
void server_fail(struct rpc_call *call, const struct fm_err *err);
/* Ends a call with a message. */
void server_reply(struct rpc_call *call, const ProtobufCMessage *message);
/* Puts the encoded google.rpc.Status of an error into `out`, which must be empty. It is bounded: what is left
 * out of a long list of violations is counted in ErrorInfo's metadata. Any thread. */
void server_status_details(const struct fm_err *err, struct fm_buf *out);
/* Registers a call that lives on after its handler, until server_call_forget in its on_close. */
struct server_call *server_call_new(struct server *s, struct rpc_call *call, enum server_call_kind kind);
void server_call_forget(struct server_call *c);
/* Tells the core the time; before every input to it. */
void server_time(struct server *s);

#endif
