/* What steps say: where events lead, what handlers see and do, and what is refused of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig.h"

#define SHOW "['show']"

/* Makes the first step of a job with this one task, and returns it. */
static json_t *step_of(const char *more, const char *verbs)
{
    char data[2000];
    snprintf(data, sizeof(data), "{'do': [%s]}", verbs);
    assign(1, more, data);
    return made_step(1);
}

/* The step fails, with these words. */
static void fails(const char *verbs, const char *why)
{
    static unsigned epoch = 10;
    char data[2000];
    snprintf(data, sizeof(data), "{'do': [%s]}", verbs);
    assign(++epoch, "", data);
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_FAIL");
    assert_string_equal(at(step, "error.message"), why);
    assert_string_equal(at(step, "emissions"), "");
    assert_string_equal(at(step, "changes"), "");
}

static void a_step_says_what_it_is_of(void **state)
{
    (void)state;
    json_t *step = step_of("", "['log', 'm', {'x': 1}], ['usage'], ['usage']");
    assert_string_equal(
        at(step, ""),
        "{'attempt':1,'epoch':1,'inputs_through':1,'log':[{'data':{'x':1.0},'message':'m'}],'number':1,"
        "'outcome':'STEP_OUTCOME_COMPLETE','routine':'r','slot':'in','task_id':'i1','usage':"
        "{'cached_tokens':6,'calls':2,'cost':1.0,'input_tokens':2,'output_tokens':4}}");
}

static void an_event_makes_a_task_for_each_connection_or_is_an_output(void **state)
{
    (void)state;
    json_t *step = step_of(", 'parallelism': 1",
                           "['emit', 'out', {'x': 1}], ['emit', 'other', {'y': 2}], ['emit', 'out']");
    assert_string_equal(at(step, "emissions"),
                        "[{'event':'out','tasks':1},{'data':{'y':2.0},'event':'other'},{'event':'out',"
                        "'tasks':1}]");
    assert_string_equal(
        at(step, "new_tasks"),
        "[{'connection':1,'data':{'x':1.0},'from_event':'out','from_routine':'r','routine':'e','slot':'in',"
        "'task_id':'s1.0'},{'connection':1,'data':{},'from_event':'out','from_routine':'r','routine':'e','"
        "slot':"
        "'in','task_id':'s1.1'}]");
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_CONTINUE");
}

static void connections_map_filter_and_add(void **state)
{
    (void)state;
    json_t *step =
        step_of("'routines': [{'id': 'r', 'type': 't'}, {'id': 'e', 'type': 'effect'}], 'connections': ["
                "{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'in'}, 'mapping': "
                "{'a': 'b'}},"
                "{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'more'}, "
                "'mapping': {'a': 'b'}, "
                "'drop_unmapped': true, 'constants': {'k': 1}},"
                "{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'then'}, "
                "'filter': {'a': 1}},"
                "{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'then'}, "
                "'filter': {'a': 2}},"
                "{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'then'}, "
                "'filter': {'z': 1}},"
                "{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'then'}, "
                "'drop_unmapped': true},"
                "{'from': {'routine': 'e', 'event': 'out'}, 'to': {'routine': 'r', 'slot': 'in'}}]",
                "['emit', 'out', {'a': 1, 'b': 2, 'c': 3}]");
    assert_string_equal(at(step, "new_tasks[0].data"), "{'b':1.0,'c':3.0}"); /* what was b gives way */
    assert_string_equal(at(step, "new_tasks[1].data"), "{'b':1.0,'k':1.0}");
    assert_int_equal(number_at(step, "new_tasks[1].connection"), 2);
    assert_string_equal(at(step, "new_tasks[2].data"), "{'a':1.0,'b':2.0,'c':3.0}");
    assert_int_equal(number_at(step, "new_tasks[2].connection"), 3);
    assert_string_equal(at(step, "new_tasks[3].data"), "{}");
    assert_int_equal(number_at(step, "new_tasks[3].connection"), 6);
    assert_string_equal(at(step, "new_tasks[4]"), "");
    assert_int_equal(number_at(step, "emissions[0].tasks"), 4);
}

