/* What time does to jobs, what becomes of tasks whose host was lost, what recovery reads, and how much is
 * kept in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define DUE_IN(ms)                                                                                           \
    TAKES_I1 OUTCOME(                                                                                        \
        CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'delay_ms': " #ms "}]"

static uint64_t a;

static int setup(void **state)
{
    int rc = rig_setup(state);
    a = host_joins("a", ", 'capacity': 1000");
    return rc;
}

static void sleeps(const char *job, unsigned epoch)
{
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': %u, 'last_step': 1, 'reason': 'RELEASE_REASON_SLEEPING'}",
              job, epoch);
}

/* A job that sleeps until its task is due in 5 s. */
static const char *sleeping(void)
{
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, DUE_IN(5000));
    sleeps(job, 1);
    assert_string_equal(status_of(job), "SLEEPING");
    while (told(a) != NULL) {
    }
    return job;
}

static void beat(int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        host_says(a, "'heartbeat': {}");
        rig_pass(ms < 1000 ? ms : 1000);
    }
}

static void a_sleeping_job_wakes_when_its_task_is_due(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = sleeping();
    beat(4999);
    assert_true(told_nothing(a));
    beat(2);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "job_id"), job);
    assert_int_equal(number_at(assign, "state.pending_tasks[0].due_at"), RIG_WALL_MS + 5000);
    assert_int_equal(number_at(assign, "now"), RIG_WALL_MS + 5000);
}

static void jobs_that_were_due_during_an_outage_wake_after_the_restart(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = sleeping();
    rig.passed_ms += 60000;
    rig_restart();
    a = host_joins("a", " ");
    beat(2);
    assert_string_equal(at(told_of(a, "assign"), "job_id"), job);
}

static void an_input_wakes_a_sleeping_job(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = sleeping();
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].task_id"), "i2");
    host_says(a, "'release': {'job_id': '%s', 'epoch': 2, 'last_step': 1, 'reason': 'RELEASE_REASON_PAUSED'}",
              job);
}

static void a_pause_asked_for_while_a_job_falls_asleep_holds_it(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, DUE_IN(5000));
    uint64_t pause = begin("Jobs/PauseJob", "'job_id': '%s'", job);
    rig_settle();
    sleeps(job, 1);
    assert_string_equal(at(answer_of(pause), "status"), "JOB_STATUS_PAUSED");
    beat(6000);
    assert_string_equal(status_of(job), "PAUSED");
}

/* ---- beside a question ---- */

/* The first step asks, and leaves a task that waits and one that is due in 5 s; a flow without
 * parallelism. */
static const char *asking_beside_a_timer(void)
{
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(
        a, job, 1, 1,
        TAKES_I1 OUTCOME(PAUSE) ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}, "
                                "{'task_id': 's1.1', 'routine': 'r', 'slot': 'then', 'delay_ms': 5000}], "
                                "'pauses': [{'pause_id': 'p1.0', 'slot': 'more'}]");
    assert_string_equal(status_of(job), "PAUSED");
    return job;
}

static void a_timer_beside_a_question_wakes_the_job_and_keeps_what_is_halted(void **state)
{
    (void)state;
    const char *job = asking_beside_a_timer();
    beat(4999);
    assert_string_equal(status_of(job), "PAUSED");
    beat(2);
    assert_string_equal(status_of(job), "RUNNING");
    json_t *assign = told_of(a, "assign");
    assert_int_equal(number_at(assign, "halted_at"), 1);
    assert_string_equal(at(job_of(job), "pauses[0].pause_id"), "p1.0");
    host_steps(a, job, 2, 2,
               ", 'task_id': 's1.1', 'routine': 'r', 'slot': 'then', 'inputs_through': 1, "
               "'attempt': 1, 'new_tasks': [{'task_id': 's2.0', 'beside': true, 'routine': 'r', 'slot': "
               "'in'}]" OUTCOME(CONTINUE));
    assert_string_equal(status_of(job), "RUNNING");
    host_breaks(
        a); /* lost in the middle: what follows from the timer runs elsewhere, what is halted does not */
    rig_pass(20000);
    uint64_t b = host_joins("b", " ");
    rig_pass(1000);
    assign = told_of(b, "assign");
    assert_int_equal(number_at(assign, "halted_at"), 1);
    host_steps(b, job, 3, 3,
               ", 'task_id': 's2.0', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, "
               "'attempt': 1" OUTCOME(CONTINUE));
    host_says(b,
              "'release': {'job_id': '%s', 'epoch': 3, 'last_step': 3, 'reason': 'RELEASE_REASON_SLEEPING'}",
              job);
    assert_string_equal(status_of(job), "PAUSED");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", job);
    assign = told_of(b, "assign");
    assert_string_equal(at(assign, "halted_at"), "");
    assert_string_equal(at(assign, "state.pending_tasks[0].task_id"), "s1.0");
}

