/* Questions as people need them, with real daemons: deadlines and what follows from them, whom they are
 * for, and who is to answer later. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"
#include "json_text.h"

/* A job whose routine `h` of type human has this configuration; `more` are further routines, and what else
 * the flow has. Returns its id. */
static const char *asking(struct cluster *c, const char *config, const char *data, const char *more)
{
    static char ids[64][32];
    static int next;
    json_t *r = rpc(c->address, "Jobs/SubmitJob",
                    "{'inline_flow':{'name':'q','routines':[{'id':'h','type':'human','config':%s}%s},"
                    "'entry':{'routine':'h','slot':'input'},'data':%s}",
                    config, more, data);
    char *id = ids[next++ % 64];
    snprintf(id, sizeof(ids[0]), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

/* A job of this flow, which begins at slot "input" of routine "a". Returns its id. */
static const char *begin(struct cluster *c, const char *flow, const char *data)
{
    static char ids[64][32];
    static int next;
    char *text = json_text(flow);
    json_t *r = rpc(c->address, "Jobs/SubmitJob",
                    "{'inline_flow':%s,'entry':{'routine':'a','slot':'input'},'data':%s}", text, data);
    free(text);
    char *id = ids[next++ % 64];
    snprintf(id, sizeof(ids[0]), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

/* Waits until the routine has made a step. */
static void until_ran(struct cluster *c, const char *job, const char *routine)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool ran = false; !ran; test_pause(until, "the routine has run")) {
        json_t *h = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
        for (size_t i = 0; i < json_array_size(json_at(h, "steps")); i++) {
            char path[64];
            snprintf(path, sizeof(path), "steps[%zu].routine", i);
            ran = ran || strcmp(at(h, path), routine) == 0;
        }
        json_decref(h);
    }
}

static void after_its_deadline_a_question_gets_its_default_answer_on_another_host(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    const char *job =
        asking(&c, "{'timeout_ms':1500,'choices':['yes','no'],'default_answer':'no'}", "{'n':1}", "]");
    json_t *paused = wait_status(&c, job, "PAUSED");
    char host[32];
    snprintf(host, sizeof(host), "%.31s", at(paused, "job.lastHost"));
    json_decref(paused);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.answer"), "no");
    assert_true(json_is_true(json_at(done, "job.state.outputs[0].data.expired")));
    assert_true(strcmp(at(done, "job.lastHost"), host) != 0);
    json_decref(done);
    free(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition", "{'job_id':'%s','answer':'yes'}", job));
    cluster_done(&c);
}

static void a_deadline_passes_while_the_coordinator_is_down(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job =
        asking(&c, "{'timeout_ms':700,'on_timeout':'event'}", "{'n':1}",
               ",{'id':'l','type':'log'}],'connections':[{'from':{'routine':'h','event':'timeout'},"
               "'to':{'routine':'l','slot':'input'}}]");
    json_decref(wait_status(&c, job, "PAUSED"));
    proc_stop(&c.coordinator);
    long long past = test_now_ms() + 800, until = test_now_ms() + DEADLINE_MS;
    while (test_now_ms() < past)
        test_pause(until, "the deadline has passed");
    cluster_coordinator(&c, NULL);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].routine"), "l");
    assert_string_equal(at(done, "job.state.outputs[0].data.question"), "Go on?");
    assert_true(json_is_true(json_at(done, "job.state.outputs[0].data.expired")));
    assert_int_equal(json_integer_value(json_at(done, "job.state.outputs[0].data.data.n")), 1);
    json_decref(done);
    cluster_done(&c);
}

static void a_question_may_fail_the_job_and_be_answered_all_the_same(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job = asking(&c, "{'timeout_ms':300,'on_timeout':'fail','question':'Sure?'}", "{'n':1}", "]");
    json_t *failed = wait_status(&c, job, "FAILED");
    assert_string_equal(at(failed, "job.error.code"), "DEADLINE_EXCEEDED");
    assert_non_null(strstr(at(failed, "job.error.message"), "\"Sure?\" (pause p1.0)"));
    char task[32];
    snprintf(task, sizeof(task), "%.31s", at(failed, "job.error.taskId"));
    json_decref(failed);
    json_decref(rpc(c.address, "Jobs/EditTask", "{'job_id':'%s','task_id':'%s','data':{'answer':'late'}}",
                    job, task));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.answer"), "late");
    json_decref(done);
    cluster_done(&c);
}

static void a_question_goes_from_one_person_to_the_next(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job = asking(&c, "{'assignee_path':'owner','escalate':{'after_ms':400,'to':'lead'}}",
                             "{'owner':'ann'}", "]");
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].escalate[0].to"), "lead");
    json_decref(paused);
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool found = false; !found; test_pause(until, "the question is the lead's")) {
        json_t *r = rpc(c.address, "Jobs/ListPauses", "{'assignee':'lead'}");
        found = json_at(r, "pauses[0]") != NULL;
        json_decref(r);
    }
    json_t *r = rpc(c.address, "Jobs/ListPauses", "{'assignee':'ann'}");
    assert_null(json_at(r, "pauses[0]"));
    json_decref(r);
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':1,'answered_by':'ann'}", job));
    json_decref(wait_status(&c, job, "COMPLETED"));
    cluster_done(&c);
}

