/* See help.h. */
#include "help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "client.h"
#include "mem.h"
#include "request.h"

static const char *const about =
    "fermata talks to a Fermata coordinator: flows, jobs, the questions they ask, hosts.";

static const struct {
    int code;
    const char *text;
} exits[] = {
    {CLI_OK,          "done"                                                                },
    {CLI_ERROR,       "an error that is none of the others"                                 },
    {CLI_USAGE,       "the words of the command are wrong"                                  },
    {CLI_NOT_FOUND,   "no such job, flow, host or question"                                 },
    {CLI_REFUSED,     "the coordinator refused it, or there is more than one answer to give"},
    {CLI_UNREACHABLE, "the coordinator cannot be reached"                                   },
    {CLI_JOB_FAILED,  "the job that was waited for has ended FAILED or CANCELLED"           },
    {CLI_TIMEOUT,     "it took longer than --timeout"                                       },
};

/* What stands for a word's value. */
static const char *value_of(const struct cli_word *w)
{
    switch (w->kind) {
    case CLI_NUMBER:
        return "N";
    case CLI_PAIR:
        return "KEY=VALUE";
    case CLI_CHOICE:
        return "WORD";
    case CLI_CHOICES:
        return "WORD,…";
    case CLI_JSON:
        return "JSON|@FILE|-";
    case CLI_SLOT:
        return "ROUTINE.SLOT";
    case CLI_SPAN:
        return "SPAN";
    case CLI_JOB:
        return "JOB";
    case CLI_HOST:
        return "HOST";
    case CLI_FLOW:
        return "FLOW";
    default:
        return "TEXT";
    }
}

static void print_usage(const struct cli_command *command)
{
    printf("fermata %s", command->name);
    for (size_t i = 0; i < command->n_args; i++) {
        const struct cli_word *w = &command->args[i];
        fm_autofree char *name = fm_xstrdup(w->name);
        for (char *p = name; *p != '\0'; p++)
            *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        bool many = w->kind == CLI_WORDS || w->kind == CLI_PAIR;
        printf(w->optional ? " [%s%s]" : " %s%s", name, many ? "…" : "");
    }
    printf("%s", command->n_options > 0 ? " [OPTIONS]" : "");
}

static void print_word(const struct cli *c, const struct cli_word *w, bool option)
{
    char left[80];
    snprintf(left, sizeof(left), "%s%s%s%s", option ? "--" : "", w->name,
             option && w->kind != CLI_FLAG ? " " : "", option && w->kind != CLI_FLAG ? value_of(w) : "");
    printf("  %-28s %s", left, w->help);
    if (w->choices != NULL) {
        fm_autofree char *all = cli_choices(c, w->choices);
        printf(": %s", all);
    }
    printf("\n");
}

void cli_help(const struct cli *c, const struct cli_command *command)
{
    printf("%s\n\nUsage: ", command->summary);
    print_usage(command);
    printf("\n");
    if (command->n_args > 0)
        printf("\nArguments:\n");
    for (size_t i = 0; i < command->n_args; i++)
        print_word(c, &command->args[i], false);
    if (command->n_options > 0)
        printf("\nOptions:\n");
    for (size_t i = 0; i < command->n_options; i++)
        print_word(c, &command->options[i], true);
    printf("\nOptions of every command:\n");
    for (size_t i = 0; i < cli_n_common_options; i++)
        print_word(c, &cli_common_options[i], true);
    if (command->examples != NULL)
        printf("\nExamples:\n%s\n", command->examples);
}

void cli_help_all(const struct cli_command *const *all, size_t n, const char *group)
{
    size_t length = group == NULL ? 0 : strlen(group);
    printf("%s\n\nUsage: fermata COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n", about);
    for (size_t i = 0; i < n; i++)
        if (group == NULL || (strncmp(all[i]->name, group, length) == 0 && all[i]->name[length] == ' '))
            printf("  %-16s %s\n", all[i]->name, all[i]->summary);
    printf("\n'fermata COMMAND --help' says more of one.\n");
    if (group != NULL)
        return;
    printf("\nExit codes:\n");
    for (size_t i = 0; i < CLI_COUNT(exits); i++)
        printf("  %-16d %s\n", exits[i].code, exits[i].text);
}

/* ---- documents ---- */

#define MAX_LINE 100

/* Prints text in lines of MAX_LINE characters; further ones begin with `indent`. `at` is how many stand on
 * the line already. A code span is not broken. */
