/* Child processes. See process.h. */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utlist.h>

#include "buf.h"
#include "log.h"
#include "mem.h"
#include "secrets.h"

#define DEFAULT_OUTPUT_BYTES (8u * 1024 * 1024)
#define MAX_LOG_LINE 2000
#define MAX_SAID 200 /* of stderr, for the error of a program that fails */
#define SAID_BETWEEN " | "
#define GRACE_MS 2000 /* from the end of its input to SIGTERM, and from its end to that of its output */
#define READ_BYTES 65536

struct processes {
    uv_loop_t *loop;
    struct process *list;
    char self[512]; /* this program */
    char buffer[READ_BYTES];
};

struct process {
    struct process *prev, *next;
    struct processes *all;
    const struct process_events *events;
    void *arg;
    uv_process_t child;
    uv_pipe_t in, out, err;
    uv_timer_t limit;
    struct fm_buf line, err_line;
    size_t max_output, got;
    uint64_t kill_after_ms;
    unsigned open; /* handles that are not closed */
    bool running, out_open, err_open, told, ended_by_us, terminated, resting, mute;
    char job[64]; /* for the log */
    struct fm_process_result result;
    char why[160];
    char said[MAX_SAID + 1];
};

static rlim_t files_before; /* the soft limit of open files before it was raised; 0: it was not */

void process_raise_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= r.rlim_max)
        return;
    rlim_t before = r.rlim_cur;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) == 0)
        files_before = before;
}

/* What is written to a child's stdin. */
struct input {
    uv_write_t write;
    struct process *process;
    char bytes[];
};

/* ---- the child's side ---- */

static void limit_memory(unsigned long long bytes)
{
    struct rlimit r = {bytes, bytes};
    if (bytes > 0 && setrlimit(RLIMIT_AS, &r) < 0)
        fprintf(stderr, "the memory limit of %llu bytes cannot be set: %s\n", bytes, strerror(errno));
}

/* hostd's own limit is higher: a program may close, or count, all descriptors that it could
 * have. */
