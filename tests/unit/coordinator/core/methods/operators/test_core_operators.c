/* What operators do to jobs: pause, cancel, delete, retry, skip, edit, patch, breakpoints. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define PLACES "'routine': 'r', 'slot': 'in'"

static uint64_t a;

static int setup(void **state)
{
    int rc = rig_setup(state);
    a = host_joins("a", " ");
    put_flow_f(", 'deadline_ms': 60000");
    return rc;
}

/* A job that host "a" has; its first step is still to be made. */
static const char *running(void)
{
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    return job;
}

static const char *failed(void)
{
    const char *job = running();
    host_steps(a, job, 1, 1,
               ", 'task_id': 'i1', " PLACES
               ", 'inputs_through': 1, 'attempt': 3" OUTCOME(FAIL) ", 'error': {'code': "
                                                                   "'INTERNAL', 'message': 'broken'}");
    assert_string_equal(status_of(job), "FAILED");
    return job;
}

/* A job whose task i1 has made s1.0, held by an operator. */
static const char *held(void)
{
    const char *job = running();
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', " PLACES ", 'data': "
                                          "{'x': 1}}]");
    uint64_t pause = begin("Jobs/PauseJob", "'job_id': '%s', 'reason': 'lunch'", job);
    rig_settle();
    assert_null(answer_of(pause));
    host_says(a, "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_PAUSED'}",
              job);
    assert_string_equal(at(answer_of(pause), "status"), "JOB_STATUS_PAUSED");
    return job;
}

/* ---- pause, cancel, delete ---- */

static void a_pause_is_said_to_the_host_and_answered_when_it_holds(void **state)
{
    (void)state;
    const char *job = running();
    uint64_t one = begin("Jobs/PauseJob", "'job_id': '%s', 'reason': 'lunch'", job);
    rig_settle();
    uint64_t two = begin("Jobs/PauseJob", "'job_id': '%s'", job);
    rig_settle();
    json_t *interrupt = told_of(a, "interrupt");
    assert_string_equal(at(interrupt, "kind"), "INTERRUPT_KIND_PAUSE");
    assert_int_equal(number_at(interrupt, "epoch"), 1);
    assert_int_equal(number_at(interrupt, "grace_ms"), UINT32_MAX);
    assert_true(told_nothing(a)); /* it was asked for already */
    assert_string_equal(at(job_of(job), "pause_requested"), "true");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', " PLACES "}]");
    host_says(a, "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_PAUSED'}",
              job);
    assert_string_equal(at(answer_of(one), ""), at(answer_of(two), ""));
    assert_int_equal(number_at(answer_of(one), "step_count"), 1);
    json_t *pause = json_array_get(json_object_get(job_of(job), "pauses"), 0);
    assert_string_equal(at(pause, "pause_id"), at(answer_of(one), "pause_id"));
    assert_string_equal(at(pause, "question"), "lunch");
    assert_string_equal(at(pause, "reason"), "PAUSE_REASON_OPERATOR");
    assert_int_equal(number_at(pause, "step"), 1);
    assert_int_equal(number_at(pause, "at"), RIG_WALL_MS);
    assert_string_equal(at(job_of(job), "pause_requested"), "");
    assert_string_equal(at(call("Jobs/PauseJob", "'job_id': '%s'", job), ""), at(answer_of(one), ""));
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_int_equal(number_at(told_of(a, "assign"), "epoch"), 2);
}

/* The grace that the host was told of. */
static int64_t grace(void)
{
    return number_at(told_of(a, "interrupt"), "grace_ms");
}

