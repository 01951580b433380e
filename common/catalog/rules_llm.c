/* Rules of the type llm_agent: what would be said to a provider twice, or not at all, is a fault. See
 * rules_llm.h. */
#include "rules_llm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "rules_headers.h"
#include "rules_report.h"

/* It goes into the flow: so the error must not repeat what is perhaps the key itself. */
static void check_api_key(const struct fm_value *config, const struct rules_report *o)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_",
                      others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.";
    const char *name = rules_text(config, "api_key");
    if (name != NULL &&
        (strspn(name, letters) == 0 || strspn(name, others) != strlen(name) || strlen(name) > 128))
        rules_fault(o, "api_key",
                    "must name a secret of the host; it is never the key itself. A name has 1 to 128 of the "
                    "characters A-Z a-z 0-9 _ . and begins with no digit or dot");
}

static bool has(const struct fm_value *map, const char *key)
{
    return fm_value_get(map, key) != NULL;
}

static void check_script(const struct fm_value *script, const struct rules_report *o)
{
    for (size_t i = 0; fm_value_kind(script) == FM_LIST && i < fm_value_size(script); i++) {
        const struct fm_value *item = fm_value_at(script, i);
        bool plain = has(item, "ask") || has(item, "fail");
        int n = has(item, "ask") + has(item, "fail") + has(item, "tool") + has(item, "tools");
        char path[RULES_PATH_BYTES];
        if (fm_value_kind(item) != FM_MAP || (n == 1 && !(plain && has(item, "say"))) ||
            (n == 0 && (has(item, "say") || has(item, "error"))))
            continue;
        (void)snprintf(path, sizeof(path), "script[%zu]", i);
        rules_fault(
            o, path,
            "must have exactly one of say, ask, fail, tool, tools (say also beside a call; error also "
            "before any)");
    }
}

/* Providers take no other names of tools. */
static bool tool_name_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 64 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n;
}

/* A name and where it stands: the i-th of a list. */
struct named {
    const char *name, *list;
    size_t i;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int rc = strcmp(x->name, y->name);
    if (rc == 0)
        rc = strcmp(y->list, x->list); /* "tools" before "params.tools" */
    return rc != 0 ? rc : (x->i > y->i) - (x->i < y->i);
}

static void check_tool_names(const struct named *sorted, size_t n, const struct rules_report *o)
{
    for (size_t i = 0; i < n; i++) {
        char path[RULES_PATH_BYTES];
        const char *name = sorted[i].name;
        (void)snprintf(path, sizeof(path), "%s[%zu]", sorted[i].list, sorted[i].i);
        if (strcmp(sorted[i].list, "tools") == 0 && !tool_name_ok(name))
            rules_fault(o, path,
                        "has the name \"%.*s\"; a tool's name has 1 to 64 of the characters A-Z a-z 0-9 _ -",
                        (int)fm_utf8_cut(name, 80), name);
        if (i > 0 && strcmp(name, sorted[i - 1].name) == 0)
            rules_fault(o, path, "has the name \"%.*s\", as %s[%zu] has", (int)fm_utf8_cut(name, 64), name,
                        sorted[i - 1].list, sorted[i - 1].i);
    }
}

static size_t list_size(const struct fm_value *v)
{
    return fm_value_kind(v) == FM_LIST ? fm_value_size(v) : 0;
}

/* The agent's tools, and those that the provider is told of as they are. */
static void check_tools(const struct fm_value *config, const struct rules_report *o)
{
    const struct fm_value *tools = fm_value_get(config, "tools"),
                          *more = fm_value_get(config, "params.tools");
    size_t n = 0;
    fm_autofree struct named *sorted = fm_xcalloc(list_size(tools) + list_size(more) + 1, sizeof(*sorted));
    for (size_t i = 0; i < list_size(tools); i++) {
        sorted[n] = (struct named){rules_text(fm_value_at(tools, i), "name"), "tools", i};
        n += sorted[n].name != NULL;
    }
    for (size_t i = 0; i < list_size(more); i++) {
        const struct fm_value *t = fm_value_at(more, i);
        const char *name = rules_text(t, "name");
        sorted[n] = (struct named){name != NULL ? name : rules_text(t, "function.name"), "params.tools", i};
        n += sorted[n].name != NULL;
    }
    qsort(sorted, n, sizeof(*sorted), by_name);
    check_tool_names(sorted, n, o);
}

