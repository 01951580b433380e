/* Jobs that are tried with nothing beside them: those with a task that was at work when a host daemon died.
 */
#ifndef FM_CORE_JOBS_APART_H
#define FM_CORE_JOBS_APART_H

#include <stdint.h>

struct core;
struct job;

/* Gives the next of them a host, if its turn has come, and sees to those that have one. Before place_match.
 */
void apart_match(struct core *c);
/* A job that was read is on its host already. */
void apart_found(struct core *c, struct job *job);
/* When there is something to do without anybody's asking, in monotonic milliseconds; -1: never. */
int64_t apart_deadline(const struct core *c);
void apart_tick(struct core *c);

#endif
