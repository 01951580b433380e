/* The log: text and JSON lines, levels, an output that nobody reads. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "log.h"

static int fds[2];

static void start(bool json, const char *levels, size_t queue)
{
    struct fm_err err = {0};
    assert_int_equal(pipe(fds), 0);
    struct fm_log_config cfg = {.fd = fds[1], .json = json, .levels = levels, .queue_bytes = queue};
    assert_int_equal(fm_log_start(&cfg, &err), 0);
}

/* Stops the log and returns what was written. */
static const char *stop(void)
{
    static char text[65536];
    fm_log_stop();
    close(fds[1]);
    size_t n = 0;
    ssize_t k;
    while ((k = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)k;
    text[n] = '\0';
    close(fds[0]);
    return text;
}

static void a_text_line_has_time_level_category_message_and_keys(void **state)
{
    (void)state;
    start(false, "info", 0);
    FM_LOG(INFO, STATE, "job paused", FM_STR("job", "j 1"), FM_U64("epoch", 2));
    const char *out = stop();
    assert_true(out[0] == '+');
    assert_non_null(strstr(out, "INFO"));
    assert_non_null(strstr(out, "STATE"));
    assert_non_null(strstr(out, "job paused job=\"j 1\" epoch=2\n"));
}

static void a_text_line_has_the_time_of_day_where_that_is_wished(void **state)
{
    (void)state;
    start(false, "info", 0);
    fm_log_set_absolute(true);
    FM_LOG(INFO, STATE, "job paused");
    const char *out = stop();
    fm_log_set_absolute(false);
    int n = 0;
    assert_int_equal(sscanf(out, "20%*2d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ INFO%n", &n), 0);
    assert_int_equal(n, 29);
}

static void a_json_line_escapes_what_would_break_it(void **state)
{
    (void)state;
    start(true, "info", 0);
    FM_LOG(WARN, RPC, "bad input", FM_STR("text", "a\"b\\c\n\xff"), FM_DBL("x", 1.5));
    const char *out = stop();
    assert_non_null(strstr(out, "\"level\":\"WARN\""));
    assert_non_null(strstr(out, "\"text\":\"a\\\"b\\\\c\\u000a?\""));
    assert_non_null(strstr(out, "\"x\":1.5}\n"));
}

static int evaluated;

static const char *costly(void)
{
    evaluated++;
    return "x";
}

static void a_level_that_is_off_costs_nothing_and_can_be_set_for_one_category(void **state)
{
    (void)state;
    start(false, "warn,rpc=debug", 0);
    evaluated = 0;
    FM_LOG(INFO, STATE, "not this", FM_STR("k", costly()));
    assert_int_equal(evaluated, 0);
    FM_LOG(DEBUG, RPC, "this one", FM_STR("k", costly()));
    assert_int_equal(evaluated, 1);
    const char *out = stop();
    assert_null(strstr(out, "not this"));
    assert_non_null(strstr(out, "this one"));
    struct fm_err err = {0};
    assert_int_equal(fm_log_set_levels("loud", &err), -FM_INVALID_ARGUMENT);
    assert_int_equal(fm_log_set_levels("colour=info", &err), -FM_INVALID_ARGUMENT);
    assert_int_equal(fm_log_set_levels("info", &err), 0);
}

static void an_output_that_nobody_reads_stalls_nobody_and_what_is_dropped_is_counted(void **state)
{
    (void)state;
    char big[1000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    start(false, "info", 16384);
    for (int i = 0; i < 2000; i++) /* 2 MB into a pipe of 64 KiB and a queue of 16 KiB */
        FM_LOG(INFO, STATE, "line", FM_STR("big", big));
    assert_true(fm_log_dropped() > 1000);
    fm_log_stop(); /* bounded, though the pipe is full */
    close(fds[0]);
    close(fds[1]);
}

/* Each write of the log is a packet. A line that comes after a pause is written at once; of those that
 * follow, as many as come in five milliseconds together, however long the test takes. */
static void lines_that_follow_closely_are_written_together(void **state)
{
    enum { LINES = 100, TOGETHER_MS = 5 };
    const struct timespec apart = {0, 300000};
    int ends[2];
    struct fm_err err = {0};
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    struct fm_log_config cfg = {.fd = ends[1], .levels = "info"};
    int64_t from_ms = fm_now_mono_ms();
    assert_int_equal(fm_log_start(&cfg, &err), 0);
    for (int i = 0; i < LINES; i++) {
        FM_LOG(INFO, STATE, "line");
        (void)nanosleep(&apart, NULL);
    }
    size_t packets = 0, lines = 0;
    while (lines < LINES) { /* all come by themselves, without a stop */
        char text[65536];
        ssize_t n = read(ends[0], text, sizeof(text));
        assert_true(n > 0);
        packets++;
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    }
    int64_t ms = fm_now_mono_ms() - from_ms;
    fm_log_stop();
    assert_int_equal(lines, LINES);
    assert_true(packets <= (size_t)(ms / TOGETHER_MS) + 4);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_has_time_level_category_message_and_keys),
        cmocka_unit_test(a_text_line_has_the_time_of_day_where_that_is_wished),
        cmocka_unit_test(a_json_line_escapes_what_would_break_it),
        cmocka_unit_test(a_level_that_is_off_costs_nothing_and_can_be_set_for_one_category),
        cmocka_unit_test(an_output_that_nobody_reads_stalls_nobody_and_what_is_dropped_is_counted),
        cmocka_unit_test(lines_that_follow_closely_are_written_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
