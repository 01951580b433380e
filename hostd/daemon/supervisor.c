/* See supervisor.h. One thread; signals are taken by sigtimedwait, so nothing here runs in a
 * handler but the daemon's own on_supervisor_gone. */
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agreed.h"
#include "certify.h"
#include "clock.h"
#include "err.h"
#include "id.h"
#include "log.h"
#include "mem.h"

#define RESTART_MIN_MS 250
#define RESTART_MAX_MS 30000
#define LIVED_MS 60000     /* after such a life the next restart is as quick as the first */
#define LAST_WORDS_MS 2000 /* how long stopping waits for a certificate */
#define MAX_CERTIFIERS 8
#define GONE_SIGNAL SIGUSR2 /* the kernel sends it to the daemon when its supervisor ends */
#define CERTIFY_ARGS 12
#define MAX_IN_HAND 4096

/* What the daemon says to its supervisor: pages that both have. */
struct page {
    atomic_uint lease_ms; /* 0: not attached yet */
    atomic_uint unnamed;  /* tasks in hand for which there was no room */
    atomic_uint n_used;   /* of in_hand, so far */
    struct in_hand {
        atomic_bool used; /* set when the rest is written */
        uint32_t epoch;
        char job[27], task_id[FM_MAX_NAME_BYTES + 1], routine[FM_MAX_NAME_BYTES + 1];
    } in_hand[MAX_IN_HAND];
};

static struct page *page; /* NULL without a supervisor */

struct supervisor {
    const struct supervisor_config *cfg;
    sigset_t signals, before;
    pid_t daemon; /* 0: none */
    char incarnation[27];
    int64_t started_ms, restart_at_ms; /* restart_at_ms 0: no */
    unsigned deaths;                   /* since it lived long */
    pid_t certifiers[MAX_CERTIFIERS];
    size_t n_certifiers;
    bool stopping;
};

/* ---- in the daemon ---- */

static struct orphaned {
    pid_t supervisor;
    char lease[16];
    char *argv[CERTIFY_ARGS + 1];
} orphaned;

/* Async-signal-safe throughout. exec ends all threads, and with them whatever a routine was
 * doing. */
static void on_supervisor_gone(int signum)
{
    (void)signum;
    if (getppid() == orphaned.supervisor)
        return; /* somebody else sent it */
    (void)execve("/proc/self/exe", orphaned.argv, environ);
    _exit(1);
}

void supervisor_attached(uint32_t lease_ms)
{
    if (page == NULL || atomic_load(&page->lease_ms) == lease_ms)
        return;
    snprintf(orphaned.lease, sizeof(orphaned.lease), "%u", lease_ms);
    atomic_store(&page->lease_ms, lease_ms);
}

/* ---- what is in hand ---- */

/* Of this daemon: numbers of in_hand that are free, the last of them next. */
static struct {
    uint32_t free[MAX_IN_HAND];
    size_t n_free, n_taken; /* those from n_taken on were never used */
} numbers;

static void put_text(char *out, size_t size, const char *text)
{
    size_t n = strnlen(text, size - 1);
    memcpy(out, text, n);
    out[n] = '\0';
}

size_t supervisor_task_begins(const char *job, uint32_t epoch, const char *task_id, const char *routine)
{
    size_t n = numbers.n_free > 0              ? numbers.free[--numbers.n_free]
               : numbers.n_taken < MAX_IN_HAND ? numbers.n_taken++
                                               : MAX_IN_HAND;
    if (page == NULL)
        return n;
    if (n == MAX_IN_HAND || strlen(task_id) > FM_MAX_NAME_BYTES) {
        atomic_fetch_add(&page->unnamed, 1);
        if (n < MAX_IN_HAND)
            numbers.free[numbers.n_free++] = (uint32_t)n;
        return MAX_IN_HAND;
    }
    if (n >= atomic_load(&page->n_used))
        atomic_store(&page->n_used, (unsigned)n + 1);
    struct in_hand *h = &page->in_hand[n];
    h->epoch = epoch;
    put_text(h->job, sizeof(h->job), job);
    put_text(h->task_id, sizeof(h->task_id), task_id);
    put_text(h->routine, sizeof(h->routine), routine);
    atomic_store_explicit(&h->used, true, memory_order_release);
    return n;
}

