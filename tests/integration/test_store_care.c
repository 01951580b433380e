/* The store's care with the real program: offline verification finds what is wrong and names it; a backup is
 * made while jobs run, and a coordinator goes on from it. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "cluster.h"

/* Runs the coordinator with this option on a directory; returns its exit code and what it said. */
static int care(const char *option, const char *value, const char *dir, char **ret_out)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/coordinator/coordinator", getenv("BUILD_DIR"));
    const char *argv[8] = {path, "--data", dir, option, value, NULL};
    char *out = NULL, *err = NULL;
    int code = proc_run(argv, NULL, &out, &err);
    assert_true(asprintf(ret_out, "%s%s", out, err) >= 0);
    free(out);
    free(err);
    return code;
}

static void check_verdict(struct cluster *c, int want, const char *text)
{
    char *said = NULL;
    int code = care("--verify", NULL, c->data, &said);
    if (code != want || strstr(said, text) == NULL)
        fail_msg("exit code %d, and it says: %s", code, said);
    free(said);
}

static void change(struct cluster *c, const char *sql)
{
    char file[256];
    sqlite3 *db;
    snprintf(file, sizeof(file), "%s/fermata.db", c->data);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    if (sqlite3_changes(db) == 0)
        fail_msg("%s changed nothing", sql);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_sound_store_is_found_sound_and_damage_is_named(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    put_trip(&c, "'script':[{'say':'1'},{'say':'2'},{'say':'3'},{'ask':'Well?'}]");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/ClaimPause", "{'job_id':'%s','by':'ann'}", job)); /* two entries */
    json_decref(rpc(c.address, "Jobs/ReleasePause", "{'job_id':'%s','by':'ann'}", job));
    char *said = NULL;
    assert_int_equal(care("--verify", NULL, c.data, &said), 1);
    assert_non_null(strstr(said, "another coordinator")); /* it is in use */
    free(said);
    proc_stop(&c.coordinator);
    check_verdict(&c, 0, "1 jobs, 4 steps: 0 faults");
    change(&c, "UPDATE entries SET step=9 WHERE number=2");
    check_verdict(&c, 1, "entry 2 stands after step 9; 4 steps are stored");
    check_verdict(&c, 1, "entry 2 does not match its checksum");
    change(&c, "UPDATE entries SET step=4 WHERE number=2");
    check_verdict(&c, 0, "0 faults");
    change(&c, "DELETE FROM entries WHERE number=1");
    check_verdict(&c, 1, "entry 2 follows entry 0");
    change(&c, "DELETE FROM records WHERE number=2");
    check_verdict(&c, 1, "step 3 does not follow step 1");
    check_verdict(&c, 1, job);
    cluster_done(&c);
}

/* It is the store that is damaged, and nothing that the caller has said. */
static void a_job_that_does_not_fold_is_told_as_data_loss_without_a_field(void **state)
{
    (void)state;
    static const char *const methods[] = {"Jobs/GetJob", "Jobs/WatchJob", "Jobs/ExplainJob",
                                          "Jobs/CancelJob"};
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "'script':[{'say':'1'},{'say':'2'},{'say':'3'},{'ask':'Well?'}]");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    proc_stop(&c.coordinator);
    change(&c, "DELETE FROM records WHERE number=2");
    cluster_coordinator(&c, NULL);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char *error = rpc_fails(c.address, methods[i], "DataLoss", "{'job_id':'%s'}", job);
        if (strstr(error, "stored step 3 does not fold") == NULL || strstr(error, "BadRequest") != NULL)
            fail_msg("%s: %s", methods[i], error);
        free(error);
    }
    cluster_done(&c);
}

