/* What a host may say in a step. See host_step.h. */
#include "host_step.h"

#include <stdio.h>
#include <string.h>

#include "agreed.h"
#include "fields.h"
#include "pbc.h"
#include "usage.h"

#define MAX_MESSAGE_BYTES 65536 /* of an error: every list of jobs shows it */

#define REFUSE(field, ...) return fm_err_set(err, FM_INVALID_ARGUMENT, "step." field, __VA_ARGS__)

/* ---- whose fields they are ---- */

#define F(number) ((uint64_t)1 << (number))

/* The fields that are a host's, by message. What has no row here is the user's (a Struct, a Value), or only
 * stands in a field that is not the host's. A new field of these messages is not a host's until it is named
 * here. */
static const struct own_fields {
    const ProtobufCMessageDescriptor *message;
    uint64_t fields;
} own_fields[] = {
    {&fermata__v1__step__descriptor,
     F(FIELD_STEP_NUMBER) | F(FIELD_STEP_EPOCH) | F(FIELD_STEP_TASK_ID) | F(FIELD_STEP_ROUTINE) |
         F(FIELD_STEP_SLOT) | F(FIELD_STEP_INPUTS_THROUGH) | F(FIELD_STEP_DEFERRED_EMITTED) |
         F(FIELD_STEP_DEFERRED_TASKS) | F(FIELD_STEP_NEW_TASKS) | F(FIELD_STEP_EMISSIONS) |
         F(FIELD_STEP_CHANGES) | F(FIELD_STEP_LOG) | F(FIELD_STEP_DEFERRED_EVENTS) | F(FIELD_STEP_PAUSES) |
         F(FIELD_STEP_OUTCOME) | F(FIELD_STEP_ERROR) | F(FIELD_STEP_USAGE) | F(FIELD_STEP_ATTEMPT) |
         F(FIELD_STEP_DURATION_US) | F(FIELD_STEP_RETRY_DELAY_MS) | F(FIELD_STEP_UNSCHEDULED) |
         F(FIELD_STEP_CHILDREN) | F(FIELD_STEP_CONTINUE_AS) | F(FIELD_STEP_DEFERRED_OUTPUTS) |
         F(FIELD_STEP_WITHDRAWALS)                                                                                                            },
    {&fermata__v1__task__descriptor,
     F(FIELD_TASK_TASK_ID) | F(FIELD_TASK_ROUTINE) | F(FIELD_TASK_SLOT) | F(FIELD_TASK_DATA) |
         F(FIELD_TASK_FROM_ROUTINE) | F(FIELD_TASK_FROM_EVENT) | F(FIELD_TASK_DELAY_MS) |
         F(FIELD_TASK_SCHEDULE_KEY) | F(FIELD_TASK_CALL_ID) | F(FIELD_TASK_CONNECTION) |
         F(FIELD_TASK_MERGED) | F(FIELD_TASK_BESIDE)                                                                                          },
    {&fermata__v1__emission__descriptor,
     F(FIELD_EMISSION_EVENT) | F(FIELD_EMISSION_TASKS) | F(FIELD_EMISSION_DATA)                                                               },
    {&fermata__v1__state_change__descriptor,   F(FIELD_STATE_CHANGE_ROUTINE) | F(FIELD_STATE_CHANGE_KEY) |
                                                 F(FIELD_STATE_CHANGE_KIND) | F(FIELD_STATE_CHANGE_VALUE) |
                                                 F(FIELD_STATE_CHANGE_COUNT)                      },
    {&fermata__v1__log_entry__descriptor,      F(FIELD_LOG_ENTRY_STEP) | F(FIELD_LOG_ENTRY_ROUTINE) |
                                              F(FIELD_LOG_ENTRY_MESSAGE) | F(FIELD_LOG_ENTRY_DATA)   },
    {&fermata__v1__deferred_event__descriptor,
     F(FIELD_DEFERRED_EVENT_ROUTINE) | F(FIELD_DEFERRED_EVENT_EVENT) | F(FIELD_DEFERRED_EVENT_DATA) |
         F(FIELD_DEFERRED_EVENT_STEP)                                                                                                         },
    {&fermata__v1__output__descriptor,
     F(FIELD_OUTPUT_ROUTINE) | F(FIELD_OUTPUT_EVENT) | F(FIELD_OUTPUT_DATA) | F(FIELD_OUTPUT_STEP)                                            },
    {&fermata__v1__pause__descriptor,
     F(FIELD_PAUSE_PAUSE_ID) | F(FIELD_PAUSE_REASON) | F(FIELD_PAUSE_QUESTION) | F(FIELD_PAUSE_DATA) |
         F(FIELD_PAUSE_ROUTINE) | F(FIELD_PAUSE_SLOT) | F(FIELD_PAUSE_STEP) | F(FIELD_PAUSE_CHOICES) |
         F(FIELD_PAUSE_TIMEOUT_MS) | F(FIELD_PAUSE_DEFAULT_ANSWER) | F(FIELD_PAUSE_ANSWER_SCHEMA) |
         F(FIELD_PAUSE_CALL_ID) | F(FIELD_PAUSE_ASKS_FOR) | F(FIELD_PAUSE_ON_TIMEOUT) |
         F(FIELD_PAUSE_ASSIGNEE) | F(FIELD_PAUSE_ESCALATE) | F(FIELD_PAUSE_DEADLINE_AT) | F(FIELD_PAUSE_KEY) |
         F(FIELD_PAUSE_CHOICES_OR_SCHEMA)                                                                                                     },
    {&fermata__v1__escalation__descriptor,     F(FIELD_ESCALATION_AFTER_MS) | F(FIELD_ESCALATION_TO)                                          },
    {&fermata__v1__withdrawal__descriptor,     F(FIELD_WITHDRAWAL_PAUSE_ID) | F(FIELD_WITHDRAWAL_REASON)                                      },
    {&fermata__v1__job_error__descriptor,      F(FIELD_JOB_ERROR_CODE) | F(FIELD_JOB_ERROR_MESSAGE) |
                                              F(FIELD_JOB_ERROR_ROUTINE) | F(FIELD_JOB_ERROR_TASK_ID)},
    {&fermata__v1__continue__descriptor,
     F(FIELD_CONTINUE_TASKS) | F(FIELD_CONTINUE_KEPT) | F(FIELD_CONTINUE_KEEP_GENERATIONS)                                                    },
    {&fermata__v1__new_task__descriptor,       F(FIELD_NEW_TASK_TO) | F(FIELD_NEW_TASK_DATA)                                                  },
    {&fermata__v1__slot_ref__descriptor,       F(FIELD_SLOT_REF_ROUTINE) | F(FIELD_SLOT_REF_SLOT)                                             },
    {&fermata__v1__kept__descriptor,           F(FIELD_KEPT_LOG) | F(FIELD_KEPT_OUTPUTS) |
                                         F(FIELD_KEPT_NO_SHARED_DATA) | F(FIELD_KEPT_NO_ROUTINE_STATES)   },
    {&fermata__v1__usage__descriptor,          F(FIELD_USAGE_INPUT_TOKENS) | F(FIELD_USAGE_OUTPUT_TOKENS) |
                                          F(FIELD_USAGE_CACHED_TOKENS) | F(FIELD_USAGE_COST) |
                                          F(FIELD_USAGE_CALLS)                                           },
    {&fermata__v1__child_start__descriptor,
     F(FIELD_CHILD_START_FLOW) | F(FIELD_CHILD_START_FLOW_VERSION) | F(FIELD_CHILD_START_ENTRY) |
         F(FIELD_CHILD_START_DATA) | F(FIELD_CHILD_START_SHARED_DATA) | F(FIELD_CHILD_START_RESULT_SLOT) |
         F(FIELD_CHILD_START_LABELS)                                                                                                          },
};

