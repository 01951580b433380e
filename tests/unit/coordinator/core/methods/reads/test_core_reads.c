/* What clients read: GetJob, ListJobs, GetHistory, CountJobs, GetUsage, ExplainJob. */
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

/* A question with these further members of the pause, asked by the step that takes the job's first input. */
#define ASKS(more)                                                                                           \
    TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'question': 'Which?', 'slot': 'more'" more "}]"

static void only_jobs_that_are_there_are_read(void **state)
{
    (void)state;
    static const char *const methods[] = {"Jobs/GetJob",     "Jobs/GetHistory", "Jobs/WatchJob",
                                          "Jobs/ExplainJob", "Jobs/PauseJob",   "Jobs/CancelJob",
                                          "Jobs/DeleteJob"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        refuses("INVALID_ARGUMENT job_id: \"x\" is not a job id; one has 26 characters", methods[i],
                "'job_id': 'x'");
        refuses("NOT_FOUND job_id: there is no job 01HF7YAT00AW6HRSHWYKBKRK04", methods[i],
                "'job_id': '01HF7YAT00AW6HRSHWYKBKRK04'");
    }
}

static void a_read_that_the_store_fails_is_an_error(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(" ");
    static const char *const methods[] = {"Jobs/GetJob", "Jobs/GetHistory"};
    for (size_t i = 0; i < 2; i++) {
        rig.fail_reads = 1;
        refuses("UNAVAILABLE: the store is out of order", methods[i], "'job_id': '%s'", job);
    }
    static const char *const lists[] = {"Jobs/ListJobs", "Jobs/CountJobs", "Jobs/GetUsage", "Jobs/ListPauses",
                                        "Flows/ListFlows"};
    for (size_t i = 0; i < 5; i++) {
        rig.fail_reads = 1;
        refuses("UNAVAILABLE: the store is out of order", lists[i], "{}");
    }
    static const char *const flows[] = {"Flows/GetFlow", "Flows/GetFlowGraph"};
    for (size_t i = 0; i < 2; i++) {
        rig.fail_reads = 1;
        refuses("UNAVAILABLE: the store is out of order", flows[i], "'name': 'f'");
    }
}

static void pages_have_1_to_1000_entries(void **state)
{
    (void)state;
    static const char *const lists[] = {"Jobs/ListJobs", "Jobs/ListPauses", "Flows/ListFlows"};
    for (size_t i = 0; i < 3; i++) {
        refuses("INVALID_ARGUMENT page_size: page_size is 1001; the limit is 1000", lists[i],
                "'page_size': 1001");
        (void)call(lists[i], "'page_size': 1000");
    }
    put_flow_f(" ");
    const char *job = submit_f(" ");
    refuses("INVALID_ARGUMENT page_size: ", "Jobs/GetHistory", "'job_id': '%s', 'page_size': 1001", job);
    (void)call("Jobs/GetHistory", "'job_id': '%s', 'page_size': 1000", job);
    for (size_t i = 0; i < 100; i++)
        (void)submit_f(" ");
    json_t *page = call("Jobs/ListJobs", "{}"); /* 100 unless said otherwise */
    assert_int_equal(json_array_size(json_object_get(page, "jobs")), 100);
    assert_string_not_equal(at(page, "next_page_token"), "");
}

static void jobs_are_listed_by_page_newest_first(void **state)
{
    (void)state;
    const char *jobs[5], *token = "";
    put_flow_f(" ");
    for (size_t i = 0; i < 5; i++)
        jobs[i] = submit_f(" ");
    for (size_t left = 5; left > 0;) {
        json_t *page = call("Jobs/ListJobs", "'page_size': 2, 'page_token': '%s'", token);
        size_t n = json_array_size(json_object_get(page, "jobs"));
        assert_int_equal(n, left > 2 ? 2 : left);
        assert_string_equal(at(page, "jobs[0].job_id"), jobs[left - 1]);
        if (n == 2)
            assert_string_equal(at(page, "jobs[1].job_id"), jobs[left - 2]);
        left -= n;
        token = at(page, "next_page_token");
        assert_int_equal(token[0] == '\0', left == 0);
    }
    refuses("INVALID_ARGUMENT page_token: page_token is not one that ListJobs gave", "Jobs/ListJobs",
            "'page_token': 'x'");
}

