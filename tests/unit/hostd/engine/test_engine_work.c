/* The work of a step on the host is in proportion to what its handler does, whatever waits already; and it
 * has an end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agreed.h"
#include "engine.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "from_json.h"
#include "linear.h"
#include "log.h"
#include "mem.h"
#include "registry.h"
#include "slow.h"

#define JOB "01M88XJZ0MWFZ5AA601T6G1Y5N"
#define MEGABYTE 1048576u
#define OTHER_JOB "01M88XJZ0MWFZ5AA601T6G1Y5P"

/* ---- handlers: each does something n times ---- */

static size_t n_times;
static size_t logged, dropped, failed; /* of the last step that was said */
static char why[512];

enum order { FORWARDS, BACKWARDS, ONE_KEY };
static enum order order;

static const char *key_of(size_t i)
{
    static char key[32];
    snprintf(key, sizeof(key), "k%zu", order == ONE_KEY ? 0 : order == BACKWARDS ? n_times - 1 - i : i);
    return key;
}

static int append(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    for (size_t i = 0; i < n_times; i++)
        fm_ctx_shared_append(ctx, key_of(i), fm_bool(ctx, true));
    return 0;
}

static int set_and_get(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    for (size_t i = 0; i < n_times; i++) {
        fm_ctx_state_set(ctx, key_of(i), fm_bool(ctx, true));
        if (!fm_value_bool(fm_ctx_state_get(ctx, key_of(i)), false))
            return -1;
    }
    return 0;
}

/* The tasks that are due first come first, last, or all at once. */
static int schedule(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    for (size_t i = 0; i < n_times; i++)
        fm_ctx_schedule(ctx, "in", NULL, 500 + (order == BACKWARDS ? n_times - i : i), key_of(i));
    return 0;
}

static int unschedule(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    for (size_t i = 0; i < n_times; i++)
        fm_ctx_unschedule(ctx, key_of(i));
    return 0;
}

static int log_much(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    for (size_t i = 0; i < n_times; i++)
        fm_ctx_log(ctx, "x", NULL);
    return 0;
}

static int emit(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    for (size_t i = 0; i < n_times; i++)
        fm_ctx_emit(ctx, "out", NULL);
    return 0;
}

/* One event with a megabyte. */
static int emit_much(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    fm_autofree char *text = fm_xcalloc(MEGABYTE + 1, 1);
    memset(text, 'x', MEGABYTE);
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "text", fm_string(ctx, text));
    fm_ctx_emit(ctx, "out", m);
    return 0;
}

/* The same, for when the job goes on. */
static int defer_much(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)data;
    fm_autofree char *text = fm_xcalloc(MEGABYTE + 1, 1);
    memset(text, 'x', MEGABYTE);
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "text", fm_string(ctx, text));
    fm_ctx_defer(ctx, "out", m);
    return 0;
}

static int nothing(struct fm_ctx *ctx, const struct fm_value *data)
{
    (void)ctx;
    (void)data;
    return 0;
}

static const struct fm_slot slots[] = {
    {"append",     append     },
    {"get",        set_and_get},
    {"schedule",   schedule   },
    {"unschedule", unschedule },
    {"log",        log_much   },
    {"emit",       emit       },
    {"emit_much",  emit_much  },
    {"defer_much", defer_much },
    {"in",         nothing    },
};
static const char *const events[] = {"out"};
static const struct fm_routine_type plain = {.abi = FM_ROUTINE_ABI,
                                             .name = "t",
                                             .version = 1,
                                             .slots = slots,
                                             .n_slots = sizeof(slots) / sizeof(slots[0]),
                                             .events = events,
                                             .n_events = 1};

/* ---- the bench ---- */

static struct engine *engine;
static struct registry *registry;
static uint64_t seq, heard;

static void io_send(void *arg, struct fm_bytes bytes)
{
    (void)arg;
    heard++;
    Fermata__V1__HostMessage *m = fermata__v1__host_message__unpack(NULL, bytes.n, bytes.p);
    assert_non_null(m);
    if (m->body_case == FERMATA__V1__HOST_MESSAGE__BODY_STEPS) {
        const Fermata__V1__Step *s = m->steps->steps[m->steps->n_steps - 1]->step;
        logged = s->n_log + s->n_changes + s->n_new_tasks + s->n_unscheduled + s->n_emissions;
        dropped = s->n_unscheduled;
        failed = s->error != NULL;
        snprintf(why, sizeof(why), "%s", failed ? s->error->message : "");
    }
    fermata__v1__host_message__free_unpacked(m, NULL);
}

