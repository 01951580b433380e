/* Jobs that start their journals over, and states that are trimmed. */
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define PLACES "'routine': 'r', 'slot': 'in'"
#define MAKES_S1 ", 'new_tasks': [{'task_id': 's1.0', " PLACES ", 'data': {'x': 1}}]"
#define LOGS ", 'log': [{'message': 'one'}, {'message': 'two'}]"
#define SETS ", 'changes': [{'key': 'k', 'kind': 'STATE_CHANGE_KIND_SET', 'value': 'v'}]"

static uint64_t a;

static int setup(void **state)
{
    int rc = rig_setup(state);
    a = host_joins("a", " ");
    put_flow_f(" ");
    return rc;
}

static const char *running(void)
{
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    return job;
}

/* Its first step has logged, set a key, and made s1.0; an operator holds it. */
static const char *held(void)
{
    const char *job = running();
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1 LOGS SETS);
    (void)begin("Jobs/PauseJob", "'job_id': '%s'", job);
    rig_settle();
    host_says(a, "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_PAUSED'}",
              job);
    return job;
}

static json_t *state_of(const char *job)
{
    return json_object_get(job_of(job), "state");
}

static void what_waits_is_carried_over_and_numbers_go_on(void **state)
{
    (void)state;
    const char *job = held();
    json_t *r =
        call("Jobs/ContinueJob",
             "'job_id': '%s', 'by': 'ann', 'reason': 'it is old', 'how': {'kept': {'log': 1}, 'tasks': "
             "[{'to': {" PLACES "}, 'data': {'y': 2}}]}",
             job);
    assert_int_equal(number_at(r, "generation"), 1);
    assert_int_equal(number_at(r, "step"), 2);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED");
    for (int restarted = 0; restarted < 2; restarted++) {
        json_t *s = state_of(job);
        assert_string_equal(at(s, "pending_tasks[0].task_id"), "s1.0");
        assert_string_equal(at(s, "pending_tasks[1].task_id"), "s2.0");
        assert_string_equal(at(s, "pending_tasks[1].data"), "{'y':2.0}");
        assert_string_equal(at(s, "shared_log[0].message"), "two");
        assert_string_equal(at(s, "shared_log[1]"), "");
        assert_int_equal(number_at(s, "log_trimmed"), 1);
        assert_string_equal(at(s, "shared_data"), "{'k':'v'}");
        assert_int_equal(number_at(s, "step_number"), 2);
        assert_int_equal(number_at(job_of(job), "generation"), 1);
        rig_restart();
    }
    json_t *page = call("Jobs/GetHistory", "'job_id': '%s', 'generation': 1", job);
    assert_int_equal(number_at(page, "steps[0].number"), 2);
    assert_string_equal(at(page, "steps[0].remedy.kind"), "REMEDY_KIND_CONTINUE");
    assert_string_equal(at(page, "steps[0].remedy.by"), "ann");
    assert_int_equal(number_at(page, "steps[0].remedy.generation"), 1);
    assert_string_equal(at(page, "steps[1]"), "");
    page = call("Jobs/GetHistory", "'job_id': '%s', 'generation': 0", job);
    assert_int_equal(number_at(page, "steps[0].number"), 1);
    assert_string_equal(at(page, "steps[1]"), "");
    page = call("Jobs/GetHistory", "'job_id': '%s'", job);
    assert_int_equal(number_at(page, "steps[1].number"), 2);
    refuses("NOT_FOUND generation: job ", "Jobs/GetHistory", "'job_id': '%s', 'generation': 2", job);
    a = host_joins("a", " ");
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    json_t *assign = told_of(a, "assign");
    assert_int_equal(number_at(assign, "epoch"), 2);
    assert_int_equal(number_at(assign, "state.step_number"), 2);
    host_steps(a, job, 2, 3, ", 'task_id': 's1.0', " PLACES ", 'inputs_through': 1" OUTCOME(CONTINUE));
    host_steps(a, job, 2, 4, ", 'task_id': 's2.0', " PLACES ", 'inputs_through': 1" OUTCOME(COMPLETE));
    assert_string_equal(status_of(job), "COMPLETED");
}

