/* Many tasks of one job: merges, parallelism, fan-out, several open questions, priorities of routines. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "cluster.h"

static void answer(struct cluster *c, const char *job, const char *pause, const char *text)
{
    json_decref(
        rpc(c->address, "Jobs/ResumeJob", "{'job_id':'%s','pause_id':'%s','answer':'%s'}", job, pause, text));
}

static void a_counter_that_2000_merged_tasks_count_with_parallelism_5_is_2000(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    /* Five branches emit 400 tasks each to one routine; its steps never overlap. */
    const char *job =
        submit_inline(&c,
                      "{'parallelism':5,'routines':[{'id':'a','type':'probe',"
                      "'config':{'do':{'in':[{'emit':'go'}]}}},"
                      "{'id':'b1','type':'probe','config':{'do':{'in':[{'wait':1},"
                      "{'emit':'n','times':400}]}}},{'id':'b2','type':'probe',"
                      "'config':{'do':{'in':[{'wait':1},{'emit':'n','times':400}]}}},"
                      "{'id':'b3','type':'probe','config':{'do':{'in':[{'wait':1},"
                      "{'emit':'n','times':400}]}}},{'id':'b4','type':'probe',"
                      "'config':{'do':{'in':[{'wait':1},{'emit':'n','times':400}]}}},"
                      "{'id':'b5','type':'probe','config':{'do':{'in':[{'wait':1},"
                      "{'emit':'n','times':400}]}}},{'id':'sum','type':'probe',"
                      "'config':{'do':{'in':[{'count':'n'},{'count_shared':'n'}]}}}],"
                      "'connections':[{'from':{'routine':'a','event':'go'},"
                      "'to':{'routine':'b1','slot':'in'}},{'from':{'routine':'a','event':'go'},"
                      "'to':{'routine':'b2','slot':'in'}},{'from':{'routine':'a','event':'go'},"
                      "'to':{'routine':'b3','slot':'in'}},{'from':{'routine':'a','event':'go'},"
                      "'to':{'routine':'b4','slot':'in'}},{'from':{'routine':'a','event':'go'},"
                      "'to':{'routine':'b5','slot':'in'}},{'from':{'routine':'b1','event':'n'},"
                      "'to':{'routine':'sum','slot':'in'}},{'from':{'routine':'b2','event':'n'},"
                      "'to':{'routine':'sum','slot':'in'}},{'from':{'routine':'b3','event':'n'},"
                      "'to':{'routine':'sum','slot':'in'}},{'from':{'routine':'b4','event':'n'},"
                      "'to':{'routine':'sum','slot':'in'}},{'from':{'routine':'b5','event':'n'},"
                      "'to':{'routine':'sum','slot':'in'}}]}",
                      "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.sum.n"), "2000");
    assert_string_equal(at(done, "job.state.sharedData.n"), "2000");
    assert_string_equal(at(done, "job.stepCount"), "2006");
    json_decref(done);
    cluster_done(&c);
}

