/* An engine whose outputs go nowhere. See engine_under_fuzz.h. */
#include "engine_under_fuzz.h"

#include <stdlib.h>

#include "builtin.h"

struct under under;

static void io_send(void *arg, struct fm_bytes m)
{
    (void)arg;
    (void)m;
}

static void io_close(void *arg, const char *why)
{
    (void)arg;
    (void)why;
    under.closed = true;
}

static void io_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    (void)arg;
    (void)ms;
    under.timer = id;
}

static void io_cancel_timer(void *arg, uint64_t id)
{
    (void)arg;
    if (under.timer == id)
        under.timer = 0;
}

static void io_start_call(void *arg, uint64_t id, enum engine_call_kind kind, const void *request)
{
    (void)arg;
    (void)kind;
    (void)request;
    under.call = id;
}

static void io_cancel_call(void *arg, uint64_t id, enum engine_call_kind kind)
{
    (void)arg;
    (void)kind;
    if (under.call == id)
        under.call = 0;
}

static void io_nothing(void *arg)
{
    (void)arg;
}

void under_begin(void)
{
    struct fm_err err = {0};
    static const struct engine_io io = {.send = io_send,
                                        .close = io_close,
                                        .start_timer = io_start_timer,
                                        .cancel_timer = io_cancel_timer,
                                        .start_call = io_start_call,
                                        .cancel_call = io_cancel_call,
                                        .attached = io_nothing,
                                        .drained = io_nothing};
    if (under.registry == NULL) {
        under.registry = registry_new();
        if (registry_add_builtin(under.registry, &err) < 0)
            abort();
    }
    const struct engine_config cfg = {.host_id = "h",
                                      .incarnation = "01M88XJZ0MWFZ5AA601T6G1Y5N",
                                      .version = "0",
                                      .capacity = 8,
                                      .registry = under.registry,
                                      .seed = 1};
    under.e = engine_new(&cfg, &io);
    under.call = under.timer = under.seq = 0;
    under.now = 1000;
    under.closed = false;
    engine_connected(under.e, under.now);
}

void under_end(void)
{
    if (under.closed)
        engine_disconnected(under.e, under.now);
    engine_free(under.e);
}

void under_message(uint32_t field, struct fm_bytes body)
{
    struct fm_buf m = {0};
    fm_buf_put_tag_varint(&m, 1, ++under.seq);
    fm_buf_put_len_delim(&m, field, body.p, body.n);
    engine_message(under.e, (struct fm_bytes){m.p, m.n}, under.now);
    fm_buf_done(&m);
}

void under_welcome(void)
{
    struct fm_buf b = {0};
    fm_buf_put_tag_varint(&b, 1, 10000);
    fm_buf_put_tag_varint(&b, 2, 2000);
    fm_buf_put_tag_varint(&b, 4, 4000000);
    under_message(3, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}
