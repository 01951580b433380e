/* WatchJob: what a watcher sees, and when. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define S(n, more)                                                                                           \
    ", 'task_id': 's" #n ".0', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'attempt': 1" more
#define MAKES(n) ", 'new_tasks': [{'task_id': 's" #n ".0', 'routine': 'r', 'slot': 'in'}]"

static uint64_t a;

static int setup(void **state)
{
    int rc = rig_setup(state);
    rig.config.watch_heartbeat_ms = 5000;
    rig_restart();
    a = host_joins("a", " ");
    put_flow_f(" ");
    return rc;
}

static uint64_t watch(const char *job, unsigned from_step)
{
    uint64_t ticket = begin("Jobs/WatchJob", "'job_id': '%s', 'from_step': %u", job, from_step);
    rig_settle();
    return ticket;
}

/* The next message as "job RUNNING 1", "step 2", "heartbeat 1", "progress x"; "" for none. */
static const char *sees(uint64_t ticket)
{
    static char text[64];
    json_t *m = seen_by(ticket);
    text[0] = '\0';
    if (json_object_get(m, "job") != NULL)
        snprintf(text, sizeof(text), "job %s %lld", at(m, "job.status") + strlen("JOB_STATUS_"),
                 number_at(m, "job.step_count"));
    else if (json_object_get(m, "step") != NULL)
        snprintf(text, sizeof(text), "step %lld", number_at(m, "step.number"));
    else if (json_object_get(m, "heartbeat") != NULL)
        snprintf(text, sizeof(text), "heartbeat %lld", number_at(m, "heartbeat.step_count"));
    else if (json_object_get(m, "entry") != NULL)
        snprintf(text, sizeof(text), "entry %lld after %lld: %s", number_at(m, "entry.number"),
                 number_at(m, "entry.after_step"), at(m, "entry.kind") + strlen("ENTRY_KIND_"));
    else if (m != NULL)
        snprintf(text, sizeof(text), "progress %s", at(m, "progress.text"));
    return text;
}

static const char *of_two_steps(void)
{
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) MAKES(1));
    host_steps(a, job, 1, 2, S(1, OUTCOME(CONTINUE)) MAKES(2));
    return job;
}

static void a_watcher_sees_the_job_then_its_steps_then_what_comes(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    uint64_t w = watch(job, 0);
    assert_string_equal(sees(w), "job RUNNING 2");
    assert_string_equal(sees(w), "entry 0 after 0: ASSIGNED");
    assert_string_equal(sees(w), "step 1");
    assert_string_equal(sees(w), "step 2");
    assert_string_equal(sees(w), "");
    host_steps(a, job, 1, 3, S(2, OUTCOME(COMPLETE)));
    assert_string_equal(sees(w), "step 3");
    assert_string_equal(sees(w), "job COMPLETED 3");
    assert_string_equal(sees(w), "");
    assert_string_equal(error_of(w), "OK");
}

/* Entries come in their place among the steps, live and from the disk, and a watch that broke off is resumed
 * behind the last one that it has shown. */
static void a_watcher_sees_who_did_what(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    uint64_t live = watch(job, 3);
    assert_string_equal(sees(live), "job RUNNING 2");
    (void)begin("Jobs/PauseJob", "'job_id': '%s', 'by': 'ann'", job);
    rig_settle();
    assert_string_equal(sees(live), "entry 1 after 2: PAUSE_REQUESTED");
    (void)sees(live); /* the job */
    host_steps(a, job, 1, 3, S(2, OUTCOME(CONTINUE)) MAKES(3));
    host_says(a, "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 3, 'reason': 'RELEASE_REASON_PAUSED'}",
              job);
    assert_string_equal(sees(live), "step 3");
    assert_string_equal(sees(live), "entry 2 after 3: PAUSED");
    assert_string_equal(sees(live), "job PAUSED 3");
    uint64_t all = watch(job, 0);
    static const char *const shown[] = {
        "job PAUSED 3", "entry 0 after 0: ASSIGNED", "step 1", "step 2", "entry 1 after 2: PAUSE_REQUESTED",
        "step 3",       "entry 2 after 3: PAUSED",   ""};
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        assert_string_equal(sees(all), shown[i]);
    uint64_t rest = begin("Jobs/WatchJob", "'job_id': '%s', 'from_step': 4, 'from_entry': 3", job);
    rig_settle();
    assert_string_equal(sees(rest), "job PAUSED 3");
    assert_string_equal(sees(rest), "");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answered_by': 'bob', 'reason': 'lunch is over'", job);
    assert_string_equal(sees(rest), "entry 3 after 3: RESUMED");
    assert_string_equal(sees(live), "entry 3 after 3: RESUMED");
}

static void a_watcher_sees_only_what_is_on_disk(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    uint64_t w = watch(job, 3);
    assert_string_equal(sees(w), "job RUNNING 2");
    rig.hold = true;
    host_steps(a, job, 1, 3, S(2, OUTCOME(CONTINUE)) MAKES(3));
    assert_string_equal(sees(w), "");
    uint64_t late = watch(job, 3);
    assert_string_equal(sees(late), "job RUNNING 2");
    assert_string_equal(sees(late), "");
    rig.hold = false;
    rig_settle();
    assert_string_equal(sees(w), "step 3");
    assert_string_equal(sees(late), "step 3");
    assert_string_equal(sees(late), "");
}

