/* WatchJob. A watch is a cursor in the journal: the numbers of the next step and the next entry to send. Both
 * come live when it is up to date, else from the store, so a slow reader misses nothing and costs nothing.
 * Only what is on disk is sent. */
#include "watch.h"

#include <stdlib.h>

#include <uthash.h>
#include <utlist.h>

#include "buf.h"
#include "entry.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "host.h"
#include "id.h"
#include "job.h"
#include "mem.h"
#include "op.h"
#include "pbc.h"
#include "query.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "unit.h"

#define STEPS_AT_ONCE 64
#define BYTES_AT_ONCE (1u << 20)

static void watch_free(struct core *c, struct watch *w)
{
    HASH_DEL(c->watches, w);
    DL_DELETE(w->job->watches, w);
    free(w);
}

/* The head on disk, with the number of steps on disk. */
static void job_put_view(const struct job *job, struct fm_buf *out, uint32_t field)
{
    fm_auto(fm_buf) view = {0};
    fm_buf_append(&view, job->disk_head.p, job->disk_head.n);
    if (job->steps_on_disk > 0)
        fm_buf_put_tag_varint(&view, FIELD_JOB_STEP_COUNT, job->steps_on_disk);
    fm_buf_put_len_delim(out, field, view.p, view.n);
}

static void watch_send(struct core *c, struct watch *w, const struct fm_buf *b)
{
    w->spoken = true;
    if (!c->io.watch_send(c->io.arg, w->ticket, fm_buf_bytes(b)))
        w->full = true;
}

static void send_head(struct core *c, struct watch *w)
{
    fm_auto(fm_buf) b = {0};
    job_put_view(w->job, &b, FIELD_WATCH_JOB_RESPONSE_JOB);
    w->need_head = false;
    watch_send(c, w, &b);
}

static void send_step(struct core *c, struct watch *w, uint32_t number, struct fm_bytes step)
{
    fm_auto(fm_buf) derived = {0}, b = {0};
    entry_put_derived(step, FIELD_WATCH_JOB_RESPONSE_ENTRY, &derived);
    if (derived.n > 0)
        watch_send(c, w, &derived);
    fm_buf_put_len_delim(&b, FIELD_WATCH_JOB_RESPONSE_STEP, step.p, step.n);
    w->next_step = number + 1;
    watch_send(c, w, &b);
}

static void send_entry(struct core *c, struct watch *w, uint32_t step, uint32_t number, struct fm_bytes entry)
{
    fm_auto(fm_buf) b = {0};
    entry_put(step, number, entry, FIELD_WATCH_JOB_RESPONSE_ENTRY, &b);
    w->next_entry = number + 1;
    watch_send(c, w, &b);
}

/* It has seen all that is on disk. */
static bool is_up_to_date(const struct watch *w)
{
    return w->next_step > w->job->steps_on_disk && w->next_entry > w->job->entries_on_disk;
}

static void pump(struct core *c, struct watch *w);

/* The job has ended before the first step that is wanted, by more than the one that a watcher who has seen
 * all of them asks for. */
static bool beyond_the_end(const struct watch *w)
{
    return job_status_final(w->job->disk_status) && w->next_step > w->job->steps_on_disk &&
           w->next_step - w->job->steps_on_disk > 1;
}

static void fail_beyond_the_end(struct core *c, struct watch *w)
{
    fm_auto(fm_err) err = {0};
    (void)fm_err_set(
        &err, FM_OUT_OF_RANGE, "from_step",
        "from_step is %u, but job %s has ended, and its last step is %u; what was seen beyond it is not "
        "in the store",
        w->next_step, w->job->text, w->job->steps_on_disk);
    c->io.fail(c->io.arg, w->ticket, &err);
    watch_free(c, w);
}

