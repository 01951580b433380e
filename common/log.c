/* Logging. Callers format into a stack buffer and copy it into a ring under a mutex that the writer thread holds only to take what is there; the writer
 * waits for the output with poll, so that a blocked pipe stalls nobody. See log.h. */
#define _GNU_SOURCE
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "wire.h"

#define LINE_BYTES 4096
#define FLUSH_MS 500

static const char *const level_names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"};
static const char *const category_names[] = {"FLOW", "ROUTINE", "STATE", "STORAGE", "LLM", "EVENT", "EXECUTION", "HOST", "RPC"};

static atomic_int levels[FM_LOG_CATEGORIES] = {FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO,
                                               FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO, FM_LOG_INFO};
static atomic_bool as_json;
static atomic_llong start_us;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stopping;
    int fd;
    char *queue;
    size_t cap, used;
    uint64_t dropped, reported;
} out = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .fd = 2};

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

static int set_one(const char *s, size_t n, struct fm_err *err)
{
    const char *eq = memchr(s, '=', n);
    const char *level = eq == NULL ? s : eq + 1;
    int l = name_index(level_names, 6, level, n - (size_t)(level - s));
    if (l < 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "log-level", "\"%.*s\" is no level: trace, debug, info, warn, error and off are", (int)n, s);
    if (eq == NULL) {
        for (int i = 0; i < FM_LOG_CATEGORIES; i++)
            atomic_store(&levels[i], l);
        return 0;
    }
    int c = name_index(category_names, FM_LOG_CATEGORIES, s, (size_t)(eq - s));
    if (c < 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "log-level",
                          "\"%.*s\" is no category: flow, routine, state, storage, llm, event, execution, host and rpc are", (int)(eq - s), s);
    atomic_store(&levels[c], l);
    return 0;
}

int fm_log_set_levels(const char *text, struct fm_err *err)
{
    while (text != NULL && *text != '\0') {
        size_t n = strcspn(text, ",");
        int rc = set_one(text, n, err);
        if (rc < 0)
            return rc;
        text += n + (text[n] == ',');
    }
    return 0;
}

/* ---- lines ---- */

struct line {
    char text[LINE_BYTES];
    size_t n;
};

static void put(struct line *l, const char *s, size_t n)
{
    size_t room = sizeof(l->text) - 2 - l->n;      /* the newline and a closing brace always fit */
    if (n > room)
        n = room;
    memcpy(l->text + l->n, s, n);
    l->n += n;
}

static void put_text(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* A string with what would break a line or JSON escaped; invalid UTF-8 becomes '?'. */
static void put_escaped(struct line *l, const char *s)
{
    size_t n = strlen(s);
    bool utf8 = wire_text_ok((const uint8_t *)s, n);
    char esc[8];
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (l->n > sizeof(l->text) - 64) {
            put_text(l, "...");
            return;
        }
        if (ch == '"' || ch == '\\') {
            esc[0] = '\\';
            esc[1] = (char)ch;
            put(l, esc, 2);
        } else if (ch < 0x20) {
            int k = snprintf(esc, sizeof(esc), "\\u%04x", (unsigned)ch);
            put(l, esc, (size_t)k);
        } else if (ch >= 0x80 && !utf8) {
            put(l, "?", 1);
        } else {
            put(l, s + i, 1);
        }
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
        snprintf(num, sizeof(num), "%.6g", kv->v.d);
        break;
    }
    put_text(l, num);
}

static void format_text(struct line *l, enum fm_log_level level, enum fm_log_category category, const char *message, const struct fm_log_kv *kv)
{
    char head[96];
    int64_t us = fm_now_mono_us() - atomic_load(&start_us);
    snprintf(head, sizeof(head), "+%lld.%03llds %-5s %-9s ", (long long)(us / 1000000), (long long)(us / 1000 % 1000), level_names[level],
             category_names[category]);
    put_text(l, head);
    put_text(l, message);
    for (; kv->key != NULL; kv++) {
        put(l, " ", 1);
        put_text(l, kv->key);
        put(l, "=", 1);
        put_value(l, kv, false);
    }
}

static void format_json(struct line *l, enum fm_log_level level, enum fm_log_category category, const char *message, const struct fm_log_kv *kv)
{
    char head[160], when[32];
    int64_t ms = fm_now_wall_ms();
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(head, sizeof(head), "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"category\":\"%s\",\"msg\":\"", when, (int)(ms % 1000),
             level_names[level], category_names[category]);
    put_text(l, head);
    put_escaped(l, message);
    put(l, "\"", 1);
    for (; kv->key != NULL; kv++) {
        if (l->n > sizeof(l->text) - 128)
            break;
        put_text(l, ",\"");
        put_text(l, kv->key);
        put_text(l, "\":");
        put_value(l, kv, true);
    }
    l->text[l->n++] = '}';
}

/* ---- output ---- */

