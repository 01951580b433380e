/* See run.h. */
#include "run.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "help.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "rpc.h"
#include "settings.h"

#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_LIMIT 1000

/* ---- errors ---- */

static int exit_of(enum fm_code code)
{
    switch (code) {
    case FM_OK:
        return CLI_OK;
    case FM_NOT_FOUND:
        return CLI_NOT_FOUND;
    case FM_INVALID_ARGUMENT:
    case FM_ALREADY_EXISTS:
    case FM_PERMISSION_DENIED:
    case FM_UNAUTHENTICATED:
    case FM_RESOURCE_EXHAUSTED:
    case FM_FAILED_PRECONDITION:
    case FM_ABORTED:
    case FM_OUT_OF_RANGE:
        return CLI_REFUSED;
    case FM_UNAVAILABLE:
        return CLI_UNREACHABLE;
    case FM_DEADLINE_EXCEEDED:
        return CLI_TIMEOUT;
    default:
        return CLI_ERROR;
    }
}

static void print_fault(const char *field, const char *msg)
{
    fprintf(stderr, "fermata: %s%s%s\n", field, field[0] != '\0' ? ": " : "", msg);
}

int cli_fail(const struct fm_err *err)
{
    if (err->n_more == 0)
        print_fault(err->field, err->msg);
    for (size_t i = 0; i < err->n_more; i++)
        print_fault(err->more[i].field, err->more[i].msg);
    if (err->code == FM_UNAVAILABLE)
        fprintf(
            stderr,
            "fermata: is a coordinator running there? --address, $FERMATA_ADDRESS or a profile say where\n");
    else if (err->code == FM_DEADLINE_EXCEEDED)
        fprintf(stderr, "fermata: --timeout says how long to wait\n");
    return exit_of(err->code);
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "fermata: ");
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (c->command != NULL)
        fprintf(stderr, "\nfermata: 'fermata %s --help' says how", c->command->name);
    fprintf(stderr, "\n");
    return CLI_USAGE;
}

bool cli_confirm(const struct cli *c, const char *fmt, ...)
{
    char line[16];
    va_list args;
    if (c->yes)
        return true;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, " There is nobody to ask: --yes says yes.\n");
        return false;
    }
    fprintf(stderr, " [y/N] ");
    return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

/* ---- a call ---- */

/* Adds the rows of further pages to the reply's list until there is no other or `limit` are there. */
static int more_pages(struct cli *c, json_t *request, json_t *reply, size_t limit, struct fm_err *err)
{
    json_t *rows = json_object_get(reply, c->command->list);
    char token[1024];
    snprintf(token, sizeof(token), "%s", cli_get_text(reply, "nextPageToken", ""));
    while (token[0] != '\0' && rows != NULL && json_array_size(rows) < limit) {
        json_t *page = NULL;
        json_object_set_new(request, "pageToken", json_string(token));
        int rc = cli_call(c->client, c->command->method, request, c->timeout_ms, &page, err);
        if (rc < 0)
            return rc;
        json_array_extend(rows, json_object_get(page, c->command->list));
        snprintf(token, sizeof(token), "%s", cli_get_text(page, "nextPageToken", ""));
        json_decref(page);
    }
    if (token[0] == '\0')
        json_object_del(reply, "nextPageToken");
    else
        json_object_set_new(reply, "nextPageToken", json_string(token));
    while (rows != NULL && json_array_size(rows) > limit)
        json_array_remove(rows, json_array_size(rows) - 1);
    if (token[0] != '\0')
        fprintf(stderr, "fermata: there are more: --limit says how many to show\n");
    return 0;
}

int cli_ask(struct cli *c, json_t *request, json_t **ret)
{
    fm_auto(fm_err) err = {0};
    int rc = cli_call(c->client, c->command->method, request, c->timeout_ms, ret, &err);
    json_decref(request);
    return rc < 0 ? cli_fail(&err) : CLI_OK;
}

