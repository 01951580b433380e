/* Validation of flows: every fault, with its path. Flows are written as JSON, as clients write them. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "config.h"
#include "flow.h"
#include "from_json.h"
#include "mem.h"
#include "program_check.h"

static struct fm_err err;
/* A type that a host has told of, with a schema; set by tell. */
static struct type_spec told;

static int setup(void **state)
{
    (void)state;
    from_json_begin();
    err = (struct fm_err){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_err_done(&err);
    told = (struct type_spec){.name = NULL};
    from_json_end();
    return 0;
}

static Fermata__V1__Flow *flow(const char *quoted)
{
    return from_json(&fermata__v1__flow__descriptor, quoted);
}

static Google__Protobuf__Struct *data(const char *quoted)
{
    return from_json(&google__protobuf__struct__descriptor, quoted);
}

/* A flow with these routines and connections. */
static Fermata__V1__Flow *parts(const char *routines, const char *connections)
{
    char text[4096];
    snprintf(text, sizeof(text), "{'name':'f','routines':[%s],'connections':[%s]}", routines, connections);
    return flow(text);
}

#define LOGS "{'id':'a','type':'log'},{'id':'b','type':'log'}"

/* ---- types that hosts have told of ---- */

static const struct type_spec *find_type(void *arg, const char *name)
{
    static const struct type_slot in = {"in", NULL}, any_slot = {"*", NULL};
    static const struct type_event out =
                                       {
                                           .name = "out"
    },
                                   any_event = {.name = "*"}, calls[] = {{.name = "ask", .call = true}};
    static const struct type_spec types[] = {
        {.name = "acme.box",   .slots = &in,       .n_slots = 1, .events = &out,       .n_events = 1},
        {.name = "acme.any",   .slots = &any_slot, .n_slots = 1, .events = &any_event, .n_events = 1},
        {.name = "acme.agent", .slots = &in,       .n_slots = 1, .events = calls,      .n_events = 1},
        {.name = "log",        .slots = &in,       .n_slots = 1, .events = &out,       .n_events = 1}, /* without a schema */
    };
    (void)arg;
    if (strcmp(name, told.name != NULL ? told.name : "") == 0)
        return &told;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static const struct flow_types known = {find_type, NULL};

/* ---- expectations ---- */

static void is_valid(const Fermata__V1__Flow *f)
{
    int rc = flow_validate(f, "flow", FLOW_STORED, &known, NULL, &err);
    if (rc != 0)
        fail_msg("%s: %s", err.field, err.msg);
    assert_int_equal(err.code, FM_OK);
}

static size_t n_faults(void)
{
    return err.code == FM_OK ? 0 : err.n_more > 0 ? err.n_more : 1;
}

static const char *fault_field(size_t i)
{
    return err.n_more > 0 ? err.more[i].field : err.field;
}

static const char *fault_text(size_t i)
{
    return err.n_more > 0 ? err.more[i].msg : err.msg;
}

/* Exactly one fault, at this path, with this in its text. */
static void has_fault(const Fermata__V1__Flow *f, const char *field, const char *text)
{
    fm_err_done(&err);
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, &known, NULL, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
    assert_int_equal(n_faults(), 1);
}

static void config_has_fault(const char *type, const char *config, const char *field, const char *text)
{
    char routine[1024];
    snprintf(routine, sizeof(routine), "{'id':'a','type':'%s','config':%s}", type, config);
    has_fault(parts(routine, ""), field, text);
}

/* ---- flows that are fine ---- */

static void a_flow_with_cycles_and_a_routine_connected_to_itself_is_fine(void **state)
{
    (void)state;
    is_valid(parts(LOGS, "{'from':{'routine':'a','event':'output'},'to':{'routine':'b','slot':'input'}},"
                         "{'from':{'routine':'b','event':'output'},'to':{'routine':'a','slot':'input'}},"
                         "{'from':{'routine':'a','event':'output'},'to':{'routine':'a','slot':'input'}}"));
}

static void a_routine_type_that_nobody_knows_is_no_fault(void **state)
{
    (void)state;
    is_valid(parts("{'id':'a','type':'later','config':{'any':[1]}},{'id':'b','type':'log'}",
                   "{'from':{'routine':'a','event':'e'},'to':{'routine':'b','slot':'input'}},"
                   "{'from':{'routine':'b','event':'output'},'to':{'routine':'a','slot':'s'}}"));
    assert_false(flow_type("later", &known));
    assert_false(flow_type("later", NULL));
    assert_true(flow_type("log", NULL));
    assert_true(flow_type("acme.box", &known));
}

static void an_inline_flow_may_go_without_a_name(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = flow("{'routines':[{'id':'a','type':'log'}]}");
    assert_int_equal(flow_validate(f, "inline_flow", FLOW_INLINE, &known, NULL, &err), 0);
    has_fault(f, "flow.name", "1 to 128");
}

static void a_scripted_agent_is_fine(void **state)
{
    (void)state;
    is_valid(parts("{'id':'a','type':'llm_agent','config':{'provider':'mock','delay_ms':0,'system':'s',"
                   "'script':[{'say':'x'},{'ask':'y','choices':['1','2']},{'fail':'z'}]}}",
                   ""));
}

static void the_example_flows_are_fine(void **state)
{
    (void)state;
    char path[4096];
    const char *source = getenv("SOURCE_DIR");
    if (source == NULL)
        skip(); /* run without ctest */
    snprintf(path, sizeof(path), "%s/examples", source);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        json_error_t fault;
        const char *dot = strrchr(e->d_name, '.');
        if (dot == NULL || strcmp(dot, ".json") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/examples/%s", source, e->d_name);
        json_t *j = json_load_file(path, 0, &fault);
        if (j == NULL)
            fail_msg("%s: %s", path, fault.text);
        json_t *f = json_object_get(j, "flow"), *inline_flow = json_object_get(j, "inline_flow");
        if (f != NULL && json_is_object(f))
            is_valid(from_json_value(&fermata__v1__flow__descriptor, f));
        if (inline_flow != NULL && flow_validate(from_json_value(&fermata__v1__flow__descriptor, inline_flow),
                                                 "inline_flow", FLOW_INLINE, &known, NULL, &err) < 0)
            fail_msg("%s: %s: %s", path, err.field, err.msg);
        n += f != NULL || inline_flow != NULL;
        json_decref(j);
    }
    assert_int_equal(closedir(dir), 0);
    assert_true(n > 10);
}

/* ---- names, ids, sizes ---- */

static void names_and_ids_have_a_syntax_and_a_length(void **state)
{
    (void)state;
    char text[512], long_name[130];
    memset(long_name, 'n', 129);
    long_name[129] = '\0';
    snprintf(text, sizeof(text), "{'name':'%s','routines':[{'id':'a','type':'log'}]}", long_name);
    has_fault(flow(text), "flow.name", "1 to 128");
    long_name[128] = '\0';
    snprintf(text, sizeof(text), "{'name':'%s','routines':[{'id':'a','type':'log'}]}", long_name);
    fm_err_done(&err);
    is_valid(flow(text));
    has_fault(flow("{'name':'a b','routines':[{'id':'a','type':'log'}]}"), "flow.name", "a b");
    has_fault(parts("{'id':'a/b','type':'log'}", ""), "flow.routines[0].id", "a/b");
    has_fault(parts("{'id':'','type':'log'}", ""), "flow.routines[0].id", "1 to 128");
    has_fault(parts("{'id':'a','type':''}", ""), "flow.routines[0].type", "1 to 128");
}

static void an_id_that_is_given_twice_is_named_with_both_places(void **state)
{
    (void)state;
    has_fault(parts(LOGS ",{'id':'a','type':'log'}", ""), "flow.routines[2].id", "routine 0");
}

static void a_flow_has_at_least_one_and_at_most_a_thousand_routines(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = parts("{'id':'a','type':'log'}", "");
    has_fault(parts("", ""), "flow.routines", "at least one");
    Fermata__V1__Routine **many = from_json_take(1001, sizeof(Fermata__V1__Routine *));
    for (size_t i = 0; i < 1001; i++) {
        char id[16];
        many[i] = from_json_take(1, sizeof(*many[i]));
        *many[i] = *f->routines[0];
        snprintf(id, sizeof(id), "r%zu", i);
        many[i]->id = from_json_text(id);
    }
    f->routines = many;
    f->n_routines = 1001;
    has_fault(f, "flow.routines", "1001");
    f->n_routines = 1000;
    fm_err_done(&err);
    is_valid(f);
}

static void a_flow_has_at_most_ten_thousand_connections(void **state)
{
    (void)state;
    Fermata__V1__Flow *f =
        parts(LOGS, "{'from':{'routine':'a','event':'output'},'to':{'routine':'b','slot':'input'}}");
    Fermata__V1__Connection **many = from_json_take(10001, sizeof(Fermata__V1__Connection *));
    for (size_t i = 0; i < 10001; i++)
        many[i] = f->connections[0];
    f->connections = many;
    f->n_connections = 10001;
    has_fault(f, "flow.connections", "10001");
    f->n_connections = 10000;
    fm_err_done(&err);
    is_valid(f);
}

static void a_description_has_a_limit(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = parts(LOGS, "");
    f->description = from_json_take(1, 4098);
    memset(f->description, 'd', 4097);
    has_fault(f, "flow.description", "4097");
    f->description[4096] = '\0';
    fm_err_done(&err);
    is_valid(f);
}

/* ---- connections ---- */

static void a_connection_names_routines_slots_and_events_that_exist(void **state)
{
    (void)state;
    has_fault(parts(LOGS, "{'from':{'routine':'x','event':'output'},'to':{'routine':'b','slot':'input'}}"),
              "flow.connections[0].from.routine", "\"x\"");
    has_fault(parts(LOGS, "{'from':{'routine':'a','event':'output'},'to':{'routine':'y','slot':'input'}}"),
              "flow.connections[0].to.routine", "\"y\"");
    has_fault(parts(LOGS, "{'from':{'routine':'a','event':'put'},'to':{'routine':'b','slot':'input'}}"),
              "flow.connections[0].from.event", "it has: output");
    has_fault(parts(LOGS, "{'from':{'routine':'a','event':'output'},'to':{'routine':'b','slot':'in'}}"),
              "flow.connections[0].to.slot", "it has: input");
    has_fault(parts(LOGS, "{'from':{'routine':'a'},'to':{'routine':'b','slot':'input'}}"),
              "flow.connections[0].from.event", "missing");
    has_fault(parts(LOGS, "{'to':{'routine':'b','slot':'input'}}"), "flow.connections[0].from", "missing");
    has_fault(parts(LOGS, "{'from':{'routine':'a','event':'output'}}"), "flow.connections[0].to", "missing");
}

static void slots_and_events_of_types_that_hosts_have_offered_are_checked(void **state)
{
    (void)state;
    const char *routines = "{'id':'a','type':'acme.box'},{'id':'b','type':'acme.any'}";
    is_valid(parts(routines, "{'from':{'routine':'a','event':'out'},'to':{'routine':'b','slot':'whatever'}},"
                             "{'from':{'routine':'b','event':'e'},'to':{'routine':'a','slot':'in'}}"));
    has_fault(parts(routines, "{'from':{'routine':'a','event':'x'},'to':{'routine':'a','slot':'in'}}"),
              "flow.connections[0].from.event", "it has: out");
    has_fault(parts(routines, "{'from':{'routine':'a','event':'out'},'to':{'routine':'a','slot':'x'}}"),
              "flow.connections[0].to.slot", "it has: in");
}

static void a_slot_that_is_a_routines_own_is_no_target_whatever_the_type(void **state)
{
    (void)state;
    const char *routines = "{'id':'a','type':'log'},{'id':'b','type':'sleep','config':{'ms':1}},"
                           "{'id':'c','type':'acme.any'},{'id':'d','type':'later'}";
    has_fault(parts(routines, "{'from':{'routine':'a','event':'output'},'to':{'routine':'b','slot':'_due'}}"),
              "flow.connections[0].to.slot", "routine's own");
    has_fault(parts(routines, "{'from':{'routine':'a','event':'output'},'to':{'routine':'c','slot':'_x'}}"),
              "flow.connections[0].to.slot", "routine's own");
    has_fault(parts(routines, "{'from':{'routine':'a','event':'output'},'to':{'routine':'d','slot':'_x'}}"),
              "flow.connections[0].to.slot", "routine's own");
    has_fault(parts("{'id':'a','type':'debounce','config':{'wait_ms':5},"
                    "'merge':[{'slot':'_due','mode':'MERGE_MODE_N_OF_M','n':2}]}",
                    ""),
              "flow.routines[0].merge[0].slot", "routine's own");
    has_fault(parts("{'id':'b','type':'sleep','config':{'ms':1}}",
                    "{'from':{'routine':'b','event':'output'},'to':{'routine':'b','slot':'x'}}"),
              "flow.connections[0].to.slot", "it has: input");
    assert_null(strstr(err.msg, "_due"));
}

static void mapping_has_fault(const char *mapping, const char *text)
{
    char connection[512];
    snprintf(connection, sizeof(connection),
             "{'from':{'routine':'a','event':'output'},'to':{'routine':'b','slot':'input'},'mapping':%s}",
             mapping);
    has_fault(parts(LOGS, connection), "flow.connections[0].mapping", text);
}

static void a_mapping_has_proper_names_and_no_target_twice(void **state)
{
    (void)state;
    mapping_has_fault("{'':'x'}", "1 to 256");
    mapping_has_fault("{'x':''}", "1 to 256");
    mapping_has_fault("{'x':'z','y':'z'}", "both mapped to \"z\"");
    Fermata__V1__Flow *f = parts(LOGS, "{'from':{'routine':'a','event':'output'},'to':{'routine':'b','slot':"
                                       "'input'},'mapping':{'x':'y','y':'x'}}");
    fm_err_done(&err);
    is_valid(f);
    f->connections[0]->mapping[1]->key = f->connections[0]->mapping[0]->key;
    has_fault(f, "flow.connections[0].mapping", "mapped twice");
    f->connections[0]->n_mapping = 257;
    has_fault(f, "flow.connections[0].mapping", "257");
}

/* ---- configuration ---- */

static void the_configuration_of_built_in_types_is_checked(void **state)
{
    (void)state;
    config_has_fault("llm_agent", "{}", "flow.routines[0].config.provider", "missing");
    config_has_fault("llm_agent", "{'provider':'gpt'}", "flow.routines[0].config.provider",
                     "must be one of: \"mock\"");
    config_has_fault("llm_agent", "{'provider':7}", "flow.routines[0].config.provider", "a string");
    config_has_fault("llm_agent", "{'provider':'mock','delay_ms':'1'}", "flow.routines[0].config.delay_ms",
                     "a number");
    config_has_fault("llm_agent", "{'provider':'mock','delay_ms':-1}", "flow.routines[0].config.delay_ms",
                     "0 or more");
    config_has_fault("llm_agent", "{'provider':'mock','ask':'no'}", "flow.routines[0].config.ask",
                     "a boolean");
    config_has_fault("llm_agent", "{'provider':'mock','script':{}}", "flow.routines[0].config.script",
                     "an array");
    config_has_fault("llm_agent", "{'provider':'mock','key':'x'}", "flow.routines[0].config",
                     "unknown key \"key\"");
    config_has_fault("log", "{'level':'loud'}", "flow.routines[0].config.level",
                     "\"debug\", \"info\", \"warn\", \"error\"");
    config_has_fault("human", "{'choices':['yes',1]}", "flow.routines[0].config.choices[1]", "a string");
    static const struct {
        const char *config, *field, *fault;
    } questions[] = {
        {"{'timeout_ms':5,'deadline_at':9}",                               "deadline_at",    "beside timeout_ms"        },
        {"{'deadline_at':'tomorrow'}",                                     "deadline_at",    "RFC 3339"                 },
        {"{'timeout_ms':5,'on_timeout':'panic'}",                          "on_timeout",     "\"default\", \"event\""   },
        {"{'on_timeout':'fail'}",                                          "on_timeout",     "timeout_ms or deadline_at"},
        {"{'timeout_ms':1.5}",                                             "timeout_ms",     "whole number"             },
        {"{'timeout_ms':5,'on_timeout':'event','default_answer':1}",       "default_answer",
         "only with on_timeout"                                                                                         },
        {"{'timeout_ms':5,'choices':['yes','no'],'default_answer':'y'}",   "default_answer",
         "none of the choices"                                                                                          },
        {"{'timeout_ms':5,'answer_schema':{'type':'object','properties':{'n':{'type':'number'}}},"
         "'default_answer':{'n':'x'}}",                           "default_answer", "answer_schema: n is"      },
        {"{'escalate':{'after_ms':5}}",                                    "escalate",       "\"to\""                   },
        {"{'escalate':[{'after_ms':5,'to':'x'},{'after_ms':4,'to':'y'}]}", "escalate[1]",    "no later than"            },
        {"{'escalate':[]}",                                                "escalate",       "1 to 16"                  },
        {"{'assignee':''}",                                                "assignee",       "1 to 256"                 },
        {"{'assignee':'x','assignee_path':'y'}",                           "assignee_path",  "beside assignee"          },
        {"{'timeout_ms':5,'deadline_path':'y'}",                           "deadline_path",  "beside timeout_ms"        },
        {"{'timeout':5}",                                                  "",               "unknown key"              },
    };
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        char field[100];
        snprintf(field, sizeof(field), "flow.routines[0].config%s%s",
                 questions[i].field[0] != '\0' ? "." : "", questions[i].field);
        config_has_fault("human", questions[i].config, field, questions[i].fault);
    }
    config_has_fault("human", "{'question':null}", "flow.routines[0].config.question", "a string");
    config_has_fault("exec", "{'command':['x'],'mode':'fork'}", "flow.routines[0].config.mode",
                     "\"once\", \"serve\"");
    config_has_fault("exec", "{'command':['x'],'processes':2}", "flow.routines[0].config.processes",
                     "only for mode serve");
}

static void settings_that_cannot_work_are_refused(void **state)
{
    (void)state;
    config_has_fault("exec", "{'command':[]}", "flow.routines[0].config.command", "1 or more");
    config_has_fault("exec", "{'command':['','x']}", "flow.routines[0].config.command", "the program");
    config_has_fault("aggregate", "{'sources':[]}", "flow.routines[0].config.sources", "1 or more");
    config_has_fault("http", "{'url':'ftp://x'}", "flow.routines[0].config.url", "http://");
    config_has_fault("http", "{'url':'example.com'}", "flow.routines[0].config.url", "example.com");
    config_has_fault("llm_agent", "{'provider':'openai'}", "flow.routines[0].config.model", "missing");
    config_has_fault("llm_agent", "{'provider':'anthropic','model':''}", "flow.routines[0].config.model",
                     "anthropic");
    config_has_fault("llm_agent", "{'provider':'openai','model':'m','base_url':'localhost:8080/v1'}",
                     "flow.routines[0].config.base_url", "https://");
    config_has_fault("llm_agent", "{'provider':'mock','tools':[{'name':'look up'}]}",
                     "flow.routines[0].config.tools[0]", "look up");
    config_has_fault("llm_agent", "{'provider':'mock','tools':[{'name':''}]}",
                     "flow.routines[0].config.tools[0]", "1 to 64");
    fm_err_done(&err);
    is_valid(parts("{'id':'a','type':'llm_agent','config':{'provider':'openai','model':'m',"
                   "'base_url':'HTTP://127.0.0.1:1','api_key':'_My.KEY1','tools':[{'name':'look_up-1'}]}},"
                   "{'id':'b','type':'exec','config':{'command':['sh','']}}",
                   ""));
}

static void an_api_key_names_a_secret_and_a_pasted_key_is_refused_without_being_repeated(void **state)
{
    (void)state;
    static const char *const keys[] = {"sk-proj-abc123", "", "9KEY", ".KEY", "two words"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char config[128];
        snprintf(config, sizeof(config), "{'provider':'openai','model':'m','api_key':'%s'}", keys[i]);
        config_has_fault("llm_agent", config, "flow.routines[0].config.api_key", "never the key itself");
        assert_true(keys[i][0] == '\0' || strstr(err.msg, keys[i]) == NULL);
    }
}

static void exactly_one_of_some_settings_must_be_there(void **state)
{
    (void)state;
    config_has_fault("sleep", "{}", "flow.routines[0].config",
                     "must have exactly one of ms, ms_path, until_path");
    config_has_fault("sleep", "{'ms':1,'until_path':'x'}", "flow.routines[0].config",
                     "exactly one of ms, ms_path, until_path; it has ms, until_path");
    config_has_fault("aggregate", "{'timeout_ms':5}", "flow.routines[0].config",
                     "count, count_path, sources");
    config_has_fault("http", "{}", "flow.routines[0].config", "url, url_expr");
    config_has_fault("sleep", "{'ms':31622400001}", "flow.routines[0].config.ms", "31622400000 or less");
    config_has_fault("aggregate", "{'count':0}", "flow.routines[0].config.count", "1 or more");
    config_has_fault("jq", "{}", "flow.routines[0].config.program", "missing");
    config_has_fault("http", "{'url':'http://x','method':'get'}", "flow.routines[0].config.method",
                     "must be one of: \"GET\", \"POST\"");
    fm_err_done(&err);
    is_valid(parts("{'id':'a','type':'sleep','config':{'ms':0}}", ""));
}

static void script_has_fault(const char *item, const char *field, const char *text)
{
    char config[256];
    snprintf(config, sizeof(config), "{'provider':'mock','script':[{'say':'x'},%s]}", item);
    config_has_fault("llm_agent", config, field, text);
}

static void the_items_of_a_script_are_checked(void **state)
{
    (void)state;
    script_has_fault("{}", "flow.routines[0].config.script[1]", "exactly one");
    script_has_fault("{'say':'x','ask':'y'}", "flow.routines[0].config.script[1]", "exactly one");
    script_has_fault("'x'", "flow.routines[0].config.script[1]", "an object");
    script_has_fault("{'ask':1}", "flow.routines[0].config.script[1].ask", "a string");
    script_has_fault("{'ask':'x','choices':[1]}", "flow.routines[0].config.script[1].choices[0]", "a string");
    script_has_fault("{'say':'x','tone':'soft'}", "flow.routines[0].config.script[1]", "\"tone\"");
}

static void of_a_setting_that_occurs_twice_the_last_one_counts(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = parts("{'id':'a','type':'log','config':{'level':'info','message':'m'}}", "");
    Google__Protobuf__Struct *config = f->routines[0]->config;
    config->fields[1]->key = config->fields[0]->key;
    has_fault(f, "flow.routines[0].config.level", "one of");
}

/* ---- schemas that hosts have told ---- */

/* A host has told of the type "acme.told", or of another one. */
static void tell(const char *type, const char *quoted)
{
    static const struct type_slot in = {"in", NULL};
    static const struct type_event out = {.name = "out"};
    fm_autofree char *json = fm_xstrdup(quoted);
    for (char *p = json; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    told = (struct type_spec){.name = type, .slots = &in, .n_slots = 1, .events = &out, .n_events = 1};
    told.config = type_schema_read(json, strlen(json), &from_json_arena, &err);
    if (told.config == NULL)
        fail_msg("%s: %s", json, err.msg);
}

static void a_configuration_is_checked_by_the_schema_that_hosts_have_told(void **state)
{
    (void)state;
    tell("acme.told", "{'required':['prompt'],'additionalProperties':false,'properties':{'prompt':{'type':"
                      "'string'},'in':{'items':{'type':'object','properties':{'n':{'maximum':3}}}}}}");
    config_has_fault("acme.told", "{'promt':'x','prompt':'y'}", "flow.routines[0].config",
                     "unknown key \"promt\"; did you mean \"prompt\"?");
    config_has_fault("acme.told", "{}", "flow.routines[0].config.prompt", "prompt is missing");
    config_has_fault("acme.told", "{'prompt':'x','in':[{},{'n':4}]}", "flow.routines[0].config.in[1].n",
                     "n is 4; it must be 3 or less");
    fm_err_done(&err);
    is_valid(parts("{'id':'a','type':'acme.told','config':{'prompt':'x','in':[{'n':3}]}}", ""));
    is_valid(parts("{'id':'a','type':'acme.box','config':{'prompt':7}}", ""));
}

static void what_is_told_of_a_built_in_type_counts_only_with_its_schema(void **state)
{
    (void)state;
    assert_ptr_equal(flow_type("log", &known), type_catalog_find("log"));
    tell("human", "{'properties':{'question':{'type':'number'}}}");
    assert_ptr_equal(flow_type("human", &known), &told);
    assert_ptr_equal(flow_type("human", NULL), type_catalog_find("human"));
    config_has_fault("human", "{'question':'x'}", "flow.routines[0].config.question", "a number");
    told.name = NULL;
    config_has_fault("human", "{'question':1}", "flow.routines[0].config.question", "a string");
}

static void programs_and_schemas_are_found_by_their_formats(void **state)
{
    (void)state;
    tell("acme.told", "{'properties':{'rules':{'items':{'properties':{'when':{'format':'jq'},"
                      "'what':{'format':'json-schema'}}}},'name':{'type':'string'},"
                      "'views':{'properties':{'all':{}},'additionalProperties':{'format':'jq'}}}}");
    Fermata__V1__Flow *f =
        parts("{'id':'a','type':'acme.told','config':{'name':'.x','rules':[{'when':'.a'},"
              "{'when':7,'what':{'type':'string'}}],'views':{'mine':'.m','all':'.x'}}},"
              "{'id':'b','type':'llm_agent','config':{'provider':'mock','tools':[{'name':'t',"
              "'parameters':{'type':'object'}}]}}",
              "");
    struct program_check *k = program_check_new();
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, &known, k, &err), 0);
    assert_int_equal(k->n, 4);
    assert_string_equal(k->programs[0].field, "flow.routines[0].config.rules[0].when");
    assert_int_equal(k->programs[0].kind, PROGRAM_JQ);
    assert_string_equal(k->programs[1].field, "flow.routines[0].config.rules[1].what");
    assert_int_equal(k->programs[1].kind, PROGRAM_SCHEMA);
    assert_string_equal(k->programs[2].field, "flow.routines[0].config.views.mine");
    assert_int_equal(k->programs[2].kind, PROGRAM_JQ);
    assert_string_equal(k->programs[3].field, "flow.routines[1].config.tools[0].parameters");
    assert_int_equal(k->programs[3].kind, PROGRAM_TOOL_SCHEMA);
    program_check_free(k);
}

