/* The fold of steps into a state, rule by rule: what each step leaves, and in which words one is refused.
 * Steps and states are JSON. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#include "fermata/v1/types.pb-c.h"
#include "fold_size.h"
#include "from_json.h"
#include "job.h"
#include "job_state.h"
#include "json_text.h"
#include "mem.h"
#include "to_json.h"

#define MAX_BYTES (1u << 20)

static struct job_state *folded;
static struct task_item *inputs;

static int setup(void **state)
{
    (void)state;
    from_json_begin();
    folded = job_state_new();
    inputs = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    job_state_free(folded);
    task_list_free(inputs);
    from_json_end();
    return 0;
}

static void add_input(uint32_t number)
{
    char text[200];
    json_print(text, sizeof(text),
               "{'task_id': 'i%u', 'routine': 'r', 'slot': 'in', 'input_number': %u, 'data': {'n': %u}}",
               number, number, number);
    struct task_item *t = task_item_new(from_json(&fermata__v1__task__descriptor, text));
    DL_APPEND(inputs, t);
}

static json_t *shown(const struct job_state *s)
{
    fm_auto(fm_buf) b = {0};
    job_state_encode(s, NULL, &b);
    Fermata__V1__JobState *m = fermata__v1__job_state__unpack(NULL, b.n, b.p);
    assert_non_null(m);
    json_t *j = to_json(&m->base);
    fermata__v1__job_state__free_unpacked(m, NULL);
    return j;
}

/* Folds the step in. The task it took is returned, or the error's text; for free(). */
static char *fold(const char *step)
{
    struct fm_err err = {0};
    struct task_item *task = NULL;
    const Fermata__V1__Step *s = from_json(&fermata__v1__step__descriptor, step);
    size_t before = job_state_bytes(folded), own = job_state_own_bytes_after(folded, s),
           most = job_state_own_bytes_at_most(folded, s, protobuf_c_message_get_packed_size(&s->base));
    int rc = job_state_apply(folded, &inputs, s, 100, (struct state_limit){MAX_BYTES, 0}, &task, &err);
    if (rc < 0) {
        assert_int_equal(rc, -(int)err.code);
        assert_int_equal(job_state_bytes(folded), before);
        assert_null(task);
        char *text = fm_xstrdup(err.msg);
        fm_err_done(&err);
        return text;
    }
    size_t made = s->n_new_tasks + s->n_deferred_tasks + s->n_log + s->n_deferred_events + s->n_emissions +
                  s->n_deferred_outputs + s->n_changes + 1;
    assert_in_range(job_state_own_bytes(folded), 0, own); /* it was foreseen, and not by far too much */
    assert_in_range(own, 0, job_state_own_bytes(folded) + 60 * made);
    assert_in_range(own, 0, most);
    if (task == NULL)
        return fm_xstrdup("");
    Fermata__V1__Task *m = fermata__v1__task__unpack(NULL, task->body.n, task->body.p);
    json_t *j = to_json(&m->base);
    char *text = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(j);
    fermata__v1__task__free_unpacked(m, NULL);
    free(task);
    return text;
}

static void folds(const char *step)
{
    uint32_t number = job_state_step(folded);
    char *text = fold(step);
    if (job_state_step(folded) != number + 1)
        fail_msg("%s", text);
    free(text);
}

static void refuses(const char *step, const char *why)
{
    uint32_t number = job_state_step(folded);
    char *text = fold(step);
    assert_int_equal(job_state_step(folded), number);
    assert_string_equal(text, why);
    free(text);
}

/* The state is this; and so is one that is read from its encoding, which counts as many bytes. */
static void is(const char *want)
{
    struct fm_err err = {0};
    struct job_state *again;
    json_t *j = json_parse(want), *now = shown(folded);
    char *now_text = json_dumps(now, JSON_SORT_KEYS | JSON_COMPACT);
    if (!json_equal(j, now))
        fail_msg("the state is %s", now_text);
    fm_auto(fm_buf) b = {0};
    job_state_encode(folded, NULL, &b);
    assert_int_equal(job_state_decode(fm_buf_bytes(&b), &again, &err), 0);
    json_t *then = shown(again);
    assert_true(json_equal(now, then));
    assert_int_equal(job_state_bytes(again), job_state_bytes(folded));
    assert_int_equal(job_state_pending(again), job_state_pending(folded));
    assert_int_equal(job_state_deferred(again), job_state_deferred(folded));
    assert_int_equal(job_state_next_due(again), job_state_next_due(folded));
    assert_int_equal(job_state_inputs(again), job_state_inputs(folded));
    job_state_free(again);
    json_decref(then);
    json_decref(now);
    json_decref(j);
    free(now_text);
}

