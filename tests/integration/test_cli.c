/* The command line as people use it: the program itself, against real daemons. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs.h"
#include "cluster.h"

#define MAX_WORDS 24

/* What a command left. */
struct said {
    int code;
    char *out, *err;
};

static const char *program(void)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/cli/fermata", getenv("BUILD_DIR"));
    return path;
}

/* Runs `fermata WORDS…`, the last of which is NULL, with this standard input (NULL: none). */
static struct said fermata_with(const char *input, const char *first, va_list more)
{
    const char *argv[MAX_WORDS] = {program(), first};
    struct said s = {0};
    int n = 2;
    while (n < MAX_WORDS - 1 && (argv[n] = va_arg(more, const char *)) != NULL)
        n++;
    argv[n] = NULL;
    s.code = proc_run(argv, input, &s.out, &s.err);
    return s;
}

/* It must exit with this code; its standard output for free(). */
static char *ends(int code, const char *wanted_err, const char *first, ...)
{
    va_list more;
    va_start(more, first);
    struct said s = fermata_with("", first, more);
    va_end(more);
    if (s.code != code)
        fail_msg("fermata %s … ended with %d: %s%s", first, s.code, s.out, s.err);
    if (wanted_err != NULL && strstr(s.err, wanted_err) == NULL)
        fail_msg("'%s' does not say '%s'", s.err, wanted_err);
    free(s.err);
    return s.out;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' has no '%s'", text, part);
}

static char *first_line(char *text)
{
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void use(const struct cluster *c)
{
    setenv("FERMATA_ADDRESS", c->address, 1);
    setenv("FERMATA_USER", "ann", 1);
    setenv("FERMATA_CONFIG", "/nonexistent", 1);
    unsetenv("FERMATA_PROFILE");
}

static char *examples(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/examples/%s", getenv("SOURCE_DIR"), name);
    return path;
}

static void the_main_job(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 2);
    use(&c);
    free(ends(0, NULL, "flow", "put", examples("trip.json"), NULL));
    char *ls = ends(0, NULL, "flow", "ls", NULL);
    has(ls, "FLOW");
    has(ls, "trip");
    free(ls);
    char *job = first_line(ends(0, NULL, "job", "submit", "trip", "--task", "Plan", "-o", "name", NULL));
    json_decref(wait_status(&c, job, "PAUSED"));
    char *inbox = ends(0, NULL, "inbox", "ls", "-o", "json", NULL);
    json_t *j = json_loads(inbox, 0, NULL);
    assert_string_equal(at(j, "pauses[0].jobId"), job);
    assert_string_equal(at(j, "pauses[0].pause.reason"), "PAUSE_REASON_QUESTION");
    json_decref(j);
    free(inbox);
    char *shown = ends(0, NULL, "inbox", "show", job, NULL);
    has(shown, "what should I know?");
    free(shown);
    free(ends(0, NULL, "inbox", "claim", job, "--for", "10m", NULL));
    char *answered = ends(0, NULL, "inbox", "answer", job, "Lisbon", "--wait", NULL);
    has(answered, "running");
    free(answered);
    char *watched = ends(0, "agent.user_input", "job", "watch", job, NULL);
    has(watched, "with what you told me: Lisbon");
    free(watched);
    char *got = ends(0, NULL, "job", "get", job + 18, "-o", "json", NULL); /* the end of an id is enough */
    j = json_loads(got, 0, NULL);
    assert_string_equal(at(j, "job.jobId"), job);
    assert_string_equal(at(j, "job.status"), "JOB_STATUS_COMPLETED");
    assert_string_equal(at(j, "job.stepCount"), "2");
    json_decref(j);
    free(got);
    char *history = ends(0, NULL, "job", "history", job, "--jq", ".steps[1].task.answeredBy", NULL);
    assert_string_equal(history, "ann\n");
    free(history);
    free(ends(4, "no open question", "inbox", "answer", job, "late", NULL));
    free(ends(4, "There is nobody to ask", "job", "rm", job, NULL)); /* a script is not taken for a yes */
    free(ends(0, NULL, "job", "rm", job, "--yes", NULL));
    free(ends(3, NULL, "job", "get", job, NULL));
    free(job);
    cluster_done(&c);
}

