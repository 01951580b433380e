/* Hosts by hand: the protocol between coordinator and host, spoken through grpcurl, so that each rule can be
 * broken. */
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

static void attach_by_hand(struct cluster *c, struct proc *hand, const char *log)
{
    rpc_talk(hand, cluster_file(c, log), c->address, "HostAgent/Attach");
}

static void say_hello(struct proc *hand, const char *incarnation, int seq)
{
    rpc_say(hand,
            "{'seq':%d,'hello':{'host_id':'hand','incarnation':'%s','protocol_version':1,'capacity':1,"
            "'routine_types':[{'name':'t','version':1,'slots':['*']}]}}",
            seq, incarnation);
}

static void end_hand(struct proc *hand, int code)
{
    close(hand->in);
    hand->in = -1;
    int got = proc_wait(hand);
    if (code == 0 ? got != 0 : got == 0)
        fail_msg("grpcurl ended with %d; see %s", got, hand->err_file);
}

static void a_host_that_talks_but_hears_nothing_loses_its_lease(void **state)
{
    (void)state;
    struct cluster c;
    struct proc hand;
    cluster_init(&c);
    cluster_lease(&c, 2);
    cluster_coordinator(&c, NULL);
    attach_by_hand(&c, &hand, "hand.log");
    say_hello(&hand, "one", 1);
    rpc_hear(&hand, "'welcome'");
    long long until = test_now_ms() + DEADLINE_MS;
    (void)signal(SIGPIPE, SIG_IGN);
    for (int seq = 2; kill(hand.pid, 0) == 0 && !proc_gone(hand.pid); seq++) {
        char text[64];
        json_print(text, sizeof(text), "{'seq':%d,'ack':0,'heartbeat':{}}\n", seq);
        if (write(hand.in, text, strlen(text)) != (ssize_t)strlen(text))
            break;
        test_pause(until, "the end of the stream");
    }
    end_hand(&hand, 1);
    cluster_wait_log(&c, "coordinator.log", "a host's lease ended");
    cluster_done(&c);
}

static const char *submit_by_hand(struct cluster *c)
{
    static char id[32];
    json_t *r = rpc(c->address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'r','type':'t'}]},"
                    "'entry':{'routine':'r','slot':'in'}}");
    snprintf(id, sizeof(id), "%.31s", at(r, "jobId"));
    json_decref(r);
    return id;
}

static void a_host_that_says_that_it_is_draining_gets_no_work(void **state)
{
    (void)state;
    struct cluster c;
    struct proc hand;
    cluster_start(&c, 0);
    attach_by_hand(&c, &hand, "hand.log");
    rpc_say(&hand, "{'hello':{'host_id':'hand','incarnation':'one','protocol_version':1,'capacity':1,"
                   "'draining':true,'routine_types':[{'name':'t','version':1,'slots':['*']}]}}");
    rpc_hear(&hand, "'welcome'");
    json_t *waits = wait_status(&c, submit_by_hand(&c), "PENDING");
    assert_non_null(strstr(at(waits, "job.waitingReason"), "it takes no new work"));
    json_decref(waits);
    rpc_say(&hand, "{'goodbye':{}}");
    end_hand(&hand, 0);
    cluster_done(&c);
}

static void say_step(struct proc *hand, const char *job, int number, int epoch)
{
    rpc_say(hand,
            "{'steps':{'steps':[{'job_id':'%s','step':{'number':%d,'epoch':%d,'task_id':'i1',"
            "'routine':'r','slot':'in','inputs_through':1,'outcome':'STEP_OUTCOME_COMPLETE'}}]}}",
            job, number, epoch);
}