static void the_work_of_all_configurations_of_a_flow_is_bounded(void **state)
{
    (void)state;
    char schema[40000] = "{'anyOf':[", config[4096] = "{'a':[0";
    for (int i = 0; i < 700; i++)
        strcat(schema, "{'type':'object','items':{'minimum':1}},");
    strcat(schema, "false]}");
    tell("acme.told", schema);
    for (int i = 0; i < 1000; i++)
        strcat(config, ",0");
    strcat(config, "]}");
    char nested[40000];
    snprintf(nested, sizeof(nested), "{'properties':{'a':{'items':%.39000s}}}", schema);
    tell("acme.told", nested);
    char routine[5000];
    snprintf(routine, sizeof(routine), "{'id':'a','type':'acme.told','config':%s}", config);
    Fermata__V1__Flow *f = flow("{'name':'f','routines':[{'id':'a','type':'log'}]}");
    Fermata__V1__Routine *r = from_json(&fermata__v1__routine__descriptor, routine);
    Fermata__V1__Routine **many = from_json_take(1000, sizeof(Fermata__V1__Routine *));
    for (size_t i = 0; i < 1000; i++)
        many[i] = r;
    f->routines = many;
    f->n_routines = 1000;
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, &known, NULL, &err), -FM_INVALID_ARGUMENT);
    bool said = false;
    for (size_t i = 0; i < n_faults(); i++)
        said = said || strstr(fault_text(i), "too large to be checked") != NULL;
    assert_true(said || err.n_cut > 0);
}

