/* Routine type exec with real daemons and real programs: what they may say, how they end, their limits, and
 * that nothing of them is left. */
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

/* Submits a job of one exec routine that runs this shell script, with more of its configuration, of the
 * routine. */
static const char *submit_script(struct cluster *c, const char *script, const char *config,
                                 const char *routine, const char *data)
{
    json_t *text = json_string(script);
    char *quoted = json_dumps(text, JSON_ENCODE_ANY), *flow = NULL;
    assert_true(asprintf(&flow,
                         "{'routines':[{'id':'a','type':'exec','config':{'command':['sh','-c',%s]%s}%s}]}",
                         quoted, config, routine) > 0);
    const char *job = submit_inline(c, flow, data);
    free(flow);
    free(quoted);
    json_decref(text);
    return job;
}

static void a_program_may_do_all_that_a_handler_may(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    const char *job = submit_script(
        &c,
        "read -r input\n"
        "case $(printf '%s' \"$input\" | jq -r .task.slot) in\n"
        "in) echo '{\"set\":\"n\",\"value\":41}'; echo "
        "'{\"append\":\"list\",\"value\":{\"a\":1},\"shared\":true}'\n"
        "    echo '{\"set\":\"gone\",\"value\":1,\"shared\":true}'; echo "
        "'{\"remove\":\"gone\",\"shared\":true}'\n"
        "    echo '{\"log\":\"started\",\"data\":{\"x\":1}}'; echo "
        "'{\"defer\":\"later\",\"data\":{\"d\":1}}'\n"
        "    echo "
        "'{\"pause\":\"Which?\",\"slot\":\"answer\",\"data\":{\"why\":\"so\"},\"choices\":[\"red\",\"blue\"]}"
        "';;\n"
        "answer) n=$(printf '%s' \"$input\" | jq .state.n); p=$(printf '%s' \"$input\" | jq -c .pause_id)\n"
        "    echo \"{\\\"set\\\":\\\"n\\\",\\\"value\\\":$((n+1))}\"\n"
        "    printf '%s\\n' \"{\\\"emit\\\":\\\"out\\\",\\\"data\\\":{\\\"pause\\\":$p,\\\"in\\\":$(printf "
        "'%s' \"$input\" | jq -c .)}}\"; echo '{\"done\":true}';;\n"
        "esac\n",
        "", "", "{'x':'ü\"\\''}");
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].question"), "Which?");
    assert_string_equal(at(paused, "job.pauses[0].choices[1]"), "blue");
    assert_string_equal(at(paused, "job.state.sharedLog[0].message"), "started");
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'blue'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.a.n"), "42");
    assert_string_equal(at(done, "job.state.outputs[0].event"),
                        "later"); /* deferred, and no connection takes it */
    assert_string_equal(at(done, "job.state.outputs[0].data.d"), "1");
    assert_string_equal(at(done, "job.state.outputs[1].data.in.task.data.answer"), "blue");
    assert_string_equal(at(done, "job.state.outputs[1].data.pause"), at(paused, "job.pauses[0].pauseId"));
    assert_string_equal(at(done, "job.state.outputs[1].data.in.attempt"), "1");
    assert_string_equal(at(done, "job.state.outputs[1].data.in.epoch"), "2");
    assert_string_equal(at(done, "job.state.outputs[1].data.in.shared_data.list[0].a"), "1");
    assert_null(json_at(done, "job.state.sharedData.gone"));
    char key[64];
    snprintf(key, sizeof(key), "%.40s/i2", job);
    assert_string_equal(at(done, "job.state.outputs[1].data.in.idempotency_key"), key);
    assert_string_not_equal(at(done, "job.lastHost"), at(paused, "job.lastHost"));
    json_decref(paused);
    json_decref(done);
    cluster_done(&c);
}

