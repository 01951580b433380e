/* What servers make of the two protocols, and what they take back: content in parts, usage in pieces, names
 * and texts that they refuse, choices that hold for one call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "llm_rig.h"
#include "mem.h"
#include "prices.h"

#define MESSAGE(message, reason) "{'choices':[{'message':" message ",'finish_reason':'" reason "'}]}"
#define LOOK(name) "{'id':'a','function':{'name':'" name "','arguments':'{}'}}"

static void starts(const char *provider, const char *more)
{
    ctx->state = fm_map(ctx);
    configure(provider, more);
    ask();
}

/* ---- content ---- */

#define THINKS "{'type':'thinking','thinking':[{'type':'text','text':'Hm.'}]}"

static void texts_of_a_content_in_parts_are_joined_and_others_are_kept(void **state)
{
    (void)state;
    starts("openai", "");
    answers(MESSAGE("{'content':[{'type':'text','text':'Hel'},{'type':'text','text':'lo'}]}", "stop"));
    fake_emitted(ctx, 0, "output", "{'text':'Hello'}");
    assert_null(fm_value_get(ctx->state, "messages[1].blocks"));
    starts("openai", "");
    answers(MESSAGE("{'content':[" THINKS ",{'type':'text','text':'Hello'}],'tool_calls':[" LOOK("look") "]}",
                    "tool_calls"));
    fake_emitted(ctx, 0, "output", "{'text':'Hello'}");
    assert_int_equal(fake_run(ctx, "tool_result", "{'call_id':'a','result':1}"), 0);
    fake_is(ctx, sent("messages[1].content"), "[" THINKS ",{'type':'text','text':'Hello'}]");
    starts("openai", ",'stream':true");
    answers("data: {'choices':[{'delta':{'content':[" THINKS "]}}]}\n\n"
            "data: {'choices':[{'delta':{'content':[{'type':'text','text':'Hel'}]}}]}\n\n"
            "data: {'choices':[{'delta':{'content':'lo'},'finish_reason':'stop'}]}\n\ndata: [DONE]\n\n");
    fake_emitted(ctx, 0, "output", "{'text':'Hello'}");
    fake_is(ctx, fm_value_get(ctx->state, "messages[1].blocks"),
            "[" THINKS ",{'type':'text','text':'Hello'}]");
}

/* ---- thoughts ---- */

#define SIGNED "'extra_content':{'google':{'thought_signature':'S'}}"
#define SIGNED_CALL "{'id':'a'," SIGNED ",'function':{'name':'look','arguments':'{}'}}"

/* What the model is sent again of its first message after a result, and then in another turn. */
static void thoughts_go_back(const char *reply, const char *more, const char *in_turn, const char *later)
{
    starts("openai", more);
    answers(reply);
    assert_int_equal(fake_run(ctx, "tool_result", "{'result':1}"), 0);
    fake_is(ctx, sent("messages[1]"), in_turn);
    answers(more[0] == '\0' ? MESSAGE("{'content':'Done.'}", "stop")
                            : "data: {'choices':[{'delta':{'content':'Done.'},'finish_reason':'stop'}]}\n\n");
    assert_int_equal(fake_run(ctx, "trigger", "{'task':'Again.'}"), 0);
    fake_is(ctx, sent("messages[1]"), later);
}

#define BACK(more, call_more)                                                                                \
    "{'role':'assistant','content':''," more "'tool_calls':[{'id':'a','type':'function'," call_more          \
    "'function':{'name':'look','arguments':'{}'}}]}"

