/* A coordinator's server in this process, with a store in a temporary directory, and a client to call it by.
 * The server's loop and the client's have a thread each; the test waits for what they report. */
#ifndef FM_SERVER_FIXTURE_H
#define FM_SERVER_FIXTURE_H

#include <pthread.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "server.h"

struct fixture {
    char dir[64];
    struct store *store;
    struct rpc_loop *loop, *client_loop;
    pthread_t thread, client_thread;
    struct rpc_server *server;
    struct server coordinator;
    struct rpc_channel *channel;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int port; /* under lock; 0 until it listens */
};

/* A call of the client. Everything but `stream` is under the fixture's lock. */
struct client_call {
    struct fixture *f;
    struct rpc_stream *stream;
    struct fm_buf messages[64];
    size_t n_messages;
    bool over;
    struct fm_err status;
    struct fm_buf details;
};

/* Setup and teardown of a test; the state is a struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Stops the server, as SIGTERM does, and waits until it has ended. */
void fixture_stop(struct fixture *f);

/* ---- the client ---- */

/* A call under way. */
struct client_call *client_open(struct fixture *f, const char *path);
void client_send(struct client_call *c, const ProtobufCMessage *m);
/* A call with one message, sent and ended. */
struct client_call *client_call(struct fixture *f, const char *path, const ProtobufCMessage *m);
struct client_call *client_call_bytes(struct fixture *f, const char *path, struct fm_bytes message);
/* The nth message, decoded; free it with protobuf_c_message_free_unpacked. */
void *client_message(struct client_call *c, size_t n, const ProtobufCMessageDescriptor *d);
bool client_is_over(struct client_call *c);
/* Waits for the end. */
int client_status(struct client_call *c);
/* Cancels it if it is under way. */
void client_free(struct client_call *c);

/* ---- details of errors ---- */

Google__Rpc__Status *unpack_details(const struct fm_buf *details);
/* NULL when there is none. */
const Google__Protobuf__Any *find_detail(const Google__Rpc__Status *s, const char *type);
Google__Rpc__BadRequest *bad_request_of(const Google__Rpc__Status *s);
Google__Rpc__ErrorInfo *error_info_of(const Google__Rpc__Status *s);
/* The call failed with this code, and its details say the same of this field ("" for none). */
void assert_failed(struct client_call *c, enum fm_code code, const char *field);

#endif