static void check_failure(struct cluster *c, const char *job, const char *code, const char *text,
                          const char *steps)
{
    json_t *j = wait_status(c, job, "FAILED");
    assert_string_equal(at(j, "job.error.code"), code);
    if (strstr(at(j, "job.error.message"), text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", at(j, "job.error.message"), text);
    assert_string_equal(at(j, "job.stepCount"), steps);
    json_decref(j);
}

static void exit_codes_lines_and_limits_decide_how_the_step_fails(void **state)
{
    (void)state;
    struct cluster c;
    assert_int_equal(setenv("FERMATA_SECRET_shop", "https://shop.example.com secret-24680xyz!", 1), 0);
    cluster_start(&c, 1);
    static const char retry[] = ",'policy':{'retry':{'max_attempts':3,'initial_delay_ms':1}}";
    const char *busy = submit_script(&c, "exit 75", "", retry, "{}");
    const char *mapped = submit_script(&c, "exit 3", ",'retryable_exit_codes':[3]", retry, "{}");
    const char *fatal =
        submit_script(&c, "echo '{\"set\":\"x\",\"value\":1,\"shared\":true}'; exit 2", "", retry, "{}");
    const char *killed = submit_script(&c, "kill -SEGV $$", "", retry, "{}");
    const char *words = submit_script(&c, "echo '{\"log\":\"x\"}'; echo 'no json'", "", retry, "{}");
    const char *unknown = submit_script(&c, "echo '{\"emti\":\"x\"}'", "", retry, "{}");
    const char *after = submit_script(&c, "echo '{\"done\":true}'; echo '{\"log\":\"x\"}'", "", retry, "{}");
    const char *says = submit_script(
        &c, "echo '{\"fail\":\"no luck\",\"code\":\"INTERNAL\",\"retryable\":false}'", "", retry, "{}");
    const char *again = submit_script(
        &c, "echo '{\"fail\":\"not now\",\"code\":\"UNAVAILABLE\"}'; sleep 1000", "", retry, "{}");
    const char *slow = submit_script(&c, "sleep 1000 & wait", ",'timeout_ms':100", "", "{}");
    const char *stubborn =
        submit_script(&c, "trap '' TERM; while :; do sleep 0.01; done", ",'timeout_ms':100", "", "{}");
    const char *loud = submit_script(&c, "yes '{\"log\":\"x\"}'", ",'max_output_bytes':10000", "", "{}");
    const char *absent =
        submit_script(&c, "echo '{\"fail\":\"no such order\",\"code\":\"NOT_FOUND\"}'", "", retry, "{}");
    const char *odd =
        submit_script(&c, "echo '{\"fail\":\"no such order\",\"code\":\"MISSING\"}'", "", retry, "{}");
    const char *tells =
        submit_script(&c, "printf 'Traceback\\n\\nKeyError: order-7531\\n' >&2; exit 1", "", retry, "{}");
    const char *longer = submit_script(&c, "seq 1000 1100 >&2; exit 75", "", "", "{}");
    const char *hidden = submit_script(&c, "echo 'the key is secret-24680xyz!' >&2; exit 1", "", "", "{}");
    check_failure(&c, absent, "NOT_FOUND", "no such order", "1");
    check_failure(&c, odd, "INVALID_ARGUMENT",
                  "the name of a gRPC status code such as UNAVAILABLE, and is \"MISSING\"; it says \"fail\": "
                  "no such order",
                  "1");
    check_failure(&c, tells, "UNKNOWN", "the program exited with code 1: Traceback | KeyError: order-7531",
                  "1");
    check_failure(&c, longer, "UNAVAILABLE", "code 75: 1072 | 1073", "1");
    check_failure(&c, longer, "UNAVAILABLE", "| 1099 | 1100", "1");
    check_failure(&c, hidden, "UNKNOWN", "code 1: the key is ****************", "1");
    check_failure(&c, busy, "UNAVAILABLE", "code 75", "3");
    check_failure(&c, mapped, "UNAVAILABLE", "code 3", "3");
    check_failure(&c, fatal, "UNKNOWN", "code 2", "1");
    json_t *j = wait_status(&c, fatal, "FAILED");
    assert_null(json_at(j, "job.state.sharedData.x"));
    json_decref(j);
    check_failure(&c, killed, "UNKNOWN", "signal 11", "1");
    check_failure(&c, words, "INVALID_ARGUMENT", "line 2", "1");
    check_failure(&c, unknown, "INVALID_ARGUMENT", "line 1", "1");
    check_failure(&c, after, "INVALID_ARGUMENT", "line 2", "1");
    check_failure(&c, says, "INTERNAL", "no luck", "1");
    check_failure(&c, again, "UNAVAILABLE", "not now", "3");
    check_failure(&c, slow, "DEADLINE_EXCEEDED", "time limit", "1");
    check_failure(&c, stubborn, "DEADLINE_EXCEEDED", "time limit", "1");
    check_failure(&c, loud, "RESOURCE_EXHAUSTED", "10000 bytes", "1");
    const char *large =
        submit_script(&c, "head -c 20000 /dev/zero | tr '\\0' ' '", ",'max_output_bytes':10000", "", "{}");
    check_failure(&c, large, "RESOURCE_EXHAUSTED", "10000 bytes", "1");
    const char *missing = submit_inline(&c,
                                        "{'routines':[{'id':'a','type':'exec',"
                                        "'config':{'command':['/no/such/program']}}]}",
                                        "{}");
    check_failure(&c, missing, "UNKNOWN", "not found", "1");
    const char *nowhere = submit_script(&c, "true", ",'cwd':'/no/such/folder'", "", "{}");
    check_failure(&c, nowhere, "UNKNOWN",
                  "the working directory /no/such/folder cannot be used: no such file", "1");
    const char *file = submit_script(&c, "true", ",'cwd':'/etc/passwd'", "", "{}");
    check_failure(&c, file, "UNKNOWN", "the working directory /etc/passwd cannot be used: not a directory",
                  "1");
    cluster_done(&c);
}

static void memory_is_limited(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'exec',"
                                    "'config':{'command':['/usr/bin/python3','-c','x = bytearray(1 << 30)'],"
                                    "'max_memory_bytes':300000000}}]}",
                                    "{}");
    check_failure(&c, job, "UNKNOWN", "code 1", "1");
    cluster_done(&c);
}

static bool is_alive(struct cluster *c, const char *file)
{
    char *text = file_text(cluster_file(c, file));
    long pid = strtol(text, NULL, 10);
    free(text);
    if (kill((pid_t)pid, 0) < 0)
        return false;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    char status = 'X';
    if (f != NULL) {
        if (fscanf(f, "%*d %*s %c", &status) != 1)
            status = 'X';
        (void)fclose(f);
    }
    return status != 'Z' && status != 'X';
}

static void wait_gone(struct cluster *c, const char *file)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (is_alive(c, file))
        test_pause(until, "the child process is gone");
}

