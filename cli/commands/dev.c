/* fermata dev: a coordinator and two hosts on this machine, for as long as the command runs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "mem.h"

extern char **environ;

#define MAX_HOSTS 16

struct dev {
    char dir[PATH_MAX];
    bool temporary;
    char address[512];
    pid_t pids[1 + MAX_HOSTS];
    size_t n;
    sigset_t before; /* the signals that were blocked when we began */
};

/* A program of ours: beside this one as it is installed or built, else on PATH. */
static void find_program(const char *name, char *ret, size_t n)
{
    char self[PATH_MAX];
    ssize_t got = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (got > 0) {
        self[got] = '\0';
        char *slash = strrchr(self, '/');
        *slash = '\0';
        if (snprintf(ret, n, "%s/%s", self, name) < (int)n && access(ret, X_OK) == 0)
            return;
        if (snprintf(ret, n, "%s/../%s/%s", self, name, name) < (int)n && access(ret, X_OK) == 0)
            return;
    }
    snprintf(ret, n, "%s", name);
}

/* Starts a daemon and reads the line that it prints when it is ready. Its log goes to a file of the
 * directory. */
static int start(struct dev *d, char *const argv[], const char *name, char *line, size_t n,
                 struct fm_err *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    char log[PATH_MAX + 64];
    int out[2];
    if (pipe(out) < 0)
        return fm_err_set(err, FM_INTERNAL, NULL, "pipe: %s", strerror(errno));
    snprintf(log, sizeof(log), "%s/%s.log", d->dir, name);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&files, out[0]);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawnattr_init(&attributes); /* a group of its own: Ctrl-C is for us, and we end them in order */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &d->before);
    int rc = posix_spawnp(&d->pids[d->n], argv[0], &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    (void)close(out[1]);
    FILE *f = rc == 0 ? fdopen(out[0], "r") : NULL;
    if (f == NULL) {
        (void)close(out[0]);
        return fm_err_set(err, FM_NOT_FOUND, NULL, "%s cannot be started: %s", argv[0], strerror(rc));
    }
    d->n++;
    if (fgets(line, (int)n, f) == NULL)
        rc = fm_err_set(err, FM_INTERNAL, NULL, "%s did not come up; %s says why", name, log);
    line[strcspn(line, "\n")] = '\0';
    (void)fclose(f);
    return rc;
}

static int start_all(struct dev *d, const char *listen, long n_hosts, struct fm_err *err)
{
    char program[PATH_MAX], data[PATH_MAX + 16], line[512], id[32];
    static const char ready[] = "listening on ";
    snprintf(data, sizeof(data), "%s/data", d->dir);
    find_program("coordinator", program, sizeof(program));
    char *coordinator[] = {program,
                           (char *)(uintptr_t) "--listen",
                           (char *)(uintptr_t)listen,
                           (char *)(uintptr_t) "--data",
                           data,
                           NULL};
    int rc = start(d, coordinator, "coordinator", line, sizeof(line), err);
    if (rc < 0)
        return rc;
    if (strncmp(line, ready, sizeof(ready) - 1) != 0)
        return fm_err_set(err, FM_INTERNAL, NULL, "the coordinator said '%.100s'", line);
    snprintf(d->address, sizeof(d->address), "%s", line + sizeof(ready) - 1);
    find_program("hostd", program, sizeof(program));
    for (long i = 0; rc == 0 && i < n_hosts; i++) {
        snprintf(id, sizeof(id), "dev-%ld", i + 1);
        char *host[] = {
            program, (char *)(uintptr_t) "--coordinator", d->address, (char *)(uintptr_t) "--id", id, NULL};
        rc = start(d, host, id, line, sizeof(line), err);
    }
    return rc;
}

/* The hosts first, so that they can say goodbye. */
static void stop_all(struct dev *d)
{
    for (size_t i = d->n; i-- > 0;) {
        (void)kill(d->pids[i], SIGTERM);
        while (waitpid(d->pids[i], NULL, 0) < 0 && errno == EINTR)
            ;
    }
}

