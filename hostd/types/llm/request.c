/* What goes into a request of any provider: its URL, its key, and what the configuration passes on.
 * See provider.h. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "catalog.h"
#include "provider.h"

#define MAX_TOOL_NAME 64

const char *llm_auth(struct fm_ctx *ctx, const struct fm_value *config, const char *before)
{
    const char *name = fm_value_string(fm_value_get(config, "api_key"), "");
    if (name[0] == '\0')
        return NULL;
    size_t n = strlen(before) + strlen(name) + sizeof("${secret:}");
    char *header = fm_ctx_alloc(ctx, n);
    (void)snprintf(header, n, "%s${secret:%s}", before, name);
    return header;
}

const char *const *llm_headers(struct fm_ctx *ctx, const struct fm_value *config, size_t *ret_n)
{
    const struct fm_value *map = fm_value_get(config, "headers");
    size_t n = fm_value_kind(map) == FM_MAP ? fm_value_size(map) : 0;
    const char **lines = fm_ctx_alloc(ctx, (n + 1) * sizeof(*lines));
    for (size_t i = 0; i < n; i++) {
        const char *name = fm_value_key(map, i), *value = fm_value_string(fm_value_at(map, i), "");
        size_t size = strlen(name) + strlen(value) + 3;
        char *line = fm_ctx_alloc(ctx, size);
        (void)snprintf(line, size, "%s: %s", name, value);
        lines[i] = line;
    }
    *ret_n = n;
    return lines;
}

bool llm_has_header(const struct fm_value *config, const char *name)
{
    const struct fm_value *map = fm_value_get(config, "headers");
    for (size_t i = 0; fm_value_kind(map) == FM_MAP && i < fm_value_size(map); i++)
        if (strcasecmp(fm_value_key(map, i), name) == 0)
            return true;
    return false;
}

const char *llm_url(struct fm_ctx *ctx, const struct fm_value *config, const char *default_base,
                    const char *path)
{
    const char *base = fm_value_string(fm_value_get(config, "base_url"), default_base);
    size_t n = strcspn(base, "?#"), size = strlen(base) + strlen(path) + 1;
    const char *query = base + n; /* Azure's: it stays at the end */
    while (n > 0 && base[n - 1] == '/')
        n--;
    char *url = fm_ctx_alloc(ctx, size);
    (void)snprintf(url, size, "%.*s%s%s", (int)n, base, path, query);
    return url;
}

bool llm_is_provider_s(const char *key)
{
    const struct fm_value *own = fm_value_get(type_catalog_find("llm_agent")->config, "properties");
    for (size_t i = 0; i < fm_value_size(own); i++)
        if (strcmp(fm_value_key(own, i), key) == 0)
            return false;
    return true;
}

void llm_pass(struct fm_ctx *ctx, const struct fm_value *config, struct fm_value *body,
              const char *const names[][2])
{
    for (size_t i = 0; names[i][0] != NULL; i++) {
        const struct fm_value *v = fm_value_get(config, names[i][0]);
        if (v != NULL)
            fm_map_set(ctx, body, names[i][1], v);
    }
    for (size_t i = 0; fm_value_kind(config) == FM_MAP && i < fm_value_size(config); i++)
        if (llm_is_provider_s(fm_value_key(config, i)))
            fm_map_set(ctx, body, fm_value_key(config, i), fm_value_at(config, i));
    const struct fm_value *params = fm_value_get(config, "params");
    for (size_t i = 0; fm_value_kind(params) == FM_MAP && i < fm_value_size(params); i++)
        fm_map_set(ctx, body, fm_value_key(params, i), fm_value_at(params, i));
}

const struct fm_value *llm_member(const struct fm_value *map, const char *key)
{
    for (size_t i = 0; fm_value_kind(map) == FM_MAP && i < fm_value_size(map); i++)
        if (strcmp(fm_value_key(map, i), key) == 0)
            return fm_value_at(map, i);
    return NULL;
}

struct fm_value *llm_without(struct fm_ctx *ctx, const struct fm_value *map, const char *key)
{
    struct fm_value *m = fm_map(ctx);
    for (size_t i = 0; i < fm_value_size(map); i++)
        if (strcmp(fm_value_key(map, i), key) != 0)
            fm_map_set(ctx, m, fm_value_key(map, i), fm_value_at(map, i));
    return m;
}

void llm_put_tools(struct fm_ctx *ctx, struct fm_value *body, struct fm_value *tools)
{
    const struct fm_value *more = llm_member(body, "tools"); /* of params */
    for (size_t i = 0; fm_value_kind(more) == FM_LIST && i < fm_value_size(more); i++)
        fm_list_add(ctx, tools, fm_value_at(more, i));
    if (fm_value_size(tools) > 0)
        fm_map_set(ctx, body, "tools", tools);
}

const struct fm_value *llm_tool_name(struct fm_ctx *ctx, const struct fm_value *call)
{
    char name[MAX_TOOL_NAME + 1];
    (void)snprintf(name, sizeof(name), "%s", fm_value_string(fm_value_get(call, "name"), ""));
    for (char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' ||
              *c == '-'))
            *c = '_';
    return fm_string(ctx, name[0] != '\0' ? name : "unknown");
}

const struct fm_value *llm_tool_choice(struct fm_ctx *ctx, const struct fm_value *config)
{
    const struct fm_value *choice = fm_value_get(config, "tool_choice"), *name = fm_value_get(choice, "name");
    if (choice == NULL || fm_value_kind(choice) != FM_MAP || fm_value_get(choice, "type") != NULL ||
        name == NULL)
        return choice;
    struct fm_value *out = fm_map(ctx), *function = fm_map(ctx);
    fm_map_set(ctx, function, "name", name);
    fm_map_set(ctx, out, "type", fm_string(ctx, "function"));
    fm_map_set(ctx, out, "function", function);
    return out;
}

bool llm_goes_on(const struct llm_request *q)
{
    const struct fm_value *last = fm_value_at(q->messages, fm_value_size(q->messages) - 1);
    return strcmp(fm_value_string(fm_value_get(last, "role"), ""), "tool") == 0;
}
