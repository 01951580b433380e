/* Validation of flows: the configurations of routines of built-in types. See flow.h. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "builtin_types.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "flow.h"
#include "flow_int.h"
#include "google/protobuf/struct.pb-c.h"
#include "program_check.h"

/* ---- kinds of values ---- */

static bool all_strings(const Google__Protobuf__ListValue *list)
{
    for (size_t i = 0; i < list->n_values; i++)
        if (list->values[i]->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
            return false;
    return true;
}

static bool is_kind(const Google__Protobuf__Value *v, enum param_kind kind)
{
    int k = v == NULL ? GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET : (int)v->kind_case;
    switch (kind) {
    case PARAM_STRING:
    case PARAM_JQ:
        return k == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    case PARAM_NUMBER:
        return k == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    case PARAM_BOOL:
        return k == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    case PARAM_LIST:
        return k == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    case PARAM_STRINGS:
        return k == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE && all_strings(v->list_value);
    case PARAM_MAP:
    case PARAM_SCHEMA:
        return k == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    case PARAM_CONTENT:
        return is_kind(v, PARAM_STRING) || is_kind(v, PARAM_LIST);
    case PARAM_ANY:
        return true;
    }
    return true;
}

/* Of a key that occurs twice the last one counts, as it does for hosts. */
static const Google__Protobuf__Value *struct_get(const Google__Protobuf__Struct *s, const char *key,
                                                 bool *ret_found)
{
    *ret_found = false;
    for (size_t i = s == NULL ? 0 : s->n_fields; i-- > 0;) {
        if (strcmp(s->fields[i]->key, key) == 0) {
            *ret_found = true;
            return s->fields[i]->value;
        }
    }
    return NULL;
}

static void check_choices(const struct builtin_param *p, const char *value, const char *path,
                          struct fm_err *err)
{
    char allowed[160] = "";
    for (size_t i = 0; p->choices[i] != NULL; i++) {
        if (strcmp(p->choices[i], value) == 0)
            return;
        size_t at = strlen(allowed);
        snprintf(allowed + at, sizeof(allowed) - at, "%s%s", i > 0 ? ", " : "", p->choices[i]);
    }
    (void)fm_err_add(err, FM_INVALID_ARGUMENT, path, "%s is \"%.64s\"; it must be one of: %s", p->name, value,
                     allowed);
}

void flow_check_params(const struct builtin_param *params, size_t n, const Google__Protobuf__Struct *s,
                       const char *path, struct fm_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct builtin_param *p = &params[i];
        char field[FLOW_PATH_BYTES];
        bool found;
        flow_path(field, "%s.%s", path, p->name);
        const Google__Protobuf__Value *v = struct_get(s, p->name, &found);
        if (!found) {
            if (p->required)
                (void)fm_err_add(err, FM_INVALID_ARGUMENT, field, "%s is missing", p->name);
        } else if (!is_kind(v, p->kind)) {
            (void)fm_err_add(err, FM_INVALID_ARGUMENT, field, "%s must be %s", p->name,
                             param_kind_name(p->kind));
        } else if (p->kind == PARAM_NUMBER && p->max > p->min &&
                   !(v->number_value >= p->min && v->number_value <= p->max)) {
            (void)fm_err_add(err, FM_INVALID_ARGUMENT, field, "%s is %.15g; %.15g to %.15g are allowed",
                             p->name, v->number_value, p->min, p->max);
        } else if (p->kind == PARAM_STRING && p->choices != NULL) {
            check_choices(p, v->string_value, field, err);
        }
    }
}

/* ---- configurations ---- */

