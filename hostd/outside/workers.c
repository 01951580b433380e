/* Worker threads. See workers.h. */
#include "workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include <utlist.h>

#include "lock.h"
#include "mem.h"

struct item {
    struct item *prev, *next;
    uint64_t id;
    void *work;
};

struct workers {
    size_t max;
    const struct work_kind *kind;
    void *arg;
    uv_async_t wake;
    pthread_t *threads;
    size_t n_threads; /* started */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    struct item *waiting, *finished;
    size_t n_waiting, n_idle, n_busy;
    bool stopping;
};

static void *worker_main(void *arg)
{
    struct workers *w = arg;
    fm_lock(&w->lock);
    for (;;) {
        while (w->waiting == NULL && !w->stopping) {
            w->n_idle++;
            (void)pthread_cond_wait(&w->changed, &w->lock);
            w->n_idle--;
        }
        if (w->stopping)
            break;
        struct item *item = w->waiting;
        DL_DELETE(w->waiting, item);
        w->n_waiting--;
        w->n_busy++;
        fm_unlock(&w->lock);
        w->kind->run(item->work);
        fm_lock(&w->lock);
        w->n_busy--;
        DL_APPEND(w->finished, item);
        if (!w->stopping)
            (void)uv_async_send(&w->wake);
    }
    fm_unlock(&w->lock);
    return NULL;
}

static void on_wake(uv_async_t *wake)
{
    struct workers *w = wake->data;
    fm_lock(&w->lock);
    struct item *list = w->finished, *item, *tmp;
    w->finished = NULL;
    fm_unlock(&w->lock);
    DL_FOREACH_SAFE (list, item, tmp) {
        w->kind->done(w->arg, item->id, item->work);
        free(item);
    }
}

struct workers *workers_new(uv_loop_t *loop, size_t n, const struct work_kind *kind, void *arg)
{
    struct workers *w = fm_xcalloc(1, sizeof(*w));
    w->max = n;
    w->kind = kind;
    w->arg = arg;
    w->threads = fm_xcalloc(n, sizeof(*w->threads));
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    if (uv_async_init(loop, &w->wake, on_wake) < 0)
        fm_abort("the workers' wake-up could not be made");
    w->wake.data = w;
    return w;
}

void workers_run(struct workers *w, uint64_t id, void *work)
{
    struct item *item = fm_xcalloc(1, sizeof(*item));
    item->id = id;
    item->work = work;
    fm_lock(&w->lock);
    DL_APPEND(w->waiting, item);
    w->n_waiting++;
    bool more = w->n_waiting > w->n_idle && w->n_threads < w->max;
    (void)pthread_cond_signal(&w->changed);
    fm_unlock(&w->lock);
    if (!more)
        return;
    if (pthread_create(&w->threads[w->n_threads], NULL, worker_main, w) == 0)
        w->n_threads++;
    else if (w->n_threads == 0)
        fm_abort("no worker thread can be started");
}

void workers_stop(struct workers *w)
{
    fm_lock(&w->lock);
    w->stopping = true;
    (void)pthread_cond_broadcast(&w->changed);
    fm_unlock(&w->lock);
    uv_close((uv_handle_t *)&w->wake, NULL);
}

static void free_items(struct workers *w, struct item *list)
{
    struct item *item, *tmp;
    DL_FOREACH_SAFE (list, item, tmp) {
        w->kind->free(item->work);
        free(item);
    }
}

void workers_free(struct workers *w)
{
    fm_lock(&w->lock);
    bool busy = w->n_busy > 0;
    fm_unlock(&w->lock);
    for (size_t i = 0; i < w->n_threads; i++)
        (void)(busy ? pthread_detach(w->threads[i]) : pthread_join(w->threads[i], NULL));
    if (busy)
        return; /* what the thread still uses stays */
    free_items(w, w->waiting);
    free_items(w, w->finished);
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->changed);
    free(w->threads);
    free(w);
}
