/* The host's engine, driven by hand-made messages of a coordinator, with routine types made for the
 * tests. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "arena.h"
#include "engine.h"
#include "fermata/v1/host_agent.pb.h"
#include "mem.h"
#include "pb_var.h"
#include "registry.h"

#define JOB "01M88XJZ0MWFZ5AA601T6G1Y5N"

/* ---- routine types ---- */

static int runs; /* handlers of effects started */

static int pass(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_emit(ctx, "out", data);
    return 0;
}

static int count(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    fm_ctx_state_set(ctx, "n", fm_number(ctx, fm_value_number(fm_ctx_state_get(ctx, "n"), 0) + 1));
    fm_ctx_state_append(ctx, "list", fm_number(ctx, 1));
    return 0;
}

static int act(struct fm_ctx *ctx, const struct fm_value *data)
{
    runs++;
    fm_ctx_emit(ctx, "out", data);
    return 0;
}

static int ask(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_defer(ctx, "out", data);
    (void)fm_ctx_pause(ctx, "why?", "ask", NULL, NULL);
    return 0;
}

static int break_down(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)count(ctx, data);
    fm_ctx_emit(ctx, "out", NULL);
    return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "no %s", "luck");
}

static int later(struct fm_ctx *ctx, void *arg)
{
    (void)arg;
    fm_ctx_emit(ctx, "out", NULL);
    return 0;
}

static int wait(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    fm_ctx_call_after(ctx, 100, later, NULL);
    return 0;
}

static int loop(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    double n = fm_value_number(fm_ctx_state_get(ctx, "n"), 0);
    fm_ctx_state_set(ctx, "n", fm_number(ctx, n + 1));
    if (n < 299)
        fm_ctx_enqueue(ctx, "loop", NULL);
    return 0;
}

static int large(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    char *s = fm_ctx_alloc(ctx, 5000001);
    memset(s, 'x', 5000000);
    fm_ctx_state_set(ctx, "s", fm_string(ctx, s));
    return 0;
}

static int deep(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    struct fm_value *v = fm_list(ctx);
    for (int i = 0; i < 60; i++) {
        struct fm_value *outer = fm_list(ctx);
        fm_list_add(ctx, outer, v);
        v = outer;
    }
    fm_ctx_state_set(ctx, "v", v);
    return 0;
}

/* More than a step may use, at once. */
static int hog(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    runs++;
    (void)fm_ctx_alloc(ctx, 257u * 1024 * 1024);
    return 0;
}

static const struct fm_slot pure_slots[] = {
    {"pass",  pass      },
    {"count", count     },
    {"ask",   ask       },
    {"fail",  break_down},
    {"wait",  wait      },
    {"loop",  loop      },
    {"large", large     },
    {"deep",  deep      },
    {"hog",   hog       }
};
static const struct fm_slot act_slots[] = {
    {"act", act}
};
static const char *const events[] = {"out"};
static const struct fm_routine_type pure = {.abi = FM_ROUTINE_ABI,
                                            .name = "pure",
                                            .version = 1,
                                            .slots = pure_slots,
                                            .n_slots = 9,
                                            .events = events,
                                            .n_events = 1};
static const struct fm_routine_type effect = {.abi = FM_ROUTINE_ABI,
                                              .name = "effect",
                                              .version = 1,
                                              .flags = FM_EFFECTS,
                                              .slots = act_slots,
                                              .n_slots = 1,
                                              .events = events,
                                              .n_events = 1};

/* ---- the other side ---- */

struct sent {
    struct fm_buf bytes;
    fermata_v1_HostMessage m;
};

static struct fixture {
    struct engine *e;
    struct registry *registry;
    struct sent sent[64];
    size_t n_sent;
    struct fm_arena arena;
    uint64_t seq, timer;
    uint32_t attempts; /* that routines have, if not 0 */
    int64_t now;
    bool closed, attached, drained;
    char why[256];
} fx;

