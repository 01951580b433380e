/* ForkJob: a new job that begins where another one stood after some step. The journal up to there is copied,
 * with the inputs it took, so that the new job is complete in itself; what differs (shared data) is a step of
 * its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "answer.h"
#include "buf.h"
#include "check.h"
#include "defs.h"
#include "entry.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "id.h"
#include "job.h"
#include "job_state.h"
#include "log.h"
#include "losses.h"
#include "mem.h"
#include "method.h"
#include "move.h"
#include "op.h"
#include "pause.h"
#include "pbc.h"
#include "placement.h"
#include "query.h"
#include "remedies.h"
#include "request_id.h"
#include "send.h"
#include "state.h"
#include "store.h"
#include "submit.h"
#include "table.h"
#include "unit.h"
#include "watch.h"
#include "who.h"

#define MAX_JOURNAL_BYTES (64u * 1024 * 1024)

/* What was read of the old job. */
struct fork {
    struct fm_id id;
    Fermata__V1__Job *head;
    struct store_records steps, inputs; /* with bodies of its own; the steps are marked as inherited */
    struct store_journal entries;       /* the same */
    struct fm_buf start;                /* encoded state before the first step; nothing: it was empty. Of a
                                           later generation: after its first step, which is the first of `steps` */
    struct store_generation generation; /* without the state */
    uint32_t carried;                   /* inputs up to this one had come when it began */
    uint32_t children;                  /* and so many children were at work */
};

static void records_free(struct store_records *list)
{
    for (size_t i = 0; i < list->n; i++)
        free((void *)(uintptr_t)list->items[i].body.p);
    free((void *)(uintptr_t)list->items);
}

static void fork_free(struct core *c, void *own)
{
    struct fork *f = own;
    (void)c;
    if (f->head != NULL)
        fermata__v1__job__free_unpacked(f->head, NULL);
    records_free(&f->steps);
    records_free(&f->inputs);
    for (size_t i = 0; i < f->entries.n; i++)
        free((void *)(uintptr_t)f->entries.items[i].body.p);
    free((void *)(uintptr_t)f->entries.items);
    fm_buf_done(&f->start);
    free(f);
}

static uint32_t last_step(const struct fork *f)
{
    return f->steps.n == 0 ? 0 : f->steps.items[f->steps.n - 1].number;
}

/* The first n records. */
static struct store_records copy_records(const struct store_records *from, size_t n)
{
    struct store_record *items = fm_xcalloc(n + 1, sizeof(*items));
    for (size_t i = 0; i < n; i++) {
        struct fm_bytes body = from->items[i].body;
        items[i] = (struct store_record){
            from->items[i].number, {fm_xmemdup(body.p, body.n), body.n}
        };
    }
    return (struct store_records){.items = items, .n = n};
}

/* What was read of the journal; the bodies say that the fork has inherited them. */
static void copy_journal(struct fork *f, const struct store_journal *from)
{
    struct store_record *steps = fm_xcalloc(from->n + 1, sizeof(*steps));
    struct store_journal_record *entries = fm_xcalloc(from->n + 1, sizeof(*entries));
    for (size_t i = 0; i < from->n; i++) {
        struct fm_buf body = {0};
        entry_inherit(&from->items[i], &body);
        if (from->items[i].entry == 0)
            steps[f->steps.n++] = (struct store_record){from->items[i].step, fm_buf_bytes(&body)};
        else
            entries[f->entries.n++] =
                (struct store_journal_record){from->items[i].step, from->items[i].entry, fm_buf_bytes(&body)};
    }
    f->steps.items = steps;
    f->entries.items = entries;
}

/* ---- the state after the step ---- */

/* What the old job began with, in the state that a submit writes, too. Its first input says it: the snapshot
 * may be gone. */
static int read_start(struct fork *f, struct fm_err *err)
{
    if (f->inputs.n == 0 || f->inputs.items[0].number != 1)
        return 0;
    fm_auto_pb Fermata__V1__Task *t =
        fermata__v1__task__unpack(NULL, f->inputs.items[0].body.n, f->inputs.items[0].body.p);
    if (t == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "job_id", "the first input of job %s is malformed",
                          f->head->job_id);
    if (t->initial_shared_data != NULL && t->initial_shared_data->n_fields > 0) {
        struct job_state *s = job_state_new();
        job_state_set_shared(s, t->initial_shared_data);
        job_state_encode(s, NULL, &f->start);
        job_state_free(s);
    }
    return 0;
}

