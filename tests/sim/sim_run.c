/* Deterministic simulation: the real coordinator core and real host engines in one process, with simulated
 * clock, network, store and clients. All that happens follows from one seed. sim.h says what is where.
 *
 *   sim_run [--seed S] [--runs N] [--seconds T] [--trace]
 *
 * Runs seeds S, S+1, … until N are done or T seconds have passed. In each, clients submit jobs (repeating
 * themselves when no reply comes), answer their questions (or let them close by themselves), raise budgets,
 * send inputs, pause, cancel, fork, let FAILED jobs go on; breakpoints hold tasks, hosts are drained;
 * messages are late, streams break, hosts and the coordinator crash, some by what they run, deaths are
 * certified, and the store is
 * slow, or full, or fails, sometimes after it has applied what it reports as failed. Then the faults stop,
 * all jobs must end, and the oracle looks at what is left. Exits with 1 and the seed at the first fault. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <utlist.h>

#include "job.h"
#include "log.h"
#include "mem.h"
#include "registry.h"
#include "sim_clients.h"
#include "sim_coord.h"
#include "sim_faults.h"
#include "sim_hosts.h"
#include "sim_inbox.h"
#include "sim_oracle.h"
#include "sim_types.h"
#include "store_int.h"

#define REST_MS (5 * LEASE_MS) /* it all goes on for so long with nothing to do */

static void plan(struct sim_plan *p)
{
    static const int on_lost[] = {FERMATA__V1__LOST_POLICY__LOST_POLICY_ASK,
                                  FERMATA__V1__LOST_POLICY__LOST_POLICY_FAIL,
                                  FERMATA__V1__LOST_POLICY__LOST_POLICY_RETRY};
    p->parallel = chance(40);
    p->kids = chance(25);
    p->on_lost = on_lost[rnd(3)];
    p->on_error = chance(60) ? FERMATA__V1__ERROR_POLICY__ERROR_POLICY_ROUTE
                             : FERMATA__V1__ERROR_POLICY__ERROR_POLICY_STOP;
    p->attempt_timeout = chance(30);
    p->deadline_ms = p->kids || chance(75) ? 0 : 1200 + rnd(4000);
    p->budget = chance(25);
    p->answer_ms = chance(35) ? 200 + (uint32_t)rnd(3000) : 0;
    p->silent = p->answer_ms > 0 && chance(70);
    p->kills = !w.calm && chance(15) ? 1 + (uint32_t)rnd(3) : 0;
}

static void begin(uint64_t seed)
{
    struct registry *registry = w.registry;
    bool tracing = w.trace;
    memset(&w, 0, sizeof(w));
    w.registry = registry;
    w.trace = tracing;
    w.seed = seed;
    fm_rng_init(&w.rng, seed);
    w.store = sim_store_new();
    w.fault_kinds =
        chance(40) ? UINT64_MAX : fm_rng_next(&w.rng); /* some runs have only some kinds of faults */
    w.calm = chance(5);
    w.operators = chance(50);
    w.n_hosts = 1 + rnd(MAX_HOSTS);
    w.n_jobs = 1 + rnd(MAX_JOBS / 2);
    start_core();
    for (size_t i = 0; i < w.n_hosts; i++) {
        snprintf(w.hosts[i].id, sizeof(w.hosts[i].id), "h%zu", i);
        start_host(i);
    }
    for (size_t j = 0; j < w.n_jobs; j++) {
        struct sim_job *job = &w.jobs[j];
        plan(&job->plan);
        snprintf(job->token, sizeof(job->token), "t%zu.%llu", j, (unsigned long long)rnd(1000));
        job->n_inputs = rnd(MAX_INPUTS + 1);
        for (size_t i = 0; i < job->n_inputs; i++) {
            snprintf(job->inputs[i].token, sizeof(job->inputs[i].token), "i%zu.%zu.%llu", j, i,
                     (unsigned long long)rnd(1000));
            snprintf(job->inputs[i].request, sizeof(job->inputs[i].request), "q%zu.%zu", j, i);
        }
        after((int64_t)rnd(300), EV_CLIENT)->id = j;
    }
    after(100, EV_FAULT);
    after(100, EV_OPERATOR);
    after(100, EV_WATCH);
    if (w.operators)
        after(500, EV_INBOX);
}

static bool all_final(void)
{
    for (size_t j = 0; j < w.n_jobs; j++)
        if (!w.jobs[j].submitted || !w.jobs[j].final)
            return false;
    return true;
}

/* The watch must have seen all steps and ended with its job. One that ended because the job was FAILED for a
 * while is taken up again. */
static void examine_watch(void)
{
    if (w.watch_ended && w.watch_last < w.jobs[0].steps && plan_may_fail(&w.jobs[0].plan)) {
        w.watch_ended = false;
        after(1, EV_WATCH);
    }
    int64_t until = w.now + 20000;
    while (!w.watch_ended && w.now < until && w.verdict == NULL)
        turn();
    if (!w.watch_ended)
        wrong("the watch did not end with its job");
    else if (w.watch_last != w.jobs[0].steps)
        wrong("the watch ended after step %u of %u", w.watch_last, w.jobs[0].steps);
}

