/* Routine type "jq" (common/catalog/types/jq.json): transforms, filters or routes data by a jq
 * program.
 *   "map": each output becomes an event output; what is no object becomes {"value": …};
 *   "filter": the data goes on as event output when the first output is neither false nor null, else as event
 *     rejected;
 *   "route": each output names an event (or is a list of names) at which the data goes on; null and false:
 *     none.
 * Programs run in a worker process (common/jq/jq_eval.h): they see neither the host's environment
 * nor other input, modules are refused, and one that loops for ever or needs more than 512 MiB
 * fails its task only. error(…), halt_error and faults of the program fail with INVALID_ARGUMENT, too much
 * time with DEADLINE_EXCEEDED, too much memory or output with RESOURCE_EXHAUSTED; none of them is retried.
 * Blocks, so runs on the pool. */
#include <string.h>

#include "builtin.h"
#include "expr.h"
#include "mem.h"
#include "name.h"
#include "own_types.h"
#include "times.h"

#define MAX_OUTPUT_BYTES (8u * 1024 * 1024)

static enum jq_big_integers big_integers_of(const struct fm_value *config)
{
    const char *said = fm_value_string(fm_value_get(config, "big_integers"), "exact");
    return strcmp(said, "text") == 0 ? JQ_BIG_TEXT : strcmp(said, "round") == 0 ? JQ_BIG_ROUND : JQ_BIG_EXACT;
}

static int run(struct fm_ctx *ctx, const struct fm_value *data, struct jq_outputs *ret)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const struct jq_limits limits = {
        .max_outputs = fm_count32_from(fm_value_number(fm_value_get(config, "max_outputs"), 10000)),
        .max_bytes = MAX_OUTPUT_BYTES,
        .cpu_ms = fm_count32_from(fm_value_number(fm_value_get(config, "timeout_ms"), 5000)),
        .big_integers = big_integers_of(config)};
    fm_auto(fm_err) err = {0};
    int rc = expr_eval(ctx, fm_value_string(fm_value_get(config, "program"), ""), data, &limits, ret, &err);
    if (rc == 0)
        return 0;
    (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "%s", err.msg);
    if (err.code != FM_UNAVAILABLE)
        fm_ctx_fail_permanent(ctx);
    return -1;
}

/* The next output; NULL after failing the step. */
static const struct fm_value *next_output(struct fm_ctx *ctx, const char **at)
{
    fm_auto(fm_err) err = {0};
    size_t n = strlen(*at);
    const struct fm_value *v = ctx_json(ctx, *at, n, &err);
    *at += n + 1;
    if (v == NULL) {
        (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "an output of the jq program: %s", err.msg);
        fm_ctx_fail_permanent(ctx);
    }
    return v;
}

static bool truthy(const struct fm_value *v)
{
    return fm_value_kind(v) != FM_NULL && fm_value_bool(v, true);
}

static int emit_all(struct fm_ctx *ctx, const struct jq_outputs *o)
{
    const char *at = (const char *)o->text.p;
    for (size_t i = 0; i < o->n; i++) {
        const struct fm_value *v = next_output(ctx, &at);
        if (v == NULL)
            return -1;
        if (fm_value_kind(v) != FM_MAP) {
            struct fm_value *map = fm_map(ctx);
            fm_map_set(ctx, map, "value", v);
            v = map;
        }
        fm_ctx_emit(ctx, "output", v);
    }
    return 0;
}

static int filter(struct fm_ctx *ctx, const struct fm_value *data, const struct jq_outputs *o)
{
    const char *at = (const char *)o->text.p;
    const struct fm_value *v = o->n == 0 ? NULL : next_output(ctx, &at);
    if (o->n > 0 && v == NULL)
        return -1;
    fm_ctx_emit(ctx, truthy(v) ? "output" : "rejected", data);
    return 0;
}

/* At one event, or none. */
static int route_to(struct fm_ctx *ctx, const struct fm_value *data, const struct fm_value *to)
{
    if (!truthy(to))
        return 0;
    const char *event = fm_value_string(to, "");
    if (!fm_name_ok(event))
        return fm_ctx_fail(
            ctx, FM_FAIL_INVALID_ARGUMENT,
            "the jq program put out what is not the name of an event (" FM_NAME_RULE "): \"%.64s\"", event);
    fm_ctx_emit(ctx, event, data);
    return 0;
}

static int route(struct fm_ctx *ctx, const struct fm_value *data, const struct jq_outputs *o)
{
    const char *at = (const char *)o->text.p;
    for (size_t i = 0; i < o->n; i++) {
        const struct fm_value *v = next_output(ctx, &at);
        bool list = fm_value_kind(v) == FM_LIST;
        if (v == NULL || (!list && route_to(ctx, data, v) < 0))
            return -1;
        for (size_t k = 0; list && k < fm_value_size(v); k++)
            if (route_to(ctx, data, fm_value_at(v, k)) < 0)
                return -1;
    }
    return 0;
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_auto(jq_outputs) outputs = {0};
    if (run(ctx, data, &outputs) < 0)
        return -1;
    const char *mode = fm_value_string(fm_value_get(fm_ctx_config(ctx), "mode"), "map");
    int rc;
    if (strcmp(mode, "filter") == 0)
        rc = filter(ctx, data, &outputs);
    else if (strcmp(mode, "route") == 0)
        rc = route(ctx, data, &outputs);
    else
        rc = emit_all(ctx, &outputs);
    return rc;
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type jq_type = {
    .abi = FM_ROUTINE_ABI, .name = "jq", .flags = FM_BLOCKING, .slots = slots, .n_slots = 1};
