/* What the core says rests on what is on disk: nothing is acknowledged, answered or handed on before, and
 * what cannot be stored is an error for who has asked. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core_bench.h"
#include "job.h"

#define FLOW "{'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}"
#define SIDE_BY_SIDE "{'name': 'f', 'parallelism': 2, 'routines': [{'id': 'r', 'type': 't'}]}"
#define CONTINUE "'outcome': 'STEP_OUTCOME_CONTINUE'"
#define ONE_MORE CONTINUE ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"
#define ASK                                                                                                  \
    "'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p1.0', 'question': 'Go on?', 'slot': "        \
    "'answer'}]"
#define ASSIGN FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN
#define DELIVER FERMATA__V1__COORDINATOR_MESSAGE__BODY_DELIVER

/* A job on host "a" under epoch 1, by stream 1. */
static const char *run_job(const char *flow)
{
    bench_start();
    bench_attach(1, "a", "one", 10, "");
    const char *job = bench_submit(flow);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    return job;
}

static const char *ask_question(void)
{
    const char *job = run_job(FLOW);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, ASK});
    assert_int_equal(bench_status(job), JOB_PAUSED);
    return job;
}

static void a_step_is_acknowledged_when_it_is_on_disk(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, ONE_MORE});
    assert_int_equal(bench_acked(1, job), 0);
    bench_store_all();
    assert_int_equal(bench_acked(1, job), 1);
}

static void a_step_that_is_sent_again_is_acknowledged_when_it_is_on_disk(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    char held[128];
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, ONE_MORE});
    bench_close(1);
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1, 'last_step': 1}", job);
    bench_attach(2, "a", "one", 10, held);
    const Fermata__V1__Welcome *w = bench_last(2, FERMATA__V1__COORDINATOR_MESSAGE__BODY_WELCOME)->welcome;
    assert_true(w->held_jobs[0]->keep);
    assert_int_equal(w->held_jobs[0]->applied_step, 0);
    bench_step(2, &(struct bench_step){job, "i1", 1, 1, 1, ONE_MORE});
    assert_int_equal(bench_acked(2, job), 0);
    bench_store_all();
    assert_int_equal(bench_acked(2, job), 1);
    bench_step(2, &(struct bench_step){job, "i1", 1, 1, 1, ONE_MORE}); /* and at once, now */
    assert_int_equal(bench_acked(2, job), 1);
    assert_int_equal(sim_store_last_step(bench.store, job), 1);
}

static void a_step_in_the_next_unit_waits_for_that(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    char held[128];
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, ONE_MORE});
    bench_step(1, &(struct bench_step){job, "s1.0", 2, 1, 1,
                                       CONTINUE
                                       ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in'}]"});
    bench_close(1);
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1, 'last_step': 2}", job);
    bench_attach(2, "a", "one", 10, held);
    bench_step(2, &(struct bench_step){job, "s1.0", 2, 1, 1, CONTINUE});
    assert_true(bench_store_one());
    assert_int_equal(bench_acked(2, job), 0);
    bench_store_all();
    assert_int_equal(bench_acked(2, job), 2);
}

static void steps_that_could_not_be_stored_are_asked_for_again(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    bench.fails = FM_UNAVAILABLE;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, ONE_MORE});
    assert_int_equal(bench_acked(1, job), 0);
    bench.fails = FM_OK;
    assert_true(bench_is_open(1));
    bench_wait(1000);
    assert_false(bench_is_open(1));
    assert_int_equal(bench_status(job), JOB_RUNNING);
}

static void an_assignment_carries_only_inputs_that_are_on_disk(void **state)
{
    (void)state;
    bench_start();
    const char *job = bench_submit(FLOW);
    assert_int_equal(bench_status(job), JOB_PENDING);
    bench.holds = true;
    bench_attach(1, "a", "one", 10, "");
    uint64_t t = bench_askf("Jobs/SendInput", "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}}", job);
    assert_int_equal(bench_count(1, ASSIGN), 0);
    while (bench_count(1, ASSIGN) == 0)
        assert_true(bench_store_one());
    assert_int_equal(bench_last(1, ASSIGN)->assign->n_inputs, 1);
    assert_int_equal(bench_last(1, ASSIGN)->assign->inputs[0]->input_number, 1);
    assert_int_equal(bench_code(t), -1);
    assert_int_equal(bench_count(1, DELIVER), 0);
    bench_store_all();
    assert_int_equal(bench_code(t), FM_OK);
    assert_int_equal(bench_last(1, DELIVER)->deliver->inputs[0]->input_number, 2);
}

