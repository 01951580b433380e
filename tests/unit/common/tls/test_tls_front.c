/* Two fronts with a connection between them: what goes into one plain end comes out of the other. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "mem.h"
#include "tls_authority.h"
#include "tls_context.h"
#include "tls_front.h"

#define DAY 86400L
#define BYTES (24u << 20)
#define WAIT_MS 60000

static char dir[] = "/tmp/fermata-tls-XXXXXX";
static struct tls_context *contexts[2]; /* of the server, of the client */
static struct tls_front *fronts[2];

/* ---- one connection ---- */

struct side {
    int own, fronts; /* of a socket pair; fronts is -1 once the front has it */
    struct fm_principal who;
    char why[160];
    atomic_int gone;
};

static int on_ready(void *user, const struct fm_principal *who)
{
    struct side *s = user;
    int fd = s->fronts;
    s->who = *who;
    s->fronts = -1;
    return fd;
}

static void on_failed(void *user, const char *why)
{
    struct side *s = user;
    snprintf(s->why, sizeof(s->why), "%s", why);
}

static void on_gone(void *user)
{
    struct side *s = user;
    if (s->fronts >= 0)
        close(s->fronts);
    atomic_store(&s->gone, 1);
}

static const struct tls_events events = {on_ready, on_failed, on_gone};

static void make_pair(struct side *s)
{
    int ends[2];
    memset(s, 0, sizeof(*s));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    s->own = ends[0];
    s->fronts = ends[1];
}

static void connect_tcp(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(ends[1], (struct sockaddr *)&at, sizeof(at)), 0);
    ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    close(listener);
}

/* sides[0] is the server's. */
static void join(struct side sides[2])
{
    int tcp[2];
    make_pair(&sides[0]);
    make_pair(&sides[1]);
    connect_tcp(tcp);
    tls_front_add(fronts[0], contexts[0], tcp[0], NULL, &events, &sides[0]);
    tls_front_add(fronts[1], contexts[1], tcp[1], "localhost", &events, &sides[1]);
}

static void wait_gone(struct side *s)
{
    for (int i = 0; i < WAIT_MS && atomic_load(&s->gone) == 0; i++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&s->gone), 1);
}

/* ---- bytes ---- */

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

struct sender {
    int fd;
    size_t n;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    uint8_t buf[5000];
    for (size_t at = 0; at < s->n;) {
        size_t k = s->n - at < sizeof(buf) ? s->n - at : sizeof(buf);
        struct pollfd p = {s->fd, POLLOUT, 0};
        for (size_t i = 0; i < k; i++)
            buf[i] = byte_at(at + i);
        ssize_t sent = send(s->fd, buf, k, MSG_NOSIGNAL);
        if (sent > 0)
            at += (size_t)sent;
        else if (errno != EAGAIN || poll(&p, 1, WAIT_MS) != 1)
            return arg; /* they are not taken */
    }
    return NULL;
}

static void receive(int fd, size_t n)
{
    static uint8_t buf[70000];
    for (size_t at = 0; at < n;) {
        struct pollfd p = {fd, POLLIN, 0};
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        ssize_t k = recv(fd, buf, sizeof(buf), 0);
        if (k <= 0)
            fail_msg("an end after %zu of %zu bytes", at, n);
        for (size_t i = 0; i < (size_t)k; i++)
            if (buf[i] != byte_at(at + i))
                fail_msg("byte %zu is wrong", at + i);
        at += (size_t)k;
    }
}

static void expect_end(int fd)
{
    char byte;
    struct pollfd p = {fd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

/* ---- tests ---- */

static void all_bytes_come_in_both_directions_and_then_the_end(void **state)
{
    (void)state;
    struct side sides[2];
    pthread_t threads[2];
    void *fault;
    join(sides);
    struct sender senders[2] = {
        {sides[0].own, BYTES},
        {sides[1].own, BYTES}
    };
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    receive(sides[0].own, BYTES);
    receive(sides[1].own, BYTES);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &fault), 0);
        assert_null(fault);
    }
    assert_int_equal(sides[0].who.kind, FM_USER);
    assert_string_equal(sides[0].who.name, "ann");
    struct sender last = {sides[1].own, 100000};
    assert_int_equal(pthread_create(&threads[0], NULL, send_all, &last), 0);
    assert_int_equal(pthread_join(threads[0], &fault), 0);
    close(sides[1].own); /* with bytes that nobody has read yet */
    receive(sides[0].own, 100000);
    expect_end(sides[0].own);
    close(sides[0].own);
    wait_gone(&sides[0]);
    wait_gone(&sides[1]);
    assert_string_equal(sides[0].why, "");
    assert_string_equal(sides[1].why, "");
}

