/* Open questions. See pause.h. */
#include "pause.h"

#include <stdio.h>
#include <string.h>

#include "agreed.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "mem.h"
#include "pbc.h"
#include "rfc3339.h"

/* ---- claims ---- */

bool pause_is_question(const Fermata__V1__Pause *p)
{
    return p->reason == PAUSE_REASON_QUESTION || p->reason == PAUSE_REASON_BUDGET ||
           p->reason == PAUSE_REASON_TOOL || p->reason == PAUSE_REASON_INPUT ||
           (p->reason == PAUSE_REASON_LIMIT && p->slot[0] != '\0');
}

/* Hosts say BUDGET also of the usual number of an agent's turns, for coordinators that do not know LIMIT. */
static bool is_usual_limit(const Fermata__V1__Pause *p)
{
    for (size_t i = 0; p->data != NULL && i < p->data->n_fields; i++) {
        const Google__Protobuf__Struct__FieldsEntry *e = p->data->fields[i];
        if (strcmp(e->key, "usual_limit") == 0 && e->value != NULL &&
            e->value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE && e->value->bool_value)
            return true;
    }
    return false;
}

int pause_reason_of(const Fermata__V1__Pause *of_step)
{
    if (of_step->reason == PAUSE_REASON_BUDGET)
        return is_usual_limit(of_step) ? PAUSE_REASON_LIMIT : PAUSE_REASON_BUDGET;
    return of_step->asks_for == PAUSE_REASON_TOOL || of_step->asks_for == PAUSE_REASON_INPUT
               ? (int)of_step->asks_for
               : PAUSE_REASON_QUESTION;
}

const Fermata__V1__Pause *pause_with_call(const Fermata__V1__Job *h, const char *call_id)
{
    for (size_t i = 0; i < h->n_pauses; i++)
        if (strcmp(h->pauses[i]->call_id, call_id) == 0)
            return h->pauses[i];
    return NULL;
}

void pause_name_calls(const Fermata__V1__Job *h, const Fermata__V1__SlotRef *at, char out[PAUSE_CALLS_BYTES])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < h->n_pauses; i++) {
        const Fermata__V1__Pause *p = h->pauses[i];
        bool other = at != NULL && (p->reason != PAUSE_REASON_TOOL || strcmp(p->routine, at->routine) != 0 ||
                                    strcmp(p->slot, at->slot) != 0);
        if (p->call_id[0] != '\0' && !other && n + 70 < PAUSE_CALLS_BYTES)
            n += (size_t)snprintf(out + n, PAUSE_CALLS_BYTES - n, "%s%.64s", n > 0 ? ", " : "", p->call_id);
    }
}

bool pause_is_claimed(const Fermata__V1__Pause *p, int64_t wall_ms)
{
    return p->claimed_by[0] != '\0' && time_to_ms(p->claim_expires_at) > wall_ms;
}

bool job_forget_expired_claims(Fermata__V1__Job *h, int64_t wall_ms)
{
    bool forgot = false;
    for (size_t i = 0; i < h->n_pauses; i++) {
        Fermata__V1__Pause *p = h->pauses[i];
        if (p->claimed_by[0] == '\0' || pause_is_claimed(p, wall_ms))
            continue;
        pb_set_string(&p->claimed_by, "");
        pb_set_string(&p->claimed_on_behalf_of, "");
        google__protobuf__timestamp__free_unpacked(p->claim_expires_at, NULL);
        p->claim_expires_at = NULL;
        forgot = true;
    }
    return forgot;
}

int pause_may_answer(const Fermata__V1__Pause *p, int64_t wall_ms, const char *by, const char *field,
                     struct fm_err *err)
{
    if (!pause_is_claimed(p, wall_ms) || strcmp(p->claimed_by, by) == 0)
        return 0;
    return fm_err_set(err, FM_FAILED_PRECONDITION, field,
                      "pause %s is claimed by %.128s for another %lld s: %s must be that name, or wait",
                      p->pause_id, p->claimed_by,
                      (long long)(time_to_ms(p->claim_expires_at) - wall_ms + 999) / 1000, field);
}

/* ---- what a host may ask ---- */

static int check_text(const Fermata__V1__Pause *p, const char *field, const char *text, struct fm_err *err)
{
    if (strlen(text) <= FM_MAX_KEY_BYTES)
        return 0;
    return fm_err_set(err, FM_INVALID_ARGUMENT, field, "%s of pause %.64s has %zu bytes; the limit is %d",
                      field, p->pause_id, strlen(text), FM_MAX_KEY_BYTES);
}