static void each_merge_mode_does_what_it_says(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job =
        submit_inline(&c,
                      "{'routines':[{'id':'a','type':'probe',"
                      "'config':{'do':{'in':[{'emit':'l','data':{'l':1,'both':'l'}},"
                      "{'emit':'l','data':{'l':2,'both':'l'}},{'emit':'r','data':{'r':1,'both':'r'}},"
                      "{'emit':'r','data':{'r':2,'both':'r'}}]}}},"
                      "{'id':'m','type':'probe','config':{'do':{'all':[{'append':'all'}],"
                      "'two':[{'append':'two'}],'so_far':[{'append':'so_far'}]}},"
                      "'merge':[{'slot':'all','mode':'MERGE_MODE_ALL'},"
                      "{'slot':'two','mode':'MERGE_MODE_N_OF_M','n':2},"
                      "{'slot':'so_far','mode':'MERGE_MODE_APPEND'}]}],"
                      "'connections':[{'from':{'routine':'a','event':'l'},"
                      "'to':{'routine':'m','slot':'all'}},{'from':{'routine':'a','event':'r'},"
                      "'to':{'routine':'m','slot':'all'}},{'from':{'routine':'a','event':'l'},"
                      "'to':{'routine':'m','slot':'two'}},{'from':{'routine':'a','event':'r'},"
                      "'to':{'routine':'m','slot':'two'}},{'from':{'routine':'a','event':'r'},"
                      "'to':{'routine':'m','slot':'so_far'}}]}",
                      "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    json_t *shared = json_at(done, "job.state.sharedData");
    assert_int_equal(json_array_size(json_at(shared, "all")), 2);
    assert_string_equal(at(shared, "all[0].l"), "1");
    assert_string_equal(at(shared, "all[0].r"), "1");
    assert_string_equal(at(shared, "all[0].both"), "r"); /* the later connection's counts */
    assert_string_equal(at(shared, "all[1].l"), "2");
    assert_string_equal(at(shared, "all[1].r"), "2");
    assert_int_equal(json_array_size(json_at(shared, "two")), 2);
    assert_string_equal(at(shared, "two[0].items[1].l"), "2");
    assert_string_equal(at(shared, "two[1].items[1].r"), "2");
    assert_int_equal(json_array_size(json_at(shared, "so_far")), 2);
    assert_int_equal(json_array_size(json_at(shared, "so_far[0].items")), 1);
    assert_string_equal(at(shared, "so_far[1].items[1].r"), "2");
    json_decref(done);
    cluster_done(&c);
}

/* Bytes of the job's whole history, as it is shown. */
static size_t history_bytes(struct cluster *c, const char *job)
{
    size_t n = 0;
    char token[256] = "";
    do {
        json_t *page = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s','page_size':200,'page_token':'%s'}",
                           job, token);
        char *text = json_dumps(json_at(page, "steps"), JSON_COMPACT);
        n += strlen(text);
        free(text);
        snprintf(token, sizeof(token), "%s",
                 json_at(page, "nextPageToken") != NULL ? at(page, "nextPageToken") : "");
        json_decref(page);
    } while (token[0] != '\0');
    return n;
}

/* `n` data of `pad` bytes come by one branch first, then by the other, and meet at slot "input" of "j". */
static const char *submit_join(struct cluster *c, size_t n, size_t pad, const char *merge)
{
    static char id[32];
    char *items = calloc(n + 1, 8), *p = items;
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s%zu", i > 0 ? "," : "", i);
    json_t *r =
        rpc(c->address, "Jobs/SubmitJob",
            "{'inline_flow':{'routines':[{'id':'s','type':'split'},{'id':'x','type':'jq','priority':10,"
            "'config':{'program':'{x:.item,p:(\"x\"*%zu)}'}},"
            "{'id':'y','type':'jq','config':{'program':'{y:.item}'}},{'id':'j','type':'jq','priority':5,"
            "'config':{'program':'{n:((.items//[.])|length),x:.x,y:.y}'},'merge':[%s]}],'connections':["
            "{'from':{'routine':'s','event':'item'},'to':{'routine':'x','slot':'input'}},"
            "{'from':{'routine':'s','event':'item'},'to':{'routine':'y','slot':'input'}},"
            "{'from':{'routine':'x','event':'output'},'to':{'routine':'j','slot':'input'}},"
            "{'from':{'routine':'y','event':'output'},'to':{'routine':'j','slot':'input'}}]},"
            "'entry':{'routine':'s','slot':'input'},'data':{'items':[%s]}}",
            pad, merge, items);
    snprintf(id, sizeof(id), "%s", at(r, "jobId"));
    json_decref(r);
    free(items);
    return id;
}

/* What a datum costs does not grow with what waits: four times as many data are four times the bytes. */
static void the_journal_of_a_join_grows_with_its_data_only(void **state)
{
    (void)state;
    static const char *const merges[] = {"{'slot':'input','mode':'MERGE_MODE_ALL'}",
                                         "{'slot':'input','mode':'MERGE_MODE_N_OF_M','n':25}",
                                         "{'slot':'input','mode':'MERGE_MODE_APPEND'}"};
    struct cluster c;
    cluster_start(&c, 1);
    for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
        size_t bytes[2];
        for (size_t k = 0; k < 2; k++) {
            const char *job = submit_join(&c, k == 0 ? 75 : 300, 60, merges[i]);
            json_t *done = wait_status(&c, job, "COMPLETED");
            bytes[k] = history_bytes(&c, at(done, "job.jobId"));
            json_decref(done);
        }
        assert_true(bytes[1] < bytes[0] * 5);
    }
    cluster_done(&c);
}