/* A program that asks "How many?", to be answered by what fits this schema. */
static char *submit_asking(struct cluster *c, const char *schema)
{
    char flow[1024];
    const char *script = cluster_file(c, "ask");
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    fprintf(f,
            "#!/bin/sh\ncase \"$(cat)\" in *'\"answer\":'*) exit 0;; esac\n"
            "echo '{\"pause\":\"How many?\",\"slot\":\"answer\",\"answer_schema\":%s}'\n",
            schema);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(script, 0700), 0);
    snprintf(flow, sizeof(flow),
             "{\"name\":\"ask\",\"routines\":[{\"id\":\"a\",\"type\":\"exec\",\"config\":{\"command\":[\"%"
             "s\"]}}]}",
             script);
    const char *argv[] = {program(), "run", "-", "--no-follow", "--data", "{}", "--entry", "a.in", NULL};
    char *out, *err;
    int code = proc_run(argv, flow, &out, &err);
    if (code != 0)
        fail_msg("%d: %s", code, err);
    free(err);
    return first_line(out);
}

static void an_answer_has_the_type_that_is_asked_for(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    use(&c);
    char *job = submit_asking(&c, "{\"type\":\"integer\"}");
    json_decref(wait_status(&c, job, "PAUSED"));
    free(ends(2, "must be JSON of the type", "inbox", "answer", job, "many", NULL));
    free(ends(4, "answer", "inbox", "answer", job, "--json", "\"7\"", NULL)); /* the coordinator says so */
    free(ends(2, "no terminal", "inbox", "answer", job, NULL));
    free(ends(3, "no open question p9", "inbox", "answer", job, "7", "--pause", "p9", NULL));
    free(ends(0, NULL, "inbox", "answer", job, "7", NULL));
    json_t *j = wait_status(&c, job, "COMPLETED");
    json_decref(j);
    char *answer = ends(0, NULL, "job", "history", job, "--jq", ".steps[1].task.data.answer", NULL);
    assert_string_equal(answer, "7\n");
    free(answer);
    free(job);
    cluster_done(&c);
}

/* $EDITOR is a program that writes the answer. */
static void an_answer_is_written_in_an_editor(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    use(&c);
    put_trip(&c, "'delay_ms':1");
    char *job = strdup(submit_trip(&c, "Plan"));
    json_decref(wait_status(&c, job, "PAUSED"));
    unsetenv("VISUAL");
    setenv("EDITOR", "false", 1);
    free(ends(1, "nothing was answered", "inbox", "answer", job, "--edit", NULL));
    const char *editor = cluster_file(&c, "editor");
    FILE *f = fopen(editor, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\nprintf 'two\\nlines\\n' > \"$1\"\n");
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(editor, 0700), 0);
    setenv("EDITOR", editor, 1);
    free(ends(0, NULL, "inbox", "answer", job, "--edit", NULL));
    json_decref(wait_status(&c, job, "COMPLETED"));
    char *answer = ends(0, NULL, "job", "history", job, "--jq", ".steps[1].task.data.answer", NULL);
    assert_string_equal(answer, "two\nlines\n");
    free(answer);
    free(job);
    cluster_done(&c);
}

