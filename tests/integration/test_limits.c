/* Limits are met where data enter, and by the job that is too large alone; what is stored and what is kept in
 * memory follow what happens. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <time.h>

#include <cmocka.h>

#include "cluster.h"
#include "json_text.h"

/* clang-format would take the JSON for C. */
/* clang-format off */

#define LARGE 900000

/* {"x": "xx…"} for free(). */
static char *data_of(size_t bytes)
{
    char *x = calloc(1, bytes + 1), *data = NULL;
    assert_non_null(x);
    memset(x, 'x', bytes);
    assert_true(asprintf(&data, J({"x" : "%s"}), x) > 0);
    free(x);
    return data;
}

/* The job without its state, which may be too large for grpcurl. */
static json_t *wait_bare(struct cluster *c, const char *job, const char *status, const char *steps)
{
    char want[64];
    snprintf(want, sizeof(want), "JOB_STATUS_%s", status);
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = rpc(c->address, "Jobs/GetJob", J({"job_id" : "%s", "without_state" : true}), job);
        if (strcmp(at(j, "job.status"), want) == 0 && strcmp(at(j, "job.stepCount"), steps) == 0)
            return j;
        if (test_now_ms() > until)
            fail_msg("%s with %s steps wanted, but %s with %s: %s", want, steps, at(j, "job.status"), at(j, "job.stepCount"), at(j, "job.error.message"));
        json_decref(j);
        test_pause(until, want);
    }
}

static void a_step_that_is_too_large_fails_alone_and_is_not_tried_again(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char *data = data_of(LARGE);
    /* Ten copies are more than the 8 MiB of a step, whoever tries. */
    static const char flow[] = J({
        "routines" : [
            {"id" : "a", "type" : "probe", "config" : {"do" : {"in" : [ {"emit" : "x", "times" : 10} ]}}, "policy" : {"retry" : {"max_attempts" : 5, "initial_delay_ms" : 1}}},
            {"id" : "b", "type" : "probe", "config" : {"do" : {"in" : [ {"count" : "n"} ]}}}
        ],
        "connections" : [ {"from" : {"routine" : "a", "event" : "x"}, "to" : {"routine" : "b", "slot" : "in"}} ]
    });
    const char *large = submit_inline(&c, flow, data), *small = submit_inline(&c, flow, J({"x" : "y"}));
    json_t *failed = wait_bare(&c, large, "FAILED", "1");
    assert_string_equal(at(failed, "job.error.code"), "RESOURCE_EXHAUSTED");
    assert_non_null(strstr(at(failed, "job.error.message"), "8388608"));
    json_decref(failed);
    json_decref(wait_bare(&c, small, "COMPLETED", "11"));
    free(data);
    cluster_done(&c);
}

static void send_more(struct cluster *c, const char *job, const char *data)
{
    json_decref(rpc(c->address, "Jobs/SendInput", J({"job_id" : "%s", "to" : {"routine" : "a", "slot" : "more"}, "data" : %s}), job, data));
}

/* What is accepted meets no tighter limit on its way: 15 MB of state go to another host and come back; only what goes beyond 16 MiB fails, and only its job. */
static void a_state_up_to_the_limit_moves_between_hosts_and_one_beyond_it_fails_its_job_only(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    char *data = data_of(LARGE);
    const char *job = submit_inline(
        &c,
        J({
            "routines" : [
                {"id" : "a", "type" : "probe", "config" : {"do" : {"in" : [ {"schedule" : "late", "ms" : 3600000}, {"emit" : "x", "times" : 8} ], "more" : [ {"emit" : "x", "times" : 8} ]}}},
                {"id" : "b", "type" : "probe", "config" : {"do" : {"in" : [ {"append" : "seen"} ]}}}
            ],
            "connections" : [ {"from" : {"routine" : "a", "event" : "x"}, "to" : {"routine" : "b", "slot" : "in"}} ]
        }),
        data);
    static const char *const steps[] = {"9", "18"};
    for (int i = 0; i < 2; i++) { /* 8 MB are moved, then 15 MB */
        json_t *asleep = wait_bare(&c, job, "SLEEPING", steps[i]);
        int last = cluster_host_index(at(asleep, "job.lastHost"));
        const char *ids[] = {"a", "b"};
        json_decref(asleep);
        proc_stop(&c.hosts[last]);
        send_more(&c, job, data);
        asleep = i == 0 ? wait_bare(&c, job, "SLEEPING", steps[1]) : wait_bare(&c, job, "FAILED", steps[1]);
        assert_int_equal(cluster_host_index(at(asleep, "job.lastHost")), 1 - last);
        if (i == 1) {
            assert_string_equal(at(asleep, "job.error.code"), "RESOURCE_EXHAUSTED");
            assert_non_null(strstr(at(asleep, "job.error.message"), "16777216"));
        }
        json_decref(asleep);
        cluster_host(&c, last, ids[last], NULL);
    }
    put_trip(&c, "\"ask\":false");
    json_decref(wait_status(&c, submit_trip(&c, "t"), "COMPLETED"));
    free(data);
    cluster_done(&c);
}