/* A key that is not one of the parameters. */
static void check_keys(const struct builtin_param *params, size_t n, const Google__Protobuf__Struct *s,
                       const char *path, const char *owner, struct fm_err *err)
{
    for (size_t i = 0; s != NULL && i < s->n_fields; i++) {
        bool known = false;
        for (size_t k = 0; k < n && !known; k++)
            known = strcmp(params[k].name, s->fields[i]->key) == 0;
        if (!known)
            (void)fm_err_add(err, FM_INVALID_ARGUMENT, path, "%s has no setting \"%.64s\"", owner,
                             s->fields[i]->key);
    }
}

/* The items of a mock's script; what they mean is said in hostd/types/llm_mock.c. */
static void check_script(const char *path, const Google__Protobuf__Value *script, struct fm_err *err)
{
    if (!is_kind(script, PARAM_LIST))
        return;
    static const struct builtin_param params[] = {
        {"say",     PARAM_STRING,  false, 0, 0, NULL},
        {"ask",     PARAM_STRING,  false, 0, 0, NULL},
        {"fail",    PARAM_STRING,  false, 0, 0, NULL},
        {"choices", PARAM_STRINGS, false, 0, 0, NULL},
        {"tool",    PARAM_MAP,     false, 0, 0, NULL},
        {"tools",   PARAM_LIST,    false, 0, 0, NULL},
        {"error",   PARAM_MAP,     false, 0, 0, NULL},
        {"usage",   PARAM_MAP,     false, 0, 0, NULL}
    };
    for (size_t i = 0; i < script->list_value->n_values; i++) {
        char field[FLOW_PATH_BYTES];
        flow_path(field, "%s.script[%zu]", path, i);
        const Google__Protobuf__Value *v = script->list_value->values[i];
        if (!is_kind(v, PARAM_MAP)) {
            FLOW_FAULT(err, field, "an item of a script must be an object");
            continue;
        }
        static const char *const meanings[] = {"ask", "fail", "tool", "tools"}; /* at most one */
        bool there[4], says, errs;
        for (size_t k = 0; k < 4; k++)
            (void)struct_get(v->struct_value, meanings[k], &there[k]);
        (void)struct_get(v->struct_value, "say", &says);
        (void)struct_get(v->struct_value, "error", &errs);
        int n = there[0] + there[1] + there[2] + there[3];
        if (n > 1 || (says && (there[0] || there[1])) || n + says + errs == 0)
            FLOW_FAULT(
                err, field,
                "an item of a script must have exactly one of say, ask, fail, tool, tools (say also beside "
                "a call; error "
                "also before any)");
        check_keys(params, sizeof(params) / sizeof(params[0]), v->struct_value, field, "an item of a script",
                   err);
        flow_check_params(params, sizeof(params) / sizeof(params[0]), v->struct_value, field, err);
    }
}

/* NULL: it has none. */
static const char *tool_name(const Google__Protobuf__Value *tool)
{
    bool found;
    const Google__Protobuf__Value *v =
        is_kind(tool, PARAM_MAP) ? struct_get(tool->struct_value, "name", &found) : NULL;
    return is_kind(v, PARAM_STRING) ? v->string_value : NULL;
}

/* Providers take no other names of tools. */
static bool tool_name_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 64 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n;
}

/* What is said of tools; a provider may know more of them. */
static void check_tools(const char *path, const Google__Protobuf__Value *tools, struct fm_err *err)
{
    static const char *const approval[] = {"required", NULL};
    static const struct builtin_param params[] = {
        {"name",        PARAM_STRING, true,  0, 0, NULL    },
        {"description", PARAM_STRING, false, 0, 0, NULL    },
        {"parameters",  PARAM_MAP,    false, 0, 0, NULL    },
        {"approval",    PARAM_STRING, false, 0, 0, approval}
    };
    for (size_t i = 0; is_kind(tools, PARAM_LIST) && i < tools->list_value->n_values; i++) {
        char field[FLOW_PATH_BYTES];
        const Google__Protobuf__Value *v = tools->list_value->values[i];
        flow_path(field, "%s.tools[%zu]", path, i);
        if (!is_kind(v, PARAM_MAP))
            FLOW_FAULT(err, field, "a tool must be an object");
        else
            flow_check_params(params, sizeof(params) / sizeof(params[0]), v->struct_value, field, err);
        const char *name = tool_name(v);
        if (name != NULL && !tool_name_ok(name))
            FLOW_FAULT(err, field,
                       "a tool's name has 1 to 64 of the characters A-Z a-z 0-9 _ - ; this is \"%.80s\"",
                       name);
        bool known = false;
        for (size_t k = 0; k < i && name != NULL && !known; k++) {
            const char *other = tool_name(tools->list_value->values[k]);
            known = other != NULL && strcmp(name, other) == 0;
        }
        if (known)
            FLOW_FAULT(err, field, "there are two tools of the name \"%.64s\"", name);
    }
}