#define STEP(n, task)                                                                                        \
    "{'number': " #n ", 'task_id': '" task "', 'routine': 'r', 'slot': 'in', 'inputs_through': 1"
#define FIRST STEP(1, "i1")

/* ---- what a step leaves ---- */

static void a_step_makes_tasks_state_log_outputs_and_usage(void **state)
{
    (void)state;
    add_input(1);
    char *task = fold(
        FIRST
        ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'q', 'slot': 'x', 'delay_ms': 1500, 'schedule_key': "
        "'k'}, {'task_id': 's1.1', 'routine': 'q', 'slot': 'y'}], 'changes': [{'key': 'a', 'kind': 1, "
        "'value': 1}, {'routine': 'r', 'key': 'b', 'kind': 2, 'value': 2}, {'routine': 'r', 'key': 'b', "
        "'kind': 2, 'value': 3}], 'log': [{'message': 'm', 'step': 9, 'routine': 'z'}], "
        "'deferred_events': [{'event': 'e', 'routine': 'z', 'step': 9}], 'emissions': [{'event': 'out', "
        "'data': {'o': 1}}, {'event': 'led', 'tasks': 1}], 'usage': {'input_tokens': 1, 'output_tokens': "
        "2, 'cached_tokens': 3, 'cost': 0.1, 'calls': 4}, 'committed_at': {'seconds': 10}}");
    assert_string_equal(
        task,
        "{\"data\":{\"n\":1.0},\"input_number\":1,\"routine\":\"r\",\"slot\":\"in\",\"task_id\":\"i1\"}");
    free(task);
    is("{'pending_tasks': [{'task_id': 's1.0', 'routine': 'q', 'slot': 'x', 'due_at': 11500, 'schedule_key': "
       "'k'}, {'task_id': "
       "'s1.1', 'routine': 'q', 'slot': 'y'}], 'shared_data': {'a': 1.0}, 'routine_states': {'r': {'b': "
       "[2.0, 3.0]}}, "
       "'shared_log': [{'message': 'm', 'step': 1, 'routine': 'r', 'at': 10000}], 'deferred_events': "
       "[{'event': 'e', 'routine': "
       "'r', 'step': 1}], 'outputs': [{'event': 'out', 'routine': 'r', 'step': 1, 'data': {'o': 1.0}}], "
       "'usage': "
       "{'input_tokens': 1, 'output_tokens': 2, 'cached_tokens': 3, 'cost': 0.1, 'calls': 4}, 'step_number': "
       "1, "
       "'inputs_through': 1}");
    assert_int_equal(job_state_pending(folded), 2);
    assert_int_equal(job_state_deferred(folded), 1);
    assert_int_equal(job_state_next_due(folded), 11500);
    assert_int_equal(job_state_runnable(folded, 11499, 0), 1);
    assert_int_equal(job_state_runnable(folded, 11500, 0), 2);
    folds("{'number': 2, 'task_id': 's1.1', 'routine': 'q', 'slot': 'y', 'inputs_through': 1, 'unscheduled': "
          "['s1.0'], "
          "'changes': [{'key': 'a', 'kind': 3}, {'key': 'none', 'kind': 3}], 'usage': {'input_tokens': 10, "
          "'output_tokens': 20, "
          "'cached_tokens': 30, 'cost': 0.2, 'calls': 40}}");
    is("{'routine_states': {'r': {'b': [2.0, 3.0]}}, 'shared_log': [{'message': 'm', 'step': 1, 'routine': "
       "'r', 'at': 10000}], "
       "'deferred_events': [{'event': 'e', 'routine': 'r', 'step': 1}], 'outputs': [{'event': 'out', "
       "'routine': 'r', 'step': 1, "
       "'data': {'o': 1.0}}], 'usage': {'input_tokens': 11, 'output_tokens': 22, 'cached_tokens': 33, "
       "'cost': 0.3, 'calls': 44}, "
       "'step_number': 2, 'inputs_through': 1}");
    assert_int_equal(job_state_next_due(folded), 0);
}