static void a_gap_in_the_numbers_of_steps_is_refused_and_the_job_is_given_again(void **state)
{
    (void)state;
    struct cluster c;
    struct proc hand;
    cluster_init(&c);
    cluster_coordinator(&c, NULL);
    attach_by_hand(&c, &hand, "hand.log");
    rpc_say(&hand, "{'hello':{'host_id':'hand','incarnation':'one','protocol_version':1,'capacity':1,"
                   "'routine_types':[{'name':'t','version':1,'slots':['*']}]}}");
    rpc_hear(&hand, "'welcome'");
    const char *job = submit_by_hand(&c);
    rpc_hear(&hand, "'assign'");
    say_step(&hand, job, 2, 1);
    rpc_hear(&hand, "'stepReject'");
    rpc_hear(&hand, "'assign'");
    json_t *j = wait_status(&c, job, "RUNNING");
    assert_string_equal(at(j, "job.stepCount"), "");
    assert_string_equal(at(j, "job.epoch"), "2");
    json_decref(j);
    say_step(&hand, job, 1, 1); /* under the epoch that is over */
    rpc_hear(&hand, "'stepReject'");
    say_step(&hand, job, 1, 2);
    rpc_hear(&hand, "'released': true");
    json_decref(wait_status(&c, job, "COMPLETED"));
    json_t *h = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_int_equal(json_array_size(json_at(h, "steps")), 1);
    json_decref(h);
    rpc_say(&hand, "{'goodbye':{}}");
    end_hand(&hand, 0);
    cluster_done(&c);
}

static void a_second_host_with_the_same_id_is_refused_while_the_lease_of_the_first_runs(void **state)
{
    (void)state;
    struct cluster c;
    struct proc first, second, third;
    char path[256];
    cluster_start(&c, 0);
    attach_by_hand(&c, &first, "first.log");
    say_hello(&first, "one", 1);
    rpc_hear(&first, "'welcome'");
    end_hand(&first, 0); /* without Goodbye: it may still be at work */
    attach_by_hand(&c, &second, "second.log");
    say_hello(&second, "two", 1);
    end_hand(&second, 1);
    snprintf(path, sizeof(path), "%s/second.log", c.dir);
    char *err = file_text(path);
    assert_non_null(strstr(err, "AlreadyExists"));
    free(err);
    cluster_wait_log(&c, "coordinator.log", "a host's stream is ended host=hand"); /* which one was refused */
    json_decref(rpc(c.address, "Hosts/CertifyDeath", "{'host_id':'hand','incarnation':'one'}"));
    attach_by_hand(&c, &third, "third.log");
    say_hello(&third, "three", 1);
    rpc_hear(&third, "'welcome'");
    rpc_say(&third, "{'seq':2,'ack':1,'goodbye':{}}");
    end_hand(&third, 0);
    cluster_done(&c);
}

/* The host has not got the Assign, or has lost it: it does not name the job when it comes back. */
static void a_job_that_its_host_has_never_got_is_given_again_when_the_host_comes_back(void **state)
{
    (void)state;
    struct cluster c;
    struct proc first, second;
    cluster_init(&c);
    cluster_coordinator(&c, NULL);
    attach_by_hand(&c, &first, "first.log");
    say_hello(&first, "one", 1);
    const char *job = submit_by_hand(&c);
    json_decref(wait_status(&c, job, "RUNNING"));
    end_hand(&first, 0); /* a broken stream: nothing is moved */
    json_t *j = wait_status(&c, job, "RUNNING");
    assert_string_equal(at(j, "job.epoch"), "1");
    json_decref(j);
    attach_by_hand(&c, &second, "second.log");
    say_hello(&second, "one", 1);
    rpc_hear(&second, "'assign'");
    rpc_hear(&second, "'epoch': 2");
    say_step(&second, job, 1, 2);
    rpc_hear(&second, "'released': true");
    json_decref(wait_status(&c, job, "COMPLETED"));
    rpc_say(&second, "{'goodbye':{}}");
    end_hand(&second, 0);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_talks_but_hears_nothing_loses_its_lease),
        cmocka_unit_test(a_host_that_says_that_it_is_draining_gets_no_work),
        cmocka_unit_test(a_gap_in_the_numbers_of_steps_is_refused_and_the_job_is_given_again),
        cmocka_unit_test(a_second_host_with_the_same_id_is_refused_while_the_lease_of_the_first_runs),
        cmocka_unit_test(a_job_that_its_host_has_never_got_is_given_again_when_the_host_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
