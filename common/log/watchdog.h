/* Watches the turns of a loop: one that takes long is logged, with what took longest in it. Others wait
 * meanwhile: heartbeats, leases, calls. Times are milliseconds of a monotonic clock, a coarse one will do; on
 * the loop's thread. */
#ifndef FM_WATCHDOG_H
#define FM_WATCHDOG_H

#include <stddef.h>
#include <stdint.h>

#define WATCHDOG_MS 100         /* a turn that takes longer is logged */
#define WATCHDOG_QUIET_MS 10000 /* then others only count for so long */

struct watchdog {
    const char *loop;  /* its name in the log */
    const char *doing; /* what is being done, where somebody has said so; lives long */
    const char *longest;
    int64_t longest_ms, began_ms, last_ms;
    int64_t quiet_until_ms;
    uint64_t n_unsaid; /* turns that took long and were not logged */
};

/* A turn begins. */
static inline void watchdog_begin(struct watchdog *w, int64_t now_ms)
{
    w->began_ms = w->last_ms = now_ms;
    w->longest_ms = 0;
    w->longest = w->doing = NULL;
}

/* What was done since the turn has begun, or since the last call, ends: it is what `doing` says, or else
 * this, which lives long. */
static inline void watchdog_lap(struct watchdog *w, const char *what, int64_t now_ms)
{
    if (now_ms - w->last_ms > w->longest_ms) {
        w->longest_ms = now_ms - w->last_ms;
        w->longest = w->doing != NULL ? w->doing : what;
    }
    w->doing = NULL;
    w->last_ms = now_ms;
}

/* A turn is over that has taken so long, of which longest_ms was spent with `longest`; NULL: nobody knows. */
void watchdog_took(struct watchdog *w, int64_t took_ms, int64_t now_ms);

/* The turn is over. */
static inline void watchdog_end(struct watchdog *w)
{
    if (w->last_ms - w->began_ms > WATCHDOG_MS)
        watchdog_took(w, w->last_ms - w->began_ms, w->last_ms);
}

#endif
