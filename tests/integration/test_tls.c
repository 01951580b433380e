/* TLS on a coordinator's and a host daemon's connections: who is let in, what a bad file does, how files are
 * read anew, and that handshakes stop nobody. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include <openssl/ssl.h>

#include "attack.h"
#include "certs.h"
#include "cluster.h"
#include "h2.h"
#include "mem.h"
#include "rpc.h"
#include "tls_authority.h"

#define DAY 86400L

/* ---- a call with these files ---- */

struct asking {
    struct rpc_loop *loop;
    struct fm_err err;
};

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    struct asking *a = user;
    (void)s, (void)details;
    fm_err_copy(&a->err, status);
    rpc_loop_stop(a->loop);
}

/* One call of Health/Check by this dialer; what came of it is valid until the next one. */
static const struct fm_err *ask_by(struct rpc_dialer *dialer, const char *target)
{
    static const struct rpc_stream_events events = {NULL, on_status};
    static struct asking a;
    fm_err_done(&a.err);
    a.loop = rpc_loop_new();
    struct rpc_channel *channel = rpc_channel_new(a.loop, target, 4096, dialer);
    struct rpc_stream *s =
        rpc_stream_request(channel, "/grpc.health.v1.Health/Check", DEADLINE_MS, FM_NO_BYTES, &events, &a);
    rpc_loop_run(a.loop);
    rpc_stream_unref(s);
    rpc_channel_free(channel);
    rpc_loop_free(a.loop);
    return &a.err;
}

static struct rpc_dialer *dialer_of(const char *ca, const char *client)
{
    char cert[64], key[64];
    struct fm_err err = {0};
    snprintf(cert, sizeof(cert), "%s.pem", client == NULL ? "" : client);
    snprintf(key, sizeof(key), "%s.key", client == NULL ? "" : client);
    const struct tls_files files = {.ca = certs_file(ca),
                                    .cert = client != NULL ? certs_file(cert) : NULL,
                                    .key = client != NULL ? certs_file(key) : NULL};
    struct rpc_dialer *d = rpc_dialer_new(&files, &err);
    if (d == NULL)
        fail_msg("%s", err.msg);
    return d;
}

static const struct fm_err *ask(const char *ca, const char *client, const char *target)
{
    struct rpc_dialer *d = dialer_of(ca, client);
    const struct fm_err *err = ask_by(d, target);
    rpc_dialer_free(d);
    return err;
}

static void is_let_in(const char *client, const char *target)
{
    const struct fm_err *err = ask("ca.pem", client, target);
    if (err->code != FM_OK)
        fail_msg("%s is not let in: %s", client, err->msg);
}

static void is_refused(const char *ca, const char *client, const char *target, const char *why)
{
    const struct fm_err *err = ask(ca, client, target);
    if (err->code != FM_UNAVAILABLE || strstr(err->msg, why) == NULL)
        fail_msg("%s: refusal for \"%s\" wanted, but: %d %s", client == NULL ? "no certificate" : client, why,
                 (int)err->code, err->msg);
}

/* ---- the coordinator of most of these tests ---- */

static int setup(void **state)
{
    (void)state;
    cluster_init(&attacked);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_done(&attacked);
    return 0;
}

static void start(const char *const more[])
{
    cluster_coordinator(&attacked, more);
}

/* ---- who is let in ---- */