static void listed_jobs_meet_every_filter(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", ",'capacity': 1");
    put_flow_f(" ");
    const char *running = submit_f(", 'labels': {'k': 'v'}"), *waiting = submit_f(", 'labels': {'k': 'w'}");
    (void)told_of(a, "assign");
    json_t *list = call("Jobs/ListJobs", "'statuses': ['JOB_STATUS_RUNNING']");
    assert_string_equal(at(list, "jobs[0].job_id"), running);
    assert_string_equal(at(list, "jobs[1]"), "");
    list = call("Jobs/ListJobs", "'statuses': ['JOB_STATUS_PENDING', 'JOB_STATUS_PAUSED']");
    assert_string_equal(at(list, "jobs[0].job_id"), waiting);
    assert_string_equal(at(list, "jobs[0].waiting_reason"), "host a: it is full (1 jobs)");
    assert_string_equal(at(list, "jobs[1]"), "");
    assert_string_equal(at(call("Jobs/ListJobs", "'host': 'a'"), "jobs[0].job_id"), running);
    assert_string_equal(at(call("Jobs/ListJobs", "'host': 'b'"), "jobs"), "");
    assert_string_equal(at(call("Jobs/ListJobs", "'flow': 'g'"), "jobs"), "");
    assert_string_equal(at(call("Jobs/ListJobs", "'flow': 'f'"), "jobs[1].job_id"), running);
    assert_string_equal(at(call("Jobs/ListJobs", "'labels': {'k': 'w'}"), "jobs[0].job_id"), waiting);
    refuses("INVALID_ARGUMENT flow: ", "Jobs/ListJobs", "'flow': 'no name'");
    refuses("INVALID_ARGUMENT host: ", "Jobs/ListJobs", "'host': 'no name'");
    refuses("INVALID_ARGUMENT statuses: status 0 is unknown", "Jobs/ListJobs", "'statuses': [0]");
    refuses("INVALID_ARGUMENT statuses: status 8 is unknown", "Jobs/ListJobs", "'statuses': [1, 8]");
    refuses("INVALID_ARGUMENT statuses: 9 statuses; there are only 7", "Jobs/ListJobs",
            "'statuses': [1, 1, 1, 1, 1, 1, 1, 1, 1]");
    (void)call("Jobs/ListJobs", "'statuses': [1, 2, 3, 4, 5, 6, 7]");
}

static void jobs_are_listed_by_when_they_were_submitted(void **state)
{
    (void)state;
    const char *jobs[3];
    put_flow_f(" ");
    for (size_t i = 0; i < 3; i++) {
        jobs[i] = submit_f(" ");
        rig_pass(1000);
    }
    long long second = RIG_WALL_MS / 1000 + 1;
    json_t *list = call("Jobs/ListJobs", "'created_after': {'seconds': %lld}", second);
    assert_string_equal(at(list, "jobs[0].job_id"), jobs[2]);
    assert_string_equal(at(list, "jobs[1].job_id"), jobs[1]);
    assert_string_equal(at(list, "jobs[2]"), "");
    assert_string_equal(at(list, "next_page_token"), "");
    list = call("Jobs/ListJobs", "'created_before': {'seconds': %lld}", second);
    assert_string_equal(at(list, "jobs[0].job_id"), jobs[0]);
    assert_string_equal(at(list, "jobs[1]"), "");
    list = call("Jobs/ListJobs", "'created_after': {'seconds': %lld, 'nanos': 1000000}", second);
    assert_string_equal(at(list, "jobs[1]"), "");
    list = call("Jobs/ListJobs",
                "'created_after': {'seconds': %lld}, 'created_before': {'seconds': %lld}, "
                "'page_token': '%s'",
                second, second + 9, jobs[2]);
    assert_string_equal(at(list, "jobs[0].job_id"), jobs[1]);
    assert_string_equal(at(list, "jobs[1]"), "");
    assert_string_equal(at(call("Jobs/ListJobs", "'created_before': {}"), "jobs"), "");
}

