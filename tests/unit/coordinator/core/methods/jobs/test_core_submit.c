/* SubmitJob and the flows it takes: what is refused, what a new job is, what a repeated call does. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define ENTRY "'entry': {'routine': 'r', 'slot': 'in'}"
#define INLINE "'inline_flow': {'name': 'x', 'routines': [{'id': 'r', 'type': 't'}]}"

/* So many characters. */
static const char *long_text(size_t n)
{
    static char text[70000];
    assert_true(n < sizeof(text));
    memset(text, 'x', n);
    text[n] = '\0';
    return text;
}

static void a_submit_names_one_flow_and_an_entry(void **state)
{
    (void)state;
    put_flow_f(" ");
    refuses("INVALID_ARGUMENT flow: name a stored flow", "Jobs/SubmitJob", ENTRY);
    refuses("INVALID_ARGUMENT inline_flow: flow and inline_flow", "Jobs/SubmitJob",
            "'flow': 'f'," INLINE "," ENTRY);
    refuses("INVALID_ARGUMENT flow: ", "Jobs/SubmitJob", "'flow': 'no name'," ENTRY);
    refuses("INVALID_ARGUMENT entry: entry is missing", "Jobs/SubmitJob", "'flow': 'f'");
    refuses("INVALID_ARGUMENT entry.routine: ", "Jobs/SubmitJob", "'flow': 'f', 'entry': {'slot': 'in'}");
    refuses("INVALID_ARGUMENT entry.slot: ", "Jobs/SubmitJob", "'flow': 'f', 'entry': {'routine': 'r'}");
    refuses("NOT_FOUND flow: there is no flow \"g\"", "Jobs/SubmitJob", "'flow': 'g'," ENTRY);
    refuses("NOT_FOUND flow: there is no flow \"f\" of this version", "Jobs/SubmitJob",
            "'flow': 'f', 'flow_version': 2," ENTRY);
    refuses("INVALID_ARGUMENT entry", "Jobs/SubmitJob",
            "'flow': 'f', 'entry': {'routine': 'q', 'slot': 'in'}");
    refuses("INVALID_ARGUMENT entry", "Jobs/SubmitJob", INLINE ", 'entry': {'routine': 'q', 'slot': 'in'}");
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 0);
}

static void limits_of_a_submit_are_included(void **state)
{
    (void)state;
    put_flow_f(" ");
    refuses("INVALID_ARGUMENT priority: priority is 1001; -1000 to 1000", "Jobs/SubmitJob",
            "'flow': 'f', 'priority': 1001," ENTRY);
    refuses("INVALID_ARGUMENT priority: priority is -1001", "Jobs/SubmitJob",
            "'flow': 'f', 'priority': -1001," ENTRY);
    assert_int_equal(number_at(job_of(submit_f(", 'priority': 1000")), "priority"), 1000);
    assert_int_equal(number_at(job_of(submit_f(", 'priority': -1000")), "priority"), -1000);
    refuses("INVALID_ARGUMENT request_id: request_id has 129 bytes", "Jobs/SubmitJob",
            "'flow': 'f', 'request_id': '%s'," ENTRY, long_text(129));
    (void)submit_f(", 'request_id': '%s'", long_text(128));
    refuses("INVALID_ARGUMENT labels: label", "Jobs/SubmitJob", "'flow': 'f', 'labels': {'': 'x'}," ENTRY);
    refuses("INVALID_ARGUMENT labels: label", "Jobs/SubmitJob", "'flow': 'f', 'labels': {'%s': 'x'}," ENTRY,
            long_text(257));
    refuses("INVALID_ARGUMENT labels: label", "Jobs/SubmitJob", "'flow': 'f', 'labels': {'x': '%s'}," ENTRY,
            long_text(257));
    (void)submit_f(", 'labels': {'%s': ''}", long_text(256));
    (void)submit_f(", 'labels': {'x': '%s'}", long_text(256));
}

static const char *labels(size_t n)
{
    static char text[4096];
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s'k%zu': 'v'", i > 0 ? "," : "", i);
    return text;
}

