/* A client that drives jobs as a user would: submits, follows each on a watch, answers its questions; so many
 * at a time. See bench.h. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "certs.h"
#include "clock.h"
#include "fermata/v1/jobs.pb-c.h"
#include "mem.h"
#include "rpc.h"

static struct {
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct bench_load *load;
    uint8_t *submit; /* the encoded request, the same for all */
    size_t n_submit;
    size_t started, running;
} b;

/* One job. */
struct drive {
    char job_id[27];
    char pause_id[64]; /* the question answered last */
    int64_t began_us, answered_us;
    bool paused;
    size_t index;
};

static void start_job(void);

static void call(const char *path, const ProtobufCMessage *m, const struct rpc_stream_events *events,
                 void *user)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = fm_xmalloc(n);
    protobuf_c_message_pack(m, p);
    (void)rpc_stream_request(b.channel, path, 0, (struct fm_bytes){p, n}, events, user);
    free(p);
}

static void nothing(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    (void)s;
    (void)user;
    (void)m;
}

static void release(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    (void)user;
    (void)details;
    if (status->code != FM_OK && status->code != FM_CANCELLED)
        fm_abort(status->msg);
    rpc_stream_unref(s);
}

static void answer(struct drive *d, const char *pause_id)
{
    static const struct rpc_stream_events events = {nothing, release};
    Fermata__V1__ResumeJobRequest r = FERMATA__V1__RESUME_JOB_REQUEST__INIT;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    snprintf(d->pause_id, sizeof(d->pause_id), "%s", pause_id);
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = (char *)(uintptr_t)b.load->answer;
    r.job_id = d->job_id;
    r.pause_id = d->pause_id;
    r.answer = &v;
    d->answered_us = fm_now_mono_us();
    call("/fermata.v1.Jobs/ResumeJob", &r.base, &events, NULL);
}

static void on_paused(struct rpc_stream *s, struct drive *d, const Fermata__V1__Job *job)
{
    if (!d->paused)
        b.load->paused_us[d->index] = fm_now_mono_us() - d->began_us;
    d->paused = true;
    if (b.load->answer == NULL)
        rpc_stream_cancel(s);
    else if (job->n_pauses > 0 && strcmp(job->pauses[0]->pause_id, d->pause_id) != 0)
        answer(d, job->pauses[0]->pause_id);
}

static void on_watch(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    struct drive *d = user;
    Fermata__V1__WatchJobResponse *w = fermata__v1__watch_job_response__unpack(NULL, m.n, m.p);
    if (w == NULL)
        fm_abort("malformed WatchJobResponse");
    if (w->event_case == FERMATA__V1__WATCH_JOB_RESPONSE__EVENT_JOB) {
        switch ((int)w->job->status) {
        case FERMATA__V1__JOB_STATUS__JOB_STATUS_PAUSED:
            on_paused(s, d, w->job);
            break;
        case FERMATA__V1__JOB_STATUS__JOB_STATUS_COMPLETED:
            b.load->completed_us[d->index] =
                fm_now_mono_us() - (d->answered_us != 0 ? d->answered_us : d->began_us);
            b.load->steps += w->job->step_count;
            break;
        case FERMATA__V1__JOB_STATUS__JOB_STATUS_FAILED:
            b.load->failed++;
            fprintf(stderr, "bench: job %s failed: %s\n", d->job_id,
                    w->job->error != NULL ? w->job->error->message : "");
            break;
        default:
            break;
        }
    }
    fermata__v1__watch_job_response__free_unpacked(w, NULL);
}

static void on_watch_end(struct rpc_stream *s, void *user, const struct fm_err *status,
                         struct fm_bytes details)
{
    release(s, user, status, details);
    free(user);
    b.running--;
    if (b.started < b.load->jobs)
        start_job();
    else if (b.running == 0)
        rpc_loop_stop(b.loop);
}

