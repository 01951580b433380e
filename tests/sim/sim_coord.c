/* The coordinator's core in the simulation: its outputs, its start and its crashes. See sim.h. */
#include "sim_coord.h"

#include <stdio.h>

#include <utlist.h>

#include "fermata/v1/host_agent.pb-c.h"
#include "guard.h"
#include "mem.h"
#include "sim_disk.h"
#include "sim_hosts.h"
#include "sim_inbox.h"
#include "sim_journal.h"
#include "sim_replies.h"
#include "sim_said.h"

static void io_reply(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    take_reply(ticket, response, NULL);
}

static void io_fail(void *arg, uint64_t ticket, const struct fm_err *err)
{
    (void)arg;
    take_reply(ticket, (struct fm_bytes){0}, err);
}

static bool io_watch_send(void *arg, uint64_t ticket, struct fm_bytes response)
{
    (void)arg;
    if (ticket != w.watch_ticket)
        return true;
    Fermata__V1__WatchJobResponse *r = fermata__v1__watch_job_response__unpack(NULL, response.n, response.p);
    if (r == NULL) {
        wrong("a watch got a malformed message");
        return true;
    }
    if (r->event_case == FERMATA__V1__WATCH_JOB_RESPONSE__EVENT_STEP) {
        if (r->step->number != w.watch_last + 1)
            wrong("the watch saw step %u after step %u", r->step->number, w.watch_last);
        w.watch_last = r->step->number;
    } else if (r->event_case == FERMATA__V1__WATCH_JOB_RESPONSE__EVENT_ENTRY) {
        journal_watched(r->entry);
    }
    fermata__v1__watch_job_response__free_unpacked(r, NULL);
    return true;
}

static void io_watch_end(void *arg, uint64_t ticket)
{
    (void)arg;
    if (ticket == w.watch_ticket) {
        w.watch_ended = true;
        w.watch_ticket = 0;
    }
}

static void io_host_send(void *arg, uint64_t conn, struct fm_bytes message, bool urgent)
{
    (void)arg;
    (void)urgent;
    struct conn *k = conn_find(conn);
    check_said(k, message);
    if (k == NULL || !k->core_open || !k->host_open)
        return;
    struct event *e = after(travel(&k->to_host_at, k), EV_TO_HOST);
    e->id = conn;
    fm_buf_append(&e->bytes, message.p, message.n);
}

static void io_host_close(void *arg, uint64_t conn, const struct fm_err *err)
{
    (void)arg;
    struct conn *k = conn_find(conn);
    if (k == NULL)
        return;
    trace("core closes the stream of %s: %s", w.hosts[k->host].id, err == NULL ? "OK" : err->msg);
    k->core_open = false;
    if (k->host_open)
        close_host_side(k, travel(&k->to_host_at, k));
    else
        conn_drop(k);
}

static void io_recovered(void *arg)
{
    (void)arg;
    w.core_ready = true;
    w.ready_at = w.now;
    trace("core recovered");
}

void set_time(void)
{
    core_set_time(w.core, w.now, WALL_MS + w.now + w.clock_set_ms);
}

void start_core(void)
{
    const struct core_config cfg = {.lease_ms = LEASE_MS,
                                    .heartbeat_ms = HEARTBEAT_MS,
                                    .snapshot_steps = 3,
                                    .snapshot_bytes = chance(50) ? 1 : 400,
                                    .cache_bytes = chance(50) ? 1 : 0,
                                    .page_rows = chance(60) ? 1 + (uint32_t)rnd(3) : 0,
                                    .max_door_bytes = chance(30) ? 100 + rnd(500) : 0,
                                    .turn_work = chance(30) ? 1 + rnd(30) : 0,
                                    .max_waiting_jobs = chance(10) ? 1 + rnd(3) : 0,
                                    .seed = fm_rng_next(&w.rng)};
    const struct core_io io = {.reply = io_reply,
                               .fail = io_fail,
                               .watch_send = io_watch_send,
                               .watch_end = io_watch_end,
                               .host_send = io_host_send,
                               .host_close = io_host_close,
                               .commit = disk_commit,
                               .read = disk_read,
                               .recovered = io_recovered};
    trace("core starts");
    w.core = core_new(&cfg, &io);
    core_start(w.core, w.now, WALL_MS + w.now);
    core_flush(w.core);
}

void crash_core(void)
{
    trace("core crashes");
    disk_crash();
    w.clock_set_ms = 0; /* before it starts again, somebody has set the clock right */
    core_free(w.core);
    w.core = NULL;
    w.core_ready = false;
    w.core_gen++;
    w.watch_ticket = 0;
    inbox_forget();
    struct op *op, *otmp;
    HASH_ITER (hh, w.ops, op, otmp) { /* no reply comes any more: the clients will ask again */
        HASH_DEL(w.ops, op);
        if (op->kind == OP_CERTIFY) {
            struct event *e = after(200, EV_CERTIFY);
            e->host = op->item;
            snprintf(e->text, sizeof(e->text), "%.26s", op->text);
        }
        if (op->job != NO_JOB)
            w.jobs[op->job].op_open = false;
        free(op);
    }
    struct conn *k, *ktmp;
    HASH_ITER (hh, w.conns, k, ktmp) {
        k->core_open = false;
        if (k->host_open)
            close_host_side(k, travel(&k->to_host_at, k));
        else
            conn_drop(k);
    }
    after(20 + (int64_t)rnd(800), EV_START_CORE);
}

/* ---- what comes in ---- */

void to_core(struct event *e)
{
    struct conn *k = conn_find(e->id);
    if (k == NULL || !k->core_open || w.core == NULL)
        return;
    struct fm_arena arena;
    struct fm_err err = {0};
    ProtobufCMessage *m;
    k->heard_at = w.now;
    fm_arena_init(&arena, 64u * 1024 * 1024);
    if (pbc_decode(&fermata__v1__host_message__descriptor, (struct fm_bytes){e->bytes.p, e->bytes.n},
                   64u * 1024 * 1024, &arena, &m, &err) < 0)
        wrong("a host sent something that the coordinator refuses: %s", err.msg);
    else
        core_host_message(w.core, k->id, m);
    fm_arena_done(&arena);
    fm_err_done(&err);
}

void core_sees_close(struct event *e)
{
    struct conn *k = conn_find(e->id);
    if (k == NULL || !k->core_open || e->gen != w.core_gen)
        return;
    k->core_open = false;
    if (w.core != NULL)
        core_host_closed(w.core, k->id);
    if (k->host_open)
        close_host_side(k, travel(&k->to_host_at, k));
    conn_drop(k);
}
