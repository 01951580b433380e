/* What hosts and operators may do to a job: each rule broken alone. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core_bench.h"
#include "job.h"

#define FLOW "{'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}"
#define SIDE_BY_SIDE "{'name': 'f', 'parallelism': 2, 'routines': [{'id': 'r', 'type': 't'}]}"
#define CONTINUE "'outcome': 'STEP_OUTCOME_CONTINUE'"
#define COMPLETE "'outcome': 'STEP_OUTCOME_COMPLETE'"
#define MORE ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"
#define ASK                                                                                                  \
    "'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p1.0', 'question': 'Go on?', 'slot': "        \
    "'answer'"
#define ASSIGN FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN
#define REJECT FERMATA__V1__COORDINATOR_MESSAGE__BODY_STEP_REJECT

static const char *run_job(const char *flow)
{
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    const char *job = bench_submit(flow);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    return job;
}

static void say_step(const char *job, const char *more)
{
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, more});
}

static void release(const char *job, const char *reason, const char *more)
{
    bench_sayf(1,
               "{'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_%s'%s}}",
               job, reason, more);
}

/* ---- steps ---- */

static void a_step_with_a_fault_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *step, *why;
    } cases[] = {
        {"'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p2.0', 'slot': 'answer'}]",
         "must be p1.0"                                                                                                  },
        {"'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p-i2.0', 'slot': 'answer'}]",
         "must be p1.0"                                                                                                  },
        {ASK ", 'reason': 'PAUSE_REASON_OPERATOR'}]",                                              "reason"              },
        {ASK ", 'timeout_ms': 316224000001}]",                                                     "the limit is"        },
        {"'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p1.0'}]",                      "no slot"             },
        {"'outcome': 'STEP_OUTCOME_COMPLETE', 'pauses': [{'pause_id': 'p1.0', 'slot': 'answer'}]", "PAUSE"               },
        {"'outcome': 77",                                                                          "outcome 77"          },
        {"'attempt': 1",                                                                           "outcome 0"           },
        {CONTINUE ", 'children': [{'flow': 'f', 'result_slot': 'in'}]",                            "no entry"            },
        {CONTINUE ", 'children': [{'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}}]",        "no entry"            },
        {CONTINUE ", 'changes': [{'key': ''}]",                                                    "key"                 },
        {CONTINUE ", 'host': 'b'",                                                                 "step.host"           },
        {CONTINUE ", 'task': {}",                                                                  "step.task"           },
        {CONTINUE ", 'usage': {'cost': 1e308}",                                                    "a step cost"         },
        {CONTINUE ", 'usage': {'cost': -0.01}",                                                    "a step cost"         },
        {CONTINUE ", 'usage': {'input_tokens': -1}",                                               "18446744073709551615"},
        {CONTINUE ", 'remedy': {'kind': 'REMEDY_KIND_SKIP_TASK', 'by': 'ann'}",                    "step.remedy"         },
    };
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *job = bench_submit(FLOW);
        say_step(job, cases[i].step);
        assert_int_equal(bench_count(1, REJECT), i + 1);
        const char *why = bench_last(1, REJECT)->step_reject->reason;
        if (strstr(why, cases[i].why) == NULL)
            fail_msg("it says \"%s\", not \"%s\"", why, cases[i].why);
        assert_int_equal(sim_store_last_step(bench.store, job), 0);
        assert_int_equal(bench_acked(1, job), 0);
        assert_int_equal(bench_status(job), JOB_PENDING); /* its host is avoided for a moment */
    }
}

static void a_host_makes_no_operators_steps(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    bench_sayf(
        1,
        "{'steps': {'steps': [{'job_id': '%s', 'step': {'number': 1, 'epoch': 1, 'inputs_through': 1, "
        "'outcome': 'STEP_OUTCOME_CONTINUE', 'remedy': {'kind': 'REMEDY_KIND_SKIP_TASK', 'by': 'ann'}, "
        "'children': [{'flow': 'f', 'entry': {'routine': 'r', 'slot': 'in'}, 'result_slot': 'in'}]}}]}}",
        job);
    assert_int_equal(bench_count(1, REJECT), 1);
    assert_non_null(strstr(bench_last(1, REJECT)->step_reject->reason, "step.remedy"));
    assert_int_equal(sim_store_last_step(bench.store, job), 0);
    bench_attach(2, "b", "two", 5, "");
    assert_string_equal(bench_job(job)->host, "b"); /* it goes on elsewhere */
}

