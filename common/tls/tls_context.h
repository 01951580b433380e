/* The certificates of a process: read from files, checked as a whole, read anew when the files have changed.
 * Connections keep what they began with. Any thread. */
#ifndef FM_TLS_CONTEXT_H
#define FM_TLS_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "err.h"
#include "principal.h"
#include "tls_files.h"

enum tls_side { TLS_SERVER, TLS_CLIENT };

struct tls_context;

/* Reads and checks the files, whose names are copied. NULL with err: which file, and why. */
struct tls_context *tls_context_new(enum tls_side side, const struct tls_files *files, struct fm_err *err);
/* Connections that use it live on. */
void tls_context_free(struct tls_context *c);
/* Reads the files anew when they have changed, or with `force`. When one of them is not right, all remain as
 * they were, and the log says why. Warns of certificates that are near their end. */
void tls_context_refresh(struct tls_context *c, bool force);

/* A new connection's state on this socket. `name` is what a client expects in the server's certificate, a DNS
 * name or an address; NULL for a server. Never NULL. */
SSL *tls_context_start(struct tls_context *c, int fd, const char *name);
/* The handshake is over: who the other side is. Returns 0, or -code: it must not be let in. */
int tls_context_who(const SSL *ssl, struct fm_principal *ret, struct fm_err *err) FM_MUST_CHECK;
/* Why OpenSSL has just failed on this connection (may be NULL), for people. Empties its queue of errors. */
void tls_why(const SSL *ssl, char *out, size_t n);

#endif
