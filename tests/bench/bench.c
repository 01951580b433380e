/* Measures Fermata as a user would load it: real daemons, real gRPC, SQLite with fsync, everything on one
 * machine; with what the machine gives without Fermata from the same run. Asserts nothing of times.
 *   bench [--tiny|--quick|--full] [--out DIR] [--only WORKLOAD]
 * Workloads: W1 pause and resume, W2 chains, W3 a long conversation, W4 many paused jobs, W5 fan-out, W6 many
 * model calls in flight, W7 start to first job, W8 codec, and the demo. */
#define _GNU_SOURCE
#include "bench.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "log.h"
#include "mem.h"
#include "rpc.h"

static const struct bench_sizes scales[] = {
    {.name = "tiny",
     .w1_jobs = 5,
     .w1_many = 64,
     .w2_jobs = 3,
     .w2_many = 64,
     .w3_turns = 10,
     .w4_real = 50,
     .w4_points = {0, 50, 500, 1000},
     .w5_tasks = 100,
     .w6_calls = 20,
     .w6_seconds = 1,
     .w7_rounds = 1,
     .w8_rounds = 100,
     .demo_jobs = 2,
     .raw_calls = 100,
     .raw_rows = 2000  },
    {.name = "quick",
     .w1_jobs = 300,
     .w1_many = 6000,
     .w2_jobs = 100,
     .w2_many = 1500,
     .w3_turns = 200,
     .w4_real = 5000,
     .w4_points = {0, 10000, 100000, 0},
     .w5_tasks = 10000,
     .w6_calls = 2000,
     .w6_seconds = 3,
     .w7_rounds = 5,
     .w8_rounds = 20000,
     .demo_jobs = 10,
     .raw_calls = 2000,
     .raw_rows = 50000 },
    {.name = "full",
     .w1_jobs = 1000,
     .w1_many = 20000,
     .w2_jobs = 300,
     .w2_many = 5000,
     .w3_turns = 200,
     .w4_real = 10000,
     .w4_points = {0, 10000, 100000, 1000000},
     .w5_tasks = 10000,
     .w6_calls = 10000,
     .w6_seconds = 8,
     .w7_rounds = 10,
     .w8_rounds = 50000,
     .demo_jobs = 20,
     .raw_calls = 5000,
     .raw_rows = 150000},
};
#define N_SCALES (sizeof(scales) / sizeof(scales[0]))

static const struct bench_sizes *sizes = &scales[N_SCALES - 1];
static struct bench_base base;
static double began;

static void say(const char *what)
{
    fprintf(stderr, "%6.1f s  %s\n", bench_now() - began, what);
}

static double ms(int64_t us)
{
    return (double)us / 1000;
}

/* ---- clusters ---- */

static void start(struct cluster *c, int hosts)
{
    static const char *const ids[] = {"a", "b"};
    const char *more[] = {"--capacity", "20000", NULL};
    cluster_init(c);
    c->alone = c->probes = true;
    cluster_lease(c, 30);
    c->heartbeat = "2s";
    cluster_coordinator(c, NULL);
    for (int i = 0; i < hosts; i++)
        cluster_host(c, i, ids[i], more);
}

static void put_flow(struct cluster *c, const char *json)
{
    json_decref(rpc(c->address, "Flows/PutFlow", "{'flow':%s}", json));
}

/* Processor time of all daemons of the cluster. */
static double cluster_cpu(const struct cluster *c, double *ret_coordinator)
{
    *ret_coordinator = bench_cpu(c->coordinator.pid);
    double sum = *ret_coordinator;
    for (int i = 0; i < MAX_HOSTS; i++)
        if (c->hosts[i].pid != 0)
            sum += bench_cpu(c->hosts[i].pid);
    return sum;
}

/* ---- W1 ---- */

#define ASK_FLOW "{'name':'ask','routines':[{'id':'h','type':'human'}]}"

static struct bench_load ask(size_t jobs, size_t concurrency)
{
    return (struct bench_load){.flow = "ask",
                               .routine = "h",
                               .slot = "input",
                               .answer = "yes",
                               .jobs = jobs,
                               .concurrency = concurrency};
}