static void on_journal_read(struct core *c, struct wait *q, struct store_done *d)
{
    struct watch *w;
    HASH_FIND(hh, c->watches, &q->ticket, sizeof(q->ticket), w);
    if (w == NULL)
        return;
    w->reading = false;
    struct job *job = w->job;
    const struct store_journal *read = &d->journal;
    if (w->next_step == 1 && job->head != NULL && job->head->oldest_generation > 0 &&
        entry_first_step(read) > 0)
        w->next_step = entry_first_step(read); /* what was before is deleted */
    bool damaged =
        d->status == STORE_OK && entry_check_journal(read, w->next_step, w->asked_step, &d->err) != 0;
    if (damaged || d->err.code != FM_OK) {
        c->io.fail(c->io.arg, w->ticket, &d->err);
        watch_free(c, w);
        job_rest(c, job);
        return;
    }
    size_t i = 0;
    for (; i < read->n && !w->full; i++) {
        const struct store_journal_record *r = &read->items[i];
        if (r->step > job->steps_on_disk || r->entry > job->entries_on_disk)
            break; /* it comes when its unit is done */
        if (r->entry == 0)
            send_step(c, w, r->step, r->body);
        else
            send_entry(c, w, r->step, r->entry, r->body);
    }
    bool all = i == read->n ? !read->more
                            : !w->full && (read->items[i].step > w->asked_step ||
                                           read->items[i].entry > w->asked_entry);
    if (all && w->next_entry <= w->asked_entry)
        w->next_entry = w->asked_entry + 1; /* those before the first step that is wanted are not shown */
    pump(c, w);
    job_rest(c, job);
}

/* Sends what can be sent now; reads what must be read first. May free the watch. */
static void pump(struct core *c, struct watch *w)
{
    struct job *job = w->job;
    if (w->full || w->reading || job->loading || job->disk_head.n == 0)
        return;
    if (!is_up_to_date(w)) {
        struct store_query q = store_read_journal(&job->id, w->next_step - 1, w->next_entry,
                                                  core_page(c, STEPS_AT_ONCE), BYTES_AT_ONCE);
        w->reading = true;
        w->asked_step = job->steps_on_disk;
        w->asked_entry = job->entries_on_disk;
        core_read(c, q, on_journal_read, NULL)->ticket = w->ticket;
        return;
    }
    if (!w->need_head)
        return;
    if (beyond_the_end(
            w)) { /* not before: in the middle of a unit the status is there, and not all steps are */
        fail_beyond_the_end(c, w);
        return;
    }
    bool ended = job_status_final(job->disk_status);
    send_head(c, w);
    if (!ended)
        return;
    c->io.watch_end(c->io.arg, w->ticket);
    watch_free(c, w);
}

void watch_pump_job(struct core *c, struct job *job)
{
    struct watch *w, *tmp;
    DL_FOREACH_SAFE (job->watches, w, tmp)
        pump(c, w);
}

static void watch_step(struct core *c, struct job *job, uint32_t number, struct fm_bytes step)
{
    struct watch *w, *tmp;
    DL_FOREACH_SAFE (job->watches, w, tmp) {
        if (!w->full && !w->reading && w->next_step == number && w->next_entry > job->entries_on_disk &&
            step.n > 0)
            send_step(c, w, number, step);
        else
            pump(c, w);
    }
}

static void watch_entry(struct core *c, struct job *job, uint32_t step, uint32_t number,
                        struct fm_bytes entry)
{
    struct watch *w, *tmp;
    DL_FOREACH_SAFE (job->watches, w, tmp) {
        if (!w->full && !w->reading && w->next_step == step + 1 && w->next_entry == number && entry.n > 0)
            send_entry(c, w, step, number, entry);
        else
            pump(c, w);
    }
}

void watch_progress(struct core *c, const struct host *h, const Fermata__V1__Progress *m)
{
    struct fm_id id;
    struct job *job = fm_id_parse(m->job_id, &id) == 0 ? job_in_memory(c, &id) : NULL;
    if (job == NULL || job->loading || job->host != h || job->head->epoch != m->epoch)
        return;
    fm_auto(fm_buf) b = {0};
    struct watch *w;
    DL_FOREACH (job->watches, w) {
        if (w->full || w->reading || w->need_head || !is_up_to_date(w))
            continue;
        if (b.n == 0) {
            pb_put(&b, FIELD_WATCH_JOB_RESPONSE_PROGRESS, m);
        }
        watch_send(c, w, &b);
    }
}

/* ---- heartbeats ---- */

int64_t watches_deadline(const struct core *c)
{
    return c->watches != NULL && c->cfg.watch_heartbeat_ms > 0 ? c->watch_beat_ms : -1;
}

