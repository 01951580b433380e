/* Child jobs: how they are started, what their parents get, what ends with whom. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

/* A step that starts a child of flow f (data {'c': 1}), whose result goes to slot "more". */
#define STARTS                                                                                               \
    TAKES_I1 OUTCOME(CONTINUE) ", 'children': [{'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}, "      \
                               "'data': {'c': 1}, 'shared_data': {'s': 2}, "                                 \
                               "'result_slot': 'more'}]"

static uint64_t a;

static int setup(void **state)
{
    int rc = rig_setup(state);
    a = host_joins("a", " ");
    put_flow_f(" ");
    return rc;
}

/* Submits a job that starts a child; *ret_child is the child's id. */
static const char *parent_of(const char **ret_child)
{
    const char *job = submit_f(", 'labels': {'k': 'v'}, 'priority': 4");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, STARTS);
    *ret_child = at(job_of(job), "children[0].job_id");
    return job;
}

static void a_child_requires_the_hosts_that_its_parent_does(void **state)
{
    (void)state;
    const char *job = submit_f(", 'placement': {'host': 'a', 'mode': 'PLACEMENT_MODE_SAME_HOST'}");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, STARTS);
    assert_string_equal(at(job_of(at(job_of(job), "children[0].job_id")), "placement"), "{'host':'a'}");
}

static void a_child_is_a_job_of_its_own(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    assert_string_equal(status_of(job), "SLEEPING");
    json_t *head = job_of(job);
    assert_string_equal(at(head, "children[0].routine"), "r");
    assert_string_equal(at(head, "children[0].slot"), "more");
    assert_string_equal(at(head, "children[0].started"), "true");
    assert_string_equal(at(head, "children[0].start"), "");
    head = job_of(child);
    assert_string_equal(at(head, "status"), "JOB_STATUS_RUNNING");
    assert_string_equal(at(head, "parent"), job);
    assert_string_equal(at(head, "labels"), "{'k':'v'}");
    assert_int_equal(number_at(head, "priority"), 4);
    assert_string_equal(at(head, "flow"), "f");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "job_id"), child);
    assert_string_equal(at(assign, "inputs[0].data"), "{'c':1.0}");
    assert_string_equal(at(assign, "state.shared_data"), "{'s':2.0}");
    json_t *r = call("Jobs/ExplainJob", "'job_id': '%s'", job);
    assert_string_equal(at(r, "summary"),
                        "It sleeps until a job that it has started ends, or a timer is due.");
    assert_string_equal(at(r, "waits_for[0].kind"), "child");
}

static void the_parent_gets_what_the_child_has_made(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    (void)told_of(a, "assign");
    host_steps(a, child, 1, 1,
               TAKES_I1 OUTCOME(COMPLETE) ", 'emissions': [{'event': 'out', 'data': {'y': 1}}]");
    json_t *assign = told_of(a, "assign");
    char want[600];
    snprintf(
        want, sizeof(want),
        "{'job_id':'%s','outputs':[{'data':{'y':1.0},'event':'out','routine':'r'}],'shared_data':{'s':2.0},"
        "'status':'COMPLETED'}",
        child);
    assert_string_equal(at(assign, "job_id"), job);
    assert_string_equal(at(assign, "inputs[0].data"), want);
    assert_string_equal(at(assign, "inputs[0].slot"), "more");
    assert_string_equal(at(assign, "inputs[0].routine"), "r");
    assert_string_equal(at(assign, "inputs[0].child_job_id"), child);
    assert_string_equal(at(job_of(job), "children"), "");
    assert_string_equal(at(job_of(child), "parent_waits"), "");
}

static void the_parent_hears_of_a_child_that_failed(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    (void)told_of(a, "assign");
    host_steps(a, child, 1, 1, TAKES_I1 OUTCOME(FAIL) ", 'error': {'code': 'INTERNAL', 'message': 'broken'}");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "job_id"), job);
    assert_string_equal(at(assign, "inputs[0].data.status"), "FAILED");
    assert_string_equal(at(assign, "inputs[0].data.error"), "{'code':'INTERNAL','message':'broken'}");
    assert_string_equal(at(assign, "inputs[0].data.outputs"), "[]");
}

