/* Child processes of tests. See proc.h. */
#define _GNU_SOURCE
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "mem.h"

extern char **environ;

long long test_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void test_pause(long long until_ms, const char *what)
{
    if (test_now_ms() > until_ms)
        fail_msg("this did not happen in time: %s", what);
    struct timespec t = {0, 10000000};
    nanosleep(&t, NULL);
}

/* Daemons of a test that has failed are not left behind. */
static pid_t children[64];

static void kill_children(void)
{
    for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++)
        if (children[i] > 0)
            (void)kill(children[i], SIGKILL);
}

/* Replaces one pid in the list by another; 0 is a free place. */
static void note_child(pid_t old, pid_t now)
{
    static bool registered;
    if (!registered)
        registered = atexit(kill_children) == 0;
    for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
        if (children[i] == old) {
            children[i] = now;
            return;
        }
    }
}

static pid_t spawn(const char *const argv[], int in, int out, int err)
{
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_adddup2(&a, in, 0);
    posix_spawn_file_actions_adddup2(&a, out, 1);
    posix_spawn_file_actions_adddup2(&a, err, 2);
    pid_t pid;
    int rc = posix_spawnp(&pid, argv[0], &a, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&a);
    if (rc != 0)
        fail_msg("%s cannot be started: %s", argv[0], strerror(rc));
    return pid;
}

static void make_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) < 0)
        fail_msg("pipe: %s", strerror(errno));
}

static int open_err(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return fd;
}

static void start(struct proc *p, const char *err_file, const char *const argv[], bool talk)
{
    int out[2], in[2] = {-1, -1}, err = open_err(err_file);
    if (talk)
        make_pipe(in);
    else
        in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    memset(p, 0, sizeof(*p));
    snprintf(p->err_file, sizeof(p->err_file), "%s", err_file);
    make_pipe(out);
    p->pid = spawn(argv, in[0], out[1], err);
    note_child(0, p->pid);
    close(out[1]);
    close(in[0]);
    p->in = in[1];
    close(err);
    p->out = out[0];
}

bool proc_line(struct proc *p)
{
    long long until = test_now_ms() + DEADLINE_MS;
    size_t n = 0;
    while (n < sizeof(p->line) - 1) {
        struct pollfd pfd = {p->out, POLLIN, 0};
        long long left = until - test_now_ms();
        if (left <= 0 || poll(&pfd, 1, (int)left) <= 0)
            fail_msg("no line came from pid %d; see %s", (int)p->pid, p->err_file);
        ssize_t k = read(p->out, p->line + n, 1);
        if (k <= 0)
            return false;
        if (p->line[n] == '\n')
            break;
        n++;
    }
    p->line[n] = '\0';
    return true;
}

void proc_start(struct proc *p, const char *err_file, const char *const argv[])
{
    start(p, err_file, argv, false);
    if (!proc_line(p)) {
        char *text = file_text(err_file);
        fail_msg("%s ended before it was ready: %s", argv[0], text);
    }
}

char *proc_fails(const char *err_file, int code, const char *const argv[])
{
    struct proc p;
    start(&p, err_file, argv, false);
    if (proc_line(&p))
        fail_msg("%s should have failed, but said: %s", argv[0], p.line);
    int got = proc_wait(&p);
    char *text = file_text(err_file);
    if (code >= 0 ? got != code : got <= 0)
        fail_msg("%s ended with %d: %s", argv[0], got, text);
    return text;
}

void proc_talk(struct proc *p, const char *err_file, const char *const argv[])
{
    start(p, err_file, argv, true);
}

void proc_say(struct proc *p, const char *text)
{
    assert_int_equal(write(p->in, text, strlen(text)), strlen(text));
}

void proc_hear(struct proc *p, const char *text)
{
    do {
        if (!proc_line(p)) {
            char *err = file_text(p->err_file);
            fail_msg("\"%s\" was not said: %s", text, err);
        }
    } while (strstr(p->line, text) == NULL);
}

void proc_kill(struct proc *p, int signal)
{
    assert_true(p->pid > 0);
    assert_int_equal(kill(p->pid, signal), 0);
}

static bool is_daemon(pid_t pid)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool ok = fgets(name, sizeof(name), f) != NULL;
    (void)fclose(f);
    return ok && (strcmp(name, "hostd\n") == 0 || strcmp(name, "probe_hostd\n") == 0);
}

