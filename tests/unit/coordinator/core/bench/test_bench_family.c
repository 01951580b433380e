/* Jobs that start jobs, and what a coordinator that is full refuses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_bench.h"
#include "job.h"

#define FLOW "{'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}"
#define CONTINUE "'outcome': 'STEP_OUTCOME_CONTINUE'"
#define COMPLETE "'outcome': 'STEP_OUTCOME_COMPLETE'"
#define START                                                                                                \
    CONTINUE ", 'children': [{'flow': 'kid', 'entry': {'routine': 'r', 'slot': 'in'}, 'result_slot': 'in'}]"
#define INPUT "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'y': '%s'}}"
#define SUBMIT "{'inline_flow': " FLOW ", 'entry': {'routine': 'r', 'slot': 'in'}, 'data': {'y': '%s'}}"
#define ASSIGN FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN

static void heartbeats(uint64_t conn, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 500) {
        bench_wait(500);
        if (bench_is_open(conn))
            bench_say(conn, "{'heartbeat': {}}");
    }
}

/* A job on host "a" that may start jobs of the flow "kid". */
static const char *run_parent(unsigned capacity)
{
    bench_start();
    bench_attach(1, "a", "one", capacity, "");
    assert_int_equal(
        bench_code(
            bench_ask("Flows/PutFlow", "{'flow': {'name': 'kid', 'routines': [{'id': 'r', 'type': 't'}]}}")),
        FM_OK);
    return bench_submit(FLOW);
}

static size_t count_kids(const char *job, size_t *ret_ended)
{
    size_t all;
    sim_store_count_kids(bench.store, job, &all, ret_ended);
    return all;
}

/* The parent has consumed its task, and sleeps until its child has ended. */
static void sleep_on_it(const char *job)
{
    bench_sayf(
        1, "{'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_IDLE'}}", job);
}

/* What the parent was told of its child: the text of `key` in the newest input that it was given. */
static const char *result(const char *key)
{
    const Fermata__V1__Assign *a = bench_last(1, ASSIGN)->assign;
    const Google__Protobuf__Struct *s = a->inputs[a->n_inputs - 1]->data;
    for (size_t i = 0; i < s->n_fields; i++)
        if (strcmp(s->fields[i]->key, key) == 0)
            return s->fields[i]->value->string_value;
    return "";
}

static void a_child_starts_when_the_step_that_starts_it_is_on_disk(void **state)
{
    (void)state;
    size_t ended;
    const char *job = run_parent(1);
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1,
                                       START
                                       ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"});
    assert_int_equal(count_kids(job, &ended), 0);
    bench_step(1, &(struct bench_step){job, "s1.0", 2, 1, 1,
                                       START
                                       ", 'new_tasks': [{'task_id': 's2.0', 'routine': 'r', 'slot': 'in'}]"});
    assert_true(bench_store_one()); /* the first step; the second waits */
    bench.fails = FM_UNAVAILABLE;
    assert_true(bench_store_one()); /* and fails, but for … */
    bench.fails = FM_OK;
    bench.holds = false;
    bench_wait(0);
    heartbeats(1, 7000);
    assert_int_equal(sim_store_last_step(bench.store, job), 1);
    assert_int_equal(count_kids(job, &ended), 1); /* … the child of the first */
}

static void a_child_for_which_the_disk_has_no_room_is_started_later(void **state)
{
    (void)state;
    size_t ended;
    const char *job = run_parent(5);
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, START});
    assert_true(bench_store_one());
    bench.holds = false;
    bench.fails = FM_RESOURCE_EXHAUSTED;
    heartbeats(1, 12000); /* it is tried again and again */
    bench.fails = FM_OK;
    assert_int_equal(count_kids(job, &ended), 0);
    assert_int_equal(bench_job(job)->n_children, 1);
    assert_int_equal(sim_store_last_input(bench.store, job), 1); /* nobody was told of a failure */
    heartbeats(1, 7000);
    assert_int_equal(count_kids(job, &ended), 1);
}

static void a_child_that_cannot_start_is_a_failure(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, START});
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
    assert_int_equal(bench_job(job)->n_children, 0);
}

/* The parent waits; its child puts out `bytes` and ends. */
static void end_child(const char *job, size_t bytes)
{
    char id[32];
    snprintf(id, sizeof(id), "%s", bench_job(job)->children[0]->job_id);
    char *more = malloc(bytes + 512);
    int n = snprintf(more, 512, COMPLETE ", 'emissions': [{'event': 'out', 'data': {'x': '");
    memset(more + n, 'x', bytes);
    memcpy(more + n + bytes, "'}}]", 5);
    bench_step(1, &(struct bench_step){id, "i1", 1, 1, 1, more});
    free(more);
    assert_int_equal(bench_status(id), JOB_COMPLETED);
}

