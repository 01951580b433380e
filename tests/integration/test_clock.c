/* A host whose clock is wrong: only durations cross the wire, and times are meant by the coordinator's clock.
 */
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

/* A sanitizer wants to be loaded first, so there the clock is right. */
static void start_host(struct cluster *c, int i, const char *id, const char *skew)
{
    glob_t found;
    assert_int_equal(glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL, &found), 0);
    if (!TEST_SANITIZED) {
        assert_int_equal(setenv("LD_PRELOAD", found.gl_pathv[0], 1), 0);
        assert_int_equal(setenv("FAKETIME", skew, 1), 0);
        assert_int_equal(setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1), 0);
        assert_int_equal(setenv("DONT_FAKE_MONOTONIC", "1", 1), 0);
    }
    cluster_host(c, i, id, NULL);
    assert_int_equal(unsetenv("LD_PRELOAD"), 0);
    globfree(&found);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_and_durations_hold_on_hosts_whose_clocks_are_days_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
