/* A cluster whose two hosts know a server that speaks both providers' protocols and checks every request
 * against what they publish (llm_server.py). Include it once in a test program. */
#ifndef FM_TEST_LLM_CLUSTER_H
#define FM_TEST_LLM_CLUSTER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cluster.h"
#include "json_text.h"

/* clang-format would take the JSON for C. */
/* clang-format off */

#define KEY "sk-very-secret-key-7531"

static struct cluster c;
static struct proc server;
static char base[64];               /* of the server's URLs */
static const char *placement = ""; /* of the next jobs: ,"placement":{…} */
static char secrets_file[256], prices_file[256];

/* Starts a server with these further arguments (may be NULL); says where it is. */
static inline void start_server(struct proc *p, const char *log_name, const char *scheme, const char *cert, const char *key, char url[64])
{
    char script[512], log[256];
    snprintf(script, sizeof(script), "%s/tests/support/llm_server.py", getenv("SOURCE_DIR"));
    snprintf(log, sizeof(log), "%s/%s", c.dir, log_name);
    const char *argv[] = {"/usr/bin/python3", script, cert, key, NULL};
    proc_start(p, log, argv);
    snprintf(url, 64, "%s://127.0.0.1:%d/v1", scheme, atoi(p->line + strlen("listening on ")));
}

/* Starts host i, which knows key and prices, with a label of its name and one more option (may be NULL). */
static inline void start_host(int i, const char *id, const char *option, const char *value)
{
    char label[32];
    snprintf(label, sizeof(label), "name=%s", id);
    const char *more[] = {"--secrets", secrets_file, "--prices", prices_file, "--label", label, option, value, NULL};
    cluster_host(&c, i, id, more);
}

static inline int start(void **state)
{
    (void)state;
    cluster_init(&c);
    start_server(&server, "server.log", "http", NULL, NULL, base);
    snprintf(secrets_file, sizeof(secrets_file), "%s/secrets", c.dir);
    FILE *f = fopen(secrets_file, "w");
    assert_non_null(f);
    fprintf(f, "# keys\n\nMY_KEY=%s\n", KEY);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(secrets_file, 0600), 0);
    snprintf(prices_file, sizeof(prices_file), "%s/prices.json", c.dir);
    f = fopen(prices_file, "w");
    assert_non_null(f);
    fputs("{\"openai/*\": {\"input\": 10, \"output\": 100, \"cached\": 1}, \"mock/*\": {\"input\": 1, \"output\": 1}}", f);
    assert_int_equal(fclose(f), 0);
    cluster_coordinator(&c, NULL);
    start_host(0, "a", NULL, NULL);
    start_host(1, "b", NULL, NULL);
    return 0;
}

/* The key is nowhere but in the requests: in no log, in no state. */
static inline int stop(void **state)
{
    (void)state;
    char command[700];
    proc_kill9(&server);
    snprintf(command, sizeof(command), "grep -rl '%s' %s/*.log %s | grep -v server.log", KEY, c.dir, c.data);
    const char *argv[] = {"sh", "-c", command, NULL};
    char *out = NULL, *err = NULL;
    (void)proc_run(argv, NULL, &out, &err);
    assert_string_equal(out, "");
    free(out);
    free(err);
    cluster_done(&c);
    return 0;
}

/* A job of an agent with a tool "lookup" that a log routine answers. */
static inline const char *submit(const char *provider, const char *model, const char *more, const char *policy)
{
    static char id[32];
    char *text = NULL;
    assert_true(asprintf(&text,
        J({
            "inline_flow" : {
                "routines" : [
                    {"id" : "agent", "type" : "llm_agent",
                     "config" : {"provider" : "%s", "model" : "%s", "base_url" : "%s", "api_key" : "MY_KEY", "system" : "Be brief.",
                                 "tools" : [ {"name" : "lookup", "description" : "looks up", "parameters" : {"type" : "object", "properties" : {"what" : {"type" : "string"}}}} ] %s} %s},
                    {"id" : "look", "type" : "log", "config" : {"message" : "looking"}}
                ],
                "connections" : [
                    {"from" : {"routine" : "agent", "event" : "tool_call"}, "to" : {"routine" : "look", "slot" : "input"}, "filter" : {"name" : "lookup"}},
                    {"from" : {"routine" : "look", "event" : "output"}, "to" : {"routine" : "agent", "slot" : "tool_result"},
                     "mapping" : {"arguments" : "result"}, "drop_unmapped" : true}
                ]
            },
            "entry" : {"routine" : "agent", "slot" : "trigger"},
            "data" : {"task" : "Say something about peace."} %s
        }), provider, model, base, more, policy, placement) > 0);
    json_t *r = rpc(c.address, "Jobs/SubmitJob", "%s", text);
    snprintf(id, sizeof(id), "%.31s", at(r, "jobId"));
    json_decref(r);
    free(text);
    return id;
}

static const char *const providers[] = {"openai", "anthropic"};

/* The server's requests of this model, as an array. */
static inline json_t *requests(const char *model)
{
    char url[128];
    snprintf(url, sizeof(url), "%s/log", base);
    const char *argv[] = {"curl", "-s", url, NULL};
    char *out = NULL, *err = NULL;
    json_error_t fault;
    assert_int_equal(proc_run(argv, NULL, &out, &err), 0);
    json_t *all = json_loads(out, 0, &fault), *mine = json_array(), *r;
    size_t i;
    assert_non_null(all);
    json_array_foreach(all, i, r) {
        if (!json_is_null(json_object_get(r, "fault")))
            fail_msg("the server refused a request: %s", json_string_value(json_object_get(r, "fault")));
        if (strcmp(json_string_value(json_object_get(json_object_get(r, "body"), "model")), model) == 0)
            json_array_append(mine, r);
    }
    json_decref(all);
    free(out);
    free(err);
    return mine;
}

#endif
