/* What fails for a while is an error for callers and is tried again inside; what is broken for good is one
 * job's matter. A coordinator with nothing to do does nothing. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "cluster.h"

/* "a" leaves a mark, waits for the gate, and puts out what it got. */
static const char *submit_gated(struct cluster *c, const char *mark)
{
    return submit_flow(c, "{'n':1}",
                       "{'routines':[{'id':'a','type':'probe_fx',"
                       "'config':{'do':{'in':[{'touch':'%s'},{'gate':'%s'},{'emit':'out'}]}}}]}",
                       cluster_file(c, mark), cluster_file(c, "gate"));
}

static void wait_lines(struct cluster *c, const char *name, size_t n)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(c, name) < n)
        test_pause(until, name);
}

static void fill_disk(const char *ballast)
{
    static const char block[4096] = {1};
    int fd = open(ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0)
        continue;
    close(fd);
}

/* So often, since the last bytes of a full disk may still take a small record. */
static void submit_until_refused(struct cluster *c)
{
    char task[60000];
    memset(task, 'x', sizeof(task) - 1);
    task[sizeof(task) - 1] = '\0';
    char *error = rpc_fails(c->address, "Jobs/SubmitJob", "ResourceExhausted",
                            "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},"
                            "'data':{'task':'%s'}}",
                            task);
    assert_non_null(strstr(error, "google.rpc.RetryInfo")); /* it passes: trying again helps */
    free(error);
}

static void a_step_made_while_the_disk_is_full_is_kept_by_its_host_until_there_is_room(void **state)
{
    (void)state;
    struct cluster c;
    char ballast[256], lost[64];
    cluster_init(&c);
    c.probes = true;
    assert_int_equal(mkdir(c.data, 0700), 0);
    assert_int_equal(mount("tmpfs", c.data, "tmpfs", 0, "size=3m,mode=700"), 0); /* tests run as root */
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    put_trip(&c, "'ask':false");
    pid_t coordinator = c.coordinator.pid;
    const char *job = submit_gated(&c, "begun");
    wait_lines(&c, "begun", 1);
    snprintf(ballast, sizeof(ballast), "%s/ballast", c.data);
    fill_disk(ballast);
    submit_until_refused(&c);
    fill_disk(ballast); /* what that may have left */
    cluster_open_gate(&c, "gate");
    snprintf(lost, sizeof(lost), "reading the job again job=%s", job);
    cluster_wait_log(&c, "coordinator.log", lost); /* the step could not be stored */
    json_t *j = wait_status(&c, job, "RUNNING");
    assert_string_equal(at(j, "job.stepCount"), "");
    json_decref(j);
    assert_int_equal(unlink(ballast), 0);
    j = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(j, "job.epoch"), "1");
    assert_string_equal(at(j, "job.stepCount"), "1");
    json_decref(j);
    assert_int_equal(cluster_lines(&c, "begun"), 1); /* the handler did not run again */
    json_decref(wait_status(&c, submit_trip(&c, "t"), "COMPLETED"));
    assert_int_equal(c.coordinator.pid, coordinator);
    assert_false(proc_gone(coordinator));
    proc_stop(&c.hosts[0]);
    proc_stop(&c.coordinator);
    assert_int_equal(umount(c.data), 0);
    cluster_done(&c);
}

