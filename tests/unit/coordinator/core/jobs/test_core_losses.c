/* Tasks that end their hosts: how they are counted, tried apart, and fail; and that others are not harmed. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define INCARNATION "01H000000000000000000000A1"
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

static uint64_t joins(const char *id)
{
    return host_joins(id, ",'incarnation': '" INCARNATION "'");
}

/* Flow "f" whose tasks are tried alone as soon as one host has died with them. */
static void put_flow_2(void)
{
    put_flow_f(",'defaults': {'max_losses': 2}");
}

/* The daemon of the host dies; `more` says of what and with what in hand. */
static void dies(uint64_t conn, const char *id, const char *more)
{
    host_breaks(conn);
    (void)call("Hosts/CertifyDeath",
               "'host_id': '%s', 'incarnation': '" INCARNATION "', 'how': 'killed by signal 11'%s", id, more);
}

/* ",…": these jobs' first inputs were in hand, each under this epoch. */
static const char *in_hand(unsigned epoch, const char *one, const char *two)
{
    static char text[512];
    int n = snprintf(text, sizeof(text),
                     ", 'cause': 'DEATH_CAUSE_CRASHED', 'in_hand': [{'job_id': '%s', 'epoch': %u, 'task_id': "
                     "'i1', 'routine': 'r'}",
                     one, epoch);
    if (two != NULL)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      ", {'job_id': '%s', 'epoch': %u, 'task_id': 'i1', 'routine': 'r'}", two, epoch);
    snprintf(text + n, sizeof(text) - (size_t)n, "]");
    return text;
}

static void assert_on(const char *job, const char *host)
{
    if (strcmp(at(job_of(job), "host"), host) != 0)
        fail_msg("%s", at(call("Jobs/ExplainJob", "'job_id': '%s'", job), ""));
}

static void a_task_that_ends_its_hosts_fails_after_the_third(void **state)
{
    (void)state;
    put_flow_f(" ");
    uint64_t a = joins("a");
    const char *job = submit_f(" ");
    for (unsigned epoch = 1; epoch <= 3; epoch++) {
        json_t *assign = told_of(a, "assign");
        assert_int_equal(number_at(assign, "epoch"), epoch);
        assert_string_equal(at(assign, "lost_tasks"), "");
        assert_string_equal(at(assign, "suspect_tasks"), epoch == 1 ? "" : "['i1']"); /* nothing beside it */
        dies(a, "a", in_hand(epoch, job, NULL));
        json_t *j = job_of(job);
        assert_int_equal(number_at(j, "losses[0].losses"), epoch);
        assert_string_equal(at(j, "losses[0].task_id"), "i1");
        assert_string_equal(at(j, "losses[0].routine"), "r");
        assert_string_equal(at(j, "losses[0].last_deaths[0].host"), "a");
        assert_string_equal(at(j, "losses[0].last_deaths[0].how"), "killed by signal 11");
        a = joins("a");
    }
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "lost_tasks"), "['i1']");
    assert_string_equal(at(assign, "suspect_tasks"), "");
    const char *why = at(assign, "lost_reasons[0]");
    assert_non_null(strstr(why, "the task has ended 3 host daemons, the limit of its policy (max_losses)"));
    assert_non_null(strstr(why, "host a at 2023-11-14T22:13:20Z (killed by signal 11)"));
    host_steps(a, job, 4, 1,
               TAKES_I1 OUTCOME(FAIL) ", 'error': {'code': 'ABORTED', 'message': 'it has ended hosts'}");
    assert_string_equal(status_of(job), "FAILED");
    assert_string_equal(at(job_of(job), "losses"), ""); /* whoever lets it go on begins anew */
}