static void a_pause_aborts_a_step_only_after_the_shortest_grace_that_was_asked_for(void **state)
{
    (void)state;
    const char *job = running();
    uint64_t one = begin("Jobs/PauseJob", "'job_id': '%s', 'by': 'ann', 'reason': 'lunch'", job);
    rig_settle();
    assert_int_equal(grace(), UINT32_MAX);
    uint64_t two = begin("Jobs/PauseJob", "'job_id': '%s', 'by': 'bob', 'grace_ms': 9000", job);
    rig_settle();
    assert_int_equal(grace(), 9000);
    uint64_t three = begin("Jobs/PauseJob", "'job_id': '%s', 'grace_ms': 60000", job);
    rig_settle();
    assert_true(told_nothing(a));
    assert_string_equal(at(job_of(job), "pause_by"), "ann");
    rig_restart(); /* what is left of it is known to the disk */
    a = host_joins("a", ", 'held_jobs': [{'job_id': '%s', 'epoch': 1}]", job);
    assert_int_equal(grace(), 9000);
    (void)one, (void)two, (void)three;
    uint64_t now = begin("Jobs/PauseJob", "'job_id': '%s', 'grace_ms': 0", job);
    rig_settle();
    assert_int_equal(grace(), 0);
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_PAUSED', 'aborted_tasks': "
              "['i1']}",
              job);
    assert_string_equal(at(answer_of(now), "status"), "JOB_STATUS_PAUSED");
    assert_string_equal(at(job_of(job), "pauses[0].question"), "lunch"); /* that of the first */
    assert_string_equal(at(job_of(job), "pause_by"), "");
    assert_string_equal(at(job_of(job), "pause_abort_at"), "");
    refuses("INVALID_ARGUMENT grace_ms: grace_ms is 2592000001; at most 2592000000 (30 days)",
            "Jobs/PauseJob", "'job_id': '%s', 'grace_ms': 2592000001", job);
}

static void a_waiting_job_is_held_at_once(void **state)
{
    (void)state;
    (void)call("Hosts/CordonHost", "'host_id': 'a'");
    const char *job = submit_f(" ");
    assert_string_equal(at(call("Jobs/PauseJob", "'job_id': '%s'", job), "status"), "JOB_STATUS_PAUSED");
    (void)call("Hosts/CordonHost", "'host_id': 'a', 'uncordon': true");
    assert_true(told_nothing(a));
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {" PLACES "}", job);
    assert_string_equal(status_of(job), "PAUSED");
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_string_equal(status_of(job), "RUNNING");
}

static void a_pause_outlives_the_job_s_host(void **state)
{
    (void)state;
    const char *job = running();
    uint64_t pause = begin("Jobs/PauseJob", "'job_id': '%s'", job);
    rig_settle();
    host_breaks(a);
    rig_pass(RIG_LEASE_MS + 1);
    assert_string_equal(at(answer_of(pause), "status"), "JOB_STATUS_PAUSED");
    assert_string_equal(at(job_of(job), "host"), "");
}

static void a_pause_that_meets_the_job_s_end_is_answered(void **state)
{
    (void)state;
    const char *job = running();
    uint64_t pause = begin("Jobs/PauseJob", "'job_id': '%s'", job);
    rig_settle();
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    assert_string_equal(at(answer_of(pause), "status"), "JOB_STATUS_COMPLETED");
    assert_string_equal(at(answer_of(pause), "pause_id"), "");
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/PauseJob", "'job_id': '%s'", job);
}

static void a_pause_that_could_not_be_stored_is_said_to_nobody(void **state)
{
    (void)state;
    const char *job = running();
    rig.fail_units = 1;
    uint64_t pause = begin("Jobs/PauseJob", "'job_id': '%s'", job);
    rig_settle();
    assert_string_equal(error_of(pause), "UNAVAILABLE: the store is out of order");
    assert_string_equal(at(job_of(job), "pause_requested"), "");
}

static void a_job_is_cancelled_wherever_it_is(void **state)
{
    (void)state;
    const char *job = running();
    json_t *r = call("Jobs/CancelJob", "'job_id': '%s', 'reason': 'no more'", job);
    assert_string_equal(at(r, ""), "{'status':'JOB_STATUS_CANCELLED'}");
    json_t *interrupt = told_of(a, "interrupt");
    assert_string_equal(at(interrupt, "kind"), "INTERRUPT_KIND_CANCEL");
    assert_string_equal(at(job_of(job), "error"), "{'code':'CANCELLED','message':'no more'}");
    assert_int_equal(number_at(job_of(job), "finished_at"), RIG_WALL_MS);
    assert_string_equal(at(job_of(job), "host"), "");
    /* again: what it is already */
    assert_string_equal(at(call("Jobs/CancelJob", "'job_id': '%s'", job), "status"), "JOB_STATUS_CANCELLED");
    assert_true(told_nothing(a));
    const char *other = held();
    r = call("Jobs/CancelJob", "'job_id': '%s'", other);
    assert_int_equal(number_at(r, "step_count"), 1);
    assert_string_equal(at(job_of(other), "error.message"), "cancelled by a client");
    assert_string_equal(at(job_of(other), "pauses"), "");
}

