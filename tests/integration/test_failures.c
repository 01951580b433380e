/* Failures with real daemons: killed hosts and coordinators, cut-off hosts, damaged and full stores. Nothing
 * acknowledged is lost, nothing is done twice. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "cluster.h"

static void resume(struct cluster *c, const char *job)
{
    json_decref(rpc(c->address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'x'}", job));
}

/* Every step once, in order. */
static void check_history(struct cluster *c, const char *job, size_t n)
{
    json_t *h = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_int_equal(json_array_size(json_at(h, "steps")), n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(
            json_integer_value(json_object_get(json_array_get(json_at(h, "steps"), i), "number")), i + 1);
    json_decref(h);
}

/* The index of the host on which the job is. */
static int host_of(struct cluster *c, const char *job)
{
    json_t *running = wait_status(c, job, "RUNNING");
    int i = cluster_host_index(at(running, "job.host"));
    json_decref(running);
    return i;
}

/* Waits until the job was given away from there: it is under its second epoch. */
static void wait_moved(struct cluster *c, const char *job)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool moved = false; !moved;) {
        json_t *running = wait_status(c, job, "RUNNING");
        moved = strcmp(at(running, "job.epoch"), "2") == 0;
        json_decref(running);
        test_pause(until, "the job has moved");
    }
}

/* Two hosts with probes and without supervisors: the lease alone decides. */
static void start_leases(struct cluster *c, int seconds)
{
    cluster_init(c);
    c->alone = c->probes = true;
    cluster_lease(c, seconds);
    cluster_coordinator(c, NULL);
    cluster_host(c, 0, "a", NULL);
    cluster_host(c, 1, "b", NULL);
}

static void a_killed_host_loses_its_jobs_to_others_when_its_lease_ends(void **state)
{
    (void)state;
    struct cluster c;
    start_leases(&c, 5);
    const char *job = submit_gates(&c, 1);
    int i = host_of(&c, job);
    proc_kill9(&c.hosts[i]);
    cluster_open_gate(&c, "gate1");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_int_equal(cluster_host_index(at(done, "job.lastHost")), 1 - i);
    assert_string_equal(at(done, "job.epoch"), "2");
    check_history(&c, job, 1);
    json_decref(done);
    cluster_done(&c);
}

static void a_stopped_host_comes_back_too_late_and_its_step_is_refused(void **state)
{
    (void)state;
    struct cluster c;
    start_leases(&c, 5);
    const char *job = submit_gates(&c, 1);
    int i = host_of(&c, job);
    proc_kill(&c.hosts[i], SIGSTOP);
    wait_moved(&c, job);
    cluster_open_gate(&c, "gate1");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_int_equal(cluster_host_index(at(done, "job.lastHost")), 1 - i);
    proc_kill(&c.hosts[i], SIGCONT);
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *hosts = rpc(c.address, "Hosts/ListHosts", "{}");
        bool both = strcmp(at(hosts, "hosts[0].status"), "HOST_STATUS_ATTACHED") == 0 &&
                    strcmp(at(hosts, "hosts[1].status"), "HOST_STATUS_ATTACHED") == 0;
        json_decref(hosts);
        if (both)
            break;
        test_pause(until, "the host is attached again");
    }
    check_history(&c, job, 1);
    json_decref(done);
    cluster_done(&c);
}

static void a_host_that_is_stopped_for_less_than_its_lease_loses_nothing(void **state)
{
    (void)state;
    struct cluster c;
    start_leases(&c, 300);
    const char *job = submit_gates(&c, 1);
    int i = host_of(&c, job);
    proc_kill(&c.hosts[i], SIGSTOP);
    cluster_open_gate(&c, "gate1"); /* nobody goes through it before the host goes on */
    proc_kill(&c.hosts[i], SIGCONT);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.epoch"), "1");
    json_decref(done);
    cluster_done(&c);
}

static void a_killed_host_that_is_started_again_gets_all_its_jobs_again(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = submit_gates(&c, 1);
        json_decref(wait_status(&c, jobs[i], "RUNNING"));
    }
    pid_t daemon = proc_daemon(&c.hosts[0], 0);
    proc_kill9(&c.hosts[0]);
    long long until = test_now_ms() + DEADLINE_MS;
    while (!proc_gone(daemon))
        test_pause(until, "the daemon has ended with its supervisor");
    cluster_host(&c, 0, "a", NULL);
    cluster_open_gate(&c, "gate1");
    for (int i = 0; i < 3; i++) {
        json_t *done = wait_status(&c, jobs[i], "COMPLETED");
        assert_string_equal(at(done, "job.epoch"), "2");
        json_decref(done);
        check_history(&c, jobs[i], 1);
    }
    cluster_done(&c);
}