static void several_questions_need_a_name(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    use(&c);
    json_t *made = rpc(c.address, "Jobs/SubmitJob",
                       "{'inline_flow':{'name':'two','parallelism':2,'routines':["
                       "{'id':'a','type':'jq','config':{'program':'.'}},"
                       "{'id':'h','type':'human','config':{'question':'First?'}},"
                       "{'id':'k','type':'human','config':{'question':'Second?'}}],"
                       "'connections':["
                       "{'from':{'routine':'a','event':'output'},'to':{'routine':'h','slot':'input'}},"
                       "{'from':{'routine':'a','event':'output'},'to':{'routine':'k','slot':'input'}}]},"
                       "'entry':{'routine':'a','slot':'input'},'data':{'x':1}}");
    char *id = strdup(at(made, "jobId")), *pauses;
    json_decref(made);
    json_t *j;
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) { /* until both are open */
        pauses = ends(0, NULL, "inbox", "ls", "-o", "json", NULL);
        j = json_loads(pauses, 0, NULL);
        free(pauses);
        if (json_array_size(json_at(j, "pauses")) == 2)
            break;
        json_decref(j);
        test_pause(until, "two questions");
    }
    free(ends(4, "First?", "inbox", "answer", id, "x", NULL));
    free(ends(0, NULL, "inbox", "answer", id, "x", "--pause", at(j, "pauses[0].pause.pauseId"), NULL));
    free(ends(0, NULL, "inbox", "answer", id, "y", NULL)); /* one is left */
    json_decref(j);
    json_decref(wait_status(&c, id, "COMPLETED"));
    free(id);
    cluster_done(&c);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    use(&c);
    free(ends(2, "did you mean 'job get'?", "job", "gett", "x", NULL));
    free(ends(2, "did you mean --status?", "job", "ls", "--statsu", "x", NULL));
    free(ends(2, "none of: pending, running", "job", "ls", "--status", "pausd", NULL));
    free(ends(2, "needs job", "job", "get", NULL));
    free(ends(2, "one word too many", "job", "get", "a", "b", NULL));
    free(ends(2, "given twice", "job", "ls", "--flow", "a", "--flow", "b", NULL));
    free(ends(2, "needs a value", "job", "ls", "--flow", NULL));
    free(ends(2, "KEY=VALUE", "job", "ls", "--label", "x", NULL));
    free(ends(2, "not JSON", "job", "submit", "trip", "--entry", "agent.trigger", "--data", "{", NULL));
    free(ends(2, "none of table", "job", "ls", "-o", "xml", NULL));
    free(ends(2, "time span", "job", "ls", "--timeout", "soon", NULL));
    free(ends(2, "is no job's id", "job", "get", "x/y", NULL));
    free(ends(3, "begins or ends with", "job", "get", "zz", NULL));
    free(ends(3, NULL, "job", "get", "01J9ZQ0000000000000000000Z", NULL));
    free(ends(3, NULL, "job", "submit", "nobody", "--task", "x", NULL));
    const char *argv[] = {program(), "flow", "put", "-", NULL};
    char *out, *err;
    assert_int_equal(
        proc_run(
            argv,
            "{\"name\":\"f\",\"routines\":[{\"id\":\"a\",\"type\":\"j q\"},{\"id\":\"a\",\"type\":\"jq\"}]}",
            &out, &err),
        4);
    has(err, "flow.routines[0].type: "); /* each fault with its field */
    has(err, "flow.routines[1].id: ");
    free(out);
    free(err);
    cluster_done(&c);
}

static void a_coordinator_that_is_not_there(void **state)
{
    (void)state;
    setenv("FERMATA_ADDRESS", "127.0.0.1:1", 1);
    setenv("FERMATA_CONFIG", "/nonexistent", 1);
    free(ends(5, "is a coordinator running there?", "host", "ls", NULL));
    free(ends(5, NULL, "health", NULL));
    free(
        ends(2, "is not this machine", "health", "--address", "192.0.2.1:7420", NULL)); /* not in plaintext */
}

