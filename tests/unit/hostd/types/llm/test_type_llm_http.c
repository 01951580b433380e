/* The agent with its providers over HTTP, without a network: what is sent, and what is made of what
 * comes back. */
#define _GNU_SOURCE /* memmem */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "json_text.h"
#include "llm_rig.h"
#include "mem.h"
#include "provider.h"
#include "secrets.h"

#define SECRET "sk-very-secret-key"
#define KEYED ",'api_key':'TEST_MODEL_KEY'"

static struct secrets *secrets;

static int forget(void **state)
{
    secrets_free(secrets);
    secrets = NULL;
    return rig_done(state);
}

/* ---- helpers ---- */

static void has_sent_secret(void)
{
    struct fm_err err = {0};
    struct fm_buf out = {0}, used = {0};
    assert_int_equal(setenv("FERMATA_SECRET_TEST_MODEL_KEY", "https://x " SECRET, 1), 0);
    secrets = secrets_read(NULL, NULL, 0, &err);
    assert_int_equal(
        secrets_expand(secrets, "Bearer ${secret:TEST_MODEL_KEY}", "https://x/v1", &out, &used, &err), 0);
    fm_buf_done(&out);
    fm_buf_done(&used);
}

/* No part of the secret longer than 5 bytes. */
static void shows_no_secret(const char *text)
{
    if (strstr(text, "sk-ver") != NULL || strstr(text, "ecret-key") != NULL)
        fail_msg("it shows the secret: %s", text);
}

/* ---- requests ---- */

static void a_call_that_is_not_streamed_may_take_as_long_as_the_whole_call(void **state)
{
    (void)state;
    static const char *const providers[] = {"openai", "anthropic"};
    for (int i = 0; i < 2; i++) {
        configure(providers[i], "");
        ask();
        assert_int_equal(ctx->request.timeout_ms, 600000);
        assert_int_equal(ctx->request.first_byte_timeout_ms, 600000);
        configure(providers[i], ",'timeouts':{'total_ms':900000}");
        ask();
        assert_int_equal(ctx->request.first_byte_timeout_ms, 900000);
        configure(providers[i], ",'timeouts':{'first_byte_ms':5}");
        ask();
        assert_int_equal(ctx->request.first_byte_timeout_ms, 5);
        configure(providers[i], ",'stream':true");
        ask();
        assert_int_equal(ctx->request.first_byte_timeout_ms, 0); /* what http.c does by default: 60 s */
    }
}

static void fields_that_mean_nothing_to_the_agent_are_passed_on(void **state)
{
    (void)state;
    configure("openai",
              ",'reasoning_effort':'low','metadata':{'a':1},'params':{'n':1},'seed':7,'stop':'END'");
    ask();
    fake_is(ctx, sent("reasoning_effort"), "'low'");
    fake_is(ctx, sent("metadata"), "{'a':1}");
    fake_is(ctx, sent("n"), "1");
    fake_is(ctx, sent("seed"), "7");
    fake_is(ctx, sent("stop"), "'END'");
    assert_null(sent("provider"));
    configure("anthropic", ",'top_k':5,'seed':7,'stop':'END'");
    ask();
    fake_is(ctx, sent("top_k"), "5");
    fake_is(ctx, sent("stop_sequences"), "['END']");
    assert_null(sent("seed"));
    assert_null(sent("stop"));
}

static void a_response_format_is_anthropic_s_output_config(void **state)
{
    (void)state;
    configure("anthropic", ",'response_format':{'type':'json_schema',"
                           "'json_schema':{'name':'n','strict':true,'schema':{'type':'object'}}},"
                           "'params':{'output_config':{'effort':'low'}}");
    ask();
    fake_is(ctx, sent("output_config"),
            "{'effort':'low','format':{'type':'json_schema','schema':{'type':'object'}}}");
    assert_null(sent("response_format"));
    configure("anthropic", ",'response_format':{'type':'json_object'}");
    fails_with(fake_run(ctx, "trigger", "{'task':'Go.'}"), "config.response_format");
    assert_true(ctx->permanent);
    configure("openai", ",'response_format':{'type':'json_object'}");
    ask();
    fake_is(ctx, sent("response_format"), "{'type':'json_object'}");
}

/* The body of the request has these bytes. */
static void sent_bytes(const char *want)
{
    if (memmem(ctx->request.body, ctx->request.body_bytes, want, strlen(want)) == NULL)
        fail_msg("%s is not in %.*s", want, (int)ctx->request.body_bytes, (const char *)ctx->request.body);
}