static void a_job_that_nothing_would_wake_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "'ask':false");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "COMPLETED"));
    proc_stop(&c.coordinator);
    check_verdict(&c, 0, "0 faults");
    /* "status" is field 2 of the record: 0x10 0x05 (COMPLETED) right behind the id becomes 0x10 0x04
     * (SLEEPING). */
    change(&c, "UPDATE jobs SET head=CAST(substr(head,1,28)||x'1004'||substr(head,31) AS BLOB)");
    check_verdict(&c, 1, "nothing would ever wake it");
    cluster_done(&c);
}

/* A job with labels and a snapshot that waits for an answer, one that has ended, and a host that is
 * remembered. */
static void make_store(struct cluster *c)
{
    char long_text[3001], script[16000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    snprintf(script, sizeof(script),
             "'script':[{'say':'%s'},{'say':'%s'},{'say':'%s'},{'say':'%s'},{'ask':'?'}]", long_text,
             long_text, long_text, long_text);
    cluster_start(c, 1);
    put_trip(c, script);
    json_t *j = rpc(c->address, "Jobs/SubmitJob",
                    "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'task':'t'},"
                    "'shared_data':{'a':1,'b':2},'labels':{'team':'red'}}");
    json_decref(wait_status(c, at(j, "jobId"), "PAUSED"));
    json_decref(j);
    put_trip(c, "'ask':false");
    json_decref(wait_status(c, submit_trip(c, "t"), "COMPLETED"));
    json_decref(rpc(c->address, "Hosts/CordonHost", "{'host_id':'a'}"));
    proc_stop(&c->hosts[0]);
    proc_stop(&c->coordinator);
    check_verdict(c, 0, "2 jobs, 6 steps: 0 faults");
}

static void every_kind_of_damage_is_named(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *sql, *said;
    } damage[] = {
        {"DELETE FROM records WHERE number>0", "0 steps are stored; its record counts 5"},
        {"DELETE FROM bodies WHERE id IN (SELECT at FROM records WHERE number=1)",
         "the body of step 1 is missing"},
        {"DELETE FROM bodies WHERE id IN (SELECT at FROM records WHERE number=-1)",
         "the body of input 1 is missing"},
        {"DELETE FROM records WHERE number=5", "4 steps are stored; its record counts 5"},
        {"DELETE FROM records WHERE number=-1", "0 inputs are stored; its record counts 1"},
        {"UPDATE bodies SET body=x'ff' WHERE id IN (SELECT at FROM records WHERE number=2)",
         "step 2 is malformed"},
        {"UPDATE snapshots SET "
         "body=CAST(substr(body,1,instr(body,x'78787878')-1)||x'4841434b'||substr(body,instr(body,x'78787878'"
         ")+4) AS BLOB)", "is not what its steps fold to"},
        {"UPDATE bodies SET body=CAST(substr(body,1,instr(body,x'78787878')-1)||x'4841434b'||substr(body,instr(body,"
         "x'78787878')+4) AS BLOB) WHERE id IN (SELECT at FROM records WHERE number=4) AND instr(body,x'78787878')>0",
         "step 4 does not match its checksum"},
        {"UPDATE bodies SET sum=sum+1 WHERE id IN (SELECT at FROM records WHERE number=-1)", "input 1 does not match its checksum"},
        {"UPDATE records SET at=(SELECT at FROM records WHERE number=3) WHERE number=4", "step 4 does not match its checksum"},
        {"UPDATE jobs SET sum=0", "its record does not match its checksum"},
        {"UPDATE snapshots SET number=number-1", "its row says"},
        {"UPDATE snapshots SET body=x'ff'", "is malformed"},
        {"UPDATE flow_defs SET body=x'ff'", "its body does not match its digest"},
        {"DELETE FROM flow_defs", "its flow has no sound definition"},
        {"DELETE FROM flow_defs", "flow \"trip\" version 1: it has no sound definition"},
        {"UPDATE flows SET summary=x'ff'", "its summary is malformed"},
        {"UPDATE jobs SET status=5 WHERE status=3", "its row says status 5, its record PAUSED"},
        {"UPDATE jobs SET flow='other'", "its row says flow \"other\""},
        {"UPDATE jobs SET host='other'", "its row says host \"other\""},
        {"UPDATE jobs SET wake=1", "its row wakes it at 1, but it waits for no time"},
        {"UPDATE jobs SET head=x'ff'", "its record is malformed"},
        {"UPDATE jobs SET head=CAST(substr(head,1,28)||x'1063'||substr(head,31) AS BLOB)",
         "status 99 is unknown"},
        {"DELETE FROM labels", "0 labels are stored; its record has 1"},
        {"UPDATE labels SET value='blue'", "label team=blue is stored; its record has none"},
        {"UPDATE hosts SET body=x'ff'", "host \"a\": its record is malformed"},
        {"INSERT INTO labels VALUES('k','v',zeroblob(16))", "labels of a job that is not in the store"},
        {"INSERT INTO bodies(body) VALUES(x'00')", "bodies that are of no step or input: 1"},
        {"INSERT INTO records VALUES(zeroblob(16),1,1)", "steps or inputs of a job that is not in the store"},
        {"INSERT INTO snapshots(job,number,body) VALUES(zeroblob(16),1,x'00')",
         "snapshot of a job that is not in the store"},
        {"INSERT INTO usage VALUES('x',zeroblob(16),'',0,0,0,0,0)", "a row of usage is malformed"},
    };
    /* clang-format on */
    struct cluster c;
    char sound[256];
    make_store(&c);
    snprintf(sound, sizeof(sound), "%s", c.data);
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        snprintf(c.data, sizeof(c.data), "%.140s/%zu", c.dir, i);
        const char *copy[] = {"cp", "-r", sound, c.data, NULL};
        char *out = NULL, *err = NULL;
        assert_int_equal(proc_run(copy, NULL, &out, &err), 0);
        free(out);
        free(err);
        change(&c, damage[i].sql);
        check_verdict(&c, 1, damage[i].said);
    }
    cluster_done(&c);
}

