/* Programs that serve many tasks. See serve.h. */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "buf.h"
#include "log.h"
#include "mem.h"
#include "outside_events.h"
#include "process.h"

#define MAX_QUOTED 200

struct servers {
    struct processes *processes;
    const struct outside_events *events;
    struct pool *pools;
    struct ticket *tickets;
};

/* Processes of one program. */
struct pool {
    UT_hash_handle hh;
    struct servers *all;
    struct fm_buf key;         /* all that makes it this program */
    struct fm_process program; /* its texts are in `texts` */
    char **texts;
    size_t n_texts;
    uint32_t max, n;
    uint64_t idle_ms;
    struct server *servers; /* the one that has worked last comes first */
    struct ticket *queue;
};

struct server {
    struct server *prev, *next;
    struct pool *pool;
    struct process *process;
    struct ticket *task; /* in hand */
    bool reading;        /* there may be more of what it has said: it gets no task now */
};

struct ticket {
    UT_hash_handle hh;
    struct ticket *prev, *next; /* in the queue */
    struct pool *pool;
    struct server *server; /* NULL: in the queue */
    uint64_t id, timeout_ms, kill_after_ms;
    char *job;
    struct fm_buf input;
};

/* ---- pools ---- */

static void put_texts(struct fm_buf *key, const char *const *texts)
{
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
        fm_buf_append(key, texts[i], strlen(texts[i]) + 1);
    fm_buf_append(key, "", 1); /* no NAME=value is empty */
}

static void make_key(const struct served_task *t, struct fm_buf *key)
{
    char numbers[128];
    int n = snprintf(numbers, sizeof(numbers), "%zu %zu %u %llu", t->process->max_output_bytes,
                     t->process->max_memory_bytes, t->processes, (unsigned long long)t->idle_ms);
    size_t args = 0;
    while (t->process->argv[args] != NULL)
        args++;
    fm_buf_append(key, &args, sizeof(args)); /* arguments may be empty */
    fm_buf_append(key, numbers, (size_t)n + 1);
    put_texts(key, t->process->argv);
    put_texts(key, t->process->env);
    const char *cwd = t->process->cwd == NULL ? "" : t->process->cwd;
    fm_buf_append(key, cwd, strlen(cwd) + 1);
}

/* Copies them, with the NULL at their end. */
static void keep(struct pool *p, const char *const *list)
{
    size_t n = 0, first = p->n_texts;
    while (list != NULL && list[n] != NULL)
        n++;
    p->texts = fm_xrealloc(p->texts, (first + n + 1) * sizeof(*p->texts));
    for (size_t i = 0; i < n; i++)
        p->texts[first + i] = fm_xstrdup(list[i]);
    p->texts[first + n] = NULL;
    p->n_texts = first + n + 1;
}

static struct pool *pool_for(struct servers *all, const struct served_task *t)
{
    struct fm_buf key = {0};
    struct pool *p;
    make_key(t, &key);
    HASH_FIND(hh, all->pools, key.p, key.n, p);
    if (p != NULL) {
        fm_buf_done(&key);
        return p;
    }
    p = fm_xcalloc(1, sizeof(*p));
    p->all = all;
    p->key = key;
    p->max = t->processes > 0 ? t->processes : 1;
    p->idle_ms = t->idle_ms;
    keep(p, t->process->argv);
    size_t env = p->n_texts;
    keep(p, t->process->env);
    size_t cwd = p->n_texts;
    keep(p, (const char *const[]){t->process->cwd, NULL});
    p->program = (struct fm_process){.argv = (const char *const *)p->texts,
                                     .env = (const char *const *)p->texts + env,
                                     .cwd = p->texts[cwd],
                                     .max_output_bytes = t->process->max_output_bytes,
                                     .max_memory_bytes = t->process->max_memory_bytes};
    HASH_ADD_KEYPTR(hh, all->pools, p->key.p, p->key.n, p);
    return p;
}

static void pool_free(struct pool *p)
{
    HASH_DEL(p->all->pools, p);
    for (size_t i = 0; i < p->n_texts; i++)
        free(p->texts[i]);
    free(p->texts);
    fm_buf_done(&p->key);
    free(p);
}

static void ticket_free(struct servers *all, struct ticket *t)
{
    HASH_DEL(all->tickets, t);
    fm_buf_done(&t->input);
    free(t->job);
    free(t);
}

/* The end of a task, whoever had it in hand. */
static void finish(struct servers *all, struct ticket *t, const struct fm_process_result *r)
{
    uint64_t id = t->id;
    ticket_free(all, t);
    all->events->done(all->events->arg, id, r);
}

/* ---- what a process says ---- */

static void accuse(struct server *s, const char *line, size_t n)
{
    char text[MAX_QUOTED + 1];
    size_t kept = n < MAX_QUOTED ? n : MAX_QUOTED;
    memcpy(text, line, kept);
    text[kept] = '\0';
    FM_LOG(WARN, EXECUTION, "a program wrote output while it had no task; ending it",
           FM_STR("program", s->pool->program.argv[0]), FM_I64("pid", process_pid(s->process)),
           FM_STR("text", text));
}

