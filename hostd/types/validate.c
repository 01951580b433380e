/* Routine type "validate" (common/catalog/types/validate.json): checks its data against a JSON
 * Schema; the part of it that is supported is listed in common/data/json_schema.h. A faulty schema
 * fails with INVALID_ARGUMENT.
 */
#include <string.h>

#include "builtin.h"
#include "err.h"
#include "expr.h"
#include "json_schema.h"
#include "mem.h"
#include "own_types.h"

#define MAX_ERRORS 100
#define CPU_MS 5000 /* of value_expr */

struct report {
    struct fm_ctx *ctx;
    struct fm_value *errors;
};

static void on_fault(void *arg, const struct json_schema_fault *fault)
{
    struct report *r = arg;
    if (fm_value_size(r->errors) == MAX_ERRORS)
        return;
    struct fm_value *e = fm_map(r->ctx);
    fm_map_set(r->ctx, e, "path", fm_string(r->ctx, fault->path));
    fm_map_set(r->ctx, e, "message", fm_string(r->ctx, fault->message));
    fm_list_add(r->ctx, r->errors, e);
}

/* Within this work. */
static int check(struct fm_ctx *ctx, const struct fm_value *checked, struct json_schema_work *work,
                 struct report *report, struct fm_err *err)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const struct fm_value *schema = fm_value_get(config, "schema");
    *report = (struct report){ctx, fm_list(ctx)};
    if (fm_value_kind(schema) == FM_STRING)
        schema = ctx_json(ctx, fm_value_string(schema, ""), fm_value_size(schema), err);
    if (schema == NULL)
        return -(int)err->code;
    return json_schema_check_within(schema, checked, work, on_fault, report, err);
}

/* What the check has found: how many faults, or that it was none. */
static int say(struct fm_ctx *ctx, const struct fm_value *data, int n, const struct report *report,
               const struct fm_err *err)
{
    if (n < 0) {
        (void)fm_ctx_fail(ctx, (enum fm_failure)err->code, "%s", err->msg);
        fm_ctx_fail_permanent(ctx); /* the same schema says the same of the same data */
        return -1;
    }
    if (n == 0) {
        fm_ctx_emit(ctx, "valid", data);
        return 0;
    }
    struct fm_value *out = fm_map(ctx);
    fm_map_set(ctx, out, "data", data);
    fm_map_set(ctx, out, "errors", report->errors);
    fm_map_set(ctx, out, "error_count", fm_number(ctx, n));
    fm_ctx_emit(ctx, "invalid", out);
    return 0;
}

static const struct fm_value *at_path(struct fm_ctx *ctx, const struct fm_value *data)
{
    return fm_value_get(data, fm_value_string(fm_value_get(fm_ctx_config(ctx), "path"), ""));
}

/* What value_expr makes; NULL after fm_ctx_fail. */
static const struct fm_value *made_of(struct fm_ctx *ctx, const struct fm_value *data, const char *program)
{
    const struct jq_limits limits = {.max_outputs = 1, .max_bytes = 8u << 20, .cpu_ms = CPU_MS};
    fm_auto(jq_outputs) out = {0};
    fm_auto(fm_err) err = {0};
    const struct fm_value *v = NULL;
    int rc = expr_eval(ctx, program, data, &limits, &out, &err);
    if (rc == 0 && out.n == 0)
        rc = fm_err_set(&err, FM_INVALID_ARGUMENT, NULL, "the jq program has put out nothing");
    if (rc == 0)
        v = ctx_json(ctx, (const char *)out.text.p, strlen((const char *)out.text.p), &err);
    if (v != NULL)
        return v;
    (void)fm_ctx_fail(ctx, (enum fm_failure)err.code, "value_expr: %s", err.msg);
    if (err.code != FM_UNAVAILABLE)
        fm_ctx_fail_permanent(ctx);
    return NULL;
}

/* On a worker thread. */
static int check_long(struct fm_ctx *ctx, const struct fm_value *data)
{
    struct json_schema_work work = {0};
    struct report report;
    fm_auto(fm_err) err = {0};
    const char *program = fm_value_string(fm_value_get(fm_ctx_config(ctx), "value_expr"), NULL);
    const struct fm_value *checked = program != NULL ? made_of(ctx, data, program) : at_path(ctx, data);
    if (checked == NULL && program != NULL)
        return -1;
    int n = check(ctx, checked, &work, &report, &err);
    return say(ctx, data, n, &report, &err);
}

/* Most checks take microseconds. What takes longer, or has patterns or a program, moves to a worker thread.
 */
static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK, .no_patterns = true};
    struct report report;
    fm_auto(fm_err) err = {0};
    if (fm_value_get(fm_ctx_config(ctx), "value_expr") != NULL)
        return ctx_on_worker(ctx, check_long);
    int n = check(ctx, at_path(ctx, data), &work, &report, &err);
    return n == -FM_RESOURCE_EXHAUSTED ? ctx_on_worker(ctx, check_long) : say(ctx, data, n, &report, &err);
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type validate_type = {
    .abi = FM_ROUTINE_ABI, .name = "validate", .slots = slots, .n_slots = 1};