static void the_limit_is_the_policys_and_0_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *flow;
        unsigned limit;
    } flows[] = {
        {"'routines': [{'id': 'r', 'type': 't', 'policy': {'max_losses': 1}}]",                                1},
        {"'routines': [{'id': 'r', 'type': 't'}], 'defaults': {'max_losses': 2}",                              2},
        {"'routines': [{'id': 'r', 'type': 't', 'policy': {'max_losses': 2}}], 'defaults': {'max_losses': 1}",
         2                                                                                                      },
        {"'routines': [{'id': 'r', 'type': 't', 'policy': {'max_losses': 0}}], 'defaults': {'max_losses': 1}",
         0                                                                                                      },
    };
    uint64_t a = joins("a");
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
        json_t *submitted = call(
            "Jobs/SubmitJob", "'inline_flow': {%s}, 'entry': {'routine': 'r', 'slot': 'in'}", flows[i].flow);
        const char *job = at(submitted, "job_id");
        unsigned epoch = 1;
        for (; epoch <= 6; epoch++) {
            json_t *assign = told_of(a, "assign");
            if (at(assign, "lost_tasks")[0] != '\0')
                break;
            dies(a, "a", in_hand(epoch, job, NULL));
            a = joins("a");
        }
        assert_int_equal(epoch, flows[i].limit == 0 ? 7 : flows[i].limit + 1);
        (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
        while (told(a) != NULL) {
        }
    }
    refuses("INVALID_ARGUMENT flow.routines[0].policy.max_losses: the flow has 1 fault: max_losses is 1001",
            "Flows/PutFlow",
            "'flow': {'name': 'g', 'routines': [{'id': 'r', 'type': 't', 'policy': {'max_losses': 1001}}]}");
}

static void suspects_are_tried_one_at_a_time_and_others_go_on_elsewhere(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *one = submit_f(" "), *two = submit_f(" ");
    dies(a, "a", in_hand(1, one, two));
    a = joins("a");
    uint64_t b = joins("b");
    assert_on(one, "a"); /* the older one; host b is not its last host, but comes later */
    assert_string_equal(status_of(two), "PENDING");
    for (int i = 0; i < 3; i++) /* nothing is put beside it */
        assert_on(submit_f(" "), "b");
    json_t *why = call("Jobs/ExplainJob", "'job_id': '%s'", two);
    assert_non_null(strstr(at(why, "waits_for[0].text"), "was at work when 1 host daemon died, of which 1"));
    assert_non_null(strstr(at(why, "summary"), "tried alone"));
    while (told(a) != NULL || told(b) != NULL) {
    }
    host_steps(a, one, 2, 1, TAKES_I1 OUTCOME(COMPLETE));
    assert_string_equal(status_of(one), "COMPLETED");
    assert_on(two, "a"); /* its turn; alone, too */
    assert_on(submit_f(" "), "b");
    host_steps(a, two, 2, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', "
                                          "'slot': 'in'}]");
    assert_string_equal(at(job_of(two), "losses"), "");
    assert_on(submit_f(" "), "a"); /* it is an innocent job now, as any other */
}

static void one_that_is_innocent_makes_room_for_the_next_suspect(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *one = submit_f(" "), *two = submit_f(" ");
    dies(a, "a", in_hand(1, one, two));
    a = joins("a");
    assert_on(one, "a");
    (void)told_of(a, "assign");
    host_steps(a, one, 2, 1,
               TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', 'routine': 'r', "
                                          "'slot': 'in'}]");
    json_t *leave = told_of(a, "interrupt");
    assert_string_equal(at(leave, "kind"), "INTERRUPT_KIND_DRAIN");
    assert_string_equal(at(leave, "job_id"), one);
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 2, 'last_step': 1, 'reason': "
              "'RELEASE_REASON_DRAINING'}",
              one);
    assert_on(two, "a");
    assert_string_equal(status_of(one), "PENDING"); /* it has no host but this one */
    host_steps(a, two, 2, 1, TAKES_I1 OUTCOME(COMPLETE));
    rig_pass(1000);
    assert_on(one, "a");
}

/* Deaths beside others count once for each task. */
static void a_task_is_not_blamed_again_for_what_others_were_at_work_at(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *one = submit_f(" "), *two = submit_f(" ");
    dies(a, "a", in_hand(1, one, two));
    a = joins("a");
    assert_on(one, "a");
    for (unsigned ms = 0; ms < 15000; ms += 1000) { /* its trial is long over: both are there */
        rig_pass(1000);
        host_says(a, "'heartbeat': {}");
    }
    assert_on(two, "a");
    dies(a, "a", in_hand(2, one, two));
    assert_int_equal(number_at(job_of(one), "losses[0].deaths"), 2);
    assert_int_equal(number_at(job_of(one), "losses[0].losses"), 1);
    assert_int_equal(number_at(job_of(two), "losses[0].losses"), 1);
}

