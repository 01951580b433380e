/* Validation of what flows say of time, failures and merging: only numbers and known words, no graph. See
 * policies.h. */
#include "policies.h"

#include <inttypes.h>
#include <string.h>

#include "agreed.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "path.h"

#define MAX_PARALLELISM 64
#define MAX_ATTEMPTS 1000000
#define MAX_LOSSES 1000
#define MAX_FACTOR 100
#define MAX_MERGES 64 /* of one routine */
#define MAX_MERGE_N 10000

static void check_ms(uint64_t ms, const char *path, const char *name, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    flow_path(field, "%s.%s", path, name);
    if (ms > FM_MAX_SETTING_MS)
        FLOW_FAULT(err, field, "%s is %" PRIu64 "; the limit is %llu (366 days)", name, ms,
                   FM_MAX_SETTING_MS);
}

/* The number of an error's code, or 0. */
static int code_by_name(const char *name)
{
    for (int code = FM_CANCELLED; code <= FM_UNAUTHENTICATED; code++)
        if (strcmp(name, fm_code_name(code)) == 0)
            return code;
    return 0;
}

static void check_codes(const Fermata__V1__RetryPolicy *p, const char *path, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    uint32_t seen = 0;
    for (size_t i = 0; i < p->n_retryable_codes; i++) {
        const char *name = p->retryable_codes[i];
        int code = code_by_name(name);
        flow_path(field, "%s.retryable_codes[%zu]", path, i);
        if (code == 0)
            FLOW_FAULT(err, field,
                       "\"%.64s\" is not the name of a gRPC status code of an error, such as UNAVAILABLE",
                       name);
        else if ((seen & 1u << code) != 0)
            FLOW_FAULT(err, field, "%s is given twice", name);
        seen |= 1u << code;
    }
}

static void check_retry(const Fermata__V1__RetryPolicy *p, const char *path, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    flow_path(field, "%s.max_attempts", path);
    if (p->max_attempts > MAX_ATTEMPTS)
        FLOW_FAULT(err, field, "max_attempts is %u; the limit is %d", p->max_attempts, MAX_ATTEMPTS);
    check_ms(p->initial_delay_ms, path, "initial_delay_ms", err);
    flow_path(field, "%s.factor", path);
    if (p->factor != 0 && !(p->factor >= 1 && p->factor <= MAX_FACTOR))
        FLOW_FAULT(err, field, "factor is %.15g; 1 to %d are allowed, and 0 for 2", p->factor, MAX_FACTOR);
    check_ms(p->max_delay_ms, path, "max_delay_ms", err);
    flow_path(field, "%s.jitter", path);
    if (!(p->jitter >= 0 && p->jitter <= 1))
        FLOW_FAULT(err, field, "jitter is %.15g; 0 to 1 are allowed", p->jitter);
    check_codes(p, path, err);
}

void flow_check_policy(const Fermata__V1__Policy *p, const char *path, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    if (p == NULL)
        return;
    flow_path(field, "%s.retry", path);
    if (p->retry != NULL)
        check_retry(p->retry, field, err);
    check_ms(p->attempt_timeout_ms, path, "attempt_timeout_ms", err);
    check_ms(p->timeout_ms, path, "timeout_ms", err);
    flow_path(field, "%s.on_error", path);
    if (protobuf_c_enum_descriptor_get_value(&fermata__v1__error_policy__descriptor, (int)p->on_error) ==
        NULL)
        FLOW_FAULT(err, field, "error policy %d is unknown", (int)p->on_error);
    flow_path(field, "%s.on_lost", path);
    if (protobuf_c_enum_descriptor_get_value(&fermata__v1__lost_policy__descriptor, (int)p->on_lost) == NULL)
        FLOW_FAULT(err, field, "policy %d for lost tasks is unknown", (int)p->on_lost);
    flow_path(field, "%s.max_losses", path);
    if (p->maybe_max_losses_case == FERMATA__V1__POLICY__MAYBE_MAX_LOSSES_MAX_LOSSES &&
        p->max_losses > MAX_LOSSES)
        FLOW_FAULT(err, field, "max_losses is %u; 1 to %d are allowed, and 0 for no limit", p->max_losses,
                   MAX_LOSSES);
}

