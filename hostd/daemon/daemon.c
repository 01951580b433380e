/* The shell around the engine. See daemon.h. Threads: everything here runs on the libuv loop's
 * thread, but for on_message and on_status, which run on the gRPC loop's thread and only queue what
 * came and wake the other one. */
#include "daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uthash.h>
#include <utlist.h>
#include <uv.h>

#include "agreed.h"
#include "clock.h"
#include "id.h"
#include "lock.h"
#include "log.h"
#include "mem.h"
#include "outside.h"
#include "rpc.h"
#include "watchdog.h"
#include "workers.h"

#define ATTACH_PATH "/fermata.v1.HostAgent/Attach"
#define INBOX_BYTES (64u * 1024 * 1024) /* what may wait for the engine; then the stream is not read */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define REFUSED_MS 2000 /* a refusal may pass, for example a duplicate id; no hurry */
#define GOODBYE_MS 2000 /* how long the coordinator may take to end the stream after Goodbye */
#define MIN_TIMER_MS 1  /* libuv runs a timer of 0 that starts another one of 0 for ever, and nothing else */

/* What the gRPC thread hands over. */
struct event {
    struct event *prev, *next;
    struct rpc_stream *stream;
    bool over; /* the stream, with `status`; else a message */
    struct fm_err status;
    size_t n; /* bytes of the message, behind the struct */
};

struct handler_timer {
    UT_hash_handle hh;
    uint64_t id;
    struct daemon *daemon;
    uv_timer_t uv;
};

struct daemon {
    const struct daemon_config *cfg;
    struct engine *engine;
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t tick, reconnect, drain;
    uv_idle_t more;   /* active while the engine has work left over from its last turn */
    uv_check_t check; /* at the end of each round of the loop */
    struct watchdog watchdog;
    int64_t idle_ms, checked_ms; /* at the end of the last round: how long it has waited in all; the time */
    int64_t input_ms;            /* when the engine's present input has begun */
    uv_signal_t sigterm, sigint, passed_on;
    bool told, told_by_supervisor; /* to stop */
    struct handler_timer *timers;
    struct outside *outside;
    struct workers *workers;
    struct rpc_loop *rpc;
    pthread_t rpc_thread;
    struct rpc_channel *channel;
    struct rpc_stream *stream; /* the present one */
    struct fm_rng rng;
    unsigned failures;                            /* attempts since the last Welcome */
    bool announced, welcomed, stopping, finished; /* welcomed: on the present stream */
    int exit_code;
    pthread_mutex_t lock;
    struct event *events; /* under lock */
    size_t event_bytes;   /* under lock */
};

/* ---- the gRPC thread ---- */

static void push(struct daemon *d, struct event *ev)
{
    fm_lock(&d->lock);
    bool wake = d->events == NULL;
    DL_APPEND(d->events, ev);
    d->event_bytes += sizeof(*ev) + ev->n;
    if (!ev->over && d->event_bytes > INBOX_BYTES)
        rpc_stream_hold(ev->stream, true);
    fm_unlock(&d->lock);
    if (wake)
        (void)uv_async_send(&d->wake);
}

static void on_message(struct rpc_stream *s, void *user, struct fm_bytes message)
{
    struct event *ev = malloc(sizeof(*ev) + message.n);
    if (ev == NULL) {
        FM_LOG(ERROR, HOST, "no memory for a message from the coordinator; ending the stream",
               FM_U64("bytes", message.n));
        rpc_stream_cancel(s);
        return;
    }
    memset(ev, 0, sizeof(*ev));
    if (message.n > 0)
        memcpy(ev + 1, message.p, message.n);
    ev->stream = s;
    ev->n = message.n;
    push(user, ev);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)details;
    struct event *ev = fm_xcalloc(1, sizeof(*ev));
    ev->stream = s;
    ev->over = true;
    fm_err_copy(&ev->status, status);
    push(user, ev);
}

static void *rpc_main(void *arg)
{
    rpc_loop_run(((struct daemon *)arg)->rpc);
    return NULL;
}

/* ---- the engine's outputs ---- */

