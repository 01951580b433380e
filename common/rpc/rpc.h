/* gRPC, as far as Fermata needs it: a loop, a server with a table of methods, a client stream.
 * Moves bytes; knows no message of the project. Nothing of <grpc/…> is seen outside common/rpc/.
 *
 * Threads: a loop has one completion queue and one thread, which runs all callbacks of its
 * server, calls and streams; their functions are called from there only, unless said otherwise.
 * So a user whose state is touched by callbacks alone needs no lock. */
#ifndef FM_RPC_H
#define FM_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "principal.h"
#include "tls_files.h"

/* ---- process ---- */

/* Initialises gRPC and routes its own log lines to ours. Once, before everything else here. */
void rpc_global_init(void);
/* After all loops are freed. Waits for gRPC's threads. */
void rpc_global_shutdown(void);

/* True when what goes to "HOST:PORT" or "unix:/PATH" stays on this machine: loopback, whatever the name's
 * addresses. A name that is not known does not. May ask a name server. */
bool rpc_is_local(const char *address);

/* ---- loop ---- */

struct rpc_loop;

struct rpc_loop *rpc_loop_new(void);
/* Runs callbacks on the calling thread until rpc_loop_stop, and then until every event is
 * drained. */
void rpc_loop_run(struct rpc_loop *l);
/* Any thread: has fn(arg) called on the loop's thread. Returns false (and does nothing) once the
 * loop is stopping. */
bool rpc_loop_post(struct rpc_loop *l, void (*fn)(void *arg), void *arg);
/* Called after each burst of events (and after posted functions and timers), before the loop
 * waits again. */
void rpc_loop_on_turn(struct rpc_loop *l, void (*fn)(void *arg), void *arg);
/* Says what the callback does that is at work, for the log when it takes long; the text lives as long as the
 * loop. On the loop's thread. */
void rpc_loop_doing(struct rpc_loop *l, const char *what);
/* Ends rpc_loop_run. Servers must be shut down and streams have had their on_status before. */
void rpc_loop_stop(struct rpc_loop *l);
/* After rpc_loop_run has returned. */
void rpc_loop_free(struct rpc_loop *l);

/* A timer of the loop; zero it before its first use. */
struct rpc_timer {
    struct rpc_timer *prev, *next;
    int64_t at_ms;
    bool armed;
    void (*fn)(void *arg);
    void *arg;
};
/* Calls fn(arg) at this monotonic time (fm_now_mono_ms); arming again moves it. */
void rpc_timer_start(struct rpc_loop *l, struct rpc_timer *t, int64_t at_ms, void (*fn)(void *arg),
                     void *arg);
void rpc_timer_stop(struct rpc_loop *l, struct rpc_timer *t);

/* ---- server ---- */

struct rpc_server;
struct rpc_call;

enum rpc_kind {
    RPC_UNARY,         /* one message in, one out */
    RPC_SERVER_STREAM, /* one in, any number out */
    RPC_BIDI           /* any number in and out */
};

/* A row of a method table. */
struct rpc_method {
    const char *path; /* "/package.Service/Method" */
    enum rpc_kind kind;
    /* Unary and server-stream: the call's message is here; `message` is valid during the
     * handler. Bidi: the call begins, message is empty; set the call's events with
     * rpc_call_events. */
    void (*handler)(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message);
    const void *detail; /* the user's */
    int number;         /* the user's */
};

struct rpc_server_config {
    size_t max_message_bytes; /* in; larger ones end their call with RESOURCE_EXHAUSTED */
    size_t max_connections;   /* then idle ones make room; 0: 16384. RLIMIT_NOFILE may allow fewer */
    int request_ms;           /* how long the first message of a call may take to come; 0: 30 s */
    size_t max_unread_bytes;  /* of replies that clients have not read, all together; 0: 256 MiB */
    int keepalive_ms; /* pings on idle connections; a peer that does not answer within 10 s is dropped. 0: 20
                         s */
};

/* Never NULL. */
struct rpc_server *rpc_server_new(struct rpc_loop *l, const struct rpc_server_config *cfg);
/* Adds a table of methods, which must live as long as the server. Their calls have `service`. */
void rpc_server_add(struct rpc_server *s, const struct rpc_method *methods, size_t n, void *service);
/* Before it listens: connections by TCP speak TLS, and have a certificate if `files` names who signs those.
 * Returns 0, or -FM_INVALID_ARGUMENT: which file is not right. */
int rpc_server_secure(struct rpc_server *s, const struct tls_files *files, struct fm_err *err) FM_MUST_CHECK;
/* Any thread: has these files read anew now; else that is done soon after they change. */
void rpc_server_reload(struct rpc_server *s);
/* Binds "HOST:PORT" or "unix:/PATH"; port 0 picks one. Returns 0 and the port, or -FM_UNAVAILABLE (in use,
 * not ours, not resolvable). */
int rpc_server_listen(struct rpc_server *s, const char *address, int *ret_port,
                      struct fm_err *err) FM_MUST_CHECK;
