/* How much the core takes: of children, announcements, checks, bytes; and what it does with what is too much.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "core_rig.h"
#include "mem.h"

#define ENTRY "'entry': {'routine': 'r', 'slot': 'in'}"
#define MEGABYTE 1048576u

static char *text_of(size_t n)
{
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = '\0';
    return text;
}

static char *list_of(const char *item, size_t n)
{
    char *list = malloc(n * (strlen(item) + 1) + 1);
    assert_non_null(list);
    list[0] = '\0';
    char *end = list;
    for (size_t i = 0; i < n; i++)
        end += sprintf(end, "%s%s", i > 0 ? "," : "", item);
    return list;
}

static void data_have_at_most_1_mib(void **state)
{
    (void)state;
    put_flow_f(" ");
    size_t most = MEGABYTE - 15; /* of the text; the rest is what a Struct has around it */
    char *text = text_of(most + 1);
    refuses("INVALID_ARGUMENT data: data has 1048577 bytes; the limit is 1048576", "Jobs/SubmitJob",
            "'flow': 'f', 'data': {'x': '%s'}," ENTRY, text);
    (void)call("Jobs/SubmitJob", "'flow': 'f', 'data': {'x': '%s'}," ENTRY, text + 1);
    refuses("INVALID_ARGUMENT shared_data: ", "Jobs/SubmitJob",
            "'flow': 'f', 'shared_data': {'x': '%s'}," ENTRY, text);
    free(text);
}

static void a_step_starts_at_most_1000_children(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    char *list =
        list_of("{'flow': 'none', 'entry': {'routine': 'r', 'slot': 'in'}, 'result_slot': 'in'}", 1001);
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) ", 'children': [%s]", list);
    assert_string_equal(at(told_of(a, "step_reject"), "reason"), "1001 children; the limit is 1000");
    job = submit_f(" ");
    (void)told_of(a, "assign");
    free(list);
    list = list_of("{'flow': 'none', 'entry': {'routine': 'r', 'slot': 'in'}, 'result_slot': 'in'}", 1000);
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) ", 'children': [%s]", list);
    assert_int_equal(number_at(job_of(job), "input_count"), 1001); /* each could not be started */
    free(list);
}

static void a_job_waits_for_so_many_children(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    char *list =
        list_of("{'flow': 'none', 'entry': {'routine': 'r', 'slot': 'in'}, 'result_slot': 'in'}", 1000);
    rig.hold = true; /* so none is started, and none ends */
    host_steps(
        a, job, 1, 1,
        TAKES_I1 OUTCOME(CONTINUE) ", 'children': [%s], 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', "
                                   "'slot': 'in'}]",
        list);
    for (unsigned i = 2; i <= 11; i++)
        host_steps(
            a, job, 1, i,
            ", 'task_id': 's%u.0', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'attempt': 1" OUTCOME(
                CONTINUE) ", 'children': [%s], 'new_tasks': [{'task_id': 's%u.0', 'routine': 'r', 'slot': "
                          "'in'}]",
            i - 1, list, i);
    json_t *reject = told_of(a, "step_reject");
    assert_int_equal(number_at(reject, "number"), 11);
    assert_string_equal(at(reject, "reason"),
                        "the job waits for 10000 jobs that it has started, and the step starts "
                        "1000 more; the limit is 10000");
    free(list);
}

static void so_many_tasks_are_announced_at_once(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    fm_auto(fm_buf) tasks = {0};
    for (unsigned i = 0; i < 1001; i++) {
        char task[80];
        int n = snprintf(task, sizeof(task), "%s{'task_id': 's1.%u', 'routine': 'r', 'slot': 'in'}",
                         i > 0 ? "," : "", i);
        fm_buf_append(&tasks, task, (size_t)n);
    }
    fm_buf_append(&tasks, "", 1);
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [%s]", (const char *)tasks.p);
    for (unsigned i = 0; i < 1001; i++)
        host_mutters(a, "'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 's1.%u'}", job, i);
    rig_settle();
    assert_int_equal(json_array_size(json_object_get(job_of(job), "intents")), 1000);
    while (told(a) != NULL) {
    }
    host_says(a, "'intent': {'job_id': '%s', 'epoch': 1, 'task_id': 's1.7'}", job); /* one that is known */
    (void)told_of(a, "intent_ack");
}

static void assignments_wait_while_too_many_bytes_are_under_way(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ", 'capacity': 100");
    put_flow_f(" ");
    char *text = text_of(MEGABYTE - 1000);
    for (size_t i = 0; i < 19; i++)
        (void)call("Jobs/SubmitJob", "'flow': 'f', 'data': {'x': '%s'}," ENTRY, text);
    host_says(a, "'heartbeat': {}, 'ack': 1"); /* it has none of them yet */
    for (size_t i = 0; i < 17; i++)
        (void)told_of(a, "assign"); /* 16 MiB, and what goes over them */
    assert_true(told_nothing(a));
    host_says(a, "'heartbeat': {}");
    (void)told_of(a, "assign");
    (void)told_of(a, "assign");
    free(text);
}