/* A flow with so many of one routine. */
static Fermata__V1__Flow *with_routine(const char *routine, size_t n)
{
    Fermata__V1__Flow *f = flow("{'name':'f','routines':[{'id':'a','type':'log'}]}");
    f->routines = from_json_take(n, sizeof(Fermata__V1__Routine *));
    f->n_routines = n;
    for (size_t i = 0; i < n; i++)
        f->routines[i] = i == 0 ? from_json(&fermata__v1__routine__descriptor, routine) : f->routines[0];
    return f;
}

static bool is_said(const char *text)
{
    for (size_t i = 0; i < n_faults(); i++)
        if (strstr(fault_text(i), text) != NULL)
            return true;
    return err.n_cut > 0;
}

/* Each object of the flow was asked for each of the schema's properties. */
static void programs_are_looked_for_only_where_something_is(void **state)
{
    (void)state;
    fm_autofree char *schema = fm_xcalloc(TYPE_SCHEMA_BYTES, 1);
    fm_autofree char *f = fm_xcalloc(100000, 1);
    char *p = schema + sprintf(schema, "{'properties':{'a':{'items':{'properties':{");
    for (int i = 0; i < 5000; i++)
        p += sprintf(p, "'%d':{},", i);
    sprintf(p, "'last':{'format':'jq'}}}}}}");
    tell("acme.told", schema);
    p = f + sprintf(f, "{'id':'a','type':'acme.told','config':{'a':[{}");
    for (int i = 0; i < 20000; i++)
        p += sprintf(p, ",{}");
    sprintf(p, ",{'last':'.x'}]}}");
    struct program_check *k = program_check_new();
    clock_t start = clock();
    assert_int_equal(flow_validate(with_routine(f, 1), "flow", FLOW_STORED, &known, k, &err), 0);
    assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
    assert_int_equal(k->n, 1);
    assert_string_equal(k->programs[0].field, "flow.routines[0].config.a[20001].last");
    program_check_free(k);
}

