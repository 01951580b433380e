/* A handler lets its job start its journal over. Part of the routine API (fermata/routine.h). The coordinator
 * does so when nothing of the job runs any more; here is only said how. */
#include "continue.h"

#include <stdlib.h>
#include <string.h>

#include "agreed.h"
#include "err.h"
#include "fermata/v1/types.pb.h"
#include "hjob.h"
#include "mem.h"
#include "pb_var.h"
#include "registry.h"
#include "value.h"

#define MAX_TASKS 1000

static bool put_tasks(struct fm_ctx *ctx, const struct fm_continue *how, struct fm_buf *bufs)
{
    struct to *to = fm_ctx_alloc(ctx, (how->n_tasks + 1) * sizeof(*to));
    for (size_t i = 0; i < how->n_tasks; i++) {
        const struct fm_new_task *t = &how->tasks[i];
        fm_auto(fm_buf) data = {0};
        if (t->routine == NULL || t->slot == NULL || !ctx_encode(ctx, "the data of a task", t->data, &data)) {
            (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "continue: task %zu names no routine or no slot",
                              i);
            return false;
        }
        fermata_v1_NewTask m;
        memset(&m, 0, sizeof(m));
        to[i].routine = fm_value_string(fm_string(ctx, t->routine), "");
        to[i].slot = fm_value_string(fm_string(ctx, t->slot), "");
        m.has_to = true;
        m.to.routine = pb_var_str(to[i].routine);
        m.to.slot = pb_var_str(to[i].slot);
        m.data = t->data != NULL ? pb_var_bytes(data.p, data.n) : (struct pb_var){0};
        pb_var_pack(fermata_v1_NewTask_fields, &m, &bufs[i]);
    }
    ctx->out.continue_to = to;
    ctx->out.n_continue_to = how->n_tasks;
    return true;
}

static void pack_kept(const struct fm_continue *how, struct fm_buf *out)
{
    fermata_v1_Kept m;
    memset(&m, 0, sizeof(m));
    if (how->trim_log) {
        m.which_maybe_log = fermata_v1_Kept_log_tag;
        m.maybe_log.log = how->log;
    }
    if (how->trim_outputs) {
        m.which_maybe_outputs = fermata_v1_Kept_outputs_tag;
        m.maybe_outputs.outputs = how->outputs;
    }
    m.no_shared_data = how->no_shared_data;
    m.no_routine_states = how->no_routine_states;
    pb_var_pack(fermata_v1_Kept_fields, &m, out);
}

void fm_ctx_continue(struct fm_ctx *ctx, const struct fm_continue *how)
{
    if (ctx->out.failed)
        return;
    if (how->n_tasks > MAX_TASKS) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "continue: %zu tasks; the limit is %d", how->n_tasks,
                          MAX_TASKS);
        return;
    }
    struct fm_buf *bufs = fm_xcalloc(how->n_tasks + 1, sizeof(*bufs));
    struct fm_bytes *views = fm_xcalloc(how->n_tasks + 1, sizeof(*views));
    fm_auto(fm_buf) kept = {0};
    if (put_tasks(ctx, how, bufs)) {
        fermata_v1_Continue m;
        memset(&m, 0, sizeof(m));
        for (size_t i = 0; i < how->n_tasks; i++)
            views[i] = fm_buf_bytes(&bufs[i]);
        m.tasks = pb_var_list(views, how->n_tasks);
        pack_kept(how, &kept);
        m.kept = pb_var_bytes(kept.p, kept.n);
        if (how->trim_history) {
            m.which_maybe_history = fermata_v1_Continue_keep_generations_tag;
            m.maybe_history.keep_generations = how->keep_generations;
        }
        fm_buf_reset(&ctx->out.continue_as);
        ctx->out.continues = true;
        pb_var_pack(fermata_v1_Continue_fields, &m, &ctx->out.continue_as);
    }
    for (size_t i = 0; i < how->n_tasks; i++)
        fm_buf_done(&bufs[i]);
    free(bufs);
    free(views);
}

int continue_check(const struct fm_ctx *ctx, struct fm_err *err)
{
    for (size_t i = 0; !ctx->out.failed && ctx->out.continues && i < ctx->out.n_continue_to; i++) {
        const struct to *to = &ctx->out.continue_to[i];
        const struct routine *r = flow_routine(ctx->job->flow, to->routine);
        if (r == NULL || r->type == NULL)
            return fm_err_set(
                err, FM_INVALID_ARGUMENT, "continue.tasks.to.routine",
                "continue: the flow has no routine \"%.64s\"; a task may go to one of its routines",
                to->routine);
        if (registry_handler(r->type, to->slot) == NULL || to->slot[0] == '_')
            return fm_err_set(err, FM_INVALID_ARGUMENT, "continue.tasks.to.slot",
                              "continue: routine %.64s, of type %.64s, has no slot \"%.64s\" for others",
                              to->routine, r->type->name, to->slot);
    }
    return 0;
}
