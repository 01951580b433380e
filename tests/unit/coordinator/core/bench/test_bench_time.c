/* What time does to jobs: which are due, page after page; questions that close by themselves; deadlines; and
 * what is read again when the store has failed. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core_bench.h"
#include "job.h"

#define FLOW "{'name': 'f', 'routines': [{'id': 'r', 'type': 't'}]}"
#define SIDE_BY_SIDE "{'name': 'f', 'parallelism': 2, 'routines': [{'id': 'r', 'type': 't'}]}"
#define CONTINUE "'outcome': 'STEP_OUTCOME_CONTINUE'"
#define LATER CONTINUE ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'delay_ms': 5000}]"
#define ASK_FOR_A_WHILE                                                                                      \
    "'outcome': 'STEP_OUTCOME_PAUSE', 'pauses': [{'pause_id': 'p1.0', 'question': 'Go on?', 'slot': "        \
    "'answer', "                                                                                             \
    "'timeout_ms': 3000, 'default_answer': 'nobody'}]"
#define ASSIGN FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN

static const char *run_job(const char *flow)
{
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    const char *job = bench_submit(flow);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    return job;
}

static void heartbeats(uint64_t conn, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 500) {
        bench_wait(500);
        if (bench_is_open(conn))
            bench_say(conn, "{'heartbeat': {}}");
    }
}

/* A job that sleeps until its task is due in five seconds. */
static const char *fall_asleep(void)
{
    const char *job = bench_submit(FLOW);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, LATER});
    bench_sayf(
        1, "{'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_SLEEPING'}}",
        job);
    assert_int_equal(bench_status(job), JOB_SLEEPING);
    return job;
}

static void ask_for_a_while(const char *job)
{
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, ASK_FOR_A_WHILE});
    assert_int_equal(bench_status(job), JOB_PAUSED);
}

/* ---- pages ---- */

#define SLEEPERS 7

/* Back or forth, while it sleeps: it sleeps its five seconds. */
static void a_clock_that_is_set_neither_stops_a_wait_nor_cuts_it_short(void **state)
{
    (void)state;
    static const int64_t by[] = {-3600000, 3600000, -30LL * 86400000};
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    for (size_t i = 0; i < 3; i++) {
        const char *job = fall_asleep();
        bench.clock_set_ms += by[i];
        heartbeats(1, 4500);
        assert_int_equal(bench_status(job), JOB_SLEEPING);
        heartbeats(1, 1000);
        assert_int_equal(bench_status(job), JOB_RUNNING);
    }
    /* what the clock differs by is made good */
    bench.clock_set_ms = 0;
    heartbeats(1, 10000);
    bench.clock_set_ms = 5000;
    for (int i = 0; i < 600; i++)
        heartbeats(1, 1000);
    assert_true(core_wall_ms(bench.core) == 1700000000000 + bench.now_ms + 5000);
}

static void all_jobs_that_are_due_are_woken_page_after_page(void **state)
{
    (void)state;
    const char *jobs[SLEEPERS];
    bench.cfg.page_rows = 2;
    bench.cfg.cache_bytes = 1;
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    for (size_t i = 0; i < SLEEPERS; i++) {
        jobs[i] = fall_asleep();
        if (i % 3 == 0)
            bench_wait(1); /* some are due at the same time, some are not */
    }
    heartbeats(1, 4500);
    for (size_t i = 0; i < SLEEPERS; i++)
        assert_int_equal(bench_status(jobs[i]), JOB_SLEEPING);
    heartbeats(1, 1000);
    for (size_t i = 0; i < SLEEPERS; i++)
        assert_int_equal(bench_status(jobs[i]), JOB_RUNNING);
}

static void jobs_that_came_due_while_nobody_looked_are_woken_after_the_start(void **state)
{
    (void)state;
    const char *jobs[SLEEPERS];
    bench.cfg.page_rows = 3;
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    for (size_t i = 0; i < SLEEPERS; i++)
        jobs[i] = fall_asleep();
    bench_crash();
    bench.now_ms += 60000;
    bench_start();
    bench_wait(1);
    for (size_t i = 0; i < SLEEPERS; i++)
        assert_int_equal(bench_status(jobs[i]), JOB_PENDING);
}

static void all_active_jobs_are_read_at_the_start_page_after_page(void **state)
{
    (void)state;
    const char *jobs[SLEEPERS];
    bench.cfg.page_rows = 2;
    bench_start();
    for (size_t i = 0; i < SLEEPERS; i++)
        jobs[i] = bench_submit(FLOW);
    bench_crash();
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    for (size_t i = 0; i < SLEEPERS; i++)
        assert_int_equal(bench_status(jobs[i]), JOB_RUNNING);
}

