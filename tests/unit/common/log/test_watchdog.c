/* The watchdog of loops: which turns are logged, and what is said of them. */
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "watchdog.h"

static int fds[2];
static struct watchdog w;

static int setup(void **state)
{
    struct fm_err err = {0};
    (void)state;
    assert_int_equal(pipe(fds), 0);
    const struct fm_log_config cfg = {.fd = fds[1], .levels = "info"};
    assert_int_equal(fm_log_start(&cfg, &err), 0);
    w = (struct watchdog){.loop = "l"};
    return 0;
}

/* Stops the log and returns what was written. */
static const char *said(void)
{
    static char text[8192];
    size_t n = 0;
    ssize_t k;
    fm_log_stop();
    close(fds[1]);
    while ((k = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)k;
    text[n] = '\0';
    close(fds[0]);
    return text;
}

static void a_long_turn_is_logged_with_what_took_longest(void **state)
{
    (void)state;
    watchdog_begin(&w, 1000);
    watchdog_lap(&w, "a", 1040);
    w.doing = "Jobs/SubmitJob";
    watchdog_lap(&w, "b", 1090);
    watchdog_lap(&w, "c", 1101);
    watchdog_end(&w);
    assert_non_null(strstr(said(),
                           "a turn of a loop took a long time; everything else has waited loop=l ms=101 "
                           "longest=Jobs/SubmitJob longest_ms=50 not_logged=0\n"));
}

static void a_turn_of_a_hundred_milliseconds_is_not(void **state)
{
    (void)state;
    watchdog_begin(&w, 1000);
    watchdog_lap(&w, "a", 1100);
    watchdog_end(&w);
    watchdog_begin(&w, 2000); /* it has waited for an event since */
    watchdog_lap(&w, "a", 2001);
    watchdog_end(&w);
    watchdog_took(&w, 100, 3000);
    assert_string_equal(said(), "");
}

static void many_long_turns_are_a_line_in_ten_seconds(void **state)
{
    (void)state;
    for (int i = 0; i <= 100; i++)
        watchdog_took(&w, 101, 1000 + i * 100);
    const char *text = said();
    const char *second = strstr(strchr(text, '\n') + 1, "a turn of a loop");
    assert_non_null(second);
    assert_non_null(strstr(second, "longest=unknown"));
    assert_non_null(strstr(second, "not_logged=99\n")); /* the one at 11,000 is the 101st */
    assert_null(strstr(second + 1, "a turn of a loop"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_long_turn_is_logged_with_what_took_longest, setup),
        cmocka_unit_test_setup(a_turn_of_a_hundred_milliseconds_is_not, setup),
        cmocka_unit_test_setup(many_long_turns_are_a_line_in_ten_seconds, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