static void print_wrapped(const char *text, size_t at, const char *indent)
{
    bool blank = false;
    while (*text != '\0') {
        size_t n = strcspn(text, " "), width = blank;
        if (text[0] == '`')
            n = 1 + strcspn(text + 1, "`") + strcspn(text + 1 + strcspn(text + 1, "`"), " ");
        for (size_t i = 0; i < n; i++)
            width += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (blank && at + width > MAX_LINE) {
            printf("\n%s", indent);
            at = strlen(indent);
            width--;
        } else if (blank) {
            printf(" ");
        }
        printf("%.*s", (int)n, text);
        at += width;
        text += n;
        blank = *text == ' ';
        text += blank;
    }
    printf("\n");
}

static void markdown_words(const struct cli *c, const struct cli_word *words, size_t n, bool options)
{
    for (size_t i = 0; i < n; i++) {
        bool value = options && words[i].kind != CLI_FLAG;
        char line[2048];
        fm_autofree char *all = words[i].choices == NULL ? fm_xstrdup("") : cli_choices(c, words[i].choices);
        snprintf(line, sizeof(line), "* `%s%s%s%s`: %s%s%s", options ? "--" : "", words[i].name,
                 value ? " " : "", value ? value_of(&words[i]) : "", words[i].help,
                 words[i].choices != NULL ? ": " : "", all);
        print_wrapped(line, 0, "  ");
    }
}

void cli_help_markdown(const struct cli *c)
{
    printf("# The command line\n\n%s\nThis page is made from its table of commands (`fermata help "
           "--markdown`).\n\n"
           "Ids of jobs may be shortened to a beginning or an end that no other job has. What is wanted goes "
           "to\n"
           "standard output, all talk to standard error.\n\n## Every command\n\n",
           about);
    markdown_words(c, cli_common_options, cli_n_common_options, true);
    printf(
        "\n`$XDG_CONFIG_HOME/fermata/config` (else `~/.config/fermata/config`) has a section a profile:\n\n"
        "    [default]\n    address = box1:7420\n    tls_ca = /etc/fermata/ca.pem\n    tls_cert = "
        "/home/ann/ann.pem\n"
        "    tls_key = /home/ann/ann.key\n    user = ann\n\n"
        "Each may also come from the environment: `FERMATA_ADDRESS`, `FERMATA_TLS_CA` and so on.\n\n## Exit "
        "codes\n\n| code | meaning |\n"
        "| --- | --- |\n");
    for (size_t i = 0; i < CLI_COUNT(exits); i++)
        printf("| %d | %s |\n", exits[i].code, exits[i].text);
    for (size_t i = 0; i < c->n_all; i++) {
        printf("\n## fermata %s\n\n", c->all[i]->name);
        print_wrapped(c->all[i]->summary, 0, "");
        printf("\n    ");
        print_usage(c->all[i]);
        printf("\n");
        if (c->all[i]->n_args + c->all[i]->n_options > 0)
            printf("\n");
        markdown_words(c, c->all[i]->args, c->all[i]->n_args, false);
        markdown_words(c, c->all[i]->options, c->all[i]->n_options, true);
        if (c->all[i]->examples != NULL)
            printf("\nFor example:\n\n%s\n", c->all[i]->examples);
    }
}

/* roff takes a backslash, and a dot or a quote at the beginning of a line, for its own. */
static void roff(const char *text)
{
    bool begins = true;
    for (; *text != '\0'; text++) {
        if (begins && (*text == '.' || *text == '\''))
            printf("\\&");
        begins = *text == '\n';
        if (*text == '\\' || *text == '-')
            printf("\\%c", *text);
        else
            printf("%c", *text);
    }
}

static void man_words(const struct cli *c, const struct cli_word *words, size_t n, bool options)
{
    for (size_t i = 0; i < n; i++) {
        printf(".TP\n.B ");
        roff(options ? "--" : "");
        roff(words[i].name);
        printf("%s%s\n", options && words[i].kind != CLI_FLAG ? " " : "",
               options && words[i].kind != CLI_FLAG ? value_of(&words[i]) : "");
        roff(words[i].help);
        if (words[i].choices != NULL) {
            fm_autofree char *all = cli_choices(c, words[i].choices);
            roff(": ");
            roff(all);
        }
        printf("\n");
    }
}

void cli_help_man(const struct cli *c)
{
    printf(".TH FERMATA 1 \"\" \"Fermata %s\" \"User Commands\"\n.SH NAME\nfermata \\- talks to a Fermata "
           "coordinator\n"
           ".SH SYNOPSIS\n.B fermata\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n",
           FERMATA_VERSION);
    roff(about);
    printf("\n.SH OPTIONS OF EVERY COMMAND\n");
    man_words(c, cli_common_options, cli_n_common_options, true);
    printf(".SH COMMANDS\n");
    for (size_t i = 0; i < c->n_all; i++) {
        printf(".SS ");
        print_usage(c->all[i]);
        printf("\n");
        roff(c->all[i]->summary);
        printf("\n");
        man_words(c, c->all[i]->args, c->all[i]->n_args, false);
        man_words(c, c->all[i]->options, c->all[i]->n_options, true);
    }
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < CLI_COUNT(exits); i++)
        printf(".TP\n.B %d\n%s\n", exits[i].code, exits[i].text);
}

