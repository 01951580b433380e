/* What is said of a client's frames, whichever way they are split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "rpc_frames.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* A frame with a payload of n bytes of this value. */
static void put(struct fm_buf *b, uint8_t type, uint8_t flags, uint32_t stream, size_t n, uint8_t value)
{
    const uint8_t head[9] = {
        (uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    uint8_t *payload = malloc(n + 1);
    memset(payload, value, n);
    fm_buf_append(b, head, sizeof(head));
    fm_buf_append(b, payload, n);
    free(payload);
}

static void begin(struct fm_buf *b)
{
    fm_buf_append(b, PREFACE, strlen(PREFACE));
    put(b, SETTINGS, 0, 0, 6, 1);
}

/* The verdict about all of it, read in parts of this size at one time. */
static const char *verdict(const struct fm_buf *b, size_t part)
{
    struct rpc_frames f;
    const char *why = NULL;
    rpc_frames_init(&f, 1000);
    for (size_t at = 0; at < b->n; at += part) {
        const char *now = rpc_frames_read(&f, b->p + at, b->n - at < part ? b->n - at : part, 1000);
        assert_true(why == NULL || why == now); /* it stays */
        why = now;
    }
    return why;
}

/* NULL: nothing is wrong. Frees what was put. */
static void expect(struct fm_buf *b, const char *want)
{
    static const size_t parts[] = {1, 2, 3, 5, 9, 10, 24, 100, 16384, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *why = verdict(b, parts[i]);
        if ((why == NULL) != (want == NULL) || (why != NULL && strcmp(why, want) != 0))
            fail_msg("in parts of %zu: %s, but %s wanted", parts[i], why == NULL ? "nothing" : why,
                     want == NULL ? "nothing" : want);
    }
    fm_buf_done(b);
}

static void what_clients_do_is_fine(void **state)
{
    struct fm_buf b = {0};
    (void)state;
    begin(&b);
    put(&b, SETTINGS, ACK, 0, 0, 0);
    put(&b, WINDOW_UPDATE, 0, 0, 4, 1);
    for (uint32_t i = 0; i < 2000; i++) {
        put(&b, HEADERS, END_HEADERS, 2 * i + 1, 200, 0x80);
        put(&b, DATA, 0, 2 * i + 1, 100, 0);
        put(&b, DATA, END_STREAM, 2 * i + 1, 0, 0); /* empty, and the last */
        put(&b, WINDOW_UPDATE, 0, 2 * i + 1, 4, 1);
    }
    put(&b, DATA, 0, 3999, 70000, 0); /* how large it may be is in gRPC's settings */
    put(&b, PING, 0, 0, 8, 1);
    put(&b, GOAWAY, 0, 0, 8, 0);
    expect(&b, NULL);
}

static void something_else_than_http2_is_not(void **state)
{
    struct fm_buf b = {0};
    (void)state;
    expect(&b, NULL); /* nothing yet */
    fm_buf_append(&b, "GET / HTTP/1.1\r\n\r\n", 18);
    expect(&b, "it does not speak HTTP/2");
    fm_buf_append(&b, PREFACE, strlen(PREFACE) - 1);
    fm_buf_append(&b, "\r", 1);
    expect(&b, "it does not speak HTTP/2");
}

static void header_blocks_are_bounded_in_bytes(void **state)
{
    struct fm_buf b = {0};
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        begin(&b);
        put(&b, HEADERS, 0, 1, 16384, 0);
        put(&b, CONTINUATION, 0, 1, 16384, 0);
        put(&b, CONTINUATION, 0, 1, 16384, 0);
        put(&b, CONTINUATION, END_HEADERS, 1, RPC_FRAMES_BLOCK_BYTES - 3 * 16384 + more, 0);
        put(&b, HEADERS, END_HEADERS, 3, RPC_FRAMES_BLOCK_BYTES, 0); /* the next one counts anew */
        expect(&b, more ? "a header block that is too large" : NULL);
    }
    begin(&b);
    put(&b, HEADERS, END_HEADERS, 1, 0xffffff, 0);
    b.n -= 0xffffff; /* the head alone is enough */
    expect(&b, "a header block that is too large");
}

static void header_blocks_are_bounded_in_frames(void **state)
{
    struct fm_buf b = {0};
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        begin(&b);
        for (uint32_t stream = 1; stream < 5; stream += 2) {
            put(&b, HEADERS, 0, stream, 1, 0);
            for (unsigned i = 2; i < RPC_FRAMES_BLOCK_FRAMES + more; i++)
                put(&b, CONTINUATION, 0, stream, 0, 0);
            put(&b, CONTINUATION, END_HEADERS, stream, 0, 0);
        }
        expect(&b, more ? "a header block of too many frames" : NULL);
    }
}