static void a_program_asks_with_the_same_settings_and_misspelled_ones_are_named(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    static const char flow[] = "{'name':'e','routines':[{'id':'a','type':'exec','config':{'command':['/bin/"
                               "sh','-c','cat >/dev/null; "
                               "printf \\'%%s\\\\n\\' \\'%s\\'']}}]}";
    static const struct {
        const char *line, *fault;
    } lines[] = {
        {"{\"pause\":\"Q\",\"time_out\":5}",                        "it has the unknown key \"time_out\""                      },
        {"{\"pause\":\"Q\",\"deadline_at\":5}",                     "deadline_at is 1970-01-01T00:00:05Z; it must be after now"},
        {"{\"pause\":\"Q\",\"timeout_ms\":5,\"on_timeout\":\"x\"}", "on_timeout must be"                                       },
        {"{\"pause\":\"Q\",\"escalate\":3}",                        "\"escalate\" must be"                                     },
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *job = submit_flow(&c, "{}", flow, lines[i].line);
        json_t *failed = wait_status(&c, job, "FAILED");
        assert_string_equal(at(failed, "job.error.code"), "INVALID_ARGUMENT");
        if (strstr(at(failed, "job.error.message"), lines[i].fault) == NULL)
            fail_msg("%s: %s", lines[i].line, at(failed, "job.error.message"));
        json_decref(failed);
    }
    const char *job = submit_flow(&c, "{}", flow,
                                  "{\"pause\":\"Q\",\"assignee\":\"ann\",\"key\":\"k\","
                                  "\"deadline_at\":\"2990-01-01T00:00:00Z\"}");
    json_t *failed = wait_status(&c, job, "FAILED"); /* more than ten years */
    json_decref(failed);
    job = submit_flow(&c, "{}", flow,
                      "{\"pause\":\"Q\",\"assignee\":\"ann\",\"key\":\"k\",\"timeout_ms\":"
                      "3600000}");
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.pauses[0].assignee"), "ann");
    assert_string_equal(at(paused, "job.pauses[0].key"), "k");
    assert_non_null(json_at(paused, "job.pauses[0].expiresAt"));
    json_decref(paused);
    cluster_done(&c);
}

/* The question stays open, the timer runs on another host, over a restart of the coordinator; then the
 * answer comes. */
static void a_timer_runs_beside_an_open_question(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    const char *job = begin(
        &c,
        "{'name':'t','routines':[{'id':'a','type':'log'},{'id':'s','type':'sleep','config':{'ms':2500}},"
        "{'id':'h','type':'human'},{'id':'l','type':'log'},{'id':'e','type':'exec','config':{'command':['"
        "true'"
        "]}}],'connections':["
        "{'from':{'routine':'a','event':'output'},'to':{'routine':'h','slot':'input'}},"
        "{'from':{'routine':'a','event':'output'},'to':{'routine':'e','slot':'x'}},"
        "{'from':{'routine':'a','event':'output'},'to':{'routine':'s','slot':'input'}},"
        "{'from':{'routine':'s','event':'output'},'to':{'routine':'l','slot':'input'}}]}",
        "{'n':1}");
    json_t *paused = wait_status(&c, job, "PAUSED");
    char first[32];
    snprintf(first, sizeof(first), "%.31s", at(paused, "job.lastHost"));
    assert_non_null(json_at(paused, "job.wakeAt"));
    json_decref(paused);
    proc_stop(&c.coordinator);
    cluster_coordinator(&c, NULL);
    long long until = test_now_ms() + DEADLINE_MS;
    for (bool ran = false; !ran; test_pause(until, "the timer has run")) {
        json_t *r = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        ran = strcmp(at(r, "job.state.outputs[0].routine"), "l") == 0 &&
              strcmp(at(r, "job.status"), "JOB_STATUS_PAUSED") == 0;
        if (ran) {
            assert_string_equal(at(r, "job.pauses[0].routine"), "h");
            assert_string_equal(at(r, "job.state.pendingTasks[0].routine"), "e"); /* it has effects */
            assert_true(strcmp(at(r, "job.lastHost"), first) != 0);
        }
        json_decref(r);
    }
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[1].data.answer"), "yes");
    json_decref(done);
    cluster_done(&c);
}

