/* The daemon with a coordinator made by hand: a real server in this process that answers as a test
 * says. The daemon runs in a thread of its own; signals are sent to the process once it is
 * attached. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "daemon.h"
#include "fermata/v1/host_agent.pb.h"
#include "mem.h"
#include "pb_var.h"
#include "registry.h"
#include "rpc.h"

#define WAIT_S 60 /* gives up only when something hangs */
#define HOUR_MS 3600000
#define N_JOBS 200

/* ---- routine types ---- */

static int pass(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_emit(ctx, "out", data);
    return 0;
}

static int emit_later(struct fm_ctx *ctx, void *arg)
{
    (void)arg;
    fm_ctx_emit(ctx, "out", NULL);
    return 0;
}

static int wait_a_little(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    fm_ctx_call_after(ctx, 20, emit_later, NULL);
    return 0;
}

static int again(struct fm_ctx *ctx, void *arg)
{
    fm_ctx_call_after(ctx, 0, again, arg);
    return 0;
}

static int never_ready(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    return again(ctx, NULL);
}

static const struct fm_slot slots[] = {
    {"pass", pass         },
    {"wait", wait_a_little},
    {"spin", never_ready  },
};
static const char *const events[] = {"out"};
static const struct fm_routine_type test_type = {.abi = FM_ROUTINE_ABI,
                                                 .name = "test",
                                                 .version = 3,
                                                 .slots = slots,
                                                 .n_slots = 3,
                                                 .events = events,
                                                 .n_events = 1};

/* ---- the coordinator ---- */

enum answer { WELCOME, REFUSE_ONCE, BE_SILENT_AFTER_GOODBYE };

struct fake {
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_method methods[1];
    pthread_t thread;
    enum answer answer;
    struct rpc_call *call; /* loop's thread only */
    bool goodbye;          /* loop's thread only */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    int port, hellos, goodbyes, steps;
    size_t step_bytes;
    char host_id[64], incarnation[64], first_incarnation[64];
    uint32_t capacity;
    size_t n_labels, n_types;
};

static struct fake *the_fake;

static void send_body(struct rpc_call *call, uint32_t field, const struct fm_buf *body)
{
    struct fm_buf b = {0};
    fm_buf_put_len_delim(&b, field, body->p, body->n);
    (void)rpc_call_send(call, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

static void copy_text(char *to, size_t size, struct pb_var v)
{
    snprintf(to, size, "%.*s", (int)v.n, (const char *)v.p);
}

static void on_hello(struct fake *f, struct rpc_call *call, const fermata_v1_Hello *h)
{
    pthread_mutex_lock(&f->lock);
    bool first = f->hellos++ == 0;
    copy_text(f->host_id, sizeof(f->host_id), h->host_id);
    copy_text(f->incarnation, sizeof(f->incarnation), h->incarnation);
    if (first)
        copy_text(f->first_incarnation, sizeof(f->first_incarnation), h->incarnation);
    f->capacity = h->capacity;
    f->n_labels = h->labels.n;
    f->n_types = h->routine_types.n;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->answer == REFUSE_ONCE && first) {
        struct fm_err err = {0};
        fm_err_set(&err, FM_ALREADY_EXISTS, "hello.host_id", "a host with this id is attached");
        rpc_call_finish(call, &err, (struct fm_bytes){0});
        return;
    }
    struct fm_buf welcome = {0};
    fm_buf_put_tag_varint(&welcome, 1, 60000);
    fm_buf_put_tag_varint(&welcome, 2, 20000);
    send_body(call, 3, &welcome);
    fm_buf_done(&welcome);
}

/* Every step of these jobs is their last. */
static void on_steps(struct fake *f, struct rpc_call *call, const fermata_v1_StepBatch *batch,
                     struct fm_arena *arena)
{
    struct fm_buf acks = {0};
    for (size_t i = 0; i < batch->steps.n; i++) {
        fermata_v1_JobStep js;
        struct fm_err err = {0};
        memset(&js, 0, sizeof(js));
        if (pb_var_decode(fermata_v1_JobStep_fields, &js, batch->steps.items[i], arena, &err) < 0)
            fm_abort(err.msg);
        struct fm_buf ack = {0};
        fm_buf_put_len_delim(&ack, 1, js.job_id.p, js.job_id.n);
        fm_buf_put_tag_varint(&ack, 2, 1);
        fm_buf_put_tag_varint(&ack, 3, 1);
        fm_buf_put_tag_varint(&ack, 4, 1);
        fm_buf_put_len_delim(&acks, 1, ack.p, ack.n);
        fm_buf_done(&ack);
        pthread_mutex_lock(&f->lock);
        f->steps++;
        f->step_bytes = js.step.n;
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->lock);
    }
    send_body(call, 5, &acks);
    fm_buf_done(&acks);
}