static void outputs(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    use(&c);
    char *out = ends(0, NULL, "host", "ls", "-o", "name", NULL);
    assert_string_equal(out, "a\n");
    free(out);
    out = ends(0, NULL, "host", "ls", "-o", "jsonl", NULL);
    json_t *j = json_loads(out, 0, NULL);
    assert_string_equal(at(j, "hostId"), "a");
    json_decref(j);
    free(out);
    out = ends(0, NULL, "host", "get", "a", "-o", "yaml", NULL);
    has(out, "\"host\":\n  \"hostId\": \"a\"\n");
    free(out);
    out = ends(0, NULL, "host", "ls", "--jq", ".hosts[] | .labels.zone", NULL);
    assert_string_equal(out, "a\n");
    free(out);
    free(ends(2, NULL, "host", "ls", "--jq", ".[", NULL));
    free(ends(1, "jq", "host", "ls", "--jq", "error(\"no\")", NULL));
    out = ends(0, NULL, "host", "ls", NULL);
    has(out, "HOST");
    has(out, "attached");
    if (strchr(out, '\033') != NULL)
        fail_msg("colour in a file: %s", out);
    free(out);
    out = ends(0, NULL, "count", NULL);
    free(out);
    /* as grpcurl prints it */
    out = ends(0, NULL, "host", "ls", "-o", "json", NULL);
    json_t *ours = json_loads(out, 0, NULL), *theirs = rpc(c.address, "Hosts/ListHosts", "{}");
    if (json_equal(ours, theirs) != 1)
        fail_msg("%s", out);
    json_decref(ours);
    json_decref(theirs);
    free(out);
    cluster_done(&c);
}

static void over_tls(void **state)
{
    (void)state;
    struct cluster c;
    setenv("FERMATA_TEST_TLS", "1", 1);
    cluster_start(&c, 1);
    use(&c);
    free(ends(5, NULL, "host", "ls", NULL)); /* plaintext: nobody answers */
    setenv("FERMATA_TLS_CA", certs_file("ca.pem"), 1);
    setenv("FERMATA_TLS_CERT", certs_file("user-ann.pem"), 1);
    setenv("FERMATA_TLS_KEY", certs_file("user-ann.key"), 1);
    char *out = ends(0, NULL, "host", "ls", "-o", "name", NULL);
    assert_string_equal(out, "a\n");
    free(out);
    free(ends(2, "nobody.pem", "host", "ls", "--tls-cert", "/nonexistent/nobody.pem", NULL));
    unsetenv("FERMATA_TLS_CERT");
    unsetenv("FERMATA_TLS_KEY");
    free(ends(5, NULL, "host", "ls", NULL)); /* without a certificate of one's own */
    unsetenv("FERMATA_TLS_CA");
    unsetenv("FERMATA_TEST_TLS");
    cluster_done(&c);
}

static void profiles(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    char *file = strdup(cluster_file(&c, "config"));
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fprintf(f, "# ours\n[default]\naddress = one:1\ninsecure = true\n[prod]\n  address = two:2\nuser= bob "
               "\ninsecure=true\n");
    assert_int_equal(fclose(f), 0);
    setenv("FERMATA_CONFIG", file, 1);
    unsetenv("FERMATA_ADDRESS");
    unsetenv("FERMATA_USER");
    char *out = ends(0, NULL, "config", "-o", "name", NULL);
    assert_string_equal(out, "one:1\n");
    free(out);
    out = ends(0, NULL, "config", "--profile", "prod", "--jq", ".address.value, .user.value, .address.from",
               NULL);
    assert_string_equal(out, "two:2\nbob\nthe profile\n");
    free(out);
    setenv("FERMATA_ADDRESS", "three:3", 1);
    out = ends(0, NULL, "config", "--profile", "prod", "-o", "name", NULL);
    assert_string_equal(out, "three:3\n");
    free(out);
    free(ends(3, "no profile [other]", "config", "--profile", "other", NULL));
    f = fopen(file, "a");
    assert_non_null(f);
    fprintf(f, "adress = x\n");
    assert_int_equal(fclose(f), 0);
    free(ends(2, "line 9: 'adress'", "config", NULL));
    setenv("FERMATA_CONFIG", "/nonexistent", 1);
    free(file);
    cluster_done(&c);
}