/* What an older version has written is checked as far as it goes, and a coordinator goes on from it. */
static void a_store_without_checksums_is_checked_as_it_is_and_gets_them_for_what_is_new(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    put_trip(&c, "");
    const char *job = submit_trip(&c, "t");
    json_decref(wait_status(&c, job, "PAUSED"));
    proc_stop(&c.coordinator);
    change(&c, "ALTER TABLE jobs DROP COLUMN sum; ALTER TABLE bodies DROP COLUMN sum; ALTER TABLE snapshots "
               "DROP COLUMN "
               "sum; DROP TABLE flow_numbers; DROP TABLE entries; DROP TABLE generations; PRAGMA "
               "user_version=3; UPDATE jobs SET wake=NULL");
    check_verdict(&c, 0, "1 jobs, 1 steps: 0 faults");
    check_verdict(&c, 0, "3 records were written by an older version and have no checksum");
    cluster_coordinator(&c, NULL);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'x'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    proc_stop(&c.coordinator);
    check_verdict(&c, 0,
                  "2 records were written by an older version and have no checksum"); /* the record is new */
    cluster_done(&c);
}

static size_t files_in(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    assert_int_equal(closedir(d), 0);
    return n;
}

static void what_is_no_store_is_said_and_nothing_is_written(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    check_verdict(&c, 1, "there is no directory");
    assert_int_equal(mkdir(c.data, 0700), 0);
    check_verdict(&c, 1, "there is no store in");
    assert_int_equal(files_in(c.data), 0);
    char file[256];
    snprintf(file, sizeof(file), "%.180s/fermata.db", c.data);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    check_verdict(&c, 1, "there is no store in");
    assert_int_equal(files_in(c.data), 1);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 0);
    for (int i = 0; i < 1000; i++)
        fputs("no database", f);
    assert_int_equal(fclose(f), 0);
    check_verdict(&c, 1, "is damaged");
    assert_int_equal(files_in(c.data), 1);
    cluster_done(&c);
}