static void a_mapping_whose_source_is_missing_takes_nothing_away(void **state)
{
    (void)state;
    json_t *step = step_of("'routines': [{'id': 'r', 'type': 't'}], 'connections': [{'from': {'routine': "
                           "'r', 'event': 'out'}, 'to': "
                           "{'routine': 'r', 'slot': 'more'}, 'mapping': {'a': 'b', 'x': 'y'}}]",
                           "['emit', 'out', {'b': 2, 'x': 3}]");
    assert_string_equal(at(step, "new_tasks[0].data"), "{'b':2.0,'y':3.0}");
}

static void a_handler_sees_its_task(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 4, 'now': {'seconds': 1700000000}, 'inputs': [{'task_id': 'i7', 'routine': 'r', "
          "'slot': 'more', 'input_number': 7, 'pause_id': 'p1.0', 'call_id': 'c', 'failed_attempts': 1, "
          "'data': {'do': [['show'], "
          "['set', 'k', 9], ['share', 'k', 8], ['show']]}}], 'state': {'step_number': 5, 'inputs_through': "
          "6, 'routine_states': "
          "{'r': {'k': 1}}, 'shared_data': {'k': 2}}, 'flow': {'routines': [{'id': 'r', 'type': 't', "
          "'config': {'c': 3}}]}}");
    json_t *step = made_step(6);
    assert_string_equal(
        at(step, "emissions[0].data"),
        "{'attempt':2.0,'call':'c','config':{'c':3.0},'epoch':4.0,'job':'" JOB "','k':1.0,'key':'" JOB "/i7',"
        "'now':1700000000000.0,'pause':'p1.0','routine':'r','s':2.0,'shared':{'k':2.0},'slot':'more','state':"
        "{'k':1.0},'step':6.0,'task':'i7'}");
    assert_int_equal(number_at(step, "emissions[1].data.k"), 9); /* its own changes */
    assert_int_equal(number_at(step, "emissions[1].data.s"), 8);
    assert_string_equal(at(step, "emissions[1].data.state"), "{'k':1.0}"); /* as it was when the step began */
    assert_int_equal(number_at(step, "attempt"), 2);
    assert_int_equal(number_at(step, "inputs_through"), 7);
}

static void changes_of_state_are_made_with_the_step(void **state)
{
    (void)state;
    json_t *step = step_of(
        "'routines': [{'id': 'r', 'type': 't'}]",
        "['set', 'k', 1], ['append', 'l', 1], ['append', 'l', 2], ['share', 'k', 3], ['share_more', 'm', 4], "
        "['remove', 'z'], ['unshare', 'y'], ['enqueue', 'in', {'do': [['show'], ['append', 'k', 1]]}]");
    assert_string_equal(
        at(step, "changes"),
        "[{'key':'k','kind':'STATE_CHANGE_KIND_SET','routine':'r','value':1.0},{'key':'l','kind':"
        "'STATE_CHANGE_KIND_APPEND','routine':'r','value':1.0},{'key':'l','kind':'STATE_CHANGE_KIND_APPEND','"
        "routine':"
        "'r','value':2.0},{'key':'k','kind':'STATE_CHANGE_KIND_SET','value':3.0},{'key':'m','kind':"
        "'STATE_CHANGE_KIND_APPEND','value':4.0},{'key':'z','kind':'STATE_CHANGE_KIND_REMOVE','routine':'r'},"
        "{'key':"
        "'y','kind':'STATE_CHANGE_KIND_REMOVE'}]");
    step = made_step(2);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_FAIL");
    assert_string_equal(at(step, "error.message"), "key \"k\" holds no list to append to");
}

static void what_the_handler_reads_has_its_own_changes(void **state)
{
    (void)state;
    static const struct {
        const char *verbs, *seen;
    } reads[] = {
        {"['append', 'k', 1], ['append', 'k', 2], ['show']", "[1.0,2.0]"},
        {"['set', 'k', [7]], ['append', 'k', 2], ['show']",  "[7.0,2.0]"},
        {"['set', 'k', 1], ['remove', 'k'], ['show']",       "none"     },
        {"['remove', 'k'], ['append', 'k', 5], ['show']",    "[5.0]"    },
        {"['set', 'k', 1], ['set', 'j', 2], ['show']",       "1.0"      },
    };
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        char data[300];
        snprintf(data, sizeof(data), "{'do': [%s]}", reads[i].verbs);
        assign((unsigned)i + 1, "'routines': [{'id': 'r', 'type': 't'}]", data);
        assert_string_equal(at(made_step(1), "emissions[0].data.k"), reads[i].seen);
    }
    assign(20, "'routines': [{'id': 'r', 'type': 't'}]",
           "{'do': [['append', 'k', 1]]}|{'do': [['append', 'k', 2], ['show'], ['set', 'k', 3], ['show']]}");
    json_t *step = made_step(2);
    assert_string_equal(at(step, "emissions[0].data.k"), "[1.0,2.0]");
    assert_string_equal(at(step, "emissions[1].data.k"), "3.0");
}