static void completion(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1);
    use(&c);
    put_trip(&c, "'delay_ms':1");
    char *out = ends(0, NULL, "__complete", "inb", NULL);
    assert_string_equal(out, "inbox\n");
    free(out);
    out = ends(0, NULL, "__complete", "inbox", "", NULL);
    assert_string_equal(out, "ls\nshow\nclaim\nrelease\nanswer\n");
    free(out);
    out = ends(0, NULL, "__complete", "job", "ls", "--stat", NULL);
    assert_string_equal(out, "--status\n");
    free(out);
    out = ends(0, NULL, "__complete", "job", "ls", "--status", "c", NULL);
    assert_string_equal(out, "completed\ncancelled\n");
    free(out);
    out = ends(0, NULL, "__complete", "flow", "get", "", NULL);
    assert_string_equal(out, "trip\n");
    free(out);
    out = ends(0, NULL, "__complete", "host", "drain", "--deadline", "1s", "", NULL);
    assert_string_equal(out, "a\n");
    free(out);
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t i = 0; i < 3; i++) {
        out = ends(0, NULL, "completion", shells[i], NULL);
        has(out, "__complete");
        free(out);
    }
    cluster_done(&c);
}

/* docs/cli.md is what the table says. Again: build/release/cli/fermata help --markdown > docs/cli.md */
static void the_document_is_the_table(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof(path), "%s/docs/cli.md", getenv("SOURCE_DIR"));
    char *out = ends(0, NULL, "help", "--markdown", NULL), *written = file_text(path);
    if (strcmp(out, written) != 0)
        fail_msg("docs/cli.md is not what 'fermata help --markdown' prints");
    free(out);
    free(written);
    out = ends(0, NULL, "help", "--man", NULL);
    has(out, ".TH FERMATA 1");
    has(out, "inbox answer");
    free(out);
    out = ends(0, NULL, "inbox", "answer", "--help", NULL);
    has(out, "Usage: fermata inbox answer JOB [TEXT]");
    free(out);
}

/* `fermata dev` serves until it is interrupted, and leaves nothing. */
static void dev(void **state)
{
    (void)state;
    struct cluster c;
    struct proc p;
    cluster_init(&c);
    char *log = strdup(cluster_file(&c, "dev.err")), address[512];
    setenv("TMPDIR", c.dir, 1);
    const char *argv[] = {program(), "dev", "--listen", "127.0.0.1:0", NULL};
    proc_start(&p, log, argv);
    assert_int_equal(strncmp(p.line, "listening on ", 13), 0);
    snprintf(address, sizeof(address), "%.500s", p.line + 13);
    setenv("FERMATA_ADDRESS", address, 1);
    char *out = ends(0, NULL, "host", "ls", "-o", "name", NULL);
    assert_string_equal(out, "dev-1\ndev-2\n");
    free(out);
    out = ends(0, NULL, "run", examples("trip.json"), "--task", "x", "--no-follow", NULL);
    free(out);
    proc_kill(&p, SIGINT);
    assert_int_equal(proc_wait(&p), 0);
    unsetenv("TMPDIR");
    char *said = file_text(log), *dir = strstr(said, "logs in ");
    assert_non_null(dir);
    dir[8 + strcspn(dir + 8, ";")] = '\0';
    assert_int_equal(access(dir + 8, F_OK), -1);
    free(said);
    free(log);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_main_job),
        cmocka_unit_test(an_answer_has_the_type_that_is_asked_for),
        cmocka_unit_test(an_answer_is_written_in_an_editor),
        cmocka_unit_test(several_questions_need_a_name),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_coordinator_that_is_not_there),
        cmocka_unit_test(outputs),
        cmocka_unit_test(over_tls),
        cmocka_unit_test(profiles),
        cmocka_unit_test(completion),
        cmocka_unit_test(the_document_is_the_table),
        cmocka_unit_test(dev),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