static void history_is_read_by_page(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', "
                                          "'slot': 'in'}]");
    host_steps(a, job, 1, 2,
               ", 'task_id': 's1.0', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'attempt': 1, "
               "'duration_us': 2000000" OUTCOME(COMPLETE));
    json_t *page = call("Jobs/GetHistory", "'job_id': '%s', 'page_size': 1", job);
    assert_int_equal(number_at(page, "steps[0].number"), 1);
    assert_string_equal(at(page, "steps[0].host"), "a");
    assert_string_equal(at(page, "steps[0].task.data"), "{'n':1.0}");
    assert_int_equal(number_at(page, "steps[0].committed_at"), RIG_WALL_MS);
    assert_int_equal(number_at(page, "steps[0].started_at"), RIG_WALL_MS);
    assert_string_equal(at(page, "steps[1]"), "");
    assert_string_equal(at(page, "next_page_token"), "1.1");
    page = call("Jobs/GetHistory", "'job_id': '%s', 'page_size': 1, 'page_token': '1.1'", job);
    assert_int_equal(number_at(page, "steps[0].number"), 2);
    assert_int_equal(number_at(page, "steps[0].started_at"), RIG_WALL_MS - 2000);
    assert_string_equal(at(page, "next_page_token"), "");
    page =
        call("Jobs/GetHistory", "'job_id': '%s', 'page_token': '2'", job); /* as an earlier version gave it */
    assert_int_equal(number_at(page, "steps[0].number"), 2);
    page = call("Jobs/GetHistory", "'job_id': '%s', 'from_step': 2", job);
    assert_int_equal(number_at(page, "steps[0].number"), 2);
    assert_string_equal(at(page, "steps[1]"), "");
    assert_string_equal(at(call("Jobs/GetHistory", "'job_id': '%s', 'from_step': 3", job), "steps"), "");
    static const char *const tokens[] = {
        "x",  "-1",  " 1",  "1x",           "0",     "4294967296", "18446744073709551616",
        "1.", "1.0", "1.x", "1.4294967296", "1.1.1", ".1"};
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
        refuses("INVALID_ARGUMENT page_token: page_token is not one that GetHistory gave", "Jobs/GetHistory",
                "'job_id': '%s', 'page_token': '%s'", job, tokens[i]);
    (void)call("Jobs/GetHistory", "'job_id': '%s', 'page_token': '4294967295'", job);
}

static void jobs_are_counted_by_status(void **state)
{
    (void)state;
    put_flow_f(" ");
    (void)submit_f(", 'labels': {'k': 'v'}");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", submit_f(" "));
    assert_string_equal(at(call("Jobs/CountJobs", "{}"), ""),
                        "{'counts':[{'count':1,'status':'JOB_STATUS_PENDING'},{'count':1,'status':"
                        "'JOB_STATUS_CANCELLED'}],'total':2}");
    assert_int_equal(number_at(call("Jobs/CountJobs", "'labels': {'k': 'v'}"), "total"), 1);
    assert_int_equal(number_at(call("Jobs/CountJobs", "'flow': 'f'"), "total"), 2);
    assert_int_equal(number_at(call("Jobs/CountJobs", "'flow': 'g'"), "total"), 0);
    assert_int_equal(number_at(call("Jobs/CountJobs", "'host': 'h'"), "total"), 0);
    refuses("INVALID_ARGUMENT flow: ", "Jobs/CountJobs", "'flow': 'no name'");
    refuses("INVALID_ARGUMENT host: ", "Jobs/CountJobs", "'host': 'no name'");
}