static void w1(void)
{
    struct cluster c;
    say("W1: pause and resume on another host");
    start(&c, 2);
    put_flow(&c, ASK_FLOW);
    struct bench_load warm = ask(sizes->w1_jobs / 10 + 1, 1), one = ask(sizes->w1_jobs, 1),
                      many = ask(sizes->w1_many, 64);
    bench_run(&c, &warm);
    bench_run(&c, &one);
    int64_t p50 = bench_quantile(one.paused_us, one.jobs, 0.5);
    bench_against(bench_result("W1", "ms", ms(p50), 0.8, "submit to paused, c=1, p50"), (double)p50,
                  &base.call_us, "raw calls");
    bench_result("W1", "ms", ms(bench_quantile(one.paused_us, one.jobs, 0.99)), 2,
                 "submit to paused, c=1, p99");
    p50 = bench_quantile(one.completed_us, one.jobs, 0.5);
    bench_against(bench_result("W1", "ms", ms(p50), 0.8, "answer to completed on another host, c=1, p50"),
                  (double)p50, &base.call_us, "raw calls");
    bench_result("W1", "ms", ms(bench_quantile(one.completed_us, one.jobs, 0.99)), 2,
                 "answer to completed on another host, c=1, p99");
    double coordinator, after, from = cluster_cpu(&c, &coordinator), before = coordinator;
    bench_run(&c, &many);
    double cpu = cluster_cpu(&c, &after) - from, rate = (double)many.jobs / many.seconds;
    bench_against(bench_result("W1", "jobs/s", rate, 10000, "c=64"), 1e6 / rate, &base.call_64_us,
                  "raw calls a job");
    bench_result("W1", "us", (after - before) / (double)many.jobs * 1e6, 0,
                 "c=64, coordinator's processor time a job");
    bench_result("W1", "us", (cpu - (after - before)) / (double)many.jobs * 1e6, 0,
                 "c=64, hosts' processor time a job");
    bench_load_done(&warm);
    bench_load_done(&one);
    bench_load_done(&many);
    cluster_done(&c);
}

/* ---- W2 ---- */

#define CHAIN 10

static void put_chain(struct cluster *c, const char *name, const char *type)
{
    char flow[8192];
    size_t n = (size_t)snprintf(flow, sizeof(flow), "{'name':'%s','routines':[", name);
    for (int i = 0; i < CHAIN; i++)
        n += (size_t)snprintf(flow + n, sizeof(flow) - n,
                              "%s{'id':'r%d','type':'%s','config':{'do':{'in':[%s]}}}", i > 0 ? "," : "", i,
                              type, i + 1 < CHAIN ? "{'emit':'out'}" : "");
    n += (size_t)snprintf(flow + n, sizeof(flow) - n, "],'connections':[");
    for (int i = 0; i + 1 < CHAIN; i++)
        n += (size_t)snprintf(flow + n, sizeof(flow) - n,
                              "%s{'from':{'routine':'r%d','event':'out'},'to':{'routine':'r%d','slot':'in'}}",
                              i > 0 ? "," : "", i, i + 1);
    snprintf(flow + n, sizeof(flow) - n, "]}");
    put_flow(c, flow);
}

