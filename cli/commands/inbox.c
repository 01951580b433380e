/* fermata inbox …: the questions that wait for somebody. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answer.h"
#include "client.h"
#include "commands.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "run.h"
#include "words.h"

extern char **environ;

static const struct cli_word ls_options[] = {
    {"flow",       CLI_FLOW,    "flow",      "of jobs of this flow",                     NULL,                     true},
    {"label",      CLI_PAIR,    "labels",    "of jobs with this label; may be repeated", NULL,                     true},
    {"reason",     CLI_CHOICES, "reasons",   "why they wait",                            "fermata.v1.PauseReason", true},
    {"routine",    CLI_TEXT,    "routine",   "asked by this routine",                    NULL,                     true},
    {"claims",     CLI_CHOICE,  "claims",    "only these",                               "fermata.v1.ClaimFilter", true},
    {"claimed-by", CLI_TEXT,    "claimedBy", "claimed by this person",                   NULL,                     true},
    CLI_LIMIT,
};
static const struct cli_column ls_columns[] = {
    {"JOB",      "jobId",           CLI_AS_IS,     false},
    {"PAUSE",    "pause.pauseId",   CLI_AS_IS,     false},
    {"FLOW",     "flow",            CLI_AS_IS,     false},
    {"REASON",   "pause.reason",    CLI_AS_STATUS, false},
    {"ASKED",    "pause.at",        CLI_AS_TIME,   false},
    {"CLAIMED",  "pause.claimedBy", CLI_AS_IS,     false},
    {"QUESTION", "pause.question",  CLI_AS_IS,     false},
    {"EXPIRES",  "pause.expiresAt", CLI_AS_TIME,   true },
    {"ROUTINE",  "pause.routine",   CLI_AS_IS,     true },
    {"LABELS",   "labels",          CLI_AS_PAIRS,  true },
};
const struct cli_command cli_inbox_ls = {
    .name = "inbox ls",
    .summary = "Lists the open questions of all jobs",
    .method = "Jobs/ListPauses",
    .options = ls_options,
    .n_options = CLI_COUNT(ls_options),
    .list = "pauses",
    .id = "jobId",
    .columns = ls_columns,
    .n_columns = CLI_COUNT(ls_columns),
    .pages = true,
    .examples = "    fermata inbox ls --reason question --claims unclaimed",
};

/* ---- which question ---- */

/* The job's open pauses, for json_decref of *reply. */
static json_t *pauses_of(struct cli *c, const char *job_id, json_t **reply, struct fm_err *err)
{
    return cli_get_job(c, job_id, false, reply, err) < 0 ? NULL : cli_get(*reply, "job.pauses");
}

static void list_pauses(json_t *pauses)
{
    json_t *pause;
    size_t i;
    json_array_foreach(pauses, i, pause) fprintf(stderr, "  %s  %s\n", cli_get_text(pause, "pauseId", ""),
                                                 cli_get_text(pause, "question", ""));
}

/* The one that is named, or the only one. NULL with the exit code: what there is has been said. */
static json_t *choose(const char *job_id, json_t *pauses, const char *named, int *code)
{
    json_t *pause;
    size_t i;
    if (named == NULL && json_array_size(pauses) == 1)
        return json_array_get(pauses, 0);
    json_array_foreach(pauses, i, pause) if (named != NULL && strcmp(cli_get_text(pause, "pauseId", ""),
                                                                     named) == 0) return pause;
    if (named != NULL) {
        fprintf(stderr, "fermata: %s has no open question %s%s\n", job_id, named,
                json_array_size(pauses) > 0 ? "; it has:" : "");
        *code = CLI_NOT_FOUND;
    } else {
        fprintf(stderr, "fermata: %s has %s\n", job_id,
                json_array_size(pauses) == 0 ? "no open question"
                                             : "several open questions: name one with --pause");
        *code = CLI_REFUSED;
    }
    list_pauses(pauses);
    return NULL;
}

static json_t *the_pause(struct cli *c, const char *job_id, json_t **reply, int *code)
{
    fm_auto(fm_err) err = {0};
    json_t *pauses = pauses_of(c, job_id, reply, &err);
    if (err.code != FM_OK) {
        *code = cli_fail(&err);
        return NULL;
    }
    return choose(job_id, pauses, cli_word(c, "pause"), code);
}