/* Limits and timeouts of an agent: a wrong name, or a text for a number, would be no limit at all. */
static void check_numbers(const char *path, const Google__Protobuf__Struct *config, struct fm_err *err)
{
    static const struct builtin_param limits[] = {
        {"max_turns",   PARAM_NUMBER, false, 0, 1e15, NULL},
        {"max_tokens",  PARAM_NUMBER, false, 0, 1e15, NULL},
        {"max_cost",    PARAM_NUMBER, false, 0, 1e15, NULL},
        {"max_time_ms", PARAM_NUMBER, false, 0, 1e15, NULL}
    };
    static const struct builtin_param timeouts[] = {
        {"connect_ms",    PARAM_NUMBER, false, 0, 1e12, NULL},
        {"first_byte_ms", PARAM_NUMBER, false, 0, 1e12, NULL},
        {"total_ms",      PARAM_NUMBER, false, 0, 1e12, NULL}
    };
    static const struct {
        const char *name, *owner;
        const struct builtin_param *params;
        size_t n;
    } maps[] = {
        {"limits",   "limits",   limits,   sizeof(limits) / sizeof(limits[0])    },
        {"timeouts", "timeouts", timeouts, sizeof(timeouts) / sizeof(timeouts[0])}
    };
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        char field[FLOW_PATH_BYTES];
        bool found;
        const Google__Protobuf__Value *v = struct_get(config, maps[i].name, &found);
        if (!is_kind(v, PARAM_MAP))
            continue;
        flow_path(field, "%s.%s", path, maps[i].name);
        check_keys(maps[i].params, maps[i].n, v->struct_value, field, maps[i].owner, err);
        flow_check_params(maps[i].params, maps[i].n, v->struct_value, field, err);
    }
}

static void add_name(char *list, size_t bytes, const char *name)
{
    size_t at = strlen(list);
    snprintf(list + at, bytes - at, "%s%s", at > 0 ? ", " : "", name);
}

/* Exactly one of these keys must be there. */
static void check_one_of(const char *const *keys, const Google__Protobuf__Struct *config, const char *path,
                         struct fm_err *err)
{
    char allowed[200] = "", have[200] = "";
    size_t n = 0;
    for (size_t i = 0; keys != NULL && keys[i] != NULL; i++) {
        bool found;
        (void)struct_get(config, keys[i], &found);
        add_name(allowed, sizeof(allowed), keys[i]);
        if (found && ++n > 0)
            add_name(have, sizeof(have), keys[i]);
    }
    if (keys != NULL && n != 1)
        FLOW_FAULT(err, path, "exactly one of %s must be set%s%s", allowed, n > 1 ? "; these are: " : "",
                   have);
}

/* The text of a setting; NULL: it has none, or another kind of value, which is said elsewhere. */
static const char *text_of(const Google__Protobuf__Struct *config, const char *key)
{
    bool found;
    const Google__Protobuf__Value *v = struct_get(config, key, &found);
    return is_kind(v, PARAM_STRING) ? v->string_value : NULL;
}