void supervisor_task_ends(size_t number)
{
    if (page != NULL && number == MAX_IN_HAND)
        atomic_fetch_sub(&page->unnamed, 1);
    if (page != NULL && number < MAX_IN_HAND)
        atomic_store_explicit(&page->in_hand[number].used, false, memory_order_release);
    if (number < MAX_IN_HAND)
        numbers.free[numbers.n_free++] = (uint32_t)number;
}

/* Of the daemon that has died: encoded, for free. */
static struct certificate_tasks tasks_in_hand(void)
{
    struct certificate_tasks t = {.known = atomic_load(&page->unnamed) == 0};
    for (size_t i = 0; i < MAX_IN_HAND && i < atomic_load(&page->n_used); i++) {
        struct in_hand *h = &page->in_hand[i];
        h->job[sizeof(h->job) - 1] = h->task_id[FM_MAX_NAME_BYTES] = h->routine[FM_MAX_NAME_BYTES] = '\0';
        if (atomic_load_explicit(&h->used, memory_order_acquire))
            certificate_add_task(&t, h->job, h->epoch, h->task_id, h->routine);
    }
    return t;
}

static void forget_tasks(void)
{
    atomic_store(&page->unnamed, 0);
    for (size_t i = 0; i < MAX_IN_HAND && i < atomic_load(&page->n_used); i++)
        atomic_store(&page->in_hand[i].used, false);
    atomic_store(&page->n_used, 0);
}

/* ---- the supervisor's end ---- */

/* "" is none. */
static char *argument(const char *text)
{
    return (char *)(uintptr_t)(text != NULL ? text : "");
}

static void watch_supervisor(const struct supervisor *s, pid_t supervisor)
{
    static const struct tls_files no_tls;
    const struct tls_files *tls = s->cfg->tls != NULL ? s->cfg->tls : &no_tls;
    static char name[] = "hostd", option[] = "--certify", json[] = "json", text[] = "text",
                absolute[] = "absolute";
    orphaned.supervisor = supervisor;
    snprintf(orphaned.lease, sizeof(orphaned.lease), "0");
    char *argv[CERTIFY_ARGS + 1] = {name,
                                    option,
                                    (char *)(uintptr_t)s->cfg->target,
                                    (char *)(uintptr_t)s->cfg->host_id,
                                    (char *)(uintptr_t)s->incarnation,
                                    orphaned.lease,
                                    (char *)(uintptr_t)s->cfg->log_levels,
                                    s->cfg->log_json       ? json
                                    : s->cfg->log_absolute ? absolute
                                                           : text,
                                    argument(s->cfg->tls == NULL ? NULL
                                             : tls->only_13      ? "1.3"
                                                                 : "1.2"),
                                    argument(tls->ca),
                                    argument(tls->cert),
                                    argument(tls->key),
                                    NULL};
    memcpy(orphaned.argv, argv, sizeof(argv));
    struct sigaction sa = {.sa_handler = on_supervisor_gone, .sa_flags = SA_RESTART | SA_NODEFER};
    sigemptyset(&sa.sa_mask);
    (void)sigaction(GONE_SIGNAL, &sa, NULL);
    (void)prctl(PR_SET_PDEATHSIG, GONE_SIGNAL);
    if (getppid() != supervisor)
        _exit(1); /* it went before it could be watched; there are no jobs yet */
}

bool supervisor_is_certifier(int argc, char **argv)
{
    return argc == CERTIFY_ARGS && strcmp(argv[1], "--certify") == 0;
}

static const char *text_of(const char *argument)
{
    return argument[0] != '\0' ? argument : NULL;
}

/* This process was the daemon until a moment ago: it still has its children, its descriptors and
 * its mask. */