static void a_child_s_result_wakes_its_parent(void **state)
{
    (void)state;
    const char *job = run_parent(5);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, START});
    sleep_on_it(job);
    assert_int_equal(bench_status(job), JOB_SLEEPING);
    end_child(job, 10);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_string_equal(result("status"), "COMPLETED");
    assert_int_equal(bench_job(job)->n_children, 0);
}

static void a_result_for_which_its_parent_has_no_room_stays_with_its_child(void **state)
{
    (void)state;
    bench.cfg.max_state_bytes = 20000;
    const char *job = run_parent(5);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, START});
    sleep_on_it(job);
    bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    end_child(job, 15000); /* it fits its own job */
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job)), FM_OK);
    assert_string_equal(result("status"), "COMPLETED");
    /* with an input that waits it does not fit */
    bench_teardown(NULL);
    bench_setup(NULL);
    bench.cfg.max_state_bytes = 20000;
    job = run_parent(5);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, START});
    sleep_on_it(job);
    bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    char text[8001];
    memset(text, 'y', 8000);
    text[8000] = '\0';
    assert_int_equal(bench_code(bench_askf("Jobs/SendInput",
                                           "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, "
                                           "'data': {'y': '%s'}}",
                                           job, text)),
                     FM_OK);
    end_child(job, 15000);
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
    assert_int_equal(bench_job(job)->n_children, 1);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job)), FM_OK);
    assert_int_equal(bench_status(job), JOB_RUNNING);
}

static void children_are_cancelled_when_the_end_of_their_parent_is_on_disk(void **state)
{
    (void)state;
    size_t ended;
    const char *job = run_parent(5);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1,
                                       START
                                       ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"});
    assert_int_equal(count_kids(job, &ended), 1);
    bench.fails = FM_RESOURCE_EXHAUSTED;
    assert_int_equal(bench_code(bench_askf("Jobs/CancelJob", "{'job_id': '%s'}", job)),
                     FM_RESOURCE_EXHAUSTED);
    bench.fails = FM_OK;
    heartbeats(1, 500);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    (void)count_kids(job, &ended);
    assert_int_equal(ended, 0);
    assert_int_equal(bench_code(bench_askf("Jobs/CancelJob", "{'job_id': '%s'}", job)), FM_OK);
    (void)count_kids(job, &ended);
    assert_int_equal(ended, 1);
    assert_int_equal(bench_job(job)->n_children, 0);
}

static void a_child_that_starts_after_its_parent_has_ended_is_cancelled(void **state)
{
    (void)state;
    size_t ended;
    const char *job = run_parent(5);
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1,
                                       START
                                       ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"});
    assert_true(bench_store_one()); /* the child is on its way, … */
    bench_askf("Jobs/CancelJob", "{'job_id': '%s'}", job);
    bench.holds = false;
    bench_store_all();
    heartbeats(1, 6000);
    assert_int_equal(bench_status(job), JOB_CANCELLED);
    assert_int_equal(count_kids(job, &ended), 1);
    assert_int_equal(ended, 1);
}

static void a_child_that_starts_stays_when_the_end_of_its_parent_is_not_stored(void **state)
{
    (void)state;
    size_t ended;
    const char *job = run_parent(5);
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1,
                                       START
                                       ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}]"});
    assert_true(bench_store_one());
    bench_askf("Jobs/CancelJob", "{'job_id': '%s'}", job);
    assert_true(bench_store_one()); /* the child */
    bench.fails = FM_UNAVAILABLE;
    assert_true(bench_store_one()); /* the end of its parent */
    bench.fails = FM_OK;
    bench.holds = false;
    bench_store_all();
    heartbeats(1, 7000);
    assert_int_equal(bench_status(job), JOB_PENDING); /* the host was to ask again, and has left */
    assert_int_equal(count_kids(job, &ended), 1);
    assert_int_equal(ended, 0);
}

static void the_family_is_looked_after_by_the_next_coordinator(void **state)
{
    (void)state;
    size_t ended;
    const char *job = run_parent(5);
    bench.holds = true;
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, START});
    assert_true(bench_store_one()); /* the step is on disk, the child is not */
    bench_crash();
    bench.holds = false;
    assert_int_equal(count_kids(job, &ended), 0);
    bench_start();
    bench_wait(7000);
    assert_int_equal(count_kids(job, &ended), 1);
}

