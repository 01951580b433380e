/* The copies of a job: when a host hears that its steps are on disk, the data that it goes on with (shared
 * data and the routines' states) must be what the journal on disk folds to. */
#include "sim_copies.h"

#include <string.h>

#include "engine_state.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "hjob.h"
#include "job.h"
#include "job_state.h"

/* Whether the host's data are those of the fold, each value with the same bytes. */
static bool same(const struct kv *host, const Google__Protobuf__Struct *folded)
{
    struct kv all = {0};
    bool good = true;
    for (size_t i = 0; folded != NULL && i < folded->n_fields && good; i++) {
        const char *key = folded->fields[i]->key;
        struct fm_buf want = {0}, got = {0};
        struct kv_value v;
        fm_buf_reserve(&want, protobuf_c_message_get_packed_size(&folded->fields[i]->value->base) + 1);
        want.n = protobuf_c_message_pack(&folded->fields[i]->value->base, want.p);
        kv_set(&all, key, strlen(key), (struct fm_bytes){want.p, want.n});
        good = kv_get(host, key, strlen(key), &v);
        if (good)
            kv_put_value(v, &got);
        good = good && got.n == want.n && (got.n == 0 || memcmp(got.p, want.p, got.n) == 0);
        fm_buf_done(&want);
        fm_buf_done(&got);
    }
    good = good && kv_struct_size(&all) == kv_struct_size(host); /* and it has no others */
    kv_done(&all);
    return good;
}

static const struct kv *states_of(const struct hjob *job, const char *routine)
{
    static const struct kv none;
    struct routine_state *r;
    HASH_FIND_STR(job->routines, routine, r);
    return r == NULL ? &none : &r->kv;
}

static void compare(const struct hjob *job, const struct job_state *folded)
{
    struct fm_buf b = {0};
    job_state_encode(folded, NULL, &b);
    Fermata__V1__JobState *s = fermata__v1__job_state__unpack(NULL, b.n, b.p);
    size_t with_data = 0, at_host = 0;
    if (s == NULL || !same(&job->shared, s->shared_data))
        wrong("after step %u of job %s its host has other shared data than the journal folds to",
              job->last_step, job->id);
    for (size_t i = 0; s != NULL && i < s->n_routine_states; i++) {
        const Google__Protobuf__Struct *state = s->routine_states[i]->value;
        with_data += state != NULL && state->n_fields > 0;
        if (!same(states_of(job, s->routine_states[i]->key), state))
            wrong(
                "after step %u of job %s its host has another state of routine %s than the journal folds to",
                job->last_step, job->id, s->routine_states[i]->key);
    }
    for (const struct routine_state *r = job->routines; r != NULL; r = r->hh.next)
        at_host += kv_struct_size(&r->kv) > 0;
    if (at_host != with_data)
        wrong("after step %u of job %s its host has states of %zu routines, the journal of %zu",
              job->last_step, job->id, at_host, with_data);
    if (s != NULL)
        fermata__v1__job_state__free_unpacked(s, NULL);
    fm_buf_done(&b);
}

static void check_copy(const struct engine *e, const char *job_id)
{
    struct hjob *job;
    struct fm_id id;
    HASH_FIND(hh, e->jobs, job_id, strlen(job_id), job);
    if (job == NULL || job->flow == NULL || job->n_sent > 0 || fm_id_parse(job_id, &id) < 0)
        return; /* it has left, or has made steps that are not on disk */
    struct store_query q = store_read_job(&id, STORE_WHOLE);
    struct store_done *d = sim_store_query(w.store, &q);
    struct job_state *state = NULL;
    struct task_item *inputs = NULL;
    struct fm_err err = {0};
    if (d->status == STORE_OK && job_fold_stored(&d->job, &state, &inputs, &err) == 0 &&
        job_state_step(state) == job->last_step)
        compare(job, state);
    if (state != NULL)
        job_state_free(state);
    task_list_free(inputs);
    fm_err_done(&err);
    store_done_free(d);
}

void check_copies(size_t host, struct fm_bytes message)
{
    Fermata__V1__CoordinatorMessage *m = fermata__v1__coordinator_message__unpack(NULL, message.n, message.p);
    bool acks = m != NULL && m->body_case == FERMATA__V1__COORDINATOR_MESSAGE__BODY_STEP_ACKS;
    for (size_t i = 0; acks && i < m->step_acks->n_acks; i++)
        check_copy(w.hosts[host].engine, m->step_acks->acks[i]->job_id);
    if (m != NULL)
        fermata__v1__coordinator_message__free_unpacked(m, NULL);
}
