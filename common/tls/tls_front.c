/* Two threads with an epoll each. See tls_front.h.
 *
 * A link belongs to one thread at a time: to the first until its handshake is done, then to the second one;
 * it is handed over by the other's inbox. Its sockets are watched for edges: what an event allows is noted in
 * the link, and tried until the kernel says no. */
#define _GNU_SOURCE
#include "tls_front.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utlist.h>

#include "clock.h"
#include "lock.h"
#include "log.h"
#include "mem.h"
#include "tls_context.h"
#include "tls_link.h"

#define MAX_HANDSHAKES 1024
#define HANDSHAKE_MS 5000
#define WATCH_MS 2000   /* between looks at the files */
#define CLOSING_MS 5000 /* that the other side may take to read what is left, and to end, too */
#define MAX_CLOSING 256
#define LAST_WORDS_MS 1000
#define EVENTS 256
#define NICE 5
/* Of epoll's data: a link, and which of its sockets. */
#define PLAIN 1u

struct worker {
    struct tls_front *front;
    pthread_t thread;
    bool running;
    int epoll, wake;
    void (*take)(struct worker *w, struct tls_link *l); /* one from the inbox */
    void (*step)(struct worker *w, struct tls_link *l); /* something may be done for it */
    struct tls_link *links;   /* those of the first: in the order in which they began */
    struct tls_link *closing; /* of the second: in the order in which that began */
    struct tls_link *again;   /* for which something can be done */
    size_t n, n_closing, n_again;
    uint8_t *buf;
    pthread_mutex_t lock;
    struct tls_link *inbox; /* under the lock */
    atomic_bool stop;
    int64_t stop_at_ms; /* when the last words must be said */
};

struct tls_front {
    struct tls_front_config cfg;
    struct worker shakes, copies;
    atomic_bool reload;
    int64_t look_ms; /* the first thread's */
};

/* ---- both threads ---- */

static void wake(struct worker *w)
{
    const uint64_t one = 1;
    if (write(w->wake, &one, sizeof(one)) != sizeof(one))
        fm_abort("an eventfd cannot be written");
}

static void post(struct worker *w, struct tls_link *l)
{
    fm_lock(&w->lock);
    bool first = w->inbox == NULL;
    DL_APPEND(w->inbox, l);
    fm_unlock(&w->lock);
    if (first)
        wake(w);
}

static bool watch(struct worker *w, int fd, struct tls_link *l, uintptr_t which)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                            .data.u64 = (uint64_t)((uintptr_t)l | which)};
    return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void do_again(struct worker *w, struct tls_link *l)
{
    if (l->is_again)
        return;
    l->is_again = true;
    w->n_again++;
    DL_APPEND2(w->again, l, again_prev, again_next);
}

static void not_again(struct worker *w, struct tls_link *l)
{
    if (!l->is_again)
        return;
    l->is_again = false;
    w->n_again--;
    DL_DELETE2(w->again, l, again_prev, again_next);
}

static void leave(struct worker *w, struct tls_link *l)
{
    DL_DELETE(w->links, l);
    w->n--;
    not_again(w, l);
}

/* That the sockets are closed is not enough for epoll: a process that is being started has them, too, for a
 * moment, and epoll would name a link that is no more. */
static void unwatch(struct worker *w, const struct tls_link *l)
{
    (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, l->net, NULL);
    if (l->plain >= 0)
        (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, l->plain, NULL);
}

static void end(struct worker *w, struct tls_link *l)
{
    unwatch(w, l);
    if (l->why[0] != '\0')
        l->events->failed(l->user, l->why);
    tls_link_done(l);
    l->events->gone(l->user);
    free(l);
}

static void note(struct tls_link *l, uint32_t events, uintptr_t which)
{
    bool in = (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
         out = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    if (which == PLAIN) {
        l->plain_in = l->plain_in || in;
        l->plain_out = l->plain_out || out;
        l->plain_gone = l->plain_gone || (events & (EPOLLHUP | EPOLLERR)) != 0;
    } else {
        l->net_in = l->net_in || in;
        l->net_out = l->net_out || out;
    }
}

static void take_inbox(struct worker *w)
{
    fm_lock(&w->lock);
    struct tls_link *list = w->inbox, *l, *tmp;
    w->inbox = NULL;
    fm_unlock(&w->lock);
    DL_FOREACH_SAFE (list, l, tmp) {
        DL_DELETE(list, l);
        DL_APPEND(w->links, l);
        w->n++;
        w->take(w, l);
    }
}

/* Each of those for which something can be done has its turn. */
static void take_again(struct worker *w)
{
    for (size_t i = w->n_again; i > 0 && w->again != NULL; i--) {
        struct tls_link *l = w->again;
        not_again(w, l);
        w->step(w, l);
    }
}

static void take_events(struct worker *w, int wait_ms)
{
    struct epoll_event events[EVENTS];
    uint64_t count;
    int n = epoll_wait(w->epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == 0) {
            (void)!read(w->wake, &count, sizeof(count));
            continue;
        }
        uintptr_t which = (uintptr_t)events[i].data.u64 & PLAIN;
        struct tls_link *l = (struct tls_link *)((uintptr_t)events[i].data.u64 - which);
        note(l, events[i].events, which);
        do_again(w, l);
    }
}