/* What the first step of the generation says of inputs that had come, and no step had taken, and of children.
 */
static void read_carried(struct fork *f)
{
    const struct fm_bytes *body = f->steps.n > 0 ? &f->steps.items[0].body : NULL;
    fm_auto_pb Fermata__V1__Step *s = body == NULL ? NULL : fermata__v1__step__unpack(NULL, body->n, body->p);
    f->carried = s != NULL && s->remedy != NULL ? s->remedy->inputs : 0;
    f->children = s != NULL && s->remedy != NULL ? s->remedy->children : 0;
}

/* The fold of what was copied; inputs that came later are left out. */
static int fold(const struct fork *f, struct job *job, struct fm_err *err)
{
    struct store_found_job found = {
        .snapshot = fm_buf_bytes(&f->start), .steps = f->steps, .inputs = f->inputs};
    if (f->generation.number > 0) { /* its first step is in the state */
        found.steps.items++;
        found.steps.n--;
    }
    struct task_item *later = NULL;
    int rc = job_fold_stored(&found, &job->state, &later, err);
    /* Before the first step only the entry is there. */
    uint32_t keep = f->steps.n == 0 && later != NULL ? later->input_number : f->carried;
    struct task_item *t, *tmp;
    DL_FOREACH_SAFE (later, t, tmp) {
        if (rc != 0 || t->input_number > keep)
            break;
        DL_DELETE(later, t);
        DL_APPEND(job->inputs, t);
    }
    task_list_free(later);
    return rc;
}

/* What the inputs that the state has taken say: which questions they answer, and how many are results of
 * children that were at work when the generation began, or were started in it. */
struct taken {
    struct answered {
        UT_hash_handle hh;
        const char *pause_id; /* behind it */
    } * answered;
    size_t results;
};

static bool is_answered(const struct taken *t, const char *pause_id)
{
    struct answered *a;
    HASH_FIND_STR(t->answered, pause_id, a);
    return a != NULL;
}

static void note_answer(struct taken *t, const char *pause_id)
{
    if (pause_id[0] == '\0' || is_answered(t, pause_id))
        return;
    size_t n = strlen(pause_id);
    struct answered *a = fm_xmalloc(sizeof(*a) + n + 1);
    a->pause_id = memcpy(a + 1, pause_id, n + 1);
    HASH_ADD_KEYPTR(hh, t->answered, a->pause_id, n, a);
}

static void read_taken(const struct fork *f, uint32_t inputs_through, struct taken *t)
{
    for (size_t i = 0; i < f->inputs.n && f->inputs.items[i].number <= inputs_through; i++) {
        const struct store_record *r = &f->inputs.items[i];
        fm_auto_pb Fermata__V1__Task *task = fermata__v1__task__unpack(NULL, r->body.n, r->body.p);
        if (task == NULL)
            continue;
        note_answer(t, task->pause_id);
        t->results += r->number > f->carried && task->child_job_id[0] != '\0';
    }
}

static void taken_done(struct taken *t)
{
    struct answered *a, *tmp;
    HASH_ITER (hh, t->answered, a, tmp) {
        HASH_DELETE(hh, t->answered, a);
        free(a);
    }
}

/* Questions that were open after the step are open in the new job; their time begins anew. */
static int open_questions(struct core *c, const struct fork *f, struct job *job, struct fm_err *err)
{
    fm_auto(taken) taken = {0};
    size_t children = f->children;
    read_taken(f, job_state_inputs(job->state), &taken);
    for (size_t i = 0; i < f->steps.n; i++) {
        fm_auto_pb Fermata__V1__Step *s =
            fermata__v1__step__unpack(NULL, f->steps.items[i].body.n, f->steps.items[i].body.p);
        if (s == NULL)
            return fm_err_set(err, FM_DATA_LOSS, "step", "step %u is malformed", f->steps.items[i].number);
        children += s->n_children;
        for (size_t k = 0; k < s->n_pauses; k++) {
            if (is_answered(&taken, s->pauses[k]->pause_id))
                continue;
            Fermata__V1__Pause *p = pb_clone(s->pauses[k]);
            if (s->remedy == NULL) { /* else a question that was carried over from the generation before */
                pb_set_string(&p->routine, s->routine);
                p->step = s->number;
                p->reason = (Fermata__V1__PauseReason)pause_reason_of(p);
            }
            p->asks_for = PAUSE_REASON_UNSPECIFIED;
            if (p->deadline_at != NULL && time_to_ms(p->deadline_at) <= c->wall_ms) {
                google__protobuf__timestamp__free_unpacked(p->deadline_at, NULL);
                p->deadline_at = NULL; /* it has passed; the fork has as long as the job had */
            }
            pause_begin(p, c->wall_ms);
            job_add_pause(job, p);
        }
        for (size_t k = 0; k < s->n_withdrawals; k++)
            job_remove_pause(job, s->withdrawals[k]->pause_id);
    }
    if (children != taken.results)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "step",
                          "job %s waited for a child job after step %u: name a step before or after that",
                          f->head->job_id, last_step(f));
    return 0;
}