static void what_models_used_is_summed(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(", 'labels': {'team': 'x'}");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(COMPLETE) ", 'usage': {'input_tokens': 10, 'output_tokens': 20, "
                                          "'cached_tokens': 3, 'cost': 0.5, 'calls': 2}");
    static const char sums[] = "[{'key':'%s','usage':{'cached_tokens':3,'calls':2,'cost':0.5,'input_tokens':"
                               "10,'output_tokens':20}}]";
    char want[256];
    static const struct {
        const char *request, *key;
    } asked[] = {
        {"'group': 'USAGE_GROUP_FLOW', 'flow': 'f'",                                     "f"         },
        {"'group': 'USAGE_GROUP_LABEL', 'label_key': 'team'",                            "x"         },
        {"'group': 'USAGE_GROUP_DAY'",                                                   "2023-11-14"},
        {"'group': 'USAGE_GROUP_DAY', 'from_day': '2023-11-14', 'to_day': '2023-11-14'", "2023-11-14"},
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        snprintf(want, sizeof(want), sums, asked[i].key);
        assert_string_equal(at(call("Jobs/GetUsage", "%s", asked[i].request), "sums"), want);
    }
    assert_string_equal(at(call("Jobs/GetUsage", "{}"), "sums[0].usage.cost"), "0.5"); /* of all */
    assert_string_equal(at(call("Jobs/GetUsage", "{}"), "sums[0].key"), "");
    static const char *const others[] = {"'flow': 'g'", "'from_day': '2023-11-15'", "'to_day': '2023-11-13'"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_string_equal(at(call("Jobs/GetUsage", "%s", others[i]), "sums"), "");
    assert_string_equal(at(job_of(job), "usage"),
                        "{'cached_tokens':3,'calls':2,'cost':0.5,'input_tokens':10,'output_tokens':20}");
}

