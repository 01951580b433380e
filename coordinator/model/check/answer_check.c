/* Checks of answers. See answer_check.h. */
#include "answer_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "exact.h"
#include "fermata/v1/types.pb-c.h"
#include "fermata/value.h"
#include "google/protobuf/struct.pb-c.h"
#include "json.h"
#include "json_schema.h"
#include "mem.h"
#include "pbc.h"
#include "value.h"

#define MEMORY_BYTES (32u * 1024 * 1024)
#define MAX_LISTED_BYTES 350 /* with one choice more, and how many are left: fits a message (err.h) */
#define MAX_CHOICE_BYTES 200
#define MAX_WANTED_BYTES 300
#define MAX_DEPTH 64
#define BRIEF_BYTES 65536 /* of choices, schema and answer: read in a millisecond or two */

/* ---- choices ----
 *
 * They are texts. One that is JSON (a model may offer numbers or objects, which are shown as JSON) may also
 * be answered by the value that it stands for. */

static bool is_value(const struct fm_value *j, const Google__Protobuf__Value *v, unsigned depth);

static bool is_list(const struct fm_value *j, const Google__Protobuf__ListValue *l, unsigned depth)
{
    bool same = fm_value_kind(j) == FM_LIST && fm_value_size(j) == l->n_values;
    for (size_t i = 0; same && i < l->n_values; i++)
        same = is_value(fm_value_at(j, i), l->values[i], depth + 1);
    return same;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(Google__Protobuf__Struct__FieldsEntry *const *)a)->key,
                  (*(Google__Protobuf__Struct__FieldsEntry *const *)b)->key);
}

/* Keys are unique in both. */
static bool is_struct(const struct fm_value *j, const Google__Protobuf__Struct *s, unsigned depth)
{
    if (fm_value_kind(j) != FM_MAP || fm_value_size(j) != s->n_fields)
        return false;
    fm_autofree Google__Protobuf__Struct__FieldsEntry **sorted =
        fm_xmemdup(s->fields, s->n_fields * sizeof(*s->fields));
    if (s->n_fields > 0)
        qsort(sorted, s->n_fields, sizeof(*sorted), by_key);
    bool same = true;
    for (size_t i = 0; same && i < s->n_fields; i++) {
        Google__Protobuf__Struct__FieldsEntry wanted = {.key = (char *)(uintptr_t)fm_value_key(j, i)},
                                              *key = &wanted, **found;
        found = bsearch(&key, sorted, s->n_fields, sizeof(*sorted), by_key);
        same = found != NULL && is_value(fm_value_at(j, i), (*found)->value, depth + 1);
    }
    return same;
}

/* Whether the JSON is this value, in whatever order its keys are. */
static bool is_value(const struct fm_value *j, const Google__Protobuf__Value *v, unsigned depth)
{
    struct number n;
    if (v == NULL || depth > MAX_DEPTH)
        return false;
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        return is_list(j, v->list_value, depth);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return is_struct(j, v->struct_value, depth);
    case GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE:
        return fm_value_kind(j) == FM_NULL;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return fm_value_kind(j) == FM_BOOL && fm_value_bool(j, false) == (v->bool_value != 0);
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return fm_value_kind(j) == FM_NUMBER && exact_number(v, &n) &&
               number_compare(value_as_number(j), n) == 0;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return fm_value_kind(j) == FM_STRING && strcmp(fm_value_string(j, ""), v->string_value) == 0;
    default:
        return false;
    }
}

static bool is_choice(const char *choice, const Google__Protobuf__Value *answer, struct fm_arena *a)
{
    fm_auto(fm_err) none = {0};
    if (answer->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
        return strcmp(choice, answer->string_value) == 0;
    fm_arena_reset(a);
    const struct fm_value *j = json_value_read(choice, strlen(choice), a, &none);
    return j != NULL && is_value(j, answer, 0);
}

static bool is_one(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer)
{
    struct fm_arena arena;
    bool found = false;
    fm_arena_init(&arena, MEMORY_BYTES);
    for (size_t i = 0; !found && i < pause->n_choices; i++)
        found = is_choice(pause->choices[i], answer, &arena);
    fm_arena_done(&arena);
    return found;
}

static int refuse_choices(const Fermata__V1__Pause *pause, struct fm_err *err)
{
    char list[MAX_LISTED_BYTES + MAX_CHOICE_BYTES + 64] = "";
    size_t n = 0;
    for (size_t i = 0; i < pause->n_choices; i++) {
        if (n > MAX_LISTED_BYTES) {
            (void)snprintf(list + n, sizeof(list) - n, ", and %zu more", pause->n_choices - i);
            break;
        }
        const char *c = pause->choices[i];
        int shown = (int)fm_utf8_cut(c, MAX_CHOICE_BYTES);
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%.*s%s\"", i > 0 ? ", " : "", shown, c,
                              c[shown] != '\0' ? "…" : "");
    }
    return fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "the answer must be one of %s", list);
}

