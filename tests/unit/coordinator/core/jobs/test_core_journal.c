/* Entries of the journal: who did what, why, when, from which host to which. */
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

#define PLACES "'routine': 'r', 'slot': 'in'"
#define ASKS TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'question': 'why?', 'slot': 'in'}]"

static uint64_t a;

static int setup(void **state)
{
    int rc = rig_setup(state);
    a = host_joins("a", " ");
    put_flow_f(" ");
    return rc;
}

static const char *running(void)
{
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    return job;
}

/* The entries of the job's history, as "after_step KIND by/reason from>to pause task" and so on. */
static const char *entries_of(const char *job)
{
    static char text[2000];
    json_t *page = call("Jobs/GetHistory", "'job_id': '%s'", job), *e;
    size_t i, n = 0;
    text[0] = '\0';
    json_array_foreach(json_object_get(page, "entries"), i, e)
    {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%lld %s", i > 0 ? ", " : "",
                              number_at(e, "after_step"), at(e, "kind") + strlen("ENTRY_KIND_"));
        if (at(e, "by")[0] != '\0' || at(e, "reason")[0] != '\0')
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %s/%s", at(e, "by"), at(e, "reason"));
        if (at(e, "from_host")[0] != '\0' || at(e, "to_host")[0] != '\0')
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %s>%s", at(e, "from_host"), at(e, "to_host"));
        if (at(e, "pause_id")[0] != '\0')
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %.1s", at(e, "pause_id"));
        if (at(e, "task_id")[0] != '\0')
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", at(e, "task_id"));
        assert_true(number_at(e, "at") >= RIG_WALL_MS);
    }
    return text;
}

static void a_pause_and_its_end_have_an_author_and_a_reason(void **state)
{
    (void)state;
    const char *job = running();
    (void)begin("Jobs/PauseJob", "'job_id': '%s', 'by': 'ann', 'reason': 'lunch'", job);
    rig_settle();
    (void)begin("Jobs/PauseJob", "'job_id': '%s', 'by': 'late'", job); /* it is asked for already */
    rig_settle();
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', " PLACES "}]");
    host_says(a, "'release': {'job_id': '%s', 'epoch': 1, 'last_step': 1, 'reason': 'RELEASE_REASON_PAUSED'}",
              job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answered_by': 'bob', 'reason': 'it is two'", job);
    assert_string_equal(entries_of(job),
                        "0 ASSIGNED >a, 0 PAUSE_REQUESTED ann/lunch a>, 1 PAUSED ann/lunch a> o, "
                        "1 RESUMED bob/it is two o");
    rig_restart();
    (void)host_joins("b", " ");
    assert_string_equal(entries_of(job),
                        "0 ASSIGNED >a, 0 PAUSE_REQUESTED ann/lunch a>, 1 PAUSED ann/lunch a> o, "
                        "1 RESUMED bob/it is two o");
}

static void the_first_step_under_an_epoch_shows_the_assignment(void **state)
{
    (void)state;
    const char *job = running();
    rig_pass(1234);
    host_steps(a, job, 1, 1, ASKS);
    json_t *page = call("Jobs/GetHistory", "'job_id': '%s'", job);
    assert_int_equal(number_at(page, "entries[0].at"), RIG_WALL_MS);
    assert_int_equal(number_at(page, "entries[0].epoch"), 1);
    assert_string_equal(at(page, "entries[0].number"), ""); /* it is not stored */
    uint64_t b = host_joins("b", " ");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'so', 'answered_by': 'ann'", job);
    (void)told_of(b, "assign");
    host_steps(b, job, 2, 2,
               ", 'task_id': 'i2', " PLACES
               ", 'inputs_through': 2" OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's2.0', " PLACES "}]");
    host_steps(b, job, 2, 3, ", 'task_id': 's2.0', " PLACES ", 'inputs_through': 2" OUTCOME(COMPLETE));
    assert_string_equal(entries_of(job), "0 ASSIGNED >a, 1 ANSWERED ann/ p, 1 ASSIGNED a>b");
}