/* Writes all, waiting for a blocked output at most until `deadline_ms` (-1: for ever). Returns -1 when it gave up. */
static int write_all(int fd, const char *p, size_t n, int64_t deadline_ms)
{
    while (n > 0) {
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        int wait = deadline_ms < 0 ? 200 : (int)(deadline_ms - fm_now_mono_ms());
        if (deadline_ms >= 0 && wait <= 0)
            return -1;
        int ready = poll(&pfd, 1, wait);
        if (ready == 0 && deadline_ms < 0) {
            pthread_mutex_lock(&out.lock);
            bool stopping = out.stopping;
            pthread_mutex_unlock(&out.lock);
            if (stopping)
                deadline_ms = fm_now_mono_ms() + FLUSH_MS;
            continue;
        }
        size_t piece = n < 4096 ? n : 4096;         /* PIPE_BUF: poll promises that much */
        ssize_t k = ready > 0 ? write(fd, p, piece) : ready;
        if (k < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
    return 0;
}

static void report_dropped(void)
{
    char line[96];
    pthread_mutex_lock(&out.lock);
    uint64_t n = out.dropped - out.reported;
    out.reported = out.dropped;
    pthread_mutex_unlock(&out.lock);
    if (n == 0)
        return;
    int k = atomic_load(&as_json)
                ? snprintf(line, sizeof(line), "{\"level\":\"WARN\",\"msg\":\"log lines dropped\",\"count\":%llu}\n", (unsigned long long)n)
                : snprintf(line, sizeof(line), "log lines dropped count=%llu\n", (unsigned long long)n);
    (void)write_all(out.fd, line, (size_t)k, -1);
}

static void *writer(void *arg)
{
    (void)arg;
    char *mine = fm_xmalloc(out.cap);
    pthread_mutex_lock(&out.lock);
    for (;;) {
        while (out.used == 0 && !out.stopping)
            pthread_cond_wait(&out.wake, &out.lock);
        if (out.used == 0)
            break;
        char *full = out.queue;
        size_t n = out.used;
        out.queue = mine;
        out.used = 0;
        mine = full;
        int64_t deadline = out.stopping ? fm_now_mono_ms() + FLUSH_MS : -1;
        pthread_mutex_unlock(&out.lock);
        int rc = write_all(out.fd, mine, n, deadline);
        if (rc == 0)
            report_dropped();
        pthread_mutex_lock(&out.lock);
        if (rc < 0 && out.stopping)
            break;
    }
    pthread_mutex_unlock(&out.lock);
    free(mine);
    return NULL;
}

void fm_log_write(enum fm_log_level level, enum fm_log_category category, const char *message, const struct fm_log_kv *keys)
{
    struct line l;
    l.n = 0;
    if (atomic_load(&as_json))
        format_json(&l, level, category, message, keys);
    else
        format_text(&l, level, category, message, keys);
    l.text[l.n++] = '\n';
    pthread_mutex_lock(&out.lock);
    if (!out.running) {
        pthread_mutex_unlock(&out.lock);
        (void)write_all(2, l.text, l.n, fm_now_mono_ms() + FLUSH_MS);
        return;
    }
    if (out.cap - out.used < l.n) {
        out.dropped++;
    } else {
        memcpy(out.queue + out.used, l.text, l.n);
        bool was_empty = out.used == 0;
        out.used += l.n;
        if (was_empty)
            pthread_cond_signal(&out.wake);
    }
    pthread_mutex_unlock(&out.lock);
}

int fm_log_start(const struct fm_log_config *cfg, struct fm_err *err)
{
    int rc = fm_log_set_levels(cfg->levels, err);
    if (rc < 0)
        return rc;
    atomic_store(&as_json, cfg->json);
    atomic_store(&start_us, fm_now_mono_us());
    out.fd = cfg->fd;
    out.cap = cfg->queue_bytes > 0 ? cfg->queue_bytes : 1u << 20;
    out.queue = fm_xmalloc(out.cap);
    out.used = 0;
    out.dropped = out.reported = 0;
    out.stopping = false;
    if (pthread_create(&out.thread, NULL, writer, NULL) != 0) {
        free(out.queue);
        out.queue = NULL;
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL, "the log thread could not be started");
    }
    pthread_mutex_lock(&out.lock);
    out.running = true;
    pthread_mutex_unlock(&out.lock);
    return 0;
}

void fm_log_stop(void)
{
    pthread_mutex_lock(&out.lock);
    bool running = out.running;
    out.running = false;
    out.stopping = true;
    pthread_cond_signal(&out.wake);
    pthread_mutex_unlock(&out.lock);
    if (!running)
        return;
    pthread_join(out.thread, NULL);
    free(out.queue);
    out.queue = NULL;
}

uint64_t fm_log_dropped(void)
{
    pthread_mutex_lock(&out.lock);
    uint64_t n = out.dropped;
    pthread_mutex_unlock(&out.lock);
    return n;
}
