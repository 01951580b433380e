/* Results and inputs that close pauses. See waits.h. */
#include "waits.h"

#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "input.h"
#include "job.h"
#include "journal.h"
#include "pause.h"
#include "place.h"
#include "state.h"

static const Google__Protobuf__Value *field_of(const Google__Protobuf__Struct *data, const char *key)
{
    for (size_t i = 0; data != NULL && i < data->n_fields; i++)
        if (strcmp(data->fields[i]->key, key) == 0)
            return data->fields[i]->value;
    return NULL;
}

static const char *call_of(const Google__Protobuf__Struct *data)
{
    const Google__Protobuf__Value *v = field_of(data, "call_id");
    return v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE ? v->string_value : "";
}

/* A result without a result is the data themselves. */
static void answer_of(const Fermata__V1__SendInputRequest *r, Google__Protobuf__Value *whole,
                      Fermata__V1__ResumeJobRequest *ret)
{
    Google__Protobuf__Value *result = (Google__Protobuf__Value *)(uintptr_t)field_of(r->data, "result");
    whole->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    whole->struct_value = r->data;
    ret->answer = result != NULL ? result : whole;
    ret->answered_by = r->sent_by;
    ret->on_behalf_of = r->on_behalf_of;
}

int pause_for_input(struct core *c, struct op *op, const struct job *job,
                    const Fermata__V1__SendInputRequest *r, const Fermata__V1__Pause **ret,
                    struct fm_err *err)
{
    const Fermata__V1__Pause *only = NULL;
    const char *call_id = call_of(r->data);
    size_t n = 0;
    *ret = NULL;
    for (size_t i = 0; i < job->head->n_pauses && *ret == NULL; i++) {
        const Fermata__V1__Pause *p = job->head->pauses[i];
        if (strcmp(p->routine, r->to->routine) != 0)
            continue;
        if (p->reason == PAUSE_REASON_INPUT)
            *ret = p;
        if (p->reason != PAUSE_REASON_TOOL || strcmp(p->slot, r->to->slot) != 0)
            continue;
        only = p;
        n++;
        if (call_id[0] != '\0' && strcmp(p->call_id, call_id) == 0)
            *ret = p;
    }
    if (*ret == NULL && n == 1 && call_id[0] == '\0')
        *ret = only;
    if (*ret == NULL && n > 0) {
        char open[PAUSE_CALLS_BYTES];
        pause_name_calls(job->head, r->to, open);
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data.call_id",
                          call_id[0] == '\0'
                              ? "several calls wait for a result: say which, with call_id%.0s; open "
                                "are %s"
                              : "the call %.128s waits for no result (or no longer); open are %s",
                          call_id, open);
    }
    if (*ret == NULL)
        return 0;
    Google__Protobuf__Value whole = GOOGLE__PROTOBUF__VALUE__INIT;
    Fermata__V1__ResumeJobRequest answer = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    answer_of(r, &whole, &answer);
    int rc = pause_may_answer(*ret, c->wall_ms, r->sent_by, "sent_by", err);
    return rc != 0 || (*ret)->reason == PAUSE_REASON_INPUT ? rc : job_check_answer(c, op, *ret, &answer, err);
}

void input_take_pause(struct core *c, struct job *job, const Fermata__V1__Pause *p,
                      const Fermata__V1__SendInputRequest *r)
{
    const struct who who = {r->sent_by, ""};
    if (p->reason == PAUSE_REASON_TOOL) {
        Google__Protobuf__Value whole = GOOGLE__PROTOBUF__VALUE__INIT;
        Fermata__V1__ResumeJobRequest answer = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
        answer_of(r, &whole, &answer);
        job_take_answer(c, job, p, &answer, who);
        return;
    }
    char id[PAUSE_ID_BYTES];
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    Google__Protobuf__Struct empty = GOOGLE__PROTOBUF__STRUCT__INIT;
    (void)snprintf(id, sizeof(id), "%s", p->pause_id);
    task.routine = r->to->routine;
    task.slot = r->to->slot;
    task.data = r->data != NULL ? r->data : &empty;
    task.answered_by = r->sent_by;
    task.on_behalf_of = r->on_behalf_of;
    task.pause_id = id;
    job_note_here(c, job, ENTRY_KIND_ANSWERED, who, id, NULL);
    (void)job_add_input(c, job, &task);
    job_remove_pause(job, id);
}