void flow_check_settings(const Fermata__V1__Flow *f, const char *path, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    flow_path(field, "%s.defaults", path);
    flow_check_policy(f->defaults, field, err);
    flow_path(field, "%s.parallelism", path);
    if (f->parallelism > MAX_PARALLELISM)
        FLOW_FAULT(err, field, "parallelism is %u; the limit is %d", f->parallelism, MAX_PARALLELISM);
    check_ms(f->deadline_ms, path, "deadline_ms", err);
    for (size_t i = 0; i < f->n_routines; i++) {
        int32_t priority = f->routines[i]->priority;
        flow_path(field, "%s.routines[%zu].priority", path, i);
        if (priority < -FM_MAX_PRIORITY || priority > FM_MAX_PRIORITY)
            FLOW_FAULT(err, field, "priority is %" PRId32 "; %d to %d are allowed", priority,
                       -FM_MAX_PRIORITY, FM_MAX_PRIORITY);
    }
}

/* ---- merging ---- */

static void check_merge(const Fermata__V1__SlotMerge *m, const char *path, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    flow_path(field, "%s.mode", path);
    if (protobuf_c_enum_descriptor_get_value(&fermata__v1__merge_mode__descriptor, (int)m->mode) == NULL) {
        FLOW_FAULT(err, field, "merge mode %d is unknown", (int)m->mode);
        return;
    }
    flow_path(field, "%s.n", path);
    if (m->mode != MERGE_MODE_N_OF_M) {
        if (m->n != 0)
            FLOW_FAULT(err, field, "n is %u, but only mode MERGE_MODE_N_OF_M has an n", m->n);
    } else if (m->n < 1 || m->n > MAX_MERGE_N) {
        FLOW_FAULT(err, field, "n is %u; 1 to %d are allowed", m->n, MAX_MERGE_N);
    }
}

void flow_check_merges(const Fermata__V1__Routine *r, const char *path,
                       bool (*is_target)(void *arg, const char *routine, const char *slot), void *arg,
                       struct fm_err *err)
{
    char field[FLOW_PATH_BYTES], entry[FLOW_PATH_BYTES];
    if (r->n_merge > MAX_MERGES) {
        flow_path(field, "%s.merge", path);
        FLOW_FAULT(err, field, "the routine has %zu merges; the limit is %d", r->n_merge, MAX_MERGES);
        return;
    }
    for (size_t i = 0; i < r->n_merge; i++) {
        const Fermata__V1__SlotMerge *m = r->merge[i];
        flow_path(entry, "%s.merge[%zu]", path, i);
        check_merge(m, entry, err);
        flow_path(field, "%s.slot", entry);
        size_t earlier = 0;
        while (earlier < i && strcmp(r->merge[earlier]->slot, m->slot) != 0)
            earlier++;
        if (earlier < i)
            FLOW_FAULT(err, field, "merge %zu is for slot \"%.64s\" too", earlier, m->slot);
        else if (m->mode == MERGE_MODE_ALL && m->slot[0] != '\0' && !is_target(arg, r->id, m->slot))
            FLOW_FAULT(err, field, "no connection leads to slot \"%.64s\": there is nothing to wait for",
                       m->slot);
    }
}

bool flow_routes_errors(const Fermata__V1__Flow *f, const Fermata__V1__Routine *r)
{
    int policy = ERROR_POLICY_UNSPECIFIED;
    if (r->policy != NULL)
        policy = (int)r->policy->on_error;
    if (policy == ERROR_POLICY_UNSPECIFIED && f->defaults != NULL)
        policy = (int)f->defaults->on_error;
    return policy == ERROR_POLICY_ROUTE;
}