static void a_step_takes_inputs_and_emits_deferred_events_before_its_task(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 3; i++)
        add_input(i);
    folds(FIRST ", 'deferred_events': [{'event': 'e'}, {'event': 'f'}, {'event': 'g'}]}");
    folds("{'number': 2, 'inputs_through': 3, 'deferred_emitted': 2, 'outcome': 1, 'deferred_tasks': "
          "[{'task_id': 'd2.0', "
          "'routine': 'q', 'slot': 'x'}], 'deferred_outputs': [{'routine': 'r', 'event': 'f', 'step': 9}]}");
    assert_null(inputs);
    is("{'pending_tasks': [{'task_id': 'd2.0', 'routine': 'q', 'slot': 'x'}, {'task_id': 'i2', 'routine': "
       "'r', 'slot': 'in', "
       "'input_number': 2, 'data': {'n': 2.0}}, {'task_id': 'i3', 'routine': 'r', 'slot': 'in', "
       "'input_number': 3, 'data': {'n': "
       "3.0}}], 'deferred_events': [{'event': 'g', 'routine': 'r', 'step': 1}], 'outputs': [{'routine': 'r', "
       "'event': 'f', "
       "'step': 2}], 'step_number': 2, 'inputs_through': 3}");
    folds("{'number': 3, 'task_id': 'd3.0', 'routine': 'q', 'slot': 'x', 'inputs_through': 3, "
          "'deferred_emitted': 1, "
          "'deferred_tasks': [{'task_id': 'd3.0', 'routine': 'q', 'slot': 'x'}]}"); /* it takes what it made
                                                                                       itself */
    assert_int_equal(job_state_pending(folded), 3);
    assert_int_equal(job_state_deferred(folded), 0);
}

static void an_attempt_that_is_tried_again_leaves_its_task_with_its_count(void **state)
{
    (void)state;
    add_input(1);
    folds(FIRST ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}, {'task_id': 's1.1', "
                "'routine': 'r', 'slot': "
                "'in'}]}");
    char *task = fold(STEP(
        2,
        "s1.0") ", 'outcome': 5, 'retry_delay_ms': 500, 'duration_us': 2500000, 'committed_at': {'seconds': "
                "10}, 'changes': [{'routine': 'r', 'key': 'k', 'kind': 1, 'value': 1}]}");
    assert_string_equal(task, "{\"routine\":\"r\",\"slot\":\"in\",\"task_id\":\"s1.0\"}"); /* as it was */
    free(task);
    is("{'pending_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'failed_attempts': 1, "
       "'spent_ms': 3000, 'due_at': "
       "10500}, {'task_id': 's1.1', 'routine': 'r', 'slot': 'in'}], 'routine_states': {'r': {'k': 1.0}}, "
       "'step_number': 2, "
       "'inputs_through': 1}");
    folds(STEP(3, "s1.0") ", 'outcome': 5, 'duration_us': 1000, 'committed_at': {'seconds': 20}}");
    is("{'pending_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'failed_attempts': 2, "
       "'spent_ms': 3001}, {'task_id': "
       "'s1.1', 'routine': 'r', 'slot': 'in'}], 'routine_states': {'r': {'k': 1.0}}, 'step_number': 3, "
       "'inputs_through': 1}");
    folds(STEP(4, "s1.0") ", 'outcome': 4}"); /* and one that fails leaves it as it is */
    assert_int_equal(job_state_pending(folded), 2);
    folds(STEP(5, "s1.0") ", 'outcome': 3}");
    assert_int_equal(job_state_pending(folded), 1);
}

