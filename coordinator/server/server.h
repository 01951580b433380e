/* The coordinator's shell: carries requests from gRPC to the core and the core's answers back, store
 * completions and time to the core. Everything here runs on the loop's thread. */
#ifndef FM_SERVER_H
#define FM_SERVER_H

#include "server_calls.h"

/* Makes the core and adds the method tables of all services to the server. `store` stays the caller's.
 * on_recovered(arg) is called on the loop's thread when clients may come. */
void server_init(struct server *s, struct rpc_loop *loop, struct rpc_server *server, struct store *store,
                 const struct core_config *cfg, void (*on_recovered)(void *arg), void *arg);
/* From now on; they are the server's. On the loop's thread, or before it runs. */
void server_set_roles(struct server *s, struct roles *roles);
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

#endif
