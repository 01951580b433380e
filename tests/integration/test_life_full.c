/* What happens when a daemon is full: it refuses in words and says when to try again, and goes on. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <signal.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

static void expect_retry_hint(char *err, const char *text)
{
    if (strstr(err, text) == NULL || strstr(err, "google.rpc.RetryInfo") == NULL ||
        strstr(err, "retryDelay") == NULL)
        fail_msg("\"%s\" and a hint when to try again wanted, but: %s", text, err);
    free(err);
}

static void more_jobs_than_may_wait_are_refused_until_there_is_room(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    const char *more[] = {"--max-waiting-jobs", "2", NULL};
    cluster_coordinator(&c, more);
    put_trip(&c, "'ask':false");
    const char *first = submit_trip(&c, "1"), *second = submit_trip(&c, "2");
    expect_retry_hint(rpc_fails(c.address, "Jobs/SubmitJob", "ResourceExhausted",
                                "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'}}"),
                      "2 jobs wait for a host; the limit is 2");
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", first));
    const char *third = submit_trip(&c, "3");
    cluster_host(&c, 0, "a", NULL);
    json_decref(wait_status(&c, second, "COMPLETED"));
    json_decref(wait_status(&c, third, "COMPLETED"));
    cluster_done(&c);
}

/* A job of one probe that waits at the gate, with so many bytes of data. */
static char *large_job(struct cluster *c, size_t bytes)
{
    char *data = malloc(bytes + 1), *text = NULL;
    assert_non_null(data);
    memset(data, 'x', bytes);
    data[bytes] = '\0';
    assert_true(asprintf(&text,
                         "{'inline_flow':{'routines':[{'id':'a','type':'probe',"
                         "'config':{'do':{'in':[{'gate':'%s'}]}}}]},'entry':{'routine':'a','slot':'in'},"
                         "'data':{'x':'%s'}}",
                         cluster_file(c, "gate"), data) > 0);
    free(data);
    return text;
}

static void submit_large(struct cluster *c, size_t bytes, char ret_id[32])
{
    char *request = large_job(c, bytes);
    json_t *r = rpc(c->address, "Jobs/SubmitJob", "%s", request);
    snprintf(ret_id, 32, "%s", at(r, "jobId"));
    json_decref(r);
    free(request);
}

static void more_bytes_than_there_is_memory_for_are_refused_until_jobs_have_ended(void **state)
{
    (void)state;
    struct cluster c;
    char ids[4][32];
    int n = 0;
    cluster_init(&c);
    c.probes = true;
    const char *more[] = {"--max-active-mib", "1", NULL};
    cluster_coordinator(&c, more);
    while (n < 2)
        submit_large(&c, 700000, ids[n++]); /* the one that goes over the limit is still taken */
    char *request = large_job(&c, 10);
    expect_retry_hint(rpc_fails(c.address, "Jobs/SubmitJob", "ResourceExhausted", "%s", request),
                      "active jobs and waiting requests take");
    cluster_open_gate(&c, "gate");
    cluster_host(&c, 0, "a", NULL);
    for (int i = 0; i < n; i++)
        json_decref(wait_status(&c, ids[i], "COMPLETED"));
    json_t *r = rpc(c.address, "Jobs/SubmitJob", "%s", request);
    json_decref(wait_status(&c, at(r, "jobId"), "COMPLETED"));
    json_decref(r);
    free(request);
    cluster_done(&c);
}

static void watch(struct cluster *c, struct proc *p, const char *job, int i)
{
    char log[32];
    snprintf(log, sizeof(log), "watch%d.log", i);
    rpc_start(p, cluster_file(c, log), c->address, "Jobs/WatchJob", "{'job_id':'%s'}", job);
    proc_hear(p, "jobId");
}

