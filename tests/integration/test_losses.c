/* Tasks that end their host daemons, with real ones: they fail after as many as their policy allows, and
 * nobody else is harmed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

/* Ends its daemon when the gate "go" is open; with these further members of its routine. */
static const char *submit_killer(struct cluster *c, const char *how, const char *policy)
{
    return submit_flow(c, "{'v':1}",
                       "{'routines':[{'id':'a','type':'probe_fx','config':{'do':{'in':[{'gate':'%s'},"
                       "{'touch':'%s'},{'die':'%s'}]}},'policy':{%s}},"
                       "{'id':'b','type':'probe','config':{'do':{'*':[{'append':'seen'}]}}}],"
                       "'connections':[{'from':{'routine':'a','event':'error'},"
                       "'to':{'routine':'b','slot':'in'}}]}",
                       cluster_file(c, "go"), cluster_file(c, "deaths"), how, policy);
}

/* Is at work until the gate "end" is open. */
static const char *submit_innocent(struct cluster *c)
{
    return submit_flow(c, "{'v':1}",
                       "{'routines':[{'id':'a','type':'probe_fx','config':{'do':{'in':[{'touch':'%s'},"
                       "{'gate':'%s'}]}},'policy':{'max_losses':2}}]}",
                       cluster_file(c, "begun"), cluster_file(c, "end"));
}

static void wait_lines(struct cluster *c, const char *file, size_t n)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(c, file) < n)
        test_pause(until, file);
}

static void a_task_that_kills_its_hosts_fails_and_the_others_get_through(void **state)
{
    (void)state;
    static const char *const how[] = {"kill", "abort"};
    for (size_t i = 0; i < 2; i++) {
        enum { INNOCENT = 5 };
        char ids[INNOCENT][32], killer[32];
        struct cluster c;
        cluster_start_probes(&c, 2);
        snprintf(killer, sizeof(killer), "%s", submit_killer(&c, how[i], "'max_losses':2"));
        for (size_t k = 0; k < INNOCENT; k++)
            snprintf(ids[k], sizeof(ids[k]), "%s", submit_innocent(&c));
        wait_lines(&c, "begun", INNOCENT); /* all are at work, on both hosts */
        cluster_open_gate(&c, "go");
        wait_lines(&c, "deaths", 1);
        cluster_open_gate(&c, "end");
        json_t *failed = wait_status(&c, killer, "FAILED");
        assert_string_equal(at(failed, "job.error.code"), "ABORTED");
        const char *why = at(failed, "job.error.message");
        assert_non_null(
            strstr(why, "the task has ended 2 host daemons, the limit of its policy (max_losses)"));
        assert_non_null(
            strstr(why, i == 0 ? "(killed by signal 9 (Killed))" : "(killed by signal 6 (Aborted))"));
        json_decref(failed);
        for (size_t k = 0; k < INNOCENT; k++) /* one more loss would be their end */
            json_decref(wait_status(&c, ids[k], "COMPLETED"));
        assert_int_equal(cluster_lines(&c, "deaths"), 2);
        json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", killer)); /* the count begins anew */
        wait_lines(&c, "deaths", 4);
        json_decref(wait_status(&c, killer, "FAILED"));
        assert_int_equal(cluster_lines(&c, "deaths"), 4);
        cluster_done(&c);
    }
}

static void its_failure_takes_the_way_of_its_policy(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    cluster_open_gate(&c, "go");
    const char *killer = submit_killer(&c, "kill", "'max_losses':1,'on_error':'ERROR_POLICY_ROUTE'");
    json_t *done = wait_status(&c, killer, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.seen[0].code"), "ABORTED");
    assert_non_null(strstr(at(done, "job.state.sharedData.seen[0].message"), "max_losses"));
    json_decref(done);
    assert_int_equal(cluster_lines(&c, "deaths"), 1);
    cluster_done(&c);
}

/* Whoever ends hosts from outside, supervisors and all, ends no job. */
static void hosts_that_are_ended_with_their_supervisors_count_for_nothing(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    char job[32];
    snprintf(job, sizeof(job), "%s", submit_innocent(&c));
    for (size_t i = 1; i <= 3; i++) {
        wait_lines(&c, "begun", i);
        proc_kill9(&c.hosts[0]);
        cluster_host(&c, 0, "a", NULL);
    }
    wait_lines(&c, "begun", 4);
    json_t *j = wait_status(&c, job, "RUNNING");
    assert_string_equal(at(j, "job.losses"), "");
    json_decref(j);
    cluster_open_gate(&c, "end");
    json_decref(wait_status(&c, job, "COMPLETED"));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_kills_its_hosts_fails_and_the_others_get_through),
        cmocka_unit_test(its_failure_takes_the_way_of_its_policy),
        cmocka_unit_test(hosts_that_are_ended_with_their_supervisors_count_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