static void io_send(void *arg, struct fm_bytes b)
{
    (void)arg;
    assert_true(fx.n_sent < 64);
    struct sent *s = &fx.sent[fx.n_sent++];
    struct fm_err err = {0};
    memset(s, 0, sizeof(*s));
    fm_buf_append(&s->bytes, b.p, b.n);
    assert_int_equal(pb_var_decode(fermata_v1_HostMessage_fields, &s->m,
                                   (struct fm_bytes){s->bytes.p, s->bytes.n}, &fx.arena, &err),
                     0);
}

static void io_close(void *arg, const char *why)
{
    (void)arg;
    fx.closed = true;
    snprintf(fx.why, sizeof(fx.why), "%s", why);
}

static void io_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    (void)arg;
    (void)ms;
    fx.timer = id;
}

static void io_cancel_timer(void *arg, uint64_t id)
{
    (void)arg;
    if (fx.timer == id)
        fx.timer = 0;
}

static void io_attached(void *arg)
{
    (void)arg;
    fx.attached = true;
}

static void io_drained(void *arg)
{
    (void)arg;
    fx.drained = true;
}

static void forget(void)
{
    for (size_t i = 0; i < fx.n_sent; i++)
        fm_buf_done(&fx.sent[i].bytes);
    fx.n_sent = 0;
}

/* Sends a message with this body (a field of CoordinatorMessage). */
static void say(uint32_t field, const pb_msgdesc_t *desc, const void *body)
{
    struct fm_buf b = {0}, m = {0};
    struct fm_err err = {0};
    assert_int_equal(pb_var_encode(desc, body, &b, &err), 0);
    fm_buf_put_tag_varint(&m, 1, ++fx.seq);
    fm_buf_put_len_delim(&m, field, b.p, b.n);
    engine_message(fx.e, (struct fm_bytes){m.p, m.n}, fx.now);
    fm_buf_done(&b);
    fm_buf_done(&m);
}

static void welcome(void)
{
    fermata_v1_Welcome w;
    memset(&w, 0, sizeof(w));
    w.lease_ms = 10000;
    w.heartbeat_ms = 2000;
    w.max_step_bytes = 4000000;
    say(fermata_v1_CoordinatorMessage_welcome_tag, fermata_v1_Welcome_fields, &w);
}

static void connect_engine(void)
{
    fx.seq = 0;
    engine_connected(fx.e, fx.now);
}

static void put_routine(struct fm_buf *flow, const char *id, const char *type)
{
    struct fm_buf r = {0}, retry = {0}, policy = {0};
    fm_buf_put_string(&r, 1, id);
    fm_buf_put_string(&r, 2, type);
    if (fx.attempts > 0) {
        fm_buf_put_tag_varint(&retry, 1, fx.attempts);
        fm_buf_put_len_delim(&policy, 1, retry.p, retry.n);
        fm_buf_put_len_delim(&r, 4, policy.p, policy.n);
    }
    fm_buf_put_len_delim(flow, 4, r.p, r.n);
    fm_buf_done(&r);
    fm_buf_done(&retry);
    fm_buf_done(&policy);
}

static void put_connection(struct fm_buf *flow, const char *from, const char *to, const char *slot)
{
    struct fm_buf c = {0}, a = {0}, b = {0};
    fm_buf_put_string(&a, 1, from);
    fm_buf_put_string(&a, 2, "out");
    fm_buf_put_string(&b, 1, to);
    fm_buf_put_string(&b, 2, slot);
    fm_buf_put_len_delim(&c, 1, a.p, a.n);
    fm_buf_put_len_delim(&c, 2, b.p, b.n);
    fm_buf_put_len_delim(flow, 5, c.p, c.n);
    fm_buf_done(&a);
    fm_buf_done(&b);
    fm_buf_done(&c);
}

static void put_input(struct fm_buf *out, uint32_t field, uint32_t number, const char *slot)
{
    struct fm_buf t = {0};
    char id[16];
    snprintf(id, sizeof(id), "i%u", number);
    fm_buf_put_string(&t, 1, id);
    fm_buf_put_string(&t, 2, "p");
    fm_buf_put_string(&t, 3, slot);
    fm_buf_put_tag_varint(&t, 7, number);
    fm_buf_put_len_delim(out, field, t.p, t.n);
    fm_buf_done(&t);
}

