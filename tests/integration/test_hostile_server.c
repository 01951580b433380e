/* A coordinator that means harm, made by hand (h2.h), against a real host: the host lives, comes again, and
 * its memory stays below a bound that is stated here. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"
#include "h2.h"

#define MEMORY_MIB (TEST_SANITIZED ? 800 : 100)
#define BOMB (6 << 20) /* about 1 GiB */

static struct cluster c;
static int listener;

static int setup(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(here);
    char path[512], err[256], to[32];
    const char *build = getenv("BUILD_DIR");
    (void)state;
    cluster_init(&c);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, n), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &n), 0);
    snprintf(to, sizeof(to), "127.0.0.1:%d", ntohs(here.sin_port));
    snprintf(path, sizeof(path), "%s/hostd/hostd", build == NULL ? "build/debug" : build);
    snprintf(err, sizeof(err), "%s/host0.log", c.dir);
    const char *argv[] = {path,    "--coordinator",   to,  "--id", "a", "--log-level",
                          "debug", "--no-supervisor", NULL};
    proc_talk(&c.hosts[0], err, argv);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(listener);
    cluster_done(&c); /* the host ends with 0 */
    return 0;
}

/* The host's next attempt to attach: a stream on a connection of its own. */
static int host_comes(uint32_t *ret_stream)
{
    struct pollfd p = {listener, POLLIN, 0};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    *ret_stream = h2_serve(fd, DEADLINE_MS);
    assert_int_not_equal(*ret_stream, 0);
    return fd;
}

static size_t host_memory_mib(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)c.hosts[0].pid);
    char *text = file_text(path), *at = strstr(text, "VmHWM:");
    if (at == NULL)
        fail_msg("the host is gone");
    size_t mib = strtoul(at + 6, NULL, 10) / 1024;
    free(text);
    return mib;
}

static void a_host_takes_no_compressed_message(void **state)
{
    (void)state;
    uint8_t *bomb = h2_gzip_bomb(BOMB);
    for (int i = 0; i < 3; i++) {
        struct h2_block b = {0};
        uint32_t stream;
        int fd = host_comes(&stream);
        h2_literal(&b, ":status", "200");
        h2_literal(&b, "content-type", "application/grpc");
        h2_literal(&b, "grpc-encoding", i == 1 ? "deflate" : "gzip");
        assert_true(h2_frame(fd, H2_HEADERS, H2_END_HEADERS, stream, b.p, b.n));
        enum h2_end end = h2_send_data(fd, stream, 0, bomb, BOMB, DEADLINE_MS, NULL);
        if (end == H2_NOTHING)
            end = h2_wait_end(fd, stream, DEADLINE_MS, NULL);
        assert_int_not_equal(end, H2_NOTHING);
        h2_block_free(&b);
        close(fd);
    }
    uint32_t stream;
    close(host_comes(&stream)); /* and it is there again */
    free(bomb);
    if (host_memory_mib() > MEMORY_MIB)
        fail_msg("the host took %zu MiB; the bound is %d", host_memory_mib(), MEMORY_MIB);
    cluster_wait_log(&c, "host0.log", "is disabled");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_takes_no_compressed_message),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
