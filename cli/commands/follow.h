/* Following a job until it ends. */
#ifndef FM_CLI_FOLLOW_H
#define FM_CLI_FOLLOW_H

#include "command.h"

/* Shows on standard error what happens, and asks at the terminal what the job asks, where there is one and
 * `ask` is set; then shows the job's outputs on standard output. Without `ask`, or a terminal, it waits for
 * others' answers. Returns an exit code: CLI_JOB_FAILED when the job did not complete. */
int cli_follow(struct cli *c, const char *job_id, bool ask);

#endif