/* Assigns the job: routine p of type pure, connected to `to` of type effect if wanted; its inputs
 * go to these slots of p. */
static void assign_job(const char *job, uint32_t epoch, bool connected, const char *slot1, const char *slot2)
{
    struct fm_buf flow = {0}, body = {0}, m = {0};
    put_routine(&flow, "p", "pure");
    put_routine(&flow, "e", "effect");
    if (connected)
        put_connection(&flow, "p", "e", "act");
    fm_buf_put_string(&body, 1, job);
    fm_buf_put_tag_varint(&body, 2, epoch);
    fm_buf_put_len_delim(&body, 3, flow.p, flow.n);
    fm_buf_put_len_delim(&body, 4, "", 0);
    put_input(&body, 5, 1, slot1);
    if (slot2 != NULL)
        put_input(&body, 5, 2, slot2);
    fm_buf_put_tag_varint(&m, 1, ++fx.seq);
    fm_buf_put_len_delim(&m, fermata_v1_CoordinatorMessage_assign_tag, body.p, body.n);
    engine_message(fx.e, (struct fm_bytes){m.p, m.n}, fx.now);
    fm_buf_done(&flow);
    fm_buf_done(&body);
    fm_buf_done(&m);
}

static void assign(uint32_t epoch, bool connected, const char *slot1, const char *slot2)
{
    assign_job(JOB, epoch, connected, slot1, slot2);
}

static void ack(uint32_t epoch, uint32_t number, bool released)
{
    fermata_v1_StepAck a;
    struct fm_buf b = {0};
    struct fm_err err = {0};
    memset(&a, 0, sizeof(a));
    a.job_id = pb_var_str(JOB);
    a.epoch = epoch;
    a.number = number;
    a.released = released;
    assert_int_equal(pb_var_encode(fermata_v1_StepAck_fields, &a, &b, &err), 0);
    struct fm_bytes item = {b.p, b.n};
    fermata_v1_StepAckBatch batch;
    memset(&batch, 0, sizeof(batch));
    batch.acks = pb_var_list(&item, 1);
    say(fermata_v1_CoordinatorMessage_step_acks_tag, fermata_v1_StepAckBatch_fields, &batch);
    fm_buf_done(&b);
}

static void interrupt(int kind, uint32_t grace)
{
    fermata_v1_Interrupt i;
    memset(&i, 0, sizeof(i));
    i.job_id = pb_var_str(JOB);
    i.epoch = 1;
    i.kind = (fermata_v1_InterruptKind)kind;
    i.grace_ms = grace;
    say(fermata_v1_CoordinatorMessage_interrupt_tag, fermata_v1_Interrupt_fields, &i);
}

/* All steps sent since the last forget, in order. */
static size_t steps(fermata_v1_Step *out, size_t max)
{
    size_t n = 0;
    struct fm_err err = {0};
    for (size_t i = 0; i < fx.n_sent; i++) {
        if (fx.sent[i].m.which_body != fermata_v1_HostMessage_steps_tag)
            continue;
        const struct pb_var *list = &fx.sent[i].m.body.steps.steps;
        for (size_t k = 0; k < list->n && n < max; k++) {
            fermata_v1_JobStep js;
            memset(&js, 0, sizeof(js));
            memset(&out[n], 0, sizeof(out[n]));
            assert_int_equal(pb_var_decode(fermata_v1_JobStep_fields, &js, list->items[k], &fx.arena, &err),
                             0);
            assert_true(pb_var_eq(js.job_id, JOB));
            assert_int_equal(pb_var_decode(fermata_v1_Step_fields, &out[n++],
                                           (struct fm_bytes){js.step.p, js.step.n}, &fx.arena, &err),
                             0);
        }
    }
    return n;
}

