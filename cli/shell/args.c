/* See args.h. */
#include "args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "nearest.h"

const struct cli_word cli_common_options[] = {
    {"address",  CLI_TEXT, NULL,
     "HOST:PORT of the coordinator; else $FERMATA_ADDRESS, the profile's, 127.0.0.1:7420",                    NULL, true},
    {"profile",  CLI_TEXT, NULL, "section of the configuration file; else $FERMATA_PROFILE",                  NULL, true},
    {"output",   CLI_TEXT, NULL, "table, wide, json (the reply as JSON), jsonl (a line a row), yaml or name",
     NULL,                                                                                                          true},
    {"jq",       CLI_TEXT, NULL, "a jq program that the reply goes through",                                  NULL, true},
    {"timeout",  CLI_SPAN, NULL, "how long a call may take: 10s, 2m; 0 is for ever; 30s unless it waits",     NULL,
     true                                                                                                               },
    {"tls-ca",   CLI_TEXT, NULL, "TLS: file with the authority of the coordinator's certificate",             NULL, true},
    {"tls-cert", CLI_TEXT, NULL, "TLS: file with your certificate",                                           NULL, true},
    {"tls-key",  CLI_TEXT, NULL, "TLS: file with its key",                                                    NULL, true},
    {"insecure", CLI_FLAG, NULL, "without TLS to another machine, too",                                       NULL, true},
    {"user",     CLI_TEXT, NULL, "who acts, for the history; else $FERMATA_USER, $USER",                      NULL, true},
    {"yes",      CLI_FLAG, NULL, "asks nothing",                                                              NULL, true},
    {"help",     CLI_FLAG, NULL, "prints this command's help",                                                NULL, true},
};
const size_t cli_n_common_options = CLI_COUNT(cli_common_options);

/* ---- which command ---- */

/* How many words of argv the name is; 0: it is not these. */
static int matches(const char *name, int argc, char *const *argv)
{
    int used = 0;
    while (*name != '\0') {
        size_t n = strcspn(name, " ");
        if (used == argc || strlen(argv[used]) != n || memcmp(argv[used], name, n) != 0)
            return 0;
        used++;
        name += n + (name[n] == ' ');
    }
    return used;
}

bool cli_group(const struct cli_command *const *all, size_t n, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i < n; i++)
        if (strncmp(all[i]->name, word, length) == 0 && all[i]->name[length] == ' ')
            return true;
    return false;
}

const struct cli_command *cli_find(const struct cli_command *const *all, size_t n, int argc,
                                   char *const *argv, int *used, const char **nearest)
{
    char two[256] = "";
    *nearest = NULL;
    *used = 0;
    for (size_t i = 0; i < n; i++)
        if ((*used = matches(all[i]->name, argc, argv)) > 0)
            return all[i];
    if (argc == 0)
        return NULL;
    bool group = cli_group(all, n, argv[0]);
    snprintf(two, sizeof(two), "%s%s%s", argv[0], group && argc > 1 ? " " : "",
             group && argc > 1 ? argv[1] : "");
    struct nearest near = nearest_to(two);
    for (size_t i = 0; i < n; i++)
        (void)nearest_try(&near, all[i]->name);
    *nearest = near.found;
    return NULL;
}

/* ---- options and arguments ---- */

static const struct cli_word *among(const struct cli_word *words, size_t n, const char *name, size_t name_n)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(words[i].name) == name_n && memcmp(words[i].name, name, name_n) == 0)
            return &words[i];
    return NULL;
}

const struct cli_word *cli_option(const struct cli_command *command, const char *name, size_t name_n)
{
    const struct cli_word *w = among(command->options, command->n_options, name, name_n);
    return w != NULL ? w : among(cli_common_options, cli_n_common_options, name, name_n);
}

