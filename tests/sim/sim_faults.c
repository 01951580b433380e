/* What goes wrong in a simulated world, and how it all ends. See sim.h. */
#include "sim_faults.h"

#include "sim_clients.h"
#include "sim_coord.h"
#include "sim_hosts.h"

/* The clock is set, by up to an hour. Chance has no part in it, so that worlds are as they were without. */
static void set_clock(void)
{
    uint64_t n = (w.seed * 1000003 + (uint64_t)w.now) * 2654435761u >> 7;
    if (w.calm || n % 6 != 0)
        return;
    w.clock_set_ms = (int64_t)(n / 6 % 7200001) - 3600000;
    trace("the clock is set: %lld", (long long)w.clock_set_ms);
}

void fault(void)
{
    set_clock();
    size_t i = rnd(w.n_hosts);
    struct sim_host *h = &w.hosts[i];
    uint64_t kind = rnd(11);
    if (w.calm || (w.fault_kinds >> kind & 1) == 0)
        return;
    switch (kind) {
    case 0:
        if (w.core != NULL)
            crash_core();
        return;
    case 1:
    case 2:
        if (h->engine != NULL)
            crash_host(i);
        return;
    case 3:
    case 4:
        if (h->conn != NULL) { /* cut: either side notices in its own time */
            trace("the stream of %s breaks", h->id);
            if (h->conn->core_open)
                close_core_side(h->conn, 1 + (int64_t)rnd(500));
            if (h->conn->host_open)
                close_host_side(h->conn, 1 + (int64_t)rnd(500));
        }
        return;
    case 5:
        if (h->conn != NULL) {
            h->conn->blocked_until = w.now + (int64_t)rnd(2 * LEASE_MS);
            trace("nothing comes through from or to %s until %lld", h->id, (long long)h->conn->blocked_until);
        }
        return;
    case 6:
        w.faulty_store = !w.faulty_store;
        trace("the store %s", w.faulty_store ? "fails" : "works again");
        return;
    case 7:
        if (h->engine != NULL) { /* SIGTERM */
            trace("%s drains itself", h->id);
            engine_drain(h->engine, w.now);
        }
        return;
    case 8:
        if (h->engine != NULL) { /* somebody says that it is dead, and it is not */
            trace("somebody says that %s is dead", h->id);
            certify(i, h->incarnation);
        }
        return;
    case 9:
        w.full_until = w.now + 1 + (int64_t)rnd(2000);
        trace("the disk is full until %lld", (long long)w.full_until);
        return;
    case 10:
        w.slow_until = w.now + 1 + (int64_t)rnd(6000);
        trace("the disk is slow until %lld", (long long)w.slow_until);
        return;
    default:
        return;
    }
}

void heal(void)
{
    trace("the faults stop");
    w.healing = true;
    w.healed_at = w.now;
    w.faulty_store = false;
    w.slow_until = w.full_until = 0;
    after(1000, EV_LOOK);
    struct conn *k, *tmp;
    HASH_ITER (hh, w.conns, k, tmp)
        k->blocked_until = 0;
}