static void a_schema_that_is_text_goes_out_byte_for_byte(void **state)
{
    static const char schema[] =
        "{\"type\": \"object\",\n \"properties\":{\"reasoning\":{},\"answer\":{\"minimum\":1.50}}}";
    (void)state;
    for (int i = 0; i < 2; i++) {
        json_t *quoted = json_string(schema);
        char *text = json_dumps(quoted, JSON_ENCODE_ANY), config[1000];
        json_decref(quoted);
        snprintf(config, sizeof(config),
                 "{'provider':'%s','model':'m','tools':[{'name':'look','parameters':%s}],'response_format':"
                 "{'type':'json_schema','json_schema':{'name':'n','schema':%s}}}",
                 i == 0 ? "openai" : "anthropic", text, text);
        ctx->config = fake_json(ctx, config);
        ctx->state = fm_map(ctx);
        ask();
        char want[200];
        snprintf(want, sizeof(want), "\"%s\":%s", i == 0 ? "parameters" : "input_schema", schema);
        sent_bytes(want);
        snprintf(want, sizeof(want), "\"schema\":%s", schema);
        sent_bytes(want);
        free(text);
    }
}

static void params_are_merged_into_the_request(void **state)
{
    (void)state;
    configure("anthropic", ",'system':'Be brief.','params':{'system':[{'type':'text','text':'Be kind.',"
                           "'cache_control':{'type':'ephemeral'}}],'top_k':3}");
    ask();
    fake_is(ctx, sent("system"),
            "[{'type':'text','text':'Be brief.'},{'type':'text','text':'Be kind.',"
            "'cache_control':{'type':'ephemeral'}}]");
    fake_is(ctx, sent("top_k"), "3");
    ctx->state = fm_map(ctx);
    configure("anthropic", ",'system':'Be brief.','params':{'system':'Be kind.'}");
    ask();
    fake_is(ctx, sent("system"), "'Be brief.\\n\\nBe kind.'");
    ctx->state = fm_map(ctx);
    configure("anthropic", ",'params':{'system':[{'type':'text','text':'Be kind.'}]}");
    ask();
    fake_is(ctx, sent("system"), "[{'type':'text','text':'Be kind.'}]");
}

static void a_base_url_keeps_its_query(void **state)
{
    (void)state;
    configure("openai", ",'base_url':'https://a.example.com/openai/deployments/d/?api-version=2024-10-21'");
    ask();
    assert_string_equal(ctx->request.url,
                        "https://a.example.com/openai/deployments/d/chat/completions?api-version=2024-10-21");
    configure("openai", ",'base_url':'http://x/v1//'");
    ask();
    assert_string_equal(ctx->request.url, "http://x/v1/chat/completions");
}

static void options_of_a_stream_are_the_configuration_s(void **state)
{
    (void)state;
    configure("openai", ",'stream':true");
    ask();
    fake_is(ctx, sent("stream_options"), "{'include_usage':true}");
    configure("openai", ",'stream':true,'params':{'stream_options':null}");
    ask();
    assert_null(sent("stream_options"));
    fake_is(ctx, sent("stream"), "true");
    configure("openai", ",'stream':true,'stream_options':{'include_obfuscation':false}");
    ask();
    fake_is(ctx, sent("stream_options"), "{'include_obfuscation':false,'include_usage':true}");
    configure("openai", ",'stream':true,'params':{'stream_options':{'include_usage':false}}");
    ask();
    fake_is(ctx, sent("stream_options"), "{'include_usage':false}");
}

/* ---- replies ---- */

#define THINKING "{'type':'thinking','thinking':'Hm. Hm.','signature':'sig=='}"
#define REDACTED "{'type':'redacted_thinking','data':'xyz'}"
#define CONTENT                                                                                              \
    "[" THINKING "," REDACTED                                                                                \
    ",{'type':'text','text':'Let me look.'},{'type':'tool_use','id':'t1','name':'look','input':{'a':1}}]"

static void thinking_goes_back_as_it_came(void)
{
    fake_is(ctx, fm_value_get(ctx->emitted.items[1].data, "call_id"), "'t1'");
    fake_is(ctx, fm_value_get(ctx->state, "messages[1].blocks[0]"), THINKING);
    assert_int_equal(fake_run(ctx, "tool_result", "{'call_id':'t1','result':'found'}"), 0);
    fake_is(ctx, sent("messages[1]"), "{'role':'assistant','content':" CONTENT "}");
    fake_is(ctx, sent("messages[2]"),
            "{'role':'user','content':[{'type':'tool_result','tool_use_id':'t1','content':'found'}]}");
}

