/* Limits of what would go on for ever: the job is paused, and goes on when somebody raises the limit. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core_bench.h"
#include "job.h"

#define FLOW "{'name': 'f', %s'routines': [{'id': 'r', 'type': 't'}]}"
#define GOES_ON                                                                                              \
    "'outcome': 'STEP_OUTCOME_CONTINUE', 'new_tasks': [{'task_id': 's%u.0', 'routine': 'r', 'slot': 'in'}]"
#define INTERRUPT FERMATA__V1__COORDINATOR_MESSAGE__BODY_INTERRUPT

static const char *run_job(const char *more)
{
    char flow[256];
    snprintf(flow, sizeof(flow), FLOW, more);
    return bench_submit(flow);
}

/* The next step of the job, which stands at this number, on the host. */
static void step(const char *job, unsigned number, unsigned epoch, unsigned inputs)
{
    char task[32], more[256];
    snprintf(task, sizeof(task), number == 1 ? "i1" : "s%u.0", number - 1);
    snprintf(more, sizeof(more), GOES_ON, number);
    bench_step(1, &(struct bench_step){job, task, number, epoch, inputs, more});
}

static void release(const char *job, unsigned epoch)
{
    bench_sayf(1, "{'release': {'job_id': '%s', 'epoch': %u, 'reason': 'RELEASE_REASON_PAUSED'}}", job,
               epoch);
}

/* Its only pause; it is PAUSED. */
static const Fermata__V1__Pause *limit_of(const char *job)
{
    const Fermata__V1__Job *j = bench_job(job);
    assert_int_equal(j->status, JOB_PAUSED);
    assert_int_equal(j->n_pauses, 1);
    assert_int_equal(j->pauses[0]->reason, FERMATA__V1__PAUSE_REASON__PAUSE_REASON_LIMIT);
    return j->pauses[0];
}

static void a_job_makes_so_many_steps_between_two_inputs(void **state)
{
    (void)state;
    bench.cfg.limits.steps = 3;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = run_job("");
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(bench_count(1, INTERRUPT), 0);
        step(job, i, 1, 1);
    }
    assert_int_equal(bench_count(1, INTERRUPT), 1);
    step(job, 4, 1, 1); /* it was in hand */
    assert_int_equal(bench_count(1, INTERRUPT), 2);
    release(job, 1);
    assert_non_null(strstr(limit_of(job)->question, "4 steps since its last input; the limit is 3"));
    /* as many again */
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job)), FM_OK);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    step(job, 5, 2, 1);
    step(job, 6, 2, 1);
    assert_int_equal(bench_count(1, INTERRUPT), 2);
    /* what comes from outside counts anew */
    assert_int_equal(bench_code(bench_askf("Jobs/SendInput",
                                           "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}}", job)),
                     FM_OK);
    step(job, 7, 2, 1);
    step(job, 8, 2, 2);
    assert_int_equal(bench_count(1, INTERRUPT), 2);
    step(job, 9, 2, 2);
    assert_int_equal(bench_count(1, INTERRUPT), 3);
    release(job, 2);
    (void)limit_of(job);
    uint64_t t = bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': -1}", job);
    assert_int_equal(bench_code(t), FM_INVALID_ARGUMENT);
    assert_non_null(strstr(bench_error(t), "answer: the answer is the new limit"));
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': 5}", job)), FM_OK);
    for (unsigned i = 10; i <= 14; i++) {
        assert_int_equal(bench_count(1, INTERRUPT), 3);
        step(job, i, 3, 2);
    }
    assert_int_equal(bench_count(1, INTERRUPT), 4);
}

static void what_the_flow_says_of_steps_counts(void **state)
{
    (void)state;
    bench.cfg.limits.steps = 2;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = run_job("'max_steps': 0, ");
    for (unsigned i = 1; i <= 10; i++)
        step(job, i, 1, 1);
    assert_int_equal(bench_count(1, INTERRUPT), 0);
    job = run_job("'max_steps': 1, ");
    step(job, 1, 1, 1);
    assert_int_equal(bench_count(1, INTERRUPT), 1);
}

/* The host is still at work when the coordinator starts again: it is told again. */
static void a_limit_that_was_met_is_not_forgotten_by_a_restart(void **state)
{
    (void)state;
    bench.cfg.limits.steps = 1;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    const char *job = run_job("");
    step(job, 1, 1, 1);
    bench_crash();
    bench_start();
    char held[128];
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1, 'last_step': 1}", job);
    bench_attach(2, "a", "one", 5, held);
    assert_int_equal(bench_count(2, INTERRUPT), 1);
    bench_sayf(2, "{'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_PAUSED'}}", job);
    (void)limit_of(job);
}

#define STARTS                                                                                               \
    "'outcome': 'STEP_OUTCOME_CONTINUE', 'children': [{'flow': 'f', 'entry': {'routine': 'r', 'slot': "      \
    "'in'}, "                                                                                                \
    "'result_slot': 'more'}]"

/* The child that the job has started last. */
static const char *start_child(const char *job, unsigned epoch)
{
    static char ids[4][27];
    static size_t n;
    bench_step(1, &(struct bench_step){job, "i1", 1, epoch, 1, STARTS});
    const Fermata__V1__Job *j = bench_job(job);
    char *id = ids[n++ % 4];
    snprintf(id, 27, "%s", j->children[0]->job_id);
    return id;
}

static void jobs_start_jobs_so_deep(void **state)
{
    (void)state;
    bench.cfg.limits.depth = 1;
    bench_start();
    bench_attach(1, "a", "one", 5, "");
    assert_int_equal(bench_code(bench_ask("Flows/PutFlow",
                                          "{'flow': {'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}}")),
                     FM_OK);
    const char *root = run_job("");
    const char *child = start_child(root, 1);
    assert_int_equal(bench_status(child), JOB_RUNNING);
    assert_int_equal(bench_job(child)->depth, 1);
    const char *grandchild = start_child(child, 1);
    assert_null(bench_job(grandchild));
    (void)limit_of(child);
    bench_wait(30000); /* time does not start it */
    assert_null(bench_job(grandchild));
    bench_attach(2, "b", "one", 5, "");
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", child)), FM_OK);
    assert_int_equal(bench_status(child), JOB_SLEEPING);
    assert_non_null(bench_job(grandchild));
    assert_int_equal(bench_job(grandchild)->depth, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_job_makes_so_many_steps_between_two_inputs),
        TEST(what_the_flow_says_of_steps_counts),
        TEST(a_limit_that_was_met_is_not_forgotten_by_a_restart),
        TEST(jobs_start_jobs_so_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
