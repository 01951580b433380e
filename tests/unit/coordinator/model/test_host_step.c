/* What a host may say in a step: each field that is not its own, one at a time. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agreed.h"
#include "fermata/v1/types.pb-c.h"
#include "from_json.h"
#include "host_step.h"
#include "mem.h"

#define STEP "'number': 3, 'epoch': 1, 'task_id': 's2.0', 'routine': 'r', 'slot': 'in'"

static int setup(void **state)
{
    (void)state;
    from_json_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    from_json_end();
    return 0;
}

static Fermata__V1__Step *step_of(const char *json)
{
    fm_autofree char *text = fm_xcalloc(strlen(json) + 3, 1);
    sprintf(text, "{%s}", json);
    return (Fermata__V1__Step *)(void *)from_json(&fermata__v1__step__descriptor, text);
}

/* All that hostd sets. */
static const char WHOLE[] = STEP
    ", 'inputs_through': 2, 'deferred_emitted': 1,"
    "'deferred_tasks': [{'task_id': 'd3.0', 'routine': 'q', 'slot': 'in', 'data': {'n': 1}, 'from_routine': "
    "'r',"
    "  'from_event': 'out', 'connection': 1}],"
    "'new_tasks': [{'task_id': 's3.0', 'routine': 'q', 'slot': 'in', 'data': {'n': 1}, 'from_routine': 'r',"
    "  'from_event': 'out', 'delay_ms': 5, 'schedule_key': 'k', 'call_id': 'c', 'connection': 2, 'merged': "
    "true}],"
    "'emissions': [{'event': 'out', 'tasks': 1}, {'event': 'x', 'data': {'n': 2}}],"
    "'changes': [{'routine': 'r', 'key': 'k', 'kind': 'STATE_CHANGE_KIND_SET', 'value': 1}],"
    "'log': [{'message': 'm', 'data': {'n': 1}}],"
    "'deferred_events': [{'routine': 'r', 'event': 'ask', 'data': {'n': 1}}],"
    "'pauses': [{'pause_id': 'p3.0', 'reason': 'PAUSE_REASON_QUESTION', 'question': 'q', 'data': {'n': 1},"
    "  'slot': 'in', 'choices': ['a'], 'timeout_ms': 1, 'default_answer': 'a', 'answer_schema': {'type': "
    "'string'},"
    "  'call_id': 'c', 'on_timeout': 'ON_TIMEOUT_EVENT', 'assignee': 'ann', 'deadline_at': 5, 'key': 'k',"
    "  'escalate': [{'after_ms': 5, 'to': 'bob'}], 'choices_or_schema': true, 'asks_for': "
    "'PAUSE_REASON_TOOL'}],"
    "'outcome': 'STEP_OUTCOME_CONTINUE', 'error': {'code': 'ABORTED', 'message': 'm', 'routine': 'r', "
    "'task_id': "
    "'s2.0'}, 'usage': {'input_tokens': 1, 'output_tokens': 2, 'cached_tokens': 1, 'cost': 0.5, 'calls': 1},"
    "'attempt': 1, 'duration_us': 7, 'retry_delay_ms': 1, 'unscheduled': ['s1.0'],"
    "'children': [{'flow': 'f', 'flow_version': 1, 'entry': {'routine': 'r', 'slot': 'in'}, 'data': {'n': 1},"
    "  'shared_data': {'n': 1}, 'result_slot': 'in', 'labels': {'a': 'b'}}],"
    "'deferred_outputs': [{'routine': 'r', 'event': 'x', 'data': {'n': 1}}]";

static void what_hostd_sends_is_taken(void **state)
{
    (void)state;
    struct fm_err err = {0};
    if (host_step_check(step_of(WHOLE), &err) != 0)
        fail_msg("%s: %s", err.field, err.msg);
    assert_int_equal(
        host_step_check(step_of(STEP ", 'log': [{'message': 'm', 'step': 3, 'routine': 'r'}]"), &err), 0);
    assert_int_equal(host_step_check(step_of("'number': 3, 'deferred_emitted': 1"), &err), 0);
}

static void refused(const char *json, const char *field)
{
    struct fm_err err = {0};
    if (host_step_check(step_of(json), &err) == 0)
        fail_msg("it takes %s", json);
    assert_int_equal(err.code, FM_INVALID_ARGUMENT);
    if (strcmp(err.field, field) != 0)
        fail_msg("%s is refused for %s (%s), not for %s", json, err.field, err.msg, field);
}

/* Each list of jobs shows it. */
static void an_error_is_short(void **state)
{
    (void)state;
    fm_autofree char *json = fm_xcalloc(70000, 1), *text = fm_xcalloc(65538, 1);
    memset(text, 'x', 65537);
    sprintf(json, STEP ", 'error': {'code': 'ABORTED', 'message': '%s'}", text);
    refused(json, "step.error.message");
    text[65536] = '\0';
    sprintf(json, STEP ", 'error': {'code': 'ABORTED', 'message': '%s'}", text);
    struct fm_err err = {0};
    assert_int_equal(host_step_check(step_of(json), &err), 0);
    text[129] = '\0';
    sprintf(json, STEP ", 'error': {'code': '%s'}", text);
    refused(json, "step.error.code");
}

