/* What keeps a handler from starting, or from counting: time that is left of a task, intents, breakpoints,
 * aborted steps of handlers that block. The engine is driven by messages of a coordinator in JSON. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "from_json.h"
#include "log.h"
#include "registry.h"

#define JOB "01M88XJZ0MWFZ5AA601T6G1Y5N"

/* ---- routine types ---- */

static int runs; /* handlers begun */

static int wait_for_ever(struct fm_ctx *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return 0;
}

static int slow(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    runs++;
    fm_ctx_call_after(ctx, 1000000, wait_for_ever, NULL);
    return 0;
}

static int break_down(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    runs++;
    return fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "not yet");
}

static int good(struct fm_ctx *ctx, const struct fm_value *data)
{
    runs++;
    fm_ctx_emit(ctx, "out", data);
    return 0;
}

static const struct fm_slot slots[] = {
    {"slow", slow      },
    {"fail", break_down},
    {"good", good      }
};
static const char *const events[] = {"out"};
static const struct fm_routine_type plain = {.abi = FM_ROUTINE_ABI,
                                             .name = "t",
                                             .version = 1,
                                             .slots = slots,
                                             .n_slots = 3,
                                             .events = events,
                                             .n_events = 1};
static const struct fm_routine_type blocks = {.abi = FM_ROUTINE_ABI,
                                              .name = "blocks",
                                              .version = 1,
                                              .flags = FM_BLOCKING | FM_EFFECTS,
                                              .slots = slots,
                                              .n_slots = 3,
                                              .events = events,
                                              .n_events = 1};

/* ---- the bench ---- */

#define MAX_SAID 64

static struct bench {
    struct engine *e;
    struct registry *registry;
    int64_t now;
    uint64_t seq;
    Fermata__V1__HostMessage *said[MAX_SAID];
    size_t n_said;
    struct {
        uint64_t id, ms;
    } timers[16];
    size_t n_timers;
    struct engine_work *work;
    uint64_t work_id;
    bool closed;
} b;

static void io_send(void *arg, struct fm_bytes bytes)
{
    (void)arg;
    assert_true(b.n_said < MAX_SAID);
    b.said[b.n_said] = fermata__v1__host_message__unpack(NULL, bytes.n, bytes.p);
    assert_non_null(b.said[b.n_said++]);
}

static void io_close(void *arg, const char *why)
{
    (void)arg;
    (void)why;
    b.closed = true;
}

static void io_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    (void)arg;
    assert_true(b.n_timers < 16);
    b.timers[b.n_timers].id = id;
    b.timers[b.n_timers++].ms = ms;
}

static void io_cancel_timer(void *arg, uint64_t id)
{
    (void)arg;
    for (size_t i = 0; i < b.n_timers; i++)
        if (b.timers[i].id == id)
            b.timers[i] = b.timers[--b.n_timers];
}

static void io_start_work(void *arg, uint64_t id, struct engine_work *work)
{
    (void)arg;
    b.work_id = id;
    b.work = work;
}

static void io_nothing(void *arg)
{
    (void)arg;
}

static int64_t io_now_us(void *arg)
{
    (void)arg;
    return b.now * 1000;
}

static void say_message(uint64_t ack, Fermata__V1__CoordinatorMessage *m)
{
    m->seq = ++b.seq;
    m->ack = ack;
    size_t n = fermata__v1__coordinator_message__get_packed_size(m);
    uint8_t *p = malloc(n);
    fermata__v1__coordinator_message__pack(m, p);
    engine_message(b.e, (struct fm_bytes){p, n}, b.now);
    free(p);
}

/* Sends a message; `ack`: how many of the host's it has heard. */
static void say_ack(uint64_t ack, const char *json)
{
    say_message(ack, from_json(&fermata__v1__coordinator_message__descriptor, json));
}

static void say(const char *json)
{
    say_ack(b.n_said, json);
}

