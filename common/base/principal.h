/* Who is at the other end of a connection, as far as it has been proved. Known before the first call of it
 * is read; it travels with each call. */
#ifndef FM_PRINCIPAL_H
#define FM_PRINCIPAL_H

#include <stdbool.h>
#include <stddef.h>

#include "agreed.h"
#include "err.h"

enum fm_principal_kind {
    FM_NOBODY, /* proved to belong here, but not who it is: a certificate without a name that is understood */
    FM_LOCAL,  /* a connection without TLS: nothing is proved, as nothing was asked */
    FM_UNIX,   /* a process of this machine, by a unix socket; the name is the number of its user */
    FM_USER,   /* a person: spiffe://DOMAIN/user/NAME */
    FM_HOST,   /* a host daemon: spiffe://DOMAIN/host/ID */
    FM_MEMBER  /* a coordinator: spiffe://DOMAIN/member/NODE */
};

struct fm_principal {
    enum fm_principal_kind kind;
    char name[FM_MAX_NAME_BYTES + 1];
};

#define FM_PRINCIPAL_BYTES (FM_MAX_NAME_BYTES + 16)
/* "user:ann", "host:a", "unix:1000"; "local" and "nobody" have no name. */
const char *fm_principal_text(const struct fm_principal *p, char out[FM_PRINCIPAL_BYTES]);
/* True when the other end has proved who it is: what a client says of itself is not believed then. */
bool fm_principal_is_proved(const struct fm_principal *p);
/* The principal that a URI of a certificate names (n bytes, of any content). Returns 0, or
 * -FM_INVALID_ARGUMENT: it is none that is understood. */
int fm_principal_of_uri(const char *uri, size_t n, struct fm_principal *ret,
                        struct fm_err *err) FM_MUST_CHECK;

#endif
