/* See faults.h. A row of the table is a kind of fault; a target has one fault at a time. */
#include "faults.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "chaos.h"
#include "daemons.h"
#include "id.h"
#include "mem.h"
#include "net.h"
#include "operators.h"

enum target { ANY_HOST, ANY_LINK, ANY_OPERATOR, THE_COORDINATOR, THE_COORDINATOR_LINK, THE_DISK, THE_CLOCK };

#define N_TARGETS (3 * N_HOSTS + 4)

struct fault_kind {
    const char *name;
    enum target target;
    unsigned weight;
    int64_t min_ms, max_ms;
    void (*begin)(int which);
    void (*end)(int which);
};

static void stop(int which)
{
    daemon_signal(which, SIGSTOP);
}

static void go_on(int which)
{
    daemon_signal(which, SIGCONT);
}

static void is_over(int which)
{
    (void)which; /* its supervisor has started another */
}

static void cordon(int which)
{
    operators_want(which, HOST_CORDONED);
}

static void drain(int which)
{
    operators_want(which, HOST_DRAINED);
}

static void uncordon(int which)
{
    operators_want(which, HOST_OPEN);
}

static void lose_from(int which)
{
    net_lose_from(which, 100);
}

static void lose_to(int which)
{
    net_lose_to(which, 100);
}

static void lossy(int which)
{
    net_lose_from(which, 15);
    net_lose_to(which, 15);
}

static void fill(int which)
{
    (void)which;
    disk_fill();
}

static void empty(int which)
{
    (void)which;
    disk_free();
}

static void step_back(int which)
{
    (void)which;
    clock_step(-7200);
}

static void step_ahead(int which)
{
    (void)which;
    clock_step(86400);
}

static void step_home(int which)
{
    (void)which;
    clock_step(0);
}