static void there_are_at_most_64_labels(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(", 'labels': {%s}, 'placement': {'labels': {%s}}", labels(64), labels(64));
    assert_string_equal(at(job_of(job), "labels.k63"), "v");
    assert_string_equal(at(job_of(job), "placement.labels.k63"), "v");
    refuses("INVALID_ARGUMENT labels: 65 labels; the limit is 64", "Jobs/SubmitJob",
            "'flow': 'f', 'labels': {%s}," ENTRY, labels(65));
    refuses("INVALID_ARGUMENT placement.labels: 65 labels", "Jobs/SubmitJob",
            "'flow': 'f', 'placement': {'labels': {%s}}," ENTRY, labels(65));
    refuses("INVALID_ARGUMENT labels: 65 labels", "Jobs/ListJobs", "'labels': {%s}", labels(65));
    refuses("INVALID_ARGUMENT labels: 65 labels", "Jobs/CountJobs", "'labels': {%s}", labels(65));
    refuses("INVALID_ARGUMENT labels: 65 labels", "Jobs/ListPauses", "'labels': {%s}", labels(65));
    assert_int_equal(number_at(call("Jobs/CountJobs", "'labels': {%s}", labels(64)), "total"), 1);
    assert_string_equal(at(call("Jobs/ListJobs", "'labels': {%s}", labels(64)), "jobs[0].job_id"), job);
    (void)call("Jobs/ListPauses", "'labels': {%s}", labels(64));
}

static void breakpoints_may_come_with_the_submit(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(", 'breakpoints': [{'routine': 'r', 'condition': '.n'}]");
    assert_string_equal(at(told_of(a, "assign"), "breakpoints"), "[{'condition':'.n','routine':'r'}]");
    assert_string_equal(at(job_of(job), "breakpoints"), "[{'condition':'.n','routine':'r'}]");
    refuses("INVALID_ARGUMENT breakpoints[1].routine: ", "Jobs/SubmitJob",
            "'flow': 'f', 'breakpoints': [{'routine': '*'}, {'routine': 'q'}]," ENTRY);
    refuses("INVALID_ARGUMENT breakpoints[0].slot: ", "Jobs/SubmitJob",
            "'flow': 'f', 'breakpoints': [{'routine': 'r', 'slot': 'no slot'}]," ENTRY);
}

static void placements_are_checked(void **state)
{
    (void)state;
    put_flow_f(" ");
    refuses("INVALID_ARGUMENT placement.mode: placement.mode 4 is unknown", "Jobs/SubmitJob",
            "'flow': 'f', 'placement': {'mode': 4}," ENTRY);
    refuses("INVALID_ARGUMENT placement.mode: placement.mode -1 is unknown", "Jobs/SubmitJob",
            "'flow': 'f', 'placement': {'mode': -1}," ENTRY);
    refuses("INVALID_ARGUMENT placement.host: ", "Jobs/SubmitJob",
            "'flow': 'f', 'placement': {'host': 'no host'}," ENTRY);
    refuses("INVALID_ARGUMENT placement.labels: label", "Jobs/SubmitJob",
            "'flow': 'f', 'placement': {'labels': {'': 'x'}}," ENTRY);
    const char *job = submit_f(", 'placement': {'mode': 3, 'host': 'h-1', 'labels': {'a': 'b'}}");
    assert_string_equal(at(job_of(job), "placement"),
                        "{'host':'h-1','labels':{'a':'b'},'mode':'PLACEMENT_MODE_SAME_HOST'}");
}