static void no_job_is_given_away_before_all_are_read(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    char held[128];
    bench.cfg.page_rows = 1;
    bench_submit(FLOW);
    bench_crash();
    bench.holds_queries = true;
    bench_start();
    for (int i = 0; i < 4; i++)
        bench_answer_one(); /* the hosts, a page, its job and flow; now a host is awaited */
    bench_wait(5000);       /* longer than a lease, and until those that did not come are forgotten */
    bench.holds_queries = false;
    bench_answer_all();
    snprintf(held, sizeof(held), "{'job_id': '%s', 'epoch': 1}", job);
    bench_attach(2, "a", "one", 20, held);
    assert_true(bench_last(2, FERMATA__V1__COORDINATOR_MESSAGE__BODY_WELCOME)->welcome->held_jobs[0]->keep);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_int_equal(bench_job(job)->epoch, 1);
}

static void nobody_is_served_before_all_jobs_are_read(void **state)
{
    (void)state;
    bench_start();
    const char *job = bench_submit(FLOW);
    bench_crash();
    bench.reads_fail = FM_UNAVAILABLE;
    bench_start();
    assert_int_equal(bench_code(bench_askf("Jobs/GetJob", "{'job_id': '%s'}", job)), FM_UNAVAILABLE);
    bench_attach(1, "a", "one", 1, "");
    assert_false(bench_is_open(1));
    bench.reads_fail = FM_OK;
    bench_wait(1000); /* it tries again */
    assert_int_equal(bench_code(bench_askf("Jobs/GetJob", "{'job_id': '%s'}", job)), FM_OK);
    bench_attach(2, "a", "one", 1, "");
    assert_int_equal(bench_status(job), JOB_RUNNING);
}

static void what_is_due_is_asked_for_again_when_the_store_fails(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    const char *job = fall_asleep();
    heartbeats(1, 4500);
    bench.reads_fail = FM_UNAVAILABLE;
    heartbeats(1, 2500);
    assert_int_equal(bench_status(job), JOB_SLEEPING);
    bench.reads_fail = FM_OK;
    heartbeats(1, 1500);
    assert_int_equal(bench_status(job), JOB_RUNNING);
}

static void a_job_is_woken_although_its_unit_fails_at_first(void **state)
{
    (void)state;
    bench_start();
    bench_attach(1, "a", "one", 20, "");
    const char *job = fall_asleep();
    heartbeats(1, 4500);
    bench.fails = FM_RESOURCE_EXHAUSTED;
    heartbeats(1, 2500);
    assert_int_equal(bench_status(job), JOB_SLEEPING);
    bench.fails = FM_OK;
    heartbeats(1, 3000);
    assert_int_equal(bench_status(job), JOB_RUNNING);
}

static void a_watch_gets_all_steps_page_after_page(void **state)
{
    (void)state;
    bench.cfg.page_rows = 2;
    const char *job = run_job(FLOW);
    char task[16] = "i1", more[256];
    bool ended;
    for (unsigned i = 1; i <= 7; i++) {
        snprintf(more, sizeof(more),
                 i == 7 ? "'outcome': 'STEP_OUTCOME_COMPLETE'"
                        : CONTINUE ", 'new_tasks': [{'task_id': 's%u.0', 'routine': 'r', 'slot': 'in'}]",
                 i);
        bench_step(1, &(struct bench_step){job, task, i, 1, 1, more});
        snprintf(task, sizeof(task), "s%u.0", i);
    }
    assert_int_equal(bench_status(job), JOB_COMPLETED);
    uint64_t all = bench_askf("Jobs/WatchJob", "{'job_id': '%s'}", job),
             rest = bench_askf("Jobs/WatchJob", "{'job_id': '%s', 'from_step': 6}", job);
    assert_int_equal(bench_watched(all, &ended), 7);
    assert_true(ended);
    assert_int_equal(bench_watched(rest, &ended), 2);
    assert_true(ended);
}

/* ---- the inbox ---- */

static size_t count_listed(const char *filter, const char *job)
{
    char token[64] = "";
    size_t n = 0;
    do {
        uint64_t t = bench_askf("Jobs/ListPauses", "{'page_size': 1, 'page_token': '%s'%s}", token, filter);
        const Fermata__V1__ListPausesResponse *r =
            bench_reply(t, &fermata__v1__list_pauses_response__descriptor);
        for (size_t i = 0; i < r->n_pauses; i++)
            n += job == NULL || strcmp(r->pauses[i]->job_id, job) == 0;
        snprintf(token, sizeof(token), "%s", r->next_page_token);
    } while (token[0] != '\0');
    return n;
}