static void usage_is_asked_for_by_a_group_and_days(void **state)
{
    (void)state;
    refuses("INVALID_ARGUMENT group: group 4 is unknown", "Jobs/GetUsage", "'group': 4");
    refuses("INVALID_ARGUMENT group: group -1 is unknown", "Jobs/GetUsage", "'group': -1");
    refuses("INVALID_ARGUMENT label_key: ", "Jobs/GetUsage", "'group': 'USAGE_GROUP_LABEL'");
    refuses("INVALID_ARGUMENT label_key: ", "Jobs/GetUsage", "'label_key': 'x'");
    refuses("INVALID_ARGUMENT flow: ", "Jobs/GetUsage", "'flow': 'no name'");
    static const char *const wrong[] = {"x",          "2026-11",    "2026-11-25x", "1969-12-31",
                                        "2026-00-01", "2026-13-01", "2026-01-00",  "2026-01-32"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        refuses("INVALID_ARGUMENT from_day: ", "Jobs/GetUsage", "'from_day': '%s'", wrong[i]);
        refuses("INVALID_ARGUMENT to_day: ", "Jobs/GetUsage", "'to_day': '%s'", wrong[i]);
    }
    static const char *const right[] = {"1970-01-01", "2026-12-31", "2024-02-29"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        (void)call("Jobs/GetUsage", "'from_day': '%s', 'to_day': '%s'", right[i], right[i]);
}

/* ---- ExplainJob ---- */

static json_t *explain(const char *job)
{
    return call("Jobs/ExplainJob", "'job_id': '%s'", job);
}

static void a_waiting_job_says_what_no_host_has(void **state)
{
    (void)state;
    put_flow_f(", 'deadline_ms': 60000");
    const char *job = submit_f(" ");
    json_t *r = explain(job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PENDING");
    assert_string_equal(at(r, "summary"), "It waits for a host: no host is connected");
    assert_string_equal(at(r, "waits_for[0].kind"), "deadline");
    assert_string_equal(at(r, "waits_for[0].text"), "then it fails");
    assert_int_equal(number_at(r, "waits_for[0].at"), RIG_WALL_MS + 60000);
    assert_string_equal(at(r, "waits_for[1].kind"), "host");
    assert_string_equal(at(r, "waits_for[1].text"), "a host that fits; see hosts");
    assert_int_equal(number_at(r, "waits_for[1].at"), RIG_WALL_MS);
    assert_string_equal(at(r, "waits_for[2]"), "");
    assert_string_equal(at(r, "hosts"), "");
}

static void a_running_job_says_where(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    (void)host_joins("b", ",'labels': {'x': 'y'}");
    json_t *r = explain(job);
    assert_string_equal(at(r, "summary"), "It runs on host a.");
    assert_string_equal(
        at(r, "waits_for"),
        "[{'at':1700000000000,'kind':'step','text':'host a, which has it under epoch 1, to finish the "
        "step in hand'}]");
    assert_string_equal(at(r, "hosts"), "[{'fits':true,'host_id':'a','reason':'it has the job'},"
                                        "{'fits':true,'host_id':'b','reason':'it fits'}]");
    (void)begin("Jobs/PauseJob", "'job_id': '%s'", job);
    host_breaks(a);
    r = explain(job);
    assert_string_equal(
        at(r, "waits_for[0].text"),
        "host a, which has it under epoch 1, to finish the step in hand; the host is silent, its lease "
        "decides; a pause is requested");
}

static void every_host_says_why_it_does_not_fit(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(", 'placement': {'labels': {'zone': 'z'}}");
    const char *named = submit_f(", 'placement': {'host': 'q'}");
    uint64_t b = host_joins("b", ",'labels': {'zone': 'y', 'other': 'z'}");
    (void)host_joins("c", ",'labels': {'zone': 'z'}, 'draining': true");
    assert_string_equal(at(explain(job), "hosts"), "[{'host_id':'b','reason':'it lacks a wanted label'},"
                                                   "{'host_id':'c','reason':'it takes no new work'}]");
    assert_string_equal(at(explain(job), "summary"),
                        "It waits for a host: host b: it lacks a wanted label; host c: it takes no new work");
    assert_string_equal(at(explain(named), "hosts[0].reason"), "it is not the wanted host q");
    (void)call("Flows/PutFlow", "'flow': {'name': 'g', 'routines': [{'id': 'r', 'type': 'u'}]}");
    json_t *r = call("Jobs/SubmitJob", "'flow': 'g', 'entry': {'routine': 'r', 'slot': 'in'}");
    assert_string_equal(at(explain(at(r, "job_id")), "hosts[0].reason"),
                        "it does not offer routine type \"u\"");
    assert_string_equal(
        at(explain(at(r, "job_id")), "summary"),
        "It waits for a host: no connected host offers routine type \"u\"; host b: it does not offer "
        "routine type \"u\"; host c: it does not offer routine type \"u\"");
    host_breaks(b);
    assert_string_equal(at(explain(submit_f(" ")), "hosts[0].reason"), "it is silent");
}

static void a_paused_job_says_who_can_end_that(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, ASKS(", 'timeout_ms': 5000, 'default_answer': 1"));
    json_t *r = explain(job);
    assert_string_equal(at(r, "summary"), "It is paused: 1 open.");
    assert_string_equal(
        at(r, "waits_for"),
        "[{'at':1700000000000,'kind':'question','text':'routine r asks \\'Which?\\'; ResumeJob with "
        "pause_id p1.0 answers it'},{'at':1700000005000,'kind':'timer','text':'then question p1.0 "
        "closes with its default answer'}]");
    (void)call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'eve', 'ttl_ms': 1000", job);
    assert_string_equal(at(explain(job), "waits_for[0].text"),
                        "routine r asks \"Which?\"; ResumeJob with pause_id p1.0 answers it; claimed by eve");
    rig_pass(1000);
    assert_string_equal(at(explain(job), "waits_for[0].text"),
                        "routine r asks \"Which?\"; ResumeJob with pause_id p1.0 answers it");
    const char *id = at(call("Jobs/PauseJob", "'job_id': '%s'", job), "pause_id");
    char want[128];
    snprintf(want, sizeof(want), "an operator paused it; ResumeJob with pause_id %s lets it go on", id);
    assert_string_equal(at(explain(job), "waits_for[2].text"), want);
    assert_string_equal(at(explain(job), "waits_for[2].kind"), "operator");
    assert_string_equal(at(explain(job), "summary"), "It is paused: 2 open.");
}

static void a_job_that_has_ended_says_how(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *done = submit_f(" "), *failed = submit_f(" "), *cancelled = submit_f(" "),
               *sleeping = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, done, 1, 1, TAKES_I1 OUTCOME(COMPLETE));
    host_steps(a, failed, 1, 1,
               TAKES_I1 OUTCOME(FAIL) ", 'error': {'code': 'INTERNAL', 'message': 'broken'}");
    (void)call("Jobs/CancelJob", "'job_id': '%s', 'reason': 'no more'", cancelled);
    host_steps(a, sleeping, 1, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', "
                                          "'slot': 'in', 'delay_ms': 60000}]");
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_SLEEPING'}",
              sleeping);
    assert_string_equal(at(explain(done), "summary"), "Its last task was consumed.");
    assert_string_equal(at(explain(failed), "summary"),
                        "It failed: broken. ResumeJob lets it go on from the task that failed.");
    assert_string_equal(at(explain(cancelled), "summary"), "It was cancelled: no more");
    assert_string_equal(at(explain(done), "waits_for"), "");
    assert_string_equal(at(explain(done), "hosts"), "");
    json_t *r = explain(sleeping);
    assert_string_equal(at(r, "status"), "JOB_STATUS_SLEEPING");
    assert_string_equal(at(r, "summary"), "It sleeps until a timer is due.");
    assert_string_equal(at(r, "waits_for[0].text"), "then its next task is due");
    assert_string_equal(at(r, "waits_for[0].kind"), "timer");
    assert_int_equal(number_at(r, "waits_for[0].at"), RIG_WALL_MS + 60000);
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

