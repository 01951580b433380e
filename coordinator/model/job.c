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
#include "job_limits.h"
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

/* ---- the table of pauses ---- */

#define FEW_PAUSES 8 /* which are looked through; more have a table */

struct pause_entry {
    UT_hash_handle hh;
    Fermata__V1__Pause *pause;
};

static void index_pause(struct job *job, Fermata__V1__Pause *p)
{
    struct pause_entry *e = fm_xcalloc(1, sizeof(*e));
    e->pause = p;
    HASH_ADD_KEYPTR(hh, job->pauses_by_id, p->pause_id, strlen(p->pause_id), e);
}

static void unindex_pause(struct job *job, const char *pause_id)
{
    struct pause_entry *e;
    HASH_FIND(hh, job->pauses_by_id, pause_id, strlen(pause_id), e);
    if (e == NULL)
        return;
    HASH_DELETE(hh, job->pauses_by_id, e);
    free(e);
}

static void forget_index(struct job *job)
{
    struct pause_entry *e, *tmp;
    HASH_ITER (hh, job->pauses_by_id, e, tmp) {
        HASH_DELETE(hh, job->pauses_by_id, e);
        free(e);
    }
}

#define ESCALATION_BYTES 48 /* its times and what frames it */

size_t pause_bytes_of(const Fermata__V1__Pause *p)
{
    Fermata__V1__Pause plain = *p;
    plain.claimed_by = (char *)(uintptr_t)protobuf_c_empty_string;
    plain.claimed_on_behalf_of = plain.assignee = plain.claimed_by;
    plain.claim_expires_at = NULL;
    plain.n_escalate = 0;
    size_t n = fermata__v1__pause__get_packed_size(&plain);
    for (size_t i = 0; i < p->n_escalate; i++) /* whether it is done shall not count */
        n += strlen(p->escalate[i]->to) + ESCALATION_BYTES;
    return n;
}

static uint32_t *of_reason(struct job *job, Fermata__V1__PauseReason reason)
{
    return &job->n_by_reason[(unsigned)reason < PAUSE_REASONS ? (unsigned)reason : PAUSE_REASONS - 1];
}

/* The last of the open pauses is new. */
static void count_new_pause(struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    Fermata__V1__Pause *p = h->pauses[h->n_pauses - 1];
    job->pause_bytes += pause_bytes_of(p);
    ++*of_reason(job, p->reason);
    if (job->pauses_by_id != NULL)
        index_pause(job, p);
    else if (h->n_pauses > FEW_PAUSES)
        for (size_t i = 0; i < h->n_pauses; i++)
            index_pause(job, h->pauses[i]);
}