static void run(struct worker *w, int wait_ms)
{
    take_events(w, w->n_again > 0 ? 0 : wait_ms);
    take_inbox(w);
    take_again(w);
}

static int until(int64_t at_ms, int64_t now_ms)
{
    return at_ms <= now_ms ? 0 : (int)(at_ms - now_ms);
}

/* ---- handshakes ---- */

static void cut(struct worker *w, struct tls_link *l, const char *why)
{
    (void)snprintf(l->why, sizeof(l->why), "%.*s", (int)sizeof(l->why) - 1, why);
    leave(w, l);
    end(w, l);
}

static void take_new(struct worker *w, struct tls_link *l)
{
    const struct tls_front_config *cfg = &w->front->cfg;
    l->until_ms = fm_now_mono_ms() + cfg->handshake_ms;
    if (atomic_load(&w->stop)) {
        cut(w, l, "the server is stopping");
        return;
    }
    if (w->n > cfg->max_handshakes && w->links != l)
        cut(w, w->links, "too many handshakes are under way: this one took longest");
    if (watch(w, l->net, l, 0))
        do_again(w, l);
    else
        cut(w, l, "no memory to watch the connection");
}

/* Who it is decides nothing here; but whoever is told may refuse. */
static void let_in(struct worker *w, struct tls_link *l)
{
    fm_auto(fm_err) err = {0};
    struct fm_principal who;
    if (tls_context_who(l->ssl, &who, &err) < 0) {
        cut(w, l, err.msg);
        return;
    }
    unwatch(w, l);
    int plain = l->events->ready(l->user, &who);
    leave(w, l);
    if (plain < 0) {
        end(w, l);
        return;
    }
    tls_link_open(l, plain, fm_now_mono_ms());
    post(&w->front->copies, l);
}

static void shake(struct worker *w, struct tls_link *l)
{
    int rc = tls_link_shake(l);
    if (rc == 0)
        return;
    if (rc > 0) {
        let_in(w, l);
        return;
    }
    leave(w, l);
    end(w, l);
}

static void look_at_files(struct tls_front *f)
{
    bool force = atomic_exchange(&f->reload, false);
    int64_t now_ms = fm_now_mono_ms();
    if (f->cfg.watched == NULL || (!force && now_ms < f->look_ms))
        return;
    f->look_ms = now_ms + WATCH_MS;
    tls_context_refresh(f->cfg.watched, force);
}

static int shakes_wait_ms(const struct worker *w, int64_t now_ms)
{
    int64_t at = INT64_MAX;
    if (w->links != NULL)
        at = w->links->until_ms;
    if (w->front->cfg.watched != NULL && w->front->look_ms < at)
        at = w->front->look_ms;
    return at == INT64_MAX ? -1 : until(at, now_ms);
}

static void *shakes_main(void *arg)
{
    struct worker *w = arg;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread */
    while (!atomic_load(&w->stop)) {
        run(w, shakes_wait_ms(w, fm_now_mono_ms()));
        int64_t now_ms = fm_now_mono_ms();
        while (w->links != NULL && w->links->until_ms <= now_ms)
            cut(w, w->links, "the handshake took too long");
        look_at_files(w->front);
    }
    while (w->links != NULL)
        cut(w, w->links, "the server is stopping");
    return NULL;
}

/* ---- carrying ---- */

static void take_open(struct worker *w, struct tls_link *l)
{
    if (watch(w, l->net, l, 0) && watch(w, l->plain, l, PLAIN))
        do_again(w, l);
    else
        cut(w, l, "no memory to watch the connection");
}

/* Those that are closing stand behind the others, in the order in which that began. */
static void begin_closing(struct worker *w, struct tls_link *l, int64_t now_ms)
{
    l->until_ms = now_ms + CLOSING_MS;
    DL_DELETE(w->links, l);
    w->n--;
    DL_APPEND(w->closing, l);
    w->n_closing++;
}