static void on_goodbye(struct fake *f, struct rpc_call *call)
{
    f->goodbye = true;
    pthread_mutex_lock(&f->lock);
    f->goodbyes++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->answer != BE_SILENT_AFTER_GOODBYE)
        rpc_call_finish(call, NULL, (struct fm_bytes){0});
}

static void on_message(struct rpc_call *call, void *user, struct fm_bytes message)
{
    struct fake *f = user;
    struct fm_arena arena;
    struct fm_err err = {0};
    fermata_v1_HostMessage m;
    memset(&m, 0, sizeof(m));
    fm_arena_init(&arena, 1u << 20);
    if (pb_var_decode(fermata_v1_HostMessage_fields, &m, message, &arena, &err) < 0)
        fm_abort(err.msg);
    if (m.which_body == fermata_v1_HostMessage_hello_tag)
        on_hello(f, call, &m.body.hello);
    else if (m.which_body == fermata_v1_HostMessage_steps_tag)
        on_steps(f, call, &m.body.steps, &arena);
    else if (m.which_body == fermata_v1_HostMessage_goodbye_tag)
        on_goodbye(f, call);
    fm_arena_done(&arena);
}

static void on_half_close(struct rpc_call *call, void *user)
{
    struct fake *f = user;
    if (f->answer != BE_SILENT_AFTER_GOODBYE && !f->goodbye)
        rpc_call_finish(call, NULL, (struct fm_bytes){0});
}

static void on_close(struct rpc_call *call, void *user)
{
    struct fake *f = user;
    if (f->call == call)
        f->call = NULL;
}

static void attach(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events call_events = {
        .on_message = on_message, .on_half_close = on_half_close, .on_close = on_close};
    (void)method;
    (void)message;
    the_fake->call = call;
    rpc_call_events(call, &call_events, the_fake, 0);
}

static void *loop_main(void *arg)
{
    rpc_loop_run(((struct fake *)arg)->loop);
    return NULL;
}

/* port 0: any. */
static void fake_start(struct fake *f, int port, enum answer answer)
{
    struct fm_err err = {0};
    char address[32];
    memset(f, 0, sizeof(*f));
    the_fake = f;
    f->answer = answer;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->loop = rpc_loop_new();
    struct rpc_server_config cfg = {.max_message_bytes = 64u << 20};
    f->server = rpc_server_new(f->loop, &cfg);
    f->methods[0] = (struct rpc_method){"/fermata.v1.HostAgent/Attach", RPC_BIDI, attach, NULL, 0};
    rpc_server_add(f->server, f->methods, 1, NULL);
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    if (rpc_server_listen(f->server, address, &f->port, &err) < 0)
        fail_msg("%s", err.msg);
    rpc_server_start(f->server);
    assert_int_equal(pthread_create(&f->thread, NULL, loop_main, f), 0);
}

static void on_down(void *arg)
{
    rpc_loop_stop(((struct fake *)arg)->loop);
}

static void begin_stop(void *arg)
{
    struct fake *f = arg;
    rpc_server_shutdown(f->server, 0, on_down, f);
}

static void fake_stop(struct fake *f)
{
    assert_true(rpc_loop_post(f->loop, begin_stop, f));
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    rpc_server_free(f->server);
    rpc_loop_free(f->loop);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}

static void wait_for(struct fake *f, const int *count, int at_least)
{
    struct timespec until;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&f->lock);
    while (*count < at_least)
        if (pthread_cond_timedwait(&f->changed, &f->lock, &until) == ETIMEDOUT)
            fm_abort("a test waited in vain");
    pthread_mutex_unlock(&f->lock);
}

/* ---- what the coordinator says of its own accord; on its loop's thread ---- */

static void break_stream(void *arg)
{
    struct fake *f = arg;
    struct fm_err err = {0};
    fm_err_set(&err, FM_UNAVAILABLE, NULL, "restarting");
    if (f->call != NULL)
        rpc_call_finish(f->call, &err, (struct fm_bytes){0});
}

static void send_garbage(void *arg)
{
    static const uint8_t garbage[] = {0x22, 0xff, 0xff, 0xff, 0x7f};
    struct fake *f = arg;
    if (f->call != NULL)
        (void)rpc_call_send(f->call, (struct fm_bytes){garbage, sizeof(garbage)});
}

struct assignment {
    struct fake *f;
    const char *slot;
    size_t text_bytes;
    int n_jobs;
};

