/* What the fold refuses: each rule of a step, broken alone, in a state in which the step would else be good.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#include "from_json.h"
#include "job_state.h"

#define AT ", 'committed_at': {'seconds': 1000}"
#define TEN_YEARS_AND_A_BIT "316224000001"

struct fold {
    struct job_state *state;
    struct task_item *inputs;
};

static int apply(struct fold *f, const char *fields, struct fm_err *err)
{
    char json[4096];
    struct task_item *task = NULL;
    snprintf(json, sizeof(json), "{%s}", fields);
    int rc = job_state_apply(f->state, &f->inputs, from_json(&fermata__v1__step__descriptor, json), 100,
                             (struct state_limit){1 << 20, 0}, &task, err);
    free(task);
    return rc;
}

static void add_input(struct fold *f, unsigned number)
{
    char json[128];
    snprintf(json, sizeof(json), "{'task_id': 'i%u', 'routine': 'r', 'slot': 'in', 'input_number': %u}",
             number, number);
    struct task_item *t = task_item_new(from_json(&fermata__v1__task__descriptor, json));
    DL_APPEND(f->inputs, t);
}

/* Inputs 1 to 3, of which step 1 took the first two and consumed i2; a task s1.0 that waits for its time, one
 * s1.1 that does not; a deferred event; "text" and a list in the shared data. */
static void begin(struct fold *f)
{
    struct fm_err err = {0};
    f->state = job_state_new();
    f->inputs = NULL;
    for (unsigned i = 1; i <= 3; i++)
        add_input(f, i);
    int rc = apply(
        f,
        "'number': 1, 'task_id': 'i2', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 1" AT
        ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'delay_ms': 5000}, "
        "{'task_id': 's1.1', 'routine': 'r', 'slot': 'in'}], "
        "'deferred_events': [{'event': 'e'}], "
        "'changes': [{'key': 'text', 'kind': 1, 'value': 'x'}, {'key': 'list', 'kind': 2, 'value': 'x'}]",
        &err);
    if (rc < 0)
        fail_msg("%s: %s", err.field, err.msg);
}

static void end(struct fold *f)
{
    job_state_free(f->state);
    task_list_free(f->inputs);
}

/* The step is refused for this field; nothing has changed. */
static void refused(const char *fields, const char *field)
{
    struct fold f;
    struct fm_err err = {0};
    struct fm_buf before = {0}, after = {0};
    begin(&f);
    job_state_encode(f.state, f.inputs, &before);
    if (apply(&f, fields, &err) == 0)
        fail_msg("it is not refused: %s", fields);
    if (strcmp(err.field, field) != 0)
        fail_msg("it is refused for %s (%s), not for %s: %s", err.field, err.msg, field, fields);
    job_state_encode(f.state, f.inputs, &after);
    assert_int_equal(before.n, after.n);
    assert_memory_equal(before.p, after.p, before.n);
    fm_buf_done(&before);
    fm_buf_done(&after);
    end(&f);
}

static void accepted(const char *fields)
{
    struct fold f;
    struct fm_err err = {0};
    begin(&f);
    if (apply(&f, fields, &err) < 0)
        fail_msg("%s (%s): %s", err.field, err.msg, fields);
    end(&f);
}

/* A step that is good but for what `more` says. */
#define OF_I1(through, more)                                                                                 \
    "'number': 2, 'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'inputs_through': " through AT more

static void the_task_of_a_step_is_one_that_waits(void **state)
{
    (void)state;
    accepted(OF_I1("2", ", 'outcome': 1"));
    accepted(OF_I1("3", ", 'outcome': 1"));
    refused(
        "'number': 2, 'task_id': 'i2', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 1" AT,
        "step.task_id"); /* consumed */
    refused(
        "'number': 2, 'task_id': 'i3', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 1" AT,
        "step.task_id"); /* an input that it does not take */
    accepted(
        "'number': 2, 'task_id': 'i3', 'routine': 'r', 'slot': 'in', 'inputs_through': 3, 'outcome': 1" AT);
    refused(
        "'number': 2, 'task_id': 'i1', 'routine': 's', 'slot': 'in', 'inputs_through': 2, 'outcome': 1" AT,
        "step.task_id");
    refused(
        "'number': 2, 'task_id': 'i1', 'routine': 'r', 'slot': 'out', 'inputs_through': 2, 'outcome': 1" AT,
        "step.task_id");
    refused(
        "'number': 2, 'task_id': 'i3', 'routine': 's', 'slot': 'in', 'inputs_through': 3, 'outcome': 1" AT,
        "step.task_id");
    refused(
        "'number': 2, 'task_id': 'i3', 'routine': 'r', 'slot': 'out', 'inputs_through': 3, 'outcome': 1" AT,
        "step.task_id");
}