static void how_a_job_leaves_its_host_is_told_with_the_assignment_that_no_step_shows(void **state)
{
    (void)state;
    const char *job = running();
    host_breaks(a);
    rig_pass(RIG_LEASE_MS + 1);
    assert_string_equal(entries_of(job), "0 ASSIGNED >a, 0 LOST /the lease of its host ended a>");
    uint64_t b = host_joins("b", " ");
    (void)told_of(b, "assign");
    (void)call("Hosts/DrainHost", "'host_id': 'b', 'by': 'ann', 'reason': 'a new kernel'");
    host_says(b, "'release': {'job_id': '%s', 'epoch': 2, 'reason': 'RELEASE_REASON_DRAINING'}", job);
    uint64_t d = host_joins("d", " "); /* it is told of no assignment that a host has refused */
    (void)told_of(d, "assign");
    host_says(d, "'release': {'job_id': '%s', 'epoch': 3, 'reason': 'RELEASE_REASON_REFUSED'}", job);
    (void)call("Jobs/CancelJob", "'job_id': '%s', 'by': 'bob', 'reason': 'enough'", job);
    (void)call("Jobs/CancelJob", "'job_id': '%s', 'by': 'late'", job); /* it has ended */
    assert_string_equal(entries_of(job),
                        "0 ASSIGNED >a, 0 LOST /the lease of its host ended a>, 0 ASSIGNED a>b, 0 DRAINED "
                        "ann/a new kernel b>, 0 CANCELLED bob/enough");
}

static void runs_that_were_aborted_are_told_of(void **state)
{
    (void)state;
    const char *job = running(), *other = running();
    (void)begin("Jobs/PauseJob", "'job_id': '%s', 'by': 'ann', 'grace_ms': 5", job);
    rig_settle();
    host_says(
        a,
        "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_PAUSED', 'aborted_tasks': ['i1']}",
        job);
    assert_string_equal(
        entries_of(job),
        "0 ASSIGNED >a, 0 PAUSE_REQUESTED ann/ a>, 0 ABORTED ann/the step did not end within the "
        "grace of the pause a> i1, 0 PAUSED ann/ a> o");
    (void)call("Jobs/CancelJob", "'job_id': '%s', 'by': 'bob'", other);
    for (int twice = 0; twice < 2; twice++) /* what is told again is no other run */
        host_says(
            a,
            "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_ABORTED', 'aborted_tasks': "
            "['i1']}",
            other);
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 7, 'reason': 'RELEASE_REASON_ABORTED', 'aborted_tasks': "
              "['i1']}",
              other);
    host_says(a,
              "'release': {'job_id': '%s', 'epoch': 1, 'reason': 'RELEASE_REASON_ABORTED', 'aborted_tasks': "
              "['i1']}",
              "01HF7YAT00AW6HRSHWYKBKRK99"); /* there is none */
    assert_string_equal(entries_of(other),
                        "0 ASSIGNED >a, 0 CANCELLED bob/ a>, 0 ABORTED /the job was cancelled a> i1");
    assert_string_equal(status_of(other), "CANCELLED");
}