static const fermata_v1_Release *release(void)
{
    for (size_t i = 0; i < fx.n_sent; i++)
        if (fx.sent[i].m.which_body == fermata_v1_HostMessage_release_tag)
            return &fx.sent[i].m.body.release;
    return NULL;
}

static int setup(void **state)
{
    (void)state;
    struct fm_err err = {0};
    memset(&fx, 0, sizeof(fx));
    runs = 0;
    fx.now = 1000;
    fm_arena_init(&fx.arena, 64u << 20);
    fx.registry = registry_new();
    assert_int_equal(registry_add(fx.registry, &pure, &err), 0);
    assert_int_equal(registry_add(fx.registry, &effect, &err), 0);
    struct engine_config cfg = {
        .host_id = "h", .incarnation = "one", .version = "t", .capacity = 2, .registry = fx.registry};
    struct engine_io io = {.send = io_send,
                           .close = io_close,
                           .start_timer = io_start_timer,
                           .cancel_timer = io_cancel_timer,
                           .attached = io_attached,
                           .drained = io_drained,
                           .now_us = NULL};
    fx.e = engine_new(&cfg, &io);
    connect_engine();
    welcome();
    assert_true(fx.attached);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_free(fx.e);
    registry_free(fx.registry);
    forget();
    fm_arena_done(&fx.arena);
    return 0;
}

/* ---- tests ---- */

static void hello_comes_first_and_names_the_types(void **state)
{
    (void)state;
    assert_int_equal(fx.sent[0].m.which_body, fermata_v1_HostMessage_hello_tag);
    assert_int_equal(fx.sent[0].m.seq, 1);
    assert_true(pb_var_eq(fx.sent[0].m.body.hello.host_id, "h"));
    assert_int_equal(fx.sent[0].m.body.hello.protocol_version, 1);
    assert_int_equal(fx.sent[0].m.body.hello.routine_types.n, 2);
}

static void a_task_becomes_a_step_and_the_last_one_completes(void **state)
{
    (void)state;
    assign(1, false, "count", "count");
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 2);
    assert_int_equal(s[0].number, 1);
    assert_true(pb_var_eq(s[0].task_id, "i1"));
    assert_int_equal(s[0].inputs_through, 2);
    assert_int_equal(s[0].changes.n, 2);
    assert_int_equal(s[0].outcome, fermata_v1_StepOutcome_STEP_OUTCOME_CONTINUE);
    assert_int_equal(s[1].number, 2);
    assert_int_equal(s[1].outcome, fermata_v1_StepOutcome_STEP_OUTCOME_COMPLETE);
    assert_int_equal(engine_job_count(fx.e), 1);
    ack(1, 2, true);
    assert_int_equal(engine_job_count(fx.e), 0);
}

static void an_effect_waits_until_all_earlier_steps_are_on_disk(void **state)
{
    (void)state;
    assign(1, true, "pass", "pass");
    fermata_v1_Step s[8];
    assert_int_equal(steps(s, 8), 2); /* both pure steps ran ahead; the effect did not start */
    assert_int_equal(runs, 0);
    ack(1, 1, false);
    assert_int_equal(runs, 0);
    ack(1, 2, false);
    assert_int_equal(runs, 1);
    assert_int_equal(steps(s, 8), 3);
    assert_true(pb_var_eq(s[2].task_id, "s1.0"));
    ack(1, 3, false);
    assert_int_equal(runs, 2);
}

static void a_refused_step_takes_back_all_that_ran_ahead(void **state)
{
    (void)state;
    assign(1, true, "pass", "pass");
    fermata_v1_StepReject r;
    memset(&r, 0, sizeof(r));
    r.job_id = pb_var_str(JOB);
    r.epoch = 1;
    r.number = 1;
    say(fermata_v1_CoordinatorMessage_step_reject_tag, fermata_v1_StepReject_fields, &r);
    assert_int_equal(engine_job_count(fx.e), 0);
    assert_int_equal(runs, 0);
}