/* ---- completion ---- */

bool cli_help_completion(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        printf("_fermata() {\n"
               "  local IFS=$'\\n'\n"
               "  COMPREPLY=($(fermata __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
               "  [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default\n"
               "}\n"
               "complete -F _fermata fermata\n");
    else if (strcmp(shell, "zsh") == 0)
        printf("#compdef fermata\n"
               "_fermata() {\n"
               "  local -a all\n"
               "  all=(\"${(@f)$(fermata __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
               "  [[ -n $all ]] && compadd -a all || _files\n"
               "}\n"
               "compdef _fermata fermata\n");
    else if (strcmp(shell, "fish") == 0)
        printf("function __fermata\n"
               "  set -l words (commandline -opc) (commandline -ct)\n"
               "  fermata __complete $words[2..-1] 2>/dev/null\n"
               "end\n"
               "complete -c fermata -a '(__fermata)'\n");
    else
        return false;
    return true;
}

static void offer(const char *candidate, const char *begun)
{
    if (strncmp(candidate, begun, strlen(begun)) == 0)
        printf("%s\n", candidate);
}

/* One page of a list: ids, names. */
static void offer_rows(struct cli *c, const char *method, const char *list, const char *id, const char *begun)
{
    json_t *request = json_pack("{s:i}", "pageSize", 100), *reply = NULL, *row;
    fm_auto(fm_err) err = {0};
    size_t i;
    if (cli_call(c->client, method, request, 1000, &reply, &err) == 0)
        json_array_foreach(json_object_get(reply, list), i, row) offer(cli_get_text(row, id, ""), begun);
    json_decref(reply);
    json_decref(request);
}

static void offer_values(struct cli *c, const struct cli_word *w, const char *begun)
{
    if (w->kind == CLI_JOB)
        offer_rows(c, "Jobs/ListJobs", "jobs", "jobId", begun);
    else if (w->kind == CLI_FLOW)
        offer_rows(c, "Flows/ListFlows", "flows", "name", begun);
    else if (w->kind == CLI_HOST)
        offer_rows(c, "Hosts/ListHosts", "hosts", "hostId", begun);
    if (w->choices == NULL)
        return;
    fm_autofree char *all = cli_choices(c, w->choices);
    char *rest = all;
    for (const char *one; (one = strtok_r(rest, ", ", &rest)) != NULL;)
        offer(one, begun);
}

/* The first words of commands, or the second ones after a group. */
static void offer_names(const struct cli *c, const char *group, const char *begun)
{
    char last[64] = "";
    size_t skip = group == NULL ? 0 : strlen(group) + 1;
    for (size_t i = 0; i < c->n_all; i++) {
        const char *name = c->all[i]->name;
        if (group != NULL && (strncmp(name, group, skip - 1) != 0 || name[skip - 1] != ' '))
            continue;
        char word[64];
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(name + skip, " "), name + skip);
        if (strcmp(word, last) != 0)
            offer(word, begun);
        memcpy(last, word, sizeof(last));
    }
}

void cli_complete(struct cli *c, int argc, char *const *argv)
{
    const char *begun = argc > 0 ? argv[argc - 1] : "", *nearest;
    int used;
    const struct cli_command *command = cli_find(c->all, c->n_all, argc - 1, argv, &used, &nearest);
    if (command == NULL) {
        offer_names(c, argc > 1 ? argv[0] : NULL, begun);
        return;
    }
    const char *before = argc - 1 > used ? argv[argc - 2] : "";
    const struct cli_word *w =
        strncmp(before, "--", 2) == 0 ? cli_option(command, before + 2, strlen(before + 2)) : NULL;
    if (w != NULL && w->kind != CLI_FLAG) {
        offer_values(c, w, begun);
        return;
    }
    if (begun[0] == '-') {
        char name[80];
        for (size_t i = 0; i < command->n_options + cli_n_common_options; i++) {
            snprintf(
                name, sizeof(name), "--%s",
                (i < command->n_options ? &command->options[i] : &cli_common_options[i - command->n_options])
                    ->name);
            offer(name, begun);
        }
        return;
    }
    size_t at = 0; /* arguments that are complete */
    for (int i = used; i < argc - 1; i++) {
        const struct cli_word *o = strncmp(argv[i], "--", 2) == 0
                                       ? cli_option(command, argv[i] + 2, strcspn(argv[i] + 2, "="))
                                       : NULL;
        if (o != NULL)
            i += o->kind != CLI_FLAG && strchr(argv[i], '=') == NULL;
        else
            at++;
    }
    if (at < command->n_args)
        offer_values(c, &command->args[at], begun);
}