static void a_host_announces_only_tasks_that_wait(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    bench_sayf(1, "{'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i9'}}", job);
    assert_non_null(strstr(bench_last(1, REJECT)->step_reject->reason, "no task i9"));
    assert_int_equal(bench_job(job)->n_intents, 0);
    assert_int_equal(bench_status(job), JOB_PENDING);
    assert_true(bench_is_open(1));
}

static void a_message_that_breaks_a_rule_ends_the_stream(void **state)
{
    (void)state;
    static char text[70000], json[80000];
    memset(text, 'x', sizeof(text) - 1);
    static const struct {
        const char *before, *after;
        int n;
    } cases[] = {
        {"{'progress': {'job_id': 'j', 'text': '",    "'}}", 65536},
        {"{'progress': {'job_id': 'j', 'task_id': '", "'}}", 64   },
        {"{'progress': {'job_id': 'j', 'routine': '", "'}}", 128  },
        {"{'intent': {'job_id': 'j', 'task_id': '",   "'}}", 64   },
        {"{'release': {'job_id': 'j', 'task_id': '",  "'}}", 64   },
        {"{'release': {'job_id': 'j', 'message': '",  "'}}", 4096 },
        {"{'goodbye': {'reason': '",                  "'}}", 4096 },
    };
    bench_start();
    uint64_t conn = 1;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int more = 0; more < 2; more++, conn++) {
            bench_attach(conn, "a", "one", 20, "");
            snprintf(json, sizeof(json), "%s%.*s%s", cases[i].before, cases[i].n + more, text,
                     cases[i].after);
            bench_say(conn, json);
            bool leaves = strstr(json, "goodbye") != NULL;
            assert_int_equal(bench_is_open(conn), more == 0 && !leaves);
        }
    bench_attach(conn, "a", "one", 20, "");
    bench_say_ack(conn, bench_sent(conn) + 1, "{'heartbeat': {}}");
    assert_false(bench_is_open(conn));
}

static void a_question_that_is_open_is_not_asked_again(void **state)
{
    (void)state;
    const char *job = run_job(SIDE_BY_SIDE);
    say_step(job, CONTINUE MORE ", 'pauses': [{'pause_id': 'p-i1.0', 'slot': 'answer'}]");
    bench_step(1, &(struct bench_step){job, "s1.0", 2, 1, 1,
                                       CONTINUE ", 'pauses': [{'pause_id': 'p-i1.0', 'slot': 'answer'}]"});
    assert_int_equal(bench_count(1, REJECT), 1);
    assert_int_equal(bench_job(job)->n_pauses, 1);
}

static void what_is_left_decides_what_becomes_of_a_job(void **state)
{
    (void)state;
    const char *none_left = run_job(FLOW), *left = bench_submit(FLOW), *input = bench_submit(FLOW),
               *failed = bench_submit(FLOW);
    say_step(none_left, CONTINUE);
    assert_int_equal(bench_status(none_left), JOB_COMPLETED);
    say_step(left, COMPLETE MORE);
    assert_int_equal(bench_status(left), JOB_RUNNING); /* given anew */
    assert_int_equal(bench_job(left)->epoch, 2);
    bench_askf("Jobs/SendInput", "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}}", input);
    say_step(input, COMPLETE);
    assert_int_equal(bench_status(input), JOB_RUNNING);
    assert_int_equal(bench_job(input)->epoch, 1); /* its host goes on with the input */
    say_step(failed, "'outcome': 'STEP_OUTCOME_FAIL', 'error': {'code': 'ABORTED', 'message': 'no luck'}");
    assert_int_equal(bench_status(failed), JOB_FAILED);
    assert_string_equal(bench_job(failed)->error->message, "no luck");
    assert_string_equal(bench_job(failed)->error->task_id, "i1");
    assert_string_equal(bench_job(failed)->error->routine, "r");
}

