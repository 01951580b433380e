/* What is said to a coordinator. See hsession.h. */
#include "hsession.h"

#include <string.h>

#include "agreed.h"
#include "engine_state.h"
#include "fermata/v1/host_agent.pb.h"
#include "log.h"
#include "mem.h"
#include "wire_nano.h"

#define BATCH_BYTES (1024u * 1024)
#define MAX_PROGRESS_MESSAGES 100 /* of all tasks in PROGRESS_MS */
/* A step within these passes the coordinator's guard (wire_limits_for) inside a HostMessage; one
 * StepBatch may carry several. */
#define MAX_STEP_DEPTH 96
#define MAX_STEP_ELEMENTS 1500000

void session_say(struct session *s, uint32_t field, const pb_msgdesc_t *desc, const void *body)
{
    fm_auto(fm_buf) b = {0};
    pb_var_pack(desc, body, &b);
    session_send(s, field, &b);
}

void session_send(struct session *s, uint32_t field, const struct fm_buf *body)
{
    struct engine *e = s->engine;
    fm_auto(fm_buf) b = {0};
    fm_buf_reserve(&b, body->n + 32);
    fm_buf_put_tag_varint(&b, fermata_v1_HostMessage_seq_tag, ++s->seq_out);
    fm_buf_put_tag_varint(&b, fermata_v1_HostMessage_ack_tag, s->seq_in);
    s->unsaid_bytes = 0;
    if (s->awaited_seq == 0) {
        s->awaited_seq = s->seq_out;
        s->awaited_sent_ms = e->now_ms;
    }
    fm_buf_put_len_delim(&b, field, body->p, body->n);
    e->io.send(e->io.arg, fm_buf_bytes(&b));
}

void session_close(struct session *s, const char *why)
{
    if (s->closing)
        return;
    s->closing = true;
    s->welcomed = false;
    FM_LOG(WARN, HOST, "ending the stream to the coordinator", FM_STR("why", why));
    s->engine->io.close(s->engine->io.arg, why);
}

/* ---- steps ---- */

void session_flush(struct session *s)
{
    if (s->batch.n == 0)
        return;
    if (s->welcomed)
        session_send(s, fermata_v1_HostMessage_steps_tag, &s->batch);
    /* without a session they stay in their jobs' lists and are sent after the next Welcome */
    fm_buf_reset(&s->batch);
}

void session_add_step(struct session *s, const char *job_id, struct fm_bytes step)
{
    if (!s->welcomed)
        return;
    fm_auto(fm_buf) b = {0};
    fm_buf_put_string(&b, fermata_v1_JobStep_job_id_tag, job_id);
    fm_buf_put_len_delim(&b, fermata_v1_JobStep_step_tag, step.p, step.n);
    if (s->batch.n > 0 && s->batch.n + b.n > BATCH_BYTES)
        session_flush(s);
    fm_buf_put_len_delim(&s->batch, fermata_v1_StepBatch_steps_tag, b.p, b.n);
}

int session_check_step(const struct session *s, const struct fm_buf *step, struct fm_err *err)
{
    const struct wire_limits limits = {s->max_step_bytes, MAX_STEP_DEPTH, MAX_STEP_ELEMENTS};
    return wire_check(wire_msg_of_nano(fermata_v1_Step_fields, "Step"), fm_buf_bytes(step), &limits, err);
}

/* ---- tasks at work ---- */

uint64_t session_intent(struct session *s, const char *job_id, uint32_t epoch, const char *task_id)
{
    if (!s->welcomed)
        return 0;
    session_flush(s);
    fermata_v1_Intent m;
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_str(job_id);
    m.epoch = epoch;
    m.task_id = pb_var_str(task_id);
    session_say(s, fermata_v1_HostMessage_intent_tag, fermata_v1_Intent_fields, &m);
    return s->seq_out;
}

/* The end of the text that is short enough, from the beginning of a character. */
static const char *tail_of(const char *text)
{
    size_t n = strlen(text);
    if (n <= FM_MAX_PROGRESS_BYTES)
        return text;
    text += n - FM_MAX_PROGRESS_BYTES;
    while (((uint8_t)*text & 0xc0) == 0x80)
        text++;
    return text;
}

bool session_progress(struct session *s, const struct progress *p)
{
    int64_t now_ms = s->engine->now_ms;
    const char *tail = tail_of(p->text);
    if (!s->welcomed || !wire_text_ok((const uint8_t *)tail, strlen(tail)))
        return false;
    if (now_ms - s->progress_since_ms >= PROGRESS_MS) {
        s->progress_since_ms = now_ms;
        s->progress_sent = 0;
    }
    if (s->progress_sent >= MAX_PROGRESS_MESSAGES)
        return false;
    s->progress_sent++;
    session_flush(s);
    fermata_v1_Progress m;
    memset(&m, 0, sizeof(m));
    m.job_id = pb_var_str(p->job_id);
    m.epoch = p->epoch;
    m.task_id = pb_var_str(p->task_id);
    m.routine = pb_var_str(p->routine);
    m.text = pb_var_str(tail);
    m.offset = (uint64_t)(tail - p->text);
    session_say(s, fermata_v1_HostMessage_progress_tag, fermata_v1_Progress_fields, &m);
    return true;
}
