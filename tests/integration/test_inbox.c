/* What people and operators ask across jobs, with real daemons: the inbox, claims, digests, lists and counts,
 * explanations, the ledger. */
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
#include <openssl/evp.h>

#include "cluster.h"

static const char *submit(struct cluster *c, const char *flow, const char *team, const char *question)
{
    static char ids[64][32];
    static int next;
    json_t *r = rpc(c->address, "Jobs/SubmitJob",
                    "{'inline_flow':{'name':'%s','routines':[{'id':'h','type':'human',"
                    "'config':{'question':'%s','choices':['yes','no']}}]},"
                    "'entry':{'routine':'h','slot':'input'},'data':{'b':1,'a':2},'labels':{'team':'%s'}}",
                    flow, question, team);
    char *id = ids[next++ % 64];
    snprintf(id, sizeof(ids[0]), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

static void the_inbox_lists_open_questions_by_filters_and_pages(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    for (int i = 0; i < 7; i++)
        json_decref(
            wait_status(&c, submit(&c, i < 4 ? "one" : "two", i % 2 == 0 ? "x" : "y", "Well?"), "PAUSED"));
    json_t *r = rpc(c.address, "Jobs/ListPauses", "{}");
    assert_int_equal(json_array_size(json_at(r, "pauses")), 7);
    assert_string_equal(at(r, "pauses[0].pause.question"), "Well?");
    assert_string_equal(at(r, "pauses[0].flow"), "two");
    assert_string_equal(at(r, "pauses[0].labels.team"), "x");
    json_decref(r);
    r = rpc(c.address, "Jobs/ListPauses", "{'flow':'one','labels':{'team':'y'}}");
    assert_int_equal(json_array_size(json_at(r, "pauses")), 2);
    json_decref(r);
    r = rpc(c.address, "Jobs/ListPauses", "{'reasons':['PAUSE_REASON_BUDGET']}");
    assert_null(json_at(r, "pauses[0]"));
    json_decref(r);
    r = rpc(c.address, "Jobs/ListPauses", "{'routine':'other'}");
    assert_null(json_at(r, "pauses[0]"));
    json_decref(r);
    char token[64] = "";
    size_t n = 0;
    do {
        r = rpc(c.address, "Jobs/ListPauses", "{'page_size':3,'page_token':'%s'}", token);
        n += json_array_size(json_at(r, "pauses"));
        snprintf(token, sizeof(token), "%.63s", at(r, "nextPageToken"));
        json_decref(r);
    } while (token[0] != '\0');
    assert_int_equal(n, 7);
    cluster_done(&c);
}

static void a_claimed_question_is_answered_by_who_claimed_it(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job = submit(&c, "f", "x", "Well?"), *other = submit(&c, "f", "x", "Well?");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(wait_status(&c, other, "PAUSED"));
    json_t *r = rpc(c.address, "Jobs/ClaimPause", "{'job_id':'%s','by':'ada','ttl_ms':600000}", job);
    assert_string_equal(at(r, "pause.claimedBy"), "ada");
    json_decref(r);
    char *error =
        rpc_fails(c.address, "Jobs/ClaimPause", "FailedPrecondition", "{'job_id':'%s','by':'bob'}", job);
    assert_non_null(strstr(error, "claimed by ada"));
    free(error);
    free(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                   "{'job_id':'%s','answer':'yes','answered_by':'bob'}", job));
    r = rpc(c.address, "Jobs/ListPauses", "{'claims':'CLAIM_FILTER_UNCLAIMED'}");
    assert_int_equal(json_array_size(json_at(r, "pauses")), 1);
    assert_string_equal(at(r, "pauses[0].jobId"), other);
    json_decref(r);
    r = rpc(c.address, "Jobs/ListPauses", "{'claimed_by':'ada'}");
    assert_int_equal(json_array_size(json_at(r, "pauses")), 1);
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes','answered_by':'ada'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    json_decref(rpc(c.address, "Jobs/ClaimPause", "{'job_id':'%s','by':'ada'}", other));
    free(
        rpc_fails(c.address, "Jobs/ReleasePause", "FailedPrecondition", "{'job_id':'%s','by':'bob'}", other));
    json_decref(rpc(c.address, "Jobs/ReleasePause", "{'job_id':'%s','by':'ada'}", other));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'no','answered_by':'bob'}", other));
    json_decref(wait_status(&c, other, "COMPLETED"));
    cluster_done(&c);
}

