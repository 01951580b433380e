/* What requests and replies look like beyond plain texts: choices of tools, replies of a given form, parts of
 * contents, conversations that are too long; and the dialects of chat completions that servers speak, each by
 * a reply as it was recorded. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent.h"
#include "json_text.h"
#include "llm_rig.h"
#include "mem.h"

/* ---- the choice of a tool ---- */

static void a_choice_is_written_as_each_provider_wants_it(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *settings, *openai, *anthropic; /* NULL: none is sent */
    } choices[] = {
        {",'tool_choice':'required'", "'required'", "{'type':'any'}"},
        {",'tool_choice':'none'", "'none'", "{'type':'none'}"},
        {",'tool_choice':{'name':'look'}", "{'type':'function','function':{'name':'look'}}",
         "{'type':'tool','name':'look'}"},
        {",'tool_choice':{'type':'allowed_tools','mode':'auto'}", "{'type':'allowed_tools','mode':'auto'}",
         "{'type':'allowed_tools','mode':'auto'}"},
        {",'parallel_tool_calls':false", NULL, "{'type':'auto','disable_parallel_tool_use':true}"},
        {",'tool_choice':'required','parallel_tool_calls':false", "'required'",
         "{'type':'any','disable_parallel_tool_use':true}"},
        {"", NULL, NULL},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        configure("openai", choices[i].settings);
        ask();
        if (choices[i].openai != NULL)
            fake_is(ctx, sent("tool_choice"), choices[i].openai);
        else
            assert_null(sent("tool_choice"));
        bool parallel = strstr(choices[i].settings, "parallel") != NULL;
        assert_int_equal(sent("parallel_tool_calls") != NULL, parallel);
        configure("anthropic", choices[i].settings);
        ask();
        if (choices[i].anthropic != NULL)
            fake_is(ctx, sent("tool_choice"), choices[i].anthropic);
        else
            assert_null(sent("tool_choice"));
        assert_null(sent("parallel_tool_calls"));
    }
}

/* ---- replies of a given form ---- */

#define FORM                                                                                                 \
    ",'response_format':{'type':'json_schema','json_schema':{'name':'a','schema':{'type':'object',"          \
    "'required':['n'],'properties':{'n':{'type':'number'}}}}}"

static void says(const char *text)
{
    json_t *quoted = json_string(text);
    char *json = json_dumps(quoted, JSON_ENCODE_ANY), body[2000];
    snprintf(body, sizeof(body), "{'choices':[{'message':{'content':%s},'finish_reason':'stop'}]}", json);
    answers(body);
    free(json);
    json_decref(quoted);
}

static void goes_on(void)
{
    assert_int_equal(ctx->enqueued.n, 1);
    assert_int_equal(fake_run(ctx, "continue", "{}"), 0);
}

static void a_reply_that_does_not_fit_is_told_to_the_model_once(void **state)
{
    (void)state;
    configure("openai", FORM);
    ask();
    says("{\"n\": \"seven\"}");
    assert_int_equal(ctx->emitted.n, 0);
    goes_on();
    const char *told = fm_value_string(sent("messages[2].content"), "");
    assert_string_equal(fm_value_string(sent("messages[1].role"), ""), "assistant");
    if (strstr(told, "does not have the form") == NULL || strstr(told, "n: is a string") == NULL)
        fail_msg("%s", told);
    says("```json\n{\"n\": 7}\n```");
    fake_emitted(ctx, 0, "output", "{'text':'```json\\n{\\\"n\\\": 7}\\n```','value':{'n':7}}");
    assert_int_equal(ctx->emitted.n, 2);
    fake_is(ctx, fm_value_get(ctx->emitted.items[1].data, "value"), "{'n':7}");
    assert_null(fm_value_get(ctx->state, "unfit"));
}

static void a_second_reply_that_does_not_fit_fails_for_good(void **state)
{
    (void)state;
    static const char *const bad[] = {"no JSON", "[]", "{}", ""};
    for (size_t i = 0; i < 4; i++) {
        ctx->state = fm_map(ctx);
        configure("openai", FORM);
        ask();
        says(bad[i]);
        goes_on();
        int rc = respond("{'choices':[{'message':{'content':'{}'},'finish_reason':'stop'}]}");
        fails_with(rc,
                   "does not fit response_format, also after it was told so: it lacks the property \"n\"");
        assert_true(ctx->permanent);
    }
}

