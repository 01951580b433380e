/* Rules of the built-in types. See rules.h. */
#include "rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "mem.h"

#define PATH_BYTES 64

struct out {
    json_schema_report report;
    void *arg;
};

/* What is said of a value follows its name, as in a schema's messages: "must be …". */
static void fault(const struct out *o, const char *path, const char *fmt, ...) FM_PRINTF(3, 4);
static void fault(const struct out *o, const char *path, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    const struct json_schema_fault f = {
        .kind = JSON_SCHEMA_FAULT, .path = path, .object = path, .message = text};
    o->report(o->arg, &f);
}

/* The text of a setting; NULL: it has none, or another kind of value. */
static const char *text_of(const struct fm_value *config, const char *key)
{
    return fm_value_string(fm_value_get(config, key), NULL);
}

static void check_url(const struct fm_value *config, const char *key, const struct out *o)
{
    const char *url = text_of(config, key);
    if (url != NULL && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        fault(o, key, "must begin with http:// or https://; it is \"%.*s\"", (int)fm_utf8_cut(url, 64), url);
}

static void http_rules(const struct fm_value *schema, const struct fm_value *config,
                       struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    (void)work;
    const struct out o = {report, arg};
    check_url(config, "url", &o);
}

static void aggregate_rules(const struct fm_value *schema, const struct fm_value *config,
                            struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    (void)work;
    const struct out o = {report, arg};
    if (strcmp(fm_value_string(fm_value_get(config, "sources[0]"), "-"), "") == 0)
        fault(&o, "sources", "must begin with the name of a slot");
}

static void exec_rules(const struct fm_value *schema, const struct fm_value *config,
                       struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    (void)work;
    static const char *const of_serve[] = {"processes", "idle_ms"};
    const struct out o = {report, arg};
    if (strcmp(fm_value_string(fm_value_get(config, "command[0]"), "-"), "") == 0)
        fault(&o, "command", "must begin with the program to be run");
    if (strcmp(fm_value_string(fm_value_get(config, "mode"), ""), "serve") == 0)
        return;
    for (size_t i = 0; i < 2; i++)
        if (fm_value_get(config, of_serve[i]) != NULL)
            fault(&o, of_serve[i], "is only for mode serve");
}

/* ---- llm_agent ---- */

/* It goes into the flow: so the error must not repeat what is perhaps the key itself. */
static void check_api_key(const struct fm_value *config, const struct out *o)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_",
                      others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.";
    const char *name = text_of(config, "api_key");
    if (name != NULL &&
        (strspn(name, letters) == 0 || strspn(name, others) != strlen(name) || strlen(name) > 128))
        fault(o, "api_key",
              "must name a secret of the host; it is never the key itself. A name has 1 to 128 of the "
              "characters A-Z a-z 0-9 _ . and begins with no digit or dot");
}

static bool has(const struct fm_value *map, const char *key)
{
    return fm_value_get(map, key) != NULL;
}

static void check_script(const struct fm_value *script, const struct out *o)
{
    for (size_t i = 0; fm_value_kind(script) == FM_LIST && i < fm_value_size(script); i++) {
        const struct fm_value *item = fm_value_at(script, i);
        bool plain = has(item, "ask") || has(item, "fail");
        int n = has(item, "ask") + has(item, "fail") + has(item, "tool") + has(item, "tools");
        char path[PATH_BYTES];
        if (fm_value_kind(item) != FM_MAP || (n == 1 && !(plain && has(item, "say"))) ||
            (n == 0 && (has(item, "say") || has(item, "error"))))
            continue;
        (void)snprintf(path, sizeof(path), "script[%zu]", i);
        fault(o, path,
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

struct tool {
    const char *name;
    size_t i;
};

static int by_name(const void *a, const void *b)
{
    const struct tool *x = a, *y = b;
    int rc = strcmp(x->name, y->name);
    return rc != 0 ? rc : (x->i > y->i) - (x->i < y->i);
}

static void check_tool_names(const struct tool *sorted, size_t n, const struct out *o)
{
    for (size_t i = 0; i < n; i++) {
        char path[PATH_BYTES];
        const char *name = sorted[i].name;
        (void)snprintf(path, sizeof(path), "tools[%zu]", sorted[i].i);
        if (!tool_name_ok(name))
            fault(o, path,
                  "has the name \"%.*s\"; a tool's name has 1 to 64 of the characters A-Z a-z 0-9 _ -",
                  (int)fm_utf8_cut(name, 80), name);
        if (i > 0 && strcmp(name, sorted[i - 1].name) == 0)
            fault(o, path, "has the name \"%.*s\", as tools[%zu] has", (int)fm_utf8_cut(name, 64), name,
                  sorted[i - 1].i);
    }
}

static void check_tools(const struct fm_value *tools, const struct out *o)
{
    size_t most = fm_value_kind(tools) == FM_LIST ? fm_value_size(tools) : 0, n = 0;
    fm_autofree struct tool *sorted = fm_xcalloc(most + 1, sizeof(*sorted));
    for (size_t i = 0; i < most; i++) {
        sorted[n] = (struct tool){text_of(fm_value_at(tools, i), "name"), i};
        n += sorted[n].name != NULL;
    }
    qsort(sorted, n, sizeof(*sorted), by_name);
    check_tool_names(sorted, n, o);
}

/* A setting that the agent does not know goes to its provider; the mock takes none. */
static void check_keys(const struct fm_value *schema, const struct fm_value *config,
                       struct json_schema_work *work, const struct out *o)
{
    const char *provider = text_of(config, "provider");
    if (provider == NULL || strcmp(provider, "mock") == 0)
        json_schema_report_unknown(fm_value_get(schema, "properties"), config, work, o->report, o->arg);
}

static void llm_agent_rules(const struct fm_value *schema, const struct fm_value *config,
                            struct json_schema_work *work, json_schema_report report, void *arg)
{
    const struct out o = {report, arg};
    const char *provider = fm_value_string(fm_value_get(config, "provider"), "");
    const struct fm_value *model = fm_value_get(config, "model");
    bool nameless = model == NULL || strcmp(fm_value_string(model, "-"), "") == 0;
    check_keys(schema, config, work, &o);
    check_url(config, "base_url", &o);
    check_api_key(config, &o);
    if (nameless && (strcmp(provider, "openai") == 0 || strcmp(provider, "anthropic") == 0))
        fault(&o, "model", "is missing: provider %s needs it", provider);
    check_script(fm_value_get(config, "script"), &o);
    check_tools(fm_value_get(config, "tools"), &o);
}

type_rules rules_of(const char *type)
{
    static const struct {
        const char *type;
        type_rules rules;
    } table[] = {
        {"llm_agent", llm_agent_rules},
        {"exec",      exec_rules     },
        {"aggregate", aggregate_rules},
        {"http",      http_rules     },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].type, type) == 0)
            return table[i].rules;
    return NULL;
}
