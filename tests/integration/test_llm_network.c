/* Between hosts and models: TLS with a certificate authority of one's own, proxies, large requests, many
 * calls at a time, retries. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <setjmp.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "llm_cluster.h"

#define MANY 1000

static void run(const char *command)
{
    const char *argv[] = {"sh", "-c", command, NULL};
    char *out = NULL, *err = NULL;
    if (proc_run(argv, NULL, &out, &err) != 0)
        fail_msg("%s: %s", command, err);
    free(out);
    free(err);
}

/* A certificate authority, and a certificate of 127.0.0.1 signed by it. */
static void make_certificates(void)
{
    char command[1200];
    snprintf(command, sizeof(command),
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=test-ca"
             " -keyout ca.key -out ca.pem"
             " && openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=model "
             "-keyout model.key -out model.csr"
             " && printf 'subjectAltName=IP:127.0.0.1\\n' > model.ext"
             " && openssl x509 -req -in model.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "
             "model.ext -out model.pem",
             llm.c.dir);
    run(command);
}

static void a_server_with_a_certificate_of_one_s_own_authority_is_trusted_only_with_ca_file(void **state)
{
    (void)state;
    struct proc tls;
    char plain[64], cert[256], key[256], ca[256];
    make_certificates();
    snprintf(cert, sizeof(cert), "%s/model.pem", llm.c.dir);
    snprintf(key, sizeof(key), "%s/model.key", llm.c.dir);
    snprintf(ca, sizeof(ca), "%s/ca.pem", llm.c.dir);
    snprintf(plain, sizeof(plain), "%s", llm.base);
    llm_start_server(&tls, "tls.log", "https", cert, key, llm.base);
    llm_write_secrets();
    llm_start_host(2, "tls", "--ca-file", ca);
    llm.placement = ",'placement':{'labels':{'name':'tls'}}";
    for (int i = 0; i < 2; i++)
        json_decref(
            wait_status(&llm.c, llm_submit(llm_providers[i], "say", ",'stream':true", ""), "COMPLETED"));
    llm.placement = ",'placement':{'labels':{'name':'a'}}";
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'llm_agent','config':{'provider':'openai',"
                    "'model':'say','base_url':'%s'}}]},'entry':{'routine':'a','slot':'trigger'},"
                    "'data':{'task':'x'}%s}",
                    llm.base, llm.placement);
    json_t *j = wait_status(&llm.c, at(r, "jobId"), "FAILED");
    json_decref(r);
    assert_string_equal(at(j, "job.error.code"), "FAILED_PRECONDITION");
    assert_string_equal(at(j, "job.stepCount"), "1"); /* not tried again: it will not pass */
    if (strstr(at(j, "job.error.message"), "certificate") == NULL)
        fail_msg("%s", at(j, "job.error.message"));
    json_decref(j);
    r = rpc(llm.c.address, "Jobs/SubmitJob",
            "{'inline_flow':{'routines':[{'id':'a','type':'http','config':{'url':'%s'}}]},"
            "'entry':{'routine':'a','slot':'input'}%s}",
            llm.base, llm.placement);
    j = wait_status(&llm.c, at(r, "jobId"), "FAILED");
    assert_string_equal(at(j, "job.error.code"), "FAILED_PRECONDITION");
    assert_string_equal(at(j, "job.stepCount"), "1");
    json_decref(j);
    json_decref(r);
    llm.placement = "";
    snprintf(llm.base, sizeof(llm.base), "%s", plain);
    llm_write_secrets();
    proc_kill9(&tls);
}