/* What a killed coordinator committed last is only in SQLite's log. */
static void a_killed_coordinators_store_is_checked_with_its_log_and_not_changed(void **state)
{
    (void)state;
    struct cluster c;
    char file[256];
    struct stat before, after;
    cluster_start(&c, 1);
    put_trip(&c, "'ask':false");
    json_decref(wait_status(&c, submit_trip(&c, "t"), "COMPLETED"));
    proc_kill9(&c.coordinator);
    snprintf(file, sizeof(file), "%.180s/fermata.db-wal", c.data);
    assert_int_equal(stat(file, &before), 0);
    check_verdict(&c, 0, "1 jobs, 1 steps: 0 faults");
    assert_int_equal(stat(file, &after), 0);
    assert_true(before.st_size > 0 && before.st_size == after.st_size);
    assert_int_equal(before.st_mtime, after.st_mtime);
    change(&c, "PRAGMA user_version=2; UPDATE jobs SET wake=NULL");
    check_verdict(&c, 1, "has schema version 2");
    check_verdict(&c, 1, "has schema version 2"); /* it was not brought up to date */
    cluster_done(&c);
}

static void a_backup_is_made_while_jobs_run_and_a_coordinator_goes_on_from_it(void **state)
{
    (void)state;
    struct cluster c;
    char file[256], restored[256], command[1024];
    cluster_start(&c, 2);
    put_trip(&c, "'delay_ms':1");
    char jobs[20][32];
    for (int i = 0; i < 20; i++)
        snprintf(jobs[i], sizeof(jobs[i]), "%.31s", submit_trip(&c, "t"));
    json_decref(wait_status(&c, jobs[0], "PAUSED"));
    snprintf(file, sizeof(file), "%s/backup.db", c.dir);
    char *said = NULL;
    if (care("--backup", file, c.data, &said) != 0)
        fail_msg("%s", said);
    free(said);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600); /* as the store */
    assert_int_equal(care("--backup", file, c.data, &said), 1);
    assert_non_null(strstr(said, "already exists"));
    free(said);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'x'}", jobs[0]));
    json_decref(wait_status(&c, jobs[0], "COMPLETED"));
    proc_stop(&c.coordinator);
    /* Restored: the file in a directory of its own. All jobs are as they were when it was made. */
    snprintf(restored, sizeof(restored), "%s/restored", c.dir);
    snprintf(command, sizeof(command), "mkdir -m 700 %s && cp %s %s/fermata.db", restored, file, restored);
    const char *argv[] = {"sh", "-c", command, NULL};
    char *out = NULL, *err = NULL;
    assert_int_equal(proc_run(argv, NULL, &out, &err), 0);
    free(out);
    free(err);
    const char *const places[] = {restored, file}; /* also the file itself */
    for (int i = 0; i < 2; i++) {
        if (care("--verify", NULL, places[i], &said) != 0)
            fail_msg("%s", said);
        free(said);
    }
    assert_int_equal(files_in(restored), 1);
    snprintf(c.data, sizeof(c.data), "%.159s", restored);
    cluster_coordinator(&c, NULL);
    for (int i = 0; i < 20; i++) {
        json_decref(wait_status(&c, jobs[i], "PAUSED"));
        json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'y'}", jobs[i]));
    }
    for (int i = 0; i < 20; i++)
        json_decref(wait_status(&c, jobs[i], "COMPLETED"));
    cluster_done(&c);
}

/* A coordinator whose disk dies when the file "bad" is there, and stands still while "slow" is (bad_disk.c).
 */