static void any_object_is_json_object(void **state)
{
    (void)state;
    configure("openai", ",'response_format':{'type':'json_object'}");
    ask();
    says("{\"x\": [1]}");
    fake_is(ctx, fm_value_get(ctx->emitted.items[0].data, "value"), "{'x':[1]}");
    ask();
    says("[1]");
    assert_int_equal(ctx->emitted.n, 0); /* is asked once more */
}

/* ---- conversations that are too long ---- */

static int refuses(int status, const char *quoted)
{
    char *body = json_text(quoted);
    const struct fm_http_response r = {.status = status,
                                       .error = "",
                                       .headers = "content-type: application/json\n",
                                       .body = body,
                                       .body_bytes = strlen(body)};
    int rc = fake_respond(ctx, &r);
    free(body);
    return rc;
}

static void a_conversation_that_is_too_long_is_told_apart(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        int status;
        const char *body;
    } recorded[] = {
        /* OpenAI, Azure */
        {400, "{'error':{'message':'This model\\'s maximum context length is 128000 tokens. However, your messages "
              "resulted in 130000 tokens.','type':'invalid_request_error','param':'messages',"
              "'code':'context_length_exceeded'}}"},
        /* Anthropic */
        {400, "{'type':'error','error':{'type':'invalid_request_error','message':'prompt is too long: 208310 tokens > "
              "200000 maximum'}}"},
        /* Gemini */
        {400, "[{'error':{'code':400,'message':'The input token count (1200000) exceeds the maximum number of tokens "
              "allowed (1048576).','status':'INVALID_ARGUMENT'}}]"},
        /* vLLM */
        {400, "{'object':'error','message':'This model\\'s maximum context length is 4096 tokens. However, you requested "
              "5000 tokens','type':'BadRequestError','param':null,'code':400}"},
        /* llama.cpp */
        {400, "{'error':{'code':400,'message':'the request exceeds the available context size, try increasing it',"
              "'type':'exceed_context_size_error','n_prompt_tokens':5000,'n_ctx':4096}}"},
        /* Mistral */
        {400, "{'object':'error','message':'Prompt contains 40000 tokens, too large for model with 32768 maximum context "
              "length','type':'invalid_request_error','code':3051}"},
        /* DeepSeek */
        {400, "{'error':{'message':'This model\\'s maximum context length is 65536 tokens.','type':"
              "'invalid_request_error'}}"},
        /* Ollama */
        {400, "{'error':{'message':'input is too long: context length exceeded','type':'api_error'}}"},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
        configure("openai", "");
        ask();
        fails_with(refuses(recorded[i].status, recorded[i].body),
                   "the conversation is too long for the model: ");
        assert_int_equal(ctx->fail_code, FM_FAIL_OUT_OF_RANGE);
        assert_string_equal(ctx->reason, "CONTEXT");
        assert_true(ctx->permanent);
    }
    configure("openai", "");
    ask();
    fails_with(refuses(400, "{'error':{'message':'max_tokens is too large','type':'invalid_request_error'}}"),
               "status 400");
    ctx->state = fm_map(ctx);
    configure("openai", ",'on_context':'event'");
    ask();
    assert_int_equal(refuses(recorded[0].status, recorded[0].body), 0);
    assert_int_equal(ctx->emitted.n, 1);
    assert_string_equal(ctx->emitted.items[0].name, "context_exceeded");
    assert_int_equal(fm_value_size(fm_value_get(ctx->emitted.items[0].data, "messages")), 1);
}

/* ---- parts of contents ---- */

#define PNG "iVBORw0KGgo="

static void a_system_message_may_have_parts(void **state)
{
    (void)state;
    static const char parts[] =
        ",'system':[{'type':'text','text':'Long.','cache_control':{'type':'ephemeral'}}]";
    configure("openai", parts);
    ask();
    fake_is(
        ctx, sent("messages[0]"),
        "{'role':'system','content':[{'type':'text','text':'Long.','cache_control':{'type':'ephemeral'}}]}");
    ctx->state = fm_map(ctx);
    configure("anthropic", parts);
    ask();
    fake_is(ctx, sent("system"), "[{'type':'text','text':'Long.','cache_control':{'type':'ephemeral'}}]");
    ctx->state = fm_map(ctx);
    configure("anthropic", ",'system':'Short.','params':{'system':[{'type':'text','text':'More.'}]}");
    ask();
    fake_is(ctx, sent("system"), "[{'type':'text','text':'Short.'},{'type':'text','text':'More.'}]");
    ctx->state = fm_map(ctx);
    configure("anthropic", ",'system':'Short.','params':{'system':'More.'}");
    ask();
    fake_is(ctx, sent("system"), "'Short.\\n\\nMore.'");
}