static void what_a_step_used_is_in_the_ledger_once(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    say_step(job, CONTINUE MORE ", 'usage': {'input_tokens': 5, 'calls': 2}");
    say_step(job, CONTINUE MORE ", 'usage': {'input_tokens': 5, 'calls': 2}"); /* sent again */
    assert_int_equal(sim_store_calls(bench.store, job), 2);
    const Fermata__V1__GetJobResponse *r = bench_reply(bench_askf("Jobs/GetJob", "{'job_id': '%s'}", job),
                                                       &fermata__v1__get_job_response__descriptor);
    assert_int_equal(r->job->usage->calls, 2);
    assert_int_equal(r->job->usage->input_tokens, 5);
}

/* ---- releases ---- */

static void a_job_that_all_hosts_refuse_is_not_handed_round(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    bench_attach(2, "b", "two", 20, "");
    unsigned given = 1;
    for (int ms = 0; ms < 30000; ms += 100) { /* at once, each time that a host gets it */
        for (; bench_status(job) == JOB_RUNNING; given++) {
            const Fermata__V1__Job *j = bench_job(job);
            bench_sayf(
                strcmp(j->host, "a") == 0 ? 1 : 2,
                "{'release': {'job_id': '%s', 'epoch': %u, 'reason': 'RELEASE_REASON_REFUSED', 'message': "
                "'it cannot be read'}}",
                job, j->epoch);
            assert_true(given < 20);
        }
        bench_wait(100);
        bench_say(1, "{'heartbeat': {}}");
        bench_say(2, "{'heartbeat': {}}");
    }
    assert_in_range(given, 5, 10);
    const Fermata__V1__GetJobResponse *r = bench_reply(bench_askf("Jobs/GetJob", "{'job_id': '%s'}", job),
                                                       &fermata__v1__get_job_response__descriptor);
    assert_non_null(strstr(r->job->waiting_reason, "in a row"));
    for (int ms = 0; bench_status(job) != JOB_RUNNING; ms += 1000) {
        assert_true(ms < 20000);
        bench_wait(1000);
        bench_say(1, "{'heartbeat': {}}");
        bench_say(2, "{'heartbeat': {}}");
    }
}

static void a_host_that_comes_back_without_its_job_again_and_again_waits_for_it(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    uint64_t conn = 2;
    unsigned times = 0;
    for (; bench_status(job) == JOB_RUNNING; conn++, times++) {
        assert_true(times < 5);
        bench_close(conn - 1);
        bench_attach(conn, "a", "one", 20, "");
    }
    assert_int_equal(times, 2);
    bench_wait(1001);
    assert_int_equal(bench_status(job), JOB_RUNNING);
}

static void a_job_that_is_given_back_goes_where_it_belongs(void **state)
{
    (void)state;
    const char *work = run_job(FLOW), *asleep = bench_submit(FLOW), *due = bench_submit(FLOW);
    release(work, "IDLE", "");
    assert_int_equal(bench_status(work), JOB_RUNNING); /* it has a task: given anew */
    assert_int_equal(bench_job(work)->epoch, 2);
    say_step(asleep,
             CONTINUE ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'delay_ms': 9000}]");
    release(asleep, "SLEEPING", "");
    assert_int_equal(bench_status(asleep), JOB_SLEEPING);
    say_step(due, CONTINUE MORE);
    release(due, "SLEEPING", ""); /* nothing to sleep for */
    assert_int_equal(bench_status(due), JOB_RUNNING);
    assert_int_equal(bench_job(due)->epoch, 2);
}