static void start_on_bad_disk(struct cluster *c)
{
    char library[512];
    snprintf(library, sizeof(library), "%s/tests/support/libbad_disk.so", getenv("BUILD_DIR"));
    assert_int_equal(access(library, R_OK), 0);
    cluster_init(c);
    c->probes = true;
    assert_int_equal(setenv("LD_PRELOAD", library, 1), 0);
    assert_int_equal(setenv("BAD_DISK", cluster_file(c, "bad"), 1), 0);
    assert_int_equal(setenv("SLOW_DISK", cluster_file(c, "slow"), 1), 0);
    const char *sanitizer = getenv("ASAN_OPTIONS");
    char options[256], *before = sanitizer == NULL ? NULL : strdup(sanitizer);
    snprintf(options, sizeof(options), "%s:verify_asan_link_order=0", before == NULL ? "" : before);
    assert_int_equal(setenv("ASAN_OPTIONS", options, 1), 0);
    cluster_coordinator(c, NULL);
    assert_int_equal(unsetenv("LD_PRELOAD"), 0);
    assert_int_equal(before == NULL ? unsetenv("ASAN_OPTIONS") : setenv("ASAN_OPTIONS", before, 1), 0);
    free(before);
}

/* Whether what was written when fsync failed is there is unknown: nothing of it is believed until it has been
 * read again. */
static void a_disk_that_fails_to_sync_fails_callers_and_loses_and_doubles_nothing(void **state)
{
    (void)state;
    static const char submit[] = "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},"
                                 "'data':{'task':'t'},'request_id':'again'}";
    struct cluster c;
    start_on_bad_disk(&c);
    cluster_host(&c, 0, "a", NULL);
    put_trip(&c, "'ask':false");
    const char *job = submit_gates(&c, 1);
    json_decref(wait_status(&c, job, "RUNNING"));
    cluster_open_gate(&c, "bad");
    char *refused = rpc_fails(c.address, "Jobs/SubmitJob", "Unavailable", "%s", submit);
    assert_non_null(strstr(refused, "I/O error"));
    free(refused);
    json_decref(rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job)); /* reading goes on */
    cluster_open_gate(&c, "gate1");
    cluster_wait_log(&c, "coordinator.log", "steps could not be stored");
    assert_int_equal(unlink(cluster_file(&c, "bad")), 0);
    json_t *first = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(first, "job.epoch"), "1");
    assert_string_equal(at(first, "job.stepCount"), "1");
    json_t *second = rpc(c.address, "Jobs/SubmitJob", "%s", submit);
    json_decref(wait_status(&c, at(second, "jobId"), "COMPLETED"));
    json_t *all = rpc(c.address, "Jobs/ListJobs", "{}");
    assert_int_equal(json_array_size(json_at(all, "jobs")), 2);
    json_decref(first);
    json_decref(second);
    json_decref(all);
    proc_stop(&c.hosts[0]);
    proc_stop(&c.coordinator);
    check_verdict(&c, 0, "2 jobs, 2 steps: 0 faults");
    cluster_done(&c);
}

static int remembered_hosts(struct cluster *c)
{
    char file[256];
    sqlite3 *db;
    sqlite3_stmt *q;
    snprintf(file, sizeof(file), "%s/fermata.db", c->data);
    assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM hosts", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int n = sqlite3_column_int(q, 0);
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return n;
}

/* The host is away, and nothing else is to be remembered of it: nobody but the operator speaks of it again.
 */
static void a_host_that_is_let_in_while_the_disk_fails_is_so_on_disk_as_soon_as_it_works(void **state)
{
    (void)state;
    struct cluster c;
    start_on_bad_disk(&c);
    cluster_host(&c, 0, "a", NULL);
    put_trip(&c, "'ask':false");
    json_decref(rpc(c.address, "Hosts/CordonHost", "{'host_id':'a'}"));
    proc_stop(&c.hosts[0]);
    cluster_wait_log(&c, "coordinator.log", "host left");
    cluster_open_gate(&c, "bad");
    for (int i = 0; i < 2; i++) /* also when it is repeated it is not said that there is no such host */
        free(rpc_fails(c.address, "Hosts/CordonHost", "Unavailable", "{'host_id':'a','uncordon':true}"));
    assert_int_equal(unlink(cluster_file(&c, "bad")), 0);
    long long until = test_now_ms() + DEADLINE_MS;
    while (remembered_hosts(&c) > 0)
        test_pause(until, "the coordinator does not store again what it could not store");
    proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    json_decref(wait_status(&c, submit_trip(&c, "t"), "COMPLETED"));
    cluster_done(&c);
}