static void thoughts_go_back_where_servers_want_them(void **state)
{
    (void)state;
    static const char stream[] = ",'stream':true";
    thoughts_go_back(
        MESSAGE("{'content':'','reasoning_content':'Hm. Hm.','tool_calls':[" LOOK("look") "]}", "tool_calls"),
        "", BACK("'reasoning_content':'Hm. Hm.',", ""), BACK("", ""));
    thoughts_go_back("data: {'choices':[{'delta':{'reasoning_content':'Hm. '}}]}\n\n"
                     "data: {'choices':[{'delta':{'reasoning_content':'Hm.'}}]}\n\n"
                     "data: {'choices':[{'delta':{'tool_calls':[" SIGNED_CALL
                     "]},'finish_reason':'tool_calls'}]}\n\n",
                     stream, BACK("'reasoning_content':'Hm. Hm.',", SIGNED ","), BACK("", SIGNED ","));
    thoughts_go_back(MESSAGE("{'content':null,'tool_calls':[" SIGNED_CALL "]}", "tool_calls"), "",
                     BACK("", SIGNED ","), BACK("", SIGNED ","));
#define DETAILS                                                                                              \
    "'reasoning_details':[{'type':'reasoning.encrypted','data':'X'},{'type':'reasoning.text','text':'Y'}],"
    thoughts_go_back(
        MESSAGE("{'content':''," DETAILS "'reasoning':'Y','tool_calls':[" LOOK("look") "]}", "tool_calls"),
        "", BACK(DETAILS, ""), BACK(DETAILS, ""));
    thoughts_go_back(
        "data: {'choices':[{'delta':{'reasoning_details':[{'type':'reasoning.encrypted','data':'X'}]}}]}\n\n"
        "data: {'choices':[{'delta':{'reasoning_details':[{'type':'reasoning.text','text':'Y'}]}}]}\n\n"
        "data: {'choices':[{'delta':{'tool_calls':[" LOOK("look") "]},'finish_reason':'tool_calls'}]}\n\n",
        stream, BACK(DETAILS, ""), BACK(DETAILS, ""));
}

/* ---- usage ---- */

static void uses(const char *start, const char *end, uint64_t in, uint64_t cached, uint64_t out)
{
    char stream[800];
    ctx->input_tokens = ctx->output_tokens = ctx->cached_tokens = 0;
    starts("anthropic", ",'stream':true");
    (void)snprintf(
        stream, sizeof(stream),
        "data: {'type':'message_start','message':{'usage':%s}}\n\n"
        "data: {'type':'content_block_delta','index':0,'delta':{'type':'text_delta','text':'x'}}\n\n"
        "data: {'type':'message_delta','delta':{'stop_reason':'end_turn'},'usage':%s}\n\n"
        "data: {'type':'message_stop'}\n\n",
        start, end);
    answers(stream);
    assert_int_equal(ctx->input_tokens, in);
    assert_int_equal(ctx->cached_tokens, cached);
    assert_int_equal(ctx->output_tokens, out);
}

static void usage_that_comes_in_pieces_is_exact(void **state)
{
    (void)state;
    uses("{'input_tokens':25,'output_tokens':1}", "{'output_tokens':15}", 25, 0, 15);
    uses("{'input_tokens':25,'output_tokens':1}", "{'input_tokens':null,'output_tokens':15}", 25, 0, 15);
    uses("{'input_tokens':25,'output_tokens':1}", "{'input_tokens':0,'output_tokens':15}", 25, 0, 15);
    uses("{'input_tokens':25,'cache_read_input_tokens':100,'output_tokens':1}",
         "{'input_tokens':25,'output_tokens':15}", 125, 100, 15);
    uses("{'input_tokens':25,'cache_creation_input_tokens':50,'cache_read_input_tokens':100}",
         "{'cache_read_input_tokens':null,'cache_creation_input_tokens':0,'output_tokens':15}", 175, 100, 15);
    uses("{'input_tokens':0,'output_tokens':0}", "{'input_tokens':30,'output_tokens':15}", 30, 0, 15);
    ctx->input_tokens = ctx->output_tokens = ctx->cached_tokens = 0;
    starts("openai", ",'stream':true");
    answers(
        "data: {'choices':[{'delta':{'content':'x'}}],'usage':{'prompt_tokens':9,'completion_tokens':1}}\n\n"
        "data: {'choices':[{'delta':{},'finish_reason':'stop'}],'usage':null}\n\n"
        "data: "
        "{'choices':[],'usage':{'prompt_tokens':9,'completion_tokens':4,'prompt_cache_hit_tokens':8}}\n\n"
        "data: [DONE]\n\n");
    assert_int_equal(ctx->input_tokens, 9);
    assert_int_equal(ctx->output_tokens, 4);
    assert_int_equal(ctx->cached_tokens, 8);
}

static void what_is_written_to_a_cache_has_a_price_of_its_own(void **state)
{
    (void)state;
    char file[] = "/tmp/test_llm_dialects.XXXXXX";
    static const char prices[] =
        "{\"a/m\": {\"input\": 10, \"output\": 100, \"cached\": 1, \"cache_write\": 20}, "
        "\"b/m\": {\"input\": 10, \"output\": 100}}";
    fm_auto(fm_err) err = {0};
    int fd = mkstemp(file);
    assert_int_equal(write(fd, prices, strlen(prices)), (ssize_t)strlen(prices));
    (void)close(fd);
    assert_int_equal(prices_read(file, &err), 0);
    (void)unlink(file);
    const struct prices_use use = {.input_tokens = 1000000,
                                   .cached_tokens = 500000,
                                   .cache_write_tokens = 300000,
                                   .output_tokens = 10000};
    bool known;
    assert_int_equal((int)(1000 * prices_cost("a", "m", &use, &known) + 0.5), 2000 + 500 + 6000 + 1000);
    assert_int_equal((int)(1000 * prices_cost("b", "m", &use, &known) + 0.5), 11000);
    prices_free();
}

