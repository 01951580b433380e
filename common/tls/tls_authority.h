/* A small authority: makes keys, signs certificates, writes both to files. For `coordinator --init-tls`, and
 * for tests. Keys are ECDSA P-256, and their files only their owner's. */
#ifndef FM_TLS_AUTHORITY_H
#define FM_TLS_AUTHORITY_H

#include <stdbool.h>

#include "err.h"

struct tls_authority;

/* Makes a new one and writes its certificate (10 years) and key; neither file may be there. NULL with err. */
struct tls_authority *tls_authority_make(const char *cert_file, const char *key_file, const char *name,
                                         struct fm_err *err);
/* Reads one. NULL with err. */
struct tls_authority *tls_authority_open(const char *cert_file, const char *key_file, struct fm_err *err);
void tls_authority_free(struct tls_authority *a);

struct tls_wanted {
    const char *name; /* its common name, for people */
    const char
        *names;  /* whom it names, as OpenSSL writes it: "DNS:localhost,IP:127.0.0.1", "URI:spiffe://…" */
    bool server; /* of a server; else of a client */
    long from_s, until_s; /* when it holds, in seconds from now */
};

/* Makes a key, and a certificate for it; neither file may be there. Returns 0 or -code. */
int tls_authority_issue(struct tls_authority *a, const struct tls_wanted *what, const char *cert_file,
                        const char *key_file, struct fm_err *err) FM_MUST_CHECK;

#endif
