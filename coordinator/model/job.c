/* A job's record and the table of its transitions. See job.h. */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "buf.h"
#include "digest.h"
#include "err.h"
#include "exact.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "guard.h"
#include "id.h"
#include "job_state.h"
#include "job_state_int.h"
#include "mem.h"
#include "pause.h"
#include "pbc.h"
#include "store.h"
#include "times.h"

/* ---- transitions ---- */

static const struct transition {
    int from;
    enum job_event on;
    int to;
    const char *why;
} transitions[] = {
  // clang-format off
    {JOB_PENDING, JOB_EV_ASSIGN,   JOB_RUNNING,   "a host with room was chosen"},
    {JOB_PENDING, JOB_EV_HOLD,     JOB_PAUSED,    "an operator paused it before a host had it"},
    {JOB_PENDING, JOB_EV_COMPLETE, JOB_COMPLETED, "nothing was left to run"},
    {JOB_PENDING, JOB_EV_FAIL,     JOB_FAILED,    "it broke a rule on every host that tried"},
    {JOB_PENDING, JOB_EV_CANCEL,   JOB_CANCELLED, "a client cancelled it"},
    {JOB_PENDING, JOB_EV_PAUSE,    JOB_PAUSED,    "a question is open"},
    {JOB_PENDING, JOB_EV_SLEEP,    JOB_SLEEPING,  "only timers or other jobs are left to wait for"},
    {JOB_RUNNING, JOB_EV_REQUEUE,  JOB_PENDING,   "its host gave it back or was lost"},
    {JOB_RUNNING, JOB_EV_PAUSE,    JOB_PAUSED,    "a question is open"},
    {JOB_RUNNING, JOB_EV_HOLD,     JOB_PAUSED,    "an operator paused it"},
    {JOB_RUNNING, JOB_EV_COMPLETE, JOB_COMPLETED, "its last task was consumed"},
    {JOB_RUNNING, JOB_EV_FAIL,     JOB_FAILED,    "a step failed"},
    {JOB_RUNNING, JOB_EV_CANCEL,   JOB_CANCELLED, "a client cancelled it"},
    {JOB_RUNNING, JOB_EV_SLEEP,    JOB_SLEEPING,  "only timers or other jobs are left to wait for"},
    {JOB_PAUSED,  JOB_EV_RESUME,   JOB_PENDING,   "it was answered, or an operator's pause ended"},
    {JOB_PAUSED,  JOB_EV_CANCEL,   JOB_CANCELLED, "a client cancelled it"},
    {JOB_PAUSED,  JOB_EV_WAKE,     JOB_PENDING,   "something came that needs no answer"},
    {JOB_PAUSED,  JOB_EV_FAIL,     JOB_FAILED,    "its deadline passed"},
    {JOB_SLEEPING, JOB_EV_WAKE,    JOB_PENDING,   "a timer is due, or something came"},
    {JOB_SLEEPING, JOB_EV_HOLD,    JOB_PAUSED,    "an operator paused it"},
    {JOB_SLEEPING, JOB_EV_FAIL,    JOB_FAILED,    "its deadline passed"},
    {JOB_SLEEPING, JOB_EV_CANCEL,  JOB_CANCELLED, "a client cancelled it"},
    {JOB_FAILED,  JOB_EV_RETRY,    JOB_PENDING,   "an operator let it go on from the task that failed"},
  // clang-format on
};

static const struct transition *find_transition(int from, enum job_event event)
{
    for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
        if (transitions[i].from == from && transitions[i].on == event)
            return &transitions[i];
    return NULL;
}

int job_next_status(int from, enum job_event event)
{
    const struct transition *t = find_transition(from, event);
    return t == NULL ? 0 : t->to;
}

const char *job_transition_why(int from, enum job_event event)
{
    const struct transition *t = find_transition(from, event);
    return t == NULL ? NULL : t->why;
}

bool job_status_final(int status)
{
    return status == JOB_COMPLETED || status == JOB_FAILED || status == JOB_CANCELLED;
}

const char *job_status_name(int status)
{
    static const char *const names[JOB_STATUSES] = {"UNSPECIFIED", "PENDING",   "RUNNING", "PAUSED",
                                                    "SLEEPING",    "COMPLETED", "FAILED",  "CANCELLED"};
    return status >= 0 && status < JOB_STATUSES ? names[status] : "?";
}

const char *job_event_name(enum job_event event)
{
    static const char *const names[JOB_EVENTS] = {"assign", "requeue",  "pause",     "hold",
                                                  "resume", "complete", "fail",      "cancel",
                                                  "sleep",  "wake",     "be retried"};
    return event < JOB_EVENTS ? names[event] : "?";
}

