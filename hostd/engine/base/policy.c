/* Policies of routines. See policy.h. */
#include "policy.h"

#include <string.h>

#include "agreed.h"
#include "fermata/v1/types.pb.h"
#include "pb_var.h"
#include "times.h"

#define BIT(code) (1u << (code))
#define USUALLY_RETRYABLE                                                                                    \
    (BIT(FM_UNKNOWN) | BIT(FM_DEADLINE_EXCEEDED) | BIT(FM_RESOURCE_EXHAUSTED) | BIT(FM_ABORTED) |            \
     BIT(FM_INTERNAL) | BIT(FM_UNAVAILABLE))
#define DEFAULT_ATTEMPTS 3 /* of ERROR_POLICY_RETRY */

void policy_init(struct policy *p)
{
    *p = (struct policy){.initial_delay_ms = 1000,
                         .max_delay_ms = 60000,
                         .factor = 2,
                         .retryable = USUALLY_RETRYABLE,
                         .on_error = ON_ERROR_STOP,
                         .on_lost = ON_LOST_RETRY};
}

static int code_by_name(struct pb_var name)
{
    for (int code = FM_CANCELLED; code <= FM_UNAUTHENTICATED; code++)
        if (pb_var_eq(name, fm_code_name(code)))
            return code;
    return -1;
}

static int read_retry(struct policy *p, const fermata_v1_RetryPolicy *m, struct fm_err *err)
{
    if (m->max_attempts > 0)
        p->max_attempts = m->max_attempts;
    if (m->initial_delay_ms > 0)
        p->initial_delay_ms = m->initial_delay_ms;
    if (m->max_delay_ms > 0)
        p->max_delay_ms = m->max_delay_ms;
    if (m->factor >= 1)
        p->factor = m->factor;
    if (m->jitter >= 0 && m->jitter <= 1)
        p->jitter = m->jitter;
    if (m->retryable_codes.n > 0)
        p->retryable = 0;
    for (size_t i = 0; i < m->retryable_codes.n; i++) {
        struct pb_var name = pb_var_bytes(m->retryable_codes.items[i].p, m->retryable_codes.items[i].n);
        int code = code_by_name(name);
        if (code < 0)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "flow",
                              "a retryable code is not the name of a gRPC status code");
        p->retryable |= BIT(code);
    }
    return 0;
}

int policy_read(struct policy *p, struct fm_bytes encoded, struct fm_arena *arena, struct fm_err *err)
{
    fermata_v1_Policy m;
    memset(&m, 0, sizeof(m));
    int rc = pb_var_decode(fermata_v1_Policy_fields, &m, encoded, arena, err);
    if (rc < 0)
        return rc;
    if (m.has_retry && read_retry(p, &m.retry, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (m.attempt_timeout_ms > 0)
        p->attempt_timeout_ms = m.attempt_timeout_ms;
    if (m.timeout_ms > 0)
        p->timeout_ms = m.timeout_ms;
    if (m.on_error != fermata_v1_ErrorPolicy_ERROR_POLICY_UNSPECIFIED)
        p->on_error = (enum error_policy)m.on_error;
    if (m.on_lost != fermata_v1_LostPolicy_LOST_POLICY_UNSPECIFIED)
        p->on_lost = (enum lost_policy)m.on_lost;
    return 0;
}

void policy_settle(struct policy *p, uint32_t default_attempts)
{
    if (p->max_attempts == 0)
        p->max_attempts = default_attempts > 0 ? default_attempts : 1;
    if (p->on_error == ON_ERROR_RETRY && p->max_attempts <= 1)
        p->max_attempts = DEFAULT_ATTEMPTS;
}

bool policy_may_drop(const struct policy *p)
{
    return p->on_error == ON_ERROR_CONTINUE || p->on_error == ON_ERROR_SKIP ||
           p->on_error == ON_ERROR_ROUTE || p->on_lost != ON_LOST_RETRY;
}

bool policy_announces(const struct policy *p)
{
    return p->on_lost > ON_LOST_RETRY;
}

bool policy_out_of_time(const struct policy *p, const struct failure *f, uint32_t attempts, uint64_t spent_ms)
{
    struct policy free_of_it = *p;
    uint64_t delay_ms;
    free_of_it.timeout_ms = 0;
    return p->timeout_ms > 0 && spent_ms < p->timeout_ms &&
           policy_retry(&free_of_it, f, attempts, spent_ms, 0, &delay_ms);
}

bool policy_retry(const struct policy *p, const struct failure *f, uint32_t attempts, uint64_t spent_ms,
                  double random, uint64_t *ret_delay_ms)
{
    bool known = f->code > FM_OK && f->code <= FM_UNAUTHENTICATED;
    if (f->permanent || !known || (p->retryable & BIT(f->code)) == 0 || attempts >= p->max_attempts)
        return false;
    double delay = (double)p->initial_delay_ms, max = (double)p->max_delay_ms;
    for (uint32_t i = 1; i < attempts && delay < max; i++)
        delay *= p->factor;
    delay = delay < max ? delay : max;
    delay -= delay * p->jitter * random;
    uint64_t ms = fm_count_from(delay);
    if (ms < f->retry_after_ms) /* never sooner, and not all those that were told so at the same moment */
        ms = f->retry_after_ms + fm_count_from((double)f->retry_after_ms * p->jitter * random);
    ms = ms < FM_MAX_AHEAD_MS ? ms : FM_MAX_AHEAD_MS;
    if (p->timeout_ms > 0 && spent_ms + ms >= p->timeout_ms)
        return false;
    *ret_delay_ms = ms;
    return true;
}

uint64_t policy_attempt_ms(const struct policy *p, uint64_t spent_ms)
{
    uint64_t ms = p->attempt_timeout_ms;
    if (p->timeout_ms == 0)
        return ms;
    uint64_t left = spent_ms < p->timeout_ms ? p->timeout_ms - spent_ms : 1;
    return ms == 0 || left < ms ? left : ms;
}