static void thinking_blocks_are_kept_and_sent_back_as_they_came(void **state)
{
    (void)state;
    configure("anthropic", "");
    ask();
    answers("{'content':" CONTENT ",'usage':{'input_tokens':1,'output_tokens':1}}");
    thinking_goes_back_as_it_came();
}

static void thinking_blocks_of_a_stream_are_kept_and_sent_back_as_they_came(void **state)
{
    (void)state;
    configure("anthropic", ",'stream':true");
    ask();
    answers(
        "data: {'type':'message_start','message':{'usage':{'input_tokens':1,'output_tokens':1}}}\n\n"
        "data: "
        "{'type':'content_block_start','index':0,'content_block':{'type':'thinking','thinking':'','signature'"
        ":''}}\n\n"
        "data: {'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta','thinking':'Hm. "
        "'}}\n\n"
        "data: "
        "{'type':'content_block_delta','index':0,'delta':{'type':'thinking_delta','thinking':'Hm.'}}\n\n"
        "data: "
        "{'type':'content_block_delta','index':0,'delta':{'type':'signature_delta','signature':'sig=='}}\n\n"
        "data: {'type':'content_block_start','index':1,'content_block':" REDACTED "}\n\n"
        "data: {'type':'content_block_start','index':2,'content_block':{'type':'text','text':''}}\n\n"
        "data: {'type':'content_block_delta','index':2,'delta':{'type':'text_delta','text':'Let me "
        "look.'}}\n\n"
        "data: "
        "{'type':'content_block_start','index':3,'content_block':{'type':'tool_use','id':'t1','name':'look','"
        "input':{}}}\n\n"
        "data: "
        "{'type':'content_block_delta','index':3,'delta':{'type':'input_json_delta','partial_json':'{\"a\":'}"
        "}\n\n"
        "data: "
        "{'type':'content_block_delta','index':3,'delta':{'type':'input_json_delta','partial_json':'1}'}}\n\n"
        "data: {'type':'message_delta','delta':{'stop_reason':'tool_use'},'usage':{'output_tokens':9}}\n\n"
        "data: {'type':'message_stop'}"); /* without a line's end */
    assert_string_equal(ctx->shown.items[0].name, "Let me look.");
    assert_int_equal(ctx->shown.n, 1); /* no thoughts */
    thinking_goes_back_as_it_came();
}

static void more_than_64_calls_in_a_streamed_reply_are_an_error(void **state)
{
    (void)state;
    static const char *const providers[] = {"openai", "anthropic"};
    for (int p = 0; p < 2; p++) {
        configure(providers[p], ",'stream':true");
        ask();
        int rc = 0;
        size_t i = 0;
        for (; rc == 0 && i < 70; i++) {
            char event[300];
            json_print(event, sizeof(event),
                       p == 0 ? "data: "
                                "{'choices':[{'delta':{'tool_calls':[{'index':%zu,'id':'c%zu','function':{'"
                                "name':'look','arguments':'{}'}}]}}]}\n\n"
                              : "data: "
                                "{'type':'content_block_start','index':%zu,'content_block':{'type':'tool_use'"
                                ",'id':'c%zu','name':'look','input':{}}}\n\n",
                       i, i);
            rc = fake_piece(ctx, event);
        }
        assert_int_equal(i, 65);
        fails_with(rc, "more than 64 tools");
        assert_true(ctx->permanent);
    }
}

#define OPENAI(message, usage)                                                                               \
    "{'choices':[{'index':0,'message':" message ",'finish_reason':'x'}],'usage':" usage "}"
#define CALL(id, args) "{" id "'type':'function','function':{'name':'look','arguments':'" args "'}}"

