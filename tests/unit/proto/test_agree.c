/* Both libraries agree: every message of fermata.v1 is filled with protobuf-c (empty, filled in, boundary
 * values, random ones from a seed), packed, decoded and encoded again with nanopb, and unpacked with
 * protobuf-c: it must be the same. Against protoc, too. A message that is missing here fails the test. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "arena.h"
#include "descriptors.h"
#include "digest.h"
#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "guard.h"
#include "mem.h"
#include "pb_var.h"
#include "pbc.h"
#include "proc.h"
#include "wire_nano.h"

#include "fermata/v1/flows.pb.h"
#include "fermata/v1/host_agent.pb.h"
#include "fermata/v1/hosts.pb.h"
#include "fermata/v1/jobs.pb.h"
#include "fermata/v1/types.pb.h"

static const struct message {
    const ProtobufCMessageDescriptor *pbc;
    const pb_msgdesc_t *nano;
    size_t size;
} messages[] = {
#define M(lower, Nano)                                                                                       \
    {                                                                                                        \
        &fermata__v1__##lower##__descriptor, fermata_v1_##Nano##_fields, sizeof(fermata_v1_##Nano)           \
    }
    M(flow, Flow),
    M(routine, Routine),
    M(event_ref, EventRef),
    M(slot_ref, SlotRef),
    M(connection, Connection),
    M(task, Task),
    M(deferred_event, DeferredEvent),
    M(log_entry, LogEntry),
    M(output, Output),
    M(usage, Usage),
    M(job_state, JobState),
    M(pause, Pause),
    M(escalation, Escalation),
    M(withdrawal, Withdrawal),
    M(closed_pause, ClosedPause),
    M(asked_question, AskedQuestion),
    M(job_error, JobError),
    M(placement, Placement),
    M(raised_limits, RaisedLimits),
    M(job, Job),
    M(emission, Emission),
    M(state_change, StateChange),
    M(step, Step),
    M(put_flow_request, PutFlowRequest),
    M(put_flow_response, PutFlowResponse),
    M(get_flow_request, GetFlowRequest),
    M(get_flow_response, GetFlowResponse),
    M(get_flow_graph_request, GetFlowGraphRequest),
    M(get_flow_graph_response, GetFlowGraphResponse),
    M(list_flows_request, ListFlowsRequest),
    M(flow_summary, FlowSummary),
    M(list_flows_response, ListFlowsResponse),
    M(delete_flow_request, DeleteFlowRequest),
    M(delete_flow_response, DeleteFlowResponse),
    M(submit_job_request, SubmitJobRequest),
    M(submit_job_response, SubmitJobResponse),
    M(get_job_request, GetJobRequest),
    M(get_job_response, GetJobResponse),
    M(list_jobs_request, ListJobsRequest),
    M(list_jobs_response, ListJobsResponse),
    M(get_history_request, GetHistoryRequest),
    M(get_history_response, GetHistoryResponse),
    M(watch_job_request, WatchJobRequest),
    M(watch_job_response, WatchJobResponse),
    M(watch_heartbeat, WatchHeartbeat),
    M(pause_job_request, PauseJobRequest),
    M(pause_job_response, PauseJobResponse),
    M(resume_job_request, ResumeJobRequest),
    M(resume_job_response, ResumeJobResponse),
    M(cancel_job_request, CancelJobRequest),
    M(cancel_job_response, CancelJobResponse),
    M(delete_job_request, DeleteJobRequest),
    M(delete_job_response, DeleteJobResponse),
    M(send_input_request, SendInputRequest),
    M(send_input_response, SendInputResponse),
    M(routine_type, RoutineType),
    M(refused_type, RefusedType),
    M(host, Host),
    M(list_hosts_request, ListHostsRequest),
    M(list_hosts_response, ListHostsResponse),
    M(get_host_request, GetHostRequest),
    M(get_host_response, GetHostResponse),
    M(cordon_host_request, CordonHostRequest),
    M(cordon_host_response, CordonHostResponse),
    M(drain_host_request, DrainHostRequest),
    M(drain_host_response, DrainHostResponse),
    M(certify_death_request, CertifyDeathRequest),
    M(certify_death_response, CertifyDeathResponse),
    M(task_in_hand, TaskInHand),
    M(host_death, HostDeath),
    M(entry, Entry),
    M(assignment, Assignment),
    M(kept, Kept),
    M(new_task, NewTask),
    M(continue, Continue),
    M(trim_job_request, TrimJobRequest),
    M(trim_job_response, TrimJobResponse),
    M(continue_job_request, ContinueJobRequest),
    M(continue_job_response, ContinueJobResponse),
    M(task_loss, TaskLoss),
    M(host_message, HostMessage),
    M(coordinator_message, CoordinatorMessage),
    M(held_job, HeldJob),
    M(hello, Hello),
    M(held_verdict, HeldVerdict),
    M(welcome, Welcome),
    M(assign, Assign),
    M(step_batch, StepBatch),
    M(job_step, JobStep),
    M(step_ack_batch, StepAckBatch),
    M(step_ack, StepAck),
    M(step_reject, StepReject),
    M(interrupt, Interrupt),
    M(deliver, Deliver),
    M(heartbeat, Heartbeat),
    M(release, Release),
    M(goodbye, Goodbye),
    M(retry_policy, RetryPolicy),
    M(policy, Policy),
    M(slot_merge, SlotMerge),
    M(remedy, Remedy),
    M(child_start, ChildStart),
    M(child, Child),
    M(breakpoint, Breakpoint),
    M(intent, Intent),
    M(progress, Progress),
    M(list_pauses_request, ListPausesRequest),
    M(list_pauses_response, ListPausesResponse),
    M(claim_pause_request, ClaimPauseRequest),
    M(claim_pause_response, ClaimPauseResponse),
    M(release_pause_request, ReleasePauseRequest),
    M(release_pause_response, ReleasePauseResponse),
    M(count_jobs_request, CountJobsRequest),
    M(count_jobs_response, CountJobsResponse),
    M(explain_job_request, ExplainJobRequest),
    M(explain_job_response, ExplainJobResponse),
    M(get_usage_request, GetUsageRequest),
    M(get_usage_response, GetUsageResponse),
    M(open_pause, OpenPause),
    M(status_count, StatusCount),
    M(reason, Reason),
    M(host_reason, HostReason),
    M(usage_sum, UsageSum),
    M(fork_job_request, ForkJobRequest),
    M(fork_job_response, ForkJobResponse),
    M(set_breakpoints_request, SetBreakpointsRequest),
    M(set_breakpoints_response, SetBreakpointsResponse),
    M(retry_task_request, RetryTaskRequest),
    M(retry_task_response, RetryTaskResponse),
    M(skip_task_request, SkipTaskRequest),
    M(skip_task_response, SkipTaskResponse),
    M(edit_task_request, EditTaskRequest),
    M(edit_task_response, EditTaskResponse),
    M(patch_state_request, PatchStateRequest),
    M(patch_state_response, PatchStateResponse),
#undef M
};
#define N_MESSAGES (sizeof(messages) / sizeof(messages[0]))

/* ---- filling by reflection ---- */

