/* Routine type "sleep" (common/catalog/types/sleep.json): passes its data on after a while. The
 * timer is durable: it outlives hosts and the coordinator, and a job that only sleeps is on no
 * host. What is past, or 0, is passed on at once. "until" goes by the coordinator's clock. */
#include <math.h>
#include <string.h>

#include "builtin.h"
#include "rfc3339.h"
#include "times.h"

#define MAX_MS (366.0 * 24 * 3600 * 1000)

/* How long to sleep, by the path of the data; false after a fault. */
static bool wait_by_data(struct fm_ctx *ctx, const struct fm_value *data, double *ret_ms)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *ms_path = fm_value_string(fm_value_get(config, "ms_path"), NULL);
    const char *path = ms_path != NULL ? ms_path : fm_value_string(fm_value_get(config, "until_path"), "");
    const struct fm_value *v = fm_value_get(data, path);
    enum fm_value_kind kind = fm_value_kind(v);
    double at = 0;
    if (ms_path != NULL && kind == FM_NUMBER) {
        *ret_ms = fm_value_number(v, 0);
        return true;
    }
    if (ms_path == NULL && kind == FM_NUMBER)
        at = fm_value_number(v, 0) * 1000;
    else if (ms_path != NULL || kind != FM_STRING || !fm_time_read(fm_value_string(v, ""), &at)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "at \"%.128s\" in the data there is no %s", path,
                          ms_path != NULL ? "number"
                                          : "time: RFC 3339 text with an offset, or seconds since 1970");
        return false;
    }
    *ret_ms = at - (double)fm_ctx_now_ms(ctx);
    return true;
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *fixed = fm_value_get(fm_ctx_config(ctx), "ms");
    double ms = fm_value_number(fixed, 0);
    if (fixed == NULL && !wait_by_data(ctx, data, &ms))
        return -1;
    if (!(ms <= MAX_MS))
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "a sleep of %.0f ms is too long; the limit is %.0f",
                           ms, MAX_MS);
    if (ms > 0)
        fm_ctx_schedule(ctx, "_due", data, fm_count_from(ceil(ms)), NULL);
    else
        fm_ctx_emit(ctx, "output", data);
    return 0;
}

static int on_due(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_emit(ctx, "output", data);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input},
    {"_due",  on_due  }
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type sleep_type = {
    .abi = FM_ROUTINE_ABI, .name = "sleep", .slots = slots, .n_slots = 2};
