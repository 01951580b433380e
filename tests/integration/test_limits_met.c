/* What would go on for ever is paused with reason LIMIT, with real daemons, and goes on when somebody says
 * so. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

static void start(struct cluster *c, const char *const *options)
{
    cluster_init(c);
    c->probes = true;
    cluster_coordinator(c, options);
    cluster_host(c, 0, "a", NULL);
}

/* Waits until it is paused for a limit; its number of steps. */
static long limited(struct cluster *c, const char *job, const char *question)
{
    json_t *j = wait_status(c, job, "PAUSED");
    assert_string_equal(at(j, "job.pauses[0].reason"), "PAUSE_REASON_LIMIT");
    if (strstr(at(j, "job.pauses[0].question"), question) == NULL)
        fail_msg("%s", at(j, "job.pauses[0].question"));
    long steps = strtol(at(j, "job.stepCount"), NULL, 10);
    json_decref(j);
    return steps;
}

static void a_job_that_never_ends_is_paused_and_goes_on_when_that_is_wished(void **state)
{
    (void)state;
    static const char *const options[] = {"--max-steps", "50", NULL};
    struct cluster c;
    start(&c, options);
    const char *job = submit_loop(&c);
    long steps = limited(&c, job, "since its last input; the limit is 50");
    assert_in_range(steps, 50, 50 + 64); /* those that were in hand */
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, options);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    long more = limited(&c, job, "the limit is 50");
    assert_in_range(more, steps + 50, steps + 50 + 64);
    free(rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument", "{'job_id':'%s','answer':'many'}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':0}", job));
    long long until = test_now_ms() + DEADLINE_MS;
    json_t *j = NULL;
    do {
        json_decref(j);
        test_pause(until, "it goes on without a limit");
        j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s','without_state':true}", job);
        assert_string_not_equal(at(j, "job.status"), "JOB_STATUS_PAUSED");
    } while (strtol(at(j, "job.stepCount"), NULL, 10) < more + 150);
    json_decref(j);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    cluster_done(&c);
}

/* Its only child, once the record names it, or it has been started. */
static void child_of(struct cluster *c, const char *job, bool started, char ret[32])
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = rpc(c->address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        snprintf(ret, 32, "%.31s", at(j, "job.children[0].jobId"));
        bool is = json_is_true(json_at(j, "job.children[0].started"));
        json_decref(j);
        if (ret[0] != '\0' && (is || !started))
            return;
        test_pause(until, "a child");
    }
}

static void a_flow_that_starts_itself_comes_to_an_end(void **state)
{
    (void)state;
    static const char *const options[] = {"--max-depth", "3", NULL};
    struct cluster c;
    start(&c, options);
    json_decref(rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'self','routines':[{'id':'a','type':'probe','config':{'do':{"
                    "'in':[{'job':'self','routine':'a'}],'result':[{'emit':'out'}]}}}]}}"));
    json_t *r = rpc(c.address, "Jobs/SubmitJob", "{'flow':'self','entry':{'routine':'a','slot':'in'}}");
    char ids[6][32];
    snprintf(ids[0], sizeof(ids[0]), "%.31s", at(r, "jobId"));
    json_decref(r);
    for (int i = 1; i <= 3; i++)
        child_of(&c, ids[i - 1], true, ids[i]);
    (void)limited(&c, ids[3], "The job has depth 3 and starts jobs; the limit is 3");
    child_of(&c, ids[3], false, ids[4]);
    free(rpc_fails(c.address, "Jobs/GetJob", "NotFound", "{'job_id':'%s'}", ids[4]));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':4}", ids[3]));
    child_of(&c, ids[3], true, ids[4]);
    (void)limited(&c, ids[4], "The job has depth 4");
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", ids[0]));
    for (int i = 1; i <= 4; i++)
        json_decref(wait_status(&c, ids[i], "CANCELLED"));
    cluster_done(&c);
}

static void an_agent_without_limits_asks_after_fifty_calls(void **state)
{
    (void)state;
    struct cluster c;
    char script[8192];
    size_t n = 0;
    for (int i = 0; i < 70; i++)
        n += (size_t)snprintf(script + n, sizeof(script) - n, "%s{'say':'%d'}", i > 0 ? "," : "", i);
    start(&c, NULL);
    json_t *r = rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'agent','routines':[{'id':'a','type':'llm_agent',"
                    "'config':{'provider':'mock','script':[%s]}}]}}",
                    script);
    assert_non_null(strstr(at(r, "warnings[0]"), "the agent has no limits.max_turns"));
    json_decref(r);
    r = rpc(c.address, "Jobs/SubmitJob", "{'flow':'agent','entry':{'routine':'a','slot':'trigger'}}");
    char job[32];
    snprintf(job, sizeof(job), "%.31s", at(r, "jobId"));
    json_decref(r);
    (void)limited(&c, job, "The agent has made 50 calls of its model");
    free(rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument",
                   "{'job_id':'%s','answer':{'max_turns':50}}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':{'max_turns':60}}", job));
    (void)limited(&c, job, "The agent has made 60 calls of its model");
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':1000}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.usage.calls"), "70");
    json_decref(done);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_never_ends_is_paused_and_goes_on_when_that_is_wished),
        cmocka_unit_test(a_flow_that_starts_itself_comes_to_an_end),
        cmocka_unit_test(an_agent_without_limits_asks_after_fifty_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