/* Asks for the last word on each job. */
static void examine(void)
{
    w.resting = true;
    for (size_t j = 0; j < w.n_jobs && w.verdict == NULL; j++) {
        int64_t until = w.now + 20000;
        while (w.core == NULL || !w.core_ready)
            turn();
        get_job(j, OP_FINAL_GET);
        while (!w.jobs[j].got_final && w.now < until && w.verdict == NULL)
            turn();
        if (w.verdict == NULL)
            get_history(j);
        while (!w.jobs[j].got_history && w.now < until && w.verdict == NULL)
            turn();
        if (!w.jobs[j].got_history)
            wrong("job %zu: GetJob or GetHistory does not answer", j);
    }
    int64_t until = w.now + 60000;
    while (!check_kids() && w.now < until && w.verdict == NULL)
        turn();
    if (!check_kids())
        wrong("a child of a job that has ended has not");
    examine_watch();
    until = w.now + REST_MS;
    while (w.now < until && w.verdict == NULL)
        turn();
    for (size_t i = 0; i < w.n_hosts && w.verdict == NULL; i++)
        if (w.hosts[i].engine != NULL && w.hosts[i].conn != NULL && engine_job_count(w.hosts[i].engine) > 0) {
            int64_t end = w.now + 3 * LEASE_MS;
            while (engine_job_count(w.hosts[i].engine) > 0 && w.now < end)
                turn();
            if (engine_job_count(w.hosts[i].engine) > 0)
                wrong("host %s still holds a job that has ended", w.hosts[i].id);
        }
}

static void finish(void)
{
    struct op *op, *otmp;
    for (size_t i = 0; i < w.n_hosts; i++) {
        struct engine *e = w.hosts[i].engine;
        w.hosts[i].engine = NULL;
        if (e != NULL)
            engine_free(e);
    }
    if (w.core != NULL)
        core_free(w.core);
    struct event *e, *tmp;
    DL_FOREACH_SAFE (w.events, e, tmp)
        event_free(e);
    struct store_unit *u, *utmp;
    DL_FOREACH_SAFE (w.pending, u, utmp)
        store_unit_free(u);
    HASH_ITER (hh, w.ops, op, otmp) {
        HASH_DEL(w.ops, op);
        free(op);
    }
    struct conn *k, *ktmp;
    HASH_ITER (hh, w.conns, k, ktmp) {
        HASH_DEL(w.conns, k);
        free(k);
    }
    struct starts *s, *stmp;
    HASH_ITER (hh, w.starts, s, stmp) {
        HASH_DEL(w.starts, s);
        free(s);
    }
    struct kills *kill, *kill_tmp;
    HASH_ITER (hh, w.kills, kill, kill_tmp) {
        HASH_DEL(w.kills, kill);
        free(kill);
    }
    inbox_forget();
    sim_store_free(w.store);
}

static bool run(uint64_t seed)
{
    begin(seed);
    while (w.verdict == NULL && w.now < LIMIT_MS && !(w.healing && all_final())) {
        if (!w.healing && w.now >= FAULTS_MS)
            heal();
        turn();
    }
    if (w.verdict == NULL && !all_final())
        for (size_t j = 0; j < w.n_jobs; j++)
            if (!w.jobs[j].final)
                wrong("job %zu (%s) is stuck: %s", j, w.jobs[j].id,
                      w.jobs[j].submitted ? job_status_name(w.jobs[j].status) : "not submitted");
    if (w.verdict == NULL)
        examine();
    bool ok = w.verdict == NULL;
    if (!ok)
        printf("seed %llu: %s\n", (unsigned long long)seed, w.verdict);
    finish();
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, runs = 1;
    double seconds = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            w.trace = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--runs") == 0) {
            runs = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
            seconds = strtod(argv[++i], NULL);
        } else {
            fprintf(stderr, "usage: sim_run [--seed S] [--runs N] [--seconds T] [--trace]\n");
            return 2;
        }
    }
    struct fm_err err = {0};
    w.registry = registry_new();
    sim_on_effect = check_effect;
    sim_on_once = check_once;
    sim_on_kill = plan_kill;
    if (fm_log_set_levels(w.trace ? "debug" : "off", &err) < 0 || sim_add_types(w.registry, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 2;
    }
    time_t start = time(NULL);
    uint64_t n = 0;
    for (; n < runs && (seconds <= 0 || difftime(time(NULL), start) < seconds); n++)
        if (!run(seed + n))
            return 1;
    printf("%llu seeds from %llu: no fault\n", (unsigned long long)n, (unsigned long long)seed);
    registry_free(w.registry);
    return 0;
}
