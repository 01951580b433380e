/* What tools a model is offered, as each provider is told of them. */
#include <stdio.h>

#include <cmocka.h>

#include "agent.h"
#include "fake_json.h"
#include "mem.h"
#include "provider.h"

static struct fm_ctx fake, *ctx = &fake;

static int setup(void **state)
{
    (void)state;
    fake_init(ctx, &llm_agent_type);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

#define LOOK_PARAMETERS "{'type':'object','properties':{'where':{'type':'string'}}}"
#define LOOK "{'name':'look','description':'Looks.','parameters':" LOOK_PARAMETERS "}"
#define ASK_PARAMETERS                                                                                       \
    "{'type':'object','properties':{"                                                                        \
    "'question':{'type':'string','description':'what the person is asked'},"                                 \
    "'choices':{'type':'array','description':'answers to choose from, if any','items':{'type':'string'}},"   \
    "'answer_schema':{'type':'object','description':'a JSON Schema that the answer must meet'}},"            \
    "'required':['question']}"
#define ASK_TEXT "Asks the person for whom you work, and returns the answer."

/* The tools in the request that such a configuration leads to. */
static void offers(const char *provider, const char *config, const char *tools)
{
    char text[1000];
    fm_auto(fm_err) err = {0};
    (void)snprintf(text, sizeof(text), "{'provider':'%s','model':'m'%s}", provider, config);
    ctx->config = fake_json(ctx, text);
    if (fake_run(ctx, "trigger", "{'task':'Go.'}") != 0)
        fail_msg("%s", ctx->failure);
    const struct fm_value *body = ctx_json(ctx, ctx->request.body, ctx->request.body_bytes, &err);
    if (tools == NULL)
        assert_null(fm_value_get(body, "tools"));
    else
        fake_is(ctx, fm_value_get(body, "tools"), tools);
}

static void a_model_is_offered_the_flow_s_tools_and_to_ask(void **state)
{
    (void)state;
    offers("openai", ",'tools':[" LOOK ",{'name':'go'}]",
           "[{'type':'function','function':" LOOK "},"
           "{'type':'function','function':{'name':'go','description':'','parameters':{'type':'object','"
           "properties':{}}}},"
           "{'type':'function','function':{'name':'ask_user','description':'" ASK_TEXT
           "','parameters':" ASK_PARAMETERS "}}]");
    offers("anthropic", ",'tools':[" LOOK "]",
           "[{'name':'look','description':'Looks.','input_schema':" LOOK_PARAMETERS "},"
           "{'name':'ask_user','description':'" ASK_TEXT "','input_schema':" ASK_PARAMETERS "}]");
    offers("openai", "",
           "[{'type':'function','function':{'name':'ask_user','description':'" ASK_TEXT
           "','parameters':" ASK_PARAMETERS "}}]");
}

static void a_model_that_may_not_ask_is_offered_the_flow_s_tools_alone(void **state)
{
    (void)state;
    offers("openai", ",'ask':false,'tools':[" LOOK "]", "[{'type':'function','function':" LOOK "}]");
    offers("openai", ",'ask':false", NULL);
    offers("anthropic", ",'ask':false", NULL);
}

static void a_tool_named_ask_user_stands_in_for_the_built_in_one(void **state)
{
    (void)state;
    static const char own[] =
        "{'name':'ask_user','description':'Mine.','parameters':{'type':'object','properties':{}}}";
    char config[200], tools[200];
    (void)snprintf(config, sizeof(config), ",'tools':[%s]", own);
    (void)snprintf(tools, sizeof(tools), "[{'type':'function','function':%s}]", own);
    offers("openai", config, tools);
}

/* ---- nothing is dropped ---- */

static void keys_of_a_tool_that_are_the_provider_s_go_to_it(void **state)
{
    (void)state;
#define KEYS "'strict':true,'cache_control':{'type':'ephemeral'}"
    offers("openai",
           ",'ask':false,'tools':[{'name':'go','description':'Goes.','approval':'required'," KEYS "}]",
           "[{'type':'function','cache_control':{'type':'ephemeral'},'function':{'name':'go',"
           "'description':'Goes.','strict':true,'parameters':{'type':'object','properties':{}}}}]");
    offers("anthropic",
           ",'ask':false,'tools':[{'name':'go','description':'Goes.','defer_loading':true," KEYS "}]",
           "[{'name':'go','description':'Goes.','defer_loading':true," KEYS
           ",'input_schema':{'type':'object','properties':{}}}]");
}

static void a_key_that_a_stored_flow_should_not_have_is_not_sent(void **state)
{
    (void)state;
    offers("anthropic", ",'ask':false,'tools':[{'name':'go','description':'Goes.','aproval':'required'}]",
           "[{'name':'go','description':'Goes.','input_schema':{'type':'object','properties':{}}}]");
}

static void an_object_schema_has_properties_and_another_one_is_left_alone(void **state)
{
    (void)state;
    offers("anthropic",
           ",'ask':false,'tools':[{'name':'a','description':'A','parameters':{'type':'object'}},"
           "{'name':'b','description':'B','parameters':{'anyOf':[{'type':'object'}]}}]",
           "[{'name':'a','description':'A','input_schema':{'type':'object','properties':{}}},"
           "{'name':'b','description':'B','input_schema':{'anyOf':[{'type':'object'}]}}]");
}

static void tools_of_params_go_beside_the_agent_s(void **state)
{
    (void)state;
#define SEARCH "{'type':'web_search_20250305','name':'web_search'}"
    offers("anthropic",
           ",'ask':false,'tools':[{'name':'go','description':'Goes.'}],'params':{'tools':[" SEARCH "]}",
           "[{'name':'go','description':'Goes.','input_schema':{'type':'object','properties':{}}}," SEARCH
           "]");
    offers("openai", ",'ask':false,'params':{'tools':[" SEARCH "]}", "[" SEARCH "]");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(keys_of_a_tool_that_are_the_provider_s_go_to_it),
        TEST(a_key_that_a_stored_flow_should_not_have_is_not_sent),
        TEST(an_object_schema_has_properties_and_another_one_is_left_alone),
        TEST(tools_of_params_go_beside_the_agent_s),
        TEST(a_model_is_offered_the_flow_s_tools_and_to_ask),
        TEST(a_model_that_may_not_ask_is_offered_the_flow_s_tools_alone),
        TEST(a_tool_named_ask_user_stands_in_for_the_built_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