static void only_crashes_count(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *job = submit_f(" ");
    dies(a, "a", ", 'cause': 'DEATH_CAUSE_ENDED'"); /* its supervisor was killed */
    assert_string_equal(at(job_of(job), "losses"), "");
    a = joins("a");
    host_breaks(a);
    rig_pass(RIG_LEASE_MS); /* a lost machine, or a partition */
    assert_string_equal(at(job_of(job), "losses"), "");
    a = joins("a");
    (void)call("Hosts/DrainHost", "'host_id': 'a'");
    host_says(a, "'release': {'job_id': '%s', 'epoch': 3, 'reason': 'RELEASE_REASON_DRAINING'}", job);
    assert_string_equal(at(job_of(job), "losses"), "");
    (void)call("Hosts/CordonHost", "'host_id': 'a', 'uncordon': true");
    rig_pass(1000);
    assert_on(job, "a");
    dies(a, "a", in_hand(3, job, NULL)); /* of an epoch that is over */
    assert_string_equal(at(job_of(job), "losses"), "");
}

static void of_an_older_host_only_what_was_alone_counts(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *one = submit_f(" "), *two = submit_f(" ");
    for (unsigned i = 1; i <= 2; i++) {
        while (told(a) != NULL) {
        }
        dies(a, "a", "");
        assert_int_equal(number_at(job_of(one), "losses[0].deaths"), i);
        assert_int_equal(number_at(job_of(two), "losses[0].deaths"), i);
        a = joins("a");
    }
    for (unsigned i = 1; i <= 2; i++) {
        json_t *assign = told_of(a, "assign");
        const char *tried = strcmp(at(assign, "job_id"), one) == 0 ? one : two;
        assert_string_equal(at(job_of(tried), "losses[0].losses"), "");
        assert_true(told_nothing(a));
        dies(a, "a", "");
        assert_int_equal(number_at(job_of(tried), "losses[0].losses"), 1);
        a = joins("a");
    }
}

static void after_one_death_all_jobs_move_at_once(void **state)
{
    (void)state;
    put_flow_f(" ");
    uint64_t a = joins("a");
    const char *jobs[10];
    for (size_t i = 0; i < 10; i++)
        jobs[i] = submit_f(" ");
    uint64_t b = joins("b");
    dies(a, "a", in_hand(1, jobs[0], jobs[1]));
    for (size_t i = 0; i < 10; i++)
        assert_on(jobs[i], "b");
    assert_int_equal(number_at(job_of(jobs[0]), "losses[0].losses"), 1);
    assert_string_equal(at(job_of(jobs[2]), "losses"), ""); /* it was not at work */
    dies(b, "b", in_hand(2, jobs[0], jobs[2]));
    (void)joins("a");
    assert_on(jobs[0], "a"); /* two have died with it: now it is tried alone */
    for (size_t i = 1; i < 10; i++)
        assert_string_equal(status_of(jobs[i]), "PENDING");
    (void)joins("b");
    for (size_t i = 1; i < 10; i++)
        assert_on(jobs[i], "b");
}

static void the_last_loss_is_one_that_the_task_was_alone_at(void **state)
{
    (void)state;
    put_flow_f(" ");
    uint64_t a = joins("a");
    const char *one = submit_f(" "), *two = submit_f(" ");
    for (unsigned epoch = 1; epoch <= 2; epoch++) {
        dies(a, "a", in_hand(epoch, one, two));
        assert_int_equal(number_at(job_of(one), "losses[0].losses"), epoch);
        assert_int_equal(number_at(job_of(two), "losses[0].losses"), epoch);
        a = joins("a");
    }
    for (unsigned ms = 0; ms < 15000; ms += 1000) { /* both are there once more */
        rig_pass(1000);
        host_says(a, "'heartbeat': {}");
    }
    assert_on(one, "a");
    assert_on(two, "a");
    dies(a, "a", in_hand(3, one, two));
    assert_int_equal(number_at(job_of(one), "losses[0].losses"), 2);
    assert_int_equal(number_at(job_of(two), "losses[0].losses"), 2);
    assert_string_equal(at(job_of(one), "lost_tasks"), "");
    a = joins("a");
    json_t *assign = told_of(a, "assign");
    const char *tried = strcmp(at(assign, "job_id"), one) == 0 ? one : two;
    dies(a, "a", in_hand(4, tried, NULL));
    assert_string_equal(at(job_of(tried), "lost_tasks"), "['i1']");
    assert_string_equal(at(job_of(tried == one ? two : one), "lost_tasks"), "");
}

