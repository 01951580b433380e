/* Programs and schemas of users take their time on the loop of neither daemon: what would take long is
 * bounded, runs elsewhere, and says what was too much; and the hosts keep their jobs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

/* A host with a short lease, which a loop that stands still loses. */
static void start(struct cluster *c)
{
    cluster_init(c);
    c->probes = true;
    cluster_lease(c, 3);
    cluster_coordinator(c, NULL);
    cluster_host(c, 0, "a", NULL);
}

static char *noise(size_t n)
{
    char *text = malloc(n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        text[i] = "xy"[i * 7 % 5 % 2];
    text[n] = '\0';
    return text;
}

static const char *submit_gated(struct cluster *c)
{
    return submit_flow(
        c, "{}",
        "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'gate':'%s'},{'emit':'x'}]}}},"
        "{'id':'b','type':'probe','config':{'do':{'in':[{'append':'seen'}]}}}],"
        "'connections':[{'from':{'routine':'a','event':'x'},'to':{'routine':'b','slot':'in'}}]}",
        cluster_file(c, "gate"));
}

/* Each takes some milliseconds, all of them many seconds. */
static char *many_conditions(size_t n)
{
    char *list = calloc(n, 80);
    assert_non_null(list);
    for (size_t i = 0; i < n; i++)
        sprintf(list + strlen(list), "%s{'routine':'b','condition':'[range(%zu)] | add < 0'}",
                i > 0 ? "," : "", 300000 + i);
    return list;
}

static void a_hundred_conditions_hold_a_task_and_nobody_else(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    const char *loop = submit_loop(&c), *job = submit_gated(&c);
    json_decref(wait_status(&c, job, "RUNNING"));
    json_decref(wait_status(&c, loop, "RUNNING"));
    char *conditions = many_conditions(100);
    json_decref(rpc(c.address, "Jobs/SetBreakpoints", "{'job_id':'%s','breakpoints':[%s]}", job, conditions));
    cluster_open_gate(&c, "gate");
    json_t *held = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(held, "job.pauses[0].reason"), "PAUSE_REASON_BREAKPOINT");
    assert_string_equal(at(held, "job.pauses[0].taskId"), "s1.0");
    assert_non_null(strstr(at(held, "job.pauses[0].question"), "of a breakpoint has failed: "));
    assert_string_equal(at(held, "job.epoch"), "1");
    json_decref(held);
    json_t *other = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", loop);
    assert_string_equal(at(other, "job.epoch"), "1"); /* its host has lost nothing */
    assert_string_equal(at(other, "job.status"), "JOB_STATUS_RUNNING");
    json_decref(other);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", loop));
    free(conditions);
    cluster_done(&c);
}

#define EVIL "^(x|y)*x(x|y){500}z$"

static void a_pattern_that_takes_too_much_is_refused_with_its_answer(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    const char *job = submit_flow(&c, "{}",
                                  "{'routines':[{'id':'a','type':'probe','config':{'do':{"
                                  "'in':[{'ask':'Which?','schema':{'pattern':'" EVIL "'}}],'answer':[]}}}]}");
    json_decref(wait_status(&c, job, "PAUSED"));
    char *text = noise(120000);
    char *why =
        rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument", "{'job_id':'%s','answer':'%s'}", job, text);
    assert_non_null(strstr(why, "the pattern " EVIL " takes too much memory to be matched"));
    free(why);
    free(text);
    why = rpc_fails(c.address, "Jobs/ResumeJob", "InvalidArgument", "{'job_id':'%s','answer':'xz'}", job);
    assert_non_null(strstr(why, "does not match"));
    free(why);
    text = noise(502);
    text[0] = 'x';
    text[501] = 'z';
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'%s'}", job, text));
    json_decref(wait_status(&c, job, "COMPLETED"));
    free(text);
    cluster_done(&c);
}

static void a_schema_that_takes_too_much_fails_its_task(void **state)
{
    (void)state;
    struct cluster c;
    start(&c);
    char *text = noise(120000), *data = json_format("{'t':'%s'}", text);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'validate','config':{'path':'t','schema':"
                    "{'pattern':'" EVIL "'}}}]},'entry':{'routine':'a','slot':'input'},'data':%s}",
                    data);
    char job[27];
    snprintf(job, sizeof(job), "%s", at(r, "jobId"));
    json_decref(r);
    json_t *failed = wait_status(&c, job, "FAILED");
    assert_string_equal(at(failed, "job.error.code"), "RESOURCE_EXHAUSTED");
    assert_non_null(strstr(at(failed, "job.error.message"), "the pattern " EVIL " takes too much memory"));
    assert_string_equal(at(failed, "job.epoch"), "1");
    json_decref(failed);
    free(data);
    free(text);
    cluster_done(&c);
}

/* A handler that blocks without saying so stands in everybody's way: hostd says so. */
static void a_loop_that_stands_still_says_what_it_did(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_flow(&c, "{}",
                                  "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':"
                                  "[{'touch':'%s'},{'block':'%s'}]}}}]}",
                                  cluster_file(&c, "begun"), cluster_file(&c, "gate"));
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(&c, "begun") == 0)
        test_pause(until, "the handler has begun");
    for (long long from = test_now_ms(); test_now_ms() < from + 200;) /* longer than a turn should take */
        test_pause(until, "the loop stands still");
    cluster_open_gate(&c, "gate");
    json_decref(wait_status(&c, job, "COMPLETED"));
    cluster_wait_log(&c, "host0.log",
                     "a turn of a loop took a long time; everything else has waited loop=engine");
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_conditions_hold_a_task_and_nobody_else),
        cmocka_unit_test(a_pattern_that_takes_too_much_is_refused_with_its_answer),
        cmocka_unit_test(a_schema_that_takes_too_much_fails_its_task),
        cmocka_unit_test(a_loop_that_stands_still_says_what_it_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