static void what_a_handler_may_not_do_fails_its_step_in_words(void **state)
{
    (void)state;
    char key[300];
    memset(key, 'x', 257);
    strcpy(key + 257, "");
    char verbs[700];
    fails("['emit', 'none']", "routine type t has no event \"none\"");
    fails("['defer', 'none']", "routine type t has no event \"none\"");
    fails("['enqueue', 'none', {}]", "routine type t has no slot \"none\"");
    fails("['schedule', 'none', {}, 5, null]", "routine type t has no slot \"none\"");
    fails("['ask', 'Q?', 'none']", "routine type t has no slot \"none\" for the answer");
    fails("['start', 'f', 'none']", "routine type t has no slot \"none\" for the result");
    fails("['ask', 'Q?', 'in', {'schema': {'type': 'nothing'}}]",
          "the schema of an answer: schema.type: must be null, boolean, number, string, array, object or "
          "integer, or a list of these");
    fails("['set', '', 1]", "a key of the state has 0 bytes; it must have 1 to 256 bytes of valid UTF-8");
    snprintf(verbs, sizeof(verbs), "['share', '%s', 1]", key);
    fails(verbs, "a key of the state has 257 bytes; it must have 1 to 256 bytes of valid UTF-8");
    snprintf(verbs, sizeof(verbs), "['schedule', 'in', {}, 5, '%s']", key);
    fails(verbs, "a schedule's key has more than 256 bytes");
    fails("['emit', 'out', {}], ['set', 'k', 1], ['return', -1]", "the handler failed without saying why");
    fails("['set', 'k', 1], ['append', 'k', 1]", "key \"k\" holds no list to append to");
    fails("['fail', 13, 'first'], ['emit', 'none']", "first");
    snprintf(verbs, sizeof(verbs), "['share', '%s', 1], ['schedule', 'in', {}, 5, '%s']", key + 1, key + 1);
    assign(99, "", "");
    json_t *step = step_of("", verbs);
    assert_string_equal(at(step, "error"), "");
}

static void questions_and_children_go_out_with_the_step(void **state)
{
    (void)state;
    json_t *step = step_of(
        "", "['ask', 'Which?', 'more', {'data': {'call_id': 'c9', 'x': 1}, 'choices': ['a', 'b'], 'schema': "
            "{'type': 'string'}, 'default': 'a', 'timeout_ms': 500}], ['ask', 'And?', 'in'], ['start', 'f', "
            "'more', {'d': 1}, {'s': 2}]");
    assert_string_equal(at(step, "pauses"), "[{'answer_schema':{'type':'string'},'call_id':'c9','choices':['"
                                            "a','b'],'data':{'call_id':'c9','x':1.0},"
                                            "'default_answer':'a','pause_id':'p1.0','question':'Which?','"
                                            "reason':'PAUSE_REASON_QUESTION','slot':'more',"
                                            "'timeout_ms':500},{'pause_id':'p1.1','question':'And?','reason':"
                                            "'PAUSE_REASON_QUESTION','slot':'in'}]");
    assert_string_equal(at(step, "children"),
                        "[{'data':{'d':1.0},'entry':{'routine':'x','slot':'y'},'flow':'f','flow_version':2,"
                        "'result_slot':'more','shared_data':{'s':2.0}}]");
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_PAUSE");
}

