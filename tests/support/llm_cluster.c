/* A cluster beside a model server. See llm_cluster.h. */
#define _GNU_SOURCE
#include "llm_cluster.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct llm llm = {.placement = ""};
const char *const llm_providers[2] = {"openai", "anthropic"};

static char secrets_file[256], prices_file[256];

void llm_start_server(struct proc *p, const char *log_name, const char *scheme, const char *cert,
                      const char *key, char ret_url[64])
{
    char script[512], log[256];
    snprintf(script, sizeof(script), "%s/tests/support/llm_server.py", getenv("SOURCE_DIR"));
    snprintf(log, sizeof(log), "%s/%s", llm.c.dir, log_name);
    const char *argv[] = {"/usr/bin/python3", script, cert, key, NULL};
    proc_start(p, log, argv);
    snprintf(ret_url, 64, "%s://127.0.0.1:%d/v1", scheme, atoi(p->line + strlen("listening on ")));
}

void llm_start_host(int i, const char *id, const char *option, const char *value)
{
    char label[32];
    snprintf(label, sizeof(label), "name=%s", id);
    const char *more[] = {"--secrets", secrets_file, "--prices", prices_file, "--label",
                          label,       option,       value,      NULL};
    cluster_host(&llm.c, i, id, more);
}

void llm_write_secrets(void)
{
    snprintf(secrets_file, sizeof(secrets_file), "%s/secrets", llm.c.dir);
    FILE *f = fopen(secrets_file, "w");
    assert_non_null(f);
    fprintf(f, "# keys\n\nMY_KEY=%.*s,http://model.invalid %s\n", (int)(strlen(llm.base) - strlen("/v1")),
            llm.base, LLM_KEY);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(secrets_file, 0600), 0);
}

int llm_start(void **state)
{
    (void)state;
    cluster_init(&llm.c);
    llm_start_server(&llm.server, "server.log", "http", NULL, NULL, llm.base);
    llm_write_secrets();
    FILE *f;
    snprintf(prices_file, sizeof(prices_file), "%s/prices.json", llm.c.dir);
    f = fopen(prices_file, "w");
    assert_non_null(f);
    char *prices =
        json_text("{'openai/*':{'input':10,'output':100,'cached':1},'mock/*':{'input':1,'output':1}}");
    fputs(prices, f);
    free(prices);
    assert_int_equal(fclose(f), 0);
    cluster_coordinator(&llm.c, NULL);
    llm_start_host(0, "a", NULL, NULL);
    llm_start_host(1, "b", NULL, NULL);
    return 0;
}

int llm_stop(void **state)
{
    (void)state;
    char command[700];
    proc_kill9(&llm.server);
    snprintf(command, sizeof(command), "grep -rl '%s' %s/*.log %s | grep -v server.log", LLM_KEY, llm.c.dir,
             llm.c.data);
    const char *argv[] = {"sh", "-c", command, NULL};
    char *out = NULL, *err = NULL;
    (void)proc_run(argv, NULL, &out, &err);
    assert_string_equal(out, "");
    free(out);
    free(err);
    cluster_done(&llm.c);
    return 0;
}

const char *llm_submit(const char *provider, const char *model, const char *more, const char *policy)
{
    static char id[32];
    char *text = NULL;
    assert_true(asprintf(&text,
                         "{'inline_flow':{'routines':[{'id':'agent','type':'llm_agent',"
                         "'config':{'provider':'%s','model':'%s','base_url':'%s','api_key':'MY_KEY',"
                         "'system':'Be brief.','tools':[{'name':'lookup','description':'looks up',"
                         "'parameters':{'type':'object','properties':{'what':{'type':'string'}}}}]%s}%s},"
                         "{'id':'look','type':'log','config':{'message':'looking'}}],"
                         "'connections':[{'from':{'routine':'agent','event':'tool_call'},"
                         "'to':{'routine':'look','slot':'input'},'filter':{'name':'lookup'}},"
                         "{'from':{'routine':'look','event':'output'},"
                         "'to':{'routine':'agent','slot':'tool_result'},'mapping':{'arguments':'result'},"
                         "'drop_unmapped':true}]},'entry':{'routine':'agent','slot':'trigger'},"
                         "'data':{'task':'Say something about peace.'}%s}",
                         provider, model, llm.base, more, policy, llm.placement) > 0);
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob", "%s", text);
    snprintf(id, sizeof(id), "%.31s", at(r, "jobId"));
    json_decref(r);
    free(text);
    return id;
}

json_t *llm_requests(const char *model)
{
    char url[128];
    snprintf(url, sizeof(url), "%s/log", llm.base);
    const char *argv[] = {"curl", "-s", url, NULL};
    char *out = NULL, *err = NULL;
    json_error_t fault;
    assert_int_equal(proc_run(argv, NULL, &out, &err), 0);
    json_t *all = json_loads(out, 0, &fault), *mine = json_array(), *r;
    size_t i;
    assert_non_null(all);
    json_array_foreach(all, i, r)
    {
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
