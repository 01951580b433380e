/* Questions: who may answer what, how a job goes on, ListPauses, claims, and inputs beside questions. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

/* The step that takes the job's first input asks "Which?", with these further members of the pause. */
#define ASKS(more)                                                                                           \
    TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'question': 'Which?', 'slot': 'more'" more "}]"

static uint64_t a;

/* A job of host "a" that asks this. */
static const char *asking(const char *more)
{
    if (a == 0 || closed(a) != NULL)
        a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, "%s", more);
    assert_string_equal(status_of(job), "PAUSED");
    assert_string_equal(at(told_of(a, "step_acks"), "acks[0].released"), "true");
    return job;
}

static int setup(void **state)
{
    a = 0;
    return rig_setup(state);
}

static void a_question_is_open_as_it_was_asked(void **state)
{
    (void)state;
    const char *job = asking(ASKS(", 'timeout_ms': 5000, 'default_answer': 'x', 'call_id': 'c', "
                                  "'data': {'k': 1}"));
    assert_string_equal(at(job_of(job), "pauses"),
                        "[{'at':1700000000000,'call_id':'c','data':{'k':1.0},'default_answer':'x','digest':"
                        "'9ba190277dba8b5934cb718b5667fb36567ac454be2cad7cb95900640cd04591',"
                        "'expires_at':1700000005000,'pause_id':'p1.0','question':'Which?','reason':"
                        "'PAUSE_REASON_QUESTION','routine':'r','slot':'more','step':1}]");
}

static void an_answer_is_an_input(void **state)
{
    (void)state;
    const char *job = asking(ASKS(", 'call_id': 'c'"));
    rig_pass(1000);
    json_t *r = call("Jobs/ResumeJob", "'job_id': '%s', 'answer': {'x': 1}, 'answered_by': 'eve'", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_RUNNING");
    assert_string_equal(at(r, "host"), "a");
    assert_string_equal(at(r, "pause_id"), "p1.0");
    json_t *assign = told_of(a, "assign");
    assert_int_equal(number_at(assign, "epoch"), 2);
    assert_string_equal(at(assign, "emit_deferred"), "true");
    assert_string_equal(
        at(assign, "inputs"),
        "[{'answer_digest':'ee5fa892a0217e5f5fd8bba04a915fc1aae4dda0234cbe16559b03a1e29d711f','answered_by':'"
        "eve','call_id':'c','data':{'answer':{'x':1.0}},"
        "'input_number':2,'pause_id':'p1.0','received_at':1700000001000,'routine':'r','slot':'more',"
        "'task_id':'i2'}]");
    assert_string_equal(at(job_of(job), "pauses"), "");
    assert_string_equal(at(job_of(job), "placement.mode"), "PLACEMENT_MODE_ANOTHER_HOST");
}

static const char *asking_with(const char *placement)
{
    if (a == 0 || closed(a) != NULL)
        a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(", 'placement': %s", placement);
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, ASKS(""));
    return job;
}