static void an_operator_replaces_a_task_in_its_place_or_drops_it(void **state)
{
    (void)state;
    add_input(1);
    folds(FIRST ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}, {'task_id': 's1.1', "
                "'routine': 'r', 'slot': "
                "'in'}]}");
    folds(STEP(2, "s1.0") ", 'remedy': {'kind': 3, 'task': {'task_id': 's1.0', 'routine': 'r', 'slot': 'in', "
                          "'data': {'x': 1}}}}");
    is("{'pending_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'data': {'x': 1.0}}, "
       "{'task_id': 's1.1', 'routine': "
       "'r', 'slot': 'in'}], 'step_number': 2, 'inputs_through': 1}");
    folds(STEP(3, "s1.1") ", 'remedy': {'kind': 2}}");
    folds("{'number': 4, 'inputs_through': 1, 'remedy': {'kind': 4}, 'changes': [{'key': 'k', 'kind': 1, "
          "'value': 1}]}");
    is("{'pending_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'data': {'x': 1.0}}], "
       "'shared_data': {'k': 1.0}, "
       "'step_number': 4, 'inputs_through': 1}");
}

static void the_earliest_of_several_due_times_counts(void **state)
{
    (void)state;
    add_input(1);
    folds(FIRST ", 'committed_at': {'seconds': 10}, 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', "
                "'slot': 'in', 'delay_ms': "
                "7000}, {'task_id': 's1.1', 'routine': 'r', 'slot': 'in', 'delay_ms': 5000}, {'task_id': "
                "'s1.2', 'routine': 'r', "
                "'slot': 'in', 'delay_ms': 9000}]}");
    assert_int_equal(job_state_next_due(folded), 15000);
    folds(STEP(2, "s1.2") ", 'unscheduled': ['s1.1']}");
    assert_int_equal(job_state_next_due(folded), 17000);
}

/* ---- what is refused ---- */

