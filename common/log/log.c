/* Logging. Callers format into a stack buffer and copy it into a queue under a mutex that nobody
 * holds longer than a copy takes. The writer thread swaps the queue with an empty one and
 * writes, waiting with poll. Several programs can share a pipe, so its write may block all the
 * same: fm_log_stop waits for the thread for a bounded time and then leaves it and its queue
 * behind. See log.h. */
#include "log.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "lock.h"
#include "mem.h"

#define LINE_BYTES 4096
#define FLUSH_MS 500
#define STOP_MS (2 * FLUSH_MS)
#define GATHER_MS                                                                                            \
    5 /* lines that come so soon after others are written together, for each writing wakes a thread */

static const char *const level_names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"};
static const char *const category_names[] = {"FLOW",  "ROUTINE",   "STATE", "STORAGE", "LLM",
                                             "EVENT", "EXECUTION", "HOST",  "RPC"};

static atomic_int levels[FM_LOG_CATEGORIES] = {FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO,
                                               FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO,
                                               FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO};
static atomic_bool as_json, absolute;
static atomic_llong start_us;    /* 0: nothing was logged yet */
static atomic_ullong lines_lost; /* dropped by a full queue, or not taken by the output */

struct queue {
    pthread_t thread;
    pthread_cond_t wake, ended;
    int fd, stop_fd; /* the output; readable once stopping */
    char *text;
    size_t cap, used;
    bool full; /* something was dropped since the last swap: nothing gets in before the report */
    unsigned long long reported; /* how much of lines_lost */
    bool urgent;                 /* what is there does not wait for more */
    int64_t gather_until_ms;
    bool stopping, done, left_behind;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue *out;          /* under lock; NULL while no thread runs */
static atomic_bool output_blocked; /* when the thread was stopped: later lines do not wait for it again */

bool fm_log_enabled(enum fm_log_level level, enum fm_log_category category)
{
    return (int)level >= atomic_load_explicit(&levels[category], memory_order_relaxed);
}

/* ---- levels ---- */

static int name_index(const char *const *names, size_t n_names, const char *s, size_t n)
{
    for (size_t i = 0; i < n_names; i++)
        if (strlen(names[i]) == n && strncasecmp(names[i], s, n) == 0)
            return (int)i;
    return -1;
}

/* Parses "level" or "category=level" into the table. */
static int set_one(int table[FM_LOG_CATEGORIES], const char *s, size_t n, struct fm_err *err)
{
    const char *eq = memchr(s, '=', n);
    const char *level = eq == NULL ? s : eq + 1;
    int l =
        name_index(level_names, sizeof(level_names) / sizeof(level_names[0]), level, n - (size_t)(level - s));
    if (l < 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "log-level",
                          "\"%.*s\" is not a level; expected trace, debug, info, warn, error or off", (int)n,
                          s);
    if (eq == NULL) {
        for (int i = 0; i < FM_LOG_CATEGORIES; i++)
            table[i] = l;
        return 0;
    }
    int c = name_index(category_names, FM_LOG_CATEGORIES, s, (size_t)(eq - s));
    if (c < 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "log-level",
                          "\"%.*s\" is not a category; expected flow, routine, state, storage, llm, event, "
                          "execution, host or rpc",
                          (int)(eq - s), s);
    table[c] = l;
    return 0;
}

void fm_log_set_absolute(bool is_absolute)
{
    atomic_store(&absolute, is_absolute);
}

void fm_log_set_json(bool json)
{
    atomic_store(&as_json, json);
}

int fm_log_set_levels(const char *text, struct fm_err *err)
{
    int table[FM_LOG_CATEGORIES];
    if (text == NULL)
        return 0;
    for (int i = 0; i < FM_LOG_CATEGORIES; i++)
        table[i] = atomic_load(&levels[i]);
    for (;;) {
        size_t n = strcspn(text, ",");
        int rc = set_one(table, text, n, err);
        if (rc < 0)
            return rc;
        if (text[n] == '\0')
            break;
        text += n + 1;
    }
    for (int i = 0; i < FM_LOG_CATEGORIES; i++)
        atomic_store(&levels[i], table[i]);
    return 0;
}

/* ---- lines ---- */

struct line {
    char text[LINE_BYTES];
    size_t n;
};

static void put(struct line *l, const char *s, size_t n)
{
    size_t room = sizeof(l->text) - 2 - l->n; /* the newline and a closing brace always fit */
    if (n > room)
        n = room;
    memcpy(l->text + l->n, s, n);
    l->n += n;
}

static void put_text(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* A string with what would break a line or JSON escaped; bytes that are not UTF-8 become '?'. */
static void put_escaped(struct line *l, const char *s)
{
    for (size_t left = strlen(s); left > 0;) {
        size_t len = fm_utf8_sequence((const uint8_t *)s, left);
        unsigned char ch = (unsigned char)s[0];
        char esc[8];
        if (l->n > sizeof(l->text) - 64) {
            put_text(l, "...");
            return;
        }
        if (len == 0) {
            put(l, "?", 1);
            len = 1;
        } else if (ch == '"' || ch == '\\') {
            esc[0] = '\\';
            esc[1] = (char)ch;
            put(l, esc, 2);
        } else if (ch < 0x20 || ch == 0x7f) {
            int k = snprintf(esc, sizeof(esc), "\\u%04x", (unsigned)ch);
            put(l, esc, (size_t)k);
        } else {
            put(l, s, len);
        }
        s += len;
        left -= len;
    }
}

static void put_value(struct line *l, const struct fm_log_kv *kv, bool quote)
{
    char num[40];
    switch (kv->kind) {
    case FM_KIND_STR: {
        const char *s = kv->v.s == NULL ? "" : kv->v.s;
        bool plain = !quote && s[0] != '\0' && strpbrk(s, " \t\n\"=\\") == NULL;
        if (!plain)
            put(l, "\"", 1);
        put_escaped(l, s);
        if (!plain)
            put(l, "\"", 1);
        return;
    }
    case FM_KIND_U64:
        snprintf(num, sizeof(num), "%llu", (unsigned long long)kv->v.u);
        break;
    case FM_KIND_I64:
        snprintf(num, sizeof(num), "%lld", (long long)kv->v.i);
        break;
    case FM_KIND_DBL:
        if (quote && !isfinite(kv->v.d))
            snprintf(num, sizeof(num), "null"); /* JSON has no other word for it */
        else
            snprintf(num, sizeof(num), "%.6g", kv->v.d);
        break;
    }
    put_text(l, num);
}

/* The first line ever is time 0 until fm_log_start. */
static int64_t since_start_us(void)
{
    long long now = (long long)fm_now_mono_us(), start = 0;
    return atomic_compare_exchange_strong(&start_us, &start, now) ? 0 : now - start;
}

/* The time of day, UTC. */
static void put_time(char *when, size_t size)
{
    int64_t ms = fm_now_wall_ms();
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(when, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + n, size - n, ".%03dZ", (int)(ms % 1000));
}

static void format_text(struct line *l, const char *level, const char *category, const char *message,
                        const struct fm_log_kv *kv)
{
    char head[96], when[40];
    int64_t ms = since_start_us() / 1000;
    if (atomic_load(&absolute))
        put_time(when, sizeof(when));
    else
        snprintf(when, sizeof(when), "+%lld.%03llds", (long long)(ms / 1000), (long long)(ms % 1000));
    snprintf(head, sizeof(head), "%s %-5s %-9s ", when, level, category);
    put_text(l, head);
    put_text(l, message);
    for (; kv->key != NULL && l->n < sizeof(l->text) - 128; kv++) {
        put(l, " ", 1);
        put_text(l, kv->key);
        put(l, "=", 1);
        put_value(l, kv, false);
    }
}

static void format_json(struct line *l, const char *level, const char *category, const char *message,
                        const struct fm_log_kv *kv)
{
    char head[160], when[40];
    put_time(when, sizeof(when));
    snprintf(head, sizeof(head), "{\"time\":\"%s\",\"level\":\"%s\",\"category\":\"%s\",\"msg\":\"", when,
             level, category);
    put_text(l, head);
    put_escaped(l, message);
    put(l, "\"", 1);
    for (; kv->key != NULL && l->n < sizeof(l->text) - 128; kv++) {
        put_text(l, ",\"");
        put_text(l, kv->key);
        put_text(l, "\":");
        put_value(l, kv, true);
    }
    l->text[l->n++] = '}';
}

static void format_line(struct line *l, const char *level, const char *category, const char *message,
                        const struct fm_log_kv *kv)
{
    l->n = 0;
    if (atomic_load(&as_json))
        format_json(l, level, category, message, kv);
    else
        format_text(l, level, category, message, kv);
    l->text[l->n++] = '\n';
}

/* ---- output ---- */

/* Writes, waiting for a blocked output until deadline_ms; with deadline -1 until stop_fd becomes
 * readable, and FLUSH_MS longer. Returns how much was written: less than n when it gave up or
 * the output failed. */
static size_t write_all(int fd, int stop_fd, const char *p, size_t n, int64_t deadline_ms)
{
    size_t done = 0;
    while (done < n) {
        struct pollfd fds[2] = {
            {.fd = fd,                             .events = POLLOUT},
            {.fd = deadline_ms < 0 ? stop_fd : -1, .events = POLLIN }
        };
        int64_t wait = deadline_ms < 0 ? -1 : deadline_ms - fm_now_mono_ms();
        if (deadline_ms >= 0 && wait <= 0)
            return done;
        if (poll(fds, 2, (int)wait) < 0) {
            if (errno != EINTR)
                return done;
            continue;
        }
        if (fds[1].revents != 0)
            deadline_ms = fm_now_mono_ms() + FLUSH_MS;
        if (fds[0].revents == 0)
            continue;
        size_t piece = n - done < 4096 ? n - done : 4096; /* PIPE_BUF: poll promises that much */
        ssize_t k = write(fd, p + done, piece);
        if (k < 0 && errno != EINTR && errno != EAGAIN)
            return done;
        done += k > 0 ? (size_t)k : 0;
    }
    return done;
}

static unsigned count_lines(const char *p, size_t n)
{
    unsigned lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

/* Puts the number of lines lost since the last report at the head of the empty queue. Under the
 * lock. */
static void report_lost(struct queue *q)
{
    struct line l;
    unsigned long long lost = atomic_load(&lines_lost);
    if (lost == q->reported)
        return;
    format_line(&l, "WARN", "LOG", "log lines dropped",
                (const struct fm_log_kv[]){FM_U64("count", lost - q->reported), FM_LOG_END});
    q->reported = lost;
    memcpy(q->text, l.text, l.n);
    q->used = l.n;
}

static void queue_free(struct queue *q)
{
    (void)close(q->stop_fd);
    (void)pthread_cond_destroy(&q->wake);
    (void)pthread_cond_destroy(&q->ended);
    free(q->text);
    free(q);
}

static void wait_for_lines(struct queue *q)
{
    while (q->used == 0 && !q->stopping)
        (void)pthread_cond_wait(&q->wake, &lock);
    struct timespec until = {q->gather_until_ms / 1000, q->gather_until_ms % 1000 * 1000000};
    while (!q->urgent && !q->stopping && pthread_cond_timedwait(&q->wake, &lock, &until) == 0)
        continue;
}

static void *writer(void *arg)
{
    struct queue *q = arg;
    char *mine = fm_xmalloc(q->cap);
    fm_lock(&lock);
    for (;;) {
        wait_for_lines(q);
        if (q->used == 0)
            break;
        char *text = q->text;
        size_t n = q->used;
        q->text = mine;
        q->used = 0;
        q->full = q->urgent = false;
        report_lost(q);
        mine = text;
        fm_unlock(&lock);
        size_t written = write_all(q->fd, q->stop_fd, mine, n, -1);
        fm_lock(&lock);
        q->gather_until_ms = fm_now_mono_ms() + GATHER_MS;
        if (written < n) {
            atomic_fetch_add(&lines_lost, count_lines(mine + written, n - written));
            if (q->stopping) {
                atomic_store(&output_blocked, true);
                break;
            }
        }
    }
    q->done = true;
    bool left_behind = q->left_behind;
    (void)pthread_cond_signal(&q->ended);
    fm_unlock(&lock);
    free(mine);
    if (left_behind)
        queue_free(q);
    return NULL;
}

void fm_log_write(enum fm_log_level level, enum fm_log_category category, const char *message,
                  const struct fm_log_kv *keys)
{
    struct line l;
    format_line(&l, level_names[level], category_names[category], message, keys);
    fm_lock(&lock);
    struct queue *q = out;
    if (q == NULL) {
        fm_unlock(&lock);
        if (atomic_load(&output_blocked) ||
            write_all(STDERR_FILENO, -1, l.text, l.n, fm_now_mono_ms() + FLUSH_MS) < l.n)
            atomic_fetch_add(&lines_lost, 1);
        return;
    }
    if (q->full || q->cap - q->used < l.n) {
        q->full = true;
        atomic_fetch_add(&lines_lost, 1);
    } else {
        memcpy(q->text + q->used, l.text, l.n);
        bool first = q->used == 0, urgent = level >= FM_LOG_WARN || q->used + l.n > q->cap / 2;
        q->used += l.n;
        if (first || (urgent && !q->urgent))
            (void)pthread_cond_signal(&q->wake);
        q->urgent = q->urgent || urgent;
    }
    fm_unlock(&lock);
}

/* ---- start and stop ---- */

static struct queue *queue_new(const struct fm_log_config *cfg)
{
    struct queue *q = fm_xcalloc(1, sizeof(*q));
    pthread_condattr_t attr;
    size_t wanted = cfg->queue_bytes > 0 ? cfg->queue_bytes : 1u << 20;
    q->fd = cfg->fd;
    q->stop_fd = eventfd(0, EFD_CLOEXEC);
    q->cap = wanted > 2 * LINE_BYTES ? wanted : 2 * LINE_BYTES; /* a report and a line always fit */
    q->text = fm_xmalloc(q->cap);
    q->reported = atomic_load(&lines_lost);
    /* None of these can fail on Linux. */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&q->wake, &attr);
    (void)pthread_cond_init(&q->ended, &attr);
    (void)pthread_condattr_destroy(&attr);
    return q;
}

/* The thread takes no signals: they are for the main thread, and a SIGPIPE of its writes must
 * end nothing. */
static int start_thread(struct queue *q)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&q->thread, NULL, writer, q);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int fm_log_start(const struct fm_log_config *cfg, struct fm_err *err)
{
    int rc = fm_log_set_levels(cfg->levels, err);
    if (rc < 0)
        return rc;
    struct queue *q = queue_new(cfg);
    fm_lock(&lock);
    bool running = out != NULL;
    int failed = running || q->stop_fd < 0 ? 0 : start_thread(q);
    if (running || q->stop_fd < 0 || failed != 0) {
        fm_unlock(&lock);
        queue_free(q);
        return running ? fm_err_set(err, FM_FAILED_PRECONDITION, NULL, "the log thread is already running")
                       : fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL, "the log thread could not be started");
    }
    atomic_store(&as_json, cfg->json);
    atomic_store(&absolute, cfg->absolute);
    atomic_store(&start_us, (long long)fm_now_mono_us());
    atomic_store(&output_blocked, false);
    out = q;
    fm_unlock(&lock);
    return 0;
}

void fm_log_stop(void)
{
    struct timespec until;
    uint64_t one = 1;
    fm_lock(&lock);
    struct queue *q = out;
    out = NULL;
    if (q == NULL) {
        fm_unlock(&lock);
        return;
    }
    q->stopping = true;
    (void)pthread_cond_signal(&q->wake);
    if (write(q->stop_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        fm_abort("the log thread cannot be told to stop"); /* an eventfd always takes its first number */
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_MS / 1000;
    while (!q->done && pthread_cond_timedwait(&q->ended, &lock, &until) == 0)
        continue;
    pthread_t thread = q->thread;
    bool done = q->done;
    q->left_behind = !done;
    if (!done)
        atomic_store(&output_blocked, true);
    fm_unlock(&lock);
    if (!done) {
        (void)pthread_detach(thread);
        return;
    }
    (void)pthread_join(thread, NULL);
    queue_free(q);
}

uint64_t fm_log_dropped(void)
{
    return atomic_load(&lines_lost);
}
