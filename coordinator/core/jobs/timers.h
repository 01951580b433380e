/* What time does to jobs: deadlines, questions that expire, tasks that are due. */
#ifndef FM_CORE_JOBS_TIMERS_H
#define FM_CORE_JOBS_TIMERS_H

#include <stdint.h>

struct core;
struct job;

void timers_tick(struct core *c);
/* When timers_tick must be called, in monotonic milliseconds; -1: not needed. */
int64_t timers_deadline(const struct core *c);
/* The job's time may have come: its deadline, a question that expires, a task that is due, a child or a
 * parent to look after. Does what is due; harmless when nothing is. */
void job_on_time(struct core *c, struct job *job);

#endif
