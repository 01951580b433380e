/* The coordinator's shell: carries requests from gRPC to the core and the core's answers back, store
 * completions and time to the core. Everything here runs on the loop's thread. */
#ifndef FM_SVC_H
#define FM_SVC_H

#include <protobuf-c/protobuf-c.h>
#include <uthash.h>

#include "arena.h"
#include "core.h"
#include "rpc.h"
#include "store.h"

struct svc;

/* Who has a call's events. */
enum svc_call_kind { SVC_CALL_CORE, SVC_CALL_HOST, SVC_CALL_REFLECTION, SVC_CALL_HEALTH };

/* A call under way: its number is the core's ticket or connection. */
struct svc_call {
    UT_hash_handle hh;
    uint64_t id;
    struct svc *svc;
    struct rpc_call *call;
    enum svc_call_kind kind;
};

struct svc {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct core *core;
    struct store *store;
    struct checker *checker;
    struct store_unit *unit; /* the turn's last one so far: the store is woken once a turn */
    struct svc_call *calls;
    uint64_t next_id;
    struct fm_arena arena; /* of the message that is being handled */
    struct rpc_timer timer, stop_timer;
    bool recovered, stopping, quiet;
    void (*on_recovered)(void *arg);
    void (*on_quiet)(void *arg);
    void *arg;
    size_t max_calls; /* set after svc_init; 0: LIMIT_OPEN_CALLS */
    struct health_watch *health_watches;
};

/* Makes the core and adds the method tables of all services to the server. `store` stays the caller's.
 * on_recovered(arg) is called on the loop's thread when clients may come. One in a process. */
void svc_init(struct svc *s, struct rpc_loop *loop, struct rpc_server *server, struct store *store,
              const struct core_config *cfg, void (*on_recovered)(void *arg), void *arg);
/* Begins recovery. */
void svc_start(struct svc *s);
/* There is something to poll in the store: any thread. */
void svc_store_notify(void *svc);
/* Refuses what is new, ends watches and host streams. When all that is under way in the store has been
 * answered, or after grace_ms, the other calls are ended, too, and on_quiet(arg of svc_init) is called: time
 * to shut the server down. Once. */
void svc_stop(struct svc *s, int64_t grace_ms, void (*on_quiet)(void *arg));
/* After the loop has ended. */
void svc_done(struct svc *s);

/* ---- for the service files ---- */

/* True when one more call may be open, `reserve` beyond the limit counted in; else it is refused. */
bool svc_admit(struct rpc_call *call, size_t reserve);

/* A unary or server-stream method that is the core's: method->detail is the request's descriptor,
 * method->number the core_method. */
void svc_core_request(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message);
#define SVC_CORE(path, kind, request, method)                                                                \
    {                                                                                                        \
        path, kind, svc_core_request, &fermata__v1__##request##__descriptor, method                          \
    }
/* Decodes a request into the service's arena; on a fault ends the call and returns NULL. */
const ProtobufCMessage *svc_decode(struct rpc_call *call, const ProtobufCMessageDescriptor *d,
                                   struct fm_bytes message);
/* Ends a call with an error and its details (google.rpc.Status with BadRequest and ErrorInfo). */
void svc_fail(struct rpc_call *call, const struct fm_err *err);
/* Ends a call with a message. */
void svc_reply(struct rpc_call *call, const ProtobufCMessage *message);
/* Puts the encoded google.rpc.Status of an error into `out`, which must be empty. It is bounded: what is left
 * out of a long list of violations is counted in ErrorInfo's metadata. Any thread. */
void svc_status_details(const struct fm_err *err, struct fm_buf *out);
/* Registers a call that lives on after its handler, until svc_call_forget in its on_close. */
struct svc_call *svc_call_new(struct svc *s, struct rpc_call *call, enum svc_call_kind kind);
void svc_call_forget(struct svc_call *c);
/* Tells the core the time; before every input to it. */
void svc_time(struct svc *s);
/* The one of svc_init. */
struct svc *svc_instance(void);

extern const struct rpc_method flows_methods[], jobs_methods[], hosts_methods[], agent_methods[],
    health_methods[], reflection_methods[];
extern const size_t n_flows_methods, n_jobs_methods, n_hosts_methods, n_agent_methods, n_health_methods,
    n_reflection_methods;

/* svc_health.c: tells watchers that the status changed. */
void health_changed(struct svc *s);

#endif