static void check_url(const char *path, const Google__Protobuf__Struct *config, const char *key,
                      struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    const char *url = text_of(config, key);
    flow_path(field, "%s.%s", path, key);
    if (url != NULL && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        FLOW_FAULT(err, field, "%s must begin with http:// or https://; this is \"%.64s\"", key, url);
}

/* It goes into the flow: so the error must not repeat what is perhaps the key itself. */
static void check_api_key(const char *path, const Google__Protobuf__Struct *config, struct fm_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_",
                      others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.";
    char field[FLOW_PATH_BYTES];
    const char *name = text_of(config, "api_key");
    flow_path(field, "%s.api_key", path);
    if (name != NULL &&
        (strspn(name, letters) == 0 || strspn(name, others) != strlen(name) || strlen(name) > 128))
        FLOW_FAULT(
            err, field,
            "api_key must name a secret of the host; it is never the key itself. A name has 1 to 128 of "
            "the characters A-Z a-z 0-9 _ . and begins with no digit or dot");
}

static void check_agent(const char *path, const Google__Protobuf__Struct *config, struct fm_err *err)
{
    const char *provider = text_of(config, "provider"), *model = text_of(config, "model");
    char field[FLOW_PATH_BYTES];
    bool found;
    check_numbers(path, config, err);
    check_url(path, config, "base_url", err);
    check_api_key(path, config, err);
    (void)struct_get(config, "model", &found);
    flow_path(field, "%s.model", path);
    if (provider != NULL && (strcmp(provider, "openai") == 0 || strcmp(provider, "anthropic") == 0) &&
        (!found || (model != NULL && model[0] == '\0')))
        FLOW_FAULT(err, field, "model is missing: provider %s needs it", provider);
}

/* A list that says nothing. */
static void check_not_empty(const char *path, const Google__Protobuf__Struct *config, const char *key,
                            const char *what, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    bool found;
    const Google__Protobuf__Value *v = struct_get(config, key, &found);
    flow_path(field, "%s.%s", path, key);
    if (is_kind(v, PARAM_STRINGS) &&
        (v->list_value->n_values == 0 || v->list_value->values[0]->string_value[0] == '\0'))
        FLOW_FAULT(err, field, "%s must begin with %s", key, what);
}

/* Settings of exec that mean something in one mode only. */
static void check_exec(const char *path, const Google__Protobuf__Struct *config, struct fm_err *err)
{
    check_not_empty(path, config, "command", "the program to be run", err);
    static const char *const settings[] = {"processes", "idle_ms"};
    bool found;
    const Google__Protobuf__Value *mode = struct_get(config, "mode", &found);
    if (is_kind(mode, PARAM_STRING) && strcmp(mode->string_value, "serve") == 0)
        return;
    for (size_t i = 0; i < 2; i++) {
        char field[FLOW_PATH_BYTES];
        flow_path(field, "%s.%s", path, settings[i]);
        (void)struct_get(config, settings[i], &found);
        if (found)
            FLOW_FAULT(err, field, "%s is only for mode serve", settings[i]);
    }
}

void flow_check_config(const Fermata__V1__Routine *r, const char *path, struct fm_err *err)
{
    const struct builtin_type *t = builtin_type_find(r->type);
    if (t == NULL)
        return;
    char field[FLOW_PATH_BYTES], owner[160];
    bool found;
    flow_path(field, "%s.config", path);
    snprintf(owner, sizeof(owner), "routine type %s", t->name);
    flow_check_params(t->config, t->n_config, r->config, field, err);
    const Google__Protobuf__Value *provider = struct_get(r->config, "provider", &found);
    bool open = t->closed_provider != NULL && is_kind(provider, PARAM_STRING) &&
                strcmp(provider->string_value, t->closed_provider) != 0;
    if (!open)
        check_keys(t->config, t->n_config, r->config, field, owner, err);
    check_one_of(t->one_of, r->config, field, err);
    const Google__Protobuf__Value *script = struct_get(r->config, "script", &found);
    if (found)
        check_script(field, script, err);
    const Google__Protobuf__Value *tools = struct_get(r->config, "tools", &found);
    if (found)
        check_tools(field, tools, err);
    if (strcmp(t->name, "llm_agent") == 0)
        check_agent(field, r->config, err);
    if (strcmp(t->name, "http") == 0)
        check_url(field, r->config, "url", err);
    if (strcmp(t->name, "aggregate") == 0)
        check_not_empty(field, r->config, "sources", "the name of a slot", err);
    if (strcmp(t->name, "exec") == 0)
        check_exec(field, r->config, err);
}

/* ---- tools that nobody answers ---- */

static bool takes_call(const Fermata__V1__Connection *c, const char *routine, const char *tool)
{
    bool filtered;
    if (c->from == NULL || strcmp(c->from->routine, routine) != 0 || strcmp(c->from->event, "tool_call") != 0)
        return false;
    const Google__Protobuf__Value *name = struct_get(c->filter, "name", &filtered);
    return !filtered || (is_kind(name, PARAM_STRING) && strcmp(name->string_value, tool) == 0);
}

void flow_untaken_tools(const Fermata__V1__Flow *f,
                        void (*add)(void *arg, const char *routine, const char *tool), void *arg)
{
    for (size_t i = 0; i < f->n_routines; i++) {
        const Fermata__V1__Routine *r = f->routines[i];
        bool found;
        const Google__Protobuf__Value *tools = struct_get(r->config, "tools", &found);
        if (strcmp(r->type, "llm_agent") != 0 || !is_kind(tools, PARAM_LIST))
            continue;
        for (size_t k = 0; k < tools->list_value->n_values; k++) {
            const char *name = tool_name(tools->list_value->values[k]);
            bool taken = name == NULL;
            for (size_t n = 0; n < f->n_connections && !taken; n++)
                taken = takes_call(f->connections[n], r->id, name);
            if (!taken)
                add(arg, r->id, name);
        }
    }
}

/* ---- programs and schemas ---- */

static void add_tools(const Google__Protobuf__Value *tools, const char *path, struct program_check *k)
{
    for (size_t i = 0; is_kind(tools, PARAM_LIST) && i < tools->list_value->n_values; i++) {
        char field[FLOW_PATH_BYTES];
        bool found;
        const Google__Protobuf__Value *tool = tools->list_value->values[i];
        if (!is_kind(tool, PARAM_MAP))
            continue;
        const Google__Protobuf__Value *schema = struct_get(tool->struct_value, "parameters", &found);
        flow_path(field, "%s[%zu].parameters", path, i);
        if (is_kind(schema, PARAM_MAP))
            program_check_add_schema(k, field, PROGRAM_TOOL_SCHEMA, schema->struct_value);
    }
}

void flow_programs(const Fermata__V1__Flow *flow, const char *path, struct program_check *k)
{
    for (size_t i = 0; i < flow->n_routines; i++) {
        const Fermata__V1__Routine *r = flow->routines[i];
        const struct builtin_type *t = builtin_type_find(r->type);
        for (size_t n = 0; t != NULL && n < t->n_config; n++) {
            const struct builtin_param *p = &t->config[n];
            char field[FLOW_PATH_BYTES];
            bool found;
            const Google__Protobuf__Value *v = struct_get(r->config, p->name, &found);
            flow_path(field, "%s.routines[%zu].config.%s", path, i, p->name);
            if (!found || !is_kind(v, p->kind))
                continue; /* said elsewhere */
            if (p->kind == PARAM_JQ)
                program_check_add_jq(k, field, v->string_value);
            else if (p->kind == PARAM_SCHEMA)
                program_check_add_schema(k, field, PROGRAM_SCHEMA, v->struct_value);
            else if (strcmp(p->name, "tools") == 0)
                add_tools(v, field, k);
        }
    }
}