/* ---- the new job ---- */

/* The labels of both, those of the request in front. */
static struct job *new_job(struct core *c, const struct fork *f, const Fermata__V1__ForkJobRequest *r,
                           struct flow_def *def)
{
    struct fm_id id;
    fm_id_next(&c->ids, c->wall_ms, &id);
    struct job *job = job_new(&id);
    job->loading = false;
    job->is_new = true;
    size_t max = r->n_labels + f->head->n_labels;
    Fermata__V1__SubmitJobRequest__LabelsEntry *entries = fm_xcalloc(max + 1, sizeof(*entries));
    Fermata__V1__SubmitJobRequest__LabelsEntry **labels = fm_xcalloc(max + 1, sizeof(*labels));
    Fermata__V1__SubmitJobRequest like = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    for (size_t i = 0; i < max; i++) {
        char *key = i < r->n_labels ? r->labels[i]->key : f->head->labels[i - r->n_labels]->key;
        char *value = i < r->n_labels ? r->labels[i]->value : f->head->labels[i - r->n_labels]->value;
        bool known = false;
        for (size_t k = 0; k < like.n_labels && !known; k++)
            known = strcmp(labels[k]->key, key) == 0;
        if (known)
            continue;
        fermata__v1__submit_job_request__labels_entry__init(&entries[like.n_labels]);
        entries[like.n_labels].key = key;
        entries[like.n_labels].value = value;
        labels[like.n_labels] = &entries[like.n_labels];
        like.n_labels++;
    }
    like.labels = labels;
    like.priority = f->head->priority;
    job->head = job_new_head(c, job, &like, f->head->flow, f->head->flow_version, def);
    if (f->head->placement != NULL)
        job->head->placement = pb_clone(f->head->placement);
    placement_say(&job->head->placement, r->placement, PLACEMENT_BEGINS);
    pb_set_string(&job->head->forked_from, f->head->job_id);
    job->head->forked_at = last_step(f);
    job->head->steps_from = last_step(f) + 1;
    job->head_dirty = true;
    job->def = def;
    free(entries);
    free(labels);
    return job;
}

/* What its tasks are suspected of, those of the old one are. */
static void copy_losses(const struct fork *f, struct job *job)
{
    for (size_t i = 0; i < f->head->n_losses; i++) {
        const char *id = f->head->losses[i]->task_id;
        if (job_state_find_task(job->state, id) != NULL ||
            (job->inputs != NULL && strcmp(job->inputs->id, id) == 0))
            loss_copy(job->head, f->head->losses[i]);
    }
}

static void put_records(struct core *c, const struct fork *f, struct job *job)
{
    struct unit *m = unit_of(c, job);
    uint32_t through = job->inputs != NULL ? job->inputs->prev->input_number : job_state_inputs(job->state);
    const struct store_generation *g = &f->generation;
    if (g->number > 0) {
        store_put_generation(m->records, &job->id, g->number, g->step, g->inputs, fm_buf_bytes(&f->start));
        job->head->generation = job->head->oldest_generation = g->number;
        job->head->generation_step = job->snapshot_step = g->step;
    } else if (f->start.n > 0)
        store_put_snapshot(m->records, &job->id, 0, 0, (struct fm_bytes){f->start.p, f->start.n});
    for (size_t i = 0; i < f->inputs.n && f->inputs.items[i].number <= through; i++)
        store_put_input(m->records, &job->id, f->inputs.items[i].number, f->inputs.items[i].body);
    for (size_t i = 0; i < f->steps.n; i++)
        store_put_step(m->records, &job->id, f->steps.items[i].number, f->steps.items[i].body);
    for (size_t i = 0; i < f->entries.n; i++) {
        const struct store_journal_record *e = &f->entries.items[i];
        store_put_entry(m->records, &job->id, e->step, e->entry, e->body);
        job->head->entry_count = e->entry;
    }
    if (f->entries.n > 0)
        entry_effect(m, f->entries.items[f->entries.n - 1].step, job->head->entry_count, FM_NO_BYTES);
    job->head->input_count = through;
    if (through > 0)
        inputs_effect(m, through);
    if (f->steps.n > 0)
        step_effect(m, last_step(f), FM_NO_BYTES);
    for (size_t i = 0; i < f->steps.n; i++)
        job->journal_bytes += f->steps.items[i].body.n;
}