static void a_hundred_large_data_meet(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    const char *job = submit_join(&c, 90, 100000, "{'slot':'input','mode':'MERGE_MODE_ALL'}");
    long long until = test_now_ms() + DEADLINE_MS;
    for (char status[64] = ""; strstr(status, "COMPLETED") == NULL;) { /* with what waits it is too large */
        json_t *j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s','without_state':true}", job);
        snprintf(status, sizeof(status), "%s", at(j, "job.status"));
        assert_null(strstr(status, "FAILED"));
        json_decref(j);
        test_pause(until, "the job has ended");
    }
    json_t *done = wait_status(&c, job, "COMPLETED"), *outputs = json_at(done, "job.state.outputs");
    assert_string_equal(at(json_array_get(outputs, json_array_size(outputs) - 1), "data.x"), "89");
    assert_string_equal(at(json_array_get(outputs, json_array_size(outputs) - 1), "data.y"), "89");
    assert_int_equal(json_array_size(outputs), 91); /* and what split says at its end */
    json_decref(done);
    cluster_done(&c);
}

static void mapping_constants_and_filters_shape_what_a_slot_receives(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job =
        submit_inline(&c,
                      "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'emit':'x'}]}}},"
                      "{'id':'b','type':'probe','config':{'do':{'*':[{'append':'seen'}]}}}],"
                      "'connections':[{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'b','slot':'one'},'mapping':{'name':'who'}},"
                      "{'from':{'routine':'a','event':'x'},'to':{'routine':'b','slot':'two'},"
                      "'mapping':{'name':'who'},'drop_unmapped':true,'constants':{'kind':'k'}},"
                      "{'from':{'routine':'a','event':'x'},'to':{'routine':'b','slot':'three'},"
                      "'filter':{'name':'Ada'}},{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'b','slot':'four'},'filter':{'name':'Bob'}}]}",
                      "{'name':'Ada','age':36}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    json_t *seen = json_at(done, "job.state.sharedData.seen");
    assert_int_equal(json_array_size(seen), 3);
    assert_string_equal(at(done, "job.state.sharedData.seen[0].who"), "Ada");
    assert_string_equal(at(done, "job.state.sharedData.seen[0].age"), "36");
    assert_null(json_at(done, "job.state.sharedData.seen[0].name"));
    assert_string_equal(at(done, "job.state.sharedData.seen[1].who"), "Ada");
    assert_string_equal(at(done, "job.state.sharedData.seen[1].kind"), "k");
    assert_null(json_at(done, "job.state.sharedData.seen[1].age"));
    assert_string_equal(at(done, "job.state.sharedData.seen[2].name"), "Ada");
    json_decref(done);
    cluster_done(&c);
}

static void fan_out_of_10000_tasks_in_one_step(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'emit':'x','times':10000}]}}},"
                                    "{'id':'b','type':'probe','config':{'do':{'in':[{'count':'n'}]}}}],"
                                    "'connections':[{'from':{'routine':'a','event':'x'},"
                                    "'to':{'routine':'b','slot':'in'}}]}",
                                    "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.b.n"), "10000");
    json_decref(done);
    cluster_done(&c);
}

/* routilux lost or repeated queued items here. */
static void fifty_queued_items_survive_a_pause_in_their_middle_and_a_move_each_handled_once(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    /* The 25th item asks: its own data says so. All items come to the same slot. */
    const char *job =
        submit_flow(&c, "{'id':'x'}", "%s",
                    "{'routines':[{'id':'a','type':'probe','config':{"
                    "'do':{'in':[{'emit':'item','times':25},{'emit':'stop','data':{}},"
                    "{'emit':'item','times':25}]}}},{'id':'b','type':'probe',"
                    "'config':{'do':{'in':[{'count':'n'},{'append':'seen'}],"
                    "'stop':[{'ask':'Go on?','slot':'answer'}],'answer':[{'count_shared':'answers'}]}}}],"
                    "'connections':[{'from':{'routine':'a','event':'item'},"
                    "'to':{'routine':'b','slot':'in'}},{'from':{'routine':'a','event':'stop'},"
                    "'to':{'routine':'b','slot':'stop'}}]}");
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_equal(at(paused, "job.state.routineStates.b.n"), "25");
    assert_int_equal(json_array_size(json_at(paused, "job.state.pendingTasks")), 25);
    char first[8];
    snprintf(first, sizeof(first), "%.7s", at(paused, "job.lastHost"));
    answer(&c, job, at(paused, "job.pauses[0].pauseId"), "yes");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.b.n"), "50");
    assert_string_equal(at(done, "job.state.sharedData.answers"), "1");
    assert_string_not_equal(at(done, "job.lastHost"), first);
    for (size_t i = 0; i < 50; i++) {
        char path[64], want[8];
        snprintf(path, sizeof(path), "job.state.sharedData.seen[%zu].i", i);
        snprintf(want, sizeof(want), "%zu", i % 25);
        assert_string_equal(at(done, path), want);
    }
    json_decref(paused);
    json_decref(done);
    cluster_done(&c);
}

