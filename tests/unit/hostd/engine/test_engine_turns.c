/* Which task runs when, what becomes of failures, what a handler may wait for, and how jobs leave. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig.h"

#define ONE(policy)                                                                                          \
    "'routines': [{'id': 'r', 'type': 't', 'policy': {" policy "}}, {'id': 'e', 'type': 'effect'}]"
#define RETRIES ONE("'retry': {'max_attempts': 3, 'initial_delay_ms': 400, 'factor': 2, 'max_delay_ms': 600}")

/* ---- failures ---- */

static void a_failed_attempt_is_tried_again_later_and_then_fails(void **state)
{
    (void)state;
    assign(1, RETRIES, "{'do': [['set', 'k', 1], ['emit', 'out'], ['fail', 14, 'down']]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_RETRY");
    assert_int_equal(number_at(step, "retry_delay_ms"), 400);
    assert_string_equal(at(step, "changes"), "");
    assert_string_equal(at(step, "emissions"), "");
    assert_string_equal(at(step, "error"),
                        "{'code':'UNAVAILABLE','message':'down','routine':'r','task_id':'i1'}");
    rig_pass(399, true);
    assert_null(made());
    rig_pass(1, true);
    step = made_step(2);
    assert_int_equal(number_at(step, "attempt"), 2);
    assert_int_equal(number_at(step, "retry_delay_ms"), 600);
    rig_pass(600, true);
    step = made_step(3);
    assert_int_equal(number_at(step, "attempt"), 3);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_FAIL");
    assert_string_equal(at(step, "retry_delay_ms"), "");
}

static void a_failed_task_holds_those_behind_it(void **state)
{
    (void)state;
    assign(1, RETRIES, "{'do': [['fail', 14, 'down']]}|{'do': []}");
    (void)made_step(1);
    assert_null(made());
    assert_int_equal(rig.runs, 1);
    rig_pass(1000, true);
    assert_string_equal(at(made_step(3), "task_id"), "i1");
    assert_null(made()); /* the job has failed */
}

static void not_every_failure_is_tried_again(void **state)
{
    (void)state;
    static const char *const verbs[] = {"['fail', 3, 'wrong']", "['fail_for_good', 14, 'down']",
                                        "['fail', 0, 'ok?']", "['fail', 17, 'what?']"};
    for (unsigned i = 0; i < 4; i++) {
        char data[200];
        snprintf(data, sizeof(data), "{'do': [%s]}", verbs[i]);
        assign(i + 1, RETRIES, data);
        assert_string_equal(at(made_step(1), "outcome"), "STEP_OUTCOME_FAIL");
    }
    assign(9, ONE("'retry': {'max_attempts': 2, 'retryable_codes': ['NOT_FOUND']}"),
           "{'do': [['fail', 14, 'down']]}");
    assert_string_equal(at(made_step(1), "outcome"), "STEP_OUTCOME_FAIL");
    assign(10, ONE("'retry': {'max_attempts': 2, 'retryable_codes': ['NOT_FOUND']}"),
           "{'do': [['fail', 5, 'gone']]}");
    assert_string_equal(at(made_step(1), "outcome"), "STEP_OUTCOME_RETRY");
}

static void a_server_that_says_when_is_not_asked_sooner(void **state)
{
    (void)state;
    assign(1, RETRIES, "{'do': [['fail_until', 700]]}");
    assert_int_equal(number_at(made_step(1), "retry_delay_ms"), 700);
}

static void the_time_of_a_task_bounds_its_attempts(void **state)
{
    (void)state;
    assign(1, ONE("'timeout_ms': 1000, 'retry': {'max_attempts': 9, 'initial_delay_ms': 400, 'factor': 1}"),
           "{'do': [['fail', 14, 'down']]}");
    (void)made_step(1);
    rig_pass(400, true);
    assert_string_equal(at(made_step(2), "outcome"), "STEP_OUTCOME_RETRY");
    rig_pass(400, true);
    assert_string_equal(at(made_step(3), "outcome"),
                        "STEP_OUTCOME_FAIL"); /* the next would end after 1,200 ms */
}

static void an_attempt_that_takes_too_long_is_ended(void **state)
{
    (void)state;
    assign(1, ONE("'attempt_timeout_ms': 300, 'retry': {'max_attempts': 2, 'initial_delay_ms': 100}"),
           "{'do': [['wait', 5000]]}");
    rig_pass(299, true);
    assert_null(made());
    rig_pass(1, true);
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_RETRY");
    assert_string_equal(at(step, "error.message"), "the attempt took longer than 300 ms");
    assert_string_equal(at(step, "error.code"), "DEADLINE_EXCEEDED");
    rig_pass(5000, true);
    assert_string_equal(at(made_step(2), "outcome"), "STEP_OUTCOME_FAIL");
    assert_null(made());
}

static void an_attempt_has_what_is_left_of_the_task_s_time(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {" ONE(
        "'timeout_ms': 1000") "}, 'inputs': "
                              "[{'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'input_number': 1, "
                              "'failed_attempts': 1, 'spent_ms': 800, 'data': "
                              "{'do': [['wait', 5000]]}}]}");
    rig_pass(199, true);
    assert_null(made());
    rig_pass(1, true);
    assert_string_equal(at(made_step(1), "error.message"),
                        "all attempts and the delays between them took longer than timeout_ms, 1000 ms");
}