static void an_answer_that_comes_while_a_timers_branch_asks_is_taken(void **state)
{
    (void)state;
    const char *job = asking_beside_a_timer();
    beat(5001);
    (void)told_of(a, "assign");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", job);
    assert_string_equal(at(told_of(a, "deliver"), "inputs[0].pause_id"), "p1.0");
    host_steps(a, job, 2, 2,
               ", 'task_id': 's1.1', 'routine': 'r', 'slot': 'then', 'inputs_through': 1, "
               "'attempt': 1, 'pauses': [{'pause_id': 'p2.0', 'slot': 'more'}]" OUTCOME(PAUSE));
    assert_string_equal(status_of(job), "RUNNING");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].pause_id"), "p1.0");
    assert_string_equal(at(assign, "halted_at"), "");
}

static void an_input_beside_a_question_waits_though_a_timer_runs(void **state)
{
    (void)state;
    const char *job = asking_beside_a_timer();
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    assert_string_equal(status_of(job), "PAUSED");
    beat(5001);
    assert_int_equal(number_at(told_of(a, "assign"), "halted_at"), 1);
    host_steps(a, job, 2, 2,
               ", 'task_id': 's1.1', 'routine': 'r', 'slot': 'then', 'inputs_through': 2, "
               "'attempt': 1" OUTCOME(CONTINUE));
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 2, 'last_step': 2, 'reason': 'RELEASE_REASON_SLEEPING'}",
              job);
    assert_string_equal(status_of(job), "PAUSED");
    beat(5000);
    assert_string_equal(status_of(job), "PAUSED");
}

static void a_held_job_is_not_woken_by_a_timer(void **state)
{
    (void)state;
    const char *job = asking_beside_a_timer();
    (void)call("Jobs/PauseJob", "'job_id': '%s'", job);
    beat(6000);
    assert_string_equal(status_of(job), "PAUSED");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'pause_id': '%s'", job,
               at(job_of(job), "pauses[1].pause_id"));
    assert_string_equal(status_of(job), "RUNNING");
}

static void all_pages_of_due_jobs_wake(void **state)
{
    (void)state;
    put_flow_f(" ");
    for (size_t i = 0; i < 300; i++)
        (void)sleeping();
    beat(5001);
    for (size_t i = 0; i < 300; i++)
        (void)told_of(a, "assign");
}

static void recovery_reads_all_pages_of_active_jobs(void **state)
{
    (void)state;
    put_flow_f(" ");
    (void)call("Hosts/CordonHost", "'host_id': 'a'");
    for (size_t i = 0; i < 300; i++)
        (void)submit_f(" ");
    rig_restart();
    a = host_joins("b", ", 'capacity': 1000");
    for (size_t i = 0; i < 300; i++)
        (void)told_of(a, "assign");
    assert_true(told_nothing(a));
}

static void recovery_is_tried_until_the_store_answers(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(" ");
    for (int i = 1; i <= 4; i++) { /* of hosts, of jobs, a job, its flow */
        rig.fail_reads = i;
        rig_restart();
        assert_false(rig.recovered);
        rig_pass(10000);
        assert_true(rig.recovered);
        assert_string_equal(at(job_of(job), "host"), "a");
    }
}

static void a_list_of_due_jobs_that_fails_is_asked_for_again(void **state)
{
    (void)state;
    put_flow_f(" ");
    (void)sleeping();
    beat(4500);
    rig.fail_reads = 1;
    beat(600);
    assert_int_equal(rig.fail_reads, 0);
    assert_true(told_nothing(a));
    beat(1000);
    (void)told_of(a, "assign");
}

