/* Answers to questions. */
#ifndef FM_CLI_ANSWER_H
#define FM_CLI_ANSWER_H

#include "command.h"

/* Asks for the answer to the job's first open question, by its schema and choices, and sends it. An exit
 * code. */
int cli_answer_at_terminal(struct cli *c, const char *job_id);

#endif