static void what_the_coordinator_sets_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *field;
    } cases[] = {
        {STEP ", 'remedy': {'kind': 'REMEDY_KIND_SKIP_TASK', 'by': 'ann'}",   "step.remedy"                       },
        {STEP ", 'remedy': {}",                                               "step.remedy"                       },
        {"'number': 3, 'remedy': {'by': 'ann'}, 'children': [{'flow': 'f'}]", "step.remedy"                       },
        {STEP ", 'task': {'task_id': 's2.0'}",                                "step.task"                         },
        {STEP ", 'host': 'another'",                                          "step.host"                         },
        {STEP ", 'started_at': '2020-01-01T00:00:00Z'",                       "step.started_at"                   },
        {STEP ", 'committed_at': '2020-01-01T00:00:00Z'",                     "step.committed_at"                 },
        {STEP ", 'new_tasks': [{'task_id': 's3.0'}, {'input_number': 1}]",    "step.new_tasks.input_number"       },
        {STEP ", 'new_tasks': [{'answered_by': 'ann'}]",                      "step.new_tasks.answered_by"        },
        {STEP ", 'new_tasks': [{'from_routine': 'operator ann'}]",            "step.new_tasks.from_routine"       },
        {STEP ", 'new_tasks': [{'pause_id': 'p1.0'}]",                        "step.new_tasks.pause_id"           },
        {STEP ", 'new_tasks': [{'received_at': '2020-01-01T00:00:00Z'}]",     "step.new_tasks.received_at"        },
        {STEP ", 'new_tasks': [{'due_at': '2020-01-01T00:00:00Z'}]",          "step.new_tasks.due_at"             },
        {STEP ", 'new_tasks': [{'failed_attempts': 1}]",                      "step.new_tasks.failed_attempts"    },
        {STEP ", 'new_tasks': [{'spent_ms': 1}]",                             "step.new_tasks.spent_ms"           },
        {STEP ", 'new_tasks': [{'child_job_id': 'x'}]",                       "step.new_tasks.child_job_id"       },
        {STEP ", 'new_tasks': [{'answer_digest': 'x'}]",                      "step.new_tasks.answer_digest"      },
        {STEP ", 'new_tasks': [{'initial_shared_data': {}}]",                 "step.new_tasks.initial_shared_data"},
        {STEP ", 'deferred_tasks': [{'answered_by': 'ann'}]",                 "step.deferred_tasks.answered_by"   },
        {STEP ", 'deferred_tasks': [{'delay_ms': 1}]",                        "step.deferred_tasks.delay_ms"      },
        {STEP ", 'log': [{'at': '2020-01-01T00:00:00Z'}]",                    "step.log.at"                       },
        {STEP ", 'log': [{'routine': 'another'}]",                            "step.log.routine"                  },
        {STEP ", 'log': [{'step': 2}]",                                       "step.log.routine"                  },
        {STEP ", 'deferred_events': [{'routine': 'another'}]",                "step.deferred_events.routine"      },
        {STEP ", 'deferred_outputs': [{'step': 2}]",                          "step.deferred_outputs.step"        },
        {STEP ", 'pauses': [{'at': '2020-01-01T00:00:00Z'}]",                 "step.pauses.at"                    },
        {STEP ", 'pauses': [{'expires_at': '2020-01-01T00:00:00Z'}]",         "step.pauses.expires_at"            },
        {STEP ", 'pauses': [{'claim_expires_at': '2020-01-01T00:00:00Z'}]",   "step.pauses.claim_expires_at"      },
        {STEP ", 'pauses': [{'claimed_by': 'ann'}]",                          "step.pauses.claimed_by"            },
        {STEP ", 'pauses': [{'digest': 'x'}]",                                "step.pauses.digest"                },
        {STEP ", 'pauses': [{'task_id': 'i1'}]",                              "step.pauses.task_id"               },
        {STEP ", 'pauses': [{'routine': 'another'}]",                         "step.pauses.routine"               },
        {STEP ", 'error': {'task_id': 'i1'}",                                 "step.error.routine"                },
        {"'number': 3, 'routine': 'r'",                                       "step.routine"                      },
        {"'number': 3, 'children': [{'flow': 'f'}]",                          "step.children"                     },
        {STEP ", 'duration_us': 316224000001000",                             "step.duration_us"                  },
        {STEP ", 'retry_delay_ms': 316224000001",                             "step.retry_delay_ms"               },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refused(cases[i].json, cases[i].field);
}

static void an_unknown_field_is_dropped(void **state)
{
    (void)state;
    struct fm_err err = {0};
    static uint8_t data[] = {1};
    ProtobufCMessageUnknownField unknown = {
        .tag = 1000, .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = 1, .data = data};
    Fermata__V1__Step *step = step_of(WHOLE);
    step->base.n_unknown_fields = step->new_tasks[0]->base.n_unknown_fields = 1;
    step->base.unknown_fields = step->new_tasks[0]->base.unknown_fields = &unknown;
    assert_int_equal(host_step_check(step, &err), 0);
    assert_int_equal(step->base.n_unknown_fields, 0);
    assert_int_equal(step->new_tasks[0]->base.n_unknown_fields, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_hostd_sends_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_is_short, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_coordinator_sets_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_field_is_dropped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