enum mode { EMPTY, FILLED, BOUNDARY, RANDOM };

struct filling {
    enum mode mode;
    struct fm_rng rng;
    size_t list; /* elements of the outermost lists */
    size_t text; /* bytes of the outermost strings */
};

static uint64_t number(struct filling *f)
{
    if (f->mode == BOUNDARY)
        return UINT64_MAX;
    if (f->mode == RANDOM)
        return fm_rng_next(&f->rng) >> fm_rng_below(&f->rng, 64);
    return 7;
}

static char *text(struct filling *f, int depth)
{
    static const char *const pieces[] = {"a", "Kyoto", "\xc3\xa9", "\xf0\x9f\x8e\xb5", " ", "\"", "\\", "\n"};
    size_t want = f->mode == EMPTY    ? 1
                  : f->mode == RANDOM ? fm_rng_below(&f->rng, 12)
                  : depth == 0        ? f->text
                                      : 3;
    char *s = fm_xmalloc(want * 5 + 1), *at = s;
    for (size_t i = 0; i < want; i++)
        at = stpcpy(at, pieces[f->mode == RANDOM ? fm_rng_below(&f->rng, 8) : i % 8]);
    *at = '\0';
    return s;
}

static ProtobufCMessage *make(const ProtobufCMessageDescriptor *d, struct filling *f, int depth);