static void a_host_with_a_ca_file_without_a_certificate_does_not_start(void **state)
{
    (void)state;
    char hostd[512], none[256], empty[256];
    snprintf(hostd, sizeof(hostd), "%s/hostd/hostd", getenv("BUILD_DIR"));
    snprintf(none, sizeof(none), "%s/no-such.pem", llm.c.dir);
    snprintf(empty, sizeof(empty), "%s/prices.json", llm.c.dir);
    const char *const files[] = {none, empty}, *const faults[] = {"no-such.pem cannot be read: No such file",
                                                                  "prices.json contains no certificate"};
    for (int i = 0; i < 2; i++) {
        char *out = NULL, *err = NULL;
        const char *argv[] = {hostd, "--no-supervisor", "--coordinator", "127.0.0.1:1", "--id",
                              "x",   "--ca-file",       files[i],        NULL};
        assert_int_equal(proc_run(argv, NULL, &out, &err), 2);
        if (strstr(err, faults[i]) == NULL)
            fail_msg("%s", err);
        free(out);
        free(err);
    }
}

static void the_usual_variables_of_the_environment_name_a_proxy(void **state)
{
    (void)state;
    char plain[64], proxy[64];
    snprintf(plain, sizeof(plain), "%s", llm.base);
    snprintf(proxy, sizeof(proxy), "%.*s", (int)(strlen(llm.base) - strlen("/v1")),
             llm.base); /* the server takes whole URLs, too */
    assert_int_equal(setenv("http_proxy", proxy, 1), 0);
    llm_start_host(3, "proxied", NULL, NULL);
    assert_int_equal(unsetenv("http_proxy"), 0);
    snprintf(llm.base, sizeof(llm.base), "http://model.invalid/v1");
    llm.placement = ",'placement':{'labels':{'name':'proxied'}}";
    json_decref(wait_status(&llm.c, llm_submit("openai", "say-proxied", "", ""), "COMPLETED"));
    llm.placement = "";
    snprintf(llm.base, sizeof(llm.base), "%s", plain);
    json_t *all = llm_requests("say-proxied");
    assert_string_equal(at(json_array_get(all, 0), "path"), "http://model.invalid/v1/chat/completions");
    json_decref(all);
    proc_stop(&llm.c.hosts[3]);
}

/* ---- where keys go ---- */

/* A job of an agent with this configuration; it fails for good with this. */
static void fails_at_once(const char *config, const char *code, const char *why)
{
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'llm_agent','config':{%s}}]},"
                    "'entry':{'routine':'a','slot':'trigger'},'data':{'task':'x'}%s}",
                    config, llm.placement);
    json_t *j = wait_status(&llm.c, at(r, "jobId"), "FAILED");
    assert_string_equal(at(j, "job.error.code"), code);
    if (strstr(at(j, "job.error.message"), why) == NULL)
        fail_msg("%s", at(j, "job.error.message"));
    assert_string_equal(at(j, "job.stepCount"), "1");
    json_decref(j);
    json_decref(r);
}

static void a_key_goes_to_its_origin_and_nowhere_else(void **state)
{
    (void)state;
    char config[400], why[200];
    const char *port = strrchr(llm.base, ':') + 1; /* with the path */
    snprintf(
        config, sizeof(config),
        "'provider':'openai','model':'say-elsewhere','api_key':'MY_KEY','base_url':'http://localhost:%s'",
        port);
    snprintf(why, sizeof(why), "the secret MY_KEY is for an origin other than http://localhost:%.*s",
             (int)strcspn(port, "/"), port);
    fails_at_once(config, "FAILED_PRECONDITION", why);
    snprintf(config, sizeof(config),
             "'provider':'openai','model':'say-elsewhere','base_url':'http://localhost:%s',"
             "'headers':{'api-key':'${secret:MY_KEY}'}",
             port);
    fails_at_once(config, "FAILED_PRECONDITION", why);
    snprintf(config, sizeof(config),
             "'provider':'openai','model':'say-elsewhere','api_key':'PATH','base_url':'%s'", llm.base);
    fails_at_once(config, "FAILED_PRECONDITION", "this host has no secret PATH: neither in its secrets file");
    json_t *none = llm_requests("say-elsewhere");
    assert_int_equal(json_array_size(none), 0);
    json_decref(none);
    snprintf(config, sizeof(config),
             "'provider':'openai','model':'redirect','api_key':'MY_KEY','base_url':'%s'", llm.base);
    fails_at_once(config, "INVALID_ARGUMENT", "status 307");
    json_t *once = llm_requests("redirect");
    assert_int_equal(json_array_size(once), 1); /* by its name 127.0.0.1 */
    assert_string_equal(at(json_array_get(once, 0), "key"), "Bearer " LLM_KEY);
    json_decref(once);
}