static void io_send(void *arg, struct fm_bytes message)
{
    struct daemon *d = arg;
    if (d->stream != NULL)
        rpc_stream_send(d->stream, message);
}

static void io_close(void *arg, const char *why)
{
    struct daemon *d = arg;
    (void)why;
    if (d->stream != NULL)
        rpc_stream_cancel(d->stream);
}

static void after_input(struct daemon *d);

/* An input of the engine begins; the time. */
static int64_t input(struct daemon *d, const char *what)
{
    d->watchdog.doing = what;
    d->input_ms = fm_now_mono_ms();
    return d->input_ms;
}

static void input_over(struct daemon *d, int64_t now_ms)
{
    if (d->watchdog.doing != NULL && now_ms - d->input_ms > d->watchdog.longest_ms) {
        d->watchdog.longest = d->watchdog.doing;
        d->watchdog.longest_ms = now_ms - d->input_ms;
    }
    d->watchdog.doing = NULL;
}

static void free_timer(uv_handle_t *uv)
{
    free(uv->data);
}

static void on_handler_timer(uv_timer_t *uv)
{
    struct handler_timer *t = uv->data;
    struct daemon *d = t->daemon;
    uint64_t id = t->id;
    HASH_DEL(d->timers, t);
    uv_close((uv_handle_t *)uv, free_timer);
    engine_timer(d->engine, id, input(d, "a timer of a job"));
    after_input(d);
}

static void io_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    struct daemon *d = arg;
    struct handler_timer *t = fm_xcalloc(1, sizeof(*t));
    t->id = id;
    t->daemon = d;
    HASH_ADD(hh, d->timers, id, sizeof(t->id), t);
    (void)uv_timer_init(&d->uv, &t->uv);
    t->uv.data = t;
    uv_update_time(&d->uv);
    (void)uv_timer_start(&t->uv, on_handler_timer, ms < MIN_TIMER_MS ? MIN_TIMER_MS : ms, 0);
}

static void io_cancel_timer(void *arg, uint64_t id)
{
    struct daemon *d = arg;
    struct handler_timer *t;
    HASH_FIND(hh, d->timers, &id, sizeof(id), t);
    if (t == NULL)
        return;
    HASH_DEL(d->timers, t);
    uv_close((uv_handle_t *)&t->uv, free_timer);
}

static size_t io_task_begins(void *arg, const char *job, uint32_t epoch, const char *task_id,
                             const char *routine)
{
    const struct daemon *d = arg;
    return d->cfg->task_begins(job, epoch, task_id, routine);
}

static void io_task_ends(void *arg, size_t number)
{
    const struct daemon *d = arg;
    d->cfg->task_ends(number);
}

static void io_attached(void *arg)
{
    struct daemon *d = arg;
    d->failures = 0;
    d->welcomed = true;
    if (d->cfg->attached != NULL)
        d->cfg->attached(engine_lease_ms(d->engine));
    if (!d->announced) {
        printf("attached to %s as %s\n", d->cfg->target, d->cfg->engine.host_id);
        if (fflush(stdout) != 0)
            FM_LOG(WARN, HOST, "stdout cannot be written, ignoring");
    }
    d->announced = true;
    FM_LOG(INFO, HOST, "attached", FM_STR("coordinator", d->cfg->target),
           FM_STR("host", d->cfg->engine.host_id));
}

static void io_start_call(void *arg, uint64_t id, enum engine_call_kind kind, const void *request)
{
    outside_start(((struct daemon *)arg)->outside, id, kind, request);
}

static void io_cancel_call(void *arg, uint64_t id, enum engine_call_kind kind)
{
    outside_cancel(((struct daemon *)arg)->outside, id, kind);
}

static void io_start_work(void *arg, uint64_t id, struct engine_work *work)
{
    workers_run(((struct daemon *)arg)->workers, id, work);
}

static void run_work(void *work)
{
    engine_work_run(work);
}

static void free_work(void *work)
{
    engine_work_free(work);
}

