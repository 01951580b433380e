/* Headers in configurations. See rules_headers.h. */
#include "rules_headers.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "http_field.h"
#include "name.h"

#define OPEN "${secret:"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void path_of(const char *key, const char *name, char path[RULES_PATH_BYTES])
{
    (void)snprintf(path, RULES_PATH_BYTES, "%s.%.*s", key, (int)fm_utf8_cut(name, 40), name);
}

void rules_check_headers(const struct fm_value *config, const char *key, const struct rules_report *o)
{
    const struct fm_value *map = fm_value_get(config, key);
    for (size_t i = 0; fm_value_kind(map) == FM_MAP && i < fm_value_size(map); i++) {
        const char *name = fm_value_key(map, i), *value = fm_value_string(fm_value_at(map, i), "");
        const char *why = fm_http_name_fault(name, strlen(name));
        char path[RULES_PATH_BYTES];
        if (why == NULL)
            why = fm_http_value_fault(value, strlen(value));
        path_of(key, name, path);
        if (why != NULL)
            rules_fault(o, path, "%s", why);
    }
}

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(names[i], name) == 0)
            return true;
    return false;
}

/* What is wrong with the references in a value; NULL: nothing. */
static const char *reference_fault(const char *value)
{
    const char *at = value;
    while ((at = strstr(at, OPEN)) != NULL) {
        at += strlen(OPEN);
        size_t n = fm_name_span(at);
        if (n == 0 || n > FM_MAX_NAME_BYTES || at[n] != '}')
            return "has a reference that is none: ${secret:NAME} has a NAME of " FM_NAME_RULE;
    }
    return NULL;
}

/* Messages never show a value: it may be the key itself. */
static const char *agent_fault(const struct fm_value *config, const char *name, const struct fm_value *v)
{
    static const char *const own[] = {"content-type", "idempotency-key", "accept-encoding"},
                             *const credentials[] = {"authorization",  "api-key", "x-api-key",
                                                     "x-goog-api-key", "cookie",  "x-auth-token"};
    bool anthropic = strcmp(fm_value_string(fm_value_get(config, "provider"), ""), "anthropic") == 0;
    const char *value = fm_value_string(v, NULL);
    if (value == NULL)
        return "must be a string";
    if (is_one_of(name, own, COUNT(own)))
        return "cannot be set: the agent sets it";
    if (fm_value_get(config, "api_key") != NULL &&
        strcasecmp(name, anthropic ? "x-api-key" : "authorization") == 0)
        return "is given beside api_key, which sets it: keep one of them";
    if (is_one_of(name, credentials, COUNT(credentials)) && strstr(value, OPEN) == NULL)
        return "must be a secret of the host, \"${secret:NAME}\": what is written here is in the flow";
    return reference_fault(value);
}

void rules_check_agent_headers(const struct fm_value *config, const struct rules_report *o)
{
    const struct fm_value *map = fm_value_get(config, "headers");
    rules_check_headers(config, "headers", o);
    for (size_t i = 0; fm_value_kind(map) == FM_MAP && i < fm_value_size(map); i++) {
        char path[RULES_PATH_BYTES];
        const char *why = agent_fault(config, fm_value_key(map, i), fm_value_at(map, i));
        bool twice = false;
        for (size_t k = 0; k < i && i < 64; k++)
            twice = twice || strcasecmp(fm_value_key(map, k), fm_value_key(map, i)) == 0;
        path_of("headers", fm_value_key(map, i), path);
        if (why != NULL || twice)
            rules_fault(o, path, "%s",
                        why != NULL ? why : "is given twice: letters of either case are the same");
    }
}
