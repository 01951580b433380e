/* Configuration of a daemon: a table of options, read from flags and from a file that a flag
 * names. Every option is validated; unknown ones are refused. Main thread, before anything else
 * starts. */
#ifndef FM_CONF_H
#define FM_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"

enum conf_kind {
    CONF_STRING,   /* const char *; max is the greatest length; 0: 4096 */
    CONF_INT,      /* int64_t between min and max */
    CONF_DURATION, /* int64_t milliseconds between min and max: "250ms", "10s", "2m", "1h" */
    CONF_BOOL,     /* bool: "--name", "--name=false" */
    CONF_CHOICE,   /* int: index into choices */
    CONF_LABEL     /* struct conf_labels: key=value, may be repeated */
};

struct conf_label {
    char *key, *value;
};

struct conf_labels {
    struct conf_label *items;
    size_t n;
};

struct conf_option {
    const char *name; /* without dashes; the same in the file */
    enum conf_kind kind;
    void *target;    /* holds the default before conf_read */
    const char *arg; /* for the help: "HOST:PORT" */
    const char *help;
    int64_t min, max;
    const char *const *choices; /* NULL-terminated */
};

enum conf_action { CONF_RUN, CONF_HELP, CONF_VERSION };

/* Reads argv: `--name value`, `--name=value`, `--config FILE` (lines `name = value`, # comments;
 * flags win over the file), --help, --version. A label flag replaces all labels of the file.
 * Values in the file are checked also where a flag wins. --help and --version end the reading.
 * Returns 0 or -FM_INVALID_ARGUMENT / -FM_NOT_FOUND (the file); errors name the option, the
 * value, what is allowed, and in a file the line. CONF_STRING targets are set to heap copies,
 * also on an error; conf_done frees them and the labels. */
int conf_read(const struct conf_option *options, size_t n, int argc, char **argv,
              enum conf_action *ret_action, struct fm_err *err) FM_MUST_CHECK;
void conf_done(const struct conf_option *options, size_t n);
/* Prints usage, defaults and allowed values. Call it before conf_read has changed the targets,
 * or after CONF_HELP. */
void conf_help(FILE *f, const char *program, const char *what, const struct conf_option *options, size_t n);

/* Checks "HOST:PORT" or "[v6]:PORT", with a port from 0 to 65535, or "unix:/PATH". */
int conf_check_address(const char *field, const char *text, struct fm_err *err) FM_MUST_CHECK;

#endif