static void io_close(void *arg, const char *text)
{
    (void)arg;
    fail_msg("the stream is ended: %s", text);
}

static void io_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    (void)arg;
    (void)id;
    (void)ms;
}

static void io_cancel_timer(void *arg, uint64_t id)
{
    (void)arg;
    (void)id;
}

static void io_nothing(void *arg)
{
    (void)arg;
}

/* Returns how long the engine had to do with it. */
static long long say_text(const char *json)
{
    Fermata__V1__CoordinatorMessage *m = from_json(&fermata__v1__coordinator_message__descriptor, json);
    m->seq = ++seq;
    m->ack = heard;
    size_t n = fermata__v1__coordinator_message__get_packed_size(m);
    fm_autofree uint8_t *p = fm_xmalloc(n);
    fermata__v1__coordinator_message__pack(m, p);
    long long from = test_cpu_us();
    engine_message(engine, (struct fm_bytes){p, n}, 0);
    return test_cpu_us() - from;
}

static long long say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static long long say(const char *fmt, ...)
{
    char json[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(json, sizeof(json), fmt, ap);
    va_end(ap);
    return say_text(json);
}

static void open_engine(const char *more)
{
    struct fm_err err = {0};
    const struct engine_config cfg = {.host_id = "a",
                                      .incarnation = "one",
                                      .version = "test",
                                      .capacity = 5,
                                      .registry = registry,
                                      .seed = 1};
    const struct engine_io io = {.send = io_send,
                                 .close = io_close,
                                 .start_timer = io_start_timer,
                                 .cancel_timer = io_cancel_timer,
                                 .attached = io_nothing,
                                 .drained = io_nothing};
    assert_int_equal(fm_log_set_levels("off", &err), 0);
    from_json_begin();
    seq = heard = 0;
    engine = engine_new(&cfg, &io);
    engine_connected(engine, 0);
    say("{'welcome': {'lease_ms': 100000, 'heartbeat_ms': 50000, 'max_step_bytes': 8388608}}");
    say("{'assign': {'job_id': '" JOB
        "', 'epoch': 1, 'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'%s}]}, "
        "'state': {'pending_tasks': [{'task_id': 'x', 'routine': 'r', 'slot': 'in'}]}}}",
        more);
}

static void close_engine(void)
{
    engine_free(engine);
    from_json_end();
}

/* An input at the slot. */
static long long run(const char *slot, unsigned number)
{
    return say("{'deliver': {'job_id': '" JOB
               "', 'epoch': 1, 'inputs': [{'task_id': 'i%u', 'routine': 'r', 'slot': "
               "'%s', 'input_number': %u}]}}",
               number, slot, number);
}

static int setup(void **state)
{
    struct fm_err err = {0};
    (void)state;
    order = FORWARDS;
    registry = registry_new();
    return registry_add(registry, &plain, &err);
}

static int teardown(void **state)
{
    (void)state;
    registry_free(registry);
    return 0;
}

/* One step at a slot that does it n times. */
static long long one_step(size_t n, void *slot)
{
    n_times = n;
    open_engine("");
    long long us = run(slot, 1);
    assert_string_equal(why, "");
    assert_true(logged >= n);
    close_engine();
    return us;
}

static void what_a_handler_does_costs_no_more_the_more_it_does(void **state)
{
    (void)state;
    static const char *const does[] = {"append", "get", "schedule", "log", "emit"};
    for (order = FORWARDS; order <= ONE_KEY; order++)
        for (size_t i = 0; i < sizeof(does) / sizeof(does[0]); i++)
            if (order == FORWARDS || i < 1 || (i == 2 && order == BACKWARDS))
                test_linear(does[i], one_step, 8000, (void *)(uintptr_t)does[i]);
}

/* As many tasks wait as are dropped. */
static long long drop(size_t n, void *arg)
{
    (void)arg;
    n_times = n;
    order = FORWARDS;
    open_engine("");
    run("schedule", 1);
    say("{'step_acks': {'acks': [{'job_id': '" JOB "', 'epoch': 1, 'number': 2}]}}");
    order = BACKWARDS;
    dropped = 0;
    long long us = run("unschedule", 2);
    if (failed != 0 || dropped != n)
        fail_msg("%zu of %zu were dropped; %s", dropped, n, why);
    close_engine();
    return us;
}

static void dropped_tasks_cost_no_more_the_more_there_are(void **state)
{
    (void)state;
    test_linear("unschedule", drop, 8000, NULL);
}

/* Events of a routine from which as many connections of another event lead. */
static long long emit_beside(size_t n, void *arg)
{
    (void)arg;
    n_times = n;
    order = FORWARDS;
    open_engine("");
    fm_autofree char *json = fm_xmalloc(n * 100 + 500);
    char *end =
        json + sprintf(json, "{'assign': {'job_id': '" OTHER_JOB "', 'epoch': 1, 'flow': {'name': 'f', "
                             "'routines': [{'id': 'r', 'type': 't'}], 'connections': [");
    for (size_t i = 0; i < n; i++)
        end += sprintf(end,
                       "%s{'from': {'routine': 'r', 'event': 'other'}, 'to': {'routine': 'r', 'slot': 'in'}}",
                       i > 0 ? "," : "");
    sprintf(end,
            "]}, 'state': {}, 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'emit', 'input_number': "
            "1}]}}");
    long long us = say_text(json);
    assert_true(failed == 0 && logged == n);
    close_engine();
    return us;
}

static void events_cost_no_more_with_connections_of_others(void **state)
{
    (void)state;
    test_linear("events beside connections", emit_beside, 4000, NULL);
}

/* A step at a slot of a routine whose event "out" meets n connections, which take nothing with `filter`. */
static long long run_before(const char *slot, size_t n, const char *filter)
{
    open_engine("");
    fm_autofree char *json = fm_xmalloc(n * 150 + 500);
    char *end =
        json + sprintf(json, "{'assign': {'job_id': '" OTHER_JOB "', 'epoch': 1, 'flow': {'name': 'f', "
                             "'routines': [{'id': 'r', 'type': 't'}], 'connections': [");
    for (size_t i = 0; i < n; i++)
        end += sprintf(end,
                       "%s{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'r', 'slot': 'in'}%s}",
                       i > 0 ? "," : "", filter);
    sprintf(end,
            "]}, 'state': {}, 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': '%s', 'input_number': "
            "1}]}}",
            slot);
    long long us = say_text(json);
    close_engine();
    return us;
}

/* One event of a megabyte would be 9,000 tasks of a megabyte. */
static void what_events_make_has_an_end_before_it_is_made(void **state)
{
    (void)state;
    n_times = 1;
    long long us = run_before("emit_much", 9000, "");
    assert_string_equal(why, "the step is not acceptable: step.new_tasks: the connections of its events make "
                             "more than the 8388608 bytes "
                             "that a step may have");
    assert_true(us < 2000000LL * test_slow());
    run_before("emit_much", 7, "");
    assert_string_equal(why, "");
}

/* Nobody would be there to fail when they are emitted. */
static void what_deferred_events_will_make_has_the_same_end(void **state)
{
    (void)state;
    n_times = 1;
    run_before("defer_much", 9000, "");
    assert_string_equal(why, "the step is not acceptable: step.new_tasks: the connections of its events make "
                             "more than the 8388608 bytes "
                             "that a step may have");
    run_before("defer_much", 7, "");
    assert_string_equal(why, "");
}

static void events_meet_only_so_many_connections(void **state)
{
    (void)state;
    n_times = FM_MAX_STEP_ROUTES / 1000;
    run_before("emit", 1000, ", 'filter': {'a': 1}");
    assert_string_equal(why, "");
    n_times++;
    run_before("emit", 1000, ", 'filter': {'a': 1}");
    assert_string_equal(why, "the step is not acceptable: step.emissions: its events meet more than 2000000 "
                             "connections together, which "
                             "is the limit of a step");
}

static void a_step_that_does_too_much_fails_and_says_so(void **state)
{
    (void)state;
    static const char *const does[][2] = {
        {"append", "changes of state"  },
        {"log",    "entries of the log"},
        {"emit",   "events"            }
    };
    for (size_t i = 0; i < sizeof(does) / sizeof(does[0]); i++) {
        char text[128];
        n_times = FM_MAX_STEP_ITEMS + 1;
        open_engine("");
        run(does[i][0], 1);
        snprintf(text, sizeof(text), "the step has more than 150000 %s, which is the limit", does[i][1]);
        assert_string_equal(why, text);
        close_engine();
        n_times--;
        open_engine("");
        run(does[i][0], 1);
        assert_string_equal(why, "");
        close_engine();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_a_handler_does_costs_no_more_the_more_it_does),
        TEST(dropped_tasks_cost_no_more_the_more_there_are),
        TEST(events_cost_no_more_with_connections_of_others),
        TEST(what_events_make_has_an_end_before_it_is_made),
        TEST(what_deferred_events_will_make_has_the_same_end),
        TEST(events_meet_only_so_many_connections),
        TEST(a_step_that_does_too_much_fails_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