/* How much of a block of this size can come in parts of that size, if each is handed on at once. */
static size_t in_parts(size_t block, size_t part)
{
    struct rpc_frames f;
    struct fm_buf b = {0};
    size_t at = 0;
    begin(&b);
    put(&b, HEADERS, 0, 1, block / 2, 0);
    put(&b, CONTINUATION, END_HEADERS, 1, block - block / 2, 0);
    rpc_frames_init(&f, 0);
    for (; at < b.n && f.why == NULL; at += part) {
        (void)rpc_frames_read(&f, b.p + at, b.n - at < part ? b.n - at : part, 0);
        (void)rpc_frames_hand_on(&f);
    }
    if (f.why != NULL)
        assert_string_equal(f.why, "a header block in too many parts");
    else
        at = SIZE_MAX;
    fm_buf_done(&b);
    return at;
}

static void a_header_block_that_comes_in_crumbs_is_bounded_by_the_work(void **state)
{
    (void)state;
    assert_int_equal(in_parts(5000, 1), SIZE_MAX);
    assert_in_range(in_parts(6000, 1), 5700, 5900);
    assert_int_equal(in_parts(16384, 16), SIZE_MAX);
    assert_int_equal(in_parts(RPC_FRAMES_BLOCK_BYTES, 1400), SIZE_MAX);
    assert_in_range(in_parts(RPC_FRAMES_BLOCK_BYTES, 16), 20000, 30000);
}

static void a_header_block_that_is_there_is_not_read_anew(void **state)
{
    struct rpc_frames f;
    struct fm_buf b = {0};
    (void)state;
    begin(&b);
    put(&b, HEADERS, END_HEADERS, 1, RPC_FRAMES_BLOCK_BYTES, 0);
    put(&b, DATA, END_STREAM, 1, 2000, 0);
    rpc_frames_init(&f, 0);
    size_t most = b.n - 2009;
    assert_null(rpc_frames_read(&f, b.p, most, 0));
    for (size_t i = 0; i <= RPC_FRAMES_ANEW_BYTES / RPC_FRAMES_BLOCK_BYTES; i++)
        assert_null(rpc_frames_hand_on(&f));
    for (size_t at = most; at < b.n; at++) { /* of what follows, byte by byte */
        assert_null(rpc_frames_hand_on(&f));
        assert_null(rpc_frames_read(&f, b.p + at, 1, 0));
    }
    fm_buf_done(&b);
}

static void nothing_comes_between_the_frames_of_a_header_block(void **state)
{
    struct fm_buf b = {0};
    (void)state;
    for (uint8_t type = 0; type <= CONTINUATION + 1; type++) {
        begin(&b);
        put(&b, HEADERS, 0, 1, 1, 0);
        put(&b, type, END_HEADERS, type == CONTINUATION ? 3 : 1, 1, 0);
        expect(&b, "another frame within a header block");
    }
    begin(&b);
    put(&b, CONTINUATION, END_HEADERS, 1, 1, 0);
    expect(&b, "a CONTINUATION frame outside of a header block");
    begin(&b);
    put(&b, HEADERS, END_HEADERS, 1, 1, 0);
    put(&b, CONTINUATION, END_HEADERS, 1, 1, 0);
    expect(&b, "a CONTINUATION frame outside of a header block");
}