static int show(struct cli *c, json_t *request)
{
    json_t *reply = NULL, *pause;
    int code = CLI_OK;
    pause = the_pause(c, cli_get_text(request, "jobId", ""), &reply, &code);
    if (pause != NULL) {
        json_t *shown = json_pack("{s:O, s:O}", "jobId", json_object_get(request, "jobId"), "pause", pause);
        code = cli_show(c, shown);
        json_decref(shown);
    }
    json_decref(reply);
    json_decref(request);
    return code;
}

static const struct cli_word show_args[] = {CLI_JOB_ARG};
static const struct cli_word pause_option[] = {
    {"pause", CLI_TEXT, NULL, "which question, when there are several", NULL, true},
};
static const struct cli_column show_columns[] = {
    {"JOB",      "jobId",               CLI_AS_IS,     false},
    {"PAUSE",    "pause.pauseId",       CLI_AS_IS,     false},
    {"REASON",   "pause.reason",        CLI_AS_STATUS, false},
    {"ASKED BY", "pause.routine",       CLI_AS_IS,     false},
    {"ASKED",    "pause.at",            CLI_AS_TIME,   false},
    {"EXPIRES",  "pause.expiresAt",     CLI_AS_TIME,   false},
    {"CLAIMED",  "pause.claimedBy",     CLI_AS_IS,     false},
    {"QUESTION", "pause.question",      CLI_AS_IS,     false},
    {"CHOICES",  "pause.choices",       CLI_AS_IS,     false},
    {"SCHEMA",   "pause.answerSchema",  CLI_AS_IS,     false},
    {"DEFAULT",  "pause.defaultAnswer", CLI_AS_IS,     false},
    {"DATA",     "pause.data",          CLI_AS_IS,     false},
    {"DIGEST",   "pause.digest",        CLI_AS_IS,     false},
};
const struct cli_command cli_inbox_show = {
    .name = "inbox show",
    .summary = "Shows a question whole: what is asked, and what an answer may be",
    .args = show_args,
    .n_args = CLI_COUNT(show_args),
    .options = pause_option,
    .n_options = CLI_COUNT(pause_option),
    .columns = show_columns,
    .n_columns = CLI_COUNT(show_columns),
    .id = "jobId",
    .run = show,
};

/* ---- claims ---- */

static int claim(struct cli *c, json_t *request)
{
    json_t *reply = NULL;
    int code = CLI_OK;
    json_t *pause = the_pause(c, cli_get_text(request, "jobId", ""), &reply, &code);
    if (pause != NULL)
        json_object_set(request, "pauseId", json_object_get(pause, "pauseId"));
    bool found = pause != NULL;
    json_decref(reply);
    if (found)
        return cli_run_call(c, request);
    json_decref(request);
    return code;
}

static const struct cli_word claim_options[] = {
    {"pause", CLI_TEXT, NULL,    "which question, when there are several", NULL, true},
    {"for",   CLI_SPAN, "ttlMs", "how long the claim holds",               NULL, true},
};
static const struct cli_column claim_columns[] = {
    {"PAUSE",   "pauseId",        CLI_AS_IS,   false},
    {"CLAIMED", "claimedBy",      CLI_AS_IS,   false},
    {"UNTIL",   "claimExpiresAt", CLI_AS_TIME, false},
};
const struct cli_command cli_inbox_claim = {
    .name = "inbox claim",
    .summary = "Reserves a question for yourself for a while",
    .method = "Jobs/ClaimPause",
    .args = show_args,
    .n_args = CLI_COUNT(show_args),
    .options = claim_options,
    .n_options = CLI_COUNT(claim_options),
    .one = "pause",
    .id = "pauseId",
    .columns = claim_columns,
    .n_columns = CLI_COUNT(claim_columns),
    .by_path = "by",
    .run = claim,
};
const struct cli_command cli_inbox_release = {
    .name = "inbox release",
    .summary = "Ends your claim",
    .method = "Jobs/ReleasePause",
    .args = show_args,
    .n_args = CLI_COUNT(show_args),
    .options = pause_option,
    .n_options = CLI_COUNT(pause_option),
    .one = "pause",
    .id = "pauseId",
    .columns = claim_columns,
    .n_columns = CLI_COUNT(claim_columns),
    .by_path = "by",
    .run = claim,
};

/* ---- answers ---- */

