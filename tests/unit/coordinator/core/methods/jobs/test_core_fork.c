/* ForkJob: a new job where another one stood. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define S(n, more)                                                                                           \
    ", 'task_id': 's" #n ".0', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'attempt': 1" more
#define MAKES(n) ", 'new_tasks': [{'task_id': 's" #n ".0', 'routine': 'r', 'slot': 'in'}]"
#define SETS(value) ", 'changes': [{'key': 'k', 'kind': 'STATE_CHANGE_KIND_SET', 'value': " #value "}]"

static uint64_t a;

static int setup(void **state)
{
    int rc = rig_setup(state);
    a = host_joins("a", " ");
    put_flow_f(", 'deadline_ms': 60000");
    return rc;
}

/* Three steps: 1 and 2 make a task each, 2 sets k to 2, 3 asks p3.0 with a default; then the job is
 * cancelled. */
static const char *asked_and_ended(void)
{
    const char *job =
        submit_f(", 'labels': {'x': '1', 'y': '1'}, 'priority': 7, 'shared_data': {'k': 1, 'z': 1}");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES(1));
    host_steps(a, job, 1, 2, S(1, OUTCOME(CONTINUE)) MAKES(2) SETS(2));
    host_steps(a, job, 1, 3,
               S(2, OUTCOME(PAUSE)) ", 'pauses': [{'pause_id': 'p3.0', 'question': 'Q?', 'slot': 'more', "
                                    "'timeout_ms': 5000, 'default_answer': 'x'}]");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    while (told(a) != NULL) {
    }
    rig_pass(1000);
    return job;
}

static void a_fork_begins_where_the_job_stood(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    json_t *r = call("Jobs/ForkJob", "'job_id': '%s', 'step': 2", job);
    const char *fork = at(r, "job_id");
    assert_string_equal(at(r, "status"), "JOB_STATUS_RUNNING");
    assert_string_not_equal(fork, job);
    json_t *head = job_of(fork);
    assert_string_equal(at(head, "forked_from"), job);
    assert_int_equal(number_at(head, "forked_at"), 2);
    assert_string_equal(at(head, "labels"), "{'x':'1','y':'1'}");
    assert_int_equal(number_at(head, "priority"), 7);
    assert_int_equal(number_at(head, "flow_version"), 1);
    assert_int_equal(number_at(head, "deadline_at"), RIG_WALL_MS + 61000);
    assert_int_equal(number_at(head, "input_count"), 1);
    json_t *assign = told_of(a, "assign");
    assert_int_equal(number_at(assign, "state.step_number"), 2);
    assert_int_equal(number_at(assign, "state.inputs_through"), 1);
    assert_string_equal(at(assign, "state.shared_data"), "{'k':2.0,'z':1.0}");
    assert_string_equal(at(assign, "state.pending_tasks[0].task_id"), "s2.0");
    assert_string_equal(at(assign, "state.pending_tasks[1]"), "");
    assert_string_equal(at(assign, "emit_deferred"), "");
    json_t *steps = call("Jobs/GetHistory", "'job_id': '%s'", fork);
    assert_int_equal(number_at(steps, "steps[1].number"), 2);
    assert_string_equal(at(steps, "steps[2]"), "");
    host_steps(a, fork, 1, 3, S(2, OUTCOME(COMPLETE)));
    assert_string_equal(status_of(fork), "COMPLETED");
}

static void a_fork_of_step_0_begins_anew(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    (void)call("Jobs/ForkJob", "'job_id': '%s'", job);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "state.shared_data"), "{'k':1.0,'z':1.0}");
    assert_string_equal(at(assign, "inputs[0].data"), "{'n':1.0}");
    assert_string_equal(at(assign, "inputs[1]"), "");
    assert_string_equal(at(assign, "state.step_number"), "");
}

static void a_fork_asks_the_question_anew(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    json_t *r = call("Jobs/ForkJob", "'job_id': '%s', 'step': 3", job);
    const char *fork = at(r, "job_id");
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED");
    json_t *pause = json_array_get(json_object_get(job_of(fork), "pauses"), 0);
    assert_string_equal(at(pause, "pause_id"), "p3.0");
    assert_string_equal(at(pause, "reason"), "PAUSE_REASON_QUESTION");
    assert_string_equal(at(pause, "routine"), "r");
    assert_int_equal(number_at(pause, "step"), 3);
    assert_int_equal(number_at(pause, "at"), RIG_WALL_MS + 1000);
    assert_int_equal(number_at(pause, "expires_at"), RIG_WALL_MS + 6000); /* its whole time again */
    assert_string_equal(at(pause, "timeout_ms"), "");
    assert_true(told_nothing(a));
    rig_pass(5001);
    assert_string_equal(at(told_of(a, "assign"), "inputs[0].data"), "{'answer':'x','expired':true}");
}