static void only_certificates_of_the_authority_are_let_in(void **state)
{
    (void)state;
    certs_issue("stranger", "of-a-stranger", "URI:spiffe://test/user/ann", false, -60, DAY);
    certs_issue("ca", "expired", "URI:spiffe://test/user/ann", false, -DAY, -60);
    certs_issue("ca", "not-yet", "URI:spiffe://test/user/ann", false, DAY, 2 * DAY);
    certs_issue("ca", "revoked", "URI:spiffe://test/user/ann", false, -60, DAY);
    certs_issue("ca", "a-server", "URI:spiffe://test/user/ann", true, -60, DAY);
    certs_revoke("revoked", "crl.pem");
    start((const char *[]){"--tls-crl", certs_file("crl.pem"), NULL});
    is_let_in("user-ann", attacked.address);
    is_refused("ca.pem", NULL, attacked.address, "certificate required");
    is_refused("ca.pem", "of-a-stranger", attacked.address, "unknown ca");
    is_refused("ca.pem", "expired", attacked.address, "certificate expired");
    is_refused("ca.pem", "not-yet", attacked.address, "bad certificate");
    is_refused("ca.pem", "revoked", attacked.address, "certificate revoked");
    is_refused("ca.pem", "a-server", attacked.address, "unsupported certificate");
    assert_int_not_equal(ask_by(NULL, attacked.address)->code, FM_OK); /* plaintext */
    cluster_wait_log(&attacked, "coordinator.log", "certificate has expired");
    cluster_host(&attacked, 0, "a", NULL);
    put_trip(&attacked, "'ask':false");
    attack_others_are_served();
}

static void a_client_insists_on_the_server_s_name_and_authority(void **state)
{
    (void)state;
    char target[64];
    tls_authority_free(certs_authority("another"));
    start(NULL);
    is_refused("another.pem", "user-ann", attacked.address, "certificate: ");
    snprintf(target, sizeof(target), "127.0.0.2:%s", strrchr(attacked.address, ':') + 1);
    certs_issue("ca", "elsewhere", "DNS:elsewhere", true, -60, DAY);
    struct cluster other;
    cluster_init(&other);
    cluster_coordinator(&other, (const char *[]){"--tls-cert", certs_file("elsewhere.pem"), "--tls-key",
                                                 certs_file("elsewhere.key"), NULL});
    is_refused("ca.pem", "user-ann", other.address, "IP address mismatch");
    snprintf(target, sizeof(target), "localhost:%s", strrchr(other.address, ':') + 1);
    is_refused("ca.pem", "user-ann", target, "hostname mismatch");
    is_refused("ca.pem", "user-ann", "localhost:1", "Connection refused");
    is_refused("ca.pem", "user-ann", "no.such.name.invalid:1", "no.such.name.invalid:1: ");
    cluster_done(&other);
}

static void a_host_says_why_it_cannot_attach(void **state)
{
    (void)state;
    struct proc host;
    char log[256], path[512];
    tls_authority_free(certs_authority("foreign"));
    start(NULL);
    snprintf(log, sizeof(log), "%s/refused.log", attacked.dir);
    snprintf(path, sizeof(path), "%s/hostd/hostd", getenv("BUILD_DIR"));
    const char *argv[] = {path,
                          "--coordinator",
                          attacked.address,
                          "--id",
                          "a",
                          "--tls-ca",
                          certs_file("foreign.pem"),
                          "--tls-cert",
                          certs_file("host-a.pem"),
                          "--tls-key",
                          certs_file("host-a.key"),
                          NULL};
    proc_talk(&host, log, argv);
    cluster_wait_log(&attacked, "refused.log", "no stream to the coordinator");
    cluster_wait_log(&attacked, "refused.log", "certificate: ");
    proc_stop(&host);
}

