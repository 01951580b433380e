/* What a loop says of its own long turns: what was at work, and nothing of waiting for events. */
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "log.h"
#include "rpc.h"
#include "watchdog.h"

static struct {
    struct rpc_loop *loop;
    struct rpc_timer timer;
    int fds[2];
} t;

/* Stands still for longer than a turn should take. */
static void stand_still(void)
{
    for (int64_t until = fm_now_mono_ms() + 2 * WATCHDOG_MS; fm_now_mono_ms() < until;) {
    }
}

static void stop(void *arg)
{
    (void)arg;
    rpc_loop_stop(t.loop);
}

static void posted(void *arg)
{
    rpc_loop_doing(t.loop, "a test");
    if (arg != NULL)
        stand_still();
    rpc_timer_start(t.loop, &t.timer, fm_now_mono_ms() + 2 * WATCHDOG_MS, stop, NULL);
}

static void slow_timer(void *arg)
{
    stand_still();
    stop(arg);
}

static const char *said_by(void (*fn)(void *arg), void *arg)
{
    static char text[8192];
    struct fm_err err = {0};
    size_t n = 0;
    ssize_t k;
    memset(&t, 0, sizeof(t));
    assert_int_equal(pipe(t.fds), 0);
    const struct fm_log_config cfg = {.fd = t.fds[1], .levels = "info"};
    assert_int_equal(fm_log_start(&cfg, &err), 0);
    rpc_global_init();
    t.loop = rpc_loop_new();
    if (fn == NULL)
        rpc_timer_start(t.loop, &t.timer, 0, slow_timer, NULL);
    else
        assert_true(rpc_loop_post(t.loop, fn, arg));
    rpc_loop_run(t.loop);
    rpc_loop_free(t.loop);
    rpc_global_shutdown();
    fm_log_stop();
    close(t.fds[1]);
    while ((k = read(t.fds[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)k;
    text[n] = '\0';
    close(t.fds[0]);
    return text;
}

static void a_turn_that_stands_still_is_named(void **state)
{
    (void)state;
    assert_non_null(strstr(said_by(posted, &t),
                           "a turn of a loop took a long time; everything else has waited loop=rpc"));
    assert_non_null(strstr(said_by(posted, &t), "longest=\"a test\""));
    assert_non_null(strstr(said_by(NULL, NULL), "longest=\"a timer\""));
}

static void waiting_is_no_work(void **state)
{
    (void)state;
    assert_null(strstr(said_by(posted, NULL), "longest=\"gRPC itself\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_that_stands_still_is_named),
        cmocka_unit_test(waiting_is_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