static void the_error_policy_says_what_a_failure_becomes(void **state)
{
    (void)state;
    static const char task[] = "{'do': [['fail', 3, 'wrong']], 'x': 1}|{'do': []}";
    assign(1, ONE("'on_error': 'ERROR_POLICY_CONTINUE'"), task);
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_CONTINUE");
    assert_string_equal(
        at(step, "log"),
        "[{'data':{'attempt':1.0,'code':'INVALID_ARGUMENT','message':'wrong','routine':'r','slot':"
        "'in','task_id':'i1'},'message':'task failed'}]");
    assert_string_equal(at(step, "error.message"), "wrong");
    (void)made_step(2);
    assign(2, ONE("'on_error': 'ERROR_POLICY_SKIP'"), task);
    step = made_step(1);
    assert_string_equal(at(step, "log"), "");
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_CONTINUE");
    (void)made_step(2);
    assign(3, ONE("'on_error': 'ERROR_POLICY_ROUTE'"), task);
    step = made_step(1);
    assert_string_equal(at(step, "emissions"),
                        "[{'data':{'attempt':1.0,'code':'INVALID_ARGUMENT','data':{'do':[['fail',3.0,'wrong']"
                        "],'x':1.0},'message':"
                        "'wrong','routine':'r','slot':'in','task_id':'i1'},'event':'error'}]");
    (void)made_step(2);
    assign(4, ONE("'on_error': 'ERROR_POLICY_RETRY', 'retry': {'initial_delay_ms': 1}"),
           "{'do': [['fail', 14, 'down']]}");
    rig_pass(100, true);
    assert_string_equal(at(made_step(3), "outcome"),
                        "STEP_OUTCOME_FAIL"); /* three attempts without a number */
    assert_null(made());
}

static void policies_of_the_flow_are_those_of_its_routines(void **state)
{
    (void)state;
    assign(1,
           "'routines': [{'id': 'r', 'type': 't', 'policy': {'retry': {'max_attempts': 2}}}], 'defaults': "
           "{'on_error': "
           "'ERROR_POLICY_SKIP', 'retry': {'initial_delay_ms': 50}}",
           "{'do': [['fail', 14, 'down']]}|{'do': []}");
    assert_int_equal(number_at(made_step(1), "retry_delay_ms"), 50);
    rig_pass(50, true);
    assert_string_equal(at(made_step(2), "outcome"), "STEP_OUTCOME_CONTINUE");
}

static void a_task_of_a_routine_that_is_not_there_fails(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {'routines': [{'id': 'r', 'type': 't'}]}, "
          "'inputs': [{'task_id': 'i1', 'routine': 'q', 'slot': 'in', 'input_number': 1}]}");
    assert_string_equal(at(made_step(1), "error.message"), "the flow has no routine \"q\"");
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 2, 'state': {}, 'now': {}, 'flow': {'routines': [{'id': 'r', 'type': 't'}]}, "
          "'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'q', 'input_number': 1}]}");
    assert_string_equal(at(made_step(1), "error.message"), "routine type t has no slot \"q\"");
}

static void a_step_that_the_coordinator_would_not_take_fails(void **state)
{
    (void)state;
    rig_breaks();
    (void)rig_connects();
    hears("'welcome': {'lease_ms': 10000, 'heartbeat_ms': 1000, 'max_step_bytes': 300}");
    assign(1, RETRIES,
           "{'do': [['set', 'k', '0123456789012345678901234567890123456789012345678901234567890123456789"
           "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
           "7890123456789"
           "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
           "789']]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_FAIL"); /* it would be no smaller the next time */
    assert_string_equal(at(step, "error.code"), "RESOURCE_EXHAUSTED");
    assert_int_equal(strncmp(at(step, "error.message"), "the step is not acceptable: ", 28), 0);
    assert_string_equal(at(step, "changes"), "");
}

/* ---- order ---- */

static void of_routines_the_one_with_the_highest_priority_runs_first(void **state)
{
    (void)state;
    assign(1,
           "'routines': [{'id': 'r', 'type': 't'}, {'id': 'q', 'type': 't', 'priority': 5}, {'id': 'p', "
           "'type': 't', 'priority': "
           "-5}], 'connections': [{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'p', 'slot': "
           "'in'}}, {'from': "
           "{'routine': 'r', 'event': 'out'}, 'to': {'routine': 'q', 'slot': 'in'}}]",
           "{'do': [['emit', 'out', {'do': []}]]}|{'do': []}");
    static const char *const order[] = {"i1", "s1.1", "i2", "s1.0"};
    for (unsigned i = 0; i < 4; i++)
        assert_string_equal(at(made_step(i + 1), "task_id"), order[i]);
}

#define PAR                                                                                                  \
    "'routines': [{'id': 'r', 'type': 't'}, {'id': 'q', 'type': 't'}, {'id': 'p', 'type': 't'}], "           \
    "'connections': [{'from': "                                                                              \
    "{'routine': 'r', 'event': 'out'}, 'to': {'routine': 'q', 'slot': 'in'}}, {'from': {'routine': 'r', "    \
    "'event': 'out'}, 'to': "                                                                                \
    "{'routine': 'p', 'slot': 'in'}}], 'parallelism': "

static void so_many_handlers_are_at_work_side_by_side(void **state)
{
    (void)state;
    assign(1, PAR "2", "{'do': [['emit', 'out', {'do': [['wait', 100]]}]]}|{'do': [['wait', 50]]}");
    assert_int_equal(rig.runs, 3); /* i1, then two */
    (void)made_step(1);
    rig_pass(100, true);
    assert_int_equal(rig.runs, 4);
    rig_pass(1000, true);
    assert_string_equal(at(made_step(4), "outcome"), "STEP_OUTCOME_COMPLETE");
    assign(2, PAR "1", "{'do': [['emit', 'out', {'do': [['wait', 100]]}]]}|{'do': [['wait', 50]]}");
    assert_int_equal(rig.runs, 6);
}

static void a_question_halts_a_job_unless_others_run_beside_it(void **state)
{
    (void)state;
    assign(1, PAR "2", "{'do': [['ask', 'Q?', 'in']]}|{'do': []}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_CONTINUE");
    assert_string_equal(at(step, "pauses[0].pause_id"), "p-i1.0");
    assert_string_equal(at(made_step(2), "outcome"), "STEP_OUTCOME_COMPLETE");
    assign(2, PAR "1", "{'do': [['ask', 'Q?', 'in']]}|{'do': []}");
    step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_PAUSE");
    assert_string_equal(at(step, "pauses[0].pause_id"), "p1.0");
    assert_null(made());
}

