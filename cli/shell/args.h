/* Words of the command line against the table of commands. */
#ifndef FM_CLI_ARGS_H
#define FM_CLI_ARGS_H

#include "command.h"

/* Options that every command has; their paths are NULL. */
extern const struct cli_word cli_common_options[];
extern const size_t cli_n_common_options;

/* The command that the first words name; *used is how many words that took. NULL when there is none: then
 * *nearest is the name that was perhaps meant (or NULL). A word alone, such as "job", names no command; see
 * cli_group. */
const struct cli_command *cli_find(const struct cli_command *const *all, size_t n, int argc,
                                   char *const *argv, int *used, const char **nearest);
/* True when commands' names begin with this word and a blank. */
bool cli_group(const struct cli_command *const *all, size_t n, const char *word);
/* An option of the command, or of all commands; NULL: unknown. */
const struct cli_word *cli_option(const struct cli_command *command, const char *name, size_t name_n);

/* Reads the words behind the command's name into c->words. Returns 0, or -FM_INVALID_ARGUMENT with err. */
int cli_parse(struct cli *c, int argc, char *const *argv, struct fm_err *err) FM_MUST_CHECK;

#endif
