/* What the coordinator reads when it starts, and what is done with any job that has been read. */
#ifndef FM_CORE_RECOVERY_H
#define FM_CORE_RECOVERY_H

struct core;

void recovery_init(struct core *c);
/* Begins: io.recovered is called when the active jobs are in memory. */
void recovery_begin(struct core *c);
/* Tries again what could not be read. */
void recovery_retry(struct core *c);

#endif