/* p1 to p9999 are open. */
static const char *asked_9999(void)
{
    static char text[9999 * 40];
    size_t n = 0;
    for (int i = 1; i <= 9999; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{'pause_id': 'p%d', 'routine': 'r'}",
                              i > 1 ? "," : "", i);
    return text;
}

static void a_job_asks_no_more_than_may_be_open(void **state)
{
    (void)state;
    static const char *const asks = "{'to': 'x', 'do': [['ask', 'Q?', 'in']]}";
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'asked': [%s], 'flow': {'name': 'f', 'parallelism': "
          "2, 'routines': [{'id': 'r', 'type': 't'}]}, 'state': {}, 'inputs': ["
          "{'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'input_number': 1, 'data': %s}, "
          "{'task_id': 'i2', 'routine': 'r', 'slot': 'in', 'input_number': 2, 'data': %s}]}",
          asked_9999(), asks, asks);
    assert_string_equal(at(made_step(1), "pauses[0].pause_id"), "p-i1.0");
    json_t *step = made_step(2);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_FAIL"); /* as its policy says */
    assert_string_equal(at(step, "error.code"), "RESOURCE_EXHAUSTED");
    assert_non_null(strstr(at(step, "error.message"),
                           "10000 questions of the job are open, and it asks 1 more; "
                           "the limit is 10000"));
    assert_string_equal(at(step, "pauses"), "");
}

static void an_answer_makes_room_for_another_question(void **state)
{
    (void)state;
    static const char *const asks = "{'do': [['ask', 'Q?', 'in']]}";
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'asked': [%s], 'flow': {'name': 'f', 'parallelism': "
          "2, 'routines': [{'id': 'r', 'type': 't'}]}, 'state': {}, 'inputs': ["
          "{'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'input_number': 1, 'data': %s}]}",
          asked_9999(), asks);
    assert_string_equal(at(made_step(1), "pauses[0].pause_id"), "p-i1.0");
    hears("'deliver': {'job_id': '" JOB
          "', 'epoch': 1, 'inputs': [{'task_id': 'i2', 'routine': 'r', 'slot': 'in', "
          "'input_number': 2, 'pause_id': 'p7', 'data': %s}]}",
          asks);
    assert_string_equal(at(made_step(2), "pauses[0].pause_id"), "p-i2.0");
    hears("'deliver': {'job_id': '" JOB
          "', 'epoch': 1, 'inputs': [{'task_id': 'i3', 'routine': 'r', 'slot': 'in', "
          "'input_number': 3, 'data': %s}]}",
          asks); /* no answer */
    assert_string_equal(at(made_step(3), "outcome"), "STEP_OUTCOME_FAIL");
}

static void an_effect_waits_for_the_disk(void **state)
{
    (void)state;
    assign(1, "", "{'do': [['emit', 'out', {'do': []}]]}");
    (void)made_step(1);
    assert_int_equal(rig.runs, 1);
    acks(2, 1); /* of another epoch */
    assert_int_equal(rig.runs, 1);
    acks(1, 1);
    assert_int_equal(rig.runs, 2);
    (void)made_step(2);
}

static void a_host_works_so_many_steps_ahead_of_the_disk(void **state)
{
    (void)state;
    char many[8000] = "";
    for (int i = 0; i < 70; i++)
        strcat(many, i == 0 ? "{'do': []}" : "|{'do': []}");
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", many);
    rig_pass(100, true);
    assert_int_equal(rig.runs, 64);
    acks(1, 3);
    assert_int_equal(rig.runs, 67);
    acks(1, 64);
    assert_int_equal(rig.runs, 70);
}

static void jobs_take_turns(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 10]]}|{'do': []}|{'do': []}");
    hears("'assign': {'job_id': '" JOB_2
          "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {'routines': [{'id': 'r', 'type': 't'}]}, "
          "'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'input_number': 1, 'data': {'do': "
          "[]}}]}");
    assert_int_equal(rig.runs, 2);
    assert_int_equal(engine_job_count(rig.e), 2);
    rig_pass(10, true);
    assert_int_equal(rig.runs, 4);
}

/* ---- calls ---- */

static void a_call_ends_and_the_handler_goes_on(void **state)
{
    (void)state;
    assign(1, "", "{'do': [['http', 'http://x/'], ['wait', 50], ['set', 'k', 1]]}");
    assert_int_not_equal(calling(), 0);
    assert_int_equal(call_brings("ab"), 1);
    assert_int_equal(call_brings("!"), -1);
    call_ends(204);
    assert_null(made());
    rig_pass(50, true);
    json_t *step = made_step(1);
    assert_int_equal(number_at(step, "new_tasks[0].data.status"), 204);
    assert_int_equal(number_at(step, "changes[0].value"), 1);
    call_ends(200); /* one that nobody made */
    assert_int_equal(engine_call_data(rig.e, 999, (struct fm_bytes){0}, rig.now), 0);
    assert_null(made());
}

static void a_handler_that_fails_ends_its_calls(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 't', 'policy': {'attempt_timeout_ms': 100}}]",
           "{'do': [['http', 'http://x/']]}");
    assert_int_not_equal(calling(), 0);
    rig_pass(100, true);
    assert_int_equal(calling(), 0);
    (void)made_step(1);
}

