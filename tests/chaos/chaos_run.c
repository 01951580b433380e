/* Real daemons under real faults. A coordinator and three hosts, each in a network namespace of its own, a
 * store on a small file system; clients that submit, answer, cancel and send inputs; and a schedule of faults
 * drawn from a seed: kill -9 (of whole hosts, and of their daemons only), SIGSTOP, cordons and drains,
 * partitions (whole and one-way), lost packets, slow links, a full disk, a clock that is set. In the end an
 * oracle compares what the clients were told with what is in the store (oracle.c), and the stopped store is
 * verified.
 *
 *     chaos_run [--seed N] [--seconds N] [--clients N]
 *
 * The seed is printed; with it the same faults come at the same times (what they hit is up to the machine).
 * Needs root. Everything it makes is in namespaces of its own, which the kernel removes with it (sandbox.c).
 * Exits with 0 when nothing was violated, with 77 when it cannot run here. */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "call.h"
#include "chaos.h"
#include "clients.h"
#include "clock.h"
#include "daemons.h"
#include "faults.h"
#include "grpcurl.h"
#include "id.h"
#include "ledger.h"
#include "net.h"
#include "operators.h"
#include "oracle.h"
#include "proc.h"
#include "sandbox.h"

#define SKIP 77
#define QUIET_MS (30000 + DEADLINE_MS)

static atomic_uint violations;
static int64_t began_ms;

static struct {
    uint64_t seed;
    int64_t seconds;
    unsigned clients;
} opt = {0, 60, 24};

/* ---- chaos.h ---- */

static void say(const char *mark, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
static void say(const char *mark, const char *fmt, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof(text), fmt, args);
    double at = began_ms == 0 ? 0 : (double)(fm_now_mono_ms() - began_ms) / 1000;
    printf("%8.3f  %s%s\n", at, mark, text);
    (void)fflush(stdout);
}

void chaos_say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

void chaos_violation(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("VIOLATION: ", fmt, args);
    va_end(args);
    atomic_fetch_add(&violations, 1);
}

unsigned chaos_violations(void)
{
    return atomic_load(&violations);
}

void chaos_die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("the test cannot go on: ", fmt, args);
    va_end(args);
    _Exit(1); /* process 1 of its namespace: all daemons end with it */
}

int chaos_shell(bool must, const char *fmt, ...)
{
    char command[2048], *out, *err;
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    const char *argv[] = {"sh", "-c", command, NULL};
    int code = proc_run(argv, NULL, &out, &err);
    if (must && err[0] != '\0')
        printf("%s", err);
    if (must && code != 0)
        chaos_die("%s: exit code %d", command, code);
    free(out);
    free(err);
    return code;
}

/* ---- the run ---- */

static void options(int argc, char **argv)
{
    opt.seed = fm_random_seed() % 1000000;
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        unsigned long long n = i + 1 < argc ? strtoull(argv[i + 1], &end, 10) : 0;
        if (end == NULL || end == argv[i + 1] || *end != '\0')
            n = 0, i = argc;
        else if (strcmp(argv[i], "--seed") == 0)
            opt.seed = n;
        else if (strcmp(argv[i], "--seconds") == 0 && n >= 1 && n <= 86400)
            opt.seconds = (int64_t)n;
        else if (strcmp(argv[i], "--clients") == 0 && n >= 1 && n <= 1000)
            opt.clients = (unsigned)n;
        else
            i = argc;
        if (i >= argc) {
            fprintf(stderr, "usage: chaos_run [--seed N] [--seconds N] [--clients N]\n");
            exit(2);
        }
    }
}