/* The end of a stream is no frame without effect, but each has only one. */
static void empty_data_ends_each_stream_once(void **state)
{
    struct fm_buf b = {0};
    (void)state;
    for (int64_t more = 0; more < 2; more++)
        for (uint8_t flags = 0; flags <= END_STREAM; flags++) {
            int64_t n = rpc_frames_limits[RPC_FRAMES_EMPTY].burst + (flags == END_STREAM ? 10 : 0) + more;
            begin(&b);
            for (uint32_t i = 0; i < 10; i++)
                put(&b, HEADERS, END_HEADERS, 2 * i + 1, 10, 0);
            for (int64_t i = 0; i < n; i++)
                put(&b, DATA, flags, 1, 0, 0);
            expect(&b, more ? rpc_frames_limits[RPC_FRAMES_EMPTY].why : NULL);
        }
}

static void frames_without_data_or_headers_are_small(void **state)
{
    static const uint8_t types[] = {PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, 77};
    struct fm_buf b = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(types); i++)
        for (size_t more = 0; more < 2; more++) {
            begin(&b);
            put(&b, types[i], 0, 1, RPC_FRAMES_CONTROL_BYTES + more, 1);
            expect(&b, more ? "a control frame that is too large" : NULL);
        }
    begin(&b);
    put(&b, PUSH_PROMISE, 0, 1, 4, 0);
    expect(&b, "a PUSH_PROMISE frame, which only servers send");
}

/* Frames that count for a rate. */
static const struct sample {
    enum rpc_frames_rate rate;
    uint8_t type, flags;
    size_t n;
    uint8_t value;
} samples[] = {
    {RPC_FRAMES_RESETS,   RST_STREAM,    0,   4, 8},
    {RPC_FRAMES_PINGS,    PING,          0,   8, 0},
    {RPC_FRAMES_PINGS,    PING,          ACK, 8, 0},
    {RPC_FRAMES_SETTINGS, SETTINGS,      0,   6, 0},
    {RPC_FRAMES_SETTINGS, SETTINGS,      ACK, 0, 0},
    {RPC_FRAMES_EMPTY,    DATA,          0,   0, 0},
    {RPC_FRAMES_EMPTY,    WINDOW_UPDATE, 0,   4, 0},
    {RPC_FRAMES_WINDOWS,  WINDOW_UPDATE, 0,   4, 1},
    {RPC_FRAMES_OTHERS,   PRIORITY,      0,   5, 0},
    {RPC_FRAMES_OTHERS,   GOAWAY,        0,   8, 0},
    {RPC_FRAMES_OTHERS,   200,           0,   0, 0},
};

/* How many of them pass at this time. */
static int64_t pass(struct rpc_frames *f, const struct sample *s, int64_t now_ms)
{
    struct fm_buf b = {0};
    int64_t n = 0;
    put(&b, s->type, s->flags, 1, s->n, s->value);
    while (rpc_frames_read(f, b.p, b.n, now_ms) == NULL)
        n++;
    assert_string_equal(f->why, rpc_frames_limits[s->rate].why);
    f->why = NULL; /* go on, to see what time brings */
    f->in_payload = false;
    f->have = 0;
    fm_buf_done(&b);
    return n;
}

static void rates_are_bounded_at_once_and_in_the_long_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const struct rpc_frames_limit *l = &rpc_frames_limits[samples[i].rate];
        struct rpc_frames f;
        rpc_frames_init(&f, 5000);
        assert_null(rpc_frames_read(&f, (const uint8_t *)PREFACE, strlen(PREFACE), 5000));
        assert_int_equal(pass(&f, &samples[i], 5000), l->burst);
        assert_int_equal(pass(&f, &samples[i], 5000), 0);
        assert_int_equal(pass(&f, &samples[i], 6000), l->per_s);
        assert_int_equal(pass(&f, &samples[i], 5500), 0); /* a clock never goes back; if it did … */
        assert_int_equal(pass(&f, &samples[i], 6500), l->per_s / 2);
        assert_int_equal(pass(&f, &samples[i], INT64_C(1) << 50), l->burst); /* not more, ever */
    }
}