static void calls_get_ids_of_their_own_when_the_model_s_are_missing_or_equal(void **state)
{
    (void)state;
    configure("openai", "");
    ask();
    answers(OPENAI("{'content':null,'tool_calls':[" CALL("'id':'same',", "{}") "," CALL(
                       "'id':'same',", "{}") "," CALL("", "{}") "," CALL("'id':'',", "{}") "]}",
                   "{}"));
    assert_int_equal(ctx->emitted.n, 4);
    const char *ids[4];
    for (size_t i = 0; i < 4; i++) {
        ids[i] = fake_text(ctx->emitted.items[i].data, "call_id");
        assert_true(ids[i][0] != '\0');
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
    }
    assert_string_equal(ids[0], "same");
    for (size_t i = 0; i < 4; i++) {
        char data[200];
        (void)snprintf(data, sizeof(data), "{'call_id':'%s','result':'r%zu'}", ids[3 - i], 3 - i);
        assert_int_equal(fake_run(ctx, "tool_result", data), 0);
    }
    for (size_t i = 0; i < 4; i++) { /* the conversation that goes back has them */
        char path[60];
        (void)snprintf(path, sizeof(path), "messages[1].tool_calls[%zu].id", i);
        assert_string_equal(fm_value_string(sent(path), ""), ids[i]);
        (void)snprintf(path, sizeof(path), "messages[%zu].tool_call_id", 5 - i);
        assert_string_equal(fm_value_string(sent(path), ""), ids[i]);
    }
    answers(
        OPENAI("{'content':null,'tool_calls':[" CALL("'id':'same',", "{}") "]}", "{}")); /* in another turn */
    const char *again = fake_text(ctx->emitted.items[0].data, "call_id");
    for (size_t i = 0; i < 4; i++)
        assert_string_not_equal(again, ids[i]);
}

static void a_streamed_call_without_an_index_is_told_by_its_id(void **state)
{
    (void)state;
    configure("openai", ",'stream':true");
    ask();
    answers(
        "data: "
        "{'choices':[{'delta':{'tool_calls':[{'id':'a','function':{'name':'look','arguments':'{}'}}]}}]}\n\n"
        "data: "
        "{'choices':[{'delta':{'tool_calls':[{'id':'b','function':{'name':'look','arguments':'{\"x\":'}}]}}]}"
        "\n\n"
        "data: {'choices':[{'delta':{'tool_calls':[{'function':{'arguments':'1}'}}]}}]}\n\n"
        "data: [DONE]\n\n");
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{}}");
    fake_emitted(ctx, 1, "tool_call", "{'call_id':'b','name':'look','arguments':{'x':1}}");
}

static void plain_json_in_answer_to_a_streamed_request_is_understood(void **state)
{
    (void)state;
    configure("openai", ",'stream':true");
    ask();
    assert_int_equal(
        respond_as("content-type: application/json\n",
                   "\n" OPENAI("{'content':'Hello.'}", "{'prompt_tokens':5,'completion_tokens':2}")),
        0);
    fake_emitted(ctx, 0, "output", "{'text':'Hello.'}");
    assert_int_equal(ctx->input_tokens, 5);
    configure("anthropic", ",'stream':true");
    ask();
    assert_int_equal(
        respond_as(
            "content-type: application/json; charset=utf-8\n",
            "{'content':[{'type':'text','text':'Hello.'}],'usage':{'input_tokens':5,'output_tokens':2}}"),
        0);
    fake_emitted(ctx, 0, "output", "{'text':'Hello.'}");
    ask();
    fails_with(respond_as("content-type: application/json\n", "{'error':{'message':'overloaded'}}"),
               "overloaded");
}

static void what_a_reply_that_is_of_no_use_has_used_is_counted(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{'choices':[{'message':{'content':'a'},'finish_reason':'error'}],"
        "'usage':{'prompt_tokens':5,'completion_tokens':2}}",
        "{'choices':[],'usage':{'prompt_tokens':5,'completion_tokens':2}}",
    };
    for (size_t i = 0; i < 2; i++) {
        configure("openai", "");
        ctx->input_tokens = ctx->output_tokens = ctx->calls = 0;
        ask();
        fails_with(respond(bad[i]), i == 0 ? "error" : "malformed");
        assert_int_equal(ctx->input_tokens, 5);
        assert_int_equal(ctx->output_tokens, 2);
        assert_int_equal(ctx->calls, 1);
    }
    configure("anthropic", ",'stream':true");
    ctx->input_tokens = ctx->output_tokens = ctx->calls = 0;
    ask();
    fails_with(respond("data: "
                       "{'type':'message_start','message':{'usage':{'input_tokens':40,'cache_read_input_"
                       "tokens':60,'output_tokens':1}}}\n\n"
                       "data: {'type':'error','error':{'message':'overloaded'}}\n\n"),
               "overloaded");
    assert_int_equal(ctx->input_tokens, 100);
    assert_int_equal(ctx->calls, 1);
}