static void the_count_survives_a_restart_and_a_fork(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *job = submit_f(" ");
    dies(a, "a", in_hand(1, job, NULL));
    rig_restart();
    assert_int_equal(number_at(job_of(job), "losses[0].losses"), 1);
    const char *fork = at(call("Jobs/ForkJob", "'job_id': '%s', 'step': 0", job), "job_id");
    assert_int_equal(number_at(job_of(fork), "losses[0].losses"), 1);
    (void)joins("a");
    bool fork_first = strcmp(status_of(fork), "RUNNING") == 0; /* they are of the same millisecond */
    const char *tried = fork_first ? fork : job, *waits = fork_first ? job : fork;
    long long epoch = number_at(job_of(tried), "epoch");
    assert_on(tried, "a");
    assert_string_equal(status_of(waits), "PENDING"); /* it is tried apart, too */
    rig_restart();
    a = host_joins("a", ",'incarnation': '" INCARNATION "', 'held_jobs': [{'job_id': '%s', 'epoch': %lld}]",
                   tried, epoch);
    assert_on(tried, "a");
    assert_string_equal(status_of(waits), "PENDING");
    assert_string_equal(status_of(submit_f(" ")), "PENDING"); /* the trial goes on */
    dies(a, "a", in_hand((unsigned)epoch, tried, NULL));
    assert_int_equal(number_at(job_of(tried), "losses[0].losses"), 2);
}

static void a_long_trial_ends_and_the_next_is_longer(void **state)
{
    (void)state;
    put_flow_f(",'defaults': {'max_losses': 0}");
    uint64_t a = joins("a");
    const char *job = submit_f(" ");
    dies(a, "a", in_hand(1, job, NULL));
    a = joins("a");
    for (unsigned n = 2; n <= 4; n++) {
        dies(a, "a", in_hand(n, job, NULL));
        a = joins("a");
        assert_on(job, "a");
        const char *other = submit_f(" ");
        for (unsigned ms = 0; ms < 1000u << (n - 1); ms += 1000) {
            assert_string_equal(status_of(other), "PENDING");
            rig_pass(1000);
            host_says(a, "'heartbeat': {}");
        }
        assert_on(other, "a");
        (void)call("Jobs/CancelJob", "'job_id': '%s'", other);
    }
}

static void a_trial_goes_on_after_a_restart(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *job = submit_f(" ");
    dies(a, "a", in_hand(1, job, NULL));
    a = joins("a");
    assert_on(job, "a");
    rig_restart();
    (void)host_joins("a", ",'incarnation': '" INCARNATION "', 'held_jobs': [{'job_id': '%s', 'epoch': 2}]",
                     job);
    assert_on(job, "a");
    const char *other = submit_f(" ");
    assert_string_equal(status_of(other), "PENDING");
    rig_pass(1000);
    assert_on(other, "a");
}

static void a_suspect_waits_for_an_empty_host_for_a_while_only(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a"), b = joins("b");
    const char *one = submit_f(" "), *two = submit_f(" ");
    uint64_t dead = strcmp(at(job_of(one), "host"), "a") == 0 ? a : b, lives = dead == a ? b : a;
    dies(dead, dead == a ? "a" : "b", in_hand(1, one, NULL));
    assert_string_equal(status_of(one), "PENDING");
    const char *three = submit_f(" "); /* the host is kept */
    assert_string_equal(status_of(three), "PENDING");
    for (unsigned ms = 0; ms < 10000; ms += 1000) {
        assert_string_equal(status_of(one), "PENDING");
        rig_pass(1000);
        host_says(lives, "'heartbeat': {}");
    }
    assert_on(one, lives == a ? "a" : "b");
    assert_on(two, lives == a ? "a" : "b");
    assert_string_equal(status_of(three), "PENDING"); /* until the trial is over */
    host_steps(lives, one, 2, 1, TAKES_I1 OUTCOME(COMPLETE));
    assert_on(three, lives == a ? "a" : "b");
}