/* ---- files that are not right ---- */

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(certs_file(name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void is_no_start(const char *const more[], const char *option, const char *why)
{
    char path[512], log[256];
    const char *argv[32] = {path, "--listen", "127.0.0.1:0", "--data", attacked.data};
    size_t n = 5;
    snprintf(path, sizeof(path), "%s/coordinator/coordinator", getenv("BUILD_DIR"));
    snprintf(log, sizeof(log), "%s/refused.log", attacked.dir);
    for (size_t i = 0; more[i] != NULL; i++)
        argv[n++] = more[i];
    char *text = proc_fails(log, 2, argv);
    if (strstr(text, option) == NULL || strstr(text, why) == NULL)
        fail_msg("%s and \"%s\" wanted, but: %s", option, why, text);
    free(text);
}

static void files_that_are_not_right_are_named_at_the_start(void **state)
{
    (void)state;
    const char *cert = certs_file("coordinator.pem"), *key = certs_file("coordinator.key"),
               *ca = certs_file("ca.pem");
    tls_authority_free(certs_authority("unrelated"));
    write_file("nonsense.pem", "this is no certificate\n");
    certs_revoke(NULL, "fresh.pem");
    is_no_start((const char *[]){"--tls-cert", cert, NULL}, "--tls-key", "together");
    is_no_start((const char *[]){"--tls-client-ca", ca, NULL}, "--tls-cert", "needs a certificate");
    is_no_start((const char *[]){"--tls-cert", "/no/such.pem", "--tls-key", key, NULL}, "/no/such.pem",
                "No such file");
    is_no_start((const char *[]){"--tls-cert", "/tmp", "--tls-key", key, NULL}, "--tls-cert /tmp",
                "Is a directory");
    is_no_start((const char *[]){"--tls-cert", certs_file("nonsense.pem"), "--tls-key", key, NULL},
                "--tls-cert", "no start line");
    is_no_start((const char *[]){"--tls-cert", cert, "--tls-key", certs_file("user-ann.key"), NULL},
                "--tls-key", "mismatch");
    is_no_start((const char *[]){"--tls-cert", cert, "--tls-key", key, "--tls-client-ca",
                                 certs_file("nonsense.pem"), NULL},
                "--tls-client-ca", "no certificates can be read");
    is_no_start(
        (const char *[]){"--tls-cert", cert, "--tls-key", key, "--tls-crl", certs_file("fresh.pem"), NULL},
        "--tls-crl", "--tls-client-ca");
    is_no_start((const char *[]){"--tls-cert", cert, "--tls-key", key, "--tls-client-ca",
                                 certs_file("unrelated.pem"), "--tls-crl", certs_file("fresh.pem"), NULL},
                "--tls-crl", "not signed by");
    is_no_start(
        (const char *[]){"--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca, "--tls-crl", ca, NULL},
        "--tls-crl", "no list");
    is_no_start((const char *[]){"--tls-cert", cert, "--tls-key", key, "--tls-min", "1.1", NULL}, "--tls-min",
                "1.3");
}

/* ---- reading anew ---- */

static void put(const char *from, const char *to)
{
    char fresh[340];
    char *text = file_text(certs_file(from));
    snprintf(fresh, sizeof(fresh), "%s.fresh", to);
    write_file(fresh, text);
    assert_int_equal(rename(certs_file(fresh), certs_file(to)), 0);
    free(text);
}

static void wait_refused(const char *client, const char *target, const char *why)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        const struct fm_err *err = ask("ca.pem", client, target);
        if (err->code == FM_UNAVAILABLE && strstr(err->msg, why) != NULL)
            return;
        test_pause(until, why);
    }
}

static void files_are_read_anew_and_old_connections_go_on(void **state)
{
    (void)state;
    certs_issue("ca", "first", "IP:127.0.0.1", true, -60, 90 * DAY);
    certs_issue("ca", "second", "DNS:localhost", true, -60, 90 * DAY);
    put("first.pem", "live.pem");
    put("first.key", "live.key");
    start((const char *[]){"--tls-cert", certs_file("live.pem"), "--tls-key", certs_file("live.key"), NULL});
    cluster_host(&attacked, 0, "a", NULL);
    put_trip(&attacked, "");
    const char *job = submit_trip(&attacked, "t");
    struct proc watch;
    char log[256], target[64];
    snprintf(log, sizeof(log), "%s/watch.log", attacked.dir);
    rpc_start(&watch, log, attacked.address, "Jobs/WatchJob", "{'job_id':'%s'}", job);
    rpc_hear(&watch, "PAUSED");
    put("second.key", "live.key"); /* in the wrong order: for a moment they do not fit */
    cluster_wait_log(&attacked, "coordinator.log", "going on with the old ones");
    is_let_in("user-ann", attacked.address);
    put("second.pem", "live.pem");
    cluster_wait_log(&attacked, "coordinator.log", "read anew");
    wait_refused("user-ann", attacked.address, "IP address mismatch");
    snprintf(target, sizeof(target), "localhost:%s", strrchr(attacked.address, ':') + 1);
    is_let_in("user-ann", target);
    put("first.pem", "live.pem");
    put("first.key", "live.key");
    proc_kill(&attacked.coordinator, SIGHUP);
    cluster_wait_log(&attacked, "coordinator.log", "SIGHUP");
    wait_refused("user-ann", target, "hostname mismatch");
    json_decref(rpc(attacked.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes'}", job));
    rpc_hear(&watch, "COMPLETED"); /* by the connections of the host and of the watch, which are old */
    assert_int_equal(proc_wait(&watch), 0);
}

static void who_is_revoked_does_not_come_back_by_an_old_session(void **state)
{
    (void)state;
    certs_issue("ca", "leaver", "URI:spiffe://test/user/leaver", false, -60, DAY);
    certs_revoke(NULL, "list.pem");
    start((const char *[]){"--tls-crl", certs_file("list.pem"), NULL});
    struct rpc_dialer *d = dialer_of("ca.pem", "leaver");
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask_by(d, attacked.address)->code, FM_OK); /* the later ones by a session */
    certs_revoke("leaver", "list.pem");
    cluster_wait_log(&attacked, "coordinator.log", "read anew");
    const struct fm_err *err = ask_by(d, attacked.address);
    assert_int_equal(err->code, FM_UNAVAILABLE);
    assert_non_null(strstr(err->msg, "revoked"));
    rpc_dialer_free(d);
    is_let_in("user-ann", attacked.address);
}

static void a_certificate_that_ends_soon_is_warned_about(void **state)
{
    (void)state;
    certs_issue("ca", "ending", "DNS:localhost,IP:127.0.0.1", true, -80 * DAY, 10 * DAY);
    start((const char *[]){"--tls-cert", certs_file("ending.pem"), "--tls-key", certs_file("ending.key"),
                           NULL});
    cluster_wait_log(&attacked, "coordinator.log", "the certificate ends soon");
}

/* ---- handshakes by hand ---- */

struct hand {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static void hand_init(struct hand *h, int max_version, const char *alpn)
{
    h->fd = h2_raw_tcp(attacked.address, 1);
    assert_true(h->fd >= 0);
    h->ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate_file(h->ctx, certs_file("user-ann.pem"), SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(h->ctx, certs_file("user-ann.key"), SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(h->ctx, max_version), 1);
    h->ssl = SSL_new(h->ctx);
    assert_int_equal(SSL_set_fd(h->ssl, h->fd), 1);
    if (alpn != NULL)
        assert_int_equal(SSL_set_alpn_protos(h->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)), 0);
}

static void hand_done(struct hand *h)
{
    SSL_free(h->ssl);
    SSL_CTX_free(h->ctx);
    close(h->fd);
}

/* True when the server takes us as a client of HTTP/2: its first frame comes. */
static bool hand_is_in(struct hand *h)
{
    char byte;
    return SSL_connect(h->ssl) == 1 && SSL_read(h->ssl, &byte, 1) == 1;
}

static void too_old_versions_and_other_protocols_are_refused(void **state)
{
    (void)state;
    struct hand h;
    start((const char *[]){"--tls-min", "1.3", NULL});
    hand_init(&h, TLS1_2_VERSION, "\x02h2");
    assert_false(hand_is_in(&h));
    hand_done(&h);
    hand_init(&h, 0, "\x02h2");
    assert_true(hand_is_in(&h));
    hand_done(&h);
    hand_init(&h, 0, "\x08http/1.1");
    assert_false(hand_is_in(&h));
    hand_done(&h);
    hand_init(&h, 0, NULL);
    assert_false(hand_is_in(&h));
    hand_done(&h);
    cluster_wait_log(&attacked, "coordinator.log", "it does not offer HTTP/2");
    attack_restart(NULL);
    hand_init(&h, TLS1_2_VERSION, "\x02h2");
    assert_true(hand_is_in(&h));
    hand_done(&h);
}

/* Each byte a record of its own, and the end in the midst of one. */
static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    static const uint8_t start_of[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
                                      "\0\0\x08\6\0\0\0\0\0"
                                      "12345678";
    struct hand h;
    uint8_t got[256];
    size_t n = 0;
    start(NULL);
    hand_init(&h, 0, "\x02h2");
    assert_int_equal(SSL_connect(h.ssl), 1);
    for (size_t i = 0; i + 1 < sizeof(start_of); i++)
        assert_int_equal(SSL_write(h.ssl, start_of + i, 1), 1);
    while (n < sizeof(got) && memmem(got, n, "12345678", 8) == NULL) { /* the PING comes back */
        int k = SSL_read(h.ssl, got + n, (int)(sizeof(got) - n));
        assert_true(k > 0);
        n += (size_t)k;
    }
    size_t files = attack_open_files();
    static const uint8_t half[] = {23, 3, 3, 0, 100, 1, 2, 3};
    assert_true(h2_send(h.fd, half, sizeof(half)));
    hand_done(&h);
    long long until = test_now_ms() + DEADLINE_MS;
    while (attack_open_files() >= files)
        test_pause(until, "the connection is given up");
}

static void messages_that_carry_nothing_are_bounded(void **state)
{
    (void)state;
    struct hand h;
    start(NULL);
    hand_init(&h, 0, "\x02h2");
    assert_true(hand_is_in(&h));
    for (int i = 0; i < 100000; i++)
        if (SSL_key_update(h.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(h.ssl) != 1)
            break;
    cluster_wait_log(&attacked, "coordinator.log", "too many TLS messages that carry no data");
    hand_done(&h);
    is_let_in("user-ann", attacked.address);
}

static void handshakes_that_do_not_end_stop_nobody(void **state)
{
    (void)state;
    enum { SLOW = 1400 };
    static int fds[SLOW];
    static const uint8_t begin[] = {22, 3, 1, 0, 200, 1, 0, 0}; /* of a ClientHello */
    (void)h2_raise_files();
    start(NULL);
    cluster_host(&attacked, 0, "a", NULL);
    put_trip(&attacked, "'ask':false");
    size_t files = attack_open_files();
    int slow = h2_raw_tcp(attacked.address, 1);
    assert_true(h2_send(slow, begin, 4));
    cluster_wait_log(&attacked, "coordinator.log", "the handshake took too long");
    close(slow);
    for (int i = 0; i < SLOW; i++) {
        fds[i] = h2_raw_tcp(attacked.address, 1);
        assert_true(fds[i] >= 0);
        (void)h2_send(fds[i], begin, i % 2 == 0 ? sizeof(begin) : 0);
        if (i % 200 == 0)
            is_let_in("user-ann", attacked.address);
    }
    is_let_in("user-ann", attacked.address);
    attack_others_are_served();
    cluster_wait_log(&attacked, "coordinator.log", "this one took longest");
    long long until = test_now_ms() + DEADLINE_MS;
    while (attack_open_files() > files + 8)
        test_pause(until, "slow handshakes are cut off");
    attack_close_all(fds, SLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_certificates_of_the_authority_are_let_in, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_insists_on_the_server_s_name_and_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(a_host_says_why_it_cannot_attach, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_not_right_are_named_at_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_read_anew_and_old_connections_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_revoked_does_not_come_back_by_an_old_session, setup, teardown),
        cmocka_unit_test_setup_teardown(a_certificate_that_ends_soon_is_warned_about, setup, teardown),
        cmocka_unit_test_setup_teardown(too_old_versions_and_other_protocols_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_may_come_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_that_carry_nothing_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(handshakes_that_do_not_end_stop_nobody, setup, teardown),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(setenv("FERMATA_TEST_TLS", "1", 1), 0);
    rpc_global_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rpc_global_shutdown();
    return failed;
}