static void on_submitted(struct rpc_stream *s, void *user, struct fm_bytes m)
{
    static const struct rpc_stream_events events = {on_watch, on_watch_end};
    struct drive *d = user;
    (void)s;
    Fermata__V1__SubmitJobResponse *r = fermata__v1__submit_job_response__unpack(NULL, m.n, m.p);
    if (r == NULL)
        fm_abort("malformed SubmitJobResponse");
    snprintf(d->job_id, sizeof(d->job_id), "%s", r->job_id);
    snprintf(b.load->last_job, sizeof(b.load->last_job), "%s", r->job_id);
    fermata__v1__submit_job_response__free_unpacked(r, NULL);
    Fermata__V1__WatchJobRequest w = FERMATA__V1__WATCH_JOB_REQUEST__INIT;
    w.job_id = d->job_id;
    call("/fermata.v1.Jobs/WatchJob", &w.base, &events, d);
}

static void start_job(void)
{
    static const struct rpc_stream_events events = {on_submitted, release};
    struct drive *d = fm_xcalloc(1, sizeof(*d));
    d->index = b.started++;
    b.running++;
    d->began_us = fm_now_mono_us();
    (void)rpc_stream_request(b.channel, "/fermata.v1.Jobs/SubmitJob", 0,
                             (struct fm_bytes){b.submit, b.n_submit}, &events, d);
}

static void start_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < b.load->concurrency && i < b.load->jobs; i++)
        start_job();
}

static void encode_submit(const struct bench_load *l)
{
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    Fermata__V1__SlotRef entry = FERMATA__V1__SLOT_REF__INIT;
    Google__Protobuf__Struct data = GOOGLE__PROTOBUF__STRUCT__INIT;
    Google__Protobuf__Struct__FieldsEntry field = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
                                          *fields[] = {&field};
    Google__Protobuf__Value list = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__ListValue values = GOOGLE__PROTOBUF__LIST_VALUE__INIT;
    Google__Protobuf__Value *v = fm_xcalloc(l->items + 1, sizeof(*v)),
                            **pointers = fm_xcalloc(l->items + 1, sizeof(*pointers));
    for (size_t i = 0; i < l->items; i++) {
        google__protobuf__value__init(&v[i]);
        v[i].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        v[i].number_value = (double)i;
        pointers[i] = &v[i];
    }
    char key[] = "items";
    values.values = pointers;
    values.n_values = l->items;
    list.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    list.list_value = &values;
    field.key = key;
    field.value = &list;
    data.fields = fields;
    data.n_fields = l->items > 0 ? 1 : 0;
    entry.routine = (char *)(uintptr_t)l->routine;
    entry.slot = (char *)(uintptr_t)l->slot;
    r.flow = (char *)(uintptr_t)l->flow;
    r.entry = &entry;
    r.data = &data;
    b.n_submit = fermata__v1__submit_job_request__get_packed_size(&r);
    b.submit = fm_xmalloc(b.n_submit);
    fermata__v1__submit_job_request__pack(&r, b.submit);
    free(v);
    free(pointers);
}

void bench_run(struct cluster *c, struct bench_load *l)
{
    l->paused_us = fm_xcalloc(l->jobs, sizeof(*l->paused_us));
    l->completed_us = fm_xcalloc(l->jobs, sizeof(*l->completed_us));
    b.load = l;
    b.started = b.running = 0;
    encode_submit(l);
    b.loop = rpc_loop_new();
    struct rpc_dialer *dialer = certs_dialer(); /* FERMATA_TEST_TLS=1: the whole bench with TLS */
    b.channel = rpc_channel_new(b.loop, c->address, 16u << 20, dialer);
    double from = bench_now();
    if (!rpc_loop_post(b.loop, start_all, NULL))
        fm_abort("the load could not be started");
    rpc_loop_run(b.loop);
    l->seconds = bench_now() - from;
    rpc_channel_free(b.channel);
    rpc_loop_free(b.loop);
    rpc_dialer_free(dialer);
    free(b.submit);
    if (l->failed > 0)
        fm_abort("jobs failed under load");
}

void bench_load_done(struct bench_load *l)
{
    free(l->paused_us);
    free(l->completed_us);
}

static int compare(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, c = *(const int64_t *)y;
    return (a > c) - (a < c);
}

int64_t bench_quantile(int64_t *list, size_t n, double q)
{
    qsort(list, n, sizeof(*list), compare);
    return list[(size_t)((double)(n - 1) * q)];
}
