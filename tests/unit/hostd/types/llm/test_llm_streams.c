/* Streams as servers send them: whose a piece is, what ends a stream, and what is not quite JSON. */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "llm_rig.h"

#define EVENT(delta, reason) "data: {'choices':[{'delta':" delta ",'finish_reason':" reason "}]}\n\n"
#define PIECE(fields) EVENT("{'tool_calls':[{" fields "}]}", "null")
#define F(name, args) "'function':{'name':'" name "','arguments':'" args "'}"
#define MORE(args) "'function':{'arguments':'" args "'}"
#define END EVENT("{}", "'tool_calls'") "data: [DONE]\n\n"
#define X1 "{\\\"x\\\":1}"
#define X2 "{\\\"x\\\":2}"

static void calls_are(const char *stream, size_t n)
{
    ctx->state = fm_map(ctx);
    configure("openai", ",'stream':true");
    ask();
    answers(stream);
    assert_int_equal(ctx->emitted.n, n);
    for (size_t i = 0; i < n; i++) {
        char arguments[40];
        (void)snprintf(arguments, sizeof(arguments), "{'x':%zu}", i + 1);
        assert_string_equal(fake_text(ctx->emitted.items[i].data, "name"), "look");
        fake_is(ctx, fm_value_get(ctx->emitted.items[i].data, "arguments"), arguments);
    }
}

static void calls_are_told_apart_by_their_ids_and_then_by_their_indexes(void **state)
{
    (void)state;
    calls_are(PIECE("'index':0,'id':'a'," F("look", X1)) PIECE("'index':0,'id':'b'," F("look", X2)) END, 2);
    calls_are(PIECE("'index':1,'id':'a'," F("look", "")) PIECE("'index':1," MORE(X1)) END, 1);
    calls_are(PIECE("'index':1,'id':'a'," F("look", X1)) PIECE("'index':2,'id':'b'," F("look", X2)) END, 2);
    calls_are(PIECE("'id':'a'," F("look", "{\\\"x\\\":")) PIECE("'id':''," MORE("1}")) END, 1);
    calls_are(PIECE("'index':0,'id':''," F("look", X1)) PIECE("'index':0,'id':''," F("look", X2)) END, 2);
    calls_are(PIECE("'index':0,'id':'a'," F("look", X1)) PIECE("'index':1,'id':'a'," F("look", X2)) END, 2);
    /* another id with each piece */
    calls_are(
        PIECE("'index':0,'id':'a'," F("look", "{\\\"x\\\"")) PIECE("'index':0,'id':'b'," MORE(":1}")) END, 1);
    /* the name with each piece */
    calls_are(PIECE("'index':0,'id':'a'," F("look", "{\\\"x\\\""))
                  PIECE("'index':0,'id':'a'," F("look", ":1}")) END,
              1);
    calls_are(PIECE("'index':0," F("look", "{\\\"x\\\"")) PIECE("'index':0," F("look", ":1}")) END, 1);
    /* pieces of two calls that take turns */
    calls_are(PIECE("'index':0,'id':'a'," F("look", "")) PIECE("'index':1,'id':'b'," F("look", ""))
                  PIECE("'index':0," MORE("{\\\"x\\\":")) PIECE("'index':1," MORE(X2))
                      PIECE("'index':0," MORE("1}")) END,
              2);
    /* an empty piece at the end */
    calls_are(PIECE("'index':0,'id':'a'," F("look", X1)) PIECE("'index':0," MORE(""))
                  PIECE("'index':1," MORE("")) END,
              1);
}

#define BLOCK(i, block) "data: {'type':'content_block_start','index':" i ",'content_block':" block "}\n\n"
#define DELTA(i, delta) "data: {'type':'content_block_delta','index':" i ",'delta':" delta "}\n\n"
#define USE(id) "{'type':'tool_use','id':'" id "','name':'look','input':{}}"
#define JSON(text) "{'type':'input_json_delta','partial_json':'" text "'}"
#define TEXT(text) "{'type':'text_delta','text':'" text "'}"
#define STOP(reason)                                                                                         \
    "data: {'type':'message_delta','delta':{'stop_reason':'" reason "'},'usage':{'output_tokens':9}}\n\n"
#define MESSAGE_STOP "data: {'type':'message_stop'}\n\n"

static void blocks_that_come_at_the_same_time_are_told_apart(void **state)
{
    (void)state;
    configure("anthropic", ",'stream':true");
    ask();
    answers(BLOCK("0", USE("a")) BLOCK("1", USE("b")) DELTA("0", JSON("{\\\"x\\\":")) DELTA("1", JSON(X2))
                DELTA("0", JSON("1}")) STOP("tool_use") MESSAGE_STOP);
    fake_emitted(ctx, 0, "tool_call", "{'call_id':'a','name':'look','arguments':{'x':1}}");
    fake_emitted(ctx, 1, "tool_call", "{'call_id':'b','name':'look','arguments':{'x':2}}");
    ctx->state = fm_map(ctx);
    ask();
    answers(BLOCK("0", "{'type':'text','text':''}") BLOCK("1", USE("a")) DELTA("0", TEXT("Hel"))
                DELTA("1", JSON(X1)) DELTA("0", TEXT("lo")) STOP("tool_use") MESSAGE_STOP);
    fake_emitted(ctx, 0, "output", "{'text':'Hello'}");
    ctx->state = fm_map(ctx);
    ask();
    answers(DELTA("0", TEXT("Hello")) STOP("end_turn") MESSAGE_STOP); /* a text that was not said to begin */
    fake_emitted(ctx, 0, "output", "{'text':'Hello'}");
    ctx->state = fm_map(ctx);
    ask();
    fails_with(respond(BLOCK("0", USE("a")) DELTA("7", JSON(X1)) STOP("tool_use") MESSAGE_STOP),
               "belongs to no block");
}