static void put_scalar(const ProtobufCFieldDescriptor *fd, void *at, struct filling *f, int depth)
{
    uint64_t n = number(f);
    double real = f->mode == BOUNDARY ? 1.7976931348623157e308 : (double)(n % 100000) / 8;
    switch (fd->type) {
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = (protobuf_c_boolean)(n & 1);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)at = real;
        return;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)at = text(f, depth);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)at = (ProtobufCBinaryData){32, fm_xcalloc(1, 32)};
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)at = make(fd->descriptor, f, depth + 1);
        return;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumDescriptor *e = fd->descriptor;
        *(int *)at = e->values[n % e->n_values].value;
        return;
    }
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
        *(uint64_t *)at = n;
        return;
    default:
        *(uint32_t *)at = (uint32_t)n;
        return;
    }
}

static size_t element_size(const ProtobufCFieldDescriptor *fd)
{
    return fd->type == PROTOBUF_C_TYPE_ENUM                                            ? sizeof(int)
           : fd->type == PROTOBUF_C_TYPE_STRING || fd->type == PROTOBUF_C_TYPE_MESSAGE ? sizeof(void *)
                                                                                       : 8;
}

static void put_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *fd, struct filling *f, int depth)
{
    size_t n = f->mode == RANDOM ? fm_rng_below(&f->rng, 4)
               : depth == 0      ? f->list
                                 : 2,
           size = element_size(fd);
    if (n == 0)
        return;
    char *items = fm_xcalloc(n, size);
    enum mode mode = f->mode;
    for (size_t i = 0; i < n; i++) {
        f->mode = n > 2 && mode != RANDOM && i + 1 < n
                      ? EMPTY
                      : mode; /* a long list of small things, and one that is not */
        put_scalar(fd, items + i * size, f, depth);
    }
    f->mode = mode;
    *(size_t *)(void *)((char *)m + fd->quantifier_offset) = n;
    *(void **)(void *)((char *)m + fd->offset) = items;
}

/* Which field of a oneof is set: the deeper, the plainer. */
static bool wants(const ProtobufCFieldDescriptor *fd, struct filling *f, int depth)
{
    if (fd->type == PROTOBUF_C_TYPE_MESSAGE && depth > 6)
        return false;
    return f->mode != RANDOM || fm_rng_below(&f->rng, 3) > 0;
}

static ProtobufCMessage *make(const ProtobufCMessageDescriptor *d, struct filling *f, int depth)
{
    ProtobufCMessage *m = fm_xmalloc(d->sizeof_message);
    d->message_init(m);
    if (f->mode == EMPTY)
        return m;
    unsigned chosen =
        f->mode == RANDOM ? (unsigned)fm_rng_below(&f->rng, d->n_fields + 1) : (unsigned)(depth * 3 + 2);
    bool map_entry = d->n_fields == 2 && strstr(d->name, "Entry") != NULL;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *fd = &d->fields[i];
        void *at = (char *)m + fd->offset;
        if ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            uint32_t *which = (uint32_t *)(void *)((char *)m + fd->quantifier_offset);
            if (*which != 0 || (i < chosen % d->n_fields && i + 1 < d->n_fields) || !wants(fd, f, depth))
                continue;
            *which = fd->id;
            put_scalar(fd, at, f, depth);
        } else if (fd->label == PROTOBUF_C_LABEL_REPEATED) {
            if (depth <= 6)
                put_list(m, fd, f, depth);
        } else if (map_entry || wants(fd, f, depth)) {
            if (fd->type != PROTOBUF_C_TYPE_MESSAGE || depth <= 7)
                put_scalar(fd, at, f, depth);
        }
    }
    return m;
}

/* ---- comparing ---- */

static struct fm_buf pack(const ProtobufCMessage *m)
{
    struct fm_buf b = {0};
    pb_pack(m, &b);
    return b;
}

static struct fm_buf through_nanopb(const struct message *t, const struct fm_buf *in)
{
    struct fm_buf out = {0};
    struct fm_err err = {0};
    struct fm_arena arena;
    fm_arena_init(&arena, 64u << 20);
    void *msg = fm_xcalloc(1, t->size);
    if (nano_decode(t->nano, t->pbc->name, msg, (struct fm_bytes){in->p, in->n}, 64u << 20, &arena, &err) < 0)
        fail_msg("nanopb does not decode %s: %s", t->pbc->name, err.msg);
    if (pb_var_encode(t->nano, msg, &out, &err) < 0)
        fail_msg("nanopb does not encode %s: %s", t->pbc->name, err.msg);
    free(msg);
    fm_arena_done(&arena);
    return out;
}

