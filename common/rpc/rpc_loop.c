/* The loop: a completion queue, its thread, posted functions, timers; and what server and client
 * share. A posted function wakes the queue by an empty batch on a call of its own, whose tag
 * appears in the queue at once (public API of the C core). See rpc.h. */
#include "rpc_loop.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <grpc/support/log.h>
#include <utlist.h>

#include "clock.h"
#include "lock.h"
#include "log.h"
#include "mem.h"
#include "watchdog.h"

#define BURST 64

struct posted {
    struct posted *next;
    void (*fn)(void *arg);
    void *arg;
};

struct rpc_loop {
    grpc_completion_queue *queue;
    grpc_channel *kick_channel;
    grpc_call *kick_call;
    struct rpc_tag kick_tag;
    pthread_mutex_t lock;
    struct posted *posted; /* under lock */
    bool kicked, stopping; /* under lock: a wake-up is in the queue; posting is over */
    unsigned kicking;      /* under lock: threads that are putting one there */
    pthread_cond_t kicks_done;
    struct rpc_timer *timers;
    void (*on_turn)(void *arg);
    void *turn_arg;
    struct rpc_end_of_turn *ends;
    struct rpc_later *laters;
    struct watchdog watchdog;
    int64_t cpu_ms, cpu_at_ms; /* processor time of the loop's thread, and when it was looked up */
};

/* ---- the watchdog ---- */

static void lap(struct rpc_loop *l, const char *what)
{
    watchdog_lap(&l->watchdog, what, fm_now_coarse_ms());
}

void rpc_loop_doing(struct rpc_loop *l, const char *what)
{
    l->watchdog.doing = what;
}

/* ---- process ---- */

static void on_gpr_log(gpr_log_func_args *args)
{
    if (args->severity == GPR_LOG_SEVERITY_ERROR)
        FM_LOG(WARN, RPC, "grpc", FM_STR("text", args->message), FM_STR("file", args->file),
               FM_I64("line", args->line));
    else
        FM_LOG(TRACE, RPC, "grpc", FM_STR("text", args->message), FM_STR("file", args->file),
               FM_I64("line", args->line));
}

void rpc_global_init(void)
{
    gpr_set_log_function(on_gpr_log);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    grpc_init();
}

void rpc_global_shutdown(void)
{
    grpc_shutdown_blocking();
}

void rpc_must(grpc_call_error e, const char *what)
{
    if (e == GRPC_CALL_OK)
        return;
    char text[128];
    snprintf(text, sizeof(text), "gRPC batch refused: %s: %s", what, grpc_call_error_to_string(e));
    fm_abort(text);
}

/* ---- messages ---- */

struct rpc_message *rpc_message_new(struct fm_bytes bytes)
{
    struct rpc_message *m = fm_xcalloc(1, sizeof(*m));
    grpc_slice slice = grpc_slice_malloc(bytes.n);
    if (bytes.n > 0)
        memcpy(GRPC_SLICE_START_PTR(slice), bytes.p, bytes.n);
    m->buffer = grpc_raw_byte_buffer_create(&slice, 1);
    m->bytes = bytes.n;
    grpc_slice_unref(slice);
    return m;
}

void rpc_message_free(struct rpc_message *m)
{
    grpc_byte_buffer_destroy(m->buffer);
    free(m);
}

void rpc_messages_free(struct rpc_message *list)
{
    struct rpc_message *m, *tmp;
    DL_FOREACH_SAFE (list, m, tmp)
        rpc_message_free(m);
}

int rpc_read_all(grpc_byte_buffer *buffer, grpc_slice *ret)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer))
        return -1;
    *ret = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return 0;
}

struct fm_bytes rpc_slice_bytes(const grpc_slice *slice)
{
    return (struct fm_bytes){GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)};
}

/* ---- posting ---- */

static void run_posted(struct rpc_loop *l)
{
    fm_lock(&l->lock);
    struct posted *list = l->posted;
    l->posted = NULL;
    l->kicked = false;
    fm_unlock(&l->lock);
    while (list != NULL) {
        struct posted *p = list;
        list = p->next;
        p->fn(p->arg);
        lap(l, "what another thread has posted");
        free(p);
    }
}

