/* Certificates and what is allowed with them. See tls_context.h. */
#include "tls_context.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "clock.h"
#include "lock.h"
#include "log.h"
#include "mem.h"

#define MAX_CERTS_BYTES 65536 /* that a peer may send */
#define SESSION_S 3600        /* for so long a session is resumed */
#define SOON_S (30 * 86400)   /* before its end a certificate is warned about; a third of its life, … */
#define WARN_AGAIN_MS (86400 * 1000) /* … once a day */
#define FILES 4

static const char *const options[FILES] = {"tls-cert", "tls-key", "tls-client-ca", "tls-crl"};

/* By which a change of a file is seen. */
struct stamp {
    int64_t s, ns, ino, size;
};

struct tls_context {
    enum tls_side side;
    char *files[FILES]; /* NULL: not given */
    bool only_13;
    pthread_mutex_t lock;
    /* under the lock */
    SSL_CTX *now;
    struct stamp stamps[FILES];
    int64_t warned_ms;
    SSL_SESSION *session; /* a client's last one */
};

/* ---- words ---- */

static const char *option_of(const struct tls_context *c, size_t i)
{
    return i == 2 && c->side == TLS_CLIENT ? "tls-ca" : options[i];
}

void tls_why(const SSL *ssl, char *out, size_t n)
{
    long verified = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    if (verified != X509_V_OK)
        (void)snprintf(out, n, "certificate: %s", X509_verify_cert_error_string(verified));
    else if (e != 0 && ERR_GET_LIB(e) == ERR_LIB_SYS)
        (void)snprintf(out, n, "%s", strerror(ERR_GET_REASON(e)));
    else
        (void)snprintf(out, n, "%s", reason != NULL ? reason : "the other side has closed the connection");
    ERR_clear_error();
}

static int refuse(const struct tls_context *c, size_t file, struct fm_err *err, const char *what)
{
    unsigned long e = ERR_peek_error(); /* the first one says what the others follow from */
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    ERR_clear_error();
    return fm_err_set(err, FM_INVALID_ARGUMENT, option_of(c, file), "--%s %s: %s%s%s", option_of(c, file),
                      c->files[file], what, reason != NULL ? ": " : "", reason != NULL ? reason : "");
}

/* ---- reading ---- */

static struct stamp stamp_of(const char *file)
{
    struct stat st;
    if (file == NULL || stat(file, &st) < 0)
        return (struct stamp){0};
    return (struct stamp){st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int64_t)st.st_ino, (int64_t)st.st_size};
}

static int readable(const struct tls_context *c, size_t file, struct fm_err *err)
{
    struct stat st;
    FILE *f = fopen(c->files[file], "re");
    int error = errno;
    if (f != NULL && fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode))
        error = EISDIR;
    else if (f != NULL)
        error = 0;
    if (f != NULL)
        (void)fclose(f);
    if (error == 0)
        return 0;
    return fm_err_set(err, FM_INVALID_ARGUMENT, option_of(c, file), "--%s %s: %s", option_of(c, file),
                      c->files[file], strerror(error));
}

/* No certificate without a key that fits, and no question to a terminal for a password. */
static int no_password(char *buf, int size, int rw, void *arg)
{
    (void)buf, (void)size, (void)rw, (void)arg;
    return 0;
}

static int load_own(const struct tls_context *c, SSL_CTX *ctx, struct fm_err *err)
{
    struct stat st;
    if (c->files[0] == NULL)
        return 0;
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    if (SSL_CTX_use_certificate_chain_file(ctx, c->files[0]) != 1)
        return refuse(c, 0, err, "no certificate can be read from it");
    if (SSL_CTX_use_PrivateKey_file(ctx, c->files[1], SSL_FILETYPE_PEM) != 1)
        return refuse(c, 1, err, "no key that fits the certificate can be read from it");
    if (SSL_CTX_check_private_key(ctx) != 1)
        return refuse(c, 1, err, "the key does not fit the certificate");
    if (stat(c->files[1], &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        FM_LOG(WARN, RPC, "everybody on this machine may read the key", FM_STR("file", c->files[1]));
    return 0;
}

/* A list that nobody trusted has signed would revoke nothing, silently. */
static bool is_signed_by_one(X509_CRL *crl, const STACK_OF(X509_OBJECT) * objects)
{
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (ca != NULL && X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) == 0 &&
            X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1)
            return true;
    }
    return false;
}