static void of_waiting_assignments_those_that_are_over_are_not_sent(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ", 'capacity': 100");
    put_flow_f(" ");
    char *text = text_of(MEGABYTE - 1000);
    const char *jobs[19];
    for (size_t i = 0; i < 19; i++)
        jobs[i] = at(call("Jobs/SubmitJob", "'flow': 'f', 'data': {'x': '%s'}," ENTRY, text), "job_id");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", jobs[17]);
    while (told(a) != NULL) {
    }
    host_says(a, "'heartbeat': {}");
    assert_string_equal(at(told_of(a, "assign"), "job_id"), jobs[18]);
    assert_true(told_nothing(a));
    free(text);
}

static void a_result_that_is_too_large_is_a_failure_that_says_so(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'children': [{'flow': 'f', " ENTRY ", 'result_slot': 'more'}]");
    const char *child = at(told_of(a, "assign"), "job_id");
    char *text = text_of(7 * MEGABYTE);
    host_steps(a, child, 1, 1,
               TAKES_I1 OUTCOME(COMPLETE) ", 'emissions': [{'event': 'out', 'data': {'y': '%s'}}]", text);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].data.status"), "RESULT_TOO_LARGE");
    assert_int_equal(
        strncmp(at(assign, "inputs[0].data.error.message"), "it is COMPLETED, but its outputs", 32), 0);
    assert_string_equal(at(assign, "inputs[0].data.error.code"), "RESOURCE_EXHAUSTED");
    free(text);
}

static void a_list_says_of_eight_hosts_why_they_do_not_fit(void **state)
{
    (void)state;
    put_flow_f(" ");
    for (char c = 'a'; c <= 'i'; c++) {
        char id[2] = {c, '\0'};
        (void)host_joins(id, ", 'draining': true");
    }
    const char *why = at(job_of(submit_f(" ")), "waiting_reason");
    assert_non_null(strstr(why, "host h: it takes no new work"));
    assert_null(strstr(why, "host i"));
}

/* ---- programs ---- */

#define WITH_JQ(program)                                                                                     \
    "'inline_flow': {'routines': [{'id': 'r', 'type': 'jq', 'config': {'program': '" program                 \
    "'}}]}, 'entry': {'routine': 'r', "                                                                      \
    "'slot': 'input'}"

static int setup_checks(void **state)
{
    int rc = rig_setup(state);
    rig.with_checks = true;
    rig_restart();
    return rc;
}

static void a_request_waits_until_its_programs_are_checked(void **state)
{
    (void)state;
    uint64_t one = begin("Jobs/SubmitJob", WITH_JQ(".x"));
    rig_settle();
    assert_null(answer_of(one));
    assert_int_equal(rig_checks(), 1);
    rig_check(1, "", NULL);
    assert_non_null(answer_of(one));
    uint64_t again = begin("Jobs/SubmitJob", WITH_JQ(".x")); /* it is known to be sound */
    rig_settle();
    assert_int_equal(rig_checks(), 0);
    assert_non_null(answer_of(again));
    uint64_t other = begin("Jobs/SubmitJob", WITH_JQ(".y"));
    rig_check(1, "inline_flow.routines[0].config.program", "it is no jq");
    assert_string_equal(error_of(other),
                        "INVALID_ARGUMENT inline_flow.routines[0].config.program: it is no jq");
    other = begin("Jobs/SubmitJob", WITH_JQ(".y")); /* what was at fault is not */
    assert_int_equal(rig_checks(), 1);
    rig_check(1, "", NULL);
    assert_non_null(answer_of(other));
}

static void so_many_requests_wait_for_their_checks(void **state)
{
    (void)state;
    uint64_t first = 0, last = 0;
    for (unsigned i = 1; i <= 64; i++) {
        last = begin("Jobs/SubmitJob", WITH_JQ(".x%u"), i);
        first = first == 0 ? last : first;
    }
    refuses("RESOURCE_EXHAUSTED: 64 requests wait for their jq programs and schemas to be checked",
            "Jobs/SubmitJob", WITH_JQ(".z"));
    assert_int_equal(rig_checks(), 64);
    rig_check(1, "", NULL);
    assert_non_null(answer_of(first));
    assert_null(error_of(last));
    (void)begin("Jobs/SubmitJob", WITH_JQ(".z"));
    assert_int_equal(rig_checks(), 64);
}

/* ---- watches ---- */

static void a_job_that_is_deleted_under_a_watch_ends_it(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(" ");
    uint64_t watch = begin("Jobs/WatchJob", "'job_id': '%s'", job);
    rig_settle();
    rig.full = true;
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}",
               job); /* its queue is full now */
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    assert_null(error_of(watch));
    (void)call("Jobs/DeleteJob", "'job_id': '%s'", job);
    assert_string_equal(error_of(watch), "NOT_FOUND job_id: job 01HF7YAT00AW6HRSHWYKBKRK04 was deleted");
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
#define CHECKED(test) cmocka_unit_test_setup_teardown(test, setup_checks, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(data_have_at_most_1_mib),
        T(a_step_starts_at_most_1000_children),
        T(so_many_tasks_are_announced_at_once),
        T(a_job_waits_for_so_many_children),
        T(assignments_wait_while_too_many_bytes_are_under_way),
        T(of_waiting_assignments_those_that_are_over_are_not_sent),
        T(a_result_that_is_too_large_is_a_failure_that_says_so),
        T(a_list_says_of_eight_hosts_why_they_do_not_fit),
        CHECKED(a_request_waits_until_its_programs_are_checked),
        CHECKED(so_many_requests_wait_for_their_checks),
        T(a_job_that_is_deleted_under_a_watch_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