static void limit_files(unsigned long long soft)
{
    struct rlimit r;
    if (soft == 0 || getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    r.rlim_cur = soft;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

int process_child_main(int argc, char **argv)
{
    if (argc < 6)
        return 126;
    long parent = strtol(argv[2], NULL, 10);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        return 126; /* hostd is gone: so is the reason to run */
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    limit_memory(strtoull(argv[3], NULL, 10));
    limit_files(strtoull(argv[4], NULL, 10));
    closefrom(STDERR_FILENO + 1); /* connections of hostd, and whatever else has no mark of its own */
    (void)execvp(argv[5], &argv[5]);
    int e = errno;
    fprintf(stderr, "%s cannot be started: %s\n", argv[5], strerror(e));
    return e == ENOENT ? 127 : 126;
}

/* ---- ending ---- */

static void kill_group(struct process *p, int signum)
{
    if (p->child.pid > 0)
        (void)kill(-p->child.pid, signum); /* ESRCH: it is gone */
}

static void on_closed(uv_handle_t *h)
{
    struct process *p = h->data;
    if (--p->open > 0)
        return;
    fm_buf_done(&p->line);
    fm_buf_done(&p->err_line);
    free(p);
}

static void close_one(uv_handle_t *h)
{
    if (h->data != NULL && !uv_is_closing(h))
        uv_close(h, on_closed);
}

static void close_all(struct process *p)
{
    close_one((uv_handle_t *)&p->child);
    close_one((uv_handle_t *)&p->in);
    close_one((uv_handle_t *)&p->out);
    close_one((uv_handle_t *)&p->err);
    close_one((uv_handle_t *)&p->limit);
}

/* Everything of it has ended: says so, once. */
static void tell(struct process *p)
{
    if (p->running || p->out_open || p->err_open || p->told)
        return;
    p->told = true;
    DL_DELETE(p->all->list, p);
    p->result.error = p->why;
    p->result.said = p->said;
    if (p->events != NULL)
        p->events->on_end(p->arg, &p->result);
    close_all(p);
}

static void end(struct process *p, int signum, const char *why)
{
    if (p->why[0] == '\0')
        snprintf(p->why, sizeof(p->why), "%s", why);
    p->ended_by_us = true;
    kill_group(p, signum);
}

static void on_limit(uv_timer_t *timer);

static void terminate(struct process *p, const char *why)
{
    p->terminated = true;
    end(p, p->kill_after_ms > 0 ? SIGTERM : SIGKILL, why);
    (void)uv_timer_start(&p->limit, on_limit, p->kill_after_ms, 0);
}

static void on_child_exit(uv_process_t *child, int64_t status, int signum)
{
    struct process *p = child->data;
    p->running = false;
    p->result.signal = signum;
    p->result.exit_code = signum == 0 ? (int)status : -1;
    if (p->why[0] == '\0' && signum != 0)
        snprintf(p->why, sizeof(p->why), "it was ended by signal %d (%s)", signum, strsignal(signum));
    kill_group(p, SIGKILL); /* what it has left behind */
    if (p->out_open || p->err_open)
        (void)uv_timer_start(&p->limit, on_limit, GRACE_MS, 0);
    tell(p);
}

static void on_in_closed(uv_shutdown_t *s, int status)
{
    struct process *p = s->data;
    (void)status;
    free(s);
    close_one((uv_handle_t *)&p->in);
}

void process_close_input(struct process *p)
{
    uv_shutdown_t *s = fm_xcalloc(1, sizeof(*s));
    s->data = p;
    if (!uv_is_closing((uv_handle_t *)&p->in) &&
        uv_shutdown(s, (uv_stream_t *)&p->in, on_in_closed) == 0) /* after what is to be written */
        return;
    free(s);
    close_one((uv_handle_t *)&p->in);
}

/* Ends its input, and after a grace the process. What it says is not told any more. */
static void retire(struct process *p)
{
    p->resting = false;
    p->ended_by_us = true;
    process_close_input(p);
    (void)uv_timer_start(&p->limit, on_limit, GRACE_MS, 0);
}

static void on_limit(uv_timer_t *timer)
{
    struct process *p = timer->data;
    if (!p->running) { /* something that left its group holds the pipes: nobody waits for that */
        p->out_open = p->err_open = false;
        tell(p);
        return;
    }
    if (p->resting) {
        retire(p);
        return;
    }
    if (p->mute) {
        end(p, SIGKILL, "it closed its output but did not exit");
        return;
    }
    if (p->terminated) {
        kill_group(p, SIGKILL);
        return;
    }
    p->result.timed_out = true;
    terminate(p, "it took longer than its time limit");
}

/* ---- its output ---- */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct process *p = h->data;
    (void)hint;
    *buf = uv_buf_init(p->all->buffer, READ_BYTES);
}

static void take_line(struct process *p, const char *line, size_t n)
{
    if (p->events != NULL && !p->ended_by_us && !p->events->on_line(p->arg, line, n))
        end(p, SIGKILL, "its output was refused");
}

/* Hands out the complete lines in `have` followed by `n` bytes; keeps the rest. */
static void split_lines(struct process *p, struct fm_buf *have, const char *bytes, size_t n,
                        void (*take)(struct process *, const char *, size_t))
{
    const char *newline;
    while (n > 0 && (newline = memchr(bytes, '\n', n)) != NULL) {
        size_t length = (size_t)(newline - bytes);
        if (have->n > 0) {
            fm_buf_append(have, bytes, length);
            take(p, (const char *)have->p, have->n);
            fm_buf_reset(have);
        } else {
            take(p, bytes, length);
        }
        bytes += length + 1;
        n -= length + 1;
    }
    if (n > 0)
        fm_buf_append(have, bytes, n);
}

static void on_out(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = s->data;
    if (n < 0) {
        if (p->line.n > 0)
            take_line(p, (const char *)p->line.p, p->line.n);
        fm_buf_reset(&p->line);
        p->out_open = false;
        (void)uv_read_stop(s);
        if (p->running && p->events != NULL && p->events->serves && !p->terminated) {
            p->mute = true;
            p->resting = false;
            (void)uv_timer_start(&p->limit, on_limit, GRACE_MS, 0);
        }
        tell(p);
        return;
    }
    p->got += (size_t)n;
    if (p->got > p->max_output && !p->result.too_much_output) {
        char why[160];
        snprintf(why, sizeof(why), "its output has more than %zu bytes", p->max_output);
        p->result.too_much_output = true;
        end(p, SIGKILL, why);
    }
    if (!p->result.too_much_output)
        split_lines(p, &p->line, buf->base, (size_t)n, take_line);
    if (p->events != NULL && p->events->on_read != NULL)
        p->events->on_read(p->arg);
}

/* Keeps as many of the last lines as there is room for, and of a line that is too long its
 * beginning. */
static void keep_said(struct process *p, const char *line)
{
    size_t n = fm_utf8_cut(line, MAX_SAID), between = strlen(SAID_BETWEEN);
    if (line[strspn(line, " \t\r")] == '\0')
        return;
    while (p->said[0] != '\0' && strlen(p->said) + between + n > MAX_SAID) {
        const char *next = strstr(p->said, SAID_BETWEEN);
        if (next == NULL)
            p->said[0] = '\0';
        else
            memmove(p->said, next + between, strlen(next + between) + 1);
    }
    size_t had = strlen(p->said);
    snprintf(p->said + had, sizeof(p->said) - had, "%s%.*s", had > 0 ? SAID_BETWEEN : "", (int)n, line);
}

static void log_line(struct process *p, const char *line, size_t n)
{
    char text[MAX_LOG_LINE + 1];
    size_t kept = n < MAX_LOG_LINE ? n : MAX_LOG_LINE;
    memcpy(text, line, kept);
    text[kept] = '\0';
    secrets_hide_known(text, kept);
    keep_said(p, text);
    FM_LOG(INFO, EXECUTION, "a child process wrote to stderr", FM_I64("pid", p->child.pid),
           FM_STR("job", p->job), FM_STR("text", text));
}

static void on_err(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = s->data;
    if (n < 0) {
        if (p->err_line.n > 0)
            log_line(p, (const char *)p->err_line.p, p->err_line.n);
        p->err_open = false;
        (void)uv_read_stop(s);
        tell(p);
        return;
    }
    split_lines(p, &p->err_line, buf->base, (size_t)n, log_line);
    if (p->err_line.n > MAX_LOG_LINE) {
        log_line(p, (const char *)p->err_line.p, p->err_line.n);
        fm_buf_reset(&p->err_line);
    }
}

/* ---- its input ---- */

static void on_written(uv_write_t *w, int status)
{
    struct input *i = w->data;
    struct process *p = i->process;
    if (status < 0 && status != UV_ECANCELED && p->events != NULL && p->events->serves)
        end(p, SIGKILL, "it no longer reads its input");
    free(i);
}

void process_write(struct process *p, const void *bytes, size_t n)
{
    if (n == 0 || uv_is_closing((uv_handle_t *)&p->in))
        return;
    struct input *i = fm_xcalloc(1, sizeof(*i) + n);
    memcpy(i->bytes, bytes, n);
    i->process = p;
    i->write.data = i;
    uv_buf_t buf = uv_buf_init(i->bytes, (unsigned)n);
    if (uv_write(&i->write, (uv_stream_t *)&p->in, &buf, 1, on_written) < 0)
        free(i);
}

/* ---- starting ---- */

static char **child_argv(struct processes *all, const struct fm_process *p, char numbers[3][32])
{
    size_t n = 0;
    while (p->argv[n] != NULL)
        n++;
    char **argv = fm_xcalloc(n + 6, sizeof(*argv));
    snprintf(numbers[0], 32, "%ld", (long)getpid());
    snprintf(numbers[1], 32, "%zu", p->max_memory_bytes);
    snprintf(numbers[2], 32, "%llu", (unsigned long long)files_before);
    argv[0] = all->self;
    argv[1] = (char *)(uintptr_t)PROCESS_CHILD_ARG;
    argv[2] = numbers[0];
    argv[3] = numbers[1];
    argv[4] = numbers[2];
    for (size_t i = 0; i < n; i++)
        argv[5 + i] = (char *)(uintptr_t)p->argv[i];
    return argv;
}

static bool is_overridden(const char *var, const char *const *env)
{
    const char *eq = strchr(var, '=');
    size_t n = eq == NULL ? strlen(var) : (size_t)(eq - var) + 1;
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        if (strncmp(env[i], var, n) == 0)
            return true;
    return false;
}

/* What programs need to know where they are. LD_LIBRARY_PATH, for they are started through this very
 * program. */
static bool is_inherited(const char *var)
{
    static const char *const names[] = {"PATH", "HOME", "USER",   "LOGNAME",  "SHELL",          "LANG",
                                        "TZ",   "TERM", "TMPDIR", "LANGUAGE", "LD_LIBRARY_PATH"};
    size_t n = strcspn(var, "=");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == n && strncmp(var, names[i], n) == 0)
            return true;
    return strncmp(var, "LC_", 3) == 0;
}

