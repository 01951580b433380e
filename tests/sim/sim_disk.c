/* The disk of the simulated coordinator: units are on it after a while, and their ends are told later still,
 * in order. Queries see it as it is at some moment between question and answer, so their answers show more
 * than was told, or less. See sim.h. */
#include "sim_disk.h"

#include <stdlib.h>

#include <utlist.h>

#include "sim_inbox.h"
#include "sim_records.h"
#include "store_int.h"

static bool is_slow(void)
{
    return w.now < w.slow_until;
}

static int64_t commit_ms(void)
{
    if (!is_slow())
        return 1 + (int64_t)rnd(w.healing ? 2 : 8);
    return 1 + (int64_t)rnd(chance(40) ? 2500 : 100);
}

void disk_commit(void *arg, struct store_unit *unit)
{
    (void)arg;
    DL_APPEND(w.pending, unit);
    if (w.commit_set)
        return;
    w.commit_set = true;
    after(commit_ms(), EV_COMMIT)->gen = w.core_gen;
}

/* When the end of a commit is told: not before those that came first. */
static struct event *told(void)
{
    int64_t at = w.now + 1 + (is_slow() && chance(30) ? (int64_t)rnd(300) : 0);
    if (at > w.told_at)
        w.told_at = at;
    struct event *e = after(w.told_at - w.now, EV_STORE_DONE);
    e->gen = w.core_gen;
    return e;
}

static struct store_done *fails(struct store_unit *u, bool full)
{
    bool lies = !full && chance(40); /* it is on the disk, and is said not to be */
    if (lies)
        store_done_free(sim_store_apply(w.store, u));
    return sim_store_failure(u->tag, full ? FM_RESOURCE_EXHAUSTED : FM_UNAVAILABLE);
}

void disk_flush(void)
{
    struct store_unit *u, *tmp, *list = w.pending;
    w.pending = NULL;
    w.commit_set = false;
    bool full = w.now < w.full_until, broken = w.faulty_store && chance(60);
    DL_FOREACH_SAFE (list, u, tmp) {
        DL_DELETE(list, u);
        struct event *e = told();
        check_unit(u);
        e->done = full || broken ? fails(u, full) : sim_store_apply(w.store, u);
        inbox_stored();
        store_unit_free(u);
    }
}

void disk_read(void *arg, const struct store_query *query)
{
    (void)arg;
    int64_t most = is_slow() ? 200 : 4;
    struct event *e = after(chance(50) ? 0 : 1 + (int64_t)rnd((uint64_t)most), EV_QUERY);
    e->gen = w.core_gen;
    fm_arena_init(&e->query_texts, 1u << 20);
    e->query = query_copy(query, &e->query_texts);
}

void disk_query(struct event *e)
{
    int64_t most = is_slow() ? 200 : 4;
    struct event *answer = after(1 + (int64_t)rnd((uint64_t)most), EV_STORE_DONE);
    answer->gen = e->gen;
    if (w.faulty_store && chance(20)) {
        answer->done = sim_store_failure(e->query.tag, FM_UNAVAILABLE);
        answer->done->kind = e->query.kind;
    } else {
        answer->done = sim_store_query(w.store, &e->query);
    }
}

void disk_crash(void)
{
    size_t torn = chance(50) ? rnd(3) : 0;
    struct store_unit *u, *tmp;
    DL_FOREACH_SAFE (w.pending, u, tmp) {
        DL_DELETE(w.pending, u);
        if (torn > 0) {
            torn--;
            check_unit(u);
            store_done_free(sim_store_apply(w.store, u));
        }
        store_unit_free(u);
    }
    w.commit_set = false;
}
