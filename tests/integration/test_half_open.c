/* Connections that are half open: both ends believe in them, nothing passes any more. A relay between the
 * daemons stands still in the midst of a job; keepalive ends the connection on both sides long before the
 * lease would. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"

#define MAX_PAIRS 16
/* 20 s until the coordinator asks, 10 s for the answer; a busy machine has time. */
#define KEEPALIVE_MS (30000 + DEADLINE_MS)

/* Passes bytes between those who connect and the coordinator. Connections of before `freeze` are forgotten:
 * they stay open, and nothing of them is read or written. Ends of them are still noticed. */
static struct relay {
    pthread_t thread;
    pthread_mutex_t lock;
    int listener, wake[2];
    struct sockaddr_in to;
    struct pair {
        int fd[2]; /* of who connected, to the coordinator */
        bool frozen, ended[2];
    } pairs[MAX_PAIRS];
    size_t n;
    bool stop;
} relay;

static void take_connection(void)
{
    int client = accept4(relay.listener, NULL, NULL, SOCK_CLOEXEC),
        server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0 && server >= 0 && relay.n < MAX_PAIRS);
    assert_int_equal(connect(server, (struct sockaddr *)&relay.to, sizeof(relay.to)), 0);
    relay.pairs[relay.n++] = (struct pair){
        .fd = {client, server}
    };
}

/* Moves what there is from one side to the other; an end ends both. */
static void pass(struct pair *p, int from)
{
    char buf[65536];
    ssize_t n = recv(p->fd[from], buf, sizeof(buf), 0);
    for (ssize_t at = 0; n > 0 && at < n;) {
        ssize_t k = send(p->fd[1 - from], buf + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (k <= 0)
            n = -1;
        else
            at += k;
    }
    if (n > 0)
        return;
    p->ended[0] = p->ended[1] = true;
    (void)shutdown(p->fd[0], SHUT_RDWR);
    (void)shutdown(p->fd[1], SHUT_RDWR);
}

static void *relay_main(void *arg)
{
    struct pollfd fds[2 + 2 * MAX_PAIRS];
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&relay.lock);
        bool stop = relay.stop;
        size_t n = relay.n;
        fds[0] = (struct pollfd){relay.listener, POLLIN, 0};
        fds[1] = (struct pollfd){relay.wake[0], POLLIN, 0};
        for (size_t i = 0; i < 2 * n; i++) {
            const struct pair *p = &relay.pairs[i / 2];
            fds[2 + i] = (struct pollfd){p->ended[i % 2] ? -1 : p->fd[i % 2],
                                         (short)(p->frozen ? POLLRDHUP : POLLIN), 0};
        }
        pthread_mutex_unlock(&relay.lock);
        if (stop)
            return NULL;
        if (poll(fds, (nfds_t)(2 + 2 * n), -1) < 0 && errno != EINTR)
            fail_msg("poll: %s", strerror(errno));
        char byte;
        if (fds[1].revents != 0)
            assert_int_equal(read(relay.wake[0], &byte, 1), 1);
        pthread_mutex_lock(&relay.lock);
        for (size_t i = 0; i < 2 * n; i++) {
            struct pair *p = &relay.pairs[i / 2];
            if (fds[2 + i].revents == 0 || p->ended[i % 2])
                continue;
            if (p->frozen)
                p->ended[i % 2] = true;
            else
                pass(p, (int)(i % 2));
        }
        if (fds[0].revents != 0)
            take_connection();
        pthread_mutex_unlock(&relay.lock);
    }
}

static void wake_relay(void)
{
    assert_int_equal(write(relay.wake[1], "x", 1), 1);
}

static void start_relay(const char *address, char ret_address[64])
{
    socklen_t len = sizeof(relay.to);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memset(&relay, 0, sizeof(relay));
    relay.to = at;
    relay.to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    relay.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(relay.listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(relay.listener, 16), 0);
    assert_int_equal(getsockname(relay.listener, (struct sockaddr *)&at, &len), 0);
    snprintf(ret_address, 64, "127.0.0.1:%d", ntohs(at.sin_port));
    assert_int_equal(pipe(relay.wake), 0);
    assert_int_equal(pthread_mutex_init(&relay.lock, NULL), 0);
    assert_int_equal(pthread_create(&relay.thread, NULL, relay_main, NULL), 0);
}

static void freeze(void)
{
    pthread_mutex_lock(&relay.lock);
    for (size_t i = 0; i < relay.n; i++)
        relay.pairs[i].frozen = true;
    pthread_mutex_unlock(&relay.lock);
    wake_relay();
}

/* How many of the frozen connections that side has given up. */
static size_t given_up(int side, size_t *ret_frozen)
{
    size_t n = 0;
    *ret_frozen = 0;
    pthread_mutex_lock(&relay.lock);
    for (size_t i = 0; i < relay.n; i++) {
        *ret_frozen += relay.pairs[i].frozen;
        n += relay.pairs[i].frozen && relay.pairs[i].ended[side];
    }
    pthread_mutex_unlock(&relay.lock);
    return n;
}

static void stop_relay(void)
{
    pthread_mutex_lock(&relay.lock);
    relay.stop = true;
    pthread_mutex_unlock(&relay.lock);
    wake_relay();
    assert_int_equal(pthread_join(relay.thread, NULL), 0);
    for (size_t i = 0; i < 2 * relay.n; i++)
        close(relay.pairs[i / 2].fd[i % 2]);
    close(relay.listener);
    close(relay.wake[0]);
    close(relay.wake[1]);
}

static void wait_given_up(int side, const char *what)
{
    size_t frozen;
    long long until = test_now_ms() + KEEPALIVE_MS;
    while (given_up(side, &frozen) < frozen)
        test_pause(until, what);
    assert_true(frozen >= 2); /* the host's and the watcher's */
}

static void
both_ends_give_up_a_connection_on_which_nothing_passes_and_the_job_goes_on_where_it_is(void **state)
{
    (void)state;
    struct cluster c;
    struct proc watch;
    char direct[64], relayed[64], flow[512];
    cluster_init(&c);
    c.probes = true;
    cluster_lease(&c, 600); /* no lease ends within this test */
    cluster_coordinator(&c, NULL);
    snprintf(direct, sizeof(direct), "%s", c.address);
    start_relay(direct, relayed);
    snprintf(c.address, sizeof(c.address), "%s", relayed);
    cluster_host(&c, 0, "a", NULL);
    snprintf(c.address, sizeof(c.address), "%s", direct);
    snprintf(flow, sizeof(flow),
             "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'gate':'%s'},"
             "{'emit':'out'}]}}}]}",
             cluster_file(&c, "gate"));
    const char *job = submit_inline(&c, flow, "{}");
    json_decref(wait_status(&c, job, "RUNNING"));
    rpc_start(&watch, cluster_file(&c, "watch.log"), relayed, "Jobs/WatchJob", "{'job_id':'%s'}", job);
    proc_hear(&watch, "JOB_STATUS_RUNNING");
    freeze();
    wait_given_up(1, "the coordinator gives up all connections that stand still");
    cluster_open_gate(&c, "gate");
    json_t *done = wait_status(&c, job, "COMPLETED"); /* the host has given up its own, too, and come back */
    assert_string_equal(at(done, "job.epoch"), "1");
    json_decref(done);
    proc_kill9(&watch);
    cluster_done(&c);
    stop_relay();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            both_ends_give_up_a_connection_on_which_nothing_passes_and_the_job_goes_on_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