static struct fm_buf through_pbc(const ProtobufCMessageDescriptor *d, const struct fm_buf *in)
{
    struct fm_arena arena;
    struct fm_err err = {0};
    ProtobufCMessage *m;
    fm_arena_init(&arena, (size_t)1 << 30);
    if (pbc_decode(d, (struct fm_bytes){in->p, in->n}, 64u << 20, &arena, &m, &err) < 0)
        fail_msg("protobuf-c does not decode %s: %s", d->name, err.msg);
    canonical_sort(m);
    struct fm_buf b = pack(m);
    fm_arena_done(&arena);
    return b;
}

static void same(const char *name, const struct fm_buf *a, const struct fm_buf *b)
{
    if (a->n != b->n || (a->n > 0 && memcmp(a->p, b->p, a->n) != 0))
        fail_msg("%s: the libraries disagree (%zu and %zu bytes)", name, a->n, b->n);
}

static void round_trip(const struct message *t, struct filling f)
{
    ProtobufCMessage *m = make(t->pbc, &f, 0);
    canonical_sort(m);
    struct fm_buf first = pack(m), nano = through_nanopb(t, &first), back = through_pbc(t->pbc, &nano);
    same(t->pbc->name, &first, &back);
    fm_buf_done(&first);
    fm_buf_done(&nano);
    fm_buf_done(&back);
    protobuf_c_message_free_unpacked(m, NULL);
}

/* ---- tests ---- */

static void every_message_of_the_protos_is_tested(void **state)
{
    (void)state;
    Google__Protobuf__FileDescriptorSet *set =
        google__protobuf__file_descriptor_set__unpack(NULL, fm_descriptor_set_size, fm_descriptor_set);
    assert_non_null(set);
    size_t found = 0;
    for (size_t i = 0; i < set->n_file; i++) {
        if (strcmp(set->file[i]->package == NULL ? "" : set->file[i]->package, "fermata.v1") != 0)
            continue;
        for (size_t k = 0; k < set->file[i]->n_message_type; k++) {
            bool known = false;
            for (size_t t = 0; t < N_MESSAGES && !known; t++)
                known = strcmp(messages[t].pbc->short_name, set->file[i]->message_type[k]->name) == 0;
            if (!known)
                fail_msg("message %s is not tested", set->file[i]->message_type[k]->name);
            found++;
        }
    }
    assert_int_equal(found, N_MESSAGES);
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
}

static void empty_and_filled_in_messages_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MESSAGES; i++) {
        round_trip(&messages[i], (struct filling){.mode = EMPTY});
        round_trip(&messages[i], (struct filling){.mode = FILLED, .list = 2, .text = 5});
    }
}

static void boundary_values_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MESSAGES; i++) {
        round_trip(&messages[i], (struct filling){.mode = BOUNDARY, .list = 1, .text = 0});
        round_trip(&messages[i], (struct filling){.mode = BOUNDARY, .list = 2, .text = 70000});
        round_trip(&messages[i], (struct filling){.mode = FILLED, .list = 70000, .text = 2});
    }
}

static void random_messages_are_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        for (size_t i = 0; i < N_MESSAGES; i++) {
            struct filling f = {.mode = RANDOM};
            fm_rng_init(&f.rng, seed * 1000 + i);
            round_trip(&messages[i], f);
        }
    }
}

static void drop_unknown(ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        free(m->unknown_fields[i].data);
    free(m->unknown_fields);
    m->n_unknown_fields = 0;
    m->unknown_fields = NULL;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *fd = &m->descriptor->fields[i];
        const uint32_t *which = (const uint32_t *)(void *)((char *)m + fd->quantifier_offset);
        void *at = (char *)m + fd->offset;
        if (fd->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (fd->label == PROTOBUF_C_LABEL_REPEATED) {
            for (size_t k = 0; k < *(size_t *)(void *)((char *)m + fd->quantifier_offset); k++)
                drop_unknown((*(ProtobufCMessage ***)at)[k]);
        } else if (((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 || *which == fd->id) &&
                   *(ProtobufCMessage **)at != NULL) {
            drop_unknown(*(ProtobufCMessage **)at);
        }
    }
}

/* What protobuf-c reads, without fields that it does not know. */
static struct fm_buf known_part(const ProtobufCMessageDescriptor *d, struct fm_bytes in)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, in.n, in.n > 0 ? in.p : (const uint8_t *)"");
    if (m == NULL)
        fail_msg("protobuf-c does not decode %s", d->name);
    drop_unknown(m);
    struct fm_buf b = pack(m);
    protobuf_c_message_free_unpacked(m, NULL);
    return b;
}