static void programs_are_not_looked_for_when_the_work_is_used_up(void **state)
{
    (void)state;
    fm_autofree char *schema = fm_xcalloc(TYPE_SCHEMA_BYTES, 1);
    fm_autofree char *f = fm_xcalloc(100000, 1);
    char *p = schema + sprintf(schema, "{'properties':{'z':{'format':'jq'},'a':{'items':{'enum':[");
    for (int i = 0; i < 6000; i++)
        p += sprintf(p, "%d,", i);
    sprintf(p, "0]}}}}");
    tell("acme.told", schema);
    p = f + sprintf(f, "{'id':'a','type':'acme.told','config':{'z':'.x','a':[{}");
    for (int i = 0; i < 20000; i++)
        p += sprintf(p, ",{}");
    sprintf(p, "]}}");
    struct program_check *k = program_check_new();
    assert_int_equal(flow_validate(with_routine(f, 1), "flow", FLOW_STORED, &known, k, &err),
                     -FM_INVALID_ARGUMENT);
    assert_true(is_said("too large to be checked"));
    assert_int_equal(k->n, 0);
    program_check_free(k);
}

static void many_unknown_keys_take_little_time(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = with_routine(
        "{'id':'a','type':'llm_agent','config':{'provider':'mock','temperatur1':1,'temperatur2':1,"
        "'temperatur3':1,'temperatur4':1,'temperatur5':1,'temperatur6':1,'temperatur7':1,"
        "'temperatur8':1,'temperatur9':1,'max_token1':1,'max_token2':1,'max_token3':1}}",
        1000);
    clock_t start = clock();
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, NULL, NULL, &err), -FM_INVALID_ARGUMENT);
    assert_true(clock() - start < CLOCKS_PER_SEC);
    assert_int_equal(err.n_more + err.n_cut, 1000 * 12 + 999); /* and ids that are the same */
}

