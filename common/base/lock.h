/* Locks. That one cannot be taken or given back is our own bug: it ends the process. */
#ifndef FM_LOCK_H
#define FM_LOCK_H

#include <pthread.h>

#include "mem.h"

static inline void fm_lock(pthread_mutex_t *m)
{
    if (pthread_mutex_lock(m) != 0)
        fm_abort("a lock could not be taken");
}

static inline void fm_unlock(pthread_mutex_t *m)
{
    if (pthread_mutex_unlock(m) != 0)
        fm_abort("a lock could not be given back");
}

#endif