static void jobs_that_are_due_are_asked_for_once_at_a_time(void **state)
{
    (void)state;
    put_flow_f(" ");
    (void)sleeping();
    rig_pass(1000);
    host_says(a, "'heartbeat': {}");
    (void)sleeping(); /* due a second later */
    rig.hold_reads = true;
    size_t before = rig.reads;
    rig_pass(4500);
    assert_int_equal(rig.reads, before + 1);
    rig_pass(1500);
    assert_int_equal(rig.reads, before + 1); /* the answer is still to come */
    rig.hold_reads = false;
    rig_settle();
    (void)told_of(a, "assign");
    rig_pass(1000);
    (void)told_of(a, "assign");
}

/* ---- deadlines ---- */

static void a_job_that_takes_longer_than_its_deadline_fails(void **state)
{
    (void)state;
    put_flow_f(", 'deadline_ms': 7000");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    beat(6999);
    assert_string_equal(status_of(job), "RUNNING");
    beat(2);
    assert_string_equal(status_of(job), "FAILED");
    assert_string_equal(at(told_of(a, "interrupt"), "kind"), "INTERRUPT_KIND_CANCEL");
    assert_string_equal(
        at(job_of(job), "error"),
        "{'code':'DEADLINE_EXCEEDED','message':'the job took longer than the deadline of its flow'}");
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_int_equal(number_at(job_of(job), "deadline_at"), RIG_WALL_MS + 14001);
    beat(6998);
    assert_string_equal(status_of(job), "RUNNING");
    beat(10);
    assert_string_equal(status_of(job), "FAILED");
}

static void a_deadline_passes_while_a_job_waits_or_is_paused(void **state)
{
    (void)state;
    put_flow_f(", 'deadline_ms': 7000");
    const char *paused = submit_f(" ");
    (void)call("Hosts/CordonHost", "'host_id': 'a'");
    const char *waiting = submit_f(" ");
    host_steps(a, paused, 1, 1, TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'more'}]");
    assert_string_equal(status_of(paused), "PAUSED");
    beat(7010);
    assert_string_equal(status_of(waiting), "FAILED");
    assert_string_equal(status_of(paused), "FAILED");
}

/* ---- tasks that were lost ---- */

static void flow_that_minds(const char *on_lost)
{
    (void)call("Flows/PutFlow",
               "'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't', 'policy': {'on_lost': "
               "'%s'}}, {'id': 'q', 'type': 't'}], 'connections': [{'from': {'routine': 'r', 'event': "
               "'out'}, 'to': {'routine': 'q', 'slot': 'in'}}], 'parallelism': 1}",
               on_lost);
}

/* A job whose host announced its task and was lost. */
static const char *lost(const char *on_lost)
{
    flow_that_minds(on_lost);
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    rig.hold = true;
    host_says(a, "'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i1'}", job);
    assert_true(told_nothing(a));
    rig.hold = false;
    rig_settle();
    assert_string_equal(at(told_of(a, "intent_ack"), "task_id"), "i1");
    assert_string_equal(at(job_of(job), "intents"), "['i1']");
    host_breaks(a);
    rig_pass(RIG_LEASE_MS);
    a = host_joins("b", " ");
    return job;
}

static void a_lost_task_whose_routine_does_not_mind_runs_again(void **state)
{
    (void)state;
    (void)lost("LOST_POLICY_RETRY");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "lost_tasks"), "");
    assert_string_equal(at(assign, "inputs[0].task_id"), "i1");
}

static void a_lost_task_fails_where_that_is_wished(void **state)
{
    (void)state;
    const char *job = lost("LOST_POLICY_FAIL");
    assert_string_equal(at(told_of(a, "assign"), "lost_tasks"), "['i1']");
    host_says(a, "'intent': {'job_id': '%s', 'epoch': 2, 'task_id': 'i1'}", job); /* it must not run */
    assert_true(told_nothing(a));
    host_steps(a, job, 2, 1, TAKES_I1 OUTCOME(FAIL));
    assert_string_equal(at(job_of(job), "lost_tasks"), "");
}

static const char *asked(const char **ret_job)
{
    *ret_job = lost("LOST_POLICY_ASK");
    assert_string_equal(status_of(*ret_job), "PAUSED");
    json_t *pause = json_array_get(json_object_get(job_of(*ret_job), "pauses"), 0);
    assert_string_equal(at(pause, "reason"), "PAUSE_REASON_OUTCOME_UNKNOWN");
    assert_string_equal(at(pause, "task_id"), "i1");
    assert_string_equal(at(pause, "routine"), "r");
    assert_string_equal(at(pause, "slot"), "in");
    assert_int_equal(
        strncmp(at(pause, "question"), "Host a was lost while it handled task i1 of routine r. ", 55), 0);
    return at(pause, "pause_id");
}