static void a_blocking_handler_works_on_a_copy(void **state)
{
    (void)state;
    assign(1,
           "'routines': [{'id': 'r', 'type': 'block', 'config': {'c': 7}}, {'id': 'e', 'type': 't'}], "
           "'connections': [{'from': "
           "{'routine': 'r', 'event': 'call'}, 'to': {'routine': 'e', 'slot': 'in'}}]",
           "{'do': [['set', 'k', 1], ['share', 'k', 2], ['schedule', 'in', {'do': []}, 60000, 'x']]}|{'do': "
           "[['show'], ['unschedule', "
           "'x'], ['emit', 'call', {'call_id': 'c'}], ['log', 'm']]}");
    assert_null(made());
    assert_true(rig_works());
    (void)made_step(1);
    assert_true(rig_works());
    json_t *step = made_step(2);
    assert_string_equal(at(step, "emissions[0].data.state"), "{'k':1.0}");
    assert_string_equal(at(step, "emissions[0].data.shared"), "{'k':2.0}");
    assert_string_equal(at(step, "emissions[0].data.config"), "{'c':7.0}");
    assert_string_equal(at(step, "emissions[0].data.task"), "i2");
    assert_int_equal(number_at(step, "emissions[0].data.step"), 2);
    assert_int_equal(number_at(step, "emissions[0].data.epoch"), 1);
    assert_int_equal(number_at(step, "emissions[0].data.now"), 1700000000000);
    assert_string_equal(at(step, "unscheduled"), "['s1.0']");
    assert_string_equal(at(step, "new_tasks[0].call_id"), "c");
    assert_string_equal(at(step, "log[0].message"), "m");
}

static void a_blocking_handler_may_not_call(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 'block'}]", "{'do': [['wait', 10]]}");
    assert_true(rig_works());
    assert_string_equal(at(made_step(1), "error.message"),
                        "a blocking handler may not make asynchronous calls");
    assign(2, "'routines': [{'id': 'r', 'type': 'block'}]", "{'do': [['http', 'http://x/']]}");
    assert_true(rig_works());
    assert_string_equal(at(made_step(1), "error.message"),
                        "a blocking handler may not make asynchronous calls");
}

static void a_blocking_handler_whose_step_was_aborted_does_not_start(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 'block'}]", "{'do': [['set', 'k', 1]]}");
    hears("'interrupt': {'job_id': '" JOB "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_CANCEL'}");
    assert_true(rig_works());
    assert_int_equal(rig.runs, 0);
    assert_null(made());
}

/* ---- progress ---- */

static void progress_is_said_now_and_then(void **state)
{
    (void)state;
    assign(1, "",
           "{'do': [['progress', 'a'], ['progress', 'b'], ['wait', 249], ['progress', 'c'], ['wait', 1], "
           "['progress', 'd']]}");
    json_t *p = said_of("progress");
    assert_string_equal(at(p, ""), "{'epoch':1,'job_id':'" JOB "','routine':'r','task_id':'i1','text':'a'}");
    rig_pass(250, true);
    assert_string_equal(at(said_of("progress"), "text"), "d");
    (void)said_of("steps");
    assert_true(said_nothing());
}

static void of_long_progress_the_end_is_said(void **state)
{
    (void)state;
    char *data = malloc(70000);
    size_t n = (size_t)sprintf(data, "{'do': [['progress', '");
    memset(data + n, 'x', 65530);
    n += 65530;
    strcpy(data + n, "ü0123456']]}");
    assign(1, "", data);
    json_t *p = said_of("progress");
    assert_int_equal(number_at(p, "offset"), 3);
    assert_int_equal(strlen(at(p, "text")), 65536);
    free(data);
}

/* ---- breakpoints ---- */

#define BREAKS(list)                                                                                         \
    "'assign': {'job_id': '" JOB "', 'epoch': %d, 'state': {}, 'now': {}, 'breakpoints': [" list             \
    "], 'flow': "                                                                                            \
    "{'routines': [{'id': 'r', 'type': 't'}]}, 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'in', "  \
    "'input_number': 1, 'data': {'do': []}}, {'task_id': 'i2', 'routine': 'r', 'slot': 'more', "             \
    "'input_number': 2, "                                                                                    \
    "'data': {'x': 1}}] %s}"

static void a_task_at_a_breakpoint_is_given_back(void **state)
{
    (void)state;
    hears(BREAKS("{'routine': 'q'}, {'routine': 'r', 'slot': 'more'}"), 1, "");
    (void)made_step(1);
    json_t *release = said_of("release");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_BREAKPOINT");
    assert_string_equal(at(release, "task_id"), "i2");
    assert_int_equal(number_at(release, "last_step"), 1);
    assert_int_equal(engine_job_count(rig.e), 0);
    hears(BREAKS("{'routine': '*'}"), 2, "");
    assert_string_equal(at(said_of("release"), "task_id"), "i1");
    hears(BREAKS("{'routine': '*'}"), 3, ", 'released_task': 'i1'");
    assert_string_equal(at(said_of("release"), "task_id"), "i2");
    hears(BREAKS(""), 4, "");
    (void)made_step(2);
}

#define ON_MORE(condition) "{'routine': 'r', 'slot': 'more', 'condition': '" condition "'}"

static void a_breakpoint_s_condition_decides(void **state)
{
    (void)state;
    static const char *const no[] = {"false", "null", NULL};
    for (unsigned i = 0; i < 3; i++) {
        hears(BREAKS(ON_MORE(".x > 1")), i + 1, "");
        (void)made_step(1);
        assert_int_equal(asking(), 1);
        assert_string_equal(rig.condition, ".x > 1 of {\"x\":1}");
        assert_null(made());
        conditions_are(1, no[i], "");
        (void)made_step(2);
        assert_int_equal(asking(), 0);
        hears("'interrupt': {'job_id': '" JOB "', 'epoch': %u, 'kind': 'INTERRUPT_KIND_CANCEL'}", i + 1);
    }
    hears(BREAKS(ON_MORE(".x > 1")), 4, "");
    conditions_are(1, "0", "");
    json_t *release = said_of("release");
    assert_string_equal(at(release, "task_id"), "i2");
    assert_string_equal(at(release, "message"), "");
    assert_int_equal(engine_job_count(rig.e), 0);
}

static void a_condition_that_fails_holds_and_says_why(void **state)
{
    (void)state;
    hears(BREAKS(ON_MORE(".a") ", " ON_MORE("def f: f; f")), 1, "");
    assert_string_equal(rig.condition, "def f: f; f; .a of {\"x\":1}");
    conditions_are(0, NULL, "it took too long");
    json_t *release = said_of("release");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_BREAKPOINT");
    assert_string_equal(at(release, "task_id"), "i2");
    assert_string_equal(at(release, "message"),
                        "the condition def f: f; f of a breakpoint has failed: it took too long");
}