int job_move(struct job *job, enum job_event event, int64_t wall_ms, struct fm_err *err)
{
    int to = job_next_status(job_status(job), event);
    if (to == 0)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "job_id", "job %s is %s: it cannot %s", job->text,
                          job_status_name(job_status(job)), job_event_name(event));
    job->head->status = (Fermata__V1__JobStatus)to;
    job->head_dirty = true;
    pb_set_time(&job->head->updated_at, wall_ms);
    if (job_status_final(to))
        pb_set_time(&job->head->finished_at, wall_ms);
    return 0;
}

/* ---- life ---- */

struct job *job_new(const struct fm_id *id)
{
    struct job *job = fm_xcalloc(1, sizeof(*job));
    job->id = *id;
    fm_id_text(id, job->text);
    job->loading = true;
    return job;
}

void job_free(struct job *job)
{
    if (job->head != NULL)
        protobuf_c_message_free_unpacked(&job->head->base, NULL);
    job_state_free(job->state);
    task_list_free(job->inputs);
    fm_buf_done(&job->disk_head);
    free(job->avoid_host);
    free(job);
}

/* Adds the stored inputs that the state has not taken to the list. */
static int load_inputs(const struct store_found_job *found, uint32_t taken, struct task_item **inputs,
                       struct fm_err *err)
{
    for (size_t i = 0; i < found->inputs.n; i++) {
        if (found->inputs.items[i].number <= taken)
            continue;
        struct task_item *t = task_item_parse(found->inputs.items[i].body, err);
        if (t == NULL)
            return -FM_DATA_LOSS;
        t->input_number = found->inputs.items[i].number;
        DL_APPEND(*inputs, t);
    }
    return 0;
}

static int fold_steps(const struct store_found_job *found, size_t max_state_bytes, struct job_state *state,
                      struct task_item **inputs, struct fm_err *err)
{
    for (size_t i = 0; i < found->steps.n; i++) {
        Fermata__V1__Step *step =
            fermata__v1__step__unpack(NULL, found->steps.items[i].body.n, found->steps.items[i].body.p);
        if (step == NULL)
            return fm_err_set(err, FM_DATA_LOSS, NULL, "stored step %u is malformed",
                              found->steps.items[i].number);
        struct task_item *task = NULL;
        int rc = job_state_apply(state, inputs, step, found->steps.items[i].body.n, 2 * max_state_bytes,
                                 &task, err);
        free(task);
        fermata__v1__step__free_unpacked(step, NULL);
        if (rc < 0) {
            fm_err_wrap(err, "stored step %u does not fold", found->steps.items[i].number);
            return rc;
        }
    }
    return 0;
}

/* Whatever rule was broken: it is the store that is damaged, not a field of anybody's request. */
static int damaged(struct fm_err *err)
{
    char msg[sizeof(err->msg)];
    memcpy(msg, err->msg, sizeof(msg));
    return fm_err_set(err, FM_DATA_LOSS, NULL, "%s", msg);
}

int job_fold_stored(const struct store_found_job *found, size_t max_state_bytes, struct job_state **ret_state,
                    struct task_item **ret_inputs, struct fm_err *err)
{
    struct job_state *state = NULL;
    struct task_item *inputs = NULL;
    int rc = 0;
    if (found->snapshot.p != NULL)
        rc = job_state_decode(found->snapshot, &state, err);
    else
        state = job_state_new();
    if (rc == 0)
        rc = load_inputs(found, job_state_inputs(state), &inputs, err);
    if (rc == 0)
        rc = fold_steps(found, max_state_bytes, state, &inputs, err);
    if (rc < 0) {
        job_state_free(state);
        task_list_free(inputs);
        return damaged(err);
    }
    *ret_state = state;
    *ret_inputs = inputs;
    return 0;
}

int job_load(struct job *job, const struct store_found_job *found, size_t max_state_bytes, struct fm_err *err)
{
    Fermata__V1__Job *head = fermata__v1__job__unpack(NULL, found->head.n, found->head.p);
    if (head == NULL)
        return fm_err_set(err, FM_DATA_LOSS, NULL, "the stored record of job %s is malformed", job->text);
    int rc = job_fold_stored(found, max_state_bytes, &job->state, &job->inputs, err);
    if (rc < 0) {
        fermata__v1__job__free_unpacked(head, NULL);
        fm_err_wrap(err, "job %s", job->text);
        return rc;
    }
    job->head = head;
    job->head->step_count = job_state_step(job->state);
    fm_buf_reset(&job->disk_head);
    fm_buf_append(&job->disk_head, found->head.p, found->head.n);
    job->disk_status = (int)head->status;
    job->steps_on_disk = job_state_step(job->state);
    job->entries_on_disk = head->entry_count;
    job->inputs_on_disk = head->input_count;
    job->snapshot_step = found->snapshot.p != NULL ? found->snapshot_number : 0;
    job->journal_bytes = 0;
    for (size_t i = 0; i < found->steps.n; i++)
        job->journal_bytes += found->steps.items[i].body.n;
    job->emit_deferred_input = head->input_count;
    job->loading = false;
    job->is_new = false;
    return 0;
}