/* own_commits: a step is durable before the next one starts; others share commits. */
static void chain(struct cluster *c, const char *name, bool own_commits, double goal_ms, double goal_rate)
{
    struct bench_load one = {
        .flow = name, .routine = "r0", .slot = "in", .jobs = sizes->w2_jobs, .concurrency = 1};
    struct bench_load many = one;
    many.jobs = sizes->w2_many;
    many.concurrency = 64;
    bench_run(c, &one);
    double each = ms(bench_quantile(one.completed_us, one.jobs, 0.5)) / CHAIN;
    struct bench_result *r =
        bench_result("W2", "ms", each, goal_ms, "%s steps, c=1, a step: p50 of a job by ten", name);
    bench_against(r, each * 1000, &base.sqlite_commit_us,
                  own_commits ? "raw SQLite commits" : "raw SQLite commits (shared)");
    r->at_least_one = own_commits;
    double coordinator, after, from = cluster_cpu(c, &coordinator);
    bench_run(c, &many);
    double cpu = cluster_cpu(c, &after) - from, rate = (double)many.steps / many.seconds;
    bench_result("W2", "steps/s", rate, goal_rate, "%s steps, c=64", name);
    bench_value_against(bench_result("W2", "%", 0, 50, "%s steps, c=64, of raw SQLite's 256 a commit", name),
                        100 * rate, &base.sqlite_steps_s);
    bench_result("W2", "us", (after - coordinator) / (double)many.steps * 1e6, 0,
                 "%s steps, coordinator's processor time a step", name);
    bench_result("W2", "us", (cpu - (after - coordinator)) / (double)many.steps * 1e6, 0,
                 "%s steps, hosts' processor time a step", name);
    bench_load_done(&one);
    bench_load_done(&many);
}

static void w2(void)
{
    struct cluster c;
    say("W2: chains of ten steps");
    start(&c, 2);
    put_chain(&c, "effectful", "probe_fx");
    put_chain(&c, "pure", "probe");
    chain(&c, "effectful", true, 0.45, 60000);
    chain(&c, "pure", false, 0.08, 80000);
    cluster_done(&c);
}

/* ---- W3 ---- */

static void w3(void)
{
    struct cluster c;
    say("W3: a conversation that grows by 2 KB a turn");
    start(&c, 2);
    struct fm_buf flow = {0};
    static const char before[] = "{'name':'talk','routines':[{'id':'a','type':'llm_agent',"
                                 "'config':{'provider':'mock','limits':{'max_turns':0},'script':[";
    fm_buf_append(&flow, before, sizeof(before) - 1);
    for (size_t i = 0; i < sizes->w3_turns; i++)
        fm_buf_append(&flow, "{'ask':'?'},", 12);
    static const char end[] = "{'say':'bye'}]}}]}";
    fm_buf_append(&flow, end, sizeof(end));
    put_flow(&c, (const char *)flow.p);
    fm_buf_done(&flow);
    char answer[2001];
    memset(answer, 'x', sizeof(answer) - 1);
    answer[sizeof(answer) - 1] = '\0';
    struct bench_load l = {
        .flow = "talk", .routine = "a", .slot = "trigger", .answer = answer, .jobs = 1, .concurrency = 1};
    double written = bench_written(c.coordinator.pid);
    bench_run(&c, &l);
    written = bench_written(c.coordinator.pid) - written;
    bench_result("W3", "ms", l.seconds * 1000 / (double)sizes->w3_turns, 0, "a turn, %zu turns",
                 sizes->w3_turns);
    bench_result("W3", "KB", written / 1024 / (double)sizes->w3_turns, 0,
                 "written to the disk a turn, log, pages and snapshots");
    for (int i = 0; i < MAX_HOSTS; i++)
        proc_stop(&c.hosts[i]);
    proc_stop(&c.coordinator);
    double first = bench_store_turn(c.data, l.last_job, 2),
           last = bench_store_turn(c.data, l.last_job, (uint32_t)sizes->w3_turns);
    bench_result("W3", "bytes", last, 1.1 * first,
                 "stored by the last turn; 1.1 times the first one's is allowed");
    bench_load_done(&l);
    cluster_done(&c);
}

/* ---- W4 ---- */

/* With an empty store. */
static double empty_w1_ms, empty_host_mb;