static void an_input_is_delivered_when_it_is_on_disk_also_after_a_reconnect(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    char held[128];
    bench.holds = true;
    bench_askf("Jobs/SendInput", "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}}", job);
    bench_close(1);
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1}", job);
    bench_attach(2, "a", "one", 10, held);
    assert_int_equal(bench_count(2, DELIVER), 1); /* the first one, which it may not have */
    assert_int_equal(bench_last(2, DELIVER)->deliver->n_inputs, 1);
    bench_store_all();
    assert_int_equal(bench_last(2, DELIVER)->deliver->inputs[0]->input_number, 2);
}

static void an_intent_is_answered_when_it_is_on_disk(void **state)
{
    (void)state;
    const char *job = run_job("{'name': 'f', 'routines': [{'id': 'r', 'type': 't', 'policy': {'on_lost': "
                              "'LOST_POLICY_ASK'}}]}");
    int ack = FERMATA__V1__COORDINATOR_MESSAGE__BODY_INTENT_ACK;
    bench.holds = true;
    bench_sayf(1, "{'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i1'}}", job);
    assert_int_equal(bench_count(1, ack), 0);
    bench_store_all();
    assert_int_equal(bench_count(1, ack), 1);
    bench_sayf(1, "{'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i1'}}", job); /* announced again, … */
    bench_step(
        1, &(struct bench_step){job, "i1", 1, 1, 1, "'outcome': 'STEP_OUTCOME_RETRY', 'retry_delay_ms': 10"});
    bench_store_all(); /* … and over: that would be an answer to the next attempt's */
    assert_int_equal(bench_count(1, ack), 1);
    bench_sayf(1, "{'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 'i1'}}", job);
    bench_store_all();
    assert_int_equal(bench_count(1, ack), 2);
}

/* ---- answers to clients ---- */

/* The call is answered when what it does is on disk; with the disk's error when that cannot be. */
static void check_waits_for_the_disk(const char *method, const char *json)
{
    static const int codes[] = {FM_UNAVAILABLE, FM_RESOURCE_EXHAUSTED};
    for (size_t i = 0; i < 2; i++) {
        bench.fails = codes[i];
        uint64_t failed = bench_ask(method, json);
        if (bench_code(failed) != codes[i])
            fail_msg("%s answers %d while the disk fails with %d", method, bench_code(failed), codes[i]);
        bench.fails = FM_OK;
        bench_wait(0);
    }
    bench.holds = true;
    uint64_t t = bench_ask(method, json);
    if (bench_code(t) != -1)
        fail_msg("%s is answered (%d) before it is on disk: %s", method, bench_code(t), bench_error(t));
    bench_store_all();
    bench.holds = false;
    if (bench_code(t) != FM_OK)
        fail_msg("%s fails: %s", method, bench_error(t));
}

/* About a job; `more` are further fields, such as ", 'by': 'x'". */
static void check_waits(const char *method, const char *job, const char *more)
{
    char json[512];
    snprintf(json, sizeof(json), "{'job_id': '%s'%s}", job, more);
    check_waits_for_the_disk(method, json);
}

static void commands_are_answered_when_they_are_on_disk(void **state)
{
    (void)state;
    const char *job = ask_question();
    check_waits_for_the_disk("Jobs/SubmitJob",
                             "{'inline_flow': " FLOW ", 'entry': {'routine': 'r', 'slot': 'in'}}");
    check_waits_for_the_disk("Flows/PutFlow", "{'flow': " FLOW "}");
    check_waits_for_the_disk("Flows/DeleteFlow", "{'name': 'f'}");
    check_waits("Jobs/SendInput", job, ", 'to': {'routine': 'r', 'slot': 'in'}");
    check_waits("Jobs/PatchState", job, ", 'set': {'k': 1}");
    check_waits("Jobs/ClaimPause", job, ", 'by': 'x'");
    check_waits("Jobs/ReleasePause", job, ", 'by': 'x'");
    check_waits("Jobs/SetBreakpoints", job, ", 'breakpoints': [{'routine': 'r'}]");
    check_waits("Jobs/EditTask", job, ", 'task_id': 'i2', 'data': {'n': 2}");
    check_waits("Jobs/RetryTask", job, ", 'task_id': 'i2'");
    check_waits("Jobs/SkipTask", job, ", 'task_id': 'i2'");
    check_waits("Jobs/ForkJob", job, ", 'step': 1");
    check_waits("Jobs/PauseJob", job, "");
    check_waits("Jobs/ResumeJob", job, ", 'pause_id': 'p1.0', 'answer': 1");
    check_waits("Jobs/CancelJob", job, "");
    check_waits("Jobs/DeleteJob", job, "");
    assert_int_equal(bench_status(job), 0);
    check_waits_for_the_disk("Hosts/CordonHost", "{'host_id': 'a'}");
    check_waits_for_the_disk("Hosts/DrainHost", "{'host_id': 'a'}");
}