static void on_work_done(void *arg, uint64_t id, void *work)
{
    struct daemon *d = arg;
    engine_work_done(d->engine, id, work, input(d, "what a blocking handler has done"));
    after_input(d);
}

static void after_call(void *arg)
{
    after_input(arg);
}

static int64_t io_now_us(void *arg)
{
    (void)arg;
    return fm_now_mono_us();
}

/* ---- stopping ---- */

static void finish(struct daemon *d, int code)
{
    if (d->finished)
        return;
    d->finished = true;
    d->exit_code = code;
    if (d->stream != NULL)
        rpc_stream_cancel(d->stream);
    else
        uv_stop(&d->uv);
}

static void on_drain_timeout(uv_timer_t *uv)
{
    struct daemon *d = uv->data;
    size_t left = engine_job_count(d->engine);
    if (left > 0)
        FM_LOG(WARN, HOST,
               "draining took too long; the remaining jobs go to other hosts when this daemon's end is "
               "certified, "
               "or when its lease ends",
               FM_U64("jobs", left));
    finish(d, left > 0 ? 1 : 0);
}

/* Everything is said, Goodbye too: the coordinator ends the stream. */
static void io_drained(void *arg)
{
    struct daemon *d = arg;
    if (d->stream == NULL) {
        finish(d, 0);
        return;
    }
    rpc_stream_close_send(d->stream);
    if (uv_timer_get_due_in(&d->drain) > GOODBYE_MS)
        (void)uv_timer_start(&d->drain, on_drain_timeout, GOODBYE_MS, 0);
}

static void on_signal(uv_signal_t *uv, int signum)
{
    struct daemon *d = uv->data;
    /* Whoever signals all processes of a service reaches this one twice: directly, and by the
     * supervisor. That is one wish, not a second one. */
    bool *told = uv == &d->passed_on ? &d->told_by_supervisor : &d->told;
    if (*told)
        _exit(1);
    *told = true;
    if (d->stopping)
        return;
    d->stopping = true;
    const char *reason = told == &d->told_by_supervisor ? "the supervisor was told to"
                         : signum == SIGINT             ? "SIGINT"
                                                        : "SIGTERM";
    FM_LOG(INFO, HOST, "stopping", FM_STR("reason", reason), FM_U64("jobs", engine_job_count(d->engine)));
    uint64_t ms = (uint64_t)d->cfg->drain_timeout_ms;
    if (!d->welcomed && engine_job_count(d->engine) == 0 && ms > GOODBYE_MS)
        ms = GOODBYE_MS; /* nothing to give back: no long wait for a coordinator that may not be there */
    (void)uv_timer_start(&d->drain, on_drain_timeout, ms, 0);
    engine_drain(d->engine, fm_now_mono_ms());
    after_input(d);
}

/* ---- connecting ---- */

static void on_tick(uv_timer_t *uv)
{
    struct daemon *d = uv->data;
    engine_tick(d->engine, input(d, "a deadline of the engine"));
    after_input(d);
}

static void on_more(uv_idle_t *uv)
{
    struct daemon *d = uv->data;
    engine_tick(d->engine, input(d, "tasks that were due"));
    after_input(d);
}

/* Sets the engine's alarm. Work that is due now waits for the loop's next round, so that messages,
 * timers and signals get their turn in between. */
static void after_input(struct daemon *d)
{
    int64_t now_ms = fm_now_mono_ms(), at = engine_deadline(d->engine), wait = at - now_ms;
    input_over(d, now_ms);
    (void)uv_timer_stop(&d->tick);
    (void)uv_idle_stop(&d->more);
    if (at < 0)
        return;
    if (wait <= 0) {
        (void)uv_idle_start(&d->more, on_more);
        return;
    }
    uv_update_time(&d->uv);
    (void)uv_timer_start(&d->tick, on_tick, (uint64_t)wait, 0);
}

static void on_reconnect(uv_timer_t *uv)
{
    static const struct rpc_stream_events events = {on_message, on_status};
    struct daemon *d = uv->data;
    d->channel = rpc_channel_new(d->rpc, d->cfg->target, FM_MAX_TO_HOST_BYTES, d->cfg->dialer);
    d->stream = rpc_stream_open(d->channel, ATTACH_PATH, 0, &events, d);
    engine_connected(d->engine, fm_now_mono_ms());
    after_input(d);
}

