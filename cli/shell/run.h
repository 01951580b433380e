/* Runs a command of the table. */
#ifndef FM_CLI_RUN_H
#define FM_CLI_RUN_H

#include "command.h"

/* From argv to the exit code. */
int cli_main(const struct cli_command *const *all, size_t n, int argc, char **argv);
/* One call of the command's method, all its pages where it has some; shows the reply. Owns the request. */
int cli_run_call(struct cli *c, json_t *request);
/* Asks on the terminal; true for yes, and with --yes. Without a terminal it is no, with a word on what to do.
 */
bool cli_confirm(const struct cli *c, const char *fmt, ...) FM_PRINTF(2, 3);

#endif
