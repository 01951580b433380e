/* SetBreakpoints calls that wait: until the breakpoints are on disk, and the job's host (if it has one)
 * has them. */
#ifndef FM_CORE_BREAKPOINTS_H
#define FM_CORE_BREAKPOINTS_H

#include <stdint.h>

struct core;
struct host;
struct job;
struct op;

/* The job's breakpoints have changed as the call wants it: they go to the disk, then to the host; then
 * the call is answered. */
void breakpoints_wait(struct core *c, struct job *job, struct op *op);
/* The host has the job, on another stream than before. */
void breakpoints_resend(struct core *c, struct job *job);
/* The host has received the messages to it up to this one. */
void breakpoints_received(struct core *c, struct host *h, uint64_t ack);
/* The job leaves its host. */
void breakpoints_left(struct core *c, struct job *job);

#endif
