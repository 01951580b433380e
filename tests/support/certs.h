/* Certificates for tests: an authority, a coordinator, people and hosts, made anew for each test program.
 * With FERMATA_TEST_TLS in the environment all that cluster.h, grpcurl.h and h2.h start or send uses them. */
#ifndef FM_TEST_CERTS_H
#define FM_TEST_CERTS_H

#include <stdbool.h>
#include <stddef.h>

struct rpc_dialer;
struct tls_authority;

/* Makes ca, coordinator, user-ann and host-a to host-d in this folder, from now on the one of certs_file. */
void certs_make(const char *dir);
/* "ca.pem" and so on, in that folder; valid until the 16th call from here. */
const char *certs_file(const char *name);
/* One more authority, or the one that was made ("ca"); for tls_authority_free. */
struct tls_authority *certs_authority(const char *name);
/* NAME.pem and NAME.key; the authority is "ca" or another one's name; times in seconds from now. */
void certs_issue(const char *authority, const char *name, const char *san, bool server, long from_s,
                 long until_s);
/* Writes a list of what is revoked, of "ca": the certificate of NAME, or none (NULL). */
void certs_revoke(const char *name, const char *file);

/* True when the tests are to use TLS. */
bool certs_wanted(void);
/* Dials as ann when the tests are to use TLS, else NULL. For rpc_dialer_free. */
struct rpc_dialer *certs_dialer(void);
/* A connected socket becomes its plain end: the connection speaks TLS, as this client. A blocking socket. */
int certs_secure(int fd, const char *client);

#endif
