/* See to_json.h. */
#include "to_json.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

static json_t *of_struct(const Google__Protobuf__Struct *s);

static json_t *of_value(const Google__Protobuf__Value *v)
{
    switch (v == NULL ? GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE : v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return json_real(v->number_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return json_string(v->string_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return json_boolean(v->bool_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return of_struct(v->struct_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE: {
        json_t *list = json_array();
        for (size_t i = 0; i < v->list_value->n_values; i++)
            json_array_append_new(list, of_value(v->list_value->values[i]));
        return list;
    }
    default:
        return json_null();
    }
}

static json_t *of_struct(const Google__Protobuf__Struct *s)
{
    json_t *object = json_object();
    for (size_t i = 0; i < s->n_fields; i++)
        json_object_set_new(object, s->fields[i]->key, of_value(s->fields[i]->value));
    return object;
}

static json_t *of_message(const ProtobufCMessage *m)
{
    if (m->descriptor == &google__protobuf__struct__descriptor)
        return of_struct((const Google__Protobuf__Struct *)(const void *)m);
    if (m->descriptor == &google__protobuf__value__descriptor)
        return of_value((const Google__Protobuf__Value *)(const void *)m);
    if (m->descriptor == &google__protobuf__timestamp__descriptor) {
        const Google__Protobuf__Timestamp *t = (const void *)m;
        return json_integer(t->seconds * 1000 + t->nanos / 1000000);
    }
    return to_json(m);
}

/* NULL: the default value. */
static json_t *of_scalar(const ProtobufCFieldDescriptor *f, const void *p, bool even_default)
{
    json_t *j = NULL;
    bool is_default = false;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        is_default = (*(char *const *)p)[0] == '\0';
        j = json_string(*(char *const *)p);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        is_default = !*(const protobuf_c_boolean *)p;
        j = json_boolean(!is_default);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        is_default = *(const double *)p == 0;
        j = json_real(*(const double *)p);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        j = json_integer((json_int_t) * (const uint64_t *)p);
        break;
    case PROTOBUF_C_TYPE_INT64:
        j = json_integer(*(const int64_t *)p);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        j = json_integer(*(const uint32_t *)p);
        break;
    case PROTOBUF_C_TYPE_INT32:
        j = json_integer(*(const int32_t *)p);
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)p);
        is_default = *(const int *)p == 0;
        j = v == NULL ? json_integer(*(const int *)p) : json_string(v->name);
        break;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *b = p;
        char hex[2 * 64 + 1] = "";
        is_default = b->len == 0;
        for (size_t i = 0; i < b->len && i < 64; i++)
            snprintf(hex + 2 * i, 3, "%02x", b->data[i]);
        j = json_string(hex);
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        is_default = *(const void *const *)p == NULL;
        j = is_default ? NULL : of_message(*(ProtobufCMessage *const *)p);
        break;
    default:
        fail_msg("field %s has a type that tests do not know", f->name);
    }
    if (json_is_integer(j))
        is_default = json_integer_value(j) == 0;
    if (!is_default || even_default)
        return j;
    json_decref(j);
    return NULL;
}

static json_t *of_repeated(const ProtobufCFieldDescriptor *f, size_t n, const char *items)
{
    bool is_map = f->type == PROTOBUF_C_TYPE_MESSAGE &&
                  (((const ProtobufCMessageDescriptor *)f->descriptor)->n_fields == 2) &&
                  strstr(((const ProtobufCMessageDescriptor *)f->descriptor)->name, "Entry") != NULL;
    size_t width = f->type == PROTOBUF_C_TYPE_ENUM || f->type == PROTOBUF_C_TYPE_UINT32 ? 4 : sizeof(void *);
    json_t *all = is_map ? json_object() : json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *item = of_scalar(f, items + i * width, true);
        if (is_map) {
            json_t *value = json_object_get(item, "value");
            json_object_set(all, json_string_value(json_object_get(item, "key")),
                            value == NULL ? json_null() : value);
            json_decref(item);
        } else {
            json_array_append_new(all, item);
        }
    }
    return all;
}

json_t *to_json(const ProtobufCMessage *m)
{
    json_t *object = json_object();
    for (size_t i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *at = (const char *)m + f->offset;
        const void *quantifier = (const char *)m + f->quantifier_offset;
        json_t *j = NULL;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(const size_t *)quantifier;
            j = n == 0 ? NULL : of_repeated(f, n, *(char *const *)(const void *)at);
        } else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0) {
            j = of_scalar(f, at, false);
        } else if (*(const uint32_t *)quantifier == f->id) {
            j = of_scalar(f, at, true);
        }
        if (j != NULL)
            json_object_set_new(object, f->name, j);
    }
    return object;
}
