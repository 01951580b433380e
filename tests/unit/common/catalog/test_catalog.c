/* The catalog of built-in routine types: that it says what documents and the coordinator need, and its rules.
 */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "catalog.h"
#include "json.h"
#include "json_text.h"
#include "mem.h"

static struct fm_arena arena;
static char faults[1024];

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 16u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_arena_done(&arena);
    return 0;
}

static void note(void *arg, const struct json_schema_fault *f)
{
    size_t n = strlen(faults);
    (void)arg;
    snprintf(faults + n, sizeof(faults) - n, "%s%s: %s", n > 0 ? "; " : "", f->path, f->message);
}

static void check(const struct fm_value *schema, const struct fm_value *v)
{
    struct fm_err err = {0};
    struct json_schema_work work = {0};
    if (json_schema_check_plain(schema, v, &work, note, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

/* What is wrong with a configuration, in single quotes, in the end. */
static const char *faults_of(const char *type, const char *quoted)
{
    struct fm_err err = {0};
    fm_autofree char *json = json_text(quoted);
    const struct type_spec *t = type_catalog_find(type);
    const struct fm_value *v = json_value_read(json, strlen(json), &arena, &err);
    if (t == NULL || v == NULL)
        fail_msg("%s: %s", quoted, err.msg);
    faults[0] = '\0';
    check(t->config, v);
    if (t->rules != NULL)
        t->rules(t->config, v, &(struct json_schema_work){0}, note, NULL);
    return faults;
}

/* ---- what each type has ---- */

static void settings_are_described(const char *where, const struct fm_value *schema)
{
    const struct fm_value *properties = fm_value_get(schema, "properties");
    for (size_t i = 0; i < fm_value_size(properties); i++) {
        const struct fm_value *s = fm_value_at(properties, i), *examples = fm_value_get(s, "examples"),
                              *given = fm_value_get(s, "default");
        char name[200];
        snprintf(name, sizeof(name), "%s.%s", where, fm_value_key(properties, i));
        if (fm_value_size(fm_value_get(s, "description")) < 5)
            fail_msg("%s has no description", name);
        if (examples == NULL && given == NULL && fm_value_get(s, "enum") == NULL)
            fail_msg("%s has neither examples, a default nor an enum", name);
        faults[0] = '\0';
        for (size_t k = 0; k < fm_value_size(examples); k++)
            check(s, fm_value_at(examples, k));
        if (given != NULL)
            check(s, given);
        if (faults[0] != '\0')
            fail_msg("an example, or the default, of %s: %s", name, faults);
        settings_are_described(name, s);
        settings_are_described(name, fm_value_get(s, "items"));
    }
}

static void each_setting_is_described_with_examples_that_meet_its_schema(void **state)
{
    (void)state;
    size_t n;
    const struct type_spec *types = type_catalog(&n);
    assert_int_equal(n, 15);
    for (size_t i = 0; i < n; i++) {
        const struct type_spec *t = &types[i];
        const struct fm_value *examples = fm_value_get(t->config, "examples");
        settings_are_described(t->name, t->config);
        assert_true(t->version > 0 && t->n_slots > 0 && t->n_events > 0 && fm_value_size(examples) > 0);
        faults[0] = '\0';
        for (size_t k = 0; k < fm_value_size(examples); k++) {
            check(t->config, fm_value_at(examples, k));
            if (t->rules != NULL)
                t->rules(t->config, fm_value_at(examples, k), &(struct json_schema_work){0}, note, NULL);
        }
        if (faults[0] != '\0')
            fail_msg("an example of %s: %s", t->name, faults);
    }
}

static void the_text_of_a_schema_is_the_schema(void **state)
{
    (void)state;
    size_t n;
    const struct type_spec *types = type_catalog(&n);
    for (size_t i = 0; i < n; i++) {
        struct fm_err err = {0};
        const struct fm_value *v =
            type_schema_read(types[i].config_text, strlen(types[i].config_text), &arena, &err);
        assert_non_null(v);
        assert_true(json_schema_same(v, types[i].config));
        for (size_t k = 0; k < n; k++)
            assert_int_equal(json_schema_same(v, types[k].config), i == k);
    }
}

static void an_agent_has_a_notice_and_a_call(void **state)
{
    (void)state;
    const struct type_spec *t = type_catalog_find("llm_agent");
    assert_non_null(t);
    for (size_t i = 0; i < t->n_events; i++) {
        assert_int_equal(t->events[i].notice, strcmp(t->events[i].name, "question") == 0);
        assert_int_equal(t->events[i].call, strcmp(t->events[i].name, "tool_call") == 0);
    }
    assert_true(t->effects);
    assert_null(type_catalog_find("llm"));
}

/* ---- schemas that others bring ---- */

static void schema_has_fault(const char *quoted, const char *message)
{
    fm_autofree char *text = json_text(quoted);
    struct fm_err err = {0};
    if (type_schema_read(text, strlen(text), &arena, &err) != NULL)
        fail_msg("%s is taken", text);
    if (strstr(err.msg, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, message);
    fm_err_done(&err);
}

static void a_schema_is_bounded_and_has_no_patterns(void **state)
{
    (void)state;
    struct fm_err err = {0};
    schema_has_fault("{", "not JSON");
    schema_has_fault("[]", "must be an object");
    schema_has_fault("{'type':'object','type':'string'}", "occurs twice");
    schema_has_fault("{'properties':{'a':{},'a':{}}}", "occurs twice");
    schema_has_fault("{'$ref':'#'}", "may have no references");
    schema_has_fault("{'properties':{'a':{'pattern':'x'}}}", "no patterns");
    fm_autofree char *large = fm_xcalloc(TYPE_SCHEMA_BYTES + 2, 1);
    memset(large, ' ', TYPE_SCHEMA_BYTES + 1);
    memcpy(large, "{}", 2);
    schema_has_fault(large, "65536");
    large[TYPE_SCHEMA_BYTES] = '\0';
    assert_non_null(type_schema_read(large, TYPE_SCHEMA_BYTES, &arena, &err));
}

/* ---- rules ---- */

static void has_fault(const char *type, const char *config, const char *fault)
{
    if (strcmp(faults_of(type, config), fault) != 0)
        fail_msg("%s: \"%s\" is not \"%s\"", config, faults, fault);
}

static void rules_say_what_schemas_cannot(void **state)
{
    (void)state;
    has_fault("http", "{'url':'ftp://x'}", "url: must begin with http:// or https://; it is \"ftp://x\"");
    has_fault("http", "{'url':'HTTPS://x'}", "");
    has_fault("aggregate", "{'sources':['','a']}", "sources: must begin with the name of a slot");
    has_fault("exec", "{'command':['','x']}", "command: must begin with the program to be run");
    has_fault("exec", "{'command':['x'],'idle_ms':5}", "idle_ms: is only for mode serve");
    has_fault("exec", "{'command':['x'],'mode':'serve','idle_ms':5}", "");
    has_fault("llm_agent", "{'provider':'openai'}", "model: is missing: provider openai needs it");
    has_fault("llm_agent", "{'provider':'mock','tools':[{'name':'a'},{'name':'b'},{'name':'a'}]}",
              "tools[2]: has the name \"a\", as tools[0] has");
    has_fault("llm_agent", "{'provider':'mock','script':[{'say':'x','tool':{}},{'say':'x','fail':'y'}]}",
              "script[1]: must have exactly one of say, ask, fail, tool, tools (say also beside a call; "
              "error also before any)");
}

static void what_an_agent_does_not_know_is_a_fault_of_the_mock_only(void **state)
{
    (void)state;
    has_fault("llm_agent", "{'provider':'mock','temprature':1}",
              "temprature: unknown key \"temprature\"; did you mean \"temperature\"?");
    has_fault("llm_agent", "{'temprature':1}",
              ": lacks the property \"provider\"; temprature: unknown key \"temprature\"; did you mean "
              "\"temperature\"?");
    has_fault("llm_agent", "{'provider':'openai','model':'m','reasoning_effort':'low'}", "");
    has_fault("llm_agent", "{'provider':'openai','model':'m','limits':{'maxturns':3}}",
              "limits.maxturns: unknown key \"maxturns\"; did you mean \"max_turns\"?");
}

static void headers_that_are_the_client_s_are_a_fault(void **state)
{
    (void)state;
    has_fault("http", "{'url':'http://x','headers':{'Content-Length':'5'}}",
              "headers.Content-Length: cannot be set: it follows from the body");
    has_fault("http", "{'url':'http://x','secret_headers':{'Connection':'crm'}}",
              "secret_headers.Connection: cannot be set: it is between the client and the next hop");
    has_fault("http", "{'url':'http://x','headers':{'A':'b\\r\\nC: d'}}",
              "headers.A: has a line break or another control character in its value");
    has_fault("http", "{'url':'http://x','headers':{'X-A':'','Authorization':'b'}}", "");
}

static void a_choice_of_a_tool_is_one_that_is_there(void **state)
{
    (void)state;
#define AGENT "'provider':'openai','model':'m','tools':[{'name':'look'}],'tool_choice':"
    has_fault("llm_agent", "{" AGENT "'required'}", "");
    has_fault("llm_agent", "{" AGENT "{'name':'look'}}", "");
    has_fault("llm_agent", "{" AGENT "{'type':'function','function':{'name':'x'}}}", "");
    has_fault("llm_agent", "{" AGENT "{'name':'lok'}}",
              "tool_choice.name: is \"lok\", which is none of the tools");
    has_fault("llm_agent", "{" AGENT "'look'}",
              "tool_choice: must be auto, none, required, {\"name\": TOOL} or an object of the provider");
#undef AGENT
}

static void headers_of_an_agent_may_have_secrets_in_them(void **state)
{
    (void)state;
#define AGENT "'provider':'openai','model':'m','headers':"
    has_fault("llm_agent",
              "{" AGENT "{'api-key':'${secret:A}','X-Team':'a','Authorization':'B ${secret:B}'}}", "");
    has_fault(
        "llm_agent", "{" AGENT "{'Authorization':'Bearer sk-pasted'}}",
        "headers.Authorization: must be a secret of the host, \"${secret:NAME}\": what is written here is "
        "in the flow");
    has_fault("llm_agent", "{" AGENT "{'authorization':'${secret:A}'},'api_key':'B'}",
              "headers.authorization: is given beside api_key, which sets it: keep one of them");
    has_fault(
        "llm_agent", "{" AGENT "{'X':'${secret:A B}'}}",
        "headers.X: has a reference that is none: ${secret:NAME} has a NAME of 1 to 128 of the characters "
        "A-Z a-z 0-9 _ . -");
    has_fault("llm_agent", "{" AGENT "{'X':7}}", "headers.X: must be a string");
    has_fault("llm_agent", "{" AGENT "{'content-type':'a'}}",
              "headers.content-type: cannot be set: the agent sets it");
    has_fault("llm_agent", "{" AGENT "{'X-a':'a','x-A':'b'}}",
              "headers.x-A: is given twice: letters of either case are the same");
    has_fault("llm_agent", "{" AGENT "{'Host':'a'}}", "headers.Host: cannot be set: it follows from the URL");
#undef AGENT
}

static void secrets_are_not_inherited(void **state)
{
    (void)state;
    has_fault("exec", "{'command':['x'],'inherit_env':['HTTP_PROXY','VIRTUAL_ENV','KEYBOARD']}", "");
    has_fault(
        "exec", "{'command':['x'],'inherit_env':['A','aws_secret_access_key']}",
        "inherit_env[1]: \"aws_secret_access_key\" has the name of a secret: it is not passed on; have the "
        "program read secrets from a file");
    has_fault("exec", "{'command':['x'],'inherit_env':['FERMATA_SECRET_a']}",
              "inherit_env[0]: \"FERMATA_SECRET_a\" is Fermata's own: it is not passed on");
    has_fault("exec", "{'command':['x'],'inherit_env':['A=B']}",
              "inherit_env[0]: \"A=B\" is not a valid variable name: 1 to 128 of A-Z a-z 0-9 _, not "
              "starting with a digit");
}

static void agent_has_fault(const char *more, const char *wanted)
{
    static const char *const providers[] = {"openai", "anthropic"};
    for (int i = 0; i < 2; i++) {
        char config[500];
        (void)snprintf(config, sizeof(config), "{'provider':'%s','model':'m',%s}", providers[i], more);
        has_fault("llm_agent", config, wanted);
    }
}

static void a_key_that_no_tool_has_is_a_fault(void **state)
{
    (void)state;
    agent_has_fault("'tools':[{'name':'a','aproval':'required'}]",
                    "tools[0].aproval: unknown key \"aproval\"; did you mean \"approval\"?");
    agent_has_fault("'tools':[{'name':'a','strict':true,'cache_control':{'type':'ephemeral'}}]", "");
}

static void what_params_cannot_say_is_a_fault(void **state)
{
    (void)state;
    agent_has_fault("'params':{'top_p':0.1,'reasoning_effort':'low','max_completion_tokens':5}", "");
    agent_has_fault("'params':{'messages':[]}",
                    "params.messages: cannot be set here: the agent sends its conversation");
    agent_has_fault("'messages':[]", "messages: cannot be set here: the agent sends its conversation");
    agent_has_fault("'params':{'stream':true}",
                    "params.stream: cannot be set here: set the agent's own stream");
    agent_has_fault("'params':{'model':'x'}", "params.model: cannot be set here: set the agent's own model");
    agent_has_fault("'top_p':0.5,'params':{'top_p':0.1}",
                    "params.top_p: is given beside top_p, which says the same: keep one of them");
    agent_has_fault("'x.y':1,'params':{'x.y':2}",
                    "params.x.y: is given beside x.y, which says the same: keep one of them");
    agent_has_fault(
        "'max_tokens':5,'params':{'max_completion_tokens':9}",
        "params.max_completion_tokens: is given beside max_tokens, which says the same: keep one of "
        "them");
    agent_has_fault(
        "'params':{'n':2}",
        "params.n: must be 1: the agent takes one reply, and the others would be paid for and lost");
    agent_has_fault("'n':1,'system':'a','params':{'system':'b'}", "");
    agent_has_fault("'tools':[{'name':'a'}],'params':{'tools':[{'name':'b'},{'function':{'name':'a'}}]}",
                    "params.tools[1]: has the name \"a\", as tools[0] has");
    agent_has_fault("'params':{'tools':{}}", "params.tools: must be a list of tools in the provider's form");
    agent_has_fault("'params':{'tools':[1]}",
                    "params.tools[0]: must be an object: a tool in the provider's form");
}

static void what_would_say_nothing_to_anthropic_is_a_fault(void **state)
{
    (void)state;
#define A "{'provider':'anthropic','model':'m',"
    has_fault("llm_agent", A "'seed':7}", "seed: means nothing to provider anthropic");
    has_fault("llm_agent", A "'stop':'x','params':{'stop_sequences':['y']}}",
              "params.stop_sequences: is given beside stop, which says the same: keep one of them");
    has_fault("llm_agent", A "'response_format':{'type':'text'},'params':{'output_config':{'format':{}}}}",
              "response_format: is given beside output_config.format, which says the same: keep one of them");
    has_fault("llm_agent", A "'response_format':{'type':'text'},'params':{'output_config':{'effort':'low'}}}",
              "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(headers_that_are_the_client_s_are_a_fault),
        TEST(a_choice_of_a_tool_is_one_that_is_there),
        TEST(headers_of_an_agent_may_have_secrets_in_them),
        TEST(secrets_are_not_inherited),
        TEST(a_key_that_no_tool_has_is_a_fault),
        TEST(what_params_cannot_say_is_a_fault),
        TEST(what_would_say_nothing_to_anthropic_is_a_fault),
        TEST(each_setting_is_described_with_examples_that_meet_its_schema),
        TEST(the_text_of_a_schema_is_the_schema),
        TEST(an_agent_has_a_notice_and_a_call),
        TEST(a_schema_is_bounded_and_has_no_patterns),
        TEST(rules_say_what_schemas_cannot),
        TEST(what_an_agent_does_not_know_is_a_fault_of_the_mock_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