/* A record was read. */
static void count_pauses(struct job *job)
{
    Fermata__V1__Job *h = job->head;
    size_t n = h->n_pauses;
    forget_index(job);
    job->pause_bytes = 0;
    memset(job->n_by_reason, 0, sizeof(job->n_by_reason));
    for (h->n_pauses = 1; h->n_pauses <= n; h->n_pauses++)
        count_new_pause(job);
    h->n_pauses = n;
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
    forget_index(job);
    struct result_wait *w, *tmp;
    DL_FOREACH_SAFE (job->results, w, tmp)
        free(w);
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

/* What is stored was accepted: no limit is asked again. */
static int fold_steps(const struct store_found_job *found, struct job_state *state, struct task_item **inputs,
                      struct fm_err *err)
{
    for (size_t i = 0; i < found->steps.n; i++) {
        Fermata__V1__Step *step =
            fermata__v1__step__unpack(NULL, found->steps.items[i].body.n, found->steps.items[i].body.p);
        if (step == NULL)
            return fm_err_set(err, FM_DATA_LOSS, NULL, "stored step %u is malformed",
                              found->steps.items[i].number);
        struct task_item *task = NULL;
        int rc =
            job_state_apply(state, inputs, step, found->steps.items[i].body.n, NO_STATE_LIMIT, &task, err);
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

int job_fold_stored(const struct store_found_job *found, struct job_state **ret_state,
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
        rc = fold_steps(found, state, &inputs, err);
    if (rc < 0) {
        job_state_free(state);
        task_list_free(inputs);
        return damaged(err);
    }
    *ret_state = state;
    *ret_inputs = inputs;
    return 0;
}

int job_load(struct job *job, const struct store_found_job *found, struct fm_err *err)
{
    Fermata__V1__Job *head = fermata__v1__job__unpack(NULL, found->head.n, found->head.p);
    if (head == NULL)
        return fm_err_set(err, FM_DATA_LOSS, NULL, "the stored record of job %s is malformed", job->text);
    int rc = job_fold_stored(found, &job->state, &job->inputs, err);
    if (rc < 0) {
        fermata__v1__job__free_unpacked(head, NULL);
        fm_err_wrap(err, "job %s", job->text);
        return rc;
    }
    job->head = head;
    count_pauses(job);
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
    if (job->pauses_by_id != NULL) {
        const struct pause_entry *e;
        HASH_FIND(hh, job->pauses_by_id, pause_id, strlen(pause_id), e);
        return e == NULL ? NULL : e->pause;
    }
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

/* Room behind the n of a list, which may be as tight as protobuf-c has made it. In steps of 64: most calls
 * move nothing. */
static Fermata__V1__Pause **one_more(Fermata__V1__Pause **list, size_t n)
{
    return fm_xrealloc(list, ((n | 63) + 1) * sizeof(*list));
}

void job_add_pause(struct job *job, Fermata__V1__Pause *pause)
{
    set_digest(job, pause);
    Fermata__V1__Job *h = job->head;
    h->pauses = one_more(h->pauses, h->n_pauses);
    h->pauses[h->n_pauses++] = pause;
    count_new_pause(job);
    job->head_dirty = true;
}

/* The pause is not among the open ones any more; the message is the caller's. */
static void uncount_pause(struct job *job, const Fermata__V1__Pause *p)
{
    job->pause_bytes -= pause_bytes_of(p);
    --*of_reason(job, p->reason);
    unindex_pause(job, p->pause_id);
    job->head_dirty = true;
}

static void free_list(Fermata__V1__Job *h)
{
    if (h->n_pauses > 0)
        return;
    free(h->pauses);
    h->pauses = NULL;
}

void job_remove_pause(struct job *job, const char *pause_id)
{
    Fermata__V1__Job *h = job->head;
    Fermata__V1__Pause *p = job_find_pause(job, pause_id);
    if (p == NULL)
        return;
    size_t i = 0;
    while (h->pauses[i] != p)
        i++;
    uncount_pause(job, p);
    memmove(&h->pauses[i], &h->pauses[i + 1], (h->n_pauses - i - 1) * sizeof(*h->pauses));
    h->n_pauses--;
    free_list(h);
    fermata__v1__pause__free_unpacked(p, NULL);
}

static bool is_kept(const Fermata__V1__Pause *p)
{
    return pause_is_question(p) || pause_is_limit(p) || p->reason == PAUSE_REASON_OUTCOME_UNKNOWN;
}

void job_close_pauses(struct job *job, enum kept_pauses keep)
{
    Fermata__V1__Job *h = job->head;
    for (size_t i = 0; i < h->n_pauses; i++) {
        Fermata__V1__Pause *p = h->pauses[i];
        uncount_pause(job, p);
        if (keep == KEEP_QUESTIONS && is_kept(p)) {
            h->kept_pauses = one_more(h->kept_pauses, h->n_kept_pauses);
            h->kept_pauses[h->n_kept_pauses++] = p;
        } else {
            fermata__v1__pause__free_unpacked(p, NULL);
        }
    }
    h->n_pauses = 0;
    free_list(h);
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
    return job->n_by_reason[(unsigned)reason < PAUSE_REASONS ? (unsigned)reason : PAUSE_REASONS - 1];
}

size_t job_count_questions(const struct job *job)
{
    size_t n = 0;
    for (unsigned i = 0; i < PAUSE_REASONS - 1; i++) {
        Fermata__V1__Pause p = FERMATA__V1__PAUSE__INIT;
        p.reason = (Fermata__V1__PauseReason)i;
        n += pause_is_question(&p) ? job->n_by_reason[i] : 0;
    }
    return n;
}

bool job_has_work(const struct job *job)
{
    return job_state_pending(job->state) > 0 || job->inputs != NULL;
}

bool job_is_held(const struct job *job)
{
    return job_count_pauses(job, PAUSE_REASON_OPERATOR) > 0 ||
           job_count_pauses(job, PAUSE_REASON_BREAKPOINT) > 0 ||
           job_count_pauses(job, PAUSE_REASON_OUTCOME_UNKNOWN) > 0 || job_is_limited(job);
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

bool job_is_limited(const struct job *job)
{
    if (job_count_pauses(job, PAUSE_REASON_LIMIT) == 0)
        return false;
    for (size_t i = 0; i < job->head->n_pauses; i++)
        if (pause_is_limit(job->head->pauses[i]))
            return true;
    return false;
}

void job_limit_met(struct job *job, const char *limit)
{
    if (job_is_limited(job) || job->head->limit_met[0] != '\0')
        return;
    pb_set_string(&job->head->limit_met, limit);
    job->head->pause_requested = job->head_dirty = true;
}

bool children_due(const struct job *job)
{
    const Fermata__V1__Job *h = job->head;
    if (job_status_final((int)h->status))
        return h->parent_waits || h->n_children > 0;
    if (job_is_limited(job))
        return false;
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