static const char *submit_endless(struct cluster *c, const char *file)
{
    char *script = NULL;
    assert_true(asprintf(&script, "sleep 1000 & echo $! > %s.tmp; mv %s.tmp %s; wait", cluster_file(c, file),
                         cluster_file(c, file), cluster_file(c, file)) > 0);
    const char *job = submit_script(c, script, "", "", "{}");
    free(script);
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(c, file) == 0)
        test_pause(until, "the program runs");
    return job;
}

static void a_child_and_its_children_end_with_their_step_and_with_their_host(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *cancelled = submit_endless(&c, "one");
    assert_true(is_alive(&c, "one"));
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", cancelled));
    wait_gone(&c, "one");
    const char *paused = submit_endless(&c, "two");
    json_decref(rpc(c.address, "Jobs/PauseJob", "{'job_id':'%s','grace_ms':0}", paused));
    wait_gone(&c, "two");
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", paused));
    cluster_done(&c);
}

/* Says that it runs, and what it heard of its end, in files of the cluster. */
static const char *submit_careful(struct cluster *c, const char *name, const char *more)
{
    char *script = NULL, file[300];
    snprintf(file, sizeof(file), "%s", cluster_file(c, name));
    assert_true(asprintf(&script,
                         "trap 'echo saved >> %s.saved; exit 0' TERM; echo $$ > %s.tmp; mv %s.tmp %s; "
                         "while :; do sleep 0.01; done",
                         file, file, file, file) > 0);
    const char *job = submit_script(c, script, more, "", "{}");
    free(script);
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(c, name) == 0)
        test_pause(until, "the program runs");
    return job;
}

