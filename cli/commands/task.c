/* fermata task …, state …, break …: steering what a job does next. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "run.h"
#include "words.h"

#define TASK_ARG                                                                                             \
    {                                                                                                        \
        "task", CLI_TEXT, "taskId", "the task's id, as 'job get' shows it", NULL, false                      \
    }

static const struct cli_word task_args[] = {CLI_JOB_ARG, TASK_ARG};
static const struct cli_word reason_option[] = {CLI_REASON};
static const struct cli_column step_columns[] = {
    {"STEP",   "step",   CLI_AS_IS,     false},
    {"STATUS", "status", CLI_AS_STATUS, false},
};
static const struct cli_column number_column[] = {
    {"STEP", "step", CLI_AS_IS, false},
};
const struct cli_command cli_task_retry = {
    .name = "task retry",
    .summary = "Gives a task of a paused or failed job all its attempts again",
    .method = "Jobs/RetryTask",
    .args = task_args,
    .n_args = CLI_COUNT(task_args),
    .options = reason_option,
    .n_options = CLI_COUNT(reason_option),
    .columns = step_columns,
    .n_columns = CLI_COUNT(step_columns),
    .by_path = "by",
};
static const struct cli_word skip_options[] = {
    {"event", CLI_TEXT, "event", "the event that it emits instead of running", NULL, true},
    {"data",  CLI_JSON, "data",  "that event's data",                          NULL, true},
    CLI_REASON,
};
const struct cli_command cli_task_skip = {
    .name = "task skip",
    .summary = "Consumes a task of a paused or failed job without running it",
    .method = "Jobs/SkipTask",
    .args = task_args,
    .n_args = CLI_COUNT(task_args),
    .options = skip_options,
    .n_options = CLI_COUNT(skip_options),
    .columns = step_columns,
    .n_columns = CLI_COUNT(step_columns),
    .by_path = "by",
};
static const struct cli_word edit_args[] = {
    CLI_JOB_ARG,
    TASK_ARG,
    {"data", CLI_JSON, "data", "its new data", NULL, false},
};
const struct cli_command cli_task_edit = {
    .name = "task edit",
    .summary = "Gives a task of a paused or failed job other data",
    .method = "Jobs/EditTask",
    .args = edit_args,
    .n_args = CLI_COUNT(edit_args),
    .options = reason_option,
    .n_options = CLI_COUNT(reason_option),
    .columns = number_column,
    .n_columns = CLI_COUNT(number_column),
    .by_path = "by",
};

/* ---- state ---- */

/* The state alone: "job.state" of the reply. */
static int state(struct cli *c, json_t *request)
{
    json_t *reply;
    int code = cli_ask(c, request, &reply);
    if (code != CLI_OK)
        return code;
    json_t *j = json_object();
    json_object_set(j, "state", cli_get(reply, "job.state"));
    json_decref(reply);
    code = cli_show(c, j);
    json_decref(j);
    return code;
}

static const struct cli_word job_arg[] = {CLI_JOB_ARG};
const struct cli_command cli_state_get = {
    .name = "state get",
    .summary = "Shows a job's state: pending tasks, shared data, routines' states, outputs",
    .method = "Jobs/GetJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .run = state,
};
static const struct cli_word patch_options[] = {
    {"routine", CLI_TEXT,  "routine", "of this routine's state; else of the shared data", NULL, true},
    {"set",     CLI_JSON,  "set",     "an object with the keys to set",                   NULL, true},
    {"remove",  CLI_WORDS, "remove",  "a key to remove; may be repeated",                 NULL, true},
    CLI_REASON,
};
const struct cli_command cli_state_patch = {
    .name = "state patch",
    .summary = "Changes the shared data, or a routine's state, of a paused or failed job",
    .method = "Jobs/PatchState",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = patch_options,
    .n_options = CLI_COUNT(patch_options),
    .columns = number_column,
    .n_columns = CLI_COUNT(number_column),
    .by_path = "by",
    .examples = "    fermata state patch 01J9ZQ --set '{\"limit\": 5}' --reason \"asked by finance\"",
};

static const struct cli_word trim_options[] = {
    {"kept", CLI_JSON, "kept", "what stays, as {\"log\": 100, \"outputs\": 10}", NULL, false},
    CLI_REASON,
};
static const struct cli_column trim_columns[] = {
    {"STEP",  "step",       CLI_AS_IS, false},
    {"BYTES", "stateBytes", CLI_AS_IS, false},
};
const struct cli_command cli_state_trim = {
    .name = "state trim",
    .summary = "Cuts what the state of a PAUSED or FAILED job keeps",
    .method = "Jobs/TrimJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = trim_options,
    .n_options = CLI_COUNT(trim_options),
    .columns = trim_columns,
    .n_columns = CLI_COUNT(trim_columns),
    .by_path = "by",
    .examples = "    fermata state trim 01J9ZQ --kept '{\"log\": 100}'",
};