/* Bytes that passed both guards: both libraries must read the same from them. nanopb refuses numbers that do
 * not fit their field, where protobuf-c cuts them; that is no harm, as neither library writes such. Returns
 * whether they could be compared. */
static bool same_reading(const struct message *t, struct fm_bytes in)
{
    struct fm_arena arena;
    struct fm_err err = {0};
    struct fm_buf theirs = {0};
    void *msg = fm_xcalloc(1, t->size);
    fm_arena_init(&arena, 64u << 20);
    int rc = pb_var_decode(t->nano, msg, in, &arena, &err);
    if (rc < 0 && strstr(err.msg, "too large") == NULL && strstr(err.msg, "overflow") == NULL)
        fail_msg("nanopb does not decode %s: %s", t->pbc->name, err.msg);
    if (rc == 0) {
        assert_int_equal(pb_var_encode(t->nano, msg, &theirs, &err), 0);
        struct fm_buf ours = known_part(t->pbc, in),
                      back = known_part(t->pbc, (struct fm_bytes){theirs.p, theirs.n});
        same(t->pbc->name, &ours, &back);
        fm_buf_done(&ours);
        fm_buf_done(&back);
    }
    fm_buf_done(&theirs);
    fm_arena_done(&arena);
    free(msg);
    return rc == 0;
}

/* Bytes with a few of them changed: both guards must give the same verdict, and what passes is read alike. */
static void damaged_messages_get_the_same_verdict_and_are_read_alike(void **state)
{
    (void)state;
    struct fm_rng rng;
    int compared = 0, refused = 0;
    fm_rng_init(&rng, 42);
    for (int round = 0; round < 5000; round++) {
        const struct message *t = &messages[fm_rng_below(&rng, N_MESSAGES)];
        struct filling f = {.mode = RANDOM};
        fm_rng_init(&f.rng, fm_rng_next(&rng));
        ProtobufCMessage *m = make(t->pbc, &f, 0);
        struct fm_buf b = pack(m);
        for (uint64_t k = fm_rng_below(&rng, 4); k > 0 && b.n > 0; k--)
            b.p[fm_rng_below(&rng, b.n)] = (uint8_t)fm_rng_next(&rng);
        struct wire_limits limits = wire_limits_for(1u << 20);
        struct fm_bytes bytes = {b.p, b.n};
        struct fm_err err = {0}, err2 = {0};
        int pbc = wire_check(wire_msg_of(t->pbc), bytes, &limits, &err),
            nano = wire_check(wire_msg_of_nano(t->nano, "m"), bytes, &limits, &err2);
        if (pbc != nano)
            fail_msg("%s: one guard says \"%s\", the other \"%s\"", t->pbc->name, err.msg, err2.msg);
        if (pbc == 0)
            compared += same_reading(t, bytes);
        else
            refused++;
        fm_buf_done(&b);
        protobuf_c_message_free_unpacked(m, NULL);
    }
    assert_true(compared > 1000 && refused > 1000); /* or the damage is not of the right size */
}

static void write_file(const char *path, const struct fm_buf *b)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->p, 1, b->n, f), b->n);
    fclose(f);
}