static void a_step_that_breaks_a_rule_is_refused_in_words(void **state)
{
    (void)state;
    add_input(1);
    add_input(2);
    folds(FIRST ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'delay_ms': 1}, "
                "{'task_id': 's1.1', 'routine': "
                "'r', 'slot': 'in'}], 'deferred_events': [{'event': 'e'}], 'changes': [{'key': 'list', "
                "'kind': 2, 'value': 1}, "
                "{'key': 'one', 'kind': 1, 'value': 1}]}");
    refuses(STEP(3, "s1.1") "}", "step 3 does not follow step 1");
    refuses(STEP(1, "s1.1") "}", "step 1 does not follow step 1");
    refuses("{'number': 2, 'task_id': 's1.1', 'routine': 'r', 'slot': 'in'}",
            "inputs through 0; the job has taken 1 of 2");
    refuses("{'number': 2, 'task_id': 's1.1', 'routine': 'r', 'slot': 'in', 'inputs_through': 3}",
            "inputs through 3; the job has taken 1 of 2");
    refuses(STEP(2, "s1.1") ", 'deferred_emitted': 2}", "2 deferred events emitted; 1 were recorded");
    refuses(STEP(2, "s1.1") ", 'deferred_tasks': [{'task_id': 'd2.0', 'routine': 'r', 'slot': 'in'}]}",
            "tasks of deferred events, but none was emitted");
    refuses(STEP(2, "s1.1") ", 'deferred_emitted': 1, 'deferred_outputs': [{}, {}]}",
            "2 outputs of deferred events, but 1 were emitted");
    refuses(STEP(2, "i2") "}", "no task i2 waits at slot in of routine r");
    refuses("{'number': 2, 'task_id': 's1.1', 'routine': 'q', 'slot': 'in', 'inputs_through': 1}",
            "no task s1.1 waits at slot in of routine q");
    refuses("{'number': 2, 'task_id': 's1.1', 'routine': 'r', 'slot': 'out', 'inputs_through': 1}",
            "no task s1.1 waits at slot out of routine r");
    refuses("{'number': 2, 'task_id': 'i2', 'routine': 'q', 'slot': 'in', 'inputs_through': 2}",
            "no task i2 waits at slot in of routine q");
    refuses("{'number': 2, 'task_id': 'i2', 'routine': 'r', 'slot': 'x', 'inputs_through': 2}",
            "no task i2 waits at slot x of routine r");
    refuses("{'number': 2, 'task_id': 'd2.0', 'routine': 'r', 'slot': 'x', 'inputs_through': 1, "
            "'deferred_emitted': 1, "
            "'deferred_tasks': [{'task_id': 'd2.0', 'routine': 'r', 'slot': 'in'}]}",
            "no task d2.0 waits at slot x of routine r");
    refuses("{'number': 2, 'task_id': 'd2.0', 'routine': 'q', 'slot': 'in', 'inputs_through': 1, "
            "'deferred_emitted': 1, "
            "'deferred_tasks': [{'task_id': 'd2.0', 'routine': 'r', 'slot': 'in'}]}",
            "no task d2.0 waits at slot in of routine q");
    refuses(STEP(2, "s1.1") ", 'deferred_emitted': 1, 'deferred_tasks': [{'task_id': 'd2.1', 'routine': 'r', "
                            "'slot': 'in'}]}",
            "task 0 has the id \"d2.1\"; it must be d2.0");
    refuses(STEP(2, "s1.1") ", 'new_tasks': [{'task_id': 's2.0', 'slot': 'in'}]}",
            "task s2.0 names no routine or no slot");
    refuses(STEP(2, "s1.1") ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r'}]}",
            "task s2.0 names no routine or no slot");
    refuses(STEP(2, "s1.1") ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in', 'delay_ms': "
                            "316224000001}]}",
            "task s2.0 is due in 316224000001 ms; at most 316224000000 are allowed");
    refuses(
        STEP(2,
             "s1.1") ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in', 'input_number': 1}]}",
        "task s2.0 claims to be an input");
    refuses(STEP(2, "s1.1") ", 'changes': [{'key': 'k', 'kind': 1}]}", "change 0 of key k has no value");
    refuses(STEP(2, "s1.1") ", 'changes': [{'key': 'list', 'kind': 2}]}",
            "change 0 of key list has no value");
    refuses(STEP(2, "s1.1") ", 'changes': [{'key': 'one', 'kind': 2, 'value': 1}]}",
            "change 0 appends to key one, which is not a list");
    refuses(
        STEP(2, "s1.1") ", 'changes': [{'key': 'list', 'kind': 1, 'value': 1}, {'key': 'list', 'kind': 2, "
                        "'value': 1}]}",
        "change 1 appends to key list, which is not a list");
    refuses(STEP(2, "s1.1") ", 'changes': [{'key': 'k', 'kind': 9, 'value': 1}]}",
            "change 0 of key k has the unknown kind 9");
    refuses(STEP(2, "s1.1") ", 'unscheduled': ['s1.1']}", "no scheduled task s1.1 waits");
    refuses(STEP(2, "s1.1") ", 'unscheduled': ['s9.9']}", "no scheduled task s9.9 waits");
    refuses(STEP(2, "s1.0") ", 'unscheduled': ['s1.0']}", "no scheduled task s1.0 waits");
    refuses(STEP(2, "s1.1") ", 'unscheduled': ['s1.0', 's1.0']}", "task s1.0 is dropped twice");
    refuses(STEP(2, "s1.1") ", 'outcome': 5, 'retry_delay_ms': 316224000001}",
            "316224000001 ms; at most 316224000000 are allowed");
    refuses(STEP(2, "s1.1") ", 'outcome': 5, 'changes': [{'key': 'k', 'kind': 1, 'value': 1}]}",
            "an attempt that is tried again must change no state but its own");
    refuses(STEP(2, "s9.9") ", 'remedy': {'kind': 1}}", "no task s9.9 waits");
    refuses(STEP(2, "s1.1") ", 'remedy': {'kind': 1}, 'changes': [{'key': 'k', 'kind': 1}]}",
            "change 0 of key k has no value");
    folds(STEP(2, "s1.1") ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in', 'delay_ms': "
                          "316224000000}], "
                          "'changes': [{'key': 'one', 'kind': 3}, {'key': 'one', 'kind': 2, 'value': 1}], "
                          "'unscheduled': "
                          "['s1.0']}");
    folds("{'number': 3, 'task_id': 's2.0', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'outcome': 5, "
          "'retry_delay_ms': "
          "316224000000}");
}

