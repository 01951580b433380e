/* CordonHost and DrainHost with real daemons. */
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

static void expect_host(struct cluster *c, const char *id, const char *path, const char *want)
{
    json_t *hosts = rpc(c->address, "Hosts/ListHosts", "{}"), *h;
    size_t i;
    bool found = false;
    json_array_foreach(json_at(hosts, "hosts"), i, h)
    {
        if (strcmp(at(h, "hostId"), id) != 0)
            continue;
        assert_string_equal(at(h, path), want);
        found = true;
    }
    assert_true(found);
    json_decref(hosts);
}

static void a_cordoned_host_gets_no_work_until_it_is_let_in_again_whoever_restarts(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "'ask':false");
    json_t *r = rpc(c.address, "Hosts/CordonHost", "{'host_id':'a'}");
    assert_string_equal(at(r, "host.cordoned"), "true");
    json_decref(r);
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    cluster_wait_attached(&c, "a", "");
    expect_host(&c, "a", "cordoned", "true");
    const char *job = submit_trip(&c, "t");
    json_t *waits = wait_status(&c, job, "PENDING");
    assert_non_null(strstr(at(waits, "job.waitingReason"), "it takes no new work"));
    json_decref(waits);
    proc_stop(&c.hosts[0]);
    expect_host(&c, "a", "status", "HOST_STATUS_AWAY");
    r = rpc(c.address, "Hosts/GetHost", "{'host_id':'a'}");
    assert_string_equal(at(r, "host.status"), "HOST_STATUS_AWAY");
    json_decref(r);
    cluster_host(&c, 0, "a", NULL);
    expect_host(&c, "a", "cordoned", "true");
    json_decref(rpc(c.address, "Hosts/CordonHost", "{'host_id':'a','uncordon':true}"));
    json_decref(wait_status(&c, job, "COMPLETED"));
    free(rpc_fails(c.address, "Hosts/CordonHost", "NotFound", "{'host_id':'nobody'}"));
    cluster_done(&c);
}

/* Waits until the last step was made by that host, and returns its number. */
static json_int_t wait_step_of(struct cluster *c, const char *job, int host)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (json_int_t number = 0;;) {
        json_t *j = wait_status(c, job, "RUNNING");
        json_t *h = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s','from_step':%s}", job,
                        at(j, "job.stepCount")[0] != '\0' ? at(j, "job.stepCount") : "1");
        if (at(h, "steps[0].host")[0] != '\0' && cluster_host_index(at(h, "steps[0].host")) == host)
            number = json_integer_value(json_at(h, "steps[0].number"));
        json_decref(h);
        json_decref(j);
        if (number > 0)
            return number;
        test_pause(until, "the host has made a step of the job");
    }
}

/* Every step once, those of the first epoch on the first host, all others on the other: returns their number.
 */
static size_t check_one_move(struct cluster *c, const char *job, int first)
{
    json_t *h = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s','page_size':1000}", job);
    size_t n = json_array_size(json_at(h, "steps")), i;
    json_t *step;
    json_int_t epoch = 1;
    assert_string_equal(at(h, "nextPageToken"), "");
    json_array_foreach(json_at(h, "steps"), i, step)
    {
        assert_int_equal(json_integer_value(json_at(step, "number")), i + 1);
        assert_in_range(json_integer_value(json_at(step, "epoch")), epoch, 2);
        epoch = json_integer_value(json_at(step, "epoch"));
        assert_int_equal(cluster_host_index(at(step, "host")), epoch == 1 ? first : 1 - first);
    }
    json_decref(h);
    return n;
}

static void draining_moves_each_job_at_its_next_step_boundary(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_loop(&c); /* there is always a next boundary, however late the drain comes */
    json_t *running = wait_status(&c, job, "RUNNING");
    int i = cluster_host_index(at(running, "job.host"));
    json_decref(running);
    json_int_t before = wait_step_of(&c, job, i);
    json_t *drained =
        rpc(c.address, "Hosts/DrainHost", "{'host_id':'%c','deadline_ms':%d}", 'a' + i, DEADLINE_MS / 2);
    assert_int_equal(json_array_size(json_at(drained, "leftJobIds")), 0);
    assert_string_equal(at(drained, "host.draining"), "true");
    json_decref(drained);
    assert_true(wait_step_of(&c, job, 1 - i) > before);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    json_t *end = wait_status(&c, job, "CANCELLED");
    assert_string_equal(at(end, "job.epoch"), "2");
    size_t steps = check_one_move(&c, job, i); /* nothing was done twice */
    assert_int_equal(strtoul(at(end, "job.stepCount"), NULL, 10), steps);
    assert_int_equal(strtoul(at(end, "job.state.sharedData.n"), NULL, 10), steps);
    json_decref(end);
    cluster_done(&c);
}

static void the_jobs_that_are_left_at_the_deadline_of_a_drain_are_named(void **state)
{
    (void)state;
    struct cluster c;
    char flow[512];
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    snprintf(flow, sizeof(flow),
             "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'gate':'%s'}]}}}]}",
             cluster_file(&c, "gate"));
    const char *job = submit_inline(&c, flow, "{}");
    json_decref(wait_status(&c, job, "RUNNING"));
    json_t *r = rpc(c.address, "Hosts/DrainHost", "{'host_id':'a','deadline_ms':200}");
    assert_int_equal(json_array_size(json_at(r, "leftJobIds")), 1);
    assert_string_equal(at(r, "leftJobIds[0]"), job);
    json_decref(r);
    cluster_wait_log(&c, "coordinator.log", "the deadline of a drain is over");
    cluster_open_gate(&c, "gate");
    json_decref(wait_status(&c, job, "COMPLETED"));
    free(
        rpc_fails(c.address, "Hosts/DrainHost", "InvalidArgument", "{'host_id':'a','deadline_ms':90000000}"));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cordoned_host_gets_no_work_until_it_is_let_in_again_whoever_restarts),
        cmocka_unit_test(draining_moves_each_job_at_its_next_step_boundary),
        cmocka_unit_test(the_jobs_that_are_left_at_the_deadline_of_a_drain_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
