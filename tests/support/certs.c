/* Certificates. See certs.h. */
#define _GNU_SOURCE
#include "certs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "rpc.h"
#include "tls_authority.h"
#include "tls_context.h"
#include "tls_front.h"

#define DAY 86400L

static char folder[160];

const char *certs_file(const char *name)
{
    static char paths[16][320];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static const char *with(const char *name, const char *extension)
{
    char file[128];
    snprintf(file, sizeof(file), "%s.%s", name, extension);
    return certs_file(file);
}

struct tls_authority *certs_authority(const char *name)
{
    struct fm_err err = {0};
    const char *cert = with(name, "pem"), *key = with(name, "key");
    struct tls_authority *a = access(cert, F_OK) == 0 ? tls_authority_open(cert, key, &err)
                                                      : tls_authority_make(cert, key, name, &err);
    if (a == NULL)
        fail_msg("%s", err.msg);
    return a;
}

void certs_issue(const char *authority, const char *name, const char *san, bool server, long from_s,
                 long until_s)
{
    struct fm_err err = {0};
    struct tls_authority *a = certs_authority(authority);
    const struct tls_wanted what = {name, san, server, from_s, until_s};
    if (tls_authority_issue(a, &what, with(name, "pem"), with(name, "key"), &err) < 0)
        fail_msg("%s", err.msg);
    tls_authority_free(a);
}

void certs_make(const char *dir)
{
    snprintf(folder, sizeof(folder), "%s", dir);
    tls_authority_free(certs_authority("ca"));
    certs_issue("ca", "coordinator", "DNS:localhost,IP:127.0.0.1,IP:::1", true, -60, 90 * DAY);
    certs_issue("ca", "user-ann", "URI:spiffe://test/user/ann", false, -60, 90 * DAY);
    for (const char *id = "abcd"; *id != '\0'; id++) {
        char name[16], san[64];
        snprintf(name, sizeof(name), "host-%c", *id);
        snprintf(san, sizeof(san), "URI:spiffe://test/host/%c", *id);
        certs_issue("ca", name, san, false, -60, 90 * DAY);
    }
}

/* ---- lists of what is revoked ---- */

static X509 *read_cert(const char *file)
{
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    (void)fclose(f);
    assert_non_null(cert);
    return cert;
}

static void add_revoked(X509_CRL *crl, const char *name)
{
    X509 *cert = read_cert(with(name, "pem"));
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60);
    assert_int_equal(X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(cert)), 1);
    assert_int_equal(X509_REVOKED_set_revocationDate(r, now), 1);
    assert_int_equal(X509_CRL_add0_revoked(crl, r), 1);
    ASN1_TIME_free(now);
    X509_free(cert);
}

void certs_revoke(const char *name, const char *file)
{
    FILE *f = fopen(certs_file("ca.key"), "r");
    assert_non_null(f);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    (void)fclose(f);
    X509 *ca = read_cert(certs_file("ca.pem"));
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, -60), *until = X509_gmtime_adj(NULL, DAY);
    assert_int_equal(X509_CRL_set_version(crl, 1), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, from), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, until), 1);
    if (name != NULL)
        add_revoked(crl, name);
    assert_int_not_equal(X509_CRL_sign(crl, key, EVP_sha256()), 0);
    char fresh[340];
    snprintf(fresh, sizeof(fresh), "%s.new", certs_file(file));
    f = fopen(fresh, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, certs_file(file)), 0);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_CRL_free(crl);
    X509_free(ca);
    EVP_PKEY_free(key);
}

/* ---- clients ---- */

bool certs_wanted(void)
{
    return getenv("FERMATA_TEST_TLS") != NULL;
}

struct rpc_dialer *certs_dialer(void)
{
    const struct tls_files files = {
        .ca = certs_file("ca.pem"), .cert = certs_file("user-ann.pem"), .key = certs_file("user-ann.key")};
    struct fm_err err = {0};
    struct rpc_dialer *d = certs_wanted() ? rpc_dialer_new(&files, &err) : NULL;
    if (certs_wanted() && d == NULL)
        fail_msg("%s", err.msg);
    return d;
}

static int on_ready(void *user, const struct fm_principal *who)
{
    int fd = *(int *)user;
    (void)who;
    *(int *)user = -1;
    return fd;
}

static void on_failed(void *user, const char *why)
{
    (void)user, (void)why;
}

static void on_gone(void *user)
{
    if (*(int *)user >= 0)
        close(*(int *)user);
    free(user);
}

static const struct tls_events events = {on_ready, on_failed, on_gone};
static struct tls_front *front;
static struct tls_context *context;

static void end_front(void)
{
    tls_front_free(front);
    tls_context_free(context);
}

int certs_secure(int fd, const char *client)
{
    int ends[2], *own = malloc(sizeof(*own));
    if (front == NULL) {
        const struct tls_files files = {
            .ca = certs_file("ca.pem"), .cert = with(client, "pem"), .key = with(client, "key")};
        const struct tls_front_config cfg = {.handshake_ms = 60000};
        struct fm_err err = {0};
        context = tls_context_new(TLS_CLIENT, &files, &err);
        if (context == NULL)
            fail_msg("%s", err.msg);
        front = tls_front_new(&cfg);
        assert_int_equal(atexit(end_front), 0);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    *own = ends[1];
    tls_front_add(front, context, fd, "localhost", &events, own);
    return ends[0];
}
