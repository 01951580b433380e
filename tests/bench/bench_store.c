/* The store as the bench needs it: many paused jobs, written by the store's own code, and what lies on the
 * disk. See bench.h. */
#include "bench.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "job.h"
#include "job_state.h"
#include "mem.h"
#include "store_open.h"

#define UNITS_AHEAD 8192
#define MAX_STATE (64u << 20)

static struct {
    struct store *store;
    sem_t wake;
} s;

static void notify(void *arg)
{
    (void)arg;
    sem_post(&s.wake);
}

static void open_store(const char *dir)
{
    struct fm_err err = {0};
    const struct store_events events = {.notify = notify};
    sem_init(&s.wake, 0, 0);
    s.store = store_open(dir, &events, &err);
    if (s.store == NULL)
        fm_abort(err.msg);
}

static void close_store(void)
{
    store_close(s.store);
    sem_destroy(&s.wake);
}

static struct store_done *next_done(void)
{
    for (;;) {
        struct store_done *d = store_poll(s.store);
        if (d == NULL)
            sem_wait(&s.wake);
        else if (d->status != STORE_OK)
            fm_abort(d->err.msg);
        else
            return d;
    }
}

static struct store_done *ask(struct store_query q)
{
    store_ask(s.store, &q);
    return next_done();
}

static struct fm_id id_of(const char *job)
{
    struct fm_id id;
    if (fm_id_parse(job, &id) < 0)
        fm_abort("no job id");
    return id;
}

static struct store_done *read_whole(const char *job)
{
    struct fm_id id = id_of(job);
    return ask(store_read_job(&id, STORE_WHOLE));
}

/* A job like the stored one, under another id. */
static struct store_unit *copy_of(const struct store_found_job *like, Fermata__V1__Job *head,
                                  const struct fm_id *id)
{
    struct store_unit *u = store_unit_new(1);
    struct fm_buf b = {0};
    char text[27];
    fm_id_text(id, text);
    memcpy(head->job_id, text, sizeof(text));
    pb_pack(head, &b);
    struct store_job job = {
        .id = *id,
        .status = (int)head->status,
        .flow = head->flow,
        .host = "",
        .head = {b.p, b.n},
        .is_new = true
    };
    store_put_job(u, &job);
    for (size_t i = 0; i < like->inputs.n; i++)
        store_put_input(u, id, like->inputs.items[i].number, like->inputs.items[i].body);
    for (size_t i = 0; i < like->steps.n; i++)
        store_put_step(u, id, like->steps.items[i].number, like->steps.items[i].body);
    fm_buf_done(&b);
    return u;
}

void bench_store_fill(const char *dir, const char *like, size_t n)
{
    struct fm_idgen ids;
    size_t submitted = 0, done = 0;
    open_store(dir);
    struct store_done *d = read_whole(like);
    Fermata__V1__Job *head = fermata__v1__job__unpack(NULL, d->job.head.n, d->job.head.p);
    if (head == NULL || d->job.snapshot.p != NULL)
        fm_abort("the job to be copied is malformed, or has a snapshot");
    fm_idgen_init(&ids, 1);
    int64_t now_ms = fm_now_wall_ms();
    while (done < n) {
        while (submitted < n && submitted - done < UNITS_AHEAD) {
            struct fm_id id;
            fm_id_next(&ids, now_ms, &id);
            submitted++;
            struct store_unit *u = copy_of(&d->job, head, &id);
            if (submitted < n && submitted - done < UNITS_AHEAD)
                store_submit_more(s.store, u);
            else
                store_submit(s.store, u);
        }
        store_done_free(next_done());
        done++;
    }
    fermata__v1__job__free_unpacked(head, NULL);
    store_done_free(d);
    close_store();
}

double bench_store_bytes(const char *dir)
{
    char path[512];
    struct stat st;
    open_store(dir);
    close_store(); /* moves the log into the file */
    snprintf(path, sizeof(path), "%s/fermata.db", dir);
    return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

double bench_store_turn(const char *dir, const char *job, uint32_t number)
{
    double bytes = 0;
    open_store(dir);
    struct fm_id id = id_of(job);
    struct store_done *d = ask(store_read_steps(&id, number, 1, MAX_STATE));
    for (size_t i = 0; i < d->steps.n; i++)
        bytes += (double)d->steps.items[i].body.n;
    store_done_free(d);
    d = ask(store_read_inputs(&id, number, number));
    for (size_t i = 0; i < d->inputs.n; i++)
        bytes += (double)d->inputs.items[i].body.n;
    store_done_free(d);
    close_store();
    return bytes;
}

void bench_store_codec(const char *dir, const char *job, size_t rounds, double *ret_bytes, double *ret_encode,
                       double *ret_decode)
{
    struct fm_err err = {0};
    struct job_state *state = NULL;
    struct task_item *inputs = NULL;
    struct fm_buf encoded = {0}, again = {0};
    open_store(dir);
    struct store_done *d = read_whole(job);
    if (job_fold_stored(&d->job, &state, &inputs, &err) < 0)
        fm_abort(err.msg);
    store_done_free(d);
    close_store();
    job_state_encode(state, NULL, &encoded);
    double from = bench_now();
    for (size_t i = 0; i < rounds; i++) {
        fm_buf_reset(&again);
        job_state_encode(state, NULL, &again);
    }
    *ret_encode = (bench_now() - from) / (double)rounds * 1e6;
    job_state_free(state);
    from = bench_now();
    for (size_t i = 0; i < rounds; i++) {
        if (job_state_decode((struct fm_bytes){encoded.p, encoded.n}, &state, &err) < 0)
            fm_abort(err.msg);
        job_state_free(state);
    }
    *ret_decode = (bench_now() - from) / (double)rounds * 1e6;
    *ret_bytes = (double)encoded.n;
    task_list_free(inputs);
    fm_buf_done(&encoded);
    fm_buf_done(&again);
}
