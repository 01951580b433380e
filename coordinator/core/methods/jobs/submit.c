/* SubmitJob. */
#include "submit.h"

#include <stdlib.h>

#include <uthash.h>

#include "agreed.h"
#include "breakpoint_check.h"
#include "buf.h"
#include "check.h"
#include "children.h"
#include "defs.h"
#include "digest.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "id.h"
#include "input.h"
#include "job.h"
#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "pbc.h"
#include "place.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "times.h"
#include "unit.h"
#include "wanted.h"

static int check_submit(const Fermata__V1__SubmitJobRequest *r, struct fm_err *err)
{
    if (r->flow[0] == '\0' && r->inline_flow == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "flow",
                          "name a stored flow in flow, or give one in inline_flow");
    if (r->flow[0] != '\0' && r->inline_flow != NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "inline_flow",
                          "flow and inline_flow are given both; only one may be");
    if (r->flow[0] != '\0' && fm_name_check("flow", r->flow, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->entry == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "entry",
                          "entry is missing: the routine and the slot where the data enters");
    if (fm_name_check("entry.routine", r->entry->routine, err) < 0 ||
        fm_name_check("entry.slot", r->entry->slot, err) < 0 || check_size("data", r->data, err) < 0 ||
        check_size("shared_data", r->shared_data, err) < 0 || check_request_id(r->request_id, err) < 0 ||
        check_placement(r->placement, err) < 0 ||
        breakpoints_check(r->n_breakpoints, r->breakpoints, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (r->priority < -FM_MAX_PRIORITY || r->priority > FM_MAX_PRIORITY)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "priority", "priority is %d; -%d to %d are allowed",
                          r->priority, FM_MAX_PRIORITY, FM_MAX_PRIORITY);
    if (check_label_count(r->n_labels, err) < 0)
        return -FM_INVALID_ARGUMENT;
    for (size_t i = 0; i < r->n_labels; i++)
        if (check_label("labels", r->labels[i]->key, r->labels[i]->value, err) < 0)
            return -FM_INVALID_ARGUMENT;
    return 0;
}

Fermata__V1__Job *job_new_head(struct core *c, const struct job *job, const Fermata__V1__SubmitJobRequest *r,
                               const char *flow_name, uint32_t version, struct flow_def *def)
{
    Fermata__V1__Job h = FERMATA__V1__JOB__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    h.job_id = (char *)(uintptr_t)job->text;
    h.status = JOB_STATUS_PENDING;
    h.flow = (char *)(uintptr_t)flow_name;
    h.flow_version = version;
    h.created_at = &at;
    h.updated_at = &at;
    h.placement = r->placement;
    h.priority = r->priority;
    h.steps_from = 1;
    Google__Protobuf__Timestamp deadline = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t deadline_ms = c->wall_ms + (int64_t)def->deadline_ms;
    deadline.seconds = fm_ms_seconds(deadline_ms);
    deadline.nanos = fm_ms_nanos(deadline_ms);
    if (def->deadline_ms > 0)
        h.deadline_at = &deadline;
    h.flow_digest = (ProtobufCBinaryData){STORE_DIGEST_BYTES, def->digest};
    Fermata__V1__Job__LabelsEntry *entries = fm_xcalloc(r->n_labels + 1, sizeof(*entries));
    Fermata__V1__Job__LabelsEntry **pointers = fm_xcalloc(r->n_labels + 1, sizeof(*pointers));
    for (size_t i = 0; i < r->n_labels; i++) {
        fermata__v1__job__labels_entry__init(&entries[i]);
        entries[i].key = r->labels[i]->key;
        entries[i].value = r->labels[i]->value;
        pointers[i] = &entries[i];
    }
    h.n_labels = r->n_labels;
    h.labels = pointers;
    Fermata__V1__Job *copy = pb_clone(&h);
    free(entries);
    free(pointers);
    return copy;
}

/* Only now is it sure that there is such a job: a repeated submit has none. */
static void submitted(struct core *c, struct job *job, struct effect *e)
{
    (void)c;
    (void)e;
    FM_LOG(INFO, STATE, "job submitted", FM_STR("job", job->text), FM_STR("flow", job->head->flow),
           FM_STR("host", job->head->host));
}

static const struct effect_kind submitted_effect = {"submitted", submitted, NULL, NULL, NULL};

static void submit_records(struct core *c, struct job *job, const Fermata__V1__SubmitJobRequest *r,
                           struct op *op, struct unit *m)
{
    Fermata__V1__SubmitJobResponse response = FERMATA__V1__SUBMIT_JOB_RESPONSE__INIT;
    response.job_id = job->text;
    struct fm_buf reply = {0};
    pb_pack(&response, &reply);
    if (r->request_id[0] != '\0') {
        Fermata__V1__SubmitJobRequest same = *r;
        if (op->inner != NULL)
            same.placement =
                NULL; /* the parent's, which may have changed since the child was first submitted */
        core_request_digest(&same.base, m->request_digest);
        m->request_ticket = op->ticket;
        store_put_request(m->records, op->inner != NULL ? "child" : "submit", r->request_id,
                          m->request_digest, &job->id, fm_buf_bytes(&reply));
    }
    unit_reply_bytes(m, op->ticket, fm_buf_bytes(&reply));
    fm_buf_done(&reply);
    if (!job->def->on_disk) {
        store_put_flow_def(m->records, job->def->digest,
                           (struct fm_bytes){job->def->body.p, job->def->body.n});
        job->def->refs++;
        def_effect(m, job->def);
    }
    if (r->shared_data != NULL && r->shared_data->n_fields > 0) {
        job_state_set_shared(job->state, r->shared_data);
        fm_auto(fm_buf) b = {0};
        job_state_encode(job->state, NULL, &b);
        store_put_snapshot(m->records, &job->id, 0, 0, fm_buf_bytes(&b));
    }
    Fermata__V1__Task task = FERMATA__V1__TASK__INIT;
    Google__Protobuf__Struct empty = GOOGLE__PROTOBUF__STRUCT__INIT;
    task.routine = r->entry->routine;
    task.slot = r->entry->slot;
    task.data = r->data != NULL ? r->data : &empty;
    if (r->shared_data != NULL && r->shared_data->n_fields > 0)
        task.initial_shared_data = r->shared_data; /* the snapshot goes; a fork wants to know */
    job_add_input(c, job, &task);
}

static int submit_job(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__SubmitJobRequest *r = OP_REQUEST(op, Fermata__V1__SubmitJobRequest);
    struct fm_id id = {{0}};
    const char *name;
    uint32_t version;
    struct flow_def *def;
    int rc = check_submit(r, err);
    if (rc == 0 && r->inline_flow != NULL)
        rc = op_needs(op, ROLE_AUTHOR, "a job of an inline flow", err);
    if (rc == 0)
        rc = flow_for_submit(c, op, r, &def, &name, &version, err);
    if (rc != 0)
        return rc;
    rc = breakpoints_check_places(c, def, r->n_breakpoints, r->breakpoints, err);
    if (rc != 0) {
        def_unref(c, def);
        return rc;
    }
    if (op->inner != NULL)
        id = op->inner->child; /* a child's id was chosen with its parent's step */
    if (fm_id_is_zero(&id)) {
        fm_id_next(&c->ids, c->wall_ms, &id);
    } else if (job_in_memory(c, &id) != NULL) { /* it is there already */
        def_unref(c, def);
        return fm_err_set(err, FM_ABORTED, NULL, "the child is being looked for");
    }
    struct job *job = job_new(&id);
    job->loading = false;
    job->is_new = true;
    job->head = job_new_head(c, job, r, name, version, def);
    children_set_parent(job, op);
    breakpoints_replace(job->head, r->n_breakpoints, r->breakpoints);
    job->head_dirty = true;
    job->state = job_state_new();
    job->def = def;
    HASH_ADD(hh, c->jobs, id, sizeof(job->id), job);
    submit_records(c, job, r, op, unit_of(c, job));
    place_job(c, job);
    job_count_bytes(c, job);
    unit_effect(unit_of(c, job), &submitted_effect, FM_NO_BYTES);
    return 0;
}

const struct method submit_job_method = {"Jobs/SubmitJob",
                                         METHOD_UNARY,
                                         &fermata__v1__submit_job_request__descriptor,
                                         &fermata__v1__submit_job_response__descriptor,
                                         ROLE_SUBMITTER,
                                         ADMIT_JOB,
                                         submit_job,
                                         flow_wanted_free};