/* The job whose task is asked about waits, and nobody else. */
static void nobody_waits_for_a_condition_but_its_job(void **state)
{
    (void)state;
    hears(BREAKS(ON_MORE(".x")), 1, "");
    assert_int_equal(asking(), 1);
    hears(
        "'assign': {'job_id': '" JOB_2
        "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {'routines': [{'id': 'r', 'type': 't'}]}, 'inputs': "
        "[{'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'input_number': 1, 'data': {'do': []}}]}");
    assert_int_equal(rig.runs, 2); /* the first task of each */
    hears("'interrupt': {'job_id': '" JOB "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_PAUSE', 'grace_ms': 300}");
    assert_int_equal(asking(), 0); /* a pause does not wait for it either */
    assert_string_equal(at(said_of("release"), "reason"), "RELEASE_REASON_PAUSED");
    hears(BREAKS(ON_MORE(".x")), 2, "");
    assert_int_equal(asking(), 1);
    hears("'interrupt': {'job_id': '" JOB "', 'epoch': 2, 'kind': 'INTERRUPT_KIND_CANCEL'}");
    assert_int_equal(asking(), 0);
    hears(BREAKS(ON_MORE(".x")), 3, "");
    rig_pass(10001, false); /* the lease ends */
    assert_int_equal(asking(), 0);
    assert_int_equal(engine_job_count(rig.e), 0);
}

static void other_routines_of_a_job_go_on_beside_a_condition(void **state)
{
    (void)state;
    hears(
        "'assign': {'job_id': '" JOB
        "', 'epoch': 1, 'state': {}, 'now': {}, 'breakpoints': [{'routine': 'q', "
        "'condition': '.x'}], 'flow': {'parallelism': 2, 'routines': [{'id': 'q', 'type': 't'}, {'id': 'r', "
        "'type': 't'}]}, 'inputs': [{'task_id': 'i1', 'routine': 'q', 'slot': 'in', 'input_number': 1, "
        "'data': {'do': [], 'n': 1}}, {'task_id': 'i2', 'routine': 'q', 'slot': 'in', 'input_number': 2, "
        "'data': {'do': [], 'n': 2}}, {'task_id': 'i3', 'routine': 'r', 'slot': 'in', 'input_number': 3, "
        "'data': {'do': []}}]}");
    assert_int_equal(asking(), 1);
    assert_string_equal(at(made_step(1), "task_id"), "i3");
    conditions_are(1, "false", "");
    assert_string_equal(at(made_step(2), "task_id"), "i1"); /* they stay in order */
    assert_int_equal(asking(), 1);
    assert_non_null(strstr(rig.condition, "\"n\":2"));
    conditions_are(1, "true", "");
    assert_string_equal(at(said_of("release"), "task_id"), "i2");
}

static void new_breakpoints_end_what_was_asked_for_the_old_ones(void **state)
{
    (void)state;
    static const char set[] =
        "'deliver': {'job_id': '" JOB "', 'epoch': %d, 'set_breakpoints': true, 'breakpoints': [%s]}";
    hears(BREAKS(ON_MORE(".x")), 1, "");
    hears(set, 1, ON_MORE(".y"));
    assert_int_equal(asking(), 1);
    assert_string_equal(rig.condition, ".y of {\"x\":1}");
    hears(set, 1, "");
    assert_int_equal(asking(), 0);
    (void)made_step(2);
    hears(BREAKS(ON_MORE(".x")), 2, "");
    hears(set, 2, "{'routine': '*'}");
    assert_int_equal(asking(), 0);
    assert_string_equal(at(said_of("release"), "task_id"), "i2");
    hears(BREAKS(ON_MORE(".x")), 3, ", 'released_task': 'i2'"); /* it may pass */
    assert_int_equal(asking(), 0);
    (void)made_step(2);
}

static void a_breakpoint_without_condition_needs_no_other_s(void **state)
{
    (void)state;
    hears(BREAKS(ON_MORE(".x") ", {'routine': '*', 'slot': 'more'}"), 1, "");
    assert_int_equal(asking(), 0);
    assert_string_equal(at(said_of("release"), "task_id"), "i2");
}

static void breakpoints_are_delivered_and_said_to_have_come(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 50]]}|{'do': []}");
    rig_pass(10, true);
    hears("'deliver': {'job_id': '" JOB
          "', 'epoch': 1, 'set_breakpoints': true, 'breakpoints': [{'routine': 'r'}]}");
    rig_pass(40, true);
    (void)made_step(1);
    assert_string_equal(at(said_of("release"), "task_id"), "i2");
}

/* ---- announcements ---- */

static void a_task_whose_loss_matters_is_announced_before_it_begins(void **state)
{
    (void)state;
    assign(1, ONE("'on_lost': 'LOST_POLICY_ASK'"), "{'do': []}|{'do': []}");
    json_t *intent = said_of("intent");
    assert_string_equal(at(intent, ""), "{'epoch':1,'job_id':'" JOB "','task_id':'i1'}");
    assert_int_equal(rig.runs, 0);
    hears("'intent_ack': {'job_id': '" JOB "', 'epoch': 1, 'task_id': 'i2'}"); /* about another */
    hears("'intent_ack': {'job_id': '" JOB
          "', 'epoch': 1, 'task_id': 'i1'}, 'ack': 1"); /* of an earlier attempt */
    assert_int_equal(rig.runs, 0);
    hears("'intent_ack': {'job_id': '" JOB "', 'epoch': 1, 'task_id': 'i1'}");
    assert_int_equal(rig.runs, 1);
    (void)made_step(1);
    assert_true(said_of("steps") != NULL && said_nothing()); /* the next waits for the disk */
    acks(1, 1);
    assert_string_equal(at(said_of("intent"), "task_id"), "i2");
    rig_breaks();
    (void)rig_connects(); /* it is announced again */
    hears("'welcome': {'lease_ms': 10000, 'heartbeat_ms': 1000, 'held_jobs': [{'job_id': '" JOB
          "', 'epoch': 1, 'keep': true, "
          "'applied_step': 1}]}");
    assert_string_equal(at(said_of("intent"), "task_id"), "i2");
    hears("'intent_ack': {'job_id': '" JOB "', 'epoch': 1, 'task_id': 'i2'}");
    assert_int_equal(rig.runs, 2);
}

