/* Checkpoints. Copying the log's pages into the store's file takes milliseconds, so a thread of
 * its own does it while the writer goes on committing. SQLite can begin its log anew only when
 * all of it is copied, and under load there is always a commit more: what came meanwhile the
 * writer copies, which is little. Only when the log has grown long all the same does the writer
 * wait for the thread. */
#include "checkpoint.h"

#include <stdlib.h>

#include "err.h"
#include "log.h"
#include "mem.h"
#include "sql.h"

/* The log is long enough to be copied. Not later: as long as the file grows, each sync costs
 * several times what it costs when old pages of the log are written over. */
#define BEGIN_PAGES 2000
#define WAIT_PAGES 8000 /* so long that the writer waits for it */

/* The pages that were copied go to the disk here, too: SQLite leaves that to whoever copies the
 * last ones. */
static int sync_file(sqlite3 *db)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    return rc == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : rc;
}

static void copy_pages(struct sql_conn *c)
{
    fm_auto(fm_err) err = {0};
    if (sql_open(c, SQL_READER, &err) == 0) {
        int rc = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sync_file(c->db);
        if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
            (void)sql_error(c, rc, "checkpoint", &err);
            if (sql_is_fatal(rc))
                sql_close(c);
        }
    }
    if (err.code != FM_OK)
        FM_LOG(WARN, STORAGE, "the log was not copied into the store's file, trying again later",
               FM_ERR(&err));
}

static void *checkpoint_main(void *arg)
{
    struct checkpointer *k = arg;
    pthread_mutex_lock(&k->lock);
    while (!k->closing) {
        if (k->state != CHECKPOINT_WANTED) {
            pthread_cond_wait(&k->changed, &k->lock);
            continue;
        }
        pthread_mutex_unlock(&k->lock);
        copy_pages(&k->conn);
        pthread_mutex_lock(&k->lock);
        k->state = CHECKPOINT_COPIED;
        pthread_cond_broadcast(&k->changed);
    }
    pthread_mutex_unlock(&k->lock);
    sql_close(&k->conn);
    return NULL;
}

void checkpoint_start(struct checkpointer *k, const char *path)
{
    k->conn.path = fm_xstrdup(path);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    if (pthread_create(&k->thread, NULL, checkpoint_main, k) != 0)
        fm_abort("a thread of the store could not be started");
}

void checkpoint_stop(struct checkpointer *k)
{
    pthread_mutex_lock(&k->lock);
    k->closing = true;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
}

void checkpoint_done(struct checkpointer *k)
{
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->changed);
    free(k->conn.path);
}

void checkpoint_after_commit(struct checkpointer *k, struct sql_conn *writer)
{
    if (writer->log_pages < BEGIN_PAGES)
        return;
    pthread_mutex_lock(&k->lock);
    bool begin = k->state == CHECKPOINT_IDLE;
    if (begin)
        k->state = CHECKPOINT_WANTED;
    while (writer->log_pages >= WAIT_PAGES && k->state == CHECKPOINT_WANTED && !k->closing) {
        pthread_cond_broadcast(&k->changed);
        pthread_cond_wait(&k->changed, &k->lock);
    }
    bool copied = k->state == CHECKPOINT_COPIED;
    if (copied)
        k->state = CHECKPOINT_IDLE;
    pthread_mutex_unlock(&k->lock);
    if (begin)
        pthread_cond_broadcast(&k->changed);
    if (copied && writer->db != NULL) /* a fault is met again by the next commit or try */
        (void)sqlite3_wal_checkpoint_v2(writer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (copied)
        writer->log_pages = 0; /* if some could not be copied, the next commit says so */
}
