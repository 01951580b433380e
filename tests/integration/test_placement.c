/* What was required of a job's hosts holds, with real daemons: through answers, restarts, drains, remedies,
 * for forks and children. And what else is named once: an open question, a version of a flow. */
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

#define GPU "'placement':{'labels':{'gpu':'yes'}}"
/* Asks, and then ends with what was answered. */
#define ASKS "'do':{'in':[{'ask':'Well?'}],'answer':[{'emit':'out'}]}"

static void start(struct cluster *c)
{
    static const char *const gpu[] = {"--label", "gpu=yes", NULL};
    cluster_init(c);
    c->probes = true;
    cluster_coordinator(c, NULL);
    cluster_host(c, 0, "gpu", gpu);
    cluster_host(c, 1, "plain", NULL);
    cluster_host(c, 2, "bare", NULL);
}

/* Submits a job of this probe's settings for hosts with the label. */
static const char *submit_gpu(struct cluster *c, const char *settings)
{
    static char ids[8][32];
    static int n;
    char *id = ids[n++ % 8];
    json_t *r = rpc(c->address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'probe','config':{%s}}]},"
                    "'entry':{'routine':'a','slot':'in'}," GPU "}",
                    settings);
    snprintf(id, 32, "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

/* Answers, with these further members of the request; the job ends on this host. */
static void ends_on(struct cluster *c, const char *job, const char *more, const char *host)
{
    json_decref(rpc(c->address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'y'%s}", job, more));
    json_t *done = wait_status(c, job, "COMPLETED");
    assert_string_equal(at(done, "job.lastHost"), host);
    json_decref(done);
}

static void what_the_submit_requires_holds_for_every_resume(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    const char *job = submit_gpu(&c, ASKS);
    json_decref(wait_status(&c, job, "PAUSED"));
    ends_on(&c, job, "", "gpu");
    job = submit_gpu(&c, ASKS);
    json_decref(wait_status(&c, job, "PAUSED"));
    ends_on(&c, job, ",'placement':{'mode':'PLACEMENT_MODE_ANOTHER_HOST'}", "gpu");
    /* an operator's pause ends, too */
    job = submit_gpu(&c, ASKS);
    json_decref(wait_status(&c, job, "PAUSED"));
    json_t *held = rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s'}", job);
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'%s'}", job, at(held, "pauseId")));
    json_decref(held);
    ends_on(&c, job, "", "gpu");
    /* and over a restart of the coordinator */
    job = submit_gpu(&c, ASKS);
    json_decref(wait_status(&c, job, "PAUSED"));
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    ends_on(&c, job, "", "gpu");
    cluster_done(&c);
}

static void what_a_resume_requires_holds_for_the_next_ones(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    static const char twice[] =
        "'do':{'in':[{'ask':'One?'}],'answer':[{'ask':'Two?','slot':'again'}],'again':[{'emit':'out'}]}";
    const char *job = submit_gpu(&c, twice);
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'y','placement':{'host':'plain'}}", job));
    json_t *j = NULL;
    long long until = test_now_ms() + DEADLINE_MS;
    do {
        json_decref(j);
        test_pause(until, "the second question");
        j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
    } while (strcmp(at(j, "job.pauses[0].question"), "Two?") != 0 ||
             strcmp(at(j, "job.status"), "JOB_STATUS_PAUSED") != 0);
    assert_string_equal(at(j, "job.lastHost"), "plain");
    assert_null(json_at(j, "job.placement.labels"));
    json_decref(j);
    ends_on(&c, job, "", "plain");
    /* nothing is required any more: another host than the last one */
    job = submit_gpu(&c, ASKS);
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'y','placement':{'anywhere':true}}", job));
    j = wait_status(&c, job, "COMPLETED");
    assert_string_not_equal(at(j, "job.lastHost"), "gpu");
    json_decref(j);
    job = submit_gpu(&c, ASKS);
    json_decref(wait_status(&c, job, "PAUSED"));
    char *error = rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument",
                            "{'job_id':'%s','answer':'y','placement':{'anywhere':true,'host':'plain'}}", job);
    assert_non_null(strstr(error, "placement.anywhere"));
    free(error);
    cluster_done(&c);
}

static void forks_and_children_require_what_their_job_does(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    json_decref(rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'child','routines':[{'id':'c','type':'probe',"
                    "'config':{'do':{'in':[{'emit':'done'}]}}}]}}"));
    const char *parent =
        submit_gpu(&c, "'do':{'in':[{'job':'child','routine':'c'},{'job':'child','routine':'c'},"
                       "{'job':'child','routine':'c'}],'result':[{'append':'results'}]}");
    json_t *done = wait_status(&c, parent, "COMPLETED");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.results")), 3);
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof(path), "job.state.sharedData.results[%d].job_id", i);
        json_t *child = wait_status(&c, at(done, path), "COMPLETED");
        assert_string_equal(at(child, "job.lastHost"), "gpu");
        json_decref(child);
    }
    json_decref(done);
    const char *job = submit_gpu(&c, ASKS);
    json_decref(wait_status(&c, job, "PAUSED"));
    ends_on(&c, job, "", "gpu");
    for (int i = 0; i < 3; i++) {
        json_t *fork = rpc(c.address, "Jobs/ForkJob", "{'job_id':'%s','step':1,'answer':'z'}", job);
        json_t *ended = wait_status(&c, at(fork, "jobId"), "COMPLETED");
        assert_string_equal(at(ended, "job.lastHost"), "gpu");
        json_decref(ended);
        json_decref(fork);
    }
    cluster_done(&c);
}

