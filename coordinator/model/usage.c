/* What model calls used. See usage.h. */
#include "usage.h"

#include <math.h>
#include <stdint.h>

#include "agreed.h"

static int check_count(const char *field, uint64_t n, uint64_t limit, struct fm_err *err)
{
    if (n <= limit)
        return 0;
    return fm_err_set(err, FM_INVALID_ARGUMENT, field, "a step used %llu; at most %llu are allowed",
                      (unsigned long long)n, (unsigned long long)limit);
}

int usage_check(const Fermata__V1__Usage *u, struct fm_err *err)
{
    int rc = check_count("step.usage.input_tokens", u->input_tokens, FM_MAX_STEP_TOKENS, err);
    if (rc == 0)
        rc = check_count("step.usage.output_tokens", u->output_tokens, FM_MAX_STEP_TOKENS, err);
    if (rc == 0)
        rc = check_count("step.usage.cached_tokens", u->cached_tokens, FM_MAX_STEP_TOKENS, err);
    if (rc == 0)
        rc = check_count("step.usage.calls", u->calls, FM_MAX_STEP_CALLS, err);
    if (rc < 0)
        return rc;
    if (!(u->cost >= 0 && u->cost <= FM_MAX_STEP_COST)) /* nor is NaN */
        return fm_err_set(err, FM_INVALID_ARGUMENT, "step.usage.cost", "a step cost %g; 0 to %g are allowed",
                          u->cost, FM_MAX_STEP_COST);
    return 0;
}

static uint64_t add_tokens(uint64_t sum, uint64_t n)
{
    if (sum >= FM_MAX_SUM_TOKENS || n >= FM_MAX_SUM_TOKENS - sum)
        return FM_MAX_SUM_TOKENS;
    return sum + n;
}

static double bounded(double cost)
{
    if (isnan(cost) || cost < 0)
        return 0;
    return cost < FM_MAX_SUM_COST ? cost : FM_MAX_SUM_COST;
}

void usage_add(Fermata__V1__Usage *sum, const Fermata__V1__Usage *u)
{
    sum->input_tokens = add_tokens(sum->input_tokens, u->input_tokens);
    sum->output_tokens = add_tokens(sum->output_tokens, u->output_tokens);
    sum->cached_tokens = add_tokens(sum->cached_tokens, u->cached_tokens);
    sum->cost = round(bounded(bounded(sum->cost) + bounded(u->cost)) * 1e9) / 1e9; /* money does not drift */
    sum->calls = u->calls < UINT32_MAX - sum->calls ? sum->calls + u->calls : UINT32_MAX;
}

void usage_mend(Fermata__V1__Usage *sum)
{
    sum->input_tokens = add_tokens(0, sum->input_tokens);
    sum->output_tokens = add_tokens(0, sum->output_tokens);
    sum->cached_tokens = add_tokens(0, sum->cached_tokens);
    sum->cost = bounded(sum->cost);
}

bool usage_is_full(const Fermata__V1__Usage *sum)
{
    return sum->input_tokens >= FM_MAX_SUM_TOKENS || sum->output_tokens >= FM_MAX_SUM_TOKENS ||
           sum->cached_tokens >= FM_MAX_SUM_TOKENS || sum->cost >= FM_MAX_SUM_COST ||
           sum->calls == UINT32_MAX;
}