/* ---- races and withdrawals ---- */

#define RACE_FLOW(ms, more)                                                                                  \
    "{'name':'r','routines':[{'id':'a','type':'log'},{'id':'s','type':'sleep','config':{'ms':" #ms "}},"     \
    "{'id':'h','type':'human'},{'id':'f','type':'race','config':{'sources':['yes','late']" more "}}],"       \
    "'connections':[{'from':{'routine':'a','event':'output'},'to':{'routine':'s','slot':'input'}},"          \
    "{'from':{'routine':'a','event':'output'},'to':{'routine':'h','slot':'input'}},"                         \
    "{'from':{'routine':'h','event':'output'},'to':{'routine':'f','slot':'yes'}},"                           \
    "{'from':{'routine':'s','event':'output'},'to':{'routine':'f','slot':'late'}}]}"

static void a_timer_wins_a_race_over_a_restart_and_the_question_is_withdrawn(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    const char *job = begin(&c, RACE_FLOW(1500, ""), "{'n':1}");
    json_decref(wait_status(&c, job, "PAUSED"));
    proc_stop(&c.coordinator);
    cluster_coordinator(&c, NULL);
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.winner"), "late");
    assert_null(json_at(done, "job.pauses[0]"));
    assert_string_equal(at(done, "job.closedPauses[0].how"), "PAUSE_END_WITHDRAWN");
    assert_string_equal(at(done, "job.closedPauses[0].routine"), "h");
    assert_null(json_at(done, "job.state.routineStates.h.p3\\.0"));
    char pause[32];
    snprintf(pause, sizeof(pause), "%.31s", at(done, "job.closedPauses[0].pauseId"));
    json_decref(done);
    char *error = rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                            "{'job_id':'%s','pause_id':'%s','answer':'yes'}", job, pause);
    assert_non_null(strstr(error, "was withdrawn by step"));
    assert_non_null(strstr(error, "race \\\"f\\\" was decided by slot \\\"late\\\"") != NULL
                        ? error
                        : strstr(error, "race \"f\" was decided by slot \"late\""));
    free(error);
    json_t *h = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    bool shown = false;
    for (size_t i = 0; i < json_array_size(json_at(h, "steps")); i++) {
        char path[64];
        snprintf(path, sizeof(path), "steps[%zu].withdrawals[0].pauseId", i);
        shown = shown || (json_at(h, path) != NULL && strcmp(at(h, path), pause) == 0);
    }
    assert_true(shown);
    json_decref(h);
    cluster_done(&c);
}