/* Its host takes nothing now, and the others do not get the job. */
static void a_job_that_is_retried_waits_for_the_host_it_requires(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    const char *job = submit_gpu(&c, "'do':{'in':[{'fail':'INVALID_ARGUMENT'}]}");
    json_decref(wait_status(&c, job, "FAILED"));
    json_decref(rpc(c.address, "Hosts/CordonHost", "{'host_id':'gpu'}"));
    json_decref(rpc(c.address, "Jobs/RetryTask", "{'job_id':'%s'}", job));
    json_t *waits = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(waits, "job.status"), "JOB_STATUS_PENDING");
    assert_non_null(strstr(at(waits, "job.waitingReason"), "host plain: it lacks a wanted label"));
    json_decref(waits);
    json_decref(rpc(c.address, "Hosts/CordonHost", "{'host_id':'gpu','uncordon':true}"));
    json_t *failed = wait_status(&c, job, "FAILED");
    assert_string_equal(at(failed, "job.lastHost"), "gpu");
    assert_string_equal(at(failed, "job.epoch"), "2");
    json_decref(failed);
    cluster_done(&c);
}

/* A bare resume of a job with two open questions, one of them a child's, is refused by both; with one it is
 * that one's answer, whoever asked. */
static void a_resume_that_names_no_question_needs_a_single_one(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    json_decref(rpc(c.address, "Flows/PutFlow",
                    "{'flow':{'name':'child','routines':[{'id':'c','type':'probe','config':{" ASKS "}}]}}"));
    const char *job = submit_flow(&c, "{}",
                                  "{'routines':[{'id':'a','type':'probe','config':{'do':{"
                                  "'in':[{'job':'child','routine':'c'},{'ask':'Own?'}],"
                                  "'answer':[{'append':'answers'}],'result':[{'append':'results'}]}}}]}");
    long long until = test_now_ms() + DEADLINE_MS;
    json_t *j = NULL;
    do {
        json_decref(j);
        test_pause(until, "both questions");
        j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
    } while (json_array_size(json_at(j, "job.pauses")) < 2);
    const char *own = at(j, "job.pauses[0].pauseId"), *child = at(j, "job.pauses[1].pauseId");
    static const char *const calls[] = {"Jobs/ResumeJob", "Jobs/ClaimPause"};
    for (int i = 0; i < 2; i++) {
        char *error = rpc_fails(c.address, calls[i], "FailedPrecondition",
                                i == 0 ? "{'job_id':'%s','answer':'y'}" : "{'job_id':'%s','by':'ann'}", job);
        assert_non_null(strstr(error, "2 pauses are open"));
        assert_non_null(strstr(error, own));
        assert_non_null(strstr(error, child));
        assert_non_null(strstr(error, job));
        free(error);
    }
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'mine','pause_id':'%s'}", job, own));
    /* now the child's is the only one; a repeated call is answered as the first, and answers nothing else */
    for (int i = 0; i < 2; i++) {
        json_t *r =
            rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'its','request_id':'once'}", job);
        assert_string_equal(at(r, "pauseId"), strchr(child, '/') + 1);
        json_decref(r);
    }
    json_decref(j);
    j = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(j, "job.state.sharedData.answers[0].answer"), "mine");
    assert_string_equal(at(j, "job.state.sharedData.results[0].outputs[0].data.answer"), "its");
    json_decref(j);
    cluster_done(&c);
}

static void put(struct cluster *c, const char *description, const char *version)
{
    json_t *r =
        rpc(c->address, "Flows/PutFlow",
            "{'flow':{'name':'f','description':'%s','routines':[{'id':'a','type':'log'}]}}", description);
    assert_string_equal(at(r, "version"), version);
    json_decref(r);
}

static void a_number_of_a_version_is_never_used_again(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    cluster_coordinator(&c, NULL);
    put(&c, "one", "1");
    put(&c, "two", "2");
    json_decref(rpc(c.address, "Flows/DeleteFlow", "{'name':'f'}"));
    put(&c, "two", "3"); /* though it is what version 2 was */
    json_t *r = rpc(c.address, "Flows/DeleteFlow", "{'name':'f'}");
    assert_string_equal(at(r, "versionsDeleted"), "1");
    json_decref(r);
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    put(&c, "three", "4");
    free(rpc_fails(c.address, "Jobs/SubmitJob", "NotFound",
                   "{'flow':'f','flow_version':2,'entry':{'routine':'a','slot':'input'}}"));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_submit_requires_holds_for_every_resume),
        cmocka_unit_test(what_a_resume_requires_holds_for_the_next_ones),
        cmocka_unit_test(forks_and_children_require_what_their_job_does),
        cmocka_unit_test(a_job_that_is_retried_waits_for_the_host_it_requires),
        cmocka_unit_test(a_resume_that_names_no_question_needs_a_single_one),
        cmocka_unit_test(a_number_of_a_version_is_never_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