int cli_get_job(struct cli *c, const char *job_id, bool state, json_t **ret, struct fm_err *err)
{
    json_t *request = json_pack("{s:s, s:b}", "jobId", job_id, "withoutState", !state);
    int rc = cli_call(c->client, "Jobs/GetJob", request, c->timeout_ms, ret, err);
    json_decref(request);
    return rc;
}

int cli_run_call(struct cli *c, json_t *request)
{
    const struct cli_command *command = c->command;
    json_t *reply = NULL;
    fm_auto(fm_err) err = {0};
    size_t limit = DEFAULT_LIMIT;
    if (command->pages) {
        const char *word = cli_word(c, "limit");
        char *end = NULL;
        long n = word == NULL ? DEFAULT_LIMIT : strtol(word, &end, 10);
        if (word != NULL && (*end != '\0' || n < 1 || n > 10000000)) {
            json_decref(request);
            return cli_usage(c, "--limit: '%.64s' is not a number from 1 to 10,000,000", word);
        }
        limit = (size_t)n;
        json_object_set_new(request, "pageSize", json_integer(limit < 500 ? (json_int_t)limit : 500));
    }
    int rc = cli_call(c->client, command->method, request, c->timeout_ms, &reply, &err);
    if (rc == 0 && command->pages)
        rc = more_pages(c, request, reply, limit, &err);
    json_decref(request);
    int code = rc < 0 ? cli_fail(&err) : cli_show(c, reply);
    json_decref(reply);
    return code;
}

/* ---- the program ---- */