/* The lease is 2 s: some last longer, some not. */
static const struct fault_kind kinds[] = {
    {"kill -9 of a host",               ANY_HOST,             10, 0,   3000, daemon_kill,          daemon_start},
    {"kill -9 of a host's daemon",      ANY_HOST,             8,  0,   500,  daemon_kill_children, is_over     },
    {"a host is stopped",               ANY_HOST,             8,  200, 4500, stop,                 go_on       },
    {"a host leaves",                   ANY_HOST,             4,  500, 3000, daemon_terminate,     daemon_start},
    {"a host's link is down",           ANY_LINK,             8,  200, 6000, net_link_down,        net_heal    },
    {"a host is not heard",             ANY_LINK,             5,  200, 6000, lose_from,            net_heal    },
    {"a host does not hear",            ANY_LINK,             5,  200, 6000, lose_to,              net_heal    },
    {"a host's link loses packets",     ANY_LINK,             6,  500, 6000, lossy,                net_heal    },
    {"a host's link is slow",           ANY_LINK,             5,  500, 5000, net_slow,             net_heal    },
    {"a host is cordoned",              ANY_OPERATOR,         4,  300, 4000, cordon,               uncordon    },
    {"a host is drained",               ANY_OPERATOR,         5,  300, 5000, drain,                uncordon    },
    {"kill -9 of the coordinator",      THE_COORDINATOR,      10, 0,   800,  daemon_kill,          daemon_start},
    {"the coordinator is stopped",      THE_COORDINATOR,      3,  200, 3000, stop,                 go_on       },
    {"the coordinator is restarted",    THE_COORDINATOR,      3,  300, 1500, daemon_terminate,     daemon_start},
    {"the coordinator's link is down",  THE_COORDINATOR_LINK, 2,  200, 3000, net_link_down,        net_heal    },
    {"the coordinator's link is lossy", THE_COORDINATOR_LINK, 4,  500, 4000, lossy,                net_heal    },
    {"the disk is full",                THE_DISK,             4,  300, 2500, fill,                 empty       },
    {"host 0's clock is 2 h behind",    THE_CLOCK,            3,  200, 4000, step_back,            step_home   },
    {"host 0's clock is a day ahead",   THE_CLOCK,            3,  200, 4000, step_ahead,           step_home   },
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct planned {
    const struct fault_kind *kind;
    int which, target;
    int64_t from_ms, to_ms;
    bool begun, ended;
};

static struct {
    struct planned *list;
    size_t n;
    unsigned begun[N_KINDS];
} plan;

static bool possible(const struct fault_kind *k)
{
    bool drops = k->begin == lose_from || k->begin == lose_to || k->begin == lossy;
    return !(drops && !net_can_drop()) && !(k->target == THE_CLOCK && !daemons_can_step_clock());
}

static const struct fault_kind *draw(struct fm_rng *rng)
{
    unsigned sum = 0;
    for (size_t i = 0; i < N_KINDS; i++)
        sum += kinds[i].weight;
    uint64_t at = fm_rng_below(rng, sum);
    size_t i = 0;
    while (at >= kinds[i].weight)
        at -= kinds[i++].weight;
    return &kinds[i];
}

/* The number of a target, and what its functions get. */
static int target_of(const struct fault_kind *k, int host, int *ret_which)
{
    switch (k->target) {
    case ANY_HOST:
        *ret_which = host;
        return host;
    case ANY_LINK:
        *ret_which = host;
        return N_HOSTS + host;
    case ANY_OPERATOR:
        *ret_which = host;
        return 2 * N_HOSTS + host;
    case THE_COORDINATOR:
        *ret_which = COORDINATOR;
        return 3 * N_HOSTS;
    case THE_COORDINATOR_LINK:
        *ret_which = COORDINATOR_LINK;
        return 3 * N_HOSTS + 1;
    case THE_DISK:
        *ret_which = 0;
        return 3 * N_HOSTS + 2;
    case THE_CLOCK:
        break;
    }
    *ret_which = 0;
    return 3 * N_HOSTS + 3;
}

void faults_plan(uint64_t seed, int64_t duration_ms)
{
    struct fm_rng rng;
    int64_t busy_until[N_TARGETS] = {0};
    fm_rng_init(&rng, seed);
    for (int64_t at = 500; at < duration_ms; at += 100 + (int64_t)fm_rng_below(&rng, 900)) {
        struct planned p = {.kind = draw(&rng), .from_ms = at};
        int host = (int)fm_rng_below(&rng, N_HOSTS);
        p.to_ms = at + p.kind->min_ms +
                  (int64_t)fm_rng_below(&rng, (uint64_t)(p.kind->max_ms - p.kind->min_ms) + 1);
        p.target = target_of(p.kind, host, &p.which);
        if (busy_until[p.target] >= at || p.to_ms > duration_ms || !possible(p.kind))
            continue;
        busy_until[p.target] = p.to_ms + 100;
        plan.list = fm_xrealloc(plan.list, (plan.n + 1) * sizeof(*plan.list));
        plan.list[plan.n++] = p;
    }
}

static void end(struct planned *p)
{
    p->ended = true;
    p->kind->end(p->which);
    chaos_say("over: %s [%d]", p->kind->name, p->which);
}

void faults_turn(int64_t at_ms)
{
    for (size_t i = 0; i < plan.n; i++) {
        struct planned *p = &plan.list[i];
        if (p->begun && !p->ended && p->to_ms <= at_ms)
            end(p);
        if (!p->begun && p->from_ms <= at_ms) {
            p->begun = true;
            plan.begun[p->kind - kinds]++;
            chaos_say("%s [%d], for %lld ms", p->kind->name, p->which, (long long)(p->to_ms - p->from_ms));
            p->kind->begin(p->which);
        }
    }
}

void faults_heal(void)
{
    for (size_t i = 0; i < plan.n; i++)
        if (plan.list[i].begun && !plan.list[i].ended)
            end(&plan.list[i]);
    for (int d = 0; d < N_DAEMONS; d++)
        daemon_start(d);
}

void faults_report(void)
{
    for (size_t i = 0; i < N_KINDS; i++)
        chaos_say("%4u  %s%s", plan.begun[i], kinds[i].name,
                  possible(&kinds[i]) ? "" : " (not possible here)");
    free(plan.list);
}