/* A setting that the agent does not know goes to its provider; the mock takes none. */
static void check_keys(const struct fm_value *schema, const struct fm_value *config,
                       struct json_schema_work *work, const struct rules_report *o)
{
    const char *provider = rules_text(config, "provider");
    if (provider == NULL || strcmp(provider, "mock") == 0)
        json_schema_report_unknown(fm_value_get(schema, "properties"), config, work, o->report, o->arg);
}

/* ---- what goes to the provider ---- */

/* A choice in words, or by the name of a tool that is there. */
static void check_choice(const struct fm_value *config, const struct rules_report *o)
{
    const char *word = rules_text(config, "tool_choice"), *name = rules_text(config, "tool_choice.name");
    const struct fm_value *tools = fm_value_get(config, "tools");
    if (word != NULL && strcmp(word, "auto") != 0 && strcmp(word, "none") != 0 &&
        strcmp(word, "required") != 0 && strcmp(word, "any") != 0)
        rules_fault(o, "tool_choice",
                    "must be auto, none, required, {\"name\": TOOL} or an object of the provider");
    bool found = name == NULL;
    for (size_t i = 0; i < list_size(tools) && !found; i++) {
        const char *its = rules_text(fm_value_at(tools, i), "name");
        found = its != NULL && strcmp(its, name) == 0;
    }
    if (!found && fm_value_get(config, "params.tools") == NULL && strcmp(name, "ask_user") != 0)
        rules_fault(o, "tool_choice.name", "is \"%.*s\", which is none of the tools",
                    (int)fm_utf8_cut(name, 64), name);
}

/* What the agent itself says in a request: nobody else may. */
static void check_own(const struct fm_value *map, const char *before, bool model,
                      const struct rules_report *o)
{
    static const struct {
        const char *key, *instead;
    } own[] = {
        {"messages", "the agent sends its conversation"},
        {"model",    "set the agent's own model"       },
        {"stream",   "set the agent's own stream"      },
    };
    char path[RULES_PATH_BYTES];
    for (size_t i = 0; i < (model ? 3 : 1); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", before, own[i].key);
        if (rules_member(map, own[i].key) != NULL)
            rules_fault(o, path, "cannot be set here: %s", own[i].instead);
    }
    const struct fm_value *n = rules_member(map, "n");
    (void)snprintf(path, sizeof(path), "%sn", before);
    if (n != NULL && fm_value_number(n, 0) != 1)
        rules_fault(o, path,
                    "must be 1: the agent takes one reply, and the others would be paid for and lost");
}

/* Two settings, of which each may stand in params or beside it, that say the same. */
static void check_pair(const struct fm_value *config, const char *a, const char *b,
                       const struct rules_report *o)
{
    const struct fm_value *params = fm_value_get(config, "params");
    const char *names[2] = {a, b};
    char found[4][RULES_PATH_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < (strcmp(a, b) == 0 ? 1 : 2); i++) {
        if (rules_member(config, names[i]) != NULL)
            (void)snprintf(found[n++], RULES_PATH_BYTES, "%s", names[i]);
        if (rules_member(params, names[i]) != NULL)
            (void)snprintf(found[n++], RULES_PATH_BYTES, "params.%s", names[i]);
    }
    for (size_t i = 1; i < n; i++)
        rules_fault(o, found[i], "is given beside %s, which says the same: keep one of them", found[0]);
}

/* Keys of params that are also settings. Two are put together: system, and tools; of others
 * check_own or check_pair says more. */
