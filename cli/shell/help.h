/* Everything that is written from the table of commands. All to standard output. */
#ifndef FM_CLI_HELP_H
#define FM_CLI_HELP_H

#include "command.h"

/* All commands, or those of a group ("job"). */
void cli_help_all(const struct cli_command *const *all, size_t n, const char *group);
void cli_help(const struct cli *c, const struct cli_command *command);
/* docs/cli.md, fermata.1, and what a shell is to source ("bash", "zsh", "fish"; false: another word). */
void cli_help_markdown(const struct cli *c);
void cli_help_man(const struct cli *c);
bool cli_help_completion(const char *shell);
/* What may stand as the last of these words, a line each. */
void cli_complete(struct cli *c, int argc, char *const *argv);

#endif