/* With so many jobs in the store: starts the daemons, looks at them, loads them. bytes: on disk, a job. */
static void w4_point(struct cluster *c, size_t jobs, double bytes)
{
    const char *more[] = {"--capacity", "20000", NULL};
    double from = bench_now();
    cluster_coordinator(c, NULL);
    double start_ms = (bench_now() - from) * 1000;
    cluster_host(c, 0, "a", more);
    cluster_host(c, 1, "b", more);
    struct bench_load warm = ask(sizes->w1_jobs / 10 + 1, 1), l = ask(sizes->w1_jobs, 1);
    bench_run(c, &warm);
    bench_run(c, &l);
    double w1_ms = ms(bench_quantile(l.completed_us, l.jobs, 0.5)),
           mb = (double)bench_status(c->coordinator.pid, "VmRSS") / 1024,
           host_mb = (double)bench_status(c->hosts[0].pid, "VmRSS") / 1024;
    bool large = jobs >= 1000000;
    if (jobs == 0) {
        empty_w1_ms = w1_ms;
        empty_host_mb = host_mb;
    }
    bench_result("W4", "MB", mb, large ? 75 : 0, "%zu paused jobs: coordinator, resident", jobs);
    bench_result("W4", "MB", host_mb, jobs > 0 ? empty_host_mb * 1.05 : 0, "%zu paused jobs: hostd, resident",
                 jobs);
    bench_result("W4", "ms", start_ms, 1000, "%zu paused jobs: start of the coordinator", jobs);
    struct bench_result *r = bench_result("W4", "ms", w1_ms, jobs > 0 ? empty_w1_ms * 1.1 : 0,
                                          "%zu paused jobs: answer to completed, c=1, p50", jobs);
    if (jobs > 0)
        bench_ratio(r, w1_ms / empty_w1_ms, "times the empty store's");
    bench_point((double)jobs, mb, host_mb, start_ms, w1_ms, bytes);
    bench_load_done(&warm);
    bench_load_done(&l);
}

static void stop(struct cluster *c)
{
    for (int i = 0; i < MAX_HOSTS; i++)
        proc_stop(&c->hosts[i]);
    proc_stop(&c->coordinator);
}

/* Paused jobs made by clients and daemons: what is on the disk is what they leave there, with pages split.
 * Returns bytes a job. */
static double w4_real(struct cluster *c, char *ret_like)
{
    stop(c);
    double before = bench_store_bytes(c->data);
    cluster_coordinator(c, NULL);
    const char *more[] = {"--capacity", "20000", NULL};
    cluster_host(c, 0, "a", more);
    cluster_host(c, 1, "b", more);
    struct bench_load l = ask(sizes->w4_real, 64);
    l.answer = NULL;
    bench_run(c, &l);
    stop(c);
    double bytes = (bench_store_bytes(c->data) - before) / (double)sizes->w4_real;
    bench_result("W4", "bytes", bytes, sizes->w4_real >= 1000 ? 600 : 0,
                 "on disk a paused job, %zu jobs made by the daemons", sizes->w4_real);
    snprintf(ret_like, 32, "%s", l.last_job);
    bench_load_done(&l);
    return bytes;
}

static void w4(void)
{
    struct cluster c;
    char like[32];
    say("W4: paused jobs");
    start(&c, 2);
    put_flow(&c, ASK_FLOW);
    stop(&c);
    w4_point(&c, 0, 0);
    double bytes = w4_real(&c, like);
    size_t have = sizes->w4_real;
    for (size_t i = 1; i < 4 && sizes->w4_points[i] > 0; i++) {
        size_t want = sizes->w4_points[i];
        double before = bench_store_bytes(c.data), from = bench_now();
        bench_store_fill(c.data, like, want - have);
        if (want > have) {
            bench_result("W4", "jobs/s", (double)(want - have) / (bench_now() - from), 0,
                         "paused jobs written through the store's code");
            bytes = (bench_store_bytes(c.data) - before) / (double)(want - have);
            bench_result("W4", "bytes", bytes, 0, "%zu paused jobs: on disk a job so written", want);
        }
        have = want;
        w4_point(&c, have, bytes);
        stop(&c);
        say("W4: next");
    }
    cluster_done(&c);
}

/* ---- W5 to W8, the demo ---- */

