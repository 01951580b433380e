/* fermata flow … */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "run.h"
#include "words.h"

/* A file has the flow itself, or {"flow": …} as PutFlow takes it. */
static int put(struct cli *c, json_t *request)
{
    fm_auto(fm_err) err = {0};
    json_t *j = cli_read_json_file("file", cli_word(c, "file"), &err), *reply, *warning;
    size_t i;
    if (j == NULL) {
        json_decref(request);
        return cli_fail(&err);
    }
    if (json_is_object(json_object_get(j, "flow")) && json_object_get(j, "routines") == NULL)
        json_object_update(request, j);
    else
        json_object_set(request, "flow", j);
    json_decref(j);
    int code = cli_ask(c, request, &reply);
    if (code != CLI_OK)
        return code;
    json_array_foreach(json_object_get(reply, "warnings"), i, warning)
        fprintf(stderr, "fermata: warning: %s\n", json_string_value(warning));
    code = cli_show(c, reply);
    json_decref(reply);
    return code;
}

static const struct cli_word put_args[] = {
    {"file", CLI_TEXT, NULL, "a file with the flow as JSON; - is standard input", NULL, false},
};
static const struct cli_column put_columns[] = {
    {"FLOW",    "name",    CLI_AS_IS, false},
    {"VERSION", "version", CLI_AS_IS, false},
    {"NEW",     "created", CLI_AS_IS, false},
};
const struct cli_command cli_flow_put = {
    .name = "flow put",
    .summary = "Checks a flow and stores it; the same again makes no new version",
    .method = "Flows/PutFlow",
    .args = put_args,
    .n_args = CLI_COUNT(put_args),
    .columns = put_columns,
    .n_columns = CLI_COUNT(put_columns),
    .id = "name",
    .run = put,
    .examples = "    fermata flow put trip.json",
};

static const struct cli_word get_args[] = {CLI_FLOW_ARG};
static const struct cli_word version_option[] = {
    {"version", CLI_NUMBER, "version", "which one; the newest", NULL, true},
};
const struct cli_command cli_flow_get = {
    .name = "flow get",
    .summary = "Shows a flow",
    .method = "Flows/GetFlow",
    .args = get_args,
    .n_args = CLI_COUNT(get_args),
    .options = version_option,
    .n_options = CLI_COUNT(version_option),
    .one = "flow",
    .id = "name",
};

static const struct cli_word ls_options[] = {CLI_LIMIT};
static const struct cli_column ls_columns[] = {
    {"FLOW",        "name",         CLI_AS_IS,   false},
    {"VERSION",     "version",      CLI_AS_IS,   false},
    {"ROUTINES",    "routineCount", CLI_AS_IS,   false},
    {"PUT",         "createdAt",    CLI_AS_TIME, false},
    {"DESCRIPTION", "description",  CLI_AS_IS,   false},
};
const struct cli_command cli_flow_ls = {
    .name = "flow ls",
    .summary = "Lists the flows, each in its newest version",
    .method = "Flows/ListFlows",
    .options = ls_options,
    .n_options = CLI_COUNT(ls_options),
    .list = "flows",
    .id = "name",
    .columns = ls_columns,
    .n_columns = CLI_COUNT(ls_columns),
    .pages = true,
};

const struct cli_command cli_flow_rm = {
    .name = "flow rm",
    .summary = "Removes a flow with all its versions; its jobs keep theirs",
    .method = "Flows/DeleteFlow",
    .args = get_args,
    .n_args = CLI_COUNT(get_args),
    .confirm = "Remove the flow",
};

static int graph(struct cli *c, json_t *request)
{
    json_t *reply;
    int code = cli_ask(c, request, &reply);
    if (code != CLI_OK)
        return code;
    if (strcmp(c->output, "table") == 0 && c->jq == NULL)
        printf("%s\n", cli_get_text(reply, "graph", ""));
    else
        code = cli_show(c, reply);
    json_decref(reply);
    return code;
}

static const struct cli_word graph_options[] = {
    {"version", CLI_NUMBER, "version", "which one; the newest",        NULL,                         true},
    {"format",  CLI_CHOICE, "format",  "for Graphviz or for Markdown", "fermata.v1.FlowGraphFormat", true},
};
const struct cli_command cli_flow_graph = {
    .name = "flow graph",
    .summary = "Draws a flow",
    .method = "Flows/GetFlowGraph",
    .args = get_args,
    .n_args = CLI_COUNT(get_args),
    .options = graph_options,
    .n_options = CLI_COUNT(graph_options),
    .run = graph,
    .examples = "    fermata flow graph trip | dot -Tsvg > trip.svg",
};