static void sayf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sayf(const char *fmt, ...)
{
    char json[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(json, sizeof(json), fmt, ap);
    va_end(ap);
    say(json);
}

static const Fermata__V1__HostMessage *last(int body_case)
{
    for (size_t i = b.n_said; i-- > 0;)
        if ((int)b.said[i]->body_case == body_case)
            return b.said[i];
    return NULL;
}

static size_t count(int body_case)
{
    size_t n = 0;
    for (size_t i = 0; i < b.n_said; i++)
        n += (int)b.said[i]->body_case == body_case;
    return n;
}

/* The newest step that was said. */
static const Fermata__V1__Step *last_step(void)
{
    const Fermata__V1__HostMessage *m = last(FERMATA__V1__HOST_MESSAGE__BODY_STEPS);
    return m == NULL ? NULL : m->steps->steps[m->steps->n_steps - 1]->step;
}

/* Time passes; the timer with the fewest milliseconds left fires when it is over. */
static void pass(int64_t ms)
{
    b.now += ms;
    for (size_t i = 0; i < b.n_timers; i++)
        b.timers[i].ms = b.timers[i].ms > (uint64_t)ms ? b.timers[i].ms - (uint64_t)ms : 0;
    for (size_t i = 0; i < b.n_timers; i++)
        if (b.timers[i].ms == 0) {
            uint64_t id = b.timers[i].id;
            b.timers[i] = b.timers[--b.n_timers];
            engine_timer(b.e, id, b.now);
            i = SIZE_MAX;
        }
    engine_tick(b.e, b.now);
}

/* The time after which the first timer fires. */
static uint64_t first_timer(void)
{
    uint64_t ms = UINT64_MAX;
    for (size_t i = 0; i < b.n_timers; i++)
        ms = b.timers[i].ms < ms ? b.timers[i].ms : ms;
    return ms;
}

static int setup(void **state)
{
    struct fm_err err = {0};
    (void)state;
    memset(&b, 0, sizeof(b));
    runs = 0;
    from_json_begin();
    b.registry = registry_new();
    assert_int_equal(registry_add(b.registry, &plain, &err), 0);
    assert_int_equal(registry_add(b.registry, &blocks, &err), 0);
    const struct engine_config cfg = {.host_id = "a",
                                      .incarnation = "one",
                                      .version = "test",
                                      .capacity = 5,
                                      .registry = b.registry,
                                      .seed = 1};
    const struct engine_io io = {.send = io_send,
                                 .close = io_close,
                                 .start_timer = io_start_timer,
                                 .cancel_timer = io_cancel_timer,
                                 .start_work = io_start_work,
                                 .attached = io_nothing,
                                 .drained = io_nothing,
                                 .now_us = io_now_us};
    b.e = engine_new(&cfg, &io);
    engine_connected(b.e, b.now);
    say("{'welcome': {'lease_ms': 100000, 'heartbeat_ms': 50000, 'max_step_bytes': 4000000}}");
    return fm_log_set_levels("off", &err);
}

static int teardown(void **state)
{
    (void)state;
    engine_free(b.e);
    for (size_t i = 0; i < b.n_said; i++)
        fermata__v1__host_message__free_unpacked(b.said[i], NULL);
    registry_free(b.registry);
    from_json_end();
    return 0;
}

/* Assigns the job: a routine "r" of this type with this policy; an input at the slot, with these fields. */
static void assign(const char *type, const char *policy, const char *slot, const char *fields)
{
    sayf("{'assign': {'job_id': '" JOB
         "', 'epoch': 1, 'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': '%s', "
         "'policy': {%s}}]}, 'state': {}, 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': '%s', "
         "'input_number': 1%s}]}}",
         type, policy, slot, fields);
}

/* ---- time that is left ---- */

#define IN_ALL "'timeout_ms': 1000, 'retry': {'max_attempts': 9, 'initial_delay_ms': 100, 'factor': 1}"

static void an_attempt_has_what_is_left_of_the_time_for_its_task(void **state)
{
    (void)state;
    assign("t", IN_ALL, "slow", "");
    assert_int_equal(runs, 1);
    assert_int_equal(first_timer(), 1000);
}

static void what_attempts_before_have_used_is_left_no_more(void **state)
{
    (void)state;
    assign("t", IN_ALL, "slow", ", 'failed_attempts': 2, 'spent_ms': 700");
    assert_int_equal(runs, 1);
    assert_int_equal(first_timer(), 300);
    pass(300);
    assert_string_equal(last_step()->error->code, "DEADLINE_EXCEEDED");
    assert_int_equal(last_step()->attempt, 3);
    assert_int_equal(last_step()->outcome,
                     FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL); /* no time for another */
}

static void attempts_on_one_host_share_the_time_too(void **state)
{
    (void)state;
    assign("t", IN_ALL ", 'attempt_timeout_ms': 400", "slow", "");
    assert_int_equal(first_timer(), 400);
    pass(400);
    assert_int_equal(last_step()->outcome, FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY);
    assert_int_equal(last_step()->retry_delay_ms, 100);
    pass(100);
    assert_int_equal(runs, 2);
    assert_int_equal(first_timer(), 400); /* 500 are left: the attempt's own time is shorter */
    pass(400);
    assert_int_equal(last_step()->outcome, FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL);
    assert_int_equal(runs, 2);
}

static void a_failed_attempt_waits_and_holds_its_routine(void **state)
{
    (void)state;
    assign("t", "'retry': {'max_attempts': 2, 'initial_delay_ms': 300}", "fail", "");
    assert_int_equal(runs, 1);
    pass(299);
    assert_int_equal(runs, 1);
    pass(1);
    assert_int_equal(runs, 2);
    assert_int_equal(last_step()->outcome, FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL);
}

/* ---- handlers that block ---- */

static void interrupt(const char *kind)
{
    sayf("{'interrupt': {'job_id': '" JOB "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_%s', 'grace_ms': 100}}",
         kind);
}

static void a_handler_that_blocks_does_what_another_does(void **state)
{
    (void)state;
    assign("blocks", "", "good", "");
    assert_non_null(b.work);
    assert_int_equal(runs, 0);
    engine_work_run(b.work);
    assert_int_equal(runs, 1);
    assert_null(last_step());
    engine_work_done(b.e, b.work_id, b.work, b.now);
    assert_int_equal(last_step()->outcome, FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_COMPLETE);
    assert_int_equal(last_step()->n_emissions, 1);
}

static void a_handler_that_blocks_does_not_start_after_its_step_was_aborted(void **state)
{
    (void)state;
    static const char *const kinds[] = {"PAUSE", "CANCEL"};
    for (size_t i = 0; i < 2; i++) {
        assign("blocks", "", "good", "");
        assert_non_null(b.work);
        interrupt(kinds[i]);
        pass(100); /* the grace of a pause is over */
        engine_work_run(b.work);
        assert_int_equal(runs, 0);
        engine_work_done(b.e, b.work_id, b.work, b.now);
        assert_null(last_step());
        assert_int_equal(engine_job_count(b.e), 0);
        b.work = NULL;
    }
    const Fermata__V1__Release *r = last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE)->release;
    assert_int_equal(r->reason, FERMATA__V1__RELEASE_REASON__RELEASE_REASON_PAUSED);
    assert_int_equal(r->n_aborted_tasks, 0);
}

