/* fermata job … */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "follow.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "run.h"
#include "submit.h"
#include "words.h"

#define JOB_COLUMNS                                                                                          \
    {"JOB", "jobId", CLI_AS_IS, false}, {"STATUS", "status", CLI_AS_STATUS, false},                          \
        {"FLOW", "flow", CLI_AS_IS, false}, {"HOST", "host", CLI_AS_IS, false},                              \
        {"STEPS", "stepCount", CLI_AS_IS, false},                                                            \
    {                                                                                                        \
        "CREATED", "createdAt", CLI_AS_TIME, false                                                           \
    }

/* ---- submit ---- */

static int submit(struct cli *c, json_t *request)
{
    json_t *reply = NULL;
    int code = cli_submit(c, request, &reply);
    if (code != CLI_OK)
        return code;
    if (cli_flag(c, "follow")) {
        fprintf(stderr, "job %s\n", cli_get_text(reply, "jobId", ""));
        code = cli_follow(c, cli_get_text(reply, "jobId", ""), true);
    } else {
        code = cli_show(c, reply);
    }
    json_decref(reply);
    return code;
}

static const struct cli_word submit_args[] = {
    {"flow", CLI_FLOW, "flow", "name of a stored flow", NULL, false},
};
static const struct cli_word submit_options[] = {
    {"version",  CLI_NUMBER, "flowVersion", "of the flow; the newest",                                       NULL, true},
    {"entry",    CLI_SLOT,   "entry",       "where the data enters; the only routine that nothing leads to", NULL, true},
    {"task",     CLI_TEXT,   NULL,          "the data {\"task\": TEXT}, as agents take it",                  NULL, true},
    {"data",     CLI_JSON,   "data",        "the data",                                                      NULL, true},
    {"shared",   CLI_JSON,   "sharedData",  "the shared data to begin with",                                 NULL, true},
    {"label",    CLI_PAIR,   "labels",      "a label to find the job by; may be repeated",                   NULL, true},
    {"priority", CLI_NUMBER, "priority",    "among waiting jobs; -1000 to 1000",                             NULL, true},
    CLI_REQUEST_ID,
    CLI_PLACEMENT,
    {"follow",   CLI_FLAG,   NULL,          "shows what happens until the job ends, and asks what it asks",  NULL, true},
};
static const struct cli_column submit_columns[] = {
    {"JOB", "jobId", CLI_AS_IS, false},
};
const struct cli_command cli_job_submit = {
    .name = "job submit",
    .summary = "Starts a job of a stored flow",
    .method = "Jobs/SubmitJob",
    .args = submit_args,
    .n_args = CLI_COUNT(submit_args),
    .options = submit_options,
    .n_options = CLI_COUNT(submit_options),
    .id = "jobId",
    .columns = submit_columns,
    .n_columns = CLI_COUNT(submit_columns),
    .run = submit,
    .examples = "    fermata job submit trip --task \"Plan a trip\" --label user=ann --follow",
};

/* ---- looking ---- */

static const struct cli_word job_arg[] = {CLI_JOB_ARG};
static const struct cli_word ls_options[] = {
    {"status", CLI_CHOICES, "statuses",      "only these; may be repeated",                   "fermata.v1.JobStatus", true},
    {"flow",   CLI_FLOW,    "flow",          "of this flow",                                  NULL,                   true},
    {"host",   CLI_HOST,    "host",          "on this host",                                  NULL,                   true},
    {"label",  CLI_PAIR,    "labels",        "with this label; may be repeated",              NULL,                   true},
    {"after",  CLI_TEXT,    "createdAfter",  "created after this time, 2026-01-31T12:00:00Z", NULL,                   true},
    {"before", CLI_TEXT,    "createdBefore", "created before this time",                      NULL,                   true},
    CLI_LIMIT,
};
static const struct cli_column ls_columns[] = {
    JOB_COLUMNS,
    {"WAITS FOR", "waitingReason", CLI_AS_IS,    true},
    {"LABELS",    "labels",        CLI_AS_PAIRS, true},
    {"ERROR",     "error.message", CLI_AS_IS,    true},
};
const struct cli_command cli_job_ls = {
    .name = "job ls",
    .summary = "Lists jobs, newest first",
    .method = "Jobs/ListJobs",
    .options = ls_options,
    .n_options = CLI_COUNT(ls_options),
    .list = "jobs",
    .id = "jobId",
    .columns = ls_columns,
    .n_columns = CLI_COUNT(ls_columns),
    .pages = true,
    .examples = "    fermata job ls --status paused,failed --flow trip -o wide",
};