static void says_a(const char *provider, const char *stream)
{
    ctx->state = fm_map(ctx);
    configure(provider, ",'stream':true");
    ask();
    answers(stream);
    fake_emitted(ctx, 0, "output", "{'text':'A'}");
    fake_emitted(ctx, 1, "completed", "{'text':'A','calls':1}");
}

static void a_stream_that_has_said_why_it_ended_is_complete(void **state)
{
    (void)state;
    says_a("openai", EVENT("{'content':'A'}", "null") EVENT("{}", "'stop'"));
    says_a("openai", EVENT("{'content':'A'}", "'stop'") "data: [DONE]  \n\n");
    says_a("openai",
           EVENT("{'content':'A'}", "'stop'") "data: [DONE]\n\n" EVENT("{'content':'B'}", "'length'"));
    says_a("openai", EVENT("{'content':'A'}", "'stop'") "data: \n\n: ping\n\ndata: [DONE]");
    says_a("anthropic", BLOCK("0", "{'type':'text','text':''}") DELTA("0", TEXT("A")) STOP("end_turn"));
    configure("openai", ",'stream':true");
    ask();
    fails_with(respond(EVENT("{'content':'A'}", "null")), "broke off");
    assert_false(ctx->permanent);
    ask();
    assert_int_equal(fake_piece(ctx, "data: {\"choices\":[{\"delta\":{\"content\":\"A\"},"
                                     "\"finish_reason\":\"stop\"}]}\n\n"),
                     0);
    const struct fm_http_response broken = {
        .status = 0, .error = "connection reset", .headers = "", .body = ""};
    assert_int_equal(fake_respond(ctx, &broken), 0); /* all has come that was to come */
    fake_emitted(ctx, 0, "output", "{'text':'A'}");
}

static void lines_and_marks_are_the_standard_s(void **state)
{
    (void)state;
    says_a("openai",
           "data: {'choices':[{'delta':\ndata: {'content':'A'},\ndata: 'finish_reason':'stop'}]}\n\n"
           "data: [DONE]\n\n");
    says_a("openai",
           "data: {'choices':[{'delta':{'content':'A'},'finish_reason':'stop'}]}\r\rdata: [DONE]\r\r");
    says_a("openai", "\xef\xbb\xbf" EVENT("{'content':'A'}", "'stop'") "data: [DONE]\n\n");
    /* no blank lines at all: not the standard's, but it was understood before */
    says_a("openai", "data: {'choices':[{'delta':{'content':'A'},'finish_reason':'stop'}]}\ndata: [DONE]\n");
}

static void what_is_not_quite_json_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *body, *says;
    } replies[] = {
        {"{'choices':[{'message':{'content':'a\\u0000b'},'finish_reason':'stop'}]}",              "a\xef\xbf\xbd"
                                                                                     "b"},
        {"{'choices':[{'message':{'content':'a\\ud83d b'},'finish_reason':'stop'}]}",             "a\xef\xbf\xbd b"                                                         },
        {"{'choices':[{'message':{'content':'a\\ude00'},'finish_reason':'stop'}]}",               "a\xef\xbf\xbd"                                                           },
        {"{'choices':[{'message':{'content':'a\\ud83d\\ude00'},'finish_reason':'stop'}]}",
         "a\xf0\x9f\x98\x80"                                                                                                                                                },
        {"{'x':1e400,'y':-1e999,'choices':[{'message':{'content':'a'},'finish_reason':'stop'}]}", "a"                                                                       },
        {"{'x':NaN,'choices':[{'message':{'content':'a'},'finish_reason':'stop'}]}",              "a"                                                                       },
        {"\xef\xbb\xbf{'choices':[{'message':{'content':'a'},'finish_reason':'stop'}]}",          "a"                                                                       },
        {"{'choices':[{'message':{'content':'\xfc.'},'finish_reason':'stop'}]}",                  "\xef\xbf\xbd."                                                           },
        {"{'choices':[{'message':{'content':'a\tb'},'finish_reason':'stop'}]}",                   "a\tb"                                                                    },
    };
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        ctx->state = fm_map(ctx);
        configure("openai", "");
        ask();
        answers(replies[i].body);
        assert_string_equal(fake_text(ctx->emitted.items[0].data, "text"), replies[i].says);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_init, rig_done)
    const struct CMUnitTest tests[] = {
        TEST(calls_are_told_apart_by_their_ids_and_then_by_their_indexes),
        TEST(blocks_that_come_at_the_same_time_are_told_apart),
        TEST(a_stream_that_has_said_why_it_ended_is_complete),
        TEST(lines_and_marks_are_the_standard_s),
        TEST(what_is_not_quite_json_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