static int load_crl(const struct tls_context *c, X509_STORE *store, struct fm_err *err)
{
    int n = 0;
    bool ours = true;
    FILE *f = fopen(c->files[3], "re");
    if (f == NULL)
        return readable(c, 3, err);
    for (X509_CRL *crl; ours && (crl = PEM_read_X509_CRL(f, NULL, no_password, NULL)) != NULL; n++) {
        const ASN1_TIME *until = X509_CRL_get0_nextUpdate(crl);
        ours = is_signed_by_one(crl, X509_STORE_get0_objects(store)) && X509_STORE_add_crl(store, crl) == 1;
        if (until != NULL && X509_cmp_current_time(until) < 0)
            FM_LOG(WARN, RPC, "a list of revoked certificates is too old: nobody is let in by it",
                   FM_STR("file", c->files[3]));
        X509_CRL_free(crl);
    }
    (void)fclose(f);
    unsigned long last = ERR_peek_last_error();
    if (!ours)
        return fm_err_set(err, FM_INVALID_ARGUMENT, options[3],
                          "--%s %s: it is not signed by an authority of --%s", options[3], c->files[3],
                          option_of(c, 2));
    if (n == 0 || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
        return refuse(c, 3, err, "no list of revoked certificates can be read from it");
    ERR_clear_error();
    (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return 0;
}

static int load_authorities(const struct tls_context *c, SSL_CTX *ctx, struct fm_err *err)
{
    int mode = SSL_VERIFY_PEER | (c->side == TLS_SERVER ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    if (c->files[2] == NULL && c->side == TLS_SERVER)
        return 0;
    SSL_CTX_set_verify(ctx, mode, NULL);
    if (c->files[2] == NULL)
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? 0
                   : fm_err_set(err, FM_INVALID_ARGUMENT, "tls-ca",
                                "the system's certificates cannot be read");
    if (SSL_CTX_load_verify_file(ctx, c->files[2]) != 1)
        return refuse(c, 2, err, "no certificates can be read from it");
    if (c->side == TLS_SERVER)
        SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(c->files[2]));
    ERR_clear_error();
    return c->files[3] == NULL ? 0 : load_crl(c, SSL_CTX_get_cert_store(ctx), err);
}

/* ---- what both sides speak ---- */

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *n_out, const unsigned char *in,
                     unsigned int n, void *arg)
{
    (void)ssl, (void)arg;
    for (unsigned int at = 0; at < n && in[at] < n - at; at += in[at] + 1u)
        if (in[at] == 2 && memcmp(in + at + 1, "h2", 2) == 0) {
            *out = in + at + 1;
            *n_out = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int keep_session(SSL *ssl, SSL_SESSION *session);

static SSL_CTX *make(const struct tls_context *c)
{
    static const unsigned char id[] = "fermata";
    SSL_CTX *ctx = SSL_CTX_new(c->side == TLS_SERVER ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL)
        fm_abort("OpenSSL cannot make a context");
    (void)SSL_CTX_set_min_proto_version(ctx, c->only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20"); /* of 1.2, as HTTP/2 wants it */
    (void)SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                    SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_max_cert_list(ctx, MAX_CERTS_BYTES);
    (void)SSL_CTX_set_timeout(ctx, SESSION_S);
    if (c->side == TLS_SERVER) {
        /* Sessions are the clients' to keep, in tickets. Their keys are of this context: with new files old
         * sessions are not resumed, so that nobody comes in by a certificate that is revoked now. */
        (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
        (void)SSL_CTX_set_num_tickets(ctx, 1);
        SSL_CTX_set_alpn_select_cb(ctx, choose_h2, NULL);
    } else {
        (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, keep_session);
        (void)SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3);
    }
    return ctx;
}

/* A context of the files as they are now, or NULL. */
static SSL_CTX *load(const struct tls_context *c, struct fm_err *err)
{
    for (size_t i = 0; i < FILES; i++)
        if (c->files[i] != NULL && readable(c, i, err) < 0)
            return NULL;
    ERR_clear_error();
    SSL_CTX *ctx = make(c);
    if (load_own(c, ctx, err) == 0 && load_authorities(c, ctx, err) == 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* ---- certificates near their end ---- */

static int64_t seconds_until(const ASN1_TIME *from, const ASN1_TIME *to)
{
    int days = 0, seconds = 0;
    return ASN1_TIME_diff(&days, &seconds, from, to) == 1 ? (int64_t)days * 86400 + seconds : 0;
}

/* With the lock held. */
static void warn_of_end(struct tls_context *c)
{
    X509 *own = SSL_CTX_get0_certificate(c->now);
    int64_t now_ms = fm_now_mono_ms();
    if (own == NULL || (c->warned_ms != 0 && now_ms < c->warned_ms + WARN_AGAIN_MS))
        return;
    int64_t life = seconds_until(X509_get0_notBefore(own), X509_get0_notAfter(own)),
            left = seconds_until(NULL, X509_get0_notAfter(own));
    if (left > SOON_S || left > life / 3)
        return;
    c->warned_ms = now_ms;
    FM_LOG(WARN, RPC, left > 0 ? "the certificate ends soon" : "the certificate has ended",
           FM_STR("file", c->files[0]), FM_I64("hours_left", left / 3600));
}

/* ---- life ---- */

static bool look_for_changes(struct tls_context *c)
{
    bool changed = false;
    for (size_t i = 0; i < FILES; i++) {
        struct stamp s = stamp_of(c->files[i]);
        changed = changed || memcmp(&s, &c->stamps[i], sizeof(s)) != 0;
        c->stamps[i] = s;
    }
    return changed;
}

static void drop_session(struct tls_context *c)
{
    SSL_SESSION_free(c->session);
    c->session = NULL;
}

static int check_files(const struct tls_context *c, struct fm_err *err)
{
    if ((c->files[0] == NULL) != (c->files[1] == NULL))
        return fm_err_set(err, FM_INVALID_ARGUMENT, options[c->files[0] == NULL],
                          "--tls-cert and --tls-key are given together, or not at all");
    if (c->side == TLS_SERVER && c->files[0] == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, options[0],
                          "TLS needs a certificate: give --tls-cert and --tls-key");
    if (c->files[3] != NULL && c->files[2] == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, options[3],
                          "--tls-crl is of the authorities of --%s, which is not given", option_of(c, 2));
    return 0;
}

struct tls_context *tls_context_new(enum tls_side side, const struct tls_files *files, struct fm_err *err)
{
    const char *names[FILES] = {files->cert, files->key, files->ca, files->crl};
    struct tls_context *c = fm_xcalloc(1, sizeof(*c));
    (void)pthread_mutex_init(&c->lock, NULL);
    c->side = side;
    c->only_13 = files->only_13;
    for (size_t i = 0; i < FILES; i++)
        c->files[i] = names[i] == NULL ? NULL : fm_xstrdup(names[i]);
    (void)look_for_changes(c);
    if (check_files(c, err) == 0)
        c->now = load(c, err);
    if (c->now == NULL) {
        tls_context_free(c);
        return NULL;
    }
    (void)SSL_CTX_set_app_data(c->now, c);
    warn_of_end(c);
    return c;
}

void tls_context_free(struct tls_context *c)
{
    if (c == NULL)
        return;
    if (c->now != NULL)
        (void)SSL_CTX_set_app_data(c->now, NULL);
    SSL_CTX_free(c->now);
    drop_session(c);
    for (size_t i = 0; i < FILES; i++)
        free(c->files[i]);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

void tls_context_refresh(struct tls_context *c, bool force)
{
    fm_auto(fm_err) err = {0};
    fm_lock(&c->lock);
    if (look_for_changes(c) || force) {
        SSL_CTX *ctx = load(c, &err);
        if (ctx == NULL) {
            FM_LOG(ERROR, RPC, "the certificates cannot be read anew, going on with the old ones",
                   FM_ERR(&err));
        } else {
            (void)SSL_CTX_set_app_data(c->now, NULL);
            (void)SSL_CTX_set_app_data(ctx, c);
            SSL_CTX_free(c->now);
            c->now = ctx;
            c->warned_ms = 0;
            drop_session(c);
            FM_LOG(INFO, RPC, "the certificates were read anew", FM_STR("cert", c->files[0]));
        }
    }
    warn_of_end(c);
    fm_unlock(&c->lock);
}

/* ---- connections ---- */

/* A client's: for its next connection. The contexts of files that have changed since keep none. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_context *c = SSL_get_app_data(ssl);
    fm_lock(&c->lock);
    bool current = SSL_get_SSL_CTX(ssl) == c->now;
    if (current) {
        drop_session(c);
        c->session = session;
    }
    fm_unlock(&c->lock);
    return current; /* 1: it is ours now */
}

static void expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_ip_asc(p, name) == 1)
        return;
    ERR_clear_error();
    if (SSL_set1_host(ssl, name) != 1 || SSL_set_tlsext_host_name(ssl, name) != 1)
        fm_abort("OpenSSL does not take a name");
}

SSL *tls_context_start(struct tls_context *c, int fd, const char *name)
{
    fm_lock(&c->lock);
    SSL *ssl = SSL_new(c->now);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
        fm_abort("OpenSSL cannot make a connection");
    (void)SSL_set_app_data(ssl, c);
    if (c->side == TLS_SERVER) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
        expect_name(ssl, name);
        if (c->session != NULL)
            (void)SSL_set_session(ssl, c->session);
    }
    fm_unlock(&c->lock);
    return ssl;
}

/* The one URI that names a principal: two would be one too many. */
static int name_in(const X509 *cert, struct fm_principal *ret, struct fm_err *err)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int found = 0, rc = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && rc == 0; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type != GEN_URI)
            continue;
        rc = fm_principal_of_uri((const char *)ASN1_STRING_get0_data(g->d.uniformResourceIdentifier),
                                 (size_t)ASN1_STRING_length(g->d.uniformResourceIdentifier), ret, err);
        found++;
    }
    GENERAL_NAMES_free(names);
    if (rc == 0 && found > 1)
        rc = fm_err_set(err, FM_UNAUTHENTICATED, NULL, "it has several URIs");
    if (rc < 0)
        *ret = (struct fm_principal){.kind = FM_NOBODY};
    return rc;
}

int tls_context_who(const SSL *ssl, struct fm_principal *ret, struct fm_err *err)
{
    const unsigned char *alpn = NULL;
    unsigned int n = 0;
    *ret = (struct fm_principal){.kind = FM_LOCAL};
    SSL_get0_alpn_selected(ssl, &alpn, &n);
    if (n != 2 || memcmp(alpn, "h2", 2) != 0)
        return fm_err_set(err, FM_UNAUTHENTICATED, NULL, "it does not offer HTTP/2 (ALPN h2)");
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL || !SSL_is_server(ssl))
        return 0;
    *ret = (struct fm_principal){.kind = FM_NOBODY};
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) /* of a session that is resumed */
        return fm_err_set(err, FM_UNAUTHENTICATED, NULL, "certificate has expired");
    struct fm_err unnamed = {0};
    if (name_in(cert, ret, &unnamed) < 0)
        FM_LOG(DEBUG, RPC, "a certificate names nobody", FM_ERR(&unnamed));
    fm_err_done(&unnamed);
    return 0;
}