static void a_handler_that_blocks_does_not_start_after_its_time(void **state)
{
    (void)state;
    assign("blocks", "'attempt_timeout_ms': 50", "good", "");
    pass(50);
    assert_string_equal(last_step()->error->code, "DEADLINE_EXCEEDED");
    engine_work_run(b.work);
    assert_int_equal(runs, 0);
    engine_work_done(b.e, b.work_id, b.work, b.now);
}

static void a_handler_that_blocks_and_was_aborted_counts_for_nothing(void **state)
{
    (void)state;
    assign("blocks", "", "good", "");
    engine_work_run(b.work);
    interrupt("PAUSE");
    pass(100);
    engine_work_done(b.e, b.work_id, b.work, b.now);
    assert_null(last_step());
}

/* ---- intents ---- */

#define NOTICED "'on_lost': 'LOST_POLICY_ASK', 'retry': {'max_attempts': 3, 'initial_delay_ms': 10}"
#define ACK "{'intent_ack': {'job_id': '" JOB "', 'epoch': 1, 'task_id': 'i1'}}"

static void an_announced_task_begins_when_that_is_on_disk(void **state)
{
    (void)state;
    assign("t", NOTICED, "good", "");
    assert_string_equal(last(FERMATA__V1__HOST_MESSAGE__BODY_INTENT)->intent->task_id, "i1");
    assert_int_equal(runs, 0);
    say("{'intent_ack': {'job_id': '" JOB "', 'epoch': 1, 'task_id': 'i2'}}");
    say("{'intent_ack': {'job_id': '" JOB "', 'epoch': 2, 'task_id': 'i1'}}");
    assert_int_equal(runs, 0);
    say(ACK);
    assert_int_equal(runs, 1);
}