static void a_flow_that_is_put_twice_is_acknowledged_when_it_is_stored(void **state)
{
    (void)state;
    bench_start();
    bench.holds = true;
    uint64_t first = bench_ask("Flows/PutFlow", "{'flow': " FLOW "}"),
             again = bench_ask("Flows/PutFlow", "{'flow': " FLOW "}");
    bench.fails = FM_RESOURCE_EXHAUSTED;
    assert_true(bench_store_one());
    bench.fails = FM_OK;
    bench_store_all();
    assert_int_equal(bench_code(first), FM_RESOURCE_EXHAUSTED);
    assert_int_equal(bench_code(again), FM_RESOURCE_EXHAUSTED);
    bench.holds = false;
    assert_int_equal(bench_code(bench_ask("Flows/PutFlow", "{'flow': " FLOW "}")), FM_OK);
    assert_true(sim_store_has_flow(bench.store, "f"));
    bench.holds = true; /* nothing is to be stored any more */
    assert_int_equal(bench_code(bench_ask("Flows/PutFlow", "{'flow': " FLOW "}")), FM_OK);
}

static void what_was_stored_and_said_not_to_be_is_found_again(void **state)
{
    (void)state;
    const char *job = ask_question();
    bench.fails = FM_UNAVAILABLE;
    bench.lies = true;
    uint64_t t = bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': 1, 'request_id': 'x'}", job);
    assert_int_equal(bench_code(t), FM_UNAVAILABLE);
    bench.fails = FM_OK;
    bench.lies = false;
    t = bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': 1, 'request_id': 'x'}", job);
    assert_int_equal(bench_code(t), FM_OK);
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
}

/* ---- request ids ---- */

#define INPUT_AS_X "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'request_id': 'x'}"
#define NUMBER_AS_X                                                                                          \
    "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'request_id': 'x', 'data': {'n': %d}}"

static void a_repeated_request_has_its_first_reply(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    uint64_t first = bench_askf("Jobs/SendInput", NUMBER_AS_X, job, 1);
    uint64_t again = bench_askf("Jobs/SendInput", NUMBER_AS_X, job, 1);
    Fermata__V1__SendInputResponse *a = bench_reply(first, &fermata__v1__send_input_response__descriptor),
                                   *b = bench_reply(again, &fermata__v1__send_input_response__descriptor);
    assert_int_equal(a->input_number, 2);
    assert_int_equal(b->input_number, 2);
    assert_int_equal(bench_code(bench_askf("Jobs/SendInput", NUMBER_AS_X, job, 2)), FM_ALREADY_EXISTS);
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
}

static void a_look_up_that_a_unit_has_overtaken_is_made_again(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    bench.holds_queries = bench.holds = true;
    uint64_t first = bench_askf("Jobs/SendInput", INPUT_AS_X, job),
             again = bench_askf("Jobs/SendInput", INPUT_AS_X, job);
    bench_answer_one(); /* the first is gathered, … */
    bench_store_all();  /* … stored and answered, … */
    assert_int_equal(bench_code(first), FM_OK);
    bench_askf("Jobs/CancelJob", "{'job_id': '%s'}", job); /* … and the job ends */
    bench_store_all();
    bench.holds = false;
    bench_answer_all(); /* what the second was told is not true any more */
    bench.holds_queries = false;
    bench_answer_all();
    assert_int_equal(bench_code(again), FM_OK);
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
}

/* ---- pauses ---- */

