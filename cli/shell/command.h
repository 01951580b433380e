/* What a command of the command line is: a row of a table from which come the parser, the help, the
 * manual page, completion and docs/cli.md. Most commands are one call: their words go into fields of
 * a request, the reply is shown. The others have a function. */
#ifndef FM_CLI_COMMAND_H
#define FM_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "err.h"

/* What the program ends with; the README and --help list them. */
enum cli_exit {
    CLI_OK = 0,
    CLI_ERROR = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_REFUSED = 4,
    CLI_UNREACHABLE = 5,
    CLI_JOB_FAILED = 6,
    CLI_TIMEOUT = 124
};

/* What a word of the command line is. */
enum cli_kind {
    CLI_TEXT,    /* goes into the request as a string */
    CLI_NUMBER,  /* as a number */
    CLI_FLAG,    /* no word: true */
    CLI_PAIR,    /* KEY=VALUE into an object; may be repeated */
    CLI_WORDS,   /* a string into a list; may be repeated */
    CLI_CHOICE,  /* a name of an enum without its prefix, small or capital, with '-' or '_' */
    CLI_CHOICES, /* the same into a list; may be repeated, or several with commas between them */
    CLI_JSON,    /* JSON, or @FILE, or - for standard input */
    CLI_SLOT,    /* ROUTINE.SLOT */
    CLI_SPAN,    /* 90s, 10m, 2h, 7d, or milliseconds: as milliseconds */
    CLI_JOB,     /* a job's id, or the beginning or the end of one that no other job has */
    CLI_FLOW,    /* the name of a flow; for completion */
    CLI_HOST     /* the id of a host; for completion */
};

/* An argument (by its place) or an option (by its name). */
struct cli_word {
    const char *name; /* "job", "page-size" */
    enum cli_kind kind;
    const char *path; /* the field of the request, "placement.host"; NULL: for the command's function */
    const char *help;
    const char *choices; /* of a choice: the enum's full name, "fermata.v1.JobStatus" */
    bool optional;       /* of an argument */
};

/* A column of a table. */
enum cli_show { CLI_AS_IS, CLI_AS_STATUS, CLI_AS_TIME, CLI_AS_PAIRS, CLI_AS_COUNT };
struct cli_column {
    const char *title;
    const char *path; /* in a row: "pause.question" */
    enum cli_show show;
    bool wide; /* only with -o wide */
};

struct cli;

struct cli_command {
    const char *name; /* "job get" */
    const char *summary;
    const char *method; /* "Jobs/GetJob"; NULL: the function calls what it wants */
    const struct cli_word *args;
    size_t n_args;
    const struct cli_word *options;
    size_t n_options;
    const char *fixed; /* JSON of the request to begin with; NULL: {} */
    const char *list;  /* the reply's list, of which a row is shown each; NULL: one row, of `one` */
    const char *one;   /* the reply's message that is shown; NULL: the reply itself */
    const char *id;    /* path in a row of what -o name prints */
    const struct cli_column *columns;
    size_t n_columns;
    const char *confirm; /* what is asked before; "%s" is the first argument. NULL: nothing */
    bool pages;          /* all pages are fetched, up to --limit */
    const char *by_path; /* the request's field for who acts; NULL: it has none */
    /* Instead of the call: words, with the request that they make (which it owns). */
    int (*run)(struct cli *c, json_t *request);
    const char *examples; /* lines */
};

#define CLI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a running command works with. */
struct cli {
    const struct cli_command *command;
    const struct cli_command *const *all; /* every command, for help */
    size_t n_all;
    json_t *words; /* what was given, by name of argument or option: strings, lists of strings */
    struct cli_client *client;
    const char *output; /* "table", "wide", "json", "jsonl", "yaml", "name" */
    const char *jq;     /* NULL: none */
    const char *by;     /* who acts; NULL: nobody says */
    bool yes;           /* nothing is asked */
    bool terminal;      /* standard output is one */
    bool colour;
    long timeout_ms; /* of a call */
};

/* The word that was given; NULL when it was not. */
const char *cli_word(const struct cli *c, const char *name);
bool cli_flag(const struct cli *c, const char *name);

/* Prints "fermata: …" and what to do to standard error. Returns the exit code that fits the error. */
int cli_fail(const struct fm_err *err);
/* The same for something wrong with the words: CLI_USAGE. */
int cli_usage(const struct cli *c, const char *fmt, ...) FM_PRINTF(2, 3);

#endif