static void several_questions_are_open_at_once_and_each_answer_goes_to_its_own(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job =
        submit_inline(&c,
                      "{'parallelism':3,'routines':[{'id':'a','type':'probe',"
                      "'config':{'do':{'in':[{'emit':'x'}]}}},"
                      "{'id':'b','type':'probe','config':{'do':{'in':[{'ask':'B?'}],"
                      "'answer':[{'append':'b'}]}}},{'id':'c','type':'probe',"
                      "'config':{'do':{'in':[{'ask':'C?'}],'answer':[{'append':'c'}]}}},"
                      "{'id':'d','type':'probe','config':{'do':{'in':[{'wait':20},"
                      "{'count_shared':'d'}]}}}],'connections':[{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'b','slot':'in'}},{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'c','slot':'in'}},{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'d','slot':'in'}}]}",
                      "{}");
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_int_equal(json_array_size(json_at(paused, "job.pauses")), 2);
    assert_string_equal(at(paused, "job.state.sharedData.d"),
                        "1"); /* a question halts only what depends on it */
    char *error =
        rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition", "{'job_id':'%s','answer':'x'}", job);
    assert_non_null(strstr(error, "2 pauses are open"));
    free(error);
    const char *of_b = strcmp(at(paused, "job.pauses[0].routine"), "b") == 0
                           ? at(paused, "job.pauses[0].pauseId")
                           : at(paused, "job.pauses[1].pauseId");
    answer(&c, job, of_b, "for b");
    json_t *one = wait_status(&c, job, "PAUSED");
    long long until = test_now_ms() + DEADLINE_MS;
    while (json_at(one, "job.state.sharedData.b") == NULL) { /* the job went on with the first answer */
        json_decref(one);
        test_pause(until, "the answer was handled");
        one = wait_status(&c, job, "PAUSED");
    }
    assert_string_equal(at(one, "job.state.sharedData.b[0].answer"), "for b");
    assert_int_equal(json_array_size(json_at(one, "job.pauses")), 1);
    answer(&c, job, at(one, "job.pauses[0].pauseId"), "for c");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.c[0].answer"), "for c");
    json_decref(paused);
    json_decref(one);
    json_decref(done);
    cluster_done(&c);
}

static void an_unanswered_question_gets_its_default_answer_in_time(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_flow(&c, "{}",
                                  "{'routines':[{'id':'a','type':'probe',"
                                  "'config':{'do':{'in':[{'ask':'Well?','timeout_ms':%d,'default':'no'}],"
                                  "'answer':[{'append':'got'}]}}}]}",
                                  5000 * test_slow());
    json_t *paused = wait_status(&c, job, "PAUSED");
    assert_string_not_equal(at(paused, "job.pauses[0].expiresAt"), "");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.sharedData.got[0].answer"), "no");
    assert_true(json_is_true(json_at(done, "job.state.sharedData.got[0].expired")));
    char *error = rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition",
                            "{'job_id':'%s','pause_id':'%s','answer':'late'}", job,
                            at(paused, "job.pauses[0].pauseId"));
    free(error);
    json_decref(paused);
    json_decref(done);
    cluster_done(&c);
}

static void routines_with_a_higher_priority_go_first(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job =
        submit_inline(&c,
                      "{'routines':[{'id':'a','type':'probe',"
                      "'config':{'do':{'in':[{'emit':'x','times':3}]}}},"
                      "{'id':'low','type':'probe','priority':-1,'config':{'do':{'in':[{'log':'low'}]}}},"
                      "{'id':'high','type':'probe','priority':5,'config':{'do':{'in':[{'log':'high'}]}}}],"
                      "'connections':[{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'low','slot':'in'}},{'from':{'routine':'a','event':'x'},"
                      "'to':{'routine':'high','slot':'in'}}]}",
                      "{}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    for (int i = 0; i < 6; i++) {
        char path[64];
        snprintf(path, sizeof(path), "job.state.sharedLog[%d].message", i);
        assert_string_equal(at(done, path), i < 3 ? "high" : "low");
    }
    json_decref(done);
    cluster_done(&c);
}