static void an_answer_to_an_earlier_attempt_starts_no_later_one(void **state)
{
    (void)state;
    assign("t", NOTICED, "fail", "");
    uint64_t heard = b.n_said;
    say(ACK);
    assert_int_equal(runs, 1);
    say("{'step_acks': {'acks': [{'job_id': '" JOB "', 'epoch': 1, 'number': 1}]}}");
    pass(10);
    assert_int_equal(count(FERMATA__V1__HOST_MESSAGE__BODY_INTENT), 2);
    say_ack(heard, ACK); /* said before the second announcement was heard */
    assert_int_equal(runs, 1);
    say(ACK);
    assert_int_equal(runs, 2);
}

static void an_intent_is_said_again_after_a_reconnect(void **state)
{
    (void)state;
    assign("t", NOTICED, "good", "");
    engine_disconnected(b.e, b.now);
    b.seq = 0;
    size_t before = b.n_said;
    engine_connected(b.e, b.now);
    sayf("{'welcome': {'lease_ms': 100000, 'heartbeat_ms': 50000, 'held_jobs': [{'job_id': '" JOB
         "', 'epoch': 1, 'keep': true}]}}");
    assert_int_equal(count(FERMATA__V1__HOST_MESSAGE__BODY_INTENT), 2);
    assert_int_equal(runs, 0);
    say_ack(b.n_said - before, ACK);
    assert_int_equal(runs, 1);
}

static void a_pause_keeps_an_announced_task_from_beginning(void **state)
{
    (void)state;
    assign("t", NOTICED, "good", "");
    interrupt("PAUSE");
    const Fermata__V1__Release *r = last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE)->release;
    assert_int_equal(r->n_unstarted_tasks, 1);
    assert_string_equal(r->unstarted_tasks[0], "i1");
    say(ACK);
    assert_int_equal(runs, 0);
}

static void a_task_that_is_lost_fails_and_does_not_begin(void **state)
{
    (void)state;
    say("{'assign': {'job_id': '" JOB
        "', 'epoch': 1, 'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}, "
        "'state': {'pending_tasks': [{'task_id': 'i1', 'routine': 'r', 'slot': 'good', 'input_number': 1}], "
        "'inputs_through': 1}, 'lost_tasks': ['i1']}}");
    assert_int_equal(runs, 0);
    assert_string_equal(last_step()->error->code, "ABORTED");
    assert_int_equal(last_step()->outcome, FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_FAIL);
}

/* ---- breakpoints ---- */

static void breakpoints_hold_what_has_not_begun(void **state)
{
    (void)state;
    assign("t", NOTICED, "good", "");
    say("{'deliver': {'job_id': '" JOB
        "', 'epoch': 1, 'set_breakpoints': true, 'breakpoints': [{'routine': 'r'}]}}");
    const Fermata__V1__Release *r = last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE)->release;
    assert_int_equal(r->reason, FERMATA__V1__RELEASE_REASON__RELEASE_REASON_BREAKPOINT);
    assert_string_equal(r->task_id, "i1");
    assert_int_equal(r->n_unstarted_tasks, 1);
    say(ACK);
    assert_int_equal(runs, 0);
}

static void breakpoints_elsewhere_hold_nothing(void **state)
{
    (void)state;
    assign("t", NOTICED, "good", "");
    say("{'deliver': {'job_id': '" JOB
        "', 'epoch': 1, 'set_breakpoints': true, 'breakpoints': [{'routine': 's'}, "
        "{'routine': 'r', 'slot': 'slow'}]}}");
    assert_null(last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE));
    assert_int_equal(count(FERMATA__V1__HOST_MESSAGE__BODY_INTENT), 1);
    say(ACK);
    assert_int_equal(runs, 1);
}

static void a_released_task_passes_its_breakpoint(void **state)
{
    (void)state;
    say("{'assign': {'job_id': '" JOB
        "', 'epoch': 1, 'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}, "
        "'state': {}, 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'good', 'input_number': 1}, "
        "{'task_id': 'i2', "
        "'routine': 'r', 'slot': 'good', 'input_number': 2}], 'breakpoints': [{'routine': '*'}], "
        "'released_task': 'i1'}}");
    assert_int_equal(runs, 1);
    assert_string_equal(last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE)->release->task_id, "i2");
}