static void a_variable_that_hostd_was_told_of_is_a_secret(void **state)
{
    (void)state;
    char option[128];
    assert_int_equal(setenv("LLM_TEST_VARIABLE", LLM_KEY, 1), 0);
    snprintf(option, sizeof(option), "LLM_TEST_VARIABLE=%.*s", (int)(strlen(llm.base) - strlen("/v1")),
             llm.base);
    llm_start_host(3, "named", "--secret-env", option);
    assert_int_equal(unsetenv("LLM_TEST_VARIABLE"), 0);
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'llm_agent','config':{'provider':'openai',"
                    "'model':'say-named','api_key':'LLM_TEST_VARIABLE','base_url':'%s'}}]},"
                    "'entry':{'routine':'a','slot':'trigger'},'placement':{'labels':{'name':'named'}}}",
                    llm.base);
    json_decref(wait_status(&llm.c, at(r, "jobId"), "COMPLETED"));
    json_decref(r);
    json_t *all = llm_requests("say-named");
    assert_string_equal(at(json_array_get(all, 0), "key"), "Bearer " LLM_KEY);
    json_decref(all);
    proc_stop(&llm.c.hosts[3]);
}

static void azure_has_a_header_and_a_url_of_its_own(void **state)
{
    (void)state;
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'llm_agent','config':{'provider':'openai',"
                    "'model':'say-azure','headers':{'api-key':'${secret:MY_KEY}','X-Team':'a b'},"
                    "'base_url':'%.*s/openai/deployments/mine/?api-version=2024-10-21&x=1'}}]},"
                    "'entry':{'routine':'a','slot':'trigger'},'data':{'task':'x'}}",
                    (int)(strlen(llm.base) - strlen("/v1")), llm.base);
    json_decref(wait_status(&llm.c, at(r, "jobId"), "COMPLETED"));
    json_decref(r);
    json_t *all = llm_requests("say-azure");
    assert_string_equal(at(json_array_get(all, 0), "path"),
                        "/openai/deployments/mine/chat/completions?api-version=2024-10-21&x=1");
    assert_string_equal(at(json_array_get(all, 0), "api_key"), LLM_KEY);
    assert_string_equal(at(json_array_get(all, 0), "key"), "");
    json_decref(all);
}

/* ---- what is no stream ---- */

static void a_stream_that_stalls_and_a_page_are_told_apart(void **state)
{
    (void)state;
    char config[300];
    static const char once[] = ",'policy':{'retry':{'max_attempts':1}}";
    json_t *j = wait_status(
        &llm.c, llm_submit("openai", "stalls", ",'stream':true,'timeouts':{'idle_ms':300}", once), "FAILED");
    assert_string_equal(at(j, "job.error.code"), "DEADLINE_EXCEEDED");
    if (strstr(at(j, "job.error.message"), "nothing came for 300 ms") == NULL)
        fail_msg("%s", at(j, "job.error.message"));
    json_decref(j);
    for (int i = 0; i < 2; i++) {
        snprintf(config, sizeof(config), "%s", i == 0 ? "" : ",'stream':true");
        j = wait_status(&llm.c, llm_submit("openai", "garbage", config, once), "FAILED");
        if (strstr(at(j, "job.error.message"), "answered with text/html in the place of") == NULL ||
            strstr(at(j, "job.error.message"), "<html>gateway") == NULL)
            fail_msg("%s", at(j, "job.error.message"));
        json_decref(j);
    }
}