static int patch_shared(struct core *c, struct job *job, const Fermata__V1__ForkJobRequest *r, struct who who,
                        struct fm_err *err)
{
    if (r->shared_data == NULL || r->shared_data->n_fields == 0)
        return 0;
    Google__Protobuf__Struct set = GOOGLE__PROTOBUF__STRUCT__INIT;
    Fermata__V1__PatchStateRequest patch = FERMATA__V1__PATCH_STATE_REQUEST__INIT;
    char why[] = "changed by the fork";
    size_t n = r->shared_data->n_fields;
    set.fields = fm_xcalloc(n + 1, sizeof(*set.fields));
    patch.remove = fm_xcalloc(n + 1, sizeof(*patch.remove));
    for (size_t i = 0; i < n; i++) {
        Google__Protobuf__Struct__FieldsEntry *e = r->shared_data->fields[i];
        if (e->value == NULL || e->value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE)
            patch.remove[patch.n_remove++] = e->key;
        else
            set.fields[set.n_fields++] = e;
    }
    patch.set = &set;
    int rc = remedy_patch(c, job, &patch, (struct who){who.by, why}, err);
    free(set.fields);
    free(patch.remove);
    return rc;
}

static int who_forks(const struct op *op, struct who *ret, struct fm_err *err)
{
    return who_asks(op, "answered_by", OP_REQUEST(op, Fermata__V1__ForkJobRequest)->answered_by, NULL, "",
                    ret, err);
}

/* The question that the request answers; NULL with err. */
static const Fermata__V1__Pause *find_asked(const struct job *job, const Fermata__V1__ForkJobRequest *r,
                                            struct fm_err *err)
{
    const Fermata__V1__Pause *p = NULL;
    if (r->pause_id[0] != '\0')
        p = job_find_pause(job, r->pause_id);
    else if (job->head->n_pauses == 1)
        p = job->head->pauses[0];
    if (p == NULL)
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                         "%zu questions were open after step %u; \"%.64s\" is none", job->head->n_pauses,
                         job_state_step(job->state), r->pause_id);
    return p;
}

/* Returns 0, -code, or OP_WAITS. */
static int answer(struct core *c, struct op *op, struct job *job, const Fermata__V1__ForkJobRequest *r,
                  struct who who, struct fm_err *err)
{
    if (r->answer == NULL)
        return 0;
    const Fermata__V1__Pause *p = find_asked(job, r, err);
    if (p == NULL)
        return -(int)err->code;
    if (op_needs(op, ROLE_RESPONDER, "an answer", err) < 0 ||
        (!pause_is_question(p) && op_needs(op, ROLE_OPERATOR, "ending a pause that is no question", err) < 0))
        return -FM_PERMISSION_DENIED;
    Fermata__V1__ResumeJobRequest q = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    fm_auto_pb Google__Protobuf__Value *restored = job_answer(p, r->answer);
    q.answer = restored;
    q.answered_by = r->answered_by;
    q.on_behalf_of = r->on_behalf_of;
    int rc = job_check_answer(c, op, p, &q, err);
    if (rc != 0)
        return rc;
    job_take_answer(c, job, p, &q, who);
    job->head->emit_deferred = true;
    job->emit_deferred_input = job->head->input_count;
    return 0;
}

static void drop(struct core *c, struct job *job)
{
    if (job->next != NULL)
        unit_free(c, job->next);
    job->next = NULL;
    job_remove(c, job);
}