static void a_job_that_runs_starts_over_at_the_end_of_its_step(void **state)
{
    (void)state;
    const char *job = running();
    json_t *r = call("Jobs/ContinueJob", "'job_id': '%s', 'by': 'ann', 'request_id': 'once'", job);
    assert_string_equal(at(r, "step"), "");
    assert_string_equal(at(told_of(a, "interrupt"), "kind"), "INTERRUPT_KIND_DRAIN");
    assert_string_equal(
        at(call("Jobs/ContinueJob", "'job_id': '%s', 'by': 'ann', 'request_id': 'once'", job), ""),
        at(r, ""));
    assert_true(told_nothing(a));
    rig_restart(); /* it is not forgotten */
    a = host_joins("a", ", 'held_jobs': [{'job_id': '%s', 'epoch': 1}]", job);
    assert_string_equal(at(told_of(a, "interrupt"), "kind"), "INTERRUPT_KIND_DRAIN");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1);
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_DRAINING'}",
              job);
    assert_int_equal(number_at(job_of(job), "generation"), 1);
    assert_int_equal(number_at(job_of(job), "generation_step"), 2);
    json_t *assign = told_of(a, "assign"); /* here again, for it has no other host */
    assert_int_equal(number_at(assign, "epoch"), 2);
    assert_int_equal(number_at(assign, "state.step_number"), 2);
    host_steps(a, job, 2, 3, ", 'task_id': 's1.0', " PLACES ", 'inputs_through': 1" OUTCOME(COMPLETE));
    assert_string_equal(status_of(job), "COMPLETED");
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/ContinueJob", "'job_id': '%s'", job);
}

static void its_last_step_may_be_followed_by_new_tasks(void **state)
{
    (void)state;
    const char *job = running();
    (void)call("Jobs/ContinueJob", "'job_id': '%s', 'how': {'tasks': [{'to': {" PLACES "}}]}", job);
    (void)told_of(a, "interrupt");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    assert_string_equal(status_of(job), "RUNNING"); /* and not COMPLETED */
    assert_string_equal(at(told_of(a, "assign"), "state.pending_tasks[0].task_id"), "s2.0");
}

static void old_generations_are_deleted_when_that_is_asked_for(void **state)
{
    (void)state;
    const char *job = held();
    (void)call("Jobs/ContinueJob", "'job_id': '%s'", job);
    (void)call("Jobs/ContinueJob", "'job_id': '%s', 'how': {'keep_generations': 1}", job);
    json_t *page = call("Jobs/GetHistory", "'job_id': '%s'", job);
    assert_int_equal(number_at(page, "steps[0].number"), 2);
    assert_int_equal(number_at(page, "steps[1].number"), 3);
    (void)call("Jobs/ContinueJob", "'job_id': '%s', 'how': {'keep_generations': 0}", job);
    rig_restart();
    page = call("Jobs/GetHistory", "'job_id': '%s'", job);
    assert_int_equal(number_at(page, "steps[0].number"), 4);
    assert_string_equal(at(page, "steps[1]"), "");
    assert_string_equal(at(page, "entries"), "");
    refuses("NOT_FOUND generation: ", "Jobs/GetHistory", "'job_id': '%s', 'generation': 2", job);
    uint64_t w = begin("Jobs/WatchJob", "'job_id': '%s'", job);
    rig_settle();
    (void)seen_by(w); /* the job */
    assert_int_equal(number_at(seen_by(w), "step.number"), 4);
    assert_string_equal(at(state_of(job), "pending_tasks[0].task_id"), "s1.0");
}