/* ---- schemas ---- */

struct checking {
    struct fm_err *err;
    const char *wanted; /* the schema's description; "" */
};

/* Puts what the schema does not like into an error. */
static void on_fault(void *arg, const struct json_schema_fault *f)
{
    const struct checking *c = arg;
    char field[256];
    (void)snprintf(field, sizeof(field), "answer%s%.200s", f->path[0] != '\0' && f->path[0] != '[' ? "." : "",
                   f->path);
    (void)fm_err_add(c->err, FM_INVALID_ARGUMENT, field, "the answer does not meet its schema: %s%s%.*s",
                     f->message, c->wanted[0] != '\0' ? "; wanted is " : "",
                     (int)fm_utf8_cut(c->wanted, MAX_WANTED_BYTES), c->wanted);
}

static struct fm_value *decode(const void *message, bool is_struct, struct fm_arena *a, struct fm_err *err)
{
    fm_auto(fm_buf) b = {0};
    pb_pack(message, &b);
    struct fm_bytes bytes = {b.p, b.n};
    struct fm_value *v = is_struct ? value_decode_struct(bytes, a, err) : value_decode(bytes, a, err);
    return v;
}

/* -FM_RESOURCE_EXHAUSTED only when the work is less than it may be at most. */
static int check_schema(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer,
                        struct json_schema_work *work, struct fm_err *err)
{
    struct fm_arena arena;
    fm_auto(fm_err) fault = {0};
    bool brief = work->most > 0;
    fm_arena_init(&arena, MEMORY_BYTES);
    const struct fm_value *schema = decode(pause->answer_schema, true, &arena, &fault), *v = NULL;
    if (schema != NULL)
        v = decode(answer, false, &arena, &fault);
    struct checking c = {.err = err, .wanted = fm_value_string(fm_value_get(schema, "description"), "")};
    int rc =
        v == NULL ? -FM_INVALID_ARGUMENT : json_schema_check_within(schema, v, work, on_fault, &c, &fault);
    fm_arena_done(&arena);
    if (brief && v != NULL && fault.code == FM_RESOURCE_EXHAUSTED) {
        fm_err_done(err);
        return -FM_RESOURCE_EXHAUSTED;
    }
    if (fault.code != FM_OK) {
        fm_err_done(err);
        return fm_err_set(err,
                          v == NULL || fault.code == FM_RESOURCE_EXHAUSTED ? FM_INVALID_ARGUMENT
                                                                           : FM_FAILED_PRECONDITION,
                          "answer", "the answer cannot be checked against its schema: %s", fault.msg);
    }
    return rc > 0 ? -FM_INVALID_ARGUMENT : rc;
}

static int check(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer,
                 struct json_schema_work *work, struct fm_err *err)
{
    bool chosen = is_one(pause, answer);
    bool either = pause->choices_or_schema && pause->n_choices > 0 && pause->answer_schema != NULL;
    if (either && chosen)
        return 0;
    bool is_text = answer->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    if (pause->n_choices > 0 && !chosen && (!either || is_text))
        return refuse_choices(pause, err);
    return pause->answer_schema == NULL ? 0 : check_schema(pause, answer, work, err);
}

int answer_check(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer, struct fm_err *err)
{
    struct json_schema_work work = {0};
    return check(pause, answer, &work, err);
}

/* Whether there is little to be read. */
static bool is_small(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer)
{
    size_t n = 0;
    for (size_t i = 0; i < pause->n_choices && n <= BRIEF_BYTES; i++)
        n += strlen(pause->choices[i]) + 1;
    if (pause->answer_schema != NULL && n <= BRIEF_BYTES)
        n += protobuf_c_message_get_packed_size(&pause->answer_schema->base);
    return n <= BRIEF_BYTES && n + protobuf_c_message_get_packed_size(&answer->base) <= BRIEF_BYTES;
}

int answer_check_brief(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer,
                       struct fm_err *err)
{
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK, .no_patterns = true};
    if (pause->n_choices == 0 && pause->answer_schema == NULL)
        return 0;
    if (!is_small(pause, answer))
        return -FM_RESOURCE_EXHAUSTED;
    return check(pause, answer, &work, err);
}
