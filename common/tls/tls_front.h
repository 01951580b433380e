/* The front: TLS for connections whose plain end gRPC has. Two threads of its own: one does handshakes, at
 * low priority, the other carries bytes; so handshakes cost neither gRPC nor those who are in anything but
 * processor time that is left. Handshakes are bounded in time and number: when there are too many, the one
 * that takes longest makes room. */
#ifndef FM_TLS_FRONT_H
#define FM_TLS_FRONT_H

#include <stddef.h>
#include <stdint.h>

#include "principal.h"

struct tls_context;
struct tls_front;

/* Of one connection; on a thread of the front. */
struct tls_events {
    /* The handshake is done. Returns the end that the front is to carry bytes from and to, which becomes the
     * front's; -1: it is not wanted. */
    int (*ready)(void *user, const struct fm_principal *who);
    /* It has failed, before or after that, or is cut off; its plain end is still open. */
    void (*failed)(void *user, const char *why);
    /* The last one: it is closed. */
    void (*gone)(void *user);
};

struct tls_front_config {
    size_t max_handshakes;       /* under way; 0: 1024 */
    int handshake_ms;            /* that one may take; 0: 5 s */
    struct tls_context *watched; /* its files are looked at every 2 s; NULL: none */
};

struct tls_front *tls_front_new(const struct tls_front_config *cfg);
/* Takes a connected socket, non-blocking. `name` as of tls_context_start. Any thread. */
void tls_front_add(struct tls_front *f, struct tls_context *context, int fd, const char *name,
                   const struct tls_events *events, void *user);
/* The watched files are read anew soon. Any thread. */
void tls_front_reload(struct tls_front *f);
/* No more handshakes: those under way are cut off. What is open goes on. May be repeated. */
void tls_front_stop(struct tls_front *f);
/* Gives what was said at last a moment to go out, closes all, and waits for the threads. */
void tls_front_free(struct tls_front *f);

#endif
