/* See follow.h. */
#include "follow.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "client.h"
#include "mem.h"
#include "output.h"
#include "request.h"
#include "run.h"

#define PREFIX (sizeof("JOB_STATUS_") - 1)

struct follow {
    struct cli *c;
    char status[40]; /* that was shown last */
    bool asks;       /* it waits for an answer that we are to ask for */
    bool ask;
    unsigned next; /* step to go on from */
    bool progress; /* text of a handler at work stands on the line */
};

static bool ended(const char *status)
{
    return strcmp(status, "JOB_STATUS_COMPLETED") == 0 || strcmp(status, "JOB_STATUS_FAILED") == 0 ||
           strcmp(status, "JOB_STATUS_CANCELLED") == 0;
}

static void say_job(struct follow *f, json_t *job)
{
    const char *status = cli_get_text(job, "status", ""), *host = cli_get_text(job, "host", "");
    json_t *pause;
    size_t i;
    if (strcmp(status, f->status) != 0) {
        fprintf(stderr, "%s%s%s\n", strlen(status) > PREFIX ? status + PREFIX : status,
                host[0] != '\0' ? " on " : "", host);
        snprintf(f->status, sizeof(f->status), "%s", status);
        json_array_foreach(json_object_get(job, "pauses"), i, pause)
            fprintf(stderr, "  asks: %s\n", cli_get_text(pause, "question", ""));
        fprintf(stderr, "%s%s%s", cli_get(job, "error") != NULL ? "  " : "",
                cli_get_text(job, "error.message", ""), cli_get(job, "error") != NULL ? "\n" : "");
    }
    f->asks = strcmp(status, "JOB_STATUS_PAUSED") == 0 && json_array_size(json_object_get(job, "pauses")) > 0;
}

static void say_step(struct follow *f, json_t *step)
{
    json_t *entry;
    size_t i;
    f->next = (unsigned)json_number_value(json_object_get(step, "number")) + 1;
    fprintf(stderr, "  %u %s.%s on %s\n", f->next - 1, cli_get_text(step, "routine", "?"),
            cli_get_text(step, "slot", "?"), cli_get_text(step, "host", "the coordinator"));
    json_array_foreach(json_object_get(step, "log"), i, entry)
        fprintf(stderr, "    log: %s\n", cli_get_text(entry, "message", ""));
}

static bool on_event(void *arg, json_t *event)
{
    struct follow *f = arg;
    json_t *job = json_object_get(event, "job"), *step = json_object_get(event, "step");
    if (step != NULL)
        say_step(f, step);
    if (job != NULL)
        say_job(f, job);
    return !(f->asks && f->ask);
}

static int show_end(struct cli *c, const char *job_id)
{
    json_t *reply = NULL, *output;
    fm_auto(fm_err) err = {0};
    size_t i;
    if (cli_get_job(c, job_id, true, &reply, &err) < 0)
        return cli_fail(&err);
    json_t *job = json_object_get(reply, "job");
    bool good = strcmp(cli_get_text(job, "status", ""), "JOB_STATUS_COMPLETED") == 0;
    if (strcmp(c->output, "table") == 0 && c->jq == NULL) {
        json_array_foreach(cli_get(job, "state.outputs"), i, output)
        {
            fm_autofree char *text = cli_json_text(json_object_get(output, "data"));
            printf("%s.%s %s\n", cli_get_text(output, "routine", ""), cli_get_text(output, "event", ""),
                   text);
        }
    } else {
        (void)cli_show(c, reply);
    }
    json_decref(reply);
    return good ? CLI_OK : CLI_JOB_FAILED;
}

int cli_follow(struct cli *c, const char *job_id, bool ask)
{
    struct follow f = {.c = c, .ask = ask && isatty(STDIN_FILENO) != 0};
    fm_auto(fm_err) err = {0};
    do {
        json_t *request = json_pack("{s:s, s:i}", "jobId", job_id, "fromStep", f.next);
        f.asks = false;
        int rc = cli_stream(c->client, "Jobs/WatchJob", request,
                            cli_word(c, "timeout") != NULL ? c->timeout_ms : 0, on_event, &f, &err);
        json_decref(request);
        if (rc < 0)
            return cli_fail(&err);
        if (f.asks && f.ask) {
            int code = cli_answer_at_terminal(c, job_id);
            if (code != CLI_OK)
                return code;
            f.status[0] = '\0';
        }
    } while (!ended(f.status));
    return show_end(c, job_id);
}