static void numbers_follow_each_other(void **state)
{
    (void)state;
    refused(
        "'number': 1, 'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 1" AT,
        "step.number");
    refused(
        "'number': 3, 'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 1" AT,
        "step.number");
    refused(OF_I1("1", ", 'outcome': 1"), "step.inputs_through");
    refused(OF_I1("4", ", 'outcome': 1"), "step.inputs_through");
}

#define DEFERRED                                                                                             \
    ", 'outcome': 1, 'deferred_emitted': 1, 'deferred_tasks': [{'task_id': 'd2.0', 'routine': 'r', 'slot': " \
    "'x'}]"

static void deferred_events_are_emitted_once(void **state)
{
    (void)state;
    accepted(OF_I1("2", DEFERRED));
    accepted("'number': 2, 'task_id': 'd2.0', 'routine': 'r', 'slot': 'x', 'inputs_through': 2" AT DEFERRED);
    refused("'number': 2, 'task_id': 'd2.0', 'routine': 'r', 'slot': 'y', 'inputs_through': 2" AT DEFERRED,
            "step.task_id");
    refused("'number': 2, 'task_id': 'd2.0', 'routine': 's', 'slot': 'x', 'inputs_through': 2" AT DEFERRED,
            "step.task_id");
    refused(OF_I1("2", ", 'outcome': 1, 'deferred_emitted': 2"), "step.deferred_emitted");
    refused(
        OF_I1("2", ", 'outcome': 1, 'deferred_tasks': [{'task_id': 'd2.0', 'routine': 'r', 'slot': 'x'}]"),
        "step.deferred_tasks");
    refused(OF_I1("2", ", 'outcome': 1, 'deferred_emitted': 1, 'deferred_outputs': [{}, {}]"),
            "step.deferred_outputs");
    refused(OF_I1("2", ", 'outcome': 1, 'deferred_emitted': 1, "
                       "'deferred_tasks': [{'task_id': 'd2.1', 'routine': 'r', 'slot': 'x'}]"),
            "step.new_tasks.task_id");
}

static void new_tasks_are_named_by_their_step(void **state)
{
    (void)state;
    accepted(OF_I1("2", ", 'outcome': 1, 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in'}]"));
    refused(OF_I1("2", ", 'outcome': 1, 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"),
            "step.new_tasks.task_id");
    refused(OF_I1("2", ", 'outcome': 1, 'new_tasks': [{'task_id': 's2.0', 'slot': 'in'}]"),
            "step.new_tasks.routine");
    refused(OF_I1("2", ", 'outcome': 1, 'new_tasks': [{'task_id': 's2.0', 'routine': 'r'}]"),
            "step.new_tasks.routine");
    refused(OF_I1("2", ", 'outcome': 1, 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in', "
                       "'delay_ms': " TEN_YEARS_AND_A_BIT "}]"),
            "step.new_tasks.delay_ms");
    refused(OF_I1("2", ", 'outcome': 1, 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in', "
                       "'input_number': 1}]"),
            "step.new_tasks.input_number");
}

static void changes_fit_what_is_there(void **state)
{
    (void)state;
    accepted(OF_I1("2", ", 'outcome': 1, 'changes': [{'key': 'list', 'kind': 2, 'value': 1}]"));
    accepted(OF_I1(
        "2",
        ", 'outcome': 1, 'changes': [{'key': 'text', 'kind': 3}, {'key': 'text', 'kind': 2, 'value': 1}]"));
    accepted(OF_I1("2", ", 'outcome': 1, 'changes': [{'key': 'text', 'kind': 1, 'value': []}, {'key': "
                        "'text', 'kind': 2, 'value': 1}]"));
    accepted(
        OF_I1("2", ", 'outcome': 1, 'changes': [{'routine': 'r', 'key': 'text', 'kind': 2, 'value': 1}]"));
    refused(OF_I1("2", ", 'outcome': 1, 'changes': [{'key': 'text', 'kind': 2, 'value': 1}]"),
            "step.changes.kind");
    refused(OF_I1("2", ", 'outcome': 1, 'changes': [{'key': 'new', 'kind': 1, 'value': 1}, {'key': 'new', "
                       "'kind': 2, 'value': 1}]"),
            "step.changes.kind");
    refused(OF_I1("2", ", 'outcome': 1, 'changes': [{'key': '', 'kind': 1, 'value': 1}]"),
            "step.changes.key");
    refused(OF_I1("2", ", 'outcome': 1, 'changes': [{'key': 'text', 'kind': 1}]"), "step.changes.value");
    refused(OF_I1("2", ", 'outcome': 1, 'changes': [{'key': 'text', 'kind': 9, 'value': 1}]"),
            "step.changes.kind");
    char json[1024], key[258];
    memset(key, 'k', 257);
    key[257] = '\0';
    snprintf(json, sizeof(json),
             OF_I1("2", ", 'outcome': 1, 'changes': [{'key': '%s', 'kind': 1, 'value': 1}]"), key);
    refused(json, "step.changes.key");
    key[256] = '\0';
    snprintf(json, sizeof(json),
             OF_I1("2", ", 'outcome': 1, 'changes': [{'key': '%s', 'kind': 1, 'value': 1}]"), key);
    accepted(json);
}