static void a_question_stops_the_job_and_other_tasks_stay(void **state)
{
    (void)state;
    assign(1, false, "ask", "count");
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 1);
    assert_int_equal(s[0].outcome, fermata_v1_StepOutcome_STEP_OUTCOME_PAUSE);
    assert_int_equal(s[0].pauses.n, 1);
    assert_int_equal(s[0].deferred_events.n, 1);
    assert_int_equal(s[0].emissions.n, 0);
    ack(1, 1, true);
    assert_int_equal(engine_job_count(fx.e), 0);
}

static void a_failed_handler_leaves_only_its_error(void **state)
{
    (void)state;
    assign(1, true, "fail", "count");
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 1);
    assert_int_equal(s[0].outcome, fermata_v1_StepOutcome_STEP_OUTCOME_FAIL);
    assert_int_equal(s[0].changes.n + s[0].new_tasks.n + s[0].emissions.n, 0);
    assert_true(pb_var_eq(s[0].error.code, "INVALID_ARGUMENT"));
    assert_true(pb_var_eq(s[0].error.message, "no luck"));
}

static void a_step_that_is_too_large_fails_with_size_and_limit(void **state)
{
    (void)state;
    assign(1, false, "large", NULL);
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 1);
    assert_int_equal(s[0].outcome, fermata_v1_StepOutcome_STEP_OUTCOME_FAIL);
    assert_true(pb_var_eq(s[0].error.code, "RESOURCE_EXHAUSTED"));
    assert_int_equal(s[0].changes.n, 0);
}

static void what_needs_too_much_memory_or_space_is_not_tried_again(void **state)
{
    (void)state;
    static const char *const slots[] = {"large", "hog"};
    fx.attempts = 5;
    for (uint32_t i = 0; i < 2; i++) {
        fermata_v1_Step s[4];
        forget();
        assign(i + 1, false, slots[i], NULL);
        assert_int_equal(steps(s, 4), 1);
        assert_int_equal(s[0].outcome, fermata_v1_StepOutcome_STEP_OUTCOME_FAIL);
        assert_true(pb_var_eq(s[0].error.code, "RESOURCE_EXHAUSTED"));
    }
    assert_int_equal(runs, 1);
}

static void a_value_that_is_nested_too_deeply_fails_its_step(void **state)
{
    (void)state;
    assign(1, false, "deep", NULL);
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 1);
    assert_int_equal(s[0].outcome, fermata_v1_StepOutcome_STEP_OUTCOME_FAIL);
    assert_true(pb_var_eq(s[0].error.code, "INVALID_ARGUMENT"));
    assert_false(fx.closed);
}

static void an_asynchronous_call_keeps_the_step_open(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 0);
    assert_true(fx.timer != 0);
    engine_timer(fx.e, fx.timer, fx.now += 100);
    assert_int_equal(steps(s, 4), 1);
    assert_int_equal(s[0].emissions.n, 1);
}

static void a_pause_waits_for_the_step_in_hand_and_then_aborts_it(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    interrupt(fermata_v1_InterruptKind_INTERRUPT_KIND_PAUSE, 500);
    assert_null(release());
    engine_tick(fx.e, fx.now += 499);
    assert_null(release());
    engine_tick(fx.e, fx.now += 1);
    assert_non_null(release());
    assert_int_equal(release()->reason, fermata_v1_ReleaseReason_RELEASE_REASON_PAUSED);
    assert_int_equal(release()->last_step, 0);
    assert_int_equal(fx.timer, 0);
    assert_int_equal(engine_job_count(fx.e), 0);
}

static void a_cancelled_job_is_forgotten_at_once(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    interrupt(fermata_v1_InterruptKind_INTERRUPT_KIND_CANCEL, 0);
    assert_int_equal(engine_job_count(fx.e), 0);
    assert_int_equal(fx.timer, 0);
    assert_int_equal(release()->reason, fermata_v1_ReleaseReason_RELEASE_REASON_ABORTED);
    assert_int_equal(release()->aborted_tasks.n, 1);
}