static const struct cli_word continue_options[] = {
    {"how", CLI_JSON, "how", "new tasks, what stays, as {\"kept\": {\"log\": 100}, \"keepGenerations\": 1}",
     NULL, true},
    CLI_REQUEST_ID,
    CLI_REASON,
};
static const struct cli_column continue_columns[] = {
    {"GENERATION", "generation", CLI_AS_IS,     false},
    {"STEP",       "step",       CLI_AS_IS,     false},
    {"STATUS",     "status",     CLI_AS_STATUS, false},
};
const struct cli_command cli_job_continue = {
    .name = "job continue",
    .summary = "Lets a job start its journal over",
    .method = "Jobs/ContinueJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = continue_options,
    .n_options = CLI_COUNT(continue_options),
    .columns = continue_columns,
    .n_columns = CLI_COUNT(continue_columns),
    .by_path = "by",
    .examples = "    fermata job continue 01J9ZQ --how '{\"kept\": {\"log\": 0}}'",
};

/* ---- breakpoints ---- */

static json_t *breakpoints(struct cli *c, const char *job_id, json_t **reply, struct fm_err *err)
{
    json_t *found = cli_get_job(c, job_id, false, reply, err) < 0 ? NULL : cli_get(*reply, "job.breakpoints");
    return found != NULL ? json_incref(found) : json_array();
}

/* Adds one to those that there are, for the call replaces them all. */
static int add(struct cli *c, json_t *request)
{
    json_t *reply = NULL, *one = json_object();
    fm_auto(fm_err) err = {0};
    json_t *all = breakpoints(c, cli_get_text(request, "jobId", ""), &reply, &err);
    json_decref(reply);
    if (err.code != FM_OK) {
        json_decref(all);
        json_decref(one);
        json_decref(request);
        return cli_fail(&err);
    }
    const char *at = cli_word(c, "at"), *dot = strrchr(at, '.');
    json_object_set_new(one, "routine", json_stringn(at, dot == NULL ? strlen(at) : (size_t)(dot - at)));
    if (dot != NULL)
        json_object_set_new(one, "slot", json_string(dot + 1));
    if (cli_word(c, "when") != NULL)
        json_object_set_new(one, "condition", json_string(cli_word(c, "when")));
    json_array_append_new(all, one);
    json_object_set_new(request, "breakpoints", all);
    return cli_run_call(c, request);
}

static const struct cli_column status_column[] = {
    {"STATUS", "status", CLI_AS_STATUS, false},
};
static const struct cli_word break_args[] = {
    CLI_JOB_ARG,
    {"at", CLI_TEXT, NULL, "ROUTINE or ROUTINE.SLOT; * is any routine", NULL, false},
};
static const struct cli_word break_options[] = {
    {"when", CLI_TEXT, NULL, "a jq condition on the task's data", NULL, true},
};
const struct cli_command cli_break_set = {
    .name = "break set",
    .summary = "Adds a breakpoint: tasks are held there before they run",
    .method = "Jobs/SetBreakpoints",
    .args = break_args,
    .n_args = CLI_COUNT(break_args),
    .options = break_options,
    .n_options = CLI_COUNT(break_options),
    .columns = status_column,
    .n_columns = CLI_COUNT(status_column),
    .run = add,
    .examples = "    fermata break set 01J9ZQ pay.in --when '.amount > 100'",
};

static int list(struct cli *c, json_t *request)
{
    json_t *reply = NULL;
    fm_auto(fm_err) err = {0};
    json_t *all = breakpoints(c, cli_get_text(request, "jobId", ""), &reply, &err);
    json_decref(request);
    json_decref(reply);
    json_t *shown = json_pack("{s:o}", "breakpoints", all);
    int code = err.code != FM_OK ? cli_fail(&err) : cli_show(c, shown);
    json_decref(shown);
    return code;
}

static const struct cli_column break_columns[] = {
    {"ROUTINE", "routine",   CLI_AS_IS, false},
    {"SLOT",    "slot",      CLI_AS_IS, false},
    {"WHEN",    "condition", CLI_AS_IS, false},
};
const struct cli_command cli_break_ls = {
    .name = "break ls",
    .summary = "Lists a job's breakpoints",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .list = "breakpoints",
    .id = "routine",
    .columns = break_columns,
    .n_columns = CLI_COUNT(break_columns),
    .run = list,
};
const struct cli_command cli_break_clear = {
    .name = "break clear",
    .summary = "Removes all breakpoints of a job",
    .method = "Jobs/SetBreakpoints",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .columns = status_column,
    .n_columns = CLI_COUNT(status_column),
};