static pid_t find_daemon(pid_t supervisor, pid_t other_than)
{
    char path[64];
    int pid, found = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)supervisor, (int)supervisor);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    while (found == 0 && fscanf(f, "%d", &pid) == 1)
        if (pid != other_than && is_daemon(pid))
            found = pid;
    (void)fclose(f);
    return found;
}

pid_t proc_daemon(const struct proc *p, pid_t other_than)
{
    long long until = test_now_ms() + DEADLINE_MS;
    pid_t pid;
    while ((pid = find_daemon(p->pid, other_than)) == 0)
        test_pause(until, "a supervisor has its daemon");
    return pid;
}

bool proc_gone(pid_t pid)
{
    char path[64], state = 'X';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return true;
    bool read = fscanf(f, "%*d (%*[^)]) %c", &state) == 1;
    (void)fclose(f);
    return !read || state == 'Z' || state == 'X';
}

int proc_wait(struct proc *p)
{
    long long until = test_now_ms() + DEADLINE_MS;
    int status;
    pid_t got;
    while ((got = waitpid(p->pid, &status, WNOHANG)) == 0) {
        if (test_now_ms() > until) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, &status, 0);
            fail_msg("pid %d did not end; see %s", (int)p->pid, p->err_file);
        }
        test_pause(until + 1000, "the end of a process");
    }
    note_child(p->pid, 0);
    assert_int_equal(got, p->pid);
    close(p->out);
    if (p->in > 0)
        close(p->in);
    p->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void proc_stop(struct proc *p)
{
    if (p->pid == 0)
        return;
    kill(p->pid, SIGTERM);
    int code = proc_wait(p);
    if (code != 0) {
        char *text = file_text(p->err_file);
        fprintf(stderr, "%s:\n%s\n", p->err_file,
                text); /* cmocka cuts long messages off, a sanitizer's report too */
        fail_msg("a daemon ended with %d", code);
    }
}

void proc_kill9(struct proc *p)
{
    proc_kill(p, SIGKILL);
    assert_int_equal(proc_wait(p), -SIGKILL);
}

/* ---- commands ---- */

struct output {
    char *text;
    size_t n;
};

static void collect(int fd, struct output *o)
{
    o->text = fm_xrealloc(o->text, o->n + 65537);
    ssize_t k = read(fd, o->text + o->n, 65536);
    if (k > 0)
        o->n += (size_t)k;
    o->text[o->n] = '\0';
}

static void drain(int fds[2], struct output outputs[2])
{
    struct pollfd pfds[2] = {
        {fds[0], POLLIN, 0},
        {fds[1], POLLIN, 0}
    };
    int open_fds = 2;
    while (open_fds > 0) {
        if (poll(pfds, 2, 900000) <= 0)
            fail_msg("a command hangs");
        for (int i = 0; i < 2; i++) {
            if (pfds[i].revents == 0)
                continue;
            size_t before = outputs[i].n;
            collect(pfds[i].fd, &outputs[i]);
            if (outputs[i].n == before) {
                close(pfds[i].fd);
                pfds[i].fd = -1;
                open_fds--;
            }
        }
    }
}

int proc_run(const char *const argv[], const char *input, char **ret_out, char **ret_err)
{
    int in[2], out[2], err[2];
    make_pipe(in);
    make_pipe(out);
    make_pipe(err);
    pid_t pid = spawn(argv, in[0], out[1], err[1]);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    size_t left = input == NULL ? 0 : strlen(input);
    while (left > 0) {
        ssize_t k = write(in[1], input, left);
        if (k <= 0)
            break;
        input += k;
        left -= (size_t)k;
    }
    close(in[1]);
    struct output outputs[2] = {
        {fm_xstrdup(""), 0},
        {fm_xstrdup(""), 0}
    };
    int fds[2] = {out[0], err[0]};
    drain(fds, outputs);
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    *ret_out = outputs[0].text;
    *ret_err = outputs[1].text;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

char *file_text(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct output o = {fm_xstrdup(""), 0};
    if (fd < 0)
        return o.text;
    size_t before;
    do {
        before = o.n;
        collect(fd, &o);
    } while (o.n > before);
    close(fd);
    return o.text;
}
