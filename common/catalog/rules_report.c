/* What rules of types share. See rules_report.h. */
#include "rules_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "buf.h"

void rules_fault(const struct rules_report *o, const char *path, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    text[fm_utf8_cut(text, sizeof(text) - 1)] = '\0';
    const struct json_schema_fault f = {
        .kind = JSON_SCHEMA_FAULT, .path = path, .object = path, .message = text};
    o->report(o->arg, &f);
}

const char *rules_text(const struct fm_value *config, const char *key)
{
    return fm_value_string(fm_value_get(config, key), NULL);
}

const struct fm_value *rules_member(const struct fm_value *map, const char *key)
{
    for (size_t i = 0; fm_value_kind(map) == FM_MAP && i < fm_value_size(map); i++)
        if (strcmp(fm_value_key(map, i), key) == 0)
            return fm_value_at(map, i);
    return NULL;
}

void rules_check_url(const struct fm_value *config, const char *key, const struct rules_report *o)
{
    const char *url = rules_text(config, key);
    if (url != NULL && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        rules_fault(o, key, "must begin with http:// or https://; it is \"%.*s\"", (int)fm_utf8_cut(url, 64),
                    url);
}