static void a_held_task_of_a_deferred_event_has_its_step_first(void **state)
{
    (void)state;
    say("{'assign': {'job_id': '" JOB
        "', 'epoch': 1, 'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}], "
        "'connections': [{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'r', 'slot': "
        "'good'}}]}, "
        "'state': {'step_number': 4, 'deferred_events': [{'routine': 'r', 'event': 'out'}]}, "
        "'emit_deferred': true, "
        "'breakpoints': [{'routine': 'r'}]}}");
    assert_int_equal(runs, 0);
    assert_int_equal(last_step()->number, 5);
    assert_string_equal(last_step()->deferred_tasks[0]->task_id, "d5.0");
    assert_string_equal(last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE)->release->task_id, "d5.0");
    assert_true(b.said[b.n_said - 1]->body_case == FERMATA__V1__HOST_MESSAGE__BODY_RELEASE); /* behind it */
}

/* ---- what cannot be read ---- */

#define OTHER "01M88XJZ0MWFZ5AA601T6G1Y5P"

static void a_job_that_cannot_be_read_is_given_back_alone(void **state)
{
    (void)state;
    assign("t", "", "slow", "");
    assert_int_equal(runs, 1);
    Fermata__V1__CoordinatorMessage *m =
        from_json(&fermata__v1__coordinator_message__descriptor,
                  "{'assign': {'job_id': '" OTHER
                  "', 'epoch': 3, 'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': "
                  "'t'}]}, 'state': {'usage': {'calls': 1}}}}");
    m->assign->state->usage->cost = INFINITY;
    say_message(b.n_said, m);
    assert_false(b.closed);
    const Fermata__V1__HostMessage *said = last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE);
    assert_non_null(said);
    assert_string_equal(said->release->job_id, OTHER);
    assert_int_equal(said->release->epoch, 3);
    assert_int_equal(said->release->reason, FERMATA__V1__RELEASE_REASON__RELEASE_REASON_REFUSED);
    assert_non_null(strstr(said->release->message, "not finite"));
    assert_int_equal(engine_job_count(b.e), 1);
    /* an input that cannot be read costs its job, and the stream goes on */
    m = from_json(&fermata__v1__coordinator_message__descriptor,
                  "{'deliver': {'job_id': '" JOB
                  "', 'epoch': 1, 'inputs': [{'task_id': 'i2', 'routine': 'r', "
                  "'slot': 'slow', 'input_number': 2, 'data': {'n': 1}}]}}");
    m->deliver->inputs[0]->data->fields[0]->value->number_value = NAN;
    say_message(b.n_said, m);
    assert_false(b.closed);
    assert_string_equal(last(FERMATA__V1__HOST_MESSAGE__BODY_RELEASE)->release->job_id, JOB);
    assert_int_equal(engine_job_count(b.e), 0);
    assign("t", "", "good", "");
    assert_int_equal(runs, 2);
}

static void a_message_without_a_job_that_cannot_be_read_ends_the_stream(void **state)
{
    (void)state;
    engine_message(b.e, (struct fm_bytes){(const uint8_t *)"\x22\xff", 2}, b.now);
    assert_true(b.closed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_attempt_has_what_is_left_of_the_time_for_its_task),
        TEST(what_attempts_before_have_used_is_left_no_more),
        TEST(attempts_on_one_host_share_the_time_too),
        TEST(a_failed_attempt_waits_and_holds_its_routine),
        TEST(a_handler_that_blocks_does_what_another_does),
        TEST(a_handler_that_blocks_does_not_start_after_its_step_was_aborted),
        TEST(a_handler_that_blocks_does_not_start_after_its_time),
        TEST(a_handler_that_blocks_and_was_aborted_counts_for_nothing),
        TEST(an_announced_task_begins_when_that_is_on_disk),
        TEST(an_answer_to_an_earlier_attempt_starts_no_later_one),
        TEST(an_intent_is_said_again_after_a_reconnect),
        TEST(a_pause_keeps_an_announced_task_from_beginning),
        TEST(a_task_that_is_lost_fails_and_does_not_begin),
        TEST(breakpoints_hold_what_has_not_begun),
        TEST(breakpoints_elsewhere_hold_nothing),
        TEST(a_released_task_passes_its_breakpoint),
        TEST(a_held_task_of_a_deferred_event_has_its_step_first),
        TEST(a_job_that_cannot_be_read_is_given_back_alone),
        TEST(a_message_without_a_job_that_cannot_be_read_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
