/* Clocks that are wrong, or are set: only durations cross the wire, times are meant by the coordinator's
 * clock, and waits last as long as they were to. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glob.h>
#include <setjmp.h>
#include <time.h>

#include <cmocka.h>

#include "cluster.h"

/* Daemons that are started from here on have a false wall clock: by this much, or, if `key` is
 * FAKETIME_TIMESTAMP_FILE, by what stands in this file at the time. A sanitizer wants to be loaded first, so
 * there the clock is right. */
static void fake_clock(const char *key, const char *value)
{
    glob_t found;
    assert_int_equal(glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL, &found), 0);
    if (!TEST_SANITIZED) {
        assert_int_equal(setenv("LD_PRELOAD", found.gl_pathv[0], 1), 0);
        assert_int_equal(setenv(key, value, 1), 0);
        assert_int_equal(setenv("FAKETIME_NO_CACHE", "1", 1), 0);
        assert_int_equal(setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1), 0);
        assert_int_equal(setenv("DONT_FAKE_MONOTONIC", "1", 1), 0);
    }
    globfree(&found);
}

static void true_clock(void)
{
    assert_int_equal(unsetenv("LD_PRELOAD"), 0);
    assert_int_equal(unsetenv("FAKETIME"), 0);
    assert_int_equal(unsetenv("FAKETIME_TIMESTAMP_FILE"), 0);
}

static void start_host(struct cluster *c, int i, const char *id, const char *skew)
{
    fake_clock("FAKETIME", skew);
    cluster_host(c, i, id, NULL);
    true_clock();
}

static time_t time_of(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &tm));
    return timegm(&tm);
}

/* Wakes an hour from now by the clock of the coordinator's machine; retries, questions and leases are
 * durations. */
static void times_and_durations_hold_on_hosts_whose_clocks_are_days_off(void **state)
{
    (void)state;
    static const char *const skews[] = {"+3d", "-3d"};
    for (int i = 0; i < 2; i++) {
        struct cluster c;
        cluster_init(&c);
        c.probes = true;
        cluster_lease(&c, 5); /* that is renewed is seen, too: what follows takes longer */
        cluster_coordinator(&c, NULL);
        start_host(&c, 0, "a", skews[i]);
        char now[32];
        time_t t = time(NULL) + 3600;
        struct tm tm;
        assert_int_not_equal(strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm)), 0);
        json_t *r = rpc(c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'routines':[{'id':'s','type':'sleep',"
                        "'config':{'until_path':'at'}}]},'entry':{'routine':'s','slot':'input'},"
                        "'data':{'at':'%s'}}",
                        now);
        json_t *asleep = wait_status(&c, at(r, "jobId"), "SLEEPING");
        assert_in_range(time_of(at(asleep, "job.wakeAt")), t - 60, t + 60);
        json_decref(asleep);
        json_decref(r);
        const char *tried =
            submit_flow(&c, "{}",
                        "{'routines':[{'id':'a','type':'probe',"
                        "'config':{'do':{'in':[{'fail':'UNAVAILABLE','attempts':2},"
                        "{'ask':'Well?','timeout_ms':%d,'default':'no'}],'answer':[{'emit':'out'}]}},"
                        "'policy':{'retry':{'max_attempts':3,'initial_delay_ms':%d,'factor':1}}}]}",
                        2000 * test_slow(), 2000 * test_slow());
        json_t *done = wait_status(&c, tried, "COMPLETED");
        assert_string_equal(at(done, "job.stepCount"), "4");
        assert_string_equal(at(done, "job.state.outputs[0].data.answer"), "no");
        json_decref(done);
        char *log = file_text(cluster_file(&c, "coordinator.log"));
        assert_null(strstr(log, "lease ended"));
        free(log);
        cluster_done(&c);
    }
}

static void set_clock(struct cluster *c, const char *by)
{
    FILE *f = fopen(cluster_file(c, "clock"), "w");
    assert_non_null(f);
    fprintf(f, "%s\n", by);
    assert_int_equal(fclose(f), 0);
}

/* Both daemons' clocks are set while a job sleeps, one retries, one asks for a while, and one has a deadline.
 */
static void waits_last_as_long_as_they_were_to_when_the_clock_is_set(void **state)
{
    (void)state;
    static const char *const by[] = {"-2h", "+2h"};
    for (int i = 0; i < 2; i++) {
        struct cluster c;
        long ms = 3000L * test_slow();
        cluster_init(&c);
        c.probes = true;
        set_clock(&c, "+0s");
        fake_clock("FAKETIME_TIMESTAMP_FILE", cluster_file(&c, "clock"));
        cluster_coordinator(&c, NULL);
        cluster_host(&c, 0, "a", NULL);
        true_clock();
        long long begun = test_now_ms();
        const char *asleep = submit_flow(&c, "{}",
                                         "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':"
                                         "[{'schedule':'again','ms':%ld}],'again':[{'emit':'out'}]}}}]}",
                                         ms),
                   *retried = submit_flow(&c, "{}",
                                          "{'routines':[{'id':'a','type':'probe',"
                                          "'config':{'do':{'in':[{'fail':'UNAVAILABLE','attempts':1},"
                                          "{'emit':'out'}]}},'policy':{'retry':{'max_attempts':2,"
                                          "'initial_delay_ms':%ld}}}]}",
                                          ms),
                   *asks = submit_flow(&c, "{}",
                                       "{'routines':[{'id':'a','type':'probe','config':{'do':{'in':"
                                       "[{'ask':'Well?','timeout_ms':%ld,'default':'no'}],"
                                       "'answer':[{'emit':'out'}]}}}]}",
                                       ms),
                   *late = submit_flow(&c, "{}",
                                       "{'deadline_ms':%ld,'routines':[{'id':'a','type':'probe',"
                                       "'config':{'do':{'in':[{'ask':'Well?'}]}}}]}",
                                       ms);
        json_decref(wait_status(&c, asleep, "SLEEPING"));
        json_decref(wait_status(&c, retried, "SLEEPING"));
        json_decref(wait_status(&c, asks, "PAUSED"));
        json_decref(wait_status(&c, late, "PAUSED"));
        set_clock(&c, by[i]);
        json_decref(wait_status(&c, asleep, "COMPLETED"));
        assert_true(test_now_ms() - begun >= ms);
        json_decref(wait_status(&c, retried, "COMPLETED"));
        json_decref(wait_status(&c, asks, "COMPLETED"));
        json_decref(wait_status(&c, late, "FAILED"));
        char *log = file_text(cluster_file(&c, "coordinator.log"));
        if (!TEST_SANITIZED)
            assert_non_null(strstr(log, "clock was set"));
        free(log);
        cluster_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_last_as_long_as_they_were_to_when_the_clock_is_set),
        cmocka_unit_test(times_and_durations_hold_on_hosts_whose_clocks_are_days_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