static void a_task_is_held_only_while_there_are_breakpoints(void **state)
{
    (void)state;
    const char *held = run_job(FLOW), *gone = bench_submit(FLOW), *other = bench_submit(FLOW);
    bench_askf("Jobs/SetBreakpoints", "{'job_id': '%s', 'breakpoints': [{'routine': 'r'}]}", held);
    bench_askf("Jobs/SetBreakpoints", "{'job_id': '%s', 'breakpoints': [{'routine': 'r'}]}", other);
    release(held, "BREAKPOINT", ", 'task_id': 'i1'");
    assert_int_equal(bench_status(held), JOB_PAUSED);
    assert_int_equal(bench_job(held)->pauses[0]->reason, FERMATA__V1__PAUSE_REASON__PAUSE_REASON_BREAKPOINT);
    assert_string_equal(bench_job(held)->pauses[0]->task_id, "i1");
    release(gone, "BREAKPOINT", ", 'task_id': 'i1'");
    assert_int_equal(bench_status(gone), JOB_RUNNING);
    release(other, "BREAKPOINT", ", 'task_id': 'i9'");
    assert_int_equal(bench_status(other), JOB_RUNNING);
    bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'single_step': true}", held);
    const Fermata__V1__Assign *a = bench_last(1, ASSIGN)->assign;
    assert_string_equal(a->released_task, "i1");
    assert_int_equal(a->n_breakpoints, 2); /* and whatever comes next */
    bench_step(1, &(struct bench_step){held, "i1", 1, 2, 1, CONTINUE MORE});
    assert_string_equal(bench_job(held)->released_task, "");
}

static void breakpoints_are_acknowledged_when_the_host_has_them(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    char held[128];
    bench_say(1, "{'heartbeat': {}}");
    uint64_t t =
        bench_askf("Jobs/SetBreakpoints", "{'job_id': '%s', 'breakpoints': [{'routine': 'r'}]}", job);
    assert_int_equal(bench_code(t), -1);
    bench_say_ack(1, bench_sent(1) - 1, "{'heartbeat': {}}");
    assert_int_equal(bench_code(t), -1);
    bench_say(1, "{'heartbeat': {}}");
    assert_int_equal(bench_code(t), FM_OK);
    /* a stream that has broken says nothing of what was sent on it */
    t = bench_askf("Jobs/SetBreakpoints", "{'job_id': '%s', 'breakpoints': [{'routine': '*'}]}", job);
    bench_close(1);
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1}", job);
    bench_attach(2, "a", "one", 20, held);
    assert_int_equal(bench_code(t), -1);
    assert_int_equal(bench_last(2, FERMATA__V1__COORDINATOR_MESSAGE__BODY_DELIVER)->deliver->n_breakpoints,
                     1);
    assert_string_equal(
        bench_last(2, FERMATA__V1__COORDINATOR_MESSAGE__BODY_DELIVER)->deliver->breakpoints[0]->routine, "*");
    bench_say(2, "{'heartbeat': {}}");
    assert_int_equal(bench_code(t), FM_OK);
    /* what was stored and not sent is sent by the next coordinator */
    bench_close(2);
    bench_askf("Jobs/SetBreakpoints", "{'job_id': '%s', 'breakpoints': [{'routine': 'r'}]}", job);
    bench_crash();
    bench_start();
    bench_attach(3, "a", "one", 20, held);
    assert_string_equal(
        bench_last(3, FERMATA__V1__COORDINATOR_MESSAGE__BODY_DELIVER)->deliver->breakpoints[0]->routine, "r");
}

/* ---- operators ---- */