static void the_outcome_of_a_lost_task_is_asked_for(void **state)
{
    (void)state;
    const char *job;
    (void)asked(&job);
    static const struct {
        const char *answer, *why;
    } wrong[] = {
        {"'perhaps'",                             "INVALID_ARGUMENT answer: the outcome of a task is unknown: answer "     },
        {"{'done': {}, 'x': 1}",                  "INVALID_ARGUMENT answer: answer has the key \"x\"; it may have \"done\""},
        {"{'done': 1}",                           "INVALID_ARGUMENT answer.done: answer.done must be an object"            },
        {"{'done': {'x': 1}}",
         "INVALID_ARGUMENT answer.done: answer.done has the key \"x\"; it may have \"event\" and \"data\""                 },
        {"{'done': {'data': {}}}",                "INVALID_ARGUMENT answer.done.event: answer.done has data but no event"  },
        {"{'done': {'event': 1}}",                "INVALID_ARGUMENT answer.done.event: answer.done.event must be a string" },
        {"{'done': {'event': 'no event'}}",       "INVALID_ARGUMENT answer.done.event: "                                   },
        {"{'done': {'event': 'out', 'data': 1}}",
         "INVALID_ARGUMENT answer.done.data: answer.done.data must be an object"                                           },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refuses(wrong[i].why, "Jobs/ResumeJob", "'job_id': '%s', 'answer': %s", job, wrong[i].answer);
    refuses("INVALID_ARGUMENT answer: ", "Jobs/ResumeJob", "'job_id': '%s'", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'retry'", job);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].task_id"), "i1");
    assert_string_equal(at(assign, "lost_tasks"), "");
}

static void a_lost_task_that_is_said_to_have_failed_fails(void **state)
{
    (void)state;
    const char *job;
    (void)asked(&job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'fail'", job);
    assert_string_equal(at(told_of(a, "assign"), "lost_tasks"), "['i1']");
}

static void a_lost_task_that_is_said_to_be_done_is_done(void **state)
{
    (void)state;
    const char *job;
    (void)asked(&job);
    (void)call("Jobs/ResumeJob",
               "'job_id': '%s', 'answer': {'done': {'event': 'out', 'data': {'y': 1}}}, 'answered_by': "
               "'eve'",
               job);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "state.deferred_events"),
                        "[{'data':{'y':1.0},'event':'out','routine':'r','step':1}]");
    assert_string_equal(at(assign, "emit_deferred"), "true");
    assert_string_equal(at(assign, "inputs"), "");
    json_t *steps = call("Jobs/GetHistory", "'job_id': '%s'", job);
    assert_string_equal(at(steps, "steps[0].remedy.by"), "eve");
    assert_string_equal(at(steps, "steps[0].remedy.kind"), "REMEDY_KIND_SKIP_TASK");
}

static void a_lost_task_that_emitted_nothing_may_end_the_job(void **state)
{
    (void)state;
    const char *job;
    (void)asked(&job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': {'done': {}}", job);
    assert_string_equal(status_of(job), "COMPLETED");
}

static void an_operator_decides_about_a_lost_task_too(void **state)
{
    (void)state;
    const char *job;
    (void)asked(&job);
    (void)call("Jobs/RetryTask", "'job_id': '%s', 'task_id': 'i1'", job);
    assert_string_equal(at(job_of(job), "pauses"), "");
    assert_string_equal(at(told_of(a, "assign"), "lost_tasks"), "");
}

static void a_task_that_had_not_begun_simply_runs(void **state)
{
    (void)state;
    flow_that_minds("LOST_POLICY_ASK");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_says(a, "'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i1'}", job);
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_REFUSED', "
              "'unstarted_tasks': ['i1']}",
              job);
    assert_string_equal(at(job_of(job), "intents"), "");
    assert_string_equal(status_of(job), "PENDING");
}