/* The answer to a Hello that named the job. */
static void welcome_back(uint32_t applied)
{
    fermata_v1_HeldVerdict v;
    struct fm_buf b = {0};
    struct fm_err err = {0};
    memset(&v, 0, sizeof(v));
    v.job_id = pb_var_str(JOB);
    v.epoch = 1;
    v.keep = true;
    v.applied_step = applied;
    assert_int_equal(pb_var_encode(fermata_v1_HeldVerdict_fields, &v, &b, &err), 0);
    struct fm_bytes item = {b.p, b.n};
    fermata_v1_Welcome w;
    memset(&w, 0, sizeof(w));
    w.held_jobs = pb_var_list(&item, 1);
    say(fermata_v1_CoordinatorMessage_welcome_tag, fermata_v1_Welcome_fields, &w);
    fm_buf_done(&b);
}

static void a_broken_stream_keeps_the_job_and_unacknowledged_steps_are_sent_again(void **state)
{
    (void)state;
    assign(1, false, "count", "count");
    engine_disconnected(fx.e, fx.now);
    forget();
    connect_engine();
    assert_int_equal(fx.sent[0].m.body.hello.held_jobs.n, 1);
    welcome_back(1);
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 1);
    assert_int_equal(s[0].number, 2);
}

static void a_job_that_was_to_leave_while_the_stream_was_broken_leaves_behind_its_steps(void **state)
{
    (void)state;
    assign(1, true, "pass", NULL);
    engine_disconnected(fx.e, fx.now);
    engine_drain(fx.e, fx.now); /* the effect has not begun: it waits for step 1 to be on disk */
    forget();
    connect_engine();
    welcome_back(0);
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 1);
    assert_int_equal(fx.sent[1].m.which_body, fermata_v1_HostMessage_steps_tag);
    assert_int_equal(fx.sent[2].m.which_body, fermata_v1_HostMessage_release_tag);
    assert_int_equal(release()->last_step, 1);
    assert_int_equal(runs, 0);
}

static void the_end_of_the_lease_drops_all_jobs(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    engine_disconnected(fx.e, fx.now);
    engine_tick(fx.e, fx.now + 9999);
    assert_int_equal(engine_job_count(fx.e), 1);
    engine_tick(fx.e, fx.now + 10000);
    assert_int_equal(engine_job_count(fx.e), 0);
    assert_int_equal(fx.timer, 0);
}

/* Says a heartbeat that acknowledges the host's messages up to `ack`. */
static void beat(uint64_t ack)
{
    struct fm_buf m = {0};
    fm_buf_put_tag_varint(&m, 1, ++fx.seq);
    fm_buf_put_tag_varint(&m, 2, ack);
    fm_buf_put_len_delim(&m, fermata_v1_CoordinatorMessage_heartbeat_tag, "", 0);
    engine_message(fx.e, (struct fm_bytes){m.p, m.n}, fx.now);
    fm_buf_done(&m);
}

static void a_lease_counts_from_when_that_was_sent_which_the_coordinator_has_heard(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    int64_t start = fx.now;
    fx.now = start + 2000;
    engine_tick(fx.e, fx.now); /* message 2: a heartbeat */
    fx.now = start + 3000;
    beat(2);
    fx.now = start + 11999;
    engine_tick(fx.e, fx.now);
    assert_int_equal(engine_job_count(fx.e), 1);
    engine_tick(fx.e, start + 12000);
    assert_int_equal(engine_job_count(fx.e), 0);
}

static void a_coordinator_that_talks_but_does_not_hear_holds_no_lease(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    int64_t start = fx.now;
    for (; fx.now < start + 9000; fx.now += 1000)
        beat(1);
    assert_int_equal(engine_job_count(fx.e), 1);
    fx.now = start + 10000;
    beat(1); /* whatever comes first after the end: a message, a timer, a call */
    assert_int_equal(engine_job_count(fx.e), 0);
    assert_true(fx.closed);
}

static void a_timer_after_the_end_of_the_lease_runs_no_handler(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    uint64_t timer = fx.timer;
    forget();
    engine_timer(fx.e, timer, fx.now + 10001);
    assert_int_equal(engine_job_count(fx.e), 0);
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 0);
}

