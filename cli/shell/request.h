/* From the words of a command to the JSON of its request. */
#ifndef FM_CLI_REQUEST_H
#define FM_CLI_REQUEST_H

#include "command.h"

/* Sets a member at a path such as "placement.host", making the objects on the way; takes over the value. */
void cli_set(json_t *object, const char *path, json_t *value);
/* The member at such a path, where "[0]" may follow a name; NULL: none. Borrowed. */
json_t *cli_get(json_t *object, const char *path);
/* The text there; `fallback` when there is none. */
const char *cli_get_text(json_t *object, const char *path, const char *fallback);

/* Reads "JSON", "@FILE" or "-" (standard input). NULL with err. */
json_t *cli_read_json(const char *name, const char *word, struct fm_err *err);
/* The same of a file, or of standard input ("-"). */
json_t *cli_read_json_file(const char *name, const char *path, struct fm_err *err);
/* All of a file, or of standard input ("-"), for free(); its length in *n. NULL with err. */
char *cli_read_file(const char *path, size_t *n, struct fm_err *err);
/* A value of an enum from what a user writes: "paused", "another-host". The full name, or NULL with err,
 * which says what there is. Borrowed from the descriptors. */
const char *cli_choice(const struct cli *c, const char *name, const char *enumeration, const char *word,
                       struct fm_err *err);
/* What a user may write for it, separated by commas, for free(). */
char *cli_choices(const struct cli *c, const char *enumeration);
/* A whole id from the beginning or the end of one: calls ListJobs where it is short. For free(); NULL with
 * err. */
char *cli_job_id(struct cli *c, const char *word, struct fm_err *err);

/* Puts the words that were given into the request, each at its path, and `by`. Returns 0 or -code with err.
 */
int cli_fill(struct cli *c, json_t *request, struct fm_err *err) FM_MUST_CHECK;

#endif