static void a_fork_may_answer_otherwise(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    static const char *const right[] = {"", "'pause_id': 'p3.0',"};
    for (size_t i = 0; i < 2; i++) {
        json_t *r =
            call("Jobs/ForkJob", "%s 'job_id': '%s', 'step': 3, 'answer': 'other', 'answered_by': 'eve'",
                 right[i], job);
        assert_string_equal(at(r, "status"), "JOB_STATUS_RUNNING");
        json_t *assign = told_of(a, "assign");
        assert_string_equal(at(assign, "inputs[0].data"), "{'answer':'other'}");
        assert_string_equal(at(assign, "inputs[0].answered_by"), "eve");
        assert_string_equal(at(assign, "inputs[0].task_id"), "i2");
        assert_string_equal(at(assign, "emit_deferred"), "true");
    }
    refuses("FAILED_PRECONDITION pause_id: 1 questions were open after step 3; \"p1.0\" is none",
            "Jobs/ForkJob", "'job_id': '%s', 'step': 3, 'answer': 1, 'pause_id': 'p1.0'", job);
    refuses("FAILED_PRECONDITION pause_id: 0 questions were open after step 2; \"\" is none", "Jobs/ForkJob",
            "'job_id': '%s', 'step': 2, 'answer': 1", job);
    refuses("INVALID_ARGUMENT answer: pause_id is given, but no answer to it", "Jobs/ForkJob",
            "'job_id': '%s', 'step': 3, 'pause_id': 'p3.0'", job);
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 3); /* nothing is left of those */
}

static void an_answered_question_is_not_asked_again(void **state)
{
    (void)state;
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'more'}]");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'x'", job);
    (void)told_of(a, "assign");
    host_steps(a, job, 2, 2,
               ", 'task_id': 'i2', 'routine': 'r', 'slot': 'more', 'inputs_through': 2, 'attempt': 1" OUTCOME(
                   CONTINUE) MAKES(2));
    json_t *r = call("Jobs/ForkJob", "'job_id': '%s', 'step': 2", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_RUNNING");
    assert_string_equal(at(job_of(at(r, "job_id")), "pauses"), "");
    assert_int_equal(number_at(job_of(at(r, "job_id")), "input_count"), 2);
    r = call("Jobs/ForkJob", "'job_id': '%s', 'step': 1", job); /* there it was still open */
    assert_string_equal(at(job_of(at(r, "job_id")), "pauses[0].pause_id"), "p1.0");
    assert_int_equal(number_at(job_of(at(r, "job_id")), "input_count"), 1);
}

static void shared_data_of_a_fork_are_changed_by_a_step_of_its_own(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    json_t *r = call("Jobs/ForkJob",
                     "'job_id': '%s', 'step': 2, 'shared_data': {'k': 9, 'z': null}, 'answered_by': "
                     "'eve'",
                     job);
    const char *fork = at(r, "job_id");
    assert_string_equal(at(job_of(fork), "state.shared_data"), "{'k':9.0}");
    json_t *steps = call("Jobs/GetHistory", "'job_id': '%s', 'from_step': 3", fork);
    assert_string_equal(at(steps, "steps[0].remedy"),
                        "{'by':'eve','kind':'REMEDY_KIND_PATCH_STATE','reason':'changed by the fork'}");
    assert_string_equal(at(steps, "steps[1]"), "");
}

static void labels_of_the_request_stand_before_those_of_the_job(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    json_t *r = call("Jobs/ForkJob",
                     "'job_id': '%s', 'step': 2, 'labels': {'x': '2', 'w': '3'}, 'placement': {'host': "
                     "'q'}",
                     job);
    assert_string_equal(at(job_of(at(r, "job_id")), "labels"), "{'w':'3','x':'2','y':'1'}");
    assert_string_equal(at(job_of(at(r, "job_id")), "placement.host"), "q");
    r = call("Jobs/ForkJob", "'job_id': '%s', 'step': 2", at(r, "job_id"));
    assert_string_equal(at(job_of(at(r, "job_id")), "placement"), "{'host':'q'}");
    refuses("INVALID_ARGUMENT labels: label", "Jobs/ForkJob", "'job_id': '%s', 'labels': {'': 'x'}", job);
    refuses("INVALID_ARGUMENT placement.mode", "Jobs/ForkJob", "'job_id': '%s', 'placement': {'mode': 7}",
            job);
}

