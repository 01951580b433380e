/* Values from JSON and compared with JSON. See fake_json.h. */
#include "fake_json.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <cmocka.h>

#include "json_text.h"
#include "mem.h"

static struct fm_value *fake_from(struct fm_ctx *ctx, json_t *j)
{
    const char *key;
    json_t *item;
    size_t i;
    struct fm_value *v;
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        v = fm_map(ctx);
        json_object_foreach(j, key, item) fm_map_set(ctx, v, key, fake_from(ctx, item));
        return v;
    case JSON_ARRAY:
        v = fm_list(ctx);
        json_array_foreach(j, i, item) fm_list_add(ctx, v, fake_from(ctx, item));
        return v;
    case JSON_STRING:
        return fm_string(ctx, json_string_value(j));
    case JSON_INTEGER:
    case JSON_REAL:
        return fm_number(ctx, json_number_value(j));
    case JSON_TRUE:
    case JSON_FALSE:
        return fm_bool(ctx, json_is_true(j));
    case JSON_NULL:
        break;
    }
    return fm_null(ctx);
}

struct fm_value *fake_json(struct fm_ctx *ctx, const char *quoted)
{
    json_t *j = json_parse(quoted);
    struct fm_value *v = fake_from(ctx, j);
    json_decref(j);
    return v;
}

static json_t *fake_to(const struct fm_value *v)
{
    json_t *j;
    switch (fm_value_kind(v)) {
    case FM_MAP:
        j = json_object();
        for (size_t i = 0; i < fm_value_size(v); i++)
            json_object_set_new(j, fm_value_key(v, i), fake_to(fm_value_at(v, i)));
        return j;
    case FM_LIST:
        j = json_array();
        for (size_t i = 0; i < fm_value_size(v); i++)
            json_array_append_new(j, fake_to(fm_value_at(v, i)));
        return j;
    case FM_STRING:
        return json_string(fm_value_string(v, ""));
    case FM_NUMBER:
        return json_real(fm_value_number(v, 0));
    case FM_BOOL:
        return json_boolean(fm_value_bool(v, false));
    case FM_NULL:
        break;
    }
    return json_null();
}

void fake_is(struct fm_ctx *ctx, const struct fm_value *v, const char *quoted)
{
    json_t *is = fake_to(v), *want = fake_to(fake_json(ctx, quoted)); /* so all numbers are real ones */
    if (!json_equal(is, want)) {
        char *text = json_dumps(is, JSON_ENCODE_ANY | JSON_SORT_KEYS);
        fail_msg("%s is not %s", text, quoted);
    }
    json_decref(is);
    json_decref(want);
}

void fake_emitted(struct fm_ctx *ctx, size_t i, const char *event, const char *quoted)
{
    assert_true(i < ctx->emitted.n);
    assert_string_equal(ctx->emitted.items[i].name, event);
    fake_is(ctx, ctx->emitted.items[i].data, quoted);
}

int fake_run(struct fm_ctx *ctx, const char *slot, const char *quoted)
{
    return fake_step(ctx, slot, "", fake_json(ctx, quoted));
}

void fake_fails(struct fm_ctx *ctx, const char *slot, const char *quoted, int code, const char *text)
{
    assert_int_equal(fake_run(ctx, slot, quoted), -1);
    assert_int_equal(ctx->fail_code, code);
    if (strstr(ctx->failure, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", ctx->failure, text);
}
