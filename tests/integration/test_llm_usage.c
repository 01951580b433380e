/* Servers that people use, and what GetUsage says: it is what the model's server has counted, to the token,
 * while daemons are killed. The server counts a request once for each Idempotency-Key, which is the same for
 * each attempt at a task: so a reply that was lost with its host, and is paid for once, counts once. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "llm_cluster.h"

#define JOBS 8

static json_t *paid(void)
{
    char url[128];
    snprintf(url, sizeof(url), "%s/paid", llm.base);
    const char *argv[] = {"curl", "-s", url, NULL};
    char *out = NULL, *err = NULL;
    json_error_t fault;
    assert_int_equal(proc_run(argv, NULL, &out, &err), 0);
    json_t *j = json_loads(out, 0, &fault);
    assert_non_null(j);
    free(out);
    free(err);
    return j;
}

/* Until the server has been asked so many times. */
static void wait_paid(long long calls)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = paid();
        long long have = strtoll(at(j, "calls"), NULL, 10);
        json_decref(j);
        if (have >= calls)
            return;
        test_pause(until, "the server has been asked");
    }
}

static void usage_agrees_with_the_server_s_count_over_kills(void **state)
{
    (void)state;
    char jobs[JOBS][32];
    for (int i = 0; i < JOBS; i++)
        snprintf(jobs[i], sizeof(jobs[i]), "%s", llm_submit(llm_providers[i % 2], "counted-10", "", ""));
    wait_paid(10);
    proc_kill9(&llm.c.hosts[0]);
    wait_paid(25);
    proc_kill9(&llm.c.coordinator);
    cluster_coordinator(&llm.c, NULL);
    llm_start_host(0, "a", NULL, NULL);
    wait_paid(45);
    proc_kill9(&llm.c.hosts[1]);
    llm_start_host(1, "b", NULL, NULL);
    for (int i = 0; i < JOBS; i++)
        json_decref(wait_status(&llm.c, jobs[i], "COMPLETED"));
    json_t *counted = paid(), *usage = rpc(llm.c.address, "Jobs/GetUsage", "{}");
    assert_string_equal(at(counted, "calls"), "88");
    assert_string_equal(at(usage, "sums[0].usage.calls"), "88");
    assert_string_equal(at(usage, "sums[0].usage.inputTokens"), at(counted, "input"));
    assert_string_equal(at(usage, "sums[0].usage.outputTokens"), at(counted, "output"));
    json_decref(counted);
    json_decref(usage);
}

/* Each dialect as it was recorded: a call of a tool, and what is said after it; whole, and in a stream. */
static void dialects_of_chat_completions_are_understood(void **state)
{
    (void)state;
    static const char *const servers[] = {"gemini", "deepseek", "mistral", "vllm", "llamacpp", "ollama"};
    for (size_t i = 0; i < 2 * sizeof(servers) / sizeof(servers[0]); i++) {
        char model[64];
        const char *server = servers[i / 2];
        snprintf(model, sizeof(model), "recorded-%s-%s", server, i % 2 == 0 ? "whole" : "stream");
        json_t *j = wait_status(&llm.c, llm_submit("openai", model, i % 2 == 0 ? "" : ",'stream':true", ""),
                                "COMPLETED");
        assert_string_equal(at(j, "job.state.sharedData.agent.text"), "It is quiet.");
        assert_string_equal(at(j, "job.usage.inputTokens"), "50");
        assert_string_equal(at(j, "job.usage.outputTokens"), "12");
        json_decref(j);
        json_t *all = llm_requests(model), *second = json_array_get(all, 1);
        assert_int_equal(json_array_size(all), 2);
        assert_string_equal(at(second, "body.messages[2].tool_calls[0].function.arguments"),
                            "{\"what\":\"one\"}");
        assert_string_equal(at(second, "body.messages[3].content"), "{\"what\":\"one\"}");
        if (strcmp(server, "gemini") == 0)
            assert_string_equal(
                at(second, "body.messages[2].tool_calls[0].extra_content.google.thought_signature"), "c2ln");
        if (strcmp(server, "deepseek") == 0)
            assert_string_equal(at(second, "body.messages[2].reasoning_content"), "I look.");
        json_decref(all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_agrees_with_the_server_s_count_over_kills), /* first: it counts all */
        cmocka_unit_test(dialects_of_chat_completions_are_understood),
    };
    return cmocka_run_group_tests(tests, llm_start, llm_stop);
}