static void a_task_that_was_announced_and_did_not_begin_is_named(void **state)
{
    (void)state;
    assign(1, ONE("'on_lost': 'LOST_POLICY_FAIL'"), "{'do': []}");
    hears("'interrupt': {'job_id': '" JOB "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_PAUSE', 'grace_ms': 300}");
    rig_pass(300, true);
    json_t *release = said_of("release");
    assert_string_equal(at(release, "unstarted_tasks"), "['i1']");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_PAUSED");
    assert_int_equal(rig.runs, 0);
}

static void a_lost_task_fails_and_does_not_run(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 1, 'state': {}, 'now': {}, 'lost_tasks': ['i1'], 'flow': {" ONE(
              "'on_lost': 'LOST_POLICY_FAIL', 'retry': {'max_attempts': 5}") "}, 'inputs': [{'task_id': "
                                                                             "'i1', 'routine': 'r', 'slot': "
                                                                             "'in', 'input_number': 1, "
                                                                             "'data': {'do': []}}]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_FAIL");
    assert_string_equal(at(step, "error.code"), "ABORTED");
    assert_int_equal(rig.runs, 0);
}

static void a_lost_task_fails_with_what_the_coordinator_says_also_one_that_is_made_later(void **state)
{
    (void)state;
    assign(1,
           PAR "1}, 'lost_tasks': ['s1.0', 's1.1'], 'lost_reasons': ['it has ended 3 hosts', ''], 'state': {",
           "{'do': [['emit', 'out', {'do': []}]]}");
    assert_int_equal(rig.runs, 1);
    (void)made_step(1);
    json_t *step = made_step(2);
    assert_string_equal(at(step, "task_id"), "s1.0");
    assert_string_equal(at(step, "error.message"), "it has ended 3 hosts");
    assert_string_equal(at(step, "error.code"), "ABORTED");
    assert_int_equal(rig.runs, 1);
}

static void nothing_of_a_job_runs_beside_a_suspect_task(void **state)
{
    (void)state;
    assign(1, PAR "3}, 'suspect_tasks': ['s1.0'], 'state': {",
           "{'do': [['emit', 'out', {'do': [['wait', 100]]}]]}|{'do': [['wait', 50]]}");
    assert_int_equal(rig.runs, 2); /* i1, then one only */
    rig_pass(1000, true);
    assert_int_equal(rig.runs, 4);
}

/* ---- leaving ---- */

static void a_pause_waits_for_the_step_in_hand_for_its_grace(void **state)
{
    (void)state;
    static const char pause[] =
        "'interrupt': {'job_id': '" JOB "', 'epoch': %d, 'kind': 'INTERRUPT_KIND_PAUSE', 'grace_ms': 300}";
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 200]]}|{'do': []}");
    hears(pause, 2); /* of another epoch */
    hears(pause, 1);
    rig_pass(200, true);
    (void)made_step(1);
    json_t *release = said_of("release");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_PAUSED");
    assert_int_equal(number_at(release, "last_step"), 1);
    assert_null(made());
    assign(3, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 400]]}|{'do': []}");
    hears(pause, 3);
    rig_pass(299, true);
    assert_true(said_nothing());
    rig_pass(1, true);
    release = said_of("release");
    assert_int_equal(number_at(release, "last_step"), 0);
    assert_int_equal(json_array_size(json_object_get(release, "aborted_tasks")), 1);
    assert_string_equal(at(release, "aborted_tasks[0]"), "i1");
    assert_null(made());
}

static void a_pause_without_a_grace_waits_for_the_step_in_hand_however_long(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 1500000]]}|{'do': []}");
    hears("'interrupt': {'job_id': '" JOB
          "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_PAUSE', 'grace_ms': 4294967295}");
    rig_pass(1499999, true);
    assert_null(made());
    rig_pass(1, true);
    (void)made_step(1);
    json_t *release = said_of("release");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_PAUSED");
    assert_int_equal(number_at(release, "last_step"), 1);
    assert_null(json_object_get(release, "aborted_tasks"));
}

static void a_second_pause_aborts_what_the_first_one_waits_for(void **state)
{
    (void)state;
    static const char pause[] =
        "'interrupt': {'job_id': '" JOB "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_PAUSE', 'grace_ms': %u}";
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 90000]]}");
    hears(pause, UINT32_MAX);
    rig_pass(5000, true);
    hears(pause, 100);
    rig_pass(99, true);
    assert_true(said_nothing());
    rig_pass(1, true);
    assert_string_equal(at(said_of("release"), "aborted_tasks[0]"), "i1");
}

static void a_drained_job_leaves_at_the_end_of_its_step(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 5000]]}|{'do': []}");
    hears("'interrupt': {'job_id': '" JOB "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_DRAIN'}");
    rig_pass(4999, true);
    assert_true(said_nothing());
    rig_pass(1, true);
    assert_string_equal(at(said_of("release"), "reason"), "RELEASE_REASON_DRAINING");
}

static void what_a_cancelled_job_had_at_work_is_named(void **state)
{
    (void)state;
    assign(1, "", "{'do': [['http', 'http://x/']]}");
    hears("'interrupt': {'job_id': '" JOB "', 'epoch': 1, 'kind': 'INTERRUPT_KIND_CANCEL'}");
    assert_int_equal(calling(), 0);
    assert_int_equal(engine_job_count(rig.e), 0);
    json_t *release = said_of("release");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_ABORTED");
    assert_string_equal(at(release, "aborted_tasks[0]"), "i1");
    assign(2, "", "{'do': []}");
    (void)made_step(1);
    (void)said_of("steps");
    hears("'step_acks': {'acks': [{'job_id': '" JOB "', 'epoch': 2, 'number': 1, 'released': true}]}");
    assert_true(said_nothing()); /* nothing was at work */
}