/* 3 million elements in 12 MB: ten times what any one request may have. */
static void a_state_of_many_small_elements_goes_to_a_host_like_any_other(void **state)
{
    (void)state;
    enum { ELEMENTS = 145000, INPUTS = 21 };
    struct cluster c;
    char *data = calloc(1, 5 * ELEMENTS + 64), *p = data;
    assert_non_null(data);
    cluster_start_probes(&c, 1);
    p += sprintf(p, "{\"x\":[");
    for (int i = 0; i < ELEMENTS; i++, p += 5)
        memcpy(p, "null,", 5);
    memcpy(p - 1, "]}", 3);
    const char *job = submit_inline(&c, J({"routines" : [ {"id" : "a", "type" : "probe", "config" : {"do" : {"in" : [ {"schedule" : "late", "ms" : 3600000} ], "more" : [ {"append" : "seen"} ]}}} ]}), "{}");
    json_decref(wait_bare(&c, job, "SLEEPING", "1"));
    for (int i = 0; i < INPUTS; i++) { /* with each the job is given to the host anew, with all that it has */
        char steps[8];
        snprintf(steps, sizeof(steps), "%d", i + 2);
        send_more(&c, job, data);
        json_decref(wait_bare(&c, job, "SLEEPING", steps));
    }
    free(data);
    cluster_done(&c);
}

static const char *submit_asking(struct cluster *c, const char *data, const char *timeout_ms)
{
    char *flow = NULL;
    assert_true(asprintf(&flow, J({"routines" : [ {"id" : "a", "type" : "probe", "config" : {"do" : {
                    "in" : [ {"append" : "seen"}, {"ask" : "Well?", "timeout_ms" : %s} ], "answer" : [ {"emit" : "said"} ]}}} ]}), timeout_ms) > 0);
    const char *job = submit_inline(c, flow, data);
    free(flow);
    return job;
}

/* What is accepted while a job waits can be handed over when it goes on. */
static void inputs_that_a_job_could_not_hold_are_refused_at_the_door_and_it_goes_on_with_the_others(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char *data = data_of(LARGE), steps[8], *error = NULL;
    const char *job = submit_asking(&c, "{}", "0");
    json_decref(wait_status(&c, job, "PAUSED"));
    for (int i = 0; i < 18; i++) /* 16.2 MB of 16.8 */
        send_more(&c, job, data);
    error = rpc_fails(c.address, "Jobs/SendInput", "ResourceExhausted", J({"job_id" : "%s", "to" : {"routine" : "a", "slot" : "more"}, "data" : %s}), job, data);
    if (strstr(error, "the limit is 16777216") == NULL || strstr(error, "\"field\": \"data\"") == NULL)
        fail_msg("field and limit wanted, but: %s", error);
    free(error);
    json_decref(rpc(c.address, "Jobs/ResumeJob", J({"job_id" : "%s", "answer" : "yes"}), job));
    snprintf(steps, sizeof(steps), "%d", 1 + 18 + 1);
    json_decref(wait_bare(&c, job, "COMPLETED", steps));
    free(data);
    cluster_done(&c);
}

/* The number behind a key of a file in /proc/<pid>. */
static long long proc_number(pid_t pid, const char *file, const char *key)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    char *text = file_text(path), *p = strstr(text, key);
    assert_non_null(p);
    long long n = strtoll(p + strlen(key), NULL, 10);
    free(text);
    return n;
}

/* 400 steps add 2 KB each, with a commit for each (they may have effects). A state written with every step would come to 300 MB. */
static void what_is_written_follows_what_happens_not_its_square(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char *data = data_of(2000);
    long long before = proc_number(c.coordinator.pid, "io", "wchar: ");
    const char *job = submit_inline(
        &c,
        J({
            "routines" : [
                {"id" : "a", "type" : "probe", "config" : {"do" : {"in" : [ {"emit" : "x", "times" : 400} ]}}},
                {"id" : "b", "type" : "probe_fx", "config" : {"do" : {"in" : [ {"append" : "seen"} ]}}}
            ],
            "connections" : [ {"from" : {"routine" : "a", "event" : "x"}, "to" : {"routine" : "b", "slot" : "in"}} ]
        }),
        data);
    json_decref(wait_bare(&c, job, "COMPLETED", "401"));
    long long written = proc_number(c.coordinator.pid, "io", "wchar: ") - before;
    if (written > 50000000)
        fail_msg("%lld bytes were written for 400 steps of 4 KB", written);
    free(data);
    cluster_done(&c);
}

