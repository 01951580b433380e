/* What is of no group: usage, count, health, config, completion, version, help. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "help.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "run.h"
#include "settings.h"
#include "words.h"

static const struct cli_word usage_options[] = {
    {"by",        CLI_CHOICE, "group",    "what to sum up by",            "fermata.v1.UsageGroup", true},
    {"label-key", CLI_TEXT,   "labelKey", "with --by label: which label", NULL,                    true},
    {"from",      CLI_TEXT,   "fromDay",  "the first day, 2026-01-31",    NULL,                    true},
    {"to",        CLI_TEXT,   "toDay",    "the last day",                 NULL,                    true},
    {"flow",      CLI_FLOW,   "flow",     "of jobs of this flow",         NULL,                    true},
};
static const struct cli_column usage_columns[] = {
    {"",       "key",                CLI_AS_IS, false},
    {"CALLS",  "usage.calls",        CLI_AS_IS, false},
    {"INPUT",  "usage.inputTokens",  CLI_AS_IS, false},
    {"CACHED", "usage.cachedTokens", CLI_AS_IS, false},
    {"OUTPUT", "usage.outputTokens", CLI_AS_IS, false},
    {"COST",   "usage.cost",         CLI_AS_IS, false},
};
const struct cli_command cli_usage_sums = {
    .name = "usage",
    .summary = "Sums up what model calls used",
    .method = "Jobs/GetUsage",
    .options = usage_options,
    .n_options = CLI_COUNT(usage_options),
    .list = "sums",
    .id = "key",
    .columns = usage_columns,
    .n_columns = CLI_COUNT(usage_columns),
    .examples = "    fermata usage --by day --from 2026-01-01",
};

static const struct cli_word count_options[] = {
    {"flow",  CLI_FLOW, "flow",   "of this flow",                     NULL, true},
    {"host",  CLI_HOST, "host",   "on this host",                     NULL, true},
    {"label", CLI_PAIR, "labels", "with this label; may be repeated", NULL, true},
};
static const struct cli_column count_columns[] = {
    {"STATUS", "status", CLI_AS_STATUS, false},
    {"JOBS",   "count",  CLI_AS_IS,     false},
};
const struct cli_command cli_count = {
    .name = "count",
    .summary = "Counts jobs by status",
    .method = "Jobs/CountJobs",
    .options = count_options,
    .n_options = CLI_COUNT(count_options),
    .list = "counts",
    .id = "status",
    .columns = count_columns,
    .n_columns = CLI_COUNT(count_columns),
};

static int health(struct cli *c, json_t *request)
{
    json_t *reply;
    int code = cli_ask(c, request, &reply);
    if (code != CLI_OK)
        return code;
    bool serving = strcmp(cli_get_text(reply, "status", ""), "SERVING") == 0;
    code = cli_show(c, reply);
    json_decref(reply);
    return code != CLI_OK ? code : serving ? CLI_OK : CLI_UNREACHABLE;
}

static const struct cli_column health_columns[] = {
    {"STATUS", "status", CLI_AS_IS, false},
};
const struct cli_command cli_health = {
    .name = "health",
    .summary = "Says whether the coordinator serves",
    .method = "grpc.health.v1.Health/Check",
    .columns = health_columns,
    .n_columns = CLI_COUNT(health_columns),
    .run = health,
};

static int config(struct cli *c, json_t *request)
{
    struct cli_settings s;
    fm_auto(fm_err) err = {0};
    int code = CLI_OK;
    json_decref(request);
    if (cli_settings_read(c, &s, &err) < 0) {
        code = cli_fail(&err);
    } else {
        json_t *j = json_pack("{s:s, s:s}", "file", s.file, "profile", s.profile);
        for (int i = 0; i < CLI_N_SETTINGS; i++)
            if (s.values[i] != NULL)
                json_object_set_new(j, cli_setting_name((enum cli_setting)i),
                                    json_pack("{s:s, s:s}", "value", s.values[i], "from", s.from[i]));
        code = cli_show(c, j);
        json_decref(j);
    }
    cli_settings_done(&s);
    return code;
}

static const struct cli_column config_columns[] = {
    {"FILE",         "file",           CLI_AS_IS, false},
    {"PROFILE",      "profile",        CLI_AS_IS, false},
    {"ADDRESS",      "address.value",  CLI_AS_IS, false},
    {"ADDRESS FROM", "address.from",   CLI_AS_IS, false},
    {"USER",         "user.value",     CLI_AS_IS, false},
    {"USER FROM",    "user.from",      CLI_AS_IS, false},
    {"TLS CA",       "tls-ca.value",   CLI_AS_IS, false},
    {"TLS CERT",     "tls-cert.value", CLI_AS_IS, false},
    {"TLS KEY",      "tls-key.value",  CLI_AS_IS, false},
};
const struct cli_command cli_config = {
    .name = "config",
    .summary = "Shows which coordinator is talked to, as whom, and what said so",
    .columns = config_columns,
    .n_columns = CLI_COUNT(config_columns),
    .id = "address.value",
    .run = config,
};

static int completion(struct cli *c, json_t *request)
{
    json_decref(request);
    if (!cli_help_completion(cli_word(c, "shell")))
        return cli_usage(c, "'%.64s' is none of bash, zsh, fish", cli_word(c, "shell"));
    return CLI_OK;
}

static const struct cli_word completion_args[] = {
    {"shell", CLI_TEXT, NULL, "bash, zsh or fish", NULL, false},
};
const struct cli_command cli_completion = {
    .name = "completion",
    .summary = "Prints what a shell is to source to complete commands, ids and names",
    .args = completion_args,
    .n_args = CLI_COUNT(completion_args),
    .run = completion,
    .examples = "    source <(fermata completion bash)",
};

static int version(struct cli *c, json_t *request)
{
    (void)c;
    json_decref(request);
    printf("fermata %s\n", FERMATA_VERSION);
    return CLI_OK;
}

const struct cli_command cli_version = {
    .name = "version",
    .summary = "Prints the version of this program",
    .run = version,
};

static int help(struct cli *c, json_t *request)
{
    json_decref(request);
    if (cli_flag(c, "markdown"))
        cli_help_markdown(c);
    else if (cli_flag(c, "man"))
        cli_help_man(c);
    else
        cli_help_all(c->all, c->n_all, NULL);
    return CLI_OK;
}

static const struct cli_word help_options[] = {
    {"markdown", CLI_FLAG, NULL, "as docs/cli.md",   NULL, true},
    {"man",      CLI_FLAG, NULL, "as a manual page", NULL, true},
};
const struct cli_command cli_help_command = {
    .name = "help",
    .summary = "Lists the commands; --markdown and --man print all there is to say of them",
    .options = help_options,
    .n_options = CLI_COUNT(help_options),
    .run = help,
};
