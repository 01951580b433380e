/* Copies the pages of SQLite's log into the store's file beside the writer. */
#ifndef FM_STORE_SQLITE_CHECKPOINT_H
#define FM_STORE_SQLITE_CHECKPOINT_H

#include <pthread.h>

#include "sql.h"

enum checkpoint_state {
    CHECKPOINT_IDLE,
    CHECKPOINT_WANTED, /* the thread copies, or is about to */
    CHECKPOINT_COPIED  /* the writer copies the rest */
};

struct checkpointer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum checkpoint_state state; /* under lock */
    bool closing;                /* under lock */
    struct sql_conn conn;        /* of the thread */
};

/* Starts the thread for the store's file at this path; zero the struct before. */
void checkpoint_start(struct checkpointer *k, const char *path);
/* Any thread: ends the thread. The writer may still call checkpoint_after_commit, which does no
 * more then. */
void checkpoint_stop(struct checkpointer *k);
/* After checkpoint_stop, when the writer has ended. */
void checkpoint_done(struct checkpointer *k);
/* The writer's thread, after those who waited for the commit have heard of it. */
void checkpoint_after_commit(struct checkpointer *k, struct sql_conn *writer);

#endif