static void closed(struct worker *w, struct tls_link *l)
{
    not_again(w, l);
    DL_DELETE(w->closing, l);
    w->n_closing--;
    end(w, l);
}

static void carry(struct worker *w, struct tls_link *l)
{
    int64_t now_ms = fm_now_mono_ms();
    bool was_closing = l->state == TLS_CLOSING;
    if (tls_link_pump(l, w->buf, now_ms))
        do_again(w, l);
    if (l->state == TLS_OVER && was_closing) {
        closed(w, l);
    } else if (l->state == TLS_OVER) {
        leave(w, l);
        end(w, l);
    } else if (l->state == TLS_CLOSING && !was_closing) {
        begin_closing(w, l, now_ms);
        if (w->n_closing > MAX_CLOSING)
            closed(w, w->closing);
    }
}

static int copies_wait_ms(const struct worker *w, int64_t now_ms)
{
    int64_t at = w->closing != NULL ? w->closing->until_ms : INT64_MAX;
    if (atomic_load(&w->stop) && w->stop_at_ms < at)
        at = w->stop_at_ms;
    return at == INT64_MAX ? -1 : until(at, now_ms);
}

static void *copies_main(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        run(w, copies_wait_ms(w, fm_now_mono_ms()));
        int64_t now_ms = fm_now_mono_ms();
        while (w->closing != NULL && w->closing->until_ms <= now_ms)
            closed(w, w->closing);
        if (!atomic_load(&w->stop))
            continue;
        if (w->stop_at_ms == 0)
            w->stop_at_ms = now_ms + LAST_WORDS_MS;
        if (w->n + w->n_closing == 0 || now_ms >= w->stop_at_ms)
            break;
    }
    while (w->closing != NULL)
        closed(w, w->closing);
    while (w->links != NULL)
        cut(w, w->links, "the process is stopping");
    return NULL;
}

/* ---- life ---- */

static void start(struct tls_front *f, struct worker *w, void *(*main)(void *))
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0};
    w->front = f;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll < 0 || w->wake < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->wake, &e) < 0)
        fm_abort("an eventfd or epoll could not be made");
    (void)pthread_mutex_init(&w->lock, NULL);
    sigset_t all, before; /* the process's signals are not for this thread, nor that a socket is closed */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&w->thread, NULL, main, w) != 0)
        fm_abort("a thread for TLS could not be started");
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->running = true;
}

static void stop(struct worker *w)
{
    if (!w->running)
        return;
    w->running = false;
    atomic_store(&w->stop, true);
    wake(w);
    (void)pthread_join(w->thread, NULL);
    take_inbox(w);
    while (w->links != NULL)
        cut(w, w->links, "the process is stopping");
}

static void done(struct worker *w)
{
    close(w->epoll);
    close(w->wake);
    free(w->buf);
    (void)pthread_mutex_destroy(&w->lock);
}

struct tls_front *tls_front_new(const struct tls_front_config *cfg)
{
    struct tls_front *f = fm_xcalloc(1, sizeof(*f));
    f->cfg = *cfg;
    if (f->cfg.max_handshakes == 0)
        f->cfg.max_handshakes = MAX_HANDSHAKES;
    if (f->cfg.handshake_ms == 0)
        f->cfg.handshake_ms = HANDSHAKE_MS;
    f->look_ms = fm_now_mono_ms() + WATCH_MS;
    f->shakes.take = take_new;
    f->shakes.step = shake;
    f->copies.take = take_open;
    f->copies.step = carry;
    f->copies.buf = fm_xmalloc(TLS_RECORD_BYTES);
    start(f, &f->shakes, shakes_main);
    start(f, &f->copies, copies_main);
    return f;
}

void tls_front_add(struct tls_front *f, struct tls_context *context, int fd, const char *name,
                   const struct tls_events *events, void *user)
{
    struct tls_link *l = fm_xcalloc(1, sizeof(*l));
    l->events = events;
    l->user = user;
    tls_link_init(l, context, fd, name);
    post(&f->shakes, l);
}

void tls_front_reload(struct tls_front *f)
{
    atomic_store(&f->reload, true);
    wake(&f->shakes);
}

void tls_front_stop(struct tls_front *f)
{
    stop(&f->shakes);
}

void tls_front_free(struct tls_front *f)
{
    if (f == NULL)
        return;
    stop(&f->shakes);
    stop(&f->copies);
    done(&f->shakes);
    done(&f->copies);
    free(f);
}