/* ---- pauses ---- */

const struct task_item *job_find_task(const struct job *job, const char *task_id)
{
    const struct task_item *t = job_state_find_task(job->state, task_id);
    if (t == NULL)
        for (t = job->inputs; t != NULL && strcmp(t->id, task_id) != 0;)
            t = t->next;
    return t;
}

Fermata__V1__Pause *job_find_pause(const struct job *job, const char *pause_id)
{
    for (size_t i = 0; i < job->head->n_pauses; i++)
        if (strcmp(job->head->pauses[i]->pause_id, pause_id) == 0)
            return job->head->pauses[i];
    return NULL;
}

static void put_netstring(struct fm_buf *b, const void *p, size_t n)
{
    char length[24];
    int digits = snprintf(length, sizeof(length), "%zu:", n);
    fm_buf_append(b, length, (size_t)digits);
    fm_buf_append(b, p, n);
}

/* See Pause.digest: of the data as a client is shown it, so that whoever sees it can count it again. */
static void put_shown(struct fm_buf *b, Google__Protobuf__Struct *data)
{
    fm_auto(fm_buf) packed = {0};
    canonical_sort(&data->base);
    pb_pack(data, &packed);
    if (!exact_show(wire_msg_of(data->base.descriptor), fm_buf_bytes(&packed), b))
        fm_buf_append(b, packed.p, packed.n);
}