static void a_question_about_the_budget_belongs_to_no_call(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {'routines': [{'id': 'r', 'type': 't'}]}, "
          "'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'in', 'input_number': 1, 'call_id': 'c', "
          "'data': {'do': [['ask', "
          "'Q?', 'in'], ['ask', 'B?', 'in', {'budget': true}]]}}]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "pauses[0].call_id"), "c");
    assert_string_equal(at(step, "pauses[1].call_id"), "");
    assert_string_equal(at(step, "pauses[1].reason"), "PAUSE_REASON_BUDGET");
}

static void what_descends_from_a_call_carries_its_id(void **state)
{
    (void)state;
    json_t *step = step_of(
        "'routines': [{'id': 'r', 'type': 't'}], 'connections': [{'from': {'routine': 'r', 'event': 'call'}, "
        "'to': "
        "{'routine': 'r', 'slot': 'more'}}, {'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': "
        "'r', "
        "'slot': 'then'}}]",
        "['emit', 'call', {'call_id': 'c1', 'do': [['emit', 'out', {'do': [['show']]}]]}], ['emit', 'call', "
        "{'call_id': 5, 'do': []}], ['emit', 'out', {'call_id': 'c2', 'do': []}]");
    assert_string_equal(at(step, "new_tasks[0].call_id"), "c1");
    assert_string_equal(at(step, "new_tasks[1].call_id"), ""); /* it is a text */
    assert_string_equal(at(step, "new_tasks[2].call_id"), ""); /* the event is no call */
    step = made_step(2);
    assert_string_equal(at(step, "new_tasks[0].call_id"), "c1");
    assert_string_equal(at(made_step(5), "emissions[0].data.call"),
                        ""); /* of s1.2 it would be; this is the last */
}

static void scheduled_tasks_replace_those_of_their_key(void **state)
{
    (void)state;
    json_t *step = step_of(
        "'routines': [{'id': 'r', 'type': 't'}]",
        "['schedule', 'in', {'do': []}, 500, 'k'], ['schedule', 'in', {'do': [['unschedule', 'l'], "
        "['unschedule', 'l'], "
        "['unschedule', 'none']]}, 700, 'k'], ['schedule', 'in', {'do': []}, 900, 'l'], ['schedule', 'in', "
        "{'do': "
        "[]}, 800, null], ['schedule', 'in', {'do': [['schedule', 'in', {'do': []}, 300, 'l']]}, 0, 'now']");
    assert_string_equal(at(step, "new_tasks[0].delay_ms"), "700");
    assert_string_equal(at(step, "new_tasks[0].schedule_key"), "k");
    assert_string_equal(at(step, "new_tasks[1].delay_ms"), "900");
    assert_string_equal(at(step, "new_tasks[2].schedule_key"), "");
    assert_string_equal(at(step, "new_tasks[3].delay_ms"), ""); /* at once */
    assert_string_equal(at(step, "new_tasks[4]"), "");
    assert_string_equal(at(step, "unscheduled"), "");
    step = made_step(2); /* of the task that was due at once: it replaces that of key l */
    assert_string_equal(at(step, "unscheduled"), "['s1.1']");
    assert_string_equal(at(step, "new_tasks[0].delay_ms"), "300");
    assert_null(made());
    rig_pass(300, true);
    (void)made_step(3);
    assert_null(made());
    rig_pass(400, true);
    step = made_step(4);
    assert_string_equal(at(step, "task_id"), "s1.0");
    assert_string_equal(at(step, "unscheduled"), "");
    rig_pass(100, true);
    assert_string_equal(at(made_step(5), "outcome"), "STEP_OUTCOME_COMPLETE");
}

/* ---- deferred events ---- */