/* Waits until the call answers with this text at this path. */
static void wait_answer(struct cluster *c, const char *method, const char *job, const char *path,
                        const char *want)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool is = false; !is;) {
        json_t *r =
            job == NULL ? rpc(c->address, method, "{}") : rpc(c->address, method, "{'job_id':'%s'}", job);
        is = strcmp(at(r, path), want) == 0;
        json_decref(r);
        if (!is)
            test_pause(until, want);
    }
}

/* The repeated submit has the only place until the disk says that it is one; the disk is busy with something
 * else. */
static void a_repeated_submit_leaves_its_place_to_a_job_that_waits(void **state)
{
    (void)state;
    static const char submit[] = "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},"
                                 "'data':{'task':'t'},'request_id':'again'}";
    struct cluster c;
    struct proc other, again, resume;
    start_on_bad_disk(&c);
    cluster_host(&c, 0, "a", (const char *const[]){"--capacity", "1", NULL});
    put_trip(&c, "");
    json_t *first = rpc(c.address, "Jobs/SubmitJob", "%s", submit);
    const char *job = at(first, "jobId");
    json_decref(wait_status(&c, job, "PAUSED"));
    cluster_open_gate(&c, "slow");
    rpc_start(&other, cluster_file(&c, "call.log"), c.address, "Hosts/CordonHost",
              "{'host_id':'a','uncordon':true}");
    long long until = test_now_ms() + DEADLINE_MS;
    while (access(cluster_file(&c, "slow.held"), F_OK) != 0)
        test_pause(until, "the disk is busy");
    rpc_start(&again, cluster_file(&c, "call.log"), c.address, "Jobs/SubmitJob", "%s", submit);
    wait_answer(&c, "Hosts/ListHosts", NULL, "hosts[0].jobCount", "1");
    rpc_start(&resume, cluster_file(&c, "call.log"), c.address, "Jobs/ResumeJob",
              "{'job_id':'%s','answer':'y'}", job);
    wait_answer(&c, "Jobs/ExplainJob", job, "status", "JOB_STATUS_PENDING");
    assert_int_equal(unlink(cluster_file(&c, "slow")), 0);
    assert_int_equal(proc_wait(&other), 0);
    assert_int_equal(proc_wait(&again), 0);
    assert_int_equal(proc_wait(&resume), 0);
    json_decref(wait_status(&c, job, "COMPLETED"));
    json_decref(first);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_is_found_sound_and_damage_is_named),
        cmocka_unit_test(a_job_that_does_not_fold_is_told_as_data_loss_without_a_field),
        cmocka_unit_test(a_job_that_nothing_would_wake_is_found),
        cmocka_unit_test(every_kind_of_damage_is_named),
        cmocka_unit_test(a_store_without_checksums_is_checked_as_it_is_and_gets_them_for_what_is_new),
        cmocka_unit_test(what_is_no_store_is_said_and_nothing_is_written),
        cmocka_unit_test(a_killed_coordinators_store_is_checked_with_its_log_and_not_changed),
        cmocka_unit_test(a_disk_that_fails_to_sync_fails_callers_and_loses_and_doubles_nothing),
        cmocka_unit_test(a_host_that_is_let_in_while_the_disk_fails_is_so_on_disk_as_soon_as_it_works),
        cmocka_unit_test(a_repeated_submit_leaves_its_place_to_a_job_that_waits),
        cmocka_unit_test(a_backup_is_made_while_jobs_run_and_a_coordinator_goes_on_from_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