static void on_kick(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    run_posted(tag->owner);
}

/* Not under the lock: the thread that wakes up wants it at once. rpc_loop_stop waits until this
 * is done. */
static void wake_up(struct rpc_loop *l)
{
    rpc_must(grpc_call_start_batch(l->kick_call, NULL, 0, &l->kick_tag, NULL), "wake-up");
    fm_lock(&l->lock);
    l->kicking--;
    if (l->stopping)
        (void)pthread_cond_signal(&l->kicks_done);
    fm_unlock(&l->lock);
}

bool rpc_loop_post(struct rpc_loop *l, void (*fn)(void *arg), void *arg)
{
    struct posted *p = fm_xmalloc(sizeof(*p));
    *p = (struct posted){NULL, fn, arg};
    fm_lock(&l->lock);
    if (l->stopping) {
        fm_unlock(&l->lock);
        free(p);
        return false;
    }
    LL_APPEND(l->posted, p);
    bool kick = !l->kicked;
    l->kicked = true;
    l->kicking += kick;
    fm_unlock(&l->lock);
    if (kick)
        wake_up(l);
    return true;
}

/* ---- timers ---- */

void rpc_timer_start(struct rpc_loop *l, struct rpc_timer *t, int64_t at_ms, void (*fn)(void *arg), void *arg)
{
    if (!t->armed)
        DL_APPEND(l->timers, t);
    t->armed = true;
    t->at_ms = at_ms;
    t->fn = fn;
    t->arg = arg;
}

void rpc_timer_stop(struct rpc_loop *l, struct rpc_timer *t)
{
    if (t->armed)
        DL_DELETE(l->timers, t);
    t->armed = false;
}

static struct rpc_timer *first_timer(const struct rpc_loop *l)
{
    struct rpc_timer *first = NULL, *t;
    DL_FOREACH (l->timers, t)
        if (first == NULL || t->at_ms < first->at_ms)
            first = t;
    return first;
}

static bool run_timers(struct rpc_loop *l)
{
    bool any = false;
    struct rpc_timer *t;
    while ((t = first_timer(l)) != NULL && t->at_ms <= fm_now_mono_ms()) {
        rpc_timer_stop(l, t);
        t->fn(t->arg);
        lap(l, "a timer");
        any = true;
    }
    return any;
}

/* ---- the loop ---- */

grpc_completion_queue *rpc_loop_queue(struct rpc_loop *l)
{
    return l->queue;
}

struct rpc_loop *rpc_loop_new(void)
{
    struct rpc_loop *l = fm_xcalloc(1, sizeof(*l));
    l->watchdog.loop = "rpc";
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->kicks_done, NULL);
    l->queue = grpc_completion_queue_create_for_next(NULL);
    l->kick_tag = (struct rpc_tag){on_kick, l};
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    l->kick_channel = grpc_channel_create("unix:/nonexistent/fermata-wake-up", creds, NULL);
    grpc_channel_credentials_release(creds);
    l->kick_call = grpc_channel_create_call(l->kick_channel, NULL, GRPC_PROPAGATE_DEFAULTS, l->queue,
                                            grpc_slice_from_static_string("/wake-up"), NULL,
                                            gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    if (l->kick_call == NULL)
        fm_abort("gRPC cannot make a call object");
    return l;
}

static gpr_timespec next_deadline(const struct rpc_loop *l)
{
    struct rpc_timer *t = first_timer(l);
    if (t == NULL)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    int64_t wait = t->at_ms - fm_now_mono_ms();
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis(wait > 0 ? wait : 0, GPR_TIMESPAN));
}

static void end_turn(struct rpc_loop *l)
{
    if (l->on_turn != NULL)
        l->on_turn(l->turn_arg);
    lap(l, "the end of a turn");
    struct rpc_end_of_turn *e;
    DL_FOREACH (l->ends, e)
        e->fn(e->arg);
    lap(l, "sending what the turn has said");
}

