/* What jobs cost: what is written follows what happens, and who waits for a person takes no place and no
 * memory. */
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

#define LARGE 900000

static const char *submit_asking(struct cluster *c, const char *data, const char *timeout_ms)
{
    return submit_flow(c, data,
                       "{'routines':[{'id':'a','type':'probe',"
                       "'config':{'do':{'in':[{'append':'seen'},{'ask':'Well?','timeout_ms':%s}],"
                       "'answer':[{'emit':'said'}]}}}]}",
                       timeout_ms);
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

/* 400 steps add 2 KB each, with a commit for each (they may have effects). A state written with every step
 * would come to 300 MB. */
static void what_is_written_follows_what_happens_not_its_square(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char *data = large_data(2000);
    long long before = proc_number(c.coordinator.pid, "io", "wchar: ");
    const char *job =
        submit_inline(&c,
                      "{'routines':[{'id':'a','type':'probe',"
                      "'config':{'do':{'in':[{'emit':'x','times':400}]}}},"
                      "{'id':'b','type':'probe_fx','config':{'do':{'in':[{'append':'seen'}]}}}],"
                      "'connections':[{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'b','slot':'in'}}]}",
                      data);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.stepCount"), "401");
    json_decref(done);
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
    char *data = large_data(LARGE);
    for (int i = 0; i < 4; i++)
        jobs[i] = submit_asking(&c, data, "0");
    for (int i = 0; i < 4; i++) {
        json_t *paused = wait_status(&c, jobs[i], "PAUSED");
        assert_string_equal(at(paused, "job.host"), "");
        assert_string_equal(at(paused, "job.epoch"), "1"); /* none was refused for want of room */
        json_decref(paused);
    }
    json_t *h = rpc(c.address, "Hosts/GetHost", "{'host_id':'a'}");
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
    char *data = large_data(LARGE);
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
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes'}", job));
    cluster_host(&c, 1, "b", NULL);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.answer"), "yes");
    json_decref(done);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_follows_what_happens_not_its_square),
        cmocka_unit_test(a_paused_job_leaves_its_place_and_its_memory_to_the_next_one_at_once),
        cmocka_unit_test(jobs_that_wait_for_a_person_are_not_loaded_at_a_restart),
        cmocka_unit_test(a_question_may_stay_open_for_months_and_outlives_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
