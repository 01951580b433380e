/* Mode serve of routine type exec with real daemons: one process for many tasks and jobs, its end for each
 * reason there is, and what that means for others. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"

/* A program that does for each task what the task's data say: `file`: its pid goes there first; `child`: it
 * has a child whose pid goes there; `gate`: it waits until that file is there; `err`: what it says on stderr;
 * `exit`, `hang`, `raw` (it says this and no more), with `once` only when that file is not there yet; `eat`:
 * so many bytes; `late`: what it says after it is done. Else it says its pid and how many tasks it has had.
 */
static const char program[] =
    "import json, os, subprocess, sys, time\n"
    "n = 0\n"
    "for line in sys.stdin:\n"
    "    call = json.loads(line)\n"
    "    d = call['task']['data']\n"
    "    n += 1\n"
    "    def say(**what): print(json.dumps({'id': call['id'], **what}), flush=True)\n"
    "    def put(path, text):\n"
    "        open(path + '.tmp', 'w').write(text + '\\n'); os.rename(path + '.tmp', path)\n"
    "    if 'child' in d: put(d['child'], str(subprocess.Popen(['sleep', '1000']).pid))\n"
    "    if 'file' in d: put(d['file'], str(os.getpid()))\n"
    "    while 'gate' in d and not os.path.exists(d['gate']): time.sleep(0.01)\n"
    "    if 'err' in d: print(d['err'], file=sys.stderr, flush=True)\n"
    "    first = 'once' not in d or not os.path.exists(d['once'])\n"
    "    if 'once' in d: put(d['once'], 'x')\n"
    "    if 'exit' in d and first: os._exit(int(d['exit']))\n"
    "    if 'hang' in d and first: time.sleep(1000)\n"
    "    if 'eat' in d: x = bytearray(int(d['eat']))\n"
    "    if 'raw' in d and first: sys.stdout.write(d['raw'].replace('ID', call['id'])); sys.stdout.flush(); "
    "continue\n"
    "    if 'late' in d: sys.stdout.write(json.dumps({'id': call['id'], 'done': True}) + '\\n' + d['late']); "
    "sys.stdout.flush(); continue\n"
    "    say(emit='out', data={'pid': os.getpid(), 'n': n, 'env': os.environ.get('GREETING', ''), 'input': "
    "call})\n"
    "    say(done=True)\n";

static struct cluster c;

static int start(void **state)
{
    (void)state;
    cluster_start(&c, 1);
    char *path = strdup(cluster_file(&c, "program.py"));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(program, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(path);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    cluster_done(&c);
    return 0;
}

/* A job whose one routine is the program with this configuration and policy. */
static const char *submit(const char *config, const char *policy, const char *data)
{
    return submit_flow(&c, data,
                       "{'routines':[{'id':'a','type':'exec',"
                       "'config':{'mode':'serve','command':['python3','%s']%s}%s}]}",
                       cluster_file(&c, "program.py"), config, policy);
}

/* {"KEY": path of a file in the cluster's directory, …}; `more` follows. */
static const char *with_file(const char *key, const char *name, const char *more)
{
    static char text[4][600];
    static size_t i;
    char *out = text[i++ % 4];
    snprintf(out, sizeof(text[0]), "{'%s':'%s'%s}", key, cluster_file(&c, name), more);
    return out;
}

static void wait_file(const char *name)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(&c, name) == 0)
        test_pause(until, name);
}

static pid_t pid_in(const char *name)
{
    wait_file(name);
    char *text = file_text(cluster_file(&c, name));
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    free(text);
    assert_true(pid > 0);
    return pid;
}

static void wait_gone(pid_t pid)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (!proc_gone(pid))
        test_pause(until, "the process is gone");
}

/* The job completes; returns the pid that it got. */
static pid_t served_by(const char *job)
{
    json_t *done = wait_status(&c, job, "COMPLETED");
    pid_t pid = (pid_t)strtol(at(done, "job.state.outputs[0].data.pid"), NULL, 10);
    assert_true(pid > 0);
    json_decref(done);
    return pid;
}

