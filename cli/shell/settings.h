/* Where the coordinator is, how to get in, and who acts: from options, the environment and the configuration
 * file. */
#ifndef FM_CLI_SETTINGS_H
#define FM_CLI_SETTINGS_H

#include "command.h"
#include "tls_files.h"

enum cli_setting {
    CLI_ADDRESS,
    CLI_USER,
    CLI_TLS_CA,
    CLI_TLS_CERT,
    CLI_TLS_KEY,
    CLI_INSECURE,
    CLI_N_SETTINGS
};

struct cli_settings {
    char *file;                       /* that was read, or would be */
    char *profile;                    /* "default" */
    char *values[CLI_N_SETTINGS];     /* NULL: not set */
    const char *from[CLI_N_SETTINGS]; /* what set it: "--address", "$FERMATA_ADDRESS", "the profile" */
};

/* "tls-ca": its name as an option; with '_' for '-' in the file, and as $FERMATA_TLS_CA. */
const char *cli_setting_name(enum cli_setting s);

/* Returns 0 or -code with err: a file that cannot be read or has a line that is not understood, a profile
 * that it lacks, plaintext to another machine. Release with cli_settings_done in any case. */
int cli_settings_read(const struct cli *c, struct cli_settings *s, struct fm_err *err) FM_MUST_CHECK;
void cli_settings_done(struct cli_settings *s);
/* The files for TLS; false: none is named, and it is plaintext. */
bool cli_settings_tls(const struct cli_settings *s, struct tls_files *ret);

#endif