static void only_what_waits_for_its_time_is_dropped(void **state)
{
    (void)state;
    accepted(OF_I1("2", ", 'outcome': 1, 'unscheduled': ['s1.0']"));
    refused(OF_I1("2", ", 'outcome': 1, 'unscheduled': ['s1.1']"), "step.unscheduled");
    refused(OF_I1("2", ", 'outcome': 1, 'unscheduled': ['s1.7']"), "step.unscheduled");
    refused(OF_I1("2", ", 'outcome': 1, 'unscheduled': ['s1.0', 's1.0']"), "step.unscheduled");
    refused(
        "'number': 2, 'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 1, "
        "'unscheduled': ['s1.0']" AT,
        "step.unscheduled");
}

#define RETRY ", 'outcome': 'STEP_OUTCOME_RETRY', 'retry_delay_ms': 100"

static void an_attempt_that_is_tried_again_leaves_nothing_behind(void **state)
{
    (void)state;
    static const char *const more[] = {", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in'}]",
                                       ", 'pauses': [{'pause_id': 'p2.0'}]",
                                       ", 'deferred_events': [{'event': 'e'}]",
                                       ", 'children': [{}]",
                                       ", 'unscheduled': ['s1.0']",
                                       ", 'log': [{'message': 'x'}]",
                                       ", 'emissions': [{'event': 'e'}]"};
    accepted(OF_I1("2", RETRY));
    accepted(OF_I1("2", RETRY ", 'changes': [{'routine': 'r', 'key': 'k', 'kind': 1, 'value': 1}]"));
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        char json[1024];
        snprintf(json, sizeof(json), "%s%s", OF_I1("2", RETRY), more[i]);
        refused(json, "step.outcome");
    }
    refused(OF_I1("2", RETRY ", 'changes': [{'routine': 's', 'key': 'k', 'kind': 1, 'value': 1}]"),
            "step.changes.routine");
    refused(OF_I1("2", RETRY ", 'changes': [{'key': 'k', 'kind': 1, 'value': 1}]"), "step.changes.routine");
    refused(OF_I1("2", ", 'outcome': 'STEP_OUTCOME_RETRY', 'retry_delay_ms': " TEN_YEARS_AND_A_BIT),
            "step.retry_delay_ms");
}

#define PRELUDE "'number': 2, 'inputs_through': 2, 'deferred_emitted': 1" AT

static void a_step_without_a_task_only_emits_deferred_events(void **state)
{
    (void)state;
    static const char *const more[] = {", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in'}]",
                                       ", 'pauses': [{'pause_id': 'p2.0'}]",
                                       ", 'deferred_events': [{'event': 'e'}]",
                                       ", 'children': [{}]",
                                       ", 'unscheduled': ['s1.0']",
                                       ", 'log': [{'message': 'x'}]",
                                       ", 'emissions': [{'event': 'e'}]",
                                       ", 'changes': [{'key': 'k', 'kind': 1, 'value': 1}]",
                                       ", 'error': {}",
                                       ", 'usage': {}"};
    accepted(PRELUDE ", 'outcome': 'STEP_OUTCOME_CONTINUE'");
    refused(PRELUDE ", 'outcome': 'STEP_OUTCOME_COMPLETE'", "step.task_id");
    refused("'number': 2, 'inputs_through': 3, 'outcome': 'STEP_OUTCOME_CONTINUE'" AT, "step.task_id");
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        char json[1024];
        snprintf(json, sizeof(json), PRELUDE ", 'outcome': 'STEP_OUTCOME_CONTINUE'%s", more[i]);
        refused(json, "step.task_id");
    }
    refused(PRELUDE ", 'outcome': 'STEP_OUTCOME_CONTINUE', 'deferred_tasks': [{'task_id': 'd1.0', 'routine': "
                    "'r', 'slot': 'x'}]",
            "step.new_tasks.task_id");
}