static void an_answer_wins_a_race_and_the_timer_is_dropped(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    const char *job = begin(&c, RACE_FLOW(3600000, ""), "{'n':1}");
    json_decref(wait_status(&c, job, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':'yes'}", job));
    json_t *done = wait_status(&c, job, "COMPLETED"); /* at once: it does not sleep for an hour */
    assert_string_equal(at(done, "job.state.outputs[0].data.winner"), "yes");
    assert_string_equal(at(done, "job.state.outputs[0].data.answer"), "yes");
    json_decref(done);
    job = begin(&c, RACE_FLOW(10, ",'withdraw':['nobody']"), "{'n':1}");
    json_t *failed = wait_status(&c, job, "FAILED");
    assert_non_null(
        strstr(at(failed, "job.error.message"), "config.withdraw[0]: the flow has no routine \"nobody\""));
    json_decref(failed);
    cluster_done(&c);
}

/* Two races side by side, each of its own datum. */
static void races_with_keys_leave_each_other_alone(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    const char *job =
        begin(&c,
              "{'name':'k','routines':[{'id':'a','type':'split'},{'id':'s','type':'sleep','config':{'ms_path'"
              ":'item.ms'}},"
              "{'id':'h','type':'human','config':{'key_path':'item.id'}},"
              "{'id':'f','type':'race','config':{'sources':['yes','late'],'key_path':'item.id'}}],"
              "'connections':[{'from':{'routine':'a','event':'item'},'to':{'routine':'s','slot':'input'}},"
              "{'from':{'routine':'a','event':'item'},'to':{'routine':'h','slot':'input'}},"
              "{'from':{'routine':'h','event':'output'},'to':{'routine':'f','slot':'yes'}},"
              "{'from':{'routine':'s','event':'output'},'to':{'routine':'f','slot':'late'}}]}",
              "{'items':[{'id':1,'ms':1500},{'id':'two','ms':3600000}]}");
    long long until = test_now_ms() + DEADLINE_MS;
    char open[32] = "";
    for (bool one = false; !one; test_pause(until, "the first question is withdrawn")) {
        json_t *r = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        one = json_at(r, "job.closedPauses[0]") != NULL && json_at(r, "job.pauses[0]") != NULL;
        if (one) {
            assert_null(json_at(r, "job.pauses[1]"));
            assert_string_equal(at(r, "job.pauses[0].key"), "two");
            snprintf(open, sizeof(open), "%.31s", at(r, "job.pauses[0].pauseId"));
        }
        json_decref(r);
    }
    json_decref(
        rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'%s','answer':'yes'}", job, open));
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[1].data.winner"), "late");
    assert_string_equal(at(done, "job.state.outputs[2].data.winner"), "yes");
    assert_string_equal(at(done, "job.state.outputs[2].data.item.id"), "two");
    json_decref(done);
    cluster_done(&c);
}

static void a_program_withdraws_a_question_by_its_key(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    static const char flow[] =
        "{'name':'w','routines':[{'id':'a','type':'log'},{'id':'h','type':'human','config':{'key':'k'}},"
        "{'id':'s','type':'sleep','config':{'ms':500}},{'id':'x','type':'exec','config':{'command':['/bin/"
        "sh',"
        "'-c','cat >/dev/null; echo \\'%s\\'']}}],'connections':["
        "{'from':{'routine':'a','event':'output'},'to':{'routine':'h','slot':'input'}},"
        "{'from':{'routine':'a','event':'output'},'to':{'routine':'s','slot':'input'}},"
        "{'from':{'routine':'s','event':'output'},'to':{'routine':'x','slot':'go'}}]}";
    char text[2000];
    json_print(text, sizeof(text), flow, "{\"withdraw\":\"k\",\"reason\":\"not needed\"}");
    const char *job = begin(&c, text, "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.closedPauses[0].reason"), "not needed");
    assert_null(json_at(done, "job.state.outputs[0]"));
    json_decref(done);
    json_print(text, sizeof(text), flow, "{\"withdraw\":\"other\"}");
    json_t *failed = wait_status(&c, begin(&c, text, "{}"), "FAILED");
    assert_string_equal(at(failed, "job.error.code"), "FAILED_PRECONDITION");
    assert_non_null(strstr(at(failed, "job.error.message"),
                           "\"other\" that is to be withdrawn; open is \"k\" of routine h"));
    json_decref(failed);
    json_print(text, sizeof(text), flow, "{\"withdraw\":\"other\",\"if_open\":true}");
    job = begin(&c, text, "{}");
    until_ran(&c, job, "x");
    json_decref(wait_status(&c, job, "PAUSED"));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_its_deadline_a_question_gets_its_default_answer_on_another_host),
        cmocka_unit_test(a_deadline_passes_while_the_coordinator_is_down),
        cmocka_unit_test(a_question_may_fail_the_job_and_be_answered_all_the_same),
        cmocka_unit_test(a_question_goes_from_one_person_to_the_next),
        cmocka_unit_test(a_timer_runs_beside_an_open_question),
        cmocka_unit_test(a_timer_wins_a_race_over_a_restart_and_the_question_is_withdrawn),
        cmocka_unit_test(an_answer_wins_a_race_and_the_timer_is_dropped),
        cmocka_unit_test(races_with_keys_leave_each_other_alone),
        cmocka_unit_test(a_program_withdraws_a_question_by_its_key),
        cmocka_unit_test(a_program_asks_with_the_same_settings_and_misspelled_ones_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