static void claims_and_breakpoints_are_told_of(void **state)
{
    (void)state;
    const char *job = running();
    host_steps(a, job, 1, 1, ASKS);
    (void)call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'ann', 'reason': 'I know'", job);
    (void)call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'ann', 'ttl_ms': 99999", job); /* it lasts longer */
    (void)call("Jobs/ReleasePause", "'job_id': '%s', 'by': 'ann', 'reason': 'I do not'", job);
    (void)call("Jobs/SetBreakpoints", "'job_id': '%s', 'breakpoints': [{'routine': 'r'}], 'by': 'bob'", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'so'", job);
    host_says(
        a,
        "'release': {'job_id': '%s', 'epoch': 2, 'last_step': 1, 'reason': 'RELEASE_REASON_BREAKPOINT', "
        "'task_id': 'i2'}",
        job);
    (void)call("Jobs/SetBreakpoints", "'job_id': '%s', 'by': 'bob', 'reason': 'done'", job);
    (void)call("Jobs/SetBreakpoints", "'job_id': '%s', 'by': 'late'", job); /* there are none */
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answered_by': 'bob'", job);
    assert_string_equal(entries_of(job),
                        "0 ASSIGNED >a, 1 CLAIMED ann/I know p, 1 RELEASED ann/I do not p, 1 BREAKPOINTS_SET "
                        "bob/, 1 ANSWERED p, 1 ASSIGNED a>a, 1 BREAKPOINT_HIT a> b i2, 1 BREAKPOINTS_CLEARED "
                        "bob/done, 1 RESUMED bob/ b i2");
}

static void a_host_shows_what_operators_did_with_it(void **state)
{
    (void)state;
    (void)call("Hosts/CordonHost", "'host_id': 'a', 'by': 'ann', 'reason': 'noise'");
    (void)call("Hosts/CordonHost", "'host_id': 'a', 'by': 'late'"); /* it is already */
    (void)call("Hosts/CordonHost", "'host_id': 'a', 'uncordon': true, 'by': 'bob'");
    (void)call("Hosts/DrainHost", "'host_id': 'a', 'by': 'eve', 'reason': 'a new kernel'");
    rig_restart();
    for (int i = 0; i < 2; i++) {
        json_t *h = call("Hosts/GetHost", "'host_id': 'a'");
        assert_string_equal(at(h, "host.acts[0].kind"), "ENTRY_KIND_CORDONED");
        assert_string_equal(at(h, "host.acts[0].reason"), "noise");
        assert_string_equal(at(h, "host.acts[1].kind"), "ENTRY_KIND_UNCORDONED");
        assert_string_equal(at(h, "host.acts[1].by"), "bob");
        assert_string_equal(at(h, "host.acts[2].kind"), "ENTRY_KIND_DRAINED");
        assert_int_equal(number_at(h, "host.acts[2].at"), RIG_WALL_MS);
        assert_string_equal(at(h, "host.acts[3]"), "");
        a = host_joins("a", " "); /* away at first, then there */
    }
    for (int i = 0; i < 20; i++)
        (void)call("Hosts/CordonHost", "'host_id': 'a', 'uncordon': %s", i % 2 == 0 ? "true" : "false");
    json_t *h = call("Hosts/GetHost", "'host_id': 'a'");
    assert_int_equal(json_array_size(json_object_get(json_object_get(h, "host"), "acts")), 16);
    refuses("INVALID_ARGUMENT by: by has 4097 bytes; the limit is 4096", "Hosts/CordonHost",
            "'host_id': 'a', 'by': '%04097d'", 0);
}

static void a_fork_has_the_entries_of_its_past_and_marks_them(void **state)
{
    (void)state;
    const char *job = running();
    (void)begin("Jobs/SetBreakpoints", "'job_id': '%s', 'by': 'ann', 'breakpoints': [{'routine': 'r'}]", job);
    rig_settle();
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(CONTINUE) ", 'new_tasks': [{'task_id': 's1.0', " PLACES "}]");
    (void)call("Jobs/CancelJob", "'job_id': '%s', 'by': 'bob'", job);
    const char *fork =
        at(call("Jobs/ForkJob", "'job_id': '%s', 'step': 1, 'answered_by': 'eve'", job), "job_id");
    json_t *page = call("Jobs/GetHistory", "'job_id': '%s'", fork);
    assert_string_equal(at(page, "steps[0].inherited"), "true");
    assert_string_equal(at(page, "entries[0].kind"), "ENTRY_KIND_ASSIGNED");
    assert_string_equal(at(page, "entries[0].inherited"), "true");
    assert_string_equal(at(page, "entries[1].by"), "ann");
    assert_string_equal(at(page, "entries[1].inherited"), "true");
    (void)call("Jobs/CancelJob", "'job_id': '%s', 'by': 'eve'", fork); /* it is its own */
    page = call("Jobs/GetHistory", "'job_id': '%s'", fork);
    size_t n = json_array_size(json_object_get(page, "entries"));
    json_t *last = json_array_get(json_object_get(page, "entries"), n - 1);
    assert_string_equal(at(last, "by"), "eve");
    assert_string_equal(at(last, "inherited"), "");
    (void)call("Jobs/DeleteJob", "'job_id': '%s'", fork);
    refuses("NOT_FOUND job_id: ", "Jobs/GetHistory", "'job_id': '%s'", fork);
}

static void entries_are_paged_with_the_steps(void **state)
{
    (void)state;
    const char *job = running();
    host_steps(a, job, 1, 1, ASKS);
    for (int i = 0; i < 4; i++) {
        (void)call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'ann'", job);
        (void)call("Jobs/ReleasePause", "'job_id': '%s', 'by': 'ann'", job);
    }
    const char *token = "";
    size_t pages = 0, entries = 0, steps = 0;
    do {
        json_t *page =
            call("Jobs/GetHistory", "'job_id': '%s', 'page_size': 2, 'page_token': '%s'", job, token);
        entries += json_array_size(json_object_get(page, "entries"));
        steps += json_array_size(json_object_get(page, "steps"));
        token = at(page, "next_page_token");
        pages++;
    } while (token[0] != '\0');
    assert_int_equal(pages, 5);
    assert_int_equal(steps, 1);
    assert_int_equal(entries, 1 + 8); /* the assignment comes with its step */
    json_t *page = call("Jobs/GetHistory", "'job_id': '%s', 'from_step': 2", job); /* what stands before it */
    assert_int_equal(json_array_size(json_object_get(page, "entries")), 8);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_pause_and_its_end_have_an_author_and_a_reason),
        T(the_first_step_under_an_epoch_shows_the_assignment),
        T(how_a_job_leaves_its_host_is_told_with_the_assignment_that_no_step_shows),
        T(runs_that_were_aborted_are_told_of),
        T(claims_and_breakpoints_are_told_of),
        T(a_host_shows_what_operators_did_with_it),
        T(a_fork_has_the_entries_of_its_past_and_marks_them),
        T(entries_are_paged_with_the_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