/* The letters that have one. */
static const struct cli_word *short_option(const struct cli_command *command, char letter)
{
    static const struct {
        char letter;
        const char *name;
    } all[] = {
        {'o', "output"},
        {'y', "yes"   },
        {'h', "help"  },
        {'l', "label" },
        {'d', "data"  },
        {'p', "pause" },
    };
    for (size_t i = 0; i < CLI_COUNT(all); i++)
        if (all[i].letter == letter)
            return cli_option(command, all[i].name, strlen(all[i].name));
    return NULL;
}

static bool repeated(enum cli_kind k)
{
    return k == CLI_PAIR || k == CLI_WORDS || k == CLI_CHOICES;
}

static int give(struct cli *c, const struct cli_word *w, const char *value, struct fm_err *err)
{
    json_t *text = json_string(value);
    if (text == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, w->name, "is not UTF-8");
    if (repeated(w->kind)) {
        json_t *list = json_object_get(c->words, w->name);
        if (list == NULL) {
            list = json_array();
            json_object_set_new(c->words, w->name, list);
        }
        json_array_append_new(list, text);
        return 0;
    }
    if (json_object_get(c->words, w->name) != NULL) {
        json_decref(text);
        return fm_err_set(err, FM_INVALID_ARGUMENT, w->name, "is given twice");
    }
    json_object_set_new(c->words, w->name, text);
    return 0;
}

static int unknown_option(const struct cli *c, const char *name, size_t n, struct fm_err *err)
{
    fm_autofree char *word = strndup(name, n);
    struct nearest near = nearest_to(word);
    for (size_t i = 0; i < c->command->n_options; i++)
        (void)nearest_try(&near, c->command->options[i].name);
    for (size_t i = 0; i < cli_n_common_options; i++)
        (void)nearest_try(&near, cli_common_options[i].name);
    return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "'fermata %s' has no option --%.64s%s%s%s",
                      c->command->name, word, near.found != NULL ? "; did you mean --" : "",
                      near.found != NULL ? near.found : "", near.found != NULL ? "?" : "");
}

/* argv[*at] begins with '-'. */
static int read_option(struct cli *c, int argc, char *const *argv, int *at, struct fm_err *err)
{
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    size_t n = is_long ? strcspn(name, "=") : 1;
    const struct cli_word *w = is_long ? cli_option(c->command, name, n) : short_option(c->command, name[0]);
    const char *value =
        is_long ? (name[n] == '=' ? name + n + 1 : NULL) : (name[1] != '\0' ? name + 1 : NULL);
    if (w == NULL)
        return unknown_option(c, name, n, err);
    if (w->kind == CLI_FLAG) {
        if (value != NULL)
            return fm_err_set(err, FM_INVALID_ARGUMENT, w->name, "takes no value");
        return give(c, w, "true", err);
    }
    if (value == NULL && ++*at == argc)
        return fm_err_set(err, FM_INVALID_ARGUMENT, w->name, "needs a value");
    return give(c, w, value != NULL ? value : argv[*at], err);
}

int cli_parse(struct cli *c, int argc, char *const *argv, struct fm_err *err)
{
    size_t n_args = 0;
    bool options = true;
    for (int i = 0; i < argc; i++) {
        int rc;
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            continue;
        }
        if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            rc = read_option(c, argc, argv, &i, err);
        } else if (n_args == c->command->n_args) {
            return fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                              "'%.100s' is one word too many for 'fermata %s'", argv[i], c->command->name);
        } else {
            rc = give(c, &c->command->args[n_args], argv[i], err);
            n_args += !repeated(c->command->args[n_args].kind);
        }
        if (rc < 0)
            return rc;
    }
    for (size_t i = n_args; i < c->command->n_args; i++)
        if (!c->command->args[i].optional && !cli_flag(c, "help") &&
            json_object_get(c->words, c->command->args[i].name) == NULL)
            return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "'fermata %s' needs %s", c->command->name,
                              c->command->args[i].name);
    return 0;
}

const char *cli_word(const struct cli *c, const char *name)
{
    return json_string_value(json_object_get(c->words, name));
}

bool cli_flag(const struct cli *c, const char *name)
{
    return json_object_get(c->words, name) != NULL;
}
