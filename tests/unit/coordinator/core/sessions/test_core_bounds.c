/* What hosts say is much: turns of the loop stay short, and a job's questions are bounded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"
#include "linear.h"

/* A step of a chain: it takes the one task there is and makes the next, and asks so many questions with so
 * many bytes of text each. */
static char *chained(const char *job, unsigned number, size_t questions, size_t bytes)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    char task[32];
    snprintf(task, sizeof(task), number == 1 ? "i%u" : "s%u.0", number == 1 ? 1 : number - 1);
    fprintf(
        f,
        "{'job_id': '%s', 'step': {'number': %u, 'epoch': 1, 'task_id': '%s', 'routine': 'r', 'slot': 'in', "
        "'inputs_through': 1, 'outcome': 'STEP_OUTCOME_CONTINUE', "
        "'new_tasks': [{'task_id': 's%u.0', 'routine': 'r', 'slot': 'in'}], 'pauses': [",
        job, number, task, number);
    for (size_t i = 0; i < questions; i++)
        fprintf(f, "%s{'pause_id': 'p%u.%zu', 'slot': 'more', 'question': '%*s'}", i > 0 ? ", " : "", number,
                i, (int)bytes, "?");
    fputs("]}}", f);
    fclose(f);
    return out;
}

/* A batch of the steps from `from` to `to`. */
static void says_chain(uint64_t conn, const char *job, unsigned from, unsigned to, size_t questions)
{
    char *batch = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&batch, &n);
    for (unsigned i = from; i <= to; i++) {
        char *step = chained(job, i, questions, 1);
        fprintf(f, "%s%s", i > from ? ", " : "", step);
        free(step);
    }
    fclose(f);
    host_mutters(conn, "'steps': {'steps': [%s]}", batch);
    free(batch);
}

static void restart_with_turns_of(size_t work)
{
    rig.config.turn_work = work;
    rig_restart();
}

static const char *steps_of(const char *job)
{
    return at(job_of(job), "step_count");
}

static void next_turn(void)
{
    core_tick(rig.core);
    rig_settle();
}

static void steps_beyond_a_turn_wait_for_the_next_one_in_order(void **state)
{
    (void)state;
    restart_with_turns_of(10); /* two steps */
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    says_chain(a, job, 1, 5, 0);
    assert_int_equal(rig.on_hold, a); /* no more is read */
    host_mutters(a,
                 "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 5, 'reason': "
                 "'RELEASE_REASON_DRAINING', 'message': 'bye'}",
                 job);
    rig_settle();
    assert_string_equal(steps_of(job), "2");
    assert_string_equal(status_of(job), "RUNNING"); /* what stands behind the steps waits, too */
    next_turn();
    assert_string_equal(steps_of(job), "4");
    next_turn();
    assert_string_equal(steps_of(job), "5");
    assert_int_equal(rig.on_hold, 0);
    assert_string_equal(status_of(job), "PENDING"); /* given back behind its steps */
}

static void one_host_with_much_does_not_keep_others_waiting(void **state)
{
    (void)state;
    restart_with_turns_of(10);
    uint64_t a = host_joins("a", ", 'capacity': 1"), b = host_joins("b", ", 'capacity': 1");
    put_flow_f(" ");
    const char *first = submit_f(" "), *second = submit_f(" ");
    bool swapped = strcmp(at(job_of(first), "host"), "b") == 0;
    says_chain(swapped ? b : a, first, 1, 9, 0);
    says_chain(swapped ? a : b, second, 1, 1, 0);
    rig_settle();
    assert_string_equal(steps_of(first), "2");
    assert_string_equal(steps_of(second), ""); /* in its turn */
    next_turn();
    assert_string_equal(steps_of(first), "4");
    next_turn();
    assert_string_equal(steps_of(second), "1");
    assert_string_equal(steps_of(first), "5");
    rig_pass(5);
    assert_string_equal(steps_of(first), "9");
}

static void a_host_whose_messages_wait_counts_as_heard(void **state)
{
    (void)state;
    restart_with_turns_of(1); /* one step */
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    says_chain(a, job, 1, 3, 0);
    rig_settle();
    rig.passed_ms += RIG_LEASE_MS + 1; /* the loop was busy with others */
    rig_pass(0);
    assert_string_equal(at(job_of(job), "epoch"), "1");
    assert_null(closed(a));
}

static void steps_that_wait_are_forgotten_with_their_stream(void **state)
{
    (void)state;
    restart_with_turns_of(10);
    uint64_t a = host_joins("a", ", 'incarnation': 'A'");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    says_chain(a, job, 1, 5, 0);
    host_breaks(a);
    rig_pass(10);
    assert_string_equal(steps_of(job), "2");
    a = host_joins("a", ", 'incarnation': 'A', 'held_jobs': [{'job_id': '%s', 'epoch': 1, 'last_step': 5}]",
                   job);
    says_chain(a, job, 2, 5, 0); /* as a host does: all that was not acknowledged comes again */
    rig_pass(10);
    assert_string_equal(steps_of(job), "5");
    says_chain(a, job, 6, 9, 0);
    rig_teardown(NULL); /* the daemon ends while steps wait */
    assert_int_equal(rig_setup(NULL), 0);
}

/* ---- questions ---- */

