/* Rules of the built-in types. See rules.h. */
#include "rules.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "env_name.h"
#include "question.h"
#include "rules_headers.h"
#include "rules_llm.h"
#include "rules_report.h"

static void http_rules(const struct fm_value *schema, const struct fm_value *config,
                       struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    (void)work;
    const struct rules_report o = {report, arg};
    rules_check_url(config, "url", &o);
    rules_check_headers(config, "headers", &o);
    rules_check_headers(config, "secret_headers", &o);
}

static void aggregate_rules(const struct fm_value *schema, const struct fm_value *config,
                            struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    (void)work;
    const struct rules_report o = {report, arg};
    if (strcmp(fm_value_string(fm_value_get(config, "sources[0]"), "-"), "") == 0)
        rules_fault(&o, "sources", "must begin with the name of a slot");
}

static void exec_rules(const struct fm_value *schema, const struct fm_value *config,
                       struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    (void)work;
    static const char *const of_serve[] = {"processes", "idle_ms"};
    const struct rules_report o = {report, arg};
    if (strcmp(fm_value_string(fm_value_get(config, "command[0]"), "-"), "") == 0)
        rules_fault(&o, "command", "must begin with the program to be run");
    const struct fm_value *names = fm_value_get(config, "inherit_env");
    for (size_t i = 0; fm_value_kind(names) == FM_LIST && i < fm_value_size(names); i++) {
        const char *name = fm_value_string(fm_value_at(names, i), NULL),
                   *why = name == NULL ? NULL : fm_env_fault(name);
        char path[RULES_PATH_BYTES];
        (void)snprintf(path, sizeof(path), "inherit_env[%zu]", i);
        if (why != NULL)
            rules_fault(&o, path, "\"%.*s\" %s", (int)fm_utf8_cut(name, 64), name, why);
    }
    if (strcmp(fm_value_string(fm_value_get(config, "mode"), ""), "serve") == 0)
        return;
    for (size_t i = 0; i < 2; i++)
        if (fm_value_get(config, of_serve[i]) != NULL)
            rules_fault(&o, of_serve[i], "is only for mode serve");
}

static void validate_rules(const struct fm_value *schema, const struct fm_value *config,
                           struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    (void)work;
    const struct rules_report o = {report, arg};
    if (fm_value_get(config, "path") != NULL && fm_value_get(config, "value_expr") != NULL)
        rules_fault(&o, "value_expr", "is given beside path: keep one of them");
}

/* What of a question's settings the data bring is not known yet. */
static void check_path(const struct fm_value *config, const char *path, const char *setting,
                       const struct rules_report *o)
{
    if (fm_value_get(config, path) != NULL && fm_value_get(config, setting) != NULL)
        rules_fault(o, path, "is given beside %s: keep one of them", setting);
}

static void human_rules(const struct fm_value *schema, const struct fm_value *config,
                        struct json_schema_work *work, json_schema_report report, void *arg)
{
    (void)schema;
    const struct rules_report o = {report, arg};
    bool before = work->no_patterns;
    work->no_patterns = true; /* what takes longer is looked at when the question is asked */
    question_rules("", config, QUESTION_KINDS_CHECKED, work, report, arg);
    work->no_patterns = before;
    check_path(config, "deadline_path", "deadline_at", &o);
    check_path(config, "deadline_path", "timeout_ms", &o);
    check_path(config, "assignee_path", "assignee", &o);
    check_path(config, "key_path", "key", &o);
}

type_rules rules_of(const char *type)
{
    static const struct {
        const char *type;
        type_rules rules;
    } table[] = {
        {"llm_agent", llm_agent_rules},
        {"exec",      exec_rules     },
        {"human",     human_rules    },
        {"aggregate", aggregate_rules},
        {"http",      http_rules     },
        {"validate",  validate_rules },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].type, type) == 0)
            return table[i].rules;
    return NULL;
}
