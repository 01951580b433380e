/* The offline check. See verify.h. It reads through the store's own interface, so it knows nothing of tables.
 */
#include "verify.h"

#include <semaphore.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "job.h"
#include "mem.h"
#include "store.h"

#define PAGE 256
#define MAX_STATE_BYTES (64u * 1024 * 1024)

struct verify {
    struct store *store;
    sem_t ready;
    FILE *out;
    size_t jobs, steps;
    int faults;
};

static void on_notify(void *arg)
{
    (void)sem_post(&((struct verify *)arg)->ready);
}

static struct store_done *ask(struct verify *v, const struct store_query *q)
{
    store_read(v->store, q);
    for (;;) {
        struct store_done *d = store_poll(v->store);
        if (d != NULL)
            return d;
        (void)sem_wait(&v->ready);
    }
}

static void complain(struct verify *v, const char *job, const char *fmt, ...) FM_PRINTF(3, 4);
static void complain(struct verify *v, const char *job, const char *fmt, ...)
{
    va_list ap;
    v->faults++;
    fprintf(v->out, "job %s: ", job);
    va_start(ap, fmt);
    (void)vfprintf(v->out, fmt, ap);
    va_end(ap);
    fputc('\n', v->out);
}

/* ---- one job ---- */

/* All its steps from the first, page by page. */
static void check_journal(struct verify *v, const struct fm_id *id, const char *text, uint32_t last)
{
    uint32_t next = 1;
    bool more = true;
    while (more) {
        struct store_query q = {
            .kind = STORE_READ_STEPS, .job = *id, .from = next, .limit = PAGE, .max_bytes = 8u * 1024 * 1024};
        struct store_done *d = ask(v, &q);
        if (d->status != STORE_OK) {
            complain(v, text, "its steps cannot be read: %s", d->err.msg);
            store_done_free(d);
            return;
        }
        for (size_t i = 0; i < d->n_steps; i++, next++) {
            Fermata__V1__Step *s = fermata__v1__step__unpack(NULL, d->steps[i].body.n, d->steps[i].body.p);
            if (d->steps[i].number != next)
                complain(v, text, "step %u follows step %u", d->steps[i].number, next - 1);
            next = d->steps[i].number;
            if (s == NULL || s->number != d->steps[i].number)
                complain(v, text, "step %u is malformed", d->steps[i].number);
            if (s != NULL)
                fermata__v1__step__free_unpacked(s, NULL);
            v->steps++;
        }
        more = d->more && d->n_steps > 0;
        store_done_free(d);
    }
    if (next - 1 != last)
        complain(v, text, "%u steps are stored; snapshot and journal end with step %u", next - 1, last);
}

static bool has_waker(const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    return h->n_pauses > 0 || h->n_children > 0 || job_state_next_due(job->state) != 0;
}

static void check_status(struct verify *v, const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    int status = (int)h->status;
    if (status < JOB_PENDING || status > JOB_CANCELLED) {
        complain(v, job->text, "status %d is unknown", status);
        return;
    }
    if ((status == JOB_PAUSED || status == JOB_SLEEPING) && !has_waker(job))
        complain(v, job->text, "it is %s, and nothing would ever wake it", job_status_name(status));
    if (status == JOB_PAUSED && h->n_pauses == 0)
        complain(v, job->text, "it is PAUSED, but no pause is open");
    if (status == JOB_RUNNING && h->host[0] == '\0')
        complain(v, job->text, "it is RUNNING, but on no host");
    if (status == JOB_COMPLETED && job_state_pending(job->state) > 0)
        complain(v, job->text, "it is COMPLETED, but %zu tasks are pending", job_state_pending(job->state));
    if (job_status_final(status) && h->finished_at == NULL)
        complain(v, job->text, "it is %s, but has no time of its end", job_status_name(status));
    if (job->inputs != NULL && job->inputs->prev->input_number > h->input_count)
        complain(v, job->text, "input %u is stored; its record counts %u", job->inputs->prev->input_number,
                 h->input_count);
    if (job_state_inputs(job->state) > h->input_count)
        complain(v, job->text, "its state has taken input %u of %u", job_state_inputs(job->state),
                 h->input_count);
}

static void check_job(struct verify *v, const struct fm_id *id)
{
    struct store_query q = {.kind = STORE_READ_JOB, .job = *id, .full = true};
    struct store_done *d = ask(v, &q);
    struct job *job = job_new(id);
    struct fm_err err = {0};
    v->jobs++;
    if (d->status != STORE_OK) {
        complain(v, job->text, "it cannot be read: %s", d->err.msg);
    } else if (job_load(job, d, MAX_STATE_BYTES, &err) < 0) {
        complain(v, job->text, "%s", err.msg);
    } else {
        check_status(v, job);
        check_journal(v, id, job->text, job_state_step(job->state));
    }
    fm_err_done(&err);
    job_free(job);
    store_done_free(d);
}

int store_verify(const char *dir, FILE *out, struct fm_err *err)
{
    struct verify v = {.out = out};
    struct stat st;
    if (stat(dir, &st) < 0)
        return fm_err_set(err, FM_NOT_FOUND, "data", "there is no directory %s", dir);
    (void)sem_init(&v.ready, 0, 0);
    struct store_sqlite_config cfg = {.dir = dir, .notify = on_notify, .arg = &v};
    v.store = store_sqlite_open(&cfg, err); /* checks the file itself, and that no coordinator has it */
    if (v.store == NULL)
        return -(int)err->code;
    struct fm_id after = {{0}};
    bool more = true;
    while (more && err->code == FM_OK) {
        struct store_query q = {.kind = STORE_LIST_JOBS, .limit = PAGE, .after = after};
        struct store_done *d = ask(&v, &q);
        if (d->status != STORE_OK)
            fm_err_copy(err, &d->err);
        more = d->more;
        struct fm_id *ids = fm_xcalloc(d->n_rows + 1, sizeof(*ids));
        size_t n = d->n_rows;
        for (size_t i = 0; i < n; i++)
            ids[i] = d->rows[i].job;
        if (n > 0)
            after = ids[n - 1];
        store_done_free(d);
        for (size_t i = 0; i < n; i++)
            check_job(&v, &ids[i]);
        free(ids);
    }
    store_close(v.store);
    (void)sem_destroy(&v.ready);
    if (err->code != FM_OK)
        return -(int)err->code;
    fprintf(out, "%zu jobs, %zu steps: %d fault%s\n", v.jobs, v.steps, v.faults, v.faults == 1 ? "" : "s");
    return v.faults;
}