static void what_a_reply_of_no_use_has_used_counts_for_the_limits(void **state)
{
    (void)state;
    configure("openai", ",'max_tokens':50,'limits':{'max_tokens':500}");
    ctx->state = fm_map(ctx);
    for (int i = 1; i <= 2; i++) {
        ask();
        fails_with(respond("{'choices':[],'usage':{'prompt_tokens':150,'completion_tokens':50}}"),
                   "malformed");
        assert_false(ctx->permanent);
        assert_int_equal(fm_value_number(fm_value_get(ctx->state, "tokens"), 0), i * 200);
        assert_int_equal(ctx->n_pauses, 0);
    }
    ctx->request.url = NULL;
    assert_int_equal(fake_run(ctx, "trigger", "{'task':'Go.'}"), 0);
    assert_null(ctx->request.url); /* the next call might exceed the limit: a person is asked */
    assert_int_equal(ctx->n_pauses, 1);
}

/* The agent with these limits, and these counters of its state, asks the model; or it does not. */
static bool asks_within(const char *limits, const char *counters)
{
    char more[200];
    snprintf(more, sizeof(more), ",'max_tokens':50,'limits':%s", limits);
    configure("openai", more);
    ctx->state = fake_json(ctx, counters);
    ctx->request.url = NULL;
    (void)fake_run(ctx, "continue", "{}"); /* a trigger would begin anew */
    return ctx->request.url != NULL;
}

static void limits_of_an_agent_are_included(void **state)
{
    (void)state;
    assert_true(asks_within("{'max_turns':3}", "{'calls':2}"));
    assert_false(asks_within("{'max_turns':3}", "{'calls':3}"));
    assert_true(asks_within("{'max_turns':0}", "{'calls':1000}")); /* no limit */
    assert_true(asks_within("{'max_turns':60}", "{'calls':50}"));
    assert_true(asks_within("{}", "{'calls':49}"));
    assert_false(asks_within("{}", "{'calls':50}")); /* the usual one: a person is asked */
    assert_int_equal(ctx->n_pauses, 1);
    assert_true(asks_within("{}", "{'calls':50,'limits':{'max_turns':60}}")); /* it was raised */
    assert_false(asks_within("{}", "{'calls':60,'limits':{'max_turns':60}}"));
    assert_int_equal(ctx->n_pauses, 1);
    assert_true(asks_within("{'max_tokens':1000}", "{'tokens':100}"));
    assert_false(asks_within("{'max_tokens':1000}", "{'tokens':1000}"));
    assert_false(asks_within("{'max_tokens':0}", "{}"));
    assert_int_equal(ctx->n_pauses, 1); /* a person is asked */
    char counters[64];
    double now = (double)fm_ctx_now_ms(ctx);
    snprintf(counters, sizeof(counters), "{'started_ms':%.0f}", now - 60000);
    assert_true(asks_within("{'max_time_ms':120000}", counters));
    assert_false(asks_within("{'max_time_ms':30000}", counters));
    assert_int_equal(ctx->n_pauses, 0); /* time is not given back */
}

static void a_limit_of_cost_without_a_price_needs_another_one(void **state)
{
    (void)state;
    static const char *const costs[] = {"{'max_cost':0}", "{'max_cost':5}"};
    for (size_t i = 0; i < 2; i++) {
        assert_false(asks_within(costs[i], "{}"));
        assert_int_equal(ctx->fail_code, FM_FAIL_FAILED_PRECONDITION);
        assert_true(ctx->permanent);
        assert_non_null(strstr(ctx->failure, "has no price for openai/"));
    }
    assert_true(asks_within("{'max_cost':5,'max_turns':0.5}", "{}"));
    assert_string_equal(ctx->logged.items[0].name,
                        "limits.max_cost is not checked: this host has no price for the model; "
                        "the other limits apply");
    assert_true(asks_within("{'max_cost':5,'max_tokens':100000}", "{}"));
    assert_int_equal(ctx->logged.n, 1);
    assert_true(asks_within("{'max_cost':5,'max_turns':5}", "{'unpriced':true}"));
    assert_int_equal(ctx->logged.n, 0); /* it was said once */
}

static void a_long_stream_takes_memory_for_its_text_only(void **state)
{
    (void)state;
    static const char *const events[] = {
        "data: "
        "{'id':'x','object':'chat.completion.chunk','created':1,'model':'m','choices':[{'index':0,'delta':{'"
        "content':'ab'},'finish_reason':null}]}\n\n",
        "event: content_block_delta\ndata: "
        "{'type':'content_block_delta','index':0,'delta':{'type':'text_delta','text':'ab'}}\n\n"};
    for (int p = 0; p < 2; p++) {
        configure(p == 0 ? "openai" : "anthropic", ",'stream':true");
        ask();
        size_t before = ctx->arena.used;
        fm_autofree char *event = json_text(events[p]);
        for (int i = 0; i < 10000; i++) {
            assert_int_equal(fake_piece(ctx, event), 0);
            ctx->shown.n = 0;
        }
        if (ctx->arena.used - before >
            10000 * 16) /* 20,000 bytes of text in a buffer that has doubled to it */
            fail_msg("%zu bytes for 10,000 events", ctx->arena.used - before);
    }
}

