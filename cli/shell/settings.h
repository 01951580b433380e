/* Where the coordinator is, and who acts: from options, the environment and the configuration file. */
#ifndef FM_CLI_SETTINGS_H
#define FM_CLI_SETTINGS_H

#include "command.h"

struct cli_settings {
    char *file;    /* that was read, or would be */
    char *profile; /* "default" */
    char *address, *user;
    const char *address_from, *user_from; /* "--address", "$FERMATA_ADDRESS" … */
};

/* Returns 0 or -code with err: a file that cannot be read or has a line that is not understood, a profile
 * that it lacks. Release with cli_settings_done in any case. */
int cli_settings_read(const struct cli *c, struct cli_settings *s, struct fm_err *err) FM_MUST_CHECK;
void cli_settings_done(struct cli_settings *s);

#endif