static void a_child_that_cannot_be_started_is_a_failed_one(void **state)
{
    (void)state;
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'children': [{'flow': 'g', 'entry': {'routine': 'r', 'slot': "
                                          "'in'}, 'result_slot': 'more'}]");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].data.status"), "FAILED");
    assert_string_equal(at(assign, "inputs[0].data.error"),
                        "{'code':'NOT_FOUND','message':'there is no flow \\'g\\''}");
    assert_string_equal(at(job_of(job), "children"), "");
}

static void a_child_whose_submit_finds_the_disk_full_is_started_later(void **state)
{
    (void)state;
    static const enum fm_code codes[] = {FM_RESOURCE_EXHAUSTED, FM_UNAVAILABLE};
    for (size_t i = 0; i < 2; i++) {
        rig.hold = true;
        rig.fail_with = codes[i];
        const char *child, *job;
        rig.hold = false;
        job = submit_f(" ");
        (void)told_of(a, "assign");
        rig.hold = true;
        host_steps(a, job, 1, 1, STARTS);
        rig_commit(1); /* the step; the child's submit is the next unit */
        rig.fail_units = 1;
        rig.hold = false;
        rig_settle();
        assert_int_equal(rig.fail_units, 0);
        child = at(job_of(job), "children[0].job_id");
        assert_string_equal(at(job_of(job), "children[0].started"), "");
        refuses("NOT_FOUND", "Jobs/GetJob", "'job_id': '%s'", child);
        for (size_t t = 0; t < 12; t++) {
            host_says(a, "'heartbeat': {}");
            rig_pass(1000);
        }
        assert_string_equal(at(job_of(job), "children[0].started"), "true");
        assert_string_equal(status_of(child), "RUNNING");
    }
}

static void children_are_started_after_a_restart(void **state)
{
    (void)state;
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    rig.hold = true;
    host_steps(a, job, 1, 1, STARTS);
    rig_commit(1);
    rig_restart(); /* the submit is lost */
    rig.hold = false;
    rig_settle();
    a = host_joins("a", " ");
    const char *child = at(job_of(job), "children[0].job_id");
    for (size_t t = 0; t < 12; t++) {
        host_says(a, "'heartbeat': {}");
        rig_pass(1000);
    }
    assert_string_equal(status_of(child), "RUNNING");
    (void)told_of(a, "assign");
    host_steps(a, child, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    assert_string_equal(at(told_of(a, "assign"), "inputs[0].child_job_id"), child);
}

static void a_result_is_given_once_whatever_is_lost(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    (void)told_of(a, "assign");
    rig.hold = true;
    host_steps(a, child, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    rig_commit(1); /* the child's end; that the parent has it is lost */
    rig_restart();
    rig.hold = false;
    rig_settle();
    assert_string_equal(at(job_of(child), "parent_waits"), "true");
    a = host_joins("a", " ");
    for (size_t t = 0; t < 12; t++) {
        host_says(a, "'heartbeat': {}");
        rig_pass(1000);
    }
    assert_int_equal(number_at(job_of(job), "input_count"), 2);
    assert_string_equal(at(job_of(child), "parent_waits"), "");
    assert_string_equal(at(job_of(job), "children"), "");
}

static void children_of_a_job_that_ends_are_cancelled(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    (void)told_of(a, "assign");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    assert_string_equal(at(told_of(a, "interrupt"), "job_id"), child);
    assert_string_equal(status_of(child), "CANCELLED");
    assert_string_equal(at(job_of(child), "error.message"), "the job that started it has ended");
    assert_string_equal(at(job_of(job), "children"), "");
    assert_int_equal(number_at(job_of(job), "input_count"), 1); /* nobody wants the result */
}

static void a_failed_job_that_goes_on_finds_what_its_children_came_to(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    (void)told_of(a, "assign");
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    (void)told_of(a, "assign");
    host_steps(
        a, job, 2, 2,
        ", 'task_id': 'i2', 'routine': 'r', 'slot': 'in', 'inputs_through': 2, 'attempt': 1" OUTCOME(FAIL));
    assert_string_equal(status_of(child), "CANCELLED");
    assert_string_equal(at(job_of(job), "children"), "");
    (void)call("Jobs/SkipTask", "'job_id': '%s'", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].child_job_id"), child);
    assert_string_equal(at(assign, "inputs[0].data.status"), "CANCELLED");
}

/* A parent with room for 6,000 bytes has an input of 4,000 that waits, and a child has a result of 4,000. */
static const char *full_parent(const char **ret_child)
{
    rig.config.max_state_bytes = 6000;
    rig_restart();
    a = host_joins("a", " ");
    const char *job = parent_of(ret_child);
    (void)told_of(a, "assign");
    char text[4001];
    memset(text, 'x', 4000);
    text[4000] = '\0';
    (void)call("Jobs/PauseJob", "'job_id': '%s'", job);
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'x': '%s'}",
               job, text);
    host_steps(a, *ret_child, 1, 1,
               TAKES_I1 OUTCOME(COMPLETE) ", 'emissions': [{'event': 'out', 'data': {'y': '%s'}}]", text);
    return job;
}

static json_t *waiting_task(const char *job, size_t i)
{
    return json_array_get(json_object_get(json_object_get(job_of(job), "state"), "pending_tasks"), i);
}

static void consume_input(const char *job, unsigned epoch)
{
    host_steps(a, job, epoch, 2,
               ", 'task_id': 'i2', 'routine': 'r', 'slot': 'in', 'inputs_through': 2" OUTCOME(CONTINUE));
}

static void a_result_that_has_no_room_waits_until_there_is(void **state)
{
    (void)state;
    const char *child, *job = full_parent(&child);
    assert_string_equal(at(job_of(child), "parent_waits"), "true");
    assert_string_equal(at(job_of(job), "children[0].job_id"), child);
    assert_null(waiting_task(job, 1));
    refuses("RESOURCE_EXHAUSTED data: the state of job", "Jobs/SendInput",
            "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}",
            job); /* it does not overtake the result */
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    (void)told_of(a, "assign");
    consume_input(job, 2);
    assert_string_equal(at(waiting_task(job, 0), "child_job_id"), child); /* at once, not in a while */
    assert_string_equal(at(waiting_task(job, 0), "data.status"), "COMPLETED");
    assert_int_equal(strlen(at(waiting_task(job, 0), "data.outputs[0].data.y")), 4000);
    assert_string_equal(at(job_of(job), "children"), "");
    assert_string_equal(at(job_of(child), "parent_waits"), "");
}

static void a_result_that_waits_is_there_after_a_restart(void **state)
{
    (void)state;
    const char *child, *job = full_parent(&child);
    rig_restart();
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    a = host_joins("a", " ");
    (void)told_of(a, "assign");
    consume_input(job, 2);
    rig_pass(60000);
    assert_string_equal(at(waiting_task(job, 0), "child_job_id"), child);
    assert_string_equal(at(waiting_task(job, 0), "data.status"), "COMPLETED");
    assert_string_equal(at(job_of(child), "parent_waits"), "");
}

static void a_result_is_taken_whatever_the_state_has_when_nothing_would_make_room(void **state)
{
    (void)state;
    rig.config.max_state_bytes = 6000;
    rig_restart();
    a = host_joins("a", " ");
    const char *job = submit_f(" ");
    char text[4001];
    memset(text, 'x', 4000);
    text[4000] = '\0';
    host_steps(
        a, job, 1, 1,
        TAKES_I1 OUTCOME(CONTINUE) ", 'children': [{'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}, "
                                   "'result_slot': 'more'}], 'changes': [{'kind': 1, 'key': 'k', 'value': "
                                   "'%s'}]",
        text);
    const char *child = at(job_of(job), "children[0].job_id");
    host_steps(a, child, 1, 1,
               TAKES_I1 OUTCOME(COMPLETE) ", 'emissions': [{'event': 'out', 'data': {'y': '%s'}}]", text);
    assert_string_equal(at(waiting_task(job, 0), "child_job_id"), child);
}

static void a_child_that_is_deleted_while_its_result_waits_has_failed(void **state)
{
    (void)state;
    const char *child, *job = full_parent(&child);
    (void)call("Jobs/DeleteJob", "'job_id': '%s'", child);
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    (void)told_of(a, "assign");
    consume_input(job, 2);
    assert_string_equal(at(waiting_task(job, 0), "child_job_id"), child);
    assert_string_equal(at(waiting_task(job, 0), "data.status"), "FAILED");
    assert_string_equal(at(waiting_task(job, 0), "data.error.code"), "NOT_FOUND");
}

static void results_that_wait_are_let_go_with_their_parent(void **state)
{
    (void)state;
    const char *child, *job = full_parent(&child);
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    assert_string_equal(at(job_of(child), "parent_waits"), "");
    assert_string_equal(at(job_of(job), "children"), "");
}

static void a_result_may_have_some_megabytes(void **state)
{
    (void)state;
    const struct {
        size_t n;
        const char *status;
    } cases[] = {
        {2000000, "COMPLETED"       },
        {7400000, "RESULT_TOO_LARGE"}
    };
    for (size_t i = 0; i < 2; i++) {
        const char *child, *job = parent_of(&child);
        (void)told_of(a, "assign");
        char *text = calloc(cases[i].n + 1, 1);
        assert_non_null(text);
        memset(text, 'x', cases[i].n);
        host_steps(a, child, 1, 1,
                   TAKES_I1 OUTCOME(COMPLETE) ", 'emissions': [{'event': 'out', 'data': {'y': '%s'}}]", text);
        free(text);
        json_t *task = waiting_task(job, 0);
        assert_string_equal(at(task, "child_job_id"), child);
        assert_string_equal(at(task, "data.status"), cases[i].status);
        if (i == 0)
            assert_int_equal(strlen(at(task, "data.outputs[0].data.y")), cases[i].n);
        else
            assert_non_null(strstr(at(task, "data.error.message"),
                                   "it is COMPLETED, but its outputs and shared data have "));
    }
}

static void children_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *child, *why;
    } wrong[] = {
        {"'flow': 'f', 'result_slot': 'more'",                   "child 0 has no entry or no slot for its result"},
        {"'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}",
         "child 0 has no entry or no slot for its result"                                                        },
    };
    for (size_t i = 0; i < 2; i++) {
        const char *job = submit_f(" ");
        (void)told_of(a, "assign");
        host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) ", 'children': [{%s}]", wrong[i].child);
        assert_string_equal(at(told_of(a, "step_reject"), "reason"), wrong[i].why);
    }
}