/* ---- secrets ---- */

static void a_secret_that_a_stream_gives_back_in_parts_is_not_shown(void **state)
{
    (void)state;
    has_sent_secret();
    for (int p = 0; p < 2; p++) {
        configure(p == 0 ? "openai" : "anthropic", ",'stream':true" KEYED);
        ask();
        static const char *const parts[] = {"Your key: s", "k-ver", "y-sec", "ret-key", ", is it? sk-ve"};
        for (size_t i = 0; i < 5; i++) {
            char event[200];
            if (i == 0 && p == 1) {
                json_print(
                    event, sizeof(event),
                    "data: {'type':'content_block_start','content_block':{'type':'text','text':''}}\n\n");
                assert_int_equal(fake_piece(ctx, event), 0);
            }
            json_print(event, sizeof(event),
                       p == 0 ? "data: {'choices':[{'delta':{'content':'%s'}}]}\n\n"
                              : "data: {'type':'content_block_delta','delta':{'text':'%s'}}\n\n",
                       parts[i]);
            assert_int_equal(fake_piece(ctx, event), 0);
        }
        for (size_t i = 0; i < ctx->shown.n; i++)
            shows_no_secret(ctx->shown.items[i].name);
        assert_string_equal(ctx->shown.items[0].name, "Your key: ");
        answers(p == 0 ? "data: [DONE]\n\n" : "data: {'type':'message_stop'}\n\n");
        const char *text = fake_text(ctx->emitted.items[0].data, "text");
        assert_string_equal(text, "Your key: ******************, is it? sk-ve");
        shows_no_secret(strchr(text, '*'));
    }
}

static void a_secret_in_a_call_s_arguments_or_escaped_in_a_reply_is_blanked_out(void **state)
{
    (void)state;
    has_sent_secret();
    configure("openai", ",'stream':true" KEYED);
    ask();
    answers(
        "data: "
        "{'choices':[{'delta':{'tool_calls':[{'index':0,'id':'a','function':{'name':'look','arguments':'{"
        "\"k\":\"sk-very'}}]}}]}\n\n"
        "data: "
        "{'choices':[{'delta':{'tool_calls':[{'index':0,'function':{'arguments':'-secret-key\"}'}}]}}]}\n\n"
        "data: [DONE]\n\n");
    assert_int_equal(ctx->emitted.n, 0); /* no tool is called with stars */
    configure("openai", KEYED);
    assert_int_equal(fake_run(ctx, "continue", "{}"), 0);
    assert_string_equal(fm_value_string(sent("messages[2].content"), ""),
                        "error: the arguments had a secret of this host in them, so the tool was not called");
    shows_no_secret(fm_value_string(sent("messages[1].tool_calls[0].function.arguments"), ""));
    answers(OPENAI("{'content':'It is sk\\u002dvery-secret-key.'}", "{}"));
    fake_emitted(ctx, 0, "output", "{'text':'It is ******************.'}");
    ask();
    fm_autofree char *refused = json_text("{'error':{'message':'no key sk\\u002dvery-secret-key'}}");
    const struct fm_http_response r = {
        .status = 401, .error = "", .headers = "", .body = refused, .body_bytes = strlen(refused)};
    assert_int_equal(fake_respond(ctx, &r), -1);
    shows_no_secret(ctx->failure);
}

static void a_call_in_which_a_secret_was_blanked_out_before_is_not_run(void **state)
{
    (void)state;
    has_sent_secret();
    for (int redacted = 0; redacted < 2; redacted++) {
        fm_autofree char *body = json_text(OPENAI(
            "{'content':null,'tool_calls':[" CALL("'id':'a',", "{\\\"k\\\":\\\"****************\\\"}") "]}",
            "{}"));
        ctx->state = fm_map(ctx);
        configure("openai", KEYED);
        ask();
        const struct fm_http_response r = {.status = 200,
                                           .error = "",
                                           .headers = "",
                                           .body = body,
                                           .body_bytes = strlen(body),
                                           .redacted = redacted};
        assert_int_equal(fake_respond(ctx, &r), 0);
        assert_int_equal(ctx->emitted.n, redacted ? 0 : 1); /* stars alone are no secret */
    }
}