/* A Struct {"text": "xxx…"}. */
static void put_data(struct fm_buf *task, size_t text_bytes)
{
    struct fm_buf value = {0}, entry = {0}, data = {0};
    char *text = fm_xmalloc(text_bytes + 1);
    memset(text, 'x', text_bytes);
    fm_buf_put_len_delim(&value, 3, text, text_bytes);
    fm_buf_put_string(&entry, 1, "text");
    fm_buf_put_len_delim(&entry, 2, value.p, value.n);
    fm_buf_put_len_delim(&data, 1, entry.p, entry.n);
    fm_buf_put_len_delim(task, 4, data.p, data.n);
    fm_buf_done(&value);
    fm_buf_done(&entry);
    fm_buf_done(&data);
    free(text);
}

static void assign(void *arg)
{
    const struct assignment *a = arg;
    struct fm_buf routine = {0}, flow = {0}, task = {0};
    fm_buf_put_string(&routine, 1, "r");
    fm_buf_put_string(&routine, 2, "test");
    fm_buf_put_len_delim(&flow, 4, routine.p, routine.n);
    fm_buf_put_string(&task, 1, "i1");
    fm_buf_put_string(&task, 2, "r");
    fm_buf_put_string(&task, 3, a->slot);
    put_data(&task, a->text_bytes);
    fm_buf_put_tag_varint(&task, 7, 1);
    for (int i = 0; i < a->n_jobs; i++) {
        char id[40];
        struct fm_buf body = {0};
        snprintf(id, sizeof(id), "01M88XJZ0MWFZ5AA601T6%05d", i);
        fm_buf_put_string(&body, 1, id);
        fm_buf_put_tag_varint(&body, 2, 1);
        fm_buf_put_len_delim(&body, 3, flow.p, flow.n);
        fm_buf_put_len_delim(&body, 5, task.p, task.n);
        send_body(a->f->call, 4, &body);
        fm_buf_done(&body);
    }
    fm_buf_done(&routine);
    fm_buf_done(&flow);
    fm_buf_done(&task);
}

/* ---- the agent ---- */

struct host {
    struct registry *registry;
    struct daemon_config cfg;
    char target[32];
    pthread_t thread;
    int code;
};

static void *host_main(void *arg)
{
    struct host *h = arg;
    h->code = daemon_run(&h->cfg);
    return NULL;
}

static void host_start(struct host *h, int port, int64_t drain_timeout_ms)
{
    static const struct engine_label labels[] = {
        {"zone", "a"   },
        {"disk", "fast"}
    };
    struct fm_err err = {0};
    memset(h, 0, sizeof(*h));
    h->registry = registry_new();
    assert_int_equal(registry_add(h->registry, &test_type, &err), 0);
    snprintf(h->target, sizeof(h->target), "127.0.0.1:%d", port);
    h->cfg = (struct daemon_config){
        .target = h->target,
        .drain_timeout_ms = drain_timeout_ms,
        .engine = {.host_id = "h1",
                   .incarnation = "01M88XJZ0MWFZ5AA601T6G1Y5N",
                   .version = "1",
                   .labels = labels,
                   .n_labels = 2,
                   .capacity = 1000,
                   .registry = h->registry}
    };
    assert_int_equal(pthread_create(&h->thread, NULL, host_main, h), 0);
}

static int host_wait(struct host *h)
{
    assert_int_equal(pthread_join(h->thread, NULL), 0);
    registry_free(h->registry);
    return h->code;
}

static int host_stop(struct host *h)
{
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    return host_wait(h);
}

/* ---- tests ---- */

static void a_host_says_who_it_is_and_says_goodbye_when_it_is_stopped(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, WELCOME);
    host_start(&h, f.port, HOUR_MS);
    wait_for(&f, &f.hellos, 1);
    assert_int_equal(host_stop(&h), 0);
    wait_for(&f, &f.goodbyes, 1);
    assert_string_equal(f.host_id, "h1");
    assert_string_equal(f.incarnation, "01M88XJZ0MWFZ5AA601T6G1Y5N");
    assert_int_equal(f.capacity, 1000);
    assert_int_equal(f.n_labels, 2);
    assert_int_equal(f.n_types, 1);
    fake_stop(&f);
}

static void a_host_that_starts_before_its_coordinator_attaches_when_it_is_there(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, WELCOME);
    int port = f.port;
    fake_stop(&f);
    host_start(&h, port, HOUR_MS);
    fake_start(&f, port, WELCOME);
    wait_for(&f, &f.hellos, 1);
    assert_int_equal(host_stop(&h), 0);
    fake_stop(&f);
}