/* Who does not read is not written to: what is under way is bounded by the kernel's buffers. */
static void what_is_not_read_is_not_taken(void **state)
{
    (void)state;
    struct side sides[2];
    static const uint8_t zeros[65536];
    join(sides);
    for (int from = 0; from < 2; from++) {
        size_t taken = 0;
        struct pollfd p = {sides[from].own, POLLOUT, 0};
        while (taken < (64u << 20) && poll(&p, 1, 1000) == 1) {
            ssize_t k = send(sides[from].own, zeros, sizeof(zeros), MSG_NOSIGNAL);
            taken += k > 0 ? (size_t)k : 0;
        }
        assert_true(taken > 100000);
        assert_true(taken < (32u << 20));
    }
    close(sides[0].own);
    close(sides[1].own);
    wait_gone(&sides[0]);
    wait_gone(&sides[1]);
}

static void many_connections_at_a_time(void **state)
{
    (void)state;
    enum { N = 60, EACH = 40000 };
    static struct side sides[N][2];
    for (size_t i = 0; i < N; i++)
        join(sides[i]);
    for (size_t i = 0; i < N; i++) {
        struct sender s = {sides[i][i % 2].own, EACH};
        assert_null(send_all(&s));
    }
    for (size_t i = 0; i < N; i++) {
        receive(sides[i][1 - i % 2].own, EACH);
        close(sides[i][i % 2].own);
        expect_end(sides[i][1 - i % 2].own);
        close(sides[i][1 - i % 2].own);
    }
    for (size_t i = 0; i < N; i++) {
        wait_gone(&sides[i][0]);
        wait_gone(&sides[i][1]);
    }
}

static void files_are_read_anew_beside_connections(void **state)
{
    (void)state;
    struct side sides[2];
    for (int i = 0; i < 20; i++) {
        join(sides);
        tls_context_refresh(contexts[0], true);
        tls_context_refresh(contexts[1], true);
        struct sender s = {sides[0].own, 1000};
        assert_null(send_all(&s));
        receive(sides[1].own, 1000);
        close(sides[0].own);
        close(sides[1].own);
        wait_gone(&sides[0]);
        wait_gone(&sides[1]);
    }
}

static void a_peer_that_is_silent_is_cut_off(void **state)
{
    (void)state;
    struct side s;
    int tcp[2];
    const struct tls_front_config cfg = {.handshake_ms = 200, .max_handshakes = 2};
    struct tls_front *quick = tls_front_new(&cfg);
    make_pair(&s);
    connect_tcp(tcp);
    tls_front_add(quick, contexts[0], tcp[0], NULL, &events, &s);
    wait_gone(&s);
    assert_string_equal(s.why, "the handshake took too long");
    close(s.own);
    close(tcp[1]);
    tls_front_free(quick);
}

/* ---- the two ---- */

static const char *file(const char *name)
{
    static char paths[8][64];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    struct fm_err err = {0};
    assert_non_null(mkdtemp(dir));
    struct tls_authority *a = tls_authority_make(file("ca.pem"), file("ca.key"), "ca", &err);
    assert_non_null(a);
    const struct tls_wanted server = {"server", "DNS:localhost", true, -60, DAY},
                            client = {"ann", "URI:spiffe://test/user/ann", false, -60, DAY};
    assert_int_equal(tls_authority_issue(a, &server, file("s.pem"), file("s.key"), &err), 0);
    assert_int_equal(tls_authority_issue(a, &client, file("c.pem"), file("c.key"), &err), 0);
    assert_int_not_equal(tls_authority_issue(a, &client, file("c.pem"), file("new.key"), &err), 0);
    assert_int_not_equal(access(file("new.key"), F_OK), 0); /* both, or none */
    fm_err_done(&err);
    tls_authority_free(a);
    const struct tls_files files[2] = {
        {file("s.pem"), file("s.key"), file("ca.pem"), NULL, false},
        {file("c.pem"), file("c.key"), file("ca.pem"), NULL, false}
    };
    const struct tls_front_config cfg = {.handshake_ms = WAIT_MS};
    for (int i = 0; i < 2; i++) {
        contexts[i] = tls_context_new(i == 0 ? TLS_SERVER : TLS_CLIENT, &files[i], &err);
        assert_non_null(contexts[i]);
        fronts[i] = tls_front_new(&cfg);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        tls_front_free(fronts[i]);
        tls_context_free(contexts[i]);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_come_in_both_directions_and_then_the_end),
        cmocka_unit_test(what_is_not_read_is_not_taken),
        cmocka_unit_test(many_connections_at_a_time),
        cmocka_unit_test(files_are_read_anew_beside_connections),
        cmocka_unit_test(a_peer_that_is_silent_is_cut_off),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