static struct fm_buf read_file(const char *path)
{
    struct fm_buf b = {0};
    char piece[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        fm_buf_append(&b, piece, n);
    fclose(f);
    return b;
}

/* A directory for files that go to and come from protoc. */
struct exchange {
    char dir[32];
    char in[64], out[64];
};

static void exchange_open(struct exchange *x)
{
    strcpy(x->dir, "/tmp/fermata-agree-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    snprintf(x->in, sizeof(x->in), "%s/in", x->dir);
    snprintf(x->out, sizeof(x->out), "%s/out", x->dir);
}

static void exchange_close(struct exchange *x)
{
    (void)remove(x->in);
    (void)remove(x->out);
    assert_int_equal(remove(x->dir), 0);
}

/* Runs bytes or text through "protoc --encode=NAME" and so on, `then` may follow after a pipe. */
static struct fm_buf protoc(struct exchange *x, const struct fm_buf *input, const char *name,
                            const char *first, const char *then)
{
    char command[1024], rest[128] = "";
    if (then != NULL)
        snprintf(rest, sizeof(rest), "| $P --%s=%s $F", then, name);
    snprintf(
        command, sizeof(command),
        "set -o pipefail; cd %s/proto; P='protoc -I . -I %s'; F=$(ls fermata/v1/*.proto); $P --%s=%s $F < "
        "%s %s > %s",
        getenv("SOURCE_DIR"), WELL_KNOWN_PROTOS, first, name, x->in, rest, x->out);
    const char *argv[] = {"bash", "-c", command, NULL};
    char *o, *e;
    write_file(x->in, input);
    if (proc_run(argv, NULL, &o, &e) != 0)
        fail_msg("protoc refuses %s: %s", name, e);
    free(o);
    free(e);
    return read_file(x->out);
}

/* protoc reads what protobuf-c wrote, prints it as text, and encodes the text again: both libraries must read
 * the same from that. */
static void protoc_agrees(void **state)
{
    (void)state;
    struct exchange x;
    exchange_open(&x);
    for (size_t i = 0; i < N_MESSAGES; i++) {
        const struct message *t = &messages[i];
        struct filling f = {.mode = FILLED, .list = 2, .text = 5};
        ProtobufCMessage *m = make(t->pbc, &f, 0);
        canonical_sort(m);
        struct fm_buf first = pack(m), theirs = protoc(&x, &first, t->pbc->name, "decode", "encode"),
                      pbc = through_pbc(t->pbc, &theirs), nano = through_nanopb(t, &theirs),
                      back = through_pbc(t->pbc, &nano);
        same(t->pbc->name, &first, &pbc);
        same(t->pbc->name, &first, &back);
        fm_buf_done(&first);
        fm_buf_done(&theirs);
        fm_buf_done(&pbc);
        fm_buf_done(&nano);
        fm_buf_done(&back);
        protobuf_c_message_free_unpacked(m, NULL);
    }
    exchange_close(&x);
}

static const struct message *find_message(const char *short_name)
{
    for (size_t i = 0; i < N_MESSAGES; i++)
        if (strcmp(messages[i].pbc->short_name, short_name) == 0)
            return &messages[i];
    fail_msg("no message %s", short_name);
    return NULL;
}

/* Text in protoc's own layout goes through protoc, through each library, and back through protoc. */
static void messages_written_by_hand_survive_both_libraries_letter_by_letter(void **state)
{
    (void)state;
    static const char *const names[] = {"Step", "HostMessage", "CoordinatorMessage"};
    struct exchange x;
    exchange_open(&x);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct message *t = find_message(names[i]);
        char path[512];
        snprintf(path, sizeof(path), "%s/tests/unit/proto/golden/%s.txtpb", getenv("SOURCE_DIR"), names[i]);
        struct fm_buf golden = read_file(path), bytes = protoc(&x, &golden, t->pbc->name, "encode", NULL),
                      nano = through_nanopb(t, &bytes), pbc = through_pbc(t->pbc, &bytes),
                      nano_text = protoc(&x, &nano, t->pbc->name, "decode", NULL),
                      pbc_text = protoc(&x, &pbc, t->pbc->name, "decode", NULL);
        assert_true(golden.n > 0);
        same(names[i], &golden, &nano_text);
        same(names[i], &golden, &pbc_text);
        fm_buf_done(&golden);
        fm_buf_done(&bytes);
        fm_buf_done(&nano);
        fm_buf_done(&pbc);
        fm_buf_done(&nano_text);
        fm_buf_done(&pbc_text);
    }
    exchange_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_of_the_protos_is_tested),
        cmocka_unit_test(empty_and_filled_in_messages_are_the_same),
        cmocka_unit_test(boundary_values_are_the_same),
        cmocka_unit_test(random_messages_are_the_same),
        cmocka_unit_test(damaged_messages_get_the_same_verdict_and_are_read_alike),
        cmocka_unit_test(protoc_agrees),
        cmocka_unit_test(messages_written_by_hand_survive_both_libraries_letter_by_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