int supervisor_certifier_main(char **argv)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_NAME, "hostd-certify");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)close_range(3, ~0u, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, STDOUT_FILENO); /* whoever reads it shall see its end */
    struct fm_err err = {0};
    if (fm_log_set_levels(argv[6], &err) < 0)
        FM_LOG(WARN, HOST, "the log levels could not be restored, ignoring", FM_ERR(&err));
    fm_log_set_json(strcmp(argv[7], "json") == 0);
    fm_log_set_absolute(strcmp(argv[7], "absolute") == 0);
    FM_LOG(WARN, HOST, "the supervisor was killed; the host daemon ends with it", FM_STR("host", argv[3]),
           FM_STR("incarnation", argv[4]));
    if (end_children(NULL, 0) < 0) {
        FM_LOG(WARN, HOST, "a process started by a routine does not end; the lease decides");
        return 1;
    }
    const struct tls_files tls = {.ca = text_of(argv[9]),
                                  .cert = text_of(argv[10]),
                                  .key = text_of(argv[11]),
                                  .only_13 = strcmp(argv[8], "1.3") == 0};
    const struct certificate cert = {.target = argv[2],
                                     .tls = text_of(argv[8]) != NULL ? &tls : NULL,
                                     .host_id = argv[3],
                                     .incarnation = argv[4],
                                     .how = "its supervisor was killed",
                                     .lease_ms = strtoll(argv[5], NULL, 10)};
    return certify_run(&cert);
}

/* ---- starting ---- */

void supervisor_new_incarnation(char ret[27])
{
    struct fm_idgen ids;
    struct fm_id id;
    fm_idgen_init(&ids, fm_random_seed());
    fm_id_next(&ids, fm_now_wall_ms(), &id);
    fm_id_text(&id, ret);
}

static void plan_restart(struct supervisor *s)
{
    unsigned shift = s->deaths < 8 ? s->deaths : 8;
    int64_t wait = (int64_t)RESTART_MIN_MS << (shift > 0 ? shift - 1 : 0);
    if (wait > RESTART_MAX_MS)
        wait = RESTART_MAX_MS;
    s->restart_at_ms = fm_now_mono_ms() + wait;
    FM_LOG(INFO, HOST, "restarting the host daemon", FM_STR("host", s->cfg->host_id), FM_I64("in_ms", wait));
}

static void start_daemon(struct supervisor *s)
{
    pid_t self = getpid();
    s->restart_at_ms = 0;
    supervisor_new_incarnation(s->incarnation);
    atomic_store(&page->lease_ms, 0);
    forget_tasks();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        FM_LOG(ERROR, HOST, "the host daemon cannot be started, trying again",
               FM_STR("error", strerror(errno)));
        s->deaths++;
        plan_restart(s);
        return;
    }
    if (pid == 0) {
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_NAME, "hostd");
        watch_supervisor(s, self);
        (void)sigprocmask(SIG_SETMASK, &s->before, NULL);
        exit(s->cfg->run(s->incarnation));
    }
    (void)setpgid(pid, pid);
    s->daemon = pid;
    s->started_ms = fm_now_mono_ms();
}

/* ---- its end ---- */

static void certify(struct supervisor *s, const char *how)
{
    struct certificate cert = {.target = s->cfg->target,
                               .tls = s->cfg->tls,
                               .host_id = s->cfg->host_id,
                               .incarnation = s->incarnation,
                               .how = how,
                               .crashed = !s->stopping,
                               .lease_ms = atomic_load(&page->lease_ms)};
    if (cert.lease_ms == 0 || s->n_certifiers == MAX_CERTIFIERS)
        return; /* the coordinator has given it nothing; or the lease has to do */
    if (cert.crashed)
        cert.tasks = tasks_in_hand();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)sigprocmask(SIG_SETMASK, &s->before, NULL);
        (void)prctl(PR_SET_NAME, "hostd-certify");
        exit(certify_run(&cert));
    }
    if (pid < 0)
        FM_LOG(WARN, HOST, "no death certificate can be sent; the lease decides",
               FM_STR("error", strerror(errno)));
    else
        s->certifiers[s->n_certifiers++] = pid;
    fm_buf_done(&cert.tasks.encoded);
}

static void forget_certifier(struct supervisor *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_certifiers; i++)
        if (s->certifiers[i] == pid)
            s->certifiers[i] = s->certifiers[--s->n_certifiers];
}

