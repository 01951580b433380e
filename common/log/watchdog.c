/* What is said of turns that take long. See watchdog.h. */
#include "watchdog.h"

#include <stddef.h>

#include "log.h"

void watchdog_took(struct watchdog *w, int64_t took_ms, int64_t now_ms)
{
    if (took_ms <= WATCHDOG_MS)
        return;
    if (now_ms < w->quiet_until_ms) {
        w->n_unsaid++;
        return;
    }
    FM_LOG(WARN, EXECUTION, "a turn of a loop took a long time; everything else has waited",
           FM_STR("loop", w->loop), FM_I64("ms", took_ms),
           FM_STR("longest", w->longest != NULL ? w->longest : "unknown"),
           FM_I64("longest_ms", w->longest_ms), FM_U64("not_logged", w->n_unsaid));
    w->n_unsaid = 0;
    w->quiet_until_ms = now_ms + WATCHDOG_QUIET_MS;
}
