/* The side that asks: a pool of idle workers, and one exchange with one of them. See jq_eval.h. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "jq_eval.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "lock.h"
#include "mem.h"

#define MAX_IDLE 8
/* How long an exchange may take: a busy machine gives a worker a tenth of a processor. The limit
 * of processor time is the kernel's; this is for a worker that is stuck. */
#define WAIT_PER_CPU 10
#define GRACE_MS 30000 /* besides that: to start, to send and receive */
#define MAX_REPLY_BYTES (256u * 1024 * 1024)

struct worker {
    pid_t pid;
    int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct worker idle[MAX_IDLE]; /* under the lock */
static size_t n_idle;

/* ---- workers ---- */

static int spawn(int fd, pid_t *ret_pid)
{
    static char name[] = "jq-worker", arg[] = JQ_WORKER_ARG;
    char *const argv[] = {name, arg, NULL};
    char *const env[] = {NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int rc = posix_spawn_file_actions_init(&files);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        if ((rc = posix_spawnattr_setsigmask(&attr, &none)) == 0 &&
            (rc = posix_spawnattr_setsigdefault(&attr, &all)) == 0 &&
            (rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0 &&
            (rc = posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO)) == 0 &&
            (rc = posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)) == 0 &&
            (rc = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0)) == 0 &&
            (rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1)) == 0)
            rc = posix_spawn(ret_pid, "/proc/self/exe", &files, &attr, argv, env);
        (void)posix_spawnattr_destroy(&attr);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return rc;
}

static int start_worker(struct worker *w, struct fm_err *err)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return fm_err_set(err, FM_UNAVAILABLE, NULL, "no jq worker could be started: %s", strerror(errno));
    int rc = spawn(fds[1], &w->pid);
    (void)close(fds[1]);
    if (rc != 0) {
        (void)close(fds[0]);
        return fm_err_set(err, FM_UNAVAILABLE, NULL, "no jq worker could be started: %s", strerror(rc));
    }
    w->fd = fds[0];
    return 0;
}

static bool take_idle(struct worker *w)
{
    bool found = false;
    fm_lock(&lock);
    if (n_idle > 0) {
        *w = idle[--n_idle];
        found = true;
    }
    fm_unlock(&lock);
    return found;
}