static void make(struct core *c, struct op *op, struct flow_def *def)
{
    const Fermata__V1__ForkJobRequest *r = OP_REQUEST(op, Fermata__V1__ForkJobRequest);
    const struct fork *f = op->own;
    struct fm_err err = {0};
    struct job *job = new_job(c, f, r, def);
    HASH_ADD(hh, c->jobs, id, sizeof(job->id), job);
    if (fold(f, job, &err) < 0) {
        job->state = job->state != NULL ? job->state : job_state_new();
        drop(c, job);
        op_fail(c, op, &err);
        return;
    }
    put_records(c, f, job);
    copy_losses(f, job);
    bool deferred = job_state_deferred(job->state) > 0;
    if (open_questions(c, f, job, &err) == 0 && !job_has_work(job) && job->head->n_pauses == 0 && !deferred)
        (void)fm_err_set(&err, FM_FAILED_PRECONDITION, "step", "nothing was left to do after step %u",
                         last_step(f));
    struct who who;
    int rc = err.code != FM_OK || who_forks(op, &who, &err) < 0 || patch_shared(c, job, r, who, &err) < 0
                 ? -1
                 : answer(c, op, job, r, who, &err);
    if (rc != 0) {
        drop(c, job);
        if (rc != OP_WAITS)
            op_fail(c, op, &err);
        return;
    }
    struct unit *m = unit_of(c, job);
    bool carried = f->carried > 0 && job->inputs != NULL; /* an answer may be among them */
    if (deferred && (job->head->n_pauses == 0 ||
                     carried)) { /* an operator's step has left them, and no answer brings them */
        job->head->emit_deferred = true;
        job->emit_deferred_input = job->head->input_count;
    }
    job_park(c, job, r->answer == NULL ? PARK_ASKED : PARK_BY_STATE);
    Fermata__V1__ForkJobResponse response = FERMATA__V1__FORK_JOB_RESPONSE__INIT;
    response.job_id = job->text;
    response.status = job->head->status;
    char scope[64];
    snprintf(scope, sizeof(scope), "fork:%s", f->head->job_id);
    request_claim(job, op, scope, r->request_id, &response.base, m);
    unit_reply(m, op->ticket, &response.base);
    FM_LOG(INFO, STATE, "job forked", FM_STR("job", job->text), FM_STR("from", f->head->job_id),
           FM_U64("step", last_step(f)));
    op_free(c, op);
    job_rest(c, job);
}

/* ---- reading the old one ---- */

static void on_def(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const struct fork *f = op->own;
    struct fm_err err = {0};
    Fermata__V1__Flow *flow =
        d->status == STORE_OK ? fermata__v1__flow__unpack(NULL, d->flow_def.n, d->flow_def.p) : NULL;
    if (flow == NULL) {
        (void)fm_err_set(&err, FM_DATA_LOSS, "flow", "the flow of job %s cannot be read", f->head->job_id);
        op_fail(c, op, d->status == STORE_FAILED ? &d->err : &err);
        return;
    }
    struct flow_def *def = def_add(c, flow, d->flow_def, f->head->flow_digest.data, true);
    fermata__v1__flow__free_unpacked(flow, NULL);
    make(c, op, def);
}

static void on_journal(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__ForkJobRequest *r = OP_REQUEST(op, Fermata__V1__ForkJobRequest);
    struct fork *f = op->own;
    struct fm_err err = {0};
    if (d->status == STORE_OK && r->step > 0) /* else only whether the job is there was asked */
        copy_journal(f, &d->journal);
    if (d->status == STORE_OK && f->generation.number > 0)
        read_carried(f);
    if (d->status == STORE_OK && last_step(f) < r->step) {
        if (d->journal.more)
            (void)fm_err_set(&err, FM_RESOURCE_EXHAUSTED, "step",
                             "the journal up to step %u has more than %u bytes: it is too large to be forked",
                             r->step, MAX_JOURNAL_BYTES);
        else
            (void)fm_err_set(&err, FM_INVALID_ARGUMENT, "step",
                             "job %s has %u steps; step %u is not among them", r->job_id, last_step(f),
                             r->step);
    }
    if (d->status != STORE_OK || err.code != FM_OK) {
        op_fail(c, op, d->status != STORE_OK ? &d->err : &err);
        return;
    }
    struct flow_def *def = def_find(c, f->head->flow_digest.data);
    if (def != NULL) {
        make(c, op, def);
        return;
    }
    core_read(c, store_read_flow_def(f->head->flow_digest.data), on_def, op);
}

