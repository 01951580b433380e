/* The shell around the engine. See daemon.h. Threads: everything here runs on the libuv loop's thread, but
 * for on_message and on_status, which run on the gRPC loop's thread and only queue what came and wake the
 * other one. */
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
#include "jq_eval.h"
#include "log.h"
#include "mem.h"
#include "outside.h"
#include "rpc.h"
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
    bool over; /* status, else a message */
    struct fm_err status;
    size_t n; /* bytes of the message, behind the struct */
};

struct agent_timer {
    UT_hash_handle hh;
    uint64_t id;
    struct agent *agent;
    uv_timer_t uv;
};

struct agent {
    const struct agent_config *cfg;
    struct engine *engine;
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t tick, reconnect, drain;
    uv_idle_t more; /* active while the engine has work left over from its last turn */
    uv_signal_t sigterm, sigint, passed_on;
    bool told, told_by_supervisor; /* to stop */
    struct agent_timer *timers;
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

static void push(struct agent *a, struct event *ev)
{
    pthread_mutex_lock(&a->lock);
    bool wake = a->events == NULL;
    DL_APPEND(a->events, ev);
    a->event_bytes += sizeof(*ev) + ev->n;
    if (!ev->over && a->event_bytes > INBOX_BYTES)
        rpc_stream_hold(ev->stream, true);
    pthread_mutex_unlock(&a->lock);
    if (wake)
        (void)uv_async_send(&a->wake);
}

static void on_message(struct rpc_stream *s, void *user, struct fm_bytes message)
{
    struct event *ev = malloc(sizeof(*ev) + message.n);
    if (ev == NULL) {
        FM_LOG(ERROR, HOST, "no memory for a message of the coordinator, ending the stream",
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
    rpc_loop_run(((struct agent *)arg)->rpc);
    return NULL;
}

/* ---- the engine's outputs ---- */

static void io_send(void *arg, struct fm_bytes message)
{
    struct agent *a = arg;
    if (a->stream != NULL)
        rpc_stream_send(a->stream, message);
}

static void io_close(void *arg, const char *why)
{
    struct agent *a = arg;
    (void)why;
    if (a->stream != NULL)
        rpc_stream_cancel(a->stream);
}

static void after_input(struct agent *a);

static void free_timer(uv_handle_t *uv)
{
    free(uv->data);
}

static void on_handler_timer(uv_timer_t *uv)
{
    struct agent_timer *t = uv->data;
    struct agent *a = t->agent;
    uint64_t id = t->id;
    HASH_DEL(a->timers, t);
    uv_close((uv_handle_t *)uv, free_timer);
    engine_timer(a->engine, id, fm_now_mono_ms());
    after_input(a);
}

static void io_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    struct agent *a = arg;
    struct agent_timer *t = fm_xcalloc(1, sizeof(*t));
    t->id = id;
    t->agent = a;
    HASH_ADD(hh, a->timers, id, sizeof(t->id), t);
    (void)uv_timer_init(&a->uv, &t->uv);
    t->uv.data = t;
    uv_update_time(&a->uv);
    (void)uv_timer_start(&t->uv, on_handler_timer, ms < MIN_TIMER_MS ? MIN_TIMER_MS : ms, 0);
}

static void io_cancel_timer(void *arg, uint64_t id)
{
    struct agent *a = arg;
    struct agent_timer *t;
    HASH_FIND(hh, a->timers, &id, sizeof(id), t);
    if (t == NULL)
        return;
    HASH_DEL(a->timers, t);
    uv_close((uv_handle_t *)&t->uv, free_timer);
}

static void io_attached(void *arg)
{
    struct agent *a = arg;
    a->failures = 0;
    a->welcomed = true;
    if (a->cfg->attached != NULL)
        a->cfg->attached(engine_lease_ms(a->engine));
    if (!a->announced) {
        printf("attached to %s as %s\n", a->cfg->target, a->cfg->engine.host_id);
        if (fflush(stdout) != 0)
            FM_LOG(WARN, HOST, "stdout cannot be written, ignoring");
    }
    a->announced = true;
    FM_LOG(INFO, HOST, "attached", FM_STR("coordinator", a->cfg->target),
           FM_STR("host", a->cfg->engine.host_id));
}

static void io_start_call(void *arg, uint64_t id, enum engine_call_kind kind, const void *request)
{
    outside_start(((struct agent *)arg)->outside, id, kind, request);
}

static void io_cancel_call(void *arg, uint64_t id, enum engine_call_kind kind)
{
    outside_cancel(((struct agent *)arg)->outside, id, kind);
}

static void io_start_work(void *arg, uint64_t id, struct engine_work *work)
{
    workers_run(((struct agent *)arg)->workers, id, work);
}

static void on_work_done(void *arg, uint64_t id, struct engine_work *work)
{
    struct agent *a = arg;
    engine_work_done(a->engine, id, work, fm_now_mono_ms());
    after_input(a);
}

static void after_call(void *arg)
{
    after_input(arg);
}

/* Blocks the loop for as long as the program runs: a tenth of a second at most. */
static bool io_condition(void *arg, const char *program, struct fm_bytes json)
{
    static const struct jq_limits limits = {.max_outputs = 1000, .max_bytes = 1u << 20, .cpu_ms = 100};
    struct jq_outputs out = {0};
    struct fm_err err = {0};
    (void)arg;
    if (jq_eval(program, json, &limits, &out, &err) < 0) {
        FM_LOG(WARN, EXECUTION, "the condition of a breakpoint fails, the task is held",
               FM_STR("condition", program), FM_STR("error", err.msg));
        return true;
    }
    const char *first = (const char *)out.text.p;
    bool holds = out.n > 0 && strcmp(first, "null") != 0 && strcmp(first, "false") != 0;
    jq_outputs_done(&out);
    return holds;
}

static int64_t io_now_us(void *arg)
{
    (void)arg;
    return fm_now_mono_us();
}

/* ---- stopping ---- */

static void finish(struct agent *a, int code)
{
    if (a->finished)
        return;
    a->finished = true;
    a->exit_code = code;
    if (a->stream != NULL)
        rpc_stream_cancel(a->stream);
    else
        uv_stop(&a->uv);
}

static void on_drain_timeout(uv_timer_t *uv)
{
    struct agent *a = uv->data;
    size_t left = engine_job_count(a->engine);
    if (left > 0)
        FM_LOG(WARN, HOST,
               "draining took too long; the jobs that are left go to other hosts when this end is certified, "
               "or when the lease ends",
               FM_U64("jobs", left));
    finish(a, left > 0 ? 1 : 0);
}

/* Everything is said, Goodbye too: the coordinator ends the stream. */
static void io_drained(void *arg)
{
    struct agent *a = arg;
    if (a->stream == NULL) {
        finish(a, 0);
        return;
    }
    rpc_stream_close_send(a->stream);
    if (uv_timer_get_due_in(&a->drain) > GOODBYE_MS)
        (void)uv_timer_start(&a->drain, on_drain_timeout, GOODBYE_MS, 0);
}

static void on_signal(uv_signal_t *uv, int signum)
{
    struct agent *a = uv->data;
    /* Whoever signals all processes of a service reaches this one twice: directly, and by the supervisor.
     * That is one wish, not a second one. */
    bool *told = uv == &a->passed_on ? &a->told_by_supervisor : &a->told;
    if (*told)
        _exit(1);
    *told = true;
    if (a->stopping)
        return;
    a->stopping = true;
    const char *reason = told == &a->told_by_supervisor ? "the supervisor was told to"
                         : signum == SIGINT             ? "SIGINT"
                                                        : "SIGTERM";
    FM_LOG(INFO, HOST, "stopping", FM_STR("reason", reason), FM_U64("jobs", engine_job_count(a->engine)));
    uint64_t ms = (uint64_t)a->cfg->drain_timeout_ms;
    if (!a->welcomed && engine_job_count(a->engine) == 0 && ms > GOODBYE_MS)
        ms = GOODBYE_MS; /* nothing to give back: no long wait for a coordinator that may not be there */
    (void)uv_timer_start(&a->drain, on_drain_timeout, ms, 0);
    engine_drain(a->engine, fm_now_mono_ms());
    after_input(a);
}

/* ---- connecting ---- */

static void on_tick(uv_timer_t *uv)
{
    struct agent *a = uv->data;
    engine_tick(a->engine, fm_now_mono_ms());
    after_input(a);
}

static void on_more(uv_idle_t *uv)
{
    struct agent *a = uv->data;
    engine_tick(a->engine, fm_now_mono_ms());
    after_input(a);
}

/* Sets the engine's alarm. Work that is due now waits for the loop's next round, so that messages, timers and
 * signals get their turn in between. */
static void after_input(struct agent *a)
{
    int64_t at = engine_deadline(a->engine), wait = at - fm_now_mono_ms();
    (void)uv_timer_stop(&a->tick);
    (void)uv_idle_stop(&a->more);
    if (at < 0)
        return;
    if (wait <= 0) {
        (void)uv_idle_start(&a->more, on_more);
        return;
    }
    uv_update_time(&a->uv);
    (void)uv_timer_start(&a->tick, on_tick, (uint64_t)wait, 0);
}

static void on_reconnect(uv_timer_t *uv)
{
    static const struct rpc_stream_events events = {on_message, on_status};
    struct agent *a = uv->data;
    a->channel = rpc_channel_new(a->rpc, a->cfg->target, FM_MAX_TO_HOST_BYTES);
    a->stream = rpc_stream_open(a->channel, ATTACH_PATH, 0, &events, a);
    engine_connected(a->engine, fm_now_mono_ms());
    after_input(a);
}

/* Capped exponential backoff with full jitter in its upper half. */
static uint64_t backoff_ms(struct agent *a, bool refused)
{
    unsigned shift = a->failures < 6 ? a->failures : 6;
    uint64_t ms = (uint64_t)BACKOFF_MIN_MS << shift;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    if (refused && ms < REFUSED_MS)
        ms = REFUSED_MS;
    return ms / 2 + fm_rng_below(&a->rng, ms / 2 + 1);
}

static void stream_over(struct agent *a, const struct fm_err *status)
{
    rpc_stream_unref(a->stream);
    rpc_channel_free(a->channel);
    a->stream = NULL;
    a->channel = NULL;
    a->welcomed = false;
    bool refused = status->code == FM_ALREADY_EXISTS || status->code == FM_FAILED_PRECONDITION ||
                   status->code == FM_INVALID_ARGUMENT;
    engine_disconnected(a->engine, fm_now_mono_ms());
    if (a->stopping && engine_job_count(a->engine) == 0)
        finish(a, 0);
    if (a->finished) {
        uv_stop(&a->uv);
        return;
    }
    uint64_t wait = backoff_ms(a, refused);
    a->failures++;
    if (refused)
        FM_LOG(ERROR, HOST, "the coordinator refuses this host, trying again",
               FM_STR("coordinator", a->cfg->target), FM_STR("code", fm_code_name((int)status->code)),
               FM_ERR(status), FM_U64("in_ms", wait));
    else
        FM_LOG(WARN, HOST, "no stream to the coordinator, trying again",
               FM_STR("coordinator", a->cfg->target), FM_STR("code", fm_code_name((int)status->code)),
               FM_ERR(status), FM_U64("in_ms", wait));
    (void)uv_timer_start(&a->reconnect, on_reconnect, wait, 0);
    after_input(a);
}

static void on_wake(uv_async_t *uv)
{
    struct agent *a = uv->data;
    pthread_mutex_lock(&a->lock);
    struct event *list = a->events, *ev, *tmp;
    a->events = NULL;
    a->event_bytes = 0;
    pthread_mutex_unlock(&a->lock);
    bool took = false;
    DL_FOREACH_SAFE (list, ev, tmp) {
        DL_DELETE(list, ev);
        if (ev->over)
            stream_over(a, &ev->status);
        else if (ev->stream == a->stream && !a->finished) {
            engine_take(a->engine, (struct fm_bytes){(const uint8_t *)(ev + 1), ev->n}, fm_now_mono_ms());
            took = true;
        }
        fm_err_done(&ev->status);
        free(ev);
    }
    if (a->stream != NULL)
        rpc_stream_hold(a->stream, false);
    if (took)
        engine_tick(a->engine, fm_now_mono_ms());
    after_input(a);
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

static void start(struct agent *a)
{
    must(uv_loop_init(&a->uv), "the loop could not be made");
    must(uv_async_init(&a->uv, &a->wake, on_wake), "the loop's wake-up could not be made");
    a->wake.data = a;
    (void)uv_idle_init(&a->uv, &a->more);
    a->more.data = a;
    uv_timer_t *timers[] = {&a->tick, &a->reconnect, &a->drain};
    for (size_t i = 0; i < 3; i++) {
        (void)uv_timer_init(&a->uv, timers[i]);
        timers[i]->data = a;
    }
    uv_signal_t *signals[] = {&a->sigterm, &a->sigint, &a->passed_on};
    const int numbers[] = {SIGTERM, SIGINT, a->cfg->stop_signal};
    for (size_t i = 0; i < 3; i++) {
        must(uv_signal_init(&a->uv, signals[i]), "signals cannot be received");
        signals[i]->data = a;
        if (numbers[i] != 0)
            must(uv_signal_start(signals[i], on_signal, numbers[i]), "signals cannot be received");
    }
    (void)uv_timer_start(&a->reconnect, on_reconnect, 0, 0);
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void stop(struct agent *a)
{
    engine_free(a->engine);
    outside_stop(a->outside);
    workers_stop(a->workers);
    rpc_loop_stop(a->rpc);
    pthread_join(a->rpc_thread, NULL);
    rpc_loop_free(a->rpc);
    uv_walk(&a->uv, close_handle, NULL);
    (void)uv_run(&a->uv, UV_RUN_DEFAULT);
    outside_free(a->outside);
    workers_free(a->workers);
    (void)uv_loop_close(&a->uv);
    pthread_mutex_destroy(&a->lock);
}

int agent_run(const struct agent_config *cfg)
{
    struct agent a = {.cfg = cfg};
    struct engine_io io = {.arg = &a,
                           .send = io_send,
                           .close = io_close,
                           .start_timer = io_start_timer,
                           .cancel_timer = io_cancel_timer,
                           .start_call = io_start_call,
                           .cancel_call = io_cancel_call,
                           .start_work = io_start_work,
                           .attached = io_attached,
                           .drained = io_drained,
                           .condition = io_condition,
                           .now_us = io_now_us};
    (void)signal(SIGPIPE, SIG_IGN);
    rpc_global_init();
    pthread_mutex_init(&a.lock, NULL);
    fm_rng_init(&a.rng, fm_random_seed());
    a.engine = engine_new(&cfg->engine, &io);
    a.rpc = rpc_loop_new();
    start(&a);
    a.outside = outside_new(&a.uv, &cfg->outside, after_call, &a);
    outside_set_engine(a.outside, a.engine);
    a.workers = workers_new(&a.uv, cfg->workers > 0 ? cfg->workers : 1, on_work_done, &a);
    if (pthread_create(&a.rpc_thread, NULL, rpc_main, &a) != 0)
        fm_abort("the gRPC thread could not be started");
    (void)uv_run(&a.uv, UV_RUN_DEFAULT);
    stop(&a);
    rpc_global_shutdown();
    return a.exit_code;
}