static void reasons_have_at_most_4096_bytes(void **state)
{
    (void)state;
    char text[4098];
    memset(text, 'x', 4097);
    text[4097] = '\0';
    const char *job = held(), *gone = running();
    refuses("INVALID_ARGUMENT reason: reason has 4097 bytes; the limit is 4096", "Jobs/PauseJob",
            "'job_id': '%s', 'reason': '%s'", job, text);
    refuses("INVALID_ARGUMENT reason: ", "Jobs/CancelJob", "'job_id': '%s', 'reason': '%s'", job, text);
    refuses("INVALID_ARGUMENT by: ", "Jobs/RetryTask", "'job_id': '%s', 'by': '%s'", job, text);
    refuses("INVALID_ARGUMENT reason: ", "Jobs/SkipTask", "'job_id': '%s', 'reason': '%s'", job, text);
    refuses("INVALID_ARGUMENT by: ", "Jobs/EditTask", "'job_id': '%s', 'by': '%s'", job, text);
    refuses("INVALID_ARGUMENT reason: ", "Jobs/PatchState", "'job_id': '%s', 'reason': '%s'", job, text);
    refuses("INVALID_ARGUMENT task_id: ", "Jobs/RetryTask", "'job_id': '%s', 'task_id': '%s'", job, text);
    refuses("INVALID_ARGUMENT task_id: ", "Jobs/SkipTask", "'job_id': '%s', 'task_id': '%s'", job, text);
    refuses("INVALID_ARGUMENT task_id: ", "Jobs/EditTask", "'job_id': '%s', 'task_id': '%s', 'data': {}", job,
            text);
    refuses("INVALID_ARGUMENT sent_by: ", "Jobs/SendInput",
            "'job_id': '%s', 'to': {" PLACES "}, 'sent_by': '%s'", job, text);
    refuses("INVALID_ARGUMENT answered_by: ", "Jobs/ResumeJob", "'job_id': '%s', 'answered_by': '%s'", job,
            text);
    refuses("INVALID_ARGUMENT pause_id: ", "Jobs/ResumeJob", "'job_id': '%s', 'pause_id': '%s'", job, text);
    (void)call("Jobs/CancelJob", "'job_id': '%s', 'reason': '%s'", gone, text + 1);
}

static void only_a_job_that_has_ended_is_deleted(void **state)
{
    (void)state;
    const char *job = running();
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/DeleteJob", "'job_id': '%s'", job);
    uint64_t watch = begin("Jobs/WatchJob", "'job_id': '%s'", job);
    rig_settle();
    uint64_t cancel = begin("Jobs/CancelJob", "'job_id': '%s'", job);
    uint64_t delete = begin("Jobs/DeleteJob", "'job_id': '%s'", job);
    rig_settle();
    assert_non_null(answer_of(cancel));
    assert_non_null(answer_of(delete));
    assert_non_null(error_of(watch));
    refuses("NOT_FOUND job_id: ", "Jobs/GetJob", "'job_id': '%s'", job);
    refuses("NOT_FOUND job_id: ", "Jobs/DeleteJob", "'job_id': '%s'", job);
}

/* ---- remedies ---- */

static void only_a_job_at_rest_is_changed(void **state)
{
    (void)state;
    const char *job = running();
    static const char *const methods[] = {"Jobs/RetryTask", "Jobs/SkipTask"};
    for (size_t i = 0; i < 2; i++)
        refuses("FAILED_PRECONDITION job_id: job ", methods[i], "'job_id': '%s', 'task_id': 'i1'", job);
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/EditTask",
            "'job_id': '%s', 'task_id': 'i1', 'data': {}", job);
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/PatchState", "'job_id': '%s', 'set': {'k': 1}", job);
}

