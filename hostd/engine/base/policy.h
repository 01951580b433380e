/* Policies of routines: what is tried again, when, and how long an attempt may take. Pure
 * functions. */
#ifndef FM_ENGINE_POLICY_H
#define FM_ENGINE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "kinds.h"

/* How failures of a routine are handled; what the flow's defaults say is in it. */
struct policy {
    uint32_t max_attempts; /* 0: nothing is said of it, until policy_settle */
    uint64_t initial_delay_ms, max_delay_ms;
    double factor, jitter;
    uint32_t retryable;                      /* a bit for each code */
    uint64_t attempt_timeout_ms, timeout_ms; /* 0: none */
    enum error_policy on_error;
    enum lost_policy on_lost;
};

/* What is known of a failed attempt. */
struct failure {
    int code;                /* of gRPC */
    bool permanent;          /* the next attempt would fail as well */
    uint64_t retry_after_ms; /* the next attempt comes no sooner */
};

/* True when that is only because its timeout_ms would be over before the next attempt: see policy_retry. */
bool policy_out_of_time(const struct policy *p, const struct failure *f, uint32_t attempts,
                        uint64_t spent_ms);
/* Whether a failed attempt is tried again, and when. `attempts` have failed, this one counted; they
 * and their delays took `spent_ms`. `random` is between 0 and 1. */
bool policy_retry(const struct policy *p, const struct failure *f, uint32_t attempts, uint64_t spent_ms,
                  double random, uint64_t *ret_delay_ms);
/* How long the next attempt may take; 0: as long as it likes. */
uint64_t policy_attempt_ms(const struct policy *p, uint64_t spent_ms);
/* Reads an encoded Policy over what `p` has already. Returns 0, or -FM_INVALID_ARGUMENT. */
int policy_read(struct policy *p, struct fm_bytes encoded, struct fm_arena *arena,
                struct fm_err *err) FM_MUST_CHECK;
/* The policy of a routine of which nothing is said. */
void policy_init(struct policy *p);
/* After the last policy_read: the attempts are those that the routine's policy says, else the
 * flow's defaults, else the type's own (0: it has none), else 1. */
void policy_settle(struct policy *p, uint32_t default_attempts);
/* Whether a job may go on without a task of the routine. */
bool policy_may_drop(const struct policy *p);
/* Whether each attempt is announced to the coordinator before it begins, so that its loss is
 * noticed. */
bool policy_announces(const struct policy *p);

#endif
