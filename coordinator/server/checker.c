/* The thread for checks. See checker.h. */
#include "checker.h"

#include <pthread.h>
#include <stdlib.h>

#include <utlist.h>

#include "mem.h"
#include "program_check.h"

struct checker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    atomic_bool stop;
    struct program_check *waiting, *done; /* under the lock */
    void (*notify)(void *arg);
    void *arg;
};

static struct program_check *take(struct checker *k)
{
    (void)pthread_mutex_lock(&k->lock);
    while (k->waiting == NULL && !atomic_load(&k->stop))
        (void)pthread_cond_wait(&k->more, &k->lock);
    struct program_check *check = atomic_load(&k->stop) ? NULL : k->waiting;
    if (check != NULL)
        DL_DELETE(k->waiting, check);
    (void)pthread_mutex_unlock(&k->lock);
    return check;
}

static void *run(void *arg)
{
    struct checker *k = arg;
    struct program_check *check;
    while ((check = take(k)) != NULL) {
        program_check_run(check, &k->stop);
        (void)pthread_mutex_lock(&k->lock);
        DL_APPEND(k->done, check);
        (void)pthread_mutex_unlock(&k->lock);
        if (!atomic_load(&k->stop))
            k->notify(k->arg);
    }
    return NULL;
}

struct checker *checker_new(void (*notify)(void *arg), void *arg)
{
    struct checker *k = fm_xcalloc(1, sizeof(*k));
    k->notify = notify;
    k->arg = arg;
    if (pthread_mutex_init(&k->lock, NULL) != 0 || pthread_cond_init(&k->more, NULL) != 0 ||
        pthread_create(&k->thread, NULL, run, k) != 0)
        fm_abort("the thread for checks could not be started");
    return k;
}

void checker_add(struct checker *k, struct program_check *check)
{
    (void)pthread_mutex_lock(&k->lock);
    DL_APPEND(k->waiting, check);
    (void)pthread_cond_signal(&k->more);
    (void)pthread_mutex_unlock(&k->lock);
}

struct program_check *checker_poll(struct checker *k)
{
    (void)pthread_mutex_lock(&k->lock);
    struct program_check *check = k->done;
    if (check != NULL)
        DL_DELETE(k->done, check);
    (void)pthread_mutex_unlock(&k->lock);
    return check;
}

static void free_all(struct program_check *list)
{
    struct program_check *check, *next;
    DL_FOREACH_SAFE (list, check, next)
        program_check_free(check);
}

void checker_free(struct checker *k)
{
    (void)pthread_mutex_lock(&k->lock);
    atomic_store(&k->stop, true);
    (void)pthread_cond_signal(&k->more);
    (void)pthread_mutex_unlock(&k->lock);
    (void)pthread_join(k->thread, NULL);
    free_all(k->waiting);
    free_all(k->done);
    (void)pthread_cond_destroy(&k->more);
    (void)pthread_mutex_destroy(&k->lock);
    free(k);
}
