/* What hosts are told, at once or when a unit is on disk. */
#ifndef FM_CORE_HOSTS_SEND_H
#define FM_CORE_HOSTS_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

struct core;
struct host;
struct job;
struct unit;

/* Sends a message as this field (FIELD_COORDINATOR_MESSAGE_…): encoded, or to be encoded. */
void host_send_message(struct core *c, struct host *h, uint32_t field, const void *message);
void host_send(struct core *c, struct host *h, uint32_t field, struct fm_bytes body);
void host_send_inputs(struct core *c, struct job *job);
void host_send_breakpoints(struct core *c, struct job *job);
void host_send_interrupt(struct core *c, uint64_t conn, struct job *job, uint32_t epoch, int kind);
/* Whether the job is still with the host after the step that is acknowledged. */
enum job_stay { JOB_STAYS, JOB_HAS_LEFT };
void host_queue_ack(struct host *h, const struct job *job, uint32_t epoch, uint32_t number,
                    enum job_stay stay);
void host_flush(struct core *c, struct host *h);
/* The host has everything up to this message: sends what has waited. */
void pace_acked(struct core *c, struct host *h, uint64_t seq);

/* ---- what hosts hear when a unit is on disk ---- */

/* Inputs of the job up to this number are. */
void inputs_effect(struct unit *u, uint32_t number);
/* A step is; If the unit fails, the host's stream ends, and with
 * the next one both sides say what they have. */
void ack_effect(struct unit *u, uint64_t conn, uint32_t epoch, uint32_t number, enum job_stay stay);
/* The assignment under this epoch is. */
void assign_effect(struct unit *u, uint32_t epoch);
/* The job's present host is to stop it (InterruptKind); as for ack_effect if the unit fails. */
void interrupt_effect(struct unit *u, const struct job *job, int kind);
/* The intent to run a task is. */
void intent_effect(struct unit *u, uint32_t epoch, const char *task_id);
/* The unit (may be NULL) says so of this task no more. */
void intent_forget(struct unit *u, const char *task_id);

#endif
