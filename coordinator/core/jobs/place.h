/* Which host gets a job, and the jobs that wait for one. */
#ifndef FM_CORE_JOBS_PLACE_H
#define FM_CORE_JOBS_PLACE_H

#include <stdbool.h>

#include "buf.h"

struct core;
struct host;
struct job;
struct unit;

/* True when this host cannot have the job now; `why` (may be NULL) gets the reason. */
bool place_unfit(const struct host *h, const struct job *job, struct fm_buf *why);
/* The same but for what is kept of hosts for jobs that are tried apart. */
bool place_is_no_choice(const struct host *h, const struct job *job, struct fm_buf *why);
/* The best host for a job, or NULL; then `why` says in words why there is none. */
struct host *place_pick(struct core *c, const struct job *job, struct fm_buf *why);
/* Gives the job to this host. */
void place_assign(struct core *c, struct job *job, struct host *h);
/* Chooses a host and assigns, or lets the job wait in line. */
void place_job(struct core *c, struct job *job);
void place_unqueue(struct core *c, struct job *job);
/* Gives waiting jobs to hosts that have room. */
void place_match(struct core *c);
/* ResumeJob calls that wait for a host (job->host_ops; their own state is the id of the pause, of
 * PAUSE_ID_BYTES) are answered with the unit: the assignment is in it, or will not come. */
#define PAUSE_ID_BYTES 64
void reply_host_ops(struct core *c, struct job *job, struct unit *u);
/* The job has been read, or cannot be, or is not there. One that was read again because a unit failed left
 * its host for that; most take their place there again. Now it is known whether it is free for those that
 * wait. */
void place_settle(struct core *c, struct job *job);
/* Hosts that refused a job a moment ago may have it again. */
void place_retry(struct core *c);
/* A host has given the job back as it got it: another one gets it, and after several such hosts it rests for
 * a while that grows. */
void place_refused(struct core *c, struct job *job, const char *host);
/* Its host came back without it: it cannot read it, perhaps. As place_refused, but that host may have it
 * again. */
void place_missed(struct core *c, struct job *job);
/* A host has made a step: refusals before it count no more. */
void place_taken(struct job *job);

#endif
