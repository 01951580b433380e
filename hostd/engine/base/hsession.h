/* A session with one coordinator: what is said on its stream, numbered and in order. What is heard
 * is dealt with in protocol.c. */
#ifndef FM_ENGINE_HSESSION_H
#define FM_ENGINE_HSESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "pb_var.h"

#define PROGRESS_MS 250 /* between two messages of Progress of a task */

struct engine;

struct session {
    struct engine *engine;
    bool connected, welcomed, goodbye_sent, closing;
    bool drain_due; /* the host drains, and this coordinator has just welcomed it: see engine_take */
    uint64_t seq_out, seq_in;
    uint32_t lease_ms, heartbeat_ms, max_step_bytes;
    bool has_lease;
    bool takes_drop;         /* of lists in the state, what the coordinator's Welcome says */
    int64_t lease_from_ms;   /* when the last message was sent of which it is known that it arrived */
    uint64_t awaited_seq;    /* a message of which that is awaited; 0: none */
    int64_t awaited_sent_ms; /* when that one was sent */
    size_t unsaid_bytes;     /* came since the last message to the coordinator */
    int64_t next_heartbeat_ms;
    int64_t progress_since_ms; /* since when progress_sent messages of Progress were sent */
    unsigned int progress_sent;
    struct fm_buf batch; /* of the steps of this turn: encoded fields of a StepBatch */
};

/* What the handler of a task has so far. */
struct progress {
    const char *job_id;
    uint32_t epoch;
    const char *task_id, *routine;
    const char *text;
};

/* Sends a HostMessage with this body, whose field has the number `field`. */
void session_send(struct session *s, uint32_t field, const struct fm_buf *body);
/* The same with a body that is a message of this type. */
void session_say(struct session *s, uint32_t field, const pb_msgdesc_t *desc, const void *body);
/* Ends the stream. */
void session_close(struct session *s, const char *why);
/* Sends the steps that were gathered. Everything else that rests on them must come behind them. */
void session_flush(struct session *s);
/* Adds an encoded step of a job to those of this turn. */
void session_add_step(struct session *s, const char *job_id, struct fm_bytes step);
/* Whether the coordinator takes a step (encoded): its guard's limits and its limit of size. It
 * would end the stream over a step that it refuses, and get it again after the next Welcome, for
 * ever: so the same limits are applied here, where only the step fails. Returns 0, or the guard's
 * code with err. */
int session_check_step(const struct session *s, const struct fm_buf *step, struct fm_err *err) FM_MUST_CHECK;
/* Says that a task is about to be handled, so that its loss is noticed. Returns the number of the message; 0:
 * it is said after the next Welcome. */
uint64_t session_intent(struct session *s, const char *job_id, uint32_t epoch, const char *task_id);
/* Shows what a handler has so far; false when it is left out because there is too much of it. */
bool session_progress(struct session *s, const struct progress *p);

#endif