static void a_question_of_a_child_is_shown_and_answered_by_way_of_the_parent(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    (void)told_of(a, "assign");
    host_steps(a, child, 1, 1, STARTS); /* a grandchild */
    const char *grand = at(job_of(child), "children[0].job_id");
    (void)told_of(a, "assign");
    host_steps(a, grand, 1, 1,
               TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'question': 'Q?', 'slot': "
                                       "'more'}]");
    char id[80];
    snprintf(id, sizeof(id), "%s/%s/p1.0", child, grand);
    assert_string_equal(at(job_of(job), "pauses[0].pause_id"), id);
    assert_string_equal(at(job_of(job), "pauses[0].question"), "Q?");
    assert_string_equal(at(job_of(job), "pauses[1]"), "");
    assert_string_equal(at(job_of(child), "pauses[0].pause_id"), id + 27);
    json_t *r = call("Jobs/ClaimPause", "'job_id': '%s', 'pause_id': '%s', 'by': 'eve'", job, id);
    assert_string_equal(at(r, "pause.claimed_by"), "eve");
    refuses("FAILED_PRECONDITION answered_by: ", "Jobs/ResumeJob",
            "'job_id': '%s', 'pause_id': '%s', 'answer': 1", job, id);
    (void)call("Jobs/ReleasePause", "'job_id': '%s', 'pause_id': '%s', 'by': 'eve'", job, id);
    snprintf(id, sizeof(id), "%s/p1.0", grand);
    refuses("FAILED_PRECONDITION pause_id: job ", "Jobs/ResumeJob",
            "'job_id': '%s', 'pause_id': '%s', 'answer': 1", job, id);
    snprintf(id, sizeof(id), "%s/%s/p1.0", child, grand);
    r = call("Jobs/ResumeJob", "'job_id': '%s', 'pause_id': '%s', 'answer': 1", job, id);
    assert_string_equal(at(r, "pause_id"), "p1.0");
    assert_string_equal(status_of(grand), "RUNNING");
    assert_string_equal(at(job_of(job), "pauses"), "");
}

