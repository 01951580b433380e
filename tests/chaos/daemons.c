/* See daemons.h. */
#define _GNU_SOURCE
#include "daemons.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos.h"
#include "clock.h"
#include "net.h"
#include "slow.h"

#define DATA CHAOS_DATA
#define BALLAST DATA "/ballast"
#define CLOCK_FILE CHAOS_DIR "/clock"
#define STOP_MS DEADLINE_MS
#define RESTART_MS 100

extern char **environ;

enum expectation { EXPECT_LIFE, EXPECT_KILL, EXPECT_EXIT };

static struct {
    pid_t pid; /* 0: not running */
    bool wanted;
    int64_t not_before_ms; /* when to start it again at the earliest */
    enum expectation expectation;
} daemons[N_DAEMONS];

static const char *build;
static char faketime[256];
static bool disk_is_full;

static const char *name_of(int d)
{
    static char names[N_DAEMONS][16];
    if (d == COORDINATOR)
        return "coordinator";
    snprintf(names[d], sizeof(names[d]), "host%d", d);
    return names[d];
}

/* libfaketime, if it is installed; a sanitizer wants to be loaded first, so there it cannot be used. */
static void find_faketime(void)
{
    glob_t found;
    const char *sanitize = getenv("CHAOS_SANITIZED");
    if (glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, NULL, &found) == 0 &&
        (sanitize == NULL || sanitize[0] == '\0'))
        snprintf(faketime, sizeof(faketime), "%s", found.gl_pathv[0]);
    globfree(&found);
    if (faketime[0] == '\0')
        chaos_say("libfaketime is not installed, or this is a sanitizer's build: no clock is stepped");
}

void daemons_init(const char *build_dir, unsigned data_mib)
{
    char options[64];
    build = build_dir;
    snprintf(options, sizeof(options), "size=%um,mode=700", data_mib);
    if (mkdir(DATA, 0700) < 0 || mount("tmpfs", DATA, "tmpfs", 0, options) < 0)
        chaos_die("the data directory: %s", strerror(errno));
    find_faketime();
    clock_step(0);
}

bool daemons_can_step_clock(void)
{
    return faketime[0] != '\0';
}

/* ---- processes ---- */

static void spawn(int d, const char *const argv[])
{
    char log[128];
    posix_spawn_file_actions_t actions;
    snprintf(log, sizeof(log), CHAOS_DIR "/%s.log", name_of(d));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    int rc = posix_spawnp(&daemons[d].pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        chaos_die("%s cannot be started: %s", argv[0], strerror(rc));
    daemons[d].expectation = EXPECT_LIFE;
}

static void start_coordinator(void)
{
    char program[512], ns[64], listen[64];
    snprintf(program, sizeof(program), "%s/coordinator/coordinator", build);
    snprintf(ns, sizeof(ns), "--net=%s", net_namespace(COORDINATOR_LINK));
    snprintf(listen, sizeof(listen), "%s:%d", net_address(COORDINATOR_LINK), COORDINATOR_PORT);
    const char *argv[] = {"nsenter", ns,           program, "--listen",    listen,  "--data",
                          DATA,      "--lease",    "2s",    "--heartbeat", "300ms", "--log-level",
                          "info",    "--insecure", NULL};
    spawn(COORDINATOR, argv);
}

static void start_host(int d)
{
    char program[512], ns[64], target[64], preload[300] = "CHAOS=1";
    snprintf(program, sizeof(program), "%s/hostd/hostd", build);
    snprintf(ns, sizeof(ns), "--net=%s", net_namespace(d));
    snprintf(target, sizeof(target), "%s:%d", net_address(COORDINATOR_LINK), COORDINATOR_PORT);
    if (d == 0 && faketime[0] != '\0')
        snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", faketime);
    const char *argv[] = {"nsenter",
                          ns,
                          "env",
                          preload,
                          "FAKETIME_TIMESTAMP_FILE=" CLOCK_FILE,
                          "FAKETIME_NO_CACHE=1",
                          "FAKETIME_DONT_FAKE_MONOTONIC=1",
                          "DONT_FAKE_MONOTONIC=1",
                          program,
                          "--insecure",
                          "--coordinator",
                          target,
                          "--id",
                          name_of(d),
                          "--log-level",
                          "info",
                          NULL};
    spawn(d, argv);
}

static void start(int d)
{
    daemons[d].not_before_ms = fm_now_mono_ms() + RESTART_MS;
    if (d == COORDINATOR)
        start_coordinator();
    else
        start_host(d);
}

void daemon_start(int d)
{
    daemons[d].wanted = true;
    daemons_turn();
}

bool daemon_runs(int d)
{
    return daemons[d].pid > 0;
}

static void signal_tree(pid_t pid, int signal);

static void signal_children(pid_t pid, int signal)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "r");
    if (f != NULL) {
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        text[n] = '\0';
        (void)fclose(f);
    }
    char *at = text, *end;
    for (long one = strtol(at, &end, 10); end != at; one = strtol(at, &end, 10)) {
        signal_tree((pid_t)one, signal);
        at = end;
    }
}