static void a_new_job_is_what_was_submitted(void **state)
{
    (void)state;
    put_flow_f(", 'deadline_ms': 5500");
    const char *id = submit_f(", 'labels': {'a': '1', 'b': '2'}, 'shared_data': {'s': true}, 'priority': 3");
    json_t *job = job_of(id);
    assert_string_equal(at(job, "job_id"), id);
    assert_string_equal(at(job, "status"), "JOB_STATUS_PENDING");
    assert_string_equal(at(job, "flow"), "f");
    assert_int_equal(number_at(job, "flow_version"), 1);
    assert_string_equal(at(job, "labels"), "{'a':'1','b':'2'}");
    assert_int_equal(number_at(job, "created_at"), RIG_WALL_MS);
    assert_int_equal(number_at(job, "updated_at"), RIG_WALL_MS);
    assert_int_equal(number_at(job, "deadline_at"), RIG_WALL_MS + 5500);
    assert_int_equal(number_at(job, "input_count"), 1);
    assert_int_equal(number_at(job, "revision"), 1);
    assert_string_equal(at(job, "state.shared_data"), "{'s':true}");
    json_t *task = json_array_get(json_object_get(json_object_get(job, "state"), "pending_tasks"), 0);
    assert_string_equal(at(task, "task_id"), "i1");
    assert_string_equal(at(task, "routine"), "r");
    assert_string_equal(at(task, "slot"), "in");
    assert_string_equal(at(task, "data"), "{'n':1.0}");
    assert_int_equal(number_at(task, "input_number"), 1);
    assert_int_equal(number_at(task, "received_at"), RIG_WALL_MS);
    assert_string_equal(at(task, "initial_shared_data"), "{'s':true}");
    assert_string_equal(at(job, "waiting_reason"), "no host is connected");
    assert_string_equal(at(call("Jobs/GetJob", "'job_id': '%s', 'without_state': true", id), "job.state"),
                        "");
}

static void a_job_without_data_deadline_and_shared_data_has_none(void **state)
{
    (void)state;
    json_t *r = call("Jobs/SubmitJob", INLINE "," ENTRY);
    json_t *job = job_of(at(r, "job_id"));
    assert_string_equal(at(job, "flow"), "x");
    assert_int_equal(number_at(job, "flow_version"), 0);
    assert_string_equal(at(job, "deadline_at"), "");
    assert_string_equal(at(job, "state.shared_data"), "");
    assert_string_equal(at(job, "state.pending_tasks[0].data"), "{}");
    assert_string_equal(at(job, "state.pending_tasks[0].initial_shared_data"), "");
    assert_string_equal(at(job, "labels"), "");
}

static void a_repeated_submit_has_its_effect_once(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(", 'request_id': 'q'");
    assert_string_equal(submit_f(", 'request_id': 'q'"), job);
    rig_restart();
    assert_string_equal(submit_f(", 'request_id': 'q'"), job);
    refuses("ALREADY_EXISTS request_id: ", "Jobs/SubmitJob",
            "'flow': 'f', 'request_id': 'q', 'data': {'n': 2}," ENTRY);
    assert_string_not_equal(submit_f(" "), submit_f(" "));
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 3);
}

static void a_submit_is_answered_when_it_is_on_disk(void **state)
{
    (void)state;
    put_flow_f(" ");
    (void)submit_f(" ");
    rig.hold = true;
    uint64_t ticket = begin("Jobs/SubmitJob", "'flow': 'f'," ENTRY);
    rig_settle();
    assert_null(answer_of(ticket));
    assert_false(core_idle(rig.core));
    rig.fail_units = 1;
    rig.fail_with = FM_RESOURCE_EXHAUSTED;
    rig.hold = false;
    rig_settle();
    assert_string_equal(error_of(ticket), "RESOURCE_EXHAUSTED: the store is out of order");
    assert_int_equal(number_at(call("Jobs/CountJobs", "{}"), "total"), 1);
    assert_true(core_idle(rig.core));
}

static void a_flow_in_memory_is_not_read_again(void **state)
{
    (void)state;
    put_flow_f(" ");
    (void)submit_f(" ");
    rig.fail_reads = 1;
    (void)submit_f(" ");
    (void)submit_f(", 'flow_version': 1");
    assert_int_equal(rig.fail_reads, 1);
}

static void a_store_that_cannot_be_read_fails_the_submit(void **state)
{
    (void)state;
    put_flow_f(" ");
    rig_restart();
    rig.fail_reads = 1;
    refuses("UNAVAILABLE: the store is out of order", "Jobs/SubmitJob", "'flow': 'f'," ENTRY);
    (void)submit_f(" ");
}