static int make_dir(struct cli *c, struct dev *d, struct fm_err *err)
{
    const char *given = cli_word(c, "dir"), *tmp = getenv("TMPDIR");
    d->temporary = given == NULL;
    if (given != NULL) {
        snprintf(d->dir, sizeof(d->dir), "%s", given);
        if (mkdir(d->dir, 0700) < 0 && errno != EEXIST)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "dir", "%s cannot be made: %s", d->dir,
                              strerror(errno));
        return 0;
    }
    snprintf(d->dir, sizeof(d->dir), "%s/fermata-dev-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
    if (mkdtemp(d->dir) == NULL)
        return fm_err_set(err, FM_INTERNAL, NULL, "%s cannot be made: %s", d->dir, strerror(errno));
    return 0;
}

static void remove_dir(const struct dev *d)
{
    char *argv[] = {(char *)(uintptr_t) "rm", (char *)(uintptr_t) "-rf", (char *)(uintptr_t) "--",
                    (char *)(uintptr_t)d->dir, NULL};
    pid_t pid;
    if (posix_spawnp(&pid, "rm", NULL, NULL, argv, environ) == 0)
        (void)waitpid(pid, NULL, 0);
}

/* Until somebody ends us, or one of the daemons ends. */
static int wait_for_end(struct dev *d, const sigset_t *signals)
{
    siginfo_t info;
    for (;;) {
        int got = sigwaitinfo(signals, &info);
        if (got < 0 && errno == EINTR)
            continue;
        if (got != SIGCHLD)
            return CLI_OK;
        for (size_t i = 0; i < d->n; i++)
            if (waitpid(d->pids[i], NULL, WNOHANG) == d->pids[i]) {
                fprintf(stderr, "fermata: %s has ended; its log is in %s\n",
                        i == 0 ? "the coordinator" : "a host", d->dir);
                d->pids[i] = d->pids[--d->n];
                d->temporary = false; /* somebody wants to read the logs */
                return CLI_ERROR;
            }
    }
}

static int dev(struct cli *c, json_t *request)
{
    struct dev d = {0};
    fm_auto(fm_err) err = {0};
    sigset_t signals;
    const char *listen = cli_word(c, "listen"), *hosts = cli_word(c, "hosts");
    char *end = NULL;
    long n_hosts = hosts == NULL ? 2 : strtol(hosts, &end, 10);
    json_decref(request);
    if (hosts != NULL && (*end != '\0' || n_hosts < 1 || n_hosts > MAX_HOSTS))
        return cli_usage(c, "--hosts: '%.64s' is not a number from 1 to %d", hosts, MAX_HOSTS);
    if (make_dir(c, &d, &err) < 0)
        return cli_fail(&err);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, &d.before);
    int code = CLI_OK;
    if (start_all(&d, listen == NULL ? "127.0.0.1:7420" : listen, n_hosts, &err) < 0) {
        code = cli_fail(&err);
    } else {
        printf("listening on %s\n", d.address);
        fprintf(stderr, "%ld hosts; data and logs in %s; Ctrl-C ends all\n", n_hosts, d.dir);
        if (strcmp(d.address, "127.0.0.1:7420") != 0)
            fprintf(stderr, "export FERMATA_ADDRESS=%s\n", d.address);
        (void)fflush(stdout);
        code = wait_for_end(&d, &signals);
    }
    stop_all(&d);
    if (d.temporary)
        remove_dir(&d);
    return code;
}

static const struct cli_word dev_options[] = {
    {"dir",    CLI_TEXT,   NULL,
     "where data and logs are kept; else in a temporary directory that goes at the end",           NULL, true},
    {"listen", CLI_TEXT,   NULL, "HOST:PORT of the coordinator; port 0 picks one; 127.0.0.1:7420", NULL, true},
    {"hosts",  CLI_NUMBER, NULL, "how many; 2",                                                    NULL, true},
};
const struct cli_command cli_dev = {
    .name = "dev",
    .summary = "Runs a coordinator and hosts on this machine until Ctrl-C",
    .options = dev_options,
    .n_options = CLI_COUNT(dev_options),
    .run = dev,
};