static void open_questions_are_listed_whatever_their_jobs_do(void **state)
{
    (void)state;
    bench.cfg.page_rows = 1;
    const char
        *running = run_job(SIDE_BY_SIDE),
        *ask = CONTINUE
        ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', 'slot': 'in'}], 'pauses': [{'pause_id': 'p1.0', "
        "'question': 'Go on?', 'slot': 'answer'}]";
    bench_step(1, &(struct bench_step){running, "i1", 1, 1, 1, ask});
    const char *pending = bench_submit(SIDE_BY_SIDE), *paused = bench_submit(FLOW),
               *none = bench_submit(FLOW);
    bench_step(1, &(struct bench_step){pending, "i1", 1, 1, 1, ask});
    bench_step(1, &(struct bench_step){paused, "i1", 1, 1, 1, ASK_FOR_A_WHILE});
    bench_say(1, "{'heartbeat': {}}");
    bench_ask("Hosts/CordonHost", "{'host_id': 'a'}");
    bench_sayf(
        1, "{'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_DRAINING'}}",
        pending);
    assert_int_equal(bench_status(running), JOB_RUNNING);
    assert_int_equal(bench_status(pending), JOB_PENDING);
    assert_int_equal(bench_status(paused), JOB_PAUSED);
    assert_int_equal(count_listed("", running), 1);
    assert_int_equal(count_listed("", pending), 1);
    assert_int_equal(count_listed("", paused), 1);
    assert_int_equal(count_listed("", none), 0);
    assert_int_equal(count_listed("", NULL), 3);
    assert_int_equal(count_listed(", 'reasons': ['PAUSE_REASON_OPERATOR']", NULL), 0);
    assert_int_equal(count_listed(", 'routine': 'r'", NULL), 3);
    assert_int_equal(count_listed(", 'routine': 'other'", NULL), 0);
    bench_askf("Jobs/ClaimPause", "{'job_id': '%s', 'by': 'x', 'ttl_ms': 1000}", paused);
    assert_int_equal(count_listed(", 'claimed_by': 'x'", NULL), 1);
    assert_int_equal(count_listed(", 'claims': 'CLAIM_FILTER_UNCLAIMED'", paused), 0);
    bench_wait(1000);
    assert_int_equal(count_listed(", 'claimed_by': 'x'", NULL), 0);
    assert_int_equal(count_listed(", 'claims': 'CLAIM_FILTER_UNCLAIMED'", paused), 1);
}

/* ---- questions that close by themselves ---- */

static void check_default_answer(uint64_t conn)
{
    const Fermata__V1__Assign *a = bench_last(conn, ASSIGN)->assign;
    const Fermata__V1__Task *t = a->inputs[a->n_inputs - 1];
    assert_string_equal(t->slot, "answer");
    assert_string_equal(t->pause_id, "p1.0");
    assert_int_equal(t->data->n_fields, 2);
    for (size_t i = 0; i < 2; i++)
        if (strcmp(t->data->fields[i]->key, "answer") == 0)
            assert_string_equal(t->data->fields[i]->value->string_value, "nobody");
        else
            assert_true(t->data->fields[i]->value->bool_value);
}

static void a_question_closes_by_itself_when_its_time_has_come(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    ask_for_a_while(job);
    heartbeats(1, 2500);
    assert_int_equal(bench_status(job), JOB_PAUSED);
    assert_int_equal(bench_job(job)->n_pauses, 1);
    heartbeats(1, 1000);
    assert_int_equal(bench_job(job)->n_pauses, 0);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    check_default_answer(1);
    assert_int_equal(
        bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'pause_id': 'p1.0', 'answer': 1}", job)),
        FM_FAILED_PRECONDITION);
}

static void a_question_that_was_answered_does_not_close_by_itself(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    ask_for_a_while(job);
    bench_askf("Jobs/ResumeJob", "{'job_id': '%s', 'answer': 1}", job);
    heartbeats(1, 4000);
    assert_int_equal(sim_store_last_input(bench.store, job), 2);
}

static void the_question_of_a_fork_has_its_time_anew(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    ask_for_a_while(job);
    heartbeats(1, 2000);
    const Fermata__V1__ForkJobResponse *r =
        bench_reply(bench_askf("Jobs/ForkJob", "{'job_id': '%s', 'step': 1}", job),
                    &fermata__v1__fork_job_response__descriptor);
    heartbeats(1, 2000);
    assert_int_equal(bench_job(job)->n_pauses, 0);
    assert_int_equal(bench_job(r->job_id)->n_pauses, 1);
    heartbeats(1, 1500);
    assert_int_equal(bench_job(r->job_id)->n_pauses, 0);
    assert_int_equal(bench_status(r->job_id), JOB_RUNNING);
    check_default_answer(1);
}