char **process_env(const char *const *more)
{
    size_t own = 0, others = 0, n = 0;
    while (environ[own] != NULL)
        own++;
    while (more != NULL && more[others] != NULL)
        others++;
    char **env = fm_xcalloc(own + others + 1, sizeof(*env));
    for (size_t i = 0; i < own; i++)
        if (is_inherited(environ[i]) && !is_overridden(environ[i], more))
            env[n++] = environ[i];
    for (size_t i = 0; i < others; i++)
        env[n++] = (char *)(uintptr_t)more[i];
    return env;
}

static void init_handles(struct process *p)
{
    uv_loop_t *loop = p->all->loop;
    (void)uv_pipe_init(loop, &p->in, 0);
    (void)uv_pipe_init(loop, &p->out, 0);
    (void)uv_pipe_init(loop, &p->err, 0);
    (void)uv_timer_init(loop, &p->limit);
    p->in.data = p->out.data = p->err.data = p->limit.data = p;
    p->open = 4;
}

static int spawn(struct process *p, const struct fm_process *want)
{
    char numbers[3][32];
    fm_autofree char **argv = child_argv(p->all, want, numbers);
    fm_autofree char **env = process_env(want->env);
    uv_stdio_container_t stdio[3] = {
        {(uv_stdio_flags)(UV_CREATE_PIPE | UV_READABLE_PIPE), {(uv_stream_t *)&p->in} },
        {(uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE), {(uv_stream_t *)&p->out}},
        {(uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE), {(uv_stream_t *)&p->err}}
    };
    uv_process_options_t o = {.exit_cb = on_child_exit,
                              .file = p->all->self,
                              .args = argv,
                              .env = env,
                              .cwd = want->cwd,
                              .flags = UV_PROCESS_DETACHED,
                              .stdio_count = 3,
                              .stdio = stdio};
    int rc = uv_spawn(p->all->loop, &p->child, &o);
    p->child.data = p; /* also after a failure libuv has a handle to close */
    p->open++;
    return rc;
}