static void fails_with(const char *job, const char *code, const char *text)
{
    json_t *j = wait_status(&c, job, "FAILED");
    assert_string_equal(at(j, "job.error.code"), code);
    if (strstr(at(j, "job.error.message"), text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", at(j, "job.error.message"), text);
    json_decref(j);
}

/* Each test has processes of its own, by its environment. */
#define ENV(name) ",'env':{'GREETING':'" name "'}"

static void tasks_of_many_jobs_are_served_by_one_process_and_see_only_their_own_data(void **state)
{
    (void)state;
    const char *first = submit(ENV("hello"), "", "{'x':1}");
    pid_t pid = served_by(first);
    const char *second = submit(ENV("hello"), "", "{'x':2}");
    assert_int_equal(served_by(second), pid);
    json_t *done = wait_status(&c, second, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.n"), "2");
    assert_string_equal(at(done, "job.state.outputs[0].data.env"), "hello");
    assert_string_equal(at(done, "job.state.outputs[0].data.input.task.data.x"), "2");
    assert_string_equal(at(done, "job.state.outputs[0].data.input.job_id"), second);
    assert_string_equal(at(done, "job.state.outputs[0].data.input.attempt"), "1");
    json_decref(done);
    assert_int_not_equal(served_by(submit(ENV("good day"), "", "{}")),
                         pid); /* another environment: another process */
}

static void what_a_program_says_on_stderr_is_logged_with_the_job_in_hand(void **state)
{
    (void)state;
    char *log = NULL, *path = NULL, want[128];
    const char *job = submit(ENV("stderr"), "", "{'err':'here I am'}");
    (void)served_by(job);
    cluster_wait_log(&c, "host0.log", "here I am");
    assert_true(asprintf(&path, "%s/host0.log", c.dir) > 0);
    log = file_text(path);
    char *line = strstr(log, "here I am");
    while (line > log && line[-1] != '\n')
        line--;
    *strchr(line, '\n') = '\0';
    snprintf(want, sizeof(want), "%s", job);
    if (strstr(line, want) == NULL)
        fail_msg("no job in: %s", line);
    free(log);
    free(path);
}

static void a_crash_fails_only_the_task_in_hand_which_is_tried_again_on_a_new_process(void **state)
{
    (void)state;
    static const char retry[] = ",'policy':{'retry':{'max_attempts':2,'initial_delay_ms':1}}";
    char crash[32], next[32];
    pid_t before = served_by(submit(ENV("crash"), "", "{}"));
    snprintf(crash, sizeof(crash), "%s",
             submit(ENV("crash"), retry, with_file("once", "crashed", ",'exit':3")));
    pid_t after = served_by(crash);
    assert_int_not_equal(after, before);
    json_t *done = wait_status(&c, crash, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.input.attempt"), "2");
    json_decref(done);
    /* one that waits behind a task that crashes is not hit: it has no second attempt */
    snprintf(crash, sizeof(crash), "%s", submit(ENV("crash"), "", with_file("file", "waits", "")));
    assert_int_equal(served_by(crash), after);
    char data[500];
    snprintf(data, sizeof(data), "{'file':'%s','gate':'%s','exit':4}", cluster_file(&c, "in_hand"),
             cluster_file(&c, "go"));
    snprintf(crash, sizeof(crash), "%s", submit(ENV("crash"), "", data));
    wait_file("in_hand");
    snprintf(next, sizeof(next), "%s", submit(ENV("crash"), "", "{}"));
    cluster_open_gate(&c, "go");
    fails_with(crash, "UNAVAILABLE", "exited with code 4 before it was done");
    assert_int_not_equal(served_by(next), after);
    json_t *j = wait_status(&c, next, "COMPLETED");
    assert_string_equal(at(j, "job.stepCount"), "1");
    json_decref(j);
}

static void a_program_that_never_answers_is_ended_with_its_group_and_others_go_on(void **state)
{
    (void)state;
    char slow[32], next[32], limited[128];
    pid_t first = served_by(submit(ENV("slow"), "", "{}"));
    snprintf(limited, sizeof(limited), "%s,'timeout_ms':%d", ENV("slow"), 5000 * test_slow());
    snprintf(slow, sizeof(slow), "%s", submit(limited, "", with_file("child", "slow_child", ",'hang':true")));
    pid_t child = pid_in("slow_child");
    snprintf(next, sizeof(next), "%s",
             submit(ENV("slow"), "", "{}")); /* time limits are of tasks: it is the same program */
    fails_with(slow, "DEADLINE_EXCEEDED", "time limit");
    wait_gone(child);
    assert_int_not_equal(served_by(next), first);
}

static void a_cancelled_or_paused_job_takes_the_process_and_its_children_with_it(void **state)
{
    (void)state;
    char job[32], next[32];
    snprintf(job, sizeof(job), "%s", submit(ENV("cancel"), "", with_file("child", "child1", ",'hang':true")));
    pid_t child = pid_in("child1");
    snprintf(next, sizeof(next), "%s", submit(ENV("cancel"), "", "{}"));
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    wait_gone(child);
    pid_t pid = served_by(next);
    snprintf(job, sizeof(job), "%s", submit(ENV("cancel"), "", with_file("child", "child2", ",'hang':true")));
    child = pid_in("child2");
    json_decref(rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s','grace_ms':0}", job));
    wait_gone(child);
    wait_gone(pid);
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    /* one that waits in the queue leaves it, and the process stays */
    char data[500];
    snprintf(data, sizeof(data), "{'file':'%s','gate':'%s'}", cluster_file(&c, "busy"),
             cluster_file(&c, "free"));
    snprintf(job, sizeof(job), "%s", submit(ENV("cancel"), "", data));
    wait_file("busy");
    snprintf(next, sizeof(next), "%s", submit(ENV("cancel"), "", "{}"));
    json_decref(wait_status(&c, next, "RUNNING"));
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", next));
    /* Answered when the host has it, and so all that it was sent before. */
    json_decref(rpc(c.address, "Jobs/SetBreakpoints", "{'job_id':'%s'}", job));
    cluster_open_gate(&c, "free");
    pid = served_by(job);
    json_t *j = wait_status(&c, submit(ENV("cancel"), "", "{}"), "COMPLETED");
    assert_string_equal(at(j, "job.state.outputs[0].data.n"), "2");
    assert_int_equal(strtol(at(j, "job.state.outputs[0].data.pid"), NULL, 10), pid);
    json_decref(j);
}

static void a_process_that_rests_ends_after_a_while(void **state)
{
    (void)state;
    pid_t pid = served_by(submit(",'idle_ms':50", "", "{}"));
    wait_gone(pid);
    assert_int_not_equal(served_by(submit(",'idle_ms':50", "", "{}")), pid);
}

static void two_processes_work_side_by_side_and_a_third_task_waits_for_one_of_them(void **state)
{
    (void)state;
    char job[3][32], data[500];
    for (int i = 0; i < 2; i++) {
        char file[8] = {'p', (char)('0' + i), '\0'};
        snprintf(data, sizeof(data), "{'file':'%s','gate':'%s'}", cluster_file(&c, file),
                 cluster_file(&c, "both"));
        snprintf(job[i], sizeof(job[i]), "%s", submit(",'processes':2", "", data));
    }
    pid_t one = pid_in("p0"), two = pid_in("p1"); /* both are in the middle of their tasks */
    assert_int_not_equal(one, two);
    snprintf(job[2], sizeof(job[2]), "%s", submit(",'processes':2", "", "{}"));
    cluster_open_gate(&c, "both");
    pid_t third = served_by(job[2]);
    assert_true(third == one || third == two);
    assert_int_equal(served_by(job[0]) + served_by(job[1]), one + two);
}

static void a_line_that_belongs_to_no_task_or_to_another_ends_the_process(void **state)
{
    (void)state;
    fails_with(submit(ENV("lines"), "", "{'raw':'no json\\n'}"), "INVALID_ARGUMENT", "line 1");
    fails_with(submit(ENV("lines"), "", "{'raw':'{\"done\":true}\\n'}"), "INVALID_ARGUMENT",
               "must have the task's \"id\"");
    fails_with(submit(ENV("lines"), "", "{'raw':'{\"id\":\"ID\",\"emti\":\"x\"}\\n'}"), "INVALID_ARGUMENT",
               "none of the keys");
    fails_with(submit(ENV("lines"), "", "{'raw':'{\"id\":\"other\",\"emit\":\"x\"}\\n'}"), "UNAVAILABLE",
               "id of another task (other)");
    /* after done, with the next task in the queue: that is served by a new process, and gets nothing of it */
    static const char *const late[] = {"{\"id\":\"ID\",\"emit\":\"leak\"}\\n", "rubbish", "\\n\\n{"};
    for (size_t i = 0; i < 3; i++) {
        char data[600], file[8] = {'l', (char)('0' + i), '\0'}, gate[8] = {'g', (char)('0' + i), '\0'},
                        job[32], next[32];
        snprintf(data, sizeof(data), "{'file':'%s','gate':'%s','late':'%s'}", cluster_file(&c, file),
                 cluster_file(&c, gate), late[i]);
        snprintf(job, sizeof(job), "%s", submit(ENV("lines"), "", data));
        pid_t pid = pid_in(file);
        snprintf(next, sizeof(next), "%s", submit(ENV("lines"), "", "{}"));
        json_decref(wait_status(&c, next, "RUNNING"));
        cluster_open_gate(&c, gate);
        json_t *done = wait_status(&c, job, "COMPLETED");
        assert_null(json_at(done, "job.state.outputs[0]"));
        json_decref(done);
        assert_int_not_equal(served_by(next), pid);
        wait_gone(pid);
        done = wait_status(&c, next, "COMPLETED");
        assert_string_equal(at(done, "job.state.outputs[0].event"), "out");
        assert_null(json_at(done, "job.state.outputs[1]"));
        json_decref(done);
    }
    cluster_wait_log(&c, "host0.log", "wrote output while it had no task");
}

static void what_a_program_says_of_itself_and_its_limits_count_for_the_task(void **state)
{
    (void)state;
    static const char retry[] = ",'policy':{'retry':{'max_attempts':2,'initial_delay_ms':1}}";
    pid_t pid = served_by(submit(ENV("limits"), "", "{}"));
    fails_with(submit(ENV("limits"), "",
                      "{"
                      "'raw':"
                      "'{\"id\":\"ID\",\"fail\":\"no luck\",\"code\":\"INTERNAL\",\"retryable\":false}\\n'}"),
               "INTERNAL", "no luck");
    /* one that fails as it should goes on, and its failure is retried */
    assert_int_equal(
        served_by(submit(ENV("limits"), retry,
                         with_file("once", "luck", ",'raw':'{\"id\":\"ID\",\"fail\":\"busy\"}\\n'"))),
        pid);
    /* max_output_bytes is of one task: three of them say more together */
    static const char little[] = ",'max_output_bytes':1500";
    pid = served_by(submit(little, "", "{}"));
    assert_int_equal(served_by(submit(little, "", "{}")), pid);
    assert_int_equal(served_by(submit(little, "", "{}")), pid);
    char data[2200];
    snprintf(data, sizeof(data), "{'raw':'%02000d'}", 0);
    fails_with(submit(little, "", data), "RESOURCE_EXHAUSTED", "1500 bytes");
    fails_with(submit(",'max_memory_bytes':300000000", "", "{'eat':1000000000}"), "UNAVAILABLE", "code 1");
    fails_with(submit_inline(&c,
                             "{'routines':[{'id':'a','type':'exec',"
                             "'config':{'mode':'serve','command':['/no/such/program']}}]}",
                             "{}"),
               "UNKNOWN", "it was not found");
}

static void processes_end_with_their_host(void **state)
{
    (void)state;
    pid_t rests = served_by(submit(ENV("end"), "", "{}"));
    assert_false(proc_gone(rests));
    proc_stop(&c.hosts[0]);
    wait_gone(rests);
    /* one that does not give up its task, and its child: hostd says with its exit code that it had to leave a
     * job */
    cluster_host(&c, 0, "a", (const char *const[]){"--drain-timeout", "100ms", NULL});
    char busy[32];
    snprintf(busy, sizeof(busy), "%s",
             submit(ENV("end"), "", with_file("child", "last_child", ",'hang':true")));
    pid_t child = pid_in("last_child");
    proc_kill(&c.hosts[0], SIGTERM);
    assert_int_equal(proc_wait(&c.hosts[0]), 1);
    wait_gone(child);
    cluster_wait_log(
        &c, "host0.log",
        "draining took too long; the remaining jobs go to other hosts when this daemon's end is certified");
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", busy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_of_many_jobs_are_served_by_one_process_and_see_only_their_own_data),
        cmocka_unit_test(what_a_program_says_on_stderr_is_logged_with_the_job_in_hand),
        cmocka_unit_test(a_crash_fails_only_the_task_in_hand_which_is_tried_again_on_a_new_process),
        cmocka_unit_test(a_program_that_never_answers_is_ended_with_its_group_and_others_go_on),
        cmocka_unit_test(a_cancelled_or_paused_job_takes_the_process_and_its_children_with_it),
        cmocka_unit_test(a_process_that_rests_ends_after_a_while),
        cmocka_unit_test(two_processes_work_side_by_side_and_a_third_task_waits_for_one_of_them),
        cmocka_unit_test(a_line_that_belongs_to_no_task_or_to_another_ends_the_process),
        cmocka_unit_test(what_a_program_says_of_itself_and_its_limits_count_for_the_task),
        cmocka_unit_test(processes_end_with_their_host),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