static void count_tool(void *arg, const char *routine, const char *tool)
{
    char *said = arg;
    snprintf(said + strlen(said), 200 - strlen(said), "%s.%s ", routine, tool);
}

static void tools_whose_calls_nobody_takes_are_named_whatever_the_type(void **state)
{
    (void)state;
    char said[200] = "";
    Fermata__V1__Flow *f =
        parts("{'id':'a','type':'acme.agent','config':{'tools':[{'name':'x'},{'name':'y'}]}},"
              "{'id':'b','type':'acme.box','config':{'tools':[{'name':'z'}]}}",
              "{'from':{'routine':'a','event':'ask'},'to':{'routine':'b','slot':'in'},"
              "'filter':{'name':'x'}}");
    flow_untaken_tools(f, &known, count_tool, said);
    assert_string_equal(said, "a.y ");
}

/* ---- many faults ---- */

static void all_faults_are_named_at_once(void **state)
{
    (void)state;
    Fermata__V1__Flow *f =
        flow("{'name':'a b','routines':[{'id':'a','type':'log','config':{'level':1}},"
             "{'id':'a','type':'llm_agent'}],'connections':[{'from':{'routine':'x','event':"
             "'output'},'to':{'routine':'a','slot':'nowhere'}}]}");
    static const char *const fields[] = {
        "flow.name",           "flow.routines[0].config.level",    "flow.routines[1].config.provider",
        "flow.routines[1].id", "flow.connections[0].from.routine", "flow.connections[0].to.slot"};
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, &known, NULL, &err), -FM_INVALID_ARGUMENT);
    assert_int_equal(n_faults(), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(fault_field(i), fields[i]);
        assert_true(strlen(fault_text(i)) > 0);
    }
}