/* What ends an attempt to attach. */
enum ending { REFUSED, LOST };

/* Capped exponential backoff with full jitter in its upper half. */
static uint64_t backoff_ms(struct daemon *d, enum ending how)
{
    unsigned shift = d->failures < 6 ? d->failures : 6;
    uint64_t ms = (uint64_t)BACKOFF_MIN_MS << shift;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    if (how == REFUSED && ms < REFUSED_MS)
        ms = REFUSED_MS;
    return ms / 2 + fm_rng_below(&d->rng, ms / 2 + 1);
}

static void stream_over(struct daemon *d, const struct fm_err *status)
{
    rpc_stream_unref(d->stream);
    rpc_channel_free(d->channel);
    d->stream = NULL;
    d->channel = NULL;
    d->welcomed = false;
    enum ending how = status->code == FM_ALREADY_EXISTS || status->code == FM_FAILED_PRECONDITION ||
                              status->code == FM_INVALID_ARGUMENT || status->code == FM_PERMISSION_DENIED ||
                              status->code == FM_UNAUTHENTICATED
                          ? REFUSED
                          : LOST;
    engine_disconnected(d->engine, fm_now_mono_ms());
    if (d->stopping && engine_job_count(d->engine) == 0)
        finish(d, 0);
    if (d->finished) {
        uv_stop(&d->uv);
        return;
    }
    uint64_t wait = backoff_ms(d, how);
    d->failures++;
    if (how == REFUSED)
        FM_LOG(ERROR, HOST, "the coordinator refuses this host, trying again",
               FM_STR("coordinator", d->cfg->target), FM_STR("code", fm_code_name((int)status->code)),
               FM_ERR(status), FM_U64("in_ms", wait));
    else
        FM_LOG(WARN, HOST, "no stream to the coordinator, trying again",
               FM_STR("coordinator", d->cfg->target), FM_STR("code", fm_code_name((int)status->code)),
               FM_ERR(status), FM_U64("in_ms", wait));
    (void)uv_timer_start(&d->reconnect, on_reconnect, wait, 0);
    after_input(d);
}

static void on_wake(uv_async_t *uv)
{
    struct daemon *d = uv->data;
    fm_lock(&d->lock);
    struct event *list = d->events, *ev, *tmp;
    d->events = NULL;
    d->event_bytes = 0;
    fm_unlock(&d->lock);
    bool took = false;
    (void)input(d, "messages of the coordinator");
    DL_FOREACH_SAFE (list, ev, tmp) {
        DL_DELETE(list, ev);
        if (ev->over)
            stream_over(d, &ev->status);
        else if (ev->stream == d->stream && !d->finished) {
            engine_take(d->engine, (struct fm_bytes){(const uint8_t *)(ev + 1), ev->n}, fm_now_mono_ms());
            took = true;
        }
        fm_err_done(&ev->status);
        free(ev);
    }
    if (d->stream != NULL)
        rpc_stream_hold(d->stream, false);
    if (took)
        engine_tick(d->engine, fm_now_mono_ms());
    after_input(d);
}

/* A round of the loop is over: what it did not wait for events, it has worked. */
static void on_round(uv_check_t *uv)
{
    struct daemon *d = uv->data;
    int64_t now_ms = fm_now_mono_ms(), idle_ms = (int64_t)(uv_metrics_idle_time(&d->uv) / 1000000);
    int64_t took_ms = now_ms - d->checked_ms - (idle_ms - d->idle_ms);
    if (took_ms > WATCHDOG_MS && d->watchdog.longest_ms < took_ms / 2) {
        d->watchdog.longest = "HTTP, programs and signals";
        d->watchdog.longest_ms = took_ms - d->watchdog.longest_ms;
    }
    watchdog_took(&d->watchdog, took_ms, now_ms);
    d->checked_ms = now_ms;
    d->idle_ms = idle_ms;
    watchdog_begin(&d->watchdog, now_ms);
}