static bool on_line(void *arg, const char *line, size_t n)
{
    struct server *s = arg;
    struct ticket *t = s->task;
    struct servers *all = s->pool->all;
    s->reading = true;
    if (t == NULL) {
        accuse(s, line, n);
        return false;
    }
    int rc = all->events->data(all->events->arg, t->id, (struct fm_bytes){(const uint8_t *)line, n});
    if (s->task != t) /* cancelled meanwhile */
        return true;
    if (rc <= 0)
        return rc == 0;
    static const struct fm_process_result done = {.exit_code = 0, .error = "", .said = ""};
    s->task = NULL;
    DL_DELETE(s->pool->servers, s);
    DL_PREPEND(s->pool->servers, s);
    process_rest(s->process, s->pool->idle_ms);
    finish(all, t, &done);
    return true;
}

static void pump(struct pool *p);

static void on_read(void *arg)
{
    struct server *s = arg;
    s->reading = false;
    if (s->task == NULL && process_usable(s->process) && process_in_line(s->process)) {
        accuse(s, "", 0);
        process_kill(s->process, "it wrote output while it had no task");
    }
    pump(s->pool);
}

static void on_end(void *arg, const struct fm_process_result *r)
{
    struct server *s = arg;
    struct pool *p = s->pool;
    struct ticket *t = s->task;
    FM_LOG(DEBUG, EXECUTION, "a program that served has ended", FM_STR("program", p->program.argv[0]),
           FM_I64("pid", process_pid(s->process)), FM_I64("code", r->exit_code), FM_STR("why", r->error));
    DL_DELETE(p->servers, s);
    p->n--;
    free(s);
    if (t != NULL)
        finish(p->all, t, r);
    pump(p);
    if (p->n == 0)
        pool_free(p);
}

/* ---- giving tasks ---- */

static struct server *server_new(struct pool *p)
{
    static const struct process_events events = {on_line, on_read, on_end, true};
    struct server *s = fm_xcalloc(1, sizeof(*s));
    s->pool = p;
    s->process = process_open(p->all->processes, &p->program, &events, s);
    DL_PREPEND(p->servers, s);
    p->n++;
    return s;
}

static struct server *server_for(struct pool *p)
{
    struct server *s;
    DL_FOREACH (p->servers, s)
        if (s->task == NULL && !s->reading && process_usable(s->process))
            return s;
    return p->n < p->max ? server_new(p) : NULL;
}

/* Gives out what waits. */
static void pump(struct pool *p)
{
    struct server *s;
    while (p->queue != NULL && (s = server_for(p)) != NULL) {
        struct ticket *t = p->queue;
        DL_DELETE(p->queue, t);
        t->server = s;
        s->task = t;
        process_kill_after(s->process, t->kill_after_ms);
        process_task(s->process, t->job, t->timeout_ms);
        process_write(s->process, t->input.p, t->input.n);
        fm_buf_done(&t->input);
    }
}

void serve_start(struct servers *all, uint64_t id, const struct served_task *want)
{
    struct ticket *t = fm_xcalloc(1, sizeof(*t));
    t->id = id;
    t->pool = pool_for(all, want);
    t->timeout_ms = want->process->timeout_ms;
    t->kill_after_ms = want->kill_after_ms;
    t->job = fm_xstrdup(want->job);
    fm_buf_append(&t->input, want->process->input, want->process->input_bytes);
    HASH_ADD(hh, all->tickets, id, sizeof(t->id), t);
    DL_APPEND(t->pool->queue, t);
    pump(t->pool);
}

void serve_cancel(struct servers *all, uint64_t id)
{
    struct ticket *t;
    HASH_FIND(hh, all->tickets, &id, sizeof(id), t);
    if (t == NULL)
        return;
    if (t->server == NULL) {
        DL_DELETE(t->pool->queue, t);
    } else { /* it counts until it has ended, so there are never more of them than allowed */
        t->server->task = NULL;
        process_cancel(t->server->process);
    }
    ticket_free(all, t);
}

struct servers *servers_new(struct processes *processes, const struct outside_events *events)
{
    struct servers *all = fm_xcalloc(1, sizeof(*all));
    all->processes = processes;
    all->events = events;
    return all;
}

void servers_free(struct servers *all)
{
    struct ticket *t, *next_ticket;
    struct pool *p, *next_pool;
    struct server *s, *next_server;
    HASH_ITER (hh, all->tickets, t, next_ticket)
        ticket_free(all, t);
    HASH_ITER (hh, all->pools, p, next_pool) {
        DL_FOREACH_SAFE (p->servers, s, next_server)
            free(s);
        pool_free(p);
    }
    free(all);
}