/* Begins to accept calls. After rpc_server_listen. */
void rpc_server_start(struct rpc_server *s);
/* Takes no more calls; waits grace_ms for those under way, then cancels them; done(arg) is
 * called when all are gone. */
void rpc_server_shutdown(struct rpc_server *s, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* After done. */
void rpc_server_free(struct rpc_server *s);

/* What happens to a call; any may be NULL. */
struct rpc_call_events {
    void (*on_message)(struct rpc_call *call, void *user, struct fm_bytes message); /* bidi */
    void (*on_half_close)(struct rpc_call *call, void *user); /* bidi: the client sends no more */
    void (*on_drained)(struct rpc_call *call, void *user);    /* the queue fell below half of high_water */
    void (*on_close)(struct rpc_call *call,
                     void *user); /* last callback: the call is over, forget the pointer */
};

/* With a high_water of other than 0, a bidi call is not read while its queue is at or above it. */
void rpc_call_events(struct rpc_call *call, const struct rpc_call_events *events, void *user,
                     size_t high_water);
/* What its method was added with. */
void *rpc_call_service(const struct rpc_call *call);
const char *rpc_call_peer(const struct rpc_call *call);
/* Who calls; as long as the call. */
const struct fm_principal *rpc_call_principal(const struct rpc_call *call);
/* Ends a unary call with its reply and OK. */
void rpc_call_reply(struct rpc_call *call, struct fm_bytes message);
/* Ends a call with a status; err NULL is OK. What was sent before goes out first. `details` (may
 * be empty) goes into grpc-status-details-bin. */
void rpc_call_finish(struct rpc_call *call, const struct fm_err *err, struct fm_bytes details);
/* Ends a call with a status at once: what was sent and the client has not read is dropped. For a
 * client that does not read. */
void rpc_call_abort(struct rpc_call *call, const struct fm_err *err);
/* Streams: queues a message; what was queued in a turn goes out at its end, one write at a time.
 * Returns false when the queue is at or above high_water now (the message was taken). */
bool rpc_call_send(struct rpc_call *call, struct fm_bytes message);
/* Bidi: with `hold` no more messages are read until it is called without: what the client sends waits there.
 * Within on_message it holds at once; otherwise one message may still come. */
void rpc_call_hold(struct rpc_call *call, bool hold);
/* A stream's messages of this turn go out before those of other calls. */
void rpc_call_hurry(struct rpc_call *call);
size_t rpc_call_queued(const struct rpc_call *call);

/* ---- client ---- */

struct rpc_channel;
struct rpc_stream;
struct rpc_dialer;

/* Connects by TLS; with a certificate, if `files` has one. Its files are read anew for a connection when they
 * have changed. NULL with err: which file is not right. */
struct rpc_dialer *rpc_dialer_new(const struct tls_files *files, struct fm_err *err);
/* When its channels are freed; may be NULL. */
void rpc_dialer_free(struct rpc_dialer *d);

/* A channel to "HOST:PORT", by TLS if there is a dialer, or to "unix:/PATH". Connects when it is used; its
 * calls fail with UNAVAILABLE at once when it cannot. Use a new channel for each attempt to reconnect:
 * back-off is the user's. */
struct rpc_channel *rpc_channel_new(struct rpc_loop *l, const char *target, size_t max_message_bytes,
                                    struct rpc_dialer *dialer);
/* Any thread. Its streams live on. */
void rpc_channel_free(struct rpc_channel *c);

/* Callbacks on the loop's thread. */
struct rpc_stream_events {
    void (*on_message)(struct rpc_stream *s, void *user, struct fm_bytes message);
    /* The last callback, exactly once: the stream is over. code FM_OK is a clean end. Release
     * the stream afterwards. */
    void (*on_status)(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details);
};

/* Opens a call of any kind to `path`. deadline_ms from now; 0: none. Any thread. Release with
 * rpc_stream_unref. */
struct rpc_stream *rpc_stream_open(struct rpc_channel *c, const char *path, int64_t deadline_ms,
                                   const struct rpc_stream_events *events, void *user);
/* As rpc_stream_open, for a call with one message from the client: opens it, sends the message
 * and closes the client's side, all in one write. */
struct rpc_stream *rpc_stream_request(struct rpc_channel *c, const char *path, int64_t deadline_ms,
                                      struct fm_bytes message, const struct rpc_stream_events *events,
                                      void *user);
/* Any thread: queues a message; one write is out at a time. Dropped when the stream is over. */
void rpc_stream_send(struct rpc_stream *s, struct fm_bytes message);
/* Any thread: no more messages after those queued. */
void rpc_stream_close_send(struct rpc_stream *s);
/* Any thread: with `hold` no more messages are read until it is called without: what the peer
 * sends waits there. A message that is being read still comes. */
void rpc_stream_hold(struct rpc_stream *s, bool hold);
/* Any thread: ends it; on_status follows. */
void rpc_stream_cancel(struct rpc_stream *s);
void rpc_stream_unref(struct rpc_stream *s);

#endif