/* ---- life ---- */

/* What fails only when the process may open no more files. */
static void must(int rc, const char *what)
{
    char text[128];
    if (rc >= 0)
        return;
    snprintf(text, sizeof(text), "%s: %s", what, uv_strerror(rc));
    fm_abort(text);
}

static void start(struct daemon *d)
{
    must(uv_loop_init(&d->uv), "the loop could not be made");
    must(uv_loop_configure(&d->uv, UV_METRICS_IDLE_TIME), "the loop's time cannot be measured");
    must(uv_async_init(&d->uv, &d->wake, on_wake), "the loop's wake-up could not be made");
    d->wake.data = d;
    (void)uv_idle_init(&d->uv, &d->more);
    d->more.data = d;
    uv_timer_t *timers[] = {&d->tick, &d->reconnect, &d->drain};
    for (size_t i = 0; i < 3; i++) {
        (void)uv_timer_init(&d->uv, timers[i]);
        timers[i]->data = d;
    }
    uv_signal_t *signals[] = {&d->sigterm, &d->sigint, &d->passed_on};
    const int numbers[] = {SIGTERM, SIGINT, d->cfg->stop_signal};
    for (size_t i = 0; i < 3; i++) {
        must(uv_signal_init(&d->uv, signals[i]), "signals cannot be received");
        signals[i]->data = d;
        if (numbers[i] != 0)
            must(uv_signal_start(signals[i], on_signal, numbers[i]), "signals cannot be received");
    }
    (void)uv_timer_start(&d->reconnect, on_reconnect, 0, 0);
    (void)uv_check_init(&d->uv, &d->check);
    d->check.data = d;
    (void)uv_check_start(&d->check, on_round);
    uv_unref((uv_handle_t *)&d->check);
    d->watchdog.loop = "engine";
    d->checked_ms = fm_now_mono_ms();
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void stop(struct daemon *d)
{
    engine_free(d->engine);
    outside_stop(d->outside);
    workers_stop(d->workers);
    rpc_loop_stop(d->rpc);
    (void)pthread_join(d->rpc_thread, NULL);
    rpc_loop_free(d->rpc);
    uv_walk(&d->uv, close_handle, NULL);
    (void)uv_run(&d->uv, UV_RUN_DEFAULT);
    outside_free(d->outside);
    workers_free(d->workers);
    (void)uv_loop_close(&d->uv);
    (void)pthread_mutex_destroy(&d->lock);
}

int daemon_run(const struct daemon_config *cfg)
{
    static const struct work_kind handlers = {run_work, on_work_done, free_work};
    struct daemon d = {.cfg = cfg};
    struct engine_io io = {.arg = &d,
                           .send = io_send,
                           .close = io_close,
                           .start_timer = io_start_timer,
                           .cancel_timer = io_cancel_timer,
                           .start_call = io_start_call,
                           .cancel_call = io_cancel_call,
                           .start_work = io_start_work,
                           .task_begins = cfg->task_begins != NULL ? io_task_begins : NULL,
                           .task_ends = io_task_ends,
                           .attached = io_attached,
                           .drained = io_drained,
                           .now_us = io_now_us};
    (void)signal(SIGPIPE, SIG_IGN);
    rpc_global_init();
    (void)pthread_mutex_init(&d.lock, NULL);
    fm_rng_init(&d.rng, fm_random_seed());
    d.engine = engine_new(&cfg->engine, &io);
    d.rpc = rpc_loop_new();
    start(&d);
    d.outside = outside_new(&d.uv, &cfg->outside, after_call, &d);
    outside_set_engine(d.outside, d.engine);
    d.workers = workers_new(&d.uv, cfg->workers > 0 ? cfg->workers : 1, &handlers, &d);
    if (pthread_create(&d.rpc_thread, NULL, rpc_main, &d) != 0)
        fm_abort("the gRPC thread could not be started");
    (void)uv_run(&d.uv, UV_RUN_DEFAULT);
    stop(&d);
    rpc_global_shutdown();
    return d.exit_code;
}