static void a_claim_that_is_over_is_shown_to_nobody(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job = submit(&c, "f", "x", "Well?");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/ClaimPause", "{'job_id':'%s','by':'ada','ttl_ms':1}", job));
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool shown = true; shown; test_pause(until, "the claim is over")) {
        json_t *r = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        shown = json_at(r, "job.pauses[0].claimedBy") != NULL ||
                json_at(r, "job.pauses[0].claimExpiresAt") != NULL;
        json_decref(r);
    }
    json_t *list = rpc(c.address, "Jobs/ListJobs", "{}");
    assert_string_equal(at(list, "jobs[0].pauses[0].question"), "Well?");
    assert_null(json_at(list, "jobs[0].pauses[0].claimedBy"));
    json_decref(list);
    json_t *r = rpc(c.address, "Jobs/ListPauses", "{}");
    assert_string_equal(at(r, "pauses[0].jobId"), job);
    assert_null(json_at(r, "pauses[0].pause.claimedBy"));
    json_decref(r);
    r = rpc(c.address, "Jobs/ExplainJob", "{'job_id':'%s'}", job);
    assert_null(strstr(at(r, "waitsFor[0].text"), "ada"));
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/ClaimPause", "{'job_id':'%s','by':'bob'}", job));
    char *error =
        rpc_fails(c.address, "Jobs/ClaimPause", "FailedPrecondition", "{'job_id':'%s','by':'ada'}", job);
    assert_non_null(strstr(error, "by must be that name"));
    free(error);
    cluster_done(&c);
}

static void add_netstring(char *out, const char *text, size_t n)
{
    sprintf(out + strlen(out), "%zu:", n);
    strncat(out, text, n);
}

/* As a client would compute it from what is documented. */
static void an_answer_is_bound_to_what_was_shown(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job = submit(&c, "f", "x", "Well?");
    json_t *paused = wait_status(&c, job, "PAUSED");
    char text[1024] = "", hex[65];
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    add_netstring(text, job, 26);
    add_netstring(text, "p1.0", 4);
    add_netstring(text, "1", 1);
    add_netstring(text, "Well?", 5);
    add_netstring(text, "yes", 3);
    add_netstring(text, "no", 2);
    size_t length = strlen(text);
    json_t *data = json_at(paused, "job.pauses[0].data");
    /* {"a": 2, "b": 1} as a Struct: two entries, sorted, each {key, Value{number}}. */
    static const unsigned char both[] = "\x0a\x0e\x0a\x01"
                                        "a\x12\x09\x11\x00\x00\x00\x00\x00\x00\x00\x40"
                                        "\x0a\x0e\x0a\x01"
                                        "b\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf0\x3f";
    if (data != NULL) {
        assert_int_equal(json_object_size(data), 2);
        length += (size_t)sprintf(text + length, "%zu:", sizeof(both) - 1);
        memcpy(text + length, both, sizeof(both) - 1);
        length += sizeof(both) - 1;
    } else {
        length += (size_t)sprintf(text + length, "0:");
    }
    assert_int_equal(EVP_Digest(text, length, sum, &n, EVP_sha256(), NULL), 1);
    for (int i = 0; i < 32; i++)
        sprintf(hex + 2 * i, "%02x", sum[i]);
    assert_string_equal(at(paused, "job.pauses[0].digest"), hex);
    json_decref(paused);
    free(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                   "{'job_id':'%s','answer':'yes','digest':'00'}", job));
    json_decref(rpc(c.address, "Jobs/ResumeJob",
                    "{'job_id':'%s','answer':'yes','digest':'%s','answered_by':'ada'}", job, hex));
    json_decref(wait_status(&c, job, "COMPLETED"));
    json_t *h = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_string_equal(at(h, "steps[1].task.answerDigest"), hex);
    assert_string_equal(at(h, "steps[1].task.answeredBy"), "ada");
    json_decref(h);
    cluster_done(&c);
}