/* To any handler that makes HTTP requests: the agent looks at what it puts together once more. */
static void a_secret_that_comes_back_in_two_pieces_reaches_no_handler(void **state)
{
    (void)state;
    llm.c.probes = true;
    llm_start_host(3, "probes", NULL, NULL);
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'probe_fx',"
                    "'config':{'do':{'*':[{'fetch':'%s/chat/completions',"
                    "'header':'Authorization: Bearer ${secret:MY_KEY}',"
                    "'body':"
                    "'{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}'}]}}}]},"
                    "'entry':{'routine':'a','slot':'in'},'placement':{'labels':{'name':'probes'}}}",
                    llm.base);
    json_t *j = wait_status(&llm.c, at(r, "jobId"), "COMPLETED");
    static const char hidden[] = "Your key: ***********************.";
    json_t *pieces = json_at(j, "job.state.sharedData.pieces"), *piece;
    char all[1000] = "";
    size_t i;
    json_array_foreach(pieces, i, piece)
        strncat(all, json_string_value(piece), sizeof(all) - strlen(all) - 1);
    assert_non_null(strstr(all, hidden));
    assert_non_null(strstr(all, "[DONE]"));
    assert_string_equal(all, at(j, "job.state.sharedData.whole"));
    json_decref(j);
    json_decref(r);
    llm.c.probes = false;
    proc_stop(&llm.c.hosts[3]);
}

static void a_large_request_does_not_wait_to_be_allowed(void **state)
{
    (void)state;
    json_t *r = rpc(llm.c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'text','type':'jq',"
                    "'config':{'program':'{task: (\"\\\\\"\" * 800000)}'}},"
                    "{'id':'agent','type':'llm_agent','config':{'provider':'openai','model':'say-large',"
                    "'base_url':'%s'}}],'connections':[{'from':{'routine':'text','event':'output'},"
                    "'to':{'routine':'agent','slot':'trigger'}}]},"
                    "'entry':{'routine':'text','slot':'input'}}",
                    llm.base);
    json_decref(wait_status(&llm.c, at(r, "jobId"), "COMPLETED"));
    json_decref(r);
    json_t *all = llm_requests("say-large");
    assert_int_equal(strlen(json_string_value(json_at(json_array_get(all, 0), "body.messages[0].content"))),
                     800000);
    assert_true(json_is_null(json_object_get(json_array_get(all, 0), "expect")));
    json_decref(all);
}

static void a_retry_of_a_model_call_comes_at_a_time_of_its_own(void **state)
{
    (void)state;
    json_t *j = wait_status(&llm.c, llm_submit("openai", "down-1", "", ""),
                            "COMPLETED"); /* the flow says nothing of retries */
    json_t *h = rpc(llm.c.address, "Jobs/GetHistory", "{'job_id':'%s'}", at(j, "job.jobId"));
    double delay = atof(at(h, "steps[0].retryDelayMs"));
    if (!(delay >= 800 && delay < 1000))
        fail_msg("retried after %g ms", delay);
    json_decref(h);
    json_decref(j);
}

static size_t threads_of(pid_t pid)
{
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    assert_int_equal(closedir(d), 0);
    return n - 2;
}

/* One job starts MANY others, each of which calls a model that answers when all calls are there. The host
 * begins with a limit of open files that is far too low for them. */