static void what_a_failed_attempt_or_an_operator_may_not_make_is_refused(void **state)
{
    (void)state;
    add_input(1);
    folds(FIRST ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'delay_ms': 1}, "
                "{'task_id': 's1.1', 'routine': "
                "'r', 'slot': 'in'}], 'deferred_events': [{'event': 'e'}]}");
    static const char *const made[] = {"'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in'}]",
                                       "'pauses': [{'pause_id': 'p2.0'}]",
                                       "'deferred_events': [{'event': 'e'}]",
                                       "'children': [{}]",
                                       "'unscheduled': ['s1.0']",
                                       "'log': [{'message': 'm'}]",
                                       "'emissions': [{'event': 'e'}]"};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        char step[400];
        json_print(step, sizeof(step), STEP(2, "s1.1") ", 'outcome': 5, %s}", made[i]);
        refuses(step, "an attempt that is tried again must not make or emit anything");
        json_print(step, sizeof(step),
                   "{'number': 2, 'inputs_through': 1, 'outcome': 1, 'deferred_emitted': 1, %s}", made[i]);
        refuses(step, "a step without a task may only take inputs and emit deferred events");
    }
    static const char *const others[] = {"'changes': [{'key': 'k', 'kind': 1, 'value': 1}]", "'error': {}",
                                         "'usage': {}", "'outcome': 3"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char step[400];
        json_print(step, sizeof(step), "{'number': 2, 'inputs_through': 1, 'deferred_emitted': 1, %s%s}",
                   i < 3 ? "'outcome': 1," : "", others[i]);
        refuses(step, "a step without a task may only take inputs and emit deferred events");
    }
    refuses("{'number': 2, 'inputs_through': 1, 'outcome': 1}",
            "a step without a task may only take inputs and emit deferred events");
    static const char deferred[] = "'deferred_emitted': 1, 'deferred_outputs': [{}]";
    static const char *const remedies[] = {"'new_tasks': [{}]", "'deferred_emitted': 1", deferred};
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        char step[400];
        json_print(step, sizeof(step), STEP(2, "s1.1") ", 'remedy': {'kind': 2}, %s}", remedies[i]);
        refuses(step, "an operator's step makes no tasks and emits no deferred events");
    }
}

static int fold_within(const char *step, size_t most, size_t beside)
{
    struct fm_err err = {0};
    struct task_item *task = NULL;
    const Fermata__V1__Step *s = from_json(&fermata__v1__step__descriptor, step);
    size_t n = protobuf_c_message_get_packed_size(&s->base);
    int rc = job_state_apply(folded, &inputs, s, n, (struct state_limit){most, beside}, &task, &err);
    if (rc == -FM_RESOURCE_EXHAUSTED)
        assert_non_null(strstr(err.msg, "the job's state and its open questions would have about "));
    free(task);
    fm_err_done(&err);
    return rc;
}

#define BIG                                                                                                  \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xx"
#define BIGGER BIG BIG BIG BIG BIG BIG BIG BIG BIG BIG

static void the_limit_is_on_what_the_state_will_be(void **state)
{
    (void)state;
    add_input(1);
    static const char *const makes =
        FIRST ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', "
              "'data': {'x': '" BIGGER "'}}]}";
    assert_int_equal(fold_within(makes, 1000, 0), -FM_RESOURCE_EXHAUSTED);
    assert_int_equal(fold_within(makes, 1400, 400),
                     -FM_RESOURCE_EXHAUSTED); /* what stands beside it counts */
    assert_int_equal(fold_within(makes, 1400, 100), 0);
    /* the task is consumed: its data may come again */
    static const char *const hands_on = STEP(2, "s1.0") ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', "
                                                        "'slot': 'in', 'data': {'x': '" BIGGER "'}}]}";
    assert_int_equal(fold_within(hands_on, 1400, 100), 0);
    /* a value that replaces another, twice in a step */
    static const char *const sets =
        STEP(3, "s2.0") ", 'changes': [{'key': 'k', 'kind': 1, 'value': '" BIGGER "'}, "
                        "{'key': 'k', 'kind': 1, 'value': '" BIGGER "'}], 'new_tasks': [{'task_id': 's3.0', "
                        "'routine': 'r', 'slot': 'in'}]}";
    assert_int_equal(fold_within(sets, 1400, 100), 0);
    static const char *const sets_again =
        STEP(4, "s3.0") ", 'changes': [{'key': 'k', 'kind': 1, 'value': '" BIGGER
                        "'}], 'new_tasks': [{'task_id': 's4.0', 'routine': 'r', "
                        "'slot': 'in'}]}";
    assert_int_equal(fold_within(sets_again, 1400, 100), 0);
    static const char *const removes = STEP(5, "s4.0") ", 'changes': [{'key': 'k', 'kind': 3}, {'key': 'l', "
                                                       "'kind': 1, 'value': '" BIGGER "'}], 'new_tasks': "
                                                       "[{'task_id': 's5.0', 'routine': 'r', 'slot': 'in'}]}";
    assert_int_equal(fold_within(removes, 1400, 100), 0);
    static const char *const adds =
        STEP(6, "s5.0") ", 'changes': [{'key': 'm', 'kind': 1, 'value': '" BIGGER "'}]}";
    assert_int_equal(fold_within(adds, 1400, 100), -FM_RESOURCE_EXHAUSTED);
}