#define DEFERRED                                                                                             \
    "'state': {'deferred_events': [{'routine': 'r', 'event': 'out', 'data': {'do': []}}, {'routine': 'r', "  \
    "'event': 'other', "                                                                                     \
    "'data': {'x': 1}}, {'routine': 'r', 'event': 'notice'}]}, 'now': {}, 'flow': {'routines': [{'id': "     \
    "'r', 'type': 't'}, {'id': "                                                                             \
    "'e', 'type': 'effect'}], 'connections': [{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': " \
    "'e', 'slot': 'in'}}]}"

static void deferred_events_are_emitted_when_that_is_said(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'emit_deferred': true, " DEFERRED "}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "task_id"), "d1.0");
    assert_int_equal(number_at(step, "deferred_emitted"), 3);
    assert_string_equal(at(step, "deferred_tasks"),
                        "[{'connection':1,'data':{'do':[]},'from_event':'out','from_routine':'r',"
                        "'routine':'e','slot':'in','task_id':'d1.0'}]");
    assert_string_equal(at(step, "deferred_outputs"), "[{'data':{'x':1.0},'event':'other','routine':'r'}]");
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_COMPLETE");
}

static void deferred_events_wait_until_that_is_said(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, " DEFERRED
          ", 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'in', "
          "'input_number': 1, 'data': {'do': [['defer', 'out', {'y': 1}], ['ask', 'Q?', 'in']]}}]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "task_id"), "i1");
    assert_string_equal(at(step, "deferred_emitted"), "");
    assert_string_equal(at(step, "deferred_events"), "[{'data':{'y':1.0},'event':'out','routine':'r'}]");
}

static void deferred_events_that_leave_no_task_are_a_step_of_their_own(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 1, 'emit_deferred': true, 'now': {}, 'state': {'deferred_events': [{'routine': 'r', "
          "'event': 'other', 'data': {'x': 1}}]}, 'flow': {'routines': [{'id': 'r', 'type': 't'}]}}");
    json_t *step = made_step(1);
    assert_string_equal(
        at(step, ""),
        "{'deferred_emitted':1,'deferred_outputs':[{'data':{'x':1.0},'event':'other','routine':'r'}],"
        "'epoch':1,'number':1,'outcome':'STEP_OUTCOME_CONTINUE'}");
    acks(1, 1);
    assert_string_equal(at(said_of("release"), "reason"), "RELEASE_REASON_IDLE");
}

static void deferred_events_come_before_the_inputs_delivered_with_them(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, " DEFERRED
          ", 'inputs': [{'task_id': 'i1', 'routine': 'r', 'slot': 'in', "
          "'input_number': 1, 'data': {'do': [['wait', 100]]}}]}");
    hears("'deliver': {'job_id': '" JOB
          "', 'epoch': 1, 'emit_deferred': true, 'inputs': [{'task_id': 'i2', 'routine': 'r', 'slot': "
          "'in', 'input_number': 2, 'data': {'do': []}}]}");
    rig_pass(100, true);
    json_t *step = made_step(1);
    assert_string_equal(at(step, "task_id"), "i1");
    assert_int_equal(number_at(step, "deferred_emitted"), 3);
    assert_int_equal(number_at(step, "inputs_through"), 2);
    acks(1, 1);
    assert_string_equal(at(made_step(2), "task_id"), "d1.0");
    assert_string_equal(at(made_step(3), "task_id"), "i2");
}

/* Assigns a job with `n` deferred events of 40,000 bytes, each to `connections` slots. */
static void assign_deferred(size_t n, size_t connections)
{
    char *text = calloc(n + 1, 41000), *p = text, *to = calloc(connections + 1, 100), *q = to;
    for (size_t i = 0; i < n; i++)
        p +=
            sprintf(p, "%s{'routine': 'r', 'event': 'out', 'data': {'x': '%040000zu'}}", i > 0 ? "," : "", i);
    for (size_t i = 0; i < connections; i++)
        q += sprintf(q, "%s{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'in'}}",
                     i > 0 ? "," : "");
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'emit_deferred': true, 'now': {}, 'state': "
          "{'deferred_events': [%s]}, 'flow': {'routines': [{'id': 'r', 'type': 't'}, {'id': 'e', 'type': "
          "'t'}], "
          "'connections': [%s]}}",
          text, to);
    free(text);
    free(to);
}