static void an_operators_step_makes_no_tasks(void **state)
{
    (void)state;
    accepted(OF_I1("2", ", 'outcome': 1, 'remedy': {'kind': 1}"));
    accepted("'number': 2, 'inputs_through': 2, 'outcome': 1, 'remedy': {'kind': 4}, 'changes': [{'key': "
             "'k', 'kind': 1, 'value': 1}]" AT);
    refused(OF_I1("2", ", 'outcome': 1, 'remedy': {'kind': 1}, 'new_tasks': [{'task_id': 's2.0', 'routine': "
                       "'r', 'slot': 'in'}]"),
            "step.remedy");
    refused(OF_I1("2", ", 'outcome': 1, 'remedy': {'kind': 1}, 'deferred_emitted': 1"), "step.remedy");
    refused("'number': 2, 'task_id': 'i3', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 1, "
            "'remedy': {'kind': 1}" AT,
            "step.task_id");
    refused(
        OF_I1("2", ", 'outcome': 1, 'remedy': {'kind': 1}, 'changes': [{'key': '', 'kind': 1, 'value': 1}]"),
        "step.changes.key");
}

/* ---- what a step does to its task ---- */

static Fermata__V1__JobState *after(const char *fields)
{
    struct fold f;
    struct fm_err err = {0};
    struct fm_buf b = {0};
    begin(&f);
    if (apply(&f, fields, &err) < 0)
        fail_msg("%s (%s): %s", err.field, err.msg, fields);
    job_state_encode(f.state, NULL, &b);
    Fermata__V1__JobState *s = fermata__v1__job_state__unpack(NULL, b.n, b.p);
    assert_non_null(s);
    fm_buf_done(&b);
    end(&f);
    return s;
}

static const Fermata__V1__Task *task_of(const Fermata__V1__JobState *s, const char *id)
{
    for (size_t i = 0; i < s->n_pending_tasks; i++)
        if (strcmp(s->pending_tasks[i]->task_id, id) == 0)
            return s->pending_tasks[i];
    return NULL;
}

static void an_attempt_counts_with_what_it_took_and_what_it_waits(void **state)
{
    (void)state;
    Fermata__V1__JobState *s = after(OF_I1("2", RETRY ", 'duration_us': 250000"));
    const Fermata__V1__Task *t = task_of(s, "i1");
    assert_non_null(t);
    assert_int_equal(t->failed_attempts, 1);
    assert_int_equal(t->spent_ms, 350);
    assert_int_equal(t->due_at->seconds, 1000);
    assert_int_equal(t->due_at->nanos, 100000000);
    assert_string_equal(s->pending_tasks[0]->task_id, "i1"); /* in its place */
    fermata__v1__job_state__free_unpacked(s, NULL);
}

static void a_task_that_fails_its_job_stays_and_another_is_consumed(void **state)
{
    (void)state;
    Fermata__V1__JobState *s = after(OF_I1("2", ", 'outcome': 'STEP_OUTCOME_FAIL'"));
    assert_non_null(task_of(s, "i1"));
    fermata__v1__job_state__free_unpacked(s, NULL);
    s = after(OF_I1("2", ", 'outcome': 'STEP_OUTCOME_CONTINUE', 'unscheduled': ['s1.0']"));
    assert_null(task_of(s, "i1"));
    assert_null(task_of(s, "s1.0"));
    assert_non_null(task_of(s, "s1.1"));
    fermata__v1__job_state__free_unpacked(s, NULL);
}

static int setup(void **state)
{
    (void)state;
    from_json_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    from_json_end();
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_task_of_a_step_is_one_that_waits),
        TEST(numbers_follow_each_other),
        TEST(deferred_events_are_emitted_once),
        TEST(new_tasks_are_named_by_their_step),
        TEST(changes_fit_what_is_there),
        TEST(only_what_waits_for_its_time_is_dropped),
        TEST(an_attempt_that_is_tried_again_leaves_nothing_behind),
        TEST(a_step_without_a_task_only_emits_deferred_events),
        TEST(an_operators_step_makes_no_tasks),
        TEST(an_attempt_counts_with_what_it_took_and_what_it_waits),
        TEST(a_task_that_fails_its_job_stays_and_another_is_consumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