static void the_question_of_a_held_job_closes_and_the_job_stays_held(void **state)
{
    (void)state;
    const char *job = run_job(FLOW);
    ask_for_a_while(job);
    bench_askf("Jobs/PauseJob", "{'job_id': '%s'}", job);
    heartbeats(1, 4000);
    assert_int_equal(bench_status(job), JOB_PAUSED);
    assert_int_equal(bench_job(job)->n_pauses, 1);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job)), FM_OK);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    check_default_answer(1);
}

/* ---- deadlines ---- */

#define IN_TIME "{'name': 'f', 'deadline_ms': 3000, 'routines': [{'id': 'r', 'type': 't'}]}"

static int64_t deadline_of(const char *job)
{
    const Google__Protobuf__Timestamp *t = bench_job(job)->deadline_at;
    return t == NULL ? 0 : t->seconds * 1000 + t->nanos / 1000000 - 1700000000000;
}

static void a_job_fails_at_its_deadline_wherever_it_is(void **state)
{
    (void)state;
    const char *running = run_job(IN_TIME), *paused = bench_submit(IN_TIME), *asleep = bench_submit(IN_TIME);
    ask_for_a_while(paused);
    bench_step(1, &(struct bench_step){asleep, "i1", 1, 1, 1, LATER});
    bench_sayf(
        1, "{'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_SLEEPING'}}",
        asleep);
    bench_ask("Hosts/CordonHost", "{'host_id': 'a'}");
    const char *pending = bench_submit(IN_TIME);
    const char *all[] = {running, paused, asleep, pending};
    static const int before[] = {JOB_RUNNING, JOB_PAUSED, JOB_SLEEPING, JOB_PENDING};
    heartbeats(1, 2500);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(bench_status(all[i]), before[i]);
    heartbeats(1, 1000);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(bench_status(all[i]), JOB_FAILED);
        assert_string_equal(bench_job(all[i])->error->code, "DEADLINE_EXCEEDED");
    }
    assert_int_equal(bench_last(1, FERMATA__V1__COORDINATOR_MESSAGE__BODY_INTERRUPT)->interrupt->kind,
                     FERMATA__V1__INTERRUPT_KIND__INTERRUPT_KIND_CANCEL);
}

static void a_job_that_goes_on_has_its_deadline_anew(void **state)
{
    (void)state;
    const char *job = run_job(IN_TIME);
    assert_int_equal(deadline_of(job), 3000);
    heartbeats(1, 10000);
    assert_int_equal(bench_status(job), JOB_FAILED);
    assert_int_equal(bench_code(bench_askf("Jobs/ResumeJob", "{'job_id': '%s'}", job)), FM_OK);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    assert_int_equal(deadline_of(job), 13000);
    heartbeats(1, 2500);
    assert_int_equal(bench_status(job), JOB_RUNNING);
    heartbeats(1, 1000);
    assert_int_equal(bench_status(job), JOB_FAILED);
    const Fermata__V1__ForkJobResponse *r = bench_reply(bench_askf("Jobs/ForkJob", "{'job_id': '%s'}", job),
                                                        &fermata__v1__fork_job_response__descriptor);
    assert_int_equal(deadline_of(r->job_id), bench.now_ms + 3000);
}

static void a_job_that_has_ended_has_no_deadline(void **state)
{
    (void)state;
    const char *job = run_job(IN_TIME);
    bench_step(1, &(struct bench_step){job, "i1", 1, 1, 1, "'outcome': 'STEP_OUTCOME_COMPLETE'"});
    heartbeats(1, 4000);
    assert_int_equal(bench_status(job), JOB_COMPLETED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_clock_that_is_set_neither_stops_a_wait_nor_cuts_it_short),
        TEST(all_jobs_that_are_due_are_woken_page_after_page),
        TEST(jobs_that_came_due_while_nobody_looked_are_woken_after_the_start),
        TEST(all_active_jobs_are_read_at_the_start_page_after_page),
        TEST(no_job_is_given_away_before_all_are_read),
        TEST(nobody_is_served_before_all_jobs_are_read),
        TEST(what_is_due_is_asked_for_again_when_the_store_fails),
        TEST(a_job_is_woken_although_its_unit_fails_at_first),
        TEST(a_watch_gets_all_steps_page_after_page),
        TEST(open_questions_are_listed_whatever_their_jobs_do),
        TEST(a_question_closes_by_itself_when_its_time_has_come),
        TEST(a_question_that_was_answered_does_not_close_by_itself),
        TEST(the_question_of_a_fork_has_its_time_anew),
        TEST(the_question_of_a_held_job_closes_and_the_job_stays_held),
        TEST(a_job_fails_at_its_deadline_wherever_it_is),
        TEST(a_job_that_goes_on_has_its_deadline_anew),
        TEST(a_job_that_has_ended_has_no_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