static void a_host_attaches_again_when_its_stream_ends(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, WELCOME);
    host_start(&h, f.port, HOUR_MS);
    for (int i = 1; i <= 3; i++) {
        wait_for(&f, &f.hellos, i);
        assert_true(rpc_loop_post(f.loop, break_stream, &f));
    }
    wait_for(&f, &f.hellos, 4);
    assert_string_equal(f.incarnation, f.first_incarnation);
    assert_int_equal(host_stop(&h), 0);
    fake_stop(&f);
}

static void garbage_on_the_stream_ends_it_and_the_host_attaches_again(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, WELCOME);
    host_start(&h, f.port, HOUR_MS);
    wait_for(&f, &f.hellos, 1);
    assert_true(rpc_loop_post(f.loop, send_garbage, &f));
    wait_for(&f, &f.hellos, 2);
    assert_int_equal(host_stop(&h), 0);
    fake_stop(&f);
}

static void a_refused_host_tries_again(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, REFUSE_ONCE);
    host_start(&h, f.port, HOUR_MS);
    wait_for(&f, &f.hellos, 2);
    assert_int_equal(host_stop(&h), 0);
    fake_stop(&f);
}

static void a_host_without_jobs_stops_at_once_while_its_coordinator_is_away(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, WELCOME);
    host_start(&h, f.port, HOUR_MS);
    wait_for(&f, &f.hellos, 1);
    fake_stop(&f);
    assert_int_equal(host_stop(&h), 0);
}

static void a_coordinator_that_does_not_end_the_stream_keeps_no_host_from_stopping(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, BE_SILENT_AFTER_GOODBYE);
    host_start(&h, f.port, 100);
    wait_for(&f, &f.hellos, 1);
    assert_int_equal(host_stop(&h), 0);
    fake_stop(&f);
}

/* Gives the host jobs, waits for a step of each and stops it. */
static size_t run_jobs(const char *slot, size_t text_bytes, int n)
{
    struct fake f;
    struct host h;
    fake_start(&f, 0, WELCOME);
    host_start(&h, f.port, HOUR_MS);
    wait_for(&f, &f.hellos, 1);
    struct assignment a = {&f, slot, text_bytes, n};
    assert_true(rpc_loop_post(f.loop, assign, &a));
    wait_for(&f, &f.steps, n);
    assert_int_equal(host_stop(&h), 0);
    size_t bytes = f.step_bytes;
    fake_stop(&f);
    return bytes;
}

static void every_message_of_a_burst_is_handled(void **state)
{
    (void)state;
    (void)run_jobs("pass", 10, N_JOBS);
}

static void a_large_message_passes_both_ways(void **state)
{
    (void)state;
    assert_true(run_jobs("pass", 2000000, 1) > 2000000);
}

static void handlers_are_called_back_when_their_time_has_come(void **state)
{
    (void)state;
    (void)run_jobs("wait", 10, 3);
}

static void callbacks_without_end_keep_no_signal_and_no_message_from_the_loop(void **state)
{
    (void)state;
    struct fake f;
    struct host h;
    fake_start(&f, 0, WELCOME);
    host_start(&h, f.port, 200);
    wait_for(&f, &f.hellos, 1);
    struct assignment spin = {&f, "spin", 10, 1};
    assert_true(rpc_loop_post(f.loop, assign, &spin));
    struct assignment other = {&f, "pass", 10, 2}; /* the first of them is the same assignment again */
    assert_true(rpc_loop_post(f.loop, assign, &other));
    wait_for(&f, &f.steps, 1);
    assert_int_equal(host_stop(&h), 1); /* the job that never ends its step is left behind */
    fake_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_says_who_it_is_and_says_goodbye_when_it_is_stopped),
        cmocka_unit_test(a_host_that_starts_before_its_coordinator_attaches_when_it_is_there),
        cmocka_unit_test(a_host_attaches_again_when_its_stream_ends),
        cmocka_unit_test(garbage_on_the_stream_ends_it_and_the_host_attaches_again),
        cmocka_unit_test(a_refused_host_tries_again),
        cmocka_unit_test(a_host_without_jobs_stops_at_once_while_its_coordinator_is_away),
        cmocka_unit_test(a_coordinator_that_does_not_end_the_stream_keeps_no_host_from_stopping),
        cmocka_unit_test(every_message_of_a_burst_is_handled),
        cmocka_unit_test(a_large_message_passes_both_ways),
        cmocka_unit_test(handlers_are_called_back_when_their_time_has_come),
        cmocka_unit_test(callbacks_without_end_keep_no_signal_and_no_message_from_the_loop),
    };
    rpc_global_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rpc_global_shutdown();
    return failed;
}