static void more_open_calls_than_allowed_are_refused_until_some_have_ended(void **state)
{
    (void)state;
    struct cluster c;
    struct proc watches[3];
    cluster_init(&c);
    const char *more[] = {"--max-calls", "6", NULL}; /* each grpcurl has a reflection stream besides */
    cluster_coordinator(&c, more);
    put_trip(&c, "'ask':false");
    const char *job = submit_trip(&c, "t");
    for (int i = 0; i < 3; i++)
        watch(&c, &watches[i], job, i);
    const char *argv[] = {
        grpcurl_program(), "-plaintext", "-d", "{}", c.address, "fermata.v1.Hosts/ListHosts", NULL};
    char *out, *err;
    int code = proc_run(argv, NULL, &out, &err);
    free(out);
    assert_int_not_equal(code, 0);
    if (strstr(err, "calls are open; the limit is 6") == NULL)
        fail_msg("a refusal wanted, but: %s", err);
    free(err);
    cluster_host(&c, 0, "a", NULL); /* hosts are not locked out, and end the job and with it the watches */
    for (int i = 0; i < 3; i++)
        assert_int_equal(proc_wait(&watches[i]), 0);
    json_decref(wait_status(&c, job, "COMPLETED"));
    cluster_done(&c);
}

static void a_watch_that_hears_nothing_else_hears_that_it_is_alive(void **state)
{
    (void)state;
    struct cluster c;
    struct proc watcher;
    cluster_init(&c);
    const char *more[] = {"--watch-heartbeat", "100ms", NULL};
    cluster_coordinator(&c, more);
    cluster_host(&c, 0, "a", NULL);
    put_trip(&c, "");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    watch(&c, &watcher, job, 0);
    for (int i = 0; i < 3; i++) {
        rpc_hear(&watcher, "'heartbeat'");
        rpc_hear(&watcher, "'stepCount': 1");
    }
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':1}", job));
    proc_hear(&watcher, "JOB_STATUS_COMPLETED");
    assert_int_equal(proc_wait(&watcher), 0);
    cluster_done(&c);
}

static void a_host_refuses_an_assignment_that_does_not_fit_and_gets_it_when_there_is_room(void **state)
{
    (void)state;
    struct cluster c;
    char first[32], second[32], log[256];
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    const char *more[] = {"--inbox-mib", "1", NULL};
    cluster_host(&c, 0, "a", more);
    submit_large(&c, 700000, first);
    json_decref(wait_status(&c, first, "RUNNING"));
    submit_large(&c, 700000, second);
    snprintf(log, sizeof(log), "%s/host0.log", c.dir);
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool refused = false; !refused;) {
        char *text = file_text(log);
        refused = strstr(text, "this one would bring") != NULL;
        free(text);
        test_pause(until, "the second job is refused");
    }
    cluster_open_gate(&c, "gate");
    json_decref(wait_status(&c, first, "COMPLETED"));
    json_decref(wait_status(&c, second, "COMPLETED"));
    cluster_done(&c);
}

/* More than may be queued for a host: without pacing its stream would be broken off. */
static void many_large_jobs_reach_a_host_that_comes_late_without_flooding_it(void **state)
{
    (void)state;
    enum { JOBS = 110 };
    struct cluster c;
    static char ids[JOBS][32];
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    cluster_open_gate(&c, "gate");
    for (int i = 0; i < JOBS; i++)
        submit_large(&c, 700000, ids[i]);
    const char *more[] = {"--capacity", "1000", NULL};
    cluster_host(&c, 0, "a", more);
    for (int i = 0; i < JOBS; i++) {
        json_t *done = wait_status(&c, ids[i], "COMPLETED");
        assert_string_equal(at(done, "job.epoch"), "1");
        json_decref(done);
    }
    char *log = file_text(cluster_file(&c, "coordinator.log"));
    assert_null(strstr(log, "is broken off"));
    free(log);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_jobs_than_may_wait_are_refused_until_there_is_room),
        cmocka_unit_test(more_bytes_than_there_is_memory_for_are_refused_until_jobs_have_ended),
        cmocka_unit_test(more_open_calls_than_allowed_are_refused_until_some_have_ended),
        cmocka_unit_test(a_watch_that_hears_nothing_else_hears_that_it_is_alive),
        cmocka_unit_test(a_host_refuses_an_assignment_that_does_not_fit_and_gets_it_when_there_is_room),
        cmocka_unit_test(many_large_jobs_reach_a_host_that_comes_late_without_flooding_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
