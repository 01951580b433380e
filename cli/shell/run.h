/* Runs a command of the table. */
#ifndef FM_CLI_RUN_H
#define FM_CLI_RUN_H

#include "command.h"

/* From argv to the exit code. */
int cli_main(const struct cli_command *const *all, size_t n, int argc, char **argv);
/* One call of the command's method, all its pages where it has some; shows the reply. Owns the request. */
int cli_run_call(struct cli *c, json_t *request);
/* The call alone. Owns the request. An exit code; what is wrong has been said. With CLI_OK the reply, for
 * json_decref. */
int cli_ask(struct cli *c, json_t *request, json_t **ret);
/* GetJob, with the state or without. Returns 0 and the reply for json_decref, or -code with err. */
int cli_get_job(struct cli *c, const char *job_id, bool state, json_t **ret,
                struct fm_err *err) FM_MUST_CHECK;
/* Asks on the terminal; true for yes, and with --yes. Without a terminal it is no, with a word on what to do.
 */
bool cli_confirm(const struct cli *c, const char *fmt, ...) FM_PRINTF(2, 3);

#endif