static void somebody_who_lets_the_job_go_on_begins_the_count_anew(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *job = submit_f(" ");
    dies(a, "a", in_hand(1, job, NULL));
    a = joins("a");
    (void)begin("Jobs/PauseJob", "'job_id': '%s'", job);
    rig_settle();
    host_says(a, "'release': {'job_id': '%s', 'epoch': 2, 'reason': 'RELEASE_REASON_PAUSED'}", job);
    assert_int_equal(number_at(job_of(job), "losses[0].losses"), 1);
    (void)call("Jobs/RetryTask", "'job_id': '%s', 'task_id': 'i1', 'by': 'ann'", job);
    assert_string_equal(at(job_of(job), "losses"), "");
}

static void a_certificate_is_checked(void **state)
{
    (void)state;
    uint64_t a = joins("a");
    host_breaks(a);
    refuses("INVALID_ARGUMENT cause: cause 9 is unknown", "Hosts/CertifyDeath",
            "'host_id': 'a', 'incarnation': '" INCARNATION "', 'cause': 9");
    refuses("INVALID_ARGUMENT in_hand: in_hand is only for cause DEATH_CAUSE_CRASHED", "Hosts/CertifyDeath",
            "'host_id': 'a', 'incarnation': '" INCARNATION
            "', 'in_hand': [{'task_id': 'i1', 'routine': 'r'}]");
    refuses("INVALID_ARGUMENT in_hand.task_id: ", "Hosts/CertifyDeath",
            "'host_id': 'a', 'incarnation': '" INCARNATION "', 'cause': 1, 'in_hand': [{'task_id': 'a b'}]");
}

/* The step that made it did not come: it is counted by its id, and known again when it is made again. */
static void a_task_that_is_not_known_yet_is_counted_too(void **state)
{
    (void)state;
    put_flow_2();
    uint64_t a = joins("a");
    const char *job = submit_f(" ");
    char hand[256];
    for (unsigned epoch = 1; epoch <= 3; epoch++) {
        (void)told_of(a, "assign");
        snprintf(hand, sizeof(hand),
                 ", 'cause': 'DEATH_CAUSE_CRASHED', 'in_hand': [{'job_id': '%s', 'epoch': %u, 'task_id': "
                 "'s1.0', 'routine': 'r'}]",
                 job, epoch);
        dies(a, "a", hand);
        a = joins("a");
    }
    assert_string_equal(at(told_of(a, "assign"), "lost_tasks"), "['s1.0']");
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    host_steps(a, job, 4, 1, TAKES_I1 OUTCOME(CONTINUE));
    assert_string_equal(at(job_of(job), "losses"), ""); /* this time there was no such task */
    assert_string_equal(at(job_of(job), "lost_tasks"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_task_that_ends_its_hosts_fails_after_the_third),
        T(the_limit_is_the_policys_and_0_is_none),
        T(suspects_are_tried_one_at_a_time_and_others_go_on_elsewhere),
        T(one_that_is_innocent_makes_room_for_the_next_suspect),
        T(a_task_is_not_blamed_again_for_what_others_were_at_work_at),
        T(only_crashes_count),
        T(of_an_older_host_only_what_was_alone_counts),
        T(after_one_death_all_jobs_move_at_once),
        T(the_last_loss_is_one_that_the_task_was_alone_at),
        T(the_count_survives_a_restart_and_a_fork),
        T(a_long_trial_ends_and_the_next_is_longer),
        T(a_trial_goes_on_after_a_restart),
        T(a_suspect_waits_for_an_empty_host_for_a_while_only),
        T(somebody_who_lets_the_job_go_on_begins_the_count_anew),
        T(a_certificate_is_checked),
        T(a_task_that_is_not_known_yet_is_counted_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
