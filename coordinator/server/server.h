/* The coordinator's shell: carries requests from gRPC to the core and the core's answers back, store
 * completions and time to the core. Everything here runs on the loop's thread. */
#ifndef FM_SERVER_H
#define FM_SERVER_H

#include <protobuf-c/protobuf-c.h>
#include <uthash.h>

#include "arena.h"
#include "core.h"
#include "rpc.h"
#include "store.h"

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
};

struct server {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct core *core;
    struct store *store;
    struct checker *checker;
    struct store_unit *unit; /* the turn's last one so far: the store is woken once a turn */
    struct server_call *calls;
    uint64_t next_id;
    struct fm_arena arena; /* of the message that is being handled */
    struct rpc_timer timer, stop_timer;
    bool recovered, stopping, quiet;
    void (*on_recovered)(void *arg);
    void (*on_quiet)(void *arg);
    void *arg;
    size_t max_calls; /* set after server_init; 0: LIMIT_OPEN_CALLS */
    struct health_watch *health_watches;
    struct rpc_method *rows; /* of the core's methods */
    size_t n_rows;
};

/* Makes the core and adds the method tables of all services to the server. `store` stays the caller's.
 * on_recovered(arg) is called on the loop's thread when clients may come. */
void server_init(struct server *s, struct rpc_loop *loop, struct rpc_server *server, struct store *store,
                 const struct core_config *cfg, void (*on_recovered)(void *arg), void *arg);
/* Begins recovery. */
void server_start(struct server *s);
/* There is something to poll in the store: any thread. */
void server_store_notify(void *server);
/* Refuses what is new, ends watches and host streams. When all that is under way in the store has been
 * answered, or after grace_ms, the other calls are ended, too, and on_quiet(arg of server_init) is called:
 * time to shut the server down. Once. */
void server_stop(struct server *s, int64_t grace_ms, void (*on_quiet)(void *arg));
/* After the loop has ended. */
void server_done(struct server *s);

/* ---- for the service files ---- */

/* True when one more call may be open, `reserve` beyond the limit counted in; else it is refused. */
bool server_admit(struct rpc_call *call, size_t reserve);

/* Decodes a request into the service's arena; on a fault ends the call and returns NULL. */
const ProtobufCMessage *server_decode(struct rpc_call *call, const ProtobufCMessageDescriptor *d,
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

extern const struct rpc_method agent_methods[], health_methods[], reflection_methods[];
extern const size_t n_agent_methods, n_health_methods, n_reflection_methods;

/* server_health.c: tells watchers that the status changed. */
void health_changed(struct server *s);

#endif