static void a_job_that_waited_for_a_child_is_forked_before_or_after(void **state)
{
    (void)state;
    const char *child, *job = parent_of(&child);
    refuses("FAILED_PRECONDITION step: job ", "Jobs/ForkJob", "'job_id': '%s', 'step': 1", job);
    (void)call("Jobs/ForkJob", "'job_id': '%s'", job);
    (void)told_of(a, "assign");
    host_steps(a, child, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    (void)told_of(a, "assign");
    host_steps(a, job, 2, 2,
               ", 'task_id': 'i2', 'routine': 'r', 'slot': 'more', 'inputs_through': 2, 'attempt': 1" OUTCOME(
                   CONTINUE) ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in'}]");
    (void)call("Jobs/ForkJob", "'job_id': '%s', 'step': 2", job);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_child_is_a_job_of_its_own),
        T(a_child_requires_the_hosts_that_its_parent_does),
        T(the_parent_gets_what_the_child_has_made),
        T(the_parent_hears_of_a_child_that_failed),
        T(a_child_that_cannot_be_started_is_a_failed_one),
        T(a_child_whose_submit_finds_the_disk_full_is_started_later),
        T(children_are_started_after_a_restart),
        T(a_result_is_given_once_whatever_is_lost),
        T(children_of_a_job_that_ends_are_cancelled),
        T(a_failed_job_that_goes_on_finds_what_its_children_came_to),
        T(a_result_that_has_no_room_waits_until_there_is),
        T(a_result_that_waits_is_there_after_a_restart),
        T(a_result_is_taken_whatever_the_state_has_when_nothing_would_make_room),
        T(a_child_that_is_deleted_while_its_result_waits_has_failed),
        T(results_that_wait_are_let_go_with_their_parent),
        T(a_result_may_have_some_megabytes),
        T(children_are_checked),
        T(a_question_of_a_child_is_shown_and_answered_by_way_of_the_parent),
        T(a_job_that_waited_for_a_child_is_forked_before_or_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
