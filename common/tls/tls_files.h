/* The files that a process has its certificates in. */
#ifndef FM_TLS_FILES_H
#define FM_TLS_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct tls_files {
    const char *cert; /* PEM, own certificate first, then those between it and its authority; may be NULL for
                         a client */
    const char *key;  /* PEM, of the certificate */
    const char *ca;   /* PEM: who signs the other side's certificates. A client: NULL, the system's. A server:
                         NULL, clients have none */
    const char *crl;  /* PEM, lists of what these have revoked; may be NULL */
    bool only_13;     /* TLS 1.3 or nothing; else 1.2, too */
};

/* Whether any is named: then it is TLS. */
static inline bool tls_files_any(const struct tls_files *f)
{
    return f->cert != NULL || f->key != NULL || f->ca != NULL || f->crl != NULL;
}

#endif