static void what_cannot_be_forked_is_refused(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    refuses("INVALID_ARGUMENT step: job ", "Jobs/ForkJob", "'job_id': '%s', 'step': 4", job);
    refuses("INVALID_ARGUMENT job_id: ", "Jobs/ForkJob", "'job_id': 'x'");
    refuses("NOT_FOUND job_id: there is no job ", "Jobs/ForkJob", "'job_id': '01HF7YAT00AW6HRSHWYKBKRK00'");
    const char *done = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, done, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    refuses("FAILED_PRECONDITION step: nothing was left to do after step 1", "Jobs/ForkJob",
            "'job_id': '%s', 'step': 1", done);
    for (int i = 1; i <= 3; i++) { /* of the record, the inputs, the steps */
        rig.fail_reads = i;
        refuses("UNAVAILABLE: the store is out of order", "Jobs/ForkJob", "'job_id': '%s', 'step': 2", job);
        rig.fail_reads = 0;
    }
}

static void a_repeated_fork_makes_one_job(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    static const char once[] = "'job_id': '%s', 'step': 2, 'request_id': 'q'";
    const char *fork = at(call("Jobs/ForkJob", once, job), "job_id");
    assert_string_equal(at(call("Jobs/ForkJob", once, job), "job_id"), fork);
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 2);
    refuses("ALREADY_EXISTS request_id: ", "Jobs/ForkJob", "'job_id': '%s', 'step': 1, 'request_id': 'q'",
            job);
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 2);
}

static void a_fork_is_whole_after_a_restart(void **state)
{
    (void)state;
    const char *job = asked_and_ended();
    const char *fork = at(call("Jobs/ForkJob", "'job_id': '%s', 'step': 3", job), "job_id");
    char *before = strdup(at(job_of(fork), ""));
    rig_restart();
    assert_string_equal(at(job_of(fork), ""), before);
    free(before);
    (void)call("Jobs/DeleteJob", "'job_id': '%s'", job);
    a = host_joins("a", " ");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", fork);
    assert_int_equal(number_at(told_of(a, "assign"), "state.step_number"), 3);
    const char *again =
        at(call("Jobs/ForkJob", "'job_id': '%s'", fork), "job_id"); /* of a fork, from its start */
    assert_string_equal(at(job_of(again), "state.shared_data"), "{'k':1.0,'z':1.0}");
}

/* The answer of a fork is checked elsewhere as any other: until then there is no fork. */
static void the_answer_of_a_fork_may_take_long_to_check(void **state)
{
    (void)state;
    rig.with_checks = true;
    rig_restart();
    a = host_joins("a", " ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'question': 'Q?', 'slot': 'more', "
                                       "'answer_schema': {'pattern': '^[a-z]+$'}}]");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    uint64_t bad = begin("Jobs/ForkJob", "'job_id': '%s', 'step': 1, 'answer': 'A'", job);
    rig_settle();
    assert_int_equal(rig_checks(), 1);
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 1);
    rig_check_really();
    assert_non_null(strstr(error_of(bad), "does not match ^[a-z]+$"));
    uint64_t good = begin("Jobs/ForkJob", "'job_id': '%s', 'step': 1, 'answer': 'a'", job);
    rig_settle();
    rig_check_really();
    assert_string_equal(at(answer_of(good), "status"), "JOB_STATUS_RUNNING");
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 2);
    while (told(a) != NULL) {
    }
    (void)begin("Jobs/ForkJob", "'job_id': '%s', 'step': 1, 'answer': 'a'", job);
    rig_settle(); /* it waits when the core ends */
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_fork_begins_where_the_job_stood),
        T(a_fork_of_step_0_begins_anew),
        T(a_fork_asks_the_question_anew),
        T(a_fork_may_answer_otherwise),
        T(the_answer_of_a_fork_may_take_long_to_check),
        T(an_answered_question_is_not_asked_again),
        T(shared_data_of_a_fork_are_changed_by_a_step_of_its_own),
        T(labels_of_the_request_stand_before_those_of_the_job),
        T(what_cannot_be_forked_is_refused),
        T(a_repeated_fork_makes_one_job),
        T(a_fork_is_whole_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