static void change(struct cluster *c, const char *sql)
{
    char file[256];
    sqlite3 *db;
    snprintf(file, sizeof(file), "%s/fermata.db", c->data);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_changes(db), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_job_whose_record_is_broken_keeps_no_other_from_going_on(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    const char *broken = submit_gated(&c, "one"), *sound = submit_gated(&c, "two");
    json_decref(wait_status(&c, sound, "PENDING"));
    proc_stop(&c.coordinator);
    change(&c, "UPDATE jobs SET head=x'ffffff' WHERE id=(SELECT min(id) FROM jobs)");
    cluster_coordinator(&c, NULL);
    cluster_open_gate(&c, "gate");
    cluster_host(&c, 0, "a", NULL);
    json_decref(wait_status(&c, sound, "COMPLETED"));
    static const char *const methods[] = {"Jobs/GetJob", "Jobs/WatchJob", "Jobs/CancelJob",
                                          "Jobs/ExplainJob"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char *error = rpc_fails(c.address, methods[i], "DataLoss", "{'job_id':'%s'}", broken);
        assert_non_null(strstr(error, "malformed"));
        free(error);
    }
    json_t *all = rpc(c.address, "Jobs/ListJobs", "{}"); /* lists are whole, and tell of it */
    assert_int_equal(json_array_size(json_at(all, "jobs")), 2);
    assert_string_equal(at(all, "jobs[0].jobId"), sound);
    assert_string_equal(at(all, "jobs[0].status"), "JOB_STATUS_COMPLETED");
    assert_string_equal(at(all, "jobs[1].jobId"), broken);
    assert_string_equal(at(all, "jobs[1].error.code"), "DATA_LOSS");
    json_decref(all);
    cluster_done(&c);
}

/* Inputs are the job's own, and what wakes it stands in the same commit: nobody has to be there. */
static void an_input_that_was_acknowledged_wakes_a_sleeping_job_whoever_dies(void **state)
{
    (void)state;
    struct cluster c;
    const char *jobs[6];
    cluster_start_probes(&c, 1);
    for (int i = 0; i < 6; i++) {
        jobs[i] = submit_inline(&c,
                                "{'routines':[{'id':'a','type':'probe',"
                                "'config':{'do':{'in':[{'schedule':'late','ms':3600000,'key':'k'}],"
                                "'stop':[{'unschedule':'k'},{'emit':'out'}]}}}]}",
                                "{}");
        json_decref(wait_status(&c, jobs[i], "SLEEPING"));
    }
    proc_stop(&c.hosts[0]);
    for (int i = 0; i < 6; i++) {
        json_decref(rpc(c.address, "Jobs/SendInput",
                        "{'job_id':'%s','to':{'routine':'a','slot':'stop'},'data':{'n':%d}}", jobs[i],
                        i + 1));
        proc_kill9(&c.coordinator);
        cluster_coordinator(&c, NULL);
    }
    for (int i = 0; i < 6; i++)
        json_decref(wait_status(&c, jobs[i], "PENDING"));
    cluster_host(&c, 1, "b", NULL);
    for (int i = 0; i < 6; i++) {
        json_t *done = wait_status(&c, jobs[i], "COMPLETED");
        assert_int_equal(json_array_size(json_at(done, "job.state.outputs")), 1);
        assert_int_equal(json_integer_value(json_at(done, "job.state.outputs[0].data.n")), i + 1);
        json_decref(done);
    }
    cluster_done(&c);
}

/* Wake-ups of a coordinator with nothing to do, within 4 s. Thread sanitizer has a thread of its own that
 * wakes ten times a second. */
#define IDLE_WAKEUPS (30 + (TEST_TSAN ? 80 : 0))

/* How often threads of the process have gone to sleep: each wake-up counts once. */
static long long wakeups(pid_t pid)
{
    char path[64];
    long long sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        static const char key[] = "\nvoluntary_ctxt_switches:";
        char file[400];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s/status", path, e->d_name);
        char *text = file_text(file), *p = strstr(text, key);
        sum += p == NULL ? 0 : strtoll(p + sizeof(key) - 1, NULL, 10);
        free(text);
    }
    closedir(d);
    return sum;
}

static void a_coordinator_whose_jobs_all_wait_does_not_look_whether_something_has_happened(void **state)
{
    (void)state;
    struct cluster c;
    struct proc watch;
    cluster_start(&c, 1);
    put_trip(&c, "");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    proc_stop(&c.hosts[0]); /* a host would send heartbeats */
    rpc_start(&watch, cluster_file(&c, "watch.log"), c.address, "Jobs/WatchJob", "{'job_id':'%s'}", job);
    proc_hear(&watch, "JOB_STATUS_PAUSED");
    long long n = 0, ms = 1;
    for (int i = 0; i < 4; i++) { /* on a busy machine something of before may still go on */
        long long before = wakeups(c.coordinator.pid), began = test_now_ms();
        while (test_now_ms() < began + 4000)
            usleep(100000);
        n = wakeups(c.coordinator.pid) - before;
        ms = test_now_ms() - began;
        if (n <= IDLE_WAKEUPS * ms / 4000)
            break;
    }
    if (n > IDLE_WAKEUPS * ms / 4000)
        fail_msg("%lld wake-ups within %lld ms of a coordinator with nothing to do", n, ms);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    proc_hear(&watch, "JOB_STATUS_CANCELLED");
    assert_int_equal(proc_wait(&watch), 0);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_made_while_the_disk_is_full_is_kept_by_its_host_until_there_is_room),
        cmocka_unit_test(a_job_whose_record_is_broken_keeps_no_other_from_going_on),
        cmocka_unit_test(an_input_that_was_acknowledged_wakes_a_sleeping_job_whoever_dies),
        cmocka_unit_test(a_coordinator_whose_jobs_all_wait_does_not_look_whether_something_has_happened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
