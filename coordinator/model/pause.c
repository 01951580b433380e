/* Claims of open questions. */
#include "pause.h"

#include <string.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "pbc.h"

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