/* ---- admission ---- */

static void a_coordinator_with_too_many_waiting_jobs_takes_no_more(void **state)
{
    (void)state;
    rig.config.max_waiting_jobs = 2;
    rig_restart();
    put_flow_f(" ");
    const char *first = submit_f(" ");
    (void)submit_f(" ");
    refuses("RESOURCE_EXHAUSTED: 2 jobs wait for a host; the limit is 2", "Jobs/SubmitJob",
            "'flow': 'f'," ENTRY);
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", first);
    (void)call("Jobs/CancelJob", "'job_id': '%s'", first);
    (void)submit_f(" ");
}

static void a_coordinator_with_too_large_jobs_takes_no_more_data(void **state)
{
    (void)state;
    rig.config.max_active_bytes = 20000;
    rig_restart();
    put_flow_f(" ");
    const char *job =
        at(call("Jobs/SubmitJob", "'flow': 'f', 'data': {'n': '%s'}," ENTRY, long_text(21000)), "job_id");
    refuses("RESOURCE_EXHAUSTED: active jobs and waiting requests take ", "Jobs/SubmitJob",
            "'flow': 'f'," ENTRY);
    refuses("RESOURCE_EXHAUSTED: active jobs", "Jobs/SendInput",
            "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job); /* what makes room is taken */
    (void)submit_f(" ");
}

static void a_job_takes_inputs_until_its_state_is_full(void **state)
{
    (void)state;
    rig.config.max_state_bytes = 5000;
    rig_restart();
    put_flow_f(" ");
    const char *job = submit_f(" ");
    assert_int_equal(
        number_at(call("Jobs/SendInput",
                       "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'x': '%s'}", job,
                       long_text(3000)),
                  "input_number"),
        2);
    refuses("RESOURCE_EXHAUSTED data: the state of job ", "Jobs/SendInput",
            "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'x': '%s'}", job,
            long_text(3000));
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    assert_int_equal(number_at(job_of(job), "input_count"), 3);
}

static void a_coordinator_that_starts_or_stops_refuses(void **state)
{
    (void)state;
    put_flow_f(" ");
    rig.hold_reads = true;
    rig_restart();
    assert_false(rig.recovered);
    refuses("UNAVAILABLE: the coordinator is starting", "Jobs/SubmitJob", "'flow': 'f'," ENTRY);
    rig.hold_reads = false;
    rig_settle();
    assert_true(rig.recovered);
    const char *job = submit_f(" ");
    uint64_t a = host_joins("a", " "), watch = begin("Jobs/WatchJob", "'job_id': '%s'", job);
    rig_settle();
    core_stop(rig.core);
    core_stop(rig.core);
    rig_settle();
    refuses("UNAVAILABLE: the coordinator is stopping", "Jobs/ListJobs", "{}");
    assert_string_equal(error_of(watch), "UNAVAILABLE: the coordinator is stopping");
    assert_string_equal(closed(a), "UNAVAILABLE: the coordinator is stopping");
    assert_non_null(closed(host_opens("'heartbeat': {}")));
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_submit_names_one_flow_and_an_entry),
        T(limits_of_a_submit_are_included),
        T(there_are_at_most_64_labels),
        T(breakpoints_may_come_with_the_submit),
        T(placements_are_checked),
        T(a_new_job_is_what_was_submitted),
        T(a_job_without_data_deadline_and_shared_data_has_none),
        T(a_repeated_submit_has_its_effect_once),
        T(a_submit_is_answered_when_it_is_on_disk),
        T(a_flow_in_memory_is_not_read_again),
        T(a_store_that_cannot_be_read_fails_the_submit),
        T(a_coordinator_with_too_many_waiting_jobs_takes_no_more),
        T(a_coordinator_with_too_large_jobs_takes_no_more_data),
        T(a_job_takes_inputs_until_its_state_is_full),
        T(a_coordinator_that_starts_or_stops_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