static void jobs_are_listed_by_time_and_counted_by_status(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    json_decref(wait_status(&c, submit(&c, "f", "x", "1?"), "PAUSED"));
    json_decref(wait_status(&c, submit(&c, "f", "y", "2?"), "PAUSED"));
    json_t *r = rpc(c.address, "Jobs/ListJobs", "{}");
    char middle[64];
    snprintf(middle, sizeof(middle), "%.63s", at(r, "jobs[0].createdAt"));
    json_decref(r);
    const char *third = submit(&c, "g", "x", "3?");
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", third));
    r = rpc(c.address, "Jobs/ListJobs", "{'created_after':'%s'}", middle);
    assert_int_equal(json_array_size(json_at(r, "jobs")), 2);
    json_decref(r);
    r = rpc(c.address, "Jobs/ListJobs", "{'created_before':'%s'}", middle);
    assert_int_equal(json_array_size(json_at(r, "jobs")), 1);
    json_decref(r);
    r = rpc(c.address, "Jobs/ListJobs", "{'created_before':'2020-01-01T00:00:00Z'}");
    assert_null(json_at(r, "jobs[0]"));
    json_decref(r);
    r = rpc(c.address, "Jobs/ListJobs", "{'host':'a'}"); /* paused and ended jobs are on no host */
    assert_null(json_at(r, "jobs[0]"));
    json_decref(r);
    json_t *runs = rpc(c.address, "Jobs/SubmitJob",
                       "{'inline_flow':{'routines':[{'id':'a','type':'exec',"
                       "'config':{'command':['sleep','1000']}}]},'entry':{'routine':'a','slot':'in'},"
                       "'labels':{'kind':'long'}}");
    json_decref(wait_status(&c, at(runs, "jobId"), "RUNNING"));
    r = rpc(c.address, "Jobs/ListJobs", "{'host':'a'}");
    assert_string_equal(at(r, "jobs[0].jobId"), at(runs, "jobId"));
    assert_null(json_at(r, "jobs[1]"));
    json_decref(r);
    r = rpc(c.address, "Jobs/ListJobs", "{'labels':{'kind':'long'}}");
    assert_string_equal(at(r, "jobs[0].jobId"), at(runs, "jobId"));
    assert_null(json_at(r, "jobs[1]"));
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", at(runs, "jobId")));
    json_decref(rpc(c.address, "Jobs/DeleteJob", "{'job_id':'%s'}", at(runs, "jobId")));
    json_decref(runs);
    r = rpc(c.address, "Jobs/CountJobs", "{}");
    assert_string_equal(at(r, "total"), "3");
    assert_string_equal(at(r, "counts[0].status"), "JOB_STATUS_PAUSED");
    assert_string_equal(at(r, "counts[0].count"), "2");
    assert_string_equal(at(r, "counts[1].status"), "JOB_STATUS_CANCELLED");
    json_decref(r);
    r = rpc(c.address, "Jobs/CountJobs", "{'flow':'f','labels':{'team':'y'}}");
    assert_string_equal(at(r, "total"), "1");
    json_decref(r);
    cluster_done(&c);
}

/* A job of this flow and placement waits, and that is why host `a` does not have it. */
static void waits_because(struct cluster *c, const char *type, const char *placement, const char *why)
{
    json_t *r = rpc(c->address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'%s'}]},"
                    "'entry':{'routine':'a','slot':'input'},'placement':%s}",
                    type, placement);
    json_t *e = rpc(c->address, "Jobs/ExplainJob", "{'job_id':'%s'}", at(r, "jobId"));
    size_t a = strcmp(at(e, "hosts[0].hostId"), "a") == 0 ? 0 : 1;
    assert_string_equal(at(e, a == 0 ? "hosts[0].fits" : "hosts[1].fits"), "");
    if (strstr(at(e, a == 0 ? "hosts[0].reason" : "hosts[1].reason"), why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", at(e, a == 0 ? "hosts[0].reason" : "hosts[1].reason"), why);
    json_decref(e);
    json_decref(rpc(c->address, "Jobs/CancelJob", "{'job_id':'%s'}", at(r, "jobId")));
    json_decref(r);
}

static void explain_each_reason(struct cluster *c)
{
    waits_because(c, "acme.unknown", "{}", "does not offer routine type \"acme.unknown\"");
    waits_because(c, "log", "{'host':'z'}", "not the wanted host z");
    json_decref(rpc(c->address, "Hosts/CordonHost", "{'host_id':'a'}"));
    json_decref(rpc(c->address, "Hosts/CordonHost", "{'host_id':'b'}"));
    waits_because(c, "log", "{}", "takes no new work");
    json_decref(rpc(c->address, "Hosts/CordonHost", "{'host_id':'a','uncordon':true}"));
    json_decref(rpc(c->address, "Hosts/CordonHost", "{'host_id':'b','uncordon':true}"));
}

static void a_job_s_place_is_explained(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    const char *job = submit(&c, "f", "x", "Well?");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_t *r = rpc(c.address, "Jobs/ExplainJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(r, "waitsFor[0].kind"), "question");
    assert_non_null(strstr(at(r, "waitsFor[0].text"), "Well?"));
    assert_string_not_equal(at(r, "waitsFor[0].at"), "");
    assert_int_equal(json_array_size(json_at(r, "hosts")), 2); /* who could have it */
    assert_string_equal(at(r, "hosts[0].fits"), "true");
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/ResumeJob",
                    "{'job_id':'%s','answer':'yes','placement':{'labels':{'zone':'mars'}}}", job));
    r = rpc(c.address, "Jobs/ExplainJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_PENDING");
    assert_int_equal(json_array_size(json_at(r, "hosts")), 2);
    assert_non_null(strstr(at(r, "hosts[0].reason"), "lacks a wanted label"));
    assert_non_null(strstr(at(r, "summary"), "It waits for a host"));
    json_decref(r);
    explain_each_reason(&c);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    r = rpc(c.address, "Jobs/ExplainJob", "{'job_id':'%s'}", job);
    assert_non_null(strstr(at(r, "summary"), "cancelled"));
    json_decref(r);
    cluster_done(&c);
}