/* The children first: whoever watches over them must not start them again in between. */
static void signal_tree(pid_t pid, int signal)
{
    if (signal == SIGKILL || signal == SIGSTOP)
        (void)kill(pid, SIGSTOP);
    signal_children(pid, signal);
    (void)kill(pid, signal);
}

void daemon_signal(int d, int signal)
{
    if (daemon_runs(d))
        signal_tree(daemons[d].pid, signal);
}

void daemon_kill(int d)
{
    daemons[d].wanted = false;
    if (!daemon_runs(d))
        return;
    daemons[d].expectation = EXPECT_KILL;
    signal_tree(daemons[d].pid, SIGKILL);
}

void daemon_kill_children(int d)
{
    if (daemon_runs(d) && daemons[d].expectation == EXPECT_LIFE)
        signal_children(daemons[d].pid, SIGKILL);
}

void daemon_terminate(int d)
{
    daemons[d].wanted = false;
    if (!daemon_runs(d) || daemons[d].expectation == EXPECT_EXIT) /* a second signal would mean: at once */
        return;
    daemons[d].expectation = EXPECT_EXIT;
    (void)kill(daemons[d].pid, SIGTERM);
}

static void ended(int d, int status)
{
    enum expectation e = daemons[d].expectation;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    daemons[d].pid = 0;
    if ((e == EXPECT_KILL && killed) || (e == EXPECT_EXIT && good))
        return;
    if (d == COORDINATOR && disk_is_full && WIFEXITED(status) && WEXITSTATUS(status) <= 2) {
        chaos_say("the coordinator does not start while the disk is full");
        return;
    }
    if (WIFSIGNALED(status))
        chaos_violation("%s was ended by signal %d", name_of(d), WTERMSIG(status));
    else
        chaos_violation("%s ended with code %d", name_of(d), WEXITSTATUS(status));
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int d = 0; d < N_DAEMONS; d++)
            if (daemons[d].pid == pid)
                ended(d, status);
}

void daemons_turn(void)
{
    reap();
    for (int d = 0; d < N_DAEMONS; d++)
        if (daemons[d].wanted && daemons[d].pid == 0 && fm_now_mono_ms() >= daemons[d].not_before_ms)
            start(d);
}

static void stop_one(int d)
{
    const struct timespec moment = {0, 10000000};
    int64_t until = fm_now_mono_ms() + STOP_MS;
    daemon_terminate(d);
    while (daemon_runs(d)) {
        daemons_turn();
        if (fm_now_mono_ms() > until) {
            chaos_violation("%s does not stop", name_of(d));
            daemon_kill(d);
            until += STOP_MS;
        }
        nanosleep(&moment, NULL);
    }
}

void daemons_stop(void)
{
    for (int d = 0; d < N_DAEMONS; d++)
        stop_one(d); /* the hosts first: they give their jobs back */
}

/* ---- disk and clock ---- */

void disk_fill(void)
{
    struct statvfs fs;
    int fd = open(BALLAST, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    disk_is_full = true;
    if (fd < 0 || statvfs(DATA, &fs) < 0)
        chaos_die("the ballast: %s", strerror(errno));
    off_t size = 0;
    uint64_t wanted = (uint64_t)fs.f_bavail * fs.f_frsize;
    /* What the daemon writes meanwhile may take some of it. */
    for (uint64_t piece = wanted; piece >= 4096; piece /= 2)
        while (posix_fallocate(fd, size, (off_t)(piece & ~(uint64_t)4095)) == 0)
            size += (off_t)(piece & ~(uint64_t)4095);
    close(fd);
}

void disk_free(void)
{
    if (unlink(BALLAST) < 0)
        chaos_die("the ballast: %s", strerror(errno));
    disk_is_full = false;
}

void clock_step(int seconds)
{
    FILE *f = fopen(CLOCK_FILE ".new", "w");
    if (f == NULL || fprintf(f, "%+d\n", seconds) < 0 || fclose(f) != 0 ||
        rename(CLOCK_FILE ".new", CLOCK_FILE) < 0)
        chaos_die("the clock: %s", strerror(errno));
}

void daemons_keep_logs(const char *to)
{
    (void)chaos_shell(false, "mkdir -p '%s' && cp " CHAOS_DIR "/*.log '%s' && cp -r " DATA " '%s'", to, to,
                      to);
    for (int d = 0; d < N_DAEMONS; d++)
        (void)chaos_shell(true, "echo '---- %s:'; tail -n 12 " CHAOS_DIR "/%s.log >&2; true", name_of(d),
                          name_of(d));
    chaos_say("the logs and the store are kept in %s", to);
}