/* A history with a result that is a picture and a text, as MCP has them. */
#define SEEN                                                                                                 \
    "{'messages':[{'role':'user','content':[{'type':'text','text':'Look.'},%s]},"                            \
    "{'role':'assistant','tool_calls':[{'id':'c','name':'look','arguments':{}},"                             \
    "{'id':'d','name':'look','arguments':{}}]},"                                                             \
    "{'role':'tool','call_id':'c','content':{'content':[{'type':'text','text':'A map.'},"                    \
    "{'type':'image','data':'" PNG "','mimeType':'image/png'}]}},"                                           \
    "{'role':'tool','call_id':'d','content':{'n':1}}]}"
#define CHAT_IMAGE "{'type':'image_url','image_url':{'url':'data:image/png;base64," PNG "'}}"
#define MESSAGES_IMAGE "{'type':'image','source':{'type':'base64','media_type':'image/png','data':'" PNG "'}}"

static void pictures_and_files_go_to_either_provider_in_its_form(void **state)
{
    (void)state;
    static const char *const forms[] = {CHAT_IMAGE, MESSAGES_IMAGE};
    for (size_t i = 0; i < 2; i++) {
        char data[2000];
        snprintf(data, sizeof(data), SEEN, forms[i]);
        ctx->state = fm_map(ctx);
        configure("openai", "");
        assert_int_equal(fake_run(ctx, "trigger", data), 0);
        fake_is(ctx, sent("messages[0].content"), "[{'type':'text','text':'Look.'}," CHAT_IMAGE "]");
        fake_is(ctx, sent("messages[2]"),
                "{'role':'tool','tool_call_id':'c','content':'A map.\\n(what follows in the next message)'}");
        fake_is(ctx, sent("messages[3].content"), "'{\\\"n\\\":1}'");
        fake_is(ctx, sent("messages[4]"), "{'role':'user','content':[" CHAT_IMAGE "]}");
        ctx->state = fm_map(ctx);
        configure("anthropic", "");
        assert_int_equal(fake_run(ctx, "trigger", data), 0);
        fake_is(ctx, sent("messages[0].content"), "[{'type':'text','text':'Look.'}," MESSAGES_IMAGE "]");
        fake_is(ctx, sent("messages[2].content[0]"),
                "{'type':'tool_result','tool_use_id':'c','content':[{'type':'text','text':'A "
                "map.'}," MESSAGES_IMAGE "]}");
    }
    ctx->state = fm_map(ctx);
    configure("anthropic", "");
    assert_int_equal(fake_run(ctx, "trigger",
                              "{'task':[{'type':'file','file':{'filename':'a.pdf',"
                              "'file_data':'data:application/pdf;base64,JVBERi0='}},"
                              "{'type':'image_url','image_url':{'url':'https://x/y.png'}}]}"),
                     0);
    fake_is(
        ctx, sent("messages[0].content"),
        "[{'type':'document','source':{'type':'base64','media_type':'application/pdf','data':'JVBERi0='}},"
        "{'type':'image','source':{'type':'url','url':'https://x/y.png'}}]");
    ctx->state = fm_map(ctx);
    configure("openai", "");
    assert_int_equal(fake_run(ctx, "trigger",
                              "{'task':[{'type':'document','title':'a.pdf','source':{'type':'base64',"
                              "'media_type':'application/pdf','data':'JVBERi0='}}]}"),
                     0);
    fake_is(ctx, sent("messages[0].content[0].file"),
            "{'filename':'a.pdf','file_data':'data:application/pdf;base64,JVBERi0='}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_init, rig_done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_choice_is_written_as_each_provider_wants_it),
        TEST(a_reply_that_does_not_fit_is_told_to_the_model_once),
        TEST(a_second_reply_that_does_not_fit_fails_for_good),
        TEST(any_object_is_json_object),
        TEST(a_conversation_that_is_too_long_is_told_apart),
        TEST(a_system_message_may_have_parts),
        TEST(pictures_and_files_go_to_either_provider_in_its_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