static void the_secret_of_another_agent_is_none_here(void **state)
{
    (void)state;
    has_sent_secret();
    static const char *const others[] = {"", ",'api_key':'OTHER_KEY'"};
    for (size_t i = 0; i < 2; i++) {
        configure("openai", others[i]);
        ask();
        answers(OPENAI("{'content':'It is " SECRET ".'}", "{}"));
        fake_emitted(ctx, 0, "output", "{'text':'It is " SECRET ".'}");
    }
}

/* ---- questions ---- */

static void asks_with(const char *arguments)
{
    fm_autofree char *json = json_text(arguments);
    fm_autofree char *body = json_format("{'choices':[{'message':{'tool_calls':[{'id':'q',"
                                         "'function':{'name':'ask_user','arguments':'%s'}}]}}]}",
                                         json);
    ctx->state = fm_map(ctx);
    configure("openai", "");
    ask();
    answers(body);
}

static void choices_that_are_no_texts_can_be_answered(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *told;
    } answered[] = {
        {"1",         "1"        },
        {"true",      "true"     },
        {"{\"a\":2}", "{\"a\":2}"},
        {"plain",     "plain"    }
    };
    for (size_t i = 0; i < 4; i++) {
        asks_with("{'question':'Which?','choices':[1,true,{'a':2},'plain',1,'1']}");
        assert_int_equal(ctx->n_pauses, 1);
        fake_is(ctx, ctx->pauses[0].choices, "['1','true','{\"a\":2}','plain']");
        assert_int_equal(
            fake_step(ctx, "user_input", ctx->pauses[0].id, fake_data(ctx, "answer", answered[i].answer)), 0);
        assert_string_equal(fm_value_string(sent("messages[2].content"), ""), answered[i].told);
    }
    fake_is(ctx, fm_value_get(ctx->state, "messages[2].content"), "'plain'");
}

static void a_question_that_nobody_could_answer_is_an_error_for_the_model(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *why;
    } bad[] = {
        {"{'question':'Which?','choices':'red'}",                                       "choices must be a list"   },
        {"{'question':'Which?','choices':['red',2],'answer_schema':{'type':'string'}}",
         "choices[1], 2, does not meet answer_schema"                                                              },
        {"{'question':7}",                                                              "question must be a string"},
        {"{}",                                                                          "question must be a string"},
        {"[1]",                                                                         "must be an object"        },
    };
    for (size_t i = 0; i < 5; i++) {
        asks_with(bad[i].arguments);
        assert_int_equal(ctx->n_pauses, 0);
        assert_int_equal(ctx->enqueued.n, 1);
        const char *told = fake_text(ctx->state, "messages[2].content");
        if (strncmp(told, "error: ", 7) != 0 || strstr(told, bad[i].why) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", told, bad[i].why);
        assert_int_equal(fake_step(ctx, "continue", "", ctx->enqueued.items[0].data), 0);
        assert_non_null(ctx->on_response);
    }
    asks_with("{'question':'Which?','choices':[1,2],'answer_schema':{'type':'integer'}}");
    assert_int_equal(ctx->n_pauses, 1);
    assert_null(ctx->pauses[0].schema); /* the choices say it all, and as texts would not meet it */
    asks_with("{'question':'Which?','choices':[],'answer_schema':{'type':'integer'}}");
    assert_non_null(ctx->pauses[0].schema);
}

/* A model brings schema and choices; they are checked on the engine's thread. */
static void a_schema_that_takes_too_much_is_an_error_for_the_model(void **state)
{
    (void)state;
    char *choices = fm_xcalloc(1, 100000), *arguments = fm_xcalloc(1, 200000);
    for (int i = 0; i < 20; i++) {
        char text[2001];
        memset(text, 'x', 2000);
        text[2000] = '\0';
        snprintf(choices + strlen(choices), 2100, "%s'%s%d'", i > 0 ? "," : "", text, i);
    }
    snprintf(arguments, 200000,
             "{'question':'Which?','answer_schema':{'pattern':'(x*y?)*x*y*[zq]'},'choices':[%s]}", choices);
    asks_with(arguments);
    assert_int_equal(ctx->n_pauses, 0);
    const char *told = fake_text(ctx->state, "messages[2].content");
    if (strstr(told,
               "error: choices cannot be checked against answer_schema: the pattern (x*y?)*x*y*[zq] takes") ==
        NULL)
        fail_msg("it says: %s", told);
    free(choices);
    free(arguments);
}

static const char *last_event(const char *key)
{
    assert_true(ctx->emitted.n > 0);
    assert_string_equal(ctx->emitted.items[ctx->emitted.n - 1].name, "completed");
    return fake_text(ctx->emitted.items[ctx->emitted.n - 1].data, key);
}

