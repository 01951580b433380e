/* The guard stands between a socket and whoever reads it with recvmsg, as gRPC does. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc_guard.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define CALL "\0\0\1\1\4\0\0\0\1x"  /* HEADERS */
#define BAD "\0\0\1\x09\4\0\0\0\1x" /* CONTINUATION, out of place */
#define CALLED (sizeof(PREFACE) - 1 + 10)
#define WHY "a CONTINUATION frame outside of a header block"

/* Both ends of a connection; the first is guarded when `cookie` is not NULL. */
static void connection(int fds[2], uint64_t *cookie)
{
    socklen_t n = sizeof(*cookie);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    if (cookie == NULL)
        return;
    assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_COOKIE, cookie, &n), 0);
    rpc_guard_add(fds[0], *cookie);
}

static void end(int fds[2], uint64_t cookie)
{
    close(fds[0]);
    close(fds[1]);
    rpc_guard_remove(fds[0], cookie);
}

/* What is sent to the other end, read at the first one in parts of 3 and 5 and 1000 bytes. */
static ssize_t pass(int fds[2], const char *bytes, size_t n, int flags)
{
    char got[1008];
    struct iovec parts[3] = {
        {got,     3   },
        {got + 3, 5   },
        {got + 8, 1000}
    };
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 3};
    if (n > 0)
        assert_int_equal(send(fds[1], bytes, n, 0), n);
    errno = 0;
    ssize_t k = recvmsg(fds[0], &m, flags);
    if (k > 0 && n > 0)
        assert_memory_equal(got, bytes, (size_t)k);
    return k;
}

static void what_is_fine_passes_as_it_is(void **state)
{
    uint64_t cookie;
    int fds[2];
    (void)state;
    connection(fds, &cookie);
    assert_int_equal(pass(fds, "", 0, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(pass(fds, PREFACE CALL, CALLED, 0), CALLED);
    assert_true(rpc_guard_taken(fds[0], cookie));
    assert_false(rpc_guard_taken(fds[0], cookie));
    assert_null(rpc_guard_verdict(fds[0], cookie));
    (void)shutdown(fds[1], SHUT_WR);
    assert_int_equal(pass(fds, "", 0, 0), 0);
    end(fds, cookie);
}

static void what_is_not_ends_the_connection_and_none_of_it_passes(void **state)
{
    uint64_t cookie;
    char told[128];
    int fds[2];
    (void)state;
    connection(fds, &cookie);
    assert_int_equal(pass(fds, PREFACE CALL BAD, CALLED + 10, MSG_PEEK), CALLED + 10); /* a look counts not */
    assert_int_equal(pass(fds, "", 0, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_string_equal(rpc_guard_verdict(fds[0], cookie), WHY);
    ssize_t n = recv(fds[1], told, sizeof(told), 0); /* GOAWAY */
    assert_int_equal(n, 9 + 8 + strlen(WHY));
    assert_memory_equal(told, "\0\0\x36\7\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0b" WHY, (size_t)n);
    assert_int_equal(recv(fds[1], told, sizeof(told), 0), 0);
    end(fds, cookie);
}

static void other_sockets_are_left_alone_also_those_that_get_the_same_number(void **state)
{
    uint64_t cookie;
    int fds[2], other[2];
    (void)state;
    connection(fds, NULL);
    assert_int_equal(pass(fds, BAD BAD, 20, 0), 20);
    close(fds[0]);
    close(fds[1]);
    connection(fds, &cookie);
    connection(other, NULL);
    int number = fds[0];
    assert_int_equal(dup3(other[0], number, O_CLOEXEC), number); /* closed, and not removed yet */
    close(other[0]);
    other[0] = number;
    assert_int_equal(pass(other, BAD BAD, 20, 0), 20);
    assert_null(rpc_guard_verdict(number, cookie));
    close(other[0]);
    close(other[1]);
    close(fds[1]);
    rpc_guard_remove(number, cookie + 1); /* not that one */
    assert_false(rpc_guard_taken(number, cookie));
    rpc_guard_remove(number, cookie);
}

static void each_connection_is_looked_at_by_itself(void **state)
{
    uint64_t cookies[3];
    int fds[3][2];
    (void)state;
    for (int i = 0; i < 3; i++)
        connection(fds[i], &cookies[i]);
    for (size_t at = 0; at < CALLED; at++)
        for (int i = 0; i < 3; i++)
            assert_int_equal(pass(fds[i], &PREFACE CALL[at], 1, 0), 1);
    assert_int_equal(pass(fds[1], BAD, 10, 0), -1);
    assert_int_equal(pass(fds[0], CALL, 10, 0), 10);
    assert_int_equal(pass(fds[2], CALL, 10, 0), 10);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rpc_guard_verdict(fds[i][0], cookies[i]) != NULL, i == 1);
    for (int i = 0; i < 3; i++)
        end(fds[i], cookies[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_fine_passes_as_it_is),
        cmocka_unit_test(what_is_not_ends_the_connection_and_none_of_it_passes),
        cmocka_unit_test(other_sockets_are_left_alone_also_those_that_get_the_same_number),
        cmocka_unit_test(each_connection_is_looked_at_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