static void a_failed_job_that_is_resumed_runs_its_task_with_all_attempts(void **state)
{
    (void)state;
    const char *job = failed();
    json_t *head = job_of(job);
    assert_string_equal(at(head, "error"),
                        "{'code':'INTERNAL','message':'broken','routine':'r','task_id':'i1'}");
    assert_int_equal(number_at(head, "finished_at"), RIG_WALL_MS);
    rig_pass(1000);
    json_t *r = call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_RUNNING");
    assert_string_equal(at(r, "pause_id"), "");
    head = job_of(job);
    assert_string_equal(at(head, "error"), "");
    assert_string_equal(at(head, "finished_at"), "");
    assert_int_equal(number_at(head, "deadline_at"), RIG_WALL_MS + 61000); /* its whole time again */
    json_t *assign = told_of(a, "assign");
    assert_int_equal(number_at(assign, "state.step_number"), 2);
    assert_string_equal(at(assign, "state.pending_tasks[0].task_id"), "i1");
    assert_string_equal(at(assign, "state.pending_tasks[0].failed_attempts"), "");
    json_t *steps = call("Jobs/GetHistory", "'job_id': '%s', 'from_step': 2", job);
    assert_string_equal(at(steps, "steps[0].remedy.kind"), "REMEDY_KIND_RETRY_TASK");
    assert_string_equal(at(steps, "steps[0].remedy.reason"), "the job was resumed");
}

static void a_task_of_a_failed_job_is_retried(void **state)
{
    (void)state;
    const char *job = failed();
    refuses("NOT_FOUND task_id: no task i9 waits in job ", "Jobs/RetryTask",
            "'job_id': '%s', 'task_id': 'i9'", job);
    json_t *r = call("Jobs/RetryTask", "'job_id': '%s', 'by': 'eve', 'reason': 'again'", job);
    assert_string_equal(at(r, ""), "{'status':'JOB_STATUS_RUNNING','step':2}");
    json_t *steps = call("Jobs/GetHistory", "'job_id': '%s', 'from_step': 2", job);
    assert_string_equal(at(steps, "steps[0].remedy.by"), "eve");
    assert_string_equal(at(steps, "steps[0].remedy.reason"), "again");
    assert_string_equal(at(steps, "steps[0].task_id"), "i1");
    assert_string_equal(at(steps, "steps[1]"), ""); /* it has its attempts once */
    assert_int_equal(number_at(steps, "steps[0].committed_at"), RIG_WALL_MS);
}

static void a_task_is_skipped_and_its_event_goes_out(void **state)
{
    (void)state;
    const char *job = failed();
    json_t *r = call("Jobs/SkipTask", "'job_id': '%s', 'event': 'out', 'data': {'y': 1}, 'by': 'eve'", job);
    assert_string_equal(at(r, ""), "{'status':'JOB_STATUS_FAILED','step':2}");
    assert_string_equal(at(job_of(job), "state.outputs"),
                        "[{'data':{'y':1.0},'event':'out','routine':'r','step':2}]");
    assert_string_equal(at(job_of(job), "state.pending_tasks"), "");
    assert_string_equal(at(call("Jobs/ResumeJob", "'job_id': '%s'", job), "status"), "JOB_STATUS_COMPLETED");
    job = failed();
    refuses("INVALID_ARGUMENT event: ", "Jobs/SkipTask", "'job_id': '%s', 'event': 'no event'", job);
    (void)call("Jobs/SkipTask", "'job_id': '%s'", job);
    assert_string_equal(at(job_of(job), "state.outputs"), "");
    refuses("NOT_FOUND task_id: no task i1 waits", "Jobs/SkipTask", "'job_id': '%s'", job);
}