/* Ends a worker and says how it ended, as waitpid does. */
static int end_worker(struct worker *w, bool kill_it)
{
    int status = 0;
    if (kill_it)
        (void)kill(w->pid, SIGKILL);
    (void)close(w->fd);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* An idle worker that somebody has killed is no fault of the next program. */
static bool is_alive(const struct worker *w)
{
    char byte;
    return recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

static int take_worker(struct worker *w, struct fm_err *err)
{
    while (take_idle(w)) {
        if (is_alive(w))
            return 0;
        (void)end_worker(w, true);
    }
    return start_worker(w, err);
}

static void give_back(struct worker *w)
{
    bool kept = false;
    fm_lock(&lock);
    if (n_idle < MAX_IDLE) {
        idle[n_idle++] = *w;
        kept = true;
    }
    fm_unlock(&lock);
    if (!kept)
        (void)end_worker(w, false);
}

/* ---- one exchange ---- */

enum exchange { DONE, GONE, TOO_LATE };

/* Waits until the socket is ready for this. */
static enum exchange await(const struct worker *w, short events, int64_t until_ms)
{
    for (;;) {
        int64_t left = until_ms - fm_now_mono_ms();
        struct pollfd p = {.fd = w->fd, .events = events};
        if (left <= 0)
            return TOO_LATE;
        int n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0)
            return DONE;
        if (n < 0 && errno != EINTR)
            return GONE;
    }
}

static enum exchange send_all(const struct worker *w, const void *p, size_t n, int64_t until_ms)
{
    for (const char *at = p; n > 0;) {
        ssize_t put = send(w->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return GONE;
        if (put < 0) {
            enum exchange e = await(w, POLLOUT, until_ms);
            if (e != DONE)
                return e;
            continue;
        }
        at += put;
        n -= (size_t)put;
    }
    return DONE;
}

static enum exchange receive_all(const struct worker *w, void *p, size_t n, int64_t until_ms)
{
    for (char *at = p; n > 0;) {
        ssize_t got = recv(w->fd, at, n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return GONE;
        if (got < 0) {
            enum exchange e = await(w, POLLIN, until_ms);
            if (e != DONE)
                return e;
            continue;
        }
        at += got;
        n -= (size_t)got;
    }
    return DONE;
}

static enum exchange ask(const struct worker *w, const char *program, struct fm_bytes json,
                         const struct jq_limits *limits, struct jq_reply *reply, struct fm_buf *body)
{
    struct jq_request r = {.program_bytes = (uint32_t)strlen(program),
                           .json_bytes = (uint32_t)json.n,
                           .max_outputs = limits->max_outputs,
                           .max_bytes = limits->max_bytes,
                           .cpu_ms = limits->cpu_ms,
                           .compile_only = json.p == NULL,
                           .big_integers = (uint32_t)limits->big_integers};
    int64_t until_ms = fm_now_mono_ms() + (int64_t)limits->cpu_ms * WAIT_PER_CPU + GRACE_MS;
    enum exchange e = send_all(w, &r, sizeof(r), until_ms);
    if (e == DONE)
        e = send_all(w, program, r.program_bytes, until_ms);
    if (e == DONE)
        e = send_all(w, json.p, json.n, until_ms);
    if (e == DONE)
        e = receive_all(w, reply, sizeof(*reply), until_ms);
    if (e != DONE)
        return e;
    if (reply->bytes > MAX_REPLY_BYTES)
        return GONE;
    fm_buf_reserve(body, (size_t)reply->bytes + 1);
    e = receive_all(w, body->p, reply->bytes, until_ms);
    body->n = reply->bytes;
    return e;
}

/* Why a worker ended in the middle of a program. */
static int cause_of_end(int status, bool too_late, const struct jq_limits *limits, struct fm_err *err)
{
    if (too_late || (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF))
        return fm_err_set(err, FM_DEADLINE_EXCEEDED, NULL,
                          "the jq program took longer than %u ms of processor time", limits->cpu_ms);
    return fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
                      "the jq program crashed its worker: it needs more than %llu MiB of memory, or "
                      "recurses too deeply",
                      JQ_MEMORY_BYTES >> 20);
}

/* Without JSON the program is only compiled. */
static int request(const char *program, struct fm_bytes json, const struct jq_limits *limits,
                   struct jq_outputs *ret, struct fm_err *err)
{
    struct worker w;
    struct jq_reply reply = {0};
    fm_auto(fm_buf) body = {0};
    if (strlen(program) > JQ_MAX_PROGRAM_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "the jq program has %zu bytes; the limit is %d",
                          strlen(program), JQ_MAX_PROGRAM_BYTES);
    *ret = (struct jq_outputs){0};
    int rc = take_worker(&w, err);
    if (rc < 0)
        return rc;
    enum exchange e = ask(&w, program, json, limits, &reply, &body);
    if (e != DONE) {
        *ret = (struct jq_outputs){.cpu_us = limits->cpu_ms * 1000};
        return cause_of_end(end_worker(&w, true), e == TOO_LATE, limits, err);
    }
    give_back(&w);
    *ret = (struct jq_outputs){.cpu_us = reply.cpu_us};
    if (reply.code == FM_OK) {
        ret->text = fm_buf_take(&body);
        ret->n = reply.n;
        return 0;
    }
    body.p[body.n] = '\0';
    return fm_err_set(err, (enum fm_code)reply.code, NULL, "the jq program: %s", (const char *)body.p);
}

int jq_eval(const char *program, struct fm_bytes json, const struct jq_limits *limits, struct jq_outputs *ret,
            struct fm_err *err)
{
    return request(program, json.p == NULL ? fm_bytes_of("") : json, limits, ret, err);
}

int jq_check(const char *program, uint32_t cpu_ms, struct fm_err *err)
{
    const struct jq_limits limits = {.cpu_ms = cpu_ms};
    fm_auto(jq_outputs) none = {0};
    return request(program, FM_NO_BYTES, &limits, &none, err);
}

void jq_outputs_done(struct jq_outputs *o)
{
    fm_buf_done(&o->text);
    o->n = 0;
}
