/* Routine type "validate": checks its data against a JSON Schema.
 * config: schema (JSON Schema; the part of it that is supported is listed in common/data/json_schema.h), path
 * (what of the data is checked; default: all of it). input → event valid: the data; or event invalid {"data":
 * the data, "errors": [{"path", "message"}…, at most 100], "error_count"}. A faulty schema fails with
 * INVALID_ARGUMENT. No effects. */
#include <string.h>

#include "builtin.h"
#include "err.h"
#include "json_schema.h"

#define MAX_ERRORS 100

struct report {
    struct fm_ctx *ctx;
    struct fm_value *errors;
};

static void on_fault(void *arg, const char *path, const char *message)
{
    struct report *r = arg;
    if (fm_value_size(r->errors) == MAX_ERRORS)
        return;
    struct fm_value *e = fm_map(r->ctx);
    fm_map_set(r->ctx, e, "path", fm_string(r->ctx, path));
    fm_map_set(r->ctx, e, "message", fm_string(r->ctx, message));
    fm_list_add(r->ctx, r->errors, e);
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    struct report report = {ctx, fm_list(ctx)};
    struct fm_err err = {0};
    const struct fm_value *checked = fm_value_get(data, fm_value_string(fm_value_get(config, "path"), ""));
    int n = json_schema_check(fm_value_get(config, "schema"), checked, on_fault, &report, &err);
    if (n < 0)
        return fm_ctx_fail(ctx, (enum fm_failure)err.code, "%s", err.msg);
    if (n == 0) {
        fm_ctx_emit(ctx, "valid", data);
        return 0;
    }
    struct fm_value *out = fm_map(ctx);
    fm_map_set(ctx, out, "data", data);
    fm_map_set(ctx, out, "errors", report.errors);
    fm_map_set(ctx, out, "error_count", fm_number(ctx, n));
    fm_ctx_emit(ctx, "invalid", out);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input}
};
static const char *const events[] = {"valid", "invalid"};

const struct fm_routine_type validate_type = {.abi = FM_ROUTINE_ABI,
                                              .name = "validate",
                                              .version = 1,
                                              .slots = slots,
                                              .n_slots = 1,
                                              .events = events,
                                              .n_events = 2};