static int check_escalations(const Fermata__V1__Pause *p, struct fm_err *err)
{
    uint64_t last = 0;
    if (p->n_escalate > FM_MAX_ESCALATIONS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.escalate",
                          "pause %.64s is escalated %zu times; the limit is %d", p->pause_id, p->n_escalate,
                          FM_MAX_ESCALATIONS);
    for (size_t i = 0; i < p->n_escalate; i++) {
        const Fermata__V1__Escalation *e = p->escalate[i];
        if (e->after_ms <= last || e->after_ms > FM_MAX_AHEAD_MS)
            return fm_err_set(
                err, FM_INVALID_ARGUMENT, "step.pauses.escalate.after_ms",
                "escalation %zu of pause %.64s comes after %llu ms; each must come later than the "
                "one before, and after at most %llu ms",
                i, p->pause_id, (unsigned long long)e->after_ms, (unsigned long long)FM_MAX_AHEAD_MS);
        if (e->to[0] == '\0')
            return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.escalate.to",
                              "escalation %zu of pause %.64s says not to whom", i, p->pause_id);
        int rc = check_text(p, "step.pauses.escalate.to", e->to, err);
        if (rc < 0)
            return rc;
        last = e->after_ms;
    }
    return 0;
}

int pause_check(const Fermata__V1__Pause *p, struct fm_err *err)
{
    if (p->reason != PAUSE_REASON_UNSPECIFIED && p->reason != PAUSE_REASON_QUESTION &&
        p->reason != PAUSE_REASON_BUDGET)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.reason",
                          "pause %.64s has the reason %d; a step may ask a QUESTION or about the BUDGET",
                          p->pause_id, (int)p->reason);
    if (p->timeout_ms > FM_MAX_AHEAD_MS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.timeout_ms",
                          "pause %.64s stays open for %llu ms; the limit is %llu", p->pause_id,
                          (unsigned long long)p->timeout_ms, (unsigned long long)FM_MAX_AHEAD_MS);
    if (p->slot[0] == '\0')
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.slot",
                          "pause %.64s names no slot for its answer", p->pause_id);
    if (p->on_timeout < ON_TIMEOUT_UNSPECIFIED || p->on_timeout > ON_TIMEOUT_FAIL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.pauses.on_timeout",
                          "pause %.64s has the unknown on_timeout %d; allowed are DEFAULT, EVENT and FAIL",
                          p->pause_id, (int)p->on_timeout);
    int rc = check_text(p, "step.pauses.assignee", p->assignee, err);
    if (rc == 0)
        rc = check_text(p, "step.pauses.key", p->key, err);
    return rc == 0 ? check_escalations(p, err) : rc;
}

/* ---- times ---- */

void pause_begin(Fermata__V1__Pause *p, int64_t committed_ms)
{
    int64_t closes_ms = p->deadline_at != NULL ? time_to_ms(p->deadline_at)
                        : p->timeout_ms > 0    ? committed_ms + (int64_t)p->timeout_ms
                                               : 0;
    pb_set_time(&p->at, committed_ms);
    if (p->deadline_at != NULL)
        google__protobuf__timestamp__free_unpacked(p->deadline_at, NULL);
    p->deadline_at = NULL;
    p->timeout_ms = 0;
    if (closes_ms > 0)
        pb_set_time(&p->expires_at, closes_ms);
    for (size_t i = 0; i < p->n_escalate; i++)
        pb_set_time(&p->escalate[i]->at, committed_ms + (int64_t)p->escalate[i]->after_ms);
}

int64_t pause_closes_ms(const Fermata__V1__Pause *p)
{
    return time_to_ms(p->expires_at);
}

bool pause_is_over(const Fermata__V1__Pause *p, int64_t wall_ms)
{
    return p->expires_at != NULL && pause_closes_ms(p) <= wall_ms;
}

int pause_check_open(const Fermata__V1__Pause *p, int64_t wall_ms, struct fm_err *err)
{
    char when[FM_TIME_TEXT_BYTES];
    if (!pause_is_over(p, wall_ms))
        return 0;
    return fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                      "pause %.64s has closed by itself: its deadline was %s, and nobody had answered it",
                      p->pause_id, fm_time_text(pause_closes_ms(p), when));
}

int64_t pause_next_ms(const Fermata__V1__Pause *p)
{
    int64_t at = pause_closes_ms(p);
    for (size_t i = 0; i < p->n_escalate; i++) {
        int64_t ms = time_to_ms(p->escalate[i]->at);
        if (!p->escalate[i]->done && ms > 0 && (at == 0 || ms < at))
            at = ms;
    }
    return at;
}