/* ---- a coordinator that is full ---- */

static void more_jobs_than_may_wait_are_refused(void **state)
{
    (void)state;
    bench.cfg.max_waiting_jobs = 3;
    bench_start();
    for (int i = 0; i < 3; i++)
        bench_submit(FLOW);
    uint64_t t =
        bench_ask("Jobs/SubmitJob", "{'inline_flow': " FLOW ", 'entry': {'routine': 'r', 'slot': 'in'}}");
    assert_int_equal(bench_code(t), FM_RESOURCE_EXHAUSTED);
    bench_attach(1, "a", "one", 1, "");
    bench_submit(FLOW);
}

static void a_job_takes_no_more_than_its_state_may_have(void **state)
{
    (void)state;
    char text[9001], more[20000];
    memset(text, 'y', 9000);
    text[9000] = '\0';
    bench.cfg.max_state_bytes = 10000;
    bench_start();
    const char *job = bench_submit(FLOW);
    assert_int_equal(bench_code(bench_askf("Jobs/SendInput", INPUT, job, text)), FM_OK);
    assert_int_equal(bench_code(bench_askf("Jobs/SendInput", INPUT, job, text)), FM_RESOURCE_EXHAUSTED);
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
    bench_attach(1, "a", "one", 5, "");
    snprintf(more, sizeof(more),
             COMPLETE
             ", 'changes': [{'key': 'k', 'kind': 'STATE_CHANGE_KIND_SET', 'value': '%s'}, {'key': 'l', "
             "'kind': 'STATE_CHANGE_KIND_SET', 'value': '%s'}]",
             text, text);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 2, more});
    assert_int_equal(bench_count(1, FERMATA__V1__COORDINATOR_MESSAGE__BODY_STEP_REJECT), 1);
    assert_int_equal(bench_status(job), JOB_FAILED); /* it would be too large on every host */
    assert_string_equal(bench_job(job)->error->code, "RESOURCE_EXHAUSTED");
}

static void an_answer_that_its_job_could_not_hold_is_refused(void **state)
{
    (void)state;
    char text[19001];
    memset(text, 'y', 19000);
    text[19000] = '\0';
    bench.cfg.max_state_bytes = 8000; /* and as much for inputs, and a quarter more for answers */
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = bench_submit(FLOW);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1,
                                       "'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p1.0', "
                                       "'question': 'Go on?', 'slot': 'answer'}]"});
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': '%s'}", job, text)),
                     FM_RESOURCE_EXHAUSTED);
    assert_int_equal(bench_job(job)->n_pauses, 1);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': 'y'}", job)), FM_OK);
}

static void more_bytes_than_there_is_memory_for_are_refused(void **state)
{
    (void)state;
    bench.cfg.max_active_bytes = 20000;
    bench_start();
    bench_attach(1, "a", "one", 50, "");
    char text[4001];
    memset(text, 'y', 4000);
    text[4000] = '\0';
    int code = FM_OK, n = 0;
    for (; n < 20 && code == FM_OK; n++)
        code = bench_code(bench_askf("Jobs/SubmitJob", SUBMIT, text));
    assert_int_equal(code, FM_RESOURCE_EXHAUSTED);
    assert_in_range(n, 3, 8);
    /* what makes room is not refused */
    const Fermata__V1__Assign *a = bench_last(1, ASSIGN)->assign;
    assert_int_equal(bench_code(bench_askf("Jobs/CancelJob", "{'job_id': '%s'}", a->job_id)), FM_OK);
    assert_int_equal(bench_code(bench_askf("Jobs/SubmitJob", SUBMIT, "")), FM_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_child_starts_when_the_step_that_starts_it_is_on_disk),
        TEST(a_child_for_which_the_disk_has_no_room_is_started_later),
        TEST(a_child_that_cannot_start_is_a_failure),
        TEST(a_child_s_result_wakes_its_parent),
        TEST(a_result_for_which_its_parent_has_no_room_stays_with_its_child),
        TEST(children_are_cancelled_when_the_end_of_their_parent_is_on_disk),
        TEST(a_child_that_starts_after_its_parent_has_ended_is_cancelled),
        TEST(a_child_that_starts_stays_when_the_end_of_its_parent_is_not_stored),
        TEST(the_family_is_looked_after_by_the_next_coordinator),
        TEST(more_jobs_than_may_wait_are_refused),
        TEST(a_job_takes_no_more_than_its_state_may_have),
        TEST(an_answer_that_its_job_could_not_hold_is_refused),
        TEST(more_bytes_than_there_is_memory_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
