/* Replies on standard output. */
#ifndef FM_CLI_OUTPUT_H
#define FM_CLI_OUTPUT_H

#include "command.h"

/* True for a word that -o takes. */
bool cli_output_ok(const char *output);
/* Prints the reply as -o and --jq say; a table by the command's columns. Returns an exit code. */
int cli_show(const struct cli *c, json_t *reply);
/* A time such as "2026-01-31T12:00:00Z" as milliseconds since 1970; -1 for none. */
long long cli_time_ms(const char *text);
/* "3m" for the span, in at most two units. */
void cli_span_text(long long ms, char *ret, size_t n);
/* JSON in one line, for free(). */
char *cli_json_text(json_t *j);

#endif