/* ---- what goes back ---- */

static void names_that_a_model_invents_go_back_as_providers_take_them(void **state)
{
    (void)state;
    static const struct {
        const char *invented, *sent;
    } names[] = {
        {"multi_tool_use.parallel", "multi_tool_use_parallel"},
        {"t<|channel|>x",           "t__channel__x"          },
        {"functions.t",             "functions_t"            },
        {"",                        "unknown"                },
    };
    for (size_t i = 0; i < 4; i++) {
        char reply[300];
        (void)snprintf(reply, sizeof(reply),
                       MESSAGE("{'content':null,'tool_calls':[" LOOK("%s") "]}", "tool_calls"),
                       names[i].invented);
        starts("openai", "");
        answers(reply);
        assert_int_equal(fake_run(ctx, "continue", "{}"), 0);
        assert_string_equal(fm_value_string(sent("messages[1].tool_calls[0].function.name"), ""),
                            names[i].sent);
        (void)snprintf(
            reply, sizeof(reply),
            "{'content':[{'type':'text','text':' \\n'},{'type':'tool_use','id':'a','name':'%s','input':{}}],"
            "'stop_reason':'tool_use'}",
            names[i].invented);
        starts("anthropic", "");
        answers(reply);
        assert_int_equal(fake_run(ctx, "continue", "{}"), 0);
        assert_string_equal(fm_value_string(sent("messages[1].content[0].name"), ""),
                            names[i].sent); /* no blank text */
    }
}

static void a_choice_that_makes_the_model_call_holds_for_the_first_call_of_a_turn(void **state)
{
    (void)state;
    static const struct {
        const char *provider, *choice, *later;
    } choices[] = {
        {"openai",    "'required'",                                      "'auto'"         },
        {"openai",    "'any'",                                           "'auto'"         },
        {"openai",    "{'type':'function','function':{'name':'look'}}",  "'auto'"         },
        {"openai",    "'none'",                                          "'none'"         },
        {"anthropic", "{'type':'any','disable_parallel_tool_use':true}",
         "{'type':'auto','disable_parallel_tool_use':true}"                               },
        {"anthropic", "{'type':'tool','name':'look'}",                   "{'type':'auto'}"},
    };
    for (size_t i = 0; i < 2 * sizeof(choices) / sizeof(choices[0]); i++) {
        char more[200];
        bool plain = i % 2 == 0;
        (void)snprintf(more, sizeof(more), ",%s'tool_choice':%s%s", plain ? "" : "'params':{",
                       choices[i / 2].choice, plain ? "" : "}");
        starts(choices[i / 2].provider, more);
        fake_is(ctx, sent("tool_choice"), choices[i / 2].choice);
        answers(strcmp(choices[i / 2].provider, "openai") == 0
                    ? MESSAGE("{'tool_calls':[" LOOK("look") "]}", "tool_calls")
                    : "{'content':[{'type':'tool_use','id':'a','name':'look','input':{}}],'stop_reason':'"
                      "tool_use'}");
        assert_int_equal(fake_run(ctx, "tool_result", "{'result':1}"), 0);
        fake_is(ctx, sent("tool_choice"), choices[i / 2].later);
        answers(strcmp(choices[i / 2].provider, "openai") == 0
                    ? MESSAGE("{'content':'Done.'}", "stop")
                    : "{'content':[{'type':'text','text':'Done.'}],'stop_reason':'end_turn'}");
        assert_int_equal(fake_run(ctx, "trigger", "{'task':'Again.'}"), 0); /* another turn */
        fake_is(ctx, sent("tool_choice"), choices[i / 2].choice);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_init, rig_done)
    const struct CMUnitTest tests[] = {
        TEST(texts_of_a_content_in_parts_are_joined_and_others_are_kept),
        TEST(thoughts_go_back_where_servers_want_them),
        TEST(usage_that_comes_in_pieces_is_exact),
        TEST(what_is_written_to_a_cache_has_a_price_of_its_own),
        TEST(names_that_a_model_invents_go_back_as_providers_take_them),
        TEST(a_choice_that_makes_the_model_call_holds_for_the_first_call_of_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