static void a_reply_that_is_cut_off_or_refused_says_so_and_is_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *provider, *more, *reply, *stop, *text, *warning;
    } cases[] = {
        {"openai",    "",               "{'choices':[{'message':{'content':'Once upon'},'finish_reason':'length'}]}",  "length",
         "Once upon",                                                                                                                            "cut off"},
        {"anthropic", "",               "{'content':[{'type':'text','text':'Once upon'}],'stop_reason':'max_tokens'}",
         "max_tokens",                                                                                                            "Once upon",   "cut off"},
        {"openai",    "",
         "{'choices':[{'message':{'content':null,'refusal':'I will not.'},'finish_reason':'stop'}]}",                  "refusal", "I will not.", "refused"},
        {"openai",    ",'stream':true",
         "data: {'choices':[{'delta':{'refusal':'I will'}}]}\n\ndata: {'choices':[{'delta':{'refusal':' "
         "not.'},'finish_reason':'stop'}]}\n\ndata: [DONE]\n\n",                                                       "refusal", "I will not.", "refused"},
        {"anthropic", "",               "{'content':[],'stop_reason':'refusal'}",                                      "refusal",
         "(The model has refused to answer.)",                                                                                                   "refused"},
        {"openai",    "",               "{'choices':[{'message':{'content':'All.'},'finish_reason':'stop'}]}",         "",        "All.",
         NULL                                                                                                                                             },
        {"anthropic", "",               "{'content':[{'type':'text','text':'All.'}],'stop_reason':'end_turn'}",        "",        "All.",
         NULL                                                                                                                                             },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ctx->state = fm_map(ctx);
        configure(cases[i].provider, cases[i].more);
        ask();
        answers(cases[i].reply);
        assert_string_equal(last_event("text"), cases[i].text);
        const struct fm_value *stop =
            fm_value_get(ctx->emitted.items[ctx->emitted.n - 1].data, "stop_reason");
        assert_string_equal(fm_value_string(stop, ""), cases[i].stop);
        assert_string_equal(fake_text(fm_value_at(fm_value_get(ctx->state, "messages"), 1), "content"),
                            cases[i].text);
        assert_int_equal(ctx->logged.n, cases[i].warning != NULL ? 2 : 1);
        if (cases[i].warning != NULL)
            assert_non_null(strstr(ctx->logged.items[1].name, cases[i].warning));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_init, forget)
    const struct CMUnitTest tests[] = {
        TEST(params_are_merged_into_the_request),
        TEST(a_base_url_keeps_its_query),
        TEST(options_of_a_stream_are_the_configuration_s),
        TEST(a_call_that_is_not_streamed_may_take_as_long_as_the_whole_call),
        TEST(fields_that_mean_nothing_to_the_agent_are_passed_on),
        TEST(a_response_format_is_anthropic_s_output_config),
        TEST(a_schema_that_is_text_goes_out_byte_for_byte),
        TEST(thinking_blocks_are_kept_and_sent_back_as_they_came),
        TEST(thinking_blocks_of_a_stream_are_kept_and_sent_back_as_they_came),
        TEST(more_than_64_calls_in_a_streamed_reply_are_an_error),
        TEST(calls_get_ids_of_their_own_when_the_model_s_are_missing_or_equal),
        TEST(a_streamed_call_without_an_index_is_told_by_its_id),
        TEST(plain_json_in_answer_to_a_streamed_request_is_understood),
        TEST(what_a_reply_that_is_of_no_use_has_used_is_counted),
        TEST(what_a_reply_of_no_use_has_used_counts_for_the_limits),
        TEST(limits_of_an_agent_are_included),
        TEST(a_limit_of_cost_without_a_price_needs_another_one),
        TEST(a_long_stream_takes_memory_for_its_text_only),
        TEST(a_secret_that_a_stream_gives_back_in_parts_is_not_shown),
        TEST(a_secret_in_a_call_s_arguments_or_escaped_in_a_reply_is_blanked_out),
        TEST(a_call_in_which_a_secret_was_blanked_out_before_is_not_run),
        TEST(the_secret_of_another_agent_is_none_here),
        TEST(choices_that_are_no_texts_can_be_answered),
        TEST(a_question_that_nobody_could_answer_is_an_error_for_the_model),
        TEST(a_schema_that_takes_too_much_is_an_error_for_the_model),
        TEST(a_reply_that_is_cut_off_or_refused_says_so_and_is_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