static void many_deferred_events_are_emitted_by_steps_that_fit(void **state)
{
    (void)state;
    assign_deferred(5, 2);
    for (unsigned i = 1; i <= 5; i++) {
        json_t *step = made_step(i);
        assert_int_equal(number_at(step, "deferred_emitted"), 1);
        assert_string_equal(at(step, "deferred_tasks[2]"), "");
        assert_string_equal(at(step, "task_id"), "");
    }
    assert_string_equal(at(made_step(6), "task_id"), "d1.0");
    assert_string_equal(at(made_step(15), "outcome"), "STEP_OUTCOME_COMPLETE");
}

/* An operator's step may have left it: it is not lost. */
static void a_deferred_event_that_no_step_can_hold_becomes_an_output(void **state)
{
    (void)state;
    assign_deferred(1, 101);
    json_t *step = made_step(1);
    assert_string_equal(at(step, "deferred_tasks"), "");
    assert_string_equal(at(step, "deferred_outputs[0].event"), "out");
}

/* ---- merging ---- */

#define MERGE(mode)                                                                                          \
    "'routines': [{'id': 'r', 'type': 't', 'merge': [{'slot': 'in', 'mode': '" mode                          \
    "', 'n': 2}]}, {'id': 'e', 'type': 't'}], "                                                              \
    "'connections': [{'from': {'routine': 'e', 'event': 'out'}, 'to': {'routine': 'r', 'slot': 'in'}}, "     \
    "{'from': {'routine': 'e', "                                                                             \
    "'event': 'other'}, 'to': {'routine': 'r', 'slot': 'in'}}, {'from': {'routine': 'e', 'event': "          \
    "'error'}, 'to': {'routine': "                                                                           \
    "'r', 'slot': 'more'}}]"

