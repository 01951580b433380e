/* One connection under TLS: what comes on its socket goes, deciphered, into the plain end (a unix stream
 * socket), and what comes there goes out enciphered. What one side does not take the other is not asked for.
 * On one thread at a time; knows neither threads nor epoll. */
#ifndef FM_TLS_LINK_H
#define FM_TLS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

struct tls_context;
struct tls_events;

/* Bytes that the other side has not taken. */
struct tls_left {
    uint8_t *p; /* NULL: none */
    size_t n, at;
};

enum tls_state { TLS_SHAKING, TLS_OPEN, TLS_CLOSING, TLS_OVER };

struct tls_link {
    struct tls_link *prev, *next;
    struct tls_link *again_prev, *again_next; /* among those that have something to do */
    bool is_again;
    const struct tls_events *events;
    void *user;
    SSL *ssl;
    int net, plain; /* plain -1: none yet, or closed */
    enum tls_state state;
    int64_t until_ms; /* of a handshake, or of closing */
    int64_t since_ms; /* it is open */
    int64_t asides;   /* messages of the handshake protocol that came since then */
    /* what may be tried: set by events, cleared by EAGAIN */
    bool net_in, net_out, plain_in, plain_out;
    bool net_ended, plain_ended; /* no more comes from there */
    bool plain_gone;             /* nobody reads there any more */
    bool said_bye;               /* the other side knows that this is all */
    struct tls_left inward, outward;
    char why[160]; /* it has failed; "" when it has not */
};

/* The thread's buffer for what passes; at least TLS_RECORD_BYTES. */
#define TLS_RECORD_BYTES 16384

/* Begins the handshake; takes the socket (non-blocking). */
void tls_link_init(struct tls_link *l, struct tls_context *context, int net, const char *name);
/* The handshake goes on. Returns 1 when it is done, 0: it waits for the other side, -1: it failed. */
int tls_link_shake(struct tls_link *l);
/* It is done: bytes pass from here to this end, which becomes the link's. */
void tls_link_open(struct tls_link *l, int plain, int64_t now_ms);
/* Carries what can be carried, but not too much at a time. Returns true when there is more to do at once;
 * state TLS_CLOSING: what is left goes out, and the other side's end is awaited; TLS_OVER: nothing is. */
bool tls_link_pump(struct tls_link *l, uint8_t buf[TLS_RECORD_BYTES], int64_t now_ms);
/* Closes what is open. */
void tls_link_done(struct tls_link *l);

#endif