static void an_event_of_a_skipped_task_that_leads_somewhere_waits_for_a_host(void **state)
{
    (void)state;
    (void)call("Flows/PutFlow",
               "'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}], 'connections': [{'from': "
               "{'routine': 'r', 'event': 'ask'}, 'to': {'routine': 'r', 'slot': 'more'}}, {'from': "
               "{'routine': 'r', 'event': 'out'}, 'to': {'routine': 'r', 'slot': 'more'}}]}");
    const char *job = failed();
    (void)call("Jobs/SkipTask", "'job_id': '%s', 'event': 'out'", job);
    assert_string_equal(at(job_of(job), "state.deferred_events"),
                        "[{'data':{},'event':'out','routine':'r','step':2}]");
    assert_string_equal(at(job_of(job), "state.outputs"), "");
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_string_equal(at(told_of(a, "assign"), "emit_deferred"), "true");
}

static void a_task_is_edited_where_it_stands(void **state)
{
    (void)state;
    const char *job = held();
    refuses("INVALID_ARGUMENT data: data is missing", "Jobs/EditTask", "'job_id': '%s', 'task_id': 's1.0'",
            job);
    refuses("NOT_FOUND task_id: ", "Jobs/EditTask", "'job_id': '%s', 'data': {}", job);
    json_t *r = call("Jobs/EditTask", "'job_id': '%s', 'task_id': 's1.0', 'data': {'z': 2}", job);
    assert_string_equal(at(r, ""), "{'step':2}");
    assert_string_equal(at(job_of(job), "state.pending_tasks"),
                        "[{'data':{'z':2.0},'routine':'r','slot':'in','task_id':'s1.0'}]");
    assert_string_equal(status_of(job), "PAUSED");
}

static void an_input_that_no_step_has_taken_is_edited_and_retried(void **state)
{
    (void)state;
    const char *job = held();
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {" PLACES "}", job);
    (void)call("Jobs/EditTask", "'job_id': '%s', 'task_id': 'i2', 'data': {'z': 2}", job);
    json_t *state_of = json_object_get(job_of(job), "state");
    assert_int_equal(number_at(state_of, "inputs_through"), 2);
    assert_string_equal(at(state_of, "pending_tasks[1].task_id"), "i2");
    assert_string_equal(at(state_of, "pending_tasks[1].data"), "{'z':2.0}");
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {" PLACES "}", job);
    json_t *r = call("Jobs/SkipTask", "'job_id': '%s', 'task_id': 'i3'", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PAUSED"); /* nobody asked about it */
    assert_int_equal(number_at(job_of(job), "state.inputs_through"), 3);
    assert_string_equal(at(job_of(job), "state.pending_tasks[2]"), "");
    refuses("INVALID_ARGUMENT task_id: task_id is missing", "Jobs/RetryTask", "'job_id': '%s'", job);
}

static void state_is_patched(void **state)
{
    (void)state;
    const char *job = held();
    json_t *r = call("Jobs/PatchState", "'job_id': '%s', 'set': {'a': 1, 'b': 2}, 'by': 'eve'", job);
    assert_string_equal(at(r, ""), "{'step':2}");
    r = call("Jobs/PatchState", "'job_id': '%s', 'set': {'c': 3}, 'remove': ['a']", job);
    assert_string_equal(at(job_of(job), "state.shared_data"), "{'b':2.0,'c':3.0}");
    (void)call("Jobs/PatchState", "'job_id': '%s', 'routine': 'r', 'set': {'own': true}", job);
    assert_string_equal(at(job_of(job), "state.routine_states"), "{'r':{'own':true}}");
    refuses("INVALID_ARGUMENT routine: the flow of job ", "Jobs/PatchState",
            "'job_id': '%s', 'routine': 'q', 'set': {'k': 1}", job);
    refuses("INVALID_ARGUMENT routine: ", "Jobs/PatchState",
            "'job_id': '%s', 'routine': 'no name', 'set': {'k': 1}", job);
    refuses("INVALID_ARGUMENT set: 0 keys to set or remove; 1 to 1000 are allowed", "Jobs/PatchState",
            "'job_id': '%s'", job);
    char keys[12000] = "'x'";
    for (size_t i = 0; i < 999; i++)
        strcat(keys, ",'x'");
    refuses("INVALID_ARGUMENT set: 1001 keys", "Jobs/PatchState",
            "'job_id': '%s', 'set': {'k': 1}, 'remove': [%s]", job, keys);
    (void)call("Jobs/PatchState", "'job_id': '%s', 'remove': [%s]", job, keys);
}

static void what_was_changed_is_there_after_a_restart(void **state)
{
    (void)state;
    const char *job = held();
    (void)call("Jobs/PatchState", "'job_id': '%s', 'set': {'a': 1}", job);
    (void)call("Jobs/EditTask", "'job_id': '%s', 'task_id': 's1.0', 'data': {'z': 2}", job);
    char *before = strdup(at(job_of(job), ""));
    rig_restart();
    assert_string_equal(at(job_of(job), ""), before);
    free(before);
    a = host_joins("a", " ");
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "state.pending_tasks[0].data"), "{'z':2.0}");
    assert_int_equal(number_at(assign, "state.step_number"), 3);
}