static void a_program_is_asked_to_end_before_it_is_killed(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *cancelled = submit_careful(&c, "careful", ",'kill_after_ms':60000");
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", cancelled));
    wait_gone(&c, "careful");
    assert_int_equal(cluster_lines(&c, "careful.saved"), 1);
    const char *late = submit_careful(&c, "late", ",'kill_after_ms':60000,'timeout_ms':1000");
    check_failure(&c, late, "DEADLINE_EXCEEDED", "time limit", "1");
    assert_int_equal(cluster_lines(&c, "late.saved"), 1);
    const char *at_once = submit_careful(&c, "at_once", ",'kill_after_ms':0");
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", at_once));
    wait_gone(&c, "at_once");
    assert_int_equal(cluster_lines(&c, "at_once.saved"), 0);
    const char *deaf = submit_script(&c, "trap '' TERM; while :; do sleep 0.01; done",
                                     ",'kill_after_ms':100,'timeout_ms':100", "", "{}");
    check_failure(&c, deaf, "DEADLINE_EXCEEDED", "time limit", "1");
    cluster_done(&c);
}

/* ---- what it inherits ---- */

/* Says the names of its variables, and its descriptors. */
#define TELLS                                                                                                \
    "printf '{\"emit\":\"out\",\"data\":{\"env\":\" %s\",\"fds\":\"%s\"}}\\n' "                              \
    "\"$(env | sed -n 's/^\\([A-Za-z0-9_]*\\)=.*/\\1/p' | tr '\\n' ' ')\" \"$(ls /proc/self/fd | tr '\\n' "  \
    "' ')\""

static json_t *told(struct cluster *c, const char *more)
{
    return wait_status(c, submit_script(c, TELLS, more, "", "{}"), "COMPLETED");
}

static bool has(json_t *j, const char *variable)
{
    char name[80];
    snprintf(name, sizeof(name), " %s ", variable);
    return strstr(at(j, "job.state.outputs[0].data.env"), name) != NULL;
}

static void cannot_inherit(struct cluster *c, const char *variable, const char *why)
{
    char *text = rpc_fails(c->address, "Jobs/SubmitJob", "InvalidArgument",
                           "{'inline_flow':{'routines':[{'id':'a','type':'exec','config':{'command':['true'],"
                           "'inherit_env':['%s']}}]},'entry':{'routine':'a','slot':'in'}}",
                           variable);
    if (strstr(text, why) == NULL)
        fail_msg("%s", text);
    free(text);
}

static void a_program_has_three_descriptors_and_no_secrets(void **state)
{
    (void)state;
    struct cluster c;
    assert_int_equal(setenv("FERMATA_SECRET_shop", "https://shop.example.com secret-24680xyz!", 1), 0);
    assert_int_equal(setenv("OPENAI_API_KEY", "sk-0123456789abcdef", 1), 0);
    assert_int_equal(setenv("SHOP_MODE", "fast", 1), 0);
    assert_int_equal(setenv("SHOP_LOGIN", "secret-24680xyz!", 1), 0);
    assert_int_equal(setenv("LC_SHOP", "C", 1), 0);
    cluster_start(&c, 1);
    json_t *j = told(&c, "");
    static const char *const never[] = {"FERMATA_SECRET_shop", "OPENAI_API_KEY", "SHOP_MODE", "SHOP_LOGIN"};
    for (size_t i = 0; i < 4; i++)
        assert_false(has(j, never[i]));
    assert_true(has(j, "PATH"));
    assert_true(has(j, "LC_SHOP"));
    assert_string_equal(at(j, "job.state.outputs[0].data.fds"), "0 1 2 3 "); /* 3 is the list itself */
    json_decref(j);
    j = told(&c, ",'inherit_env':['SHOP_MODE','SHOP_NOT_THERE'],'env':{'SHOP_NAME':'x'}");
    assert_true(has(j, "SHOP_MODE"));
    assert_true(has(j, "SHOP_NAME"));
    assert_false(has(j, "SHOP_NOT_THERE"));
    json_decref(j);
    cannot_inherit(&c, "OPENAI_API_KEY", "has the name of a secret");
    cannot_inherit(&c, "FERMATA_SECRET_shop", "is Fermata's own");
    check_failure(&c, submit_script(&c, "true", ",'inherit_env':['SHOP_LOGIN']", "", "{}"),
                  "FAILED_PRECONDITION", "SHOP_LOGIN has a secret of this host in it", "1");
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_is_asked_to_end_before_it_is_killed),
        cmocka_unit_test(a_program_has_three_descriptors_and_no_secrets),
        cmocka_unit_test(a_program_may_do_all_that_a_handler_may),
        cmocka_unit_test(exit_codes_lines_and_limits_decide_how_the_step_fails),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(a_child_and_its_children_end_with_their_step_and_with_their_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