static void times_that_are_none_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const fields[] = {"created_after", "created_before"};
    static const char *const times[] = {"{'seconds': 9223372036854775807}",
                                        "{'seconds': -9223372036854775807}",
                                        "{'seconds': 9223372036854776}",
                                        "{'seconds': 253402300800}",
                                        "{'seconds': -62135596801}",
                                        "{'nanos': -1}",
                                        "{'nanos': 1000000000}"};
    for (size_t f = 0; f < 2; f++) {
        char begins[64];
        snprintf(begins, sizeof(begins), "INVALID_ARGUMENT %s: %s is ", fields[f], fields[f]);
        for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
            refuses(begins, "Jobs/ListJobs", "'%s': %s", fields[f], times[i]);
        (void)call("Jobs/ListJobs", "'%s': {'seconds': 253402300799, 'nanos': 999999999}", fields[f]);
        (void)call("Jobs/ListJobs", "'%s': {'seconds': -62135596800}", fields[f]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(only_jobs_that_are_there_are_read),
        T(a_read_that_the_store_fails_is_an_error),
        T(pages_have_1_to_1000_entries),
        T(jobs_are_listed_by_page_newest_first),
        T(listed_jobs_meet_every_filter),
        T(jobs_are_listed_by_when_they_were_submitted),
        T(history_is_read_by_page),
        T(jobs_are_counted_by_status),
        T(what_models_used_is_summed),
        T(usage_is_asked_for_by_a_group_and_days),
        T(a_waiting_job_says_what_no_host_has),
        T(a_running_job_says_where),
        T(every_host_says_why_it_does_not_fit),
        T(a_paused_job_says_who_can_end_that),
        T(a_job_that_has_ended_says_how),
        T(times_that_are_none_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