static void loops_in_the_graph_end_when_nothing_is_emitted_any_more(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 1);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'count':'n'},{'emit':'x'}]}}},"
                                    "{'id':'b','type':'probe','config':{'do':{'in':[{'count':'n'},"
                                    "{'emit':'y'}]}}}],'connections':[{'from':{'routine':'a','event':'x'},"
                                    "'to':{'routine':'b','slot':'in'}},"
                                    "{'from':{'routine':'b','event':'y'},'to':{'routine':'a','slot':'in'},"
                                    "'filter':{'again':true},'constants':{'again':false}}]}",
                                    "{'again':true}");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_string_equal(at(done, "job.state.routineStates.a.n"), "2");
    assert_string_equal(at(done, "job.state.routineStates.b.n"), "2");
    json_decref(done);
    cluster_done(&c);
}

/* The store stalls (its coordinator is stopped): pure steps run ahead, the effect waits until they are on
 * disk. */
static void of_the_jobs_that_wait_for_a_host_those_with_a_higher_priority_go_first(void **state)
{
    (void)state;
    static const int priorities[] = {0, -3, 7, 0};
    static const char *const order[] = {"2", "0", "3", "1"}; /* of equal ones the older one */
    struct cluster c;
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    char ids[4][32];
    for (int i = 0; i < 4; i++) {
        json_t *r = rpc(c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'routines':[{'id':'a','type':'exec',"
                        "'config':{'command':['sh','-c','echo %d >> %s']}}]},"
                        "'entry':{'routine':'a','slot':'in'},'priority':%d}",
                        i, cluster_file(&c, "order"), priorities[i]);
        snprintf(ids[i], sizeof(ids[i]), "%s", at(r, "jobId"));
        json_decref(r);
    }
    cluster_host(&c, 0, "a", (const char *const[]){"--capacity", "1", NULL}); /* one after the other */
    for (int i = 0; i < 4; i++)
        json_decref(wait_status(&c, ids[i], "COMPLETED"));
    char *text = file_text(cluster_file(&c, "order")), *line = text;
    for (int i = 0; i < 4; i++, line += 2)
        assert_memory_equal(line, order[i], 1);
    free(text);
    cluster_done(&c);
}

static void inputs_are_handled_in_the_order_in_which_they_were_sent(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job = submit_inline(&c,
                                    "{'routines':[{'id':'a','type':'probe',"
                                    "'config':{'do':{'in':[{'ask':'Go on?','slot':'answer'}],"
                                    "'answer':[{'append':'seen'}],'more':[{'append':'seen'}]}}}]}",
                                    "{}");
    json_t *paused = wait_status(&c, job, "PAUSED");
    for (int i = 0; i < 10; i++) /* nothing waits for them yet */
        json_decref(rpc(c.address, "Jobs/SendInput",
                        "{'job_id':'%s','to':{'routine':'a','slot':'more'},'data':{'i':%d}}", job, i));
    answer(&c, job, at(paused, "job.pauses[0].pauseId"), "yes");
    json_t *done = wait_status(&c, job, "COMPLETED");
    assert_int_equal(json_array_size(json_at(done, "job.state.sharedData.seen")), 11);
    for (int i = 0, found = 0; i < 11; i++) {
        char path[64], want[16];
        snprintf(path, sizeof(path), "job.state.sharedData.seen[%d].i", i);
        snprintf(want, sizeof(want), "%d", found);
        if (at(done, path)[0] == '\0')
            continue; /* the answer */
        assert_string_equal(at(done, path), want);
        found++;
    }
    json_decref(paused);
    json_decref(done);
    cluster_done(&c);
}

static void no_effect_happens_before_the_steps_it_rests_on_are_on_disk(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    c.probes = true;
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", NULL);
    const char *job =
        submit_flow(&c, "{}",
                    "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':[{'gate':'%s'},"
                    "{'emit':'x'}]}}},{'id':'b','type':'probe',"
                    "'config':{'do':{'in':[{'touch':'%s'},{'emit':'x'}]}}},"
                    "{'id':'c','type':'probe_fx','config':{'do':{'in':[{'touch':'%s'}]}}}],"
                    "'connections':[{'from':{'routine':'a','event':'x'},'to':{'routine':'b','slot':'in'}},"
                    "{'from':{'routine':'b','event':'x'},'to':{'routine':'c','slot':'in'}}]}",
                    cluster_file(&c, "gate"), cluster_file(&c, "pure"), cluster_file(&c, "effects"));
    json_decref(wait_status(&c, job, "RUNNING"));
    proc_kill(&c.coordinator, SIGSTOP);
    int status;
    assert_int_equal(waitpid(c.coordinator.pid, &status, WUNTRACED),
                     c.coordinator.pid); /* now it stands still */
    cluster_open_gate(&c, "gate");
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(&c, "pure") == 0)
        test_pause(until, "the pure step ran ahead");
    for (int i = 0; i < 30; i++) /* what would follow at once had it not to wait */
        test_pause(until, "a while");
    assert_int_equal(cluster_lines(&c, "effects"), 0);
    proc_kill9(&c.coordinator); /* nothing of it was on disk */
    cluster_coordinator(&c, NULL);
    json_decref(wait_status(&c, job, "COMPLETED"));
    assert_int_equal(cluster_lines(&c, "effects"), 1);
    assert_int_equal(cluster_lines(&c, "pure"), 1); /* the host kept its steps and sent them again */
    cluster_done(&c);
}

static void an_attempt_that_is_tried_again_does_not_end_the_handlers_beside_it(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start_probes(&c, 2);
    const char *job =
        submit_flow(&c, "{}",
                    "{'parallelism':2,'routines':[{'id':'a','type':'probe',"
                    "'config':{'do':{'in':[{'emit':'go'}]}}},"
                    "{'id':'b','type':'probe_fx','config':{'do':{'in':[{'touch':'%s'},{'gate':'%s'}]}}},"
                    "{'id':'c','type':'probe','config':{'do':{'in':[{'gate':'%s'},"
                    "{'fail':'UNAVAILABLE','attempts':1},{'count_shared':'n'}]}},"
                    "'policy':{'retry':{'max_attempts':2,'initial_delay_ms':10}}}],"
                    "'connections':[{'from':{'routine':'a','event':'go'},"
                    "'to':{'routine':'b','slot':'in'}},{'from':{'routine':'a','event':'go'},"
                    "'to':{'routine':'c','slot':'in'}}]}",
                    cluster_file(&c, "effects"), cluster_file(&c, "gate"), cluster_file(&c, "gate2"));
    long long until = test_now_ms() + DEADLINE_MS;
    while (cluster_lines(&c, "effects") < 1)
        test_pause(until, "the handler has started");
    cluster_open_gate(&c, "gate2");
    for (bool tried = false; !tried; test_pause(until, "the other one was tried again")) {
        json_t *j = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        tried = json_at(j, "job.state.sharedData.n") != NULL;
        json_decref(j);
    }
    cluster_open_gate(&c, "gate");
    json_decref(wait_status(&c, job, "COMPLETED"));
    assert_int_equal(cluster_lines(&c, "effects"), 1);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_that_2000_merged_tasks_count_with_parallelism_5_is_2000),
        cmocka_unit_test(each_merge_mode_does_what_it_says),
        cmocka_unit_test(the_journal_of_a_join_grows_with_its_data_only),
        cmocka_unit_test(a_hundred_large_data_meet),
        cmocka_unit_test(mapping_constants_and_filters_shape_what_a_slot_receives),
        cmocka_unit_test(fan_out_of_10000_tasks_in_one_step),
        cmocka_unit_test(fifty_queued_items_survive_a_pause_in_their_middle_and_a_move_each_handled_once),
        cmocka_unit_test(several_questions_are_open_at_once_and_each_answer_goes_to_its_own),
        cmocka_unit_test(an_unanswered_question_gets_its_default_answer_in_time),
        cmocka_unit_test(routines_with_a_higher_priority_go_first),
        cmocka_unit_test(of_the_jobs_that_wait_for_a_host_those_with_a_higher_priority_go_first),
        cmocka_unit_test(inputs_are_handled_in_the_order_in_which_they_were_sent),
        cmocka_unit_test(no_effect_happens_before_the_steps_it_rests_on_are_on_disk),
        cmocka_unit_test(loops_in_the_graph_end_when_nothing_is_emitted_any_more),
        cmocka_unit_test(an_attempt_that_is_tried_again_does_not_end_the_handlers_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