static const struct cli_word get_options[] = {
    {"without-state", CLI_FLAG, "withoutState", "leaves the state out", NULL, true},
};
static const struct cli_column get_columns[] = {
    JOB_COLUMNS,
    {"VERSION",   "flowVersion",        CLI_AS_IS,    false},
    {"LAST HOST", "lastHost",           CLI_AS_IS,    false},
    {"UPDATED",   "updatedAt",          CLI_AS_TIME,  false},
    {"FINISHED",  "finishedAt",         CLI_AS_TIME,  false},
    {"WAKES",     "wakeAt",             CLI_AS_TIME,  false},
    {"DEADLINE",  "deadlineAt",         CLI_AS_TIME,  false},
    {"WAITS FOR", "waitingReason",      CLI_AS_IS,    false},
    {"QUESTION",  "pauses[0].question", CLI_AS_IS,    false},
    {"OPEN",      "pauses",             CLI_AS_COUNT, false},
    {"LABELS",    "labels",             CLI_AS_PAIRS, false},
    {"PARENT",    "parent",             CLI_AS_IS,    false},
    {"CHILDREN",  "children",           CLI_AS_COUNT, false},
    {"ERROR",     "error.message",      CLI_AS_IS,    false},
    {"PENDING",   "state.pendingTasks", CLI_AS_COUNT, false},
    {"SHARED",    "state.sharedData",   CLI_AS_IS,    false},
    {"OUTPUTS",   "state.outputs",      CLI_AS_IS,    false},
};
const struct cli_command cli_job_get = {
    .name = "job get",
    .summary = "Shows a job with its state",
    .method = "Jobs/GetJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = get_options,
    .n_options = CLI_COUNT(get_options),
    .one = "job",
    .id = "jobId",
    .columns = get_columns,
    .n_columns = CLI_COUNT(get_columns),
};

static bool print_event(void *arg, json_t *event)
{
    fm_autofree char *text = cli_json_text(event);
    (void)arg;
    if (json_object_get(event, "heartbeat") == NULL)
        printf("%s\n", text);
    (void)fflush(stdout);
    return true;
}

static int watch(struct cli *c, json_t *request)
{
    fm_auto(fm_err) err = {0};
    int code;
    long timeout = cli_word(c, "timeout") == NULL ? 0 : c->timeout_ms;
    if (strcmp(c->output, "table") == 0 || strcmp(c->output, "wide") == 0) {
        code = cli_follow(c, cli_get_text(request, "jobId", ""), false);
    } else {
        int rc = cli_stream(c->client, c->command->method, request, timeout, print_event, c, &err);
        code = rc < 0 ? cli_fail(&err) : CLI_OK;
    }
    json_decref(request);
    return code;
}

static const struct cli_word watch_options[] = {
    {"from", CLI_NUMBER, "fromStep", "the step to begin with", NULL, true},
};
const struct cli_command cli_job_watch = {
    .name = "job watch",
    .summary = "Shows what happens in a job until it ends; -o jsonl prints the events",
    .method = "Jobs/WatchJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = watch_options,
    .n_options = CLI_COUNT(watch_options),
    .id = "jobId",
    .run = watch,
};

static const struct cli_word history_options[] = {
    {"from", CLI_NUMBER, "fromStep", "the step to begin with", NULL, true},
    CLI_LIMIT,
};
static const struct cli_column history_columns[] = {
    {"STEP",    "number",        CLI_AS_IS,     false},
    {"ROUTINE", "routine",       CLI_AS_IS,     false},
    {"SLOT",    "slot",          CLI_AS_IS,     false},
    {"HOST",    "host",          CLI_AS_IS,     false},
    {"OUTCOME", "outcome",       CLI_AS_STATUS, false},
    {"AT",      "committedAt",   CLI_AS_TIME,   false},
    {"ERROR",   "error.message", CLI_AS_IS,     false},
    {"TASK",    "taskId",        CLI_AS_IS,     true },
    {"NEW",     "newTasks",      CLI_AS_COUNT,  true },
    {"CHANGES", "changes",       CLI_AS_COUNT,  true },
};
const struct cli_command cli_job_history = {
    .name = "job history",
    .summary = "Shows a job's steps in order",
    .method = "Jobs/GetHistory",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = history_options,
    .n_options = CLI_COUNT(history_options),
    .list = "steps",
    .id = "taskId",
    .columns = history_columns,
    .n_columns = CLI_COUNT(history_columns),
    .pages = true,
};

static int explain(struct cli *c, json_t *request)
{
    json_t *reply, *item;
    size_t i;
    int code = cli_ask(c, request, &reply);
    if (code != CLI_OK)
        return code;
    if (strcmp(c->output, "table") != 0 || c->jq != NULL) {
        code = cli_show(c, reply);
    } else {
        printf("%s\n", cli_get_text(reply, "summary", ""));
        json_array_foreach(json_object_get(reply, "waitsFor"), i, item)
            printf("  %s\n", cli_get_text(item, "text", ""));
        json_array_foreach(json_object_get(reply, "hosts"), i, item) printf(
            "  %s: %s%s\n", cli_get_text(item, "hostId", ""),
            json_is_true(json_object_get(item, "fits")) ? "fits" : "", cli_get_text(item, "reason", ""));
    }
    json_decref(reply);
    return code;
}