static void faults_beyond_the_limit_are_counted(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = parts("{'id':'a','type':''}", "");
    Fermata__V1__Routine **many = from_json_take(100, sizeof(Fermata__V1__Routine *));
    for (size_t i = 0; i < 100; i++)
        many[i] = f->routines[0];
    f->routines = many;
    f->n_routines = 100;
    assert_int_equal(flow_validate(f, "flow", FLOW_STORED, &known, NULL, &err), -FM_INVALID_ARGUMENT);
    assert_int_equal(err.n_more, FM_MAX_VIOLATIONS);
    assert_int_equal(err.n_more + err.n_cut, 199); /* each type, and 99 ids that were there before */
}

/* ---- entry ---- */

static void entry_has_fault(const char *routine, const char *slot, const char *json, const char *field,
                            const char *text)
{
    Fermata__V1__Flow *f = parts("{'id':'agent','type':'llm_agent','config':{'provider':'mock'}},"
                                 "{'id':'person','type':'human'},{'id':'box','type':'acme.box'}",
                                 "");
    fm_err_done(&err);
    assert_int_equal(flow_check_entry(f, "entry", routine, slot, data(json), &known, &err),
                     -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
    if (strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
}

static void an_unknown_entry_is_answered_with_what_there_is(void **state)
{
    (void)state;
    entry_has_fault("nobody", "trigger", "{}", "entry.routine", "it has: agent, person, box");
    entry_has_fault("agent", "start", "{}", "entry.slot",
                    "it has: trigger, user_input, continue, tool_result");
    entry_has_fault("box", "input", "{}", "entry.slot", "it has: in");
    entry_has_fault("agent", "", "{}", "entry.slot", "it has: trigger");
}

static void data_of_a_wrong_kind_is_refused_where_it_enters(void **state)
{
    (void)state;
    entry_has_fault("agent", "trigger", "{'task':7}", "data.task", "a string");
    entry_has_fault("person", "input", "{'question':[]}", "data.question", "a string");
}

static void a_proper_entry_is_accepted(void **state)
{
    (void)state;
    Fermata__V1__Flow *f = parts("{'id':'agent','type':'llm_agent','config':{'provider':'mock'}},"
                                 "{'id':'later','type':'later'}",
                                 "");
    assert_int_equal(
        flow_check_entry(f, "entry", "agent", "trigger", data("{'task':'t','more':1}"), &known, &err), 0);
    assert_int_equal(flow_check_entry(f, "entry", "agent", "trigger", NULL, NULL, &err), 0);
    assert_int_equal(flow_check_entry(f, "entry", "later", "any", data("{}"), &known, &err), 0);
    assert_int_equal(err.code, FM_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_flow_with_cycles_and_a_routine_connected_to_itself_is_fine),
        TEST(a_routine_type_that_nobody_knows_is_no_fault),
        TEST(an_inline_flow_may_go_without_a_name),
        TEST(a_scripted_agent_is_fine),
        TEST(the_example_flows_are_fine),
        TEST(names_and_ids_have_a_syntax_and_a_length),
        TEST(an_id_that_is_given_twice_is_named_with_both_places),
        TEST(a_flow_has_at_least_one_and_at_most_a_thousand_routines),
        TEST(a_flow_has_at_most_ten_thousand_connections),
        TEST(a_description_has_a_limit),
        TEST(a_connection_names_routines_slots_and_events_that_exist),
        TEST(slots_and_events_of_types_that_hosts_have_offered_are_checked),
        TEST(a_slot_that_is_a_routines_own_is_no_target_whatever_the_type),
        TEST(a_mapping_has_proper_names_and_no_target_twice),
        TEST(the_configuration_of_built_in_types_is_checked),
        TEST(settings_that_cannot_work_are_refused),
        TEST(an_api_key_names_a_secret_and_a_pasted_key_is_refused_without_being_repeated),
        TEST(exactly_one_of_some_settings_must_be_there),
        TEST(the_items_of_a_script_are_checked),
        TEST(of_a_setting_that_occurs_twice_the_last_one_counts),
        TEST(a_configuration_is_checked_by_the_schema_that_hosts_have_told),
        TEST(what_is_told_of_a_built_in_type_counts_only_with_its_schema),
        TEST(programs_and_schemas_are_found_by_their_formats),
        TEST(the_work_of_all_configurations_of_a_flow_is_bounded),
        TEST(programs_are_looked_for_only_where_something_is),
        TEST(programs_are_not_looked_for_when_the_work_is_used_up),
        TEST(many_unknown_keys_take_little_time),
        TEST(tools_whose_calls_nobody_takes_are_named_whatever_the_type),
        TEST(all_faults_are_named_at_once),
        TEST(faults_beyond_the_limit_are_counted),
        TEST(an_unknown_entry_is_answered_with_what_there_is),
        TEST(data_of_a_wrong_kind_is_refused_where_it_enters),
        TEST(a_proper_entry_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