static void a_watcher_begins_where_it_says(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    uint64_t w = watch(job, 2);
    assert_string_equal(sees(w), "job RUNNING 2");
    assert_string_equal(sees(w), "step 2");
    assert_string_equal(sees(w), "");
    uint64_t ahead = watch(job, 4); /* of a job that runs: what it has not seen yet */
    assert_string_equal(sees(ahead), "job RUNNING 2");
    host_steps(a, job, 1, 3, S(2, OUTCOME(CONTINUE)) MAKES(3));
    host_steps(a, job, 1, 4, S(3, OUTCOME(CONTINUE)) MAKES(4));
    assert_string_equal(sees(ahead), "step 4");
    assert_string_equal(sees(w), "step 3");
    assert_string_equal(sees(w), "step 4");
}

static void of_a_job_that_has_ended_a_watcher_sees_all_and_the_end(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    host_steps(a, job, 1, 3, S(2, OUTCOME(COMPLETE)));
    uint64_t w = watch(job, 3);
    assert_string_equal(sees(w), "job COMPLETED 3");
    assert_string_equal(sees(w), "step 3");
    assert_string_equal(sees(w), "job COMPLETED 3");
    assert_string_equal(error_of(w), "OK");
    w = watch(job, 4); /* who has seen all */
    assert_string_equal(sees(w), "job COMPLETED 3");
    assert_string_equal(sees(w), "job COMPLETED 3");
    assert_string_equal(error_of(w), "OK");
    w = watch(job, 5);
    assert_string_equal(sees(w), "");
    assert_int_equal(strncmp(error_of(w), "OUT_OF_RANGE from_step: from_step is 5, but job ", 47), 0);
}

static void a_slow_watcher_misses_nothing(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    rig.full = true;
    uint64_t w = watch(job, 0);
    assert_string_equal(sees(w), "job RUNNING 2");
    assert_string_equal(sees(w), "");
    host_steps(a, job, 1, 3, S(2, OUTCOME(CONTINUE)) MAKES(3));
    assert_string_equal(sees(w), "");
    core_watch_drained(rig.core, w); /* room for one more */
    rig_settle();
    assert_string_equal(sees(w), "entry 0 after 0: ASSIGNED");
    assert_string_equal(sees(w), "step 1");
    assert_string_equal(sees(w), "");
    rig.full = false;
    core_watch_drained(rig.core, w);
    core_watch_drained(rig.core, 1999); /* one that is gone */
    rig_settle();
    assert_string_equal(sees(w), "step 2");
    assert_string_equal(sees(w), "step 3");
    assert_string_equal(sees(w), "");
}

static void a_watcher_who_hears_nothing_hears_a_heartbeat(void **state)
{
    (void)state;
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'more'}]");
    uint64_t w = watch(job, 2);
    assert_string_equal(sees(w), "job PAUSED 1");
    rig_pass(10000);
    assert_string_equal(sees(w), "heartbeat 1");
    const char *text = sees(w);
    assert_true(strcmp(text, "heartbeat 1") == 0 || text[0] == '\0');
    while (sees(w)[0] != '\0') {
    }
    rig_pass(5000);
    assert_string_equal(sees(w), "heartbeat 1");
    assert_string_equal(sees(w), "");
    core_ticket_closed(rig.core, w);
    rig_pass(20000);
    assert_string_equal(sees(w), "");
    assert_null(error_of(w));
}

static void progress_is_shown_to_who_is_up_to_date(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    uint64_t w = watch(job, 0);
    while (sees(w)[0] != '\0') {
    }
    static const char says[] =
        "'progress': {'job_id': '%s', 'epoch': %d, 'task_id': 's2.0', 'routine': 'r', 'text': 'x'}";
    host_says(a, says, job, 1);
    assert_string_equal(sees(w), "progress x");
    host_says(a, says, job, 2); /* of another epoch */
    host_says(a, says, "x", 1);
    host_says(host_joins("b", " "), says, job, 1);
    assert_string_equal(sees(w), "");
    rig.full = true;
    host_says(a, says, job, 1);
    assert_string_equal(sees(w), "progress x");
    host_says(a, says, job, 1); /* no room: it is not kept */
    rig.full = false;
    core_watch_drained(rig.core, w);
    rig_settle();
    assert_string_equal(sees(w), "");
}

static void a_watch_that_cannot_be_read_for_fails(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    uint64_t w = begin("Jobs/WatchJob", "'job_id': '%s'", job);
    rig.hold_reads = true;
    rig_settle();
    rig.hold_reads = false;
    rig_settle();
    assert_string_equal(sees(w), "job RUNNING 2");
    rig.fail_reads = 1;
    uint64_t broken = watch(job, 0);
    assert_string_equal(sees(broken), "job RUNNING 2");
    assert_string_equal(error_of(broken), "UNAVAILABLE: the store is out of order");
}

static void watchers_of_a_job_whose_unit_failed_see_it_as_it_is(void **state)
{
    (void)state;
    const char *job = of_two_steps();
    uint64_t w = watch(job, 3);
    assert_string_equal(sees(w), "job RUNNING 2");
    rig.fail_units = 1;
    host_steps(a, job, 1, 3, S(2, OUTCOME(CONTINUE)) MAKES(3));
    assert_string_equal(sees(w), "job RUNNING 2"); /* read again */
    assert_string_equal(sees(w), "");
    assert_null(error_of(w));
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_watcher_sees_the_job_then_its_steps_then_what_comes),
        T(a_watcher_sees_who_did_what),
        T(a_watcher_sees_only_what_is_on_disk),
        T(a_watcher_begins_where_it_says),
        T(of_a_job_that_has_ended_a_watcher_sees_all_and_the_end),
        T(a_slow_watcher_misses_nothing),
        T(a_watcher_who_hears_nothing_hears_a_heartbeat),
        T(progress_is_shown_to_who_is_up_to_date),
        T(a_watch_that_cannot_be_read_for_fails),
        T(watchers_of_a_job_whose_unit_failed_see_it_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