static void forks_begin_with_the_present_generation(void **state)
{
    (void)state;
    const char *job = running();
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(PAUSE) LOGS
               ", 'pauses': [{'pause_id': 'p1.0', 'question': 'why?', 'slot': 'in'}]");
    (void)call("Jobs/ContinueJob", "'job_id': '%s', 'how': {'kept': {'log': 0}}", job);
    assert_string_equal(status_of(job), "PAUSED");
    const char *early = at(call("Jobs/ForkJob", "'job_id': '%s', 'step': 1", job), "job_id");
    assert_string_equal(at(job_of(early), "generation"), ""); /* all of the first one is there */
    assert_string_equal(at(state_of(early), "shared_log[1].message"), "two");
    for (int again = 0; again < 2; again++) { /* and a fork of the fork */
        const char *fork = at(call("Jobs/ForkJob", "'job_id': '%s', 'step': 2", job), "job_id");
        rig_restart();
        json_t *j = job_of(fork);
        assert_string_equal(at(j, "pauses[0].question"), "why?"); /* it was open */
        assert_string_equal(at(j, "pauses[0].routine"), "r");
        assert_int_equal(number_at(j, "state.log_trimmed"), 2);
        assert_int_equal(number_at(j, "step_count"), 2);
        json_t *page = call("Jobs/GetHistory", "'job_id': '%s'", fork);
        assert_int_equal(number_at(page, "steps[0].number"), 2);
        job = fork;
    }
    (void)call("Jobs/ContinueJob", "'job_id': '%s'", job);
    refuses("FAILED_PRECONDITION step: step 2 is of an older generation of job ", "Jobs/ForkJob",
            "'job_id': '%s', 'step': 2", job);
    a = host_joins("a", " ");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'so'", job);
    assert_string_equal(at(told_of(a, "assign"), "inputs[0].task_id"), "i2");
}

static void a_failed_job_is_trimmed_and_goes_on(void **state)
{
    (void)state;
    const char *job = running();
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES_S1 LOGS SETS);
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/TrimJob", "'job_id': '%s', 'kept': {'log': 1}", job);
    host_steps(a, job, 1, 2,
               ", 'task_id': 's1.0', " PLACES
               ", 'inputs_through': 1" OUTCOME(FAIL) ", 'error': {'code': "
                                                     "'INTERNAL', 'message': 'x'}");
    refuses("INVALID_ARGUMENT kept: kept says nothing: ", "Jobs/TrimJob", "'job_id': '%s', 'kept': {}", job);
    json_t *r =
        call("Jobs/TrimJob", "'job_id': '%s', 'kept': {'log': 0, 'no_shared_data': true}, 'by': 'ann'", job);
    assert_int_equal(number_at(r, "step"), 3);
    json_t *s = state_of(job);
    assert_string_equal(at(s, "shared_log"), "");
    assert_string_equal(at(s, "shared_data"), "");
    assert_int_equal(number_at(s, "log_trimmed"), 2);
    (void)call("Jobs/ContinueJob", "'job_id': '%s'", job);
    assert_string_equal(status_of(job), "FAILED");
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_string_equal(status_of(job), "RUNNING");
}

static void what_nobody_would_run_is_refused(void **state)
{
    (void)state;
    const char *job = held();
    refuses("INVALID_ARGUMENT how.tasks[0].to.routine: ", "Jobs/ContinueJob",
            "'job_id': '%s', 'how': {'tasks': [{'to': {'routine': 'nobody', 'slot': 'in'}}]}", job);
    refuses("INVALID_ARGUMENT how.tasks[0].to: how.tasks[0].to is missing", "Jobs/ContinueJob",
            "'job_id': '%s', 'how': {'tasks': [{'data': {}}]}", job);
    assert_string_equal(at(job_of(job), "generation"), "");
    assert_int_equal(number_at(job_of(job), "step_count"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(what_waits_is_carried_over_and_numbers_go_on),
        T(a_job_that_runs_starts_over_at_the_end_of_its_step),
        T(its_last_step_may_be_followed_by_new_tasks),
        T(old_generations_are_deleted_when_that_is_asked_for),
        T(forks_begin_with_the_present_generation),
        T(a_failed_job_is_trimmed_and_goes_on),
        T(what_nobody_would_run_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