void watches_tick(struct core *c)
{
    if (c->cfg.watch_heartbeat_ms == 0 || c->now_ms < c->watch_beat_ms)
        return;
    c->watch_beat_ms = c->now_ms + c->cfg.watch_heartbeat_ms;
    struct watch *w, *tmp;
    HASH_ITER (hh, c->watches, w, tmp) {
        bool silent = !w->spoken && !w->full && !w->reading && is_up_to_date(w);
        w->spoken = false;
        if (!silent)
            continue;
        fm_auto(fm_buf) b = {0}, body = {0};
        if (w->job->steps_on_disk > 0)
            fm_buf_put_tag_varint(&body, FIELD_WATCH_HEARTBEAT_STEP_COUNT, w->job->steps_on_disk);
        fm_buf_put_len_delim(&b, FIELD_WATCH_JOB_RESPONSE_HEARTBEAT, body.p, body.n);
        watch_send(c, w, &b);
        w->spoken = false;
    }
}

void watch_head(struct core *c, struct job *job)
{
    struct watch *w;
    DL_FOREACH (job->watches, w)
        w->need_head = true;
    watch_pump_job(c, job);
}

void watch_fail_job(struct core *c, struct job *job, const struct fm_err *err)
{
    struct watch *w, *tmp;
    DL_FOREACH_SAFE (job->watches, w, tmp) {
        c->io.fail(c->io.arg, w->ticket, err);
        watch_free(c, w);
    }
}

void watch_drained(struct core *c, uint64_t ticket)
{
    struct watch *w;
    HASH_FIND(hh, c->watches, &ticket, sizeof(ticket), w);
    if (w == NULL)
        return;
    struct job *job = w->job;
    w->full = false;
    pump(c, w);
    job_rest(c, job);
}

void watch_begin(struct core *c, struct job *job, uint64_t ticket, uint32_t from_step, uint32_t from_entry)
{
    struct watch *w = fm_xcalloc(1, sizeof(*w));
    w->ticket = ticket;
    w->job = job;
    w->next_step = from_step > 0 ? from_step : 1;
    w->next_entry = from_entry > 0 ? from_entry : 1;
    HASH_ADD(hh, c->watches, ticket, sizeof(w->ticket), w);
    DL_APPEND(job->watches, w);
    /* The job as it is comes first, then its steps, then the job again if it has ended. */
    if (job->disk_head.n > 0 && !beyond_the_end(w))
        send_head(c, w);
    w->need_head = job->disk_head.n == 0 || job_status_final(job->disk_status);
    pump(c, w);
}

void watch_closed(struct core *c, uint64_t ticket)
{
    struct watch *w;
    HASH_FIND(hh, c->watches, &ticket, sizeof(ticket), w);
    if (w == NULL)
        return; /* what a client asked for is done, whether it still listens or not; the shell ignores
                   the reply */
    struct job *job = w->job;
    watch_free(c, w);
    job_rest(c, job);
}

void watches_fail(struct core *c, const struct fm_err *err)
{
    struct watch *w, *tmp;
    HASH_ITER (hh, c->watches, w, tmp) {
        struct job *job = w->job;
        core_fail(c, w->ticket, err);
        watch_free(c, w);
        job_rest(c, job);
    }
}

void watches_free(struct core *c)
{
    struct watch *w, *tmp;
    HASH_ITER (hh, c->watches, w, tmp)
        watch_free(c, w);
}

/* ---- steps and entries on disk ---- */

static void step_stored(struct core *c, struct job *job, struct effect *e)
{
    job->steps_on_disk = e->number;
    watch_step(c, job, e->number, e->bytes);
}

static void entry_stored(struct core *c, struct job *job, struct effect *e)
{
    job->entries_on_disk = e->number;
    watch_entry(c, job, e->epoch, e->number, e->bytes);
}

static const struct effect_kind entry_effect_kind = {"entry", entry_stored, NULL, NULL, NULL};

void entry_effect(struct unit *u, uint32_t step, uint32_t number, struct fm_bytes entry)
{
    struct effect *e = unit_effect(u, &entry_effect_kind, entry);
    e->number = number;
    e->epoch = step; /* after which it stands */
}

static const struct effect_kind step_effect_kind = {"step", step_stored, NULL, NULL, NULL};

void step_effect(struct unit *u, uint32_t number, struct fm_bytes step)
{
    unit_effect(u, &step_effect_kind, step)->number = number;
}
