/* Server-sent events as the standard has them, however the bytes are cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "sse.h"

static struct fm_arena arena;
static char seen[4000];

static void *alloc(void *owner, size_t n)
{
    void *p = fm_arena_alloc(owner, n);
    assert_non_null(p);
    return p;
}

static int note(void *arg, const char *name, const char *data, size_t n)
{
    (void)arg;
    assert_int_equal(strlen(data), n);
    size_t had = strlen(seen);
    (void)snprintf(seen + had, sizeof(seen) - had, "[%s|%s]", name, data);
    return strcmp(data, "stop") == 0 ? -1 : 0;
}

static int feed(const char *bytes, size_t n, size_t step, size_t most)
{
    int rc = 0;
    fm_arena_init(&arena, 16u << 20);
    struct sse s = {.alloc = alloc, .owner = &arena, .max_bytes = most};
    seen[0] = '\0';
    for (size_t i = 0; i < n && rc == 0; i += step)
        rc = sse_push(&s, bytes + i, n - i < step ? n - i : step, note, NULL);
    if (rc == 0)
        rc = sse_end(&s, note, NULL);
    fm_arena_done(&arena);
    return rc;
}

/* The stream has these events, in whatever pieces it comes. */
static void has_events(const char *stream, const char *events)
{
    for (size_t step = 1; step <= strlen(stream) + 1; step++) {
        assert_int_equal(feed(stream, strlen(stream), step, 1000), 0);
        if (strcmp(seen, events) != 0)
            fail_msg("in pieces of %zu: %s is not %s", step, seen, events);
    }
}

static void lines_end_with_cr_or_lf_or_both(void **state)
{
    (void)state;
    has_events("data: a\n\ndata: b\n\n", "[|a][|b]");
    has_events("data: a\r\n\r\ndata: b\r\n\r\n", "[|a][|b]");
    has_events("data: a\r\rdata: b\r\r", "[|a][|b]");
    has_events("data: a\r\n\rdata: b\n\r\n", "[|a][|b]");
}

static void data_may_have_several_lines(void **state)
{
    (void)state;
    has_events("data: {\ndata: \"a\": 1\ndata: }\n\n", "[|{\n\"a\": 1\n}]");
    has_events("data\n\ndata\ndata\n\n", "[|][|\n]"); /* the standard's own example */
    has_events("data:a\ndata:  b\n\n", "[|a\n b]");   /* one blank is not of the value */
}

static void a_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    has_events("\xef\xbb\xbf"
               "data: a\n\n",
               "[|a]");
    has_events("data: \xef\xbb\xbf\n\n", "[|\xef\xbb\xbf]");
    has_events("\xef\xbb", "");
    has_events("\xef\xbb"
               "data: a\n\ndata: b\n\n",
               "[|b]"); /* it is no mark, so the first line is no field */
}

static void names_comments_and_other_fields(void **state)
{
    (void)state;
    has_events("event: one\ndata: a\n\ndata: b\n\n", "[one|a][|b]");
    has_events(": ping\n\nid: 7\nretry: 5\nnothing\ndata: a\nevent: late\n\n", "[late|a]");
    has_events("event: empty\n\ndata: a\n\n", "[|a]"); /* without data there is no event */
    has_events("dataX: a\nDATA: b\n data: c\n\n", "");
}

static void an_event_without_a_blank_line_ends_with_the_stream(void **state)
{
    (void)state;
    has_events("data: a\n\ndata: b\n", "[|a][|b]");
    has_events("event: x\ndata: b", "[x|b]");
    has_events("", "");
}

static void a_long_event_is_refused_and_a_long_name_is_cut(void **state)
{
    (void)state;
    char stream[400];
    for (size_t lines = 0; lines < 2; lines++) {
        memset(stream, 'x', sizeof(stream));
        memcpy(stream, "data: ", 6);
        if (lines > 0)
            for (size_t i = 20; i + 7 < sizeof(stream); i += 20)
                memcpy(stream + i, "\ndata: ", 7);
        assert_int_equal(feed(stream, sizeof(stream), 7, 200), SSE_TOO_LARGE);
        assert_string_equal(seen, "");
        assert_int_equal(feed(stream, 150, 7, 200), 0);
    }
    memset(stream, 'x', 200);
    memcpy(stream, "event: ", 7);
    memcpy(stream + 150, "\ndata: a\n\n", 11);
    assert_int_equal(feed(stream, 161, 9, 1000), 0);
    assert_int_equal(strlen(seen), 63 + strlen("[|a]"));
}

static void what_the_events_handler_says_ends_it(void **state)
{
    (void)state;
    static const char stream[] = "data: a\n\ndata: stop\n\ndata: b\n\n";
    assert_int_equal(feed(stream, strlen(stream), 5, 1000), -1);
    assert_string_equal(seen, "[|a][|stop]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_with_cr_or_lf_or_both),
        cmocka_unit_test(data_may_have_several_lines),
        cmocka_unit_test(a_byte_order_mark_is_skipped),
        cmocka_unit_test(names_comments_and_other_fields),
        cmocka_unit_test(an_event_without_a_blank_line_ends_with_the_stream),
        cmocka_unit_test(a_long_event_is_refused_and_a_long_name_is_cut),
        cmocka_unit_test(what_the_events_handler_says_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