static void what_was_accepted_counts_no_more(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 20; i++)
        add_input(i);
    /* twenty inputs are taken, and one is consumed */
    assert_int_equal(
        fold_within("{'number': 1, 'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'inputs_through': "
                    "20, 'outcome': 1}",
                    200, 0),
        0);
    assert_in_range(job_state_bytes(folded), 300, 2000);
    assert_in_range(job_state_own_bytes(folded), 0, 10);
}

/* ---- what is stored ---- */

static void a_stored_state_that_is_malformed_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } wrong[] = {
        {"\x0a",             1}, /* ends within a task */
        {"\x0a\x02\x0a\x05", 4}, /* a task that ends within its id */
        {"\x08\x01",         2}, /* a task that is a number */
        {"\x3a\x01x",        3}, /* a step number that is text */
        {"\x42\x01x",        3}, /* so many inputs that are text */
        {"\x1a\x02\x0a\x05", 4}, /* shared data that end within an entry */
        {"\x2a\x02\x0a\x05", 4}, /* a routine's state that ends within its key */
        {"\x4a\x02\x08\x80", 4}, /* usage that ends within a number */
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct fm_err err = {0};
        struct job_state *s = NULL;
        struct fm_bytes bytes = {(const uint8_t *)wrong[i].bytes, wrong[i].n};
        assert_int_equal(job_state_decode(bytes, &s, &err), -FM_DATA_LOSS);
        assert_string_equal(err.field, "state");
        assert_null(s);
        fm_err_done(&err);
    }
    struct fm_err err = {0};
    struct job_state *s = NULL;
    assert_int_equal(job_state_decode((struct fm_bytes){(const uint8_t *)"\xfa\x01\x01x", 4}, &s, &err), 0);
    job_state_free(s); /* a field of a later version */
}

static void due_times_are_read_to_the_millisecond(void **state)
{
    (void)state;
    struct fm_err err = {0};
    const Fermata__V1__Task *m =
        from_json(&fermata__v1__task__descriptor,
                  "{'task_id': 'a', 'routine': 'b', 'slot': 'c', 'input_number': 7, 'due_at': {'seconds': "
                  "1700000000, 'nanos': 123999999}}");
    struct task_item *t = task_item_new(m);
    assert_int_equal(t->due_ms, 1700000000123);
    struct task_item *again = task_item_parse(t->body, &err);
    assert_int_equal(again->due_ms, 1700000000123);
    assert_int_equal(again->input_number, 7);
    assert_string_equal(again->id, "a");
    assert_string_equal(again->routine, "b");
    assert_string_equal(again->slot, "c");
    assert_int_equal(again->body.n, t->body.n);
    free(t);
    free(again);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_step_makes_tasks_state_log_outputs_and_usage),
        T(a_step_takes_inputs_and_emits_deferred_events_before_its_task),
        T(an_attempt_that_is_tried_again_leaves_its_task_with_its_count),
        T(an_operator_replaces_a_task_in_its_place_or_drops_it),
        T(the_earliest_of_several_due_times_counts),
        T(a_step_that_breaks_a_rule_is_refused_in_words),
        T(what_a_failed_attempt_or_an_operator_may_not_make_is_refused),
        T(the_limit_is_on_what_the_state_will_be),
        T(what_was_accepted_counts_no_more),
        T(a_stored_state_that_is_malformed_is_refused),
        T(due_times_are_read_to_the_millisecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
