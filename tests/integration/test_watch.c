/* WatchJob and GetHistory: a reader that falls behind misses nothing, and a step that is not there is said,
 * never skipped. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <signal.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "cluster.h"

/* "a" waits for the gate and emits so many items, each with so many bytes, to "b", which counts them. */
static const char *submit_items(struct cluster *c, int items, size_t bytes)
{
    char *flow = NULL, *data = NULL, *x = calloc(1, bytes + 1);
    assert_non_null(x);
    memset(x, 'x', bytes);
    assert_true(asprintf(&flow,
                         "{'routines':[{'id':'a','type':'probe',"
                         "'config':{'do':{'in':[{'gate':'%s'},{'emit':'x','times':%d}]}}},"
                         "{'id':'b','type':'probe','config':{'do':{'in':[{'count':'n'}]}}}],"
                         "'connections':[{'from':{'routine':'a','event':'x'},"
                         "'to':{'routine':'b','slot':'in'}}]}",
                         cluster_file(c, "gate"), items) > 0);
    assert_true(asprintf(&data, "{'x':'%s'}", x) > 0);
    const char *job = submit_inline(c, flow, data);
    free(flow);
    free(data);
    free(x);
    return job;
}

/* grpcurl shows each step as an object whose first key is its number. Returns how many there are; they must
 * follow each other from `first`. */
static size_t check_numbers(const char *text, size_t first)
{
    static const char mark[] = "\"step\": {\n    \"number\": ";
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, mark)) != NULL; n++) {
        p += sizeof(mark) - 1;
        assert_int_equal(strtoul(p, NULL, 10), first + n);
    }
    return n;
}

/* 7 MB of steps, of which the coordinator keeps 256 KiB for a reader. */
static void a_reader_that_stands_still_gets_every_step_once_when_it_reads_again(void **state)
{
    (void)state;
    enum { ITEMS = 2500 };
    struct cluster c;
    struct proc slow;
    char command[1024], log[256], request[64];
    cluster_start_probes(&c, 1);
    const char *job = submit_items(&c, ITEMS, 1200);
    snprintf(log, sizeof(log), "%s/slow.log", c.dir);
    json_print(request, sizeof(request), "{'job_id':'%s'}", job);
    snprintf(command, sizeof(command), "exec %s %s -d '%s' %s fermata.v1.Jobs/WatchJob > %s",
             grpcurl_program(), grpcurl_way(), request, c.address, cluster_file(&c, "seen"));
    const char *argv[] = {"sh", "-c", command, NULL};
    proc_talk(&slow, log, argv);
    cluster_wait_log(&c, "seen", "JOB_STATUS_");
    proc_kill(&slow, SIGSTOP);
    cluster_open_gate(&c, "gate");
    json_t *fast = rpc_stream_all(c.address, "Jobs/WatchJob", "{'job_id':'%s'}", job); /* ends with the job */
    size_t n = json_array_size(fast);
    assert_string_equal(at(json_array_get(fast, n - 1), "job.status"), "JOB_STATUS_COMPLETED");
    json_decref(fast);
    proc_kill(&slow, SIGCONT);
    assert_int_equal(proc_wait(&slow), 0);
    char *text = file_text(cluster_file(&c, "seen"));
    assert_int_equal(check_numbers(text, 1), ITEMS + 1);
    assert_non_null(strstr(text, "JOB_STATUS_COMPLETED"));
    free(text);
    cluster_done(&c);
}

static void drop_step(struct cluster *c, int number)
{
    char file[256], sql[128];
    sqlite3 *db;
    snprintf(file, sizeof(file), "%s/fermata.db", c->data);
    snprintf(sql, sizeof(sql), "DELETE FROM records WHERE number=%d", number);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void expect(char *error, const char *text)
{
    if (strstr(error, text) == NULL)
        fail_msg("\"%s\" wanted, but: %s", text, error);
    free(error);
}

/* The job's snapshot covers the hole, so the job itself is sound. */
static void a_step_that_is_missing_in_the_store_is_told_to_who_reads_and_never_skipped(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    cluster_open_gate(&c, "gate");
    const char *job = submit_items(&c, 5, 3000);
    json_decref(wait_status(&c, job, "COMPLETED"));
    proc_stop(&c.coordinator);
    drop_step(&c, 3);
    cluster_coordinator(&c, NULL);
    json_decref(wait_status(&c, job, "COMPLETED"));
    expect(rpc_fails(c.address, "Jobs/WatchJob", "DataLoss", "{'job_id':'%s'}", job), "step 3 is missing");
    expect(rpc_fails(c.address, "Jobs/GetHistory", "DataLoss", "{'job_id':'%s'}", job), "step 3 is missing");
    expect(rpc_fails(c.address, "Jobs/GetHistory", "DataLoss", "{'job_id':'%s','from_step':3}", job),
           "step 4 follows");
    json_t *h = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s','from_step':4}", job);
    assert_int_equal(json_array_size(json_at(h, "steps")), 3);
    json_decref(h);
    json_t *all = rpc_stream_all(c.address, "Jobs/WatchJob", "{'job_id':'%s','from_step':4}", job);
    assert_int_equal(json_array_size(all), 5); /* the job, three steps, the job's end */
    json_decref(all);
    cluster_done(&c);
}

static void a_watch_from_beyond_the_end_of_a_job_is_told_its_last_step(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_items(&c, 2, 10);
    json_decref(wait_status(&c, job, "RUNNING"));
    struct proc early;
    rpc_start(&early, cluster_file(&c, "early.log"), c.address, "Jobs/WatchJob",
              "{'job_id':'%s','from_step':9}", job);
    proc_hear(&early, "JOB_STATUS_RUNNING");
    cluster_open_gate(&c, "gate");
    json_decref(wait_status(&c, job, "COMPLETED"));
    assert_int_not_equal(proc_wait(&early), 0); /* also when the job ends while it waits */
    expect(file_text(cluster_file(&c, "early.log")), "its last step is 3");
    expect(rpc_fails(c.address, "Jobs/WatchJob", "OutOfRange", "{'job_id':'%s','from_step':5}", job),
           "its last step is 3");
    json_t *all = rpc_stream_all(c.address, "Jobs/WatchJob", "{'job_id':'%s','from_step':4}",
                                 job); /* who has seen all of it */
    assert_int_equal(json_array_size(all), 2);
    json_decref(all);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_that_stands_still_gets_every_step_once_when_it_reads_again),
        cmocka_unit_test(a_step_that_is_missing_in_the_store_is_told_to_who_reads_and_never_skipped),
        cmocka_unit_test(a_watch_from_beyond_the_end_of_a_job_is_told_its_last_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