/* The placement of a job submitted with the first, and resumed with the second ("": none said). */
static const char *placement_after(const char *first, const char *said)
{
    const char *job = asking_with(first);
    if (said[0] != '\0')
        (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1, 'placement': %s", job, said);
    else
        (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", job);
    const char *text = at(job_of(job), "placement");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    return text;
}

static void what_is_required_of_hosts_holds_until_something_else_is(void **state)
{
    (void)state;
    static const struct {
        const char *first, *said, *then;
    } cases[] = {
        {"{'host': 'a'}",                                     "",                       "{'host':'a'}"                                     },
        {"{'host': 'a'}",                                     "{'mode': 1}",            "{'host':'a','mode':'PLACEMENT_MODE_ANOTHER_HOST'}"},
        {"{'host': 'a'}",                                     "{'labels': {'k': 'w'}}",
         "{'labels':{'k':'w'},'mode':'PLACEMENT_MODE_ANOTHER_HOST'}"                                                                       },
        {"{'host': 'a'}",                                     "{'anywhere': true}",     "{'mode':'PLACEMENT_MODE_ANOTHER_HOST'}"           },
        {"{'host': 'a', 'mode': 3}",                          "{'host': 'b'}",          "{'host':'b'}"                                     },
        {"{'host': 'a', 'mode': 'PLACEMENT_MODE_SAME_HOST'}", "",
         "{'host':'a','mode':'PLACEMENT_MODE_SAME_HOST'}"                                                                                  },
        {"{'host': 'a', 'mode': 1}",                          "",                       "{'host':'a'}"                                     },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(placement_after(cases[i].first, cases[i].said), cases[i].then);
    const char *job = asking_with("{'host': 'a'}");
    refuses("FAILED_PRECONDITION placement.mode: job ", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 1, 'placement': {'mode': 'PLACEMENT_MODE_ANOTHER_HOST_ONLY'}", job);
    refuses("INVALID_ARGUMENT placement.anywhere: ", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 1, 'placement': {'anywhere': true, 'host': 'b'}", job);
}

/* A core that has answers checked elsewhere. */
static void with_checks(void)
{
    rig.with_checks = true;
    rig_restart();
}

#define EVIL "^(x|y)*x(x|y){500}z$"

static void an_answer_that_takes_long_to_check_is_checked_elsewhere(void **state)
{
    (void)state;
    with_checks();
    const char *job = asking(ASKS(", 'answer_schema': {'pattern': '^[a-z]+$'}"));
    uint64_t bad = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'A'", job),
             good = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'a'", job);
    rig_settle();
    assert_int_equal(rig_checks(), 2);
    assert_null(error_of(bad));
    (void)call("Jobs/GetJob", "'job_id': '%s'", job); /* nobody waits for it */
    rig_check_really();
    assert_non_null(strstr(error_of(bad),
                           "INVALID_ARGUMENT answer: the answer does not meet its schema: does "
                           "not match ^[a-z]+$"));
    assert_string_equal(status_of(job), "PAUSED");
    rig_check_really();
    assert_string_equal(at(answer_of(good), "pause_id"), "p1.0");
    assert_string_equal(status_of(job), "RUNNING");
    assert_int_equal(rig_checks(), 0);
}

static void a_pattern_that_takes_too_much_is_an_error_that_names_it(void **state)
{
    (void)state;
    with_checks();
    char *text = malloc(120001);
    for (int i = 0; i < 120000; i++)
        text[i] = "xy"[i * 7 % 5 % 2];
    text[120000] = '\0';
    const char *job = asking(ASKS(", 'answer_schema': {'pattern': '" EVIL "'}"));
    uint64_t t = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': '%s'", job, text);
    rig_settle();
    rig_check_really();
    assert_non_null(strstr(error_of(t), "INVALID_ARGUMENT answer: the answer cannot be checked against its "
                                        "schema: the pattern " EVIL " takes too much memory"));
    assert_string_equal(status_of(job), "PAUSED");
    free(text);
}

static void small_answers_to_plain_schemas_are_checked_at_once(void **state)
{
    (void)state;
    with_checks();
    const char *job = asking(ASKS(", 'answer_schema': {'type': 'string', 'maxLength': 3}"));
    refuses("INVALID_ARGUMENT answer: the answer does not meet its schema: has 4", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 'abcd'", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'abc'", job);
    assert_int_equal(rig_checks(), 0);
}

/* What is checked is the answer to that question: another one that is open by then has its own schema. */
static void a_verdict_counts_for_its_question_only(void **state)
{
    (void)state;
    with_checks();
    const char *job = asking(ASKS(", 'answer_schema': {'pattern': '^[a-z]+$'}"));
    uint64_t first = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'a'", job),
             late = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'b'", job);
    rig_settle();
    rig_check_really();
    assert_non_null(answer_of(first));
    (void)told_of(a, "assign");
    host_steps(
        a, job, 2, 2, "%s",
        ", 'task_id': 'i2', 'routine': 'r', 'slot': 'more', "
        "'inputs_through': 2, 'attempt': 1" OUTCOME(
            PAUSE) ", 'pauses': [{'pause_id': 'p2.0', 'question': 'And?', 'slot': 'more', 'answer_schema': "
                   "{'pattern': '^[0-9]+$'}}]");
    assert_string_equal(status_of(job), "PAUSED");
    rig_check_really(); /* 'b' was good for the first question */
    assert_null(error_of(late));
    assert_int_equal(rig_checks(), 1);
    rig_check_really();
    assert_non_null(strstr(error_of(late), "does not match ^[0-9]+$"));
}

static void few_answers_wait_for_their_checks(void **state)
{
    (void)state;
    with_checks();
    const char *job = asking(ASKS(", 'answer_schema': {'pattern': '^[a-z]+$'}"));
    for (int i = 0; i < 64; i++)
        (void)begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'A'", job);
    rig_settle();
    refuses("RESOURCE_EXHAUSTED: 64 requests wait for their answers to be checked", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 'a'", job);
    rig_check_really();
    uint64_t t = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'a'", job);
    rig_settle();
    rig_check(63, "answer", "no");
    rig_check_really();
    assert_non_null(answer_of(t));
}

static void answers_are_checked(void **state)
{
    (void)state;
    const char *job = asking(ASKS(", 'choices': ['yes', 'no']"));
    refuses("INVALID_ARGUMENT answer: the question \"Which?\" needs an answer", "Jobs/ResumeJob",
            "'job_id': '%s'", job);
    refuses("FAILED_PRECONDITION digest: pause p1.0 has the digest b63bc4f6eb2b0366", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 'yes', 'digest': 'e'", job);
    refuses("INVALID_ARGUMENT answer: the answer must be one of \"yes\", \"no\"", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 'perhaps'", job);
    refuses("FAILED_PRECONDITION pause_id: pause p2.0 of job ", "Jobs/ResumeJob",
            "'job_id': '%s', 'pause_id': 'p2.0', 'answer': 'yes'", job);
    refuses("INVALID_ARGUMENT placement.mode", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 'yes', 'placement': {'mode': 9}", job);
    refuses("INVALID_ARGUMENT pause_id: \"x/y\" does not begin with the id of a child job", "Jobs/ResumeJob",
            "'job_id': '%s', 'pause_id': 'x/y', 'answer': 'yes'", job);
    const char *digest = at(job_of(job), "pauses[0].digest"); /* the coordinator's, whatever the host says */
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'pause_id': 'p1.0', 'answer': 'yes', 'digest': '%s'", job,
               digest);
    refuses("FAILED_PRECONDITION pause_id: job ", "Jobs/ResumeJob",
            "'job_id': '%s', 'pause_id': 'p1.0', 'answer': 'no'", job);
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/ResumeJob", "'job_id': '%s'", job);
}

static void an_answer_that_meets_no_schema_is_refused_by_field(void **state)
{
    (void)state;
    const char *job =
        asking(ASKS(", 'answer_schema': {'type': 'object', 'description': 'a place', 'properties': "
                    "{'x': {'type': 'number'}}}"));
    refuses("INVALID_ARGUMENT answer.x: ", "Jobs/ResumeJob", "'job_id': '%s', 'answer': {'x': 'y'}", job);
    refuses("INVALID_ARGUMENT answer: ", "Jobs/ResumeJob", "'job_id': '%s', 'answer': 3", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': {'x': 3}", job);
}

static void a_repeated_answer_counts_once(void **state)
{
    (void)state;
    const char *job = asking(ASKS(""));
    static const char once[] = "'job_id': '%s', 'answer': 'x', 'request_id': 'q'";
    char *first = strdup(at(call("Jobs/ResumeJob", once, job), ""));
    assert_string_equal(at(call("Jobs/ResumeJob", once, job), ""), first);
    assert_int_equal(number_at(job_of(job), "input_count"), 2);
    refuses("ALREADY_EXISTS request_id: ", "Jobs/ResumeJob",
            "'job_id': '%s', 'answer': 'y', 'request_id': 'q'", job);
    free(first);
}

static void two_at_once_with_the_same_request_id_count_once(void **state)
{
    (void)state;
    const char *job = asking(ASKS(""));
    uint64_t one = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'x', 'request_id': 'q'", job);
    uint64_t two = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'x', 'request_id': 'q'", job);
    uint64_t input = begin("Jobs/SendInput",
                           "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'request_id': 'q'", job);
    rig_settle();
    assert_non_null(answer_of(one));
    assert_string_equal(at(answer_of(two), ""), at(answer_of(one), ""));
    assert_int_equal(number_at(answer_of(input), "input_number"), 3); /* another method, another scope */
    assert_int_equal(number_at(job_of(job), "input_count"), 3);
}

static void a_resume_may_wait_for_a_host(void **state)
{
    (void)state;
    const char *job = asking(ASKS(""));
    (void)call("Hosts/CordonHost", "'host_id': 'a'");
    uint64_t waits = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'x', 'wait_for_host': true", job);
    rig_settle();
    assert_null(answer_of(waits));
    assert_string_equal(status_of(job), "PENDING");
    (void)call("Hosts/CordonHost", "'host_id': 'a', 'uncordon': true");
    assert_string_equal(at(answer_of(waits), ""),
                        "{'host':'a','pause_id':'p1.0','status':'JOB_STATUS_RUNNING'}");
}

static void a_resume_that_waits_is_answered_when_the_job_ends(void **state)
{
    (void)state;
    const char *job = asking(ASKS(""));
    (void)call("Hosts/CordonHost", "'host_id': 'a'");
    uint64_t waits = begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'x', 'wait_for_host': true", job);
    rig_settle();
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    assert_string_equal(at(answer_of(waits), "status"), "JOB_STATUS_CANCELLED");
}

static void of_two_questions_one_is_named(void **state)
{
    (void)state;
    const char *job =
        asking(TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'question': 'A?', 'slot': "
                                       "'more'}, {'pause_id': 'p1.1', 'question': 'B?', 'slot': 'in'}]");
    char text[256];
    snprintf(text, sizeof(text),
             "FAILED_PRECONDITION pause_id: 2 pauses are open: say which one is meant: p1.0 of job %s, p1.1 "
             "of job "
             "%s",
             job, job);
    refuses(text, "Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", job);
    refuses(text, "Jobs/ClaimPause", "'job_id': '%s', 'by': 'eve'", job);
    json_t *r = call("Jobs/ResumeJob", "'job_id': '%s', 'pause_id': 'p1.1', 'answer': 1", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_RUNNING"); /* what the answer brings can run */
    assert_string_equal(at(job_of(job), "pauses[0].pause_id"), "p1.0");
    assert_string_equal(at(job_of(job), "pauses[1]"), "");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", job);
    assert_string_equal(at(job_of(job), "pauses"), "");
    assert_int_equal(number_at(job_of(job), "input_count"), 3);
}

static void a_question_that_nobody_answers_gets_its_default(void **state)
{
    (void)state;
    const char *job = asking(ASKS(", 'timeout_ms': 5000, 'default_answer': 'none'"));
    rig_pass(4999);
    assert_string_equal(status_of(job), "PAUSED");
    rig_pass(2);
    assert_string_equal(status_of(job), "RUNNING");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].data"), "{'answer':'none','expired':true}");
    assert_string_equal(at(assign, "inputs[0].pause_id"), "p1.0");
}

/* The timer has not run yet: the list of what is due is not read. */
static void an_answer_after_the_deadline_is_refused_though_nobody_has_looked_yet(void **state)
{
    (void)state;
    const char *job = asking(ASKS(", 'timeout_ms': 5000, 'default_answer': 'none'"));
    rig.hold_reads = true;
    rig_pass(5000);
    assert_string_equal(error_of(begin("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'x'", job)),
                        "FAILED_PRECONDITION pause_id: pause p1.0 has closed by itself: its deadline was "
                        "2023-11-14T22:13:25Z, and nobody had answered it");
    assert_string_equal(error_of(begin("Jobs/ClaimPause", "'job_id': '%s', 'by': 'ann'", job)),
                        "FAILED_PRECONDITION pause_id: pause p1.0 has closed by itself: its deadline was "
                        "2023-11-14T22:13:25Z, and nobody had answered it");
    rig.hold_reads = false;
    rig_pass(1);
    assert_string_equal(at(told_of(a, "assign"), "inputs[0].data"), "{'answer':'none','expired':true}");
    assert_int_equal(number_at(job_of(job), "input_count"), 2);
}

static void an_answer_a_millisecond_before_the_deadline_counts(void **state)
{
    (void)state;
    const char *job =
        asking(ASKS(", 'deadline_at': {'seconds': 1700000005}, 'timeout_ms': 9, 'default_answer': 'none'"));
    assert_string_equal(at(job_of(job), "pauses[0].deadline_at"), "");
    assert_int_equal(number_at(job_of(job), "pauses[0].expires_at"), RIG_WALL_MS + 5000);
    rig_pass(4999);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 'x'", job);
    rig_pass(10);
    assert_int_equal(number_at(job_of(job), "input_count"), 2);
}

static void the_flow_says_what_a_deadline_brings(void **state)
{
    (void)state;
    (void)asking(
        ASKS(", 'timeout_ms': 5000, 'on_timeout': 'ON_TIMEOUT_EVENT', 'key': 'k', 'assignee': 'ann', "
             "'data': {'n': 1}"));
    rig_pass(5001);
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].timed_out"), "ON_TIMEOUT_EVENT");
    assert_string_equal(
        at(assign, "inputs[0].data"),
        "{'answer':null,'assignee':'ann','data':{'n':1.0},'expired':true,'key':'k','pause_id':"
        "'p1.0','question':'Which?'}");
    (void)asking(ASKS(", 'timeout_ms': 5000, 'on_timeout': 'ON_TIMEOUT_FAIL'"));
    rig_pass(5001);
    assert_string_equal(at(told_of(a, "assign"), "inputs[0].timed_out"), "ON_TIMEOUT_FAIL");
    (void)asking(ASKS(", 'timeout_ms': 5000"));
    rig_pass(5001);
    assign = told_of(a, "assign");
    assert_string_equal(at(assign, "inputs[0].timed_out"), "ON_TIMEOUT_DEFAULT");
    assert_string_equal(at(assign, "inputs[0].data"), "{'answer':null,'expired':true}");
}

static void a_question_is_given_to_others_in_time_also_after_a_restart(void **state)
{
    (void)state;
    const char *job = asking(ASKS(", 'assignee': 'ann', 'escalate': [{'after_ms': 1000, 'to': 'bob'}, "
                                  "{'after_ms': 5000, 'to': 'cy'}]"));
    assert_string_equal(at(job_of(job), "pauses[0].assignee"), "ann");
    assert_string_equal(at(call("Jobs/ListPauses", "'assignee': 'bob'"), "pauses"), "");
    rig_pass(1001);
    assert_string_equal(at(job_of(job), "pauses[0].assignee"), "bob");
    assert_string_equal(at(job_of(job), "pauses[0].escalate[0].done"), "true");
    assert_string_equal(at(call("Jobs/ListPauses", "'assignee': 'bob'"), "pauses[0].job_id"), job);
    assert_string_equal(at(call("Jobs/ListPauses", "'assignee': 'ann'"), "pauses"), "");
    rig_restart();
    rig_pass(4100);
    assert_string_equal(at(job_of(job), "pauses[0].assignee"), "cy");
    assert_string_equal(status_of(job), "PAUSED");
    rig_pass(60000); /* nothing more happens to it */
    assert_string_equal(at(job_of(job), "pauses[0].assignee"), "cy");
    refuses("INVALID_ARGUMENT assignee: ", "Jobs/ListPauses", "'assignee': '%05000d'", 1);
}

static void a_step_may_ask_only_what_can_be_answered(void **state)
{
    (void)state;
    a = host_joins("a", " ");
    put_flow_f(" ");
    static const struct {
        const char *pause, *why;
    } wrong[] = {
        {"'pause_id': 'p1.1', 'slot': 'in'",                                "pause 0 has the id \"p1.1\"; it must be p1.0, and not open"},
        {"'pause_id': 'p1.0', 'slot': 'in', 'reason': 2",
         "pause p1.0 has the reason 2; a step may ask a QUESTION or about the BUDGET"                                                   },
        {"'pause_id': 'p1.0', 'slot': ''",                                  "pause p1.0 names no slot for its answer"                   },
        {"'pause_id': 'p1.0', 'slot': 'in', 'timeout_ms': 316224000001",
         "pause p1.0 stays open for 316224000001 ms; the limit is 316224000000"                                                         },
        {"'pause_id': 'p1.0', 'slot': 'in', 'on_timeout': 4",
         "pause p1.0 has the unknown on_timeout 4; allowed are DEFAULT, EVENT and FAIL"                                                 },
        {"'pause_id': 'p1.0', 'slot': 'in', 'escalate': [{'after_ms': 5, 'to': 'x'}, {'after_ms': 5, 'to': "
         "'y'}]",                                                  "escalation 1 of pause p1.0 comes after 5 ms; each must come later than the one before, and after "
         "at most 316224000000 ms"                                                                            },
        {"'pause_id': 'p1.0', 'slot': 'in', 'escalate': [{'after_ms': 5}]",
         "escalation 0 of pause p1.0 says not to whom"                                                                                  },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *job = submit_f(" ");
        (void)told_of(a, "assign");
        host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{%s}]", wrong[i].pause);
        assert_string_equal(at(told_of(a, "step_reject"), "reason"), wrong[i].why);
        (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    }
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1, TAKES_I1 OUTCOME(COMPLETE) ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'in'}]");
    assert_string_equal(at(told_of(a, "step_reject"), "reason"),
                        "a step that asks a question must have the outcome PAUSE");
    job = submit_f(" ");
    (void)told_of(a, "assign");
    host_steps(a, job, 1, 1,
               TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p-i1.0', 'slot': 'in', 'timeout_ms': "
                                       "316224000000, 'reason': 'PAUSE_REASON_BUDGET'}]");
    assert_string_equal(at(job_of(job), "pauses[0].reason"), "PAUSE_REASON_BUDGET");
    assert_int_equal(number_at(job_of(job), "pauses[0].expires_at"), RIG_WALL_MS + 316224000000);
}

/* ---- what waits for something from outside ---- */

#define CALL(n, id)                                                                                          \
    "{'pause_id': 'p1." n "', 'slot': 'more', 'call_id': '" id "', 'reason': 'PAUSE_REASON_QUESTION', "      \
    "'asks_for': 'PAUSE_REASON_TOOL'}"

/* The input that a host is given with the job next. */
static json_t *next_input(void)
{
    return told_of(a, "assign");
}

static void results_are_taken_by_the_names_of_their_calls(void **state)
{
    (void)state;
    const char *job =
        asking(TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [" CALL("0", "c0") ", " CALL("1", "c1") "]");
    assert_string_equal(at(job_of(job), "pauses[1].reason"), "PAUSE_REASON_TOOL");
    assert_string_equal(at(job_of(job), "pauses[1].asks_for"), "");
    refuses("FAILED_PRECONDITION call_id: ", "Jobs/ResumeJob", "'job_id': '%s', 'call_id': 'c2', 'answer': 1",
            job);
    refuses("INVALID_ARGUMENT call_id: is given beside pause_id", "Jobs/ResumeJob",
            "'job_id': '%s', 'call_id': 'c1', 'pause_id': 'p1.1', 'answer': 1", job);
    refuses(
        "FAILED_PRECONDITION data.call_id: the call c2 waits for no result (or no longer); open are c0, c1",
        "Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'more'}, 'data': {'call_id': 'c2'}",
        job);
    refuses("FAILED_PRECONDITION data.call_id: several calls wait for a result: say which, with call_id; "
            "open are c0, "
            "c1",
            "Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'more'}, 'data': {'result': 1}",
            job);
    (void)call(
        "Jobs/SendInput",
        "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'more'}, 'data': {'call_id': 'c1', 'result': ['x']}",
        job);
    json_t *assign = next_input();
    assert_string_equal(at(assign, "inputs[0].data"), "{'answer':['x']}");
    assert_string_equal(at(assign, "inputs[0].pause_id"), "p1.1");
    assert_string_equal(at(assign, "inputs[0].call_id"), "c1");
    refuses("FAILED_PRECONDITION call_id: ", "Jobs/ResumeJob", "'job_id': '%s', 'call_id': 'c1', 'answer': 1",
            job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'call_id': 'c0', 'answer': {'error': 'no'}", job);
    assert_string_equal(at(job_of(job), "pauses[0]"), "");
}

static void what_is_said_next_closes_the_wait_for_it(void **state)
{
    (void)state;
    const char *job = asking(TAKES_I1 OUTCOME(PAUSE) ", 'pauses': [{'pause_id': 'p1.0', 'slot': 'more', "
                                                     "'asks_for': 'PAUSE_REASON_INPUT'}]");
    assert_string_equal(at(job_of(job), "pauses[0].reason"), "PAUSE_REASON_INPUT");
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'data': {'x': 'y'}",
               job);
    json_t *assign = next_input();
    assert_string_equal(at(assign, "inputs[0].data"), "{'x':'y'}");
    assert_string_equal(at(assign, "inputs[0].slot"), "in");
    assert_string_equal(at(assign, "inputs[0].pause_id"), "p1.0");
    assert_string_equal(at(job_of(job), "pauses[0]"), "");
}

/* ---- ListPauses ---- */

static void open_questions_of_all_jobs_are_listed(void **state)
{
    (void)state;
    const char *first = asking(ASKS("")), *second = asking(ASKS(""));
    (void)call("Jobs/PauseJob", "'job_id': '%s'", second);
    json_t *list = call("Jobs/ListPauses", "'reasons': ['PAUSE_REASON_QUESTION']");
    assert_string_equal(at(list, "pauses[0].job_id"), second);
    assert_string_equal(at(list, "pauses[0].flow"), "f");
    assert_string_equal(at(list, "pauses[0].pause.question"), "Which?");
    assert_string_equal(at(list, "pauses[1].job_id"), first);
    assert_string_equal(at(list, "pauses[2]"), "");
    list = call("Jobs/ListPauses", "'reasons': ['PAUSE_REASON_BUDGET', 'PAUSE_REASON_OPERATOR']");
    assert_string_equal(at(list, "pauses[0].pause.reason"), "PAUSE_REASON_OPERATOR");
    assert_string_equal(at(list, "pauses[1]"), "");
    assert_string_equal(at(call("Jobs/ListPauses", "'routine': 'q'"), "pauses"), "");
    assert_string_equal(at(call("Jobs/ListPauses", "'routine': 'r'"), "pauses[1].job_id"), first);
    assert_string_equal(at(call("Jobs/ListPauses", "'flow': 'g'"), "pauses"), "");
    refuses("INVALID_ARGUMENT flow: ", "Jobs/ListPauses", "'flow': 'no name'");
    refuses("INVALID_ARGUMENT page_token: page_token is not one that ListPauses gave", "Jobs/ListPauses",
            "'page_token': 'x'");
}

static void open_questions_are_listed_by_page_of_whole_jobs(void **state)
{
    (void)state;
    const char *jobs[3], *token = "";
    for (size_t i = 0; i < 3; i++)
        jobs[i] = asking(ASKS(""));
    for (size_t i = 3; i-- > 0;) {
        json_t *page = call("Jobs/ListPauses", "'page_size': 1, 'page_token': '%s'", token);
        assert_string_equal(at(page, "pauses[0].job_id"), jobs[i]);
        assert_string_equal(at(page, "pauses[1]"), "");
        token = at(page, "next_page_token");
        assert_string_equal(token, i > 0 ? jobs[i] : "");
    }
}

/* ---- claims ---- */

static void a_claimed_question_is_answered_by_who_claimed_it(void **state)
{
    (void)state;
    const char *job = asking(ASKS(""));
    json_t *r = call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'eve', 'ttl_ms': 2000", job);
    assert_string_equal(at(r, "pause.claimed_by"), "eve");
    assert_int_equal(number_at(r, "pause.claim_expires_at"), RIG_WALL_MS + 2000);
    refuses(
        "FAILED_PRECONDITION by: pause p1.0 is claimed by eve for another 2 s: by must be that name, or wait",
        "Jobs/ClaimPause", "'job_id': '%s', 'by': 'bob'", job);
    refuses("FAILED_PRECONDITION by: ", "Jobs/ReleasePause", "'job_id': '%s', 'by': 'bob'", job);
    refuses("FAILED_PRECONDITION answered_by: ", "Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", job);
    rig_pass(1999);
    refuses("FAILED_PRECONDITION by: pause p1.0 is claimed by eve for another 1 s", "Jobs/ClaimPause",
            "'job_id': '%s', 'by': 'bob'", job);
    rig_pass(1);
    r = call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'bob', 'pause_id': 'p1.0'", job);
    assert_string_equal(at(r, "pause.claimed_by"), "bob");
    assert_int_equal(number_at(r, "pause.claim_expires_at"), RIG_WALL_MS + 2000 + 15 * 60 * 1000);
    r = call("Jobs/ReleasePause", "'job_id': '%s', 'by': 'bob'", job);
    assert_string_equal(at(r, "pause.claimed_by"), "");
    assert_string_equal(at(r, "pause.claim_expires_at"), "");
    (void)call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'eve'", job);
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1, 'answered_by': 'eve'", job);
}

static void lists_are_filtered_by_claims(void **state)
{
    (void)state;
    const char *free_one = asking(ASKS("")), *claimed = asking(ASKS(""));
    (void)call("Jobs/ClaimPause", "'job_id': '%s', 'by': 'eve', 'ttl_ms': 2000", claimed);
    json_t *list = call("Jobs/ListPauses", "'claims': 'CLAIM_FILTER_CLAIMED'");
    assert_string_equal(at(list, "pauses[0].job_id"), claimed);
    assert_string_equal(at(list, "pauses[0].pause.claimed_by"), "eve");
    assert_string_equal(at(list, "pauses[1]"), "");
    list = call("Jobs/ListPauses", "'claims': 'CLAIM_FILTER_UNCLAIMED'");
    assert_string_equal(at(list, "pauses[0].job_id"), free_one);
    assert_string_equal(at(list, "pauses[1]"), "");
    assert_string_equal(at(call("Jobs/ListPauses", "'claimed_by': 'eve'"), "pauses[0].job_id"), claimed);
    assert_string_equal(at(call("Jobs/ListPauses", "'claimed_by': 'bob'"), "pauses"), "");
    rig_pass(2000); /* the claim is over: nobody is shown it any more */
    assert_string_equal(at(call("Jobs/ListPauses", "'claims': 'CLAIM_FILTER_CLAIMED'"), "pauses"), "");
    assert_string_equal(at(call("Jobs/ListPauses", "'claimed_by': 'eve'"), "pauses"), "");
    assert_string_equal(at(call("Jobs/ListPauses", "{}"), "pauses[0].pause.claimed_by"), "");
    assert_string_equal(at(job_of(claimed), "pauses[0].claimed_by"), "");
    assert_string_equal(at(job_of(claimed), "pauses[0].claim_expires_at"), "");
    assert_string_equal(at(call("Jobs/ListJobs", "{}"), "jobs[0].pauses[0].claimed_by"), "");
}

static void claims_have_limits(void **state)
{
    (void)state;
    const char *job = asking(ASKS(""));
    char by[258];
    memset(by, 'x', 257);
    by[257] = '\0';
    refuses("INVALID_ARGUMENT by: by has 257 bytes; 1 to 256 are allowed", "Jobs/ClaimPause",
            "'job_id': '%s', 'by': '%s'", job, by);
    (void)call("Jobs/ClaimPause", "'job_id': '%s', 'by': '%s', 'ttl_ms': 2592000000", job, by + 1);
    (void)call("Jobs/ReleasePause", "'job_id': '%s', 'by': '%s'", job, by + 1);
    refuses("INVALID_ARGUMENT by: by has 0 bytes", "Jobs/ClaimPause", "'job_id': '%s'", job);
    refuses("INVALID_ARGUMENT by: by has 0 bytes", "Jobs/ReleasePause", "'job_id': '%s'", job);
    refuses("INVALID_ARGUMENT ttl_ms: ttl_ms is 2592000001; the limit is 2592000000", "Jobs/ClaimPause",
            "'job_id': '%s', 'by': 'eve', 'ttl_ms': 2592000001", job);
    refuses("FAILED_PRECONDITION pause_id: pause \"p9.9\" of job ", "Jobs/ClaimPause",
            "'job_id': '%s', 'by': 'eve', 'pause_id': 'p9.9'", job);
}

/* ---- inputs ---- */

static void inputs_are_checked(void **state)
{
    (void)state;
    put_flow_f(" ");
    const char *job = submit_f(" ");
    refuses("INVALID_ARGUMENT to: to is missing", "Jobs/SendInput", "'job_id': '%s'", job);
    refuses("INVALID_ARGUMENT to.routine: ", "Jobs/SendInput", "'job_id': '%s', 'to': {'slot': 'in'}", job);
    refuses("INVALID_ARGUMENT to.slot: ", "Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r'}", job);
    refuses("INVALID_ARGUMENT to", "Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'q', 'slot': 'in'}",
            job);
    json_t *r =
        call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}, 'sent_by': 'eve'", job);
    assert_int_equal(number_at(r, "input_number"), 2);
    assert_string_equal(at(job_of(job), "state.pending_tasks[1].answered_by"), "eve");
    assert_string_equal(at(job_of(job), "state.pending_tasks[1].data"), "{}");
    (void)call("Jobs/CancelJob", "'job_id': '%s'", job);
    refuses("FAILED_PRECONDITION job_id: job ", "Jobs/SendInput",
            "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
}

static void an_input_waits_while_a_question_is_open(void **state)
{
    (void)state;
    const char *job = asking(ASKS(""));
    (void)call("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    assert_string_equal(status_of(job), "PAUSED");
    (void)call("Jobs/ResumeJob", "'job_id': '%s', 'answer': 1", job);
    assert_string_equal(at(told_of(a, "assign"), "inputs[1].task_id"), "i3");
}

static void an_input_reaches_a_job_that_runs_when_it_is_on_disk(void **state)
{
    (void)state;
    a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    (void)told_of(a, "assign");
    rig.hold = true;
    uint64_t ticket = begin("Jobs/SendInput", "'job_id': '%s', 'to': {'routine': 'r', 'slot': 'in'}", job);
    rig_settle();
    assert_null(answer_of(ticket));
    assert_true(told_nothing(a));
    rig.hold = false;
    rig_settle();
    json_t *deliver = told_of(a, "deliver");
    assert_string_equal(at(deliver, "inputs[0].task_id"), "i2");
    assert_string_equal(at(deliver, "inputs[1]"), "");
    assert_int_equal(number_at(deliver, "epoch"), 1);
    assert_string_equal(at(deliver, "emit_deferred"), "");
    assert_string_equal(at(deliver, "set_breakpoints"), "");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_question_is_open_as_it_was_asked),
        T(an_answer_is_an_input),
        T(answers_are_checked),
        T(an_answer_that_takes_long_to_check_is_checked_elsewhere),
        T(a_pattern_that_takes_too_much_is_an_error_that_names_it),
        T(small_answers_to_plain_schemas_are_checked_at_once),
        T(a_verdict_counts_for_its_question_only),
        T(few_answers_wait_for_their_checks),
        T(an_answer_that_meets_no_schema_is_refused_by_field),
        T(a_repeated_answer_counts_once),
        T(two_at_once_with_the_same_request_id_count_once),
        T(a_resume_may_wait_for_a_host),
        T(a_resume_that_waits_is_answered_when_the_job_ends),
        T(of_two_questions_one_is_named),
        T(what_is_required_of_hosts_holds_until_something_else_is),
        T(a_question_that_nobody_answers_gets_its_default),
        T(an_answer_after_the_deadline_is_refused_though_nobody_has_looked_yet),
        T(an_answer_a_millisecond_before_the_deadline_counts),
        T(the_flow_says_what_a_deadline_brings),
        T(a_question_is_given_to_others_in_time_also_after_a_restart),
        T(a_step_may_ask_only_what_can_be_answered),
        T(results_are_taken_by_the_names_of_their_calls),
        T(what_is_said_next_closes_the_wait_for_it),
        T(open_questions_of_all_jobs_are_listed),
        T(open_questions_are_listed_by_page_of_whole_jobs),
        T(a_claimed_question_is_answered_by_who_claimed_it),
        T(lists_are_filtered_by_claims),
        T(claims_have_limits),
        T(inputs_are_checked),
        T(an_input_waits_while_a_question_is_open),
        T(an_input_reaches_a_job_that_runs_when_it_is_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
