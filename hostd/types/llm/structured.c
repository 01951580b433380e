/* Replies that are to have the form of config.response_format: they are checked here, whatever the provider
 * promises. One that does not fit is told to the model, once. See agent.h. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "json_schema.h"
#include "lenient.h"
#include "mem.h"
#include "own_types.h"

#define MAX_FAULTS 600 /* bytes of them that the model is told */

struct faults {
    char text[MAX_FAULTS];
    size_t n;
};

static void on_fault(void *arg, const struct json_schema_fault *f)
{
    struct faults *all = arg;
    if (all->n + 200 > sizeof(all->text))
        return;
    all->n +=
        (size_t)snprintf(all->text + all->n, 200, "%s%.60s%s%.120s", all->n > 0 ? "; " : "",
                         f->path[0] != '\0' ? f->path : "it", f->path[0] != '\0' ? ": " : " ", f->message);
}

/* The schema of a reply; NULL: none. *ret_any: any object will do. */
static const struct fm_value *schema_of(struct fm_ctx *ctx, bool *ret_any)
{
    const struct fm_value *format = fm_value_get(fm_ctx_config(ctx), "response_format");
    const char *type = fm_value_string(fm_value_get(format, "type"), "");
    fm_auto(fm_err) err = {0};
    *ret_any = strcmp(type, "json_object") == 0;
    if (strcmp(type, "json_schema") != 0)
        return NULL;
    const struct fm_value *schema = fm_value_get(format, "json_schema.schema");
    schema = schema != NULL ? schema : fm_value_get(format, "schema");
    const char *text = fm_value_string(schema, NULL); /* as JSON text, so that the order of its keys stays */
    return text != NULL ? ctx_json(ctx, text, strlen(text), &err) : schema;
}

/* Models like to put JSON between fences. */
static const char *without_fences(struct fm_ctx *ctx, const char *said)
{
    said += strspn(said, " \t\r\n");
    if (strncmp(said, "```", 3) != 0)
        return said;
    const char *from = strchr(said, '\n'), *end = from == NULL ? NULL : strrchr(from, '`');
    while (end != NULL && end > from && end[-1] == '`')
        end--;
    return end == NULL ? said : llm_keep(ctx, from + 1, end > from ? (size_t)(end - from) - 1 : 0);
}

/* 0: it fits; 1: not, and `why` says what is wrong; -1: that cannot be found out. */
static int check(struct fm_ctx *ctx, const struct fm_value *schema, const struct fm_value *v,
                 struct faults *why)
{
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK};
    fm_auto(fm_err) err = {0};
    int n = json_schema_check_within(schema, v, &work, on_fault, why, &err);
    if (n >= 0)
        return n > 0;
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "error", fm_string(ctx, err.msg));
    fm_ctx_log(ctx, "warning: the reply was not checked against response_format", m);
    return -1;
}

static enum llm_fit unfit(struct fm_ctx *ctx, const struct faults *why)
{
    if (fm_ctx_state_get(ctx, "unfit") != NULL) {
        (void)fm_ctx_fail(ctx, FM_FAIL_FAILED_PRECONDITION,
                          "the model's reply does not fit response_format, also after it was told so: %.300s",
                          why->text);
        fm_ctx_fail_permanent(ctx);
        return LLM_FIT_FAILED;
    }
    char text[MAX_FAULTS + 200];
    (void)snprintf(
        text, sizeof(text),
        "Your reply does not have the form that is wanted: %s. Reply again, with nothing but the JSON.",
        why->text);
    fm_ctx_state_set(ctx, "unfit", fm_bool(ctx, true));
    llm_append_message(ctx, "user", fm_string(ctx, text));
    llm_share(ctx, "working", "text", "");
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "faults", fm_string(ctx, why->text));
    fm_ctx_log(ctx, "warning: the model's reply does not fit response_format; it is asked once more", m);
    return LLM_FIT_REPAIR;
}

enum llm_fit llm_check_output(struct fm_ctx *ctx, const char *said, const struct fm_value **ret_value)
{
    bool any;
    struct faults why = {0};
    fm_auto(fm_err) err = {0};
    const struct fm_value *schema = schema_of(ctx, &any);
    if (schema == NULL && !any)
        return LLM_FIT;
    const char *json = without_fences(ctx, said);
    const struct fm_value *v = lenient_read(json, strlen(json), ctx_arena(ctx), &err);
    int rc = 0;
    if (v == NULL)
        (void)snprintf(why.text, sizeof(why.text), "it is not JSON: %.200s", err.msg);
    else if (any && fm_value_kind(v) != FM_MAP)
        (void)snprintf(why.text, sizeof(why.text), "it is not a JSON object");
    else if (schema != NULL)
        rc = check(ctx, schema, v, &why);
    if (why.text[0] != '\0' && rc >= 0)
        return unfit(ctx, &why);
    if (fm_ctx_state_get(ctx, "unfit") != NULL)
        fm_ctx_state_remove(ctx, "unfit");
    *ret_value = v;
    return LLM_FIT;
}