static void set_digest(const struct job *job, Fermata__V1__Pause *p)
{
    fm_auto(fm_buf) b = {0}, data = {0};
    uint8_t sum[STORE_DIGEST_BYTES];
    char step[16], hex[2 * STORE_DIGEST_BYTES + 1];
    (void)snprintf(step, sizeof(step), "%u", p->step);
    put_netstring(&b, job->text, strlen(job->text));
    put_netstring(&b, p->pause_id, strlen(p->pause_id));
    put_netstring(&b, step, strlen(step));
    put_netstring(&b, p->question, strlen(p->question));
    for (size_t i = 0; i < p->n_choices; i++)
        put_netstring(&b, p->choices[i], strlen(p->choices[i]));
    if (p->data != NULL)
        put_shown(&data, p->data);
    put_netstring(&b, data.p != NULL ? (const void *)data.p : "", data.n);
    core_digest(fm_buf_bytes(&b), sum);
    for (size_t i = 0; i < sizeof(sum); i++) {
        hex[2 * i] = "0123456789abcdef"[sum[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
    }
    hex[2 * sizeof(sum)] = '\0';
    pb_set_string(&p->digest, hex);
}

void job_add_pause(struct job *job, Fermata__V1__Pause *pause)
{
    set_digest(job, pause);
    Fermata__V1__Job *h = job->head;
    h->pauses = fm_xrealloc(h->pauses, (h->n_pauses + 1) * sizeof(*h->pauses));
    h->pauses[h->n_pauses++] = pause;
    job->head_dirty = true;
}

void job_remove_pause(struct job *job, const char *pause_id)
{
    Fermata__V1__Job *h = job->head;
    for (size_t i = 0; i < h->n_pauses; i++) {
        if (strcmp(h->pauses[i]->pause_id, pause_id) != 0)
            continue;
        fermata__v1__pause__free_unpacked(h->pauses[i], NULL);
        memmove(&h->pauses[i], &h->pauses[i + 1], (h->n_pauses - i - 1) * sizeof(*h->pauses));
        h->n_pauses--;
        job->head_dirty = true;
        if (h->n_pauses == 0) {
            free(h->pauses);
            h->pauses = NULL;
        }
        return;
    }
}

static bool is_kept(const Fermata__V1__Pause *p)
{
    return pause_is_question(p) || p->reason == PAUSE_REASON_OUTCOME_UNKNOWN;
}

void job_close_pauses(struct job *job, enum kept_pauses keep)
{
    Fermata__V1__Job *h = job->head;
    while (h->n_pauses > 0) {
        Fermata__V1__Pause *p = h->pauses[0];
        if (keep == KEEP_QUESTIONS && is_kept(p)) {
            h->kept_pauses = fm_xrealloc(h->kept_pauses, (h->n_kept_pauses + 1) * sizeof(*h->kept_pauses));
            h->kept_pauses[h->n_kept_pauses++] = pb_clone(p);
        }
        job_remove_pause(job, p->pause_id);
    }
}

void job_reopen_pauses(struct job *job)
{
    Fermata__V1__Job *h = job->head;
    for (size_t i = 0; i < h->n_kept_pauses; i++)
        job_add_pause(job, h->kept_pauses[i]);
    free(h->kept_pauses);
    h->kept_pauses = NULL;
    h->n_kept_pauses = 0;
}

size_t job_count_pauses(const struct job *job, Fermata__V1__PauseReason reason)
{
    size_t n = 0;
    for (size_t i = 0; i < job->head->n_pauses; i++)
        n += job->head->pauses[i]->reason == reason;
    return n;
}

bool job_has_work(const struct job *job)
{
    return job_state_pending(job->state) > 0 || job->inputs != NULL;
}

bool job_is_held(const struct job *job)
{
    for (size_t i = 0; i < job->head->n_pauses; i++) {
        int reason = (int)job->head->pauses[i]->reason;
        if (reason == PAUSE_REASON_OPERATOR || reason == PAUSE_REASON_BREAKPOINT ||
            reason == PAUSE_REASON_OUTCOME_UNKNOWN)
            return true;
    }
    return false;
}

static int64_t time_ms(const Google__Protobuf__Timestamp *t)
{
    return t == NULL ? 0 : fm_time_ms(t->seconds, t->nanos);
}

static void sooner(int64_t *at, int64_t ms)
{
    if (ms > 0 && (*at == 0 || ms < *at))
        *at = ms;
}

int64_t job_wake_ms(struct job *job)
{
    Fermata__V1__Job *h = job->head;
    int status = (int)h->status;
    int64_t at = 0, recheck = 0;
    bool look = job_status_final(status) && (h->parent_waits || h->n_children > 0);
    for (size_t i = 0; i < h->n_children && !look; i++)
        look = !h->children[i]->started;
    if (look)
        recheck = job->recheck_ms > 0 ? job->recheck_ms : 1;
    if (!job_status_final(status)) {
        for (size_t i = 0; i < h->n_pauses; i++)
            sooner(&at, pause_next_ms(h->pauses[i]));
        if (status == JOB_SLEEPING || (status == JOB_PAUSED && !job_is_held(job)))
            sooner(&at, job_state_next_due(job->state));
    }
    if (h->wake_at != NULL) {
        google__protobuf__timestamp__free_unpacked(h->wake_at, NULL);
        h->wake_at = NULL;
    }
    if (at > 0 && (status == JOB_SLEEPING || status == JOB_PAUSED))
        pb_set_time(&h->wake_at, at);
    if (!job_status_final(status))
        sooner(&at, time_ms(h->deadline_at));
    sooner(&at, recheck);
    return at;
}

bool job_wants_snapshot(const struct job *job, bool at_rest, uint32_t snapshot_steps, size_t snapshot_bytes)
{
    uint32_t steps = job_state_step(job->state) - job->snapshot_step;
    return steps > 0 && (at_rest || steps >= snapshot_steps) && job->journal_bytes >= snapshot_bytes &&
           job->journal_bytes >= job_state_bytes(job->state);
}

bool children_due(const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    if (job_status_final((int)h->status))
        return h->parent_waits || h->n_children > 0;
    for (size_t i = 0; i < h->n_children; i++)
        if (!h->children[i]->started)
            return true;
    return false;
}

void job_forget_assignment(struct job *job)
{
    if (job->head->assignment != NULL)
        fermata__v1__assignment__free_unpacked(job->head->assignment, NULL);
    job->head->assignment = NULL;
}

void job_set_assignment(struct job *job, const char *from_host, int64_t wall_ms)
{
    Fermata__V1__Assignment a = FERMATA__V1__ASSIGNMENT__INIT;
    job_forget_assignment(job);
    a.from_host = (char *)(uintptr_t)from_host;
    a.after_step = job_state_step(job->state);
    job->head->assignment = pb_clone(&a);
    pb_set_time(&job->head->assignment->at, wall_ms);
    job->not_taken = false;
}

void job_forget_continue(struct job *job)
{
    Fermata__V1__Job *h = job->head;
    if (h->continue_wanted == NULL)
        return;
    fermata__v1__continue__free_unpacked(h->continue_wanted, NULL);
    h->continue_wanted = NULL;
    pb_set_string(&h->continue_by, "");
    pb_set_string(&h->continue_reason, "");
    job->head_dirty = true;
}

void job_want_continue(struct job *job, const Fermata__V1__Continue *how, const char *by, const char *reason)
{
    job_forget_continue(job);
    job->head->continue_wanted = pb_clone(how);
    pb_set_string(&job->head->continue_by, by);
    pb_set_string(&job->head->continue_reason, reason);
    job->head_dirty = true;
}