/* A host that takes one job at a time, and 1 MiB of data. */
static void a_paused_job_leaves_its_place_and_its_memory_to_the_next_one_at_once(void **state)
{
    (void)state;
    struct cluster c;
    const char *jobs[4], *more[] = {"--capacity", "1", "--inbox-mib", "1", NULL};
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", more);
    char *data = data_of(LARGE);
    for (int i = 0; i < 4; i++)
        jobs[i] = submit_asking(&c, data, "0");
    for (int i = 0; i < 4; i++) {
        json_t *paused = wait_status(&c, jobs[i], "PAUSED");
        assert_string_equal(at(paused, "job.host"), "");
        assert_string_equal(at(paused, "job.epoch"), "1"); /* none was refused for want of room */
        json_decref(paused);
    }
    json_t *h = rpc(c.address, "Hosts/GetHost", J({"host_id" : "a"}));
    assert_string_equal(at(h, "host.jobCount"), "");
    assert_null(json_at(h, "jobIds[0]"));
    json_decref(h);
    free(data);
    cluster_done(&c);
}

static long long peak_of_start(struct cluster *c)
{
    cluster_coordinator(c, NULL);
    long long peak = proc_number(c->coordinator.pid, "status", "VmHWM:");
    proc_stop(&c->coordinator);
    return peak;
}

/* 40 MB of states wait for answers. */
static void jobs_that_wait_for_a_person_are_not_loaded_at_a_restart(void **state)
{
    (void)state;
    enum { JOBS = 45 };
    struct cluster c;
    const char *jobs[JOBS];
    cluster_init(&c);
    c.probes = true;
    long long empty = peak_of_start(&c);
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    char *data = data_of(LARGE);
    for (int i = 0; i < JOBS; i++)
        jobs[i] = submit_asking(&c, data, "0");
    for (int i = 0; i < JOBS; i++)
        json_decref(wait_status(&c, jobs[i], "PAUSED"));
    proc_stop(&c.hosts[0]);
    proc_stop(&c.coordinator);
    long long full = peak_of_start(&c);
    if (full - empty > 12000)
        fail_msg("%lld KiB at a start without jobs, %lld with %d that are paused", empty, full, JOBS);
    free(data);
    cluster_done(&c);
}

static time_t time_of(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &tm));
    return timegm(&tm);
}

static void a_question_may_stay_open_for_months_and_outlives_everybody(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_asking(&c, "{}", "15552000000"); /* 180 days */
    json_t *paused = wait_status(&c, job, "PAUSED");
    time_t asked = time_of(at(paused, "job.pauses[0].at"));
    assert_in_range(time_of(at(paused, "job.pauses[0].expiresAt")) - asked, 180 * 86400 - 1, 180 * 86400 + 1);
    json_decref(paused);
    const char *longer = submit_asking(&c, "{}", "1e12"); /* 31 years */
    json_t *failed = wait_status(&c, longer, "FAILED");
    assert_non_null(strstr(at(failed, "job.error.message"), "316224000000"));
    json_decref(failed);
    proc_stop(&c.hosts[0]);
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    json_decref(rpc(c.address, "Jobs/ResumeJob", J({"job_id" : "%s", "answer" : "yes"}), job));
    cluster_host(&c, 1, "b", NULL);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.answer"), "yes");
    json_decref(done);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_that_is_too_large_fails_alone_and_is_not_tried_again),
        cmocka_unit_test(a_state_up_to_the_limit_moves_between_hosts_and_one_beyond_it_fails_its_job_only),
        cmocka_unit_test(a_state_of_many_small_elements_goes_to_a_host_like_any_other),
        cmocka_unit_test(inputs_that_a_job_could_not_hold_are_refused_at_the_door_and_it_goes_on_with_the_others),
        cmocka_unit_test(what_is_written_follows_what_happens_not_its_square),
        cmocka_unit_test(a_paused_job_leaves_its_place_and_its_memory_to_the_next_one_at_once),
        cmocka_unit_test(jobs_that_wait_for_a_person_are_not_loaded_at_a_restart),
        cmocka_unit_test(a_question_may_stay_open_for_months_and_outlives_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
