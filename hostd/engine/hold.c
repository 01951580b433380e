/* Which tasks breakpoints hold. See hold.h. */
#include "hold.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "calls.h"
#include "ctx.h"
#include "engine_state.h"
#include "log.h"
#include "mem.h"

#define MAX_CONDITIONS 100 /* of a job: the coordinator takes no more breakpoints */
#define CPU_MS 100         /* of a condition */
#define ALL_CPU_MS 1000    /* of all that are put to a task */
#define SHOWN_BYTES 100    /* of a condition in a message */

static bool matches(const struct breakpoint *b, const struct task *t)
{
    return (strcmp(b->routine, "*") == 0 || strcmp(b->routine, t->routine) == 0) &&
           (b->slot[0] == '\0' || strcmp(b->slot, t->slot) == 0);
}

static bool is_released(const struct hjob *job, const struct task *t)
{
    return strcmp(job->released_task, t->id) == 0;
}

bool hold_may(const struct hjob *job, const struct task *t)
{
    for (const struct breakpoint *b = job->breakpoints; b != NULL; b = b->next)
        if (matches(b, t))
            return !is_released(job, t);
    return false;
}

/* The conditions of those that match. Returns how many; SIZE_MAX: one of them holds in any case. */
static size_t conditions_for(const struct hjob *job, const struct task *t,
                             const char *programs[MAX_CONDITIONS])
{
    size_t n = 0;
    for (const struct breakpoint *b = job->breakpoints; b != NULL; b = b->next) {
        if (!matches(b, t))
            continue;
        if (b->condition[0] == '\0' || job->engine->io.start_call == NULL || n == MAX_CONDITIONS)
            return SIZE_MAX;
        programs[n++] = b->condition;
    }
    return n;
}

enum held hold_task(struct hjob *job, struct task *t)
{
    const char *programs[MAX_CONDITIONS];
    if (is_released(job, t) || t->verdict == PASSES)
        return HELD_NOT;
    if (t->verdict == HOLDS)
        return HELD;
    size_t n = conditions_for(job, t, programs);
    if (n == 0 || n == SIZE_MAX)
        return n == 0 ? HELD_NOT : HELD;
    fm_auto(fm_buf) shared = {0}, state = {0};
    struct eval_request request = {.programs = programs,
                                   .n = n,
                                   .data = t->data,
                                   .cpu_ms = CPU_MS,
                                   .all_cpu_ms = ALL_CPU_MS,
                                   .max_outputs = 1000,
                                   .max_bytes = 1u << 20,
                                   .until_true = true};
    hjob_put_context(job, t->routine, &request, &shared, &state);
    t->to->asking = call_eval(job->engine, job, &request);
    return HELD_ASKING;
}

static struct routine *asking(struct hjob *job, uint64_t call)
{
    struct flow *f = job->flow;
    for (size_t i = 0; i <= f->n_routines; i++) {
        struct routine *r = i < f->n_routines ? &f->routines[i] : &f->unknown;
        if (r->asking == call)
            return r;
    }
    return NULL;
}

static bool is_true(const char *output)
{
    return output != NULL && strcmp(output, "null") != 0 && strcmp(output, "false") != 0;
}

/* What was wrong with the condition at which it has ended. */
static char *why(const struct hjob *job, const struct task *t, const struct eval_result *r)
{
    const char *programs[MAX_CONDITIONS];
    char text[600];
    size_t n = conditions_for(job, t, programs);
    const char *program = n != SIZE_MAX && r->n < n ? programs[r->n] : "";
    size_t shown = fm_utf8_cut(program, SHOWN_BYTES);
    snprintf(text, sizeof(text), "the condition %.*s%s of a breakpoint has failed: %.400s", (int)shown,
             program, program[shown] != '\0' ? "…" : "", r->error);
    text[fm_utf8_cut(text, sizeof(text) - 4)] = '\0';
    return fm_xstrdup(text);
}

void hold_verdict(struct hjob *job, const struct call *call, const struct eval_result *r)
{
    struct routine *to = asking(job, call->id);
    if (to == NULL || to->queue == NULL)
        return;
    struct task *t = to->queue;
    to->asking = 0;
    if (r->code == FM_OK) {
        t->verdict = r->n > 0 && is_true(r->outputs[r->n - 1]) ? HOLDS : PASSES;
        return;
    }
    t->verdict = HOLDS;
    free(to->hold_why);
    to->hold_why = why(job, t, r);
    FM_LOG(WARN, EXECUTION, "the condition of a breakpoint has failed; holding the task",
           FM_STR("job", job->id), FM_STR("task", t->id), FM_STR("error", to->hold_why));
}

void hold_forget(struct hjob *job)
{
    struct flow *f = job->flow;
    for (size_t i = 0; f != NULL && i <= f->n_routines; i++) {
        struct routine *r = i < f->n_routines ? &f->routines[i] : &f->unknown;
        struct task *t;
        if (r->asking != 0)
            call_cancel(job->engine, r->asking);
        r->asking = 0;
        free(r->hold_why);
        r->hold_why = NULL;
        DL_FOREACH (r->queue, t)
            t->verdict = UNASKED;
        if (r->run != NULL)
            r->run->task->verdict = UNASKED;
    }
}
