/* Limits of what would go on for ever. See job_limits.h. */
#include "job_limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "mem.h"

struct limits limits_of_flow(const Fermata__V1__Flow *flow)
{
    return (struct limits){
        .has_steps = flow->maybe_max_steps_case == FERMATA__V1__FLOW__MAYBE_MAX_STEPS_MAX_STEPS,
        .has_depth = flow->maybe_max_depth_case == FERMATA__V1__FLOW__MAYBE_MAX_DEPTH_MAX_DEPTH,
        .steps = flow->max_steps,
        .depth = flow->max_depth};
}

struct limits limits_of_job(const Fermata__V1__Job *h, const struct limits *flow, const struct limits *usual)
{
    struct limits l = *usual;
    const Fermata__V1__RaisedLimits *r = h->raised;
    if (flow->has_steps)
        l.steps = flow->steps;
    if (flow->has_depth)
        l.depth = flow->depth;
    if (r != NULL && r->maybe_max_steps_case == FERMATA__V1__RAISED_LIMITS__MAYBE_MAX_STEPS_MAX_STEPS)
        l.steps = r->max_steps;
    if (r != NULL && r->maybe_max_depth_case == FERMATA__V1__RAISED_LIMITS__MAYBE_MAX_DEPTH_MAX_DEPTH)
        l.depth = r->max_depth;
    return l;
}

bool limits_steps_met(const Fermata__V1__Job *h, const struct limits *l, uint32_t steps)
{
    return l->steps > 0 && h->steps_from > 0 && steps + 1 >= h->steps_from &&
           steps + 1 - h->steps_from >= l->steps;
}

bool limits_may_start(const Fermata__V1__Job *h, const struct limits *l)
{
    return l->depth == 0 || h->depth < l->depth;
}

bool pause_is_limit(const Fermata__V1__Pause *p)
{
    return p->reason == PAUSE_REASON_LIMIT && p->slot[0] == '\0';
}

static bool is_depth(const char *limit)
{
    return strncmp(limit, "depth", 5) == 0;
}

void limits_question(const Fermata__V1__Job *h, const struct limits *l, uint32_t steps, char *text,
                     size_t size)
{
    static const char how[] =
        "ResumeJob lets it go on: without an answer by as much again, with a number as the "
        "answer up to that (0: no limit)";
    if (is_depth(h->limit_met))
        (void)snprintf(
            text, size,
            "The job has depth %u and starts jobs; the limit is %u (max_depth of the flow, --max-depth of "
            "the coordinator). %s.",
            h->depth, l->depth, how);
    else
        (void)snprintf(
            text, size,
            "The job has made %u steps since its last input; the limit is %u (max_steps of the flow, "
            "--max-steps of the coordinator). %s.",
            steps + 1 - h->steps_from, l->steps, how);
}

int limits_check_answer(const Google__Protobuf__Value *answer, struct fm_err *err)
{
    if (answer == NULL || answer->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE)
        return 0;
    double n = answer->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE ? answer->number_value : -1;
    if (n >= 0 && n <= UINT32_MAX && floor(n) == n)
        return 0;
    return fm_err_set(
        err, FM_INVALID_ARGUMENT, "answer",
        "the answer is the new limit: a whole number from 0 (no limit) to %u, or none, for as much "
        "again",
        UINT32_MAX);
}

static uint32_t sum(uint32_t a, uint32_t b)
{
    return b > UINT32_MAX - a ? UINT32_MAX : a + b;
}

void limits_raise(Fermata__V1__Job *h, const Fermata__V1__Pause *p, const struct limits *l, uint32_t steps,
                  const Google__Protobuf__Value *answer)
{
    bool given = answer != NULL && answer->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    bool deep = strncmp(p->pause_id, "limit-depth", 11) == 0; /* move.c */
    uint32_t n = given ? (uint32_t)answer->number_value : 0;
    if (!given && !deep) { /* as many steps again */
        h->steps_from = steps + 1;
        return;
    }
    if (h->raised == NULL) {
        h->raised = fm_xmalloc(sizeof(*h->raised));
        fermata__v1__raised_limits__init(h->raised);
    }
    if (deep) {
        h->raised->maybe_max_depth_case = FERMATA__V1__RAISED_LIMITS__MAYBE_MAX_DEPTH_MAX_DEPTH;
        h->raised->max_depth = given ? n : sum(h->depth, l->depth);
    } else {
        h->raised->maybe_max_steps_case = FERMATA__V1__RAISED_LIMITS__MAYBE_MAX_STEPS_MAX_STEPS;
        h->raised->max_steps = n;
        h->steps_from = steps + 1;
    }
}