static void a_thousand_calls_are_under_way_in_one_host_without_a_thread_for_each(void **state)
{
    (void)state;
    struct cluster many;
    struct proc model;
    struct rlimit files, few;
    char script[512], log[256], heard[32];
    cluster_init(&many);
    snprintf(script, sizeof(script), "%s/tests/support/llm_many.py", getenv("SOURCE_DIR"));
    snprintf(log, sizeof(log), "%s/many.log", many.dir);
    const char *argv[] = {"/usr/bin/python3", script, "1000", NULL};
    proc_talk(&model, log, argv);
    proc_hear(&model, "listening on ");
    int port = atoi(model.line + strlen("listening on "));
    assert_int_equal(setenv("FERMATA_TEST_LOG", "info", 1), 0);
    cluster_coordinator(&many, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    few = files;
    few.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    const char *more[] = {"--capacity", "2000", NULL};
    cluster_host(&many, 0, "a", more);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    json_decref(rpc(many.address, "Flows/PutFlow",
                    "{'flow':{'name':'one','routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'openai','model':'m','base_url':'http://127.0.0.1:%d/v1'}}]}}",
                    port));
    json_t *r = rpc(many.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'all','type':'jq',"
                    "'config':{'program':'{items: [range(%d) | {task: tostring}]}'}},"
                    "{'id':'each','type':'split','config':{'path':'items'}},"
                    "{'id':'call','type':'job','config':{'flow':'one','routine':'agent',"
                    "'slot':'trigger'}},{'id':'files','type':'exec',"
                    "'config':{'command':['sh','-c',"
                    "'printf \\'{\"emit\":\"files\",\"data\":{\"n\":%%s}}\\\\n\\' $(ulimit -Sn)']}}],"
                    "'connections':[{'from':{'routine':'all','event':'output'},"
                    "'to':{'routine':'each','slot':'input'}},"
                    "{'from':{'routine':'all','event':'output'},'to':{'routine':'files','slot':'input'}},"
                    "{'from':{'routine':'each','event':'item'},'to':{'routine':'call','slot':'start'}}]},"
                    "'entry':{'routine':'all','slot':'input'}}",
                    MANY);
    snprintf(heard, sizeof(heard), "%d under way", MANY);
    proc_hear(&model, heard);
    size_t threads = threads_of(proc_daemon(&many.hosts[0], 0));
    if (threads > 40)
        fail_msg("%zu threads", threads);
    proc_say(&model, "go\n");
    json_t *j = wait_status(&many, at(r, "jobId"), "COMPLETED");
    json_t *outputs = json_at(j, "job.state.outputs"), *o;
    size_t i, files_seen = 0;
    json_array_foreach(outputs, i, o)
    {
        if (strcmp(at(o, "event"), "files") != 0)
            continue;
        assert_string_equal(at(o, "data.n"), "256"); /* programs have the limit that hostd was started with */
        files_seen++;
    }
    assert_int_equal(files_seen, 1);
    json_decref(j);
    json_decref(r);
    r = rpc(many.address, "Jobs/GetUsage", "{}");
    assert_string_equal(at(r, "sums[0].usage.calls"), "1000");
    json_decref(r);
    assert_int_equal(unsetenv("FERMATA_TEST_LOG"), 0);
    proc_kill9(&model);
    cluster_done(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_with_a_certificate_of_one_s_own_authority_is_trusted_only_with_ca_file),
        cmocka_unit_test(a_host_with_a_ca_file_without_a_certificate_does_not_start),
        cmocka_unit_test(the_usual_variables_of_the_environment_name_a_proxy),
        cmocka_unit_test(a_key_goes_to_its_origin_and_nowhere_else),
        cmocka_unit_test(a_variable_that_hostd_was_told_of_is_a_secret),
        cmocka_unit_test(azure_has_a_header_and_a_url_of_its_own),
        cmocka_unit_test(a_stream_that_stalls_and_a_page_are_told_apart),
        cmocka_unit_test(a_secret_that_comes_back_in_two_pieces_reaches_no_handler),
        cmocka_unit_test(a_large_request_does_not_wait_to_be_allowed),
        cmocka_unit_test(a_retry_of_a_model_call_comes_at_a_time_of_its_own),
        cmocka_unit_test(a_thousand_calls_are_under_way_in_one_host_without_a_thread_for_each),
    };
    return cmocka_run_group_tests(tests, llm_start, llm_stop);
}