static void duplicates_and_older_assignments_are_ignored_and_newer_ones_replace(void **state)
{
    (void)state;
    assign(2, false, "wait", NULL);
    uint64_t timer = fx.timer;
    assign(2, false, "wait", NULL);
    assign(1, false, "wait", NULL);
    assert_int_equal(fx.timer, timer);
    assign(3, false, "wait", NULL);
    assert_true(fx.timer != timer);
    assert_int_equal(engine_job_count(fx.e), 1);
}

static void draining_gives_jobs_back_and_says_goodbye(void **state)
{
    (void)state;
    assign(1, false, "wait", NULL);
    forget();
    engine_drain(fx.e, fx.now);
    assert_false(fx.drained);
    engine_timer(fx.e, fx.timer, fx.now += 100);
    fermata_v1_Step s[4];
    assert_int_equal(steps(s, 4), 1);
    ack(1, 1, true);
    assert_true(fx.drained);
    assert_int_equal(fx.sent[fx.n_sent - 1].m.which_body, fermata_v1_HostMessage_goodbye_tag);
    assign(2, false, "count", NULL);
    assert_int_equal(engine_job_count(fx.e), 0);
}

/* Or a coordinator that has started anew would give it jobs. */
static void a_host_that_drains_says_so_in_each_hello(void **state)
{
    (void)state;
    engine_disconnected(fx.e, fx.now);
    connect_engine();
    assert_false(fx.sent[fx.n_sent - 1].m.body.hello.draining);
    welcome();
    assign(1, false, "wait", NULL);
    engine_drain(fx.e, fx.now);
    engine_disconnected(fx.e, fx.now);
    forget();
    connect_engine();
    assert_int_equal(fx.sent[0].m.which_body, fermata_v1_HostMessage_hello_tag);
    assert_true(fx.sent[0].m.body.hello.draining);
    assert_int_equal(fx.sent[0].m.body.hello.held_jobs.n, 1);
}

static void a_host_that_drains_before_its_welcome_waits_for_it_to_say_goodbye(void **state)
{
    (void)state;
    engine_disconnected(fx.e, fx.now);
    connect_engine();
    forget();
    engine_drain(fx.e, fx.now);
    assert_false(fx.drained);
    welcome();
    assert_true(fx.drained);
    assert_int_equal(fx.n_sent, 1);
    assert_int_equal(fx.sent[0].m.which_body, fermata_v1_HostMessage_goodbye_tag);
}

static void a_host_that_drains_before_its_welcome_is_done_when_the_stream_ends(void **state)
{
    (void)state;
    engine_disconnected(fx.e, fx.now);
    connect_engine();
    engine_drain(fx.e, fx.now);
    assert_false(fx.drained);
    engine_disconnected(fx.e, fx.now);
    assert_true(fx.drained);
}

static void a_malformed_message_ends_the_stream(void **state)
{
    (void)state;
    engine_message(fx.e, (struct fm_bytes){(const uint8_t *)"\x22\x05\x0a\xff", 4}, fx.now);
    assert_true(fx.closed);
}

static void a_missing_message_ends_the_stream(void **state)
{
    (void)state;
    fx.seq++;
    assign(1, false, "count", NULL);
    assert_true(fx.closed);
    assert_non_null(strstr(fx.why, "missing"));
}

static void a_long_loop_runs_in_bounded_bursts_and_is_bounded_ahead(void **state)
{
    (void)state;
    static fermata_v1_Step s[400];
    assign(1, false, "loop", NULL);
    uint32_t acked = 0;
    for (int i = 0; i < 100 && acked < 300; i++) {
        while (engine_deadline(fx.e) == fx.now)
            engine_tick(fx.e, fx.now);
        size_t n = steps(s, 400);
        assert_true(n <= 64);
        if (n > 0)
            acked = s[n - 1].number;
        forget();
        ack(1, acked, acked == 300);
    }
    assert_int_equal(acked, 300);
    assert_int_equal(engine_job_count(fx.e), 0);
}