static void w5(void)
{
    struct cluster c;
    say("W5: fan-out");
    start(&c, 1);
    put_flow(&c, "{'name':'fan','routines':[{'id':'s','type':'split'},"
                 "{'id':'p','type':'probe','config':{'do':{'in':[]}}}],"
                 "'connections':[{'from':{'routine':'s','event':'item'},"
                 "'to':{'routine':'p','slot':'in'}}]}");
    struct bench_load l = {.flow = "fan",
                           .routine = "s",
                           .slot = "input",
                           .items = sizes->w5_tasks,
                           .jobs = 1,
                           .concurrency = 1};
    bench_run(&c, &l);
    bench_ratio(bench_result("W5", "s", l.seconds, 0, "fan-out of %zu tasks", sizes->w5_tasks),
                (double)l.steps / l.seconds, "steps/s");
    bench_result("W5", "MB", (double)bench_status(c.hosts[0].pid, "VmHWM") / 1024, 0,
                 "hostd, at most resident");
    bench_result("W5", "MB", (double)bench_status(c.coordinator.pid, "VmHWM") / 1024, 0,
                 "coordinator, at most resident");
    bench_load_done(&l);
    cluster_done(&c);
}

static void w6(void)
{
    struct cluster c;
    char flow[256];
    say("W6: model calls in flight");
    start(&c, 1);
    snprintf(flow, sizeof(flow),
             "{'name':'slow','routines':[{'id':'a','type':'llm_agent',"
             "'config':{'provider':'mock','ask':false,'delay_ms':%u}}]}",
             sizes->w6_seconds * 1000);
    put_flow(&c, flow);
    struct bench_load warm = {.flow = "slow", .routine = "a", .slot = "trigger", .jobs = 2, .concurrency = 2};
    bench_run(&c, &warm);
    pid_t host = c.hosts[0].pid;
    double rss = (double)bench_status(host, "VmRSS"), cpu = bench_cpu(host);
    long threads = bench_status(host, "Threads");
    struct bench_load l = warm;
    l.jobs = l.concurrency = sizes->w6_calls;
    bench_run(&c, &l);
    double in_flight = (double)sizes->w6_calls;
    bench_result("W6", "KB", ((double)bench_status(host, "VmHWM") - rss) / in_flight,
                 sizes->w6_calls >= 1000 ? 16 : 0, "memory a call in flight, %zu calls of %u s",
                 sizes->w6_calls, sizes->w6_seconds);
    bench_result("W6", "threads", (double)(bench_status(host, "Threads") - threads) / in_flight,
                 sizes->w6_calls >= 1000 ? 0.01 : 0, "more threads, a call in flight");
    bench_result("W6", "us", (bench_cpu(host) - cpu) / in_flight * 1e6, 0, "hostd's processor time a call");
    bench_result("W6", "s", l.seconds, 0, "all calls, submit to completed");
    bench_load_done(&warm);
    bench_load_done(&l);
    cluster_done(&c);
}

static void w7(void)
{
    say("W7: start to first job");
    int64_t *times = fm_xcalloc(sizes->w7_rounds, sizeof(*times));
    for (size_t i = 0; i < sizes->w7_rounds; i++) {
        struct cluster c;
        start(&c, 1);
        put_flow(&c, "{'name':'log','routines':[{'id':'l','type':'log'}]}");
        stop(&c);
        double from = bench_now();
        cluster_coordinator(&c, NULL);
        cluster_host(&c, 0, "a", NULL);
        struct bench_load l = {.flow = "log", .routine = "l", .slot = "input", .jobs = 1, .concurrency = 1};
        bench_run(&c, &l);
        times[i] = (int64_t)((bench_now() - from) * 1e6);
        bench_load_done(&l);
        cluster_done(&c);
    }
    bench_result("W7", "ms", ms(bench_quantile(times, sizes->w7_rounds, 0.5)), 100,
                 "start of coordinator and host to the first job done, p50");
    free(times);
}

static struct bench_load trip(size_t jobs)
{
    return (struct bench_load){.flow = "trip",
                               .routine = "agent",
                               .slot = "trigger",
                               .answer = "Kyoto",
                               .jobs = jobs,
                               .concurrency = 1};
}

static void demo(void)
{
    struct cluster c;
    say("the demo");
    start(&c, 2);
    put_trip(&c, "'delay_ms':50");
    struct bench_load l = trip(sizes->demo_jobs);
    bench_run(&c, &l);
    for (size_t i = 0; i < l.jobs; i++)
        l.paused_us[i] += l.completed_us[i];
    bench_result("demo", "ms", ms(bench_quantile(l.paused_us, l.jobs, 0.5)), 103,
                 "2 x 50 ms of model time, on two hosts, p50");
    bench_load_done(&l);
    cluster_done(&c);
}