static void sigterm_moves_the_jobs_of_a_host(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_gates(&c, 4);
    int i = host_of(&c, job);
    proc_kill(&c.hosts[i], SIGTERM);
    cluster_wait_stopping(&c, i);
    cluster_open_gate(&c, "gate1");
    assert_int_equal(proc_wait(&c.hosts[i]), 0);
    for (int k = 2; k <= 4; k++) {
        char gate[16];
        snprintf(gate, sizeof(gate), "gate%d", k);
        cluster_open_gate(&c, gate);
    }
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_int_equal(cluster_host_index(at(done, "job.lastHost")), 1 - i);
    check_history(&c, job, 4);
    json_decref(done);
    cluster_done(&c);
}

/* Asks when the gate is open, and ends with the answer. */
static const char *submit_question(struct cluster *c, const char *gate)
{
    char flow[512];
    snprintf(flow, sizeof(flow),
             "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'gate':'%s'},{'ask':'Go on?'}],"
             "'answer':[{'emit':'out'}]}}}]}",
             cluster_file(c, gate));
    return submit_inline(c, flow, "{}");
}

static void a_killed_coordinator_comes_back_with_all_jobs(void **state)
{
    (void)state;
    struct cluster c;
    /* The lease is long: the host has all the time it needs to reconnect, and must not lose the job. */
    cluster_start_probes(&c, 2);
    cluster_open_gate(&c, "open");
    const char *paused = submit_question(&c, "open");
    json_decref(wait_status(&c, paused, "PAUSED"));
    const char *running = submit_question(&c, "closed");
    json_decref(wait_status(&c, running, "RUNNING"));
    proc_kill9(&c.coordinator);
    cluster_open_gate(&c, "closed");
    cluster_coordinator(&c, NULL);
    json_t *j = wait_status(&c, running, "PAUSED");
    assert_string_equal(at(j, "job.epoch"),
                        "1"); /* the host went on with the step in hand, and reconnected */
    json_decref(j);
    resume(&c, running);
    resume(&c, paused);
    json_decref(wait_status(&c, paused, "COMPLETED"));
    json_decref(wait_status(&c, running, "COMPLETED"));
    check_history(&c, paused, 2);
    check_history(&c, running, 2);
    cluster_done(&c);
}

static void repeated_kills_of_the_coordinator_lose_no_acknowledged_job(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    put_trip(&c, "'delay_ms':5");
    const char *jobs[6];
    for (int i = 0; i < 6; i++) {
        jobs[i] = submit_trip(&c, "t");
        proc_kill9(&c.coordinator);
        cluster_coordinator(&c, NULL);
    }
    for (int i = 0; i < 6; i++) {
        json_decref(wait_status(&c, jobs[i], "PAUSED"));
        resume(&c, jobs[i]);
        json_decref(wait_status(&c, jobs[i], "COMPLETED"));
        check_history(&c, jobs[i], 2);
    }
    cluster_done(&c);
}

static void submits_answers_and_cancels_are_accepted_with_no_host(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    proc_stop(&c.hosts[0]);
    const char *other = submit_trip(&c, "u"), *third = submit_trip(&c, "v");
    resume(&c, job);
    json_t *waits = wait_status(&c, job, "PENDING");
    assert_string_equal(at(waits, "job.waitingReason"), "no host is connected");
    json_decref(waits);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", third));
    json_decref(wait_status(&c, third, "CANCELLED"));
    cluster_host(&c, 1, "b", NULL);
    json_decref(wait_status(&c, job, "COMPLETED"));
    json_decref(wait_status(&c, other, "PAUSED"));
    cluster_done(&c);
}

/* ---- the store ---- */

static char *coordinator_fails(struct cluster *c, const char *data)
{
    char path[512], log[256];
    snprintf(path, sizeof(path), "%s/coordinator/coordinator", getenv("BUILD_DIR"));
    snprintf(log, sizeof(log), "%s/fails-%lld.log", c->dir, test_now_ms());
    const char *argv[] = {path, "--listen", "127.0.0.1:0", "--data", data, NULL};
    return proc_fails(log, 1, argv);
}

static void expect_text(char *err, const char *text)
{
    if (strstr(err, text) == NULL)
        fail_msg("\"%s\" wanted, but: %s", text, err);
    free(err);
}

static void a_second_coordinator_on_the_same_store_fails_clearly(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    expect_text(coordinator_fails(&c, c.data), "another coordinator");
    cluster_done(&c);
}