bool pause_escalate(Fermata__V1__Pause *p, int64_t wall_ms)
{
    bool any = false;
    for (size_t i = 0; i < p->n_escalate; i++) {
        Fermata__V1__Escalation *e = p->escalate[i];
        if (e->done || time_to_ms(e->at) > wall_ms)
            continue;
        e->done = any = true;
        pb_set_string(&p->assignee, e->to);
    }
    return any;
}

/* ---- closed without an answer ---- */

#define MAX_REMEMBERED 16

void pause_remember(Fermata__V1__Job *h, const Fermata__V1__Pause *p, Fermata__V1__PauseEnd how,
                    const Fermata__V1__Withdrawal *why, uint32_t step, int64_t wall_ms)
{
    Fermata__V1__ClosedPause c = FERMATA__V1__CLOSED_PAUSE__INIT;
    c.pause_id = p->pause_id;
    c.routine = p->routine;
    c.how = how;
    c.step = step;
    if (why != NULL)
        c.reason = why->reason;
    if (h->n_closed_pauses == MAX_REMEMBERED) {
        fermata__v1__closed_pause__free_unpacked(h->closed_pauses[0], NULL);
        memmove(h->closed_pauses, h->closed_pauses + 1, (MAX_REMEMBERED - 1) * sizeof(*h->closed_pauses));
        h->n_closed_pauses--;
    }
    h->closed_pauses = fm_xrealloc(h->closed_pauses, (h->n_closed_pauses + 1) * sizeof(*h->closed_pauses));
    Fermata__V1__ClosedPause *kept = pb_clone(&c);
    pb_set_time(&kept->at, wall_ms);
    h->closed_pauses[h->n_closed_pauses++] = kept;
}

int pause_check_not_closed(const Fermata__V1__Job *h, const char *pause_id, struct fm_err *err)
{
    char when[FM_TIME_TEXT_BYTES];
    for (size_t i = 0; i < h->n_closed_pauses; i++) {
        const Fermata__V1__ClosedPause *c = h->closed_pauses[i];
        if (strcmp(c->pause_id, pause_id) != 0)
            continue;
        fm_time_text(time_to_ms(c->at), when);
        if (c->how == PAUSE_END_WITHDRAWN)
            return fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                              "pause %.64s was withdrawn by step %u at %s: %.300s", pause_id, c->step, when,
                              c->reason[0] != '\0' ? c->reason : "no answer is needed any more");
        return fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                          "pause %.64s has closed by itself at %s: its deadline had come", pause_id, when);
    }
    return 0;
}

#define MAX_TIMEOUT_FIELDS 7

static void set_text(Google__Protobuf__Struct *s, Google__Protobuf__Value *v, const char *key,
                     const char *text)
{
    if (text[0] == '\0')
        return;
    Google__Protobuf__Struct__FieldsEntry *e = s->fields[s->n_fields++];
    google__protobuf__value__init(v);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v->string_value = (char *)(uintptr_t)text;
    e->key = (char *)(uintptr_t)key;
    e->value = v;
}

Google__Protobuf__Struct *pause_timeout_data(const Fermata__V1__Pause *p)
{
    Google__Protobuf__Struct__FieldsEntry entries[MAX_TIMEOUT_FIELDS], *fields[MAX_TIMEOUT_FIELDS];
    Google__Protobuf__Value texts[4], yes = GOOGLE__PROTOBUF__VALUE__INIT,
                                      none = GOOGLE__PROTOBUF__VALUE__INIT,
                                      data = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    for (size_t i = 0; i < MAX_TIMEOUT_FIELDS; i++) {
        google__protobuf__struct__fields_entry__init(&entries[i]);
        fields[i] = &entries[i];
    }
    char answer_key[] = "answer", expired_key[] = "expired", data_key[] = "data";
    yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    yes.bool_value = true;
    none.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
    bool plain = p->on_timeout != ON_TIMEOUT_EVENT && p->on_timeout != ON_TIMEOUT_FAIL;
    entries[0].key = answer_key;
    entries[0].value = plain && p->default_answer != NULL ? p->default_answer : &none;
    entries[1].key = expired_key;
    entries[1].value = &yes;
    s.n_fields = 2;
    s.fields = fields;
    if (!plain) {
        set_text(&s, &texts[0], "question", p->question);
        set_text(&s, &texts[1], "pause_id", p->pause_id);
        set_text(&s, &texts[2], "key", p->key);
        set_text(&s, &texts[3], "assignee", p->assignee);
    }
    if (!plain && p->data != NULL) {
        data.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        data.struct_value = p->data;
        fields[s.n_fields]->key = data_key;
        fields[s.n_fields++]->value = &data;
    }
    return pb_clone(&s);
}