static void w8(void)
{
    struct cluster c;
    double bytes, encode, decode;
    say("W8: encode and decode of the demo's state");
    start(&c, 2);
    put_trip(&c, "");
    struct bench_load l = trip(1);
    bench_run(&c, &l);
    stop(&c);
    bench_store_codec(c.data, l.last_job, sizes->w8_rounds, &bytes, &encode, &decode);
    bench_result("W8", "bytes", bytes, 0, "the demo's state, encoded");
    bench_result("W8", "ns", encode * 1000, 0, "encode it, with the coordinator's encoder");
    bench_result("W8", "ns", decode * 1000, 0, "decode it, with the coordinator's decoder");
    bench_load_done(&l);
    cluster_done(&c);
}

/* ---- */

static const struct workload {
    const char *name;
    void (*run)(void);
} workloads[] = {
    {"w1",   w1  },
    {"w2",   w2  },
    {"w3",   w3  },
    {"w4",   w4  },
    {"w5",   w5  },
    {"w6",   w6  },
    {"w7",   w7  },
    {"w8",   w8  },
    {"demo", demo},
};
#define N_WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static const struct workload *find(const char *name)
{
    for (size_t i = 0; i < N_WORKLOADS; i++)
        if (strcmp(name, workloads[i].name) == 0)
            return &workloads[i];
    return NULL;
}

static int usage(void)
{
    fprintf(stderr, "bench [--tiny|--quick|--full] [--out DIR] [--only WORKLOAD]\nworkloads:");
    for (size_t i = 0; i < N_WORKLOADS; i++)
        fprintf(stderr, " %s", workloads[i].name);
    fprintf(stderr, "\n");
    return 2;
}

static void baselines(void)
{
    say("what the machine gives");
    bench_base_round(sizes);
}

/* The disk of a shared machine changes within a run: the baselines are measured at its ends and beside what
 * is compared with them. */
static void run_all(const struct workload *only)
{
    baselines();
    for (size_t i = 0; i < N_WORKLOADS; i++) {
        if (only != NULL && only != &workloads[i])
            continue;
        workloads[i].run();
        if (only == NULL && workloads[i].run == w2)
            baselines();
    }
    baselines();
    bench_base_done(&base);
}

/* Only warnings: the servers of the baselines run in this process. */
static void log_warnings(void)
{
    struct fm_err err = {0};
    struct fm_log_config cfg = {.fd = 2, .levels = "warn"};
    setenv("FERMATA_TEST_LOG", "warn", 1);
    if (fm_log_start(&cfg, &err) < 0)
        fm_abort(err.msg);
}

int main(int argc, char **argv)
{
    const char *out = NULL;
    const struct workload *only = NULL;
    for (int i = 1; i < argc; i++) {
        const struct bench_sizes *chosen = NULL;
        for (size_t k = 0; k < N_SCALES && strncmp(argv[i], "--", 2) == 0; k++)
            if (strcmp(argv[i] + 2, scales[k].name) == 0)
                chosen = &scales[k];
        if (chosen != NULL) {
            sizes = chosen;
        } else if (strcmp(argv[i], "--out") == 0 && i + 1 < argc) {
            out = argv[++i];
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = find(argv[++i]);
            if (only == NULL) {
                fprintf(stderr, "bench: --only %s: there is no such workload\n", argv[i]);
                return usage();
            }
        } else {
            fprintf(stderr, "bench: %s is not an option, or lacks its value\n", argv[i]);
            return usage();
        }
    }
    began = bench_now();
    bench_about_start();
    log_warnings();
    rpc_global_init();
    run_all(only);
    say("done");
    rpc_global_shutdown();
    fm_log_stop();
    bench_print(stdout);
    return out == NULL || bench_write(out, sizes->name, only != NULL ? only->name : NULL) ? 0 : 1;
}