static void on_inputs(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    struct fork *f = op->own;
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    f->inputs = copy_records(&d->inputs, d->inputs.n);
    struct fm_err err = {0};
    if (f->generation.number == 0 && read_start(f, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    uint32_t step = OP_REQUEST(op, Fermata__V1__ForkJobRequest)->step;
    struct store_query q = store_read_journal(&f->id, f->generation.step, f->generation.number == 0 ? 1 : 0,
                                              step > 0 ? 0 : 1, MAX_JOURNAL_BYTES);
    q.journal.to_step = step;
    core_read(c, q, on_journal, op);
}

/* A fork begins with the state with which the step's generation began: that of the present one is kept. */
static void on_generation(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__ForkJobRequest *r = OP_REQUEST(op, Fermata__V1__ForkJobRequest);
    struct fork *f = op->own;
    struct fm_err err = {0};
    const struct store_generation *g = &d->generation;
    bool kept = d->status == STORE_OK && (g->number == 0 ? f->head->oldest_generation == 0 : g->state.n > 0);
    if (d->status == STORE_OK && !kept)
        (void)fm_err_set(
            &err, FM_FAILED_PRECONDITION, "step",
            "step %u is of an older generation of job %s, whose state is no longer kept: steps from "
            "%u on can be forked",
            r->step, r->job_id, f->head->generation_step);
    if (!kept) {
        op_fail(c, op, d->status != STORE_OK ? &d->err : &err);
        return;
    }
    f->generation = (struct store_generation){g->number, g->step, g->inputs, FM_NO_BYTES};
    fm_buf_append(&f->start, g->state.p, g->state.n);
    core_read(c, store_read_inputs(&f->id, g->inputs + 1, UINT32_MAX), on_inputs, op);
}

static void on_head(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__ForkJobRequest *r = OP_REQUEST(op, Fermata__V1__ForkJobRequest);
    struct fm_err err = {0};
    Fermata__V1__Job *head =
        d->status == STORE_OK ? fermata__v1__job__unpack(NULL, d->job.head.n, d->job.head.p) : NULL;
    if (d->status == STORE_NOT_FOUND)
        (void)fm_err_set(&err, FM_NOT_FOUND, "job_id", "there is no job %s", r->job_id);
    else if (d->status == STORE_OK && (head == NULL || head->flow_digest.len != STORE_DIGEST_BYTES))
        (void)fm_err_set(&err, FM_DATA_LOSS, "job_id", "the record of job %s is malformed", r->job_id);
    if (d->status == STORE_FAILED || err.code != FM_OK) {
        if (head != NULL)
            fermata__v1__job__free_unpacked(head, NULL);
        op_fail(c, op, d->status == STORE_FAILED ? &d->err : &err);
        return;
    }
    struct fork *f = op_own(op, sizeof(*f));
    f->head = head;
    f->id = w->job;
    core_read(c, store_read_generation(&f->id, r->step), on_generation, op);
}

static int check(const Fermata__V1__ForkJobRequest *r, struct fm_err *err)
{
    if (check_size("shared_data", r->shared_data, err) < 0 || check_size("answer", r->answer, err) < 0 ||
        check_request_id(r->request_id, err) < 0 || check_placement(r->placement, err) < 0 ||
        check_text("on_behalf_of", r->on_behalf_of, err) < 0 || check_text("pause_id", r->pause_id, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->pause_id[0] != '\0' && r->answer == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "pause_id is given, but no answer to it");
    if (check_label_count(r->n_labels, err) < 0)
        return -FM_INVALID_ARGUMENT;
    for (size_t i = 0; i < r->n_labels; i++)
        if (check_label("labels", r->labels[i]->key, r->labels[i]->value, err) < 0)
            return -FM_INVALID_ARGUMENT;
    return 0;
}

static int fork_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ForkJobRequest *r = OP_REQUEST(op, Fermata__V1__ForkJobRequest);
    struct fm_id id;
    if (op->own != NULL) { /* again: all of it is read anew */
        fork_free(c, op->own);
        op->own = NULL;
    }
    struct who who;
    int rc = check(r, err);
    if (rc == 0)
        rc = who_forks(op, &who, err);
    if (rc == 0)
        rc = check_job_id(r->job_id, &id, err);
    if (rc < 0)
        return rc;
    core_read(c, store_read_job(&id, STORE_HEAD), on_head, op)->job = id;
    return OP_WAITS;
}

const struct method fork_job_method = {"Jobs/ForkJob",
                                       METHOD_UNARY,
                                       &fermata__v1__fork_job_request__descriptor,
                                       &fermata__v1__fork_job_response__descriptor,
                                       ROLE_SUBMITTER,
                                       ADMIT_JOB,
                                       fork_job,
                                       fork_free};