void rpc_loop_add_end(struct rpc_loop *l, struct rpc_end_of_turn *e)
{
    DL_APPEND(l->ends, e);
}

void rpc_loop_remove_end(struct rpc_loop *l, struct rpc_end_of_turn *e)
{
    DL_DELETE(l->ends, e);
}

void rpc_loop_later(struct rpc_loop *l, struct rpc_later *later)
{
    LL_APPEND(l->laters, later);
}

static void run_laters(struct rpc_loop *l)
{
    while (l->laters != NULL) {
        struct rpc_later *later = l->laters;
        l->laters = later->next;
        later->fn(later->arg);
    }
}

/* gRPC works for its connections while the loop waits for an event: how long, says the thread's processor
 * time only. It costs a system call, so it is looked up some times a second, and when a wait was long. */
static grpc_event wait_for_event(struct rpc_loop *l)
{
    int64_t from_ms = fm_now_coarse_ms();
    if (from_ms - l->cpu_at_ms >= WATCHDOG_MS / 2) {
        l->cpu_ms = fm_thread_cpu_ms();
        l->cpu_at_ms = from_ms;
    }
    grpc_event ev = grpc_completion_queue_next(l->queue, next_deadline(l), NULL);
    int64_t now_ms = fm_now_coarse_ms();
    watchdog_begin(&l->watchdog, now_ms);
    if (now_ms - from_ms > WATCHDOG_MS) {
        int64_t took_ms = fm_thread_cpu_ms() - l->cpu_ms - (from_ms - l->cpu_at_ms);
        l->watchdog.longest = "gRPC itself";
        l->watchdog.longest_ms = took_ms;
        watchdog_took(&l->watchdog, took_ms, now_ms);
        watchdog_begin(&l->watchdog, now_ms);
    }
    return ev;
}

static grpc_event next_event(struct rpc_loop *l, bool poll_only)
{
    if (!poll_only)
        return wait_for_event(l);
    grpc_event ev = grpc_completion_queue_next(l->queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
    lap(l, "gRPC itself");
    return ev;
}

void rpc_loop_run(struct rpc_loop *l)
{
    bool worked = false;
    int burst = 0;
    for (;;) {
        bool poll_only = worked && burst < BURST;
        if (worked && !poll_only) {
            (void)run_timers(l);
            end_turn(l);
            run_laters(l);
            lap(l, "what could wait");
            watchdog_end(&l->watchdog);
            worked = false;
            burst = 0;
        }
        grpc_event ev = next_event(l, poll_only);
        if (ev.type == GRPC_QUEUE_SHUTDOWN)
            return;
        if (ev.type == GRPC_OP_COMPLETE) {
            struct rpc_tag *tag = ev.tag;
            run_laters(l);
            tag->fn(tag, ev.success != 0);
            lap(l, "an event of gRPC");
            worked = true;
            burst++;
        } else if (poll_only) {
            burst = BURST; /* nothing more: the turn is over */
        } else if (run_timers(l)) {
            worked = true;
            burst = BURST;
        }
    }
}

void rpc_loop_on_turn(struct rpc_loop *l, void (*fn)(void *arg), void *arg)
{
    l->on_turn = fn;
    l->turn_arg = arg;
}

void rpc_loop_stop(struct rpc_loop *l)
{
    fm_lock(&l->lock);
    bool was = l->stopping;
    l->stopping = true;
    while (l->kicking > 0)
        (void)pthread_cond_wait(&l->kicks_done, &l->lock);
    fm_unlock(&l->lock);
    if (was)
        return;
    grpc_call_unref(l->kick_call);
    grpc_channel_destroy(l->kick_channel);
    grpc_completion_queue_shutdown(l->queue);
}

void rpc_loop_free(struct rpc_loop *l)
{
    while (l->posted != NULL) {
        struct posted *p = l->posted;
        l->posted = p->next;
        free(p);
    }
    grpc_completion_queue_destroy(l->queue);
    (void)pthread_mutex_destroy(&l->lock);
    (void)pthread_cond_destroy(&l->kicks_done);
    free(l);
}