static const struct own_fields *row_of(const ProtobufCMessageDescriptor *d)
{
    for (size_t i = 0; i < sizeof(own_fields) / sizeof(own_fields[0]); i++)
        if (own_fields[i].message == d)
            return &own_fields[i];
    return NULL;
}

/* Where the walk is: the field of the message above. */
struct place {
    const struct place *up;
    const char *name;
    size_t index;
    bool repeated;
};

enum shown { NAMES_ONLY, WITH_INDICES };

static void put_place(const struct place *p, enum shown how, char *out, size_t n)
{
    if (p == NULL)
        return;
    put_place(p->up, how, out, n);
    size_t at = strlen(out);
    if (p->repeated && how == WITH_INDICES)
        snprintf(out + at, n - at, ".%s[%zu]", p->name, p->index);
    else
        snprintf(out + at, n - at, ".%s", p->name);
}

static int not_a_hosts(const struct place *p, struct fm_err *err)
{
    char field[128] = "step", where[128] = "step";
    put_place(p, NAMES_ONLY, field, sizeof(field));
    put_place(p, WITH_INDICES, where, sizeof(where));
    return fm_err_set(err, FM_INVALID_ARGUMENT, field,
                      "%s is set, which only the coordinator may do; a host must leave it out", where);
}

static int check_message(const struct own_fields *row, ProtobufCMessage *m, const struct place *up,
                         struct fm_err *err)
{
    const ProtobufCMessageDescriptor *d = row->message;
    m->n_unknown_fields = 0;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (!pb_is_set(m, f))
            continue;
        struct place here = {.up = up, .name = f->name};
        if (f->id >= 64 || (row->fields & F(f->id)) == 0)
            return not_a_hosts(&here, err);
        const struct own_fields *sub = f->type == PROTOBUF_C_TYPE_MESSAGE ? row_of(f->descriptor) : NULL;
        if (sub == NULL)
            continue;
        size_t n;
        ProtobufCMessage *const *items = pb_messages(m, f, &n);
        here.repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
        for (here.index = 0; here.index < n; here.index++) {
            int rc = check_message(sub, items[here.index], &here, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* ---- what they say ---- */

/* A name that repeats one of the step's own. */
static bool agrees(const char *said, const char *own)
{
    return said[0] == '\0' || strcmp(said, own) == 0;
}

static int check_records(const Fermata__V1__Step *s, struct fm_err *err)
{
    for (size_t i = 0; i < s->n_log; i++)
        if (!agrees(s->log[i]->routine, s->routine) || (s->log[i]->step != 0 && s->log[i]->step != s->number))
            REFUSE("log.routine", "entry %zu of the log is by another routine or step than this one", i);
    for (size_t i = 0; i < s->n_deferred_events; i++) {
        const Fermata__V1__DeferredEvent *d = s->deferred_events[i];
        if (!agrees(d->routine, s->routine) || (d->step != 0 && d->step != s->number))
            REFUSE("deferred_events.routine",
                   "deferred event %zu is of another routine or step than this one", i);
    }
    for (size_t i = 0; i < s->n_deferred_outputs; i++)
        if (s->deferred_outputs[i]->step != 0 && s->deferred_outputs[i]->step != s->number)
            REFUSE("deferred_outputs.step", "output %zu of a deferred event is of another step than this one",
                   i);
    for (size_t i = 0; i < s->n_pauses; i++)
        if (!agrees(s->pauses[i]->routine, s->routine) ||
            (s->pauses[i]->step != 0 && s->pauses[i]->step != s->number))
            REFUSE("pauses.routine", "pause %zu is of another routine or step than this one", i);
    if (s->error != NULL &&
        (!agrees(s->error->routine, s->routine) || !agrees(s->error->task_id, s->task_id)))
        REFUSE("error.routine", "the error is of another routine or task than this step");
    if (s->error != NULL && strlen(s->error->code) > FM_MAX_NAME_BYTES)
        REFUSE("error.code", "the code has %zu bytes; the limit is %d", strlen(s->error->code),
               FM_MAX_NAME_BYTES);
    if (s->error != NULL && strlen(s->error->message) > MAX_MESSAGE_BYTES)
        REFUSE("error.message", "the message has %zu bytes; the limit is %d", strlen(s->error->message),
               MAX_MESSAGE_BYTES);
    return 0;
}

static int check_tasks(const Fermata__V1__Step *s, struct fm_err *err)
{
    for (size_t i = 0; i < s->n_deferred_tasks; i++)
        if (s->deferred_tasks[i]->delay_ms != 0 || s->deferred_tasks[i]->schedule_key[0] != '\0')
            REFUSE("deferred_tasks.delay_ms",
                   "the task %zu of a deferred event is scheduled; it is due at once", i);
    for (size_t i = 0; i < s->n_new_tasks; i++)
        if (!agrees(s->new_tasks[i]->from_routine, s->routine))
            REFUSE("new_tasks.from_routine", "task %zu comes from another routine than this step", i);
    for (size_t i = 0; i < s->n_new_tasks; i++)
        if (strlen(s->new_tasks[i]->schedule_key) > FM_MAX_KEY_BYTES)
            REFUSE("new_tasks.schedule_key", "the key of task %zu has %zu bytes; the limit is %d", i,
                   strlen(s->new_tasks[i]->schedule_key), FM_MAX_KEY_BYTES);
    return 0;
}

static int check_header(const Fermata__V1__Step *s, struct fm_err *err)
{
    if (s->task_id[0] == '\0' && (s->routine[0] != '\0' || s->slot[0] != '\0'))
        REFUSE("routine", "a step without a task names a routine or a slot");
    if (s->task_id[0] == '\0' && s->n_children > 0)
        REFUSE("children", "a step without a task starts %zu jobs; only a task may", s->n_children);
    if (s->duration_us / 1000 > FM_MAX_AHEAD_MS)
        REFUSE("duration_us", "%llu us; at most %llu are allowed", (unsigned long long)s->duration_us,
               (unsigned long long)FM_MAX_AHEAD_MS * 1000);
    if (s->retry_delay_ms > FM_MAX_AHEAD_MS)
        REFUSE("retry_delay_ms", "%llu ms; at most %llu are allowed", (unsigned long long)s->retry_delay_ms,
               (unsigned long long)FM_MAX_AHEAD_MS);
    return 0;
}

/* The work that a step makes is in proportion to these. */
static int check_sizes(const Fermata__V1__Step *s, struct fm_err *err)
{
    const struct {
        const char *field;
        size_t n, limit;
    } lists[] = {
        {"step.new_tasks",       s->n_new_tasks,       FM_MAX_STEP_ITEMS },
        {"step.emissions",       s->n_emissions,       FM_MAX_STEP_ITEMS },
        {"step.changes",         s->n_changes,         FM_MAX_STEP_ITEMS },
        {"step.log",             s->n_log,             FM_MAX_STEP_ITEMS },
        {"step.deferred_events", s->n_deferred_events, FM_MAX_STEP_ITEMS },
        {"step.unscheduled",     s->n_unscheduled,     FM_MAX_STEP_ITEMS },
        {"step.withdrawals",     s->n_withdrawals,     FM_MAX_STEP_PAUSES},
        {"step.pauses",          s->n_pauses,          FM_MAX_STEP_PAUSES}
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (lists[i].n > lists[i].limit)
            return fm_err_set(err, FM_INVALID_ARGUMENT, lists[i].field,
                              "%s has %zu elements; the limit is %zu", lists[i].field, lists[i].n,
                              lists[i].limit);
    return 0;
}

static int check_withdrawals(const Fermata__V1__Step *s, struct fm_err *err)
{
    for (size_t i = 0; i < s->n_withdrawals; i++) {
        const Fermata__V1__Withdrawal *w = s->withdrawals[i];
        if (w->pause_id[0] == '\0' || strlen(w->reason) > FM_MAX_REASON_BYTES)
            REFUSE("withdrawals", "withdrawal %zu names no pause, or its reason has more than %d bytes", i,
                   FM_MAX_REASON_BYTES);
    }
    return 0;
}

int host_step_check(Fermata__V1__Step *step, struct fm_err *err)
{
    int rc = check_sizes(step, err);
    if (rc == 0)
        rc = check_message(&own_fields[0], &step->base, NULL, err);
    if (rc == 0)
        rc = check_header(step, err);
    if (rc == 0)
        rc = check_tasks(step, err);
    if (rc == 0)
        rc = check_records(step, err);
    if (rc == 0)
        rc = check_withdrawals(step, err);
    if (rc == 0 && step->usage != NULL)
        rc = usage_check(step->usage, err);
    return rc;
}