static void only_a_job_that_rests_is_changed(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    static const char *const methods[] = {"Jobs/RetryTask", "Jobs/SkipTask"};
    for (int i = 0; i < 2; i++)
        assert_int_equal(bench_code(bench_askf(methods[i], "{'job_id': '%s', 'task_id': 'i1'}", job)),
                         FM_FAILED_PRECONDITION);
    assert_int_equal(bench_code(bench_askf("Jobs/PatchState", "{'job_id': '%s', 'set': {'k': 1}}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(
        bench_code(bench_askf("Jobs/EditTask", "{'job_id': '%s', 'task_id': 'i1', 'data': {}}", job)),
        FM_FAILED_PRECONDITION);
    assert_int_equal(bench_code(bench_askf("Jobs/DeleteJob", "{'job_id': '%s'}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(sim_store_last_step(bench.store, job), 0);
    bench_askf("Jobs/CancelJob", "{'job_id': '%s'}", job);
    assert_int_equal(bench_code(bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(bench_code(bench_askf("Jobs/SendInput",
                                           "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(bench_code(bench_askf("Jobs/SetBreakpoints", "{'job_id': '%s'}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(bench_status(job), JOB_CANCELLED);
}

static int answer(const char *job, const char *more)
{
    return bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': 1%s}", job, more));
}

static void an_answer_is_by_whom_the_question_belongs_to(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    char digest[128];
    say_step(job, ASK "}]");
    assert_int_equal(
        bench_code(bench_askf("Jobs/ClaimPause", "{'job_id': '%s', 'by': 'x', 'ttl_ms': 1000}", job)), FM_OK);
    assert_int_equal(bench_code(bench_askf("Jobs/ClaimPause", "{'job_id': '%s', 'by': 'y'}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(bench_code(bench_askf("Jobs/ReleasePause", "{'job_id': '%s', 'by': 'y'}", job)),
                     FM_FAILED_PRECONDITION);
    assert_int_equal(answer(job, ""), FM_FAILED_PRECONDITION);
    assert_int_equal(answer(job, ", 'answered_by': 'y'"), FM_FAILED_PRECONDITION);
    bench_wait(1000);
    assert_int_equal(bench_code(bench_askf("Jobs/ClaimPause", "{'job_id': '%s', 'by': 'y'}", job)), FM_OK);
    assert_int_equal(answer(job, ", 'answered_by': 'x'"), FM_FAILED_PRECONDITION);
    assert_int_equal(answer(job, ", 'answered_by': 'y', 'pause_id': 'p9.0'"), FM_FAILED_PRECONDITION);
    assert_int_equal(answer(job, ", 'answered_by': 'y', 'digest': 'something else'"), FM_FAILED_PRECONDITION);
    assert_int_equal(bench_job(job)->n_pauses, 1);
    snprintf(digest, sizeof(digest), ", 'answered_by': 'y', 'digest': '%s'",
             bench_job(job)->pauses[0]->digest);
    assert_int_equal(answer(job, digest), FM_OK);
    assert_int_equal(answer(job, digest), FM_FAILED_PRECONDITION);
}

static void an_answer_without_a_pause_is_refused_when_several_are_open(void **state)
{
    (void)state;
    const char *job = run_job(SIDE_BY_SIDE);
    say_step(job, CONTINUE MORE
             ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'answer'}, {'pause_id': 'p1.1', 'slot': 'answer'}]");
    assert_int_equal(answer(job, ""), FM_FAILED_PRECONDITION);
    assert_int_equal(answer(job, ", 'pause_id': 'p1.1'"), FM_OK);
    assert_int_equal(bench_job(job)->n_pauses, 1);
    assert_string_equal(bench_job(job)->pauses[0]->pause_id, "p1.0");
}

static void a_failed_job_that_goes_on_has_its_attempts_and_questions_anew(void **state)
{
    (void)state;
    const char *job = run_job(SIDE_BY_SIDE);
    say_step(job, CONTINUE MORE ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'answer'}]");
    bench_step(1, &(struct bench_step){job, "s1.0", 2, 1, 1,
                                       "'outcome': 'STEP_OUTCOME_RETRY', 'retry_delay_ms': 1"});
    bench_step(1, &(struct bench_step){job, "s1.0", 3, 1, 1, "'outcome': 'STEP_OUTCOME_FAIL'"});
    assert_int_equal(bench_status(job), JOB_FAILED);
    assert_int_equal(bench_job(job)->n_pauses, 0);
    assert_int_equal(bench_job(job)->n_kept_pauses, 1);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job)), FM_OK);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_int_equal(bench_job(job)->n_pauses, 1);
    assert_int_equal(bench_job(job)->n_kept_pauses, 0);
    assert_null(bench_job(job)->error);
    assert_null(bench_job(job)->finished_at);
    const Fermata__V1__JobState *s = bench_last(1, ASSIGN)->assign->state;
    assert_string_equal(s->pending_tasks[0]->task_id, "s1.0");
    assert_int_equal(s->pending_tasks[0]->failed_attempts, 0);
    assert_int_equal(s->pending_tasks[0]->spent_ms, 0);
    assert_null(s->pending_tasks[0]->due_at);
}

/* ---- tasks whose loss must not go unnoticed ---- */

#define NOTICED(policy)                                                                                      \
    "{'name': 'f', 'routines': [{'id': 'r', 'type': 't', 'policy': {'on_lost': 'LOST_POLICY_" policy "'}}]}"

static void announce(const char *job)
{
    bench_sayf(1, "{'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i1'}}", job);
    assert_int_equal(bench_job(job)->n_intents, 1);
}

static void a_task_that_was_announced_and_has_no_step_is_asked_about(void **state)
{
    (void)state;
    const char *job = run_job(NOTICED("ASK"));
    announce(job);
    bench_wait(2100);
    assert_int_equal(bench_status(job), JOB_PAUSED);
    assert_int_equal(bench_job(job)->pauses[0]->reason,
                     FERMATA__V1__PAUSE_REASON__PAUSE_REASON_OUTCOME_UNKNOWN);
    assert_int_equal(bench_job(job)->n_intents, 0);
    assert_int_equal(answer(job, ""), FM_INVALID_ARGUMENT);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': 'fail'}", job)),
                     FM_OK);
    bench_attach(2, "b", "one", 5, "");
    assert_int_equal(bench_last(2, ASSIGN)->assign->n_lost_tasks, 1);
}

static void a_task_that_was_announced_and_has_no_step_fails(void **state)
{
    (void)state;
    const char *job = run_job(NOTICED("FAIL"));
    announce(job);
    bench_wait(2100);
    bench_attach(2, "b", "one", 5, "");
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_string_equal(bench_last(2, ASSIGN)->assign->lost_tasks[0], "i1");
}

static void a_task_that_has_not_begun_or_has_a_step_is_not_lost(void **state)
{
    (void)state;
    const char *unstarted = run_job(NOTICED("ASK")), *done = bench_submit(NOTICED("ASK"));
    announce(unstarted);
    announce(done);
    release(unstarted, "DRAINING", ", 'unstarted_tasks': ['i1']");
    assert_int_equal(bench_status(unstarted), JOB_PENDING);
    assert_int_equal(bench_job(unstarted)->n_intents, 0);
    say_step(done, "'outcome': 'STEP_OUTCOME_RETRY', 'retry_delay_ms': 1");
    release(done, "DRAINING", "");
    assert_int_equal(bench_status(done), JOB_PENDING);
    assert_int_equal(bench_job(done)->n_pauses, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_step_with_a_fault_is_refused),
        TEST(a_host_makes_no_operators_steps),
        TEST(a_host_announces_only_tasks_that_wait),
        TEST(a_message_that_breaks_a_rule_ends_the_stream),
        TEST(a_question_that_is_open_is_not_asked_again),
        TEST(what_is_left_decides_what_becomes_of_a_job),
        TEST(what_a_step_used_is_in_the_ledger_once),
        TEST(a_job_that_all_hosts_refuse_is_not_handed_round),
        TEST(a_host_that_comes_back_without_its_job_again_and_again_waits_for_it),
        TEST(a_job_that_is_given_back_goes_where_it_belongs),
        TEST(a_task_is_held_only_while_there_are_breakpoints),
        TEST(breakpoints_are_acknowledged_when_the_host_has_them),
        TEST(only_a_job_that_rests_is_changed),
        TEST(an_answer_is_by_whom_the_question_belongs_to),
        TEST(an_answer_without_a_pause_is_refused_when_several_are_open),
        TEST(a_failed_job_that_goes_on_has_its_attempts_and_questions_anew),
        TEST(a_task_that_was_announced_and_has_no_step_is_asked_about),
        TEST(a_task_that_was_announced_and_has_no_step_fails),
        TEST(a_task_that_has_not_begun_or_has_a_step_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