static void pause_ms(int64_t ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void put_flows(const char *target)
{
    static const int delays_ms[] = {0, 150, 1200};
    for (unsigned i = 0; i < sizeof(delays_ms) / sizeof(delays_ms[0]); i++)
        json_decref(rpc(
            target, "Flows/PutFlow",
            "{'flow':{'name':'chaos%u','defaults':{'max_losses':0},'routines':[{'id':'start','type':'log'},"
            "{'id':'inbox','type':'log'},{'id':'done','type':'log'},"
            "{'id':'agent','type':'llm_agent','config':{'provider':'mock','ask':false,"
            "'delay_ms':%d}},{'id':'ask','type':'human'}],"
            "'connections':[{'from':{'routine':'start','event':'output'},"
            "'to':{'routine':'agent','slot':'trigger'}},"
            "{'from':{'routine':'agent','event':'completed'},"
            "'to':{'routine':'ask','slot':'input'}},"
            "{'from':{'routine':'ask','event':'output'},"
            "'to':{'routine':'done','slot':'input'}}]}}",
            i, delays_ms[i]));
}

/* Durable sleeps (longer than a host keeps a job for), child jobs, and an agent whose loss must not go
 * unnoticed: a client is asked (chaos3), or the failure takes its own way to the question (chaos4). */
static void put_long_flows(const char *target)
{
    static const char *const policies[] = {"'on_lost':'LOST_POLICY_ASK'",
                                           "'on_lost':'LOST_POLICY_FAIL','on_error':'ERROR_POLICY_ROUTE'"};
    json_decref(rpc(target, "Flows/PutFlow",
                    "{'flow':{'name':'chaos_child','routines':[{'id':'in','type':'log'}]}}"));
    for (int i = 0; i < 2; i++)
        json_decref(rpc(
            target, "Flows/PutFlow",
            "{'flow':{'name':'chaos%d','defaults':{'max_losses':0},'routines':[{'id':'start','type':'log'},"
            "{'id':'inbox','type':'log'},{'id':'done','type':'log'},"
            "{'id':'nap','type':'sleep','config':{'ms':1300}},"
            "{'id':'child','type':'job','config':{'flow':'chaos_child','routine':'in',"
            "'slot':'input'}},{'id':'agent','type':'llm_agent',"
            "'config':{'provider':'mock','ask':false,'delay_ms':1000},'policy':{%s}},"
            "{'id':'ask','type':'human'}],'connections':[{'from':{'routine':'start',"
            "'event':'output'},'to':{'routine':'nap','slot':'input'}},"
            "{'from':{'routine':'nap','event':'output'},"
            "'to':{'routine':'child','slot':'start'}},"
            "{'from':{'routine':'child','event':'completed'},"
            "'to':{'routine':'agent','slot':'trigger'}},"
            "{'from':{'routine':'agent','event':'completed'},"
            "'to':{'routine':'ask','slot':'input'}},"
            "%s{'from':{'routine':'ask','event':'output'},"
            "'to':{'routine':'done','slot':'input'}}]}}",
            3 + i, policies[i],
            i == 0 ? ""
                   : "{'from':{'routine':'agent','event':'error'},"
                     "'to':{'routine':'ask','slot':'input'}},"));
}

static void wait_for_coordinator(const char *target)
{
    int64_t until = fm_now_mono_ms() + DEADLINE_MS;
    while (chaos_shell(false, "%s -plaintext -max-time 2 %s list", grpcurl_program(), target) != 0) {
        if (fm_now_mono_ms() > until)
            chaos_die("the coordinator does not answer");
        pause_ms(50);
    }
}

static void *run_loop(void *arg)
{
    rpc_loop_run(arg);
    return NULL;
}

static void cause_faults(void)
{
    int64_t at;
    faults_plan(opt.seed, opt.seconds * 1000);
    while ((at = fm_now_mono_ms() - began_ms) < opt.seconds * 1000) {
        faults_turn(at);
        operators_turn();
        daemons_turn();
        pause_ms(20);
    }
    faults_heal();
    chaos_say("everything is healed");
}

static void wait_for_clients(void)
{
    int64_t until = fm_now_mono_ms() + QUIET_MS;
    clients_finish();
    while (clients_busy() > 0 || !operators_settled()) {
        operators_turn();
        daemons_turn();
        if (fm_now_mono_ms() > until) {
            chaos_violation("%u clients have a job that does not end%s", clients_busy(),
                            operators_settled() ? "" : ", or an operator is not answered");
            clients_describe();
            pause_ms(500);
            return;
        }
        pause_ms(20);
    }
}

/* Every page of the file, and what SQLite says of it. */
static void check_file(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_open_v2(CHAOS_DATA "/fermata.db", &db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(3)", -1, &s, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        if (strcmp(text, "ok") != 0)
            chaos_violation("the database is damaged: %s", text);
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        chaos_violation("the database cannot be checked: %s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
}

/* What the coordinator itself says of its store: every job folded anew from its journal. */
static void verify_store(const char *build_dir)
{
    char program[512], *out, *err;
    snprintf(program, sizeof(program), "%s/coordinator/coordinator", build_dir);
    const char *argv[] = {program, "--verify", "--data", CHAOS_DATA, NULL};
    int code = proc_run(argv, NULL, &out, &err);
    if (code != 0)
        chaos_violation("--verify ends with code %d: %s%s", code, out, err);
    else
        chaos_say("--verify: %s", out);
    free(out);
    free(err);
}

static void run(const char *build_dir)
{
    char target[64];
    pthread_t thread;
    net_up();
    daemons_init(build_dir, 64 + (unsigned)opt.seconds / 4);
    snprintf(target, sizeof(target), "%s:%d", net_address(COORDINATOR_LINK), COORDINATOR_PORT);
    for (int d = N_DAEMONS - 1; d >= 0; d--)
        daemon_start(d);
    wait_for_coordinator(target);
    put_flows(target);
    put_long_flows(target);
    rpc_global_init();
    struct rpc_loop *loop = rpc_loop_new();
    if (pthread_create(&thread, NULL, run_loop, loop) != 0)
        chaos_die("a thread cannot be started");
    began_ms = fm_now_mono_ms();
    operators_start(loop, target);
    clients_start(loop, target, opt.clients, opt.seed);
    cause_faults();
    wait_for_clients();
    struct rpc_channel *channel = rpc_channel_new(loop, target, 64u << 20, NULL);
    if (chaos_violations() == 0 || clients_busy() == 0)
        oracle_check(channel);
    if (chaos_violations() == 0)
        operators_check();
    rpc_channel_free(channel);
    daemons_stop();
    check_file();
    verify_store(build_dir);
    faults_report();
    if (clients_busy() > 0 || !operators_settled())
        return; /* the loop still has their calls; the process ends now */
    clients_free();
    operators_free();
    rpc_loop_stop(loop);
    pthread_join(thread, NULL);
    rpc_loop_free(loop);
    rpc_global_shutdown();
    ledger_free();
}

int main(int argc, char **argv)
{
    const char *build_dir = getenv("BUILD_DIR"), *why;
    char kept[600];
    options(argc, argv);
    if (build_dir == NULL)
        build_dir = "build/debug";
    if ((why = sandbox_enter()) != NULL) {
        printf("chaos_run cannot run here: %s\n", why);
        return getenv("CI") != NULL ? 1 : SKIP;
    }
    printf("seed %llu, %lld s\n", (unsigned long long)opt.seed, (long long)opt.seconds);
    (void)fflush(stdout);
    run(build_dir);
    unsigned n = chaos_violations();
    if (n > 0) {
        snprintf(kept, sizeof(kept), "%s/chaos-%llu", build_dir, (unsigned long long)opt.seed);
        daemons_keep_logs(kept);
    }
    printf("seed %llu: %u violations\n", (unsigned long long)opt.seed, n);
    return n > 0 ? 1 : 0;
}
