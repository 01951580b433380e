/* Units: records that are stored together, and the effects that wait for the disk. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "buf.h"
#include "err.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "job.h"
#include "mem.h"
#include "op.h"
#include "pbc.h"
#include "state.h"
#include "store.h"
#include "times.h"

struct unit *unit_new(struct core *c, struct job *job)
{
    struct unit *u = fm_xcalloc(1, sizeof(*u));
    u->tag = ++c->next_tag;
    u->job = job;
    u->records = store_unit_new(u->tag);
    return u;
}

struct unit *unit_of(struct core *c, struct job *job)
{
    if (job->next == NULL) {
        job->next = unit_new(c, job);
        if (!job->is_dirty) {
            job->is_dirty = true;
            DL_APPEND2(c->dirty, job, dirty_prev, dirty_next);
        }
    }
    return job->next;
}

struct effect *unit_effect(struct unit *u, const struct effect_kind *kind, struct fm_bytes bytes)
{
    struct effect *e = fm_xmalloc(sizeof(*e) + bytes.n);
    memset(e, 0, sizeof(*e));
    if (bytes.n > 0)
        memcpy(e + 1, bytes.p, bytes.n);
    e->kind = kind;
    e->bytes = (struct fm_bytes){(uint8_t *)(e + 1), bytes.n};
    DL_APPEND(u->effects, e);
    return e;
}

/* ---- replies ---- */

static void reply_done(struct core *c, struct job *job, struct effect *e)
{
    (void)job;
    core_reply(c, e->ticket, e->bytes);
}

static void reply_failed(struct core *c, struct effect *e, const struct fm_err *err)
{
    core_fail(c, e->ticket, err);
}

static const struct effect_kind reply_effect = {"reply", reply_done, reply_failed, NULL, NULL};

void unit_reply_bytes(struct unit *u, uint64_t ticket, struct fm_bytes response)
{
    unit_effect(u, &reply_effect, response)->ticket = ticket;
}

void unit_reply(struct unit *u, uint64_t ticket, const ProtobufCMessage *response)
{
    fm_auto(fm_buf) b = {0};
    pb_pack(response, &b);
    unit_reply_bytes(u, ticket, fm_buf_bytes(&b));
}

/* ---- the life of a unit ---- */

void unit_free(struct core *c, struct unit *u)
{
    struct effect *e, *tmp;
    DL_FOREACH_SAFE (u->effects, e, tmp) {
        if (e->kind->drop != NULL)
            e->kind->drop(c, e);
        free(e);
    }
    if (u->records != NULL)
        store_unit_free(u->records);
    if (u->meter != NULL)
        *u->meter -= u->bytes;
    fm_buf_done(&u->head);
    free(u);
}

void units_free(struct core *c)
{
    struct unit *u, *tmp;
    HASH_ITER (hh, c->units, u, tmp) {
        HASH_DEL(c->units, u);
        unit_free(c, u);
    }
}

void unit_submit(struct core *c, struct unit *u)
{
    struct store_unit *records = u->records;
    u->records = NULL;
    u->bytes = store_unit_bytes(records);
    u->meter = &c->waiting_bytes;
    c->waiting_bytes += u->bytes;
    HASH_ADD(hh, c->units, tag, sizeof(u->tag), u);
    c->io.commit(c->io.arg, records);
}

void unit_fail_effects(struct core *c, struct unit *u, const struct fm_err *err)
{
    struct effect *e;
    DL_FOREACH (u->effects, e)
        if (e->kind->failed != NULL)
            e->kind->failed(c, e, err);
}

void unit_exists(struct core *c, struct unit *u, const struct store_done *d)
{
    fm_auto(fm_err) other = {0}, retry = {0};
    bool same = memcmp(d->claim.digest, u->request_digest, STORE_DIGEST_BYTES) == 0;
    (void)fm_err_set(&other, FM_ALREADY_EXISTS, "request_id",
                     "this request_id was used before with other content; take a new one");
    (void)fm_err_set(&retry, FM_ABORTED, NULL, "overtaken by a request that came first; try again");
    struct effect *e;
    DL_FOREACH (u->effects, e) {
        bool claims = e->ticket != 0 && e->ticket == u->request_ticket;
        if (claims && same)
            core_reply(c, e->ticket, d->claim.reply);
        else if (e->kind->failed != NULL)
            e->kind->failed(c, e, claims ? &other : &retry);
    }
}

/* ---- time ---- */

Google__Protobuf__Timestamp core_now(const struct core *c)
{
    Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    t.seconds = fm_ms_seconds(c->wall_ms);
    t.nanos = fm_ms_nanos(c->wall_ms);
    return t;
}

void core_retry_later(struct core *c)
{
    if (c->retry_at_ms == 0)
        c->retry_at_ms = c->now_ms + RETRY_MS;
}

void timers_note(struct core *c, int64_t wake_ms)
{
    if (wake_ms > 0 && (c->wake_at_ms == 0 || wake_ms < c->wake_at_ms))
        c->wake_at_ms = wake_ms;
}