static void a_job_whose_tasks_are_not_due_for_long_leaves(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]",
           "{'do': [['schedule', 'in', {'do': []}, 1001, null]]}");
    (void)made_step(1);
    (void)said_of("steps");
    assert_true(said_nothing()); /* not before its steps are on disk */
    acks(1, 1);
    assert_string_equal(at(said_of("release"), "reason"), "RELEASE_REASON_SLEEPING");
    assign(2, "'routines': [{'id': 'r', 'type': 't'}]",
           "{'do': [['schedule', 'in', {'do': []}, 1000, null]]}");
    acks(2, 1);
    (void)said_of("steps");
    assert_true(said_nothing());
    rig_pass(1000, true);
    (void)made_step(2);
}

static void a_host_that_drains_gives_back_everything_and_says_goodbye(void **state)
{
    (void)state;
    assign(1, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': [['wait', 100]]}|{'do': []}");
    engine_drain(rig.e, rig.now);
    assert_false(rig.drained);
    rig_pass(100, true);
    assert_string_equal(at(said_of("release"), "reason"), "RELEASE_REASON_DRAINING");
    assert_string_equal(at(said_of("goodbye"), "reason"), "draining");
    assert_true(rig.drained);
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 2, 'state': {}, 'now': {}, 'flow': {'routines': [{'id': 'r', 'type': 't'}]}}");
    assert_string_equal(at(said_of("release"), "reason"), "RELEASE_REASON_REFUSED");
}

static void what_a_host_cannot_take_it_refuses(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {'routines': [{'id': 'r', 'type': 'none'}]}}");
    json_t *release = said_of("release");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_REFUSED");
    assert_string_equal(at(release, "message"),
                        "routine \"r\": this host does not offer routine type \"none\"");
    for (unsigned i = 1; i <= 3; i++)
        hears("'assign': {'job_id': '01H000000000000000000000J%u', 'epoch': 2, 'state': {}, 'now': {}, "
              "'flow': {'routines': [{'id': "
              "'r', 'type': 't'}]}, 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'in', "
              "'input_number': 1, 'data': {'do': "
              "[['wait', 10]]}}]}",
              i);
    release = said_of("release");
    assert_string_equal(at(release, "reason"), "RELEASE_REASON_REFUSED");
    assert_string_equal(at(release, "job_id"), "01H000000000000000000000J3");
    assert_int_equal(engine_job_count(rig.e), 2);
}

/* ---- the stream ---- */

static void hello_says_who_the_host_is_and_what_it_holds(void **state)
{
    (void)state;
    assign(3, "'routines': [{'id': 'r', 'type': 't'}]", "{'do': []}|{'do': [['wait', 50]]}");
    rig_breaks();
    json_t *hello = rig_connects();
    assert_string_equal(at(hello, "host_id"), "h");
    assert_string_equal(at(hello, "incarnation"), "01H000000000000000000000A1");
    assert_string_equal(at(hello, "version"), "9");
    assert_int_equal(number_at(hello, "capacity"), 2);
    assert_int_equal(number_at(hello, "protocol_version"), 1);
    assert_string_equal(at(hello, "labels"), "{'zone':'z'}");
    assert_string_equal(at(hello, "held_jobs"), "[{'epoch':3,'job_id':'" JOB "','last_step':1}]");
    assert_string_equal(
        at(hello, "routine_types[0]"),
        "{'call_events':['call'],'events':['out','other','call','error','notice'],'name':'t','notice_events':"
        "['notice'],'slots':['in','more','then'],'version':1}");
    assert_string_equal(at(hello, "routine_types[1].effects"), "true");
    assert_string_equal(at(hello, "draining"), "");
    rig_pass(100, false);
    hears("'welcome': {'lease_ms': 10000, 'heartbeat_ms': 1000, 'held_jobs': [{'job_id': '" JOB
          "', 'epoch': 3, 'keep': true}]}");
    json_t *steps = said_of("steps"); /* both are sent (again) */
    assert_int_equal(json_array_size(json_object_get(steps, "steps")), 2);
}

static void a_job_that_went_elsewhere_is_dropped(void **state)
{
    (void)state;
    assign(3, "", "{'do': [['wait', 50]]}");
    rig_breaks();
    (void)rig_connects();
    hears("'welcome': {'lease_ms': 10000, 'heartbeat_ms': 1000, 'held_jobs': [{'job_id': '" JOB
          "', 'epoch': 3}]}");
    assert_int_equal(engine_job_count(rig.e), 0);
    assert_true(said_nothing());
}

static void a_coordinator_that_is_not_one_is_left(void **state)
{
    (void)state;
    hears("'heartbeat': {}, 'seq': 7");
    assert_string_equal(rig.closed, "a message from the coordinator is missing");
    rig_breaks();
    (void)rig_connects();
    hears("'heartbeat': {}");
    assert_string_equal(rig.closed, "the coordinator's first message is not Welcome");
    rig_breaks();
    (void)rig_connects();
    hears("'welcome': {}");
    hears("'welcome': {}");
    assert_string_equal(rig.closed, "Welcome came twice");
    rig_breaks();
    rig_pass(10000, false); /* its lease is over */
    (void)rig_connects();
    rig.closed[0] = '\0';
    rig_pass(9999, false);
    assert_string_equal(rig.closed, "");
    rig_pass(1, false);
    assert_string_equal(rig.closed, "the coordinator sent no Welcome in time");
}

static void a_lease_that_ends_takes_all_jobs(void **state)
{
    (void)state;
    assign(1, "", "{'do': [['wait', 60000]]}");
    assert_int_equal(engine_lease_ms(rig.e), 10000);
    rig_pass(20000, true);
    assert_int_equal(engine_job_count(rig.e), 1);
    rig_pass(9000, false);
    assert_int_equal(engine_job_count(rig.e), 1);
    rig_pass(1000, false);
    assert_int_equal(engine_job_count(rig.e), 0);
    assert_string_equal(rig.closed, "nothing was heard from the coordinator for the length of the lease");
    assert_null(made());
}