static void an_intent_ends_with_its_step(void **state)
{
    (void)state;
    flow_that_minds("LOST_POLICY_ASK");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_says(a, "'intent': {'job_id': '%s', 'epoch': 2, 'task_id': 'i1'}", job); /* of another epoch */
    assert_string_equal(at(job_of(job), "intents"), "");
    for (int i = 0; i < 2; i++) { /* also when it is known */
        host_says(a, "'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i1'}", job);
        (void)told_of(a, "intent_ack");
    }
    host_steps(a, job, 1, 1, DUE_IN(5000));
    assert_string_equal(at(job_of(job), "intents"), "");
    host_breaks(a);
    rig_pass(RIG_LEASE_MS);
    assert_string_equal(at(job_of(job), "pauses"), "");
}

/* ---- memory ---- */

static void a_job_at_rest_is_read_again_when_it_is_asked_for(void **state)
{
    (void)state;
    rig.config.cache_bytes = 1;
    rig_restart();
    a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = sleeping();
    rig.fail_reads = 1;
    refuses("UNAVAILABLE", "Jobs/PauseJob", "'job_id': '%s'", job);
    beat(1000);
    (void)call("Jobs/PauseJob", "'job_id': '%s'", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
}

static void a_small_job_at_rest_stays_in_memory_for_a_while(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = sleeping();
    rig.fail_reads = 1;
    (void)call("Jobs/PauseJob", "'job_id': '%s'", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s'", job);
    assert_int_equal(rig.fail_reads, 1);
    rig.fail_reads = 0;
}

static void snapshots_spare_no_step(void **state)
{
    (void)state;
    rig.config.snapshot_steps = 2;
    rig.config.snapshot_bytes = 1;
    rig_restart();
    a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(", 'shared_data': {'k': 1}");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': "
                                          "'in'}], 'changes': [{'key': 'k', 'kind': 1, 'value': 2}]");
    for (unsigned i = 2; i <= 7; i++) {
        char step[400];
        snprintf(step, sizeof(step),
                 ", 'task_id': 's%u.0', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'attempt': 1, "
                 "'new_tasks': [{'task_id': 's%u.0', 'routine': 'r', 'slot': 'in'}]" OUTCOME(CONTINUE),
                 i - 1, i);
        host_steps(a, job, 1, i, "%s", step);
        char *before = strdup(at(job_of(job), ""));
        rig_restart();
        assert_string_equal(at(job_of(job), ""), before);
        free(before);
        a = host_opens("'hello': {'host_id': 'a', 'protocol_version': 1, 'capacity': 9, 'incarnation': "
                       "'01H000000000000000000000A1', 'held_jobs': [{'job_id': '%s', 'epoch': 1}]}",
                       job);
    }
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_sleeping_job_wakes_when_its_task_is_due),
        T(jobs_that_were_due_during_an_outage_wake_after_the_restart),
        T(an_input_wakes_a_sleeping_job),
        T(a_pause_asked_for_while_a_job_falls_asleep_holds_it),
        T(a_timer_beside_a_question_wakes_the_job_and_keeps_what_is_halted),
        T(an_answer_that_comes_while_a_timers_branch_asks_is_taken),
        T(an_input_beside_a_question_waits_though_a_timer_runs),
        T(a_held_job_is_not_woken_by_a_timer),
        T(all_pages_of_due_jobs_wake),
        T(recovery_reads_all_pages_of_active_jobs),
        T(recovery_is_tried_until_the_store_answers),
        T(a_list_of_due_jobs_that_fails_is_asked_for_again),
        T(jobs_that_are_due_are_asked_for_once_at_a_time),
        T(a_job_that_takes_longer_than_its_deadline_fails),
        T(a_deadline_passes_while_a_job_waits_or_is_paused),
        T(a_lost_task_whose_routine_does_not_mind_runs_again),
        T(a_lost_task_fails_where_that_is_wished),
        T(the_outcome_of_a_lost_task_is_asked_for),
        T(a_lost_task_that_is_said_to_have_failed_fails),
        T(a_lost_task_that_is_said_to_be_done_is_done),
        T(a_lost_task_that_emitted_nothing_may_end_the_job),
        T(an_operator_decides_about_a_lost_task_too),
        T(a_task_that_had_not_begun_simply_runs),
        T(an_intent_ends_with_its_step),
        T(a_job_at_rest_is_read_again_when_it_is_asked_for),
        T(a_small_job_at_rest_stays_in_memory_for_a_while),
        T(snapshots_spare_no_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