static void say_how(int status, char *how, size_t n)
{
    if (WIFSIGNALED(status))
        snprintf(how, n, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(how, n, "ended with code %d", WEXITSTATUS(status));
}

/* The wish to stop came before it could handle it: it had not begun yet. */
static bool stopped_early(const struct supervisor *s, int status)
{
    int by = WTERMSIG(status);
    return s->stopping && (by == SUPERVISOR_STOP_SIGNAL || by == SIGTERM || by == SIGINT);
}

/* Everything that it has started and that still runs ends before its death is certified. */
static void bury(struct supervisor *s, pid_t pid, int status)
{
    char how[128];
    say_how(status, how, sizeof(how));
    s->daemon = 0;
    (void)kill(-pid, SIGKILL);
    if (end_children(s->certifiers, s->n_certifiers) < 0)
        FM_LOG(WARN, HOST, "a process started by a routine does not end; the lease decides",
               FM_STR("host", s->cfg->host_id));
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        certify(s, how);
    if (WIFSIGNALED(status) && !stopped_early(s, status))
        FM_LOG(ERROR, HOST, "the host daemon has died", FM_STR("host", s->cfg->host_id),
               FM_STR("incarnation", s->incarnation), FM_STR("how", how));
}

/* Returns the supervisor's exit code, or -1: it goes on. */
static int on_daemon_end(struct supervisor *s, pid_t pid, int status)
{
    bury(s, pid, status);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (s->stopping)
        return stopped_early(s, status) ? 0 : 128 + WTERMSIG(status);
    s->deaths = fm_now_mono_ms() - s->started_ms >= LIVED_MS ? 1 : s->deaths + 1;
    plan_restart(s);
    return -1;
}

static int reap(struct supervisor *s)
{
    int status, code = -1;
    pid_t pid;
    while (code < 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->daemon)
            code = on_daemon_end(s, pid, status);
        else
            forget_certifier(s, pid);
    }
    return code;
}

/* ---- the loop ---- */

static int on_stop(struct supervisor *s)
{
    int code = reap(s); /* a death that came first has nothing to do with the wish to stop */
    if (code >= 0)
        return code;
    s->stopping = true;
    if (s->daemon == 0)
        return 0;
    (void)kill(s->daemon, SUPERVISOR_STOP_SIGNAL);
    return -1;
}

static int wait_for_signal(const struct supervisor *s, int64_t until_ms)
{
    if (until_ms == 0)
        return sigwaitinfo(&s->signals, NULL);
    int64_t left = until_ms - fm_now_mono_ms();
    if (left < 0)
        left = 0;
    const struct timespec t = {left / 1000, (long)(left % 1000) * 1000000};
    return sigtimedwait(&s->signals, NULL, &t);
}

/* Certificates that are under way get a moment; then they go on by themselves. */
static void last_words(struct supervisor *s)
{
    int64_t until = fm_now_mono_ms() + LAST_WORDS_MS;
    while (s->n_certifiers > 0 && fm_now_mono_ms() < until) {
        if (wait_for_signal(s, until) == SIGCHLD)
            (void)reap(s);
    }
}

int supervisor_run(const struct supervisor_config *cfg)
{
    struct supervisor s = {.cfg = cfg};
    struct fm_err err = {0};
    if (fm_log_set_levels(cfg->log_levels, &err) < 0) {
        fprintf(stderr, "hostd: --log-level %s: %s\n", cfg->log_levels, err.msg);
        return 2;
    }
    fm_log_set_json(cfg->log_json);
    fm_log_set_absolute(cfg->log_absolute);
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        fm_abort("no memory for the supervisor");
    sigemptyset(&s.signals);
    sigaddset(&s.signals, SIGCHLD);
    sigaddset(&s.signals, SIGTERM);
    sigaddset(&s.signals, SIGINT);
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigprocmask(SIG_BLOCK, &s.signals, &s.before);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    start_daemon(&s);
    (void)prctl(PR_SET_NAME, "hostd-supervise");
    int code = -1;
    while (code < 0) {
        int signum = wait_for_signal(&s, s.restart_at_ms);
        if (signum == SIGCHLD)
            code = reap(&s);
        else if (signum == SIGTERM || signum == SIGINT)
            code = on_stop(&s);
        if (code < 0 && s.restart_at_ms != 0 && fm_now_mono_ms() >= s.restart_at_ms)
            start_daemon(&s);
    }
    last_words(&s);
    return code;
}