/* True when a schema's "type" is this one, or has it among others. */
static bool schema_has(json_t *schema, const char *type)
{
    json_t *t = json_object_get(schema, "type"), *item;
    size_t i;
    if (json_is_string(t))
        return strcmp(json_string_value(t), type) == 0;
    json_array_foreach(t, i, item) if (json_is_string(item) &&
                                       strcmp(json_string_value(item), type) == 0) return true;
    return false;
}

/* Text is a string unless the answer's schema has types and string is not among them. */
static json_t *from_text(json_t *pause, const char *text, struct fm_err *err)
{
    json_t *schema = json_object_get(pause, "answerSchema");
    if (json_object_get(schema, "type") == NULL || schema_has(schema, "string")) {
        json_t *j = json_string(text);
        if (j == NULL)
            (void)fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "is not UTF-8");
        return j;
    }
    json_error_t fault;
    json_t *j = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    if (j == NULL) {
        fm_autofree char *types = cli_json_text(json_object_get(schema, "type"));
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "must be JSON of the type %s: %s", types,
                         fault.text);
    }
    return j;
}

static int send_answer(struct cli *c, const char *job_id, json_t *pause, json_t *answer, json_t *request)
{
    json_t *digest = json_object_get(pause, "digest");
    json_object_set_new(request, "jobId", json_string(job_id));
    json_object_set(request, "pauseId", json_object_get(pause, "pauseId"));
    if (digest != NULL)
        json_object_set(request, "digest", digest); /* the answer is to what was seen, or it is refused */
    json_object_set_new(request, "answer", answer);
    if (c->by != NULL)
        json_object_set_new(request, "answeredBy", json_string(c->by));
    json_t *reply = NULL;
    fm_auto(fm_err) err = {0};
    int rc = cli_call(c->client, "Jobs/ResumeJob", request, c->timeout_ms, &reply, &err);
    int code = rc < 0 ? cli_fail(&err) : CLI_OK;
    if (rc == 0 && c->command->method != NULL)
        code = cli_show(c, reply);
    json_decref(reply);
    return code;
}

/* The file is edited by $VISUAL or $EDITOR. */
static int edit(const char *path, struct fm_err *err)
{
    const char *editor = getenv("VISUAL");
    if (editor == NULL || editor[0] == '\0')
        editor = getenv("EDITOR");
    if (editor == NULL || editor[0] == '\0')
        editor = "vi";
    fm_autofree char *command = fm_xmalloc(strlen(editor) + 8);
    sprintf(command, "%s \"$1\"", editor); /* an editor may have options */
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", command,
                    (char *)(uintptr_t) "sh", (char *)(uintptr_t)path,  NULL};
    pid_t pid;
    int status;
    if (posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0 ||
        status != 0)
        return fm_err_set(err, FM_CANCELLED, NULL, "the editor '%s' failed: nothing was answered", editor);
    return 0;
}

static json_t *from_editor(json_t *pause, struct fm_err *err)
{
    char path[] = "/tmp/fermata-answer-XXXXXX";
    fm_autoclose int fd = mkstemp(path);
    json_t *begun = json_object_get(pause, "defaultAnswer");
    fm_autofree char *text = begun == NULL ? fm_xstrdup("") : cli_json_text(begun);
    json_t *answer = NULL;
    size_t n;
    if (fd < 0 || dprintf(fd, "%s\n", text) < 0) {
        (void)fm_err_set(err, FM_INTERNAL, NULL, "%s cannot be written: %s", path, strerror(errno));
        return NULL;
    }
    if (edit(path, err) == 0) {
        fm_autofree char *written = cli_read_file(path, &n, err);
        if (written != NULL) {
            while (n > 0 && written[n - 1] == '\n')
                written[--n] = '\0';
            if (n == 0)
                (void)fm_err_set(err, FM_CANCELLED, NULL, "the file is empty: nothing was answered");
            else
                answer = from_text(pause, written, err);
        }
    }
    (void)unlink(path);
    return answer;
}

