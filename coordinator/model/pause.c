/* Claims of open questions. */
#include "pause.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "pbc.h"

bool pause_is_question(const Fermata__V1__Pause *p)
{
    return p->reason == PAUSE_REASON_QUESTION || p->reason == PAUSE_REASON_BUDGET ||
           p->reason == PAUSE_REASON_TOOL || p->reason == PAUSE_REASON_INPUT;
}

int pause_reason_of(const Fermata__V1__Pause *of_step)
{
    if (of_step->reason == PAUSE_REASON_BUDGET)
        return PAUSE_REASON_BUDGET;
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