/* ---- breakpoints ---- */

static void breakpoints_are_set_when_the_host_has_them(void **state)
{
    (void)state;
    const char *job = running();
    uint64_t set = begin("Jobs/SetBreakpoints",
                         "'job_id': '%s', 'breakpoints': [{'routine': 'r', 'slot': 'in', "
                         "'condition': '.x'}]",
                         job);
    rig_settle();
    json_t *deliver = told_of(a, "deliver");
    assert_string_equal(at(deliver, "set_breakpoints"), "true");
    assert_string_equal(at(deliver, "breakpoints"), "[{'condition':'.x','routine':'r','slot':'in'}]");
    assert_null(answer_of(set));
    host_says(a, "'heartbeat': {}, 'ack': 2"); /* what came before it */
    assert_null(answer_of(set));
    host_says(a, "'heartbeat': {}");
    assert_string_equal(at(answer_of(set), "status"), "JOB_STATUS_RUNNING");
    assert_string_equal(at(job_of(job), "breakpoints[0].condition"), ".x");
}

static void a_host_that_does_not_number_has_breakpoints_when_it_speaks(void **state)
{
    (void)state;
    const char *job = running();
    uint64_t set = begin("Jobs/SetBreakpoints", "'job_id': '%s', 'breakpoints': [{'routine': '*'}]", job);
    rig_settle();
    host_says(a, "'heartbeat': {}, 'seq': 0, 'ack': 0");
    assert_non_null(answer_of(set));
}

static void breakpoints_are_checked(void **state)
{
    (void)state;
    const char *job = held();
    static const char set[] = "'job_id': '%s', 'breakpoints': [%s]";
    refuses("INVALID_ARGUMENT breakpoints[1].routine: ", "Jobs/SetBreakpoints", set, job,
            "{'routine': 'r'}, {'routine': 'no name'}");
    refuses("INVALID_ARGUMENT breakpoints[0].slot: ", "Jobs/SetBreakpoints", set, job,
            "{'routine': 'r', 'slot': 'no name'}");
    refuses("INVALID_ARGUMENT breakpoints[0].", "Jobs/SetBreakpoints", set, job, "{'routine': 'q'}");
    refuses("INVALID_ARGUMENT breakpoints[1].", "Jobs/SetBreakpoints", set, job,
            "{'routine': 'r'}, {'routine': 'r', 'slot': 'none'}");
    char many[3000] = "{'routine': 'r'}";
    for (size_t i = 0; i < 99; i++)
        strcat(many, ",{'routine': 'r'}");
    assert_string_equal(at(call("Jobs/SetBreakpoints", set, job, many), "status"), "JOB_STATUS_PAUSED");
    strcat(many, ",{'routine': 'r'}");
    refuses("INVALID_ARGUMENT breakpoints: 101 breakpoints; the limit is 100", "Jobs/SetBreakpoints", set,
            job, many);
    assert_int_equal(json_array_size(json_object_get(job_of(job), "breakpoints")), 100);
    (void)call("Jobs/SetBreakpoints", "'job_id': '%s'", job);
    assert_string_equal(at(job_of(job), "breakpoints"), "");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    refuses("FAILED_PRECONDITION job_id: ", "Jobs/SetBreakpoints", "'job_id': '%s'", job);
    (void)call("Jobs/SetBreakpoints", "'job_id': '%s'", failed());
}

