/* JSON with single quotes. See json_text.h. */
#include "json_text.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

char *json_text(const char *text)
{
    char *json = fm_xmalloc(2 * strlen(text) + 1), *out = json, quote = '\0';
    for (const char *p = text; *p != '\0'; p++) {
        if (quote == '\0') {
            quote = *p == '\'' || *p == '"' ? *p : '\0';
            *out++ = *p == '\'' ? '"' : *p;
        } else if (*p == quote) {
            quote = '\0';
            *out++ = '"';
        } else if (*p == '\\' && p[1] != '\0') {
            if (*++p != '\'')
                *out++ = '\\';
            *out++ = *p;
        } else {
            if (*p == '"')
                *out++ = '\\';
            *out++ = *p;
        }
    }
    *out = '\0';
    return json;
}

char *json_vformat(const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    assert_true(n >= 0);
    char *text = fm_xmalloc((size_t)n + 1);
    (void)vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    char *json = json_text(text);
    free(text);
    return json;
}

char *json_format(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *json = json_vformat(fmt, ap);
    va_end(ap);
    return json;
}

void json_print(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *json = json_vformat(fmt, ap);
    va_end(ap);
    assert_true(strlen(json) < size);
    strcpy(out, json);
    free(json);
}

json_t *json_parse(const char *text)
{
    char *json = json_text(text);
    json_error_t fault;
    json_t *j = json_loads(json, JSON_DECODE_ANY, &fault);
    if (j == NULL)
        fail_msg("%s: %s", fault.text, json);
    free(json);
    return j;
}