static void usage_is_summed_up_once_per_step(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    for (int i = 0; i < 3; i++) {
        json_t *r = rpc(c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'name':'%s','routines':[{'id':'a','type':'llm_agent',"
                        "'config':{'provider':'mock','script':[{'say':'1',"
                        "'usage':{'input_tokens':10,'output_tokens':1}},"
                        "{'say':'2','usage':{'input_tokens':20,'output_tokens':2}}]}}]},"
                        "'entry':{'routine':'a','slot':'trigger'},'labels':{'team':'%s'}}",
                        i < 2 ? "one" : "two", i == 0 ? "x" : "y");
        json_decref(wait_status(&c, at(r, "jobId"), "COMPLETED"));
        json_decref(r);
    }
    json_t *r = rpc(c.address, "Jobs/GetUsage", "{}");
    assert_string_equal(at(r, "sums[0].usage.inputTokens"), "90");
    assert_string_equal(at(r, "sums[0].usage.calls"), "6");
    json_decref(r);
    r = rpc(c.address, "Jobs/GetUsage", "{'group':'USAGE_GROUP_FLOW'}");
    assert_string_equal(at(r, "sums[0].key"), "one");
    assert_string_equal(at(r, "sums[0].usage.outputTokens"), "6");
    assert_string_equal(at(r, "sums[1].usage.inputTokens"), "30");
    json_decref(r);
    r = rpc(c.address, "Jobs/GetUsage", "{'group':'USAGE_GROUP_LABEL','label_key':'team'}");
    assert_string_equal(at(r, "sums[0].key"), "x");
    assert_string_equal(at(r, "sums[1].usage.calls"), "4");
    json_decref(r);
    r = rpc(c.address, "Jobs/GetUsage", "{'group':'USAGE_GROUP_DAY','flow':'two'}");
    assert_int_equal(strlen(at(r, "sums[0].key")), 10);
    assert_string_equal(at(r, "sums[0].usage.calls"), "2");
    json_decref(r);
    r = rpc(c.address, "Jobs/GetUsage", "{'to_day':'2020-02-29'}");
    assert_null(json_at(r, "sums[0]"));
    json_decref(r);
    free(rpc_fails(c.address, "Jobs/GetUsage", "InvalidArgument", "{'from_day':'yesterday'}"));
    free(rpc_fails(c.address, "Jobs/GetUsage", "InvalidArgument", "{'group':'USAGE_GROUP_LABEL'}"));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_inbox_lists_open_questions_by_filters_and_pages),
        cmocka_unit_test(a_claimed_question_is_answered_by_who_claimed_it),
        cmocka_unit_test(a_claim_that_is_over_is_shown_to_nobody),
        cmocka_unit_test(an_answer_is_bound_to_what_was_shown),
        cmocka_unit_test(jobs_are_listed_by_time_and_counted_by_status),
        cmocka_unit_test(a_job_s_place_is_explained),
        cmocka_unit_test(usage_is_summed_up_once_per_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
