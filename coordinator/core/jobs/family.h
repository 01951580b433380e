/* What parents and children tell each other. */
#ifndef FM_CORE_FAMILY_H
#define FM_CORE_FAMILY_H

struct core;
struct job;

/* Starts children that are not started, cancels those of an ended job, tells the parent of an ended
 * job. Call only for what is on disk. */
void family_look(struct core *c, struct job *job);

#endif