static void a_job_has_a_bounded_number_of_open_questions(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(", 'parallelism': 2");
    const char *job = submit_f(" ");
    says_chain(a, job, 1, 10, 1000);
    rig_pass(20);
    assert_string_equal(steps_of(job), "10");
    assert_int_equal(json_array_size(json_object_get(job_of(job), "pauses")), 10000);
    call("Jobs/ResumeJob", "{'job_id': '%s', 'pause_id': 'p5.500', 'answer': 'yes'}", job);
    says_chain(a, job, 11, 11, 1); /* there is room again */
    rig_pass(20);
    assert_string_equal(steps_of(job), "11");
    says_chain(a, job, 12, 12, 1);
    rig_pass(20);
    assert_string_equal(status_of(job), "FAILED");
    assert_string_equal(at(job_of(job), "error.code"), "RESOURCE_EXHAUSTED");
    assert_non_null(strstr(at(job_of(job), "error.message"), "10000 questions of the job are open"));
    assert_non_null(strstr(at(job_of(job), "error.message"), "the limit is 10000"));
}

static void the_host_is_told_how_many_are_open(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(", 'parallelism': 2");
    const char *job = submit_f(" ");
    says_chain(a, job, 1, 1, 20);
    rig_settle();
    host_says(a, "'goodbye': {'reason': 'bye'}");
    uint64_t b = host_joins("b", " ");
    assert_int_equal(json_array_size(json_object_get(told_of(b, "assign"), "asked")), 20);
}

static void questions_count_in_the_limit_of_a_jobs_state(void **state)
{
    (void)state;
    rig.config.max_state_bytes = 4000;
    rig_restart();
    uint64_t a = host_joins("a", " ");
    put_flow_f(", 'parallelism': 2");
    const char *job = submit_f(" ");
    char *step = chained(job, 1, 1, 3000);
    host_says(a, "'steps': {'steps': [%s]}", step);
    free(step);
    assert_string_equal(steps_of(job), "1");
    char text[1201];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    refuses("RESOURCE_EXHAUSTED data: the state of job", "Jobs/SendInput",
            "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'x': '%s'}}", job, text);
    step = chained(job, 2, 1, 1200);
    host_says(a, "'steps': {'steps': [%s]}", step);
    free(step);
    assert_string_equal(status_of(job), "FAILED");
    assert_string_equal(at(job_of(job), "error.code"), "RESOURCE_EXHAUSTED");
    call("Jobs/ResumeJob", "{'job_id': '%s'}", job); /* they are open again, and count again */
    rig_restart();
    refuses("RESOURCE_EXHAUSTED data: the state of job", "Jobs/SendInput",
            "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'x': '%s'}}", job, text);
    call("Jobs/ResumeJob", "{'job_id': '%s', 'pause_id': 'p1.0', 'answer': 1}", job);
    call("Jobs/SendInput", "{'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'x': '%s'}}", job,
         text);
}

static void of_many_questions_that_expire_some_do_at_a_time(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(", 'parallelism': 2");
    const char *job = submit_f(" ");
    for (unsigned number = 1; number <= 2; number++) {
        char *step = chained(job, number, 700, 1), *with = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&with, &n);
        for (const char *s = step; *s != '\0'; s++) {
            if (strncmp(s, "'slot': 'more'", 14) == 0)
                fputs("'timeout_ms': 5000, ", f);
            fputc(*s, f);
        }
        fclose(f);
        host_says(a, "'steps': {'steps': [%s]}", with);
        free(step);
        free(with);
    }
    rig_pass(5001);
    assert_int_equal(json_array_size(json_object_get(job_of(job), "pauses")), 400);
    rig_pass(2000);
    assert_int_equal(json_array_size(json_object_get(job_of(job), "pauses")), 0);
    assert_string_equal(at(job_of(job), "input_count"), "1401");
}

static long long ask(size_t n, void *arg)
{
    (void)arg;
    assert_int_equal(rig_setup(NULL), 0);
    uint64_t a = host_joins("a", " ");
    put_flow_f(", 'parallelism': 2");
    const char *job = submit_f(" ");
    long long from = test_cpu_us();
    says_chain(a, job, 1, (unsigned)(n / 250), 250);
    rig_pass(100);
    long long took = test_cpu_us() - from;
    assert_int_equal(number_at(job_of(job), "step_count"), (long long)(n / 250));
    assert_int_equal(rig_teardown(NULL), 0);
    return took;
}

static void what_questions_cost_grows_with_their_number_only(void **state)
{
    (void)state;
    assert_int_equal(rig_teardown(NULL), 0);
    test_linear("questions", ask, 2500, NULL);
    assert_int_equal(rig_setup(NULL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(steps_beyond_a_turn_wait_for_the_next_one_in_order),
        T(one_host_with_much_does_not_keep_others_waiting),
        T(a_host_whose_messages_wait_counts_as_heard),
        T(steps_that_wait_are_forgotten_with_their_stream),
        T(a_job_has_a_bounded_number_of_open_questions),
        T(the_host_is_told_how_many_are_open),
        T(questions_count_in_the_limit_of_a_jobs_state),
        T(of_many_questions_that_expire_some_do_at_a_time),
        T(what_questions_cost_grows_with_their_number_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
