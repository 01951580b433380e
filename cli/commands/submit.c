/* fermata run, and what it shares with job submit. See submit.h. */
#include "submit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "client.h"
#include "commands.h"
#include "follow.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "words.h"

static bool is_led_to(json_t *flow, const char *routine)
{
    json_t *connection;
    size_t i;
    json_array_foreach(json_object_get(flow, "connections"), i,
                       connection) if (strcmp(cli_get_text(connection, "to.routine", ""), routine) ==
                                       0) return true;
    return false;
}

/* The only routine that no connection leads to, and the first slot of its type. */
static int find_entry(json_t *flow, json_t *request, struct fm_err *err)
{
    json_t *routine, *first = NULL;
    size_t i, n = 0;
    json_array_foreach(json_object_get(flow, "routines"), i, routine)
    {
        if (is_led_to(flow, cli_get_text(routine, "id", "")))
            continue;
        n++;
        first = routine;
    }
    const struct type_spec *type = n == 1 ? type_catalog_find(cli_get_text(first, "type", "")) : NULL;
    if (n != 1)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                          "%s: --entry ROUTINE.SLOT says where the data enters",
                          n == 0 ? "connections lead to every routine" : "the flow has several beginnings");
    if (type == NULL || type->n_slots == 0 || strcmp(type->slots[0].name, "*") == 0)
        return fm_err_set(
            err, FM_INVALID_ARGUMENT, NULL,
            "the slots of the type '%s' are not known here: --entry %s.SLOT says where the data enters",
            cli_get_text(first, "type", ""), cli_get_text(first, "id", ""));
    json_object_set_new(
        request, "entry",
        json_pack("{s:s, s:s}", "routine", cli_get_text(first, "id", ""), "slot", type->slots[0].name));
    return 0;
}

static int find_entry_of_stored(struct cli *c, json_t *request, struct fm_err *err)
{
    json_t *ask = json_pack("{s:s}", "name", cli_get_text(request, "flow", "")), *reply = NULL;
    if (json_object_get(request, "flowVersion") != NULL)
        json_object_set(ask, "version", json_object_get(request, "flowVersion"));
    int rc = cli_call(c->client, "Flows/GetFlow", ask, c->timeout_ms, &reply, err);
    json_decref(ask);
    if (rc == 0)
        rc = find_entry(json_object_get(reply, "flow"), request, err);
    json_decref(reply);
    return rc;
}

int cli_submit(struct cli *c, json_t *request, json_t **ret)
{
    fm_auto(fm_err) err = {0};
    const char *task = cli_word(c, "task");
    json_t *flow = json_object_get(request, "inlineFlow");
    int rc = 0;
    if (task != NULL && json_object_get(request, "data") != NULL) {
        json_decref(request);
        return cli_usage(c, "--task and --data exclude each other");
    }
    if (task != NULL)
        json_object_set_new(request, "data", json_pack("{s:s}", "task", task));
    if (json_object_get(request, "entry") == NULL)
        rc = flow != NULL ? find_entry(flow, request, &err) : find_entry_of_stored(c, request, &err);
    if (rc == 0)
        rc = cli_call(c->client, "Jobs/SubmitJob", request, c->timeout_ms, ret, &err);
    json_decref(request);
    return rc < 0 ? cli_fail(&err) : CLI_OK;
}

/* ---- run ---- */

/* The flow of a file, which may have it as PutFlow takes it. */
static json_t *flow_of_file(const char *file, struct fm_err *err)
{
    json_t *j = cli_read_json_file("file", file, err), *inner = json_object_get(j, "flow");
    if (json_is_object(inner) && json_object_get(j, "routines") == NULL) {
        json_incref(inner);
        json_decref(j);
        return inner;
    }
    return j;
}

static int run(struct cli *c, json_t *request)
{
    fm_auto(fm_err) err = {0};
    json_t *flow = flow_of_file(cli_word(c, "file"), &err), *reply = NULL;
    if (flow == NULL) {
        json_decref(request);
        return cli_fail(&err);
    }
    json_object_set_new(request, "inlineFlow", flow);
    int code = cli_submit(c, request, &reply);
    if (code != CLI_OK)
        return code;
    if (cli_flag(c, "no-follow")) {
        printf("%s\n", cli_get_text(reply, "jobId", ""));
    } else {
        fprintf(stderr, "job %s\n", cli_get_text(reply, "jobId", ""));
        code = cli_follow(c, cli_get_text(reply, "jobId", ""), true);
    }
    json_decref(reply);
    return code;
}

static const struct cli_word run_args[] = {
    {"file", CLI_TEXT, NULL, "a file with the flow as JSON; - is standard input", NULL, false},
};
static const struct cli_word run_options[] = {
    {"task",      CLI_TEXT, NULL,         "the data {\"task\": TEXT}, as agents take it",                  NULL, true},
    {"data",      CLI_JSON, "data",       "the data",                                                      NULL, true},
    {"entry",     CLI_SLOT, "entry",      "where the data enters; the only routine that nothing leads to", NULL, true},
    {"shared",    CLI_JSON, "sharedData", "the shared data to begin with",                                 NULL, true},
    {"label",     CLI_PAIR, "labels",     "a label to find the job by; may be repeated",                   NULL, true},
    {"no-follow", CLI_FLAG, NULL,         "prints the job's id and does not wait for its end",             NULL, true},
    CLI_REQUEST_ID,
    CLI_PLACEMENT,
};
const struct cli_command cli_run = {
    .name = "run",
    .summary =
        "Runs a flow from a file and follows the job: shows its steps, asks what it asks, prints its outputs",
    .args = run_args,
    .n_args = CLI_COUNT(run_args),
    .options = run_options,
    .n_options = CLI_COUNT(run_options),
    .one = "job",
    .id = "jobId",
    .run = run,
    .examples = "    fermata run examples/trip.json --task \"Plan a trip\"",
};