static void a_task_at_a_breakpoint_is_held_until_it_is_released(void **state)
{
    (void)state;
    const char *job = held();
    (void)call("Jobs/SetBreakpoints", "'job_id': '%s', 'breakpoints': [{'routine': 'r'}]", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_string_equal(at(told_of(a, "assign"), "breakpoints"), "[{'routine':'r'}]");
    static const char reached[] = "'release': {'job_id': '%s', 'epoch': %u, 'last_step': 1, 'reason': "
                                  "'RELEASE_REASON_BREAKPOINT', 'task_id': 's1.0'}";
    host_says(a, reached, job, 2);
    json_t *pause = json_array_get(json_object_get(job_of(job), "pauses"), 0);
    assert_string_equal(at(pause, "reason"), "PAUSE_REASON_BREAKPOINT");
    assert_string_equal(at(pause, "routine"), "r");
    assert_string_equal(at(pause, "slot"), "in");
    assert_string_equal(at(pause, "task_id"), "s1.0");
    assert_int_equal(number_at(pause, "step"), 1);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'pause_id': '%s', 'single_step': true", job,
               at(pause, "pause_id"));
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "released_task"), "s1.0");
    assert_string_equal(at(assign, "breakpoints"), "[{'routine':'r'},{'routine':'*'}]");
    assert_string_equal(at(job_of(job), "single_step"), "true");
    host_steps(a, job, 3, 2,
               ", 'task_id': 's1.0', " PLACES ", 'inputs_through': 1, 'attempt': 1" OUTCOME(
                   CONTINUE) ", 'new_tasks': [{'task_id': 's2.0', " PLACES "}]");
    assert_string_equal(at(job_of(job), "released_task"), "");
    host_says(
        a,
        "'release': {'job_id': '%s', 'epoch': 3, 'last_step': 2, 'reason': 'RELEASE_REASON_BREAKPOINT', "
        "'task_id': 's2.0'}",
        job);
    assert_string_equal(at(job_of(job), "pauses[0].task_id"), "s2.0");
    assert_string_equal(at(job_of(job), "single_step"), "");
}

static void a_task_whose_breakpoint_is_gone_runs(void **state)
{
    (void)state;
    const char *job = running();
    host_says(
        a, "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_BREAKPOINT', 'task_id': 'i1'}",
        job);
    assert_string_equal(status_of(job), "RUNNING");
    assert_int_equal(number_at(told_of(a, "assign"), "epoch"), 2);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_pause_is_said_to_the_host_and_answered_when_it_holds),
        T(a_waiting_job_is_held_at_once),
        T(a_pause_aborts_a_step_only_after_the_shortest_grace_that_was_asked_for),
        T(a_pause_outlives_the_job_s_host),
        T(a_pause_that_meets_the_job_s_end_is_answered),
        T(a_pause_that_could_not_be_stored_is_said_to_nobody),
        T(a_job_is_cancelled_wherever_it_is),
        T(reasons_have_at_most_4096_bytes),
        T(only_a_job_that_has_ended_is_deleted),
        T(only_a_job_at_rest_is_changed),
        T(a_failed_job_that_is_resumed_runs_its_task_with_all_attempts),
        T(a_task_of_a_failed_job_is_retried),
        T(a_task_is_skipped_and_its_event_goes_out),
        T(an_event_of_a_skipped_task_that_leads_somewhere_waits_for_a_host),
        T(a_task_is_edited_where_it_stands),
        T(an_input_that_no_step_has_taken_is_edited_and_retried),
        T(state_is_patched),
        T(what_was_changed_is_there_after_a_restart),
        T(breakpoints_are_set_when_the_host_has_them),
        T(a_host_that_does_not_number_has_breakpoints_when_it_speaks),
        T(breakpoints_are_checked),
        T(a_task_at_a_breakpoint_is_held_until_it_is_released),
        T(a_task_whose_breakpoint_is_gone_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
