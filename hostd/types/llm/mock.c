/* The mock provider: scripted answers after a delay, for demos and tests; its settings (script,
 * delay_ms, ask) are described in common/catalog/types/llm_agent.json. Without a script the model
 * asks one question about the task and then says what it was told. */
#include "provider.h"
#include "times.h"

#include <stdio.h>
#include <string.h>

static const char *format(struct fm_ctx *ctx, const char *before, const char *middle, const char *after)
{
    size_t n = strlen(before) + strlen(middle) + strlen(after) + 1;
    char *s = fm_ctx_alloc(ctx, n);
    snprintf(s, n, "%s%s%s", before, middle, after);
    return s;
}

/* The content of the last message, as far as it is text. */
static const char *last_words(const struct llm_request *q)
{
    const struct fm_value *last = fm_value_at(q->messages, fm_value_size(q->messages) - 1);
    return fm_value_string(fm_value_get(last, "content"), "(data)");
}

static void without_script(struct fm_ctx *ctx, const struct llm_request *q, struct llm_reply *reply)
{
    const char *task = fm_value_string(fm_ctx_state_get(ctx, "task"), "(data)");
    if (!fm_value_bool(fm_value_get(q->config, "ask"), true))
        reply->text = format(ctx, "Done: ", task, ".");
    else if (q->calls_before == 0)
        reply->ask = format(ctx, "Before I go on with \"", task, "\": what should I know?");
    else
        reply->text =
            format(ctx, format(ctx, "Done: ", task, ", with what you told me: "), last_words(q), ".");
}

static const struct fm_value *tool_calls(struct fm_ctx *ctx, const struct llm_request *q,
                                         const struct fm_value *item)
{
    const struct fm_value *one = fm_value_get(item, "tool"), *many = fm_value_get(item, "tools");
    struct fm_value *list = fm_list(ctx);
    size_t n = many != NULL ? fm_value_size(many) : 1;
    if (one == NULL && many == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        char id[48];
        struct fm_value *call = fm_map_copy(ctx, many != NULL ? fm_value_at(many, i) : one);
        snprintf(id, sizeof(id), "call_%u_%zu", q->calls_before + 1, i);
        fm_map_set(ctx, call, "id", fm_string(ctx, id));
        if (fm_value_get(call, "arguments") == NULL)
            fm_map_set(ctx, call, "arguments", fm_map(ctx));
        fm_list_add(ctx, list, call);
    }
    return list;
}

/* A provider's error, for the first attempts. Returns -1 after fm_ctx_fail. */
static int scripted_error(struct fm_ctx *ctx, const struct fm_value *error)
{
    int code = (int)(fm_count32_from(fm_value_number(fm_value_get(error, "code"), 500)) & 0xffff);
    double times = fm_value_number(fm_value_get(error, "times"), 1e9);
    if (error == NULL || fm_ctx_attempt(ctx) > times)
        return 0;
    (void)fm_ctx_fail(ctx, code == 429 ? FM_FAIL_RESOURCE_EXHAUSTED : FM_FAIL_UNAVAILABLE,
                      "the model call failed: status %d", code);
    if (code < 500 && code != 429)
        fm_ctx_fail_permanent(ctx);
    double after = fm_value_number(fm_value_get(error, "retry_after_ms"), 0);
    if (after > 0)
        fm_ctx_retry_after(ctx, fm_count_from(after));
    return -1;
}

static int from_script(struct fm_ctx *ctx, const struct llm_request *q, const struct fm_value *script,
                       struct llm_reply *reply)
{
    const struct fm_value *item = fm_value_at(script, q->calls_before);
    const char *fail = fm_value_string(fm_value_get(item, "fail"), NULL);
    if (scripted_error(ctx, fm_value_get(item, "error")) < 0)
        return -1;
    reply->text = fm_value_string(fm_value_get(item, "say"), NULL);
    reply->ask = fm_value_string(fm_value_get(item, "ask"), NULL);
    reply->choices = fm_value_get(item, "choices");
    reply->tool_calls = tool_calls(ctx, q, item);
    reply->goes_on = q->calls_before + 1 < fm_value_size(script);
    if (fail == NULL && reply->text == NULL && reply->ask == NULL && reply->tool_calls == NULL &&
        fm_value_get(item, "error") == NULL)
        fail = "a script item has none of say, ask, fail, tool, tools and error";
    if (fail == NULL)
        return 0;
    (void)fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "the model call failed: %s", fail);
    fm_ctx_fail_permanent(ctx);
    return -1;
}

static void count(const struct llm_request *q, struct llm_reply *reply)
{
    const char *said = reply->text != NULL ? reply->text : reply->ask != NULL ? reply->ask : "";
    reply->input_tokens = (strlen(last_words(q)) + 3) / 4;
    reply->output_tokens = (strlen(said) + 3) / 4;
    reply->stop = reply->tool_calls != NULL ? "tool_calls" : "stop";
    const struct fm_value *script = fm_value_get(q->config, "script");
    const struct fm_value *usage = fm_value_get(fm_value_at(script, q->calls_before), "usage");
    if (usage == NULL)
        return;
    reply->input_tokens = llm_count(usage, "input_tokens");
    reply->output_tokens = llm_count(usage, "output_tokens");
    reply->cached_tokens = llm_count(usage, "cached_tokens");
}

static int call(struct fm_ctx *ctx, const struct llm_request *q, struct llm_reply *reply, fm_callback done,
                void *arg)
{
    const struct fm_value *script = fm_value_get(q->config, "script");
    if (q->calls_before < fm_value_size(script)) {
        if (from_script(ctx, q, script, reply) < 0)
            return -1;
    } else {
        without_script(ctx, q, reply); /* also when a script has ended with a question */
    }
    count(q, reply);
    double delay = fm_value_number(fm_value_get(q->config, "delay_ms"), 0);
    if (!(delay >= 1))
        return done(ctx, arg);
    reply->latency_ms = (uint64_t)(delay < 3600000 ? delay : 3600000);
    fm_ctx_call_after(ctx, reply->latency_ms, done, arg);
    return 0;
}

const struct llm_provider llm_mock = {"mock", NULL, NULL, call};
