/* Calls of tools. See tool_calls.h. */
#include "tool_calls.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "lenient.h"
#include "mem.h"
#include "own_types.h"

#define MAX_WHY 400
#define STARS "****************" /* what is blanked out has as many at least */

const struct fm_value *llm_not_run(struct fm_ctx *ctx, const struct fm_value *call, const char *why, ...)
{
    char text[MAX_WHY];
    va_list ap;
    va_start(ap, why);
    (void)vsnprintf(text, sizeof(text), why, ap);
    va_end(ap);
    text[fm_utf8_cut(text, sizeof(text) - 1)] = '\0';
    struct fm_value *out = fm_map_copy(ctx, call);
    fm_map_set(ctx, out, "not_run", fm_string(ctx, text));
    return out;
}

const struct fm_value *llm_with_thoughts(struct fm_ctx *ctx, const struct fm_value *call,
                                         const struct fm_value *thoughts)
{
    if (thoughts == NULL)
        return call;
    struct fm_value *out = fm_map_copy(ctx, call);
    fm_map_set(ctx, out, "thoughts", thoughts);
    return out;
}

/* What a text describes; NULL: nothing. Some servers write the text as JSON once more. */
static const struct fm_value *read_arguments(struct fm_ctx *ctx, const char *text, struct fm_err *err)
{
    const struct fm_value *v = lenient_read(text, strlen(text), ctx_arena(ctx), err);
    if (fm_value_kind(v) != FM_STRING)
        return v;
    fm_auto(fm_err) ignored = {0};
    const char *inner = fm_value_string(v, "");
    const struct fm_value *again = lenient_read(inner, strlen(inner), ctx_arena(ctx), &ignored);
    return fm_value_kind(again) == FM_MAP ? again : v;
}

/* The call, in whose arguments a secret of the host was blanked out: it must not be run with stars. */
static const struct fm_value *had_secret(struct fm_ctx *ctx, const struct fm_value *call)
{
    return llm_not_run(ctx, call,
                       "error: the arguments had a secret of this host in them, so the tool was not called");
}

const struct fm_value *llm_call_of(struct fm_ctx *ctx, const char *id, const char *name,
                                   const struct fm_value *arguments)
{
    struct fm_value *call = fm_map(ctx);
    fm_auto(fm_err) err = {0};
    bool is_text = fm_value_kind(arguments) == FM_STRING;
    const char *text = is_text ? llm_hidden(ctx, fm_value_string(arguments, "")) : "";
    bool none = arguments == NULL || fm_value_kind(arguments) == FM_NULL ||
                (is_text && text[strspn(text, " \t\r\n")] == '\0');
    const struct fm_value *read = none ? fm_map(ctx) : is_text ? read_arguments(ctx, text, &err) : arguments;
    fm_map_set(ctx, call, "id", fm_string(ctx, id != NULL ? id : ""));
    fm_map_set(ctx, call, "name", fm_string(ctx, name != NULL ? name : ""));
    fm_map_set(ctx, call, "arguments", read != NULL ? read : fm_map(ctx));
    if (is_text && strcmp(text, fm_value_string(arguments, "")) != 0)
        return had_secret(ctx, call);
    if (read != NULL)
        return call;
    const struct fm_value *out =
        llm_not_run(ctx, call, "error: the arguments are not JSON, so the tool was not called: %s", err.msg);
    return out;
}

const struct fm_value *llm_hidden_calls(struct fm_ctx *ctx, const struct fm_value *calls, bool redacted)
{
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < fm_value_size(calls); i++) {
        const struct fm_value *c = fm_value_at(calls, i), *arguments = fm_value_get(c, "arguments"),
                              *hidden = llm_hidden_value(ctx, c);
        if (hidden == NULL)
            return NULL;
        bool had = fm_value_get(c, "not_run") == NULL &&
                   (llm_hidden_value(ctx, arguments) != arguments ||
                    (redacted && strstr(fm_value_string(llm_json_text(ctx, arguments), ""), STARS) != NULL));
        fm_list_add(ctx, list, had ? had_secret(ctx, hidden) : hidden);
    }
    return list;
}

const struct fm_value *llm_cut_off(struct fm_ctx *ctx, const struct fm_value *calls, const char *stop)
{
    size_t n = fm_value_size(calls);
    struct fm_value *list = fm_list(ctx);
    for (size_t i = 0; i < n; i++) {
        const struct fm_value *c = fm_value_at(calls, i);
        bool is_last = i + 1 == n && fm_value_get(c, "not_run") == NULL;
        fm_list_add(ctx, list,
                    !is_last
                        ? c
                        : llm_not_run(ctx, c,
                                      "error: your reply was cut off (%.64s) in this call, so the tool was "
                                      "not called. Call it again, with less in one reply.",
                                      stop));
    }
    return list;
}
