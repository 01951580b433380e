/* Submitting a job. */
#ifndef FM_CLI_SUBMIT_H
#define FM_CLI_SUBMIT_H

#include "command.h"

/* Submits what the request says, with --task as data, and with the entry that the flow leaves no choice about
 * when none is given. Owns the request. An exit code; with CLI_OK the reply, for json_decref. */
int cli_submit(struct cli *c, json_t *request, json_t **ret);

#endif