static void the_nth_datum_completes_a_set(void **state)
{
    (void)state;
    assign(1, MERGE("MERGE_MODE_N_OF_M"), "{'x': 1}|{'x': 2}|{'x': 3}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "new_tasks"), "");
    assert_int_equal(rig.runs, 1); /* that of the set; the others are not handled */
    assert_string_equal(at(step, "changes[0].key"), "_merge.in");
    step = made_step(2);
    assert_string_equal(at(step, "new_tasks[0].data"), "{'items':[{'x':1.0},{'x':2.0}]}");
    assert_string_equal(at(step, "new_tasks[0].merged"), "true");
    assert_string_equal(at(step, "changes"),
                        "[{'key':'_merge.in','kind':'STATE_CHANGE_KIND_REMOVE','routine':'r'}]");
    step = made_step(4);
    assert_string_equal(at(step, "task_id"), "s2.0");
}

static void appended_data_are_handled_with_all_before_them(void **state)
{
    (void)state;
    assign(1, MERGE("MERGE_MODE_APPEND"), "{'x': 1}|{'x': 2}");
    assert_string_equal(at(made_step(1), "changes[0].value"), "{'x':1.0}");
    assert_string_equal(at(made_step(2), "outcome"), "STEP_OUTCOME_COMPLETE");
    assert_int_equal(rig.runs, 2);
}

/* The handler sees all data so far; the tasks and the steps have one each. */
static void appended_data_reach_the_handler_from_the_state(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'state': {'routine_states': {'r': {'_merge.in': "
          "[{'x': 1}]}}}, 'now': {}, 'flow': {" MERGE(
              "MERGE_MODE_APPEND") "}, 'inputs': [{'task_id': 'i1', "
                                   "'routine': 'r', 'slot': 'in', 'input_number': 1, 'data': {'do': "
                                   "[['emit_data', 'call']]}}]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "emissions[0].data"), "{'items':[{'x':1.0},{'do':[['emit_data','call']]}]}");
    assert_string_equal(at(step, "changes"),
                        "[{'key':'_merge.in','kind':'STATE_CHANGE_KIND_APPEND','routine':'r','value':"
                        "{'do':[['emit_data','call']]}}]");
}

static void an_appended_datum_counts_from_the_step_that_handles_it(void **state)
{
    (void)state;
    assign(1,
           MERGE("MERGE_MODE_APPEND") ", 'defaults': {'retry': {'max_attempts': 2, 'initial_delay_ms': 1}, "
                                      "'on_error': 'ERROR_POLICY_SKIP'}",
           "{'do': [['fail', 14, 'no']]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_RETRY");
    assert_string_equal(at(step, "changes"), "");
    rig_pass(10, true);
    step = made_step(2); /* it was skipped, but it came */
    assert_string_equal(at(step, "changes[0].kind"), "STATE_CHANGE_KIND_APPEND");
    assert_string_equal(at(step, "changes[1]"), "");
}

static void a_datum_that_fails_its_job_is_appended_when_the_job_goes_on(void **state)
{
    (void)state;
    assign(1, MERGE("MERGE_MODE_APPEND"), "{'do': [['fail', 3, 'no']]}");
    json_t *step = made_step(1);
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_FAIL");
    assert_string_equal(at(step, "changes"), "");
}

static void all_connections_bring_one_datum_each(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {" MERGE(
        "MERGE_MODE_ALL") "}, 'inputs': "
                          "[{'task_id': 'i1', 'routine': 'e', 'slot': 'in', 'input_number': 1, 'data': "
                          "{'do': [['emit', 'out', {'a': 1, 'c': 1}], ['emit', "
                          "'out', {'a': 2}], ['emit', 'other', {'b': 3, 'c': 3}]]}}, {'task_id': 'i2', "
                          "'routine': 'r', 'slot': 'in', 'input_number': "
                          "2, 'data': {'do': []}}]}");
    json_t *step = made_step(2); /* from outside: it completes nothing, and waits for nothing */
    assert_string_equal(at(step, "task_id"), "i2");
    assert_string_equal(at(step, "new_tasks[0].data"), "{'do':[]}");
    assert_string_equal(at(made_step(3), "new_tasks"), "");
    assert_string_equal(at(made_step(4), "new_tasks"), "");
    step = made_step(5);
    assert_string_equal(at(step, "task_id"), "s1.2");
    assert_string_equal(at(step, "new_tasks[0].data"), "{'a':1.0,'b':3.0,'c':3.0}");
    assert_string_equal(at(step, "changes"),
                        "[{'count':1,'key':'_merge.in.1','kind':"
                        "'STATE_CHANGE_KIND_DROP','routine':'r'}]"); /* the second waits */
}

/* Assigns a job whose first connection has brought `n` data of 100 bytes, for which those of the second one
 * come now, two of them; the bytes of the step that makes the first pair. */
static size_t bytes_of_a_pair(size_t n)
{
    char *list = calloc(n + 1, 128), *p = list;
    assert_non_null(list);
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s{'a': '%0100zu'}", i == 0 ? "" : ", ", i);
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': 1, 'state': {'routine_states': {'r': {'_merge.in.1': [%s]}}"
          "}, 'now': {}, 'flow': {" MERGE("MERGE_MODE_ALL") "}, 'inputs': [{'task_id': 'i1', 'routine': 'e', "
                                                            "'slot': 'in', 'input_number': 1, 'data': {'do': "
                                                            "[['emit', 'other', {'b': 1}]]}}]}",
          list);
    free(list);
    json_t *step = made_step(2);
    assert_string_equal(at(step, "new_tasks[0].data.b"), "1.0");
    return strlen(at(step, ""));
}

static void a_step_that_makes_a_pair_is_as_large_however_many_wait(void **state)
{
    size_t few = bytes_of_a_pair(2);
    rig_teardown(state);
    rig_setup(state);
    assert_int_equal(bytes_of_a_pair(5000), few);
}

static void a_coordinator_that_cannot_drop_gets_the_rest_of_the_list(void **state)
{
    (void)state;
    rig_breaks();
    (void)rig_connects();
    hears("'welcome': {'lease_ms': 10000, 'heartbeat_ms': 1000, 'max_step_bytes': 4000000}");
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'state': {'routine_states': {'r': {'_merge.in.1': "
          "[{'a': 1}, {'a': 2}]}}}, 'now': {}, 'flow': {" MERGE(
              "MERGE_MODE_ALL") "}, 'inputs': [{'task_id': "
                                "'i1', 'routine': 'e', 'slot': 'in', 'input_number': 1, 'data': {'do': "
                                "[['emit', 'other', "
                                "{'b': 1}]]}}]}");
    assert_string_equal(
        at(made_step(2), "changes"),
        "[{'key':'_merge.in.1','kind':'STATE_CHANGE_KIND_SET','routine':'r','value':[{'a':2.0}]}]");
}

static void other_slots_are_not_merged(void **state)
{
    (void)state;
    hears("'assign': {'job_id': '" JOB "', 'epoch': 1, 'state': {}, 'now': {}, 'flow': {" MERGE(
        "MERGE_MODE_N_OF_M") "}, 'inputs': "
                             "[{'task_id': 'i1', 'routine': 'r', 'slot': 'more', 'input_number': 1, 'data': "
                             "{'do': [['emit', 'out']]}}]}");
    assert_string_equal(at(made_step(1), "emissions[0].event"), "out");
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

static void nothing_is_due_in_more_than_ten_years(void **state)
{
    (void)state;
    fails("['schedule', 'in', null, 316224000001, 'k']",
          "a task is scheduled 316224000001 ms ahead; the limit is 316224000000");
    fails("['schedule', 'in', null, 1e300]",
          "a task is scheduled 9007199254740992 ms ahead; the limit is 316224000000");
    fails("['ask', 'q', 'in', {'timeout_ms': 1e300}]",
          "the question's timeout_ms must be a whole number of milliseconds from 1 to 316224000000, or 0 for "
          "never");
}

static void no_retry_is_put_off_for_longer(void **state)
{
    (void)state;
    json_t *step =
        step_of(", 'defaults': {'retry': {'max_attempts': 2, 'jitter': 1}}", "['fail_until', 1e300]");
    assert_string_equal(at(step, "outcome"), "STEP_OUTCOME_RETRY");
    assert_in_range(number_at(step, "retry_delay_ms"), 1, 316224000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_step_says_what_it_is_of),
        T(an_event_makes_a_task_for_each_connection_or_is_an_output),
        T(connections_map_filter_and_add),
        T(a_mapping_whose_source_is_missing_takes_nothing_away),
        T(a_handler_sees_its_task),
        T(changes_of_state_are_made_with_the_step),
        T(what_the_handler_reads_has_its_own_changes),
        T(what_a_handler_may_not_do_fails_its_step_in_words),
        T(questions_and_children_go_out_with_the_step),
        T(a_question_about_the_budget_belongs_to_no_call),
        T(what_descends_from_a_call_carries_its_id),
        T(scheduled_tasks_replace_those_of_their_key),
        T(deferred_events_are_emitted_when_that_is_said),
        T(deferred_events_wait_until_that_is_said),
        T(deferred_events_that_leave_no_task_are_a_step_of_their_own),
        T(deferred_events_come_before_the_inputs_delivered_with_them),
        T(many_deferred_events_are_emitted_by_steps_that_fit),
        T(a_deferred_event_that_no_step_can_hold_becomes_an_output),
        T(the_nth_datum_completes_a_set),
        T(appended_data_are_handled_with_all_before_them),
        T(appended_data_reach_the_handler_from_the_state),
        T(an_appended_datum_counts_from_the_step_that_handles_it),
        T(a_datum_that_fails_its_job_is_appended_when_the_job_goes_on),
        T(all_connections_bring_one_datum_each),
        T(a_step_that_makes_a_pair_is_as_large_however_many_wait),
        T(a_coordinator_that_cannot_drop_gets_the_rest_of_the_list),
        T(other_slots_are_not_merged),
        T(nothing_is_due_in_more_than_ten_years),
        T(no_retry_is_put_off_for_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