static void check_paused(const char *job, uint64_t t)
{
    const Fermata__V1__PauseJobResponse *r = bench_reply(t, &fermata__v1__pause_job_response__descriptor);
    assert_int_equal(r->status, JOB_PAUSED);
    assert_string_not_equal(r->pause_id, "");
    assert_int_equal(bench_status(job), JOB_PAUSED);
    assert_false(bench_job(job)->pause_requested);
}

/* A PauseJob is under way to the host, and the job leaves it for another reason. */
static void pause_and_release(const char *step, const char *reason)
{
    const char *job = run_job(SIDE_BY_SIDE);
    uint64_t t = bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    assert_int_equal(bench_code(t), -1);
    if (step[0] != '\0')
        bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, step});
    if (reason[0] != '\0')
        bench_sayf(1,
                   "{'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_%s'}}",
                   job, reason);
    check_paused(job, t);
    bench_crash(); /* and its successor knows */
    bench_start();
    assert_int_equal(bench_status(job), JOB_PAUSED);
}

static void a_pause_is_kept_when_its_job_falls_asleep(void **state)
{
    (void)state;
    pause_and_release(CONTINUE
                      ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'delay_ms': 60000}]",
                      "SLEEPING");
}

static void a_pause_is_kept_when_its_job_is_given_back(void **state)
{
    (void)state;
    pause_and_release("", "DRAINING");
}

static void a_pause_is_kept_when_its_job_asks_a_question(void **state)
{
    (void)state;
    pause_and_release(
        "'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p1.0', 'question': 'Go on?', "
        "'slot': 'answer'}]",
        "");
}

static void a_pause_is_kept_when_its_host_is_lost(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    uint64_t t = bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    bench_wait(2000);
    check_paused(job, t);
}

static void a_pause_is_known_to_the_host_that_comes_back(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    char held[128];
    int interrupt = FERMATA__V1__COORDINATOR_MESSAGE__BODY_INTERRUPT;
    bench_close(1);
    bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1}", job);
    bench_attach(2, "a", "one", 10, held);
    assert_int_equal(bench_count(2, interrupt), 1);
    assert_int_equal(bench_last(2, interrupt)->interrupt->kind,
                     FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_PAUSE);
}

static void a_pause_is_not_answered_by_one_before_it(void **state)
{
    (void)state;
    bench_start();
    const char *job = bench_submit(FLOW);
    bench.holds = true;
    uint64_t first = bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job);
    uint64_t second = bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    assert_true(bench_store_one());
    assert_int_equal(bench_code(first), FM_OK);
    assert_int_equal(bench_code(second), -1);
    bench_store_all();
    check_paused(job, second);
}

static void a_pause_that_cannot_be_stored_fails_its_call(void **state)
{
    (void)state;
    bench_start();
    const char *job = bench_submit(FLOW);
    bench.fails = FM_RESOURCE_EXHAUSTED;
    uint64_t t = bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    assert_int_equal(bench_code(t), FM_RESOURCE_EXHAUSTED);
    bench.fails = FM_OK;
    assert_int_equal(bench_status(job), JOB_PENDING);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_step_is_acknowledged_when_it_is_on_disk),
        TEST(a_step_that_is_sent_again_is_acknowledged_when_it_is_on_disk),
        TEST(a_step_in_the_next_unit_waits_for_that),
        TEST(steps_that_could_not_be_stored_are_asked_for_again),
        TEST(an_assignment_carries_only_inputs_that_are_on_disk),
        TEST(an_input_is_delivered_when_it_is_on_disk_also_after_a_reconnect),
        TEST(an_intent_is_answered_when_it_is_on_disk),
        TEST(commands_are_answered_when_they_are_on_disk),
        TEST(a_flow_that_is_put_twice_is_acknowledged_when_it_is_stored),
        TEST(what_was_stored_and_said_not_to_be_is_found_again),
        TEST(a_repeated_request_has_its_first_reply),
        TEST(a_look_up_that_a_unit_has_overtaken_is_made_again),
        TEST(a_pause_is_kept_when_its_job_falls_asleep),
        TEST(a_pause_is_kept_when_its_job_is_given_back),
        TEST(a_pause_is_kept_when_its_job_asks_a_question),
        TEST(a_pause_is_kept_when_its_host_is_lost),
        TEST(a_pause_is_known_to_the_host_that_comes_back),
        TEST(a_pause_is_not_answered_by_one_before_it),
        TEST(a_pause_that_cannot_be_stored_fails_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