static void an_unknown_routine_type_has_the_job_refused(void **state)
{
    (void)state;
    struct fm_buf flow = {0}, body = {0}, m = {0};
    put_routine(&flow, "p", "unknown");
    fm_buf_put_string(&body, 1, JOB);
    fm_buf_put_tag_varint(&body, 2, 1);
    fm_buf_put_len_delim(&body, 3, flow.p, flow.n);
    fm_buf_put_tag_varint(&m, 1, ++fx.seq);
    fm_buf_put_len_delim(&m, fermata_v1_CoordinatorMessage_assign_tag, body.p, body.n);
    engine_message(fx.e, (struct fm_bytes){m.p, m.n}, fx.now);
    assert_non_null(release());
    assert_int_equal(release()->reason, fermata_v1_ReleaseReason_RELEASE_REASON_REFUSED);
    assert_int_equal(engine_job_count(fx.e), 0);
    fm_buf_done(&flow);
    fm_buf_done(&body);
    fm_buf_done(&m);
}

/* The coordinator gives a place away as soon as a job's last step is on disk; the acknowledgement
 * may come after the next Assign. */
static void a_job_that_waits_for_its_last_acknowledgement_takes_no_place(void **state)
{
    (void)state;
    static const char *const ids[] = {"01M88XJZ0MWFZ5AA601T6G1Y51", "01M88XJZ0MWFZ5AA601T6G1Y52",
                                      "01M88XJZ0MWFZ5AA601T6G1Y53", "01M88XJZ0MWFZ5AA601T6G1Y54"};
    static const char *const slots[] = {"count", "wait", "wait", "wait"};
    for (size_t i = 0; i < 4; i++)
        assign_job(ids[i], 1, false, slots[i], NULL); /* the host takes two at once */
    assert_int_equal(engine_job_count(fx.e), 3);
    const fermata_v1_Release *r = release();
    assert_non_null(r);
    assert_true(pb_var_eq(r->job_id, ids[3]));
    assert_int_equal(r->reason, fermata_v1_ReleaseReason_RELEASE_REASON_REFUSED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(hello_comes_first_and_names_the_types),
        T(a_task_becomes_a_step_and_the_last_one_completes),
        T(an_effect_waits_until_all_earlier_steps_are_on_disk),
        T(a_refused_step_takes_back_all_that_ran_ahead),
        T(a_question_stops_the_job_and_other_tasks_stay),
        T(a_failed_handler_leaves_only_its_error),
        T(a_step_that_is_too_large_fails_with_size_and_limit),
        T(what_needs_too_much_memory_or_space_is_not_tried_again),
        T(a_value_that_is_nested_too_deeply_fails_its_step),
        T(an_asynchronous_call_keeps_the_step_open),
        T(a_pause_waits_for_the_step_in_hand_and_then_aborts_it),
        T(a_cancelled_job_is_forgotten_at_once),
        T(a_broken_stream_keeps_the_job_and_unacknowledged_steps_are_sent_again),
        T(a_job_that_was_to_leave_while_the_stream_was_broken_leaves_behind_its_steps),
        T(the_end_of_the_lease_drops_all_jobs),
        T(a_lease_counts_from_when_that_was_sent_which_the_coordinator_has_heard),
        T(a_coordinator_that_talks_but_does_not_hear_holds_no_lease),
        T(a_timer_after_the_end_of_the_lease_runs_no_handler),
        T(duplicates_and_older_assignments_are_ignored_and_newer_ones_replace),
        T(draining_gives_jobs_back_and_says_goodbye),
        T(a_host_that_drains_says_so_in_each_hello),
        T(a_host_that_drains_before_its_welcome_waits_for_it_to_say_goodbye),
        T(a_host_that_drains_before_its_welcome_is_done_when_the_stream_ends),
        T(a_malformed_message_ends_the_stream),
        T(a_missing_message_ends_the_stream),
        T(a_long_loop_runs_in_bounded_bursts_and_is_bounded_ahead),
        T(an_unknown_routine_type_has_the_job_refused),
        T(a_job_that_waits_for_its_last_acknowledgement_takes_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
