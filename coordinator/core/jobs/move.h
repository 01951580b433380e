/* How a job moves between its statuses: it gets a host or leaves it, is held, goes on, goes to rest, ends. */
#ifndef FM_CORE_JOBS_MOVE_H
#define FM_CORE_JOBS_MOVE_H

#include "job.h"

struct core;
struct job;
struct unit;

/* A job that has left its host, or never had one, gets the status that follows from what is left to do:
 * PENDING, PAUSED, SLEEPING or COMPLETED. */
enum park {
    PARK_BY_STATE, /* what can run runs */
    PARK_ASKED,    /* its last step asked a question and waits for the answer */
    PARK_ASLEEP    /* its host found nothing that is due */
};

/* Takes the consequences of a job that left its host, or got work: PENDING, and a host if there is one. */
void job_requeue(struct core *c, struct job *job, const char *why);
/* The operator's pause takes effect. */
void job_hold(struct core *c, struct job *job);
void job_park(struct core *c, struct job *job, enum park how);
/* Ends the job. */
void job_end(struct core *c, struct job *job, enum job_event event);
void job_must_move(struct core *c, struct job *job, enum job_event event);
/* Writes a snapshot if one is due. */
void job_checkpoint(struct core *c, struct job *job);
/* A job that waits goes on if nothing holds it and something can run. */
void job_go_on(struct core *c, struct job *job);
/* The same, because a timer is due: what an open question halts stays halted. */
void job_go_on_by_time(struct core *c, struct job *job);
/* PauseJob calls that wait (job->pause_ops) are answered when the unit is on disk. */
void paused_effect(struct unit *u);

#endif
