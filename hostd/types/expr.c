/* Settings that are jq programs. See expr.h. */
#include "expr.h"

#include <string.h>

#include "jq_context.h"
#include "mem.h"

#define CPU_MS 100 /* of a program */

static const char *program_of(struct fm_ctx *ctx, const char *name)
{
    return fm_value_string(fm_value_get(fm_ctx_config(ctx), name), NULL);
}

bool expr_run(struct fm_ctx *ctx, const char *const *names, size_t n,
              int (*done)(struct fm_ctx *ctx, void *arg, const struct eval_result *r), void *arg)
{
    const char *programs[EXPR_MAX];
    size_t found = 0;
    for (size_t i = 0; i < n && i < EXPR_MAX; i++)
        if ((programs[found] = program_of(ctx, names[i])) != NULL)
            found++;
    if (found == 0)
        return false;
    const struct eval_request request = {.programs = programs,
                                         .n = found,
                                         .cpu_ms = CPU_MS,
                                         .all_cpu_ms = (uint32_t)found * CPU_MS,
                                         .max_outputs = 1,
                                         .max_bytes = 4u << 20};
    ctx_eval(ctx, &request, done, arg);
    return true;
}

static int failed(struct fm_ctx *ctx, const char *name, enum fm_code code, const char *why)
{
    (void)fm_ctx_fail(ctx, (enum fm_failure)code, "%s: %s", name, why);
    if (code != FM_UNAVAILABLE)
        fm_ctx_fail_permanent(ctx);
    return -1;
}

int expr_take(struct fm_ctx *ctx, const char *const *names, size_t n, const struct eval_result *r,
              const struct fm_value **ret)
{
    size_t next = 0;
    for (size_t i = 0; i < n; i++) {
        ret[i] = NULL;
        if (program_of(ctx, names[i]) == NULL)
            continue;
        if (next == r->n)
            return failed(ctx, names[i], r->code, r->error);
        const char *output = r->outputs[next++];
        fm_auto(fm_err) err = {0};
        if (output != NULL && (ret[i] = ctx_json(ctx, output, strlen(output), &err)) == NULL)
            return failed(ctx, names[i], err.code, err.msg);
    }
    return 0;
}

int expr_eval(struct fm_ctx *ctx, const char *program, const struct fm_value *data,
              const struct jq_limits *limits, struct jq_outputs *ret, struct fm_err *err)
{
    fm_auto(fm_buf) json = {0};
    if (jq_wants_context(program)) {
        struct fm_value *all = fm_list(ctx);
        fm_list_add(ctx, all, data);
        fm_list_add(ctx, all, fm_ctx_shared_all(ctx));
        fm_list_add(ctx, all, fm_ctx_state_all(ctx));
        data = all;
    }
    json_value_write(data, &json);
    int rc = jq_eval(program, fm_buf_bytes(&json), limits, ret, err);
    return rc;
}