static void a_damaged_a_foreign_and_a_newer_store_are_refused(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    put_trip(&c, "");
    proc_stop(&c.coordinator);
    char file[256];
    snprintf(file, sizeof(file), "%s/fermata.db", c.data);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_text(coordinator_fails(&c, c.data), "schema version 99");
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=1; PRAGMA application_id=7", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    expect_text(coordinator_fails(&c, c.data), "another program");
    int fd = open(file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char junk[8192];
    memset(junk, 0x5a, sizeof(junk));
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
    close(fd);
    expect_text(coordinator_fails(&c, c.data), "damaged");
    cluster_done(&c);
}

static void a_store_that_cannot_be_written_is_refused(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    proc_stop(&c.coordinator);
    assert_int_equal(mount(c.data, c.data, NULL, MS_BIND, NULL),
                     0); /* tests run as root, whom modes do not stop */
    assert_int_equal(mount(NULL, c.data, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    char *err = coordinator_fails(&c, c.data);
    assert_int_equal(umount(c.data), 0);
    expect_text(err, "Read-only file system");
    expect_text(coordinator_fails(&c, "/proc/nowhere"), "cannot be made");
    cluster_done(&c);
}

static void a_full_disk_refuses_writes_serves_reads_and_recovers(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    assert_int_equal(mkdir(c.data, 0700), 0);
    assert_int_equal(mount("tmpfs", c.data, "tmpfs", 0, "size=3m,mode=700"), 0); /* tests run as root */
    cluster_coordinator(&c, NULL);
    const char *more[] = {"--label", "zone=a", NULL};
    cluster_host(&c, 0, "a", more);
    put_trip(&c, "");
    const char *job = submit_trip(&c, "kept");
    json_decref(wait_status(&c, job, "PAUSED"));
    char ballast[256];
    snprintf(ballast, sizeof(ballast), "%s/ballast", c.data);
    int fd = open(ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char block[4096] = {1};
    while (write(fd, block, sizeof(block)) > 0)
        continue;
    close(fd);
    char task[60000];
    memset(task, 'x', sizeof(task) - 1);
    task[sizeof(task) - 1] = '\0';
    free(rpc_fails(c.address, "Jobs/SubmitJob", "ResourceExhausted",
                   "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'task':'%s'}}",
                   task));
    json_decref(wait_status(&c, job, "PAUSED"));
    assert_int_equal(unlink(ballast), 0);
    resume(&c, job);
    json_decref(wait_status(&c, job, "COMPLETED"));
    check_history(&c, job, 2);
    proc_stop(&c.hosts[0]);
    proc_stop(&c.coordinator);
    assert_int_equal(umount(c.data), 0);
    cluster_done(&c);
}

/* A host by hand: everything a host does can be done with grpcurl. */
static void a_whole_job_can_be_run_by_hand_over_the_host_protocol(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    json_t *j = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'r','type':'handmade'}]},"
                    "'entry':{'routine':'r','slot':'in'},'data':{'n':1}}");
    struct proc hand;
    rpc_talk(&hand, cluster_file(&c, "hand.log"), c.address, "HostAgent/Attach");
    rpc_say(&hand, "{'hello':{'host_id':'hand','incarnation':'one','protocol_version':1,'capacity':1,"
                   "'routine_types':[{'name':'handmade','version':1,'slots':['*'],'events':['*']}]}}");
    rpc_hear(&hand, "'assign'");
    char *step = json_format("{'steps':{'steps':[{'job_id':'%s','step':{'number':1,'epoch':1,"
                             "'task_id':'i1','routine':'r','slot':'in','inputs_through':1,"
                             "'emissions':[{'event':'out','data':{'n':2}}],"
                             "'outcome':'STEP_OUTCOME_COMPLETE'}}]}}",
                             at(j, "jobId"));
    rpc_say(&hand, "%s", step);
    rpc_hear(&hand, "'released': true");
    json_t *done = wait_status(&c, at(j, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.n"), "2");
    assert_string_equal(at(done, "job.lastHost"), "hand");
    rpc_say(&hand, "%s", step); /* again, when the job has ended: refused */
    rpc_hear(&hand, "'stepReject'");
    rpc_say(&hand, "{'goodbye':{'reason':'enough'}}");
    free(step);
    close(hand.in);
    hand.in = -1;
    assert_int_equal(proc_wait(&hand), 0);
    check_history(&c, at(j, "jobId"), 1);
    json_decref(done);
    json_decref(j);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_host_loses_its_jobs_to_others_when_its_lease_ends),
        cmocka_unit_test(a_stopped_host_comes_back_too_late_and_its_step_is_refused),
        cmocka_unit_test(a_host_that_is_stopped_for_less_than_its_lease_loses_nothing),
        cmocka_unit_test(a_killed_host_that_is_started_again_gets_all_its_jobs_again),
        cmocka_unit_test(sigterm_moves_the_jobs_of_a_host),
        cmocka_unit_test(a_killed_coordinator_comes_back_with_all_jobs),
        cmocka_unit_test(repeated_kills_of_the_coordinator_lose_no_acknowledged_job),
        cmocka_unit_test(submits_answers_and_cancels_are_accepted_with_no_host),
        cmocka_unit_test(a_second_coordinator_on_the_same_store_fails_clearly),
        cmocka_unit_test(a_damaged_a_foreign_and_a_newer_store_are_refused),
        cmocka_unit_test(a_store_that_cannot_be_written_is_refused),
        cmocka_unit_test(a_full_disk_refuses_writes_serves_reads_and_recovers),
        cmocka_unit_test(a_whole_job_can_be_run_by_hand_over_the_host_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