static void check_params(const struct fm_value *config, const struct rules_report *o)
{
    static const char *const others[] = {
        "max_tokens", "max_completion_tokens", "n", "messages", "system", "tools", "model", "stream"};
    const struct fm_value *params = fm_value_get(config, "params");
    size_t n = 0, n_params = fm_value_kind(params) == FM_MAP ? fm_value_size(params) : 0;
    fm_autofree struct named *sorted = fm_xcalloc(fm_value_size(config) + n_params + 1, sizeof(*sorted));
    for (size_t i = 0; i < fm_value_size(config); i++)
        sorted[n++] = (struct named){fm_value_key(config, i), "", i};
    for (size_t i = 0; i < n_params; i++)
        sorted[n++] = (struct named){fm_value_key(params, i), "params", i};
    qsort(sorted, n, sizeof(*sorted), by_name);
    for (size_t i = 1; i < n; i++) {
        bool is_other = strcmp(sorted[i].name, sorted[i - 1].name) != 0;
        for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++)
            is_other = is_other || strcmp(sorted[i].name, others[k]) == 0;
        if (!is_other)
            check_pair(config, sorted[i].name, sorted[i].name, o);
    }
}

static void check_anthropic(const struct fm_value *config, const struct rules_report *o)
{
    check_pair(config, "stop", "stop_sequences", o);
    if (fm_value_get(config, "response_format") != NULL &&
        (fm_value_get(config, "params.output_config.format") != NULL ||
         fm_value_get(config, "output_config.format") != NULL))
        rules_fault(o, "response_format",
                    "is given beside output_config.format, which says the same: keep one of them");
    if (fm_value_get(config, "seed") != NULL)
        rules_fault(o, "seed", "means nothing to provider anthropic");
}

/* The provider's own tools go beside those of the agent. */
static void check_params_tools(const struct fm_value *more, const struct rules_report *o)
{
    if (more != NULL && fm_value_kind(more) != FM_LIST)
        rules_fault(o, "params.tools", "must be a list of tools in the provider's form");
    for (size_t i = 0; i < list_size(more); i++) {
        char path[RULES_PATH_BYTES];
        (void)snprintf(path, sizeof(path), "params.tools[%zu]", i);
        if (fm_value_kind(fm_value_at(more, i)) != FM_MAP)
            rules_fault(o, path, "must be an object: a tool in the provider's form");
    }
}

static void check_request(const struct fm_value *config, const char *provider, const struct rules_report *o)
{
    if (strcmp(provider, "openai") != 0 && strcmp(provider, "anthropic") != 0)
        return;
    check_own(config, "", false, o);
    check_own(fm_value_get(config, "params"), "params.", true, o);
    check_params(config, o);
    check_pair(config, "max_tokens", "max_completion_tokens", o);
    check_params_tools(fm_value_get(config, "params.tools"), o);
    if (strcmp(provider, "anthropic") == 0)
        check_anthropic(config, o);
}

void llm_agent_rules(const struct fm_value *schema, const struct fm_value *config,
                     struct json_schema_work *work, json_schema_report report, void *arg)
{
    const struct rules_report o = {report, arg};
    const char *provider = fm_value_string(fm_value_get(config, "provider"), "");
    const struct fm_value *model = fm_value_get(config, "model");
    bool nameless = model == NULL || strcmp(fm_value_string(model, "-"), "") == 0;
    check_keys(schema, config, work, &o);
    rules_check_url(config, "base_url", &o);
    check_api_key(config, &o);
    rules_check_agent_headers(config, &o);
    if (nameless && (strcmp(provider, "openai") == 0 || strcmp(provider, "anthropic") == 0))
        rules_fault(&o, "model", "is missing: provider %s needs it", provider);
    check_script(fm_value_get(config, "script"), &o);
    check_tools(config, &o);
    check_choice(config, &o);
    check_request(config, provider, &o);
}
