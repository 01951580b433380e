/* What must be true of what the coordinator says to hosts: it rests on nothing that could still vanish. See
 * sim.h. */
#include "sim_said.h"

#include <string.h>

#include "fermata/v1/host_agent.pb-c.h"

static void check_acks(const Fermata__V1__StepAckBatch *b)
{
    for (size_t i = 0; i < b->n_acks; i++)
        if (sim_store_last_step(w.store, b->acks[i]->job_id) < b->acks[i]->number)
            wrong("step %u of job %s is acknowledged and not on disk", b->acks[i]->number,
                  b->acks[i]->job_id);
}

static void check_verdicts(const Fermata__V1__Welcome *m)
{
    for (size_t i = 0; i < m->n_held_jobs; i++)
        if (sim_store_last_step(w.store, m->held_jobs[i]->job_id) < m->held_jobs[i]->applied_step)
            wrong("step %u of job %s is said to be applied and is not on disk", m->held_jobs[i]->applied_step,
                  m->held_jobs[i]->job_id);
}

static void check_inputs(const char *job_id, Fermata__V1__Task *const *inputs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (inputs[i]->input_number > sim_store_last_input(w.store, job_id))
            wrong("input %u of job %s is given to a host and not on disk", inputs[i]->input_number, job_id);
}

static void check_assign(const struct conn *k, const Fermata__V1__Assign *a)
{
    const char *host_id = k != NULL ? w.hosts[k->host].id : "";
    Fermata__V1__Job *h = sim_store_head(w.store, a->job_id);
    if (h == NULL || h->epoch < a->epoch)
        wrong("job %s is assigned under epoch %u, which is not on disk", a->job_id, a->epoch);
    else if (h->epoch == a->epoch && k != NULL && strcmp(h->last_host, host_id) != 0)
        wrong("job %s is assigned to %s, on disk to %s", a->job_id, host_id, h->last_host);
    if (k != NULL && w.hosts[k->host].drain_acked && w.hosts[k->host].drain_empty)
        wrong("job %s is assigned to %s, which was drained and empty", a->job_id, host_id);
    check_inputs(a->job_id, a->inputs, a->n_inputs);
    if (a->state != NULL && a->state->step_number > sim_store_last_step(w.store, a->job_id))
        wrong("job %s is assigned with step %u, which is not on disk", a->job_id, a->state->step_number);
    if (a->state != NULL && a->state->inputs_through > sim_store_last_input(w.store, a->job_id))
        wrong("job %s is assigned with input %u, which is not on disk", a->job_id, a->state->inputs_through);
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
}

/* A handler may begin: the disk knows that it will. */
static void check_intent(const Fermata__V1__Intent *m)
{
    Fermata__V1__Job *h = sim_store_head(w.store, m->job_id);
    bool known = false;
    for (size_t i = 0; h != NULL && i < h->n_intents; i++)
        known = known || strcmp(h->intents[i], m->task_id) == 0;
    if (!known)
        wrong("task %s of job %s may begin, and the disk does not know", m->task_id, m->job_id);
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
}

void check_said(struct conn *k, struct fm_bytes message)
{
    Fermata__V1__CoordinatorMessage *m = fermata__v1__coordinator_message__unpack(NULL, message.n, message.p);
    if (m == NULL) {
        wrong("the coordinator sent something malformed");
        return;
    }
    switch ((int)m->body_case) {
    case FERMATA__V1__COORDINATOR_MESSAGE__BODY_WELCOME:
        check_verdicts(m->welcome);
        if (k != NULL)
            k->welcomed_at = w.now;
        break;
    case FERMATA__V1__COORDINATOR_MESSAGE__BODY_STEP_ACKS:
        check_acks(m->step_acks);
        break;
    case FERMATA__V1__COORDINATOR_MESSAGE__BODY_ASSIGN:
        check_assign(k, m->assign);
        break;
    case FERMATA__V1__COORDINATOR_MESSAGE__BODY_DELIVER:
        check_inputs(m->deliver->job_id, m->deliver->inputs, m->deliver->n_inputs);
        break;
    case FERMATA__V1__COORDINATOR_MESSAGE__BODY_INTENT_ACK:
        check_intent(m->intent_ack);
        break;
    default:
        break;
    }
    fermata__v1__coordinator_message__free_unpacked(m, NULL);
}