static json_t *from_terminal(json_t *pause, struct fm_err *err)
{
    json_t *choices = json_object_get(pause, "choices"), *choice;
    size_t i;
    char *line = NULL;
    size_t cap = 0;
    if (!isatty(STDIN_FILENO)) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, "answer",
                         "is missing, and there is no terminal to ask at");
        return NULL;
    }
    fprintf(stderr, "%s\n", cli_get_text(pause, "question", ""));
    json_array_foreach(choices, i, choice) fprintf(stderr, "  %zu  %s\n", i + 1, json_string_value(choice));
    if (json_object_get(pause, "answerSchema") != NULL) {
        fm_autofree char *text = cli_json_text(json_object_get(pause, "answerSchema"));
        fprintf(stderr, "  (%s)\n", text);
    }
    fprintf(stderr, "> ");
    ssize_t n = getline(&line, &cap, stdin);
    json_t *answer = NULL;
    if (n <= 0) {
        (void)fm_err_set(err, FM_CANCELLED, NULL, "nothing was answered");
    } else {
        line[strcspn(line, "\n")] = '\0';
        char *end;
        unsigned long at = strtoul(line, &end, 10);
        bool number = end != line && *end == '\0' && at >= 1 && at <= json_array_size(choices);
        answer = number ? json_incref(json_array_get(choices, at - 1)) : from_text(pause, line, err);
    }
    free(line);
    return answer;
}

int cli_answer_at_terminal(struct cli *c, const char *job_id)
{
    fm_auto(fm_err) err = {0};
    json_t *reply = NULL, *pauses = pauses_of(c, job_id, &reply, &err), *pause = json_array_get(pauses, 0);
    int code = err.code != FM_OK ? cli_fail(&err) : CLI_OK;
    if (pause != NULL) {
        json_t *answer = from_terminal(pause, &err), *request = json_object();
        code = answer == NULL ? cli_fail(&err) : send_answer(c, job_id, pause, answer, request);
        json_decref(request);
    }
    json_decref(reply);
    return code;
}

static int answer(struct cli *c, json_t *request)
{
    fm_autofree char *job_id = fm_xstrdup(cli_get_text(request, "jobId", ""));
    const char *text = cli_word(c, "text");
    fm_auto(fm_err) err = {0};
    json_t *reply = NULL, *answer = NULL;
    int code = CLI_OK;
    json_t *pause = the_pause(c, job_id, &reply, &code);
    if (pause != NULL) {
        if (cli_word(c, "json") != NULL)
            answer = cli_read_json("json", cli_word(c, "json"), &err);
        else if (cli_flag(c, "edit"))
            answer = from_editor(pause, &err);
        else if (text != NULL)
            answer = from_text(pause, text, &err);
        else
            answer = from_terminal(pause, &err);
        code = answer != NULL                    ? send_answer(c, job_id, pause, answer, request)
               : err.code == FM_INVALID_ARGUMENT ? (cli_fail(&err), CLI_USAGE)
                                                 : cli_fail(&err);
    }
    json_decref(reply);
    json_decref(request);
    return code;
}

static const struct cli_word answer_args[] = {
    CLI_JOB_ARG,
    {"text", CLI_TEXT, NULL, "the answer: a string, unless the answer's schema wants another type", NULL,
      true},
};
static const struct cli_word answer_options[] = {
    {"pause", CLI_TEXT, NULL,          "which question, when there are several", NULL, true},
    {"json",  CLI_JSON, NULL,          "the answer as JSON",                     NULL, true},
    {"edit",  CLI_FLAG, NULL,          "write it in $VISUAL or $EDITOR",         NULL, true},
    {"wait",  CLI_FLAG, "waitForHost", "until a host goes on with the job",      NULL, true},
    CLI_REQUEST_ID,
    CLI_PLACEMENT,
};
static const struct cli_column answer_columns[] = {
    {"PAUSE",  "pauseId", CLI_AS_IS,     false},
    {"STATUS", "status",  CLI_AS_STATUS, false},
    {"HOST",   "host",    CLI_AS_IS,     false},
};
const struct cli_command cli_inbox_answer = {
    .name = "inbox answer",
    .summary = "Answers a question; without TEXT it asks at the terminal",
    .method = "Jobs/ResumeJob",
    .args = answer_args,
    .n_args = CLI_COUNT(answer_args),
    .options = answer_options,
    .n_options = CLI_COUNT(answer_options),
    .id = "pauseId",
    .columns = answer_columns,
    .n_columns = CLI_COUNT(answer_columns),
    .run = answer,
    .examples = "    fermata inbox answer 01J9ZQ approve\n"
                "    fermata inbox answer 01J9ZQ --json '{\"decision\": \"deny\", \"reason\": \"too dear\"}'",
};