/* A timer has woken the job beside a question that step 3 has asked. */
static void assign_halted(void)
{
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 1, 'halted_at': 3, 'now': {'seconds': 1700000000}, 'flow': {'routines': [{'id': 'r', "
          "'type': 't'}]}, 'state': {'step_number': 4, 'inputs_through': 1, 'pending_tasks': ["
          "{'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'input_number': 1}, "
          "{'task_id': 's3.0', 'routine': 'r', 'slot': 'in'}, "
          "{'task_id': 's2.1', 'routine': 'r', 'slot': 'then', 'due_at': {'seconds': 1699999999}, 'data': "
          "{'do': [['enqueue', 'in', {}]]}}, "
          "{'task_id': 's4.0', 'routine': 'r', 'slot': 'in', 'beside': true}]}, "
          "'inputs': [{'task_id': 'i2', 'routine': 'r', 'slot': 'in', 'input_number': 2}]}");
}

static void beside_a_question_only_timers_and_what_follows_from_them_run(void **state)
{
    (void)state;
    assign_halted();
    assert_string_equal(at(made_step(5), "task_id"), "s2.1");
    assert_string_equal(at(made_step(6), "task_id"), "s4.0");
    json_t *last = made_step(7);
    assert_string_equal(at(last, "task_id"), "s5.0");
    assert_string_equal(at(last, "outcome"), "STEP_OUTCOME_CONTINUE"); /* the halted ones are left */
    assert_null(made());
    acks(1, 7);
    assert_string_equal(at(said_of("release"), "reason"), "RELEASE_REASON_SLEEPING");
}

static void an_answer_lets_what_was_halted_run_in_its_order(void **state)
{
    (void)state;
    assign_halted();
    hears("'deliver': {'job_id': '" JOB "', 'epoch': 1, 'inputs': [{'task_id': 'i3', 'routine': 'r', 'slot': "
          "'more', 'input_number': 3}]}");
    (void)made_step(7);
    assert_null(made()); /* an input is no answer */
    hears("'deliver': {'job_id': '" JOB "', 'epoch': 1, 'inputs': [{'task_id': 'i4', 'routine': 'r', 'slot': "
          "'more', 'input_number': 4, 'pause_id': 'p3.0'}]}");
    static const char *const order[] = {"i1", "s3.0", "i2", "i3", "i4"};
    for (unsigned i = 0; i < 5; i++)
        assert_string_equal(at(made_step(8 + i), "task_id"), order[i]);
    assert_null(made());
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_failed_attempt_is_tried_again_later_and_then_fails),
        T(a_failed_task_holds_those_behind_it),
        T(not_every_failure_is_tried_again),
        T(a_server_that_says_when_is_not_asked_sooner),
        T(the_time_of_a_task_bounds_its_attempts),
        T(an_attempt_that_takes_too_long_is_ended),
        T(an_attempt_has_what_is_left_of_the_task_s_time),
        T(the_error_policy_says_what_a_failure_becomes),
        T(policies_of_the_flow_are_those_of_its_routines),
        T(a_task_of_a_routine_that_is_not_there_fails),
        T(a_step_that_the_coordinator_would_not_take_fails),
        T(of_routines_the_one_with_the_highest_priority_runs_first),
        T(so_many_handlers_are_at_work_side_by_side),
        T(a_question_halts_a_job_unless_others_run_beside_it),
        T(a_job_asks_no_more_than_may_be_open),
        T(an_answer_makes_room_for_another_question),
        T(an_effect_waits_for_the_disk),
        T(a_host_works_so_many_steps_ahead_of_the_disk),
        T(jobs_take_turns),
        T(a_call_ends_and_the_handler_goes_on),
        T(a_handler_that_fails_ends_its_calls),
        T(a_blocking_handler_works_on_a_copy),
        T(a_blocking_handler_may_not_call),
        T(a_blocking_handler_whose_step_was_aborted_does_not_start),
        T(progress_is_said_now_and_then),
        T(of_long_progress_the_end_is_said),
        T(a_task_at_a_breakpoint_is_given_back),
        T(a_breakpoint_s_condition_decides),
        T(a_condition_that_fails_holds_and_says_why),
        T(nobody_waits_for_a_condition_but_its_job),
        T(other_routines_of_a_job_go_on_beside_a_condition),
        T(new_breakpoints_end_what_was_asked_for_the_old_ones),
        T(a_breakpoint_without_condition_needs_no_other_s),
        T(breakpoints_are_delivered_and_said_to_have_come),
        T(a_task_whose_loss_matters_is_announced_before_it_begins),
        T(a_task_that_was_announced_and_did_not_begin_is_named),
        T(a_lost_task_fails_and_does_not_run),
        T(a_lost_task_fails_with_what_the_coordinator_says_also_one_that_is_made_later),
        T(nothing_of_a_job_runs_beside_a_suspect_task),
        T(a_pause_waits_for_the_step_in_hand_for_its_grace),
        T(a_pause_without_a_grace_waits_for_the_step_in_hand_however_long),
        T(a_second_pause_aborts_what_the_first_one_waits_for),
        T(a_drained_job_leaves_at_the_end_of_its_step),
        T(what_a_cancelled_job_had_at_work_is_named),
        T(a_job_whose_tasks_are_not_due_for_long_leaves),
        T(a_host_that_drains_gives_back_everything_and_says_goodbye),
        T(what_a_host_cannot_take_it_refuses),
        T(hello_says_who_the_host_is_and_what_it_holds),
        T(a_job_that_went_elsewhere_is_dropped),
        T(a_coordinator_that_is_not_one_is_left),
        T(a_lease_that_ends_takes_all_jobs),
        T(beside_a_question_only_timers_and_what_follows_from_them_run),
        T(an_answer_lets_what_was_halted_run_in_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
