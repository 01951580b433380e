/* Making certificates. See tls_authority.h. */
#include "tls_authority.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "mem.h"

#define AUTHORITY_S (3650L * 86400)
#define SKEW_S 300L /* that other machines' clocks may be behind */
#define SERIAL_BYTES 16

struct tls_authority {
    X509 *cert;
    EVP_PKEY *key;
};

static int failed(struct fm_err *err, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    int rc = fm_err_set(err, FM_INTERNAL, NULL, "%s: %s", what,
                        e != 0 ? ERR_reason_error_string(e) : "OpenSSL says no more");
    ERR_clear_error();
    return rc;
}

/* ---- files ---- */

static FILE *create(const char *file, mode_t mode, struct fm_err *err)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *f = fd >= 0 && fchmod(fd, mode) == 0 ? fdopen(fd, "w") : NULL;
    if (f != NULL)
        return f;
    (void)fm_err_set(err, FM_FAILED_PRECONDITION, NULL, "%s: %s", file, strerror(errno));
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* True when it has been written, to the disk. */
static bool finish(FILE *f, bool ok)
{
    ok = ok && fflush(f) == 0 && fsync(fileno(f)) == 0;
    return fclose(f) == 0 && ok;
}

static int write_key(EVP_PKEY *key, const char *file, struct fm_err *err)
{
    FILE *f = create(file, 0600, err);
    if (f == NULL)
        return -FM_FAILED_PRECONDITION;
    if (finish(f, PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1))
        return 0;
    (void)unlink(file);
    return fm_err_set(err, FM_INTERNAL, NULL, "%s cannot be written", file);
}

static int write_cert(X509 *cert, const char *file, struct fm_err *err)
{
    FILE *f = create(file, 0644, err);
    if (f == NULL)
        return -FM_FAILED_PRECONDITION;
    if (finish(f, PEM_write_X509(f, cert) == 1))
        return 0;
    (void)unlink(file);
    return fm_err_set(err, FM_INTERNAL, NULL, "%s cannot be written", file);
}

/* Both, or none. */
static int write_both(X509 *cert, EVP_PKEY *key, const char *cert_file, const char *key_file,
                      struct fm_err *err)
{
    int rc = write_key(key, key_file, err);
    if (rc < 0)
        return rc;
    rc = write_cert(cert, cert_file, err);
    if (rc < 0)
        (void)unlink(key_file);
    return rc;
}

/* ---- certificates ---- */

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e != NULL && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] &= 0x7f;
    BIGNUM *n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
    BN_free(n);
    return ok;
}

static X509 *begin_cert(EVP_PKEY *key, const char *name, long from_s, long until_s)
{
    X509 *cert = X509_new();
    X509_NAME *subject = cert != NULL ? X509_get_subject_name(cert) : NULL;
    if (cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), from_s) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(cert), until_s) != NULL && X509_set_pubkey(cert, key) == 1 &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

static EVP_PKEY *make_key(void)
{
    return EVP_EC_gen("P-256");
}

struct tls_authority *tls_authority_make(const char *cert_file, const char *key_file, const char *name,
                                         struct fm_err *err)
{
    struct tls_authority *a = fm_xcalloc(1, sizeof(*a));
    a->key = make_key();
    a->cert = a->key != NULL ? begin_cert(a->key, name, -SKEW_S, AUTHORITY_S) : NULL;
    bool ok = a->cert != NULL && X509_set_issuer_name(a->cert, X509_get_subject_name(a->cert)) == 1 &&
              extend(a->cert, a->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              extend(a->cert, a->cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              extend(a->cert, a->cert, NID_subject_key_identifier, "hash") &&
              X509_sign(a->cert, a->key, EVP_sha256()) > 0;
    if (!ok)
        (void)failed(err, "an authority cannot be made");
    if (ok && write_both(a->cert, a->key, cert_file, key_file, err) == 0)
        return a;
    tls_authority_free(a);
    return NULL;
}

static void *read_pem(const char *file, void *(*read)(FILE *f), struct fm_err *err)
{
    FILE *f = fopen(file, "re");
    if (f == NULL) {
        (void)fm_err_set(err, FM_NOT_FOUND, NULL, "%s: %s", file, strerror(errno));
        return NULL;
    }
    void *found = read(f);
    (void)fclose(f);
    if (found == NULL)
        (void)failed(err, file);
    return found;
}

static void *read_cert(FILE *f)
{
    return PEM_read_X509(f, NULL, NULL, NULL);
}

static int no_password(char *buf, int size, int rw, void *arg)
{
    (void)buf, (void)size, (void)rw, (void)arg;
    return 0;
}

static void *read_key(FILE *f)
{
    return PEM_read_PrivateKey(f, NULL, no_password, NULL);
}

struct tls_authority *tls_authority_open(const char *cert_file, const char *key_file, struct fm_err *err)
{
    struct tls_authority *a = fm_xcalloc(1, sizeof(*a));
    a->cert = read_pem(cert_file, read_cert, err);
    a->key = a->cert != NULL ? read_pem(key_file, read_key, err) : NULL;
    if (a->key != NULL && X509_check_private_key(a->cert, a->key) == 1)
        return a;
    if (a->key != NULL)
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, NULL, "%s is not the key of %s", key_file, cert_file);
    ERR_clear_error();
    tls_authority_free(a);
    return NULL;
}

void tls_authority_free(struct tls_authority *a)
{
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
    free(a);
}

int tls_authority_issue(struct tls_authority *a, const struct tls_wanted *what, const char *cert_file,
                        const char *key_file, struct fm_err *err)
{
    EVP_PKEY *key = make_key();
    X509 *cert = key != NULL ? begin_cert(key, what->name, what->from_s, what->until_s) : NULL;
    bool ok = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(a->cert)) == 1 &&
              extend(cert, a->cert, NID_basic_constraints, "critical,CA:FALSE") &&
              extend(cert, a->cert, NID_key_usage, "critical,digitalSignature") &&
              extend(cert, a->cert, NID_ext_key_usage, what->server ? "serverAuth" : "clientAuth") &&
              extend(cert, a->cert, NID_authority_key_identifier, "keyid") &&
              extend(cert, a->cert, NID_subject_alt_name, what->names) &&
              X509_sign(cert, a->key, EVP_sha256()) > 0;
    int rc =
        ok ? write_both(cert, key, cert_file, key_file, err) : failed(err, "a certificate cannot be made");
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}