static bool wants_colour(bool terminal)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return terminal && (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/* Milliseconds of --timeout; -1: it is wrong. */
static long read_timeout(const struct cli *c)
{
    const char *word = cli_word(c, "timeout");
    char *end;
    if (word == NULL)
        return c->command->method == NULL ? 0 : DEFAULT_TIMEOUT_MS;
    long n = strtol(word, &end, 10);
    long unit = strcmp(end, "ms") == 0 || *end == '\0' ? 1
                : strcmp(end, "s") == 0                ? 1000
                : strcmp(end, "m") == 0                ? 60000
                : strcmp(end, "h") == 0                ? 3600000
                                                       : 0;
    return end == word || n < 0 || n > 1000000 || unit == 0 ? -1 : n * unit;
}

static int prepare(struct cli *c)
{
    c->output = cli_word(c, "output") != NULL ? cli_word(c, "output") : "table";
    c->jq = cli_word(c, "jq");
    c->yes = cli_flag(c, "yes");
    if (!cli_output_ok(c->output))
        return cli_usage(c, "--output: '%.64s' is none of table, wide, json, jsonl, yaml, name", c->output);
    if (strcmp(c->output, "name") == 0 && c->command->method != NULL && c->command->id == NULL)
        return cli_usage(c, "--output: what 'fermata %s' shows has no name", c->command->name);
    c->timeout_ms = read_timeout(c);
    if (c->timeout_ms < 0)
        return cli_usage(c, "--timeout: '%.64s' is not a time span such as 500ms, 10s or 2m",
                         cli_word(c, "timeout"));
    return CLI_OK;
}

static int run(struct cli *c)
{
    fm_auto(fm_err) err = {0};
    json_t *request = c->command->fixed == NULL ? json_object() : json_loads(c->command->fixed, 0, NULL);
    if (c->command->confirm != NULL) {
        const char *first = cli_word(c, c->command->args[0].name);
        if (!cli_confirm(c, "%s %s?", c->command->confirm, first == NULL ? "" : first)) {
            json_decref(request);
            return CLI_REFUSED;
        }
    }
    if (cli_fill(c, request, &err) < 0) {
        json_decref(request);
        int code = cli_fail(&err);
        return err.code == FM_INVALID_ARGUMENT ? CLI_USAGE : code;
    }
    return c->command->run != NULL ? c->command->run(c, request) : cli_run_call(c, request);
}

/* Connects as the settings say; the caller frees c->client. */
static int connect_by(struct cli *c, const struct cli_settings *s, struct fm_err *err)
{
    struct tls_files files;
    bool tls = cli_settings_tls(s, &files);
    rpc_global_init();
    c->by = s->values[CLI_USER];
    c->client = cli_client_new(s->values[CLI_ADDRESS], tls ? &files : NULL, err);
    return c->client == NULL ? -(int)err->code : 0;
}

static int with_settings(struct cli *c)
{
    struct cli_settings settings;
    fm_auto(fm_err) err = {0};
    int code;
    if (cli_settings_read(c, &settings, &err) < 0) {
        code = err.code == FM_INVALID_ARGUMENT ? (cli_fail(&err), CLI_USAGE) : cli_fail(&err);
    } else {
        code = connect_by(c, &settings, &err) < 0 ? (cli_fail(&err), CLI_USAGE) : run(c);
        cli_client_free(c->client);
        rpc_global_shutdown();
    }
    cli_settings_done(&settings);
    return code;
}

/* "fermata __complete WORDS…", which the shells' scripts call. */
static int complete(struct cli *c, int argc, char **argv)
{
    struct cli_settings settings;
    fm_auto(fm_err) err = {0};
    if (cli_settings_read(c, &settings, &err) == 0) {
        if (connect_by(c, &settings, &err) == 0)
            cli_complete(c, argc, argv);
        cli_client_free(c->client);
        rpc_global_shutdown();
    }
    cli_settings_done(&settings);
    return CLI_OK;
}

/* "fermata", "fermata --help", "fermata job", "fermata jbo get". */
static int no_command(const struct cli *c, int argc, char **argv, const char *nearest)
{
    bool help = argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
    if (argc > 0 && strcmp(argv[0], "--version") == 0) {
        printf("fermata %s\n", FERMATA_VERSION);
        return CLI_OK;
    }
    if (argc == 0 || help) {
        cli_help_all(c->all, c->n_all, NULL);
        return help ? CLI_OK : CLI_USAGE;
    }
    if (cli_group(c->all, c->n_all, argv[0]) && (argc == 1 || argv[1][0] == '-')) {
        cli_help_all(c->all, c->n_all, argv[0]);
        return argc == 1 ? CLI_USAGE : CLI_OK;
    }
    fprintf(stderr, "fermata: there is no command '%s%s%s'%s%s%s\n", argv[0],
            argc > 1 && argv[1][0] != '-' && cli_group(c->all, c->n_all, argv[0]) ? " " : "",
            argc > 1 && argv[1][0] != '-' && cli_group(c->all, c->n_all, argv[0]) ? argv[1] : "",
            nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
            nearest != NULL ? "'?" : "");
    fprintf(stderr, "fermata: 'fermata --help' lists them\n");
    return CLI_USAGE;
}

int cli_main(const struct cli_command *const *all, size_t n, int argc, char **argv)
{
    struct cli c = {.all = all, .n_all = n, .words = json_object()};
    fm_auto(fm_err) err = {0};
    const char *nearest;
    int used, code;
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    c.terminal = isatty(STDOUT_FILENO) != 0;
    c.colour = wants_colour(c.terminal);
    if (argc > 1 && strcmp(argv[1], "__complete") == 0) {
        code = complete(&c, argc - 2, argv + 2);
        json_decref(c.words);
        return code;
    }
    c.command = cli_find(all, n, argc - 1, argv + 1, &used, &nearest);
    if (c.command == NULL) {
        code = no_command(&c, argc - 1, argv + 1, nearest);
    } else if (cli_parse(&c, argc - 1 - used, argv + 1 + used, &err) < 0) {
        code = cli_usage(&c, "%s%s%s%s", err.field[0] != '\0' ? "--" : "", err.field,
                         err.field[0] != '\0' ? ": " : "", err.msg);
    } else if (cli_flag(&c, "help")) {
        c.client = cli_client_new("", NULL, &err);
        cli_help(&c, c.command);
        cli_client_free(c.client);
        code = CLI_OK;
    } else {
        code = prepare(&c);
        if (code == CLI_OK)
            code = with_settings(&c);
    }
    json_decref(c.words);
    if (fflush(stdout) != 0 && code == CLI_OK)
        code = CLI_ERROR;
    return code;
}
