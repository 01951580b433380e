/* The mock provider: scripted answers after a delay, for demos and tests.
 * config: delay_ms; script, a list of {"say": …}, {"ask": …, "choices": […]}, {"fail": …}, one item a call;
 * ask (false: without a script, no question). Without a script the model asks one question about the task and
 * then says what it was told. */
#include "llm_provider.h"

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
static const char *last_words(struct fm_ctx *ctx)
{
    const struct fm_value *messages = fm_ctx_state_get(ctx, "messages");
    const struct fm_value *last = fm_value_at(messages, fm_value_size(messages) - 1);
    return fm_value_string(fm_value_get(last, "content"), "(data)");
}

static void without_script(struct fm_ctx *ctx, uint32_t call, struct llm_reply *reply)
{
    const char *task = fm_value_string(fm_ctx_state_get(ctx, "task"), "(data)");
    if (!fm_value_bool(fm_value_get(fm_ctx_config(ctx), "ask"), true))
        reply->say = format(ctx, "Done: ", task, ".");
    else if (call == 0)
        reply->ask = format(ctx, "Before I go on with \"", task, "\": what should I know?");
    else
        reply->say =
            format(ctx, format(ctx, "Done: ", task, ", with what you told me: "), last_words(ctx), ".");
}

static void from_script(const struct fm_value *script, uint32_t call, struct llm_reply *reply)
{
    const struct fm_value *item = fm_value_at(script, call);
    reply->say = fm_value_string(fm_value_get(item, "say"), NULL);
    reply->ask = fm_value_string(fm_value_get(item, "ask"), NULL);
    reply->fail = fm_value_string(fm_value_get(item, "fail"), NULL);
    reply->choices = fm_value_get(item, "choices");
    reply->goes_on = call + 1 < fm_value_size(script);
    if (reply->say == NULL && reply->ask == NULL && reply->fail == NULL)
        reply->fail = "an item of the script has none of say, ask and fail";
}

static int call(struct fm_ctx *ctx, uint32_t calls_before, struct llm_reply *reply, fm_callback done,
                void *arg)
{
    const struct fm_value *config = fm_ctx_config(ctx), *script = fm_value_get(config, "script");
    if (calls_before < fm_value_size(script))
        from_script(script, calls_before, reply);
    else
        without_script(ctx, calls_before, reply); /* also when a script has ended with a question */
    const char *said = reply->say != NULL ? reply->say : reply->ask != NULL ? reply->ask : "";
    reply->input_tokens = (strlen(last_words(ctx)) + 3) / 4;
    reply->output_tokens = (strlen(said) + 3) / 4;
    double delay = fm_value_number(fm_value_get(config, "delay_ms"), 0);
    if (!(delay >= 1))
        return done(ctx, arg);
    fm_ctx_call_after(ctx, (uint64_t)(delay < 3600000 ? delay : 3600000), done, arg);
    return 0;
}

const struct llm_provider llm_mock = {"mock", call};