static void on_start_failed(uv_timer_t *timer)
{
    tell(timer->data);
}

struct process *process_open(struct processes *all, const struct fm_process *want,
                             const struct process_events *events, void *arg)
{
    struct process *p = fm_xcalloc(1, sizeof(*p));
    p->all = all;
    p->events = events;
    p->arg = arg;
    p->max_output = want->max_output_bytes > 0 ? want->max_output_bytes : DEFAULT_OUTPUT_BYTES;
    p->kill_after_ms = PROCESS_KILL_AFTER_MS;
    p->result.exit_code = -1;
    DL_APPEND(all->list, p);
    init_handles(p);
    int rc = spawn(p, want);
    if (rc == 0) {
        FM_LOG(DEBUG, EXECUTION, "child process started", FM_I64("pid", p->child.pid),
               FM_STR("program", want->argv[0]));
        p->running = p->out_open = p->err_open = true;
        (void)uv_read_start((uv_stream_t *)&p->out, on_alloc, on_out);
        (void)uv_read_start((uv_stream_t *)&p->err, on_alloc, on_err);
        return p;
    }
    struct stat st;
    if (want->cwd != NULL &&
        (stat(want->cwd, &st) < 0 || !S_ISDIR(st.st_mode) || access(want->cwd, X_OK) < 0))
        snprintf(p->why, sizeof(p->why), "the working directory %.100s cannot be used: %s", want->cwd,
                 uv_strerror(rc));
    else
        snprintf(p->why, sizeof(p->why), "%.100s cannot be started: %s", want->argv[0], uv_strerror(rc));
    (void)uv_timer_start(&p->limit, on_start_failed, 0, 0);
    return p;
}

/* ---- what its owner does with it ---- */

void process_task(struct process *p, const char *job, uint64_t timeout_ms)
{
    snprintf(p->job, sizeof(p->job), "%s", job);
    p->got = 0;
    if (!p->running)
        return;
    p->resting = false;
    (void)uv_timer_stop(&p->limit);
    if (timeout_ms > 0)
        (void)uv_timer_start(&p->limit, on_limit, timeout_ms, 0);
}

void process_rest(struct process *p, uint64_t ms)
{
    p->job[0] = '\0';
    if (!process_usable(p))
        return;
    p->resting = true;
    (void)uv_timer_start(&p->limit, on_limit, ms, 0);
}

bool process_usable(const struct process *p)
{
    return p->running && p->out_open && !p->ended_by_us && !uv_is_closing((const uv_handle_t *)&p->in);
}

void process_kill(struct process *p, const char *why)
{
    end(p, SIGKILL, why);
}

void process_cancel(struct process *p)
{
    p->resting = p->mute = false;
    if (p->running && !p->terminated)
        terminate(p, "cancelled");
}

void process_drop(struct process *p)
{
    p->events = NULL;
    process_cancel(p);
}

void process_kill_after(struct process *p, uint64_t ms)
{
    p->kill_after_ms = ms;
}

bool process_in_line(const struct process *p)
{
    return p->line.n > 0;
}

int64_t process_pid(const struct process *p)
{
    return p->child.pid;
}

struct processes *processes_new(uv_loop_t *loop)
{
    struct processes *all = fm_xcalloc(1, sizeof(*all));
    all->loop = loop;
    ssize_t n = readlink("/proc/self/exe", all->self, sizeof(all->self) - 1);
    if (n <= 0)
        fm_abort("/proc/self/exe cannot be read");
    return all;
}

void processes_stop(struct processes *all)
{
    struct process *p, *tmp;
    DL_FOREACH_SAFE (all->list, p, tmp) {
        p->told = true;
        DL_DELETE(all->list, p);
        p->events = NULL;
        end(p, SIGKILL, "hostd ends");
        close_all(p);
    }
}

void processes_free(struct processes *all)
{
    free(all);
}