const struct cli_command cli_job_explain = {
    .name = "job explain",
    .summary = "Says why a job is where it is, and what to do",
    .method = "Jobs/ExplainJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .run = explain,
};

/* ---- steering ---- */

static const struct cli_column pause_columns[] = {
    {"STATUS", "status",  CLI_AS_STATUS, false},
    {"PAUSE",  "pauseId", CLI_AS_IS,     false},
};
static const struct cli_column resume_columns[] = {
    {"STATUS", "status",  CLI_AS_STATUS, false},
    {"PAUSE",  "pauseId", CLI_AS_IS,     false},
    {"HOST",   "host",    CLI_AS_IS,     false},
};
static const struct cli_column cancel_columns[] = {
    {"STATUS", "status",    CLI_AS_STATUS, false},
    {"STEPS",  "stepCount", CLI_AS_IS,     false},
};
static const struct cli_word pause_options[] = {
    {"grace", CLI_SPAN, "graceMs", "the step in hand is aborted after this; else it is waited for", NULL,
     true},
    CLI_REASON,
};
const struct cli_command cli_job_pause = {
    .name = "job pause",
    .summary = "Halts a job at the end of the step in hand",
    .method = "Jobs/PauseJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = pause_options,
    .n_options = CLI_COUNT(pause_options),
    .columns = pause_columns,
    .n_columns = CLI_COUNT(pause_columns),
    .by_path = "by",
};

static const struct cli_word resume_options[] = {
    {"pause", CLI_TEXT, "pauseId",     "which pause it ends",                NULL, true},
    {"wait",  CLI_FLAG, "waitForHost", "until a host has it",                NULL, true},
    {"step",  CLI_FLAG, "singleStep",  "holds the next task before it runs", NULL, true},
    CLI_REQUEST_ID,
    CLI_PLACEMENT,
};
const struct cli_command cli_job_resume = {
    .name = "job resume",
    .summary = "Lets a paused job go on, or a failed one from the task that failed; 'inbox answer' answers "
               "questions",
    .method = "Jobs/ResumeJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = resume_options,
    .n_options = CLI_COUNT(resume_options),
    .columns = resume_columns,
    .n_columns = CLI_COUNT(resume_columns),
    .by_path = "answeredBy",
};

static const struct cli_word cancel_options[] = {CLI_REASON};
const struct cli_command cli_job_cancel = {
    .name = "job cancel",
    .summary = "Ends a job",
    .method = "Jobs/CancelJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = cancel_options,
    .n_options = CLI_COUNT(cancel_options),
    .columns = cancel_columns,
    .n_columns = CLI_COUNT(cancel_columns),
    .confirm = "Cancel the job",
};
const struct cli_command cli_job_rm = {
    .name = "job rm",
    .summary = "Removes a job that has ended, with its state and history",
    .method = "Jobs/DeleteJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .confirm = "Remove the job",
};

static const struct cli_word fork_options[] = {
    {"step",   CLI_NUMBER, "step",       "the last step that the fork has; all", NULL, true},
    {"shared", CLI_JSON,   "sharedData", "shared data to set in it",             NULL, true},
    {"pause",  CLI_TEXT,   "pauseId",    "a question to answer otherwise",       NULL, true},
    {"answer", CLI_JSON,   "answer",     "that answer",                          NULL, true},
    {"label",  CLI_PAIR,   "labels",     "a label; may be repeated",             NULL, true},
    CLI_REQUEST_ID,
    CLI_PLACEMENT,
};
static const struct cli_column fork_columns[] = {
    {"JOB",    "jobId",  CLI_AS_IS,     false},
    {"STATUS", "status", CLI_AS_STATUS, false},
};
const struct cli_command cli_job_fork = {
    .name = "job fork",
    .summary = "Starts a new job from a step of another one",
    .method = "Jobs/ForkJob",
    .args = job_arg,
    .n_args = CLI_COUNT(job_arg),
    .options = fork_options,
    .n_options = CLI_COUNT(fork_options),
    .id = "jobId",
    .columns = fork_columns,
    .n_columns = CLI_COUNT(fork_columns),
    .by_path = "answeredBy",
};

static const struct cli_word input_args[] = {
    CLI_JOB_ARG,
    {"to",   CLI_SLOT, "to",   "the slot that gets it", NULL, false},
    {"data", CLI_JSON, "data", "the data",              NULL, false},
};
static const struct cli_word input_options[] = {CLI_REQUEST_ID};
static const struct cli_column input_columns[] = {
    {"INPUT", "inputNumber", CLI_AS_IS, false},
};
const struct cli_command cli_job_input = {
    .name = "job input",
    .summary = "Delivers data to a slot of a job that has not ended",
    .method = "Jobs/SendInput",
    .args = input_args,
    .n_args = CLI_COUNT(input_args),
    .options = input_options,
    .n_options = CLI_COUNT(input_options),
    .columns = input_columns,
    .n_columns = CLI_COUNT(input_columns),
    .by_path = "sentBy",
};
