/* Messages of protobuf-c from JSON. See from_json.h. */
#include "from_json.h"

#include <cmocka.h>
#include <string.h>

#include "arena.h"
#include "fermata/v1/types.pb-c.h"
#include "json_text.h"

struct fm_arena from_json_arena;

void from_json_begin(void)
{
    fm_arena_init(&from_json_arena, 64u << 20);
}

void from_json_end(void)
{
    fm_arena_done(&from_json_arena);
}

void *from_json_take(size_t n, size_t size)
{
    void *p = fm_arena_zalloc(&from_json_arena, n, size);
    assert_non_null(p);
    return p;
}

char *from_json_text(const char *s)
{
    char *copy = fm_arena_strndup(&from_json_arena, s, strlen(s));
    assert_non_null(copy);
    return copy;
}

static Google__Protobuf__Struct *struct_of(json_t *j);

static Google__Protobuf__Value *any_of(json_t *j)
{
    Google__Protobuf__Value *v = from_json_take(1, sizeof(*v));
    google__protobuf__value__init(v);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
    if (json_is_string(j)) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        v->string_value = from_json_text(json_string_value(j));
    } else if (json_is_number(j)) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        v->number_value = json_number_value(j);
    } else if (json_is_boolean(j)) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        v->bool_value = json_is_true(j);
    } else if (json_is_object(j)) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        v->struct_value = struct_of(j);
    } else if (json_is_array(j)) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        v->list_value = from_json_take(1, sizeof(*v->list_value));
        google__protobuf__list_value__init(v->list_value);
        v->list_value->values = from_json_take(json_array_size(j), sizeof(*v->list_value->values));
        for (size_t i = 0; i < json_array_size(j); i++)
            v->list_value->values[v->list_value->n_values++] = any_of(json_array_get(j, i));
    }
    return v;
}

static Google__Protobuf__Struct *struct_of(json_t *j)
{
    Google__Protobuf__Struct *s = from_json_take(1, sizeof(*s));
    google__protobuf__struct__init(s);
    s->fields = from_json_take(json_object_size(j), sizeof(*s->fields));
    const char *key;
    json_t *value;
    json_object_foreach(j, key, value)
    {
        Google__Protobuf__Struct__FieldsEntry *e = from_json_take(1, sizeof(*e));
        google__protobuf__struct__fields_entry__init(e);
        e->key = from_json_text(key);
        e->value = any_of(value);
        s->fields[s->n_fields++] = e;
    }
    return s;
}

static void put_scalar(const ProtobufCFieldDescriptor *f, json_t *j, void *out)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)out = from_json_text(json_string_value(j));
        return;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)out = json_is_true(j);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)out = json_number_value(j);
        return;
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)out = (uint64_t)json_integer_value(j);
        return;
    case PROTOBUF_C_TYPE_INT64:
        *(int64_t *)out = (int64_t)json_integer_value(j);
        return;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)out = (uint32_t)json_integer_value(j);
        return;
    case PROTOBUF_C_TYPE_INT32:
        *(int32_t *)out = (int32_t)json_integer_value(j);
        return;
    case PROTOBUF_C_TYPE_ENUM:
        if (json_is_string(j)) {
            const ProtobufCEnumValue *v =
                protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, json_string_value(j));
            assert_non_null(v);
            *(int *)out = v->value;
        } else {
            *(int *)out = (int)json_integer_value(j);
        }
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(void **)out = from_json_value(f->descriptor, j);
        return;
    default:
        fail_msg("field %s has a type that tests do not know", f->name);
    }
}

/* A list, or the entries of a map. */
static void put_repeated(const ProtobufCFieldDescriptor *f, json_t *j, char *base)
{
    size_t n = json_is_object(j) ? json_object_size(j) : json_array_size(j), i = 0;
    size_t width = f->type == PROTOBUF_C_TYPE_ENUM || f->type == PROTOBUF_C_TYPE_UINT32 ? 4 : sizeof(void *);
    char *items = from_json_take(n, width);
    *(size_t *)(void *)(base + f->quantifier_offset) = n;
    *(char **)(void *)(base + f->offset) = items;
    const char *key;
    json_t *value;
    json_array_foreach(j, i, value) put_scalar(f, value, items + i * width);
    i = 0;
    json_object_foreach(j, key, value)
    {
        json_t *entry = json_pack("{s:s, s:O}", "key", key, "value", value);
        put_scalar(f, entry, items + i++ * width);
        json_decref(entry);
    }
}

void *from_json_value(const ProtobufCMessageDescriptor *d, json_t *j)
{
    if (d == &google__protobuf__struct__descriptor)
        return struct_of(j);
    if (d == &google__protobuf__value__descriptor)
        return any_of(j);
    ProtobufCMessage *m = from_json_take(1, d->sizeof_message);
    protobuf_c_message_init(d, m);
    const char *key;
    json_t *value;
    json_object_foreach(j, key, value)
    {
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(d, key);
        if (f == NULL)
            fail_msg("%s has no field %s", d->name, key);
        else if (f->label == PROTOBUF_C_LABEL_REPEATED)
            put_repeated(f, value, (char *)m);
        else
            put_scalar(f, value, (char *)m + f->offset);
        if (f != NULL && (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
            *(uint32_t *)(void *)((char *)m + f->quantifier_offset) = f->id;
    }
    return m;
}

void *from_json(const ProtobufCMessageDescriptor *d, const char *text)
{
    json_t *j = json_parse(text);
    void *m = from_json_value(d, j);
    json_decref(j);
    return m;
}