/* HEADERS for this stream. */
static const char *open_stream(struct rpc_frames *f, uint32_t stream, int64_t now_ms)
{
    struct fm_buf b = {0};
    put(&b, HEADERS, END_HEADERS, stream, 3, 0);
    const char *why = rpc_frames_read(f, b.p, b.n, now_ms);
    fm_buf_done(&b);
    return why;
}

static void start(struct rpc_frames *f, bool acknowledge)
{
    struct fm_buf b = {0};
    rpc_frames_init(f, 0);
    begin(&b);
    if (acknowledge)
        put(&b, SETTINGS, ACK, 0, 0, 0);
    assert_null(rpc_frames_read(f, b.p, b.n, 0));
    fm_buf_done(&b);
}

static void streams_are_bounded_until_settings_are_acknowledged(void **state)
{
    struct rpc_frames f;
    (void)state;
    start(&f, false);
    uint32_t n = 0;
    while (open_stream(&f, 2 * n + 1, 0) == NULL) {
        assert_true(rpc_frames_taken(&f)); /* not even when all become calls */
        n++;
    }
    assert_int_equal(n, RPC_FRAMES_STREAMS);
    assert_string_equal(f.why, "too many streams before the settings are acknowledged");
}

static void streams_that_become_calls_are_not_counted(void **state)
{
    const struct rpc_frames_limit *l = &rpc_frames_limits[RPC_FRAMES_OPENING];
    struct rpc_frames f;
    uint32_t stream = 1;
    (void)state;
    start(&f, true);
    assert_false(rpc_frames_taken(&f)); /* none is there */
    for (int64_t i = 0; i < 3 * l->burst; i++, stream += 2) {
        assert_null(open_stream(&f, stream, 0));
        assert_true(rpc_frames_taken(&f));
        assert_false(rpc_frames_taken(&f));
    }
    assert_null(open_stream(&f, stream, 0));
    stream += 2;
    assert_null(rpc_frames_read(&f, NULL, 0, 60000)); /* time has made up for it, … */
    assert_true(rpc_frames_taken(&f));                /* … so this is no credit */
    for (int64_t i = 0; i < l->burst; i++, stream += 2)
        assert_null(open_stream(&f, stream, 60000));
    assert_string_equal(open_stream(&f, stream, 60000), "too many streams that become no call");
}

static void headers_of_a_stream_that_was_there_are_no_new_stream(void **state)
{
    struct rpc_frames f;
    int64_t n = 0;
    (void)state;
    start(&f, false);
    assert_null(open_stream(&f, 7, 0));
    while (open_stream(&f, n % 2 == 0 ? 7 : 3, 0) == NULL)
        n++;
    assert_int_equal(n, rpc_frames_limits[RPC_FRAMES_OTHERS].burst);
    assert_int_equal(f.opened, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_clients_do_is_fine),
        cmocka_unit_test(something_else_than_http2_is_not),
        cmocka_unit_test(header_blocks_are_bounded_in_bytes),
        cmocka_unit_test(header_blocks_are_bounded_in_frames),
        cmocka_unit_test(a_header_block_that_comes_in_crumbs_is_bounded_by_the_work),
        cmocka_unit_test(a_header_block_that_is_there_is_not_read_anew),
        cmocka_unit_test(nothing_comes_between_the_frames_of_a_header_block),
        cmocka_unit_test(empty_data_ends_each_stream_once),
        cmocka_unit_test(frames_without_data_or_headers_are_small),
        cmocka_unit_test(rates_are_bounded_at_once_and_in_the_long_run),
        cmocka_unit_test(streams_are_bounded_until_settings_are_acknowledged),
        cmocka_unit_test(streams_that_become_calls_are_not_counted),
        cmocka_unit_test(headers_of_a_stream_that_was_there_are_no_new_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
